/* conv_store.cuh: the end of a product, shared by conv_gemm.cu (mma.sync) and conv_wgmma.cu: 64
 * rows of sums lie in shared memory, a thread takes a column of them down the rows, eight at a
 * time; where channels lie last, eight threads take the rows of a column. */
#ifndef PRLX_CONV_STORE_CUH
#define PRLX_CONV_STORE_CUH
#include "cuda/conv.cuh"

enum { STORE_PAD = 8, STORE_V = 8, STORE_CHUNKS = STORE_ROWS / MAP_CHUNK };

/* Where column `col` stands in a staging row: eight rows of four columns lie in 32 banks, for
 * threads that take eight rows of neighbouring columns, and for those that take four columns of
 * eight times eight rows. */
static __device__ __forceinline__ int stage_column(int row, int col) {
  return col ^ (row >> 3 & 7) << 2;
}

/* Rows `first`, `first` + STEP, .. (STORE_V of each) of column x of the sums at s, STRIDE floats
 * from row to row: m0 is the row of the result that row 0 is. To the partial sums of this split, or
 * through the chain to the result. */
template <int STRIDE, int STEP>
static __device__ __forceinline__ void store_column(const ConvJob &job, const ConvClass &cls,
                                                    int split, const float *s, int x, int first,
                                                    int64_t m0, const Column &at, uint32_t col) {
  if (col >= cls.cols) return;
  for (int r = first; r < STORE_ROWS; r += STEP) {
    int64_t m = m0 + r;
    float v[STORE_V];
    if (m >= job.classes.rows) return;
    _Pragma("unroll") for (int i = 0; i < STORE_V; i++) v[i] =
        s[(r + i) * STRIDE + stage_column(r, x)];
    if (job.splits > 1) {
      float *p = job.store.partial + ((int64_t)split * job.classes.rows + m) * job.classes.cols +
                 cls.col0 + col;
      _Pragma("unroll") for (int i = 0; i < STORE_V; i++) if (m + i < job.classes.rows)
          p[i * job.classes.cols] = v[i];
    } else if (at.off >= 0) {
      chain_run<STORE_V>(job.store.chain, at, m, job.classes.rows, v);
      _Pragma("unroll") for (int i = 0; i < STORE_V; i++) if (m + i < job.classes.rows)
          store_as(job.store.out, job.store.tout, at.off + (m + i) * job.store.out_m, v[i]);
    }
  }
}

/* Rows 8 `chunk` on of column x, 16 bytes of pixel `at`: a result whose channels lie last. Eight
 * threads so store 128 bytes of a pixel. */
template <int STRIDE>
static __device__ __forceinline__ void store_pixel(const ConvJob &job, const float *s, int x,
                                                   int chunk, int64_t m0, const Column &at,
                                                   ChainSums<MAP_CHUNK> *sums = NULL) {
  const int64_t m = m0 + chunk * MAP_CHUNK;
  float v[MAP_CHUNK];
  if (m >= job.classes.rows || at.off < 0) return;
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) v[i] =
      s[(chunk * MAP_CHUNK + i) * STRIDE + stage_column(chunk * MAP_CHUNK, x)];
  store_chunk<true>(job, at, m, v, sums);
}

/* The dot of eight threads' rows of a pixel, 64 from m0 on. All eight are here; dot: 0 where a
 * thread has no rows, at.off < 0 where there is no pixel. */
static __device__ __forceinline__ void store_dot(const ConvJob &job, const Column &at, int64_t m0,
                                                 float dot) {
  if (m0 >= job.classes.rows) return; /* the tile is taller; all of a warp */
  for (int k = 1; k < STORE_CHUNKS; k *= 2) dot += __shfl_xor_sync(0xffffffffu, dot, k);
  if (threadIdx.x % STORE_CHUNKS || at.off < 0) return;
  const ConvStore &to = job.store;
  to.dots[((m0 / STORE_ROWS * to.dot_images + at.n) * to.dot_height + at.y) * to.dot_width + at.x] =
      dot;
}

/* What the THREADS threads of a block have summed over the columns of its tile, in one order:
 * threads of a warp, then warps. share: 64 floats for each warp and sum. */
template <int THREADS>
static __device__ __forceinline__ void store_sums(const ConvJob &job, ChainSums<MAP_CHUNK> &sums,
                                                  float *share, int64_t m0, uint32_t tile,
                                                  uint32_t tiles) {
  enum { WARPS = THREADS / 32 };
  const int chunk = threadIdx.x % STORE_CHUNKS, warp = threadIdx.x / 32;
  _Pragma("unroll") for (int s = 0; s < CHAIN_MAX_SUMS; s++) {
    if (s >= job.store.chain.nsum) break;
    _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) {
      float x = sums.of[s][i];
      for (int k = STORE_CHUNKS; k < 32; k *= 2) x += __shfl_xor_sync(0xffffffffu, x, k);
      if (threadIdx.x % 32 < STORE_CHUNKS)
        share[(s * WARPS + warp) * STORE_ROWS + chunk * MAP_CHUNK + i] = x;
    }
  }
  __syncthreads();
  for (int t = threadIdx.x; t < job.store.chain.nsum * STORE_ROWS; t += THREADS) {
    const int s = t / STORE_ROWS, row = t % STORE_ROWS;
    float x = 0;
    for (int w = 0; w < WARPS; w++) x += share[(s * WARPS + w) * STORE_ROWS + row];
    if (m0 + row < job.classes.rows)
      job.store.sums[((int64_t)s * tiles + tile) * job.classes.rows + m0 + row] = x;
  }
}
#endif
