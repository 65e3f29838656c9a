/* test_metrics.c: singular values, FID in its two forms, KID, precision and recall, intervals,
 * input conventions, the cache of features. The published numbers are in golden_inception.c; here
 * are properties, brute force, and what must be refused. */
#include <unistd.h>
#include "core/rng.h"
#include "core/threads.h"
#include "io/images/features.h"
#include "models/judge/inception.h"
#include "models/judge/metrics.h"
#include "models/judge/texture.h"
#include "models/math/linalg.h"
#include "test/test.h"

static Rng R = {.seed = 11};
static bool near(double a, double b, double tol) {
  return fabs(a - b) <= tol * fmax(1, fmax(fabs(a), fabs(b)));
}

static float *gauss(int64_t n, int64_t d, double shift, double scale) {
  float *x = mem_alloc((size_t)(n * d) * sizeof *x);
  for (int64_t i = 0; i < n * d; i++)
    x[i] = (float)(shift + scale * rng_normal(&R) / (1.0 + (double)(i % d) / 4));
  return x;
}

/* ---- linear algebra ---- */

/* a random orthogonal map of the rows or columns */
static void reflect(int64_t m, int64_t n, double *a, bool rows) {
  int64_t k = rows ? m : n;
  double *v = mem_alloc((size_t)k * sizeof *v), len = 0;
  for (int64_t i = 0; i < k; i++) {
    v[i] = rng_normal(&R);
    len += v[i] * v[i];
  }
  for (int64_t j = 0; j < (rows ? n : m); j++) {
    double s = 0;
    for (int64_t i = 0; i < k; i++) s += v[i] * (rows ? a[i * n + j] : a[j * n + i]);
    for (int64_t i = 0; i < k; i++) *(rows ? a + i * n + j : a + j * n + i) -= 2 * s * v[i] / len;
  }
  mem_free(v);
}

static void singular(int64_t m, int64_t n, int64_t rank, int threads) {
  int64_t r = PRLX_MIN(m, n);
  double *a = mem_alloc((size_t)(m * n) * sizeof *a), *sv = mem_alloc((size_t)r * sizeof *sv),
         worst = 0;
  for (int64_t i = 0; i < rank; i++) a[i * n + i] = pow(0.7, (double)i) * 5;
  for (int k = 0; k < 4; k++) {
    reflect(m, n, a, true);
    reflect(m, n, a, false);
  }
  Error e = {0};
  threads_set(threads);
  CHECK(singular_values(m, n, a, sv, &e) == ST_OK, "singular values: %s", e.msg);
  for (int64_t i = 0; i < r; i++)
    worst = fmax(worst, fabs(sv[i] - (i < rank ? pow(0.7, (double)i) * 5 : 0)));
  CHECK(worst < 1e-13, "singular values of %lld x %lld, rank %lld: off by %g", (long long)m,
        (long long)n, (long long)rank, worst);
  threads_set(0);
  mem_free(a);
  mem_free(sv);
}

static void test_linalg(void) {
  singular(7, 5, 5, 1);
  singular(5, 7, 4, 2);
  singular(1, 1, 1, 1);
  singular(40, 40, 40, 2);
  singular(64, 33, 0, 1);
  singular(90, 300, 60, 2);
  double bad[4] = {1, NAN, 0, 1}, sv[2];
  Error e = {0};
  CHECK(singular_values(2, 2, bad, sv, &e) == ST_NUMERIC, "NaN is refused");
  enum { N = 37 };
  double *b = mem_alloc(N * N * 8), *c = mem_alloc(N * N * 8), *keep = mem_alloc(N * N * 8),
         *f = mem_alloc(N * N * 8), *ft = mem_alloc(N * N * 8), worst = 0;
  for (int i = 0; i < N * 20; i++) b[i] = rng_normal(&R); /* rank 20 of 37 */
  mat_mul_nt(N, N, 20, b, b, c);
  memcpy(keep, c, N * N * 8);
  int64_t rank;
  psd_factor(N, c, f, &rank);
  CHECK(rank == 20, "rank %lld of a covariance of rank 20", (long long)rank);
  for (int i = 0; i < N; i++)
    for (int k = 0; k < rank; k++) ft[i * rank + k] = f[k * N + i];
  mat_mul_nt(N, N, rank, ft, ft, c);
  for (int i = 0; i < N * N; i++) worst = fmax(worst, fabs(c[i] - keep[i]));
  CHECK(worst < 1e-11, "factor of a singular covariance: off by %g", worst);
  mem_free(b);
  mem_free(c);
  mem_free(keep);
  mem_free(f);
  mem_free(ft);
}

/* ---- FID ---- */

static double fid_of(Features a, Features b, bool gram) {
  Fid f = {.fid = NAN};
  Error e = {0};
  Gram g;
  if (!gram) {
    CHECK(fid_features(a, b, COV_UNBIASED, &f, &e) == ST_OK, "fid: %s", e.msg);
    return f.fid;
  }
  CHECK(gram_new(&g, a, b, &e) == ST_OK && fid_gram(&g, NULL, NULL, COV_UNBIASED, &f, &e) == ST_OK,
        "fid: %s", e.msg);
  gram_free(&g);
  return f.fid;
}

static void test_fid(void) {
  static const struct {
    int na;
    int nb;
    int d;
  } size[] = {{20, 30, 64}, {80, 90, 16}, {12, 200, 40}, {200, 12, 40}, {2, 2, 5}, {40, 40, 40}};
  for (int k = 0; k < COUNT_OF(size); k++) {
    float *x = gauss(size[k].na, size[k].d, 0, 1), *y = gauss(size[k].nb, size[k].d, 0.3, 1.5);
    Features a = {size[k].na, size[k].d, x}, b = {size[k].nb, size[k].d, y};
    double p = fid_of(a, b, false), q = fid_of(a, b, true);
    CHECK(near(p, q, 1e-7) && p > 0,
          "FID of %d and %d images, %d dimensions: covariances %.10g, inner products %.10g",
          size[k].na, size[k].nb, size[k].d, p, q);
    CHECK(near(fid_of(b, a, false), p, 1e-7), "FID is symmetric");
    CHECK(fid_of(a, a, true) < 1e-6 && fid_of(a, a, false) < 1e-6,
          "FID of a set with itself: %g, %g", fid_of(a, a, true), fid_of(a, a, false));
    mem_free(x);
    mem_free(y);
  }
  /* one dimension: (m1-m2)^2 + (s1-s2)^2 */
  float u[5] = {1, 2, 4, 7, 9}, v[4] = {-1, 0.5f, 3, 2}, mu[2], var[2] = {0};
  mu[0] = 23 / 5.0f;
  mu[1] = 4.5f / 4;
  for (int i = 0; i < 5; i++) var[0] += (u[i] - mu[0]) * (u[i] - mu[0]) / 4;
  for (int i = 0; i < 4; i++) var[1] += (v[i] - mu[1]) * (v[i] - mu[1]) / 3;
  double want = pow(mu[0] - mu[1], 2) + pow(sqrt(var[0]) - sqrt(var[1]), 2);
  CHECK(near(fid_of((Features){5, 1, u}, (Features){4, 1, v}, false), want, 1e-5) &&
            near(fid_of((Features){5, 1, u}, (Features){4, 1, v}, true), want, 1e-5),
        "FID in one dimension");
  float same[6] = {1, 2, 1, 2, 1, 2}, other[6] = {4, 6, 4, 6, 4, 6};
  CHECK(near(fid_of((Features){3, 2, same}, (Features){3, 2, other}, true), 25, 1e-12),
        "identical images: the distance of the means");
  CHECK(near(fid_of((Features){3, 2, same}, (Features){3, 2, other}, false), 25, 1e-12),
        "identical images through covariances");
  Fid f;
  Gram g;
  Error e = {0};
  CHECK(fid_features((Features){1, 2, same}, (Features){3, 2, other}, 0, &f, &e) == ST_INVALID,
        "one image is refused");
  CHECK(fid_features((Features){3, 2, same}, (Features){2, 3, other}, 0, &f, &e) == ST_INVALID,
        "other dimensions are refused");
  same[3] = NAN;
  CHECK(fid_features((Features){3, 2, same}, (Features){3, 2, other}, 0, &f, &e) == ST_NUMERIC &&
            gram_new(&g, (Features){3, 2, other}, (Features){3, 2, same}, &e) == ST_NUMERIC,
        "NaN is refused: %s", e.msg);
}

/* Weights are repetitions. */
static void test_weights(void) {
  enum { N = 9, D = 6 };
  float *x = gauss(N, D, 0, 1), *y = gauss(N, D, 1, 1), many[3 * N * D];
  double w[N] = {0, 2, 1, 3, 0, 1, 1, 0, 2};
  int64_t n = 0;
  for (int i = 0; i < N; i++)
    for (int k = 0; k < w[i]; k++) memcpy(many + D * n++, x + D * i, D * sizeof *x);
  Gram g;
  Error e = {0};
  Fid p, q;
  CHECK(gram_new(&g, (Features){N, D, x}, (Features){N, D, y}, &e) == ST_OK &&
            fid_gram(&g, w, NULL, COV_UNBIASED, &p, &e) == ST_OK &&
            fid_features((Features){n, D, many}, (Features){N, D, y}, COV_UNBIASED, &q, &e) ==
                ST_OK,
        "weighted FID: %s", e.msg);
  CHECK(near(p.fid, q.fid, 1e-9) && near(p.trace_sqrt, q.trace_sqrt, 1e-9),
        "weights %.12g, repeated images %.12g", p.fid, q.fid);
  gram_free(&g);
  mem_free(x);
  mem_free(y);
}

static bool stop_soon(void *ctx, int64_t done) { return done < 3; }

static void test_intervals(void) {
  enum { N = 60, D = 12 };
  float *x = gauss(N, D, 0, 1), *y = gauss(N, D, 0.2, 1.2);
  Gram g;
  Error e = {0};
  Fid f;
  Interval a, b, c;
  FidCurve curve;
  FidFloor fl;
  int64_t group[N];
  for (int i = 0; i < N; i++) group[i] = i / 6;
  CHECK(gram_new(&g, (Features){N, D, x}, (Features){N, D, y}, &e) == ST_OK &&
            fid_gram(&g, NULL, NULL, COV_UNBIASED, &f, &e) == ST_OK,
        "gram: %s", e.msg);
  CHECK(fid_bootstrap(&g, (Groups){0}, (Groups){0}, f.fid, COV_UNBIASED, 60, 7, &a, NULL, NULL,
                      &e) == ST_OK,
        "bootstrap: %s", e.msg);
  threads_set(2);
  CHECK(fid_bootstrap(&g, (Groups){0}, (Groups){0}, f.fid, COV_UNBIASED, 60, 7, &b, NULL, NULL,
                      &e) == ST_OK,
        "bootstrap: %s", e.msg);
  threads_set(0);
  CHECK(!memcmp(&a, &b, sizeof a), "same seed, same interval, any number of threads");
  CHECK(a.lo < f.fid && f.fid < a.hi && a.se > 0, "FID %.4f in its interval [%.4f, %.4f]", f.fid,
        a.lo, a.hi);
  CHECK(fid_bootstrap(&g, (Groups){group, 10}, (Groups){group, 10}, f.fid, COV_UNBIASED, 60, 7, &c,
                      NULL, NULL, &e) == ST_OK &&
            c.reps == 60 && c.lo < f.fid && f.fid < c.hi,
        "by group");
  CHECK(fid_bootstrap(&g, (Groups){0}, (Groups){0}, f.fid, COV_UNBIASED, 60, 7, &c, stop_soon, NULL,
                      &e) == ST_INTERRUPTED,
        "bootstrap stops");
  CHECK(fid_curve(&g, COV_UNBIASED, 20, 3, &curve, NULL, NULL, &e) == ST_OK, "curve: %s", e.msg);
  CHECK(near(curve.fid[FID_SIZES - 1], f.fid, 1e-9) && curve.fid[0] > f.fid && curve.inf < f.fid,
        "FID falls with n: %.4f at n/2, %.4f, extrapolated %.4f", curve.fid[0], f.fid, curve.inf);
  CHECK(fid_floor(&g, COV_UNBIASED, 20, 3, &fl, &e) == ST_OK && fl.n == N / 2 &&
            fl.within < fl.between && fl.within > 0,
        "floor %.4f below %.4f", fl.within, fl.between);
  gram_free(&g);
  mem_free(x);
  mem_free(y);
}

/* ---- KID ---- */

static double kid_brute(Features a, Features b, const int64_t *ga, const int64_t *gb,
                        int64_t skip_a, int64_t skip_b) {
  double s[3] = {0}, n[3] = {0};
  for (int p = 0; p < 3; p++) {
    Features u = p == 1 ? b : a, v = p == 0 ? a : b;
    const int64_t *gu = p == 1 ? gb : ga, *gv = p == 0 ? ga : gb, su = p == 1 ? skip_b : skip_a,
                  sv = p == 0 ? skip_a : skip_b;
    for (int64_t i = 0; i < u.n; i++)
      for (int64_t j = 0; j < v.n; j++) {
        if ((p < 2 && i == j) || gu[i] == su || gv[j] == sv) continue;
        double t = 0;
        for (int64_t k = 0; k < u.d; k++) t += (double)u.x[i * u.d + k] * (double)v.x[j * u.d + k];
        s[p] += pow(t / (double)u.d + 1, 3);
        n[p]++;
      }
  }
  return s[0] / n[0] + s[1] / n[1] - 2 * s[2] / n[2];
}

static void test_kid(void) {
  enum { NA = 13, NB = 17, D = 5 };
  float *x = gauss(NA, D, 0, 1), *y = gauss(NB, D, 0.3, 1);
  Features a = {NA, D, x}, b = {NB, D, y};
  for (int grouped = 0; grouped < 2; grouped++) {
    int64_t ga[NA], gb[NB], na = grouped ? 4 : NA, nb = grouped ? 5 : NB;
    for (int i = 0; i < NA; i++) ga[i] = grouped ? i * 4 / NA : i;
    for (int i = 0; i < NB; i++) gb[i] = grouped ? i % 5 : i;
    double var = 0;
    for (int side = 0; side < 2; side++) {
      double m = 0, q = 0, v[NB];
      int64_t n = side ? nb : na;
      for (int64_t k = 0; k < n; k++)
        m += (v[k] = kid_brute(a, b, ga, gb, side ? -1 : k, side ? k : -1)) / (double)n;
      for (int64_t k = 0; k < n; k++) q += (v[k] - m) * (v[k] - m);
      var += q * (double)(n - 1) / (double)n;
    }
    Kid k;
    Error e = {0};
    CHECK(kid_features(a, b, grouped ? (Groups){ga, na} : (Groups){0},
                       grouped ? (Groups){gb, nb} : (Groups){0}, &k, &e) == ST_OK,
          "kid: %s", e.msg);
    CHECK(near(k.kid, kid_brute(a, b, ga, gb, -1, -1), 1e-11), "KID %.12g, by definition %.12g",
          k.kid, kid_brute(a, b, ga, gb, -1, -1));
    CHECK(near(k.se, sqrt(var), 1e-9), "standard error %.9g, by leaving out groups %.9g", k.se,
          sqrt(var));
  }
  mem_free(x);
  mem_free(y);
  /* Sets of one distribution: no bias, and the jackknife's error is the true one. */
  double m = 0, v = 0, se = 0;
  enum { TRIALS = 60 };
  for (int t = 0; t < TRIALS; t++) {
    Kid k;
    Error e = {0};
    float *p = gauss(30, 8, 0, 1), *q = gauss(30, 8, 0, 1);
    CHECK(kid_features((Features){30, 8, p}, (Features){30, 8, q}, (Groups){0}, (Groups){0}, &k,
                       &e) == ST_OK,
          "kid: %s", e.msg);
    m += k.kid / TRIALS;
    v += k.kid * k.kid / TRIALS;
    se += k.se / TRIALS;
    mem_free(p);
    mem_free(q);
  }
  double sd = sqrt(v - m * m);
  CHECK(fabs(m) < 4 * sd / sqrt(TRIALS), "KID of equal distributions: mean %.2g, sd %.2g", m, sd);
  CHECK(se > 0.5 * sd && se < 2.5 * sd, "jackknife error %.3g, true %.3g", se, sd);
}

static void test_precision(void) {
  enum { N = 40, D = 4 };
  float *x = gauss(N, D, 0, 1), *y = gauss(N, D, 100, 1);
  Gram g;
  Error e = {0};
  PrecisionRecall r;
  CHECK(gram_new(&g, (Features){N, D, x}, (Features){N, D, x}, &e) == ST_OK &&
            precision_recall(&g, 3, &r, &e) == ST_OK,
        "precision: %s", e.msg);
  CHECK(r.precision == 1 && r.recall == 1 && r.nearest_a == 0,
        "a set and its copy: %g %g, nearest %g", r.precision, r.recall, r.nearest_a);
  gram_free(&g);
  CHECK(gram_new(&g, (Features){N, D, x}, (Features){N, D, y}, &e) == ST_OK &&
            precision_recall(&g, 3, &r, &e) == ST_OK && r.precision == 0 && r.recall == 0,
        "far apart");
  CHECK(precision_recall(&g, N, &r, &e) == ST_INVALID, "k as large as the set is refused");
  gram_free(&g);
  /* radii, k = 1: 1 each; 1, 1, 1, 1 */
  float line[5] = {0, 1, 2, 3, 4}, other[4] = {0.5f, 1.5f, 30, 31};
  CHECK(gram_new(&g, (Features){5, 1, line}, (Features){4, 1, other}, &e) == ST_OK &&
            precision_recall(&g, 1, &r, &e) == ST_OK,
        "line: %s", e.msg);
  CHECK(near(r.precision, 0.5, 1e-12) && near(r.recall, 0.6, 1e-12),
        "on a line: precision %g, recall %g", r.precision, r.recall);
  gram_free(&g);
  mem_free(x);
  mem_free(y);
}

/* ---- what the network sees ---- */

static void test_input(void) {
  enum { S = INCEPTION_SIDE, BIG = 640 };
  float *img = mem_alloc(3 * BIG * BIG * sizeof *img);
  real *out = mem_alloc(3 * S * S * sizeof *out);
  Error e = {0};
  for (int c = 0; c < FIDCONV_COUNT; c++) {
    FidInput o = {.convention = (FidConvention)c};
    double zero = c == FIDCONV_PYTORCH ? 127.5 : 128, unit = c == FIDCONV_PYTORCH ? 127.5 : 128,
           worst = 0;
    static const int side[] = {1, 2, 3, 64, S, BIG};
    for (int k = 0; k < COUNT_OF(side); k++) {
      for (int i = 0; i < side[k] * side[k]; i++) img[i] = 77;
      CHECK(fid_prepare_255(&o, 1, side[k], side[k], img, out, &e) == ST_OK, "prepare: %s", e.msg);
      for (int i = 0; i < 3 * S * S; i++)
        worst = fmax(worst, fabs((double)out[i] - (77 - zero) / unit));
    }
    CHECK(worst < 1e-6, "%s: a constant image stays constant (%g)", fid_convention_name[c], worst);
    for (int i = 0; i < 64 * 64; i++) img[i] = (float)(2 * (i % 64) + i / 64);
    CHECK(fid_prepare_255(&o, 1, 64, 64, img, out, &e) == ST_OK, "prepare: %s", e.msg);
    worst = 0;
    for (int y = 20; y < 270; y++)
      for (int x = 20; x < 270; x++) {
        double h = c == FIDCONV_TENSORFLOW ? 0 : 0.5, px = (x + h) * 64 / S - h,
               py = (y + h) * 64 / S - h;
        worst = fmax(worst, fabs((double)out[y * S + x] - (2 * px + py - zero) / unit));
      }
    CHECK(worst < 1e-5, "%s: a ramp of 64 x 64 lies where it should (%g)", fid_convention_name[c],
          worst);
    for (int i = 0; i < S * S; i++) img[i] = (float)(i * 7919 % 256);
    CHECK(fid_prepare_255(&o, 1, S, S, img, out, &e) == ST_OK, "prepare: %s", e.msg);
    worst = 0;
    for (int i = 0; i < S * S; i++)
      worst = fmax(worst, fabs((double)out[i] - (img[i] - zero) / unit));
    CHECK(worst < 1e-6, "%s: 299 x 299 is left as it is", fid_convention_name[c]);
    /* a checkerboard, halved: grey only with antialiasing */
    for (int i = 0; i < BIG * BIG; i++) img[i] = (i + i / BIG) % 2 ? 255 : 0;
    CHECK(fid_prepare_255(&o, 1, BIG, BIG, img, out, &e) == ST_OK, "prepare: %s", e.msg);
    double dev = 0;
    for (int i = 50 * S; i < 250 * S; i++)
      dev = fmax(dev, fabs((double)out[i] - (127.5 - zero) / unit));
    CHECK(c == FIDCONV_CLEAN ? dev < 0.1 : dev > 0.3, "%s: antialiasing (%g)",
          fid_convention_name[c], dev);
  }
  float rgb[12] = {-1, -1, -1, -1, 0, 0, 0, 0, 3, 3, 3, 3};
  FidInput o = {.convention = FIDCONV_PYTORCH};
  CHECK(fid_prepare(&o, 3, 2, 2, rgb, out, &e) == ST_OK && out[0] == -1 &&
            fabs((double)out[S * S]) < 1e-6 && out[2 * S * S] == 1,
        "three channels, values beyond the window are clipped");
  o.channels = FID_CHANNELS_FIRST;
  CHECK(fid_prepare(&o, 3, 2, 2, rgb, out, &e) == ST_OK && out[S * S] == -1 && out[2 * S * S] == -1,
        "first channel");
  o.bits8 = true;
  float v = 0.001f;
  CHECK(fid_prepare(&o, 1, 1, 1, &v, out, &e) == ST_OK &&
            fabs((double)out[0] - (128 / 127.5 - 1)) < 1e-6,
        "8 bits: %g", (double)out[0]);
  CHECK(fid_prepare(&o, 1, 0, 5, &v, out, &e) == ST_INVALID, "an empty image is refused");
  mem_free(img);
  mem_free(out);
}

static void test_network(void) {
  enum { N = 3, R8 = 8, DIM = INCEPTION_DIM };
  Inception v;
  InceptionRun one, two;
  Error e = {0};
  FidInput o = {.convention = FIDCONV_CLEAN};
  float img[N * R8 * R8], *a = mem_alloc(N * DIM * sizeof *a), *b = mem_alloc(N * DIM * sizeof *b);
  for (int i = 0; i < N * R8 * R8; i++) img[i] = (float)(2 * rng_uniform(&R) - 1);
  CHECK(inception_new(&v, &e) == ST_OK, "inception: %s", e.msg);
  inception_formula(&v, "x.");
  params_find(&v.params, "Mixed_7c.branch1x1.bn.running_var")->data[3] = -1;
  CHECK(inception_fold(&v, &e) == ST_NUMERIC, "a negative variance is refused: %s", e.msg);
  inception_formula(&v, "x.");
  CHECK(inception_fold(&v, &e) == ST_OK, "fold: %s", e.msg);
  CHECK(inception_run_new(&one, &v, 1, &e) == ST_OK && inception_run_new(&two, &v, 2, &e) == ST_OK,
        "plan: %s", e.msg);
  for (int i = 0; i < N; i++)
    CHECK(inception_run(&one, &o, 1, 1, R8, R8, img + i * R8 * R8, a + i * DIM, &e) == ST_OK,
          "run: %s", e.msg);
  CHECK(inception_run(&two, &o, 2, 1, R8, R8, img, b, &e) == ST_OK &&
            inception_run(&two, &o, 1, 1, R8, R8, img + 2 * R8 * R8, b + 2 * DIM, &e) == ST_OK,
        "run: %s", e.msg);
  CHECK(!memcmp(a, b, N * DIM * sizeof *a), "features do not depend on the batch");
  inception_run_free(&one);
  inception_run_free(&two);
  inception_free(&v);
  mem_free(a);
  mem_free(b);
}

/* ---- cache ---- */

static void test_cache(void) {
  char dir[] = "/tmp/prlx_features_XXXXXX", path[256], key[65], other[65];
  CHECK(mkdtemp(dir) != NULL, "temporary folder");
  float img[3 * 4] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, x[6] = {1, 2, 3, 4, 5, 6};
  Dataset d = {.n = 3, .channels = 1, .h = 2, .w = 2, .images = img};
  features_key(&d, "pytorch-fid", key);
  features_key(&d, "clean-fid", other);
  CHECK(strcmp(key, other) != 0, "another convention, another key");
  img[7] = 7.001f;
  features_key(&d, "pytorch-fid", other);
  CHECK(strcmp(key, other) != 0, "another image, another key");
  features_path(dir, key, path, sizeof path);
  FeatureFile f = {.n = 2, .d = 3, .x = x, .network = "net", .convention = "conv"}, g;
  Error e = {0};
  CHECK(features_cached(&g, path, key, 3, 3, &e) == ST_OK && g.n == 0, "no file: nothing cached");
  CHECK(features_save(&f, path, key, 3, &e) == ST_OK, "save: %s", e.msg);
  CHECK(features_cached(&g, path, key, 3, 3, &e) == ST_OK && g.n == 2 && !memcmp(g.x, x, sizeof x),
        "two of three rows are there");
  features_free(&g);
  CHECK(features_cached(&g, path, other, 3, 3, &e) == ST_OK && g.n == 0,
        "other images: nothing cached");
  CHECK(features_open(&g, path, &e) == ST_FORMAT && strstr(e.msg, "interrupted"),
        "a part is no set: %s", e.msg);
  CHECK(features_save(&f, path, key, 2, &e) == ST_OK && features_is_file(path) &&
            features_open(&g, path, &e) == ST_OK && g.n == 2 && g.d == 3 &&
            !strcmp(g.network, "net"),
        "open: %s", e.msg);
  features_free(&g);
  unlink(path);
  rmdir(dir);
}

/* ---- fine detail and border ---- */

enum { TEX = 32, TEX_N = 12 };
static void noise_images(int64_t n, int blur, bool frame, real *x) {
  for (int64_t i = 0; i < n * TEX * TEX; i++) x[i] = (real)rng_normal(&R);
  for (int64_t i = 0; i < n; i++) {
    real *im = x + i * TEX * TEX;
    for (int k = 0; k < blur; k++)
      for (int y = 0; y < TEX; y++)
        for (int c = 0; c + 1 < TEX; c++)
          im[y * TEX + c] = (im[y * TEX + c] + im[y * TEX + c + 1]) / 2;
    for (int c = 0; frame && c < TEX; c++)
      im[c] = im[(TEX - 1) * TEX + c] = im[c * TEX] = im[c * TEX + TEX - 1] = 5;
  }
}

static void test_texture(void) {
  real *x = mem_alloc(sizeof *x * TEX_N * TEX * TEX), *y = mem_alloc(sizeof *y * TEX_N * TEX * TEX);
  Texture a[TEX_N], b[TEX_N];
  TextureGap g;
  Error e = {0};
  noise_images(TEX_N, 0, false, x);
  noise_images(TEX_N, 0, false, y);
  CHECK(texture_of(TEX_N, 1, TEX, TEX, x, a, &e) == ST_OK, "texture: %s", e.msg);
  CHECK(texture_gap(TEX_N, a, TEX_N, a, &g, &e) == ST_OK && g.detail == 0.5 && g.border == 0.5,
        "a set is not told from itself: %g %g", g.detail, g.border);
  double mean = 0;
  for (int i = 0; i < TEX_N; i++) mean += (fabs(a[i].detail) + fabs(a[i].border)) / TEX_N;
  CHECK(mean < 0.5, "white noise has as much fine detail as coarse, and no border: %g", mean);
  for (int i = 0; i < TEX_N * TEX * TEX; i++) y[i] = 3 * x[i] - 7;
  CHECK(texture_of(TEX_N, 1, TEX, TEX, y, b, &e) == ST_OK && near(a[3].detail, b[3].detail, 1e-4) &&
            near(a[3].border, b[3].border, 1e-4),
        "scale and offset do not count");
  noise_images(TEX_N, 3, false, y);
  CHECK(texture_of(TEX_N, 1, TEX, TEX, y, b, &e) == ST_OK &&
            texture_gap(TEX_N, a, TEX_N, b, &g, &e) == ST_OK && g.detail > 0.99 && g.both > 0.99,
        "blurred images lack detail: %g", g.detail);
  noise_images(TEX_N, 0, true, y);
  CHECK(texture_of(TEX_N, 1, TEX, TEX, y, b, &e) == ST_OK &&
            texture_gap(TEX_N, a, TEX_N, b, &g, &e) == ST_OK && g.border > 0.99 && g.both > 0.99,
        "a frame of one pixel is seen: %g", g.border);
  memset(y, 0, sizeof *y * TEX_N * TEX * TEX);
  CHECK(texture_of(TEX_N, 1, TEX, TEX, y, b, &e) == ST_OK &&
            texture_gap(TEX_N, a, TEX_N, b, &g, &e) == ST_OK && isnan(g.both),
        "constant images have no texture");
  CHECK(texture_of(1, 1, 8, 64, x, a, &e) == ST_INVALID, "too small: %s", e.msg);
  mem_free(x);
  mem_free(y);
}

int main(void) {
  test_texture();
  test_linalg();
  test_fid();
  test_weights();
  test_intervals();
  test_kid();
  test_precision();
  test_input();
  test_network();
  test_cache();
  CHECK(mem_live_count() == 0, "%zu blocks left", mem_live_count());
  threads_stop();
  return test_end();
}
