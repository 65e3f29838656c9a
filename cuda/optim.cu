/* optim.cu: Adam, gradient sums, clean-up and EMA over flat ranges: the formulas and the rounding
 * order of core/optim.c. All are limited by memory: Adam moves 28 bytes per weight (20 without
 * first moment), so 23 M weights take 0.14 ms at 4.8 TB/s; the moving average goes along in the
 * same launch for 8 bytes more, where a launch of its own would move 12. Four numbers per thread in
 * 16-byte accesses; a range that does not start on a 16-byte boundary goes number by number. */
#include "cuda/index.cuh"

enum { FLAT_THREADS = 256, FLAT_VEC = 4 };

/* The first of the four elements of this thread. */
#define FLAT_AT const int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * FLAT_VEC

static __device__ __forceinline__ void optim_take4(const float *p, int64_t at, int64_t n, bool wide,
                                                   float *x) {
  if (wide && at + FLAT_VEC <= n) {
    const float4 v = *(const float4 *)(p + at);
    x[0] = v.x;
    x[1] = v.y;
    x[2] = v.z;
    x[3] = v.w;
    return;
  }
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++) x[k] = at + k < n ? p[at + k] : 0;
}

static __device__ __forceinline__ void optim_give4(float *p, int64_t at, int64_t n, bool wide,
                                                   const float *x) {
  if (wide && at + FLAT_VEC <= n) {
    *(float4 *)(p + at) = make_float4(x[0], x[1], x[2], x[3]);
    return;
  }
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++)
    if (at + k < n) p[at + k] = x[k];
}

static __global__ void __launch_bounds__(FLAT_THREADS)
    adam_flat(float *p, const float *g, float *m, float *v, int64_t n, bool wide, AdamCoef c) {
  FLAT_AT;
  float w[FLAT_VEC], d[FLAT_VEC], a[FLAT_VEC], b[FLAT_VEC];
  if (at >= n) return;
  optim_take4(g, at, n, wide, d);
  optim_take4(p, at, n, wide, w);
  optim_take4(v, at, n, wide, b);
  if (m) optim_take4(m, at, n, wide, a);
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++) {
    float mi = d[k];
    if (m) {
      mi = a[k] = c.b1 * a[k] + c.c1 * d[k];
      mi *= c.m_corr;
    }
    b[k] = c.b2 * b[k] + c.c2 * d[k] * d[k];
    w[k] -= c.lr * mi / (sqrtf(b[k]) * c.inv_v + c.eps);
  }
  if (m) optim_give4(m, at, n, wide, a);
  optim_give4(v, at, n, wide, b);
  optim_give4(p, at, n, wide, w);
  if (!c.ema) return;
  optim_take4(c.ema, at, n, wide, a);
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++) a[k] = w[k] + c.ema_beta * (a[k] - w[k]);
  optim_give4(c.ema, at, n, wide, a);
}

static __global__ void __launch_bounds__(FLAT_THREADS)
    add_flat(float *acc, const float *g, int64_t n, bool wide) {
  FLAT_AT;
  float a[FLAT_VEC], d[FLAT_VEC];
  if (at >= n) return;
  optim_take4(acc, at, n, wide, a);
  optim_take4(g, at, n, wide, d);
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++) a[k] += d[k];
  optim_give4(acc, at, n, wide, a);
}

static __global__ void __launch_bounds__(FLAT_THREADS)
    ema_flat(float *ema, const float *p, int64_t n, bool wide, float beta) {
  FLAT_AT;
  float a[FLAT_VEC], b[FLAT_VEC];
  if (at >= n) return;
  optim_take4(ema, at, n, wide, a);
  optim_take4(p, at, n, wide, b);
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++) a[k] = b[k] + beta * (a[k] - b[k]);
  optim_give4(ema, at, n, wide, a);
}

static __global__ void __launch_bounds__(FLAT_PLACES)
    ema_size_few(float *ema, const float *p, FlatPlaces s, float beta) {
  const int i = (int)threadIdx.x;
  if (i >= s.n || !(p[s.at[i]] < 0)) return;
  ema[s.at[i]] -= 2 * (1 - beta) * p[s.at[i]];
}

/* Without a factor it writes only where something was wrong: gradients are finite almost always, so
 * that the pass only reads. */
static __global__ void __launch_bounds__(FLAT_THREADS)
    sanitize_flat(float *g, int64_t n, bool wide, float factor, float most,
                  unsigned long long *bad) {
  FLAT_AT;
  float x[FLAT_VEC];
  int count = 0;
  optim_take4(g, at < n ? at : n, n, wide, x);
#pragma unroll
  for (int k = 0; k < FLAT_VEC; k++) {
    const float v = x[k];
    const bool wrong = !(fabsf(v) <= 3.4e38f);
    x[k] = !wrong ? v * factor : v != v ? 0 : v > 0 ? most : -most;
    count += wrong;
  }
  if (count || (factor != 1 && at < n)) optim_give4(g, at, n, wide, x);
  for (int k = 16; k; k >>= 1) count += __shfl_xor_sync(0xffffffffu, count, k);
  if ((threadIdx.x & 31) == 0 && count && bad) atomicAdd(bad, (unsigned long long)count);
}

static bool optim_wide(const void *a, const void *b, const void *c, const void *d) {
  return (((uintptr_t)a | (uintptr_t)b | (uintptr_t)c | (uintptr_t)d) & 15) == 0;
}

static unsigned flat_blocks(int64_t n) { return (unsigned)cuda_ceil(n, FLAT_THREADS * FLAT_VEC); }

Status cuda_adam(const CudaCtx *c, float *p, const float *g, float *m, float *v, int64_t n,
                 const AdamCoef *coef, Error *e) {
  if (n <= 0) return ST_OK;
  LAUNCH(adam_flat, flat_blocks(n), FLAT_THREADS, 0, c->stream, p, g, m, v, n,
         optim_wide(p, g, m, v) && optim_wide(coef->ema, NULL, NULL, NULL), *coef);
  return cuda_check("adam", NULL, e);
}

Status cuda_accumulate(const CudaCtx *c, float *acc, const float *g, int64_t n, Error *e) {
  if (n <= 0) return ST_OK;
  LAUNCH(add_flat, flat_blocks(n), FLAT_THREADS, 0, c->stream, acc, g, n,
         optim_wide(acc, g, NULL, NULL));
  return cuda_check("accumulate", NULL, e);
}

Status cuda_ema(const CudaCtx *c, float *ema, const float *p, int64_t n, float beta, Error *e) {
  if (n <= 0) return ST_OK;
  LAUNCH(ema_flat, flat_blocks(n), FLAT_THREADS, 0, c->stream, ema, p, n,
         optim_wide(ema, p, NULL, NULL), beta);
  return cuda_check("ema", NULL, e);
}

Status cuda_ema_size(const CudaCtx *c, float *ema, const float *p, const FlatPlaces *s, float beta,
                     Error *e) {
  if (s->n <= 0) return ST_OK;
  LAUNCH(ema_size_few, 1, FLAT_PLACES, 0, c->stream, ema, p, *s, beta);
  return cuda_check("ema_size", NULL, e);
}

Status cuda_sanitize(const CudaCtx *c, float *g, int64_t n, float factor, float most, int64_t *bad,
                     Error *e) {
  if (n <= 0) return ST_OK;
  LAUNCH(sanitize_flat, flat_blocks(n), FLAT_THREADS, 0, c->stream, g, n,
         optim_wide(g, NULL, NULL, NULL), factor, most, (unsigned long long *)bad);
  return cuda_check("sanitize", NULL, e);
}
