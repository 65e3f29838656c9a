/* upfirdn2d, rung 2: one axis at a time.
 *
 * The filter is f f^T, so filtering along y and then along x is the same: 2 + 2 products per pixel
 * in place of 2 x 2 for up = 2 with 4 taps, 4 + 4 in place of 16 for down = 2. */
#include "docs/learn/ladder/ladder.h"

/* One line: n samples `step` apart to m samples `out_step` apart. */
static void line(const FirSize *s, const float *f, float gain, const float *x, int64_t n,
                 int64_t step, float *y, int64_t m, int64_t out_step) {
  for (int64_t o = 0; o < m; o++) {
    const int64_t q = o * s->down - s->pad0, t = ((-q) % s->up + s->up) % s->up;
    int64_t i = (q + t) / s->up;
    float sum = 0;
    for (int64_t a = t; a < s->taps; a += s->up, i++)
      if (i >= 0 && i < n) sum += f[s->taps - 1 - a] * x[i * step];
    y[o * out_step] = gain * sum;
  }
}

void upfirdn_2_separable(const FirSize *s, const float *x, const float *f, float *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w);
  float *half = mem_alloc((size_t)(oh * s->w) * sizeof *half);
  for (int64_t p = 0; p < s->planes && half; p++, x += s->h * s->w, y += oh * ow) {
    for (int64_t u = 0; u < s->w; u++)
      line(s, f, (float)s->gain, x + u, s->h, s->w, half + u, oh, s->w);
    for (int64_t v = 0; v < oh; v++) line(s, f, 1, half + v * s->w, s->w, 1, y + v * ow, ow, 1);
  }
  mem_free(half);
}
