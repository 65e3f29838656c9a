/* inception_input.c: from an image of any size to the 3 x 299 x 299 numbers that Inception sees, in
 * the three conventions in use (inception.h). Every one of them is a linear resampling per axis: a
 * table of weights for each of the 299 positions, applied to columns, then to rows. */
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

Status fid_prepare(const FidInput *o, int64_t c, int64_t h, int64_t w, const float *img, real *dst,
                   Error *e) {
  float *x = mem_alloc((size_t)(c * h * w) * sizeof *x);
  if (!x) return err_set(e, ST_NOMEM, "FID input: out of memory");
  for (int64_t i = 0; i < c * h * w; i++) {
    float v = fminf(fmaxf(img[i] * 127.5f + 127.5f, 0), 255);
    x[i] = o->bits8 ? rintf(v) : v;
  }
  Status s = fid_prepare_255(o, c, h, w, x, dst, e);
  mem_free(x);
  return s;
}
