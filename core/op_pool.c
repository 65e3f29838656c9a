/* op_pool.c: max pooling and its two companions. With m(x) the position of the first maximum of every window,
 *   maxpool(x) = x[m],  maxpool_t(dy, x) adds dy at m,  maxpool_gather(v, x) = v[m]:
 * the last two are adjoint in their first operand and piecewise constant in x, so the three are closed under differentiation. */
#include "graph.h"
#include "ops.h"
#include "threads.h"

enum { A_K, A_STRIDE, A_PAD };

static Shape pooled(Shape x, const int32_t *a) {
  return SHAPE4(x.d[0], x.d[1], (x.d[2] + 2 * a[A_PAD] - a[A_K]) / a[A_STRIDE] + 1, (x.d[3] + 2 * a[A_PAD] - a[A_K]) / a[A_STRIDE] + 1);
}
static bool pool_ok(Graph *g, const char *op, Shape x, const int32_t *a) {
  char s[96];
  int k = a[A_K], pad = a[A_PAD];
  if (x.rank == 4 && k >= 1 && a[A_STRIDE] >= 1 && pad >= 0 && 2 * pad <= k && pad < k && x.d[2] + 2 * pad >= k && x.d[3] + 2 * pad >= k) return true;
  graph_fail(g, ST_INVALID, "%s: image %s, window %d, stride %d, padding %d; expected [N,C,H,W] at least as large as the window, padding at most half of it",
             op, shape_str(x, s), k, a[A_STRIDE], pad);
  return false;
}
static void maxpool_shape(Graph *g, const Shape *in, Node *n) {
  if (pool_ok(g, "maxpool", in[0], n->a.i)) n->shape = pooled(in[0], n->a.i);
}
static void maxpool_t_shape(Graph *g, const Shape *in, Node *n) {
  if (!pool_ok(g, "maxpool_t", in[1], n->a.i)) return;
  if (!shape_eq(in[0], pooled(in[1], n->a.i))) { graph_fail(g, ST_INVALID, "maxpool_t: dy does not have the shape of the pooled image"); return; }
  n->shape = in[1];
}
static void maxpool_gather_shape(Graph *g, const Shape *in, Node *n) {
  if (!pool_ok(g, "maxpool_gather", in[1], n->a.i)) return;
  if (!shape_eq(in[0], in[1])) { graph_fail(g, ST_INVALID, "maxpool_gather: v does not have the shape of the image"); return; }
  n->shape = pooled(in[1], n->a.i);
}

typedef struct Pool { const real *x, *v; real *out; int64_t h, w, oh, ow; int k, stride, pad; } Pool;
static Pool pool_of(const Exec *e, int image) {
  const int32_t *a = e->n->a.i;
  Shape x = e->ins[image], o = pooled(x, a);
  return (Pool){e->in[image], e->in[0], e->out, x.d[2], x.d[3], o.d[2], o.d[3], a[A_K], a[A_STRIDE], a[A_PAD]};
}
/* First maximum of the window of output (oy,ox); a NaN counts as larger than anything, so that it is not hidden. */
static inline int64_t argmax(const Pool *p, const real *x, int64_t oy, int64_t ox) {
  int64_t y0 = oy * p->stride - p->pad, x0 = ox * p->stride - p->pad, y1 = PRLX_MIN(y0 + p->k, p->h), x1 = PRLX_MIN(x0 + p->k, p->w);
  y0 = PRLX_MAX(y0, 0);
  x0 = PRLX_MAX(x0, 0);
  int64_t best = y0 * p->w + x0;
  real m = x[best];
  for (int64_t i = y0; i < y1; i++)
    for (int64_t j = x0; j < x1; j++) {
      real v = x[i * p->w + j];
      if (v > m || (v != v && m == m)) { m = v; best = i * p->w + j; }
    }
  return best;
}

/* The common 2x2 windows of VGG, written so that the compiler vectorises. */
static void maxpool2_plane(const Pool *p, const real *restrict x, real *restrict out) {
  for (int64_t oy = 0; oy < p->oh; oy++) {
    const real *a = x + 2 * oy * p->w, *b = a + p->w;
    real *o = out + oy * p->ow;
    for (int64_t i = 0; i < p->ow; i++) {
      real u = a[2 * i], v = a[2 * i + 1], s = b[2 * i], t = b[2 * i + 1];
      u = u >= v ? u : v;
      s = s >= t ? s : t;
      o[i] = u >= s ? u : s;
    }
  }
}
static void maxpool_plane(void *ctx, int64_t i, int worker) {
  const Pool *p = ctx;
  const real *x = p->x + i * p->h * p->w;
  real *out = p->out + i * p->oh * p->ow;
  if (p->k == 2 && p->stride == 2 && p->pad == 0) { maxpool2_plane(p, x, out); return; }
  for (int64_t oy = 0; oy < p->oh; oy++)
    for (int64_t ox = 0; ox < p->ow; ox++) out[oy * p->ow + ox] = x[argmax(p, x, oy, ox)];
}
static void maxpool_cpu(const Exec *e) {
  Pool p = pool_of(e, 0);
  par_for(e->ins[0].d[0] * e->ins[0].d[1], maxpool_plane, &p);
}

static void maxpool_t_plane(void *ctx, int64_t i, int worker) {
  const Pool *p = ctx;
  const real *x = p->x + i * p->h * p->w, *dy = p->v + i * p->oh * p->ow;
  real *out = p->out + i * p->h * p->w;
  for (int64_t j = 0; j < p->h * p->w; j++) out[j] = 0;
  if (p->k == 2 && p->stride == 2 && p->pad == 0) {
    for (int64_t oy = 0; oy < p->oh; oy++)
      for (int64_t ox = 0; ox < p->ow; ox++) {
        const real *q = x + 2 * oy * p->w + 2 * ox;
        int64_t top = q[1] > q[0], bot = q[p->w + 1] > q[p->w], at = q[p->w + bot] > q[top] ? p->w + bot : top;
        out[2 * oy * p->w + 2 * ox + at] = dy[oy * p->ow + ox];
      }
    return;
  }
  for (int64_t oy = 0; oy < p->oh; oy++)
    for (int64_t ox = 0; ox < p->ow; ox++) out[argmax(p, x, oy, ox)] += dy[oy * p->ow + ox];
}
static void maxpool_t_cpu(const Exec *e) {
  Pool p = pool_of(e, 1);
  par_for(e->ins[1].d[0] * e->ins[1].d[1], maxpool_t_plane, &p);
}

static void maxpool_gather_plane(void *ctx, int64_t i, int worker) {
  const Pool *p = ctx;
  const real *x = p->x + i * p->h * p->w, *v = p->v + i * p->h * p->w;
  real *out = p->out + i * p->oh * p->ow;
  for (int64_t oy = 0; oy < p->oh; oy++)
    for (int64_t ox = 0; ox < p->ow; ox++) out[oy * p->ow + ox] = v[argmax(p, x, oy, ox)];
}
static void maxpool_gather_cpu(const Exec *e) {
  Pool p = pool_of(e, 1);
  par_for(e->ins[1].d[0] * e->ins[1].d[1], maxpool_gather_plane, &p);
}

static void maxpool_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  dx[0] = g_op(g, OP_maxpool_t, 2, (Val[]){dy, n->in[0]}, &n->a);
}
static void maxpool_t_grad(Graph *g, const Node *n, Val y, Val v, unsigned need, Val *dx) {
  if (need & 1) dx[0] = g_op(g, OP_maxpool_gather, 2, (Val[]){v, n->in[1]}, &n->a);
}
static void maxpool_gather_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  if (need & 1) dx[0] = g_op(g, OP_maxpool_t, 2, (Val[]){dy, n->in[1]}, &n->a);
}

const OpRow op_maxpool = {.name = "maxpool", .order = ORDER_ANY, .shape = maxpool_shape, .grad = maxpool_grad, .cpu = maxpool_cpu};
const OpRow op_maxpool_t = {.name = "maxpool_t", .order = ORDER_ANY, .shape = maxpool_t_shape, .grad = maxpool_t_grad, .cpu = maxpool_t_cpu};
const OpRow op_maxpool_gather = {.name = "maxpool_gather", .order = ORDER_ANY, .shape = maxpool_gather_shape, .grad = maxpool_gather_grad,
  .cpu = maxpool_gather_cpu};

/* x [N,C,H,W] -> [N,C,floor((H+2 pad-k)/stride)+1,..]; padding counts as -infinity. */
Val g_maxpool(Graph *g, Val x, int k, int stride, int pad) {
  Attr a = {{k, stride, pad}, {0}};
  return g_op(g, OP_maxpool, 1, &x, &a);
}

/* Average over the part of the window inside the image: a box filter, and where padding is used a division by the count. */
Val g_avgpool(Graph *g, Val x, int k, int stride, int pad) {
  Shape s = graph_shape(g, x);
  real ones[64];
  if (k < 1 || k > COUNT_OF(ones)) return graph_fail(g, ST_INVALID, "avgpool: window %d; expected 1 to %d", k, COUNT_OF(ones));
  if (!x || !pool_ok(g, "avgpool", s, (int32_t[]){k, stride, pad})) return 0;
  for (int i = 0; i < k; i++) ones[i] = 1;
  UpFirDn p = {.upx = 1, .upy = 1, .downx = stride, .downy = stride, .padx0 = pad, .padx1 = pad, .pady0 = pad, .pady1 = pad, .flip = 1,
    .gain = pad ? 1 : 1.0 / ((double)k * k)};
  Val y = g_upfirdn2d(g, x, g_const(g, SHAPE1(k), ones), &p);
  Shape o = graph_shape(g, y);
  if (!pad || !y) return y;
  real *inv = mem_alloc((size_t)(o.d[2] * o.d[3]) * sizeof(real));
  if (!inv) return graph_fail(g, ST_NOMEM, "avgpool: out of memory");
  for (int64_t i = 0; i < o.d[2] * o.d[3]; i++) {
    int64_t y0 = i / o.d[3] * stride - pad, x0 = i % o.d[3] * stride - pad;
    int64_t ny = PRLX_MIN(y0 + k, s.d[2]) - PRLX_MAX(y0, 0), nx = PRLX_MIN(x0 + k, s.d[3]) - PRLX_MAX(x0, 0);
    inv[i] = (real)(1.0 / (double)(nx * ny));
  }
  Val r = g_mul(g, y, g_const(g, SHAPE4(1, 1, o.d[2], o.d[3]), inv));
  mem_free(inv);
  return r;
}
