/* test_core.c: memory, random numbers, optimiser, threads, the planner's promises. The gradients
 * are in f64_grad.c. */
#include <pthread.h>
#include <stdint.h>
#include "core/graph.h"
#include "core/isa.h"
#include "core/ops.h"
#include "core/optim.h"
#include "core/params.h"
#include "core/plan.h"
#include "core/plan_dump.h"
#include "core/rng.h"
#include "core/threads.h"
#include "test/host_backend.h"
#include "test/test.h"

static void test_philox(void) {
  /* Known answers of Random123 (Salmon et al. 2011), kat_vectors, philox4x32 10 rounds. */
  static const uint32_t kat[3][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
       0x94fdcceb, 0x5001e420, 0x24126ea1}};
  for (int k = 0; k < 3; k++) {
    uint32_t out[4];
    philox4x32_10(kat[k], kat[k] + 4, out);
    CHECK(memcmp(out, kat[k] + 6, 16) == 0, "philox known answer %d", k);
  }
  enum { N = 100003 };
  float *a = mem_alloc(N * sizeof *a), *b = mem_alloc(N * sizeof *b);
  Rng r = {.seed = 5, .subsequence = 9};
  threads_set(1);
  rng_fill_normal(&r, a, N);
  double mean = 0, var = 0, kurt = 0;
  for (int i = 0; i < N; i++) {
    mean += a[i];
    var += a[i] * a[i];
    kurt += pow(a[i], 4);
  }
  mean /= N;
  var /= N;
  kurt /= N;
  CHECK(fabs(mean) < 0.015 && fabs(var - 1) < 0.02 && fabs(kurt - 3) < 0.15,
        "normals: mean %g variance %g fourth moment %g", mean, var, kurt);
  CHECK(r.offset == (N + 3) / 4 * 4, "position after a fill: %llu", (unsigned long long)r.offset);
  threads_set(3);
  r = (Rng){.seed = 5, .subsequence = 9};
  rng_fill_normal(&r, b, N);
  CHECK(memcmp(a, b, N * sizeof *a) == 0, "normals do not depend on the number of threads");
  double z[3];
  Error e;
  CHECK(numpy_randn(123, z, 3, &e) == ST_OK && fabs(z[0] + 1.0856306033005612) < 1e-15 &&
            fabs(z[1] - 0.9973454465835858) < 1e-15 && fabs(z[2] - 0.28297849805199204) < 1e-15,
        "numpy RandomState(123).randn(3): %.16g %.16g %.16g", z[0], z[1], z[2]);
  mem_free(a);
  mem_free(b);
}

/* A graph with every kind of step: fused loops, reductions, convolution, matmul, folded weights,
 * reshape, in-place. */
typedef struct Net {
  Graph *g;
  Params p;
  Val x;
  Val w;
  Val loss;
  Val dx;
  Val dw;
  Val feat;
} Net;

static Status net_new(Net *n, bool frozen, Error *e) {
  *n = (Net){0};
  Status st = params_add(&n->p, "w", SHAPE4(8, 4, 3, 3), false, e);
  if (!st) st = params_add(&n->p, "v", SHAPE2(5, 8), false, e);
  if (!st) st = params_add(&n->p, "b", SHAPE1(8), false, e);
  if (!st) st = params_seal(&n->p, e);
  if (st) return st;
  for (int i = 0; i < n->p.n; i++)
    formula_fill(n->p.entry[i].data, n->p.entry[i].numel, n->p.entry[i].name, 0.5, 0);
  if (!(n->g = graph_new())) return err_set(e, ST_NOMEM, "graph");
  Graph *g = n->g;
  n->x = g_input(g, "x", SHAPE4(3, 4, 9, 7));
  n->w = params_leaf(g, &n->p, "w", frozen);
  /* depends on frozen weights only */
  Val s = g_reshape(g, g_sum(g, g_square(g, n->w), 13), SHAPE4(1, 4, 1, 1));
  Val scale = g_broadcast(g, g_rsqrt0(g, s), SHAPE4(3, 4, 1, 1));
  Val y = g_conv2d(g, g_mul(g, n->x, scale), n->w, 1, 1);
  y = g_lrelu(g, g_add(g, y, g_reshape(g, params_leaf(g, &n->p, "b", frozen), SHAPE4(1, 8, 1, 1))),
              0.2, 1.4, 2.5);
  y = g_sub(g, y, g_mean(g, y, 12));
  n->feat = y;
  Val f = g_matmul(g, g_reshape(g, g_mean(g, g_square(g, y), 12), SHAPE2(3, 8)),
                   params_leaf(g, &n->p, "v", frozen), false, true);
  n->loss = g_sum_all(g, g_softplus(g, f));
  n->dx = g_grad1(g, n->loss, n->x);
  /* second order */
  n->dw = g_grad1(g, g_add(g, n->loss, g_sum_all(g, g_square(g, n->dx))), n->w);
  return graph_status(g, e);
}

static void net_free(Net *n) {
  graph_free(n->g);
  params_free(&n->p);
}

static Status run_net(Net *n, const PlanOptions *o, float *out, Error *e) {
  Plan *p;
  Val outs[4] = {n->loss, n->dx, n->dw, n->feat};
  Status st = plan_new(n->g, 4, outs, o, &p, e);
  if (st) return st;
  Rng r = {.seed = 3};
  float *x = plan_data(p, n->x);
  if (!x) {
    plan_free(p);
    return err_set(e, ST_NOMEM, "input");
  }
  rng_fill_normal(&r, x, 3 * 4 * 9 * 7);
  st = plan_run(p, e);
  /* twice: nothing may depend on what the last run left behind */
  if (!st) st = plan_run(p, e);
  int64_t at = 0;
  for (int i = 0; i < 4 && !st; i++) {
    int64_t c = shape_numel(graph_shape(n->g, outs[i]));
    float *d = plan_data(p, outs[i]);
    if (!d) {
      st = err_set(e, ST_NOMEM, "output");
      break;
    }
    memcpy(out + at, d, (size_t)c * sizeof *out);
    at += c;
  }
  plan_free(p);
  return st;
}

enum { NET_OUT = 1 + 3 * 4 * 63 + 8 * 36 + 3 * 8 * 63 };

static double worst(const float *a, const float *b) {
  double d = 0, s = 0;
  for (int i = 0; i < NET_OUT; i++) {
    d = fmax(d, fabs((double)a[i] - b[i]));
    s = fmax(s, fabs((double)a[i]));
  }
  return d / s;
}

static void test_plan(void) {
  static float ref[NET_OUT], out[NET_OUT];
  Error e = {0};
  for (int frozen = 0; frozen < 2; frozen++) {
    Net n;
    CHECK(net_new(&n, frozen, &e) == ST_OK, "net: %s", e.msg);
    threads_set(1);
    CHECK(run_net(&n, &(PlanOptions){.no_fusion = true}, ref, &e) == ST_OK, "plain plan: %s",
          e.msg);
    CHECK(run_net(&n, NULL, out, &e) == ST_OK && worst(ref, out) < 2e-6,
          "fused plan equals the plain one (%.2g): %s", worst(ref, out), e.msg);
    CHECK(run_net(&n, &(PlanOptions){.keep_all = true}, out, &e) == ST_OK && worst(ref, out) < 2e-6,
          "keep_all: %s", e.msg);
    for (int isa = 0; isa < ISA_COUNT; isa++) {
      if (!isa_set((IsaLevel)isa)) continue;
      threads_set(1);
      CHECK(run_net(&n, NULL, ref, &e) == ST_OK, "%s: %s", isa_name((IsaLevel)isa), e.msg);
      for (int t = 2; t <= 3; t++) {
        threads_set(t);
        CHECK(run_net(&n, NULL, out, &e) == ST_OK && memcmp(ref, out, sizeof ref) == 0,
              "%s: %d threads give the bits of one", isa_name((IsaLevel)isa), t);
      }
    }
    threads_set(2);
    CHECK(run_net(&n, &(PlanOptions){.max_bytes = 1000}, out, &e) == ST_NOMEM &&
              strstr(e.msg, "MiB"),
          "refusal names the need: %s", e.msg);
    net_free(&n);
  }
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
}

static void test_bind(void) {
  Error e = {0};
  Graph *g = graph_new();
  Val x = g_input(g, "x", SHAPE2(2, 3)), y = g_axpb(g, x, 2, 1), z = g_reshape(g, y, SHAPE1(6)),
      zero = g_grad1(g, g_sum_all(g, x), y);
  Val outs[] = {y, z, zero, x};
  Plan *p;
  static float a[64] __attribute__((aligned(64))), b[64] __attribute__((aligned(64))),
      c[64] __attribute__((aligned(64))), d[64];
  CHECK(plan_new(g, 4, outs, NULL, &p, &e) == ST_OK, "plan: %s", e.msg);
  c[0] = c[5] = 7;
  CHECK(!plan_bind(p, y, a, &e) && !plan_bind(p, z, b, &e) && !plan_bind(p, zero, c, &e) &&
            !plan_bind(p, x, d, &e),
        "bind: %s", e.msg);
  float *in = plan_data(p, x);
  for (int i = 0; i < 6; i++) in[i] = (float)i;
  CHECK(plan_run(p, &e) == ST_OK, "run: %s", e.msg);
  CHECK(a[5] == 11 && b[5] == 11 && b[0] == 1, "one value bound to two places: %g %g", a[5], b[5]);
  CHECK(c[0] == 0 && c[5] == 0, "a gradient that does not exist is written as zero");
  CHECK(plan_bind(p, 999, a, &e) == ST_INTERNAL, "binding nothing is refused");
  plan_free(p);
  graph_free(g);
  /* sticky errors, shapes named */
  g = graph_new();
  x = g_input(g, "x", SHAPE2(2, 3));
  y = g_add(g, x, g_input(g, "y", SHAPE2(2, 4)));
  CHECK(y == 0 && g_square(g, y) == 0 && graph_status(g, &e) == ST_INTERNAL &&
            strstr(e.msg, "[2,3]") && strstr(e.msg, "[2,4]"),
        "shape error: %s", e.msg);
  CHECK(plan_new(g, 1, &x, NULL, &p, &e) != ST_OK && p == NULL, "a failed graph cannot be planned");
  graph_free(g);
}

/* Weights change between runs: frozen ones need plan_refresh, others do not. */
static void test_refresh(void) {
  Error e = {0};
  for (int frozen = 0; frozen < 2; frozen++) {
    Net n;
    static float a[NET_OUT], b[NET_OUT];
    CHECK(!net_new(&n, frozen, &e), "net");
    Plan *p;
    CHECK(!plan_new(n.g, 1, &n.dw, NULL, &p, &e), "plan: %s", e.msg);
    Rng r = {.seed = 3};
    rng_fill_normal(&r, plan_data(p, n.x), 3 * 4 * 9 * 7);
    plan_run(p, &e);
    for (int64_t i = 0; i < n.p.nparam; i++) n.p.data[i] *= 1.5f;
    plan_refresh(p);
    plan_run(p, &e);
    memcpy(a, plan_data(p, n.dw), 288 * sizeof *a);
    plan_free(p);
    plan_new(n.g, 1, &n.dw, NULL, &p, &e);
    r = (Rng){.seed = 3};
    rng_fill_normal(&r, plan_data(p, n.x), 3 * 4 * 9 * 7);
    plan_run(p, &e);
    memcpy(b, plan_data(p, n.dw), 288 * sizeof *b);
    CHECK(memcmp(a, b, 288 * sizeof *a) == 0, "changed weights are seen (frozen %d)", frozen);
    plan_free(p);
    net_free(&n);
  }
}

/* Every allocation of building, planning and running fails once: a clean error each time, nothing
 * leaked. */
static void test_allocation_failure(void) {
  static float out[NET_OUT];
  int failures = 0, bad = 0;
  threads_set(1);
  for (int64_t k = 0; k < 100000; k++) {
    Net n;
    Error e = {0};
    mem_fail_after(k);
    Status st = net_new(&n, true, &e);
    if (!st) st = run_net(&n, NULL, out, &e);
    mem_fail_after(-1);
    net_free(&n);
    if (mem_live_count()) bad++;
    if (st == ST_OK) break;
    failures++;
    if (st != ST_NOMEM || !e.msg[0]) bad++;
  }
  CHECK(failures > 50 && bad == 0, "%d allocations failed in turn, %d of them badly", failures,
        bad);
}

static void test_adam(void) {
  Error e;
  Adam a;
  float p[3] = {1, -2, 3}, g[3] = {0.5f, -1, 0};
  CHECK(!adam_init(&a, 3, 0.1, 0, 0.99, 1e-8, &e) && a.m == NULL,
        "beta1 = 0 keeps no first moment");
  adam_step(&a, p, g);
  CHECK(fabsf(p[0] - 0.9f) < 1e-6f && fabsf(p[1] + 1.9f) < 1e-6f && p[2] == 3,
        "first step moves by lr * sign(g): %g %g %g", p[0], p[1], p[2]);
  adam_free(&a);
  float bad[4] = {NAN, INFINITY, -INFINITY, 2};
  grad_sanitize(bad, 4);
  CHECK(bad[0] == 0 && bad[1] == 1e5f && bad[2] == -1e5f && bad[3] == 2,
        "NaN and infinities are replaced");
  float ema[2] = {1, 2}, q[2] = {3, 2};
  ema_update(ema, q, 2, 0.75);
  CHECK(ema[0] == 1.5f && ema[1] == 2, "ema: %g %g", ema[0], ema[1]);
}

static void count_block(void *ctx, int64_t i, int worker) {
  __atomic_fetch_add((int64_t *)ctx, i + 1, __ATOMIC_RELAXED);
  (void)worker;
}

static void test_threads(void) {
  for (int t = 1; t <= 5; t += 2) {
    threads_set(t);
    int64_t sum = 0;
    for (int k = 0; k < 200; k++) par_for(k, count_block, &sum);
    int64_t want = 0;
    for (int64_t k = 0; k < 200; k++) want += k * (k + 1) / 2;
    CHECK(sum == want && threads_count() == t, "%d threads run every block once", t);
  }
}

/* An operation that the library does not know: y = x^3 + c, its gradient in ops of the table. */
static void cube_shape(Graph *g, const Shape *in, Node *n) { n->shape = in[0]; }

static void cube_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_mul(g, dy, g_axpb(g, g_square(g, n->in[0]), 3, 0));
}

static void cube_cpu(const Exec *x) {
  const real c = (real)x->node->attr.axpb.shift;
  for (int64_t i = 0; i < shape_numel(x->node->shape); i++)
    x->out[i] = x->in[0][i] * x->in[0][i] * x->in[0][i] + c;
}

static const OpRow cube = {.name = "cube",
                           .order = ORDER_ANY,
                           .attr_bytes = sizeof(AxpbAttr),
                           .shape = cube_shape,
                           .grad = cube_grad,
                           .cpu = cube_cpu};

static void test_custom(void) {
  Error e = {0};
  Graph *g = graph_new();
  Val x = g_input(g, "x", SHAPE1(3));
  Val y = g_custom(g, &cube, 1, &x, &(Attr){.axpb = {.shift = 0.5}});
  Val again = g_custom(g, &cube, 1, &x, &(Attr){.axpb = {.shift = 0.5}});
  Val other = g_custom(g, &cube, 1, &x, &(Attr){.axpb = {.shift = 0.25}});
  CHECK(y && y == again && y != other, "one node for equal operands, attributes and row");
  Val dx = g_grad1(g, g_sum_all(g, y), x), ddx = g_grad1(g, g_sum_all(g, dx), x);
  Plan *p = NULL;
  CHECK(!plan_new(g, 3, (Val[]){y, dx, ddx}, NULL, &p, &e), "plan: %s", e.msg);
  memcpy(plan_data(p, x), (real[]){-2, 0, 3}, 3 * sizeof(real));
  CHECK(!plan_run(p, &e), "run: %s", e.msg);
  CHECK(!memcmp(plan_data(p, y), (real[]){-7.5f, 0.5f, 27.5f}, 3 * sizeof(real)), "values");
  CHECK(!memcmp(plan_data(p, dx), (real[]){12, 0, 27}, 3 * sizeof(real)), "gradient");
  CHECK(!memcmp(plan_data(p, ddx), (real[]){-12, 0, 18}, 3 * sizeof(real)), "second gradient");
  plan_free(p);
  HostBackend *h = host_backend_new(PREC_STRICT);
  CHECK(plan_new(g, 1, &y, &(PlanOptions){.backend = &h->b}, &p, &e) == ST_INVALID && !p &&
            strstr(e.msg, "cube"),
        "refused on a device: %s", e.msg);
  host_backend_free(h);
  CHECK(!g_custom(g, &cube, 1, &x, NULL) && graph_status(g, &e) == ST_INTERNAL &&
            strstr(e.msg, "missing"),
        "attributes are missing: %s", e.msg);
  graph_free(g);
  g = graph_new();
  OpRow bad = cube;
  bad.flags = OPF_POINTWISE;
  x = g_input(g, "x", SHAPE1(3));
  CHECK(!g_custom(g, &bad, 1, &x, NULL) && graph_status(g, &e) == ST_INVALID, "flags: %s", e.msg);
  graph_free(g);
}

/* Plans made in several threads at once are the plans made one after another. */
enum { MAKERS = 4, MAKES = 12 };
typedef struct Maker {
  int id;
  PlanStats stats[MAKES];
  bool ok;
} Maker;

static Status maker_plan(int id, int k, PlanStats *out) {
  Error e;
  Graph *g = graph_new();
  Plan *p = NULL;
  const int64_t side = 5 + (id * 7 + k) % 11;
  Val x = g_input(g, "x", SHAPE4(2, 3, side, side)), y = x, sum = g_scalar(g, 0.5);
  for (int i = 0; i < 80; i++) {
    y = g_flip(g, g_pad(g, g_lrelu(g, y, 0.2, 1.4, -1), 3, 1, side + i + 1, 1), 4);
    sum = g_add(g, sum, g_sum_all(g, g_square(g, y)));
  }
  Status s = plan_new(g, 2, (Val[]){sum, g_grad1(g, sum, x)}, NULL, &p, &e);
  if (s == ST_OK) *out = plan_stats(p);
  plan_free(p);
  graph_free(g);
  return s;
}

static void *maker_thread(void *arg) {
  Maker *m = arg;
  m->ok = true;
  for (int k = 0; k < MAKES; k++) m->ok = m->ok && maker_plan(m->id, k, &m->stats[k]) == ST_OK;
  return NULL;
}

/* By members: what lies between them is nothing. */
static bool same_stats(const PlanStats *a, const PlanStats *b) {
  return a->arena_bytes == b->arena_bytes && a->folded_bytes == b->folded_bytes &&
         a->io_bytes == b->io_bytes && a->scratch_bytes == b->scratch_bytes &&
         a->nodes == b->nodes && a->steps == b->steps && a->flop == b->flop &&
         a->bytes == b->bytes && a->scratch == b->scratch && a->launches == b->launches &&
         a->kept_steps == b->kept_steps && a->kept_launches == b->kept_launches &&
         a->kept_bytes == b->kept_bytes;
}

static void test_plans_in_threads(void) {
  static Maker m[MAKERS];
  pthread_t t[MAKERS];
  for (int i = 0; i < MAKERS; i++) {
    m[i].id = i;
    CHECK(pthread_create(&t[i], NULL, maker_thread, &m[i]) == 0, "thread %d", i);
  }
  for (int i = 0; i < MAKERS; i++) pthread_join(t[i], NULL);
  for (int i = 0; i < MAKERS; i++) {
    int different = 0;
    for (int k = 0; k < MAKES && m[i].ok; k++) {
      PlanStats s = {0};
      different += maker_plan(i, k, &s) != ST_OK || !same_stats(&s, &m[i].stats[k]);
    }
    CHECK(m[i].ok && !different, "thread %d: %d of %d plans differ", i, different, MAKES);
  }
}

/* The table of the memory says what is so: two values that live at the same step share no byte, and
 * nothing lies outside the arena. The drawings are well formed and show every step. */
typedef struct Lifetime {
  size_t offset;
  size_t bytes;
  int first;
  int last;
} Lifetime;

static char *dumped(const Plan *p, DumpKind kind, bool svg) {
  char *text = NULL;
  size_t n = 0;
  Error e = {0};
  FILE *f = open_memstream(&text, &n);
  if (svg)
    CHECK(!plan_dump_svg(p, kind, f, &e), "drawing: %s", e.msg);
  else
    plan_dump_text(p, kind, f);
  CHECK(fclose(f) == 0 && n > 0, "dump");
  return text;
}

static int times(const char *text, const char *what) {
  int n = 0;
  for (const char *s = text; (s = strstr(s, what)); s++) n++;
  return n;
}

static void check_lifetimes(const char *table, size_t arena) {
  Lifetime life[400], x;
  int n = 0, bad = 0;
  for (const char *s = table; (s = strchr(s, '\n')) && n < COUNT_OF(life);) {
    const int numbers =
        sscanf(++s, "%*d %*s %*s arena %zu %zu %d %d", &x.offset, &x.bytes, &x.first, &x.last);
    /* a value in place of another ends with its number, the others with a tab */
    if (numbers == 4 && s[strcspn(s, "\n") - 1] == '\t') life[n++] = x;
  }
  for (int i = 0; i < n; i++) {
    bad += life[i].offset + life[i].bytes > arena;
    for (int j = 0; j < i; j++)
      bad += life[i].first <= life[j].last && life[j].first <= life[i].last &&
             life[i].offset < life[j].offset + life[j].bytes &&
             life[j].offset < life[i].offset + life[i].bytes;
  }
  CHECK(n > 5 && !bad, "%d values in the arena, %d collisions", n, bad);
}

static void test_dump(void) {
  Net n;
  Error e = {0};
  Plan *p = NULL;
  CHECK(!net_new(&n, true, &e), "net: %s", e.msg);
  CHECK(!plan_new(n.g, 4, (Val[]){n.loss, n.dx, n.dw, n.feat}, NULL, &p, &e), "plan: %s", e.msg);
  const PlanStats s = plan_stats(p);
  char *text[DUMP_KINDS], *svg[DUMP_KINDS];
  for (int k = 0; k < DUMP_KINDS; k++) {
    text[k] = dumped(p, (DumpKind)k, false);
    svg[k] = dumped(p, (DumpKind)k, true);
    CHECK(times(svg[k], "<svg ") == 1 && times(svg[k], "</svg>") == 1 &&
              times(svg[k], "<text") == times(svg[k], "</text>") &&
              times(svg[k], "<title>") == times(svg[k], "</title>"),
          "%s: well formed", dump_kind_name[k]);
  }
  CHECK(times(text[DUMP_GRAPH], "\n") ==
            graph_size(n.g) - 1 + 1 + times(text[DUMP_GRAPH], "conv_prep"),
        "a line per value");
  CHECK(strstr(text[DUMP_GRAPH], "stride 1, pad 1"), "attributes by name");
  CHECK(times(text[DUMP_PLAN], "\n") == s.steps + 2, "a line per step");
  CHECK(times(svg[DUMP_GRAPH], "<g><title>step") == s.steps, "a box per step");
  check_lifetimes(text[DUMP_MEMORY], s.arena_bytes);
  for (int k = 0; k < DUMP_KINDS; k++) {
    free(text[k]);
    free(svg[k]);
  }
  plan_free(p);
  CHECK(!setenv("PRLX_DUMP", "/nonexistent", 1), "setenv");
  CHECK(plan_new(n.g, 1, &n.loss, NULL, &p, &e) == ST_IO && strstr(e.msg, "/nonexistent"),
        "PRLX_DUMP: %s", e.msg);
  unsetenv("PRLX_DUMP");
  net_free(&n);
}

/* What 16 bits would hold of a map, counted: plan_ranges. */
static void test_ranges(void) {
  Error e;
  Plan *p = NULL;
  Graph *g = graph_new();
  const Val x = g_input(g, "x", SHAPE4(1, 8, 8, 8)), y = g_sum_all(g, g_roll(g, x, 3, 1));
  char *text = NULL;
  size_t bytes = 0;
  CHECK(plan_new(g, 1, &y, NULL, &p, &e) == ST_OK && plan_ranges(p, true, &e) == ST_OK, "%s",
        e.msg);
  real *in = plan_data(p, x);
  for (int i = 0; i < 512; i++) in[i] = 1;
  for (int i = 0; i < 64; i++) in[i] = (real)(i % 2 ? 2e-8 : 0);       /* to zero: 12.5 percent */
  for (int i = 64; i < 192; i++) in[i] = (real)(i % 2 ? -4e-8 : 6e-5); /* subnormal: 25 percent */
  for (int i = 192; i < 208; i++) in[i] = (real)(i % 2 ? -65520 : INFINITY); /* 3.125 percent */
  in[208] = -65519;
  CHECK(plan_run(p, &e) == ST_OK, "%s", e.msg);
  FILE *f = open_memstream(&text, &bytes);
  plan_ranges_report(p, "a plan", f);
  fclose(f);
  CHECK(times(text, "\n") == 1 && !strncmp(text, "a plan\t", 7), "one map of one step: %s", text);
  CHECK(strstr(text, "\tF32\t12.5\t25\t3.125\t65519\n"), "shares: %s", text);
  free(text);
  CHECK(plan_ranges(p, false, &e) == ST_OK && plan_run(p, &e) == ST_OK, "off: %s", e.msg);
  plan_free(p);
  graph_free(g);
}

int main(void) {
  test_ranges();
  test_dump();
  test_plans_in_threads();
  test_custom();
  test_philox();
  test_threads();
  test_adam();
  test_plan();
  test_bind();
  test_refresh();
  test_allocation_failure();
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  threads_stop();
  return test_end();
}
