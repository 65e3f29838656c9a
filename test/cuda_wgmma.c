/* cuda_wgmma.c: the product by wgmma (cuda/conv_wgmma.cu) beside the one by mma.sync
 * (cuda/conv_gemm.cu) on the same operands: every convolution of the paper's networks at full
 * channels on small maps, forward and input gradient, plain and with a loop in the store, sums
 * whole and in parts; then shapes with odd ends. Each result of wgmma is judged by the definition
 * (cuda/naive.h) and held against the other: under the emulation, which adds in the order of k in
 * both, whole sums are the same bits.
 * usage: cuda_wgmma [f16] [bf16]      (default: f16; TEST_LONG=1: both)
 * A card without wgmma: nothing to compare, said so. */
#include "core/conv.h"
#include "core/ops.h"
#include "core/threads.h"
#include "cuda/device.h"
#include "cuda/naive.h"
#include "test/cuda_exact.h"
#include "test/test.h"

typedef struct Pair {
  int n;
  int ci;
  int h;
  int w;
  int co;
  int k;
  int stride;
  int pad;
} Pair;
static const Pair pairs[] = {
    /* G and D: 3x3, the stride of D and, as input gradient, of G, the skip, the last block of D */
    {3, 512, 4, 4, 512, 3, 1, 1},
    {1, 512, 8, 8, 512, 3, 1, 1},
    {1, 256, 9, 9, 256, 3, 1, 1},
    {1, 512, 9, 9, 512, 3, 2, 0},
    {1, 256, 11, 11, 512, 3, 2, 0},
    {2, 256, 5, 5, 512, 1, 1, 0},
    {1, 513, 4, 4, 512, 3, 1, 1},
    /* VGG16 */
    {1, 64, 16, 16, 64, 3, 1, 1},
    {1, 64, 12, 12, 128, 3, 1, 1},
    {1, 128, 8, 8, 128, 3, 1, 1},
    {1, 128, 6, 6, 256, 3, 1, 1},
    {1, 256, 6, 6, 256, 3, 1, 1},
    {1, 256, 4, 4, 512, 3, 1, 1},
    /* boxes: several tiles along x, y and images; rows and channels that end in the middle */
    {7, 72, 12, 11, 200, 3, 1, 1},
    {2, 136, 33, 17, 72, 3, 1, 1},
    {5, 72, 19, 13, 65, 3, 2, 1},
    {3, 80, 15, 21, 72, 4, 2, 1},
    {2, 96, 9, 10, 136, 5, 3, 2},
    {1, 64, 3, 300, 64, 3, 1, 1},
    {70, 64, 2, 2, 64, 1, 1, 0},
};

/* A step with its memory; out[0] by mma.sync, out[1] by wgmma. */
typedef struct Run {
  DevStep s;
  PwProgram prog;
  void *mem[PW_MAX_ARGS];
  void *out[2];
  size_t bytes;
} Run;

static void operand(DevStep *s, int slot, Shape shape, DType type) {
  s->shape[slot] = shape;
  s->targ[slot] = type;
  s->arg[slot] = s;
  if (s->nargs <= slot) s->nargs = slot + 1;
}

/* lrelu(y d + noise) in the store: a number per image and row, a map that all rows share. */
static void chain(Run *r) {
  const Shape y = r->s.node.shape;
  PwProgram *p = &r->prog;
  p->narg = 3;
  p->nop = 3;
  p->iter = p->out_shape = p->arg_shape[0] = y;
  p->arg_shape[1] = SHAPE4(y.dim[0], y.dim[1], 1, 1);
  p->arg_shape[2] = SHAPE4(y.dim[0], 1, y.dim[2], y.dim[3]);
  p->op[0] = (PwOp){.op = OP_mul, .lhs = -1, .rhs = -2};
  p->op[1] = (PwOp){.op = OP_add, .lhs = 0, .rhs = -3};
  p->op[2] = (PwOp){.op = OP_lrelu};
  p->op[2].param.lrelu = (PwLrelu){.slope = 0.2f, .gain = 1.4f, .limit = 40};
  r->s.prog_store = p;
  operand(&r->s, MAX_IN + 1, p->arg_shape[1], DT_F32);
  operand(&r->s, MAX_IN + 2, p->arg_shape[2], DT_F32);
}

static Status describe(const Pair *q, bool dx, bool rich, DType half, Run *r, Error *e) {
  Graph *g = graph_new();
  if (!g) return err_set(e, ST_NOMEM, "out of memory");
  const Shape xs = SHAPE4(q->n, q->ci, q->h, q->w), ws = SHAPE4(q->co, q->ci, q->k, q->k);
  const Val x = g_input(g, "x", xs), w = g_input(g, "w", ws),
            y = g_conv2d(g, x, w, q->stride, q->pad);
  const Shape ys = graph_shape(g, y);
  const Val d = g_input(g, "d", ys),
            v = dx ? g_conv2d_dx(g, d, w, q->stride, q->pad, q->h, q->w) : y;
  if (graph_status(g, e) == ST_OK) r->s.node = *graph_node(g, v);
  const Status st = graph_status(g, e);
  graph_free(g);
  operand(&r->s, 0, dx ? ys : xs, half);
  operand(&r->s, 1, ws, DT_F32);
  /* a scale keeps a 1x1 map from being read as it lies */
  operand(&r->s, 3, SHAPE4(q->n, dx ? q->co : q->ci, 1, 1), DT_F32);
  r->s.tout = half;
  if (rich) chain(r);
  return st;
}

static Status run_once(Backend *b, Run *r, int way, Error *e) {
  DevProgram *p = NULL;
  void *scratch = NULL;
  cuda_use_wgmma(b, way ? 2 : 0);
  r->s.out = r->out[way];
  TRY(b->alloc(b, b->scratch(b, &r->s), &scratch, e));
  r->s.scratch = scratch;
  Status st = b->program(b, 1, &r->s, &p, e);
  if (st == ST_OK) st = b->run(b, p, e);
  if (st == ST_OK) st = b->sync(b, e);
  b->program_free(b, p);
  b->release(b, scratch);
  return st;
}

static Status run_both(Backend *b, Run *r, NaiveVerdict *v, Error *e) {
  Rng rng = {.seed = 5};
  for (int k = 0; k < r->s.nargs; k++) {
    if (!r->s.arg[k]) continue;
    const int64_t n = shape_numel(r->s.shape[k]);
    TRY(b->alloc(b, (size_t)n * dtype_size(r->s.targ[k]), &r->mem[k], e));
    TRY(cuda_naive_fill(b, r->s.targ[k], n, &rng, r->mem[k], e));
    r->s.arg[k] = r->mem[k];
  }
  r->bytes = (size_t)shape_numel(r->s.node.shape) * dtype_size(r->s.tout);
  for (int way = 0; way < 2; way++) {
    TRY(b->alloc(b, r->bytes, &r->out[way], e));
    TRY(run_once(b, r, way, e));
  }
  return cuda_naive_judge(b, &r->s, v, e);
}

/* Largest difference of the two, and whether they are the same bits. */
static double apart(Backend *b, const Run *r, bool bf16, bool *same, Error *e) {
  uint16_t *x = malloc(2 * r->bytes), *y = x + r->bytes / 2;
  double worst = 0;
  *same = x && b->download(b, x, r->out[0], r->bytes, e) == ST_OK &&
          b->download(b, y, r->out[1], r->bytes, e) == ST_OK;
  if (*same) {
    for (size_t k = 0; k < r->bytes / 2; k++)
      worst = fmax(worst, fabs((double)exact_from_16(x[k], bf16) - exact_from_16(y[k], bf16)));
    *same = !memcmp(x, y, r->bytes);
  }
  free(x);
  return worst;
}

static double worst_apart, worst_bound;

/* tile as in PRLX_CUDA_CONV: 128 and 64 are 256 and 128 columns of wgmma, 0: as chosen. */
static void compare(Backend *b, const Pair *q, bool dx, bool rich, int tile, int parts) {
  const DType half = b->precision == PREC_F16 ? DT_F16 : DT_BF16;
  Run *r = calloc(1, sizeof *r);
  NaiveVerdict v = {0};
  Error e = {0};
  char force[16];
  bool same = false;
  const long before = cuda_wgmma_launches();
  snprintf(force, sizeof force, "%d,%d", tile, parts);
  setenv("PRLX_CUDA_CONV", force, 1);
  Status st = r ? describe(q, dx, rich, half, r, &e) : ST_NOMEM;
  if (st == ST_OK) st = run_both(b, r, &v, &e);
  const double far = st == ST_OK ? apart(b, r, half == DT_BF16, &same, &e) : 0;
  CHECK(st == ST_OK && v.bad == 0 && cuda_wgmma_launches() > before,
        "%s n%d ci%d %dx%d co%d k%d s%d p%d, tile %d, %d parts%s: %s; %lld off, the worst (%lld) "
        "%g instead "
        "of %g; %ld products",
        dx ? "dx" : "forward", q->n, q->ci, q->h, q->w, q->co, q->k, q->stride, q->pad, tile, parts,
        rich ? ", loop in its store" : "", e.msg, (long long)v.bad, (long long)v.at, (double)v.got,
        (double)v.want, cuda_wgmma_launches() - before);
  if (exact_emulated() && parts == 1)
    CHECK(same, "%s ci%d %dx%d co%d: not the bits of mma.sync, %g apart", dx ? "dx" : "forward",
          q->ci, q->h, q->w, q->co, far);
  worst_apart = fmax(worst_apart, far);
  worst_bound = fmax(worst_bound, v.worst);
  for (int k = 0; r && k < PW_MAX_ARGS; k++) b->release(b, r->mem[k]);
  for (int k = 0; r && k < 2; k++) b->release(b, r->out[k]);
  free(r);
}

static void compare_all(Precision p) {
  Backend *b = NULL;
  Error e = {0};
  CHECK(cuda_backend_new(0, p, &b, &e) == ST_OK, "backend: %s", e.msg);
  if (!b) return;
  worst_apart = worst_bound = 0;
  static const int tiles[3] = {128, 64, 0};
  for (int k = 0; k < 2 * COUNT_OF(pairs); k++)
    compare(b, &pairs[k / 2], k & 1, (k / 2 + k) & 1, tiles[k % 3], k / 2 % 3 == 2 ? 3 : 1);
  printf("%s: %d products twice, at most %g apart, worst %.2f of the bound\n", precision_name(p),
         2 * COUNT_OF(pairs), worst_apart, worst_bound);
  cuda_backend_free(b);
}

static bool wanted(int argc, char **argv, const char *precision, bool usual) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], precision)) return true;
  return argc < 2 && usual;
}

int main(int argc, char **argv) {
  char card[256];
  threads_set(1);
  cuda_describe(0, card, sizeof card);
  if (!cuda_device_count(NULL, 0) || !strstr(card, "sm_90,"))
    printf("no card of compute capability 9.0: nothing to compare (%s)\n", card);
  else
    for (int p = PREC_F16; p <= PREC_BF16; p++)
      if (wanted(argc, argv, precision_name((Precision)p), p == PREC_F16 || getenv("TEST_LONG")))
        compare_all((Precision)p);
  threads_stop();
  return test_end();
}
