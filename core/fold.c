/* fold.c: what is simplified while nodes are added: x + 0, x 1, x 0, a (b x + c) + d, and sums and
 * products of two operands in one order, so that equal ones are one node. Gradients are full of
 * them. What a single family simplifies (a reshape of a reshape, a slice of everything) is in its
 * builder. */
#include "core/ops.h"

/* Is it one number, stretched to a shape or not? */
static bool fold_constant(Graph *g, Val v, double *value) {
  const Node *n = graph_node(g, v);
  if (n->op == OP_broadcast) n = graph_node(g, n->in[0]);
  if (n->op != OP_constant || n->shape.rank != 0) return false;
  *value = (double)n->data[0];
  return true;
}

static Shape fold_shape(Graph *g, Val a, Val b) {
  Shape s[2] = {graph_shape(g, a), graph_shape(g, b)};
  Node n = {.op = OP_add};
  op_table[OP_add]->shape(g, s, &n);
  return n.shape;
}

static Val fold_binary(Graph *g, OpId op, Val a, Val b) {
  return g_op(g, op, 2, (Val[]){a, b}, NULL);
}

/* no operands to look at, or a graph that has failed already */
static bool fold_not(Graph *g, Val a, Val b) { return !a || !b || graph_status(g, NULL); }
static Val fold_stretch(Graph *g, Val x, Val other) {
  return g_broadcast(g, x, fold_shape(g, x, other));
}

Val g_add(Graph *g, Val a, Val b) {
  double c;
  if (fold_not(g, a, b)) return fold_binary(g, OP_add, a, b);
  if (fold_constant(g, a, &c) && c == 0) return fold_stretch(g, b, a);
  if (fold_constant(g, b, &c) && c == 0) return fold_stretch(g, a, b);
  /* commutative: one order, so that equal sums are one node */
  if (a > b) {
    Val t = a;
    a = b;
    b = t;
  }
  return fold_binary(g, OP_add, a, b);
}

Val g_sub(Graph *g, Val a, Val b) {
  double c;
  if (!fold_not(g, a, b) && fold_constant(g, b, &c) && c == 0) return fold_stretch(g, a, b);
  return fold_binary(g, OP_sub, a, b);
}

Val g_mul(Graph *g, Val a, Val b) {
  double c;
  if (fold_not(g, a, b)) return fold_binary(g, OP_mul, a, b);
  for (int k = 0; k < 2; k++, (void)(a ^= b, b ^= a, a ^= b)) {
    if (!fold_constant(g, a, &c)) continue;
    if (c == 0) return g_full(g, fold_shape(g, a, b), 0);
    if (c == 1) return fold_stretch(g, b, a);
    if (graph_shape(g, a).rank == 0 || shape_eq(fold_shape(g, a, b), graph_shape(g, b)))
      return g_axpb(g, b, c, 0);
  }
  if (a > b) {
    Val t = a;
    a = b;
    b = t;
  }
  return fold_binary(g, OP_mul, a, b);
}

Val g_axpb(Graph *g, Val x, double a, double b) {
  double c;
  if (x && !graph_status(g, NULL)) {
    if (a == 1 && b == 0) return x;
    if (fold_constant(g, x, &c)) return g_full(g, graph_shape(g, x), a * c + b);
    if (a == 0) return g_full(g, graph_shape(g, x), b);
    Node n = *graph_node(g, x);
    if (n.op == OP_axpb)
      return g_axpb(g, n.in[0], a * n.attr.axpb.scale, a * n.attr.axpb.shift + b);
  }
  return g_op(g, OP_axpb, 1, &x, &(Attr){.axpb = {.scale = a, .shift = b}});
}
