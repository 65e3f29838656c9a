/* graph.h: the graph, its table of operations, and grad().
 *
 * A model is a function that adds nodes to a Graph; shapes are known when it is built. Errors are
 * sticky: after a failure every builder returns 0 (no value) and graph_status() reports the first
 * one, so model code needs no checks. Nodes are hash-consed: the same operation on the same inputs
 * is the same node. grad() ADDS the gradient as ordinary nodes, so a gradient can be differentiated
 * again. */
#ifndef PRLX_GRAPH_H
#define PRLX_GRAPH_H
#include "core/attr.h"
#include "core/base.h"

typedef int32_t Val; /* a value (node index); 0 = none */
#define MAX_IN 4
typedef struct OpRow OpRow;

/* The table of operations, described one by one in docs/OPERATIONS.md: enum here, row `const OpRow
 * op_<name>` in the file of its family (core/op_*.c). */
/* clang-format off */
#define OP_LIST(X) \
  X(input) X(param) X(constant) \
  /* op_pointwise.c: elementwise, inputs broadcast like numpy (equal rank, axis 1 stretches; */ \
  /* rank 0 goes anywhere) */ \
  X(add) X(sub) X(mul) X(div) X(maximum) \
  X(neg) X(axpb) X(square) X(sqrt0) X(rsqrt0) X(exp) X(log) X(sigmoid) X(tanh) X(softplus) \
  X(lrelu) X(lrelu_mask) X(clamp) X(clamp_mask) X(gt0) X(abs) X(sign) \
  /* op_reduce.c */ X(sum) X(broadcast) \
  /* op_shape.c */ X(reshape) X(permute) X(slice) X(pad) X(concat) X(roll) X(flip) \
  X(reflect_pad) X(reflect_pad_t) \
  /* op_matmul.c */ X(matmul) \
  /* op_conv.c */ X(conv2d) X(conv2d_dx) X(conv2d_dw) X(conv_prep) \
  /* op_upfirdn.c */ X(upfirdn2d) \
  /* op_sample.c */ X(affine_grid) X(grid_sample) X(grid_sample_dx) X(grid_sample_dgrid) \
  X(resize) X(resize_t) \
  /* op_warp.c */ X(warp) X(warp_t) \
  /* op_pool.c */ X(maxpool) X(maxpool_t) X(maxpool_gather) \
  /* op_loss.c */ X(softmax_ce) X(softmax_ce_dx)

/* clang-format on */

#define OP_ENUM(name) OP_##name,
/* OP_custom: an operation whose row is not in the table (g_custom) */
typedef enum { OP_none, OP_LIST(OP_ENUM) OP_COUNT, OP_custom = OP_COUNT } OpId;

typedef struct Node {
  uint16_t op;
  uint8_t nin;
  uint8_t flags; /* NODE_* */
  Val in[MAX_IN];
  Shape shape;
  Attr attr;
  const OpRow *custom; /* OP_custom: its row; others NULL */
  const real *data;    /* param, constant: storage; others NULL */
  const char *name;    /* leaves and named values */
} Node;

/* NODE_FROZEN: a leaf whose content is fixed for the life of a plan (plan_refresh says otherwise).
 * NODE_DETACHED: no gradient goes through it (g_detach). */
enum { NODE_FROZEN = 1, NODE_DETACHED = 2 };

typedef struct Graph Graph;

/* NULL when out of memory; freeing NULL is allowed. */
Graph *graph_new(void);
void graph_free(Graph *g);

/* The first failure of a builder, or ST_OK. */
Status graph_status(const Graph *g, Error *e);

/* A failure from outside, e.g. of a model's own checks; the first one stays. Returns 0. */
Val graph_fail(Graph *g, Status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* From now on the operations of this graph choose their algorithm as if the batch, the first axis,
 * were one (convolutions), without looking at it (matrix products) or sum in an order that does not
 * depend on it (sums), so that every sample gets the same bits in any batch: projection,
 * generation, features. Off by default: training takes the algorithm that suits its batch. */
void graph_batch_invariant(Graph *g, bool on);
bool graph_is_batch_invariant(const Graph *g);

/* From now on models added to this graph keep what they compute near one where that costs a little
 * (g_modulated_conv): its maps will be stored in f16, which ends at 65504 (backend_is_half). The
 * result is the same function with other roundings. Off by default. */
void graph_half_range(Graph *g, bool on);
bool graph_is_half_range(const Graph *g);

/* Nodes are 1 .. size-1. */
int graph_size(const Graph *g);

/* Valid until the next node is added: copy what you keep. */
const Node *graph_node(const Graph *g, Val v);

/* Shape of a value, rank 0 for v = 0; one of its sizes, 0 for v = 0. */
Shape graph_shape(const Graph *g, Val v);
int64_t graph_dim(const Graph *g, Val v, int axis);

/* For tables and debugging; the text is copied. */
void graph_name(Graph *g, Val v, const char *name);

/* ---- leaves ---- */

/* Filled by the caller before each run (plan_data); the name is copied. */
Val g_input(Graph *g, const char *name, Shape s);

/* A parameter: storage owned by the caller, who must keep it; same data -> same node. frozen:
 * NODE_FROZEN. */
Val g_param(Graph *g, const char *name, Shape s, const real *data, bool frozen);

/* A constant, copied into the graph; one of rank 0; one number everywhere (a broadcast). */
Val g_const(Graph *g, Shape s, const real *data);
Val g_scalar(Graph *g, double v);
Val g_full(Graph *g, Shape s, double v);

/* x, a constant for every gradient: for a factor that the result does not depend on because it is
 * divided out again, whose gradient would be a sum of zeros. */
Val g_detach(Graph *g, Val x);

/* Builder used by the wrappers in ops.h: checks, infers the shape, hash-conses. attr: NULL for an
 * operation without attributes. */
Val g_op(Graph *g, OpId op, int nin, const Val *in, const Attr *attr);

/* An operation of your own, without touching this library: its row, which must outlive the graph,
 * in place of a name of the table (docs/examples/own_operation.c). It is planned, folded and
 * differentiated like the others, and runs on the CPU only: plan_new refuses it on a backend. Equal
 * operands, attributes and row are one node. */
Val g_custom(Graph *g, const OpRow *row, int nin, const Val *in, const Attr *attr);

/* Reverse mode. dy[k] is the incoming gradient of y[k] (0: ones). out[i] gets d(sum_k <y_k,dy_k>)/d
 * wrt[i] as a node of wrt[i]'s shape; a zero node (g_full) where y does not depend on it. Fails
 * when an operation on the path may not be differentiated that often. A value in `stop` (may be
 * NULL) is treated as a constant (detach). */
Status graph_grad(Graph *g, int ny, const Val *y, const Val *dy, int nwrt, const Val *wrt, Val *out,
                  int nstop, const Val *stop, Error *e);

/* Shorthand: d sum(y) / d wrt (sticky error). */
Val g_grad1(Graph *g, Val y, Val wrt);

/* ---- one row of the table ---- */
typedef struct Exec { /* what a CPU kernel sees */
  const Node *node;   /* attributes, output shape */
  const Shape *ins;   /* shapes of the inputs */
  const real *in[MAX_IN];
  real *out;
  /* scratch() bytes, 64-byte aligned, contents undefined */
  void *scratch;
} Exec;
enum { OPF_POINTWISE = 1, OPF_ALIAS = 2 /* output is in[0]'s memory */, OPF_LEAF = 4 };
enum { ORDER_ANY = 99 };
struct OpRow {
  const char *name;
  unsigned flags; /* OPF_* */
  /* how often it may be differentiated: 0, 1, ORDER_ANY */
  int order;
  /* sizeof its struct of core/attr.h; 0: it has no attributes */
  size_t attr_bytes;
  /* checks operands and attributes, sets n->shape; graph_fail() on error */
  void (*shape)(Graph *g, const Shape *in, Node *n);
  /* Appends gradient nodes: for every input i with need bit i set, dx[i] = gradient (0 = zero). `n`
   * is a copy. */
  void (*grad)(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx);
  /* bytes; NULL = none. Must not depend on the thread count (use MAX_WORKERS or fixed blocks) */
  size_t (*scratch)(const Node *n, const Shape *in);
  void (*cpu)(const Exec *x);
};

/* By OpId (core/op_table.c). */
extern const OpRow *const op_table[OP_COUNT];

/* The row of a node. */
static inline const OpRow *node_row(const Node *n) {
  return n->custom ? n->custom : op_table[n->op];
}
#endif
