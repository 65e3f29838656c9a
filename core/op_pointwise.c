/* op_pointwise.c: elementwise operations: shape and gradient rules. pointwise.c runs them. */
#include "core/ops.h"
#include "core/pointwise.h"

/* ---- shapes ---- */
static void unary_shape(Graph *g, const Shape *in, Node *n) {
  (void)g;
  n->shape = in[0];
}

static void binary_shape(Graph *g, const Shape *in, Node *n) {
  char a[96], b[96];
  if (in[0].rank == 0) {
    n->shape = in[1];
    return;
  }
  if (in[1].rank == 0) {
    n->shape = in[0];
    return;
  }
  n->shape = in[0];
  bool ok = in[0].rank == in[1].rank;
  for (int i = 0; ok && i < in[0].rank; i++) {
    int64_t p = in[0].dim[i], q = in[1].dim[i];
    ok = p == q || p == 1 || q == 1;
    n->shape.dim[i] = p == 1 ? q : p;
  }
  if (!ok)
    graph_fail(g, ST_INTERNAL, "%s: shapes %s and %s do not broadcast", node_row(n)->name,
               shape_str(in[0], a), shape_str(in[1], b));
}

static Val pw_binary(Graph *g, OpId op, Val a, Val b) {
  return g_op(g, op, 2, (Val[]){a, b}, NULL);
}
static Val pw_unary(Graph *g, OpId op, Val x) { return g_op(g, op, 1, &x, NULL); }
Val g_div(Graph *g, Val a, Val b) { return pw_binary(g, OP_div, a, b); }
Val g_maximum(Graph *g, Val a, Val b) { return pw_binary(g, OP_maximum, a, b); }
Val g_neg(Graph *g, Val x) { return g_axpb(g, x, -1, 0); }
Val g_square(Graph *g, Val x) { return pw_unary(g, OP_square, x); }
Val g_sqrt0(Graph *g, Val x) { return pw_unary(g, OP_sqrt0, x); }
Val g_rsqrt0(Graph *g, Val x) { return pw_unary(g, OP_rsqrt0, x); }
Val g_exp(Graph *g, Val x) { return pw_unary(g, OP_exp, x); }
Val g_log(Graph *g, Val x) { return pw_unary(g, OP_log, x); }
Val g_sigmoid(Graph *g, Val x) { return pw_unary(g, OP_sigmoid, x); }
Val g_tanh(Graph *g, Val x) { return pw_unary(g, OP_tanh, x); }
Val g_softplus(Graph *g, Val x) { return pw_unary(g, OP_softplus, x); }
Val g_abs(Graph *g, Val x) { return pw_unary(g, OP_abs, x); }
Val g_sign(Graph *g, Val x) { return pw_unary(g, OP_sign, x); }
Val g_gt0(Graph *g, Val x) { return pw_unary(g, OP_gt0, x); }

static Attr act_attr(double alpha, double gain, double clamp) {
  return (Attr){.lrelu = {.slope = alpha, .gain = gain, .limit = clamp < 0 ? -1 : clamp}};
}

Val g_lrelu(Graph *g, Val x, double alpha, double gain, double clamp) {
  Attr a = act_attr(alpha, gain, clamp);
  return g_op(g, OP_lrelu, 1, &x, &a);
}

Val g_lrelu_mask(Graph *g, Val dy, Val y, double alpha, double gain, double clamp) {
  Attr a = act_attr(alpha, gain, clamp);
  return g_op(g, OP_lrelu_mask, 2, (Val[]){dy, y}, &a);
}

Val g_clamp(Graph *g, Val x, double lo, double hi) {
  return g_op(g, OP_clamp, 1, &x, &(Attr){.clamp = {.low = lo, .high = hi}});
}

Val g_clamp_mask(Graph *g, Val dy, Val x, double lo, double hi) {
  return g_op(g, OP_clamp_mask, 2, (Val[]){dy, x}, &(Attr){.clamp = {.low = lo, .high = hi}});
}

/* ---- gradient rules ---- */
#define GRAD(name) static void name(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx)
#define A n->in[0]
#define B n->in[1]
static Val pw_sum_to(Graph *g, Val d, Val operand) {
  return g_sum_to(g, d, graph_shape(g, operand));
}

GRAD(add_grad) {
  if (need & 1) dx[0] = pw_sum_to(g, dy, A);
  if (need & 2) dx[1] = pw_sum_to(g, dy, B);
}

GRAD(sub_grad) {
  if (need & 1) dx[0] = pw_sum_to(g, dy, A);
  if (need & 2) dx[1] = pw_sum_to(g, g_neg(g, dy), B);
}

GRAD(mul_grad) {
  if (need & 1) dx[0] = pw_sum_to(g, g_mul(g, dy, B), A);
  if (need & 2) dx[1] = pw_sum_to(g, g_mul(g, dy, A), B);
}

GRAD(div_grad) {
  Val q = g_div(g, dy, B);
  if (need & 1) dx[0] = pw_sum_to(g, q, A);
  if (need & 2) dx[1] = pw_sum_to(g, g_neg(g, g_mul(g, q, y)), B);
}

GRAD(maximum_grad) { /* ties go to a: gt0(b-a) is 1 only where b wins */
  Val wins = g_gt0(g, g_sub(g, B, A));
  if (need & 1) dx[0] = pw_sum_to(g, g_sub(g, dy, g_mul(g, dy, wins)), A);
  if (need & 2) dx[1] = pw_sum_to(g, g_mul(g, dy, wins), B);
}

GRAD(neg_grad) { dx[0] = g_neg(g, dy); }
GRAD(axpb_grad) { dx[0] = g_axpb(g, dy, n->attr.axpb.scale, 0); }
GRAD(square_grad) { dx[0] = g_mul(g, dy, g_axpb(g, A, 2, 0)); }
GRAD(sqrt0_grad) { dx[0] = g_mul(g, dy, g_axpb(g, g_rsqrt0(g, A), 0.5, 0)); }
/* -1/2 y^3, 0 where y is 0 */
GRAD(rsqrt0_grad) { dx[0] = g_mul(g, dy, g_mul(g, g_axpb(g, y, -0.5, 0), g_square(g, y))); }
GRAD(exp_grad) { dx[0] = g_mul(g, dy, y); }
GRAD(log_grad) { dx[0] = g_div(g, dy, A); }
GRAD(sigmoid_grad) { dx[0] = g_mul(g, dy, g_sub(g, y, g_square(g, y))); }
GRAD(tanh_grad) { dx[0] = g_mul(g, dy, g_axpb(g, g_square(g, y), -1, 1)); }
GRAD(softplus_grad) { dx[0] = g_mul(g, dy, g_sigmoid(g, A)); }
GRAD(abs_grad) { dx[0] = g_mul(g, dy, g_sign(g, A)); }
GRAD(zero_grad) {}
static Val lrelu_slope(Graph *g, const Node *n, Val dy, Val y) {
  const LreluAttr *a = &n->attr.lrelu;
  return g_lrelu_mask(g, dy, y, a->slope, a->gain, a->limit);
}

static Val clamp_slope(Graph *g, const Node *n, Val dy, Val x) {
  return g_clamp_mask(g, dy, x, n->attr.clamp.low, n->attr.clamp.high);
}

GRAD(lrelu_grad) { dx[0] = lrelu_slope(g, n, dy, y); }
/* piecewise constant in y */
GRAD(lrelu_mask_grad) {
  if (need & 1) dx[0] = pw_sum_to(g, lrelu_slope(g, n, dy, B), A);
}

GRAD(clamp_grad) { dx[0] = clamp_slope(g, n, dy, A); }
GRAD(clamp_mask_grad) {
  if (need & 1) dx[0] = pw_sum_to(g, clamp_slope(g, n, dy, B), A);
}

/* ---- running one node on its own: a program of one step ---- */
PwParam pw_param(const Node *n) {
  PwParam p = {.lrelu = {0, 0, 0}};
  const Attr *a = &n->attr;
  if (n->op == OP_axpb) p.axpb = (PwAxpb){(real)a->axpb.scale, (real)a->axpb.shift};
  if (n->op == OP_lrelu || n->op == OP_lrelu_mask)
    p.lrelu = (PwLrelu){(real)a->lrelu.slope, (real)a->lrelu.gain, (real)a->lrelu.limit};
  if (n->op == OP_clamp || n->op == OP_clamp_mask)
    p.clamp = (PwClamp){(real)a->clamp.low, (real)a->clamp.high};
  return p;
}

void pw_from_node(const Node *n, const Shape *in, PwProgram *p) {
  *p = (PwProgram){.nop = 1, .narg = n->nin, .iter = n->shape, .out_shape = n->shape};
  p->op[0] = (PwOp){
      .op = (uint8_t)n->op, .dst = 0, .lhs = -1, .rhs = n->nin > 1 ? -2 : -1, .param = pw_param(n)};
  for (int i = 0; i < n->nin; i++) p->arg_shape[i] = in[i];
}

static void single_cpu(const Exec *x) {
  PwProgram p;
  pw_from_node(x->node, x->ins, &p);
  pw_run(&p, x->in, x->out, x->scratch);
}

#define PW(op, attr, shape_rule, grad_rule)      \
  const OpRow op_##op = {.name = #op,            \
                         .flags = OPF_POINTWISE, \
                         .order = ORDER_ANY,     \
                         .attr_bytes = attr,     \
                         .shape = shape_rule,    \
                         .grad = grad_rule,      \
                         .cpu = single_cpu}
PW(add, 0, binary_shape, add_grad);
PW(sub, 0, binary_shape, sub_grad);
PW(mul, 0, binary_shape, mul_grad);
PW(div, 0, binary_shape, div_grad);
PW(maximum, 0, binary_shape, maximum_grad);
PW(neg, 0, unary_shape, neg_grad);
PW(axpb, sizeof(AxpbAttr), unary_shape, axpb_grad);
PW(square, 0, unary_shape, square_grad);
PW(sqrt0, 0, unary_shape, sqrt0_grad);
PW(rsqrt0, 0, unary_shape, rsqrt0_grad);
PW(exp, 0, unary_shape, exp_grad);
PW(log, 0, unary_shape, log_grad);
PW(sigmoid, 0, unary_shape, sigmoid_grad);
PW(tanh, 0, unary_shape, tanh_grad);
PW(softplus, 0, unary_shape, softplus_grad);
PW(abs, 0, unary_shape, abs_grad);
PW(sign, 0, unary_shape, zero_grad);
PW(gt0, 0, unary_shape, zero_grad);
PW(lrelu, sizeof(LreluAttr), unary_shape, lrelu_grad);
PW(lrelu_mask, sizeof(LreluAttr), binary_shape, lrelu_mask_grad);
PW(clamp, sizeof(ClampAttr), unary_shape, clamp_grad);
PW(clamp_mask, sizeof(ClampAttr), binary_shape, clamp_mask_grad);
