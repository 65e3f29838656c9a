/* golden_ops.c: the files formula, ops and nn: every elementary operation and its gradients.
 * test/golden/README.md says what each tensor is. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/ops.h"
#include "core/optim.h"
#include "core/params.h"
#include "io/formats/checksum.h"
#include "models/gan/networks.h"
#include "test/golden.h"

/* ---- formula weights ---- */
static uint32_t mix(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}

void golden_formula(Gold *g) {
  const char *names = gold_str(g, "names"), *s = names ? names : "";
  static const struct {
    const char *out;
    double scale;
    double offset;
  } kind[3] = {{"value", 1, 0}, {"value_sqrt3", 0, 0}, {"value_1p", 0.1, 1}};
  if (!names) gold_fail(g, "metadata names is missing");
  for (int k = 0; *(s += strspn(s, " ")); k++) {
    const char *name = gold_name(g, "%.*s", (int)strcspn(s, " "), s);
    s += strlen(name);
    double crc = crc32_ieee(0, name, strlen(name)), hash[64];
    gold_compare_f64(g, gold_name(g, "in.%d.crc32", k), &crc, 1);
    const char *h = gold_name(g, "out.%d.hash", k);
    int64_t n = PRLX_MIN(gold_numel(g, h), 64);
    for (int64_t i = 0; i < n; i++) hash[i] = mix(mix((uint32_t)i) ^ (uint32_t)crc);
    gold_compare_f64(g, h, hash, n);
    for (int j = 0; j < 3; j++) {
      const char *out = gold_name(g, "out.%d.%s", k, kind[j].out);
      real *v = gold_scratch(g, gold_numel(g, out));
      formula_fill(v, gold_numel(g, out), name, kind[j].scale > 0 ? kind[j].scale : sqrt(3),
                   kind[j].offset);
      gold_compare(g, out, v, gold_numel(g, out));
    }
  }
}

/* ---- shared by all cases: y is compared, then the gradients of L = sum(y * r) that the file holds
 * ---- */
typedef struct Arg {
  const char *name;
  Val v;
} Arg;
static const char *tn(Gold *g, const char *kind, const char *c, const char *t) {
  return gold_name(g, "%s.%s.%s", kind, c, t);
}

static Val in(GoldRun *r, const char *c, const char *t) { return gold_in(r, tn(r->g, "in", c, t)); }

/* L, and the gradients with respect to those arguments for which the file has one; expected as
 * grad.<case>.<arg>. */
static Val check_grads(GoldRun *r, const char *c, Val y, int n, const Arg *arg) {
  Val wrt[8], d[8];
  const char *name[8];
  int k = 0;
  Val L = gold_has(r->g, tn(r->g, "in", c, "r")) ? gold_dot(r, y, in(r, c, "r"))
                                                 : g_sum_all(r->graph, y);
  for (int i = 0; i < n; i++) {
    const char *t = tn(r->g, "grad", c, arg[i].name);
    if (!arg[i].v || !gold_has(r->g, t)) continue;
    wrt[k] = arg[i].v;
    name[k++] = t;
  }
  if (k && gold_grads(r, L, k, wrt, d))
    for (int i = 0; i < k; i++) gold_expect(r, d[i], name[i]);
  return L;
}

static void check(GoldRun *r, const char *c, Val y, int n, const Arg *arg) {
  gold_expect(r, y, tn(r->g, "out", c, "y"));
  check_grads(r, c, y, n, arg);
}

/* ---- ops ---- */
static void op_upfirdn(GoldRun *r, const char *c) {
  Gold *g = r->g;
  UpFirDn p = {.upx = gold_cfg_int(g, c, "upx", 1),
               .upy = gold_cfg_int(g, c, "upy", 1),
               .downx = gold_cfg_int(g, c, "downx", 1),
               .downy = gold_cfg_int(g, c, "downy", 1),
               .padx0 = gold_cfg_int(g, c, "padx0", 0),
               .padx1 = gold_cfg_int(g, c, "padx1", 0),
               .pady0 = gold_cfg_int(g, c, "pady0", 0),
               .pady1 = gold_cfg_int(g, c, "pady1", 0),
               .flip = gold_cfg_int(g, c, "flip_filter", 0),
               .gain = gold_cfg_num(g, c, "gain", 1)};
  Val x = in(r, c, "x"), f = in(r, c, "f");
  check(r, c, g_upfirdn2d(r->graph, x, f, &p), 1, &(Arg){"x", x});
}

static void op_resample(GoldRun *r, const char *c, char kind) {
  Val x = in(r, c, "x"), f = in(r, c, "f");
  int taps = (int)graph_dim(r->graph, f, 0);
  Val y = kind == 'u'   ? g_upsample2d(r->graph, x, f, taps, 2)
          : kind == 'd' ? g_downsample2d(r->graph, x, f, taps, 2)
                        : g_filter2d(r->graph, x, f, taps);
  check(r, c, y, 1, &(Arg){"x", x});
}

/* Filter preparation, SEMANTICS 1.1: host arithmetic, no graph. */
static void op_filter(Gold *g, const char *c) {
  Shape s;
  const char *out = tn(g, "out", c, "f");
  real *taps = gold_load(g, tn(g, "in", c, "taps"), &s);
  if (!taps) return;
  int64_t n = s.dim[0], h = s.rank == 2 ? s.dim[0] : n < 8 ? n : 1, w = s.rank == 2 ? s.dim[1] : n;
  bool flip = gold_cfg_int(g, c, "flip_filter", 0);
  real *f = gold_scratch(g, h * w);
  double sum = 0, gain = pow(gold_cfg_num(g, c, "gain", 1), h > 1 ? 1 : 0.5);
  for (int64_t i = 0; i < h * w; i++) {
    f[i] = s.rank == 2 || h == 1 ? taps[i] : taps[i / w] * taps[i % w];
    sum += (double)f[i];
  }
  if (gold_cfg_int(g, c, "normalize", 1)) gain /= sum;
  for (int64_t i = 0; i < h * w; i++) f[i] = (real)((double)f[i] * gain);
  for (int64_t i = 0; flip && i < h * w / 2; i++) {
    real t = f[i];
    f[i] = f[h * w - 1 - i];
    f[h * w - 1 - i] = t;
  }
  gold_compare(g, out, f, h * w);
}

/* Activation with its gain and clamp. The four that the networks use are one operation; the rest is
 * composed. */
static Val activate(Graph *g, const char *act, Val x, double alpha, double gain, double clamp) {
  bool lin = strcmp(act, "linear") == 0, relu = strcmp(act, "relu") == 0;
  if (lin || relu || strcmp(act, "lrelu") == 0)
    return g_lrelu(g, x, lin ? 1 : relu ? 0 : alpha, gain, clamp);
  Val y, zero = g_scalar(g, 0);
  if (strcmp(act, "sigmoid") == 0)
    y = g_sigmoid(g, x);
  else if (strcmp(act, "tanh") == 0)
    y = g_tanh(g, x);
  else if (strcmp(act, "softplus") == 0)
    y = g_softplus(g, x);
  else if (strcmp(act, "swish") == 0)
    y = g_mul(g, x, g_sigmoid(g, x));
  else if (strcmp(act, "elu") == 0 || strcmp(act, "selu") == 0) { /* Clevert 2016; Klambauer 2017 */
    bool selu = act[0] == 's';
    Val up = g_maximum(g, x, zero),
        down = g_axpb(g, g_exp(g, g_neg(g, g_maximum(g, g_neg(g, x), zero))), 1, -1);
    y = g_add(g, up, g_axpb(g, down, selu ? 1.6732632423543772 : 1, 0));
    if (selu) y = g_axpb(g, y, 1.0507009873554805, 0);
  } else
    return graph_fail(g, ST_INVALID, "unknown activation %s", act);
  y = g_axpb(g, y, gain, 0);
  return clamp >= 0 ? g_clamp(g, y, -clamp, clamp) : y;
}

static void op_bias_act(GoldRun *r, const char *c) {
  Gold *g = r->g;
  const char *act = gold_cfg(g, c, "act");
  Val x = in(r, c, "x"), b = 0, xb = x;
  if (gold_has(g, tn(g, "in", c, "b"))) {
    Shape s = graph_shape(r->graph, x);
    for (int i = 0; i < s.rank; i++)
      if (i != 1) s.dim[i] = 1;
    b = gold_in_as(r, tn(g, "in", c, "b"), s);
    xb = g_add(r->graph, x, b);
  }
  Val y = activate(r->graph, act ? act : "linear", xb, gold_cfg_num(g, c, "alpha", 0.2),
                   gold_cfg_num(g, c, "gain", 1), gold_cfg_num(g, c, "clamp", -1));
  check(r, c, y, 2, (Arg[]){{"x", x}, {"b", b}});
}

static void op_fc(GoldRun *r, const char *c) {
  const char *act = gold_cfg(r->g, c, "act");
  if (!act) act = "linear";
  bool lrelu = strcmp(act, "lrelu") == 0,
       root2 = strcmp(act, "relu") == 0 || strcmp(act, "swish") == 0;
  Val x = in(r, c, "x"), w = in(r, c, "weight"), b = in(r, c, "bias");
  Val y = g_dense(r->graph, x, w, b, gold_cfg_num(r->g, c, "lr_multiplier", 1), lrelu);
  if (!lrelu && strcmp(act, "linear") != 0)
    y = activate(r->graph, act, y, 0.2, root2 ? sqrt(2) : 1, -1);
  check(r, c, y, 3, (Arg[]){{"x", x}, {"weight", w}, {"bias", b}});
}

static void op_conv(GoldRun *r, const char *c) {
  Gold *g = r->g;
  Val x = in(r, c, "x"), w = in(r, c, "w");
  const ResampledConv conv = {gold_cfg_int(g, c, "up", 1), gold_cfg_int(g, c, "down", 1),
                              gold_cfg_int(g, c, "padding", 0),
                              gold_cfg_int(g, c, "flip_weight", 1)};
  Val y = g_conv2d_resample(r->graph, x, w, &conv);
  check(r, c, y, 2, (Arg[]){{"x", x}, {"w", w}});
}

/* Also second order: L2 = sum(gx^2) of the input gradient gx, and its gradients with respect to
 * weights and styles. */
static void op_modconv(GoldRun *r, const char *c) {
  Gold *g = r->g;
  Val x = in(r, c, "x"), w = in(r, c, "w"), s = in(r, c, "s"), noise = 0, gx, d2[2];
  if (gold_has(g, tn(g, "in", c, "noise"))) noise = in(r, c, "noise");
  const ModulatedConv conv = {{gold_cfg_int(g, c, "up", 1), 1, gold_cfg_int(g, c, "padding", 0),
                               gold_cfg_int(g, c, "flip_weight", 1)},
                              gold_cfg_int(g, c, "demodulate", 1)};
  Val y = g_modulated_conv(r->graph, x, w, s, noise, &conv);
  gold_expect(r, y, tn(g, "out", c, "y"));
  Val L = check_grads(r, c, y, 4, (Arg[]){{"x", x}, {"w", w}, {"s", s}, {"noise", noise}});
  if (!gold_grads(r, L, 1, &x, &gx)) return;
  Val L2 = g_sum_all(r->graph, g_square(r->graph, gx));
  gold_expect(r, L2, tn(g, "out", c, "L2"));
  if (!gold_grads(r, L2, 2, (Val[]){w, s}, d2)) return;
  gold_expect(r, d2[0], tn(g, "grad2", c, "w"));
  gold_expect(r, d2[1], tn(g, "grad2", c, "s"));
}

static void op_case(Gold *g, const char *c, const char *op) {
  GoldRun r;
  if (strcmp(op, "setup_filter") == 0) {
    op_filter(g, c);
    return;
  }
  gold_run_begin(&r, g);
  if (strcmp(op, "upfirdn2d") == 0)
    op_upfirdn(&r, c);
  else if (strcmp(op, "upsample2d") == 0 || strcmp(op, "downsample2d") == 0 ||
           strcmp(op, "filter2d") == 0)
    op_resample(&r, c, op[0]);
  else if (strcmp(op, "bias_act") == 0)
    op_bias_act(&r, c);
  else if (strcmp(op, "fc") == 0)
    op_fc(&r, c);
  else if (strcmp(op, "conv2d_resample") == 0)
    op_conv(&r, c);
  else if (strcmp(op, "modulated_conv2d") == 0)
    op_modconv(&r, c);
  else if (strcmp(op, "normalize_2nd_moment") == 0) {
    Val x = in(&r, c, "x");
    check(&r, c, g_normalize_2nd_moment(r.graph, x), 1, &(Arg){"x", x});
  } else if (strcmp(op, "mbstd") == 0) {
    Val x = in(&r, c, "x");
    check(&r, c,
          g_minibatch_stddev(r.graph, x, gold_cfg_int(g, c, "group_size", 4),
                             gold_cfg_int(g, c, "num_channels", 1)),
          1, &(Arg){"x", x});
  } else {
    gold_fail(g, "%s: unknown op \"%s\"", c, op);
    r.failed = true;
  }
  gold_run_end(&r);
}

void golden_ops(Gold *g) {
  const char *c;
  for (int i = 0; (c = gold_case(g, i)); i++)
    op_case(g, c, gold_cfg(g, c, "op") ? gold_cfg(g, c, "op") : "");
}

/* ---- nn ---- */
static void nn_adam(Gold *g, const char *c) {
  Shape s;
  Adam a;
  Error e;
  const char *out = tn(g, "out", c, "p");
  real *p = gold_load(g, tn(g, "in", c, "p"), &s), *grad = gold_load(g, tn(g, "in", c, "g"), NULL);
  int64_t n = shape_numel(s), steps = n ? gold_numel(g, tn(g, "in", c, "g")) / n : 0;
  if (!p || !grad) return;
  if (!gold_ok(g,
               adam_init(&a, n, gold_cfg_num(g, c, "lr", 0), gold_cfg_num(g, c, "beta1", 0),
                         gold_cfg_num(g, c, "beta2", 0), gold_cfg_num(g, c, "eps", 1e-8), &e),
               &e, c))
    return;
  real *all = gold_scratch(g, steps * n), *now = gold_scratch(g, n);
  memcpy(now, p, sizeof *p * (size_t)n);
  for (int64_t k = 0; k < steps; k++) {
    adam_step(&a, now, grad + k * n);
    memcpy(all + k * n, now, sizeof *p * (size_t)n);
  }
  gold_compare(g, out, all, steps * n);
  adam_free(&a);
}

/* Batch normalisation composed of graph operations (Ioffe and Szegedy 2015). */
static void nn_batchnorm(GoldRun *r, const char *c) {
  Gold *g = r->g;
  Graph *G = r->graph;
  Val x = in(r, c, "x");
  Shape s = graph_shape(G, x), sc = SHAPE4(1, s.dim[1], 1, 1);
  bool train = gold_cfg_int(g, c, "train", 0);
  double eps = gold_cfg_num(g, c, "eps", 1e-5), mom = gold_cfg_num(g, c, "momentum", 0.1),
         m = (double)(s.dim[0] * s.dim[2] * s.dim[3]);
  Val w = gold_in_as(r, tn(g, "in", c, "weight"), sc),
      b = gold_in_as(r, tn(g, "in", c, "bias"), sc);
  Val rm = gold_in_as(r, tn(g, "in", c, "running_mean"), sc),
      rv = gold_in_as(r, tn(g, "in", c, "running_var"), sc), mean = rm, var = rv, rm2 = rm,
      rv2 = rv;
  if (train) {
    mean = g_mean(G, x, 1 | 4 | 8);
    var = g_mean(G, g_square(G, g_sub(G, x, mean)), 1 | 4 | 8);
    rm2 = g_add(G, g_axpb(G, rm, 1 - mom, 0), g_axpb(G, mean, mom, 0));
    rv2 = g_add(G, g_axpb(G, rv, 1 - mom, 0), g_axpb(G, var, mom * m / (m - 1), 0));
  }
  Val y =
      g_add(G, g_mul(G, g_mul(G, g_sub(G, x, mean), g_rsqrt0(G, g_axpb(G, var, 1, eps))), w), b);
  check(r, c, y, 3, (Arg[]){{"x", x}, {"weight", w}, {"bias", b}});
  gold_expect(r, g_axpb(G, rm2, 1, 0), tn(g, "out", c, "running_mean"));
  gold_expect(r, g_axpb(G, rv2, 1, 0), tn(g, "out", c, "running_var"));
}

static void nn_pool(GoldRun *r, const char *c, bool max) {
  Gold *g = r->g;
  Graph *G = r->graph;
  Val x = in(r, c, "x"), px = x;
  int k = gold_cfg_int(g, c, "k", 2), stride = gold_cfg_int(g, c, "stride", k),
      pad = gold_cfg_int(g, c, "padding", 0);
  if (!max && pad && gold_cfg_int(g, c, "count_include_pad", 1)) { /* zeros that count: pad first */
    for (int a = 2; a < 4; a++) px = g_pad(G, px, a, pad, graph_dim(G, px, a) + 2 * pad, 1);
    pad = 0;
  }
  check(r, c, max ? g_maxpool(G, px, k, stride, pad) : g_avgpool(G, px, k, stride, pad), 1,
        &(Arg){"x", x});
}

static void nn_grid(GoldRun *r, const char *c) {
  Gold *g = r->g;
  Graph *G = r->graph;
  Val x = in(r, c, "x"), grid = in(r, c, "grid"), rr = in(r, c, "r"), y = g_grid_sample(G, x, grid),
      gx, d;
  gold_expect(r, y, tn(g, "out", c, "y"));
  Val L = check_grads(r, c, y, 2, (Arg[]){{"x", x}, {"grid", grid}});
  if (!gold_grads(r, L, 1, &x, &gx)) return;
  if (gold_has(g, tn(g, "grad2", c, "r")) &&
      gold_grads(r, gold_dot(r, gx, in(r, c, "v")), 1, &rr, &d))
    gold_expect(r, d, tn(g, "grad2", c, "r"));
  Val L2 = g_sum_all(G, g_square(G, gx));
  gold_expect(r, L2, tn(g, "out", c, "L2"));
  if (gold_grads(r, L2, 1, &rr, &d)) gold_expect(r, d, tn(g, "grad2", c, "r_L2"));
}

/* prob = exp(x - log sum exp x), and log sum exp = loss + the logit of the true class. */
static void nn_cross_entropy(GoldRun *r, const char *c) {
  Gold *g = r->g;
  Graph *G = r->graph;
  Shape s;
  Val x = in(r, c, "x"), d;
  s = graph_shape(G, x);
  real *t = gold_load(g, tn(g, "in", c, "t"), NULL), *hot = gold_scratch(g, shape_numel(s));
  if (!t || s.rank != 2) {
    r->failed = true;
    return;
  }
  for (int64_t i = 0; i < s.dim[0]; i++)
    if (t[i] >= 0 && t[i] < (real)s.dim[1]) hot[i * s.dim[1] + (int64_t)t[i]] = 1;
  Val h = gold_in_data(r, "onehot", s, hot), loss = g_softmax_ce(G, x, h),
      mean = g_mean_all(G, loss);
  Val lse = g_add(G, g_reshape(G, loss, SHAPE2(s.dim[0], 1)), g_sum(G, g_mul(G, h, x), 2));
  gold_expect(r, loss, tn(g, "out", c, "loss"));
  gold_expect(r, mean, tn(g, "out", c, "mean"));
  gold_expect(r, g_exp(G, g_sub(G, x, lse)), tn(g, "out", c, "prob"));
  if (gold_grads(r, mean, 1, &x, &d)) gold_expect(r, d, tn(g, "grad", c, "x"));
}

static void nn_case(Gold *g, const char *c, const char *op) {
  GoldRun r;
  if (strcmp(op, "adam") == 0) {
    nn_adam(g, c);
    return;
  }
  gold_run_begin(&r, g);
  if (strcmp(op, "batchnorm2d") == 0)
    nn_batchnorm(&r, c);
  else if (strcmp(op, "maxpool") == 0 || strcmp(op, "avgpool") == 0)
    nn_pool(&r, c, op[0] == 'm');
  else if (strcmp(op, "grid_sample") == 0)
    nn_grid(&r, c);
  else if (strcmp(op, "softmax_cross_entropy") == 0)
    nn_cross_entropy(&r, c);
  else if (strcmp(op, "affine_grid") == 0) {
    gold_expect(&r,
                g_affine_grid(r.graph, in(&r, c, "theta"), gold_cfg_int(g, c, "h", 1),
                              gold_cfg_int(g, c, "w", 1)),
                tn(g, "out", c, "grid"));
  } else if (strcmp(op, "resize_bilinear") == 0) {
    Shape s = gold_shape(g, tn(g, "out", c, "y"));
    Val x = in(&r, c, "x");
    check(&r, c, g_resize(r.graph, x, s.dim[2], s.dim[3]), 1, &(Arg){"x", x});
  } else if (strcmp(op, "softplus") == 0) {
    Val x = in(&r, c, "x");
    check(&r, c, g_softplus(r.graph, x), 1, &(Arg){"x", x});
  } else {
    gold_fail(g, "%s: unknown op \"%s\"", c, op);
    r.failed = true;
  }
  gold_run_end(&r);
}

void golden_nn(Gold *g) {
  const char *c;
  for (int i = 0; (c = gold_case(g, i)); i++)
    nn_case(g, c, gold_cfg(g, c, "op") ? gold_cfg(g, c, "op") : "");
}
