/* Modulated convolution on a GPU, rung 1: the style on the way in, the length on the way out.
 *
 * The weights are those of all samples, so a block makes eight output channels as in conv_2: the
 * style multiplies the patch when it is fetched, the length divides what is stored, and neither
 * costs a pass over memory. The length of a channel is added up once per block, by its first
 * threads, while the weights go by (today's plan takes it from sums of squares, a small matrix
 * product). For stride 1 and kernels up to 7x7. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

enum { TILE = 8, RIM = 6, EACH = 8, TAPS = 49 };

static __global__ void convolve(ConvGeom g, const float *x, const float *w, const float *s,
                                float *y) {
  SHARED2(float, patch, TILE + RIM, TILE + RIM);
  SHARED2(float, f, TAPS, EACH);
  SHARED(float, squares, EACH);
  const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, id = ty * TILE + tx;
  const int64_t tiles = (g.ow + TILE - 1) / TILE, co = (int64_t)blockIdx.y * EACH, n = blockIdx.z,
                oy0 = blockIdx.x / tiles * TILE, ox0 = blockIdx.x % tiles * TILE;
  const int high = TILE + (int)g.kh - 1, wide = TILE + (int)g.kw - 1, taps = (int)(g.kh * g.kw);
  float sum[EACH] = {};
  if (id < EACH) squares[id] = 1e-8f;
  for (int64_t ci = 0; ci < g.ci; ci++) {
    const float style = s[n * g.ci + ci];
    for (int q = id; q < high * wide; q += TILE * TILE) {
      const int64_t iy = oy0 + q / wide - g.pad, ix = ox0 + q % wide - g.pad;
      const bool inside = iy >= 0 && iy < g.h && ix >= 0 && ix < g.w;
      patch[q / wide][q % wide] = inside ? style * x[((n * g.ci + ci) * g.h + iy) * g.w + ix] : 0;
    }
    for (int q = id; q < taps * EACH; q += TILE * TILE)
      f[q / EACH][q % EACH] =
          co + q % EACH < g.co ? w[((co + q % EACH) * g.ci + ci) * taps + q / EACH] : 0;
    __syncthreads();
    if (id < EACH)
      for (int k = 0; k < taps; k++) squares[id] += style * f[k][id] * (style * f[k][id]);
    for (int k = 0; k < taps; k++)
      for (int d = 0; d < EACH; d++)
        sum[d] += patch[ty + k / (int)g.kw][tx + k % (int)g.kw] * f[k][d];
    __syncthreads();
  }
  if (oy0 + ty >= g.oh || ox0 + tx >= g.ow) return;
  for (int d = 0; d < EACH && co + d < g.co; d++)
    y[((n * g.co + co + d) * g.oh + oy0 + ty) * g.ow + ox0 + tx] = sum[d] / sqrtf(squares[d]);
}

void cuda_modconv_1_shared(const ConvGeom *g, const float *x, const float *w, const float *s,
                           float *y) {
  const dim3 grid((unsigned)(ceil_div(g->oh, TILE) * ceil_div(g->ow, TILE)),
                  (unsigned)ceil_div(g->co, EACH), (unsigned)g->n);
  LAUNCH(convolve, grid, dim3(TILE, TILE), 0, 0, *g, x, w, s, y);
}
