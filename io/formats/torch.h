/* torch.h: tensors out of files that torch.save wrote: the legacy stream (.pth until torch 1.5),
 * the zip archive (since 1.6), TorchScript archives (.pt; their data only, no code is looked at),
 * and plain pickles of StyleGAN2-ADA networks (.pkl). Nothing is executed: io/formats/pickle.h.
 * Layout: test/golden/README.md, "Containers". */
#ifndef PRLX_TORCH_H
#define PRLX_TORCH_H
#include "io/formats/pickle.h"
#include "io/formats/safetensors.h"
#include "io/formats/zip.h"
typedef enum { TORCH_LEGACY, TORCH_ZIP, TORCH_SCRIPT, TORCH_PICKLE } TorchContainer;

/* Row-major, in the file's number type; of a type that is not read only name, shape and type. */
typedef struct TorchTensor {
  char *name; /* state-dict name, printable ASCII */
  DType dtype;
  Shape shape;
  const void *data; /* points into the file or into `own` */
  void *own;        /* gathered or decompressed copy, or NULL */
  size_t bytes;
  char type[40]; /* "sparse", "float8_e4m3fn" ...: not read, data is NULL; else empty */
} TorchTensor;
typedef struct TorchStorage {
  PkText key;
  DType dtype;
  int64_t numel;
  const uint8_t *data;
  bool wide; /* elements are two of dtype: complex128 */
} TorchStorage;
typedef struct TorchFile {
  TorchContainer container;
  char *name;
  const uint8_t *data; /* the file, not ours */
  size_t bytes;
  Pickle tree;           /* the saved object: tree.root */
  TorchStorage *storage; /* legacy: [nstorage], sorted by key */
  int nstorage;
  ZipFile zip;
  char folder[128]; /* zip: "archive/" */
  bool big;         /* zip: numbers with the highest byte first */
  struct {
    const uint8_t *data;
    void *own;
  } * cache;     /* zip: entries already read, by index */
  size_t work;   /* bytes of embedded pickles read: shared blobs must not be read without end */
  size_t budget; /* bytes that may still be allocated for data: 256 MiB + 8 x file at first */
  TorchTensor *tensor; /* [count], room for cap: filled by torch_collect */
  int count;
  int cap;
  int64_t others; /* leaves that are no tensors, passed over */
  int toolong;    /* entries passed over because their full name is longer than TORCH_MAX_NAME */
  char *longest;  /* the first of these names, or NULL */
} TorchFile;
#define TORCH_MAX_TENSORS 16384
#define TORCH_MAX_NAME 198

/* Whether the n bytes could be one of them: a zip archive or a pickle. */
bool torch_is(const uint8_t *p, size_t n);

/* `data` must live as long as f; `name` is for errors. ST_FORMAT: none of the four containers,
 * damaged, or hostile (names that are not on the list of pickle.h). torch_close(f); after an error
 * f is empty. */
Status torch_open(TorchFile *f, const uint8_t *data, size_t n, const char *name, Error *e);

/* Whether it is an archive whose parts have no checksums (torch.serialization.set_crc32_options):
 * damage cannot be seen then. */
bool torch_unchecked(const TorchFile *f);

/* Also of an empty one. */
void torch_close(TorchFile *f);

/* Fills f->tensor: every tensor of the object under its state-dict name: dict keys, list indexes
 * and module names joined with dots; of modules the parameters and persistent buffers. Strided and
 * shared storages are gathered to row-major; so are numpy arrays. Namespaces are searched as dicts.
 * Entries with longer names than TORCH_MAX_NAME bytes are passed over and counted. ST_FORMAT:
 * damaged, a cycle, two of one name, more than TORCH_MAX_TENSORS. Once per file; torch_close frees
 * what is there after an error, too. */
Status torch_collect(TorchFile *f, Error *e);

/* Among the collected ones, owned by f; NULL if absent. */
const TorchTensor *torch_find(const TorchFile *f, const char *name);

/* For messages: a constant text. */
const char *torch_container_name(TorchContainer c);

/* One tensor value or numpy array of the tree; out->name stays NULL; mem_free(out->own). `what` is
 * for messages. ST_FORMAT: v is no tensor, or lies outside its storage. */
Status torch_tensor(TorchFile *f, const Pk *v, const char *what, TorchTensor *out, Error *e);

/* Whether torch_tensor would find a tensor here; NULL is none. */
bool torch_is_tensor(const Pk *v);

/* Attribute dict of a StyleGAN2-ADA module and its class name (or NULL); NULL if v is none. */
const Pk *torch_module(const Pk *v, PkText *class_name);
#endif
