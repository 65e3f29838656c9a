/* memory.cu: memory of the device and copies to and from it. Everything is ordered by one stream.
 */
#include <stdio.h>
#include <string.h>
#include "cuda/device_impl.h"

const char *cuda_mend(cudaError_t r) {
  switch (r) {
    case cudaErrorMemoryAllocation:
      return "end other programs on this GPU (nvidia-smi lists them), take a smaller --batch, or "
             "use "
             "--device cpu";
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorUnsupportedPtxVersion:
      return "install a newer driver of the GPU, or use --device cpu";
    case cudaErrorDevicesUnavailable:
      return "another program has this GPU to itself (nvidia-smi lists it); wait for it, choose "
             "another GPU with CUDA_VISIBLE_DEVICES, or use --device cpu";
    case cudaErrorNoKernelImageForDevice:
      return "this program was built for other GPUs; build it anew on this machine, or use "
             "--device "
             "cpu";
    default:
      return "this process cannot use the GPU any more; look at nvidia-smi and `prlx check`, then "
             "start again (train goes on with --resume), or use --device cpu";
  }
}

Status cuda_status(cudaError_t r, const char *what, Error *e) {
  if (r == cudaSuccess) return ST_OK;
  /* a failed allocation must not be found again by the next check */
  cudaGetLastError();
  return err_set(e, r == cudaErrorMemoryAllocation ? ST_NOMEM : ST_INTERNAL, "cuda: %s: %s; %s",
                 what, cudaGetErrorString(r), cuda_mend(r));
}

/* Of a device that does not answer as much as one likes: not its memory is what lacks, and the next
 * allocation says what does. */
static size_t memory_available(Backend *b) {
  size_t left = 0, total = 0;
  if (cudaMemGetInfo(&left, &total) == cudaSuccess) return left;
  cudaGetLastError();
  return SIZE_MAX;
}

static Status memory_alloc(Backend *b, size_t bytes, void **out, Error *e) {
  *out = NULL;
  size_t n = (bytes ? bytes + 255 : 256) & ~(size_t)255;
  cudaError_t r = cudaMalloc(out, n);
  if (r == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    *out = NULL;
    return err_set(
        e, ST_NOMEM, "%s: out of device memory: %.1f MiB were asked for, %.1f MiB are free; %s",
        b->name, (double)n / 1048576, (double)memory_available(b) / 1048576, cuda_mend(r));
  }
  if (r == cudaSuccess) r = cudaMemsetAsync(*out, 0, n, of(b)->c.stream);
  if (r != cudaSuccess && *out) {
    cudaFree(*out);
    *out = NULL;
  }
  return cuda_status(r, "allocating memory", e);
}

static void memory_release(Backend *b, void *p) {
  if (!p) return;
  cudaStreamSynchronize(of(b)->c.stream);
  cudaFree(p);
}

/* Room for n <= RING_SLOT_BYTES bytes, after the copies that used it before are done. */
static cudaError_t ring_take(CudaBackend *b, size_t n, char **out) {
  Ring *r = &b->ring;
  cudaError_t rc = cudaSuccess;
  if (r->used + n > RING_SLOT_BYTES) {
    rc = cudaEventRecord(r->done[r->slot], b->c.stream);
    r->slot = (r->slot + 1) % RING_SLOTS;
    r->used = 0;
    if (rc == cudaSuccess) rc = cudaEventSynchronize(r->done[r->slot]);
  }
  *out = r->mem + (size_t)r->slot * RING_SLOT_BYTES + r->used;
  r->used += (n + 255) & ~(size_t)255;
  return rc;
}

static Status memory_upload(Backend *b, void *dst, const void *src, size_t bytes, Error *e) {
  cudaError_t r = cudaSuccess;
  for (size_t at = 0; at < bytes && r == cudaSuccess;) {
    size_t n = PRLX_MIN(bytes - at, (size_t)RING_SLOT_BYTES);
    char *p;
    r = ring_take(of(b), n, &p);
    if (r != cudaSuccess) break;
    memcpy(p, (const char *)src + at, n);
    r = cudaMemcpyAsync((char *)dst + at, p, n, cudaMemcpyHostToDevice, of(b)->c.stream);
    at += n;
  }
  return cuda_status(r, "upload", e);
}

static Status memory_download(Backend *b, void *dst, const void *src, size_t bytes, Error *e) {
  cudaError_t r = cudaSuccess;
  for (size_t at = 0; at < bytes && r == cudaSuccess;) {
    size_t n = PRLX_MIN(bytes - at, (size_t)RING_SLOT_BYTES);
    r = cudaMemcpyAsync(of(b)->down, (const char *)src + at, n, cudaMemcpyDeviceToHost,
                        of(b)->c.stream);
    if (r == cudaSuccess) r = cudaStreamSynchronize(of(b)->c.stream);
    if (r == cudaSuccess) memcpy((char *)dst + at, of(b)->down, n);
    at += n;
  }
  return cuda_status(r, "download", e);
}

static Status memory_copy(Backend *b, void *dst, const void *src, size_t bytes, Error *e) {
  return bytes ? cuda_status(
                     cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, of(b)->c.stream),
                     "copy", e)
               : ST_OK;
}

static Status memory_zero(Backend *b, void *dst, size_t bytes, Error *e) {
  return bytes ? cuda_status(cudaMemsetAsync(dst, 0, bytes, of(b)->c.stream), "zeroing memory", e)
               : ST_OK;
}

static Status memory_sync(Backend *b, Error *e) {
  return cuda_status(cudaStreamSynchronize(of(b)->c.stream), "waiting for the device", e);
}

void cuda_memory_functions(Backend *b) {
  b->alloc = memory_alloc;
  b->release = memory_release;
  b->available = memory_available;
  b->upload = memory_upload;
  b->download = memory_download;
  b->copy = memory_copy;
  b->zero = memory_zero;
  b->sync = memory_sync;
}

Status cuda_memory_init(CudaBackend *b, Error *e) {
  cudaError_t r = cudaMallocHost((void **)&b->ring.mem, (size_t)RING_SLOTS * RING_SLOT_BYTES);
  if (r == cudaSuccess) r = cudaMallocHost((void **)&b->down, RING_SLOT_BYTES);
  for (int i = 0; i < RING_SLOTS && r == cudaSuccess; i++) {
    r = cudaEventCreate(&b->ring.done[i]);
    if (r == cudaSuccess) r = cudaEventRecord(b->ring.done[i], b->c.stream);
  }
  return cuda_status(r, "pinned memory for copies", e);
}

void cuda_memory_free(CudaBackend *b) {
  for (int i = 0; i < RING_SLOTS; i++)
    if (b->ring.done[i]) cudaEventDestroy(b->ring.done[i]);
  if (b->ring.mem) cudaFreeHost(b->ring.mem);
  if (b->down) cudaFreeHost(b->down);
}
