/* bench_card.cu: see bench_card.h */
#include "test/bench_card.h"
#include "cuda/cuda.h"
#include "cuda/mma.cuh"

static __global__ void __launch_bounds__(256) copy16(const uint4 *x, uint4 *y, size_t n) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
       i += (size_t)gridDim.x * blockDim.x)
    y[i] = x[i];
}

/* Words that compress badly and switch every bit: an odd multiplier's upper half. */
static __global__ void __launch_bounds__(256) scatter(uint32_t *x, size_t n) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
       i += (size_t)gridDim.x * blockDim.x)
    x[i] = (uint32_t)(((uint64_t)i * 0x9e3779b97f4a7c15u) >> 29);
}

/* Eight independent sums per warp hide the latency of the multiplier. */
template <int TYPE> static __global__ void __launch_bounds__(256) burn(float *out, long loops) {
  float d[8][4] = {};
  uint32_t a[4], b[2];
  /* numbers between 1 and 2 in every format: f16 and bf16 pairs, tf32; no denormals, no zeros */
  const uint32_t one = TYPE == 0   ? 0x3c003c00u
                       : TYPE == 1 ? 0x3f803f80u
                                   : 0x3f800000u,
                 part = TYPE == 0   ? 0x01ff01ffu
                        : TYPE == 1 ? 0x003f003fu
                                    : 0x007fe000u;
  for (int i = 0; i < 4; i++) a[i] = one | ((threadIdx.x * 40503u + (unsigned)i * 977u) & part);
  for (int i = 0; i < 2; i++)
    b[i] = (one | ((threadIdx.x * 30011u + (unsigned)i * 613u) & part)) ^ (i ? 0x80008000u : 0);
  for (long k = 0; k < loops; k++) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      if (TYPE == 0)
        mma_f16(d[i], a, b);
      else if (TYPE == 1)
        mma_bf16(d[i], a, b);
      else if (TYPE == 2)
        mma_tf32(d[i], a, b);
      else
        for (int j = 0; j < 4; j++)
          d[i][j] = fmaf(d[i][j], 0.999f, __uint_as_float(a[j] | 0x3f000000u));
    }
  }
  float s = 0;
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 4; j++) s += d[i][j];
  out[blockIdx.x * blockDim.x + threadIdx.x] = s;
}

static float timed(cudaEvent_t a, cudaEvent_t b) {
  float ms = 1e30f;
  cudaEventSynchronize(b);
  cudaEventElapsedTime(&ms, a, b);
  return ms;
}

double card_copy(size_t bytes, int repeat) {
  void *x = NULL, *y = NULL;
  cudaEvent_t a, b;
  double best = -1;
  if (cudaMalloc(&x, bytes) == cudaSuccess && cudaMalloc(&y, bytes) == cudaSuccess) {
    LAUNCH(scatter, 132 * 16, 256, 0, (cudaStream_t)0, (uint32_t *)x, bytes / 4);
    cudaEventCreate(&a);
    cudaEventCreate(&b);
    for (int r = 0; r <= repeat; r++) {
      cudaEventRecord(a, 0);
      LAUNCH(copy16, 132 * 16, 256, 0, (cudaStream_t)0, (const uint4 *)x, (uint4 *)y, bytes / 16);
      cudaEventRecord(b, 0);
      double g = 2.0 * (double)bytes / ((double)timed(a, b) * 1e6);
      if (r && g > best) best = g;
    }
    cudaEventDestroy(a);
    cudaEventDestroy(b);
  }
  if (x) cudaFree(x);
  if (y) cudaFree(y);
  cudaGetLastError();
  return best;
}

double card_rate(int type, long loops, int repeat) {
  cudaDeviceProp p;
  cudaEvent_t a, b;
  float *out = NULL;
  cudaGetDeviceProperties(&p, 0);
  int blocks = p.multiProcessorCount * 4;
  double flop = (type == 3 ? 32.0 * 2 * 32 : 8.0 * 2 * 16 * 8 * (type == 2 ? 8 : 16)) *
                (double)loops * blocks * 8,
         best = -1;
  if (cudaMalloc((void **)&out, (size_t)blocks * 256 * 4) != cudaSuccess) return -1;
  cudaEventCreate(&a);
  cudaEventCreate(&b);
  void (*k)(float *, long) = type == 0   ? burn<0>
                             : type == 1 ? burn<1>
                             : type == 2 ? burn<2>
                                         : burn<3>;
  for (int r = 0; r <= repeat; r++) {
    cudaEventRecord(a, 0);
    LAUNCH(k, blocks, 256, 0, (cudaStream_t)0, out, loops);
    cudaEventRecord(b, 0);
    double t = flop / ((double)timed(a, b) * 1e9);
    if (r && t > best) best = t;
  }
  cudaEventDestroy(a);
  cudaEventDestroy(b);
  cudaFree(out);
  return cudaGetLastError() == cudaSuccess ? best : -1;
}
