/* matmul.cu: [m,k] x [k,n] with optional transposes: fully connected layers, style and demodulation
 * products and their gradients.
 *
 * Strict: float, 64x64 tiles, 4x4 numbers per thread. Otherwise tf32 on tensor cores (10 bits of
 * mantissa, as many as the 16-bit feature maps beside it have; float sums), four warps of 32x32. m
 * is a batch of 4 to 64 almost always, so a product has few tiles and is over in the time of its
 * longest chain of loads: k is cut into chunks until the GPU is full, and a second kernel adds the
 * chunks in order (same bits each run; the cut depends on the shape only, and not on a batch of up
 * to 256). Example: 64 x 512 x 512 moves 1.3 MB (0.3 us at 4.8 TB/s): 8 tiles x 16 chunks, one to
 * two loads deep. */
#include "cuda/index.cuh"
#include "cuda/mma.cuh"

enum {
  MM_TILE = 64,
  MM_K = 16,
  MM_THREADS = 256,
  TC_K = 32,
  TC_THREADS = 128,
  MM_BLOCKS = 264,
  MM_CHUNK_MIN = 32,
  MM_BATCH_MAX = 256
};

/* Rows of the product's left operand, or columns of the right one. kc: k is contiguous in memory.
 */
typedef struct MmOperand {
  const float *p;
  uint32_t rows;
  uint32_t ld;
  bool kc;
  bool wide;
} MmOperand;

/* Four neighbours of a tile of MM_TILE rows by KT, number q of them: along k or along the rows,
 * whichever is contiguous. */
template <int KT>
static __device__ __forceinline__ void mm_place(const MmOperand &o, uint32_t q, uint32_t *row,
                                                uint32_t *k) {
  if (o.kc) {
    *row = q / (KT / 4);
    *k = q % (KT / 4) * 4;
  } else {
    *k = q / (MM_TILE / 4);
    *row = q % (MM_TILE / 4) * 4;
  }
}

/* They start at (row, k); zeros outside. */
static __device__ __forceinline__ float4 mm_fetch(const MmOperand &o, uint32_t row, uint32_t k,
                                                  uint32_t k_end) {
  const uint32_t left = o.kc ? k_end - k : o.rows - row,
                 at = o.kc ? row * o.ld + k : k * o.ld + row;
  float4 v = make_float4(0, 0, 0, 0);
  if (row >= o.rows || k >= k_end) return v;
  if (o.wide && left >= 4) return *(const float4 *)(o.p + at);
  v.x = o.p[at];
  if (left > 1) v.y = o.p[at + 1];
  if (left > 2) v.z = o.p[at + 2];
  if (left > 3) v.w = o.p[at + 3];
  return v;
}

/* ---- float ---- */
static __device__ __forceinline__ void mm_keep(const MmOperand &o, float (*to)[MM_TILE + 4],
                                               uint32_t q, float4 v) {
  uint32_t row, k;
  mm_place<MM_K>(o, q, &row, &k);
  if (o.kc) {
    to[k][row] = v.x;
    to[k + 1][row] = v.y;
    to[k + 2][row] = v.z;
    to[k + 3][row] = v.w;
  } else
    *(float4 *)&to[k][row] = v;
}

/* ---- several products in one launch ---- */
/* One product: tiles of columns, of rows, chunks of k, block after block from `first` on. Chunk z
 * goes to part + z*m*n; where there are several, their sum to out. */
typedef struct MmJob {
  MmOperand a;
  MmOperand b;
  float *part;
  float *out;
  uint32_t k_all;
  uint32_t k_chunk;
  uint32_t chunks;
  uint32_t first;
  uint32_t first_sum; /* block of matmul_chunks */
  uint32_t n_tiles;
  uint32_t m_tiles;
} MmJob;
enum { MM_JOBS = 36 };
typedef struct MmJobs {
  int count;
  MmJob of[MM_JOBS];
} MmJobs;
static_assert(sizeof(MmJobs) <= 4096, "more than a kernel takes as its arguments");

static __device__ __forceinline__ const MmJob &mm_mine(const MmJobs &all) {
  int mine = 0;
  while (mine + 1 < all.count && blockIdx.x >= all.of[mine + 1].first) mine++;
  return all.of[mine];
}

/* The tile and the chunk of this block. */
typedef struct MmPlace {
  uint32_t m0;
  uint32_t n0;
  uint32_t z;
} MmPlace;
static __device__ __forceinline__ MmPlace mm_block(const MmJob &job) {
  const uint32_t block = blockIdx.x - job.first, row = block / job.n_tiles, z = row / job.m_tiles;
  return MmPlace{(row - z * job.m_tiles) * MM_TILE, (block - row * job.n_tiles) * MM_TILE, z};
}

static __global__ void __launch_bounds__(MM_THREADS)
    matmul_float(const __grid_constant__ MmJobs all) {
  SHARED2(float, as, MM_K, MM_TILE + 4);
  SHARED2(float, bs, MM_K, MM_TILE + 4);
  const MmJob &job = mm_mine(all);
  const MmPlace at = mm_block(job);
  const MmOperand a = job.a, b = job.b;
  const uint32_t tid = threadIdx.x, tx = tid % 16, ty = tid / 16, m0 = at.m0, n0 = at.n0;
  const uint32_t k_begin = at.z * job.k_chunk, k_end = min(job.k_all, k_begin + job.k_chunk);
  uint32_t ra, ka, rb, kb;
  float sum[4][4] = {};
  mm_place<MM_K>(a, tid, &ra, &ka);
  mm_place<MM_K>(b, tid, &rb, &kb);
  float4 va = mm_fetch(a, m0 + ra, k_begin + ka, k_end),
         vb = mm_fetch(b, n0 + rb, k_begin + kb, k_end);
  for (uint32_t k0 = k_begin; k0 < k_end; k0 += MM_K) {
    mm_keep(a, as, tid, va);
    mm_keep(b, bs, tid, vb);
    __syncthreads();
    /* the next tile is on its way while this one is used */
    if (k0 + MM_K < k_end) {
      va = mm_fetch(a, m0 + ra, k0 + MM_K + ka, k_end);
      vb = mm_fetch(b, n0 + rb, k0 + MM_K + kb, k_end);
    }
#pragma unroll
    for (int k = 0; k < MM_K; k++) {
      const float4 x = *(const float4 *)&as[k][ty * 4], y = *(const float4 *)&bs[k][tx * 4];
      const float u[4] = {x.x, x.y, x.z, x.w}, v[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
      for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) sum[i][j] += u[i] * v[j];
      }
    }
    __syncthreads();
  }
  float *out = job.part + (size_t)at.z * a.rows * b.rows;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const uint32_t r = m0 + ty * 4 + (uint32_t)i, c = n0 + tx * 4;
    if (r >= a.rows) continue;
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (c + (uint32_t)j < b.rows) out[(size_t)r * b.rows + c + (uint32_t)j] = sum[i][j];
  }
}

/* ---- tf32 ---- */
/* Tiles lie as they come: [row][k] (rows TC_K + 4 apart) or [k][row] (MM_TILE + 8 apart); both are
 * read by the fragments without bank conflicts. */
enum {
  TC_ROW = TC_K + 4,
  TC_COLUMN = MM_TILE + 8,
  TC_SIZE = MM_TILE * TC_ROW,
  TC_QUADS = MM_TILE * TC_K / 4 / TC_THREADS
};

static __device__ __forceinline__ void tc_fetch(const MmOperand &o, uint32_t row0, uint32_t k0,
                                                uint32_t k_end, float4 *v) {
#pragma unroll
  for (int i = 0; i < TC_QUADS; i++) {
    uint32_t row, k;
    mm_place<TC_K>(o, threadIdx.x + (uint32_t)i * TC_THREADS, &row, &k);
    v[i] = mm_fetch(o, row0 + row, k0 + k, k_end);
  }
}

static __device__ __forceinline__ void tc_keep(const MmOperand &o, uint32_t *to, const float4 *v) {
#pragma unroll
  for (int i = 0; i < TC_QUADS; i++) {
    uint32_t row, k;
    mm_place<TC_K>(o, threadIdx.x + (uint32_t)i * TC_THREADS, &row, &k);
    *(uint4 *)(to + (o.kc ? row * TC_ROW + k : k * TC_COLUMN + row)) =
        make_uint4(to_tf32(v[i].x), to_tf32(v[i].y), to_tf32(v[i].z), to_tf32(v[i].w));
  }
}

/* Blocks as matmul_float. Warp (wm, wn) of 2x2 makes 32x32: 2x4 products of 16x8. Fragments:
 * cuda/mma.cuh. */
static __global__ void __launch_bounds__(TC_THREADS)
    matmul_tf32(const __grid_constant__ MmJobs all) {
  SHARED(uint4, as4, TC_SIZE / 4); /* uint4: 16-byte alignment */
  SHARED(uint4, bs4, TC_SIZE / 4);
  uint32_t *as = (uint32_t *)as4, *bs = (uint32_t *)bs4;
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3,
                 wm = (warp >> 1) * 32, wn = (warp & 1) * 32;
  const MmJob &job = mm_mine(all);
  const MmPlace at = mm_block(job);
  const MmOperand a = job.a, b = job.b;
  const uint32_t m0 = at.m0, n0 = at.n0, k_begin = at.z * job.k_chunk,
                 k_end = min(job.k_all, k_begin + job.k_chunk);
  const uint32_t ar = a.kc ? (uint32_t)TC_ROW : 1u, ak = a.kc ? 1u : (uint32_t)TC_COLUMN;
  const uint32_t br = b.kc ? (uint32_t)TC_ROW : 1u, bk = b.kc ? 1u : (uint32_t)TC_COLUMN;
  float sum[2][4][4] = {};
  float4 va[TC_QUADS], vb[TC_QUADS];
  tc_fetch(a, m0, k_begin, k_end, va);
  tc_fetch(b, n0, k_begin, k_end, vb);
  for (uint32_t k0 = k_begin; k0 < k_end; k0 += TC_K) {
    tc_keep(a, as, va);
    tc_keep(b, bs, vb);
    __syncthreads();
    if (k0 + TC_K < k_end) {
      tc_fetch(a, m0, k0 + TC_K, k_end, va);
      tc_fetch(b, n0, k0 + TC_K, k_end, vb);
    }
#pragma unroll
    for (uint32_t k = 0; k < TC_K; k += 8) {
      uint32_t fa[2][4], fb[4][2];
#pragma unroll
      for (uint32_t i = 0; i < 2; i++) {
        const uint32_t *p = as + (wm + i * 16 + g) * ar + (k + t) * ak;
        fa[i][0] = p[0];
        fa[i][1] = p[8 * ar];
        fa[i][2] = p[4 * ak];
        fa[i][3] = p[8 * ar + 4 * ak];
      }
#pragma unroll
      for (uint32_t j = 0; j < 4; j++) {
        const uint32_t *p = bs + (wn + j * 8 + g) * br + (k + t) * bk;
        fb[j][0] = p[0];
        fb[j][1] = p[4 * bk];
      }
#pragma unroll
      for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) mma_tf32(sum[i][j], fa[i], fb[j]);
      }
    }
    __syncthreads();
  }
  float *out = job.part + (size_t)at.z * a.rows * b.rows;
#pragma unroll
  for (int i = 0; i < 2; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
      for (int d = 0; d < 4; d++) {
        const uint32_t r = m0 + wm + (uint32_t)i * 16 + g + (d >> 1) * 8,
                       c = n0 + wn + (uint32_t)j * 8 + 2 * t + (d & 1);
        if (r < a.rows && c < b.rows) out[(size_t)r * b.rows + c] = sum[i][j][d];
      }
    }
  }
}

/* out[i] = sum over z of part[z][i], in order; a product of one chunk has no blocks. */
static __global__ void __launch_bounds__(256) matmul_chunks(const __grid_constant__ MmJobs all) {
  int mine = 0;
  while (mine + 1 < all.count && blockIdx.x >= all.of[mine + 1].first_sum) mine++;
  const MmJob &job = all.of[mine];
  const uint32_t i = (blockIdx.x - job.first_sum) * 256 + threadIdx.x, n = job.a.rows * job.b.rows;
  float sum = 0;
  if (i >= n) return;
#pragma unroll 8
  for (uint32_t z = 0; z < job.chunks; z++) sum += job.part[(size_t)z * n + i];
  job.out[i] = sum;
}

typedef struct MmPlan {
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t chunk;
  int64_t chunks;
} MmPlan;

static MmPlan mm_plan(const DevStep *s) {
  const MatmulAttr *a = &s->node.attr.matmul;
  MmPlan q = {a->m, a->n, a->k, 0, 0};
  /* Up to that batch, or where the graph asks for it, a row has the same bits in any batch. */
  const bool one = a->per_row || q.m <= MM_BATCH_MAX;
  const int64_t tiles = (one ? 1 : cuda_ceil(q.m, MM_TILE)) * cuda_ceil(q.n, MM_TILE);
  const int64_t want = PRLX_MIN(cuda_ceil(MM_BLOCKS, tiles), cuda_ceil(q.k, MM_CHUNK_MIN));
  q.chunk = cuda_ceil(cuda_ceil(q.k, want), MM_CHUNK_MIN) * MM_CHUNK_MIN;
  q.chunks = cuda_ceil(q.k, q.chunk);
  return q;
}

static size_t matmul_scratch(const CudaCtx *, const DevStep *s) {
  const MmPlan q = mm_plan(s);
  return q.chunks > 1 ? (size_t)(q.chunks * q.m * q.n) * sizeof(float) : 0;
}

static MmOperand mm_operand(const void *p, int64_t rows, int64_t k, bool kc) {
  const int64_t ld = kc ? k : rows;
  return MmOperand{(const float *)p, (uint32_t)rows, (uint32_t)ld, kc,
                   ld % 4 == 0 && (uintptr_t)p % 16 == 0};
}

static MmJob mm_job(const DevStep *s, uint32_t *blocks, uint32_t *sums) {
  const MmPlan q = mm_plan(s);
  MmJob job = {};
  job.a = mm_operand(s->arg[0], q.m, q.k, !s->node.attr.matmul.transpose_a);
  job.b = mm_operand(s->arg[1], q.n, q.k, s->node.attr.matmul.transpose_b);
  job.out = (float *)s->out;
  job.part = q.chunks > 1 ? (float *)s->scratch : job.out;
  job.k_all = (uint32_t)q.k;
  job.k_chunk = (uint32_t)q.chunk;
  job.chunks = (uint32_t)q.chunks;
  job.n_tiles = (uint32_t)cuda_ceil(q.n, MM_TILE);
  job.m_tiles = (uint32_t)cuda_ceil(q.m, MM_TILE);
  job.first = *blocks;
  job.first_sum = *sums;
  *blocks += job.n_tiles * job.m_tiles * job.chunks;
  if (q.chunks > 1) *sums += (uint32_t)cuda_ceil(q.m * q.n, 256);
  return job;
}

static bool mm_fits(const DevStep *s) {
  const MatmulAttr *a = &s->node.attr.matmul;
  const int64_t m = a->m, n = a->n, k = a->k;
  return cuda_fits32(m * k) && cuda_fits32(n * k) && cuda_fits32(m * n);
}

int cuda_matmul_count(const DevStep *s, int n) {
  int k = 0;
  while (k < PRLX_MIN(n, (int)MM_JOBS) && !s[k].prog && s[k].node.op == OP_matmul && mm_fits(&s[k]))
    k++;
  return k;
}

Status cuda_matmuls(const CudaCtx *c, const DevStep *s, int n, Error *e) {
  MmJobs all = {};
  uint32_t blocks = 0, sums = 0;
  for (int k = 0; k < n; k++)
    if (s[k].node.attr.matmul.m && s[k].node.attr.matmul.n)
      all.of[all.count++] = mm_job(&s[k], &blocks, &sums);
  if (blocks == 0) return ST_OK;
  if (c->precision == PREC_STRICT || c->arch < 80 || c->rung[KIND_MATMUL] != RUNG_FAST)
    LAUNCH(matmul_float, blocks, MM_THREADS, 0, c->stream, all);
  else
    LAUNCH(matmul_tf32, blocks, TC_THREADS, 0, c->stream, all);
  if (sums > 0) LAUNCH(matmul_chunks, sums, 256, 0, c->stream, all);
  return cuda_check("matmul", s, e);
}

static Status matmul_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  if (!mm_fits(s)) return cuda_too_large("matmul", e);
  return cuda_matmuls(c, s, 1, e);
}

CUDA_ROW(matmul, matmul_launch, matmul_scratch, NULL);
