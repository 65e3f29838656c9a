/* upfirdn2d, rung 0: the definition. Between the pixels of x stand up - 1 zeros (and after the last
 * ones, too); the result is padded, filtered (a true convolution: the filter reversed) and every
 * down-th pixel kept. In double: the oracle. */
#include "docs/learn/ladder/ladder.h"

/* Pixel (v,u) of the image with its zeros and its padding. */
static double spread(const FirSize *s, const double *x, int64_t v, int64_t u) {
  v -= s->pad0;
  u -= s->pad0;
  if (v < 0 || u < 0 || v >= s->h * s->up || u >= s->w * s->up) return 0;
  return v % s->up || u % s->up ? 0 : x[v / s->up * s->w + u / s->up];
}

void upfirdn_0_naive(const FirSize *s, const double *x, const double *f, double *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w), t = s->taps;
  for (int64_t i = 0; i < s->planes * oh * ow; i++) {
    const double *plane = x + i / (oh * ow) * s->h * s->w;
    y[i] = 0;
    for (int64_t a = 0; a < t; a++)
      for (int64_t b = 0; b < t; b++)
        y[i] += s->gain * f[t - 1 - a] * f[t - 1 - b] *
                spread(s, plane, i / ow % oh * s->down + a, i % ow * s->down + b);
  }
}
