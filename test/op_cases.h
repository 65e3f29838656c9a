/* op_cases.h: at least one case per operation of the table: how to build it, shapes, and which data
 * it wants; and the chain of scalars whose gradients are checked, order by order. For f64_grad.c
 * (against finite differences) and cuda_ops.c (device against CPU). */
#ifndef PRLX_TEST_OP_CASES_H
#define PRLX_TEST_OP_CASES_H
#include <math.h>
#include <string.h>
#include "core/graph.h"
#include "core/ops.h"
#include "core/rng.h"

typedef enum {
  GENERIC,
  POSITIVE,
  DISTINCT,
  GRID,
  TARGETS,
  FIXED /* not differentiated */,
  GEOMETRY /* of warp; not differentiated */
} Data;
typedef struct Case {
  OpId op;
  const char *name;
  Val (*build)(Graph *g, const Val *in);
  int nin;
  Shape shape[4];
  Data data[4];
  /* levels to check; 0 = the row's own order, at most 3 */
  int order;
} Case;

#define BUILD(name, expr) \
  static Val name(Graph *g, const Val *in) { return expr; }
#define X in[0]
#define Y in[1]
/* clang-format off */
BUILD(b_add, g_add(g, X, Y))
BUILD(b_sub, g_sub(g, X, Y))
BUILD(b_mul, g_mul(g, X, Y))
BUILD(b_div, g_div(g, X, Y))
BUILD(b_max, g_maximum(g, X, Y))
BUILD(b_neg, g_op(g, OP_neg, 1, in, NULL))
BUILD(b_axpb, g_axpb(g, X, 1.7, -0.3))
BUILD(b_square, g_square(g, X))
BUILD(b_sqrt, g_sqrt0(g, X))
BUILD(b_rsqrt, g_rsqrt0(g, X))
BUILD(b_exp, g_exp(g, X))
BUILD(b_log, g_log(g, X))
BUILD(b_sigmoid, g_sigmoid(g, X))
BUILD(b_tanh, g_tanh(g, X))
BUILD(b_softplus, g_softplus(g, X))
BUILD(b_abs, g_abs(g, X))
BUILD(b_sign, g_mul(g, g_sign(g, X), X))
BUILD(b_gt0, g_mul(g, g_gt0(g, X), X))
BUILD(b_lrelu, g_lrelu(g, X, 0.2, 1.4, 0.9))
BUILD(b_lrelu_free, g_lrelu(g, X, 0.2, 1.4, -1))
BUILD(b_relu, g_lrelu(g, X, 0, 1, -1))
BUILD(b_lmask, g_lrelu_mask(g, X, g_lrelu(g, Y, 0.2, 1.4, 0.9), 0.2, 1.4, 0.9))
BUILD(b_clamp, g_clamp(g, X, -0.5, 0.8))
BUILD(b_cmask, g_clamp_mask(g, X, Y, -0.5, 0.8))
BUILD(b_sum, g_sum(g, X, 5))
BUILD(b_sum_all, g_square(g, g_sum_all(g, X)))
BUILD(b_bcast, g_square(g, g_broadcast(g, X, SHAPE3(2, 3, 4))))
BUILD(b_bcast0, g_mul(g, g_broadcast(g, g_mean_all(g, X), SHAPE2(2, 3)), Y))
BUILD(b_reshape, g_square(g, g_reshape(g, X, SHAPE2(4, 6))))
BUILD(b_permute, g_permute(g, X, (int[]){2, 0, 3, 1}))
BUILD(b_slice, g_slice(g, X, 1, 1, 3, 2))
BUILD(b_pad, g_pad(g, X, 1, 2, 9, 2))
BUILD(b_concat, g_concat(g, X, Y, 1))
BUILD(b_roll, g_roll(g, X, 2, 2))
BUILD(b_flip, g_flip(g, X, 6))
BUILD(b_reflect, g_reflect_pad(g, X, 2, 3, 1, 0))
BUILD(b_reflect_t, g_op(g, OP_reflect_pad_t, 1, in, &(Attr){.reflect = {2, 3, 1, 0}}))
BUILD(b_mm, g_matmul(g, X, Y, false, false))
BUILD(b_mm_t, g_matmul(g, X, Y, true, false))
BUILD(b_mmt, g_matmul(g, X, Y, false, true))
BUILD(b_mtt, g_matmul(g, X, Y, true, true))
BUILD(b_conv, g_conv2d(g, X, Y, 1, 1))
BUILD(b_conv2, g_conv2d(g, X, Y, 2, 0))
BUILD(b_convk, g_conv2d(g, X, Y, 1, 0))
BUILD(b_dx, g_conv2d_dx(g, X, Y, 1, 1, 5, 6))
BUILD(b_dx2, g_conv2d_dx(g, X, Y, 2, 0, 7, 9))
BUILD(b_dw, g_conv2d_dw(g, X, Y, 1, 1, 3, 3))
BUILD(b_dw2, g_conv2d_dw(g, X, Y, 2, 0, 3, 3))
/* the planner folds these scalings into the convolution */
BUILD(b_conv_scaled, g_conv2d(g, g_mul(g, X, in[2]), Y, 1, 1))
BUILD(b_ufd, g_upfirdn2d(g, X, Y, (&(UpFirDn){2, 1, 1, 2, 2, 1, -1, 2, 0, 1.5, 0})))
BUILD(b_ufd1, g_upfirdn2d(g, X, Y, (&(UpFirDn){2, 2, 1, 1, 2, 1, 2, 1, 0, 4, 0})))
BUILD(b_ufdn, g_upfirdn2d(g, X, Y, (&(UpFirDn){1, 1, 1, 1, 2, 1, 2, 1, 1, 1, 1})))
BUILD(b_agrid, g_affine_grid(g, X, 3, 4))
BUILD(b_gs, g_grid_sample(g, X, Y))
BUILD(b_gs_dx, g_op(g, OP_grid_sample_dx, 2, in, &(Attr){.size = {4, 5}}))
BUILD(b_resize, g_resize(g, X, 5, 7))
BUILD(b_resize_t, g_grad1(g, g_square(g, g_resize(g, X, 5, 7)), X))
BUILD(b_maxpool, g_maxpool(g, X, 3, 2, 1))
BUILD(b_avgpool, g_avgpool(g, X, 3, 1, 1))
BUILD(b_maxpool_t, g_grad1(g, g_square(g, g_maxpool(g, X, 2, 2, 0)), X))
BUILD(b_ce, g_softmax_ce(g, X, Y))
BUILD(b_warp, g_op(g, OP_warp, 3, in, NULL))
BUILD(b_warp_t, g_op(g, OP_warp_t, 3, in, NULL))
/* values where many rules meet: a normalisation, and a sum read by two chains */
BUILD(b_norm, g_mul(g, X, g_rsqrt0(g, g_axpb(g, g_mean(g, g_square(g, X), 2), 1, 1e-3))))
BUILD(b_diamond, g_mul(g, g_tanh(g, g_add(g, X, Y)), g_exp(g, g_add(g, X, Y))))
/* clang-format on */

#define S234 SHAPE3(2, 3, 4)
#define S1 GENERIC
static const Case cases[] = {
    {OP_add, "add, broadcast", b_add, 2, {S234, SHAPE3(1, 3, 1)}, {0}, 0},
    {OP_sub, "sub, rank 0", b_sub, 2, {S234, SHAPE0()}, {0}, 0},
    {OP_mul, "mul, broadcast both", b_mul, 2, {SHAPE3(2, 1, 4), SHAPE3(1, 3, 4)}, {0}, 0},
    {OP_div, "div", b_div, 2, {S234, SHAPE3(2, 1, 1)}, {S1, POSITIVE}, 0},
    {OP_maximum, "maximum", b_max, 2, {SHAPE1(12), SHAPE1(12)}, {DISTINCT, GENERIC}, 0},
    {OP_neg, "neg", b_neg, 1, {S234}, {0}, 0},
    {OP_axpb, "axpb", b_axpb, 1, {S234}, {0}, 0},
    {OP_square, "square", b_square, 1, {S234}, {0}, 0},
    {OP_sqrt0, "sqrt0", b_sqrt, 1, {S234}, {POSITIVE}, 0},
    {OP_rsqrt0, "rsqrt0", b_rsqrt, 1, {S234}, {POSITIVE}, 0},
    {OP_exp, "exp", b_exp, 1, {S234}, {0}, 0},
    {OP_log, "log", b_log, 1, {S234}, {POSITIVE}, 0},
    {OP_sigmoid, "sigmoid", b_sigmoid, 1, {S234}, {0}, 0},
    {OP_tanh, "tanh", b_tanh, 1, {S234}, {0}, 0},
    {OP_softplus, "softplus", b_softplus, 1, {S234}, {0}, 0},
    {OP_abs, "abs", b_abs, 1, {S234}, {0}, 0},
    {OP_sign, "sign", b_sign, 1, {S234}, {0}, 0},
    {OP_gt0, "gt0", b_gt0, 1, {S234}, {0}, 0},
    {OP_lrelu, "lrelu, clamp", b_lrelu, 1, {S234}, {0}, 0},
    {OP_lrelu, "lrelu", b_lrelu_free, 1, {S234}, {0}, 0},
    {OP_lrelu, "relu", b_relu, 1, {S234}, {0}, 0},
    {OP_lrelu_mask, "lrelu_mask", b_lmask, 2, {S234, S234}, {0}, 0},
    {OP_clamp, "clamp", b_clamp, 1, {S234}, {0}, 0},
    {OP_clamp_mask, "clamp_mask", b_cmask, 2, {S234, S234}, {0}, 0},
    {OP_sum, "sum axes 0,2", b_sum, 1, {S234}, {0}, 0},
    {OP_sum, "sum all, squared", b_sum_all, 1, {S234}, {0}, 0},
    {OP_broadcast, "broadcast", b_bcast, 1, {SHAPE3(2, 1, 4)}, {0}, 0},
    {OP_broadcast, "broadcast rank 0", b_bcast0, 2, {S234, SHAPE2(2, 3)}, {0}, 0},
    {OP_reshape, "reshape", b_reshape, 1, {S234}, {0}, 0},
    {OP_permute, "permute", b_permute, 1, {SHAPE4(2, 3, 2, 4)}, {0}, 0},
    {OP_slice, "slice step 2", b_slice, 1, {SHAPE3(2, 7, 3)}, {0}, 0},
    {OP_pad, "pad step 2", b_pad, 1, {SHAPE3(2, 3, 3)}, {0}, 0},
    {OP_concat, "concat", b_concat, 2, {SHAPE3(2, 3, 2), SHAPE3(2, 2, 2)}, {0}, 0},
    {OP_roll, "roll", b_roll, 1, {SHAPE3(2, 2, 5)}, {0}, 0},
    {OP_flip, "flip", b_flip, 1, {S234}, {0}, 0},
    {OP_reflect_pad, "reflect_pad", b_reflect, 1, {SHAPE4(1, 2, 4, 5)}, {0}, 0},
    {OP_reflect_pad_t, "reflect_pad_t", b_reflect_t, 1, {SHAPE4(1, 2, 5, 10)}, {0}, 0},
    {OP_matmul, "matmul", b_mm, 2, {SHAPE2(3, 4), SHAPE2(4, 5)}, {0}, 0},
    {OP_matmul, "matmul A'", b_mm_t, 2, {SHAPE2(4, 3), SHAPE2(4, 5)}, {0}, 0},
    {OP_matmul, "matmul B'", b_mmt, 2, {SHAPE2(3, 4), SHAPE2(5, 4)}, {0}, 0},
    {OP_matmul, "matmul A'B'", b_mtt, 2, {SHAPE2(4, 3), SHAPE2(5, 4)}, {0}, 0},
    {OP_conv2d, "conv 3x3", b_conv, 2, {SHAPE4(2, 3, 6, 5), SHAPE4(4, 3, 3, 3)}, {0}, 0},
    {OP_conv2d, "conv stride 2", b_conv2, 2, {SHAPE4(1, 2, 7, 9), SHAPE4(3, 2, 3, 3)}, {0}, 0},
    {OP_conv2d, "conv 1x1", b_convk, 2, {SHAPE4(2, 3, 3, 4), SHAPE4(2, 3, 1, 1)}, {0}, 0},
    {OP_conv2d_dx, "conv dx", b_dx, 2, {SHAPE4(2, 3, 5, 6), SHAPE4(3, 2, 3, 3)}, {0}, 0},
    {OP_conv2d_dx, "conv dx stride 2", b_dx2, 2, {SHAPE4(1, 3, 3, 4), SHAPE4(3, 2, 3, 3)}, {0}, 0},
    {OP_conv2d_dw, "conv dw", b_dw, 2, {SHAPE4(2, 2, 5, 4), SHAPE4(2, 3, 5, 4)}, {0}, 0},
    {OP_conv2d_dw, "conv dw stride 2", b_dw2, 2, {SHAPE4(1, 2, 7, 9), SHAPE4(1, 3, 3, 4)}, {0}, 0},
    {OP_conv2d,
     "conv of scaled channels",
     b_conv_scaled,
     3,
     {SHAPE4(2, 3, 5, 5), SHAPE4(2, 3, 3, 3), SHAPE4(2, 3, 1, 1)},
     {0},
     0},
    {OP_upfirdn2d,
     "upfirdn2d 2-D filter",
     b_ufd,
     2,
     {SHAPE4(1, 2, 5, 4), SHAPE2(3, 4)},
     {S1, FIXED},
     0},
    {OP_upfirdn2d,
     "upfirdn2d separable",
     b_ufd1,
     2,
     {SHAPE4(1, 2, 3, 4), SHAPE1(4)},
     {S1, FIXED},
     0},
    {OP_upfirdn2d,
     "upfirdn2d per sample",
     b_ufdn,
     2,
     {SHAPE4(2, 1, 4, 5), SHAPE2(2, 4)},
     {S1, FIXED},
     0},
    {OP_affine_grid, "affine_grid", b_agrid, 1, {SHAPE3(2, 2, 3)}, {0}, 0},
    {OP_grid_sample,
     "grid_sample",
     b_gs,
     2,
     {SHAPE4(1, 2, 4, 5), SHAPE4(1, 3, 3, 2)},
     {S1, GRID},
     1},
    {OP_grid_sample,
     "grid_sample, fixed grid",
     b_gs,
     2,
     {SHAPE4(1, 2, 4, 5), SHAPE4(1, 3, 3, 2)},
     {S1, FIXED},
     0},
    {OP_grid_sample_dgrid,
     "grid_sample's grid gradient",
     b_gs,
     2,
     {SHAPE4(1, 2, 4, 5), SHAPE4(1, 3, 3, 2)},
     {S1, GRID},
     1},
    {OP_grid_sample_dx,
     "grid_sample_dx, fixed grid",
     b_gs_dx,
     2,
     {SHAPE4(1, 2, 3, 3), SHAPE4(1, 3, 3, 2)},
     {S1, FIXED},
     0},
    {OP_resize, "resize", b_resize, 1, {SHAPE4(1, 2, 3, 4)}, {0}, 0},
    {OP_resize_t, "resize_t", b_resize_t, 1, {SHAPE4(1, 2, 3, 4)}, {0}, 2},
    {OP_maxpool, "maxpool", b_maxpool, 1, {SHAPE4(1, 2, 5, 6)}, {DISTINCT}, 0},
    {OP_maxpool_t, "maxpool_t", b_maxpool_t, 1, {SHAPE4(1, 2, 4, 4)}, {DISTINCT}, 2},
    {OP_maxpool_gather, "maxpool_gather", b_maxpool_t, 1, {SHAPE4(1, 2, 4, 4)}, {DISTINCT}, 2},
    {OP_upfirdn2d, "avgpool", b_avgpool, 1, {SHAPE4(1, 2, 4, 5)}, {0}, 0},
    {OP_softmax_ce, "softmax_ce", b_ce, 2, {SHAPE2(3, 4), SHAPE2(3, 4)}, {S1, TARGETS}, 0},
    {OP_softmax_ce_dx, "softmax_ce_dx", b_ce, 2, {SHAPE2(3, 4), SHAPE2(3, 4)}, {S1, TARGETS}, 1},
    {OP_warp,
     "warp",
     b_warp,
     3,
     {SHAPE4(2, 1, 7, 6), SHAPE2(2, 10), SHAPE1(12)},
     {S1, GEOMETRY, FIXED},
     0},
    {OP_warp_t,
     "warp_t",
     b_warp_t,
     3,
     {SHAPE4(2, 1, 6, 7), SHAPE2(2, 10), SHAPE1(12)},
     {S1, GEOMETRY, FIXED},
     0},
    {OP_rsqrt0, "normalisation", b_norm, 1, {SHAPE2(3, 5)}, {0}, 0},
    {OP_exp, "diamond", b_diamond, 2, {S234, SHAPE3(1, 3, 1)}, {0}, 0},
};

static inline void fill(real *x, Shape s, Data kind, Rng *r, Shape image) {
  int64_t n = shape_numel(s), start = rng_below(r, n);
  for (int64_t i = 0; i < n; i++) {
    /* at least 0.017 away from every kink used above */
    double u = 0.337 + 0.1 * (double)rng_below(r, 10) + 0.02 * rng_uniform(r);
    double sign = rng_uniform(r) < 0.5 ? -1 : 1;
    x[i] = (real)(kind == POSITIVE ? u : sign * u);
    if (kind == DISTINCT) x[i] = (real)(0.0531 * (double)((i * 7 + start) % n) - 0.5011);
    if (kind == TARGETS) x[i] = (real)(i % s.dim[1] == (i / s.dim[1]) % s.dim[1]);
    if (kind == GEOMETRY) { /* rotation, scale, shift; then pads */
      const double geo[10] = {0.8, -0.5, 0.7, 0.5, 0.9, -1.1, 4, 5, 3, 5};
      x[i] = (real)(geo[i % 10] * (i < 10 || i % 10 > 5 ? 1 : 1.1));
    }
    /* pixel positions clear of integers, some outside the image */
    if (kind == GRID || (kind == FIXED && s.rank == 4)) {
      int64_t side = i % 2 == 0 ? image.dim[3] : image.dim[2];
      double px = (double)rng_below(r, side + 2) - 1 + 0.3 + 0.4 * rng_uniform(r);
      x[i] = (real)((2 * px + 1) / (double)side - 1);
    }
  }
}

typedef struct Built {
  Graph *g;
  Val in[16];
  Val scalar[4];
  int nin;
  int ndiff;
  int diff[16];
  int levels;
} Built;

/* Inputs: the case's, then r, then one v per differentiable input and level. */
static inline void build(const Case *c, Built *b, int levels, Error *e) {
  b->g = graph_new();
  Graph *g = b->g;
  b->nin = b->ndiff = 0;
  for (int i = 0; i < c->nin; i++) {
    b->in[b->nin++] = g_input(g, NULL, c->shape[i]);
    if (c->data[i] != FIXED && c->data[i] != TARGETS && c->data[i] != GEOMETRY)
      b->diff[b->ndiff++] = i;
  }
  Val y = c->build(g, b->in);
  int r = b->nin;
  b->in[b->nin++] = g_input(g, NULL, graph_shape(g, y));
  b->scalar[0] = g_sum_all(g, g_mul(g, y, b->in[r]));
  b->levels = 1;
  for (int k = 1; k < levels; k++) {
    Val wrt[16], grad[16], sum = 0;
    for (int i = 0; i < b->ndiff; i++) wrt[i] = b->in[b->diff[i]];
    if (graph_grad(g, 1, &b->scalar[k - 1], NULL, b->ndiff, wrt, grad, 0, NULL, e)) return;
    for (int i = 0; i < b->ndiff; i++) {
      int v = b->nin;
      b->in[b->nin++] = g_input(g, NULL, graph_shape(g, wrt[i]));
      Val t = g_sum_all(g, g_mul(g, grad[i], b->in[v]));
      sum = sum ? g_add(g, sum, t) : t;
    }
    b->scalar[k] = sum;
    b->levels++;
  }
  b->diff[b->ndiff++] = r;
}
#undef X
#undef Y
#undef S1
#endif
