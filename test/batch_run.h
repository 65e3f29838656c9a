/* batch_run.h: the same bits in any batch (graph_batch_invariant), for test_batch.c (CPU) and
 * cuda_batch.c (the CUDA sources, emulated or on a card). A graph of the kinds of operations that a
 * projection has runs on 130 samples at batch 1, 3, 8, 65 and 130; every sample's values and
 * gradients are compared with those it gets alone. Sizes are chosen so that a rule that cuts a sum
 * by the number of outputs, or takes another form of a product for a long batch, would give one
 * sample another order of sums than 65 of them. */
#ifndef PRLX_TEST_BATCH_RUN_H
#define PRLX_TEST_BATCH_RUN_H
#include "core/ops.h"
#include "core/params.h"
#include "core/plan.h"
#include "core/threads.h"
#include "models/gan/networks.h"
#include "test/test.h"

enum { BR_SAMPLES = 130, BR_DIM = 72, BR_CH = 20, BR_WIDE = 300, BR_RES = 8, BR_OUT = 6 };

typedef struct BatchGraph {
  Graph *g;
  Plan *plan;
  Val w;
  Val target;
  Val out[BR_OUT];
} BatchGraph;

static const char *const br_name[BR_OUT] = {"dense layer",   "convolution",     "sum of channels",
                                            "sum of pixels", "sum of a sample", "gradient of w"};

static void br_params(Params *p) {
  Error e = {0};
  params_add(p, "fc.weight", SHAPE2(BR_DIM, BR_DIM), false, &e);
  params_add(p, "fc.bias", SHAPE1(BR_DIM), false, &e);
  params_add(p, "style.weight", SHAPE2(BR_CH, BR_DIM), false, &e);
  params_add(p, "style.bias", SHAPE1(BR_CH), false, &e);
  params_add(p, "const", SHAPE4(1, BR_CH, BR_RES, BR_RES), false, &e);
  params_add(p, "conv.weight", SHAPE4(BR_CH, BR_CH, 3, 3), false, &e);
  params_add(p, "wide.weight", SHAPE4(BR_WIDE, BR_CH, 1, 1), false, &e);
  CHECK(params_seal(p, &e) == ST_OK, "parameters: %s", e.msg);
  for (int i = 0; i < p->n; i++)
    formula_fill(p->entry[i].data, p->entry[i].numel, p->entry[i].name, 0.5, 0);
}

/* w -> style -> modulated convolution -> wide maps, normalised over channels; squared distance to a
 * target; its gradient in w. */
static Status br_build(BatchGraph *b, const Params *p, int64_t n, Backend *backend, Error *e) {
  Graph *g = b->g = graph_new();
  const unsigned channels = 1u << 1, pixels = 1u << 2 | 1u << 3;
#define LEAF(name) params_leaf(g, p, name, true)
  graph_batch_invariant(g, true);
  b->w = g_input(g, "w", SHAPE2(n, BR_DIM));
  b->target = g_input(g, "target", SHAPE4(n, BR_CH, BR_RES, BR_RES));
  Val h = g_dense(g, b->w, LEAF("fc.weight"), LEAF("fc.bias"), 1, true);
  Val s = g_dense(g, h, LEAF("style.weight"), LEAF("style.bias"), 1, false);
  Val x = g_mul(g, LEAF("const"), g_reshape(g, s, SHAPE4(n, BR_CH, 1, 1)));
  Val y = g_lrelu(g, g_conv2d(g, x, LEAF("conv.weight"), 1, 1), 0.2, 1.4, 256);
  Val wide = g_conv2d(g, y, LEAF("wide.weight"), 1, 0);
  Val norm = g_rsqrt0(g, g_axpb(g, g_sum(g, g_square(g, wide), channels), 1, 1e-8));
  Val diff = g_square(g, g_sub(g, y, b->target));
#undef LEAF
  b->out[0] = h;
  b->out[1] = y;
  b->out[2] = norm;
  b->out[3] = g_sum(g, g_mul(g, wide, norm), pixels);
  b->out[4] = g_add(g, g_sum(g, diff, channels | pixels),
                    g_mean(g, g_square(g, g_tanh(g, wide)), channels | pixels));
  b->out[5] = g_grad1(g, g_sum_all(g, b->out[4]), b->w);
  TRY(graph_status(g, e));
  return plan_new(g, BR_OUT, b->out, &(PlanOptions){.backend = backend}, &b->plan, e);
}

static int64_t br_numel(const BatchGraph *b, int k, int64_t n) {
  return shape_numel(graph_shape(b->g, b->out[k])) / n;
}

/* All samples in batches of n; out[k] [BR_SAMPLES,...]. The last batch is filled up with zeros. */
static Status br_run(const Params *p, int64_t n, const real *w, const real *target,
                     Backend *backend, real **out, int64_t *numel, Error *e) {
  const int64_t px = BR_CH * BR_RES * BR_RES;
  BatchGraph b = {0};
  Status s = br_build(&b, p, n, backend, e);
  for (int k = 0; k < BR_OUT && s == ST_OK; k++) {
    numel[k] = br_numel(&b, k, n);
    out[k] = mem_alloc((size_t)(BR_SAMPLES * numel[k]) * sizeof(real));
  }
  for (int64_t at = 0; at < BR_SAMPLES && s == ST_OK; at += n) {
    const int64_t m = PRLX_MIN(n, BR_SAMPLES - at);
    real *pw = plan_data(b.plan, b.w), *pt = plan_data(b.plan, b.target);
    memset(pw, 0, (size_t)(n * BR_DIM) * sizeof(real));
    memset(pt, 0, (size_t)(n * px) * sizeof(real));
    memcpy(pw, w + at * BR_DIM, (size_t)(m * BR_DIM) * sizeof(real));
    memcpy(pt, target + at * px, (size_t)(m * px) * sizeof(real));
    s = plan_run(b.plan, e);
    for (int k = 0; k < BR_OUT && s == ST_OK; k++)
      memcpy(out[k] + at * numel[k], plan_data(b.plan, b.out[k]),
             (size_t)(m * numel[k]) * sizeof(real));
  }
  plan_free(b.plan);
  graph_free(b.g);
  return s;
}

static void br_free(real **out) {
  for (int k = 0; k < BR_OUT; k++) {
    mem_free(out[k]);
    out[k] = NULL;
  }
}

static int br_different(const real *a, const real *b, int64_t numel) {
  int count = 0;
  for (int i = 0; i < BR_SAMPLES; i++)
    count += memcmp(a + i * numel, b + i * numel, (size_t)numel * sizeof(real)) != 0;
  return count;
}

/* backend NULL: the CPU. `what` goes before the messages. */
static void compare_batches(Backend *backend, const char *what) {
  static const int64_t batch[] = {3, 8, 65, 130};
  const int64_t px = BR_CH * BR_RES * BR_RES;
  Params p = {0};
  Error e = {0};
  Rng r = {.seed = 11};
  real *w = mem_alloc(BR_SAMPLES * BR_DIM * sizeof *w),
       *target = mem_alloc((size_t)(BR_SAMPLES * px) * sizeof *target);
  real *alone[BR_OUT] = {NULL}, *got[BR_OUT] = {NULL};
  int64_t numel[BR_OUT];
  br_params(&p);
  rng_fill_normal(&r, w, BR_SAMPLES * BR_DIM);
  rng_fill_normal(&r, target, BR_SAMPLES * px);
  Status s = br_run(&p, 1, w, target, backend, alone, numel, &e);
  CHECK(s == ST_OK, "%s, batch 1: %s", what, e.msg);
  for (int i = 0; i < COUNT_OF(batch) && s == ST_OK; i++) {
    s = br_run(&p, batch[i], w, target, backend, got, numel, &e);
    CHECK(s == ST_OK, "%s, batch %d: %s", what, (int)batch[i], e.msg);
    for (int k = 0; k < BR_OUT && s == ST_OK; k++) {
      const int n = br_different(alone[k], got[k], numel[k]);
      CHECK(!n, "%s, batch %d, %s: %d of %d samples have other bits than alone", what,
            (int)batch[i], br_name[k], n, BR_SAMPLES);
    }
    br_free(got);
  }
  br_free(alone);
  params_free(&p);
  mem_free(w);
  mem_free(target);
}
#endif
