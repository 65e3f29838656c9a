/* unet.c: see unet.h */
#include "models/judge/unet.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

UnetConfig unet_defaults(int channels) { return (UnetConfig){channels, 4, 16}; }
UnetTrain unet_train_defaults(void) {
  return (UnetTrain){
      .epochs = 40, .batch = 8, .lr = 2e-3, .beta1 = 0.9, .beta2 = 0.999, .turn = true};
}

static int width_at(const UnetConfig *c, int level) { return c->width << level; }
static const char *unet_label(char b[64], const char *part, int level, const char *kind, int k,
                              const char *tail) {
  snprintf(b, 64, "%s%d.%s%d%s", part, level, kind, k, tail);
  return b;
}

/* Two convolutions with their batch norms. */
static Status add_pair(Unet *u, const char *part, int level, int in, Error *e) {
  const int w = width_at(&u->cfg, level);
  char b[64];
  for (int k = 0; k < 2; k++) {
    TRY(params_add(&u->params, unet_label(b, part, level, "conv", k, ".weight"),
                   SHAPE4(w, k ? w : in, 3, 3), false, e));
    TRY(bn_add(&u->params, unet_label(b, part, level, "bn", k, ""), w, e));
  }
  return ST_OK;
}

static Status add_tensors(Unet *u, Error *e) {
  const UnetConfig *cfg = &u->cfg;
  char b[64];
  for (int l = 0; l < cfg->levels; l++)
    TRY(add_pair(u, "down", l, l ? width_at(cfg, l - 1) : cfg->channels, e));
  for (int l = cfg->levels - 2; l >= 0; l--) {
    snprintf(b, sizeof b, "up%d.weight", l);
    TRY(params_add(&u->params, b, SHAPE4(width_at(cfg, l + 1), width_at(cfg, l), 2, 2), false, e));
    TRY(add_pair(u, "back", l, 2 * width_at(cfg, l), e));
  }
  TRY(params_add(&u->params, "out.weight", SHAPE4(1, cfg->width, 1, 1), false, e));
  TRY(params_add(&u->params, "out.bias", SHAPE1(1), false, e));
  return params_seal(&u->params, e);
}

Status unet_new(Unet *u, const UnetConfig *cfg, Error *e) {
  *u = (Unet){.cfg = *cfg};
  if (cfg->channels < 1 || cfg->channels > 16 || cfg->levels < 1 || cfg->levels > UNET_LEVELS ||
      cfg->width < 1 || cfg->width > 256)
    return err_set(e, ST_INVALID,
                   "U-Net: %d channels, %d levels, width %d; expected 1 to 16, 1 to %d, 1 to 256",
                   cfg->channels, cfg->levels, cfg->width, UNET_LEVELS);
  const Status s = add_tensors(u, e);
  if (s != ST_OK) unet_free(u);
  return s;
}

void unet_free(Unet *u) {
  params_free(&u->params);
  memset(u, 0, sizeof *u);
}

static void reset_pair(Unet *u, const char *part, int level, int in, Rng *r) {
  char b[64];
  for (int k = 0; k < 2; k++) {
    fit_init_he(&u->params, unet_label(b, part, level, "conv", k, ".weight"),
                9 * (int64_t)(k ? width_at(&u->cfg, level) : in), r);
    bn_reset(&u->params, unet_label(b, part, level, "bn", k, ""));
  }
}

void unet_reset(Unet *u, Rng *r) {
  const UnetConfig *c = &u->cfg;
  char b[64];
  memset(u->params.data, 0, (size_t)u->params.ntotal * sizeof *u->params.data);
  for (int l = 0; l < c->levels; l++)
    reset_pair(u, "down", l, l ? width_at(c, l - 1) : c->channels, r);
  for (int l = c->levels - 2; l >= 0; l--) {
    snprintf(b, sizeof b, "up%d.weight", l);
    fit_init_he(&u->params, b, width_at(c, l + 1), r); /* one of the four taps meets a pixel */
    reset_pair(u, "back", l, 2 * width_at(c, l), r);
  }
  fit_init_he(&u->params, "out.weight", c->width, r);
}

static Val unet_pair(Graph *g, const Unet *u, const char *part, int level, Val x, BnTaps *bn) {
  char b[64];
  for (int k = 0; k < 2; k++) {
    x = g_conv2d(g, x,
                 params_leaf(g, &u->params, unet_label(b, part, level, "conv", k, ".weight"), !bn),
                 1, 1);
    x = g_lrelu(g, g_batch_norm(g, &u->params, unet_label(b, part, level, "bn", k, ""), x, bn), 0,
                1, -1);
  }
  return x;
}

Val g_unet(Graph *g, const Unet *u, Val x, BnTaps *bn) {
  const int last = u->cfg.levels - 1;
  Val skip[UNET_LEVELS];
  char b[64];
  for (int l = 0; l <= last; l++) {
    x = skip[l] = unet_pair(g, u, "down", l, x, bn);
    if (l < last) x = g_maxpool(g, x, 2, 2, 0);
  }
  for (int l = last - 1; l >= 0; l--) {
    snprintf(b, sizeof b, "up%d.weight", l);
    x = g_conv2d_dx(g, x, params_leaf(g, &u->params, b, !bn), 2, 0, graph_dim(g, skip[l], 2),
                    graph_dim(g, skip[l], 3));
    x = unet_pair(g, u, "back", l, g_concat(g, skip[l], x, 1), bn);
  }
  Val bias = g_reshape(g, params_leaf(g, &u->params, "out.bias", !bn), SHAPE4(1, 1, 1, 1));
  return g_add(g, g_conv2d(g, x, params_leaf(g, &u->params, "out.weight", !bn), 1, 0), bias);
}

SegmentationLoss g_segmentation_loss(Graph *g, Val z, Val y) {
  Val p = g_sigmoid(g, z), both = g_axpb(g, g_sum_all(g, g_mul(g, p, y)), 2, 1);
  Val all = g_axpb(g, g_add(g, g_sum_all(g, g_square(g, p)), g_sum_all(g, g_square(g, y))), 1, 1);
  Val dice = g_div(g, both, all), ce = g_mean_all(g, g_sub(g, g_softplus(g, z), g_mul(g, y, z)));
  return (SegmentationLoss){g_add(g, ce, g_axpb(g, dice, -1, 1)), dice};
}

/* ---- checks ---- */

static Status check_slices(const Unet *u, const Slices *d, Error *e) {
  const int step = 1 << (u->cfg.levels - 1);
  if (d->n > 0 && (d->h < 1 || d->w < 1 || d->h % step || d->w % step))
    return err_set(e, ST_INVALID, "U-Net: slices of %d x %d pixels; %d levels need multiples of %d",
                   d->w, d->h, u->cfg.levels, step);
  return fit_check_slices("U-Net", d, u->cfg.channels, e);
}

static double rim_probability(real v) { return PRLX_MIN(PRLX_MAX(((double)v + 1) / 2, 0.0), 1.0); }

static Status check_masks(const Slices *d, const real *mask, double *mean, Error *e) {
  const int64_t hw = (int64_t)d->h * d->w;
  bool any = false;
  double sum = 0;
  for (int64_t i = 0; i < d->n * hw; i++) {
    if (!isfinite(mask[i]))
      return err_set(e, ST_NUMERIC,
                     "U-Net: the mask of slice %lld holds %g; expected finite values",
                     (long long)(i / hw), (double)mask[i]);
    any |= mask[i] > 0;
    sum += rim_probability(mask[i]);
  }
  *mean = sum / (double)(d->n * hw);
  return any ? ST_OK
             : err_set(e, ST_INVALID,
                       "U-Net: no rim in any of the %lld masks to train with; expected values "
                       "above 0 in some",
                       (long long)d->n);
}

/* ---- training ---- */

typedef struct Trn {
  Fit f;
  Val x;
  Val y;
  SegmentationLoss loss;
  int batch;
  const Slices *d;
  const real *mask;
  const UnetTrain *o;
  Rng turns;
  double dice;
  int64_t steps;
} Trn;

static Status unet_build(Trn *t, Unet *u, Error *e) {
  TRY(fit_begin(&t->f, &u->params, u->backend, e));
  Graph *g = t->f.graph;
  t->x = g_input(g, "slices", SHAPE4(t->batch, t->d->channels, t->d->h, t->d->w));
  t->y = g_input(g, "masks", SHAPE4(t->batch, 1, t->d->h, t->d->w));
  t->loss = g_segmentation_loss(g, g_unet(g, u, t->x, &t->f.bn), t->y);
  return fit_plan(&t->f, t->loss.loss, 1, &t->loss.dice, 0, NULL, t->o->lr, t->o->beta1,
                  t->o->beta2, e);
}

/* Bit 0 mirrors rows, bit 1 columns, bit 2 exchanges both (squares only). */
static int64_t turned_index(int how, int y, int x, int h, int w) {
  if (how & 1) y = h - 1 - y;
  if (how & 2) x = w - 1 - x;
  return how & 4 ? (int64_t)x * w + y : (int64_t)y * w + x;
}

static void unet_load_row(void *ctx, int row, int64_t j) {
  Trn *t = ctx;
  const Slices *d = t->d;
  const int64_t hw = (int64_t)d->h * d->w;
  const int how = t->o->turn ? (int)rng_below(&t->turns, d->h == d->w ? 8 : 4) : 0;
  real *x = plan_data(t->f.plan, t->x) + row * d->channels * hw,
       *y = plan_data(t->f.plan, t->y) + row * hw;
  for (int i = 0; i < d->h; i++)
    for (int k = 0; k < d->w; k++) {
      const int64_t from = turned_index(how, i, k, d->h, d->w), to = (int64_t)i * d->w + k;
      for (int c = 0; c < d->channels; c++)
        x[c * hw + to] = d->images[(j * d->channels + c) * hw + from];
      y[to] = (real)rim_probability(t->mask[j * hw + from]);
    }
}

static void sum_dice(void *ctx, const int64_t *items) {
  Trn *t = ctx;
  t->dice += (double)*plan_data(t->f.plan, t->loss.dice);
  t->steps++;
}

static bool on_epoch(void *ctx, int k, double loss) {
  Trn *t = ctx;
  const double dice = t->dice / (double)t->steps;
  t->dice = 0;
  t->steps = 0;
  return !t->o->tick || t->o->tick(t->o->ctx, k, loss, dice);
}

Status unet_train(Unet *u, const UnetTrain *o, const Slices *d, const real *mask, Error *e) {
  if (o->epochs < 1 || o->batch < 1 || !(o->lr > 0) || !(o->beta1 >= 0 && o->beta1 < 1) ||
      !(o->beta2 >= 0 && o->beta2 < 1))
    return err_set(e, ST_INVALID,
                   "U-Net: %d epochs, batch %d, learning rate %g, betas %g, %g; expected at least "
                   "1, at least 1, > 0, in [0,1)",
                   o->epochs, o->batch, o->lr, o->beta1, o->beta2);
  double mean = 0;
  TRY(check_slices(u, d, e));
  TRY(check_masks(d, mask, &mean, e));
  Rng init = {.seed = o->seed, .subsequence = 0};
  unet_reset(u, &init);
  /* Rims are a few pixels of a hundred: without this the first epochs only learn that. */
  mean = PRLX_MIN(PRLX_MAX(mean, 1e-3), 0.5);
  params_find(&u->params, "out.bias")->data[0] = (real)log(mean / (1 - mean));
  Trn t = {.batch = (int)PRLX_MIN(o->batch, d->n),
           .d = d,
           .mask = mask,
           .o = o,
           .turns = {.seed = o->seed, .subsequence = 2}};
  FitLoop l = {.who = "U-Net",
               .n = d->n,
               .epochs = o->epochs,
               .batch = t.batch,
               .seed = o->seed,
               .load = unet_load_row,
               .after = sum_dice,
               .tick = on_epoch,
               .ctx = &t};
  Status s = unet_build(&t, u, e);
  if (s != ST_OK) goto done;
  s = fit_epochs(&t.f, t.loss.loss, &l, e);
done:
  fit_free(&t.f);
  return s;
}

/* ---- prediction ---- */

typedef struct Take {
  real *prob;
  int64_t hw;
} Take;
static void take_map(void *ctx, int64_t first, int64_t m, const real *p) {
  const Take *t = ctx;
  memcpy(t->prob + first * t->hw, p, (size_t)(m * t->hw) * sizeof *p);
}

Status unet_predict(const Unet *u, const Slices *d, real *prob, Error *e) {
  TRY(check_slices(u, d, e));
  Graph *g = graph_new();
  if (!g) return err_set(e, ST_NOMEM, "U-Net: out of memory for the graph");
  Take t = {prob, (int64_t)d->h * d->w};
  Val x = g_input(g, "slices", SHAPE4(FIT_PREDICT_BATCH, d->channels, d->h, d->w));
  const Val y = g_sigmoid(g, g_unet(g, u, x, NULL));
  const Status s = fit_predict(g, x, y, u->backend, d, take_map, &t, e);
  graph_free(g);
  if (s != ST_OK) return s;
  for (int64_t i = 0; i < d->n * t.hw; i++)
    if (!isfinite(prob[i]))
      return err_set(e, ST_NUMERIC, "U-Net: slice %lld gets probability %g; the weights are broken",
                     (long long)(i / t.hw), (double)prob[i]);
  return ST_OK;
}
