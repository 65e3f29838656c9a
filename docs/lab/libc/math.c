/* math.c: elementary functions for the page. Each result is computed to about 100 bits and rounded
 * once, so it is the number nearest to the true value but in one case in 2^45 or so. The C library
 * of the command line is right to within 0.52 units in the last place; where core/ rounds what it
 * gets from them to float, which is where it uses them in a projection, both give the same bits
 * (test/lab.sh compares whole projections). Written from the series. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "docs/lab/libc/twofold.h"

static const Two LN2 = {0.69314718055994530942, 2.3190468138462996e-17};
static const Two HALF_PI = {1.5707963267948966192, 6.123233995736766e-17};
static const double HALF_PI_REST = -1.4973849048591833e-33;

/* 1 / i. */
static const Two INVERSE[8] = {{0, 0},
                               {1.0, 0},
                               {0.5, 0},
                               {0x1.5555555555555p-2, 0x1.5555555555555p-56},
                               {0.25, 0},
                               {0x1.999999999999ap-3, -0x1.999999999999ap-57},
                               {0x1.5555555555555p-3, 0x1.5555555555555p-57},
                               {0x1.2492492492492p-3, 0x1.2492492492492p-57}};

double fmax(double a, double b) { return isnan(a) ? b : a > b ? a : isnan(b) ? a : b; }
double fmin(double a, double b) { return isnan(a) ? b : a < b ? a : isnan(b) ? a : b; }
float fmaxf(float a, float b) { return (float)fmax(a, b); }
float fminf(float a, float b) { return (float)fmin(a, b); }

double ldexp(double x, int n) {
  while (n > 1000) {
    x *= 0x1p1000;
    n -= 1000;
  }
  while (n < -1000) {
    x *= 0x1p-1000;
    n += 1000;
  }
  uint64_t bits = (uint64_t)(1023 + n) << 52;
  double p;
  memcpy(&p, &bits, 8);
  return x * p;
}

float ldexpf(float x, int n) { return (float)ldexp(x, n); }

double frexp(double x, int *n) {
  uint64_t bits;
  *n = 0;
  if (x == 0 || !isfinite(x)) return x;
  if (fabs(x) < 0x1p-1000) {
    x *= 0x1p200;
    *n = -200;
  }
  memcpy(&bits, &x, 8);
  *n += (int)(bits >> 52 & 0x7ff) - 1022;
  bits = (bits & 0x800fffffffffffffu) | 0x3fe0000000000000u;
  memcpy(&x, &bits, 8);
  return x;
}

/* e^x of |x| < 720 as m * 2^k. Taylor series of x / 4096, squared twelve times. */
static Two exp_two(Two x, int *k) {
  const double n = rint(x.hi / LN2.hi);
  Two r = two_add(x, two_neg(two_times(LN2, n))), s = {1, 0}, t;
  *k = (int)n;
  r = (Two){r.hi / 4096, r.lo / 4096};
  for (int i = 7; i >= 1; i--) {
    t = two_mul(two_mul(r, s), INVERSE[i]);
    s = two_add((Two){1, 0}, t);
  }
  for (int i = 0; i < 12; i++) s = two_mul(s, s);
  return s;
}

static double exp_rounded(Two x) {
  int k;
  if (x.hi > 709.8) return HUGE_VAL;
  if (x.hi < -745.2) return 0;
  const Two s = exp_two(x, &k);
  return ldexp(s.hi + s.lo, k);
}

/* log of m in about [0.7, 1.42): atanh series, then one step of Newton with exp_two. */
static Two log_near_one(Two m) {
  const double s = (m.hi - 1) / (m.hi + 1), q = s * s;
  double sum = 0;
  int k;
  for (int i = 21; i >= 1; i -= 2) sum = sum * q + 1.0 / i;
  const double y = 2 * s * sum;
  const Two e = exp_two((Two){-y, 0}, &k);
  const Two scale = {ldexp(e.hi, k), ldexp(e.lo, k)};
  /* log m = y + log(1 + r) */
  const Two r = two_add(two_mul(m, scale), (Two){-1, 0});
  const Two half = two_mul(r, r);
  return two_add((Two){y, 0}, two_add(r, (Two){-half.hi / 2, -half.lo / 2}));
}

static Two log_two(Two x) {
  int e;
  double m = frexp(x.hi, &e);
  if (m < M_SQRT1_2) {
    m *= 2;
    e--;
  }
  return two_add(two_times(LN2, e), log_near_one((Two){m, ldexp(x.lo, -e)}));
}

double exp(double x) { return isnan(x) ? x : exp_rounded((Two){x, 0}); }
double exp2(double x) { return isnan(x) ? x : exp_rounded(two_times(LN2, x)); }
float expf(float x) { return (float)exp(x); }

double log(double x) {
  if (isnan(x) || x < 0) return NAN;
  if (x == 0) return -HUGE_VAL;
  if (isinf(x)) return x;
  if (x == 1) return 0;
  const Two y = log_two((Two){x, 0});
  return y.hi + y.lo;
}

double log2(double x) {
  if (!(x > 0) || isinf(x)) return log(x);
  const Two y = two_div(log_two((Two){x, 0}), LN2);
  return y.hi + y.lo;
}

double log10(double x) {
  if (!(x > 0) || isinf(x)) return log(x);
  const Two y = two_div(log_two((Two){x, 0}), log_two((Two){10, 0}));
  return y.hi + y.lo;
}

double log1p(double x) {
  if (!(x > -1) || isinf(x)) return x == -1 ? -HUGE_VAL : x > 0 ? x : NAN;
  if (fabs(x) < 1e-17) return x;
  const Two y = log_two(two_sum(1, x));
  return y.hi + y.lo;
}

double expm1(double x) {
  int k;
  if (fabs(x) < 1e-17 || isnan(x)) return x;
  if (x > 700 || x < -50) return exp(x) - 1;
  const Two s = exp_two((Two){x, 0}, &k);
  const Two y = two_add((Two){ldexp(s.hi, k), ldexp(s.lo, k)}, (Two){-1, 0});
  return y.hi + y.lo;
}

double tanh(double x) {
  int k;
  if (fabs(x) < 1e-9 || isnan(x)) return x;
  if (fabs(x) > 20) return copysign(1, x);
  const Two s = exp_two((Two){2 * x, 0}, &k), e = {ldexp(s.hi, k), ldexp(s.lo, k)};
  const Two y = two_div(two_add(e, (Two){-1, 0}), two_add(e, (Two){1, 0}));
  return y.hi + y.lo;
}

double pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (isnan(x) || isnan(y)) return NAN;
  const int odd = fabs(y) < 9e15 && rint(y) == y && ((int64_t)y & 1);
  if (x == 0) return y > 0 ? 0 : HUGE_VAL;
  if (x < 0) {
    if (rint(y) != y) return NAN;
    return odd ? -pow(-x, y) : pow(-x, y);
  }
  if (isinf(x)) return y > 0 ? x : 0;
  if (isinf(y)) return (x > 1) == (y > 0) ? HUGE_VAL : 0;
  if (y == 1) return x;
  return exp_rounded(two_times(log_two((Two){x, 0}), y));
}

float powf(float x, float y) { return (float)pow(x, y); }

/* sin (odd = 1) or cos (odd = 0) of |x| <= pi/4. */
static Two series(Two x, int odd) {
  const Two q = two_mul(x, x);
  Two s = {1, 0};
  for (int i = odd ? 27 : 26; i >= 2; i -= 2) {
    const Two t = two_div(two_mul(q, s), (Two){(double)i * (i - 1), 0});
    s = two_add((Two){1, 0}, two_neg(t));
  }
  return odd ? two_mul(x, s) : s;
}

/* sin of x + quarter turns. */
static double turned(double x, int quarters) {
  if (!(fabs(x) < 1e9)) return NAN;
  const double n = rint(x / HALF_PI.hi);
  Two r = two_add((Two){x, 0}, two_neg(two_product(HALF_PI.hi, n)));
  r = two_add(r, two_neg(two_product(HALF_PI.lo, n)));
  r = two_add(r, (Two){-HALF_PI_REST * n, 0});
  const int k = (int)(((int64_t)n + quarters) & 3);
  const Two y = series(r, !(k & 1));
  return k & 2 ? -(y.hi + y.lo) : y.hi + y.lo;
}

double sin(double x) { return x == 0 ? x : turned(x, 0); }
double cos(double x) { return turned(x, 1); }
double tan(double x) { return sin(x) / cos(x); }
float sinf(float x) { return (float)sin(x); }
float cosf(float x) { return (float)cos(x); }

double hypot(double x, double y) {
  const double big = fmax(fabs(x), fabs(y));
  if (big == 0 || isinf(big) || isnan(x) || isnan(y)) return big + fabs(x) + fabs(y);
  int k;
  frexp(big, &k);
  const double a = ldexp(x, -k), b = ldexp(y, -k);
  const Two s = two_add(two_product(a, a), two_product(b, b));
  const double r = sqrt(s.hi);
  const Two rest = two_add(s, two_neg(two_product(r, r)));
  return ldexp(r + rest.hi / (2 * r), k);
}

double round(double x) { return copysign(floor(fabs(x) + 0.5), x); }
float roundf(float x) { return (float)round(x); }
long lround(double x) { return (long)round(x); }
long lrint(double x) { return (long)rint(x); }
