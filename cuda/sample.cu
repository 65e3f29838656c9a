/* sample.cu: affine grids, bilinear sampling at a grid and its two gradients, bilinear resizing and
 * its adjoint. Twin of core/op_sample.c; half-pixel centres (align_corners = false). Images and
 * grids are float.
 *
 * grid_sample_dx spreads dy over the image at arbitrary places: a scatter, whose sums must not
 * depend on the order of arrival. A gather over a bounded window exists for affine grids only, and
 * one plane in shared memory (64 KB at 128x128) still needs an order among the threads. So the
 * samples of a grid are sorted by the cell (the square between four pixel centres) that they fall
 * into, with a stable counting sort; the image is then a gather: each pixel adds up the samples of
 * its four cells, cell by cell, in the order of the samples. The sort is done once per grid and
 * serves all channels. */
#include "cuda/any.cuh"

/* ---- affine_grid: theta [N,2,3] -> [N,h,w,2] ---- */
static __device__ __forceinline__ double sample_centre(int64_t j, int64_t n) {
  return (double)(2 * j + 1) / (double)n - 1;
}

/* Positions in double as on the CPU: what follows takes their integer part. */
static __global__ void __launch_bounds__(256)
    affine_grid(const float *theta, float *out, int64_t n, int64_t h, int64_t w) {
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < n * h * w;
       i += (int64_t)gridDim.x * 256) {
    const float *t = theta + i / w / h * 6;
    double u = sample_centre(i % w, w), v = sample_centre(i / w % h, h);
    out[2 * i] = (float)(t[0] * u + t[1] * v + t[2]);
    out[2 * i + 1] = (float)(t[3] * u + t[4] * v + t[5]);
  }
}

static Status launch_affine_grid(const CudaCtx *c, const DevStep *s, Error *e) {
  int64_t n = shape_numel(s->node.shape) / 2;
  LAUNCH(affine_grid, blocks_for(n, 256), 256, 0, c->stream, (const float *)s->arg[0],
         (float *)s->out, s->node.shape.dim[0], s->node.shape.dim[1], s->node.shape.dim[2]);
  return cuda_check("affine_grid", s, e);
}

CUDA_ROW(affine_grid, launch_affine_grid, NULL, NULL);

/* ---- where a sample falls ---- */
/* upper left pixel of its four, and the place between them */
typedef struct Tap {
  int x0;
  int y0;
  float fx;
  float fy;
} Tap;

static __device__ __forceinline__ Tap tap_at(const float *g, int h, int w) {
  float gx = ((g[0] + 1) * w - 1) / 2, gy = ((g[1] + 1) * h - 1) / 2;
  if (!(gx > -2)) gx = -2; /* far outside, or NaN */
  if (!(gy > -2)) gy = -2;
  if (gx > w + 1) gx = (float)(w + 1);
  if (gy > h + 1) gy = (float)(h + 1);
  float x0 = floorf(gx), y0 = floorf(gy);
  return Tap{(int)x0, (int)y0, gx - x0, gy - y0};
}

static __device__ __forceinline__ float sample_weight(Tap t, int k) {
  return ((k & 1) ? t.fx : 1 - t.fx) * ((k >> 1) ? t.fy : 1 - t.fy);
}

/* Corner k of the sample in a plane; zero outside. */
static __device__ __forceinline__ float sample_corner(const float *x, Tap t, int k, int h, int w) {
  int cx = t.x0 + (k & 1), cy = t.y0 + (k >> 1);
  return cx < 0 || cy < 0 || cx >= w || cy >= h ? 0.f : x[(int64_t)cy * w + cx];
}

/* planes = N*C of the image [h,w]; m samples per grid */
typedef struct Grid {
  int64_t planes;
  int64_t c;
  int64_t m;
  int h;
  int w;
} Grid;
static Grid grid_of(const DevStep *s, Shape image) {
  return Grid{image.dim[0] * image.dim[1], image.dim[1], s->shape[1].dim[1] * s->shape[1].dim[2],
              (int)image.dim[2], (int)image.dim[3]};
}

/* x [N,C,H,W], grid [N,h,w,2] -> [N,C,h,w]. One thread per sample and channel. */
static __global__ void __launch_bounds__(256)
    grid_sample(const float *x, const float *grid, float *out, Grid g) {
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < g.planes * g.m;
       i += (int64_t)gridDim.x * 256) {
    int64_t plane = i / g.m;
    Tap t = tap_at(grid + (plane / g.c * g.m + i % g.m) * 2, g.h, g.w);
    const float *p = x + plane * g.h * g.w;
    float sum = 0;
    for (int k = 0; k < 4; k++) sum += sample_weight(t, k) * sample_corner(p, t, k, g.h, g.w);
    out[i] = sum;
  }
}

static Status launch_grid_sample(const CudaCtx *c, const DevStep *s, Error *e) {
  Grid g = grid_of(s, s->shape[0]);
  LAUNCH(grid_sample, blocks_for(g.planes * g.m, 256), 256, 0, c->stream, (const float *)s->arg[0],
         (const float *)s->arg[1], (float *)s->out, g);
  return cuda_check("grid_sample", s, e);
}

CUDA_ROW(grid_sample, launch_grid_sample, NULL, NULL);

/* ---- grid_sample_dx: dy [N,C,h,w], grid -> [N,C,H,W] ---- */
enum { SORT = 256 };
/* upper left pixels -1..h-1, -1..w-1 */
static __host__ __device__ inline int64_t cell_count(int h, int w) {
  return (int64_t)(h + 1) * (w + 1);
}

/* Cell of sample i of the grid, or -1 when it touches no pixel. */
static __device__ __forceinline__ int cell_of(const float *grid, int64_t i, int h, int w) {
  Tap t = tap_at(grid + 2 * i, h, w);
  return t.x0 < -1 || t.y0 < -1 || t.x0 >= w || t.y0 >= h ? -1 : (t.y0 + 1) * (w + 1) + t.x0 + 1;
}

/* One block per grid. start [N, cells + 1]: where the samples of a cell begin in list [N, m]; next
 * [N, cells]: work. 256 samples at a time: a sample's rank among those of the same cell before it
 * is counted by looking at all of them, so that the order is the order of the samples; the last one
 * of each cell moves the cell's counter. */
static __global__ void __launch_bounds__(SORT)
    sort_samples(const float *grid, int *start, int *next, int *list, Grid g) {
  SHARED(int, cell, SORT);
  SHARED(int, sums, SORT);
  int64_t cells = cell_count(g.h, g.w);
  int me = threadIdx.x;
  grid += blockIdx.x * g.m * 2;
  start += blockIdx.x * (cells + 1);
  next += blockIdx.x * cells;
  list += blockIdx.x * g.m;
  for (int64_t i = me; i < cells; i += SORT) next[i] = 0;
  for (int place = 0; place < 2; place++) { /* first count, then place */
    for (int64_t base = 0; base < g.m; base += SORT) {
      __syncthreads();
      int mine = base + me < g.m ? cell_of(grid, base + me, g.h, g.w) : -1, rank = 0;
      bool last = true;
      cell[me] = mine;
      __syncthreads();
      for (int k = 0; k < SORT; k++) {
        rank += k < me && cell[k] == mine;
        last = last && (k <= me || cell[k] != mine);
      }
      if (place && mine >= 0) list[next[mine] + rank] = (int)(base + me);
      __syncthreads();
      if (mine >= 0 && last) next[mine] += rank + 1;
    }
    if (place) break;
    __syncthreads();
    int64_t part = (cells + SORT - 1) / SORT, lo = me * part,
            hi = lo + part < cells ? lo + part : cells;
    int sum = 0;
    /* a run of cells per thread, the runs one after another */
    for (int64_t i = lo; i < hi; i++) sum += next[i];
    sums[me] = sum;
    __syncthreads();
    int at = 0;
    for (int k = 0; k < me; k++) at += sums[k];
    for (int64_t i = lo; i < hi; i++) {
      int n = next[i];
      start[i] = next[i] = at;
      at += n;
    }
    if (me == SORT - 1) start[cells] = at;
  }
}

static __global__ void __launch_bounds__(256)
    gather_samples(const float *dy, const float *grid, const int *start, const int *list,
                   float *out, Grid g) {
  int64_t size = (int64_t)g.h * g.w, cells = cell_count(g.h, g.w);
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < g.planes * size;
       i += (int64_t)gridDim.x * 256) {
    int64_t plane = i / size, n = plane / g.c;
    int x = (int)(i % g.w), y = (int)(i / g.w % g.h);
    float sum = 0;
    /* as its corner k, the pixel belongs to this cell */
    for (int k = 0; k < 4; k++) {
      const int *first =
          start + n * (cells + 1) + (int64_t)(y + 1 - (k >> 1)) * (g.w + 1) + x + 1 - (k & 1);
      for (int q = first[0]; q < first[1]; q++) {
        int p = list[n * g.m + q];
        sum += sample_weight(tap_at(grid + (n * g.m + p) * 2, g.h, g.w), k) * dy[plane * g.m + p];
      }
    }
    out[i] = sum;
  }
}

static size_t scratch_grid_sample_dx(const CudaCtx *, const DevStep *s) {
  Grid g = grid_of(s, s->node.shape);
  return (size_t)s->node.shape.dim[0] * (size_t)(2 * cell_count(g.h, g.w) + 1 + g.m) * sizeof(int);
}

static Status launch_grid_sample_dx(const CudaCtx *c, const DevStep *s, Error *e) {
  Grid g = grid_of(s, s->node.shape);
  int64_t n = s->node.shape.dim[0], cells = cell_count(g.h, g.w);
  if (cells > 0x7fffffff || g.m > 0x7fffffff)
    return err_set(e, ST_INVALID, "cuda grid_sample_dx: an image of %dx%d is too large", g.h, g.w);
  int *start = (int *)s->scratch, *next = start + n * (cells + 1), *list = next + n * cells;
  LAUNCH(sort_samples, (unsigned)n, SORT, 0, c->stream, (const float *)s->arg[1], start, next, list,
         g);
  LAUNCH(gather_samples, blocks_for(g.planes * g.h * g.w, 256), 256, 0, c->stream,
         (const float *)s->arg[0], (const float *)s->arg[1], (const int *)start, (const int *)list,
         (float *)s->out, g);
  return cuda_check("grid_sample_dx", s, e);
}

CUDA_ROW(grid_sample_dx, launch_grid_sample_dx, scratch_grid_sample_dx, NULL);

/* ---- grid_sample_dgrid: x [N,C,H,W], grid, dy [N,C,h,w] -> [N,h,w,2]. One thread per sample: the
 * sum over channels stays in it ---- */
static __global__ void __launch_bounds__(256)
    grid_sample_dgrid(const float *x, const float *grid, const float *dy, float *out, Grid g) {
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < g.planes / g.c * g.m;
       i += (int64_t)gridDim.x * 256) {
    int64_t n = i / g.m;
    Tap t = tap_at(grid + 2 * i, g.h, g.w);
    float gx = 0, gy = 0;
    for (int64_t k = 0; k < g.c; k++) {
      const float *p = x + (n * g.c + k) * g.h * g.w;
      float d = dy[(n * g.c + k) * g.m + i % g.m], v[4];
      for (int j = 0; j < 4; j++) v[j] = sample_corner(p, t, j, g.h, g.w);
      gx += d * ((1 - t.fy) * (v[1] - v[0]) + t.fy * (v[3] - v[2]));
      gy += d * ((1 - t.fx) * (v[2] - v[0]) + t.fx * (v[3] - v[1]));
    }
    out[2 * i] = gx * g.w / 2;
    out[2 * i + 1] = gy * g.h / 2;
  }
}

static Status launch_grid_sample_dgrid(const CudaCtx *c, const DevStep *s, Error *e) {
  Grid g = grid_of(s, s->shape[0]);
  LAUNCH(grid_sample_dgrid, blocks_for(g.planes / g.c * g.m, 256), 256, 0, c->stream,
         (const float *)s->arg[0], (const float *)s->arg[1], (const float *)s->arg[2],
         (float *)s->out, g);
  return cuda_check("grid_sample_dgrid", s, e);
}

CUDA_ROW(grid_sample_dgrid, launch_grid_sample_dgrid, NULL, NULL);

/* ---- resize: [N,C,H,W] -> [N,C,h,w]. Source coordinate max((o + 1/2) in/out - 1/2, 0) as a
 * fraction of integers: exact at any size ---- */

/* Between i0 and min(i0 + 1, in - 1). */
typedef struct Lerp {
  int i0;
  float w1;
} Lerp;
enum { RESIZE_MAX = 32767 }; /* keeps (2o+1) in below 2^31 */

static __device__ __forceinline__ Lerp lerp_at(int o, int in, int out) {
  int a = (2 * o + 1) * in - out;
  if (a < 0) a = 0;
  int i = a / (2 * out);
  if (i > in - 1) i = in - 1;
  return Lerp{i, (float)(a - i * 2 * out) / (float)(2 * out)};
}

/* [h,w]: the image, [oh,ow]: the interpolated one */
typedef struct Resize {
  int64_t planes;
  int h;
  int w;
  int oh;
  int ow;
} Resize;

static __global__ void __launch_bounds__(256) resize(const float *x, float *out, Resize r) {
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < r.planes * r.oh * r.ow;
       i += (int64_t)gridDim.x * 256) {
    Lerp lx = lerp_at((int)(i % r.ow), r.w, r.ow), ly = lerp_at((int)(i / r.ow % r.oh), r.h, r.oh);
    const float *a = x + (i / r.ow / r.oh * r.h + ly.i0) * r.w, *b = ly.i0 + 1 < r.h ? a + r.w : a;
    int x1 = lx.i0 + 1 < r.w ? lx.i0 + 1 : lx.i0;
    float p = a[lx.i0] + ly.w1 * (b[lx.i0] - a[lx.i0]), q = a[x1] + ly.w1 * (b[x1] - a[x1]);
    out[i] = p + lx.w1 * (q - p);
  }
}

static bool resize_ok(const char *what, Resize r, Error *e) {
  if (r.h <= RESIZE_MAX && r.w <= RESIZE_MAX && r.oh <= RESIZE_MAX && r.ow <= RESIZE_MAX)
    return true;
  err_set(e, ST_INVALID, "cuda %s: %dx%d and %dx%d; sides up to %d", what, r.h, r.w, r.oh, r.ow,
          RESIZE_MAX);
  return false;
}

static Status launch_resize(const CudaCtx *c, const DevStep *s, Error *e) {
  Shape x = s->shape[0], y = s->node.shape;
  Resize r = {x.dim[0] * x.dim[1], (int)x.dim[2], (int)x.dim[3], (int)y.dim[2], (int)y.dim[3]};
  if (!resize_ok("resize", r, e)) return ST_INVALID;
  LAUNCH(resize, blocks_for(shape_numel(y), 256), 256, 0, c->stream, (const float *)s->arg[0],
         (float *)s->out, r);
  return cuda_check("resize", s, e);
}

CUDA_ROW(resize, launch_resize, NULL, NULL);

/* ---- resize_t: the adjoint as a gather: a pixel adds up the outputs that read it ---- */

/* First output whose source is at ix - 1 or beyond (it may read pixel ix). */
static __device__ __forceinline__ int first_reader(int ix, int in, int out) {
  int64_t a = (int64_t)out * (2 * ix - 1) - in;
  return ix < 1 || a <= 0 ? 0 : (int)((a + 2 * in - 1) / (2 * in));
}

/* Weight of pixel ix in output o: from its lower and its upper neighbour, which are one at the far
 * edge. */
static __device__ __forceinline__ float weight_of(Lerp l, int ix, int in) {
  int i1 = l.i0 + 1 < in ? l.i0 + 1 : l.i0;
  return (l.i0 == ix ? 1 - l.w1 : 0.f) + (i1 == ix ? l.w1 : 0.f);
}

/* [ow], then [oh] */
static __global__ void __launch_bounds__(256) lerp_tables(Lerp *t, Resize r) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i < r.ow)
    t[i] = lerp_at(i, r.w, r.ow);
  else if (i < r.ow + r.oh)
    t[i] = lerp_at(i - r.ow, r.h, r.oh);
}

static __global__ void __launch_bounds__(256)
    resize_t(const float *dy, const Lerp *tx, float *out, Resize r) {
  const Lerp *ty = tx + r.ow;
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < r.planes * r.h * r.w;
       i += (int64_t)gridDim.x * 256) {
    int x = (int)(i % r.w), y = (int)(i / r.w % r.h), ox0 = first_reader(x, r.w, r.ow);
    const float *d = dy + i / r.w / r.h * r.oh * r.ow;
    float sum = 0;
    for (int oy = first_reader(y, r.h, r.oh); oy < r.oh && ty[oy].i0 <= y; oy++) {
      float row = 0;
      for (int ox = ox0; ox < r.ow && tx[ox].i0 <= x; ox++)
        row += weight_of(tx[ox], x, r.w) * d[(int64_t)oy * r.ow + ox];
      sum += weight_of(ty[oy], y, r.h) * row;
    }
    out[i] = sum;
  }
}

static size_t scratch_resize_t(const CudaCtx *, const DevStep *s) {
  return (size_t)(s->shape[0].dim[2] + s->shape[0].dim[3]) * sizeof(Lerp);
}

static Status launch_resize_t(const CudaCtx *c, const DevStep *s, Error *e) {
  Shape dy = s->shape[0], x = s->node.shape;
  Resize r = {x.dim[0] * x.dim[1], (int)x.dim[2], (int)x.dim[3], (int)dy.dim[2], (int)dy.dim[3]};
  if (!resize_ok("resize_t", r, e)) return ST_INVALID;
  LAUNCH(lerp_tables, blocks_for(r.oh + r.ow, 256), 256, 0, c->stream, (Lerp *)s->scratch, r);
  LAUNCH(resize_t, blocks_for(shape_numel(x), 256), 256, 0, c->stream, (const float *)s->arg[0],
         (const Lerp *)s->scratch, (float *)s->out, r);
  return cuda_check("resize_t", s, e);
}

CUDA_ROW(resize_t, launch_resize_t, scratch_resize_t, NULL);
