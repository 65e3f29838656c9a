/* selftest.cu: before a card is trusted: each kind of kernels on a few small shapes against its
 * definition (cuda/naive.h), and what takes their place when they do not agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cuda/device.h"
#include "cuda/device_impl.h"
#include "cuda/naive.h"
extern "C" {
#include "core/ops.h"
}

/* One case: the step, with its program when it has one. */
typedef struct TestStep {
  DevStep s;
  PwProgram program;
} TestStep;

typedef struct TestConv {
  int n;
  int ci;
  int h;
  int w;
  int co;
  int k;
  int stride;
  int pad;
} TestConv;

/* Every layout and edge in little. More than a tile of channels on both sides, so that each kind
 * has a second row of tiles, also of the larger ones: 3x3, stride 2, a 1x1 that is read as it
 * lies; then wide and thin. */
static const TestConv test_convs[] = {{1, 136, 5, 7, 136, 3, 1, 1},
                                      {1, 136, 5, 5, 136, 3, 2, 1},
                                      {1, 136, 4, 8, 136, 1, 1, 0},
                                      {2, 64, 4, 8, 1, 1, 1, 0},
                                      {2, 1, 4, 8, 64, 1, 1, 0}};
enum { TEST_CONVS = sizeof test_convs / sizeof *test_convs, TEST_ROUNDS = 4 };

/* More columns than a tile of wgmma, which has its own two: boxes of whole images. */
static const TestConv test_wide = {3, 72, 12, 12, 72, 3, 1, 1};
static const char *const test_names[KIND_COUNT] = {"convolution",
                                                   "input gradient",
                                                   "weight gradient",
                                                   "matrix product",
                                                   "filter",
                                                   "warp",
                                                   "loop",
                                                   "sum",
                                                   "loop of several results",
                                                   "other"};

static DType test_half(const Backend *b) {
  return b->precision == PREC_F16 ? DT_F16 : b->precision == PREC_BF16 ? DT_BF16 : DT_F32;
}

/* An operand: there, of this shape and type. */
static void test_operand(DevStep *s, int slot, Shape shape, DType type) {
  s->shape[slot] = shape;
  s->targ[slot] = type;
  s->arg[slot] = s;
  if (s->nargs <= slot) s->nargs = slot + 1;
}

static Shape test_shape4(int64_t a, int64_t b, int64_t c, int64_t d) {
  Shape s = {4, {a, b, c, d}};
  return s;
}

/* lrelu(y d + bias) in the store: y is what the convolution made. */
static void test_store(TestStep *t) {
  const Shape y = t->s.node.shape;
  PwProgram *p = &t->program;
  *p = (PwProgram){};
  p->narg = 3;
  p->nop = 3;
  p->iter = p->out_shape = p->arg_shape[0] = y;
  p->arg_shape[1] = test_shape4(y.dim[0], y.dim[1], 1, 1);
  p->arg_shape[2] = test_shape4(1, y.dim[1], 1, 1);
  p->op[0] = (PwOp){OP_mul, 0, -1, -2, {}};
  p->op[1] = (PwOp){OP_add, 0, 0, -3, {}};
  p->op[2] = (PwOp){OP_lrelu, 0, 0, 0, {}};
  p->op[2].param.lrelu.slope = 0.2f;
  p->op[2].param.lrelu.gain = 1.4f;
  p->op[2].param.lrelu.limit = 40;
  p->result = 0;
  t->s.prog_store = p;
  t->s.store_from = 0;
  test_operand(&t->s, MAX_IN + 1, p->arg_shape[1], DT_F32);
  test_operand(&t->s, MAX_IN + 2, p->arg_shape[2], DT_F32);
}

/* What the convolution makes, as it is, as a second result. */
static void test_tap(TestStep *t, DType type) {
  t->program.nmore = 1;
  t->program.more[0] = (PwMore){-1, t->program.iter};
  t->s.tmore[0] = type;
}

/* All that the store of whole results whose channels lie last may do: a doubled map is added, a map
 * made of an image masks, channels are summed to an image, and, sums, pixels. */
static void test_whole(TestStep *t, DType half, bool sums) {
  const Shape y = t->s.node.shape, image = test_shape4(y.dim[0], 1, y.dim[2], y.dim[3]),
              each = test_shape4(1, y.dim[1], 1, 1), taps = {1, {4}};
  PwProgram *p = &t->program;
  *p = (PwProgram){};
  p->narg = 7;
  p->nop = 3;
  p->iter = p->out_shape = p->arg_shape[0] = y;
  p->arg_shape[1] = test_shape4(y.dim[0], y.dim[1], (y.dim[2] + 1) / 2, (y.dim[3] + 1) / 2);
  p->arg_shape[2] = taps;
  p->arg_shape[3] = image;
  p->arg_shape[4] = p->arg_shape[5] = p->arg_shape[6] = each;
  p->up = (PwUp){2, 2, false, 2, 1, 2};
  p->from = (PwFrom){4, 4, 5, (uint8_t)half, {0.2f, 1.4f, 40}};
  p->op[0] = (PwOp){OP_add, 0, -1, -2, {}};
  p->op[1] = (PwOp){OP_lrelu_mask, 0, 0, -4, {}};
  p->op[1].param.lrelu = p->from.act;
  p->op[2] = (PwOp){OP_mul, 1, 0, -7, {}};
  p->nmore = sums ? 2 : 1;
  p->more[0] = (PwMore){1, image};
  p->more[1] = (PwMore){0, each};
  t->s.prog_store = p;
  t->s.store_from = 0;
  for (int k = 1; k < p->narg; k++)
    test_operand(&t->s, MAX_IN + k, p->arg_shape[k], k == 1 ? half : DT_F32);
  t->s.lies[MAX_IN + 1] = MapLayout{1, 1, 1};
}

/* A filter that reads what is made of an image. */
static void test_made(TestStep *t, DType half) {
  const Shape y = t->s.node.shape, x = t->s.shape[0], each = test_shape4(1, y.dim[1], 1, 1);
  PwProgram *p = &t->program;
  *p = (PwProgram){};
  p->narg = 3;
  p->result = -1;
  p->iter = p->out_shape = p->arg_shape[0] = y;
  p->arg_shape[1] = p->arg_shape[2] = each;
  p->from = (PwFrom){PW_INPUT, 1, 2, (uint8_t)half, {0.2f, 1.4f, 40}};
  t->s.prog_store = p;
  t->s.store_from = 0;
  test_operand(&t->s, 0, test_shape4(x.dim[0], 1, x.dim[2], x.dim[3]), DT_F32);
  t->s.lies[0] = MapLayout{};
  for (int k = 1; k < p->narg; k++) test_operand(&t->s, MAX_IN + k, each, DT_F32);
}

/* The step with nothing in its store as a case of this form; false: it cannot be one. */
enum { FORM_PLAIN, FORM_DOT, FORM_SUMS, FORMS };
static bool test_form(const CudaCtx *c, CudaKind kind, int form, DType half, TestStep *t) {
  if (form == FORM_PLAIN) return true;
  if (kind == KIND_FILTER) {
    if (form != FORM_DOT || t->s.prog_store) return false;
    test_made(t, half);
    return cuda_filter_can_store(&t->s, &t->program, 0);
  }
  if (kind != KIND_CONV && kind != KIND_CONV_DX) return false;
  test_whole(t, half, form == FORM_SUMS);
  return cuda_conv_can_store(c, &t->s, &t->program, 0);
}

/* Case k of the convolutions of this kind; scaled and with a loop in the store every other one. */
static void test_conv(Graph *g, CudaKind kind, int k, DType half, TestStep *t) {
  const TestConv *q = k < TEST_ROUNDS * TEST_CONVS ? &test_convs[k % TEST_CONVS] : &test_wide;
  const bool scaled = k % 2 == 0;
  const Shape xs = test_shape4(q->n, q->ci, q->h, q->w), ws = test_shape4(q->co, q->ci, q->k, q->k);
  const Val x = g_input(g, "x", xs), w = g_input(g, "w", ws),
            y = g_conv2d(g, x, w, q->stride, q->pad);
  const Shape ys = graph_shape(g, y);
  const Val d = g_input(g, "d", ys);
  const Val v = kind == KIND_CONV      ? y
                : kind == KIND_CONV_DX ? g_conv2d_dx(g, d, w, q->stride, q->pad, q->h, q->w)
                                       : g_conv2d_dw(g, x, d, q->stride, q->pad, q->k, q->k);
  const DType tx = q->ci > 4 ? half : DT_F32, ty = q->co > 4 ? half : DT_F32;
  const Shape scale_x = test_shape4(q->n, q->ci, 1, 1), scale_y = test_shape4(q->n, q->co, 1, 1);
  t->s.node = *graph_node(g, v);
  if (kind == KIND_CONV_DW) {
    test_operand(&t->s, 0, xs, tx);
    test_operand(&t->s, 1, ys, ty);
    if (scaled) test_operand(&t->s, 2, scale_x, DT_F32);
    if (scaled) test_operand(&t->s, 3, scale_y, DT_F32);
    t->s.tout = DT_F32;
    if (scaled) test_store(t);
    return;
  }
  test_operand(&t->s, 0, kind == KIND_CONV ? xs : ys, kind == KIND_CONV ? tx : ty);
  test_operand(&t->s, 1, ws, DT_F32);
  if (scaled) test_operand(&t->s, 3, kind == KIND_CONV ? scale_x : scale_y, DT_F32);
  t->s.tout = kind == KIND_CONV ? ty : tx;
  if (scaled) test_store(t);
  if (scaled && k >= TEST_CONVS && q->ci > 4 && q->co > 4) test_tap(t, half);
}

/* From case 3 on: a loop in the store; with a sum; with the filter's own result. */
static void test_filter(Graph *g, int k, DType half, TestStep *t) {
  const Shape xs = test_shape4(2, 8, 17, 16), fs = {1, {4}};
  const UpFirDn up = {2, 2, 1, 1, 2, 1, 2, 1, 0, 4, 0}, down = {1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 0},
                same = {1, 1, 1, 1, 1, 1, 1, 1, 0, 4, 0};
  const Val x = g_input(g, "x", xs), f = g_input(g, "f", fs);
  t->s.node = *graph_node(g, g_upfirdn2d(g, x, f, k == 0 ? &up : k % 3 == 1 ? &down : &same));
  test_operand(&t->s, 0, xs, half);
  test_operand(&t->s, 1, fs, DT_F32);
  t->s.tout = half;
  if (k < 3) return;
  test_store(t);
  if (k == 5) {
    test_tap(t, half);
    return;
  }
  t->program.nmore = k - 3;
  t->program.more[0] = (PwMore){0, test_shape4(1, xs.dim[1], 1, 1)};
}

static void test_warp(Graph *g, int k, TestStep *t) {
  const Shape xs = test_shape4(2, 2, 17, 16), gs = {2, {2, 10}}, fs = {1, {12}};
  const Val x = g_input(g, "x", xs), geo = g_input(g, "geo", gs), f = g_input(g, "f", fs),
            y = g_warp(g, x, geo, f);
  const Val in[3] = {x, geo, f};
  t->s.node = *graph_node(g, k ? g_op(g, OP_warp_t, 3, in, NULL) : y);
  test_operand(&t->s, 0, xs, DT_F32);
  test_operand(&t->s, 1, gs, DT_F32);
  test_operand(&t->s, 2, fs, DT_F32);
  t->s.tout = DT_F32;
}

static void test_matmul(Graph *g, int k, TestStep *t) {
  const bool ta = k & 1, tb = k & 2;
  const Shape as = {2, {ta ? 200 : 17, ta ? 17 : 200}}, bs = {2, {tb ? 70 : 200, tb ? 200 : 70}};
  const Val a = g_input(g, "a", as), b = g_input(g, "b", bs);
  t->s.node = *graph_node(g, g_matmul(g, a, b, ta, tb));
  test_operand(&t->s, 0, as, DT_F32);
  test_operand(&t->s, 1, bs, DT_F32);
  t->s.tout = DT_F32;
}

/* (a - b) a, of a map and a number per channel; summed over pixels, channels or all. */
static void test_loop(CudaKind kind, int k, DType half, TestStep *t) {
  PwProgram *p = &t->program;
  *p = (PwProgram){};
  p->narg = p->nop = 2;
  p->iter = p->out_shape = p->arg_shape[0] = test_shape4(3, 24, 9, 15 + k);
  p->arg_shape[1] = test_shape4(1, 24, 1, 1);
  p->op[0] = (PwOp){OP_sub, 0, -1, -2, {}};
  p->op[1] = (PwOp){OP_mul, 0, 0, -1, {}};
  p->reduce = kind == KIND_SUM;
  for (int i = 0; i < 4 && p->reduce; i++)
    if (k == 0 ? i >= 2 : k == 1 ? i != 1 : true) p->out_shape.dim[i] = 1;
  t->s.prog = p;
  t->s.node.op = p->reduce ? OP_sum : OP_mul;
  t->s.node.shape = p->out_shape;
  test_operand(&t->s, 0, p->arg_shape[0], half);
  test_operand(&t->s, 1, p->arg_shape[1], DT_F32);
  t->s.tout = p->reduce ? DT_F32 : half;
}

/* t = lrelu_mask(a b, c), with b a number per channel; sums of t over images and pixels, over
 * channels, of t c over pixels; k = 1: more than a chunk of channels, 2: more than a strip of
 * pixels, and no t, 3: of t over pixels, too. */
static void test_multi(int k, DType half, TestStep *t) {
  PwProgram *p = &t->program;
  const Shape all = test_shape4(2, k == 1 ? 72 : 24, k == 2 ? 19 : 8, k == 1 ? 8 : 16);
  const Shape kept[3] = {test_shape4(1, all.dim[1], 1, 1),
                         test_shape4(2, 1, all.dim[2], all.dim[3]),
                         test_shape4(2, all.dim[1], 1, 1)};
  *p = (PwProgram){};
  p->narg = p->nop = 3;
  p->iter = p->out_shape = p->arg_shape[0] = p->arg_shape[2] = all;
  p->arg_shape[1] = kept[2];
  p->op[0] = (PwOp){OP_mul, 0, -1, -2, {}};
  p->op[1] = (PwOp){OP_lrelu_mask, 0, 0, -3, {}};
  p->op[1].param.lrelu.slope = 0.2f;
  p->op[1].param.lrelu.gain = 1.4f;
  p->op[1].param.lrelu.limit = 2;
  p->op[2] = (PwOp){OP_mul, 1, 0, -3, {}};
  p->nmore = k == 2 ? 2 : k == 3 ? 4 : 3;
  for (int r = 0; r < 3; r++) p->more[r] = (PwMore){(int8_t)(r == 2), kept[r]};
  p->more[3] = (PwMore){0, kept[2]};
  if (k == 2) {
    p->reduce = true;
    p->out_shape = kept[2];
    p->result = 1;
  }
  t->s.prog = p;
  t->s.node.op = p->reduce ? OP_sum : OP_mul;
  t->s.node.shape = p->out_shape;
  test_operand(&t->s, 0, all, half);
  test_operand(&t->s, 1, p->arg_shape[1], DT_F32);
  test_operand(&t->s, 2, all, half);
  t->s.tout = p->reduce ? DT_F32 : half;
}

static int test_count(const CudaCtx *c, CudaKind kind) {
  return kind <= KIND_CONV_DW  ? TEST_ROUNDS * TEST_CONVS + (c->wgmma ? 2 : 0)
         : kind == KIND_MATMUL ? 4
         : kind == KIND_FILTER ? 6
         : kind == KIND_MULTI  ? 4
         : kind == KIND_WARP   ? 2
                               : 3;
}

static Status test_make(Graph *g, CudaKind kind, int k, DType half, TestStep *t, Error *e) {
  memset(t, 0, sizeof *t);
  if (kind <= KIND_CONV_DW)
    test_conv(g, kind, k, half, t);
  else if (kind == KIND_MATMUL)
    test_matmul(g, k, t);
  else if (kind == KIND_FILTER)
    test_filter(g, k, half, t);
  else if (kind == KIND_WARP)
    test_warp(g, k, t);
  else if (kind == KIND_MULTI)
    test_multi(k, half, t);
  else
    test_loop(kind, k, half, t);
  return graph_status(g, e);
}

/* Round k of the convolutions: both tiles, whole and split sums; of wgmma: 256 columns and 128. */
static void test_force(CudaCtx *c, CudaKind kind, int k) {
  static const int force[TEST_ROUNDS][2] = {{128, 1}, {64, 1}, {128, 3}, {64, 2}};
  const int *f = force[k < TEST_ROUNDS * TEST_CONVS ? k / TEST_CONVS : k & 1];
  c->tile = kind <= KIND_CONV_DW ? f[0] : 0;
  c->splits = kind <= KIND_CONV_DW ? f[1] : 0;
}

/* All maps of the step with their channels last as far as that is supported, with a margin wider
 * than needed; false: none. */
static bool test_last(const CudaCtx *c, DevStep *s) {
  const DevStep planes = *s;
  bool any = false;
  for (int slot = s->prog ? -1 - s->prog->nmore : -1; slot < s->nargs; slot++) {
    MapLayout m = {1, 1, 1};
    if ((slot >= 0 && !s->arg[slot]) || cuda_channels_last(c, &planes, slot, &m) == LAST_NO)
      continue;
    *(slot < -1 ? &s->more_lies[-2 - slot] : slot < 0 ? &s->out_lies : &s->lies[slot]) = m;
    any = true;
  }
  return any && (cuda_kind(s) != KIND_MULTI || cuda_multi_can(s));
}

/* v->at -1: not a case for channels last. */
static Status test_case(Backend *b, Graph *g, CudaKind kind, int k, bool last, int form,
                        NaiveVerdict *v, Error *e) {
  TestStep s;
  if (!g) return err_set(e, ST_NOMEM, "cuda: out of memory for the self-test");
  TRY(test_make(g, kind, k, test_half(b), &s, e));
  *v = NaiveVerdict{0, 0, -1, 0, 0};
  if (last && !test_last(&of(b)->c, &s.s)) return ST_OK;
  if (!test_form(&of(b)->c, kind, form, test_half(b), &s)) return ST_OK;
  return cuda_naive_probe(b, &s.s, (uint64_t)(100 * kind + k + 1), v, e);
}

/* Case k, in this form, on the rung that the context has now; *bad: it is wrong. */
static Status test_one(Backend *b, CudaKind kind, int k, bool last, int form, CudaTested *t,
                       bool *bad, Error *e) {
  CudaCtx *c = &of(b)->c;
  NaiveVerdict v;
  Graph *g = graph_new();
  test_force(c, kind, k);
  const Status st = test_case(b, g, kind, k, last, form, &v, e);
  c->tile = c->splits = 0;
  graph_free(g);
  TRY(st);
  t->cases += v.at >= 0;
  if (v.worst > t->worst) t->worst = v.worst;
  *bad = v.bad > 0;
  if (*bad && !t->text[0])
    snprintf(t->text, sizeof t->text,
             "case %d: %lld results off; the worst, number %lld, is %g and should be %g", k,
             (long long)v.bad, (long long)v.at, (double)v.got, (double)v.want);
  return ST_OK;
}

/* The cases of a kind, or, last, those of channels last, with all that stores can do then; *bad
 * says whether one is wrong. */
static Status test_kind(Backend *b, CudaKind kind, bool last, CudaTested *t, bool *bad, Error *e) {
  for (int k = 0; k < test_count(&of(b)->c, kind) && !*bad; k++) {
    /* the largest tile, and partial sums, are enough for the second time */
    if (last && kind <= KIND_CONV_DW && k / TEST_CONVS % 3) continue;
    for (int form = 0; form < (last ? (int)FORMS : 1) && !*bad; form++)
      TRY(test_one(b, kind, k, last, form, t, bad, e));
  }
  return ST_OK;
}

static Status test_rungs(Backend *b, CudaKind kind, CudaTested *t, Error *e) {
  CudaCtx *c = &of(b)->c;
  const bool has_float = kind <= KIND_MATMUL && b->precision != PREC_STRICT;
  bool bad = true;
  for (int rung = RUNG_FAST; rung <= RUNG_NAIVE && bad; rung++) {
    if (rung == RUNG_FLOAT && !has_float) continue;
    c->rung[kind] = (uint8_t)rung;
    t->rung = rung;
    t->worst = 0;
    bad = false;
    TRY(test_kind(b, kind, false, t, &bad, e));
  }
  return bad ? err_set(
                   e, ST_INTERNAL,
                   "cuda: %s: even the plainest kernel gives wrong results (%s); do not use this "
                   "device: --device cpu",
                   t->kind, t->text)
             : ST_OK;
}

/* Products by wgmma, beside what is tested above and only where that is as designed; to planes,
 * then to maps with their channels last. */
static Status test_products(Backend *b, CudaTested *t, bool *bad, Error *e) {
  const CudaCtx *c = &of(b)->c;
  for (int last = 0; last < (c->planes ? 1 : 2); last++)
    for (int kind = KIND_CONV; kind <= KIND_CONV_DX && !*bad; kind++)
      if (c->rung[kind] == RUNG_FAST) TRY(test_kind(b, (CudaKind)kind, last, t, bad, e));
  return ST_OK;
}

static Status test_wgmma(Backend *b, CudaTested *t, Error *e) {
  CudaCtx *c = &of(b)->c;
  const long before = cuda_wgmma_launches();
  bool bad = false;
  *t = (CudaTested){};
  t->kind = "convolution by wgmma";
  c->wgmma = WGMMA_ANY;
  const Status st = test_products(b, t, &bad, e);
  const bool none = cuda_wgmma_launches() == before;
  if (none && st == ST_OK) snprintf(t->text, sizeof t->text, "the driver makes no tensor maps");
  c->wgmma = st != ST_OK || bad || none ? WGMMA_OFF : WGMMA_LARGE;
  t->rung = c->wgmma ? RUNG_FAST : RUNG_MMA;
  if (t->rung) t->worst = 0; /* what takes its place was tested before */
  return st;
}

/* Asked for, and a card that has it. */
static bool test_wants_wgmma(const Backend *b) {
  const char *asked = getenv("PRLX_CUDA_WGMMA");
  return asked && !strcmp(asked, "1") && of((Backend *)b)->c.arch == 90 && test_half(b) != DT_F32;
}

/* Channels last: kinds that are as designed; planes take their place. */
static Status test_layouts(Backend *b, CudaTested *t, Error *e) {
  CudaCtx *c = &of(b)->c;
  bool bad = false;
  t->kind = "channels last";
  for (int kind = 0; kind < KIND_OTHER && !bad; kind++)
    TRY(test_kind(b, (CudaKind)kind, true, t, &bad, e));
  if (!bad) return ST_OK;
  c->planes = true;
  t->rung = RUNG_PLANES;
  t->worst = 0;
  return ST_OK;
}

extern "C" void cuda_use_rung(Backend *b, int rung) {
  memset(of(b)->c.rung, rung, sizeof of(b)->c.rung);
  of(b)->c.rung[KIND_OTHER] = RUNG_FAST;
}

extern "C" void cuda_use_wgmma(Backend *b, int use) { of(b)->c.wgmma = (uint8_t)use; }
extern "C" void cuda_use_several(Backend *b, int64_t least) { of(b)->c.several_from = least; }

extern "C" Status cuda_selftest(Backend *b, CudaTested tested[CUDA_TESTED_MAX], int *n, Error *e) {
  *n = 0;
  for (int kind = 0; kind < KIND_OTHER; kind++) {
    CudaTested *t = &tested[*n];
    *t = (CudaTested){};
    t->kind = test_names[kind];
    TRY(test_rungs(b, (CudaKind)kind, t, e));
    ++*n;
  }
  TRY(cuda_dense_test(b, &tested[(*n)++], e));
  if (test_half(b) == DT_F32) return ST_OK;
  tested[*n] = (CudaTested){};
  TRY(test_layouts(b, &tested[*n], e));
  *n += tested[*n].cases > 0;
  if (test_wants_wgmma(b)) TRY(test_wgmma(b, &tested[(*n)++], e));
  return ST_OK;
}
