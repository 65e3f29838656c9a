/* Convolution on a GPU, rung 1: the image through shared memory. A block makes a tile of 8 x 8
 * pixels of one output channel. Neighbouring pixels see nearly the same patch: the tile with its
 * rim (10 x 10 for 3x3) is fetched once per input channel, zeros outside included, and each of its
 * numbers serves up to nine threads. For stride 1 and kernels up to 7x7. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

enum { TILE = 8, RIM = 6 };

static __global__ void convolve(ConvGeom g, const float *x, const float *w, float *y) {
  SHARED2(float, patch, TILE + RIM, TILE + RIM);
  const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, id = ty * TILE + tx;
  const int64_t tiles = (g.ow + TILE - 1) / TILE, co = blockIdx.y, n = blockIdx.z,
                oy0 = blockIdx.x / tiles * TILE, ox0 = blockIdx.x % tiles * TILE;
  const int high = TILE + (int)g.kh - 1, wide = TILE + (int)g.kw - 1;
  float sum = 0;
  for (int64_t ci = 0; ci < g.ci; ci++) {
    for (int q = id; q < high * wide; q += TILE * TILE) {
      const int64_t iy = oy0 + q / wide - g.pad, ix = ox0 + q % wide - g.pad;
      const bool inside = iy >= 0 && iy < g.h && ix >= 0 && ix < g.w;
      patch[q / wide][q % wide] = inside ? x[((n * g.ci + ci) * g.h + iy) * g.w + ix] : 0;
    }
    __syncthreads();
    const float *f = w + (co * g.ci + ci) * g.kh * g.kw;
    for (int ky = 0; ky < g.kh; ky++)
      for (int kx = 0; kx < g.kw; kx++) sum += patch[ty + ky][tx + kx] * f[ky * g.kw + kx];
    __syncthreads();
  }
  if (oy0 + ty < g.oh && ox0 + tx < g.ow)
    y[((n * g.co + co) * g.oh + oy0 + ty) * g.ow + ox0 + tx] = sum;
}

void cuda_conv_1_shared(const ConvGeom *g, const float *x, const float *w, float *y) {
  const dim3 grid((unsigned)(ceil_div(g->oh, TILE) * ceil_div(g->ow, TILE)), (unsigned)g->co,
                  (unsigned)g->n);
  LAUNCH(convolve, grid, dim3(TILE, TILE), 0, 0, *g, x, w, y);
}
