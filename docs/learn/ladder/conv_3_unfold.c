/* Convolution, rung 3: one matrix product ("im2col").
 *
 * Every output pixel is a product of the weights [co, ci kh kw] with the patch that it sees.
 * Written out as columns the patches are a matrix [ci kh kw, oh ow], and the convolution is the
 * product of the two: the third rung of the other ladder, which keeps its sums in registers, does
 * the work. The price is memory: each pixel is written down kh kw times. (core/conv_direct.c packs
 * the patches of a few pixels at a time, so that they never leave the cache.) */
#include "docs/learn/ladder/ladder.h"

static void unfold(const ConvGeom *g, const float *x, float *m) {
  for (int64_t ci = 0; ci < g->ci; ci++)
    for (int64_t ky = 0; ky < g->kh; ky++)
      for (int64_t kx = 0; kx < g->kw; kx++)
        for (int64_t oy = 0; oy < g->oh; oy++)
          for (int64_t ox = 0; ox < g->ow; ox++) {
            const int64_t iy = oy * g->stride + ky - g->pad, ix = ox * g->stride + kx - g->pad;
            const bool inside = iy >= 0 && iy < g->h && ix >= 0 && ix < g->w;
            *m++ = inside ? x[(ci * g->h + iy) * g->w + ix] : 0;
          }
}

void conv_3_unfold(const ConvGeom *g, const float *x, const float *w, float *y) {
  const MatmulSize s = {g->co, g->oh * g->ow, g->ci * g->kh * g->kw};
  float *patches = mem_alloc((size_t)(s.k * s.n) * sizeof *patches);
  for (int64_t n = 0; n < g->n && patches; n++) {
    unfold(g, x + n * g->ci * g->h * g->w, patches);
    matmul_3_registers(&s, w, patches, y + n * s.m * s.n);
  }
  mem_free(patches);
}
