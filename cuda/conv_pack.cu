/* conv_pack.cu: operands as the matrix product wants them (see conv.cuh). Both passes are bound by
 * memory. */
#include "cuda/conv.cuh"
#include "cuda/mma.cuh"

/* taps: 46 KB of shared memory */
enum { PACK_PIXELS = 64, PACK_CHUNKS = 8, PACK_THREADS = 256, PACK_MAX_TAPS = 180 };

static __device__ __forceinline__ uint32_t two(float a, float b, int type) {
  if (type == CT_F16)
    return (uint32_t)__half_as_ushort(__float2half_rn(a)) |
           (uint32_t)__half_as_ushort(__float2half_rn(b)) << 16;
  return (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(a)) |
         (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(b)) << 16;
}

static __device__ __forceinline__ uint4 chunk_of(const float (&v)[8], int type) {
  return make_uint4(two(v[0], v[1], type), two(v[2], v[3], type), two(v[4], v[5], type),
                    two(v[6], v[7], type));
}

static __device__ __forceinline__ uint4 chunk_of(const float (&v)[4], int type) {
  if (type == CT_TF32)
    return make_uint4(to_tf32(v[0]), to_tf32(v[1]), to_tf32(v[2]), to_tf32(v[3]));
  return make_uint4(__float_as_uint(v[0]), __float_as_uint(v[1]), __float_as_uint(v[2]),
                    __float_as_uint(v[3]));
}

/* by_hw, by_w: of the frame, margins included */
typedef struct Frame {
  int type;
  int channels;
  int h;
  int w;
  int top;
  int left;
  uint32_t pixels;
  uint32_t chunks;
  FastDiv by_hw;
  FastDiv by_w;
  /* of the source */
  int64_t sn;
  int32_t sc;
  int32_t sy;
  int32_t sx;
} Frame;

/* Warp k reads chunk k of 64 neighbouring pixels (lanes along x: coalesced); through shared memory,
 * so that eight threads write 128 bytes of one pixel. */
template <class T, int LEN>
__global__ void __launch_bounds__(PACK_THREADS)
    conv_pack_map_kernel(const T *src, const float *scale, uint4 *dst, Frame f) {
  SHARED2(uint4, tile, PACK_PIXELS, PACK_CHUNKS);
  const uint32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5, p0 = blockIdx.x * PACK_PIXELS,
                 k0 = blockIdx.y * PACK_CHUNKS;
  const int first = (int)(k0 + warp) * LEN;
  _Pragma("unroll") for (int half = 0; half < 2; half++) {
    uint32_t p = half * 32 + lane, at = p0 + p;
    float v[LEN];
    uint32_t n = div_by(at, f.by_hw), rest = at - n * f.by_hw.d, yy = div_by(rest, f.by_w);
    int y = (int)yy - f.top, x = (int)(rest - yy * f.by_w.d) - f.left;
    bool inside = at < f.pixels && y >= 0 && y < f.h && x >= 0 && x < f.w;
    const int64_t base = n * f.sn + (int64_t)first * f.sc + (int64_t)y * f.sy + (int64_t)x * f.sx;
    _Pragma("unroll") for (int i = 0; i < LEN; i++) v[i] =
        inside && first + i < f.channels ? ld(src, base + (int64_t)i * f.sc) : 0.f;
    if (scale)
      _Pragma("unroll") for (int i = 0; i < LEN; i++) if (inside && first + i < f.channels) v[i] *=
          scale[n * f.channels + first + i];
    tile[p][warp ^ (p & 7)] = chunk_of(v, f.type);
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < PACK_PIXELS * PACK_CHUNKS; i += PACK_THREADS) {
    uint32_t p = i / PACK_CHUNKS, k = i % PACK_CHUNKS;
    if (p0 + p < f.pixels && k0 + k < f.chunks)
      dst[(int64_t)(p0 + p) * f.chunks + k0 + k] = tile[p][k ^ (p & 7)];
  }
}

/* The same of a map whose channels lie last, in the product's own type: a thread for each chunk. */
__global__ void __launch_bounds__(PACK_THREADS)
    conv_pack_last_kernel(const uint16_t *src, const float *scale, uint4 *dst, Frame f,
                          FastDiv by_chunks) {
  const uint32_t t = blockIdx.x * PACK_THREADS + threadIdx.x, at = div_by(t, by_chunks),
                 k = t - at * by_chunks.d;
  if (at >= f.pixels) return;
  const uint32_t n = div_by(at, f.by_hw), rest = at - n * f.by_hw.d, yy = div_by(rest, f.by_w);
  const int y = (int)yy - f.top, x = (int)(rest - yy * f.by_w.d) - f.left,
            first = (int)k * MAP_CHUNK;
  uint4 u = make_uint4(0, 0, 0, 0);
  if (y >= 0 && y < f.h && x >= 0 && x < f.w) {
    u = *(const uint4 *)(src + n * f.sn + (int64_t)y * f.sy + (int64_t)x * f.sx + first);
    if (scale) {
      float v[MAP_CHUNK];
      map_unpack(u, f.type == CT_F16 ? DT_F16 : DT_BF16, v);
      _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) v[i] *=
          scale[n * f.channels + first + i];
      u = map_pack(v, f.type == CT_F16 ? DT_F16 : DT_BF16);
    }
  }
  dst[t] = u;
}

template <class T> static void pack_from(const CudaCtx *c, ConvType t, const PackMap *p) {
  const int len = chunk_len(t);
  const uint32_t pixels = (uint32_t)(p->n * p->hp * p->wp),
                 chunks = (uint32_t)((p->channels + len - 1) / len);
  const Shape shape = {4, {p->n, p->channels, p->h, p->w}};
  const MapView from = map_view(p->src, (DType)p->tsrc, shape, p->lies);
  Frame f = {t,
             (int)p->channels,
             (int)p->h,
             (int)p->w,
             (int)p->top,
             (int)p->left,
             pixels,
             chunks,
             fast_div((uint32_t)(p->hp * p->wp)),
             fast_div((uint32_t)p->wp),
             from.sn,
             from.sc,
             from.sy,
             from.sx};
  if (p->lies.last && len == MAP_CHUNK) {
    auto last = conv_pack_last_kernel;
    LAUNCH(last, dim3((unsigned)(((int64_t)pixels * chunks + PACK_THREADS - 1) / PACK_THREADS)),
           dim3(PACK_THREADS), 0, c->stream, (const uint16_t *)from.data, p->scale, (uint4 *)p->dst,
           f, fast_div(chunks));
    return;
  }
  dim3 grid((pixels + PACK_PIXELS - 1) / PACK_PIXELS, (chunks + PACK_CHUNKS - 1) / PACK_CHUNKS);
  auto kernel = len == 8 ? conv_pack_map_kernel<T, 8> : conv_pack_map_kernel<T, 4>;
  LAUNCH(kernel, grid, dim3(PACK_THREADS), 0, c->stream, (const T *)from.data, p->scale,
         (uint4 *)p->dst, f);
}

void conv_pack_map(const CudaCtx *c, ConvType t, const PackMap *p) {
  DISPATCH(p->tsrc, T, { pack_from<T>(c, t, p); });
}

/* ---- weights ----
 * A block takes `rows` of m and 8 chunks of channels with all their taps: read in runs of rows*taps
 * (or channels*taps) neighbours, turned in shared memory, written 128 bytes at a time, class by
 * class. The weights of several layers go in one launch, block after block: they are small, and
 * there are dozens of them. */
typedef struct Taps {
  /* step between a class's taps in the kernel; pitch of a channel in shared memory */
  int type;
  int co;
  int ci;
  int kh;
  int kw;
  int step;
  int rows;
  int pitch;
  bool transposed;
  bool swapped;
  float gain;
  uint32_t chunks; /* per tap */
  /* neighbours in memory: rows m where this is so, else channels; taps */
  bool along_m;
  FastDiv by_run;
  FastDiv by_taps;
} Taps;

template <int LEN>
static __device__ __forceinline__ void read_weights(const float *w, const float *rows, float *s,
                                                    const Taps &g, int m0, int first, int m_end,
                                                    int end) {
  const int taps = g.kh * g.kw, all = PACK_CHUNKS * LEN * g.rows * taps;
  for (int i = (int)threadIdx.x; i < all; i += PACK_THREADS) {
    int outer = (int)div_by((uint32_t)i, g.by_run), r = i - outer * (int)g.by_run.d,
        inner = (int)div_by((uint32_t)r, g.by_taps), tap = r - inner * taps;
    int m = g.along_m ? inner : outer, channel = g.along_m ? outer : inner;
    int64_t co = g.transposed ? first + channel : m0 + m,
            ci = g.transposed ? m0 + m : first + channel,
            row = g.swapped ? ci * g.co + co : co * g.ci + ci;
    float v = 0;
    if (m0 + m < m_end && first + channel < end) {
      v = w[row * taps + tap] * g.gain;
      if (rows) v *= rows[g.swapped ? ci : co];
    }
    s[channel * g.pitch + m * taps + tap] = v;
  }
}

/* One set of weights: its first block, blocks along the chunks. */
typedef struct PackJob {
  const float *w;
  const float *rows;
  uint4 *dst;
  uint32_t first;
  FastDiv by_blocks;
  Taps taps;
  ConvClasses classes;
} PackJob;
typedef struct PackJobs {
  int count;
  PackJob of[PACK_JOBS];
} PackJobs;
static_assert(sizeof(PackJobs) <= 4096, "more than a kernel takes as its arguments");

template <int LEN>
__global__ void __launch_bounds__(PACK_THREADS)
    conv_pack_weights_kernel(const __grid_constant__ PackJobs all) {
  float *s = DYNAMIC_SHARED(float);
  int mine = 0;
  while (mine + 1 < all.count && blockIdx.x >= all.of[mine + 1].first) mine++;
  const PackJob &job = all.of[mine];
  const Taps &g = job.taps;
  const ConvClasses &classes = job.classes;
  uint4 *dst = job.dst;
  const uint32_t block = blockIdx.x - job.first, row = div_by(block, job.by_blocks);
  const int m0 = (int)row * g.rows, k0 = (int)(block - row * job.by_blocks.d) * PACK_CHUNKS,
            taps = g.kh * g.kw;
  read_weights<LEN>(job.w, job.rows, s, g, m0, k0 * LEN, (int)classes.rows,
                    g.transposed ? g.co : g.ci);
  __syncthreads();
  for (int n = 0; n < classes.count; n++) {
    const ConvClass &cls = classes.of[n];
    /* chunks after the last tap: zero */
    const int ct = cls.kh * cls.kw, last = k0 == 0 ? (int)cls.row_chunks - ct * (int)g.chunks : 0;
    for (int i = (int)threadIdx.x; i < g.rows * ct * PACK_CHUNKS; i += PACK_THREADS) {
      int k = i % PACK_CHUNKS, r = i / PACK_CHUNKS, m = r / ct, tap = r - m * ct, jy = tap / cls.kw,
          ky = cls.ky0 + jy * g.step, kx = cls.kx0 + (tap - jy * cls.kw) * g.step;
      float v[LEN];
      if (m0 + m >= classes.rows || k0 + k >= (int)g.chunks) continue;
      _Pragma("unroll") for (int e = 0; e < LEN; e++) v[e] =
          s[(k * LEN + e) * g.pitch + m * taps + ky * g.kw + kx];
      dst[cls.first_chunk + (int64_t)(m0 + m) * cls.row_chunks + tap * g.chunks + k0 + k] =
          chunk_of(v, g.type);
    }
    for (int i = (int)threadIdx.x; i < g.rows * last; i += PACK_THREADS)
      if (m0 + i / last < classes.rows)
        dst[cls.first_chunk + (int64_t)(m0 + i / last) * cls.row_chunks + ct * g.chunks +
            i % last] = make_uint4(0, 0, 0, 0);
  }
}

bool conv_pack_fits(const ConvGeom *g) { return g->kh * g->kw <= PACK_MAX_TAPS; }

/* *blocks: those of the launch so far. */
static PackJob pack_job(const PackWeights *p, uint32_t *blocks) {
  const ConvGeom *g = &p->geom;
  const int taps = (int)(g->kh * g->kw), len = chunk_len(p->type),
            rows = PRLX_MIN(8, PRLX_MAX(1, 72 / taps)), pitch = rows * taps + 1;
  const bool along_m = p->transposed != p->swapped;
  const uint32_t wide = (p->tap_chunks + PACK_CHUNKS - 1) / PACK_CHUNKS;
  PackJob job = {
      p->w,
      p->rows,
      (uint4 *)p->dst,
      *blocks,
      fast_div(wide),
      {p->type, (int)g->co, (int)g->ci, (int)g->kh, (int)g->kw, p->transposed ? -g->stride : 1,
       rows, pitch, p->transposed, p->swapped, p->gain, p->tap_chunks, along_m,
       fast_div((uint32_t)((along_m ? rows : PACK_CHUNKS * len) * taps)), fast_div((uint32_t)taps)},
      p->classes};
  *blocks += wide * (uint32_t)((p->classes.rows + rows - 1) / rows);
  return job;
}

void conv_pack_weights(const CudaCtx *c, const PackWeights *p, int n) {
  const int len = chunk_len(p->type);
  PackJobs all = {};
  uint32_t blocks = 0;
  int pitch = 0;
  all.count = n;
  for (int k = 0; k < n; k++) {
    all.of[k] = pack_job(&p[k], &blocks);
    pitch = PRLX_MAX(pitch, all.of[k].taps.pitch);
  }
  auto kernel = len == 8 ? conv_pack_weights_kernel<8> : conv_pack_weights_kernel<4>;
  LAUNCH(kernel, dim3(blocks), dim3(PACK_THREADS),
         (size_t)PACK_CHUNKS * len * pitch * sizeof(float), c->stream, all);
}
