/* grad.c: reverse-mode differentiation that adds ordinary nodes, so that a gradient can be
 * differentiated again (Griewank & Walther, Evaluating Derivatives, chapter 3). */
#include "core/ops.h"

/* for each value that existed when it began */
typedef struct Tape {
  uint8_t *dep; /* depends on one of wrt */
  Val *grad;    /* gradient collected so far; 0: none */
  int n;
} Tape;

/* dep[v] = 1 when v depends on one of wrt through values that are neither stopped nor detached. */
static bool grad_mark(Graph *g, Tape *t, int nwrt, const Val *wrt, int nstop, const Val *stop) {
  t->n = graph_size(g);
  t->dep = mem_alloc((size_t)t->n);
  t->grad = mem_alloc((size_t)t->n * sizeof(Val));
  if (!t->dep || !t->grad) return false;
  uint8_t *barrier = mem_alloc((size_t)t->n);
  if (!barrier) return false;
  for (int i = 0; i < nstop; i++) barrier[stop[i]] = 1;
  for (int i = 0; i < nwrt; i++) t->dep[wrt[i]] = 1;
  for (Val v = 1; v < t->n; v++) {
    const Node *n = graph_node(g, v);
    if (barrier[v] || n->flags & NODE_DETACHED) {
      t->dep[v] = 0;
      continue;
    }
    for (int i = 0; i < n->nin; i++) t->dep[v] |= t->dep[n->in[i]];
  }
  mem_free(barrier);
  return true;
}

static void grad_add(Graph *g, Tape *t, Val at, Val dx) {
  if (!dx) return;
  char a[96], b[96];
  if (!shape_eq(graph_shape(g, dx), graph_shape(g, at))) {
    graph_fail(g, ST_INTERNAL, "gradient of shape %s for a value of shape %s (%s)",
               shape_str(graph_shape(g, dx), a), shape_str(graph_shape(g, at), b),
               node_row(graph_node(g, at))->name);
    return;
  }
  t->grad[at] = t->grad[at] ? g_add(g, t->grad[at], dx) : dx;
}

static void grad_backward(Graph *g, Tape *t) {
  for (Val v = t->n - 1; v > 0 && graph_status(g, NULL) == ST_OK; v--) {
    Val dy = t->grad[v];
    if (!dy || !t->dep[v]) continue;
    Node n = *graph_node(g, v); /* a copy: adding nodes may move the table */
    unsigned need = 0;
    for (int i = 0; i < n.nin; i++)
      if (t->dep[n.in[i]]) need |= 1u << i;
    if (!need) continue;
    const OpRow *row = node_row(&n);
    if (!row->grad) {
      graph_fail(g, ST_INVALID, "operation %s cannot be differentiated (again); its order is %d",
                 row->name, row->order);
      return;
    }
    Val dx[MAX_IN] = {0};
    row->grad(g, &n, v, dy, need, dx);
    for (int i = 0; i < n.nin; i++)
      if (need >> i & 1) grad_add(g, t, n.in[i], dx[i]);
  }
}

Status graph_grad(Graph *g, int ny, const Val *y, const Val *dy, int nwrt, const Val *wrt, Val *out,
                  int nstop, const Val *stop, Error *e) {
  for (int i = 0; i < nwrt; i++) out[i] = 0;
  TRY(graph_status(g, e));
  Tape t = {0};
  bool ok = true;
  for (int i = 0; i < ny; i++) ok = ok && y[i] > 0;
  for (int i = 0; i < nwrt; i++) ok = ok && wrt[i] > 0;
  if (!ok)
    graph_fail(g, ST_INTERNAL, "gradient of or with respect to no value");
  else if (!grad_mark(g, &t, nwrt, wrt, nstop, stop))
    graph_fail(g, ST_NOMEM, "out of memory for the gradient of a graph of %d nodes", graph_size(g));
  else {
    for (int i = 0; i < ny; i++)
      grad_add(g, &t, y[i], dy && dy[i] ? dy[i] : g_full(g, graph_shape(g, y[i]), 1));
    grad_backward(g, &t);
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
