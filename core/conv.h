/* conv.h: what the planner, tests and benchmarks see of the convolutions beyond their rows of the
 * table.
 *
 * The triple conv2d (C), conv2d_dx (X), conv2d_dw (W) with one geometry (stride, pad, n, ci, h, w,
 * co, kh, kw, oh, ow) is closed under differentiation. A node's Attr holds the whole geometry (see
 * conv_geom). The planner may extend a copy of a node:
 *   conv2d, conv2d_dx:  in[2] = prepared weights (output of a conv_prep node), in[3] = scale [N,C]
 *   of operand 0's channels
 *   conv2d_dw:          in[2] = scale [N,Ci] of x, in[3] = scale [N,Co] of dy
 * each NULL when there is none: conv(x*s, w) is computed without storing x*s. */
#ifndef PRLX_CONV_H
#define PRLX_CONV_H
#include "core/graph.h"

typedef enum { CONV_FWD = 0, CONV_DX, CONV_DW } ConvKind;

/* In the letters of the literature: n images of ci channels and h x w pixels, co kernels of kh x kw
 * taps, outputs of oh x ow pixels. */
typedef struct ConvGeom {
  int kind; /* ConvKind */
  int stride;
  int pad;
  int64_t n;
  int64_t ci;
  int64_t h;
  int64_t w;
  int64_t co;
  int64_t kh;
  int64_t kw;
  int64_t oh;
  int64_t ow;
  int64_t plan_n; /* batch for which the algorithm is chosen */
  bool bf16;      /* operands are rounded to bf16 where that pays (core/bf16.h) */
} ConvGeom;

/* Of a conv2d, conv2d_dx, conv2d_dw or conv_prep node. */
ConvGeom conv_geom(const Node *n);

typedef enum { CONV_AUTO = 0, CONV_DIRECT, CONV_WINOGRAD, CONV_WINOGRAD2, CONV_BF16 } ConvAlgo;

/* Overrides environment PRLX_CONV=auto|direct|winograd|winograd2 (stride 1: F(4x4,3x3) or
 * F(2x2,3x3); stride 2: F(3,2) on the parts that have two taps; wherever possible). CONV_BF16, for
 * tests: nodes with operands of bf16 have them whether that pays or not. Not while a plan exists:
 * prepared weights depend on it. */
void conv_set_algo(ConvAlgo algo);

/* Fills `prep` (op conv_prep, its input, shape [numel], attributes) for a conv2d or conv2d_dx node;
 * false when the algorithm for this geometry wants no prepared weights. `in`: shapes of the
 * operands of `conv`. */
bool conv_make_prep(const Node *conv, const Shape *in, Node *prep);

/* 2 x multiply-adds of a direct convolution, or of a matmul; 0 for other nodes. */
double conv_flop(const Node *n);

/* "direct", "thin", "winograd4" (stride 1), "winograd2", "winograd3" (stride 2), "bf16". */
const char *conv_algo_name(const Node *n);
#endif
