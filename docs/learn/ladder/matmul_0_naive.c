/* Matrix product, rung 0: the definition. In double: every other rung is judged by it. */
#include "docs/learn/ladder/ladder.h"

void matmul_0_naive(const MatmulSize *s, const double *a, const double *b, double *c) {
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t j = 0; j < s->n; j++) {
      double sum = 0;
      for (int64_t t = 0; t < s->k; t++) sum += a[i * s->k + t] * b[t * s->n + j];
      c[i * s->n + j] = sum;
    }
}
