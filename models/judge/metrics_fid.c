/* metrics_fid.c: the Frechet distance between Gaussians fitted to two feature sets, for few images
 * (inner products) and for many (covariances). */
#include <math.h>
#include <string.h>
#include "core/threads.h"
#include "models/judge/metrics_impl.h"
#include "models/math/linalg.h"
#include "models/math/ondevice.h"

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

/* Of centred points on the device: traces and the sum of singular values. */
static Status fid_factors(const DevicePoints *a, const DevicePoints *b, int cov, DeviceFactor *fa,
                          DeviceFactor *fb, Fid *out, Error *e) {
  TRY(device_factor(fa, a, (double)(cov == COV_BIASED ? a->count : a->count - 1), e));
  TRY(device_factor(fb, b, (double)(cov == COV_BIASED ? b->count : b->count - 1), e));
  out->trace_a = fa->trace;
  out->trace_b = fb->trace;
  return device_factors_norm(fa, fb, &out->trace_sqrt, e);
}

/* mu [2,d]: the means of both. */
static Status fid_points(Backend *on, Features a, Features b, const double *mu, int cov, Fid *out,
                         Error *e) {
  DevicePoints pa, pb = {0};
  DeviceFactor fa = {0}, fb = {0};
  TRY(device_points(&pa, on, a.n, a.d, a.x, mu, e));
  Status s = device_points(&pb, on, b.n, b.d, b.x, mu + a.d, e);
  if (s != ST_OK) goto done;
  s = fid_factors(&pa, &pb, cov, &fa, &fb, out, e);
done:
  device_factor_free(&fa);
  device_factor_free(&fb);
  device_points_free(&pa);
  device_points_free(&pb);
  return s;
}

Status fid_features_on(Backend *on, Features a, Features b, int cov, Fid *out, Error *e) {
  if (!device_has_dense(on)) return fid_features(a, b, cov, out, e);
  memset(out, 0, sizeof *out);
  TRY(check_sets(a, b, e));
  double *mu = mem_alloc((size_t)(2 * a.d) * sizeof *mu);
  if (!mu) return err_set(e, ST_NOMEM, "FID: out of memory");
  mean_of(a, mu);
  mean_of(b, mu + a.d);
  const Status s = fid_points(on, a, b, mu, cov, out, e);
  for (int64_t j = 0; j < a.d; j++) out->mean += (mu[j] - mu[a.d + j]) * (mu[j] - mu[a.d + j]);
  out->fid = fmax(0, out->mean + out->trace_a + out->trace_b - 2 * out->trace_sqrt);
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

static Status no_products(Features a, Features b, Error *e) {
  return err_set(e, ST_NOMEM,
                 "out of memory for the inner products of %lld and %lld images; use fewer images",
                 (long long)a.n, (long long)b.n);
}

/* The three matrices, from the sets minus mu. */
static Status products_on(Gram *g, Features a, Features b, const double *mu, Error *e) {
  DevicePoints pa, pb = {0};
  TRY(device_points(&pa, g->on, a.n, a.d, a.x, mu, e));
  Status s = device_points(&pb, g->on, b.n, b.d, b.x, mu, e);
  if (s != ST_OK) goto done;
  s = device_products(&pa, &pa, g->aa, e);
  if (s != ST_OK) goto done;
  s = device_products(&pb, &pb, g->bb, e);
  if (s != ST_OK) goto done;
  s = device_products(&pa, &pb, g->ab, e);
done:
  device_points_free(&pa);
  device_points_free(&pb);
  return s;
}

static Status products_here(Gram *g, Features a, Features b, const double *mu, Error *e) {
  double *xa = mem_alloc((size_t)(a.n * a.d) * sizeof *xa),
         *xb = mem_alloc((size_t)(b.n * b.d) * sizeof *xb);
  if (xa && xb) {
    for (int64_t i = 0; i < a.n * a.d; i++) xa[i] = (double)a.x[i] - mu[i % a.d];
    for (int64_t i = 0; i < b.n * b.d; i++) xb[i] = (double)b.x[i] - mu[i % b.d];
    mat_mul_nt(a.n, a.n, a.d, xa, xa, g->aa);
    mat_mul_nt(b.n, b.n, b.d, xb, xb, g->bb);
    mat_mul_nt(a.n, b.n, a.d, xa, xb, g->ab);
  }
  const bool ok = xa && xb;
  mem_free(xa);
  mem_free(xb);
  return ok ? ST_OK : no_products(a, b, e);
}

Status gram_new(Gram *g, Features a, Features b, Error *e) { return gram_new_on(NULL, g, a, b, e); }

Status gram_new_on(Backend *on, Gram *g, Features a, Features b, Error *e) {
  *g = (Gram){.na = a.n, .nb = b.n, .d = a.d, .on = device_has_dense(on) ? on : NULL};
  TRY(check_sets(a, b, e));
  double *mu = mem_alloc((size_t)(2 * a.d) * sizeof *mu);
  g->aa = mem_alloc((size_t)(a.n * a.n) * sizeof *g->aa);
  g->bb = mem_alloc((size_t)(b.n * b.n) * sizeof *g->bb);
  g->ab = mem_alloc((size_t)(a.n * b.n) * sizeof *g->ab);
  Status s = mu && g->aa && g->bb && g->ab ? ST_OK : no_products(a, b, e);
  if (s != ST_OK) goto done;
  mean_of(a, mu);
  mean_of(b, mu + a.d);
  for (int64_t j = 0; j < a.d; j++) mu[j] = (mu[j] + mu[a.d + j]) / 2;
  s = g->on ? products_on(g, a, b, mu, e) : products_here(g, a, b, mu, e);
done:
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

static Status too_few(double a, double b, Error *e) {
  return err_set(e, ST_INVALID,
                 "FID of %g and %g images; a covariance needs at least two in each set", a, b);
}

/* All of an FID but the singular values of p->cross, whose owner the caller is. */
static Status fid_prepare_part(const Gram *g, const double *wa, const double *wb, int cov,
                               FidPart *p, Error *e) {
  memset(p, 0, sizeof *p);
  Fid *const out = &p->fid;
  Sample a = {0}, b = {0};
  double *col = NULL;
  Status s = ST_OK;
  if (!sample_new(&a, g->na, wa) || !sample_new(&b, g->nb, wb) ||
      !(p->cross = mem_alloc((size_t)(a.n * b.n) * sizeof *p->cross)) ||
      !(col = mem_alloc((size_t)b.n * sizeof *col))) {
    s = err_set(e, ST_NOMEM, "FID: out of memory for a matrix of %lld x %lld; use fewer images",
                (long long)g->na, (long long)g->nb);
    goto done;
  }
  if (a.total < 2 || b.total < 2) {
    s = too_few(a.total, b.total, e);
    goto done;
  }
  double maa, mbb;
  p->da = cov == COV_BIASED ? a.total : a.total - 1;
  p->db = cov == COV_BIASED ? b.total : b.total - 1;
  p->rows = a.n;
  p->columns = b.n;
  out->trace_a = trace_of(g->aa, g->na, &a, &maa) / p->da;
  out->trace_b = trace_of(g->bb, g->nb, &b, &mbb) / p->db;
  out->mean = fmax(0, maa + mbb - 2 * centred_product(g, &a, &b, p->cross, col));
done:
  sample_free(&a);
  sample_free(&b);
  mem_free(col);
  if (s == ST_OK) return s;
  mem_free(p->cross);
  p->cross = NULL;
  return s;
}

/* With the sum of the singular values. */
static Fid fid_of_part(const FidPart *p, double norm) {
  Fid f = p->fid;
  f.trace_sqrt = norm / sqrt(p->da * p->db);
  /* not negative but for rounding */
  f.fid = fmax(0, f.mean + f.trace_a + f.trace_b - 2 * f.trace_sqrt);
  return f;
}

/* ---- several at a time ---- */

/* Sets of this size, and no memory that happens to be free, decide how many: the same bits on any
 * device of a kind. */
enum { QUEUE_MAX = 64, QUEUE_BYTES = 256 << 20 };
Status fid_queue_new(FidQueue *q, const Gram *g, int cov, Error *e) {
  const int64_t each = (int64_t)sizeof(double) * g->na * g->nb,
                fit = QUEUE_BYTES / PRLX_MAX(each, 1);
  *q = (FidQueue){.gram = g, .cov = cov, .cap = 1};
  if (g->on) q->cap = (int)PRLX_MAX(1, PRLX_MIN(fit, (int64_t)QUEUE_MAX));
  q->part = mem_alloc((size_t)q->cap * sizeof *q->part);
  q->out = mem_alloc((size_t)q->cap * sizeof *q->out);
  q->status = mem_alloc((size_t)q->cap * sizeof *q->status);
  if (g->on) q->weights = mem_alloc((size_t)(q->cap * (g->na + g->nb)) * sizeof *q->weights);
  if (q->part && q->out && q->status && (q->weights || !g->on)) return ST_OK;
  fid_queue_free(q);
  return err_set(e, ST_NOMEM, "FID: out of memory");
}

/* What waits is gone. */
static void queue_clear(FidQueue *q) {
  for (int i = 0; q->part && i < q->waiting; i++) {
    mem_free(q->part[i].cross);
    q->part[i].cross = NULL;
  }
  q->waiting = 0;
}

void fid_queue_free(FidQueue *q) {
  queue_clear(q);
  mem_free(q->part);
  mem_free(q->out);
  mem_free(q->status);
  mem_free(q->weights);
  *q = (FidQueue){0};
}

bool fid_queue_full(const FidQueue *q) { return q->waiting == q->cap; }

/* No matrix is wider than high on a device. */
static Status part_transpose(FidPart *p) {
  double *t = mem_alloc((size_t)(p->rows * p->columns) * sizeof *t);
  if (!t) return ST_NOMEM;
  for (int64_t i = 0; i < p->rows; i++)
    for (int64_t j = 0; j < p->columns; j++) t[j * p->rows + i] = p->cross[i * p->columns + j];
  mem_free(p->cross);
  p->cross = t;
  const int64_t m = p->rows;
  p->rows = p->columns;
  p->columns = m;
  return ST_OK;
}

/* Weights [n] and how many images they are; w NULL: every image once. */
static double weights_copy(double *to, const double *w, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i++) total += to[i] = w ? w[i] : 1;
  return total;
}

/* On a device: what the resample is made of, to be prepared with the others. */
static Status queue_later(FidQueue *q, const double *wa, const double *wb, Error *e) {
  const Gram *g = q->gram;
  double *w = q->weights + q->waiting * (g->na + g->nb);
  const double a = weights_copy(w, wa, g->na), b = weights_copy(w + g->na, wb, g->nb);
  if (a < 2 || b < 2) return too_few(a, b, e);
  q->waiting++;
  return ST_OK;
}

Status fid_queue_add(FidQueue *q, const double *wa, const double *wb, Error *e) {
  if (q->gram->on) return queue_later(q, wa, wb, e);
  TRY(fid_prepare_part(q->gram, wa, wb, q->cov, &q->part[q->waiting], e));
  q->waiting++;
  return ST_OK;
}

static void queue_prepare(void *ctx, int64_t i, int worker) {
  FidQueue *q = ctx;
  const Gram *g = q->gram;
  FidPart *p = &q->part[i];
  const double *w = q->weights + i * (g->na + g->nb);
  q->status[i] = fid_prepare_part(g, w, w + g->na, q->cov, p, NULL);
  if (q->status[i] == ST_OK && p->rows < p->columns) q->status[i] = part_transpose(p);
}

static Status queue_on_device(FidQueue *q, Error *e) {
  int64_t m[QUEUE_MAX], n[QUEUE_MAX];
  double *k[QUEUE_MAX], norm[QUEUE_MAX];
  par_for(q->waiting, queue_prepare, q);
  for (int i = 0; i < q->waiting; i++) {
    if (q->status[i] != ST_OK)
      return err_set(e, q->status[i],
                     "FID: out of memory for a matrix of %lld x %lld; use fewer "
                     "images",
                     (long long)q->gram->na, (long long)q->gram->nb);
    m[i] = q->part[i].rows;
    n[i] = q->part[i].columns;
    k[i] = q->part[i].cross;
  }
  TRY(device_nuclear_norms(q->gram->on, q->waiting, m, n, k, norm, e));
  for (int i = 0; i < q->waiting; i++) q->out[i] = fid_of_part(&q->part[i], norm[i]);
  return ST_OK;
}

static Status queue_here(FidQueue *q, Error *e) {
  double norm;
  FidPart *p = q->part;
  TRY(nuclear_norm(p->rows, p->columns, p->cross, &norm, e));
  q->out[0] = fid_of_part(p, norm);
  return ST_OK;
}

Status fid_queue_run(FidQueue *q, Error *e) {
  q->done = 0;
  if (q->waiting == 0) return ST_OK;
  const Status s = q->gram->on ? queue_on_device(q, e) : queue_here(q, e);
  q->done = q->waiting;
  queue_clear(q);
  return s;
}

Status fid_gram(const Gram *g, const double *wa, const double *wb, int cov, Fid *out, Error *e) {
  FidQueue q;
  memset(out, 0, sizeof *out);
  TRY(fid_queue_new(&q, g, cov, e));
  Status s = fid_queue_add(&q, wa, wb, e);
  if (s != ST_OK) goto done;
  s = fid_queue_run(&q, e);
  if (s == ST_OK) *out = q.out[0];
done:
  fid_queue_free(&q);
  return s;
}
