/* conv.cuh: what the files of the convolutions share.
 *
 * All three convolutions are one matrix product D[m, col] = sum_k A[m, k] B[k, col] over operands
 * that a first pass ("pack", cuda/conv_pack.cu) lays out for the tensor cores: channels innermost
 * in chunks of 16 bytes, the map inside a margin of zeros, in the number type of the product,
 * multiplied by the modulation. Reading a map once more (2 bytes in, 2 out per element) buys an
 * inner loop without bounds, conversions or scalar loads: for a 3x3 layer of 256 channels the
 * product does 1152 multiply-adds per byte so moved.
 *   conv2d      m = output channel, col = (n, oy, ox), k = (ky, kx, ci)
 *   conv2d_dx   m = input channel,  col = (n, u, v) of one residue class of (iy, ix) modulo the
 *                                   stride, k = (j, i, co): only the taps that meet the class,
 *               so a stride of 2 costs a quarter per pixel and no multiplication by zero; each
 *               class is a stride-1 correlation (see classes_of)
 *   conv2d_dw   m = output channel, col = (ky, kx, ci), k = (n, oy, ox)
 * In the first two both operands are contiguous along k (LAYOUT_K), in the last along m and col
 * (LAYOUT_MN). Where a map may be read as it lies (planes of pixels in the right type, no
 * modulation, no margin, whole chunks per plane) it is not packed: the map of a 1x1 convolution
 * (LAYOUT_1X1: A along k, B along col) and the incoming gradient of conv2d_dw (LAYOUT_DW: A along k
 * = pixels, B along col). */
#ifndef PRLX_CONV_CUH
#define PRLX_CONV_CUH
#include "cuda/cuda.h"
extern "C" {
#include "core/conv.h"
}

/* ---- division by a number fixed at launch: q = (hi(n m) + n) >> s, exact for n < 2^31 ---- */
typedef struct FastDiv {
  uint32_t d;
  uint32_t m;
  uint32_t s;
} FastDiv;

/* For a divisor d >= 1. */
static inline FastDiv fast_div(uint32_t d) {
  FastDiv f = {d, 0, 0};
  while ((1ull << f.s) < d) f.s++;
  f.m = (uint32_t)(((1ull << 32) * ((1ull << f.s) - d)) / d + 1);
  return f;
}

/* n / f.d. */
static __device__ __forceinline__ uint32_t div_by(uint32_t n, FastDiv f) {
  return (__umulhi(n, f.m) + n) >> f.s;
}

/* ---- the loop in the store: a chain of operations on one running value and arguments ---- */
enum { CHAIN_MAX_OPS = 10, CHAIN_MAX_ARGS = 6, CHAIN_VALUE = -1 };

/* operands: CHAIN_VALUE or an argument */
typedef struct ChainOp {
  int8_t op;
  int8_t a;
  int8_t b;
  PwParam param; /* real is float wherever there is a device */
} ChainOp;

/* strides in elements, 0 where it is stretched */
typedef struct ChainArg {
  const void *p;
  int32_t type;
  int64_t sn;
  int64_t sc;
  int32_t sy;
  int32_t sx;
} ChainArg;
typedef struct Chain {
  int nop;
  int narg;
  ChainOp op[CHAIN_MAX_OPS];
  ChainArg arg[CHAIN_MAX_ARGS];
} Chain;

/* ---- one product ---- */
typedef enum { CT_F16, CT_BF16, CT_TF32, CT_STRICT } ConvType; /* arithmetic */
enum { LAYOUT_K, LAYOUT_MN, LAYOUT_1X1, LAYOUT_DW, MAX_CLASSES = 4, CHUNK = 16 };

/* numbers in a chunk */
static inline int chunk_len(ConvType t) { return t == CT_F16 || t == CT_BF16 ? 8 : 4; }

/* One residue class of output pixels: its taps and its place. Offsets and strides of operands are
 * in chunks. */
typedef struct ConvClass {
  /* packed weights: first chunk, chunks per row */
  uint32_t a_off;
  uint32_t a_stride;
  uint32_t b_off; /* chunk of tap (0,0) of pixel (0,0) */
  /* taps; the first one's place in the kernel (weights: ky = ky0 + j*step) */
  int kh;
  int kw;
  int ky0;
  int kx0;
  /* pixels: (iy, ix) = (ay + so*u, ax + so*v) */
  int u;
  int v;
  int ay;
  int ax;
  int steps; /* of the inner loop: 64 bytes of k each */
  /* columns; first column of the class in partial sums */
  uint32_t cols;
  uint32_t col0;
  FastDiv by_uv;
  FastDiv by_v;
  FastDiv by_kw;
} ConvClass;

typedef struct ConvJob {
  int layout;
  int nclass;
  int splits;
  /* rows; columns of all classes */
  int64_t m;
  int64_t cols;
  /* packed, or planes as they lie */
  const void *a;
  const void *b;
  /* chunks per pixel of b (LAYOUT_K) or of a and b (LAYOUT_MN) */
  uint32_t ac;
  uint32_t bc;
  /* a step of the inner loop in taps and chunks: 4 = step_t * bc + step_kc */
  uint32_t step_t;
  uint32_t step_kc;
  /* chunks of b per line (LAYOUT_1X1: per plane) and per image */
  uint32_t row;
  uint32_t image;
  /* b advances su pixels per output pixel; outputs of a class are so pixels apart */
  int su;
  int so;
  ConvClass cls[MAX_CLASSES];
  int channels; /* LAYOUT_1X1: of b */
  /* LAYOUT_1X1, LAYOUT_DW: chunks per plane of the map that is not packed */
  FastDiv by_plane;
  uint32_t a_image; /* LAYOUT_DW: chunks per image of a */
  /* LAYOUT_MN, LAYOUT_DW */
  uint32_t pixels; /* k */
  /* by_tap.d: columns of a tap, b's channels filled up to whole chunks */
  FastDiv by_oh_ow;
  FastDiv by_ow;
  FastDiv by_tap;
  /* kh*kw; true channels of b */
  int taps;
  int kw;
  int b_channels;
  /* store */
  float *partial; /* [splits][m][cols] when splits > 1 */
  void *out;
  int tout;
  /* strides of the result in elements; out_x = 1 (weight gradients: out_m only, see column_at) */
  int64_t out_n;
  int64_t out_m;
  int32_t out_y;
  Chain chain;
} ConvJob;

/* Layouts whose result is a set of kernels, not an image. */
static inline __host__ __device__ bool is_weight_gradient(int layout) {
  return layout == LAYOUT_MN || layout == LAYOUT_DW;
}

/* Where column `col` of a class goes: result offset without m*out_m (-1: nowhere), and (n, y, x)
 * for arguments. */
typedef struct Column {
  int64_t off;
  uint32_t n;
  int y;
  int x;
} Column;

/* Column `col` of class c of the job j. */
static __device__ __forceinline__ Column column_at(const ConvJob &j, const ConvClass &c,
                                                   uint32_t col) {
  Column r = {-1, 0, 0, 0};
  if (col >= c.cols) return r;
  if (is_weight_gradient(j.layout)) {
    uint32_t tap = div_by(col, j.by_tap), ci = col - tap * j.by_tap.d;
    if ((int)ci < j.b_channels) r.off = (int64_t)ci * j.taps + tap;
    return r;
  }
  uint32_t q = div_by(col, c.by_uv), rest = col - q * c.by_uv.d, u = div_by(rest, c.by_v),
           v = rest - u * c.by_v.d;
  r.n = q;
  r.y = c.ay + j.so * (int)u;
  r.x = c.ax + j.so * (int)v;
  r.off = r.n * j.out_n + (int64_t)r.y * j.out_y + r.x;
  return r;
}

/* Element i of an array of `type` (DType), as float. */
static __device__ __forceinline__ float load_as(const void *p, int type, int64_t i) {
  return type == DT_F32   ? ((const float *)p)[i]
         : type == DT_F16 ? ld((const __half *)p, i)
                          : ld((const __nv_bfloat16 *)p, i);
}

/* And back. */
static __device__ __forceinline__ void store_as(void *p, int type, int64_t i, float x) {
  if (type == DT_F32)
    ((float *)p)[i] = x;
  else if (type == DT_F16)
    st((__half *)p, i, x);
  else
    st((__nv_bfloat16 *)p, i, x);
}

/* NaN stays */
static __device__ __forceinline__ float chain_bound(float x, float c) {
  x = x > c ? c : x;
  return x < -c ? -c : x;
}
#define CHAIN_EACH(expr)                            \
  do {                                              \
    _Pragma("unroll") for (int i = 0; i < V; i++) { \
      float x = a[i], y = b[i];                     \
      (void)y;                                      \
      v[i] = (expr);                                \
    }                                               \
  } while (0)

/* One operation on V numbers: decoded once. Same formulas as core/kernels/pointwise.c. */
template <int V>
static __device__ __forceinline__ void chain_op(const ChainOp &o, const float *a, const float *b,
                                                float *v) {
  const PwAxpb line = o.param.axpb;
  const PwClamp to = o.param.clamp;
  const PwLrelu slope = o.param.lrelu;
  const float neg = slope.slope * slope.gain, pos = slope.gain,
              c = slope.limit < 0 ? __int_as_float(0x7f800000) : slope.limit;
  switch (o.op) {
    case OP_add: CHAIN_EACH(x + y); break;
    case OP_sub: CHAIN_EACH(x - y); break;
    case OP_mul: CHAIN_EACH(x * y); break;
    case OP_maximum: CHAIN_EACH(x >= y ? x : y); break;
    case OP_neg: CHAIN_EACH(-x); break;
    case OP_axpb: CHAIN_EACH(line.scale * x + line.shift); break;
    case OP_square: CHAIN_EACH(x * x); break;
    case OP_abs: CHAIN_EACH(x < 0 ? -x : x); break;
    case OP_clamp: CHAIN_EACH(x < to.low ? to.low : x > to.high ? to.high : x); break;
    case OP_clamp_mask: CHAIN_EACH(y >= to.low && y <= to.high ? x : 0.f); break;
    case OP_lrelu: CHAIN_EACH(chain_bound(x * (x >= 0 ? pos : neg), c)); break;
    case OP_lrelu_mask: CHAIN_EACH(x * (y < c && y > -c ? y > 0 ? pos : neg : 0.f)); break;
    default: break;
  }
}

/* The chain on V rows m, m+1, .. (those < rows) of one column. */
template <int V>
static __device__ __forceinline__ void chain_run(const Chain &c, const Column &at, int64_t m,
                                                 int64_t rows, float *v) {
  for (int k = 0; k < c.nop; k++) {
    const ChainOp &o = c.op[k];
    float w[V];
    int arg = o.a >= 0 ? o.a : o.b;
    if (arg >= 0) {
      const ChainArg &g = c.arg[arg];
      int64_t off = at.n * g.sn + m * g.sc + (int64_t)at.y * g.sy + (int64_t)at.x * g.sx;
      if (g.sc == 0) {
        w[0] = load_as(g.p, g.type, off);
        _Pragma("unroll") for (int i = 1; i < V; i++) w[i] = w[0];
      } else {
        _Pragma("unroll") for (int i = 0; i < V; i++) w[i] =
            m + i < rows ? load_as(g.p, g.type, off + i * g.sc) : 0.f;
      }
    }
    if (arg < 0)
      chain_op<V>(o, v, v, v);
    else if (o.a >= 0)
      chain_op<V>(o, w, v, v);
    else
      chain_op<V>(o, v, w, v);
  }
}

/* ---- the passes (all asynchronous on c->stream) ---- */
/* Tile side (128 or 64 rows and columns) of the product; j->splits partial sums when > 1. */
void conv_gemm(const CudaCtx *c, ConvType t, int tile, const ConvJob *j);
void conv_reduce(const CudaCtx *c, const ConvJob *j);

/* dst[n][y + top][x + left][channel] = src[n][channel][y][x] * scale[n][channel]; the rest of the
 * hp x wp frame and of the last chunk is zero. */
typedef struct PackMap {
  const void *src;
  int tsrc;
  const float *scale;
  void *dst;
  int64_t n;
  int64_t c;
  int64_t h;
  int64_t w;
  int64_t hp;
  int64_t wp;
  int64_t top;
  int64_t left;
} PackMap;

/* On the stream of c; hp x wp, top and left as the job wants them. */
void conv_pack_map(const CudaCtx *c, ConvType t, const PackMap *p);

/* Weights [co][ci][kh][kw] as the rows of each class of j: m = co, k = (ky, kx, ci), or,
 * transposed, m = ci, k = (j, i, co) with ky = ky0 - j*step. */
void conv_pack_weights(const CudaCtx *c, ConvType t, const ConvJob *j, const float *w,
                       const ConvGeom *g, bool transposed, void *dst);

/* kernels of up to 180 taps */
bool conv_pack_fits(const ConvGeom *g);

/* 1x1 convolutions with at most THIN channels on one side (toRGB, fromRGB): bound by memory, on
 * FMA. False: not this shape. */
enum { THIN = 4 };

/* Whether it is of this shape; bytes of scratch that it wants; the launch, with the loop in the
 * store (or an empty chain). */
bool conv_thin_fits(const ConvGeom *g);
size_t conv_thin_scratch(const CudaCtx *c, const ConvGeom *g);
void conv_thin(const CudaCtx *c, const ConvGeom *g, const DevStep *s, const Chain *chain);

/* Operand `slot` of a step; NULL: absent. */
static inline const void *conv_arg(const DevStep *s, int slot) {
  return slot < s->nargs ? s->arg[slot] : NULL;
}
#endif
