/* ladder_card.cu: memory of the device for ladder_run.c, on the runtime, real or emulated. */
#include "cuda/cuda.h"
extern "C" {
#include "docs/learn/ladder/ladder.h"
}

float *card_new(int64_t n) {
  float *p = NULL;
  return cudaMalloc((void **)&p, (size_t)n * sizeof *p) == cudaSuccess ? p : NULL;
}

void card_free(float *p) {
  if (p) cudaFree(p);
}

void card_put(float *dst, const float *src, int64_t n) {
  cudaMemcpy(dst, src, (size_t)n * sizeof *dst, cudaMemcpyHostToDevice);
  cudaDeviceSynchronize();
}

void card_get(float *dst, const float *src, int64_t n) {
  cudaMemcpy(dst, src, (size_t)n * sizeof *dst, cudaMemcpyDeviceToHost);
}

const char *card_wait(void) {
  cudaError_t r = cudaDeviceSynchronize();
  if (r == cudaSuccess) r = cudaGetLastError();
  return r == cudaSuccess ? NULL : cudaGetErrorString(r);
}

bool card_emulated(void) {
#ifdef PRLX_CUDA_EMU
  return true;
#else
  return false;
#endif
}
