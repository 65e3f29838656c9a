/* test_phantom.c: the transform against a plain sum, the dipole field against its formulas, random
 * fields, readers, and the statistics of the finished slices against the bands measured on the 101
 * published network images. TEST_LONG=1: 260 rim lesions and a table; with PRLX_RELEASED=DIR
 * (seed0000.png ... seed0100.png) that table has the published images next to ours. */
#include <stddef.h>
#include <stdio.h>
#include "core/threads.h"
#include "io/formats/png.h"
#include "models/math/fft.h"
#include "models/phantom/phantom_impl.h"
#include "test/phantom_stats.h"
#include "test/test.h"

/* ---- transform ---- */
static double naive_error(const float *x, const float *re, const float *im, int nx, int ny, int nz,
                          Rng *r) {
  double worst = 0;
  for (int t = 0; t < 40; t++) {
    const int kx = (int)rng_below(r, nx), ky = (int)rng_below(r, ny),
              kz = (int)rng_below(r, nz / 2 + 1);
    double a = 0, b = 0;
    for (int z = 0; z < nz; z++)
      for (int y = 0; y < ny; y++)
        for (int i = 0; i < nx; i++) {
          const double p = -2 * M_PI *
                           ((double)kx * i / nx + (double)ky * y / ny + (double)kz * z / nz),
                       v = x[((size_t)z * (size_t)ny + (size_t)y) * (size_t)nx + (size_t)i];
          a += v * cos(p);
          b += v * sin(p);
        }
    const size_t k = ((size_t)kz * (size_t)ny + (size_t)ky) * (size_t)nx + (size_t)kx;
    worst = fmax(worst, hypot(a - re[k], b - im[k]));
  }
  return worst / sqrt((double)nx * ny * nz);
}

static void test_fft(void) {
  static const int size[][3] = {{96, 24, 10},     {6, 5, 8},    {3, 1, 1},    {1, 1, 9},
                                {1, 1, 1},        {10, 12, 15}, {1, 50, 2},   {32, 2, 27},
                                {33 - 8, 16, 36}, {64, 64, 1},  {100, 3, 125}};
  Rng r = {.seed = 5};
  Error e;
  for (int q = 0; q < COUNT_OF(size); q++) {
    const int nx = size[q][0], ny = size[q][1], nz = size[q][2];
    Fft3 *f;
    CHECK(fft3_new(nx, ny, nz, &f, &e) == ST_OK, "plan %d x %d x %d", nx, ny, nz);
    const size_t n = (size_t)nx * (size_t)ny * (size_t)nz, c = fft3_count(f);
    float *x = mem_alloc(n * 4), *y = mem_alloc(n * 4), *re = mem_alloc(c * 4),
          *im = mem_alloc(c * 4), *s = mem_alloc(fft3_scratch(f) * 4);
    draw_normals(&r, x, n);
    fft3_forward(f, x, re, im, s);
    const double err = naive_error(x, re, im, nx, ny, nz, &r);
    fft3_inverse(f, re, im, y, s);
    double back = 0;
    for (size_t i = 0; i < n; i++) back = fmax(back, fabs(x[i] - y[i]));
    CHECK(err < 1e-6 && back < 2e-6, "%d x %d x %d: forward %.1e, there and back %.1e", nx, ny, nz,
          err, back);
    mem_free(x);
    mem_free(y);
    mem_free(re);
    mem_free(im);
    mem_free(s);
    fft3_free(f);
  }
  Fft3 *f;
  CHECK(fft3_new(7, 4, 4, &f, &e) == ST_INVALID && !f && strstr(e.msg, "2, 3 and 5"),
        "length 7: %s", e.msg);
  CHECK(fft3_new(4, 0, 4, &f, &e) == ST_INVALID && fft3_new(4, 4, 8192, &f, &e) == ST_INVALID &&
            fft3_new(-4, 4, 4, &f, &e) == ST_INVALID,
        "lengths 0, 8192, -4");
}

static void test_functions(void) {
  double ex = 0, lg = 0, sn = 0, at = 0;
  for (int i = -4000; i <= 4000; i++) {
    const float x = (float)i * .02f, p = expf(x * .5f), y = sinf(x) + .001f * x;
    ex = fmax(ex, fabs(fast_exp(x) / exp(x) - 1));
    lg = fmax(lg, fabs(fast_log(p) - log(p)) / fmax(1, fabs(log(p))));
    sn = fmax(sn, fmax(fabs(fast_sin(x) - sin(x)), fabs(fast_cos(x) - cos(x))));
    at = fmax(at, fabs(fast_atan2(y, cosf(x)) - atan2(y, cosf(x))));
  }
  CHECK(ex < 1e-5 && lg < 1e-6 && sn < 2e-5 && at < 2e-5, "exp %.1e log %.1e sin %.1e atan2 %.1e",
        ex, lg, sn, at);
  CHECK(fast_exp(-1000) >= 0 && fast_exp(-1000) < 1e-37 && isfinite(fast_exp(1000)),
        "exp saturates");
}

static void test_random(PhantomWork *w) {
  Rng r = {.seed = 3, .subsequence = 9};
  const Box *b = &w->box;
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  float *g = w->tmp[0];
  draw_normals(&r, g, b->n);
  for (size_t i = 0; i < b->n; i++) {
    m1 += g[i];
    m2 += g[i] * g[i];
    m3 += g[i] * g[i] * g[i];
    m4 += (double)g[i] * g[i] * g[i] * g[i];
  }
  const double n = (double)b->n;
  CHECK(fabs(m1 / n) < .006 && fabs(m2 / n - 1) < .01 && fabs(m3 / n) < .02 &&
            fabs(m4 / n - 3) < .06,
        "normals: %.4f %.4f %.4f %.4f", m1 / n, m2 / n, m3 / n, m4 / n);
  /* Smoothing by sigma = l/sqrt 2 correlates voxels at distance d by exp(-d^2/(2 l^2)). */
  static const double l[][3] = {{.9, .6, 1}, {1.2, 1.2, 1.56}, {2.4, 1.3, 2}};
  for (int q = 0; q < COUNT_OF(l); q++) {
    random_field(w, &r, l[q][0], l[q][1], l[q][2], g);
    double c[4] = {0}, mean = 0;
    const size_t nx = (size_t)b->nx, plane = nx * (size_t)b->ny, step[3] = {2, 2 * nx, plane};
    const double dist[3] = {2 * PHANTOM_HX, 2 * PHANTOM_HY, PHANTOM_HZ};
    for (size_t i = 0; i < b->n - plane; i++) {
      mean += g[i];
      for (int a = 0; a < 3; a++) c[a] += (double)g[i] * g[i + step[a]];
      c[3] += (double)g[i] * g[i];
    }
    for (int a = 0; a < 3; a++) {
      const double want = exp(-dist[a] * dist[a] / (2 * l[q][a] * l[q][a])), got = c[a] / c[3];
      CHECK(fabs(got - want) < .06, "field %d, axis %d: correlation %.3f, expected %.3f", q, a, got,
            want);
    }
    CHECK(fabs(mean / n) < .02 && fabs(c[3] / n - 1) < .1, "field %d: mean %.3f, variance %.3f", q,
          mean / n, c[3] / n);
  }
  double beta = 0, pois = 0;
  for (int i = 0; i < 4000; i++) {
    beta += draw_beta(&r, 3.2, 1.1) / 4000;
    pois += draw_poisson(&r, 3) / 4000.;
  }
  CHECK(fabs(beta - 3.2 / 4.3) < .012 && fabs(pois - 3) < .12,
        "Beta(3.2,1.1) mean %.3f, Poisson(3) mean %.3f", beta, pois);
}

/* ---- dipole field ---- */
/* In a box of 64 mm, so that the periodic copies do not matter near the sphere. */
static void test_sphere(void) {
  const Box b = box_of(160, 160, 64);
  Qsm q = {.box = b};
  Error e;
  if (fft3_new(b.nx, b.ny, b.nz, &q.fft, &e) != ST_OK) return;
  const size_t k = fft3_count(q.fft);
  float *chi = mem_alloc(b.n * 4), *field = mem_alloc(b.n * 4),
        *spectra = mem_alloc((4 * k + fft3_scratch(q.fft)) * 4);
  q.re = spectra, q.im = q.re + k, q.copy_re = q.im + k, q.copy_im = q.copy_re + k,
  q.scratch = q.copy_im + k;
  const double a = 6;
  double inside = 0, err = 0, sum = 0;
  size_t i = 0;
  for (int pass = 0; pass < 2; pass++, i = 0) {
    for (int z = 0; z < b.nz; z++)
      for (int j = 0; j < b.ny; j++)
        for (int x = 0; x < b.nx; x++, i++) {
          const double px = box_x(&b, x), py = box_y(&b, j), pz = box_z(&b, z),
                       r = sqrt(px * px + py * py + pz * pz);
          if (!pass) {
            chi[i] = 100 * soft((float)(r - a), .15f);
            continue;
          }
          const double c = pz / r, want = 100. / 3 * pow(a / r, 3) * (3 * c * c - 1);
          if (r < a - 2) inside = fmax(inside, fabs(field[i]));
          if (r > a + 2 && r < 14) {
            err += (field[i] - want) * (field[i] - want);
            sum += want * want;
          }
        }
    if (!pass) qsm_field(&q, chi, false, field, NULL);
  }
  CHECK(inside < .6, "sphere: |b| inside %.3f ppb of 100", inside);
  CHECK(sqrt(err / sum) < .03, "sphere: error outside %.4f of the field", sqrt(err / sum));
  mem_free(chi);
  mem_free(field);
  mem_free(spectra);
  fft3_free(q.fft);
}

static void test_cylinder(PhantomWork *w) {
  const Box *b = &w->box;
  float *chi = w->tmp[0], *field = w->tmp[1];
  for (int along = 2; along >= 1; along--) { /* parallel to B0 (z), perpendicular (y) */
    double in = 0, count = 0, area = 0;
    size_t i = 0;
    for (int pass = 0; pass < 2; pass++, i = 0) {
      for (int k = 0; k < b->nz; k++)
        for (int j = 0; j < b->ny; j++)
          for (int x = 0; x < b->nx; x++, i++) {
            const double u = box_x(b, x), v = along == 2 ? box_y(b, j) : box_z(b, k),
                         r = sqrt(u * u + v * v);
            if (!pass) {
              chi[i] = 100 * soft((float)(r - 5), .15f);
              area += chi[i];
            } else if (r < 3.5) {
              in += field[i];
              count++;
            }
          }
      if (!pass) qsm_field(&w->qsm, chi, false, field, NULL);
    }
    area /= 100. * (double)b->n;
    /* 1 - area: D(0) = 0 in a periodic box */
    const double got = in / count, want = (along == 2 ? 100. / 3 : -100. / 6) * (1 - area);
    CHECK(fabs(got / want - 1) < .01, "cylinder %s B0: %.2f ppb, expected %.2f",
          along == 2 ? "along" : "across", got, want);
  }
}

/* Field noise in white matter: 1.11 ppb at SNR 30, 0.66 at 50. */
static void test_noise(PhantomWork *w) {
  CHECK(fabs(qsm_noise_ppb(30) - 1.11) < .02 && fabs(qsm_noise_ppb(50) - .66) < .02,
        "field noise %.3f and %.3f ppb", qsm_noise_ppb(30), qsm_noise_ppb(50));
  PhantomOptions o = phantom_defaults();
  Rng r = {.seed = 1};
  Tissue *t = &w->tissue;
  const size_t n = w->box.n;
  for (size_t i = 0; i < n; i++) {
    t->chi[i] = -30;
    t->wm[i] = 1;
    t->gm[i] = t->csf[i] = t->vein[i] = 0;
  }
  draw_normals(&r, t->wx, n);
  o.iterations = 2;
  const QsmInput in = {t->chi, t->wm, t->gm, t->csf, t->vein, NULL, t->wx};
  qsm_acquire(&w->qsm, &in, &o, .1, w->tmp, t->wy, w->tmp[10], w->tmp[11]);
  double s = 0, mid = 0;
  for (size_t i = 0; i < n; i++) {
    s += t->wx[i] * t->wx[i];
    mid += w->tmp[10][i];
  }
  CHECK(fabs(sqrt(s / (double)n) - 1.11) < .03, "noise of the field %.3f ppb", sqrt(s / (double)n));
  CHECK(fabs(mid / (double)n + 28) < .2,
        "white matter without CSF in the box: %.2f ppb, expected -28", mid / (double)n);
}

/* ---- readers ---- */
static void test_readers(void) {
  const PhantomOptions o = phantom_defaults();
  const int trials = getenv("TEST_LONG") ? 200 : 20, n = 7980;
  double both = 0, one = 0, kappa = 0;
  Rng r = {.seed = 11};
  for (int t = 0; t < trials; t++) {
    double a = 0, b = 0, c = 0, s;
    for (int i = 0; i < n; i++) {
      int x, y;
      phantom_read(&o, &r, PHANTOM_ANY, &s, &x, &y);
      a += x && y;
      b += x && !y;
      c += !x && y;
    }
    const double po = (n - b - c) / n, p1 = (a + b) / n, p2 = (a + c) / n,
                 pe = p1 * p2 + (1 - p1) * (1 - p2);
    if (t == 0)
      CHECK(fabs(a - 260) < 51 && fabs(b + c - 176) < 39, "7980 lesions: both %g, one %g", a,
            b + c);
    both += a / trials;
    one += (b + c) / trials;
    kappa += (po - pe) / (1 - pe) / trials;
  }
  const double k = 4 / sqrt(trials);
  CHECK(fabs(both - 260) < 17 * k && fabs(one - 176) < 13 * k && fabs(kappa - .736) < .02 * k,
        "mean of %d cohorts: both %.1f, one %.1f, kappa %.4f", trials, both, one, kappa);
  double mean[3] = {0};
  for (int cls = 0; cls < 3; cls++)
    for (int i = 0; i < 600; i++) {
      double s;
      int x, y, got;
      phantom_read(&o, &r, cls, &s, &x, &y);
      got = x != y ? PHANTOM_AMBIGUOUS : x ? PHANTOM_RIM : PHANTOM_NONRIM;
      if (got != cls) CHECK(false, "asked for class %d, got %d", cls, got);
      mean[cls] += s / 600;
    }
  CHECK(fabs(mean[0] + .11) < .15 && fabs(mean[1] - 2.20) < .07 && fabs(mean[2] - 1.68) < .04,
        "posterior of s: %.2f %.2f %.2f", mean[0], mean[1], mean[2]);
}

/* ---- lesions ---- */
typedef struct Sums {
  double corr;
  double kept;
  double seconds;
  int nkept;
  int empty;
  int bad;
  int dark_flair;
  SliceStats *st;
  int n;
} Sums;

static void measure(const Fft3 *fft, const PhantomLesion *l, Sums *s) {
  double a = 0, b = 0, ab = 0, ma = 0, mb = 0, rim[2] = {0}, core[2] = {0}, nr = 0, nc = 0,
         fl[2] = {0}, nm = 0;
  for (int i = 0; i < PHANTOM_VOXELS; i++) {
    ma += l->chi[i] / PHANTOM_VOXELS;
    mb += l->truth[i] / PHANTOM_VOXELS;
    s->bad += !isfinite(l->chi[i]) || !isfinite(l->flair[i]) ||
              !(l->rim[i] >= 0 && l->rim[i] <= 1) || (l->mask[i] != 0 && l->mask[i] != 1);
    nm += l->mask[i];
    fl[l->mask[i] > 0] += l->flair[i];
    if (l->rim[i] > .5f) {
      rim[0] += l->chi[i];
      rim[1] += l->truth[i];
      nr++;
    } else if (l->mask[i] > 0 && l->rim[i] < .1f) {
      core[0] += l->chi[i];
      core[1] += l->truth[i];
      nc++;
    }
  }
  for (int i = 0; i < PHANTOM_VOXELS; i++) {
    const double x = l->chi[i] - ma, y = l->truth[i] - mb;
    a += x * x;
    b += y * y;
    ab += x * y;
  }
  s->corr += ab / sqrt(a * b);
  s->empty += nm == 0;
  s->dark_flair += nm > 0 && fl[1] / nm < 1.2 * fl[0] / (PHANTOM_VOXELS - nm);
  if (l->truth_rim && nr > 50 && nc > 50 && rim[1] / nr - core[1] / nc > 10) {
    s->kept += (rim[0] / nr - core[0] / nc) / (rim[1] / nr - core[1] / nc);
    s->nkept++;
  }
  float grey[SS_N];
  to_grey(l->chi + PHANTOM_NZ / 2 * SS_N, grey);
  slice_stats(fft, grey, &s->st[s->n++], true);
}

/* the formula that ties conspicuity to the rim can be turned round */
static void test_link(const PhantomLesion *l) {
  const double s =
      1.7 +
      log(l->rim_ppb / 28 * pow(l->rim_coverage / .75, .7) * sqrt(l->rim_fwhm_mm / 1.5)) / 1.4;
  CHECK(l->rim_ppb >= 150 || fabs(s - l->conspicuity) < 1e-4, "conspicuity %.4f, from the rim %.4f",
        l->conspicuity, s);
}

#define FIELD(x) offsetof(SliceStats, x)
static void print_column(const char *name, const SliceStats *s, int n) {
  const double p1 = stat_of(s, n, FIELD(power[1]), false, false);
  int clear = 0;
  for (int i = 0; i < n; i++) clear += s[i].ring_score > RING_CLEAR;
  printf("%s (%d): mean %.0f, SD %.1f, skewness %.2f, kurtosis %.2f, noise/SD %.4f\n  power k = 4, "
         "8, 12, 16, 24: %.1e %.1e %.1e %.1e %.1e, slope %.2f, vertical/horizontal %.1f\n",
         name, n, stat_of(s, n, FIELD(mean), false, false), stat_of(s, n, FIELD(sd), false, false),
         stat_of(s, n, FIELD(skew), true, false), stat_of(s, n, FIELD(kurt), true, false),
         stat_of(s, n, FIELD(noise), false, false),
         stat_of(s, n, FIELD(power[4]), false, false) / p1,
         stat_of(s, n, FIELD(power[8]), false, false) / p1,
         stat_of(s, n, FIELD(power[12]), false, false) / p1,
         stat_of(s, n, FIELD(power[16]), false, false) / p1,
         stat_of(s, n, FIELD(power[24]), false, false) / p1, spectrum_slope(s, n),
         stat_of(s, n, FIELD(vert), false, false) / stat_of(s, n, FIELD(horz), false, false));
  printf("  z at the centre %.2f, within 16 px %.2f, at 24 px %.2f\n  %d clear rings: radii %.1f x "
         "%.1f px, FWHM %.2f px, rim-core %.2f SD, rim-outside %.2f SD, coverage %.2f\n",
         stat_of(s, n, FIELD(z4), false, false), stat_of(s, n, FIELD(z16), false, false),
         stat_of(s, n, FIELD(z24), false, false), clear, stat_of(s, n, FIELD(ring_b), true, true),
         stat_of(s, n, FIELD(ring_a), true, true), stat_of(s, n, FIELD(fwhm), true, true),
         stat_of(s, n, FIELD(rim_core), true, true), stat_of(s, n, FIELD(rim_out), true, true),
         stat_of(s, n, FIELD(coverage), true, true));
}

static void print_released(const Fft3 *fft, const char *dir) {
  SliceStats *s = mem_alloc(101 * sizeof *s);
  int n = 0;
  for (int i = 0; i < 101; i++) {
    char path[600];
    Image m;
    Error e;
    bool colour;
    float g[SS_N];
    snprintf(path, sizeof path, "%s/seed%04d.png", dir, i);
    if (png_read(path, &m, &e) != ST_OK) continue;
    if (m.w == SS && m.h == SS) {
      image_grey(&m, g, &colour);
      for (int k = 0; k < SS_N; k++) g[k] *= 255;
      slice_stats(fft, g, &s[n++], true);
    }
    image_free(&m);
  }
  if (n) print_column("released", s, n);
  mem_free(s);
}

static void test_lesions(PhantomWork *w, const Fft3 *fft) {
  const PhantomOptions o = phantom_defaults();
  const bool full = getenv("TEST_LONG");
#ifdef __SANITIZE_ADDRESS__
  /* slow: looks for faults only, not at the statistics */
  const int rims = 6, others = 4;
#else
  const int rims = full ? 260 : 32, others = full ? 100 : 16;
#endif
  Sums rim = {.st = mem_alloc(sizeof(SliceStats) * (size_t)rims)},
       non = {.st = mem_alloc(sizeof(SliceStats) * (size_t)others)};
  Error e;
  for (int i = 0; i < rims + others; i++) {
    PhantomLesion l;
    const int want = i < rims ? PHANTOM_RIM : PHANTOM_NONRIM;
    CHECK(phantom_lesion(w, &o, 2024, (uint64_t)i, want, &l, &e) == ST_OK, "lesion %d", i);
    measure(fft, &l, want == PHANTOM_RIM ? &rim : &non);
    if (i % 8 == 0) test_link(&l);
    phantom_lesion_free(&l);
  }
  const SliceStats *s = rim.st;
  const double sd = stat_of(s, rims, FIELD(sd), false, false),
               noise = stat_of(s, rims, FIELD(noise), false, false),
               slope = spectrum_slope(s, rims), z = stat_of(s, rims, FIELD(z4), false, false);
  const double fwhm = stat_of(s, rims, FIELD(fwhm), true, true),
               rc = stat_of(s, rims, FIELD(rim_core), true, true),
               ro = stat_of(s, rims, FIELD(rim_out), true, true);
  CHECK(rim.bad == 0 && non.bad == 0, "%d voxels out of range", rim.bad + non.bad);
  if (rims < 20) goto end;
  CHECK(rim.empty == 0 && non.empty <= others / 20, "lesions without a voxel: %d of %d, %d of %d",
        rim.empty, rims, non.empty, others);
  CHECK(rim.dark_flair + non.dark_flair <= (rims + others) / 20, "%d lesions dark on FLAIR",
        rim.dark_flair + non.dark_flair);
  CHECK(rim.corr / rims > .97 && non.corr / others > .97,
        "inversion against the blurred truth: r %.4f and %.4f", rim.corr / rims, non.corr / others);
  CHECK(rim.nkept > rims / 2 && rim.kept / rim.nkept > .85 && rim.kept / rim.nkept < 1.05,
        "rim contrast kept %.3f (%d lesions)", rim.kept / rim.nkept, rim.nkept);
  CHECK(sd > 33 && sd < 46, "slice SD %.1f (published 37.6)", sd);
  CHECK(noise > .035 && noise < .065, "noise/SD %.4f (published 0.047)", noise);
  CHECK(slope < -4 && slope > -5.2, "slope of the power spectrum %.2f (published -4.4)", slope);
  CHECK(z > .7 && z < 1.5, "z at the centre %.2f (published 0.95)", z);
  CHECK(fwhm >= 3.5 && fwhm <= 5, "width of the rim %.2f px (published 4.2)", fwhm);
  CHECK(rc > .9 && rc < 1.7 && ro > 1.5 && ro < 2.8,
        "rim above core %.2f, above outside %.2f SD (published 1.27, 1.94)", rc, ro);
  if (full || getenv("TEST_VERBOSE")) {
    if (getenv("PRLX_RELEASED")) print_released(fft, getenv("PRLX_RELEASED"));
    print_column("rim", rim.st, rims);
    print_column("no rim", non.st, others);
    printf("inversion: r %.4f, rim contrast kept %.3f\n", rim.corr / rims, rim.kept / rim.nkept);
  }
end:
  mem_free(rim.st);
  mem_free(non.st);
}

static void test_closed_form(PhantomWork *w, const Fft3 *fft) {
  PhantomOptions o = phantom_defaults();
  SliceStats st[4];
  Sums s = {.st = st};
  Error e;
  o.fast_inversion = true;
  for (int i = 0; i < 4; i++) {
    PhantomLesion l;
    phantom_lesion(w, &o, 9, (uint64_t)i, PHANTOM_RIM, &l, &e);
    measure(fft, &l, &s);
    phantom_lesion_free(&l);
  }
  CHECK(s.corr / 4 > .94, "closed form: r %.4f", s.corr / 4);
}

/* ---- same bytes whatever the threads ---- */
typedef struct Parallel {
  PhantomWork *w[8];
  PhantomLesion l[5];
} Parallel;
static void one_lesion(void *ctx, int64_t i, int worker) {
  Parallel *p = ctx;
  const PhantomOptions o = phantom_defaults();
  if (!p->w[worker]) phantom_work_new(&p->w[worker], NULL);
  phantom_lesion(p->w[worker], &o, 77, (uint64_t)(40 - i), PHANTOM_ANY, &p->l[i], NULL);
}

static void test_threads(void) {
  static Parallel a, b;
  threads_set(1);
  par_for(5, one_lesion, &a);
  threads_set(3);
  par_for(5, one_lesion, &b);
  threads_set(0);
  for (int i = 0; i < 5; i++) {
    CHECK(a.l[i].chi && b.l[i].chi &&
              !memcmp(a.l[i].chi, b.l[i].chi, 5 * PHANTOM_VOXELS * sizeof(float)),
          "lesion %d: one thread and three", i);
    CHECK(a.l[i].conspicuity == b.l[i].conspicuity && !strcmp(a.l[i].kind, b.l[i].kind),
          "record %d", i);
  }
  CHECK(memcmp(a.l[0].chi, a.l[1].chi, PHANTOM_VOXELS * sizeof(float)) != 0,
        "two indices give two lesions");
  for (int i = 0; i < 5; i++) {
    phantom_lesion_free(&a.l[i]);
    phantom_lesion_free(&b.l[i]);
  }
  for (int i = 0; i < 8; i++) {
    phantom_work_free(a.w[i]);
    phantom_work_free(b.w[i]);
  }
}

static void test_slab(PhantomWork *w) {
  static const int want[] = {PHANTOM_RIM, PHANTOM_NONRIM, PHANTOM_AMBIGUOUS, PHANTOM_RIM};
  const PhantomOptions o = phantom_defaults();
  PhantomSlab s;
  Error e;
  CHECK(phantom_slab(w, &o, 4, 1, 10, want, &s, &e) == ST_INVALID && !s.chi, "ten lesions: %s",
        e.msg);
  if (phantom_slab(w, &o, 4, 1, 4, want, &s, &e) != ST_OK) {
    CHECK(false, "slab: %s", e.msg);
    return;
  }
  const size_t n = (size_t)SLAB_NX * SLAB_NY * SLAB_NZ;
  int count[5] = {0}, bad = 0;
  double bright = 0, air = 0;
  for (size_t i = 0; i < n; i++) {
    const int l = (int)s.labels[i];
    bad += !isfinite(s.chi[i]) || l < 0 || l > 4 || s.labels[i] != (float)l ||
           !(s.rim[i] >= 0 && s.rim[i] <= 1.001f);
    if (l >= 0 && l <= 4) count[l]++;
    if (l > 0) bright += s.flair[i];
    air += s.chi[i] == 0;
  }
  CHECK(bad == 0, "%d bad voxels", bad);
  for (int l = 1; l <= 4; l++) {
    const double *c = s.centre[l - 1];
    CHECK(count[l] > 20 && c[0] > 10 && c[0] < SLAB_NX - 10 && c[1] > 10 && c[1] < SLAB_NY - 10 &&
              c[2] > 0 && c[2] < SLAB_NZ,
          "lesion %d: %d voxels at %.0f %.0f %.0f", l, count[l], c[0], c[1], c[2]);
  }
  CHECK(s.lesion[0].reader1 && s.lesion[0].reader2 && s.lesion[2].reader1 != s.lesion[2].reader2 &&
            !s.lesion[1].reader1,
        "classes as asked");
  CHECK(bright / (count[1] + count[2] + count[3] + count[4]) > 130 && air / (double)n > .02,
        "FLAIR in lesions %.0f, air %.3f", bright / (count[1] + count[2] + count[3] + count[4]),
        air / (double)n);
  phantom_slab_free(&s);
}

static void test_memory(PhantomWork *w) {
  const PhantomOptions o = phantom_defaults();
  Error e;
  const size_t live = mem_live_count();
  for (int k = 0;; k++) {
    PhantomWork *v;
    mem_fail_after(k);
    const Status st = phantom_work_new(&v, &e);
    mem_fail_after(-1);
    if (st == ST_OK) {
      phantom_work_free(v);
      CHECK(k > 5, "work took %d allocations", k);
      break;
    }
    CHECK(st == ST_NOMEM && !v, "allocation %d of the work fails: %s", k, e.msg);
  }
  PhantomLesion l;
  PhantomSlab s;
  mem_fail_after(0);
  CHECK(phantom_lesion(w, &o, 0, 0, PHANTOM_ANY, &l, &e) == ST_NOMEM && !l.chi,
        "no memory for a patch");
  mem_fail_after(0);
  CHECK(phantom_slab(w, &o, 0, 0, 0, NULL, &s, &e) == ST_NOMEM, "no memory for a slab");
  mem_fail_after(-1);
  CHECK(mem_live_count() == live, "%zu blocks leaked", mem_live_count() - live);
}

/* A lesion of which the readers disagree, as it is and with a clear rim: the same anatomy, shape,
 * FLAIR and noise. Lesions on which they agree are the same to the bit. */
static void test_clear(PhantomWork *w) {
  PhantomOptions o = phantom_defaults(), c = o;
  PhantomLesion a, b;
  Error e = {0};
  o.fast_inversion = c.fast_inversion = true;
  c.clear = 2.3;
  for (int i = 0; i < 3; i++) {
    CHECK(phantom_lesion(w, &o, 4, (uint64_t)i, PHANTOM_AMBIGUOUS, &a, &e) == ST_OK &&
              phantom_lesion(w, &c, 4, (uint64_t)i, PHANTOM_AMBIGUOUS, &b, &e) == ST_OK,
          "lesions: %s", e.msg);
    CHECK(!memcmp(a.mask, b.mask, PHANTOM_VOXELS * sizeof *a.mask) &&
              !memcmp(a.flair, b.flair, PHANTOM_VOXELS * sizeof *a.flair),
          "lesion %d: shape and FLAIR stay", i);
    CHECK(b.rim_ppb > 1.3 * a.rim_ppb && b.truth_rim == 1 && b.conspicuity == 2.3 &&
              a.reader1 == b.reader1 && !strcmp(b.mimic, "none") && a.lambda == b.lambda,
          "lesion %d: crest %.1f to %.1f ppb", i, a.rim_ppb, b.rim_ppb);
    double far = 0;
    int n = 0;
    for (int v = 0; v < PHANTOM_NX; v++, n++)
      far += fabs((double)a.chi[v] - (double)b.chi[v]); /* a row of the lowest slice */
    CHECK(far / n < 3, "lesion %d: far away %.2f ppb apart", i, far / n);
    phantom_lesion_free(&a);
    phantom_lesion_free(&b);
  }
  phantom_lesion(w, &o, 4, 9, PHANTOM_RIM, &a, &e);
  phantom_lesion(w, &c, 4, 9, PHANTOM_RIM, &b, &e);
  CHECK(!memcmp(a.chi, b.chi, PHANTOM_VOXELS * sizeof *a.chi), "an undisputed rim stays");
  phantom_lesion_free(&a);
  phantom_lesion_free(&b);
}

int main(void) {
  Error e;
  PhantomWork *w;
  Fft3 *fft;
  test_fft();
  test_functions();
  test_readers();
  if (phantom_work_new(&w, &e) != ST_OK || fft3_new(SS, SS, 1, &fft, &e) != ST_OK) {
    CHECK(false, "%s", e.msg);
    return test_end();
  }
  test_random(w);
  test_clear(w);
  test_sphere();
  test_cylinder(w);
  test_noise(w);
  test_lesions(w, fft);
  test_closed_form(w, fft);
  test_slab(w);
  test_memory(w);
  test_threads();
  phantom_work_free(w);
  fft3_free(fft);
  threads_stop();
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
