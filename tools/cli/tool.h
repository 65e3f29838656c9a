/* tool.h: what the subcommands of `prlx` share. One file per subcommand; the table is TOOL_LIST.
 * Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to stdout, progress and errors to stderr.
 */
#ifndef PRLX_TOOL_H
#define PRLX_TOOL_H
#include <signal.h>
#include "core/base.h"
#include "io/formats/tsv.h"
#include "prlx.h" /* PRLX_VERSION */
#include "tools/cli/opts.h"
#include "tools/cli/progress.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct Tool {
  const char *name;
  const char *summary;
  int (*run)(int argc, char **argv);
} Tool;

/* name, summary; the function is tool_<name>(argc, argv) with argv[0] = name. An underscore is a
 * dash on the command line. */
#define TOOL_LIST(X)                                                                              \
  X(phantom, "synthetic cohort of lesions from a physical model")                                 \
  X(crop, "whole volumes and lesion maps -> one patch per lesion")                                \
  X(bids, "all lesions of a BIDS dataset -> patches, called as BIDS Apps are")                    \
  X(pack, "cohort -> dataset.safetensors; split by subject, leak check")                          \
  X(export_cohort, "cohort -> the folders of nnU-Net, MONAI or TorchIO")                          \
  X(train, "train a generator and a discriminator; resume")                                       \
  X(generate, "synthetic lesions from a network: PNG sheet, dataset")                             \
  X(project, "latent projection denoising of lesions")                                            \
  X(walk, "ways through the latent space: interpolation, mixing, truncation, directions")         \
  X(convert, "NIfTI volume -> float32 .nii or .nii.gz, affine kept, in mm")                       \
  X(info, "show what is in a dataset, network, safetensors, NIfTI or PNG file")                   \
  X(check, "what this machine and this build can do; bundled files")                              \
  X(dump, "what the planner did with a model: graph, steps, memory; as SVG, too")                 \
  X(bench, "speed next to the measured peak of this machine")                                     \
  X(import, "networks and weights of Python programs -> .safetensors")                            \
  X(export, "networks and weights -> .safetensors for Python programs")                           \
  X(fid, "FID, KID, precision and recall between data sets")                                      \
  X(smote, "baseline: oversampling in the latent space of an autoencoder")                        \
  X(affine, "baseline: affine augmentation")                                                      \
  X(classify, "train and evaluate the rim classifier")                                            \
  X(cam, "class activation maps")                                                                 \
  X(segment, "U-Net for the rim mask: real against real and synthetic; judge of generated masks") \
  X(evidence, "what denoising did to each lesion: distances, scores, truth, memorisation")        \
  X(reader, "reader study: one page, and its scoring")                                            \
  X(paper, "the tables and figures of the paper")                                                 \
  X(demo, "denoise, generate and train for a few minutes; one report")
#define TOOL_DECLARE(name, summary) int tool_##name(int argc, char **argv);
TOOL_LIST(TOOL_DECLARE)

/* Ctrl-C (and SIGTERM): the first one sets this, and a command stops after its current step and
 * saves; the second one kills. */
extern volatile sig_atomic_t tool_interrupted;
/* --quiet: no progress, no tables; results and errors only */
extern bool tool_quiet;

/* "prlx CMD: message" on stderr; returns EXIT_FAILED. */
int tool_fail(const char *cmd, const Error *e);

/* The same when there is no memory for the command itself. */
int tool_no_memory(const char *cmd);

/* The same for wrong usage, ending with "; see 'prlx help CMD'"; returns EXIT_USAGE. */
int tool_usage(const char *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A note where the table has readers beyond reader1 and reader2, whose labels change no class. */
void tool_note_readers(const char *cmd, const Tsv *t);
#endif
