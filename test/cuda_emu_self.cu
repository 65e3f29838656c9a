/* cuda_emu_self.cu: the emulation itself: exchanges, barriers, tensor-core fragments, asynchronous
 * copies, graphs; and that each kind of fault is reported. */
#include "cuda/fastdiv.cuh"
#include "cuda/wgmma.cuh"
#include "test/test.h"

static float *device(int n) {
  float *p = NULL;
  CHECK(cudaMalloc(&p, (size_t)n * 4) == cudaSuccess, "malloc");
  return p;
}

/* true: fault with this text */
static bool fault(const char *text) {
  bool ok = strstr(emu_message(), text) != NULL && cudaPeekAtLastError() == cudaErrorLaunchFailure;
  if (!ok) printf("  message: %s\n", emu_message());
  emu_clear();
  return ok;
}

/* Sum of a block by shuffles and shared memory; `broken` leaves a barrier out. */
template <int BROKEN> static __global__ void block_sum(const float *x, float *y) {
  SHARED(float, part, 8);
  float v = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int d = 16; d; d >>= 1) v += __shfl_down_sync(~0u, v, d);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  if (!BROKEN) __syncthreads();
  if (threadIdx.x == 0) {
    float s = 0;
    for (int i = 0; i < (int)blockDim.x / 32; i++) s += part[i];
    y[blockIdx.x] = s;
  }
}

static void sums(void) {
  int bad = 0, bad_broken = 0;
  float *x = device(4 * 256), *y = device(4);
  for (int i = 0; i < 1024; i++) x[i] = (float)i;
  for (int seed = 0; seed < 4; seed++) {
    emu_seed((uint64_t)seed);
    auto k = block_sum<0>, b = block_sum<1>;
    LAUNCH(k, 4, 256, 0, NULL, x, y);
    for (int i = 0; i < 4; i++) bad += y[i] != 256 * 127.5f + 65536.0f * (float)i;
    LAUNCH(b, 4, 256, 0, NULL, x, y);
    for (int i = 0; i < 4; i++) bad_broken += y[i] != 256 * 127.5f + 65536.0f * (float)i;
  }
  CHECK(bad == 0, "sum of a block");
  CHECK(bad_broken > 8, "the same without its barrier is wrong: %d of 16", bad_broken);
  cudaFree(x);
  cudaFree(y);
}

/* Divisions by every kind of divisor, around each multiple that a rounding could miss. */
static __global__ void quotients(FastDiv f, int *bad) {
  const uint32_t most = 0x7fffffffu, last = most / f.d;
  for (uint32_t k = 0; k < 4; k++) {
    const uint32_t q = k < 2 ? k : k == 2 ? last / 2 : last, at = q * f.d;
    for (uint32_t n = at > 2 ? at - 2 : 0; n <= at + 2 && n <= most; n++)
      bad[0] += div_by(n, f) != n / f.d;
  }
  bad[0] += div_by(most, f) != most / f.d;
}

static void divisions(void) {
  int *bad = (int *)device(1);
  *bad = 0;
  for (int64_t d = 1; d < 5000; d++) LAUNCH(quotients, 1, 1, 0, NULL, fast_div(d), bad);
  for (int k = 1; k < 31; k++)
    for (int64_t d = ((int64_t)1 << k) - 1; d <= ((int64_t)1 << k) + 1; d++)
      LAUNCH(quotients, 1, 1, 0, NULL, fast_div(d), bad);
  for (int64_t d = 0x7fffffff; d > 0x7fffffff - 9; d--)
    LAUNCH(quotients, 1, 1, 0, NULL, fast_div(d), bad);
  CHECK(*bad == 0, "%d wrong quotients", *bad);
  CHECK(fast_div(0).d == 0, "a divisor of zero is let through");
  cudaFree(bad);
}

static __global__ void lanes(int *o) {
  int t = (int)threadIdx.x;
  int *r = o + 8 * t;
  r[0] = __shfl_sync(~0u, t, 5);
  r[1] = __shfl_xor_sync(~0u, t, 3);
  r[2] = __shfl_up_sync(~0u, t, 4);
  r[3] = __shfl_down_sync(~0u, t, 4, 8);
  r[4] = (int)__ballot_sync(~0u, t % 3 == 0);
  r[5] = __any_sync(~0u, t == 40);
  r[6] = __all_sync(~0u, t < 40);
  r[7] = __syncthreads_count(t & 1);
}

static void exchanges(void) {
  int *o = (int *)device(48 * 8), bad = 0;
  for (int seed = 0; seed < 3; seed++) {
    emu_seed((uint64_t)seed);
    LAUNCH(lanes, 1, 48, 0, NULL, o);
    for (int t = 0; t < 48; t++) {
      int w = t / 32 * 32, l = t % 32, *r = o + 8 * t;
      unsigned ballot = 0;
      for (int i = 0; i < 32 && w + i < 48; i++)
        if ((w + i) % 3 == 0) ballot |= 1u << i;
      bad += r[0] != w + 5 || r[1] != (t ^ 3) || r[2] != (l < 4 ? t : t - 4) ||
             r[3] != (l % 8 < 4 ? t + 4 : t) || r[4] != (int)ballot || r[5] != (t >= 32) ||
             r[6] != (t < 32) || r[7] != 24;
    }
  }
  CHECK(bad == 0 && !emu_message()[0], "shuffles and votes, a warp and a half: %d wrong", bad);
  cudaFree(o);
}

/* One tile per kind: A and B come from memory by the documented layout of the fragments. */
enum { TF32, F16, BF16 };
template <int KIND> static __global__ void tile(const float *A, const float *B, float *D) {
  int l = (int)threadIdx.x, g = l / 4, t = l % 4;
  float d[4];
  for (int i = 0; i < 4; i++) d[i] = 1;
  if (KIND == TF32) {
    uint32_t a[4] = {to_tf32(A[g * 8 + t]), to_tf32(A[(g + 8) * 8 + t]), to_tf32(A[g * 8 + t + 4]),
                     to_tf32(A[(g + 8) * 8 + t + 4])};
    uint32_t b[2] = {to_tf32(B[t * 8 + g]), to_tf32(B[(t + 4) * 8 + g])};
    mma_tf32(d, a, b);
  } else {
    /* through shared memory: A by ldmatrix.x4, B (row major) by ldmatrix.x2.trans */
    SHARED2(unsigned short, as, 16, 24);
    SHARED2(unsigned short, bs, 16, 8);
    for (int i = l; i < 256; i += 32)
      as[i / 16][i % 16] = KIND == F16 ? __half_as_ushort(__float2half_rn(A[i]))
                                       : __bfloat16_as_ushort(__float2bfloat16_rn(A[i]));
    for (int i = l; i < 128; i += 32)
      bs[i / 8][i % 8] = KIND == F16 ? __half_as_ushort(__float2half_rn(B[i]))
                                     : __bfloat16_as_ushort(__float2bfloat16_rn(B[i]));
    __syncwarp();
    uint32_t a[4], b[2];
    ldmatrix_x4(a, &as[l % 16][l / 16 * 8]);
    ldmatrix_x2_trans(b, &bs[l % 16][0]);
    if (KIND == F16)
      mma_f16(d, a, b);
    else
      mma_bf16(d, a, b);
  }
  for (int i = 0; i < 4; i++) D[(g + (i >> 1) * 8) * 8 + 2 * t + (i & 1)] = d[i];
}

static void tensor_cores(void) {
  float *A = device(256), *B = device(128), *D = device(128);
  for (int kind = TF32; kind <= BF16; kind++) {
    int K = kind == TF32 ? 8 : 16, bad = 0;
    /* small integers: exact in every type */
    for (int i = 0; i < 16 * K; i++) A[i] = (float)((i * 37) % 41 - 20);
    for (int i = 0; i < 8 * K; i++) B[i] = (float)((i * 23) % 29 - 14);
    void (*k)(const float *, const float *, float *) = kind == TF32  ? tile<TF32>
                                                       : kind == F16 ? tile<F16>
                                                                     : tile<BF16>;
    LAUNCH(k, 1, 32, 0, NULL, A, B, D);
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 8; j++) {
        float s = 1;
        for (int c = 0; c < K; c++) s += A[i * K + c] * B[c * 8 + j];
        bad += s != D[i * 8 + j];
      }
    CHECK(bad == 0, "mma kind %d: %d of 128 wrong", kind, bad);
  }
  cudaFree(A);
  cudaFree(B);
  cudaFree(D);
}

template <int WAIT> static __global__ void staged(const float *x, float *y, int n) {
  float *s = DYNAMIC_SHARED(float);
  int t = (int)threadIdx.x;
  cp_async16(s + 4 * t, x + 4 * t, 4 * t < n);
  cp_async_commit();
  cp_async16(s + 256 + 4 * t, x, false);
  cp_async_commit();
  if (WAIT) cp_async_wait<1>();
  __syncthreads();
  for (int i = 0; i < 4; i++) y[4 * t + i] = s[4 * t + i];
}

static void copies(void) {
  float *x = device(100), *y = device(256);
  int bad = 0, missing = 0;
  for (int i = 0; i < 100; i++) x[i] = (float)i;
  auto k = staged<1>, b = staged<0>;
  LAUNCH(k, 1, 64, 2048, NULL, x, y, 100);
  for (int i = 0; i < 256; i++) bad += y[i] != (i < 100 ? (float)i : 0);
  CHECK(bad == 0 && !emu_message()[0], "cp.async with zero fill");
  LAUNCH(b, 1, 64, 2048, NULL, x, y, 100);
  for (int i = 0; i < 256; i++) missing += y[i] != y[i];
  CHECK(missing > 32, "without the wait the data is missing: %d of 256", missing);
  cudaFree(x);
  cudaFree(y);
}

static __global__ void half_barrier(float *x) {
  if (threadIdx.x < 40) __syncthreads();
  x[0] = 1;
}

static __global__ void two_barriers(float *x) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  x[0] = 1;
}

static __global__ void apart(float *x) {
  if (threadIdx.x & 1)
    __syncwarp();
  else
    x[threadIdx.x] = __shfl_sync(~0u, 1.0f, 0);
}

static __global__ void partial(float *x) { x[0] = __shfl_sync(0xffffu, 1.0f, 0); }
#if !defined(__SANITIZE_ADDRESS__)
static __global__ void beyond(float *x, int i) {
  if (threadIdx.x == 3) x[i] = 1;
}

static __global__ void beyond_shared(float *x, int i) {
  SHARED(float, s, 4);
  s[i] = 1;
  x[0] = s[0];
}
#endif
static __global__ void fill(float *x, int n, float v) {
  int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] = v;
}

static __global__ void read_shared(float *x) {
  SHARED(float, s, 4);
  x[threadIdx.x] = s[threadIdx.x];
}

static void faults(void) {
  float *x = device(64);
  LAUNCH(half_barrier, 1, 64, 0, NULL, x);
  CHECK(fault("has returned"), "barrier for some only");
  LAUNCH(two_barriers, 1, 64, 0, NULL, x);
  CHECK(fault("different barriers"), "two barriers");
  LAUNCH(apart, 1, 32, 0, NULL, x);
  CHECK(fault("different places"), "warp apart");
  LAUNCH(partial, 1, 32, 0, NULL, x);
  CHECK(fault("full masks"), "partial mask");
#if !defined(__SANITIZE_ADDRESS__) /* which reports these itself, and stops */
  LAUNCH(beyond, 1, 32, 0, NULL, x, 64);
  CHECK(fault("wrote outside"), "past the end");
  LAUNCH(beyond, 1, 32, 0, NULL, x, -1);
  CHECK(fault("wrote outside"), "before the start");
  LAUNCH(beyond_shared, 1, 32, 0, NULL, x, 4);
  CHECK(fault("past the end"), "past shared memory");
#endif
  float host[4] = {0};
  LAUNCH(fill, 1, 32, 0, NULL, host, 4, 1.0f);
  CHECK(fault("not device memory"), "host pointer");
  CHECK(cudaMemcpy(host, x + 62, 16, cudaMemcpyDeviceToHost) != cudaSuccess && fault("too small"),
        "copy past the end");
  LAUNCH(read_shared, 1, 4, 0, NULL, x);
  CHECK(x[0] != x[0] && x[3] != x[3], "shared memory starts as NaN");
  LAUNCH(fill, 0, 32, 0, NULL, x, 4, 1.0f);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration, "empty grid");
  LAUNCH(fill, 1, 32, 60000, NULL, x, 4, 1.0f);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration, "too much shared memory");
  cudaFree(x);
}

/* ---- what goes on beside the threads: boxes, barriers, products of a warpgroup ---- */
typedef CUresult (*Encoder)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                            const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                            const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static CUresult tensor(void *p, int rank, const cuuint64_t *side, const cuuint32_t *box,
                       cuuint32_t step, CUtensorMapSwizzle swizzle, CUtensorMap *map) {
  cudaDriverEntryPointQueryResult found;
  void *f = NULL;
  cuuint64_t bytes[3], all = side[0] * 2;
  const cuuint32_t stride[4] = {1, step, step, 1};
  for (int i = 0; i < 3; i++) {
    bytes[i] = all;
    all *= i + 1 < rank ? side[i + 1] : 1;
  }
  cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &f, cudaEnableDefault, &found);
  return ((Encoder)f)(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, (cuuint32_t)rank, p, side, bytes, box,
                      stride, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

/* What is wrong with one. */
enum {
  RIGHT,
  BYTES_MISSING, /* announced */
  BYTES_BEYOND,
  NO_FENCE,
  NO_INIT_FENCE,
  NO_WAIT, /* for the products */
  LEAVES,  /* with a box under way */
  TWICE    /* arrived */
};

struct BoxJob {
  CUtensorMap map;
  int at[4];
  uint32_t bytes;
};

/* One box to a tile, as it lies: 128 bytes a line, chunk q of line r at q ^ r % 8. */
template <int WRONG>
static __global__ void box(const __grid_constant__ BoxJob job, unsigned short *out, int lines) {
  char *smem = DYNAMIC_SHARED(char);
  const uint32_t base = shared_address(smem), tile = (base + 1023) & ~1023u, bar = tile + 16384;
  if (threadIdx.x == 0) {
    mbarrier_init(bar, 1);
    if (WRONG != NO_INIT_FENCE) mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    mbarrier_expect(bar, WRONG == BYTES_MISSING  ? job.bytes - 256
                         : WRONG == BYTES_BEYOND ? job.bytes + 256
                                                 : job.bytes);
    if (WRONG == TWICE) mbarrier_arrive(bar);
    tensor_load(tile, &job.map, bar, job.at[0], job.at[1], job.at[2], job.at[3]);
  }
  if (WRONG == LEAVES) return;
  mbarrier_wait(bar, 0);
  for (int i = (int)threadIdx.x; i < lines * 64; i += (int)blockDim.x) {
    const int r = i / 64, q = i % 64 / 8;
    out[i] = ((unsigned short *)(smem + (tile - base)))[r * 64 + (q ^ r % 8) * 8 + i % 8];
  }
}

/* A box that sticks out on every side, strides of 1 and 2 along x and y. */
static void boxes(void) {
  const cuuint64_t side[4] = {72, 6, 5, 3};
  unsigned short *x = (unsigned short *)device(72 * 6 * 5 * 3 / 2),
                 *y = (unsigned short *)device(64 * 64);
  for (int i = 0; i < 72 * 6 * 5 * 3; i++) x[i] = (unsigned short)(i + 1);
  for (int step = 1; step <= 2; step++) {
    const cuuint32_t size[4] = {64, 4, 4, 4};
    const int nx = 4 / step, ny = 4 / step, lines = nx * ny * 4, at[4] = {16, 4, -1, 1};
    BoxJob job;
    int bad = 0;
    CHECK(tensor(x, 4, side, size, (cuuint32_t)step, CU_TENSOR_MAP_SWIZZLE_128B, &job.map) ==
              CUDA_SUCCESS,
          "tensor map");
    memcpy(job.at, at, sizeof at);
    job.bytes = (uint32_t)lines * 128;
    auto k = box<RIGHT>;
    LAUNCH(k, 1, 64, 20000, NULL, job, y, lines);
    for (int i = 0; i < lines * 64; i++) {
      const int r = i / 64, c = at[0] + i % 64, px = at[1] + r % nx * step,
                py = at[2] + r / nx % ny * step, n = at[3] + r / nx / ny;
      const bool inside = c < 72 && px < 6 && py >= 0 && py < 5 && n < 3;
      bad += y[i] != (inside ? (unsigned short)(((n * 5 + py) * 6 + px) * 72 + c + 1) : 0);
    }
    CHECK(bad == 0 && !emu_message()[0], "box, stride %d: %d of %d wrong", step, bad, lines * 64);
  }
  CUtensorMap none;
  const cuuint32_t wide[4] = {72, 4, 4, 4}, size[4] = {64, 4, 4, 4};
  const cuuint64_t odd[4] = {60, 6, 5, 3};
  CHECK(tensor(x, 4, side, wide, 1, CU_TENSOR_MAP_SWIZZLE_128B, &none) != CUDA_SUCCESS &&
            tensor(x, 4, odd, size, 1, CU_TENSOR_MAP_SWIZZLE_128B, &none) != CUDA_SUCCESS &&
            tensor(x, 4, side, size, 9, CU_TENSOR_MAP_SWIZZLE_128B, &none) != CUDA_SUCCESS &&
            tensor(x + 1, 4, side, size, 1, CU_TENSOR_MAP_SWIZZLE_128B, &none) != CUDA_SUCCESS,
        "tensor maps that the driver refuses");
  cudaFree(x);
  cudaFree(y);
}

static void box_faults(void) {
  const cuuint64_t side[4] = {64, 4, 4, 4};
  const cuuint32_t size[4] = {64, 4, 4, 4};
  unsigned short *x = (unsigned short *)device(64 * 64 / 2),
                 *y = (unsigned short *)device(64 * 64 / 2);
  BoxJob job = {};
  memset(x, 0, 64 * 64 * 2);
  job.bytes = 64 * 128;
  tensor(x, 4, side, size, 1, CU_TENSOR_MAP_SWIZZLE_128B, &job.map);
  auto missing = box<BYTES_MISSING>, beyond = box<BYTES_BEYOND>, fence = box<NO_INIT_FENCE>,
       leaves = box<LEAVES>, twice = box<TWICE>;
  LAUNCH(missing, 1, 64, 20000, NULL, job, y, 64);
  CHECK(fault("is never completed"), "bytes that nobody announced");
  LAUNCH(beyond, 1, 64, 20000, NULL, job, y, 64);
  CHECK(fault("is never completed"), "bytes that do not come");
  LAUNCH(fence, 1, 64, 20000, NULL, job, y, 64);
  CHECK(fault("no fence after mbarrier_init"), "no fence");
  emu_seed(0);
  LAUNCH(leaves, 1, 64, 20000, NULL, job, y, 64);
  CHECK(fault("under way"), "leaves too early");
  LAUNCH(twice, 1, 64, 20000, NULL, job, y, 64);
  CHECK(fault("have arrived"), "arrives twice");
  job.map.opaque[0] = 0;
  auto right = box<RIGHT>;
  LAUNCH(right, 1, 64, 20000, NULL, job, y, 64);
  CHECK(fault("no tensor map"), "no tensor map");
  cudaFree(x);
  cudaFree(y);
}

struct ProductJob {
  CUtensorMap a;
  CUtensorMap b;
};

/* d [64 x 128] = 1 + a [64 x 64] b [128 x 64]^T */
template <int WRONG>
static __global__ void warpgroup(const __grid_constant__ ProductJob job, float *out) {
  char *smem = DYNAMIC_SHARED(char);
  const uint32_t a = (shared_address(smem) + 1023) & ~1023u, b = a + 64 * 128, bar = b + 128 * 128;
  const int w = (int)threadIdx.x / 32, g = (int)threadIdx.x % 32 / 4, q = (int)threadIdx.x % 4;
  float d[64];
  if (threadIdx.x == 0) {
    mbarrier_init(bar, 1);
    mbarrier_init_fence();
    mbarrier_expect(bar, 192 * 128);
    tensor_load(a, &job.a, bar, 0, 0);
    tensor_load(b, &job.b, bar, 0, 0);
  }
  __syncthreads();
  mbarrier_wait(bar, 0);
  for (int i = 0; i < 64; i++) d[i] = 1;
  if (WRONG != NO_FENCE) wgmma_fence();
  for (uint32_t k = 0; k < 128; k += 32)
    wgmma_f16(d, wgmma_descriptor(a + k, 1024), wgmma_descriptor(b + k, 1024));
  wgmma_commit();
  if (WRONG != NO_WAIT) wgmma_wait<0>();
  for (int i = 0; i < 64; i++)
    out[(16 * w + g + i / 2 % 2 * 8) * 128 + i / 4 * 8 + 2 * q + i % 2] = d[i];
  if (WRONG == NO_WAIT) wgmma_wait<0>();
}

static void warpgroups(void) {
  const cuuint64_t a_side[2] = {64, 64}, b_side[2] = {64, 128};
  const cuuint32_t a_box[2] = {64, 64}, b_box[2] = {64, 128};
  unsigned short *a = (unsigned short *)device(64 * 64 / 2),
                 *b = (unsigned short *)device(128 * 64 / 2);
  float *d = device(64 * 128);
  int bad = 0, missing = 0;
  ProductJob job;
  for (int i = 0; i < 64 * 64; i++) a[i] = emu_float_to_half((float)((i * 37) % 41 - 20));
  for (int i = 0; i < 128 * 64; i++) b[i] = emu_float_to_half((float)((i * 23) % 29 - 14));
  tensor(a, 2, a_side, a_box, 1, CU_TENSOR_MAP_SWIZZLE_128B, &job.a);
  tensor(b, 2, b_side, b_box, 1, CU_TENSOR_MAP_SWIZZLE_128B, &job.b);
  auto right = warpgroup<RIGHT>, fence = warpgroup<NO_FENCE>, wait = warpgroup<NO_WAIT>;
  for (int seed = 0; seed < 4; seed++) {
    emu_seed((uint64_t)seed);
    LAUNCH(right, 1, 128, 30000, NULL, job, d);
    for (int i = 0; i < 64; i++)
      for (int j = 0; j < 128; j++) {
        float s = 1;
        for (int k = 0; k < 64; k++)
          s += emu_half_to_float(a[i * 64 + k]) * emu_half_to_float(b[j * 64 + k]);
        bad += s != d[i * 128 + j];
      }
    LAUNCH(wait, 1, 128, 30000, NULL, job, d);
    for (int i = 0; i < 64 * 128; i++) missing += d[i] != d[i];
  }
  CHECK(bad == 0 && !emu_message()[0], "product of a warpgroup: %d wrong", bad);
  CHECK(missing > 64 * 128 / 2, "without the wait the sums are missing: %d", missing);
  LAUNCH(fence, 1, 128, 30000, NULL, job, d);
  CHECK(fault("no wgmma_fence"), "no fence");
  cudaFree(a);
  cudaFree(b);
  cudaFree(d);
}

static void graphs(void) {
  cudaStream_t s;
  cudaGraph_t g;
  cudaGraphExec_t e;
  float *x = device(8), *y = device(8), v = 3;
  cudaStreamCreate(&s);
  cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal);
  LAUNCH(fill, 2, 4, 0, s, x, 8, v);
  cudaMemcpyAsync(y, x, 32, cudaMemcpyDeviceToDevice, s);
  cudaMemsetAsync(x, 0, 32, s);
  CHECK(cudaStreamEndCapture(s, &g) == cudaSuccess && x[0] != x[0], "capture runs nothing");
  CHECK(cudaGraphInstantiate(&e, g, 0) == cudaSuccess, "instantiate");
  cudaGraphDestroy(g);
  v = 4;
  CHECK(cudaGraphLaunch(e, s) == cudaSuccess && x[7] == 0 && y[7] == 3, "replay: %g %g", x[7],
        y[7]);
  cudaGraphExecDestroy(e);
  cudaStreamDestroy(s);
  cudaFree(x);
  cudaFree(y);
}

static void note(void *ctx) { *(int *)ctx += 1; }

/* One stream at once, one late: it does what it is waited for, no more. */
static void late_stream(void) {
  cudaStream_t now, late;
  cudaEvent_t first, second;
  float *x = device(4);
  int notes = 0;
  emu_late(2);
  cudaStreamCreate(&now);
  cudaStreamCreate(&late);
  cudaEventCreate(&first);
  cudaEventCreate(&second);
  LAUNCH(fill, 1, 4, 0, late, x, 4, 1.0f);
  cudaEventRecord(first, late);
  LAUNCH(fill, 1, 4, 0, late, x, 4, 2.0f);
  cudaLaunchHostFunc(late, note, &notes);
  cudaEventRecord(second, late);
  CHECK(x[0] != x[0] && cudaEventQuery(first) == cudaErrorNotReady && notes == 0,
        "late: nothing yet");
  cudaStreamSynchronize(now);
  CHECK(x[0] != x[0], "late: another stream does not wait");
  cudaStreamWaitEvent(now, first, 0);
  CHECK(x[0] == 1 && notes == 0, "late: up to the event, %g", x[0]);
  cudaEventRecord(first, now);
  cudaStreamWaitEvent(late, first, 0);
  LAUNCH(fill, 1, 4, 0, late, x, 4, 3.0f);
  cudaEventSynchronize(second);
  CHECK(x[0] == 2 && notes == 1 && cudaStreamQuery(late) == cudaErrorNotReady,
        "late: up to the second, %g", x[0]);
  cudaStreamSynchronize(late);
  CHECK(x[0] == 3 && cudaStreamQuery(late) == cudaSuccess, "late: all, %g", x[0]);
  cudaGetLastError();
  cudaEventDestroy(first);
  cudaEventDestroy(second);
  cudaStreamDestroy(now);
  cudaStreamDestroy(late);
  cudaFree(x);
}

static void numbers(void) {
  int bad = 0;
  for (unsigned h = 0; h < 65536; h++) {
    float f = emu_half_to_float((unsigned short)h), b = emu_bf16_to_float((unsigned short)h);
    bad += f == f && emu_float_to_half(f) != h;
    bad += b == b && emu_float_to_bf16(b) != h;
    float next = emu_half_to_float((unsigned short)(h + 1));
    /* ties to even */
    if ((h & 0x7fff) < 0x7bff) bad += emu_float_to_half((f + next) / 2) != (h & 1 ? h + 1 : h);
  }
  CHECK(bad == 0 && emu_float_to_half(65520.0f) == 0x7c00 && emu_float_to_half(65519.9f) == 0x7bff,
        "16-bit numbers: %d wrong", bad);
  CHECK(to_tf32(1.0f + 0x1p-11f) == __float_as_uint(1.0f + 0x1p-10f) &&
            to_tf32(1.0f + 0x1.8p-12f) == __float_as_uint(1.0f),
        "tf32");
}

int main(void) {
  numbers();
  sums();
  divisions();
  exchanges();
  tensor_cores();
  copies();
  faults();
  boxes();
  box_faults();
  warpgroups();
  graphs();
  late_stream();
  CHECK(emu_live_allocations() == 0, "all memory freed");
  return test_end();
}
