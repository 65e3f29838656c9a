/* api_graph.c: graphs, plans and operations of one's own of prlx.h: core/graph.h, core/ops.h and
 * core/plan.h with public types. */
#include <string.h>
#include "core/ops.h"
#include "core/plan.h"
#include "models/api/api.h"

/* An operation of the caller's as a row of the table; row first: node->custom leads back. */
typedef struct GraphOp {
  OpRow row;
  prlx_op op;
  prlx_graph *graph;
  const prlx_op *given;
  struct GraphOp *next;
} GraphOp;

struct prlx_graph {
  Graph *inner;
  GraphOp *own; /* those used so far, one per prlx_op */
};
struct prlx_plan {
  Plan *inner;
};

_Static_assert(MAX_RANK == 6, "prlx_shape is Shape");

static prlx_shape shape_out(Shape s) {
  prlx_shape p = {.rank = s.rank};
  memcpy(p.dim, s.dim, sizeof p.dim);
  return p;
}

/* ST_INVALID: no shape */
static Status shape_in(prlx_shape p, Shape *s, Error *e) {
  const uint64_t most = UINT64_C(1) << 40;
  size_t n = 1;
  bool ok = p.rank >= 0 && p.rank <= MAX_RANK;
  *s = SHAPE0();
  for (int k = 0; k < p.rank && ok; k++) {
    ok = p.dim[k] > 0 && mul_ok(n, (uint64_t)p.dim[k], &n) && n < most;
    s->dim[k] = p.dim[k];
  }
  if (!ok)
    return err_set(e, ST_INVALID, "a shape of rank %d; expected rank 0 to 6, sides of at least 1",
                   p.rank);
  s->rank = p.rank;
  return ST_OK;
}

prlx_graph *prlx_graph_new(void) {
  prlx_graph *g = mem_alloc(sizeof *g);
  if (g && !(g->inner = graph_new())) {
    mem_free(g);
    return NULL;
  }
  return g;
}

void prlx_graph_free(prlx_graph *g) {
  if (!g) return;
  graph_free(g->inner);
  for (GraphOp *o = g->own, *next; o; o = next) {
    next = o->next;
    mem_free(o);
  }
  mem_free(g);
}

prlx_status prlx_graph_status(const prlx_graph *g, prlx_error *e) {
  API_NEED(g, e);
  Error in;
  return api_return(graph_status(g->inner, &in), &in, e);
}

prlx_shape prlx_graph_shape(const prlx_graph *g, prlx_val v) {
  if (!g) return (prlx_shape){0};
  return shape_out(graph_shape(g->inner, v));
}

prlx_val prlx_graph_input(prlx_graph *g, const char *name, prlx_shape p) {
  Error in;
  Shape s;
  if (!g) return 0;
  if (!name) return graph_fail(g->inner, ST_INVALID, "prlx_graph_input: name is NULL");
  if (shape_in(p, &s, &in) != ST_OK) return graph_fail(g->inner, ST_INVALID, "%s", in.msg);
  return g_input(g->inner, name, s);
}

prlx_val prlx_graph_constant(prlx_graph *g, prlx_shape p, const float *data) {
  Error in;
  Shape s;
  if (!g) return 0;
  if (!data) return graph_fail(g->inner, ST_INVALID, "prlx_graph_constant: data is NULL");
  if (shape_in(p, &s, &in) != ST_OK) return graph_fail(g->inner, ST_INVALID, "%s", in.msg);
  return g_const(g->inner, s, data);
}

prlx_val prlx_graph_grad(prlx_graph *g, prlx_val y, prlx_val x) {
  return g ? g_grad1(g->inner, y, x) : 0;
}

/* ---- operations of the library, by name ---- */

static Val build_lrelu(Graph *g, Val x, const double *a) { return g_lrelu(g, x, a[0], 1, -1); }
static Val build_axpb(Graph *g, Val x, const double *a) { return g_axpb(g, x, a[0], a[1]); }
static Val build_clamp(Graph *g, Val x, const double *a) { return g_clamp(g, x, a[0], a[1]); }
static Val build_matmul(Graph *g, Val x, Val y) { return g_matmul(g, x, y, false, false); }

typedef struct GraphName {
  const char *name;
  Val (*one)(Graph *g, Val x);
  Val (*two)(Graph *g, Val x, Val y);
  Val (*with)(Graph *g, Val x, const double *attributes);
} GraphName;

static const GraphName graph_names[] = {
    {"neg", g_neg, NULL, NULL},           {"square", g_square, NULL, NULL},
    {"sqrt", g_sqrt0, NULL, NULL},        {"rsqrt", g_rsqrt0, NULL, NULL},
    {"exp", g_exp, NULL, NULL},           {"log", g_log, NULL, NULL},
    {"sigmoid", g_sigmoid, NULL, NULL},   {"tanh", g_tanh, NULL, NULL},
    {"softplus", g_softplus, NULL, NULL}, {"abs", g_abs, NULL, NULL},
    {"sum", g_sum_all, NULL, NULL},       {"mean", g_mean_all, NULL, NULL},
    {"add", NULL, g_add, NULL},           {"sub", NULL, g_sub, NULL},
    {"mul", NULL, g_mul, NULL},           {"div", NULL, g_div, NULL},
    {"maximum", NULL, g_maximum, NULL},   {"matmul", NULL, build_matmul, NULL},
    {"lrelu", NULL, NULL, build_lrelu},   {"axpb", NULL, NULL, build_axpb},
    {"clamp", NULL, NULL, build_clamp},
};

prlx_val prlx_graph_op(prlx_graph *g, const char *name, const prlx_val *in, const double *a) {
  if (!g) return 0;
  if (!name || !in)
    return graph_fail(g->inner, ST_INVALID, "prlx_graph_op: %s is NULL", name ? "in" : "name");
  for (int k = 0; k < COUNT_OF(graph_names); k++) {
    const GraphName *n = &graph_names[k];
    if (strcmp(n->name, name)) continue;
    if (n->with && !a)
      return graph_fail(g->inner, ST_INVALID, "operation %s: its attributes are missing", name);
    return n->one   ? n->one(g->inner, in[0])
           : n->two ? n->two(g->inner, in[0], in[1])
                    : n->with(g->inner, in[0], a);
  }
  if (strcmp(name, "conv2d"))
    return graph_fail(g->inner, ST_INVALID, "operation \"%s\" is not known; see prlx_graph_op",
                      name);
  return g_conv2d(g->inner, in[0], in[1], a ? (int)a[0] : 1, a ? (int)a[1] : 0);
}

/* ---- operations of the caller ---- */

static const GraphOp *op_of(const Node *n) { return (const GraphOp *)n->custom; }

static void own_shape(Graph *g, const Shape *in, Node *n) {
  const GraphOp *o = op_of(n);
  prlx_shape shapes[MAX_IN], out = {0};
  Error e;
  for (int k = 0; k < n->nin; k++) shapes[k] = shape_out(in[k]);
  if (!o->op.shape(o->op.context, shapes, &out))
    graph_fail(g, ST_INVALID, "operation %s: its operands do not fit together", o->row.name);
  else if (shape_in(out, &n->shape, &e) != ST_OK)
    graph_fail(g, ST_INVALID, "operation %s: its result has %s", o->row.name, e.msg);
}

static void own_run(const Exec *x) {
  const GraphOp *o = op_of(x->node);
  prlx_shape shapes[MAX_IN];
  for (int k = 0; k < x->node->nin; k++) shapes[k] = shape_out(x->ins[k]);
  o->op.run(o->op.context, shapes, x->in, x->out);
}

static void own_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const GraphOp *o = op_of(n);
  o->op.grad(o->op.context, o->graph, n->in, y, dy, dx);
}

static GraphOp *own_row(prlx_graph *g, const prlx_op *op) {
  for (GraphOp *o = g->own; o; o = o->next)
    if (o->given == op) return o;
  GraphOp *o = mem_alloc(sizeof *o);
  if (!o) {
    graph_fail(g->inner, ST_NOMEM, "operation %s: out of memory", op->name);
    return NULL;
  }
  memcpy(&o->op, op, PRLX_MIN(op->size, sizeof o->op));
  o->row = (OpRow){.name = op->name,
                   .order = op->differentiable ? ORDER_ANY : 0,
                   .shape = own_shape,
                   .grad = op->differentiable ? own_grad : NULL,
                   .cpu = own_run};
  o->graph = g;
  o->given = op;
  o->next = g->own;
  return g->own = o;
}

prlx_val prlx_graph_own(prlx_graph *g, const prlx_op *op, const prlx_val *in) {
  if (!g) return 0;
  if (!op || !in)
    return graph_fail(g->inner, ST_INVALID, "prlx_graph_own: %s is NULL", op ? "in" : "op");
  if (op->size < sizeof *op || !op->name || op->inputs < 1 || op->inputs > MAX_IN || !op->shape ||
      !op->run || (op->differentiable && !op->grad))
    return graph_fail(g->inner, ST_INVALID,
                      "operation %s: expected size, a name, 1 to %d inputs, shape, run, and grad "
                      "where it is differentiable",
                      op->size >= sizeof *op && op->name ? op->name : "without a name", MAX_IN);
  const GraphOp *o = own_row(g, op);
  return o ? g_custom(g->inner, &o->row, op->inputs, in, NULL) : 0;
}

/* ---- plans ---- */

prlx_status prlx_plan_new(const prlx_graph *g, int n, const prlx_val *out, prlx_plan **plan,
                          prlx_error *e) {
  API_NEED(g, e);
  API_NEED(plan, e);
  *plan = NULL;
  API_NEED(out, e);
  Error in;
  prlx_plan *p = mem_alloc(sizeof *p);
  *plan = NULL;
  const Status s = p ? plan_new(g->inner, n, out, NULL, &p->inner, &in)
                     : err_set(&in, ST_NOMEM, "out of memory for a plan");
  if (s == ST_OK)
    *plan = p;
  else
    mem_free(p);
  return api_return(s, &in, e);
}

void prlx_plan_free(prlx_plan *p) {
  if (!p) return;
  plan_free(p->inner);
  mem_free(p);
}

prlx_status prlx_plan_run(prlx_plan *p, prlx_error *e) {
  API_NEED(p, e);
  Error in;
  return api_return(plan_run(p->inner, &in), &in, e);
}

float *prlx_plan_data(prlx_plan *p, prlx_val v) {
  return p ? plan_data(p->inner, v) : NULL;
}
