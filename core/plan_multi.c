/* plan_multi.c: loops with several results, on backends. The gradient of a layer's map is read by
 * the sums for its bias and its noise, and multiplied by other maps and summed for styles and
 * demodulation; each of these loops reads maps that another one reads, too. So two loops over the
 * same numbers of which one reads what the other makes or reads become one, and that one and a
 * third, as long as the backend can run them in one pass (Backend.several). What only such a loop
 * itself reads needs no memory. */
#include <string.h>
#include "core/plan_impl.h"

/* A loop joins one at most so many steps before it: what is made early keeps its operands. */
enum { JOIN_WINDOW = 64 };

/* step of a value with memory, -1: none; slots that read it, outputs included */
typedef struct JoinUse {
  int maker;
  int readers;
} JoinUse;

typedef struct JoinResult {
  Val value;
  int8_t code; /* >= 0: operation, < 0: argument */
  Shape shape;
} JoinResult;

/* Two loops as one. The operations are in static single assignment while it is made: operands are
 * the numbers of operations. */
typedef struct Join {
  const Plan *p;
  const JoinUse *use;
  Step step;
  PwProgram prog;
  JoinResult result[1 + PW_MAX_MORE];
  int nresult;
} Join;

static JoinUse *join_uses(const Plan *p) {
  JoinUse *u = mem_alloc((size_t)p->n * sizeof *u);
  if (!u) return NULL;
  for (Val v = 1; v < p->n; v++) u[v].maker = -1;
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].alive && p->value[v].output) u[plan_root(p, v)].readers++;
  for (int k = 0; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    for (int r = 0; r < plan_results(s); r++) u[plan_result(s, r)].maker = k;
    for (int i = 0; i < s->nargs; i++)
      if (s->arg[i]) u[plan_root(p, s->arg[i])].readers++;
  }
  return u;
}

/* ---- one program of two ---- */

/* Argument i of s in the joint program: what an earlier loop of it makes, or an argument. False: a
 * sum that is made there, or no room. */
static bool join_argument(Join *j, const Step *s, int i, int8_t *code) {
  const Val v = s->arg[i], root = plan_root(j->p, v);
  const Shape shape = s->prog->arg_shape[i], iter = s->prog->iter;
  for (int r = 0; r < j->nresult; r++) {
    if (j->result[r].value != root) continue;
    *code = j->result[r].code;
    return shape_eq(shape, iter) && shape_eq(j->result[r].shape, iter);
  }
  int k = 0;
  while (k < j->step.nargs && (j->step.arg[k] != v || !shape_eq(j->prog.arg_shape[k], shape))) k++;
  *code = (int8_t)(-1 - k);
  if (k < j->step.nargs) return true;
  if (k == PW_MAX_ARGS) return false;
  j->step.arg[k] = v;
  j->step.shape[k] = j->prog.arg_shape[k] = shape;
  j->step.nargs = j->prog.narg = k + 1;
  return true;
}

/* The operation, once; -1: no room. */
static int join_operation(Join *j, const PwOp *o) {
  PwProgram *q = &j->prog;
  for (int k = 0; k < q->nop; k++)
    if (q->op[k].op == o->op && q->op[k].lhs == o->lhs && q->op[k].rhs == o->rhs &&
        !memcmp(&q->op[k].param, &o->param, sizeof o->param))
      return k;
  if (q->nop == PW_MAX_OPS) return -1;
  q->op[q->nop] = *o;
  return q->nop++;
}

/* The loop of step s behind what is there. */
static bool join_take(Join *j, const Step *s) {
  const PwProgram *p = s->prog;
  int8_t argument[PW_MAX_ARGS], made[PW_MAX_REGS] = {0};
  JoinResult own[1 + PW_MAX_MORE];
  for (int i = 0; i < s->nargs; i++)
    if (!join_argument(j, s, i, &argument[i])) return false;
  for (int k = 0; k < p->nop; k++) {
    PwOp o = p->op[k];
    o.dst = 0;
    o.lhs = o.lhs < 0 ? argument[-1 - o.lhs] : made[o.lhs];
    o.rhs = o.rhs < 0 ? argument[-1 - o.rhs] : made[o.rhs];
    const int at = join_operation(j, &o);
    if (at < 0) return false;
    made[p->op[k].dst] = (int8_t)at;
  }
  const int n = plan_results(s);
  if (j->nresult + n > 1 + PW_MAX_MORE) return false;
  for (int r = 0; r < n; r++) {
    const int code = r ? p->more[r - 1].result : p->result;
    own[r] = (JoinResult){plan_result(s, r), code < 0 ? argument[-1 - code] : made[code],
                          r ? p->more[r - 1].shape : p->out_shape};
  }
  memcpy(j->result + j->nresult, own, (size_t)n * sizeof *own);
  j->nresult += n;
  j->prog.samples = PRLX_MAX(j->prog.samples, p->samples);
  return true;
}

/* Without results that nobody but step b read. */
static void join_forget(Join *j, const Step *b) {
  int n = 0;
  for (int r = 0; r < j->nresult; r++) {
    int readers = j->use[j->result[r].value].readers;
    for (int i = 0; i < b->nargs; i++)
      readers -= b->arg[i] && plan_root(j->p, b->arg[i]) == j->result[r].value;
    if (readers > 0) j->result[n++] = j->result[r];
  }
  j->nresult = n;
}

/* Registers for the operations; those of results are kept to the end. */
static bool join_registers(Join *j) {
  PwProgram *q = &j->prog;
  int last[PW_MAX_OPS] = {0}, owner[PW_MAX_REGS];
  int8_t reg[PW_MAX_OPS];
  for (int k = 0; k < q->nop; k++) {
    if (q->op[k].lhs >= 0) last[q->op[k].lhs] = k;
    if (q->op[k].rhs >= 0) last[q->op[k].rhs] = k;
  }
  for (int r = 0; r < j->nresult; r++)
    if (j->result[r].code >= 0) last[j->result[r].code] = q->nop;
  for (int r = 0; r < PW_MAX_REGS; r++) owner[r] = -1;
  for (int k = 0; k < q->nop; k++) {
    PwOp *o = &q->op[k];
    int r = 0;
    if (o->lhs >= 0) o->lhs = reg[o->lhs];
    if (o->rhs >= 0) o->rhs = reg[o->rhs];
    while (r < PW_MAX_REGS && owner[r] >= 0 && last[owner[r]] > k) r++;
    if (r == PW_MAX_REGS) return false;
    owner[r] = k;
    o->dst = reg[k] = (int8_t)r;
  }
  for (int r = 0; r < j->nresult; r++)
    if (j->result[r].code >= 0) j->result[r].code = reg[j->result[r].code];
  return true;
}

static void join_results(Join *j) {
  PwProgram *q = &j->prog;
  q->result = j->result[0].code;
  q->out_shape = j->result[0].shape;
  q->reduce = !shape_eq(q->out_shape, q->iter);
  q->nmore = j->nresult - 1;
  j->step.value = j->result[0].value;
  for (int r = 1; r < j->nresult; r++) {
    q->more[r - 1] = (PwMore){j->result[r].code, j->result[r].shape};
    j->step.more[r - 1] = j->result[r].value;
  }
}

/* Numbers that the loop walks, of one sample where bits may not depend on the batch: else what is
 * joined would. Of 16, so that a sample counts as a small batch. */
static int64_t join_size(const Plan *p, Shape iter) {
  const int64_t n = shape_numel(iter);
  return graph_is_batch_invariant(p->graph) && iter.rank > 0 && iter.dim[0] ? n / iter.dim[0] * 16
                                                                            : n;
}

/* Steps a and b as one. False: it cannot be. */
static bool join_loops(Join *j, const Step *a, const Step *b) {
  j->prog = (PwProgram){.iter = a->prog->iter};
  j->step = (Step){.value = 0};
  j->nresult = 0;
  if (!join_take(j, a) || !join_take(j, b)) return false;
  join_forget(j, b);
  if (j->nresult == 0 || !join_registers(j)) return false;
  join_results(j);
  if (j->prog.nmore == 0) return true;
  j->step.prog = &j->prog;
  const DevStep d = plan_dev_step(j->p, &j->step);
  return j->p->backend->several(j->p->backend, &d, join_size(j->p, j->prog.iter));
}

/* ---- which, and where ---- */
static bool is_joinable(const Step *s) { return s->prog && !s->conv; }

/* Maps that need not be read or written then: whole operands of b that a reads or makes, too, and
 * those that a makes for b alone. */
static int join_saved(const Plan *p, const JoinUse *use, const Step *a, const Step *b) {
  int n = 0;
  for (int i = 0; i < b->nargs; i++) {
    const Val v = plan_root(p, b->arg[i]);
    bool found = false;
    if (!shape_eq(b->prog->arg_shape[i], b->prog->iter)) continue;
    for (int k = 0; k < a->nargs && !found; k++)
      found = plan_root(p, a->arg[k]) == v && shape_eq(a->prog->arg_shape[k], a->prog->iter);
    for (int r = 0; r < plan_results(a) && !found; r++) {
      found = plan_result(a, r) == v;
      n += found && use[v].readers == 1;
    }
    n += found;
  }
  return n;
}

/* Does step k read what step a makes, or a late step? late[i]: of step a + i. */
static bool is_late(const Plan *p, const JoinUse *use, int a, const bool *late, int k) {
  const Step *s = &p->step[k];
  for (int i = 0; i < s->nargs; i++) {
    const int m = s->arg[i] ? use[plan_root(p, s->arg[i])].maker : -1;
    if (m >= a && late[m - a]) return true;
  }
  return false;
}

/* Marks the steps between a and b that read what a makes, also through others: they wait until b
 * has run. False: b is one of these, or a convolution is, with maps that others wait for. */
static bool join_late(const Plan *p, const JoinUse *use, int a, int b, bool *late) {
  late[0] = true;
  for (int k = a + 1; k < b; k++) {
    const Step *s = &p->step[k];
    const int op = p->value[s->value].node.op;
    late[k - a] = is_late(p, use, a, late, k);
    if (late[k - a] && (s->conv || op == OP_conv2d || op == OP_conv2d_dx || op == OP_conv2d_dw))
      return false;
  }
  late[0] = false; /* b itself may read what a makes */
  return !is_late(p, use, a, late, b);
}

/* The step that step b joins best, or -1; *j: both. */
static int join_find(Plan *p, const JoinUse *use, int first, int b, Join *j) {
  const Step *s = &p->step[b];
  bool late[JOIN_WINDOW + 1];
  int best = -1, most = 0;
  if (!is_joinable(s)) return -1;
  for (int a = b - 1; a >= PRLX_MAX(first, b - JOIN_WINDOW); a--) {
    const Step *t = &p->step[a];
    if (!is_joinable(t) || !shape_eq(t->prog->iter, s->prog->iter)) continue;
    const int saved = join_saved(p, use, t, s);
    if (saved <= most || !join_late(p, use, a, b, late)) continue;
    *j = (Join){.p = p, .use = use};
    if (!join_loops(j, t, s)) continue;
    most = saved;
    best = a;
  }
  if (best < 0) return -1;
  *j = (Join){.p = p, .use = use};
  return join_loops(j, &p->step[best], s) ? best : -1;
}

/* Steps a and b become one, step *at, where b is; those that need a follow. */
static Status join_place(Plan *p, const JoinUse *use, int a, int b, Join *j, int *at, Error *e) {
  bool late[JOIN_WINDOW + 1];
  Step *to = mem_alloc((size_t)(b - a + 1) * sizeof *to);
  PwProgram *q = mem_alloc(sizeof *q);
  int n = 0;
  if (!to || !q) {
    mem_free(to);
    mem_free(q);
    return err_set(e, ST_NOMEM, "out of memory while planning a computation");
  }
  join_late(p, use, a, b, late);
  *q = j->prog;
  j->step.prog = q;
  for (int s = 0; s < 2; s++) {
    const Step *of = &p->step[s ? b : a];
    for (int r = 0; r < plan_results(of); r++) p->value[plan_result(of, r)].step = false;
    mem_free(of->prog);
  }
  for (int r = 0; r < plan_results(&j->step); r++) p->value[plan_result(&j->step, r)].step = true;
  for (int k = a + 1; k < b; k++)
    if (!late[k - a]) to[n++] = p->step[k];
  *at = a + n;
  to[n++] = j->step;
  for (int k = a + 1; k < b; k++)
    if (late[k - a]) to[n++] = p->step[k];
  memcpy(p->step + a, to, (size_t)n * sizeof *to);
  memmove(p->step + b, p->step + b + 1, (size_t)(p->nstep - b - 1) * sizeof *to);
  p->nstep--;
  mem_free(to);
  return ST_OK;
}

/* Steps lo..*hi-1, in their order; *hi becomes less by what was joined. */
static Status join_range(Plan *p, int lo, int *hi, Error *e) {
  JoinUse *use = NULL;
  Join *j = mem_alloc(sizeof *j);
  Status st = j ? ST_OK : err_set(e, ST_NOMEM, "out of memory while planning a computation");
  for (int b = lo; st == ST_OK && b < *hi;) {
    if (!use && !(use = join_uses(p))) {
      st = err_set(e, ST_NOMEM, "out of memory while planning a computation");
      break;
    }
    const int a = join_find(p, use, lo, b, j);
    if (a < 0) {
      b++;
      continue;
    }
    /* b: both, which may join another one before them */
    st = join_place(p, use, a, b, j, &b, e);
    --*hi;
    mem_free(use);
    use = NULL;
  }
  mem_free(use);
  mem_free(j);
  return st;
}

Status plan_multi(Plan *p, Error *e) {
  int kept = p->nkept, steps;
  if (!p->backend->several) return ST_OK;
  TRY(join_range(p, p->nfold, &kept, e));
  steps = p->nstep;
  p->nkept = kept;
  return join_range(p, p->nkept, &steps, e);
}
