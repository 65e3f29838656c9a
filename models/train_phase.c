/* train_phase.c: one phase of a training iteration: rounds of images through its plan, gradients summed, one Adam step.
 * SEMANTICS 5.2 to 5.5; which net a phase trains and what its loss is: train_nets.c. */
#include "models/train_impl.h"
#include <math.h>
#include <string.h>

bool train_phase_due(const TrainConfig *c, TrainPhase ph, int64_t batch_idx) {
  if (ph == PH_GREG) return c->pl_weight > 0 && c->g_reg_interval > 0 && batch_idx % c->g_reg_interval == 0;
  if (ph == PH_DREG) return c->d_reg_interval > 0 && batch_idx % c->d_reg_interval == 0;
  return true;
}

/* ---- inputs of one round ---- */

/* An input that no result depends on has no memory. */
static void put(const PhaseNet *p, Val v, const real *src) {
  real *dst = v ? plan_data(p->plan, v) : NULL;
  if (dst) memcpy(dst, src, (size_t)shape_numel(graph_shape(p->g, v)) * sizeof(real));
}

static void put_scalar(const PhaseNet *p, Val v, double x) {
  real value = (real)x;
  put(p, v, &value);
}

static void put_normals(const PhaseNet *p, Val v, Rng *r) {
  real *dst = plan_data(p->plan, v);
  if (dst) rng_fill_normal(r, dst, shape_numel(graph_shape(p->g, v)));
}

/* Latents, labels, mixing and noise for round k; `stride` samples of z and c belong to a round (Greg uses only the first ones). */
static void fill_generator(Trainer *t, const PhaseNet *p, const PhaseDraws *d, int k, int stride) {
  const GenConfig *G = &t->cfg.G;
  put(p, p->z, d->z + (int64_t)k * stride * G->z_dim);
  if (p->c) put(p, p->c, d->c + (int64_t)k * stride * G->c_dim);
  if (p->mask) {
    real mask[MAX_WS];
    bool mix = d->z_mix && d->cutoff;
    for (int i = 0; i < t->G.num_ws; i++) mask[i] = mix && i >= d->cutoff[k];
    put(p, p->mask, mask);
    put(p, p->z_mix, d->z_mix ? d->z_mix + (int64_t)k * p->n * G->z_dim : d->z + (int64_t)k * stride * G->z_dim);
  }
  for (int i = 0; i < t->G.num_noise && p->noise[i]; i++)
    put_normals(p, p->noise[i], &t->state.rng[TRNG_NOISE]);
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

static Status run(Trainer *t, NetId id, TrainPhase ph, Error *e) {
  PhaseNet *p = &t->net[id];
  Status st = plan_run(p->plan, e);
  if (st != ST_OK || !p->loss) return st;
  const real *loss = plan_data(p->plan, p->loss);
  for (int i = 0; i < p->n; i++)
    if (!isfinite(loss[i]))
      return err_set(e, ST_NUMERIC, "training: the %s loss of sample %d is %g in iteration %lld; resume from the last snapshot with a smaller learning "
                     "rate or a larger r1_gamma", train_phase_name[ph], i, (double)loss[i], (long long)t->state.batch_idx);
  return ST_OK;
}

/* Adds what the last run left in the net's round gradient. */
static void accumulate(Trainer *t, NetId id, int is_d) {
  PhaseNet *p = &t->net[id];
  real *g = t->grad_round[is_d];
  for (int i = 0; i < p->ncopy; i++) {
    GradCopy *c = &p->copy[i];
    size_t bytes = (size_t)c->numel * sizeof(real);
    if (c->v) memcpy(g + c->offset, plan_data(p->plan, c->v), bytes);
    else memset(g + c->offset, 0, bytes);
  }
  grad_accumulate(t->grad_sum[is_d], g, t->adam[is_d].n);
}

/* Running average of w over everything the mapping produced: SEMANTICS 2.2. */
static void update_w_avg(Trainer *t, const PhaseNet *p) {
  real *w_avg = params_find(&t->G.p, "mapping.w_avg")->data;
  ema_update(w_avg, plan_data(p->plan, p->w_mean), t->G.cfg.w_dim, t->cfg.w_avg_beta);
}

static void take(const PhaseNet *p, Val v, real *dst) { memcpy(dst, plan_data(p->plan, v), (size_t)p->n * sizeof(real)); }

static void count_signs(Trainer *t, const real *logits, int n) {
  for (int i = 0; i < n; i++) t->state.sign_sum += (logits[i] > 0) - (logits[i] < 0);
  t->state.sign_count += n;
}

/* ---- rounds ---- */

static Status round_gmain(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *p = &t->net[NET_GMAIN];
  fill_generator(t, p, &d->phase[PH_GMAIN], k, p->n);
  fill_augmentation(t, p);
  Status st = run(t, NET_GMAIN, PH_GMAIN, e);
  if (st != ST_OK) return st;
  update_w_avg(t, p);
  take(p, p->logits, t->g_scores + (int64_t)k * p->n);
  take(p, p->loss, t->g_losses + (int64_t)k * p->n);
  accumulate(t, NET_GMAIN, 0);
  return ST_OK;
}

static Status round_greg(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *p = &t->net[NET_GREG];
  const PhaseDraws *pd = &d->phase[PH_GREG];
  fill_generator(t, p, pd, k, t->net[NET_GMAIN].n);
  put(p, p->pl_noise, pd->pl_noise + k * shape_numel(graph_shape(p->g, p->pl_noise)));
  put_scalar(p, p->pl_mean, t->state.pl_mean);
  Status st = run(t, NET_GREG, PH_GREG, e);
  if (st != ST_OK) return st;
  update_w_avg(t, p);
  t->state.pl_mean = plan_data(p->plan, p->pl_new_mean)[0];
  t->pl_means[k] = (real)t->state.pl_mean;
  take(p, p->loss, t->pl + (int64_t)k * p->n);
  accumulate(t, NET_GREG, 0);
  return ST_OK;
}

/* One pass of the discriminator over round_img: fakes push logits down (sign +1), reals up (sign -1). */
static Status dmain_pass(Trainer *t, const real *labels, double sign, real *scores, real *losses, Error *e) {
  PhaseNet *p = &t->net[NET_DMAIN];
  if (p->c) put(p, p->c, labels);
  put_scalar(p, p->sign, sign);
  fill_augmentation(t, p);
  Status st = run(t, NET_DMAIN, PH_DMAIN, e);
  if (st != ST_OK) return st;
  take(p, p->logits, scores);
  const real *loss = plan_data(p->plan, p->loss);
  for (int i = 0; i < p->n; i++) losses[i] += loss[i];
  accumulate(t, NET_DMAIN, 1);
  return ST_OK;
}

static int64_t image_numel(const Trainer *t) {
  return (int64_t)t->cfg.G.img_channels * t->cfg.G.img_resolution * t->cfg.G.img_resolution;
}

static Status round_dmain(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *f = &t->net[NET_FAKES];
  const PhaseDraws *pd = &d->phase[PH_DMAIN];
  int64_t at = (int64_t)k * f->n, px = image_numel(t), c_dim = t->cfg.G.c_dim;
  fill_generator(t, f, pd, k, f->n);
  Status st = run(t, NET_FAKES, PH_DMAIN, e);
  if (st != ST_OK) return st;
  update_w_avg(t, f);
  memset(t->d_losses + at, 0, (size_t)f->n * sizeof(real));
  st = dmain_pass(t, c_dim ? pd->c + at * c_dim : NULL, 1, t->d_fake + at, t->d_losses + at, e);
  if (st != ST_OK) return st;
  memcpy(t->round_img, d->images + at * px, (size_t)(f->n * px) * sizeof(real));
  st = dmain_pass(t, c_dim ? d->labels + at * c_dim : NULL, -1, t->d_real + at, t->d_losses + at, e);
  if (st == ST_OK) count_signs(t, t->d_real + at, f->n);
  return st;
}

static Status round_dreg(Trainer *t, const TrainDraws *d, int k, Error *e) {
  PhaseNet *p = &t->net[NET_DREG];
  int64_t at = (int64_t)k * p->n;
  put(p, p->img, d->images + at * image_numel(t));
  if (p->c) put(p, p->c, d->labels + at * t->cfg.G.c_dim);
  fill_augmentation(t, p);
  Status st = run(t, NET_DREG, PH_DREG, e);
  if (st != ST_OK) return st;
  take(p, p->loss, t->r1 + at);
  count_signs(t, plan_data(p->plan, p->logits), p->n);
  accumulate(t, NET_DREG, 1);
  return ST_OK;
}

static int64_t count_bad(const real *g, int64_t n) {
  int64_t bad = 0;
  for (int64_t i = 0; i < n; i++) bad += !isfinite(g[i]);
  return bad;
}

Status phase_run(Trainer *t, TrainPhase ph, const TrainDraws *d, Error *e) {
  static Status (*const round[PH_COUNT])(Trainer *, const TrainDraws *, int, Error *) = {
    [PH_GMAIN] = round_gmain, [PH_GREG] = round_greg, [PH_DMAIN] = round_dmain, [PH_DREG] = round_dreg};
  int is_d = ph == PH_DMAIN || ph == PH_DREG;
  Adam *a = &t->adam[is_d];
  Params *ps = is_d ? &t->D.p : &t->G.p;
  real *g = t->grad_sum[is_d];
  memset(g, 0, (size_t)a->n * sizeof(real));
  for (int k = 0; k < train_rounds(&t->cfg); k++) {
    Status st = round[ph](t, d, k, e);
    if (st != ST_OK) return st;
  }
  t->m.bad_gradients += count_bad(g, a->n);
  grad_sanitize(g, a->n);
  if (t->on_gradient) t->on_gradient(t->on_gradient_ctx, ph, ps, g);
  adam_step(a, ps->data, g);
  return ST_OK;
}
