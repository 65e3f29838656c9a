/* fit_run.h: the small networks (classifier with its maps, U-Net, DeepSMOTE) trained and used on a
 * backend against the CPU, for test_backend.c and cuda_run.c. */
#ifndef PRLX_TEST_FIT_RUN_H
#define PRLX_TEST_FIT_RUN_H
#include "models/judge/cam.h"
#include "models/judge/deepsmote.h"
#include "models/judge/unet.h"
#include "test/test.h"

enum { FIT_N = 8, FIT_SIDE = 16, FIT_PER = FIT_SIDE * FIT_SIDE, FIT_CODES = 4 };
static real fit_image[FIT_N * FIT_PER], fit_mask[FIT_N * FIT_PER];
static int64_t fit_label[FIT_N];

/* Discs and rings with some noise. */
static Slices fit_slices(void) {
  Rng r = {.seed = 3};
  rng_fill_normal(&r, fit_image, FIT_N * FIT_PER);
  for (int i = 0; i < FIT_N * FIT_PER; i++) {
    const int item = i / FIT_PER, y = i % FIT_PER / FIT_SIDE - 8, x = i % FIT_SIDE - 8,
              far = x * x + y * y;
    const bool on = far < 36 && (item % 2 == 0 || far > 12);
    fit_label[item] = item % 2;
    fit_image[i] = (real)(0.2 * (double)fit_image[i] + (on ? 0.8 : -0.8));
    fit_mask[i] = on && item % 2 ? 1 : -1;
  }
  return (Slices){fit_image, fit_label, FIT_N, 1, FIT_SIDE, FIT_SIDE};
}

static double fit_apart(const real *x, const real *y, int64_t n) {
  double most = 0, size = 1e-30;
  for (int64_t i = 0; i < n; i++) {
    const double d = fabs((double)x[i] - (double)y[i]);
    most = isnan(d) ? INFINITY : fmax(most, d);
    size = fmax(size, fabs((double)x[i]));
  }
  return most / size;
}

/* The same network, with the same start, on the CPU ([0]) and on b ([1]). */
static void compare_classifier(Backend *b, const Slices *d, double tol) {
  const ClassifierConfig cfg = {
      .channels = 1, .classes = 2, .pools = 2, .width = {4, 4, 4, 4, 8, 8}};
  ClassifierTrain o = classifier_train_defaults();
  Classifier c[2];
  Error e = {0};
  static real map[2][FIT_N * FIT_PER];
  double prob[2][2 * FIT_N];
  o.epochs = 2;
  o.batch = 4;
  o.average = 2;
  o.cosine = true;
  for (int k = 0; k < 2; k++) {
    bool ok = classifier_new(&c[k], &cfg, &e) == ST_OK;
    c[k].backend = k ? b : NULL;
    ok = ok && classifier_train(&c[k], &o, d, &e) == ST_OK &&
         classifier_predict(&c[k], d, prob[k], &e) == ST_OK &&
         cam_maps(&c[k], d, 1, CAM_GRAD, map[k], &e) == ST_OK;
    CHECK(ok, "classifier: %s", e.msg);
  }
  double most = 0;
  for (int i = 0; i < 2 * FIT_N; i++) most = fmax(most, fabs(prob[0][i] - prob[1][i]));
  const double dw = fit_apart(c[0].params.data, c[1].params.data, c[0].params.ntotal),
               dm = fit_apart(map[0], map[1], FIT_N * FIT_PER / 16);
  CHECK(most < tol && dw < tol && dm < 5 * tol,
        "classifier: probabilities %g, weights and statistics %g, maps %g apart", most, dw, dm);
  for (int k = 0; k < 2; k++) classifier_free(&c[k]);
}

static void compare_unet(Backend *b, const Slices *d, double tol) {
  const UnetConfig cfg = {1, 2, 4};
  UnetTrain o = unet_train_defaults();
  Unet u[2];
  Error e = {0};
  static real prob[2][FIT_N * FIT_PER];
  o.epochs = 1;
  o.batch = 4;
  for (int k = 0; k < 2; k++) {
    bool ok = unet_new(&u[k], &cfg, &e) == ST_OK;
    u[k].backend = k ? b : NULL;
    ok = ok && unet_train(&u[k], &o, d, fit_mask, &e) == ST_OK &&
         unet_predict(&u[k], d, prob[k], &e) == ST_OK;
    CHECK(ok, "U-Net: %s", e.msg);
  }
  const double dw = fit_apart(u[0].params.data, u[1].params.data, u[0].params.ntotal),
               dp = fit_apart(prob[0], prob[1], FIT_N * FIT_PER);
  CHECK(dw < tol && dp < tol, "U-Net: weights and statistics %g, maps %g apart", dw, dp);
  for (int k = 0; k < 2; k++) unet_free(&u[k]);
}

static void compare_deepsmote(Backend *b, const Slices *d, double tol) {
  const DeepSmoteConfig cfg = {1, FIT_SIDE, 4, FIT_CODES};
  DeepSmoteTrain o = deepsmote_train_defaults();
  DeepSmote m[2];
  Error e = {0};
  static real code[2][FIT_N * FIT_CODES], image[2][FIT_N * FIT_PER];
  o.epochs = 1;
  o.batch = FIT_N; /* below 1x1 maps batch norm sees so many numbers only */
  for (int k = 0; k < 2; k++) {
    bool ok = deepsmote_new(&m[k], &cfg, &e) == ST_OK;
    m[k].backend = k ? b : NULL;
    ok = ok && deepsmote_train(&m[k], &o, d, &e) == ST_OK &&
         deepsmote_encode(&m[k], fit_image, FIT_N, code[k], &e) == ST_OK &&
         deepsmote_decode(&m[k], code[0], FIT_N, image[k], &e) == ST_OK;
    CHECK(ok, "DeepSMOTE: %s", e.msg);
  }
  const double dw = fit_apart(m[0].params.data, m[1].params.data, m[0].params.ntotal),
               dc = fit_apart(code[0], code[1], FIT_N * FIT_CODES),
               di = fit_apart(image[0], image[1], FIT_N * FIT_PER);
  CHECK(dw < tol && dc < 5 * tol && di < 5 * tol,
        "DeepSMOTE: weights and statistics %g, codes %g, images %g apart", dw, dc, di);
  for (int k = 0; k < 2; k++) deepsmote_free(&m[k]);
}

static void compare_fits(Backend *b, double tol) {
  const Slices d = fit_slices();
  compare_classifier(b, &d, tol);
  compare_unet(b, &d, tol);
  compare_deepsmote(b, &d, tol);
}
#endif
