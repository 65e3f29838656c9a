/* op_warp.c: the geometric augmentation of one image batch as a single linear operation, and its
 * adjoint. Karras et al. 2020 ("Training GANs with limited data"), appendix B.2; SEMANTICS 6.1,
 * steps 2 to 5: reflect pad, 2x wavelet upsampling, bilinear sampling under an affine map, 2x
 * decimation. Fused because the padded, oversampled image is up to 36 times as large as the image,
 * and only the part under the sampling grid is needed. warp and warp_t are adjoint, hence closed
 * under differentiation in the image; geometry and filter have no gradient. */
#include "core/graph.h"
#include "core/kernels/warp.h"
#include "core/ops.h"
#include "core/threads.h"

static void warp_shape(Graph *g, const Shape *in, Node *n) {
  char a[96], b[96], c[96];
  if (in[0].rank != 4 || !shape_eq(in[1], SHAPE2(in[0].dim[0], WARP_GEO)) ||
      !shape_eq(in[2], SHAPE1(WARP_TAPS)) || in[0].dim[2] < 1 || in[0].dim[3] < 1 ||
      in[0].dim[2] > 8192 || in[0].dim[3] > 8192) {
    graph_fail(g, ST_INVALID,
               "warp: image %s, geometry %s, filter %s; expected [N,C,H,W] (sides up to 8192), "
               "[N,%d], [%d]",
               shape_str(in[0], a), shape_str(in[1], b), shape_str(in[2], c), WARP_GEO, WARP_TAPS);
    return;
  }
  n->shape = in[0];
}

/* A fixed number of lanes, each with its own working set; lane k does planes k, k + lanes, ... */
static size_t lane_bytes(Shape x) {
  return (warp_scratch((int)x.dim[2], (int)x.dim[3]) * sizeof(real) + 63) / 64 * 64;
}

static int64_t lane_count(Shape x) {
  int64_t fit = (int64_t)(((size_t)64 << 20) / lane_bytes(x));
  return PRLX_MIN(PRLX_MAX(1, PRLX_MIN(fit, 16)), x.dim[0] * x.dim[1]);
}

static size_t warp_scratch_bytes(const Node *n, const Shape *in) {
  return (size_t)lane_count(in[0]) * lane_bytes(in[0]);
}

typedef struct Ctx {
  const Exec *e;
  int64_t lanes;
  void (*plane)(int, int, const real *, const real *, const real *, real *, real *);
} Ctx;
static void run_lane(void *ctx, int64_t lane, int worker) {
  const Ctx *c = ctx;
  Shape s = c->e->node->shape;
  int64_t size = s.dim[2] * s.dim[3];
  real *tmp = (real *)((char *)c->e->scratch + (size_t)lane * lane_bytes(s));
  for (int64_t i = lane; i < s.dim[0] * s.dim[1]; i += c->lanes)
    c->plane((int)s.dim[2], (int)s.dim[3], c->e->in[1] + i / s.dim[1] * WARP_GEO, c->e->in[2],
             c->e->in[0] + i * size, c->e->out + i * size, tmp);
}

static void warp_cpu(const Exec *e) {
  Ctx c = {e, lane_count(e->node->shape), ISA_PICK(warp_kernels)->forward};
  par_for(c.lanes, run_lane, &c);
}

static void warp_t_cpu(const Exec *e) {
  Ctx c = {e, lane_count(e->node->shape), ISA_PICK(warp_kernels)->adjoint};
  par_for(c.lanes, run_lane, &c);
}

static void warp_other_grad(Graph *g, OpId op, const Node *n, Val dy, unsigned need, Val *dx) {
  if (need & ~1u) {
    graph_fail(g, ST_INVALID, "warp: has no gradient with respect to geometry or filter");
    return;
  }
  dx[0] = g_op(g, op, 3, (Val[]){dy, n->in[1], n->in[2]}, NULL);
}

static void warp_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  warp_other_grad(g, OP_warp_t, n, dy, need, dx);
}

static void warp_t_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  warp_other_grad(g, OP_warp, n, dy, need, dx);
}

const OpRow op_warp = {.name = "warp",
                       .order = ORDER_ANY,
                       .shape = warp_shape,
                       .grad = warp_grad,
                       .scratch = warp_scratch_bytes,
                       .cpu = warp_cpu};
const OpRow op_warp_t = {.name = "warp_t",
                         .order = ORDER_ANY,
                         .shape = warp_shape,
                         .grad = warp_t_grad,
                         .scratch = warp_scratch_bytes,
                         .cpu = warp_t_cpu};

/* x [N,C,H,W], geo [N,10] = {G00,G01,G02, G10,G11,G12, x0,x1,y0,y1}: G maps output to input pixel
 * coordinates (origin at the image centre, x then y), then the reflect padding per side in whole
 * pixels (clamped to 0 .. side-1); f [12]. -> [N,C,H,W]. Zeros outside the padded image. */
Val g_warp(Graph *g, Val x, Val geo, Val f) {
  return g_op(g, OP_warp, 3, (Val[]){x, geo, f}, NULL);
}
