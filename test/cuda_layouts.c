/* cuda_layouts.c: plans whose 16-bit maps lie with their channels last: two blocks of a
 * discriminator, with gradients of first and second order, against the same with planes; and that
 * none of their maps is packed, where the planner is free to choose. */
#include "test/cuda_check.h"
#include "cuda/device.h"

/* image, weights 1x1 of it, which are biases, too, 3x3, taps; the weights of the skip are the
 * middle ones. */
static Val b_blocks(Graph *g, const Val *in) {
  const UpFirDn down = {1, 1, 2, 2, 1, 1, 1, 1, 0, 1, 0}, same = {1, 1, 1, 1, 2, 2, 2, 2, 0, 1, 0};
  const Val w = g_axpb(g, in[2], 0.08, 0),
            middle = g_slice(g, g_slice(g, w, 2, 1, 1, 1), 3, 1, 1, 1),
            bias = g_reshape(g, in[1], SHAPE4(1, graph_dim(g, in[1], 0), 1, 1));
  Val x = g_lrelu(g, g_add(g, g_conv2d(g, in[0], in[1], 1, 0), bias), 0.2, 1.4, 256);
  for (int k = 0; k < 2; k++) {
    const Val skip = g_conv2d(g, g_upfirdn2d(g, x, in[3], &down), middle, 1, 0);
    Val y = g_lrelu(g, g_add(g, g_conv2d(g, x, w, 1, 1), bias), 0.2, 1.4, 256);
    y = g_conv2d(g, g_upfirdn2d(g, y, in[3], &same), w, 2, 0);
    y = g_lrelu(g, g_add(g, y, bias), 0.2, 1.4, 256);
    x = g_axpb(g, g_add(g, y, skip), 0.70710678, 0);
  }
  return x;
}

/* Two modulated layers: their maps, and the gradients of their results, are multiplied by numbers
 * that the convolution and its weight gradient share. The first map is an image, in float. */
static Val b_modulated(Graph *g, const Val *in) {
  const Val w = g_axpb(g, in[1], 0.08, 0), d = g_axpb(g, in[3], 0.2, 1);
  Val x = in[0];
  for (int k = 0; k < 3; k++) {
    const Val s = g_axpb(g, in[2], 0.3, 1 + 0.1 * k); /* after the map that it is for */
    const Val y = g_mul(g, g_conv2d(g, g_mul(g, x, s), w, 1, 1), d);
    x = g_lrelu(g, y, 0.2, 1.4, 256);
  }
  return x;
}

/* A modulated map that lies in planes, since it is turned besides. */
static Val b_turned(Graph *g, const Val *in) {
  static const int turned[4] = {0, 1, 3, 2};
  const Val w = g_axpb(g, in[1], 0.08, 0), s = g_axpb(g, in[2], 0.3, 1),
            x = g_lrelu(g, g_conv2d(g, in[0], w, 1, 1), 0.2, 1.4, 256);
  return g_add(g, g_conv2d(g, g_mul(g, x, s), w, 1, 1), g_permute(g, x, turned));
}

/* A map that a convolution reads and a loop, too: the store keeps both, each with its margin. */
static Val b_kept(Graph *g, const Val *in) {
  const Val w = g_axpb(g, in[1], 0.08, 0);
  const Val y = g_conv2d(g, g_lrelu(g, g_conv2d(g, in[0], w, 1, 1), 0.2, 1.4, 256), w, 1, 1);
  return g_add(g, g_conv2d(g, g_lrelu(g, y, 0.2, 1.4, 256), w, 1, 1), g_conv2d(g, y, w, 1, 1));
}

/* Maps of whose pixels there are sums, of each image and of all of them; the gradient wants the
 * second map, nothing the first. */
static Val b_pooled(Graph *g, const Val *in) {
  const Val w = g_axpb(g, in[1], 0.08, 0), bias = g_slice(g, in[2], 0, 0, 1, 1),
            first = g_slice(g, w, 0, 3, graph_dim(g, w, 1), 1);
  const Val x = g_lrelu(g, g_conv2d(g, in[0], first, 1, 1), 0.2, 1.4, 256),
            each = g_mean(g, g_add(g, g_conv2d(g, x, w, 1, 1), bias), 12),
            all = g_mean(g, g_mul(g, g_conv2d(g, x, g_axpb(g, w, 0.5, 0.1), 1, 1), bias), 13);
  return g_add(g, g_mul(g, each, in[2]), all);
}

/* Images of one channel, of a modulated map and of one that nothing else reads. */
static Val b_images(Graph *g, const Val *in) {
  const Val w = g_axpb(g, in[1], 0.08, 0), bias = g_slice(g, in[2], 0, 0, 1, 1),
            fixed = g_full(g, SHAPE4(1, graph_dim(g, w, 0), 1, 1), 0.3),
            first = g_slice(g, w, 0, 3, graph_dim(g, w, 1), 1);
  const Val x = g_lrelu(g, g_conv2d(g, in[0], first, 1, 1), 0.2, 1.4, 256),
            y = g_lrelu(g, g_add(g, g_conv2d(g, x, w, 1, 1), bias), 0.2, 1.4, 256),
            z = g_add(g, g_conv2d(g, x, g_axpb(g, w, 0.5, 0.1), 1, 1), bias),
            image = g_conv2d(g, g_mul(g, y, in[2]), bias, 1, 0);
  return g_add(g, g_lrelu(g, image, 1, 1, 256), g_conv2d(g, z, fixed, 1, 0));
}

/* A doubled map is added to one that another loop reads, too: that is not in registers only. */
static Val b_doubled(Graph *g, const Val *in) {
  const UpFirDn up = {2, 2, 1, 1, 2, 1, 2, 1, 0, 4, 0};
  const Val w = g_axpb(g, in[1], 0.08, 0), z = g_conv2d(g, in[0], w, 1, 1),
            small = g_lrelu(g, g_conv2d(g, in[0], w, 2, 1), 0.2, 1.4, 256),
            y = g_add(g, g_upfirdn2d(g, small, in[3], &up), z);
  return g_add(g, g_conv2d(g, g_lrelu(g, y, 0.2, 1.4, 256), w, 1, 1),
               g_conv2d(g, g_tanh(g, z), w, 1, 1));
}

/* What the steps of the plan are, counted as they come to the backend. */
static struct {
  Status (*program)(Backend *b, int n, const DevStep *s, DevProgram **out, Error *e);
  int last;
  int packed;
  int scaled; /* multiplied on the way */
  int products;
  int doubled;  /* read through a filter */
  int summed;   /* over pixels in the store of a convolution */
  int images;   /* over channels */
  int unstored; /* maps that are nowhere else */
  int made;     /* maps of images, where they are read */
} seen;

static bool is_half(DType t) { return t == DT_F16 || t == DT_BF16; }

static bool is_scaled(const DevStep *s, int map) {
  const int scale = s->node.op == OP_conv2d_dw ? 2 + map : 3;
  return scale < s->nargs && s->node.in[scale];
}

static void count_store(const Node *n, const PwProgram *q) {
  const bool conv = n->op == OP_conv2d || n->op == OP_conv2d_dx;
  for (int r = 0; conv && r < q->nmore; r++)
    if (q->more[r].shape.dim[1] != q->iter.dim[1])
      seen.images++;
    else
      seen.summed += !shape_eq(q->more[r].shape, q->iter);
  seen.doubled += q->up.map > 0;
  seen.unstored += q->unstored;
  seen.made += q->from.image > 0;
}

static void count_step(const DevStep *s) {
  const int op = s->node.op;
  const bool dw = op == OP_conv2d_dw, mixed = dw && s->targ[0] != s->targ[1];
  seen.last += s->out_lies.last;
  if (s->prog_store) count_store(&s->node, s->prog_store);
  if (s->prog || (!dw && op != OP_conv2d && op != OP_conv2d_dx)) return;
  for (int i = 0; i < (dw ? 2 : 1); i++) {
    seen.products += is_half(s->targ[i]);
    seen.packed += is_half(s->targ[i]) && !mixed && (!s->lies[i].last || is_scaled(s, i));
    seen.scaled += is_half(s->targ[i]) && is_scaled(s, i);
  }
}

static Status count_program(Backend *b, int n, const DevStep *s, DevProgram **out, Error *e) {
  for (int k = 0; k < n && b->channels_last; k++) count_step(&s[k]);
  return seen.program(b, n, s, out, e);
}

/* Without what only stores of whole results whose channels lie last can do, which planes cannot:
 * the same numbers are rounded in both then. */
static bool (*any_store)(Backend *b, const DevStep *conv, const PwProgram *p, int from);
static bool plain_store(Backend *b, const DevStep *conv, const PwProgram *p, int from) {
  bool plain = !p->up.map && !p->from.image && !p->unstored;
  for (int r = 0; r < p->nmore && conv->node.op != OP_upfirdn2d; r++)
    plain = plain && shape_eq(p->more[r].shape, p->iter);
  return plain && any_store(b, conv, p, from);
}

enum { PLAIN_STORES, WHOLE_STORES };

/* What filters and sums in stores of convolutions leave unrounded is a step or two off. */
static double layout_bound(const Bench *t, int stores) {
  return stores == PLAIN_STORES || t->b->precision == PREC_F16 ? 2e-3 : 16e-3;
}

/* The case in both layouts; counted. */
static void check_counted(Bench *t, const Case *c, int stores) {
  memset(&seen, 0, sizeof seen);
  seen.program = t->b->program;
  any_store = t->b->can_store;
  t->b->program = count_program;
  if (stores == PLAIN_STORES) t->b->can_store = plain_store;
  check_plan_planes(t, c, layout_bound(t, stores));
  t->b->can_store = any_store;
  t->b->program = seen.program;
}

static void check_case_layouts(Bench *t, const Case *c, int stores) {
  check_counted(t, c, stores);
  if (getenv("TEST_RUNG") || getenv("PRLX_CUDA_LAYOUT")) return;
  CHECK(seen.last > 8 && seen.products > 8 && seen.packed == 0,
        "%s, %s: %d maps with channels last; of %d maps that convolutions read %d are packed",
        precision_name(t->b->precision), c->name, seen.last, seen.products, seen.packed);
}

/* A map that is laid out again is multiplied on the way, for the convolution and for its weights'
 * gradient. */
static void check_turned(Bench *t, const Case *modulated) {
  Case turned = *modulated;
  turned.name = "a modulated map in planes";
  turned.build = b_turned;
  turned.nin = 3;
  if (skipped(t, turned.name)) return;
  check_counted(t, &turned, PLAIN_STORES);
  if (getenv("TEST_RUNG") || getenv("PRLX_CUDA_LAYOUT")) return;
  CHECK(seen.scaled >= 2, "%s: %d maps are multiplied while they are packed", turned.name,
        seen.scaled);
}

/* More channels than one tile has rows. */
enum { STORE_CHANNELS = 136 };

/* The case with this tile: so many sums, images and maps that are not stored. */
static void check_sums(Bench *t, const Case *c, const char *tile, int summed, int images,
                       int unstored) {
  if (skipped(t, c->name)) return;
  setenv("PRLX_CUDA_CONV", tile, 1);
  check_counted(t, c, WHOLE_STORES);
  CHECK(getenv("TEST_RUNG") ||
            (seen.summed == summed && seen.images == images && seen.unstored == unstored),
        "%s of %lld x %lld, %s: %d sums over pixels, %d over channels, %d maps not stored", c->name,
        (long long)c->shape[0].dim[2], (long long)c->shape[0].dim[3], tile, seen.summed,
        seen.images, seen.unstored);
  unsetenv("PRLX_CUDA_CONV");
}

/* With 9 x 7 pixels no tile has those of one image alone. */
static void check_summed(Bench *t, const char *tile) {
  Case c = {
      OP_conv2d,
      "pooled maps",
      b_pooled,
      3,
      {SHAPE4(3, 16, 16, 16), SHAPE4(STORE_CHANNELS, 16, 3, 3), SHAPE4(3, STORE_CHANNELS, 1, 1)},
      {GENERIC, GENERIC, GENERIC},
      1};
  check_sums(t, &c, tile, 2, 0, 1);
  c.shape[0] = SHAPE4(3, 16, 9, 7);
  check_sums(t, &c, tile, 1, 0, 0);
  c.name = "images of maps";
  c.build = b_images;
  check_sums(t, &c, tile, 0, 2, 1);
}

/* Sums and filters in the stores of convolutions: at the gradients of a discriminator's blocks of
 * first order, and of maps that are pooled. */
static void check_stores(Bench *t, const Case *blocks) {
  Case once = *blocks;
  if (getenv("PRLX_CUDA_CONV") || getenv("PRLX_CUDA_LAYOUT")) return;
  once.order = 1;
  once.data[0] = FIXED;
  once.shape[0] = SHAPE4(2, 1, 18, 20);
  once.shape[1].dim[0] = once.shape[2].dim[0] = once.shape[2].dim[1] = STORE_CHANNELS;
  setenv("PRLX_CUDA_LAYOUT", "last", 1);
  setenv("PRLX_CUDA_CONV", "64,1", 1);
  if (!skipped(t, once.name)) check_counted(t, &once, WHOLE_STORES);
  if (!skipped(t, once.name))
    CHECK(
        getenv("TEST_RUNG") ||
            (seen.doubled == 2 && seen.summed >= 2 && seen.unstored >= 1 && seen.made >= 1),
        "%s: %d filters, %d sums in stores of convolutions, %d maps not stored, %d made of images",
        once.name, seen.doubled, seen.summed, seen.unstored, seen.made);
  Case doubled = *blocks;
  doubled.name = "a map doubled beside one that is kept";
  doubled.build = b_doubled;
  doubled.order = 1;
  doubled.shape[0] = SHAPE4(2, 16, 14, 12);
  doubled.shape[1] = SHAPE4(16, 16, 3, 3);
  if (!skipped(t, doubled.name)) check_counted(t, &doubled, WHOLE_STORES);
  unsetenv("PRLX_CUDA_CONV");
  check_summed(t, "64,1");
  check_summed(t, "128,1");
  unsetenv("PRLX_CUDA_LAYOUT");
}

/* Channels last wherever they can be. */
static void check_all_last(Bench *t, const Case *c) {
  setenv("PRLX_CUDA_LAYOUT", "last", 1);
  any_store = t->b->can_store;
  t->b->can_store = plain_store;
  check_plan_planes(t, c, 1e-3);
  t->b->can_store = any_store;
  if (!getenv("TEST_RUNG")) check_plan_planes(t, c, layout_bound(t, WHOLE_STORES));
  unsetenv("PRLX_CUDA_LAYOUT");
}

/* Down to 4x4, in float: the convolution before it has both kinds of maps. */
static void check_small(Bench *t, const Case *blocks) {
  Case small = *blocks;
  small.name = "blocks of a discriminator, to the end";
  small.shape[0] = SHAPE4(3, 1, 16, 16);
  check_all_last(t, &small);
}

void check_layouts(Bench *t) {
  const Case blocks = {OP_conv2d,
                       "blocks of a discriminator",
                       b_blocks,
                       4,
                       {SHAPE4(3, 1, 36, 36), SHAPE4(16, 1, 1, 1), SHAPE4(16, 16, 3, 3), SHAPE1(4)},
                       {GENERIC, GENERIC, GENERIC, FIXED},
                       2};
  const Case modulated = {
      OP_conv2d,
      "modulated layers",
      b_modulated,
      4,
      {SHAPE4(3, 16, 16, 16), SHAPE4(16, 16, 3, 3), SHAPE4(3, 16, 1, 1), SHAPE4(3, 16, 1, 1)},
      {GENERIC, GENERIC, GENERIC, GENERIC},
      1};
  const Case kept = {OP_conv2d,
                     "a map kept besides",
                     b_kept,
                     2,
                     {SHAPE4(3, 16, 17, 16), SHAPE4(16, 16, 3, 3)},
                     {GENERIC, GENERIC},
                     1};
  if (t->b->precision == PREC_STRICT || t->b->precision == PREC_TF32) return;
  /* other loops are joined in planes than with channels last, so that other numbers are rounded to
   * 16 bits on the way: first none, then all, which may cost a step or two of such a number */
  cuda_use_several(t->b, INT64_MAX);
  if (!skipped(t, blocks.name)) check_case_layouts(t, &blocks, PLAIN_STORES);
  if (!skipped(t, blocks.name)) check_case_layouts(t, &blocks, WHOLE_STORES);
  if (!skipped(t, blocks.name)) check_small(t, &blocks);
  check_stores(t, &blocks);
  if (!skipped(t, modulated.name)) check_case_layouts(t, &modulated, PLAIN_STORES);
  if (!skipped(t, kept.name)) check_all_last(t, &kept);
  check_turned(t, &modulated);
  cuda_use_several(t->b, 1);
  if (!skipped(t, modulated.name))
    check_plan_planes(t, &modulated, t->b->precision == PREC_F16 ? 2e-3 : 16e-3);
}
