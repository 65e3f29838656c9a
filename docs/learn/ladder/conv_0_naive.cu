/* Convolution on a GPU, rung 0: a thread for each output pixel. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

static __global__ void convolve(ConvGeom g, const float *x, const float *w, float *y) {
  const int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, co = blockIdx.y,
                n = blockIdx.z, oy = at / g.ow, ox = at % g.ow;
  float sum = 0;
  if (at >= g.oh * g.ow) return;
  for (int64_t ci = 0; ci < g.ci; ci++)
    for (int64_t ky = 0; ky < g.kh; ky++)
      for (int64_t kx = 0; kx < g.kw; kx++) {
        const int64_t iy = oy * g.stride + ky - g.pad, ix = ox * g.stride + kx - g.pad;
        if (iy < 0 || iy >= g.h || ix < 0 || ix >= g.w) continue;
        sum += x[((n * g.ci + ci) * g.h + iy) * g.w + ix] *
               w[((co * g.ci + ci) * g.kh + ky) * g.kw + kx];
      }
  y[(n * g.co + co) * g.oh * g.ow + at] = sum;
}

void cuda_conv_0_naive(const ConvGeom *g, const float *x, const float *w, float *y) {
  const dim3 grid((unsigned)ceil_div(g->oh * g->ow, 64), (unsigned)g->co, (unsigned)g->n);
  LAUNCH(convolve, grid, dim3(64), 0, 0, *g, x, w, y);
}
