/* train.c: `prlx train`: options -> TrainConfig, data set -> TrainData, then the loop of
 * train_run.c. The training itself is models/gan/train.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/isa.h"
#include "core/threads.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/netfile.h"
#include "tools/cli/comm.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/view/layers.h"
#include "tools/gan/train_run.h"
#include "tools/view/sheet.h"

typedef struct Args {
  const char *data;
  const char *out;
  const char *init;
  const char *reuse;
  int preset;
  int noise_average;
  int snap;
  int batch;
  int batch_gpu;
  int channel_base;
  int channel_max;
  int z_dim;
  int w_dim;
  int map_layers;
  int mbstd;
  int g_interval;
  int d_interval;
  int pl_shrink;
  int freeze_d;
  int ada_interval;
  int64_t seed;
  int64_t memory;
  bool resume;
  bool resume_if_any;
  bool previous;
  bool force;
  bool keep;
  bool dry_run;
  bool layers;
  bool ranges;
  bool cond;
  bool mirror;
  bool freeze_noise;
  bool ada_unbounded;
  double kimg;
  double tick;
  double save_minutes;
  double lr;
  double g_lr;
  double d_lr;
  double lr_decay;
  double lr_end;
  double beta1;
  double beta2;
  double eps;
  double gamma;
  double pl_weight;
  double pl_decay;
  double mixing;
  double ema_kimg;
  double ema_rampup;
  double noise_gain;
  double clamp;
  double target;
  double p;
  double p_max;
  double ada_kimg;
  const char *aug;
} Args;

static const char details[] =
    "Options without a default take the value of --config; the values used are printed at the "
    "start.\n"
    "The run folder holds network.safetensors (averaged generator, for generate and project), "
    "state.safetensors (everything to go on with\n"
    "--resume, bit for bit), metrics.jsonl (one line per tick), sample sheets, and report.html.\n"
    "Ctrl-C stops after the current step and saves.\n\n"
    "Several processes (a build with make MPI=1) share every batch, a round (--batch-gpu) being "
    "the least that one can take, each with its cores or its GPU:\n"
    "  mpirun -n 4 --bind-to none prlx train lesions.safetensors --batch-gpu 4 --threads 2 -o "
    "runs/a\n"
    "The result is that of one process but for the order of sums; a run may go on with any number "
    "of them. All must see the same files.\n"
    "Environment PRLX_BUCKET=bytes: their gradients are summed beside the backward pass in parts "
    "of "
    "that size (8388608);\n"
    "0: as a whole after it. The result is the same, bit for bit.\n\n"
    "examples:\n"
    "  prlx train lesions.safetensors --config small --kimg 100 -o runs/a\n"
    "  prlx train --out runs/a --resume --kimg 200";

enum { OPT_MAX = 64 };
static int option_table(Args *a, Opt t[OPT_MAX]) {
  const double big = 1e12;
  const Opt all[] = {
      OPT_GROUP("Run"),
      OPT_STR("data", &a->data, NULL, "FILE",
              "dataset.safetensors with images [n,C,R,R] (prlx pack makes one)"),
      OPT_STR("out", &a->out, NULL, "DIR", "run folder, made if needed"),
      OPT_CHOICE("config", &a->preset, "small", "small|paper",
                 "small: for a few CPU cores; paper: the published configuration"),
      OPT_REAL("kimg", &a->kimg, NULL, 0.001, 1e7,
               "train until this many thousand images were shown\n[small 200, paper 25000]"),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "of everything random"),
      OPT_FLAG("resume", &a->resume, "no", "go on from the run's last snapshot with its options"),
      OPT_FLAG("resume-if-any", &a->resume_if_any, "no",
               "--resume where the run folder has a snapshot, else start"),
      OPT_FLAG("previous", &a->previous, "no",
               "with --resume: from the snapshot before it, when the last one is damaged"),
      OPT_STR(
          "init", &a->init, NULL, "FILES",
          "start from the weights of another network, as wide or narrower, run folder, or several "
          "joined by ','\n"
          "(transfer learning; the average then has no ramp-up, and p moves by 1 in 100 kimg, if "
          "not said otherwise)"),
      OPT_STR(
          "reuse", &a->reuse, NULL, "FILES",
          "networks, joined by ',': if the first was trained on these very images (its metadata "
          "train.data says so),\nit is taken as it is, with those of the others that were, and "
          "nothing is trained"),
      OPT_FLAG("force", &a->force, "no",
               "replace an existing run in --out; it goes when the first snapshot of the new one "
               "is\nwhole"),
      OPT_REAL("tick", &a->tick, NULL, 0.001, 1e6,
               "thousand images per tick (a line of metrics) [small 1, paper 4]"),
      OPT_INT("snap", &a->snap, "10", 1, 1000000,
              "ticks between snapshots with sample sheet and report"),
      OPT_FLAG("keep", &a->keep, "no",
               "also keep the network of every snapshot: network-KIMG.safetensors, KIMG being "
               "ticks times --tick"),
      OPT_REAL("save-minutes", &a->save_minutes, "10", 0.01, 1e6,
               "also save the state after this many minutes"),
      OPT_SIZE("memory", &a->memory, NULL,
               "refuse to take more than this, e.g. 4G [what the machine has free]"),
      OPT_FLAG("dry-run", &a->dry_run, "no", "print configuration, layers and memory, then stop"),
      OPT_FLAG("layers", &a->layers, "yes", "print the table of layers; --no-layers leaves it out"),
      OPT_FLAG("ranges", &a->ranges, "no",
               "ranges.tsv in the run folder: zeros, subnormal numbers and infinities of every map "
               "that\n--precision f16 or bf16 stores in 16 bits, or f16 would, over the first "
               "iterations of each tick\n(until every phase ran; these iterations are slow)"),
      OPT_GROUP("Networks"),
      OPT_INT("channel-base", &a->channel_base, NULL, 4, 1 << 20,
              "channels at resolution r: min(base/r, max)"),
      OPT_INT("channel-max", &a->channel_max, NULL, 1, 8192, "most channels of a layer"),
      OPT_INT("z-dim", &a->z_dim, NULL, 1, 8192, "size of the input latent z"),
      OPT_INT("w-dim", &a->w_dim, NULL, 1, 8192, "size of the intermediate latent w"),
      OPT_INT("mapping-layers", &a->map_layers, NULL, 1, 32, "layers of the mapping network"),
      OPT_INT("mbstd-group", &a->mbstd, NULL, 1, 4096,
              "group of the minibatch standard deviation; must divide the round"),
      OPT_REAL("clamp", &a->clamp, NULL, -1, 1e6, "limit of the activations; -1: none"),
      OPT_FLAG("cond", &a->cond, "no", "condition on the labels of the data set"),
      OPT_FLAG("mirror", &a->mirror, "no", "also show every image flipped left-right"),
      OPT_GROUP("Optimisation"),
      OPT_INT("batch", &a->batch, NULL, 1, 65536, "images per iteration"),
      OPT_INT("batch-gpu", &a->batch_gpu, NULL, 1, 65536,
              "images per round; divides --batch. Less memory, gradients are summed"),
      OPT_REAL("lr", &a->lr, NULL, 0, 1, "learning rate of Adam for both networks"),
      OPT_REAL("g-lr", &a->g_lr, NULL, 0, 1, "of the generator alone"),
      OPT_REAL("d-lr", &a->d_lr, NULL, 0, 1, "of the discriminator alone"),
      OPT_REAL("lr-decay", &a->lr_decay, "0", 0, 1e7,
               "over the last so many thousand images of --kimg the learning rates fall, by half a "
               "cosine;\n0: constant, as the reference has them. A later --kimg on --resume moves "
               "their fall to its end"),
      OPT_REAL("lr-end", &a->lr_end, "0.1", 0, 1, "part of the learning rates that is left then"),
      OPT_REAL("beta1", &a->beta1, NULL, 0, 0.999999, "Adam, first moment"),
      OPT_REAL("beta2", &a->beta2, NULL, 0, 0.999999, "Adam, second moment"),
      OPT_REAL("eps", &a->eps, NULL, 1e-30, 1, "Adam, added to the root"),
      OPT_REAL("gamma", &a->gamma, NULL, 0, big, "weight of the R1 penalty"),
      OPT_INT("d-interval", &a->d_interval, NULL, 0, 100000,
              "iterations between R1 steps; 0: none"),
      OPT_REAL("pl-weight", &a->pl_weight, NULL, 0, big,
               "weight of the path length penalty; 0: none"),
      OPT_REAL("pl-decay", &a->pl_decay, NULL, 0, 1, "of its running mean"),
      OPT_INT("pl-shrink", &a->pl_shrink, NULL, 1, 64, "path length uses 1/shrink of a round"),
      OPT_INT("g-interval", &a->g_interval, NULL, 0, 100000,
              "iterations between path length steps; 0: none"),
      OPT_REAL("mixing", &a->mixing, NULL, 0, 1, "probability of style mixing"),
      OPT_REAL("ema-kimg", &a->ema_kimg, NULL, 0, 1e6,
               "half-life of the averaged generator, thousand images"),
      OPT_REAL("ema-rampup", &a->ema_rampup, NULL, -1, 1e3,
               "half-life is at most this times the images so far; -1: no ramp-up"),
      OPT_CHOICE("noise-average", &a->noise_average, NULL, "signed|size",
                 "noise strengths of the averaged generator: the average of their values, as the "
                 "reference\nhas it, which ends near zero where their sign, which means nothing, "
                 "changes while training,\nand the finest detail with it; or that of their size "
                 "[small size, paper signed]"),
      OPT_INT("freeze-d", &a->freeze_d, NULL, 0, 100,
              "first layers of the discriminator that stay fixed"),
      OPT_FLAG("freeze-noise", &a->freeze_noise, "no",
               "noise strengths of the generator stay fixed, such as those of --init: they\n"
               "wander while training, and the finest detail of its images with them"),
      OPT_REAL("noise-gain", &a->noise_gain, "1", 0, 100,
               "the noise strengths of --init times this, where its images have less of the "
               "finest detail\nthan real ones: training shrinks what a strength does, also where "
               "it stays"),
      OPT_GROUP("Augmentation (ADA)"),
      OPT_STR("aug", &a->aug, NULL, "PRESET",
              "none, blit, geom, color, filter, noise, cutout, bg, bgc, bgcf, bgcfn,\nbgcfnc, or "
              "qsm (bgc that keeps the sign) [bgc; of several channels qsm]. A rim channel is "
              "only\nmoved, filtered and cut out; hue and saturation never mix channels"),
      OPT_REAL("target", &a->target, NULL, -1, 1,
               "mean sign of D(real) that the controller aims at"),
      OPT_REAL("p", &a->p, NULL, 0, 1,
               "fixed probability; with --target: where the controller starts"),
      OPT_REAL("p-max", &a->p_max, NULL, 0, 1,
               "bound of p: above it augmentations leak into the images"),
      OPT_FLAG("ada-unbounded", &a->ada_unbounded, "no",
               "let p grow without bound, as the reference does"),
      OPT_REAL("ada-kimg", &a->ada_kimg, NULL, 0.001, 1e6, "thousand images for p to move by 1"),
      OPT_INT("ada-interval", &a->ada_interval, NULL, 1, 10000, "iterations between updates of p"),
  };
  memcpy(t, all, sizeof all);
  _Static_assert(COUNT_OF(all) <= OPT_MAX, "table too long");
  return COUNT_OF(all);
}

/* May differ from those of the snapshot when a run is resumed. */
static bool free_on_resume(const char *name) {
  static const char *const list[] = {
      "data",     "out",           "kimg",   "resume",   "force",  "snap",
      "keep",     "save-minutes",  "memory", "dry-run",  "layers", "ranges",
      "previous", "resume-if-any", "reuse",  "lr-decay", "lr-end"};
  for (int i = 0; i < COUNT_OF(list); i++)
    if (!strcmp(list[i], name)) return true;
  return false;
}

/* A run that began before there was a choice goes on as it began: with the reference's average. */
static void keep_noise_average(OptSpec *s, const StFile *state) {
  const char *config = st_meta(state, "config");
  if (config && !strstr(config, "of noise strengths") && !opts_given(s, "noise-average"))
    (void)opts_set(s, "noise-average", "signed");
}

/* Takes over the options stored in the snapshot; one that is given now and is not the same is
 * refused. Returns -1 or an exit code. */
static int merge_options(OptSpec *s, const StFile *state) {
  char key[80], now[OPTS_TEXT];
  for (int i = 0; i < s->n; i++) {
    Opt *o = &s->opt[i];
    if (o->kind == OPTK_GROUP) continue;
    snprintf(key, sizeof key, "opt.%s", o->name);
    const char *stored = st_meta(state, key), *was = stored ? stored : o->def;
    bool free_choice = free_on_resume(o->name);
    if (o->given) {
      if (free_choice || (was && opts_text(o, now, sizeof now) && !strcmp(was, now))) continue;
      return tool_usage("train",
                        "option --%s: the run in this folder has %s; it cannot change on --resume",
                        o->name, was ? was : "the value of its --config");
    }
    if (stored && strcmp(o->name, "force") && strcmp(o->name, "dry-run") &&
        strcmp(o->name, "previous") && strncmp(o->name, "resume", 6) &&
        !opts_set(s, o->name, stored))
      return tool_usage(
          "train", "%s: the stored option --%s %s is not understood; start again without --resume",
          state->path, o->name, stored);
  }
  keep_noise_average(s, state);
  return -1;
}

/* ---- options -> TrainConfig ---- */

/* What --aug means for this data: of several channels the default is qsm. */
static const char *aug_used(const Args *a, int channels) {
  return a->aug ? a->aug : channels > 1 ? "qsm" : "bgc";
}

/* Channels that mean different things: each keeps its own colours (no hue, no saturation), a
 * probability has none at all. The luma flip would put dark rims under the same mask, which no
 * patient has; with one channel it stays in the default, as published. */
static Status choose_augmentation(TrainConfig *c, const Args *a, const Dataset *d, Error *e) {
  const char *preset = aug_used(a, d->channels);
  ImageMeaning m;
  c->augment = strcmp(preset, "none") != 0;
  TRY(aug_preset(&c->aug, preset, d->channels, d->h, e));
  meaning_read(&m, d->meta, d->nmeta, d->channels);
  for (int k = 0; k < m.n; k++) c->aug.channel[k] = m.ch[k] == CH_RIM ? AUGC_MASK : AUGC_GREY;
  if (d->channels == 1 || tool_quiet) return ST_OK;
  if (!m.n)
    fprintf(stderr,
            "prlx train: note: %s does not say what its %d channels are; each is augmented as an "
            "intensity\n",
            a->data, d->channels);
  if (c->aug.mult[AUG_LUMAFLIP] > 0)
    fprintf(stderr,
            "prlx train: note: --aug %s flips the sign of susceptibility and FLAIR under an "
            "unchanged rim mask; --aug qsm does not\n",
            preset);
  return ST_OK;
}

/* Defaults that the round has room for; what was asked for is never changed, and named when it
 * does not fit. */
static Status fit_to_round(TrainConfig *c, const OptSpec *s, const Args *a, Error *e) {
  const int round = c->batch_gpu ? c->batch_gpu : c->batch;
  int *group = &c->D.mbstd_group_size;
  if (opts_given(s, "pl-shrink") && c->pl_batch_shrink > round)
    return err_set(e, ST_INVALID,
                   "--pl-shrink %d: a round has %d image%s; expected 1 to %d, or leave it out",
                   a->pl_shrink, round, round == 1 ? "" : "s", round);
  if (opts_given(s, "mbstd-group") && *group <= round && round % *group)
    return err_set(e, ST_INVALID,
                   "--mbstd-group %d does not divide the round of %d images; expected a divisor, "
                   "or leave it out",
                   a->mbstd, round);
  c->pl_batch_shrink = PRLX_MIN(c->pl_batch_shrink, round);
  if (!opts_given(s, "mbstd-group"))
    while (*group > 1 && *group <= round && round % *group) --*group;
  return ST_OK;
}

static TrainSchedule run_schedule(const OptSpec *s, const Args *a) {
  const bool kimg = opts_given(s, "kimg"), tick = opts_given(s, "tick");
  return (TrainSchedule){kimg        ? a->kimg
                         : a->preset ? 25000
                                     : 200,
                         tick        ? a->tick
                         : a->preset ? 4
                                     : 1,
                         a->save_minutes,
                         a->snap,
                         a->keep,
                         a->ranges};
}

/* The rates fall at the end of the run, wherever --kimg puts it. */
static void lr_schedule(TrainConfig *c, const Args *a, double kimg) {
  if (!(a->lr_decay > 0)) return;
  c->lr_from = PRLX_MAX(kimg - a->lr_decay, 0);
  c->lr_to = kimg;
  c->lr_end = a->lr_end;
}

static Status build_config(TrainConfig *c, const OptSpec *s, const Args *a, const Dataset *d,
                           int c_dim, Error *e) {
  TRY(train_preset(c, a->preset ? "paper" : "small", d->h, d->channels, c_dim, e));
#define TAKE(name, field, value) \
  if (opts_given(s, name)) c->field = value
  c->seed = (uint64_t)a->seed;
  c->mirror = a->mirror;
  c->max_bytes = (size_t)a->memory;
  TAKE("channel-base", G.channel_base, a->channel_base);
  TAKE("channel-max", G.channel_max, a->channel_max);
  TAKE("channel-base", D.channel_base, a->channel_base);
  TAKE("channel-max", D.channel_max, a->channel_max);
  TAKE("z-dim", G.z_dim, a->z_dim);
  TAKE("w-dim", G.w_dim, a->w_dim);
  TAKE("mapping-layers", G.mapping_layers, a->map_layers);
  TAKE("mbstd-group", D.mbstd_group_size, a->mbstd);
  TAKE("clamp", G.conv_clamp, a->clamp);
  TAKE("clamp", D.conv_clamp, a->clamp);
  TAKE("batch", batch, a->batch);
  if (opts_given(s, "batch")) c->batch_gpu = a->batch;
  TAKE("batch-gpu", batch_gpu, a->batch_gpu);
  TAKE("lr", g_lr, a->lr);
  TAKE("lr", d_lr, a->lr);
  TAKE("g-lr", g_lr, a->g_lr);
  TAKE("d-lr", d_lr, a->d_lr);
  TAKE("beta1", beta1, a->beta1);
  TAKE("beta2", beta2, a->beta2);
  TAKE("eps", eps, a->eps);
  TAKE("gamma", r1_gamma, a->gamma);
  TAKE("d-interval", d_reg_interval, a->d_interval);
  TAKE("pl-weight", pl_weight, a->pl_weight);
  TAKE("pl-decay", pl_decay, a->pl_decay);
  TAKE("pl-shrink", pl_batch_shrink, a->pl_shrink);
  TAKE("g-interval", g_reg_interval, a->g_interval);
  TAKE("mixing", style_mixing, a->mixing);
  TAKE("ema-kimg", ema_kimg, a->ema_kimg);
  TAKE("ema-rampup", ema_rampup, a->ema_rampup);
  TAKE("noise-average", noise_size, a->noise_average == 1);
  TAKE("freeze-d", freeze_d, a->freeze_d);
  TAKE("freeze-noise", freeze_noise, a->freeze_noise);
  TAKE("target", ada.target, a->target);
  TAKE("p", ada.p_init, a->p);
  TAKE("p-max", ada.p_max, a->p_max);
  TAKE("ada-kimg", ada.kimg, a->ada_kimg);
  TAKE("ada-interval", ada.interval, a->ada_interval);
#undef TAKE
  lr_schedule(c, a, run_schedule(s, a).kimg);
  c->ada.unbounded = a->ada_unbounded;
  if (a->init && !opts_given(s, "ema-rampup")) c->ema_rampup = -1;
  if (a->init && !opts_given(s, "ada-kimg")) c->ada.kimg = 100;
  if (opts_given(s, "p")) c->ada.adaptive = opts_given(s, "target");
  TRY(choose_augmentation(c, a, d, e));
  TRY(fit_to_round(c, s, a, e));
  return train_config_check(c, e);
}

static void config_text(char *buf, size_t n, const TrainConfig *c, const TrainSchedule *p,
                        const Args *a, const Dataset *d) {
  char lazy[160], aug[160] = "none", fall[80] = "";
  const char *preset = aug_used(a, d->channels);
  snprintf(lazy, sizeof lazy, "R1 gamma %g every %d, path length weight %g every %d",
           train_r1_gamma(c), c->d_reg_interval, c->pl_weight,
           c->pl_weight > 0 ? c->g_reg_interval : 0);
  if (c->lr_to > c->lr_from)
    snprintf(fall, sizeof fall, ", falling to %g of that from %g to %g kimg", c->lr_end, c->lr_from,
             c->lr_to);
  if (c->augment && c->ada.adaptive)
    snprintf(aug, sizeof aug, "%s, target %g, p from %g%s, %g kimg per 1", preset, c->ada.target,
             c->ada.p_init, c->ada.unbounded ? " without bound" : "", c->ada.kimg);
  else if (c->augment)
    snprintf(aug, sizeof aug, "%s, fixed p %g", preset, c->ada.p_init);
  snprintf(
      buf, n,
      "data           %s: %lld images, %d channel%s, %dx%d%s%s\n"
      "configuration  %s, seed %llu, until %g kimg, tick %g kimg, snapshot every %d ticks\n"
      "networks       z %d, w %d, mapping %d layers, channels min(%d/r, %d), clamp %g, labels %d\n"
      "optimisation   batch %d in rounds of %d, Adam lr %g / %g (G / D)%s, betas %g %g, eps %g\n"
      "regularisation %s, style mixing %g\n"
      "average        half-life %g kimg, ramp-up %g, %s of noise strengths%s\n"
      "augmentation   %s\n",
      d->path, (long long)d->n, d->channels, d->channels > 1 ? "s" : "", d->h, d->w,
      c->mirror ? ", mirrored" : "", d->labels ? ", labelled" : "", a->preset ? "paper" : "small",
      (unsigned long long)c->seed, p->kimg, p->tick_kimg, p->snap_ticks, c->G.z_dim, c->G.w_dim,
      c->G.mapping_layers, c->G.channel_base, c->G.channel_max, c->G.conv_clamp, c->G.c_dim,
      c->batch, c->batch_gpu ? c->batch_gpu : c->batch, c->g_lr, c->d_lr, fall, c->beta1, c->beta2,
      c->eps, lazy, c->style_mixing, c->ema_kimg, c->ema_rampup, c->noise_size ? "size" : "value",
      c->freeze_noise ? ", which stay" : "", aug);
}

/* ---- data ---- */
/* A network that is trained with one image knows one image. */
static void say_one_image(const Dataset *d) {
  const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w;
  int64_t same = 1;
  while (same < d->n && !memcmp(d->images, d->images + (size_t)same * per, per * sizeof(float)))
    same++;
  if (same < d->n || tool_quiet) return;
  fprintf(stderr,
          d->n > 1 ? "prlx train: note: %s: all %lld images are the same\n"
                   : "prlx train: note: %s: %lld image only\n",
          d->path, (long long)d->n);
}

static Status open_data(const Args *a, Dataset *d, int *c_dim, Error *e) {
  TRY(dataset_open(d, a->data, e));
  say_one_image(d);
  TRY(train_mark_data(d, e));
  bool one = true;
  *c_dim = 0;
  if (d->h != d->w || d->h < 4 || (d->h & (d->h - 1)))
    return err_set(
        e, ST_INVALID,
        "%s: images are %dx%d; training needs squares with a side that is a power of two", a->data,
        d->w, d->h);
  if (!a->cond) return ST_OK;
  if (!d->labels)
    return err_set(e, ST_INVALID,
                   "%s: has no labels; leave out --cond or pack the data with labels", a->data);
  for (int64_t i = 0; i < d->n; i++) {
    if (d->labels[i] < 0 || d->labels[i] > 999)
      return err_set(e, ST_INVALID, "%s: label %lld of image %lld; --cond takes classes 0 to 999",
                     a->data, (long long)d->labels[i], (long long)i);
    *c_dim = PRLX_MAX(*c_dim, (int)d->labels[i] + 1);
    one &= d->labels[i] == d->labels[0];
  }
  if (one)
    fprintf(stderr,
            "prlx train: note: %s: all %lld images are of class %lld; --cond has nothing to tell "
            "apart\n",
            a->data, (long long)d->n, (long long)d->labels[0]);
  return ST_OK;
}

static Status one_hot(const Dataset *d, int c_dim, real **out, Error *e) {
  *out = NULL;
  if (!c_dim) return ST_OK;
  *out = mem_alloc((size_t)d->n * (size_t)c_dim * sizeof(real));
  if (!*out) return err_set(e, ST_NOMEM, "%s: out of memory for the labels", d->path);
  for (int64_t i = 0; i < d->n; i++) (*out)[i * c_dim + d->labels[i]] = 1;
  return ST_OK;
}

/* ---- the command ---- */
static void print_memory(const Trainer *t, const TrainData *data, size_t image) {
  TrainMemory m = trainer_memory(t);
  double flop = trainer_flop(t);
  const Backend *dev = trainer_config(t)->backend;
  char where[64];
  printf(
      "memory         weights %s, optimiser %s, activations %s; %s in all, besides %s of images\n",
      human_bytes((double)m.weights), human_bytes((double)m.optimizer),
      human_bytes((double)m.activations), human_bytes((double)m.total),
      human_bytes((double)data->n * (double)image * sizeof(real)));
  printf("work           %.4g GFLOP per iteration of %d images; %s%s%s, %d threads\n\n", flop / 1e9,
         trainer_config(t)->batch, dev ? tool_device_name(dev, where) : "", dev ? "; host: " : "",
         isa_name(isa_current()), threads_count());
}

static void print_processes(const Comm *comm, const TrainConfig *c) {
  int round = c->batch_gpu ? c->batch_gpu : c->batch, rounds = c->batch / round;
  if (!comm_many(comm)) return;
  printf("processes      %d, for %d round%s of %d images\n", comm->size, rounds,
         rounds > 1 ? "s" : "", round);
  if (rounds % comm->size)
    fprintf(stderr,
            "prlx train: note: %d rounds do not divide among %d processes: some wait; choose "
            "--batch-gpu so that batch / batch-gpu is a multiple\n",
            rounds, comm->size);
}

/* f16 on a GPU, as the published training. Its maps are bounded by the clamp: without one, or with
 * one that is larger than usual, they may pass what f16 holds after a layer (graph_half_range). */
static Precision train_usual(const TrainConfig *c) {
  const double g = c->G.conv_clamp, d = c->D.conv_clamp;
  return g >= 0 && g <= 256 && d >= 0 && d <= 256 ? PREC_F16 : PREC_TF32;
}

/* Everything before the first step that a process does for itself, alone. */
static Status train_prepare(TrainRun *r, const Args *a, const OptSpec *s, const StFile *state,
                            Dataset *d, real **labels, char *text, size_t text_n, Error *e) {
  TrainConfig c;
  int c_dim = 0;
  r->plan = run_schedule(s, a);
  TRY(open_data(a, d, &c_dim, e));
  TRY(build_config(&c, s, a, d, c_dim, e));
  TRY(tool_backend(train_usual(&c), &c.backend, e));
  TRY(one_hot(d, c_dim, labels, e));
  config_text(text, text_n, &c, &r->plan, a, d);
  c.comm = r->comm;
  const char *bucket = getenv("PRLX_BUCKET"); /* environment.c has looked at it */
  if (bucket && *bucket) c.bucket_bytes = strtoll(bucket, NULL, 10);
  c.stop = run_impatient;
  if (!tool_quiet) {
    fputs(text, stdout);
    print_processes(r->comm, &c);
    fflush(stdout);
  }
  const bool writes = !a->dry_run && comm_lead(r->comm);
  outputs_force = a->force;
  if (writes) TRY(run_folder_look(r, a->resume, a->force, e));
  TrainData data = {d->images, *labels, d->n};
  TRY(trainer_new(&c, &data, &r->t, e));
  if (!tool_quiet) {
    if (a->layers) layers_print(stdout, trainer_G(r->t), trainer_D(r->t));
    print_memory(r->t, &data, (size_t)d->channels * (size_t)d->h * (size_t)d->w);
    fflush(stdout);
  }
  if (a->dry_run) return ST_OK;
  r->data = d;
  r->data_crc = dataset_crc(d);
  if (state) {
    TRY(run_restore(r, state, e));
    if (!tool_quiet)
      printf("resumed at %.3f kimg, p %.3f\n", (double)trainer_state(r->t)->cur_nimg / 1000,
             trainer_state(r->t)->p);
    fflush(stdout);
  } else if (a->init)
    TRY(run_init(r, a->init, a->noise_gain, a->freeze_noise, e));
  return writes ? run_folder_take(r, a->resume, e) : ST_OK;
}

/* Several processes: all see the same data, and start from the same bits. */
static Status train_join(TrainRun *r, Error *e) {
  if (!comm_many(r->comm)) return ST_OK;
  TRY(comm_same(r->comm, &r->data_crc, sizeof r->data_crc, "the data set", e));
  TRY(trainer_broadcast(r->t, e));
  trainer_refresh(r->t);
  return ST_OK;
}

static Status train_run(TrainRun *r, const Args *a, const OptSpec *s, const StFile *state,
                        Dataset *d, real **labels, char *text, size_t text_n, Error *e) {
  int resumed = state != NULL;
  TRY(comm_same(r->comm, &resumed, sizeof resumed, "the run folder (--resume)", e));
  TRY(comm_agree(r->comm, train_prepare(r, a, s, state, d, labels, text, text_n, e), NULL, e));
  if (a->dry_run) return ST_OK;
  if (tool_interrupted && !comm_many(r->comm))
    return err_set(e, ST_INTERRUPTED, "%s: stopped before the first iteration", a->out);
  TRY(tool_device_comm(r->comm, trainer_config(r->t)->backend, e));
  TRY(train_join(r, e));
  TRY(comm_agree(r->comm, comm_lead(r->comm) ? run_start(r, e) : ST_OK, NULL, e));
  if (comm_lead(r->comm) && (double)trainer_state(r->t)->cur_nimg >= r->plan.kimg * 1000)
    fprintf(stderr, "prlx train: %s: already at %g kimg; raise --kimg to go on\n", a->out,
            r->plan.kimg);
  const Status st = run_loop(r, e);
  if (st == ST_NUMERIC) {
    char why[700];
    snprintf(why, sizeof why, "%.690s", e->msg);
    err_set(e, st, "%s; the last snapshot is intact; lower --lr or raise --gamma", why);
  }
  return st;
}

/* The snapshot that --resume asks for; *have false: the run has none yet. path: where it is or
 * would be. A damaged one offers the snapshot before it. */
static Status open_snapshot(const Args *a, char path[PATH_LEN], StFile *state, bool *have,
                            Error *e) {
  char previous[PATH_LEN];
  const char *dir = a->out ? a->out : ".";
  *have = false;
  TRY(path_join(previous, dir, TRAIN_PREVIOUS, e));
  TRY(path_join(path, dir, a->previous ? TRAIN_PREVIOUS : "state.safetensors", e));
  if (!file_exists(path)) {
    if (!a->previous && a->resume_if_any) return ST_OK;
    if (!a->previous)
      return err_set(e, ST_INVALID,
                     "%s: no run to resume: there is no state.safetensors in it; correct --out, or "
                     "start one: leave --resume out (or --resume-if-any: resume or start)",
                     dir);
    return err_set(e, ST_INVALID, "%s: there is no snapshot before the last; leave --previous out",
                   path);
  }
  const Status s = st_open(state, path, e);
  *have = s == ST_OK;
  if (s == ST_OK || s == ST_NOMEM || a->previous || !file_exists(previous)) return s;
  const size_t n = strlen(e->msg);
  snprintf(e->msg + n, sizeof e->msg - n,
           "; --resume --previous goes on from the snapshot before it");
  return s;
}

/* --reuse: exit code when there is nothing to train, else -1. */
static int take_reused(const Args *a) {
  Error e = {0};
  bool done = false;
  if (train_reuse(a->reuse, a->data, a->out, &done, &e) != ST_OK) return tool_fail("train", &e);
  return done ? EXIT_DONE : -1;
}

static void say_no_snapshot(const char *path) {
  fprintf(stderr, "prlx train: %s: no snapshot yet; starting from the beginning\n", path);
}

/* Options that are missing or do not go together: an exit code, else -1. */
static int refuse_options(const Args *a, const OptSpec *s) {
  if (!a->out && !a->dry_run) return tool_usage("train", "option --out is missing: the run folder");
  if (a->resume && a->force) return tool_usage("train", "--resume and --force exclude each other");
  if (opts_given(s, "lr-end") && !(a->lr_decay > 0) && !a->resume)
    return tool_usage("train", "--lr-end goes with --lr-decay");
  if (a->previous && !a->resume) return tool_usage("train", "--previous goes with --resume");
  return -1;
}

/* The same, now that it is known whether a snapshot is gone on with. */
static int refuse_start(const Args *a, bool resumed) {
  if (!a->data) return tool_usage("train", "option --data is missing: the data set");
  if (a->freeze_noise && !a->init && !resumed)
    return tool_usage("train", "--freeze-noise goes with --init: noise strengths begin at zero, so "
                               "that there would never be noise");
  if (a->noise_gain != 1 && !a->init)
    return tool_usage("train",
                      "--noise-gain goes with --init, whose noise strengths it multiplies");
  return -1;
}

int tool_train(int argc, char **argv) {
  Args a = {0};
  Opt t[OPT_MAX];
  OptSpec s = {.cmd = "train",
               .summary = "train a generator and a discriminator (StyleGAN2-ADA)",
               .details = details,
               .opt = t,
               .pos = "[DATA.safetensors]",
               .pos_max = 1};
  s.n = option_table(&a, t);
  int rc = opts_parse(&s, argc, argv);
  if (rc >= 0) return rc;
  if (s.nargs && a.data)
    return tool_usage("train", "the data set is given twice: '%s' and --data %s", s.args[0],
                      a.data);
  if (s.nargs && !opts_set(&s, "data", s.args[0]))
    return tool_usage("train", "'%s' is no data set", s.args[0]);
  a.resume |= a.resume_if_any;
  if ((rc = refuse_options(&a, &s)) >= 0) return rc;

  Error e = {0};
  StFile state = {0};
  bool have_state = false;
  char path[PATH_LEN];
  if (a.resume) {
    if (open_snapshot(&a, path, &state, &have_state, &e) != ST_OK) return tool_fail("train", &e);
    if (have_state && (rc = merge_options(&s, &state)) >= 0) {
      st_close(&state);
      return rc;
    }
  }
  if ((rc = refuse_start(&a, have_state)) >= 0) {
    if (have_state) st_close(&state);
    return rc;
  }

  if (a.reuse && !have_state && !a.dry_run && (rc = take_reused(&a)) >= 0) return rc;
  Comm *comm = NULL;
  bool quiet = tool_quiet;
  if (comm_start(&comm, &e)) {
    if (have_state) st_close(&state);
    return tool_fail("train", &e);
  }
  if (comm) tool_device_choose(comm->local);
  if (!comm_lead(comm)) tool_quiet = true;
  if (a.resume && !have_state && comm_lead(comm)) say_no_snapshot(path);
  TrainRun r = {.comm = comm, .from_previous = a.previous, .dir = a.out, .opts = &s, .log.fd = -1};
  Dataset d = {0};
  real *labels = NULL;
  char text[4096];
  r.config = text;
  Status st = train_run(&r, &a, &s, have_state ? &state : NULL, &d, &labels, text, sizeof text, &e);
  run_folder_undo(&r);
  run_close(&r);
  trainer_free(r.t);
  mem_free(labels);
  dataset_free(&d);
  if (have_state) st_close(&state);
  rc = st ? comm_fail(comm, "train", &e) : EXIT_DONE;
  comm_end(comm);
  tool_quiet = quiet;
  return rc;
}
