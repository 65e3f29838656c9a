/* Matrix product on a GPU, rung 2: 4 x 4 numbers of c per thread. Rung 1 reads two numbers of
 * shared memory per multiply-add; eight numbers for sixteen multiply-adds are a quarter of that.
 * The block makes 64 x 64 numbers. cuda/matmul.cu does this with 128-bit loads, fetches the next
 * tile while this one is used, and has a second form on tensor cores. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

enum { SIDE = 64, DEEP = 16, EACH = 4, THREADS = SIDE / EACH };

static __global__ void product(MatmulSize s, const float *a, const float *b, float *c) {
  SHARED2(float, as, DEEP, SIDE + 1); /* + 1: the columns written fall into different banks */
  SHARED2(float, bs, DEEP, SIDE);
  const int x = (int)threadIdx.x, y = (int)threadIdx.y, id = y * THREADS + x;
  const int64_t i0 = (int64_t)blockIdx.y * SIDE, j0 = (int64_t)blockIdx.x * SIDE;
  float sum[EACH][EACH] = {};
  for (int64_t t = 0; t < s.k; t += DEEP) {
    for (int q = id; q < SIDE * DEEP; q += THREADS * THREADS) {
      const int row = q / DEEP, ka = q % DEEP, kb = q / SIDE, column = q % SIDE;
      as[ka][row] = i0 + row < s.m && t + ka < s.k ? a[(i0 + row) * s.k + t + ka] : 0;
      bs[kb][column] = j0 + column < s.n && t + kb < s.k ? b[(t + kb) * s.n + j0 + column] : 0;
    }
    __syncthreads();
    for (int k = 0; k < DEEP; k++) {
      float u[EACH], v[EACH];
      for (int d = 0; d < EACH; d++) {
        u[d] = as[k][y + d * THREADS];
        v[d] = bs[k][x + d * THREADS];
      }
#pragma unroll
      for (int d = 0; d < EACH; d++)
#pragma unroll
        for (int e = 0; e < EACH; e++) sum[d][e] += u[d] * v[e];
    }
    __syncthreads();
  }
  for (int d = 0; d < EACH; d++)
    for (int e = 0; e < EACH; e++) {
      const int64_t i = i0 + y + d * THREADS, j = j0 + x + e * THREADS;
      if (i < s.m && j < s.n) c[i * s.n + j] = sum[d][e];
    }
}

void cuda_matmul_2_registers(const MatmulSize *s, const float *a, const float *b, float *c) {
  const dim3 grid((unsigned)ceil_div(s->n, SIDE), (unsigned)ceil_div(s->m, SIDE));
  LAUNCH(product, grid, dim3(THREADS, THREADS), 0, 0, *s, a, b, c);
}
