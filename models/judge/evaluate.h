/* evaluate.h: how good a classifier is: metrics, intervals by subject, McNemar. All in double.
 * Class 1 (rim) is the positive one. A metric without a meaning (precision when nothing is called
 * rim, an AUC with one class only) is NaN, never 0. */
#ifndef PRLX_EVALUATE_H
#define PRLX_EVALUATE_H
#include "core/base.h"
typedef enum {
  M_ACCURACY,
  M_PRECISION,
  M_SENSITIVITY,
  M_SPECIFICITY,
  M_F1,
  M_BALANCED,
  M_ROC_AUC,
  M_PR_AUC,
  M_SENS90, /* largest sensitivity of a threshold whose specificity is at least 0.90 */
  M_COUNT
} Metric;

/* "accuracy", "precision", ... */
extern const char *const metric_name[M_COUNT];

/* Items: true and false positives, true and false negatives. */
typedef struct Confusion {
  int64_t tp;
  int64_t fp;
  int64_t tn;
  int64_t fn;
} Confusion;

/* truth [n] 0 or 1, score [n] probability of class 1; called positive when score >= threshold. */
Confusion eval_confusion(int64_t n, const int *truth, const double *score, double threshold);

/* Metrics of a confusion matrix; the two AUC stay NaN. */
void eval_from_confusion(Confusion c, double m[M_COUNT]);

/* All metrics; the last three need no threshold. ROC AUC is the rank sum with ties at half
 * (Mann-Whitney); PR AUC is average precision, sum (R_k - R_{k-1}) P_k over distinct scores.
 * ST_INVALID: n < 1, a truth other than 0 and 1; ST_NUMERIC: a score that is not finite. */
Status eval_metrics(int64_t n, const int *truth, const double *score, double threshold,
                    double m[M_COUNT], Error *e);

/* A metric's mean over the training seeds, or the difference of two such means, and how sure it is.
 * Subjects and seeds are crossed: se^2 = (sd of the value over resamples of whole subjects, seeds
 * as they are)^2 + (sd over the seeds)^2 / seeds; lo, hi: v -+ t se, with Satterthwaite's degrees
 * of freedom (1946). detectable: the true value that a study like this one would tell from 0 in
 * four of five cases, (t of the level + t of 0.8) se. NaN: no meaning, or fewer than two subjects.
 * With one seed only subjects count. */
typedef struct Crossed {
  double value;
  double sd; /* over the seeds */
  double se;
  double lo;
  double hi;
  double detectable;
} Crossed;

/* What one row of classifiers says about the items: score [runs][n]. */
typedef struct RowScores {
  int runs;
  const double *score;
  double threshold;
} RowScores;

/* a alone (b NULL), or a minus b with the seeds paired one to one as far as both go: the same
 * subjects are drawn for both. Levels are cut off at 0 and 1, differences at -1 and 1. Errors as
 * eval_bootstrap. */
Status eval_crossed(int64_t n, const int *truth, const RowScores *a, const RowScores *b,
                    const int64_t *group, int64_t groups, int resamples, double level,
                    uint64_t seed, Crossed out[M_COUNT], Error *e);

/* x with P(T <= x) = p for Student's t with df > 0 degrees of freedom; 0 < p < 1. */
double student_quantile(double p, double df);

/* Percentile bootstrap that draws whole groups (subjects) with replacement, since lesions of one
 * subject are alike. score [runs][n]: of several training seeds; a resample's value is the mean
 * over the runs, so the interval is that of the mean. group [n] in 0..groups-1. lo, hi: the
 * (1-level)/2 and (1+level)/2 quantiles over the resamples where the metric has a meaning; NaN when
 * it has none in half of them. ST_INVALID: fewer than 2 groups, numbers out of range; ST_NUMERIC:
 * scores that are not finite. Efron and Tibshirani 1993; cluster bootstrap: Field and Welsh
 * 2007. */
Status eval_bootstrap(int64_t n, const int *truth, int runs, const double *score,
                      const int64_t *group, int64_t groups, double threshold, int resamples,
                      double level, uint64_t seed, double lo[M_COUNT], double hi[M_COUNT],
                      Error *e);

/* The same for a mean: value [n], those that are not finite do not count; resamples without any
 * value do not count either. *lo, *hi NaN with fewer than 2 groups that have a value (no interval,
 * no error). */
Status eval_bootstrap_mean(int64_t n, const double *value, const int64_t *group, int64_t groups,
                           int resamples, double level, uint64_t seed, double *lo, double *hi,
                           Error *e);

/* Exact McNemar test of two classifiers a, b on the same items (McNemar 1947): p = min(1, 2
 * P(Bin(b+c,1/2) <= min(b,c))), b = only A right, c = only B right, which also come back. The
 * second takes these counts. */
double eval_mcnemar(int64_t n, const int *truth, const double *a, const double *b, double threshold,
                    int64_t *only_a, int64_t *only_b);
double eval_mcnemar_p(int64_t only_a, int64_t only_b);

/* Holm's step-down correction, in place. NaN stays NaN and does not count. */
Status eval_holm(int n, double *p, Error *e);
#endif
