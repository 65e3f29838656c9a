/* warp.h: per-plane loops of op_warp.c, compiled once per instruction set. */
#ifndef PRLX_WARP_H
#define PRLX_WARP_H
#include "core/base.h"
#include "core/isa.h"
enum { WARP_TAPS = 12, WARP_GEO = 10 };
typedef struct WarpKernels {
  /* x [h,w], geo[10], f[12] -> y [h,w]; tmp: warp_scratch(h, w) reals. */
  void (*forward)(int h, int w, const real *geo, const real *f, const real *x, real *y, real *tmp);
  void (*adjoint)(int h, int w, const real *geo, const real *f, const real *dy, real *dx,
                  real *tmp);
} WarpKernels;
ISA_DECLARE(const WarpKernels, warp_kernels);

/* Largest working set: the oversampled image with its frame, the half-filtered rows, the
 * half-decimated rows, and line buffers. */
static inline size_t warp_scratch(int h, int w) {
  size_t uw = 2 * (3 * (size_t)w - 2) + 4, uh = 2 * (3 * (size_t)h - 2) + 4,
         n = 2 * PRLX_MAX((size_t)h, (size_t)w) + 2 * WARP_TAPS;
  return uw * uh + (size_t)h * uw + n * (size_t)w + 4 * (uw + n + 64);
}
#endif
