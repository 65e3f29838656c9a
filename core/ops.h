/* ops.h: builders for every operation. Shapes in comments; all axes count from 0; N batch, C
 * channels, H rows, W columns. Each returns the new value, or 0 after a (sticky) failure. */
#ifndef PRLX_OPS_H
#define PRLX_OPS_H
#include "core/graph.h"

/* ---- pointwise (op_pointwise.c): numpy broadcasting between equal ranks, or with rank 0 ---- */
Val g_add(Graph *g, Val a, Val b);
Val g_sub(Graph *g, Val a, Val b);
Val g_mul(Graph *g, Val a, Val b);
Val g_div(Graph *g, Val a, Val b);
Val g_maximum(Graph *g, Val a, Val b); /* gradient goes to a where a >= b */
Val g_neg(Graph *g, Val x);
Val g_axpb(Graph *g, Val x, double a, double b); /* a*x + b, scalars */
Val g_square(Graph *g, Val x);
Val g_sqrt0(Graph *g, Val x);  /* sqrt, gradient 0 at 0 */
Val g_rsqrt0(Graph *g, Val x); /* 1/sqrt(x), 0 at 0 */
Val g_exp(Graph *g, Val x);
Val g_log(Graph *g, Val x);
Val g_sigmoid(Graph *g, Val x);
Val g_tanh(Graph *g, Val x);
Val g_softplus(Graph *g, Val x); /* log(1+e^x), x for x > 20 */
Val g_abs(Graph *g, Val x);      /* gradient sign(x) */
Val g_sign(Graph *g, Val x);     /* -1, 0, 1; gradient 0 */
Val g_gt0(Graph *g, Val x);      /* 1 where x > 0 else 0; gradient 0 */

/* gain * (x >= 0 ? x : alpha x), then clamp to +-clamp if clamp >= 0. alpha 0 = relu, 1 = linear.
 * SEMANTICS 1.3 */
Val g_lrelu(Graph *g, Val x, double alpha, double gain, double clamp);

/* Its gradient: dy * slope at output y. */
Val g_lrelu_mask(Graph *g, Val dy, Val y, double alpha, double gain, double clamp);

/* x moved into lo..hi. */
Val g_clamp(Graph *g, Val x, double lo, double hi);

/* Its gradient: dy where lo <= x <= hi, else 0. */
Val g_clamp_mask(Graph *g, Val dy, Val x, double lo, double hi);

/* ---- reductions and shapes ---- */

/* Over a bit mask of axes, which stay with size 1. */
Val g_sum(Graph *g, Val x, unsigned axes);
Val g_mean(Graph *g, Val x, unsigned axes);

/* Over everything: rank 0. */
Val g_sum_all(Graph *g, Val x);
Val g_mean_all(Graph *g, Val x);

/* Stretches axes of size 1 (equal rank), or rank 0 to anything. */
Val g_broadcast(Graph *g, Val x, Shape s);

/* Adjoint of broadcast: sums axes where s has 1 (or everything for rank 0). */
Val g_sum_to(Graph *g, Val x, Shape s);

/* Another shape of as many numbers; axes in another order; a part: start, start + step, ..., len of
 * them. */
Val g_reshape(Graph *g, Val x, Shape s);
Val g_permute(Graph *g, Val x, const int *axes); /* out axis k = in axis axes[k] */
Val g_slice(Graph *g, Val x, int axis, int64_t start, int64_t len, int64_t step);

/* Adjoint of slice: x[k] goes to before + k*step of `total`, zeros elsewhere. */
Val g_pad(Graph *g, Val x, int axis, int64_t before, int64_t total, int64_t step);

/* One behind the other along an axis; moved cyclically; backwards along a bit mask of axes. */
Val g_concat(Graph *g, Val a, Val b, int axis);
Val g_roll(Graph *g, Val x, int axis, int64_t shift); /* cyclic, out[k] = in[k - shift] */
Val g_flip(Graph *g, Val x, unsigned axes);

/* x [N,C,H,W], edge not repeated; every pad <= side-1. */
Val g_reflect_pad(Graph *g, Val x, int x0, int x1, int y0, int y1);

/* ---- linear algebra and convolution ---- */

/* [m,k] x [k,n] after optional transposes. */
Val g_matmul(Graph *g, Val a, Val b, bool ta, bool tb);

/* Correlation, zero padding. x [N,Ci,H,W], w [Co,Ci,kh,kw] -> [N,Co,OH,OW], OH = floor((H+2
 * pad-kh)/stride)+1. */
Val g_conv2d(Graph *g, Val x, Val w, int stride, int pad);

/* Its input gradient = transposed convolution: dy [N,Co,OH,OW], w [Co,Ci,kh,kw] -> [N,Ci,H,W]; H,W
 * given. */
Val g_conv2d_dx(Graph *g, Val dy, Val w, int stride, int pad, int64_t h, int64_t w_out);

/* Its weight gradient: x [N,Ci,H,W], dy [N,Co,OH,OW] -> [Co,Ci,kh,kw]. */
Val g_conv2d_dw(Graph *g, Val x, Val dy, int stride, int pad, int kh, int kw);

typedef struct UpFirDn {
  int upx;
  int upy;
  int downx;
  int downy;
  int padx0;
  int padx1;
  int pady0;
  int pady1;
  int flip; /* 0: true convolution, 1: correlation */
  double gain;
  int separable_per_sample; /* f is [N,T] */
} UpFirDn;

/* Zero insertion, padding (negative: cropping), filter, decimation: SEMANTICS 1.2. x [N,C,H,W]. f:
 * [fh,fw] (2-D), or [T] (separable, both axes, gain sqrt per axis), or [N,T] (separable, one filter
 * per sample). No gradient with respect to f. */
Val g_upfirdn2d(Graph *g, Val x, Val f, const UpFirDn *p);

/* ---- sampling and pooling ---- */

/* theta [N,2,3] -> [N,h,w,2] (x,y) in -1..1, align_corners = false. */
Val g_affine_grid(Graph *g, Val theta, int64_t h, int64_t w);

/* Bilinear, zeros outside, align_corners = false: [N,C,H,W],[N,h,w,2] -> [N,C,h,w]. */
Val g_grid_sample(Graph *g, Val x, Val grid);

/* x [N,C,H,W] -> [N,C,h,w]: bilinear, half-pixel, no antialias. */
Val g_resize(Graph *g, Val x, int64_t h, int64_t w);

/* The geometric augmentation in one linear operation (SEMANTICS 6.1 steps 2-5; op_warp.c): reflect
 * pad, 2x upsampling with the 12 taps f, affine bilinear sampling, 2x decimation with f. geo [N,10]
 * = {G00,G01,G02, G10,G11,G12, pad x0,x1,y0,y1}. Any order in x; geo, f constant. */
Val g_warp(Graph *g, Val x, Val geo, Val f);

/* Windows of k x k; the first maximum wins; any order (piecewise linear). */
Val g_maxpool(Graph *g, Val x, int k, int stride, int pad);

/* The same with averages; padding is excluded from them (composed of upfirdn2d). */
Val g_avgpool(Graph *g, Val x, int k, int stride, int pad);

/* ---- losses ---- */

/* Cross entropy of softmax(logits): [N,K],[N,K] -> [N]; first order only. */
Val g_softmax_ce(Graph *g, Val logits, Val onehot);
#endif
