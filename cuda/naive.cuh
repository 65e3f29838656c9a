/* naive.cuh: what the files of the oracle share (cuda/naive.h): a loop and a result. */
#ifndef PRLX_NAIVE_CUH
#define PRLX_NAIVE_CUH
#include "cuda/any.cuh"
#include "cuda/naive.h"

enum { NAIVE_THREADS = 128 };

/* ---- a loop, as core/pointwise.h says it ---- */
typedef struct NaiveLoop {
  PwProgram program;
  const void *arg[PW_MAX_ARGS];
  DType type[PW_MAX_ARGS];
  int from; /* this argument is a number of the thread's own: -1: none */
} NaiveLoop;

/* How a product sees its operands: as they are, or rounded. */
typedef enum { NAIVE_EXACT, NAIVE_F16, NAIVE_BF16, NAIVE_TF32 } NaiveOperands;

/* Where results go; tol NULL: nowhere. tol: what may be off before storing. unit: of the operands'
 * last place, relative; 0: float. operands: of convolutions. terms: what each term of a sum may be
 * off, relative and at random, besides. */
typedef struct NaiveOut {
  void *to;
  DType type;
  float *tol;
  float unit;
  NaiveOperands operands;
  float terms;
} NaiveOut;

/* x moved into -limit..limit; limit < 0: none. */
static __device__ inline float naive_limit(float x, float limit) {
  return limit < 0 ? x : x > limit ? limit : x < -limit ? -limit : x;
}

/* One operation of core/kernels/pointwise.c. */
static __device__ inline float naive_op(const PwOp &op, float x, float y) {
  const PwLrelu l = op.param.lrelu;
  const PwClamp to = op.param.clamp;
  const float neg = l.slope * l.gain, pos = l.gain;
  switch (op.op) {
    case OP_add: return x + y;
    case OP_sub: return x - y;
    case OP_mul: return x * y;
    case OP_div: return x / y;
    case OP_maximum: return x >= y ? x : y;
    case OP_neg: return -x;
    case OP_axpb: return op.param.axpb.scale * x + op.param.axpb.shift;
    case OP_square: return x * x;
    case OP_sqrt0: return sqrtf(x);
    case OP_rsqrt0: return x > 0 ? 1 / sqrtf(x) : 0;
    case OP_exp: return expf(x);
    case OP_log: return logf(x);
    case OP_sigmoid: return 1 / (1 + expf(-x));
    case OP_tanh: return tanhf(x);
    case OP_softplus: return x > 20 ? x : log1pf(expf(x));
    case OP_abs: return x < 0 ? -x : x;
    case OP_sign: return (float)((x > 0) - (x < 0));
    case OP_gt0: return x > 0 ? 1.f : 0.f;
    case OP_lrelu: return naive_limit(x * (x >= 0 ? pos : neg), l.limit);
    case OP_lrelu_mask:
      return l.limit >= 0 && !(y < l.limit && y > -l.limit) ? 0 : x * (y > 0 ? pos : neg);
    case OP_clamp: return x < to.low ? to.low : x > to.high ? to.high : x;
    case OP_clamp_mask: return y >= to.low && y <= to.high ? x : 0;
    default: return x; /* broadcast: a copy */
  }
}

/* What is read after x was stored in 16 bits of this type. */
static __device__ inline float naive_stored(int type, float x) {
  if (type == DT_F16) return __half2float(__float2half_rn(x));
  return __uint_as_float((uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(x)) << 16);
}

/* What the filter of the loop (PwUp) makes of its map at place `at`. */
static __device__ inline float naive_up(const NaiveLoop &l, const int64_t *at) {
  const PwUp &u = l.program.up;
  const Shape &s = l.program.arg_shape[u.map - 1];
  const float *f = (const float *)l.arg[u.taps];
  double sum = 0;
  for (int ky = 0; ky < 4; ky++)
    for (int kx = 0; kx < 4; kx++) {
      const int64_t y = at[2] + ky - u.pady, x = at[3] + kx - u.padx;
      if (y < 0 || x < 0 || y % 2 || x % 2 || y / 2 >= s.dim[2] || x / 2 >= s.dim[3]) continue;
      sum += (double)u.gain * u.gain * f[u.flip ? ky : 3 - ky] * f[u.flip ? kx : 3 - kx] *
             ld_any(l.arg[u.map - 1], l.type[u.map - 1],
                    ((at[0] * s.dim[1] + at[1]) * s.dim[2] + y / 2) * s.dim[3] + x / 2);
    }
  return (float)sum;
}

/* What is made of an image h x w (PwFrom) at place `at` of the map. */
static __device__ inline float naive_from(const NaiveLoop &l, const int64_t *at, const void *image,
                                          DType type, int64_t h, int64_t w) {
  const PwFrom &f = l.program.from;
  const float pixel = ld_any(image, type, (at[0] * h + at[2]) * w + at[3]),
              x = __fadd_rn(__fmul_rn(pixel, ((const float *)l.arg[f.weights])[at[1]]),
                            ((const float *)l.arg[f.bias])[at[1]]),
              y = x * (x >= 0 ? f.act.gain : f.act.slope * f.act.gain);
  return naive_stored(f.stored_as, naive_limit(y, f.act.limit));
}

/* The loop at place i of its iteration; v: the argument `from`. */
static __device__ inline float naive_value(const NaiveLoop &l, int64_t i, float v) {
  const PwProgram &p = l.program;
  int64_t at[MAX_RANK] = {0};
  float reg[PW_MAX_REGS], operand[2];
  for (int k = p.iter.rank - 1; k >= 0; k--) {
    at[k] = i % p.iter.dim[k];
    i /= p.iter.dim[k];
  }
  for (int k = 0; k <= p.nop; k++) {
    const PwOp none = {}, &op = k < p.nop ? p.op[k] : none;
    for (int side = 0; side < 2; side++) {
      const int code = k == p.nop ? p.result : side ? op.rhs : op.lhs, a = -1 - code;
      if (code >= 0) {
        operand[side] = reg[code];
      } else if (a == l.from) {
        operand[side] = v;
      } else if (p.up.map == a + 1) {
        operand[side] = naive_up(l, at);
      } else if (p.from.image == a + 1) {
        operand[side] =
            naive_from(l, at, l.arg[a], l.type[a], p.arg_shape[a].dim[2], p.arg_shape[a].dim[3]);
      } else {
        int64_t off = 0;
        for (int r = 0; r < p.arg_shape[a].rank; r++)
          off = off * p.arg_shape[a].dim[r] + (p.arg_shape[a].dim[r] == 1 ? 0 : at[r]);
        operand[side] = a < p.narg && l.arg[a] ? ld_any(l.arg[a], l.type[a], off) : 0;
      }
    }
    if (k < p.nop) reg[op.dst] = naive_op(op, operand[0], operand[1]);
    if (k < p.nop && k + 1 == p.stored_at) reg[op.dst] = naive_stored(p.stored_as, reg[op.dst]);
  }
  return operand[0];
}

/* A result with what it may be off, through the loop in its store. */
static __device__ inline void naive_store(const NaiveOut &o, const NaiveLoop &l, int64_t i,
                                          double sum, double squares) {
  const float v = (float)sum,
              t = (float)((NAIVE_SUM + NAIVE_SIGMAS * 0.6 * o.unit) * sqrt(squares));
  const bool loop = l.from >= 0;
  const float y = loop ? naive_value(l, i, v) : v;
  st_any(o.to, o.type, i, y);
  if (!o.tol) return;
  const float up = loop ? fabsf(naive_value(l, i, v + t) - y) : t,
              down = loop ? fabsf(naive_value(l, i, v - t) - y) : t;
  o.tol[i] = 1e-5f * fabsf(y) + 1.5f * fmaxf(up, down) + 1e-30f;
}

typedef struct NaiveTerm {
  double sum;
  double squares;
} NaiveTerm;

/* One more term. */
static __device__ inline void naive_add(NaiveTerm *t, double x) {
  t->sum += x;
  t->squares += x * x;
}

/* cuda/naive_image.cu; scratch: of warp_t. */
void naive_filter_launch(const CudaCtx *c, const DevStep *s, const NaiveLoop &l, NaiveOut o);
void naive_warp_launch(const CudaCtx *c, const DevStep *s, const NaiveLoop &l, NaiveOut o,
                       void *scratch);

/* cuda/naive.cu: how many results a step has. */
int naive_results(const DevStep *s);

/* The step of result r alone; one: its program. A sum of what a store leaves is that of `map`, or
 * of what lies in s->out. */
DevStep naive_single(const DevStep *s, int r, const float *map, PwProgram *one);

/* A map of 16 bits whose channels lie last (MapLayout); cuda/naive_lies.cu. */
typedef struct NaiveLies {
  MapLayout margin;
  int64_t channels;
  int64_t height;
  int64_t width;
} NaiveLies;

/* A copy in planes, and back. */
void naive_to_planes(const CudaCtx *c, Shape s, MapLayout l, const void *from, void *to);
void naive_from_planes(const CudaCtx *c, Shape s, MapLayout l, const void *from, void *to);

/* How many numbers around the map are not zero, to device memory. */
void naive_count_margin(const CudaCtx *c, Shape s, MapLayout l, const void *map, int64_t *dirty);

/* A step by its definition, its first result, into o. */
Status naive_run(const CudaCtx *c, const DevStep *s, NaiveOut o, void *scratch, Error *e);
#endif
