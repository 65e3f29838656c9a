/* op_reduce.c: sum over axes and broadcast, each other's adjoint. Both run in the fused loop of
 * op_pointwise.c. */
#include "core/ops.h"
#include "core/pointwise.h"

static void sum_shape(Graph *g, const Shape *in, Node *n) {
  n->shape = in[0];
  for (int i = 0; i < in[0].rank; i++)
    if (n->attr.sum.mask >> i & 1) n->shape.dim[i] = 1;
  if (n->attr.sum.mask >> in[0].rank)
    graph_fail(g, ST_INTERNAL, "sum: axis mask 0x%x for rank %d", (unsigned)n->attr.sum.mask,
               in[0].rank);
}

static void broadcast_shape(Graph *g, const Shape *in, Node *n) {
  char a[96], b[96];
  n->shape.rank = n->attr.shape.rank;
  for (int i = 0; i < n->shape.rank; i++) n->shape.dim[i] = n->attr.shape.dim[i];
  bool ok = in[0].rank == 0 || in[0].rank == n->shape.rank;
  for (int i = 0; ok && i < in[0].rank; i++)
    ok = in[0].dim[i] == n->shape.dim[i] || in[0].dim[i] == 1;
  if (!ok)
    graph_fail(g, ST_INTERNAL, "broadcast: %s does not stretch to %s", shape_str(in[0], a),
               shape_str(n->shape, b));
}

Val g_sum(Graph *g, Val x, unsigned axes) {
  Shape s = graph_shape(g, x);
  unsigned mask = 0; /* axes of size 1 are summed already */
  for (int i = 0; i < s.rank; i++)
    if (axes >> i & 1 && s.dim[i] != 1) mask |= 1u << i;
  if (x && !mask) return x;
  const bool free = !graph_is_batch_invariant(g) || s.rank == 0 || mask & 1;
  return g_op(g, OP_sum, 1, &x,
              &(Attr){.sum = {.mask = (int32_t)mask, .samples = free ? 0 : (int32_t)s.dim[0]}});
}

Val g_broadcast(Graph *g, Val x, Shape s) {
  if (x && shape_eq(graph_shape(g, x), s)) return x;
  if (x && graph_node(g, x)->op == OP_broadcast) x = graph_node(g, x)->in[0];
  Attr a = {.shape = {.rank = s.rank}};
  for (int i = 0; i < s.rank; i++) a.shape.dim[i] = (int32_t)s.dim[i];
  return g_op(g, OP_broadcast, 1, &x, &a);
}

Val g_mean(Graph *g, Val x, unsigned axes) {
  Shape s = graph_shape(g, x);
  double n = 1;
  for (int i = 0; i < s.rank; i++)
    if (axes >> i & 1) n *= (double)s.dim[i];
  return g_axpb(g, g_sum(g, x, axes), 1 / n, 0);
}

Val g_sum_all(Graph *g, Val x) {
  Shape s = graph_shape(g, x);
  return g_reshape(g, g_sum(g, x, (1u << s.rank) - 1), SHAPE0());
}

Val g_mean_all(Graph *g, Val x) {
  return g_axpb(g, g_sum_all(g, x), 1.0 / (double)shape_numel(graph_shape(g, x)), 0);
}

Val g_sum_to(Graph *g, Val x, Shape s) {
  Shape from = graph_shape(g, x);
  if (!x || shape_eq(from, s)) return x;
  if (s.rank == 0) return g_sum_all(g, x);
  unsigned axes = 0;
  for (int i = 0; i < s.rank; i++)
    if (s.dim[i] == 1) axes |= 1u << i;
  return g_sum(g, x, axes);
}

static void sum_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_broadcast(g, dy, graph_shape(g, n->in[0]));
}

static void broadcast_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_sum_to(g, dy, graph_shape(g, n->in[0]));
}

static void sum_program(const Node *n, const Shape *in, PwProgram *p) {
  *p = (PwProgram){.narg = 1,
                   .result = -1,
                   .iter = in[0],
                   .out_shape = n->shape,
                   .reduce = true,
                   .samples = n->attr.sum.samples};
  p->arg_shape[0] = in[0];
}

static size_t sum_scratch(const Node *n, const Shape *in) {
  PwProgram p;
  sum_program(n, in, &p);
  return pw_scratch(&p);
}

static void sum_cpu(const Exec *x) {
  PwProgram p;
  sum_program(x->node, x->ins, &p);
  pw_run(&p, x->in, x->out, x->scratch);
}

static void broadcast_cpu(const Exec *x) {
  PwProgram p;
  pw_from_node(x->node, x->ins, &p);
  pw_run(&p, x->in, x->out, x->scratch);
}

const OpRow op_sum = {.name = "sum",
                      .order = ORDER_ANY,
                      .attr_bytes = sizeof(SumAttr),
                      .shape = sum_shape,
                      .grad = sum_grad,
                      .scratch = sum_scratch,
                      .cpu = sum_cpu};
const OpRow op_broadcast = {.name = "broadcast",
                            .flags = OPF_POINTWISE,
                            .order = ORDER_ANY,
                            .attr_bytes = sizeof(ShapeAttr),
                            .shape = broadcast_shape,
                            .grad = broadcast_grad,
                            .cpu = broadcast_cpu};
