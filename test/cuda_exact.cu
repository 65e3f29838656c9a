/* cuda_exact.cu: test/cuda_exact.h on the runtime, real or emulated. */
#include "test/cuda_exact.h"
#include <string.h>
#include "cuda/cuda.h"

void *exact_new(size_t bytes) {
  void *p = NULL;
  if (!bytes || cudaMalloc(&p, bytes) != cudaSuccess) return NULL;
  exact_poison(p, bytes);
  return p;
}

/* The backend's stream does not wait for the default one, so these do. */
void exact_poison(void *p, size_t bytes) {
  if (bytes) {
    cudaMemset(p, 0xff, bytes);
    cudaDeviceSynchronize();
  }
}

void exact_free(void *p) {
  if (p) cudaFree(p);
}

bool exact_put(void *dst, const void *src, size_t bytes) {
  return !bytes || (cudaMemcpy(dst, src, bytes, cudaMemcpyHostToDevice) == cudaSuccess &&
                    cudaDeviceSynchronize() == cudaSuccess);
}

bool exact_get(void *dst, const void *src, size_t bytes) {
  return !bytes || cudaMemcpy(dst, src, bytes, cudaMemcpyDeviceToHost) == cudaSuccess;
}
#ifdef PRLX_CUDA_EMU
const char *exact_fault(void) {
  static char text[1024];
  cudaError_t r = cudaGetLastError();
  if (r == cudaSuccess) return NULL;
  snprintf(text, sizeof text, "%s", emu_message()[0] ? emu_message() : cudaGetErrorString(r));
  emu_clear();
  return text;
}

void exact_order(uint64_t seed) { emu_seed(seed); }
bool exact_emulated(void) { return true; }
long exact_launches(void) { return emu_launches(); }
size_t exact_live(void) { return emu_live_allocations(); }
#else
const char *exact_fault(void) {
  cudaError_t r = cudaDeviceSynchronize();
  if (r == cudaSuccess) r = cudaGetLastError();
  return r == cudaSuccess ? NULL : cudaGetErrorString(r);
}

void exact_order(uint64_t seed) { (void)seed; }
bool exact_emulated(void) { return false; }
long exact_launches(void) { return -1; }
size_t exact_live(void) { return 0; }
#endif
uint16_t exact_to_16(float x, bool bf16) {
  uint16_t r;
  if (bf16) {
    __nv_bfloat16 h = __float2bfloat16_rn(x);
    memcpy(&r, &h, 2);
  } else {
    __half h = __float2half_rn(x);
    memcpy(&r, &h, 2);
  }
  return r;
}

float exact_from_16(uint16_t x, bool bf16) {
  if (bf16) {
    __nv_bfloat16 h;
    memcpy((void *)&h, &x, 2);
    return __bfloat162float(h);
  }
  __half h;
  memcpy((void *)&h, &x, 2);
  return __half2float(h);
}
