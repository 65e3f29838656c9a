/* op_pool.c: max pooling and its two companions. With m(x) the position of the first maximum of
 * every window,
 *   maxpool(x) = x[m],  maxpool_t(dy, x) adds dy at m,  maxpool_gather(v, x) = v[m]:
 * the last two are adjoint in their first operand and piecewise constant in x, so the three are
 * closed under differentiation. */
#include <math.h>
#include "core/graph.h"
#include "core/ops.h"
#include "core/threads.h"

static Shape pool_shape(Shape x, const PoolAttr *a) {
  return SHAPE4(x.dim[0], x.dim[1], (x.dim[2] + 2 * a->pad - a->window) / a->stride + 1,
                (x.dim[3] + 2 * a->pad - a->window) / a->stride + 1);
}

static bool pool_ok(Graph *g, const char *op, Shape x, const PoolAttr *a) {
  char s[96];
  int k = a->window, pad = a->pad;
  if (x.rank == 4 && k >= 1 && a->stride >= 1 && pad >= 0 && 2 * pad <= k && pad < k &&
      x.dim[2] + 2 * pad >= k && x.dim[3] + 2 * pad >= k)
    return true;
  graph_fail(g, ST_INVALID,
             "%s: image %s, window %d, stride %d, padding %d; expected [N,C,H,W] at least as large "
             "as the window, padding at most half of it",
             op, shape_str(x, s), k, a->stride, pad);
  return false;
}

static void maxpool_shape(Graph *g, const Shape *in, Node *n) {
  if (pool_ok(g, "maxpool", in[0], &n->attr.pool)) n->shape = pool_shape(in[0], &n->attr.pool);
}

static void maxpool_t_shape(Graph *g, const Shape *in, Node *n) {
  if (!pool_ok(g, "maxpool_t", in[1], &n->attr.pool)) return;
  if (!shape_eq(in[0], pool_shape(in[1], &n->attr.pool))) {
    graph_fail(g, ST_INVALID, "maxpool_t: dy does not have the shape of the pooled image");
    return;
  }
  n->shape = in[1];
}

static void maxpool_gather_shape(Graph *g, const Shape *in, Node *n) {
  if (!pool_ok(g, "maxpool_gather", in[1], &n->attr.pool)) return;
  if (!shape_eq(in[0], in[1])) {
    graph_fail(g, ST_INVALID, "maxpool_gather: v does not have the shape of the image");
    return;
  }
  n->shape = pool_shape(in[1], &n->attr.pool);
}

typedef struct Pool {
  const real *x;
  const real *v;
  real *out;
  real *rows;
  int64_t h;
  int64_t w;
  int64_t oh;
  int64_t ow;
  int k;
  int stride;
  int pad;
} Pool;
static Pool pool_of(const Exec *e, int image) {
  const PoolAttr *a = &e->node->attr.pool;
  Shape x = e->ins[image], o = pool_shape(x, a);
  return (Pool){e->in[image], e->in[0], e->out,    NULL,      x.dim[2], x.dim[3],
                o.dim[2],     o.dim[3], a->window, a->stride, a->pad};
}

/* First maximum of the window of output (oy,ox); a NaN counts as larger than anything, so that it
 * is not hidden. */
static inline int64_t pool_argmax(const Pool *p, const real *x, int64_t oy, int64_t ox) {
  int64_t y0 = oy * p->stride - p->pad, x0 = ox * p->stride - p->pad,
          y1 = PRLX_MIN(y0 + p->k, p->h), x1 = PRLX_MIN(x0 + p->k, p->w);
  y0 = PRLX_MAX(y0, 0);
  x0 = PRLX_MAX(x0, 0);
  int64_t best = y0 * p->w + x0;
  real m = x[best];
  for (int64_t i = y0; i < y1; i++)
    for (int64_t j = x0; j < x1; j++) {
      real v = x[i * p->w + j];
      if (v > m || (v != v && m == m)) {
        m = v;
        best = i * p->w + j;
      }
    }
  return best;
}

/* max that keeps a NaN of either side. Plain selects, so that the loops below vectorise. */
static inline real pool_max2(real m, real v) { return v > m || v != v ? v : m; }

/* The values need no positions: maximum over the rows of the window into one row buffer, then over
 * its columns. */
static inline __attribute__((always_inline)) void max_columns(const real *restrict t,
                                                              real *restrict out, int64_t n, int k,
                                                              int stride) {
  for (int64_t i = 0; i < n; i++) {
    real m = t[i * stride];
    for (int j = 1; j < k; j++) m = pool_max2(m, t[i * stride + j]);
    out[i] = m;
  }
}

static int64_t row_len(int64_t w, int pad) { return (w + 2 * pad + 15) / 16 * 16; }

static void maxpool_plane(void *ctx, int64_t i, int worker) {
  const Pool *p = ctx;
  real *t = p->rows + worker * row_len(p->w, p->pad), *restrict mid = t + p->pad;
  for (int j = 0; j < p->pad; j++) t[j] = t[p->pad + p->w + j] = -(real)INFINITY;
  for (int64_t oy = 0; oy < p->oh; oy++) {
    int64_t y0 = PRLX_MAX(oy * p->stride - p->pad, 0),
            y1 = PRLX_MIN(oy * p->stride - p->pad + p->k, p->h);
    const real *restrict x = p->x + (i * p->h + y0) * p->w;
    for (int64_t j = 0; j < p->w; j++) mid[j] = x[j];
    for (int64_t y = y0 + 1; y < y1; y++) {
      x += p->w;
      for (int64_t j = 0; j < p->w; j++) mid[j] = pool_max2(mid[j], x[j]);
    }
    real *out = p->out + (i * p->oh + oy) * p->ow;
    if (p->k == 2 && p->stride == 2)
      max_columns(t, out, p->ow, 2, 2);
    else if (p->k == 3 && p->stride == 2)
      max_columns(t, out, p->ow, 3, 2);
    else if (p->k == 3 && p->stride == 1)
      max_columns(t, out, p->ow, 3, 1);
    else
      max_columns(t, out, p->ow, p->k, p->stride);
  }
}

static size_t maxpool_scratch(const Node *n, const Shape *in) {
  return MAX_WORKERS * (size_t)row_len(in[0].dim[3], n->attr.pool.pad) * sizeof(real);
}

static void maxpool_cpu(const Exec *e) {
  Pool p = pool_of(e, 0);
  p.rows = e->scratch;
  par_for(e->ins[0].dim[0] * e->ins[0].dim[1], maxpool_plane, &p);
}

/* The common 2x2 windows of VGG as selects instead of a scatter. */
static void maxpool2_t_rows(const real *restrict a, const real *restrict b, const real *restrict dy,
                            real *restrict oa, real *restrict ob, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    real p = a[2 * i], q = a[2 * i + 1], r = b[2 * i], s = b[2 * i + 1], d = dy[i];
    real top = q > p ? q : p, bottom = s > r ? s : r, dt = bottom > top ? 0 : d,
         db = bottom > top ? d : 0;
    oa[2 * i] = q > p ? 0 : dt;
    oa[2 * i + 1] = q > p ? dt : 0;
    ob[2 * i] = s > r ? 0 : db;
    ob[2 * i + 1] = s > r ? db : 0;
  }
}

static void maxpool_t_plane(void *ctx, int64_t i, int worker) {
  const Pool *p = ctx;
  const real *x = p->x + i * p->h * p->w, *dy = p->v + i * p->oh * p->ow;
  real *out = p->out + i * p->h * p->w;
  if (p->k == 2 && p->stride == 2 && p->pad == 0) {
    for (int64_t oy = 0; oy < p->oh; oy++) {
      int64_t r = 2 * oy * p->w;
      maxpool2_t_rows(x + r, x + r + p->w, dy + oy * p->ow, out + r, out + r + p->w, p->ow);
      if (p->w & 1) out[r + p->w - 1] = out[r + 2 * p->w - 1] = 0;
    }
    if (p->h & 1)
      for (int64_t j = 0; j < p->w; j++) out[(p->h - 1) * p->w + j] = 0;
    return;
  }
  for (int64_t j = 0; j < p->h * p->w; j++) out[j] = 0;
  for (int64_t oy = 0; oy < p->oh; oy++)
    for (int64_t ox = 0; ox < p->ow; ox++) out[pool_argmax(p, x, oy, ox)] += dy[oy * p->ow + ox];
}

static void maxpool_t_cpu(const Exec *e) {
  Pool p = pool_of(e, 1);
  par_for(e->ins[1].dim[0] * e->ins[1].dim[1], maxpool_t_plane, &p);
}

static void maxpool_gather_plane(void *ctx, int64_t i, int worker) {
  const Pool *p = ctx;
  const real *x = p->x + i * p->h * p->w, *v = p->v + i * p->h * p->w;
  real *out = p->out + i * p->oh * p->ow;
  for (int64_t oy = 0; oy < p->oh; oy++)
    for (int64_t ox = 0; ox < p->ow; ox++) out[oy * p->ow + ox] = v[pool_argmax(p, x, oy, ox)];
}

static void maxpool_gather_cpu(const Exec *e) {
  Pool p = pool_of(e, 1);
  par_for(e->ins[1].dim[0] * e->ins[1].dim[1], maxpool_gather_plane, &p);
}

static void maxpool_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_op(g, OP_maxpool_t, 2, (Val[]){dy, n->in[0]}, &n->attr);
}

static void maxpool_t_grad(Graph *g, const Node *n, Val y, Val v, unsigned need, Val *dx) {
  if (need & 1) dx[0] = g_op(g, OP_maxpool_gather, 2, (Val[]){v, n->in[1]}, &n->attr);
}

static void maxpool_gather_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  if (need & 1) dx[0] = g_op(g, OP_maxpool_t, 2, (Val[]){dy, n->in[1]}, &n->attr);
}

const OpRow op_maxpool = {.name = "maxpool",
                          .order = ORDER_ANY,
                          .attr_bytes = sizeof(PoolAttr),
                          .shape = maxpool_shape,
                          .grad = maxpool_grad,
                          .scratch = maxpool_scratch,
                          .cpu = maxpool_cpu};
const OpRow op_maxpool_t = {.name = "maxpool_t",
                            .order = ORDER_ANY,
                            .attr_bytes = sizeof(PoolAttr),
                            .shape = maxpool_t_shape,
                            .grad = maxpool_t_grad,
                            .cpu = maxpool_t_cpu};
const OpRow op_maxpool_gather = {.name = "maxpool_gather",
                                 .order = ORDER_ANY,
                                 .attr_bytes = sizeof(PoolAttr),
                                 .shape = maxpool_gather_shape,
                                 .grad = maxpool_gather_grad,
                                 .cpu = maxpool_gather_cpu};

/* x [N,C,H,W] -> [N,C,floor((H+2 pad-k)/stride)+1,..]; padding counts as -infinity. */
Val g_maxpool(Graph *g, Val x, int k, int stride, int pad) {
  Attr a = {.pool = {.window = k, .stride = stride, .pad = pad}};
  return g_op(g, OP_maxpool, 1, &x, &a);
}

/* Average over the part of the window inside the image: a box filter, and where padding is used a
 * division by the count. */
Val g_avgpool(Graph *g, Val x, int k, int stride, int pad) {
  Shape s = graph_shape(g, x);
  real ones[64];
  if (k < 1 || k > COUNT_OF(ones))
    return graph_fail(g, ST_INVALID, "avgpool: window %d; expected 1 to %d", k, COUNT_OF(ones));
  if (!x || !pool_ok(g, "avgpool", s, &(PoolAttr){k, stride, pad})) return 0;
  for (int i = 0; i < k; i++) ones[i] = 1;
  UpFirDn p = {.upx = 1,
               .upy = 1,
               .downx = stride,
               .downy = stride,
               .padx0 = pad,
               .padx1 = pad,
               .pady0 = pad,
               .pady1 = pad,
               .flip = 1,
               .gain = pad ? 1 : 1.0 / ((double)k * k)};
  Val y = g_upfirdn2d(g, x, g_const(g, SHAPE1(k), ones), &p);
  Shape o = graph_shape(g, y);
  if (!pad || !y) return y;
  real *inv = mem_alloc((size_t)(o.dim[2] * o.dim[3]) * sizeof(real));
  if (!inv) return graph_fail(g, ST_NOMEM, "avgpool: out of memory");
  for (int64_t i = 0; i < o.dim[2] * o.dim[3]; i++) {
    int64_t y0 = i / o.dim[3] * stride - pad, x0 = i % o.dim[3] * stride - pad;
    int64_t ny = PRLX_MIN(y0 + k, s.dim[2]) - PRLX_MAX(y0, 0),
            nx = PRLX_MIN(x0 + k, s.dim[3]) - PRLX_MAX(x0, 0);
    inv[i] = (real)(1.0 / (double)(nx * ny));
  }
  Val r = g_mul(g, y, g_const(g, SHAPE4(1, 1, o.dim[2], o.dim[3]), inv));
  mem_free(inv);
  return r;
}
