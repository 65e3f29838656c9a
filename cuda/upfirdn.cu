/* upfirdn.cu: upsample, FIR filter, downsample (SEMANTICS 1.2; CPU twin: core/op_upfirdn.c). Three
 * kernels:
 *   fir4       4 separable taps, up 2 | down 2 | same, input and output of one type: every
 *              resampling of the two networks;
 *   separable  any separable filter, also one per sample, any factors: horizontal pass into shared
 *              memory, vertical pass out of it;
 *   full       any 2-D filter: the plain sum.
 *
 * fir4 is bound by memory: 64x256x65x65 16-bit maps are 138 MB in and 134 MB out, 57 us at 4.8
 * TB/s. A tile in shared memory would cost as much time in shared memory as the map costs in DRAM.
 * So each thread walks down two neighbouring output columns and keeps the last rows, already
 * filtered along x, in registers: 2.5 (same), 3 (down) or 1.5 (up) loads per column and row, served
 * by L1, and nothing else. All of it is about 20 instructions per output: 67 M outputs are 42 M
 * warp instructions, 47 us on 132 multiprocessors. Rows at the seam of two chunks are read twice (3
 * of 16 for `same`), from L2. */
#include "cuda/upfirdn.cuh"
#include <math.h>
#include "cuda/map.cuh"

/* x: planes [h,w] of a [N,C,h,w] tensor; y: planes [oh,ow]. */
template <typename T, int UP, int DOWN>
__global__ void __launch_bounds__(128, 8) fir4(const T *x, const float *f, T *y, Fir p) {
  const unsigned i = blockIdx.x * 128u + threadIdx.x;
  if (i >= p.total) return;
  fir4_walk<T, UP, DOWN>(x, f, p, i, [&](int64_t plane, int m, int j, const float *v) {
    const int64_t at = (plane * p.oh + 2 * m) * p.ow + 2 * j;
    const bool second = 2 * j + 1 < p.ow;
    st(y, at, v[0]);
    if (second) st(y, at + 1, v[1]);
    if (2 * m + 1 >= p.oh) return;
    st(y, at + p.ow, v[2]);
    if (second) st(y, at + p.ow + 1, v[3]);
  });
}

bool fir_is_four(const DevStep *s, const Fir *p) {
  bool square = p->upx == p->upy && p->downx == p->downy;
  bool known = (p->upx == 1 && (p->downx == 1 || p->downx == 2)) || (p->upx == 2 && p->downx == 1);
  return s->shape[1].rank == 1 && !p->per_sample && p->tx == 4 && square && known;
}

bool fir_cut(Fir *p, int64_t planes, int sm_count) {
  const int64_t rows = (p->oh + 1) / 2;
  p->pairs = (unsigned)(p->ow + 1) / 2;
  p->steps = 8;
  /* small maps: fill the card */
  while (p->steps > 2 &&
         planes * p->pairs * ((rows + p->steps - 1) / p->steps) < (int64_t)sm_count * 1024)
    p->steps /= 2;
  p->chunks = (unsigned)((rows + p->steps - 1) / p->steps);
  const int64_t total = planes * p->pairs * p->chunks;
  p->total = (unsigned)total;
  return total <= 0xffffff00ll;
}

static Status launch_fir4(const CudaCtx *c, const DevStep *s, Fir p, Error *e) {
  const int64_t planes = s->shape[0].dim[0] * s->shape[0].dim[1];
  if (!fir_cut(&p, planes, c->sm_count))
    return err_set(e, ST_INVALID,
                   "cuda upfirdn2d: %lld planes of %dx%d are too many for one launch",
                   (long long)planes, p.oh, p.ow);
  DISPATCH(s->tout, T, {
    auto k = p.upx == 2 ? fir4<T, 2, 1> : p.downx == 2 ? fir4<T, 1, 2> : fir4<T, 1, 1>;
    LAUNCH(k, blocks_for(p.total, 128), 128, 0, c->stream, (const T *)s->arg[0],
           (const float *)s->arg[1], (T *)s->out, p);
  });
  return cuda_check("upfirdn2d", s, e);
}

/* ---- any separable filter ---- */

enum { TILE_W = 32, SEP_THREADS = 256, SEP_SHARED = 40960 };

/* First tap of an output at position q (before padding, in the zero-inserted signal) that meets a
 * sample, and that sample. */
static __device__ __forceinline__ int first_tap(int q, int up, int *sample) {
  int r = q % up;
  if (r < 0) r += up;
  int t = r ? up - r : 0;
  *sample = (q + t) / up; /* exact */
  return t;
}

/* Block: one tile [tile_h, TILE_W] of one output plane. Shared: taps [tx] (both axes use them),
 * then the rows under the tile filtered along x. */
static __global__ void __launch_bounds__(SEP_THREADS)
    separable(const void *x, DType tin, const float *f, void *y, DType tout, Fir p) {
  float *g = DYNAMIC_SHARED(float), *mid = g + p.tx;
  int64_t plane = blockIdx.x;
  int ox0 = (int)blockIdx.y * TILE_W, oy0 = (int)blockIdx.z * p.tile_h, first;
  const float *taps = f + (p.per_sample ? plane / p.channels * p.tx : 0);
  for (int t = threadIdx.x; t < p.tx; t += SEP_THREADS)
    g[t] = fir_tap(taps, t, p.tx, p.flip, p.gain);
  first_tap(oy0 * p.downy - p.pady, p.upy, &first); /* first input row that the tile needs */
  __syncthreads();
  for (int i = threadIdx.x; i < p.tile_rows * TILE_W; i += SEP_THREADS) {
    int iy = first + i / TILE_W, ox = ox0 + i % TILE_W, ix;
    float sum = 0;
    if (iy >= 0 && iy < p.height && ox < p.ow) {
      int64_t row = (plane * p.height + iy) * p.width;
      for (int t = first_tap(ox * p.downx - p.padx, p.upx, &ix); t < p.tx && ix < p.width;
           t += p.upx, ix++)
        if (ix >= 0) sum += g[t] * ld_any(x, tin, row + ix);
    }
    mid[i] = sum;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < p.tile_h * TILE_W; i += SEP_THREADS) {
    int oy = oy0 + i / TILE_W, ox = ox0 + i % TILE_W, iy;
    if (oy >= p.oh || ox >= p.ow) continue;
    float sum = 0;
    for (int t = first_tap(oy * p.downy - p.pady, p.upy, &iy); t < p.ty && iy < p.height;
         t += p.upy, iy++)
      if (iy >= 0) sum += g[t] * mid[(iy - first) * TILE_W + i % TILE_W];
    st_any(y, tout, (plane * p.oh + oy) * p.ow + ox, sum);
  }
}

static Status launch_separable(const CudaCtx *c, const DevStep *s, Fir p, Error *e) {
  int64_t planes = s->shape[0].dim[0] * s->shape[0].dim[1];
  for (p.tile_h = 16;; p.tile_h /= 2) {
    p.tile_rows = ((p.tile_h - 1) * p.downy + p.ty - 1) / p.upy + 1;
    if (p.tile_h == 1 || p.tile_rows * TILE_W * (int)sizeof(float) <= SEP_SHARED) break;
  }
  /* 256 taps, one row: 34 KB */
  size_t shared = (size_t)(p.tx + p.tile_rows * TILE_W) * sizeof(float);
  int64_t gy = (p.ow + TILE_W - 1) / TILE_W, gz = (p.oh + p.tile_h - 1) / p.tile_h;
  if (planes > 0x7fffffff || gy > 65535 || gz > 65535)
    return err_set(
        e, ST_INVALID,
        "cuda upfirdn2d: output of %lld planes of %dx%d; at most 65535 tiles of %dx%d per axis",
        (long long)planes, p.oh, p.ow, p.tile_h, TILE_W);
  LAUNCH(separable, dim3((unsigned)planes, (unsigned)gy, (unsigned)gz), SEP_THREADS, shared,
         c->stream, s->arg[0], s->targ[0], (const float *)s->arg[1], s->out, s->tout, p);
  return cuda_check("upfirdn2d", s, e);
}

/* ---- any 2-D filter ---- */

static __global__ void __launch_bounds__(256)
    full(const void *x, DType tin, const float *f, void *y, DType tout, Fir p, int64_t n) {
  int count = p.tx * p.ty;
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < n; i += (int64_t)gridDim.x * 256) {
    int ox = (int)(i % p.ow), oy = (int)(i / p.ow % p.oh), ix0, iy;
    int64_t plane = i / p.ow / p.oh;
    int t0 = first_tap(ox * p.downx - p.padx, p.upx, &ix0);
    float sum = 0;
    for (int u = first_tap(oy * p.downy - p.pady, p.upy, &iy); u < p.ty && iy < p.height;
         u += p.upy, iy++)
      for (int t = t0, ix = ix0; iy >= 0 && t < p.tx && ix < p.width; t += p.upx, ix++)
        if (ix >= 0)
          sum += fir_tap(f, u * p.tx + t, count, p.flip, p.gain) *
                 ld_any(x, tin, (plane * p.height + iy) * p.width + ix);
    st_any(y, tout, i, sum);
  }
}

Fir fir_of(const DevStep *s) {
  const UpfirdnAttr *a = &s->node.attr.upfirdn;
  Shape f = s->shape[1];
  bool sep = a->per_sample || f.rank == 1;
  Fir p = {};
  p.height = (int)s->shape[0].dim[2];
  p.width = (int)s->shape[0].dim[3];
  p.oh = (int)s->node.shape.dim[2];
  p.ow = (int)s->node.shape.dim[3];
  p.upx = a->upx;
  p.upy = a->upy;
  p.downx = a->downx;
  p.downy = a->downy;
  p.padx = a->padx0;
  p.pady = a->pady0;
  p.tx = (int)f.dim[f.rank - 1];
  p.ty = sep ? p.tx : (int)f.dim[0];
  p.flip = a->flip != 0;
  p.gain = (float)(sep ? sqrt(a->gain) : a->gain);
  p.channels = (int)s->node.shape.dim[1];
  p.per_sample = a->per_sample != 0;
  return p;
}

/* x [N,C,H,W], f [T] | [fh,fw] | per sample [N,T] -> [N,C,OH,OW]. */
static Status fir_launch(const CudaCtx *c, const DevStep *s, Error *e) {
  const Fir p = fir_of(s);
  const int64_t n = shape_numel(s->node.shape);
  if (n == 0) return ST_OK;
  if (cuda_lies_last(s)) return cuda_filter_last_launch(c, s, p, e);
  if (s->prog_store) return fir_store_launch(c, s, p, e);
  if (fir_is_four(s, &p) && s->targ[0] == s->tout) return launch_fir4(c, s, p, e);
  if (p.per_sample || s->shape[1].rank == 1) return launch_separable(c, s, p, e);
  LAUNCH(full, blocks_for(n, 256), 256, 0, c->stream, s->arg[0], s->targ[0],
         (const float *)s->arg[1], s->out, s->tout, p, n);
  return cuda_check("upfirdn2d", s, e);
}

/* maps in any type, the filter as float */
static bool fir_supports(const DevStep *, int slot, DType) { return slot != 1; }

static size_t fir_scratch(const CudaCtx *, const DevStep *s) { return fir_store_scratch(s); }

CUDA_ROW(upfirdn2d, fir_launch, fir_scratch, fir_supports);
