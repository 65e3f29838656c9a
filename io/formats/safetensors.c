/* safetensors.c: reading (memory-mapped, everything checked first) and number types. Writing is in
 * safetensors_write.c. */
#include "io/formats/safetensors.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/bytes.h"
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/kind.h"
#include "io/formats/path.h"

#define MAX_HEADER ((uint64_t)100 << 20)

/* ---- header ---- */
typedef struct Reader {
  StFile *f;
  Json j;
  const char *data;
  uint64_t ndata;
  int cap;
  int mcap;
  bool meta_seen;
  Error *e;
} Reader;

static Status header_bad(Reader *r, const char *what) {
  if (r->j.nomem) return err_set(r->e, ST_NOMEM, "%s: out of memory for the header", r->f->path);
  return err_set(r->e, ST_FORMAT,
                 "%s: not a valid safetensors file: %s (byte %lld of the header); the file is "
                 "damaged or of another kind",
                 r->f->path, r->j.why ? r->j.why : what, (long long)(r->j.at - r->j.start));
}

static Status bad_tensor(Reader *r, const StTensor *t, const char *what) {
  char b[80];
  return err_set(r->e, ST_FORMAT,
                 "%s: tensor \"%s\": %s; the file is damaged or was written by a faulty program",
                 r->f->path, str_shown(t->name, b), what);
}

/* The format's metadata are texts: {"epoch": "3"}. */
static Status meta_bad(Reader *r, const char *key) {
  char b[80];
  if (!key) return header_bad(r, "__metadata__ is no object of texts");
  return err_set(r->e, ST_FORMAT,
                 "%s: __metadata__: the value of \"%s\" is no text; expected texts only, as the "
                 "format has them; save it again with str() around it",
                 r->f->path, str_shown(key, b));
}

static Status list_grow(Reader *r, void **list, int n, int *cap, size_t item) {
  if (n < *cap) return ST_OK;
  if (*cap > INT32_MAX / 2) return err_set(r->e, ST_FORMAT, "%s: too many entries", r->f->path);
  int next = *cap ? *cap * 2 : 16;
  void *p = mem_grow(*list, (size_t)n * item, (size_t)next * item);
  if (!p) return err_set(r->e, ST_NOMEM, "%s: out of memory for the table of tensors", r->f->path);
  *list = p;
  *cap = next;
  return ST_OK;
}

static Status read_meta(Reader *r) {
  if (r->meta_seen) return header_bad(r, "__metadata__ appears twice");
  r->meta_seen = true;
  if (json_peek(&r->j) == 'n') return json_skip(&r->j) ? ST_OK : header_bad(r, NULL); /* null */
  if (json_peek(&r->j) != '{') return meta_bad(r, NULL);
  if (!json_take(&r->j, '{')) return header_bad(r, NULL);
  if (json_try(&r->j, '}')) return ST_OK;
  do {
    TRY(list_grow(r, (void **)&r->f->meta, r->f->nmeta, &r->mcap, sizeof(StMeta)));
    StMeta *m = &r->f->meta[r->f->nmeta];
    if (!json_string(&r->j, &m->key)) return header_bad(r, NULL);
    r->f->nmeta++; /* from here st_close frees the entry */
    if (!json_take(&r->j, ':')) return header_bad(r, NULL);
    if (json_peek(&r->j) != '"') return meta_bad(r, m->key);
    if (!json_string(&r->j, &m->value)) return header_bad(r, NULL);
  } while (json_try(&r->j, ','));
  return json_take(&r->j, '}') ? ST_OK : header_bad(r, NULL);
}

static Status read_shape(Reader *r, StTensor *t) {
  t->shape = SHAPE0();
  if (!json_take(&r->j, '[')) return header_bad(r, NULL);
  if (json_try(&r->j, ']')) return ST_OK;
  do {
    uint64_t d;
    if (!json_uint(&r->j, &d)) return header_bad(r, NULL);
    if (t->shape.rank == MAX_RANK)
      return err_set(r->e, ST_FORMAT,
                     "%s: tensor \"%s\" has more than %d axes; expected at most that", r->f->path,
                     str_shown(t->name, (char[80]){0}), MAX_RANK);
    t->shape.dim[t->shape.rank++] = (int64_t)d;
  } while (json_try(&r->j, ','));
  return json_take(&r->j, ']') ? ST_OK : header_bad(r, NULL);
}

/* One entry {"dtype":..,"shape":..,"data_offsets":[a,b]}; t->data and t->bytes are set from the
 * offsets when they fit. */
static Status read_entry(Reader *r, StTensor *t) {
  uint64_t a = 0, b = 0;
  unsigned seen = 0;
  if (!json_take(&r->j, '{')) return header_bad(r, NULL);
  do {
    char *key, *text;
    if (!json_string(&r->j, &key)) return header_bad(r, NULL);
    unsigned bit = strcmp(key, "dtype") == 0          ? 1
                   : strcmp(key, "shape") == 0        ? 2
                   : strcmp(key, "data_offsets") == 0 ? 4
                                                      : 0;
    mem_free(key);
    if (seen & bit) return bad_tensor(r, t, "a field appears twice");
    seen |= bit;
    if (!json_take(&r->j, ':')) return header_bad(r, NULL);
    if (bit == 1) {
      if (!json_string(&r->j, &text)) return header_bad(r, NULL);
      int k = 0;
      while (k < DT_COUNT && strcmp(text, dtype_name((DType)k)) != 0) k++;
      mem_free(text);
      if (k == DT_COUNT)
        return bad_tensor(r, t, "its number type is none of the format's (safetensors 0.8)");
      t->dtype = (DType)k;
    } else if (bit == 2) {
      TRY(read_shape(r, t));
    } else if (bit == 4) {
      if (!json_take(&r->j, '[') || !json_uint(&r->j, &a) || !json_take(&r->j, ',') ||
          !json_uint(&r->j, &b) || !json_take(&r->j, ']'))
        return header_bad(r, NULL);
    } else if (!json_skip(&r->j)) {
      return header_bad(r, NULL);
    }
  } while (json_try(&r->j, ','));
  if (!json_take(&r->j, '}')) return header_bad(r, NULL);
  if (seen != 7) return bad_tensor(r, t, "dtype, shape or data_offsets is missing");
  if (a > b || b > r->ndata)
    return bad_tensor(r, t,
                      b > r->ndata ? "data lies beyond the end of the file (cut short?)"
                                   : "data_offsets run backwards");
  uint64_t want =
      dtype_bits(t->dtype); /* bits: of half a gigabyte no size_t of 32 bits holds them */
  bool fits = true, none = false;
  for (int i = 0; i < t->shape.rank; i++) {
    const uint64_t d = (uint64_t)t->shape.dim[i];
    none |= d == 0;
    fits = fits && (d == 0 || want <= UINT64_MAX / d);
    want *= d;
  }
  if (!fits && !none) return bad_tensor(r, t, "shape is impossibly large");
  if (!none && want % 8) return bad_tensor(r, t, "its numbers do not fill whole bytes");
  if ((none ? 0 : want / 8) != b - a)
    return bad_tensor(r, t, "shape and number type do not match the size of its data");
  t->data = r->data + a;
  t->bytes = b - a;
  return ST_OK;
}

static Status read_item(Reader *r) {
  char *name;
  if (!json_string(&r->j, &name)) return header_bad(r, NULL);
  if (strcmp(name, "__metadata__") == 0) {
    mem_free(name);
    return json_take(&r->j, ':') ? read_meta(r) : header_bad(r, NULL);
  }
  const Status s = list_grow(r, (void **)&r->f->tensor, r->f->ntensor, &r->cap, sizeof(StTensor));
  if (s != ST_OK) {
    mem_free(name);
    return s;
  }
  StTensor *t = &r->f->tensor[r->f->ntensor++]; /* from here st_close frees the name */
  t->name = name;
  return json_take(&r->j, ':') ? read_entry(r, t) : header_bad(r, NULL);
}

static Status read_header(Reader *r) {
  if (!json_take(&r->j, '{')) return header_bad(r, NULL);
  if (!json_try(&r->j, '}')) {
    do TRY(read_item(r));
    while (json_try(&r->j, ','));
    if (!json_take(&r->j, '}')) return header_bad(r, NULL);
  }
  return json_done(&r->j) ? ST_OK : header_bad(r, NULL);
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(StTensor *const *)a)->name, (*(StTensor *const *)b)->name);
}

static int by_key(const void *a, const void *b) {
  return strcmp((*(StMeta *const *)a)->key, (*(StMeta *const *)b)->key);
}

static int by_offset(const void *a, const void *b) {
  const StTensor *x = *(StTensor *const *)a, *y = *(StTensor *const *)b;
  if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
  /* an empty tensor may share the place where another begins */
  return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* p: room for a pointer to each tensor. Names occur once; data lies without overlap, without holes
 * and without a rest behind it. */
static Status check_tensors(Reader *r, void **p) {
  const StFile *f = r->f;
  for (int i = 0; i < f->ntensor; i++) p[i] = &f->tensor[i];
  qsort(p, (size_t)f->ntensor, sizeof *p, by_name);
  for (int i = 1; i < f->ntensor; i++)
    if (by_name(&p[i - 1], &p[i]) == 0) return bad_tensor(r, p[i], "name appears twice");
  qsort(p, (size_t)f->ntensor, sizeof *p, by_offset);
  const char *end = r->data; /* of all data so far */
  for (int i = 0; i < f->ntensor; i++) {
    const StTensor *t = p[i];
    if (t->bytes && (const char *)t->data < end)
      return bad_tensor(r, t, "data overlaps that of another tensor");
    if (t->bytes && (const char *)t->data > end)
      return bad_tensor(r, t, "a hole before its data, which the format forbids");
    if (t->bytes) end = (const char *)t->data + t->bytes;
  }
  const char *stop = (const char *)r->data + r->ndata;
  if (end == stop) return ST_OK;
  return err_set(r->e, ST_FORMAT,
                 "%s: %lld bytes after the last tensor; the file is damaged, or something was "
                 "appended to it",
                 f->path, (long long)(stop - end));
}

/* p: room for a pointer to each entry. */
static Status check_meta(Reader *r, void **p) {
  const StFile *f = r->f;
  for (int i = 0; i < f->nmeta; i++) p[i] = &f->meta[i];
  qsort(p, (size_t)f->nmeta, sizeof *p, by_key);
  for (int i = 1; i < f->nmeta; i++)
    if (by_key(&p[i - 1], &p[i]) == 0)
      return err_set(r->e, ST_FORMAT,
                     "%s: a metadata key appears twice; the file was written by a faulty program",
                     f->path);
  return ST_OK;
}

static Status check_unique(Reader *r) {
  const StFile *f = r->f;
  void **p = mem_alloc((size_t)PRLX_MAX(f->ntensor, f->nmeta) * sizeof *p);
  if (!p) return err_set(r->e, ST_NOMEM, "%s: out of memory for the table of tensors", f->path);
  Status s = check_tensors(r, p);
  if (s != ST_OK) goto done;
  s = check_meta(r, p);
done:
  mem_free(p);
  return s;
}

static Status map_failed(const char *path, int64_t bytes, Error *e) {
  if (errno == EFBIG || errno == EOVERFLOW)
    return err_set(e, ST_NOMEM,
                   "%s: %.1f GB, more than a program of %d bits can address; use a 64-bit build",
                   path, (double)bytes / 1e9, (int)sizeof(size_t) * 8);
  return err_set(e, errno == ENOMEM ? ST_NOMEM : ST_IO, "%s: cannot be mapped into memory: %s",
                 path, strerror(errno));
}

static Status map_file(StFile *f, Error *e) {
  int fd;
  int64_t bytes;
  TRY(file_open(f->path, &fd, &bytes, e));
  if (bytes >= 10) f->map = os_map(fd, bytes);
  os_close(fd);
  if (bytes < 10)
    return err_set(e, ST_FORMAT, "%s: only %lld bytes; expected a .safetensors file (at least 10)",
                   f->path, (long long)bytes);
  if (!f->map) return map_failed(f->path, bytes, e);
  f->map_bytes = (size_t)bytes;
  return ST_OK;
}

/* A header length that cannot be: another kind of file, or cut short. */
static Status header_length_bad(const StFile *f, uint64_t len, Error *e) {
  const char *kind = file_kind(f->map, f->map_bytes);
  if (kind && strcmp(kind, "a .safetensors file"))
    return err_set(e, ST_FORMAT, "%s: is %s; expected a .safetensors file%s", f->path, kind,
                   file_kind_mend(f->map, f->map_bytes));
  return err_set(e, ST_FORMAT, "%s: header length %llu %s; not a safetensors file, or cut short",
                 f->path, (unsigned long long)len,
                 len > MAX_HEADER ? "is above the limit of 100 MB" : "is more than the file holds");
}

/* What it has read so far is in f, for st_close. */
static Status read_file(StFile *f, Error *e) {
  TRY(map_file(f, e));
  const unsigned char *b = f->map;
  uint64_t len = 0, room = f->map_bytes - 8;
  for (int i = 7; i >= 0; i--) len = len << 8 | b[i];
  const char *pointer = file_pointer(b, f->map_bytes);
  if (pointer) return err_set(e, ST_FORMAT, "%s: %s", f->path, pointer);
  if (len > room || len > MAX_HEADER) return header_length_bad(f, len, e);
  Reader r = {f, {0}, (const char *)b + 8 + len, room - len, 0, 0, false, e};
  json_init(&r.j, (const char *)b + 8, len);
  if (len && b[8] != '{') return header_bad(&r, "it does not begin with {");
  TRY(read_header(&r));
  return check_unique(&r);
}

Status st_open(StFile *f, const char *path, Error *e) {
  char b[80];
  TRY(st_open_any(f, path, e));
  for (int i = 0; i < f->ntensor; i++) {
    const StTensor *t = &f->tensor[i];
    if (dtype_readable(t->dtype)) continue;
    const Status s = err_set(
        e, ST_FORMAT,
        "%s: tensor \"%s\" has numbers of type %s, which are not read here; expected %s", path,
        str_shown(t->name, b), dtype_name(t->dtype), "F32, F16, BF16, F64, F8, integers or BOOL");
    st_close(f);
    return s;
  }
  return ST_OK;
}

/* On a big-endian machine tensors are a copy in its order of bytes; elsewhere the file itself. */
static Status turn_numbers(StFile *f, Error *e) {
  if (!HOST_BIG || !f->ntensor) return ST_OK;
  f->turned = mem_alloc(f->map_bytes);
  if (!f->turned) return err_set(e, ST_NOMEM, "%s: out of memory for its tensors", f->path);
  for (int i = 0; i < f->ntensor; i++) {
    StTensor *t = &f->tensor[i];
    /* an F6 or F4 is no number of whole bytes */
    const size_t size = t->dtype == DT_C64 ? 4 : PRLX_MAX(dtype_size(t->dtype), 1);
    char *to = (char *)f->turned + ((const char *)t->data - (const char *)f->map);
    bytes_little(to, t->data, t->bytes / size, size);
    t->data = to;
  }
  return ST_OK;
}

Status st_open_any(StFile *f, const char *path, Error *e) {
  memset(f, 0, sizeof *f);
  f->path = mem_strdup(path);
  if (!f->path) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  Status s = read_file(f, e);
  if (s != ST_OK) goto done;
  s = turn_numbers(f, e);
  if (s != ST_OK) goto done;
  s = st_verify(f, NULL, e);
done:
  if (s != ST_OK) st_close(f);
  return s;
}

void st_close(StFile *f) {
  for (int i = 0; i < f->ntensor; i++) mem_free(f->tensor[i].name);
  for (int i = 0; i < f->nmeta; i++) {
    mem_free(f->meta[i].key);
    mem_free(f->meta[i].value);
  }
  mem_free(f->tensor);
  mem_free(f->meta);
  mem_free(f->turned);
  if (f->map) os_unmap(f->map, (int64_t)f->map_bytes);
  mem_free(f->path);
  memset(f, 0, sizeof *f);
}

const StTensor *st_find(const StFile *f, const char *name) {
  for (int i = 0; i < f->ntensor; i++)
    if (strcmp(f->tensor[i].name, name) == 0) return &f->tensor[i];
  return NULL;
}

const char *st_meta(const StFile *f, const char *key) {
  for (int i = 0; i < f->nmeta; i++)
    if (strcmp(f->meta[i].key, key) == 0) return f->meta[i].value;
  return NULL;
}

/* ---- number types ---- */
/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, ex = h >> 10 & 31, fr = h & 0x3ff, u;
  float f;
  if (ex == 31)
    u = sign | 0x7f800000 | fr << 13;
  else if (ex)
    u = sign | (ex + 112) << 23 | fr << 13;
  else {
    f = (float)fr * 0x1p-24f; /* subnormal: exact */
    memcpy(&u, &f, 4);
    u |= sign;
  }
  memcpy(&f, &u, 4);
  return f;
}

uint16_t float_to_half(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  uint32_t sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
  /* NaN stays NaN, made quiet */
  if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x1ff));
  if (a >= 0x47800000) return (uint16_t)(sign | 0x7c00); /* 65536 and above */
  /* below 2^-14: subnormal, unit 2^-24 */
  if (a < 0x38800000) {
    if (a < 0x33000000) return (uint16_t)sign; /* below half a unit */
    uint32_t m = (a & 0x7fffff) | 0x800000, k = 126 - (a >> 23), h = m >> k,
             rest = m & ((1u << k) - 1), half = 1u << (k - 1);
    return (uint16_t)(sign | (h + (rest > half || (rest == half && (h & 1)))));
  }
  uint32_t h = (a - 0x38000000) >> 13, rest = a & 0x1fff;
  /* a carry runs into the exponent, up to infinity: right */
  return (uint16_t)(sign | (h + (rest > 0x1000 || (rest == 0x1000 && (h & 1)))));
}

static float bf16_to_float(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

/* Numbers of 8 bits: sign, exponent, mantissa. E4M3 and E5M2: Micikevicius et al. 2022 (E4M3 has no
 * infinity, NaN is all ones); FNUZ: no -0, no infinity, 0x80 is NaN, one more in the bias; E8M0: a
 * power of two (OCP microscaling formats 1.0), 0xff is NaN. */
static float f8_to_float(uint8_t v, int mantissa, bool fnuz) {
  const int bias = (mantissa == 3 ? 7 : 15) + fnuz, top = mantissa == 3 ? 15 : 31;
  const int e = v >> mantissa & top, m = v & ((1 << mantissa) - 1);
  const float sign = v & 0x80 ? -1 : 1;
  if (fnuz && v == 0x80) return NAN;
  if (!fnuz && mantissa == 3 && (v & 0x7f) == 0x7f) return NAN;
  if (!fnuz && mantissa == 2 && e == top) return m ? NAN : sign * INFINITY;
  if (!e) return sign * ldexpf((float)m, 1 - bias - mantissa);
  return sign * ldexpf((float)(m + (1 << mantissa)), e - bias - mantissa);
}

static float e8m0_to_float(uint8_t v) { return v == 0xff ? NAN : ldexpf(1, v - 127); }

/* The mapping need not be aligned, so every element is copied out. */
#define LOAD(type, i)                                                        \
  ({                                                                         \
    type v_;                                                                 \
    memcpy(&v_, (const char *)t->data + (size_t)(i) * sizeof v_, sizeof v_); \
    v_;                                                                      \
  })
#define CONVERT(dst_type)                                                               \
  int64_t n = shape_numel(t->shape);                                                    \
  switch (t->dtype) {                                                                   \
    case DT_F32:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)LOAD(float, i);                \
      break;                                                                            \
    case DT_F64:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)LOAD(double, i);               \
      break;                                                                            \
    case DT_F16:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = half_to_float(LOAD(uint16_t, i));        \
      break;                                                                            \
    case DT_BF16:                                                                       \
      for (int64_t i = 0; i < n; i++) dst[i] = bf16_to_float(LOAD(uint16_t, i));        \
      break;                                                                            \
    case DT_I64:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)LOAD(int64_t, i);              \
      break;                                                                            \
    case DT_I32:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)LOAD(int32_t, i);              \
      break;                                                                            \
    case DT_I16:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = LOAD(int16_t, i);                        \
      break;                                                                            \
    case DT_I8:                                                                         \
      for (int64_t i = 0; i < n; i++) dst[i] = LOAD(int8_t, i);                         \
      break;                                                                            \
    case DT_U8:                                                                         \
      for (int64_t i = 0; i < n; i++) dst[i] = LOAD(uint8_t, i);                        \
      break;                                                                            \
    case DT_BOOL:                                                                       \
      for (int64_t i = 0; i < n; i++) dst[i] = LOAD(uint8_t, i) != 0;                   \
      break;                                                                            \
    case DT_U64:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)LOAD(uint64_t, i);             \
      break;                                                                            \
    case DT_U32:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)LOAD(uint32_t, i);             \
      break;                                                                            \
    case DT_U16:                                                                        \
      for (int64_t i = 0; i < n; i++) dst[i] = LOAD(uint16_t, i);                       \
      break;                                                                            \
    case DT_F8_E4M3:                                                                    \
      for (int64_t i = 0; i < n; i++) dst[i] = f8_to_float(LOAD(uint8_t, i), 3, false); \
      break;                                                                            \
    case DT_F8_E5M2:                                                                    \
      for (int64_t i = 0; i < n; i++) dst[i] = f8_to_float(LOAD(uint8_t, i), 2, false); \
      break;                                                                            \
    case DT_F8_E4M3FNUZ:                                                                \
      for (int64_t i = 0; i < n; i++) dst[i] = f8_to_float(LOAD(uint8_t, i), 3, true);  \
      break;                                                                            \
    case DT_F8_E5M2FNUZ:                                                                \
      for (int64_t i = 0; i < n; i++) dst[i] = f8_to_float(LOAD(uint8_t, i), 2, true);  \
      break;                                                                            \
    case DT_F8_E8M0:                                                                    \
      for (int64_t i = 0; i < n; i++) dst[i] = e8m0_to_float(LOAD(uint8_t, i));         \
      break;                                                                            \
    default:                                                                            \
      for (int64_t i = 0; i < n; i++) dst[i] = (dst_type)NAN;                           \
      break; /* not readable: st_open refuses such a file */                            \
  }
void st_to_f32(const StTensor *t, float *dst) {
  if (t->dtype == DT_F32) {
    memcpy(dst, t->data, t->bytes);
    return;
  }
  CONVERT(float)
}

void st_to_f64(const StTensor *t, double *dst){CONVERT(double)}

Status st_read(const StFile *f, const char *name, Shape want, float *dst, Error *e) {
  char b[80], s1[96], s2[96];
  const StTensor *t = st_find(f, name);
  if (!t)
    return err_set(e, ST_FORMAT, "%s: tensor \"%s\" is missing; expected shape %s", f->path,
                   str_shown(name, b), shape_str(want, s1));
  if (!shape_eq(t->shape, want))
    return err_set(e, ST_FORMAT, "%s: tensor \"%s\" has shape %s; expected %s", f->path,
                   str_shown(name, b), shape_str(t->shape, s1), shape_str(want, s2));
  st_to_f32(t, dst);
  return ST_OK;
}
