/* agreement.h: statistics of readers and of small tables of counts, in double. Used by `prlx reader
 * score` and `prlx paper audit`. */
#ifndef PRLX_AGREEMENT_H
#define PRLX_AGREEMENT_H
#include "core/base.h"
typedef struct Interval {
  double lo;
  double hi;
} Interval;

/* The standard normal distribution and its inverse, 0 < p < 1; +-HUGE_VAL at 0 and 1. */
double normal_cdf(double x);
double normal_quantile(double p);

/* Quantile q of n sorted values, linear between order statistics (definition 7 of Hyndman & Fan
 * 1996); n = 0: NAN. */
double quantile_sorted(const double *v, int64_t n, double q);

/* Score interval of a proportion, k of n, e.g. level 0.95 (Wilson 1927). n = 0 gives 0..1. */
Interval wilson_interval(int64_t k, int64_t n, double level);

/* Exact two-sided p of the table {a b; c d}: sum over the tables of the same margins that are no
 * likelier than this one (Fisher 1935; the rule of R's fisher.test). Empty margin: 1. */
double fisher_exact(int64_t a, int64_t b, int64_t c, int64_t d);

/* Exact two-sided p of k successes in n draws against probability 1/2: min(1, 2 P(X <= min(k,
 * n-k))). n = 0: 1. */
double binomial_half(int64_t k, int64_t n);

/* Discrimination index d' = z(hit rate) - z(false alarm rate), each rate (k + 1/2)/(n + 1) so that
 * 0 and 1 stay finite (Hautus 1995). */
double d_prime(int64_t hits, int64_t signals, int64_t false_alarms, int64_t noises);

/* Cohen's kappa of a k x k table of counts, table[i*k + j]: first reader said i, second said j
 * (Cohen 1960). */
typedef struct Kappa {
  /* NAN when both used one category only: chance alone agrees fully, kappa says nothing */
  double kappa;
  double se;       /* large-sample standard error (Fleiss, Cohen & Everitt 1969, Eq. 13) */
  Interval ci;     /* kappa -+ z se, limited to -1..1 */
  double observed; /* share of agreement, and what chance gives */
  double expected;
  int64_t n; /* items */
} Kappa;

/* table [k,k]. ST_INVALID: k < 2, negative count or empty table. */
Status kappa_cohen(const int64_t *table, int k, double level, Kappa *out, Error *e);
#endif
