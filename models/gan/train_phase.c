/* train_phase.c: one phase of a training iteration: rounds of images through its plan, gradients
 * summed, one Adam step. SEMANTICS 5.2 to 5.5; which net a phase trains and what its loss is:
 * train_nets.c. */
#include <math.h>
#include <string.h>
#include "models/gan/train_impl.h"

bool train_phase_due(const TrainConfig *c, TrainPhase ph, int64_t batch_idx) {
  if (ph == PH_GREG)
    return c->pl_weight > 0 && c->g_reg_interval > 0 && batch_idx % c->g_reg_interval == 0;
  if (ph == PH_DREG) return c->d_reg_interval > 0 && batch_idx % c->d_reg_interval == 0;
  return true;
}

/* ---- inputs of one round ---- */

/* An input that no result depends on has no memory. */
static void phase_put(const PhaseNet *p, Val v, const real *src) {
  real *dst = v ? plan_data(p->plan, v) : NULL;
  if (dst) memcpy(dst, src, (size_t)shape_numel(graph_shape(p->graph, v)) * sizeof(real));
}

static void phase_put_scalar(const PhaseNet *p, Val v, double x) {
  real value = (real)x;
  phase_put(p, v, &value);
}

/* ---- results of one run: into ranges that live where the plans run ---- */

static Status phase_take(Trainer *t, const PhaseNet *p, Val v, real *dst, int64_t n, Error *e) {
  return flat_copy(t->backend, flat_at(t->backend, dst), flat_value(t->backend, p->plan, v), n, e);
}

/* Latents, labels, mixing and noise for round k; `stride` samples of z and c belong to a round
 * (Greg uses only the first ones). */
static Status fill_generator(Trainer *t, const PhaseNet *p, const PhaseDraws *d, int k, int stride,
                             Error *e) {
  const GenConfig *G = &t->cfg.G;
  phase_put(p, p->z, d->z + (int64_t)k * stride * G->z_dim);
  if (p->c) phase_put(p, p->c, d->c + (int64_t)k * stride * G->c_dim);
  if (p->mask) {
    real mask[MAX_WS];
    bool mix = d->z_mix && d->cutoff;
    for (int i = 0; i < t->G.num_ws; i++) mask[i] = mix && i >= d->cutoff[k];
    phase_put(p, p->mask, mask);
    phase_put(p, p->z_mix,
              d->z_mix ? d->z_mix + (int64_t)k * p->n * G->z_dim
                       : d->z + (int64_t)k * stride * G->z_dim);
  }
  for (int i = 0; i < t->G.num_noise && p->noise[i]; i++)
    TRY(plan_fill_normal(p->plan, p->noise[i], &t->state.rng[TRNG_NOISE], e));
  return ST_OK;
}

static void fill_augmentation(Trainer *t, const PhaseNet *p) {
  if (!p->has_aug) return;
  Rng *r = &t->state.rng[TRNG_AUG];
  for (int i = 0; i < p->n; i++) {
    AugDraws d;
    aug_draw(&t->cfg.aug, r, &d);
    aug_params(&t->cfg.aug, t->state.p, &d, &t->aug[i]);
  }
  aug_fill(&t->cfg.aug, &p->aug, p->plan, t->aug, p->n, NULL, r);
}

/* ---- one run ---- */

static Status phase_run_net(Trainer *t, NetId id, TrainPhase ph, Error *e) {
  PhaseNet *p = &t->net[id];
  phase_put_scalar(p, p->scale, t->state.loss_scale[0]);
  train_bucket_watch(t, p);
  TRY(plan_run(p->plan, e));
  /* on a backend: train_dev_settle looks at all losses of the iteration at once */
  if (!p->loss || t->backend) return ST_OK;
  const real *loss = plan_data(p->plan, p->loss);
  for (int i = 0; i < p->n; i++)
    if (!isfinite(loss[i]))
      return err_set(e, ST_NUMERIC,
                     "training: the %s loss of sample %d is %g in iteration %lld; resume from the "
                     "last snapshot with a smaller learning "
                     "rate or a larger r1_gamma",
                     train_phase_name[ph], i, (double)loss[i], (long long)t->state.batch_idx);
  return ST_OK;
}

/* One run on a backend makes the whole gradient of the phase, which is used where the run leaves
 * it; of several the first is copied, not added to zero: the same bits but for the sign of a zero,
 * which Adam does not see. */
static void phase_begin_sum(Trainer *t, TrainPhase ph) {
  const bool single = ph != PH_DMAIN && train_rounds(&t->cfg) == 1;
  t->sum_is = !t->backend || comm_many(t->cfg.comm) ? SUM_ADDS : single ? SUM_NONE : SUM_BEGINS;
}

/* Adds what the last run left in the net's round gradient. */
static Status phase_accumulate(Trainer *t, NetId id, int is_d, Error *e) {
  PhaseNet *p = &t->net[id];
  real *g = flat_at(t->backend, t->grad_round[is_d]);
  for (int i = 0; i < p->ncopy; i++) {
    const GradCopy *c = &p->copy[i];
    TRY(c->value ? phase_take(t, p, c->value, t->grad_round[is_d] + c->offset, c->numel, e)
                 : flat_zero(t->backend, g + c->offset, c->numel, e));
  }
  /* of the last run the engine adds it */
  if (t->bucket_net && t->runs_left-- == 1) {
    train_bucket_rest(t);
    return ST_OK;
  }
  real *sum = flat_at(t->backend, t->grad_sum[is_d]);
  const int64_t n = t->adam[is_d].n;
  if (t->sum_is == SUM_NONE) return ST_OK;
  if (t->sum_is == SUM_ADDS) return flat_add(t->backend, sum, g, n, e);
  t->sum_is = SUM_ADDS;
  return flat_copy(t->backend, sum, g, n, e);
}

/* Running average of w over everything the mapping produced: SEMANTICS 2.2. */
static Status update_w_avg(Trainer *t, const PhaseNet *p, int k, Error *e) {
  /* train_share_end does the rest */
  if (comm_many(t->cfg.comm))
    return phase_take(t, p, p->w_mean, t->w_means + (int64_t)k * t->G.cfg.w_dim, t->G.cfg.w_dim, e);
  real *w_avg = params_find(&t->G.params, "mapping.w_avg")->data;
  return flat_ema(t->backend, flat_at(t->backend, w_avg),
                  flat_value(t->backend, p->plan, p->w_mean), t->G.cfg.w_dim, t->cfg.w_avg_beta, e);
}

/* ---- rounds: the random numbers of every round are drawn, also of those that another process
 * computes ---- */

static Status round_gmain(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *p = &t->net[NET_GMAIN];
  TRY(fill_generator(t, p, &d->phase[PH_GMAIN], k, p->n, e));
  fill_augmentation(t, p);
  if (!train_mine(t, k)) return ST_OK;
  TRY(phase_run_net(t, NET_GMAIN, PH_GMAIN, e));
  TRY(update_w_avg(t, p, k, e));
  TRY(phase_take(t, p, p->logits, t->g_scores + (int64_t)k * p->n, p->n, e));
  TRY(phase_take(t, p, p->loss, t->g_losses + (int64_t)k * p->n, p->n, e));
  return phase_accumulate(t, NET_GMAIN, 0, e);
}

/* Several processes: the running mean path length from which a round starts depends on the rounds
 * before it, which run elsewhere at the same time. The lengths themselves do not depend on it, so
 * that they are measured first: a third of the work of the phase once more. */
static Status measure_lengths(Trainer *t, const PhaseDraws *pd, Error *e) {
  PhaseNet p = t->net[NET_GREG];
  Rng before = t->state.rng[TRNG_NOISE];
  p.plan = p.lengths;
  memset(t->pl_start, 0, (size_t)(train_rounds(&t->cfg) + 1) * sizeof *t->pl_start);
  for (int k = 0; k < train_rounds(&t->cfg); k++) {
    TRY(fill_generator(t, &p, pd, k, t->net[NET_GMAIN].n, e));
    if (!train_mine(t, k)) continue;
    phase_put(&p, p.pl_noise, pd->pl_noise + k * shape_numel(graph_shape(p.graph, p.pl_noise)));
    TRY(plan_run(p.plan, e));
    const real *length;
    TRY(plan_read(p.plan, p.pl_len, &length, e));
    t->pl_start[k + 1] = length[0];
  }
  t->state.rng[TRNG_NOISE] = before;
  return ST_OK;
}

static Status round_greg(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *p = &t->net[NET_GREG];
  const PhaseDraws *pd = &d->phase[PH_GREG];
  TRY(fill_generator(t, p, pd, k, t->net[NET_GMAIN].n, e));
  if (!train_mine(t, k)) return ST_OK;
  phase_put(p, p->pl_noise, pd->pl_noise + k * shape_numel(graph_shape(p->graph, p->pl_noise)));
  if (t->pl_start) TRY(train_share_pl_mean(t, k, e));
  TRY(phase_run_net(t, NET_GREG, PH_GREG, e));
  TRY(update_w_avg(t, p, k, e));
  TRY(phase_take(t, p, p->pl_new_mean, &t->res->pl_mean, 1, e)); /* the next round reads it there */
  TRY(phase_take(t, p, p->pl_new_mean, t->pl_means + k, 1, e));
  TRY(phase_take(t, p, p->loss, t->pl + (int64_t)k * p->n, p->n, e));
  return phase_accumulate(t, NET_GREG, 0, e);
}

/* One pass of the discriminator over round_img: fakes push logits down (sign +1), reals up (sign
 * -1). */
static Status dmain_pass(Trainer *t, bool mine, const real *labels, double sign, real *scores,
                         real *losses, Error *e) {
  PhaseNet *p = &t->net[NET_DMAIN];
  if (!mine) {
    fill_augmentation(t, p);
    return ST_OK;
  }
  if (p->c) phase_put(p, p->c, labels);
  phase_put_scalar(p, p->sign, sign);
  fill_augmentation(t, p);
  TRY(phase_run_net(t, NET_DMAIN, PH_DMAIN, e));
  TRY(phase_take(t, p, p->logits, scores, p->n, e));
  TRY(flat_add(t->backend, flat_at(t->backend, losses), flat_value(t->backend, p->plan, p->loss),
               p->n, e));
  return phase_accumulate(t, NET_DMAIN, 1, e);
}

static int64_t image_numel(const Trainer *t) {
  return (int64_t)t->cfg.G.img_channels * t->cfg.G.img_resolution * t->cfg.G.img_resolution;
}

static Status round_dmain(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *f = &t->net[NET_FAKES];
  const PhaseDraws *pd = &d->phase[PH_DMAIN];
  int64_t at = (int64_t)k * f->n, px = image_numel(t), c_dim = t->cfg.G.c_dim;
  bool mine = train_mine(t, k);
  TRY(fill_generator(t, f, pd, k, f->n, e));
  if (mine) {
    TRY(phase_run_net(t, NET_FAKES, PH_DMAIN, e));
    TRY(update_w_avg(t, f, k, e));
    TRY(flat_zero(t->backend, flat_at(t->backend, t->d_losses + at), f->n, e));
  }
  TRY(dmain_pass(t, mine, c_dim ? pd->c + at * c_dim : NULL, 1, t->d_fake + at, t->d_losses + at,
                 e));
  if (mine)
    TRY(flat_upload(t->backend, flat_at(t->backend, t->round_img), d->images + at * px, f->n * px,
                    e));
  return dmain_pass(t, mine, c_dim ? d->labels + at * c_dim : NULL, -1, t->d_real + at,
                    t->d_losses + at, e);
}

static Status round_dreg(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *p = &t->net[NET_DREG];
  int64_t at = (int64_t)k * p->n;
  if (!train_mine(t, k)) {
    fill_augmentation(t, p);
    return ST_OK;
  }
  phase_put(p, p->img, d->images + at * image_numel(t));
  if (p->c) phase_put(p, p->c, d->labels + at * t->cfg.G.c_dim);
  fill_augmentation(t, p);
  TRY(phase_run_net(t, NET_DREG, PH_DREG, e));
  TRY(phase_take(t, p, p->loss, t->r1 + at, p->n, e));
  TRY(phase_take(t, p, p->logits, t->r1_logits + at, p->n, e));
  return phase_accumulate(t, NET_DREG, 1, e);
}

/* The gradient of the loss itself, finite. What became infinite in 16 bits turns into zero, not
 * into 1e5: an overflow costs these weights a step and does not spoil Adam's second moments. The
 * scale is a power of two: the division is exact. */
static Status phase_finish(Trainer *t, int is_d, real *g, Error *e) {
  const int64_t n = t->adam[is_d].n;
  int64_t *bad = t->backend ? backend_device(t->backend, &t->res->bad) : &t->res->bad;
  if (train_scales(t)) return flat_unscale(t->backend, g, n, 1 / t->state.loss_scale[0], bad, e);
  return flat_sanitize(t->backend, g, n, bad, e);
}

/* The sum over all rounds is complete: made finite, shown to who wants to see it, given to Adam.
 * The average of G's weights goes along with the last step of G in an iteration (the phases of D do
 * not move G). */
static Status phase_optimise(Trainer *t, TrainPhase ph, int is_d, Error *e) {
  Adam *a = &t->adam[is_d];
  Params *ps = is_d ? &t->D.params : &t->G.params;
  real *host = t->sum_is == SUM_NONE ? t->grad_round[is_d] : t->grad_sum[is_d],
       *g = flat_at(t->backend, host);
  TRY(phase_finish(t, is_d, g, e));
  if (t->on_gradient) {
    if (t->backend) TRY(backend_pull(t->backend, host, (size_t)a->n * sizeof(real), e));
    t->on_gradient(t->on_gradient_ctx, ph, ps, host);
  }
  bool last_of_g =
      ph == PH_GREG || (ph == PH_GMAIN && !train_phase_due(&t->cfg, PH_GREG, t->state.batch_idx));
  real *ema = last_of_g ? flat_at(t->backend, t->G_ema.params.data) : NULL;
  nets_weights_changed(t);
  real *p = flat_at(t->backend, ps->data);
  a->lr = t->lr[is_d] * train_lr_factor(&t->cfg, t->state.cur_nimg);
  TRY(flat_adam(t->backend, a, p, g, ema, t->metrics.ema_beta, e));
  return ema ? flat_ema_size(t->backend, ema, p, &t->noises, t->metrics.ema_beta, e) : ST_OK;
}

Status phase_run(Trainer *t, TrainPhase ph, const TrainDraws *d, Error *e) {
  static Status (*const round[PH_COUNT])(Trainer *, const TrainDraws *, int,
                                         Error *) = {[PH_GMAIN] = round_gmain,
                                                     [PH_GREG] = round_greg,
                                                     [PH_DMAIN] = round_dmain,
                                                     [PH_DREG] = round_dreg};
  int is_d = ph == PH_DMAIN || ph == PH_DREG;
  phase_begin_sum(t, ph);
  if (t->sum_is == SUM_ADDS)
    TRY(flat_zero(t->backend, flat_at(t->backend, t->grad_sum[is_d]), t->adam[is_d].n, e));
  Status st = train_share_begin(t, ph, e);
  if (ph == PH_GREG && comm_many(t->cfg.comm))
    TRY(train_share_lengths(t, st == ST_OK ? measure_lengths(t, &d->phase[ph], e) : st, e));
  for (int k = 0; k < train_rounds(&t->cfg) && st == ST_OK; k++) st = round[ph](t, d, k, e);
  TRY(train_share_end(t, ph, st, e));
  return phase_optimise(t, ph, is_d, e);
}
