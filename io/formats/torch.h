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

/* Row-major, in the file's number type; data points into the file or into `own`. name: state-dict
 * name, printable ASCII. */
typedef struct TorchTensor {
  char *name;
  DType dtype;
  Shape shape;
  const void *data;
  void *own;
  size_t bytes;
} TorchTensor;
typedef struct TorchStorage {
  PkText key;
  DType dtype;
  int64_t numel;
  const uint8_t *data;
} TorchStorage;
typedef struct TorchFile {
  TorchContainer container;
  char *name;
  const uint8_t *data;
  size_t bytes;
  Pickle tree; /* the saved object; tree.root */
  TorchStorage *storage;
  int nstorage; /* legacy: sorted by key */
  ZipFile zip;
  char folder[128]; /* zip: "archive/" */
  /* zip: entries already read, by index */
  struct {
    const uint8_t *p;
    void *own;
  } * cache;
  /* bytes of embedded pickles read so far: shared blobs must not be read without end */
  size_t work;
  /* what may still be allocated for data: 256 MiB + 8 x file, so that small files stay small */
  size_t budget;
  TorchTensor *tensor;
  /* filled by torch_collect */
  int count;
  int cap;
  int64_t others; /* leaves that are no tensors, passed over */
} TorchFile;
#define TORCH_MAX_TENSORS 16384
/* could be one of them: a zip archive or a pickle */
bool torch_is(const uint8_t *p, size_t n);

/* `data` must live as long as f; `name` is for errors. */
Status torch_open(TorchFile *f, const uint8_t *data, size_t n, const char *name, Error *e);
void torch_close(TorchFile *f);

/* Fills f->t: every tensor of the object under its state-dict name: dict keys, list indexes and
 * module names joined with dots; of modules the parameters and persistent buffers. Strided and
 * shared storages are gathered to row-major. */
Status torch_collect(TorchFile *f, Error *e);
const TorchTensor *torch_find(const TorchFile *f, const char *name);
const char *torch_container_name(TorchContainer c);

/* One tensor value of the tree; out->name stays NULL; mem_free(out->own). */
Status torch_tensor(TorchFile *f, const Pk *v, const char *what, TorchTensor *out, Error *e);
bool torch_is_tensor(const Pk *v);

/* Attribute dict of a StyleGAN2-ADA module and its class name; NULL if v is none. */
const Pk *torch_module(const Pk *v, PkText *class_name);
#endif
