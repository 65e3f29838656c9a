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
 * = pixels, B along col). A 16-bit map whose channels lie last in a frame that is wide enough, and
 * that is not modulated, is its own packed map: LAYOUT_K and LAYOUT_MN read it in place, and the
 * store of the product writes its result so, too. */
#ifndef PRLX_CONV_CUH
#define PRLX_CONV_CUH
#include "cuda/fastdiv.cuh"
#include "cuda/map.cuh"
extern "C" {
#include "core/conv.h"
}

/* ---- the loop in the store: a chain of operations on one running value and arguments ---- */
enum {
  CHAIN_MAX_OPS = 10,
  CHAIN_MAX_ARGS = 6,
  CHAIN_MAX_TAPS = 2,
  CHAIN_MAX_SUMS = 2,
  CHAIN_VALUE = -1
};

/* operands: CHAIN_VALUE or an argument */
typedef struct ChainOp {
  int8_t op;
  int8_t a;
  int8_t b;
  PwParam param; /* real is float wherever there is a device */
} ChainOp;

/* strides in elements, 0 where it is stretched; of a weight gradient sc: output channels, sy: input
 * channels, sx: taps (see column_at). chunks: its channels lie last; up: it is read through the
 * filter of the chain; from: it is made of an image, which is what lies at p */
typedef struct ChainArg {
  const void *p;
  int32_t type;
  bool chunks;
  bool up;
  bool from;
  int64_t sn;
  int64_t sc;
  int32_t sy;
  int32_t sx;
} ChainArg;
/* Where the value goes as it is before operation `at`, too, in the shape of the result. */
typedef struct ChainTap {
  MapView to;
  MapFrame frame;
  int at;
} ChainTap;
/* A filter of four taps per axis that doubles the sides of a map (PwUp), gain: per axis. */
typedef struct ChainUp {
  const float *taps;
  int height; /* of the map */
  int width;
  int pady;
  int padx;
  int flip;
  float gain;
} ChainUp;

/* A map that is made of an image of one channel where it is read (PwFrom). */
typedef struct ChainFrom {
  const float *weights;
  const float *bias;
  int stored_as;
  PwLrelu act;
} ChainFrom;

/* The value as it is before operation `at` is summed over pixels: further result `more`, of each
 * image or of all of them. */
typedef struct ChainSum {
  int at;
  int more;
  bool images;
} ChainSum;

/* The value as it is before operation `at`, times one or two arguments (-1: one), is summed over
 * channels: further result `more`, an image of one channel. */
typedef struct ChainDot {
  int at;
  int more;
  int arg[2];
} ChainDot;

/* taps, sums: by `at`; ndot: 0 or 1; stored_at, stored_as: of PwProgram; result_at: the result is
 * the value as it is before that operation, nop as a rule */
typedef struct Chain {
  int nop;
  int narg;
  int ntap;
  int nsum;
  int ndot;
  int stored_at;
  int stored_as;
  int result_at;
  ChainUp up;
  ChainFrom from;
  ChainSum sum[CHAIN_MAX_SUMS];
  ChainDot dot;
  ChainTap tap[CHAIN_MAX_TAPS];
  ChainOp op[CHAIN_MAX_OPS];
  ChainArg arg[CHAIN_MAX_ARGS];
} Chain;

/* ---- one product ---- */
typedef enum { CT_F16, CT_BF16, CT_TF32, CT_STRICT } ConvType; /* arithmetic */
enum { LAYOUT_K, LAYOUT_MN, LAYOUT_1X1, LAYOUT_DW, MAX_CLASSES = 4, CHUNK = 16 };

/* numbers in a chunk */
static inline int chunk_len(ConvType t) { return t == CT_F16 || t == CT_BF16 ? 8 : 4; }

/* One residue class of output pixels: its taps and its place. */
typedef struct ConvClass {
  /* packed weights: first chunk, chunks per row */
  uint32_t first_chunk;
  uint32_t row_chunks;
  uint32_t map_chunk; /* of the map: that of tap (0,0) of pixel (0,0) */
  /* taps; the first one's place in the kernel (weights: ky = ky0 + j*step) */
  int kh;
  int kw;
  int ky0;
  int kx0;
  /* pixels: (iy, ix) = (ay + spread*u, ax + spread*v) */
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

/* The classes of one launch; they share the rows. cols: of all of them. */
typedef struct ConvClasses {
  int count;
  int64_t rows;
  int64_t cols;
  ConvClass of[MAX_CLASSES];
} ConvClasses;

/* A packed map (conv_pack_map), or one that lies so, offsets in chunks. */
typedef struct PackedMap {
  const void *p;
  uint32_t pixel_chunks;
  uint32_t row_chunks;
  uint32_t image_chunks;
  /* a step of the inner loop along k: 4 chunks = step_taps * pixel_chunks + step_chunks */
  uint32_t step_taps;
  uint32_t step_chunks;
  int stride; /* pixels per output pixel */
} PackedMap;

/* A map as it lies, offsets in chunks of pixels; by_plane.d: chunks per channel. */
typedef struct PlaneMap {
  const void *p;
  uint32_t channels;
  uint32_t image_chunks;
  FastDiv by_plane;
} PlaneMap;

/* What a weight gradient sums over (k = pixels) and how its columns are counted: by_tap.d of a tap
 * are the channels filled up to whole chunks. */
typedef struct KernelColumns {
  uint32_t pixels;
  FastDiv by_oh_ow;
  FastDiv by_ow;
  FastDiv by_tap;
  int taps;
  int kw;
  int channels; /* the true ones */
} KernelColumns;

typedef struct ConvStore {
  float *partial; /* [splits][rows][cols] when splits > 1 */
  float *sums;    /* [sum of the chain][tile of columns][rows], where it has some */
  float *dots;    /* [group of STORE_ROWS rows][image, y, x] of the chain's dot */
  int64_t dot_images;
  int dot_height;
  int dot_width;
  void *out; /* NULL: the result is summed only */
  int tout;
  int spread; /* pixels between the outputs of a class */
  bool last;  /* its channels lie last: out_m = 1, stored in chunks */
  /* strides of the result in elements (weight gradients: out_m only, see column_at) */
  int64_t out_n;
  int64_t out_m;
  int32_t out_y;
  int32_t out_x;
  MapFrame frame;
  Chain chain;
} ConvStore;

/* Rows of the product that are stored together, whatever the tile. */
enum { STORE_ROWS = 64 };

/* A and B by layout:
 *   LAYOUT_K    weights x map        LAYOUT_MN   grad x map
 *   LAYOUT_1X1  weights x planes     LAYOUT_DW   planes x map
 * and `kernels` where the result is one (is_weight_gradient). LAYOUT_1X1 has no map, but
 * map.pixel_chunks, the chunks of k. */
typedef struct ConvJob {
  int layout;
  int splits;
  ConvClasses classes;
  const void *weights; /* packed: conv_pack_weights */
  PackedMap map;
  PackedMap grad;
  PlaneMap planes;
  KernelColumns kernels;
  ConvStore store;
} ConvJob;

/* Layouts whose result is a set of kernels, not an image. */
static inline __host__ __device__ bool is_weight_gradient(int layout) {
  return layout == LAYOUT_MN || layout == LAYOUT_DW;
}

/* Where column `col` of a class goes: result offset without m*out_m (-1: nowhere), and (n, y, x)
 * for arguments; of a weight gradient (0, input channel, tap). */
typedef struct Column {
  int64_t off;
  uint32_t n;
  int y;
  int x;
} Column;

/* Column `col` of class `cls` of the job. */
static __device__ __forceinline__ Column column_at(const ConvJob &job, const ConvClass &cls,
                                                   uint32_t col) {
  Column r = {-1, 0, 0, 0};
  if (col >= cls.cols) return r;
  if (is_weight_gradient(job.layout)) {
    const KernelColumns &k = job.kernels;
    uint32_t tap = div_by(col, k.by_tap), channel = col - tap * k.by_tap.d;
    if ((int)channel < k.channels) r.off = (int64_t)channel * k.taps + tap;
    r.y = (int)channel;
    r.x = (int)tap;
    return r;
  }
  uint32_t q = div_by(col, cls.by_uv), rest = col - q * cls.by_uv.d, u = div_by(rest, cls.by_v),
           v = rest - u * cls.by_v.d;
  r.n = q;
  r.y = cls.ay + job.store.spread * (int)u;
  r.x = cls.ax + job.store.spread * (int)v;
  r.off = r.n * job.store.out_n + (int64_t)r.y * job.store.out_y + (int64_t)r.x * job.store.out_x;
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

/* Numbers as they are read again from a type of 16 bits. */
template <int V> static __device__ __forceinline__ void stored_as(int type, float *v) {
  _Pragma("unroll") for (int i = 0; i < V; i++) v[i] =
      type == DT_F16 ? __half2float(__float2half_rn(v[i]))
                     : map_one(__bfloat16_as_ushort(__float2bfloat16_rn(v[i])), DT_BF16);
}

/* NaN stays */
static __device__ __forceinline__ float chain_bound(float x, float limit) {
  x = x > limit ? limit : x;
  return x < -limit ? -limit : x;
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
              limit = slope.limit < 0 ? __int_as_float(0x7f800000) : slope.limit;
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
    case OP_lrelu: CHAIN_EACH(chain_bound(x * (x >= 0 ? pos : neg), limit)); break;
    case OP_lrelu_mask: CHAIN_EACH(x * (y < limit && y > -limit ? y > 0 ? pos : neg : 0.f)); break;
    default: break;
  }
}

/* The values as they are, to where they are kept, too. */
template <int V>
static __device__ __forceinline__ void chain_keep(const ChainTap &tap, const Column &at, int64_t m,
                                                  int64_t rows, const float *v) {
  const MapView &t = tap.to;
  const int64_t off = map_at(t, at.n, (int)m, at.y, at.x);
  if (V == MAP_CHUNK && t.last) {
    map_store(t, tap.frame, off, at.n, at.y, at.x, v);
    return;
  }
  _Pragma("unroll") for (int i = 0; i < V; i++) if (m + i < rows)
      store_as(t.data, t.type, off + (int64_t)i * t.sc, v[i]);
  if (t.last && m % MAP_CHUNK == 0)
    map_zeros(tap.frame, (uint4 *)((uint16_t *)t.data + off), at.n, at.y, at.x);
}

/* Eight channels from m on of what the filter makes of argument g at a pixel: two by two pixels of
 * the map meet its taps (see two_of, upfirdn.cuh). */
static __device__ __forceinline__ void chain_filtered(const ChainUp &u, const ChainArg &g,
                                                      const Column &at, int64_t m, float *w) {
  const int y = at.y - u.pady, x = at.x - u.padx, oddy = y & 1, oddx = x & 1, y0 = (y + oddy) >> 1,
            x0 = (x + oddx) >> 1;
  float gx[2];
  _Pragma("unroll") for (int k = 0; k < 2; k++) {
    gx[k] = u.gain * u.taps[u.flip ? oddx + 2 * k : 3 - oddx - 2 * k];
  }
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) w[i] = 0;
  _Pragma("unroll 1") for (int j = 0; j < 2; j++) { /* not both at once: registers */
    float row[MAP_CHUNK] = {};
    if (y0 + j < 0 || y0 + j >= u.height) continue;
    _Pragma("unroll") for (int k = 0; k < 2; k++) {
      float pixel[MAP_CHUNK];
      if (x0 + k < 0 || x0 + k >= u.width) continue;
      const int64_t off = at.n * g.sn + m + (int64_t)(y0 + j) * g.sy + (int64_t)(x0 + k) * g.sx;
      map_unpack(*(const uint4 *)((const uint16_t *)g.p + off), g.type, pixel);
      _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) row[i] += gx[k] * pixel[i];
    }
    const float gy = u.gain * u.taps[u.flip ? oddy + 2 * j : 3 - oddy - 2 * j];
    _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) w[i] += gy * row[i];
  }
}

/* Eight channels of a map at a pixel of its image, in the bits that it is stored in; of these
 * weights and biases. */
static __device__ __forceinline__ void chain_made(const ChainFrom &f, float pixel,
                                                  const float *weights, const float *bias,
                                                  float *w) {
  const float neg = f.act.slope * f.act.gain, pos = f.act.gain,
              limit = f.act.limit < 0 ? __int_as_float(0x7f800000) : f.act.limit;
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) {
    const float x = __fadd_rn(__fmul_rn(pixel, weights[i]), bias[i]);
    w[i] = chain_bound(x * (x >= 0 ? pos : neg), limit);
  }
  stored_as<MAP_CHUNK>(f.stored_as, w);
}

/* Argument g of the chain for V rows m, m+1, .. (those < rows) of one column. WHOLE: it may be read
 * through the filter, or made of an image. */
template <int V, bool WHOLE>
static __device__ __forceinline__ void chain_load(const Chain &chain, const ChainArg &g,
                                                  const Column &at, int64_t m, int64_t rows,
                                                  float *w) {
  const int64_t off = at.n * g.sn + m * g.sc + (int64_t)at.y * g.sy + (int64_t)at.x * g.sx;
  if (V == MAP_CHUNK && ((WHOLE && (g.up || g.from)) || (g.chunks && g.sc))) {
    float all[MAP_CHUNK];
    if (WHOLE && g.from)
      chain_made(chain.from, load_as(g.p, g.type, off), chain.from.weights + m, chain.from.bias + m,
                 all);
    else if (WHOLE && g.up)
      chain_filtered(chain.up, g, at, m, all);
    else
      map_unpack(*(const uint4 *)((const uint16_t *)g.p + off), g.type, all);
    _Pragma("unroll") for (int i = 0; i < V; i++) w[i] = all[i];
  } else if (g.sc == 0) {
    w[0] = load_as(g.p, g.type, off);
    _Pragma("unroll") for (int i = 1; i < V; i++) w[i] = w[0];
  } else {
    _Pragma("unroll") for (int i = 0; i < V; i++) w[i] =
        m + i < rows ? load_as(g.p, g.type, off + i * g.sc) : 0.f;
  }
}

/* What a thread has summed: of each sum of a chain, V rows; dot: of the V rows of a column. */
template <int V> struct ChainSums {
  float of[CHAIN_MAX_SUMS][V];
  float dot;
};

/* V rows of a column times the factors of the dot. */
template <int V>
static __device__ __forceinline__ float chain_dot(const Chain &chain, const Column &at, int64_t m,
                                                  int64_t rows, const float *v) {
  float x[V], w[V], sum = 0;
  _Pragma("unroll") for (int i = 0; i < V; i++) x[i] = v[i];
  for (int k = 0; k < 2; k++) {
    if (chain.dot.arg[k] < 0) break;
    chain_load<V, false>(chain, chain.arg[chain.dot.arg[k]], at, m, rows, w);
    _Pragma("unroll") for (int i = 0; i < V; i++) x[i] *= w[i];
  }
  _Pragma("unroll") for (int i = 0; i < V; i++) sum += x[i];
  return sum;
}

/* The chain on V rows m, m+1, .. (those < rows) of one column: v becomes the result. WHOLE: with
 * what stores of whole results of convolutions have besides, a filter and sums: those grow by what
 * is summed, unless NULL. */
template <int V, bool WHOLE = false>
static __device__ __forceinline__ void chain_run(const Chain &chain, const Column &at, int64_t m,
                                                 int64_t rows, float *v,
                                                 ChainSums<V> *sums = NULL) {
  float result[V];
  for (int k = 0, t = 0;; k++) {
    for (; t < chain.ntap && chain.tap[t].at == k; t++) chain_keep<V>(chain.tap[t], at, m, rows, v);
    if (k && k == chain.stored_at) stored_as<V>(chain.stored_as, v);
    if (WHOLE && sums) {
      _Pragma("unroll") for (int s = 0; s < CHAIN_MAX_SUMS;
                             s++) if (s < chain.nsum && chain.sum[s].at == k)
          _Pragma("unroll") for (int i = 0; i < V; i++) sums->of[s][i] += v[i];
      if (chain.ndot && k == chain.dot.at) sums->dot = chain_dot<V>(chain, at, m, rows, v);
      if (k == chain.result_at) _Pragma("unroll") for (int i = 0; i < V; i++) result[i] = v[i];
    }
    if (k == chain.nop) break;
    const ChainOp &o = chain.op[k];
    float w[V];
    const int arg = o.a >= 0 ? o.a : o.b;
    if (arg >= 0) chain_load<V, WHOLE>(chain, chain.arg[arg], at, m, rows, w);
    if (arg < 0)
      chain_op<V>(o, v, v, v);
    else if (o.a >= 0)
      chain_op<V>(o, w, v, v);
    else
      chain_op<V>(o, v, w, v);
  }
  if (WHOLE && sums) _Pragma("unroll") for (int i = 0; i < V; i++) v[i] = result[i];
}

/* conv_chain.cu: the loop as a chain that runs on what `conv` makes, argument `from` of it; s: the
 * step for addresses and types, or NULL. False: it is none. conv_chain: of maps alone, without sums
 * and filters, as stores besides those of convolutions run it. */
bool store_chain(const PwProgram *p, int from, const Node *conv, const DevStep *s, Chain *chain);
bool conv_chain(const PwProgram *p, int from, const Node *maker, const DevStep *s, Chain *chain);

/* filter_last.cu: out[k][channel] = sum of `rows` partial sums from row k * rows on, in order, for
 * k < images; channels in eights. */
void filter_add_launch(const CudaCtx *c, const float *partial, void *out, DType tout, int64_t rows,
                       int64_t images, int64_t channels);

/* Eight channels of a pixel, m a multiple of eight, through the chain to a result whose channels
 * lie last (ConvStore.last), with the zeros beside the pixel. Every store of whole results goes
 * through here then: one that leaves the zeros out leaves what lay there before. */
template <bool WHOLE>
static __device__ __forceinline__ void store_chunk(const ConvJob &job, const Column &at, int64_t m,
                                                   float *v, ChainSums<MAP_CHUNK> *sums = NULL) {
  chain_run<MAP_CHUNK, WHOLE>(job.store.chain, at, m, job.classes.rows, v, sums);
  if (WHOLE && sums && !job.store.out) return;
  uint4 *to = (uint4 *)((uint16_t *)job.store.out + at.off + m);
  *to = map_pack(v, job.store.tout);
  map_zeros(job.store.frame, to, at.n, at.y, at.x);
}

/* ---- the passes (all asynchronous on c->stream) ---- */
/* Tile side (128 or 64 rows and columns) of the product; job->splits partial sums when > 1. */
void conv_gemm(const CudaCtx *c, ConvType t, int tile, const ConvJob *job);
void conv_reduce(const CudaCtx *c, const ConvJob *job);

/* out[i] = the sum over `groups` of dots[group][i], in order, for i < n. */
void conv_add_dots(const CudaCtx *c, const float *dots, void *out, DType tout, int64_t groups,
                   int64_t n);

/* Tile and splits that are asked for, 0: as chosen: of the context, or in the environment
 * PRLX_CUDA_CONV=TILE,SPLITS (128,3): tests and measurements of either tile on any shape. */
void conv_forced(const CudaCtx *c, int *tile, int *splits);

/* The same product by wgmma (cuda/conv_wgmma.cu), where the context, the device and the job let it;
 * false: nothing was launched. Asked for tile 128 it takes 256 columns, for 64 it takes 128. */
bool conv_wgmma(const CudaCtx *c, ConvType t, const ConvJob *job);

/* dst[n][y + top][x + left][channel] = src[n][channel][y][x] * scale[n][channel]; the rest of the
 * hp x wp frame and of the last chunk is zero. */
typedef struct PackMap {
  const void *src;
  int tsrc;
  MapLayout lies; /* of src */
  const float *scale;
  void *dst;
  int64_t n;
  int64_t channels;
  int64_t h;
  int64_t w;
  int64_t hp;
  int64_t wp;
  int64_t top;
  int64_t left;
} PackMap;

/* On the stream of c; hp x wp, top and left as the job wants them. */
void conv_pack_map(const CudaCtx *c, ConvType t, const PackMap *p);

/* Weights [co][ci][kh][kw] as the rows of each class, tap_chunks per tap: m = co, k = (ky, kx,
 * ci), or, transposed, m = ci, k = (j, i, co) with ky = ky0 - j*step. */
typedef struct PackWeights {
  ConvType type;
  ConvClasses classes;
  uint32_t tap_chunks;
  ConvGeom geom;
  bool transposed;
  bool swapped; /* in memory [ci][co][kh][kw] */
  float gain;   /* of every weight, in float, before it is rounded */
  const float *w;
  const float *rows; /* NULL, or what each row of them in memory is multiplied by, in float, too */
  void *dst;
} PackWeights;

enum { PACK_JOBS = 7 };

/* PACK_JOBS at most, with one length of chunks, in one launch. */
void conv_pack_weights(const CudaCtx *c, const PackWeights *p, int n);

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

/* The same where the wide map lies with its channels last (thin_last.cu). */
size_t thin_last_scratch(const ConvGeom *g);
void thin_last(const CudaCtx *c, const ConvGeom *g, const DevStep *s, const Chain *chain);

/* Operand `slot` of a step; NULL: absent. */
static inline const void *conv_arg(const DevStep *s, int slot) {
  return slot < s->nargs ? s->arg[slot] : NULL;
}
#endif
