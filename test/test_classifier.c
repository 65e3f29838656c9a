/* test_classifier.c: metrics against hand-computed cases, batch norm, the classifier, class
 * activation maps. */
#include "core/rng.h"
#include "core/threads.h"
#include "models/judge/cam.h"
#include "models/judge/classifier.h"
#include "models/judge/evaluate.h"
#include "test/test.h"

static bool near(double a, double b, double tol) { return fabs(a - b) <= tol; }

/* ---- metrics ---- */

static void test_metrics(void) {
  /* By hand: called positive 0.9 0.8 0.7 0.6 -> tp 3, fp 1; below: fn 1, tn 3. */
  static const int truth[8] = {1, 1, 0, 1, 0, 1, 0, 0};
  static const double score[8] = {0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1};
  double m[M_COUNT];
  Error e = {0};
  Confusion c = eval_confusion(8, truth, score, 0.5);
  CHECK(c.tp == 3 && c.fp == 1 && c.fn == 1 && c.tn == 3, "confusion matrix");
  CHECK(eval_metrics(8, truth, score, 0.5, m, &e) == ST_OK, "metrics: %s", e.msg);
  CHECK(near(m[M_ACCURACY], 0.75, 1e-15) && near(m[M_PRECISION], 0.75, 1e-15) &&
            near(m[M_SENSITIVITY], 0.75, 1e-15) && near(m[M_SPECIFICITY], 0.75, 1e-15) &&
            near(m[M_F1], 0.75, 1e-15) && near(m[M_BALANCED], 0.75, 1e-15),
        "accuracy to balanced accuracy");
  /* Pairs (rim above non-rim): 4 + 4 + 3 + 2 of 16. AP: (1/1 + 2/2 + 3/4 + 4/6)/4. */
  CHECK(near(m[M_ROC_AUC], 13.0 / 16, 1e-15), "ROC AUC %.17g", m[M_ROC_AUC]);
  CHECK(near(m[M_PR_AUC], (1 + 1 + 0.75 + 2.0 / 3) / 4, 1e-15), "PR AUC %.17g", m[M_PR_AUC]);
  /* Unequal counts: 2 of 3 rims found, 1 of 5 others called rim. */
  static const int t2[8] = {1, 1, 1, 0, 0, 0, 0, 0};
  static const double s2[8] = {0.9, 0.5, 0.1, 0.5, 0.2, 0.2, 0.3, 0.0};
  eval_metrics(8, t2, s2, 0.5, m, &e);
  CHECK(near(m[M_PRECISION], 2.0 / 3, 1e-15) && near(m[M_SENSITIVITY], 2.0 / 3, 1e-15) &&
            near(m[M_SPECIFICITY], 0.8, 1e-15) && near(m[M_ACCURACY], 0.75, 1e-15) &&
            near(m[M_F1], 2.0 / 3, 1e-15) && near(m[M_BALANCED], (2.0 / 3 + 0.8) / 2, 1e-15),
        "unequal counts");
  /* Pairs: 5, then 4 + a tie, then 1: (5 + 4.5 + 1)/15. AP: 0.9 -> 1/1; 0.5 with its tie -> 2/3;
   * 0.1 -> 3/7. */
  CHECK(near(m[M_ROC_AUC], 10.5 / 15, 1e-15) &&
            near(m[M_PR_AUC], (1 + 2.0 / 3 + 3.0 / 7) / 3, 1e-15),
        "ties: ROC %g PR %g", m[M_ROC_AUC], m[M_PR_AUC]);
  static const int one[3] = {1, 1, 1};
  static const double low[3] = {0.1, 0.2, 0.3};
  eval_metrics(3, one, low, 0.5, m, &e);
  CHECK(isnan(m[M_PRECISION]) && isnan(m[M_SPECIFICITY]) && isnan(m[M_ROC_AUC]) &&
            isnan(m[M_BALANCED]) && m[M_SENSITIVITY] == 0,
        "no meaning is NaN");
  double bad[3] = {0.1, NAN, 0.3};
  CHECK(eval_metrics(3, one, bad, 0.5, m, &e) == ST_NUMERIC &&
            eval_metrics(0, one, low, 0.5, m, &e) == ST_INVALID,
        "bad scores are refused");
}

static void test_crossed(void) {
  static const struct {
    double p;
    double df;
    double t;
  } table[] = {{0.975, 1, 12.7062047}, {0.975, 10, 2.2281389},  {0.995, 2, 9.9248432},
               {0.8, 5, 0.9195438},    {0.025, 30, -2.0422725}, {0.975, 1e6, 1.9599663}};
  for (int i = 0; i < COUNT_OF(table); i++)
    CHECK(near(student_quantile(table[i].p, table[i].df), table[i].t, 2e-7 * fabs(table[i].t)),
          "t of %g, %g: %.8g", table[i].p, table[i].df, student_quantile(table[i].p, table[i].df));
  /* twelve items of six subjects; two seeds that differ, and a row shifted by one of them */
  enum { N = 12, G = 6 };
  static const int truth[N] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
  int64_t group[N];
  double score[2 * N], same[2 * N];
  Crossed c[M_COUNT];
  Error e = {0};
  Rng r = {.seed = 5};
  for (int i = 0; i < N; i++) group[i] = i / 2;
  for (int i = 0; i < 2 * N; i++) score[i] = rng_normal(&r) + truth[i % N], same[i] = score[i % N];
  const RowScores a = {2, score, 0.5}, b = {2, same, 0.5}, one = {1, score, 0.5};
  CHECK(eval_crossed(N, truth, &a, &a, group, G, 200, 0.95, 0, c, &e) == ST_OK, "crossed: %s",
        e.msg);
  CHECK(c[M_ROC_AUC].value == 0 && c[M_ROC_AUC].se == 0 && c[M_ROC_AUC].lo == 0,
        "a row is no different from itself");
  CHECK(eval_crossed(N, truth, &b, NULL, group, G, 400, 0.95, 0, c, &e) == ST_OK &&
            c[M_ROC_AUC].sd == 0 && c[M_ROC_AUC].se > 0,
        "equal seeds have no spread: %s", e.msg);
  const double subjects = c[M_ROC_AUC].se;
  CHECK(eval_crossed(N, truth, &one, NULL, group, G, 400, 0.95, 0, c, &e) == ST_OK &&
            near(c[M_ROC_AUC].se, subjects, 1e-12) && isnan(c[M_ROC_AUC].sd),
        "one seed: subjects only");
  double m[2][M_COUNT];
  for (int k = 0; k < 2; k++) eval_metrics(N, truth, score + k * N, 0.5, m[k], &e);
  CHECK(eval_crossed(N, truth, &a, NULL, group, G, 400, 0.95, 0, c, &e) == ST_OK, "%s", e.msg);
  const double half = fabs(m[0][M_ACCURACY] - m[1][M_ACCURACY]) / 2;
  CHECK(near(c[M_ACCURACY].value, (m[0][M_ACCURACY] + m[1][M_ACCURACY]) / 2, 1e-15) &&
            near(c[M_ACCURACY].sd, sqrt(2) * half, 1e-12),
        "mean and spread over the seeds");
  CHECK(c[M_ACCURACY].se >= half - 1e-12 && c[M_ACCURACY].detectable > c[M_ACCURACY].se &&
            c[M_ACCURACY].lo >= 0 && c[M_ACCURACY].hi <= 1,
        "seeds and subjects are both in the interval: %g", c[M_ACCURACY].se);
  /* ten non-rims: one may be called rim; rims above all others but one: 2 of 3 */
  static const int t13[13] = {1, 1, 1};
  static const double s13[13] = {0.9, 0.7, 0.3, 0.8, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1};
  eval_metrics(13, t13, s13, 0.5, m[0], &e);
  CHECK(near(m[0][M_SENS90], 2.0 / 3, 1e-15), "sensitivity at specificity 0.90: %g",
        m[0][M_SENS90]);
}

static void test_statistics(void) {
  /* 2 (C(5,0) + C(5,1)) / 32 = 0.375; symmetric counts give 1. */
  CHECK(near(eval_mcnemar_p(1, 4), 0.375, 1e-12) && eval_mcnemar_p(3, 3) == 1 &&
            eval_mcnemar_p(0, 0) == 1,
        "McNemar small counts");
  CHECK(near(eval_mcnemar_p(10, 24), 0.0243, 5e-5) &&
            near(eval_mcnemar_p(24, 10), eval_mcnemar_p(10, 24), 1e-15),
        "McNemar 10, 24: %g", eval_mcnemar_p(10, 24));
  static const int truth[4] = {1, 1, 0, 0};
  static const double a[4] = {0.9, 0.1, 0.1, 0.9}, b[4] = {0.9, 0.9, 0.1, 0.1};
  int64_t oa, ob;
  CHECK(near(eval_mcnemar(4, truth, a, b, 0.5, &oa, &ob), 0.5, 1e-12) && oa == 0 && ob == 2,
        "McNemar counts");
  double p[4] = {0.01, 0.04, NAN, 0.03};
  Error e = {0};
  CHECK(eval_holm(4, p, &e) == ST_OK && near(p[0], 0.03, 1e-15) && near(p[1], 0.06, 1e-15) &&
            near(p[3], 0.06, 1e-15) && isnan(p[2]),
        "Holm");
}

static void test_bootstrap(void) {
  enum { N = 40, GROUPS = 10, REPS = 500 };
  int truth[N];
  double score[2 * N], lo[M_COUNT], hi[M_COUNT], lo2[M_COUNT], hi2[M_COUNT], m[M_COUNT];
  int64_t group[N];
  Error e = {0};
  for (int i = 0; i < N; i++) {
    truth[i] = i % 2;
    /* odd subjects have rims only, even ones none: whole subjects are drawn */
    group[i] = i % GROUPS;
    score[i] = truth[i] ? 0.8 : 0.2;
    score[N + i] = score[i];
  }
  CHECK(eval_bootstrap(N, truth, 2, score, group, GROUPS, 0.5, REPS, 0.95, 1, lo, hi, &e) == ST_OK,
        "bootstrap: %s", e.msg);
  CHECK(lo[M_ACCURACY] == 1 && hi[M_ACCURACY] == 1 && lo[M_ROC_AUC] == 1,
        "a perfect classifier has the interval 1..1");
  /* one subject is wrong altogether */
  for (int i = 0; i < N; i++)
    if (group[i] == 1) score[i] = score[N + i] = 0.1;
  eval_metrics(N, truth, score, 0.5, m, &e);
  eval_bootstrap(N, truth, 2, score, group, GROUPS, 0.5, REPS, 0.95, 1, lo, hi, &e);
  CHECK(near(m[M_ACCURACY], 0.9, 1e-15) && lo[M_ACCURACY] <= 0.71 && hi[M_ACCURACY] == 1,
        "by subject: %g to %g about %g", lo[M_ACCURACY], hi[M_ACCURACY], m[M_ACCURACY]);
  eval_bootstrap(N, truth, 2, score, group, GROUPS, 0.5, REPS, 0.95, 1, lo2, hi2, &e);
  CHECK(memcmp(lo, lo2, sizeof lo) == 0 && memcmp(hi, hi2, sizeof hi) == 0,
        "the same seed gives the same interval");
  CHECK(eval_bootstrap(N, truth, 1, score, group, 1, 0.5, REPS, 0.95, 1, lo, hi, &e) == ST_INVALID,
        "one subject: no interval");
  CHECK(eval_bootstrap(N, truth, 1, score, group, 5, 0.5, REPS, 0.95, 1, lo, hi, &e) ==
                ST_INVALID &&
            strstr(e.msg, "subject"),
        "subject out of range: %s", e.msg);
}

/* ---- batch norm ---- */

static void test_batch_norm(void) {
  Params p = {0};
  Error e = {0};
  Fit f;
  bool ok = bn_add(&p, "bn", 3, &e) == ST_OK && params_seal(&p, &e) == ST_OK &&
            fit_begin(&f, &p, NULL, &e) == ST_OK;
  CHECK(ok, "batch norm set-up: %s", e.msg);
  if (!ok) return;
  bn_reset(&p, "bn");
  const double w = 1.5, b = -0.25;
  for (int c = 0; c < 3; c++) {
    params_find(&p, "bn.weight")->data[c] = (real)w;
    params_find(&p, "bn.bias")->data[c] = (real)b;
  }
  Val x = g_input(f.graph, "x", SHAPE4(4, 3, 2, 2)), y = g_batch_norm(f.graph, &p, "bn", x, &f.bn);
  Val loss = g_mean_all(f.graph, g_square(f.graph, y)),
      z = g_batch_norm(f.graph, &p, "bn", x, NULL);
  (void)z;
  ok = fit_plan(&f, loss, 1, &y, 0, NULL, 1e-9, 0.9, 0.999, &e) == ST_OK;
  CHECK(ok, "batch norm plan: %s", e.msg);
  if (ok) {
    real *px = plan_data(f.plan, x);
    Rng r = {.seed = 2};
    rng_fill_normal(&r, px, 48);
    double mean = 0, var = 0, worst = 0;
    for (int n = 0; n < 4; n++)
      for (int k = 0; k < 4; k++) mean += (double)px[n * 12 + 4 + k] / 16;
    for (int n = 0; n < 4; n++)
      for (int k = 0; k < 4; k++) var += pow((double)px[n * 12 + 4 + k] - mean, 2) / 16;
    ok = fit_step(&f, &e) == ST_OK;
    const real *py = plan_data(f.plan, y);
    for (int n = 0; n < 4; n++)
      for (int k = 0; k < 4; k++)
        worst = fmax(worst, fabs((double)py[n * 12 + 4 + k] -
                                 (((double)px[n * 12 + 4 + k] - mean) / sqrt(var + 1e-5) * w + b)));
    CHECK(ok && worst < 1e-5, "batch norm of channel 1, worst %g", worst);
    CHECK(near(params_find(&p, "bn.running_mean")->data[1], 0.1 * mean, 1e-6) &&
              near(params_find(&p, "bn.running_var")->data[1], 0.9 + 0.1 * var * 16 / 15, 1e-6),
          "running statistics");
  }
  fit_free(&f);
  params_free(&p);
}

/* ---- classifier ---- */

enum { SIDE = 24, PER = SIDE * SIDE };
/* Discs (0) and rings (1) of random place and size in noise. */
static void draw_toys(real *img, int64_t *label, int64_t n, uint64_t seed) {
  Rng r = {.seed = seed, .subsequence = 77};
  for (int64_t i = 0; i < n; i++) {
    double cx = 9 + 6 * rng_uniform(&r), cy = 9 + 6 * rng_uniform(&r),
           rad = 4 + 3 * rng_uniform(&r);
    label[i] = i % 2;
    for (int k = 0; k < PER; k++) {
      double d = hypot(k % SIDE - cx, k / SIDE - cy),
             v = label[i] ? exp(-pow((d - rad) / 1.2, 2)) : d < rad;
      img[i * PER + k] = (real)(v - 0.5 + 0.2 * rng_normal(&r));
    }
  }
}

static ClassifierConfig toy_config(void) {
  return (ClassifierConfig){
      .channels = 1, .classes = 2, .pools = 2, .width = {6, 8, 12, 12, 16, 16}};
}

static void test_learning(void) {
  enum { N = 64, T = 21 };
  real *img = mem_alloc((N + T) * PER * sizeof *img);
  int64_t label[N + T];
  double prob[2 * T], again[2 * T];
  draw_toys(img, label, N + T, 4);
  Slices d = {img, label, N, 1, SIDE, SIDE}, t = {img + N * PER, label + N, T, 1, SIDE, SIDE};
  ClassifierConfig cfg = toy_config();
  ClassifierTrain o = classifier_train_defaults();
  o.epochs = 12;
  o.batch = 16;
  o.lr = 3e-3;
  o.seed = 7;
  Classifier c[2];
  Error e = {0};
  for (int k = 0; k < 2; k++) {
    threads_set(k ? 3 : 1);
    Status s = classifier_new(&c[k], &cfg, &e);
    if (s == ST_OK) s = classifier_train(&c[k], &o, &d, &e);
    CHECK(s == ST_OK, "training: %s", e.msg);
  }
  CHECK(memcmp(c[0].params.data, c[1].params.data, (size_t)c[0].params.ntotal * sizeof(real)) == 0,
        "the same bits with 1 and 3 threads");
  CHECK(classifier_predict(&c[0], &t, prob, &e) == ST_OK, "prediction: %s", e.msg);
  int right = 0;
  for (int i = 0; i < T; i++) right += (prob[2 * i + 1] > 0.5) == (t.labels[i] == 1);
  CHECK(right >= T - 2, "rings and discs: %d of %d right", right, T);
  Slices tail = {t.images + 17 * PER, NULL, 4, 1, SIDE, SIDE};
  CHECK(classifier_predict(&c[0], &tail, again, &e) == ST_OK &&
            memcmp(again, prob + 34, 8 * sizeof *again) == 0,
        "a slice's value does not depend on the others");
  for (int i = 0; i < T; i++)
    if (!near(prob[2 * i] + prob[2 * i + 1], 1, 1e-12)) {
      CHECK(0, "probabilities of slice %d do not sum to 1", i);
      break;
    }
  Slices other = {img, NULL, 2, 1, 20, 30};
  CHECK(classifier_predict(&c[0], &other, again, &e) == ST_OK, "patches of another size: %s",
        e.msg);
  static const int64_t lesion[4] = {0, 2, 0, 2};
  static const double p4[8] = {0, 0.2, 0, 0.6, 0, 0.4, 0, 1};
  double out[3];
  classifier_by_lesion(4, p4, 2, 1, lesion, 3, out);
  CHECK(near(out[0], 0.3, 1e-15) && isnan(out[1]) && near(out[2], 0.8, 1e-15),
        "probability of a lesion");
  for (int k = 0; k < 2; k++) classifier_free(&c[k]);
  mem_free(img);
}

/* ---- decay, averages, batch norm of real slices, every unit pooling ---- */

/* Largest difference of P(1) between two classifiers, the second on images times `scale`. */
static double prediction_gap(const Classifier *a, const Classifier *b, const Slices *d,
                             double scale) {
  const int64_t n = d->n * d->h * d->w;
  real *img = mem_alloc((size_t)n * sizeof *img);
  double *p = mem_alloc((size_t)(4 * d->n) * sizeof *p), worst = 0;
  Slices s = *d;
  Error e = {0};
  for (int64_t i = 0; i < n; i++) img[i] = (real)(scale * (double)d->images[i]);
  s.images = img;
  CHECK(classifier_predict(a, d, p, &e) == ST_OK &&
            classifier_predict(b, &s, p + 2 * d->n, &e) == ST_OK,
        "predict: %s", e.msg);
  for (int64_t i = 0; i < 2 * d->n; i++) worst = fmax(worst, fabs(p[i] - p[2 * d->n + i]));
  mem_free(img);
  mem_free(p);
  return worst;
}

static void test_settings(void) {
  enum { N = 24 };
  real *img = mem_alloc(N * PER * sizeof *img), *twice = mem_alloc(N * PER * sizeof *twice);
  int64_t label[N];
  draw_toys(img, label, N, 9);
  for (int i = 0; i < N * PER; i++) twice[i] = 2 * img[i];
  const Slices d = {img, label, N, 1, SIDE, SIDE}, d2 = {twice, label, N, 1, SIDE, SIDE};
  ClassifierConfig cfg = toy_config();
  ClassifierTrain o = classifier_train_defaults();
  Classifier plain, other;
  Error e = {0};
  o.epochs = 4;
  o.batch = 8;
  CHECK(classifier_new(&plain, &cfg, &e) == ST_OK && classifier_new(&other, &cfg, &e) == ST_OK &&
            classifier_train(&plain, &o, &d, &e) == ST_OK,
        "classifier: %s", e.msg);
  o.cosine = true;
  CHECK(classifier_train(&other, &o, &d, &e) == ST_OK && prediction_gap(&plain, &other, &d, 1) > 0,
        "a falling rate ends elsewhere: %s", e.msg);
  o.average = 2;
  CHECK(classifier_train(&other, &o, &d, &e) == ST_OK && prediction_gap(&plain, &other, &d, 1) > 0,
        "so does the mean of the weights: %s", e.msg);
  o.average = 5;
  CHECK(classifier_train(&other, &o, &d, &e) == ST_INVALID, "mean of 5 of 4 epochs: %s", e.msg);
  CHECK(prediction_gap(&plain, &plain, &d, 2) > 0.01, "images twice as bright are others");
  memcpy(other.params.data, plain.params.data,
         (size_t)plain.params.nparam * sizeof *plain.params.data);
  CHECK(classifier_refit_norm(&plain, &d, 8, 1, &e) == ST_OK &&
            classifier_refit_norm(&other, &d2, 8, 1, &e) == ST_OK,
        "statistics of batch norm: %s", e.msg);
  CHECK(prediction_gap(&plain, &other, &d, 2) < 1e-3,
        "with statistics of such images they are not: %g", prediction_gap(&plain, &other, &d, 2));
  Slices few = d;
  few.n = 1;
  CHECK(classifier_refit_norm(&plain, &few, 8, 1, &e) == ST_INVALID, "one slice: %s", e.msg);
  classifier_free(&plain);
  classifier_free(&other);
  mem_free(img);
  mem_free(twice);
}

static void test_deep(void) {
  enum { N = 4, WIDE = 64 };
  real *img = mem_alloc(N * WIDE * WIDE * sizeof *img), *map = mem_alloc(N * 8 * 8 * sizeof *map);
  const int64_t label[N] = {0, 1, 0, 1};
  const Slices d = {img, label, N, 1, WIDE, WIDE};
  ClassifierConfig cfg = classifier_defaults(1);
  ClassifierTrain o = classifier_train_defaults();
  Classifier c;
  Error e = {0};
  Rng r = {.seed = 12};
  int mh, mw;
  rng_fill_normal(&r, img, N * WIDE * WIDE);
  for (int k = 0; k < CLS_UNITS; k++) cfg.width[k] = 4;
  o.epochs = 1;
  o.batch = 4;
  CHECK(cfg.pools == CLS_UNITS && classifier_new(&c, &cfg, &e) == ST_OK &&
            classifier_train(&c, &o, &d, &e) == ST_OK,
        "every unit pools: %s", e.msg);
  cam_size(&c, WIDE, WIDE, &mh, &mw);
  CHECK(mh == 8 && mw == 8, "its maps have %d x %d positions", mh, mw);
  CHECK(cam_maps(&c, &d, 1, CAM_GRAD, map, &e) == ST_OK, "maps: %s", e.msg);
  for (int i = 0; i < N * 64; i++) CHECK(map[i] >= 0, "Grad-CAM is not negative");
  CHECK(cam_maps(&c, &d, 1, CAM_ZHOU, map, &e) == ST_OK, "maps: %s", e.msg);
  classifier_free(&c);
  mem_free(img);
  mem_free(map);
}

static bool stop_at_2(void *ctx, int epoch, double loss, double acc) {
  *(int *)ctx = epoch;
  return epoch < 2;
}

static void test_refusals(void) {
  enum { N = 6 };
  real *img = mem_alloc(N * PER * sizeof *img);
  int64_t label[N];
  draw_toys(img, label, N, 5);
  ClassifierConfig cfg = toy_config(), odd = cfg;
  ClassifierTrain o = classifier_train_defaults();
  Classifier c, none;
  Error e = {0};
  odd.pools = CLS_UNITS + 1;
  CHECK(classifier_new(&none, &odd, &e) == ST_INVALID, "too many poolings");
  CHECK(classifier_new(&c, &cfg, &e) == ST_OK, "%s", e.msg);
  Slices d = {img, label, N, 1, SIDE, SIDE}, s;
  o.epochs = 5;
  int last = 0;
  o.tick = stop_at_2;
  o.ctx = &last;
  CHECK(classifier_train(&c, &o, &d, &e) == ST_INTERRUPTED && last == 2, "stopping: %s", e.msg);
  s = d;
  s.channels = 2;
  CHECK(classifier_train(&c, &o, &s, &e) == ST_INVALID && strstr(e.msg, "channels"), "%s", e.msg);
  s = d;
  s.h = 2;
  CHECK(classifier_train(&c, &o, &s, &e) == ST_INVALID && strstr(e.msg, "pixels"), "%s", e.msg);
  s = d;
  s.n = 1;
  CHECK(classifier_train(&c, &o, &s, &e) == ST_INVALID, "one slice: %s", e.msg);
  label[3] = 2;
  CHECK(classifier_train(&c, &o, &d, &e) == ST_INVALID && strstr(e.msg, "class 2"), "%s", e.msg);
  for (int i = 0; i < N; i++) label[i] = 0;
  CHECK(classifier_train(&c, &o, &d, &e) == ST_INVALID && strstr(e.msg, "no slice of class 1"),
        "%s", e.msg);
  img[5] = (real)NAN;
  CHECK(classifier_train(&c, &o, &d, &e) == ST_NUMERIC, "NaN: %s", e.msg);
  classifier_free(&c);
  mem_free(img);
}

/* ---- activation maps ---- */

static double lightness(const uint8_t c[3]) { /* CIELAB L* of sRGB */
  double lin[3];
  for (int k = 0; k < 3; k++) {
    double v = c[k] / 255.0;
    lin[k] = v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
  }
  double y = 0.2126729 * lin[0] + 0.7151522 * lin[1] + 0.0721750 * lin[2];
  return y > 216.0 / 24389 ? 116 * cbrt(y) - 16 : 24389.0 / 27 * y;
}

static void test_cam(void) {
  enum { N = 19 };
  real *img = mem_alloc(N * PER * sizeof *img);
  int64_t label[N];
  draw_toys(img, label, N, 6);
  ClassifierConfig cfg = toy_config();
  Classifier c;
  Error e = {0};
  Rng r = {.seed = 11};
  Slices d = {img, label, N, 1, SIDE, SIDE};
  ClassifierTrain o = classifier_train_defaults();
  o.epochs = 2;
  o.batch = 8;
  bool ok = classifier_new(&c, &cfg, &e) == ST_OK && classifier_train(&c, &o, &d, &e) == ST_OK;
  CHECK(ok, "classifier: %s", e.msg);
  rng_fill_normal(&r, params_find(&c.params, "fc.bias")->data, 2);
  int mh, mw;
  cam_size(&c, SIDE, SIDE, &mh, &mw);
  CHECK(mh == 6 && mw == 6, "map of %d x %d", mh, mw);
  const int cells = mh * mw;
  real *cam = mem_alloc((size_t)(N * cells) * sizeof *cam),
       *grad = mem_alloc((size_t)(N * cells) * sizeof *grad);
  double prob[2 * N], worst = 0, top = 0, sum = 0;
  for (int cls = 0; cls < 2; cls++) {
    CHECK(cam_maps(&c, &d, cls, CAM_ZHOU, cam, &e) == ST_OK &&
              cam_maps(&c, &d, cls, CAM_GRAD, grad, &e) == ST_OK,
          "maps: %s", e.msg);
    worst = top = 0;
    for (int i = 0; i < N * cells; i++) {
      worst = fmax(worst, fabs(fmax((double)cam[i], 0) / cells - (double)grad[i]));
      top = fmax(top, (double)grad[i]);
    }
    CHECK(top > 0 && worst < 1e-5 * top, "class %d: Grad-CAM is ReLU(CAM)/(h w): worst %g of %g",
          cls, worst, top);
    /* The mean of a CAM plus the bias is the logit: with both classes, the log odds. */
    for (int i = 0; i < cells; i++) sum += (cls ? 1 : -1) * (double)cam[i] / cells;
    sum += (cls ? 1 : -1) * (double)params_find(&c.params, "fc.bias")->data[cls];
  }
  classifier_predict(&c, &d, prob, &e);
  CHECK(near(sum, log(prob[1] / prob[0]), 1e-4), "CAM sums to the logit: %g, %g", sum,
        log(prob[1] / prob[0]));
  CHECK(cam_maps(&c, &d, 2, CAM_ZHOU, cam, &e) == ST_INVALID, "class 2: %s", e.msg);
  real big[64], flat[4] = {1, 1, 1, 1}, peak[4] = {0, 4, 0, -4};
  cam_enlarge(flat, 2, 2, 8, 8, big);
  for (int i = 0; i < 64; i++)
    if (big[i] != 1) {
      CHECK(0, "a flat map stays flat");
      break;
    }
  cam_enlarge(peak, 2, 2, 8, 8, big);
  CHECK(big[7] == 4 && big[63] == -4 && big[0] == 0, "corners of an enlarged map");
  uint8_t mask[64] = {0};
  double share, area;
  bool hit;
  for (int y = 0; y < 8; y++) mask[y * 8 + 7] = 1; /* one column of eight */
  for (int i = 0; i < 64; i++) big[i] = i % 8 == 7 ? 3 : i % 8 == 6 ? 1 : -2;
  CHECK(cam_share(big, mask, 8, 8, 0, &share, &area, &hit, &e) == ST_OK &&
            near(share, 0.75, 1e-12) && near(area, 0.125, 1e-12) && hit,
        "share %g of area %g", share, area);
  cam_share(big, mask, 8, 8, 1, &share, &area, &hit, &e);
  CHECK(near(share, 1, 1e-12) && near(area, 0.25, 1e-12), "widened by a pixel: share %g of area %g",
        share, area);
  memset(mask, 0, sizeof mask);
  cam_share(big, mask, 8, 8, 0, &share, &area, &hit, &e);
  CHECK(isnan(share) && !hit, "an empty mask has no share");
  double off = 0;
  for (int i = 0; i <= 100; i++) {
    uint8_t rgb[3];
    cam_colour(i / 100.0, rgb);
    off = fmax(off, fabs(lightness(rgb) - (15 + 75 * i / 100.0)));
  }
  CHECK(off < 1, "lightness of the colours is off by %g", off);
  mem_free(cam);
  mem_free(grad);
  mem_free(img);
  classifier_free(&c);
}

int main(void) {
  size_t live = mem_live_count();
  test_metrics();
  test_statistics();
  test_bootstrap();
  test_batch_norm();
  test_learning();
  test_crossed();
  test_settings();
  test_deep();
  test_refusals();
  test_cam();
  threads_stop();
  CHECK(mem_live_count() == live, "leaks: %zu blocks", mem_live_count() - live);
  return test_end();
}
