/* finite.h: NaN and infinity in volumes: programs mark the outside of a mask with them. Where they
 * are is kept, and what stands in for them. */
#ifndef PRLX_FINITE_H
#define PRLX_FINITE_H
#include "io/images/resample.h"

/* refuse where they matter; 0; the mean of the finite ones among the 26 neighbours, from the edge
 * of a hole inwards */
typedef enum { NAN_REFUSE, NAN_ZERO, NAN_NEIGHBOURS } NanRule;

/* Number of values of v[n] that are NaN or infinite. */
int64_t count_not_finite(const float *v, int64_t n);

/* Replaces what is not finite in v (dim[0] x dim[1] x dim[2], i fastest); NAN_REFUSE counts as 0.
 * hole (may be NULL): 1 where a value was replaced, 0 elsewhere. ST_NOMEM. */
Status fill_not_finite(float *v, const int64_t dim[3], NanRule rule, float *hole, Error *e);

/* ST_NUMERIC naming where, the first such voxel and how many there are, if there is any. mend: what
 * to do, after the last semicolon. */
Status check_finite(const float *v, const int64_t dim[3], const char *where, const char *mend,
                    Error *e);
#endif
