/* eigen.h: eigenvectors of small symmetric matrices, in double. */
#ifndef PRLX_EIGEN_H
#define PRLX_EIGEN_H
#include "core/base.h"

/* Eigenvalues, largest first, and eigenvectors of the symmetric matrix a [n,n] (row-major,
 * destroyed; only symmetry within rounding is expected): values [n]; vectors [n,n], one a row, of
 * length 1, their largest component positive, so that the sign is determined. Cyclic Jacobi
 * rotations (Golub & Van Loan, Matrix Computations, 4th ed., section 8.5); about 10 n^3 operations.
 * One thread, the same bits always. ST_INVALID: n < 1; ST_NUMERIC: NaN or infinity, or no
 * convergence. */
Status symmetric_eigen(int64_t n, double *a, double *values, double *vectors, Error *e);
#endif
