/* naive_judge.cu: what a kernel made, compared with its definition (see naive.h). */
#include "cuda/device_impl.h"
#include "cuda/naive.cuh"

/* ---- the verdict ---- */
typedef struct NaiveWorst {
  double worst;
  int64_t bad;
  int64_t at;
  float got;
  float want;
} NaiveWorst;

/* Distance in units of what is allowed: a result stored in 16 bits may be half a last place off. */
static __device__ double naive_distance(float got, float want, float tol, DType type) {
  const float place = type == DT_F16    ? 0x1p-11f
                      : type == DT_BF16 ? 0x1p-8f
                                        : 0,
              least = type == DT_F16 ? 0x1p-24f : 0;
  if (isnan(want)) return isnan(got) ? 0 : (double)INFINITY;
  if (isinf(want) || (type == DT_F16 && fabsf(want) > 65504)) /* it may have become infinite */
    return (isinf(got) || fabsf(got) > 65000) && (got > 0) == (want > 0) ? 0 : (double)INFINITY;
  const double d = fabs((double)got - want) / (tol + 1.01 * place * fabsf(want) + least);
  return isnan(d) ? (double)INFINITY : d;
}

static __global__ void naive_compare(const void *got, DType type, const float *want,
                                     const float *tol, int64_t n, NaiveWorst *out) {
  SHARED(NaiveWorst, part, NAIVE_THREADS);
  NaiveWorst w = {0, 0, 0, 0, 0};
  for (int64_t i = threadIdx.x; i < n; i += NAIVE_THREADS) {
    const double d = naive_distance(ld_any(got, type, i), want[i], tol[i], type);
    w.bad += d > 1;
    if (d > w.worst) {
      w.worst = d;
      w.at = i;
    }
  }
  part[threadIdx.x] = w;
  __syncthreads();
  if (threadIdx.x) return;
  for (int k = 1; k < NAIVE_THREADS; k++) {
    w.bad += part[k].bad;
    if (part[k].worst > w.worst) {
      w.worst = part[k].worst;
      w.at = part[k].at;
    }
  }
  w.got = ld_any(got, type, w.at);
  w.want = want[w.at];
  *out = w;
}

/* want, tol, out: [n], [n] floats and a NaiveWorst, one after another in mem. */
static Status naive_judge_in(Backend *b, const DevStep *s, char *mem, void *scratch, int64_t n,
                             NaiveVerdict *v, Error *e) {
  const CudaCtx *c = &of(b)->c;
  NaiveWorst w = {}, *dev = (NaiveWorst *)mem;
  float *want = (float *)(mem + 256), *tol = want + n;
  const NaiveOut o = {want, DT_F32, tol, 0};
  TRY(naive_run(c, s, o, scratch, e));
  LAUNCH(naive_compare, dim3(1), dim3(NAIVE_THREADS), 0, c->stream, s->out, s->tout, want, tol, n,
         dev);
  TRY(cuda_check("comparison", s, e));
  TRY(b->download(b, &w, dev, sizeof w, e));
  *v = (NaiveVerdict){w.bad, w.worst, w.at, w.got, w.want};
  return ST_OK;
}

Status cuda_naive_judge(Backend *b, const DevStep *s, NaiveVerdict *v, Error *e) {
  const int64_t n = shape_numel(s->prog         ? s->prog->out_shape
                                : s->prog_store ? s->prog_store->out_shape
                                                : s->node.shape);
  void *mem = NULL, *scratch = NULL;
  *v = (NaiveVerdict){};
  if (n == 0) return ST_OK;
  Status st = b->alloc(b, 256 + (size_t)n * 2 * sizeof(float), &mem, e);
  if (st == ST_OK && cuda_naive_scratch(s)) st = b->alloc(b, cuda_naive_scratch(s), &scratch, e);
  if (st == ST_OK) st = naive_judge_in(b, s, (char *)mem, scratch, n, v, e);
  b->release(b, scratch);
  b->release(b, mem);
  return st;
}

/* ---- a step on operands of its own ---- */
static __global__ void probe_store(const float *from, void *to, DType type, int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS)
    st_any(to, type, i, from[i]);
}

/* A map that is near the identity, of margins of a few pixels. */
static void probe_geometry(float *geo, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const int k = (int)(i % 10);
    geo[i] = k >= 6 ? fabsf(geo[i]) * 5 : 0.2f * geo[i] + (k == 0 || k == 4 ? 1 : 0);
  }
}

static Status probe_fill(Backend *b, const DevStep *s, int k, void *to, Rng *r, Error *e) {
  const int64_t n = shape_numel(s->shape[k]);
  const bool geometry = k == 1 && (s->node.op == OP_warp || s->node.op == OP_warp_t);
  float *tmp = (float *)to;
  if (n == 0) return ST_OK;
  if (geometry && !s->prog) {
    float *host = (float *)mem_alloc((size_t)n * sizeof *host);
    if (!host) return err_set(e, ST_NOMEM, "cuda: out of memory for a probe");
    rng_fill_normal(r, host, n);
    probe_geometry(host, n);
    const Status st = b->upload(b, to, host, (size_t)n * sizeof *host, e);
    mem_free(host);
    return st;
  }
  if (s->targ[k] != DT_F32) TRY(b->alloc(b, (size_t)n * sizeof *tmp, (void **)&tmp, e));
  Status st = b->fill_normal(b, r, tmp, n, e);
  if (st == ST_OK && tmp != to) {
    LAUNCH(probe_store, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, of(b)->c.stream,
           tmp, to, s->targ[k], n);
    st = cuda_check("probe", s, e);
  }
  if (tmp != to) b->release(b, tmp);
  return st;
}

static Status probe_run(Backend *b, DevStep *s, size_t bytes, NaiveVerdict *v, Error *e) {
  DevProgram *p = NULL;
  Status st = b->program(b, 1, s, &p, e);
  for (int run = 0; run < 3 && st == ST_OK; run++) {
    st = b->zero(b, s->out, bytes, e);
    if (st == ST_OK) st = b->run(b, p, e);
  }
  if (st == ST_OK) st = b->sync(b, e);
  if (st == ST_OK) st = cuda_naive_judge(b, s, v, e);
  b->program_free(b, p);
  return st;
}

Status cuda_naive_probe(Backend *b, const DevStep *s, uint64_t seed, NaiveVerdict *v, Error *e) {
  DevStep own = *s;
  void *mem[PW_MAX_ARGS + 2] = {NULL};
  Rng r = {};
  const Shape shape = s->prog         ? s->prog->out_shape
                      : s->prog_store ? s->prog_store->out_shape
                                      : s->node.shape;
  const size_t bytes = (size_t)shape_numel(shape) * dtype_size(s->tout);
  Status st = ST_OK;
  r.seed = seed;
  for (int k = 0; k < s->nargs && st == ST_OK; k++) {
    if (!s->arg[k]) continue;
    st = b->alloc(b, (size_t)shape_numel(s->shape[k]) * dtype_size(s->targ[k]), &mem[k], e);
    if (st == ST_OK) st = probe_fill(b, s, k, mem[k], &r, e);
    own.arg[k] = mem[k];
  }
  const size_t scratch = st == ST_OK ? b->scratch(b, &own) : 0;
  if (st == ST_OK) st = b->alloc(b, bytes, &mem[PW_MAX_ARGS], e);
  if (st == ST_OK && scratch) st = b->alloc(b, scratch, &mem[PW_MAX_ARGS + 1], e);
  own.out = mem[PW_MAX_ARGS];
  own.scratch = mem[PW_MAX_ARGS + 1];
  if (st == ST_OK) st = probe_run(b, &own, bytes, v, e);
  for (int k = 0; k < PW_MAX_ARGS + 2; k++) b->release(b, mem[k]);
  return st;
}
