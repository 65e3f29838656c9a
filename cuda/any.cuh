/* any.cuh: loads and stores whose number type is known at run time only: for operations whose
 * operands may be stored in different types and that do not deserve one kernel per combination. The
 * branch is the same for all threads of a launch. */
#ifndef PRLX_ANY_CUH
#define PRLX_ANY_CUH
#include "cuda/cuda.h"

/* Element i of an array of type t, as float. */
static __device__ __forceinline__ float ld_any(const void *p, DType t, int64_t i) {
  if (t == DT_F32) return ((const float *)p)[i];
  return t == DT_F16 ? ld((const __half *)p, i) : ld((const __nv_bfloat16 *)p, i);
}

/* And back. */
static __device__ __forceinline__ void st_any(void *p, DType t, int64_t i, float x) {
  if (t == DT_F32)
    ((float *)p)[i] = x;
  else if (t == DT_F16)
    st((__half *)p, i, x);
  else
    st((__nv_bfloat16 *)p, i, x);
}

/* Blocks of `threads` for n elements, one each. Grids have at most 2^31-1 blocks: kernels over n
 * elements stride by the grid. */
static inline unsigned blocks_for(int64_t n, int threads) {
  int64_t b = (n + threads - 1) / threads;
  return (unsigned)(b < 1 ? 1 : b < 0x7fffffff ? b : 0x7fffffff);
}
#endif
