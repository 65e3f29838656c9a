/* evaluate_crossed.c: intervals over subjects and training seeds, crossed. See evaluate.h. */
#include <math.h>
#include <string.h>
#include "core/rng.h"
#include "models/judge/evaluate_impl.h"

/* ---- Student's t ---- */

/* Continued fraction of the incomplete beta function (Lentz 1976). */
static double beta_fraction(double a, double b, double x) {
  double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), f = d;
  for (int m = 1; m < 300; m++) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    f *= c * d;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    const double step = c * d;
    f *= step;
    if (fabs(step - 1) < 1e-15) break;
  }
  return f;
}

/* P(T > t), t >= 0: half the regularised incomplete beta function I_x(df/2, 1/2). */
static double student_tail(double t, double df) {
  const double a = df / 2, b = 0.5, x = df / (df + t * t);
  const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
  if (t == 0) return 0.5;
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a / 2;
  return (1 - front * beta_fraction(b, a, 1 - x) / b) / 2;
}

double student_quantile(double p, double df) {
  double lo = 0, hi = 1;
  const double tail = PRLX_MIN(p, 1 - p);
  if (!(p > 0 && p < 1) || !(df > 0)) return NAN;
  if (p == 0.5) return 0;
  while (student_tail(hi, df) > tail && hi < 1e12) hi *= 2;
  for (int k = 0; k < 200 && hi - lo > 1e-13 * hi; k++) {
    const double mid = (lo + hi) / 2;
    *(student_tail(mid, df) > tail ? &lo : &hi) = mid;
  }
  return p < 0.5 ? -hi : hi;
}

/* ---- subjects and seeds ---- */

typedef struct Cross {
  int64_t n;
  int runs;
  Ranked *rank[2]; /* [runs][n]; the second NULL: levels */
  double threshold[2];
  int64_t *weight; /* [n] */
  int64_t *count;  /* [groups] */
} Cross;

/* Value of each metric for one seed, w as in eval_ranked. */
static void cross_seed(const Cross *x, int run, const int64_t *w, double m[M_COUNT]) {
  double b[M_COUNT] = {0};
  eval_ranked(x->n, x->rank[0] + run * x->n, w, x->threshold[0], m);
  if (x->rank[1]) eval_ranked(x->n, x->rank[1] + run * x->n, w, x->threshold[1], b);
  for (int q = 0; q < M_COUNT; q++) m[q] -= b[q];
}

static void cross_seeds(const Cross *x, Crossed out[M_COUNT]) {
  double all[M_COUNT] = {0}, square[M_COUNT] = {0};
  for (int r = 0; r < x->runs; r++) {
    double m[M_COUNT];
    cross_seed(x, r, NULL, m);
    for (int q = 0; q < M_COUNT; q++) all[q] += m[q] / x->runs;
  }
  for (int r = 0; r < x->runs; r++) {
    double m[M_COUNT];
    cross_seed(x, r, NULL, m);
    for (int q = 0; q < M_COUNT; q++) square[q] += (m[q] - all[q]) * (m[q] - all[q]);
  }
  for (int q = 0; q < M_COUNT; q++) {
    out[q] =
        (Crossed){.value = all[q], .sd = NAN, .se = NAN, .lo = NAN, .hi = NAN, .detectable = NAN};
    if (x->runs > 1) out[q].sd = sqrt(square[q] / (x->runs - 1));
  }
}

/* Variance over resamples of whole subjects; NaN where most have no value. */
static void cross_subjects(Cross *x, const int64_t *group, int64_t groups, int resamples,
                           uint64_t seed, double var[M_COUNT]) {
  double mean[M_COUNT] = {0}, square[M_COUNT] = {0};
  int used[M_COUNT] = {0};
  Rng rng = {.seed = seed, .subsequence = 0x63726f73};
  for (int k = 0; k < resamples; k++) {
    double sum[M_COUNT] = {0};
    memset(x->count, 0, (size_t)groups * sizeof *x->count);
    for (int64_t g = 0; g < groups; g++) x->count[rng_below(&rng, groups)]++;
    for (int64_t i = 0; i < x->n; i++) x->weight[i] = x->count[group[i]];
    for (int r = 0; r < x->runs; r++) {
      double m[M_COUNT];
      cross_seed(x, r, x->weight, m);
      for (int q = 0; q < M_COUNT; q++) sum[q] += m[q] / x->runs;
    }
    for (int q = 0; q < M_COUNT; q++) {
      if (!isfinite(sum[q])) continue;
      const double d = sum[q] - mean[q]; /* Welford's update */
      mean[q] += d / ++used[q];
      square[q] += d * (sum[q] - mean[q]);
    }
  }
  for (int q = 0; q < M_COUNT; q++)
    var[q] = 2 * used[q] > resamples ? square[q] / (used[q] - 1) : NAN;
}

static void cross_interval(Crossed *c, int runs, int64_t groups, double var, double level,
                           bool is_level) {
  const double seeds = runs > 1 ? c->sd * c->sd / runs : 0, all = var + seeds;
  if (!isfinite(all) || !isfinite(c->value)) return;
  const double below =
      (runs > 1 ? seeds * seeds / (runs - 1) : 0) + var * var / (double)(groups - 1);
  const double df = below > 0 ? all * all / below : (double)(groups - 1),
               t = student_quantile((1 + level) / 2, df);
  c->se = sqrt(all);
  c->lo = c->value - t * c->se;
  c->hi = c->value + t * c->se;
  c->detectable = (t + student_quantile(0.8, df)) * c->se;
  c->lo = PRLX_MAX(c->lo, is_level ? 0 : -1);
  c->hi = PRLX_MIN(c->hi, 1);
}

static Status cross_new(Cross *x, int64_t n, const int *truth, const RowScores *a,
                        const RowScores *b, int64_t groups, Error *e) {
  const RowScores *const row[2] = {a, b};
  *x = (Cross){.n = n, .runs = b ? PRLX_MIN(a->runs, b->runs) : a->runs};
  x->weight = mem_alloc((size_t)n * sizeof *x->weight);
  x->count = mem_alloc((size_t)groups * sizeof *x->count);
  bool ok = x->weight && x->count;
  for (int k = 0; k < 2 && row[k]; k++) {
    x->threshold[k] = row[k]->threshold;
    x->rank[k] = mem_alloc((size_t)(n * x->runs) * sizeof *x->rank[k]);
    ok = ok && x->rank[k];
    for (int r = 0; r < x->runs && x->rank[k]; r++)
      eval_rank(n, truth, row[k]->score + r * n, x->rank[k] + r * n);
  }
  return ok ? ST_OK : err_set(e, ST_NOMEM, "evaluation: out of memory");
}

Status eval_crossed(int64_t n, const int *truth, const RowScores *a, const RowScores *b,
                    const int64_t *group, int64_t groups, int resamples, double level,
                    uint64_t seed, Crossed out[M_COUNT], Error *e) {
  Cross x;
  double var[M_COUNT];
  TRY(eval_check_items(n, truth, a->runs, a->score, e));
  if (b) TRY(eval_check_items(n, truth, b->runs, b->score, e));
  if (groups > 1) TRY(eval_check_groups(n, group, groups, a->runs, resamples, level, e));
  const Status s = cross_new(&x, n, truth, a, b, groups, e);
  if (s == ST_OK) {
    cross_seeds(&x, out);
    if (groups > 1) {
      cross_subjects(&x, group, groups, resamples, seed, var);
      for (int q = 0; q < M_COUNT; q++) cross_interval(&out[q], x.runs, groups, var[q], level, !b);
    }
  }
  for (int k = 0; k < 2; k++) mem_free(x.rank[k]);
  mem_free(x.weight);
  mem_free(x.count);
  return s;
}
