/* ondevice.c: see ondevice.h. */
#include "models/math/ondevice.h"
#include <math.h>
#include <string.h>

bool device_has_dense(const Backend *on) { return on && on->dense; }

/* ---- points ---- */

/* Room on the device with a copy of what is here. */
static Status send_copy(Backend *on, const void *x, size_t bytes, void **out, Error *e) {
  TRY(on->alloc(on, bytes, out, e));
  return on->upload(on, *out, x, bytes, e);
}

static Status send_points(DevicePoints *p, const float *x, const double *centre, Error *e) {
  TRY(send_copy(p->on, x, (size_t)(p->count * p->dims) * sizeof *x, &p->data, e));
  return centre ? send_copy(p->on, centre, (size_t)p->dims * sizeof *centre, &p->centre, e) : ST_OK;
}

Status device_points(DevicePoints *p, Backend *on, int64_t n, int64_t d, const float *x,
                     const double *centre, Error *e) {
  *p = (DevicePoints){.on = on, .count = n, .dims = d};
  const Status s = send_points(p, x, centre, e);
  if (s != ST_OK) device_points_free(p);
  return s;
}

void device_points_free(DevicePoints *p) {
  if (p->on) p->on->release(p->on, p->data);
  if (p->on) p->on->release(p->on, p->centre);
  *p = (DevicePoints){0};
}

/* Rows `first` to `first + n` of points. */
static DenseOperand point_rows(const DevicePoints *p, int64_t first, int64_t n) {
  return (DenseOperand){.data = (const float *)p->data + first * p->dims,
                        .rows = n,
                        .row_step = p->dims,
                        .k_step = 1,
                        .centre = p->centre};
}

/* Rows of a result of n columns that one block takes. */
static int64_t block_rows(int64_t m, int64_t n) {
  return PRLX_MAX(1, PRLX_MIN(m, DEVICE_BLOCK / ((int64_t)sizeof(double) * PRLX_MAX(n, 1))));
}

/* `how`: scale, squares, split. */
static Status blocks_of(const DevicePoints *a, const DevicePoints *b, const DenseProduct *how,
                        double *c, Error *e) {
  Backend *on = a->on;
  const int64_t rows = block_rows(a->count, b->count);
  DenseProduct p = *how;
  void *room;
  TRY(on->alloc(on, (size_t)(rows * b->count) * sizeof *c, &room, e));
  Status s = ST_OK;
  p.right = point_rows(b, 0, b->count);
  p.depth = a->dims;
  p.out = room;
  p.same = a == b && rows == a->count;
  for (int64_t i = 0; i < a->count && s == ST_OK; i += rows) {
    const int64_t m = PRLX_MIN(rows, a->count - i);
    p.left = point_rows(a, i, m);
    s = on->dense->product(on, &p, e);
    if (s != ST_OK) break;
    s = on->download(on, c + i * b->count, room, (size_t)(m * b->count) * sizeof *c, e);
  }
  on->release(on, room);
  return s;
}

Status device_products(const DevicePoints *a, const DevicePoints *b, double *c, Error *e) {
  return blocks_of(a, b, &(DenseProduct){.scale = 1}, c, e);
}

Status device_distances(const DevicePoints *a, const DevicePoints *b, double *c, Error *e) {
  return blocks_of(a, b, &(DenseProduct){.scale = 1, .squares = true, .split = true}, c, e);
}

/* ---- kernel sums ---- */

/* On the device: products of a block of rows, and the sums. */
typedef struct CubeRoom {
  void *p;
  void *row; /* row, within: [rows] each */
  void *column;
  void *group;
} CubeRoom;

static Status cube_room(CubeRoom *r, const DevicePoints *a, const DevicePoints *b, int64_t rows,
                        const int64_t *group, bool columns, Error *e) {
  Backend *on = a->on;
  *r = (CubeRoom){0};
  TRY(on->alloc(on, (size_t)(rows * b->count) * sizeof(double), &r->p, e));
  TRY(on->alloc(on, (size_t)(2 * rows) * sizeof(double), &r->row, e));
  /* zeroed by alloc */
  if (columns) TRY(on->alloc(on, (size_t)b->count * sizeof(double), &r->column, e));
  if (!group) return ST_OK;
  TRY(on->alloc(on, (size_t)b->count * sizeof *group, &r->group, e));
  return on->upload(on, r->group, group, (size_t)b->count * sizeof *group, e);
}

static Status cube_rows(const CubeRoom *r, const DevicePoints *a, const DevicePoints *b,
                        int64_t first, int64_t m, double *row, double *within, Error *e) {
  Backend *on = a->on;
  double *const dev = r->row;
  DenseCubes q = {.product = r->p,
                  .rows = m,
                  .columns = b->count,
                  .dims = a->dims,
                  .first = a == b ? first : -1,
                  .row = dev,
                  .column = r->column,
                  .within = r->group ? dev + m : NULL,
                  .group = r->group};
  const DenseProduct p = {.left = point_rows(a, first, m),
                          .right = point_rows(b, 0, b->count),
                          .depth = a->dims,
                          .scale = 1,
                          .out = r->p};
  TRY(on->dense->product(on, &p, e));
  TRY(on->dense->cubes(on, &q, e));
  TRY(on->download(on, row + first, dev, (size_t)m * sizeof *row, e));
  return r->group ? on->download(on, within + first, dev + m, (size_t)m * sizeof *row, e) : ST_OK;
}

/* sum [b.count]: of this call, room; column NULL: not wanted. */
static Status cubes_in_room(const CubeRoom *r, const DevicePoints *a, const DevicePoints *b,
                            int64_t rows, double *row, double *column, double *sum, double *within,
                            Error *e) {
  for (int64_t i = 0; i < a->count; i += rows)
    TRY(cube_rows(r, a, b, i, PRLX_MIN(rows, a->count - i), row, within, e));
  if (!column) return ST_OK;
  TRY(a->on->download(a->on, sum, r->column, (size_t)b->count * sizeof *sum, e));
  for (int64_t j = 0; j < b->count; j++) column[j] += sum[j];
  return ST_OK;
}

Status device_cubes(const DevicePoints *a, const DevicePoints *b, const int64_t *group, double *row,
                    double *column, double *within, Error *e) {
  Backend *on = a->on;
  const int64_t rows = block_rows(a->count, b->count);
  CubeRoom r = {0};
  double *sum = mem_alloc((size_t)b->count * sizeof *sum);
  Status s = sum ? cube_room(&r, a, b, rows, group, column != NULL, e)
                 : err_set(e, ST_NOMEM, "KID: out of memory; use fewer images");
  if (s != ST_OK) goto done;
  s = cubes_in_room(&r, a, b, rows, row, column, sum, within, e);
done:
  on->release(on, r.p);
  on->release(on, r.row);
  on->release(on, r.column);
  on->release(on, r.group);
  mem_free(sum);
  return s;
}

/* ---- singular values ---- */

/* a, on the device, [count,m,n] -> norm [count] */
static Status norms_of(Backend *on, int64_t count, int64_t m, int64_t n, double *a, double *norm,
                       Error *e) {
  double *values = mem_alloc((size_t)(count * n) * sizeof *values);
  if (!values)
    return err_set(e, ST_NOMEM, "singular values of %lld x %lld: out of memory", (long long)m,
                   (long long)n);
  Status s = on->dense->singular_values(on, count, m, n, a, values, e);
  for (int64_t i = 0; i < count && s == ST_OK; i++) {
    norm[i] = 0;
    for (int64_t k = 0; k < n; k++) norm[i] += values[i * n + k];
    if (!isfinite(norm[i]))
      s = err_set(e, ST_NUMERIC,
                  "singular values: the matrix holds NaN or infinity; look at the features it was "
                  "made from, or use --device cpu");
  }
  mem_free(values);
  return s;
}

/* Matrices of several sizes as those of one: rows and columns of zeros add singular values of
 * zero. one [high,wide]: room. */
static Status send_padded(Backend *on, int count, const int64_t *m, const int64_t *n,
                          double *const *k, int64_t high, int64_t wide, double *one, double *to,
                          Error *e) {
  const size_t bytes = (size_t)(high * wide) * sizeof *one;
  for (int i = 0; i < count; i++) {
    memset(one, 0, bytes);
    for (int64_t r = 0; r < m[i]; r++)
      memcpy(one + r * wide, k[i] + r * n[i], (size_t)n[i] * sizeof *one);
    TRY(on->upload(on, to + i * high * wide, one, bytes, e));
  }
  return ST_OK;
}

Status device_nuclear_norms(Backend *on, int count, const int64_t *m, const int64_t *n,
                            double *const *k, double *norm, Error *e) {
  int64_t high = 1, wide = 1;
  void *room = NULL;
  for (int i = 0; i < count; i++) {
    high = PRLX_MAX(high, m[i]);
    wide = PRLX_MAX(wide, n[i]);
  }
  high = PRLX_MAX(high, wide);
  const size_t bytes = (size_t)(high * wide) * sizeof(double);
  double *one = mem_alloc(bytes);
  Status s = one ? on->alloc(on, (size_t)count * bytes, &room, e)
                 : err_set(e, ST_NOMEM, "singular values: out of memory");
  if (s != ST_OK) goto done;
  s = send_padded(on, count, m, n, k, high, wide, one, room, e);
  if (s != ST_OK) goto done;
  s = norms_of(on, count, high, wide, room, norm, e);
done:
  on->release(on, room);
  mem_free(one);
  return s;
}

/* ---- covariances ---- */

/* c [d,d] on the device; host [d,d]: room for its diagonal to come back. */
static Status covariance_of(const DevicePoints *p, double scale, double *c, double *host,
                            double *trace, Error *e) {
  Backend *on = p->on;
  const DenseOperand x = {.data = p->data,
                          .by_row = true,
                          .rows = p->dims,
                          .row_step = 1,
                          .k_step = p->dims,
                          .centre = p->centre};
  const DenseProduct q = {
      .left = x, .right = x, .depth = p->count, .scale = scale, .same = true, .out = c};
  TRY(on->dense->product(on, &q, e));
  TRY(on->download(on, host, c, (size_t)(p->dims * p->dims) * sizeof *c, e));
  *trace = 0;
  for (int64_t i = 0; i < p->dims; i++) *trace += host[i * (p->dims + 1)];
  return ST_OK;
}

/* Of few points: the sum of the squares, which is the trace of their inner products. */
static Status trace_of(const DevicePoints *p, double scale, double *trace, Error *e) {
  double *g = mem_alloc((size_t)(p->count * p->count) * sizeof *g);
  if (!g) return err_set(e, ST_NOMEM, "out of memory for a covariance; use fewer images");
  const Status s = device_products(p, p, g, e);
  *trace = 0;
  for (int64_t i = 0; i < p->count && s == ST_OK; i++) *trace += g[i * (p->count + 1)] * scale;
  mem_free(g);
  return s;
}

static Status factor_by_cholesky(DeviceFactor *f, double scale, void **c, double *host, Error *e) {
  const DevicePoints *p = f->centred;
  const size_t bytes = (size_t)(p->dims * p->dims) * sizeof(double);
  TRY(p->on->alloc(p->on, bytes, c, e));
  TRY(p->on->alloc(p->on, bytes, &f->data, e));
  TRY(covariance_of(p, scale, *c, host, &f->trace, e));
  return p->on->dense->factor(p->on, p->dims, *c, f->data, &f->rank, e);
}

Status device_factor(DeviceFactor *f, const DevicePoints *p, double over, Error *e) {
  void *c = NULL;
  *f = (DeviceFactor){.centred = p, .rank = p->count, .scale = 1 / sqrt(over)};
  if (p->count <= p->dims) return trace_of(p, 1 / over, &f->trace, e);
  double *host = mem_alloc((size_t)(p->dims * p->dims) * sizeof *host);
  const Status s = host ? factor_by_cholesky(f, 1 / over, &c, host, e)
                        : err_set(e, ST_NOMEM, "out of memory for a covariance of %lld x %lld",
                                  (long long)p->dims, (long long)p->dims);
  p->on->release(p->on, c);
  mem_free(host);
  if (s != ST_OK) device_factor_free(f);
  return s;
}

void device_factor_free(DeviceFactor *f) {
  if (f->data) f->centred->on->release(f->centred->on, f->data);
  *f = (DeviceFactor){0};
}

static DenseOperand factor_rows(const DeviceFactor *f) {
  if (!f->data) return point_rows(f->centred, 0, f->rank);
  return (DenseOperand){.data = f->data,
                        .is_double = true,
                        .rows = f->rank,
                        .row_step = f->centred->dims,
                        .k_step = 1};
}

Status device_factors_norm(const DeviceFactor *a, const DeviceFactor *b, double *norm, Error *e) {
  Backend *on = a->centred->on;
  const DeviceFactor *high = a->rank >= b->rank ? a : b, *low = high == a ? b : a;
  void *k;
  *norm = 0;
  if (low->rank == 0) return ST_OK;
  TRY(on->alloc(on, (size_t)(high->rank * low->rank) * sizeof(double), &k, e));
  const DenseProduct p = {.left = factor_rows(high),
                          .right = factor_rows(low),
                          .depth = a->centred->dims,
                          .scale = (a->data ? 1 : a->scale) * (b->data ? 1 : b->scale),
                          .out = k};
  Status s = on->dense->product(on, &p, e);
  if (s != ST_OK) goto done;
  s = norms_of(on, 1, high->rank, low->rank, k, norm, e);
done:
  on->release(on, k);
  return s;
}
