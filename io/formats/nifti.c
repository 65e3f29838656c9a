/* nifti.c: reading NIfTI volumes: from a file or from memory, voxels widened to float.
 * nifti_header.c has the header, nifti_write.c the writer. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/gzip.h"
#include "io/formats/nifti_impl.h"
#include "io/formats/path.h"

/* read to look at a header; extensions beyond are not counted */
#define HEAD_BYTES ((size_t)1 << 16)
#define PIECE ((size_t)1 << 20)    /* bytes converted at a time */
#define TRAILING ((size_t)1 << 20) /* decompressed bytes tolerated behind the last voxel */

/* ---- voxels ---- */
/* The product must be rounded before the sum, or results would depend on the machine: no fused
 * multiply-add here. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#define NO_FMA
#else
#define NO_FMA __attribute__((optimize("fp-contract=off")))
#endif
#define SAME(u) (u)
#define CONVERT(T, U, SWAP)                                    \
  do {                                                         \
    for (size_t i = 0; i < n; i++) {                           \
      U u;                                                     \
      T x;                                                     \
      memcpy(&u, src + i * sizeof u, sizeof u);                \
      if (h->swapped) u = (U)SWAP(u);                          \
      memcpy(&x, &u, sizeof x);                                \
      double v = (double)x;                                    \
      dst[i] = scaled ? (float)(v * slope + inter) : (float)v; \
    }                                                          \
  } while (0)
NO_FMA static void voxels_widen(const NiftiHeader *h, const uint8_t *src, size_t n, float *dst) {
  double slope = h->scl_slope, inter = isfinite(h->scl_inter) ? h->scl_inter : 0;
  bool scaled = isfinite(slope) && slope != 0 && (slope != 1 || inter != 0);
  switch (h->datatype) {
    case 2: CONVERT(uint8_t, uint8_t, SAME); break;
    case 256: CONVERT(int8_t, uint8_t, SAME); break;
    case 4: CONVERT(int16_t, uint16_t, __builtin_bswap16); break;
    case 512: CONVERT(uint16_t, uint16_t, __builtin_bswap16); break;
    case 8: CONVERT(int32_t, uint32_t, __builtin_bswap32); break;
    case 768: CONVERT(uint32_t, uint32_t, __builtin_bswap32); break;
    case 16: CONVERT(float, uint32_t, __builtin_bswap32); break;
    case 1024: CONVERT(int64_t, uint64_t, __builtin_bswap64); break;
    case 1280: CONVERT(uint64_t, uint64_t, __builtin_bswap64); break;
    case 64: CONVERT(double, uint64_t, __builtin_bswap64); break;
    default: break; /* check_readable let only these pass */
  }
}

static Status check_readable(const NiftiHeader *h, const char *name, Error *e) {
  if ((h->xyzt_units & 7) > 3)
    return err_set(
        e, ST_FORMAT,
        "%s: spatial unit code %d in xyzt_units; expected 0 (not said), 1 (m), 2 (mm) or "
        "3 (um); correct the header",
        name, h->xyzt_units & 7);
  switch (h->datatype) {
    case 2:
    case 4:
    case 8:
    case 16:
    case 64:
    case 256:
    case 512:
    case 768:
    case 1024:
    case 1280: return ST_OK;
    default: break;
  }
  const char *mend = h->datatype == 32 || h->datatype == 1792 || h->datatype == 2048
                         ? "save magnitude, phase or the real part as float32"
                     : h->datatype == 128 || h->datatype == 2304
                         ? "save one grey channel as uint8 or float32"
                         : "save it as float32 or float64";
  return err_set(e, ST_FORMAT,
                 "%s: %s voxels; expected integers of 8 to 64 bits, float32 or float64; %s", name,
                 nifti_datatype_name(h->datatype), mend);
}

/* ---- sizes ---- */
static const char *dims_text(const NiftiHeader *h, char buf[160]) {
  size_t n = 0;
  for (int i = 1; i <= h->ndim && n < 160; i++)
    n += (size_t)snprintf(buf + n, 160 - n, "%s%lld", i > 1 ? "x" : "", (long long)h->dim[i]);
  return buf;
}

/* `have` bytes are there, or can be at most if they are compressed. */
static Status check_size(const NiftiHeader *h, size_t have, bool packed, const char *name,
                         Error *e) {
  size_t total;
  char dims[160];
  bool fits = nifti_total_bytes(h, &total);
  if (fits && total <= have) return ST_OK;
  if (!fits) total = SIZE_MAX;
  return err_set(e, ST_FORMAT,
                 "%s: the header (%s voxels of %s from byte %lld) asks for %zu bytes; the file %s "
                 "%zu; it is cut short or its header is wrong: copy it again from its source",
                 name, dims_text(h, dims), nifti_datatype_name(h->datatype),
                 (long long)h->vox_offset, total,
                 packed ? "is compressed and cannot hold more than" : "has", have);
}

/* A volume larger than the machine's memory would only end in swapping or in a killed process. */
static Status check_memory(const NiftiHeader *h, size_t packed, const char *name, Error *e) {
  const double total = (double)os_memory_total();
  double need = 4.0 * (double)h->nvox;
  size_t raw;
  if (packed && nifti_total_bytes(h, &raw)) need += (double)raw + (double)packed;
  if (total <= 0 || need <= total) return ST_OK;
  return err_set(
      e, ST_NOMEM,
      "%s: needs %.1f GB of memory; this machine has %.1f; crop the volume or use a larger machine",
      name, need / 1e9, total / 1e9);
}

/* ---- files ---- */
typedef struct Source {
  int fd;
  size_t size;
  bool gz;
} Source;
static Status read_at(int fd, const char *path, uint8_t *p, size_t n, size_t at, Error *e) {
  while (n) {
    const int64_t k = os_read_at(fd, p, n, (int64_t)at);
    if (k <= 0)
      return err_set(e, ST_IO, "%s: reading failed: %s", path,
                     k ? strerror(errno) : "the file became shorter while it was read");
    p += k;
    at += (size_t)k;
    n -= (size_t)k;
  }
  return ST_OK;
}

static void source_close(Source *s) {
  if (s->fd >= 0) os_close(s->fd);
  s->fd = -1;
}

static Status source_open(Source *s, const char *path, Error *e) {
  int64_t bytes;
  uint8_t magic[3] = {0};
  *s = (Source){-1, 0, false};
  TRY(file_open(path, &s->fd, &bytes, e));
  if ((uint64_t)bytes > SIZE_MAX / 2) {
    source_close(s);
    return err_set(e, ST_NOMEM,
                   "%s: %.1f GB, more than a program of %d bits can address; use a 64-bit build",
                   path, (double)bytes / 1e9, (int)sizeof(size_t) * 8);
  }
  s->size = (size_t)bytes;
  const Status r = s->size >= 3 ? read_at(s->fd, path, magic, 3, 0, e) : ST_OK;
  s->gz = gzip_is(magic, 3);
  if (r != ST_OK) source_close(s);
  return r;
}

/* The first bytes, decompressed, at most HEAD_BYTES. */
static Status source_head(const Source *s, const char *path, uint8_t *buf, size_t *n, Error *e) {
  *n = PRLX_MIN(s->size, HEAD_BYTES);
  if (!s->gz) return read_at(s->fd, path, buf, *n, 0, e);
  uint8_t *packed = mem_alloc(*n);
  if (!packed) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  Status r = read_at(s->fd, path, packed, *n, 0, e);
  if (r != ST_OK) goto done;
  r = gzip_peek(packed, *n, buf, HEAD_BYTES, n, path, e);
done:
  mem_free(packed);
  return r;
}

/* Exchanges .hdr and .img before an optional .gz; the case of the letters stays. */
static Status partner_path(const char *path, char out[OS_PATH], Error *e) {
  static const char a[2][5] = {"hdr", "img"}, up[2][5] = {"HDR", "IMG"};
  size_t n = strlen(path);
  if (n >= OS_PATH) return err_set(e, ST_INVALID, "%.100s...: file name too long", path);
  memcpy(out, path, n + 1);
  size_t at = path_has_ending(path, ".gz") ? n - 3 : n;
  for (int k = 0; k < 2; k++) {
    if (at < 4 || out[at - 4] != '.' || strncasecmp(out + at - 3, a[k], 3) != 0) continue;
    for (int i = 0; i < 3; i++)
      out[at - 3 + (size_t)i] = out[at - 3 + (size_t)i] == up[k][i] ? up[1 - k][i] : a[1 - k][i];
    if (!file_exists(out)) { /* one of a pair may be compressed alone */
      if (at < n)
        out[at] = 0;
      else if (n + 3 < OS_PATH)
        memcpy(out + n, ".gz", 4);
      if (!file_exists(out)) {
        if (at < n)
          out[at] = '.';
        else
          out[n] = 0;
      }
    }
    return ST_OK;
  }
  return err_set(e, ST_FORMAT,
                 "%s: header of a .hdr/.img pair; expected a name that ends in .hdr, so that the "
                 ".img beside it can be found; rename both",
                 path);
}

/* Both of a pair are needed, and people copy one. */
static Status partner_there(const char *path, char out[OS_PATH], const char *is, const char *other,
                            Error *e) {
  TRY(partner_path(path, out, e));
  if (file_exists(out)) return ST_OK;
  return err_set(e, ST_IO,
                 "%s: is the %s of a .hdr/.img pair, whose %s %s is not there; copy it beside",
                 path, is, other, out);
}

static Status source_header(const Source *src, const char *path, NiftiHeader *h, Error *e) {
  size_t n;
  uint8_t *buf = mem_alloc(HEAD_BYTES);
  if (!buf) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  Status s = source_head(src, path, buf, &n, e);
  if (s != ST_OK) goto done;
  s = nifti_parse(buf, n, path, h, e);
done:
  mem_free(buf);
  return s;
}

/* Opens what holds the voxels (the same file, or the .img) and reads the header; sizes are checked.
 * *img_path: OS_PATH bytes. After an error, too, the caller closes *voxels. */
static Status volume_open(const char *path, NiftiHeader *h, Source *voxels, char *img_path,
                          Error *e) {
  char head_path[OS_PATH];
  const bool named_img = path_has_ending(path, ".img") || path_has_ending(path, ".img.gz");
  const size_t n = strlen(path);
  if (n >= OS_PATH) return err_set(e, ST_INVALID, "%.100s...: file name too long", path);
  if (named_img)
    TRY(partner_there(path, head_path, "image", "header", e));
  else
    memcpy(head_path, path, n + 1);
  TRY(source_open(voxels, head_path, e));
  TRY(source_header(voxels, head_path, h, e));
  memcpy(img_path, head_path, strlen(head_path) + 1);
  if (h->pair) {
    source_close(voxels);
    if (named_img)
      memcpy(img_path, path, n + 1);
    else
      TRY(partner_there(head_path, img_path, "header", "image", e));
    TRY(source_open(voxels, img_path, e));
  }
  h->gzipped = voxels->gz;
  return check_size(h, voxels->gz ? gzip_max_size(voxels->size) : voxels->size, voxels->gz,
                    img_path, e);
}

Status nifti_read_header(const char *path, NiftiHeader *h, Error *e) {
  Source src = {-1, 0, false};
  char img[OS_PATH];
  const Status s = volume_open(path, h, &src, img, e);
  source_close(&src);
  return s;
}

/* ---- volumes ---- */
static Status volume_alloc(Nifti *v, const char *name, Error *e) {
  size_t bytes;
  v->nvox = v->head.nvox;
  v->path = mem_strdup(name);
  if (mul_ok(sizeof(float), (uint64_t)v->nvox, &bytes)) v->data = mem_alloc(bytes);
  if (v->path && v->data) return ST_OK;
  nifti_free(v);
  return err_set(e, ST_NOMEM, "%s: out of memory for %lld voxels", name, (long long)v->head.nvox);
}

void nifti_free(Nifti *v) {
  mem_free(v->data);
  mem_free(v->path);
  memset(v, 0, sizeof *v);
}

/* From the whole decompressed file. */
static Status fill_from_memory(Nifti *v, const uint8_t *p, size_t n, const char *name, Error *e) {
  size_t total;
  TRY(check_size(&v->head, n, false, name, e));
  TRY(volume_alloc(v, name, e));
  voxels_widen(&v->head, p + v->head.vox_offset, (size_t)v->nvox, v->data);
  if (nifti_total_bytes(&v->head, &total) && total < n)
    nifti_warn(&v->head, "%zu bytes behind the last voxel were ignored", n - total);
  return ST_OK;
}

static Status fill_from_gzip(Nifti *v, const uint8_t *packed, size_t n, const char *name,
                             Error *e) {
  size_t total, got, limit, tail;
  uint8_t *raw;
  TRY(check_size(&v->head, gzip_max_size(n), true, name, e));
  if (!nifti_total_bytes(&v->head, &total)) return ST_OK;
  if (__builtin_add_overflow(total, TRAILING, &limit)) limit = SIZE_MAX;
  TRY(gzip_decode_tail(packed, n, limit, &raw, &got, &tail, name, e));
  const Status s = fill_from_memory(v, raw, got, name, e);
  mem_free(raw);
  if (s == ST_OK && tail)
    nifti_warn(&v->head, "%zu bytes after the compressed data were ignored", tail);
  return s;
}

static Status fill_from_file(Nifti *v, const Source *src, const char *path, Error *e) {
  const size_t one = (size_t)nifti_datatype_bytes(v->head.datatype), per = PIECE / one;
  size_t total;
  TRY(volume_alloc(v, path, e));
  uint8_t *buf = mem_alloc(PIECE);
  if (!buf) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  Status s = ST_OK;
  for (size_t i = 0, n = (size_t)v->nvox; i < n; i += per) {
    const size_t k = PRLX_MIN(per, n - i);
    s = read_at(src->fd, path, buf, k * one, (size_t)v->head.vox_offset + i * one, e);
    if (s != ST_OK) goto done;
    voxels_widen(&v->head, buf, k, v->data + i);
  }
  if (nifti_total_bytes(&v->head, &total) && total < src->size)
    nifti_warn(&v->head, "%zu bytes behind the last voxel were ignored", src->size - total);
done:
  mem_free(buf);
  return s;
}

static Status fill_from_gzip_file(Nifti *v, const Source *src, const char *path, Error *e) {
  uint8_t *packed = mem_alloc(src->size);
  if (!packed) return err_set(e, ST_NOMEM, "%s: out of memory for %zu bytes", path, src->size);
  Status s = read_at(src->fd, path, packed, src->size, 0, e);
  if (s != ST_OK) goto done;
  s = fill_from_gzip(v, packed, src->size, path, e);
done:
  mem_free(packed);
  return s;
}

/* After an error, too, the caller closes *src and frees v. */
static Status volume_read(const char *path, Nifti *v, Source *src, Error *e) {
  char img[OS_PATH];
  TRY(volume_open(path, &v->head, src, img, e));
  TRY(check_readable(&v->head, path, e));
  TRY(check_memory(&v->head, src->gz ? src->size : 0, path, e));
  return src->gz ? fill_from_gzip_file(v, src, img, e) : fill_from_file(v, src, img, e);
}

Status nifti_read(const char *path, Nifti *v, Error *e) {
  Source src = {-1, 0, false};
  memset(v, 0, sizeof *v);
  const Status s = volume_read(path, v, &src, e);
  source_close(&src);
  if (s != ST_OK) nifti_free(v);
  return s;
}

static Status header_decode(const uint8_t *data, size_t n, const char *name, NiftiHeader *h,
                            Error *e) {
  if (!gzip_is(data, n)) return nifti_parse(data, n, name, h, e);
  uint8_t *head = mem_alloc(HEAD_BYTES);
  if (!head) return err_set(e, ST_NOMEM, "%s: out of memory", name);
  Status s = gzip_peek(data, n, head, HEAD_BYTES, &n, name, e);
  if (s != ST_OK) goto done;
  s = nifti_parse(head, n, name, h, e);
done:
  mem_free(head);
  return s;
}

static Status volume_decode(const uint8_t *data, size_t n, const uint8_t *img, size_t nimg,
                            const char *name, Nifti *v, Error *e) {
  TRY(header_decode(data, n, name, &v->head, e));
  TRY(check_readable(&v->head, name, e));
  if (v->head.pair) {
    if (!img)
      return err_set(e, ST_FORMAT, "%s: header of a .hdr/.img pair; expected its image too", name);
    data = img;
    n = nimg;
  }
  v->head.gzipped = gzip_is(data, n);
  TRY(check_size(&v->head, v->head.gzipped ? gzip_max_size(n) : n, v->head.gzipped, name, e));
  TRY(check_memory(&v->head, v->head.gzipped ? n : 0, name, e));
  return v->head.gzipped ? fill_from_gzip(v, data, n, name, e)
                         : fill_from_memory(v, data, n, name, e);
}

Status nifti_decode(const uint8_t *data, size_t n, const uint8_t *img, size_t nimg,
                    const char *name, Nifti *v, Error *e) {
  memset(v, 0, sizeof *v);
  const Status s = volume_decode(data, n, img, nimg, name, v, e);
  if (s != ST_OK) nifti_free(v);
  return s;
}

bool nifti_is(const uint8_t *head, size_t n) {
  uint8_t buf[4] = {0};
  size_t got;
  if (gzip_is(head, n)) {
    if (gzip_peek(head, n, buf, 4, &got, "", NULL) != ST_OK || got < 4) return false;
    head = buf;
  } else if (n < 4)
    return false;
  for (int k = 0; k < 2; k++) {
    int v = k ? head[3] | head[2] << 8 : head[0] | head[1] << 8,
        zero = k ? head[0] | head[1] : head[2] | head[3];
    if (!zero && (v == 348 || v == 540)) return true;
  }
  return false;
}
