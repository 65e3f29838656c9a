/* import.h: published weights to our files: what a file is, and which of its tensors become which
 * of ours. Recognised: StyleGAN2-ADA checkpoints (.pkl) and state dicts, VGG16 (torchvision, the
 * LPIPS package, or by its shapes: TorchScript archives), LPIPS heads, the FID Inception, our own
 * files, any other state dict (names kept). */
#ifndef PRLX_IMPORT_H
#define PRLX_IMPORT_H
#include "io/formats/safetensors.h"
#include "io/formats/torch.h"
typedef enum {
  IMPORT_NETWORK,
  IMPORT_VGG,
  IMPORT_HEADS,
  IMPORT_INCEPTION,
  IMPORT_OURS,
  IMPORT_STATE
} ImportKind;

/* `from`: its name in the file. shape may differ from the file's where only axes of length 1 were
 * dropped (LPIPS heads). */
typedef struct ImportTensor {
  char *name;
  char *from;
  DType dtype;
  Shape shape;
  const void *data;
} ImportTensor;
typedef struct Import {
  char *path;
  const uint8_t *map;
  size_t bytes;
  bool is_safetensors;
  StFile st;
  TorchFile torch;
  ImportKind kind;
  char title[192]; /* one line: what it is */
  char container[32];
  /* 1: equals the known or named checksum, 0: none known, -1: differs from the one in its name */
  char sha256[65];
  int sha_known;
  char sha_note[160];
  ImportTensor *tensor;
  int ntensor; /* what will be written */
  int dropped;
  char dropped_what[96]; /* tensors of the file that will not be */
  int64_t numbers;       /* elements of t */
  StMeta *meta;
  /* configuration and origin, written as metadata */
  int nmeta;
  int metacap;
} Import;

/* Opens, recognises, maps names; nothing is written. ST_FORMAT with one line that says what was
 * found. A wrong checksum is no error here. */
Status import_open(Import *im, const char *path, Error *e);

/* The same for bytes in memory (tests, fuzzing). `data` must live as long as im. */
Status import_memory(Import *im, const uint8_t *data, size_t n, const char *name, Error *e);
void import_close(Import *im);
const char *import_meta(const Import *im, const char *key);

/* Adds or replaces one metadata entry. */
Status import_set_meta(Import *im, const char *key, const char *value, Error *e);

/* Heads of `heads` added to a VGG16 (replacing its own). */
Status import_add_heads(Import *vgg, const Import *heads, Error *e);

/* Leaves out tensors whose name does not begin with prefix ("G_ema."). */
Status import_keep(Import *im, const char *prefix, Error *e);

/* Writes the .safetensors file; tensors keep their number type. Atomic. */
Status import_write(const Import *im, const char *path, Error *e);

/* ---- pieces, inside io/ ---- */
extern const int import_vgg_index[13];
Status import_map_vgg(Import *im, bool *hit, Error *e); /* import_map.c */
Status import_map_heads(Import *im, bool *hit, Error *e);
Status import_map_inception(Import *im, bool *hit, Error *e);
Status import_map_network(Import *im, bool *hit, Error *e); /* import_net.c */
const ImportTensor *import_find(const Import *im, const char *name);
Status import_rename(ImportTensor *t, const char *name, Error *e);

/* removes entry k, counting it as dropped */
void import_drop(Import *im, int k);

/* element i of a tensor of any type */
bool import_number(const Import *im, const ImportTensor *t, int64_t i, double *v);
#endif
