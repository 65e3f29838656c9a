/* rng.h: Philox4x32-10, counter based (Salmon et al., SC'11), with cuRAND's layout:
 * curand_init(seed, subsequence, offset): key = seed (lo, hi); counter = {offset/4 lo, offset/4 hi,
 * subsequence lo, hi}; one counter value gives four 32-bit words x,y,z,w. A stream is (seed,
 * subsequence); position counts words. */
#ifndef PRLX_RNG_H
#define PRLX_RNG_H
#include "core/base.h"

/* Plain data: save it to resume. */
typedef struct Rng {
  uint64_t seed;
  uint64_t subsequence; /* which stream of this seed */
  uint64_t offset;      /* words taken so far */
} Rng;

/* The bijection itself: four words of one counter value. */
void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The next word; a number in [0,1): word / 2^32; a uniform integer in [0,n), n >= 1; a standard
 * normal by Box-Muller on two words. */
uint32_t rng_u32(Rng *r);
double rng_uniform(Rng *r);
int64_t rng_below(Rng *r, int64_t n);
double rng_normal(Rng *r);

/* dst [n] standard normals, or uniform in [0,1). Consumes 4*ceil(n/4) words; threaded, same bits
 * for any thread count. */
void rng_fill_normal(Rng *r, real *dst, int64_t n);
void rng_fill_uniform(Rng *r, real *dst, int64_t n);

/* numpy's legacy RandomState(seed).randn(n): MT19937 + polar Box-Muller, float64, into dst [n]. For
 * `generate --seeds` and the projector's w statistics. ST_NOMEM only. */
Status numpy_randn(uint32_t seed, double *dst, int64_t n, Error *e);
#endif
