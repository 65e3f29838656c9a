/* pointwise.cuh: a fused loop (core/pointwise.h) in the form the device interprets, and the
 * interpreter.
 *
 * A thread computes PW_VEC neighbours of the inner axis. The program becomes a one-accumulator
 * machine: `acc = acc op x` or `acc = f(x)`, x an argument, the accumulator or a slot. In the
 * programs of training almost every value is used by the next operation only and never leaves the
 * accumulator; the rest waits in slots of shared memory that are private to the thread (no barrier,
 * no bank conflict). So nothing is indexed dynamically in registers, and nothing goes to local
 * memory. The program comes by value with the launch: it lies in constant memory, and every branch
 * on it is uniform.
 *
 * Cost: decoding and addresses take about 25 instructions per step and thread, 3 per element; an
 * H200 (132 SM, 128 lanes, 1.8 GHz, 4.8 TB/s) issues 38 lane-instructions in the time it moves the
 * 6 bytes of a 16-bit z = f(x, y). The programs that make up 95 % of the bytes of a training step
 * have 1 to 4 operations and need 15 to 35 per element: memory is the limit, so there are no
 * compiled special cases. In flight: 60 registers leave 1024 threads per SM, with two vectors each
 * under way 32 KiB (16-bit) or 64 KiB (float), where 4.8 TB/s with a latency of 0.7 us asks for 25
 * KiB. Estimates; what a GPU measured is in SPEED.md. */
#ifndef PRLX_CUDA_POINTWISE_CUH
#define PRLX_CUDA_POINTWISE_CUH
#include "cuda/index.cuh"

enum {
  PW_VEC = 8,
  PW_OUTER = MAX_RANK - 1,
  PW_MICRO_MAX = 2 * PW_MAX_OPS + 1 + PW_MAX_MORE,
  PW_ACC = 64,
  PW_SLOT = 32,
  PW_NO_SLOT = 255
};

/* how an argument is read: one number, 16-byte vectors, number by number */
enum { PW_ONE, PW_WIDE, PW_EACH };
typedef enum {
  MO_COPY,
  MO_ADD,
  MO_SUB,
  MO_SUB_R,
  MO_MUL,
  MO_DIV,
  MO_DIV_R,
  MO_MAX,
  MO_MAX_R,
  MO_AXPB,
  MO_SQUARE,
  MO_LRELU,
  MO_LRELU_MASK,
  MO_LRELU_MASK_R,
  MO_SLOPE,
  MO_SLOPE_R,
  MO_NEG,
  MO_SQRT,
  MO_RSQRT,
  MO_EXP,
  MO_LOG,
  MO_SIGMOID,
  MO_TANH,
  MO_SOFTPLUS,
  MO_ABS,
  MO_SIGN,
  MO_GT0,
  MO_CLAMP,
  MO_CLAMP_MASK,
  MO_CLAMP_MASK_R
} MicroCode;

/* lrelu and lrelu_mask: slopes with the gain in them, limit infinity where there is none */
typedef struct PwSlopes {
  float negative;
  float positive;
  float limit;
} PwSlopes;
typedef union MicroParam {
  PwSlopes slopes;
  PwAxpb axpb;
  PwClamp clamp;
} MicroParam;

/* src: argument 0..15, PW_SLOT + slot, PW_ACC. slot: where the result is kept as well, or
 * PW_NO_SLOT. results: of a loop with several, bit r: it is result r. _R: operands the other way
 * round. */
typedef struct alignas(16) PwMicro {
  uint8_t code;
  uint8_t src;
  uint8_t slot;
  uint8_t results;
  MicroParam param;
} PwMicro;
typedef struct PwArg {
  const void *p;
  int32_t stride[PW_OUTER];
  int32_t inner;
  uint8_t type;
  uint8_t mode;
} PwArg;
template <int ARGS, int OPS> struct PwDevOf {
  int nop;
  int outer;
  int nslot;
  /* summed: bit r = outer axis r is summed (reductions) */
  uint32_t summed;
  uint32_t inner;
  bool inner_summed;
  bool wide_out;
  /* row: PW_VECs per inner axis */
  FastDiv dim[PW_OUTER];
  FastDiv row;
  /* product of the kept and of the summed outer axes */
  int64_t nkept;
  int64_t nsum;
  PwArg arg[ARGS];
  PwMicro op[OPS];
};
typedef PwDevOf<PW_MAX_ARGS, PW_MICRO_MAX> PwDev;

/* Most loops are this small; so many of them fit into the arguments of one launch. */
enum { PW_FEW_ARGS = 6, PW_FEW_OPS = 10, PW_JOBS = 7 };
typedef PwDevOf<PW_FEW_ARGS, PW_FEW_OPS> PwSmall;

/* Host (pointwise.cu). init: shapes only; bind: addresses, types and the alignment that vectors
 * need. False: a program that core would not make. */
bool pw_dev_init(PwDev *d, const PwProgram *p);
void pw_dev_bind(PwDev *d, const void *const *arg, const DType *type, const void *out);

/* How each result walks the axes of a loop: bit r: outer axis r is summed. */
typedef struct PwResults {
  uint32_t summed[1 + PW_MAX_MORE];
  bool inner_summed[1 + PW_MAX_MORE];
} PwResults;

/* pw_dev_init of a loop with several results. */
bool pw_dev_init_several(PwDev *d, const PwProgram *p, PwResults *r);
size_t pw_sum_scratch(const DevStep *s); /* reduce.cu */
Status pw_sum_launch(const CudaCtx *c, const DevStep *s, PwDev *d, int32_t samples, Error *e);

/* loop_last.cu, where an operand lies with its channels last (else false): the axes and arguments
 * of a bound program for that; the loop without a reduction. */
bool pw_dev_last(PwDev *d, const DevStep *s);
Status pw_last_launch(const CudaCtx *c, const DevStep *s, const PwDev *d, Error *e);

/* A small program from one that was made as a large one; its arguments and operations fit. */
template <class From, class To> static inline void pw_dev_copy(const From &d, To *to) {
  to->nop = d.nop;
  to->outer = d.outer;
  to->nslot = d.nslot;
  to->summed = d.summed;
  to->inner = d.inner;
  to->inner_summed = d.inner_summed;
  to->wide_out = d.wide_out;
  for (int r = 0; r < PW_OUTER; r++) to->dim[r] = d.dim[r];
  to->row = d.row;
  to->nkept = d.nkept;
  to->nsum = d.nsum;
  for (size_t a = 0; a < sizeof to->arg / sizeof *to->arg; a++) to->arg[a] = d.arg[a];
  for (size_t k = 0; k < sizeof to->op / sizeof *to->op; k++) to->op[k] = d.op[k];
}

/* slots: 32 bytes per thread each */
static inline int pw_threads(const PwDev *d) {
  return d->nslot <= 3 ? 256 : d->nslot <= 7 ? 128 : 64;
}

/* Bytes of dynamic shared memory of a block. */
template <class D> static inline size_t pw_slot_bytes(const D *d, int threads) {
  /* never 0: the kernels take the address of dynamic shared memory */
  return 16 + (size_t)d->nslot * PW_VEC * sizeof(float) * (size_t)threads;
}

/* ---- device ---- */
typedef struct alignas(16) Half8 {
  __half2 h[4];
} Half8;
typedef struct alignas(16) Bfloat8 {
  __nv_bfloat162 h[4];
} Bfloat8;

/* PW_VEC numbers, to a place that is a multiple of 16 bytes. */
static __device__ __forceinline__ void pw_store_wide(void *out, int type, uint32_t at,
                                                     const float *v) {
  if (type == DT_F32) {
    float4 *p = (float4 *)((float *)out + at);
    p[0] = make_float4(v[0], v[1], v[2], v[3]);
    p[1] = make_float4(v[4], v[5], v[6], v[7]);
  } else if (type == DT_F16) {
    Half8 u;
#pragma unroll
    for (int i = 0; i < 4; i++) u.h[i] = __floats2half2_rn(v[2 * i], v[2 * i + 1]);
    *(Half8 *)((__half *)out + at) = u;
  } else {
    Bfloat8 u;
#pragma unroll
    for (int i = 0; i < 4; i++) u.h[i] = __floats2bfloat162_rn(v[2 * i], v[2 * i + 1]);
    *(Bfloat8 *)((__nv_bfloat16 *)out + at) = u;
  }
}

/* Loading is cut in two, so that the arguments of the next two steps are on their way while this
 * step computes: issue leaves the bits as they come (nothing waits for them), unpack makes floats.
 * Numbers read one by one lie one to a register, those of 16-bit vectors two. */
static __device__ __forceinline__ uint32_t pw_bits(const PwArg &a, uint32_t at) {
  return a.type == DT_F32 ? ((const uint32_t *)a.p)[at] : ((const uint16_t *)a.p)[at];
}

/* Four registers from 16 aligned bytes. */
static __device__ __forceinline__ void pw_vector(const uint4 *p, uint32_t *raw) {
  const uint4 u = *p;
  raw[0] = u.x;
  raw[1] = u.y;
  raw[2] = u.z;
  raw[3] = u.w;
}

/* PW_VEC numbers of argument a at outer coordinates idx, inner position col; the first `valid`
 * exist, the others become 0. */
static __device__ __forceinline__ void pw_issue(const PwArg &a, int outer, const uint32_t *idx,
                                                uint32_t col, int valid, uint32_t *raw) {
  uint32_t at = col * (uint32_t)a.inner;
#pragma unroll
  for (int r = 0; r < PW_OUTER; r++)
    if (r < outer) at += idx[r] * (uint32_t)a.stride[r];
  if (a.mode == PW_ONE) {
    raw[0] = pw_bits(a, at);
  } else if (a.mode == PW_WIDE && valid == PW_VEC) {
    const uint4 *p = (const uint4 *)((const char *)a.p + (size_t)at * (a.type == DT_F32 ? 4 : 2));
    pw_vector(p, raw);
    if (a.type == DT_F32) pw_vector(p + 1, raw + 4);
  } else {
#pragma unroll
    for (int j = 0; j < PW_VEC; j++)
      raw[j] = j < valid ? pw_bits(a, at + (uint32_t)j * (uint32_t)a.inner) : 0;
  }
}

/* One number from its bits. */
static __device__ __forceinline__ float pw_number(uint32_t bits, int type) {
  return type == DT_F32   ? __uint_as_float(bits)
         : type == DT_F16 ? __half2float(__ushort_as_half((unsigned short)bits))
                          : __uint_as_float(bits << 16);
}

/* What pw_issue left in raw, as PW_VEC floats. */
static __device__ __forceinline__ void pw_unpack(const PwArg &a, int valid, const uint32_t *raw,
                                                 float *x) {
  if (a.mode == PW_ONE) {
    const float v = pw_number(raw[0], a.type);
#pragma unroll
    for (int j = 0; j < PW_VEC; j++) x[j] = v;
  } else if (a.type == DT_F32) {
#pragma unroll
    for (int j = 0; j < PW_VEC; j++) x[j] = __uint_as_float(raw[j]);
  } else if (a.mode == PW_WIDE && valid == PW_VEC) {
#pragma unroll
    for (int j = 0; j < PW_VEC; j++)
      x[j] = pw_number(j & 1 ? raw[j / 2] >> 16 : raw[j / 2] & 0xffff, a.type);
  } else {
#pragma unroll
    for (int j = 0; j < PW_VEC; j++) x[j] = pw_number(raw[j], a.type);
  }
}

/* y moved into -c..c. */
static __device__ __forceinline__ float pw_limit(float y, float c) {
  return y > c ? c : y < -c ? -c : y;
}
#define PW_BINARY(expr)                                  \
  {                                                      \
    _Pragma("unroll") for (int j = 0; j < PW_VEC; j++) { \
      const float a = acc[j], y = x[j];                  \
      acc[j] = (expr);                                   \
    }                                                    \
  }                                                      \
  break
#define PW_UNARY(expr)                                   \
  {                                                      \
    _Pragma("unroll") for (int j = 0; j < PW_VEC; j++) { \
      const float y = x[j];                              \
      acc[j] = (expr);                                   \
    }                                                    \
  }                                                      \
  break

/* One step on PW_VEC numbers: acc <- acc op x, or f(x). The same expressions as
 * core/kernels/pointwise.c; exp, log, tanh, sigmoid and softplus in float instead of double (a few
 * ulp). */
static __device__ __forceinline__ void pw_apply(const PwMicro &m, const float *x, float *acc) {
  const PwSlopes s = m.param.slopes;
  const PwAxpb line = m.param.axpb;
  const PwClamp to = m.param.clamp;
  switch (m.code) {
    case MO_ADD: PW_BINARY(a + y);
    case MO_SUB: PW_BINARY(a - y);
    case MO_SUB_R: PW_BINARY(y - a);
    case MO_MUL: PW_BINARY(a * y);
    case MO_DIV: PW_BINARY(a / y);
    case MO_DIV_R: PW_BINARY(y / a);
    case MO_MAX: PW_BINARY(a >= y ? a : y);
    case MO_MAX_R: PW_BINARY(y >= a ? y : a);
    case MO_AXPB: PW_UNARY(line.scale * y + line.shift);
    case MO_SQUARE: PW_UNARY(y * y);
    case MO_LRELU: PW_UNARY(pw_limit(y * (y >= 0 ? s.positive : s.negative), s.limit));
    /* lrelu_mask without clamp */
    case MO_SLOPE: PW_BINARY(a * (y > 0 ? s.positive : s.negative));
    case MO_SLOPE_R: PW_BINARY(y * (a > 0 ? s.positive : s.negative));
    case MO_LRELU_MASK: PW_BINARY(a * (fabsf(y) < s.limit ? (y > 0 ? s.positive : s.negative) : 0));
    case MO_LRELU_MASK_R:
      PW_BINARY(y * (fabsf(a) < s.limit ? (a > 0 ? s.positive : s.negative) : 0));
    case MO_NEG: PW_UNARY(-y);
    case MO_SQRT: PW_UNARY(sqrtf(y));
    case MO_RSQRT: PW_UNARY(y > 0 ? 1 / sqrtf(y) : 0);
    case MO_EXP: PW_UNARY(expf(y));
    case MO_LOG: PW_UNARY(logf(y));
    case MO_SIGMOID: PW_UNARY(1 / (1 + expf(-y)));
    case MO_TANH: PW_UNARY(tanhf(y));
    case MO_SOFTPLUS: PW_UNARY(y > 20 ? y : log1pf(expf(y)));
    case MO_ABS: PW_UNARY(y < 0 ? -y : y);
    case MO_SIGN: PW_UNARY((float)((y > 0) - (y < 0)));
    case MO_GT0: PW_UNARY(y > 0 ? 1.0f : 0.0f);
    case MO_CLAMP: PW_UNARY(y < to.low ? to.low : y > to.high ? to.high : y);
    case MO_CLAMP_MASK: PW_BINARY(y >= to.low && y <= to.high ? a : 0);
    case MO_CLAMP_MASK_R: PW_BINARY(a >= to.low && a <= to.high ? y : 0);
    default: PW_UNARY(y);
  }
}

/* Where a thread is: outer coordinates, inner position, how many of its PW_VEC numbers exist, its
 * place in the slots (dynamic shared memory). */
typedef struct PwPlace {
  uint32_t idx[PW_OUTER];
  uint32_t col;
  int valid;
  float4 *slots;
  int tid;
  int nthreads;
} PwPlace;

/* Issues the argument of step k, if it has one, into raw. */
template <class D>
static __device__ __forceinline__ void pw_ahead(const D &d, const PwPlace &at, int k,
                                                uint32_t *raw) {
  const int src = k < d.nop ? d.op[k].src : (int)PW_ACC;
  if (src < PW_MAX_ARGS) pw_issue(d.arg[src], d.outer, at.idx, at.col, at.valid, raw);
}

/* Step k, whose argument is in raw; then raw takes the argument of step k + 2. */
template <class D>
static __device__ __forceinline__ void pw_step(const D &d, const PwPlace &at, int k, uint32_t *raw,
                                               float *acc) {
  const PwMicro &m = d.op[k];
  const int src = m.src;
  float x[PW_VEC];
  if (src < PW_MAX_ARGS) {
    pw_unpack(d.arg[src], at.valid, raw, x);
  } else if (src == PW_ACC) {
#pragma unroll
    for (int j = 0; j < PW_VEC; j++) x[j] = acc[j];
  } else {
    const float4 *p = at.slots + 2 * (src - PW_SLOT) * at.nthreads + at.tid;
    const float4 u = p[0], v = p[at.nthreads];
    x[0] = u.x;
    x[1] = u.y;
    x[2] = u.z;
    x[3] = u.w;
    x[4] = v.x;
    x[5] = v.y;
    x[6] = v.z;
    x[7] = v.w;
  }
  pw_ahead(d, at, k + 2, raw);
  pw_apply(m, x, acc);
  if (m.slot != PW_NO_SLOT) {
    float4 *p = at.slots + 2 * m.slot * at.nthreads + at.tid;
    p[0] = make_float4(acc[0], acc[1], acc[2], acc[3]);
    p[at.nthreads] = make_float4(acc[4], acc[5], acc[6], acc[7]);
  }
}

/* The whole program for one vector. Two loads are under way at any time. */
template <class D>
static __device__ __forceinline__ void pw_eval(const D &d, const PwPlace &at, float *acc) {
  uint32_t even[PW_VEC] = {}, odd[PW_VEC] = {};
#pragma unroll
  for (int j = 0; j < PW_VEC; j++) acc[j] = 0;
  pw_ahead(d, at, 0, even);
  pw_ahead(d, at, 1, odd);
#pragma unroll 1
  for (int k = 0; k < d.nop; k += 2) {
    pw_step(d, at, k, even, acc);
    if (k + 1 < d.nop) pw_step(d, at, k + 1, odd, acc);
  }
}

/* Coordinates of the outer axes in `mask` from a linear index over them. */
template <class D>
static __device__ __forceinline__ void pw_coordinates(const D &d, uint32_t mask, uint32_t n,
                                                      uint32_t *idx) {
#pragma unroll
  for (int r = PW_OUTER - 1; r >= 0; r--) {
    if (r >= d.outer || !(mask >> r & 1)) continue;
    const uint32_t q = div_by(n, d.dim[r]);
    idx[r] = n - q * d.dim[r].d;
    n = q;
  }
}
#endif
