/* texture.c: see texture.h. */
#include "models/judge/texture.h"
#include <math.h>
#include "core/threads.h"
#include "models/judge/evaluate.h"

/* ---- finest detail ---- */

typedef struct Spectrum {
  int h;
  int w;
  double *cx; /* [w] cos and sin of 2 pi i / w */
  double *sx;
  double *cy; /* [h] */
  double *sy;
  double *hx; /* [w] Hann window; [h] */
  double *hy;
  double *room;
} Spectrum;

static void spectrum_axis(int n, double *c, double *s, double *hann) {
  for (int i = 0; i < n; i++) {
    c[i] = cos(2 * M_PI * i / n);
    s[i] = sin(2 * M_PI * i / n);
    hann[i] = 0.5 - 0.5 * cos(2 * M_PI * (i + 0.5) / n);
  }
}

static Status spectrum_new(Spectrum *p, int h, int w, Error *e) {
  *p = (Spectrum){.h = h, .w = w};
  p->room = mem_alloc((size_t)(3 * (h + w)) * sizeof *p->room);
  if (!p->room) return err_set(e, ST_NOMEM, "texture: out of memory");
  p->cx = p->room;
  p->sx = p->cx + w;
  p->hx = p->sx + w;
  p->cy = p->hx + w;
  p->sy = p->cy + h;
  p->hy = p->sy + h;
  spectrum_axis(w, p->cx, p->sx, p->hx);
  spectrum_axis(h, p->cy, p->sy, p->hy);
  return ST_OK;
}

/* Rows of x, windowed and without their mean, transformed: re, im [h][w/2+1]. */
static void transform_rows(const Spectrum *p, const real *x, double *re, double *im) {
  const int h = p->h, w = p->w, half = w / 2 + 1;
  double mean = 0, weight = 0;
  for (int y = 0; y < h; y++)
    for (int i = 0; i < w; i++) {
      mean += p->hy[y] * p->hx[i] * (double)x[y * w + i];
      weight += p->hy[y] * p->hx[i];
    }
  mean /= weight;
  for (int y = 0; y < h; y++)
    for (int k = 0; k < half; k++) {
      double a = 0, b = 0;
      for (int i = 0; i < w; i++) {
        const double v = p->hx[i] * ((double)x[y * w + i] - mean);
        a += v * p->cx[i * k % w];
        b -= v * p->sx[i * k % w];
      }
      re[y * half + k] = p->hy[y] * a;
      im[y * half + k] = p->hy[y] * b;
    }
}

static double column_power(const Spectrum *p, const double *re, const double *im, int k, int q) {
  const int h = p->h, half = p->w / 2 + 1;
  double a = 0, b = 0;
  for (int y = 0; y < h; y++) {
    const double c = p->cy[y * q % h], s = p->sy[y * q % h];
    a += re[y * half + k] * c + im[y * half + k] * s;
    b += im[y * half + k] * c - re[y * half + k] * s;
  }
  return a * a + b * b;
}

/* work [2][h][w/2+1] */
static double detail_of(const Spectrum *p, const real *x, double *work) {
  const int h = p->h, w = p->w, half = w / 2 + 1;
  double *re = work, *im = work + h * half, sum[2] = {0};
  int count[2] = {0};
  transform_rows(p, x, re, im);
  for (int q = 0; q < h; q++)
    for (int k = 0; k < half; k++) {
      const double fy = (double)(q <= h / 2 ? q : q - h) / h, f = hypot(fy, (double)k / w);
      const int band = f >= 0.35 && f <= 0.5 ? 0 : f >= 0.06 && f <= 0.2 ? 1 : -1;
      if (band < 0) continue;
      sum[band] += column_power(p, re, im, k, q);
      count[band]++;
    }
  return log(sum[0] / count[0]) - log(sum[1] / count[1]);
}

/* ---- outermost pixel ---- */

/* Mean |step| between the pixels that lie `at` and at + 1 from an edge. */
static double edge_step(int h, int w, const real *x, int at) {
  double sum = 0;
  for (int i = 0; i < w; i++) {
    sum += fabs((double)x[at * w + i] - (double)x[(at + 1) * w + i]);
    sum += fabs((double)x[(h - 1 - at) * w + i] - (double)x[(h - 2 - at) * w + i]);
  }
  for (int y = 0; y < h; y++) {
    const real *r = x + y * w;
    sum += fabs((double)r[at] - (double)r[at + 1]);
    sum += fabs((double)r[w - 1 - at] - (double)r[w - 2 - at]);
  }
  return sum / (2 * (h + w));
}

static double border_of(int h, int w, const real *x) {
  return log(edge_step(h, w, x, 0)) - log((edge_step(h, w, x, 2) + edge_step(h, w, x, 3)) / 2);
}

typedef struct Textures {
  const Spectrum *p;
  int64_t per; /* numbers of an image */
  const real *x;
  double *work;
  int64_t work_size; /* of one worker */
  Texture *out;
} Textures;

static void texture_image(void *ctx, int64_t i, int worker) {
  const Textures *q = ctx;
  const real *one = q->x + i * q->per;
  q->out[i] = (Texture){detail_of(q->p, one, q->work + worker * q->work_size),
                        border_of(q->p->h, q->p->w, one)};
}

Status texture_of(int64_t n, int channels, int h, int w, const real *x, Texture *out, Error *e) {
  Spectrum p;
  if (h < TEXTURE_LEAST || w < TEXTURE_LEAST)
    return err_set(e, ST_INVALID, "texture: images of %d x %d pixels; expected at least %d x %d", w,
                   h, TEXTURE_LEAST, TEXTURE_LEAST);
  TRY(spectrum_new(&p, h, w, e));
  Textures q = {.p = &p,
                .per = (int64_t)channels * h * w,
                .x = x,
                .work_size = 2 * (int64_t)h * (w / 2 + 1),
                .out = out};
  q.work = mem_alloc((size_t)(threads_count() * q.work_size) * sizeof *q.work);
  if (!q.work) {
    mem_free(p.room);
    return err_set(e, ST_NOMEM, "texture: out of memory");
  }
  par_for(n, texture_image, &q);
  mem_free(q.work);
  mem_free(p.room);
  return ST_OK;
}

/* ---- two sets ---- */

static int64_t take_finite(int64_t n, const Texture *t, int cls, double *v, int *truth,
                           int64_t at) {
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(t[i].detail) || !isfinite(t[i].border)) continue;
    v[2 * at] = t[i].detail;
    v[2 * at + 1] = t[i].border;
    truth[at++] = cls;
  }
  return at;
}

/* Weights of the discriminant: pooled covariance inverse times the difference of the means. */
static void fit_discriminant(int64_t n, const double *v, const int *truth, double weight[2]) {
  double mean[2][2] = {{0}}, s[3] = {0};
  int64_t count[2] = {0};
  for (int64_t i = 0; i < n; i++) {
    count[truth[i]]++;
    for (int k = 0; k < 2; k++) mean[truth[i]][k] += v[2 * i + k];
  }
  for (int c = 0; c < 2; c++)
    for (int k = 0; k < 2; k++) mean[c][k] /= (double)count[c];
  for (int64_t i = 0; i < n; i++) {
    const double a = v[2 * i] - mean[truth[i]][0], b = v[2 * i + 1] - mean[truth[i]][1];
    s[0] += a * a;
    s[1] += a * b;
    s[2] += b * b;
  }
  const double det = s[0] * s[2] - s[1] * s[1], da = mean[1][0] - mean[0][0],
               db = mean[1][1] - mean[0][1];
  const bool flat = !(det > 1e-12 * s[0] * s[2]);
  weight[0] = flat ? da : (s[2] * da - s[1] * db) / det;
  weight[1] = flat ? db : (s[0] * db - s[1] * da) / det;
}

static Status projected_auc(int64_t n, const double *v, const int *truth, double wa, double wb,
                            double *score, double *auc, Error *e) {
  double m[M_COUNT];
  for (int64_t i = 0; i < n; i++) score[i] = wa * v[2 * i] + wb * v[2 * i + 1];
  TRY(eval_metrics(n, truth, score, 0.5, m, e));
  *auc = PRLX_MAX(m[M_ROC_AUC], 1 - m[M_ROC_AUC]);
  return ST_OK;
}

Status texture_gap(int64_t na, const Texture *a, int64_t nb, const Texture *b, TextureGap *out,
                   Error *e) {
  *out = (TextureGap){NAN, NAN, NAN};
  double *v = mem_alloc((size_t)(2 * (na + nb)) * sizeof *v), weight[2],
         *score = mem_alloc((size_t)(na + nb) * sizeof *score);
  int *truth = mem_alloc((size_t)(na + nb) * sizeof *truth);
  Status s = ST_OK;
  if (!v || !score || !truth) {
    s = err_set(e, ST_NOMEM, "texture: out of memory");
    goto done;
  }
  const int64_t first = take_finite(na, a, 0, v, truth, 0),
                n = take_finite(nb, b, 1, v, truth, first);
  if (first < 3 || n - first < 3) goto done;
  fit_discriminant(n, v, truth, weight);
  s = projected_auc(n, v, truth, 1, 0, score, &out->detail, e);
  if (s != ST_OK) goto done;
  s = projected_auc(n, v, truth, 0, 1, score, &out->border, e);
  if (s != ST_OK) goto done;
  s = projected_auc(n, v, truth, weight[0], weight[1], score, &out->both, e);
done:
  mem_free(v);
  mem_free(score);
  mem_free(truth);
  return s;
}
