/* cuda_judge.c: what judges images on the device against the CPU: matrices of doubles
 * (cuda/dense.cu) against models/math/linalg.c, FID, KID, intervals, precision and recall made of
 * them against those of the host, the way of images to Inception's input, and (long) its features.
 * Doubles agree to 1e-11 of the largest number of a result in any precision of the backend.
 * usage: cuda_judge, or cuda_judge features PRECISION: how far Inception's are from the CPU's */
#include "core/plan.h"
#include "core/threads.h"
#include "cuda/device.h"
#include "models/judge/inception.h"
#include "models/judge/metrics.h"
#include "models/math/ondevice.h"
#include "test/test.h"

static Backend *device;
static Rng draws = {.seed = 23};

/* Within 1e-11 of the larger, or of 1. */
static bool judge_near(double a, double b) {
  return fabs(a - b) <= 1e-11 * fmax(1, fmax(fabs(a), fabs(b)));
}

static double worst_of(const double *a, const double *b, int64_t n) {
  double worst = 0, most = 0;
  for (int64_t i = 0; i < n; i++) {
    worst = fmax(worst, fabs(a[i] - b[i]));
    most = fmax(most, fabs(b[i]));
    if (!isfinite(a[i])) return INFINITY;
  }
  return most > 0 ? worst / most : worst;
}

/* n points, the last of them the first once more. */
static float *some_points(int64_t n, int64_t d, double shift) {
  float *x = mem_alloc((size_t)(n * d) * sizeof *x);
  for (int64_t i = 0; i < n * d; i++)
    x[i] = (float)(shift + rng_normal(&draws) / (1.0 + (double)(i % d) / 4));
  for (int64_t k = 0; k < d; k++) x[(n - 1) * d + k] = x[k];
  return x;
}

/* ---- products ---- */

static double *widened(const float *x, const double *mu, int64_t n, int64_t d) {
  double *w = mem_alloc((size_t)(n * d) * sizeof *w);
  for (int64_t i = 0; i < n * d; i++) w[i] = (double)x[i] - (mu ? mu[i % d] : 0);
  return w;
}

static void products_case(int64_t m, int64_t n, int64_t d) {
  Error e = {0};
  DevicePoints a, b;
  float *x = some_points(m, d, 0.4), *y = some_points(n, d, 0.5);
  double *mu = mem_alloc((size_t)d * sizeof *mu), *xw, *yw,
         *want = mem_alloc((size_t)(m * PRLX_MAX(m, n)) * sizeof *want),
         *got = mem_alloc((size_t)(m * PRLX_MAX(m, n)) * sizeof *got);
  for (int64_t k = 0; k < d; k++) mu[k] = 0.3 + 0.001 * (double)k;
  xw = widened(x, mu, m, d);
  yw = widened(y, mu, n, d);
  CHECK(!device_points(&a, device, m, d, x, mu, &e) && !device_points(&b, device, n, d, y, mu, &e),
        "points: %s", e.msg);
  mat_mul_nt(m, n, d, xw, yw, want);
  CHECK(!device_products(&a, &b, got, &e) && worst_of(got, want, m * n) < 1e-13,
        "products of %lld and %lld points in %lld dimensions: off by %g %s", (long long)m,
        (long long)n, (long long)d, worst_of(got, want, m * n), e.msg);
  mat_mul_nt(m, m, d, xw, xw, want);
  CHECK(!device_products(&a, &a, got, &e) && worst_of(got, want, m * m) < 1e-13,
        "products of %lld points in %lld dimensions with themselves: off by %g %s", (long long)m,
        (long long)d, worst_of(got, want, m * m), e.msg);
  CHECK(got[0] == got[m * m - 1] && got[0] == got[m - 1], "equal points, unequal products");
  for (int64_t i = 0; i < m * n; i++) {
    want[i] = 0;
    for (int64_t k = 0; k < d; k++) {
      const double t = xw[i / n * d + k] - yw[i % n * d + k];
      want[i] += t * t;
    }
  }
  CHECK(!device_distances(&a, &b, got, &e) && worst_of(got, want, m * n) < 1e-13,
        "distances of %lld and %lld points in %lld dimensions: off by %g %s", (long long)m,
        (long long)n, (long long)d, worst_of(got, want, m * n), e.msg);
  device_points_free(&a);
  device_points_free(&b);
  mem_free(x);
  mem_free(y);
  mem_free(mu);
  mem_free(xw);
  mem_free(yw);
  mem_free(want);
  mem_free(got);
}

/* ---- singular values ---- */

static void norms_case(int count, int64_t m, int64_t n, int rank) {
  Error e = {0};
  double *k[8], norm[8], want[8], *copy = mem_alloc((size_t)(m * n) * sizeof *copy);
  int64_t ms[8], ns[8];
  for (int i = 0; i < count; i++) {
    /* of several sizes, the last of zeros */
    ms[i] = m - i;
    ns[i] = PRLX_MIN(n, ms[i]);
    k[i] = mem_alloc((size_t)(ms[i] * ns[i]) * sizeof *k[i]);
    for (int r = 0; r < rank && i < PRLX_MAX(1, count - 1); r++) {
      double u[200], v[200];
      for (int64_t j = 0; j < ms[i]; j++) u[j] = rng_normal(&draws);
      for (int64_t j = 0; j < ns[i]; j++) v[j] = rng_normal(&draws) * pow(0.5, r);
      for (int64_t j = 0; j < ms[i] * ns[i]; j++) k[i][j] += u[j / ns[i]] * v[j % ns[i]];
    }
    memcpy(copy, k[i], (size_t)(ms[i] * ns[i]) * sizeof *copy);
    nuclear_norm(ms[i], ns[i], copy, &want[i], &e);
  }
  CHECK(!device_nuclear_norms(device, count, ms, ns, k, norm, &e), "singular values: %s", e.msg);
  for (int i = 0; i < count; i++) {
    CHECK(judge_near(norm[i], want[i]), "sum of singular values of %lld x %lld: %.15g, here %.15g",
          (long long)ms[i], (long long)ns[i], norm[i], want[i]);
    mem_free(k[i]);
  }
  mem_free(copy);
}

static void norms_of_nothing(void) {
  Error e = {0};
  const int64_t m[2] = {3, 2}, n[2] = {2, 2};
  double one[6] = {1, 0, 0, 2, 0, 0}, bad[4] = {1, INFINITY, 0, 1}, *k[2] = {one, bad}, norm[2];
  CHECK(device_nuclear_norms(device, 2, m, n, k, norm, &e) == ST_NUMERIC, "infinity is refused");
  CHECK(!device_nuclear_norms(device, 1, m, n, k, norm, &e) && judge_near(norm[0], 3),
        "diagonal of 1 and 2: %.15g", norm[0]);
}

/* ---- statistics ---- */

static void statistics_of(Features a, Features b, Groups ga, Groups gb, int cov, bool on,
                          double out[16]) {
  Error e = {0};
  Gram g;
  Fid f;
  Kid k;
  Interval i;
  FidCurve c;
  FidFloor l;
  PrecisionRecall p;
  Backend *const where = on ? device : NULL;
  memset(out, 0, 16 * sizeof *out);
  CHECK(!gram_new_on(where, &g, a, b, &e) && !fid_gram(&g, NULL, NULL, cov, &f, &e) &&
            !fid_bootstrap(&g, ga, gb, f.fid, cov, 7, 5, &i, NULL, NULL, &e) &&
            !fid_curve(&g, cov, 3, 6, &c, NULL, NULL, &e) && !fid_floor(&g, cov, 3, 7, &l, &e) &&
            !precision_recall(&g, 3, &p, &e) && !kid_features_on(where, a, b, ga, gb, &k, &e),
        "statistics: %s", e.msg);
  const double got[] = {f.fid, f.trace_a, f.trace_sqrt, i.lo,       i.hi,      i.se,
                        c.inf, c.slope,   c.r2,         l.within,   l.between, k.kid,
                        k.se,  p.recall,  p.precision,  p.nearest_a};
  memcpy(out, got, sizeof got);
  gram_free(&g);
}

static void statistics_case(int64_t na, int64_t nb, int64_t d, bool grouped, int cov) {
  static const char *const name[] = {"fid",    "trace_a", "trace_sqrt", "lo",     "hi",      "se",
                                     "inf",    "slope",   "r2",         "within", "between", "kid",
                                     "kid_se", "recall",  "precision",  "nearest"};
  float *x = some_points(na, d, 0), *y = some_points(nb, d, 0.3);
  int64_t of_a[256], of_b[256];
  double here[16], there[16];
  Fid f, q;
  Error e = {0};
  const Features a = {na, d, x}, b = {nb, d, y};
  for (int64_t i = 0; i < na; i++) of_a[i] = i / 3;
  for (int64_t i = 0; i < nb; i++) of_b[i] = i % 4;
  const Groups ga = {grouped ? of_a : NULL, grouped ? (na + 2) / 3 : 0},
               gb = {grouped ? of_b : NULL, grouped ? 4 : 0};
  statistics_of(a, b, ga, gb, cov, false, here);
  statistics_of(a, b, ga, gb, cov, true, there);
  for (int k = 0; k < 16; k++)
    CHECK(judge_near(here[k], there[k]), "%s of %lld and %lld images: %.15g, on the CPU %.15g",
          name[k], (long long)na, (long long)nb, there[k], here[k]);
  CHECK(!fid_features(a, b, cov, &f, &e) && !fid_features_on(device, a, b, cov, &q, &e) &&
            judge_near(f.fid, q.fid) && judge_near(f.trace_b, q.trace_b) &&
            judge_near(f.trace_sqrt, q.trace_sqrt),
        "FID from covariances of %lld and %lld images: %.15g, on the CPU %.15g %s", (long long)na,
        (long long)nb, q.fid, f.fid, e.msg);
  mem_free(x);
  mem_free(y);
}

/* More points than dimensions, which do not span them: the factor stops at their rank. */
static void low_rank_case(void) {
  enum { N = 90, D = 24, RANK = 7 };
  float *x = mem_alloc(N * D * sizeof *x), *y = some_points(N, D, 0.2),
        *c = some_points(RANK, D, 0);
  Fid f, q;
  Error e = {0};
  for (int i = 0; i < N; i++)
    for (int r = 0; r < RANK; r++) {
      const float t = (float)rng_below(&draws, 9) - 4;
      for (int k = 0; k < D; k++) x[i * D + k] += t * c[r * D + k];
    }
  const Features a = {N, D, x}, b = {N, D, y};
  for (int k = 0; k < 2; k++)
    CHECK(!fid_features(k ? b : a, a, 0, &f, &e) &&
              !fid_features_on(device, k ? b : a, a, 0, &q, &e) && judge_near(f.fid, q.fid),
          "FID of a covariance of rank %d: %.15g, on the CPU %.15g %s", RANK, q.fid, f.fid, e.msg);
  mem_free(x);
  mem_free(y);
  mem_free(c);
}

/* A result that does not fit a block of the device's memory. */
static void blocks_case(void) {
  enum { N = 3001, D = 3 };
  float *x = some_points(N, D, 0.1);
  double *want = mem_alloc((size_t)N * N * sizeof *want),
         *got = mem_alloc((size_t)N * N * sizeof *got), *xw = widened(x, NULL, N, D);
  DevicePoints a;
  Kid k, q;
  Error e = {0};
  mat_mul_nt(N, N, D, xw, xw, want);
  CHECK(!device_points(&a, device, N, D, x, NULL, &e) && !device_products(&a, &a, got, &e) &&
            worst_of(got, want, (int64_t)N * N) < 1e-13,
        "products in two blocks: off by %g %s", worst_of(got, want, (int64_t)N * N), e.msg);
  const Features f = {N, D, x}, h = {N / 2, D, x};
  CHECK(!kid_features(f, h, (Groups){0}, (Groups){0}, &k, &e) &&
            !kid_features_on(device, f, h, (Groups){0}, (Groups){0}, &q, &e) &&
            judge_near(k.kid, q.kid) && judge_near(k.se, q.se),
        "KID in two blocks: %.15g, on the CPU %.15g %s", q.kid, k.kid, e.msg);
  device_points_free(&a);
  mem_free(x);
  mem_free(xw);
  mem_free(want);
  mem_free(got);
}

/* ---- images ---- */

static void input_case(FidConvention convention, FidChannels channels, int n, int c, int h, int w,
                       bool on) {
  enum { PER = 3 * INCEPTION_SIDE * INCEPTION_SIDE };
  const FidInput o = {convention, channels, h == 8};
  const int planes = fid_planes(&o, c);
  Graph *g = graph_new();
  Plan *p = NULL;
  Error e = {0};
  float *img = mem_alloc((size_t)(n * c * h * w) * sizeof *img);
  real *want = mem_alloc((size_t)(n * PER) * sizeof *want);
  double worst = 0;
  for (int i = 0; i < n * c * h * w; i++) img[i] = (float)(rng_normal(&draws) * 0.7);
  const Val x = g_input(g, "x", SHAPE4(n, planes, h, w)), y = g_fid_input(g, &o, x);
  CHECK(fid_graph_takes(&o, n, c, h, w) && !graph_status(g, &e) &&
            !plan_new(g, 1, &y, &(PlanOptions){.backend = on ? device : NULL}, &p, &e),
        "input: %s", e.msg);
  for (int i = 0; i < n && p; i++) {
    fid_planes_of(&o, c, h, w, img + i * c * h * w, plan_data(p, x) + i * planes * h * w);
    CHECK(!fid_prepare(&o, c, h, w, img + i * c * h * w, want + i * PER, &e), "input: %s", e.msg);
  }
  const real *got = NULL;
  CHECK(p && !plan_run(p, &e) && !plan_read(p, y, &got, &e), "input: %s", e.msg);
  for (int i = 0; got && i < n * PER; i++) worst = fmax(worst, fabs((double)(got[i] - want[i])));
  CHECK(worst <= 1e-6, "%s, %d x %dx%dx%d, %s: off by %g", fid_convention_name[convention], n, c, h,
        w, on ? "device" : "plan", worst);
  plan_free(p);
  graph_free(g);
  mem_free(img);
  mem_free(want);
}

static void inputs(bool on) {
  for (int k = 0; k < FIDCONV_COUNT; k++) {
    input_case((FidConvention)k, FID_CHANNELS_AUTO, 1, 1, 8, 8, on);
    input_case((FidConvention)k, FID_CHANNELS_AUTO, 2, 3, 5, 7, on);
    input_case((FidConvention)k, FID_CHANNELS_MEAN, 1, 2, 1, 3, on);
    input_case((FidConvention)k, FID_CHANNELS_FIRST, 1, 3, 2, 1, on);
    if (!on || getenv("TEST_LONG"))
      input_case((FidConvention)k, FID_CHANNELS_AUTO, 1, 1, 310, 64, on);
  }
}

/* The network with formula weights, whose features lie between 0.1 and 1: how far they are from the
 * CPU's in each precision, over images of two sizes. */
static void features_case(Precision p, double tol) {
  enum { N = 2, SIZE = 20 };
  Inception v;
  Error e = {0};
  InceptionRun here = {0}, there = {0};
  const FidInput o = {.convention = FIDCONV_PYTORCH};
  static float a[2 * INCEPTION_DIM], b[2 * INCEPTION_DIM], img[N * SIZE * SIZE];
  double worst = 0, most = 0;
  for (int i = 0; i < N * SIZE * SIZE; i++) img[i] = (float)(rng_normal(&draws) * 0.5);
  CHECK(!inception_new(&v, &e), "inception: %s", e.msg);
  inception_formula(&v, "INC.");
  CHECK(!inception_fold(&v, &e) && !inception_run_new(&here, &v, N, &e) &&
            !inception_run_new_on(device, &there, &v, N, &e),
        "inception: %s", e.msg);
  for (int size = SIZE; size > SIZE / 3; size /= 2) {
    CHECK(!inception_run(&here, &o, 1, 1, size, size, img, a, &e) &&
              !inception_run(&there, &o, 1, 1, size, size, img, b, &e),
          "features: %s", e.msg);
    for (int i = 0; i < INCEPTION_DIM; i++) {
      worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
      most = fmax(most, fabs((double)a[i]));
    }
    CHECK(worst <= tol * most, "features, %s: off by %g of %g", precision_name(p), worst, most);
  }
  printf("features, %s: %.2g of the largest\n", precision_name(p), worst / most);
  inception_run_free(&here);
  inception_run_free(&there);
  inception_free(&v);
}

/* ---- what must be refused ---- */

static void refusals(void) {
  Error e = {0};
  float *x = some_points(40, 16, 0);
  x[5] = NAN;
  const Features bad = {40, 16, x}, small = {1, 16, x};
  Fid f;
  Gram g;
  Kid k;
  CHECK(fid_features_on(device, bad, bad, 0, &f, &e) == ST_NUMERIC &&
            gram_new_on(device, &g, bad, bad, &e) == ST_NUMERIC &&
            kid_features_on(device, bad, bad, (Groups){0}, (Groups){0}, &k, &e) == ST_NUMERIC,
        "NaN is refused");
  CHECK(fid_features_on(device, small, bad, 0, &f, &e) == ST_INVALID, "one image is refused");
  mem_free(x);
}

/* Of the largest feature; the formula's numbers lie close together, so that its bounds are wide. */
static int features_alone(const char *precision) {
  static const double tol[] = {1e-5, 5e-3, 5e-3, 4e-2};
  Error e = {0};
  for (int p = PREC_STRICT; p <= PREC_BF16; p++) {
    if (strcmp(precision, precision_name((Precision)p)) != 0) continue;
    CHECK(!cuda_backend_new(0, (Precision)p, &device, &e), "backend: %s", e.msg);
    if (device) features_case((Precision)p, tol[p]);
    cuda_backend_free(device);
  }
  threads_stop();
  return test_end();
}

int main(int argc, char **argv) {
  Error e = {0};
  if (argc == 3 && !strcmp(argv[1], "features")) return features_alone(argv[2]);
  CHECK(!cuda_backend_new(0, PREC_STRICT, &device, &e), "backend: %s", e.msg);
  if (!device) return test_end();
  products_case(1, 1, 1);
  products_case(7, 65, 17);
  products_case(130, 64, 33);
  products_case(5, 3, 4100);
  norms_case(1, 1, 1, 1);
  norms_case(3, 19, 12, 5);
  norms_case(2, 40, 40, 40);
  norms_case(1, 130, 9, 4);
  norms_of_nothing();
  statistics_case(21, 30, 40, false, COV_UNBIASED);
  statistics_case(40, 13, 64, true, COV_BIASED);
  statistics_case(50, 44, 12, true, COV_UNBIASED);
  low_rank_case();
  inputs(false);
  inputs(true);
  refusals();
  if (getenv("TEST_LONG")) {
    blocks_case();
    norms_case(1, 190, 190, 190);
    features_case(PREC_STRICT, 1e-5);
  }
  cuda_backend_free(device);
  threads_stop();
  return test_end();
}
