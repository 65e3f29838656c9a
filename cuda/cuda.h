/* cuda.h: what every .cu file includes. The sources are written so that two compilers take them:
 *   nvcc                    the product;
 *   g++ -include test/cuda_emu.h -x c++   the emulated comparison: threads of a block are fibres,
 *                                         one block after another.
 * What that asks of a kernel:
 *   - launch with LAUNCH(kernel, grid, block, shared_bytes, stream, args...) where `kernel` is a
 *   name or a function pointer variable (assign a template
 *     instance to a variable first);
 *   - shared memory through SHARED(T, name, count), SHARED2(T, name, rows, cols) or T *name =
 *   DYNAMIC_SHARED(T); shared memory starts undefined;
 *   - barriers: __syncthreads(), __syncwarp(); exchanges: __shfl_sync, __shfl_xor_sync,
 *   __shfl_down_sync, __ballot_sync with full masks;
 *   - tensor cores and asynchronous copies only through cuda/mma.cuh and cuda/wgmma.cuh;
 *   - no other inline assembly, no libraries of device code, no dynamic parallelism, no atomics on
 *   floats (sums have a fixed order: same bits each run). */
#ifndef PRLX_CUDA_H
#define PRLX_CUDA_H
extern "C" {
#include "core/backend.h"
}
#ifndef PRLX_CUDA_EMU
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define LAUNCH_NOW(kernel, grid, block, shared, stream, ...) \
  (kernel)<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__)
#define SHARED(T, name, count) __shared__ T name[count]
#define SHARED2(T, name, rows, cols) __shared__ T name[rows][cols]
extern __shared__ __align__(16) unsigned char prlx_dynamic_shared[];
#define DYNAMIC_SHARED(T) ((T *)prlx_dynamic_shared)
#else
#define LAUNCH_NOW EMU_LAUNCH
#endif

/* From 0 on, launches of this thread are counted and not made (Backend.launches). */
inline thread_local int cuda_counted = -1;
#define LAUNCH(...)            \
  do {                         \
    if (cuda_counted >= 0)     \
      cuda_counted++;          \
    else                       \
      LAUNCH_NOW(__VA_ARGS__); \
  } while (0)

/* Kinds of kernels that can be replaced by a slower one (cuda/selftest.cu): as designed; float
 * arithmetic on the same tiles (products only); the definition (cuda/naive.h); mma.sync for wgmma;
 * planes for maps with their channels last (CudaCtx.planes); the host (doubles only). */
typedef enum {
  KIND_CONV,
  KIND_CONV_DX,
  KIND_CONV_DW,
  KIND_MATMUL,
  KIND_FILTER,
  KIND_WARP,
  KIND_LOOP,
  KIND_SUM,
  KIND_MULTI,
  KIND_OTHER,
  KIND_COUNT
} CudaKind;
typedef enum { RUNG_FAST, RUNG_FLOAT, RUNG_NAIVE, RUNG_MMA, RUNG_PLANES, RUNG_HOST } CudaRung;

/* Products by wgmma (cuda/conv_wgmma.cu): none; where they are worth it; wherever they can be, for
 * tests. */
typedef enum { WGMMA_OFF, WGMMA_LARGE, WGMMA_ANY } CudaWgmma;

typedef struct CudaCtx {
  cudaStream_t stream;
  Precision precision;
  int sm_count;
  int arch;                 /* 75, 80, 90, ... */
  uint8_t rung[KIND_COUNT]; /* CudaRung; changes before the first plan only */
  /* convolutions: 0, or this tile and so many splits whatever is quickest (cuda/selftest.cu) */
  int tile;
  int splits;
  uint8_t wgmma;        /* CudaWgmma; not off after the self-test agreed only */
  int64_t several_from; /* numbers of the least loop that may have several results */
  bool planes;          /* channels never lie last; changes before the first plan only */
} CudaCtx;

/* One row per operation, as in core: name and what the backend asks of it. */
typedef struct CudaRow {
  const char *name;
  Status (*launch)(const CudaCtx *c, const DevStep *s, Error *e);
  size_t (*scratch)(const CudaCtx *c, const DevStep *s); /* NULL: none */
  bool (*supports)(const DevStep *s, int slot, DType t); /* NULL: float only */
} CudaRow;

/* Defines the row of an operation. clang as the compiler of CUDA puts constants of the host into
 * the program of the device, too, where the addresses of these functions are unknown. */
#if defined(__clang__) && defined(__CUDA_ARCH__)
#define CUDA_ROW(name, launch, scratch, supports)
#else
#define CUDA_ROW(name, launch, scratch, supports) \
  const CudaRow cuda_##name = {#name, launch, scratch, supports}
#endif

/* Rows that exist: every operation of OP_LIST but leaves (input, param, constant), aliases
 * (reshape). Pointwise operations and sum all run through cuda_pointwise (a
 * DevStep without prog is made into one by pw_from_node before it gets here). */
/* clang-format off */
#define CUDA_ROWS(X) \
  X(broadcast) X(permute) X(slice) X(pad) X(concat) X(roll) X(flip) X(reflect_pad) \
  X(reflect_pad_t) X(matmul) X(conv2d) X(conv2d_dx) X(conv2d_dw) X(conv_prep) X(upfirdn2d) \
  X(affine_grid) X(grid_sample) X(grid_sample_dx) X(grid_sample_dgrid) X(resize) X(resize_t) \
  X(warp) X(warp_t) X(maxpool) X(maxpool_t) X(maxpool_gather) X(softmax_ce) X(softmax_ce_dx)

/* clang-format on */
#define CUDA_DECLARE(name) extern const CudaRow cuda_##name;
CUDA_ROWS(CUDA_DECLARE)

/* fused loops and reductions (s->prog != NULL) */
extern const CudaRow cuda_pointwise;

/* Flat ranges (cuda/optim.cu) and normals (cuda/rng.cu), behind the fields of the same name of
 * Backend. m NULL: no first moment (core/optim.c). sanitize adds the number of NaN and infinite
 * elements to *bad (device memory; integer atomics give the same sum in any order). */
Status cuda_fill_normal(const CudaCtx *c, Rng *r, float *dst, int64_t n, Error *e);
Status cuda_fill_uniform(const CudaCtx *c, Rng *r, float *dst, int64_t n, Error *e);
Status cuda_adam(const CudaCtx *c, float *p, const float *g, float *m, float *v, int64_t n,
                 const AdamCoef *coef, Error *e);
Status cuda_accumulate(const CudaCtx *c, float *acc, const float *g, int64_t n, Error *e);
Status cuda_sanitize(const CudaCtx *c, float *g, int64_t n, float factor, float most, int64_t *bad,
                     Error *e);
Status cuda_ema(const CudaCtx *c, float *ema, const float *p, int64_t n, float beta, Error *e);
Status cuda_ema_size(const CudaCtx *c, float *ema, const float *p, const FlatPlaces *s, float beta,
                     Error *e);

/* May this loop run in the store of this convolution (cuda/conv.cu)? conv->node is its node,
 * store_from the argument that is its result. */
bool cuda_conv_can_store(const CudaCtx *c, const DevStep *conv, const PwProgram *p, int store_from);

/* The same of a filter (cuda/upfirdn_store.cu); a sum of what is stored may be a second result. */
bool cuda_filter_can_store(const DevStep *s, const PwProgram *p, int store_from);

/* Backend.prepare: weights packed ahead of the product (cuda/conv.cu). */
bool cuda_conv_prepare(const CudaCtx *c, const DevStep *conv, Node *prep);

/* Backend.channels_last (cuda/layout.cu); convolutions (conv.cu) and filters (filter_last.cu). */
int cuda_channels_last(const CudaCtx *c, const DevStep *s, int slot, MapLayout *margin);
bool cuda_conv_last(const CudaCtx *c, const DevStep *s, int slot, MapLayout *margin);
bool cuda_filter_last(const DevStep *s);

/* How many of the n steps, from the first on, are such that one launch packs; that launch. */
int cuda_conv_prep_count(const DevStep *s, int n);
Status cuda_conv_preps(const CudaCtx *c, const DevStep *s, int n, Error *e);

/* The same of small loops, small sums and matrix products: several steps of a plan may be launched
 * together where it says so (DevStep.together). */
bool cuda_loop_is_small(const DevStep *s);
int cuda_loop_count(const DevStep *s, int n);
Status cuda_loops(const CudaCtx *c, const DevStep *s, int n, Error *e);
bool cuda_sum_is_small(const DevStep *s);
int cuda_sum_count(const DevStep *s, int n);
Status cuda_sums(const CudaCtx *c, const DevStep *s, int n, Error *e);
int cuda_matmul_count(const DevStep *s, int n);
Status cuda_matmuls(const CudaCtx *c, const DevStep *s, int n, Error *e);

/* Fused loops with several results (multi.cu). can: shapes only; at most one of the sums keeps the
 * inner axis, the iteration has less than 2^31 numbers, 16 or more along the inner axis. */
bool cuda_multi_can(const DevStep *s);
size_t cuda_multi_scratch(const DevStep *s);
Status cuda_multi(const CudaCtx *c, const DevStep *s, Error *e);

/* table.cu: the kind of a step; its launch and scratch on the rung that the context says. */
CudaKind cuda_kind(const DevStep *s);
Status cuda_launch(const CudaCtx *c, const DevStep *s, Error *e);
size_t cuda_scratch(const CudaCtx *c, const DevStep *s);

/* The step by its definition (cuda/naive.h), asynchronous like any launch. */
Status cuda_naive_launch(const CudaCtx *c, const DevStep *s, Error *e);
size_t cuda_naive_scratch(const DevStep *s);

/* After a launch: "cuda conv2d [64,512,8,8]: out of resources" as an Error. */
Status cuda_check(const char *what, const DevStep *s, Error *e);

/* Element i of an array of any number type, as float. */
static __device__ __forceinline__ float ld(const float *p, int64_t i) { return p[i]; }

/* From half. */
static __device__ __forceinline__ float ld(const __half *p, int64_t i) {
  return __half2float(p[i]);
}

/* From bfloat16. */
static __device__ __forceinline__ float ld(const __nv_bfloat16 *p, int64_t i) {
  return __bfloat162float(p[i]);
}

/* And back, to the nearest. */
static __device__ __forceinline__ void st(float *p, int64_t i, float x) { p[i] = x; }

/* To half. */
static __device__ __forceinline__ void st(__half *p, int64_t i, float x) {
  p[i] = __float2half_rn(x);
}

/* To bfloat16. */
static __device__ __forceinline__ void st(__nv_bfloat16 *p, int64_t i, float x) {
  p[i] = __float2bfloat16_rn(x);
}

/* Calls the code after it with T as the C++ type of `dtype`:  DISPATCH(s->tout, T, { auto k =
 * kernel<T>; LAUNCH(k, ...); }) */
#define DISPATCH(dtype, T, ...)     \
  do {                              \
    if ((dtype) == DT_F32) {        \
      using T = float;              \
      __VA_ARGS__                   \
    } else if ((dtype) == DT_F16) { \
      using T = __half;             \
      __VA_ARGS__                   \
    } else {                        \
      using T = __nv_bfloat16;      \
      __VA_ARGS__                   \
    }                               \
  } while (0)
#endif
