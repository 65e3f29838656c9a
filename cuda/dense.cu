/* dense.cu: matrices of doubles (core/dense.h): products, the kernel sums of KID, Cholesky with
 * pivots, singular values by Householder's bidiagonal form and bisection. What features are
 * compared by is small beside the networks that make them, and its results are differences of large
 * numbers: it stays in double, on any precision of the backend. A card that multiplies doubles at
 * half or at a sixty-fourth of the rate of float does 5000 x 5000 x 2048 of them in milliseconds or
 * in tenths of a second.
 *
 * The steps are those of models/math/linalg.c; each sum has an order that the shapes decide, so
 * results are the same bits in each run, and within rounding those of the host. */
#include <string.h>
#include "cuda/device_impl.h"

enum { DN_TILE = 64, DN_K = 16, DN_THREADS = 256, DN_PIECE = 2048, DN_ROWS = 256 };

static int64_t dense_blocks(int64_t n, int64_t per) { return (n + per - 1) / per; }

/* The room of one call, kept for the next one: no allocation per matrix. */
static Status dense_room(Backend *b, size_t bytes, void **out, Error *e) {
  CudaBackend *q = of(b);
  if (bytes > q->dense_bytes) {
    b->release(b, q->dense_room);
    q->dense_room = NULL;
    q->dense_bytes = 0;
    TRY(b->alloc(b, bytes, &q->dense_room, e));
    q->dense_bytes = bytes;
  }
  *out = q->dense_room;
  return ST_OK;
}

/* ---- products ---- */

static __device__ double dense_at(const DenseOperand &o, int64_t row, int64_t k, int64_t end) {
  if (row >= o.rows || k >= end) return 0;
  const int64_t at = row * o.row_step + k * o.k_step;
  const double v = o.is_double ? ((const double *)o.data)[at] : (double)((const float *)o.data)[at];
  return o.centre ? v - o.centre[o.by_row ? row : k] : v;
}

/* DN_K columns of DN_TILE rows, each thread four numbers that lie apart, its neighbours beside
 * them in memory. */
static __device__ __forceinline__ void dense_fetch(const DenseOperand &o, int64_t row0, int64_t k0,
                                                   int64_t end, double (*to)[DN_TILE + 1]) {
  for (int i = threadIdx.x; i < DN_TILE * DN_K; i += DN_THREADS) {
    const int k = o.k_step == 1 ? i % DN_K : i / DN_TILE,
              row = o.k_step == 1 ? i / DN_K : i % DN_TILE;
    to[k][row] = dense_at(o, row0 + row, k0 + k, end);
  }
}

/* Tile (y, x) of the result, piece z of its sums; out [pieces, m, n]. */
static __global__ void __launch_bounds__(DN_THREADS)
    dense_product(const __grid_constant__ DenseProduct p, double *out, int64_t piece) {
  SHARED2(double, as, DN_K, DN_TILE + 1);
  SHARED2(double, bs, DN_K, DN_TILE + 1);
  const int64_t m0 = blockIdx.y * (int64_t)DN_TILE, n0 = blockIdx.x * (int64_t)DN_TILE,
                first = blockIdx.z * piece, end = first + piece < p.depth ? first + piece : p.depth;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
  double acc[4][4] = {};
  if (p.same && n0 < m0) return;
  for (int64_t k = first; k < end; k += DN_K) {
    dense_fetch(p.left, m0, k, end, as);
    dense_fetch(p.right, n0, k, end, bs);
    __syncthreads();
    for (int i = 0; i < DN_K; i++)
      for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++) {
          const double x = as[i][ty + 16 * r], y = bs[i][tx + 16 * c], d = x - y;
          acc[r][c] += p.squares ? d * d : x * y;
        }
    __syncthreads();
  }
  out += blockIdx.z * p.left.rows * p.right.rows;
  for (int r = 0; r < 4; r++)
    for (int c = 0; c < 4; c++) {
      const int64_t row = m0 + ty + 16 * r, col = n0 + tx + 16 * c;
      if (row >= p.left.rows || col >= p.right.rows || (p.same && col < row)) continue;
      out[row * p.right.rows + col] = acc[r][c] * p.scale;
      if (p.same) out[col * p.right.rows + row] = acc[r][c] * p.scale;
    }
}

/* The pieces of each sum, added in order. */
static __global__ void __launch_bounds__(DN_THREADS)
    dense_pieces(const double *part, int64_t pieces, int64_t n, double *out) {
  const int64_t i = blockIdx.x * (int64_t)DN_THREADS + threadIdx.x;
  double sum = 0;
  if (i >= n) return;
  for (int64_t z = 0; z < pieces; z++) sum += part[z * n + i];
  out[i] = sum;
}

static Status dense_multiply(Backend *b, const DenseProduct *p, Error *e) {
  const CudaCtx *c = &of(b)->c;
  const int64_t m = p->left.rows, n = p->right.rows,
                pieces = p->split ? dense_blocks(p->depth, DN_PIECE) : 1;
  void *part = p->out;
  if (m == 0 || n == 0) return ST_OK;
  if (dense_blocks(m, DN_TILE) > 65535 || pieces > 65535)
    return err_set(e, ST_INVALID,
                   "cuda: a product of %lld rows over %lld numbers; at most 4194240 "
                   "rows and 134215680 numbers",
                   (long long)m, (long long)p->depth);
  if (pieces > 1) TRY(dense_room(b, (size_t)(pieces * m * n) * sizeof(double), &part, e));
  const dim3 grid((unsigned)dense_blocks(n, DN_TILE), (unsigned)dense_blocks(m, DN_TILE),
                  (unsigned)pieces);
  LAUNCH(dense_product, grid, DN_THREADS, 0, c->stream, *p, (double *)part,
         pieces > 1 ? (int64_t)DN_PIECE : p->depth);
  if (pieces > 1)
    LAUNCH(dense_pieces, (unsigned)dense_blocks(m * n, DN_THREADS), DN_THREADS, 0, c->stream,
           (const double *)part, pieces, m * n, p->out);
  return cuda_check("products of doubles", NULL, e);
}

/* ---- sums of a block ---- */

/* Of all its threads, to all of them, in the order of a tree. */
static __device__ double dense_sum(double x, double *shared) {
  shared[threadIdx.x] = x;
  __syncthreads();
  for (int k = DN_THREADS / 2; k > 0; k /= 2) {
    if (threadIdx.x < (unsigned)k) shared[threadIdx.x] += shared[threadIdx.x + k];
    __syncthreads();
  }
  const double sum = shared[0];
  __syncthreads();
  return sum;
}

/* NaN where one is NaN, which fmax would pass over. */
static __device__ __forceinline__ double dense_larger(double a, double b) {
  return a > b || a != a ? a : b;
}

static __device__ double dense_most(double x, double *shared) {
  shared[threadIdx.x] = x;
  __syncthreads();
  for (int k = DN_THREADS / 2; k > 0; k /= 2) {
    if (threadIdx.x < (unsigned)k)
      shared[threadIdx.x] = dense_larger(shared[threadIdx.x], shared[threadIdx.x + k]);
    __syncthreads();
  }
  const double most = shared[0];
  __syncthreads();
  return most;
}

/* ---- the kernel of KID ---- */

static __device__ __forceinline__ double dense_cube(const DenseCubes &q, int64_t i, int64_t j) {
  if (q.first >= 0 && q.first + i == j) return 0;
  const double t = q.product[i * q.columns + j] / (double)q.dims + 1;
  return t * t * t;
}

/* A block for each row. */
static __global__ void __launch_bounds__(DN_THREADS) dense_cube_rows(DenseCubes q) {
  SHARED(double, shared, DN_THREADS);
  const int64_t i = blockIdx.x;
  double all = 0, own = 0;
  for (int64_t j = threadIdx.x; j < q.columns; j += DN_THREADS) {
    const double v = dense_cube(q, i, j);
    all += v;
    if (q.within && q.group[q.first + i] == q.group[j]) own += v;
  }
  all = dense_sum(all, shared);
  own = dense_sum(own, shared);
  if (threadIdx.x > 0) return;
  q.row[i] = all;
  if (q.within) q.within[i] = own;
}

/* A thread for each column. */
static __global__ void __launch_bounds__(DN_THREADS) dense_cube_columns(DenseCubes q) {
  const int64_t j = blockIdx.x * (int64_t)DN_THREADS + threadIdx.x;
  if (j >= q.columns) return;
  double sum = q.column[j];
  for (int64_t i = 0; i < q.rows; i++) sum += dense_cube(q, i, j);
  q.column[j] = sum;
}

static Status dense_cubes(Backend *b, const DenseCubes *q, Error *e) {
  const CudaCtx *c = &of(b)->c;
  if (q->rows == 0 || q->columns == 0) return ST_OK;
  LAUNCH(dense_cube_rows, (unsigned)q->rows, DN_THREADS, 0, c->stream, *q);
  if (q->column)
    LAUNCH(dense_cube_columns, (unsigned)dense_blocks(q->columns, DN_THREADS), DN_THREADS, 0,
           c->stream, *q);
  return cuda_check("kernel sums", NULL, e);
}

/* ---- Cholesky with diagonal pivots ---- */

/* Where the factorisation stands: known to the device alone until its end. */
typedef struct Pivot {
  int64_t best;
  int64_t rank; /* -1: it goes on */
  double first;
} Pivot;

/* Step k: the largest diagonal element left, the lowest of equal ones; row k of the factor. */
static __global__ void __launch_bounds__(DN_THREADS)
    dense_pivot(const double *c, double *f, int64_t n, int64_t k, Pivot *state) {
  SHARED(double, shared, DN_THREADS);
  SHARED(int64_t, at, DN_THREADS);
  int64_t mine = threadIdx.x < n ? threadIdx.x : 0;
  if (state->rank >= 0) return;
  for (int64_t i = threadIdx.x; i < n; i += DN_THREADS)
    if (c[i * n + i] > c[mine * n + mine]) mine = i;
  shared[threadIdx.x] = c[mine * n + mine];
  at[threadIdx.x] = mine;
  __syncthreads();
  for (int half = DN_THREADS / 2; half > 0; half /= 2) {
    const unsigned other = threadIdx.x + half;
    if (threadIdx.x < (unsigned)half &&
        (shared[other] > shared[threadIdx.x] ||
         (shared[other] == shared[threadIdx.x] && at[other] < at[threadIdx.x]))) {
      shared[threadIdx.x] = shared[other];
      at[threadIdx.x] = at[other];
    }
    __syncthreads();
  }
  const double pivot = shared[0], first = k == 0 ? pivot : state->first;
  const int64_t best = at[0];
  const bool done = !(pivot > 1e-14 * first) || !(pivot > 0);
  __syncthreads();
  if (threadIdx.x == 0) *state = Pivot{best, done ? k : -1, first};
  if (done) return;
  for (int64_t j = threadIdx.x; j < n; j += DN_THREADS)
    f[k * n + j] = c[best * n + j] * (1 / sqrt(pivot));
}

static __global__ void __launch_bounds__(DN_THREADS)
    dense_downdate(double *c, const double *f, int64_t n, int64_t k, const Pivot *state) {
  const int64_t j = blockIdx.x * (int64_t)DN_THREADS + threadIdx.x, i = blockIdx.y,
                best = state->best;
  if (state->rank >= 0 || j >= n) return;
  const bool gone = i == best || j == best;
  c[i * n + j] = gone ? 0 : c[i * n + j] - f[k * n + i] * f[k * n + j];
}

static Status dense_factor(Backend *b, int64_t n, double *c, double *f, int64_t *rank, Error *e) {
  const cudaStream_t stream = of(b)->c.stream;
  const Pivot begin = {0, -1, 0};
  Pivot end;
  void *state;
  *rank = 0;
  if (n < 1 || n > 65535)
    return err_set(e, ST_INVALID, "cuda: a covariance of %lld dimensions; expected 1 to 65535",
                   (long long)n);
  TRY(dense_room(b, sizeof begin, &state, e));
  TRY(b->upload(b, state, &begin, sizeof begin, e));
  const dim3 grid((unsigned)dense_blocks(n, DN_THREADS), (unsigned)n);
  for (int64_t k = 0; k < n; k++) {
    LAUNCH(dense_pivot, 1, DN_THREADS, 0, stream, (const double *)c, f, n, k, (Pivot *)state);
    LAUNCH(dense_downdate, grid, DN_THREADS, 0, stream, c, (const double *)f, n, k,
           (const Pivot *)state);
  }
  TRY(cuda_check("Cholesky", NULL, e));
  TRY(b->download(b, &end, state, sizeof end, e));
  *rank = end.rank < 0 ? n : end.rank;
  return ST_OK;
}

/* ---- singular values: bidiagonal form ---- */

/* Step k of `count` matrices a [m,n] at once. Each has its part of the room. */
typedef struct Bidiag {
  double *a;
  double *v;    /* [m] left reflection */
  double *u;    /* [n] right reflection */
  double *w;    /* [n] */
  double *part; /* [blocks of rows, n] */
  double *beta; /* [2] of v, of u */
  double *ds;   /* [2,n] the result */
  int64_t m;
  int64_t n;
  int64_t k;
} Bidiag;

static __device__ __forceinline__ Bidiag dense_mine(Bidiag q, int64_t i) {
  q.a += i * q.m * q.n;
  q.v += i * q.m;
  q.u += i * q.n;
  q.w += i * q.n;
  q.part += i * ((q.m + DN_ROWS - 1) / DN_ROWS) * q.n;
  q.beta += i * 2;
  q.ds += i * 2 * q.n;
  return q;
}

/* x [n], its elements `step` apart -> the reflection I - beta v v^T (v[0] = 1) that maps it to
 * (result, 0, ..., 0), by all threads of a block. */
static __device__ double dense_reflector(int64_t n, const double *x, int64_t step, double *v,
                                         double *beta, double *shared) {
  double most = 0, sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += DN_THREADS)
    most = dense_larger(most, fabs(x[i * step]));
  const double scale = dense_most(most, shared);
  for (int64_t i = threadIdx.x; i < n && scale != 0; i += DN_THREADS)
    sum += x[i * step] / scale * (x[i * step] / scale);
  const double norm = scale * sqrt(dense_sum(sum, shared)), x0 = x[0],
               alpha = x0 > 0 ? -norm : norm, v0 = x0 - alpha;
  for (int64_t i = threadIdx.x; i < n; i += DN_THREADS)
    v[i] = i == 0 ? 1 : scale != 0 ? x[i * step] / v0 : 0;
  if (threadIdx.x == 0) *beta = scale != 0 ? -v0 / alpha : 0;
  return scale != 0 ? alpha : 0;
}

/* Column k. A block for each matrix. */
static __global__ void __launch_bounds__(DN_THREADS) bidiag_column(Bidiag all) {
  SHARED(double, shared, DN_THREADS);
  const Bidiag q = dense_mine(all, blockIdx.x);
  const double d =
      dense_reflector(q.m - q.k, q.a + q.k * q.n + q.k, q.n, q.v + q.k, q.beta, shared);
  if (threadIdx.x == 0) q.ds[q.k] = d;
}

/* A^T v, right of column k: 32 columns and DN_ROWS rows of one matrix for each block, a row of
 * threads for every eighth row. */
static __global__ void __launch_bounds__(DN_THREADS) bidiag_products(Bidiag all) {
  SHARED2(double, shared, 8, 32);
  const Bidiag q = dense_mine(all, blockIdx.z);
  const int lane = threadIdx.x % 32, line = threadIdx.x / 32;
  const int64_t j = q.k + 1 + blockIdx.x * (int64_t)32 + lane, i0 = blockIdx.y * (int64_t)DN_ROWS;
  double sum = 0;
  for (int64_t i = i0 + line; i < i0 + DN_ROWS && i < q.m && j < q.n; i += 8)
    if (i >= q.k) sum += q.v[i] * q.a[i * q.n + j];
  shared[line][lane] = sum;
  __syncthreads();
  if (line > 0 || j >= q.n) return;
  for (int r = 1; r < 8; r++) sum += shared[r][lane];
  q.part[blockIdx.y * q.n + j] = sum;
}

/* Row k after the left reflection, and its own reflection. A block for each matrix. */
static __global__ void __launch_bounds__(DN_THREADS) bidiag_row(Bidiag all) {
  SHARED(double, shared, DN_THREADS);
  const Bidiag q = dense_mine(all, blockIdx.x);
  const int64_t parts = (q.m + DN_ROWS - 1) / DN_ROWS, left = q.k + 1;
  double *const row = q.a + q.k * q.n;
  for (int64_t j = left + threadIdx.x; j < q.n; j += DN_THREADS) {
    double w = 0;
    for (int64_t z = 0; z < parts; z++) w += q.part[z * q.n + j];
    q.w[j] = w *= q.beta[0];
    row[j] -= w;
  }
  __syncthreads();
  const double s = dense_reflector(q.n - left, row + left, 1, q.u + left, q.beta + 1, shared);
  if (threadIdx.x == 0) q.ds[q.n + q.k] = s;
}

/* The rows below k, both reflections: a warp for each. */
static __global__ void __launch_bounds__(DN_THREADS) bidiag_rows(Bidiag all) {
  const Bidiag q = dense_mine(all, blockIdx.z);
  const int lane = threadIdx.x % 32;
  const int64_t i = q.k + 1 + blockIdx.x * (int64_t)8 + threadIdx.x / 32, left = q.k + 1;
  double *const row = q.a + i * q.n;
  if (i >= q.m) return;
  const double v = q.v[i];
  double t = 0;
  for (int64_t j = left + lane; j < q.n; j += 32) t += (row[j] - v * q.w[j]) * q.u[j];
  for (int k = 16; k > 0; k /= 2) t += __shfl_xor_sync(0xffffffffu, t, k);
  t *= q.beta[1];
  for (int64_t j = left + lane; j < q.n; j += 32) row[j] = row[j] - v * q.w[j] - t * q.u[j];
}

static void bidiag_step(const CudaCtx *c, const Bidiag &q, unsigned count) {
  LAUNCH(bidiag_column, count, DN_THREADS, 0, c->stream, q);
  if (q.k + 1 == q.n) return;
  const dim3 products((unsigned)dense_blocks(q.n - q.k - 1, 32),
                      (unsigned)dense_blocks(q.m, DN_ROWS), count),
      rows((unsigned)dense_blocks(q.m - q.k - 1, 8), 1, count);
  LAUNCH(bidiag_products, products, DN_THREADS, 0, c->stream, q);
  LAUNCH(bidiag_row, count, DN_THREADS, 0, c->stream, q);
  LAUNCH(bidiag_rows, rows, DN_THREADS, 0, c->stream, q);
}

/* ---- singular values: bisection ---- */

/* The tridiagonal matrix of twice the size with zeros on its diagonal and d1 s1 d2 s2 .. beside it
 * has the eigenvalues +-sigma (Golub & Kahan 1965). How many of them are below x is the number of
 * negative pivots of its LDL^T (Sturm's sequence). */
static __device__ int64_t values_below(const double *ds, int64_t n, double x, double tiny) {
  int64_t count = 1;
  double pivot = -x;
  for (int64_t i = 0; i < 2 * n - 1; i++) {
    const double off = ds[i % 2 * n + i / 2];
    pivot = -x - off * off / pivot;
    /* none is zero, and one that would be counts */
    if (fabs(pivot) < tiny) pivot = -tiny;
    count += pivot < 0;
  }
  return count;
}

enum { DN_HALVINGS = 54 };

/* A thread for each value: all of them at once, none waits for another as in QL. */
static __global__ void __launch_bounds__(DN_THREADS)
    bidiag_values(const double *ds, int64_t n, double *values) {
  const int64_t k = blockIdx.x * (int64_t)DN_THREADS + threadIdx.x;
  double most = 0, sum = 0;
  if (k >= n) return;
  ds += blockIdx.y * 2 * n;
  for (int64_t i = 0; i < 2 * n; i++) {
    most = fmax(most, fabs(ds[i]));
    sum += ds[i];
  }
  /* no sum of two neighbours is larger; below `tiny` a pivot is rounding */
  double low = 0, high = 2 * most;
  const double tiny = 1e-300 + 1e-290 * most;
  for (int i = 0; i < DN_HALVINGS; i++) {
    const double x = (low + high) / 2;
    if (values_below(ds, n, x, tiny) <= n + k)
      low = x;
    else
      high = x;
  }
  values[blockIdx.y * n + k] = sum - sum == 0 ? (low + high) / 2 : NAN;
}

static void bidiag_all(const CudaCtx *c, Bidiag q, unsigned count, double *values) {
  const dim3 grid((unsigned)dense_blocks(q.n, DN_THREADS), count);
  for (; q.k < q.n; q.k++) bidiag_step(c, q, count);
  LAUNCH(bidiag_values, grid, DN_THREADS, 0, c->stream, (const double *)q.ds, q.n, values);
}

static Status dense_values(Backend *b, int64_t count, int64_t m, int64_t n, double *a,
                           double *values, Error *e) {
  const int64_t parts = dense_blocks(m, DN_ROWS), each = m + 2 * n + parts * n + 2 + 3 * n;
  void *room;
  if (count < 1 || n < 1) return ST_OK;
  if (m < n || count > 65535 || parts > 65535)
    return err_set(e, ST_INVALID,
                   "cuda: %lld matrices of %lld x %lld; expected at most 65535, no wider than high",
                   (long long)count, (long long)m, (long long)n);
  TRY(dense_room(b, (size_t)(count * each) * sizeof(double), &room, e));
  Bidiag q = {a, (double *)room, NULL, NULL, NULL, NULL, NULL, m, n, 0};
  q.u = q.v + count * m;
  q.w = q.u + count * n;
  q.part = q.w + count * n;
  q.beta = q.part + count * parts * n;
  q.ds = q.beta + count * 2;
  double *const found = q.ds + count * 2 * n;
  TRY(b->zero(b, q.ds, (size_t)(count * 2 * n) * sizeof(double), e));
  bidiag_all(&of(b)->c, q, (unsigned)count, found);
  TRY(cuda_check("singular values", NULL, e));
  return b->download(b, values, found, (size_t)(count * n) * sizeof(double), e);
}

static const DenseOps dense_ops = {dense_multiply, dense_cubes, dense_factor, dense_values};

void cuda_dense_functions(Backend *b) { b->dense = &dense_ops; }

void cuda_dense_free(Backend *b) {
  b->release(b, of(b)->dense_room);
  of(b)->dense_room = NULL;
}
