/* Modulated convolution, rung 2: the lengths from sums of squares.
 *
 * |W s|^2 = sum over ci of s^2 (sum over taps of W^2). The inner sum knows no sample, so it is made
 * once: [co, ci]; what is left per sample is a matrix product of s^2 with it, kh kw times smaller.
 * And where sides are even the convolution is the fourth rung of its ladder. models/gan/synthesis.c
 * writes just this as a graph; the planner then hands both scalings to the convolution, which
 * applies them while it reads and writes, so that `scaled` is never stored. */
#include <math.h>
#include "docs/learn/ladder/ladder.h"

static void square_sums(const ConvGeom *g, const float *w, float *q) {
  const int64_t taps = g->kh * g->kw;
  for (int64_t i = 0; i < g->co * g->ci; i++) {
    q[i] = 0;
    for (int64_t k = 0; k < taps; k++) q[i] += w[i * taps + k] * w[i * taps + k];
  }
}

void modconv_2_squares(const ConvGeom *g, const float *x, const float *w, const float *s,
                       float *y) {
  const int64_t in = g->h * g->w, out = g->oh * g->ow;
  float *scaled = mem_alloc((size_t)(g->n * g->ci * in) * sizeof *scaled),
        *q = mem_alloc((size_t)(g->co * g->ci) * sizeof *q);
  if (scaled && q) {
    square_sums(g, w, q);
    for (int64_t i = 0; i < g->n * g->ci * in; i++) scaled[i] = x[i] * s[i / in];
    if (g->kh == 3 && g->stride == 1 && g->h % 2 == 0 && g->w % 2 == 0)
      conv_4_winograd(g, scaled, w, y);
    else
      conv_3_unfold(g, scaled, w, y);
    for (int64_t i = 0; i < g->n * g->co; i++) {
      float sum = 1e-8f;
      for (int64_t c = 0; c < g->ci; c++) {
        const float style = s[i / g->co * g->ci + c];
        sum += style * style * q[i % g->co * g->ci + c];
      }
      for (int64_t k = 0; k < out; k++) y[i * out + k] *= 1 / sqrtf(sum);
    }
  }
  mem_free(scaled);
  mem_free(q);
}
