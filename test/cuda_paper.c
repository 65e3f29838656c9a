/* cuda_paper.c: every step of the paper configuration against its definition on the device
 * (cuda/naive.h): all phases of training with augmentation, and a projection with VGG16. The steps
 * are those of the plans themselves: a trainer and a projector run on a backend that only collects
 * what it is given; then each different step (operation, shapes, types, loop in its store) runs on
 * random operands, launched and as a captured graph, and is judged.
 * On a card: 64 x 64, batch 64, 64 lesions. Emulated: full channel counts, but 8 x 8 and batch 4
 * (the projection: 16 x 16, one lesion).
 * usage: cuda_paper [strict] [tf32] [f16] [bf16]      (default: all)
 * environment: TEST_VERBOSE=1 a line for each step; TEST_WGMMA=1|2 convolutions in 16 bits by wgmma
 * (cuda_use_wgmma) */
#include "core/conv.h"
#include "core/threads.h"
#include "cuda/device.h"
#include "cuda/naive.h"
#include "models/gan/projector.h"
#include "models/gan/train.h"
#include "test/cuda_exact.h"
#include "test/test.h"

/* ---- a backend that collects ---- */
typedef struct Collected {
  DevStep s;
  PwProgram prog;
} Collected;
static struct {
  Collected **step;
  int n;
  int room;
  int64_t seen;
  Backend real; /* the functions that were replaced */
} all;

static bool same_program(const PwProgram *a, const PwProgram *b) {
  if (!a || !b) return a == b;
  bool same = a->nop == b->nop && a->narg == b->narg && a->result == b->result &&
              a->reduce == b->reduce && a->samples == b->samples && a->nmore == b->nmore &&
              a->stored_at == b->stored_at && a->unstored == b->unstored &&
              !memcmp(&a->up, &b->up, sizeof a->up) &&
              !memcmp(&a->from, &b->from, sizeof a->from) && shape_eq(a->iter, b->iter) &&
              shape_eq(a->out_shape, b->out_shape);
  for (int k = 0; k < a->nmore && same; k++)
    same = a->more[k].result == b->more[k].result && shape_eq(a->more[k].shape, b->more[k].shape);
  for (int k = 0; k < a->nop && same; k++) same = !memcmp(&a->op[k], &b->op[k], sizeof a->op[k]);
  for (int k = 0; k < a->narg && same; k++) same = shape_eq(a->arg_shape[k], b->arg_shape[k]);
  return same;
}

static bool same_step(const DevStep *a, const DevStep *b) {
  bool same = a->node.op == b->node.op && shape_eq(a->node.shape, b->node.shape) &&
              !memcmp(&a->node.attr, &b->node.attr, sizeof a->node.attr) && a->nargs == b->nargs &&
              a->tout == b->tout && !memcmp(a->tmore, b->tmore, sizeof a->tmore) &&
              !memcmp(&a->out_lies, &b->out_lies, sizeof a->out_lies) &&
              a->store_from == b->store_from && same_program(a->prog, b->prog) &&
              same_program(a->prog_store, b->prog_store);
  for (int k = 0; k < a->nargs && same; k++)
    same = !a->arg[k] == !b->arg[k] &&
           (!a->arg[k] || (shape_eq(a->shape[k], b->shape[k]) && a->targ[k] == b->targ[k] &&
                           !memcmp(&a->lies[k], &b->lies[k], sizeof a->lies[k])));
  return same;
}

static void collect_step(const DevStep *s) {
  all.seen++;
  if (!cuda_naive_has(s)) return;
  for (int k = 0; k < all.n; k++)
    if (same_step(&all.step[k]->s, s)) return;
  if (all.n == all.room) {
    all.room = 2 * all.room + 64;
    all.step = realloc(all.step, (size_t)all.room * sizeof *all.step);
  }
  Collected *c = all.step[all.n++] = calloc(1, sizeof *c);
  c->s = *s;
  memset(c->s.node.in, 0, sizeof c->s.node.in);
  if (s->prog) c->prog = *s->prog;
  if (s->prog_store) c->prog = *s->prog_store;
  if (s->prog) c->s.prog = &c->prog;
  if (s->prog_store) c->s.prog_store = &c->prog;
}

static Status collect(Backend *b, int n, const DevStep *s, DevProgram **out, Error *e) {
  for (int k = 0; k < n; k++) collect_step(&s[k]);
  *out = malloc(1);
  return *out ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
}
static void forget(Backend *b, DevProgram *p) { free(p); }
static Status idle_run(Backend *b, DevProgram *p, Error *e) { return ST_OK; }
static Status idle_normal(Backend *b, Rng *r, float *to, int64_t n, Error *e) { return ST_OK; }
static Status idle_adam(Backend *b, float *p, const float *g, float *m, float *v, int64_t n,
                        const AdamCoef *a, Error *e) {
  return ST_OK;
}
static Status idle_add(Backend *b, float *acc, const float *g, int64_t n, Error *e) {
  return ST_OK;
}
static Status idle_sanitize(Backend *b, float *g, int64_t n, float factor, float most, int64_t *bad,
                            Error *e) {
  return ST_OK;
}
static Status idle_ema(Backend *b, float *ema, const float *p, int64_t n, float beta, Error *e) {
  return ST_OK;
}

static Status idle_ema_size(Backend *b, float *ema, const float *p, const FlatPlaces *s, float beta,
                            Error *e) {
  return ST_OK;
}

static void hook(Backend *b) {
  all.real = *b;
  b->program = collect;
  b->program_free = forget;
  b->run = idle_run;
  b->fill_normal = idle_normal;
  b->adam = idle_adam;
  b->accumulate = idle_add;
  b->sanitize = idle_sanitize;
  b->ema = idle_ema;
  b->ema_size = idle_ema_size;
}

static void unhook(Backend *b) {
  b->program = all.real.program;
  b->program_free = all.real.program_free;
  b->run = all.real.run;
  b->fill_normal = all.real.fill_normal;
  b->adam = all.real.adam;
  b->accumulate = all.real.accumulate;
  b->sanitize = all.real.sanitize;
  b->ema = all.real.ema;
  b->ema_size = all.real.ema_size;
}

/* ---- what makes the plans ---- */
/* Channels as at 64 x 64, on maps of this side. */
static void paper_nets(GenConfig *G, DisConfig *D, int side) {
  G->channel_base = G->channel_base * side / 64;
  if (D) D->channel_base = D->channel_base * side / 64;
}

static void collect_training(Backend *b, int side, int batch) {
  TrainConfig c;
  Trainer *t = NULL;
  TrainMetrics m;
  Error e = {0};
  float *images = calloc((size_t)(batch * side * side), sizeof *images);
  Status s = images ? train_preset(&c, "paper", side, 1, 0, &e) : ST_NOMEM;
  if (s == ST_OK) {
    paper_nets(&c.G, &c.D, side);
    c.batch = c.batch_gpu = batch;
    c.backend = b;
    s = trainer_new(&c, &(TrainData){images, NULL, batch}, &t, &e);
  }
  /* the first iteration has every phase */
  if (s == ST_OK) s = trainer_step(t, &m, &e);
  CHECK(s == ST_OK, "training: %s", e.msg);
  trainer_free(t);
  free(images);
}

static void collect_projection(Backend *b, int side, int batch) {
  GenConfig c = gen_config_paper();
  Generator G = {0};
  Vgg v = {0};
  Projector *p = NULL;
  Error e = {0};
  ProjectOptions o = project_defaults();
  float *target = calloc((size_t)(batch * side * side), sizeof *target);
  WStats ws = {calloc((size_t)c.w_dim, sizeof *ws.w_avg), 1};
  c.img_resolution = side;
  paper_nets(&c, NULL, side);
  o.backend = b;
  Status s = target && ws.w_avg ? generator_new(&G, &c, &e) : ST_NOMEM;
  if (s == ST_OK) s = vgg_new(&v, &e);
  if (s == ST_OK) s = projector_new(&G, &v, &ws, &o, batch, &p, &e);
  if (s == ST_OK) s = projector_start(p, target, NULL, &e);
  if (s == ST_OK) s = projector_step(p, NULL, &e);
  CHECK(s == ST_OK, "projection: %s", e.msg);
  projector_free(p);
  vgg_free(&v);
  generator_free(&G);
  free(ws.w_avg);
  free(target);
}

/* ---- the verdicts ---- */
static bool lies_last(const DevStep *s) {
  bool last = s->out_lies.last;
  for (int k = 0; k < s->nargs; k++) last = last || s->lies[k].last;
  return last;
}

static void judge_all(Backend *b) {
  double worst = 0;
  int shown = 0, last = 0;
  for (int k = 0; k < all.n; k++) {
    const DevStep *s = &all.step[k]->s;
    NaiveVerdict v = {0};
    Error e = {0};
    char shape[96], in[96];
    const char *op = s->prog ? s->prog->reduce ? "sum" : "loop" : op_table[s->node.op]->name;
    const Status st = cuda_naive_probe(b, s, (uint64_t)k + 1, &v, &e);
    CHECK(st == ST_OK && v.bad == 0,
          "%s, step %d: %s of %s -> %s%s: %s; %lld results off, the worst (%lld) %g instead of %g",
          precision_name(b->precision), k, op, shape_str(s->shape[0], in),
          shape_str(s->node.shape, shape), s->prog_store ? ", loop in its store" : "", e.msg,
          (long long)v.bad, (long long)v.at, (double)v.got, (double)v.want);
    if (getenv("TEST_VERBOSE"))
      printf("%s of %s -> %s: worst %.2f of the bound\n", op, in, shape, v.worst);
    worst = fmax(worst, v.worst);
    last += lies_last(s);
    if (st != ST_OK && ++shown == 3) break; /* the device is gone */
  }
  printf("%s: %lld steps, %d different ones judged, %d with channels last, worst %.2f of the "
         "bound\n",
         precision_name(b->precision), (long long)all.seen, all.n, last, worst);
}

static void forget_all(void) {
  for (int k = 0; k < all.n; k++) free(all.step[k]);
  free(all.step);
  memset(&all, 0, sizeof all);
}

static bool wanted(int argc, char **argv, const char *precision) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], precision)) return true;
  return argc < 2;
}

int main(int argc, char **argv) {
  char why[256];
  const bool emulated = exact_emulated();
  if (!cuda_device_count(why, sizeof why)) {
    printf("no CUDA device: %s\n0 passed, 0 failed\n", why);
    return 2;
  }
  for (int p = 0; p < 4; p++) {
    Backend *b = NULL;
    Error e = {0};
    if (!wanted(argc, argv, precision_name((Precision)p))) continue;
    CHECK(cuda_backend_new(0, (Precision)p, &b, &e) == ST_OK, "backend: %s", e.msg);
    if (!b) break;
    if (getenv("TEST_WGMMA")) cuda_use_wgmma(b, atoi(getenv("TEST_WGMMA")));
    if (emulated) cuda_use_several(b, 1 << 12); /* in proportion to the maps */
    hook(b);
    collect_training(b, emulated ? 8 : 64, emulated ? 4 : 64);
    collect_projection(b, emulated ? 16 : 64, emulated ? 1 : 64);
    unhook(b);
    CHECK(all.n > 50, "%d steps collected", all.n);
    judge_all(b);
    if (getenv("TEST_WGMMA")) printf("%ld products by wgmma\n", cuda_wgmma_launches());
    cuda_backend_free(b);
    forget_all();
  }
  threads_stop();
  return test_end();
}
