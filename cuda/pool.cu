/* pool.cu: max pooling, its adjoint, and the gather at the maxima (core/op_pool.c). All are
 * gathers: deterministic without any exchange. They are bound by memory; the 2x2 windows of VGG,
 * which do not overlap, have an adjoint of their own that reads every value once. */
#include "cuda/any.cuh"

/* image planes [h,w], pooled [oh,ow] */
typedef struct Pool {
  int64_t planes;
  int h;
  int w;
  int oh;
  int ow;
  int k;
  int stride;
  int pad;
} Pool;

static Pool pool_of(const DevStep *s, Shape image) {
  const PoolAttr *a = &s->node.attr.pool;
  Pool p = {image.dim[0] * image.dim[1],
            (int)image.dim[2],
            (int)image.dim[3],
            0,
            0,
            a->window,
            a->stride,
            a->pad};
  p.oh = (p.h + 2 * p.pad - p.k) / p.stride + 1;
  p.ow = (p.w + 2 * p.pad - p.k) / p.stride + 1;
  return p;
}

/* First maximum of a window, its position in the plane; a NaN counts as larger than anything, so
 * that it is not hidden. */
template <typename T>
static __device__ __forceinline__ int pool_argmax(const T *x, const Pool &p, int oy, int ox,
                                                  float *value) {
  int y0 = oy * p.stride - p.pad, x0 = ox * p.stride - p.pad, y1 = min(y0 + p.k, p.h),
      x1 = min(x0 + p.k, p.w);
  y0 = max(y0, 0);
  x0 = max(x0, 0);
  int best = y0 * p.w + x0;
  float m = ld(x, best);
  for (int i = y0; i < y1; i++)
    for (int j = x0; j < x1; j++) {
      float v = ld(x, i * p.w + j);
      if (v > m || (v != v && m == m)) {
        m = v;
        best = i * p.w + j;
      }
    }
  *value = m;
  return best;
}

/* out[o] = v[argmax of x], v [N,C,H,W]; v NULL: x itself. */
template <typename T>
__global__ void __launch_bounds__(256)
    pool_gather(const T *x, const void *v, DType tv, void *out, DType tout, Pool p) {
  int64_t size = (int64_t)p.h * p.w;
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < p.planes * p.oh * p.ow;
       i += (int64_t)gridDim.x * 256) {
    int64_t base = i / p.ow / p.oh * size;
    float m;
    int at = pool_argmax(x + base, p, (int)(i / p.ow % p.oh), (int)(i % p.ow), &m);
    st_any(out, tout, i, v ? ld_any(v, tv, base + at) : m);
  }
}

/* out[i] = sum of dy over the windows whose maximum is i. */
template <typename T>
__global__ void __launch_bounds__(256)
    pool_spread(const T *x, const void *dy, DType td, void *out, DType tout, Pool p) {
  int64_t size = (int64_t)p.h * p.w;
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < p.planes * size;
       i += (int64_t)gridDim.x * 256) {
    int64_t plane = i / size;
    int me = (int)(i % size), y = me / p.w + p.pad, xx = me % p.w + p.pad;
    int oy0 = max(y - p.k + p.stride, 0) / p.stride, oy1 = min(y / p.stride, p.oh - 1);
    int ox0 = max(xx - p.k + p.stride, 0) / p.stride, ox1 = min(xx / p.stride, p.ow - 1);
    float sum = 0, m;
    for (int oy = oy0; oy <= oy1; oy++)
      for (int ox = ox0; ox <= ox1; ox++)
        if (pool_argmax(x + plane * size, p, oy, ox, &m) == me)
          sum += ld_any(dy, td, (plane * p.oh + oy) * p.ow + ox);
    st_any(out, tout, i, sum);
  }
}

/* The same for 2x2 windows side by side: one thread per window, also for the cut-off ones at odd
 * edges, which get zeros. */
template <typename T>
__global__ void __launch_bounds__(256)
    pool_spread2(const T *x, const void *dy, DType td, void *out, DType tout, Pool p) {
  int64_t size = (int64_t)p.h * p.w;
  int wh = (p.h + 1) / 2, ww = (p.w + 1) / 2;
  for (int64_t i = blockIdx.x * (int64_t)256 + threadIdx.x; i < p.planes * wh * ww;
       i += (int64_t)gridDim.x * 256) {
    int64_t plane = i / ww / wh;
    int oy = (int)(i / ww % wh), ox = (int)(i % ww), at = -1;
    float m, d = 0;
    if (oy < p.oh && ox < p.ow) {
      at = pool_argmax(x + plane * size, p, oy, ox, &m);
      d = ld_any(dy, td, (plane * p.oh + oy) * p.ow + ox);
    }
    for (int y = 2 * oy; y < min(2 * oy + 2, p.h); y++)
      for (int xx = 2 * ox; xx < min(2 * ox + 2, p.w); xx++)
        st_any(out, tout, plane * size + y * p.w + xx, y * p.w + xx == at ? d : 0.f);
  }
}

static Status too_large(const Pool *p, const char *what, Error *e) {
  if ((int64_t)p->h * p->w <= 0x7fffffff) return ST_OK;
  return err_set(e, ST_INVALID, "cuda %s: planes of %dx%d; up to 2^31-1 elements", what, p->h,
                 p->w);
}

static Status launch_gather(const char *what, const CudaCtx *c, const DevStep *s, int image,
                            Error *e) {
  Pool p = pool_of(s, s->shape[image]);
  TRY(too_large(&p, what, e));
  DISPATCH(s->targ[image], T, {
    auto k = pool_gather<T>;
    LAUNCH(k, blocks_for(p.planes * p.oh * p.ow, 256), 256, 0, c->stream, (const T *)s->arg[image],
           image ? s->arg[0] : (const void *)NULL, s->targ[0], s->out, s->tout, p);
  });
  return cuda_check(what, s, e);
}

static Status launch_maxpool(const CudaCtx *c, const DevStep *s, Error *e) {
  return launch_gather("maxpool", c, s, 0, e);
}

static Status launch_maxpool_gather(const CudaCtx *c, const DevStep *s, Error *e) {
  return launch_gather("maxpool_gather", c, s, 1, e);
}

static Status launch_maxpool_t(const CudaCtx *c, const DevStep *s, Error *e) {
  Pool p = pool_of(s, s->shape[1]);
  TRY(too_large(&p, "maxpool_t", e));
  bool two = p.k == 2 && p.stride == 2 && p.pad == 0;
  int64_t n = two ? p.planes * ((p.h + 1) / 2) * ((p.w + 1) / 2) : p.planes * p.h * p.w;
  DISPATCH(s->targ[1], T, {
    auto k = two ? pool_spread2<T> : pool_spread<T>;
    LAUNCH(k, blocks_for(n, 256), 256, 0, c->stream, (const T *)s->arg[1], s->arg[0], s->targ[0],
           s->out, s->tout, p);
  });
  return cuda_check("maxpool_t", s, e);
}

static bool pool_supports(const DevStep *, int, DType) { return true; }

CUDA_ROW(maxpool, launch_maxpool, NULL, pool_supports);
CUDA_ROW(maxpool_t, launch_maxpool_t, NULL, pool_supports);
CUDA_ROW(maxpool_gather, launch_maxpool_gather, NULL, pool_supports);
