/* Convolution, rung 1: float, and rows of the image innermost.
 *
 * The question "is this pixel inside?" moves out of the innermost loop: for a tap at (ky, kx) the
 * columns that see the image are known beforehand. What is left inside is row += weight * row,
 * which the compiler makes vectors of (stride 1). */
#include <string.h>
#include "docs/learn/ladder/ladder.h"

/* y += weight * x moved by one tap. */
static void add_tap(const ConvGeom *g, const float *x, float weight, int64_t ky, int64_t kx,
                    float *y) {
  for (int64_t oy = 0; oy < g->oh; oy++) {
    const int64_t iy = oy * g->stride + ky - g->pad;
    if (iy < 0 || iy >= g->h) continue;
    int64_t first = 0, end = g->ow;
    while (first < end && first * g->stride + kx < g->pad) first++;
    while (end > first && (end - 1) * g->stride + kx - g->pad >= g->w) end--;
    const float *from = x + iy * g->w + kx - g->pad;
    float *to = y + oy * g->ow;
    if (g->stride == 1)
      for (int64_t ox = first; ox < end; ox++) to[ox] += weight * from[ox];
    else
      for (int64_t ox = first; ox < end; ox++) to[ox] += weight * from[ox * g->stride];
  }
}

void conv_1_rows(const ConvGeom *g, const float *x, const float *w, float *y) {
  const int64_t taps = g->kh * g->kw;
  memset(y, 0, (size_t)(g->n * g->co * g->oh * g->ow) * sizeof *y);
  for (int64_t n = 0; n < g->n; n++)
    for (int64_t co = 0; co < g->co; co++)
      for (int64_t ci = 0; ci < g->ci; ci++)
        for (int64_t k = 0; k < taps; k++)
          add_tap(g, x + (n * g->ci + ci) * g->h * g->w, w[(co * g->ci + ci) * taps + k], k / g->kw,
                  k % g->kw, y + (n * g->co + co) * g->oh * g->ow);
}
