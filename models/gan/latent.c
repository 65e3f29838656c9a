/* latent.c: see latent.h. */
#include "models/gan/latent.h"
#include <math.h>
#include <string.h>
#include "core/plan.h"
#include "models/math/eigen.h"

/* ---- from z to w ---- */

enum { LATENT_ROWS = 64 }; /* batch of the mapping; no result depends on it */

typedef struct MapRun {
  Graph *g;
  Plan *plan;
  Val z;
  Val c;
  Val w;
} MapRun;

static void map_run_free(MapRun *m) {
  plan_free(m->plan);
  graph_free(m->g);
}

static Status map_run_new(MapRun *m, const Generator *G, const real *cond, Error *e) {
  const int cd = G->cfg.c_dim;
  *m = (MapRun){.g = graph_new()};
  if (!m->g) return err_set(e, ST_NOMEM, "latents: out of memory for the graph");
  if (cd && !cond)
    return err_set(e, ST_INVALID,
                   "latents: the network is conditional (%d classes) and no class was given; "
                   "choose a class",
                   cd);
  graph_batch_invariant(m->g, true);
  m->z = g_input(m->g, "z", SHAPE2(LATENT_ROWS, G->cfg.z_dim));
  m->c = cd ? g_input(m->g, "c", SHAPE2(LATENT_ROWS, cd)) : 0;
  m->w = g_mapping(m->g, G, m->z, m->c, true);
  TRY(graph_status(m->g, e));
  TRY(plan_new(m->g, 1, &m->w, NULL, &m->plan, e));
  for (int i = 0; cd && i < LATENT_ROWS; i++)
    memcpy(plan_data(m->plan, m->c) + (int64_t)i * cd, cond, (size_t)cd * sizeof(real));
  return ST_OK;
}

Status latent_map(const Generator *G, const real *cond, int64_t n, const real *z, real *w,
                  Error *e) {
  const int zd = G->cfg.z_dim, wd = G->cfg.w_dim;
  MapRun m;
  Status s = map_run_new(&m, G, cond, e);
  for (int64_t at = 0; at < n && s == ST_OK; at += LATENT_ROWS) {
    const int64_t rows = PRLX_MIN(LATENT_ROWS, n - at);
    memcpy(plan_data(m.plan, m.z), z + at * zd, (size_t)(rows * zd) * sizeof(real));
    s = plan_run(m.plan, e);
    if (s == ST_OK) memcpy(w + at * wd, plan_data(m.plan, m.w), (size_t)(rows * wd) * sizeof(real));
  }
  map_run_free(&m);
  return s;
}

Status latent_of_seeds(const Generator *G, const real *cond, int64_t n, const int64_t *seed,
                       real *w, Error *e) {
  const int zd = G->cfg.z_dim;
  double *one = mem_alloc((size_t)zd * sizeof *one);
  real *z = mem_alloc((size_t)n * (size_t)zd * sizeof *z);
  Status s = one && z ? ST_OK
                      : err_set(e, ST_NOMEM, "latents: out of memory for %lld seeds", (long long)n);
  if (s != ST_OK) goto done;
  for (int64_t i = 0; i < n; i++) {
    s = numpy_randn((uint32_t)seed[i], one, zd, e);
    if (s != ST_OK) goto done;
    for (int k = 0; k < zd; k++) z[i * zd + k] = (real)one[k];
  }
  s = latent_map(G, cond, n, z, w, e);
done:
  mem_free(one);
  mem_free(z);
  return s;
}

/* ---- principal directions ---- */

void latent_directions_free(LatentDirections *d) {
  mem_free(d->mean);
  mem_free(d->sd);
  mem_free(d->share);
  mem_free(d->dir);
  *d = (LatentDirections){0};
}

/* w [samples,w_dim] of one stream of normals. */
static real *direction_samples(const Generator *G, const real *cond, int samples, uint32_t seed,
                               Error *e) {
  const size_t zn = (size_t)samples * (size_t)G->cfg.z_dim;
  double *draws = mem_alloc(zn * sizeof *draws);
  real *z = mem_alloc(zn * sizeof *z),
       *w = mem_alloc((size_t)samples * (size_t)G->cfg.w_dim * sizeof *w);
  Status s = draws && z && w
                 ? numpy_randn(seed, draws, (int64_t)zn, e)
                 : err_set(e, ST_NOMEM, "directions: out of memory for %d samples", samples);
  if (s != ST_OK) goto done;
  for (size_t i = 0; i < zn; i++) z[i] = (real)draws[i];
  s = latent_map(G, cond, samples, z, w, e);
done:
  mem_free(draws);
  mem_free(z);
  if (s == ST_OK) return w;
  mem_free(w);
  return NULL;
}

/* cov [d,d] of the rows of w [n,d], over n; mean [d] on the way. Returns its trace. */
static double direction_covariance(int64_t n, int d, const real *w, double *mean, double *cov) {
  double trace = 0;
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < d; k++) mean[k] += (double)w[i * d + k];
  for (int k = 0; k < d; k++) mean[k] /= (double)n;
  for (int64_t i = 0; i < n; i++)
    for (int p = 0; p < d; p++) {
      const double x = (double)w[i * d + p] - mean[p];
      for (int q = 0; q <= p; q++) cov[(int64_t)p * d + q] += x * ((double)w[i * d + q] - mean[q]);
    }
  for (int p = 0; p < d; p++)
    for (int q = 0; q <= p; q++) {
      cov[(int64_t)p * d + q] /= (double)n;
      cov[(int64_t)q * d + p] = cov[(int64_t)p * d + q];
    }
  for (int p = 0; p < d; p++) trace += cov[(int64_t)p * d + p];
  return trace;
}

/* The fields of `out` from the decomposition of its covariance. */
static void direction_fields(LatentDirections *out, const double *mean, double trace,
                             const double *values, const double *vectors) {
  const int d = out->w_dim;
  for (int k = 0; k < d; k++) out->mean[k] = (real)mean[k];
  out->w_std = sqrt(trace);
  for (int k = 0; k < out->count; k++) {
    out->sd[k] = sqrt(PRLX_MAX(values[k], 0));
    out->share[k] = trace > 0 ? PRLX_MAX(values[k], 0) / trace : 0;
    for (int i = 0; i < d; i++) out->dir[(int64_t)k * d + i] = (real)vectors[(int64_t)k * d + i];
  }
}

Status latent_directions(const Generator *G, const real *cond, int samples, uint32_t seed,
                         int count, LatentDirections *out, Error *e) {
  const int d = G->cfg.w_dim;
  const size_t dd = (size_t)d * (size_t)d;
  *out = (LatentDirections){.count = count, .w_dim = d};
  if (samples < 2)
    return err_set(e, ST_INVALID, "directions: %d samples; expected at least 2", samples);
  if (count < 1 || count > d)
    return err_set(e, ST_INVALID, "directions: %d asked for; W has 1 to %d", count, d);
  real *w = direction_samples(G, cond, samples, seed, e);
  if (!w) return e ? e->code : ST_NOMEM;
  double *mean = mem_alloc((2 * (size_t)d + 2 * dd) * sizeof *mean);
  out->mean = mem_alloc((size_t)d * sizeof(real));
  out->sd = mem_alloc((size_t)count * sizeof(double));
  out->share = mem_alloc((size_t)count * sizeof(double));
  out->dir = mem_alloc((size_t)count * (size_t)d * sizeof(real));
  Status s = ST_OK;
  if (!mean || !out->mean || !out->sd || !out->share || !out->dir) {
    s = err_set(e, ST_NOMEM, "directions: out of memory for %d x %d", d, d);
    goto done;
  }
  double *values = mean + d, *cov = values + d, *vectors = cov + dd;
  const double trace = direction_covariance(samples, d, w, mean, cov);
  s = symmetric_eigen(d, cov, values, vectors, e);
  if (s == ST_OK) direction_fields(out, mean, trace, values, vectors);
done:
  mem_free(w);
  mem_free(mean);
  return s;
}

/* ---- from w to images ---- */

struct LatentRender {
  const Generator *G;
  Graph *g;
  Plan *plan;
  Val ws;
  Val img;
  int batch;
};

void latent_render_free(LatentRender *r) {
  if (!r) return;
  plan_free(r->plan);
  graph_free(r->g);
  mem_free(r);
}

static Status render_plan(LatentRender *r, Backend *backend, Error *e) {
  if (!(r->g = graph_new())) return err_set(e, ST_NOMEM, "latents: out of memory for the graph");
  graph_batch_invariant(r->g, true);
  graph_half_range(r->g, backend_is_half(backend));
  r->ws = g_input(r->g, "ws", SHAPE3(r->batch, r->G->num_ws, r->G->cfg.w_dim));
  r->img =
      g_synthesis(r->g, r->G, r->ws, &(SynthOptions){.noise = NOISE_CONST, .frozen = true}, NULL);
  TRY(graph_status(r->g, e));
  return plan_new(r->g, 1, &r->img, &(PlanOptions){.backend = backend}, &r->plan, e);
}

Status latent_render_new(const Generator *G, int batch, Backend *backend, LatentRender **out,
                         Error *e) {
  *out = NULL;
  if (batch < 1) return err_set(e, ST_INVALID, "latents: batch %d; expected 1 or more", batch);
  LatentRender *r = mem_alloc(sizeof *r);
  if (!r) return err_set(e, ST_NOMEM, "latents: out of memory");
  r->G = G;
  r->batch = batch;
  const Status s = render_plan(r, backend, e);
  if (s == ST_OK)
    *out = r;
  else
    latent_render_free(r);
  return s;
}

Status latent_render(LatentRender *r, int64_t n, const real *ws, real *img, Error *e) {
  const GenConfig *c = &r->G->cfg;
  const int64_t in = (int64_t)r->G->num_ws * c->w_dim,
                out = (int64_t)c->img_channels * c->img_resolution * c->img_resolution;
  for (int64_t at = 0; at < n; at += r->batch) {
    const int64_t m = PRLX_MIN(r->batch, n - at);
    memcpy(plan_data(r->plan, r->ws), ws + at * in, (size_t)(m * in) * sizeof(real));
    TRY(plan_run(r->plan, e));
    TRY(plan_sync(r->plan, e));
    memcpy(img + at * out, plan_data(r->plan, r->img), (size_t)(m * out) * sizeof(real));
  }
  return ST_OK;
}
