/* backend_run.h: whole training iterations and a projection on a backend against the CPU, for
 * test_backend.c (host memory kept apart) and cuda_run.c (the CUDA sources, emulated or on a card).
 */
#ifndef PRLX_TEST_BACKEND_RUN_H
#define PRLX_TEST_BACKEND_RUN_H
#include "core/threads.h"
#include "models/gan/projector.h"
#include "models/gan/train.h"
#include "test/test.h"

/* ---- training ---- */

enum { RES = 16, ITEMS = 7 };
static real train_images[ITEMS * RES * RES], train_labels[ITEMS * 2];

static TrainConfig tiny(Backend *b) {
  TrainConfig c;
  Error e;
  CHECK(train_preset(&c, "small", RES, 1, 2, &e) == ST_OK, "preset: %s", e.msg);
  c.G.z_dim = c.G.w_dim = 8;
  c.G.channel_base = c.D.channel_base = 128;
  c.G.channel_max = c.D.channel_max = 8;
  c.batch = 8;
  c.batch_gpu = 4;
  c.g_reg_interval = 2;
  c.d_reg_interval = 3;
  /* Adam without a first moment divides by sqrt(v): a large rate would blow up rounding */
  c.g_lr = c.d_lr = 1e-4;
  c.ada.p_init = 0.3;
  c.ada.interval = 2;
  c.ada.kimg = 0.1;
  c.ema_kimg = 0.02;
  c.seed = 5;
  c.backend = b;
  return c;
}

/* The state of a trainer as doubles. */
typedef struct State {
  double *x;
  int64_t n;
  int64_t at;
  bool read;
} State;
static Status walk(void *ctx, const TrainTensor *t, Error *e) {
  State *s = ctx;
  int64_t n = shape_numel(t->shape);
  if (!s->read && s->at + n > s->n) {
    s->x = realloc(s->x, (size_t)(s->n = 2 * (s->at + n)) * sizeof *s->x);
  }
  for (int64_t i = 0; i < n; i++) {
    double *x = s->x + s->at + i;
    if (t->type == TT_REAL) {
      real *d = (real *)t->data + i;
      if (s->read)
        *d = (real)*x;
      else
        *x = *d;
    }
    if (t->type == TT_F64) {
      double *d = (double *)t->data + i;
      if (s->read)
        *d = *x;
      else
        *x = *d;
    }
    if (t->type == TT_I64) {
      int64_t *d = (int64_t *)t->data + i;
      if (s->read)
        memcpy(d, x, 8);
      else
        memcpy(x, d, 8);
    }
  }
  s->at += n;
  return ST_OK;
}

static State state_of(Trainer *t) {
  State s = {0};
  Error e;
  CHECK(trainer_enumerate(t, walk, &s, &e) == ST_OK, "enumerate: %s", e.msg);
  s.n = s.at;
  return s;
}

static void steps(Trainer *t, int n, TrainMetrics *m) {
  for (int i = 0; i < n; i++) {
    Error e = {0};
    CHECK(trainer_step(t, m, &e) == ST_OK && m->bad_gradients == 0, "step: %s", e.msg);
  }
}

/* Whole iterations on both sides: all phases, rounds, augmentation, ADA, EMA; then a snapshot taken
 * over into a second trainer on the backend. */
static void compare_training(Backend *b, int iterations, double tol) {
  Error e = {0};
  Rng r = {7, 99, 0};
  rng_fill_normal(&r, train_images, ITEMS * RES * RES);
  for (int i = 0; i < ITEMS; i++) train_labels[i * 2 + i % 2] = 1;
  TrainData data = {train_images, train_labels, ITEMS};
  TrainConfig cc = tiny(NULL), dc = tiny(b);
  Trainer *c = NULL, *d = NULL, *d2 = NULL;
  CHECK(!trainer_new(&cc, &data, &c, &e) && !trainer_new(&dc, &data, &d, &e), "trainers: %s",
        e.msg);
  if (!c || !d) return;
  TrainMetrics mc, md;
  for (int i = 0; i < iterations; i++) {
    steps(c, 1, &mc);
    steps(d, 1, &md);
    CHECK(fabs(mc.g_loss - md.g_loss) < 10 * tol &&
              fabs(mc.d_loss_fake - md.d_loss_fake) < 10 * tol &&
              fabs(mc.d_loss_real - md.d_loss_real) < 10 * tol &&
              fabs(mc.r1_penalty - md.r1_penalty) < 10 * tol * (1 + mc.r1_penalty) &&
              fabs(mc.pl_mean - md.pl_mean) < 10 * tol * mc.pl_mean && mc.p == md.p,
          "iteration %d: metrics: %g %g %g %g %g, on the CPU %g %g %g %g %g", i, md.g_loss,
          md.d_loss_fake, md.d_loss_real, md.r1_penalty, md.pl_mean, mc.g_loss, mc.d_loss_fake,
          mc.d_loss_real, mc.r1_penalty, mc.pl_mean);
  }
  State a = state_of(c), s = state_of(d);
  double diff = 0, size = 0;
  for (int64_t i = 0; i < trainer_G(c)->params.ntotal && a.n == s.n; i++) {
    diff += (a.x[i] - s.x[i]) * (a.x[i] - s.x[i]);
    size += a.x[i] * a.x[i];
  }
  CHECK(a.n == s.n && sqrt(diff / size) < tol, "generator after %d iterations: %g", iterations,
        sqrt(diff / size));
  CHECK(!trainer_new(&dc, &data, &d2, &e), "second trainer: %s", e.msg);
  s.read = true;
  s.at = 0;
  CHECK(d2 && !trainer_enumerate(d2, walk, &s, &e), "restore: %s", e.msg);
  trainer_refresh(d2);
  steps(d, 1, &mc);
  steps(d2, 1, &md);
  State x = state_of(d), y = state_of(d2);
  CHECK(x.n == y.n && !memcmp(x.x, y.x, (size_t)x.n * sizeof *x.x),
        "resumed on the backend: the same bits");
  free(a.x);
  free(s.x);
  free(x.x);
  free(y.x);
  trainer_free(c);
  trainer_free(d);
  trainer_free(d2);
}

/* ---- projection ---- */

/* steps 1: one start only (VGG16 is much for an emulated card). */
static void compare_projection(Backend *b, int STEPS, double tol) {
  enum { MAX_N = 2 };
  const int N = STEPS > 1 ? MAX_N : 1;
  Error e = {0};
  GenConfig gc = gen_config_small();
  gc.img_resolution = RES;
  gc.z_dim = gc.w_dim = 16;
  gc.channel_base = 128;
  gc.channel_max = 8;
  Generator G;
  Vgg V;
  WStats W;
  Rng r = {.seed = 5};
  CHECK(!generator_new(&G, &gc, &e) && !vgg_new(&V, &e), "networks: %s", e.msg);
  generator_reset(&G, &r);
  for (int i = 0; i < G.params.n; i++)
    if (strstr(G.params.entry[i].name, "noise_strength")) G.params.entry[i].data[0] = (real)0.1;
  vgg_formula(&V, "VGG.");
  for (int i = 0; i < V.params.n; i++)
    if (!strncmp(V.params.entry[i].name, "lin", 3))
      for (int64_t k = 0; k < V.params.entry[i].numel; k++)
        V.params.entry[i].data[k] = (real)rng_uniform(&r);
  CHECK(!project_w_stats(&G, NULL, 200, 123, &W, &e), "w: %s", e.msg);
  ProjectOptions o = project_defaults();
  o.num_steps = STEPS;
  Projector *p[2] = {0};
  static real target[MAX_N * RES * RES], img[2][MAX_N * RES * RES];
  double dist[2][MAX_N];
  rng_fill_normal(&r, target, N * RES * RES);
  for (int k = 0; k < 2; k++) {
    o.backend = k ? b : NULL;
    CHECK(!projector_new(&G, &V, &W, &o, N, &p[k], &e), "projector: %s", e.msg);
    /* the second start must forget the first */
    for (int again = STEPS > 1 ? 0 : 1; again < 2; again++) {
      CHECK(!projector_start(p[k], target, NULL, &e), "start: %s", e.msg);
      for (int i = 0; i < (again ? STEPS : 1); i++)
        CHECK(!projector_step(p[k], NULL, &e), "step: %s", e.msg);
    }
    CHECK(!projector_render(p[k], false, img[k], dist[k], &e), "render: %s", e.msg);
    CHECK(!projector_fetch(p[k], &e), "fetch: %s", e.msg);
  }
  double dw = 0, dn = 0, di = 0;
  for (int i = 0; i < N * 16; i++)
    dw = fmax(dw, fabs((double)projector_w(p[0])[i] - projector_w(p[1])[i]));
  for (int k = 0; k < G.num_noise; k++)
    for (int i = 0; i < N * G.noise_res[k] * G.noise_res[k]; i++)
      dn = fmax(dn, fabs((double)projector_noise(p[0], k)[i] - projector_noise(p[1], k)[i]));
  for (int i = 0; i < N * RES * RES; i++) di = fmax(di, fabs((double)img[0][i] - img[1][i]));
  CHECK(dw < tol && dn < 10 * tol && di < tol &&
            fabs(dist[0][N - 1] - dist[1][N - 1]) < tol * dist[0][N - 1],
        "projection: w %g, noise %g, image %g, distance %g", dw, dn, di,
        fabs(dist[0][N - 1] - dist[1][N - 1]));
  real mean = 0, sq = 0;
  for (int i = 0; i < RES * RES; i++) {
    real x = projector_noise(p[1], G.num_noise - 1)[i];
    mean += x;
    sq += x * x;
  }
  CHECK(fabs(mean / (RES * RES)) < 1e-5 && fabs(sq / (RES * RES) - 1) < 1e-4,
        "noise maps are normalised: %g %g", mean, sq);
  projector_free(p[0]);
  projector_free(p[1]);
  mem_free(W.w_avg);
  generator_free(&G);
  vgg_free(&V);
}
#endif
