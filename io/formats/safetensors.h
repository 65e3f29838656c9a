/* safetensors.h: the .safetensors container: 8-byte little-endian header length, JSON header, raw
 * little-endian data. */
#ifndef PRLX_SAFETENSORS_H
#define PRLX_SAFETENSORS_H
#include "core/base.h"
#include "core/dtype.h"
/* data points into the mapping; may be unaligned */
typedef struct StTensor {
  char *name;
  DType dtype;
  Shape shape;
  const void *data;
  size_t bytes;
} StTensor;
typedef struct StMeta {
  char *key;
  char *value;
} StMeta;
typedef struct StFile {
  char *path;
  StTensor *tensor;
  int ntensor;
  StMeta *meta;
  int nmeta;
  void *map;
  size_t map_bytes;
} StFile;

/* Read-only mmap; every field is checked against the file before anything is allocated: offsets in
 * range, not overlapping, size = shape x dtype, names unique, rank <= MAX_RANK. */
Status st_open(StFile *f, const char *path, Error *e);
void st_close(StFile *f);
const StTensor *st_find(const StFile *f, const char *name); /* NULL if absent */
const char *st_meta(const StFile *f, const char *key);      /* NULL if absent */

/* Any dtype -> float or double, count numel; conversion is exact where the type allows. */
void st_to_f32(const StTensor *t, float *dst);
void st_to_f64(const StTensor *t, double *dst);

/* Same with name lookup and shape check; the error names file and tensor. */
Status st_read(const StFile *f, const char *name, Shape want, float *dst, Error *e);

typedef struct StWriter StWriter;
Status st_writer_new(StWriter **w, Error *e);

/* data is referenced, not copied: must live until st_commit */
Status st_add(StWriter *w, const char *name, DType dtype, Shape s, const void *data, Error *e);

/* converts (copy kept inside) */
Status st_add_f32_as_f16(StWriter *w, const char *name, Shape s, const float *data, Error *e);

/* Data that is made while it is written, so that it never lies in memory as a whole: fill hands out
 * the next piece (valid until the next call, at least one byte) until the tensor is complete.
 * Tensors of the same element size are written in the order in which they were added. */
typedef Status (*StFill)(void *ctx, const void **piece, size_t *bytes, Error *e);
Status st_add_stream(StWriter *w, const char *name, DType dtype, Shape s, StFill fill, void *ctx,
                     Error *e);
Status st_add_meta(StWriter *w, const char *key, const char *value, Error *e);
Status st_add_metaf(StWriter *w, Error *e, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Temporary file in the same folder, fsync, rename: either the old or the new file is there, never
 * half of one. Tensors are written in the given order (sorted by alignment is not needed; data
 * starts 8-aligned, each tensor 64-aligned is allowed through header padding). Frees w in all
 * cases. */
Status st_commit(StWriter *w, const char *path, Error *e);
void st_writer_free(StWriter *w);
float half_to_float(uint16_t h);
uint16_t float_to_half(float f); /* round to nearest even */
#endif
