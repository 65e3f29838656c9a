/* optim.h: Adam over a flat range, and the exponential moving average of weights. */
#ifndef PRLX_OPTIM_H
#define PRLX_OPTIM_H
#include "core/base.h"

/* Kingma & Ba 2015, with its letters: t steps done, first and second moments m and v. */
typedef struct Adam {
  double lr;
  double beta1;
  double beta2;
  double eps;
  int64_t t;
  int64_t n;
  real *m; /* [n]; NULL, and not used, when beta1 == 0 */
  real *v; /* [n] */
} Adam;

/* Moments of zero for n numbers. adam_free also of an empty one. */
Status adam_init(Adam *a, int64_t n, double lr, double beta1, double beta2, double eps, Error *e);
void adam_free(Adam *a);

/* One step on p [n] with gradient g [n] (t counts from 1 inside): m <- b1 m + (1-b1) g; v <- b2 v +
 * (1-b2) g^2; p -= lr * (m/(1-b1^t)) / (sqrt(v)/sqrt(1-b2^t) + eps). Uses all cores. */
void adam_step(Adam *a, real *p, const real *g);

/* g [n] in place: NaN -> 0, +inf -> 1e5, -inf -> -1e5 (SEMANTICS 5.4). */
void grad_sanitize(real *g, int64_t n);

/* acc <- acc + g, [n]. */
void grad_accumulate(real *acc, const real *g, int64_t n);

/* ema <- p + beta (ema - p), [n]. */
void ema_update(real *ema, const real *p, int64_t n, double beta);

/* Places of the few numbers of a flat range whose sign has no meaning. */
enum { FLAT_PLACES = 32 };
typedef struct FlatPlaces {
  int n;
  int64_t at[FLAT_PLACES];
} FlatPlaces;

/* After ema_update: at these places the average is that of |p|, ema <- |p| + beta (ema - |p|). */
void ema_size(real *ema, const real *p, const FlatPlaces *s, double beta);
#endif
