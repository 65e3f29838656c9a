/* graph.c: nodes and hash-consing. The table of operations is op_table.c, differentiation grad.c,
 * what is simplified while nodes are added fold.c. */
#include "core/graph.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/ops.h"

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
  bool half_range;
};

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
void graph_half_range(Graph *g, bool on) { g->half_range = on; }
bool graph_is_half_range(const Graph *g) { return g->half_range; }
int graph_size(const Graph *g) { return g->n; }
const Node *graph_node(const Graph *g, Val v) { return &g->node[v > 0 && v < g->n ? v : 0]; }
Shape graph_shape(const Graph *g, Val v) { return v ? graph_node(g, v)->shape : SHAPE0(); }
int64_t graph_dim(const Graph *g, Val v, int axis) {
  return v ? graph_node(g, v)->shape.dim[axis] : 0;
}

static void *graph_keep(Graph *g, void *block) {
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
  if (v) g->node[v].name = graph_keep(g, mem_strdup(name));
}

/* ---- hash-consing ---- */
static uint64_t hash_mix64(uint64_t h, uint64_t x) {
  h ^= x;
  h *= 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}

static uint64_t node_hash(const Node *n) {
  uint64_t h = hash_mix64(n->op, (uint64_t)(uintptr_t)n->data);
  if (n->custom) h = hash_mix64(h, (uint64_t)(uintptr_t)n->custom);
  for (int i = 0; i < n->nin; i++) h = hash_mix64(h, (uint64_t)n->in[i]);
  for (int i = 0; i < COUNT_OF(n->attr.words); i++) h = hash_mix64(h, (uint64_t)n->attr.words[i]);
  for (int i = 0; i < n->shape.rank; i++) h = hash_mix64(h, (uint64_t)n->shape.dim[i]);
  return h;
}

static bool node_same(const Node *a, const Node *b) {
  return a->op == b->op && a->nin == b->nin && a->flags == b->flags && a->data == b->data &&
         a->custom == b->custom && memcmp(a->in, b->in, sizeof a->in) == 0 &&
         memcmp(&a->attr, &b->attr, sizeof a->attr) == 0 && shape_eq(a->shape, b->shape);
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
  real *copy = graph_keep(g, mem_alloc(bytes));
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

/* A reshape to its own shape, and not the one that g_reshape would leave out: a node of its own,
 * since x may have other readers. */
Val g_detach(Graph *g, Val x) {
  if (g->err.code) return 0;
  if (x <= 0 || x >= g->n)
    return graph_fail(g, ST_INTERNAL, "detach: the operand is not a value of this graph");
  const Shape s = g->node[x].shape;
  Node n = {.op = OP_reshape,
            .nin = 1,
            .flags = NODE_DETACHED,
            .in = {x},
            .shape = s,
            .attr = {.shape = {.rank = s.rank}}};
  for (int i = 0; i < s.rank; i++) n.attr.shape.dim[i] = (int32_t)s.dim[i];
  return add_node(g, &n);
}

/* Adds a node of the row: `n` names it (op, or op and custom) and gets operands, attributes,
 * shape. */
static Val add_op(Graph *g, const OpRow *row, Node n, int nin, const Val *in, const Attr *attr) {
  if (g->err.code) return 0;
  Shape s[MAX_IN] = {{0}};
  if ((attr != NULL) != (row->attr_bytes != 0))
    return graph_fail(g, ST_INTERNAL, "%s: %s", row->name,
                      attr ? "attributes for an operation that has none"
                           : "attributes are missing");
  /* only the family's own member: what else the caller's union held is not part of the node */
  if (attr) memcpy(&n.attr, attr, row->attr_bytes);
  n.nin = (uint8_t)nin;
  for (int i = 0; i < nin; i++) {
    if (in[i] <= 0 || in[i] >= g->n)
      return graph_fail(g, ST_INTERNAL, "%s: operand %d is not a value of this graph", row->name,
                        i);
    n.in[i] = in[i];
    s[i] = g->node[in[i]].shape;
  }
  row->shape(g, s, &n);
  if (g->err.code) return 0;
  return add_node(g, &n);
}

Val g_op(Graph *g, OpId op, int nin, const Val *in, const Attr *attr) {
  return add_op(g, op_table[op], (Node){.op = (uint16_t)op}, nin, in, attr);
}

Val g_custom(Graph *g, const OpRow *row, int nin, const Val *in, const Attr *attr) {
  if (!row || !row->name || !row->shape || !row->cpu || row->flags || nin < 1 || nin > MAX_IN ||
      row->attr_bytes > sizeof(Attr))
    return graph_fail(g, ST_INVALID,
                      "custom operation %s: expected a row with name, shape rule and kernel, no "
                      "flags, at most %d bytes of attributes, and 1 to %d operands",
                      row && row->name ? row->name : "", (int)sizeof(Attr), MAX_IN);
  return add_op(g, row, (Node){.op = OP_custom, .custom = row}, nin, in, attr);
}
