/* conv_impl.h: what the files of the convolution share. Not for other code. */
#ifndef PRLX_CONV_IMPL_H
#define PRLX_CONV_IMPL_H
#include "conv.h"
#include "gemm.h"

enum { CONV_SLOT_BUDGET = 24 << 20, CONV_SLOTS_MIN = 8, CONV_SLOTS_MAX = 64 };

/* Hands out 64-byte aligned pieces of a scratch block; with base NULL it only counts. */
typedef struct Bump { char *base; size_t used; } Bump;
static inline void *bump(Bump *b, size_t count, size_t size) {
  char *p = b->base ? b->base + b->used : NULL;
  b->used += (count * size + 63) & ~(size_t)63;
  return p;
}
static inline int conv_slots(size_t slot_bytes) {
  size_t n = slot_bytes ? CONV_SLOT_BUDGET / slot_bytes : CONV_SLOTS_MAX;
  return n < CONV_SLOTS_MIN ? CONV_SLOTS_MIN : n > CONV_SLOTS_MAX ? CONV_SLOTS_MAX : (int)n;
}

/* Every algorithm has the same four functions: numbers in prepared weights (fwd, dx), preparing them, scratch bytes
 * (with_prep: they are given), and the run. */
size_t direct_prep_numel(const ConvGeom *g);
void   direct_prep(const ConvGeom *g, const real *w, real *dst);
size_t direct_scratch(const ConvGeom *g, bool with_prep);
void   direct_run(const ConvGeom *g, const real *src, const real *w, const real *prep, const real *scale, real *out, void *scratch);

size_t direct_dw_scratch(const ConvGeom *g);
void   direct_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx, const real *sdy, real *dw, void *scratch);

bool   wino_possible(const ConvGeom *g);
int    wino_auto(const ConvGeom *g);            /* output tile side 2 or 4 if Winograd is expected to win, else 0 */
size_t wino_prep_numel(const ConvGeom *g, int m);
void   wino_prep(const ConvGeom *g, int m, const real *w, real *dst);
size_t wino_scratch(const ConvGeom *g, int m, bool with_prep);
void   wino_run(const ConvGeom *g, int m, const real *src, const real *w, const real *prep, const real *scale, real *out, void *scratch);
size_t wino_dw_scratch(const ConvGeom *g, int m);
void   wino_dw_run(const ConvGeom *g, int m, const real *x, const real *dy, const real *sx, const real *sdy, real *dw, void *scratch);
#endif
