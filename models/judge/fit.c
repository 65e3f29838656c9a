/* fit.c: see fit.h */
#include "models/judge/fit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/flat.h"

#define BN_EPS 1e-5
#define BN_MOMENTUM 0.1

static const char *bn_name(char buf[96], const char *prefix, const char *tail) {
  snprintf(buf, 96, "%.70s.%s", prefix, tail);
  return buf;
}

Status bn_add(Params *p, const char *prefix, int channels, Error *e) {
  char b[96];
  TRY(params_add(p, bn_name(b, prefix, "weight"), SHAPE1(channels), false, e));
  TRY(params_add(p, bn_name(b, prefix, "bias"), SHAPE1(channels), false, e));
  TRY(params_add(p, bn_name(b, prefix, "running_mean"), SHAPE1(channels), true, e));
  return params_add(p, bn_name(b, prefix, "running_var"), SHAPE1(channels), true, e);
}

void bn_reset(Params *p, const char *prefix) {
  static const struct {
    const char *tail;
    real v;
  } row[4] = {{"weight", 1}, {"bias", 0}, {"running_mean", 0}, {"running_var", 1}};
  for (int k = 0; k < 4; k++) {
    char b[96];
    ParamEntry *t = params_find(p, bn_name(b, prefix, row[k].tail));
    for (int64_t i = 0; t && i < t->numel; i++) t->data[i] = row[k].v;
  }
}

static Val bn_leaf(Graph *g, const Params *p, const char *prefix, const char *tail, int64_t c,
                   bool frozen) {
  char b[96];
  return g_reshape(g, params_leaf(g, p, bn_name(b, prefix, tail), frozen), SHAPE4(1, c, 1, 1));
}

Val g_batch_norm(Graph *g, const Params *p, const char *prefix, Val x, BnTaps *taps) {
  const int64_t c = graph_dim(g, x, 1);
  Val w = bn_leaf(g, p, prefix, "weight", c, !taps), b = bn_leaf(g, p, prefix, "bias", c, !taps);
  /* x * scale + shift, both of frozen numbers only: folded before the first run */
  if (!taps) {
    Val scale = g_mul(
        g, w, g_rsqrt0(g, g_axpb(g, bn_leaf(g, p, prefix, "running_var", c, true), 1, BN_EPS)));
    Val shift = g_sub(g, b, g_mul(g, bn_leaf(g, p, prefix, "running_mean", c, true), scale));
    return g_add(g, g_mul(g, x, scale), shift);
  }
  if (taps->n == BN_MAX)
    return graph_fail(g, ST_INTERNAL, "batch norm: more than %d layers", BN_MAX);
  const double m = (double)(graph_dim(g, x, 0) * graph_dim(g, x, 2) * graph_dim(g, x, 3));
  if (m < 2)
    return graph_fail(
        g, ST_INVALID,
        "batch norm %s: one value per channel has no variance; use a batch of at least 2 images",
        prefix);
  Val mean = g_mean(g, x, 1 | 4 | 8), d = g_sub(g, x, mean),
      var = g_mean(g, g_square(g, d), 1 | 4 | 8);
  char buf[96];
  ParamEntry *rm = params_find(p, bn_name(buf, prefix, "running_mean")),
             *rv = params_find(p, bn_name(buf, prefix, "running_var"));
  if (!rm || !rv)
    return graph_fail(g, ST_INTERNAL, "batch norm: no running statistics of %s", prefix);
  taps->tap[taps->n++] = (BnTap){mean, var, m / (m - 1), rm->data, rv->data, c};
  return g_add(g, g_mul(g, d, g_mul(g, g_rsqrt0(g, g_axpb(g, var, 1, BN_EPS)), w)), b);
}

/* ---- one training step ---- */

Status fit_begin(Fit *f, Params *p, Backend *b, Error *e) {
  *f = (Fit){.graph = graph_new(), .params = p, .backend = b};
  return f->graph ? ST_OK : err_set(e, ST_NOMEM, "training: out of memory for the graph");
}

/* What training changes, without the running statistics behind the parameters. */
enum { FIT_RANGES = 4 };
static void fit_ranges(const Fit *f, real *r[FIT_RANGES]) {
  r[0] = f->params->data;
  r[1] = f->grad;
  r[2] = f->adam.v;
  r[3] = f->adam.m; /* NULL without a first moment */
}

static Status fit_share(Fit *f, Error *e) {
  const size_t bytes = (size_t)f->params->nparam * sizeof(real);
  real *r[FIT_RANGES];
  fit_ranges(f, r);
  for (; f->backend && f->shared < FIT_RANGES; f->shared++)
    if (r[f->shared]) TRY(backend_share(f->backend, r[f->shared], bytes, e));
  return ST_OK;
}

Status fit_fetch(Fit *f, Error *e) {
  if (!f->backend) return ST_OK;
  return backend_pull(f->backend, f->params->data, (size_t)f->params->nparam * sizeof(real), e);
}

void fit_free(Fit *f) {
  real *r[FIT_RANGES];
  plan_free(f->plan);
  for (int k = 0; k < f->shared; k++) {
    fit_ranges(f, r);
    if (r[k]) backend_unshare(f->backend, r[k]);
  }
  graph_free(f->graph);
  adam_free(&f->adam);
  mem_free(f->grad);
  memset(f, 0, sizeof *f);
}

enum { FIT_TENSORS = 128 };
Status fit_plan(Fit *f, Val loss, int nextra, const Val *extra, int nstop, const Val *stop,
                double lr, double beta1, double beta2, Error *e) {
  Val wrt[FIT_TENSORS], dx[FIT_TENSORS], outs[FIT_TENSORS + 2 * BN_MAX + 16];
  const ParamEntry *entry[FIT_TENSORS];
  int n = 0, k = 0;
  for (int i = 0; i < f->params->n; i++) {
    if (f->params->entry[i].buffer) continue;
    if (n == FIT_TENSORS || nextra > 15)
      return err_set(e, ST_INTERNAL, "training: more than %d tensors", FIT_TENSORS);
    entry[n] = &f->params->entry[i];
    wrt[n++] = params_leaf(f->graph, f->params, f->params->entry[i].name, false);
  }
  TRY(graph_status(f->graph, e));
  TRY(graph_grad(f->graph, 1, &loss, NULL, n, wrt, dx, nstop, stop, e));
  outs[k++] = loss;
  for (int i = 0; i < nextra; i++) outs[k++] = extra[i];
  for (int i = 0; i < f->bn.n; i++) {
    outs[k++] = f->bn.tap[i].mean;
    outs[k++] = f->bn.tap[i].var;
  }
  for (int i = 0; i < n; i++) outs[k++] = dx[i];
  f->grad = mem_alloc((size_t)f->params->nparam * sizeof *f->grad);
  if (!f->grad) return err_set(e, ST_NOMEM, "training: out of memory for the gradient");
  TRY(adam_init(&f->adam, f->params->nparam, lr, beta1, beta2, 1e-8, e));
  TRY(fit_share(f, e));
  TRY(plan_new(f->graph, k, outs, &(PlanOptions){.backend = f->backend}, &f->plan, e));
  for (int i = 0; i < n; i++) TRY(plan_bind(f->plan, dx[i], f->grad + entry[i]->offset, e));
  return ST_OK;
}

Status fit_step(Fit *f, Error *e) {
  TRY(plan_run(f->plan, e));
  for (int i = 0; i < f->bn.n; i++) {
    const BnTap *t = &f->bn.tap[i];
    const real *m, *v;
    TRY(plan_read(f->plan, t->mean, &m, e));
    TRY(plan_read(f->plan, t->var, &v, e));
    for (int64_t c = 0; c < t->channels; c++) {
      t->running_mean[c] =
          (real)((1 - BN_MOMENTUM) * (double)t->running_mean[c] + BN_MOMENTUM * (double)m[c]);
      t->running_var[c] = (real)((1 - BN_MOMENTUM) * (double)t->running_var[c] +
                                 BN_MOMENTUM * t->unbias * (double)v[c]);
    }
  }
  return flat_adam(f->backend, &f->adam, flat_at(f->backend, f->params->data),
                   flat_at(f->backend, f->grad), NULL, 0, e);
}

/* ---- epochs, inference ---- */

Status fit_check_slices(const char *who, const Slices *d, int channels, Error *e) {
  if (d->n < 1) return err_set(e, ST_INVALID, "%s: no slices; expected at least one", who);
  if (d->channels != channels)
    return err_set(e, ST_INVALID, "%s: slices of %d channels; this %s takes %d", who, d->channels,
                   who, channels);
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  for (int64_t i = 0; i < d->n * per; i++)
    if (!isfinite(d->images[i]))
      return err_set(e, ST_NUMERIC, "%s: slice %lld holds %g; expected finite values", who,
                     (long long)(i / per), (double)d->images[i]);
  return ST_OK;
}

static Status epoch_run(Fit *f, Val loss, const FitLoop *l, const int64_t *order, double *mean,
                        Error *e) {
  const int64_t batches = l->n / l->batch;
  *mean = 0;
  for (int64_t b = 0; b < batches; b++) {
    for (int i = 0; i < l->batch; i++) l->load(l->ctx, i, order[b * l->batch + i]);
    TRY(fit_step(f, e));
    const real *at;
    TRY(plan_read(f->plan, loss, &at, e));
    const double v = (double)*at;
    if (!isfinite(v))
      return err_set(e, ST_NUMERIC, "%s: the loss is %g; lower the learning rate", l->who, v);
    *mean += v / (double)batches;
    if (l->after) l->after(l->ctx, order + b * l->batch);
  }
  return fit_fetch(f, e);
}

Status fit_epochs(Fit *f, Val loss, const FitLoop *l, Error *e) {
  Rng shuffle = {.seed = l->seed, .subsequence = 1};
  int64_t *order = mem_alloc((size_t)l->n * sizeof *order);
  if (!order)
    return err_set(e, ST_NOMEM, "%s: out of memory for the order of %lld slices", l->who,
                   (long long)l->n);
  for (int64_t i = 0; i < l->n; i++) order[i] = i;
  Status s = ST_OK;
  for (int k = 1; k <= l->epochs; k++) {
    double mean;
    fit_shuffle(order, l->n, &shuffle);
    s = epoch_run(f, loss, l, order, &mean, e);
    if (s != ST_OK) goto done;
    if (l->tick && !l->tick(l->ctx, k, mean)) {
      s = err_set(e, ST_INTERRUPTED, "%s: stopped after epoch %d of %d", l->who, k, l->epochs);
      goto done;
    }
  }
done:
  mem_free(order);
  return s;
}

Status fit_result(Plan *p, Val y, const real **out, Error *e) {
  TRY(plan_run(p, e));
  return plan_read(p, y, out, e);
}

Status fit_predict(Graph *g, Val x, Val y, Backend *b, const Slices *d,
                   void (*take)(void *ctx, int64_t first, int64_t m, const real *y), void *ctx,
                   Error *e) {
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  Plan *plan = NULL;
  TRY(graph_status(g, e));
  TRY(plan_new(g, 1, &y, &(PlanOptions){.backend = b}, &plan, e));
  Status s = ST_OK;
  for (int64_t at = 0; at < d->n; at += FIT_PREDICT_BATCH) {
    const int64_t m = PRLX_MIN((int64_t)FIT_PREDICT_BATCH, d->n - at);
    memcpy(plan_data(plan, x), d->images + at * per, (size_t)(m * per) * sizeof(real));
    const real *result = NULL;
    s = fit_result(plan, y, &result, e);
    if (s != ST_OK) goto done;
    take(ctx, at, m, result);
  }
done:
  plan_free(plan);
  return s;
}

void fit_init_he(Params *p, const char *name, int64_t fan_in, Rng *r) {
  ParamEntry *t = params_find(p, name);
  if (!t) return;
  const double k = sqrt(2.0 / (double)fan_in);
  rng_fill_normal(r, t->data, t->numel);
  for (int64_t i = 0; i < t->numel; i++) t->data[i] = (real)((double)t->data[i] * k);
}

void fit_shuffle(int64_t *order, int64_t n, Rng *r) {
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = rng_below(r, i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}
