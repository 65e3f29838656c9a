/* ondevice.c: see ondevice.h. */
#include "models/math/ondevice.h"
#include <math.h>
#include <string.h>
#include "core/threads.h"

bool device_has_dense(const Backend *on) { return on && on->dense; }

/* ---- points ---- */

/* What a message of the backend lacks: what to do. */
static Status device_room(Backend *on, size_t bytes, void **out, Error *e) {
  Error inner = {0};
  const Status s = on->alloc(on, bytes, out, &inner);
  return s == ST_OK ? ST_OK
                    : err_set(e, s, "%.700s; use fewer images, a smaller --batch or --device cpu",
                              inner.msg);
}

Status device_points(DevicePoints *p, Backend *on, int64_t n, int64_t d, const float *x,
                     const double *centre, Error *e) {
  const size_t bytes = (size_t)(n * d) * sizeof *x, more = (size_t)d * sizeof *centre;
  *p = (DevicePoints){.on = on, .n = n, .d = d};
  Status s = device_room(on, bytes, &p->x, e);
  if (s == ST_OK) s = on->upload(on, p->x, x, bytes, e);
  if (s == ST_OK && centre) s = device_room(on, more, &p->centre, e);
  if (s == ST_OK && centre) s = on->upload(on, p->centre, centre, more, e);
  if (s != ST_OK) device_points_free(p);
  return s;
}

void device_points_free(DevicePoints *p) {
  if (p->on) p->on->release(p->on, p->x);
  if (p->on) p->on->release(p->on, p->centre);
  *p = (DevicePoints){0};
}

/* Rows `first` to `first + n` of points. */
static DenseOperand point_rows(const DevicePoints *p, int64_t first, int64_t n) {
  return (DenseOperand){.p = (const float *)p->x + first * p->d,
                        .rows = n,
                        .row_step = p->d,
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
  const int64_t rows = block_rows(a->n, b->n);
  DenseProduct p = *how;
  void *room;
  TRY(device_room(on, (size_t)(rows * b->n) * sizeof *c, &room, e));
  Status s = ST_OK;
  p.b = point_rows(b, 0, b->n);
  p.k = a->d;
  p.c = room;
  p.same = a == b && rows == a->n;
  for (int64_t i = 0; i < a->n && s == ST_OK; i += rows) {
    const int64_t m = PRLX_MIN(rows, a->n - i);
    p.a = point_rows(a, i, m);
    s = on->dense->product(on, &p, e);
    if (s != ST_OK) break;
    s = on->download(on, c + i * b->n, room, (size_t)(m * b->n) * sizeof *c, e);
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
  TRY(device_room(on, (size_t)(rows * b->n) * sizeof(double), &r->p, e));
  TRY(device_room(on, (size_t)(2 * rows) * sizeof(double), &r->row, e));
  /* zeroed by alloc */
  if (columns) TRY(device_room(on, (size_t)b->n * sizeof(double), &r->column, e));
  if (!group) return ST_OK;
  TRY(device_room(on, (size_t)b->n * sizeof *group, &r->group, e));
  return on->upload(on, r->group, group, (size_t)b->n * sizeof *group, e);
}

static Status cube_rows(const CubeRoom *r, const DevicePoints *a, const DevicePoints *b,
                        int64_t first, int64_t m, double *row, double *within, Error *e) {
  Backend *on = a->on;
  double *const dev = r->row;
  DenseCubes q = {.p = r->p,
                  .m = m,
                  .n = b->n,
                  .d = a->d,
                  .first = a == b ? first : -1,
                  .row = dev,
                  .column = r->column,
                  .within = r->group ? dev + m : NULL,
                  .group = r->group};
  const DenseProduct p = {
      .a = point_rows(a, first, m), .b = point_rows(b, 0, b->n), .k = a->d, .scale = 1, .c = r->p};
  TRY(on->dense->product(on, &p, e));
  TRY(on->dense->cubes(on, &q, e));
  TRY(on->download(on, row + first, dev, (size_t)m * sizeof *row, e));
  return r->group ? on->download(on, within + first, dev + m, (size_t)m * sizeof *row, e) : ST_OK;
}

Status device_cubes(const DevicePoints *a, const DevicePoints *b, const int64_t *group, double *row,
                    double *column, double *within, Error *e) {
  Backend *on = a->on;
  const int64_t rows = block_rows(a->n, b->n);
  CubeRoom r;
  double *sum = column ? mem_alloc((size_t)b->n * sizeof *sum) : NULL;
  Status s = !column || sum ? cube_room(&r, a, b, rows, group, column != NULL, e)
                            : err_set(e, ST_NOMEM, "KID: out of memory; use fewer images");
  if (column && !sum) return s;
  for (int64_t i = 0; i < a->n && s == ST_OK; i += rows)
    s = cube_rows(&r, a, b, i, PRLX_MIN(rows, a->n - i), row, within, e);
  if (s == ST_OK && column) s = on->download(on, sum, r.column, (size_t)b->n * sizeof *sum, e);
  for (int64_t j = 0; j < b->n && s == ST_OK && column; j++) column[j] += sum[j];
  on->release(on, r.p);
  on->release(on, r.row);
  on->release(on, r.column);
  on->release(on, r.group);
  mem_free(sum);
  return s;
}

/* ---- singular values ---- */

typedef struct Norms {
  int64_t n;
  const double *ds; /* [count,2,n] */
  double *norm;
  Status *status;
} Norms;

static void norm_of(void *ctx, int64_t i, int worker) {
  const Norms *q = ctx;
  const double *ds = q->ds + i * 2 * q->n;
  q->status[i] = bidiagonal_norm(q->n, ds, ds + q->n, &q->norm[i], NULL);
}

/* a, on the device, [count,m,n] -> norms: the bidiagonal form there, its singular values here. */
static Status norms_of(Backend *on, int64_t count, int64_t m, int64_t n, double *a, double *norm,
                       Error *e) {
  double *ds = mem_alloc((size_t)(count * 2 * n) * sizeof *ds);
  Status *each = mem_alloc((size_t)count * sizeof *each), s;
  if (!ds || !each) {
    s = err_set(e, ST_NOMEM, "singular values of %lld x %lld: out of memory", (long long)m,
                (long long)n);
    goto done;
  }
  s = on->dense->bidiagonal(on, count, m, n, a, ds, e);
  if (s != ST_OK) goto done;
  Norms q = {n, ds, norm, each};
  par_for(count, norm_of, &q);
  for (int64_t i = 0; i < count && s == ST_OK; i++) s = each[i];
  if (s != ST_OK)
    err_set(e, s,
            "singular values on the device: no convergence; the features are too large or "
            "the device fails; see prlx check, or use --device cpu");
done:
  mem_free(ds);
  mem_free(each);
  return s;
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
  double *a = mem_alloc((size_t)(high * wide) * sizeof *a);
  if (!a) return err_set(e, ST_NOMEM, "singular values: out of memory");
  const size_t bytes = (size_t)(high * wide) * sizeof *a;
  Status s = device_room(on, (size_t)count * bytes, &room, e);
  /* rows and columns of zeros add singular values of zero */
  for (int i = 0; i < count && s == ST_OK; i++) {
    memset(a, 0, bytes);
    for (int64_t r = 0; r < m[i]; r++)
      memcpy(a + r * wide, k[i] + r * n[i], (size_t)n[i] * sizeof *a);
    s = on->upload(on, (char *)room + (size_t)i * bytes, a, bytes, e);
  }
  mem_free(a);
  if (s == ST_OK) s = norms_of(on, count, high, wide, room, norm, e);
  on->release(on, room);
  return s;
}

/* ---- covariances ---- */

/* c [d,d] on the device, of which the diagonal is wanted, too. */
static Status covariance_of(const DevicePoints *p, double scale, double *c, double *trace,
                            Error *e) {
  Backend *on = p->on;
  const size_t bytes = (size_t)(p->d * p->d) * sizeof *c;
  const DenseOperand x = {
      .p = p->x, .by_row = true, .rows = p->d, .row_step = 1, .k_step = p->d, .centre = p->centre};
  const DenseProduct q = {.a = x, .b = x, .k = p->n, .scale = scale, .same = true, .c = c};
  double *host = mem_alloc(bytes);
  if (!host)
    return err_set(e, ST_NOMEM, "out of memory for a covariance of %lld x %lld", (long long)p->d,
                   (long long)p->d);
  Status s = on->dense->product(on, &q, e);
  if (s == ST_OK) s = on->download(on, host, c, bytes, e);
  *trace = 0;
  for (int64_t i = 0; i < p->d && s == ST_OK; i++) *trace += host[i * (p->d + 1)];
  mem_free(host);
  return s;
}

/* Of few points: the sum of the squares, which is the trace of their inner products. */
static Status trace_of(const DevicePoints *p, double scale, double *trace, Error *e) {
  double *g = mem_alloc((size_t)(p->n * p->n) * sizeof *g);
  if (!g) return err_set(e, ST_NOMEM, "out of memory for a covariance; use fewer images");
  const Status s = device_products(p, p, g, e);
  *trace = 0;
  for (int64_t i = 0; i < p->n && s == ST_OK; i++) *trace += g[i * (p->n + 1)] * scale;
  mem_free(g);
  return s;
}

Status device_factor(DeviceFactor *f, const DevicePoints *p, double over, Error *e) {
  Backend *on = p->on;
  const size_t bytes = (size_t)(p->d * p->d) * sizeof(double);
  void *c = NULL;
  *f = (DeviceFactor){.centred = p, .rank = p->n, .scale = 1 / sqrt(over)};
  if (p->n <= p->d) return trace_of(p, 1 / over, &f->trace, e);
  Status s = device_room(on, bytes, &c, e);
  if (s == ST_OK) s = device_room(on, bytes, &f->f, e);
  if (s == ST_OK) s = covariance_of(p, 1 / over, c, &f->trace, e);
  if (s == ST_OK) s = on->dense->factor(on, p->d, c, f->f, &f->rank, e);
  on->release(on, c);
  if (s != ST_OK) device_factor_free(f);
  return s;
}

void device_factor_free(DeviceFactor *f) {
  if (f->f) f->centred->on->release(f->centred->on, f->f);
  *f = (DeviceFactor){0};
}

static DenseOperand factor_rows(const DeviceFactor *f) {
  if (!f->f) return point_rows(f->centred, 0, f->rank);
  return (DenseOperand){
      .p = f->f, .is_double = true, .rows = f->rank, .row_step = f->centred->d, .k_step = 1};
}

Status device_factors_norm(const DeviceFactor *a, const DeviceFactor *b, double *norm, Error *e) {
  Backend *on = a->centred->on;
  const DeviceFactor *high = a->rank >= b->rank ? a : b, *low = high == a ? b : a;
  void *k;
  *norm = 0;
  if (low->rank == 0) return ST_OK;
  TRY(device_room(on, (size_t)(high->rank * low->rank) * sizeof(double), &k, e));
  const DenseProduct p = {.a = factor_rows(high),
                          .b = factor_rows(low),
                          .k = a->centred->d,
                          .scale = (a->f ? 1 : a->scale) * (b->f ? 1 : b->scale),
                          .c = k};
  Status s = on->dense->product(on, &p, e);
  if (s == ST_OK) s = norms_of(on, 1, high->rank, low->rank, k, norm, e);
  on->release(on, k);
  return s;
}
