/* linalg.h: the little dense linear algebra that the feature metrics need, in double, row-major.
 * Golub & Van Loan, Matrix Computations (4th ed.): bidiagonalisation section 5.4.8, implicit QL
 * section 8.3.5, pivoted Cholesky section 4.2.8. Same bits for any number of threads. */
#ifndef PRLX_LINALG_H
#define PRLX_LINALG_H
#include "core/base.h"

/* c [m,n] = a [m,k] b[n,k]^T. Two equal rows give equal dot products to the bit, whatever their
 * place. */
void mat_mul_nt(int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c);

/* Singular values of a [m,n] (destroyed), unordered, min(m,n) of them; error about 1e-16 times the
 * largest, also of the small ones: they are found without squaring. ST_NUMERIC: NaN or infinity in
 * a. */
Status singular_values(int64_t m, int64_t n, double *a, double *sv, Error *e);

/* Their sum, the nuclear norm; a is destroyed. */
Status nuclear_norm(int64_t m, int64_t n, double *a, double *norm, Error *e);

/* c [n,n] symmetric positive semidefinite -> f [rank,n] with f^T f = c, by Cholesky with diagonal
 * pivots; stops at 1e-14 of the largest pivot. f has room for [n,n]; c is destroyed. */
void psd_factor(int64_t n, double *c, double *f, int64_t *rank);
#endif
