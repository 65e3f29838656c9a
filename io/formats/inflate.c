/* inflate.c: DEFLATE (RFC 1951) and its zlib wrapper (RFC 1950). Symbols are looked up in two-level
 * tables whose entries already hold the base value and the number of extra bits. While there is
 * slack at both ends a fast loop runs without any bounds check; the last bytes go through a careful
 * one. */
#include "io/formats/inflate.h"
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/checksum.h"

const char INFLATE_EARLY[] = "data ends too early", INFLATE_MORE[] = "more data than expected",
           INFLATE_NOMEM[] = "out of memory", INFLATE_FULL[] = "enough data for a look";

/* ---- bits, least significant first ---- */
static inline uint64_t low_bits(unsigned k) { return ((uint64_t)1 << k) - 1; } /* k < 64 */

static void bits_refill(Inflate *z) {
  while (z->nbits <= 55 && z->next < z->end) {
    z->hold |= (uint64_t)*z->next++ << z->nbits;
    z->nbits += 8;
  }
}

static void bits_drop(Inflate *z, unsigned k) {
  z->hold >>= k;
  z->nbits -= (int)k;
}

/* k <= 32 bits; false when the input has fewer. */
static bool bits_take(Inflate *z, int k, uint32_t *v) {
  if (z->nbits < k) bits_refill(z);
  if (z->nbits < k) return false;
  *v = (uint32_t)(z->hold & low_bits((unsigned)k));
  bits_drop(z, (unsigned)k);
  return true;
}

/* ---- decoding tables ----
 * Entry: bits 0-5 bits to drop (code and extra bits), bits 8-11 of them the code, bits 12-14 what
 * it is, bits 16-30 base value, bit 31 a literal. E_SUB: base is the second-level table, bits 8-11
 * its index bits. */
#define E_LIT 0x80000000u
#define E_SUB 0x1000u
#define E_END 0x2000u
#define E_BAD 0x4000u
static uint32_t base_of(uint32_t e) { return e >> 16 & 0x7fff; }
static unsigned code_of(uint32_t e) { return e >> 8 & 15; }
static unsigned bits_of(uint32_t e) { return e & 63; }

typedef enum { LITERALS, DISTANCES, LENGTHS } Alphabet;
/* Entry of a symbol whose code has `bits` bits at this level. */
static uint32_t entry_of(Alphabet a, unsigned sym, unsigned bits) {
  if (a == LENGTHS) return sym << 16 | bits << 8 | bits;
  if (a == LITERALS) {
    if (sym < 256) return E_LIT | sym << 16 | bits << 8 | bits;
    if (sym == 256) return E_END | bits << 8 | bits;
    if (sym > 285) return E_BAD;
    unsigned k = sym - 257, extra = k < 8 || k == 28 ? 0 : k / 4 - 1;
    unsigned base = k < 8 ? k + 3 : k == 28 ? 258 : ((4 + (k & 3)) << extra) + 3;
    return base << 16 | bits << 8 | (bits + extra);
  }
  if (sym > 29) return E_BAD;
  unsigned extra = sym < 4 ? 0 : sym / 2 - 1,
           base = sym < 4 ? sym + 1 : ((2 + (sym & 1)) << extra) + 1;
  return base << 16 | bits << 8 | (bits + extra);
}

static uint32_t bits_reversed(uint32_t code, unsigned bits) {
  uint32_t r = 0;
  for (unsigned k = 0; k < bits; k++) r |= (code >> k & 1) << (bits - 1 - k);
  return r;
}

/* Lengths 0..15 of n symbols. Over-subscribed sets are refused, incomplete ones too, except a
 * single code of length 1 or none (RFC 1951, 3.2.7). */
static bool table_build(uint32_t *t, unsigned root, Alphabet a, const uint8_t *len, int n) {
  uint16_t count[16] = {0}, next[16], first[16], order[288];
  int left = 1, used = 0;
  unsigned longest = 0;
  for (int i = 0; i < n; i++) count[len[i]]++;
  count[0] = 0;
  for (unsigned l = 1, code = 0; l < 16; l++) {
    left = left * 2 - count[l];
    if (left < 0) return false;
    if (count[l]) longest = l;
    first[l] = (uint16_t)used;
    used += count[l];
    next[l] = (uint16_t)code;
    code = (code + count[l]) << 1;
  }
  if (left > 0 && longest > 1) return false;
  /* by length, then by symbol: the canonical order */
  for (int i = 0; i < n; i++)
    if (len[i]) order[first[len[i]]++] = (uint16_t)i;
  for (uint32_t k = 0; left > 0 && k < 1u << root; k++) t[k] = E_BAD;
  uint32_t end = 1u << root, sub = 0, sub_bits = 0, prefix = UINT32_MAX;
  for (int i = 0; i < used; i++) {
    unsigned sym = order[i], l = len[sym];
    uint32_t code = bits_reversed(next[l]++, l);
    count[l]--;
    if (l <= root) {
      uint32_t e = entry_of(a, sym, l);
      for (uint32_t k = code; k < 1u << root; k += 1u << l) t[k] = e;
      continue;
    }
    /* a new second level, just large enough for the codes with this prefix */
    if ((code & low_bits(root)) != prefix) {
      prefix = code & (uint32_t)low_bits(root);
      sub = end;
      sub_bits = l - root;
      for (int spare = (1 << sub_bits) - count[l] - 1; spare > 0 && sub_bits + root < longest;)
        spare = spare * 2 - count[++sub_bits + root];
      t[prefix] = sub << 16 | E_SUB | sub_bits << 8 | root;
      end += 1u << sub_bits;
    }
    uint32_t e = entry_of(a, sym, l - root);
    for (uint32_t k = code >> root; k < 1u << sub_bits; k += 1u << (l - root)) t[sub + k] = e;
  }
  return true;
}

/* Next symbol with its extra bits, checked against the end of the input. */
static const char *inflate_careful(Inflate *z, const uint32_t *t, unsigned root, uint32_t *e,
                                   uint32_t *value) {
  bits_refill(z);
  uint32_t x = t[z->hold & low_bits(root)];
  if (x & E_SUB) {
    if (z->nbits < (int)root) return INFLATE_EARLY;
    bits_drop(z, root);
    x = t[base_of(x) + (z->hold & low_bits(code_of(x)))];
  }
  /* fewer bits than a code: zeros stood in for the missing ones */
  if (x & E_BAD) return z->nbits < 15 ? INFLATE_EARLY : "unassigned code";
  if ((int)bits_of(x) > z->nbits) return INFLATE_EARLY;
  *value = base_of(x) + (uint32_t)((z->hold & low_bits(bits_of(x))) >> code_of(x));
  *e = x;
  bits_drop(z, bits_of(x));
  return NULL;
}

/* ---- output ---- */
static const char *output_room(Inflate *z, size_t k) {
  if (k <= z->cap - z->at) return NULL;
  if (!z->grow || k > z->max - z->at) return INFLATE_MORE;
  size_t want = PRLX_MAX(z->cap < z->max / 2 ? z->cap * 2 : z->max, z->at + k);
  want = PRLX_MIN(PRLX_MAX(want, (size_t)1 << 16), z->max);
  uint8_t *p = mem_grow(z->out, z->at, want);
  if (!p) return INFLATE_NOMEM;
  z->out = p;
  z->cap = want;
  return NULL;
}

/* Copies len bytes from dist back; may write up to 15 bytes more than len (slack of the fast loop).
 */
static inline void copy_match(uint8_t *o, size_t dist, size_t len) {
  const uint8_t *s = o - dist;
  uint8_t *end = o + len;
  if (dist >= 16) do {
      memcpy(o, s, 16);
      o += 16;
      s += 16;
    } while (o < end);
  else if (dist >= 8)
    do {
      memcpy(o, s, 8);
      o += 8;
      s += 8;
    } while (o < end);
  else if (dist == 1)
    memset(o, *s, len);
  else { /* the run repeats itself: write it byte by byte until a whole word can follow */
    for (int i = 0; i < 8; i++) o[i] = s[i];
    /* largest multiple of dist within a word: the word behind o is periodic */
    size_t step = 8 / dist * dist;
    uint64_t w;
    memcpy(&w, o, 8);
    for (; o < end; o += step) memcpy(o, &w, 8);
  }
}

/* ---- blocks ---- */
static const char *stored_block(Inflate *z) {
  z->next -= z->nbits / 8; /* whole bytes held go back; the rest of the current byte is skipped */
  z->hold = 0;
  z->nbits = 0;
  if (z->end - z->next < 4) return INFLATE_EARLY;
  size_t len = z->next[0] | (size_t)z->next[1] << 8, inv = z->next[2] | (size_t)z->next[3] << 8;
  z->next += 4;
  if (len != (inv ^ 0xffff)) return "bad length of a stored block";
  bool full = z->peek && len > z->cap - z->at, early = len > (size_t)(z->end - z->next);
  if (early && !z->peek) return INFLATE_EARLY;
  if (early) len = (size_t)(z->end - z->next);
  if (z->peek) len = PRLX_MIN(len, z->cap - z->at);
  const char *why = output_room(z, len);
  if (why) return why;
  if (len) memcpy(z->out + z->at, z->next, len);
  z->next += len;
  z->at += len;
  return full ? INFLATE_FULL : early ? INFLATE_EARLY : NULL;
}

static const char *read_codes(Inflate *z) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
  uint8_t len[320] = {0};
  uint32_t nlit, ndist, ncode, v, e;
  if (!bits_take(z, 5, &nlit) || !bits_take(z, 5, &ndist) || !bits_take(z, 4, &ncode))
    return INFLATE_EARLY;
  nlit += 257;
  ndist += 1;
  if (nlit > 286 || ndist > 30) return "bad number of codes";
  for (uint32_t i = 0; i < ncode + 4; i++) {
    if (!bits_take(z, 3, &v)) return INFLATE_EARLY;
    len[order[i]] = (uint8_t)v;
  }
  if (!table_build(z->lit, 7, LENGTHS, len, 19)) return "bad code lengths";
  memset(len, 0, sizeof len);
  for (uint32_t i = 0; i < nlit + ndist;) {
    uint32_t s;
    const char *why = inflate_careful(z, z->lit, 7, &e, &s);
    if (why) return why;
    if (s < 16) {
      len[i++] = (uint8_t)s;
      continue;
    }
    if (s == 16 && i == 0) return "bad code lengths";
    if (!bits_take(z, s == 16 ? 2 : s == 17 ? 3 : 7, &v)) return INFLATE_EARLY;
    uint8_t what = s == 16 ? len[i - 1] : 0;
    v += s == 18 ? 11 : 3;
    if (i + v > nlit + ndist) return "bad code lengths";
    while (v--) len[i++] = what;
  }
  if (!len[256]) return "block without an end";
  if (!table_build(z->lit, LIT_BITS, LITERALS, len, (int)nlit) ||
      !table_build(z->dist, DIST_BITS, DISTANCES, len + nlit, (int)ndist))
    return "bad Huffman code";
  return NULL;
}

static void fixed_codes(Inflate *z) {
  uint8_t len[288];
  for (int i = 0; i < 288; i++) len[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  table_build(z->lit, LIT_BITS, LITERALS, len, 288);
  memset(len, 5, 32); /* 30 and 31 complete the code but may not occur */
  table_build(z->dist, DIST_BITS, DISTANCES, len, 32);
}

/* Slack: three refills read at most 8 bytes past 21 consumed ones; two literals, a match and the
 * overshoot of its copy are written. */
#define IN_SLACK 32
#define OUT_SLACK (258 + 2 + 16)
#define REFILL()               \
  do {                         \
    hold |= load_le64(p) << n; \
    p += (63 - n) >> 3;        \
    n |= 56;                   \
  } while (0)
#define DROP(k)        \
  do {                 \
    unsigned k_ = (k); \
    hold >>= k_;       \
    n -= k_;           \
  } while (0)
/* Runs while both slacks last. *done: the end of the block was read. */
static const char *fast_loop(Inflate *z, bool *done) {
  const uint8_t *p = z->next, *last_in = z->end - IN_SLACK;
  uint8_t *o = z->out + z->at, *last_out = z->out + z->cap - OUT_SLACK, *first = z->out + z->base;
  uint64_t hold = z->hold;
  unsigned n = (unsigned)z->nbits;
  const char *why = NULL;
  const uint32_t *lit = z->lit, *dtab = z->dist;
  while (p <= last_in && o <= last_out) {
    /* 56 bits or more: two first-level literals (22) and a length with its extra bits (20) */
    REFILL();
    uint32_t e = lit[hold & low_bits(LIT_BITS)];
    if (e & E_LIT) {
      DROP(bits_of(e));
      *o++ = (uint8_t)(e >> 16);
      e = lit[hold & low_bits(LIT_BITS)];
      if (e & E_LIT) {
        DROP(bits_of(e));
        *o++ = (uint8_t)(e >> 16);
        e = lit[hold & low_bits(LIT_BITS)];
      }
    }
    if (e & E_SUB) {
      DROP(LIT_BITS);
      e = lit[base_of(e) + (hold & low_bits(code_of(e)))];
    }
    if (e & E_LIT) {
      DROP(bits_of(e));
      *o++ = (uint8_t)(e >> 16);
      continue;
    }
    if (e & (E_END | E_BAD)) {
      if (e & E_BAD) why = "unassigned code";
      *done = !why;
      if (*done) DROP(bits_of(e));
      break;
    }
    size_t len = base_of(e) + (size_t)((hold & low_bits(bits_of(e))) >> code_of(e));
    DROP(bits_of(e));
    REFILL();
    e = dtab[hold & low_bits(DIST_BITS)];
    if (e & E_SUB) {
      DROP(DIST_BITS);
      e = dtab[base_of(e) + (hold & low_bits(code_of(e)))];
    }
    if (e & E_BAD) why = "unassigned distance";
    if (why) break;
    size_t dist = base_of(e) + (size_t)((hold & low_bits(bits_of(e))) >> code_of(e));
    DROP(bits_of(e));
    if (dist > (size_t)(o - first)) why = "distance reaches before the beginning";
    if (why) break;
    copy_match(o, dist, len);
    o += len;
  }
  z->next = p;
  z->hold = hold & low_bits(n); /* above n are bits that p has not passed yet */
  z->nbits = (int)n;
  z->at = (size_t)(o - z->out);
  return why;
}

static const char *coded_block(Inflate *z) {
  for (;;) {
    uint32_t e, len, dist;
    bool done = false;
    const char *why = NULL;
    if (z->end - z->next >= IN_SLACK && z->cap - z->at >= OUT_SLACK) why = fast_loop(z, &done);
    if (why || done) return why;
    if ((why = inflate_careful(z, z->lit, LIT_BITS, &e, &len))) return why;
    if (e & E_END) return NULL;
    if (e & E_LIT) {
      if (z->peek && z->at == z->cap) return INFLATE_FULL;
      if ((why = output_room(z, 1))) return why;
      z->out[z->at++] = (uint8_t)(e >> 16);
      continue;
    }
    if ((why = inflate_careful(z, z->dist, DIST_BITS, &e, &dist))) return why;
    if (dist > z->at - z->base) return "distance reaches before the beginning";
    bool full = z->peek && len > z->cap - z->at;
    if (full) len = (uint32_t)(z->cap - z->at);
    if ((why = output_room(z, len))) return why;
    uint8_t *o = z->out + z->at;
    for (uint32_t i = 0; i < len; i++) o[i] = o[(ptrdiff_t)i - (ptrdiff_t)dist];
    z->at += len;
    if (full) return INFLATE_FULL;
  }
}

const char *inflate_stream(Inflate *z) {
  const char *why = NULL;
  uint32_t last = 0, type;
  z->hold = 0;
  z->nbits = 0;
  z->base = z->at;
  while (!why && !last) {
    if (!bits_take(z, 1, &last) || !bits_take(z, 2, &type)) {
      why = INFLATE_EARLY;
      break;
    }
    if (type == 0)
      why = stored_block(z);
    else if (type == 3)
      why = "unknown block type";
    else {
      if (type == 1)
        fixed_codes(z);
      else
        why = read_codes(z);
      if (!why) why = coded_block(z);
    }
  }
  z->next -= z->nbits / 8; /* whole bytes still held were not consumed */
  z->nbits = 0;
  z->hold = 0;
  return why;
}

Status raw_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, size_t *used,
                   const char *name, Error *e) {
  *got = *used = 0;
  Inflate *z = mem_alloc(sizeof *z);
  if (!z) return err_set(e, ST_NOMEM, "%s: out of memory for decompression", name);
  z->next = in;
  z->end = in + n;
  z->out = out;
  z->cap = cap;
  const char *why = inflate_stream(z);
  *got = z->at;
  *used = (size_t)(z->next - in);
  mem_free(z);
  return why ? err_set(e, ST_FORMAT,
                       "%s: compressed data: %s (output byte %zu); the file is damaged", name, why,
                       *got)
             : ST_OK;
}

Status zlib_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got,
                    const char *name, Error *e) {
  size_t used;
  *got = 0;
  if (n < 6)
    return err_set(e, ST_FORMAT,
                   "%s: compressed data of %zu bytes; expected at least 6; the file is cut short",
                   name, n);
  if ((in[0] & 15) != 8 || in[0] >> 4 > 7 || (in[0] << 8 | in[1]) % 31 != 0 || in[1] & 32)
    return err_set(e, ST_FORMAT, "%s: compressed data has no zlib header; the file is damaged",
                   name);
  TRY(raw_inflate(in + 2, n - 2, out, cap, got, &used, name, e));
  const uint8_t *t = in + 2 + used;
  if (n - 2 - used < 4)
    return err_set(e, ST_FORMAT,
                   "%s: checksum of the compressed data is missing; the file is cut short", name);
  if (((uint32_t)t[0] << 24 | t[1] << 16 | t[2] << 8 | t[3]) != adler32_of(out, *got))
    return err_set(e, ST_FORMAT,
                   "%s: checksum of the compressed data is wrong; the file is damaged", name);
  return ST_OK;
}
