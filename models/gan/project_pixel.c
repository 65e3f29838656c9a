/* project_pixel.c: see project_pixel.h. */
#include "models/gan/project_pixel.h"
#include <math.h>
#include <string.h>
#include "core/backend.h"
#include "models/math/lbfgs.h"

/* Steps that L-BFGS remembers, and the length of its first one in units of the norm of w, which is
 * about 1 per layer of the mapping. */
enum { PIXEL_MEMORY = 20 };
#define PIXEL_FIRST_STEP 0.5

struct PixelSearch {
  const Generator *G;
  ProjectOptions o;
  int batch;
  Graph *g;
  Plan *plan;
  Val w;        /* [batch,w_dim] */
  Val target;   /* [batch,C,R,R] */
  Val weight;   /* [batch,1,side,side] of mean 1; 0: all pixels alike */
  Val loss;     /* [batch] */
  Val grad;     /* [batch,w_dim] */
  int side;     /* of what is compared */
  bool *going;  /* [batch] */
  Lbfgs **walk; /* [batch] */
};

static Status build_search(PixelSearch *s, Error *e) {
  const GenConfig *c = &s->G->cfg;
  const int64_t n = s->batch, r = c->img_resolution;
  Graph *g = s->g = graph_new();
  if (!g) return err_set(e, ST_NOMEM, "pixel search: out of memory for the graph");
  graph_batch_invariant(g, true);
  graph_half_range(g, backend_is_half(s->o.backend));
  s->w = g_input(g, "w", SHAPE2(n, c->w_dim));
  s->target = g_input(g, "target", SHAPE4(n, c->img_channels, r, r));
  const SynthOptions so = {.noise = NOISE_CONST, .frozen = true};
  Val img = g_synthesis(g, s->G, g_broadcast_ws(g, s->G, s->w, 1.0, -1), &so, NULL);
  Val d = g_sub(g, g_vgg_input(g, img, s->o.vgg_channels),
                g_vgg_input(g, s->target, s->o.vgg_channels));
  d = g_square(g, g_axpb(g, d, 1 / 127.5, 0));
  s->side = (int)PRLX_MIN(r, 256);
  if (s->o.regions && s->o.focus > 0) {
    s->weight = g_input(g, "weight", SHAPE4(n, 1, s->side, s->side));
    d = g_mul(g, d, s->weight);
  }
  s->loss = g_reshape(g, g_mean(g, d, 1u << 1 | 1u << 2 | 1u << 3), SHAPE1(n));
  s->grad = g_grad1(g, s->loss, s->w);
  TRY(graph_status(g, e));
  const Val outs[2] = {s->loss, s->grad};
  return plan_new(g, 2, outs, &(PlanOptions){.max_bytes = s->o.max_bytes, .backend = s->o.backend},
                  &s->plan, e);
}

Status pixel_search_new(const Generator *G, const ProjectOptions *o, int batch, PixelSearch **out,
                        Error *e) {
  *out = NULL;
  PixelSearch *s = mem_alloc(sizeof *s);
  if (!s) return err_set(e, ST_NOMEM, "pixel search: out of memory; free memory and try again");
  s->G = G;
  s->o = *o;
  s->batch = batch;
  s->going = mem_alloc((size_t)batch * sizeof *s->going);
  s->walk = mem_alloc((size_t)batch * sizeof *s->walk);
  Status st = s->going && s->walk ? build_search(s, e)
                                  : err_set(e, ST_NOMEM, "pixel search: out of memory");
  for (int i = 0; i < batch && st == ST_OK; i++)
    st = lbfgs_new(G->cfg.w_dim, PIXEL_MEMORY, &s->walk[i], e);
  if (st != ST_OK) {
    pixel_search_free(s);
    return st;
  }
  *out = s;
  return ST_OK;
}

void pixel_search_free(PixelSearch *s) {
  if (!s) return;
  plan_free(s->plan);
  graph_free(s->g);
  for (int i = 0; i < s->batch && s->walk; i++) lbfgs_free(s->walk[i]);
  mem_free(s->walk);
  mem_free(s->going);
  mem_free(s);
}

/* (1 - focus) + focus * region, scaled to mean 1, box-averaged where the image is. */
static void fill_weight(const PixelSearch *s, const float *region, real *out) {
  const int res = s->G->cfg.img_resolution, box = res / s->side;
  double sum = 0;
  const int64_t n = (int64_t)s->side * s->side;
  for (int64_t i = 0; i < n; i++) {
    const int64_t y = i / s->side * box, x = i % s->side * box;
    double m = 0;
    for (int v = 0; v < box; v++)
      for (int u = 0; u < box; u++) m += (double)region[(y + v) * res + x + u];
    out[i] = (real)(1 - s->o.focus + s->o.focus * m / (box * box));
    sum += (double)out[i];
  }
  for (int64_t i = 0; i < n && sum > 0; i++) out[i] = (real)((double)out[i] * (double)n / sum);
}

/* Evaluates all lesions at their points and tells those that are under way. */
static Status search_step(PixelSearch *s, int n, int step, double *gradient, Error *e) {
  const int64_t wd = s->G->cfg.w_dim;
  const real *loss = NULL, *grad = NULL;
  real *w = plan_data(s->plan, s->w);
  for (int i = 0; i < n; i++)
    for (int64_t k = 0; k < wd; k++) w[i * wd + k] = (real)lbfgs_point(s->walk[i])[k];
  TRY(plan_run(s->plan, e));
  TRY(plan_read(s->plan, s->loss, &loss, e));
  TRY(plan_read(s->plan, s->grad, &grad, e));
  for (int i = 0; i < n; i++) {
    if (!step && !isfinite(loss[i]))
      return err_set(e, ST_NUMERIC,
                     "projection: lesion %d of the batch: the distance to the target is %g; check "
                     "the target for NaN",
                     i + 1, (double)loss[i]);
    if (!s->going[i]) continue;
    for (int64_t k = 0; k < wd; k++) gradient[k] = (double)grad[i * wd + k];
    s->going[i] = lbfgs_tell(s->walk[i], (double)loss[i], gradient);
  }
  return ST_OK;
}

Status pixel_search_run(PixelSearch *s, int n, int steps, const real *targets, const float *regions,
                        double *w, double *error, Error *e) {
  const int64_t wd = s->G->cfg.w_dim, r = s->G->cfg.img_resolution;
  const size_t per = (size_t)(s->G->cfg.img_channels * r * r);
  real *t = plan_data(s->plan, s->target);
  memset(t, 0, (size_t)s->batch * per * sizeof *t);
  memcpy(t, targets, (size_t)n * per * sizeof *t);
  if (s->weight) {
    real *weight = plan_data(s->plan, s->weight);
    for (int i = 0; i < n; i++)
      fill_weight(s, regions + i * r * r, weight + (int64_t)i * s->side * s->side);
  }
  double *gradient = mem_alloc((size_t)wd * sizeof *gradient);
  if (!gradient) return err_set(e, ST_NOMEM, "pixel search: out of memory");
  for (int i = 0; i < n; i++) {
    lbfgs_start(s->walk[i], w + i * wd, PIXEL_FIRST_STEP);
    s->going[i] = true;
  }
  Status st = ST_OK;
  for (int k = 0, going = n; k < steps && going && st == ST_OK; k++) {
    st = search_step(s, n, k, gradient, e);
    going = 0;
    for (int i = 0; i < n; i++) going += s->going[i];
  }
  for (int i = 0; i < n && st == ST_OK && steps; i++) {
    memcpy(w + i * wd, lbfgs_best(s->walk[i]), (size_t)wd * sizeof *w);
    if (error) error[i] = lbfgs_value(s->walk[i]);
  }
  mem_free(gradient);
  return st;
}

static void swap_values(double *a, double *b, int64_t n) {
  for (int64_t j = 0; j < n; j++) {
    const double x = a[j];
    a[j] = b[j];
    b[j] = x;
  }
}

/* Starts of every lesion in order of their error, the best first; equal ones keep their order. */
static void rank_starts(int n, int starts, int stride, int64_t wd, double *w, double *error) {
  for (int i = 0; i < n; i++)
    for (int k = 1; k < starts; k++)
      for (int64_t at = k * (int64_t)stride + i; at >= stride && error[at] < error[at - stride];
           at -= stride) {
        swap_values(&error[at], &error[at - stride], 1);
        swap_values(w + at * wd, w + (at - stride) * wd, wd);
      }
}

Status pixel_search_starts(PixelSearch *s, int n, int starts, int stride, const real *targets,
                           const float *regions, double *w, Error *e) {
  const int64_t wd = s->G->cfg.w_dim;
  double *error = mem_alloc((size_t)starts * (size_t)stride * sizeof *error);
  if (!error) return err_set(e, ST_NOMEM, "pixel search: out of memory");
  Status st = ST_OK;
  for (int m = starts, last = 0; !last && st == ST_OK; m = PRLX_MAX((m + 1) / 2, PIXEL_FINALISTS)) {
    last = m <= PIXEL_FINALISTS;
    const int steps = last ? s->o.pixel_steps : PRLX_MAX(1, s->o.pixel_steps * PIXEL_FINALISTS / m);
    for (int k = 0; k < m && st == ST_OK; k++)
      st = pixel_search_run(s, n, steps, targets, regions, w + (int64_t)k * stride * wd,
                            error + (int64_t)k * stride, e);
    if (st == ST_OK) rank_starts(n, m, stride, wd, w, error);
  }
  mem_free(error);
  return st;
}
