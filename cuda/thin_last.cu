/* thin_last.cu: the convolutions of conv_thin.cu where the wide map lies with its channels last
 * (cuda/map.cuh): neighbouring threads take neighbouring chunks of a pixel. */
#include "cuda/conv.cuh"

/* out: pixels of a warp; in: chunks of a thread; dw: blocks that share the pixels */
enum {
  LAST_THREADS = 256,
  LAST_PIXELS = 8,
  LAST_CHUNKS = 8,
  LAST_WARPS = LAST_THREADS / 32,
  LAST_BLOCKS = 264,
  LAST_COLUMNS = 1024
};

/* The wide map and the thin one, of `channels` <= 4; weight of (wide w, thin t): w*by_wide +
 * t*by_thin. scale: of the map that is read, [n][its channels], or NULL. */
typedef struct ThinLast {
  MapView wide;
  MapFrame frame;
  MapView thin;
  int chunks;
  int channels;
  int64_t by_wide;
  int64_t by_thin;
  int64_t pixels; /* of all images */
  FastDiv by_hw;
  FastDiv by_w;
  FastDiv by_chunks;
  const float *w;
  const float *scale;
  Chain chain;
} ThinLast;

/* A pixel of all images, without an offset. */
static __device__ __forceinline__ Column pixel_column(FastDiv by_hw, FastDiv by_w, uint32_t pixel) {
  const uint32_t n = div_by(pixel, by_hw), p = pixel - n * by_hw.d, y = div_by(p, by_w);
  const Column at = {0, n, (int)y, (int)(p - y * by_w.d)};
  return at;
}

/* Weights into shared memory: of channel i of a chunk, chunk after chunk, so that neighbours read
 * neighbours. */
static __device__ __forceinline__ void thin_weights(const ThinLast &t, float4 *w) {
  for (int k = threadIdx.x; k < t.chunks * MAP_CHUNK; k += LAST_THREADS) {
    const float *p = t.w + k * t.by_wide;
    w[k % MAP_CHUNK * t.chunks + k / MAP_CHUNK] = make_float4(
        p[0], t.channels > 1 ? p[t.by_thin] : 0.f, t.channels > 2 ? p[2 * t.by_thin] : 0.f,
        t.channels > 3 ? p[3 * t.by_thin] : 0.f);
  }
  __syncthreads();
}

/* From the wide map: a warp for each pixel. */
__global__ void __launch_bounds__(LAST_THREADS)
    thin_last_out_kernel(const __grid_constant__ ThinLast t) {
  float4 *w = DYNAMIC_SHARED(float4);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  thin_weights(t, w);
  for (int i = 0; i < LAST_PIXELS; i++) {
    const int64_t pixel = ((int64_t)blockIdx.x * LAST_PIXELS + i) * LAST_WARPS + warp;
    if (pixel >= t.pixels) return;
    const Column at = pixel_column(t.by_hw, t.by_w, (uint32_t)pixel);
    float a[4] = {0, 0, 0, 0};
    for (int k = lane; k < t.chunks; k += 32) {
      float x[MAP_CHUNK];
      map_load(t.wide, map_at(t.wide, at.n, k * MAP_CHUNK, at.y, at.x), x);
      _Pragma("unroll") for (int j = 0; j < MAP_CHUNK; j++) {
        const float4 u = w[j * t.chunks + k];
        if (t.scale) x[j] *= t.scale[((int64_t)at.n * t.chunks + k) * MAP_CHUNK + j];
        a[0] = fmaf(u.x, x[j], a[0]);
        a[1] = fmaf(u.y, x[j], a[1]);
        a[2] = fmaf(u.z, x[j], a[2]);
        a[3] = fmaf(u.w, x[j], a[3]);
      }
    }
    for (int o = 16; o; o >>= 1)
      _Pragma("unroll") for (int j = 0; j < 4; j++) a[j] += __shfl_xor_sync(0xffffffffu, a[j], o);
    if (lane) continue;
    chain_run<4>(t.chain, at, 0, t.channels, a);
    _Pragma("unroll") for (int j = 0; j < 4; j++) if (j < t.channels)
        store_as(t.thin.data, t.thin.type, map_at(t.thin, at.n, j, at.y, at.x), a[j]);
  }
}

/* From the thin map: a thread for each chunk of each pixel. */
__global__ void __launch_bounds__(LAST_THREADS)
    thin_last_in_kernel(const __grid_constant__ ThinLast t) {
  float4 *w = DYNAMIC_SHARED(float4);
  thin_weights(t, w);
  for (int i = 0; i < LAST_CHUNKS; i++) {
    const int64_t all = ((int64_t)blockIdx.x * LAST_CHUNKS + i) * LAST_THREADS + threadIdx.x;
    if (all >= t.pixels * t.chunks) return;
    const uint32_t pixel = div_by((uint32_t)all, t.by_chunks);
    const int chunk = (int)((uint32_t)all - pixel * t.by_chunks.d);
    const Column at = pixel_column(t.by_hw, t.by_w, pixel);
    float x[4], v[MAP_CHUNK];
    _Pragma("unroll") for (int k = 0; k < 4; k++) {
      x[k] = k < t.channels ? load_as(t.thin.data, t.thin.type, map_at(t.thin, at.n, k, at.y, at.x))
                            : 0.f;
      if (t.scale && k < t.channels) x[k] *= t.scale[(int64_t)at.n * t.channels + k];
    }
    _Pragma("unroll") for (int j = 0; j < MAP_CHUNK; j++) {
      const float4 u = w[j * t.chunks + chunk];
      v[j] = fmaf(u.w, x[3], fmaf(u.z, x[2], fmaf(u.y, x[1], u.x * x[0])));
    }
    chain_run<MAP_CHUNK>(t.chain, at, chunk * MAP_CHUNK, t.chunks * MAP_CHUNK, v);
    map_store(t.wide, t.frame, map_at(t.wide, at.n, chunk * MAP_CHUNK, at.y, at.x), at.n, at.y,
              at.x, v);
  }
}

/* ---- weight gradient: sum over (n, pixel) of wide[k] * thin[i] ---- */
typedef struct ThinLastDw {
  MapView wide;
  MapView thin;
  int chunks;
  int channels;
  int lanes; /* chunks of a block: a power of 2; its other threads share the pixels */
  int splits;
  int64_t pixels;
  int64_t per; /* of a split */
  bool x_wide; /* the input has the many channels */
  int64_t out_wide;
  int64_t out_thin;
  FastDiv by_hw;
  FastDiv by_w;
  const float *scale_wide;
  const float *scale_thin;
  float *partial; /* [splits][wide][4] */
  float *out;
} ThinLastDw;

static __device__ __forceinline__ void thin_terms(const ThinLastDw &d, uint32_t pixel, int chunk,
                                                  float a[MAP_CHUNK][4]) {
  const Column at = pixel_column(d.by_hw, d.by_w, pixel);
  float w[MAP_CHUNK], t[4];
  map_load(d.wide, map_at(d.wide, at.n, chunk * MAP_CHUNK, at.y, at.x), w);
  _Pragma("unroll") for (int i = 0; i < 4; i++) {
    t[i] = i < d.channels ? load_as(d.thin.data, d.thin.type, map_at(d.thin, at.n, i, at.y, at.x))
                          : 0.f;
    if (d.scale_thin && i < d.channels) t[i] *= d.scale_thin[(int64_t)at.n * d.channels + i];
  }
  if (d.scale_wide)
    _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) w[i] *=
        d.scale_wide[((int64_t)at.n * d.chunks + chunk) * MAP_CHUNK + i];
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++)
      _Pragma("unroll") for (int k = 0; k < 4; k++) a[i][k] = fmaf(w[i], t[k], a[i][k]);
}

/* A block: some chunks, a range of pixels; the sums of its threads are added in order. */
__global__ void __launch_bounds__(LAST_THREADS)
    thin_last_dw_kernel(const __grid_constant__ ThinLastDw d) {
  float4 *sum = DYNAMIC_SHARED(float4); /* [threads], for one of the eight channels */
  const int lane = (int)threadIdx.x & (d.lanes - 1), row = (int)threadIdx.x / d.lanes,
            rows = LAST_THREADS / d.lanes, chunk = (int)blockIdx.x * d.lanes + lane;
  const int64_t end = min((int64_t)(blockIdx.y + 1) * d.per, d.pixels);
  float a[MAP_CHUNK][4] = {};
  if (chunk < d.chunks)
    for (int64_t p = (int64_t)blockIdx.y * d.per + row; p < end; p += rows)
      thin_terms(d, (uint32_t)p, chunk, a);
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) {
    __syncthreads();
    sum[threadIdx.x] = make_float4(a[i][0], a[i][1], a[i][2], a[i][3]);
    __syncthreads();
    if (row || chunk >= d.chunks) continue;
    float4 all = sum[lane];
    for (int r = 1; r < rows; r++) {
      const float4 v = sum[r * d.lanes + lane];
      all.x += v.x;
      all.y += v.y;
      all.z += v.z;
      all.w += v.w;
    }
    ((float4 *)d.partial)[((int64_t)blockIdx.y * d.chunks + chunk) * MAP_CHUNK + i] = all;
  }
}

__global__ void __launch_bounds__(LAST_THREADS)
    thin_last_sum_kernel(const __grid_constant__ ThinLastDw d,
                         const __grid_constant__ Chain chain) {
  const int i = (int)(blockIdx.x * LAST_THREADS + threadIdx.x), channel = i / 4, k = i % 4,
            wide = d.chunks * MAP_CHUNK;
  if (channel >= wide || k >= d.channels) return;
  float x = 0;
  for (int s = 0; s < d.splits; s++) x += d.partial[((int64_t)s * wide + channel) * 4 + k];
  const Column at = {0, 0, d.x_wide ? channel : k, 0};
  const int64_t m = d.x_wide ? k : channel;
  chain_run<1>(chain, at, m, m + 1, &x);
  d.out[channel * d.out_wide + k * d.out_thin] = x;
}

/* ---- host ---- */
static int last_chunks(const ConvGeom *g) { return (int)(PRLX_MAX(g->ci, g->co) / MAP_CHUNK); }

static int last_lanes(const ConvGeom *g) {
  int n = 1;
  while (n < 32 && n < last_chunks(g)) n *= 2;
  return n;
}

static int last_splits(const ConvGeom *g) {
  const int64_t across = (last_chunks(g) + last_lanes(g) - 1) / last_lanes(g),
                pixels = g->n * g->h * g->w;
  return (int)PRLX_MIN((LAST_BLOCKS + across - 1) / across,
                       (pixels + LAST_COLUMNS - 1) / LAST_COLUMNS);
}

size_t thin_last_scratch(const ConvGeom *g) {
  return g->kind == CONV_DW
             ? (size_t)last_splits(g) * (size_t)last_chunks(g) * MAP_CHUNK * 4 * sizeof(float)
             : 0;
}

static void last_weight_gradient(const CudaCtx *c, const ConvGeom *g, const DevStep *s,
                                 const Chain *chain) {
  const bool x_wide = g->ci >= g->co;
  const int wide = x_wide ? 0 : 1, thin = 1 - wide;
  ThinLastDw d = {};
  d.wide = map_view(s->arg[wide], s->targ[wide], s->shape[wide], s->lies[wide]);
  d.thin = map_view(s->arg[thin], s->targ[thin], s->shape[thin], s->lies[thin]);
  d.chunks = last_chunks(g);
  d.channels = (int)PRLX_MIN(g->ci, g->co);
  d.lanes = last_lanes(g);
  d.splits = last_splits(g);
  d.pixels = g->n * g->h * g->w;
  d.per = (d.pixels + d.splits - 1) / d.splits;
  d.x_wide = x_wide;
  d.out_wide = x_wide ? 1 : g->ci;
  d.out_thin = x_wide ? g->ci : 1;
  d.by_hw = fast_div(g->h * g->w);
  d.by_w = fast_div(g->w);
  d.scale_wide = (const float *)conv_arg(s, 2 + wide);
  d.scale_thin = (const float *)conv_arg(s, 2 + thin);
  d.partial = (float *)s->scratch;
  d.out = (float *)s->out;
  auto terms = thin_last_dw_kernel;
  auto add = thin_last_sum_kernel;
  LAUNCH(terms, dim3((unsigned)((d.chunks + d.lanes - 1) / d.lanes), (unsigned)d.splits),
         dim3(LAST_THREADS), LAST_THREADS * sizeof(float4), c->stream, d);
  LAUNCH(add, dim3((unsigned)((d.chunks * MAP_CHUNK * 4 + LAST_THREADS - 1) / LAST_THREADS)),
         dim3(LAST_THREADS), 0, c->stream, d, *chain);
}

void thin_last(const CudaCtx *c, const ConvGeom *g, const DevStep *s, const Chain *chain) {
  if (g->kind == CONV_DW) {
    last_weight_gradient(c, g, s, chain);
    return;
  }
  const bool fwd = g->kind == CONV_FWD, out = fwd == (g->ci > g->co);
  const MapView from = map_view(s->arg[0], s->targ[0], s->shape[0], s->lies[0]),
                to = map_view(s->out, s->tout, s->node.shape, s->out_lies);
  ThinLast t = {};
  t.wide = out ? from : to;
  t.thin = out ? to : from;
  if (s->out_lies.last) t.frame = map_frame(s->node.shape, s->out_lies);
  t.chunks = last_chunks(g);
  t.channels = (int)PRLX_MIN(g->ci, g->co);
  t.by_wide = g->ci > g->co ? 1 : g->ci;
  t.by_thin = g->ci > g->co ? g->ci : 1;
  t.pixels = g->n * g->h * g->w;
  t.by_hw = fast_div(g->h * g->w);
  t.by_w = fast_div(g->w);
  t.by_chunks = fast_div(t.chunks);
  t.w = (const float *)s->arg[1];
  t.scale = (const float *)conv_arg(s, 3);
  t.chain = *chain;
  const int64_t per = out ? LAST_WARPS * LAST_PIXELS : LAST_THREADS * LAST_CHUNKS,
                all = out ? t.pixels : t.pixels * t.chunks;
  auto kernel = out ? thin_last_out_kernel : thin_last_in_kernel;
  LAUNCH(kernel, dim3((unsigned)((all + per - 1) / per)), dim3(LAST_THREADS),
         (size_t)t.chunks * MAP_CHUNK * sizeof(float4), c->stream, t);
}
