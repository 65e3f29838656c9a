/* index.cuh: from a linear index to coordinates without divisions. Used by the fused loops and the
 * shape operations. Element counts stay below 2^31 (cuda_fits32), so offsets are 32-bit and a
 * quotient is one high multiplication and a shift. */
#ifndef PRLX_CUDA_INDEX_CUH
#define PRLX_CUDA_INDEX_CUH
#include "cuda/any.cuh"

/* n / d for 0 <= n < 2^31: q = hi32(n m) >> s with m = ceil(2^(31+l) / d), l = ceil(log2 d), s = l
 * - 1 (Granlund & Montgomery, PLDI 1994). */
typedef struct FastDiv {
  uint32_t d;
  uint32_t m;
  uint32_t s;
} FastDiv;

/* For a divisor d >= 1. */
static inline FastDiv fastdiv_of(int64_t d) {
  FastDiv f = {(uint32_t)d, 0, 0};
  uint32_t l = 0;
  while (((int64_t)1 << l) < d) l++;
  if (d > 1) {
    f.m = (uint32_t)((((uint64_t)1 << (31 + l)) + (uint64_t)d - 1) / (uint64_t)d);
    f.s = l - 1;
  }
  return f;
}

/* n / f.d. */
static __device__ __forceinline__ uint32_t fastdiv(uint32_t n, const FastDiv &f) {
  return f.d == 1 ? n : __umulhi(n, f.m) >> f.s;
}

/* Whether offsets of n elements fit in 31 bits. */
static inline bool cuda_fits32(int64_t n) { return n < ((int64_t)1 << 31); }

/* a / b rounded up. */
static inline int64_t cuda_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* pointwise.cu: ST_INVALID, more than 2^31-1 elements */
Status cuda_too_large(const char *what, Error *e);

#endif
