/* upfirdn2d on a GPU, rung 0: a thread for each output pixel, zeros and all. */
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
  for (int64_t a = 0; a <= last; a++)
    for (int64_t b = 0; b <= last; b++) {
      const int64_t v = at / ow % oh * s.down + a - s.pad0, u = at % ow * s.down + b - s.pad0;
      const bool there =
          v >= 0 && u >= 0 && v < s.h * s.up && u < s.w * s.up && v % s.up == 0 && u % s.up == 0;
      sum += f[last - a] * f[last - b] * (there ? x[v / s.up * s.w + u / s.up] : 0);
    }
  y[at] = (float)s.gain * sum;
}

void cuda_upfirdn_0_naive(const FirSize *s, const float *x, const float *f, float *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w);
  const dim3 grid((unsigned)ceil_div(s->planes * oh * ow, 128));
  LAUNCH(filter, grid, dim3(128), 0, 0, *s, x, f, y, oh, ow);
}
