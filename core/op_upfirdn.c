/* op_upfirdn.c: upsample, FIR filter, downsample (SEMANTICS 1.2). Its gradient is the same
 * operation with the factors swapped and the filter flipped, so one row is closed under
 * differentiation of any order. */
#include <math.h>
#include "core/graph.h"
#include "core/kernels/upfirdn.h"
#include "core/ops.h"
#include "core/threads.h"

/* f: [T] or, per sample, [N,T] is separable; else [fh,fw]. */
static bool is_separable(const Node *n, Shape f) {
  return n->attr.upfirdn.per_sample || f.rank == 1;
}
static int taps_x(const Node *n, Shape f) { return (int)f.dim[f.rank - 1]; }
static int taps_y(const Node *n, Shape f) {
  return (int)(is_separable(n, f) ? f.dim[f.rank - 1] : f.dim[0]);
}

static int64_t out_len(int64_t len, int up, int down, int p0, int p1, int taps) {
  int64_t m = len * up + p0 + p1 - taps;
  return m < 0 ? 0 : m / down + 1;
}

static void upfirdn2d_shape(Graph *g, const Shape *in, Node *n) {
  const UpfirdnAttr *a = &n->attr.upfirdn;
  Shape x = in[0], f = in[1];
  char xs[96], fs[96];
  bool per = a->per_sample != 0;
  if (x.rank != 4 || (per ? f.rank != 2 || f.dim[0] != x.dim[0] : f.rank != 1 && f.rank != 2)) {
    graph_fail(g, ST_INVALID,
               "upfirdn2d: x %s, f %s; expected [N,C,H,W] with [T], [fh,fw] or (per sample) [N,T]",
               shape_str(x, xs), shape_str(f, fs));
    return;
  }
  if (a->upx < 1 || a->upy < 1 || a->downx < 1 || a->downy < 1) {
    graph_fail(g, ST_INVALID, "upfirdn2d: up %d,%d down %d,%d; factors must be at least 1", a->upx,
               a->upy, a->downx, a->downy);
    return;
  }
  int tx = taps_x(n, f), ty = taps_y(n, f);
  if (tx < 1 || ty < 1 || tx > UPFIRDN_MAX_TAPS || ty > UPFIRDN_MAX_TAPS) {
    graph_fail(g, ST_INVALID, "upfirdn2d: filter %s; expected 1 to %d taps per axis",
               shape_str(f, fs), UPFIRDN_MAX_TAPS);
    return;
  }
  int64_t ow = out_len(x.dim[3], a->upx, a->downx, a->padx0, a->padx1, tx);
  int64_t oh = out_len(x.dim[2], a->upy, a->downy, a->pady0, a->pady1, ty);
  if (ow < 1 || oh < 1 || ow > INT32_MAX / 4 || oh > INT32_MAX / 4) {
    graph_fail(g, ST_INVALID,
               "upfirdn2d: x %s with padding %d,%d,%d,%d and filter %s gives an empty or too large "
               "output; check the padding",
               shape_str(x, xs), a->padx0, a->padx1, a->pady0, a->pady1, shape_str(f, fs));
    return;
  }
  n->shape = SHAPE4(x.dim[0], x.dim[1], oh, ow);
}

static void upfirdn2d_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  if (need & 2) {
    graph_fail(g, ST_INVALID, "upfirdn2d: has no gradient with respect to its filter");
    return;
  }
  Shape x = graph_shape(g, n->in[0]), f = graph_shape(g, n->in[1]);
  const UpfirdnAttr *a = &n->attr.upfirdn;
  int tx = taps_x(n, f), ty = taps_y(n, f);
  UpFirDn p = {
      .upx = a->downx,
      .upy = a->downy,
      .downx = a->upx,
      .downy = a->upy,
      .flip = !a->flip,
      .gain = n->attr.upfirdn.gain,
      .separable_per_sample = a->per_sample,
      .padx0 = tx - a->padx0 - 1,
      .padx1 = (int)(x.dim[3] * a->upx - n->shape.dim[3] * a->downx) + a->padx0 - a->upx + 1,
      .pady0 = ty - a->pady0 - 1,
      .pady1 = (int)(x.dim[2] * a->upy - n->shape.dim[2] * a->downy) + a->pady0 - a->upy + 1};
  dx[0] = g_upfirdn2d(g, dy, n->in[1], &p);
}

static UpfirdnPlane plane_of(const Node *n, const Shape *in) {
  const UpfirdnAttr *a = &n->attr.upfirdn;
  UpfirdnPlane p = {.h = (int)in[0].dim[2],
                    .w = (int)in[0].dim[3],
                    .oh = (int)n->shape.dim[2],
                    .ow = (int)n->shape.dim[3],
                    .upx = a->upx,
                    .upy = a->upy,
                    .downx = a->downx,
                    .downy = a->downy,
                    .padx0 = a->padx0,
                    .pady0 = a->pady0,
                    .tx = taps_x(n, in[1]),
                    .ty = taps_y(n, in[1])};
  /* last position of the padded signal that is read */
  int last = (p.ow - 1) * p.downx + p.tx - 1 - p.padx0;
  int right = PRLX_MAX(last / p.upx - (p.w - 1), 0);
  /* keeps column 0 of the row buffer aligned */
  p.left = (PRLX_MAX(p.padx0, 0) + 15) / 16 * 16;
  p.row = (p.left + p.w + right + 15) / 16 * 16;
  return p;
}

static size_t upfirdn2d_scratch(const Node *n, const Shape *in) {
  UpfirdnPlane p = plane_of(n, in);
  size_t taps =
      is_separable(n, in[1]) ? 2 * (size_t)shape_numel(in[1]) : (size_t)shape_numel(in[1]);
  return (MAX_WORKERS * UPFIRDN_ROWS * (size_t)p.row + taps) * sizeof(real);
}

typedef struct Ctx {
  UpfirdnPlane p;
  const UpfirdnKernels *k;
  const real *x;
  const real *gx;
  const real *gy;
  real *y;
  real *rows;
  int64_t planes;
  int64_t block;
  int64_t channels;
  bool separable;
  bool per_sample;
} Ctx;

static void run_block(void *ctx, int64_t b, int worker) {
  const Ctx *c = ctx;
  const UpfirdnPlane *p = &c->p;
  real *tmp = c->rows + (int64_t)worker * UPFIRDN_ROWS * p->row;
  int64_t end = PRLX_MIN((b + 1) * c->block, c->planes), nx = (int64_t)p->h * p->w,
          ny = (int64_t)p->oh * p->ow;
  for (int64_t i = b * c->block; i < end; i++) {
    int64_t s = c->per_sample ? i / c->channels * p->tx : 0;
    if (c->separable)
      c->k->separable(p, c->gx + s, c->gy + s, c->x + i * nx, c->y + i * ny, tmp);
    else
      c->k->full(p, c->gx, c->x + i * nx, c->y + i * ny, tmp);
  }
}

static void upfirdn2d_cpu(const Exec *e) {
  const Node *n = e->node;
  Ctx c = {.p = plane_of(n, e->ins),
           .k = ISA_PICK(upfirdn_kernels),
           .x = e->in[0],
           .y = e->out,
           .separable = is_separable(n, e->ins[1]),
           .per_sample = n->attr.upfirdn.per_sample != 0,
           .channels = e->ins[0].dim[1],
           .planes = e->ins[0].dim[0] * e->ins[0].dim[1]};
  bool flip = n->attr.upfirdn.flip != 0;
  double gain = c.separable ? sqrt(n->attr.upfirdn.gain) : n->attr.upfirdn.gain;
  int64_t count = shape_numel(e->ins[1]), t = c.separable ? c.p.tx : count;
  real *taps = (real *)e->scratch;
  c.rows = taps + (c.separable ? 2 * count : count);
  /* true convolution = correlation with the reversed filter (both axes for 2-D) */
  for (int64_t s = 0; s < count; s += t)
    for (int64_t k = 0; k < t; k++)
      taps[s + k] = (real)(gain * e->in[1][s + (flip ? k : t - 1 - k)]);
  c.gx = c.gy = taps;
  int64_t work = (int64_t)c.p.h * c.p.w + (int64_t)c.p.oh * c.p.ow;
  c.block = PRLX_MAX(1, 16384 / work);
  par_for((c.planes + c.block - 1) / c.block, run_block, &c);
}

const OpRow op_upfirdn2d = {.name = "upfirdn2d",
                            .order = ORDER_ANY,
                            .attr_bytes = sizeof(UpfirdnAttr),
                            .shape = upfirdn2d_shape,
                            .grad = upfirdn2d_grad,
                            .scratch = upfirdn2d_scratch,
                            .cpu = upfirdn2d_cpu};

/* Upsample, filter, downsample; x [N,C,H,W], f [T] | [fh,fw] | [N,T]. See ops.h and SEMANTICS 1.2.
 * gain must be >= 0 for separable f. */
Val g_upfirdn2d(Graph *g, Val x, Val f, const UpFirDn *p) {
  const Attr a = {.upfirdn = {.gain = p->gain,
                              .upx = p->upx,
                              .upy = p->upy,
                              .downx = p->downx,
                              .downy = p->downy,
                              .padx0 = p->padx0,
                              .padx1 = p->padx1,
                              .pady0 = p->pady0,
                              .pady1 = p->pady1,
                              .flip = p->flip != 0,
                              .per_sample = p->separable_per_sample != 0}};
  return g_op(g, OP_upfirdn2d, 2, (Val[]){x, f}, &a);
}
