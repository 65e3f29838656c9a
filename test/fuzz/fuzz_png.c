/* fuzz_png.c: arbitrary bytes as a PNG; and, so that checksums do not stop the fuzzer at the door,
 * as the parts of one that is put together here: colour type, depth, size, palette and scan lines.
 */
#include "io/formats/checksum.h"
#include "io/formats/png.h"
#include "test/fuzz/fuzz.h"

typedef struct Out {
  uint8_t b[1 << 17];
  size_t n;
} Out;
static void be32(uint8_t *p, size_t v) {
  for (int k = 0; k < 4; k++) p[k] = (uint8_t)(v >> 8 * (3 - k));
}

static void chunk(Out *o, const char *type, const uint8_t *body, size_t n) {
  uint8_t *p = o->b + o->n;
  be32(p, n);
  memcpy(p + 4, type, 4);
  if (n) memcpy(p + 8, body, n);
  be32(p + 8 + n, crc32_ieee(0, p + 4, n + 4));
  o->n += n + 12;
}

/* An image of 8 bits through the writer and back. */
static void write_and_read(const Image *m) {
  const size_t all = (size_t)m->w * (size_t)m->h * (size_t)m->channels;
  uint8_t *px = malloc(all), *file;
  size_t bytes;
  Image back;
  Error e;
  for (size_t i = 0; i < all; i++) px[i] = (uint8_t)m->px[i];
  FUZZ_HOLDS(png_encode8(m->w, m->h, m->channels, px, &file, &bytes, &e) == ST_OK);
  FUZZ_HOLDS(png_decode(file, bytes, "fuzz", &back, &e) == ST_OK);
  FUZZ_HOLDS(back.w == m->w && back.h == m->h && back.channels == m->channels);
  FUZZ_HOLDS(memcmp(back.px, m->px, all * sizeof *m->px) == 0);
  image_free(&back);
  mem_free(file);
  free(px);
}

static void decode(const uint8_t *p, size_t n) {
  Image m;
  Error e = {ST_OK, ""};
  bool colour;
  uint8_t *own = malloc(n ? n : 1); /* ends where the data end */
  if (n) memcpy(own, p, n);
  if (png_decode(own, n, "fuzz", &m, &e) == ST_OK) {
    float *grey = malloc(sizeof *grey * (size_t)m.w * (size_t)m.h);
    image_grey(&m, grey, &colour);
    for (int64_t i = 0; i < (int64_t)m.w * m.h; i++) FUZZ_HOLDS(grey[i] >= 0 && grey[i] <= 1);
    free(grey);
    if (n % 64 == 0 && m.maxval == 255) write_and_read(&m);
    image_free(&m);
  } else
    FUZZ_HOLDS(e.msg[0]);
  free(own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static Out o;
  decode(data, n);
  if (n < 8 || n > 60000) return 0;
  uint8_t ihdr[13] = {0}, z[60100] = {0x78, 0x01, 1};
  memcpy(o.b, "\211PNG\r\n\032\n", 8);
  o.n = 8;
  ihdr[3] = data[0];
  ihdr[7] = data[1];
  ihdr[8] = (uint8_t)(1 << (data[2] & 7) % 5);
  ihdr[9] = data[3] & 7;
  ihdr[12] = data[4] & 1;
  size_t npal = data[5] & 15, ntrns = data[6] & 15;
  data += 7;
  n -= 7;
  chunk(&o, "IHDR", ihdr, 13);
  if (npal * 3 <= n && npal) {
    chunk(&o, "PLTE", data, npal * 3);
    data += npal * 3;
    n -= npal * 3;
  }
  if (ntrns <= n && ntrns) {
    chunk(&o, "tRNS", data, ntrns);
    data += ntrns;
    n -= ntrns;
  }
  z[3] = (uint8_t)n; /* one stored block */
  z[4] = (uint8_t)(n >> 8);
  z[5] = (uint8_t)~z[3];
  z[6] = (uint8_t)~z[4];
  memcpy(z + 7, data, n);
  uint32_t a = 1, b = 0;
  for (size_t i = 0; i < n; i++) {
    a = (a + data[i]) % 65521;
    b = (b + a) % 65521;
  }
  be32(z + 7 + n, (size_t)b << 16 | a);
  size_t cut = n / 2;
  chunk(&o, "IDAT", z, cut);
  chunk(&o, "IDAT", z + cut, n + 11 - cut);
  chunk(&o, "IEND", NULL, 0);
  decode(o.b, o.n);
  return 0;
}
