/* nifti_write.c: NIfTI files of float32, and of uint8 or uint16 for masks and label maps, always
 * little-endian, so that the same volume gives the same bytes on every machine. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/gzip.h"
#include "io/formats/nifti_impl.h"
#include "io/formats/path.h"

static void put_u(uint8_t *p, size_t at, uint64_t v, int bytes) {
  for (int k = 0; k < bytes; k++) p[at + (size_t)k] = (uint8_t)(v >> 8 * k);
}

static void put_f32(uint8_t *p, size_t at, double v) {
  float f = (float)v;
  uint32_t u;
  memcpy(&u, &f, 4);
  put_u(p, at, u, 4);
}

static void put_f64(uint8_t *p, size_t at, double v) {
  uint64_t u;
  memcpy(&u, &v, 8);
  put_u(p, at, u, 8);
}

static void put_text(uint8_t *p, size_t at, const char *s, size_t room) {
  memcpy(p + at, s, PRLX_MIN(strlen(s), room));
}

static void header_v1(const NiftiHeader *h, int type, uint8_t *p) {
  put_u(p, 0, 348, 4);
  p[38] = 'r'; /* "regular", unused, but old readers look */
  p[39] = (uint8_t)h->dim_info;
  for (size_t i = 0; i < 8; i++) put_u(p, 40 + 2 * i, (uint64_t)(i ? h->dim[i] : h->ndim), 2);
  for (size_t i = 0; i < 3; i++) put_f32(p, 56 + 4 * i, h->intent_p[i]);
  put_u(p, 68, (uint64_t)h->intent_code, 2);
  put_u(p, 70, (uint64_t)type, 2);
  put_u(p, 72, 8 * (uint64_t)nifti_datatype_bytes(type), 2);
  put_u(p, 74, (uint64_t)h->slice_start, 2);
  for (size_t i = 0; i < 8; i++) put_f32(p, 76 + 4 * i, h->pixdim[i]);
  put_f32(p, 108, 352);
  put_f32(p, 112, 1); /* scl_slope; scl_inter stays 0 */
  put_u(p, 120, (uint64_t)h->slice_end, 2);
  p[122] = (uint8_t)h->slice_code;
  p[123] = (uint8_t)h->xyzt_units;
  put_f32(p, 124, h->cal_max);
  put_f32(p, 128, h->cal_min);
  put_f32(p, 132, h->slice_duration);
  put_f32(p, 136, h->toffset);
  put_text(p, 148, h->descrip, 80);
  put_text(p, 228, h->aux_file, 24);
  put_u(p, 252, (uint64_t)h->qform_code, 2);
  put_u(p, 254, (uint64_t)h->sform_code, 2);
  for (size_t i = 0; i < 3; i++) put_f32(p, 256 + 4 * i, h->quatern[i]);
  for (size_t i = 0; i < 3; i++) put_f32(p, 268 + 4 * i, h->qoffset[i]);
  for (size_t i = 0; i < 12 && h->sform_code > 0; i++) put_f32(p, 280 + 4 * i, h->affine[i]);
  put_text(p, 328, h->intent_name, 16);
  memcpy(p + 344, "n+1", 4);
}

static void header_v2(const NiftiHeader *h, int type, uint8_t *p) {
  put_u(p, 0, 540, 4);
  memcpy(p + 4, "n+2\0\r\n\032\n", 8);
  put_u(p, 12, (uint64_t)type, 2);
  put_u(p, 14, 8 * (uint64_t)nifti_datatype_bytes(type), 2);
  for (size_t i = 0; i < 8; i++) put_u(p, 16 + 8 * i, (uint64_t)(i ? h->dim[i] : h->ndim), 8);
  for (size_t i = 0; i < 3; i++) put_f64(p, 80 + 8 * i, h->intent_p[i]);
  for (size_t i = 0; i < 8; i++) put_f64(p, 104 + 8 * i, h->pixdim[i]);
  put_u(p, 168, 544, 8);
  put_f64(p, 176, 1);
  put_f64(p, 192, h->cal_max);
  put_f64(p, 200, h->cal_min);
  put_f64(p, 208, h->slice_duration);
  put_f64(p, 216, h->toffset);
  put_u(p, 224, (uint64_t)h->slice_start, 8);
  put_u(p, 232, (uint64_t)h->slice_end, 8);
  put_text(p, 240, h->descrip, 80);
  put_text(p, 320, h->aux_file, 24);
  put_u(p, 344, (uint64_t)h->qform_code, 4);
  put_u(p, 348, (uint64_t)h->sform_code, 4);
  for (size_t i = 0; i < 3; i++) put_f64(p, 352 + 8 * i, h->quatern[i]);
  for (size_t i = 0; i < 3; i++) put_f64(p, 376 + 8 * i, h->qoffset[i]);
  for (size_t i = 0; i < 12 && h->sform_code > 0; i++) put_f64(p, 400 + 8 * i, h->affine[i]);
  put_u(p, 496, (uint64_t)h->slice_code, 4);
  put_u(p, 500, (uint64_t)h->xyzt_units, 4);
  put_u(p, 504, (uint64_t)h->intent_code, 4);
  put_text(p, 508, h->intent_name, 16);
  p[524] = (uint8_t)h->dim_info;
}

/* n values of type to dst; integers are checked before. */
static void copy_values(uint8_t *dst, const float *src, size_t n, int type) {
  if (type == NIFTI_UINT8)
    for (size_t i = 0; i < n; i++) dst[i] = (uint8_t)src[i];
  else if (type == NIFTI_UINT16)
    for (size_t i = 0; i < n; i++) put_u(dst, 2 * i, (uint64_t)src[i], 2);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  else
    for (size_t i = 0; i < n; i++) put_f32(dst, 4 * i, src[i]);
#else
  else
    memcpy(dst, src, 4 * n);
#endif
}

static Status write_gzip(const char *path, const uint8_t *head, size_t nhead, const float *data,
                         size_t n, int type, Error *e) {
  const size_t bytes = nhead + (size_t)nifti_datatype_bytes(type) * n;
  uint8_t *raw = mem_alloc(bytes), *packed = NULL;
  size_t got = 0;
  if (!raw) return err_set(e, ST_NOMEM, "%s: out of memory for %zu voxels", path, n);
  memcpy(raw, head, nhead);
  copy_values(raw + nhead, data, n, type);
  Status s = gzip_encode(raw, bytes, &packed, &got, e);
  mem_free(raw);
  if (s != ST_OK) return s;
  s = file_write_atomic(path, packed, got, e);
  mem_free(packed);
  return s;
}

static Status voxels_write(AtomicFile *f, const float *data, size_t n, int type, Error *e) {
  enum { VOXELS_AT_ONCE = 1 << 16 };
  const size_t one = (size_t)nifti_datatype_bytes(type);
  uint8_t *buf = mem_alloc(one * VOXELS_AT_ONCE);
  if (!buf) return err_set(e, ST_NOMEM, "%s: out of memory", f->path);
  Status s = ST_OK;
  for (size_t i = 0; i < n && s == ST_OK; i += VOXELS_AT_ONCE) {
    const size_t k = PRLX_MIN((size_t)VOXELS_AT_ONCE, n - i);
    copy_values(buf, data + i, k, type);
    s = atomic_write(f, buf, one * k, e);
  }
  mem_free(buf);
  return s;
}

static Status write_plain(const char *path, const uint8_t *head, size_t nhead, const float *data,
                          size_t n, int type, Error *e) {
  AtomicFile f;
  TRY(atomic_begin(&f, path, e));
  Status s = atomic_write(&f, head, nhead, e);
  if (s != ST_OK) goto failed;
  s = voxels_write(&f, data, n, type, e);
  if (s != ST_OK) goto failed;
  return atomic_commit(&f, e);
failed:
  atomic_abort(&f);
  return s;
}

/* Whole numbers that the type holds, or an error that names the voxel. */
static Status check_integers(const char *path, const float *data, size_t n, int type, Error *e) {
  const float top = type == NIFTI_UINT8 ? 255 : 65535;
  for (size_t i = 0; i < n; i++)
    if (!(data[i] >= 0 && data[i] <= top && data[i] == rintf(data[i])))
      return err_set(e, ST_INVALID,
                     "%s: value %g at voxel %zu; expected whole numbers from 0 to %g for %s", path,
                     (double)data[i], i, (double)top, nifti_datatype_name(type));
  return ST_OK;
}

static Status write_as(const char *path, const float *data, const NiftiHeader *like, int type,
                       Error *e) {
  NiftiHeader h = *like;
  uint8_t head[544] = {0};
  size_t n = 1;
  bool gz = path_has_ending(path, ".nii.gz");
  if (!gz && !path_has_ending(path, ".nii"))
    return err_set(e, ST_INVALID,
                   "%s: unknown kind of volume; expected a name that ends in .nii or .nii.gz",
                   path);
  if (h.ndim < 1 || h.ndim > 7)
    return err_set(e, ST_INVALID, "%s: %d dimensions; expected 1 to 7", path, h.ndim);
  for (int i = 1; i <= 7; i++) {
    if (i > h.ndim) h.dim[i] = 1;
    if (h.dim[i] < 1 || !mul_ok(n, (uint64_t)h.dim[i], &n) || n > SIZE_MAX / 16)
      return err_set(
          e, ST_INVALID,
          "%s: dimension %d is %lld; expected 1 or more, and a volume that fits in memory", path, i,
          (long long)h.dim[i]);
    if (h.dim[i] > INT16_MAX) h.version = 2;
  }
  if (h.slice_end > INT16_MAX || h.slice_start > INT16_MAX) h.slice_start = h.slice_end = 0;
  for (int i = 0; i < 16; i++)
    if (!isfinite(h.affine[i]))
      return err_set(e, ST_INVALID, "%s: the affine has a NaN or infinite entry", path);
  nifti_forms_to_write(&h);
  if (type != NIFTI_FLOAT32) TRY(check_integers(path, data, n, type, e));
  if (h.version == 2)
    header_v2(&h, type, head);
  else
    header_v1(&h, type, head);
  size_t nhead = h.version == 2 ? 544 : 352;
  return gz ? write_gzip(path, head, nhead, data, n, type, e)
            : write_plain(path, head, nhead, data, n, type, e);
}

Status nifti_write_like(const char *path, const float *data, const NiftiHeader *like, Error *e) {
  return write_as(path, data, like, NIFTI_FLOAT32, e);
}

Status nifti_write(const char *path, const float *data, const int64_t dim[4],
                   const double affine[16], const char *descrip, Error *e) {
  return nifti_write_as(path, data, dim, affine, NIFTI_FLOAT32, descrip, e);
}

Status nifti_write_as(const char *path, const float *data, const int64_t dim[4],
                      const double affine[16], NiftiType type, const char *descrip, Error *e) {
  NiftiHeader h = {.version = 1,
                   .ndim = dim[3] > 1 ? 4 : 3,
                   .form = NIFTI_SFORM,
                   .sform_code = 1,
                   .qform_code = 1};
  double inv[16];
  for (int i = 0; i < 4; i++) h.dim[i + 1] = dim[i];
  for (int i = 5; i < 8; i++) h.dim[i] = 1;
  if (affine_invert(affine, inv, NULL) != ST_OK)
    return err_set(e, ST_INVALID,
                   "%s: the affine is singular or not finite; expected independent axes in mm",
                   path);
  memcpy(h.affine, affine, sizeof h.affine);
  for (int i = 0; i < 3; i++) {
    h.pixdim[i + 1] =
        sqrt(affine[i] * affine[i] + affine[4 + i] * affine[4 + i] + affine[8 + i] * affine[8 + i]);
    h.qoffset[i] = affine[4 * i + 3];
  }
  /* a quaternion cannot hold shear: then nifti_write_like finds the nearest */
  if (nifti_quaternion(affine, h.quatern, &h.pixdim[0]) > NIFTI_SHEAR) h.qform_code = 0;
  h.pixdim[4] = dim[3] > 1 ? 1 : 0;
  h.xyzt_units = dim[3] > 1 ? 2 | 8 : 2;
  snprintf(h.descrip, sizeof h.descrip, "%.79s", descrip ? descrip : "");
  return write_as(path, data, &h, (int)type, e);
}
