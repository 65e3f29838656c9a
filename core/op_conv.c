/* op_conv.c: rows of conv2d, conv2d_dx, conv2d_dw and conv_prep: shapes, gradients, and the choice
 * of algorithm.
 *
 * With C(x,w) the correlation, X(dy,w) its adjoint in x and W(x,dy) its adjoint in w, <dy, C(x,w)>
 * is one trilinear form of (x, w, dy); every gradient of the three is another of the three. */
#include <stdlib.h>
#include <string.h>
#include "core/conv.h"
#include "core/conv_impl.h"
#include "core/ops.h"

/* Attr: i[0] stride, i[1] pad, i[2..10] n ci h w co kh kw oh ow, i[11] kind; conv_prep: i[12]
 * Winograd tile side or 0; i[13] batch for which the algorithm is chosen. */
ConvGeom conv_geom(const Node *n) {
  const int32_t *i = n->a.i;
  return (ConvGeom){i[11], i[0], i[1], i[2], i[3],  i[4], i[5],
                    i[6],  i[7], i[8], i[9], i[10], i[13]};
}

static void set_geom(Graph *g, Node *n, ConvKind kind, const int64_t v[9]) {
  for (int k = 0; k < 9; k++) n->a.i[2 + k] = (int32_t)v[k];
  n->a.i[11] = (int32_t)kind;
  n->a.i[13] = graph_is_batch_invariant(g) ? 1 : n->a.i[2];
}

/* Output side of a correlation; 0 or less: impossible. */
static int64_t out_side(int64_t n, int64_t k, int64_t stride, int64_t pad) {
  return n + 2 * pad < k ? 0 : (n + 2 * pad - k) / stride + 1;
}

static bool conv_ok(Graph *g, const char *name, const Node *n, Shape x, Shape w, Shape dy) {
  char a[96], b[96], c[96];
  const int64_t s = n->a.i[0], p = n->a.i[1];
  bool ok = x.rank == 4 && w.rank == 4 && dy.rank == 4 && s >= 1 && p >= 0 && x.d[0] == dy.d[0] &&
            x.d[1] == w.d[1] && dy.d[1] == w.d[0];
  for (int k = 0; ok && k < 4; k++) ok = x.d[k] > 0 && w.d[k] > 0 && dy.d[k] > 0;
  for (int k = 2; ok && k < 4; k++) ok = dy.d[k] == out_side(x.d[k], w.d[k], s, p);
  if (!ok)
    graph_fail(g, ST_INVALID, "%s: x %s, w %s, dy %s with stride %d, pad %d do not belong together",
               name, shape_str(x, a), shape_str(w, b), shape_str(dy, c), (int)s, (int)p);
  return ok;
}

static void fwd_shape(Graph *g, const Shape *in, Node *n) {
  const Shape x = in[0], w = in[1];
  const int64_t s = n->a.i[0] > 0 ? n->a.i[0] : 1, p = n->a.i[1];
  Shape y = SHAPE4(x.d[0], w.d[0], 0, 0);
  if (x.rank == 4 && w.rank == 4) {
    y.d[2] = out_side(x.d[2], w.d[2], s, p);
    y.d[3] = out_side(x.d[3], w.d[3], s, p);
  }
  if (!conv_ok(g, "conv2d", n, x, w, y)) return;
  n->shape = y;
  set_geom(g, n, CONV_FWD,
           (int64_t[9]){x.d[0], x.d[1], x.d[2], x.d[3], w.d[0], w.d[2], w.d[3], y.d[2], y.d[3]});
}

static void dx_shape(Graph *g, const Shape *in, Node *n) {
  const Shape dy = in[0], w = in[1], x = SHAPE4(dy.d[0], w.d[1], n->a.i[4], n->a.i[5]);
  if (!conv_ok(g, "conv2d_dx", n, x, w, dy)) return;
  n->shape = x;
  set_geom(g, n, CONV_DX,
           (int64_t[9]){x.d[0], x.d[1], x.d[2], x.d[3], w.d[0], w.d[2], w.d[3], dy.d[2], dy.d[3]});
}

static void dw_shape(Graph *g, const Shape *in, Node *n) {
  const Shape x = in[0], dy = in[1], w = SHAPE4(dy.d[1], x.d[1], n->a.i[7], n->a.i[8]);
  if (!conv_ok(g, "conv2d_dw", n, x, w, dy)) return;
  n->shape = w;
  set_geom(g, n, CONV_DW,
           (int64_t[9]){x.d[0], x.d[1], x.d[2], x.d[3], w.d[0], w.d[2], w.d[3], dy.d[2], dy.d[3]});
}

static Val conv_op(Graph *g, OpId op, Val a, Val b, Attr at) {
  return g_op(g, op, 2, (Val[]){a, b}, &at);
}

Val g_conv2d(Graph *g, Val x, Val w, int stride, int pad) {
  return conv_op(g, OP_conv2d, x, w, (Attr){.i = {stride, pad}});
}

Val g_conv2d_dx(Graph *g, Val dy, Val w, int stride, int pad, int64_t h, int64_t w_out) {
  return conv_op(g, OP_conv2d_dx, dy, w,
                 (Attr){.i = {stride, pad, [4] = (int32_t)h, [5] = (int32_t)w_out}});
}

Val g_conv2d_dw(Graph *g, Val x, Val dy, int stride, int pad, int kh, int kw) {
  return conv_op(g, OP_conv2d_dw, x, dy, (Attr){.i = {stride, pad, [7] = kh, [8] = kw}});
}

static Val like_c(Graph *g, const ConvGeom *q, Val x, Val w) {
  return g_conv2d(g, x, w, q->stride, q->pad);
}

static Val like_x(Graph *g, const ConvGeom *q, Val dy, Val w) {
  return g_conv2d_dx(g, dy, w, q->stride, q->pad, q->h, q->w);
}

static Val like_w(Graph *g, const ConvGeom *q, Val x, Val dy) {
  return g_conv2d_dw(g, x, dy, q->stride, q->pad, (int)q->kh, (int)q->kw);
}

/* y = C(x,w) */
static void fwd_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const ConvGeom q = conv_geom(n);
  if (need & 1) dx[0] = like_x(g, &q, dy, n->in[1]);
  if (need & 2) dx[1] = like_w(g, &q, n->in[0], dy);
}

/* y = X(in0,w); dy has x's shape */
static void dx_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const ConvGeom q = conv_geom(n);
  if (need & 1) dx[0] = like_c(g, &q, dy, n->in[1]);
  if (need & 2) dx[1] = like_w(g, &q, dy, n->in[0]);
}

/* y = W(x,in1); dy has w's shape */
static void dw_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  const ConvGeom q = conv_geom(n);
  if (need & 1) dx[0] = like_x(g, &q, n->in[1], dy);
  if (need & 2) dx[1] = like_c(g, &q, n->in[0], dy);
}

/* ---- algorithm: a function of the geometry and of PRLX_CONV only ---- */
static int algo_setting = -1;

void conv_set_algo(ConvAlgo algo) { algo_setting = (int)algo; }

static ConvAlgo algo_wanted(void) {
  if (algo_setting < 0) {
    const char *env = getenv("PRLX_CONV");
    static const char *const names[] = {"auto", "direct", "winograd", "winograd2"};
    algo_setting = CONV_AUTO;
    for (int i = 0; env && i < COUNT_OF(names); i++)
      if (strcmp(env, names[i]) == 0) algo_setting = i;
  }
  return (ConvAlgo)algo_setting;
}

/* Side of the Winograd output tile (stride 1: 4 or 2; stride 2: 3), or 0 for the direct algorithm.
 */
static int wino_side(const ConvGeom *g) {
  const ConvAlgo a = algo_wanted();
  if (a == CONV_DIRECT || !wino_possible(g)) return 0;
  if (a == CONV_AUTO) return wino_auto(g);
  return g->stride == 2 ? 3 : a == CONV_WINOGRAD ? 4 : 2;
}

const char *conv_algo_name(const Node *n) {
  static const char *const names[] = {
      [0] = "direct", [2] = "winograd2", [3] = "winograd3", [4] = "winograd4"};
  const ConvGeom g = conv_geom(n);
  return n->op == OP_conv2d || n->op == OP_conv2d_dx || n->op == OP_conv2d_dw
             ? wino_side(&g) == 0 && thin_possible(&g) ? "thin" : names[wino_side(&g)]
             : "";
}

double conv_flop(const Node *n) {
  const ConvGeom g = conv_geom(n);
  if (n->op == OP_matmul) return 2.0 * (double)n->a.i[2] * (double)n->a.i[3] * (double)n->a.i[4];
  if (n->op != OP_conv2d && n->op != OP_conv2d_dx && n->op != OP_conv2d_dw) return 0;
  return 2.0 * (double)(g.n * g.co * g.oh * g.ow) * (double)(g.ci * g.kh * g.kw);
}

bool conv_make_prep(const Node *conv, const Shape *in, Node *prep) {
  if (conv->op != OP_conv2d && conv->op != OP_conv2d_dx) return false;
  const ConvGeom g = conv_geom(conv);
  const int m = wino_side(&g);
  if (!m && thin_possible(&g)) return false;
  memset(prep, 0, sizeof *prep);
  prep->op = OP_conv_prep;
  prep->nin = 1;
  prep->in[0] = conv->in[1];
  prep->a = conv->a;
  prep->a.i[12] = m;
  prep->shape = SHAPE1((int64_t)(m ? wino_prep_numel(&g, m) : direct_prep_numel(&g)));
  return true;
}

static void prep_shape(Graph *g, const Shape *in, Node *n) {
  graph_fail(g, ST_INTERNAL, "conv_prep is made by the planner only");
}

static void prep_cpu(const Exec *x) {
  const ConvGeom g = conv_geom(x->n);
  const int m = x->n->a.i[12];
  if (m)
    wino_prep(&g, m, x->in[0], x->out);
  else
    direct_prep(&g, x->in[0], x->out);
}

static size_t conv_scratch(const Node *n, const Shape *in) {
  const ConvGeom g = conv_geom(n);
  const int m = wino_side(&g);
  const bool with_prep = n->nin > 2 && n->in[2] != 0;
  return m ? wino_scratch(&g, m, with_prep) : thin_possible(&g) ? 0 : direct_scratch(&g, with_prep);
}

static void conv_cpu(const Exec *x) {
  const ConvGeom g = conv_geom(x->n);
  const int m = wino_side(&g);
  if (m)
    wino_run(&g, m, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
  else if (thin_possible(&g))
    thin_run(&g, x->in[0], x->in[1], x->in[3], x->out);
  else
    direct_run(&g, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
}

static size_t dw_scratch(const Node *n, const Shape *in) {
  const ConvGeom g = conv_geom(n);
  const int m = wino_side(&g);
  return m ? wino_dw_scratch(&g, m) : direct_dw_scratch(&g);
}

static void dw_cpu(const Exec *x) {
  const ConvGeom g = conv_geom(x->n);
  const int m = wino_side(&g);
  if (m)
    wino_dw_run(&g, m, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
  else
    direct_dw_run(&g, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
}

const OpRow op_conv2d = {"conv2d", 0, ORDER_ANY, fwd_shape, fwd_grad, conv_scratch, conv_cpu};
const OpRow op_conv2d_dx = {"conv2d_dx", 0, ORDER_ANY, dx_shape, dx_grad, conv_scratch, conv_cpu};
const OpRow op_conv2d_dw = {"conv2d_dw", 0, ORDER_ANY, dw_shape, dw_grad, dw_scratch, dw_cpu};
const OpRow op_conv_prep = {"conv_prep", 0, 0, prep_shape, NULL, NULL, prep_cpu};
