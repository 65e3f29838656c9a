/* Modulated convolution, rung 1: one convolution for all samples.
 *
 * The style multiplies input channels and the length divides output channels, and a convolution is
 * linear: conv(x, W s / |W s|) = conv(x s, W) / |W s|. So the weights stay as they are, the same
 * for every sample, and two cheap scalings of the maps stand before and after. What a fast
 * convolution prepares from its weights (packing, Winograd's transform) is then made once for all
 * samples. */
#include <math.h>
#include "docs/learn/ladder/ladder.h"

void modconv_1_shared(const ConvGeom *g, const float *x, const float *w, const float *s, float *y) {
  const int64_t taps = g->kh * g->kw, in = g->h * g->w, out = g->oh * g->ow;
  float *scaled = mem_alloc((size_t)(g->n * g->ci * in) * sizeof *scaled);
  if (!scaled) return;
  for (int64_t i = 0; i < g->n * g->ci * in; i++) scaled[i] = x[i] * s[i / in];
  conv_3_unfold(g, scaled, w, y);
  for (int64_t i = 0; i < g->n * g->co; i++) {
    const float *f = w + i % g->co * g->ci * taps, *style = s + i / g->co * g->ci;
    float sum = 1e-8f;
    for (int64_t k = 0; k < g->ci * taps; k++)
      sum += f[k] * style[k / taps] * (f[k] * style[k / taps]);
    for (int64_t k = 0; k < out; k++) y[i * out + k] *= 1 / sqrtf(sum);
  }
  mem_free(scaled);
}
