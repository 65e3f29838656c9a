/* projector_stats.c: mean and deviation of W from many z (SEMANTICS 9.1). */
#include <math.h>
#include <string.h>
#include "core/rng.h"
#include "models/gan/projector.h"

/* mapping batch; the result does not depend on it beyond rounding */
enum { WSTAT_ROWS = 500 };
static double *w_samples_z(int samples, int z_dim, uint32_t seed, Error *e) {
  size_t n;
  double *z =
      mul_ok((size_t)samples, (size_t)z_dim, &n) && mul_ok(n, sizeof *z, &n) ? mem_alloc(n) : NULL;
  if (!z) {
    err_set(e, ST_NOMEM,
            "w statistics: out of memory for %d x %d normals; lower the number of samples", samples,
            z_dim);
    return NULL;
  }
  if (numpy_randn(seed, z, (int64_t)samples * z_dim, e) != ST_OK) {
    mem_free(z);
    return NULL;
  }
  return z;
}

/* Runs the mapping on all samples; w [samples,w_dim]. */
static Status map_samples(const Generator *G, const real *cond, int samples, const double *z,
                          real *w, Error *e) {
  const int zd = G->cfg.z_dim, wd = G->cfg.w_dim, cd = G->cfg.c_dim,
            rows = PRLX_MIN(samples, WSTAT_ROWS);
  Graph *g = graph_new();
  Plan *plan = NULL;
  if (!g)
    return err_set(e, ST_NOMEM,
                   "w statistics: out of memory for the graph; free memory and try again");
  Val vz = g_input(g, "z", SHAPE2(rows, zd)), vc = cd ? g_input(g, "c", SHAPE2(rows, cd)) : 0,
      vw = g_mapping(g, G, vz, vc, true);
  Status s = graph_status(g, e);
  if (s != ST_OK) goto done;
  s = plan_new(g, 1, &vw, NULL, &plan, e);
  if (s != ST_OK) goto done;
  for (int i = 0; i < rows && cd; i++)
    memcpy(plan_data(plan, vc) + (int64_t)i * cd, cond, (size_t)cd * sizeof(real));
  for (int at = 0; at < samples; at += rows) {
    int m = PRLX_MIN(rows, samples - at);
    real *pz = plan_data(plan, vz);
    for (int64_t i = 0; i < (int64_t)m * zd; i++) pz[i] = (real)z[(int64_t)at * zd + i];
    s = plan_run(plan, e);
    if (s != ST_OK) goto done;
    memcpy(w + (int64_t)at * wd, plan_data(plan, vw), (size_t)m * (size_t)wd * sizeof(real));
  }
done:
  plan_free(plan);
  graph_free(g);
  return s;
}

/* Mean and scatter of w [samples,wd]; mean [wd] is scratch. */
static Status w_moments(const real *w, int samples, int wd, double *mean, WStats *out, Error *e) {
  for (int i = 0; i < samples; i++)
    for (int j = 0; j < wd; j++) mean[j] += (double)w[(int64_t)i * wd + j];
  for (int j = 0; j < wd; j++) out->w_avg[j] = (real)(mean[j] /= samples);
  double ss = 0;
  for (int i = 0; i < samples; i++)
    for (int j = 0; j < wd; j++) {
      double d = (double)w[(int64_t)i * wd + j] - mean[j];
      ss += d * d;
    }
  /* Not divided by w_dim. Why one scalar: it is the radius of the cloud of W, the yardstick of the
   * noise added to w; one deviation per axis would need W to be aligned with its axes. */
  out->w_std = sqrt(ss / samples);
  if (isfinite(out->w_std)) return ST_OK;
  return err_set(e, ST_NUMERIC,
                 "w statistics: not finite; the network's mapping weights are broken");
}

Status project_w_stats(const Generator *G, const real *cond, int samples, uint32_t seed,
                       WStats *out, Error *e) {
  const int wd = G->cfg.w_dim;
  *out = (WStats){0};
  if (samples < 1)
    return err_set(e, ST_INVALID, "w statistics: %d samples; expected at least 1 (10000 is usual)",
                   samples);
  if (G->cfg.c_dim && !cond)
    return err_set(e, ST_INVALID,
                   "w statistics: the network is conditional (%d classes) and no class was given; "
                   "choose a class",
                   G->cfg.c_dim);
  Status s = ST_OK;
  double *z = w_samples_z(samples, G->cfg.z_dim, seed, e);
  real *w = mem_alloc((size_t)samples * (size_t)wd * sizeof(real));
  double *mean = mem_alloc((size_t)wd * sizeof(double));
  out->w_avg = mem_alloc((size_t)wd * sizeof(real));
  if (!z)
    s = e ? e->code : ST_NOMEM;
  else if (!w || !mean || !out->w_avg)
    s = err_set(e, ST_NOMEM, "w statistics: out of memory for %d samples; lower their number",
                samples);
  if (s != ST_OK) goto done;
  s = map_samples(G, cond, samples, z, w, e);
  if (s != ST_OK) goto done;
  s = w_moments(w, samples, wd, mean, out, e);
done:
  mem_free(z);
  mem_free(w);
  mem_free(mean);
  if (s != ST_OK) {
    mem_free(out->w_avg);
    out->w_avg = NULL;
  }
  return s;
}

Status project_w_samples(const Generator *G, const real *cond, int samples, uint32_t seed, real *w,
                         Error *e) {
  if (samples < 1 || (G->cfg.c_dim && !cond))
    return err_set(e, ST_INVALID, "samples of w: %d%s", samples,
                   samples < 1 ? "; expected at least 1"
                               : " of a conditional network without a class; choose a class");
  double *z = w_samples_z(samples, G->cfg.z_dim, seed, e);
  if (!z) return e ? e->code : ST_NOMEM;
  const Status s = map_samples(G, cond, samples, z, w, e);
  mem_free(z);
  return s;
}
