/* golden_graph.c: a graph whose inputs and expected values are golden tensors. See golden.h. */
#include <stdlib.h>
#include <string.h>
#include "core/ops.h"
#include "test/golden.h"

void gold_run_begin(GoldRun *r, Gold *g) {
  memset(r, 0, sizeof *r);
  r->g = g;
  r->graph = graph_new();
  if (!r->graph) {
    gold_fail(g, "out of memory for a graph");
    r->failed = true;
    return;
  }
  /* the graphs that f16 storage gets (graph_half_range), by the same numbers and tolerances */
  graph_half_range(r->graph, getenv("GOLD_HALF") != NULL);
}

Val gold_in_data(GoldRun *r, const char *name, Shape s, const real *data) {
  if (r->failed) return 0;
  if (r->nin == GOLD_MAX_VALS || !data) {
    gold_fail(r->g, "%s: %s", name, data ? "too many inputs" : "no data");
    r->failed = true;
    return 0;
  }
  Val v = g_input(r->graph, name, s);
  if (!v) return 0; /* the sticky error of the graph is reported by the run */
  r->in[r->nin] = v;
  r->src[r->nin++] = data;
  return v;
}

Val gold_in_as(GoldRun *r, const char *name, Shape s) {
  if (r->failed) return 0;
  for (int i = 0; i < r->nin; i++) /* the same tensor in the same shape is the same input */
    if (strcmp(graph_node(r->graph, r->in[i])->name, name) == 0 &&
        shape_eq(graph_shape(r->graph, r->in[i]), s))
      return r->in[i];
  real *p = gold_load(r->g, name, NULL);
  if (p && shape_numel(s) != gold_numel(r->g, name)) {
    gold_fail(r->g, "%s: element count differs from the wanted shape", name);
    p = NULL;
  }
  if (!p) {
    r->failed = true;
    return 0;
  }
  return gold_in_data(r, name, s, p);
}

Val gold_in(GoldRun *r, const char *name) { return gold_in_as(r, name, gold_shape(r->g, name)); }

void gold_expect_scale(GoldRun *r, Val v, const char *name, double scale, double min_tol) {
  if (r->failed) return;
  if (r->nout == GOLD_MAX_VALS) {
    gold_fail(r->g, "too many outputs");
    r->failed = true;
    return;
  }
  int i = r->nout++;
  r->out[i] = v;
  r->name[i] = name;
  r->scale[i] = scale;
  r->min_tol[i] = min_tol;
}

void gold_expect(GoldRun *r, Val v, const char *name) { gold_expect_scale(r, v, name, 0, 0); }
void gold_keep(GoldRun *r, Val v) { gold_expect_scale(r, v, NULL, 0, 0); }

Val gold_dot(GoldRun *r, Val y, Val w) { return g_sum_all(r->graph, g_mul(r->graph, y, w)); }
bool gold_grads(GoldRun *r, Val L, int n, const Val *wrt, Val *out) {
  Error e;
  memset(out, 0, sizeof *out * (size_t)n);
  if (r->failed) return false;
  if (graph_status(r->graph, &e) == ST_OK &&
      graph_grad(r->graph, 1, &L, NULL, n, wrt, out, 0, NULL, &e) == ST_OK)
    return true;
  gold_fail(r->g, "%s: gradient: %s", r->nout && r->name[0] ? r->name[0] : "?", e.msg);
  return !(r->failed = true);
}

bool gold_run_exec(GoldRun *r) {
  Error e;
  if (r->failed) return false;
  Status s = graph_status(r->graph, &e);
  if (s == ST_OK)
    s = plan_new(r->graph, r->nout, r->out, &(PlanOptions){.backend = gold_backend()}, &r->plan,
                 &e);
  if (s == ST_OK) {
    for (int i = 0; i < r->nin; i++) {
      real *p = plan_data(r->plan, r->in[i]);
      /* an unused input has no memory */
      if (p)
        memcpy(p, r->src[i], sizeof(real) * (size_t)shape_numel(graph_shape(r->graph, r->in[i])));
    }
    s = plan_run(r->plan, &e);
  }
  if (s == ST_OK) return true;
  gold_fail(r->g, "%s%s%s", r->nout && r->name[0] ? r->name[0] : "run", ": ", e.msg);
  return !(r->failed = true);
}

const real *gold_value(GoldRun *r, Val v) { return r->plan ? plan_data(r->plan, v) : NULL; }
void gold_run_check(GoldRun *r) {
  if (r->failed || !r->plan) return;
  for (int i = 0; i < r->nout; i++)
    if (r->name[i])
      gold_compare_scale(r->g, r->name[i], gold_value(r, r->out[i]),
                         shape_numel(graph_shape(r->graph, r->out[i])), r->scale[i], r->min_tol[i]);
}

void gold_run_free(GoldRun *r) {
  plan_free(r->plan);
  graph_free(r->graph);
  r->plan = NULL;
  r->graph = NULL;
}

void gold_run_end(GoldRun *r) {
  if (gold_run_exec(r)) gold_run_check(r);
  gold_run_free(r);
}
