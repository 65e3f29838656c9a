/* Convolution on a GPU, rung 2: eight output channels per thread. Each number of the patch, once in
 * a register, is used for eight channels, and the patch is fetched an eighth as often; their
 * weights go through shared memory together. cuda/conv.cu goes on to the matrix product
 * (cuda/conv_gemm.cu), 64 channels by 64 pixels per block, on tensor cores where precision allows.
 * For stride 1 and kernels up to 7x7. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

enum { TILE = 8, RIM = 6, EACH = 8, TAPS = 49 };

static __global__ void convolve(ConvGeom g, const float *x, const float *w, float *y) {
  SHARED2(float, patch, TILE + RIM, TILE + RIM);
  SHARED2(float, f, TAPS, EACH);
  const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, id = ty * TILE + tx;
  const int64_t tiles = (g.ow + TILE - 1) / TILE, co = (int64_t)blockIdx.y * EACH, n = blockIdx.z,
                oy0 = blockIdx.x / tiles * TILE, ox0 = blockIdx.x % tiles * TILE;
  const int high = TILE + (int)g.kh - 1, wide = TILE + (int)g.kw - 1, taps = (int)(g.kh * g.kw);
  float sum[EACH] = {};
  for (int64_t ci = 0; ci < g.ci; ci++) {
    for (int q = id; q < high * wide; q += TILE * TILE) {
      const int64_t iy = oy0 + q / wide - g.pad, ix = ox0 + q % wide - g.pad;
      const bool inside = iy >= 0 && iy < g.h && ix >= 0 && ix < g.w;
      patch[q / wide][q % wide] = inside ? x[((n * g.ci + ci) * g.h + iy) * g.w + ix] : 0;
    }
    for (int q = id; q < taps * EACH; q += TILE * TILE)
      f[q / EACH][q % EACH] =
          co + q % EACH < g.co ? w[((co + q % EACH) * g.ci + ci) * taps + q / EACH] : 0;
    __syncthreads();
    for (int k = 0; k < taps; k++) {
      const float v = patch[ty + k / (int)g.kw][tx + k % (int)g.kw];
#pragma unroll
      for (int d = 0; d < EACH; d++) sum[d] += v * f[k][d];
    }
    __syncthreads();
  }
  if (oy0 + ty >= g.oh || ox0 + tx >= g.ow) return;
  for (int d = 0; d < EACH && co + d < g.co; d++)
    y[((n * g.co + co + d) * g.oh + oy0 + ty) * g.ow + ox0 + tx] = sum[d];
}

void cuda_conv_2_registers(const ConvGeom *g, const float *x, const float *w, float *y) {
  const dim3 grid((unsigned)(ceil_div(g->oh, TILE) * ceil_div(g->ow, TILE)),
                  (unsigned)ceil_div(g->co, EACH), (unsigned)g->n);
  LAUNCH(convolve, grid, dim3(TILE, TILE), 0, 0, *g, x, w, y);
}
