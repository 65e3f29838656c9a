/* cam.c: see cam.h */
#include "models/judge/cam.h"
#include <math.h>
#include <string.h>

enum { CAM_BATCH = 16 };

void cam_size(const Classifier *c, int h, int w, int *mh, int *mw) {
  const int pools = PRLX_MIN(c->cfg.pools, (int)CLS_MAP_UNITS);
  *mh = h >> pools;
  *mw = w >> pools;
}

/* [N,1,mh,mw] */
static Val cam_build(Graph *g, const Classifier *c, Val x, int cls, CamKind kind) {
  ClassifierTaps t;
  Val logits = g_classifier(g, c, x, NULL, &t), weight;
  const bool deep = c->cfg.pools > CLS_MAP_UNITS;
  const int64_t ch = graph_dim(g, t.features, 1);
  if (kind == CAM_ZHOU && !deep)
    weight = g_reshape(g, g_slice(g, params_leaf(g, &c->params, "fc.weight", true), 0, cls, 1, 1),
                       SHAPE4(1, ch, 1, 1));
  else
    weight = g_mean(g, g_grad1(g, g_slice(g, logits, 1, cls, 1, 1), t.early), 4 | 8);
  Val map = g_sum(g, g_mul(g, t.early, weight), 2);
  return kind == CAM_GRAD ? g_lrelu(g, map, 0, 1, -1) : map;
}

Status cam_maps(const Classifier *c, const Slices *d, int cls, CamKind kind, real *maps, Error *e) {
  if (cls < 0 || cls >= c->cfg.classes)
    return err_set(e, ST_INVALID, "activation map: class %d; the classifier has 0 to %d", cls,
                   c->cfg.classes - 1);
  if (d->n < 1 || d->channels != c->cfg.channels || d->h < 1 << c->cfg.pools ||
      d->w < 1 << c->cfg.pools)
    return err_set(e, ST_INVALID,
                   "activation map: %lld slices of %d channels, %d x %d pixels; this classifier "
                   "takes %d channels of at least %d x %d",
                   (long long)d->n, d->channels, d->w, d->h, c->cfg.channels, 1 << c->cfg.pools,
                   1 << c->cfg.pools);
  int mh, mw;
  cam_size(c, d->h, d->w, &mh, &mw);
  const int64_t per = (int64_t)d->channels * d->h * d->w, cells = (int64_t)mh * mw;
  Graph *g = graph_new();
  Plan *plan = NULL;
  if (!g) return err_set(e, ST_NOMEM, "activation map: out of memory for the graph");
  Val x = g_input(g, "slices", SHAPE4(CAM_BATCH, d->channels, d->h, d->w)),
      y = cam_build(g, c, x, cls, kind);
  Status s = graph_status(g, e);
  if (s != ST_OK) goto done;
  s = plan_new(g, 1, &y, &(PlanOptions){.backend = c->backend}, &plan, e);
  if (s != ST_OK) goto done;
  for (int64_t at = 0; at < d->n; at += CAM_BATCH) {
    const int64_t m = PRLX_MIN((int64_t)CAM_BATCH, d->n - at);
    memcpy(plan_data(plan, x), d->images + at * per, (size_t)(m * per) * sizeof(real));
    const real *result = NULL;
    s = fit_result(plan, y, &result, e);
    if (s != ST_OK) goto done;
    memcpy(maps + at * cells, result, (size_t)(m * cells) * sizeof(real));
  }
  for (int64_t i = 0; i < d->n * cells; i++) {
    if (isfinite(maps[i])) continue;
    s = err_set(e, ST_NUMERIC,
                "activation map: slice %lld gives %g; check the slice and the weights for NaN",
                (long long)(i / cells), (double)maps[i]);
    goto done;
  }
done:
  plan_free(plan);
  graph_free(g);
  return s;
}

void cam_enlarge(const real *map, int mh, int mw, int h, int w, real *out) {
  for (int y = 0; y < h; y++) {
    const double sy = PRLX_MIN(PRLX_MAX((y + 0.5) * mh / h - 0.5, 0.0), mh - 1.0),
                 fy = sy - floor(sy);
    const int y0 = (int)sy, y1 = PRLX_MIN(y0 + 1, mh - 1);
    for (int x = 0; x < w; x++) {
      const double sx = PRLX_MIN(PRLX_MAX((x + 0.5) * mw / w - 0.5, 0.0), mw - 1.0),
                   fx = sx - floor(sx);
      const int x0 = (int)sx, x1 = PRLX_MIN(x0 + 1, mw - 1);
      out[y * w + x] =
          (real)(((double)map[y0 * mw + x0] * (1 - fx) + (double)map[y0 * mw + x1] * fx) *
                     (1 - fy) +
                 ((double)map[y1 * mw + x0] * (1 - fx) + (double)map[y1 * mw + x1] * fx) * fy);
    }
  }
}

static void widen_mask(const uint8_t *mask, int h, int w, double r, uint8_t *out) {
  const int k = (int)floor(r);
  memset(out, 0, (size_t)h * (size_t)w);
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      if (!mask[y * w + x]) continue;
      for (int dy = -k; dy <= k; dy++)
        for (int dx = -k; dx <= k; dx++)
          if (dx * dx + dy * dy <= r * r && y + dy >= 0 && y + dy < h && x + dx >= 0 && x + dx < w)
            out[(y + dy) * w + x + dx] = 1;
    }
}

Status cam_share(const real *map, const uint8_t *mask, int h, int w, double widen, double *share,
                 double *area, bool *hit, Error *e) {
  const int n = h * w;
  if (!(widen >= 0 && widen <= 1000))
    return err_set(e, ST_INVALID, "activation map: mask widened by %g pixels; expected 0 to 1000",
                   widen);
  uint8_t *m = mem_alloc((size_t)n);
  if (!m) return err_set(e, ST_NOMEM, "activation map: out of memory for a mask");
  widen_mask(mask, h, w, widen, m);
  double on = 0, all = 0;
  int covered = 0, top = 0;
  for (int i = 0; i < n; i++) {
    const double v = PRLX_MAX((double)map[i], 0.0);
    all += v;
    if (m[i]) {
      on += v;
      covered++;
    }
    if (map[i] > map[top]) top = i;
  }
  *share = all > 0 && covered ? on / all : NAN;
  if (area) *area = (double)covered / n;
  if (hit) *hit = all > 0 && m[top];
  mem_free(m);
  return ST_OK;
}

/* ---- colours ---- */

static double inverse_f(double t) {
  return t > 6.0 / 29 ? t * t * t : 3 * (6.0 / 29) * (6.0 / 29) * (t - 4.0 / 29);
}

static uint8_t srgb_byte(double v) {
  v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
  return v <= 0 ? 0 : v >= 1 ? 255 : (uint8_t)lround(v * 255);
}

void cam_colour(double v, uint8_t rgb[3]) {
  v = v > 0 ? PRLX_MIN(v, 1.0) : 0;
  /* Lightness in equal steps; hue from violet (305 degrees) to yellow (100); at each tenth about as
   * much chroma as sRGB can show. */
  static const double chroma_at[12] = {42, 34, 27, 26, 26.5, 29, 38, 52, 62, 72, 80, 80};
  const int k = (int)(10 * v);
  const double L = 15 + 75 * v, hue = (305 - 205 * v) * M_PI / 180,
               chroma = chroma_at[k] + (10 * v - k) * (chroma_at[k + 1] - chroma_at[k]);
  const double fy = (L + 16) / 116, X = 0.95047 * inverse_f(fy + chroma * cos(hue) / 500),
               Y = inverse_f(fy), Z = 1.08883 * inverse_f(fy - chroma * sin(hue) / 200);
  rgb[0] = srgb_byte(3.2404542 * X - 1.5371385 * Y - 0.4985314 * Z);
  rgb[1] = srgb_byte(-0.9692660 * X + 1.8760108 * Y + 0.0415560 * Z);
  rgb[2] = srgb_byte(0.0556434 * X - 0.2040259 * Y + 1.0572252 * Z);
}
