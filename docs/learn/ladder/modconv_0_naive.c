/* Modulated convolution, rung 0: the definition (Karras et al. 2020, eq. 1 and 3). Each sample has
 * weights of its own: the input channels scaled by its style s, then every output channel made of
 * length 1, so that the output has the variance of the input. In double: the oracle. */
#include <math.h>
#include "docs/learn/ladder/ladder.h"

void modconv_0_naive(const ConvGeom *g, const double *x, const double *w, const double *s,
                     double *y) {
  const int64_t taps = g->kh * g->kw, row = g->ci * taps;
  ConvGeom one = *g;
  one.n = 1;
  double *own = mem_alloc((size_t)(g->co * row) * sizeof *own);
  for (int64_t n = 0; n < g->n && own; n++) {
    for (int64_t co = 0; co < g->co; co++) {
      double sum = 1e-8;
      for (int64_t i = 0; i < row; i++) {
        own[co * row + i] = w[co * row + i] * s[n * g->ci + i / taps];
        sum += own[co * row + i] * own[co * row + i];
      }
      for (int64_t i = 0; i < row; i++) own[co * row + i] /= sqrt(sum);
    }
    conv_0_naive(&one, x + n * g->ci * g->h * g->w, own, y + n * g->co * g->oh * g->ow);
  }
  mem_free(own);
}
