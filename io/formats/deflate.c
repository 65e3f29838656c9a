/* deflate.c: DEFLATE compression (RFC 1951) in a gzip member: LZ77 with hash chains and lazy
 * matching, then per block the cheapest of dynamic Huffman codes (length-limited by package-merge,
 * Larmore and Hirschberg 1990), fixed codes, and stored bytes. */
#include <stdlib.h>
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/checksum.h"
#include "io/formats/gzip.h"

#define WINDOW 32768u
#define MAX_LEN 258u
#define HASH_BITS 15
#define BLOCK_TOKENS (1 << 15)
/* Effort: links followed from a hash head, a length that needs no better one, a length after which
 * the next position is searched less. */
#define CHAIN 24
#define NICE 96u
#define GOOD 16u
/* a match of three bytes further away costs more than three literals */
#define FAR3 4096u

/* codes bit-reversed, ready to be written */
typedef struct Code {
  uint16_t code[288];
  uint8_t len[288];
} Code;
typedef struct Deflate {
  const uint8_t *in;
  size_t n;
  uint8_t *out;
  size_t at; /* out has room for every block stored, and 8 bytes more */
  uint64_t hold;
  unsigned bits;
  /* positions modulo 2^32; 0 also stands for "none": matches are verified */
  uint32_t head3[1 << HASH_BITS];
  uint32_t head4[1 << HASH_BITS];
  uint32_t prev[WINDOW];
  /* literal byte, or length << 16 | distance (length >= 3); where the block began */
  uint32_t token[BLOCK_TOKENS];
  int ntoken;
  size_t block;
  uint32_t lfreq[288];
  uint32_t dfreq[32];
  Code lit;
  Code dist;
  Code pre;
} Deflate;

/* ---- bits ---- */
static inline void bits_put(Deflate *d, uint64_t v, unsigned k) { /* k <= 56 */
  d->hold |= v << d->bits;
  d->bits += k;
  uint64_t w = d->hold;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap64(w);
#endif
  memcpy(d->out + d->at, &w, 8);
  d->at += d->bits >> 3;
  d->hold >>= d->bits & ~7u;
  d->bits &= 7;
}

static void put_align(Deflate *d) {
  if (d->bits) bits_put(d, 0, 8 - d->bits);
}

/* ---- length-limited Huffman codes ---- */
static int by_freq(const void *a, const void *b) { /* frequency << 9 | symbol */
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* Package-merge: level by level the list of leaves merged with pairs of the level before; the 2m-2
 * cheapest of the last level say how often each leaf is chosen, which is its code length. At least
 * two symbols get a code, so that it is complete. */
static void code_lengths(const uint32_t *freq, int n, int limit, uint8_t *len) {
  uint64_t leaf[288], a[2 * 288], b[2 * 288], *cur = a, *old = b;
  uint8_t is_leaf[15][2 * 288];
  int m = 0, nold = 0, ncur = 0;
  memset(len, 0, (size_t)n);
  for (int i = 0; i < n; i++)
    if (freq[i]) leaf[m++] = (uint64_t)freq[i] << 9 | (uint64_t)i;
  if (m < 2) { /* an unused partner completes the code */
    int only = m ? (int)(leaf[0] & 511) : 0;
    len[only] = len[only ? 0 : 1] = 1;
    return;
  }
  qsort(leaf, (size_t)m, sizeof *leaf, by_freq);
  for (int l = 0; l < limit; l++) {
    int i = 0, j = 0;
    ncur = 0;
    while (i < m || j + 1 < nold) {
      uint64_t pair = j + 1 < nold ? old[j] + old[j + 1] : UINT64_MAX,
               one = i < m ? leaf[i] >> 9 : UINT64_MAX;
      bool take_leaf = one <= pair;
      is_leaf[l][ncur] = take_leaf;
      cur[ncur++] = take_leaf ? one : pair;
      if (take_leaf)
        i++;
      else
        j += 2;
    }
    uint64_t *t = cur;
    cur = old;
    old = t;
    nold = ncur;
  }
  for (int l = limit - 1, want = 2 * m - 2; l >= 0 && want > 0; l--) {
    int leaves = 0;
    for (int k = 0; k < want; k++) leaves += is_leaf[l][k];
    for (int k = 0; k < leaves; k++) len[leaf[k] & 511]++;
    want = 2 * (want - leaves);
  }
}

static void codes_canonical(Code *c, int n) {
  uint16_t count[16] = {0}, next[16] = {0};
  for (int i = 0; i < n; i++) count[c->len[i]]++;
  count[0] = 0;
  for (int l = 1; l < 16; l++) next[l] = (uint16_t)((next[l - 1] + count[l - 1]) << 1);
  for (int i = 0; i < n; i++) {
    unsigned code = c->len[i] ? next[c->len[i]]++ : 0, r = 0;
    for (int k = 0; k < c->len[i]; k++) r |= (code >> k & 1) << (c->len[i] - 1 - k);
    c->code[i] = (uint16_t)r;
  }
}

/* ---- symbols of lengths and distances ---- */
static unsigned log2_of(unsigned v) { return 31u - (unsigned)__builtin_clz(v); }
static inline unsigned length_symbol(unsigned len, unsigned *extra_bits, unsigned *extra) {
  unsigned v = len - 3;
  if (len == MAX_LEN) {
    *extra_bits = *extra = 0;
    return 285;
  }
  unsigned k = v < 8 ? 0 : log2_of(v) - 2;
  *extra_bits = k;
  *extra = v & ((1u << k) - 1);
  return v < 8 ? 257 + v : 257 + 4 * k + (v >> k);
}

static inline unsigned dist_symbol(unsigned dist, unsigned *extra_bits, unsigned *extra) {
  unsigned v = dist - 1, k = v < 4 ? 0 : log2_of(v) - 1;
  *extra_bits = k;
  *extra = v & ((1u << k) - 1);
  return v < 4 ? v : 2 * k + (v >> k);
}

/* ---- one block ---- */
/* Code lengths of both alphabets as the run-length symbols of RFC 1951, 3.2.7: symbol | repeat <<
 * 8. Returns their number. */
static int run_lengths(const uint8_t *len, int n, uint16_t *out) {
  int k = 0;
  for (int i = 0; i < n;) {
    int run = 1;
    while (i + run < n && len[i + run] == len[i]) run++;
    i += run;
    int v = len[i - 1];
    if (v) {
      out[k++] = (uint16_t)v;
      run--;
    }
    while (run >= 3) {
      int r = PRLX_MIN(run, v ? 6 : 138);
      if (!v)
        out[k++] = (uint16_t)(r >= 11 ? 18 | (r - 11) << 8 : 17 | (r - 3) << 8);
      else
        out[k++] = (uint16_t)(16 | (r - 3) << 8);
      run -= r;
    }
    while (run-- > 0) out[k++] = (uint16_t)v;
  }
  return k;
}

static uint64_t body_bits(const Deflate *d, const uint8_t *llen, const uint8_t *dlen) {
  uint64_t bits = 0;
  for (int i = 0; i < 286; i++) {
    unsigned k = i < 265 || i == 285 ? 0 : (unsigned)(i - 261) / 4;
    bits += (uint64_t)d->lfreq[i] * (llen[i] + k);
  }
  for (int i = 0; i < 30; i++)
    bits += (uint64_t)d->dfreq[i] * (dlen[i] + (i < 4 ? 0u : (unsigned)i / 2 - 1));
  return bits;
}

static void fixed_lengths(uint8_t llen[288], uint8_t dlen[32]) {
  for (int i = 0; i < 288; i++) llen[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  memset(dlen, 5, 32);
}

static void put_stored(Deflate *d, size_t end, bool last) {
  do {
    size_t len = PRLX_MIN(end - d->block, (size_t)65535);
    bits_put(d, last && d->block + len == end, 3);
    put_align(d);
    bits_put(d, len | (uint64_t)(len ^ 0xffff) << 16, 32);
    memcpy(d->out + d->at, d->in + d->block, len);
    d->at += len;
    d->block += len;
  } while (d->block < end);
}

static void put_body(Deflate *d) {
  for (int i = 0; i < d->ntoken; i++) {
    uint32_t t = d->token[i];
    if (t < 256) {
      bits_put(d, d->lit.code[t], d->lit.len[t]);
      continue;
    }
    unsigned lk, lx, dk, dx, ls = length_symbol(t >> 16, &lk, &lx),
                             ds = dist_symbol((t & 0xffff) + 1, &dk, &dx);
    uint64_t v = d->lit.code[ls];
    unsigned n = d->lit.len[ls];
    v |= (uint64_t)lx << n;
    n += lk;
    v |= (uint64_t)d->dist.code[ds] << n;
    n += d->dist.len[ds];
    v |= (uint64_t)dx << n;
    n += dk;
    bits_put(d, v, n);
  }
  bits_put(d, d->lit.code[256], d->lit.len[256]);
}

static void flush_block(Deflate *d, size_t end, bool last) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15},
                       extra[3] = {2, 3, 7};
  uint8_t flit[288], fdist[32], both[320];
  uint16_t rle[320];
  uint32_t pfreq[19] = {0};
  d->lfreq[256] = 1;
  code_lengths(d->lfreq, 286, 15, d->lit.len);
  code_lengths(d->dfreq, 30, 15, d->dist.len);
  int nlit = 286, ndist = 30, npre = 19;
  while (nlit > 257 && !d->lit.len[nlit - 1]) nlit--;
  while (ndist > 1 && !d->dist.len[ndist - 1]) ndist--;
  memcpy(both, d->lit.len, (size_t)nlit);
  memcpy(both + nlit, d->dist.len, (size_t)ndist);
  int nrle = run_lengths(both, nlit + ndist, rle);
  for (int i = 0; i < nrle; i++) pfreq[rle[i] & 255]++;
  code_lengths(pfreq, 19, 7, d->pre.len);
  while (npre > 4 && !d->pre.len[order[npre - 1]]) npre--;
  uint64_t dynamic = 3 + 14 + 3 * (uint64_t)npre + body_bits(d, d->lit.len, d->dist.len);
  for (int i = 0; i < 19; i++)
    dynamic += (uint64_t)pfreq[i] * (d->pre.len[i] + (i < 16 ? 0u : extra[i - 16]));
  fixed_lengths(flit, fdist);
  uint64_t fixed = 3 + body_bits(d, flit, fdist), size = end - d->block,
           stored = 8 * size + 40 * (size / 65535 + 1);
  if (stored <= dynamic && stored <= fixed)
    put_stored(d, end, last);
  else {
    bits_put(d, (uint64_t)last | (fixed <= dynamic ? 1u : 2u) << 1, 3);
    if (fixed <= dynamic) {
      memcpy(d->lit.len, flit, sizeof flit);
      memcpy(d->dist.len, fdist, sizeof fdist);
    } else {
      codes_canonical(&d->pre, 19);
      bits_put(d, (uint64_t)(nlit - 257) | (uint64_t)(ndist - 1) << 5 | (uint64_t)(npre - 4) << 10,
               14);
      for (int i = 0; i < npre; i++) bits_put(d, d->pre.len[order[i]], 3);
      for (int i = 0; i < nrle; i++) {
        unsigned s = rle[i] & 255, l = d->pre.len[s];
        bits_put(d, d->pre.code[s] | (uint64_t)(rle[i] >> 8) << l,
                 l + (s < 16 ? 0u : extra[s - 16]));
      }
    }
    codes_canonical(&d->lit, fixed <= dynamic ? 288 : 286);
    codes_canonical(&d->dist, 30);
    put_body(d);
  }
  d->ntoken = 0;
  d->block = end;
  memset(d->lfreq, 0, sizeof d->lfreq);
  memset(d->dfreq, 0, sizeof d->dfreq);
}

/* ---- matches ---- */
/* Little-endian on every machine: the hashes, and with them the bytes written, are the same. */
#define LOW3(v) ((v)&0xffffff)
static inline uint32_t hash_of(uint32_t v) { return v * 0x9e3779b1u >> (32 - HASH_BITS); }

static inline unsigned same_bytes(const uint8_t *a, const uint8_t *b, unsigned from, unsigned max) {
  unsigned k = from;
  for (; k + 8 <= max; k += 8) {
    const uint64_t x = load_le64(a + k), y = load_le64(b + k);
    if (x != y) return k + (unsigned)(__builtin_ctzll(x ^ y) >> 3);
  }
  while (k < max && a[k] == b[k]) k++;
  return k;
}

/* Enters position i (i + 4 <= n) and returns the former heads. */
static inline void hash_enter(Deflate *d, size_t i, uint32_t *c3, uint32_t *c4) {
  uint32_t v = load_le32(d->in + i), h3 = hash_of(LOW3(v)), h4 = hash_of(v);
  *c3 = d->head3[h3];
  *c4 = d->head4[h4];
  d->head3[h3] = d->head4[h4] = (uint32_t)i;
  d->prev[i & (WINDOW - 1)] = *c4;
}

/* Longest match at i that is longer than `best`, at most CHAIN candidates; the position is entered.
 * Returns its length or `best`. */
static unsigned match_find(Deflate *d, size_t i, unsigned best, int chain, uint32_t *dist) {
  unsigned max = (unsigned)PRLX_MIN(d->n - i, (size_t)MAX_LEN);
  if (max < 4) return best;
  const uint8_t *p = d->in + i;
  uint32_t c3, c, v = load_le32(p), far = 0;
  hash_enter(d, i, &c3, &c);
  if (best < 3) {
    uint32_t k = (uint32_t)i - c3;
    if (k - 1 < FAR3 && LOW3(load_le32(p - k)) == LOW3(v)) {
      best = 3;
      *dist = k;
    }
  }
  if (best >= max) return best;
  for (uint32_t k; chain > 0 && (k = (uint32_t)i - c) > far && k <= WINDOW;
       chain--, c = d->prev[c & (WINDOW - 1)]) {
    far = k; /* distances grow along a chain; otherwise its link was overwritten */
    const uint8_t *q = p - k;
    /* the end differs most often */
    if (load_le32(q) != v || (best > 3 && load_le32(q + best - 3) != load_le32(p + best - 3)))
      continue;
    unsigned len = same_bytes(p, q, 4, max);
    if (len <= best) continue;
    best = len;
    *dist = k;
    if (len >= NICE || len == max) break;
  }
  return best;
}

static inline void add_literal(Deflate *d, size_t i) {
  d->token[d->ntoken++] = d->in[i];
  d->lfreq[d->in[i]]++;
}

static inline void add_match(Deflate *d, unsigned len, uint32_t dist) {
  unsigned k, x;
  d->token[d->ntoken++] = len << 16 | (dist - 1);
  d->lfreq[length_symbol(len, &k, &x)]++;
  d->dfreq[dist_symbol(dist, &k, &x)]++;
}

static void deflate_all(Deflate *d) {
  size_t i = 0;
  unsigned len = 2, next;
  uint32_t dist = 0, next_dist = 0, c3, c4;
  len = match_find(d, 0, 2, CHAIN, &dist);
  while (i < d->n) {
    if (len < 3) {
      add_literal(d, i++);
      next = match_find(d, i, 2, CHAIN, &dist);
    } else {
      size_t end = i + len;
      next =
          len < NICE ? match_find(d, i + 1, len, len >= GOOD ? CHAIN / 4 : CHAIN, &next_dist) : len;
      if (next > len) { /* lazy: one literal buys a longer match */
        add_literal(d, i++);
        dist = next_dist;
      } else {
        add_match(d, len, dist);
        size_t last = d->n >= 4 ? PRLX_MIN(end, d->n - 3) : 0;
        for (i += len < NICE ? 2 : 1; i < last; i++) hash_enter(d, i, &c3, &c4);
        i = end;
        next = match_find(d, i, 2, CHAIN, &dist);
      }
    }
    len = next;
    if (d->ntoken >= BLOCK_TOKENS - 1) flush_block(d, i, i >= d->n);
  }
  if (d->ntoken || d->n == 0 || d->block < d->n) flush_block(d, d->n, true);
}

static void put_le32(uint8_t *p, uint32_t v) {
  for (int k = 0; k < 4; k++) p[k] = (uint8_t)(v >> 8 * k);
}

Status gzip_encode(const uint8_t *in, size_t n, uint8_t **out, size_t *got, Error *e) {
  /* no time, no name, unknown system: the same bytes everywhere */
  static const uint8_t header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
  *out = NULL;
  *got = 0;
  /* blocks are never larger than stored: 5 bytes per 65535, and per block of at least BLOCK_TOKENS
   * - 1 bytes */
  size_t cap = n + n / 1024 + 256;
  Deflate *d = mem_alloc(sizeof *d);
  uint8_t *p = cap > n ? mem_alloc(cap) : NULL;
  if (!d || !p) {
    mem_free(d);
    mem_free(p);
    return err_set(
        e, ST_NOMEM,
        "out of memory for compressing %zu bytes; free memory or write uncompressed (.nii)", n);
  }
  memcpy(p, header, sizeof header);
  d->in = in;
  d->n = n;
  d->out = p;
  d->at = sizeof header;
  deflate_all(d);
  put_align(d);
  put_le32(p + d->at, crc32_ieee(0, in, n));
  put_le32(p + d->at + 4, (uint32_t)n);
  *got = d->at + 8;
  *out = p;
  mem_free(d);
  return ST_OK;
}
