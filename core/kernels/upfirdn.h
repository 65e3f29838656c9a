/* upfirdn.h: per-plane loops of op_upfirdn.c, compiled once per instruction set. */
#ifndef PRLX_UPFIRDN_H
#define PRLX_UPFIRDN_H
#include "core/base.h"
#include "core/isa.h"
enum { UPFIRDN_MAX_TAPS = 256, UPFIRDN_ROWS = 8 };

/* One plane [h,w] -> [oh,ow]. Taps are given in correlation order, gain included: y[o] = sum_t g[t]
 * xp[o*down + t], where xp is the zero-inserted, padded signal. tmp: UPFIRDN_ROWS rows of `row`
 * reals, of which `left` lie before column 0. */
typedef struct UpfirdnPlane {
  int h;
  int w;
  int oh;
  int ow;
  int upx;
  int upy;
  int downx;
  int downy;
  int padx0;
  int pady0;
  int tx;
  int ty;
  int left;
  int row;
} UpfirdnPlane;
typedef struct UpfirdnKernels {
  void (*separable)(const UpfirdnPlane *p, const real *gx, const real *gy, const real *x, real *y,
                    real *tmp);
  /* g [ty,tx] */
  void (*full)(const UpfirdnPlane *p, const real *g, const real *x, real *y, real *tmp);
} UpfirdnKernels;
ISA_DECLARE(const UpfirdnKernels, upfirdn_kernels);
#endif
