/* deepsmote.c: see deepsmote.h */
#include "models/judge/deepsmote.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STAGES = 4, INFER_BATCH = 16 };

DeepSmoteConfig deepsmote_defaults(int channels, int side) {
  return (DeepSmoteConfig){channels, side, 16, 300};
}

DeepSmoteTrain deepsmote_train_defaults(void) {
  return (DeepSmoteTrain){.epochs = 50, .batch = 32, .lr = 1e-3, .penalty = 1};
}

/* Channels before stage k of the encoder; the decoder walks back. */
static int stage_channels(const DeepSmoteConfig *c, int k) {
  return k ? c->width << (k - 1) : c->channels;
}

static int64_t flat_size(const DeepSmoteConfig *c) {
  return (int64_t)stage_channels(c, STAGES) * (c->side / 16) * (c->side / 16);
}

static const char *deepsmote_label(char b[64], const char *part, const char *kind, int k,
                                   const char *tail) {
  if (k < 0)
    snprintf(b, 64, "%s.%s%s", part, kind, tail);
  else
    snprintf(b, 64, "%s.%s%d%s", part, kind, k, tail);
  return b;
}

static Status add_tensors(DeepSmote *d, Error *e) {
  const DeepSmoteConfig *c = &d->cfg;
  char b[64];
  for (int k = 0; k < STAGES; k++) {
    TRY(params_add(&d->params, deepsmote_label(b, "enc", "conv", k, ".weight"),
                   SHAPE4(stage_channels(c, k + 1), stage_channels(c, k), 4, 4), false, e));
    if (k)
      TRY(bn_add(&d->params, deepsmote_label(b, "enc", "bn", k, ""), stage_channels(c, k + 1), e));
  }
  TRY(params_add(&d->params, "enc.fc.weight", SHAPE2(c->latent, flat_size(c)), false, e));
  TRY(params_add(&d->params, "enc.fc.bias", SHAPE1(c->latent), false, e));
  TRY(params_add(&d->params, "dec.fc.weight", SHAPE2(flat_size(c), c->latent), false, e));
  TRY(params_add(&d->params, "dec.fc.bias", SHAPE1(flat_size(c)), false, e));
  /* a transposed convolution's weight is that of the convolution it transposes: [in,out,4,4] */
  for (int k = 0; k < STAGES; k++) {
    const int ci = stage_channels(c, STAGES - k), co = stage_channels(c, STAGES - k - 1);
    TRY(params_add(&d->params, deepsmote_label(b, "dec", "conv", k, ".weight"),
                   SHAPE4(ci, co, 4, 4), false, e));
    if (k < STAGES - 1) TRY(bn_add(&d->params, deepsmote_label(b, "dec", "bn", k, ""), co, e));
  }
  TRY(params_add(&d->params, "dec.bias", SHAPE1(c->channels), false, e));
  return params_seal(&d->params, e);
}

Status deepsmote_new(DeepSmote *d, const DeepSmoteConfig *cfg, Error *e) {
  *d = (DeepSmote){.cfg = *cfg};
  if (cfg->channels < 1 || cfg->channels > 16 || cfg->side < 16 || cfg->side > 1024 ||
      cfg->side % 16 || cfg->width < 1 || cfg->width > 512 || cfg->latent < 1 ||
      cfg->latent > 65536)
    return err_set(e, ST_INVALID,
                   "DeepSMOTE: %d channels, side %d, width %d, %d codes; expected 1 to 16, a "
                   "multiple of 16 up to 1024, 1 to 512, 1 to 65536",
                   cfg->channels, cfg->side, cfg->width, cfg->latent);
  Status s = add_tensors(d, e);
  if (s != ST_OK) deepsmote_free(d);
  return s;
}

void deepsmote_free(DeepSmote *d) {
  params_free(&d->params);
  memset(d, 0, sizeof *d);
}

/* Initial values: He et al. 2015; biases 0. */
static void deepsmote_reset(DeepSmote *d, Rng *r) {
  char b[64];
  memset(d->params.data, 0, (size_t)d->params.ntotal * sizeof *d->params.data);
  for (int k = 0; k < STAGES; k++) {
    fit_init_he(&d->params, deepsmote_label(b, "enc", "conv", k, ".weight"),
                16 * (int64_t)stage_channels(&d->cfg, k), r);
    if (k) bn_reset(&d->params, deepsmote_label(b, "enc", "bn", k, ""));
    /* 4 of 16 taps meet a pixel */
    fit_init_he(&d->params, deepsmote_label(b, "dec", "conv", k, ".weight"),
                4 * (int64_t)stage_channels(&d->cfg, STAGES - k), r);
    if (k < STAGES - 1) bn_reset(&d->params, deepsmote_label(b, "dec", "bn", k, ""));
  }
  fit_init_he(&d->params, "enc.fc.weight", 2 * flat_size(&d->cfg), r);
  fit_init_he(&d->params, "dec.fc.weight", d->cfg.latent, r);
}

static Val deepsmote_leaf(Graph *g, const DeepSmote *d, const char *name, const BnTaps *bn) {
  return params_leaf(g, &d->params, name, !bn);
}

Val g_deepsmote_encode(Graph *g, const DeepSmote *d, Val x, BnTaps *bn) {
  char b[64];
  for (int k = 0; k < STAGES; k++) {
    x = g_conv2d(g, x, deepsmote_leaf(g, d, deepsmote_label(b, "enc", "conv", k, ".weight"), bn), 2,
                 1);
    if (k) x = g_batch_norm(g, &d->params, deepsmote_label(b, "enc", "bn", k, ""), x, bn);
    x = g_lrelu(g, x, 0.2, 1, -1);
  }
  Val z = g_matmul(g, g_reshape(g, x, SHAPE2(graph_dim(g, x, 0), flat_size(&d->cfg))),
                   deepsmote_leaf(g, d, "enc.fc.weight", bn), false, true);
  return g_add(g, z,
               g_reshape(g, deepsmote_leaf(g, d, "enc.fc.bias", bn), SHAPE2(1, d->cfg.latent)));
}

Val g_deepsmote_decode(Graph *g, const DeepSmote *d, Val z, BnTaps *bn) {
  const int64_t n = graph_dim(g, z, 0), flat = flat_size(&d->cfg);
  int64_t side = d->cfg.side / 16;
  char b[64];
  Val x = g_matmul(g, z, deepsmote_leaf(g, d, "dec.fc.weight", bn), false, true);
  x = g_lrelu(g,
              g_add(g, x, g_reshape(g, deepsmote_leaf(g, d, "dec.fc.bias", bn), SHAPE2(1, flat))),
              0, 1, -1);
  x = g_reshape(g, x, SHAPE4(n, stage_channels(&d->cfg, STAGES), side, side));
  for (int k = 0; k < STAGES; k++, side *= 2) {
    x = g_conv2d_dx(g, x, deepsmote_leaf(g, d, deepsmote_label(b, "dec", "conv", k, ".weight"), bn),
                    2, 1, 2 * side, 2 * side);
    if (k < STAGES - 1)
      x = g_lrelu(g, g_batch_norm(g, &d->params, deepsmote_label(b, "dec", "bn", k, ""), x, bn), 0,
                  1, -1);
  }
  return g_tanh(g, g_add(g, x,
                         g_reshape(g, deepsmote_leaf(g, d, "dec.bias", bn),
                                   SHAPE4(1, d->cfg.channels, 1, 1))));
}

/* ---- training ---- */

typedef struct Trn {
  Fit f;
  BnTaps unused;
  Val x;
  Val xc;
  Val perm;
  Val rec;
  Val pen;
  int batch;
  int64_t *order;
  int64_t *pick;
  int64_t *by_class;
  int64_t *start;
  int classes;
} Trn;

static Status deepsmote_build(Trn *t, const DeepSmote *m, DeepSmoteTrain o, Error *e) {
  Graph *g = t->f.graph;
  const Shape s = SHAPE4(t->batch, m->cfg.channels, m->cfg.side, m->cfg.side);
  t->x = g_input(g, "images", s);
  t->xc = g_input(g, "images of one class", s);
  t->perm = g_input(g, "permutation", SHAPE2(t->batch, t->batch));
  t->rec = g_mean_all(
      g,
      g_square(
          g, g_sub(g, g_deepsmote_decode(g, m, g_deepsmote_encode(g, m, t->x, &t->f.bn), &t->f.bn),
                   t->x)));
  Val zc = g_deepsmote_encode(g, m, t->xc, &t->unused), zp = g_matmul(g, t->perm, zc, false, false);
  t->pen = g_mean_all(g, g_square(g, g_sub(g, g_deepsmote_decode(g, m, zp, &t->unused), t->xc)));
  Val loss = g_add(g, t->rec, g_axpb(g, t->pen, o.penalty, 0)), extra[2] = {t->rec, t->pen};
  return fit_plan(&t->f, loss, 2, extra, o.kind == DEEPSMOTE_CODE, &zc, o.lr, 0.9, 0.999, e);
}

static void image_put(real *dst, const Slices *d, int64_t j) {
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  for (int64_t k = 0; k < per; k++)
    dst[k] = PRLX_MIN(PRLX_MAX(d->images[j * per + k], (real)-1), (real)1);
}

/* Indices sorted by class; start[c] .. start[c+1]. */
static void sort_by_class(Trn *t, const Slices *d) {
  int64_t at = 0;
  for (int c = 0; c < t->classes; c++) {
    t->start[c] = at;
    for (int64_t i = 0; i < d->n; i++)
      if (d->labels[i] == c) t->by_class[at++] = i;
  }
  t->start[t->classes] = at;
}

/* A batch of one random class: without repetition while the class is large enough. */
static void draw_class(Trn *t, const Slices *d, Rng *r) {
  int c;
  do c = (int)rng_below(r, t->classes);
  while (t->start[c + 1] == t->start[c]);
  const int64_t n = t->start[c + 1] - t->start[c], per = (int64_t)d->channels * d->h * d->w;
  memcpy(t->pick, t->by_class + t->start[c], (size_t)n * sizeof *t->pick);
  real *x = plan_data(t->f.plan, t->xc);
  for (int i = 0; i < t->batch; i++) {
    if (i % n == 0) fit_shuffle(t->pick, n, r);
    image_put(x + i * per, d, t->pick[i % n]);
  }
}

static void draw_permutation(Trn *t, DeepSmotePenalty kind, Rng *r) {
  real *m = plan_data(t->f.plan, t->perm);
  memset(m, 0, (size_t)t->batch * (size_t)t->batch * sizeof *m);
  for (int64_t i = 0; i < t->batch; i++) t->pick[i] = i;
  /* permuting images and codes alike is no permutation at all */
  if (kind == DEEPSMOTE_PAPER) fit_shuffle(t->pick, t->batch, r);
  for (int64_t i = 0; i < t->batch; i++) m[i * t->batch + t->pick[i]] = 1;
}

static Status epoch_run(Trn *t, const DeepSmoteTrain *o, const Slices *d, Rng *r, double *rec,
                        double *pen, Error *e) {
  const int64_t per = (int64_t)d->channels * d->h * d->w, batches = d->n / t->batch;
  *rec = *pen = 0;
  fit_shuffle(t->order, d->n, r);
  for (int64_t b = 0; b < batches; b++) {
    for (int i = 0; i < t->batch; i++)
      image_put(plan_data(t->f.plan, t->x) + i * per, d, t->order[b * t->batch + i]);
    draw_class(t, d, r);
    draw_permutation(t, o->kind, r);
    TRY(fit_step(&t->f, e));
    *rec += (double)*plan_data(t->f.plan, t->rec) / (double)batches;
    *pen += (double)*plan_data(t->f.plan, t->pen) / (double)batches;
  }
  return isfinite(*rec) && isfinite(*pen)
             ? ST_OK
             : err_set(e, ST_NUMERIC, "DeepSMOTE: the loss is %g; lower the learning rate",
                       *rec + *pen);
}

static Status check_setup(const DeepSmote *m, const DeepSmoteTrain *o, const Slices *d,
                          int *classes, Error *e) {
  if (o->epochs < 1 || o->batch < 2 || !(o->lr > 0) || !(o->penalty >= 0))
    return err_set(e, ST_INVALID,
                   "DeepSMOTE: %d epochs, batch %d, learning rate %g, weight %g; expected at least "
                   "1, at least 2, > 0, >= 0",
                   o->epochs, o->batch, o->lr, o->penalty);
  if (d->n < 2 || d->channels != m->cfg.channels || d->h != m->cfg.side || d->w != m->cfg.side)
    return err_set(e, ST_INVALID,
                   "DeepSMOTE: %lld images of %d channels, %d x %d; expected at least 2 of %d "
                   "channels, %d x %d",
                   (long long)d->n, d->channels, d->w, d->h, m->cfg.channels, m->cfg.side,
                   m->cfg.side);
  *classes = 0;
  for (int64_t i = 0; i < d->n; i++) {
    if (d->labels[i] < 0 || d->labels[i] > 999)
      return err_set(e, ST_INVALID, "DeepSMOTE: image %lld is of class %lld; expected 0 to 999",
                     (long long)i, (long long)d->labels[i]);
    *classes = PRLX_MAX(*classes, (int)d->labels[i] + 1);
  }
  for (int64_t i = 0; i < d->n * d->channels * d->h * d->w; i++)
    if (!isfinite(d->images[i]))
      return err_set(e, ST_NUMERIC, "DeepSMOTE: an image holds %g; expected finite values",
                     (double)d->images[i]);
  return ST_OK;
}

static Status run_epochs(Trn *t, const DeepSmoteTrain *o, const Slices *d, Rng *r, Error *e) {
  for (int k = 1; k <= o->epochs; k++) {
    double rec, pen;
    TRY(epoch_run(t, o, d, r, &rec, &pen, e));
    TRY(fit_fetch(&t->f, e));
    if (o->tick && !o->tick(o->ctx, k, rec, pen))
      return err_set(e, ST_INTERRUPTED, "DeepSMOTE: stopped after epoch %d of %d", k, o->epochs);
  }
  return ST_OK;
}

Status deepsmote_train(DeepSmote *m, const DeepSmoteTrain *o, const Slices *d, Error *e) {
  int classes = 0;
  TRY(check_setup(m, o, d, &classes, e));
  Rng init = {.seed = o->seed, .subsequence = 0}, r = {.seed = o->seed, .subsequence = 1};
  deepsmote_reset(m, &init);
  Trn t = {.batch = (int)PRLX_MIN(o->batch, d->n), .classes = classes};
  const size_t n = (size_t)d->n;
  t.order = mem_alloc(n * sizeof *t.order);
  t.pick = mem_alloc(n * sizeof *t.pick);
  t.by_class = mem_alloc(n * sizeof *t.by_class);
  t.start = mem_alloc((size_t)(classes + 1) * sizeof *t.start);
  Status s = ST_OK;
  if (!t.order || !t.pick || !t.by_class || !t.start) {
    s = err_set(e, ST_NOMEM, "DeepSMOTE: out of memory for %lld images", (long long)d->n);
    goto done;
  }
  s = fit_begin(&t.f, &m->params, m->backend, e);
  if (s != ST_OK) goto done;
  s = deepsmote_build(&t, m, *o, e);
  if (s != ST_OK) goto done;
  sort_by_class(&t, d);
  for (int64_t i = 0; i < d->n; i++) t.order[i] = i;
  s = run_epochs(&t, o, d, &r, e);
done:
  fit_free(&t.f);
  mem_free(t.order);
  mem_free(t.pick);
  mem_free(t.by_class);
  mem_free(t.start);
  return s;
}

/* ---- coding and decoding ---- */

static Status deepsmote_infer(const DeepSmote *m, bool encode, const real *in, int64_t n, real *out,
                              Error *e) {
  const int64_t per = (int64_t)m->cfg.channels * m->cfg.side * m->cfg.side,
                a = encode ? per : m->cfg.latent, b = encode ? m->cfg.latent : per;
  Graph *g = graph_new();
  Plan *plan = NULL;
  if (!g) return err_set(e, ST_NOMEM, "DeepSMOTE: out of memory for the graph");
  Val x = g_input(g, "in",
                  encode ? SHAPE4(INFER_BATCH, m->cfg.channels, m->cfg.side, m->cfg.side)
                         : SHAPE2(INFER_BATCH, m->cfg.latent));
  Val y = encode ? g_deepsmote_encode(g, m, x, NULL) : g_deepsmote_decode(g, m, x, NULL);
  Status s = graph_status(g, e);
  if (s != ST_OK) goto done;
  s = plan_new(g, 1, &y, &(PlanOptions){.backend = m->backend}, &plan, e);
  if (s != ST_OK) goto done;
  for (int64_t at = 0; at < n; at += INFER_BATCH) {
    const int64_t k = PRLX_MIN((int64_t)INFER_BATCH, n - at);
    real *px = plan_data(plan, x);
    for (int64_t i = 0; i < k * a; i++)
      px[i] = encode ? PRLX_MIN(PRLX_MAX(in[at * a + i], (real)-1), (real)1) : in[at * a + i];
    const real *result = NULL;
    s = fit_result(plan, y, &result, e);
    if (s != ST_OK) goto done;
    memcpy(out + at * b, result, (size_t)(k * b) * sizeof *out);
  }
done:
  plan_free(plan);
  graph_free(g);
  return s;
}

Status deepsmote_encode(const DeepSmote *m, const real *images, int64_t n, real *z, Error *e) {
  return deepsmote_infer(m, true, images, n, z, e);
}

Status deepsmote_decode(const DeepSmote *m, const real *z, int64_t n, real *images, Error *e) {
  return deepsmote_infer(m, false, z, n, images, e);
}
