/* plan_device.c: a plan whose steps run on a backend. Which loops run in the store of a
 * convolution, which values are stored in 16 bits, where everything lies on the device, and one
 * run. The steps themselves, lifetimes and offsets are those of plan.c and plan_memory.c. */
#include <math.h>
#include <string.h>
#include "core/conv.h"
#include "core/plan_impl.h"

static bool is_conv_map(const Plan *p, const Step *s) {
  int op = p->value[s->value].node.op;
  return !s->prog && (op == OP_conv2d || op == OP_conv2d_dx);
}

/* A convolution or a filter whose store is its own: what it makes may go through a loop there. */
static bool is_conv_step(const Plan *p, const Step *s) {
  const int op = p->value[s->value].node.op;
  return is_conv_map(p, s) || (!s->prog && (op == OP_conv2d_dw || op == OP_upfirdn2d));
}

/* What a backend is told of a step before it has addresses. */
static DevStep dev_describe(const Plan *p, const Step *s) {
  DevStep d = {.node = p->value[s->conv ? s->conv : s->value].node,
               .nargs = s->nargs,
               .together = 1 + s->batch_after};
  memcpy(d.shape, s->shape, sizeof d.shape);
  if (s->conv) {
    d.prog_store = s->prog;
    d.store_from = s->store_from;
  } else
    d.prog = s->prog;
  for (int i = 0; i < s->nargs; i++)
    if (s->arg[i]) {
      const PVal *x = &p->value[plan_root(p, s->arg[i])];
      d.targ[i] = x->dtype;
      d.lies[i] = x->lies;
    }
  const PVal *out = &p->value[plan_root(p, s->value)];
  d.tout = out->dtype;
  d.out_lies = out->lies;
  for (int r = 1; r < plan_results(s); r++) {
    const PVal *x = &p->value[plan_root(p, plan_result(s, r))];
    d.tmore[r - 1] = x->dtype;
    d.more_lies[r - 1] = x->lies;
  }
  return d;
}

DevStep plan_dev_step(const Plan *p, const Step *s) { return dev_describe(p, s); }

/* ---- loops into the stores of convolutions ---- */

/* of a value with memory: steps that read it, the step that makes it, is it an output */
typedef struct Use {
  int readers;
  int producer;
  bool read_out;
} Use;

static Use *dev_uses(const Plan *p) {
  Use *u = mem_alloc((size_t)p->n * sizeof *u);
  if (!u) return NULL;
  for (Val v = 1; v < p->n; v++) {
    u[v].producer = -1;
    if (p->value[v].alive && p->value[v].output) u[plan_root(p, v)].read_out = true;
  }
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    for (int r = 0; r < plan_results(s); r++) u[plan_result(s, r)].producer = k;
    for (int i = 0; i < s->nargs; i++)
      if (s->arg[i]) u[plan_root(p, s->arg[i])].readers++;
  }
  return u;
}

/* A weight gradient stays where it is, so that its maps, the largest there are, do not wait for
 * what else the loop reads: that must be there. */
static bool is_last_made(const Plan *p, const Use *u, int c, const Step *l, int i) {
  if (p->value[p->step[c].value].node.op != OP_conv2d_dw) return true;
  for (int j = 0; j < l->nargs; j++)
    if (j != i && l->arg[j] && u[plan_root(p, l->arg[j])].producer > c) return false;
  return true;
}

/* The step whose result argument i of loop k may take over from registers, or -1. */
static int store_candidate(const Plan *p, const Use *u, int k, int i) {
  const Step *l = &p->step[k];
  Val v = l->arg[i];
  int c = v ? u[v].producer : -1;
  if (c < 0 || !is_conv_step(p, &p->step[c]) || u[v].readers != 1 || u[v].read_out ||
      (c < p->nfold) != (k < p->nfold) || (c < p->nkept) != (k < p->nkept) ||
      !is_last_made(p, u, c, l, i))
    return -1;
  if (!shape_eq(p->value[v].node.shape, l->prog->iter) ||
      !shape_eq(l->prog->arg_shape[i], l->prog->iter))
    return -1;
  DevStep d = dev_describe(p, &p->step[c]);
  return p->backend->can_store(p->backend, &d, l->prog, i) ? c : -1;
}

/* Step k becomes the convolution of step c with the loop in its store (of a weight gradient: step
 * c); the other is left without a value and removed later. */
static void dev_merge(Plan *p, int c, int k, int from) {
  Step *l = &p->step[k], *s = &p->step[c];
  Step m = {.value = l->value,
            .prog = l->prog,
            .conv = s->value,
            .store_from = from,
            .nargs = MAX_IN + l->nargs,
            .flop = s->flop};
  for (int i = 0; i < s->nargs; i++) {
    m.arg[i] = s->arg[i];
    m.shape[i] = s->shape[i];
  }
  for (int i = 0; i < l->nargs; i++) {
    m.arg[MAX_IN + i] = i == from ? 0 : l->arg[i];
    m.shape[MAX_IN + i] = l->shape[i];
  }
  const bool stays = p->value[s->value].node.op == OP_conv2d_dw;
  p->value[s->value].step = false;
  *(stays ? s : l) = m;
  *(stays ? l : s) = (Step){0};
}

/* Those that were left without a value. */
static void drop_steps(Plan *p) {
  int n = 0, fold = 0, kept = 0;
  for (int k = 0; k < p->nstep; k++) {
    if (!p->step[k].value) continue;
    fold += k < p->nfold;
    kept += k < p->nkept;
    p->step[n++] = p->step[k];
  }
  p->nstep = n;
  p->nfold = fold;
  p->nkept = kept;
}

/* Of two steps whose stores could take a loop: a filter sums what it stores, a convolution does
 * not; else the larger product. */
static bool is_better_store(const Plan *p, int a, int b) {
  const bool filter = p->value[p->step[a].value].node.op == OP_upfirdn2d,
             other = p->value[p->step[b].value].node.op == OP_upfirdn2d;
  return filter == other ? p->step[a].flop > p->step[b].flop : filter;
}

static void fuse_stores(Plan *p, const Use *u) {
  for (int k = 0; k < p->nstep; k++) {
    const Step *l = &p->step[k];
    if (!l->prog || l->prog->reduce || MAX_IN + l->nargs > PW_MAX_ARGS) continue;
    int best = -1, from = 0;
    for (int i = 0; i < l->nargs; i++) {
      int c = store_candidate(p, u, k, i);
      if (c >= 0 && (best < 0 || is_better_store(p, c, best))) {
        best = c;
        from = i;
      }
    }
    if (best >= 0) dev_merge(p, best, k, from);
  }
  drop_steps(p);
}

/* Does another step than c..k read v between them? It would have to wait for k. */
static bool is_read_between(const Plan *p, Val v, int c, int k) {
  for (int j = c + 1; j < k; j++)
    for (int i = 0; i < p->step[j].nargs; i++)
      if (p->step[j].arg[i] && plan_root(p, p->step[j].arg[i]) == v) return true;
  return false;
}

/* The step that makes argument i of loop k, which others read, too, or -1; *q: the loop in its
 * store, with that argument as a second result. */
static int tap_candidate(const Plan *p, const Use *u, int k, int i, PwProgram *q) {
  const Step *l = &p->step[k];
  const Val v = l->arg[i];
  const int c = v ? u[v].producer : -1;
  if (c < 0 || !is_conv_step(p, &p->step[c]) || p->value[v].node.op == OP_conv2d_dw ||
      u[v].read_out || u[v].readers < 2 || (c < p->nfold) != (k < p->nfold) ||
      (c < p->nkept) != (k < p->nkept) || is_read_between(p, v, c, k) ||
      !shape_eq(p->value[v].node.shape, l->prog->iter) ||
      !shape_eq(l->prog->arg_shape[i], l->prog->iter))
    return -1;
  *q = *l->prog;
  q->more[q->nmore++] = (PwMore){(int8_t)(-1 - i), q->iter};
  DevStep d = dev_describe(p, &p->step[c]);
  return p->backend->can_store(p->backend, &d, q, i) ? c : -1;
}

/* Loops behind convolutions and filters whose own results others read: the store makes both. */
static void fuse_taps(Plan *p, const Use *u) {
  for (int k = 0; p->backend->several && k < p->nstep; k++) {
    Step *l = &p->step[k];
    if (!l->prog || l->conv || l->prog->reduce || MAX_IN + l->nargs > PW_MAX_ARGS) continue;
    for (int i = 0; i < l->nargs; i++) {
      const Val v = l->arg[i];
      PwProgram q;
      const int c = tap_candidate(p, u, k, i, &q);
      if (c < 0) continue;
      *l->prog = q;
      dev_merge(p, c, k, i);
      l->more[0] = v;
      p->value[v].step = true;
      break;
    }
  }
  drop_steps(p);
}

/* ---- storage types ---- */

/* Feature maps larger than 4x4, as in the reference (SEMANTICS 2.5); images, weights, gradients of
 * weights, statistics stay float. */
bool plan_is_map(const Plan *p, Val v) {
  const PVal *x = &p->value[v];
  const Shape s = x->node.shape;
  return x->alive && !x->folded && !x->output && x->node.op != OP_conv2d_dw && s.rank == 4 &&
         s.dim[1] > 4 && s.dim[2] * s.dim[3] > 16;
}

static bool is_stored_map(const Plan *p, Val v, const Use *u) {
  return p->value[v].step && p->value[v].root == v && !u[v].read_out && plan_is_map(p, v);
}

static bool is_sixteen(Precision p) { return p == PREC_F16 || p == PREC_BF16; }

static void storage_types(Plan *p, const Use *u) {
  Precision pr = p->backend->precision;
  if (!is_sixteen(pr)) return;
  DType t = pr == PREC_F16 ? DT_F16 : DT_BF16;
  for (Val v = 1; v < p->n; v++)
    if (is_stored_map(p, v, u)) p->value[v].dtype = t;
  /* each maker and reader must be able to, also beside what became float meanwhile */
  for (bool changed = true; changed;) {
    changed = false;
    for (int k = 0; k < p->nstep; k++) {
      const Step *s = &p->step[k];
      DevStep d = dev_describe(p, s);
      for (int r = 0; r < plan_results(s); r++)
        if ((r ? d.tmore[r - 1] : d.tout) == t &&
            !p->backend->supports(p->backend, &d, -1 - r, t)) {
          p->value[plan_root(p, plan_result(s, r))].dtype = DT_F32;
          changed = true;
        }
      for (int i = 0; i < s->nargs; i++)
        if (s->arg[i] && d.targ[i] == t && !p->backend->supports(p->backend, &d, i, t)) {
          p->value[plan_root(p, s->arg[i])].dtype = DT_F32;
          changed = true;
        }
    }
  }
}

/* ---- weights laid out ahead ---- */

/* The step of a new one runs as often as its weights change. */
static Val prep_value(Plan *p, Val first, const Node *prep) {
  const int n = p->n;
  const Val u = plan_prep_value(p, first, prep);
  if (p->n == n) return u;
  PVal *x = &p->value[u];
  int stage = 0;
  for (int i = 0; i < prep->nin; i++) stage = PRLX_MAX(stage, plan_stage(&p->value[prep->in[i]]));
  x->alive = x->step = true;
  x->folded = stage == 0;
  x->kept = stage == 1;
  x->root = u;
  return u;
}

static bool is_float(const Plan *p, Val v) { return p->value[plan_root(p, v)].dtype == DT_F32; }

/* Argument i of the loop is all of the weights, the other a number for each of their rows. */
static bool is_rows_factor(const PwProgram *q, int i) {
  const Shape s = q->arg_shape[1 - i];
  return s.rank == 4 && shape_eq(q->arg_shape[i], q->iter) && s.dim[0] == q->iter.dim[0] &&
         s.dim[1] * s.dim[2] * s.dim[3] == 1;
}

/* The step that makes v, where it is a loop of this operation and no more; NULL otherwise. */
static const Step *prep_loop(const Plan *p, Val v, OpId op) {
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    const PwProgram *q = s->prog;
    if (s->value == v && q && !s->conv && !q->reduce && !q->nmore && q->nop == 1 &&
        q->op[0].op == op)
      return s;
  }
  return NULL;
}

/* The value that w is a multiple of, where a loop makes it so: laying out may multiply instead. w
 * itself, and *gain as it was, otherwise. */
static Val prep_source(const Plan *p, Val w, float *gain) {
  const Step *s = prep_loop(p, w, OP_axpb);
  const PwOp *o = s ? &s->prog->op[0] : NULL;
  if (!o || o->lhs != -1 || o->param.axpb.shift != 0 || o->param.axpb.scale == 0 ||
      !shape_eq(s->prog->arg_shape[0], s->prog->iter) || !is_float(p, s->arg[0]))
    return w;
  *gain = (float)o->param.axpb.scale;
  return s->arg[0];
}

/* The same of a product with a number for each row of the weights, which is *rows then. */
static Val prep_rows(const Plan *p, Val w, Val *rows) {
  const Step *s = prep_loop(p, w, OP_mul);
  if (!s || s->nargs != 2 || !is_float(p, s->arg[0]) || !is_float(p, s->arg[1])) return w;
  for (int i = 0; i < 2; i++)
    if (is_rows_factor(s->prog, i)) {
      *rows = s->arg[1 - i];
      return s->arg[i];
    }
  return w;
}

/* The value that w is with its first two axes swapped, where a step makes it so: laying out may
 * read that instead. w itself otherwise. */
static Val prep_swapped(const Plan *p, Val w, int32_t *swapped) {
  static const int32_t axis[4] = {1, 0, 2, 3};
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    const Node *n = &p->value[s->value].node;
    if (s->value != w || s->prog || n->op != OP_permute || n->shape.rank != 4 ||
        memcmp(n->attr.permute.axis, axis, sizeof axis) != 0 ||
        p->value[plan_root(p, s->arg[0])].dtype != DT_F32)
      continue;
    *swapped = 1;
    return s->arg[0];
  }
  return w;
}

/* Gives the convolution of step k prepared weights where the backend wants some. */
static Status prep_take(Plan *p, Val first, int k, Error *e) {
  Step *s = &p->step[k];
  const Val c = s->conv ? s->conv : s->value;
  const DevStep d = dev_describe(p, s);
  Node prep = {0};
  if ((!s->conv && !is_conv_map(p, s)) || d.node.op == OP_conv2d_dw || d.node.op == OP_upfirdn2d ||
      !p->backend->prepare(p->backend, &d, &prep))
    return ST_OK;
  prep.in[0] = prep_swapped(p, s->arg[1], &prep.attr.conv.swapped);
  prep.in[0] = prep_rows(p, prep.in[0], &prep.in[1]);
  if (prep.in[1]) prep.nin = 2;
  prep.in[0] = prep_source(p, prep.in[0], &prep.attr.conv.gain);
  const Val u = prep_value(p, first, &prep);
  if (!u) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  Node *n = &p->value[c].node;
  n->in[2] = s->arg[2] = u;
  s->shape[2] = prep.shape;
  s->arg[1] = 0;
  n->nin = MAX_IN;
  s->nargs = PRLX_MAX(s->nargs, MAX_IN);
  return ST_OK;
}

/* The step of value u, once. */
static void prep_emit(Plan *p, Step *to, int *n, Val u, bool *done) {
  const Node *prep = &p->value[u].node;
  if (*done) return;
  *done = true;
  to[*n] = (Step){.value = u, .nargs = prep->nin};
  for (int i = 0; i < prep->nin; i++) {
    to[*n].arg[i] = prep->in[i];
    to[*n].shape[i] = p->value[prep->in[i]].node.shape;
  }
  ++*n;
}

/* Each prep before the first step that reads it; one that is made less often than that step runs,
 * at the end of its stage. */
static Status prep_place(Plan *p, Val first, Error *e) {
  const int preps = p->n - first, count = p->nstep + preps;
  Step *to = mem_alloc((size_t)(count + 1) * sizeof *to);
  bool *done = mem_alloc((size_t)(preps + 1) * sizeof *done);
  int n = 0, end[2] = {0};
  if (!to || !done) {
    mem_free(to);
    mem_free(done);
    return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  }
  for (int k = 0; k <= p->nstep; k++) {
    for (int stage = 0; stage < 2; stage++) {
      if (k != (stage ? p->nkept : p->nfold)) continue;
      for (Val u = first; u < p->n; u++)
        if (plan_stage(&p->value[u]) == stage) prep_emit(p, to, &n, u, &done[u - first]);
      end[stage] = n;
    }
    if (k == p->nstep) break;
    const Step *s = &p->step[k];
    if (s->arg[2] >= first) prep_emit(p, to, &n, s->arg[2], &done[s->arg[2] - first]);
    to[n++] = *s;
  }
  mem_free(p->step);
  mem_free(done);
  p->step = to;
  p->nstep = n;
  p->cap_step = count + 1;
  p->nfold = end[0];
  p->nkept = end[1];
  return ST_OK;
}

/* Loops and permutations whose result is laid out from what they read, read by nobody else. From
 * the last to the first: what only such steps read goes with them. */
static Status drop_unread(Plan *p, Error *e) {
  Use *u = dev_uses(p);
  if (!u) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (int k = p->nstep - 1; k >= 0; k--) {
    Step *s = &p->step[k];
    if (!s->value || u[s->value].readers || u[s->value].read_out) continue;
    if (s->prog ? s->conv || s->prog->nmore : p->value[s->value].node.op != OP_permute) continue;
    for (int i = 0; i < s->nargs; i++)
      if (s->arg[i]) u[plan_root(p, s->arg[i])].readers--;
    p->value[s->value].step = false;
    mem_free(s->prog);
    *s = (Step){0};
  }
  mem_free(u);
  drop_steps(p);
  return ST_OK;
}

static Status prepare_weights(Plan *p, Error *e) {
  const Val first = p->n;
  if (!p->backend->prepare) return ST_OK;
  for (int k = 0; k < p->nstep; k++) TRY(prep_take(p, first, k, e));
  if (p->n == first) return ST_OK;
  TRY(prep_place(p, first, e));
  return drop_unread(p, e);
}

/* ---- small steps side by side ---- */
static Status order_steps(Plan *p, Error *e) {
  Backend *b = p->backend;
  if (!b->batch_kind) return ST_OK;
  int8_t *kind = mem_alloc((size_t)p->nstep + 1);
  if (!kind) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (int k = 0; k < p->nstep; k++) {
    const DevStep d = dev_describe(p, &p->step[k]);
    kind[k] = (int8_t)b->batch_kind(b, &d);
  }
  const Status st = plan_batch(p, kind, e);
  mem_free(kind);
  return st;
}

static bool is_read_leaf(const PVal *x, const Use *u, Val v) {
  return x->alive && (x->node.op == OP_param || x->node.op == OP_constant) &&
         (u[v].readers || u[v].read_out);
}

Status plan_dev_lower(Plan *p, bool fuse, Error *e) {
  if (sizeof(real) != sizeof(float))
    return err_set(e, ST_INTERNAL, "plan: %s computes in float; this build has real = double",
                   p->backend->name);
  if (fuse && p->backend->several) {
    TRY(plan_outer(p, e));
    TRY(drop_unread(p, e));
  }
  if (fuse && is_sixteen(p->backend->precision)) plan_recover(p);
  for (int k = 0; k < p->nstep; k++)
    if (p->step[k].prog)
      memcpy(p->step[k].shape, p->step[k].prog->arg_shape, sizeof p->step[k].shape);
  Use *u = dev_uses(p);
  if (!u) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  if (fuse) fuse_stores(p, u);
  mem_free(u);
  if (!(u = dev_uses(p))) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  if (fuse) fuse_taps(p, u);
  mem_free(u);
  if (!(u = dev_uses(p))) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  storage_types(p, u);
  mem_free(u);
  TRY(prepare_weights(p, e));
  if (fuse) TRY(plan_scales(p, e));
  TRY(plan_layouts(p, e));
  if (fuse) plan_scales_back(p);
  if (fuse && p->backend->several) {
    TRY(plan_stores(p, e));
    plan_ups(p);
    TRY(plan_dots(p, e));
    TRY(plan_stores(p, e)); /* what reads those */
    TRY(plan_froms(p, e));
  }
  if (fuse) TRY(plan_multi(p, e));
  if (fuse) TRY(order_steps(p, e));
  if (!(u = dev_uses(p))) return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (Val v = 1; v < p->n; v++)
    if (is_read_leaf(&p->value[v], u, v)) {
      p->value[v].private_leaf = !backend_device(p->backend, p->value[v].node.data);
      if (p->value[v].private_leaf)
        p->leaf_bytes += plan_round(p, (size_t)shape_numel(p->value[v].node.shape) * sizeof(float));
    }
  mem_free(u);
  p->dev = mem_alloc((size_t)(p->nstep + 1) * sizeof *p->dev);
  p->io = mem_alloc((size_t)p->n * sizeof *p->io);
  p->live = mem_alloc((size_t)p->n * sizeof *p->live);
  if (!p->dev || !p->io || !p->live)
    return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (int k = 0; k < p->nstep; k++) {
    p->dev[k] = dev_describe(p, &p->step[k]);
    p->step[k].scratch = p->backend->scratch(p->backend, &p->dev[k]);
  }
  return ST_OK;
}

/* Before there are addresses: any that are told apart do. */
int plan_dev_launches(const Plan *p, int k, int n) {
  static char anywhere[64 * (PW_MAX_ARGS + 2)] __attribute__((aligned(64)));
  DevStep *d = p->backend->launches ? mem_alloc((size_t)(n + 1) * sizeof *d) : NULL;
  for (int j = 0; d && j < n; j++) {
    d[j] = p->dev[k + j];
    for (int i = 0; i < d[j].nargs; i++)
      d[j].arg[i] = p->step[k + j].arg[i] ? anywhere + (ptrdiff_t)64 * (i + 2) : NULL;
    d[j].out = anywhere;
    for (int r = 0; r < PW_MAX_MORE; r++) d[j].more[r] = anywhere;
    d[j].scratch = anywhere + 64;
  }
  const int count = d ? p->backend->launches(p->backend, n, d) : 0;
  mem_free(d);
  return count;
}

/* ---- addresses ---- */

static void *dev_address(const Plan *p, Val v) {
  const PVal *x = &p->value[plan_root(p, v)];
  return x->mem == MEM_ARENA  ? (char *)p->arena->mem + x->offset
         : x->mem == MEM_NONE ? NULL
                              : x->dev;
}

static size_t leaf_size(const PVal *x) {
  return (size_t)shape_numel(x->node.shape) * sizeof(float);
}

static Status dev_block(Plan *p, size_t bytes, void **out, const char *what, Error *e) {
  Error why;
  if (bytes == 0 || *out) return ST_OK;
  const Status st = p->backend->alloc(p->backend, bytes, out, &why);
  if (st == ST_OK) return ST_OK;
  return err_set(e, st, "%.300s; wanted %.0f MiB for %s; use a smaller batch or network", why.msg,
                 (double)bytes / 1048576, what);
}

static Status dev_memory(Plan *p, Error *e) {
  Backend *b = p->backend;
  PlanArena *a = p->arena;
  if (a->bytes < a->need) {
    if (a->mem) b->release(b, a->mem);
    a->bytes = 0;
    a->mem = NULL;
    TRY(dev_block(p, a->need, &a->mem, "the working memory", e));
    a->bytes = a->need;
  }
  size_t io = 0;
  for (Val v = 1; v < p->n && !p->io_mem; v++) {
    PVal *x = &p->value[v];
    if (x->mem != MEM_IO || x->dev) continue;
    x->offset = io;
    io += x->bytes;
  }
  TRY(dev_block(p, p->folded_bytes, &p->folded, "prepared weights", e));
  TRY(dev_block(p, p->leaf_bytes, &p->leaf_mem, "weights", e));
  return dev_block(p, io, &p->io_mem, "inputs and outputs", e);
}

static void dev_locate(Plan *p) {
  size_t leaf = 0;
  p->nio = p->nlive = 0;
  for (Val v = 1; v < p->n; v++) {
    PVal *x = &p->value[v];
    if (x->mem == MEM_FOLDED) x->dev = (char *)p->folded + x->offset;
    if (x->mem == MEM_IO) {
      p->io[p->nio++] = v;
      if (!x->dev) x->dev = (char *)p->io_mem + x->offset;
    }
    if (x->mem != MEM_LEAF) continue;
    if (x->private_leaf) {
      x->dev = (char *)p->leaf_mem + leaf;
      leaf += plan_round(p, leaf_size(x));
    }
    void *shared = backend_device(p->backend, x->node.data);
    if (shared) {
      x->dev = shared;
      x->private_leaf = false;
    }
    if (x->private_leaf && !(x->node.flags & NODE_FROZEN)) p->live[p->nlive++] = v;
  }
}

Status plan_dev_prepare(Plan *p, Error *e) {
  Backend *b = p->backend;
  TRY(dev_memory(p, e));
  dev_locate(p);
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    DevStep *d = &p->dev[k];
    for (int i = 0; i < s->nargs; i++) d->arg[i] = s->arg[i] ? dev_address(p, s->arg[i]) : NULL;
    d->out = dev_address(p, s->value);
    for (int r = 1; r < plan_results(s); r++) d->more[r - 1] = dev_address(p, plan_result(s, r));
    d->scratch = s->scratch ? (char *)p->arena->mem + p->arena_bytes + s->scratch_at : NULL;
  }
  b->program_free(b, p->fold_program);
  b->program_free(b, p->kept_program);
  b->program_free(b, p->program);
  p->fold_program = p->kept_program = p->program = NULL;
  p->ready = false;
  if (p->nfold) TRY(b->program(b, p->nfold, p->dev, &p->fold_program, e));
  if (p->nkept > p->nfold)
    TRY(b->program(b, p->nkept - p->nfold, p->dev + p->nfold, &p->kept_program, e));
  TRY(b->program(b, p->nstep - p->nkept, p->dev + p->nkept, &p->program, e));
  TRY(plan_marks_prepare(p, e));
  p->ready = true;
  p->resolved_for = p->arena->mem;
  return ST_OK;
}

void plan_dev_free(Plan *p) {
  Backend *b = p->backend;
  b->program_free(b, p->fold_program);
  b->program_free(b, p->kept_program);
  b->program_free(b, p->program);
  if (p->folded) b->release(b, p->folded);
  if (p->leaf_mem) b->release(b, p->leaf_mem);
  if (p->io_mem) b->release(b, p->io_mem);
  p->folded = NULL;
  mem_free(p->dev);
  mem_free(p->io);
  mem_free(p->live);
}

/* ---- inputs and outputs ---- */

static real *dev_staging(PVal *x) {
  if (!x->ptr) x->ptr = mem_alloc(x->bytes);
  return x->ptr;
}

/* The host's copy of an input or output; *failed says that it could not be brought up to date, and
 * the copy of an output is NaN then, never the numbers of an older run. */
static real *host_copy(Plan *p, Val v, Status *failed, Error *e) {
  Backend *b = p->backend;
  PVal *x = &p->value[plan_root(p, v)];
  *failed = ST_OK;
  /* an output that is a parameter: its mirror may be ahead of the host */
  if (x->mem == MEM_LEAF) {
    real *host = (real *)x->node.data;
    if (x->dev && !x->private_leaf) *failed = b->download(b, host, x->dev, leaf_size(x), e);
    return host;
  }
  if (x->mem != MEM_IO || !dev_staging(x)) return NULL;
  if (x->dev_new) *failed = b->download(b, x->ptr, x->dev, leaf_size(x), e);
  if (*failed != ST_OK)
    for (int64_t i = 0; i < shape_numel(x->node.shape); i++) x->ptr[i] = (real)NAN;
  x->dev_new = false;
  return x->ptr;
}

real *plan_dev_data(Plan *p, Val v) {
  Status failed;
  real *host = host_copy(p, v, &failed, NULL);
  PVal *x = &p->value[plan_root(p, v)];
  if (host && x->node.op == OP_input) x->host_new = true;
  return host;
}

Status plan_dev_read(Plan *p, Val v, const real **out, Error *e) {
  Status failed;
  *out = NULL;
  TRY(p->backend->sync(p->backend, e));
  const real *host = host_copy(p, v, &failed, e);
  TRY(failed);
  *out = host;
  return host ? ST_OK : err_set(e, ST_NOMEM, "out of memory to read an output of the plan");
}

real *plan_device_data(Plan *p, Val v) {
  return p->backend && p->ready && plan_has_data(p, v) ? dev_address(p, v) : NULL;
}

Status plan_dev_bind(Plan *p, Val v, real *ptr, Error *e) {
  PVal *x = &p->value[plan_root(p, v)];
  bool input = p->value[v].node.op == OP_input,
       own = x->mem == MEM_IO && !x->bound && (input || x->node.op != OP_input);
  if (!own && !input) return plan_add_copy(p, v, ptr, e);
  void *dev = backend_device(p->backend, ptr);
  if (!x->bound) mem_free(x->ptr);
  x->ptr = ptr;
  x->bound = true;
  p->ready = false;
  if (dev || !p->io_mem)
    x->dev = dev;
  else if ((char *)x->dev < (char *)p->io_mem || (char *)x->dev >= (char *)p->io_mem + p->io_bytes)
    return err_set(e, ST_INTERNAL,
                   "plan_bind: a value that lived in shared memory cannot move to other memory "
                   "after the first run");
  return ST_OK;
}

static bool is_mirrored(const Plan *p, const PVal *x) {
  return x->bound && backend_device(p->backend, x->ptr) == x->dev;
}

static Status upload_leaves(Plan *p, Error *e) {
  if (p->leaves_done) {
    for (int i = 0; i < p->nlive; i++) {
      PVal *x = &p->value[p->live[i]];
      TRY(p->backend->upload(p->backend, x->dev, x->node.data, leaf_size(x), e));
    }
    return ST_OK;
  }
  for (Val v = 1; v < p->n; v++) {
    PVal *x = &p->value[v];
    if (x->mem == MEM_LEAF && x->private_leaf)
      TRY(p->backend->upload(p->backend, x->dev, x->node.data, leaf_size(x), e));
  }
  p->leaves_done = true;
  return ST_OK;
}

static Status upload_inputs(Plan *p, Error *e) {
  for (int i = 0; i < p->nio; i++) {
    PVal *x = &p->value[p->io[i]];
    if (x->node.op != OP_input || !x->ptr || is_mirrored(p, x) || !(x->host_new || x->bound))
      continue;
    TRY(p->backend->upload(p->backend, x->dev, x->ptr, leaf_size(x), e));
    x->host_new = false;
  }
  return ST_OK;
}

/* Outputs are downloaded when asked for, except those bound to plain host memory. */
static Status dev_outputs(Plan *p, Error *e) {
  for (int i = 0; i < p->nio; i++) {
    PVal *x = &p->value[p->io[i]];
    if (x->node.op == OP_input) continue;
    x->dev_new = true;
    if (x->bound && !is_mirrored(p, x)) {
      TRY(p->backend->download(p->backend, x->ptr, x->dev, leaf_size(x), e));
      x->dev_new = false;
    }
  }
  for (int i = 0; i < p->ncopy; i++) {
    const Copy *c = &p->copy[i];
    size_t bytes = leaf_size(&p->value[c->value]);
    void *to = backend_device(p->backend, c->to), *from = dev_address(p, c->value);
    TRY(to ? p->backend->copy(p->backend, to, from, bytes, e)
           : p->backend->download(p->backend, c->to, from, bytes, e));
  }
  return ST_OK;
}

static Status dev_profiled(Plan *p, Error *e) {
  int n = p->nstep - p->nkept;
  int64_t *ns = mem_alloc((size_t)(n + 1) * sizeof *ns);
  if (!ns) return err_set(e, ST_NOMEM, "out of memory for a profile of %d steps", n);
  Status st = p->backend->profile(p->backend, p->program, n, ns, e);
  for (int k = 0; k < n && st == ST_OK; k++) {
    p->step[p->nkept + k].ns += ns[k];
    p->step[p->nkept + k].runs++;
  }
  mem_free(ns);
  return st;
}

Status plan_dev_run(Plan *p, Error *e) {
  Backend *b = p->backend;
  TRY(upload_leaves(p, e));
  TRY(upload_inputs(p, e));
  if (!p->folded_done && p->fold_program) TRY(b->run(b, p->fold_program, e));
  p->folded_done = true;
  if (!p->kept_done && p->kept_program && !p->range) TRY(b->run(b, p->kept_program, e));
  p->kept_done = true;
  TRY(p->range ? plan_range_run(p, e) : p->profile ? dev_profiled(p, e) : plan_marks_run(p, e));
  return dev_outputs(p, e);
}
