/* f64_grad.c: gradient checks over the whole table of operations, in double precision.
 *
 * For every case y = f(inputs): L1 = <y, r>; L(k+1) = sum_i <dL(k)/dx_i, v_ki>. The analytic
 * gradient of L1, L2, L3 with respect to every input (and to r) is compared with 5-point central
 * differences, every element. Step h = 2^-13, L of order 1 to 100: truncation h^4 f^(5)/30 < 1e-15,
 * rounding about 3 eps |L| / h = 5e-12 |L|; the bound 1e-8 of the largest gradient leaves room for
 * curvature. An operation of the table without a case fails the test; one that may not be
 * differentiated k times must say so. */
#include "core/graph.h"
#include "core/ops.h"
#include "core/plan.h"
#include "core/rng.h"
#include "core/threads.h"
#include "test/op_cases.h"
#include "test/test.h"

static double value(Plan *p, Val scalar, Error *e) {
  plan_run(p, e);
  return (double)plan_data(p, scalar)[0];
}

static void check_level(const Case *c, Built *b, int k, bool fused) {
  Error e = {0};
  Val wrt[16], grad[16], outs[17];
  for (int i = 0; i < b->ndiff; i++) wrt[i] = b->in[b->diff[i]];
  Status st = graph_grad(b->g, 1, &b->scalar[k], NULL, b->ndiff, wrt, grad, 0, NULL, &e);
  CHECK(st == ST_OK, "%s: gradient of order %d: %s", c->name, k + 1, e.msg);
  if (st) return;
  Plan *p = NULL, *pl = NULL;
  for (int i = 0; i < b->ndiff; i++) outs[i] = grad[i];
  PlanOptions o = {.no_fusion = !fused};
  st = plan_new(b->g, b->ndiff, outs, &o, &p, &e);
  if (!st) st = plan_new(b->g, 1, &b->scalar[k], &o, &pl, &e);
  CHECK(st == ST_OK, "%s: plan: %s", c->name, e.msg);
  if (st) {
    plan_free(p);
    plan_free(pl);
    return;
  }
  Rng r = {.seed = 77};
  for (int i = 0; i < b->nin; i++) {
    Shape s = graph_shape(b->g, b->in[i]);
    real *a = plan_data(p, b->in[i]), *d = plan_data(pl, b->in[i]);
    real *tmp = mem_alloc((size_t)shape_numel(s) * sizeof(real));
    Shape image = c->shape[0];
    if (c->op == OP_grid_sample_dx) image = SHAPE4(1, 2, 4, 5);
    fill(tmp, s, i < c->nin ? c->data[i] : GENERIC, &r, image);
    if (a) memcpy(a, tmp, (size_t)shape_numel(s) * sizeof(real));
    if (d) memcpy(d, tmp, (size_t)shape_numel(s) * sizeof(real));
    mem_free(tmp);
  }
  plan_run(p, &e);
  double worst = 0, scale = 1e-3;
  int64_t count = 0;
  for (int i = 0; i < b->ndiff; i++) {
    Val v = wrt[i];
    const real *ga = plan_data(p, grad[i]);
    real *x = plan_data(pl, v);
    for (int64_t j = 0; j < shape_numel(graph_shape(b->g, v)); j++, count++) {
      double fd = 0, an = (double)ga[j];
      if (x) {
        const double h = 1.0 / 8192;
        real keep = x[j];
        double f[4];
        const int at[4] = {-2, -1, 1, 2};
        for (int q = 0; q < 4; q++) {
          x[j] = keep + (real)(at[q] * h);
          f[q] = value(pl, b->scalar[k], &e);
        }
        x[j] = keep;
        fd = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
      }
      worst = fmax(worst, fabs(fd - an));
      scale = fmax(scale, fabs(fd));
    }
  }
  CHECK(count > 0 && worst <= 1e-8 * scale,
        "%s: order %d%s: worst difference %.3g of %.3g over %lld numbers", c->name, k + 1,
        fused ? "" : " (no fusion)", worst, scale, (long long)count);
  plan_free(p);
  plan_free(pl);
}

int main(void) {
  bool covered[OP_COUNT] = {false};
  threads_set(1); /* tiny arrays */
  for (int i = 0; i < COUNT_OF(cases); i++) {
    const Case *c = &cases[i];
    int order = op_table[c->op]->order, levels = c->order ? c->order : order > 3 ? 3 : order;
    for (int fused = 0; fused < 2; fused++) {
      Built b = {0};
      Error e = {0};
      build(c, &b, levels, &e);
      CHECK(b.levels == levels || levels == 0, "%s: built %d of %d orders: %s", c->name, b.levels,
            levels, e.msg);
      for (int k = 0; k < b.levels && k < levels; k++) check_level(c, &b, k, fused);
      bool seen = false;
      for (Val v = 1; v < graph_size(b.g); v++) seen = seen || graph_node(b.g, v)->op == c->op;
      CHECK(seen, "%s: the graph does not contain the operation %s", c->name,
            op_table[c->op]->name);
      covered[c->op] |= seen;
      graph_free(b.g);
    }
  }
  /* First-order operations say so. */
  Graph *g = graph_new();
  Val z = g_input(g, "z", SHAPE2(2, 3)), t = g_input(g, "t", SHAPE2(2, 3)), d, d2;
  Val loss = g_softmax_ce(g, z, t);
  Error e = {0};
  graph_grad(g, 1, &loss, NULL, 1, &z, &d, 0, NULL, &e);
  d = g_square(g, d);
  CHECK(graph_grad(g, 1, &d, NULL, 1, &z, &d2, 0, NULL, &e) == ST_INVALID &&
            strstr(e.msg, "softmax_ce_dx"),
        "second order of softmax_ce is refused by name: %s", e.msg);
  graph_free(g);
  for (int op = 1; op < OP_COUNT; op++) {
    /* conv_prep is added by the planner behind the gradient: test_conv */
    if (op_table[op]->flags & OPF_LEAF || op == OP_conv_prep) continue;
    CHECK(covered[op], "operation %s has no gradient check", op_table[op]->name);
  }
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  threads_stop();
  return test_end();
}
