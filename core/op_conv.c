/* op_conv.c: rows of conv2d, conv2d_dx, conv2d_dw and conv_prep: shapes, gradients, and the choice
 * of algorithm.
 *
 * With C(x,w) the correlation, X(dy,w) its adjoint in x and W(x,dy) its adjoint in w, <dy, C(x,w)>
 * is one trilinear form of (x, w, dy); every gradient of the three is another of the three. */
#include <stdlib.h>
#include <string.h>
#include "core/bf16.h"
#include "core/conv.h"
#include "core/conv_impl.h"
#include "core/ops.h"

ConvGeom conv_geom(const Node *n) {
  const ConvAttr *a = &n->attr.conv;
  return (ConvGeom){.kind = a->kind,
                    .stride = a->stride,
                    .pad = a->pad,
                    .n = a->n,
                    .ci = a->ci,
                    .h = a->h,
                    .w = a->w,
                    .co = a->co,
                    .kh = a->kh,
                    .kw = a->kw,
                    .oh = a->oh,
                    .ow = a->ow,
                    .plan_n = a->plan_n,
                    .bf16 = a->bf16 != 0};
}

/* The geometry of x, w and y (or dy), which belong together. */
static void set_geom(Graph *g, Node *n, ConvKind kind, Shape x, Shape w, Shape y) {
  ConvAttr *a = &n->attr.conv;
  a->n = (int32_t)x.dim[0];
  a->ci = (int32_t)x.dim[1];
  a->h = (int32_t)x.dim[2];
  a->w = (int32_t)x.dim[3];
  a->co = (int32_t)w.dim[0];
  a->kh = (int32_t)w.dim[2];
  a->kw = (int32_t)w.dim[3];
  a->oh = (int32_t)y.dim[2];
  a->ow = (int32_t)y.dim[3];
  a->kind = (int32_t)kind;
  a->plan_n = graph_is_batch_invariant(g) ? 1 : a->n;
  a->bf16 = bf16_used();
}

/* Output side of a correlation; 0 or less: impossible. */
static int64_t out_side(int64_t n, int64_t k, int64_t stride, int64_t pad) {
  return n + 2 * pad < k ? 0 : (n + 2 * pad - k) / stride + 1;
}

static bool conv_ok(Graph *g, const char *name, const Node *n, Shape x, Shape w, Shape dy) {
  char a[96], b[96], c[96];
  const int64_t s = n->attr.conv.stride, p = n->attr.conv.pad;
  bool ok = x.rank == 4 && w.rank == 4 && dy.rank == 4 && s >= 1 && p >= 0 &&
            x.dim[0] == dy.dim[0] && x.dim[1] == w.dim[1] && dy.dim[1] == w.dim[0];
  for (int k = 0; ok && k < 4; k++) ok = x.dim[k] > 0 && w.dim[k] > 0 && dy.dim[k] > 0;
  for (int k = 2; ok && k < 4; k++) ok = dy.dim[k] == out_side(x.dim[k], w.dim[k], s, p);
  if (!ok)
    graph_fail(g, ST_INVALID, "%s: x %s, w %s, dy %s with stride %d, pad %d do not belong together",
               name, shape_str(x, a), shape_str(w, b), shape_str(dy, c), (int)s, (int)p);
  return ok;
}

static void fwd_shape(Graph *g, const Shape *in, Node *n) {
  const Shape x = in[0], w = in[1];
  const int64_t s = PRLX_MAX(n->attr.conv.stride, 1), p = n->attr.conv.pad;
  Shape y = SHAPE4(x.dim[0], w.dim[0], 0, 0);
  if (x.rank == 4 && w.rank == 4) {
    y.dim[2] = out_side(x.dim[2], w.dim[2], s, p);
    y.dim[3] = out_side(x.dim[3], w.dim[3], s, p);
  }
  if (!conv_ok(g, "conv2d", n, x, w, y)) return;
  n->shape = y;
  set_geom(g, n, CONV_FWD, x, w, y);
}

static void dx_shape(Graph *g, const Shape *in, Node *n) {
  const Shape dy = in[0], w = in[1],
              x = SHAPE4(dy.dim[0], w.dim[1], n->attr.conv.h, n->attr.conv.w);
  if (!conv_ok(g, "conv2d_dx", n, x, w, dy)) return;
  n->shape = x;
  set_geom(g, n, CONV_DX, x, w, dy);
}

static void dw_shape(Graph *g, const Shape *in, Node *n) {
  const Shape x = in[0], dy = in[1],
              w = SHAPE4(dy.dim[1], x.dim[1], n->attr.conv.kh, n->attr.conv.kw);
  if (!conv_ok(g, "conv2d_dw", n, x, w, dy)) return;
  n->shape = w;
  set_geom(g, n, CONV_DW, x, w, dy);
}

static Val conv_op(Graph *g, OpId op, Val a, Val b, ConvAttr conv) {
  return g_op(g, op, 2, (Val[]){a, b}, &(Attr){.conv = conv});
}

Val g_conv2d(Graph *g, Val x, Val w, int stride, int pad) {
  return conv_op(g, OP_conv2d, x, w, (ConvAttr){.stride = stride, .pad = pad});
}

Val g_conv2d_dx(Graph *g, Val dy, Val w, int stride, int pad, int64_t h, int64_t w_out) {
  const ConvAttr a = {.stride = stride, .pad = pad, .h = (int32_t)h, .w = (int32_t)w_out};
  return conv_op(g, OP_conv2d_dx, dy, w, a);
}

Val g_conv2d_dw(Graph *g, Val x, Val dy, int stride, int pad, int kh, int kw) {
  const ConvAttr a = {.stride = stride, .pad = pad, .kh = kh, .kw = kw};
  return conv_op(g, OP_conv2d_dw, x, dy, a);
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

void conv_set_algo(ConvAlgo algo) { __atomic_store_n(&algo_setting, (int)algo, __ATOMIC_RELAXED); }

static ConvAlgo algo_wanted(void) {
  int algo = __atomic_load_n(&algo_setting, __ATOMIC_RELAXED);
  if (algo < 0) {
    const char *env = getenv("PRLX_CONV");
    static const char *const names[] = {"auto", "direct", "winograd", "winograd2"};
    algo = CONV_AUTO;
    for (int i = 0; env && i < COUNT_OF(names); i++)
      if (strcmp(env, names[i]) == 0) algo = i;
    conv_set_algo((ConvAlgo)algo);
  }
  return (ConvAlgo)algo;
}

/* Side of the Winograd output tile (stride 1: 4 or 2; stride 2: 3), 0 for the direct algorithm, or
 * TILE_BF16: the direct one with operands of bf16. */
enum { TILE_BF16 = -1 };
static int conv_tile(const ConvGeom *g) {
  const ConvAlgo a = algo_wanted();
  if ((a == CONV_AUTO || a == CONV_DIRECT) && bf16_pays(g)) return TILE_BF16;
  if (a == CONV_BF16 && g->bf16 && bf16_way() != BF16_NONE) return TILE_BF16;
  if (a == CONV_DIRECT || !wino_possible(g)) return 0;
  if (a == CONV_AUTO || a == CONV_BF16) return wino_auto(g);
  return g->stride == 2 ? 3 : a == CONV_WINOGRAD ? 4 : 2;
}

const char *conv_algo_name(const Node *n) {
  static const char *const names[] = {
      [0] = "direct", [2] = "winograd2", [3] = "winograd3", [4] = "winograd4"};
  const ConvGeom g = conv_geom(n);
  if (n->op != OP_conv2d && n->op != OP_conv2d_dx && n->op != OP_conv2d_dw) return "";
  const int m = conv_tile(&g);
  return m == TILE_BF16 ? "bf16" : m == 0 && thin_possible(&g) ? "thin" : names[m];
}

double conv_flop(const Node *n) {
  const MatmulAttr *p = &n->attr.matmul;
  if (n->op == OP_matmul) return 2.0 * (double)p->m * (double)p->n * (double)p->k;
  if (n->op != OP_conv2d && n->op != OP_conv2d_dx && n->op != OP_conv2d_dw) return 0;
  const ConvGeom g = conv_geom(n);
  return 2.0 * (double)(g.n * g.co * g.oh * g.ow) * (double)(g.ci * g.kh * g.kw);
}

static size_t prep_numel(const ConvGeom *g, int m) {
  return m == TILE_BF16 ? bf16_prep_numel(g) : m ? wino_prep_numel(g, m) : direct_prep_numel(g);
}

bool conv_make_prep(const Node *conv, const Shape *in, Node *prep) {
  if (conv->op != OP_conv2d && conv->op != OP_conv2d_dx) return false;
  const ConvGeom g = conv_geom(conv);
  const int m = conv_tile(&g);
  if (!m && (thin_possible(&g) || direct_lean(&g))) return false;
  if (m > 0 && wino_lean(&g, m)) return false;
  memset(prep, 0, sizeof *prep);
  prep->op = OP_conv_prep;
  prep->nin = 1;
  prep->in[0] = conv->in[1];
  prep->attr = conv->attr;
  prep->attr.conv.tile = m;
  prep->shape = SHAPE1((int64_t)prep_numel(&g, m));
  return true;
}

static void prep_shape(Graph *g, const Shape *in, Node *n) {
  graph_fail(g, ST_INTERNAL, "conv_prep is made by the planner only");
}

static void prep_cpu(const Exec *x) {
  const ConvGeom g = conv_geom(x->node);
  const int m = x->node->attr.conv.tile;
  if (m == TILE_BF16)
    bf16_prep(&g, x->in[0], x->out);
  else if (m)
    wino_prep(&g, m, x->in[0], x->out);
  else
    direct_prep(&g, x->in[0], x->out);
}

static size_t conv_scratch(const Node *n, const Shape *in) {
  const ConvGeom g = conv_geom(n);
  const int m = conv_tile(&g);
  const bool with_prep = n->nin > 2 && n->in[2] != 0;
  if (m == TILE_BF16) return bf16_scratch(&g, with_prep);
  return m ? wino_scratch(&g, m, with_prep) : thin_possible(&g) ? 0 : direct_scratch(&g, with_prep);
}

static void conv_cpu(const Exec *x) {
  const ConvGeom g = conv_geom(x->node);
  const int m = conv_tile(&g);
  if (m == TILE_BF16)
    bf16_run(&g, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
  else if (m)
    wino_run(&g, m, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
  else if (thin_possible(&g))
    thin_run(&g, x->in[0], x->in[1], x->in[3], x->out);
  else
    direct_run(&g, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
}

static size_t dw_scratch(const Node *n, const Shape *in) {
  const ConvGeom g = conv_geom(n);
  const int m = conv_tile(&g);
  return m == TILE_BF16 ? bf16_dw_scratch(&g) : m ? wino_dw_scratch(&g, m) : direct_dw_scratch(&g);
}

static void dw_cpu(const Exec *x) {
  const ConvGeom g = conv_geom(x->node);
  const int m = conv_tile(&g);
  if (m == TILE_BF16)
    bf16_dw_run(&g, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
  else if (m)
    wino_dw_run(&g, m, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
  else
    direct_dw_run(&g, x->in[0], x->in[1], x->in[2], x->in[3], x->out, x->scratch);
}

const OpRow op_conv2d = {.name = "conv2d",
                         .order = ORDER_ANY,
                         .attr_bytes = sizeof(ConvAttr),
                         .shape = fwd_shape,
                         .grad = fwd_grad,
                         .scratch = conv_scratch,
                         .cpu = conv_cpu};
const OpRow op_conv2d_dx = {.name = "conv2d_dx",
                            .order = ORDER_ANY,
                            .attr_bytes = sizeof(ConvAttr),
                            .shape = dx_shape,
                            .grad = dx_grad,
                            .scratch = conv_scratch,
                            .cpu = conv_cpu};
const OpRow op_conv2d_dw = {.name = "conv2d_dw",
                            .order = ORDER_ANY,
                            .attr_bytes = sizeof(ConvAttr),
                            .shape = dw_shape,
                            .grad = dw_grad,
                            .scratch = dw_scratch,
                            .cpu = dw_cpu};
const OpRow op_conv_prep = {
    .name = "conv_prep", .attr_bytes = sizeof(ConvAttr), .shape = prep_shape, .cpu = prep_cpu};
