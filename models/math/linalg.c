/* linalg.c: see linalg.h. Loops are written so that every inner one runs along a row. */
#include "models/math/linalg.h"
#include <math.h>
#include <string.h>
#include "core/threads.h"

/* ---- products ---- */
typedef double v4d __attribute__((vector_size(32), aligned(8)));
/* rows per task: fixed, so the bits do not depend on the threads */
enum { TILE = 4, ROWS = 32 };

/* Dot products of `na` <= 4 rows with `nb` <= 4 rows. Missing rows repeat the last one, so that
 * each product is summed in the same order. */
static void row_dots(int na, int nb, int64_t k, const double *a, const double *b, double *c,
                     int64_t ldc) {
  const double *pa[TILE], *pb[TILE];
  v4d s[TILE][TILE];
  memset(s, 0, sizeof s);
  for (int i = 0; i < TILE; i++) {
    pa[i] = a + PRLX_MIN(i, na - 1) * k;
    pb[i] = b + PRLX_MIN(i, nb - 1) * k;
  }
  int64_t t = 0;
  for (; t + 4 <= k; t += 4)
    for (int i = 0; i < TILE; i++) {
      v4d x = *(const v4d *)(pa[i] + t);
      for (int j = 0; j < TILE; j++) s[i][j] += x * *(const v4d *)(pb[j] + t);
    }
  for (int i = 0; i < na; i++)
    for (int j = 0; j < nb; j++) {
      double r = (s[i][j][0] + s[i][j][1]) + (s[i][j][2] + s[i][j][3]);
      for (int64_t u = t; u < k; u++) r += pa[i][u] * pb[j][u];
      c[i * ldc + j] = r;
    }
}

typedef struct Mul {
  int64_t m;
  int64_t n;
  int64_t k;
  const double *a;
  const double *b;
  double *c;
} Mul;
static void mul_block(void *ctx, int64_t task, int worker) {
  const Mul *p = ctx;
  /* a a^T: on and right of the diagonal blocks */
  int64_t i1 = PRLX_MIN((task + 1) * ROWS, p->m),
          j0 = p->a == p->b && p->m == p->n ? task * ROWS : 0;
  for (int64_t j = j0; j < p->n; j += TILE)
    for (int64_t i = task * ROWS; i < i1; i += TILE)
      row_dots((int)PRLX_MIN(TILE, i1 - i), (int)PRLX_MIN(TILE, p->n - j), p->k, p->a + i * p->k,
               p->b + j * p->k, p->c + i * p->n + j, p->n);
}

void mat_mul_nt(int64_t m, int64_t n, int64_t k, const double *a, const double *b, double *c) {
  Mul p = {m, n, k, a, b, c};
  par_for((m + ROWS - 1) / ROWS, mul_block, &p);
  if (a != b || m != n) return;
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < i; j++) c[i * n + j] = c[j * n + i];
}

static double row_dot(int64_t n, const double *a, const double *b) {
  v4d s = {0}, t = {0};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    s += *(const v4d *)(a + i) * *(const v4d *)(b + i);
    t += *(const v4d *)(a + i + 4) * *(const v4d *)(b + i + 4);
  }
  s += t;
  double r = (s[0] + s[1]) + (s[2] + s[3]);
  for (; i < n; i++) r += a[i] * b[i];
  return r;
}

/* ---- bidiagonalisation by Householder reflections ---- */

/* x [n] -> reflection I - beta v v^T (v[0] = 1, stored in v) that maps x to (result, 0, ..., 0). */
static double householder_reflector(int64_t n, const double *x, double *v, double *beta) {
  double scale = 0, s = 0;
  for (int64_t i = 0; i < n; i++) scale = fmax(scale, fabs(x[i]));
  memset(v, 0, (size_t)n * sizeof *v);
  v[0] = 1;
  *beta = 0;
  if (scale == 0) return 0;
  for (int64_t i = 0; i < n; i++) s += x[i] / scale * (x[i] / scale);
  double norm = scale * sqrt(s), alpha = x[0] > 0 ? -norm : norm, v0 = x[0] - alpha;
  for (int64_t i = 1; i < n; i++) v[i] = x[i] / v0;
  *beta = -v0 / alpha;
  return alpha;
}

typedef struct Bidiag {
  double *a;
  double *v;
  double *w;
  double *u;
  int64_t m;
  int64_t n;
  int64_t k;
  double beta_u;
} Bidiag;
enum { COLS = 256 };
/* w = A^T v over the rows k.., one block of columns. */
static void bidiag_w(void *ctx, int64_t task, int worker) {
  Bidiag *p = ctx;
  int64_t j0 = p->k + task * COLS, j1 = PRLX_MIN(j0 + COLS, p->n);
  for (int64_t j = j0; j < j1; j++) p->w[j] = 0;
  for (int64_t i = p->k; i < p->m; i++) {
    const double *restrict row = p->a + i * p->n, vi = p->v[i];
    double *restrict w = p->w;
    for (int64_t j = j0; j < j1; j++) w[j] += vi * row[j];
  }
}

/* Rows below k: the left reflection (w holds beta A^T v), then the right one. */
static void bidiag_rows(void *ctx, int64_t task, int worker) {
  Bidiag *p = ctx;
  int64_t i0 = p->k + 1 + task * ROWS, i1 = PRLX_MIN(i0 + ROWS, p->m), j0 = p->k + 1;
  const double *restrict w = p->w, *restrict u = p->u;
  for (int64_t i = i0; i < i1; i++) {
    double *restrict row = p->a + i * p->n, vi = p->v[i];
    for (int64_t j = j0; j < p->n; j++) row[j] -= vi * w[j];
    if (p->beta_u == 0) continue;
    double t = p->beta_u * row_dot(p->n - j0, row + j0, u + j0);
    for (int64_t j = j0; j < p->n; j++) row[j] -= t * u[j];
  }
}

/* a [m,n], m >= n -> diagonal d [n], superdiagonal s [n-1]. work: 2 m + 2 n numbers. */
static void matrix_bidiagonalise(int64_t m, int64_t n, double *a, double *d, double *s,
                                 double *work) {
  double *v = work, *col = work + m, *w = work + 2 * m, *u = w + n;
  Bidiag p = {a, v, w, u, m, n, 0, 0};
  for (int64_t k = 0; k < n; k++) {
    p.k = k;
    double beta;
    for (int64_t i = k; i < m; i++) col[i] = a[i * n + k];
    d[k] = householder_reflector(m - k, col + k, v + k, &beta);
    if (k + 1 == n) break;
    par_for((n - k + COLS - 1) / COLS, bidiag_w, &p);
    for (int64_t j = k + 1; j < n; j++) {
      w[j] *= beta;
      a[k * n + j] -= w[j];
    }
    s[k] = householder_reflector(n - k - 1, a + k * n + k + 1, u + k + 1, &p.beta_u);
    par_for((m - k - 1 + ROWS - 1) / ROWS, bidiag_rows, &p);
  }
}

/* Eigenvalues of the symmetric tridiagonal matrix with diagonal d [n] and off-diagonal off [n]
 * (off[i] couples i and i+1, off[n-1] is unused), unordered, in place of d; off is destroyed.
 * ST_NUMERIC: no convergence. */
static Status tridiagonal_eigenvalues(int64_t n, double *d, double *off, Error *e) {
  double norm = 0;
  for (int64_t i = 0; i < n; i++) norm = fmax(norm, fmax(fabs(d[i]), i + 1 < n ? fabs(off[i]) : 0));
  /* absolute: what lies below does not move any eigenvalue by more than rounding does */
  const double tiny = 1.1e-16 * norm;
  if (n) off[n - 1] = 0;
  for (int64_t l = 0; l < n; l++)
    for (int it = 0;; it++) {
      int64_t m = l;
      while (m + 1 < n && fabs(off[m]) > tiny) m++;
      if (m == l) break;
      if (it == 60)
        return err_set(e, ST_NUMERIC,
                       "eigenvalues: no convergence after 60 steps; the matrix holds %g", norm);
      /* Wilkinson's shift, then one implicit QL sweep of plane rotations from m up to l. */
      double g = (d[l + 1] - d[l]) / (2 * off[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;
      g = d[m] - d[l] + off[l] / (g + copysign(r, g));
      int64_t i = m - 1;
      for (; i >= l; i--) {
        double f = s * off[i], b = c * off[i];
        off[i + 1] = r = sqrt(f * f + g * g);
        if (r == 0) {
          d[i + 1] -= p;
          off[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        d[i + 1] = g + (p = s * r);
        g = c * r - b;
      }
      if (i >= l) continue;
      d[l] -= p;
      off[l] = g;
      off[m] = 0;
    }
  return ST_OK;
}

/* The singular values of a bidiagonal matrix are the non-negative eigenvalues of the tridiagonal
 * matrix of twice the size with zero diagonal and d1 s1 d2 s2 ... beside it (Golub & Kahan 1965):
 * no square of a singular value is ever formed. */
static Status bidiagonal_values(int64_t n, const double *d, const double *s, double *sv, double *td,
                                double *te, Error *e) {
  memset(td, 0, (size_t)(2 * n) * sizeof *td);
  for (int64_t i = 0; i < n; i++) {
    te[2 * i] = d[i];
    te[2 * i + 1] = i + 1 < n ? s[i] : 0;
  }
  TRY(tridiagonal_eigenvalues(2 * n, td, te, e));
  /* They come in pairs +-sigma: the n largest are the answer. Insertion sort, descending: nearly
   * sorted already. */
  for (int64_t i = 1; i < 2 * n; i++) {
    double x = td[i];
    int64_t j = i;
    for (; j > 0 && td[j - 1] < x; j--) td[j] = td[j - 1];
    td[j] = x;
  }
  for (int64_t i = 0; i < n; i++) sv[i] = fmax(td[i], 0);
  return ST_OK;
}

Status singular_values(int64_t m, int64_t n, double *a, double *sv, Error *e) {
  for (int64_t i = 0; i < m * n; i++)
    if (!isfinite(a[i]))
      return err_set(e, ST_NUMERIC,
                     "singular values: the matrix holds NaN or infinity; look at the features it "
                     "was made from");
  double *t = NULL;
  if (m < n) { /* wide: transpose */
    if (!(t = mem_alloc((size_t)(m * n) * sizeof *t)))
      return err_set(e, ST_NOMEM, "singular values of %lld x %lld: out of memory", (long long)m,
                     (long long)n);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) t[j * m + i] = a[i * n + j];
    a = t;
    int64_t swap = m;
    m = n;
    n = swap;
  }
  Status st = ST_OK;
  double *work = mem_alloc((size_t)(2 * m + 8 * n + 16) * sizeof *work);
  if (!work) {
    st = err_set(e, ST_NOMEM, "singular values of %lld x %lld: out of memory", (long long)m,
                 (long long)n);
    goto done;
  }
  double *d = work + 2 * m + 2 * n, *s = d + n;
  matrix_bidiagonalise(m, n, a, d, s, work);
  st = bidiagonal_values(n, d, s, sv, s + n, s + 3 * n, e);
done:
  mem_free(work);
  mem_free(t);
  return st;
}

Status nuclear_norm(int64_t m, int64_t n, double *a, double *norm, Error *e) {
  int64_t r = PRLX_MIN(m, n);
  *norm = 0;
  double *sv = mem_alloc((size_t)r * sizeof *sv);
  if (!sv) return err_set(e, ST_NOMEM, "nuclear norm: out of memory");
  const Status st = singular_values(m, n, a, sv, e);
  if (st == ST_OK)
    for (int64_t i = r - 1; i >= 0; i--) *norm += sv[i];
  mem_free(sv);
  return st;
}

/* ---- Cholesky with diagonal pivots ---- */
typedef struct Chol {
  int64_t n;
  double *c;
  const double *row;
} Chol;
static void chol_rows(void *ctx, int64_t task, int worker) {
  Chol *p = ctx;
  int64_t i1 = PRLX_MIN((task + 1) * ROWS, p->n);
  for (int64_t i = task * ROWS; i < i1; i++) {
    double *restrict c = p->c + i * p->n;
    const double *restrict f = p->row, fi = f[i];
    if (fi != 0)
      for (int64_t j = 0; j < p->n; j++) c[j] -= fi * f[j];
  }
}

/* Outer-product form: each step takes the largest remaining diagonal element and subtracts its
 * rank-one part, so the order of the columns stays as it is and no permutation has to be undone. */
void psd_factor(int64_t n, double *c, double *f, int64_t *rank) {
  double first = 0;
  for (*rank = 0; *rank < n; (*rank)++) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
      if (c[i * n + i] > c[best * n + best]) best = i;
    double pivot = c[best * n + best];
    if (*rank == 0) first = pivot;
    if (!(pivot > 1e-14 * first) || !(pivot > 0)) break;
    double *row = f + *rank * n, r = 1 / sqrt(pivot);
    for (int64_t j = 0; j < n; j++) row[j] = c[best * n + j] * r;
    Chol p = {n, c, row};
    par_for((n + ROWS - 1) / ROWS, chol_rows, &p);
    for (int64_t j = 0; j < n; j++) c[best * n + j] = c[j * n + best] = 0;
  }
}
