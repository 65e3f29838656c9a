/* upfirdn2d, rung 1: without the zeros.
 *
 * Of `taps` neighbours only every up-th is a pixel, the others are inserted zeros: in two
 * dimensions 4 of 16 products for up = 2. The first tap that meets a pixel is computed, the next
 * ones are up further on. */
#include "docs/learn/ladder/ladder.h"

/* First tap of output position o that meets a sample, and that sample (it may lie outside). */
static int64_t first_tap(const FirSize *s, int64_t o, int64_t *sample) {
  const int64_t q = o * s->down - s->pad0;
  const int64_t t = ((-q) % s->up + s->up) % s->up;
  *sample = (q + t) / s->up; /* exact */
  return t;
}

static float pixel(const FirSize *s, const float *x, const float *f, int64_t oy, int64_t ox) {
  int64_t v, u0;
  const int64_t last = s->taps - 1, a0 = first_tap(s, oy, &v), b0 = first_tap(s, ox, &u0);
  float sum = 0;
  for (int64_t a = a0; a <= last; a += s->up, v++) {
    int64_t u = u0;
    if (v < 0 || v >= s->h) continue;
    for (int64_t b = b0; b <= last; b += s->up, u++)
      if (u >= 0 && u < s->w) sum += f[last - a] * f[last - b] * x[v * s->w + u];
  }
  return (float)s->gain * sum;
}

void upfirdn_1_no_zeros(const FirSize *s, const float *x, const float *f, float *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w);
  for (int64_t p = 0; p < s->planes; p++)
    for (int64_t oy = 0; oy < oh; oy++)
      for (int64_t ox = 0; ox < ow; ox++) *y++ = pixel(s, x + p * s->h * s->w, f, oy, ox);
}
