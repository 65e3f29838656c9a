/* lpips.c: VGG16 as a graph, and the perceptual distance on it (Zhang et al. 2018, Eq. 1):
 *   d(a, b) = sum_taps 1/(H W) sum_hw sum_c lin_c (n(a)_chw - n(b)_chw)^2,   n(x) = x / (|x|_2 over
 *     channels + 1e-10)
 * Written as the squared length of a difference of scaled feature vectors, so that the target's
 * vector is computed once per lesion. */
#include "models/gan/lpips.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/plan.h"

const int vgg_conv_index[VGG_CONVS] = {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int conv_channels[VGG_CONVS] = {64,  64,  128, 128, 256, 256, 256,
                                             512, 512, 512, 512, 512, 512};
/* the last convolution before each pooling */
static const int tap_conv[VGG_TAPS] = {1, 3, 6, 9, 12};

static Status vgg_add_tensors(Vgg *v, Error *e) {
  char name[64];
  for (int k = 0, ci = 3; k < VGG_CONVS; ci = conv_channels[k++]) {
    snprintf(name, sizeof name, "features.%d.weight", vgg_conv_index[k]);
    TRY(params_add(&v->params, name, SHAPE4(conv_channels[k], ci, 3, 3), false, e));
    snprintf(name, sizeof name, "features.%d.bias", vgg_conv_index[k]);
    TRY(params_add(&v->params, name, SHAPE1(conv_channels[k]), false, e));
  }
  for (int k = 0; k < VGG_TAPS; k++) {
    snprintf(name, sizeof name, "lin%d", k);
    TRY(params_add(&v->params, name, SHAPE1(conv_channels[tap_conv[k]]), false, e));
  }
  return params_seal(&v->params, e);
}

Status vgg_new(Vgg *v, Error *e) {
  static const double mean[3] = {0.485, 0.456, 0.406}, std[3] = {0.229, 0.224, 0.225};
  memset(v, 0, sizeof *v);
  for (int k = 0; k < 3; k++) {
    v->mean[k] = 255 * mean[k];
    v->std[k] = 255 * std[k];
  }
  snprintf(v->name, sizeof v->name, "VGG16 without weights");
  const Status s = vgg_add_tensors(v, e);
  if (s != ST_OK) vgg_free(v);
  return s;
}

void vgg_free(Vgg *v) {
  params_free(&v->params);
  memset(v, 0, sizeof *v);
}

void vgg_formula(Vgg *v, const char *prefix) {
  for (int k = 0; k < v->params.n; k++) {
    ParamEntry *t = &v->params.entry[k];
    if (strncmp(t->name, "features.", 9) != 0) continue;
    char full[160];
    snprintf(full, sizeof full, "%s%s", prefix, t->name);
    double fan_in = t->shape.rank == 4 ? (double)(t->numel / t->shape.dim[0]) : 0;
    formula_fill(t->data, t->numel, full, fan_in > 0 ? sqrt(6.0 / fan_in) : 0.1, 0.0);
  }
  snprintf(v->name, sizeof v->name, "VGG16 with formula weights");
}

/* Per-channel constant [1,3,1,1]. */
static Val channel_const(Graph *g, const double c[3], bool invert) {
  real r[3];
  for (int k = 0; k < 3; k++) r[k] = (real)(invert ? 1.0 / c[k] : c[k]);
  return g_const(g, SHAPE4(1, 3, 1, 1), r);
}

void g_vgg(Graph *g, const Vgg *v, Val img, VggTaps *taps) {
  memset(taps, 0, sizeof *taps);
  Shape s = graph_shape(g, img);
  if (!img) return;
  if (s.rank != 4 || (s.dim[1] != 1 && s.dim[1] != 3) || s.dim[2] < VGG_MIN_SIDE ||
      s.dim[3] < VGG_MIN_SIDE) {
    char b[96];
    graph_fail(g, ST_INVALID, "VGG16: image is %s; expected [N,1,H,W] or [N,3,H,W] with H, W >= %d",
               shape_str(s, b), VGG_MIN_SIDE);
    return;
  }
  /* One channel becomes three by broadcasting against the per-channel mean. */
  Val x = g_mul(g, g_sub(g, img, channel_const(g, v->mean, false)), channel_const(g, v->std, true));
  for (int k = 0, tap = 0; k < VGG_CONVS; k++) {
    char name[64];
    snprintf(name, sizeof name, "features.%d.weight", vgg_conv_index[k]);
    Val w = params_leaf(g, &v->params, name, true);
    snprintf(name, sizeof name, "features.%d.bias", vgg_conv_index[k]);
    Val b = g_reshape(g, params_leaf(g, &v->params, name, true), SHAPE4(1, conv_channels[k], 1, 1));
    x = g_lrelu(g, g_add(g, g_conv2d(g, x, w, 1, 1), b), 0.0, 1.0, -1.0);
    if (k != tap_conv[tap]) continue;
    taps->x[tap++] = x;
    if (tap < VGG_TAPS) x = g_maxpool(g, x, 2, 2, 0);
  }
}

void g_lpips_features(Graph *g, const Vgg *v, const VggTaps *taps, Val feat[VGG_TAPS]) {
  for (int k = 0; k < VGG_TAPS; k++) {
    Val x = taps->x[k];
    Shape s = graph_shape(g, x);
    char name[16];
    snprintf(name, sizeof name, "lin%d", k);
    Val lin = g_reshape(g, params_leaf(g, &v->params, name, true),
                        SHAPE4(1, conv_channels[tap_conv[k]], 1, 1));
    double hw = s.rank == 4 ? (double)(s.dim[2] * s.dim[3]) : 1.0;
    /* frozen: folded by the planner */
    Val scale = g_axpb(g, g_sqrt0(g, lin), 1.0 / sqrt(hw), 0.0);
    Val norm = g_axpb(g, g_sqrt0(g, g_sum(g, g_square(g, x), 1u << 1)), 1.0, 1e-10);
    /* One reciprocal per position instead of a division per element. */
    feat[k] = g_mul(g, g_mul(g, x, g_div(g, g_scalar(g, 1.0), norm)), scale);
  }
}

Val g_lpips_layers(Graph *g, const Val fa[VGG_TAPS], const Val fb[VGG_TAPS], Val layers[VGG_TAPS]) {
  Val total = 0;
  for (int k = 0; k < VGG_TAPS; k++) {
    Val d = g_sum(g, g_square(g, g_sub(g, fa[k], fb[k])), 1u << 1 | 1u << 2 | 1u << 3);
    d = g_reshape(g, d, SHAPE1(graph_shape(g, d).dim[0]));
    if (layers) layers[k] = d;
    total = k ? g_add(g, total, d) : d;
  }
  return total;
}

/* ---- images in network units ---- */

/* Why 64 x 64 goes in as it is: enlarging invents no detail. But VGG16 learned at 224 pixels: at 64
 * its relu5_3 is a map of 4 x 4, each number sees nearly all of the patch, and a rim ten pixels
 * wide is judged mostly by the first two taps; distances are not comparable with those at 256. */
Val g_vgg_input(Graph *g, Val img, VggChannels pick) {
  Shape s = graph_shape(g, img);
  if (s.rank != 4)
    return graph_fail(g, ST_INVALID, "VGG input: rank %d; expected an image [N,C,R,R]", s.rank);
  if (pick == VGG_CHANNELS_MEAN && s.dim[1] > 1)
    img = g_mean(g, img, 1u << 1);
  else if (s.dim[1] != 1 && (s.dim[1] != 3 || pick == VGG_CHANNELS_FIRST))
    img = g_slice(g, img, 1, 0, 1, 1);
  Val x = g_axpb(g, img, 127.5, 127.5);
  if (s.dim[2] > 256) {
    int f = (int)(s.dim[2] / 256);
    if (s.dim[2] != 256 * (int64_t)f || s.dim[3] != s.dim[2])
      return graph_fail(
          g, ST_INVALID,
          "VGG input: %lld x %lld; larger than 256 it must be square and a multiple of 256",
          (long long)s.dim[2], (long long)s.dim[3]);
    x = g_avgpool(g, x, f, f, 0);
  }
  return x;
}

Shape lpips_feature_shape(int64_t n, int64_t h, int64_t w, int tap) {
  return SHAPE4(n, conv_channels[tap_conv[tap]], h >> tap, w >> tap);
}

void lpips_run_free(LpipsRun *r) {
  plan_free(r->plan);
  graph_free(r->graph);
  memset(r, 0, sizeof *r);
}

Status lpips_run_new(LpipsRun *r, Backend *b, const Vgg *v, Shape images, VggChannels pick,
                     Error *e) {
  memset(r, 0, sizeof *r);
  if (images.rank != 4)
    return err_set(e, ST_INVALID, "LPIPS: images of rank %d; expected [n,C,R,R]", images.rank);
  r->graph = graph_new();
  if (!r->graph)
    return err_set(e, ST_NOMEM, "LPIPS: out of memory for the graph; free memory and try again");
  r->batch = images.dim[0];
  r->img = g_input(r->graph, "image", images);
  VggTaps taps;
  g_vgg(r->graph, v, g_vgg_input(r->graph, r->img, pick), &taps);
  g_lpips_features(r->graph, v, &taps, r->feat);
  Status s = graph_status(r->graph, e);
  if (s != ST_OK) goto done;
  s = plan_new(r->graph, VGG_TAPS, r->feat, &(PlanOptions){.backend = b}, &r->plan, e);
done:
  if (s != ST_OK) lpips_run_free(r);
  return s;
}

/* Runs it on n <= batch images. */
static Status run_images(LpipsRun *r, int64_t n, const real *img, Error *e) {
  const int64_t numel = shape_numel(graph_shape(r->graph, r->img)) / r->batch;
  real *in = plan_data(r->plan, r->img);
  memcpy(in, img, (size_t)(n * numel) * sizeof(real));
  memset(in + n * numel, 0, (size_t)((r->batch - n) * numel) * sizeof(real));
  return plan_run(r->plan, e);
}

Status lpips_run(LpipsRun *r, int64_t n, const real *img, real *const feat[VGG_TAPS], Error *e) {
  const int64_t numel = shape_numel(graph_shape(r->graph, r->img)) / r->batch;
  for (int64_t i = 0; i < n; i += r->batch) {
    const int64_t part = PRLX_MIN(r->batch, n - i);
    TRY(run_images(r, part, img + i * numel, e));
    for (int k = 0; k < VGG_TAPS; k++) {
      const int64_t m = shape_numel(graph_shape(r->graph, r->feat[k])) / r->batch;
      const real *y;
      TRY(plan_read(r->plan, r->feat[k], &y, e));
      memcpy(feat[k] + i * m, y, (size_t)(part * m) * sizeof(real));
    }
  }
  return ST_OK;
}

Status lpips_image_features_on(Backend *b, const Vgg *v, Shape images, const real *img,
                               VggChannels pick, real *const feat[VGG_TAPS], Error *e) {
  LpipsRun r;
  const Shape one = SHAPE4(1, images.dim[1], images.dim[2], images.dim[3]);
  TRY(lpips_run_new(&r, b, v, images.rank == 4 ? one : images, pick, e));
  const Status s = lpips_run(&r, images.dim[0], img, feat, e);
  lpips_run_free(&r);
  return s;
}

/* sum (a-b)^2 in double. */
static double sum_sq_diff(const real *a, const real *b, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = (double)a[i] - (double)b[i];
    s += d * d;
  }
  return s;
}

Status lpips_distance(const Vgg *v, Shape images, const real *a, const real *b, VggChannels pick,
                      double *dist, Error *e) {
  LpipsRun f;
  const Shape one = SHAPE4(1, images.dim[1], images.dim[2], images.dim[3]);
  TRY(lpips_run_new(&f, NULL, v, images.rank == 4 ? one : images, pick, e));
  Status s = ST_OK;
  int64_t numel = images.dim[1] * images.dim[2] * images.dim[3], total = 0;
  for (int k = 0; k < VGG_TAPS; k++) total += shape_numel(graph_shape(f.graph, f.feat[k]));
  real *fa = mem_alloc((size_t)total * sizeof(real));
  if (!fa) {
    s = err_set(e, ST_NOMEM,
                "LPIPS: out of memory for %lld feature values; free memory and try again",
                (long long)total);
    goto done;
  }
  for (int64_t i = 0; i < images.dim[0]; i++) {
    s = run_images(&f, 1, a + i * numel, e);
    if (s != ST_OK) goto done;
    real *dst = fa;
    for (int k = 0; k < VGG_TAPS; k++) {
      const int64_t m = shape_numel(graph_shape(f.graph, f.feat[k]));
      memcpy(dst, plan_data(f.plan, f.feat[k]), (size_t)m * sizeof(real));
      dst += m;
    }
    s = run_images(&f, 1, b + i * numel, e);
    if (s != ST_OK) goto done;
    dist[i] = 0;
    dst = fa;
    for (int k = 0; k < VGG_TAPS; k++) {
      const int64_t m = shape_numel(graph_shape(f.graph, f.feat[k]));
      dist[i] += sum_sq_diff(dst, plan_data(f.plan, f.feat[k]), m);
      dst += m;
    }
  }
done:
  mem_free(fa);
  lpips_run_free(&f);
  return s;
}
