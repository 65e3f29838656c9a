/* wgmma.cuh: the PTX behind the matrix product of sm_90a (cuda/conv_wgmma.cu): products of a whole
 * warpgroup whose operands lie in shared memory, boxes of a tensor copied there by the copy engine
 * (TMA), and the barriers in shared memory that both are waited for with. The emulated comparison
 * has the same functions in test/cuda_emu_wgmma.h. All addresses are of shared memory, as
 * shared_address makes them. PTX ISA: "Asynchronous Warpgroup Level Matrix Instructions", "Data
 * Movement and Conversion: cp.async.bulk.tensor", "Parallel Synchronization: mbarrier".
 *
 * Operands (both K-major, 128-byte swizzle): a row is 64 numbers of 16 bits; chunk q (16 bytes) of
 * row r lies at 128 r + 16 (q ^ r % 8) of a tile that begins at a multiple of 1024 bytes: bits 4-6
 * of an address are exclusive-or of bits 7-9, in the copy engine and in the matrix unit alike. A
 * descriptor names the address of a slice of 16 numbers and the bytes from 8 rows to the next 8.
 * Sums of thread t of a warpgroup, w = t / 32, g = t % 32 / 4, q = t % 4: d[4 j + 2 h + e] is row
 * 16 w + g + 8 h, column 8 j + 2 q + e.
 *
 * Compiled for sm_90a only (PRLX_SM90A); for any other architecture the kernel has no body, and
 * nobody launches it (wgmma_ready). */
#ifndef PRLX_WGMMA_CUH
#define PRLX_WGMMA_CUH
#ifdef PRLX_CUDA_EMU
#define PRLX_SM90A 1
#include "test/cuda_emu_wgmma.h"
#else
#include <cuda.h>
#include "cuda/mma.cuh"
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define PRLX_SM90A 1
#else
#define PRLX_SM90A 0
#endif
#if PRLX_SM90A

/* ---- barriers in shared memory (mbarrier): a phase ends when all have arrived and all bytes that
 * were announced have come ---- */
static __device__ __forceinline__ void mbarrier_init(uint32_t bar, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(arrivals) : "memory");
}

/* After the last mbarrier_init of a thread, before the barrier of the block: the copy engine, too,
 * sees them. */
static __device__ __forceinline__ void mbarrier_init_fence(void) {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* One arrival. */
static __device__ __forceinline__ void mbarrier_arrive(uint32_t bar) {
  asm volatile("{\n .reg .b64 state;\n mbarrier.arrive.shared::cta.b64 state, [%0];\n}" ::"r"(bar)
               : "memory");
}

/* Arrives and announces bytes of copies. */
static __device__ __forceinline__ void mbarrier_expect(uint32_t bar, uint32_t bytes) {
  asm volatile(
      "{\n .reg .b64 state;\n mbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1;\n}" ::"r"(
          bar),
      "r"(bytes)
      : "memory");
}

/* Whether the phase of this parity is over; waits a while for it. */
static __device__ __forceinline__ bool mbarrier_over(uint32_t bar, uint32_t parity) {
  uint32_t over;
  asm volatile("{\n .reg .pred done;\n"
               " mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
               " selp.u32 %0, 1, 0, done;\n}"
               : "=r"(over)
               : "r"(bar), "r"(parity)
               : "memory");
  return over != 0;
}

/* Of the device. */
static __device__ __forceinline__ uint64_t time_ns(void) {
  uint64_t t;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
  return t;
}

/* Until the phase of this parity is over; of a fresh barrier (phase 0) parity 1 is. What has not
 * come after ten seconds never will: an error of the device in place of a hang. */
static __device__ __forceinline__ void mbarrier_wait(uint32_t bar, uint32_t parity) {
  if (mbarrier_over(bar, parity)) return;
  const uint64_t begin = time_ns();
  while (!mbarrier_over(bar, parity))
    if (time_ns() - begin > 10000000000u) __trap();
}

/* Barrier `id` (1 to 15) of so many threads of the block, whole warps. */
static __device__ __forceinline__ void named_barrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* ---- registers from warpgroup to warpgroup ---- */
/* Gives back what is more than N per thread. */
template <int N> static __device__ __forceinline__ void registers_fewer(void) {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

/* Waits until they are there. */
template <int N> static __device__ __forceinline__ void registers_more(void) {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* ---- copies of a box: coordinates of its first element, innermost first; what lies outside the
 * tensor comes as zeros and counts as bytes, too ---- */
static __device__ __forceinline__ void tensor_load(uint32_t to, const CUtensorMap *map,
                                                   uint32_t bar, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
               "l"(map), "r"(x), "r"(y), "r"(bar)
               : "memory");
}

/* The same of four dimensions. */
static __device__ __forceinline__ void tensor_load(uint32_t to, const CUtensorMap *map,
                                                   uint32_t bar, int channel, int x, int y, int n) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(to),
               "l"(map), "r"(channel), "r"(x), "r"(y), "r"(n), "r"(bar)
               : "memory");
}

/* ---- products ---- */
/* Before the first one, and when a sum was touched: registers are written before they are read. */
static __device__ __forceinline__ void wgmma_fence(void) {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Ends a group of products. */
static __device__ __forceinline__ void wgmma_commit(void) {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until at most N committed groups are unfinished. */
template <int N> static __device__ __forceinline__ void wgmma_wait(void) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#define WGMMA_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define WGMMA_16(i) WGMMA_4(i), WGMMA_4(i + 4), WGMMA_4(i + 8), WGMMA_4(i + 12)
#define WGMMA_64(i) WGMMA_16(i), WGMMA_16(i + 16), WGMMA_16(i + 32), WGMMA_16(i + 48)
#define WGMMA_NAMES_64                                                               \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_NAMES_128                                                                          \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

/* d [64 x n] += a [64 x 16] b [n x 16]^T: descriptors of both; no signs changed, both K-major. */
#define WGMMA_PRODUCT(name, n, type, names, da, db, ...)                                    \
  static __device__ __forceinline__ void name(float(&d)[n / 2], uint64_t a, uint64_t b) {   \
    asm volatile("{\n .reg .pred add;\n mov.pred add, 1;\n"                                 \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." type "." type " {" names \
                 "}, " da ", " db ", add, 1, 1, 0, 0;\n}"                                   \
                 : __VA_ARGS__                                                              \
                 : "l"(a), "l"(b));                                                         \
  }
WGMMA_PRODUCT(wgmma_f16, 128, "f16", WGMMA_NAMES_64, "%64", "%65", WGMMA_64(0))
WGMMA_PRODUCT(wgmma_bf16, 128, "bf16", WGMMA_NAMES_64, "%64", "%65", WGMMA_64(0))
WGMMA_PRODUCT(wgmma_f16, 256, "f16", WGMMA_NAMES_64 ", " WGMMA_NAMES_128, "%128", "%129",
              WGMMA_64(0), WGMMA_64(64))
WGMMA_PRODUCT(wgmma_bf16, 256, "bf16", WGMMA_NAMES_64 ", " WGMMA_NAMES_128, "%128", "%129",
              WGMMA_64(0), WGMMA_64(64))
#endif
#endif

/* The descriptor of an operand: bits 0-13 address, 16-29 leading bytes (of no use with a swizzle of
 * K-major rows: 1), 32-45 `stride`, the bytes from 8 rows to the next 8, all in units of 16 bytes,
 * 62-63 swizzle (1: 128 bytes); base offset (49-51) 0, since tiles begin at multiples of 1024
 * bytes. */
static __host__ __device__ __forceinline__ uint64_t wgmma_descriptor(uint32_t address,
                                                                     uint32_t stride) {
  return (uint64_t)((address & 0x3ffff) >> 4) | (uint64_t)1 << 16 | (uint64_t)(stride >> 4) << 32 |
         (uint64_t)1 << 62;
}
#endif
