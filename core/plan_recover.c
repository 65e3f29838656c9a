/* plan_recover.c: maps that need not be kept for the gradient on a backend in 16 bits. The gradient
 * of a layer's demodulation d is the sum over pixels of the gradient times the map z that d
 * multiplied, of y = lrelu(z d + noise + bias). y is kept anyway, and z follows from it:
 *
 *     z = (lrelu^-1(y) - bias - noise) / d
 *
 * so the loops that read z read y, and z is never stored. y is rounded to 16 bits, as z was. d must
 * be above zero by how it is made, as a demodulation is; the factor of a batch normalisation may be
 * zero, and tells nothing then. Where y is at its clamp it does not tell z either: whatever is made
 * of z must be multiplied by the mask of that clamp, as gradients are, which is zero there.
 * (SEMANTICS 1.3: lrelu; 2.2: demodulation.) */
#include <string.h>
#include "core/plan_impl.h"

/* z, the y made of it by a loop of one chain, and the way back: operations on a number, whose other
 * operand, if any, is arg. */
typedef struct Recover {
  Val z;
  Val y;
  int n;
  PwOp op[PW_MAX_OPS];
  Val arg[PW_MAX_OPS];
  Shape shape[PW_MAX_OPS];
} Recover;

/* Operations that the questions below go through at most. */
enum { RECOVER_DEPTH = 12 };

/* Is v never below zero, whatever its operands? Squares, and sums and products of such. */
static bool is_not_below_zero(const Plan *p, Val v, int depth) {
  const Node *n = &p->value[v].node;
  switch (depth ? n->op : OP_input) {
    case OP_square:
    case OP_abs:
    case OP_exp:
    case OP_sqrt0:
    case OP_rsqrt0: return true;
    case OP_reshape:
    case OP_broadcast:
    case OP_permute:
    case OP_sum: return is_not_below_zero(p, n->in[0], depth - 1);
    case OP_axpb:
      return n->attr.axpb.scale >= 0 && n->attr.axpb.shift >= 0 &&
             is_not_below_zero(p, n->in[0], depth - 1);
    case OP_add:
    case OP_mul:
    case OP_matmul:
      return is_not_below_zero(p, n->in[0], depth - 1) && is_not_below_zero(p, n->in[1], depth - 1);
    default: return false;
  }
}

/* Is v above zero wherever its operands are numbers? Roots of what is not below zero and a constant
 * that is above, and products of such. */
static bool is_above_zero(const Plan *p, Val v, int depth) {
  const Node *n = &p->value[v].node;
  switch (depth ? n->op : OP_input) {
    case OP_reshape:
    case OP_broadcast: return is_above_zero(p, n->in[0], depth - 1);
    case OP_mul:
      return is_above_zero(p, n->in[0], depth - 1) && is_above_zero(p, n->in[1], depth - 1);
    case OP_sqrt0:
    case OP_rsqrt0: {
      const Node *of = &p->value[n->in[0]].node;
      return of->op == OP_axpb && of->attr.axpb.scale >= 0 && of->attr.axpb.shift > 0 &&
             is_not_below_zero(p, of->in[0], depth - 1);
    }
    default: return false;
  }
}

static bool is_mask_of(const Plan *p, const Node *n, Val y) {
  return n->op == OP_lrelu_mask && plan_root(p, n->in[1]) == y;
}

/* Is v zero where y is at its clamp? */
static bool is_masked(const Plan *p, Val v, Val y, int depth) {
  const Node *n = &p->value[v].node;
  if (!depth) return false;
  if (is_mask_of(p, n, y)) return true;
  switch (n->op) {
    case OP_mul:
      return is_masked(p, n->in[0], y, depth - 1) || is_masked(p, n->in[1], y, depth - 1);
    case OP_add:
    case OP_sub:
      return is_masked(p, n->in[0], y, depth - 1) && is_masked(p, n->in[1], y, depth - 1);
    case OP_neg: return is_masked(p, n->in[0], y, depth - 1);
    case OP_axpb: return n->attr.axpb.shift == 0 && is_masked(p, n->in[0], y, depth - 1);
    default: return false;
  }
}

static bool ends_masked(const Plan *p, Val v, Val y, int depth);

/* Does operation u, which reads v, make something of it that is zero where y is at its clamp, or
 * that only such things are made of? */
static bool is_read_masked(const Plan *p, Val u, Val v, Val y, int depth) {
  const Node *n = &p->value[u].node;
  switch (n->op) {
    case OP_lrelu_mask: return n->in[0] == v && n->in[1] != v && is_mask_of(p, n, y);
    case OP_mul:
      return is_masked(p, n->in[n->in[0] == v], y, RECOVER_DEPTH) ||
             ends_masked(p, u, y, depth - 1);
    case OP_add:
    case OP_sub:
    case OP_neg:
    case OP_axpb: return ends_masked(p, u, y, depth - 1);
    default: return false;
  }
}

/* So do all that read v, the chain that makes y aside. */
static bool ends_masked(const Plan *p, Val v, Val y, int depth) {
  if (!depth || p->value[v].output) return false;
  for (Val u = 1; u < p->n; u++) {
    const PVal *x = &p->value[u];
    if (!x->alive || x->group == y) continue;
    for (int i = 0; i < x->node.nin; i++)
      if (x->node.in[i] == v && !is_read_masked(p, u, v, y, depth)) return false;
  }
  return true;
}

/* The inverse of y = lrelu(x), which is none at a clamp. */
static PwOp lrelu_back(const PwOp *o) {
  const PwLrelu a = o->param.lrelu;
  PwOp back = {.op = OP_lrelu};
  back.param.lrelu = (PwLrelu){1 / a.slope, 1 / a.gain, -1};
  return back;
}

/* Operation o of the chain, on the number in register reg: its inverse behind those there are. */
static bool recover_back(const Plan *p, Recover *r, const Step *s, const PwOp *o, int reg,
                         bool last) {
  const int other = o->lhs == reg ? o->rhs : o->lhs;
  PwOp back = {.op = o->op == OP_add ? OP_sub : OP_div};
  if (last) {
    const PwLrelu a = o->param.lrelu;
    if (o->op != OP_lrelu || o->lhs != reg || a.slope <= 0 || a.gain <= 0) return false;
    if (a.limit >= 0 && !ends_masked(p, r->z, r->y, RECOVER_DEPTH)) return false;
    back = lrelu_back(o);
    r->arg[r->n] = 0;
  } else {
    if ((o->op != OP_add && o->op != OP_mul) || other >= 0 || (o->lhs != reg && o->rhs != reg))
      return false;
    r->arg[r->n] = s->arg[-1 - other];
    if (plan_root(p, r->arg[r->n]) == r->z) return false;
    if (o->op == OP_mul && !is_above_zero(p, r->arg[r->n], RECOVER_DEPTH)) return false;
    r->shape[r->n] = s->prog->arg_shape[-1 - other];
  }
  r->op[r->n++] = back;
  return true;
}

/* Is step s a loop that makes y of argument `from`, z, by one chain that can be undone? */
static bool recover_chain(const Plan *p, const Step *s, int from, Recover *r) {
  const PwProgram *q = s->prog;
  *r = (Recover){.z = s->arg[from], .y = s->value};
  if (q->reduce || q->nop < 2 || q->result != q->op[q->nop - 1].dst) return false;
  for (int k = q->nop - 1; k >= 0; k--) {
    const int reg = k ? q->op[k - 1].dst : -1 - from;
    if (!recover_back(p, r, s, &q->op[k], reg, k == q->nop - 1)) return false;
  }
  return q->op[0].op == OP_mul;
}

/* The code of an argument that is added where it is not there yet; 0: no room. */
static int recover_argument(Step *s, PwProgram *q, Val v, Shape shape) {
  for (int k = 0; k < q->narg; k++)
    if (s->arg[k] == v && shape_eq(q->arg_shape[k], shape)) return -1 - k;
  if (q->narg == PW_MAX_ARGS) return 0;
  s->arg[q->narg] = v;
  q->arg_shape[q->narg] = shape;
  s->nargs = ++q->narg;
  return -q->narg;
}

/* Loop `old` with y instead of z, as step s with program q. False: no room. */
static bool recover_loop(const Recover *r, const Step *old, Step *s, PwProgram *q) {
  const PwProgram *l = old->prog;
  int code[PW_MAX_ARGS], reg = 0;
  *s = *old;
  *q = *l;
  s->nargs = q->narg = q->nop = 0;
  for (int k = 0; k < l->nop; k++) reg = PRLX_MAX(reg, l->op[k].dst + 1);
  if (reg >= PW_MAX_REGS || l->nop + r->n > PW_MAX_OPS || l->result < 0) return false;
  for (int i = 0; i < l->narg; i++)
    code[i] = old->arg[i] == r->z ? reg : recover_argument(s, q, old->arg[i], l->arg_shape[i]);
  int at = recover_argument(s, q, r->y, l->iter);
  for (int k = 0; k < r->n && at; k++) {
    PwOp o = r->op[k];
    o.lhs = (int8_t)at;
    o.rhs = (int8_t)(r->arg[k] ? recover_argument(s, q, r->arg[k], r->shape[k]) : at);
    if (!o.rhs) return false;
    o.dst = (int8_t)(at = reg);
    q->op[q->nop++] = o;
  }
  for (int k = 0; k < l->nop && at; k++) {
    PwOp o = l->op[k];
    if (o.lhs < 0) o.lhs = (int8_t)code[-1 - o.lhs];
    if (o.rhs < 0) o.rhs = (int8_t)code[-1 - o.rhs];
    q->op[q->nop++] = o;
  }
  s->prog = q;
  return at != 0;
}

static bool recover_reads(const Plan *p, const Step *s, Val v) {
  for (int i = 0; i < s->nargs; i++)
    if (s->arg[i] && plan_root(p, s->arg[i]) == v) return true;
  return false;
}

/* Is it an output, by whatever name? */
static bool is_read_out(const Plan *p, Val z) {
  for (Val v = 1; v < p->n; v++)
    if (p->value[v].alive && p->value[v].output && plan_root(p, v) == z) return true;
  return false;
}

/* Can all that read z, step `maker` of y aside, read y instead? Then they do, where `apply`.
 * Returns how many do; -1: not all can. */
static int recover_readers(Plan *p, const Recover *r, int maker, bool apply) {
  int n = 0;
  for (int k = p->nkept; k < p->nstep; k++) {
    Step *s = &p->step[k], to;
    PwProgram q;
    if (k == maker || !recover_reads(p, s, r->z)) continue;
    if (k < maker || !s->prog || !recover_loop(r, s, &to, &q)) return -1;
    for (int i = 0; i < s->nargs; i++)
      if (plan_root(p, s->arg[i]) == r->z &&
          (s->arg[i] != r->z || !shape_eq(s->prog->arg_shape[i], s->prog->iter)))
        return -1;
    n++;
    if (!apply) continue;
    PwProgram *own = s->prog;
    *own = q;
    *s = to;
    s->prog = own;
  }
  return n;
}

void plan_recover(Plan *p) {
  for (int k = p->nkept; k < p->nstep; k++) {
    const Step *s = &p->step[k];
    Recover r;
    if (!s->prog || !plan_is_map(p, s->value)) continue;
    for (int i = 0; i < s->nargs; i++) {
      const Val z = s->arg[i];
      const int op = p->value[z].node.op;
      if ((op != OP_conv2d && op != OP_conv2d_dx && op != OP_upfirdn2d) || !plan_is_map(p, z) ||
          is_read_out(p, z) || !shape_eq(s->prog->arg_shape[i], s->prog->iter) ||
          !recover_chain(p, s, i, &r) || recover_readers(p, &r, k, false) < 1)
        continue;
      recover_readers(p, &r, k, true);
      break;
    }
  }
}
