/* upfirdn2d on a GPU, rung 2: one axis at a time, through shared memory. A block makes one output
 * row of one plane: first the vertical sums of the input rows that it needs, kept in shared memory,
 * then, after a barrier, the horizontal sums of those. cuda/upfirdn.cu does whole tiles. Rows of up
 * to 1024 pixels. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

enum { WIDE = 1024, THREADS = 64 };

static __global__ void filter(FirSize s, const float *x, const float *f, float *y, int64_t oh,
                              int64_t ow) {
  SHARED(float, row, WIDE);
  const int64_t plane = blockIdx.x / oh, oy = blockIdx.x % oh, last = s.taps - 1,
                qy = oy * s.down - s.pad0, ty = ((-qy) % s.up + s.up) % s.up;
  x += plane * s.h * s.w;
  for (int64_t u = threadIdx.x; u < s.w; u += THREADS) {
    float sum = 0;
    for (int64_t a = ty, v = (qy + ty) / s.up; a <= last; a += s.up, v++)
      if (v >= 0 && v < s.h) sum += f[last - a] * x[v * s.w + u];
    row[u] = (float)s.gain * sum;
  }
  __syncthreads();
  for (int64_t ox = threadIdx.x; ox < ow; ox += THREADS) {
    const int64_t qx = ox * s.down - s.pad0, tx = ((-qx) % s.up + s.up) % s.up;
    float sum = 0;
    for (int64_t b = tx, u = (qx + tx) / s.up; b <= last; b += s.up, u++)
      if (u >= 0 && u < s.w) sum += f[last - b] * row[u];
    y[(plane * oh + oy) * ow + ox] = sum;
  }
}

void cuda_upfirdn_2_shared(const FirSize *s, const float *x, const float *f, float *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w);
  LAUNCH(filter, dim3((unsigned)(s->planes * oh)), dim3(THREADS), 0, 0, *s, x, f, y, oh, ow);
}
