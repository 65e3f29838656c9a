/* Convolution, rung 0: the definition (a correlation with zero padding), and its two adjoints. All
 * three visit the same products x * w * y of one trilinear form and differ in which of the three is
 * summed. In double: every other rung, and the kernels of core/ in test/test_conv.c, are judged by
 * it. */
#include <string.h>
#include "docs/learn/ladder/ladder.h"

/* Calls `sum` for every product: indices of x, w and y in scope. */
#define FOR_EACH_PRODUCT(g, sum)                                                  \
  for (int64_t n = 0; n < g->n; n++)                                              \
    for (int64_t co = 0; co < g->co; co++)                                        \
      for (int64_t oy = 0; oy < g->oh; oy++)                                      \
        for (int64_t ox = 0; ox < g->ow; ox++)                                    \
          for (int64_t ci = 0; ci < g->ci; ci++)                                  \
            for (int64_t ky = 0; ky < g->kh; ky++)                                \
              for (int64_t kx = 0; kx < g->kw; kx++) {                            \
                const int64_t iy = oy * g->stride + ky - g->pad,                  \
                              ix = ox * g->stride + kx - g->pad;                  \
                if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w) continue;       \
                const int64_t xi = ((n * g->ci + ci) * g->h + iy) * g->w + ix,    \
                              wi = ((co * g->ci + ci) * g->kh + ky) * g->kw + kx, \
                              yi = ((n * g->co + co) * g->oh + oy) * g->ow + ox;  \
                sum;                                                              \
              }

void conv_0_naive(const ConvGeom *g, const double *x, const double *w, double *y) {
  memset(y, 0, (size_t)(g->n * g->co * g->oh * g->ow) * sizeof *y);
  FOR_EACH_PRODUCT(g, y[yi] += x[xi] * w[wi])
}

void conv_0_naive_dx(const ConvGeom *g, const double *dy, const double *w, double *dx) {
  memset(dx, 0, (size_t)(g->n * g->ci * g->h * g->w) * sizeof *dx);
  FOR_EACH_PRODUCT(g, dx[xi] += dy[yi] * w[wi])
}

void conv_0_naive_dw(const ConvGeom *g, const double *x, const double *dy, double *dw) {
  memset(dw, 0, (size_t)(g->co * g->ci * g->kh * g->kw) * sizeof *dw);
  FOR_EACH_PRODUCT(g, dw[wi] += x[xi] * dy[yi])
}
