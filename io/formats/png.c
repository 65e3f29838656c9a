/* png.c: PNG reading (ISO/IEC 15948): every colour type and bit depth, Adam7, tRNS. CRCs, sizes and
 * order of chunks are checked; at most 64 Mpixel, and no more memory is taken than the compressed
 * data could possibly fill. Writing is in png_write.c. */
#include "io/formats/png.h"
#include <string.h>
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/inflate.h"

#define MAX_PIXELS ((size_t)64 << 20)
typedef struct Png {
  const char *name;
  Error *e;
  uint32_t w;
  uint32_t h;
  /* comps: stored samples per pixel */
  int depth;
  int colour;
  int interlace;
  int comps;
  uint8_t pal[256][4];
  int npal;
  bool trns;
  uint16_t key[3]; /* transparent colour of types 0 and 2 */
  uint8_t *idat;
  size_t nidat;
} Png;

static Status png_bad(const Png *p, const char *what) {
  return err_set(p->e, ST_FORMAT, "%s: not a valid PNG: %s; the file is damaged or of another kind",
                 p->name, what);
}

static uint32_t bytes_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static Status read_ihdr(Png *p, const uint8_t *d, uint32_t len) {
  static const uint8_t comps[7] = {1, 0, 3, 1, 2, 0, 4};
  static const uint32_t depths[7] = {1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16,
                                     0,
                                     1 << 8 | 1 << 16,
                                     1 << 1 | 1 << 2 | 1 << 4 | 1 << 8,
                                     1 << 8 | 1 << 16,
                                     0,
                                     1 << 8 | 1 << 16};
  if (len != 13) return png_bad(p, "IHDR of the wrong length");
  p->w = bytes_be32(d);
  p->h = bytes_be32(d + 4);
  p->depth = d[8];
  p->colour = d[9];
  p->interlace = d[12];
  if (!p->w || !p->h || p->w > INT32_MAX || p->h > INT32_MAX)
    return png_bad(p, "width or height is zero or negative");
  if ((size_t)p->w * p->h > MAX_PIXELS)
    return err_set(p->e, ST_FORMAT,
                   "%s: %u x %u pixels; expected at most 64 million; use a smaller image", p->name,
                   p->w, p->h);
  if (p->colour > 6 || !comps[p->colour] || p->depth > 16 || !(depths[p->colour] >> p->depth & 1))
    return png_bad(p, "impossible colour type or bit depth");
  if (d[10] || d[11] || p->interlace > 1)
    return png_bad(p, "unknown compression, filter or interlace method");
  p->comps = comps[p->colour];
  return ST_OK;
}

static Status read_plte(Png *p, const uint8_t *d, uint32_t len) {
  if (p->colour == 0 || p->colour == 4 || p->npal || p->nidat)
    return png_bad(p, "misplaced palette");
  if (len % 3 || len == 0 || len > 768 || (p->colour == 3 && len / 3 > 1u << p->depth))
    return png_bad(p, "palette of impossible size");
  p->npal = (int)(len / 3);
  for (int i = 0; i < p->npal; i++) {
    memcpy(p->pal[i], d + 3 * i, 3);
    p->pal[i][3] = 255;
  }
  return ST_OK;
}

static Status read_trns(Png *p, const uint8_t *d, uint32_t len) {
  if (p->trns || p->nidat || p->colour >= 4) return png_bad(p, "misplaced transparency");
  p->trns = true;
  if (p->colour == 3) {
    if (len > (uint32_t)p->npal) return png_bad(p, "more transparencies than palette colours");
    for (uint32_t i = 0; i < len; i++) p->pal[i][3] = d[i];
    return ST_OK;
  }
  if (len != (uint32_t)p->comps * 2) return png_bad(p, "transparency of the wrong length");
  for (int i = 0; i < p->comps; i++) p->key[i] = (uint16_t)(d[2 * i] << 8 | d[2 * i + 1]);
  return ST_OK;
}

/* All chunks; IDAT contents are joined in p->idat (room for n bytes). */
static Status read_chunks(Png *p, const uint8_t *d, size_t n) {
  static const uint8_t sig[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  size_t at = 8;
  bool first = true, idat_over = false;
  if (n < 8 || memcmp(d, sig, 8) != 0) return png_bad(p, "signature is missing");
  for (;;) {
    if (n - at < 12) return png_bad(p, "it ends before IEND");
    uint32_t len = bytes_be32(d + at);
    const uint8_t *type = d + at + 4, *body = type + 4;
    if (len > n - at - 12) return png_bad(p, "a chunk is longer than the file");
    for (int i = 0; i < 4; i++)
      if (!((type[i] | 32) >= 'a' && (type[i] | 32) <= 'z')) return png_bad(p, "bad chunk name");
    if (crc32_ieee(0, type, (size_t)len + 4) != bytes_be32(body + len))
      return err_set(p->e, ST_FORMAT,
                     "%s: checksum of PNG chunk %.4s is wrong; the file is damaged", p->name,
                     (const char *)type);
    bool is_idat = memcmp(type, "IDAT", 4) == 0;
    if (first != (memcmp(type, "IHDR", 4) == 0))
      return png_bad(p, first ? "it does not begin with IHDR" : "second IHDR");
    if (first)
      TRY(read_ihdr(p, body, len));
    else if (is_idat) {
      if (idat_over) return png_bad(p, "IDAT chunks are not consecutive");
      if (p->colour == 3 && !p->npal) return png_bad(p, "palette is missing");
      memcpy(p->idat + p->nidat, body, len);
      p->nidat += len;
    } else if (memcmp(type, "PLTE", 4) == 0)
      TRY(read_plte(p, body, len));
    else if (memcmp(type, "tRNS", 4) == 0)
      TRY(read_trns(p, body, len));
    else if (memcmp(type, "IEND", 4) == 0)
      return p->nidat ? ST_OK : png_bad(p, "no image data");
    else if (!(type[0] & 32))
      return png_bad(p, "unknown critical chunk");
    if (p->nidat && !is_idat) idat_over = true;
    first = false;
    at += (size_t)len + 12;
  }
}

/* ---- passes: Adam7 has seven reduced images, otherwise one ---- */
typedef struct Pass {
  uint32_t x0;
  uint32_t y0;
  uint32_t dx;
  uint32_t dy;
  uint32_t w;
  uint32_t h;
  size_t row;
} Pass;
static Pass pass_of(const Png *p, int k) {
  static const uint8_t a7[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                   {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  Pass s = {0, 0, 1, 1, p->w, p->h, 0};
  if (p->interlace) {
    s = (Pass){a7[k][0], a7[k][1], a7[k][2], a7[k][3], 0, 0, 0};
    s.w = p->w > s.x0 ? (p->w - s.x0 + s.dx - 1) / s.dx : 0;
    s.h = p->h > s.y0 ? (p->h - s.y0 + s.dy - 1) / s.dy : 0;
  }
  if (!s.w) s.h = 0;
  s.row = ((size_t)s.w * (size_t)(p->comps * p->depth) + 7) / 8;
  return s;
}

static uint8_t paeth_predict(int a, int b, int c) {
  int q = a + b - c, qa = q > a ? q - a : a - q, qb = q > b ? q - b : b - q,
      qc = q > c ? q - c : c - q;
  return (uint8_t)(qa <= qb && qa <= qc ? a : qb <= qc ? b : c);
}

/* Undoes the filter of one row in place; prev is the row above (NULL at the top), bpp bytes per
 * pixel (at least 1). */
static bool row_unfilter(uint8_t *row, const uint8_t *prev, size_t n, size_t bpp, int filter) {
  if (filter > 4) return false;
  if (filter == 0) return true;
  for (size_t i = 0; i < n; i++) {
    int a = i >= bpp ? row[i - bpp] : 0, b = prev ? prev[i] : 0,
        c = i >= bpp && prev ? prev[i - bpp] : 0;
    row[i] = (uint8_t)(row[i] + (filter == 1   ? a
                                 : filter == 2 ? b
                                 : filter == 3 ? (a + b) / 2
                                               : paeth_predict(a, b, c)));
  }
  return true;
}

static unsigned row_sample(const uint8_t *row, size_t i, int depth) {
  if (depth == 8) return row[i];
  if (depth == 16) return (unsigned)row[2 * i] << 8 | row[2 * i + 1];
  size_t bit = i * (size_t)depth;
  return row[bit / 8] >> (8 - depth - (int)(bit % 8)) & ((1u << depth) - 1);
}

/* Stored samples of one pixel -> what Image holds. */
static bool put_pixel(const Png *p, const uint8_t *row, size_t x, uint16_t *o, int channels) {
  unsigned v = row_sample(row, x * (size_t)p->comps, p->depth);
  if (p->colour == 3) {
    if (v >= (unsigned)p->npal) return false;
    for (int k = 0; k < channels; k++) o[k] = p->pal[v][k];
    return true;
  }
  o[0] = (uint16_t)v;
  bool clear = p->trns && v == p->key[0];
  for (int k = 1; k < p->comps; k++) {
    v = row_sample(row, x * (size_t)p->comps + (size_t)k, p->depth);
    o[k] = (uint16_t)v;
    if (k < 3) clear = clear && v == p->key[k];
  }
  if (p->trns) o[channels - 1] = clear ? 0 : (uint16_t)((1u << p->depth) - 1);
  return true;
}

static Status rows_unpack(Png *p, uint8_t *raw, Image *img) {
  size_t bpp = (size_t)PRLX_MAX(1, p->comps * p->depth / 8);
  for (int k = 0; k < (p->interlace ? 7 : 1); k++) {
    Pass s = pass_of(p, k);
    const uint8_t *prev = NULL;
    for (uint32_t y = 0; y < s.h; y++, raw += s.row + 1) {
      if (!row_unfilter(raw + 1, prev, s.row, bpp, raw[0])) return png_bad(p, "unknown row filter");
      prev = raw + 1;
      uint16_t *o = img->px + (size_t)(s.y0 + y * s.dy) * p->w * (size_t)img->channels;
      for (uint32_t x = 0; x < s.w; x++)
        if (!put_pixel(p, prev, x, o + (size_t)(s.x0 + x * s.dx) * (size_t)img->channels,
                       img->channels))
          return png_bad(p, "colour beyond the palette");
    }
  }
  return ST_OK;
}

static Status decode_pixels(Png *p, Image *img) {
  size_t need = 0, got;
  for (int k = 0; k < (p->interlace ? 7 : 1); k++) {
    Pass s = pass_of(p, k);
    need += (s.row + 1) * s.h;
  }
  /* deflate reaches at most 1032 : 1 */
  if (need / 1032 > p->nidat) return png_bad(p, "too little data for its size");
  img->w = (int)p->w;
  img->h = (int)p->h;
  img->channels = p->colour == 3 ? 3 + p->trns : p->comps + p->trns;
  img->maxval = p->colour == 3 ? 255 : (1 << p->depth) - 1;
  uint8_t *raw = mem_alloc(need);
  img->px = mem_alloc((size_t)p->w * p->h * (size_t)img->channels * sizeof *img->px);
  Status s = raw && img->px ? ST_OK
                            : err_set(p->e, ST_NOMEM, "%s: out of memory for %u x %u pixels",
                                      p->name, p->w, p->h);
  if (s != ST_OK) goto done;
  s = zlib_inflate(p->idat, p->nidat, raw, need, &got, p->name, p->e);
  if (s != ST_OK) goto done;
  s = got == need ? rows_unpack(p, raw, img) : png_bad(p, "image data ends too early");
done:
  mem_free(raw);
  return s;
}

Status png_decode(const uint8_t *data, size_t n, const char *name, Image *img, Error *e) {
  memset(img, 0, sizeof *img);
  Png *p = mem_alloc(sizeof *p);
  if (!p) return err_set(e, ST_NOMEM, "%s: out of memory", name);
  p->name = name;
  p->e = e;
  p->idat = mem_alloc(n);
  Status s = p->idat ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", name);
  if (s != ST_OK) goto done;
  s = read_chunks(p, data, n);
  if (s != ST_OK) goto done;
  s = decode_pixels(p, img);
done:
  if (s != ST_OK) image_free(img);
  mem_free(p->idat);
  mem_free(p);
  return s;
}

Status png_read(const char *path, Image *img, Error *e) {
  uint8_t *data;
  size_t n;
  memset(img, 0, sizeof *img);
  TRY(file_read(path, &data, &n, (size_t)1 << 30, e));
  const Status s = png_decode(data, n, path, img, e);
  mem_free(data);
  return s;
}

void image_free(Image *img) {
  mem_free(img->px);
  memset(img, 0, sizeof *img);
}

void image_grey(const Image *img, float *out, bool *was_colour) {
  size_t n = (size_t)img->w * (size_t)img->h, c = (size_t)img->channels;
  float scale = 1.0f / (float)img->maxval;
  bool colour = false;
  for (size_t i = 0; i < n; i++) {
    const uint16_t *p = img->px + i * c;
    if (c < 3 || (p[0] == p[1] && p[1] == p[2]))
      out[i] = (float)p[0] * scale;
    else {
      out[i] = (0.299f * (float)p[0] + 0.587f * (float)p[1] + 0.114f * (float)p[2]) * scale;
      colour = true;
    }
  }
  if (was_colour) *was_colour = colour;
}

Status image_is_grey(const Image *img, const char *path, Error *e) {
  const int c = img->channels, colours = c < 3 ? 1 : 3;
  const int64_t n = (int64_t)img->w * img->h;
  for (int64_t i = 0; i < n; i++) {
    const uint16_t *p = img->px + i * c;
    int lo = p[0], hi = p[0];
    for (int k = 1; k < colours; k++) {
      lo = PRLX_MIN(lo, p[k]);
      hi = PRLX_MAX(hi, p[k]);
    }
    if ((hi - lo) * 50 > img->maxval)
      return err_set(e, ST_INVALID,
                     "%s: a colour image (pixel %d, %d is %d, %d, %d); expected grey levels; "
                     "convert it to grey, or give the map itself",
                     path, (int)(i % img->w), (int)(i / img->w), p[0], p[1], p[2]);
    if (c % 2 == 0 && p[c - 1] < img->maxval)
      return err_set(e, ST_INVALID,
                     "%s: transparent pixels (alpha %d of %d at %d, %d) hide values; expected an "
                     "opaque grey image; save it without an alpha channel",
                     path, p[c - 1], img->maxval, (int)(i % img->w), (int)(i / img->w));
  }
  return ST_OK;
}
