/* test_backend.c: plans, the trainer and the projector on a backend (test/host_backend.h: its
 * memory is apart from the host's) give what they give on the CPU. The kernels of a GPU are
 * compared elsewhere (test/README.md: cuda_*). */
#include "core/ops.h"
#include "core/params.h"
#include "core/plan.h"
#include "core/threads.h"
#include "test/backend_run.h"
#include "test/fit_run.h"
#include "test/host_backend.h"
#include "test/test.h"

/* Frozen and live weights, a scaled convolution whose store takes a loop, a reduction, a reshape,
 * the same gradient twice, second order. */
typedef struct Net {
  Graph *g;
  Params p;
  Val x;
  Val s;
  Val w;
  Val y;
  Val loss;
  Val dx;
  Val dw;
  Val db;
} Net;

static void net_new(Net *n) {
  Error e = {0};
  *n = (Net){.g = graph_new()};
  params_add(&n->p, "w", SHAPE4(8, 8, 3, 3), false, &e);
  params_add(&n->p, "b", SHAPE1(8), false, &e);
  params_add(&n->p, "u", SHAPE4(6, 8, 1, 1), false, &e);
  CHECK(params_seal(&n->p, &e) == ST_OK, "parameters: %s", e.msg);
  for (int i = 0; i < n->p.n; i++)
    formula_fill(n->p.entry[i].data, n->p.entry[i].numel, n->p.entry[i].name, 0.3, 0);
  Graph *g = n->g;
  n->x = g_input(g, "x", SHAPE4(3, 8, 9, 7));
  n->s = g_input(g, "s", SHAPE4(3, 8, 1, 1));
  n->w = params_leaf(g, &n->p, "w", false);
  Val b = params_leaf(g, &n->p, "b", false), u = params_leaf(g, &n->p, "u", true);
  Val y = g_conv2d(g, g_mul(g, n->x, n->s), n->w, 1, 1);
  y = g_lrelu(g, g_add(g, y, g_reshape(g, b, SHAPE4(1, 8, 1, 1))), 0.2, 1.4, 2.5);
  n->y = g_add(g, g_conv2d(g, y, g_axpb(g, g_square(g, u), 2, 0.1), 1, 0), g_scalar(g, 0.5));
  n->loss = g_sum_all(g, g_softplus(g, g_mean(g, n->y, 12)));
  n->dx = g_grad1(g, n->loss, n->x);
  Val total = g_add(g, n->loss, g_sum_all(g, g_square(g, n->dx)));
  n->dw = g_grad1(g, total, n->w);
  n->db = g_grad1(g, total, b);
  CHECK(graph_status(g, &e) == ST_OK, "graph: %s", e.msg);
}

static void net_free(Net *n) {
  graph_free(n->g);
  params_free(&n->p);
}

typedef struct Got {
  real y[3 * 6 * 63];
  real loss;
  real dx[3 * 8 * 63];
  real dw[8 * 8 * 9];
  real db[8];
} Got;

static Plan *net_plan(const Net *n, const PlanOptions *o) {
  Error e = {0};
  Plan *p = NULL;
  CHECK(plan_new(n->g, 5, (Val[]){n->y, n->loss, n->dx, n->dw, n->db}, o, &p, &e) == ST_OK,
        "plan: %s", e.msg);
  return p;
}

static void net_run(const Net *n, Plan *p, uint64_t seed, Got *out) {
  Error e = {0};
  Rng r = {.seed = seed};
  rng_fill_normal(&r, plan_data(p, n->x), 3 * 8 * 63);
  CHECK(plan_fill_normal(p, n->s, &r, &e) == ST_OK && r.offset == 3 * 8 * 63 + 24, "normals: %s",
        e.msg);
  CHECK(plan_run(p, &e) == ST_OK, "run: %s", e.msg);
  memcpy(out->y, plan_data(p, n->y), sizeof out->y);
  memcpy(&out->loss, plan_data(p, n->loss), sizeof out->loss);
  memcpy(out->dx, plan_data(p, n->dx), sizeof out->dx);
  memcpy(out->dw, plan_data(p, n->dw), sizeof out->dw);
  memcpy(out->db, plan_data(p, n->db), sizeof out->db);
}

static double worst(const Got *a, const Got *b) {
  const real *x = (const real *)a, *y = (const real *)b;
  double d = 0, s = 0;
  for (size_t i = 0; i < sizeof *a / sizeof *x; i++) {
    d = fmax(d, fabs((double)x[i] - y[i]));
    s = fmax(s, fabs((double)x[i]));
  }
  return d / s;
}

static void test_plan(void) {
  static Got ref, ref2, out;
  /* default; no stores; no fusion; every value kept; 16-bit maps; weights kept */
  for (int mode = 0; mode < 6; mode++) {
    Net n;
    net_new(&n);
    HostBackend *h = host_backend_new(mode == 4 ? PREC_BF16 : PREC_STRICT);
    h->no_store = mode == 1;
    Plan *cpu = net_plan(&n, NULL), *dev = net_plan(&n, &(PlanOptions){.backend = &h->b,
                                                                       .no_fusion = mode == 2,
                                                                       .keep_all = mode == 3,
                                                                       .keep_weights = mode == 5});
    if (!cpu || !dev) return;
    net_run(&n, cpu, 1, &ref);
    for (int k = 0; k < 2; k++) net_run(&n, dev, 1, &out);
    double tol = mode == 4 ? 0.03 : 1e-5, d = worst(&ref, &out);
    CHECK(d < tol, "mode %d: plan on a backend: %g", mode, d);
    CHECK((h->stores > 0) == (mode == 0 || mode > 3) && (h->half > 0) == (mode == 4) &&
              h->preps > 0,
          "mode %d: %d loops in stores, %d 16-bit steps, %d times weights laid out", mode,
          h->stores, h->half, h->preps);
    CHECK(mode != 4 || d > 1e-6, "16-bit storage shows");
    /* a live parameter changes: the next run must see it */
    n.p.data[5] += (real)0.25;
    if (mode == 5) { /* or when it is told */
      net_run(&n, dev, 1, &out);
      CHECK((d = worst(&ref, &out)) < tol, "weights are not kept: %g", d);
      CHECK(plan_stats(dev).kept_steps > 0 && plan_stats(cpu).kept_steps == 0, "kept steps");
      plan_weights_changed(dev);
    }
    net_run(&n, cpu, 2, &ref2);
    net_run(&n, dev, 2, &out);
    CHECK((d = worst(&ref2, &out)) < tol, "mode %d: changed parameter: %g", mode, d);
    real *u = params_find(&n.p, "u")->data; /* a frozen one: after plan_refresh only */
    u[3] += (real)0.4;
    plan_refresh(cpu);
    plan_refresh(dev);
    net_run(&n, cpu, 2, &ref);
    net_run(&n, dev, 2, &out);
    CHECK((d = worst(&ref, &out)) < tol && worst(&ref, &ref2) > 1e-3,
          "mode %d: refreshed frozen parameter: %g", mode, d);
    plan_free(cpu);
    plan_free(dev);
    CHECK(h->used == 0, "mode %d: %zu bytes of device memory were not freed", mode, h->used);
    host_backend_free(h);
    net_free(&n);
  }
}

/* Parameters, gradients and an image handed from plan to plan in shared ranges: nothing passes
 * through the host. */
static void test_shared(void) {
  static Got ref, out;
  static real grad[8 * 8 * 9 + 16], twice[8 * 8 * 9], plain[3 * 6 * 63];
  Error e = {0};
  Net n;
  net_new(&n);
  HostBackend *h = host_backend_new(PREC_STRICT);
  Backend *b = &h->b;
  Plan *cpu = net_plan(&n, NULL);
  CHECK(!backend_share(b, n.p.data, (size_t)n.p.ntotal * sizeof(real), &e) &&
            !backend_share(b, grad, sizeof grad, &e) && !backend_share(b, grad, sizeof grad, &e),
        "share: %s", e.msg);
  CHECK(backend_share(b, grad + 4, 16, &e) == ST_INVALID && !backend_device(b, twice) &&
            backend_device(b, grad + 3),
        "a part of a range is refused");
  Plan *dev = net_plan(&n, &(PlanOptions){.backend = b});
  CHECK(!plan_bind(dev, n.dw, grad, &e) && !plan_bind(dev, n.dw, twice, &e) &&
            !plan_bind(dev, n.db, grad + 8 * 8 * 9, &e) && !plan_bind(dev, n.y, plain, &e),
        "bind: %s", e.msg);
  net_run(&n, cpu, 1, &ref);
  Rng r = {.seed = 1};
  rng_fill_normal(&r, plan_data(dev, n.x), 3 * 8 * 63);
  CHECK(!plan_fill_normal(dev, n.s, &r, &e) && !plan_run(dev, &e), "run: %s", e.msg);
  int down = h->downloads, up = h->uploads;
  CHECK(grad[0] == 0, "a gradient in a shared range stays on the device");
  CHECK(!backend_pull(b, grad, sizeof grad, &e) && h->downloads == down + 1, "pull: %s", e.msg);
  memcpy(&out, &ref, sizeof out);
  memcpy(out.dw, grad, sizeof out.dw);
  memcpy(out.db, grad + 8 * 8 * 9, sizeof out.db);
  CHECK(worst(&ref, &out) < 1e-5 && !memcmp(grad, twice, sizeof twice),
        "gradients in a shared range and a plain one");
  memcpy(out.y, plain, sizeof out.y);
  CHECK(worst(&ref, &out) < 1e-5, "output bound to plain memory");
  CHECK(!plan_run(dev, &e) && h->uploads == up, "a second run uploads nothing");
  n.p.data[5] += 1;
  CHECK(!plan_run(dev, &e) && !backend_pull(b, grad, sizeof grad, &e) &&
            !memcmp(grad, ref.dw, 16) == !memcmp(out.dw, ref.dw, 16),
        "host changes wait for a push");
  real before = grad[7];
  CHECK(!backend_push(b, n.p.data, (size_t)n.p.ntotal * sizeof(real), &e) && !plan_run(dev, &e) &&
            !backend_pull(b, grad, sizeof grad, &e) && grad[7] != before,
        "pushed");
  plan_free(cpu);
  plan_free(dev);
  backend_unshare(b, grad);
  CHECK(backend_device(b, grad) != NULL, "shared twice, given back once");
  backend_unshare(b, grad);
  backend_unshare(b, n.p.data);
  CHECK(h->used == 0 && !backend_device(b, grad), "all given back");
  host_backend_free(h);
  net_free(&n);
}

static void test_memory(void) {
  Error e = {0};
  Net n;
  net_new(&n);
  HostBackend *h = host_backend_new(PREC_STRICT);
  PlanNeed need = {0};
  Plan *p = NULL;
  PlanOptions o = {.backend = &h->b, .memory = &need, .max_bytes = 20000};
  CHECK(plan_new(n.g, 1, &n.dw, &o, &p, &e) == ST_NOMEM && !p && strstr(e.msg, "device"),
        "refused: %s", e.msg);
  CHECK(need.fixed > 0 && need.variable > 20000 && plan_batch_that_fits(&need, 3) < 3 &&
            plan_batch_that_fits(&(PlanNeed){10, 100, 60}, 4) == 2,
        "what would fit");
  o.max_bytes = (size_t)1 << 40;
  Status planned = plan_new(n.g, 1, &n.dw, &o, &p, &e);
  h->limit = 4096;
  CHECK(!planned && plan_run(p, &e) == ST_NOMEM && strstr(e.msg, "free"), "the device is full: %s",
        e.msg);
  plan_free(p);
  PlanArena a = {0};
  h->limit = 1 << 30;
  Plan *q = NULL;
  CHECK(!plan_new(n.g, 1, &n.dw, &(PlanOptions){.backend = &h->b, .arena = &a}, &p, &e) &&
            !plan_new(n.g, 1, &n.y, &(PlanOptions){.backend = &h->b, .arena = &a}, &q, &e),
        "%s", e.msg);
  CHECK(!plan_run(q, &e) && !plan_run(p, &e) && !plan_run(q, &e), "plans that share an arena: %s",
        e.msg);
  plan_free(p);
  plan_free(q);
  CHECK(plan_new(n.g, 1, &n.y, &(PlanOptions){.arena = &a}, &p, &e) == ST_INTERNAL,
        "an arena is of one backend");
  plan_arena_free(&a);
  CHECK(h->used == 0, "freed");
  for (int k = 0; k < 40; k++) {
    mem_fail_after(k);
    Status st = plan_new(n.g, 1, &n.dw, &(PlanOptions){.backend = &h->b}, &p, &e);
    if (st == ST_OK) {
      plan_data(p, n.x);
      st = plan_prepare(p, &e);
      plan_free(p);
    }
    mem_fail_after(-1);
    if (st != ST_OK) CHECK(st == ST_NOMEM, "allocation %d fails: %s", k, e.msg);
  }
  CHECK(h->used == 0, "failures free what was taken");
  host_backend_free(h);
  net_free(&n);
}

/* ---- training and projection ---- */

static void test_train(void) {
  HostBackend *h = host_backend_new(PREC_STRICT);
  compare_training(&h->b, 4, 1e-4);
  CHECK(h->used == 0, "%zu bytes of device memory left", h->used);
  TrainConfig c = tiny(&h->b);
  TrainData data = {train_images, train_labels, ITEMS};
  Trainer *t = NULL;
  Error e = {0};
  TrainMetrics m;
  CHECK(!trainer_new(&c, &data, &t, &e), "trainer: %s", e.msg);
  for (int i = 0, down; i < 3; i++) {
    down = h->downloads;
    steps(t, 1, &m);
    CHECK(h->downloads == down + 1, "one download per iteration (%d)", h->downloads - down);
  }
  h->no_download = true;
  CHECK(trainer_step(t, &m, &e) == ST_IO, "a step that cannot be read is reported");
  CHECK(trainer_fetch(t, &e) == ST_IO && strstr(e.msg, "lost"), "and so are its networks");
  trainer_free(t);
  h->no_download = false;
  h->limit = 300 << 10;
  CHECK(trainer_new(&c, &data, &t, &e) == ST_NOMEM && !t && h->used == 0, "too small: %s", e.msg);
  h->limit = 5 << 20;
  c.batch = c.batch_gpu = 64;
  CHECK(trainer_new(&c, &data, &t, &e) == ST_NOMEM && !t && h->used == 0 &&
            strstr(e.msg, "would fit"),
        "what would fit: %s", e.msg);
  host_backend_free(h);
}

static void test_projector(void) {
  HostBackend *h = host_backend_new(PREC_STRICT);
  compare_projection(&h->b, 4, 1e-3, 1e-3);
  CHECK(h->used == 0, "%zu bytes of device memory left", h->used);
  host_backend_free(h);
}

/* A device that cannot be read any more: every way to results says so, none gives old numbers. */
static void test_read_back(void) {
  HostBackend *h = host_backend_new(PREC_STRICT);
  Net n;
  Plan *p = NULL;
  Error e = {0};
  const real *y = NULL;
  net_new(&n);
  CHECK(!plan_new(n.g, 1, &n.y, &(PlanOptions){.backend = &h->b}, &p, &e), "plan: %s", e.msg);
  plan_data(p, n.x)[0] = 1;
  CHECK(!plan_run(p, &e) && !plan_read(p, n.y, &y, &e) && y && isfinite(y[0]), "read: %s", e.msg);
  CHECK(plan_read(p, n.w, &y, &e) == ST_INTERNAL && !y, "no output: %s", e.msg);
  CHECK(!plan_run(p, &e), "run: %s", e.msg);
  h->no_download = true;
  CHECK(plan_read(p, n.y, &y, &e) == ST_IO && !y && strstr(e.msg, "lost"), "lost: %s", e.msg);
  CHECK(isnan(plan_data(p, n.y)[0]), "plan_data gives no old numbers");
  plan_free(p);
  host_backend_free(h);
  net_free(&n);
}

static void test_projector_read_back(void) {
  HostBackend *h = host_backend_new(PREC_STRICT);
  Error e = {0};
  GenConfig gc = gen_config_small();
  gc.img_resolution = RES;
  gc.z_dim = gc.w_dim = 16;
  gc.channel_base = 128;
  gc.channel_max = 8;
  Generator G;
  Vgg V;
  Rng r = {.seed = 5};
  CHECK(!generator_new(&G, &gc, &e) && !vgg_new(&V, &e), "networks: %s", e.msg);
  generator_reset(&G, &r);
  vgg_formula(&V, "VGG.");
  real w_avg[16] = {0}, target[RES * RES] = {0}, img[RES * RES];
  ProjectOptions o = project_defaults();
  o.num_steps = 2;
  o.backend = &h->b;
  Projector *p = NULL;
  CHECK(!projector_new(&G, &V, &(WStats){w_avg, 1}, &o, 1, &p, &e), "projector: %s", e.msg);
  CHECK(!projector_start(p, target, NULL, &e) && projector_w(p), "start: %s", e.msg);
  CHECK(!projector_step(p, NULL, &e) && !projector_w(p) && !projector_noise(p, 0) &&
            !projector_grad_w(p) && !projector_grad_noise(p, 0),
        "after a step nothing is given before it is fetched");
  CHECK(!projector_fetch(p, &e) && projector_w(p) && projector_grad_w(p), "fetch: %s", e.msg);
  CHECK(!projector_render(p, false, img, NULL, &e) && !projector_w(p), "render: %s", e.msg);
  h->no_download = true;
  CHECK(projector_fetch(p, &e) == ST_IO && !projector_w(p) && strstr(e.msg, "lost"), "%s", e.msg);
  e = (Error){0};
  CHECK(projector_inject(p, NULL, NULL, &e) == ST_IO && strstr(e.msg, "lost"), "%s", e.msg);
  CHECK(projector_render(p, false, img, NULL, &e) == ST_IO, "rendering reports it");
  CHECK(projector_step(p, NULL, &e) == ST_IO && !projector_w(p), "a step reports it");
  projector_free(p);
  CHECK(h->used == 0, "%zu bytes of device memory left", h->used);
  host_backend_free(h);
  generator_free(&G);
  vgg_free(&V);
}

/* ---- the scale of the loss in f16 ---- */
typedef struct Gradients {
  real *g[PH_COUNT];
  int64_t n[PH_COUNT];
} Gradients;

static void gradient_kept(void *ctx, TrainPhase ph, const Params *net, const real *grad) {
  Gradients *k = ctx;
  free(k->g[ph]);
  k->n[ph] = net->nparam;
  k->g[ph] = malloc((size_t)net->nparam * sizeof *grad);
  if (k->g[ph]) memcpy(k->g[ph], grad, (size_t)net->nparam * sizeof *grad);
}

static double gradient_apart(const Gradients *a, const Gradients *b, int ph) {
  double diff = 0, size = 1e-300;
  for (int64_t i = 0; a->g[ph] && b->g[ph] && i < a->n[ph]; i++) {
    diff += pow((double)a->g[ph][i] - (double)b->g[ph][i], 2);
    size += pow((double)a->g[ph][i], 2);
  }
  return sqrt(diff / size);
}

/* One step from this scale and count: the state after it. */
static const double *scale_after(Trainer *t, double scale, double count, int64_t *bad) {
  TrainMetrics m = {0};
  Error e = {0};
  trainer_state(t)->loss_scale[0] = scale;
  trainer_state(t)->loss_scale[1] = count;
  CHECK(trainer_step(t, &m, &e) == ST_OK, "step with a loss scale of %g: %s", scale, e.msg);
  *bad = m.bad_gradients;
  return trainer_state(t)->loss_scale;
}

static void gradient_largest(void *ctx, TrainPhase ph, const Params *net, const real *grad) {
  double *most = ctx;
  for (int64_t i = 0; i < net->nparam; i++) *most = fmax(*most, fabs((double)grad[i]));
}

static void check_scale(Trainer *t) {
  int64_t bad = 0;
  double most = 0;
  const double *s = scale_after(t, 4, 499, &bad);
  CHECK(s[0] == 8 && s[1] == 0 && bad == 0, "500 good iterations: scale %g, count %g", s[0], s[1]);
  s = scale_after(t, 65536, 1000, &bad);
  CHECK(s[0] == 65536, "the largest scale: %g", s[0]);
  trainer_on_gradient(t, gradient_largest, &most);
  s = scale_after(t, 0x1p127, 7, &bad);
  trainer_on_gradient(t, NULL, NULL);
  CHECK(most < 1e4, "what overflowed reaches Adam as %g", most);
  CHECK(s[0] == 0x1p126 && s[1] == 0 && bad > 0, "overflow: scale %g, count %g, %lld bad", s[0],
        s[1], (long long)bad);
  const Params *p = &trainer_G(t)->params;
  int64_t odd = 0;
  for (int64_t i = 0; i < p->ntotal; i++) odd += !(fabs((double)p->data[i]) < 1e3);
  CHECK(odd == 0, "%lld weights are spoilt by an overflow", (long long)odd);
  const Params *d = &trainer_D(t)->params;
  for (int64_t i = 0; i < d->ntotal; i++) odd += !(fabs((double)d->data[i]) < 1e3);
  CHECK(odd == 0, "%lld weights of D are spoilt by an overflow", (long long)odd);
  s = scale_after(t, 1024, 0, &bad);
  CHECK(s[0] == 1024 && s[1] == 1 && bad == 0, "after it: scale %g, %lld bad", s[0],
        (long long)bad);
}

/* The gradients that Adam gets are those of the loss itself, whatever the scale. */
static void test_loss_scale(void) {
  Error e = {0};
  Rng r = {7, 99, 0};
  HostBackend *h = host_backend_new(PREC_F16);
  Gradients gc = {.n = {0}}, gd = {.n = {0}};
  Trainer *c = NULL, *d = NULL;
  rng_fill_normal(&r, train_images, ITEMS * RES * RES);
  for (int i = 0; i < ITEMS; i++) train_labels[i * 2 + i % 2] = 1;
  const TrainData data = {train_images, train_labels, ITEMS};
  const TrainConfig cc = tiny(NULL), dc = tiny(&h->b);
  CHECK(!trainer_new(&cc, &data, &c, &e) && !trainer_new(&dc, &data, &d, &e), "trainers: %s",
        e.msg);
  if (!c || !d) return;
  trainer_on_gradient(c, gradient_kept, &gc);
  trainer_on_gradient(d, gradient_kept, &gd);
  TrainMetrics m;
  steps(c, 1, &m);
  steps(d, 1, &m);
  CHECK(trainer_state(d)->loss_scale[0] == 16 * 4 && trainer_state(d)->loss_scale[1] == 1,
        "the scale begins at %g", trainer_state(d)->loss_scale[0]);
  for (int ph = 0; ph < PH_COUNT; ph++) {
    CHECK(gc.g[ph] && gd.g[ph] && gradient_apart(&gc, &gd, ph) < 0.1,
          "%s: the gradient is %g away from the CPU's", train_phase_name[ph],
          gradient_apart(&gc, &gd, ph));
    free(gc.g[ph]);
    free(gd.g[ph]);
  }
  trainer_on_gradient(d, NULL, NULL);
  check_scale(d);
  trainer_free(c);
  trainer_free(d);
  compare_training(&h->b, 2, 3e-2);
  CHECK(h->used == 0, "%zu bytes of device memory were not freed", h->used);
  host_backend_free(h);
}

/* Classifier, U-Net and DeepSMOTE away from the host's memory: the same kernels, the same bits but
 * for the order of Adam. */
static void test_fits(void) {
  HostBackend *h = host_backend_new(PREC_STRICT);
  compare_fits(&h->b, 1e-4);
  CHECK(h->used == 0, "%zu bytes of device memory were not freed", h->used);
  host_backend_free(h);
}

int main(void) {
  size_t live = mem_live_count();
  test_plan();
  test_shared();
  test_memory();
  test_train();
  test_loss_scale();
  test_fits();
  test_projector();
  test_read_back();
  test_projector_read_back();
  threads_stop();
  CHECK(mem_live_count() == live, "%zu blocks not freed", mem_live_count() - live);
  return test_end();
}
