/* inception_input.c: from an image of any size to the 3 x 299 x 299 numbers that Inception sees, in
 * the three conventions in use (inception.h). Every one of them is a linear resampling per axis: a
 * table of weights for each of the 299 positions, applied to columns, then to rows. Twice: in
 * double on the CPU, an image at a time, and as a graph for a backend, where the smaller images
 * travel. */
#include <math.h>
#include <string.h>
#include "models/judge/inception.h"

const char *const fid_convention_name[FIDCONV_COUNT] = {"pytorch-fid", "tensorflow", "clean-fid"};
const char *const fid_convention_text[FIDCONV_COUNT] = {
    "bilinear to 299 with half-pixel centres, no antialias, 2x-1",
    "bilinear to 299 without half-pixel centres (2015 graph), (x-128)/128",
    "bicubic to 299, antialiased, not rounded, (x-128)/128"};

enum { SIDE = INCEPTION_SIDE };
/* Output i = sum_k weight[i*taps + k] * input[first[i] + k]. */
typedef struct Resample {
  int taps;
  int32_t first[SIDE];
  double *weight;
} Resample;

/* Catmull-Rom, a = -1/2 (Keys 1981). */
static double bicubic_weight(double x) {
  const double a = -0.5;
  x = fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static void bilinear_taps(Resample *r, int64_t n, bool half_pixel) {
  const double s = (double)n / SIDE;
  for (int i = 0; i < SIDE; i++) {
    double x = half_pixel ? fmax((i + 0.5) * s - 0.5, 0) : i * s;
    int64_t x0 = PRLX_MIN((int64_t)x, n - 1);
    double f = x0 == n - 1 ? 0 : x - (double)x0; /* beyond the last pixel: that pixel */
    r->first[i] = (int32_t)(n > 1 && x0 == n - 1 ? x0 - 1 : x0);
    double *w = r->weight + i * r->taps;
    w[x0 - r->first[i]] = 1 - f;
    if (x0 < n - 1) w[x0 - r->first[i] + 1] = f;
  }
}

static void bicubic_taps(Resample *r, int64_t n) {
  const double s = (double)n / SIDE, wide = fmax(s, 1), support = 2 * wide;
  for (int i = 0; i < SIDE; i++) {
    double centre = (i + 0.5) * s, sum = 0, *w = r->weight + i * r->taps;
    int64_t lo = (int64_t)fmax(floor(centre - support + 0.5), 0),
            hi = PRLX_MIN((int64_t)floor(centre + support + 0.5), n);
    r->first[i] = (int32_t)PRLX_MIN(lo, n - r->taps);
    for (int64_t k = lo; k < hi; k++)
      sum += w[k - r->first[i]] = bicubic_weight(((double)k + 0.5 - centre) / wide);
    for (int k = 0; k < r->taps; k++) w[k] /= sum;
  }
}

static Status resample_new(Resample *r, FidConvention c, int64_t n, Error *e) {
  int64_t taps = c == FIDCONV_CLEAN ? (int64_t)ceil(2 * 2 * fmax((double)n / SIDE, 1)) + 1 : 2;
  r->taps = (int)PRLX_MIN(taps, n);
  r->weight = mem_alloc((size_t)(SIDE * r->taps) * sizeof *r->weight);
  if (!r->weight)
    return err_set(e, ST_NOMEM, "resampling %lld to %d pixels: out of memory", (long long)n, SIDE);
  if (c == FIDCONV_CLEAN)
    bicubic_taps(r, n);
  else
    bilinear_taps(r, n, c == FIDCONV_PYTORCH);
  return ST_OK;
}

/* x [h,w] -> dst [299,299], scaled to what the network wants. mid: scratch [h,299]. */
static void resample_plane(const Resample *ry, const Resample *rx, FidConvention c, int64_t h,
                           int64_t w, const float *x, double *mid, real *dst) {
  for (int64_t i = 0; i < h; i++)
    for (int j = 0; j < SIDE; j++) {
      double s = 0;
      for (int k = 0; k < rx->taps; k++)
        s += rx->weight[j * rx->taps + k] * (double)x[i * w + rx->first[j] + k];
      mid[i * SIDE + j] = s;
    }
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      double s = 0;
      for (int k = 0; k < ry->taps; k++)
        s += ry->weight[i * ry->taps + k] * mid[(ry->first[i] + k) * SIDE + j];
      if (c == FIDCONV_CLEAN) s = fmin(fmax(s, 0), 255);
      dst[i * SIDE + j] = (real)(c == FIDCONV_PYTORCH ? s / 127.5 - 1 : (s - 128) / 128);
    }
}

Status fid_prepare_255(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img,
                       real *dst, Error *e) {
  if (c < 1 || h < 1 || w < 1 || h > 65536 || w > 65536)
    return err_set(
        e, ST_INVALID,
        "FID input: image [%lld,%lld,%lld]; expected at least one channel and sides of 1 to 65536",
        (long long)c, (long long)h, (long long)w);
  Resample ry = {0}, rx = {0};
  double *mid = NULL;
  float *mean = NULL;
  const bool rgb = c == 3 && o->channels == FID_CHANNELS_AUTO;
  Status s = resample_new(&ry, o->convention, h, e);
  if (s != ST_OK) goto done;
  s = resample_new(&rx, o->convention, w, e);
  if (s != ST_OK) goto done;
  mid = mem_alloc((size_t)(h * SIDE) * sizeof *mid);
  mean = mem_alloc((size_t)(h * w) * sizeof *mean);
  if (!mid || !mean) {
    s = err_set(e, ST_NOMEM, "FID input: out of memory");
    goto done;
  }
  for (int k = 0; k < (rgb ? 3 : 1); k++) {
    const float *x = img + k * h * w;
    if (o->channels == FID_CHANNELS_MEAN && c > 1) {
      for (int64_t i = 0; i < c * h * w; i++) mean[i % (h * w)] += img[i] / (float)c;
      x = mean;
    }
    resample_plane(&ry, &rx, o->convention, h, w, x, mid, dst + k * SIDE * SIDE);
  }
  for (int k = 1; k < 3 && !rgb; k++) memcpy(dst + k * SIDE * SIDE, dst, SIDE * SIDE * sizeof *dst);
done:
  mem_free(mean);
  mem_free(mid);
  mem_free(rx.weight);
  mem_free(ry.weight);
  return s;
}

/* Network units to 0..255: what every way begins with. */
static float level_of(const FidInput *o, float x) {
  const float v = fminf(fmaxf(x * 127.5f + 127.5f, 0), 255);
  return o->bits8 ? rintf(v) : v;
}

Status fid_prepare(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img, real *dst,
                   Error *e) {
  float *x = mem_alloc((size_t)(c * h * w) * sizeof *x);
  if (!x) return err_set(e, ST_NOMEM, "FID input: out of memory");
  for (int64_t i = 0; i < c * h * w; i++) x[i] = level_of(o, img[i]);
  Status s = fid_prepare_255(o, c, h, w, x, dst, e);
  mem_free(x);
  return s;
}

/* ---- as a graph ---- */

/* What a graph may hold of a sum's terms; the same as on the device. */
#define FID_TERMS_MAX (((int64_t)1 << 31) - 1)

int fid_planes(const FidInput *o, int64_t c) {
  return c == 3 && o->channels == FID_CHANNELS_AUTO ? 3 : 1;
}

bool fid_graph_takes(const FidInput *o, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t planes = n * fid_planes(o, c);
  if (c < 1 || h < 1 || w < 1 || h > 32767 || w > 32767 || n < 1) return false;
  if (o->convention == FIDCONV_PYTORCH) return planes <= FID_TERMS_MAX / (SIDE * SIDE);
  return planes * h <= FID_TERMS_MAX / (SIDE * PRLX_MAX((int64_t)SIDE, w));
}

void fid_planes_of(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img,
                   real *dst) {
  const int64_t hw = h * w, n = fid_planes(o, c) * hw;
  const bool mean = o->channels == FID_CHANNELS_MEAN && c > 1;
  for (int64_t i = 0; i < n; i++) {
    float v = level_of(o, img[i]) / (mean ? (float)c : 1);
    for (int64_t k = 1; k < c && mean; k++) v += level_of(o, img[k * hw + i]) / (float)c;
    dst[i] =
        (real)(o->convention == FIDCONV_PYTORCH ? (double)v / 127.5 - 1 : ((double)v - 128) / 128);
  }
}

/* The table as a matrix: [n,299], or by rows [299,n]; 0 after a failure. */
static Val resample_matrix(Graph *g, FidConvention c, int64_t n, bool by_row) {
  Resample r = {0};
  real *m = mem_alloc((size_t)(SIDE * n) * sizeof *m);
  Error e;
  Val out = 0;
  if (m && resample_new(&r, c, n, &e) == ST_OK) {
    for (int i = 0; i < SIDE; i++)
      for (int k = 0; k < r.taps; k++) {
        const int64_t at = r.first[i] + k;
        m[by_row ? i * n + at : at * SIDE + i] = (real)r.weight[i * r.taps + k];
      }
    out = g_const(g, by_row ? SHAPE4(1, SIDE, n, 1) : SHAPE3(1, n, SIDE), m);
  } else
    graph_fail(g, ST_NOMEM, "FID input: out of memory");
  mem_free(r.weight);
  mem_free(m);
  return out;
}

/* Products and sums, not matrix products: a device rounds the operands of those. */
static Val resample_graph(Graph *g, FidConvention c, Val x) {
  const Shape s = graph_shape(g, x);
  const int64_t planes = s.dim[0] * s.dim[1], h = s.dim[2], w = s.dim[3];
  Val y = g_reshape(g, x, SHAPE3(planes * h, w, 1));
  y = g_sum(g, g_mul(g, y, resample_matrix(g, c, w, false)), 1u << 1);
  y = g_reshape(g, y, SHAPE4(planes, 1, h, SIDE));
  y = g_sum(g, g_mul(g, y, resample_matrix(g, c, h, true)), 1u << 2);
  y = g_reshape(g, y, SHAPE4(s.dim[0], s.dim[1], SIDE, SIDE));
  /* 0 and 255 */
  return c == FIDCONV_CLEAN ? g_clamp(g, y, -1, 127.0 / 128) : y;
}

Val g_fid_input(Graph *g, const FidInput *o, Val x) {
  const Shape s = graph_shape(g, x);
  if (!x) return 0;
  if (s.rank != 4 || (s.dim[1] != 1 && s.dim[1] != 3))
    return graph_fail(g, ST_INVALID, "FID input: rank %d; expected [N,1,H,W] or [N,3,H,W]", s.rank);
  Val y = o->convention == FIDCONV_PYTORCH ? g_resize(g, x, SIDE, SIDE)
                                           : resample_graph(g, o->convention, x);
  return s.dim[1] == 3 ? y : g_broadcast(g, y, SHAPE4(s.dim[0], 3, SIDE, SIDE));
}
