/* metrics_sample.c: how sure an FID is: bootstrap interval, FID against the number of samples, and
 * the floor that two halves of one set give. All from inner products, so that no feature is
 * computed or multiplied twice. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "models/judge/metrics_impl.h"

static int double_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Linear interpolation between order statistics (type 7). x sorted. */
static double quantile_type7(const double *x, int64_t n, double q) {
  double t = q * (double)(n - 1);
  int64_t i = PRLX_MIN((int64_t)t, n - 1), j = PRLX_MIN(i + 1, n - 1);
  return x[i] + (t - (double)i) * (x[j] - x[i]);
}

/* How often each image occurs when its groups are drawn with replacement: w [n]. count: scratch
 * [groups]. */
static void groups_resample(Groups g, int64_t n, Rng *r, int64_t *count, double *w) {
  int64_t ng = g.of ? g.n : n;
  memset(count, 0, (size_t)ng * sizeof *count);
  for (int64_t i = 0; i < ng; i++) count[rng_below(r, ng)]++;
  for (int64_t i = 0; i < n; i++) w[i] = (double)count[g.of ? g.of[i] : i];
}

Status fid_bootstrap(const Gram *g, Groups ga, Groups gb, double fid, int cov, int64_t reps,
                     uint64_t seed, Interval *out, MetricTick tick, void *ctx, Error *e) {
  memset(out, 0, sizeof *out);
  if (reps < 2)
    return err_set(e, ST_INVALID, "bootstrap with %lld resamples; expected at least 2",
                   (long long)reps);
  int64_t m = PRLX_MAX(PRLX_MAX(g->na, g->nb), PRLX_MAX(ga.n, gb.n));
  int64_t *count = mem_alloc((size_t)m * sizeof *count), drawn = 0;
  double *wa = mem_alloc((size_t)g->na * sizeof *wa), *wb = mem_alloc((size_t)g->nb * sizeof *wb),
         *v = mem_alloc((size_t)reps * sizeof *v), mean = 0, var = 0;
  FidQueue q = {0};
  Status s = count && wa && wb && v ? fid_queue_new(&q, g, cov, e)
                                    : err_set(e, ST_NOMEM, "bootstrap: out of memory");
  if (s != ST_OK) goto done;
  for (int64_t draw = 0; drawn < reps; draw++) {
    Rng r = {.seed = seed, .subsequence = (uint64_t)draw};
    groups_resample(ga, g->na, &r, count, wa);
    groups_resample(gb, g->nb, &r, count, wb);
    Error inner = {0};
    s = fid_queue_add(&q, wa, wb, &inner);
    /* a resample of fewer than two images (very small groups): draw again */
    if (s == ST_INVALID && draw < 100 * reps) continue;
    const bool wait = s == ST_OK && !fid_queue_full(&q) && drawn + q.waiting < reps;
    if (wait) continue;
    s = s == ST_OK ? fid_queue_run(&q, &inner) : s;
    if (s != ST_OK) {
      err_set(e, s, "bootstrap: %.900s", inner.msg);
      goto done;
    }
    for (int i = 0; i < q.done; i++) mean += (v[drawn++] = q.out[i].fid) / (double)reps;
    if (tick && !tick(ctx, drawn)) {
      s = err_set(e, ST_INTERRUPTED, "stopped after %lld of %lld resamples", (long long)drawn,
                  (long long)reps);
      goto done;
    }
  }
  qsort(v, (size_t)drawn, sizeof *v, double_order);
  for (int64_t k = 0; k < drawn; k++) var += (v[k] - mean) * (v[k] - mean) / (double)(drawn - 1);
  *out = (Interval){fmax(0, fid + quantile_type7(v, drawn, 0.025) - mean),
                    fid + quantile_type7(v, drawn, 0.975) - mean, sqrt(var), drawn};
done:
  fid_queue_free(&q);
  mem_free(count);
  mem_free(wa);
  mem_free(wb);
  mem_free(v);
  return s;
}

/* Marks `take` of n images, all subsets equally likely (Knuth's selection sampling). */
static void choose_subset(Rng *r, int64_t n, int64_t take, double *w) {
  for (int64_t i = 0; i < n; i++) {
    bool in = rng_uniform(r) * (double)(n - i) < (double)take;
    w[i] = in;
    take -= in;
  }
}

/* The resamples that wait, added to *sum in their order, each over `over`. */
static Status queue_add_up(FidQueue *q, double over, double *sum, Error *e) {
  TRY(fid_queue_run(q, e));
  for (int i = 0; i < q->done; i++) *sum += q->out[i].fid / over;
  return ST_OK;
}

/* Point k of the curve: the mean of n subsets. */
typedef struct CurvePoint {
  FidQueue *q;
  double *wa;
  double *wb;
  uint64_t seed;
  MetricTick tick;
  void *ctx;
  int64_t *ran;
} CurvePoint;
static Status curve_point(const CurvePoint *p, FidCurve *c, int k, int64_t first, int64_t n,
                          Error *e) {
  const Gram *g = p->q->gram;
  for (int64_t i = 0; i < n; i++) {
    Rng r = {.seed = p->seed, .subsequence = (uint64_t)(first + i)};
    choose_subset(&r, g->na, c->na[k], p->wa);
    choose_subset(&r, g->nb, c->nb[k], p->wb);
    TRY(fid_queue_add(p->q, p->wa, p->wb, e));
    if (!fid_queue_full(p->q) && i + 1 < n) continue;
    TRY(queue_add_up(p->q, (double)n, &c->fid[k], e));
    *p->ran += p->q->done;
    if (p->tick && !p->tick(p->ctx, *p->ran)) return err_set(e, ST_INTERRUPTED, "stopped");
  }
  return ST_OK;
}

/* The least-squares line over 1 / fraction. */
static void curve_line(FidCurve *c) {
  double sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0;
  for (int k = 0; k < FID_SIZES; k++) {
    double x = 1 / c->fraction[k], y = c->fid[k];
    sx += x / FID_SIZES;
    sy += y / FID_SIZES;
    sxx += x * x / FID_SIZES;
    sxy += x * y / FID_SIZES;
    syy += y * y / FID_SIZES;
  }
  double cxy = sxy - sx * sy, cxx = sxx - sx * sx, cyy = syy - sy * sy;
  c->slope = cxy / cxx;
  c->inf = sy - c->slope * sx;
  c->r2 = cyy > 0 ? cxy * cxy / (cxx * cyy) : 1;
}

Status fid_curve(const Gram *g, int cov, int64_t reps, uint64_t seed, FidCurve *c, MetricTick tick,
                 void *ctx, Error *e) {
  memset(c, 0, sizeof *c);
  if (g->na < 4 || g->nb < 4)
    return err_set(e, ST_INVALID,
                   "FID against the number of samples needs at least 4 images in each set; there "
                   "are %lld and %lld",
                   (long long)g->na, (long long)g->nb);
  double *wa = mem_alloc((size_t)g->na * sizeof *wa), *wb = mem_alloc((size_t)g->nb * sizeof *wb);
  FidQueue q = {0};
  Status s = wa && wb ? fid_queue_new(&q, g, cov, e)
                      : err_set(e, ST_NOMEM, "FID against the number of samples: out of memory");
  int64_t ran = 0;
  const CurvePoint p = {&q, wa, wb, seed, tick, ctx, &ran};
  for (int k = 0; k < FID_SIZES && s == ST_OK; k++) {
    double f = 0.5 + 0.5 * k / (FID_SIZES - 1);
    int64_t na = c->na[k] = (int64_t)llround(f * (double)g->na),
            nb = c->nb[k] = (int64_t)llround(f * (double)g->nb);
    c->fraction[k] = 0.5 * ((double)na / (double)g->na + (double)nb / (double)g->nb);
    s = curve_point(&p, c, k, k * reps, k + 1 == FID_SIZES ? 1 : reps, e);
  }
  if (s == ST_OK) curve_line(c);
  fid_queue_free(&q);
  mem_free(wa);
  mem_free(wb);
  return s;
}

/* Of 2n images of a, n go to wa and the others to wo; wb: n of b. */
static void choose_halves(const Gram *g, int64_t n, Rng *r, double *wa, double *wo, double *wb) {
  int64_t left = n, seen = 0;
  choose_subset(r, g->na, 2 * n, wo);
  for (int64_t i = 0; i < g->na; i++) {
    wa[i] = 0;
    if (wo[i] == 0) continue;
    bool in = rng_uniform(r) * (double)(2 * n - seen++) < (double)left;
    left -= in;
    wa[i] = in;
    wo[i] = !in;
  }
  choose_subset(r, g->nb, n, wb);
}

/* One more pair of halves and what it is compared with; both are computed when they are full or
 * this is the last. */
static Status floor_add(FidQueue *within, FidQueue *between, const double *wa, const double *wo,
                        const double *wb, bool last, double reps, FidFloor *out, Error *e) {
  TRY(fid_queue_add(within, wa, wo, e));
  TRY(fid_queue_add(between, wa, wb, e));
  if (last || fid_queue_full(within)) TRY(queue_add_up(within, reps, &out->within, e));
  return last || fid_queue_full(between) ? queue_add_up(between, reps, &out->between, e) : ST_OK;
}

Status fid_floor(const Gram *g, int cov, int64_t reps, uint64_t seed, FidFloor *out, Error *e) {
  memset(out, 0, sizeof *out);
  int64_t n = out->n = PRLX_MIN(g->na / 2, g->nb);
  if (n < 2)
    return err_set(e, ST_INVALID, "halves of %lld images; at least 4 are needed", (long long)g->na);
  Gram self = {
      .na = g->na, .nb = g->na, .d = g->d, .on = g->on, .aa = g->aa, .bb = g->aa, .ab = g->aa};
  FidQueue within = {0}, between = {0};
  double *wa = mem_alloc((size_t)g->na * sizeof *wa), *wo = mem_alloc((size_t)g->na * sizeof *wo),
         *wb = mem_alloc((size_t)g->nb * sizeof *wb);
  Status s = wa && wo && wb ? fid_queue_new(&within, &self, cov, e)
                            : err_set(e, ST_NOMEM, "FID of halves: out of memory");
  if (s != ST_OK) goto done;
  s = fid_queue_new(&between, g, cov, e);
  for (int64_t k = 0; k < reps && s == ST_OK; k++) {
    Rng r = {.seed = seed, .subsequence = (uint64_t)k};
    choose_halves(g, n, &r, wa, wo, wb);
    s = floor_add(&within, &between, wa, wo, wb, k + 1 == reps, (double)reps, out, e);
  }
done:
  fid_queue_free(&within);
  fid_queue_free(&between);
  mem_free(wa);
  mem_free(wo);
  mem_free(wb);
  return s;
}
