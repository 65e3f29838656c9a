/* conv_thin.c: 1x1 convolutions with few channels on one side (toRGB, fromRGB and their gradients).
 * They are as fast as memory: every output row is a weighted sum of source rows, and nothing is
 * packed. */
#include "core/conv_impl.h"
#include "core/threads.h"

enum { THIN_MAX = 4, THIN_PIXELS = 512 };

typedef struct Thin {
  const GemmKernels *k;
  int64_t m;
  int64_t c;
  int64_t wm;
  int64_t wc;
  int64_t pixels;
  int64_t chunks;
  const real *src;
  const real *w;
  const real *scale;
  real *out;
} Thin;

bool thin_possible(const ConvGeom *g) {
  return g->kind != CONV_DW && g->kh == 1 && g->kw == 1 && g->stride == 1 && g->pad == 0 &&
         PRLX_MIN(g->ci, g->co) <= THIN_MAX;
}

static void thin_task(void *ctx, int64_t i, int worker) {
  const Thin *t = ctx;
  const int64_t n = i / t->chunks, x = i % t->chunks * THIN_PIXELS;
  for (int64_t m = 0; m < t->m; m += THIN_MAX)
    t->k->mix(t->src + n * t->c * t->pixels + x, t->pixels, t->c, (int)PRLX_MIN(THIN_MAX, t->m - m),
              t->w + m * t->wm, t->wm, t->wc, t->scale ? t->scale + n * t->c : NULL,
              PRLX_MIN(THIN_PIXELS, t->pixels - x), t->out + (n * t->m + m) * t->pixels + x,
              t->pixels);
}

void thin_run(const ConvGeom *g, const real *src, const real *w, const real *scale, real *out) {
  const bool fwd = g->kind == CONV_FWD;
  Thin t = {.k = ISA_PICK(gemm_kernels),
            .m = fwd ? g->co : g->ci,
            .c = fwd ? g->ci : g->co,
            .wm = fwd ? g->ci : 1,
            .wc = fwd ? 1 : g->ci,
            .pixels = g->h * g->w,
            .src = src,
            .w = w,
            .scale = scale,
            .out = out};
  t.chunks = ceil_div(t.pixels, THIN_PIXELS);
  par_for(g->n * t.chunks, thin_task, &t);
}
