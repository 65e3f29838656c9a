/* test_png.c: inflate, PNG reading and writing, canvas. The files in test/data were made by another
 * program with the pixel values of pattern(). */
#include <stdio.h>
#include <unistd.h>
#include "core/rng.h"
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/inflate.h"
#include "io/formats/png.h"
#include "test/test.h"
#include "tools/view/canvas.h"

static const char *file(const char *name) {
  static char b[128];
  snprintf(b, sizeof b, "test/data/%s.png", name);
  return b;
}

/* Stored sample k of pixel (x, y) when samples are taken modulo m. */
static unsigned pattern(int x, int y, int k, int depth, unsigned m) {
  return (unsigned)((x * 7 + y * 13 + k * 29 + x * y) * (depth == 16 ? 257 : 1)) % m;
}

static void test_read(void) {
  static const struct {
    const char *name;
    int w;
    int h;
    int stored;
    int depth;
    int channels;
    int maxval;
  } t[] = {{"grey1", 13, 5, 1, 1, 1, 1},
           {"grey2_interlaced", 9, 11, 1, 2, 1, 3},
           {"grey4", 7, 7, 1, 4, 1, 15},
           {"grey8", 10, 6, 1, 8, 1, 255},
           {"grey16", 11, 4, 1, 16, 1, 65535},
           {"rgb8", 6, 5, 3, 8, 3, 255},
           {"rgb16_interlaced", 9, 9, 3, 16, 3, 65535},
           {"ga8", 5, 7, 2, 8, 2, 255},
           {"ga16", 5, 3, 2, 16, 2, 65535},
           {"rgba8_interlaced", 10, 10, 4, 8, 4, 255},
           {"rgba16", 3, 4, 4, 16, 4, 65535},
           {"one_pixel_interlaced", 1, 1, 3, 8, 3, 255}};
  Image m;
  Error e;
  for (int i = 0; i < COUNT_OF(t); i++) {
    int wrong = 0;
    bool ok = png_read(file(t[i].name), &m, &e) == ST_OK;
    CHECK(ok, "%s: %s", t[i].name, e.msg);
    if (!ok) continue;
    CHECK(m.w == t[i].w && m.h == t[i].h && m.channels == t[i].channels && m.maxval == t[i].maxval,
          "%s: %d x %d, %d channels to %d", t[i].name, m.w, m.h, m.channels, m.maxval);
    for (int y = 0; y < t[i].h; y++)
      for (int x = 0; x < t[i].w; x++)
        for (int k = 0; k < t[i].stored; k++)
          wrong += m.px[(y * t[i].w + x) * m.channels + k] !=
                   pattern(x, y, k, t[i].depth, (unsigned)t[i].maxval + 1);
    CHECK(wrong == 0, "%s: %d samples wrong", t[i].name, wrong);
    image_free(&m);
  }
}

static void test_palette(void) {
  Image m;
  Error e;
  for (int f = 0; f < 2; f++) {
    int wrong = 0, c = 3 + f;
    CHECK(png_read(file(f ? "pal8_trns_interlaced" : "pal4"), &m, &e) == ST_OK && m.channels == c &&
              m.maxval == 255,
          "palette %d: %s", f, e.msg);
    for (int y = 0; y < m.h && m.channels == c; y++)
      for (int x = 0; x < m.w; x++) {
        unsigned v = pattern(x, y, 0, 8, 5);
        const uint16_t *p = m.px + (y * m.w + x) * c;
        for (unsigned k = 0; k < 3; k++) wrong += p[k] != ((v * 50 + k * 11) & 255);
        if (f) wrong += p[3] != (v == 0 ? 0 : v == 1 ? 128 : 255);
      }
    CHECK(wrong == 0, "palette %d: %d samples wrong", f, wrong);
    image_free(&m);
  }
  int wrong = 0;
  CHECK(png_read(file("grey8_trns"), &m, &e) == ST_OK && m.channels == 2, "transparent grey: %s",
        e.msg);
  for (int i = 0; i < 36 && m.channels == 2; i++)
    wrong += m.px[2 * i + 1] != (m.px[2 * i] == 20 ? 0 : 255);
  CHECK(wrong == 0, "transparent level");
  image_free(&m);
  CHECK(png_read(file("bad_crc"), &m, &e) == ST_FORMAT && strstr(e.msg, "checksum") &&
            strstr(e.msg, "bad_crc") && !m.px,
        "wrong CRC: %s", e.msg);
  CHECK(png_read(file("bad_adler"), &m, &e) == ST_FORMAT && strstr(e.msg, "checksum"),
        "wrong Adler-32: %s", e.msg);
  CHECK(png_read(file("none"), &m, &e) == ST_IO && png_read("test/data", &m, &e) == ST_IO,
        "absent file, folder: %s", e.msg);
}

static void test_grey(void) {
  uint16_t rgb[6] = {10, 10, 10, 255, 0, 0}, ga[4] = {0, 9, 65535, 0};
  float o[2];
  bool colour;
  image_grey(&(Image){2, 1, 3, 255, rgb}, o, &colour);
  CHECK(colour && fabsf(o[0] - 10 / 255.0f) < 1e-7f && fabsf(o[1] - 0.299f) < 1e-6f,
        "colour to grey");
  Error why = {0};
  uint16_t near[6] = {100, 101, 99, 7, 7, 7}, hidden[4] = {10, 255, 20, 0};
  CHECK(image_is_grey(&(Image){2, 1, 3, 255, near}, "n.png", &why) == ST_OK &&
            image_is_grey(&(Image){2, 1, 3, 255, rgb}, "c.png", &why) == ST_INVALID &&
            strstr(why.msg, "c.png: a colour image"),
        "colour is refused, rounding is not: %s", why.msg);
  CHECK(image_is_grey(&(Image){2, 1, 2, 255, hidden}, "a.png", &why) == ST_INVALID &&
            strstr(why.msg, "transparent pixels"),
        "hidden pixels: %s", why.msg);
  image_grey(&(Image){2, 1, 2, 65535, ga}, o, &colour);
  CHECK(!colour && o[0] == 0 && o[1] == 1, "alpha is ignored");
}

/* ---- a PNG made here: one IHDR, one IDAT with stored blocks ---- */
typedef struct Bytes {
  uint8_t b[4096];
  size_t n;
} Bytes;
static void be32(Bytes *o, uint32_t v) {
  for (int i = 3; i >= 0; i--) o->b[o->n++] = (uint8_t)(v >> (8 * i));
}

static void chunk(Bytes *o, const char *type, const uint8_t *p, size_t n) {
  be32(o, (uint32_t)n);
  size_t at = o->n;
  memcpy(o->b + at, type, 4);
  if (n) memcpy(o->b + at + 4, p, n);
  o->n += n + 4;
  be32(o, crc32_ieee(0, o->b + at, n + 4));
}

static size_t zlib_stored(uint8_t *o, const uint8_t *p, size_t n) {
  uint32_t a = 1, b = 0;
  for (size_t i = 0; i < n; i++) {
    a = (a + p[i]) % 65521;
    b = (b + a) % 65521;
  }
  uint8_t head[7] = {0x78, 1, 1, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n, (uint8_t)(~n >> 8)},
          tail[4] = {(uint8_t)(b >> 8), (uint8_t)b, (uint8_t)(a >> 8), (uint8_t)a};
  memcpy(o, head, 7);
  memcpy(o + 7, p, n);
  memcpy(o + 7 + n, tail, 4);
  return n + 11;
}

static void make(Bytes *o, uint32_t w, uint32_t h, int depth, int colour, int interlace,
                 const uint8_t *raw, size_t n) {
  uint8_t ihdr[13] = {(uint8_t)(w >> 24),
                      (uint8_t)(w >> 16),
                      (uint8_t)(w >> 8),
                      (uint8_t)w,
                      (uint8_t)(h >> 24),
                      (uint8_t)(h >> 16),
                      (uint8_t)(h >> 8),
                      (uint8_t)h,
                      (uint8_t)depth,
                      (uint8_t)colour,
                      0,
                      0,
                      (uint8_t)interlace},
          z[2048];
  memcpy(o->b, "\x89PNG\r\n\x1a\n", 8);
  o->n = 8;
  chunk(o, "IHDR", ihdr, 13);
  if (colour == 3) chunk(o, "PLTE", (const uint8_t[]){1, 2, 3, 4, 5, 6}, 6);
  chunk(o, "IDAT", z, zlib_stored(z, raw, n));
  chunk(o, "IEND", NULL, 0);
}

static Status decode(const Bytes *o, Error *e) {
  Image m;
  uint8_t *exact = malloc(o->n); /* so that asan sees one byte too far */
  memcpy(exact, o->b, o->n);
  Status s = png_decode(exact, o->n, "made.png", &m, e);
  free(exact);
  image_free(&m);
  return s;
}

static void test_made(void) {
  static const struct {
    const char *what;
    uint32_t w;
    uint32_t h;
    int depth;
    int colour;
    int interlace;
    size_t n;
    Status want;
  } t[] = {{"2 x 2 grey", 2, 2, 8, 0, 0, 6, ST_OK},
           {"one byte short", 2, 2, 8, 0, 0, 5, ST_FORMAT},
           {"one byte long", 2, 2, 8, 0, 0, 7, ST_FORMAT},
           {"width 0", 0, 2, 8, 0, 0, 6, ST_FORMAT},
           {"depth 3", 2, 2, 3, 0, 0, 6, ST_FORMAT},
           {"depth 32", 2, 2, 32, 0, 0, 6, ST_FORMAT},
           {"RGB with depth 4", 2, 2, 4, 2, 0, 6, ST_FORMAT},
           {"colour type 7", 2, 2, 8, 7, 0, 6, ST_FORMAT},
           {"colour type 1", 2, 2, 8, 1, 0, 6, ST_FORMAT},
           {"interlace 2", 2, 2, 8, 0, 2, 6, ST_FORMAT},
           {"65536 x 65536", 65536, 65536, 8, 0, 0, 6, ST_FORMAT},
           {"8000 x 8000 out of six bytes", 8000, 8000, 16, 6, 0, 6, ST_FORMAT},
           {"negative width", 0x80000001u, 2, 8, 0, 0, 6, ST_FORMAT},
           {"palette", 2, 2, 1, 3, 0, 4, ST_OK},
           {"3 x 1 interlaced", 3, 1, 8, 0, 1, 6, ST_OK}};
  uint8_t raw[64] = {0};
  Bytes o;
  Error e;
  for (int i = 0; i < COUNT_OF(t); i++) {
    make(&o, t[i].w, t[i].h, t[i].depth, t[i].colour, t[i].interlace, raw, t[i].n);
    Status s = decode(&o, &e);
    CHECK(s == t[i].want && (s == ST_OK || strstr(e.msg, "made.png")), "%s: %s", t[i].what,
          s == ST_OK ? "accepted" : e.msg);
  }
  raw[0] = 5;
  make(&o, 2, 2, 8, 0, 0, raw, 6);
  CHECK(decode(&o, &e) == ST_FORMAT && strstr(e.msg, "filter"), "row filter 5: %s", e.msg);
  raw[0] = 0;
  raw[1] = 0xc0;
  make(&o, 2, 2, 8, 3, 0, raw, 6);
  CHECK(decode(&o, &e) == ST_FORMAT && strstr(e.msg, "palette"), "index beyond the palette: %s",
        e.msg);
}

/* Truncations and mutations; CRCs are repaired for half of the mutations so that the decoder behind
 * them is reached. */
static void repair(uint8_t *b, size_t n) {
  for (size_t at = 8; at + 12 <= n;) {
    size_t len = (size_t)b[at] << 24 | (size_t)b[at + 1] << 16 | (size_t)b[at + 2] << 8 | b[at + 3];
    if (len > n - at - 12) return;
    uint32_t c = crc32_ieee(0, b + at + 4, len + 4);
    for (int i = 0; i < 4; i++) b[at + 8 + len + (size_t)i] = (uint8_t)(c >> (24 - 8 * i));
    at += len + 12;
  }
}

static void test_hostile(void) {
  static const char *const names[] = {"rgb16_interlaced", "pal8_trns_interlaced", "grey8", "grey1"};
  Rng r = {7, 0, 0};
  Error e;
  Image m;
  size_t live = mem_live_count();
  for (int f = 0; f < COUNT_OF(names); f++) {
    uint8_t *b, *c;
    size_t n;
    int cut = 0, opened = 0;
    if (file_read(file(names[f]), &b, &n, 1 << 20, &e) != ST_OK) {
      CHECK(false, "%s", e.msg);
      continue;
    }
    for (size_t k = 0; k < n; k++) {
      c = malloc(k + 1);
      memcpy(c, b, k);
      if (png_decode(c, k, "cut", &m, &e) == ST_OK) {
        cut++;
        image_free(&m);
      }
      free(c);
    }
    CHECK(cut == 0, "%s: %d truncations accepted", names[f], cut);
    c = malloc(n);
    for (size_t k = 0; k < 8 * n; k++) {
      memcpy(c, b, n);
      c[k % n] ^= (uint8_t)(1 + rng_below(&r, 255));
      if (k & 1) repair(c, n);
      if (png_decode(c, n, "mutated", &m, &e) == ST_OK) {
        opened++;
        image_free(&m);
      }
    }
    free(c);
    mem_free(b);
    CHECK(opened < (int)(8 * n), "%s: %d of %zu mutations still open", names[f], opened, 8 * n);
  }
  CHECK(mem_live_count() == live, "nothing leaked");
}

/* ---- inflate ---- */
static void test_inflate(void) {
  uint8_t out[64];
  size_t got, used;
  Error e;
  /* fixed codes, a match that overlaps itself: "aaaaaaaaaa" and trailing bytes that must not be
   * consumed */
  const uint8_t a10[] = {0x4b, 0x84, 0x03, 0x00, 0xde, 0xad};
  CHECK(raw_inflate(a10, sizeof a10, out, 64, &got, &used, "t", &e) == ST_OK && got == 10 &&
            used == 4 && memcmp(out, "aaaaaaaaaa", 10) == 0,
        "run: %zu bytes of %zu", got, used);
  CHECK(raw_inflate(a10, sizeof a10, out, 9, &got, &used, "t", &e) == ST_FORMAT && got <= 9,
        "buffer too small: %s", e.msg);
  static const struct {
    const char *what;
    uint8_t b[8];
    size_t n;
  } bad[] = {{"nothing", {0}, 0},
             {"block type 3", {0x07}, 1},
             {"stored length check", {0x01, 5, 0, 0, 0, 1, 2, 3}, 8},
             {"stored, short", {0x01, 5, 0, 0xfa, 0xff, 1, 2}, 7},
             {"distance before the beginning", {0x4b, 0x44, 0x04, 0x00}, 4},
             {"dynamic, short", {0x05, 0x00}, 2},
             {"dynamic, all lengths zero", {0x05, 0, 0, 0, 0, 0, 0, 0}, 8},
             {"dynamic, 31 distances", {0x05, 0x1e, 0, 0, 0, 0, 0, 0}, 8}};
  for (int i = 0; i < COUNT_OF(bad); i++)
    CHECK(raw_inflate(bad[i].b, bad[i].n, out, 64, &got, &used, "t", &e) == ST_FORMAT, "%s: %s",
          bad[i].what, e.msg);
  Rng r = {3, 0, 0};
  int fine = 0;
  for (int k = 0; k < 20000; k++) {
    uint8_t in[48];
    size_t n = (size_t)rng_below(&r, sizeof in);
    for (size_t i = 0; i < n; i++) in[i] = (uint8_t)rng_u32(&r);
    if (n) in[0] = (uint8_t)((in[0] & ~6) | (k & 1 ? 4 : 2)); /* coded blocks */
    if (raw_inflate(in, n, out, 64, &got, &used, "t", &e) == ST_OK) fine++;
    if (got > 64 || used > n) {
      CHECK(false, "out of bounds");
      break;
    }
  }
  CHECK(fine < 20000, "%d of 20000 random inputs happened to be valid", fine);
  CHECK(zlib_inflate((const uint8_t *)"\x78\x9d\0\0\0\0", 6, out, 64, &got, "t", &e) == ST_FORMAT &&
            strstr(e.msg, "header"),
        "header: %s", e.msg);
  CHECK(crc32_ieee(0, "123456789", 9) == 0xcbf43926u, "CRC-32 check value");
}

/* ---- writing ---- */
static void test_write(void) {
  Rng r = {11, 0, 0};
  Error e;
  Image m;
  for (int c = 1; c <= 4; c++) {
    int w = 37, h = 23 + c, wrong = 0;
    uint8_t *px = mem_alloc((size_t)(w * h * c)), *png;
    size_t n;
    for (int i = 0; i < w * h * c; i++) px[i] = (uint8_t)(i % 3 ? i / 7 : rng_below(&r, 256));
    CHECK(png_encode8(w, h, c, px, &png, &n, &e) == ST_OK &&
              png_decode(png, n, "mem", &m, &e) == ST_OK && m.w == w && m.h == h && m.channels == c,
          "write and read %d channels: %s", c, e.msg);
    for (int i = 0; i < w * h * c; i++) wrong += m.px[i] != px[i];
    CHECK(wrong == 0, "%d channels: %d samples differ", c, wrong);
    image_free(&m);
    mem_free(png);
    mem_free(px);
  }
  uint8_t *png, one[3] = {0};
  size_t n;
  CHECK(png_encode8(0, 1, 1, one, &png, &n, &e) == ST_INVALID &&
            png_encode8(1 << 20, 1 << 20, 4, one, &png, &n, &e) == ST_INVALID &&
            png_encode8(1, 1, 5, one, &png, &n, &e) == ST_INVALID,
        "impossible sizes");
  CHECK(png_write8("/dev/full", 1, 1, 1, one, &e) == ST_IO &&
            png_write8("/no/such/x.png", 1, 1, 1, one, &e) == ST_IO,
        "unwritable: %s", e.msg);
}

static void test_canvas(void) {
  Canvas c;
  Error e;
  float img[16];
  for (int i = 0; i < 16; i++) img[i] = (float)i / 15;
  img[5] = NAN;
  CHECK(canvas_new(&c, 40, 30, 9, &e) == ST_OK && c.rgb[0] == 9, "canvas");
  canvas_image(&c, 0, 0, 2, false, img, 4, 4, 0, 1);
  CHECK(c.rgb[0] == 0 && c.rgb[(7 * 40 + 7) * 3] == 255 && c.rgb[(2 * 40 + 2) * 3] == 255 &&
            c.rgb[(2 * 40 + 2) * 3 + 1] == 0,
        "window; NaN is magenta");
  canvas_image(&c, -3, -3, 5, true, img, 4, 4, 0, 1);
  canvas_image_diverging(&c, 35, 25, 3, img, 4, 4, 1);
  canvas_image(&c, 30, 20, 3, true, img, 4, 4, 1, 1);
  canvas_text(&c, -2, -2, 1, 0xffffff,
              "all ~!\n\x80 clipped text that is much longer than the canvas");
  canvas_rect(&c, -1000, -1000, 2000000, 3000, 0xff, false);
  canvas_line(&c, -1e30, NAN, 5, 5, 0xff00);
  canvas_line(&c, -1e12, -1e12, 1e12, 1e12, 0xff00);
  canvas_line(&c, 3, 3, 3, 3, 0xff0000);
  CHECK(c.rgb[(20 * 40 + 20) * 3 + 1] == 255 && c.rgb[(3 * 40 + 3) * 3] == 255, "diagonal and dot");
  CHECK(text_width(2, "abc") == 36, "text width");
  canvas_free(&c);
  CHECK(canvas_new(&c, 0, 5, 0, &e) == ST_INVALID && canvas_new(&c, 5, 70000, 0, &e) == ST_INVALID,
        "sizes");
}

static Status step_read(Error *e) {
  Image m;
  Status s = png_read(file("rgb16_interlaced"), &m, e);
  image_free(&m);
  return s;
}

static Status step_write(Error *e) {
  uint8_t px[300], *png;
  size_t n;
  for (int i = 0; i < 300; i++) px[i] = (uint8_t)(i * 7);
  Status s = png_encode8(10, 10, 3, px, &png, &n, e);
  mem_free(png);
  return s;
}

static void sweep(const char *what, Status (*step)(Error *e)) {
  int k = 0, wrong = 0;
  for (; k < 5000; k++) {
    Error e = {ST_OK, ""};
    size_t live = mem_live_count();
    mem_fail_after(k);
    Status s = step(&e);
    mem_fail_after(-1);
    wrong += mem_live_count() != live || (s != ST_OK && s != ST_NOMEM);
    if (s == ST_OK) break;
  }
  CHECK(k > 0 && k < 5000 && wrong == 0, "%s: memory failing at each of %d allocations (%d wrong)",
        what, k, wrong);
}

int main(void) {
  test_read();
  test_palette();
  test_grey();
  test_made();
  test_hostile();
  test_inflate();
  test_write();
  test_canvas();
  sweep("read", step_read);
  sweep("write", step_write);
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
