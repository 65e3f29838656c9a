/* op_loss.c: softmax cross entropy, first order only (the classifier needs no more). */
#include <math.h>
#include "core/ops.h"

static void ce_shape(Graph *g, const Shape *in, Node *n) {
  char a[96], b[96];
  if (in[0].rank != 2 || !shape_eq(in[0], in[1]))
    graph_fail(g, ST_INTERNAL, "softmax_ce: logits %s and targets %s must be [N,K]",
               shape_str(in[0], a), shape_str(in[1], b));
  n->shape = SHAPE1(in[0].dim[0]);
}

static void ce_dx_shape(Graph *g, const Shape *in, Node *n) { n->shape = in[0]; }

Val g_softmax_ce(Graph *g, Val logits, Val onehot) {
  return g_op(g, OP_softmax_ce, 2, (Val[]){logits, onehot}, NULL);
}

static void ce_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  if (need & 1) dx[0] = g_op(g, OP_softmax_ce_dx, 3, (Val[]){n->in[0], n->in[1], dy}, NULL);
}

/* log sum exp of a row, its maximum taken out */
static double row_lse(const real *z, int64_t k) {
  double m = z[0], s = 0;
  for (int64_t j = 1; j < k; j++) m = PRLX_MAX(m, (double)z[j]);
  for (int64_t j = 0; j < k; j++) s += exp(z[j] - m);
  return m + log(s);
}

static void ce_cpu(const Exec *x) {
  int64_t k = x->ins[0].dim[1];
  for (int64_t i = 0; i < x->ins[0].dim[0]; i++) {
    const real *z = x->in[0] + i * k, *t = x->in[1] + i * k;
    double lse = row_lse(z, k), loss = 0;
    for (int64_t j = 0; j < k; j++) loss += t[j] * (lse - z[j]);
    x->out[i] = (real)loss;
  }
}

static void ce_dx_cpu(const Exec *x) {
  int64_t k = x->ins[0].dim[1];
  for (int64_t i = 0; i < x->ins[0].dim[0]; i++) {
    const real *z = x->in[0] + i * k, *t = x->in[1] + i * k;
    double lse = row_lse(z, k), mass = 0;
    for (int64_t j = 0; j < k; j++) mass += t[j];
    for (int64_t j = 0; j < k; j++)
      x->out[i * k + j] = (real)(x->in[2][i] * (exp(z[j] - lse) * mass - t[j]));
  }
}

const OpRow op_softmax_ce = {
    .name = "softmax_ce", .order = 1, .shape = ce_shape, .grad = ce_grad, .cpu = ce_cpu};
const OpRow op_softmax_ce_dx = {.name = "softmax_ce_dx", .shape = ce_dx_shape, .cpu = ce_dx_cpu};
