/* peak.h: loops that measure what the machine can do at most: multiply-adds per second and memory
 * bandwidth. Used by `prlx bench`. */
#ifndef PRLX_PEAK_H
#define PRLX_PEAK_H
#include "core/base.h"
#include "core/isa.h"
typedef struct PeakKernels {
  int flop_per_iter; /* of fma, counting a multiply-add as two */
  /* independent chains of a*x + y in registers only */
  real (*fma)(int64_t iters, const real seed[2]);
  void (*copy)(real *dst, const real *src, int64_t n);
  /* dst = a + s*b (STREAM, McCalpin 1995) */
  void (*triad)(real *dst, const real *a, const real *b, real s, int64_t n);
} PeakKernels;
ISA_DECLARE(const PeakKernels, peak_kernels);
#endif
