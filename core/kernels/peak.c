/* peak.c: see peak.h. Compiled once per instruction set. */
#include "core/kernels/peak.h"
#include "core/kernels/simd.h"

/* Keeps a chain in a register and stops the compiler from merging chains. */
#if defined(__AVX512F__)
#define KEEP(v) __asm__ volatile("" : "+v"(v))
#elif defined(__x86_64__)
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#else
#define KEEP(v) ((void)0)
#endif

/* A fused multiply-add has a latency of 4 to 5 cycles and two can start per cycle: ten chains or
 * more keep both units busy. 12 fit the 16 registers of AVX2 and SSE next to x and y. */
enum { CHAINS = 12 };

static real fma_loop(int64_t iters, const real seed[2]) {
  const vreal x = v_set1(seed[0]), y = v_set1(seed[1]);
  vreal c[CHAINS];
#pragma GCC unroll 12 /* a chain that is indexed at run time would live in memory */
  for (int k = 0; k < CHAINS; k++) c[k] = v_set1((real)(k + 1));
  for (int64_t i = 0; i < iters; i++) {
#pragma GCC unroll 12 /* CHAINS */
    for (int k = 0; k < CHAINS; k++) {
      c[k] = c[k] * x + y;
      KEEP(c[k]);
    }
  }
  real s = 0;
  vreal t = c[0];
#pragma GCC unroll 12
  for (int k = 1; k < CHAINS; k++) t += c[k];
  for (int j = 0; j < VLEN; j++) s += t[j];
  return s;
}

static void copy_loop(real *dst, const real *src, int64_t n) {
  int64_t i = 0;
  for (; i + VLEN <= n; i += VLEN) v_store(dst + i, v_load(src + i));
  for (; i < n; i++) dst[i] = src[i];
}

static void triad_loop(real *dst, const real *a, const real *b, real s, int64_t n) {
  const vreal vs = v_set1(s);
  int64_t i = 0;
  for (; i + VLEN <= n; i += VLEN) v_store(dst + i, v_load(a + i) + vs * v_load(b + i));
  for (; i < n; i++) dst[i] = a[i] + s * b[i];
}

const PeakKernels ISA_SYM(peak_kernels) = {CHAINS * 2 * VLEN, fma_loop, copy_loop, triad_loop};
