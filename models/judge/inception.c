/* inception.c: Inception-v3 as a graph. The blocks are those of Szegedy et al. 2015, Figures 5, 6,
 * 7 and 10, with the FID network's poolings:
 *   stem -> 5b 5c 5d (35 x 35) -> 6a -> 6b 6c 6d 6e (17 x 17) -> 7a -> 7b 7c (8 x 8) -> mean. */
#include "models/judge/inception.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/plan.h"

#define BN_EPS 1e-3
/* name, output channels, input channels, kernel rows and columns. Stride and padding are the
 * block's business. */
static const struct {
  const char *name;
  int co;
  int ci;
  int kh;
  int kw;
} conv_table[] = {{"Conv2d_1a_3x3", 32, 3, 3, 3},
                  {"Conv2d_2a_3x3", 32, 32, 3, 3},
                  {"Conv2d_2b_3x3", 64, 32, 3, 3},
                  {"Conv2d_3b_1x1", 80, 64, 1, 1},
                  {"Conv2d_4a_3x3", 192, 80, 3, 3}};

/* Every convolution is met once, in the order of the network, by whoever adds parameters or builds
 * the graph. */
typedef struct Build {
  Graph *g;
  const Inception *v;
  Params *add;
  Status s;
  Error *e;
  const char *block;
} Build;

/* Adds the five tensors of one convolution. */
static void declare_conv(Build *b, const char *layer, int co, int ci, int kh, int kw) {
  static const char *const bn[] = {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
  char name[96];
  snprintf(name, sizeof name, "%s.conv.weight", layer);
  if (b->s == ST_OK) b->s = params_add(b->add, name, SHAPE4(co, ci, kh, kw), false, b->e);
  for (int k = 0; k < COUNT_OF(bn) && b->s == ST_OK; k++) {
    snprintf(name, sizeof name, "%s.%s", layer, bn[k]);
    b->s = params_add(b->add, name, SHAPE1(co), false, b->e);
  }
}

/* A value is a node of the graph, or while parameters are being declared only its number of
 * channels. */
typedef struct Map {
  Val x;
  int c;
} Map;

static Map conv_named(Build *b, Map in, const char *layer, int co, int kh, int kw, int stride,
                      bool same) {
  Map out = {0, co};
  if (b->add) {
    declare_conv(b, layer, co, in.c, kh, kw);
    return out;
  }
  Graph *g = b->g;
  char name[96];
  snprintf(name, sizeof name, "%s.conv.weight", layer);
  Val w = params_leaf(g, &b->v->params, name, true), x = in.x;
  snprintf(name, sizeof name, "%s.bn.bias", layer);
  Val bias = g_reshape(g, params_leaf(g, &b->v->params, name, true), SHAPE4(1, co, 1, 1));
  int pad = same && kh == kw ? kh / 2 : 0;
  /* 7x1 and 1x7: conv2d pads both axes alike */
  if (same && kh > kw) x = g_pad(g, x, 2, kh / 2, graph_dim(g, x, 2) + kh - 1, 1);
  if (same && kw > kh) x = g_pad(g, x, 3, kw / 2, graph_dim(g, x, 3) + kw - 1, 1);
  out.x = g_lrelu(g, g_add(g, g_conv2d(g, x, w, stride, pad), bias), 0.0, 1.0, -1.0);
  return out;
}

/* Layer `block`.`name`, stride 1, padded so that the side stays. */
static Map inception_conv(Build *b, Map in, const char *name, int co, int kh, int kw) {
  char layer[64];
  snprintf(layer, sizeof layer, "%s.%s", b->block, name);
  return conv_named(b, in, layer, co, kh, kw, 1, true);
}

/* 3x3, stride 2, no padding */
static Map conv_half(Build *b, Map in, const char *name, int co) {
  char layer[64];
  snprintf(layer, sizeof layer, "%s.%s", b->block, name);
  return conv_named(b, in, layer, co, 3, 3, 2, false);
}

static Map inception_pool(Build *b, Map in, bool max, int stride, int pad) {
  if (b->add) return in;
  return (Map){max ? g_maxpool(b->g, in.x, 3, stride, pad) : g_avgpool(b->g, in.x, 3, stride, pad),
               in.c};
}

static Map inception_join(Build *b, Map x, Map y) {
  return (Map){b->add ? 0 : g_concat(b->g, x.x, y.x, 1), x.c + y.c};
}

static Map block_5(Build *b, Map x, const char *name, int pool_channels) {
  b->block = name;
  Map p1 = inception_conv(b, x, "branch1x1", 64, 1, 1);
  Map p5 =
      inception_conv(b, inception_conv(b, x, "branch5x5_1", 48, 1, 1), "branch5x5_2", 64, 5, 5);
  Map p3 = inception_conv(b,
                          inception_conv(b, inception_conv(b, x, "branch3x3dbl_1", 64, 1, 1),
                                         "branch3x3dbl_2", 96, 3, 3),
                          "branch3x3dbl_3", 96, 3, 3);
  Map pp = inception_conv(b, inception_pool(b, x, false, 1, 1), "branch_pool", pool_channels, 1, 1);
  return inception_join(b, inception_join(b, p1, p5), inception_join(b, p3, pp));
}

static Map block_6a(Build *b, Map x) {
  b->block = "Mixed_6a";
  Map p3 = conv_half(b, x, "branch3x3", 384);
  Map pd = conv_half(b,
                     inception_conv(b, inception_conv(b, x, "branch3x3dbl_1", 64, 1, 1),
                                    "branch3x3dbl_2", 96, 3, 3),
                     "branch3x3dbl_3", 96);
  return inception_join(b, inception_join(b, p3, pd), inception_pool(b, x, true, 2, 0));
}

static Map block_6(Build *b, Map x, const char *name, int c) {
  b->block = name;
  Map p1 = inception_conv(b, x, "branch1x1", 192, 1, 1);
  Map p7 = inception_conv(
      b, inception_conv(b, inception_conv(b, x, "branch7x7_1", c, 1, 1), "branch7x7_2", c, 1, 7),
      "branch7x7_3", 192, 7, 1);
  Map pd = inception_conv(
      b,
      inception_conv(b, inception_conv(b, x, "branch7x7dbl_1", c, 1, 1), "branch7x7dbl_2", c, 7, 1),
      "branch7x7dbl_3", c, 1, 7);
  pd = inception_conv(b, inception_conv(b, pd, "branch7x7dbl_4", c, 7, 1), "branch7x7dbl_5", 192, 1,
                      7);
  Map pp = inception_conv(b, inception_pool(b, x, false, 1, 1), "branch_pool", 192, 1, 1);
  return inception_join(b, inception_join(b, p1, p7), inception_join(b, pd, pp));
}

static Map block_7a(Build *b, Map x) {
  b->block = "Mixed_7a";
  Map p3 = conv_half(b, inception_conv(b, x, "branch3x3_1", 192, 1, 1), "branch3x3_2", 320);
  Map p7 = inception_conv(b,
                          inception_conv(b, inception_conv(b, x, "branch7x7x3_1", 192, 1, 1),
                                         "branch7x7x3_2", 192, 1, 7),
                          "branch7x7x3_3", 192, 7, 1);
  p7 = conv_half(b, p7, "branch7x7x3_4", 192);
  return inception_join(b, inception_join(b, p3, p7), inception_pool(b, x, true, 2, 0));
}

static Map block_7(Build *b, Map x, const char *name, bool max) {
  b->block = name;
  Map p1 = inception_conv(b, x, "branch1x1", 320, 1, 1);
  Map s = inception_conv(b, x, "branch3x3_1", 384, 1, 1);
  Map p3 = inception_conv(b, s, "branch3x3_2a", 384, 1, 3);
  p3 = inception_join(b, p3, inception_conv(b, s, "branch3x3_2b", 384, 3, 1));
  Map t = inception_conv(b, inception_conv(b, x, "branch3x3dbl_1", 448, 1, 1), "branch3x3dbl_2",
                         384, 3, 3);
  Map pd = inception_conv(b, t, "branch3x3dbl_3a", 384, 1, 3);
  pd = inception_join(b, pd, inception_conv(b, t, "branch3x3dbl_3b", 384, 3, 1));
  Map pp = inception_conv(b, inception_pool(b, x, max, 1, 1), "branch_pool", 192, 1, 1);
  return inception_join(b, inception_join(b, p1, p3), inception_join(b, pd, pp));
}

static Map inception_network(Build *b, Map x, InceptionTaps *taps) {
  for (int k = 0; k < COUNT_OF(conv_table); k++) {
    x = conv_named(b, x, conv_table[k].name, conv_table[k].co, conv_table[k].kh, conv_table[k].kw,
                   k == 0 ? 2 : 1, k == 2 || k == 3);
    if (k == 2 || k == 4) x = inception_pool(b, x, true, 2, 0);
    if (taps && k == 2) taps->pool1 = x.x;
    if (taps && k == 4) taps->pool2 = x.x;
  }
  x = block_5(b, block_5(b, block_5(b, x, "Mixed_5b", 32), "Mixed_5c", 64), "Mixed_5d", 64);
  x = block_6a(b, x);
  x = block_6(b, block_6(b, block_6(b, x, "Mixed_6b", 128), "Mixed_6c", 160), "Mixed_6d", 160);
  x = block_6(b, x, "Mixed_6e", 192);
  if (taps) taps->mixed6e = x.x;
  x = block_7(b, block_7a(b, x), "Mixed_7b", false);
  return block_7(b, x, "Mixed_7c", b->v && b->v->pool7c == POOL7C_MAX);
}

Status inception_new(Inception *v, Error *e) {
  memset(v, 0, sizeof *v);
  snprintf(v->name, sizeof v->name, "Inception-v3 without weights");
  Build b = {.add = &v->params, .e = e};
  Map out = inception_network(&b, (Map){0, 3}, NULL);
  Status s = b.s;
  if (s != ST_OK) goto done;
  s = v->params.n == 5 * INCEPTION_CONVS && out.c == INCEPTION_DIM
          ? params_seal(&v->params, e)
          : err_set(e, ST_INTERNAL, "Inception: %d tensors, %d features", v->params.n, out.c);
done:
  if (s != ST_OK) inception_free(v);
  return s;
}

void inception_free(Inception *v) {
  params_free(&v->params);
  memset(v, 0, sizeof *v);
}

void inception_formula(Inception *v, const char *prefix) {
  for (int k = 0; k < v->params.n; k++) {
    ParamEntry *t = &v->params.entry[k];
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, t->name);
    bool weight = t->shape.rank == 4, var = strstr(t->name, "running_var") != NULL,
         gamma = strstr(t->name, "bn.weight") != NULL;
    double fan_in = weight ? (double)(t->numel / t->shape.dim[0]) : 1;
    formula_fill(t->data, t->numel, full,
                 weight ? sqrt(6.0 / fan_in)
                 : var  ? 0.5
                        : 0.1,
                 var || gamma ? 1.0 : 0.0);
  }
  v->folded = false;
  v->pool7c = POOL7C_MAX;
  snprintf(v->name, sizeof v->name, "Inception-v3 with formula weights");
}

Status inception_fold(Inception *v, Error *e) {
  if (v->folded) return ST_OK;
  /* conv.weight, bn.weight, bn.bias, bn.running_mean, bn.running_var */
  for (int k = 0; k < v->params.n; k += 5) {
    ParamEntry *t = v->params.entry + k;
    int64_t co = t[0].shape.dim[0], per = t[0].numel / co;
    for (int64_t c = 0; c < co; c++) {
      double var = (double)t[4].data[c];
      if (!(var >= 0))
        return err_set(e, ST_NUMERIC,
                       "Inception: %s is %g at channel %lld; a variance is not negative", t[4].name,
                       var, (long long)c);
      double scale = (double)t[1].data[c] / sqrt(var + BN_EPS);
      for (int64_t i = 0; i < per; i++)
        t[0].data[c * per + i] = (real)((double)t[0].data[c * per + i] * scale);
      t[2].data[c] = (real)((double)t[2].data[c] - (double)t[3].data[c] * scale);
      t[1].data[c] = 1;
      t[3].data[c] = 0;
      t[4].data[c] = (real)(1 - BN_EPS);
    }
  }
  v->folded = true;
  return ST_OK;
}

Val g_inception(Graph *g, const Inception *v, Val x, InceptionTaps *taps) {
  Shape s = graph_shape(g, x);
  char buf[96];
  if (taps) memset(taps, 0, sizeof *taps);
  if (!x) return 0;
  if (!v->folded) return graph_fail(g, ST_INTERNAL, "Inception: inception_fold was not called");
  if (s.rank != 4 || s.dim[1] != 3 || s.dim[2] != INCEPTION_SIDE || s.dim[3] != INCEPTION_SIDE)
    return graph_fail(g, ST_INVALID, "Inception: input is %s; expected [N,3,%d,%d]",
                      shape_str(s, buf), INCEPTION_SIDE, INCEPTION_SIDE);
  Build b = {.g = g, .v = v};
  Map y = inception_network(&b, (Map){x, 3}, taps);
  return g_reshape(g, g_mean(g, y.x, 1u << 2 | 1u << 3), SHAPE2(s.dim[0], INCEPTION_DIM));
}

/* ---- features ---- */

Status inception_run_new(InceptionRun *r, const Inception *v, int batch, Error *e) {
  return inception_run_new_on(NULL, r, v, batch, e);
}

/* Graph and plan for what r->planes, height, width say. After an error r has none. */
static Status run_plan(InceptionRun *r, Error *e) {
  plan_free(r->plan);
  graph_free(r->graph);
  r->plan = NULL;
  if (!(r->graph = graph_new()))
    return err_set(e, ST_NOMEM,
                   "Inception: out of memory for the graph; free memory and try again");
  graph_batch_invariant(r->graph, true);
  r->in = g_input(r->graph, "image",
                  r->planes ? SHAPE4(r->batch, r->planes, r->height, r->width)
                            : SHAPE4(r->batch, 3, INCEPTION_SIDE, INCEPTION_SIDE));
  r->out = g_inception(r->graph, r->net,
                       r->planes ? g_fid_input(r->graph, &r->input, r->in) : r->in, NULL);
  TRY(graph_status(r->graph, e));
  return plan_new(r->graph, 1, &r->out, &(PlanOptions){.backend = r->on}, &r->plan, e);
}

Status inception_run_new_on(Backend *b, InceptionRun *r, const Inception *v, int batch, Error *e) {
  *r = (InceptionRun){.batch = batch, .net = v, .on = b};
  /* on a backend the size of the images says which */
  const Status s = b ? ST_OK : run_plan(r, e);
  if (s != ST_OK) inception_run_free(r);
  return s;
}

/* The plan for images of this size, kept while they are all alike. */
static Status run_plan_for(InceptionRun *r, const FidInput *o, int64_t c, int64_t h, int64_t w,
                           Error *e) {
  if (!r->on) return ST_OK;
  const int planes = fid_graph_takes(o, r->batch, c, h, w) ? fid_planes(o, c) : 0;
  const FidInput *last = &r->input;
  if (r->plan && r->planes == planes &&
      (!planes || (r->height == h && r->width == w && last->convention == o->convention)))
    return ST_OK;
  r->planes = planes;
  r->height = h;
  r->width = w;
  r->input = *o;
  return run_plan(r, e);
}

static Status run_images(InceptionRun *r, const FidInput *o, int64_t n, int64_t c, int64_t h,
                         int64_t w, const float *img, Error *e) {
  const int64_t per = r->planes ? r->planes * h * w : 3 * INCEPTION_SIDE * INCEPTION_SIDE;
  real *in = plan_data(r->plan, r->in);
  for (int64_t i = 0; i < n; i++) {
    if (r->planes)
      fid_planes_of(o, c, h, w, img + i * c * h * w, in + i * per);
    else
      TRY(fid_prepare(o, c, h, w, img + i * c * h * w, in + i * per, e));
  }
  if (n < r->batch) memset(in + n * per, 0, (size_t)((r->batch - n) * per) * sizeof *in);
  return ST_OK;
}

void inception_run_free(InceptionRun *r) {
  plan_free(r->plan);
  graph_free(r->graph);
  memset(r, 0, sizeof *r);
}

Status inception_run(InceptionRun *r, const FidInput *o, int64_t n, int64_t c, int64_t h, int64_t w,
                     const float *img, float *feat, Error *e) {
  if (n < 1 || n > r->batch)
    return err_set(e, ST_INVALID, "Inception: %lld images at once; expected 1 to %d", (long long)n,
                   r->batch);
  TRY(run_plan_for(r, o, c, h, w, e));
  TRY(run_images(r, o, n, c, h, w, img, e));
  TRY(plan_run(r->plan, e));
  const real *out = NULL;
  TRY(plan_read(r->plan, r->out, &out, e));
  for (int64_t i = 0; i < n * INCEPTION_DIM; i++) {
    feat[i] = (float)out[i];
    if (!isfinite(feat[i]))
      return err_set(
          e, ST_NUMERIC,
          "Inception: feature %lld of image %lld of the batch is not finite; check the weights",
          (long long)(i % INCEPTION_DIM), (long long)(i / INCEPTION_DIM));
  }
  return ST_OK;
}
