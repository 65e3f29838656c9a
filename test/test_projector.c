/* test_projector.c: properties of the projection that the golden files do not show: independence of
 * the batch and of the thread count, errors, memory. The numbers themselves are checked by
 * golden_projector.c. */
#include "core/rng.h"
#include "core/threads.h"
#include "models/gan/projector.h"
#include "test/test.h"

static Generator G;
static Vgg V;
static WStats W;
enum { MAX_PIX = 64 * 64, MAX_STEPS = 6 };
static int RES, PIX, STEPS;

static void setup(GenConfig c, int steps) {
  Error e = {0};
  RES = c.img_resolution;
  PIX = RES * RES;
  STEPS = steps;
  Rng r = {.seed = 5};
  CHECK(generator_new(&G, &c, &e) == ST_OK, "generator: %s", e.msg);
  generator_reset(&G, &r);
  /* a trained network has noise strengths; without them the maps would get no gradient */
  for (int k = 0; k < G.num_noise; k++) {
    char name[96];
    snprintf(name, sizeof name, "%.*snoise_strength",
             (int)(strlen(G.noise_name[k]) - strlen("noise_const")), G.noise_name[k]);
    params_find(&G.params, name)->data[0] = (real)0.1;
  }
  CHECK(vgg_new(&V, &e) == ST_OK, "vgg: %s", e.msg);
  vgg_formula(&V, "VGG.");
  for (int k = 0; k < VGG_TAPS; k++) {
    char name[8];
    snprintf(name, sizeof name, "lin%d", k);
    ParamEntry *t = params_find(&V.params, name);
    for (int64_t i = 0; i < t->numel; i++) t->data[i] = (real)rng_uniform(&r);
  }
  CHECK(project_w_stats(&G, NULL, 700, 123, &W, &e) == ST_OK, "w statistics: %s", e.msg);
  CHECK(W.w_std > 0 && isfinite(W.w_std), "w_std %g", W.w_std);
}

static ProjectOptions options(void) {
  ProjectOptions o = project_defaults();
  o.num_steps = STEPS;
  o.seed = 17;
  return o;
}

static void make_target(real *t, uint64_t id) {
  Rng r = {.seed = 99, .subsequence = id};
  for (int y = 0; y < RES; y++)
    for (int x = 0; x < RES; x++)
      t[y * RES + x] =
          (real)(0.6 * exp(-0.02 * ((x - 16.0) * (x - 16.0) + (y - 12.0) * (y - 12.0))) - 0.3 +
                 0.2 * rng_uniform(&r));
}

/* Everything a projection produces: per step and lesion dist, reg, w; then the noise maps and both
 * images. */
typedef struct Trace {
  double dist[MAX_STEPS][8];
  double reg[MAX_STEPS][8];
  real *w;
  real *noise;
  real *img[2];
  double lpips[8];
} Trace;
static int64_t noise_numel(void) {
  int64_t n = 0;
  for (int k = 0; k < G.num_noise; k++) n += (int64_t)G.noise_res[k] * G.noise_res[k];
  return n;
}

static void trace_free(Trace *t) {
  mem_free(t->w);
  mem_free(t->noise);
  mem_free(t->img[0]);
  mem_free(t->img[1]);
}

static bool project(int batch, const uint64_t *id, Trace *t) {
  ProjectOptions o = options();
  Error e = {0};
  Projector *p = NULL;
  real *targets = mem_alloc((size_t)(batch * PIX) * sizeof(real));
  memset(t, 0, sizeof *t);
  for (int i = 0; i < batch; i++) make_target(targets + i * PIX, id[i]);
  bool ok = projector_new(&G, &V, &W, &o, batch, &p, &e) == ST_OK &&
            projector_start(p, targets, id, &e) == ST_OK;
  t->w = mem_alloc((size_t)(STEPS * batch * G.cfg.w_dim) * sizeof(real));
  t->noise = mem_alloc((size_t)(batch * noise_numel()) * sizeof(real));
  for (int k = 0; k < 2; k++) t->img[k] = mem_alloc((size_t)(batch * PIX) * sizeof(real));
  for (int k = 0; k < STEPS && ok; k++) {
    ProjectStep s;
    ok = projector_step(p, &s, &e) == ST_OK;
    for (int i = 0; i < batch && ok; i++) {
      t->dist[k][i] = s.dist[i];
      t->reg[k][i] = s.reg[i];
    }
    memcpy(t->w + k * batch * G.cfg.w_dim, projector_w(p),
           (size_t)(batch * G.cfg.w_dim) * sizeof(real));
  }
  real *n = t->noise;
  for (int i = 0; i < batch && ok; i++)
    for (int k = 0; k < G.num_noise; k++) {
      int64_t m = (int64_t)G.noise_res[k] * G.noise_res[k];
      memcpy(n, projector_noise(p, k) + i * m, (size_t)m * sizeof(real));
      n += m;
    }
  for (int k = 0; k < 2 && ok; k++)
    ok = projector_render(p, k == 1, t->img[k], t->lpips, &e) == ST_OK;
  CHECK(ok, "projection of %d: %s", batch, e.msg);
  projector_free(p);
  mem_free(targets);
  return ok;
}

/* Lesion i of trace a (batch na) against lesion j of trace b (batch nb): bit equality of
 * everything. */
static bool same(const Trace *a, int na, int i, const Trace *b, int nb, int j) {
  const size_t wd = (size_t)G.cfg.w_dim, nn = (size_t)noise_numel();
  bool ok = true;
  for (int k = 0; k < STEPS; k++) {
    ok = ok && a->dist[k][i] == b->dist[k][j] && a->reg[k][i] == b->reg[k][j];
    ok = ok && !memcmp(a->w + (size_t)(k * na + i) * wd, b->w + (size_t)(k * nb + j) * wd,
                       wd * sizeof(real));
  }
  ok = ok && !memcmp(a->noise + (size_t)i * nn, b->noise + (size_t)j * nn, nn * sizeof(real));
  for (int k = 0; k < 2; k++)
    ok = ok && !memcmp(a->img[k] + i * PIX, b->img[k] + j * PIX, (size_t)PIX * sizeof(real));
  return ok && a->lpips[i] == b->lpips[j];
}

static void test_batch_independence(void) {
  static const uint64_t id[3] = {7, 3, 1000000007};
  Trace all, one;
  if (!project(3, id, &all)) return;
  for (int i = 0; i < 3; i++) {
    if (!project(1, id + i, &one)) return;
    for (int k = 0; k < STEPS && getenv("TEST_VERBOSE"); k++)
      printf("  step %d: %.17g %.17g\n", k, all.dist[k][i], one.dist[k][0]);
    CHECK(same(&all, 3, i, &one, 1, 0),
          "lesion %d alone equals the same lesion in a batch of 3, bit for bit", i);
    trace_free(&one);
  }
  CHECK(memcmp(all.noise, all.noise + noise_numel(), 4096) != 0, "lesions draw their own noise");
  trace_free(&all);
}

static void test_threads(void) {
  static const uint64_t id[2] = {4, 5};
  Trace a, b;
  int before = threads_count();
  threads_set(1);
  if (!project(2, id, &a)) return;
  threads_set(3);
  if (!project(2, id, &b)) return;
  for (int i = 0; i < 2; i++)
    CHECK(same(&a, 2, i, &b, 2, i), "1 and 3 threads give the same bits (lesion %d)", i);
  threads_set(before);
  trace_free(&a);
  trace_free(&b);
}

/* Starting again with the same lesions gives the same run; rendering in between changes nothing. */
static void test_restart(void) {
  ProjectOptions o = options();
  Error e = {0};
  Projector *p = NULL;
  real t[MAX_PIX], img[MAX_PIX];
  double d[2][MAX_STEPS] = {{0}};
  make_target(t, 0);
  CHECK(projector_new(&G, &V, &W, &o, 1, &p, &e) == ST_OK, "%s", e.msg);
  ProjectStep s;
  CHECK(projector_step(p, &s, &e) == ST_INVALID, "a step without a target is refused");
  for (int run = 0; run < 2; run++) {
    CHECK(projector_start(p, t, NULL, &e) == ST_OK, "%s", e.msg);
    for (int k = 0; k < STEPS; k++) {
      CHECK(projector_step(p, &s, &e) == ST_OK, "%s", e.msg);
      d[run][k] = s.dist[0];
      if (k == 0)
        CHECK(s.lr == 0 && !memcmp(projector_w(p), W.w_avg, (size_t)G.cfg.w_dim * sizeof(real)),
              "w does not move at step 0, where the rate is 0");
      if (run) CHECK(projector_render(p, k & 1, img, NULL, &e) == ST_OK, "%s", e.msg);
    }
  }
  CHECK(!memcmp(d[0], d[1], sizeof d[0]),
        "a second run, with renderings in between, equals the first");
  CHECK(projector_step(p, &s, &e) == ST_INVALID, "a step after the last one is refused");
  double mean = 0, sq = 0;
  int last = G.num_noise - 1, n = G.noise_res[last] * G.noise_res[last];
  for (int k = 0; k < n; k++) mean += (double)projector_noise(p, last)[k];
  for (int k = 0; k < n; k++)
    sq += (double)projector_noise(p, last)[k] * (double)projector_noise(p, last)[k];
  CHECK(fabs(mean / n) < 1e-6 && fabs(sq / n - 1) < 1e-5,
        "noise maps have mean 0, variance 1 (%g, %g)", mean / n, sq / n);
  t[5] = (real)NAN;
  CHECK(projector_start(p, t, NULL, &e) == ST_OK && projector_step(p, &s, &e) == ST_NUMERIC &&
            strstr(e.msg, "step 0"),
        "NaN in the target: %s", e.msg);
  projector_free(p);
}

/* The loss falls, and the LPIPS of the rendering that projector_render reports is the one
 * lpips_distance computes. */
static void test_convergence(void) {
  ProjectOptions o = options();
  o.num_steps = 40;
  Error e = {0};
  Projector *p = NULL;
  real t[MAX_PIX], img[MAX_PIX];
  double first = 0, last = 0, d = 0, d2 = 0;
  make_target(t, 3);
  CHECK(projector_new(&G, &V, &W, &o, 1, &p, &e) == ST_OK &&
            projector_start(p, t, NULL, &e) == ST_OK,
        "%s", e.msg);
  for (int k = 0; k < o.num_steps; k++) {
    ProjectStep s;
    if (projector_step(p, &s, &e) != ST_OK) {
      CHECK(false, "%s", e.msg);
      break;
    }
    if (k == 0) first = s.dist[0];
    last = s.dist[0];
  }
  CHECK(last < 0.9 * first, "distance falls from %g to %g", first, last);
  CHECK(projector_render(p, false, img, &d, &e) == ST_OK, "%s", e.msg);
  CHECK(lpips_distance(&V, SHAPE4(1, 1, RES, RES), img, t, VGG_CHANNELS_AUTO, &d2, &e) == ST_OK,
        "%s", e.msg);
  CHECK(fabs(d - d2) <= 1e-5 * d, "distance of the rendering: %g and %g", d, d2);
  PlanStats s = projector_stats(p);
  CHECK(s.flop > 0 && projector_bytes(p) > s.arena_bytes, "plan statistics");
  projector_free(p);
}

static void test_lpips(void) {
  Error e = {0};
  static real a[3 * MAX_PIX], b[3 * MAX_PIX];
  double d[3], same1, same3;
  for (int k = 0; k < 3; k++) {
    make_target(a + k * PIX, (uint64_t)k);
    make_target(b + k * PIX, (uint64_t)k + 10);
  }
  CHECK(lpips_distance(&V, SHAPE4(3, 1, RES, RES), a, b, VGG_CHANNELS_AUTO, d, &e) == ST_OK &&
            d[0] > 0 && d[1] > 0,
        "%s", e.msg);
  CHECK(lpips_distance(&V, SHAPE4(1, 1, RES, RES), a + PIX, b + PIX, VGG_CHANNELS_AUTO, &same1,
                       &e) == ST_OK &&
            same1 == d[1],
        "a pair alone equals the pair in a batch");
  CHECK(lpips_distance(&V, SHAPE4(1, 1, RES, RES), a, a, VGG_CHANNELS_AUTO, &same1, &e) == ST_OK &&
            same1 == 0,
        "distance of an image to itself");
  CHECK(lpips_distance(&V, SHAPE4(1, 3, RES, RES), a, b, VGG_CHANNELS_FIRST, &same3, &e) == ST_OK &&
            same3 == d[0],
        "FIRST takes channel 0 only");
  CHECK(lpips_distance(&V, SHAPE4(1, 3, RES, RES), a, b, VGG_CHANNELS_MEAN, &same3, &e) == ST_OK &&
            same3 != d[0],
        "MEAN");
  CHECK(lpips_distance(&V, SHAPE4(1, 3, RES, RES), a, b, VGG_CHANNELS_AUTO, &same3, &e) == ST_OK &&
            same3 != d[0],
        "AUTO takes three channels as they are");
  CHECK(lpips_distance(&V, SHAPE4(1, 2, RES, RES), a, b, VGG_CHANNELS_AUTO, &same3, &e) == ST_OK,
        "AUTO of two channels: %s", e.msg);
  CHECK(lpips_distance(&V, SHAPE4(1, 1, 8, 8), a, b, VGG_CHANNELS_AUTO, &same3, &e) == ST_INVALID &&
            strstr(e.msg, "16"),
        "too small: %s", e.msg);
  /* a constant image: many features are exactly zero, gradients must stay finite */
  static real zero[MAX_PIX];
  CHECK(lpips_distance(&V, SHAPE4(1, 1, RES, RES), zero, a, VGG_CHANNELS_AUTO, &same1, &e) ==
                ST_OK &&
            isfinite(same1),
        "constant image");
}

/* Images beyond 256 pixels are box-averaged to 256 before VGG sees them. */
static void test_large_image(void) {
  Error e = {0};
  Graph *g = graph_new();
  Plan *p = NULL;
  const int R = 512;
  Val x = g_input(g, "x", SHAPE4(1, 1, R, R)), y = g_vgg_input(g, x, VGG_CHANNELS_AUTO);
  CHECK(graph_status(g, &e) == ST_OK && plan_new(g, 1, &y, NULL, &p, &e) == ST_OK, "%s", e.msg);
  real *in = plan_data(p, x);
  for (int k = 0; k < R * R; k++) in[k] = (real)((k * 7919LL % 1009) / 1009.0 - 0.5);
  CHECK(plan_run(p, &e) == ST_OK && graph_dim(g, y, 2) == 256 && graph_dim(g, y, 3) == 256, "%s",
        e.msg);
  double worst = 0;
  for (int i = 0; i < 256; i++)
    for (int j = 0; j < 256; j++) {
      const real *q = in + 2 * i * R + 2 * j;
      double want =
          ((double)q[0] + (double)q[1] + (double)q[R] + (double)q[R + 1]) / 4 * 127.5 + 127.5;
      worst = PRLX_MAX(worst, fabs(want - (double)plan_data(p, y)[i * 256 + j]));
    }
  CHECK(worst < 1e-4, "2x2 average of a 512 x 512 image: %g", worst);
  plan_free(p);
  graph_free(g);
}

static void test_errors(void) {
  ProjectOptions o = options(), bad = o;
  Error e = {0};
  Projector *p = NULL;
  bad.num_steps = 0;
  CHECK(projector_new(&G, &V, &W, &bad, 1, &p, &e) == ST_INVALID && !p, "%s", e.msg);
  bad = o;
  bad.initial_lr = NAN;
  CHECK(projector_new(&G, &V, &W, &bad, 1, &p, &e) == ST_INVALID && !p, "%s", e.msg);
  bad = o;
  bad.lr_rampdown = 2;
  CHECK(projector_new(&G, &V, &W, &bad, 1, &p, &e) == ST_INVALID && !p, "%s", e.msg);
  bad = o;
  bad.max_bytes = 100000;
  CHECK(projector_new(&G, &V, &W, &bad, 1, &p, &e) == ST_NOMEM && !p, "%s", e.msg);
  CHECK(projector_new(&G, &V, &W, &o, 0, &p, &e) == ST_INVALID && !p, "%s", e.msg);
  GenConfig c = G.cfg;
  c.c_dim = 3;
  Generator C;
  WStats w;
  CHECK(generator_new(&C, &c, &e) == ST_OK, "%s", e.msg);
  CHECK(project_w_stats(&C, NULL, 10, 123, &w, &e) == ST_INVALID && strstr(e.msg, "class"),
        "conditional without class: %s", e.msg);
  Rng r = {.seed = 1};
  real cond[3] = {0, 1, 0};
  generator_reset(&C, &r);
  CHECK(project_w_stats(&C, cond, 10, 123, &w, &e) == ST_OK, "conditional with class: %s", e.msg);
  mem_free(w.w_avg);
  generator_free(&C);
}

/* Every allocation of building may fail once: an error comes back, nothing leaks. */
static void test_out_of_memory(void) {
  ProjectOptions o = options();
  int tried = 0, refused = 0;
  bool clean = true;
  for (int64_t n = 0; n < 1000000; n += 1 + n / 4) {
    Error e = {0};
    Projector *p = NULL;
    size_t live = mem_live_count();
    mem_fail_after(n);
    Status s = projector_new(&G, &V, &W, &o, 1, &p, &e);
    mem_fail_after(-1);
    tried++;
    if (s != ST_OK) {
      refused++;
      clean = clean && s == ST_NOMEM && !p && e.msg[0];
    }
    projector_free(p);
    clean = clean && mem_live_count() == live;
    if (s == ST_OK) break;
  }
  CHECK(refused > 5 && refused == tried - 1, "allocation failures are reported (%d of %d)", refused,
        tried);
  CHECK(clean, "and leave nothing behind");
}

static void test_schedule(void) {
  ProjectOptions o = project_defaults();
  CHECK(project_lr(&o, 0) == 0, "rate at step 0");
  CHECK(fabs(project_lr(&o, 500) - 0.1) < 1e-15, "plateau");
  CHECK(project_lr(&o, 999) < 1e-5 && project_lr(&o, 999) > 0, "ramp down");
  CHECK(fabs(project_w_noise(&o, 0) - 0.05) < 1e-15 && project_w_noise(&o, 750) == 0, "w noise");
  o.lr_rampdown = o.lr_rampup = o.noise_ramp = 0;
  CHECK(project_lr(&o, 0) == 0.1 && project_w_noise(&o, 0) == 0, "ramps of length 0");
  real m[4] = {2, 2, 2, 2};
  noise_normalize(m, 4);
  CHECK(m[0] == 0 && m[3] == 0, "a constant map stays finite");
}

static void teardown(void) {
  mem_free(W.w_avg);
  vgg_free(&V);
  generator_free(&G);
}

int main(void) {
  GenConfig c = gen_config_small();
  c.img_resolution = 32;
  c.channel_base = 512;
  c.channel_max = 32;
  c.z_dim = c.w_dim = 48;
  setup(c, 6);
  test_schedule();
  test_lpips();
  test_large_image();
  test_errors();
  test_restart();
  test_batch_independence();
  test_threads();
  test_convergence();
  test_out_of_memory();
  teardown();
  /* large enough for every kind of convolution kernel */
  setup(gen_config_small(), 2);
  test_batch_independence();
  teardown();
  if (getenv("TEST_LONG")) {
    setup(gen_config_paper(), 3);
    test_batch_independence();
    test_threads();
    teardown();
  }
  CHECK(mem_live_count() == 0, "%zu blocks not freed", mem_live_count());
  threads_stop();
  return test_end();
}
