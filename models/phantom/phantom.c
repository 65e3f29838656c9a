/* phantom.c: the two readers, and one lesion from latent to patch. */
#include "models/phantom/phantom.h"
#include "models/phantom/phantom_impl.h"

PhantomOptions phantom_defaults(void) {
  return (PhantomOptions){.snr0 = 30, .tau = 1.7501, .sigma = .2191, .lambda = 0, .iterations = 10};
}

/* s ~ N(0,1), e1, e2 ~ N(0,1) independent; reader j says rim iff s + sigma e_j > tau. With t =
 * tau/sqrt(1+sigma^2) and rho = 1/(1+sigma^2) the pair is bivariate normal: P(one reader says rim)
 * = Phi(-t). */
void phantom_read(const PhantomOptions *o, Rng *r, int want, double *s, int *reader1,
                  int *reader2) {
  for (int tries = 0;; tries++) {
    const double x = rng_normal(r), e1 = rng_normal(r), e2 = rng_normal(r);
    const int a = x + o->sigma * e1 > o->tau, b = x + o->sigma * e2 > o->tau,
              cls = a != b ? PHANTOM_AMBIGUOUS
                    : a    ? PHANTOM_RIM
                           : PHANTOM_NONRIM;
    if (want != PHANTOM_ANY && cls != want && tries < 1000000) continue;
    *s = x;
    *reader1 = a;
    *reader2 = b;
    return;
  }
}

void phantom_work_free(PhantomWork *w) {
  if (!w) return;
  fft3_free(w->qsm.fft);
  mem_free(w->all);
  mem_free(w);
}

/* Hands out consecutive pieces of one allocation, each on a 64-byte boundary. */
static float *take_floats(float **p, size_t n) {
  float *q = *p;
  if (q) *p += (n + 15) & ~(size_t)15;
  return q;
}

static size_t spectra_floats(const Fft3 *f) {
  return 4 * ((fft3_count(f) + 15) & ~(size_t)15) + fft3_scratch(f);
}

static void take_spectra(Qsm *q, float **p) {
  const size_t k = fft3_count(q->fft);
  q->re = take_floats(p, k);
  q->im = take_floats(p, k);
  q->copy_re = take_floats(p, k);
  q->copy_im = take_floats(p, k);
  q->scratch = take_floats(p, fft3_scratch(q->fft));
}

static Status work_alloc(PhantomWork *w, Error *e) {
  TRY(fft3_new(BOX_NX, BOX_NY, BOX_NZ, &w->qsm.fft, e));
  const size_t n = w->box.n, floats = (7 + 3 + WORK_TMP) * n + spectra_floats(w->qsm.fft) +
                                      random_field_noise(&w->box) + 16;
  float *p = w->all = mem_alloc(floats * sizeof(float));
  if (!p)
    return err_set(e, ST_NOMEM, "out of memory for the phantom's scratch (%zu MB)",
                   floats * sizeof(float) >> 20);
  w->tissue =
      (Tissue){take_floats(&p, n), take_floats(&p, n), take_floats(&p, n), take_floats(&p, n),
               take_floats(&p, n), take_floats(&p, n), take_floats(&p, n)};
  w->les = take_floats(&p, n);
  w->rim = take_floats(&p, n);
  w->dist = take_floats(&p, n);
  for (int i = 0; i < WORK_TMP; i++) w->tmp[i] = take_floats(&p, n);
  take_spectra(&w->qsm, &p);
  w->noise = take_floats(&p, random_field_noise(&w->box));
  return ST_OK;
}

Status phantom_work_new(PhantomWork **out, Error *e) {
  PhantomWork *w = *out = mem_alloc(sizeof *w);
  if (!w) return err_set(e, ST_NOMEM, "out of memory for the phantom's scratch");
  w->box = w->qsm.box = box_of(BOX_NX, BOX_NY, BOX_NZ);
  const Status st = work_alloc(w, e);
  if (st != ST_OK) {
    phantom_work_free(w);
    *out = NULL;
  }
  return st;
}

void phantom_lesion_free(PhantomLesion *l) {
  mem_free(l->chi);
  l->chi = l->flair = l->rim = l->mask = l->truth = NULL;
}

static void patch_crop(const Box *b, const float *in, float *out) {
  const int ox = (b->nx - PHANTOM_NX) / 2, oy = (b->ny - PHANTOM_NY) / 2,
            oz = (b->nz - PHANTOM_NZ) / 2;
  for (int k = 0; k < PHANTOM_NZ; k++)
    for (int j = 0; j < PHANTOM_NY; j++, out += PHANTOM_NX)
      memcpy(out, in + ((size_t)(k + oz) * (size_t)b->ny + (size_t)(j + oy)) * (size_t)b->nx + ox,
             PHANTOM_NX * sizeof *out);
}

/* sigma 3, in place */
static void patch_rician(float *flair, const float *re, const float *im, size_t n) {
  for (size_t i = 0; i < n; i++) {
    const float a = flair[i] + 3 * re[i], b = 3 * im[i];
    flair[i] = sqrtf(a * a + b * b);
  }
}

/* Far from the streams of lesions, dealing, slabs and participants. */
#define STREAM_VISIT ((uint64_t)1 << 44)

/* What the readers see and say at a later visit; r: the stream of that visit. */
static void phantom_later(const PhantomOptions *o, Rng *r, int visit, PhantomLesion *l) {
  const double way = l->conspicuity > o->tau ? PHANTOM_DRIFT : -PHANTOM_DRIFT;
  l->conspicuity += visit * way + PHANTOM_DRIFT_SD * rng_normal(r);
  const double e1 = rng_normal(r), e2 = rng_normal(r);
  l->reader1 = l->conspicuity + o->sigma * e1 > o->tau;
  l->reader2 = l->conspicuity + o->sigma * e2 > o->tau;
}

Status phantom_lesion(PhantomWork *w, const PhantomOptions *o, uint64_t seed, uint64_t index,
                      int want, PhantomLesion *out, Error *e) {
  return phantom_lesion_visit(w, o, seed, index, want, 0, out, e);
}

Status phantom_lesion_visit(PhantomWork *w, const PhantomOptions *o, uint64_t seed, uint64_t index,
                            int want, int visit, PhantomLesion *out, Error *e) {
  static const double middle[3] = {0, 0, 0};
  *out = (PhantomLesion){0};
  out->chi = mem_alloc(5 * PHANTOM_VOXELS * sizeof(float));
  if (!out->chi) return err_set(e, ST_NOMEM, "out of memory for a lesion patch");
  out->flair = out->chi + PHANTOM_VOXELS;
  out->rim = out->flair + PHANTOM_VOXELS;
  out->mask = out->rim + PHANTOM_VOXELS;
  out->truth = out->mask + PHANTOM_VOXELS;
  Rng r = {.seed = seed, .subsequence = index},
      later = {.seed = seed, .subsequence = (uint64_t)visit * STREAM_VISIT + index};
  Rng *scan = visit ? &later : &r; /* what each examination draws anew */
  phantom_read(o, &r, want, &out->conspicuity, &out->reader1, &out->reader2);
  if (visit) phantom_later(o, scan, visit, out);
  const double clear = out->reader1 != out->reader2 ? o->clear : 0;
  phantom_anatomy(w, &r, out->kind);
  phantom_paint_lesion(w, &r, out->conspicuity, clear, middle, out);
  if (clear > 0) out->conspicuity = clear;
  out->truth_rim = out->conspicuity > o->tau;
  phantom_flair_ideal(w, &r, w->tmp[2]);
  qsm_blur(&w->qsm, w->tmp[2], .42, .42, .42, w->tmp[2]); /* point spread of 1 mm FWHM */
  patch_crop(&w->box, w->tmp[2], out->flair);
  patch_crop(&w->box, w->les, out->mask);
  patch_crop(&w->box, w->rim, out->rim);
  draw_normals(scan, w->tmp[0], PHANTOM_VOXELS);
  draw_normals(scan, w->tmp[1], PHANTOM_VOXELS);
  patch_rician(out->flair, w->tmp[0], w->tmp[1], PHANTOM_VOXELS);
  /* From here the painted coordinates and distances are scratch. */
  float *bias = w->dist, *noise = w->tissue.wx, *mag = w->tissue.wy, *chi = w->tmp[10],
        *truth = w->tmp[11];
  random_iso(w, scan, 8, bias);
  draw_normals(scan, noise, w->box.n);
  const double drawn = draw_u(scan, .05, .11);
  out->lambda = o->lambda > 0 ? o->lambda : drawn;
  const QsmInput in = {w->tissue.chi,  w->tissue.wm, w->tissue.gm, w->tissue.csf,
                       w->tissue.vein, bias,         noise};
  qsm_acquire(&w->qsm, &in, o, out->lambda, w->tmp, mag, chi, truth);
  patch_crop(&w->box, chi, out->chi);
  patch_crop(&w->box, truth, out->truth);
  return ST_OK;
}
