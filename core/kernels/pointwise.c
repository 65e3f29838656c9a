/* pointwise.c (per instruction set): chunk loops of the pointwise operations. Plain loops; the
 * compiler vectorises them for the instruction set it is given. `#pragma GCC ivdep`: d may be a or
 * b themselves, never a shifted copy. */
#include <math.h>
#include "core/pointwise.h"
#include "core/kernels/simd.h"

#define LOOP _Pragma("GCC ivdep") for (int i = 0; i < n; i++)
#define BINARY(expr)             \
  do {                           \
    if (mode == 0) {             \
      LOOP {                     \
        real x = a[i], y = b[i]; \
        d[i] = (expr);           \
      }                          \
    } else if (mode == 1) {      \
      real x = a[0];             \
      LOOP {                     \
        real y = b[i];           \
        d[i] = (expr);           \
      }                          \
    } else if (mode == 2) {      \
      real y = b[0];             \
      LOOP {                     \
        real x = a[i];           \
        d[i] = (expr);           \
      }                          \
    } else {                     \
      real x = a[0], y = b[0];   \
      real r_ = (expr);          \
      LOOP d[i] = r_;            \
    }                            \
  } while (0);                   \
  break
#define UNARY(expr)     \
  do {                  \
    if (mode & 1) {     \
      real x = a[0];    \
      real r_ = (expr); \
      LOOP d[i] = r_;   \
    } else {            \
      LOOP {            \
        real x = a[i];  \
        d[i] = (expr);  \
      }                 \
    }                   \
  } while (0);          \
  break

static real pw_softplus(real x) { return x > 20 ? x : (real)log1p(exp((double)x)); }
static real pw_sigmoid(real x) { return (real)(1 / (1 + exp(-(double)x))); }

#if defined(PRLX_NEON) && !defined(PRLX_F64)
#include <arm_neon.h>
/* With a slope of at most 1 the larger of both products is the right one, of either sign; FMAX and
 * FMIN keep NaN, as the comparisons of the plain loop do. Numbers done, a multiple of four. */
static int lrelu_neon(const PwLrelu *p, float *d, const float *a, int n) {
  const float neg = p->slope * p->gain, pos = p->gain;
  const float32x4_t c = vdupq_n_f32(p->limit), low = vdupq_n_f32(-p->limit);
  int i = 0;
  if (!(p->slope >= 0 && p->slope <= 1 && pos >= 0)) return 0;
  if (p->limit < 0)
    for (; i + 4 <= n; i += 4) {
      const float32x4_t x = vld1q_f32(a + i);
      vst1q_f32(d + i, vmaxq_f32(vmulq_n_f32(x, pos), vmulq_n_f32(x, neg)));
    }
  else
    for (; i + 4 <= n; i += 4) {
      const float32x4_t x = vld1q_f32(a + i);
      const float32x4_t r = vmaxq_f32(vmulq_n_f32(x, pos), vmulq_n_f32(x, neg));
      vst1q_f32(d + i, vmaxq_f32(vminq_f32(r, c), low));
    }
  return i;
}
#endif

static void pw_lrelu(const PwOp *op, real *d, const real *a, int n, int mode) {
  const PwLrelu p = op->param.lrelu;
  real neg = p.slope * p.gain, pos = p.gain, c = p.limit;
  if (mode & 1) {
    real x = a[0];
    real r = x >= 0 ? x * pos : x * neg;
    if (c >= 0) r = r > c ? c : r < -c ? -c : r;
    LOOP d[i] = r;
    return;
  }
#if defined(PRLX_NEON) && !defined(PRLX_F64)
  const int done = lrelu_neon(&p, d, a, n);
  d += done;
  a += done;
  n -= done;
#endif
  if (c < 0) {
    LOOP {
      real x = a[i];
      d[i] = x * (x >= 0 ? pos : neg);
    }
  } else {
    LOOP {
      real x = a[i];
      real r = x * (x >= 0 ? pos : neg);
      r = r > c ? c : r;
      d[i] = r < -c ? -c : r;
    }
  }
}

/* Slope from the output y, which has the sign of x; at y = 0 the slope is that of the negative side
 * (SEMANTICS 1.3; relu: 0). |y| = clamp counts as clamped: x on the bound exactly and x beyond it
 * cannot be told apart from y. */
static void pw_lrelu_mask(const PwOp *op, real *d, const real *a, const real *b, int n, int mode) {
  const PwLrelu p = op->param.lrelu;
  real neg = p.slope * p.gain, pos = p.gain, c = p.limit;
  if (c < 0) c = (real)INFINITY;
  if (mode) {
    LOOP {
      real y = b[mode & 2 ? 0 : i];
      real s = y > 0 ? pos : neg;
      d[i] = a[mode & 1 ? 0 : i] * (((y < c) & (y > -c)) ? s : 0);
    }
  } else if (c == (real)INFINITY) {
    LOOP d[i] = a[i] * (b[i] > 0 ? pos : neg);
  } else {
    LOOP {
      real y = b[i];
      real s = y > 0 ? pos : neg;
      s = y < c ? s : 0;
      s = y > -c ? s : 0;
      d[i] = a[i] * s;
    }
  }
}

static void pw_apply(const PwOp *op, real *d, const real *a, const real *b, int n, int mode) {
  const PwAxpb line = op->param.axpb;
  const PwClamp to = op->param.clamp;
  switch (op->op) {
    case OP_add: BINARY(x + y);
    case OP_sub: BINARY(x - y);
    case OP_mul: BINARY(x * y);
    case OP_div: BINARY(x / y);
    case OP_maximum: BINARY(x >= y ? x : y);
    case OP_neg: UNARY(-x);
    case OP_axpb: UNARY(line.scale * x + line.shift);
    case OP_square: UNARY(x * x);
    case OP_sqrt0: UNARY((real)sqrt(x));
    case OP_rsqrt0: UNARY(x > 0 ? 1 / (real)sqrt(x) : 0);
    case OP_exp: UNARY((real)exp((double)x));
    case OP_log: UNARY((real)log((double)x));
    case OP_sigmoid: UNARY(pw_sigmoid(x));
    case OP_tanh: UNARY((real)tanh((double)x));
    case OP_softplus: UNARY(pw_softplus(x));
    case OP_abs: UNARY(x < 0 ? -x : x);
    case OP_sign: UNARY((real)((x > 0) - (x < 0)));
    case OP_gt0: UNARY((real)(x > 0));
    case OP_lrelu: pw_lrelu(op, d, a, n, mode); break;
    case OP_lrelu_mask: pw_lrelu_mask(op, d, a, b, n, mode); break;
    case OP_clamp: UNARY(x < to.low ? to.low : x > to.high ? to.high : x);
    case OP_clamp_mask: BINARY(((y >= to.low) & (y <= to.high)) ? x : 0);
    default: UNARY(x); /* broadcast: a copy */
  }
}

static double pw_sum(const real *a, int n) {
  enum { L = 8 };
  double acc[L] = {0};
  int i = 0;
  for (; i + L <= n; i += L)
    for (int k = 0; k < L; k++) acc[k] += a[i + k];
  for (int k = 0; i < n; i++, k++) acc[k] += a[i];
  return ((acc[0] + acc[1]) + (acc[2] + acc[3])) + ((acc[4] + acc[5]) + (acc[6] + acc[7]));
}

static void pw_add_to(double *acc, const real *a, int n) { LOOP acc[i] += a[i]; }

const PwKernels ISA_SYM(pw_kernels) = {pw_apply, pw_sum, pw_add_to};
