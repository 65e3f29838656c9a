/* test_train.c: the training engine on a tiny configuration: resuming and thread counts bit for
 * bit, the ADA bound, the order of the reals, Freeze-D, refusals and failing allocations. Numbers
 * against the reference: golden_train.c. */
#include "core/plan.h"
#include "core/threads.h"
#include "models/gan/train.h"
#include "test/test.h"

enum { RES = 16, ITEMS = 11, CLASSES = 2 };
static real images[ITEMS * RES * RES], labels[ITEMS * CLASSES];
static const TrainData data = {images, labels, ITEMS};

static void make_data(void) {
  Rng r = {7, 99, 0};
  rng_fill_normal(&r, images, ITEMS * RES * RES);
  for (int i = 0; i < ITEMS; i++) {
    labels[i * CLASSES + i % CLASSES] = 1;
    for (int k = 0; k < RES * RES; k++)
      images[i * RES * RES + k] = (real)tanh(0.3 * images[i * RES * RES + k] + 0.1 * i - 0.5);
  }
}

static TrainConfig tiny(void) {
  TrainConfig c;
  Error e;
  if (train_preset(&c, "small", RES, 1, CLASSES, &e) != ST_OK) {
    printf("%s\n", e.msg);
    exit(1);
  }
  c.G.z_dim = c.G.w_dim = 8;
  c.G.channel_base = c.D.channel_base = 128;
  c.G.channel_max = c.D.channel_max = 8;
  c.batch = 8;
  c.batch_gpu = 4;
  c.g_reg_interval = 2;
  c.d_reg_interval = 3;
  c.ada.kimg = 0.1;
  c.ada.p_init = 0.3;
  c.ada.interval = 2;
  c.ema_kimg = 0.02;
  c.mirror = true;
  c.seed = 5;
  return c;
}

static Trainer *start(const TrainConfig *c) {
  Trainer *t = NULL;
  Error e = {0};
  Status st = trainer_new(c, &data, &t, &e);
  CHECK(st == ST_OK, "trainer_new: %s", e.msg);
  return t;
}

static void steps(Trainer *t, int n) {
  for (int i = 0; i < n; i++) {
    TrainMetrics m;
    Error e = {0};
    Status st = trainer_step(t, &m, &e);
    CHECK(st == ST_OK, "trainer_step: %s", e.msg);
    CHECK(isfinite(m.g_loss) && isfinite(m.d_loss_fake) && isfinite(m.r1_penalty) &&
              m.bad_gradients == 0,
          "finite metrics");
  }
}

/* ---- the state as bytes ---- */
typedef struct Blob {
  char *p;
  size_t n;
  size_t cap;
  size_t at;
  bool writing;
  char names[1 << 16];
} Blob;

static size_t tensor_bytes(const TrainTensor *x) {
  return (size_t)shape_numel(x->shape) * (x->type == TT_REAL ? sizeof(real) : 8);
}

static Status walk(void *ctx, const TrainTensor *x, Error *e) {
  Blob *b = ctx;
  size_t n = tensor_bytes(x);
  (void)e;
  if (b->writing) {
    if (b->n + n > b->cap) b->p = realloc(b->p, b->cap = 2 * (b->n + n));
    memcpy(b->p + b->n, x->data, n);
    b->n += n;
  } else {
    memcpy(x->data, b->p + b->at, n);
    b->at += n;
  }
  return ST_OK;
}

static Blob *snapshot(Trainer *t) {
  Blob *b = calloc(1, sizeof *b);
  Error e;
  b->writing = true;
  CHECK(trainer_enumerate(t, walk, b, &e) == ST_OK, "enumerate");
  return b;
}

static void restore(Trainer *t, Blob *b) {
  Error e;
  b->writing = false;
  b->at = 0;
  CHECK(trainer_enumerate(t, walk, b, &e) == ST_OK && b->at == b->n, "restore reads everything");
  trainer_refresh(t);
}

static bool same(const Blob *a, const Blob *b) { return a->n == b->n && !memcmp(a->p, b->p, a->n); }
static void drop(Blob *b) {
  free(b->p);
  free(b);
}

static void test_resume(void) {
  TrainConfig c = tiny();
  Trainer *t = start(&c);
  if (!t) return;
  steps(t, 3);
  Blob *middle = snapshot(t);
  steps(t, 4);
  Blob *end = snapshot(t);
  CHECK(!same(middle, end), "training changes the state");
  CHECK(trainer_state(t)->cur_nimg == 7 * c.batch && trainer_state(t)->batch_idx == 7, "counters");
  trainer_free(t);
  TrainConfig other = c;
  t = start(&other);
  restore(t, middle);
  steps(t, 4);
  Blob *again = snapshot(t);
  CHECK(same(end, again), "a resumed run equals one never stopped, bit for bit");
  trainer_free(t);
  drop(middle);
  drop(end);
  drop(again);
}

/* Breaks off at the n-th question. */
static bool countdown(void *ctx) {
  int *left = ctx;
  return *left > 0 && --*left == 0;
}

/* An iteration that is broken off anywhere leaves the state from before it, and training goes on
 * with the bits of one that never was. */
static void test_broken_off(void) {
  static const int after[] = {1, 2, 40, 200, 900, 1500};
  TrainConfig c = tiny();
  Trainer *plain = start(&c);
  int left = 0, cut = 0;
  c.stop = countdown;
  c.stop_ctx = &left;
  c.keep_seconds = 0;
  Trainer *t = start(&c);
  if (!plain || !t) return;
  for (int i = 0; i < COUNT_OF(after); i++) {
    TrainMetrics m;
    Error e = {0};
    Blob *before = snapshot(t);
    left = after[i];
    const Status s = trainer_step(t, &m, &e);
    CHECK(s == ST_OK || (s == ST_INTERRUPTED && trainer_whole(t)), "broken off: %s", e.msg);
    cut += s == ST_INTERRUPTED;
    left = 0;
    if (s == ST_INTERRUPTED) {
      Blob *now = snapshot(t);
      CHECK(same(before, now), "the state is that of before the iteration (question %d)", after[i]);
      drop(now);
      steps(t, 1);
    }
    drop(before);
    steps(plain, 1);
  }
  CHECK(cut >= 4, "iterations were broken off at %d places", cut);
  Blob *a = snapshot(t), *b = snapshot(plain);
  CHECK(same(a, b), "iterations that were broken off leave no trace");
  drop(a);
  drop(b);
  trainer_free(t);
  trainer_free(plain);
}

/* Where the beginning is not kept the state is worth nothing, and the trainer says so. */
static void test_broken_for_good(void) {
  TrainConfig c = tiny();
  int left = 3;
  Error e = {0};
  TrainMetrics m;
  c.stop = countdown;
  c.stop_ctx = &left;
  c.keep_seconds = 1e9;
  Trainer *t = start(&c);
  if (!t) return;
  CHECK(trainer_whole(t), "whole at first");
  CHECK(trainer_step(t, &m, &e) == ST_INTERRUPTED && !trainer_whole(t), "not kept: %s", e.msg);
  CHECK(trainer_step(t, &m, &e) == ST_INVALID && strstr(e.msg, "snapshot"), "%s", e.msg);
  trainer_free(t);
}

static void test_threads(void) {
  TrainConfig c = tiny();
  Blob *first = NULL;
  for (int n = 1; n <= 3; n++) {
    threads_set(n);
    Trainer *t = start(&c);
    if (!t) break;
    steps(t, 4);
    Blob *b = snapshot(t);
    if (first) CHECK(same(first, b), "%d threads give the bits of one", n);
    trainer_free(t);
    if (first)
      drop(b);
    else
      first = b;
  }
  if (first) drop(first);
  threads_set(0);
}

/* Counting what 16 bits would hold changes nothing, and covers every phase. */
static void test_ranges(void) {
  static const char *const phase[] = {"Gmain\t", "Greg\t", "Dmain\t", "Dreg\t", "fakes\t"};
  TrainConfig c = tiny();
  Error e;
  char *text = NULL;
  size_t bytes = 0;
  Trainer *a = start(&c), *b = start(&c);
  if (!a || !b) return;
  CHECK(trainer_ranges(b, true, &e) == ST_OK, "%s", e.msg);
  steps(a, 1);
  steps(b, 1);
  Blob *x = snapshot(a), *y = snapshot(b);
  CHECK(same(x, y), "an iteration that counts gives the same bits");
  FILE *f = open_memstream(&text, &bytes);
  trainer_ranges_report(b, f);
  fclose(f);
  CHECK(!strncmp(text, "phase\tstep\t", 11), "headings: %.40s", text);
  for (int i = 0; i < COUNT_OF(phase); i++) CHECK(strstr(text, phase[i]), "no map of %s", phase[i]);
  CHECK(strstr(text, "\tsynthesis.b8.conv0.weight\t"), "layers have names");
  free(text);
  drop(x);
  drop(y);
  trainer_free(a);
  trainer_free(b);
}

static void test_metrics(void) {
  TrainConfig c = tiny();
  c.ada.adaptive = false;
  c.ada.p_init = 0;
  c.batch_gpu = 0;
  c.noise_size = false;
  Trainer *t = start(&c);
  if (!t) return;
  TrainMetrics m;
  Error e;
  CHECK(trainer_step(t, &m, &e) == ST_OK, "first step");
  CHECK(m.ran[PH_GMAIN] && m.ran[PH_GREG] && m.ran[PH_DMAIN] && m.ran[PH_DREG],
        "all phases run in the first iteration");
  CHECK(m.ema_beta == 0, "with ramp-up the first EMA is a copy");
  const Params *a = &trainer_G(t)->params, *b = &trainer_G_ema(t)->params;
  CHECK(!memcmp(a->data, b->data, (size_t)a->ntotal * sizeof(real)),
        "G_ema equals G after the first iteration");
  CHECK(m.p == 0 && trainer_state(t)->p == 0, "fixed p stays");
  CHECK(trainer_step(t, &m, &e) == ST_OK && !m.ran[PH_GREG] && !m.ran[PH_DREG],
        "regularisation is lazy");
  TrainMemory mem = trainer_memory(t);
  CHECK(mem.total == mem.weights + mem.optimizer + mem.activations && mem.activations > 0,
        "memory is known");
  CHECK(trainer_flop(t) > 0, "work is known");
  c.max_bytes = mem.total / 2;
  Trainer *u = NULL;
  CHECK(trainer_new(&c, &data, &u, &e) == ST_NOMEM && !u, "refused above the limit");
  trainer_free(t);
}

static void test_freeze(void) {
  TrainConfig c = tiny();
  c.freeze_d = 2; /* fromrgb, conv0 of the first block */
  Trainer *t = start(&c);
  if (!t) return;
  Blob *a = snapshot(t);
  ParamEntry *kept = params_find(&trainer_D(t)->params, "b16.conv0.weight"),
             *moved = params_find(&trainer_D(t)->params, "b16.conv1.weight");
  real k0[2] = {kept->data[0], kept->data[kept->numel - 1]}, m0 = moved->data[0];
  steps(t, 3);
  CHECK(k0[0] == kept->data[0] && k0[1] == kept->data[kept->numel - 1],
        "Freeze-D keeps the first layers");
  CHECK(m0 != moved->data[0], "Freeze-D trains the rest");
  trainer_free(t);
  drop(a);
}

/* Noise strengths stay, in G and in the average; what they multiply is trained. */
static void test_freeze_noise(void) {
  TrainConfig c = tiny();
  c.freeze_noise = true;
  Trainer *t = start(&c);
  if (!t) return;
  Params *g = &trainer_G(t)->params;
  int moved = 0, seen = 0;
  for (int i = 0; i < g->n; i++)
    if (strstr(g->entry[i].name, ".noise_strength")) g->entry[i].data[0] = (real)0.125;
  trainer_copy_to_ema(t);
  trainer_refresh(t);
  const ParamEntry *w = params_find(g, "synthesis.b16.conv1.weight");
  const real before = w->data[0];
  steps(t, 3);
  for (int i = 0; i < g->n; i++)
    if (strstr(g->entry[i].name, ".noise_strength")) {
      moved += g->entry[i].data[0] != (real)0.125;
      moved += trainer_G_ema(t)->params.entry[i].data[0] != (real)0.125;
      seen++;
    }
  CHECK(seen == 5 && !moved, "%d of %d noise strengths moved", moved, seen);
  CHECK(w->data[0] != before, "the rest of G is trained");
  trainer_free(t);
}

/* The average of the noise strengths is that of their size, of all else that of the values; the
 * networks themselves do not know of it. */
static void test_noise_size(void) {
  TrainConfig c = tiny(), d = tiny();
  d.noise_size = false;
  Trainer *size = start(&c), *value = start(&d);
  double want[FLAT_PLACES] = {0};
  int flips = 0, wrong = 0, other = 0;
  for (int it = 0; it < 12 && size && value; it++) {
    TrainMetrics m;
    Error e;
    CHECK(trainer_step(size, &m, &e) == ST_OK && trainer_step(value, &m, &e) == ST_OK, "a step");
    const Params *g = &trainer_G(size)->params;
    for (int i = 0, k = 0; i < g->n; i++) {
      if (!strstr(g->entry[i].name, ".noise_strength")) continue;
      const double now = g->entry[i].data[0];
      want[k] = fabs(now) + m.ema_beta * (want[k] - fabs(now));
      flips += now < 0;
      k++;
    }
  }
  if (!size || !value) return;
  const Params *a = &trainer_G_ema(size)->params, *b = &trainer_G_ema(value)->params;
  CHECK(!memcmp(trainer_G(size)->params.data, trainer_G(value)->params.data,
                (size_t)a->ntotal * sizeof(real)),
        "the same networks");
  for (int i = 0, k = 0; i < a->n; i++) {
    const ParamEntry *x = &a->entry[i], *y = &b->entry[i];
    if (strstr(x->name, ".noise_strength"))
      wrong += fabs((double)x->data[0] - want[k++]) > 1e-7;
    else
      other += memcmp(x->data, y->data, (size_t)x->numel * sizeof(real)) != 0;
  }
  CHECK(flips > 4 && wrong == 0, "%d averages of noise strengths off, %d below zero", wrong, flips);
  CHECK(other == 0, "%d other averages differ", other);
  trainer_free(size);
  trainer_free(value);
}

static void test_ada(void) {
  AdaConfig c = {.adaptive = true, .target = 0.6, .kimg = 1, .interval = 4, .p_max = 0.85};
  bool hit = true;
  double p = ada_update(&c, 0.5, 0.9, 10, &hit);
  CHECK(fabs(p - 0.54) < 1e-6 && !hit, "p rises by batch*interval/(kimg*1000): %g", p);
  CHECK(fabs(ada_update(&c, 0.5, 0.1, 10, &hit) - 0.46) < 1e-6, "p falls");
  CHECK(ada_update(&c, 0.5, 0.6, 10, &hit) == 0.5, "p stays at the target");
  CHECK(ada_update(&c, 0.01, -1, 10, &hit) == 0 && !hit, "p is never negative");
  p = ada_update(&c, 0.84, 1, 10, &hit);
  CHECK(fabs(p - 0.85) < 1e-6 && hit, "bounded: stops at p_max and says so");
  c.unbounded = true;
  p = ada_update(&c, 0.99, 1, 10, &hit);
  CHECK(fabs(p - 1.03) < 1e-6 && hit, "unbounded: grows past 1 as the reference does, and says so");
  c.unbounded = false;
  p = ada_update(&c, 0.9, 1, 10, &hit);
  CHECK(fabs(p - 0.9) < 1e-6 && hit, "a start above the bound does not grow");
}

static void test_sampler(void) {
  for (int n = 1; n <= 40; n += 13) {
    int64_t order[64], pos = 0, count[64] = {0};
    Rng r = {1, 2, 0};
    sampler_init(order, n, &r);
    bool seen[64] = {false};
    for (int i = 0; i < n; i++) seen[order[i]] = true;
    int all = 0;
    for (int i = 0; i < n; i++) all += seen[i];
    CHECK(all == n, "shuffle of %d is a permutation", n);
    for (int i = 0; i < 200 * n; i++) count[sampler_next(order, n, &pos, &r)]++;
    int64_t lo = 1 << 30, hi = 0;
    for (int i = 0; i < n; i++) {
      lo = PRLX_MIN(lo, count[i]);
      hi = PRLX_MAX(hi, count[i]);
    }
    CHECK(lo > 120 && hi < 280, "%d items in 200 epochs: served %lld to %lld times", n,
          (long long)lo, (long long)hi);
  }
}

static void test_refusals(void) {
  TrainConfig good = tiny(), c;
  Error e;
  CHECK(train_config_check(&good, &e) == ST_OK, "tiny configuration is fine");
  c = good;
  c.batch_gpu = 3;
  CHECK(train_config_check(&c, &e) == ST_INVALID, "rounds must divide the batch");
  c = good;
  c.batch_gpu = 2;
  c.D.mbstd_group_size = 4;
  c.batch = 6;
  CHECK(train_config_check(&c, &e) == ST_OK, "a group larger than the round shrinks to it");
  c = good;
  c.batch = c.batch_gpu = 6;
  CHECK(train_config_check(&c, &e) == ST_INVALID, "groups must divide the round");
  c = good;
  c.ada.p_init = 1.5;
  CHECK(train_config_check(&c, &e) == ST_INVALID, "p above 1");
  c = good;
  c.D.img_channels = 2;
  CHECK(train_config_check(&c, &e) == ST_INVALID, "nets must agree");
  CHECK(train_preset(&c, "huge", 64, 1, 0, &e) == ST_INVALID && strstr(e.msg, "paper"),
        "unknown preset lists the known ones");
  Trainer *t = NULL;
  TrainData bare = {images, NULL, ITEMS};
  CHECK(trainer_new(&good, &bare, &t, &e) == ST_INVALID && !t, "labels missing");
  c = good;
  c.G.img_resolution = c.D.img_resolution = 24;
  c.augment = false;
  CHECK(trainer_new(&c, &data, &t, &e) == ST_INVALID && !t, "resolution 24: %s", e.msg);
  CHECK(fabs(train_r1_gamma(&good) - 0.0002 * RES * RES / 8) < 1e-12, "default gamma");
}

/* Every allocation of trainer_new fails once; nothing leaks. Steps grow as the count does, to stay
 * fast. */
static void test_allocation_failures(void) {
  TrainConfig c = tiny();
  c.augment = false;
  c.style_mixing = 0;
  size_t before = mem_live_count();
  int64_t k = 0, tried = 0;
  for (;; k += 1 + k / 12) {
    Trainer *t = NULL;
    Error e = {0};
    mem_fail_after(k);
    Status st = trainer_new(&c, &data, &t, &e);
    mem_fail_after(-1);
    tried++;
    if (st == ST_OK) {
      trainer_free(t);
      break;
    }
    if (st != ST_NOMEM || t || mem_live_count() != before) {
      CHECK(false, "allocation %lld failing: status %d, %zu blocks left", (long long)k, (int)st,
            mem_live_count() - before);
      break;
    }
  }
  CHECK(mem_live_count() == before && tried > 20, "%lld failing allocations leave nothing behind",
        (long long)tried);
}

/* Largest change of a weight of G in one step of batch 8. */
static double step_size(Trainer *t) {
  const Params *g = &trainer_G(t)->params;
  real *was = malloc((size_t)g->nparam * sizeof *was);
  double most = 0;
  memcpy(was, g->data, (size_t)g->nparam * sizeof *was);
  steps(t, 1);
  for (int64_t i = 0; i < g->nparam; i++)
    most = PRLX_MAX(most, fabs((double)g->data[i] - (double)was[i]));
  free(was);
  return most;
}

/* Rates that fall: half a cosine from 8 to 24 images, constant before and after; the first
 * iterations are those of a constant rate, and at 0 nothing moves. */
static void test_lr(void) {
  TrainConfig c = tiny(), d = tiny();
  Error e;
  CHECK(train_lr_factor(&c, 0) == 1 && train_lr_factor(&c, 1000000) == 1, "constant by default");
  c.lr_from = 0.008;
  c.lr_to = 0.024;
  c.lr_end = 0;
  CHECK(train_lr_factor(&c, 8) == 1 && fabs(train_lr_factor(&c, 16) - 0.5) < 1e-12 &&
            fabs(train_lr_factor(&c, 12) - 0.8535533905932737) < 1e-12 &&
            train_lr_factor(&c, 24) < 1e-12 && train_lr_factor(&c, 1000) < 1e-12,
        "half a cosine");
  Trainer *falls = start(&c), *stays = start(&d);
  if (!falls || !stays) return;
  steps(falls, 2); /* at 0 and 8 images */
  steps(stays, 2);
  CHECK(!memcmp(trainer_G(falls)->params.data, trainer_G(stays)->params.data,
                (size_t)trainer_G(falls)->params.ntotal * sizeof(real)),
        "the same bits before");
  const double half = step_size(falls), whole = step_size(stays);
  CHECK(half > 0.3 * whole && half < 0.7 * whole, "steps of %g and %g at half the rate", half,
        whole);
  const double none = step_size(falls);
  CHECK(none < 1e-12, "a step of %g at a rate of zero", none);
  trainer_free(falls);
  trainer_free(stays);
  c.lr_end = 2;
  CHECK(train_config_check(&c, &e) == ST_INVALID && strstr(e.msg, "2"), "%s", e.msg);
  c.lr_end = 0.1;
  c.lr_from = 1;
  CHECK(train_config_check(&c, &e) == ST_INVALID, "to before from");
}

int main(void) {
  make_data();
  test_ada();
  test_sampler();
  test_refusals();
  test_metrics();
  test_ranges();
  test_resume();
  test_broken_off();
  test_broken_for_good();
  test_threads();
  test_freeze();
  test_noise_size();
  test_freeze_noise();
  test_lr();
  test_allocation_failures();
  threads_stop();
  return test_end();
}
