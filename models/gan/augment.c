/* augment.c: the augmentation pipe as a graph: geometry, colour, image-space filter, noise, cutout,
 * in this order. Karras et al. 2020, appendix B; SEMANTICS section 6. Values are not clamped
 * afterwards. */
#include "models/gan/augment.h"
#include <math.h>
#include <string.h>

static bool aug_uses_any(const AugConfig *c, int first, int last) {
  for (int k = first; k <= last; k++)
    if (c->mult[k] > 0) return true;
  return false;
}

static bool aug_uses(const AugConfig *c, AugChannel kind) {
  for (int k = 0; k < c->channels; k++)
    if (c->channel[k] == kind) return true;
  return false;
}

static bool config_ok(Graph *g, const AugConfig *c, Val img) {
  Shape s = graph_shape(g, img);
  char text[96];
  if (!img) return false;
  if (s.rank != 4 || s.dim[1] != c->channels || s.dim[2] != c->res || s.dim[3] != c->res) {
    graph_fail(g, ST_INVALID, "augmentation: image %s; expected [N,%d,%d,%d]", shape_str(s, text),
               c->channels, c->res, c->res);
    return false;
  }
  int rgb = 0;
  for (int k = 0; k < c->channels; k++) rgb += c->channel[k] == AUGC_RGB;
  if (rgb && (rgb != 3 || c->channel[0] != AUGC_RGB || c->channel[1] != AUGC_RGB ||
              c->channel[2] != AUGC_RGB)) {
    graph_fail(g, ST_INVALID,
               "augmentation: %d RGB channels; expected none, or exactly channels 0, 1 and 2", rgb);
    return false;
  }
  if (c->mult[AUG_IMGFILTER] > 0 && c->res <= AUG_FILTER_PAD) {
    graph_fail(g, ST_INVALID,
               "augmentation: the image-space filter needs a side above %d, found %d; use a preset "
               "without f",
               AUG_FILTER_PAD, c->res);
    return false;
  }
  return true;
}

/* Colour: x * slope + offset per channel, and for RGB the three columns of the matrix times the
 * three channels. */
static Val build_color(Graph *g, const AugConfig *c, Val x, AugNodes *n) {
  bool rgb = aug_uses(c, AUGC_RGB);
  int cols = rgb ? 5 : 2;
  n->color = g_input(g, "aug.color", SHAPE4(n->batch, c->channels, 1, cols));
  Val y = g_add(g, g_mul(g, x, g_slice(g, n->color, 3, cols - 2, 1, 1)),
                g_slice(g, n->color, 3, cols - 1, 1, 1));
  for (int k = 0; rgb && k < 3; k++)
    y = g_add(g, y, g_mul(g, g_slice(g, n->color, 3, k, 1, 1), g_slice(g, x, 1, k, 1, 1)));
  return y;
}

Val aug_build(Graph *g, const AugConfig *c, Val img, AugNodes *n) {
  memset(n, 0, sizeof *n);
  if (!config_ok(g, c, img)) return 0;
  n->batch = (int)graph_dim(g, img, 0);
  int r = c->res;
  Val x = img, shift = 0;
  bool mask = aug_uses(c, AUGC_MASK) && aug_uses_any(c, 0, AUG_COUNT - 1);
  /* "absent" (-1) becomes 0 inside the pipe, so that every fill with zero means absent */
  if (mask) {
    real s[AUG_MAX_CHANNELS];
    for (int k = 0; k < c->channels; k++) s[k] = c->channel[k] == AUGC_MASK;
    shift = g_const(g, SHAPE4(1, c->channels, 1, 1), s);
    x = g_add(g, x, shift);
  }
  if (aug_uses_any(c, AUG_XFLIP, AUG_XFRAC)) {
    real taps[12];
    for (int k = 0; k < 12; k++) taps[k] = (real)aug_sym6[k];
    n->geo = g_input(g, "aug.geo", SHAPE2(n->batch, 10));
    x = g_warp(g, x, n->geo, g_const(g, SHAPE1(12), taps));
  }
  if (aug_uses_any(c, AUG_BRIGHTNESS, AUG_LUMAFLIP) ||
      (aug_uses(c, AUGC_RGB) && aug_uses_any(c, AUG_HUE, AUG_SATURATION)))
    x = build_color(g, c, x, n);
  if (c->mult[AUG_IMGFILTER] > 0) {
    const int q = AUG_FILTER_PAD;
    n->filter = g_input(g, "aug.filter", SHAPE2(n->batch, AUG_FILTER_TAPS));
    UpFirDn u = {.upx = 1, .upy = 1, .downx = 1, .downy = 1, .gain = 1, .separable_per_sample = 1};
    x = g_upfirdn2d(g, g_reflect_pad(g, x, q, q, q, q), n->filter, &u);
  }
  if (c->mult[AUG_NOISE] > 0) {
    n->sigma = g_input(g, "aug.sigma", SHAPE4(n->batch, c->channels, 1, 1));
    n->noise = g_input(g, "aug.noise", SHAPE4(n->batch, c->channels, r, r));
    x = g_add(g, x, g_mul(g, n->noise, n->sigma));
  }
  if (c->mult[AUG_CUTOUT] > 0) {
    n->cutout = g_input(g, "aug.cutout", SHAPE4(n->batch, 1, r, r));
    x = g_mul(g, x, n->cutout);
  }
  return mask ? g_sub(g, x, shift) : x;
}

/* ---- inputs ---- */
static void fill_geo(const AugConfig *c, const AugParams *s, int n, real *dst) {
  int margin[4];
  aug_margin(c, s, n, margin);
  for (int i = 0; i < n; i++, dst += 10) {
    for (int k = 0; k < 6; k++) dst[k] = (real)s[i].G[k];
    for (int k = 0; k < 4; k++) dst[6 + k] = (real)margin[k];
  }
}

static void fill_color(const AugConfig *c, const AugParams *s, int n, real *dst) {
  bool rgb = aug_uses(c, AUGC_RGB);
  for (int i = 0; i < n; i++)
    for (int k = 0; k < c->channels; k++) {
      const double *row = s[i].C + 4 * k;
      if (rgb)
        for (int j = 0; j < 3; j++) *dst++ = c->channel[k] == AUGC_RGB ? (real)row[j] : 0;
      *dst++ = c->channel[k] == AUGC_GREY ? (real)s[i].grey[0] : c->channel[k] == AUGC_MASK;
      *dst++ = c->channel[k] == AUGC_GREY  ? (real)s[i].grey[1]
               : c->channel[k] == AUGC_RGB ? (real)row[3]
                                           : 0;
    }
}

static void fill_filter(const AugParams *s, int n, real *dst) {
  double bank[4][AUG_FILTER_TAPS];
  aug_filter_bank(bank);
  for (int i = 0; i < n; i++)
    for (int t = 0; t < AUG_FILTER_TAPS; t++) {
      double v = 0;
      for (int b = 0; b < 4; b++) v += s[i].band_gain[b] * bank[b][t];
      *dst++ = (real)v;
    }
}

static void fill_cutout(const AugConfig *c, const AugParams *s, int n, real *dst) {
  for (int i = 0; i < n; i++)
    for (int y = 0; y < c->res; y++)
      for (int x = 0; x < c->res; x++)
        *dst++ = !(s[i].cut && fabs((x + 0.5) / c->res - s[i].cut_cx) < 0.25 &&
                   fabs((y + 0.5) / c->res - s[i].cut_cy) < 0.25);
}

void aug_fill(const AugConfig *c, const AugNodes *nodes, Plan *p, const AugParams *s, int n,
              const real *noise_image, Rng *r) {
  real *dst;
  n = PRLX_MIN(n, nodes->batch);
  if (nodes->geo && (dst = plan_data(p, nodes->geo))) fill_geo(c, s, n, dst);
  if (nodes->color && (dst = plan_data(p, nodes->color))) fill_color(c, s, n, dst);
  if (nodes->filter && (dst = plan_data(p, nodes->filter))) fill_filter(s, n, dst);
  if (nodes->sigma && (dst = plan_data(p, nodes->sigma)))
    for (int i = 0; i < n * c->channels; i++)
      dst[i] = c->channel[i % c->channels] == AUGC_MASK ? 0 : (real)s[i / c->channels].sigma;
  if (nodes->noise && (dst = plan_data(p, nodes->noise))) {
    int64_t count = (int64_t)n * c->channels * c->res * c->res;
    if (noise_image)
      memcpy(dst, noise_image, (size_t)count * sizeof(real));
    else if (r)
      rng_fill_normal(r, dst, count);
  }
  if (nodes->cutout && (dst = plan_data(p, nodes->cutout))) fill_cutout(c, s, n, dst);
}
