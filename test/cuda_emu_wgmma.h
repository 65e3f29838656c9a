/* cuda_emu_wgmma.h: cuda/wgmma.cuh emulated (included there instead of PTX when PRLX_CUDA_EMU is
 * set; the work is in cuda_emu_async.cpp), from the PTX ISA: "Asynchronous Warpgroup Level Matrix
 * Instructions" (descriptors, swizzle, fragments), "cp.async.bulk.tensor", "mbarrier", and from
 * what cuda.h says of cuTensorMapEncodeTiled. What it shows that a right result would hide:
 *   - shared memory has addresses of its own (shared_address): dynamic memory begins at 1040, no
 *   multiple of 1024, so that a tile must be aligned by hand; every operand is read, and every box
 *   written, by address, swizzle included: bits 4-6 exclusive-or bits 7-9;
 *   - a box lands at any time after its issue, most often when nothing else can go on; its bytes
 *   count on the barrier then, and not before;
 *   - a product reads shared memory at its issue or at the wait, by lot, for each warp apart; its
 *   sums are NaN until then; the four warps of a warpgroup must issue the same ones;
 *   - a wait that nothing will end, a product or a box under way when its thread returns, too many
 *   arrivals, a fence left out before the first product, alignments, sizes that the driver refuses
 *   are faults. */
#ifndef PRLX_CUDA_EMU_WGMMA_H
#define PRLX_CUDA_EMU_WGMMA_H
#include "test/cuda_emu_mma.h"

/* ---- addresses ---- */
uint32_t shared_address(const void *p);

/* ---- the driver's side: names and numbers of cuda.h ---- */
typedef uint32_t cuuint32_t;
typedef uint64_t cuuint64_t;
typedef enum { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 } CUresult;
typedef enum {
  CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9
} CUtensorMapDataType;
typedef enum { CU_TENSOR_MAP_INTERLEAVE_NONE } CUtensorMapInterleave;
typedef enum {
  CU_TENSOR_MAP_SWIZZLE_NONE,
  CU_TENSOR_MAP_SWIZZLE_32B,
  CU_TENSOR_MAP_SWIZZLE_64B,
  CU_TENSOR_MAP_SWIZZLE_128B
} CUtensorMapSwizzle;
typedef enum {
  CU_TENSOR_MAP_L2_PROMOTION_NONE,
  CU_TENSOR_MAP_L2_PROMOTION_L2_128B = 2,
  CU_TENSOR_MAP_L2_PROMOTION_L2_256B
} CUtensorMapL2promotion;
typedef enum { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE } CUtensorMapFloatOOBfill;
typedef struct alignas(128) CUtensorMap {
  uint64_t opaque[16];
} CUtensorMap;

typedef enum {
  cudaDriverEntryPointSuccess,
  cudaDriverEntryPointSymbolNotFound
} cudaDriverEntryPointQueryResult;
enum { cudaEnableDefault = 0 };

/* Knows cuTensorMapEncodeTiled alone. */
cudaError_t cudaGetDriverEntryPoint(const char *name, void **p, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult *found);

/* ---- barriers ---- */
void mbarrier_init(uint32_t bar, uint32_t arrivals);
void mbarrier_init_fence(void);
void mbarrier_arrive(uint32_t bar);
void mbarrier_expect(uint32_t bar, uint32_t bytes);
void mbarrier_wait(uint32_t bar, uint32_t parity);
void named_barrier(int id, int threads);

/* ---- copies ---- */
void emu_tensor_load(uint32_t to, const CUtensorMap *map, uint32_t bar, int rank, const int *at);
static inline void tensor_load(uint32_t to, const CUtensorMap *map, uint32_t bar, int x, int y) {
  const int at[2] = {x, y};
  emu_tensor_load(to, map, bar, 2, at);
}

static inline void tensor_load(uint32_t to, const CUtensorMap *map, uint32_t bar, int channel,
                               int x, int y, int n) {
  const int at[4] = {channel, x, y, n};
  emu_tensor_load(to, map, bar, 4, at);
}

/* ---- products ---- */
void emu_wgmma(float *d, int n, bool bf16, uint64_t a, uint64_t b);
void emu_wgmma_wait(int pending);
void wgmma_fence(void);
void wgmma_commit(void);
template <int N> static inline void wgmma_wait(void) { emu_wgmma_wait(N); }
template <int N> static inline void wgmma_f16(float (&d)[N], uint64_t a, uint64_t b) {
  emu_wgmma(d, 2 * N, false, a, b);
}

template <int N> static inline void wgmma_bf16(float (&d)[N], uint64_t a, uint64_t b) {
  emu_wgmma(d, 2 * N, true, a, b);
}

/* setmaxnreg: a multiple of 8 between 24 and 256. */
template <int N> static inline void registers_fewer(void) {
  static_assert(N % 8 == 0 && N >= 24 && N <= 256, "setmaxnreg takes no such number");
}

template <int N> static inline void registers_more(void) { registers_fewer<N>(); }
#endif
