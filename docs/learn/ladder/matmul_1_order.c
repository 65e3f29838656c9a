/* Matrix product, rung 1: float, and k outside, columns inside.
 *
 * Rung 0 walks down a column of b: each number lies in another line of the cache, and one sum is
 * one long chain of additions, each waiting for the one before. With the columns innermost both b
 * and c are read along their rows, the additions are independent, and the compiler makes vectors of
 * them. */
#include <string.h>
#include "docs/learn/ladder/ladder.h"

void matmul_1_order(const MatmulSize *s, const float *a, const float *b, float *c) {
  memset(c, 0, (size_t)(s->m * s->n) * sizeof *c);
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t t = 0; t < s->k; t++) {
      const float f = a[i * s->k + t];
      for (int64_t j = 0; j < s->n; j++) c[i * s->n + j] += f * b[t * s->n + j];
    }
}
