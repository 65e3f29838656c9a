/* test_oracle.c: every rung of docs/learn/ladder/ against its first, the plain definition in
 * double; and today's kernels against the same definitions at the shapes of the paper's network
 * (512 channels, 64 x 64) and of VGG16 under it, with all gradients of the convolution, on every
 * instruction set. TEST_LONG=1: the largest shapes, too. */
#include "core/isa.h"
#include "core/ops.h"
#include "core/plan.h"
#include "core/rng.h"
#include "core/threads.h"
#include "docs/learn/ladder/ladder.h"
#include "test/test.h"

static void check_ladder(LadderKind kind, const void *size, double tolerance) {
  Problem p = {0};
  CHECK(problem_new(kind, size, 15, &p), "memory");
  for (const Rung *r = ladder_cpu[kind]; r->name; r++) {
    if (!ladder_fits(r, &p)) continue;
    const double e = ladder_error(r, &p, false, 1, NULL);
    CHECK(e <= tolerance, "%s, %s: error %.3g", r->name, p.text, e);
    ladder_today_end();
  }
  problem_free(&p);
}

/* Shapes that are not multiples of anything, strides, paddings, cropping. */
static void check_rungs(void) {
  static const MatmulSize products[] = {{1, 1, 1}, {7, 9, 5}, {6, 8, 130}, {13, 300, 140}};
  static const FirSize filters[] = {{3, 7, 5, 2, 1, 2, 1, 4, 4},    {2, 8, 9, 1, 2, 1, 1, 4, 1},
                                    {2, 9, 8, 1, 1, 2, 1, 4, 1},    {1, 6, 7, 3, 2, 2, 3, 6, 2},
                                    {1, 11, 12, 2, 1, -3, 2, 4, 1}, {1, 5, 5, 1, 1, 0, 0, 1, 1}};
  const ConvGeom maps[] = {ladder_conv(2, 3, 8, 5, 3, 1, 1), ladder_conv(1, 5, 7, 6, 3, 1, 1),
                           ladder_conv(1, 2, 5, 9, 1, 1, 0), ladder_conv(2, 3, 9, 4, 5, 1, 2),
                           ladder_conv(1, 9, 12, 10, 3, 1, 1)};
  const ConvGeom strided = ladder_conv(2, 3, 9, 4, 3, 2, 1);
  for (int i = 0; i < COUNT_OF(products); i++) check_ladder(LADDER_MATMUL, products + i, 2e-6);
  for (int i = 0; i < COUNT_OF(filters); i++) check_ladder(LADDER_UPFIRDN, filters + i, 2e-6);
  for (int i = 0; i < COUNT_OF(maps); i++) {
    check_ladder(LADDER_CONV, maps + i, 2e-6);
    check_ladder(LADDER_MODCONV, maps + i, 2e-6);
  }
  Problem p = {0};
  CHECK(problem_new(LADDER_CONV, &strided, 15, &p), "memory");
  CHECK(ladder_error(&ladder_cpu[LADDER_CONV][0], &p, false, 1, NULL) < 2e-6, "rows, stride 2");
  problem_free(&p);
}

/* ---- today's kernels at the paper's shapes ---- */
static double oracle_error(const real *got, const double *want, int64_t n) {
  double top = 1e-30, worst = 0;
  for (int64_t i = 0; i < n; i++) {
    const double d = fabs((double)got[i] - want[i]);
    top = fmax(top, fabs(want[i]));
    if (!(d <= worst)) worst = d;
  }
  return worst / top;
}

static double *oracle_random(Rng *r, int64_t n, real *rounded) {
  double *d = mem_alloc((size_t)n * sizeof *d);
  for (int64_t i = 0; i < n; i++) d[i] = rounded[i] = (real)(2 * rng_uniform(r) - 1);
  return d;
}

/* One convolution with both gradients as a graph: y, dx and dw for a given dy. */
typedef struct Triple {
  ConvGeom g;
  Graph *graph;
  Val x;
  Val w;
  Val dy;
  Val out[3];
  double *want[3];
} Triple;

static void triple_run(Triple *t, Plan *p, const char *isa) {
  static const char *const what[3] = {"y", "dx", "dw"};
  Error e = {0};
  CHECK(plan_run(p, &e) == ST_OK, "%s", e.msg);
  for (int k = 0; k < 3; k++) {
    const double d = oracle_error(plan_data(p, t->out[k]), t->want[k],
                                  shape_numel(graph_shape(t->graph, t->out[k])));
    CHECK(d <= 1e-5, "%s of [%lld,%lld,%lld] to %lld, %lldx%lld, %s: error %.3g", what[k],
          (long long)t->g.n, (long long)t->g.ci, (long long)t->g.h, (long long)t->g.co,
          (long long)t->g.kh, (long long)t->g.kw, isa, d);
  }
}

static void triple_all(Triple *t, Rng *r) {
  const Val leaf[3] = {t->x, t->w, t->dy};
  double *in[3];
  Error e = {0};
  for (int k = 0; k < 3; k++) {
    const int64_t n = shape_numel(graph_shape(t->graph, t->out[k]));
    t->want[k] = mem_alloc((size_t)n * sizeof(double));
  }
  for (int isa = 0; isa < ISA_COUNT; isa++) {
    if (!isa_set((IsaLevel)isa)) continue;
    Plan *p = NULL;
    CHECK(plan_new(t->graph, 3, t->out, NULL, &p, &e) == ST_OK, "%s", e.msg);
    if (!p) continue;
    Rng again = *r;
    for (int k = 0; k < 3; k++)
      in[k] =
          oracle_random(&again, shape_numel(graph_shape(t->graph, leaf[k])), plan_data(p, leaf[k]));
    if (isa == 0) {
      conv_0_naive(&t->g, in[0], in[1], t->want[0]);
      conv_0_naive_dx(&t->g, in[2], in[1], t->want[1]);
      conv_0_naive_dw(&t->g, in[0], in[2], t->want[2]);
    }
    triple_run(t, p, isa_name((IsaLevel)isa));
    for (int k = 0; k < 3; k++) mem_free(in[k]);
    plan_free(p);
  }
  for (int k = 0; k < 3; k++) mem_free(t->want[k]);
}

static void check_triple(ConvGeom c, Rng *r) {
  Triple t = {.g = c, .graph = graph_new()};
  Graph *g = t.graph;
  t.x = g_input(g, "x", SHAPE4(c.n, c.ci, c.h, c.w));
  t.w = g_input(g, "w", SHAPE4(c.co, c.ci, c.kh, c.kw));
  t.dy = g_input(g, "dy", SHAPE4(c.n, c.co, c.oh, c.ow));
  t.out[0] = g_conv2d(g, t.x, t.w, c.stride, c.pad);
  t.out[1] = g_conv2d_dx(g, t.dy, t.w, c.stride, c.pad, c.h, c.w);
  t.out[2] = g_conv2d_dw(g, t.x, t.dy, c.stride, c.pad, (int)c.kh, (int)c.kw);
  triple_all(&t, r);
  graph_free(g);
}

static void check_paper_shapes(void) {
  Rng r = {.seed = 16};
  const bool whole = getenv("TEST_LONG") != NULL;
  const ConvGeom quick[] = {ladder_conv(1, 512, 4, 512, 3, 1, 1),  /* the paper's network */
                            ladder_conv(1, 256, 64, 1, 1, 1, 0),   /* its last toRGB */
                            ladder_conv(1, 3, 64, 64, 3, 1, 1),    /* VGG16, conv1_1 */
                            ladder_conv(1, 128, 17, 64, 3, 2, 0)}; /* a transposed convolution */
  const ConvGeom all[] = {
      ladder_conv(2, 512, 8, 512, 3, 1, 1), ladder_conv(1, 512, 32, 256, 3, 1, 1),
      ladder_conv(1, 256, 64, 256, 3, 1, 1), ladder_conv(1, 512, 17, 512, 3, 2, 0),
      ladder_conv(1, 64, 64, 64, 3, 1, 1)};
  for (int i = 0; i < COUNT_OF(quick); i++) check_triple(quick[i], &r);
  for (int i = 0; i < COUNT_OF(all) && whole; i++) check_triple(all[i], &r);
  const MatmulSize style = {4, 512, 512};
  const FirSize up = {64, 32, 32, 2, 1, 2, 1, 4, 4}, down = {64, 64, 64, 1, 2, 1, 1, 4, 1};
  const ConvGeom modulated = ladder_conv(2, 512, 4, 512, 3, 1, 1);
  check_ladder(LADDER_MATMUL, &style, 1e-5);
  check_ladder(LADDER_UPFIRDN, &up, 1e-5);
  check_ladder(LADDER_UPFIRDN, &down, 1e-5);
  check_ladder(LADDER_MODCONV, &modulated, 1e-5);
}

int main(void) {
  check_rungs();
  check_paper_shapes();
  threads_stop();
  return test_end();
}
