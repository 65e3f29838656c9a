/* train.c: the trainer: what it owns, one iteration, its state as a list of tensors.
 *
 *     iteration:  draw reals and latents -> Gmain -> Greg (every 4th) -> Dmain -> Dreg (every 16th)
 *     -> EMA of G -> ADA controller (every 4th)
 *
 * SEMANTICS section 5. Graphs: train_nets.c; phases: train_phase.c; losses: loss.c; controller and
 * sampler: ada.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "models/gan/train_impl.h"

/* ---- construction ---- */

/* At most 17 of them: two for each resolution from 8 to 1024, one at 4. */
static void find_noises(Trainer *t) {
  const Params *p = &t->G.params;
  for (int i = 0; i < p->n && t->cfg.noise_size; i++)
    if (strstr(p->entry[i].name, ".noise_strength") && t->noises.n < FLAT_PLACES)
      t->noises.at[t->noises.n++] = p->entry[i].offset;
}

static Status new_nets(Trainer *t, Error *e) {
  TRY(generator_new(&t->G, &t->cfg.G, e));
  find_noises(t);
  TRY(generator_new(&t->G_ema, &t->cfg.G, e));
  TRY(discriminator_new(&t->D, &t->cfg.D, e));
  generator_reset(&t->G, &t->state.rng[TRNG_INIT_G]);
  discriminator_reset(&t->D, &t->state.rng[TRNG_INIT_D]);
  trainer_copy_to_ema(t);
  return ST_OK;
}

/* Lazy regularisation (Karras et al. 2019b, appendix B): k main steps and one regularisation step
 * share an optimiser that would otherwise have made k steps, hence lr and betas to the power r =
 * k/(k+1). */
static Status new_adam(Trainer *t, int is_d, Error *e) {
  const TrainConfig *c = &t->cfg;
  int interval = is_d ? c->d_reg_interval : c->g_reg_interval;
  double r = interval > 0 ? interval / (interval + 1.0) : 1;
  t->lr[is_d] = (is_d ? c->d_lr : c->g_lr) * r;
  return adam_init(&t->adam[is_d], is_d ? t->D.params.nparam : t->G.params.nparam, t->lr[is_d],
                   pow(c->beta1, r), pow(c->beta2, r), c->eps, e);
}

/* Allocates, remembering the first failure. */
static void *need_memory(size_t n, size_t size, bool *ok) {
  void *p = *ok ? mem_alloc(n * size) : NULL;
  if (!p) *ok = false;
  return p;
}

/* The arrays of results, one after another behind their head. */
static void new_results(Trainer *t, size_t batch, size_t pl, size_t rounds, bool *ok) {
  struct {
    real **p;
    size_t n;
  } part[] = {{&t->g_scores, batch},
              {&t->g_losses, batch},
              {&t->d_fake, batch},
              {&t->d_real, batch},
              {&t->d_losses, batch},
              {&t->r1, batch},
              {&t->r1_logits, batch},
              {&t->pl, pl},
              {&t->pl_means, rounds},
              {&t->w_means, comm_many(t->cfg.comm) ? rounds * (size_t)t->cfg.G.w_dim : 0}};
  size_t n = 0;
  for (int i = 0; i < COUNT_OF(part); i++) n += (part[i].n + 15) / 16 * 16;
  t->res_bytes = sizeof(TrainResults) + n * sizeof(real);
  t->res = need_memory(1, t->res_bytes, ok);
  real *at = t->res ? (real *)(t->res + 1) : NULL;
  for (int i = 0; i < COUNT_OF(part) && at; i++) {
    *part[i].p = at;
    at += (part[i].n + 15) / 16 * 16;
  }
}

static Status new_buffers(Trainer *t, Error *e) {
  const TrainConfig *c = &t->cfg;
  bool ok = true;
  size_t B = (size_t)c->batch,
         px = (size_t)c->G.img_channels * (size_t)c->G.img_resolution * (size_t)c->G.img_resolution;
  size_t rounds = (size_t)train_rounds(c), round = B / rounds, R = sizeof(real),
         pl = c->pl_weight > 0 ? (size_t)train_pl_samples(c) : 0;
  for (int k = 0; k < 2; k++) {
    t->grad_round[k] = need_memory((size_t)(k ? t->D.params.nparam : t->G.params.nparam), R, &ok);
    t->grad_sum[k] = need_memory((size_t)(k ? t->D.params.nparam : t->G.params.nparam), R, &ok);
  }
  t->aug = need_memory(round, sizeof *t->aug, &ok);
  t->round_img = need_memory(round * px, R, &ok);
  t->images = need_memory(B * px, R, &ok);
  t->labels = need_memory(B * (size_t)c->G.c_dim, R, &ok);
  for (int k = 0; k < PH_DREG; k++) {
    t->z[k] = need_memory(B * (size_t)c->G.z_dim, R, &ok);
    t->c[k] = need_memory(B * (size_t)c->G.c_dim, R, &ok);
    t->z_mix[k] = need_memory(B * (size_t)c->G.z_dim, R, &ok);
    t->cutoff[k] = need_memory(rounds, sizeof(int64_t), &ok);
  }
  t->pl_noise = need_memory(rounds * pl * px, R, &ok);
  new_results(t, B, rounds * pl, rounds, &ok);
  if (comm_many(c->comm)) t->pl_start = need_memory(rounds + 1, R, &ok);
  t->order = need_memory((size_t)t->data.n * (c->mirror ? 2 : 1), sizeof(int64_t), &ok);
  return ok ? ST_OK
            : err_set(e, ST_NOMEM, "training: out of memory for the buffers of a batch of %d",
                      c->batch);
}

static Status check_data(const TrainConfig *c, const TrainData *d, Error *e) {
  if (d->n < 1 || !d->images) return err_set(e, ST_INVALID, "training: the data set has no images");
  if (c->G.c_dim > 0 && !d->labels)
    return err_set(e, ST_INVALID,
                   "training: the networks want %d label entries and the data set has no labels",
                   c->G.c_dim);
  return ST_OK;
}

static Status trainer_fill(Trainer *t, Error *e) {
  for (int i = 0; i < TRNG_COUNT; i++) t->state.rng[i] = (Rng){t->cfg.seed, (uint64_t)i, 0};
  t->state.p = (float)t->cfg.ada.p_init;
  /* the mean over a round makes the gradient of each image small: 16 for each of them */
  t->state.loss_scale[0] = exp2(floor(log2(PRLX_MIN(16.0 * t->cfg.batch_gpu, 65536))));
  TRY(new_nets(t, e));
  for (int k = 0; k < 2; k++) TRY(new_adam(t, k, e));
  TRY(new_buffers(t, e));
  sampler_init(t->order, t->data.n * (t->cfg.mirror ? 2 : 1), &t->state.rng[TRNG_DATA]);
  t->metrics = (TrainMetrics){.g_scores = t->g_scores,
                              .g_losses = t->g_losses,
                              .d_scores_fake = t->d_fake,
                              .d_scores_real = t->d_real,
                              .d_losses = t->d_losses,
                              .r1_penalties = t->r1,
                              .pl_penalties = t->pl,
                              .pl_means = t->pl_means};
  TRY(train_dev_share(t, e));
  return nets_build(t, e);
}

Status trainer_new(const TrainConfig *cfg, const TrainData *data, Trainer **out, Error *e) {
  *out = NULL;
  TRY(train_config_check(cfg, e));
  TRY(check_data(cfg, data, e));
  Trainer *t = mem_alloc(sizeof *t);
  if (!t) return err_set(e, ST_NOMEM, "training: out of memory");
  t->cfg = *cfg;
  if (t->cfg.batch_gpu == 0) t->cfg.batch_gpu = cfg->batch;
  t->data = *data;
  t->backend = cfg->backend;
  const Status st = trainer_fill(t, e);
  if (st != ST_OK) {
    trainer_free(t);
    return st;
  }
  *out = t;
  return ST_OK;
}

void trainer_free(Trainer *t) {
  if (!t) return;
  nets_free(t);
  train_dev_unshare(t);
  generator_free(&t->G);
  generator_free(&t->G_ema);
  discriminator_free(&t->D);
  for (int k = 0; k < 2; k++) {
    adam_free(&t->adam[k]);
    mem_free(t->grad_round[k]);
    mem_free(t->grad_sum[k]);
  }
  for (int k = 0; k < PH_COUNT; k++) {
    mem_free(t->z[k]);
    mem_free(t->c[k]);
    mem_free(t->z_mix[k]);
    mem_free(t->cutoff[k]);
  }
  void *rest[] = {t->aug,      t->round_img, t->images, t->labels,
                  t->pl_noise, t->res,       t->order,  t->pl_start};
  for (int i = 0; i < COUNT_OF(rest); i++) mem_free(rest[i]);
  mem_free(t->kept);
  mem_free(t);
}

Status trainer_fetch(Trainer *t, Error *e) { return train_dev_pull(t, e); }

/* A failed fetch leaves the mirrors ahead: trainer_fetch and trainer_enumerate, with which networks
 * and snapshots are written, try again and report it. */
Generator *trainer_G(Trainer *t) {
  train_dev_pull(t, NULL);
  return &t->G;
}

Generator *trainer_G_ema(Trainer *t) {
  train_dev_pull(t, NULL);
  return &t->G_ema;
}

Discriminator *trainer_D(Trainer *t) {
  train_dev_pull(t, NULL);
  return &t->D;
}

TrainerState *trainer_state(Trainer *t) { return &t->state; }
const TrainConfig *trainer_config(const Trainer *t) { return &t->cfg; }
void trainer_copy_to_ema(Trainer *t) {
  train_dev_pull(t, NULL);
  real *ema = t->G_ema.params.data;
  memcpy(ema, t->G.params.data, (size_t)t->G.params.ntotal * sizeof(real));
  for (int i = 0; i < t->noises.n; i++) ema[t->noises.at[i]] = (real)fabs(ema[t->noises.at[i]]);
}

void trainer_refresh(Trainer *t) {
  for (int i = 0; i < NET_COUNT; i++)
    if (t->net[i].plan) plan_refresh(t->net[i].plan);
  train_dev_push(t, NULL); /* a failure is met again at the next step */
}

void trainer_on_gradient(Trainer *t,
                         void (*fn)(void *ctx, TrainPhase ph, const Params *net, const real *grad),
                         void *ctx) {
  t->on_gradient = fn;
  t->on_gradient_ctx = ctx;
}

/* ---- random draws of one iteration ---- */

static void copy_image(const Trainer *t, int64_t item, real *img, real *label) {
  int64_t R = t->cfg.G.img_resolution, C = t->cfg.G.img_channels, k = item % t->data.n,
          c_dim = t->cfg.G.c_dim;
  const real *src = t->data.images + k * C * R * R;
  if (item < t->data.n) {
    memcpy(img, src, (size_t)(C * R * R) * sizeof(real));
  } else {
    for (int64_t y = 0; y < C * R; y++)
      for (int64_t x = 0; x < R; x++) img[y * R + x] = src[y * R + R - 1 - x];
  }
  if (c_dim) memcpy(label, t->data.labels + k * c_dim, (size_t)c_dim * sizeof(real));
}

static void draw_reals(Trainer *t) {
  int64_t n = t->data.n * (t->cfg.mirror ? 2 : 1),
          px = (int64_t)t->cfg.G.img_channels * t->cfg.G.img_resolution * t->cfg.G.img_resolution;
  for (int i = 0; i < t->cfg.batch; i++) {
    int64_t item = sampler_next(t->order, n, &t->state.sampler_pos, &t->state.rng[TRNG_DATA]);
    copy_image(t, item, t->images + i * px, t->labels + (int64_t)i * t->cfg.G.c_dim);
  }
}

static void draw_phase(Trainer *t, TrainPhase ph, Rng *rng) {
  const TrainConfig *c = &t->cfg;
  int rounds = train_rounds(c), per = ph == PH_GREG ? train_pl_samples(c) : c->batch / rounds;
  rng_fill_normal(&rng[TRNG_Z], t->z[ph], (int64_t)c->batch * c->G.z_dim);
  for (int i = 0; c->G.c_dim > 0 && i < c->batch; i++) /* labels as frequent as in the data */
    memcpy(t->c[ph] + (int64_t)i * c->G.c_dim,
           t->data.labels + rng_below(&rng[TRNG_LABEL], t->data.n) * c->G.c_dim,
           (size_t)c->G.c_dim * sizeof(real));
  if (c->style_mixing > 0) {
    for (int k = 0; k < rounds; k++) {
      int64_t cut = 1 + rng_below(&rng[TRNG_MIX], t->G.num_ws - 1);
      t->cutoff[ph][k] = rng_uniform(&rng[TRNG_MIX]) < c->style_mixing ? cut : t->G.num_ws;
    }
    rng_fill_normal(&rng[TRNG_MIX], t->z_mix[ph], (int64_t)rounds * per * c->G.z_dim);
  }
  if (ph == PH_GREG)
    rng_fill_normal(&rng[TRNG_PL], t->pl_noise,
                    (int64_t)rounds * per * c->G.img_channels * c->G.img_resolution *
                        c->G.img_resolution);
}

/* All but the images, for this iteration, from these streams. */
static void draw_phases(Trainer *t, int64_t batch_idx, Rng *rng) {
  for (int ph = 0; ph < PH_DREG; ph++)
    if (train_phase_due(&t->cfg, (TrainPhase)ph, batch_idx)) draw_phase(t, (TrainPhase)ph, rng);
}

/* The draws of the next iteration while a device computes this one: thousands of normals, 2 to 3 ms
 * for which it would wait. What was drawn for this one is on its way by now. The streams of the
 * state stay where they are until the next iteration takes the draws over, so that a snapshot
 * between the two knows nothing of this. */
static void draw_ahead(Trainer *t) {
  AheadDraws *a = &t->drawn;
  memcpy(a->from, t->state.rng, sizeof a->from);
  memcpy(a->to, t->state.rng, sizeof a->to);
  a->batch_idx = t->state.batch_idx + 1;
  draw_phases(t, a->batch_idx, a->to);
  a->there = true;
}

/* Draws made ahead are good where the state is the one they were made for: not after a snapshot was
 * restored. */
static void draw_iteration(Trainer *t, TrainDraws *d) {
  AheadDraws *a = &t->drawn;
  const bool good = a->there && a->batch_idx == t->state.batch_idx &&
                    !memcmp(a->from, t->state.rng, sizeof a->from);
  a->there = false;
  if (good)
    memcpy(t->state.rng, a->to, sizeof a->to);
  else
    draw_phases(t, t->state.batch_idx, t->state.rng);
  draw_reals(t);
  *d = (TrainDraws){.images = t->images, .labels = t->labels};
  for (int ph = 0; ph < PH_DREG; ph++)
    d->phase[ph] = (PhaseDraws){.z = t->z[ph],
                                .c = t->c[ph],
                                .z_mix = t->z_mix[ph],
                                .cutoff = t->cutoff[ph],
                                .pl_noise = t->pl_noise};
}

/* ---- one iteration ---- */

static double mean_of(const real *x, int n) {
  double s = 0;
  for (int i = 0; i < n; i++) s += x[i];
  return n ? s / n : 0;
}

static double scalar_softplus(double x) { return x > 20 ? x : log1p(exp(x)); }

static void collect_metrics(Trainer *t) {
  TrainMetrics *m = &t->metrics;
  int B = t->cfg.batch;
  double fake = 0, real_ = 0, sign = 0;
  for (int i = 0; i < B; i++) {
    fake += scalar_softplus(t->d_fake[i]);
    real_ += scalar_softplus(-(double)t->d_real[i]);
    sign += (t->d_real[i] > 0) - (t->d_real[i] < 0);
  }
  m->g_loss = mean_of(t->g_losses, B);
  m->d_loss_fake = fake / B;
  m->d_loss_real = real_ / B;
  m->score_g = mean_of(t->g_scores, B);
  m->score_fake = mean_of(t->d_fake, B);
  m->score_real = mean_of(t->d_real, B);
  m->sign_real = sign / B;
  if (m->ran[PH_DREG]) m->r1_penalty = mean_of(t->r1, B);
  if (m->ran[PH_GREG])
    m->pl_penalty = mean_of(t->pl, train_rounds(&t->cfg) * train_pl_samples(&t->cfg));
  m->pl_mean = t->state.pl_mean;
}

/* The weights followed Adam (train_phase.c); buffers are copied. */
static Status copy_buffers(Trainer *t, Error *e) {
  const Params *p = &t->G.params;
  return flat_copy(t->backend, flat_at(t->backend, t->G_ema.params.data) + p->nparam,
                   flat_at(t->backend, p->data) + p->nparam, p->ntotal - p->nparam, e);
}

/* Signs of D(real) of this iteration, for the controller. */
static void count_signs(Trainer *t) {
  for (int reg = 0; reg < 2; reg++) {
    if (!t->metrics.ran[reg ? PH_DREG : PH_DMAIN]) continue;
    const real *x = reg ? t->r1_logits : t->d_real;
    for (int i = 0; i < t->cfg.batch; i++) t->state.sign_sum += (x[i] > 0) - (x[i] < 0);
    t->state.sign_count += t->cfg.batch;
  }
}

static void update_ada(Trainer *t) {
  TrainerState *s = &t->state;
  const AdaConfig *c = &t->cfg.ada;
  if (!t->cfg.augment || !c->adaptive || s->batch_idx % c->interval || s->sign_count == 0) return;
  bool hit = false;
  s->r_t = s->sign_sum / (double)s->sign_count;
  s->p = ada_update(c, s->p, s->r_t, t->cfg.batch, &hit);
  s->p_bounded += hit;
  s->sign_sum = 0;
  s->sign_count = 0;
}

static Status trainer_iterate(Trainer *t, const TrainDraws *d, bool ahead, double started,
                              TrainMetrics *m, Error *e) {
  double other = os_clock() - started;
  TRY(train_dev_begin(t, e));
  t->metrics.ema_beta = train_ema_beta(&t->cfg, t->state.cur_nimg);
  for (int ph = 0; ph < PH_COUNT; ph++) {
    t->metrics.seconds[ph] = 0;
    t->metrics.ran[ph] = train_phase_due(&t->cfg, (TrainPhase)ph, t->state.batch_idx);
    if (!t->metrics.ran[ph]) continue;
    double a = os_clock();
    TRY(phase_run(t, (TrainPhase)ph, d, e));
    t->metrics.seconds[ph] = os_clock() - a;
  }
  double a = os_clock();
  TRY(copy_buffers(t, e));
  if (ahead && t->backend) draw_ahead(t);
  TRY(train_dev_settle(t, e));
  count_signs(t);
  collect_metrics(t);
  t->state.cur_nimg += t->cfg.batch;
  t->state.batch_idx++;
  update_ada(t);
  t->metrics.p = t->cfg.augment ? t->state.p : 0;
  t->metrics.seconds_other = other + os_clock() - a;
  if (m) *m = t->metrics;
  return ST_OK;
}

Status trainer_step_given(Trainer *t, const TrainDraws *d, TrainMetrics *m, Error *e) {
  return trainer_iterate(t, d, false, os_clock(), m, e);
}

Status trainer_step(Trainer *t, TrainMetrics *m, Error *e) {
  double started = os_clock();
  if (t->broken) return err_set(e, ST_INVALID, "training: goes on from a snapshot only");
  train_keep(t);
  TrainDraws d;
  draw_iteration(t, &d);
  const Status s = trainer_iterate(t, &d, true, started, m, e);
  if (s == ST_INTERRUPTED) train_go_back(t);
  t->last_seconds = os_clock() - started;
  return s;
}

/* ---- state as a list ---- */

typedef struct Walk {
  Status (*fn)(void *ctx, const TrainTensor *x, Error *e);
  void *ctx;
  Error *e;
  Status st;
} Walk;

static void visit_tensor(Walk *w, const char *prefix, const char *name, TrainType type, Shape s,
                         void *data) {
  char full[128];
  if (w->st != ST_OK) return;
  snprintf(full, sizeof full, "%s%s", prefix, name);
  TrainTensor x = {full, type, s, data};
  w->st = w->fn(w->ctx, &x, w->e);
}

static void visit_params(Walk *w, const char *prefix, Params *p) {
  for (int i = 0; i < p->n; i++)
    visit_tensor(w, prefix, p->entry[i].name, TT_REAL, p->entry[i].shape, p->entry[i].data);
}

Status trainer_enumerate(Trainer *t, Status (*fn)(void *ctx, const TrainTensor *x, Error *e),
                         void *ctx, Error *e) {
  Walk w = {fn, ctx, e, train_dev_pull(t, e)};
  TrainerState *s = &t->state;
  visit_params(&w, "G.", &t->G.params);
  visit_params(&w, "D.", &t->D.params);
  visit_params(&w, "G_ema.", &t->G_ema.params);
  for (int k = 0; k < 2; k++) {
    const char *pre = k ? "adam.D." : "adam.G.";
    visit_tensor(&w, pre, "t", TT_I64, SHAPE0(), &t->adam[k].t);
    visit_tensor(&w, pre, "v", TT_REAL, SHAPE1(t->adam[k].n), t->adam[k].v);
    if (t->adam[k].m) visit_tensor(&w, pre, "m", TT_REAL, SHAPE1(t->adam[k].n), t->adam[k].m);
  }
  visit_tensor(&w, "state.", "cur_nimg", TT_I64, SHAPE0(), &s->cur_nimg);
  visit_tensor(&w, "state.", "batch_idx", TT_I64, SHAPE0(), &s->batch_idx);
  visit_tensor(&w, "state.", "pl_mean", TT_F64, SHAPE0(), &s->pl_mean);
  visit_tensor(&w, "state.", "p", TT_F64, SHAPE0(), &s->p);
  visit_tensor(&w, "state.", "r_t", TT_F64, SHAPE0(), &s->r_t);
  visit_tensor(&w, "state.", "sign_sum", TT_F64, SHAPE0(), &s->sign_sum);
  visit_tensor(&w, "state.", "sign_count", TT_I64, SHAPE0(), &s->sign_count);
  visit_tensor(&w, "state.", "p_bounded", TT_I64, SHAPE0(), &s->p_bounded);
  visit_tensor(&w, "state.", "sampler_pos", TT_I64, SHAPE0(), &s->sampler_pos);
  for (int i = 0; i < TRNG_COUNT; i++) {
    char name[32];
    snprintf(name, sizeof name, "rng%d", i);
    visit_tensor(&w, "state.", name, TT_I64, SHAPE1(3), &s->rng[i]);
  }
  if (train_scales(t)) visit_tensor(&w, "state.", "loss_scale", TT_F64, SHAPE1(2), s->loss_scale);
  visit_tensor(&w, "sampler.", "order", TT_I64, SHAPE1(t->data.n * (t->cfg.mirror ? 2 : 1)),
               t->order);
  return w.st;
}
