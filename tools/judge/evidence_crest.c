/* evidence_crest.c: a denoised lesion against the truth of a phantom: what became of the crest of
 * its rim, in bins of the true crest; slope of the recovered crest on the true one; lesions without
 * a rim that were given one; moves toward the true class. See evidence.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "io/formats/path.h"
#include "models/judge/agreement.h"
#include "tools/judge/evidence_impl.h"

/* Bins of the true crest above core, ppb. Below RIM_LEAST the phantom paints no rim into its mask:
 * nothing can be seen. */
enum { BINS = 4, RIM_LEAST = 12 };
static const double bin_edge[BINS + 1] = {0, RIM_LEAST, 25, 50, INFINITY};
static const char *const bin_name[BINS] = {"0-12", "12-25", "25-50", "50-"};

/* One number per lesion; those that are NAN do not count. */
typedef struct CrestNumbers {
  const Evidence *ev;
  double *value;
  int64_t *group;
  TsvWriter w;
} CrestNumbers;

static Status put_spread(CrestNumbers *q, const char *what, const char *lesions, Error *e) {
  Spread s;
  const Evidence *ev = q->ev;
  TRY(spread_by_group(ev->lesions, q->value, q->group, ev->groups, ev->a.resamples, ev->a.level, 0,
                      &s, e));
  if (!s.n) return ST_OK;
  tsv_cell(&q->w, "%s", what);
  tsv_cell(&q->w, "%s", lesions);
  tsv_cell(&q->w, "%lld", (long long)s.n);
  const double v[3] = {s.mean, s.mean_lo, s.mean_hi};
  for (int k = 0; k < 3; k++) {
    if (isfinite(v[k]))
      tsv_cell(&q->w, "%.4g", v[k]);
    else
      tsv_cell(&q->w, "n/a");
  }
  tsv_row_end(&q->w);
  return ST_OK;
}

static bool in_bin(const EvLesion *r, int bin) {
  return r->rim_ppb >= bin_edge[bin] && r->rim_ppb < bin_edge[bin + 1];
}

/* Before, after and change of a pair of numbers in each bin. */
static Status put_bins(CrestNumbers *q, const char *what, EvNumber before, EvNumber after,
                       Error *e) {
  static const char *const which[3] = {"before", "after", "change"};
  for (int bin = 0; bin < BINS; bin++)
    for (int k = 0; k < 3; k++) {
      char name[96], lesions[48];
      for (int64_t i = 0; i < q->ev->lesions; i++) {
        const EvLesion *r = &q->ev->row[i];
        const double a = r->v[before], b = r->v[after];
        q->value[i] = !in_bin(r, bin) || isnan(a) || isnan(b) ? NAN
                      : k == 0                                ? a
                      : k == 1                                ? b
                                                              : b - a;
      }
      snprintf(name, sizeof name, "%s, %s", what, which[k]);
      snprintf(lesions, sizeof lesions, "true crest %s ppb", bin_name[bin]);
      TRY(put_spread(q, name, lesions, e));
    }
  return ST_OK;
}

/* ---- slope ---- */

/* Least squares slope of number k on the true crest, lesions counted weight[group] times. */
static double crest_slope(const Evidence *ev, EvNumber k, const int64_t *weight) {
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (int64_t i = 0; i < ev->lesions; i++) {
    const EvLesion *r = &ev->row[i];
    const double x = r->rim_ppb, y = r->v[k], w = weight ? (double)weight[r->group] : 1;
    if (isnan(x) || isnan(y)) continue;
    n += w;
    sx += w * x;
    sy += w * y;
    sxx += w * x * x;
    sxy += w * x * y;
  }
  const double var = n * sxx - sx * sx;
  return n > 2 && var > 1e-9 * n * sxx ? (n * sxy - sx * sy) / var : NAN;
}

static int double_order(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static Status put_slope(CrestNumbers *q, const char *what, EvNumber k, Error *e) {
  const Evidence *ev = q->ev;
  const double v = crest_slope(ev, k, NULL);
  Rng rng = {.seed = 0, .subsequence = 0x736c6f70};
  int64_t *weight = mem_alloc((size_t)PRLX_MAX(ev->groups, 1) * sizeof *weight);
  double *draw = mem_alloc((size_t)ev->a.resamples * sizeof *draw), ci[2] = {NAN, NAN};
  int64_t n = 0, m = 0;
  if (!weight || !draw) {
    mem_free(weight);
    mem_free(draw);
    return err_set(e, ST_NOMEM, "out of memory");
  }
  for (int t = 0; t < ev->a.resamples && ev->groups > 1; t++) {
    memset(weight, 0, (size_t)ev->groups * sizeof *weight);
    for (int64_t g = 0; g < ev->groups; g++) weight[rng_below(&rng, ev->groups)]++;
    const double s = crest_slope(ev, k, weight);
    if (isfinite(s)) draw[m++] = s;
  }
  if (2 * m > ev->a.resamples) {
    qsort(draw, (size_t)m, sizeof *draw, double_order);
    ci[0] = quantile_sorted(draw, m, (1 - ev->a.level) / 2);
    ci[1] = quantile_sorted(draw, m, (1 + ev->a.level) / 2);
  }
  for (int64_t i = 0; i < ev->lesions; i++)
    n += isfinite(ev->row[i].rim_ppb) && isfinite(ev->row[i].v[k]);
  mem_free(weight);
  mem_free(draw);
  if (isnan(v)) return ST_OK;
  tsv_cell(&q->w, "%s", what);
  tsv_cell(&q->w, "all");
  tsv_cell(&q->w, "%lld", (long long)n);
  tsv_cell(&q->w, "%.4g", v);
  for (int j = 0; j < 2; j++) {
    if (isfinite(ci[j]))
      tsv_cell(&q->w, "%.4g", ci[j]);
    else
      tsv_cell(&q->w, "n/a");
  }
  tsv_row_end(&q->w);
  return ST_OK;
}

/* ---- invented rims, correct moves ---- */

/* Lesions in which no rim can be seen: does the edge stand above the core as in one with a rim? */
static Status put_invented(CrestNumbers *q, Error *e) {
  static const char *const what[2] = {"share that shows an edge of 12 ppb, before",
                                      "share that shows an edge of 12 ppb, after"};
  for (int k = 0; k < 2; k++) {
    for (int64_t i = 0; i < q->ev->lesions; i++) {
      const EvLesion *r = &q->ev->row[i];
      const double edge = r->v[k ? EV_EDGE1 : EV_EDGE0];
      q->value[i] = !in_bin(r, 0) || isnan(edge) ? NAN : edge >= RIM_LEAST;
    }
    TRY(put_spread(q, what[k], "true crest 0-12 ppb", e));
  }
  return ST_OK;
}

/* Did the number move toward the true class: up where there is a rim, down where there is none? */
static Status put_moves(CrestNumbers *q, const char *what, EvNumber before, EvNumber after,
                        Error *e) {
  static const char *const lesions[3] = {"all", "true rim", "true non-rim"};
  for (int s = 0; s < 3; s++) {
    for (int64_t i = 0; i < q->ev->lesions; i++) {
      const EvLesion *r = &q->ev->row[i];
      const double d = r->v[after] - r->v[before];
      const bool counts = r->truth >= 0 && isfinite(d) && (s == 0 || r->truth == (s == 1));
      q->value[i] = counts ? (r->truth ? d > 0 : d < 0) : NAN;
    }
    TRY(put_spread(q, what, lesions[s], e));
  }
  return ST_OK;
}

static Status put_all(CrestNumbers *q, Error *e) {
  TRY(put_bins(q, "edge above core, ppb", EV_EDGE0, EV_EDGE1, e));
  TRY(put_bins(q, "true rim above core, ppb", EV_CORE0, EV_CORE1, e));
  TRY(put_bins(q, "brightest pixels on the true rim (Dice)", EV_DICE0, EV_DICE1, e));
  TRY(put_slope(q, "slope of the edge on the true crest, before", EV_EDGE0, e));
  TRY(put_slope(q, "slope of the edge on the true crest, after", EV_EDGE1, e));
  TRY(put_slope(q, "slope of the rim above core on the true crest, before", EV_CORE0, e));
  TRY(put_slope(q, "slope of the rim above core on the true crest, after", EV_CORE1, e));
  TRY(put_invented(q, e));
  TRY(put_moves(q, "correct moves of the edge", EV_EDGE0, EV_EDGE1, e));
  return put_moves(q, "correct moves of the rim score", EV_RIM0, EV_RIM1, e);
}

Status evidence_crest(const Evidence *ev, Error *e) {
  static const char *const head[] = {"number", "lesions", "n", "mean", "mean_low", "mean_high"};
  char path[PATH_LEN];
  CrestNumbers q = {.ev = ev,
                    .value = mem_alloc((size_t)ev->lesions * sizeof *q.value),
                    .group = mem_alloc((size_t)ev->lesions * sizeof *q.group)};
  Status s = path_join(path, ev->a.out, "truth.tsv", e);
  if (s != ST_OK) goto done;
  if (!q.value || !q.group) {
    s = err_set(e, ST_NOMEM, "out of memory");
    goto done;
  }
  for (int64_t i = 0; i < ev->lesions; i++) q.group[i] = ev->row[i].group;
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&q.w, "%s", head[i]);
  tsv_row_end(&q.w);
  s = put_all(&q, e);
  if (s != ST_OK) goto done;
  s = tsv_commit(&q.w, path, e);
  q.w.buf = NULL;
done:
  mem_free(q.w.buf);
  mem_free(q.value);
  mem_free(q.group);
  return s;
}
