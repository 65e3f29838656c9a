/* phantom_stats.h: statistics of 64x64 lesion slices, 8-bit grey by per-slice min-max as in the
 * published images: moments, spectrum, noise, profile of the centre, and the rim as an elliptic
 * ring. For tests and for comparing the phantom with a folder of images. */
#ifndef PRLX_PHANTOM_STATS_H
#define PRLX_PHANTOM_STATS_H
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/base.h"
#include "models/math/fft.h"
enum { SS = 64, SS_N = SS * SS };

/* One slice. power[k]: mean of |FFT|^2 over k-1/2 <= |k| < k+1/2 with a Hann window; axis: power
 * within 30 degrees of the vertical over that of the horizontal frequency axis, 4 <= |k| <= 12.
 * Lengths in pixels, contrasts in slice SDs. */
typedef struct SliceStats {
  double mean;
  double sd;
  double noise;
  double z4;
  double z16;
  double z24;
  double skew;
  double kurt;
  double power[33];
  double vert;
  double horz;
  /* ring_score: how far the crest rises above core and surroundings */
  double ring_score;
  double ring_a;
  double ring_b;
  double fwhm;
  double rim_core;
  double rim_out;
  double coverage;
} SliceStats;

static int cmp_float(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static double median_of(float *v, int n) {
  qsort(v, (size_t)n, sizeof *v, cmp_float);
  return n ? v[n / 2] : 0;
}

static void to_grey(const float *in, float *out) { /* per-slice min-max to 0..255, rounded */
  float lo = in[0], hi = in[0];
  for (int i = 0; i < SS_N; i++) {
    lo = fminf(lo, in[i]);
    hi = fmaxf(hi, in[i]);
  }
  for (int i = 0; i < SS_N; i++) out[i] = roundf((in[i] - lo) / fmaxf(hi - lo, 1e-6f) * 255);
}

static float sample(const float *g, double x, double y) {
  x = fmin(fmax(x, 0), SS - 1.001);
  y = fmin(fmax(y, 0), SS - 1.001);
  int i = (int)x, j = (int)y;
  float u = (float)(x - i), v = (float)(y - j);
  const float *p = g + j * SS + i;
  return (p[0] * (1 - u) + p[1] * u) * (1 - v) + (p[SS] * (1 - u) + p[SS + 1] * u) * v;
}

typedef struct Ellipse {
  double cx;
  double cy;
  double a;
  double b;
  double th;
} Ellipse;

/* Mean grey on the ellipse moved outward by d pixels. */
static double on_ellipse(const float *g, const Ellipse *e, double d, int angles) {
  double s = 0, c = cos(e->th), n = sin(e->th), a = fmax(e->a + d, .2), b = fmax(e->b + d, .2);
  for (int k = 0; k < angles; k++) {
    double x = a * cos(2 * M_PI * k / angles), y = b * sin(2 * M_PI * k / angles);
    s += sample(g, e->cx + c * x - n * y, e->cy + n * x + c * y);
  }
  return s / angles;
}

static double ring_score(const float *g, const Ellipse *e, int angles) {
  double crest = on_ellipse(g, e, 0, angles);
  return fmin(crest - on_ellipse(g, e, -fmin(4, .9 * e->b), angles),
              .7 * (crest - on_ellipse(g, e, 4, angles)));
}

static double fit_ring(const float *g, Ellipse *best) {
  double top = -1e9;
  for (double cy = 27.5; cy <= 36; cy += 2)
    for (double cx = 27.5; cx <= 36; cx += 2)
      for (double a = 4; a <= 16; a += 1.5)
        for (double b = 3; b <= a && b <= 12; b += 1.5)
          for (int t = 0; t < (a == b ? 1 : 8); t++) {
            Ellipse e = {cx, cy, a, b, t * M_PI / 8};
            double s = ring_score(g, &e, 16);
            if (s > top) {
              top = s;
              *best = e;
            }
          }
  for (double step = 1; step > .1; step *= .5)
    for (int improved = 1, rounds = 0; improved && rounds < 20; rounds++) {
      improved = 0;
      for (int p = 0; p < 10; p++) {
        Ellipse e = *best;
        double *v = p / 2 == 0   ? &e.cx
                    : p / 2 == 1 ? &e.cy
                    : p / 2 == 2 ? &e.a
                    : p / 2 == 3 ? &e.b
                                 : &e.th;
        *v += (p & 1 ? 1 : -1) * step * (p / 2 == 4 ? .15 : 1);
        double s = e.b >= 2.5 && e.a <= 18 ? ring_score(g, &e, 48) : -1e9;
        if (p == 0 && rounds == 0 && step == 1) top = ring_score(g, best, 48);
        if (s > top + 1e-6) {
          top = s;
          *best = e;
          improved = 1;
        }
      }
    }
  return top;
}

/* Profiles across the ring at 64 angles, each centred on its own crest (within 2 px of the
 * ellipse). */
static void ring_stats(const float *g, SliceStats *st) {
  enum { ANG = 64, OFF = 14, NP = 2 * 4 * OFF + 1 };
  Ellipse e = {0};
  st->ring_score = fit_ring(g, &e) / st->sd;
  st->ring_a = fmax(e.a, e.b);
  st->ring_b = fmin(e.a, e.b);
  double c = cos(e.th), n = sin(e.th), core = on_ellipse(g, &e, -fmin(4, .9 * e.b), 48), rim[ANG],
         mean[NP] = {0}, top = 0;
  for (int k = 0; k < ANG; k++) {
    double x = cos(2 * M_PI * k / ANG), y = sin(2 * M_PI * k / ANG), nx = e.b * x, ny = e.a * y,
           len = hypot(nx, ny), at = 0;
    double px = e.cx + c * e.a * x - n * e.b * y, py = e.cy + n * e.a * x + c * e.b * y,
           ux = (c * nx - n * ny) / len, uy = (n * nx + c * ny) / len;
    rim[k] = -1e9;
    for (double d = -2; d <= 2; d += .25) {
      double v = sample(g, px + d * ux, py + d * uy);
      if (v > rim[k]) {
        rim[k] = v;
        at = d;
      }
    }
    for (int q = 0; q < NP; q++)
      mean[q] +=
          sample(g, px + (at + (q - 4 * OFF) * .25) * ux, py + (at + (q - 4 * OFF) * .25) * uy) /
          ANG;
    top += rim[k] / ANG;
  }
  int covered = 0, in = 4 * OFF, out = 4 * OFF;
  for (int k = 0; k < ANG; k++) covered += rim[k] - core > .5 * (top - core);
  st->coverage = covered / (double)ANG;
  double inner = top, outer = top, reach = fmin(5, 1.5 * e.b);
  for (int q = 0; q < NP; q++) {
    double d = (q - 4 * OFF) * .25;
    if (d < 0 && d > -reach) inner = fmin(inner, mean[q]);
    if (d > 0 && d < 6) outer = fmin(outer, mean[q]);
  }
  while (in > 0 && mean[in] > (top + inner) / 2) in--;
  while (out < NP - 1 && mean[out] > (top + outer) / 2) out++;
  st->fwhm = (out - in) * .25;
  st->rim_core = (top - inner) / st->sd;
  st->rim_out = (top - outer) / st->sd;
}

static void spectrum_stats(const Fft3 *fft, const float *g, SliceStats *st) {
  static float x[SS_N], re[SS_N], im[SS_N];
  static _Alignas(64) float scratch[4 * 16 * SS];
  double sum[33] = {0}, vert = 0, horz = 0;
  int count[33] = {0}, nv = 0, nh = 0;
  for (int j = 0; j < SS; j++)
    for (int i = 0; i < SS; i++)
      x[j * SS + i] =
          (float)((g[j * SS + i] - st->mean) * (.5 - .5 * cos(2 * M_PI * (i + .5) / SS)) *
                  (.5 - .5 * cos(2 * M_PI * (j + .5) / SS)));
  fft3_forward(fft, x, re, im, scratch);
  for (int j = 0; j < SS; j++)
    for (int i = 0; i < SS; i++) {
      int ky = j < 32 ? j : j - SS, kx = i < 32 ? i : i - SS, k = (int)(hypot(kx, ky) + .5);
      double p = (double)re[j * SS + i] * re[j * SS + i] + (double)im[j * SS + i] * im[j * SS + i];
      if (k <= 32) {
        sum[k] += p;
        count[k]++;
      }
      if (k >= 4 && k <= 12 && abs(ky) > 1.732 * abs(kx)) {
        vert += p;
        nv++;
      }
      if (k >= 4 && k <= 12 && abs(kx) > 1.732 * abs(ky)) {
        horz += p;
        nh++;
      }
    }
  for (int k = 0; k <= 32; k++) st->power[k] = sum[k] / count[k] / (st->sd * st->sd);
  st->vert = vert / nv / (st->sd * st->sd);
  st->horz = horz / nh / (st->sd * st->sd);
}

static void slice_stats(const Fft3 *fft, const float *g, SliceStats *st, bool ring) {
  static float lap[SS_N];
  double s = 0, q = 0, m3 = 0, m4 = 0, a4 = 0, a16 = 0, a24 = 0;
  int n4 = 0, n16 = 0, n24 = 0, n = 0;
  memset(st, 0, sizeof *st);
  for (int i = 0; i < SS_N; i++) s += g[i];
  st->mean = s / SS_N;
  for (int i = 0; i < SS_N; i++) q += (g[i] - st->mean) * (g[i] - st->mean);
  st->sd = sqrt(q / SS_N);
  for (int j = 0; j < SS; j++)
    for (int i = 0; i < SS; i++) {
      const float *p = g + j * SS + i;
      double z = (*p - st->mean) / st->sd, r = hypot(i - 31.5, j - 31.5);
      m3 += z * z * z / SS_N;
      m4 += z * z * z * z / SS_N;
      if (r < 4) {
        a4 += z;
        n4++;
      }
      if (r < 16) {
        a16 += z;
        n16++;
      }
      if (fabs(r - 24) < 1) {
        a24 += z;
        n24++;
      }
      if (i && j && i < SS - 1 && j < SS - 1)
        lap[n++] = fabsf(4 * p[0] - p[1] - p[-1] - p[SS] - p[-SS]);
    }
  st->noise = 1.4826 * median_of(lap, n) / sqrt(20) / st->sd;
  st->z4 = a4 / n4;
  st->z16 = a16 / n16;
  st->z24 = a24 / n24;
  st->skew = m3;
  st->kurt = m4 - 3;
  spectrum_stats(fft, g, st);
  if (ring) ring_stats(g, st);
}

/* Slope of log power over log k, k = 4..16, of the mean spectrum. */
static double spectrum_slope(const SliceStats *s, int n) {
  double sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (int k = 4; k <= 16; k++) {
    double p = 0;
    for (int i = 0; i < n; i++) p += s[i].power[k] / n;
    double x = log(k), y = log(p);
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
  }
  return (13 * sxy - sx * sy) / (13 * sxx - sx * sx);
}

/* Mean or median of one field over n slices; only: those with a clear ring. */
#define RING_CLEAR .55
static double stat_of(const SliceStats *s, int n, size_t field, bool median, bool only) {
  float *v = malloc(sizeof *v * (size_t)(n + 1));
  double sum = 0;
  int m = 0;
  for (int i = 0; i < n; i++)
    if (!only || s[i].ring_score > RING_CLEAR) {
      v[m] = (float)*(const double *)((const char *)(s + i) + field);
      sum += v[m++];
    }
  double r = !m ? 0 : median ? median_of(v, m) : sum / m;
  free(v);
  return r;
}
#endif
