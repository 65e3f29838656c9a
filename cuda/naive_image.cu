/* naive_image.cu: filters and the geometric warp by their definitions (see naive.h). */
#include "cuda/naive.cuh"

enum { WARP_K = 6, WARP_GEO = 10 };

/* ---- filters ---- */
typedef struct NaiveFilter {
  UpfirdnAttr a;
  int64_t c;
  int64_t h;
  int64_t w;
  int64_t oh;
  int64_t ow;
  int tx;
  int ty;
  bool separable;
  const void *x;
  DType type;
  const float *f;
} NaiveFilter;

static __global__ void naive_filter(const __grid_constant__ NaiveFilter q, NaiveLoop l, NaiveOut o,
                                    int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS) {
    const int64_t ox = i % q.ow, oy = i / q.ow % q.oh, plane = i / q.ow / q.oh;
    const float *f = q.f + (q.a.per_sample ? plane / q.c * q.tx : 0);
    NaiveTerm t = {0, 0};
    for (int ky = 0; ky < q.ty; ky++)
      for (int kx = 0; kx < q.tx; kx++) {
        const int64_t y = oy * q.a.downy + ky - q.a.pady0, x = ox * q.a.downx + kx - q.a.padx0;
        if (y < 0 || x < 0 || y % q.a.upy || x % q.a.upx || y / q.a.upy >= q.h ||
            x / q.a.upx >= q.w)
          continue;
        const int fy = q.a.flip ? ky : q.ty - 1 - ky, fx = q.a.flip ? kx : q.tx - 1 - kx;
        const double tap = q.separable ? (double)f[fy] * f[fx] : (double)f[fy * q.tx + fx];
        const int64_t at[4] = {plane / q.c, plane % q.c, y / q.a.upy, x / q.a.upx};
        naive_add(&t, q.a.gain * tap *
                          (l.program.from.image == PW_INPUT
                               ? naive_from(l, at, q.x, q.type, q.h, q.w)
                               : ld_any(q.x, q.type, (plane * q.h + at[2]) * q.w + at[3])));
      }
    naive_store(o, l, i, t.sum, t.squares);
  }
}

/* ---- the warp of core/kernels/warp.c: P = reflect pad, U = 2x upsampling by f, S = bilinear
 * samples of U, 2x decimation by f ---- */
typedef struct NaiveWarp {
  int64_t c;
  int h;
  int w;
  const void *x;
  DType type;
  const float *geo;
  const float *f;
  double *sum; /* warp_t: [planes][h][w] */
} NaiveWarp;

static __device__ int naive_margin(float v, int side) {
  return !(v > 0) ? 0 : v < side - 1 ? (int)v : side - 1;
}

static __device__ int naive_mirror(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

/* One axis of a sample of U at whole number u: pixel and weight of tap k. False: none. */
static __device__ bool naive_tap(const float *f, int u, int k, int margin, int padded, int side,
                                 int *pixel, double *weight) {
  const int b = u & 1, at = u / 2 + k - WARP_K / 2 + b;
  if (u < 0 || u >= 2 * padded || at < 0 || at >= padded) return false;
  *pixel = naive_mirror(at - margin, side);
  *weight = 2.0 * f[2 * WARP_K - 1 - (2 * k + b)];
  return true;
}

/* Every (weight, pixel) that output (oy, ox) of a plane is made of, to each(weight, pixel). */
template <class F>
static __device__ void naive_warped(const NaiveWarp &q, int64_t plane, int oy, int ox, F each) {
  const float *g = q.geo + plane / q.c * WARP_GEO, *f = q.f;
  const int x0 = naive_margin(g[6], q.w), x1 = naive_margin(g[7], q.w),
            y0 = naive_margin(g[8], q.h), y1 = naive_margin(g[9], q.h), pw = q.w + x0 + x1,
            ph = q.h + y0 + y1;
  for (int ti = 0; ti < 2 * WARP_K; ti++)
    for (int tj = 0; tj < 2 * WARP_K; tj++) {
      /* as the head of core/kernels/warp.c counts: the first row of S that is used is 1 */
      const double i = 2 * oy + ti + 1 - q.h - 5, j = 2 * ox + tj + 1 - q.w - 5,
                   x = g[0] * j + g[1] * i + 2.0 * g[2] + 2 * x0 + q.w - 1,
                   y = g[3] * j + g[4] * i + 2.0 * g[5] + 2 * y0 + q.h - 1;
      if (!(x > -2 && x < 2 * pw + 1 && y > -2 && y < 2 * ph + 1)) continue;
      const double left = floor(x), top = floor(y);
      const double down = (double)f[ti] * f[tj];
      for (int n = 0; n < 4; n++) {
        const int ux = (int)left + (n & 1), uy = (int)top + (n >> 1);
        const double share =
            (n & 1 ? x - left : 1 - (x - left)) * (n >> 1 ? y - top : 1 - (y - top));
        for (int k = 0; k < WARP_K * WARP_K; k++) {
          int px, py;
          double wx, wy;
          if (naive_tap(f, ux, k % WARP_K, x0, pw, q.w, &px, &wx) &&
              naive_tap(f, uy, k / WARP_K, y0, ph, q.h, &py, &wy))
            each(down * share * wx * wy, py * q.w + px);
        }
      }
    }
}

static __global__ void naive_warp(const __grid_constant__ NaiveWarp q, NaiveLoop l, NaiveOut o,
                                  int64_t n) {
  const int64_t size = (int64_t)q.h * q.w;
  for (int64_t i = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x; i < n;
       i += (int64_t)gridDim.x * NAIVE_THREADS) {
    NaiveTerm t = {0, 0};
    naive_warped(q, i / size, (int)(i % size / q.w), (int)(i % q.w), [&](double weight, int pixel) {
      naive_add(&t, weight * ld_any(q.x, q.type, i / size * size + pixel));
    });
    naive_store(o, l, i, t.sum, 20 * t.squares);
  }
}

/* The adjoint: a thread scatters a plane. */
static __global__ void naive_warp_t(const __grid_constant__ NaiveWarp q, NaiveOut o,
                                    int64_t planes) {
  const int64_t plane = blockIdx.x * (int64_t)NAIVE_THREADS + threadIdx.x,
                size = (int64_t)q.h * q.w;
  if (plane >= planes) return;
  double *sum = q.sum + plane * size, most = 0;
  for (int64_t i = 0; i < size; i++) sum[i] = 0;
  for (int64_t i = 0; i < size; i++) {
    const double dy = ld_any(q.x, q.type, plane * size + i);
    most = fmax(most, fabs(dy));
    naive_warped(q, plane, (int)(i / q.w), (int)(i % q.w),
                 [&](double weight, int pixel) { sum[pixel] += weight * dy; });
  }
  for (int64_t i = 0; i < size; i++) most = fmax(most, fabs(sum[i]));
  for (int64_t i = 0; i < size; i++) {
    st_any(o.to, o.type, plane * size + i, (float)sum[i]);
    if (o.tol) o.tol[plane * size + i] = (float)(3e-5 * most + 1e-30);
  }
}

/* ---- launches ---- */
void naive_filter_launch(const CudaCtx *c, const DevStep *s, const NaiveLoop &l, NaiveOut o) {
  const Shape x = s->shape[0], f = s->shape[1], y = s->node.shape;
  NaiveFilter q = {s->node.attr.upfirdn, y.dim[1], x.dim[2], x.dim[3], y.dim[2], y.dim[3]};
  q.separable = q.a.per_sample || f.rank == 1;
  q.tx = (int)f.dim[f.rank - 1];
  q.ty = (int)(q.separable ? q.tx : f.dim[0]);
  q.x = s->arg[0];
  q.type = s->targ[0];
  q.f = (const float *)s->arg[1];
  const int64_t n = shape_numel(y);
  LAUNCH(naive_filter, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream, q, l,
         o, n);
}

void naive_warp_launch(const CudaCtx *c, const DevStep *s, const NaiveLoop &l, NaiveOut o,
                       void *scratch) {
  const Shape x = s->shape[0];
  const NaiveWarp q = {x.dim[1],
                       (int)x.dim[2],
                       (int)x.dim[3],
                       s->arg[0],
                       s->targ[0],
                       (const float *)s->arg[1],
                       (const float *)s->arg[2],
                       (double *)scratch};
  const int64_t n = shape_numel(x), planes = x.dim[0] * x.dim[1];
  if (s->node.op == OP_warp)
    LAUNCH(naive_warp, dim3(blocks_for(n, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream, q, l,
           o, n);
  else
    LAUNCH(naive_warp_t, dim3(blocks_for(planes, NAIVE_THREADS)), dim3(NAIVE_THREADS), 0, c->stream,
           q, o, planes);
}
