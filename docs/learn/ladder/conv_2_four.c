/* Convolution, rung 2: four output channels from each number read (stride 1).
 *
 * Rung 1 does one multiply-add per number of x that it loads and one load and store of y beside it.
 * Here a row of x, once loaded with its three (kw) neighbours, serves four channels, and all taps
 * of a row are added before y is stored: twelve multiply-adds per load and store for 3x3. A copy of
 * x with a border of zeros does away with the cases at the edge. */
#include <string.h>
#include "docs/learn/ladder/ladder.h"

/* [ci, h + 2 pad, w + 2 pad] of one sample. */
static void with_border(const ConvGeom *g, const float *x, float *to) {
  const int64_t wide = g->w + 2 * g->pad, high = g->h + 2 * g->pad;
  memset(to, 0, (size_t)(g->ci * high * wide) * sizeof *to);
  for (int64_t c = 0; c < g->ci; c++)
    for (int64_t r = 0; r < g->h; r++)
      memcpy(to + (c * high + r + g->pad) * wide + g->pad, x + (c * g->h + r) * g->w,
             (size_t)g->w * sizeof *x);
}

/* Four rows of y, `plane` apart, from row `x` of a bordered map; w: weights of one row of taps,
 * `next` apart between the channels. */
static void four_rows(int64_t ow, int64_t kw, const float *restrict x, const float *w, int64_t next,
                      float *restrict y, int64_t plane) {
  float *restrict y1 = y + plane, *restrict y2 = y1 + plane, *restrict y3 = y2 + plane;
  for (int64_t k = 0; k < kw; k++, x++) {
    const float w0 = w[k], w1 = w[next + k], w2 = w[2 * next + k], w3 = w[3 * next + k];
    for (int64_t i = 0; i < ow; i++) {
      y[i] += w0 * x[i];
      y1[i] += w1 * x[i];
      y2[i] += w2 * x[i];
      y3[i] += w3 * x[i];
    }
  }
}

static void one_row(int64_t ow, int64_t kw, const float *restrict x, const float *w,
                    float *restrict y) {
  for (int64_t k = 0; k < kw; k++)
    for (int64_t i = 0; i < ow; i++) y[i] += w[k] * x[i + k];
}

void conv_2_four(const ConvGeom *g, const float *x, const float *w, float *y) {
  const int64_t wide = g->w + 2 * g->pad, high = g->h + 2 * g->pad, plane = g->oh * g->ow,
                taps = g->ci * g->kh * g->kw;
  float *padded = mem_alloc((size_t)(g->ci * high * wide) * sizeof *padded);
  if (!padded) return;
  memset(y, 0, (size_t)(g->n * g->co * plane) * sizeof *y);
  for (int64_t n = 0; n < g->n; n++) {
    with_border(g, x + n * g->ci * g->h * g->w, padded);
    for (int64_t co = 0; co < g->co; co += co + 4 <= g->co ? 4 : 1)
      for (int64_t c = 0; c < g->ci; c++)
        for (int64_t oy = 0; oy < g->oh; oy++)
          for (int64_t ky = 0; ky < g->kh; ky++) {
            const float *from = padded + (c * high + oy + ky) * wide,
                        *f = w + co * taps + (c * g->kh + ky) * g->kw;
            float *to = y + (n * g->co + co) * plane + oy * g->ow;
            if (co + 4 <= g->co)
              four_rows(g->ow, g->kw, from, f, taps, to, plane);
            else
              one_row(g->ow, g->kw, from, f, to);
          }
  }
  mem_free(padded);
}
