/* safetensors.h: the .safetensors container: 8-byte little-endian header length, JSON header, raw
 * little-endian data. */
#ifndef PRLX_SAFETENSORS_H
#define PRLX_SAFETENSORS_H
#include "core/base.h"
#include "core/dtype.h"
typedef struct StTensor {
  char *name;
  DType dtype;
  Shape shape;
  const void *data; /* in the order of bytes of this machine; may be unaligned */
  size_t bytes;
} StTensor;
typedef struct StMeta {
  char *key;
  char *value;
} StMeta;
typedef struct StFile {
  char *path;
  StTensor *tensor; /* [ntensor], in the order of the header */
  int ntensor;
  StMeta *meta; /* [nmeta] */
  int nmeta;
  const void *map; /* the whole file, read only */
  size_t map_bytes;
  void *turned; /* big-endian machines: data of all tensors, else NULL */
} StFile;

/* Read-only mmap; every field is checked against the file before anything is allocated: offsets in
 * range, neither overlapping nor with holes between them, size = shape x dtype, names unique, rank
 * <= MAX_RANK, number types that st_to_f32 can read. ST_IO: cannot be opened; ST_FORMAT: anything
 * else. The file must not be changed while it is open (a commit replaces it, which is safe).
 * st_close(f); after an error f is empty. */
Status st_open(StFile *f, const char *path, Error *e);

/* The same, but tensors of types that are known by name only (C64, F6, F4: dtype_readable) are let
 * in: for those who look at names and shapes. */
Status st_open_any(StFile *f, const char *path, Error *e);

/* Also of an empty one. Every pointer into f ends here. */
void st_close(StFile *f);

/* The tensor or the metadata value of this name, owned by f; NULL if absent. */
const StTensor *st_find(const StFile *f, const char *name);
const char *st_meta(const StFile *f, const char *key);

/* Any readable dtype -> float or double, dst [numel]; conversion is exact where the type allows.
 * Others become NaN. */
void st_to_f32(const StTensor *t, float *dst);
void st_to_f64(const StTensor *t, double *dst);

/* Same with name lookup and shape check; ST_FORMAT names file and tensor. */
Status st_read(const StFile *f, const char *name, Shape want, float *dst, Error *e);

/* ---- writing: new, add ..., commit (or st_writer_free) ---- */
typedef struct StWriter StWriter;

/* An empty file to be; ends with st_commit or st_writer_free. */
Status st_writer_new(StWriter **w, Error *e);

/* data [numel] is referenced, not copied: must live until st_commit. ST_INVALID: impossible type or
 * shape, or a name that is there already. */
Status st_add(StWriter *w, const char *name, DType dtype, Shape s, const void *data, Error *e);

/* Converts to F16, to the nearest; the copy is kept inside. */
Status st_add_f32_as_f16(StWriter *w, const char *name, Shape s, const float *data, Error *e);

/* Hands out the next piece of a tensor, at least one whole number, valid until the next call. */
typedef Status (*StFill)(void *ctx, const void **piece, size_t *bytes, Error *e);

/* Data that is made while it is written, so that it never lies in memory as a whole: fill is called
 * until the tensor is complete. Tensors of the same element size are written in the order in which
 * they were added. An error of fill ends st_commit with it. */
Status st_add_stream(StWriter *w, const char *name, DType dtype, Shape s, StFill fill, void *ctx,
                     Error *e);

/* One metadata entry, copied; the second as printf makes it, up to 2047 characters. ST_INVALID: the
 * key is there already, or the value too long. */
Status st_add_meta(StWriter *w, const char *key, const char *value, Error *e);
Status st_add_metaf(StWriter *w, Error *e, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds the metadata "checksums": of the header and of each tensor added so far; the last call
 * before st_commit. Not for tensors that are made while they are written (ST_INTERNAL).
 * ST_NOMEM. */
Status st_add_checksums(StWriter *w, Error *e);

/* Compares them with the file, as st_open does. A file without checksums is fine (*found, may be
 * NULL, is then false). ST_FORMAT names the tensor, or says that it is the header. Reads every
 * byte. */
Status st_verify(const StFile *f, bool *found, Error *e);

/* The text of that metadata (safetensors_checksum.c); mem_free(*out). */
Status st_checksum_text(const StMeta *meta, int nmeta, const StTensor *tensor, int ntensor,
                        char **out, Error *e);

/* Temporary file in the same folder, fsync, rename: either the old or the new file is there, never
 * half of one. The header keeps the order in which tensors were added; their data lies by falling
 * element size and without holes behind a header padded to 64 bytes, so that every tensor is
 * aligned to its own type. The same calls give the same bytes. ST_IO: cannot be written. Frees w in
 * all cases. */
Status st_commit(StWriter *w, const char *path, Error *e);

/* Without writing anything; NULL allowed. */
void st_writer_free(StWriter *w);

/* IEEE 754 binary16 and back: exact, and rounded to nearest even. */
float half_to_float(uint16_t h);
uint16_t float_to_half(float f);
#endif
