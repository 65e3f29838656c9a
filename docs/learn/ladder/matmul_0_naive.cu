/* Matrix product on a GPU, rung 0: a thread for each number of c. Neighbouring threads read
 * neighbouring columns of b (one transaction for a warp) and the same number of a. Every number of
 * a is fetched n times, every number of b m times. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

static __global__ void product(MatmulSize s, const float *a, const float *b, float *c) {
  const int64_t i = blockIdx.y, j = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
  float sum = 0;
  if (j >= s.n) return;
  for (int64_t t = 0; t < s.k; t++) sum += a[i * s.k + t] * b[t * s.n + j];
  c[i * s.n + j] = sum;
}

void cuda_matmul_0_naive(const MatmulSize *s, const float *a, const float *b, float *c) {
  const dim3 grid((unsigned)ceil_div(s->n, 64), (unsigned)s->m);
  LAUNCH(product, grid, dim3(64), 0, 0, *s, a, b, c);
}
