/* cuda_plans.c: whole plans on the device against the same plans on the CPU (loops, stores, 16-bit
 * storage, graphs that are replayed), and the optimiser. */
#include "core/plan.h"
#include "cuda/device.h"
#include "models/gan/networks.h"
#include "test/cuda_check.h"
#include "test/cuda_exact.h"

/* ---- plans ---- */
enum { MAX_OUT = 24 };
static Status run_plan(const Case *c, const Built *b, int nout, const Val *outs, Backend *dev,
                       int runs, float **result, Error *e) {
  PlanOptions o = {.backend = dev};
  Plan *p = NULL;
  Status st = plan_new(b->g, nout, outs, &o, &p, e);
  for (int run = 0; run < runs && !st; run++) {
    Rng r = {.seed = 77};
    for (int i = 0; i < b->nin; i++) {
      Shape s = graph_shape(b->g, b->in[i]),
            image = c->op == OP_grid_sample_dx ? SHAPE4(1, 2, 4, 5) : c->shape[0];
      float *tmp = mem_alloc((size_t)shape_numel(s) * 4), *x = plan_data(p, b->in[i]);
      if (tmp) fill(tmp, s, i < c->nin ? c->data[i] : GENERIC, &r, image);
      if (x && tmp) memcpy(x, tmp, (size_t)shape_numel(s) * 4);
      mem_free(tmp);
    }
    exact_order((uint64_t)run + 1);
    st = plan_run(p, e);
  }
  for (int i = 0; i < nout && !st; i++) {
    size_t bytes = (size_t)shape_numel(graph_shape(b->g, outs[i])) * 4;
    const float *x = plan_data(p, outs[i]);
    result[i] = mem_alloc(bytes);
    if (!x || !result[i])
      st = err_set(e, ST_INTERNAL, "output %d cannot be read", i);
    else
      memcpy(result[i], x, bytes);
  }
  plan_free(p);
  return st;
}

/* strict: the largest difference against the largest value. Else: root mean squares, since a
 * rounded number on the other side of a kink changes a gradient by its own size. */
static double plan_bound(Precision p) {
  return p == PREC_STRICT ? 3e-5 : p == PREC_TF32 ? 1e-2 : p == PREC_F16 ? 1e-2 : 6e-2;
}

static double difference(Precision p, const float *want, const float *got, int64_t n) {
  double most = 1e-3, worst = 0, sw = 1e-6, sd = 0;
  for (int64_t k = 0; k < n; k++) {
    double d = fabs((double)got[k] - want[k]);
    if (isnan(d)) return INFINITY;
    most = fmax(most, fabs((double)want[k]));
    worst = fmax(worst, d);
    sw += (double)want[k] * want[k];
    sd += d * d;
  }
  return p == PREC_STRICT ? worst / most : sqrt(sd / sw);
}

/* What is wanted: the CPU's numbers, or those of the device with all maps in planes. */
static Status wanted_numbers(Bench *t, const Case *c, const Built *b, int n, const Val *outs,
                             bool planes, float **want, Error *e) {
  int (*const last)(Backend *, const DevStep *, int, MapLayout *) = t->b->channels_last;
  if (!planes) return run_plan(c, b, n, outs, NULL, 1, want, e);
  t->b->channels_last = NULL;
  const Status st = run_plan(c, b, n, outs, t->b, 1, want, e);
  t->b->channels_last = last;
  return st;
}

static void plan_against(Bench *t, const Case *c, bool planes, double bound) {
  if (skipped(t, c->name)) return;
  Built b = {0};
  Error e = {0};
  int order = op_table[c->op]->order,
      most = c->order    ? c->order
             : order > 3 ? 3
                         : order,
      levels = most < 2 ? most : 2;
  build(c, &b, levels, &e);
  Val wrt[16], outs[MAX_OUT];
  int n = 0;
  for (int i = 0; i < b.ndiff; i++) wrt[i] = b.in[b.diff[i]];
  for (int k = 0; k < b.levels && k < levels; k++) outs[n++] = b.scalar[k];
  if (levels > 0 &&
      graph_grad(b.g, 1, &b.scalar[levels - 1], NULL, b.ndiff, wrt, outs + n, 0, NULL, &e) == ST_OK)
    n += b.ndiff;
  if (n == 0) outs[n++] = b.scalar[0];
  float *want[MAX_OUT] = {NULL}, *got[MAX_OUT] = {NULL};
  Status st = wanted_numbers(t, c, &b, n, outs, planes, want, &e);
  if (!st) st = run_plan(c, &b, n, outs, t->b, 3, got, &e);
  const char *f = exact_fault();
  CHECK(!st && !f, "%s, plan of %s: %s", precision_name(t->b->precision), c->name, f ? f : e.msg);
  for (int i = 0; i < n && !st && !f; i++) {
    int64_t m = shape_numel(graph_shape(b.g, outs[i]));
    double d = difference(t->b->precision, want[i], got[i], m);
    CHECK(d <= bound, "%s, plan of %s, output %d: relative difference %.3g, bound %.3g",
          precision_name(t->b->precision), c->name, i, d, bound);
    if (getenv("TEST_NUMBERS"))
      printf("%s, plan of %s, output %d: %.3g\n", precision_name(t->b->precision), c->name, i, d);
  }
  for (int i = 0; i < MAX_OUT; i++) {
    mem_free(want[i]);
    mem_free(got[i]);
  }
  graph_free(b.g);
}

static void check_plan(Bench *t, const Case *c) {
  plan_against(t, c, false, plan_bound(t->b->precision));
}

void check_plan_planes(Bench *t, const Case *c, double bound) { plan_against(t, c, true, bound); }

/* A small network of the kinds of layers there are: modulated convolution with demodulation, noise,
 * bias, activation, filters up and down, a skip, a sum. */
static Val b_network(Graph *g, const Val *in) {
  Shape s = graph_shape(g, in[0]), w = graph_shape(g, in[1]);
  Val y = in[0];
  for (int k = 0; k < 3; k++) {
    Val up = k == 1 ? g_conv2d_dx(g, g_mul(g, y, in[2]), in[1], 2, 0, 2 * graph_dim(g, y, 2) + 1,
                                  2 * graph_dim(g, y, 3) + 1)
                    : g_conv2d(g, g_mul(g, y, in[2]), in[1], 1, 1);
    if (k == 1) up = g_upfirdn2d(g, up, in[3], &(UpFirDn){1, 1, 1, 1, 1, 1, 1, 1, 0, 4, 0});
    Val d = g_rsqrt0(g, g_axpb(g, g_sum(g, g_square(g, in[1]), 14), 1, 1e-8));
    Val z = g_mul(g, up, g_reshape(g, d, SHAPE4(1, w.dim[0], 1, 1)));
    y = g_lrelu(g, g_add(g, z, g_axpb(g, g_mean(g, z, 12), 0.3, 0.1)), 0.2, 1.4, 256);
    if (k == 0) y = g_axpb(g, g_add(g, y, in[0]), 0.70710678, 0);
  }
  (void)s;
  return g_upfirdn2d(g, y, in[3], &(UpFirDn){1, 1, 2, 2, 1, 1, 1, 1, 0, 1, 0});
}

/* Two layers of a generator whose undemodulated maps have 40 times the largest number of f16:
 * sqrt(16 * 9) * 300 * 100 of 65504, before the filter of an up-sampling layer, too. */
static Val b_large_styles(Graph *g, const Val *in) {
  Val w = g_axpb(g, in[1], 300, 0), s = g_axpb(g, in[2], 100, 0), y = in[0];
  graph_half_range(g, true);
  for (int up = 2; up; up--) {
    const ModulatedConv c = {{up, 1, 1, up == 1}, true};
    y = g_lrelu(g, g_modulated_conv(g, y, w, s, 0, &c), 0.2, 1.4142, 256);
  }
  return y;
}

/* Layers before and behind an image of one channel, whose gradients are loops (core/plan_outer.c):
 * toRGB of a modulated map, once with its scale and once without, and fromRGB. The map before them
 * is y of the undemodulated z, and in 16 bits the gradient of the demodulation finds z from y
 * (core/plan_recover.c): noise, bias and a clamp that some numbers reach. */
static Val b_one_channel(Graph *g, const Val *in) {
  const Val d = g_rsqrt0(g, g_axpb(g, g_square(g, in[2]), 2, 0.5)),
            noise = g_slice(g, g_slice(g, in[0], 0, 0, 1, 1), 1, 3, 1, 1),
            from = g_reshape(g, g_axpb(g, in[3], 0.5, 0), SHAPE4(graph_dim(g, in[3], 1), 1, 1, 1));
  Val y = g_mul(g, g_conv2d(g, in[0], g_axpb(g, in[1], 0.1, 0), 1, 1), d);
  y = g_lrelu(g, g_add(g, g_add(g, y, noise), g_axpb(g, in[3], 0.2, 0)), 0.2, 1.4142, 3);
  const Val rgb = g_add(g, g_conv2d(g, g_mul(g, y, in[2]), in[3], 1, 0),
                        g_conv2d(g, y, g_square(g, in[3]), 1, 0));
  return g_add(g, g_lrelu(g, g_conv2d(g, rgb, from, 1, 0), 0.2, 1.4142, -1), y);
}

/* What may not be found from the activation: a map with a clamp that others read as it is, one
 * whose factor is zero here and there, one whose activation turns the sign round. */
static Val b_not_recovered(Graph *g, const Val *in) {
  const Val d = g_rsqrt0(g, g_axpb(g, g_square(g, in[2]), 2, 0.5)),
            zero = g_lrelu(g, in[2], 0, 1, -1), w = g_axpb(g, in[1], 0.1, 0);
  const Val z = g_conv2d(g, in[0], g_axpb(g, in[1], 0.11, 0), 1, 1);
  const Val clamped = g_conv2d(g, g_lrelu(g, g_mul(g, z, d), 0.8, 1.4142, 2), w, 1, 1);
  const Val y = g_conv2d(g, in[0], g_axpb(g, in[1], -0.1, 0.01), 1, 1);
  const Val some = g_lrelu(g, g_add(g, g_mul(g, y, zero), in[3]), 0.8, 1.4142, -1);
  const Val x = g_conv2d(g, in[0], g_axpb(g, in[1], 0.1, -0.01), 1, 1);
  const Val turned = g_lrelu(g, g_mul(g, x, d), 0.8, -1.4142, -1);
  const Val rest = g_conv2d(g, g_add(g, g_conv2d(g, some, w, 1, 1), turned), w, 1, 1);
  return g_add(g, g_add(g, clamped, rest), g_tanh(g, z));
}

/* Weights that lie the other way round, of an upsampling layer and of its input gradient: both are
 * laid out from where they lie. */
static Val b_swapped_weights(Graph *g, const Val *in) {
  static const int swap[4] = {1, 0, 2, 3};
  const Val w = g_permute(g, g_axpb(g, in[1], 0.3, 0), swap);
  const Val y = g_conv2d_dx(g, in[0], w, 2, 0, 2 * graph_dim(g, in[0], 2) + 1,
                            2 * graph_dim(g, in[0], 3) + 1);
  return g_mul(g, y, g_tanh(g, g_axpb(g, y, 0.1, 0)));
}

/* Weights times a number per channel, of a wide and of a thin convolution: the loops of their
 * gradients run in the stores. */
static Val b_scaled_weights(Graph *g, const Val *in) {
  const Val per_input = g_reshape(g, in[3], SHAPE4(1, graph_dim(g, in[3], 0), 1, 1));
  const Val w = g_mul(g, g_mul(g, in[1], in[3]), g_square(g, per_input)),
            v = g_mul(g, in[2], per_input);
  const Val y = g_lrelu(g, g_conv2d(g, in[0], w, 1, 1), 0.2, 1.4, -1);
  return g_conv2d(g, y, g_axpb(g, v, 0.5, 0), 1, 0);
}

/* More small loops, sums (by columns in chunks, by rows) and products of several sizes than a
 * launch takes, none of which waits for another: of z = x a_i w_i + the squares of w_i, summed, y
 * is the sum over i of u = lrelu(z) w_i' and of its rows. */
enum { SIDES = 40 };
static Val b_side(Graph *g, const Val *in) {
  Val y = in[0];
  for (int i = 0; i < SIDES; i++) {
    const Val w = g_slice(g, in[1], 1, 0, 20 + i % 5, 1),
              c = g_axpb(g, g_sum(g, g_square(g, w), 1), 0.01, 0.5),
              z = g_add(g, g_matmul(g, in[0], g_axpb(g, w, 0.01 * (i + 1), 0), false, false), c),
              u = g_matmul(g, g_lrelu(g, z, 0.2, 1.4, -1), w, false, true);
    y = g_add(g, y, g_add(g, u, g_sum(g, u, 2)));
  }
  return y;
}

/* Less than half as many launches as steps. */
static void side_launches(Bench *t, const Case *c) {
  Built b = {0};
  Error e = {0};
  Plan *p = NULL;
  build(c, &b, 1, &e);
  const PlanOptions o = {.backend = t->b};
  if (plan_new(b.g, 1, &b.scalar[0], &o, &p, &e) == ST_OK) {
    const PlanStats s = plan_stats(p);
    CHECK(s.launches > 0 && 2 * s.launches < s.steps, "%s: %lld launches of %d steps", c->name,
          (long long)s.launches, s.steps);
  } else
    CHECK(false, "%s: %s", c->name, e.msg);
  plan_free(p);
  graph_free(b.g);
}

/* ---- weights kept from run to run ---- */
enum { KEPT_X = 2 * 16 * 9 * 7, KEPT_W = 3 };

/* More weights than one launch packs: forward and backward, strides, a kernel of one pixel. */
typedef struct Kept {
  Graph *g;
  Params p;
  Val x;
  Val out[2]; /* a sum, its gradient */
} Kept;

static void kept_new(Kept *k, Error *e) {
  const Shape shape[KEPT_W] = {SHAPE4(16, 16, 3, 3), SHAPE4(24, 16, 3, 3), SHAPE4(8, 24, 1, 1)};
  static const char *const name[KEPT_W] = {"a", "b", "c"};
  Graph *g = graph_new();
  Val w[KEPT_W];
  *k = (Kept){.g = g, .x = g_input(g, "x", SHAPE4(2, 16, 9, 7))};
  for (int i = 0; i < KEPT_W; i++) params_add(&k->p, name[i], shape[i], false, e);
  if (params_seal(&k->p, e) != ST_OK) return;
  Rng r = {.seed = 5};
  rng_fill_normal(&r, k->p.data, k->p.nparam);
  for (int i = 0; i < KEPT_W; i++) w[i] = g_axpb(g, params_leaf(g, &k->p, name[i], false), 0.1, 0);
  Val y = g_lrelu(g, g_conv2d(g, k->x, w[0], 1, 1), 0.2, 1.4, -1);
  y = g_lrelu(g, g_conv2d_dx(g, y, w[0], 2, 1, 17, 13), 0.2, 1.4, -1);
  y = g_lrelu(g, g_conv2d(g, y, w[1], 2, 1), 0.2, 1.4, -1);
  y = g_square(g, g_conv2d(g, y, w[2], 1, 0));
  k->out[0] = g_mean_all(g, y);
  k->out[1] = g_grad1(g, k->out[0], k->x);
}

static float *kept_run(const Kept *k, Plan *p, Error *e) {
  float *out = mem_alloc((KEPT_X + 1) * sizeof *out);
  const real *sum = NULL, *dx = NULL;
  Rng r = {.seed = 6};
  rng_fill_normal(&r, plan_data(p, k->x), KEPT_X);
  if (!out || plan_run(p, e) || plan_read(p, k->out[0], &sum, e) || plan_read(p, k->out[1], &dx, e))
    return out;
  memcpy(out, dx, KEPT_X * sizeof *out);
  out[KEPT_X] = *sum;
  return out;
}

static void kept_same(const Bench *t, const Kept *k, Plan *p, const float *want, const char *when) {
  Error e = {0};
  float *got = kept_run(k, p, &e);
  const char *f = exact_fault();
  const double d = got ? difference(t->b->precision, want, got, KEPT_X + 1) : INFINITY;
  CHECK(!f && d <= plan_bound(t->b->precision), "kept weights, %s: %s relative difference %.3g",
        when, f ? f : e.msg, d);
  mem_free(got);
}

static void kept_check(Bench *t) {
  Kept k;
  Error e = {0};
  Plan *cpu = NULL, *dev = NULL;
  kept_new(&k, &e);
  const PlanOptions o = {.backend = t->b, .keep_weights = true};
  CHECK(!graph_status(k.g, &e) && !plan_new(k.g, 2, k.out, NULL, &cpu, &e) &&
            !plan_new(k.g, 2, k.out, &o, &dev, &e),
        "kept weights: %s", e.msg);
  if (!dev) return;
  float *want = kept_run(&k, cpu, &e);
  for (int run = 0; run < 3; run++) kept_same(t, &k, dev, want, "as they were");
  for (int64_t i = 0; i < k.p.nparam; i++) k.p.data[i] = -k.p.data[i];
  kept_same(t, &k, dev, want, "changed, the plan not told");
  mem_free(want);
  want = kept_run(&k, cpu, &e);
  for (int run = 0; run < 3; run++) {
    plan_weights_changed(dev);
    kept_same(t, &k, dev, want, "changed");
  }
  mem_free(want);
  plan_free(dev);
  plan_free(cpu);
  graph_free(k.g);
  params_free(&k.p);
}

void check_plans(Bench *t) {
  Case large = {OP_conv2d,
                "large styles and weights",
                b_large_styles,
                3,
                {SHAPE4(2, 16, 9, 7), SHAPE4(16, 16, 3, 3), SHAPE2(2, 16)},
                {GENERIC, GENERIC, GENERIC},
                1};
  Case net = {OP_conv2d,
              "small network",
              b_network,
              4,
              {SHAPE4(2, 16, 9, 7), SHAPE4(16, 16, 3, 3), SHAPE4(2, 16, 1, 1), SHAPE1(4)},
              {GENERIC, GENERIC, GENERIC, FIXED},
              2};
  Case side = {
      OP_matmul, "side by side", b_side, 2, {SHAPE2(5, 200), SHAPE2(200, 24)}, {GENERIC, GENERIC},
      2};
  Case scaled = {
      OP_conv2d,
      "scaled weights",
      b_scaled_weights,
      4,
      {SHAPE4(2, 16, 9, 7), SHAPE4(16, 16, 3, 3), SHAPE4(2, 16, 1, 1), SHAPE4(16, 1, 1, 1)},
      {GENERIC, GENERIC, GENERIC, FIXED},
      2};
  Case swapped = {OP_conv2d,
                  "swapped weights",
                  b_swapped_weights,
                  2,
                  {SHAPE4(2, 16, 9, 7), SHAPE4(24, 16, 3, 3)},
                  {GENERIC, GENERIC},
                  2};
  Case thin = {
      OP_conv2d,
      "image of one channel",
      b_one_channel,
      4,
      {SHAPE4(2, 16, 9, 7), SHAPE4(16, 16, 3, 3), SHAPE4(2, 16, 1, 1), SHAPE4(1, 16, 1, 1)},
      {GENERIC, GENERIC, GENERIC, GENERIC},
      2};
  Case kept = {
      OP_conv2d,
      "maps that are not recovered",
      b_not_recovered,
      4,
      {SHAPE4(2, 16, 9, 7), SHAPE4(16, 16, 3, 3), SHAPE4(2, 16, 1, 1), SHAPE4(1, 16, 1, 1)},
      {GENERIC, GENERIC, GENERIC, GENERIC},
      1};
  Case joined = thin;
  Case alone = thin;
  joined.name = "image of one channel, several results";
  alone.name = "image of one channel, batch 1";
  alone.shape[0].dim[0] = alone.shape[2].dim[0] = 1;
  check_plan(t, &net);
  check_plan(t, &thin);
  check_plan(t, &kept);
  check_plan(t, &alone);
  cuda_use_several(t->b, 1);
  check_plan(t, &joined);
  cuda_use_several(t->b, CUDA_SEVERAL_FROM);
  check_plan(t, &scaled);
  check_plan(t, &swapped);
  check_plan(t, &side);
  check_layouts(t);
  if (!skipped(t, side.name)) side_launches(t, &side);
  if (!skipped(t, "kept weights")) kept_check(t);
  if (t->b->precision == PREC_TF32) return;
  check_plan(t, &large);
  for (int i = 0; i < COUNT_OF(cases); i++)
    if (!t->quick || i % 4 == 0) check_plan(t, &cases[i]);
}

/* ---- optimiser and noise ---- */
static float *numbers(int64_t n, uint64_t seed) {
  float *x = mem_alloc((size_t)n * 4);
  Rng r = {.seed = seed};
  if (x) rng_fill_normal(&r, x, n);
  return x;
}

static double differs(const float *a, const float *b, int64_t n) {
  double worst = 0, scale = 1e-30;
  for (int64_t i = 0; i < n; i++) {
    scale = fmax(scale, fabs((double)a[i]));
    double d = fabs((double)a[i] - b[i]);
    if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
  }
  return worst / scale;
}

static void adam_check(Bench *t, int64_t n, double beta1) {
  Error e = {0};
  Adam a = {0};
  CHECK(adam_init(&a, n, 0.0025, beta1, 0.99, 1e-8, &e) == ST_OK, "%s", e.msg);
  float *p = numbers(n, 1), *g = numbers(n, 2), *back = numbers(n, 3), *ema = numbers(n, 4);
  float *dp = exact_new((size_t)n * 4), *dg = exact_new((size_t)n * 4),
        *dm = exact_new((size_t)n * 4), *dv = exact_new((size_t)n * 4),
        *de = exact_new((size_t)n * 4);
  exact_put(de, ema, (size_t)n * 4);
  exact_put(dp, p, (size_t)n * 4);
  exact_put(dg, g, (size_t)n * 4);
  if (a.m) exact_put(dm, a.m, (size_t)n * 4);
  exact_put(dv, a.v, (size_t)n * 4);
  Status st = ST_OK;
  for (int k = 0; k < 3 && !st; k++) {
    adam_step(&a, p, g);
    AdamCoef c = adam_coef(&a);
    if (k) {
      ema_update(ema, p, n, 0.75);
      c.ema = de;
      c.ema_beta = 0.75f;
    }
    st = t->b->adam(t->b, dp, dg, a.m ? dm : NULL, dv, n, &c, &e);
  }
  const char *f = exact_fault();
  exact_get(back, dp, (size_t)n * 4);
  CHECK(!st && !f && differs(p, back, n) < 1e-6, "adam, %lld numbers, beta1 %g: %s difference %.3g",
        (long long)n, beta1, f ? f : e.msg, differs(p, back, n));
  exact_get(back, dv, (size_t)n * 4);
  CHECK(differs(a.v, back, n) < 1e-6, "adam's second moment: %.3g", differs(a.v, back, n));
  exact_get(back, de, (size_t)n * 4);
  CHECK(differs(ema, back, n) < 1e-6, "the average in the same launch: %.3g",
        differs(ema, back, n));
  exact_free(de);
  exact_free(dp);
  exact_free(dg);
  exact_free(dm);
  exact_free(dv);
  mem_free(p);
  mem_free(g);
  mem_free(back);
  mem_free(ema);
  adam_free(&a);
}

/* Gradients that are not finite: NaN to zero, infinities to `most`, the rest times the factor. */
static void clean(Bench *t, const float *a, int64_t n, float factor, float most) {
  const size_t bytes = (size_t)n * 4;
  float *da = exact_new(bytes), *back = mem_alloc(bytes);
  int64_t *bad = exact_new(8), count = 0, wrong = 0, off = 0;
  Error e = {0};
  exact_put(da, a, bytes);
  exact_put(bad, &count, 8);
  const Status st = t->b->sanitize(t->b, da, n, factor, most, bad, &e);
  const char *f = exact_fault();
  exact_get(back, da, bytes);
  exact_get(&count, bad, 8);
  for (int64_t i = 0; i < n; i++) {
    const float want = isfinite(a[i]) ? a[i] * factor : isnan(a[i]) ? 0 : copysignf(most, a[i]);
    wrong += !isfinite(a[i]);
    off += back[i] != want;
  }
  CHECK(!st && !f && !off && count == wrong,
        "sanitize with factor %g: %s %lld off, counted %lld of %lld", (double)factor, f ? f : e.msg,
        (long long)off, (long long)count, (long long)wrong);
  exact_free(da);
  exact_free(bad);
  mem_free(back);
}

static void ranges(Bench *t, int64_t n) {
  Error e = {0};
  size_t bytes = (size_t)n * 4;
  float *a = numbers(n, 1), *b = numbers(n, 2), *back = numbers(n, 3), *da = exact_new(bytes),
        *db = exact_new(bytes);
  exact_put(da, a, bytes);
  exact_put(db, b, bytes);
  Status st = t->b->accumulate(t->b, da, db, n, &e);
  grad_accumulate(a, b, n);
  if (!st) st = t->b->ema(t->b, da, db, n, 0.99f, &e);
  ema_update(a, b, n, 0.99f);
  const FlatPlaces few = {.n = 3, .at = {0, n / 2, n - 1}};
  if (!st) st = t->b->ema_size(t->b, da, db, &few, 0.99f, &e);
  ema_size(a, b, &few, 0.99f);
  const char *f = exact_fault();
  exact_get(back, da, bytes);
  CHECK(!st && !f && differs(a, back, n) < 1e-6, "accumulate and ema, %lld numbers: %s",
        (long long)n, f ? f : e.msg);
  a[0] = NAN;
  a[n / 2] = INFINITY;
  a[n - 1] = -INFINITY;
  clean(t, a, n, 1, 1e5f);
  clean(t, a, n, 1.0f / 64, 0);
  Rng r = {.seed = 3, .subsequence = 7, .offset = 5}, q = r;
  exact_poison(da, bytes);
  st = t->b->fill_normal(t->b, &r, da, n, &e);
  rng_fill_normal(&q, a, n);
  f = exact_fault();
  exact_get(back, da, bytes);
  CHECK(!st && !f && differs(a, back, n) < 1e-6 && r.offset == q.offset,
        "normal numbers: %s difference %.3g, offset %llu and %llu", f ? f : e.msg,
        differs(a, back, n), (unsigned long long)r.offset, (unsigned long long)q.offset);
  exact_free(da);
  exact_free(db);
  mem_free(a);
  mem_free(b);
  mem_free(back);
}

void check_optimiser(Bench *t) {
  const int64_t n[] = {1, 137, 4096, 20001};
  for (int i = 0; i < (t->quick ? 2 : 4); i++) {
    adam_check(t, n[i], 0);
    adam_check(t, n[i], 0.9);
    if (n[i] > 2) ranges(t, n[i]);
  }
}
