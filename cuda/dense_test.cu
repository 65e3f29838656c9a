/* dense_test.cu: the part of the self-test that is of doubles (cuda/dense.cu): small matrices
 * against loops of the host, factors against what they are factors of, singular values against
 * matrices that were made of them. What does not agree is not used: the host computes. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "cuda/device.h"
#include "cuda/device_impl.h"

/* Of the largest number of a result. */
#define DENSE_ALLOWED 1e-12
enum { DT_ROWS = 70, DT_COLUMNS = 9, DT_DEPTH = 20, DT_LONG = 4100, DT_HIGH = 44, DT_WIDE = 40 };

/* What one case needs, on the device and here; freed together. */
typedef struct DenseTest {
  Backend *b;
  double *here;  /* DT_SIZE of them, twice: given, wanted */
  void *room[4]; /* the same each */
  double worst;
  int cases;
} DenseTest;
enum { DT_SIZE = DT_LONG * DT_COLUMNS };

/* Between -1 and 1, the same in each run, exact as float. */
static double test_number(int64_t i) { return (double)((i * 7919 + 13) % 103) / 64 - 0.796875; }

static void test_judge(DenseTest *t, const double *got, const double *want, int64_t n) {
  double most = 0, worst = 0;
  for (int64_t i = 0; i < n; i++) {
    const double d = fabs(got[i] - want[i]);
    most = fmax(most, fabs(want[i]));
    if (!(d <= worst)) worst = d;
    if (d != d) worst = INFINITY;
  }
  worst /= DENSE_ALLOWED * fmax(most, 1e-300);
  if (!(worst <= t->worst)) t->worst = worst;
  t->cases++;
}

/* ---- products and the sums of KID ---- */

static DenseOperand test_operand(const DenseTest *t, int k, int64_t rows, int64_t depth,
                                 bool centred) {
  DenseOperand o = {};
  o.data = t->room[k];
  o.rows = rows;
  o.row_step = depth;
  o.k_step = 1;
  o.centre = centred ? (const double *)t->room[2] : NULL;
  return o;
}

/* x minus a centre times y minus it, or their distances in pieces. */
static Status test_product(DenseTest *t, int64_t m, int64_t n, int64_t depth, bool squares,
                           Error *e) {
  double *got = t->here, *want = t->here + DT_SIZE;
  DenseProduct p = {};
  p.left = test_operand(t, 0, m, depth, !squares);
  p.right = test_operand(t, 1, n, depth, !squares);
  p.depth = depth;
  p.scale = 0.5;
  p.squares = p.split = squares;
  p.out = (double *)t->room[3];
  for (int64_t i = 0; i < m * n; i++) {
    want[i] = 0;
    for (int64_t k = 0; k < depth; k++) {
      const double x = test_number(i / n * depth + k), y = test_number(i % n * depth + k + 5),
                   c = squares ? 0 : test_number(k + 3);
      want[i] += 0.5 * (squares ? (x - y) * (x - y) : (x - c) * (y - c));
    }
  }
  TRY(t->b->dense->product(t->b, &p, e));
  TRY(t->b->download(t->b, got, p.out, (size_t)(m * n) * sizeof *got, e));
  test_judge(t, got, want, m * n);
  return ST_OK;
}

/* Of the products that test_product left, as of two sets. */
static Status test_cubes(DenseTest *t, Error *e) {
  double *got = t->here, *want = t->here + DT_SIZE, *const p = got + DT_ROWS;
  DenseCubes q = {};
  q.product = (const double *)t->room[3];
  q.rows = DT_ROWS;
  q.columns = DT_COLUMNS;
  q.dims = DT_DEPTH;
  q.first = -1;
  q.row = (double *)t->room[0];
  TRY(t->b->download(t->b, p, q.product, DT_ROWS * DT_COLUMNS * sizeof *p, e));
  for (int i = 0; i < DT_ROWS; i++) {
    want[i] = 0;
    for (int j = 0; j < DT_COLUMNS; j++) {
      const double x = p[i * DT_COLUMNS + j] / DT_DEPTH + 1;
      want[i] += x * x * x;
    }
  }
  TRY(t->b->dense->cubes(t->b, &q, e));
  TRY(t->b->download(t->b, got, q.row, DT_ROWS * sizeof *got, e));
  test_judge(t, got, want, DT_ROWS);
  return ST_OK;
}

static Status test_products(DenseTest *t, Error *e) {
  float *x = (float *)(void *)t->here, *y = x + DT_SIZE;
  double *centre = t->here + DT_SIZE;
  for (int64_t i = 0; i < DT_SIZE; i++) {
    x[i] = (float)test_number(i);
    y[i] = (float)test_number(i + 5);
  }
  for (int64_t i = 0; i < DT_DEPTH; i++) centre[i] = test_number(i + 3);
  TRY(t->b->upload(t->b, t->room[0], x, DT_SIZE * sizeof *x, e));
  TRY(t->b->upload(t->b, t->room[1], y, DT_SIZE * sizeof *y, e));
  TRY(t->b->upload(t->b, t->room[2], centre, DT_DEPTH * sizeof *centre, e));
  TRY(test_product(t, 3, DT_COLUMNS, DT_LONG, true, e));
  TRY(test_product(t, DT_ROWS, DT_COLUMNS, DT_DEPTH, false, e));
  return test_cubes(t, e);
}

/* ---- factors and singular values ---- */

/* A covariance of rank 12 of 20. */
static Status test_factor(DenseTest *t, Error *e) {
  enum { N = DT_DEPTH, RANK = 12 };
  double *got = t->here, *want = t->here + DT_SIZE, *const f = got + N * N;
  int64_t rank = 0;
  for (int i = 0; i < N * N; i++) {
    want[i] = 0;
    for (int k = 0; k < RANK; k++)
      want[i] += test_number(i / N * 31 + k) * test_number(i % N * 31 + k);
  }
  TRY(t->b->upload(t->b, t->room[0], want, N * N * sizeof *want, e));
  TRY(t->b->dense->factor(t->b, N, (double *)t->room[0], (double *)t->room[1], &rank, e));
  if (rank < 0 || rank > N) rank = 0;
  TRY(t->b->download(t->b, f, t->room[1], N * N * sizeof *f, e));
  for (int i = 0; i < N * N; i++) {
    got[i] = 0;
    for (int64_t k = 0; k < rank; k++) got[i] += f[k * N + i / N] * f[k * N + i % N];
  }
  test_judge(t, got, want, N * N);
  return ST_OK;
}

/* a [m,n] <- (I - 2 v v^T / v^T v) a over its rows, or its columns from the right. */
static void test_reflect(double *a, int m, int n, bool columns, int seed) {
  double v[DT_HIGH], size = 0;
  const int len = columns ? n : m;
  for (int i = 0; i < len; i++) {
    v[i] = test_number(i * 17 + seed);
    size += v[i] * v[i];
  }
  for (int j = 0; j < (columns ? m : n); j++) {
    double dot = 0;
    for (int i = 0; i < len; i++) dot += v[i] * a[columns ? j * n + i : i * n + j];
    for (int i = 0; i < len; i++) a[columns ? j * n + i : i * n + j] -= 2 * dot / size * v[i];
  }
}

/* Two matrices of known values, 0.3, 0.6, ... and twice those. */
static Status test_values(DenseTest *t, Error *e) {
  enum { EACH = DT_HIGH * DT_WIDE };
  double *a = t->here, *want = t->here + DT_SIZE, got[2 * DT_WIDE];
  memset(a, 0, 2 * EACH * sizeof *a);
  for (int k = 0; k < 2; k++) {
    for (int i = 0; i < DT_WIDE; i++)
      a[k * EACH + i * (DT_WIDE + 1)] = want[k * DT_WIDE + i] = 0.3 * (i + 1) * (k + 1);
    for (int r = 0; r < 4; r++) test_reflect(a + k * EACH, DT_HIGH, DT_WIDE, r % 2, 5 * k + r);
  }
  TRY(t->b->upload(t->b, t->room[0], a, 2 * EACH * sizeof *a, e));
  TRY(t->b->dense->singular_values(t->b, 2, DT_HIGH, DT_WIDE, (double *)t->room[0], got, e));
  test_judge(t, got, want, 2 * DT_WIDE);
  return ST_OK;
}

static Status test_all(DenseTest *t, Error *e) {
  if (!t->here) return err_set(e, ST_NOMEM, "cuda: out of memory for the self-test");
  for (int k = 0; k < 4; k++) TRY(t->b->alloc(t->b, DT_SIZE * sizeof(double), &t->room[k], e));
  TRY(test_products(t, e));
  TRY(test_factor(t, e));
  return test_values(t, e);
}

Status cuda_dense_test(Backend *b, CudaTested *out, Error *e) {
  DenseTest t = {};
  t.b = b;
  t.here = (double *)mem_alloc(2 * DT_SIZE * sizeof(double));
  const Status s = test_all(&t, e);
  for (int k = 0; k < 4; k++) b->release(b, t.room[k]);
  mem_free(t.here);
  *out = (CudaTested){};
  out->kind = "doubles";
  out->cases = t.cases;
  out->worst = t.worst;
  if (s != ST_OK || t.worst <= 1) return s;
  snprintf(out->text, sizeof out->text, "off by %g times what rounding allows", t.worst);
  out->rung = RUNG_HOST;
  out->worst = 0;
  b->dense = NULL;
  return ST_OK;
}
