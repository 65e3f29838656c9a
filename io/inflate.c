/* inflate.c: DEFLATE (RFC 1951), zlib wrapper (RFC 1950), CRC-32 and Adler-32. Output goes into one caller's buffer, which is also the
 * window, so a back reference is a plain copy. Every code is checked before it is used: nothing in the input can make it read or write
 * outside the two buffers, and every step consumes input or produces output, so it ends. */
#include "io/image.h"
#include <string.h>

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n) {
  static uint32_t table[256];
  static int ready;
  if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) { /* two threads may both fill it, with the same numbers */
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
      __atomic_store_n(&table[i], c, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
  }
  const uint8_t *b = p;
  crc = ~crc;
  while (n--) crc = crc >> 8 ^ table[(crc ^ *b++) & 255];
  return ~crc;
}
static uint32_t adler32(const uint8_t *p, size_t n) {
  uint32_t a = 1, b = 0;
  while (n) {
    size_t k = PRLX_MIN(n, (size_t)5552); /* most bytes for which b stays below 2^32 */
    n -= k;
    while (k--) { a += *p++; b += a; }
    a %= 65521;
    b %= 65521;
  }
  return b << 16 | a;
}

/* ---- bits, least significant first ---- */
typedef struct Bits { const uint8_t *p, *end; uint64_t hold; int n; } Bits;
static void refill(Bits *b) {
  while (b->n <= 56 && b->p < b->end) { b->hold |= (uint64_t)*b->p++ << b->n; b->n += 8; }
}
/* k <= 32 bits; false when the input has fewer. */
static bool take(Bits *b, int k, uint32_t *v) {
  if (b->n < k) refill(b);
  if (b->n < k) return false;
  *v = (uint32_t)(b->hold & (((uint64_t)1 << k) - 1));
  b->hold >>= k;
  b->n -= k;
  return true;
}

/* ---- canonical Huffman codes ---- */
#define FAST 10
typedef struct Huff {
  uint16_t fast[1 << FAST];  /* indexed by the next FAST bits: symbol << 4 | length, 0 = longer or unassigned */
  uint16_t count[16], symbol[288];
} Huff;

/* Lengths 0..15 of n symbols. Over-subscribed sets are refused, incomplete ones too, except a single code of length 1 (RFC 1951, 3.2.7). */
static bool huff_build(Huff *h, const uint8_t *len, int n) {
  uint16_t at[16], next[16];
  int left = 1, longest = 0;
  memset(h, 0, sizeof *h);
  for (int i = 0; i < n; i++) h->count[len[i]]++;
  h->count[0] = 0;
  at[1] = next[1] = 0;
  for (int l = 1; l < 16; l++) {
    left = left * 2 - h->count[l];
    if (left < 0) return false;
    if (h->count[l]) longest = l;
    if (l < 15) {
      at[l + 1] = (uint16_t)(at[l] + h->count[l]);
      next[l + 1] = (uint16_t)((next[l] + h->count[l]) << 1);
    }
  }
  if (left > 0 && longest > 1) return false;
  for (int i = 0; i < n; i++) {
    int l = len[i];
    if (!l) continue;
    h->symbol[at[l]++] = (uint16_t)i;
    uint32_t code = next[l]++, rev = 0;
    if (l > FAST) continue;
    for (int k = 0; k < l; k++) rev |= (code >> k & 1) << (l - 1 - k);
    for (uint32_t k = rev; k < 1u << FAST; k += 1u << l) h->fast[k] = (uint16_t)(i << 4 | l);
  }
  return true;
}
/* Next symbol, or -1 for an unassigned code or the end of the input. */
static int huff_next(Bits *b, const Huff *h) {
  if (b->n < 15) refill(b);
  unsigned f = h->fast[b->hold & ((1 << FAST) - 1)];
  if (f) {
    int l = f & 15;
    if (l > b->n) return -1;
    b->hold >>= l;
    b->n -= l;
    return (int)(f >> 4);
  }
  int code = 0, first = 0, index = 0;
  for (int l = 1; l <= 15 && l <= b->n; l++) {
    code |= (int)(b->hold >> (l - 1) & 1);
    int c = h->count[l];
    if (code - c < first) {
      b->hold >>= l;
      b->n -= l;
      return h->symbol[index + code - first];
    }
    index += c;
    first = (first + c) << 1;
    code <<= 1;
  }
  return -1;
}

/* ---- blocks ---- */
typedef struct Inflate { Bits b; uint8_t *out; size_t cap, n; Huff lit, dist; } Inflate;

static const char *stored_block(Inflate *z) {
  uint32_t skip, len, inv;
  take(&z->b, z->b.n & 7, &skip); /* whole bytes are held, so this goes to the byte boundary */
  if (!take(&z->b, 16, &len) || !take(&z->b, 16, &inv)) return "data ends too early";
  if (len != (inv ^ 0xffff)) return "bad length of a stored block";
  if (len > z->cap - z->n) return "more data than expected";
  while (len && z->b.n >= 8) { z->out[z->n++] = (uint8_t)z->b.hold; z->b.hold >>= 8; z->b.n -= 8; len--; }
  if (len > (size_t)(z->b.end - z->b.p)) return "data ends too early";
  if (len) memcpy(z->out + z->n, z->b.p, len);
  z->b.p += len;
  z->n += len;
  return NULL;
}
static const char *read_codes(Inflate *z) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  uint8_t len[320] = {0};
  uint32_t nlit, ndist, ncode, v;
  if (!take(&z->b, 5, &nlit) || !take(&z->b, 5, &ndist) || !take(&z->b, 4, &ncode)) return "data ends too early";
  nlit += 257;
  ndist += 1;
  if (nlit > 286 || ndist > 30) return "bad number of codes";
  for (uint32_t i = 0; i < ncode + 4; i++) {
    if (!take(&z->b, 3, &v)) return "data ends too early";
    len[order[i]] = (uint8_t)v;
  }
  if (!huff_build(&z->lit, len, 19)) return "bad code lengths";
  memset(len, 0, sizeof len);
  for (uint32_t i = 0; i < nlit + ndist;) {
    int s = huff_next(&z->b, &z->lit);
    if (s < 0) return "bad code lengths";
    if (s < 16) { len[i++] = (uint8_t)s; continue; }
    if (s == 16 && i == 0) return "bad code lengths";
    if (!take(&z->b, s == 16 ? 2 : s == 17 ? 3 : 7, &v)) return "data ends too early";
    uint8_t what = s == 16 ? len[i - 1] : 0;
    v += s == 18 ? 11 : 3;
    if (i + v > nlit + ndist) return "bad code lengths";
    while (v--) len[i++] = what;
  }
  if (!len[256]) return "block without an end";
  if (!huff_build(&z->lit, len, (int)nlit) || !huff_build(&z->dist, len + nlit, (int)ndist)) return "bad Huffman code";
  return NULL;
}
static void fixed_codes(Inflate *z) {
  uint8_t len[288];
  for (int i = 0; i < 288; i++) len[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  huff_build(&z->lit, len, 288);
  memset(len, 5, 32); /* 30 and 31 complete the code but may not occur */
  huff_build(&z->dist, len, 32);
}
static const char *coded_block(Inflate *z) {
  static const uint16_t lbase[29] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static const uint8_t lbits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static const uint16_t dbase[30] = {1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769,
                                     1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  for (;;) {
    int s = huff_next(&z->b, &z->lit);
    if (s < 256) {
      if (s < 0) return z->b.n < 15 ? "data ends too early or is damaged" : "bad code";
      if (z->n == z->cap) return "more data than expected";
      z->out[z->n++] = (uint8_t)s;
      continue;
    }
    if (s == 256) return NULL;
    if ((s -= 257) >= 29) return "bad length code";
    uint32_t extra;
    if (!take(&z->b, lbits[s], &extra)) return "data ends too early";
    size_t len = lbase[s] + extra;
    int d = huff_next(&z->b, &z->dist);
    if (d < 0 || d >= 30) return "bad distance code";
    if (!take(&z->b, d < 2 ? 0 : d / 2 - 1, &extra)) return "data ends too early";
    size_t dist = dbase[d] + extra;
    if (dist > z->n) return "distance reaches before the beginning";
    if (len > z->cap - z->n) return "more data than expected";
    uint8_t *o = z->out + z->n;
    if (dist >= len) memcpy(o, o - dist, len);
    else for (size_t i = 0; i < len; i++) o[i] = o[(ptrdiff_t)i - (ptrdiff_t)dist]; /* overlapping: the run repeats itself */
    z->n += len;
  }
}

Status raw_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, size_t *used, const char *name, Error *e) {
  *got = *used = 0;
  Inflate *z = mem_alloc(sizeof *z);
  if (!z) return err_set(e, ST_NOMEM, "%s: out of memory for decompression", name);
  z->b = (Bits){in, in + n, 0, 0};
  z->out = out;
  z->cap = cap;
  const char *why = NULL;
  uint32_t last = 0, type;
  while (!why && !last) {
    if (!take(&z->b, 1, &last) || !take(&z->b, 2, &type)) { why = "data ends too early"; break; }
    if (type == 0) why = stored_block(z);
    else if (type == 3) why = "unknown block type";
    else {
      if (type == 1) fixed_codes(z);
      else why = read_codes(z);
      if (!why) why = coded_block(z);
    }
  }
  *got = z->n;
  *used = (size_t)(z->b.p - in) - (size_t)(z->b.n / 8); /* whole bytes still held were not consumed */
  mem_free(z);
  return why ? err_set(e, ST_FORMAT, "%s: compressed data: %s (output byte %zu); the file is damaged", name, why, *got) : ST_OK;
}

Status zlib_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, const char *name, Error *e) {
  size_t used;
  *got = 0;
  if (n < 6) return err_set(e, ST_FORMAT, "%s: compressed data of %zu bytes; expected at least 6; the file is cut short", name, n);
  if ((in[0] & 15) != 8 || in[0] >> 4 > 7 || (in[0] << 8 | in[1]) % 31 != 0 || in[1] & 32)
    return err_set(e, ST_FORMAT, "%s: compressed data has no zlib header; the file is damaged", name);
  Status s = raw_inflate(in + 2, n - 2, out, cap, got, &used, name, e);
  if (s != ST_OK) return s;
  const uint8_t *t = in + 2 + used;
  if (n - 2 - used < 4) return err_set(e, ST_FORMAT, "%s: checksum of the compressed data is missing; the file is cut short", name);
  if (((uint32_t)t[0] << 24 | t[1] << 16 | t[2] << 8 | t[3]) != adler32(out, *got))
    return err_set(e, ST_FORMAT, "%s: checksum of the compressed data is wrong; the file is damaged", name);
  return ST_OK;
}
