/* golden_augment.c: the augmentation pipe against the golden files: every augmentation alone at a
 * percentile, the complete pipe with random draws, and R1 through it. Size, channels, enabled
 * augmentations and percentiles come from the file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "models/gan/augment.h"
#include "models/gan/networks.h"
#include "models/gan/train.h"
#include "test/golden.h"

/* "xflip+rotate90+..." */
static bool enable(Gold *g, AugConfig *c, const char *list) {
  for (const char *s = list; s && *s;) {
    size_t n = strcspn(s, "+"), k = 0;
    while (k < AUG_COUNT && (strlen(aug_name[k]) != n || strncmp(aug_name[k], s, n))) k++;
    if (k == AUG_COUNT) {
      gold_fail(g, "unknown augmentation in \"%s\"", list);
      return false;
    }
    c->mult[k] = 1;
    s += n + (s[n] == '+');
  }
  return true;
}

static bool config(Gold *g, AugConfig *c, const char *list) {
  Error e = {0};
  Shape s = gold_shape(g, "in.img");
  if (!gold_ok(g, aug_preset(c, "none", (int)s.dim[1], (int)s.dim[3], &e), &e, "aug_preset"))
    return false;
  if (c->channels == 3)
    for (int k = 0; k < 3; k++) c->channel[k] = AUGC_RGB;
  return enable(g, c, list);
}

/* y, and the gradient of sum(y * r), of one configuration. */
static void run_pipe(Gold *g, const AugConfig *c, const AugParams *s, const char *y_name,
                     const char *grad_name) {
  Error e = {0};
  Plan *p = NULL;
  Graph *gr = graph_new();
  if (!gr) {
    gold_fail(g, "out of memory");
    return;
  }
  Shape shape;
  const real *img = gold_load(g, "in.img", &shape), *r = gold_load(g, "in.r", NULL);
  if (!img || !r) {
    graph_free(gr);
    return;
  }
  int64_t n = shape_numel(shape);
  AugNodes nodes;
  Val x = g_input(gr, "img", shape), w = g_input(gr, "r", shape), y = aug_build(gr, c, x, &nodes),
      dx = 0;
  graph_grad(gr, 1, &y, &w, 1, &x, &dx, 0, NULL, &e);
  if (gold_ok(g, graph_status(gr, &e), &e, y_name) &&
      gold_ok(g, plan_new(gr, 2, (Val[]){y, dx}, &(PlanOptions){.backend = gold_backend()}, &p, &e),
              &e, y_name)) {
    if (plan_data(p, x)) memcpy(plan_data(p, x), img, (size_t)n * sizeof(real));
    if (plan_data(p, w)) memcpy(plan_data(p, w), r, (size_t)n * sizeof(real));
    aug_fill(c, &nodes, p, s, (int)shape.dim[0],
             nodes.noise ? gold_load(g, "in.noise", NULL) : NULL, NULL);
    if (gold_ok(g, plan_run(p, &e), &e, y_name)) {
      gold_compare(g, y_name, plan_data(p, y), n);
      gold_compare(g, grad_name, plan_data(p, dx), n);
    }
  }
  plan_free(p);
  graph_free(gr);
}

/* Distance of a margin before it is rounded up to the nearest integer: there rounding errors decide
 * (rotation by 90 degrees). */
static double to_integer(const AugConfig *c, const AugParams *s, int n, int side) {
  double h = (c->res - 1) / 2.0, reach = -INFINITY, sign = side & 1 ? 1 : -1;
  for (int i = 0; i < n; i++) {
    const double *row = s[i].G + (side < 2 ? 0 : 3);
    reach = fmax(reach, sign * row[2] + h * (fabs(row[0]) + fabs(row[1])));
  }
  return fabs(reach + 6 - h - rint(reach + 6 - h));
}

/* The margin must be the golden one; where it is the ceiling of an exact integer, one more or less
 * gives the same image. The theta of the file belongs to the golden margin, which is therefore
 * returned. */
static void check_margin(Gold *g, const char *name, const AugConfig *c, const AugParams *s, int n,
                         int margin[4]) {
  aug_margin(c, s, n, margin);
  if (!gold_has(g, name)) return;
  const real *want = gold_load(g, name, NULL);
  if (!want || gold_numel(g, name) != 4) {
    gold_fail(g, "%s: expected four numbers", name);
    return;
  }
  bool same = true;
  for (int k = 0; k < 4; k++) {
    int w = (int)want[k], d = abs(margin[k] - w);
    if (d > 1 || (d == 1 && to_integer(c, s, n, k) > 1e-5)) {
      same = false;
      gold_fail(g, "%s[%d]: got %d, expected %d", name, k, margin[k], w);
    }
    margin[k] = w;
  }
  if (same) gold_pass(g, name);
}

void golden_augment(Gold *g) {
  double bank[4][AUG_FILTER_TAPS];
  aug_filter_bank(bank);
  if (gold_has(g, "const.Hz_geom")) gold_compare_f64(g, "const.Hz_geom", aug_sym6, 12);
  if (gold_has(g, "const.Hz_fbank"))
    gold_compare_f64(g, "const.Hz_fbank", bank[0], 4 * AUG_FILTER_TAPS);
  int n = (int)gold_shape(g, "in.img").dim[0];
  for (int i = 0; gold_case(g, i); i++) {
    const char *name = gold_case(g, i);
    AugConfig c;
    AugParams one, *s = malloc(sizeof(AugParams) * (size_t)PRLX_MAX(n, 1));
    if (!s || !config(g, &c, gold_cfg(g, name, "enable"))) {
      free(s);
      return;
    }
    aug_params_percentile(&c, gold_cfg_num(g, name, "percentile", 0.5), &one);
    for (int k = 0; k < n; k++) s[k] = one;
    run_pipe(g, &c, s, gold_name(g, "out.%s.y", name), gold_name(g, "grad.%s.img", name));
    const char *t = gold_name(g, "mid.%s.theta", name), *cm = gold_name(g, "mid.%s.C", name);
    if (gold_has(g, t)) {
      int margin[4];
      double theta[6];
      check_margin(g, gold_name(g, "mid.%s.margin", name), &c, s, n, margin);
      aug_theta(&c, &one, margin, theta);
      gold_compare_f64(g, t, theta, 6);
    }
    if (gold_has(g, cm)) gold_compare_f64(g, cm, one.C, 12);
    free(s);
  }
}

/* ---- random draws ---- */
static void take(Gold *g, const char *name, int value_n, AugDraws *d, int n, int kind, int slot) {
  const char *v = gold_name(g, "in.%s.value", name), *t = gold_name(g, "in.%s.gate", name);
  if (!gold_has(g, v)) return; /* hue and saturation of one channel */
  const real *pv = gold_load(g, v, NULL), *pt = gold_load(g, t, NULL);
  if (!pv || !pt || gold_numel(g, v) != (int64_t)n * value_n || gold_numel(g, t) != n) {
    gold_fail(g, "%s has an unexpected size", v);
    return;
  }
  for (int i = 0; i < n; i++) {
    for (int k = 0; k < value_n; k++) d[i].value[kind][slot + k] = pv[i * value_n + k];
    d[i].gate[kind][slot] = pt[i];
  }
}

static void take_all(Gold *g, AugDraws *d, int n) {
  for (int k = 0; k < AUG_IMGFILTER; k++)
    if (k != AUG_ROTATE) take(g, aug_name[k], k == AUG_XINT || k == AUG_XFRAC ? 2 : 1, d, n, k, 0);
  take(g, "rotate_pre", 1, d, n, AUG_ROTATE, 0);
  take(g, "rotate_post", 1, d, n, AUG_ROTATE, 1);
  for (int b = 0; b < 4; b++) take(g, gold_name(g, "imgfilter%d", b), 1, d, n, AUG_IMGFILTER, b);
  take(g, "noise_sigma", 1, d, n, AUG_NOISE, 0);
  const real *gate = gold_has(g, "in.cutout.gate") ? gold_load(g, "in.cutout.gate", NULL) : NULL;
  const real *at = gold_has(g, "in.cutout.center") ? gold_load(g, "in.cutout.center", NULL) : NULL;
  for (int i = 0; gate && at && i < n; i++) {
    d[i].gate[AUG_CUTOUT][0] = gate[i];
    for (int k = 0; k < 2; k++) d[i].value[AUG_CUTOUT][k] = at[2 * i + k];
  }
}

void golden_augment_random(Gold *g) {
  AugConfig c;
  int n = (int)gold_shape(g, "in.img").dim[0], margin[4];
  if (n < 1 || !config(g, &c, gold_str(g, "enable"))) return;
  AugDraws *d = calloc((size_t)n, sizeof *d);
  AugParams *s = calloc((size_t)n, sizeof *s);
  double *theta = calloc((size_t)n, 6 * sizeof(double));
  if (d && s && theta) {
    take_all(g, d, n);
    for (int i = 0; i < n; i++) aug_params(&c, gold_num(g, "p", 1), &d[i], &s[i]);
    run_pipe(g, &c, s, "out.y", "grad.img");
    check_margin(g, "mid.margin", &c, s, n, margin);
    for (int i = 0; i < n; i++) aug_theta(&c, &s[i], margin, theta + 6 * i);
    if (gold_has(g, "mid.theta")) gold_compare_f64(g, "mid.theta", theta, 6 * n);
  }
  free(d);
  free(s);
  free(theta);
}

/* ---- R1 through the pipe ---- */
static bool load_discriminator(Gold *g, Discriminator *D) {
  Error e = {0};
  DisConfig cfg = {.c_dim = (int)gold_int(g, "D.c_dim", 0),
                   .img_resolution = (int)gold_int(g, "D.img_resolution", 0),
                   .img_channels = (int)gold_int(g, "D.img_channels", 0),
                   .channel_base = (int)gold_int(g, "D.channel_base", 0),
                   .channel_max = (int)gold_int(g, "D.channel_max", 0),
                   .mbstd_group_size = (int)gold_int(g, "D.mbstd_group_size", 4),
                   .mbstd_num_channels = (int)gold_int(g, "D.mbstd_num_channels", 1),
                   .mapping_layers = (int)gold_int(g, "D.mapping_layers", 0),
                   .conv_clamp = gold_num(g, "D.conv_clamp", -1)};
  if (!gold_ok(g, discriminator_new(D, &cfg, &e), &e, "discriminator_new")) return false;
  for (int i = 0; i < D->params.n; i++) {
    ParamEntry *q = &D->params.entry[i];
    const char *name = gold_name(g, "D.%s", q->name);
    const real *src = gold_load(g, name, NULL);
    if (!src || gold_numel(g, name) != q->numel) {
      gold_fail(g, "%s does not fit the network", name);
      discriminator_free(D);
      return false;
    }
    memcpy(q->data, src, (size_t)q->numel * sizeof(real));
  }
  return true;
}

/* Runs the plan and compares; wrt[i] are the parameters, out[3 + i] their R1 gradients. */
static void run_r1(Gold *g, Graph *gr, const Discriminator *D, const AugConfig *c,
                   const AugNodes *nodes, const AugParams *s, Val x, int nout, const Val *out) {
  Error e = {0};
  Plan *p = NULL;
  int n = nodes->batch;
  if (gold_ok(g, plan_new(gr, nout, out, &(PlanOptions){.backend = gold_backend()}, &p, &e), &e,
              "plan")) {
    memcpy(plan_data(p, x), gold_load(g, "in.img", NULL),
           (size_t)gold_numel(g, "in.img") * sizeof(real));
    aug_fill(c, nodes, p, s, n, gold_has(g, "in.noise") ? gold_load(g, "in.noise", NULL) : NULL,
             NULL);
    if (gold_ok(g, plan_run(p, &e), &e, "run")) {
      /* bias gradients arise only through the stddev layer: judge them by the net's largest
       * gradient */
      double scale = 0;
      for (int i = 0; i < D->params.n; i++)
        scale = fmax(scale, gold_maxabs(g, gold_name(g, "grad_r1.D.%s", D->params.entry[i].name)));
      gold_compare(g, "out.logits", plan_data(p, out[0]), n);
      gold_compare(g, "out.r1_grad", plan_data(p, out[1]), gold_numel(g, "in.img"));
      gold_compare(g, "out.r1_penalty", plan_data(p, out[2]), n);
      for (int i = 0; i < D->params.n; i++) {
        const char *name = gold_name(g, "grad_r1.D.%s", D->params.entry[i].name);
        if (gold_has(g, name))
          gold_compare_scale(g, name, plan_data(p, out[3 + i]), D->params.entry[i].numel,
                             strstr(name, "bias") ? scale : 0, 0);
      }
    }
  }
  plan_free(p);
}

void golden_augment_r1(Gold *g) {
  AugConfig c, preset;
  Error e = {0};
  Discriminator D;
  Shape shape = gold_shape(g, "in.img");
  int n = (int)shape.dim[0];
  if (!config(g, &c, "") ||
      !gold_ok(g, aug_preset(&preset, gold_str(g, "augpipe"), c.channels, c.res, &e), &e,
               "augpipe"))
    return;
  memcpy(c.mult, preset.mult, sizeof c.mult);
  if (!load_discriminator(g, &D)) return;
  Graph *gr = graph_new();
  AugParams *s = calloc((size_t)PRLX_MAX(n, 1), sizeof *s);
  Val wrt[256], out[3 + 256];
  if (gr && s && D.params.n <= COUNT_OF(wrt)) {
    for (int i = 0; i < n; i++) aug_params_percentile(&c, gold_num(g, "percentile", 0.5), &s[i]);
    AugNodes nodes;
    Val x = g_input(gr, "img", shape),
        lab = D.cfg.c_dim ? g_full(gr, SHAPE2(n, D.cfg.c_dim), 0) : 0;
    out[0] = g_discriminator(gr, &D, aug_build(gr, &c, x, &nodes), lab, false, NULL);
    out[2] = g_r1_penalty(gr, out[0], x, &out[1]);
    Val L = g_axpb(gr, g_mean_all(gr, out[2]), gold_num(g, "r1_gamma", 1) / 2, 0);
    for (int i = 0; i < D.params.n; i++)
      wrt[i] = params_leaf(gr, &D.params, D.params.entry[i].name, false);
    graph_grad(gr, 1, &L, NULL, D.params.n, wrt, out + 3, 0, NULL, &e);
    if (gold_ok(g, graph_status(gr, &e), &e, "graph"))
      run_r1(g, gr, &D, &c, &nodes, s, x, 3 + D.params.n, out);
  } else
    gold_fail(g, "out of memory");
  free(s);
  graph_free(gr);
  discriminator_free(&D);
}
