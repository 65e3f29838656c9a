/* rng.c: Philox4x32-10 and numpy's legacy normal generator. */
#include "core/rng.h"
#include <math.h>
#include "core/threads.h"

/* Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3" (SC'11), constants of
 * philox4x32. */
void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0],
           k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)p1;
    c3 = (uint32_t)p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

static void block_at(const Rng *r, uint64_t block, uint32_t out[4]) {
  uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)r->subsequence,
                         (uint32_t)(r->subsequence >> 32)};
  uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)};
  philox4x32_10(counter, key, out);
}

uint32_t rng_u32(Rng *r) {
  uint32_t w[4];
  block_at(r, r->offset >> 2, w);
  return w[r->offset++ & 3];
}

double rng_uniform(Rng *r) { return rng_u32(r) * (1.0 / 4294967296.0); }

int64_t rng_below(Rng *r, int64_t n) {
  if (n <= 1) return 0;
  uint64_t w = rng_u32(r);
  /* 53 bits: the bias of the remainder is below 2^-20 for any data set */
  return (int64_t)(((w << 32 | rng_u32(r)) >> 11) % (uint64_t)n);
}

/* Box-Muller on (0,1] x [0,1). */
static void normal_pair(uint32_t a, uint32_t b, double *x, double *y) {
  double u = (a + 1.0) * (1.0 / 4294967296.0), v = b * (2.0 * M_PI / 4294967296.0);
  double radius = sqrt(-2.0 * log(u));
  *x = radius * cos(v);
  *y = radius * sin(v);
}

double rng_normal(Rng *r) {
  uint32_t a = rng_u32(r), b = rng_u32(r);
  double x, y;
  normal_pair(a, b, &x, &y);
  return x;
}

typedef struct Fill {
  Rng r;
  real *dst;
  int64_t n;
  int normal;
} Fill;
enum { FILL_BLOCK = 4096 }; /* Philox blocks (of 4 words) per task */

static void fill_block(void *ctx, int64_t task, int worker) {
  Fill *f = ctx;
  for (int64_t b = task * FILL_BLOCK; b < (task + 1) * FILL_BLOCK && b * 4 < f->n; b++) {
    uint32_t w[4];
    double v[4];
    block_at(&f->r, (f->r.offset >> 2) + (uint64_t)b, w);
    if (f->normal) {
      normal_pair(w[0], w[1], &v[0], &v[1]);
      normal_pair(w[2], w[3], &v[2], &v[3]);
    } else
      for (int k = 0; k < 4; k++) v[k] = w[k] * (1.0 / 4294967296.0);
    for (int k = 0; k < 4 && b * 4 + k < f->n; k++) f->dst[b * 4 + k] = (real)v[k];
  }
}

static void rng_fill(Rng *r, real *dst, int64_t n, int normal) {
  /* whole blocks, so that the position of a draw does not depend on what came before it */
  r->offset = (r->offset + 3) & ~(uint64_t)3;
  Fill f = {*r, dst, n, normal};
  par_for((n + 4 * FILL_BLOCK - 1) / (4 * FILL_BLOCK), fill_block, &f);
  r->offset += (uint64_t)((n + 3) / 4 * 4);
}

void rng_fill_normal(Rng *r, real *dst, int64_t n) { rng_fill(r, dst, n, 1); }
void rng_fill_uniform(Rng *r, real *dst, int64_t n) { rng_fill(r, dst, n, 0); }

/* ---- numpy.random.RandomState(seed).randn: MT19937 (Matsumoto & Nishimura 1998), 53-bit doubles,
 * Marsaglia's polar method ---- */
typedef struct Mt {
  uint32_t s[624];
  int pos;
} Mt;

static void mt_seed(Mt *m, uint32_t seed) {
  for (int i = 0; i < 624; i++) {
    m->s[i] = seed;
    seed = 1812433253u * (seed ^ (seed >> 30)) + (uint32_t)i + 1;
  }
  m->pos = 624;
}

static uint32_t mt_next(Mt *m) {
  if (m->pos == 624) {
    for (int i = 0; i < 624; i++) {
      uint32_t y = (m->s[i] & 0x80000000u) | (m->s[(i + 1) % 624] & 0x7fffffffu);
      m->s[i] = m->s[(i + 397) % 624] ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfu : 0);
    }
    m->pos = 0;
  }
  uint32_t y = m->s[m->pos++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

static double mt_double(Mt *m) {
  uint32_t a = mt_next(m) >> 5, b = mt_next(m) >> 6;
  return (a * 67108864.0 + b) / 9007199254740992.0;
}

Status numpy_randn(uint32_t seed, double *dst, int64_t n, Error *e) {
  Mt *m = mem_alloc(sizeof *m);
  if (!m) return err_set(e, ST_NOMEM, "out of memory for the Mersenne Twister (2.5 kB)");
  mt_seed(m, seed);
  for (int64_t i = 0; i < n; i += 2) {
    double x, y, r2;
    do {
      x = 2 * mt_double(m) - 1;
      y = 2 * mt_double(m) - 1;
      r2 = x * x + y * y;
    } while (r2 >= 1 || r2 == 0);
    double f = sqrt(-2 * log(r2) / r2);
    /* numpy returns the second of the pair first and keeps the other */
    dst[i] = f * y;
    if (i + 1 < n) dst[i + 1] = f * x;
  }
  mem_free(m);
  return ST_OK;
}
