/* reduce.cu: fused loops that end in a sum. Any subset of axes; every output is a sum in one fixed
 * order (same bits each run), of groups of at most 8 numbers in float whose sums are added in
 * double, as the CPU adds in double throughout.
 *
 * Rows: the inner axis is summed. 2^g threads walk the vectors of one output; then shuffles and
 * shared memory. Columns: the inner axis is kept. A thread owns 8 neighbouring outputs and walks
 * the summed axes, so that reads are coalesced. Where there are too few outputs to fill a GPU the
 * summed set is cut into chunks; their partial sums (double, in scratch) are added in order by a
 * second kernel. The cut depends on the shape only, not on the device: the same bits on every GPU.
 */
#include "cuda/pointwise.cuh"

/* 1024 blocks of 256 threads fill an H200. Steps: what a thread should have to do before its sum is
 * shared among more threads, or cut into chunks. */
enum {
  SUM_BLOCKS = 1024,
  SUM_GROUP_STEPS = 4,
  SUM_CHUNK_STEPS = 8,
  SUM_CHUNKS_MAX = 512,
  COL_TX = 32,
  COL_TY = 8
};

typedef struct SumPlan {
  bool rows;
  /* rows: threads per output; columns: tx vectors of outputs by ty summands */
  int threads;
  int group;
  int tx;
  int ty;
  /* steps: vectors (rows) or single summands (columns) per output */
  int64_t nout;
  int64_t steps;
  int64_t blocks;
  int64_t chunks;
  int64_t per_chunk;
} SumPlan;

static int pow2_below(int64_t n, int limit) {
  int p = 1;
  while (2 * p <= n && 2 * p <= limit) p *= 2;
  return p;
}

/* Threads per output and chunks decide the order of a sum. With `samples` they are chosen as for
 * one sample (PwProgram.samples), so that no output depends on how many there are. */
static SumPlan sum_plan(const PwDev *d, int32_t samples) {
  const int64_t one = PRLX_MAX(1, samples);
  SumPlan q = {};
  q.rows = d->inner_summed;
  q.threads = pw_threads(d);
  q.nout = q.rows ? d->nkept : d->nkept * (int64_t)d->inner;
  q.steps = q.rows ? d->nsum * (int64_t)d->row.d : d->nsum;
  if (q.rows) {
    /* short sums: several outputs per warp */
    q.group = pow2_below(cuda_ceil(q.steps, 4), 32);
    while (q.group < q.threads && q.group * (q.nout / one) < SUM_BLOCKS * 256 &&
           q.steps >= 2 * q.group * SUM_GROUP_STEPS)
      q.group *= 2;
    q.blocks = cuda_ceil(q.nout, q.threads / q.group);
  } else {
    q.ty = pow2_below(cuda_ceil(q.steps, 4), PRLX_MIN((int)COL_TY, q.threads / COL_TX));
    q.tx = q.threads / q.ty;
    q.group = q.ty;
    q.blocks = cuda_ceil(d->nkept * (int64_t)d->row.d, q.tx);
  }
  const int64_t want =
      PRLX_MIN(cuda_ceil(SUM_BLOCKS, cuda_ceil(q.blocks, one)),
               PRLX_MIN((int64_t)SUM_CHUNKS_MAX, q.steps / (q.group * SUM_CHUNK_STEPS)));
  q.per_chunk = cuda_ceil(q.steps, PRLX_MAX(1, want));
  q.chunks = cuda_ceil(q.steps, q.per_chunk);
  return q;
}

size_t pw_sum_scratch(const PwProgram *p) {
  PwDev d;
  if (shape_numel(p->iter) == 0 || !pw_dev_init(&d, p)) return 0;
  const SumPlan q = sum_plan(&d, p->samples);
  return q.chunks > 1 ? (size_t)(q.chunks * q.nout) * sizeof(double) : 0;
}

/* Sum number `chunk` of output o: to scratch when there are several chunks. */
static __device__ __forceinline__ void reduce_put(double *partial, void *out, int tout,
                                                  uint32_t nout, uint32_t o, double x) {
  if (partial)
    partial[(size_t)blockIdx.y * nout + o] = x;
  else
    st_any(out, (DType)tout, o, (float)x);
}

/* Grid: x outputs, y chunks. 2^log_group threads per output. */
static __global__ void __launch_bounds__(256)
    pw_sum_rows(const __grid_constant__ PwDev d, int log_group, uint32_t nout, uint32_t steps,
                uint32_t per_chunk, double *partial, void *out, int tout) {
  SHARED(double, warp_sum, 8);
  const uint32_t tid = threadIdx.x, group = 1u << log_group, lane = tid & (group - 1);
  const uint32_t o = blockIdx.x * (blockDim.x >> log_group) + (tid >> log_group);
  PwPlace at = {{}, 0, 0, DYNAMIC_SHARED(float4), (int)tid, (int)blockDim.x};
  double sum = 0;
  if (o < nout) {
    const uint32_t lo = blockIdx.y * per_chunk, hi = min(steps, lo + per_chunk);
    pw_coordinates(d, ~d.summed, o, at.idx);
    for (uint32_t t = lo + lane; t < hi; t += group) {
      const uint32_t row = div_by(t, d.row);
      float v[PW_VEC];
      at.col = (t - row * d.row.d) * PW_VEC;
      at.valid = (int)min((uint32_t)PW_VEC, d.inner - at.col);
      pw_coordinates(d, d.summed, row, at.idx);
      pw_eval(d, at, v);
#pragma unroll
      for (int j = 1; j < PW_VEC; j++)
        if (j >= at.valid) v[j] = 0;
      sum += (double)(((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7])));
    }
  }
  for (uint32_t k = min(group, 32u) >> 1; k; k >>= 1)
    sum += __shfl_xor_sync(0xffffffffu, sum, (int)k);
  if (group <= 32) {
    if (o < nout && lane == 0) reduce_put(partial, out, tout, nout, o, sum);
    return;
  }
  if ((tid & 31) == 0) warp_sum[tid >> 5] = sum;
  __syncthreads();
  if (o >= nout || lane) return;
  for (uint32_t w = 1; w < group >> 5; w++) sum += warp_sum[(tid >> 5) + w];
  reduce_put(partial, out, tout, nout, o, sum);
}

/* Grid: x vectors of outputs, y chunks. tx*ty threads; thread (tx, ty) adds summands ty, ty + TY,
 * ... of its chunk. */
static __global__ void __launch_bounds__(256)
    pw_sum_columns(const __grid_constant__ PwDev d, int log_tx, uint32_t nvec, uint32_t nout,
                   uint32_t steps, uint32_t per_chunk, double *partial, void *out, int tout) {
  float4 *slots = DYNAMIC_SHARED(float4);
  /* [ty][PW_VEC][tx] */
  double *share = (double *)(slots + (size_t)d.nslot * 2 * blockDim.x);
  const uint32_t tid = threadIdx.x, tx = 1u << log_tx, x = tid & (tx - 1), y = tid >> log_tx,
                 ty = blockDim.x >> log_tx;
  const uint32_t vec = blockIdx.x * tx + x, row = div_by(vec, d.row),
                 col = (vec - row * d.row.d) * PW_VEC;
  PwPlace at = {{},    col,      vec < nvec ? (int)min((uint32_t)PW_VEC, d.inner - col) : 0,
                slots, (int)tid, (int)blockDim.x};
  double sum[PW_VEC] = {};
  if (at.valid) {
    const uint32_t hi = min(steps, (blockIdx.y + 1) * per_chunk);
    float part[PW_VEC] = {};
    int n = 0;
    pw_coordinates(d, ~d.summed, row, at.idx);
    for (uint32_t t = blockIdx.y * per_chunk + y; t < hi; t += ty) {
      float v[PW_VEC];
      pw_coordinates(d, d.summed, t, at.idx);
      pw_eval(d, at, v);
      /* four in float, then to double: a conversion costs 8 additions on most GPUs */
      const bool flush = (++n & 3) == 0;
#pragma unroll
      for (int j = 0; j < PW_VEC; j++) {
        part[j] += v[j];
        if (flush) {
          sum[j] += (double)part[j];
          part[j] = 0;
        }
      }
    }
#pragma unroll
    for (int j = 0; j < PW_VEC; j++) sum[j] += (double)part[j];
  }
  if (ty > 1) {
    if (y) {
#pragma unroll
      for (int j = 0; j < PW_VEC; j++) share[(y * PW_VEC + j) * tx + x] = sum[j];
    }
    __syncthreads();
    if (y) return;
    for (uint32_t k = 1; k < ty; k++) {
#pragma unroll
      for (int j = 0; j < PW_VEC; j++) sum[j] += share[(k * PW_VEC + j) * tx + x];
    }
  }
#pragma unroll
  for (int j = 0; j < PW_VEC; j++)
    if (j < at.valid) reduce_put(partial, out, tout, nout, row * d.inner + col + j, sum[j]);
}

/* out[o] = sum over c of partial[c][o], 2^log_group threads per output. */
static __global__ void __launch_bounds__(256)
    pw_sum_chunks(const double *partial, int chunks, uint32_t nout, int log_group, void *out,
                  int tout) {
  const uint32_t group = 1u << log_group, t = blockIdx.x * blockDim.x + threadIdx.x,
                 o = t >> log_group, lane = t & (group - 1);
  double sum = 0;
  if (o < nout) {
#pragma unroll 8
    for (int c = (int)lane; c < chunks; c += (int)group) sum += partial[(size_t)c * nout + o];
  }
  for (uint32_t k = group >> 1; k; k >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, (int)k);
  if (o < nout && lane == 0) st_any(out, (DType)tout, o, (float)sum);
}

static int log2_of(int n) {
  int l = 0;
  while (1 << l < n) l++;
  return l;
}

Status pw_sum_launch(const CudaCtx *c, const DevStep *s, PwDev *d, int32_t samples, Error *e) {
  const SumPlan q = sum_plan(d, samples);
  double *partial = q.chunks > 1 ? (double *)s->scratch : NULL;
  const dim3 grid((unsigned)q.blocks, (unsigned)q.chunks);
  if (q.rows) {
    LAUNCH(pw_sum_rows, grid, q.threads, pw_slot_bytes(d, q.threads), c->stream, *d,
           log2_of(q.group), (uint32_t)q.nout, (uint32_t)q.steps, (uint32_t)q.per_chunk, partial,
           s->out, (int)s->tout);
  } else {
    const size_t share = q.ty > 1 ? (size_t)q.threads * PW_VEC * sizeof(double) : 0;
    LAUNCH(pw_sum_columns, grid, q.threads, pw_slot_bytes(d, q.threads) + share, c->stream, *d,
           log2_of(q.tx), (uint32_t)(d->nkept * d->row.d), (uint32_t)q.nout, (uint32_t)q.steps,
           (uint32_t)q.per_chunk, partial, s->out, (int)s->tout);
  }
  Status st = cuda_check("sum", s, e);
  if (st != ST_OK || !partial) return st;
  const int log_group = q.chunks > 16 ? 5 : 0;
  LAUNCH(pw_sum_chunks, (unsigned)cuda_ceil(q.nout << log_group, 256), 256, 0, c->stream, partial,
         (int)q.chunks, (uint32_t)q.nout, log_group, s->out, (int)s->tout);
  return cuda_check("sum", s, e);
}
