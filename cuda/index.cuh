/* index.cuh: from a linear index to coordinates without divisions. Used by the fused loops and the
 * shape operations. Element counts stay below 2^31 (cuda_fits32), so offsets are 32-bit and a
 * quotient is FastDiv's. */
#ifndef PRLX_CUDA_INDEX_CUH
#define PRLX_CUDA_INDEX_CUH
#include "cuda/any.cuh"
#include "cuda/fastdiv.cuh"

/* Whether offsets of n elements fit in 31 bits. */
static inline bool cuda_fits32(int64_t n) { return n < ((int64_t)1 << 31); }

/* a / b rounded up. */
static inline int64_t cuda_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* pointwise.cu: ST_INVALID, more than 2^31-1 elements */
Status cuda_too_large(const char *what, Error *e);

#endif
