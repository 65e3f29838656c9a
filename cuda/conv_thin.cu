/* conv_thin.cu: 1x1 convolutions with at most 4 channels on one side (toRGB, fromRGB and their
 * gradients). They do 4 multiply-adds per number of the wide map at most: bound by memory, so they
 * read it once, as it lies, and multiply in float. */
#include "cuda/conv.cuh"

enum {
  THIN_THREADS = 256,
  THIN_SLICES = 8,
  THIN_WIDE_MAX = 2560,
  THIN_ROWS = 32,
  THIN_DW_CHANNELS = 8
};

bool conv_thin_fits(const ConvGeom *g) {
  return g->kh == 1 && g->kw == 1 && g->stride == 1 && g->pad == 0 &&
         PRLX_MIN(g->ci, g->co) <= THIN && PRLX_MAX(g->ci, g->co) <= THIN_WIDE_MAX;
}

/* in [n][k][hw] * scale [n][k] -> out [n][m][hw]; weight of (m, k) at m*wm + k*wk. */
typedef struct Thin {
  int m;
  int k;
  int tin;
  int tout;
  int64_t wm;
  int64_t wk;
  int64_t hw;
  int64_t cols;
  FastDiv by_hw;
  FastDiv by_w;
  const float *w;
  const float *scale;
  const void *in;
  void *out;
  Chain chain;
} Thin;

static __device__ __forceinline__ Column thin_column(const Thin &t, int64_t col) {
  uint32_t n = div_by((uint32_t)col, t.by_hw), p = (uint32_t)col - n * t.by_hw.d,
           y = div_by(p, t.by_w);
  Column at = {(int64_t)n * t.m * t.hw + p, n, (int)y, (int)(p - y * t.by_w.d)};
  return at;
}

/* m <= 4. A block: 32 columns (lanes) in 8 slices of k (warps); slices are added in order. */
template <class T>
__global__ void __launch_bounds__(THIN_THREADS) thin_out_kernel(const __grid_constant__ Thin t) {
  SHARED2(float4, sum, THIN_SLICES, 32);
  float4 *w = DYNAMIC_SHARED(float4);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int k = threadIdx.x; k < t.k; k += THIN_THREADS) {
    const float *p = t.w + k * t.wk;
    w[k] = make_float4(p[0], t.m > 1 ? p[t.wm] : 0.f, t.m > 2 ? p[2 * t.wm] : 0.f,
                       t.m > 3 ? p[3 * t.wm] : 0.f);
  }
  __syncthreads();
  const int64_t col = (int64_t)blockIdx.x * 32 + lane, safe = col < t.cols ? col : t.cols - 1;
  const Column at = thin_column(t, safe);
  const int per = (t.k + THIN_SLICES - 1) / THIN_SLICES, k1 = min(t.k, (warp + 1) * per);
  const int64_t p = safe - (int64_t)at.n * t.hw;
  const T *in = (const T *)t.in + (int64_t)at.n * t.k * t.hw + p;
  float4 a = make_float4(0, 0, 0, 0);
  _Pragma("unroll 8") for (int k = warp * per; k < k1; k++) {
    float x = ld(in, k * t.hw);
    if (t.scale) x *= t.scale[(int64_t)at.n * t.k + k];
    float4 v = w[k];
    a.x = fmaf(v.x, x, a.x);
    a.y = fmaf(v.y, x, a.y);
    a.z = fmaf(v.z, x, a.z);
    a.w = fmaf(v.w, x, a.w);
  }
  sum[warp][lane] = a;
  __syncthreads();
  if (warp != 0 || col >= t.cols) return;
  float v[4] = {0, 0, 0, 0};
  for (int s = 0; s < THIN_SLICES; s++) {
    float4 b = sum[s][lane];
    v[0] += b.x;
    v[1] += b.y;
    v[2] += b.z;
    v[3] += b.w;
  }
  chain_run<4>(t.chain, at, 0, t.m, v);
  _Pragma("unroll") for (int i = 0; i < 4; i++) if (i < t.m)
      store_as(t.out, t.tout, at.off + i * t.hw, v[i]);
}

/* k <= 4. A thread: one column, 32 rows. */
__global__ void __launch_bounds__(THIN_THREADS) thin_in_kernel(const __grid_constant__ Thin t) {
  SHARED(float4, w, THIN_ROWS);
  const int m0 = (int)blockIdx.y * THIN_ROWS;
  if (threadIdx.x < THIN_ROWS && m0 + (int)threadIdx.x < t.m) {
    const float *p = t.w + (m0 + (int)threadIdx.x) * t.wm;
    w[threadIdx.x] = make_float4(p[0], t.k > 1 ? p[t.wk] : 0.f, t.k > 2 ? p[2 * t.wk] : 0.f,
                                 t.k > 3 ? p[3 * t.wk] : 0.f);
  }
  __syncthreads();
  const int64_t col = (int64_t)blockIdx.x * THIN_THREADS + threadIdx.x;
  if (col >= t.cols) return;
  const Column at = thin_column(t, col);
  const int64_t first = (int64_t)at.n * t.k * t.hw + col - (int64_t)at.n * t.hw;
  float x[4];
  _Pragma("unroll") for (int k = 0; k < 4; k++) {
    x[k] = k < t.k ? load_as(t.in, t.tin, first + k * t.hw) : 0.f;
    if (t.scale && k < t.k) x[k] *= t.scale[(int64_t)at.n * t.k + k];
  }
  for (int r = 0; r < THIN_ROWS && m0 + r < t.m; r += 8) {
    float v[8];
    _Pragma("unroll") for (int i = 0; i < 8; i++) {
      float4 u = m0 + r + i < t.m ? w[r + i] : make_float4(0, 0, 0, 0);
      v[i] = fmaf(u.w, x[3], fmaf(u.z, x[2], fmaf(u.y, x[1], u.x * x[0])));
    }
    chain_run<8>(t.chain, at, m0 + r, t.m, v);
    _Pragma("unroll") for (int i = 0; i < 8; i++) if (m0 + r + i < t.m)
        store_as(t.out, t.tout, at.off + (m0 + r + i) * t.hw, v[i]);
  }
}

/* ---- weight gradient: sum over (n, pixel) of wide[k] * thin[i] ---- */
typedef struct ThinDw {
  bool x_wide; /* the input has the many channels */
  int wide;
  int thin;
  int tthin;
  int splits;
  int64_t hw;
  int64_t cols;
  int64_t per;
  int64_t out_wide;
  int64_t out_thin;
  FastDiv by_hw;
  const void *pw;
  const void *pt;
  /* scales [n][wide], [n][thin] or NULL */
  const float *sw;
  const float *st;
  /* [splits][wide][4] */
  float *partial;
  float *out;
} ThinDw;

/* A block: 8 wide channels, a range of columns; the sums of its threads are added as a tree of
 * fixed shape. */
template <class T> __global__ void __launch_bounds__(THIN_THREADS, 3) thin_dw_kernel(ThinDw d) {
  enum { C = THIN_DW_CHANNELS };
  SHARED2(float, sum, THIN_THREADS / 32, C * 4);
  const int first = (int)blockIdx.x * C, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int64_t end = min((int64_t)(blockIdx.y + 1) * d.per, d.cols);
  float a[C][4] = {};
  for (int64_t col = (int64_t)blockIdx.y * d.per + threadIdx.x; col < end; col += THIN_THREADS) {
    const int64_t n = div_by((uint32_t)col, d.by_hw), p = col - n * d.hw;
    float t[4], w[C];
    _Pragma("unroll") for (int i = 0; i < C; i++) w[i] =
        first + i < d.wide ? ld((const T *)d.pw, (n * d.wide + first + i) * d.hw + p) : 0.f;
    _Pragma("unroll") for (int i = 0; i < 4; i++) t[i] =
        i < d.thin ? load_as(d.pt, d.tthin, (n * d.thin + i) * d.hw + p) : 0.f;
    if (d.st)
      for (int i = 0; i < 4; i++)
        if (i < d.thin) t[i] *= d.st[n * d.thin + i];
    if (d.sw)
      _Pragma("unroll") for (int i = 0; i < C; i++) if (first + i < d.wide) w[i] *=
          d.sw[n * d.wide + first + i];
    _Pragma("unroll") for (int i = 0; i < C; i++) _Pragma("unroll") for (int k = 0; k < 4; k++)
        a[i][k] = fmaf(w[i], t[k], a[i][k]);
  }
  _Pragma("unroll") for (int i = 0; i < C; i++) _Pragma("unroll") for (int k = 0; k < 4; k++) {
    float x = a[i][k];
    for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
    if (lane == 0) sum[warp][i * 4 + k] = x;
  }
  __syncthreads();
  const int i = (int)threadIdx.x;
  if (i >= C * 4 || first + i / 4 >= d.wide) return;
  float x = 0;
  for (int w = 0; w < THIN_THREADS / 32; w++) x += sum[w][i];
  d.partial[((int64_t)blockIdx.y * d.wide + first) * 4 + i] = x;
}

__global__ void __launch_bounds__(THIN_THREADS)
    thin_dw_sum_kernel(ThinDw d, const __grid_constant__ Chain chain) {
  const int i = (int)(blockIdx.x * THIN_THREADS + threadIdx.x), channel = i / 4, k = i % 4;
  if (channel >= d.wide || k >= d.thin) return;
  float x = 0;
  for (int s = 0; s < d.splits; s++) x += d.partial[((int64_t)s * d.wide + channel) * 4 + k];
  const Column at = {0, 0, d.x_wide ? channel : k, 0};
  const int64_t m = d.x_wide ? k : channel;
  chain_run<1>(chain, at, m, m + 1, &x);
  d.out[channel * d.out_wide + k * d.out_thin] = x;
}

/* Four blocks per SM, but at least 1024 columns each. */
static int dw_splits(const CudaCtx *c, const ConvGeom *g) {
  int64_t wide = PRLX_MAX(g->ci, g->co), cols = g->n * g->h * g->w,
          groups = (wide + THIN_DW_CHANNELS - 1) / THIN_DW_CHANNELS;
  int64_t most = (4 * c->sm_count + groups - 1) / groups, some = (cols + 1023) / 1024;
  return (int)PRLX_MIN(most, some);
}

size_t conv_thin_scratch(const CudaCtx *c, const ConvGeom *g) {
  return g->kind == CONV_DW
             ? (size_t)dw_splits(c, g) * (size_t)PRLX_MAX(g->ci, g->co) * 4 * sizeof(float)
             : 0;
}

static void thin_dw(const CudaCtx *c, const ConvGeom *g, const DevStep *s, const Chain *chain) {
  const bool x_wide = g->ci >= g->co;
  const int iw = x_wide ? 0 : 1;
  ThinDw d;
  d.x_wide = x_wide;
  d.wide = (int)PRLX_MAX(g->ci, g->co);
  d.thin = (int)PRLX_MIN(g->ci, g->co);
  d.tthin = s->targ[1 - iw];
  d.splits = dw_splits(c, g);
  d.hw = g->h * g->w;
  d.cols = g->n * d.hw;
  d.per = (d.cols + d.splits - 1) / d.splits;
  d.out_wide = x_wide ? 1 : g->ci;
  d.out_thin = x_wide ? g->ci : 1;
  d.by_hw = fast_div((uint32_t)d.hw);
  d.pw = s->arg[iw];
  d.pt = s->arg[1 - iw];
  d.sw = (const float *)conv_arg(s, 2 + iw);
  d.st = (const float *)conv_arg(s, 3 - iw);
  d.partial = (float *)s->scratch;
  d.out = (float *)s->out;
  dim3 grid((unsigned)((d.wide + THIN_DW_CHANNELS - 1) / THIN_DW_CHANNELS), (unsigned)d.splits),
      sums((unsigned)((d.wide * 4 + THIN_THREADS - 1) / THIN_THREADS));
  DISPATCH(s->targ[iw], T, {
    auto kernel = thin_dw_kernel<T>;
    LAUNCH(kernel, grid, dim3(THIN_THREADS), 0, c->stream, d);
  });
  auto add = thin_dw_sum_kernel;
  LAUNCH(add, sums, dim3(THIN_THREADS), 0, c->stream, d, *chain);
}

void conv_thin(const CudaCtx *c, const ConvGeom *g, const DevStep *s, const Chain *chain) {
  if (g->kind == CONV_DW) {
    thin_dw(c, g, s, chain);
    return;
  }
  const bool fwd = g->kind == CONV_FWD;
  Thin t;
  t.m = (int)(fwd ? g->co : g->ci);
  t.k = (int)(fwd ? g->ci : g->co);
  t.tin = s->targ[0];
  t.tout = s->tout;
  t.wm = fwd ? g->ci : 1;
  t.wk = fwd ? 1 : g->ci;
  t.hw = g->h * g->w;
  t.cols = g->n * t.hw;
  t.by_hw = fast_div((uint32_t)t.hw);
  t.by_w = fast_div((uint32_t)g->w);
  t.in = s->arg[0];
  t.w = (const float *)s->arg[1];
  t.scale = (const float *)conv_arg(s, 3);
  t.out = s->out;
  t.chain = *chain;
  if (t.m <= THIN) {
    DISPATCH(s->targ[0], T, {
      auto kernel = thin_out_kernel<T>;
      LAUNCH(kernel, dim3((unsigned)((t.cols + 31) / 32)), dim3(THIN_THREADS),
             (size_t)t.k * sizeof(float4), c->stream, t);
    });
  } else {
    auto kernel = thin_in_kernel;
    LAUNCH(kernel,
           dim3((unsigned)((t.cols + THIN_THREADS - 1) / THIN_THREADS),
                (unsigned)((t.m + THIN_ROWS - 1) / THIN_ROWS)),
           dim3(THIN_THREADS), 0, c->stream, t);
  }
}
