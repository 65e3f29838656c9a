/* api_train.c: training of prlx.h (models/gan/train.h). */
#include <string.h>
#include "models/api/api.h"
#include "models/gan/train.h"

struct prlx_trainer {
  Trainer *t;
  const Dataset *set;
  real *labels; /* [n,c_dim] one-hot, or NULL */
};

void prlx_train_defaults(prlx_train_options *o, size_t size) {
  const prlx_train_options all = {.size = size, .preset = "small", .mirror = true};
  if (!o) return;
  memset(o, 0, size);
  memcpy(o, &all, PRLX_MIN(size, sizeof all));
}

/* Classes of a conditional training: 1 + the largest label. */
static Status labels_count(const Dataset *d, int *classes, Error *e) {
  *classes = 0;
  if (!d->labels)
    return err_set(e, ST_INVALID, "training: the data set has no labels; leave conditional out");
  for (int64_t i = 0; i < d->n; i++) {
    if (d->labels[i] < 0 || d->labels[i] > 999)
      return err_set(e, ST_INVALID, "training: label %lld of image %lld; expected classes 0 to 999",
                     (long long)d->labels[i], (long long)i);
    *classes = PRLX_MAX(*classes, (int)d->labels[i] + 1);
  }
  return ST_OK;
}

static Status trainer_start(prlx_trainer *t, const prlx_train_options *given, Error *e) {
  const Dataset *d = t->set;
  TrainConfig c;
  prlx_train_options all, *o = &all;
  int classes = 0;
  prlx_train_defaults(o, sizeof *o);
  if (given) TRY(api_options(o, sizeof *o, given, given->size, "prlx_trainer_new", e));
  if (d->h != d->w)
    return err_set(e, ST_INVALID, "training: images of %d x %d; expected squares", d->w, d->h);
  if (o->conditional) TRY(labels_count(d, &classes, e));
  TRY(train_preset(&c, o->preset ? o->preset : "small", d->h, d->channels, classes, e));
  c.seed = o->seed;
  c.mirror = o->mirror;
  c.max_bytes = o->max_bytes;
  c.backend = api_backend(o->device);
  if (o->batch) {
    c.batch = o->batch;
    c.batch_gpu = 0;
    /* defaults that the batch has room for */
    c.pl_batch_shrink = PRLX_MIN(c.pl_batch_shrink, o->batch);
    while (c.D.mbstd_group_size > 1 && c.D.mbstd_group_size <= o->batch &&
           o->batch % c.D.mbstd_group_size)
      c.D.mbstd_group_size--;
  }
  TRY(train_config_check(&c, e));
  if (classes) {
    t->labels = mem_alloc((size_t)d->n * (size_t)classes * sizeof *t->labels);
    if (!t->labels) return err_set(e, ST_NOMEM, "training: out of memory for the labels");
    for (int64_t i = 0; i < d->n; i++) t->labels[i * classes + d->labels[i]] = 1;
  }
  const TrainData data = {d->images, t->labels, d->n};
  return trainer_new(&c, &data, &t->t, e);
}

prlx_status prlx_trainer_new(const prlx_dataset *d, const prlx_train_options *o, prlx_trainer **out,
                             prlx_error *e) {
  API_NEED(d, e);
  API_NEED(out, e);
  Error in;
  prlx_trainer *t = mem_alloc(sizeof *t);
  *out = NULL;
  if (!t) return api_return(err_set(&in, ST_NOMEM, "training: out of memory"), &in, e);
  t->set = &d->set;
  const Status s = trainer_start(t, o, &in);
  if (s == ST_OK)
    *out = t;
  else
    prlx_trainer_free(t);
  return api_return(s, &in, e);
}

void prlx_trainer_free(prlx_trainer *t) {
  if (!t) return;
  trainer_free(t->t);
  mem_free(t->labels);
  mem_free(t);
}

prlx_status prlx_trainer_step(prlx_trainer *t, prlx_train_info *info, prlx_error *e) {
  API_NEED(t, e);
  Error in;
  TrainMetrics m;
  const Status s = trainer_step(t->t, &m, &in);
  if (s != ST_OK || !info) return api_return(s, &in, e);
  const prlx_train_info all = {.size = info->size,
                               .images = trainer_state(t->t)->cur_nimg,
                               .g_loss = m.g_loss,
                               .d_loss = m.d_loss_real + m.d_loss_fake,
                               .ada_p = m.p};
  if (info->size < sizeof info->size)
    return api_return(err_set(&in, ST_INVALID, "prlx_trainer_step: set info.size first"), &in, e);
  memcpy(info, &all, PRLX_MIN(info->size, sizeof all));
  return api_return(s, &in, e);
}

prlx_status prlx_trainer_save(prlx_trainer *t, const char *path, prlx_error *e) {
  API_NEED(t, e);
  API_NEED(path, e);
  Error in;
  const Dataset *d = t->set;
  const Status s = trainer_fetch(t->t, &in);
  if (s != ST_OK) return api_return(s, &in, e);
  return api_return(network_save_trained(path, trainer_G_ema(t->t), d->meta, d->nmeta,
                                         trainer_state(t->t)->cur_nimg, trainer_config(t->t)->seed,
                                         NULL, &in),
                    &in, e);
}
