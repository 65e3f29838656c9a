/* lbfgs.h: the limited-memory quasi-Newton method L-BFGS (Nocedal & Wright, Numerical Optimization,
 * 2nd ed., algorithms 7.4 and 7.5) with a backtracking line search (section 3.1, Armijo's condition
 * with quadratic interpolation, section 3.5). The caller evaluates: many problems at once, each
 * with a state of its own, can share one batched evaluation.
 *
 *     lbfgs_new(n, 20, &m, &e); lbfgs_start(m, x0, 0.1);
 *     do { f = function(lbfgs_point(m), g); } while (lbfgs_tell(m, f, g));
 *     the minimum: lbfgs_best(m) with value lbfgs_value(m)
 *
 * All in double and in a fixed order: the same values give the same points, bit for bit. One
 * thread at a time per state; different states are independent. */
#ifndef PRLX_LBFGS_H
#define PRLX_LBFGS_H
#include "core/base.h"
typedef struct Lbfgs Lbfgs;

/* State for n variables that remembers the last `memory` steps: (2 memory + 6) n doubles. The
 * caller frees it with lbfgs_free (NULL allowed). ST_INVALID: n or memory < 1; ST_NOMEM. */
Status lbfgs_new(int64_t n, int memory, Lbfgs **out, Error *e);
void lbfgs_free(Lbfgs *m);

/* Forgets everything and starts at x [n]; the first step has the length `first` (> 0) in the unit
 * of x, later ones find their own. */
void lbfgs_start(Lbfgs *m, const double *x, double first);

/* [n] where the function is wanted next; valid until lbfgs_tell. */
const double *lbfgs_point(const Lbfgs *m);

/* Value and gradient [n] at that point. A value that is not finite counts as "too far": the step
 * is halved. False: no step lowers the value any more (or the gradient is 0); the best point
 * stands. */
bool lbfgs_tell(Lbfgs *m, double value, const double *gradient);

/* [n] the best point so far and its value (infinite before the first evaluation). */
const double *lbfgs_best(const Lbfgs *m);
double lbfgs_value(const Lbfgs *m);
#endif
