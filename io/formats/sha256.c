/* sha256.c: FIPS 180-4, sections 4.1.2, 4.2.2, 5.3.3 and 6.2. */
#include "io/formats/sha256.h"
#include <string.h>
#include "io/formats/bytes.h"

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_compress(uint32_t h[8], const uint8_t *p) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
           p[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) + w[i - 7] +
           (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10);
  }
  uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7];
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = k + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                  ((e & f) ^ (~e & g)) + K[i] + w[i];
    uint32_t t2 = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
                  ((a & b) ^ (a & c) ^ (b & c));
    k = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  h[0] += a;
  h[1] += b;
  h[2] += c;
  h[3] += d;
  h[4] += e;
  h[5] += f;
  h[6] += g;
  h[7] += k;
}

void sha256_begin(Sha256 *s) {
  static const uint32_t h0[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memset(s, 0, sizeof *s);
  memcpy(s->hash, h0, sizeof h0);
}

void sha256_add(Sha256 *s, const void *data, size_t n) {
  const uint8_t *p = data;
  size_t have = s->bytes & 63;
  s->bytes += n;
  if (have) {
    size_t k = PRLX_MIN(n, 64 - have);
    memcpy(s->block + have, p, k);
    p += k;
    n -= k;
    if (have + k < 64) return;
    sha256_compress(s->hash, s->block);
  }
  for (; n >= 64; p += 64, n -= 64) sha256_compress(s->hash, p);
  if (n) memcpy(s->block, p, n);
}

void sha256_numbers(Sha256 *s, const void *p, size_t n, size_t size) {
  unsigned char piece[4096];
  const unsigned char *b = p;
  for (size_t at = 0; at < n;) {
    const size_t k = HOST_BIG ? PRLX_MIN(n - at, sizeof piece / size) : n;
    if (HOST_BIG) bytes_turn(piece, b + at * size, k, size);
    sha256_add(s, HOST_BIG ? piece : b, k * size);
    at += k;
  }
}

void sha256_end(Sha256 *s, char hex[65]) {
  static const uint8_t pad[64] = {0x80};
  uint8_t len[8];
  uint64_t bits = s->bytes * 8;
  for (int i = 0; i < 8; i++) len[i] = (uint8_t)(bits >> (56 - 8 * i));
  size_t have = s->bytes & 63;
  sha256_add(s, pad, have < 56 ? 56 - have : 120 - have);
  sha256_add(s, len, 8);
  for (int i = 0; i < 64; i++)
    hex[i] = "0123456789abcdef"[s->hash[i / 8] >> (28 - 4 * (i % 8)) & 15];
  hex[64] = 0;
}

void sha256_hex(const void *p, size_t n, char hex[65]) {
  Sha256 s;
  sha256_begin(&s);
  sha256_add(&s, p, n);
  sha256_end(&s, hex);
}
