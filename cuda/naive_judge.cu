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

/* mem: a NaiveWorst, want [n] and tol [n] floats; scratch: of the definition; planes: of operands,
 * and last of the result, that lie with their channels last. */
typedef struct JudgeMemory {
  void *mem;
  void *scratch;
  void *planes[PW_MAX_ARGS + 1];
} JudgeMemory;

static Shape naive_shape(const DevStep *s) {
  return s->prog ? s->prog->out_shape : s->prog_store ? s->prog_store->out_shape : s->node.shape;
}

/* *map, of this shape and type, becomes a copy in planes in *mem where it lies otherwise. */
static Status naive_plane(Backend *b, Shape s, MapLayout *l, const void **map, void **mem,
                          Error *e) {
  if (!l->last) return ST_OK;
  TRY(b->alloc(b, (size_t)shape_numel(s) * sizeof(uint16_t), mem, e));
  naive_to_planes(&of(b)->c, s, *l, *map, *mem);
  *map = *mem;
  *l = MapLayout{};
  return cuda_check("planes", NULL, e);
}

/* The step on planes, and its result in planes. */
static Status naive_planes(Backend *b, DevStep *s, JudgeMemory *m, Error *e) {
  for (int k = 0; k < s->nargs; k++)
    if (s->arg[k]) TRY(naive_plane(b, s->shape[k], &s->lies[k], &s->arg[k], &m->planes[k], e));
  return naive_plane(b, naive_shape(s), &s->out_lies, (const void **)&s->out,
                     &m->planes[PW_MAX_ARGS], e);
}

/* Numbers around the result that are not zero make it wrong. */
static Status naive_judge_margin(Backend *b, const DevStep *s, void *mem, NaiveVerdict *v,
                                 Error *e) {
  int64_t dirty = 0;
  if (!s->out_lies.last) return ST_OK;
  naive_count_margin(&of(b)->c, naive_shape(s), s->out_lies, s->out, (int64_t *)mem);
  TRY(cuda_check("margin", s, e));
  TRY(b->download(b, &dirty, mem, sizeof dirty, e));
  v->bad += dirty;
  if (dirty) v->worst = (double)INFINITY;
  return ST_OK;
}

static Status naive_judge_in(Backend *b, const DevStep *s, int64_t n, float terms, JudgeMemory *m,
                             NaiveVerdict *v, Error *e) {
  const CudaCtx *c = &of(b)->c;
  const size_t scratch = cuda_naive_scratch(s);
  DevStep plain = *s;
  TRY(b->alloc(b, 256 + (size_t)n * 2 * sizeof(float), &m->mem, e));
  if (scratch) TRY(b->alloc(b, scratch, &m->scratch, e));
  TRY(naive_planes(b, &plain, m, e));
  NaiveWorst w = {}, *dev = (NaiveWorst *)m->mem;
  float *want = (float *)((char *)m->mem + 256), *tol = want + n;
  const NaiveOut o = {want, DT_F32, tol, 0, NAIVE_EXACT, terms};
  TRY(naive_run(c, &plain, o, m->scratch, e));
  LAUNCH(naive_compare, dim3(1), dim3(NAIVE_THREADS), 0, c->stream, plain.out, s->tout, want, tol,
         n, dev);
  TRY(cuda_check("comparison", s, e));
  TRY(b->download(b, &w, dev, sizeof w, e));
  *v = (NaiveVerdict){w.bad, w.worst, w.at, w.got, w.want};
  return naive_judge_margin(b, s, m->mem, v, e);
}

static Status judge_one(Backend *b, const DevStep *s, float terms, NaiveVerdict *v, Error *e) {
  const int64_t n = shape_numel(naive_shape(s));
  JudgeMemory m = {};
  *v = (NaiveVerdict){};
  if (n == 0) return ST_OK;
  const Status st = naive_judge_in(b, s, n, terms, &m, v, e);
  for (int k = 0; k <= PW_MAX_ARGS; k++) b->release(b, m.planes[k]);
  b->release(b, m.scratch);
  b->release(b, m.mem);
  return st;
}

/* As the kernels round what they multiply (type_of, conv.cu): a sum has too many terms for bounds
 * on what that may be off. */
static NaiveOperands judge_operands(const CudaCtx *c, const DevStep *s) {
  if (c->rung[cuda_kind(s)] != RUNG_FAST) return NAIVE_EXACT;
  if (s->targ[0] == DT_F16) return NAIVE_F16;
  if (c->precision == PREC_STRICT || c->arch < 80) return NAIVE_EXACT;
  return s->targ[0] == DT_BF16 ? NAIVE_BF16 : NAIVE_TF32;
}

static Status judge_map_in(Backend *b, DevStep s, JudgeMemory *m, void *map, Error *e) {
  const NaiveOut o = {map, DT_F32, NULL, 0, judge_operands(&of(b)->c, &s), 0};
  TRY(naive_planes(b, &s, m, e));
  TRY(naive_run(&of(b)->c, &s, o, NULL, e));
  return b->sync(b, e);
}

/* What the store of s leaves, as floats in planes. */
static Status judge_map(Backend *b, const DevStep *s, void *map, Error *e) {
  JudgeMemory m = {};
  const Status st = judge_map_in(b, *s, &m, map, e);
  for (int k = 0; k <= PW_MAX_ARGS; k++) b->release(b, m.planes[k]);
  return st;
}

/* Where what a convolution made is rounded before it is summed, some terms are rounded to the other
 * side of what double makes of its long sums: a quarter of the last place, at random. */
static float judge_terms(const DevStep *s) {
  const PwProgram *p = s->prog_store;
  if (s->node.op == OP_upfirdn2d || !p->stored_at) return 0;
  return p->stored_as == DT_F16 ? 0x1p-13f : 0x1p-10f;
}

static Status judge_of(Backend *b, const DevStep *s, int r, void *map, NaiveVerdict *v, Error *e) {
  PwProgram one;
  if (map) { /* what is summed may be another value than what is stored */
    one = *s->prog_store;
    one.result = one.more[r - 1].result;
    one.nmore = 0;
    DevStep summed = *s;
    summed.prog_store = &one;
    TRY(judge_map(b, &summed, map, e));
  }
  const DevStep t = naive_single(s, r, (const float *)map, &one);
  return judge_one(b, &t, map ? judge_terms(s) : 0, v, e);
}

/* Result r; a sum of what a store leaves is of the numbers before they were rounded. */
static Status judge_result(Backend *b, const DevStep *s, int r, NaiveVerdict *v, Error *e) {
  void *map = NULL;
  if (r && s->prog_store)
    TRY(b->alloc(b, (size_t)shape_numel(s->node.shape) * sizeof(float), &map, e));
  const Status st = judge_of(b, s, r, map, v, e);
  b->release(b, map);
  return st;
}

Status cuda_naive_judge(Backend *b, const DevStep *s, NaiveVerdict *v, Error *e) {
  *v = (NaiveVerdict){};
  for (int r = 0; r < naive_results(s); r++) {
    NaiveVerdict w;
    if (r == 0 && s->prog_store && s->prog_store->unstored) continue;
    TRY(judge_result(b, s, r, &w, e));
    w.bad += v->bad;
    if (r && v->worst >= w.worst) {
      v->bad = w.bad;
    } else
      *v = w;
  }
  return ST_OK;
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

static Status probe_geometry_fill(Backend *b, int64_t n, void *to, Rng *r, Error *e) {
  float *host = (float *)mem_alloc((size_t)n * sizeof *host);
  if (!host) return err_set(e, ST_NOMEM, "cuda: out of memory for a probe");
  rng_fill_normal(r, host, n);
  probe_geometry(host, n);
  const Status st = b->upload(b, to, host, (size_t)n * sizeof *host, e);
  mem_free(host);
  return st;
}

/* Normals to `to` as they are stored; tmp: [n] floats. */
static Status probe_convert(Backend *b, DType t, int64_t n, float *tmp, void *to, Rng *r,
                            Error *e) {
  TRY(b->fill_normal(b, r, tmp, n, e));
  LAUNCH(probe_store, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, of(b)->c.stream,
         tmp, to, t, n);
  return cuda_check("probe", NULL, e);
}

Status cuda_naive_fill(Backend *b, DType t, int64_t n, Rng *r, void *to, Error *e) {
  void *tmp = NULL;
  if (n == 0) return ST_OK;
  if (t == DT_F32) return b->fill_normal(b, r, (float *)to, n, e);
  TRY(b->alloc(b, (size_t)n * sizeof(float), &tmp, e));
  const Status st = probe_convert(b, t, n, (float *)tmp, to, r, e);
  b->release(b, tmp);
  return st;
}

static Status probe_fill(Backend *b, const DevStep *s, int k, void *to, Rng *r, Error *e) {
  const int64_t n = shape_numel(s->shape[k]);
  const bool geometry = k == 1 && (s->node.op == OP_warp || s->node.op == OP_warp_t);
  if (geometry && !s->prog && n) return probe_geometry_fill(b, n, to, r, e);
  if (!s->lies[k].last) return cuda_naive_fill(b, s->targ[k], n, r, to, e);
  void *planes = NULL;
  TRY(b->alloc(b, (size_t)n * sizeof(uint16_t), &planes, e));
  const Status st = cuda_naive_fill(b, s->targ[k], n, r, planes, e);
  naive_from_planes(&of(b)->c, s->shape[k], s->lies[k], planes, to);
  b->release(b, planes);
  return st == ST_OK ? cuda_check("probe", s, e) : st;
}

/* What a kernel leaves out is NaN. */
static __global__ void probe_poison(uint16_t *to, int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS)
    to[i] = 0xffff;
}

/* Bytes of result r. */
static size_t probe_bytes(const DevStep *s, int r) {
  PwProgram one;
  const DevStep t = naive_single(s, r, NULL, &one);
  return (size_t)map_numel(naive_shape(&t), t.out_lies) * dtype_size(t.tout);
}

static Status probe_runs(Backend *b, DevProgram *p, const DevStep *s, Error *e) {
  for (int run = 0; run < 3; run++) {
    for (int r = 0; r < naive_results(s); r++) {
      const int64_t n = (int64_t)(probe_bytes(s, r) / sizeof(uint16_t));
      LAUNCH(probe_poison, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0,
             of(b)->c.stream, (uint16_t *)(r ? s->more[r - 1] : s->out), n);
      TRY(cuda_check("probe", s, e));
    }
    TRY(b->run(b, p, e));
  }
  return b->sync(b, e);
}

enum { PROBE_OUT = PW_MAX_ARGS, PROBE_SCRATCH = PROBE_OUT + 1 + PW_MAX_MORE, PROBE_BLOCKS };

/* A convolution that reads prepared weights (operand 2): its weights, which it no longer reads, are
 * what the definition wants. */
static bool probe_is_prepared(const DevStep *s) {
  return !s->prog && (s->node.op == OP_conv2d || s->node.op == OP_conv2d_dx) && s->nargs > 2 &&
         s->arg[2];
}

static Status probe_prepare(Backend *b, const DevStep *s, Error *e) {
  DevStep prep = {};
  DevProgram *p = NULL;
  DevStep plain = *s;
  plain.arg[2] = NULL;
  plain.node.in[2] = 0;
  if (!b->prepare(b, &plain, &prep.node))
    return err_set(e, ST_INTERNAL, "cuda: a convolution has weights prepared that it cannot take");
  prep.nargs = 1;
  prep.shape[0] = s->shape[1];
  prep.arg[0] = s->arg[1];
  prep.out = (void *)s->arg[2];
  TRY(b->program(b, 1, &prep, &p, e));
  const Status st = b->run(b, p, e);
  b->program_free(b, p);
  return st;
}

static Status probe_operands(Backend *b, DevStep *s, uint64_t seed, void **mem, Error *e) {
  Rng r = {};
  const bool prepared = probe_is_prepared(s);
  r.seed = seed;
  if (prepared) s->arg[1] = s->arg[2]; /* there, too */
  for (int k = 0; k < s->nargs; k++) {
    if (!s->arg[k]) continue;
    TRY(b->alloc(b, (size_t)map_numel(s->shape[k], s->lies[k]) * dtype_size(s->targ[k]), &mem[k],
                 e));
    TRY(probe_fill(b, s, k, mem[k], &r, e));
    s->arg[k] = mem[k];
  }
  return prepared ? probe_prepare(b, s, e) : ST_OK;
}

static Status probe_in(Backend *b, DevStep *s, uint64_t seed, void **mem, NaiveVerdict *v,
                       Error *e) {
  DevProgram *p = NULL;
  TRY(probe_operands(b, s, seed, mem, e));
  for (int r = 0; r < naive_results(s); r++) {
    TRY(b->alloc(b, probe_bytes(s, r), &mem[PROBE_OUT + r], e));
    if (r) s->more[r - 1] = mem[PROBE_OUT + r];
  }
  TRY(b->alloc(b, b->scratch(b, s), &mem[PROBE_SCRATCH], e));
  s->out = mem[PROBE_OUT];
  s->scratch = mem[PROBE_SCRATCH];
  TRY(b->program(b, 1, s, &p, e));
  const Status st = probe_runs(b, p, s, e);
  b->program_free(b, p);
  TRY(st);
  return cuda_naive_judge(b, s, v, e);
}

Status cuda_naive_probe(Backend *b, const DevStep *s, uint64_t seed, NaiveVerdict *v, Error *e) {
  DevStep own = *s;
  void *mem[PROBE_BLOCKS] = {NULL};
  const Status st = probe_in(b, &own, seed, mem, v, e);
  for (int k = 0; k < PROBE_BLOCKS; k++) b->release(b, mem[k]);
  return st;
}
