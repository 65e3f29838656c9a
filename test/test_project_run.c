/* test_project_run.c: the fast solver and what belongs to it: L-BFGS, regions of focus, banks of
 * starts, spaces, traces; the same bits in any batch and for any number of threads; stops; bad
 * input. A tiny network with formula weights of VGG: no number here is a result. */
#include <unistd.h>
#include "core/rng.h"
#include "core/threads.h"
#include "models/gan/project_focus.h"
#include "models/gan/project_run.h"
#include "models/math/lbfgs.h"
#include "models/store/bankfile.h"
#include "test/test.h"

enum { RES = 32, PIX = RES * RES, WD = 24, LESIONS = 5 };
static Generator G;
static Vgg V;
static WStats W;
static real targets[LESIONS * PIX];
static float regions[LESIONS * PIX];

/* ---- L-BFGS ---- */

static double rosenbrock(const double *x, int n, double *g) {
  double f = 0;
  for (int i = 0; i < n; i++) g[i] = 0;
  for (int i = 0; i + 1 < n; i++) {
    const double a = x[i + 1] - x[i] * x[i], b = 1 - x[i];
    f += 100 * a * a + b * b;
    g[i] += -400 * a * x[i] - 2 * b;
    g[i + 1] += 200 * a;
  }
  return f;
}

static void test_lbfgs(void) {
  enum { N = 10 };
  Error e = {0};
  Lbfgs *m = NULL;
  double x[N], g[N];
  for (int i = 0; i < N; i++) x[i] = i % 2 ? 1.5 : -1.2;
  CHECK(lbfgs_new(N, 8, &m, &e) == ST_OK, "%s", e.msg);
  lbfgs_start(m, x, 0.1);
  int calls = 0;
  bool going = true;
  for (; going && calls < 400; calls++) {
    const double f = rosenbrock(lbfgs_point(m), N, g);
    going = lbfgs_tell(m, calls == 3 ? NAN : f, g); /* one value lost: the step is shortened */
  }
  CHECK(lbfgs_value(m) < 1e-10 && fabs(lbfgs_best(m)[N - 1] - 1) < 1e-4,
        "Rosenbrock in %d variables: %g after %d values", N, lbfgs_value(m), calls);
  double zero[N] = {0};
  lbfgs_start(m, x, 0.1);
  CHECK(!lbfgs_tell(m, 3, zero) && lbfgs_value(m) == 3, "gradient 0: done at once");
  lbfgs_start(m, x, 0.1);
  CHECK(!lbfgs_tell(m, NAN, g) && lbfgs_value(m) > 1e300, "not a number at the start: done");
  lbfgs_free(m);
  CHECK(lbfgs_new(0, 8, &m, &e) == ST_INVALID && lbfgs_new(3, 0, &m, &e) == ST_INVALID, "%s",
        e.msg);
}

/* ---- regions ---- */

static void test_focus(void) {
  static float disc[PIX], mask[PIX], grown[PIX];
  Error e = {0};
  focus_disc(RES, 8, 3, disc);
  CHECK(disc[16 * RES + 16] == 1 && disc[0] == 0, "disc: 1 in the middle, 0 in the corner");
  CHECK(disc[16 * RES + 6] > 0 && disc[16 * RES + 6] < 1, "soft at the edge: %g",
        (double)disc[16 * RES + 6]);
  CHECK(focus_mask(RES, mask, 3, "lesion", grown, &e) == ST_INVALID && strstr(e.msg, "empty"), "%s",
        e.msg);
  mask[10 * RES + 12] = 1;
  CHECK(focus_mask(RES, mask, 2, "lesion", grown, &e) == ST_OK, "%s", e.msg);
  double n = 0;
  for (int i = 0; i < PIX; i++) n += (double)grown[i];
  CHECK(n == 13, "a pixel grown by 2: %g pixels", n);
  CHECK(focus_mask(RES, mask, 60, "lesion", grown, &e) == ST_INVALID && strstr(e.msg, "fills"),
        "%s", e.msg);
  real in[64], out[64];
  double sum[2] = {0}, overlap = 0;
  CHECK(focus_mask(RES, mask, 2, "lesion", grown, &e) == ST_OK, "%s", e.msg);
  focus_tap(RES, grown, 8, in, out);
  for (int i = 0; i < 64; i++) {
    sum[0] += (double)in[i] / 64;
    sum[1] += (double)out[i] / 64;
    overlap += in[i] > 0 && (i / 8 < 1 || i / 8 > 3);
  }
  CHECK(fabs(sum[0] - 1) < 1e-6 && fabs(sum[1] - 1) < 1e-6 && overlap == 0,
        "weights of a tap have mean 1 and lie where the region does");
}

/* A lesion redrawn in place: a region of one pixel that falls to 0 over 4. */
static void test_place(void) {
  static float region[PIX], weight[PIX], target[2 * PIX], drawn[2 * PIX], out[2 * PIX];
  region[10 * RES + 12] = 1;
  focus_soften(RES, region, 4, weight);
  CHECK(weight[10 * RES + 12] == 1 && weight[10 * RES + 16] == 0, "1 inside, 0 at the edge");
  CHECK(fabs((double)weight[10 * RES + 14] - 0.5) < 1e-6, "half way: %g",
        (double)weight[10 * RES + 14]);
  for (int i = 0; i < 2 * PIX; i++) {
    target[i] = 0.1F * (float)(i % 7);
    drawn[i] = -1.5F;
  }
  focus_place(2, RES, weight, target, drawn, out);
  int same = 0;
  for (int i = 0; i < 2 * PIX; i++) same += out[i] == target[i];
  CHECK(same == 2 * (PIX - 45), "as measured beyond the edge: %d pixels", same);
  CHECK(out[PIX + 10 * RES + 12] == -1.5F, "as drawn inside, in every channel");
  focus_soften(RES, region, 0, weight);
  focus_place(1, RES, weight, target, drawn, out);
  same = 0;
  for (int i = 0; i < PIX; i++) same += out[i] == target[i];
  CHECK(same == PIX - 1, "without an edge one pixel changes");
  focus_disc(RES, 6, 3, region);
  focus_soften(RES, region, 0, weight);
  CHECK(!memcmp(region, weight, sizeof weight), "what is soft already stays as it is");
}

/* ---- runs ---- */

static void make_network(void) {
  Error e = {0};
  Rng r = {.seed = 5};
  GenConfig c = gen_config_small();
  c.img_resolution = RES;
  c.channel_base = 256;
  c.channel_max = 16;
  c.z_dim = c.w_dim = WD;
  CHECK(generator_new(&G, &c, &e) == ST_OK, "%s", e.msg);
  generator_reset(&G, &r);
  for (int k = 0; k < G.num_noise; k++) {
    char name[96];
    snprintf(name, sizeof name, "%.*snoise_strength",
             (int)(strlen(G.noise_name[k]) - strlen("noise_const")), G.noise_name[k]);
    params_find(&G.params, name)->data[0] = (real)0.1;
  }
  CHECK(vgg_new(&V, &e) == ST_OK, "%s", e.msg);
  vgg_formula(&V, "VGG.");
  for (int k = 0; k < VGG_TAPS; k++) {
    char name[8];
    snprintf(name, sizeof name, "lin%d", k);
    ParamEntry *t = params_find(&V.params, name);
    for (int64_t i = 0; i < t->numel; i++) t->data[i] = (real)rng_uniform(&r);
  }
  CHECK(project_w_stats(&G, NULL, 300, 123, &W, &e) == ST_OK, "%s", e.msg);
  for (int64_t i = 0; i < (int64_t)LESIONS * PIX; i++) {
    const double x = (double)(i % RES) - 14, y = (double)(i / RES % RES) - 12;
    const int64_t k = i / PIX;
    targets[i] =
        (real)(0.5 * exp(-0.02 * (double)(k + 1) * (x * x + y * y)) - 0.3 + 0.1 * rng_uniform(&r));
    regions[i] = x * x + y * y < 60;
  }
}

static ProjectTask task_of(int64_t first, int64_t n, int batch) {
  ProjectTask t = {.G = &G,
                   .vgg = &V,
                   .ws = &W,
                   .options = project_defaults_fast(),
                   .batch = batch,
                   .n = n,
                   .targets = targets + first * PIX};
  t.options.num_steps = 9;
  t.options.pixel_steps = 6;
  t.options.seed = 3;
  return t;
}

static ProjectResults *run_task(const ProjectTask *t) {
  Error e = {0};
  ProjectResults *r = NULL;
  CHECK(project_run(t, &r, &e) == ST_OK, "%s", e.msg);
  return r;
}

/* Everything of lesion i of a equals lesion j of b. */
static bool same_rows(const ProjectResults *a, int64_t i, const ProjectResults *b, int64_t j) {
  return a->lpips[i] == b->lpips[j] && a->steps[i] == b->steps[j] &&
         !memcmp(a->images + i * a->per, b->images + j * b->per, (size_t)a->per * sizeof(real)) &&
         !memcmp(a->w + i * a->w_size, b->w + j * b->w_size, (size_t)a->w_size * sizeof(real)) &&
         !memcmp(a->noise + i * a->noise_size, b->noise + j * b->noise_size,
                 (size_t)a->noise_size * sizeof(real));
}

/* All lesions together, in batches of 3 (places are refilled, the batch shrinks), and alone. */
static void test_any_batch(ProjectSolver solver, ProjectSpace space, bool focus) {
  ProjectTask t = task_of(0, LESIONS, 3);
  t.options.solver = solver;
  t.options.space = space;
  if (focus) {
    t.options.regions = true;
    t.options.focus = 0.5;
    t.regions = regions;
  }
  ProjectResults *all = run_task(&t);
  threads_set(4);
  for (int64_t k = 0; k < LESIONS; k += LESIONS - 1) {
    ProjectTask one = task_of(k, 1, 1);
    one.options = t.options;
    one.options.trace = true; /* which must not matter */
    one.regions = focus ? regions + k * PIX : NULL;
    ProjectResults *alone = run_task(&one);
    CHECK(same_rows(all, k, alone, 0),
          "solver %d, space %d: lesion %lld alone and among %d: LPIPS %.9g and %.9g", (int)solver,
          (int)space, (long long)k, LESIONS, alone->lpips[0], all->lpips[k]);
    CHECK(focus == (alone->inside[0] > 0), "inside: %g", alone->inside[0]);
    project_results_free(alone);
  }
  threads_set(1);
  project_results_free(all);
}

/* The reference through project_run is the projector's loop. */
static void test_reference(void) {
  ProjectTask t = task_of(0, 2, 2);
  Error e = {0};
  Projector *p = NULL;
  const uint64_t id[2] = {0, 0};
  static real img[2 * PIX];
  double d[2];
  t.options = project_defaults();
  t.options.num_steps = 4;
  ProjectResults *r = run_task(&t);
  CHECK(projector_new(&G, &V, &W, &t.options, 2, &p, &e) == ST_OK &&
            projector_start(p, targets, id, &e) == ST_OK,
        "%s", e.msg);
  while (projector_steps_done(p) < 4 && projector_step(p, NULL, &e) == ST_OK) {}
  CHECK(projector_render(p, false, img, d, &e) == ST_OK, "%s", e.msg);
  CHECK(!memcmp(img, r->images, sizeof img) && d[1] == r->lpips[1], "reference: the same bits");
  projector_free(p);
  project_results_free(r);
}

/* Images of the network itself are found again; more freedom comes closer to anything else. */
static void test_own_images(void) {
  Error e = {0};
  static real w[3 * WD];
  ProjectTask t = task_of(0, 1, 1);
  Projector *p = NULL;
  CHECK(project_w_samples(&G, NULL, 3, 77, w, &e) == ST_OK, "%s", e.msg);
  static real own[PIX];
  CHECK(projector_new(&G, &V, &W, &t.options, 1, &p, &e) == ST_OK &&
            projector_start(p, targets, NULL, &e) == ST_OK &&
            projector_start_at(p, w + WD, &e) == ST_OK &&
            projector_render(p, false, own, NULL, &e) == ST_OK,
        "%s", e.msg);
  projector_free(p);
  t.targets = own;
  t.options.num_steps = 150;
  t.options.pixel_steps = 100;
  ProjectResults *r = run_task(&t);
  CHECK(r->lpips[0] < 0.02 && r->steps[0] < 150, "own image: LPIPS %g after %d steps", r->lpips[0],
        r->steps[0]);
  project_results_free(r);
  double d[2];
  for (int plus = 0; plus < 2; plus++) {
    t = task_of(0, 1, 1);
    t.options.num_steps = 60;
    t.options.space = plus ? SPACE_WPLUS_ONLY : SPACE_W_ONLY;
    r = run_task(&t);
    d[plus] = r->lpips[0];
    CHECK(r->w_size == (plus ? G.num_ws : 1) * WD, "size of w: %lld", (long long)r->w_size);
    project_results_free(r);
  }
  CHECK(d[1] < d[0], "W+ comes closer than W: %g, %g", d[1], d[0]);
}

/* Maps that were optimised and kept are those of the image. */
static void test_render(void) {
  ProjectTask t = task_of(0, 1, 1);
  t.options.space = SPACE_W;
  ProjectResults *own = run_task(&t);
  t.optimised = true;
  ProjectResults *kept = run_task(&t);
  CHECK(own->noise_size > 0 && !memcmp(own->noise, kept->noise, (size_t)own->noise_size * 4),
        "the maps are the same however it is rendered");
  CHECK(memcmp(own->images, kept->images, sizeof(real) * PIX) != 0, "the images are not");
  double mean = 0, sq = 0;
  const real *map = kept->noise + kept->noise_size - PIX;
  for (int i = 0; i < PIX; i++) mean += (double)map[i] / PIX;
  for (int i = 0; i < PIX; i++) sq += ((double)map[i] - mean) * ((double)map[i] - mean) / PIX;
  CHECK(fabs(mean) < 1e-6 && fabs(sq - 1) < 1e-5, "mean %g, variance %g", mean, sq);
  project_results_free(own);
  project_results_free(kept);
}

static Status keep_tuned(void *context, int64_t k, const Generator *tuned, Error *e) {
  const size_t bytes = (size_t)G.params.ntotal * sizeof(real);
  *(bool *)context = k == 0 && memcmp(tuned->params.data, G.params.data, bytes) != 0;
  return ST_OK;
}

/* Pivotal tuning comes closer than w does and leaves the network as it was. */
static void test_tuning(void) {
  ProjectTask t = task_of(0, 1, 1);
  const size_t bytes = (size_t)G.params.ntotal * sizeof(real);
  real *before = mem_alloc(bytes);
  bool tuned = false;
  Error e = {0};
  memcpy(before, G.params.data, bytes);
  ProjectResults *plain = run_task(&t);
  t.tune = tune_defaults();
  t.tune.steps = 20;
  t.tune.lr = 5e-3;
  t.keep = keep_tuned;
  t.context = &tuned;
  t.options.regions = true;
  t.regions = regions;
  ProjectResults *r = run_task(&t);
  CHECK(r->lpips[0] < 0.8 * plain->lpips[0] && r->inside[0] > 0 && tuned,
        "tuned: LPIPS %g, before %g", r->lpips[0], plain->lpips[0]);
  CHECK(!memcmp(before, G.params.data, bytes), "the network is as it was");
  CHECK(!memcmp(r->w, plain->w, (size_t)r->w_size * sizeof(real)), "w, too");
  project_results_free(plain);
  project_results_free(r);
  t.tune.lr = -1;
  CHECK(project_run(&t, &r, &e) == ST_INVALID, "%s", e.msg);
  project_results_free(r);
  mem_free(before);
}

/* ---- news, stops, errors ---- */

typedef struct Watch {
  int steps;
  int finished;
  int frames;
  int stop_after;
  double last;
  bool odd; /* a trace that does not add up */
} Watch;

static bool watch_news(void *context, const ProjectNews *news) {
  Watch *w = context;
  if (news->lesion < 0) return true;
  w->frames += news->image != NULL;
  if (news->finished) {
    w->finished++;
    return true;
  }
  w->steps++;
  w->last = news->dist;
  if (news->trace) {
    double sum = 0;
    for (int k = 0; k < VGG_TAPS; k++) sum += news->trace->tap[k];
    w->odd |= fabs(sum - news->dist) > 1e-5 * news->dist || !(news->trace->grad_w > 0) ||
              !(news->trace->inside > 0) || !(news->trace->outside > 0);
  }
  return !w->stop_after || w->steps < w->stop_after;
}

static void test_news(void) {
  for (int solver = 0; solver < 2; solver++) {
    Watch w = {0};
    ProjectTask t = task_of(0, 3, 2);
    t.options.solver = (ProjectSolver)solver;
    t.options.trace = t.options.regions = true;
    t.regions = regions;
    t.frames = 4;
    t.tell = watch_news;
    t.context = &w;
    ProjectResults *r = run_task(&t);
    int steps = 0;
    for (int k = 0; k < 3; k++) steps += r->steps[k];
    CHECK(w.finished == 3 && w.steps == steps && !w.odd, "%d steps of %d, %d lesions", w.steps,
          steps, w.finished);
    CHECK(w.frames >= 3 * 3 + 3, "%d pictures", w.frames);
    project_results_free(r);
    w = (Watch){.stop_after = 3};
    Error e = {0};
    CHECK(project_run(&t, &r, &e) == ST_INTERRUPTED && r->there[0] && r->there[1] && !r->there[2] &&
              r->lpips[1] > 0,
          "stopped: %s", e.msg);
    project_results_free(r);
  }
}

static void test_bad_input(void) {
  ProjectTask t = task_of(0, 2, 2);
  ProjectResults *r = NULL;
  Error e = {0};
  const real keep = targets[PIX + 7];
  targets[PIX + 7] = (real)NAN;
  CHECK(project_run(&t, &r, &e) == ST_NUMERIC && strstr(e.msg, "NaN"), "%s", e.msg);
  project_results_free(r);
  t.options.pixel_steps = 0;
  CHECK(project_run(&t, &r, &e) == ST_NUMERIC && strstr(e.msg, "number 2"), "%s", e.msg);
  project_results_free(r);
  targets[PIX + 7] = keep;
  t.options.focus = 0.5;
  CHECK(project_run(&t, &r, &e) == ST_INVALID && !r, "focus without regions: %s", e.msg);
  t = task_of(0, 0, 1);
  CHECK(project_run(&t, &r, &e) == ST_INVALID && !r, "%s", e.msg);
  t = task_of(0, 1, 1);
  t.options.space = (ProjectSpace)9;
  CHECK(project_run(&t, &r, &e) == ST_INVALID && !r, "%s", e.msg);
  t.options.space = SPACE_W_ONLY;
  t.options.num_steps = 2;
  bool clean = true;
  int refused = 0;
  for (int64_t n = 0; n < 1000000; n += 5 + 5 * n) {
    const size_t live = mem_live_count();
    mem_fail_after(n);
    const Status s = project_run(&t, &r, &e);
    mem_fail_after(-1);
    project_results_free(r);
    clean = clean && mem_live_count() == live && (s == ST_OK || s == ST_NOMEM);
    refused += s == ST_NOMEM;
    if (s == ST_OK) break;
  }
  CHECK(refused > 2 && clean, "out of memory: %d times, nothing left behind", refused);
}

/* ---- starts ---- */

static void test_bank(void) {
  Error e = {0};
  StartBank b, again;
  char path[] = "/tmp/prlx_bank_XXXXXX";
  const int fd = mkstemp(path);
  CHECK(fd >= 0, "temporary file");
  close(fd);
  unlink(path);
  CHECK(start_bank_open(path, NULL, &G, NULL, 40, VGG_CHANNELS_AUTO, &b, &e) == ST_OK, "%s", e.msg);
  CHECK(start_bank_open(path, NULL, &G, NULL, 40, VGG_CHANNELS_AUTO, &again, &e) == ST_OK &&
            !memcmp(b.w, again.w, (size_t)b.n * WD * sizeof(real)) &&
            !memcmp(b.look, again.look, (size_t)(b.n * b.look_size) * sizeof(real)),
        "read back: %s", e.msg);
  start_bank_free(&again);
  CHECK(start_bank_open(path, NULL, &G, NULL, 41, VGG_CHANNELS_AUTO, &again, &e) == ST_FORMAT, "%s",
        e.msg);
  ParamEntry *p = params_find(&G.params, "synthesis.b4.const");
  p->data[0] += 1;
  CHECK(start_bank_open(path, NULL, &G, NULL, 40, VGG_CHANNELS_AUTO, &again, &e) == ST_FORMAT &&
            strstr(e.msg, "another network"),
        "%s", e.msg);
  p->data[0] -= 1;
  unlink(path);
  /* the image of a w of the bank is nearest to that w */
  Projector *q = NULL;
  ProjectTask t = task_of(0, 1, 1);
  static real img[PIX], w[3 * WD];
  CHECK(projector_new(&G, &V, &W, &t.options, 1, &q, &e) == ST_OK &&
            projector_start(q, targets, NULL, &e) == ST_OK &&
            projector_start_at(q, b.w + 17 * WD, &e) == ST_OK &&
            projector_render(q, false, img, NULL, &e) == ST_OK,
        "%s", e.msg);
  projector_free(q);
  CHECK(start_nearest(NULL, &b, &G.cfg, 1, img, VGG_CHANNELS_AUTO, 3, w, &e) == ST_OK &&
            !memcmp(w, b.w + 17 * WD, WD * sizeof(real)) && memcmp(w, w + WD, WD * sizeof(real)),
        "nearest: %s", e.msg);
  CHECK(start_nearest(NULL, &b, &G.cfg, 1, img, VGG_CHANNELS_AUTO, 41, w, &e) == ST_INVALID, "%s",
        e.msg);
  t.starts = w;
  t.nstarts = 3;
  t.options.num_steps = 3;
  t.options.pixel_steps = 0;
  t.targets = img;
  ProjectResults *r = run_task(&t);
  CHECK(r->lpips[0] < 1e-3, "of three starts the right one is chosen: %g", r->lpips[0]);
  project_results_free(r);
  start_bank_free(&b);
}

/* Of many starts the pixels leave two: the same for a lesion in a batch and alone, the right one
 * among them, and never farther than from one start. */
static void test_many_starts(void) {
  Error e = {0};
  enum { MANY = 7 };
  static real w[3 * MANY * WD], img[PIX];
  ProjectTask t = task_of(0, 3, 3);
  Projector *q = NULL;
  CHECK(start_random(&G, NULL, 3, 5, MANY, w, &e) == ST_OK, "%s", e.msg);
  CHECK(projector_new(&G, &V, &W, &t.options, 1, &q, &e) == ST_OK &&
            projector_start(q, targets, NULL, &e) == ST_OK &&
            projector_start_at(q, w + 4 * WD, &e) == ST_OK &&
            projector_render(q, false, img, NULL, &e) == ST_OK,
        "%s", e.msg);
  projector_free(q);
  memcpy(targets + PIX, img, sizeof img);
  t.starts = w;
  t.nstarts = MANY;
  t.options.pixel_steps = 8;
  ProjectResults *all = run_task(&t);
  CHECK(all->lpips[1] < 1e-3, "the start that is the answer wins: %g", all->lpips[1]);
  for (int i = 0; i < 3; i++) {
    t = task_of(i, 1, 1);
    t.starts = w + i * MANY * WD;
    t.nstarts = MANY;
    t.options.pixel_steps = 8;
    ProjectResults *one = run_task(&t);
    CHECK(same_rows(all, i, one, 0), "lesion %d alone", i);
    project_results_free(one);
  }
  project_results_free(all);
}

int main(void) {
  threads_set(1);
  test_lbfgs();
  test_focus();
  test_place();
  make_network();
  test_any_batch(PROJECT_FAST, SPACE_W_ONLY, false);
  test_any_batch(PROJECT_FAST, SPACE_W, true);
  test_any_batch(PROJECT_FAST, SPACE_WPLUS_ONLY, false);
  test_any_batch(PROJECT_FAST, SPACE_NOISE, false);
  test_any_batch(PROJECT_REFERENCE, SPACE_WPLUS, true);
  test_any_batch(PROJECT_REFERENCE, SPACE_W_ONLY, false);
  test_reference();
  test_own_images();
  test_render();
  test_tuning();
  test_news();
  test_bad_input();
  test_bank();
  test_many_starts();
  mem_free(W.w_avg);
  vgg_free(&V);
  generator_free(&G);
  CHECK(mem_live_count() == 0, "%zu blocks not freed", mem_live_count());
  threads_stop();
  return test_end();
}
