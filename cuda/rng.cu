/* rng.cu: normal and uniform numbers through cuRAND's Philox4x32-10: the words of core/rng.c's
 * stream, and its Box-Muller transform in double. The words are equal. The angle is exact here and
 * rounded there (4e-16), log, sin and cos are good to 1 or 2 ulp of double on either side: the two
 * floats differ by 1 ulp where a rounding boundary lies between, for about one number in 10^8; one
 * word in 2^31 (a multiple of a quarter turn) gives 0 here and 1e-16 there. */
#include <curand_kernel.h>
#include "cuda/index.cuh"

/* counters per thread: curand_init costs as much as a draw */
enum { FILL_THREADS = 128, FILL_BLOCKS = 4 };

/* Box-Muller on (0,1] x [0,1), as core/rng.c. */
static __device__ __forceinline__ void normal_pair(uint32_t a, uint32_t b, float *x) {
  /* angle / pi, exact: sincospi needs no reduction */
  const double u = (a + 1.0) * (1.0 / 4294967296.0), turn = b * (2.0 / 4294967296.0);
  const double radius = sqrt(-2.0 * log(u));
  double s, c;
  sincospi(turn, &s, &c);
  x[0] = (float)(radius * c);
  x[1] = (float)(radius * s);
}

/* Four words make four numbers; counter `first`, first + 1, ... of the stream. */
static __global__ void __launch_bounds__(FILL_THREADS)
    fill_philox(float *dst, int64_t n, uint64_t seed, uint64_t subsequence, uint64_t offset,
                bool normal) {
  const int64_t first = ((int64_t)blockIdx.x * FILL_THREADS + threadIdx.x) * FILL_BLOCKS;
  curandStatePhilox4_32_10_t state;
  if (first * 4 >= n) return;
  curand_init(seed, subsequence, offset + 4 * (uint64_t)first, &state);
  for (int k = 0; k < FILL_BLOCKS && (first + k) * 4 < n; k++) {
    const uint4 w = curand4(&state);
    const int64_t at = (first + k) * 4;
    float x[4];
    if (normal) {
      normal_pair(w.x, w.y, x);
      normal_pair(w.z, w.w, x + 2);
    } else {
      const double scale = 1.0 / 4294967296.0;
      x[0] = (float)(w.x * scale);
      x[1] = (float)(w.y * scale);
      x[2] = (float)(w.z * scale);
      x[3] = (float)(w.w * scale);
    }
    if (at + 4 <= n && ((uintptr_t)dst & 15) == 0)
      *(float4 *)(dst + at) = make_float4(x[0], x[1], x[2], x[3]);
    else
      for (int j = 0; j < 4 && at + j < n; j++) dst[at + j] = x[j];
  }
}

static Status rng_fill(const CudaCtx *c, Rng *r, float *dst, int64_t n, bool normal, Error *e) {
  /* whole counters, as rng_fill_normal */
  r->offset = (r->offset + 3) & ~(uint64_t)3;
  const unsigned blocks = (unsigned)cuda_ceil(n, 4 * FILL_BLOCKS * FILL_THREADS);
  if (n > 0)
    LAUNCH(fill_philox, blocks, FILL_THREADS, 0, c->stream, dst, n, r->seed, r->subsequence,
           r->offset, normal);
  r->offset += (uint64_t)((n + 3) / 4 * 4);
  return cuda_check("random numbers", NULL, e);
}

Status cuda_fill_normal(const CudaCtx *c, Rng *r, float *dst, int64_t n, Error *e) {
  return rng_fill(c, r, dst, n, true, e);
}

Status cuda_fill_uniform(const CudaCtx *c, Rng *r, float *dst, int64_t n, Error *e) {
  return rng_fill(c, r, dst, n, false, e);
}
