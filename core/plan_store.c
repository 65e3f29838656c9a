/* plan_store.c: what else runs in the store of a convolution or filter on a backend, now that it
 * is known how maps lie: a sum of what is stored, or a loop that reads it, as the product of an
 * activation and the styles of the next layer, or the mask of an activation behind the sum of two
 * gradients. The numbers are in registers there; a pass of its own would read them again. What
 * others read, too, the store keeps besides. */
#include <string.h>
#include "core/plan_impl.h"

/* What comes before a store only because a loop in it wants it is no larger than this. */
enum { STORE_EARLY_MOST = 1 << 18 };

bool plan_store_product(const Plan *p, const Step *s) {
  const int op = p->value[s->conv ? s->conv : s->value].node.op;
  return (s->conv || !s->prog) && (op == OP_conv2d || op == OP_conv2d_dx || op == OP_upfirdn2d);
}

/* The step from `first` on that makes v; -1: none. */
int plan_store_maker(const Plan *p, int first, Val v) {
  for (int k = first; k < p->nstep; k++)
    for (int r = 0; r < plan_results(&p->step[k]); r++)
      if (plan_result(&p->step[k], r) == v) return k;
  return -1;
}

/* Slots that read the memory of v, outputs included. */
int plan_store_readers(const Plan *p, Val v) {
  int n = 0;
  for (Val x = 1; x < p->n; x++)
    n += p->value[x].alive && p->value[x].output && plan_root(p, x) == v;
  for (int k = 0; k < p->nstep; k++)
    for (int i = 0; i < p->step[k].nargs; i++)
      n += p->step[k].arg[i] && plan_root(p, p->step[k].arg[i]) == v;
  return n;
}

static void store_remove(Plan *p, int b) {
  mem_free(p->step[b].prog);
  memmove(p->step + b, p->step + b + 1, (size_t)(p->nstep - b - 1) * sizeof *p->step);
  p->nstep--;
}

/* ---- a loop behind a store ---- */

/* Step a with what runs in its store so far: *q, which is nothing for a bare convolution. */
void plan_store_begin(const Step *a, Shape iter, Step *joint, PwProgram *q) {
  *joint = *a;
  if (a->conv) {
    *q = *a->prog;
  } else { /* its own result, through nothing */
    *q = (PwProgram){.narg = 1, .result = -1, .iter = iter, .out_shape = iter};
    q->arg_shape[0] = iter;
    joint->conv = a->value;
    joint->store_from = 0;
    joint->nargs = MAX_IN + 1;
  }
  joint->prog = q;
}

int plan_store_argument(Step *joint, PwProgram *q, Val v, Shape shape) {
  const int k = q->narg;
  if (MAX_IN + k >= PW_MAX_ARGS) return -1;
  joint->arg[MAX_IN + k] = v;
  joint->shape[MAX_IN + k] = q->arg_shape[k] = shape;
  joint->nargs = MAX_IN + ++q->narg;
  return k;
}

int plan_store_register(const PwProgram *q) {
  int reg = 0;
  for (int k = 0; k < q->nop; k++) reg = PRLX_MAX(reg, q->op[k].dst + 1);
  return reg;
}

/* The operations of step b's loop behind *q, of whose result argument `from` is; *result: the code
 * of theirs. False: no room. */
static bool store_ops(const Step *b, int from, Step *joint, PwProgram *q, int8_t *result) {
  const PwProgram *l = b->prog;
  const int reg = plan_store_register(q);
  int8_t code[PW_MAX_ARGS];
  for (int i = 0; i < l->narg; i++) {
    code[i] = i == from ? q->result : (int8_t)(-1 - q->narg);
    if (i != from && plan_store_argument(joint, q, b->arg[i], l->arg_shape[i]) < 0) return false;
  }
  for (int k = 0; k < l->nop; k++) {
    PwOp o = l->op[k];
    if (q->nop == PW_MAX_OPS || reg + o.dst >= PW_MAX_REGS) return false;
    o.dst = (int8_t)(reg + o.dst);
    o.lhs = o.lhs < 0 ? code[-1 - o.lhs] : (int8_t)(reg + o.lhs);
    o.rhs = o.rhs < 0 ? code[-1 - o.rhs] : (int8_t)(reg + o.rhs);
    q->op[q->nop++] = o;
  }
  *result = l->result < 0 ? code[-1 - l->result] : (int8_t)(reg + l->result);
  return true;
}

/* ---- sums ---- */

static bool store_is_sum(const Step *s) {
  const PwProgram *q = s->prog;
  return q->reduce && !q->nop && s->nargs == 1 && shape_eq(q->arg_shape[0], q->iter);
}

/* Is each other argument of the sum smaller than the map, and made before step a? */
static bool store_sum_near(const Plan *p, int first, int a, const Step *s, int from) {
  for (int i = 0; i < s->nargs; i++)
    if (i != from && (shape_eq(s->prog->arg_shape[i], s->prog->iter) ||
                      plan_store_maker(p, first, plan_root(p, s->arg[i])) > a))
      return false;
  return true;
}

/* Step a, with the sum of step b over argument `from`, which it stores, behind its store. What
 * nothing else reads is not stored then, where the backend can do without. */
static bool store_sum_join(Plan *p, int a, int b, int from) {
  const Step *s = &p->step[b];
  Step *t = &p->step[a], m;
  const Val v = t->value;
  PwProgram q;
  PwMore sum = {.shape = s->prog->out_shape};
  const DevStep d = plan_dev_step(p, t);
  plan_store_begin(t, s->prog->iter, &m, &q);
  if (q.nmore == PW_MAX_MORE || !store_ops(s, from, &m, &q, &sum.result)) return false;
  q.more[q.nmore++] = sum;
  m.more[q.nmore - 1] = s->value;
  q.unstored = plan_store_readers(p, v) == 1;
  if (q.unstored && !p->backend->can_store(p->backend, &d, &q, m.store_from)) q.unstored = false;
  if (!q.unstored && !p->backend->can_store(p->backend, &d, &q, m.store_from)) return false;
  if (!t->prog && !(t->prog = mem_alloc(sizeof *t->prog))) return false;
  m.prog = t->prog;
  *m.prog = q;
  *t = m;
  p->value[v].unstored = q.unstored;
  store_remove(p, b);
  return true;
}

/* Step b, a sum of what a filter or a convolution stores, as it is or through a loop, goes into
 * that store. */
static bool store_sum(Plan *p, int first, int b) {
  const Step *s = &p->step[b];
  for (int i = 0; s->prog->reduce && i < s->nargs; i++) {
    const Val v = plan_root(p, s->arg[i]);
    const int a = plan_store_maker(p, first, v);
    if (a < 0 || a >= b || !plan_store_product(p, &p->step[a]) || p->step[a].value != v ||
        !shape_eq(s->prog->arg_shape[i], s->prog->iter) ||
        !shape_eq(p->value[v].node.shape, s->prog->iter) || !store_sum_near(p, first, a, s, i))
      continue;
    if (store_sum_join(p, a, b, i)) return true;
  }
  return false;
}

/* ---- loops ---- */

/* Arguments of the loop that are as large as its result. */
static int store_maps(const Step *s) {
  int n = 0;
  for (int i = 0; i < s->nargs; i++) n += shape_eq(s->prog->arg_shape[i], s->prog->iter);
  return n;
}

static bool store_reads(const Plan *p, const Step *s, Val v) {
  for (int i = 0; i < s->nargs; i++)
    if (s->arg[i] && plan_root(p, s->arg[i]) == v) return true;
  return false;
}

/* May the loop of step b, which reads another map besides that of step a, go there? Not where
 * another loop reads what a or b makes: such loops read each map once together (plan_multi.c). Sums
 * that a filter can make in its store, too, do not count. */
static bool store_is_alone(const Plan *p, int a, int b) {
  const Step *t = &p->step[a];
  const bool filter = p->value[t->conv ? t->conv : t->value].node.op == OP_upfirdn2d;
  for (int k = p->nkept; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    if (!s->prog || s->conv || k == b) continue;
    if (store_reads(p, s, t->value)) return false;
    if (store_reads(p, s, p->step[b].value) && !(filter && store_is_sum(s))) return false;
  }
  return true;
}

/* Marks the steps between a and b that make what step b, or one of those, reads besides argument
 * `from` of b, of whose first nargs. False: one is large, or reads what step a makes. need[i]: of
 * step a + 1 + i. */
bool plan_store_early(const Plan *p, int a, int b, int from, int nargs, bool *need) {
  for (int k = b; k > a; k--) {
    const Step *s = &p->step[k];
    if (k < b && !need[k - a - 1]) continue;
    for (int r = 0; k < b && r < plan_results(s); r++)
      if (shape_numel(p->value[plan_result(s, r)].node.shape) > STORE_EARLY_MOST) return false;
    if (k < b && plan_store_product(p, s)) return false;
    for (int i = 0; i < (k == b ? nargs : s->nargs); i++) {
      if (!s->arg[i] || (k == b && i == from)) continue;
      const int m = plan_store_maker(p, a, plan_root(p, s->arg[i]));
      if (m == a) return false;
      if (m > a) need[m - a - 1] = true;
    }
  }
  return true;
}

/* Step a as it is with the loop of step b behind what it stores, which is argument `from` of b, of
 * this type. Behind a loop of a's own it sees that rounded to the type, and makes the bits that it
 * makes alone; a bare convolution or filter goes on as it is in registers, as with every loop that
 * is its first (plan_device.c). kept: others read it, too. False: no room. */
static bool store_append(const Step *a, const Step *b, int from, DType type, bool kept, Step *joint,
                         PwProgram *q) {
  int8_t result;
  plan_store_begin(a, b->prog->iter, joint, q);
  if (q->stored_at) return false;
  q->stored_at = (uint8_t)(type == DT_F32 ? 0 : q->nop);
  q->stored_as = (uint8_t)type;
  if (kept) q->more[q->nmore++] = (PwMore){q->result, q->iter};
  if (!store_ops(b, from, joint, q, &result)) return false;
  q->result = result;
  joint->value = b->value;
  if (kept) joint->more[q->nmore - 1] = a->value;
  return true;
}

/* The steps between a and b that are needed go before step a, which is where the answer says. */
int plan_store_hoist(Plan *p, int a, int b, const bool *need) {
  Step *const step = p->step;
  int at = a;
  for (int k = a + 1; k < b; k++) {
    if (!need[k - a - 1]) continue;
    const Step early = step[k];
    memmove(step + at + 1, step + at, (size_t)(k - at) * sizeof *step);
    step[at++] = early;
  }
  return at;
}

/* The joint step where step a is, after what it needs; step b is gone. */
static void store_place(Plan *p, int a, int b, const bool *need, const Step *joint) {
  mem_free(p->step[a].prog);
  p->step[plan_store_hoist(p, a, b, need)] = *joint;
  store_remove(p, b);
}

/* The step whose store the loop of step b may go to, since it makes argument `from`; or -1. */
static int store_target(const Plan *p, int first, int b, int from) {
  const Step *s = &p->step[b];
  const Val v = s->arg[from] ? plan_root(p, s->arg[from]) : 0;
  const int maps = store_maps(s), a = v ? plan_store_maker(p, first, v) : -1;
  if (a < 0 || s->prog->reduce || !plan_store_product(p, &p->step[a]) || p->step[a].value != v ||
      maps > 2 || !shape_eq(s->prog->arg_shape[from], s->prog->iter) ||
      !shape_eq(p->value[v].node.shape, s->prog->iter) || plan_results(&p->step[a]) > PW_MAX_MORE ||
      (maps == 2 && !store_is_alone(p, a, b)))
    return -1;
  const Step *t = &p->step[a];
  for (int r = 1; r < plan_results(t); r++)
    if (!shape_eq(t->prog->more[r - 1].shape, t->prog->iter)) return -1;
  return a;
}

/* Step b, a loop over what a convolution or a filter stores, goes into that store. */
static Status store_loop(Plan *p, int first, int b, int from, bool *done, Error *e) {
  const int a = store_target(p, first, b, from);
  Step joint;
  if (a < 0) return ST_OK;
  const Step *s = &p->step[b], *t = &p->step[a];
  const Val v = t->value;
  bool *need = mem_alloc((size_t)(b - a) * sizeof *need);
  PwProgram *q = mem_alloc(sizeof *q);
  const bool kept = plan_store_readers(p, v) > 1;
  if (need && q && plan_store_early(p, a, b, from, s->nargs, need) &&
      store_append(t, s, from, p->value[v].dtype, kept, &joint, q)) {
    const DevStep d = plan_dev_step(p, t);
    *done = p->backend->can_store(p->backend, &d, q, joint.store_from);
  }
  if (*done) {
    p->value[v].step = kept;
    store_place(p, a, b, need, &joint);
  }
  const bool full = !need || !q;
  mem_free(need);
  if (!*done) mem_free(q);
  return full ? err_set(e, ST_NOMEM, "out of memory while planning a computation") : ST_OK;
}

Status plan_stores(Plan *p, Error *e) {
  for (int b = p->nkept; b < p->nstep;) {
    const Step *s = &p->step[b];
    const bool loop = s->prog && !s->conv && !s->prog->nmore;
    bool done = loop && store_sum(p, p->nkept, b);
    for (int i = 0; loop && !done && i < s->nargs; i++)
      TRY(store_loop(p, p->nkept, b, i, &done, e));
    b += !done;
  }
  return ST_OK;
}
