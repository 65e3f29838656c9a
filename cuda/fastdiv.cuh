/* fastdiv.cuh: division by a number that is fixed at launch, as one high multiplication, an
 * addition and a shift: q = (hi32(n m) + n) >> s with s = ceil(log2 d) and
 * m = floor(2^32 (2^s - d) / d) + 1 (Granlund & Montgomery, PLDI 1994, section 4, with the 33rd bit
 * of the multiplier as the addition). Exact for 0 <= n < 2^31, where the sum does not overflow, and
 * 1 <= d <= 2^31; d = 1 is no special case. */
#ifndef PRLX_FASTDIV_CUH
#define PRLX_FASTDIV_CUH
#include "cuda/cuda.h"

typedef struct FastDiv {
  uint32_t d;
  uint32_t m;
  uint32_t s;
} FastDiv;

/* For a divisor 1 <= d <= 2^31; 0, of an empty array that no thread divides in, is let through. */
static inline FastDiv fast_div(int64_t d) {
  FastDiv f = {(uint32_t)d, 0, 0};
  if (d < 1) return f;
  while (((int64_t)1 << f.s) < d) f.s++;
  f.m = (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << f.s) - (uint64_t)d)) / (uint64_t)d + 1);
  return f;
}

/* n / f.d. */
static __device__ __forceinline__ uint32_t div_by(uint32_t n, FastDiv f) {
  return (__umulhi(n, f.m) + n) >> f.s;
}
#endif
