/* bench_gpu.c: speed on a card: its own limits, each convolution shape of the paper's networks with
 * its share of them, training s/kimg, projection, features and their statistics. Every number is a
 * wall-clock mean over the stated steps, with the device waited for. Convolutions run as training
 * runs them: random operands, batch 64, sixteen steps in one captured graph, which take turns among
 * sets of operands that together are larger than the second-level cache; then each is judged by its
 * definition (cuda/naive.h), so that the speed of a wrong kernel is marked.
 * Part wgmma, on a card of compute capability 9.0: the convolutions of 16 bits by mma.sync and by
 * wgmma (cuda/conv_wgmma.cu), line by line. PRLX_CUDA_WGMMA=1: training and projection by wgmma.
 * usage: bench_gpu [--dry] [--part card,conv,wgmma,train,project,features,statistics]
 *                  [--json FILE]
 *   --dry   tiny sizes, to try the program itself, also on the emulation
 *   --json  a line for each number: part, name, precision, value, unit (appended) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/conv.h"
#include "core/ops.h"
#include "core/threads.h"
#include "cuda/device.h"
#include "cuda/naive.h"
#include "io/formats/jsonl.h"
#include "models/gan/projector.h"
#include "models/gan/train.h"
#include "models/judge/inception.h"
#include "models/judge/metrics.h"
#include "test/bench_card.h"

static bool dry;
static double rate[4]; /* TFLOP/s of mma f16, bf16, tf32, FMA */
static Jsonl json;
static bool json_there;

/* One number for machines; precision "" where there is none. A dry run's are no measurements. */
static void tell(const char *part, const char *name, const char *precision, const char *what,
                 double value, const char *unit) {
  Error e = {0};
  if (!json_there) return;
  jsonl_begin(&json);
  jsonl_str(&json, "part", part);
  jsonl_str(&json, "name", name);
  jsonl_str(&json, "precision", precision);
  jsonl_str(&json, "what", what);
  jsonl_num(&json, "value", value);
  jsonl_str(&json, "unit", unit);
  jsonl_str(&json, "measured", dry ? "no: dry run" : "yes");
  if (jsonl_end(&json, &e) != ST_OK) fprintf(stderr, "bench_gpu: %s\n", e.msg);
}

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
  const double copy = card_copy(dry ? 1 << 16 : (size_t)1 << 30, 5);
  printf("card\n  %-44s %10.0f GB/s (read + written)\n", "copy on the device", copy);
  tell("card", "copy on the device", "", "bandwidth", copy, "GB/s");
  for (int t = 0; t < 4; t++) {
    rate[t] = card_rate(t, dry ? 2 : 20000, dry ? 1 : 5);
    printf("  %-44s %10.1f TFLOP/s\n", name[t], rate[t]);
    tell("card", name[t], "", "rate", rate[t], "TFLOP/s");
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

/* ---- one kind of step, many times ---- */
enum { SETS_MAX = 16, STEPS = 16 };
#define BEYOND_CACHE 160e6 /* bytes; an H200 has 50 MB of second-level cache */

/* Sets of operands, result and scratch, and the program of STEPS steps that take turns among them.
 */
typedef struct Turns {
  void *mem[SETS_MAX][4];
  DevStep step[STEPS];
  DevProgram *program;
  int sets;
} Turns;

static Status turns_set(Backend *b, DevStep *s, void **mem, Rng *r, Error *e) {
  for (int k = 0; k < 2; k++) {
    const int64_t n = shape_numel(s->shape[k]);
    TRY(b->alloc(b, (size_t)n * dtype_size(s->targ[k]), &mem[k], e));
    TRY(cuda_naive_fill(b, s->targ[k], n, r, mem[k], e));
    s->arg[k] = mem[k];
  }
  const size_t out = (size_t)shape_numel(s->node.shape) * dtype_size(s->tout);
  TRY(b->alloc(b, out, &mem[2], e));
  TRY(b->alloc(b, b->scratch(b, s), &mem[3], e));
  s->out = mem[2];
  s->scratch = mem[3];
  return ST_OK;
}

static Status turns_new(Backend *b, const DevStep *s, Turns *t, Error *e) {
  Rng r = {.seed = 7};
  double bytes = (double)shape_numel(s->node.shape) * (double)dtype_size(s->tout);
  for (int k = 0; k < 2; k++)
    bytes += (double)shape_numel(s->shape[k]) * (double)dtype_size(s->targ[k]);
  t->sets = dry ? 2 : (int)PRLX_MIN(SETS_MAX, BEYOND_CACHE / bytes + 2);
  for (int k = 0; k < STEPS; k++) {
    t->step[k] = k < t->sets ? *s : t->step[k % t->sets];
    if (k < t->sets) TRY(turns_set(b, &t->step[k], t->mem[k], &r, e));
  }
  return b->program(b, STEPS, t->step, &t->program, e);
}

/* Seconds per step. The first run launches, the second captures, the others replay. */
static Status turns_time(Backend *b, Turns *t, int runs, double *seconds_per_step, Error *e) {
  for (int k = 0; k < 3; k++) TRY(b->run(b, t->program, e));
  TRY(b->sync(b, e));
  const double t0 = seconds();
  for (int k = 0; k < runs; k++) TRY(b->run(b, t->program, e));
  TRY(b->sync(b, e));
  *seconds_per_step = (seconds() - t0) / runs / STEPS;
  return ST_OK;
}

static Status turns_run(Backend *b, const DevStep *s, Turns *t, int runs, double *time,
                        NaiveVerdict *v, Error *e) {
  TRY(turns_new(b, s, t, e));
  TRY(turns_time(b, t, runs, time, e));
  return cuda_naive_judge(b, &t->step[STEPS - 1], v, e);
}

/* Seconds of one such step and the verdict on its result; < 0 on failure. */
static double time_step(Backend *b, const DevStep *s, int runs, NaiveVerdict *v, Error *e) {
  Turns *t = mem_alloc(sizeof *t);
  double time = -1;
  if (!t) return -1;
  const Status st = turns_run(b, s, t, runs, &time, v, e);
  b->program_free(b, t->program);
  for (int k = 0; k < SETS_MAX; k++)
    for (int i = 0; i < 4; i++) b->release(b, t->mem[k][i]);
  mem_free(t);
  return st ? -1 : time;
}

/* kinds: how many of forward, input gradient, weight gradient; way: the product, to be told. */
static void conv_row(Backend *b, const Shape7 *m, int batch, int kinds, const char *way) {
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
  static const char *const kind[] = {"forward", "input gradient", "weight gradient"};
  const DevStep job[3] = {
      {.node = *graph_node(g, y), .nargs = 2, .shape = {xs, ws}, .targ = {tx, DT_F32}, .tout = ty},
      {.node = *graph_node(g, dx), .nargs = 2, .shape = {ys, ws}, .targ = {ty, DT_F32}, .tout = tx},
      {.node = *graph_node(g, dw), .nargs = 2, .shape = {xs, ys}, .targ = {tx, ty}}};
  char name[96];
  snprintf(name, sizeof name, "%s%s", m->name, way);
  printf("  %-44s %-6s", name, precision_name(pr));
  for (int k = 0; k < kinds && graph_status(g, NULL) == ST_OK; k++) {
    NaiveVerdict v = {0};
    const double flop = conv_flop(&job[k].node), t = time_step(b, &job[k], dry ? 2 : 8, &v, &e),
                 tflops = flop / t / 1e12;
    if (t < 0) {
      printf("  failed: %.60s", e.msg);
      continue;
    }
    printf("  %8.1f us %6.1f TFLOP/s %4.0f %%%s", t * 1e6, tflops,
           limit_of(pr) > 0 ? 100 * tflops / limit_of(pr) : 0, v.bad ? " WRONG" : "");
    tell("conv", name, precision_name(pr), kind[k], t * 1e6, "us");
    tell("conv", name, precision_name(pr), kind[k], tflops, v.bad ? "TFLOP/s, WRONG" : "TFLOP/s");
  }
  printf("\n");
  graph_free(g);
}

static void bench_conv(Backend *b) {
  int batch = dry ? 1 : 64;
  printf(
      "convolutions, batch %d, %s: forward, input gradient, weight gradient (%% of the "
      "instruction's rate above; operands packed inside the time; WRONG: not as the definition)\n",
      batch, precision_name(b->precision));
  for (int k = 0; k < COUNT_OF(shapes) && !(dry && k > 1); k++)
    conv_row(b, &shapes[k], batch, 3, "");
}

/* One shape by wgmma; columns: of a tile, 0: as chosen. */
static void wgmma_row(Backend *b, const Shape7 *m, int columns) {
  char way[40] = ", wgmma";
  const long before = cuda_wgmma_launches();
  if (columns) {
    snprintf(way, sizeof way, ", wgmma, %d columns", columns);
    setenv("PRLX_CUDA_CONV", columns == 256 ? "128,0" : "64,0", 1);
  }
  cuda_use_wgmma(b, dry ? 2 : 1);
  conv_row(b, m, dry ? 1 : 64, 2, way);
  if (cuda_wgmma_launches() == before) printf("    (not by wgmma: no such card, or too small)\n");
  cuda_use_wgmma(b, 0);
  unsetenv("PRLX_CUDA_CONV");
}

/* Shapes of 64 channels and more, by either. In a dry run they have too few for the rule. */
static void bench_wgmma(Backend *b) {
  printf("convolutions by mma.sync and by wgmma, batch %d, %s: forward, input gradient\n",
         dry ? 1 : 64, precision_name(b->precision));
  for (int k = 0; k < COUNT_OF(shapes) && !(dry && k > 1); k++) {
    if (shapes[k].ci < 64 || shapes[k].co < 64) continue;
    conv_row(b, &shapes[k], dry ? 1 : 64, 2, ", mma.sync");
    wgmma_row(b, &shapes[k], 0);
    for (int columns = 128; columns <= 256 && b->precision == PREC_F16; columns *= 2)
      wgmma_row(b, &shapes[k], columns);
  }
}

static bool asked_wgmma(void) {
  const char *s = getenv("PRLX_CUDA_WGMMA");
  return s && !strcmp(s, "1");
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
  snprintf(what, sizeof what, "training, paper configuration, batch %d, %s%s", batch,
           precision_name(b->precision), asked_wgmma() ? ", wgmma" : "");
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
  if (!s) {
    tell("train", what, precision_name(b->precision), "speed", dt / iterations / batch * 1000,
         "s/kimg");
    tell("train", what, precision_name(b->precision), "rate",
         trainer_flop(t) * iterations / dt / 1e12, "TFLOP/s");
    tell("train", what, precision_name(b->precision), "bad gradients of the last iteration",
         (double)m.bad_gradients, "");
  }
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
  snprintf(what, sizeof what, "projection, paper configuration, %d lesions, %s%s", batch,
           precision_name(b->precision), asked_wgmma() ? ", wgmma" : "");
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
  if (!s) tell("project", what, precision_name(b->precision), "time of a step", dt * 1e3, "ms");
  projector_free(p);
  vgg_free(&v);
  generator_free(&G);
  mem_free(ws.w_avg);
  mem_free(target);
}

static void bench_features(Backend *b, int batch, FidConvention convention) {
  Inception v = {0};
  InceptionRun run = {0};
  Error e = {0};
  FidInput in = {.convention = convention};
  char what[96];
  int rounds = dry ? 1 : 20;
  snprintf(what, sizeof what, "Inception-v3 features of %s, batch %d, %s",
           fid_convention_name[convention], batch, precision_name(b->precision));
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
    printf("  %-56s %8.1f images/s (resizing and copies included)\n", what, batch / dt);
  if (!s) tell("features", what, precision_name(b->precision), "rate", batch / dt, "images/s");
  inception_run_free(&run);
  inception_free(&v);
  mem_free(img);
  mem_free(feat);
}

/* FID with interval and KID of two sets of made-up features, once each: seconds. */
static void bench_statistics(Backend *b, int64_t n, int reps) {
  enum { DIM = INCEPTION_DIM };
  Error e = {0};
  Gram g = {0};
  Fid f;
  Kid k;
  Interval i;
  Rng r = {.seed = 5};
  char what[96];
  float *x = mem_alloc((size_t)(2 * n * DIM) * sizeof *x);
  const Features one = {n, DIM, x}, two = {n, DIM, x ? x + n * DIM : NULL};
  Status s = x ? ST_OK : err_set(&e, ST_NOMEM, "out of memory");
  for (int64_t q = 0; x && q < 2 * n * DIM; q++) x[q] = fabsf((float)rng_normal(&r)) * 0.3f;
  const double t0 = seconds();
  if (!s) s = gram_new_on(b, &g, one, two, &e);
  if (!s) s = fid_gram(&g, NULL, NULL, COV_UNBIASED, &f, &e);
  const double t1 = seconds();
  if (!s && reps > 1)
    s = fid_bootstrap(&g, (Groups){0}, (Groups){0}, f.fid, 0, reps, 1, &i, NULL, NULL, &e);
  const double t2 = seconds();
  if (!s) s = kid_features_on(b, one, two, (Groups){0}, (Groups){0}, &k, &e);
  const double t[3] = {t1 - t0, t2 - t1, seconds() - t2};
  snprintf(what, sizeof what, "FID, %d resamples, KID of %lld and as many", reps, (long long)n);
  if (s)
    failed(what, &e);
  else
    printf("  %-56s %8.3f %8.3f %8.3f s\n", what, t[0], t[1], t[2]);
  if (!s) tell("statistics", what, "double", "FID", t[0], "s");
  if (!s) tell("statistics", what, "double", "interval", t[1], "s");
  if (!s) tell("statistics", what, "double", "KID", t[2], "s");
  gram_free(&g);
  mem_free(x);
}

static bool wanted(const char *list, const char *part) { return !list || strstr(list, part); }
static const char *parts;

static int options(int argc, char **argv) {
  Error e = {0};
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--dry"))
      dry = true;
    else if (!strcmp(argv[i], "--part") && i + 1 < argc)
      parts = argv[++i];
    else if (!strcmp(argv[i], "--json") && i + 1 < argc) {
      json_there = jsonl_open(&json, argv[++i], &e) == ST_OK;
      if (!json_there) return fprintf(stderr, "bench_gpu: %s\n", e.msg), 1;
    } else {
      fprintf(stderr, "usage: bench_gpu [--dry] [--part card,conv,wgmma,train,project,features,"
                      "statistics] [--json FILE]\n");
      return 2;
    }
  }
  return 0;
}

static void bench_precision(Precision p) {
  static const int batches[] = {64, 32, 128}, lesions[] = {1, 8, 100};
  Backend *b = NULL;
  Error e = {0};
  if (cuda_backend_new(0, p, &b, &e)) {
    failed(precision_name(p), &e);
    return;
  }
  if (wanted(parts, "conv")) bench_conv(b);
  if (wanted(parts, "wgmma") && (p == PREC_F16 || p == PREC_BF16)) bench_wgmma(b);
  if (asked_wgmma()) cuda_use_wgmma(b, 1);
  if (wanted(parts, "train"))
    for (int i = 0; i < (p == PREC_F16 && !dry ? 3 : 1); i++)
      bench_train(b, dry ? 4 : batches[i], p == PREC_F16 && i == 0 && !dry);
  if (wanted(parts, "project") && p != PREC_BF16)
    for (int i = 0; i < (dry ? 1 : 3); i++) bench_project(b, lesions[i]);
  for (int k = 0; k < FIDCONV_COUNT && p != PREC_BF16 && !dry; k++)
    if (wanted(parts, "features")) bench_features(b, 64, (FidConvention)k);
  if (wanted(parts, "statistics") && p == PREC_TF32) {
    bench_statistics(b, dry ? 12 : 600, dry ? 3 : 200);
    if (!dry) bench_statistics(b, 2500, 0);
  }
  cuda_backend_free(b);
}

int main(int argc, char **argv) {
  static const Precision order[] = {PREC_F16, PREC_BF16, PREC_TF32, PREC_STRICT};
  const int rc = options(argc, argv);
  char text[300];
  if (rc) return rc;
  if (!cuda_device_count(text, sizeof text)) {
    printf("no CUDA device: %s\n", text);
    return 1;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  cuda_describe(0, text, sizeof text);
  printf("device: %s%s\n", text, dry ? " (DRY RUN, tiny sizes: not a measurement)" : "");
  tell("device", text, "", "", 0, "");
  if (wanted(parts, "card") || wanted(parts, "conv") || wanted(parts, "wgmma")) bench_card();
  for (int k = 0; k < 4; k++) bench_precision(order[k]);
  if (json_there) jsonl_close(&json);
  threads_stop();
  return 0;
}
