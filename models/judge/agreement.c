/* agreement.c: see agreement.h. Everything is exact or a textbook formula; counts are small, so
 * clarity comes before speed. */
#include "models/judge/agreement.h"
#include <math.h>

double normal_cdf(double x) { return 0.5 * erfc(-x / sqrt(2)); }

double normal_quantile(double p) {
  if (!(p > 0)) return -HUGE_VAL;
  if (!(p < 1)) return HUGE_VAL;
  if (p > 0.5) return -normal_quantile(1 - p); /* the lower tail keeps its digits */
  double lo = -40, hi = 0;
  for (int i = 0; i < 100; i++) { /* bisection to the last bit of the interval */
    const double mid = 0.5 * (lo + hi);
    if (normal_cdf(mid) < p)
      lo = mid;
    else
      hi = mid;
  }
  return 0.5 * (lo + hi);
}

double quantile_sorted(const double *v, int64_t n, double q) {
  if (n < 1) return NAN;
  const double at = q * (double)(n - 1);
  const int64_t k = (int64_t)floor(at);
  return k + 1 < n ? v[k] + (at - (double)k) * (v[k + 1] - v[k]) : v[n - 1];
}

Interval wilson_interval(int64_t k, int64_t n, double level) {
  if (n <= 0) return (Interval){0, 1};
  const double z = normal_quantile(0.5 + level / 2), N = (double)n, p = (double)k / N,
               d = 1 + z * z / N;
  const double mid = (p + z * z / (2 * N)) / d,
               half = z / d * sqrt(p * (1 - p) / N + z * z / (4 * N * N));
  return (Interval){k == 0 ? 0 : PRLX_MAX(0.0, mid - half), k == n ? 1 : PRLX_MIN(1.0, mid + half)};
}

static double log_choose(int64_t n, int64_t k) {
  return lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);
}

double fisher_exact(int64_t a, int64_t b, int64_t c, int64_t d) {
  const int64_t row = a + b, col = a + c, n = a + b + c + d;
  const int64_t lo = PRLX_MAX((int64_t)0, row + col - n), hi = PRLX_MIN(row, col);
  if (n == 0 || lo == hi) return 1;
  const double all = log_choose(n, col), here = log_choose(row, a) + log_choose(n - row, c) - all;
  double p = 0;
  for (int64_t x = lo; x <= hi; x++) {
    const double l = log_choose(row, x) + log_choose(n - row, col - x) - all;
    /* equally likely tables count, whatever the rounding */
    if (l <= here + 1e-7) p += exp(l);
  }
  return PRLX_MIN(1.0, p);
}

double binomial_half(int64_t k, int64_t n) {
  if (n <= 0) return 1;
  double p = 0;
  for (int64_t i = 0; i <= PRLX_MIN(k, n - k); i++) p += exp(log_choose(n, i) - (double)n * log(2));
  return PRLX_MIN(1.0, 2 * p);
}

double d_prime(int64_t hits, int64_t signals, int64_t false_alarms, int64_t noises) {
  return normal_quantile(((double)hits + 0.5) / ((double)signals + 1)) -
         normal_quantile(((double)false_alarms + 0.5) / ((double)noises + 1));
}

static double row_sum(const int64_t *t, int k, int i) {
  double s = 0;
  for (int j = 0; j < k; j++) s += (double)t[i * k + j];
  return s;
}

static double col_sum(const int64_t *t, int k, int j) {
  double s = 0;
  for (int i = 0; i < k; i++) s += (double)t[i * k + j];
  return s;
}

/* Variance of kappa times n (1 - pe)^4: sum_i p_ii [(1-pe) - (p_i. + p_.i)(1-po)]^2 + (1-po)^2
 * sum_{i!=j} p_ij (p_.i + p_j.)^2 - (po pe - 2 pe + po)^2 */
static double kappa_variance(const int64_t *t, int k, double n, double po, double pe) {
  double diag = 0, off = 0;
  for (int i = 0; i < k; i++) {
    for (int j = 0; j < k; j++) {
      const double p = (double)t[i * k + j] / n;
      if (i == j) {
        const double x = (1 - pe) - (row_sum(t, k, i) + col_sum(t, k, i)) / n * (1 - po);
        diag += p * x * x;
      } else {
        const double x = (col_sum(t, k, i) + row_sum(t, k, j)) / n;
        off += p * x * x;
      }
    }
  }
  const double last = po * pe - 2 * pe + po;
  return diag + (1 - po) * (1 - po) * off - last * last;
}

Status kappa_cohen(const int64_t *t, int k, double level, Kappa *out, Error *e) {
  *out = (Kappa){.kappa = NAN, .se = NAN, .ci = {-1, 1}};
  if (k < 2) return err_set(e, ST_INVALID, "kappa: %d categories; at least two are needed", k);
  double n = 0, po = 0, pe = 0;
  for (int i = 0; i < k * k; i++) {
    if (t[i] < 0) return err_set(e, ST_INVALID, "kappa: count %lld is negative", (long long)t[i]);
    n += (double)t[i];
  }
  if (n == 0) return err_set(e, ST_INVALID, "kappa: no item was judged by both readers");
  for (int i = 0; i < k; i++) {
    po += (double)t[i * k + i] / n;
    pe += row_sum(t, k, i) / n * (col_sum(t, k, i) / n);
  }
  out->observed = po;
  out->expected = pe;
  out->n = (int64_t)n;
  if (pe >= 1) return ST_OK;
  const double z = normal_quantile(0.5 + level / 2), q = (1 - pe) * (1 - pe);
  out->kappa = (po - pe) / (1 - pe);
  out->se = sqrt(PRLX_MAX(0.0, kappa_variance(t, k, n, po, pe)) / n) / q;
  out->ci =
      (Interval){PRLX_MAX(-1.0, out->kappa - z * out->se), PRLX_MIN(1.0, out->kappa + z * out->se)};
  return ST_OK;
}
