/* plan.c: which steps run. From the graph's nodes: drop what no output needs, fold channel scalings
 * into convolutions, add prepared weights, mark what frozen parameters determine (computed once),
 * and gather pointwise chains into fused loops. */
#include <stdio.h>
#include <string.h>
#include "core/conv.h"
#include "core/ops.h"
#include "core/plan_dump.h"
#include "core/plan_impl.h"

static bool is_pointwise(const PVal *x) { return node_row(&x->node)->flags & OPF_POINTWISE; }
static bool is_leaf(const PVal *x) { return node_row(&x->node)->flags & OPF_LEAF; }
static bool is_alias(const PVal *x) { return node_row(&x->node)->flags & OPF_ALIAS; }
static bool is_conv(const PVal *x) {
  return x->node.op == OP_conv2d || x->node.op == OP_conv2d_dx || x->node.op == OP_conv2d_dw;
}

static Status no_memory(Error *e) {
  return err_set(e, ST_NOMEM, "out of memory while planning a computation");
}

static void mark_alive(Plan *p) {
  for (Val v = 1; v < p->n; v++) p->value[v].alive = p->value[v].output;
  for (Val v = p->n - 1; v > 0; v--) {
    if (!p->value[v].alive) continue;
    for (int i = 0; i < p->value[v].node.nin; i++)
      if (p->value[v].node.in[i]) p->value[p->value[v].node.in[i]].alive = true;
  }
}

/* conv(x * s[N,C,1,1], w): the product need not exist; the convolution scales channels while it
 * loads. */
static void fold_scale(Plan *p, PVal *c, int operand, int slot) {
  const PVal *m = &p->value[c->node.in[operand]];
  if (m->node.op != OP_mul || m->output) return;
  for (int k = 0; k < 2; k++) {
    Shape x = p->value[m->node.in[k]].node.shape, s = p->value[m->node.in[1 - k]].node.shape;
    if (!shape_eq(x, m->node.shape) || s.rank != 4 || s.dim[0] != x.dim[0] ||
        s.dim[1] != x.dim[1] || s.dim[2] != 1 || s.dim[3] != 1)
      continue;
    /* a leaf has the product's shape for a batch of one only: any batch is planned alike */
    const int op = p->value[m->node.in[k]].node.op;
    if (x.dim[2] * x.dim[3] == 1 || op == OP_param || op == OP_constant) return;
    c->node.in[operand] = m->node.in[k];
    c->node.in[slot] = m->node.in[1 - k];
    c->node.nin = 4;
    return;
  }
}

static Status lower_convs(Plan *p, bool scale, Error *e) {
  int extra = p->n;
  for (Val v = 1; v < extra; v++) {
    PVal *c = &p->value[v];
    if (!c->alive || !is_conv(c)) continue;
    bool dw = c->node.op == OP_conv2d_dw;
    if (scale) {
      fold_scale(p, c, 0, dw ? 2 : 3);
      if (dw) fold_scale(p, c, 1, 3);
    }
    Shape in[MAX_IN];
    Node prep = {0};
    for (int i = 0; i < MAX_IN; i++) in[i] = p->value[c->node.in[i]].node.shape;
    if (dw || p->backend || !conv_make_prep(&c->node, in, &prep)) continue;
    Val u = plan_prep_value(p, extra, &prep);
    if (!u) return no_memory(e);
    p->value[v].node.in[2] = u;
    p->value[v].node.nin = 4;
  }
  /* products that were folded away may be dead now */
  mark_alive(p);
  return ST_OK;
}

static void mark_folded(Plan *p) {
  /* twice: a prep is defined after the convolution that reads it */
  for (int pass = 0; pass < 2; pass++)
    for (Val v = 1; v < p->n; v++) {
      PVal *x = &p->value[v];
      if (x->node.op == OP_input) continue;
      x->folded = is_leaf(x) ? (x->node.flags & NODE_FROZEN) != 0 : true;
      for (int i = 0; i < x->node.nin; i++)
        if (x->node.in[i] && !p->value[x->node.in[i]].folded) x->folded = false;
    }
}

/* What parameters alone determine is the same until they change. An output is not kept: whoever
 * owns its memory may overwrite it. */
static void mark_kept(Plan *p) {
  for (Val v = 1; p->keeps && v < p->n; v++) {
    PVal *x = &p->value[v];
    x->kept = !x->folded && !x->output && x->node.op != OP_input;
    for (int i = 0; i < x->node.nin; i++) {
      const PVal *in = &p->value[x->node.in[i]];
      if (x->node.in[i] && !in->folded && !in->kept) x->kept = false;
    }
  }
}

/* Kept, and read by one loop of each run alone: computed there from what it is made of, which is no
 * more to read, instead of written once and read in its place. */
static Status keep_no_single(Plan *p, Error *e) {
  Val *reader = p->keeps ? mem_alloc((size_t)p->n * sizeof *reader) : NULL; /* -1: several */
  if (!reader) return p->keeps ? no_memory(e) : ST_OK;
  for (Val v = p->n - 1; v > 0; v--) {
    PVal *x = &p->value[v];
    const PVal *r = &p->value[PRLX_MAX(reader[v], 0)];
    if (x->kept && x->alive && !is_leaf(x) && x->node.nin == 1 && is_pointwise(x) &&
        reader[v] > 0 && !r->kept && is_pointwise(r) && shape_eq(r->node.shape, x->node.shape))
      x->kept = false;
    for (int i = 0; x->alive && i < x->node.nin; i++) {
      const Val a = x->node.in[i];
      if (a) reader[a] = reader[a] && reader[a] != v ? -1 : v;
    }
  }
  mem_free(reader);
  return ST_OK;
}

/* ---- fused loops ---- */
static Val through_broadcast(const Plan *p, Val v) {
  while (p->value[v].node.op == OP_broadcast && !p->value[v].output) v = p->value[v].node.in[0];
  return v;
}

static void group_reads(Plan *p, Val x, Val group) {
  p->value[x].seen = p->value[x].seen == 0 || p->value[x].seen == group ? group : -1;
}

static void group_values(Plan *p, bool fuse) {
  for (Val v = p->n - 1; v > 0; v--) {
    PVal *x = &p->value[v];
    if (!x->alive || is_leaf(x) || x->node.op == OP_conv_prep) continue;
    if (x->output) x->seen = -1;
    if (x->seen == 0) continue; /* a broadcast that is only read through */
    bool pw = is_pointwise(x);
    if (fuse && pw && x->seen > 0) {
      PVal *r = &p->value[x->seen];
      Shape iter = r->node.op == OP_sum ? p->value[r->node.in[0]].node.shape : r->node.shape;
      if (shape_eq(iter, x->node.shape) && plan_stage(r) == plan_stage(x) &&
          r->group_ops < GROUP_MAX_OPS) {
        x->group = x->seen;
        r->group_ops++;
      }
    }
    if (!x->group) {
      x->step = !is_alias(x);
      if (pw || x->node.op == OP_sum) {
        x->group = v;
        x->group_ops = 1;
      }
    }
    for (int i = 0; i < x->node.nin; i++) {
      if (!x->node.in[i]) continue;
      if (x->group && fuse)
        group_reads(p, through_broadcast(p, x->node.in[i]), x->group);
      else
        group_reads(p, x->node.in[i], -1);
    }
  }
}

/* ---- programs ---- */
typedef struct Compile {
  Plan *p;
  Step *s;
  Val member[GROUP_MAX_OPS + 1];
  int nmember;
  int8_t reg_of[GROUP_MAX_OPS + 1];
} Compile;

static int add_arg(Compile *c, Val v, bool fuse) {
  if (fuse) v = through_broadcast(c->p, v);
  for (int k = 0; k < c->s->nargs; k++)
    if (c->s->arg[k] == v) return -1 - k;
  int k = c->s->nargs++;
  c->s->arg[k] = v;
  c->s->prog->arg_shape[k] = c->p->value[v].node.shape;
  return -1 - k;
}

static int group_operand(Compile *c, Val v, bool fuse) {
  Val at = fuse ? through_broadcast(c->p, v) : v;
  for (int k = 0; k < c->nmember; k++)
    if (c->member[k] == at) return c->reg_of[k];
  return add_arg(c, v, fuse);
}

static bool read_later(const Compile *c, Val x, int after) {
  for (int k = after + 1; k < c->nmember; k++) {
    const Node *n = &c->p->value[c->member[k]].node;
    for (int i = 0; i < n->nin; i++)
      if (through_broadcast(c->p, n->in[i]) == x) return true;
  }
  const Node *root = &c->p->value[c->s->value].node;
  return root->op == OP_sum && through_broadcast(c->p, root->in[0]) == x;
}

static Status compile_group(Plan *p, Step *s, bool fuse, Error *e) {
  Val root = s->value;
  bool sum = p->value[root].node.op == OP_sum, used[PW_MAX_REGS] = {false};
  Compile c = {.p = p, .s = s};
  PwProgram *q = s->prog = mem_alloc(sizeof *q);
  if (!q) return no_memory(e);
  q->out_shape = p->value[root].node.shape;
  q->iter = sum ? p->value[p->value[root].node.in[0]].node.shape : q->out_shape;
  q->reduce = sum;
  q->samples = sum ? p->value[root].node.attr.sum.samples : 0;
  /* members are at lower indices; collect them in ascending order */
  int found = 0;
  for (Val v = root; v > 0 && found < p->value[root].group_ops; v--)
    if (p->value[v].group == root && p->value[v].alive) {
      found++;
      if (!(sum && v == root)) c.member[c.nmember++] = v;
    }
  for (int i = 0, j = c.nmember - 1; i < j; i++, j--) {
    Val t = c.member[i];
    c.member[i] = c.member[j];
    c.member[j] = t;
  }
  for (int k = 0; k < c.nmember; k++) {
    const Node *n = &p->value[c.member[k]].node;
    PwOp o = {.op = (uint8_t)n->op, .param = pw_param(n)};
    o.lhs = (int8_t)group_operand(&c, n->in[0], fuse);
    o.rhs = n->nin > 1 ? (int8_t)group_operand(&c, n->in[1], fuse) : o.lhs;
    for (int i = 0; i < k; i++)
      if (!read_later(&c, c.member[i], k)) used[c.reg_of[i]] = false;
    for (int i = 0; i < k; i++)
      if (read_later(&c, c.member[i], k)) used[c.reg_of[i]] = true;
    int r = 0;
    while (r < PW_MAX_REGS && used[r]) r++;
    if (r == PW_MAX_REGS)
      return err_set(e, ST_INTERNAL, "fused loop of %d operations needs more than %d registers",
                     c.nmember, PW_MAX_REGS);
    used[r] = true;
    o.dst = c.reg_of[k] = (int8_t)r;
    q->op[q->nop++] = o;
  }
  q->result =
      sum ? (int8_t)group_operand(&c, p->value[root].node.in[0], fuse) : c.reg_of[c.nmember - 1];
  q->narg = s->nargs;
  s->scratch = p->backend ? 0 : pw_scratch(q);
  return ST_OK;
}

static void describe_step(const Plan *p, const PVal *x, Step *s) {
  const OpRow *row = node_row(&x->node);
  s->nargs = x->node.nin;
  for (int i = 0; i < x->node.nin; i++) {
    s->arg[i] = x->node.in[i];
    s->shape[i] = p->value[x->node.in[i]].node.shape;
  }
  /* the weights themselves are not read where prepared ones are */
  if (is_conv(x) && x->node.in[2] && p->value[x->node.in[2]].node.op == OP_conv_prep) s->arg[1] = 0;
  s->scratch = row->scratch && !p->backend ? row->scratch(&x->node, s->shape) : 0;
  s->flop = is_conv(x) || x->node.op == OP_matmul ? conv_flop(&x->node) : 0;
}

/* The step belongs to the plan from here on, its program too. */
static Status emit_step(Plan *p, Val v, bool fuse, Error *e) {
  const PVal *x = &p->value[v];
  if (p->nstep == p->cap_step) {
    int cap = p->cap_step ? 2 * p->cap_step : 128;
    Step *q = mem_grow(p->step, (size_t)p->nstep * sizeof *q, (size_t)cap * sizeof *q);
    if (!q) return no_memory(e);
    p->step = q;
    p->cap_step = cap;
  }
  Step *s = &p->step[p->nstep++];
  *s = (Step){.value = v};
  if (is_pointwise(x) || x->node.op == OP_sum) return compile_group(p, s, fuse, e);
  describe_step(p, x, s);
  return ST_OK;
}

/* Prepared weights just before their first use. */
static Status emit_prep(Plan *p, Val v, bool folded, bool fuse, Error *e) {
  const PVal *x = &p->value[v];
  if (!is_conv(x) || !x->node.in[2] || p->value[x->node.in[2]].node.op != OP_conv_prep)
    return ST_OK;
  PVal *prep = &p->value[x->node.in[2]];
  if (prep->step || prep->folded != folded || (!folded && x->folded)) return ST_OK;
  prep->step = true;
  return emit_step(p, x->node.in[2], fuse, e);
}

static Status emit_steps(Plan *p, bool fuse, Error *e) {
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].node.op == OP_conv_prep) {
      p->value[v].step = false;
      p->value[v].root = v;
    }
  for (int stage = 0; stage < 3; stage++) {
    for (Val v = 1; v < p->n; v++) {
      if (!p->value[v].alive || p->value[v].node.op == OP_conv_prep) continue;
      if (stage != 1) TRY(emit_prep(p, v, stage == 0, fuse, e));
      if (p->value[v].step && plan_stage(&p->value[v]) == stage) TRY(emit_step(p, v, fuse, e));
    }
    if (stage == 0) p->nfold = p->nstep;
    if (stage <= 1) p->nkept = p->nstep;
  }
  return ST_OK;
}

static Status take_graph(Plan *p, int nouts, const Val *outs, Error *e) {
  p->n = graph_size(p->graph);
  p->cap = p->n + 64;
  p->value = mem_alloc((size_t)p->cap * sizeof *p->value);
  if (!p->value) return no_memory(e);
  for (Val v = 1; v < p->n; v++) p->value[v].node = *graph_node(p->graph, v);
  for (int i = 0; i < nouts; i++) {
    if (outs[i] <= 0 || outs[i] >= p->n)
      return err_set(e, ST_INTERNAL, "plan: output %d is not a value", i);
    p->value[outs[i]].output = true;
  }
  mark_alive(p);
  for (Val v = 1; p->backend && v < p->n; v++)
    if (p->value[v].alive && p->value[v].node.custom)
      return err_set(e, ST_INVALID,
                     "plan: the operation %s runs on the CPU only; plan it without a backend",
                     p->value[v].node.custom->name);
  for (Val v = 1; p->keep_all && v < p->n; v++)
    p->value[v].output = p->value[v].alive && !is_leaf(&p->value[v]);
  return ST_OK;
}

static Status plan_build(Plan *p, int nouts, const Val *outs, const PlanOptions *o, Error *e) {
  const bool fuse = !o->no_fusion && !o->keep_all;
  TRY(take_graph(p, nouts, outs, e));
  TRY(lower_convs(p, fuse, e));
  mark_folded(p);
  mark_kept(p);
  TRY(keep_no_single(p, e));
  group_values(p, fuse);
  for (Val v = 1; v < p->n; v++)
    p->value[v].root = p->value[v].alive && is_alias(&p->value[v]) ? p->value[v].node.in[0] : v;
  TRY(emit_steps(p, fuse, e));
  if (p->backend) TRY(plan_dev_lower(p, fuse, e));
  TRY(plan_place(p, o, e));
  TRY(plan_dump_env(p, e));
  return p->backend ? ST_OK : plan_io(p, e);
}

Status plan_new(const Graph *g, int nouts, const Val *outs, const PlanOptions *opt, Plan **out,
                Error *e) {
  const PlanOptions o = opt ? *opt : (PlanOptions){0};
  *out = NULL;
  TRY(graph_status(g, e));
  Plan *p = mem_alloc(sizeof *p);
  if (!p) return no_memory(e);
  p->graph = g;
  p->keep_all = o.keep_all;
  p->backend = o.backend;
  p->keeps = o.backend && o.keep_weights && !o.keep_all;
  p->arena = o.arena ? o.arena : &p->own;
  const Status st = plan_build(p, nouts, outs, &o, e);
  if (st == ST_OK)
    *out = p;
  else
    plan_free(p);
  return st;
}

void plan_free(Plan *p) {
  if (!p) return;
  plan_marks_free(p);
  if (p->backend) plan_dev_free(p);
  for (int i = 0; i < p->nstep; i++) mem_free(p->step[i].prog);
  for (Val v = 1; p->value && v < p->n; v++)
    if (p->value[v].mem == MEM_IO && !p->value[v].bound) mem_free(p->value[v].ptr);
  mem_free(p->value);
  mem_free(p->step);
  mem_free(p->copy);
  mem_free(p->range);
  mem_free(p->folded);
  if (p->arena == &p->own) plan_arena_free(&p->own);
  mem_free(p);
}

void plan_arena_free(PlanArena *a) {
  if (a->backend && a->mem)
    a->backend->release(a->backend, a->mem);
  else
    mem_free(a->mem);
  *a = (PlanArena){0};
}
