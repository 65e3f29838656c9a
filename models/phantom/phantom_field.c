/* phantom_field.c: random numbers, Gaussian random fields, quantiles and signed distances for the
 * phantom. */
#include "models/phantom/phantom_impl.h"

int draw_choice(Rng *r, const double *p, int n) {
  double u = rng_uniform(r);
  for (int i = 0; i < n - 1; i++) {
    if (u < p[i]) return i;
    u -= p[i];
  }
  return n - 1;
}

/* Knuth: uniforms multiplied until they fall below exp(-mean) */
int draw_poisson(Rng *r, double mean) {
  const double limit = exp(-mean);
  int k = 0;
  for (double p = rng_uniform(r); p > limit && k < 1000; p *= rng_uniform(r)) k++;
  return k;
}

/* Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), shape a >= 1. */
static double draw_gamma(Rng *r, double a) {
  const double d = a - 1. / 3, c = 1 / sqrt(9 * d);
  for (;;) {
    double x = rng_normal(r), v = 1 + c * x, u = rng_uniform(r);
    v = v * v * v;
    if (v > 0 && log(u + 1e-300) < .5 * x * x + d - d * v + d * log(v)) return d * v;
  }
}

double draw_beta(Rng *r, double a, double b) {
  const double x = draw_gamma(r, a);
  return x / (x + draw_gamma(r, b));
}

void draw_normals(Rng *r, float *dst, size_t n) {
  enum { BATCH = 64 };
  const uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)};
  uint64_t block = (r->offset + 3) >> 2;
  for (size_t at = 0; at < n; at += 4 * BATCH) {
    uint32_t word[4 * BATCH];
    float v[4 * BATCH];
    for (int k = 0; k < BATCH; k++, block++) {
      const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32),
                                   (uint32_t)r->subsequence, (uint32_t)(r->subsequence >> 32)};
      uint32_t o[4];
      philox4x32_10(counter, key, o);
      for (int i = 0; i < 4; i++) word[i * BATCH + k] = o[i];
    }
    for (int k = 0; k < 2 * BATCH; k++) { /* Box-Muller on 24-bit uniforms */
      const float u = ((float)(int32_t)(word[k] >> 8) + .5f) * 0x1p-24f,
                  a = ((float)(int32_t)(word[2 * BATCH + k] >> 8) * 0x1p-24f - .5f) * 6.28318531f;
      const float radius = sqrtf(-2.f * fast_log(u));
      v[k] = radius * fast_cos(a);
      v[2 * BATCH + k] = radius * fast_sin(a);
    }
    memcpy(dst + at, v, sizeof(float) * PRLX_MIN(n - at, (size_t)4 * BATCH));
  }
  r->offset = block << 2;
}

/* ---- random fields ---- */
enum { TAPS = 6, AXIS_MAX = 128 };
/* out(i) = sum_t weight[i][t] noise(start[i] + t): a Gaussian sampled at the distances between
 * voxel i and the grid points. */
typedef struct Smooth {
  int nc;
  int start[AXIS_MAX];
  float weight[AXIS_MAX][TAPS];
} Smooth;

static void smooth_axis(Smooth *s, int n, double h, double l) {
  const double sigma = l * M_SQRT1_2, step = PRLX_MAX(1.25 * sigma, h),
               reach = PRLX_MIN(3 * sigma, (TAPS - 1) * .5 * step);
  const double first = -reach - step * .5; /* the first grid point, measured from voxel 0 */
  s->nc = 0;
  for (int i = 0; i < n; i++) {
    const int j0 = (int)ceil((i * h - reach - first) / step - 1e-9);
    double sum = 0, wt[TAPS];
    for (int t = 0; t < TAPS; t++) {
      const double d = (first + (j0 + t) * step - i * h) / sigma;
      wt[t] = exp(-.5 * d * d);
      sum += wt[t] * wt[t];
    }
    for (int t = 0; t < TAPS; t++) s->weight[i][t] = (float)(wt[t] / sqrt(sum));
    s->start[i] = j0;
    s->nc = PRLX_MAX(s->nc, j0 + TAPS);
  }
}

size_t random_field_noise(const Box *b) {
  return (size_t)2 * (size_t)(b->nx + 16) * (size_t)(b->ny + 16) * (size_t)(b->nz + 16);
}

static void smooth_rows(const Smooth *s, const float *in, size_t rows, int nx, float *out) {
  for (size_t k = 0; k < rows; k++, in += s->nc, out += nx)
    for (int i = 0; i < nx; i++) {
      const float *p = in + s->start[i], *wt = s->weight[i];
      out[i] =
          wt[0] * p[0] + wt[1] * p[1] + wt[2] * p[2] + wt[3] * p[3] + wt[4] * p[4] + wt[5] * p[5];
    }
}

/* Along the axis of `stride`: n outputs from s->nc inputs, each a line of `stride` floats. */
static void smooth_lines(const Smooth *s, const float *in, int n, size_t stride,
                         float *restrict out) {
  for (int i = 0; i < n; i++, out += stride) {
    const float *p = in + (size_t)s->start[i] * stride, *wt = s->weight[i];
    const float *p1 = p + stride, *p2 = p1 + stride, *p3 = p2 + stride, *p4 = p3 + stride,
                *p5 = p4 + stride;
    for (size_t x = 0; x < stride; x++)
      out[x] = wt[0] * p[x] + wt[1] * p1[x] + wt[2] * p2[x] + wt[3] * p3[x] + wt[4] * p4[x] +
               wt[5] * p5[x];
  }
}

void random_field(PhantomWork *w, Rng *r, double lx, double ly, double lz, float *out) {
  const Box *b = &w->box;
  Smooth sx, sy, sz;
  smooth_axis(&sx, b->nx, PHANTOM_HX, lx);
  smooth_axis(&sy, b->ny, PHANTOM_HY, ly);
  smooth_axis(&sz, b->nz, PHANTOM_HZ, lz);
  float *white = w->noise, *rows = w->noise + random_field_noise(b) / 2;
  const size_t nx = (size_t)b->nx, plane = nx * (size_t)b->ny;
  draw_normals(r, white, (size_t)sx.nc * (size_t)sy.nc * (size_t)sz.nc);
  smooth_rows(&sx, white, (size_t)sy.nc * (size_t)sz.nc, b->nx, rows);
  for (int k = 0; k < sz.nc; k++)
    smooth_lines(&sy, rows + (size_t)k * (size_t)sy.nc * nx, b->ny, nx, white + (size_t)k * plane);
  smooth_lines(&sz, white, b->nz, plane, out);
  /* per column first: a fixed order that vectorises */
  float sum[AXIS_MAX] = {0}, square[AXIS_MAX] = {0};
  for (size_t at = 0; at < b->n; at += nx)
    for (size_t x = 0; x < nx; x++) {
      sum[x] += out[at + x];
      square[x] += out[at + x] * out[at + x];
    }
  double s = 0, q = 0;
  for (size_t x = 0; x < nx; x++) {
    s += sum[x];
    q += square[x];
  }
  const double mean = s / (double)b->n, var = q / (double)b->n - mean * mean;
  const float a = (float)(1 / sqrt(PRLX_MAX(var, 1e-12))), c = (float)(-mean) * a;
  for (size_t i = 0; i < b->n; i++) out[i] = out[i] * a + c;
}

/* ---- order statistics, distances ---- */
static float quick_select(float *v, ptrdiff_t n, ptrdiff_t k) { /* Hoare's FIND */
  for (ptrdiff_t lo = 0, hi = n - 1; lo < hi;) {
    const float pivot = v[k];
    ptrdiff_t i = lo, j = hi;
    while (i <= j) {
      while (v[i] < pivot) i++;
      while (pivot < v[j]) j--;
      if (i <= j) {
        float t = v[i];
        v[i++] = v[j];
        v[j--] = t;
      }
    }
    if (j < k) lo = i;
    if (k < i) hi = j;
  }
  return v[k];
}

float quantile_of(const float *v, const float *keep, size_t n, size_t step, double q, float *tmp) {
  ptrdiff_t m = 0;
  for (size_t i = 0; i < n; i += step)
    if (!keep || keep[i] > .5f) tmp[m++] = v[i];
  return m ? quick_select(tmp, m, (ptrdiff_t)(q * (double)(m - 1))) : 0.f;
}

void signed_distance(PhantomWork *w, float *f, float *tmp) {
  const Box *b = &w->box;
  const size_t nx = (size_t)b->nx, plane = nx * (size_t)b->ny;
  for (int k = 0; k < b->nz; k++)
    for (int j = 0; j < b->ny; j++) {
      const float *p = f + (size_t)k * plane + (size_t)j * nx;
      const int jl = j > 0, jh = j<b->ny - 1, kl = k> 0, kh = k < b->nz - 1;
      const float *ya = p - (jl ? nx : 0), *yb = p + (jh ? nx : 0), *za = p - (kl ? plane : 0),
                  *zb = p + (kh ? plane : 0);
      const float iy = (float)(1 / (PHANTOM_HY * (jl + jh))),
                  iz = (float)(1 / (PHANTOM_HZ * (kl + kh))), ix = (float)(.5 / PHANTOM_HX);
      float *g = tmp + (size_t)k * plane + (size_t)j * nx;
      for (size_t x = 0; x < nx; x++) {
        const float gx = x == 0        ? (p[1] - p[0]) * 2 * ix
                         : x == nx - 1 ? (p[x] - p[x - 1]) * 2 * ix
                                       : (p[x + 1] - p[x - 1]) * ix;
        const float gy = (yb[x] - ya[x]) * iy, gz = (zb[x] - za[x]) * iz;
        g[x] = sqrtf(gx * gx + gy * gy + gz * gz);
      }
    }
  const float least = .25f * quantile_of(tmp, NULL, b->n, 13, .5, w->noise);
  for (size_t i = 0; i < b->n; i++) f[i] /= tmp[i] > least ? tmp[i] : least;
}
