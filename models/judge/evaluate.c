/* evaluate.c: see evaluate.h. The metrics are computed with integer weights, so that a bootstrap
 * resample is a vector of counts and the scores are sorted once. */
#include "models/judge/evaluate.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "models/judge/agreement.h"
#include "models/judge/evaluate_impl.h"

const char *const metric_name[M_COUNT] = {
    "accuracy",    "precision", "sensitivity",
    "specificity", "F1",        "balanced accuracy",
    "ROC AUC",     "PR AUC",    "sensitivity at specificity 0.90"};

static double ratio_or_nan(int64_t a, int64_t b) { return b > 0 ? (double)a / (double)b : NAN; }

void eval_from_confusion(Confusion c, double m[M_COUNT]) {
  m[M_ACCURACY] = ratio_or_nan(c.tp + c.tn, c.tp + c.tn + c.fp + c.fn);
  m[M_PRECISION] = ratio_or_nan(c.tp, c.tp + c.fp);
  m[M_SENSITIVITY] = ratio_or_nan(c.tp, c.tp + c.fn);
  m[M_SPECIFICITY] = ratio_or_nan(c.tn, c.tn + c.fp);
  m[M_F1] = ratio_or_nan(2 * c.tp, 2 * c.tp + c.fp + c.fn);
  m[M_BALANCED] = (m[M_SENSITIVITY] + m[M_SPECIFICITY]) / 2;
  m[M_ROC_AUC] = m[M_PR_AUC] = m[M_SENS90] = NAN;
}

/* Falling score; equal scores in the order of the items, so that the result does not depend on the
 * sort. */
static int by_score(const void *a, const void *b) {
  const Ranked *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->item < y->item ? -1 : x->item > y->item;
}

void eval_rank(int64_t n, const int *truth, const double *score, Ranked *r) {
  for (int64_t i = 0; i < n; i++) r[i] = (Ranked){score[i], i, truth[i]};
  qsort(r, (size_t)n, sizeof *r, by_score);
}

/* w NULL: every item once. Equal scores enter both curves together: one step of the ROC (a
 * diagonal: ties at half), one point of the PR curve. */
void eval_ranked(int64_t n, const Ranked *r, const int64_t *w, double threshold,
                 double m[M_COUNT]) {
  Confusion c = {0};
  int64_t tp = 0, fp = 0, pos = 0, neg = 0, found90 = 0;
  double area = 0, ap = 0;
  for (int64_t i = 0; i < n; i++) *(r[i].truth ? &pos : &neg) += w ? w[r[i].item] : 1;
  for (int64_t i = 0; i < n;) {
    int64_t dt = 0, df = 0, j = i;
    for (; j < n && r[j].score == r[i].score; j++)
      *(r[j].truth ? &dt : &df) += w ? w[r[j].item] : 1;
    area += (double)df * ((double)tp + 0.5 * (double)dt);
    tp += dt;
    fp += df;
    if (dt) ap += (double)dt * (double)tp / (double)(tp + fp);
    if ((double)fp <= 0.1 * (double)neg + 1e-9) found90 = tp;
    if (r[i].score >= threshold) {
      c.tp = tp;
      c.fp = fp;
    }
    i = j;
  }
  c.fn = pos - c.tp;
  c.tn = neg - c.fp;
  eval_from_confusion(c, m);
  if (pos && neg) {
    m[M_ROC_AUC] = area / ((double)pos * (double)neg);
    m[M_PR_AUC] = ap / (double)pos;
    m[M_SENS90] = (double)found90 / (double)pos;
  }
}

Confusion eval_confusion(int64_t n, const int *truth, const double *score, double threshold) {
  Confusion c = {0};
  for (int64_t i = 0; i < n; i++) {
    bool called = score[i] >= threshold;
    (*(truth[i] ? called ? &c.tp : &c.fn : called ? &c.fp : &c.tn))++;
  }
  return c;
}

Status eval_check_items(int64_t n, const int *truth, int runs, const double *score, Error *e) {
  if (n < 1)
    return err_set(e, ST_INVALID,
                   "evaluation: no items; expected at least one lesion with a known class");
  for (int64_t i = 0; i < n; i++)
    if (truth[i] != 0 && truth[i] != 1)
      return err_set(e, ST_INVALID, "evaluation: item %lld has class %d; expected 0 or 1",
                     (long long)i, truth[i]);
  for (int64_t i = 0; i < n * runs; i++)
    if (!isfinite(score[i]))
      return err_set(e, ST_NUMERIC, "evaluation: score %lld is %g; expected a finite number",
                     (long long)i, score[i]);
  return ST_OK;
}

Status eval_metrics(int64_t n, const int *truth, const double *score, double threshold,
                    double m[M_COUNT], Error *e) {
  TRY(eval_check_items(n, truth, 1, score, e));
  Ranked *r = mem_alloc((size_t)n * sizeof *r);
  if (!r) return err_set(e, ST_NOMEM, "evaluation: out of memory for %lld items", (long long)n);
  eval_rank(n, truth, score, r);
  eval_ranked(n, r, NULL, threshold, m);
  mem_free(r);
  return ST_OK;
}

/* ---- bootstrap ---- */

static int double_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

typedef struct Boot {
  Ranked *rank;
  int64_t *count;
  int64_t *weight;
  double *value;
} Boot;

static void boot_resample(Boot *b, int64_t n, int runs, const int64_t *group, int64_t groups,
                          double threshold, int resamples, uint64_t seed) {
  Rng rng = {.seed = seed, .subsequence = 0x626f6f74};
  for (int k = 0; k < resamples; k++) {
    memset(b->count, 0, (size_t)groups * sizeof *b->count);
    for (int64_t g = 0; g < groups; g++) b->count[rng_below(&rng, groups)]++;
    for (int64_t i = 0; i < n; i++) b->weight[i] = b->count[group[i]];
    double sum[M_COUNT] = {0};
    for (int r = 0; r < runs; r++) {
      double m[M_COUNT];
      eval_ranked(n, b->rank + (int64_t)r * n, b->weight, threshold, m);
      /* NaN in one run makes the resample's mean NaN */
      for (int q = 0; q < M_COUNT; q++) sum[q] += m[q];
    }
    for (int q = 0; q < M_COUNT; q++) b->value[(int64_t)q * resamples + k] = sum[q] / runs;
  }
}

Status eval_check_groups(int64_t n, const int64_t *group, int64_t groups, int runs, int resamples,
                         double level, Error *e) {
  if (runs < 1 || resamples < 2 || !(level > 0 && level < 1))
    return err_set(e, ST_INVALID,
                   "bootstrap: %d runs, %d resamples, level %g; expected at least 1, at least 2, "
                   "between 0 and 1",
                   runs, resamples, level);
  if (groups < 2)
    return err_set(e, ST_INVALID,
                   "bootstrap: %lld subject; an interval by subject needs at least 2",
                   (long long)groups);
  for (int64_t i = 0; i < n; i++)
    if (group[i] < 0 || group[i] >= groups)
      return err_set(e, ST_INVALID, "bootstrap: item %lld is of subject %lld; expected 0 to %lld",
                     (long long)i, (long long)group[i], (long long)groups - 1);
  return ST_OK;
}

Status eval_bootstrap(int64_t n, const int *truth, int runs, const double *score,
                      const int64_t *group, int64_t groups, double threshold, int resamples,
                      double level, uint64_t seed, double lo[M_COUNT], double hi[M_COUNT],
                      Error *e) {
  for (int q = 0; q < M_COUNT; q++) lo[q] = hi[q] = NAN;
  TRY(eval_check_groups(n, group, groups, runs, resamples, level, e));
  TRY(eval_check_items(n, truth, runs, score, e));
  Boot b = {mem_alloc((size_t)(n * runs) * sizeof *b.rank),
            mem_alloc((size_t)groups * sizeof *b.count), mem_alloc((size_t)n * sizeof *b.weight),
            mem_alloc((size_t)resamples * M_COUNT * sizeof *b.value)};
  Status s = ST_OK;
  if (!b.rank || !b.count || !b.weight || !b.value) {
    s = err_set(e, ST_NOMEM, "bootstrap: out of memory for %lld items and %d resamples",
                (long long)n, resamples);
    goto done;
  }
  for (int r = 0; r < runs; r++)
    eval_rank(n, truth, score + (int64_t)r * n, b.rank + (int64_t)r * n);
  boot_resample(&b, n, runs, group, groups, threshold, resamples, seed);
  for (int q = 0; q < M_COUNT; q++) {
    double *v = b.value + (int64_t)q * resamples;
    int64_t m = 0;
    for (int k = 0; k < resamples; k++)
      if (isfinite(v[k])) v[m++] = v[k];
    if (2 * m <= resamples) continue;
    qsort(v, (size_t)m, sizeof *v, double_order);
    lo[q] = quantile_sorted(v, m, (1 - level) / 2);
    hi[q] = quantile_sorted(v, m, (1 + level) / 2);
  }
done:
  mem_free(b.rank);
  mem_free(b.count);
  mem_free(b.weight);
  mem_free(b.value);
  return s;
}

Status eval_bootstrap_mean(int64_t n, const double *value, const int64_t *group, int64_t groups,
                           int resamples, double level, uint64_t seed, double *lo, double *hi,
                           Error *e) {
  *lo = *hi = NAN;
  if (resamples < 2 || !(level > 0 && level < 1))
    return err_set(e, ST_INVALID,
                   "bootstrap: %d resamples, level %g; expected at least 2, between 0 and 1",
                   resamples, level);
  for (int64_t i = 0; i < n; i++)
    if (group[i] < 0 || group[i] >= groups)
      return err_set(e, ST_INVALID, "bootstrap: item %lld is of subject %lld; expected 0 to %lld",
                     (long long)i, (long long)group[i], (long long)groups - 1);
  double *sum = mem_alloc((size_t)groups * sizeof *sum),
         *mean = mem_alloc((size_t)resamples * sizeof *mean);
  int64_t *count = mem_alloc((size_t)groups * sizeof *count), used = 0, m = 0;
  if (!sum || !count || !mean) {
    mem_free(sum);
    mem_free(count);
    mem_free(mean);
    return err_set(e, ST_NOMEM, "bootstrap: out of memory for %lld subjects and %d resamples",
                   (long long)groups, resamples);
  }
  for (int64_t i = 0; i < n; i++)
    if (isfinite(value[i])) {
      used += !count[group[i]];
      sum[group[i]] += value[i];
      count[group[i]]++;
    }
  Rng rng = {.seed = seed, .subsequence = 0x6d65616e};
  for (int k = 0; k < resamples && used > 1; k++) {
    double total = 0;
    int64_t of = 0;
    for (int64_t g = 0; g < groups; g++) {
      const int64_t pick = rng_below(&rng, groups);
      total += sum[pick];
      of += count[pick];
    }
    if (of) mean[m++] = total / (double)of;
  }
  if (m > 1) {
    qsort(mean, (size_t)m, sizeof *mean, double_order);
    *lo = quantile_sorted(mean, m, (1 - level) / 2);
    *hi = quantile_sorted(mean, m, (1 + level) / 2);
  }
  mem_free(sum);
  mem_free(count);
  mem_free(mean);
  return ST_OK;
}

/* ---- tests and intervals ---- */

double eval_mcnemar_p(int64_t only_a, int64_t only_b) {
  int64_t n = only_a + only_b, k = PRLX_MIN(only_a, only_b);
  double p = 0;
  for (int64_t i = 0; i <= k; i++)
    p += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
             (double)n * M_LN2);
  return PRLX_MIN(1.0, 2 * p);
}

double eval_mcnemar(int64_t n, const int *truth, const double *a, const double *b, double threshold,
                    int64_t *only_a, int64_t *only_b) {
  *only_a = *only_b = 0;
  for (int64_t i = 0; i < n; i++) {
    bool ra = (a[i] >= threshold) == (truth[i] != 0), rb = (b[i] >= threshold) == (truth[i] != 0);
    *only_a += ra && !rb;
    *only_b += rb && !ra;
  }
  return eval_mcnemar_p(*only_a, *only_b);
}

typedef struct PValue {
  double p;
  int at;
} PValue;
static int by_p(const void *a, const void *b) {
  const PValue *x = a, *y = b;
  if (x->p != y->p) return x->p < y->p ? -1 : 1;
  return x->at - y->at;
}

Status eval_holm(int n, double *p, Error *e) {
  if (n < 1) return ST_OK;
  PValue *v = mem_alloc((size_t)n * sizeof *v);
  if (!v) return err_set(e, ST_NOMEM, "Holm correction: out of memory for %d tests", n);
  int m = 0;
  for (int i = 0; i < n; i++)
    if (isfinite(p[i])) v[m++] = (PValue){p[i], i};
  qsort(v, (size_t)m, sizeof *v, by_p);
  double top = 0;
  for (int i = 0; i < m; i++) {
    top = PRLX_MAX(top, PRLX_MIN(1.0, (m - i) * v[i].p));
    p[v[i].at] = top;
  }
  mem_free(v);
  return ST_OK;
}
