/* Matrix product on a GPU, rung 1: tiles in shared memory. A block of 16 x 16 threads makes 16 x 16
 * numbers of c; for every 16 steps of k it fetches a tile of a and one of b once and uses each
 * number 16 times. The two barriers: no thread reads a tile before all have written it, none writes
 * the next one before all have read. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

enum { TILE = 16 };

static __global__ void product(MatmulSize s, const float *a, const float *b, float *c) {
  SHARED2(float, as, TILE, TILE);
  SHARED2(float, bs, TILE, TILE);
  const int x = (int)threadIdx.x, y = (int)threadIdx.y;
  const int64_t i = (int64_t)blockIdx.y * TILE + y, j = (int64_t)blockIdx.x * TILE + x;
  float sum = 0;
  for (int64_t t = 0; t < s.k; t += TILE) {
    as[y][x] = i < s.m && t + x < s.k ? a[i * s.k + t + x] : 0;
    bs[y][x] = j < s.n && t + y < s.k ? b[(t + y) * s.n + j] : 0;
    __syncthreads();
    for (int k = 0; k < TILE; k++) sum += as[y][k] * bs[k][x];
    __syncthreads();
  }
  if (i < s.m && j < s.n) c[i * s.n + j] = sum;
}

void cuda_matmul_1_tiles(const MatmulSize *s, const float *a, const float *b, float *c) {
  const dim3 grid((unsigned)ceil_div(s->n, TILE), (unsigned)ceil_div(s->m, TILE));
  LAUNCH(product, grid, dim3(TILE, TILE), 0, 0, *s, a, b, c);
}
