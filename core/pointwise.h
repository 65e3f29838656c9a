/* pointwise.h: fused loops. A chain of pointwise nodes of one shape runs as one pass over memory:
 * the values between them stay in chunks of a few hundred numbers in the first-level cache. The
 * planner builds these programs; a reduction may end one. */
#ifndef PRLX_POINTWISE_H
#define PRLX_POINTWISE_H
#include "core/graph.h"
#include "core/isa.h"

enum { PW_CHUNK = 512, PW_MAX_OPS = 24, PW_MAX_ARGS = 16, PW_MAX_REGS = 12, PW_MAX_MORE = 7 };

/* The attributes of a pointwise operation in the number type of its loop (core/attr.h). */
typedef struct PwAxpb {
  real scale;
  real shift;
} PwAxpb;
typedef struct PwLrelu {
  real slope;
  real gain;
  real limit;
} PwLrelu;
typedef struct PwClamp {
  real low;
  real high;
} PwClamp;
typedef union PwParam {
  PwAxpb axpb;
  PwLrelu lrelu;
  PwClamp clamp;
} PwParam;

/* One step: dst register <- op(lhs, rhs). Codes: >= 0 register, < 0 argument -1-k. */
typedef struct PwOp {
  uint8_t op;
  int8_t dst;
  int8_t lhs;
  int8_t rhs;
  PwParam param;
} PwOp;

/* A further result of a loop: what is stored or, where shape has 1s and the iteration has not,
 * summed. */
typedef struct PwMore {
  int8_t result;
  Shape shape;
} PwMore;
/* In the store of a convolution on a device: argument map - 1 is read through a filter of four
 * taps per axis, argument `taps`, which doubles its sides (UpfirdnAttr). map 0: none. */
typedef struct PwUp {
  uint8_t map;
  uint8_t taps;
  bool flip;
  int32_t pady;
  int32_t padx;
  float gain;
} PwUp;

/* There, too: argument image - 1 is an image of one channel where a map is meant, lrelu(image x
 * weights + bias), rounded to the type `stored_as` (DType); weights, bias: arguments with a number
 * for each channel. image 0: none, PW_INPUT: operand 0 of the filter whose store it is. */
enum { PW_INPUT = 255 };
typedef struct PwFrom {
  uint8_t image;
  uint8_t weights;
  uint8_t bias;
  uint8_t stored_as;
  PwLrelu act;
} PwFrom;

typedef struct PwProgram {
  int nop;
  int narg;
  PwOp op[PW_MAX_OPS];
  int8_t result;                /* code of the value that is stored or reduced */
  Shape iter;                   /* iteration shape, full rank */
  Shape arg_shape[PW_MAX_ARGS]; /* equal rank with 1s, or rank 0 */
  Shape out_shape;              /* == iter, or with 1s where summed (reduce) */
  bool reduce;
  int32_t samples; /* reduce: SumAttr.samples */
  /* results besides the first; on devices only (core/plan_multi.c) */
  int nmore;
  PwMore more[PW_MAX_MORE];
  /* in the store of a convolution or filter (core/plan_store.c): after so many operations the value
   * goes on as it is read from memory of type stored_as (DType), 0: nowhere */
  uint8_t stored_at;
  uint8_t stored_as;
  PwUp up;       /* core/plan_up.c */
  PwFrom from;   /* core/plan_from.c */
  bool unstored; /* the first result is summed by further ones and stored nowhere */
} PwProgram;

/* Result r as a loop of its own; r = 0: the first. */
void pw_single(const PwProgram *p, int r, PwProgram *one);

/* Runs it, with its first result alone. args[k] points to argument k (contiguous in its own shape).
 * out may be the memory of an argument of shape iter. */
void pw_run(const PwProgram *p, const real *const *args, real *out, void *scratch);

/* Bytes of scratch that pw_run needs. */
size_t pw_scratch(const PwProgram *p);

/* The attributes of a pointwise node; zero where it has none. */
PwParam pw_param(const Node *n);

/* One pointwise node as a program; in: shapes of its operands. */
void pw_from_node(const Node *n, const Shape *in, PwProgram *p);

/* Per instruction set (core/kernels/pointwise.c). mode bit 0: a is one number, bit 1: b is one
 * number. */
typedef struct PwKernels {
  void (*apply)(const PwOp *op, real *d, const real *a, const real *b, int n, int mode);
  double (*sum)(const real *a, int n); /* fixed-order sum of a chunk */
  void (*add_to)(double *acc, const real *a, int n);
} PwKernels;
ISA_DECLARE(const PwKernels, pw_kernels);
#endif
