/* Modulated convolution on a GPU, rung 0: a thread for each output pixel, which makes the weights
 * of its sample, and their length, as it goes. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

static __global__ void convolve(ConvGeom g, const float *x, const float *w, const float *s,
                                float *y) {
  const int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, co = blockIdx.y,
                n = blockIdx.z, taps = g.kh * g.kw;
  float sum = 0, length = 1e-8f;
  if (at >= g.oh * g.ow) return;
  for (int64_t i = 0; i < g.ci * taps; i++) {
    const int64_t ci = i / taps, iy = at / g.ow * g.stride + i % taps / g.kw - g.pad,
                  ix = at % g.ow * g.stride + i % g.kw - g.pad;
    const float f = w[co * g.ci * taps + i] * s[n * g.ci + ci];
    length += f * f;
    if (iy >= 0 && iy < g.h && ix >= 0 && ix < g.w)
      sum += f * x[((n * g.ci + ci) * g.h + iy) * g.w + ix];
  }
  y[(n * g.co + co) * g.oh * g.ow + at] = sum / sqrtf(length);
}

void cuda_modconv_0_naive(const ConvGeom *g, const float *x, const float *w, const float *s,
                          float *y) {
  const dim3 grid((unsigned)ceil_div(g->oh * g->ow, 64), (unsigned)g->co, (unsigned)g->n);
  LAUNCH(convolve, grid, dim3(64), 0, 0, *g, x, w, s, y);
}
