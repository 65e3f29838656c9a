/* evidence.c: `prlx evidence`: what latent projection did to each lesion: how far the image moved,
 * whether a classifier changes its mind, whether the change is true (phantom), and whether the
 * network remembers a training lesion instead of denoising this one. The same search for synthetic
 * images. */
#include "tools/judge/evidence.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

enum { WORDS = 16384 };

static void evidence_free(Evidence *ev) {
  dataset_free(&ev->d);
  if (ev->target.path)
    dataset_free(&ev->target);
  else
    mem_free(ev->target.images); /* made from the cohort */
  dataset_free(&ev->train);
  near_free(&ev->near);
  mem_free(ev->lesion);
  mem_free(ev->row);
  mem_free(ev->v);
  mem_free(ev->rim);
}

static Status evidence_measure(Evidence *ev, const char *dir, Error *e) {
  static const char *const named[2][2] = {{"evidence.tsv", "sheet.png"},
                                          {"memory.tsv", "closest.png"}};
  const EvArgs *a = &ev->a;
  TRY(a->synthetic ? evidence_open_images(ev, a->synthetic, a->images, e)
                   : evidence_open(ev, dir, e));
  if (a->model) TRY(evidence_scores_look(ev, e));
  if (a->train) TRY(evidence_near_look(ev, e));
  TRY(outputs_folder(a->out, "words.txt evidence.html histogram.svg summary.tsv truth.tsv", e));
  for (int k = 0; k < 2; k++) TRY(outputs_member(a->out, named[!!a->synthetic][k], e));
  if (a->model || a->train) TRY(tool_backend(PREC_TF32, &ev->on, e));
  if (a->cohort) TRY(evidence_truth(ev, e));
  if (a->model) TRY(evidence_scores(ev, e));
  if (a->train) TRY(evidence_near(ev, e));
  return evidence_gather(ev, e);
}

/* words: room for WORDS bytes. */
static Status evidence_write(const Evidence *ev, char *words, Error *e) {
  const EvArgs *a = &ev->a;
  char path[PATH_LEN];
  TRY(evidence_tables(ev, e));
  if (ev->has_truth) TRY(evidence_crest(ev, e));
  TRY(evidence_words(ev, words, WORDS, e));
  TRY(evidence_pages(ev, words, e));
  TRY(path_join(path, a->out, "words.txt", e));
  TRY(file_write_atomic(path, words, strlen(words), e));
  printf("%sResults in %s: %s.tsv, summary.tsv, histogram.svg, %s.png, evidence.html, words.txt "
         "(these lines)\n",
         words, a->out, a->synthetic ? "memory" : "evidence", a->synthetic ? "closest" : "sheet");
  return ST_OK;
}

static Status evidence_run(Evidence *ev, const char *dir, Error *e) {
  char *words = mem_alloc(WORDS);
  if (!words) return err_set(e, ST_NOMEM, "out of memory");
  Status s = evidence_measure(ev, dir, e);
  if (s != ST_OK) goto done;
  s = evidence_write(ev, words, e);
done:
  mem_free(words);
  return s;
}

/* Options of measures that are not taken. Returns -1 to go on. */
static int evidence_unused(const OptSpec *s, const EvArgs *a) {
  int rc = opts_need(s, a->model, "threshold", "--model");
  if (rc < 0) rc = opts_need(s, a->cohort, "units", "--cohort");
  if (rc < 0) rc = opts_need(s, a->train, "limit typical vgg", "--train");
  if (rc < 0) rc = opts_need(s, a->perceptual, "limit vgg", "--perceptual");
  return rc < 0 ? opts_need(s, a->synthetic, "images", "--synthetic") : rc;
}

int tool_evidence(int argc, char **argv) {
  Evidence *ev = mem_alloc(sizeof *ev);
  if (!ev) return tool_no_memory("evidence");
  EvArgs *a = &ev->a;
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("model", &a->model, NULL, "PATH",
              "rim classifier of prlx classify: a file, or a folder with model0.safetensors, ... "
              "(mean over them)"),
      OPT_STR("train", &a->train, NULL, "FILE",
              "training data of the network: nearest lesions, memorisation"),
      OPT_STR("cohort", &a->cohort, NULL, "FILE",
              "lesions.tsv that was projected: lesion masks, rim maps, and the truth of a phantom"),
      OPT_STR(
          "targets", &a->targets, NULL, "FILE",
          "the projected images (default: targets.safetensors of the folder, else from --cohort)"),
      OPT_STR("synthetic", &a->synthetic, NULL, "FILE",
              "instead of a folder: memorisation of generated images; needs --train"),
      OPT_CHOICE("units", &a->units, "ppm", "ppm|ppb",
                 "of the Chimap files of the cohort (BIDS: ppm)"),
      OPT_STR("vgg", &a->vgg, NULL, "FILE",
              "VGG16 weights for perceptual neighbours (default: the bundled VGG16-Caffe with mean "
              "heads)"),
      OPT_STR("data", &a->data, NULL, "DIR", "folder of the bundled files"),
      OPT_GROUP("Judgement"),
      OPT_REAL("threshold", &a->threshold, "0.5", 0, 1,
               "rim score from which a lesion is called rim"),
      OPT_FLAG("perceptual", &a->perceptual, "yes",
               "also neighbours by LPIPS (about 0.05 s per training image)"),
      OPT_INT("limit", &a->limit, "0", 0, 100000000,
              "training images that LPIPS looks at, evenly spaced; 0: all"),
      OPT_INT("typical", &a->typical, "100", 2, 100000,
              "training lesions whose own nearest neighbours say what is typical"),
      OPT_INT("images", &a->images, "256", 0, 100000000,
              "of --synthetic: images, evenly spaced; 0: all"),
      OPT_INT("resamples", &a->resamples, "2000", 2, 1000000, "of the bootstrap by subject"),
      OPT_REAL("level", &a->level, "0.95", 0.01, 0.999, "of the intervals"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, "out/evidence", "DIR", "folder of the results"),
  };
  OptSpec spec = {
      .cmd = "evidence",
      .summary = "What denoising did to each lesion: distances, scores, truth, memorisation.",
      .details = "  prlx evidence denoised --model run/classifier --train train.safetensors "
                 "--cohort cohort/lesions.tsv\n"
                 "  prlx evidence --synthetic synthetic.safetensors --train train.safetensors\n\n"
                 "DENOISED: the folder of prlx project. Writes evidence.tsv (one row per lesion), "
                 "summary.tsv (mean and median with intervals by subject), histogram.svg,\n"
                 "sheet.png (target, denoised, nearest training lesion), evidence.html, words.txt. "
                 "What it has no input for is left out and said so.\n"
                 "Ring of a lesion, ppb: its outer 3 pixels minus its core. True rim: mean "
                 "weighted by the rim map minus core or surround; overlap: of as many brightest\n"
                 "pixels as the rim has, the share on the rim. Memory \"close\": nearer to a "
                 "training image than any training lesion of the reference is to another;\n"
                 "\"copy\": moreover it stands out from the second nearest (smooth images are near "
                 "to everything, a copy is near to one).",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "DENOISED",
      .pos_min = 0,
      .pos_max = 1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) {
    mem_free(ev);
    return rc;
  }
  Error e = {0};
  if (!a->synthetic == !spec.nargs)
    rc =
        tool_usage("evidence", a->synthetic ? "give either a folder or --synthetic"
                                            : "no folder of prlx project, and no --synthetic FILE");
  else if (a->synthetic && !a->train)
    rc = tool_usage("evidence", "--synthetic needs the training data: --train FILE");
  else if (a->synthetic && (a->model || a->cohort || a->targets))
    rc = tool_usage(
        "evidence",
        "--model, --cohort and --targets are of denoised lesions, not of synthetic ones");
  else if ((rc = evidence_unused(&spec, a)) < 0)
    rc = evidence_run(ev, spec.nargs ? spec.args[0] : NULL, &e) == ST_OK
             ? EXIT_DONE
             : tool_fail("evidence", &e);
  evidence_free(ev);
  opts_free(&spec);
  mem_free(ev);
  return rc;
}
