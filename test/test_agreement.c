/* test_agreement.c: statistics of readers against values computed elsewhere: exact fractions
 * (Fisher, binomial), closed form (Wilson), numerical delta method (standard error of kappa). */
#include "models/judge/agreement.h"
#include "test/test.h"

static bool near(double a, double b, double tol) { return fabs(a - b) <= tol; }

static void test_normal(void) {
  CHECK(near(normal_quantile(0.975), 1.959963984540054, 1e-12), "97.5 %% quantile: %.15g",
        normal_quantile(0.975));
  CHECK(near(normal_quantile(0.8), 0.841621233572914, 1e-12), "80 %% quantile");
  CHECK(near(normal_quantile(1e-9), -5.997807015008, 1e-10), "far tail: %.15g",
        normal_quantile(1e-9));
  CHECK(normal_quantile(0) == -HUGE_VAL && normal_quantile(1) == HUGE_VAL, "ends are infinite");
  for (double x = -5; x <= 5; x += 0.5)
    CHECK(near(normal_quantile(normal_cdf(x)), x, 1e-8), "quantile of cdf at %g", x);
}

static void test_proportions(void) {
  static const struct {
    int64_t k;
    int64_t n;
    double lo;
    double hi;
  } w[] = {{51, 60, 0.7388541093, 0.9190255942},
           {57, 60, 0.8629948352, 0.9828504978},
           {157, 180, 0.8155638866, 0.9133250205},
           {69, 110, 0.5340520521, 0.7119040371},
           {0, 10, 0, 0.2775327999},
           {10, 10, 0.7224672001, 1}};
  for (int i = 0; i < COUNT_OF(w); i++) {
    const Interval c = wilson_interval(w[i].k, w[i].n, 0.95);
    CHECK(near(c.lo, w[i].lo, 1e-9) && near(c.hi, w[i].hi, 1e-9), "Wilson %lld/%lld: %.10f %.10f",
          (long long)w[i].k, (long long)w[i].n, c.lo, c.hi);
  }
  const Interval none = wilson_interval(0, 0, 0.95);
  CHECK(none.lo == 0 && none.hi == 1, "nothing observed: anything is possible");
  CHECK(near(binomial_half(69, 110), 0.009722194039, 1e-11), "69 of 110 against 1/2: %.12g",
        binomial_half(69, 110));
  CHECK(near(binomial_half(10, 34), 0.024306510109, 1e-11) &&
            near(binomial_half(24, 34), 0.024306510109, 1e-11),
        "10 or 24 of 34 (McNemar's exact p)");
  CHECK(binomial_half(5, 10) == 1 && binomial_half(0, 0) == 1, "p is at most 1");
  CHECK(near(d_prime(30, 55, 16, 55), 0.652009036446491, 1e-9), "d' of 30/55 and 16/55: %.12g",
        d_prime(30, 55, 16, 55));
  CHECK(isfinite(d_prime(10, 10, 0, 10)) && near(d_prime(5, 10, 5, 10), 0, 1e-12),
        "d' is finite, and 0 for guessing");
}

static void test_fisher(void) {
  static const struct {
    int64_t t[4];
    double p;
  } f[] = {{{3, 1, 1, 3}, 0.485714285714},
           {{30, 25, 16, 39}, 0.011594098742},
           {{22, 33, 17, 38}, 0.425514012271},
           {{22, 33, 16, 39}, 0.316108540373},
           {{57, 3, 51, 9}, 0.125447547363},
           {{10, 2, 3, 15}, 0.000536724119},
           {{0, 5, 0, 7}, 1},
           {{0, 0, 0, 0}, 1}};
  for (int i = 0; i < COUNT_OF(f); i++) {
    const int64_t *t = f[i].t;
    CHECK(near(fisher_exact(t[0], t[1], t[2], t[3]), f[i].p, 1e-10), "Fisher of table %d: %.12g", i,
          fisher_exact(t[0], t[1], t[2], t[3]));
    CHECK(near(fisher_exact(t[1], t[0], t[3], t[2]), f[i].p, 1e-10) &&
              near(fisher_exact(t[0], t[2], t[1], t[3]), f[i].p, 1e-10),
          "table %d mirrored and transposed", i);
  }
  CHECK(near(fisher_exact(5000, 5000, 5000, 5000), 1, 1e-6), "large counts: %.9g",
        fisher_exact(5000, 5000, 5000, 5000));
}

static void test_kappa(void) {
  static const struct {
    int k;
    int64_t t[9];
    double kappa;
    double se;
  } v[] = {{2, {20, 5, 10, 15}, 0.4, 0.12699606293982},
           {2, {260, 89, 88, 7543}, 0.7344578726399, 0.01913484466549},
           {2, {260, 177, 0, 7543}, 0.7352375525322, 0.01897655761214},
           {3, {11, 2, 1, 3, 9, 4, 0, 2, 18}, 0.6332518337408, 0.09070148623297}};
  Kappa a;
  Error e = {0};
  for (int i = 0; i < COUNT_OF(v); i++) {
    CHECK(kappa_cohen(v[i].t, v[i].k, 0.95, &a, &e) == ST_OK && near(a.kappa, v[i].kappa, 1e-12),
          "kappa of table %d: %.13g", i, a.kappa);
    CHECK(near(a.se, v[i].se, 1e-8), "its standard error: %.13g", a.se);
    CHECK(near(a.ci.hi - a.kappa, PRLX_MIN(1.959963984540054 * a.se, 1 - a.kappa), 1e-12),
          "its interval");
  }
  CHECK(kappa_cohen((const int64_t[]){7, 0, 0, 5}, 2, 0.95, &a, &e) == ST_OK && a.kappa == 1 &&
            a.se == 0 && a.n == 12,
        "full agreement");
  CHECK(kappa_cohen((const int64_t[]){0, 6, 6, 0}, 2, 0.95, &a, &e) == ST_OK && a.kappa == -1 &&
            a.ci.lo == -1,
        "full disagreement");
  CHECK(kappa_cohen((const int64_t[]){9, 0, 0, 0}, 2, 0.95, &a, &e) == ST_OK && isnan(a.kappa) &&
            a.observed == 1,
        "one category only: undefined, not 1");
  CHECK(kappa_cohen((const int64_t[]){0, 0, 0, 0}, 2, 0.95, &a, &e) == ST_INVALID &&
            strstr(e.msg, "no item"),
        "empty table: %s", e.msg);
  CHECK(kappa_cohen((const int64_t[]){1, -1, 0, 0}, 2, 0.95, &a, &e) == ST_INVALID,
        "negative count");
  CHECK(kappa_cohen((const int64_t[]){1}, 1, 0.95, &a, &e) == ST_INVALID, "one category");
}

int main(void) {
  test_normal();
  test_proportions();
  test_fisher();
  test_kappa();
  return test_end();
}
