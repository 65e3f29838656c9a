/* cuda_multi.c: fused loops with several results: random programs whose results are maps, sums over
 * any axes and what they share, each result compared with the loop that has it alone; and the plans
 * that make them. */
#include "core/plan.h"
#include "cuda/device.h"
#include "cuda/naive.h"
#include "test/cuda_check.h"
#include "test/cuda_exact.h"

enum { RESULTS = 1 + PW_MAX_MORE };
typedef struct Several {
  PwProgram p;
  DevStep s;
  float *data[PW_MAX_ARGS]; /* as stored */
  void *arg[PW_MAX_ARGS];
  void *out[RESULTS];
  DType type[RESULTS];
  void *scratch;
} Several;

static Shape result_shape(const PwProgram *p, int r) {
  return r ? p->more[r - 1].shape : p->out_shape;
}

static int64_t result_size(const PwProgram *p, int r) { return shape_numel(result_shape(p, r)); }

/* ---- programs ---- */
static PwOp random_op(Rng *r, int narg, int nop) {
  static const uint8_t ops[] = {OP_add, OP_mul, OP_sub, OP_lrelu_mask, OP_square, OP_axpb};
  PwOp o = {.op = ops[rng_below(r, COUNT_OF(ops))], .dst = (int8_t)nop};
  const int a = (int)rng_below(r, narg + nop), b = (int)rng_below(r, narg + nop);
  o.lhs = (int8_t)(a < narg ? -1 - a : a - narg);
  o.rhs = (int8_t)(b < narg ? -1 - b : b - narg);
  if (o.op == OP_square || o.op == OP_axpb) o.rhs = o.lhs;
  if (o.op == OP_axpb) o.param.axpb = (PwAxpb){0.7f, 0.2f};
  if (o.op == OP_lrelu_mask) {
    o.rhs = -1; /* of an argument: no rounding before the decision */
    o.param.lrelu = (PwLrelu){0.2f, 1.4f, rng_below(r, 2) ? 0.9f : -1};
  }
  return o;
}

/* Axes are numbered from the first; bit i of kind: axis i is summed. */
static Shape summed(Shape s, unsigned kind) {
  for (int i = 0; i < s.rank; i++)
    if (kind >> i & 1) s.dim[i] = 1;
  return s;
}

/* Sums of [N,C,H,W] over pixels, images and pixels, channels, all, images; and other axes. */
static unsigned random_axes(Rng *r) {
  static const unsigned usual[] = {0xc, 0xd, 0x2, 0xf, 0x1, 0};
  return rng_below(r, 4) ? usual[rng_below(r, COUNT_OF(usual))] : (unsigned)rng_below(r, 16);
}

static PwProgram random_several(Rng *r, Shape s) {
  static const unsigned stretched[] = {0xc, 0xd, 0x2, 0xf};
  PwProgram p = {.narg = 2 + (int)rng_below(r, 4), .nop = 1 + (int)rng_below(r, 7), .iter = s};
  for (int k = 0; k < p.narg; k++)
    p.arg_shape[k] =
        k > 1 && rng_below(r, 2) ? summed(s, stretched[rng_below(r, COUNT_OF(stretched))]) : s;
  for (int k = 0; k < p.nop; k++) p.op[k] = random_op(r, p.narg, k);
  p.nmore = 1 + (int)rng_below(r, 4);
  for (int i = 0; i <= p.nmore; i++) {
    const int v = (int)rng_below(r, p.narg + p.nop);
    const Shape shape = summed(s, random_axes(r));
    int8_t code = (int8_t)(v < p.narg ? -1 - v : v - p.narg);
    /* no copies of arguments */
    if (i == 0 || (code < 0 && shape_eq(shape, s))) code = (int8_t)(p.nop - 1);
    if (i == 0) {
      p.result = code;
      p.out_shape = shape;
    } else
      p.more[i - 1] = (PwMore){code, shape};
  }
  p.reduce = !shape_eq(p.out_shape, s);
  return p;
}

/* t = lrelu_mask(a c, b), with c a number per channel. Results are of a c, t, t b and a c b: sums
 * over the axes of kind, half of them over images, too, and at times a map. */
static PwProgram random_columns(Rng *r, Shape s, unsigned kind) {
  PwProgram p = {.narg = 3, .nop = 3, .iter = s, .arg_shape = {s, s, summed(s, 0xc)}};
  p.op[0] = (PwOp){.op = OP_mul, .lhs = -1, .rhs = -3};
  p.op[1] = (PwOp){.op = OP_lrelu_mask, .dst = 1, .rhs = -2, .param.lrelu = {0.2f, 1.4f, -1}};
  p.op[2] = (PwOp){.op = OP_mul, .dst = 2, .lhs = 1, .rhs = -2};
  p.op[3] = (PwOp){.op = OP_mul, .dst = 3, .rhs = -2};
  p.nop = 3 + (int)rng_below(r, 2);
  p.nmore = 1 + (int)rng_below(r, p.nop);
  for (int i = 0; i <= p.nmore; i++) {
    const unsigned axes = i == 1 && rng_below(r, 2) ? 0 : kind | (unsigned)rng_below(r, 2);
    const PwMore of = {(int8_t)rng_below(r, p.nop), summed(s, axes)};
    if (i > 0) {
      p.more[i - 1] = of;
      continue;
    }
    p.result = of.result;
    p.out_shape = of.shape;
  }
  p.reduce = true;
  return p;
}

/* ---- one program ---- */
static bool several_operands(Several *t, Rng *r, DType half) {
  const PwProgram *p = &t->p;
  for (int k = 0; k < p->narg; k++) {
    const int64_t n = shape_numel(p->arg_shape[k]);
    const DType type = n == shape_numel(p->iter) ? half : DT_F32;
    uint16_t *bits = mem_alloc((size_t)n * 2);
    t->data[k] = mem_alloc((size_t)n * 4);
    t->arg[k] = exact_new((size_t)n * dtype_size(type));
    if (!bits || !t->data[k] || !t->arg[k]) {
      mem_free(bits);
      return false;
    }
    rng_fill_normal(r, t->data[k], n);
    for (int64_t i = 0; i < n && type != DT_F32; i++) {
      bits[i] = exact_to_16(t->data[k][i], type == DT_BF16);
      t->data[k][i] = exact_from_16(bits[i], type == DT_BF16);
    }
    exact_put(t->arg[k], type == DT_F32 ? (void *)t->data[k] : bits, (size_t)n * dtype_size(type));
    mem_free(bits);
    t->s.shape[k] = p->arg_shape[k];
    t->s.targ[k] = type;
    t->s.arg[k] = t->arg[k];
  }
  return true;
}

static bool several_results(Several *t, Backend *b, DType half) {
  for (int r = 0; r <= t->p.nmore; r++) {
    t->type[r] = result_size(&t->p, r) == shape_numel(t->p.iter) ? half : DT_F32;
    t->out[r] = exact_new((size_t)result_size(&t->p, r) * dtype_size(t->type[r]));
    if (!t->out[r]) return false;
    if (r) {
      t->s.more[r - 1] = t->out[r];
      t->s.tmore[r - 1] = t->type[r];
    }
  }
  t->s.out = t->out[0];
  t->s.tout = t->type[0];
  const size_t bytes = b->scratch(b, &t->s);
  t->s.scratch = t->scratch = exact_new(bytes);
  return bytes == 0 || t->scratch;
}

static float *several_get(const Several *t, int r) {
  const int64_t n = result_size(&t->p, r);
  float *x = mem_alloc((size_t)n * 4);
  uint16_t *bits = mem_alloc((size_t)n * 2);
  if (x && bits && t->type[r] == DT_F32) exact_get(x, t->out[r], (size_t)n * 4);
  if (x && bits && t->type[r] != DT_F32) exact_get(bits, t->out[r], (size_t)n * 2);
  for (int64_t i = 0; x && bits && i < n && t->type[r] != DT_F32; i++)
    x[i] = exact_from_16(bits[i], t->type[r] == DT_BF16);
  mem_free(bits);
  return x;
}

/* Result r by the loop that has it alone, on the CPU; sizes: of what is added, its absolute value.
 */
static float *several_want(const Several *t, int r, bool sizes) {
  PwProgram one;
  pw_single(&t->p, r, &one);
  if (sizes) {
    one.op[one.nop++] = (PwOp){.op = OP_abs, .lhs = one.result, .rhs = one.result, .dst = 11};
    one.result = 11;
  }
  float *out = mem_alloc((size_t)result_size(&t->p, r) * 4);
  void *scratch = mem_alloc(pw_scratch(&one) + 1);
  if (out && scratch) pw_run(&one, (const float *const *)t->data, out, scratch);
  mem_free(scratch);
  return out;
}

static void several_compare(Bench *b, const Several *t, int r, const float *again,
                            const char *name) {
  const int64_t n = result_size(&t->p, r);
  float *want = several_want(t, r, false), *sizes = several_want(t, r, true),
        *got = several_get(t, r);
  const float place = t->type[r] == DT_F16 ? 0x1p-11f : t->type[r] == DT_BF16 ? 0x1p-8f : 0;
  double worst = 0;
  int64_t at = 0;
  bool same = true;
  for (int64_t i = 0; want && sizes && got && i < n; i++) {
    const double d =
        fabs((double)got[i] - want[i]) / (2e-6 * sizes[i] + 1.01 * place * fabsf(want[i]) + 1e-6);
    same = same && got[i] == again[i];
    if (d <= worst) continue;
    worst = isnan(d) ? INFINITY : d;
    at = i;
  }
  CHECK(want && sizes && got && worst <= 1 && same,
        "%s, %s, result %d: %g times what is allowed at %lld of %lld (got %g, want %g)%s",
        precision_name(b->b->precision), name, r, worst, (long long)at, (long long)n,
        got ? (double)got[at] : 0, want ? (double)want[at] : 0, same ? "" : "; two runs differ");
  if (test_failed && getenv("TEST_STOP")) exit(1);
  mem_free(want);
  mem_free(sizes);
  mem_free(got);
}

/* Twice, in other orders of threads: the same bits. */
static void several_run(Bench *b, Several *t, const char *name) {
  DevProgram *p = NULL;
  Error e = {0};
  float *first[RESULTS] = {NULL};
  Status st = b->b->program(b->b, 1, &t->s, &p, &e);
  for (int run = 0; run < 2 && st == ST_OK; run++) {
    exact_order((uint64_t)(2 * b->steps + run + 1));
    for (int r = 0; r <= t->p.nmore; r++)
      exact_poison(t->out[r], (size_t)result_size(&t->p, r) * dtype_size(t->type[r]));
    exact_poison(t->scratch, b->b->scratch(b->b, &t->s));
    const long before = exact_launches(), counted = b->b->launches(b->b, 1, &t->s);
    st = b->b->run(b->b, p, &e);
    CHECK(before < 0 || exact_launches() == before + counted,
          "%s: it does not launch as many kernels as it says", name);
    for (int r = 0; run == 0 && r <= t->p.nmore; r++) first[r] = several_get(t, r);
  }
  const char *f = exact_fault();
  CHECK(st == ST_OK && !f, "%s, %s: %s", precision_name(b->b->precision), name, f ? f : e.msg);
  for (int r = 0; st == ST_OK && r <= t->p.nmore; r++) {
    if (first[r]) several_compare(b, t, r, first[r], name);
    mem_free(first[r]);
  }
  b->b->program_free(b->b, p);
}

static void several_free(Several *t) {
  for (int k = 0; k < PW_MAX_ARGS; k++) {
    mem_free(t->data[k]);
    exact_free(t->arg[k]);
  }
  for (int r = 0; r < RESULTS; r++) exact_free(t->out[r]);
  exact_free(t->scratch);
}

static DType several_half(const Bench *b) {
  const Precision pr = b->b->precision;
  return pr == PREC_F16 ? DT_F16 : pr == PREC_BF16 ? DT_BF16 : DT_F32;
}

/* False: the backend refuses it. */
static bool several_check(Bench *b, Rng *r, const PwProgram *p, bool half, const char *name) {
  const DType type = half ? several_half(b) : DT_F32;
  Several t = {.p = *p};
  t.s = (DevStep){.node = {.op = OP_add, .shape = p->out_shape}, .nargs = p->narg, .prog = &t.p};
  b->steps++;
  const bool can = b->b->several(b->b, &t.s, shape_numel(p->iter));
  if (!can) return false;
  const bool ok = several_operands(&t, r, type) && several_results(&t, b->b, type);
  CHECK(ok, "%s: no memory for the check", name);
  if (ok) several_run(b, &t, name);
  several_free(&t);
  b->variants++;
  return true;
}

/* Of the first image alone, with the operands that it has among the others of t. */
static bool first_image(Bench *b, Rng *r, const Several *t, Several *one) {
  PwProgram *p = &one->p;
  *one = (Several){.p = t->p, .s = t->s};
  one->s.prog = p;
  p->iter.dim[0] = p->out_shape.dim[0] = 1;
  for (int k = 0; k < p->narg; k++) p->arg_shape[k].dim[0] = 1;
  for (int k = 0; k < p->nmore; k++) p->more[k].shape.dim[0] = 1;
  one->s.node.shape = p->out_shape;
  if (!several_operands(one, r, several_half(b)) || !several_results(one, b->b, several_half(b)))
    return false;
  for (int k = 0; k < p->narg; k++) {
    const size_t bytes = (size_t)shape_numel(p->arg_shape[k]) * dtype_size(one->s.targ[k]);
    void *image = mem_alloc(bytes);
    if (!image) return false;
    exact_get(image, t->arg[k], bytes);
    exact_put(one->arg[k], image, bytes);
    mem_free(image);
  }
  return true;
}

/* What keeps the first axis has the bits that it has of the first image alone; last: of maps with
 * their channels last, without margins. */
static void several_batch(Bench *b, Rng *r, const PwProgram *p, bool last, const char *name) {
  Several t = {.p = *p}, one = {.p = *p};
  Error e = {0};
  t.s = (DevStep){.node = {.op = OP_add, .shape = p->out_shape}, .nargs = p->narg, .prog = &t.p};
  for (int k = 0; last && k < p->narg; k++) t.s.lies[k].last = shape_eq(p->arg_shape[k], p->iter);
  for (int k = 0; last && k < p->nmore; k++)
    t.s.more_lies[k].last = shape_eq(p->more[k].shape, p->iter);
  bool ok = several_operands(&t, r, several_half(b)) &&
            several_results(&t, b->b, several_half(b)) && first_image(b, r, &t, &one);
  for (int k = 0; ok && k < 2; k++) {
    DevProgram *q = NULL;
    ok = b->b->program(b->b, 1, k ? &one.s : &t.s, &q, &e) == ST_OK &&
         b->b->run(b->b, q, &e) == ST_OK;
    b->b->program_free(b->b, q);
  }
  const char *f = exact_fault();
  CHECK(ok && !f, "%s, one image: %s", name, f ? f : e.msg);
  for (int k = 0; ok && k <= p->nmore; k++) {
    if (result_shape(p, k).dim[0] == 1) continue;
    const size_t bytes = (size_t)result_size(&one.p, k) * 4;
    float *all = several_get(&t, k), *first = several_get(&one, k);
    CHECK(all && first && !memcmp(all, first, bytes), "%s, result %d: other bits of one image",
          name, k);
    mem_free(all);
    mem_free(first);
  }
  several_free(&t);
  several_free(&one);
}

/* The same of maps whose channels lie last, with margins, by the definitions on the device. */
static bool several_last(Bench *b, const PwProgram *p, int i, const char *name) {
  const MapLayout lies = {1, (uint8_t)(i % 3), (uint8_t)(i % 2)};
  const DType half = b->b->precision == PREC_F16 ? DT_F16 : DT_BF16;
  DevStep s = {.node = {.op = OP_add, .shape = p->out_shape}, .nargs = p->narg, .prog = p};
  NaiveVerdict v = {0};
  Error e = {0};
  for (int k = 0; k < p->narg; k++) {
    const bool whole = shape_eq(p->arg_shape[k], p->iter);
    s.shape[k] = p->arg_shape[k];
    s.targ[k] = whole ? half : DT_F32;
    s.arg[k] = &s;
    if (whole) s.lies[k] = lies;
  }
  for (int r = 0; r <= p->nmore; r++) {
    const bool whole = shape_eq(result_shape(p, r), p->iter);
    *(r ? &s.tmore[r - 1] : &s.tout) = whole ? half : DT_F32;
    if (whole) *(r ? &s.more_lies[r - 1] : &s.out_lies) = lies;
  }
  if (!b->b->several(b->b, &s, shape_numel(p->iter))) return false;
  exact_order((uint64_t)i);
  const Status st = cuda_naive_probe(b->b, &s, (uint64_t)i + 1, &v, &e);
  const char *f = exact_fault();
  CHECK(st == ST_OK && !f && v.bad == 0,
        "%s, %s, channels last: %s; %lld off, the worst (%lld) %g instead of %g",
        precision_name(b->b->precision), name, f ? f : e.msg, (long long)v.bad, (long long)v.at,
        (double)v.got, (double)v.want);
  if (test_failed && getenv("TEST_STOP")) exit(1);
  b->layouts++;
  return true;
}

/* More and fewer channels than a strip of 256, pixels than a chunk of 64. */
static void lasts(Bench *b, int count) {
  static const int shapes[][4] = {
      {2, 16, 5, 7}, {3, 72, 4, 5}, {2, 264, 6, 7}, {1, 8, 17, 16}, {2, 136, 9, 8}};
  Rng r = {.seed = 12};
  int can = 0;
  char name[64];
  for (int i = 0; i < count; i++) {
    const int *d = shapes[i % COUNT_OF(shapes)];
    const PwProgram p = random_several(&r, SHAPE4(d[0], d[1], d[2], d[3]));
    snprintf(name, sizeof name, "several results, last %d", i);
    if (!skipped(b, name)) can += several_last(b, &p, i, name);
  }
  if (!b->only)
    CHECK(8 * can > count, "only %d of %d loops over channels that lie last may have several", can,
          count);
}

/* More and fewer pixels than a strip of 256, channels than a chunk of 64; odd ones; one image. */
static void random_severals(Bench *b, int count) {
  static const int shapes[][4] = {{2, 20, 9, 15}, {3, 70, 4, 4},   {2, 5, 19, 16}, {1, 40, 5, 7},
                                  {4, 9, 8, 8},   {2, 130, 3, 11}, {1, 3, 33, 17}, {2, 70, 9, 15}};
  Rng r = {.seed = 11};
  int can = 0;
  char name[64];
  for (int i = 0; i < count; i++) {
    const int *d = shapes[i % COUNT_OF(shapes)];
    const PwProgram p = random_several(&r, SHAPE4(d[0], d[1], d[2], d[3]));
    snprintf(name, sizeof name, "several results %d", i);
    if (skipped(b, name)) continue;
    can += several_check(b, &r, &p, i % 3 != 0, name);
  }
  if (!b->only)
    CHECK(3 * can > count, "only %d of %d loops may have their several results", can, count);
}

/* Several sums that keep the inner axis, pixels or, last, channels: more of these than a strip, few
 * pixels, so many images that warps or blocks add them. */
static void columns(Bench *b, bool last, int count) {
  static const int planes[][4] = {{2, 70, 9, 15},  {3, 5, 4, 4},  {1, 40, 5, 7},
                                  {2, 130, 3, 11}, {40, 3, 4, 5}, {1100, 2, 4, 4}};
  static const int lasts[][4] = {{2, 16, 5, 7},   {3, 72, 4, 5},  {2, 264, 9, 15},
                                 {1, 24, 17, 16}, {40, 16, 3, 3}, {1100, 16, 1, 2}};
  Rng r = {.seed = 13};
  char name[64];
  for (int i = 0; i < count; i++) {
    const int *d = last ? lasts[i % COUNT_OF(lasts)] : planes[i % COUNT_OF(planes)];
    const PwProgram p = random_columns(&r, SHAPE4(d[0], d[1], d[2], d[3]), last ? 0xc : 0x2);
    snprintf(name, sizeof name, "several results, columns%s %d", last ? ", last" : "", i);
    if (skipped(b, name)) continue;
    CHECK(last ? several_last(b, &p, i, name) : several_check(b, &r, &p, i % 3 != 0, name),
          "%s: refused", name);
    if (d[0] <= 3) several_batch(b, &r, &p, last, name);
  }
}

/* A sum of one expression too many; sums over other axes than the first that are not the same. */
static void columns_refused(Bench *b) {
  const Shape s = SHAPE4(2, 24, 6, 9);
  PwProgram p = {.narg = 2, .nop = 5, .iter = s, .arg_shape = {s, s}, .nmore = 4, .reduce = true};
  DevStep d = {.nargs = 2, .prog = &p, .shape = {s, s}, .arg = {&d, &d}};
  for (int k = 0; k < 5; k++)
    p.op[k] = (PwOp){.op = OP_mul, .dst = (int8_t)k, .lhs = -1, .rhs = -2};
  for (int k = 0; k < 4; k++) p.more[k] = (PwMore){(int8_t)(k + 1), summed(s, 2)};
  p.out_shape = summed(s, 2);
  CHECK(!b->b->several(b->b, &d, shape_numel(s)), "sums of %d expressions in one pass", 5);
  p.nmore = 3;
  CHECK(b->b->several(b->b, &d, shape_numel(s)), "no sums of %d expressions in one pass", 4);
  p.more[0].shape = summed(s, 1);
  CHECK(!b->b->several(b->b, &d, shape_numel(s)), "sums over %s in one pass", "different axes");
}

/* ---- plans ---- */

/* Two layers as of a generator, with noise, bias and clamp, and the gradients of everything. */
enum { LAYERS = 2, LAYER_IN = 2 + 4 * LAYERS };
typedef struct Layers {
  Graph *g;
  int nin;
  Val in[LAYER_IN];
  Val out[LAYER_IN + 1];
  int nout;
} Layers;

static void layers_new(Layers *t, int n, Error *e) {
  Graph *g = graph_new();
  const int c = 24, side = 9;
  *t = (Layers){.g = g, .nin = LAYER_IN};
  Val y = t->in[0] = g_input(g, "x", SHAPE4(n, c, side, side));
  const Val scale = t->in[1] = g_input(g, "scale", SHAPE0());
  for (int k = 0; k < LAYERS; k++) {
    Val *in = t->in + 2 + 4 * k;
    in[0] = g_input(g, "w", SHAPE4(c, c, 3, 3));
    in[1] = g_input(g, "d", SHAPE4(n, c, 1, 1));
    in[2] = g_input(g, "noise", SHAPE4(n, 1, side, side));
    in[3] = g_input(g, "bias", SHAPE4(1, c, 1, 1));
    const Val z = g_conv2d(g, g_mul(g, y, in[1]), g_axpb(g, in[0], 0.08, 0), 1, 1);
    const Val d = g_rsqrt0(g, g_axpb(g, g_square(g, in[1]), 1, 0.5));
    y = g_add(g, g_mul(g, z, d), g_mul(g, in[2], scale));
    y = g_lrelu(g, g_add(g, y, in[3]), 0.2, 1.4, 4);
    /* what depends on a sum of itself may not be in one loop with it, through another or not */
    y = k ? g_sub(g, y, g_axpb(g, g_mean(g, y, 12), 0.5, 0))
          : g_mul(g, y, g_sum(g, g_axpb(g, y, 0.03, 0), 12));
  }
  t->out[0] = g_mean_all(g, g_square(g, y));
  t->nout = 1 + LAYER_IN;
  if (graph_grad(g, 1, t->out, NULL, LAYER_IN, t->in, t->out + 1, 0, NULL, e) != ST_OK) t->nout = 0;
}

static Status layers_run(const Layers *t, Backend *b, float **result, int *steps, Error *e) {
  const PlanOptions o = {.backend = b};
  Plan *p = NULL;
  Status st = plan_new(t->g, t->nout, t->out, &o, &p, e);
  for (int run = 0; run < (b ? 3 : 1) && st == ST_OK; run++) {
    Rng r = {.seed = 21};
    for (int i = 0; i < t->nin; i++)
      rng_fill_normal(&r, plan_data(p, t->in[i]), shape_numel(graph_shape(t->g, t->in[i])));
    exact_order((uint64_t)run + 1);
    st = plan_run(p, e);
  }
  for (int i = 0; i < t->nout && st == ST_OK; i++) {
    const real *x = NULL;
    const size_t bytes = (size_t)shape_numel(graph_shape(t->g, t->out[i])) * sizeof *x;
    st = plan_read(p, t->out[i], &x, e);
    result[i] = mem_alloc(bytes);
    if (st == ST_OK && result[i]) memcpy(result[i], x, bytes);
  }
  *steps = p ? plan_stats(p).steps : 0;
  plan_free(p);
  return st;
}

/* Filters up, down and same over odd sizes with a loop behind each, and the sums of what it makes:
 * of each image, of all. */
enum { FILTERS = 3, FILTER_IN = 4, FILTER_OUT = 3 * FILTERS };
static void filters_new(Layers *t, int n, Error *e) {
  static const UpFirDn how[FILTERS] = {{2, 2, 1, 1, 2, 1, 2, 1, 0, 4, 0},
                                       {1, 1, 2, 2, 1, 1, 1, 1, 0, 1, 0},
                                       {1, 1, 1, 1, 1, 1, 1, 1, 0, 4, 0}};
  Graph *g = graph_new();
  const int c = 24, h = 18, w = 14;
  *t = (Layers){.g = g, .nin = FILTER_IN, .nout = FILTER_OUT};
  const Val x = t->in[0] = g_input(g, "x", SHAPE4(n, c, h, w));
  const Val f = t->in[1] = g_input(g, "f", SHAPE1(4));
  const Val d = t->in[2] = g_input(g, "d", SHAPE4(n, c, 1, 1));
  const Val bias = t->in[3] = g_input(g, "bias", SHAPE4(1, c, 1, 1));
  for (int k = 0; k < FILTERS; k++) {
    const Val first = g_square(g, g_axpb(g, x, 0.5, 0.1 * k));
    Val y = g_upfirdn2d(g, first, f, &how[k]);
    const Shape s = graph_shape(g, y);
    /* read by what the loop waits for: the loop may not run in the store */
    if (k == 0) y = g_sub(g, y, g_axpb(g, g_mean(g, y, 12), 0.5, 0));
    const Val plain = y;
    y = g_lrelu(g, g_add(g, g_mul(g, y, d), bias), 0.2, 1.4, k == 1 ? 2 : -1);
    /* the mask of another map, as behind the filter of a gradient */
    if (k == 2)
      y = g_mul(g, y,
                g_slice(g, g_slice(g, first, 2, 0, (int)s.dim[2], 1), 3, 0, (int)s.dim[3], 1));
    /* read by something else: the store makes both */
    if (k == 1) t->out[FILTER_OUT - 1] = g_mean_all(g, g_upfirdn2d(g, plain, f, &how[2]));
    t->out[3 * k] = g_sum(g, y, k == 1 ? 12 : 13);
    t->out[3 * k + 1] = g_mean_all(g, g_square(g, g_upfirdn2d(g, y, f, &how[2])));
    if (k < 2) t->out[3 * k + 2] = g_sum(g, g_upfirdn2d(g, y, f, &how[1]), 13);
  }
  (void)e;
}

/* Root mean square of the difference, of the values. */
static double layers_differ(const float *want, const float *got, int64_t n) {
  double sw = 1e-12, sd = 0;
  for (int64_t i = 0; want && got && i < n; i++) {
    sw += (double)want[i] * want[i];
    sd += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
  }
  return want && got && !isnan(sd) ? sqrt(sd / sw) : INFINITY;
}

/* On the CPU, with loops of one result, and of several: the same numbers, in fewer steps. With
 * operands of 16 bits kinks make most of the difference. */
static void layers_check(Bench *b, int n, bool filters) {
  static const double bounds[] = {2e-5, 0.1, 0.1, 0.4};
  const double bound = bounds[b->b->precision];
  float *result[3][LAYER_IN + 1] = {{NULL}};
  int steps[3] = {0};
  Layers t;
  Error e = {0};
  if (filters)
    filters_new(&t, n, &e);
  else
    layers_new(&t, n, &e);
  Status st = graph_status(t.g, &e);
  for (int k = 0; k < 3 && st == ST_OK; k++) {
    cuda_use_several(b->b, k == 2 ? 1 : INT64_MAX);
    st = layers_run(&t, k ? b->b : NULL, result[k], &steps[k], &e);
  }
  const char *f = exact_fault();
  CHECK(st == ST_OK && !f && t.nout && (filters || steps[2] + 4 * LAYERS <= steps[1]),
        "layers of several results: %s; %d steps, %d with loops of one result", f ? f : e.msg,
        steps[2], steps[1]);
  for (int i = 0; st == ST_OK && i < t.nout; i++) {
    const int64_t m = shape_numel(graph_shape(t.g, t.out[i]));
    const double one = layers_differ(result[0][i], result[1][i], m),
                 several = layers_differ(result[0][i], result[2][i], m);
    CHECK(one <= bound && several <= bound,
          "%s, layers of several results, output %d: %.3g off, %.3g with loops of one result",
          precision_name(b->b->precision), i, several, one);
  }
  for (int k = 0; k < 3; k++)
    for (int i = 0; i <= LAYER_IN; i++) mem_free(result[k][i]);
  graph_free(t.g);
}

void check_multi(Bench *b) {
  cuda_use_several(b->b, 1);
  if (b->b->precision != PREC_TF32) random_severals(b, b->quick ? 48 : 600);
  if (b->b->precision >= PREC_F16) lasts(b, b->quick ? 40 : 300);
  if (b->b->precision != PREC_TF32) columns(b, false, b->quick ? 18 : 120);
  if (b->b->precision >= PREC_F16) columns(b, true, b->quick ? 18 : 120);
  if (!b->only) columns_refused(b);
  if (!skipped(b, "layers of several results")) {
    for (int n = 1; n <= 3; n += 2) {
      layers_check(b, n, false);
      layers_check(b, n, true);
    }
  }
  cuda_use_several(b->b, 1);
}
