/* warp.cu: the geometric augmentation of an image batch as one linear map, and its adjoint. Twin of
 * core/op_warp.c and core/kernels/warp.c (Karras et al. 2020, appendix B.2; SEMANTICS 6.1, steps 2
 * to 5): P = reflect pad, U = 2x upsampling of P with the 12 taps f, S = bilinear samples of U at
 * an affine grid, y = 2x decimation of S with f. Sample (j,i) of S (0 <= j < 2w+10, 0 <= i < 2h+10)
 * lies at x = a j + b i + tx, y = c j + d i + ty of U.
 *
 * U of a 64x64 image can have 380x380 numbers, 577 KB: more than a multiprocessor has. So U is
 * never stored. Forward: a block makes 16x16 outputs. The 42x42 samples under them are computed one
 * by one from P: two neighbours of U together see 7 pixels of P per axis, hence a sample is a sum
 * of 7x7 pixels with products of weights (source in L1: 16 KB). Then two decimation passes in
 * shared memory.
 *   64 images of 64x64: 16 blocks each, 1.8 M samples of about 160 instructions: 9 M warp
 *   instructions, some 10 us on 132 multiprocessors.
 * Adjoint: dS = decimation transposed (a gather of 6x6) goes to scratch (76 KB per plane, stays in
 * L2). Then a block makes 16x16 pixels of dx. Each has up to 3x3 images of itself in P
 * (reflection); per image, the 42x42 numbers of dU around the tile are gathered from dS: the
 * samples within distance one of u lie in a parallelogram of S, found by inverting the map, row by
 * row; the weights decide. All sums have a fixed order.
 *   About 9 candidates per number of dU at unit scale; some 100 us for 64 planes.
 * Positions are formed in double (x reaches 400 and its fraction is a weight); what follows is
 * relative to a pixel, in float. */
#include "cuda/any.cuh"

/* SPAN = 42 */
enum {
  TAPS = 12,
  K = TAPS / 2,
  GEO = 10,
  TILE = 16,
  SPAN = 2 * TILE + TAPS - 2,
  THREADS = TILE * TILE
};

typedef struct Map {
  /* image; samples 2h+10, 2w+10 */
  int h;
  int w;
  int sh;
  int sw;
  /* margins left and top, padded size */
  int x0;
  int y0;
  int pw;
  int ph;
  double a;
  double b;
  double c;
  double d;
  double tx;
  double ty;
  /* all numbers finite: else every sample lies outside, and reads zero */
  bool sound;
} Map;

/* NaN -> lo */
static __device__ __forceinline__ int to_int(double v, int lo, int hi) {
  return !(v > lo) ? lo : v < hi ? (int)v : hi;
}

static __device__ Map map_of(const float *geo, int h, int w) {
  Map m;
  m.h = h;
  m.w = w;
  m.sh = 2 * h + TAPS - 2;
  m.sw = 2 * w + TAPS - 2;
  m.x0 = to_int(geo[6], 0, w - 1);
  m.y0 = to_int(geo[8], 0, h - 1);
  m.pw = w + m.x0 + to_int(geo[7], 0, w - 1);
  m.ph = h + m.y0 + to_int(geo[9], 0, h - 1);
  m.a = geo[0];
  m.b = geo[1];
  m.c = geo[3];
  m.d = geo[4];
  m.tx = m.a * (-w - K + 2) + m.b * (-h - K + 2) + 2.0 * geo[2] + 2 * m.x0 + w - 1;
  m.ty = m.c * (-w - K + 2) + m.d * (-h - K + 2) + 2.0 * geo[5] + 2 * m.y0 + h - 1;
  m.sound =
      fabs(m.tx) < 1e9 && fabs(m.ty) < 1e9 && fabs(m.a) + fabs(m.b) + fabs(m.c) + fabs(m.d) < 1e9;
  return m;
}

static __device__ __forceinline__ int warp_reflect(int i, int n) {
  return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}

/* Weights of the pixels base .. base + 6 of P in the value at u + frac between U[u] and U[u+1], one
 * axis. phase[b][k] = 2 f[11 - (2k + b)]: U[2m+b] = sum_k phase[b][k] P[m + k - 3 + b]. U has 2n
 * elements; beyond them it is zero. Pixels outside P get weight 0 and a valid place. */
static __device__ __forceinline__ void warp_seven(const float phase[2][K], int u, float frac, int n,
                                                  int shift, int size, float wt[7], int at[7]) {
  float lo = u >= 0 ? 1 - frac : 0.f, hi = u + 1 < 2 * n ? frac : 0.f;
  bool odd = u & 1;
  int base = (u >> 1) - 3 + odd;
#pragma unroll
  for (int k = 0; k < 7; k++) {
    float p = k < K ? (odd ? phase[1][k] : phase[0][k]) : 0.f;
    float q = odd ? (k < K ? phase[0][k] : 0.f) : (k > 0 ? phase[1][k - 1] : 0.f);
    bool in = base + k >= 0 && base + k < n;
    wt[k] = in ? lo * p + hi * q : 0.f;
    at[k] = in ? warp_reflect(base + k - shift, size) : 0;
  }
}

/* Sample (j,i) of S. */
static __device__ float sample_at(const Map &m, const float phase[2][K], const float *img, int j,
                                  int i) {
  double x = m.a * j + m.b * i + m.tx, y = m.c * j + m.d * i + m.ty;
  if (!m.sound || !(x > -1 && x < 2 * m.pw && y > -1 && y < 2 * m.ph)) return 0;
  int ux = (int)floor(x), uy = (int)floor(y), ix[7], iy[7];
  float wx[7], wy[7], sum = 0;
  warp_seven(phase, ux, (float)(x - ux), m.pw, m.x0, m.w, wx, ix);
  warp_seven(phase, uy, (float)(y - uy), m.ph, m.y0, m.h, wy, iy);
#pragma unroll
  for (int r = 0; r < 7; r++) {
    const float *row = img + (int64_t)iy[r] * m.w;
    float s = 0;
#pragma unroll
    for (int k = 0; k < 7; k++) s += wx[k] * row[ix[k]];
    sum += wy[r] * s;
  }
  return sum;
}

static __device__ __forceinline__ void load_taps(const float *f, float taps[TAPS],
                                                 float phase[2][K]) {
  int t = threadIdx.x;
  if (t < TAPS) {
    taps[t] = f[t];
    phase[(TAPS - 1 - t) & 1][(TAPS - 1 - t) >> 1] = 2 * f[t];
  }
}

/* Decimation of a tile by correlation with g: [SPAN,SPAN] -> along x [SPAN,TILE] -> the value of
 * thread (row, col). All threads of the block. */
static __device__ __forceinline__ float warp_decimate(const float *s, float *mid, const float *g,
                                                      int row, int col) {
  for (int i = threadIdx.x; i < SPAN * TILE; i += THREADS) {
    const float *p = s + i / TILE * SPAN + 2 * (i % TILE);
    float sum = 0;
#pragma unroll
    for (int t = 0; t < TAPS; t++) sum += g[t] * p[t];
    mid[i] = sum;
  }
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int t = 0; t < TAPS; t++) sum += g[t] * mid[(2 * row + t) * TILE + col];
  return sum;
}

/* x [N,C,h,w], geo [N,10], f [12] -> [N,C,h,w]. Block: plane, tile of outputs. */
static __global__ void __launch_bounds__(THREADS)
    warp_forward(const float *x, const float *geo, const float *f, float *y, int channels, int h,
                 int w) {
  SHARED(float, s, SPAN *SPAN);
  SHARED(float, mid, SPAN *TILE);
  SHARED(float, taps, TAPS);
  SHARED2(float, phase, 2, K);
  int64_t plane = blockIdx.x;
  int c0 = (int)blockIdx.y * TILE, r0 = (int)blockIdx.z * TILE, col = threadIdx.x % TILE,
      row = threadIdx.x / TILE;
  Map m = map_of(geo + plane / channels * GEO, h, w);
  load_taps(f, taps, phase);
  __syncthreads();
  for (int k = threadIdx.x; k < SPAN * SPAN; k += THREADS) {
    int j = 2 * c0 + k % SPAN, i = 2 * r0 + k / SPAN;
    s[k] = j < m.sw && i < m.sh ? sample_at(m, phase, x + plane * h * w, j, i) : 0.f;
  }
  __syncthreads();
  float v = warp_decimate(s, mid, taps, row, col);
  if (r0 + row < h && c0 + col < w) y[(plane * h + r0 + row) * w + c0 + col] = v;
}

/* Decimation transposed: dS[i][j] = sum over 2o + t = (i,j) of f f dy[o]. dy [planes,h,w] -> ds
 * [planes,2h+10,2w+10]. */
static __global__ void __launch_bounds__(256)
    warp_ds(const float *dy, const float *f, float *ds, int64_t planes, int h, int w) {
  int sh = 2 * h + TAPS - 2, sw = 2 * w + TAPS - 2;
  float g[TAPS];
  for (int t = 0; t < TAPS; t++) g[t] = f[t];
  for (int64_t n = blockIdx.x * (int64_t)256 + threadIdx.x; n < planes * sh * sw;
       n += (int64_t)gridDim.x * 256) {
    int j = (int)(n % sw), i = (int)(n / sw % sh), ox = j >> 1, oy = i >> 1;
    const float *p = dy + n / sw / sh * h * w;
    float sum = 0;
#pragma unroll
    for (int r = 0; r < K; r++) {
      float s = 0;
      if (oy - r < 0 || oy - r >= h) continue;
#pragma unroll
      for (int k = 0; k < K; k++)
        if (ox - k >= 0 && ox - k < w)
          s += ((j & 1) ? g[2 * k + 1] : g[2 * k]) * p[(int64_t)(oy - r) * w + ox - k];
      sum += ((i & 1) ? g[2 * r + 1] : g[2 * r]) * s;
    }
    ds[n] = sum;
  }
}

/* Inverse of the map, and half the side of the box in S whose samples lie within one pixel of a
 * point of U (rows), or of a line (columns of a row). */
typedef struct Inverse {
  double det;
  double rows;
  bool by_x;
  double step;
  double cols;
} Inverse;

static __device__ Inverse inverse_of(const Map &m) {
  Inverse v;
  v.det = m.a * m.d - m.b * m.c;
  /* the map is (nearly) flat: all rows */
  v.rows = fabs(v.det) > 1e-6 ? (fabs(m.a) + fabs(m.c)) / fabs(v.det) + 1e-3 : 1e9;
  v.by_x = fabs(m.a) >= fabs(m.c);
  v.step = v.by_x ? m.a : m.c;
  v.cols = fabs(v.step) > 1e-6 ? 1 / fabs(v.step) + 1e-3 : 1e9;
  return v;
}

/* dU[uy][ux]: sum over the samples of ds that read it. */
static __device__ float gather_u(const Map &m, const Inverse &v, const float *ds, int ux, int uy) {
  int i0 = 0, i1 = m.sh - 1;
  if (v.rows < 1e8) {
    double ic = (m.a * (uy - m.ty) - m.c * (ux - m.tx)) / v.det;
    i0 = to_int(ceil(ic - v.rows), 0, m.sh);
    i1 = to_int(floor(ic + v.rows), -1, m.sh - 1);
  }
  float sum = 0;
  for (int i = i0; i <= i1; i++) {
    /* of sample 0 of the row, seen from u */
    double x = m.b * i + m.tx - ux, y = m.d * i + m.ty - uy;
    int j0 = 0, j1 = m.sw - 1;
    if (v.cols < 1e8) {
      double jc = -(v.by_x ? x : y) / v.step;
      j0 = to_int(ceil(jc - v.cols), 0, m.sw);
      j1 = to_int(floor(jc + v.cols), -1, m.sw - 1);
    }
    float s = 0, dx = (float)(x + m.a * j0), dy = (float)(y + m.c * j0), a = (float)m.a,
          c = (float)m.c;
    for (int j = j0; j <= j1; j++) {
      float wx = 1 - fabsf(dx + a * (j - j0)), wy = 1 - fabsf(dy + c * (j - j0));
      if (wx > 0 && wy > 0) s += wx * wy * ds[(int64_t)i * m.sw + j];
    }
    sum += s;
  }
  return sum;
}

/* The images of pixel c of a side of n under reflection with margins lo, hi: image 0 at lo + c, 1
 * at lo - c, 2 at lo + 2(n-1) - c; do they exist? */
static __device__ __forceinline__ bool has_image(int k, int c, int n, int lo, int hi) {
  return c < n &&
         (k == 0 || (k == 1 && c >= 1 && c <= lo) || (k == 2 && c <= n - 2 && n - 1 - c <= hi));
}

/* Place in P of the first column (or row) of the tile c0 .. c0 + 15 in image k; images 1 and 2 run
 * backwards. */
static __device__ __forceinline__ int image_start(int k, int c0, int n, int lo) {
  return k == 0 ? lo + c0 : (k == 1 ? lo : lo + 2 * (n - 1)) - c0 - (TILE - 1);
}

/* Is there a pixel of the tile in image k whose U lies between the outermost samples lo_s and hi_s?
 */
static __device__ bool image_used(int k, int c0, int n, int lo, int hi, double lo_s, double hi_s) {
  bool any = false;
  for (int t = 0; t < TILE; t++) any = any || has_image(k, c0 + t, n, lo, hi);
  int q = image_start(k, c0, n, lo);
  return any && 2 * q - 5 < hi_s + 1 && 2 * (q + TILE - 1) + 6 > lo_s - 1;
}

/* ds [planes,2h+10,2w+10], geo, f -> dx [planes,h,w]. dP[q] = sum_t 2 f[t] dU[2q - 5 + t]: a
 * decimation like the forward one. */
static __global__ void __launch_bounds__(THREADS)
    warp_dx(const float *ds, const float *geo, const float *f, float *dx, int channels, int h,
            int w) {
  SHARED(float, u, SPAN *SPAN);
  SHARED(float, mid, SPAN *TILE);
  SHARED(float, taps, TAPS);
  SHARED2(float, phase, 2, K);
  int64_t plane = blockIdx.x;
  int c0 = (int)blockIdx.y * TILE, r0 = (int)blockIdx.z * TILE, col = threadIdx.x % TILE,
      row = threadIdx.x / TILE;
  Map m = map_of(geo + plane / channels * GEO, h, w);
  Inverse inv = inverse_of(m);
  load_taps(f, taps, phase);
  ds += plane * m.sh * m.sw;
  /* the samples lie between these corners */
  double ex = m.sw - 1, ey = m.sh - 1;
  double lx = m.tx + fmin(m.a * ex, 0.) + fmin(m.b * ey, 0.),
         hx = m.tx + fmax(m.a * ex, 0.) + fmax(m.b * ey, 0.);
  double ly = m.ty + fmin(m.c * ex, 0.) + fmin(m.d * ey, 0.),
         hy = m.ty + fmax(m.c * ex, 0.) + fmax(m.d * ey, 0.);
  float sum = 0;
  /* all conditions are the same in the whole block */
  for (int k = 0; k < 9 && m.sound; k++) {
    int ky = k / 3, kx = k % 3;
    if (!image_used(ky, r0, h, m.y0, m.ph - h - m.y0, ly, hy) ||
        !image_used(kx, c0, w, m.x0, m.pw - w - m.x0, lx, hx))
      continue;
    int ux0 = 2 * image_start(kx, c0, w, m.x0) - 5, uy0 = 2 * image_start(ky, r0, h, m.y0) - 5;
    __syncthreads();
    for (int i = threadIdx.x; i < SPAN * SPAN; i += THREADS) {
      int ux = ux0 + i % SPAN, uy = uy0 + i / SPAN;
      u[i] =
          ux >= 0 && uy >= 0 && ux < 2 * m.pw && uy < 2 * m.ph ? gather_u(m, inv, ds, ux, uy) : 0.f;
    }
    __syncthreads();
    float v = warp_decimate(u, mid, taps, ky ? TILE - 1 - row : row, kx ? TILE - 1 - col : col);
    if (has_image(ky, r0 + row, h, m.y0, m.ph - h - m.y0) &&
        has_image(kx, c0 + col, w, m.x0, m.pw - w - m.x0))
      sum += 4 * v;
  }
  if (r0 + row < h && c0 + col < w) dx[(plane * h + r0 + row) * w + c0 + col] = sum;
}

/* Planes, tiles across, tiles down. Sides go up to 8192 (core/op_warp.c): 512 tiles. */
static dim3 grid_of(Shape x) {
  return dim3((unsigned)(x.dim[0] * x.dim[1]), (unsigned)((x.dim[3] + TILE - 1) / TILE),
              (unsigned)((x.dim[2] + TILE - 1) / TILE));
}

static Status launch_warp(const CudaCtx *c, const DevStep *s, Error *e) {
  Shape x = s->node.shape;
  LAUNCH(warp_forward, grid_of(x), THREADS, 0, c->stream, (const float *)s->arg[0],
         (const float *)s->arg[1], (const float *)s->arg[2], (float *)s->out, (int)x.dim[1],
         (int)x.dim[2], (int)x.dim[3]);
  return cuda_check("warp", s, e);
}

CUDA_ROW(warp, launch_warp, NULL, NULL);

static int64_t ds_numel(Shape x) {
  return x.dim[0] * x.dim[1] * (2 * x.dim[2] + TAPS - 2) * (2 * x.dim[3] + TAPS - 2);
}

static size_t scratch_warp_t(const CudaCtx *, const DevStep *s) {
  return (size_t)ds_numel(s->node.shape) * sizeof(float);
}

static Status launch_warp_t(const CudaCtx *c, const DevStep *s, Error *e) {
  Shape x = s->node.shape;
  float *ds = (float *)s->scratch;
  LAUNCH(warp_ds, blocks_for(ds_numel(x), 256), 256, 0, c->stream, (const float *)s->arg[0],
         (const float *)s->arg[2], ds, x.dim[0] * x.dim[1], (int)x.dim[2], (int)x.dim[3]);
  LAUNCH(warp_dx, grid_of(x), THREADS, 0, c->stream, (const float *)ds, (const float *)s->arg[1],
         (const float *)s->arg[2], (float *)s->out, (int)x.dim[1], (int)x.dim[2], (int)x.dim[3]);
  return cuda_check("warp_t", s, e);
}

CUDA_ROW(warp_t, launch_warp_t, scratch_warp_t, NULL);
