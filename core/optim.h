/* optim.h: Adam over a flat range, and the exponential moving average of weights. */
#ifndef PRLX_OPTIM_H
#define PRLX_OPTIM_H
#include "core/base.h"
/* m is not used (may be NULL) when beta1 == 0 */
typedef struct Adam {
  double lr;
  double beta1;
  double beta2;
  double eps;
  int64_t t;
  int64_t n;
  real *m;
  real *v;
} Adam;
Status adam_init(Adam *a, int64_t n, double lr, double beta1, double beta2, double eps, Error *e);
void adam_free(Adam *a);

/* One step (t counts from 1 inside): m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; p -= lr *
 * (m/(1-b1^t)) / (sqrt(v)/sqrt(1-b2^t) + eps). */
void adam_step(Adam *a, real *p, const real *g);

/* NaN -> 0, +inf -> 1e5, -inf -> -1e5 (SEMANTICS 5.4) */
void grad_sanitize(real *g, int64_t n);
void grad_accumulate(real *acc, const real *g, int64_t n);

/* ema <- p + beta (ema - p) */
void ema_update(real *ema, const real *p, int64_t n, double beta);
#endif
