/* graph.c: nodes, hash-consing, and reverse-mode differentiation that adds ordinary nodes. */
#include "core/graph.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/ops.h"

#define OP_DECL(name) extern const OpRow op_##name;
OP_LIST(OP_DECL)
#define OP_ROW(name) [OP_##name] = &op_##name,
const OpRow *const op_table[OP_COUNT] = {OP_LIST(OP_ROW)};

struct Graph {
  Node *node;
  int n;
  int cap;
  int32_t *hash;
  int hash_cap; /* open addressing; 0 = empty */
  void **block;
  /* copies of constants and names */
  int nblock;
  int cap_block;
  Error err;
  bool batch_invariant;
};

/* ---- leaves have no kernel and no gradient of their own ---- */
static void leaf_shape(Graph *g, const Shape *in, Node *n) {
  (void)g;
  (void)in;
  (void)n;
}

const OpRow op_input = {"input", OPF_LEAF, ORDER_ANY, leaf_shape, NULL, NULL, NULL};
const OpRow op_param = {"param", OPF_LEAF, ORDER_ANY, leaf_shape, NULL, NULL, NULL};
const OpRow op_constant = {"constant", OPF_LEAF, ORDER_ANY, leaf_shape, NULL, NULL, NULL};

Graph *graph_new(void) {
  Graph *g = mem_alloc(sizeof *g);
  if (!g) return NULL;
  g->cap = 256;
  g->hash_cap = 1024;
  g->n = 1;
  g->node = mem_alloc((size_t)g->cap * sizeof(Node));
  g->hash = mem_alloc((size_t)g->hash_cap * sizeof(int32_t));
  if (!g->node || !g->hash) {
    graph_free(g);
    return NULL;
  }
  return g;
}

void graph_free(Graph *g) {
  if (!g) return;
  for (int i = 0; i < g->nblock; i++) mem_free(g->block[i]);
  mem_free(g->block);
  mem_free(g->node);
  mem_free(g->hash);
  mem_free(g);
}

Status graph_status(const Graph *g, Error *e) {
  if (g->err.code && e) *e = g->err;
  return g->err.code;
}

Val graph_fail(Graph *g, Status code, const char *fmt, ...) {
  /* the first failure is the cause; what follows is its echo */
  if (g->err.code) return 0;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(g->err.msg, sizeof g->err.msg, fmt, ap);
  va_end(ap);
  g->err.code = code;
  return 0;
}

void graph_batch_invariant(Graph *g, bool on) { g->batch_invariant = on; }
bool graph_is_batch_invariant(const Graph *g) { return g->batch_invariant; }
int graph_size(const Graph *g) { return g->n; }
const Node *graph_node(const Graph *g, Val v) { return &g->node[v > 0 && v < g->n ? v : 0]; }
Shape graph_shape(const Graph *g, Val v) { return v ? graph_node(g, v)->shape : SHAPE0(); }
int64_t graph_dim(const Graph *g, Val v, int axis) {
  return v ? graph_node(g, v)->shape.d[axis] : 0;
}

static void *keep(Graph *g, void *block) {
  if (!block) {
    graph_fail(g, ST_NOMEM, "out of memory while building a graph");
    return NULL;
  }
  if (g->nblock == g->cap_block) {
    int cap = g->cap_block ? 2 * g->cap_block : 64;
    void **q = mem_grow(g->block, (size_t)g->nblock * sizeof *q, (size_t)cap * sizeof *q);
    if (!q) {
      mem_free(block);
      graph_fail(g, ST_NOMEM, "out of memory while building a graph");
      return NULL;
    }
    g->block = q;
    g->cap_block = cap;
  }
  return g->block[g->nblock++] = block;
}

void graph_name(Graph *g, Val v, const char *name) {
  if (v) g->node[v].name = keep(g, mem_strdup(name));
}

/* ---- hash-consing ---- */
static uint64_t mix64(uint64_t h, uint64_t x) {
  h ^= x;
  h *= 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}

static uint64_t node_hash(const Node *n) {
  uint64_t h = mix64(n->op, (uint64_t)(uintptr_t)n->data);
  for (int i = 0; i < n->nin; i++) h = mix64(h, (uint64_t)n->in[i]);
  for (int i = 0; i < COUNT_OF(n->a.i); i++) h = mix64(h, (uint32_t)n->a.i[i]);
  for (int i = 0; i < COUNT_OF(n->a.f); i++) {
    uint64_t b;
    memcpy(&b, &n->a.f[i], 8);
    h = mix64(h, b);
  }
  for (int i = 0; i < n->shape.rank; i++) h = mix64(h, (uint64_t)n->shape.d[i]);
  return h;
}

static bool node_same(const Node *a, const Node *b) {
  return a->op == b->op && a->nin == b->nin && a->flags == b->flags && a->data == b->data &&
         memcmp(a->in, b->in, sizeof a->in) == 0 && memcmp(&a->a, &b->a, sizeof a->a) == 0 &&
         shape_eq(a->shape, b->shape);
}

static bool grow_tables(Graph *g) {
  if (g->n == g->cap) {
    Node *q = mem_grow(g->node, (size_t)g->cap * sizeof *q, (size_t)g->cap * 2 * sizeof *q);
    if (!q) return false;
    g->node = q;
    g->cap *= 2;
  }
  if (g->n * 2 > g->hash_cap) {
    int cap = g->hash_cap * 2;
    int32_t *h = mem_alloc((size_t)cap * sizeof *h);
    if (!h) return false;
    for (Val v = 1; v < g->n; v++) {
      if (g->node[v].op == OP_input) continue;
      uint64_t k = node_hash(&g->node[v]) & (uint64_t)(cap - 1);
      while (h[k]) k = (k + 1) & (uint64_t)(cap - 1);
      h[k] = v;
    }
    mem_free(g->hash);
    g->hash = h;
    g->hash_cap = cap;
  }
  return true;
}

static Val add_node(Graph *g, const Node *n) {
  if (g->err.code) return 0;
  if (!grow_tables(g))
    return graph_fail(g, ST_NOMEM, "out of memory while building a graph of %d nodes", g->n);
  uint64_t mask = (uint64_t)(g->hash_cap - 1), k = node_hash(n) & mask;
  if (n->op != OP_input) { /* two inputs of one shape are two inputs */
    for (; g->hash[k]; k = (k + 1) & mask)
      if (node_same(&g->node[g->hash[k]], n)) return g->hash[k];
    g->hash[k] = g->n;
  }
  g->node[g->n] = *n;
  return g->n++;
}

Val g_input(Graph *g, const char *name, Shape s) {
  Node n = {.op = OP_input, .shape = s};
  Val v = add_node(g, &n);
  if (v && name) graph_name(g, v, name);
  return v;
}

Val g_param(Graph *g, const char *name, Shape s, const real *data, bool frozen) {
  Node n = {.op = OP_param, .shape = s, .data = data, .flags = frozen ? NODE_FROZEN : 0};
  int before = g->n;
  Val v = add_node(g, &n);
  if (v && v >= before && name) graph_name(g, v, name);
  return v;
}

Val g_const(Graph *g, Shape s, const real *data) {
  if (g->err.code) return 0;
  size_t bytes = (size_t)shape_numel(s) * sizeof(real);
  real *copy = keep(g, mem_alloc(bytes));
  if (!copy) return 0;
  memcpy(copy, data, bytes);
  Node n = {.op = OP_constant, .shape = s, .data = copy, .flags = NODE_FROZEN};
  return add_node(g, &n);
}

Val g_scalar(Graph *g, double v) {
  /* equal scalars are one node although their storage differs */
  for (Val k = 1; k < g->n; k++) {
    const Node *n = &g->node[k];
    if (n->op == OP_constant && n->shape.rank == 0 && n->data[0] == (real)v)
      return g->err.code ? 0 : k;
  }
  real r = (real)v;
  return g_const(g, SHAPE0(), &r);
}

Val g_full(Graph *g, Shape s, double v) { return g_broadcast(g, g_scalar(g, v), s); }

Val g_op(Graph *g, OpId op, int nin, const Val *in, const Attr *a) {
  if (g->err.code) return 0;
  Shape s[MAX_IN];
  Node n = {.op = (uint16_t)op, .nin = (uint8_t)nin};
  if (a) n.a = *a;
  for (int i = 0; i < nin; i++) {
    if (in[i] <= 0 || in[i] >= g->n)
      return graph_fail(g, ST_INTERNAL, "%s: operand %d is not a value of this graph",
                        op_table[op]->name, i);
    n.in[i] = in[i];
    s[i] = g->node[in[i]].shape;
  }
  op_table[op]->shape(g, s, &n);
  if (g->err.code) return 0;
  return add_node(g, &n);
}

/* ---- reverse mode ---- */
typedef struct Tape {
  uint8_t *dep;
  Val *grad;
  int n;
} Tape;

/* dep[v] = 1 when v depends on one of wrt through values that are not stopped. */
static bool mark(Graph *g, Tape *t, int nwrt, const Val *wrt, int nstop, const Val *stop) {
  t->n = g->n;
  t->dep = mem_alloc((size_t)t->n);
  t->grad = mem_alloc((size_t)t->n * sizeof(Val));
  if (!t->dep || !t->grad) return false;
  uint8_t *barrier = mem_alloc((size_t)t->n);
  if (!barrier) return false;
  for (int i = 0; i < nstop; i++) barrier[stop[i]] = 1;
  for (int i = 0; i < nwrt; i++) t->dep[wrt[i]] = 1;
  for (Val v = 1; v < t->n; v++) {
    const Node *n = &g->node[v];
    if (barrier[v]) {
      t->dep[v] = 0;
      continue;
    }
    for (int i = 0; i < n->nin; i++) t->dep[v] |= t->dep[n->in[i]];
  }
  mem_free(barrier);
  return true;
}

static void accumulate(Graph *g, Tape *t, Val at, Val dx) {
  if (!dx) return;
  char a[96], b[96];
  if (!shape_eq(graph_shape(g, dx), graph_shape(g, at))) {
    graph_fail(g, ST_INTERNAL, "gradient of shape %s for a value of shape %s (%s)",
               shape_str(graph_shape(g, dx), a), shape_str(graph_shape(g, at), b),
               op_table[g->node[at].op]->name);
    return;
  }
  t->grad[at] = t->grad[at] ? g_add(g, t->grad[at], dx) : dx;
}

static void backward(Graph *g, Tape *t) {
  for (Val v = t->n - 1; v > 0 && !g->err.code; v--) {
    Val dy = t->grad[v];
    if (!dy || !t->dep[v]) continue;
    Node n = g->node[v]; /* a copy: adding nodes may move the table */
    unsigned need = 0;
    for (int i = 0; i < n.nin; i++)
      if (t->dep[n.in[i]]) need |= 1u << i;
    if (!need) continue;
    const OpRow *row = op_table[n.op];
    if (!row->grad) {
      graph_fail(g, ST_INVALID, "operation %s cannot be differentiated (again); its order is %d",
                 row->name, row->order);
      return;
    }
    Val dx[MAX_IN] = {0};
    row->grad(g, &n, v, dy, need, dx);
    for (int i = 0; i < n.nin; i++)
      if (need >> i & 1) accumulate(g, t, n.in[i], dx[i]);
  }
}

Status graph_grad(Graph *g, int ny, const Val *y, const Val *dy, int nwrt, const Val *wrt, Val *out,
                  int nstop, const Val *stop, Error *e) {
  for (int i = 0; i < nwrt; i++) out[i] = 0;
  if (g->err.code) return graph_status(g, e);
  Tape t = {0};
  bool ok = true;
  for (int i = 0; i < ny; i++) ok = ok && y[i] > 0;
  for (int i = 0; i < nwrt; i++) ok = ok && wrt[i] > 0;
  if (!ok)
    graph_fail(g, ST_INTERNAL, "gradient of or with respect to no value");
  else if (!mark(g, &t, nwrt, wrt, nstop, stop))
    graph_fail(g, ST_NOMEM, "out of memory for the gradient of a graph of %d nodes", g->n);
  else {
    for (int i = 0; i < ny; i++)
      accumulate(g, &t, y[i], dy && dy[i] ? dy[i] : g_full(g, graph_shape(g, y[i]), 1));
    backward(g, &t);
    for (int i = 0; i < nwrt; i++)
      out[i] = t.grad[wrt[i]] ? t.grad[wrt[i]] : g_full(g, graph_shape(g, wrt[i]), 0);
  }
  mem_free(t.dep);
  mem_free(t.grad);
  return graph_status(g, e);
}

Val g_grad1(Graph *g, Val y, Val wrt) {
  Val out;
  graph_grad(g, 1, &y, NULL, 1, &wrt, &out, 0, NULL, NULL);
  return out;
}
