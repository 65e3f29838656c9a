/* nifti_header.c: the NIfTI-1 and NIfTI-2 headers: fields and checks; nifti_affine.c makes the
 * orientation of them. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/kind.h"
#include "io/formats/nifti_impl.h"

/* ---- data types ---- */
typedef struct TypeInfo {
  int code;
  int bytes;
  const char *name;
} TypeInfo;
static const TypeInfo types[] = {
    {1, 0, "binary"},    {2, 1, "uint8"},        {4, 2, "int16"},          {8, 4, "int32"},
    {16, 4, "float32"},  {32, 8, "complex64"},   {64, 8, "float64"},       {128, 3, "RGB24"},
    {256, 1, "int8"},    {512, 2, "uint16"},     {768, 4, "uint32"},       {1024, 8, "int64"},
    {1280, 8, "uint64"}, {1536, 16, "float128"}, {1792, 16, "complex128"}, {2048, 32, "complex256"},
    {2304, 4, "RGBA32"}};
static const TypeInfo *type_of(int code) {
  for (int i = 0; i < COUNT_OF(types); i++)
    if (types[i].code == code) return &types[i];
  return NULL;
}

const char *nifti_datatype_name(int datatype) {
  return type_of(datatype) ? type_of(datatype)->name : "unknown";
}

int nifti_datatype_bytes(int datatype) { return type_of(datatype) ? type_of(datatype)->bytes : 0; }
const char *nifti_form_name(int code) {
  static const char *const names[] = {"none", "scanner", "aligned", "talairach", "mni", "template"};
  return code >= 0 && code < COUNT_OF(names) ? names[code] : "unknown";
}

/* ---- fields ---- */
typedef struct Src {
  const uint8_t *p;
  bool big;
} Src;
static uint64_t get_u(const Src *s, size_t at, int bytes) {
  uint64_t v = 0;
  for (int k = 0; k < bytes; k++)
    v |= (uint64_t)s->p[at + (size_t)(s->big ? bytes - 1 - k : k)] << 8 * k;
  return v;
}

static int get_i16(const Src *s, size_t at) { return (int16_t)get_u(s, at, 2); }
static int get_i32(const Src *s, size_t at) { return (int32_t)get_u(s, at, 4); }
static int64_t get_i64(const Src *s, size_t at) { return (int64_t)get_u(s, at, 8); }
static double get_f32(const Src *s, size_t at) {
  uint32_t u = (uint32_t)get_u(s, at, 4);
  float f;
  memcpy(&f, &u, 4);
  return f;
}

static double get_f64(const Src *s, size_t at) {
  uint64_t u = get_u(s, at, 8);
  double f;
  memcpy(&f, &u, 8);
  return f;
}

static void get_text(const Src *s, size_t at, int bytes, char *out) {
  memcpy(out, s->p + at, (size_t)bytes);
  out[bytes] = 0;
}

void nifti_warn(NiftiHeader *h, const char *fmt, ...) {
  size_t n = strlen(h->warning);
  if (n) n += (size_t)snprintf(h->warning + n, sizeof h->warning - n, "; ");
  if (n >= sizeof h->warning) return;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(h->warning + n, sizeof h->warning - n, fmt, ap);
  va_end(ap);
}

/* what is judged after all fields are there */
typedef struct Forms {
  double sform[12];
  double vox_offset;
} Forms;

static void fields_v1(const Src *s, NiftiHeader *h, Forms *f) {
  h->dim_info = s->p[39];
  for (int i = 0; i < 8; i++) h->dim[i] = get_i16(s, 40 + 2 * (size_t)i);
  for (int i = 0; i < 3; i++) h->intent_p[i] = get_f32(s, 56 + 4 * (size_t)i);
  h->intent_code = get_i16(s, 68);
  h->datatype = get_i16(s, 70);
  h->bitpix = get_i16(s, 72);
  h->slice_start = get_i16(s, 74);
  for (int i = 0; i < 8; i++) h->pixdim[i] = get_f32(s, 76 + 4 * (size_t)i);
  f->vox_offset = get_f32(s, 108);
  h->scl_slope = get_f32(s, 112);
  h->scl_inter = get_f32(s, 116);
  h->slice_end = get_i16(s, 120);
  h->slice_code = s->p[122];
  h->xyzt_units = s->p[123];
  h->cal_max = get_f32(s, 124);
  h->cal_min = get_f32(s, 128);
  h->slice_duration = get_f32(s, 132);
  h->toffset = get_f32(s, 136);
  get_text(s, 148, 80, h->descrip);
  get_text(s, 228, 24, h->aux_file);
  h->qform_code = get_i16(s, 252);
  h->sform_code = get_i16(s, 254);
  for (int i = 0; i < 3; i++) h->quatern[i] = get_f32(s, 256 + 4 * (size_t)i);
  for (int i = 0; i < 3; i++) h->qoffset[i] = get_f32(s, 268 + 4 * (size_t)i);
  for (int i = 0; i < 12; i++) f->sform[i] = get_f32(s, 280 + 4 * (size_t)i);
  get_text(s, 328, 16, h->intent_name);
}

static void fields_v2(const Src *s, NiftiHeader *h, Forms *f) {
  h->datatype = get_i16(s, 12);
  h->bitpix = get_i16(s, 14);
  for (int i = 0; i < 8; i++) h->dim[i] = get_i64(s, 16 + 8 * (size_t)i);
  for (int i = 0; i < 3; i++) h->intent_p[i] = get_f64(s, 80 + 8 * (size_t)i);
  for (int i = 0; i < 8; i++) h->pixdim[i] = get_f64(s, 104 + 8 * (size_t)i);
  f->vox_offset = (double)get_i64(s, 168);
  h->scl_slope = get_f64(s, 176);
  h->scl_inter = get_f64(s, 184);
  h->cal_max = get_f64(s, 192);
  h->cal_min = get_f64(s, 200);
  h->slice_duration = get_f64(s, 208);
  h->toffset = get_f64(s, 216);
  h->slice_start = get_i64(s, 224);
  h->slice_end = get_i64(s, 232);
  get_text(s, 240, 80, h->descrip);
  get_text(s, 320, 24, h->aux_file);
  h->qform_code = get_i32(s, 344);
  h->sform_code = get_i32(s, 348);
  for (int i = 0; i < 3; i++) h->quatern[i] = get_f64(s, 352 + 8 * (size_t)i);
  for (int i = 0; i < 3; i++) h->qoffset[i] = get_f64(s, 376 + 8 * (size_t)i);
  for (int i = 0; i < 12; i++) f->sform[i] = get_f64(s, 400 + 8 * (size_t)i);
  h->slice_code = get_i32(s, 496);
  h->xyzt_units = get_i32(s, 500);
  h->intent_code = get_i32(s, 504);
  get_text(s, 508, 16, h->intent_name);
  h->dim_info = s->p[524];
}

/* ---- checks ---- */
static Status check_kind(const uint8_t *p, size_t n, const char *name, Src *s, NiftiHeader *h,
                         Error *e) {
  const char *pointer = file_pointer(p, n);
  if (pointer) return err_set(e, ST_FORMAT, "%s: %s", name, pointer);
  if (n < 4)
    return err_set(
        e, ST_FORMAT,
        "%s: %zu bytes; expected a NIfTI header of 348 bytes or more; the file is cut short", name,
        n);
  Src le = {p, false}, be = {p, true};
  int a = get_i32(&le, 0), b = get_i32(&be, 0);
  const char *kind = file_kind(p, n);
  if (a != 348 && a != 540 && b != 348 && b != 540 && kind && !strstr(kind, "NIfTI"))
    return err_set(e, ST_FORMAT, "%s: not a NIfTI file: it is %s; expected .nii, .nii.gz or .hdr%s",
                   name, kind, file_kind_convert(p, n));
  if (a != 348 && a != 540 && b != 348 && b != 540)
    return err_set(e, ST_FORMAT,
                   "%s: not a NIfTI file: it begins with %02x %02x %02x %02x; expected a header "
                   "size of 348 (NIfTI-1) or 540 (NIfTI-2)",
                   name, p[0], p[1], p[2], p[3]);
  *s = b == 348 || b == 540 ? be : le;
  h->version = (s->big ? b : a) == 348 ? 1 : 2;
  h->swapped = s->big != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
  size_t need = h->version == 1 ? NIFTI1_BYTES : NIFTI2_BYTES;
  if (n < need)
    return err_set(e, ST_FORMAT, "%s: %zu bytes; a NIfTI-%d header has %zu; the file is cut short",
                   name, n, h->version, need);
  const uint8_t *m = p + (h->version == 1 ? 344 : 4);
  bool single = m[0] == 'n' && m[1] == '+',
       known = (single || (m[0] == 'n' && m[1] == 'i')) && m[2] == '0' + h->version && m[3] == 0;
  if (!known && h->version == 1 && (m[0] == 0 || m[1] == 0))
    return err_set(e, ST_FORMAT,
                   "%s: an ANALYZE 7.5 header (no NIfTI magic): its orientation is unknown; "
                   "convert it to NIfTI first",
                   name);
  if (!known)
    return err_set(e, ST_FORMAT,
                   "%s: NIfTI-%d header with the wrong magic %02x %02x %02x %02x; the file is "
                   "damaged or of another kind",
                   name, h->version, m[0], m[1], m[2], m[3]);
  if (h->version == 2 && memcmp(m + 4, "\r\n\032\n", 4) != 0)
    return err_set(e, ST_FORMAT,
                   "%s: NIfTI-2 header whose line ends were changed: it was copied as text; copy "
                   "it again in binary mode",
                   name);
  h->pair = !single;
  return ST_OK;
}

static Status check_dims(NiftiHeader *h, const char *name, Error *e) {
  if (h->dim[0] < 1 || h->dim[0] > 7)
    return err_set(e, ST_FORMAT,
                   "%s: dim[0] = %lld; expected 1 to 7 dimensions; the header is damaged", name,
                   (long long)h->dim[0]);
  h->ndim = (int)h->dim[0];
  h->nvox = 1;
  for (int i = 1; i <= 7; i++) {
    if (i > h->ndim) {
      h->dim[i] = 1;
      continue;
    }
    if (h->dim[i] < 1)
      return err_set(e, ST_FORMAT, "%s: dim[%d] = %lld; expected 1 or more; the header is damaged",
                     name, i, (long long)h->dim[i]);
    if (__builtin_mul_overflow(h->nvox, h->dim[i], &h->nvox) || h->nvox > INT64_MAX / 64)
      return err_set(e, ST_FORMAT,
                     "%s: the dimensions multiply to more than 10^17 voxels; the header is damaged",
                     name);
  }
  const TypeInfo *t = type_of(h->datatype);
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: data type code %d is not in the NIfTI standard; the header is damaged",
                   name, h->datatype);
  if (t->bytes && h->bitpix != 8 * t->bytes)
    nifti_warn(h, "bitpix is %d, %s has %d (used)", h->bitpix, t->name, 8 * t->bytes);
  return ST_OK;
}

static Status check_offset(NiftiHeader *h, double at, const char *name, Error *e) {
  double least = h->pair ? 0 : h->version == 1 ? 352 : 544;
  if (at == 0 && !h->pair) {
    nifti_warn(h, "vox_offset is 0 in a single file: voxels are taken to begin at byte %g", least);
    at = least;
  }
  if (!(at >= least && at < 9e15) || at != floor(at))
    return err_set(
        e, ST_FORMAT,
        "%s: vox_offset = %g; expected a whole number of bytes, %g or more; the header is damaged",
        name, at, least);
  h->vox_offset = (int64_t)at;
  return ST_OK;
}

/* Header extensions (standard, "extender"): sizes are read only to be counted. */
static void count_extensions(NiftiHeader *h, const Src *s, size_t n) {
  size_t at = h->version == 1 ? NIFTI1_BYTES : NIFTI2_BYTES;
  if (n < at + 4 || s->p[at] == 0) return;
  /* what lies behind n was not looked at */
  size_t end = h->pair ? n : (size_t)PRLX_MIN((uint64_t)h->vox_offset, n);
  for (at += 4; end - at >= 8;) {
    int size = get_i32(s, at);
    if (size < 16 || size % 16 || (!h->pair && (int64_t)at + size > h->vox_offset)) {
      nifti_warn(h, "extension %d has an impossible size (%d bytes): skipped", h->extensions + 1,
                 size);
      return;
    }
    h->extensions++;
    h->extension_bytes += size;
    if ((size_t)size > end - at) return;
    at += (size_t)size;
  }
}

bool nifti_total_bytes(const NiftiHeader *h, size_t *total) {
  return mul_ok((size_t)nifti_datatype_bytes(h->datatype), (uint64_t)h->nvox, total) &&
         !__builtin_add_overflow(*total, h->vox_offset, total);
}

Status nifti_parse(const uint8_t *p, size_t n, const char *name, NiftiHeader *h, Error *e) {
  Src src = {p, false};
  Forms f = {{0}, 0};
  memset(h, 0, sizeof *h);
  TRY(check_kind(p, n, name, &src, h, e));
  if (h->version == 1)
    fields_v1(&src, h, &f);
  else
    fields_v2(&src, h, &f);
  TRY(check_dims(h, name, e));
  TRY(check_offset(h, f.vox_offset, name, e));
  nifti_find_affine(h, f.sform);
  if (isfinite(h->scl_slope) && h->scl_slope != 0 && !isfinite(h->scl_inter))
    nifti_warn(h, "scl_inter is %g and counts as 0", h->scl_inter);
  count_extensions(h, &src, n);
  return ST_OK;
}
