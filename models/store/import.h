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

typedef struct ImportTensor {
  char *name; /* ours */
  char *from; /* its name in the file */
  DType dtype;
  Shape shape; /* the file's, but for axes of length 1 that were dropped (LPIPS heads) */
  const void *data;
  const char *type; /* of a type that is not read, "sparse" ...: data is NULL; else NULL */
} ImportTensor;
typedef struct Import {
  char *path;
  const uint8_t *map; /* the file, read only */
  size_t bytes;
  bool is_safetensors;
  StFile st;
  StFile *shard; /* [nshards] instead of st: the files of an index */
  int nshards;
  TorchFile torch;
  ImportKind kind;
  char title[192];    /* one line: what it is */
  char container[64]; /* one line: how it is packed */
  char sha256[65];
  int sha_known; /* 1: the known or named checksum, 0: none known, -1: not the one in its name */
  char sha_note[160];
  ImportTensor *tensor; /* [ntensor] what will be written */
  int ntensor;
  int dropped; /* tensors of the file that will not be */
  char dropped_what[96];
  int unread;            /* of these: tensors of types that are not read, which nothing needs */
  char unread_what[320]; /* the first of them, "name" (type), ... */
  int64_t numbers;       /* elements of all tensors */
  StMeta *meta; /* [nmeta] configuration and origin, written as metadata; room for metacap */
  int nmeta;
  int metacap;
} Import;

/* Of a file that is called one of several (model-00001-of-00002.safetensors): the end of a message
 * that says so; else "". */
const char *import_shard_hint(const char *path);

/* Opens, recognises, maps names; nothing is written. ST_IO: cannot be read; ST_FORMAT with one line
 * that says what was found. A wrong checksum is no error here. import_close(im); after an error im
 * is empty. */
Status import_open(Import *im, const char *path, Error *e);

/* SHA-256 of the whole file into im, what is known of it, and metadata imported.sha256. import_open
 * does so for files up to IMPORT_SUM_LATER bytes; for larger ones the caller, when nothing speaks
 * against the import any more. Once is enough. ST_NOMEM. */
Status import_checksum(Import *im, Error *e);
#define IMPORT_SUM_LATER ((size_t)1 << 30)

/* The same for bytes in memory (tests, fuzzing). `data` must live as long as im. */
Status import_memory(Import *im, const uint8_t *data, size_t n, const char *name, Error *e);

/* Also of an empty one. */
void import_close(Import *im);

/* Value of a metadata entry, owned by im, or NULL. */
const char *import_meta(const Import *im, const char *key);

/* Adds or replaces one metadata entry; both texts are copied. */
Status import_set_meta(Import *im, const char *key, const char *value, Error *e);

/* Heads of `heads` added to a VGG16 (replacing its own); `heads` must stay open until it is
 * written. */
Status import_add_heads(Import *vgg, const Import *heads, Error *e);

/* Leaves out tensors whose name does not begin with prefix ("G_ema."). ST_FORMAT: none does. */
Status import_keep(Import *im, const char *prefix, Error *e);

/* Writes the .safetensors file, whole or not at all; tensors keep their number type. */
Status import_write(const Import *im, const char *path, Error *e);

/* ---- pieces, inside models/store/ ---- */

/* Numbers that tools for counting operations leave in every layer (total_ops, total_params). */
bool import_is_count(const char *name);

/* The n of features.<n> of VGG16's 13 convolutions. */
extern const int import_vgg_index[13];

/* One more tensor at the end of im->tensor, which has room for it. */
Status import_list(Import *im, const char *name, DType dtype, Shape shape, const void *data,
                   Error *e);

/* An index of several .safetensors files (import_shards.c): whether the bytes could be one; its
 * tensors become im->tensor. ST_FORMAT: damaged, a file that is not beside it or lacks its
 * tensor. */
bool import_is_index(const uint8_t *p, size_t n);
Status import_read_index(Import *im, Error *e);

/* Names without the wrappers of training programs, before they are mapped (import_wrap.c): parts
 * _orig_mod and module go, networks inside dicts become G_ema., G., D. */
Status import_unwrap(Import *im, Error *e);

/* Is it this kind of network (*hit)? Then names, kind, title and metadata become ours. ST_FORMAT:
 * it is, but broken or of a sort that is not computed here. */
Status import_map_vgg(Import *im, bool *hit, Error *e);
Status import_map_heads(Import *im, bool *hit, Error *e);
Status import_map_inception(Import *im, bool *hit, Error *e);
Status import_map_network(Import *im, bool *hit, Error *e);

/* Whether a StyleGAN2-ADA network has a tensor of this kind ("G_ema.mapping.fc0.weight"). */
bool import_net_needs(const char *name);

/* The tensor of this name (ours), or NULL. */
const ImportTensor *import_find(const Import *im, const char *name);

/* Gives it a new name of ours. */
Status import_rename(ImportTensor *t, const char *name, Error *e);

/* Removes tensor k, counting it as dropped. */
void import_drop(Import *im, int k);

/* Element i of a tensor of any type; false: there is no such element. */
bool import_number(const Import *im, const ImportTensor *t, int64_t i, double *v);
#endif
