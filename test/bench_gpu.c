/* bench_gpu.c: speed on a card: its own limits, each convolution shape of the paper's networks with
 * its share of them, training s/kimg, projection, features. Every number is a wall-clock median or
 * a mean over the stated steps, with the device waited for. Weights are formula or zero: speed
 * only.
 * usage: bench_gpu [--dry] [--part card,conv,train,project,features]     (--dry: tiny sizes, to try
 *   the program itself, also on the emulation) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/conv.h"
#include "core/ops.h"
#include "core/threads.h"
#include "cuda/device.h"
#include "models/gan/projector.h"
#include "models/gan/train.h"
#include "models/judge/inception.h"
#include "test/bench_card.h"

static bool dry;
static double rate[4]; /* TFLOP/s of mma f16, bf16, tf32, FMA */

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double limit_of(Precision p) {
  return p == PREC_F16 ? rate[0] : p == PREC_BF16 ? rate[1] : p == PREC_TF32 ? rate[2] : rate[3];
}

static int failed(const char *what, const Error *e) {
  printf("  %-44s failed: %s\n", what, e->msg);
  return 1;
}

static void bench_card(void) {
  static const char *const name[] = {"mma.sync f16", "mma.sync bf16", "mma.sync tf32", "float FMA"};
  printf("card\n  %-44s %10.0f GB/s (read + written)\n", "copy on the device",
         card_copy(dry ? 1 << 16 : (size_t)1 << 30, 5));
  for (int t = 0; t < 4; t++) {
    rate[t] = card_rate(t, dry ? 2 : 20000, dry ? 1 : 5);
    printf("  %-44s %10.1f TFLOP/s\n", name[t], rate[t]);
  }
}

/* ---- convolutions ---- */
typedef struct Shape7 {
  const char *name;
  int ci;
  int side;
  int co;
  int k;
  int stride;
  int pad;
} Shape7;
static const Shape7 shapes[] = {{"G/D 512 at 4x4", 512, 4, 512, 3, 1, 1},
                                {"G/D 512 at 8x8", 512, 8, 512, 3, 1, 1},
                                {"G/D 512 at 16x16", 512, 16, 512, 3, 1, 1},
                                {"G/D 512 at 32x32", 512, 32, 512, 3, 1, 1},
                                {"G/D 256 at 64x64", 256, 64, 256, 3, 1, 1},
                                {"stride 2, 512 from 33x33", 512, 33, 512, 3, 2, 0},
                                {"stride 2, 256 from 65x65 to 512", 256, 65, 512, 3, 2, 0},
                                {"toRGB 256 at 64x64", 256, 64, 1, 1, 1, 0},
                                {"fromRGB at 64x64", 1, 64, 256, 1, 1, 0},
                                {"skip 256 to 512 at 32x32", 256, 32, 512, 1, 1, 0},
                                {"VGG 64 at 64x64", 64, 64, 64, 3, 1, 1},
                                {"VGG 128 at 32x32", 128, 32, 128, 3, 1, 1},
                                {"VGG 256 at 16x16", 256, 16, 256, 3, 1, 1},
                                {"VGG 512 at 8x8", 512, 8, 512, 3, 1, 1}};

/* One step n with operands of types ta, tb: seconds per run, < 0 on failure. */
static double time_step(Backend *b, const Node *n, Shape sa, Shape sb, DType ta, DType tb,
                        DType tout, int runs, Error *e) {
  DevStep s = {.node = *n, .nargs = 2, .shape = {sa, sb}, .targ = {ta, tb}, .tout = tout};
  void *p[4] = {NULL};
  DevProgram *prog = NULL;
  Status st = b->alloc(b, (size_t)shape_numel(sa) * dtype_size(ta), &p[0], e);
  if (!st) st = b->alloc(b, (size_t)shape_numel(sb) * dtype_size(tb), &p[1], e);
  if (!st) st = b->alloc(b, (size_t)shape_numel(n->shape) * dtype_size(tout), &p[2], e);
  if (!st) st = b->alloc(b, b->scratch(b, &s), &p[3], e);
  s.arg[0] = p[0];
  s.arg[1] = p[1];
  s.out = p[2];
  s.scratch = p[3];
  if (!st) st = b->program(b, 1, &s, &prog, e);
  for (int k = 0; k < 3 && !st; k++) st = b->run(b, prog, e);
  if (!st) st = b->sync(b, e);
  double t0 = seconds();
  for (int k = 0; k < runs && !st; k++) st = b->run(b, prog, e);
  if (!st) st = b->sync(b, e);
  double t = (seconds() - t0) / runs;
  b->program_free(b, prog);
  for (int k = 0; k < 4; k++) b->release(b, p[k]);
  return st ? -1 : t;
}

static void conv_row(Backend *b, const Shape7 *m, int batch) {
  Precision pr = b->precision;
  DType half = pr == PREC_F16 ? DT_F16 : pr == PREC_BF16 ? DT_BF16 : DT_F32;
  int div = dry ? 64 : 1, ci = PRLX_MAX(1, m->ci / div), co = PRLX_MAX(1, m->co / div);
  Shape xs = SHAPE4(batch, ci, m->side, m->side), ws = SHAPE4(co, ci, m->k, m->k);
  Graph *g = graph_new();
  Error e = {0};
  Val x = g_input(g, "x", xs), w = g_input(g, "w", ws), y = g_conv2d(g, x, w, m->stride, m->pad);
  Shape ys = graph_shape(g, y);
  Val d = g_input(g, "d", ys), dx = g_conv2d_dx(g, d, w, m->stride, m->pad, m->side, m->side),
      dw = g_conv2d_dw(g, x, d, m->stride, m->pad, m->k, m->k);
  DType tx = m->ci > 4 ? half : DT_F32, ty = m->co > 4 ? half : DT_F32;
  const struct {
    const Node *n;
    Shape a;
    Shape b;
    DType ta;
    DType tb;
    DType to;
  } job[3] = {{graph_node(g, y), xs, ws, tx, DT_F32, ty},
              {graph_node(g, dx), ys, ws, ty, DT_F32, tx},
              {graph_node(g, dw), xs, ys, tx, ty, DT_F32}};
  printf("  %-34s %-6s", m->name, precision_name(pr));
  for (int k = 0; k < 3 && graph_status(g, NULL) == ST_OK; k++) {
    double flop = conv_flop(job[k].n), t = time_step(b, job[k].n, job[k].a, job[k].b, job[k].ta,
                                                     job[k].tb, job[k].to, dry ? 2 : 50, &e);
    if (t < 0)
      printf("  failed: %.60s", e.msg);
    else
      printf("  %8.1f us %6.1f TFLOP/s %4.0f %%", t * 1e6, flop / t / 1e12,
             limit_of(pr) > 0 ? 100 * flop / t / 1e12 / limit_of(pr) : 0);
  }
  printf("\n");
  graph_free(g);
}

static void bench_conv(Backend *b) {
  int batch = dry ? 1 : 32;
  printf("convolutions, batch %d, %s: forward, input gradient, weight gradient (%% of the "
         "instruction's rate above; operands packed inside the time)\n",
         batch, precision_name(b->precision));
  for (int k = 0; k < COUNT_OF(shapes) && !(dry && k > 1); k++) conv_row(b, &shapes[k], batch);
}

/* ---- training ---- */
static void bench_train(Backend *b, int batch, bool profile) {
  TrainConfig c;
  Trainer *t = NULL;
  TrainMetrics m;
  Error e = {0};
  int res = dry ? 16 : 64, n = 256, warm = dry ? 1 : 33, iterations = dry ? 2 : 48;
  float *img = mem_alloc((size_t)n * (size_t)(res * res) * 4);
  Rng r = {.seed = 7};
  char what[96];
  snprintf(what, sizeof what, "training, paper configuration, batch %d, %s", batch,
           precision_name(b->precision));
  if (!img || train_preset(&c, dry ? "small" : "paper", res, 1, 0, &e)) {
    failed(what, &e);
    mem_free(img);
    return;
  }
  rng_fill_uniform(&r, img, (int64_t)n * res * res);
  if (dry) {
    c.G.channel_base = c.D.channel_base = 128;
    c.G.channel_max = c.D.channel_max = 8;
    c.G.z_dim = c.G.w_dim = 8;
  }
  c.batch = c.batch_gpu = batch;
  c.augment = false;
  c.backend = b;
  if (b->precision == PREC_F16 || b->precision == PREC_BF16) c.G.conv_clamp = c.D.conv_clamp = 256;
  Status s = trainer_new(&c, &(TrainData){img, NULL, n}, &t, &e);
  for (int k = 0; k < warm && !s; k++) s = trainer_step(t, &m, &e);
  if (!s) s = b->sync(b, &e);
  double t0 = seconds();
  for (int k = 0; k < iterations && !s; k++) s = trainer_step(t, &m, &e);
  if (!s) s = b->sync(b, &e);
  double dt = seconds() - t0;
  if (s)
    failed(what, &e);
  else
    printf("  %-56s %8.3f s/kimg  %7.1f ms per iteration  %6.1f TFLOP/s  %lld bad gradients in the "
           "last\n",
           what, dt / iterations / batch * 1000, dt / iterations * 1e3,
           trainer_flop(t) * iterations / dt / 1e12, (long long)m.bad_gradients);
  if (!s && profile) {
    trainer_profile(t, true);
    for (int k = 0; k < 16 && !s; k++) s = trainer_step(t, &m, &e);
    trainer_report(t, stdout);
  }
  trainer_free(t);
  mem_free(img);
}

/* ---- projection ---- */
static void bench_project(Backend *b, int batch) {
  Generator G = {0};
  Vgg v = {0};
  Error e = {0};
  GenConfig c = gen_config_paper();
  char what[96];
  int steps = dry ? 2 : 100;
  if (dry) {
    c.img_resolution = 16;
    c.channel_base = 128;
    c.channel_max = 8;
    c.z_dim = c.w_dim = 8;
  }
  snprintf(what, sizeof what, "projection, paper configuration, %d lesions, %s", batch,
           precision_name(b->precision));
  Status s = generator_new(&G, &c, &e);
  WStats ws = {mem_alloc((size_t)c.w_dim * 4), 1};
  if (!s) s = vgg_new(&v, &e);
  if (s || !ws.w_avg) {
    failed(what, &e);
    vgg_free(&v);
    generator_free(&G);
    mem_free(ws.w_avg);
    return;
  }
  generator_formula(&G, "G.");
  vgg_formula(&v, "VGG.");
  ProjectOptions o = project_defaults();
  o.backend = b;
  Projector *p = NULL;
  int64_t pixels = (int64_t)batch * c.img_channels * c.img_resolution * c.img_resolution;
  float *target = mem_alloc((size_t)pixels * 4);
  Rng r = {.seed = 7};
  if (target) rng_fill_uniform(&r, target, pixels);
  if (!target) s = err_set(&e, ST_NOMEM, "out of memory");
  if (!s) s = projector_new(&G, &v, &ws, &o, batch, &p, &e);
  if (!s) s = projector_start(p, target, NULL, &e);
  for (int k = 0; k < (dry ? 1 : 10) && !s; k++) s = projector_step(p, NULL, &e);
  if (!s) s = b->sync(b, &e);
  double t0 = seconds();
  for (int k = 0; k < steps && !s; k++) s = projector_step(p, NULL, &e);
  if (!s) s = b->sync(b, &e);
  double dt = (seconds() - t0) / steps;
  if (s)
    failed(what, &e);
  else
    printf("  %-56s %8.2f ms per step  %8.1f s for 1000 steps of all %d\n", what, dt * 1e3,
           dt * 1e3, batch);
  projector_free(p);
  vgg_free(&v);
  generator_free(&G);
  mem_free(ws.w_avg);
  mem_free(target);
}

static void bench_features(Backend *b, int batch) {
  Inception v = {0};
  InceptionRun run = {0};
  Error e = {0};
  FidInput in = {.convention = FIDCONV_TENSORFLOW};
  char what[96];
  int rounds = dry ? 1 : 20;
  snprintf(what, sizeof what, "Inception-v3 features, batch %d, %s", batch,
           precision_name(b->precision));
  float *img = mem_alloc((size_t)batch * 64 * 64 * 4),
        *feat = mem_alloc((size_t)batch * INCEPTION_DIM * 4);
  Status s = img && feat ? inception_new(&v, &e) : err_set(&e, ST_NOMEM, "out of memory");
  if (!s) {
    inception_formula(&v, "INC.");
    s = inception_fold(&v, &e);
  }
  if (!s) s = inception_run_new_on(b, &run, &v, batch, &e);
  for (int k = 0; k < (dry ? 0 : 3) && !s; k++)
    s = inception_run(&run, &in, batch, 1, 64, 64, img, feat, &e);
  double t0 = seconds();
  for (int k = 0; k < rounds && !s; k++)
    s = inception_run(&run, &in, batch, 1, 64, 64, img, feat, &e);
  double dt = (seconds() - t0) / rounds;
  if (s)
    failed(what, &e);
  else
    printf("  %-56s %8.1f images/s (resizing on the host and copies included)\n", what, batch / dt);
  inception_run_free(&run);
  inception_free(&v);
  mem_free(img);
  mem_free(feat);
}

static bool wanted(const char *list, const char *part) { return !list || strstr(list, part); }
int main(int argc, char **argv) {
  const char *parts = NULL;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--dry"))
      dry = true;
    else if (!strcmp(argv[i], "--part") && i + 1 < argc)
      parts = argv[++i];
    else {
      fprintf(stderr, "usage: bench_gpu [--dry] [--part card,conv,train,project,features]\n");
      return 2;
    }
  }
  char text[300];
  if (!cuda_device_count(text, sizeof text)) {
    printf("no CUDA device: %s\n", text);
    return 1;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  cuda_describe(0, text, sizeof text);
  printf("device: %s%s\n", text, dry ? " (DRY RUN, tiny sizes: not a measurement)" : "");
  if (wanted(parts, "card") || wanted(parts, "conv")) bench_card();
  static const Precision order[] = {PREC_F16, PREC_BF16, PREC_TF32, PREC_STRICT};
  static const int batches[] = {64, 32, 128}, lesions[] = {1, 8, 100};
  for (int k = 0; k < 4; k++) {
    Backend *b = NULL;
    Error e = {0};
    if (cuda_backend_new(0, order[k], &b, &e)) {
      failed(precision_name(order[k]), &e);
      continue;
    }
    if (wanted(parts, "conv")) bench_conv(b);
    if (wanted(parts, "train"))
      for (int i = 0; i < (order[k] == PREC_F16 && !dry ? 3 : 1); i++)
        bench_train(b, dry ? 4 : batches[i], order[k] == PREC_F16 && i == 0 && !dry);
    if (wanted(parts, "project") && order[k] != PREC_BF16)
      for (int i = 0; i < (dry ? 1 : 3); i++) bench_project(b, lesions[i]);
    if (wanted(parts, "features") && order[k] != PREC_BF16 && !dry) bench_features(b, 64);
    cuda_backend_free(b);
  }
  threads_stop();
  return 0;
}
