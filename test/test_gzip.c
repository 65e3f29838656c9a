/* test_gzip.c: inflate against a bit-by-bit decoder, the deflate writer, gzip members, hostile
 * bytes, failing memory. */
#include "core/rng.h"
#include "io/formats/file.h"
#include "io/formats/gzip.h"
#include "io/formats/inflate.h"
#include "test/test.h"

/* ---- reference: RFC 1951 one bit at a time, no tables ---- */
typedef struct Ref {
  const uint8_t *in;
  size_t bits;
  size_t at;
  size_t n;
  size_t cap;
  uint8_t *out;
} Ref;
static int ref_bits(Ref *z, int k) {
  int v = 0;
  if (z->at + (size_t)k > z->bits) return -1;
  for (int i = 0; i < k; i++, z->at++) v |= (z->in[z->at >> 3] >> (z->at & 7) & 1) << i;
  return v;
}

/* canonical order: by length, then by symbol */
static int ref_symbol(Ref *z, const uint8_t *len, int n) {
  int code = 0, first = 0;
  for (int l = 1; l <= 15; l++) {
    int b = ref_bits(z, 1), count = 0;
    if (b < 0) return -1;
    code = code << 1 | b;
    first <<= 1;
    for (int i = 0; i < n; i++)
      if (len[i] == l && first + count++ == code) return i;
    first += count;
  }
  return -1;
}

static bool ref_valid(const uint8_t *len, int n) {
  int left = 1, longest = 0;
  for (int l = 1; l <= 15; l++) {
    left *= 2;
    for (int i = 0; i < n; i++)
      if (len[i] == l) {
        left--;
        longest = l;
      }
    if (left < 0) return false;
  }
  return left == 0 || longest <= 1;
}

static bool ref_codes(Ref *z, uint8_t len[320], int *nlit, int *ndist) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
  uint8_t pre[19] = {0};
  int npre;
  if ((*nlit = ref_bits(z, 5) + 257) < 257 || (*ndist = ref_bits(z, 5) + 1) < 1 ||
      (npre = ref_bits(z, 4) + 4) < 4 || *nlit > 286 || *ndist > 30)
    return false;
  for (int i = 0; i < npre; i++) {
    int v = ref_bits(z, 3);
    if (v < 0) return false;
    pre[order[i]] = (uint8_t)v;
  }
  if (!ref_valid(pre, 19)) return false;
  for (int i = 0; i < *nlit + *ndist;) {
    int s = ref_symbol(z, pre, 19), rep = 1, v = 0;
    if (s < 0 || (s == 16 && i == 0)) return false;
    if (s < 16)
      v = s;
    else {
      rep = ref_bits(z, s == 16 ? 2 : s == 17 ? 3 : 7);
      if (rep < 0) return false;
      rep += s == 18 ? 11 : 3;
      if (s == 16) v = len[i - 1];
    }
    if (i + rep > *nlit + *ndist) return false;
    while (rep--) len[i++] = (uint8_t)v;
  }
  return len[256] && ref_valid(len, *nlit) && ref_valid(len + *nlit, *ndist);
}

static bool ref_block(Ref *z, const uint8_t *llen, int nlit, const uint8_t *dlen, int ndist) {
  for (;;) {
    int s = ref_symbol(z, llen, nlit);
    if (s < 0 || s > 285) return false;
    if (s == 256) return true;
    if (s < 256) {
      if (z->n == z->cap) return false;
      z->out[z->n++] = (uint8_t)s;
      continue;
    }
    int len = 3, dist = 1;
    for (int k = 257; k < s; k++) len += 1 << (k < 265 ? 0 : (k - 261) / 4);
    if (s == 285) len = 258;
    int x = ref_bits(z, s < 265 || s == 285 ? 0 : (s - 261) / 4);
    if (x < 0) return false;
    len += x;
    int d = ref_symbol(z, dlen, ndist);
    if (d < 0 || d > 29) return false;
    for (int k = 0; k < d; k++) dist += 1 << (k < 2 ? 0 : k / 2 - 1);
    if ((x = ref_bits(z, d < 2 ? 0 : d / 2 - 1)) < 0) return false;
    dist += x;
    if ((size_t)dist > z->n || (size_t)len > z->cap - z->n) return false;
    for (; len--; z->n++) z->out[z->n] = z->out[z->n - (size_t)dist];
  }
}

static bool ref_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got,
                        size_t *used) {
  Ref z = {in, 8 * n, 0, 0, cap, out};
  int last = 0;
  while (!last) {
    uint8_t len[320] = {0};
    int type, nlit = 288, ndist = 32;
    if ((last = ref_bits(&z, 1)) < 0 || (type = ref_bits(&z, 2)) < 0 || type == 3) return false;
    if (type == 0) {
      z.at = (z.at + 7) & ~(size_t)7;
      int k = ref_bits(&z, 16), inv = ref_bits(&z, 16);
      if (k < 0 || inv < 0 || k != (inv ^ 0xffff) || (size_t)k > cap - z.n) return false;
      for (int v; k--; z.out[z.n++] = (uint8_t)v)
        if ((v = ref_bits(&z, 8)) < 0) return false;
      continue;
    }
    if (type == 1)
      for (int i = 0; i < 320; i++)
        len[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : i < 288 ? 8 : 5;
    else if (!ref_codes(&z, len, &nlit, &ndist))
      return false;
    if (!ref_block(&z, len, nlit, len + nlit, ndist)) return false;
  }
  *got = z.n;
  *used = (z.at + 7) / 8;
  return true;
}

/* ---- data ---- */
enum { KINDS = 8 };
static void fill(uint8_t *p, size_t n, int kind, Rng *r) {
  float walk = 100;
  for (size_t i = 0; i < n; i++) switch (kind) {
      /* noise: stored */
      case 0: p[i] = (uint8_t)rng_u32(r); break;
      case 1: p[i] = 0; break; /* background */
      case 2:
        p[i] = (uint8_t)(rng_below(r, 4) ? 7 : rng_below(r, 20));
        break; /* labels */
      /* a pattern that changes slowly */
      case 3: p[i] = (uint8_t)(i % 37 + i / 1000); break;
      case 4:
        p[i] = (uint8_t)rng_below(r, 4);
        break; /* two bits */
      /* distances at the end of the window */
      case 5: p[i] = i > 40000 && rng_below(r, 50) ? p[i - 32768] : (uint8_t)rng_u32(r); break;
      /* codes as long as they may become */
      case 6: {
        int k = 0;
        while (k < 24 && rng_below(r, 2)) k++;
        p[i] = (uint8_t)k;
        break;
      }
      default: /* float32, as a volume */
        if (i % 4 == 0) {
          walk += (float)rng_normal(r);
          if (i + 4 <= n)
            memcpy(p + i, &walk, 4);
          else
            p[i] = 0;
        }
        break;
    }
}

static bool round_trip(const uint8_t *p, size_t n, size_t *packed) {
  uint8_t *z = NULL, *back = NULL, *slow = malloc(n + 1), *exact = malloc(n + 1);
  size_t nz, nb, ns, used;
  Error e = {ST_OK, ""};
  bool ok = gzip_encode(p, n, &z, &nz, &e) == ST_OK &&
            gzip_decode(z, nz, n, &back, &nb, "t", &e) == ST_OK && nb == n &&
            (!n || !memcmp(back, p, n));
  ok = ok && ref_inflate(z + 10, nz - 18, slow, n, &ns, &used) && ns == n && used == nz - 18 &&
       (!n || !memcmp(slow, p, n));
  ok = ok && raw_inflate(z + 10, nz - 18, exact, n, &nb, &used, "t", &e) == ST_OK && nb == n &&
       used == nz - 18;
  if (n) ok = ok && raw_inflate(z + 10, nz - 18, exact, n - 1, &nb, &used, "t", &e) == ST_FORMAT;
  *packed = nz;
  mem_free(z);
  mem_free(back);
  free(slow);
  free(exact);
  return ok;
}

static void test_round_trip(void) {
  Rng r = {21, 0, 0};
  static const size_t sizes[] = {0,     1,     2,     3,     4,     5,     7,    8,
                                 15,    100,   257,   258,   259,   261,   1000, 32767,
                                 32768, 32769, 65535, 65536, 65540, 140000};
  uint8_t *p = malloc(140000);
  for (int kind = 0; kind < KINDS; kind++)
    for (int s = 0; s < COUNT_OF(sizes); s++) {
      size_t packed;
      if (sizes[s] > 70000 && kind % 2) continue;
      fill(p, sizes[s], kind, &r);
      bool ok = round_trip(p, sizes[s], &packed);
      CHECK(ok, "kind %d, %zu bytes come back", kind, sizes[s]);
      CHECK(packed <= sizes[s] + sizes[s] / 2000 + 40, "kind %d: %zu bytes become %zu", kind,
            sizes[s], packed);
      if (kind == 1 && sizes[s] > 1000)
        CHECK(packed < sizes[s] / 200 + 60, "zeros: %zu -> %zu", sizes[s], packed);
      if (kind == 4 && sizes[s] > 1000)
        CHECK(packed < sizes[s] * 32 / 100 + 60, "two bits: %zu -> %zu", sizes[s], packed);
    }
  int wrong = 0;
  for (int k = 0; k < 400; k++) { /* short periods: overlapping copies of every distance */
    size_t n = (size_t)rng_below(&r, 900), packed, period = (size_t)(k % 40 + 1);
    for (size_t i = 0; i < n; i++) p[i] = i < period ? (uint8_t)rng_u32(&r) : p[i - period];
    wrong += !round_trip(p, n, &packed);
  }
  CHECK(wrong == 0, "periods 1 to 40 (%d wrong)", wrong);
  free(p);
}

/* Real data; the reference sizes are those of `gzip -6` for the same bytes. */
static void test_size(void) {
  uint8_t *p, *z, *y;
  size_t n, nz, ny;
  Error e;
  CHECK(file_read("test/data/functional.nii", &p, &n, 1 << 20, &e) == ST_OK &&
            gzip_encode(p, n, &z, &nz, &e) == ST_OK,
        "%s", e.msg);
  CHECK(nz < 41481 * 1.15 && nz > 30000, "functional.nii: %zu bytes, gzip -6 makes 41481", nz);
  CHECK(gzip_encode(p, n, &y, &ny, &e) == ST_OK && ny == nz && !memcmp(y, z, nz),
        "the same bytes each time");
  mem_free(y);
  mem_free(z);
  mem_free(p);
}

/* ---- members ---- */
/* with all optional fields; empty; stored. Made with another compressor */
static const uint8_t three[] = {
    31,  139, 8,   30,  0,   0,   0,   0,   0,   255, 6,   0,   65,  66,  2,   0,   120, 121,
    114, 105, 109, 46,  116, 120, 116, 0,   109, 97,  100, 101, 32,  98,  121, 32,  122, 108,
    105, 98,  0,   129, 217, 203, 44,  202, 207, 83,  72,  44,  81,  40,  201, 72,  85,  40,
    202, 204, 213, 81,  200, 173, 76,  205, 201, 204, 83,  200, 201, 47,  46,  177, 86,  200,
    196, 35,  171, 144, 152, 158, 152, 153, 199, 5,   0,   27,  61,  121, 93,  65,  0,   0,
    0,   31,  139, 8,   0,   0,   0,   0,   0,   0,   255, 3,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   31,  139, 8,   0,   0,   0,   0,   0,   0,   255, 1,   7,   0,   248, 255,
    115, 116, 111, 114, 101, 100, 10,  226, 156, 83,  165, 7,   0,   0,   0};
static const char line[] =
    "iron at the rim, myelin lost; iron at the rim, myelin lost again\nstored\n";

static void test_members(void) {
  uint8_t *out, buf[400], small[80];
  size_t got, n = sizeof three;
  Error e = {ST_OK, ""};
  CHECK(gzip_is(three, n) && !gzip_is(three, 2) && !gzip_is((const uint8_t *)"PK\3\4", 4),
        "told by the first bytes");
  CHECK(gzip_decode(three, n, 72, &out, &got, "t", &e) == ST_OK && got == 72 &&
            !memcmp(out, line, 72),
        "three members: %zu bytes, %s", got, e.msg);
  mem_free(out);
  CHECK(gzip_decode(three, n, 71, &out, &got, "bomb.gz", &e) == ST_FORMAT && !out &&
            strstr(e.msg, "71") && strstr(e.msg, "bomb.gz"),
        "limit: %s", e.msg);
  memcpy(buf, three, n);
  memset(buf + n, 0, 20);
  CHECK(gzip_decode(buf, n + 20, 1000, &out, &got, "t", &e) == ST_OK && got == 72,
        "zeros as padding: %s", e.msg);
  mem_free(out);
  buf[n + 20] = 'x';
  CHECK(gzip_decode(buf, n + 21, 1000, &out, &got, "t", &e) == ST_FORMAT &&
            strstr(e.msg, "no gzip member"),
        "something else behind: %s", e.msg);
  int wrong = 0;
  for (size_t k = 0; k < n; k++) { /* cut short: only where a member ends is the rest whole */
    bool ok = gzip_decode(three, k, 1000, &out, &got, "t", &e) == ST_OK;
    if (ok && !(got == 65)) wrong++;
    mem_free(out);
    for (size_t want = 0; want <= 72; want += 9) {
      memset(small, 1, sizeof small);
      if (gzip_peek(three, k, small, want, &got, "t", &e) == ST_OK)
        wrong += got > want || memcmp(small, line, got) != 0 || (k == n - 1 && got != want);
      for (size_t i = want; i < sizeof small; i++) wrong += small[i] != 1;
    }
  }
  CHECK(wrong == 0, "cut at every byte (%d wrong)", wrong);
  int passed = 0;
  /* only the unused fields of the headers may change unnoticed */
  for (size_t bit = 0; bit < 8 * n; bit++) {
    memcpy(buf, three, n);
    buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
    if (gzip_decode(buf, n, 1000, &out, &got, "t", &e) != ST_OK) continue;
    passed++;
    wrong += got != 72 || memcmp(out, line, 72) != 0;
    mem_free(out);
  }
  CHECK(wrong == 0 && passed < 120, "every bit flipped: %d unnoticed, %d with other data", passed,
        wrong);
}

/* ---- hostile ---- */
static void test_mutations(void) {
  Rng r = {5, 0, 0};
  size_t n = 3000, nz, live = mem_live_count();
  uint8_t *p = malloc(n), *z, *a = malloc(8000), *b = malloc(8000), *c;
  int differ = 0, fine = 0;
  Error e;
  for (int kind = 0; kind < KINDS; kind++) {
    fill(p, n, kind, &r);
    CHECK(gzip_encode(p, n, &z, &nz, &e) == ST_OK, "kind %d", kind);
    for (int k = 0; k < 250; k++) { /* the deflate stream alone: both decoders say the same */
      size_t m = nz - 18, got, used, rgot = 0, rused = 0, cap = 3000 + (size_t)rng_below(&r, 5000);
      c = malloc(m);
      memcpy(c, z + 10, m);
      for (int j = (int)rng_below(&r, 3); j >= 0; j--)
        c[rng_below(&r, k & 1 ? PRLX_MIN(m, 60) : m)] ^= (uint8_t)(1 << rng_below(&r, 8));
      if (k % 5 == 0) m = (size_t)rng_below(&r, m);
      bool mine = raw_inflate(c, m, a, cap, &got, &used, "t", &e) == ST_OK,
           ref = ref_inflate(c, m, b, cap, &rgot, &rused);
      differ += mine != ref || (mine && (got != rgot || used != rused || memcmp(a, b, got) != 0));
      fine += mine;
      free(c);
    }
    mem_free(z);
  }
  CHECK(differ == 0,
        "2000 damaged streams: as the bit-by-bit decoder says (%d differ, %d readable)", differ,
        fine);
  /* a length field that promises 4 GB, and one that promises nothing */
  memset(p, 0, n);
  CHECK(gzip_encode(p, n, &z, &nz, &e) == ST_OK, "zeros");
  for (int k = 0; k < 2; k++) {
    size_t got;
    memset(z + nz - 4, k ? 0 : 255, 4);
    CHECK(gzip_decode(z, nz, SIZE_MAX, &c, &got, "t", &e) == ST_FORMAT &&
              strstr(e.msg, "wrong length"),
          "length field: %s", e.msg);
  }
  z[nz - 5] ^= 1;
  size_t got;
  CHECK(gzip_decode(z, nz, SIZE_MAX, &c, &got, "x.nii.gz", &e) == ST_FORMAT &&
            strstr(e.msg, "CRC") && strstr(e.msg, "x.nii.gz") && !strchr(e.msg, '\n'),
        "CRC: %s", e.msg);
  mem_free(z);
  /* a second member may not reach back into the first */
  static const uint8_t back[] = {0x1f, 0x8b, 8,    0,    0,    0,    0,   0,
                                 0,    255,  0x4b, 0x4c, 0x04, 0x02, 0x00};
  uint8_t two[200];
  CHECK(gzip_encode((const uint8_t *)"abcdefgh", 8, &z, &nz, &e) == ST_OK && nz < 100, "small");
  memcpy(two, z, nz);
  memcpy(two + nz, back, sizeof back);
  CHECK(gzip_decode(two, nz + sizeof back, 1000, &c, &got, "t", &e) == ST_FORMAT,
        "reaching back: %s", e.msg);
  mem_free(z);
  free(p);
  free(a);
  free(b);
  CHECK(mem_live_count() == live, "nothing leaked");
}

static Status step(Error *e) {
  static uint8_t p[70000];
  Rng r = {1, 0, 0};
  uint8_t *z, *back;
  size_t nz, n, got;
  fill(p, sizeof p, 2, &r);
  Status s = gzip_encode(p, sizeof p, &z, &nz, e);
  if (s != ST_OK) return s;
  memset(z + nz - 4, 0, 4); /* a wrong length makes it grow; the error itself comes last */
  s = gzip_decode(z, nz, 1 << 20, &back, &n, "t", e);
  mem_free(back);
  if (s == ST_FORMAT) s = gzip_peek(z, nz, p, 400, &got, "t", e);
  mem_free(z);
  return s;
}

int main(void) {
  test_round_trip();
  test_size();
  test_members();
  test_mutations();
  int k = 0, wrong = 0;
  for (; k < 100; k++) {
    Error e = {ST_OK, ""};
    size_t live = mem_live_count();
    mem_fail_after(k);
    Status s = step(&e);
    mem_fail_after(-1);
    wrong += mem_live_count() != live || (s != ST_OK && s != ST_NOMEM);
    if (s == ST_OK) break;
  }
  CHECK(k > 3 && k < 100 && wrong == 0, "memory failing at each of %d allocations (%d wrong)", k,
        wrong);
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
