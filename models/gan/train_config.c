/* train_config.c: presets and checks of the training configuration. SEMANTICS section 7. */
#include <math.h>
#include <string.h>
#include "models/gan/train.h"

const char *const train_phase_name[PH_COUNT] = {"Gmain", "Greg", "Dmain", "Dreg"};

double train_r1_gamma(const TrainConfig *c) {
  double res = c->G.img_resolution;
  return c->r1_gamma >= 0 ? c->r1_gamma : 0.0002 * res * res / c->batch;
}

double train_lr_factor(const TrainConfig *c, int64_t cur_nimg) {
  const double pi = 3.14159265358979323846, kimg = (double)cur_nimg / 1000;
  if (!(c->lr_to > c->lr_from) || kimg <= c->lr_from) return 1;
  const double x = PRLX_MIN((kimg - c->lr_from) / (c->lr_to - c->lr_from), 1);
  return c->lr_end + (1 - c->lr_end) * 0.5 * (1 + cos(pi * x));
}

Status train_preset(TrainConfig *c, const char *name, int res, int channels, int c_dim, Error *e) {
  bool paper = !strcmp(name, "paper"), small = !strcmp(name, "small");
  memset(c, 0, sizeof *c);
  if (!paper && !small)
    return err_set(e, ST_INVALID,
                   "training preset \"%s\" is not known; expected one of: paper, small", name);
  c->G = paper ? gen_config_paper() : gen_config_small();
  c->G.img_resolution = res;
  c->G.img_channels = channels;
  c->G.c_dim = c_dim;
  c->D = dis_config_for(&c->G);
  /* small: half the batch, so twice the optimiser steps for the same time */
  c->batch = c->batch_gpu = paper ? 64 : 16;
  c->g_lr = c->d_lr = 0.0025;
  c->beta1 = 0;
  c->beta2 = 0.99;
  c->eps = 1e-8;
  c->lr_end = 1;
  c->r1_gamma = -1;
  c->pl_weight = 2;
  c->pl_decay = 0.01;
  c->pl_batch_shrink = 2;
  c->style_mixing = 0.9;
  c->g_reg_interval = 4;
  c->d_reg_interval = 16;
  c->ema_kimg = c->batch * 10.0 / 32;
  c->ema_rampup = 0.05;
  c->ema_beta = -1;
  c->noise_size = small;
  c->w_avg_beta = 0.995;
  c->augment = true;
  c->ada = (AdaConfig){.adaptive = true,
                       .p_init = 0,
                       .target = 0.6,
                       .kimg = paper ? 500 : 100,
                       .interval = 4,
                       .p_max = 0.85,
                       .unbounded = false};
  c->seed = 0;
  c->keep_seconds = 1;
  c->bucket_bytes = TRAIN_BUCKET;
  return aug_preset(&c->aug, "bgc", channels, res, e);
}

#define WANT(cond, ...)                                      \
  do {                                                       \
    if (!(cond)) return err_set(e, ST_INVALID, __VA_ARGS__); \
  } while (0)

static Status check_rounds(const TrainConfig *c, Error *e) {
  int round = c->batch_gpu ? c->batch_gpu : c->batch,
      group = PRLX_MIN(c->D.mbstd_group_size, round);
  WANT(c->batch >= 1 && c->batch <= 65536, "training: batch %d; expected 1 to 65536", c->batch);
  WANT(round >= 1 && c->batch % round == 0,
       "training: rounds of %d images; expected a divisor of the batch %d", round, c->batch);
  WANT(c->D.mbstd_num_channels == 0 || (group >= 1 && round % group == 0),
       "training: rounds of %d images with minibatch stddev groups of %d; the group size must "
       "divide the round",
       round, group);
  WANT(c->pl_weight == 0 || c->g_reg_interval == 0 ||
           (c->pl_batch_shrink >= 1 && round / c->pl_batch_shrink >= 1),
       "training: path length batch shrink %d with rounds of %d images; expected 1 to %d",
       c->pl_batch_shrink, round, round);
  return ST_OK;
}

Status train_config_check(const TrainConfig *c, Error *e) {
  TRY(check_rounds(c, e));
  WANT(c->D.img_resolution == c->G.img_resolution && c->D.img_channels == c->G.img_channels &&
           c->D.c_dim == c->G.c_dim,
       "training: generator [%d,%d,%d] with %d label entries, discriminator [%d,%d,%d] with %d; "
       "expected equal ones",
       c->G.img_channels, c->G.img_resolution, c->G.img_resolution, c->G.c_dim, c->D.img_channels,
       c->D.img_resolution, c->D.img_resolution, c->D.c_dim);
  WANT(c->g_lr >= 0 && c->d_lr >= 0 && isfinite(c->g_lr) && isfinite(c->d_lr),
       "training: learning rates %g and %g; expected numbers >= 0", c->g_lr, c->d_lr);
  WANT(c->lr_from >= 0 && c->lr_to >= c->lr_from && isfinite(c->lr_to),
       "training: learning rates that fall from %g to %g kimg; expected 0 <= from <= to",
       c->lr_from, c->lr_to);
  WANT(c->lr_end >= 0 && c->lr_end <= 1,
       "training: learning rates that end at %g of themselves; expected 0 to 1", c->lr_end);
  WANT(c->beta1 >= 0 && c->beta1 < 1 && c->beta2 >= 0 && c->beta2 < 1,
       "training: Adam betas %g, %g; expected 0 <= beta < 1", c->beta1, c->beta2);
  WANT(c->eps > 0, "training: Adam epsilon %g; expected > 0", c->eps);
  WANT(c->g_reg_interval >= 0 && c->d_reg_interval >= 0,
       "training: regularisation intervals %d, %d; expected 0 (never) or more", c->g_reg_interval,
       c->d_reg_interval);
  WANT(c->style_mixing >= 0 && c->style_mixing <= 1,
       "training: style mixing probability %g; expected 0 to 1", c->style_mixing);
  WANT(c->ema_kimg >= 0 || c->ema_beta >= 0, "training: EMA half-life %g kimg; expected >= 0",
       c->ema_kimg);
  WANT(c->ema_beta <= 1 && c->w_avg_beta >= 0 && c->w_avg_beta <= 1,
       "training: EMA beta %g, w_avg beta %g; expected at most 1", c->ema_beta, c->w_avg_beta);
  WANT(isfinite(c->r1_gamma) && c->pl_weight >= 0 && c->pl_decay >= 0 && c->pl_decay <= 1,
       "training: R1 gamma %g, path length weight %g, decay %g; expected a finite gamma, weight >= "
       "0, decay 0 to 1",
       c->r1_gamma, c->pl_weight, c->pl_decay);
  if (!c->augment) return ST_OK;
  WANT(c->aug.channels == c->G.img_channels && c->aug.res == c->G.img_resolution,
       "training: augmentation set up for [%d,%d,%d]; expected [%d,%d,%d]", c->aug.channels,
       c->aug.res, c->aug.res, c->G.img_channels, c->G.img_resolution, c->G.img_resolution);
  const AdaConfig *a = &c->ada;
  WANT(a->p_init >= 0 && (a->p_init <= 1 || a->unbounded),
       "training: augmentation probability %g; expected 0 to 1", a->p_init);
  WANT(!a->adaptive || (a->kimg > 0 && a->interval >= 1 && a->target >= -1 && a->target <= 1),
       "training: ADA target %g, %g kimg, interval %d; expected a target in [-1,1], kimg > 0, "
       "interval >= 1",
       a->target, a->kimg, a->interval);
  WANT(a->unbounded || (a->p_max >= 0 && a->p_max <= 1), "training: ADA bound %g; expected 0 to 1",
       a->p_max);
  return ST_OK;
}
