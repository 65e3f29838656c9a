/* phantom_impl.h: what the phantom*.c files share. Lengths in mm, susceptibility in ppb, volumes
 * [nz][ny][nx] with x fastest and the origin in the middle of the box. The elementary functions are
 * written out so that loops vectorise and every C library gives the same bits. */
#ifndef PRLX_PHANTOM_IMPL_H
#define PRLX_PHANTOM_IMPL_H
#include <math.h>
#include <string.h>
#include "models/math/fft.h"
#include "models/phantom/phantom.h"

typedef struct Box {
  int nx; /* voxels of 0.4 x 0.4 x 1 mm */
  int ny;
  int nz;
  size_t n; /* their product */
} Box;

/* A box of nx x ny x nz voxels. */
static inline Box box_of(int nx, int ny, int nz) {
  return (Box){nx, ny, nz, (size_t)nx * (size_t)ny * (size_t)nz};
}

/* x of column i, mm from the middle of the box. */
static inline float box_x(const Box *b, int i) {
  return (float)((i - .5 * (b->nx - 1)) * PHANTOM_HX);
}

/* y of row j. */
static inline float box_y(const Box *b, int j) {
  return (float)((j - .5 * (b->ny - 1)) * PHANTOM_HY);
}

/* z of slice k. */
static inline float box_z(const Box *b, int k) {
  return (float)((k - .5 * (b->nz - 1)) * PHANTOM_HZ);
}

/* Transform of one box: plan, two spectra, scratch. */
typedef struct Qsm {
  Box box;
  Fft3 *fft;
  float *re;
  float *im;
  float *copy_re;
  float *copy_im;
  float *scratch;
} Qsm;

/* Painted anatomy of one box. Fractions wm, gm, csf in 0..1; vein: additional susceptibility of
 * vessels and specks; (wx, wy): warped coordinates. */
typedef struct Tissue {
  float *chi;
  float *wm;
  float *gm;
  float *csf;
  float *vein;
  float *wx;
  float *wy;
} Tissue;
enum { BOX_NX = 96, BOX_NY = 96, BOX_NZ = 40, WORK_TMP = 12 };
struct PhantomWork {
  Box box;
  Qsm qsm; /* plan, spectra and scratch of this box */
  Tissue tissue;
  float *les;           /* lesion, 0 or 1 */
  float *rim;           /* probability of the rim */
  float *dist;          /* signed distance to the lesion's edge, mm (far away: 99) */
  float *tmp[WORK_TMP]; /* volumes of the box; users say which they take */
  float *noise;         /* coarse grids of the random fields */
  void *all;
};

/* ---- elementary functions: relative error below 1e-5 (exp), absolute (the others) ---- */
static inline float fast_exp(float x) { /* 2^i 2^f, f in [-.5,.5]; saturates at exp(+-87) */
  x = x > 87.f ? 87.f : x;
  x = x < -87.f ? -87.f : x;
  const float t = x * 1.44269504f, r = t + 12582912.f, f = t - (r - 12582912.f);
  int32_t i;
  memcpy(&i, &r, sizeof i);
  i = (i - 0x4b400000 + 127) * (1 << 23);
  float s;
  memcpy(&s, &i, sizeof s);
  return s * (1.f + f * (.693147180f +
                         f * (.240226507f +
                              f * (.0555041087f + f * (.00961812911f + f * .00133335581f)))));
}

static inline float fast_log(float x) { /* x > 0 */
  int32_t i;
  memcpy(&i, &x, sizeof i);
  const int32_t k = (i - 0x3f3504f3) >> 23; /* mantissa to [sqrt(1/2), sqrt 2) */
  i -= k * (1 << 23);
  float m;
  memcpy(&m, &i, sizeof m);
  const float u = (m - 1.f) / (m + 1.f), v = u * u;
  return (float)k * .693147181f +
         2.f * u * (1.f + v * (.333333333f + v * (.2f + v * (.142857143f + v * .111111111f))));
}

static inline float fast_sin(float x) { /* |x| below some 1000 */
  /* turns in [-.5,.5] */
  const float t = x * .159154943f, r = (t + 12582912.f) - 12582912.f, f = t - r;
  float q = f > .25f ? .5f - f : f;
  q = q < -.25f ? -.5f - q : q;
  const float a = q * 6.28318531f, b = a * a;
  return a * (1.f + b * (-.166666667f +
                         b * (.00833333333f + b * (-.000198412698f + b * 2.75573192e-6f))));
}

/* As fast_sin. */
static inline float fast_cos(float x) { return fast_sin(x + 1.57079633f); }

/* Polynomial of degree 11 on one octant. */
static inline float fast_atan2(float y, float x) {
  const float ax = fabsf(x), ay = fabsf(y), hi = ax > ay ? ax : ay, lo = ax > ay ? ay : ax,
              q = hi > 0 ? lo / hi : 0, s = q * q;
  float a = q * (.99997726f +
                 s * (-.33262347f +
                      s * (.19354346f + s * (-.11643287f + s * (.05265332f - s * .01172120f)))));
  a = ay > ax ? 1.57079633f - a : a;
  a = x < 0 ? 3.14159265f - a : a;
  return y < 0 ? -a : a;
}

/* x, moved into lo..hi. */
static inline float clampf(float x, float lo, float hi) {
  x = x < lo ? lo : x;
  return x > hi ? hi : x;
}

/* Polynomial smooth minimum: rounds the crease of min(a, b) over a width k. */
static inline float smooth_min(float a, float b, float k) {
  const float h = clampf(.5f + .5f * (b - a) / k, 0, 1);
  return b + (a - b) * h - k * h * (1 - h);
}

/* A soft step of width w: inside (d < 0) -> 1. */
static inline float soft(float d, float w) { return 1.f / (1.f + fast_exp(d / w)); }

/* A bell of standard deviation w and height 1. */
static inline float bell(float d, float w) {
  const float q = d / w;
  return fast_exp(-.5f * q * q);
}

/* ---- random numbers: all draws of a lesion come from one stream, in program order ---- */

/* Uniform in lo..hi. */
static inline double draw_u(Rng *r, double lo, double hi) {
  return lo + (hi - lo) * rng_uniform(r);
}

/* Normal. */
static inline double draw_n(Rng *r, double mean, double sd) { return mean + sd * rng_normal(r); }

/* True with probability p. */
static inline bool draw_p(Rng *r, double p) { return rng_uniform(r) < p; }

/* Index 0..n-1 with probabilities p [n]; a Poisson number; a beta number, a, b >= 1. */
int draw_choice(Rng *r, const double *p, int n);
int draw_poisson(Rng *r, double mean);
double draw_beta(Rng *r, double a, double b);

/* n standard normals; serial; takes whole Philox blocks. */
void draw_normals(Rng *r, float *dst, size_t n);

/* Unit Gaussian random field on the box: white noise smoothed by exp(-pi^2 sum (k_i l_i)^2), i.e. a
 * Gaussian of sigma = l/sqrt 2 mm, then mean 0 and standard deviation 1 over the box. Coarse grids
 * of 1.25 sigma where that is coarser than the voxels. tmp: work->noise. */
void random_field(PhantomWork *w, Rng *r, double lx, double ly, double lz, float *out);
static inline void random_iso(PhantomWork *w, Rng *r, double l, float *out) {
  random_field(w, r, l, l, 1.3 * l, out);
}

/* Floats of work->noise that a box needs. */
size_t random_field_noise(const Box *b);

/* f <= 0 inside -> approximate signed distance f / max(|grad f|, median|grad f|/4), in place. tmp:
 * one volume, and w->noise. */
void signed_distance(PhantomWork *w, float *f, float *tmp);

/* Quantile q of every `step`-th of n values for which keep > .5 (keep may be NULL), by quick
 * select. tmp: n/step + 1 floats. 0 if there is none. */
float quantile_of(const float *v, const float *keep, size_t n, size_t step, double q, float *tmp);

/* ---- phantom_anatomy.c ---- */
/* White matter, fibre bands, cortex, ventricle, nucleus, vessels, specks into w->t. Uses tmp[0..5].
 */
void phantom_anatomy(PhantomWork *w, Rng *r, char kind[16]);

/* Tube along a quadratic Bezier from p0 to p1 with its middle moved by bend (x,y,z mm): vein =
 * max(vein, ppb in the tube). */
void paint_tube(const Box *b, float *vein, const double p0[3], const double p1[3],
                const double bend[3], double radius, double ppb);

/* ---- phantom_lesion.c ---- */
/* Paints a lesion of latent s at `centre` (mm); fills the record, w->les, w->rim, w->dist; then the
 * vessels, into w->t.chi. Uses tmp[0..4]. */
void phantom_paint_lesion(PhantomWork *w, Rng *r, double s, double clear, const double centre[3],
                          PhantomLesion *out);

/* The same arrays of a box without a lesion. */
void phantom_no_lesion(PhantomWork *w);

/* Noise-free, unblurred FLAIR of the box into `out`. Uses tmp[0..1]. */
void phantom_flair_ideal(PhantomWork *w, Rng *r, float *out);

/* ---- phantom_qsm.c: any box ---- */
/* Field b = F^-1{D F chi} in ppb of B0, D = 1/3 - kz^2/|k|^2, D(0) = 0; psf: chi is first blurred
 * by a Gaussian of sigma .32,.32,.40 mm, and the blurred chi goes to `blurred` unless NULL. */
void qsm_field(Qsm *q, const float *chi, bool psf, float *field, float *blurred);

/* Gaussian blur, sigma in mm; in = out allowed. */
void qsm_blur(Qsm *q, const float *in, double sx, double sy, double sz, float *out);

enum { QSM_BUFFERS = 10 };

/* Inversion of `field` (ppb) to `chi` (mean arbitrary): total variation, weight 1/4 on the 25 %
 * steepest edges of the magnitude, ADMM; or the closed form with quadratic smoothness. buf:
 * QSM_BUFFERS volumes. */
void qsm_invert(Qsm *q, const float *field, const float *mag, double lambda, int iterations,
                bool closed_form, float *const buf[QSM_BUFFERS], float *chi);

/* Standard deviation of the field, ppb, where the magnitude is that of white matter. */
double qsm_noise_ppb(double snr0);

/* One volume each. */
typedef struct QsmInput {
  const float *chi; /* ppb */
  const float *wm;  /* fractions 0..1 */
  const float *gm;
  const float *csf;
  const float *vein;
  const float *bias; /* relative magnitude bias, or NULL */
  float *noise;      /* unit normals, overwritten by the noisy field */
} QsmInput;

/* Signal model: magnitude, field noise, inversion, zero of the scale -> chi and (unless NULL)
 * blurred truth with the same zero, ppb. */
void qsm_acquire(Qsm *q, const QsmInput *in, const PhantomOptions *o, double lambda,
                 float *const buf[QSM_BUFFERS], float *mag, float *chi, float *truth);
#endif
