/* test_backend.c: plans, the trainer and the projector on a backend (test/host_backend.h: its memory is apart from the host's) give what they give on
 * the CPU. The kernels of a GPU are compared elsewhere (test/README.md: cuda_*). */
#include "test/test.h"
#include "core/ops.h"
#include "core/params.h"
#include "core/plan.h"
#include "core/threads.h"
#include "models/projector.h"
#include "models/train.h"
#include "test/host_backend.h"

/* Frozen and live weights, a scaled convolution whose store takes a loop, a reduction, a reshape, the same gradient twice, second order. */
typedef struct Net { Graph *g; Params p; Val x, s, w, y, loss, dx, dw, db; } Net;

static void net_new(Net *n) {
  Error e = {0};
  *n = (Net){.g = graph_new()};
  params_add(&n->p, "w", SHAPE4(8, 8, 3, 3), false, &e);
  params_add(&n->p, "b", SHAPE1(8), false, &e);
  params_add(&n->p, "u", SHAPE4(6, 8, 1, 1), false, &e);
  CHECK(params_seal(&n->p, &e) == ST_OK, "parameters: %s", e.msg);
  for (int i = 0; i < n->p.n; i++) formula_fill(n->p.e[i].data, n->p.e[i].numel, n->p.e[i].name, 0.3, 0);
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
static void net_free(Net *n) { graph_free(n->g); params_free(&n->p); }

typedef struct Got { real y[3 * 6 * 63], loss, dx[3 * 8 * 63], dw[8 * 8 * 9], db[8]; } Got;

static Plan *net_plan(const Net *n, const PlanOptions *o) {
  Error e = {0};
  Plan *p = NULL;
  CHECK(plan_new(n->g, 5, (Val[]){n->y, n->loss, n->dx, n->dw, n->db}, o, &p, &e) == ST_OK, "plan: %s", e.msg);
  return p;
}

static void net_run(const Net *n, Plan *p, uint64_t seed, Got *out) {
  Error e = {0};
  Rng r = {.seed = seed};
  rng_fill_normal(&r, plan_data(p, n->x), 3 * 8 * 63);
  CHECK(plan_fill_normal(p, n->s, &r, &e) == ST_OK && r.offset == 3 * 8 * 63 + 24, "normals: %s", e.msg);
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
  for (size_t i = 0; i < sizeof *a / sizeof *x; i++) { d = fmax(d, fabs((double)x[i] - y[i])); s = fmax(s, fabs((double)x[i])); }
  return d / s;
}

static void test_plan(void) {
  static Got ref, ref2, out;
  for (int mode = 0; mode < 5; mode++) {         /* default; no stores; no fusion; everything kept; 16-bit maps */
    Net n;
    net_new(&n);
    HostBackend *h = host_backend_new(mode == 4 ? PREC_BF16 : PREC_STRICT);
    h->no_store = mode == 1;
    Plan *cpu = net_plan(&n, NULL), *dev = net_plan(&n, &(PlanOptions){.backend = &h->b, .no_fusion = mode == 2, .keep_all = mode == 3});
    if (!cpu || !dev) return;
    net_run(&n, cpu, 1, &ref);
    for (int k = 0; k < 2; k++) net_run(&n, dev, 1, &out);
    double tol = mode == 4 ? 0.03 : 1e-5, d = worst(&ref, &out);
    CHECK(d < tol, "mode %d: plan on a backend: %g", mode, d);
    CHECK((h->stores > 0) == (mode == 0 || mode == 4) && (h->half > 0) == (mode == 4), "mode %d: %d loops in stores, %d 16-bit steps", mode, h->stores, h->half);
    CHECK(mode != 4 || d > 1e-6, "16-bit storage shows");
    n.p.data[5] += (real)0.25;                     /* a live parameter changes: the next run must see it */
    net_run(&n, cpu, 2, &ref2);
    net_run(&n, dev, 2, &out);
    CHECK((d = worst(&ref2, &out)) < tol, "mode %d: changed parameter: %g", mode, d);
    real *u = params_find(&n.p, "u")->data;        /* a frozen one: after plan_refresh only */
    u[3] += (real)0.4;
    plan_refresh(cpu);
    plan_refresh(dev);
    net_run(&n, cpu, 2, &ref);
    net_run(&n, dev, 2, &out);
    CHECK((d = worst(&ref, &out)) < tol && worst(&ref, &ref2) > 1e-3, "mode %d: refreshed frozen parameter: %g", mode, d);
    plan_free(cpu); plan_free(dev);
    CHECK(h->used == 0, "mode %d: %zu bytes of device memory were not freed", mode, h->used);
    host_backend_free(h);
    net_free(&n);
  }
}

/* Parameters, gradients and an image handed from plan to plan in shared ranges: nothing passes through the host. */
static void test_shared(void) {
  static Got ref, out;
  static real grad[8 * 8 * 9 + 16], twice[8 * 8 * 9], plain[3 * 6 * 63];
  Error e = {0};
  Net n;
  net_new(&n);
  HostBackend *h = host_backend_new(PREC_STRICT);
  Backend *b = &h->b;
  Plan *cpu = net_plan(&n, NULL);
  CHECK(!backend_share(b, n.p.data, (size_t)n.p.ntotal * sizeof(real), &e) && !backend_share(b, grad, sizeof grad, &e) && !backend_share(b, grad, sizeof grad, &e), "share: %s", e.msg);
  CHECK(backend_share(b, grad + 4, 16, &e) == ST_INVALID && !backend_device(b, twice) && backend_device(b, grad + 3), "a part of a range is refused");
  Plan *dev = net_plan(&n, &(PlanOptions){.backend = b});
  CHECK(!plan_bind(dev, n.dw, grad, &e) && !plan_bind(dev, n.dw, twice, &e) && !plan_bind(dev, n.db, grad + 8 * 8 * 9, &e) && !plan_bind(dev, n.y, plain, &e), "bind: %s", e.msg);
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
  CHECK(worst(&ref, &out) < 1e-5 && !memcmp(grad, twice, sizeof twice), "gradients in a shared range and a plain one");
  memcpy(out.y, plain, sizeof out.y);
  CHECK(worst(&ref, &out) < 1e-5, "output bound to plain memory");
  CHECK(!plan_run(dev, &e) && h->uploads == up, "a second run uploads nothing");
  n.p.data[5] += 1;
  CHECK(!plan_run(dev, &e) && !backend_pull(b, grad, sizeof grad, &e) && !memcmp(grad, ref.dw, 16) == !memcmp(out.dw, ref.dw, 16), "host changes wait for a push");
  real before = grad[7];
  CHECK(!backend_push(b, n.p.data, (size_t)n.p.ntotal * sizeof(real), &e) && !plan_run(dev, &e) && !backend_pull(b, grad, sizeof grad, &e) && grad[7] != before, "pushed");
  plan_free(cpu); plan_free(dev);
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
  CHECK(plan_new(n.g, 1, &n.dw, &o, &p, &e) == ST_NOMEM && !p && strstr(e.msg, "device"), "refused: %s", e.msg);
  CHECK(need.fixed > 0 && need.variable > 20000 && plan_batch_that_fits(&need, 3) < 3 && plan_batch_that_fits(&(PlanNeed){10, 100, 60}, 4) == 2, "what would fit");
  o.max_bytes = (size_t)1 << 40;
  Status planned = plan_new(n.g, 1, &n.dw, &o, &p, &e);
  h->limit = 4096;
  CHECK(!planned && plan_run(p, &e) == ST_NOMEM && strstr(e.msg, "free"), "the device is full: %s", e.msg);
  plan_free(p);
  PlanArena a = {0};
  h->limit = 1 << 30;
  Plan *q = NULL;
  CHECK(!plan_new(n.g, 1, &n.dw, &(PlanOptions){.backend = &h->b, .arena = &a}, &p, &e) && !plan_new(n.g, 1, &n.y, &(PlanOptions){.backend = &h->b, .arena = &a}, &q, &e), "%s", e.msg);
  CHECK(!plan_run(q, &e) && !plan_run(p, &e) && !plan_run(q, &e), "plans that share an arena: %s", e.msg);
  plan_free(p); plan_free(q);
  CHECK(plan_new(n.g, 1, &n.y, &(PlanOptions){.arena = &a}, &p, &e) == ST_INTERNAL, "an arena is of one backend");
  plan_arena_free(&a);
  CHECK(h->used == 0, "freed");
  for (int k = 0; k < 40; k++) {
    mem_fail_after(k);
    Status st = plan_new(n.g, 1, &n.dw, &(PlanOptions){.backend = &h->b}, &p, &e);
    if (st == ST_OK) { plan_data(p, n.x); st = plan_prepare(p, &e); plan_free(p); }
    mem_fail_after(-1);
    if (st != ST_OK) CHECK(st == ST_NOMEM, "allocation %d fails: %s", k, e.msg);
  }
  CHECK(h->used == 0, "failures free what was taken");
  host_backend_free(h);
  net_free(&n);
}

/* ---- training ---- */

enum { RES = 16, ITEMS = 7 };
static real images[ITEMS * RES * RES], labels[ITEMS * 2];

static TrainConfig tiny(Backend *b) {
  TrainConfig c;
  Error e;
  CHECK(train_preset(&c, "small", RES, 1, 2, &e) == ST_OK, "preset: %s", e.msg);
  c.G.z_dim = c.G.w_dim = 8;
  c.G.channel_base = c.D.channel_base = 128;
  c.G.channel_max = c.D.channel_max = 8;
  c.batch = 8; c.batch_gpu = 4;
  c.g_reg_interval = 2; c.d_reg_interval = 3;
  c.g_lr = c.d_lr = 1e-4;                          /* Adam without a first moment divides by sqrt(v): a large rate would blow up rounding */
  c.ada.p_init = 0.3; c.ada.interval = 2; c.ada.kimg = 0.1;
  c.ema_kimg = 0.02;
  c.seed = 5;
  c.backend = b;
  return c;
}

/* The state of a trainer as doubles. */
typedef struct State { double *x; int64_t n, at; bool read; } State;
static Status walk(void *ctx, const TrainTensor *t, Error *e) {
  State *s = ctx;
  int64_t n = shape_numel(t->shape);
  if (!s->read && s->at + n > s->n) { s->x = realloc(s->x, (size_t)(s->n = 2 * (s->at + n)) * sizeof *s->x); }
  for (int64_t i = 0; i < n; i++) {
    double *x = s->x + s->at + i;
    if (t->type == TT_REAL) { real *d = (real *)t->data + i; if (s->read) *d = (real)*x; else *x = *d; }
    if (t->type == TT_F64) { double *d = (double *)t->data + i; if (s->read) *d = *x; else *x = *d; }
    if (t->type == TT_I64) { int64_t *d = (int64_t *)t->data + i; if (s->read) memcpy(d, x, 8); else memcpy(x, d, 8); }
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

/* Whole iterations on both sides: all phases, rounds, augmentation, ADA, EMA; then a snapshot taken over into a second trainer on the backend. */
static void test_train(void) {
  Error e = {0};
  Rng r = {7, 99, 0};
  rng_fill_normal(&r, images, ITEMS * RES * RES);
  for (int i = 0; i < ITEMS; i++) labels[i * 2 + i % 2] = 1;
  TrainData data = {images, labels, ITEMS};
  HostBackend *h = host_backend_new(PREC_STRICT);
  TrainConfig cc = tiny(NULL), dc = tiny(&h->b);
  Trainer *c = NULL, *d = NULL, *d2 = NULL;
  CHECK(!trainer_new(&cc, &data, &c, &e) && !trainer_new(&dc, &data, &d, &e), "trainers: %s", e.msg);
  if (!c || !d) return;
  TrainMetrics mc, md;
  for (int i = 0; i < 4; i++) {
    steps(c, 1, &mc);
    int down = h->downloads;
    steps(d, 1, &md);
    CHECK(h->downloads == down + 1, "one download per iteration (%d)", h->downloads - down);
    CHECK(fabs(mc.g_loss - md.g_loss) < 1e-3 && fabs(mc.d_loss_fake - md.d_loss_fake) < 1e-3 && fabs(mc.d_loss_real - md.d_loss_real) < 1e-3 &&
          fabs(mc.r1_penalty - md.r1_penalty) < 1e-3 * (1 + mc.r1_penalty) && fabs(mc.pl_mean - md.pl_mean) < 1e-3 * mc.pl_mean && mc.p == md.p, "iteration %d: metrics", i);
  }
  State a = state_of(c), b = state_of(d);
  double diff = 0, size = 0;
  for (int64_t i = 0; i < trainer_G(c)->p.ntotal && a.n == b.n; i++) { diff += (a.x[i] - b.x[i]) * (a.x[i] - b.x[i]); size += a.x[i] * a.x[i]; }
  CHECK(a.n == b.n && sqrt(diff / size) < 1e-4, "state after four iterations: %g", sqrt(diff / size));
  CHECK(!trainer_new(&dc, &data, &d2, &e), "second trainer: %s", e.msg);
  b.read = true; b.at = 0;
  CHECK(d2 && !trainer_enumerate(d2, walk, &b, &e), "restore: %s", e.msg);
  trainer_refresh(d2);
  steps(d, 2, &mc);
  steps(d2, 2, &md);
  State x = state_of(d), y = state_of(d2);
  CHECK(x.n == y.n && !memcmp(x.x, y.x, (size_t)x.n * sizeof *x.x), "resumed on the backend: the same bits");
  free(a.x); free(b.x); free(x.x); free(y.x);
  trainer_free(c); trainer_free(d); trainer_free(d2);
  CHECK(h->used == 0, "%zu bytes of device memory left", h->used);
  dc.max_bytes = 3 << 20;
  h->limit = 300 << 10;
  d = NULL;
  CHECK(trainer_new(&dc, &data, &d, &e) == ST_NOMEM && !d && h->used == 0, "too small: %s", e.msg);
  h->limit = 5 << 20;
  dc.max_bytes = 0;
  dc.batch = dc.batch_gpu = 64;
  CHECK(trainer_new(&dc, &data, &d, &e) == ST_NOMEM && !d && h->used == 0 && strstr(e.msg, "would fit"), "what would fit: %s", e.msg);
  host_backend_free(h);
}

/* ---- projection ---- */

static void test_projector(void) {
  enum { STEPS = 4, N = 2 };
  Error e = {0};
  GenConfig gc = gen_config_small();
  gc.img_resolution = RES;
  gc.z_dim = gc.w_dim = 16;
  gc.channel_base = 128; gc.channel_max = 8;
  Generator G;
  Vgg V;
  WStats W;
  Rng r = {.seed = 5};
  CHECK(!generator_new(&G, &gc, &e) && !vgg_new(&V, &e), "networks: %s", e.msg);
  generator_reset(&G, &r);
  for (int i = 0; i < G.p.n; i++) if (strstr(G.p.e[i].name, "noise_strength")) G.p.e[i].data[0] = (real)0.1;
  vgg_formula(&V, "VGG.");
  for (int i = 0; i < V.p.n; i++) if (!strncmp(V.p.e[i].name, "lin", 3)) for (int64_t k = 0; k < V.p.e[i].numel; k++) V.p.e[i].data[k] = (real)rng_uniform(&r);
  CHECK(!project_w_stats(&G, NULL, 200, 123, &W, &e), "w: %s", e.msg);
  ProjectOptions o = project_defaults();
  o.num_steps = STEPS;
  HostBackend *h = host_backend_new(PREC_STRICT);
  Projector *p[2] = {0};
  static real target[N * RES * RES], img[2][N * RES * RES];
  double dist[2][N];
  rng_fill_normal(&r, target, N * RES * RES);
  for (int k = 0; k < 2; k++) {
    o.backend = k ? &h->b : NULL;
    CHECK(!projector_new(&G, &V, &W, &o, N, &p[k], &e), "projector: %s", e.msg);
    for (int again = 0; again < 2; again++) {      /* the second start must forget the first */
      CHECK(!projector_start(p[k], target, NULL, &e), "start: %s", e.msg);
      for (int i = 0; i < (again ? STEPS : 2); i++) CHECK(!projector_step(p[k], NULL, &e), "step: %s", e.msg);
    }
    CHECK(!projector_render(p[k], false, img[k], dist[k], &e), "render: %s", e.msg);
  }
  double dw = 0, dn = 0, di = 0;
  for (int i = 0; i < N * 16; i++) dw = fmax(dw, fabs((double)projector_w(p[0])[i] - projector_w(p[1])[i]));
  for (int k = 0; k < G.num_noise; k++)
    for (int i = 0; i < N * G.noise_res[k] * G.noise_res[k]; i++) dn = fmax(dn, fabs((double)projector_noise(p[0], k)[i] - projector_noise(p[1], k)[i]));
  for (int i = 0; i < N * RES * RES; i++) di = fmax(di, fabs((double)img[0][i] - img[1][i]));
  CHECK(dw < 1e-3 && dn < 1e-2 && di < 1e-3 && fabs(dist[0][1] - dist[1][1]) < 1e-3 * dist[0][1], "projection: w %g, noise %g, image %g, distance %g", dw, dn, di,
        fabs(dist[0][1] - dist[1][1]));
  real mean = 0, sq = 0;
  for (int i = 0; i < RES * RES; i++) { real x = projector_noise(p[1], G.num_noise - 1)[i]; mean += x; sq += x * x; }
  CHECK(fabs(mean / (RES * RES)) < 1e-5 && fabs(sq / (RES * RES) - 1) < 1e-4, "noise maps are normalised: %g %g", mean, sq);
  projector_free(p[0]); projector_free(p[1]);
  CHECK(h->used == 0, "%zu bytes of device memory left", h->used);
  host_backend_free(h);
  mem_free(W.w_avg);
  generator_free(&G);
  vgg_free(&V);
}

int main(void) {
  size_t live = mem_live_count();
  test_plan();
  test_shared();
  test_memory();
  test_train();
  test_projector();
  threads_stop();
  CHECK(mem_live_count() == live, "%zu blocks not freed", mem_live_count() - live);
  return test_end();
}
