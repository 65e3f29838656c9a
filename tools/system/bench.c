/* bench.c: `prlx bench`: the machine's measured limits and, in the same run, how near to them the
 * library comes. All times are medians. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/bf16.h"
#include "core/isa.h"
#include "core/kernels/peak.h"
#include "core/threads.h"
#include "models/gan/projector.h"
#include "models/gan/train.h"
#include "tools/cli/tool.h"
#include "tools/system/bench_compare.h"

/* peak: GFLOP/s of all threads together; copy: GB/s; medians */
static struct {
  int repeat;
  int batch;
  bool quick;
  bool roofline;
  double peak;
  double copy;
} B;

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double bench_median(double *v, int n) {
  qsort(v, (size_t)n, sizeof *v, by_value);
  return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

enum { MAX_REPEAT = 101 };

/* ---- machine ---- */
typedef struct Burn {
  const PeakKernels *k;
  int64_t iters;
  real sink[MAX_WORKERS];
} Burn;
static void bench_burn(void *ctx, int64_t i, int worker) {
  Burn *b = ctx;
  const real seed[2] = {(real)0.999, (real)0.001};
  b->sink[worker] += b->k->fma(b->iters, seed);
}

static double measure_fma(int blocks, double *best) {
  Burn b = {.k = ISA_PICK(peak_kernels), .iters = 300000};
  double t[MAX_REPEAT];
  int n = PRLX_MAX(B.repeat, 9);
  *best = 0;
  for (int r = -1; r < n; r++) {
    double t0 = time_now();
    par_for(blocks, bench_burn, &b);
    double g = (double)b.k->flop_per_iter * (double)b.iters * blocks / (time_now() - t0) / 1e9;
    if (r >= 0) t[r] = g, *best = fmax(*best, g);
  }
  return bench_median(t, n);
}

typedef struct Stream {
  const PeakKernels *k;
  real *a;
  real *b;
  real *c;
  int64_t block;
  bool triad;
} Stream;
static void bench_stream(void *ctx, int64_t i, int worker) {
  Stream *s = ctx;
  int64_t o = i * s->block;
  if (s->triad)
    s->k->triad(s->a + o, s->b + o, s->c + o, (real)3, s->block);
  else
    s->k->copy(s->a + o, s->b + o, s->block);
}

static Status measure_bandwidth(double out[2], Error *e) {
  /* 64 MiB per array: larger than the caches */
  int64_t n = (int64_t)16 << 20, block = 1 << 16;
  Stream s = {.k = ISA_PICK(peak_kernels), .block = block};
  Status st = ST_OK;
  s.a = mem_alloc((size_t)n * sizeof(real));
  s.b = mem_alloc((size_t)n * sizeof(real));
  s.c = mem_alloc((size_t)n * sizeof(real));
  if (!s.a || !s.b || !s.c) {
    st = err_set(e, ST_NOMEM, "bench: out of memory for three arrays of 64 MiB");
    goto done;
  }
  for (int64_t i = 0; i < n; i++) s.a[i] = s.b[i] = s.c[i] = (real)(i & 7);
  for (int k = 0; k < 2; k++) {
    double t[MAX_REPEAT];
    s.triad = k == 1;
    for (int r = -1; r < B.repeat; r++) {
      double t0 = time_now();
      par_for(n / block, bench_stream, &s);
      if (r >= 0) t[r] = (k + 2.0) * (double)n * sizeof(real) / (time_now() - t0) / 1e9;
    }
    out[k] = bench_median(t, B.repeat);
  }
done:
  mem_free(s.a);
  mem_free(s.b);
  mem_free(s.c);
  return st;
}

static Status bench_machine(Error *e) {
  double best, best1, bw[2] = {0}, one = measure_fma(1, &best1);
  B.peak = measure_fma(threads_count() * 8, &best);
  TRY(measure_bandwidth(bw, e));
  B.copy = bw[0];
  printf("machine: %s, %d threads%s%s\n", isa_name(isa_current()), threads_count(),
         bf16_used() ? ", products of bf16 by " : "", bf16_used() ? bf16_name(bf16_way()) : "");
  printf("  multiply-add peak      %8.1f GFLOP/s (best %.1f); one thread %.1f (best %.1f)\n",
         B.peak, best, one, best1);
  printf("  memory bandwidth       %8.1f GB/s copy, %.1f GB/s triad\n\n", bw[0], bw[1]);
  return ST_OK;
}

static void bench_head(const char *title) {
  printf("%-50s %10s %10s %10s %7s %10s\n", title, "ms", "GFLOP", "GFLOP/s", "share", "arena MiB");
}

static void bench_row(const char *name, double seconds, double flop, size_t arena) {
  double g = flop / 1e9, rate = g / seconds;
  printf("  %-48s %10.3f", name, seconds * 1e3);
  if (flop > 0)
    printf(" %10.3f %10.1f %6.0f%%", g, rate, 100 * rate / B.peak);
  else
    printf(" %10s %10s %7s", "", "", "");
  if (arena) printf(" %10.1f", (double)arena / 1048576);
  printf("\n");
  fflush(stdout);
}

/* ---- convolution shapes ---- */
typedef struct ConvShape {
  const char *where;
  int ci;
  int co;
  int res;
  int k;
  int stride;
} ConvShape;
/* The convolutions of the paper configuration and of VGG16 at 64x64. stride 2, k 3: D's
 * downsampling on the padded map and, as its input gradient, G's upsampling. */
static const ConvShape shapes[] = {
    {"G b4", 512, 512, 4, 3, 1},         {"G b8", 512, 512, 8, 3, 1},
    {"G b16", 512, 512, 16, 3, 1},       {"G b32", 512, 512, 32, 3, 1},
    {"G b64", 256, 256, 64, 3, 1},       {"D b64 down", 256, 512, 65, 3, 2},
    {"D b32 down", 512, 512, 33, 3, 2},  {"D b64 skip", 256, 512, 32, 1, 1},
    {"VGG conv1_2", 64, 64, 64, 3, 1},   {"VGG conv2_2", 128, 128, 32, 3, 1},
    {"VGG conv3_2", 256, 256, 16, 3, 1}, {"VGG conv4_2", 512, 512, 8, 3, 1},
    {"VGG conv5_2", 512, 512, 4, 3, 1},
};
enum { KIND_FORWARD, KIND_DX, KIND_DW, KIND_COUNT };
static const char *const kind_name[KIND_COUNT] = {"forward", "input gradient", "weight gradient"};

/* One convolution or one of its gradients in g; w: its weights, of the shape ws. */
static Status conv_time(const ConvShape *c, int kind, int batch, Graph *g, real *w, Error *e) {
  int pad = c->k == 3 && c->stride == 1 ? 1 : 0, out = (c->res + 2 * pad - c->k) / c->stride + 1;
  Shape xs = SHAPE4(batch, c->ci, c->res, c->res), ys = SHAPE4(batch, c->co, out, out),
        ws = SHAPE4(c->co, c->ci, c->k, c->k);
  Plan *p = NULL;
  double t[MAX_REPEAT];
  char name[96];
  Rng r = {1, 0, 0};
  rng_fill_normal(&r, w, shape_numel(ws));
  Val wv = kind == KIND_DW ? 0 : g_param(g, "w", ws, w, true);
  Val x = kind == KIND_DX ? 0 : g_input(g, "x", xs),
      dy = kind == KIND_FORWARD ? 0 : g_input(g, "dy", ys);
  Val y = kind == KIND_FORWARD ? g_conv2d(g, x, wv, c->stride, pad)
          : kind == KIND_DX    ? g_conv2d_dx(g, dy, wv, c->stride, pad, c->res, c->res)
                               : g_conv2d_dw(g, x, dy, c->stride, pad, c->k, c->k);
  TRY(graph_status(g, e));
  TRY(plan_new(g, 1, &y, NULL, &p, e));
  Status s = ST_OK;
  if (x) rng_fill_normal(&r, plan_data(p, x), shape_numel(xs));
  if (dy) rng_fill_normal(&r, plan_data(p, dy), shape_numel(ys));
  for (int k = -1; k < B.repeat; k++) {
    const double t0 = time_now();
    s = plan_run(p, e);
    if (s != ST_OK) goto done;
    if (k >= 0) t[k] = time_now() - t0;
  }
  snprintf(name, sizeof name, "%-11s %3d->%3d %2dx%-2d %dx%d%s %s", c->where, c->ci, c->co, c->res,
           c->res, c->k, c->k, c->stride == 2 ? " s2" : "", kind_name[kind]);
  bench_row(name, bench_median(t, B.repeat), plan_stats(p).flop, plan_stats(p).arena_bytes);
done:
  plan_free(p);
  return s;
}

static Status conv_row(const ConvShape *c, int kind, int batch, Error *e) {
  Graph *g = graph_new();
  real *w = mem_alloc((size_t)(c->co * c->ci * c->k * c->k) * sizeof *w);
  const Status s =
      w && g ? conv_time(c, kind, batch, g, w, e) : err_set(e, ST_NOMEM, "bench: out of memory");
  graph_free(g);
  mem_free(w);
  return s;
}

static Status bench_conv(Error *e) {
  char title[64];
  snprintf(title, sizeof title, "convolutions, batch %d", B.batch);
  bench_head(title);
  for (int i = 0; i < COUNT_OF(shapes); i++)
    for (int kind = 0; kind < KIND_COUNT && !tool_interrupted; kind++)
      TRY(conv_row(&shapes[i], kind, B.batch, e));
  printf("\n");
  return ST_OK;
}

/* ---- projection ---- */
static Status project_row(const Generator *G, const Vgg *v, const WStats *ws, int batch, Error *e) {
  ProjectOptions o = project_defaults();
  Projector *p = NULL;
  ProjectStep info;
  int64_t per = (int64_t)G->cfg.img_channels * G->cfg.img_resolution * G->cfg.img_resolution;
  real *target = mem_alloc((size_t)(batch * per) * sizeof *target);
  if (!target) return err_set(e, ST_NOMEM, "bench: out of memory");
  for (int64_t i = 0; i < batch * per; i++) target[i] = (real)sin(0.1 * (double)i);
  Status s = projector_new(G, v, ws, &o, batch, &p, e);
  if (s != ST_OK) goto done;
  s = projector_start(p, target, NULL, e);
  if (s != ST_OK) goto done;
  double t[MAX_REPEAT];
  for (int k = -2; k < B.repeat && !tool_interrupted; k++) {
    if (k == 0) projector_profile(p, B.roofline);
    double t0 = time_now();
    s = projector_step(p, &info, e);
    if (s != ST_OK) goto done;
    if (k >= 0) t[k] = time_now() - t0;
  }
  if (!tool_interrupted) {
    char name[64];
    double sec = bench_median(t, B.repeat);
    PlanStats st = projector_stats(p);
    snprintf(name, sizeof name, "one step, batch %d", batch);
    bench_row(name, sec, st.flop, st.arena_bytes);
    printf("  %-48s %10.1f s per lesion\n", "  1000 steps", sec * 1000 / batch);
    if (B.roofline) projector_roofline(p, B.peak, B.copy, stdout);
  }
done:
  projector_free(p);
  mem_free(target);
  return s;
}

static Status bench_project(Error *e) {
  Generator G = {0};
  Vgg v = {0};
  GenConfig c = gen_config_paper();
  TRY(generator_new(&G, &c, e));
  Status s = ST_OK;
  WStats ws = {mem_alloc((size_t)c.w_dim * sizeof(real)), 1};
  if (!ws.w_avg) {
    s = err_set(e, ST_NOMEM, "bench: out of memory");
    goto done;
  }
  s = vgg_new(&v, e);
  if (s != ST_OK) goto done;
  generator_formula(&G, "G.");
  vgg_formula(&v, "VGG.");
  bench_head("projection, paper configuration");
  s = project_row(&G, &v, &ws, 1, e);
  if (s != ST_OK) goto done;
  if (!B.quick && !tool_interrupted) {
    s = project_row(&G, &v, &ws, 8, e);
    if (s != ST_OK) goto done;
  }
  printf("\n");
done:
  vgg_free(&v);
  mem_free(ws.w_avg);
  generator_free(&G);
  return s;
}

/* ---- training ---- */
/* Every phase runs in every iteration, so that all have medians; s/kimg weighs them by their true
 * intervals. batch 0: the preset's. */
static Status train_rows(const char *preset, int batch, bool augment, Error *e) {
  TrainConfig c;
  Trainer *t = NULL;
  TrainMetrics m;
  int res = 64, n = 64;
  real *img = mem_alloc((size_t)n * (size_t)res * (size_t)res * sizeof *img);
  if (!img) return err_set(e, ST_NOMEM, "bench: out of memory");
  Rng r = {7, 0, 0};
  rng_fill_uniform(&r, img, (int64_t)n * res * res);
  TrainData data = {img, NULL, n};
  Status s = train_preset(&c, preset, res, 1, 0, e);
  if (s != ST_OK) goto done;
  int gi = c.g_reg_interval, di = c.d_reg_interval;
  if (batch) c.batch = c.batch_gpu = batch;
  batch = c.batch;
  c.augment = augment;
  c.ada.adaptive = false;
  c.ada.p_init = augment ? 0.5 : 0;
  c.g_reg_interval = c.d_reg_interval = 1;
  s = trainer_new(&c, &data, &t, e);
  if (s != ST_OK) goto done;
  double v[PH_COUNT + 1][MAX_REPEAT];
  for (int k = -1; k < B.repeat && !tool_interrupted; k++) {
    if (k == 0) trainer_profile(t, B.roofline);
    s = trainer_step(t, &m, e);
    if (s != ST_OK) goto done;
    for (int ph = 0; k >= 0 && ph < PH_COUNT; ph++) v[ph][k] = m.seconds[ph];
    if (k >= 0) v[PH_COUNT][k] = m.seconds_other;
  }
  if (!tool_interrupted) {
    char title[80];
    double med[PH_COUNT + 1];
    for (int k = 0; k <= PH_COUNT; k++) med[k] = bench_median(v[k], B.repeat);
    double kimg =
        (med[PH_GMAIN] + med[PH_DMAIN] + med[PH_GREG] / gi + med[PH_DREG] / di + med[PH_COUNT]) /
        batch * 1000;
    snprintf(title, sizeof title, "training, %s, batch %d, %s", preset, batch,
             augment ? "bgc at p 0.5" : "no augmentation");
    bench_head(title);
    bench_row("generator, main (Gmain)", med[PH_GMAIN], 0, 0);
    bench_row("discriminator, main (Dmain)", med[PH_DMAIN], 0, 0);
    bench_row("path length (Greg)", med[PH_GREG], 0, 0);
    bench_row("R1 (Dreg)", med[PH_DREG], 0, 0);
    bench_row("rest (average, sampling)", med[PH_COUNT], 0, 0);
    bench_row("all four phases", med[0] + med[1] + med[2] + med[3], trainer_flop(t),
              trainer_memory(t).activations);
    printf("  %-48s %10.2f (path length every %d, R1 every %d)\n\n", "s/kimg", kimg, gi, di);
    if (B.roofline) trainer_roofline(t, B.peak, B.copy, stdout);
  }
done:
  trainer_free(t);
  mem_free(img);
  return s;
}

static Status bench_train(Error *e) {
  TRY(train_rows("small", 0, true, e));
  return B.quick || tool_interrupted ? ST_OK : train_rows("paper", 8, false, e);
}

/* ---- the command ---- */
static bool bench_listed(const char *list, const char *name) {
  size_t n = strlen(name);
  for (const char *p = list; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ','))
    if (strcspn(p, ",") == n && !strncmp(p, name, n)) return true;
  return false;
}

/* The options of this run as an old build knows them, for both builds; --precision for this one. */
static int compare_builds(const char *other, int pairs, const char *only) {
  char repeat[16], batch[16], threads[16];
  snprintf(repeat, sizeof repeat, "%d", B.repeat);
  snprintf(batch, sizeof batch, "%d", B.batch);
  snprintf(threads, sizeof threads, "%d", threads_count());
  const char *argv[] = {"prlx",
                        "bench",
                        "--only",
                        only,
                        "--repeat",
                        repeat,
                        "--batch",
                        batch,
                        "--threads",
                        threads,
                        B.quick ? "--quick" : NULL,
                        NULL};
  Error e = {0};
  const char *precision = opts_precision() == 1 + PREC_BF16 ? "bf16" : NULL;
  if (bench_compare(other, pairs, precision, (char *const *)argv, &e) == ST_OK) return EXIT_DONE;
  return tool_fail("bench", &e);
}

int tool_bench(int argc, char **argv) {
  static const struct {
    const char *name;
    Status (*run)(Error *e);
  } part[] = {{"conv", bench_conv}, {"project", bench_project}, {"train", bench_train}};
  const char *only = NULL, *other = NULL;
  int pairs = 0;
  Opt t[] = {
      OPT_STR("only", &only, "conv,project,train", "LIST",
              "parts to run, from conv, project, train, machine"),
      OPT_INT("repeat", &B.repeat, "5", 1, MAX_REPEAT,
              "measurements per number; the median is printed"),
      OPT_INT("batch", &B.batch, "8", 1, 64, "images in the convolution part"),
      OPT_FLAG("quick", &B.quick, "no", "fewer cases: projection batch 1, training small only"),
      OPT_FLAG("roofline", &B.roofline, "no",
               "of projection and training: time of every operation of the plans, and its\n"
               "shares of the multiply-add peak and of the bandwidth measured before"),
      OPT_STR("compare", &other, NULL, "PROGRAM",
              "another build of prlx: both run this benchmark in turn; medians of the ratios.\n"
              "--precision bf16 is for this build only: compare it with itself"),
      OPT_INT("pairs", &pairs, "5", 1, 101, "runs of each with --compare"),
  };
  OptSpec s = {.cmd = "bench",
               .summary = "speed next to the measured limits of this machine",
               .opt = t,
               .n = COUNT_OF(t),
               .details = "Each row: median time, work (2 x multiply-adds), rate, and its share of "
                          "the multiply-add peak measured at the start of the same run.\n"
                          "A Winograd convolution can exceed 100 %: it needs fewer multiply-adds "
                          "than are counted.\n"
                          "Peer: any implementation of the same three steps on the same cores, "
                          "measured in the same hour; ours is PyTorch (2 threads, eager) with\n"
                          "projection at batch 1 and 8, and training main, R1 and path length at "
                          "batch 8 without augmentation, all of the paper configuration."};
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  for (const char *p = only; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)PRLX_MIN(strcspn(p, ","), sizeof word - 1), p);
    if (!bench_listed("conv,project,train,machine", word))
      return tool_usage("bench", "option --only: '%s' is not one of conv, project, train, machine",
                        word);
  }
  if (B.roofline && (other || !(bench_listed(only, "project") || bench_listed(only, "train"))))
    return tool_usage("bench", "option --roofline is of project and train of this build; expected "
                               "one of them in --only, and no --compare");
  if (other) return compare_builds(other, pairs, only);
  Error e = {0};
  if (opts_precision() == 1 + PREC_BF16 && bf16_use(true, &e)) return tool_fail("bench", &e);
  if (bench_machine(&e)) return tool_fail("bench", &e);
  for (int i = 0; i < COUNT_OF(part) && !tool_interrupted; i++)
    if (bench_listed(only, part[i].name) && part[i].run(&e)) return tool_fail("bench", &e);
  if (!tool_interrupted) return EXIT_DONE;
  err_set(&e, ST_INTERRUPTED, "stopped; not every row was measured");
  return tool_fail("bench", &e);
}
