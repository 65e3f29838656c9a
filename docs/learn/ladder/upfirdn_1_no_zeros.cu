/* upfirdn2d on a GPU, rung 1: only the taps that meet a pixel: the first one is computed, the next
 * ones are `up` further on. A quarter of the loads for up = 2. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

static __global__ void filter(FirSize s, const float *x, const float *f, float *y, int64_t oh,
                              int64_t ow) {
  const int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, last = s.taps - 1;
  float sum = 0;
  if (at >= s.planes * oh * ow) return;
  x += at / (oh * ow) * s.h * s.w;
  const int64_t qy = at / ow % oh * s.down - s.pad0, qx = at % ow * s.down - s.pad0,
                ty = ((-qy) % s.up + s.up) % s.up, tx = ((-qx) % s.up + s.up) % s.up;
  for (int64_t a = ty, v = (qy + ty) / s.up; a <= last; a += s.up, v++)
    for (int64_t b = tx, u = (qx + tx) / s.up; b <= last; b += s.up, u++)
      if (v >= 0 && v < s.h && u >= 0 && u < s.w) sum += f[last - a] * f[last - b] * x[v * s.w + u];
  y[at] = (float)s.gain * sum;
}

void cuda_upfirdn_1_no_zeros(const FirSize *s, const float *x, const float *f, float *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w);
  const dim3 grid((unsigned)ceil_div(s->planes * oh * ow, 128));
  LAUNCH(filter, grid, dim3(128), 0, 0, *s, x, f, y, oh, ow);
}
