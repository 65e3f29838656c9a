/* backend_run.h: whole training iterations and a projection on a backend against the CPU, for
 * test_backend.c (host memory kept apart) and cuda_run.c (the CUDA sources, emulated or on a card).
 */
#ifndef PRLX_TEST_BACKEND_RUN_H
#define PRLX_TEST_BACKEND_RUN_H
#include "core/threads.h"
#include "models/gan/project_start.h"
#include "models/gan/projector.h"
#include "models/gan/projector_impl.h"
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
  const int64_t more = b->precision == PREC_F16 ? 2 : 0; /* the loss scale */
  for (int64_t i = 0; i < trainer_G(c)->params.ntotal && a.n + more == s.n; i++) {
    diff += (a.x[i] - s.x[i]) * (a.x[i] - s.x[i]);
    size += a.x[i] * a.x[i];
  }
  CHECK(a.n + more == s.n && sqrt(diff / size) < tol, "generator after %d iterations: %g",
        iterations, sqrt(diff / size));
  CHECK(!trainer_new(&dc, &data, &d2, &e), "second trainer: %s", e.msg);
  s.read = true;
  s.at = 0;
  CHECK(d2 && !trainer_enumerate(d2, walk, &s, &e), "restore: %s", e.msg);
  trainer_refresh(d2);
  /* d2 is looked at between its iterations, which sends everything anew; d keeps what it has */
  steps(d, 2, &mc);
  steps(d2, 1, &md);
  State one = state_of(d2);
  steps(d2, 1, &md);
  State x = state_of(d), y = state_of(d2);
  CHECK(x.n == y.n && !memcmp(x.x, y.x, (size_t)x.n * sizeof *x.x),
        "resumed on the backend: the same bits");
  /* back in the same trainer: what was drawn ahead was for another iteration */
  s.at = 0;
  CHECK(!trainer_enumerate(d, walk, &s, &e), "restore: %s", e.msg);
  trainer_refresh(d);
  steps(d, 1, &mc);
  free(x.x);
  x = state_of(d);
  CHECK(x.n == one.n && !memcmp(x.x, one.x, (size_t)x.n * sizeof *x.x),
        "gone back on the backend: the same bits");
  free(one.x);
  free(a.x);
  free(s.x);
  free(x.x);
  free(y.x);
  trainer_free(c);
  trainer_free(d);
  trainer_free(d2);
}

/* ---- projection ----
 *
 * Adam divides every component of a gradient by the size of that component, so one that is small
 * beside the rounding of a precision moves w by up to the whole learning rate in the direction that
 * rounding gave it: two trajectories in a rounded precision part there, on any pair of machines,
 * and where they part is no property of the kernels. Measured (tf32 emulated, AVX-512 host, three
 * steps): w 0.048 apart in a component whose gradient is 0.0003 to 0.006 where the largest is 0.1
 * and tf32 is off by up to 0.004; Adam in double from both series of gradients gives that 0.048 to
 * 6e-8. What is determined is compared instead, step by step and from equal states: the gradients,
 * the variables that follow from them, and at the end image and distance. In strict precision the
 * trajectories themselves must agree, too. */

enum { MAX_N = 2 };
typedef struct ProjectionPair {
  Projector *cpu;
  Projector *dev;
  /* moments and variables of Adam in double, of the device's own gradients */
  double *m;
  double *v;
  double *x;
} ProjectionPair;

static double largest_of(const real *x, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
  return most;
}

static double largest_apart(const real *x, const real *y, int64_t n) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) {
    const double d = fabs((double)x[i] - (double)y[i]);
    most = isnan(d) ? INFINITY : fmax(most, d);
  }
  return most;
}

/* Gradients of a segment (w, one noise map of all lesions), of the largest among all segments. */
static double gradients_apart(const ProjectionPair *q, const Segment *s, int n) {
  const int64_t count = s->n * n;
  return largest_apart(q->cpu->grads + s->at, q->dev->grads + s->at, count) /
         largest_of(q->cpu->grads + s->at, count);
}

/* The device's variables after a step are those that Adam, and the normalising of the maps, make of
 * its gradients. */
static double update_apart(ProjectionPair *q, double lr, int n) {
  const Adam *a = &q->dev->adam;
  const double c1 = 1 - pow(a->beta1, q->dev->step), c2 = 1 - pow(a->beta2, q->dev->step);
  double most = 0;
  real *want = malloc((size_t)q->dev->nvars * sizeof *want);
  if (!want) return INFINITY;
  for (int64_t i = 0; i < q->dev->nvars; i++) {
    const double g = q->dev->grads[i];
    q->m[i] = a->beta1 * q->m[i] + (1 - a->beta1) * g;
    q->v[i] = a->beta2 * q->v[i] + (1 - a->beta2) * g * g;
    want[i] = (real)(q->x[i] - lr * (q->m[i] / c1) / (sqrt(q->v[i] / c2) + a->eps));
  }
  for (int k = 0; k < q->dev->nseg; k++) {
    const Segment *s = &q->dev->seg[k];
    for (int i = 0; i < n && k; i++) noise_normalize(want + s->at + i * s->n, s->n);
    most = fmax(most, largest_apart(want + s->at, q->dev->vars + s->at, s->n * n));
  }
  for (int64_t i = 0; i < q->dev->nvars; i++) q->x[i] = q->dev->vars[i];
  free(want);
  return most;
}

/* The CPU goes on from where the device is. */
static void equal_states(ProjectionPair *q) {
  Error e;
  CHECK(!projector_fetch(q->dev, &e), "fetch: %s", e.msg);
  memcpy(q->cpu->vars, q->dev->vars, (size_t)q->dev->nvars * sizeof(real));
}

static void compare_step(ProjectionPair *q, int n, double tol) {
  Error e;
  ProjectStep c, d;
  equal_states(q);
  CHECK(!projector_step(q->cpu, &c, &e) && !projector_step(q->dev, &d, &e), "step: %s", e.msg);
  CHECK(!projector_fetch(q->dev, &e), "fetch: %s", e.msg);
  double dn = 0;
  for (int k = 1; k < q->dev->nseg; k++) dn = fmax(dn, gradients_apart(q, &q->dev->seg[k], n));
  const double dw = gradients_apart(q, &q->dev->seg[0], n), du = update_apart(q, d.lr, n);
  const double dd = fabs(c.dist[0] / d.dist[0] - 1);
  CHECK(dw < tol && dn < tol && du < 2e-5 && dd < tol && c.lr == d.lr,
        "projection, step %d from equal states: gradients of w %g and of noise %g of the largest, "
        "update %g, distance %g",
        d.step, dw, dn, du, dd);
}

static bool pair_new(ProjectionPair *q) {
  const size_t n = (size_t)q->dev->nvars * sizeof(double);
  q->m = calloc(1, n);
  q->v = calloc(1, n);
  q->x = calloc(1, n);
  for (int64_t i = 0; q->x && i < q->dev->nvars; i++) q->x[i] = q->dev->vars[i];
  return q->m && q->v && q->x;
}

static void pair_free(ProjectionPair *q) {
  free(q->m);
  free(q->v);
  free(q->x);
  projector_free(q->cpu);
  projector_free(q->dev);
}

/* What strict precision determines beyond the single step: where both come to on their own. */
static void compare_trajectories(Projector *const p[2], const Generator *G, int n, double tol) {
  double dn = 0;
  const double dw = largest_apart(projector_w(p[0]), projector_w(p[1]), n * 16);
  for (int k = 0; k < G->num_noise; k++)
    dn = fmax(dn, largest_apart(projector_noise(p[0], k), projector_noise(p[1], k),
                                (int64_t)n * G->noise_res[k] * G->noise_res[k]));
  CHECK(dw < tol && dn < 10 * tol, "projection: w %g, noise %g", dw, dn);
}

static void projection_networks(Generator *G, Vgg *V, Rng *r) {
  Error e = {0};
  GenConfig gc = gen_config_small();
  gc.img_resolution = RES;
  gc.z_dim = gc.w_dim = 16;
  gc.channel_base = 128;
  gc.channel_max = 8;
  CHECK(!generator_new(G, &gc, &e) && !vgg_new(V, &e), "networks: %s", e.msg);
  generator_reset(G, r);
  for (int i = 0; i < G->params.n; i++)
    if (strstr(G->params.entry[i].name, "noise_strength")) G->params.entry[i].data[0] = (real)0.1;
  vgg_formula(V, "VGG.");
  for (int i = 0; i < V->params.n; i++)
    if (!strncmp(V->params.entry[i].name, "lin", 3))
      for (int64_t k = 0; k < V->params.entry[i].numel; k++)
        V->params.entry[i].data[k] = (real)rng_uniform(r);
}

static void compare_images(ProjectionPair *q, int n, double tol) {
  static real img[2][MAX_N * RES * RES];
  double dist[2][MAX_N];
  Error e;
  equal_states(q);
  CHECK(!projector_render(q->cpu, false, img[0], dist[0], &e) &&
            !projector_render(q->dev, false, img[1], dist[1], &e) && !projector_fetch(q->dev, &e),
        "render: %s", e.msg);
  const double di = largest_apart(img[0], img[1], n * RES * RES);
  for (int i = 0; i < n; i++)
    CHECK(di < tol && fabs(dist[0][i] - dist[1][i]) < tol * dist[0][i],
          "projection: image %g, distance %g", di, fabs(dist[0][i] - dist[1][i]));
  double mean = 0, sq = 0;
  const real *x = projector_noise(q->dev, q->dev->nseg - 2);
  for (int i = 0; i < RES * RES; i++) {
    mean += x[i];
    sq += x[i] * x[i];
  }
  CHECK(fabs(mean / (RES * RES)) < 1e-5 && fabs(sq / (RES * RES) - 1) < 1e-4,
        "noise maps are normalised: %g %g", mean, sq);
}

/* A bank of starts made there: the same w, looks within tol, the same neighbours of the target. */
static void compare_starts(Backend *b, const Generator *G, const real *target, double tol) {
  enum { BANK = 40 };
  StartBank here, there;
  Error e = {0};
  real w[2][3 * 512];
  CHECK(!start_bank_new(NULL, G, NULL, BANK, VGG_CHANNELS_AUTO, &here, &e) &&
            !start_bank_new(b, G, NULL, BANK, VGG_CHANNELS_AUTO, &there, &e),
        "banks: %s", e.msg);
  const double apart = largest_apart(here.look, there.look, BANK * here.look_size);
  CHECK(apart < tol && !memcmp(here.w, there.w, (size_t)BANK * (size_t)here.w_dim * sizeof(real)),
        "bank of starts: looks %g", apart);
  CHECK(!start_nearest(NULL, &here, &G->cfg, 1, target, VGG_CHANNELS_AUTO, 3, w[0], &e) &&
            !start_nearest(b, &here, &G->cfg, 1, target, VGG_CHANNELS_AUTO, 3, w[1], &e) &&
            !memcmp(w[0], w[1], 3 * (size_t)here.w_dim * sizeof(real)),
        "nearest starts: %s", e.msg);
  start_bank_free(&here);
  start_bank_free(&there);
}

/* steps 1: one lesion (VGG16 is much for an emulated card). grad_tol: of gradients, of the largest.
 */
static void compare_projection(Backend *b, int steps, double tol, double grad_tol) {
  const int n = steps > 1 ? MAX_N : 1;
  const bool strict = b->precision == PREC_STRICT;
  Error e = {0};
  Generator G;
  Vgg V;
  WStats W;
  Rng r = {.seed = 5};
  static real target[MAX_N * RES * RES];
  projection_networks(&G, &V, &r);
  CHECK(!project_w_stats(&G, NULL, 200, 123, &W, &e), "w: %s", e.msg);
  ProjectOptions o = project_defaults();
  o.num_steps = steps;
  rng_fill_normal(&r, target, n * RES * RES);
  compare_starts(b, &G, target, tol);
  ProjectionPair q = {0};
  Projector *own = NULL; /* the CPU on its own way */
  bool made = !projector_new(&G, &V, &W, &o, n, &q.cpu, &e);
  if (strict) made = made && !projector_new(&G, &V, &W, &o, n, &own, &e);
  o.backend = b;
  made = made && !projector_new(&G, &V, &W, &o, n, &q.dev, &e);
  CHECK(made, "projectors: %s", e.msg);
  if (!made) return;
  if (steps > 1) /* the second start must forget the first */
    CHECK(!projector_start(q.dev, target, NULL, &e) && !projector_step(q.dev, NULL, &e),
          "start: %s", e.msg);
  CHECK(!projector_start(q.cpu, target, NULL, &e) && !projector_start(q.dev, target, NULL, &e) &&
            (!strict || !projector_start(own, target, NULL, &e)) && pair_new(&q),
        "start: %s", e.msg);
  for (int i = 0; i < steps; i++) {
    compare_step(&q, n, grad_tol);
    if (strict) CHECK(!projector_step(own, NULL, &e), "step: %s", e.msg);
  }
  if (strict) compare_trajectories((Projector *const[]){own, q.dev}, &G, n, tol);
  compare_images(&q, n, tol);
  projector_free(own);
  pair_free(&q);
  mem_free(W.w_avg);
  generator_free(&G);
  vgg_free(&V);
}
#endif
