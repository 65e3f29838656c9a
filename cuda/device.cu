/* device.cu: making a backend, and what there is. */
#include "cuda/device.h"
#include <stdio.h>
#include <string.h>
#include "cuda/device_impl.h"

/* ---- flat ranges: the same functions with the context instead of the backend ---- */
static Status fill_normal(Backend *b, Rng *r, float *dst, int64_t n, Error *e) {
  return cuda_fill_normal(&of(b)->c, r, dst, n, e);
}

static Status dev_adam(Backend *b, float *p, const float *g, float *m, float *v, int64_t n,
                       const AdamCoef *coef, Error *e) {
  return cuda_adam(&of(b)->c, p, g, m, v, n, coef, e);
}

static Status dev_accumulate(Backend *b, float *acc, const float *g, int64_t n, Error *e) {
  return cuda_accumulate(&of(b)->c, acc, g, n, e);
}

static Status dev_sanitize(Backend *b, float *g, int64_t n, float factor, float most, int64_t *bad,
                           Error *e) {
  return cuda_sanitize(&of(b)->c, g, n, factor, most, bad, e);
}

static Status dev_ema(Backend *b, float *x, const float *p, int64_t n, float beta, Error *e) {
  return cuda_ema(&of(b)->c, x, p, n, beta, e);
}

static Status dev_ema_size(Backend *b, float *x, const float *p, const FlatPlaces *s, float beta,
                           Error *e) {
  return cuda_ema_size(&of(b)->c, x, p, s, beta, e);
}

/* Why no device is counted; of a driver that is too old its version and the one that is needed. */
static void device_why(cudaError_t r, char *why, size_t n) {
  int driver = 0, runtime = 0;
  snprintf(why, n, "%s", r == cudaSuccess ? "no device" : cudaGetErrorString(r));
  if (r != cudaErrorInsufficientDriver) return;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  cudaRuntimeGetVersion(&runtime);
  cudaGetLastError();
  const size_t at = strlen(why);
  if (driver == 0)
    snprintf(why + at, n - at, "; there is no driver: install that of the GPU");
  else
    snprintf(
        why + at, n - at,
        "; the driver is for CUDA %d.%d, this program needs one for %d.%d: install a newer one",
        driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

extern "C" int cuda_device_count(char *why, size_t n) {
  int count = 0;
  cudaError_t r = cudaGetDeviceCount(&count);
  if (why && n) why[0] = 0;
  if (why && n && (r != cudaSuccess || count == 0)) device_why(r, why, n);
  if (r != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

extern "C" void cuda_describe(int device, char *buf, size_t n) {
  cudaDeviceProp p;
  int driver = 0, runtime = 0;
  size_t left = 0, total = 0;
  snprintf(buf, n, "unknown device");
  if (cudaGetDeviceProperties(&p, device) != cudaSuccess) {
    cudaGetLastError();
    return;
  }
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (cudaSetDevice(device) != cudaSuccess || cudaMemGetInfo(&left, &total) != cudaSuccess) {
    cudaGetLastError();
    total = p.totalGlobalMem;
  }
  snprintf(buf, n,
           "%s, sm_%d%d, %d multiprocessors, %.1f GiB (%.1f free), driver %d.%d, runtime %d.%d",
           p.name, p.major, p.minor, p.multiProcessorCount, (double)total / 1073741824,
           (double)left / 1073741824, driver / 1000, driver % 1000 / 10, runtime / 1000,
           runtime % 1000 / 10);
}

extern "C" void cuda_backend_free(Backend *b) {
  if (!b) return;
  if (of(b)->c.stream) cudaStreamSynchronize(of(b)->c.stream);
  backend_free_shares(b);
  cuda_dense_free(b);
  cuda_memory_free(of(b));
  if (of(b)->c.stream) cudaStreamDestroy(of(b)->c.stream);
  mem_free(b);
}

static Status dev_start(CudaBackend *b, int device, Error *e) {
  cudaDeviceProp p;
  TRY(cuda_status(cudaSetDevice(device), "choosing the device", e));
  TRY(cuda_status(cudaGetDeviceProperties(&p, device), "properties of the device", e));
  b->device = device;
  b->c.sm_count = p.multiProcessorCount;
  b->c.arch = p.major * 10 + p.minor;
  b->c.several_from = CUDA_SEVERAL_FROM;
  if (b->c.arch < 75)
    return err_set(
        e, ST_INVALID,
        "cuda: %s is of compute capability %d.%d; 7.5 or newer is needed; use --device cpu", p.name,
        p.major, p.minor);
  TRY(cuda_status(cudaStreamCreate(&b->c.stream), "a stream", e));
  return cuda_memory_init(b, e);
}

extern "C" Status cuda_backend_new(int device, Precision precision, Backend **out, Error *e) {
  char why[256];
  int count = cuda_device_count(why, sizeof why);
  *out = NULL;
  if (device < 0 || device >= count)
    return err_set(e, ST_INVALID,
                   "cuda: no device %d: %s; use --device cpu, or install the driver of the GPU",
                   device, count ? "there are fewer" : why);
  CudaBackend *b = (CudaBackend *)mem_alloc(sizeof *b);
  if (!b) return err_set(e, ST_NOMEM, "cuda: out of memory");
#ifdef PRLX_CUDA_EMU
  b->b.name = "cuda-emu";
#else
  b->b.name = "cuda";
#endif
  b->b.precision = b->c.precision = precision;
  b->b.fill_normal = fill_normal;
  b->b.adam = dev_adam;
  b->b.accumulate = dev_accumulate;
  b->b.sanitize = dev_sanitize;
  b->b.ema = dev_ema;
  b->b.ema_size = dev_ema_size;
  cuda_memory_functions(&b->b);
  cuda_program_functions(&b->b);
  cuda_dense_functions(&b->b);
  Status st = dev_start(b, device, e);
  if (st != ST_OK) {
    cuda_backend_free(&b->b);
    return st;
  }
  *out = &b->b;
  return ST_OK;
}
