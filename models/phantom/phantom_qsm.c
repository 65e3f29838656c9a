/* phantom_qsm.c: from susceptibility to a reconstructed map: dipole field, phase noise of a
 * multi-echo gradient echo, and the inversion by total variation (Bilgic et al., Magn Reson Med 72,
 * 2014, doi 10.1002/mrm.25029), a linear stand-in for MEDI. */
#include "models/phantom/phantom_impl.h"

/* Wave numbers in cycles/mm along one axis, n samples of h mm. */
static double kernel_wave(int i, int n, double h) {
  return (double)(i <= n / 2 ? i : i - n) / (n * h);
}
/* |E|^2 of the forward difference E = (exp(2 pi i k h) - 1)/h. */
static double second_difference(int i, int n, double h) {
  return (2 - 2 * cos(2 * M_PI * i / n)) / (h * h);
}

enum { LINE_MAX_N = 512 };

/* Multiplies the spectrum by exp(-2 pi^2 sum (sigma_i k_i)^2), and by D if dipole. */
static void spectrum_filter(Qsm *q, float *re, float *im, const double sigma[3], bool dipole) {
  const Box *b = &q->box;
  float kx2[LINE_MAX_N], gx[LINE_MAX_N];
  const double c = -2 * M_PI * M_PI;
  for (int i = 0; i < b->nx; i++) {
    const double k = kernel_wave(i, b->nx, PHANTOM_HX);
    kx2[i] = (float)(k * k);
    gx[i] = (float)exp(c * k * k * sigma[0] * sigma[0]);
  }
  for (int kz = 0; kz <= b->nz / 2; kz++)
    for (int ky = 0; ky < b->ny; ky++) {
      const double z = kernel_wave(kz, b->nz, PHANTOM_HZ), y = kernel_wave(ky, b->ny, PHANTOM_HY);
      const float g = (float)exp(c * (z * z * sigma[2] * sigma[2] + y * y * sigma[1] * sigma[1])),
                  yz2 = (float)(z * z + y * y), z2 = (float)(z * z);
      float *r = re + ((size_t)kz * (size_t)b->ny + (size_t)ky) * (size_t)b->nx, *i = im + (r - re);
      for (int x = 0; x < b->nx; x++) {
        float f = g * gx[x];
        if (dipole) f *= 1.f / 3.f - z2 / (kx2[x] + yz2 + 1e-20f);
        r[x] *= f;
        i[x] *= f;
      }
    }
  if (dipole) re[0] = im[0] = 0;
}

void qsm_blur(Qsm *q, const float *in, double sx, double sy, double sz, float *out) {
  fft3_forward(q->fft, in, q->re, q->im, q->scratch);
  spectrum_filter(q, q->re, q->im, (const double[3]){sx, sy, sz}, false);
  fft3_inverse(q->fft, q->re, q->im, out, q->scratch);
}

void qsm_field(Qsm *q, const float *chi, bool psf, float *field, float *blurred) {
  /* effective resolution of the released images: 0.8 mm */
  const double none[3] = {0, 0, 0}, sigma[3] = {.32, .32, .40};
  const size_t n = fft3_count(q->fft);
  fft3_forward(q->fft, chi, q->re, q->im, q->scratch);
  if (psf) spectrum_filter(q, q->re, q->im, sigma, false);
  /* the inverse destroys its input: the field's box holds a copy meanwhile */
  if (blurred) {
    float *re = q->copy_re, *im = q->copy_im;
    memcpy(re, q->re, n * sizeof *re);
    memcpy(im, q->im, n * sizeof *im);
    fft3_inverse(q->fft, re, im, blurred, q->scratch);
  }
  spectrum_filter(q, q->re, q->im, none, true);
  fft3_inverse(q->fft, q->re, q->im, field, q->scratch);
}

/* X /= D^2 + mu sum |E_i|^2 + 1e-9, after X *= D if asked. */
static void dipole_divide(Qsm *q, float mu, bool times_d) {
  const Box *b = &q->box;
  float kx2[LINE_MAX_N], ex[LINE_MAX_N];
  for (int i = 0; i < b->nx; i++) {
    const double k = kernel_wave(i, b->nx, PHANTOM_HX);
    kx2[i] = (float)(k * k);
    ex[i] = (float)(mu * second_difference(i, b->nx, PHANTOM_HX));
  }
  for (int kz = 0; kz <= b->nz / 2; kz++)
    for (int ky = 0; ky < b->ny; ky++) {
      const double z = kernel_wave(kz, b->nz, PHANTOM_HZ), y = kernel_wave(ky, b->ny, PHANTOM_HY);
      const float e = (float)(mu * (second_difference(kz, b->nz, PHANTOM_HZ) +
                                    second_difference(ky, b->ny, PHANTOM_HY)) +
                              1e-9),
                  yz2 = (float)(z * z + y * y), z2 = (float)(z * z);
      float *r = q->re + ((size_t)kz * (size_t)b->ny + (size_t)ky) * (size_t)b->nx,
            *i = q->im + (r - q->re);
      for (int x = 0; x < b->nx; x++) {
        const float d = 1.f / 3.f - z2 / (kx2[x] + yz2 + 1e-20f),
                    f = (times_d ? d : 1.f) / (d * d + ex[x] + e);
        r[x] *= f;
        i[x] *= f;
      }
    }
  q->re[0] = q->im[0] = 0; /* the mean of chi is not measurable */
}

/* thr[axis] = 4, or 1 at the 25 % steepest central differences of the magnitude along that axis
 * (lambda M / mu with mu = lambda/4). */
static void edge_thresholds(const Box *b, const float *mag, float *const thr[3], float *tmp) {
  const size_t nx = (size_t)b->nx, plane = nx * (size_t)b->ny, stride[3] = {1, nx, plane};
  const int len[3] = {b->nx, b->ny, b->nz};
  for (int a = 0; a < 3; a++) {
    float *t = thr[a];
    const size_t s = stride[a];
    for (size_t i = 0; i < b->n; i++) {
      const size_t at = i / s % (size_t)len[a];
      t[i] = at == 0                    ? 2 * fabsf(mag[i + s] - mag[i])
             : at == (size_t)len[a] - 1 ? 2 * fabsf(mag[i] - mag[i - s])
                                        : fabsf(mag[i + s] - mag[i - s]);
    }
    const float limit = quantile_of(t, NULL, b->n, 7, .75, tmp);
    for (size_t i = 0; i < b->n; i++) t[i] = t[i] < limit ? 4.f : 1.f;
  }
}

/* One line of the shrinkage: v = dx + u, y = soft threshold of v, u = v - y; w = y - u is what goes
 * back into the quadratic step. */
static inline void soft_shrink(const float *x, const float *next, float ih, const float *thr,
                               float *restrict u, float *restrict wv, size_t n) {
  for (size_t i = 0; i < n; i++) {
    /* soft(v) = v - clamp(v) */
    const float v = (next[i] - x[i]) * ih + u[i], t = thr[i], c = clampf(v, -t, t);
    u[i] = c;
    wv[i] = v - 2 * c;
  }
}

static void shrink_all(const Box *b, const float *x, float *const thr[3], float *const u[3],
                       float *const wv[3]) {
  const size_t nx = (size_t)b->nx, plane = nx * (size_t)b->ny;
  for (int k = 0; k < b->nz; k++)
    for (int j = 0; j < b->ny; j++) {
      const size_t at = (size_t)k * plane + (size_t)j * nx,
                   up = j + 1 < b->ny ? at + nx : at + nx - plane,
                   deep = k + 1 < b->nz ? at + plane : at + plane - b->n;
      const float ix = (float)(1 / PHANTOM_HX);
      soft_shrink(x + at, x + at + 1, ix, thr[0] + at, u[0] + at, wv[0] + at, nx - 1);
      soft_shrink(x + at + nx - 1, x + at, ix, thr[0] + at + nx - 1, u[0] + at + nx - 1,
                  wv[0] + at + nx - 1, 1);
      soft_shrink(x + at, x + up, (float)(1 / PHANTOM_HY), thr[1] + at, u[1] + at, wv[1] + at, nx);
      soft_shrink(x + at, x + deep, (float)(1 / PHANTOM_HZ), thr[2] + at, u[2] + at, wv[2] + at,
                  nx);
    }
}

/* out = df + mu sum E_i* w_i; the adjoint of the periodic forward difference is (w[i-1] - w[i])/h.
 */
static void right_side(const Box *b, const float *df, float mu, float *const wv[3],
                       float *restrict out) {
  const size_t nx = (size_t)b->nx, plane = nx * (size_t)b->ny;
  const float mx = mu / (float)PHANTOM_HX, my = mu / (float)PHANTOM_HY, mz = mu / (float)PHANTOM_HZ;
  for (int k = 0; k < b->nz; k++)
    for (int j = 0; j < b->ny; j++) {
      const size_t at = (size_t)k * plane + (size_t)j * nx, up = j ? at - nx : at + plane - nx,
                   deep = k ? at - plane : at + b->n - plane;
      const float *wx = wv[0] + at, *wy = wv[1] + at, *wz = wv[2] + at, *py = wv[1] + up,
                  *pz = wv[2] + deep, *d = df + at;
      float *o = out + at;
      o[0] = d[0] + mx * (wx[nx - 1] - wx[0]) + my * (py[0] - wy[0]) + mz * (pz[0] - wz[0]);
      for (size_t x = 1; x < nx; x++)
        o[x] = d[x] + mx * (wx[x - 1] - wx[x]) + my * (py[x] - wy[x]) + mz * (pz[x] - wz[x]);
    }
}

void qsm_invert(Qsm *q, const float *field, const float *mag, double lambda, int iterations,
                bool closed_form, float *const buf[QSM_BUFFERS], float *chi) {
  const Box *b = &q->box;
  if (closed_form) {
    fft3_forward(q->fft, field, q->re, q->im, q->scratch);
    dipole_divide(q, .01f, true);
    fft3_inverse(q->fft, q->re, q->im, chi, q->scratch);
    return;
  }
  float *df = buf[0], *const *u = buf + 1, *const *wv = buf + 4, *const *thr = buf + 7;
  const float mu = (float)(lambda / 4);
  edge_thresholds(b, mag, thr, buf[0]);
  qsm_field(q, field, false, df, NULL); /* the dipole operator is its own adjoint */
  for (int a = 0; a < 3; a++) {
    memset(u[a], 0, b->n * sizeof(float));
    memset(wv[a], 0, b->n * sizeof(float));
  }
  for (int it = 0; it < iterations; it++) {
    if (it) {
      shrink_all(b, chi, thr, u, wv);
      right_side(b, df, mu, wv, chi);
    }
    fft3_forward(q->fft, it ? chi : df, q->re, q->im, q->scratch);
    dipole_divide(q, mu, false);
    fft3_inverse(q->fft, q->re, q->im, chi, q->scratch);
  }
}

/* sigma_b = 1/(2 pi 127.73 MHz SNR0 sqrt(sum TE^2 exp(-2 TE R2*))) of eight echoes at 6.28 + 4.06 i
 * ms, R2* 20/s: .0371 s; 1.11 ppb at SNR0 30. */
double qsm_noise_ppb(double snr0) { return 1e3 / (2 * M_PI * 127.73 * snr0 * .0371); }

void qsm_acquire(Qsm *q, const QsmInput *in, const PhantomOptions *o, double lambda,
                 float *const buf[QSM_BUFFERS], float *mag, float *chi, float *truth) {
  const size_t n = q->box.n;
  float *field = in->noise, *water = buf[0], *blurred = truth ? truth : buf[1], *f = buf[2];
  for (size_t i = 0; i < n; i++) water[i] = 1 - .12f * in->gm[i] + .25f * in->csf[i];
  qsm_blur(q, water, .32, .32, .4, water);
  qsm_field(q, in->chi, true, f, blurred);
  const float sigma = (float)qsm_noise_ppb(o->snr0);
  /* .607: exp(-.025 * 20), so that white matter has 1 */
  for (size_t i = 0; i < n; i++) {
    mag[i] = water[i] * fast_exp(-.025f * (20 + .12f * fabsf(blurred[i] + 30))) * (1 / .607f) *
             (1 + (in->bias ? .04f * in->bias[i] : 0));
    const float m = mag[i] > .1f ? mag[i] : .1f;
    field[i] = f[i] + sigma / m * (fabsf(in->vein[i]) > 180 ? 7.f : 1.f) * in->noise[i];
  }
  qsm_invert(q, field, mag, lambda, o->iterations, o->fast_inversion, buf, chi);
  double sum = 0, sum_truth = 0;
  size_t count = 0;
  for (size_t i = 0; i < n; i++)
    if (in->csf[i] > .8f) {
      sum += chi[i];
      sum_truth += blurred[i];
      count++;
    }
  /* The zero is ventricular and sulcal CSF, as in MEDI+0; without enough of it white matter is put
   * at -28 ppb. */
  float zero = (float)(count > 200 ? sum / (double)count : 0),
        zero_truth = (float)(count > 200 ? sum_truth / (double)count : 0);
  if (count <= 200) {
    zero = quantile_of(chi, in->wm, n, 7, .5, buf[0]) + 28;
    if (truth) zero_truth = quantile_of(truth, in->wm, n, 7, .5, buf[0]) + 28;
  }
  for (size_t i = 0; i < n; i++) chi[i] -= zero;
  if (truth)
    for (size_t i = 0; i < n; i++) truth[i] -= zero_truth;
}
