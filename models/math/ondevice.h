/* ondevice.h: the linear algebra of models/math/linalg.h on a backend that has matrices of doubles
 * (core/dense.h): the same results within rounding. Points are rows of floats that stay on the
 * device; what comes back is small or comes in blocks, so that results of any size pass through
 * DEVICE_BLOCK bytes of its memory. */
#ifndef PRLX_ONDEVICE_H
#define PRLX_ONDEVICE_H
#include "core/backend.h"
#include "models/math/linalg.h"

enum { DEVICE_BLOCK = 64 << 20 };

/* Has this backend what the functions here use? NULL: no. */
bool device_has_dense(const Backend *on);

/* n points in d dimensions on the device, minus a centre where there is one. */
typedef struct DevicePoints {
  Backend *on;
  int64_t count;
  int64_t dims;
  void *data;
  void *centre;
} DevicePoints;

/* x [n,d] and centre [d] (NULL: none) are copied. ST_NOMEM; after an error p is empty. */
Status device_points(DevicePoints *p, Backend *on, int64_t n, int64_t d, const float *x,
                     const double *centre, Error *e);

/* Also of empty ones. */
void device_points_free(DevicePoints *p);

/* c [a.count,b.count], in host memory: inner products. Two equal points give equal ones to the bit,
 * whatever their place. */
Status device_products(const DevicePoints *a, const DevicePoints *b, double *c, Error *e);

/* The same of squared distances: sums of squares of differences, not a difference of sums. */
Status device_distances(const DevicePoints *a, const DevicePoints *b, double *c, Error *e);

/* Sums of the kernel (x.y/d + 1)^3, added up as metrics_kid.c does. All in host memory: row
 * [a.count]; column [b.count] is added to, NULL: not wanted; within [a.count] over points of the
 * row's own group, where group [a.count] is given. a == b: no point with itself. */
Status device_cubes(const DevicePoints *a, const DevicePoints *b, const int64_t *group, double *row,
                    double *column, double *within, Error *e);

/* Sums of the singular values of k[i] [m[i],n[i]] in host memory, m >= n; at once on the device. */
Status device_nuclear_norms(Backend *on, int count, const int64_t *m, const int64_t *n,
                            double *const *k, double *norm, Error *e);

/* A factor [rank,d] of a covariance, f^T f. */
typedef struct DeviceFactor {
  const DevicePoints *centred;
  void *data; /* NULL: the points */
  int64_t rank;
  double scale; /* of the points */
  double trace;
} DeviceFactor;

/* Of points minus their mean, over `over`: of more points than dimensions by Cholesky, else the
 * points themselves, which must outlive it. */
Status device_factor(DeviceFactor *f, const DevicePoints *centred, double over, Error *e);

/* Also of an empty one. */
void device_factor_free(DeviceFactor *f);

/* Sum of the singular values of the product of two factors. */
Status device_factors_norm(const DeviceFactor *a, const DeviceFactor *b, double *norm, Error *e);
#endif
