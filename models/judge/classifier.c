/* classifier.c: see classifier.h */
#include "models/judge/classifier.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

ClassifierConfig classifier_defaults(int channels) {
  return (ClassifierConfig){
      .channels = channels, .classes = 2, .pools = CLS_UNITS, .width = {16, 32, 64, 64, 128, 128}};
}

ClassifierTrain classifier_train_defaults(void) {
  return (ClassifierTrain){.epochs = 25, .batch = 32, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999};
}

static Status add_tensors(Classifier *c, Error *e) {
  const ClassifierConfig *cfg = &c->cfg;
  for (int k = 0; k < CLS_UNITS; k++) {
    char name[64];
    if (cfg->width[k] < 1 || cfg->width[k] > 4096)
      return err_set(e, ST_INVALID, "classifier: unit %d is %d wide; expected 1 to 4096", k + 1,
                     cfg->width[k]);
    snprintf(name, sizeof name, "unit%d.conv.weight", k);
    TRY(params_add(&c->params, name,
                   SHAPE4(cfg->width[k], k ? cfg->width[k - 1] : cfg->channels, 3, 3), false, e));
    snprintf(name, sizeof name, "unit%d.bn", k);
    TRY(bn_add(&c->params, name, cfg->width[k], e));
  }
  TRY(params_add(&c->params, "fc.weight", SHAPE2(cfg->classes, cfg->width[CLS_UNITS - 1]), false,
                 e));
  TRY(params_add(&c->params, "fc.bias", SHAPE1(cfg->classes), false, e));
  return params_seal(&c->params, e);
}

Status classifier_new(Classifier *c, const ClassifierConfig *cfg, Error *e) {
  *c = (Classifier){.cfg = *cfg};
  if (cfg->channels < 1 || cfg->channels > 16 || cfg->classes < 2 || cfg->classes > 1000 ||
      cfg->pools < 0 || cfg->pools > CLS_UNITS)
    return err_set(
        e, ST_INVALID,
        "classifier: %d channels, %d classes, %d poolings; expected 1 to 16, 2 to 1000, 0 to %d",
        cfg->channels, cfg->classes, cfg->pools, CLS_UNITS);
  const Status s = add_tensors(c, e);
  if (s != ST_OK) classifier_free(c);
  return s;
}

void classifier_free(Classifier *c) {
  params_free(&c->params);
  memset(c, 0, sizeof *c);
}

/* Initial values: He et al. 2015; biases 0. */
static void classifier_reset(Classifier *c, Rng *r) {
  char name[64];
  for (int k = 0; k < CLS_UNITS; k++) {
    snprintf(name, sizeof name, "unit%d.conv.weight", k);
    fit_init_he(&c->params, name, 9 * (int64_t)(k ? c->cfg.width[k - 1] : c->cfg.channels), r);
    snprintf(name, sizeof name, "unit%d.bn", k);
    bn_reset(&c->params, name);
  }
  fit_init_he(&c->params, "fc.weight", c->cfg.width[CLS_UNITS - 1], r);
  ParamEntry *b = params_find(&c->params, "fc.bias");
  memset(b->data, 0, (size_t)b->numel * sizeof *b->data);
}

Val g_classifier(Graph *g, const Classifier *c, Val x, BnTaps *bn, ClassifierTaps *taps) {
  const bool frozen = !bn;
  const int64_t n = graph_dim(g, x, 0);
  char name[64];
  Val early = x;
  for (int k = 0; k < CLS_UNITS; k++) {
    snprintf(name, sizeof name, "unit%d.conv.weight", k);
    x = g_conv2d(g, x, params_leaf(g, &c->params, name, frozen), 1, 1);
    snprintf(name, sizeof name, "unit%d.bn", k);
    /* pooling before normalisation and ReLU, in the order of the paper's sentence: a quarter of the
     * pixels to normalise, and with ReLU and positive scales the same largest values */
    const bool pool = k < c->cfg.pools, late = c->cfg.norm_first;
    if (pool && !late) x = g_maxpool(g, x, 2, 2, 0);
    x = g_lrelu(g, g_batch_norm(g, &c->params, name, x, bn), 0, 1, -1);
    if (pool && late) x = g_maxpool(g, x, 2, 2, 0);
    if (k + 1 == CLS_MAP_UNITS) early = x;
  }
  Val pooled = g_reshape(g, g_mean(g, x, 4 | 8), SHAPE2(n, c->cfg.width[CLS_UNITS - 1]));
  if (taps) *taps = (ClassifierTaps){x, c->cfg.pools > CLS_MAP_UNITS ? early : x, pooled};
  Val bias = g_reshape(g, params_leaf(g, &c->params, "fc.bias", frozen), SHAPE2(1, c->cfg.classes));
  return g_add(g, g_matmul(g, pooled, params_leaf(g, &c->params, "fc.weight", frozen), false, true),
               bias);
}

/* ---- checks ---- */

static Status check_slices(const Classifier *c, const Slices *d, Error *e) {
  const int least = 1 << c->cfg.pools;
  if (d->n > 0 && (d->h < least || d->w < least))
    return err_set(e, ST_INVALID,
                   "classifier: slices of %d x %d pixels; %d poolings need at least %d x %d", d->w,
                   d->h, c->cfg.pools, least, least);
  return fit_check_slices("classifier", d, c->cfg.channels, e);
}

Status classifier_fits(const Classifier *c, int h, int w, const char *path, Error *e) {
  if (!c->seen_h || (c->seen_h == h && c->seen_w == w)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: slices of %d x %d pixels; the classifier was trained on %d x %d; expected "
                 "the same size; crop or pack them alike",
                 path, w, h, c->seen_w, c->seen_h);
}

static Status check_labels(const Classifier *c, const Slices *d, Error *e) {
  const int k = c->cfg.classes;
  if (d->n < 2)
    return err_set(e, ST_INVALID, "classifier: %lld slice to train with; expected at least 2",
                   (long long)d->n);
  int64_t *count = mem_alloc((size_t)k * sizeof *count);
  if (!count) return err_set(e, ST_NOMEM, "classifier: out of memory");
  Status s = ST_OK;
  for (int64_t i = 0; i < d->n; i++) {
    if (d->labels[i] < 0 || d->labels[i] >= k) {
      s = err_set(e, ST_INVALID, "classifier: slice %lld is of class %lld; expected 0 to %d",
                  (long long)i, (long long)d->labels[i], k - 1);
      goto done;
    }
    count[d->labels[i]]++;
  }
  for (int i = 0; i < k; i++) {
    if (count[i]) continue;
    s = err_set(e, ST_INVALID,
                "classifier: no slice of class %d among %lld to train with; expected slices of "
                "all %d classes",
                i, (long long)d->n, k);
    goto done;
  }
done:
  mem_free(count);
  return s;
}

/* ---- training ---- */

typedef struct Trn {
  Fit f;
  Val x;
  Val onehot;
  Val loss;
  Val logits;
  int batch;
  int classes;
  const Slices *d;
  const ClassifierTrain *o;
  int64_t right;
  int64_t seen;
  int64_t step;
  int64_t steps; /* in all */
  double *sum;   /* of the weights at the ends of the last epochs, [params.nparam] */
} Trn;

static Status classifier_build(Trn *t, Classifier *c, const ClassifierTrain *o, const Slices *d,
                               Error *e) {
  TRY(fit_begin(&t->f, &c->params, c->backend, e));
  Graph *g = t->f.graph;
  t->batch = (int)PRLX_MIN(o->batch, d->n);
  t->classes = c->cfg.classes;
  t->d = d;
  t->o = o;
  t->x = g_input(g, "slices", SHAPE4(t->batch, d->channels, d->h, d->w));
  t->onehot = g_input(g, "classes", SHAPE2(t->batch, c->cfg.classes));
  t->logits = g_classifier(g, c, t->x, &t->f.bn, NULL);
  t->loss = g_mean_all(g, g_softmax_ce(g, t->logits, t->onehot));
  return fit_plan(&t->f, t->loss, 1, &t->logits, 0, NULL, o->lr, o->beta1, o->beta2, e);
}

static int index_of_largest(const real *z, int k) {
  int at = 0;
  for (int i = 1; i < k; i++)
    if (z[i] > z[at]) at = i;
  return at;
}

static void classifier_load_row(void *ctx, int row, int64_t j) {
  Trn *t = ctx;
  const int64_t per = (int64_t)t->d->channels * t->d->h * t->d->w;
  real *x = plan_data(t->f.plan, t->x),
       *y = plan_data(t->f.plan, t->onehot) + (int64_t)row * t->classes;
  memcpy(x + row * per, t->d->images + j * per, (size_t)per * sizeof *x);
  for (int k = 0; k < t->classes; k++) y[k] = k == t->d->labels[j];
}

/* After a step: how many were right, and the rate of the next one. */
static void count_right(void *ctx, const int64_t *items) {
  Trn *t = ctx;
  t->step++;
  if (t->o->cosine)
    t->f.adam.lr = t->o->lr * 0.5 * (1 + cos(M_PI * (double)t->step / (double)t->steps));
  const real *z = plan_data(t->f.plan, t->logits);
  for (int i = 0; i < t->batch; i++)
    t->right += index_of_largest(z + (int64_t)i * t->classes, t->classes) == t->d->labels[items[i]];
  t->seen += t->batch;
}

static bool on_epoch(void *ctx, int k, double loss) {
  Trn *t = ctx;
  const double acc = (double)t->right / (double)t->seen;
  t->right = t->seen = 0;
  for (int64_t i = 0; t->sum && k > t->o->epochs - t->o->average && i < t->f.params->nparam; i++)
    t->sum[i] += (double)t->f.params->data[i] / t->o->average;
  return !t->o->tick || t->o->tick(t->o->ctx, k, loss, acc);
}

static Status check_train(const ClassifierTrain *o, Error *e) {
  if (o->epochs < 1 || o->batch < 2 || !(o->lr > 0) || !(o->beta1 >= 0 && o->beta1 < 1) ||
      !(o->beta2 >= 0 && o->beta2 < 1))
    return err_set(e, ST_INVALID,
                   "classifier: %d epochs, batch %d, learning rate %g, betas %g, %g; expected at "
                   "least 1, at least 2, > 0, in [0,1)",
                   o->epochs, o->batch, o->lr, o->beta1, o->beta2);
  if (o->average >= 0 && o->average <= o->epochs) return ST_OK;
  return err_set(e, ST_INVALID, "classifier: the mean of %d epochs of %d; expected 0 to all",
                 o->average, o->epochs);
}

/* The mean of the weights takes their place. */
static Status take_average(Trn *t, Classifier *c, Error *e) {
  for (int64_t i = 0; i < c->params.nparam; i++) c->params.data[i] = (real)t->sum[i];
  return classifier_refit_norm(c, t->d, t->o->batch, t->o->seed, e);
}

Status classifier_train(Classifier *c, const ClassifierTrain *o, const Slices *d, Error *e) {
  TRY(check_train(o, e));
  TRY(check_slices(c, d, e));
  TRY(check_labels(c, d, e));
  c->seen_h = d->h;
  c->seen_w = d->w;
  Rng init = {.seed = o->seed, .subsequence = 0};
  classifier_reset(c, &init);
  Trn t = {0};
  Status s = classifier_build(&t, c, o, d, e);
  FitLoop l = {.who = "classifier",
               .n = d->n,
               .epochs = o->epochs,
               .batch = t.batch,
               .seed = o->seed,
               .load = classifier_load_row,
               .after = count_right,
               .tick = on_epoch,
               .ctx = &t};
  if (s != ST_OK) goto done;
  t.steps = o->epochs * (d->n / t.batch);
  if (o->average && !(t.sum = mem_alloc((size_t)c->params.nparam * sizeof *t.sum))) {
    s = err_set(e, ST_NOMEM, "classifier: out of memory for the mean of the weights");
    goto done;
  }
  s = fit_epochs(&t.f, t.loss, &l, e);
  if (s != ST_OK || !t.sum) goto done;
  fit_free(&t.f); /* the mean is the host's: no mirror of the last weights may stand for it */
  s = take_average(&t, c, e);
done:
  mem_free(t.sum);
  fit_free(&t.f);
  return s;
}

/* ---- statistics of batch norm ---- */

typedef struct Norm {
  Graph *graph;
  Plan *plan;
  BnTaps bn;
  Val x;
  int batch;
  double *mean; /* [layer][channel], sums over the batches */
  double *var;
} Norm;

enum { NORM_CHANNELS = 4096 }; /* widest unit that there is */

static Status norm_begin(Norm *q, const Classifier *c, const Slices *d, int batch, Error *e) {
  Val out[2 * BN_MAX];
  q->graph = graph_new();
  q->mean = mem_alloc((size_t)BN_MAX * NORM_CHANNELS * sizeof *q->mean);
  q->var = mem_alloc((size_t)BN_MAX * NORM_CHANNELS * sizeof *q->var);
  if (!q->graph || !q->mean || !q->var) return err_set(e, ST_NOMEM, "classifier: out of memory");
  q->batch = (int)PRLX_MIN((int64_t)batch, d->n);
  q->x = g_input(q->graph, "slices", SHAPE4(q->batch, d->channels, d->h, d->w));
  g_classifier(q->graph, c, q->x, &q->bn, NULL);
  TRY(graph_status(q->graph, e));
  for (int i = 0; i < q->bn.n; i++) {
    out[2 * i] = q->bn.tap[i].mean;
    out[2 * i + 1] = q->bn.tap[i].var;
  }
  return plan_new(q->graph, 2 * q->bn.n, out, &(PlanOptions){.backend = c->backend}, &q->plan, e);
}

static void norm_free(Norm *q) {
  plan_free(q->plan);
  graph_free(q->graph);
  mem_free(q->mean);
  mem_free(q->var);
}

static Status norm_batches(Norm *q, const Slices *d, const int64_t *order, Error *e) {
  const int64_t per = (int64_t)d->channels * d->h * d->w, batches = d->n / q->batch;
  for (int64_t b = 0; b < batches; b++) {
    real *x = plan_data(q->plan, q->x);
    for (int i = 0; i < q->batch; i++)
      memcpy(x + i * per, d->images + order[b * q->batch + i] * per, (size_t)per * sizeof *x);
    TRY(plan_run(q->plan, e));
    for (int i = 0; i < q->bn.n; i++) {
      const BnTap *t = &q->bn.tap[i];
      const real *m, *v;
      TRY(plan_read(q->plan, t->mean, &m, e));
      TRY(plan_read(q->plan, t->var, &v, e));
      for (int64_t k = 0; k < t->channels; k++) {
        q->mean[i * NORM_CHANNELS + k] += (double)m[k] / (double)batches;
        q->var[i * NORM_CHANNELS + k] += t->unbias * (double)v[k] / (double)batches;
      }
    }
  }
  for (int i = 0; i < q->bn.n; i++)
    for (int64_t k = 0; k < q->bn.tap[i].channels; k++) {
      q->bn.tap[i].running_mean[k] = (real)q->mean[i * NORM_CHANNELS + k];
      q->bn.tap[i].running_var[k] = (real)q->var[i * NORM_CHANNELS + k];
    }
  return ST_OK;
}

Status classifier_refit_norm(Classifier *c, const Slices *d, int batch, uint64_t seed, Error *e) {
  Norm q = {0};
  Rng shuffle = {.seed = seed, .subsequence = 2};
  TRY(check_slices(c, d, e));
  if (batch < 2 || d->n < 2)
    return err_set(e, ST_INVALID,
                   "classifier: batch norm of %lld slices in batches of %d; "
                   "expected at least 2",
                   (long long)d->n, batch);
  int64_t *order = mem_alloc((size_t)d->n * sizeof *order);
  if (!order) return err_set(e, ST_NOMEM, "classifier: out of memory");
  for (int64_t i = 0; i < d->n; i++) order[i] = i;
  fit_shuffle(order, d->n, &shuffle);
  Status s = norm_begin(&q, c, d, batch, e);
  if (s != ST_OK) goto done;
  s = norm_batches(&q, d, order, e);
done:
  mem_free(order);
  norm_free(&q);
  return s;
}

/* ---- prediction ---- */

static void row_softmax(const real *z, int k, double *p) {
  double top = (double)z[index_of_largest(z, k)], sum = 0;
  for (int i = 0; i < k; i++) sum += p[i] = exp((double)z[i] - top);
  for (int i = 0; i < k; i++) p[i] /= sum;
}

typedef struct Take {
  double *prob;
  int k;
} Take;
static void take_softmax(void *ctx, int64_t first, int64_t m, const real *logits) {
  const Take *t = ctx;
  for (int64_t i = 0; i < m; i++)
    row_softmax(logits + i * t->k, t->k, t->prob + (first + i) * t->k);
}

Status classifier_predict(const Classifier *c, const Slices *d, double *prob, Error *e) {
  TRY(check_slices(c, d, e));
  Graph *g = graph_new();
  if (!g) return err_set(e, ST_NOMEM, "classifier: out of memory for the graph");
  Take t = {prob, c->cfg.classes};
  Val x = g_input(g, "slices", SHAPE4(FIT_PREDICT_BATCH, d->channels, d->h, d->w)),
      logits = g_classifier(g, c, x, NULL, NULL);
  const Status s = fit_predict(g, x, logits, c->backend, d, take_softmax, &t, e);
  graph_free(g);
  if (s != ST_OK) return s;
  for (int64_t i = 0; i < d->n * t.k; i++)
    if (!isfinite(prob[i]))
      return err_set(e, ST_NUMERIC,
                     "classifier: slice %lld gets probability %g; the weights are broken",
                     (long long)(i / t.k), prob[i]);
  return ST_OK;
}

void classifier_by_lesion(int64_t n, const double *prob, int classes, int cls,
                          const int64_t *lesion, int64_t lesions, double *out) {
  for (int64_t l = 0; l < lesions; l++) {
    double sum = 0;
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++)
      if (lesion[i] == l) {
        sum += prob[i * classes + cls];
        m++;
      }
    out[l] = m ? sum / (double)m : NAN;
  }
}
