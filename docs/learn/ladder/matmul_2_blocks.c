/* Matrix product, rung 2: blocks.
 *
 * Rung 1 reads all of b for each row of c; once b is larger than the cache it comes from memory m
 * times. Here a block of b, small enough for the second-level cache, meets all rows of a before the
 * next one is fetched. The number of operations is the same. */
#include <string.h>
#include "docs/learn/ladder/ladder.h"

enum { BLOCK_K = 128, BLOCK_N = 256 }; /* 128 KiB of b */

static void block(const MatmulSize *s, const float *a, const float *b, float *c, int64_t t0,
                  int64_t j0) {
  const int64_t t1 = PRLX_MIN(t0 + BLOCK_K, s->k), j1 = PRLX_MIN(j0 + BLOCK_N, s->n);
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t t = t0; t < t1; t++) {
      const float f = a[i * s->k + t];
      for (int64_t j = j0; j < j1; j++) c[i * s->n + j] += f * b[t * s->n + j];
    }
}

void matmul_2_blocks(const MatmulSize *s, const float *a, const float *b, float *c) {
  memset(c, 0, (size_t)(s->m * s->n) * sizeof *c);
  for (int64_t j = 0; j < s->n; j += BLOCK_N)
    for (int64_t t = 0; t < s->k; t += BLOCK_K) block(s, a, b, c, t, j);
}
