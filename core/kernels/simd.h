/* simd.h: vector types for core/kernels/ files. No intrinsics: GCC/Clang vector extensions, and
 * -ffp-contract=fast turns a*b+c into FMA where the instruction set has it. */
#ifndef PRLX_SIMD_H
#define PRLX_SIMD_H
#include <string.h>
#include "core/base.h"
#include "core/isa.h"
#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX2__)
#define VBYTES 32
#else
#define VBYTES 16
#endif
#define VLEN ((int)(VBYTES / sizeof(real)))
typedef real vreal __attribute__((vector_size(VBYTES)));
typedef real vreal_u __attribute__((vector_size(VBYTES), aligned(sizeof(real)), may_alias));

/* From memory, unaligned. */
static inline vreal v_load(const real *p) { return *(const vreal_u *)p; }

/* And back. */
static inline void v_store(real *p, vreal v) { *(vreal_u *)p = v; }

/* One number in all lanes. */
static inline vreal v_set1(real x) { return x - (vreal){0}; }
#endif
