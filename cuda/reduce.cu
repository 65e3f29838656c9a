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
#include "cuda/map.cuh"
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

size_t pw_sum_scratch(const DevStep *s) {
  const PwProgram *p = s->prog;
  PwDev d;
  if (shape_numel(p->iter) == 0 || !pw_dev_init(&d, p)) return 0;
  pw_dev_last(&d, s);
  const SumPlan q = sum_plan(&d, p->samples);
  return q.chunks > 1 ? (size_t)(q.chunks * q.nout) * sizeof(double) : 0;
}

/* Where a sum goes and how it is cut, for the kernels: SumPlan, log_group of the rows' group or of
 * the columns' tx. */
typedef struct SumTo {
  double *partial; /* [chunks][nout], where there are several */
  void *out;
  int tout;
  uint32_t log_group;
  uint32_t nvec;
  uint32_t nout;
  uint32_t steps;
  uint32_t per_chunk;
  uint32_t chunks;
} SumTo;

/* Sum number `chunk` of output o: to scratch when there are several chunks. */
static __device__ __forceinline__ void reduce_put(const SumTo &to, uint32_t chunk, uint32_t o,
                                                  double x) {
  if (to.chunks > 1)
    to.partial[(size_t)chunk * to.nout + o] = x;
  else
    st_any(to.out, (DType)to.tout, o, (float)x);
}

/* Block x of the outputs, chunk y. 2^log_group threads per output. */
template <class D>
static __device__ __forceinline__ void sum_rows(const D &d, const SumTo &to, uint32_t block,
                                                uint32_t chunk, double *warp_sum) {
  const uint32_t nout = to.nout, steps = to.steps, log_group = to.log_group;
  const uint32_t tid = threadIdx.x, group = 1u << log_group, lane = tid & (group - 1);
  const uint32_t o = block * (blockDim.x >> log_group) + (tid >> log_group);
  PwPlace at = {{}, 0, 0, DYNAMIC_SHARED(float4), (int)tid, (int)blockDim.x};
  double sum = 0;
  if (o < nout) {
    const uint32_t lo = chunk * to.per_chunk, hi = min(steps, lo + to.per_chunk);
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
    if (o < nout && lane == 0) reduce_put(to, chunk, o, sum);
    return;
  }
  if ((tid & 31) == 0) warp_sum[tid >> 5] = sum;
  __syncthreads();
  if (o >= nout || lane) return;
  for (uint32_t w = 1; w < group >> 5; w++) sum += warp_sum[(tid >> 5) + w];
  reduce_put(to, chunk, o, sum);
}

/* Block x of vectors of outputs, chunk y. tx*ty threads; thread (tx, ty) adds summands ty, ty + TY,
 * ... of its chunk. */
template <class D>
static __device__ __forceinline__ void sum_columns(const D &d, const SumTo &to, uint32_t block,
                                                   uint32_t chunk) {
  const uint32_t log_tx = to.log_group, nvec = to.nvec;
  float4 *slots = DYNAMIC_SHARED(float4);
  /* [ty][PW_VEC][tx] */
  double *share = (double *)(slots + (size_t)d.nslot * 2 * blockDim.x);
  const uint32_t tid = threadIdx.x, tx = 1u << log_tx, x = tid & (tx - 1), y = tid >> log_tx,
                 ty = blockDim.x >> log_tx;
  const uint32_t vec = block * tx + x, row = div_by(vec, d.row),
                 col = (vec - row * d.row.d) * PW_VEC;
  PwPlace at = {{},    col,      vec < nvec ? (int)min((uint32_t)PW_VEC, d.inner - col) : 0,
                slots, (int)tid, (int)blockDim.x};
  double sum[PW_VEC] = {};
  if (at.valid) {
    const uint32_t hi = min(to.steps, (chunk + 1) * to.per_chunk);
    float part[PW_VEC] = {};
    int n = 0;
    pw_coordinates(d, ~d.summed, row, at.idx);
    for (uint32_t t = chunk * to.per_chunk + y; t < hi; t += ty) {
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
    if (j < at.valid) reduce_put(to, chunk, row * d.inner + col + j, sum[j]);
}

/* Grid: x blocks of outputs, y chunks. */
static __global__ void __launch_bounds__(256)
    pw_sum_rows(const __grid_constant__ PwDev d, const __grid_constant__ SumTo to) {
  SHARED(double, warp_sum, 8);
  sum_rows(d, to, blockIdx.x, blockIdx.y, warp_sum);
}
static __global__ void __launch_bounds__(256)
    pw_sum_columns(const __grid_constant__ PwDev d, const __grid_constant__ SumTo to) {
  sum_columns(d, to, blockIdx.x, blockIdx.y);
}

/* One of several small sums: blocks along its outputs, its first block. */
typedef PwDevOf<4, 6> PwTiny;
typedef struct SumJob {
  uint32_t first;
  uint32_t first_add; /* block of pw_sums_add */
  uint32_t width;
  bool rows;
  SumTo to;
  PwTiny loop;
} SumJob;
enum { SUM_JOBS = 8 };
typedef struct SumJobs {
  int count;
  SumJob of[SUM_JOBS];
} SumJobs;
static_assert(sizeof(SumJobs) <= 4096, "more than a kernel takes as its arguments");

/* Block after block of one sum after the other. */
static __global__ void __launch_bounds__(256, 2) pw_sums(const __grid_constant__ SumJobs all) {
  SHARED(double, warp_sum, 8);
  int mine = 0;
  while (mine + 1 < all.count && blockIdx.x >= all.of[mine + 1].first) mine++;
  const SumJob &job = all.of[mine];
  const uint32_t block = blockIdx.x - job.first, chunk = block / job.width,
                 x = block - chunk * job.width;
  if (job.rows)
    sum_rows(job.loop, job.to, x, chunk, warp_sum);
  else
    sum_columns(job.loop, job.to, x, chunk);
}

/* out[o] = sum over c of partial[c][o], several threads per output where there are many. */
static __device__ __forceinline__ void sum_add(const SumTo &to, uint32_t block) {
  const uint32_t log_group = to.chunks > 16 ? 5 : 0, group = 1u << log_group,
                 t = block * blockDim.x + threadIdx.x, o = t >> log_group, lane = t & (group - 1);
  double sum = 0;
  if (o < to.nout) {
#pragma unroll 8
    for (uint32_t c = lane; c < to.chunks; c += group) sum += to.partial[(size_t)c * to.nout + o];
  }
  for (uint32_t k = group >> 1; k; k >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, (int)k);
  if (o < to.nout && lane == 0) st_any(to.out, (DType)to.tout, o, (float)sum);
}
static __global__ void __launch_bounds__(256) pw_sum_chunks(const __grid_constant__ SumTo to) {
  sum_add(to, blockIdx.x);
}
static __global__ void __launch_bounds__(256) pw_sums_add(const __grid_constant__ SumJobs all) {
  int mine = 0;
  while (mine + 1 < all.count && blockIdx.x >= all.of[mine + 1].first_add) mine++;
  sum_add(all.of[mine].to, blockIdx.x - all.of[mine].first_add);
}

static uint32_t log2_of(int n) {
  uint32_t l = 0;
  while (1 << l < n) l++;
  return l;
}

static SumTo sum_to(const DevStep *s, const PwDev *d, const SumPlan *q) {
  SumTo to = {};
  to.partial = (double *)s->scratch;
  to.out = s->out;
  to.tout = (int)s->tout;
  to.log_group = log2_of(q->rows ? q->group : q->tx);
  to.nvec = (uint32_t)(d->nkept * d->row.d);
  to.nout = (uint32_t)q->nout;
  to.steps = (uint32_t)q->steps;
  to.per_chunk = (uint32_t)q->per_chunk;
  to.chunks = (uint32_t)q->chunks;
  return to;
}

/* Dynamic shared memory: slots, and what columns exchange. */
static size_t sum_shared(const PwDev *d, const SumPlan *q) {
  const size_t share = !q->rows && q->ty > 1 ? (size_t)q->threads * PW_VEC * sizeof(double) : 0;
  return pw_slot_bytes(d, q->threads) + share;
}

static uint32_t sum_add_blocks(const SumPlan *q) {
  return q->chunks > 1 ? (uint32_t)cuda_ceil(q->nout << (q->chunks > 16 ? 5 : 0), 256) : 0;
}

Status pw_sum_launch(const CudaCtx *c, const DevStep *s, PwDev *d, int32_t samples, Error *e) {
  const SumPlan q = sum_plan(d, samples);
  const SumTo to = sum_to(s, d, &q);
  const dim3 grid((unsigned)q.blocks, (unsigned)q.chunks);
  if (q.rows)
    LAUNCH(pw_sum_rows, grid, q.threads, sum_shared(d, &q), c->stream, *d, to);
  else
    LAUNCH(pw_sum_columns, grid, q.threads, sum_shared(d, &q), c->stream, *d, to);
  Status st = cuda_check("sum", s, e);
  if (st != ST_OK || q.chunks <= 1) return st;
  LAUNCH(pw_sum_chunks, sum_add_blocks(&q), 256, 0, c->stream, to);
  return cuda_check("sum", s, e);
}

/* ---- several small sums in one launch ---- */

/* The sum of s for such a launch; *shared: what it wants. False: it wants one of its own. */
static bool sum_job(const DevStep *s, SumJob *job, uint32_t *adds, size_t *shared) {
  PwDev d;
  if (!s->prog || !s->prog->reduce || cuda_lies_last(s) ||
      s->prog->narg > (int)(sizeof job->loop.arg / sizeof(PwArg)))
    return false;
  const int64_t n = shape_numel(s->prog->iter);
  if (n == 0 || !cuda_fits32(n) || !pw_dev_init(&d, s->prog) ||
      d.nop > (int)(sizeof job->loop.op / sizeof(PwMicro)) || pw_threads(&d) != 256)
    return false;
  pw_dev_bind(&d, s->arg, s->targ, s->out);
  const SumPlan q = sum_plan(&d, s->prog->samples);
  job->width = (uint32_t)q.blocks;
  job->rows = q.rows;
  job->to = sum_to(s, &d, &q);
  pw_dev_copy(d, &job->loop);
  *adds = sum_add_blocks(&q);
  *shared = sum_shared(&d, &q);
  return true;
}

bool cuda_sum_is_small(const DevStep *s) {
  SumJob job;
  uint32_t adds;
  size_t shared;
  return sum_job(s, &job, &adds, &shared);
}

int cuda_sum_count(const DevStep *s, int n) {
  int k = 0;
  while (k < PRLX_MIN(n, (int)SUM_JOBS) && cuda_sum_is_small(&s[k])) k++;
  return k;
}

Status cuda_sums(const CudaCtx *c, const DevStep *s, int n, Error *e) {
  SumJobs all = {};
  uint32_t blocks = 0, adds = 0;
  size_t most = 0;
  all.count = n;
  for (int k = 0; k < n; k++) {
    SumJob *job = &all.of[k];
    uint32_t add = 0;
    size_t shared = 0;
    if (!sum_job(&s[k], job, &add, &shared))
      return err_set(e, ST_INTERNAL, "cuda sum: sum %d of %d is none for one launch", k, n);
    job->first = blocks;
    job->first_add = adds;
    blocks += job->width * job->to.chunks;
    adds += add;
    most = PRLX_MAX(most, shared);
  }
  LAUNCH(pw_sums, blocks, 256, most, c->stream, all);
  if (adds > 0) LAUNCH(pw_sums_add, adds, 256, 0, c->stream, all);
  return cuda_check("sum", s, e);
}
