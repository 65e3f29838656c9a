/* evaluate_impl.h: items in falling order of their score, shared by evaluate.c and
 * evaluate_crossed.c. */
#ifndef PRLX_EVALUATE_IMPL_H
#define PRLX_EVALUATE_IMPL_H
#include "models/judge/evaluate.h"

typedef struct Ranked {
  double score;
  int64_t item;
  int truth;
} Ranked;

/* r [n] */
void eval_rank(int64_t n, const int *truth, const double *score, Ranked *r);

/* Metrics of items that count w[item] times; w NULL: once. */
void eval_ranked(int64_t n, const Ranked *r, const int64_t *w, double threshold, double m[M_COUNT]);

/* At least one item, classes 0 and 1, finite scores [runs][n]. */
Status eval_check_items(int64_t n, const int *truth, int runs, const double *score, Error *e);

/* The same for groups 0..groups-1, at least 2, and for resamples and level. */
Status eval_check_groups(int64_t n, const int64_t *group, int64_t groups, int runs, int resamples,
                         double level, Error *e);
#endif
