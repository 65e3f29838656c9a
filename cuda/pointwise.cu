/* pointwise.cu: fused loops of elementwise operations: the program for the device, and the loop
 * without a reduction. */
#include "cuda/pointwise.cuh"
#include <math.h>
#include <string.h>
#include "cuda/map.cuh"

Status cuda_too_large(const char *what, Error *e) {
  return err_set(e, ST_INVALID,
                 "cuda %s: a value has more than 2^31-1 elements; use a smaller batch", what);
}

/* ---- program: from registers to one accumulator ---- */
typedef struct MicroOf {
  uint8_t code;
  uint8_t reversed;
  uint8_t unary;
} MicroOf;
static MicroOf micro_of(const PwOp *o) {
  switch (o->op) {
    case OP_add: return MicroOf{MO_ADD, MO_ADD, 0};
    case OP_sub: return MicroOf{MO_SUB, MO_SUB_R, 0};
    case OP_mul: return MicroOf{MO_MUL, MO_MUL, 0};
    case OP_div: return MicroOf{MO_DIV, MO_DIV_R, 0};
    case OP_maximum: return MicroOf{MO_MAX, MO_MAX_R, 0};
    case OP_lrelu_mask:
      return o->param.lrelu.limit < 0 ? MicroOf{MO_SLOPE, MO_SLOPE_R, 0}
                                      : MicroOf{MO_LRELU_MASK, MO_LRELU_MASK_R, 0};
    case OP_clamp_mask: return MicroOf{MO_CLAMP_MASK, MO_CLAMP_MASK_R, 0};
    case OP_neg: return MicroOf{MO_NEG, 0, 1};
    case OP_axpb: return MicroOf{MO_AXPB, 0, 1};
    case OP_square: return MicroOf{MO_SQUARE, 0, 1};
    case OP_sqrt0: return MicroOf{MO_SQRT, 0, 1};
    case OP_rsqrt0: return MicroOf{MO_RSQRT, 0, 1};
    case OP_exp: return MicroOf{MO_EXP, 0, 1};
    case OP_log: return MicroOf{MO_LOG, 0, 1};
    case OP_sigmoid: return MicroOf{MO_SIGMOID, 0, 1};
    case OP_tanh: return MicroOf{MO_TANH, 0, 1};
    case OP_softplus: return MicroOf{MO_SOFTPLUS, 0, 1};
    case OP_abs: return MicroOf{MO_ABS, 0, 1};
    case OP_sign: return MicroOf{MO_SIGN, 0, 1};
    case OP_gt0: return MicroOf{MO_GT0, 0, 1};
    case OP_lrelu: return MicroOf{MO_LRELU, 0, 1};
    case OP_clamp: return MicroOf{MO_CLAMP, 0, 1};
    default: return MicroOf{MO_COPY, 0, 1}; /* broadcast */
  }
}

/* Slopes and limits ready for use. */
static MicroParam micro_param(const PwOp *o) {
  MicroParam p = {};
  if (o->op == OP_lrelu || o->op == OP_lrelu_mask) {
    const PwLrelu a = o->param.lrelu;
    p.slopes = PwSlopes{a.slope * a.gain, a.gain, a.limit < 0 ? INFINITY : a.limit};
  } else if (o->op == OP_axpb)
    p.axpb = o->param.axpb;
  else
    p.clamp = o->param.clamp;
  return p;
}

typedef struct Lower {
  PwDev *d;
  int last_use[PW_MAX_OPS];
  bool in_slot[PW_MAX_OPS];
  uint8_t slot[PW_MAX_OPS];
  int user[PW_MAX_REGS];
  int end[PW_MAX_OPS]; /* the last step of each operation */
} Lower;

/* The value an operand code stands for: argument k -> k, result of operation j -> PW_ACC + j. */
static int value_of(const int *writer, int code) {
  return code < 0 ? -1 - code : PW_ACC + writer[code];
}

static uint8_t loop_source(const Lower *l, int value, int acc) {
  if (value < PW_ACC) return (uint8_t)value;
  return value - PW_ACC == acc ? (uint8_t)PW_ACC : (uint8_t)(PW_SLOT + l->slot[value - PW_ACC]);
}

static void loop_emit(PwDev *d, uint8_t code, uint8_t src, MicroParam param) {
  d->op[d->nop++] = PwMicro{code, src, PW_NO_SLOT, 0, param};
}

/* A slot for the result of operation i; free are those whose value is not read after i. */
static uint8_t take_slot(Lower *l, int i) {
  for (int s = 0; s < PW_MAX_REGS; s++) {
    if (l->user[s] >= 0 && l->last_use[l->user[s]] > i) continue;
    l->user[s] = i;
    l->d->nslot = PRLX_MAX(l->d->nslot, s + 1);
    return (uint8_t)s;
  }
  return PW_NO_SLOT;
}

/* Where the results of a loop with several are: at the step that makes each, or a copy. */
static bool loop_mark(PwDev *d, const PwProgram *p, const int *writer, const Lower *l) {
  for (int r = 0; r <= p->nmore; r++) {
    const int code = r ? p->more[r - 1].result : p->result;
    if (code >= PW_MAX_REGS || code < -p->narg || (code >= 0 && writer[code] < 0)) return false;
    const int v = value_of(writer, code);
    if (v < PW_ACC) loop_emit(d, MO_COPY, (uint8_t)v, MicroParam{});
    d->op[v < PW_ACC ? d->nop - 1 : l->end[v - PW_ACC]].results |= (uint8_t)(1 << r);
  }
  return true;
}

static bool loop_lower(PwDev *d, const PwProgram *p) {
  Lower l = {};
  int writer[PW_MAX_REGS], a[PW_MAX_OPS], b[PW_MAX_OPS];
  l.d = d;
  for (int r = 0; r < PW_MAX_REGS; r++) writer[r] = l.user[r] = -1;
  /* who reads what; i == nop: the result, where there is one */
  for (int i = 0; i <= p->nop - (p->nmore > 0); i++) {
    const int code[2] = {i < p->nop ? p->op[i].lhs : p->result,
                         i < p->nop ? p->op[i].rhs : p->result};
    int v[2];
    for (int k = 0; k < 2; k++) {
      if (code[k] >= PW_MAX_REGS || code[k] < -p->narg || (code[k] >= 0 && writer[code[k]] < 0))
        return false;
      v[k] = value_of(writer, code[k]);
      if (v[k] >= PW_ACC) {
        const int j = v[k] - PW_ACC;
        l.last_use[j] = i;
        if (i > j + 1) l.in_slot[j] = true;
      }
    }
    if (i < p->nop) {
      a[i] = v[0];
      b[i] = v[1];
      writer[p->op[i].dst] = i;
    }
  }
  for (int i = 0; i < p->nop; i++) {
    const MicroOf m = micro_of(&p->op[i]);
    const MicroParam f = micro_param(&p->op[i]);
    if (m.unary)
      loop_emit(d, m.code, loop_source(&l, a[i], i - 1), f);
    else if (a[i] == PW_ACC + i - 1)
      loop_emit(d, m.code, loop_source(&l, b[i], i - 1), f);
    else if (b[i] == PW_ACC + i - 1)
      loop_emit(d, m.reversed, loop_source(&l, a[i], i - 1), f);
    else {
      loop_emit(d, MO_COPY, loop_source(&l, a[i], -1), MicroParam{});
      loop_emit(d, m.code, a[i] == b[i] ? (uint8_t)PW_ACC : loop_source(&l, b[i], -1), f);
    }
    if (l.in_slot[i]) d->op[d->nop - 1].slot = l.slot[i] = take_slot(&l, i);
    if (l.in_slot[i] && l.slot[i] == PW_NO_SLOT) return false;
    l.end[i] = d->nop - 1;
  }
  const int result = value_of(writer, p->result);
  if (p->nmore == 0 && (result != PW_ACC + p->nop - 1 || p->nop == 0))
    loop_emit(d, MO_COPY, loop_source(&l, result, -1), MicroParam{});
  return p->nmore == 0 || loop_mark(d, p, writer, &l);
}

/* ---- axes: neighbours that every argument walks in one stride are one axis, as in
 * core/pointwise.c ---- */
static void strides_of(Shape s, Shape iter, int64_t *st) {
  int64_t step = 1;
  for (int i = iter.rank - 1; i >= 0; i--) {
    const int64_t d = s.rank == 0 ? 1 : s.dim[i];
    st[i] = d == 1 ? 0 : step;
    step *= d;
  }
}

enum { PW_WALKS = PW_MAX_ARGS + 1 + PW_MAX_MORE };
/* What walks the axes beside the arguments: the results. */
static Shape walk_shape(const PwProgram *p, int a) {
  return a < p->narg    ? p->arg_shape[a]
         : a == p->narg ? p->out_shape
                        : p->more[a - p->narg - 1].shape;
}

static void walk_results(const int64_t (*to)[MAX_RANK], int inner, int n, PwResults *q) {
  for (int r = 0; r < n; r++) {
    q->inner_summed[r] = to[r][inner] == 0;
    for (int i = 0; i < inner; i++) q->summed[r] |= (uint32_t)(to[r][i] == 0) << i;
  }
}

static void merge_axes(PwDev *d, const PwProgram *p, PwResults *q) {
  int64_t st[PW_WALKS][MAX_RANK], to[PW_WALKS][MAX_RANK] = {}, dim[MAX_RANK] = {1};
  int rank = 0, na = p->narg + 1 + p->nmore;
  for (int a = 0; a < na; a++) strides_of(walk_shape(p, a), p->iter, st[a]);
  for (int i = 0; i < p->iter.rank; i++) {
    const int64_t n = p->iter.dim[i];
    if (n == 1) continue;
    bool merge = rank > 0;
    for (int a = 0; merge && a < na; a++) merge = to[a][rank - 1] == st[a][i] * n;
    if (!merge) dim[rank++] = 1;
    dim[rank - 1] *= n;
    for (int a = 0; a < na; a++) to[a][rank - 1] = st[a][i];
  }
  const int in = PRLX_MAX(rank, 1) - 1; /* the inner axis */
  d->outer = in;
  d->inner = (uint32_t)dim[in];
  d->row = fast_div(cuda_ceil(dim[in], PW_VEC));
  d->inner_summed = to[p->narg][in] == 0;
  d->nkept = d->nsum = 1;
  for (int r = 0; r < in; r++) {
    d->dim[r] = fast_div(dim[r]);
    if (to[p->narg][r])
      d->nkept *= dim[r];
    else {
      d->nsum *= dim[r];
      d->summed |= 1u << r;
    }
  }
  for (int a = 0; a < p->narg; a++) {
    PwArg *x = &d->arg[a];
    bool wide = to[a][in] == 1 && (in == 0 || dim[in] % PW_VEC == 0);
    for (int r = 0; r < in; r++) {
      x->stride[r] = (int32_t)to[a][r];
      wide = wide && to[a][r] % PW_VEC == 0;
    }
    x->inner = (int32_t)to[a][in];
    x->mode = x->inner == 0 ? PW_ONE : wide ? PW_WIDE : PW_EACH;
  }
  d->wide_out = in == 0 || dim[in] % PW_VEC == 0;
  if (q) walk_results(to + p->narg, in, 1 + p->nmore, q);
}

static bool loop_init(PwDev *d, const PwProgram *p, PwResults *q) {
  memset(d, 0, sizeof *d);
  if (p->nop < 0 || p->nop > PW_MAX_OPS || p->narg < 0 || p->narg > PW_MAX_ARGS || p->nmore < 0 ||
      p->nmore > PW_MAX_MORE || !loop_lower(d, p))
    return false;
  merge_axes(d, p, q);
  return true;
}

bool pw_dev_init(PwDev *d, const PwProgram *p) { return p->nmore == 0 && loop_init(d, p, NULL); }

bool pw_dev_init_several(PwDev *d, const PwProgram *p, PwResults *q) {
  memset(q, 0, sizeof *q);
  return loop_init(d, p, q);
}

static bool loop_aligned(const void *p) { return (uintptr_t)p % 16 == 0; }
void pw_dev_bind(PwDev *d, const void *const *arg, const DType *type, const void *out) {
  for (int a = 0; a < PW_MAX_ARGS; a++) {
    d->arg[a].p = arg[a];
    d->arg[a].type = (uint8_t)type[a];
    if (d->arg[a].mode == PW_WIDE && !loop_aligned(arg[a])) d->arg[a].mode = PW_EACH;
  }
  d->wide_out = d->wide_out && loop_aligned(out);
}

/* ---- the loop ---- */
/* Vector t of the loop. out may be the memory of an argument of the same shape and type: a thread
 * reads its own elements before it writes them. */
template <class D>
static __device__ __forceinline__ void pw_vector_of(const D &d, uint32_t t, void *out, int tout) {
  PwPlace at = {{}, 0, 0, DYNAMIC_SHARED(float4), (int)threadIdx.x, (int)blockDim.x};
  const uint32_t row = div_by(t, d.row);
  float v[PW_VEC];
  at.col = (t - row * d.row.d) * PW_VEC;
  at.valid = (int)min((uint32_t)PW_VEC, d.inner - at.col);
  pw_coordinates(d, ~0u, row, at.idx);
  pw_eval(d, at, v);
  const uint32_t to = row * d.inner + at.col;
  if (d.wide_out && at.valid == PW_VEC) {
    pw_store_wide(out, tout, to, v);
    return;
  }
#pragma unroll
  for (int j = 0; j < PW_VEC; j++)
    if (j < at.valid) st_any(out, (DType)tout, to + j, v[j]);
}

/* One vector per thread. */
static __global__ void __launch_bounds__(256)
    pw_map(const __grid_constant__ PwDev d, void *out, int tout, uint32_t nvec) {
  const uint32_t t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t < nvec) pw_vector_of(d, t, out, tout);
}

/* One of several small loops: its first block. */
typedef struct PwJob {
  uint32_t first;
  uint32_t nvec;
  void *out;
  int tout;
  PwSmall loop;
} PwJob;
typedef struct PwJobs {
  int count;
  PwJob of[PW_JOBS];
} PwJobs;
static_assert(sizeof(PwJobs) <= 4096, "more than a kernel takes as its arguments");

/* Block after block of one loop after the other. */
static __global__ void __launch_bounds__(256) pw_maps(const __grid_constant__ PwJobs all) {
  int mine = 0;
  while (mine + 1 < all.count && blockIdx.x >= all.of[mine + 1].first) mine++;
  const PwJob &job = all.of[mine];
  const uint32_t t = (blockIdx.x - job.first) * blockDim.x + threadIdx.x;
  if (t < job.nvec) pw_vector_of(job.loop, t, job.out, job.tout);
}

static Status pw_launch(const CudaCtx *c, const DevStep *s, const PwProgram *p, Error *e) {
  const int64_t n = shape_numel(p->iter);
  PwDev d;
  if (n == 0) return ST_OK;
  if (!cuda_fits32(n)) return cuda_too_large("pointwise", e);
  if (!pw_dev_init(&d, p))
    return err_set(e, ST_INTERNAL,
                   "cuda pointwise: a program of %d operations that reads what it did not write",
                   p->nop);
  pw_dev_bind(&d, s->arg, s->targ, s->out);
  const bool last = pw_dev_last(&d, s);
  if (last && !cuda_fits32(cuda_last_most(s))) return cuda_too_large("pointwise", e);
  if (p->reduce) return pw_sum_launch(c, s, &d, p->samples, e);
  if (last) return pw_last_launch(c, s, &d, e);
  const int threads = pw_threads(&d);
  const int64_t nvec = d.nkept * d.nsum * (int64_t)d.row.d;
  LAUNCH(pw_map, (unsigned)cuda_ceil(nvec, threads), threads, pw_slot_bytes(&d, threads), c->stream,
         d, s->out, (int)s->tout, (uint32_t)nvec);
  return cuda_check("pointwise", s, e);
}

static Status pointwise_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  if (s->prog && s->prog->nmore) return cuda_multi(c, s, e);
  if (s->prog) return pw_launch(c, s, s->prog, e);
  PwProgram p;
  pw_from_node(&s->node, s->shape, &p);
  return pw_launch(c, s, &p, e);
}

/* ---- several small loops in one launch ---- */
/* The loop of s for such a launch. False: it wants one of its own. */
static bool loop_job(const DevStep *s, PwJob *job) {
  PwDev d;
  if (!s->prog || s->prog->reduce || s->prog->narg > PW_FEW_ARGS || cuda_lies_last(s)) return false;
  const int64_t n = shape_numel(s->prog->iter);
  if (n == 0 || !cuda_fits32(n) || !pw_dev_init(&d, s->prog) || d.nop > PW_FEW_OPS ||
      pw_threads(&d) != 256)
    return false;
  pw_dev_bind(&d, s->arg, s->targ, s->out);
  pw_dev_copy(d, &job->loop);
  job->nvec = (uint32_t)(d.nkept * d.nsum * (int64_t)d.row.d);
  job->out = s->out;
  job->tout = (int)s->tout;
  return true;
}

bool cuda_loop_is_small(const DevStep *s) {
  PwJob job;
  return loop_job(s, &job);
}

int cuda_loop_count(const DevStep *s, int n) {
  int k = 0;
  while (k < PRLX_MIN(n, (int)PW_JOBS) && cuda_loop_is_small(&s[k])) k++;
  return k;
}

Status cuda_loops(const CudaCtx *c, const DevStep *s, int n, Error *e) {
  PwJobs all = {};
  uint32_t blocks = 0;
  size_t slots = 0;
  all.count = n;
  for (int k = 0; k < n; k++) {
    PwJob *job = &all.of[k];
    if (!loop_job(&s[k], job))
      return err_set(e, ST_INTERNAL, "cuda pointwise: loop %d of %d is none for one launch", k, n);
    job->first = blocks;
    blocks += (uint32_t)cuda_ceil(job->nvec, 256);
    slots = PRLX_MAX(slots, pw_slot_bytes(&job->loop, 256));
  }
  LAUNCH(pw_maps, blocks, 256, slots, c->stream, all);
  return cuda_check("pointwise", s, e);
}

static size_t pointwise_scratch(const CudaCtx *, const DevStep *s) {
  if (s->prog && s->prog->nmore) return cuda_multi_scratch(s);
  return s->prog && s->prog->reduce ? pw_sum_scratch(s) : 0;
}

static bool any_type(const DevStep *, int, DType) { return true; }

CUDA_ROW(pointwise, pointwise_launch, pointwise_scratch, any_type);
CUDA_ROW(broadcast, pointwise_launch, NULL, any_type);
