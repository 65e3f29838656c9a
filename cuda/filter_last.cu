/* filter_last.cu: four separable taps on maps whose channels lie last (cuda/map.cuh): up 2, down 2
 * or same, as fir4 of upfirdn.cu does it on planes.
 *
 * A thread takes eight channels of an output column and walks down its rows; neighbours in a warp
 * are neighbouring channels, so that each of its accesses is a run of 512 bytes (256 channels) at
 * any width of the map. The last rows, filtered along x, stay in registers. A map read as planes
 * (4x4, in float) is read number by number: those are small.
 *
 * Where the store sums over pixels what it stores, a thread leaves the sums of its column's rows,
 * 32 at most, in scratch, and a second kernel adds those of the columns, in order. How rows are cut
 * depends on the shape of an image alone then. */
#include <string.h>
#include "cuda/upfirdn.cuh"

enum { LAST_THREADS = 128 };

/* Row pairs of a thread that sums; threads that add, which take so many channels. */
enum { SUM_STEPS = 16, SUM_THREADS = 256, SUM_CHANNELS = 8 };

/* What runs in the store. */
enum { STORE_PLAIN, STORE_CHAIN, STORE_SUM };

/* What is read: planes, a map with its channels last, an image of which that map is made. */
enum { READ_PLANES, READ_LAST, READ_MADE };

typedef struct FilterLast {
  Fir fir;
  MapView in;
  MapView out;
  MapFrame frame;
  FastDiv by_channels; /* eight at a time */
  FastDiv by_columns;
  FastDiv by_chunks;
  float *partial; /* [image, chunk of rows, column][channel] of sums over pixels */
  ChainFrom from;
} FilterLast;

/* Of the eight channels of a thread. */
typedef struct FilterMade {
  float weights[MAP_CHUNK];
  float bias[MAP_CHUNK];
} FilterMade;

/* Row iy of eight channels from element `at` of its image on, at the columns c0.., times the taps
 * g. */
template <int TAPS, int READ>
static __device__ __forceinline__ void filter_row(const FilterLast &q, int64_t at, int iy, int c0,
                                                  const float *g, const FilterMade &made,
                                                  float *sum) {
  _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) sum[i] = 0;
  if (iy < 0 || iy >= q.fir.height) return;
  at += (int64_t)iy * q.in.sy;
  _Pragma("unroll") for (int k = 0; k < TAPS; k++) {
    float v[MAP_CHUNK];
    if (c0 + k < 0 || c0 + k >= q.fir.width) continue;
    if (READ == READ_MADE) {
      const float pixel = ((const float *)q.in.data)[at + c0 + k];
      chain_made(q.from, pixel, made.weights, made.bias, v);
    } else {
      MapView in = q.in;
      in.last = READ == READ_LAST; /* no branch between the loads */
      map_load(in, at + (int64_t)(c0 + k) * q.in.sx, v);
    }
    _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) sum[i] += g[k] * v[i];
  }
}

/* The taps along x that meet output column ox, and the first input column that they meet. */
template <int UP, int DOWN>
static __device__ __forceinline__ int column_taps(const Fir &p, const float t[4], int ox,
                                                  float g[4]) {
  const int at = ox * DOWN - p.padx;
  if (UP == 1) {
    for (int k = 0; k < 4; k++) g[k] = t[k];
    return at;
  }
  const bool odd = at & 1;
  g[0] = odd ? t[1] : t[0];
  g[1] = odd ? t[3] : t[2];
  return (at + (odd ? 1 : 0)) >> 1;
}

/* Eight results of row y: through the loop in the store, where there is one; added to sum. */
template <int STORE>
static __device__ __forceinline__ void filter_put(const FilterLast &q, const Chain &chain,
                                                  uint32_t n, int channel, int y, int x, float *v,
                                                  float *sum) {
  const Column at = {0, n, y, x};
  if (STORE != STORE_PLAIN) chain_run<MAP_CHUNK>(chain, at, channel, q.fir.channels, v);
  map_store(q.out, q.frame, map_at(q.out, n, channel, y, x), n, y, x, v);
  if constexpr (STORE == STORE_SUM) {
    _Pragma("unroll") for (int i = 0; i < MAP_CHUNK; i++) sum[i] += v[i];
  }
}

template <int UP, int DOWN, int READ, int STORE>
__global__ void __launch_bounds__(LAST_THREADS)
    filter_last(const __grid_constant__ FilterLast q, const float *f,
                const __grid_constant__ Chain chain) {
  constexpr int N = UP == 2 ? 3 : 4 + DOWN, STEP = UP == 2 ? 1 : 2 * DOWN, TAPS = UP == 2 ? 2 : 4;
  const Fir &p = q.fir;
  uint32_t i = blockIdx.x * LAST_THREADS + threadIdx.x;
  if (i >= p.total) return;
  uint32_t rest = div_by(i, q.by_channels);
  const int channel = (int)(i - rest * q.by_channels.d) * MAP_CHUNK;
  i = rest;
  rest = div_by(i, q.by_columns);
  const int ox = (int)(i - rest * q.by_columns.d);
  const uint32_t n = div_by(rest, q.by_chunks);
  int m = (int)((rest - n * q.by_chunks.d) * p.steps);
  const int end = min(m + (int)p.steps, (p.oh + 1) / 2);
  float t[4], gx[4], gy[4], win[MAP_CHUNK][N], total[MAP_CHUNK] = {};
  for (int k = 0; k < 4; k++) t[k] = fir_tap(f, k, 4, p.flip, p.gain);
  const bool oddy = p.pady & 1;
  order_taps<UP>(t, oddy, gy);
  const int c0 = column_taps<UP, DOWN>(p, t, ox, gx);
  const int64_t from = map_at(q.in, n, READ == READ_MADE ? 0 : channel, 0, 0);
  FilterMade made;
  if (READ == READ_MADE)
    for (int k = 0; k < MAP_CHUNK; k++) {
      made.weights[k] = q.from.weights[channel + k];
      made.bias[k] = q.from.bias[channel + k];
    }
  int row = first_input<UP, DOWN>(m, p.pady);
  auto fetch = [&](int r) {
    float sum[MAP_CHUNK];
    filter_row<TAPS, READ>(q, from, row + r, c0, gx, made, sum);
#pragma unroll
    for (int k = 0; k < MAP_CHUNK; k++) win[k][r] = sum[k];
  };
#pragma unroll
  for (int r = 0; r < N - STEP; r++) fetch(r);
  for (; m < end; m++) {
    float a[MAP_CHUNK], b[MAP_CHUNK];
#pragma unroll
    for (int r = N - STEP; r < N; r++) fetch(r);
#pragma unroll
    for (int k = 0; k < MAP_CHUNK; k++) two_of<UP, DOWN>(gy, win[k], oddy, &a[k], &b[k]);
    filter_put<STORE>(q, chain, n, channel, 2 * m, ox, a, total);
    if (2 * m + 1 < p.oh) filter_put<STORE>(q, chain, n, channel, 2 * m + 1, ox, b, total);
#pragma unroll
    for (int k = 0; k < MAP_CHUNK; k++)
#pragma unroll
      for (int r = 0; r + STEP < N; r++) win[k][r] = win[k][r + STEP];
    row += STEP;
  }
  if constexpr (STORE == STORE_SUM) {
    float4 *to = (float4 *)(q.partial + (size_t)i * p.channels + channel);
    to[0] = make_float4(total[0], total[1], total[2], total[3]);
    to[1] = make_float4(total[4], total[5], total[6], total[7]);
  }
}

/* out[k][channel] = sum of `rows` partial sums from row k * rows on, in order: those of a thread,
 * then of the threads of a channel. */
static __global__ void __launch_bounds__(SUM_THREADS)
    filter_add(const float *partial, void *out, int tout, uint32_t rows, uint32_t channels) {
  SHARED(double, share, SUM_THREADS);
  const uint32_t channel = blockIdx.x * SUM_CHANNELS + threadIdx.x % SUM_CHANNELS;
  partial += (size_t)blockIdx.y * rows * channels + channel;
  double sum = 0;
  for (uint32_t r = threadIdx.x / SUM_CHANNELS; r < rows; r += SUM_THREADS / SUM_CHANNELS)
    sum += (double)partial[(size_t)r * channels];
  share[threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.x >= SUM_CHANNELS) return;
  for (int k = SUM_CHANNELS; k < SUM_THREADS; k += SUM_CHANNELS) sum += share[threadIdx.x + k];
  store_as(out, tout, (int64_t)blockIdx.y * channels + channel, (float)sum);
}

void filter_add_launch(const CudaCtx *c, const float *partial, void *out, DType tout, int64_t rows,
                       int64_t images, int64_t channels) {
  LAUNCH(filter_add, dim3((unsigned)(channels / SUM_CHANNELS), (unsigned)images), SUM_THREADS, 0,
         c->stream, partial, out, (int)tout, (uint32_t)rows, (uint32_t)channels);
}

bool cuda_filter_last(const DevStep *s) {
  const UpfirdnAttr *a = &s->node.attr.upfirdn;
  const bool same = a->upx == 1 && a->upy == 1 && a->downx == 1 && a->downy == 1,
             down = a->upx == 1 && a->upy == 1 && a->downx == 2 && a->downy == 2,
             up = a->upx == 2 && a->upy == 2 && a->downx == 1 && a->downy == 1;
  return s->shape[1].rank == 1 && s->shape[1].dim[0] == 4 && !a->per_sample && (same || down || up);
}

typedef void (*FilterKernel)(FilterLast, const float *, Chain);
template <int READ, int STORE> static FilterKernel filter_kernel(const Fir &p) {
  return p.upx == 2     ? filter_last<2, 1, READ, STORE>
         : p.downx == 2 ? filter_last<1, 2, READ, STORE>
                        : filter_last<1, 1, READ, STORE>;
}

template <int STORE> static FilterKernel filter_kernel(const Fir &p, bool last) {
  return last ? filter_kernel<READ_LAST, STORE>(p) : filter_kernel<READ_PLANES, STORE>(p);
}

/* How columns are cut; false: too many for one launch. */
static bool filter_cut(const DevStep *s, bool sums, int sm_count, Fir *p) {
  const int64_t columns = s->shape[0].dim[0] * p->channels / MAP_CHUNK * p->ow,
                rows = (p->oh + 1) / 2;
  p->steps = sums ? SUM_STEPS : 8;
  /* small maps: fill the card */
  while (!sums && p->steps > 2 &&
         columns * ((rows + p->steps - 1) / p->steps) < (int64_t)sm_count * 1024)
    p->steps /= 2;
  p->chunks = (unsigned)((rows + p->steps - 1) / p->steps);
  const int64_t total = columns * p->chunks;
  p->total = (unsigned)total;
  return total <= 0x7fffff00ll;
}

static bool filter_sums(const DevStep *s) { return s->prog_store && fir_sum(s->prog_store) >= 0; }

size_t filter_last_scratch(const DevStep *s) {
  Fir p = fir_of(s);
  if (!filter_sums(s) || !filter_cut(s, true, 0, &p)) return 0;
  return (size_t)p.total * MAP_CHUNK * sizeof(float);
}

static Status filter_sum_launch(const CudaCtx *c, const DevStep *s, const Fir *p, Error *e) {
  const int at = fir_sum(s->prog_store);
  const Shape shape = s->prog_store->more[at].shape;
  const int64_t rows = s->shape[0].dim[0] / shape.dim[0] * p->chunks * p->ow;
  filter_add_launch(c, (const float *)s->scratch, s->more[at], s->tmore[at], rows, shape.dim[0],
                    p->channels);
  return cuda_check("upfirdn2d", s, e);
}

Status cuda_filter_last_launch(const CudaCtx *c, const DevStep *s, Fir p, Error *e) {
  FilterLast q = {};
  const bool sums = filter_sums(s);
  if (!filter_cut(s, sums, c->sm_count, &p))
    return err_set(e, ST_INVALID,
                   "cuda upfirdn2d: %lld maps of %dx%d are too many for one launch; use a smaller "
                   "batch",
                   (long long)(s->shape[0].dim[0] * p.channels), p.oh, p.ow);
  q.fir = p;
  q.in = map_view(s->arg[0], s->targ[0], s->shape[0], s->lies[0]);
  q.out = map_view(s->out, s->tout, s->node.shape, s->out_lies);
  if (q.out.last) q.frame = map_frame(s->node.shape, s->out_lies);
  q.by_channels = fast_div(p.channels / MAP_CHUNK);
  q.by_columns = fast_div(p.ow);
  q.by_chunks = fast_div(p.chunks);
  q.partial = sums ? (float *)s->scratch : NULL;
  Chain chain;
  memset(&chain, 0, sizeof chain);
  if (s->prog_store && !fir_chain_of(s, s->prog_store, s->store_from, s, &chain))
    return err_set(e, ST_INTERNAL, "cuda upfirdn2d: a loop that cannot run in the store");
  const bool made = s->prog_store && s->prog_store->from.image == PW_INPUT;
  q.from = chain.from;
  const FilterKernel k = made            ? filter_last<1, 2, READ_MADE, STORE_PLAIN>
                         : sums          ? filter_kernel<STORE_SUM>(p, q.in.last)
                         : s->prog_store ? filter_kernel<STORE_CHAIN>(p, q.in.last)
                                         : filter_kernel<STORE_PLAIN>(p, q.in.last);
  LAUNCH(k, blocks_for(p.total, LAST_THREADS), LAST_THREADS, 0, c->stream, q,
         (const float *)s->arg[1], chain);
  TRY(cuda_check("upfirdn2d", s, e));
  return sums ? filter_sum_launch(c, s, &p, e) : ST_OK;
}
