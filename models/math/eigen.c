/* eigen.c: see eigen.h. */
#include "models/math/eigen.h"
#include <math.h>

enum { EIGEN_SWEEPS = 60 };

/* Rotates rows p and q of m [n,n] by (c, s). */
static void rotate_rows(int64_t n, double *m, int64_t p, int64_t q, double c, double s) {
  double *x = m + p * n, *y = m + q * n;
  for (int64_t k = 0; k < n; k++) {
    const double u = x[k], v = y[k];
    x[k] = c * u - s * v;
    y[k] = s * u + c * v;
  }
}

/* One rotation that makes a[p,q] zero: a <- J^T a J, and the rows of v (its columns in the book)
 * the same way. */
static void eigen_rotation(int64_t n, double *a, double *v, int64_t p, int64_t q) {
  const double apq = a[p * n + q];
  if (apq == 0) return;
  const double tau = (a[q * n + q] - a[p * n + p]) / (2 * apq);
  const double t = (tau >= 0 ? 1 : -1) / (fabs(tau) + hypot(1, tau));
  const double c = 1 / sqrt(1 + t * t), s = t * c;
  rotate_rows(n, a, p, q, c, s);
  for (int64_t k = 0; k < n; k++) {
    const double x = a[k * n + p], y = a[k * n + q];
    a[k * n + p] = c * x - s * y;
    a[k * n + q] = s * x + c * y;
  }
  a[p * n + q] = a[q * n + p] = 0;
  rotate_rows(n, v, p, q, c, s);
}

static double off_diagonal(int64_t n, const double *a) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++)
      if (i != j) sum += a[i * n + j] * a[i * n + j];
  return sqrt(sum);
}

static void eigen_swap(int64_t n, double *values, double *vectors, int64_t i, int64_t j) {
  const double t = values[i];
  values[i] = values[j];
  values[j] = t;
  for (int64_t k = 0; k < n; k++) {
    const double u = vectors[i * n + k];
    vectors[i * n + k] = vectors[j * n + k];
    vectors[j * n + k] = u;
  }
}

static void eigen_order(int64_t n, double *values, double *vectors) {
  for (int64_t i = 0; i < n; i++) {
    int64_t best = i;
    for (int64_t j = i + 1; j < n; j++)
      if (values[j] > values[best]) best = j;
    if (best != i) eigen_swap(n, values, vectors, i, best);
    double most = 0;
    for (int64_t k = 0; k < n; k++)
      if (fabs(vectors[i * n + k]) > fabs(most)) most = vectors[i * n + k];
    for (int64_t k = 0; k < n && most < 0; k++) vectors[i * n + k] = -vectors[i * n + k];
  }
}

Status symmetric_eigen(int64_t n, double *a, double *values, double *vectors, Error *e) {
  if (n < 1)
    return err_set(e, ST_INVALID, "eigenvectors: size %lld; expected 1 or more", (long long)n);
  double norm = 0;
  for (int64_t i = 0; i < n * n; i++) norm += a[i] * a[i];
  norm = sqrt(norm);
  if (!isfinite(norm)) return err_set(e, ST_NUMERIC, "eigenvectors: the matrix is not finite");
  for (int64_t i = 0; i < n * n; i++) vectors[i] = i % (n + 1) == 0;
  int sweep = 0;
  while (off_diagonal(n, a) > 1e-14 * norm) {
    if (sweep++ == EIGEN_SWEEPS)
      return err_set(e, ST_NUMERIC, "eigenvectors: no convergence after %d sweeps", EIGEN_SWEEPS);
    for (int64_t p = 0; p < n - 1; p++)
      for (int64_t q = p + 1; q < n; q++) eigen_rotation(n, a, vectors, p, q);
  }
  for (int64_t i = 0; i < n; i++) values[i] = a[i * n + i];
  eigen_order(n, values, vectors);
  return ST_OK;
}
