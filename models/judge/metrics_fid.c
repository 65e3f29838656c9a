/* metrics_fid.c: the Frechet distance between Gaussians fitted to two feature sets, for few images
 * (inner products) and for many (covariances). */
#include <math.h>
#include <string.h>
#include "core/threads.h"
#include "models/judge/metrics.h"
#include "models/math/linalg.h"

static Status check_sets(Features a, Features b, Error *e) {
  if (a.d != b.d || a.d < 1)
    return err_set(e, ST_INVALID,
                   "features of %lld and %lld dimensions; both sets must come from one network",
                   (long long)a.d, (long long)b.d);
  if (a.n < 2 || b.n < 2)
    return err_set(e, ST_INVALID,
                   "%lld and %lld images; a covariance needs at least two images in each set",
                   (long long)a.n, (long long)b.n);
  for (int k = 0; k < 2; k++) {
    Features f = k ? b : a;
    for (int64_t i = 0; i < f.n * f.d; i++)
      if (!isfinite(f.x[i]))
        return err_set(
            e, ST_NUMERIC,
            "feature %lld of image %lld in the %s set is NaN or infinite; look at that image",
            (long long)(i % f.d), (long long)(i / f.d), k ? "second" : "first");
  }
  return ST_OK;
}

static void mean_of(Features f, double *mu) {
  memset(mu, 0, (size_t)f.d * sizeof *mu);
  for (int64_t i = 0; i < f.n; i++)
    for (int64_t j = 0; j < f.d; j++) mu[j] += (double)f.x[i * f.d + j];
  for (int64_t j = 0; j < f.d; j++) mu[j] /= (double)f.n;
}

/* ---- general form ---- */

/* The centred features over sqrt(n-1 or n), transposed [d,n], so that rows are feature dimensions.
 */
static double *centred_columns(Features f, const double *mu, double scale) {
  double *x = mem_alloc((size_t)(f.n * f.d) * sizeof *x);
  for (int64_t i = 0; x && i < f.n; i++)
    for (int64_t j = 0; j < f.d; j++) x[j * f.n + i] = ((double)f.x[i * f.d + j] - mu[j]) * scale;
  return x;
}

/* Factor [rank,d] with factor^T factor = covariance, and the covariance's trace. */
static double *covariance_factor(Features f, const double *mu, int cov, int64_t *rank,
                                 double *trace) {
  const double scale = 1 / sqrt((double)(cov == COV_BIASED ? f.n : f.n - 1));
  double *x = centred_columns(f, mu, scale), *out = NULL;
  *trace = 0;
  for (int64_t i = 0; x && i < f.n * f.d; i++) *trace += x[i] * x[i];
  if (x && f.n > f.d) {
    double *c = mem_alloc((size_t)(f.d * f.d) * sizeof *c);
    if (c && (out = mem_alloc((size_t)(f.d * f.d) * sizeof *out))) {
      mat_mul_nt(f.d, f.d, f.n, x, x, c);
      psd_factor(f.d, c, out, rank);
    }
    mem_free(c);
  } else if (x && (out = mem_alloc((size_t)(f.n * f.d) * sizeof *out))) {
    *rank = f.n;
    for (int64_t i = 0; i < f.n; i++)
      for (int64_t j = 0; j < f.d; j++) out[i * f.d + j] = x[j * f.n + i];
  }
  mem_free(x);
  return out;
}

/* tr((Ca Cb)^1/2) is the nuclear norm of Fa Fb^T for any factors Ca = Fa^T Fa, Cb = Fb^T Fb: the
 * squares of its singular values are the eigenvalues of Ca Cb. The centred features are such
 * factors, so n x m numbers suffice where d x d would be needed. */
Status fid_features(Features a, Features b, int cov, Fid *out, Error *e) {
  memset(out, 0, sizeof *out);
  TRY(check_sets(a, b, e));
  Status s = ST_OK;
  int64_t ra = 0, rb = 0;
  double *mu = mem_alloc((size_t)(2 * a.d) * sizeof *mu), *fa = NULL, *fb = NULL, *k = NULL;
  if (mu) {
    mean_of(a, mu);
    mean_of(b, mu + a.d);
  }
  if (mu && (fa = covariance_factor(a, mu, cov, &ra, &out->trace_a)) &&
      (fb = covariance_factor(b, mu + a.d, cov, &rb, &out->trace_b)) &&
      (k = mem_alloc((size_t)(ra * rb) * sizeof *k))) {
    mat_mul_nt(ra, rb, a.d, fa, fb, k);
    s = nuclear_norm(ra, rb, k, &out->trace_sqrt, e);
    for (int64_t j = 0; j < a.d; j++) out->mean += (mu[j] - mu[a.d + j]) * (mu[j] - mu[a.d + j]);
    /* not negative but for rounding */
    out->fid = fmax(0, out->mean + out->trace_a + out->trace_b - 2 * out->trace_sqrt);
  } else
    s = err_set(
        e, ST_NOMEM,
        "FID of %lld and %lld images: out of memory for matrices of %lld x %lld; use fewer images",
        (long long)a.n, (long long)b.n, (long long)a.d, (long long)a.d);
  mem_free(k);
  mem_free(fb);
  mem_free(fa);
  mem_free(mu);
  return s;
}

/* ---- inner products ---- */

void gram_free(Gram *g) {
  mem_free(g->aa);
  mem_free(g->bb);
  mem_free(g->ab);
  memset(g, 0, sizeof *g);
}

Status gram_new(Gram *g, Features a, Features b, Error *e) {
  *g = (Gram){.na = a.n, .nb = b.n, .d = a.d};
  TRY(check_sets(a, b, e));
  Status s = ST_OK;
  double *xa = mem_alloc((size_t)(a.n * a.d) * sizeof *xa),
         *xb = mem_alloc((size_t)(b.n * b.d) * sizeof *xb),
         *mu = mem_alloc((size_t)(2 * a.d) * sizeof *mu);
  g->aa = mem_alloc((size_t)(a.n * a.n) * sizeof *g->aa);
  g->bb = mem_alloc((size_t)(b.n * b.n) * sizeof *g->bb);
  g->ab = mem_alloc((size_t)(a.n * b.n) * sizeof *g->ab);
  if (xa && xb && mu && g->aa && g->bb && g->ab) {
    mean_of(a, mu);
    mean_of(b, mu + a.d);
    for (int64_t j = 0; j < a.d; j++) mu[j] = (mu[j] + mu[a.d + j]) / 2;
    for (int64_t i = 0; i < a.n * a.d; i++) xa[i] = (double)a.x[i] - mu[i % a.d];
    for (int64_t i = 0; i < b.n * b.d; i++) xb[i] = (double)b.x[i] - mu[i % b.d];
    mat_mul_nt(a.n, a.n, a.d, xa, xa, g->aa);
    mat_mul_nt(b.n, b.n, b.d, xb, xb, g->bb);
    mat_mul_nt(a.n, b.n, a.d, xa, xb, g->ab);
  } else
    s = err_set(e, ST_NOMEM,
                "out of memory for the inner products of %lld and %lld images; use fewer images",
                (long long)a.n, (long long)b.n);
  mem_free(xa);
  mem_free(xb);
  mem_free(mu);
  if (s != ST_OK) gram_free(g);
  return s;
}

/* The images that occur: index and weight; the total weight. */
typedef struct Sample {
  int64_t *at;
  int64_t n;
  double *w;
  double total;
} Sample;
static bool sample_new(Sample *s, int64_t n, const double *w) {
  *s = (Sample){mem_alloc((size_t)n * sizeof *s->at), 0, mem_alloc((size_t)n * sizeof *s->w), 0};
  if (!s->at || !s->w) return false;
  for (int64_t i = 0; i < n; i++) {
    double x = w ? w[i] : 1;
    if (x <= 0) continue;
    s->at[s->n] = i;
    s->w[s->n++] = x;
    s->total += x;
  }
  return true;
}

static void sample_free(Sample *s) {
  mem_free(s->at);
  mem_free(s->w);
}

/* Weighted trace of the centred inner products g [n,n], and their weighted mean. */
static double trace_of(const double *g, int64_t n, const Sample *s, double *mean) {
  double diag = 0, all = 0;
  for (int64_t i = 0; i < s->n; i++) {
    const double *row = g + s->at[i] * n;
    double r = 0;
    for (int64_t j = 0; j < s->n; j++) r += s->w[j] * row[s->at[j]];
    all += s->w[i] * r;
    diag += s->w[i] * row[s->at[i]];
  }
  *mean = all / (s->total * s->total);
  return diag - all / s->total;
}

/* k [a,b] = sqrt(w) (ab - row mean - column mean + mean) sqrt(w): the doubly centred product of
 * both sets' features. Returns the mean. */
static double centred_product(const Gram *g, const Sample *a, const Sample *b, double *k,
                              double *col) {
  double all = 0;
  memset(col, 0, (size_t)b->n * sizeof *col);
  for (int64_t i = 0; i < a->n; i++) {
    const double *row = g->ab + a->at[i] * g->nb;
    double r = 0;
    for (int64_t j = 0; j < b->n; j++) {
      double v = k[i * b->n + j] = row[b->at[j]];
      r += b->w[j] * v;
      col[j] += a->w[i] * v;
    }
    all += a->w[i] * r;
    r /= b->total;
    for (int64_t j = 0; j < b->n; j++) k[i * b->n + j] -= r;
  }
  const double mean = all / (a->total * b->total);
  for (int64_t i = 0; i < a->n; i++)
    for (int64_t j = 0; j < b->n; j++)
      k[i * b->n + j] = (k[i * b->n + j] - (col[j] / a->total - mean)) * sqrt(a->w[i] * b->w[j]);
  return mean;
}

Status fid_gram(const Gram *g, const double *wa, const double *wb, int cov, Fid *out, Error *e) {
  memset(out, 0, sizeof *out);
  Sample a = {0}, b = {0};
  double *k = NULL, *col = NULL;
  Status s = ST_OK;
  if (!sample_new(&a, g->na, wa) || !sample_new(&b, g->nb, wb) ||
      !(k = mem_alloc((size_t)(a.n * b.n) * sizeof *k)) ||
      !(col = mem_alloc((size_t)b.n * sizeof *col))) {
    s = err_set(e, ST_NOMEM, "FID: out of memory for a matrix of %lld x %lld; use fewer images",
                (long long)g->na, (long long)g->nb);
    goto done;
  }
  if (a.total < 2 || b.total < 2) {
    s = err_set(e, ST_INVALID,
                "FID of %g and %g images; a covariance needs at least two in each set", a.total,
                b.total);
    goto done;
  }
  double da = cov == COV_BIASED ? a.total : a.total - 1,
         db = cov == COV_BIASED ? b.total : b.total - 1, maa, mbb;
  out->trace_a = trace_of(g->aa, g->na, &a, &maa) / da;
  out->trace_b = trace_of(g->bb, g->nb, &b, &mbb) / db;
  out->mean = fmax(0, maa + mbb - 2 * centred_product(g, &a, &b, k, col));
  s = nuclear_norm(a.n, b.n, k, &out->trace_sqrt, e);
  out->trace_sqrt /= sqrt(da * db);
  /* not negative but for rounding */
  out->fid = fmax(0, out->mean + out->trace_a + out->trace_b - 2 * out->trace_sqrt);
done:
  sample_free(&a);
  sample_free(&b);
  mem_free(k);
  mem_free(col);
  return s;
}
