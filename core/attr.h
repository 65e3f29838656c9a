/* attr.h: attributes: what an operation needs to know beyond its operands, by name. One struct per
 * family; both twins of an operation (core/op_NAME.c, cuda/NAME.cu) read the same names.
 *
 * A struct here is made of int32_t and double only, the doubles first, so that it has no padding:
 * equal attributes are equal bytes, which is how nodes are compared. How many bytes a family uses
 * stands in its row of the table (OpRow.attr_bytes); the rest of an Attr is zero. */
#ifndef PRLX_ATTR_H
#define PRLX_ATTR_H
#include "core/base.h"

/* ---- pointwise ---- */
typedef struct AxpbAttr { /* scale x + shift */
  double scale;
  double shift;
} AxpbAttr;

typedef struct LreluAttr { /* lrelu, lrelu_mask: SEMANTICS 1.3 */
  double slope;            /* of the negative side, before the gain */
  double gain;
  double limit; /* clamp to +-limit; -1: none */
} LreluAttr;

typedef struct ClampAttr { /* clamp, clamp_mask */
  double low;
  double high;
} ClampAttr;

/* ---- shapes ---- */
typedef struct ShapeAttr { /* reshape, broadcast: the shape of the result */
  int32_t rank;
  int32_t dim[MAX_RANK];
} ShapeAttr;

typedef struct AxesAttr { /* flip: bit k is axis k */
  int32_t mask;
} AxesAttr;

typedef struct SumAttr {
  int32_t mask; /* bit k: axis k is summed */
  /* 0; or, in a graph whose samples may not depend on the batch (graph_batch_invariant), the length
   * of the first axis, if that is kept: how a sum is cut may not depend on it */
  int32_t samples;
} SumAttr;

typedef struct PermuteAttr { /* axis k of the result is axis[k] of the operand */
  int32_t axis[MAX_RANK];
} PermuteAttr;

typedef struct SliceAttr { /* elements start, start + step, .. of the operand */
  int32_t axis;
  int32_t start;
  int32_t length; /* of the result */
  int32_t step;
} SliceAttr;

typedef struct PadAttr { /* element k of the operand goes to before + k step, zeros elsewhere */
  int32_t axis;
  int32_t before;
  int32_t total; /* length of the result */
  int32_t step;
} PadAttr;

typedef struct ConcatAttr {
  int32_t axis;
} ConcatAttr;

typedef struct RollAttr { /* result[k] = operand[k - shift], cyclic; 0 <= shift < length */
  int32_t axis;
  int32_t shift;
} RollAttr;

typedef struct ReflectAttr { /* reflect_pad, reflect_pad_t: pixels added at each side */
  int32_t left;
  int32_t right;
  int32_t top;
  int32_t bottom;
} ReflectAttr;

/* ---- matrices and images ---- */
/* op(a) [m,k] times op(b) [k,n]. The caller gives the two flags, the shape rule the sides. */
typedef struct MatmulAttr {
  int32_t transpose_a;
  int32_t transpose_b;
  int32_t m;
  int32_t n;
  int32_t k;
  int32_t per_row; /* 1: a row's bits may not depend on m (graph_batch_invariant) */
  int32_t bf16;    /* 1: operands are rounded to bf16 (core/bf16.h) */
} MatmulAttr;

/* conv2d, conv2d_dx, conv2d_dw and conv_prep: the whole geometry of x [n,ci,h,w], w [co,ci,kh,kw],
 * y [n,co,oh,ow]. The caller gives stride and pad, for dx also h and w, for dw kh and kw; the shape
 * rule fills in the rest. */
typedef struct ConvAttr {
  int32_t stride;
  int32_t pad;
  int32_t n;
  int32_t ci;
  int32_t h;
  int32_t w;
  int32_t co;
  int32_t kh;
  int32_t kw;
  int32_t oh;
  int32_t ow;
  int32_t kind;    /* ConvKind */
  int32_t tile;    /* conv_prep: side of the Winograd tile, 0: direct, -1: bf16; on a backend: its
                     own */
  int32_t plan_n;  /* batch for which the algorithm is chosen (graph_batch_invariant) */
  int32_t bf16;    /* 1: operands are rounded to bf16 (core/bf16.h) */
  float gain;      /* conv_prep on a backend: the weights times this number; 0: as they are */
  int32_t swapped; /* there, too: they lie [ci,co,kh,kw] */
} ConvAttr;

typedef struct UpfirdnAttr { /* as UpFirDn in ops.h */
  double gain;
  int32_t upx;
  int32_t upy;
  int32_t downx;
  int32_t downy;
  int32_t padx0;
  int32_t padx1;
  int32_t pady0;
  int32_t pady1;
  int32_t flip;       /* 0: true convolution, 1: correlation */
  int32_t per_sample; /* one separable filter per sample */
} UpfirdnAttr;

typedef struct SizeAttr { /* affine_grid, grid_sample_dx, resize, resize_t: of the result, pixels */
  int32_t height;
  int32_t width;
} SizeAttr;

typedef struct PoolAttr { /* maxpool, maxpool_t, maxpool_gather */
  int32_t window;
  int32_t stride;
  int32_t pad;
} PoolAttr;

typedef union Attr {
  int64_t words[9]; /* first, and as large as the largest: `Attr a = {{0}}` clears all of it */
  AxpbAttr axpb;
  LreluAttr lrelu;
  ClampAttr clamp;
  ShapeAttr shape;
  AxesAttr axes;
  SumAttr sum;
  PermuteAttr permute;
  SliceAttr slice;
  PadAttr pad;
  ConcatAttr concat;
  RollAttr roll;
  ReflectAttr reflect;
  MatmulAttr matmul;
  ConvAttr conv;
  UpfirdnAttr upfirdn;
  SizeAttr size;
  PoolAttr pool;
} Attr;
#endif
