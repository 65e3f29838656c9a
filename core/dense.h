/* dense.h: matrices of doubles on a device: what the statistics of features need and plans, which
 * are float, do not have. A backend has them or not (Backend.dense); the host's own are in
 * models/math/linalg.h, and both are the same mathematics in the same order of steps. All pointers
 * are memory of the device, all matrices row-major, all sums in an order that the shapes alone
 * decide. */
#ifndef PRLX_DENSE_H
#define PRLX_DENSE_H
#include "core/base.h"

typedef struct Backend Backend; /* core/backend.h */

/* rows x k numbers, element (r, i) at r row_step + i k_step, minus a centre. */
typedef struct DenseOperand {
  const void *data;
  bool is_double; /* else float */
  bool by_row;    /* centre[r], else centre[i] */
  int64_t rows;
  int64_t row_step;
  int64_t k_step;
  const double *centre; /* NULL: nothing */
} DenseOperand;

/* out [left.rows, right.rows] = scale times the sums over depth of left right, or of
 * (left - right)^2. */
typedef struct DenseProduct {
  DenseOperand left;
  DenseOperand right;
  int64_t depth;
  double scale;
  bool squares;
  bool same;  /* left is right: half of it is computed, the rest mirrored */
  bool split; /* long sums in pieces, for results too small to fill the device. Without it an
                 element has the same bits wherever its rows stand */
  double *out;
} DenseProduct;

/* Sums of (x/dims + 1)^3 over the rows and columns of inner products x. */
typedef struct DenseCubes {
  const double *product; /* [rows,columns] */
  int64_t rows;
  int64_t columns;
  int64_t dims;
  int64_t first;        /* one set with itself: number of the first row, which is left out of its
                           own sums; -1: two sets */
  double *row;          /* [rows] */
  double *column;       /* [columns], added to; NULL: not wanted */
  double *within;       /* [rows], over columns of the row's own group; NULL: not wanted */
  const int64_t *group; /* [columns], with within */
} DenseCubes;

/* All wait for nothing but what they return in host memory. ST_NOMEM: no room on the device. */
typedef struct DenseOps {
  Status (*product)(Backend *b, const DenseProduct *p, Error *e);
  Status (*cubes)(Backend *b, const DenseCubes *q, Error *e);
  /* c [n,n] symmetric positive semidefinite -> f [*rank,n] with f^T f = c, as psd_factor; c is
   * destroyed. Waits. */
  Status (*factor)(Backend *b, int64_t n, double *c, double *f, int64_t *rank, Error *e);
  /* a [count,m,n], m >= n, is destroyed; values, in host memory, [count,n]: the singular values of
   * each, smallest first, NaN where a holds NaN or infinity. Waits. */
  Status (*singular_values)(Backend *b, int64_t count, int64_t m, int64_t n, double *a,
                            double *values, Error *e);
} DenseOps;
#endif
