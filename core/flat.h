/* flat.h: flat ranges of reals where a program's state lives: host memory (b NULL) or the mirror of
 * it on a backend (core/backend.h). All pointers are host addresses for b NULL, else addresses of
 * the device. Same formulas in both places; on a device nothing waits. */
#ifndef PRLX_FLAT_H
#define PRLX_FLAT_H
#include "core/backend.h"
#include "core/plan.h"

/* Where the range of this host address lives; NULL: on a backend that does not share it. */
real *flat_at(const Backend *b, real *host);

/* Where an output of the plan lives after a run. */
real *flat_value(Backend *b, Plan *p, Val v);

/* x <- 0; dst <- src; dst <- host memory; acc <- acc + x: n reals each. */
Status flat_zero(Backend *b, real *x, int64_t n, Error *e);
Status flat_copy(Backend *b, real *dst, const real *src, int64_t n, Error *e);
Status flat_upload(Backend *b, real *dst, const real *host, int64_t n, Error *e);
Status flat_add(Backend *b, real *acc, const real *x, int64_t n, Error *e);

/* ema <- x + beta (ema - x), n reals. */
Status flat_ema(Backend *b, real *ema, const real *x, int64_t n, double beta, Error *e);

/* After it: at these places the average is that of |x| (core/optim.h, ema_size). */
Status flat_ema_size(Backend *b, real *ema, const real *x, const FlatPlaces *s, double beta,
                     Error *e);

/* grad_sanitize of g [n]; *bad += number of NaN and infinite elements; on a device a device
 * address. */
Status flat_sanitize(Backend *b, real *g, int64_t n, int64_t *bad, Error *e);

/* On a device, for gradients that carry a factor: g <- g * factor; what is not finite becomes 0 and
 * is counted in *bad. */
Status flat_unscale(Backend *b, real *g, int64_t n, double factor, int64_t *bad, Error *e);

/* a's moments are host addresses; on a backend their mirrors are used. ema (may be NULL) follows
 * the new p in the same pass: flat_ema. */
Status flat_adam(Backend *b, Adam *a, real *p, const real *g, real *ema, double beta, Error *e);
#endif
