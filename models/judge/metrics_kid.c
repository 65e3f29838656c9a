/* metrics_kid.c: the kernel distance with its standard error, and precision and recall of the
 * feature manifolds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "models/judge/metrics.h"
#include "models/math/linalg.h"
#include "models/math/ondevice.h"

/* ---- KID ---- */

static double *features_widen(Features f) {
  double *x = mem_alloc((size_t)(f.n * f.d) * sizeof *x);
  for (int64_t i = 0; x && i < f.n * f.d; i++) x[i] = (double)f.x[i];
  return x;
}

/* rows of the kernel matrix in memory at a time */
enum { BLOCK = 128 };
/* Kernel sums of a against b. row[i] = sum_j k(a_i, b_j), col[j] = sum_i. The same set (x == y): i
 * = j left out, and within[group] = the sum over pairs of one group. k: scratch [BLOCK, nb]. */
static void kernel_sums(const double *x, int64_t na, const double *y, int64_t nb, int64_t d,
                        Groups ga, double *k, double *row, double *col, double *within) {
  for (int64_t i0 = 0; i0 < na; i0 += BLOCK) {
    int64_t m = PRLX_MIN(BLOCK, na - i0);
    mat_mul_nt(m, nb, d, x + i0 * d, y, k);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < nb; j++) {
        if (x == y && i0 + i == j) continue;
        double t = k[i * nb + j] / (double)d + 1, v = t * t * t;
        row[i0 + i] += v;
        col[j] += v;
        if (within && ga.of && ga.of[i0 + i] == ga.of[j]) within[ga.of[j]] += v;
      }
  }
}

typedef struct Side {
  int64_t n;
  int64_t ng;
  Groups g;
  double sum;
  double *row;
  double *cross;
  double *within;
  double *grow;
  double *gcross;
  int64_t *size;
} Side;
static bool side_new(Side *s, int64_t n, Groups g) {
  *s = (Side){.n = n, .ng = g.of ? g.n : n, .g = g};
  s->row = mem_alloc((size_t)n * sizeof(double));
  s->cross = mem_alloc((size_t)n * sizeof(double));
  s->within = mem_alloc((size_t)s->ng * sizeof(double));
  s->grow = mem_alloc((size_t)s->ng * sizeof(double));
  s->gcross = mem_alloc((size_t)s->ng * sizeof(double));
  s->size = mem_alloc((size_t)s->ng * sizeof(int64_t));
  return s->row && s->cross && s->within && s->grow && s->gcross && s->size;
}

static void side_free(Side *s) {
  mem_free(s->row);
  mem_free(s->cross);
  mem_free(s->within);
  mem_free(s->grow);
  mem_free(s->gcross);
  mem_free(s->size);
}

static void side_group(Side *s) {
  for (int64_t i = 0; i < s->n; i++) {
    int64_t g = s->g.of ? s->g.of[i] : i;
    s->sum += s->row[i];
    s->grow[g] += s->row[i];
    s->gcross[g] += s->cross[i];
    s->size[g]++;
  }
}

static double ordered_pairs(double n) { return n * (n - 1); }
/* Variance of the estimate over deleting one group of s at a time; `other` is that set's own kernel
 * term. */
static double side_jackknife(const Side *s, double cross, int64_t nother, double other) {
  double mean = 0, m2 = 0, used = 0;
  for (int64_t g = 0; g < s->ng; g++) {
    double n = (double)(s->n - s->size[g]);
    if (s->size[g] == 0 || n < 2) continue;
    double own = (s->sum - 2 * s->grow[g] + s->within[g]) / ordered_pairs(n);
    double v = own + other - 2 * (cross - s->gcross[g]) / (n * (double)nother), delta = v - mean;
    used++;
    mean += delta / used;
    m2 += delta * (v - mean);
  }
  return used < 2 ? NAN : (used - 1) / used * m2;
}

/* All three sums, into the rows and crosses of both sides. */
static Status sums_here(Features a, Features b, Side *sa, Side *sb, Error *e) {
  double *xa = features_widen(a), *xb = features_widen(b),
         *k = mem_alloc((size_t)(BLOCK * PRLX_MAX(a.n, b.n)) * sizeof *k),
         *unused = mem_alloc((size_t)PRLX_MAX(a.n, b.n) * sizeof *unused);
  const bool ok = xa && xb && k && unused;
  if (ok) {
    kernel_sums(xa, a.n, xa, a.n, a.d, sa->g, k, sa->row, unused, sa->within);
    kernel_sums(xb, b.n, xb, b.n, a.d, sb->g, k, sb->row, unused, sb->within);
    kernel_sums(xa, a.n, xb, b.n, a.d, sa->g, k, sa->cross, sb->cross, NULL);
  }
  mem_free(unused);
  mem_free(k);
  mem_free(xb);
  mem_free(xa);
  return ok ? ST_OK : err_set(e, ST_NOMEM, "KID: out of memory; use fewer images");
}

/* A set with itself; `cross` is room until its time comes. */
static Status own_sums(const DevicePoints *p, Side *s, Error *e) {
  TRY(device_cubes(p, p, s->g.of, s->row, NULL, s->cross, e));
  for (int64_t i = 0; i < s->n && s->g.of; i++) s->within[s->g.of[i]] += s->cross[i];
  return ST_OK;
}

static Status all_sums(const DevicePoints *a, const DevicePoints *b, Side *sa, Side *sb, Error *e) {
  TRY(own_sums(a, sa, e));
  TRY(own_sums(b, sb, e));
  memset(sb->cross, 0, (size_t)b->count * sizeof *sb->cross);
  return device_cubes(a, b, NULL, sa->cross, sb->cross, NULL, e);
}

static Status sums_on(Backend *on, Features a, Features b, Side *sa, Side *sb, Error *e) {
  DevicePoints pa, pb;
  TRY(device_points(&pa, on, a.n, a.d, a.x, NULL, e));
  Status s = device_points(&pb, on, b.n, b.d, b.x, NULL, e);
  if (s != ST_OK) goto done;
  s = all_sums(&pa, &pb, sa, sb, e);
  device_points_free(&pb);
done:
  device_points_free(&pa);
  return s;
}

Status kid_features(Features a, Features b, Groups ga, Groups gb, Kid *out, Error *e) {
  return kid_features_on(NULL, a, b, ga, gb, out, e);
}

Status kid_features_on(Backend *on, Features a, Features b, Groups ga, Groups gb, Kid *out,
                       Error *e) {
  memset(out, 0, sizeof *out);
  if (a.d != b.d || a.d < 1)
    return err_set(e, ST_INVALID,
                   "features of %lld and %lld dimensions; both sets must come from one network",
                   (long long)a.d, (long long)b.d);
  if (a.n < 2 || b.n < 2)
    return err_set(e, ST_INVALID, "KID of %lld and %lld images; expected at least two in each set",
                   (long long)a.n, (long long)b.n);
  Side sa, sb;
  bool ok = side_new(&sa, a.n, ga);
  ok = side_new(&sb, b.n, gb) && ok;
  Status s = ok ? ST_OK : err_set(e, ST_NOMEM, "KID: out of memory; use fewer images");
  if (s != ST_OK) goto done;
  s = device_has_dense(on) ? sums_on(on, a, b, &sa, &sb, e) : sums_here(a, b, &sa, &sb, e);
  if (s != ST_OK) goto done;
  side_group(&sa);
  side_group(&sb);
  double cross = 0, kaa = sa.sum / ordered_pairs((double)a.n),
         kbb = sb.sum / ordered_pairs((double)b.n);
  for (int64_t i = 0; i < a.n; i++) cross += sa.cross[i];
  out->kid = kaa + kbb - 2 * cross / ((double)a.n * (double)b.n);
  out->se = sqrt(side_jackknife(&sa, cross, b.n, kbb) + side_jackknife(&sb, cross, a.n, kaa));
  if (!isfinite(out->kid))
    s = err_set(e, ST_NUMERIC, "KID is not finite; a feature is NaN, infinite or beyond 1e100");
done:
  side_free(&sa);
  side_free(&sb);
  return s;
}

/* ---- precision and recall ---- */

enum { MAX_K = 64 };
/* Squared distance to the k-th and to the first other image of the same set, from inner products g
 * [n,n]. */
static void neighbour_radii(const double *g, int64_t n, int k, double *kth, double *first) {
  for (int64_t i = 0; i < n; i++) {
    double best[MAX_K];
    int m = 0;
    for (int64_t j = 0; j < n; j++) {
      if (j == i) continue;
      double d = fmax(0, g[i * n + i] + g[j * n + j] - 2 * g[i * n + j]);
      if (m == k && d >= best[m - 1]) continue;
      int p = m < k ? m++ : m - 1;
      for (; p > 0 && best[p - 1] > d; p--) best[p] = best[p - 1];
      best[p] = d;
    }
    kth[i] = best[m - 1];
    first[i] = best[0];
  }
}

static int double_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_of(double *x, int64_t n) {
  qsort(x, (size_t)n, sizeof *x, double_order);
  return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

Status precision_recall(const Gram *g, int k, PrecisionRecall *out, Error *e) {
  memset(out, 0, sizeof *out);
  if (k < 1 || k > MAX_K || g->na <= k || g->nb <= k)
    return err_set(e, ST_INVALID,
                   "precision and recall with k = %d of %lld and %lld images; expected 1 <= k <= "
                   "%d and more than k images in each set",
                   k, (long long)g->na, (long long)g->nb, MAX_K);
  double *ra = mem_alloc((size_t)g->na * sizeof *ra), *rb = mem_alloc((size_t)g->nb * sizeof *rb),
         *fa = mem_alloc((size_t)g->na * sizeof *fa), *fb = mem_alloc((size_t)g->nb * sizeof *fb);
  bool *hit = mem_alloc((size_t)(g->na + g->nb) * sizeof *hit);
  Status s = ra && rb && fa && fb && hit
                 ? ST_OK
                 : err_set(e, ST_NOMEM, "precision and recall: out of memory");
  if (s != ST_OK) goto done;
  neighbour_radii(g->aa, g->na, k, ra, fa);
  neighbour_radii(g->bb, g->nb, k, rb, fb);
  for (int64_t j = 0; j < g->nb; j++) fb[j] = INFINITY;
  for (int64_t i = 0; i < g->na; i++)
    for (int64_t j = 0; j < g->nb; j++) {
      double d = fmax(0, g->aa[i * g->na + i] + g->bb[j * g->nb + j] - 2 * g->ab[i * g->nb + j]);
      hit[i] |= d <= rb[j];
      hit[g->na + j] |= d <= ra[i];
      fb[j] = fmin(fb[j], d);
    }
  for (int64_t i = 0; i < g->na; i++) out->recall += hit[i];
  for (int64_t j = 0; j < g->nb; j++) out->precision += hit[g->na + j];
  out->recall /= (double)g->na;
  out->precision /= (double)g->nb;
  double own = sqrt(median_of(fa, g->na));
  /* a reference of identical images has no scale */
  out->nearest_a = own > 0 ? sqrt(median_of(fb, g->nb)) / own : NAN;
done:
  mem_free(ra);
  mem_free(rb);
  mem_free(fa);
  mem_free(fb);
  mem_free(hit);
  return s;
}
