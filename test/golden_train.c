/* golden_train.c: whole training trajectories (both Adams, lazy regularisation, rounds, EMA, w_avg,
 * path length mean) and the ADA controller against the golden files. The training engine runs with
 * given draws and const noise. */
#include <string.h>
#include "models/gan/train.h"
#include "test/golden_nets.h"

static TrainConfig train_config(Gold *g) {
  TrainConfig c = {.G = gold_gen_config(g), .D = gold_dis_config(g), .backend = gold_backend()};
  c.batch = (int)gold_int(g, "batch_size", 0);
  c.batch_gpu = (int)gold_int(g, "batch_gpu", c.batch);
  c.g_lr = c.d_lr = gold_num(g, "lr", 0);
  c.beta1 = gold_num(g, "beta1", 0);
  c.beta2 = gold_num(g, "beta2", 0.99);
  c.eps = gold_num(g, "eps", 1e-8);
  c.r1_gamma = gold_num(g, "r1_gamma", 0);
  c.pl_weight = gold_num(g, "pl_weight", 0);
  c.pl_decay = gold_num(g, "pl_decay", 0.01);
  c.pl_batch_shrink = (int)gold_int(g, "pl_batch_shrink", 2);
  c.style_mixing = gold_num(g, "style_mixing", 0);
  c.g_reg_interval = (int)gold_int(g, "G_reg_interval", 0);
  c.d_reg_interval = (int)gold_int(g, "D_reg_interval", 0);
  c.ema_kimg = gold_num(g, "ema_kimg", -1);
  c.ema_rampup = gold_num(g, "ema_rampup", -1);
  c.ema_beta = gold_num(g, "ema_beta", -1);
  c.w_avg_beta = gold_num(g, "w_avg_beta", 0.995);
  c.noise_const = true;
  return c;
}

static bool load(Gold *g, Params *p, const char *prefix) {
  for (int i = 0; i < p->n; i++) {
    const real *d = gold_load(g, gold_name(g, "%s%s", prefix, p->entry[i].name), NULL);
    if (!d || gold_numel(g, gold_name(g, "%s%s", prefix, p->entry[i].name)) != p->entry[i].numel)
      return false;
    memcpy(p->entry[i].data, d, (size_t)p->entry[i].numel * sizeof(real));
  }
  return true;
}

static void compare_params(Gold *g, const Params *p, const char *prefix) {
  for (int i = 0; i < p->n; i++) {
    const char *name = gold_name(g, "%s%s", prefix, p->entry[i].name);
    if (gold_has(g, name)) gold_compare(g, name, p->entry[i].data, p->entry[i].numel);
  }
}

/* grad.i<k>.<phase>.<net>.*: the R1 gradients of biases are tiny and judged on the scale of the
 * net's largest. */
typedef struct Watch {
  Gold *g;
  int iteration;
  const Params *G;
} Watch;
static void on_gradient(void *ctx, TrainPhase ph, const Params *net, const real *grad) {
  Watch *w = ctx;
  const char *pre = gold_name(w->g, "grad.i%d.%s.%s.", w->iteration, train_phase_name[ph],
                              net == w->G ? "G" : "D");
  double scale = 0;
  for (int i = 0; i < net->n; i++)
    scale = PRLX_MAX(scale, gold_maxabs(w->g, gold_name(w->g, "%s%s", pre, net->entry[i].name)));
  for (int i = 0; i < net->n; i++) {
    const char *name = gold_name(w->g, "%s%s", pre, net->entry[i].name);
    if (!gold_has(w->g, name)) continue;
    bool tiny = ph == PH_DREG && strstr(name, ".bias");
    gold_compare_scale(w->g, name, grad + net->entry[i].offset, net->entry[i].numel,
                       tiny ? scale : 0, 0);
  }
}

static const real *optional(Gold *g, const char *name) {
  return gold_has(g, name) ? gold_load(g, name, NULL) : NULL;
}

static void load_draws(Gold *g, int it, TrainDraws *d) {
  memset(d, 0, sizeof *d);
  d->images = gold_load(g, gold_name(g, "in.i%d.real", it), NULL);
  d->labels = optional(g, gold_name(g, "in.i%d.real_c", it));
  for (int ph = 0; ph < PH_COUNT; ph++) {
    const char *pre = gold_name(g, "in.i%d.%s.", it, train_phase_name[ph]);
    PhaseDraws *p = &d->phase[ph];
    p->z = optional(g, gold_name(g, "%sz", pre));
    p->c = optional(g, gold_name(g, "%sc", pre));
    p->z_mix = optional(g, gold_name(g, "%sz_mix", pre));
    p->pl_noise = optional(g, gold_name(g, "%spl_noise", pre));
    const char *cut = gold_name(g, "%scutoff", pre);
    if (!gold_has(g, cut)) continue;
    const real *v = gold_load(g, cut, NULL);
    int64_t n = gold_numel(g, cut), *c = (int64_t *)(void *)gold_scratch(
                                        g, n * (int64_t)(sizeof(int64_t) / sizeof(real) + 1));
    for (int64_t i = 0; i < n; i++) c[i] = (int64_t)v[i];
    p->cutoff = c;
  }
}

static void compare_metrics(Gold *g, int it, const TrainMetrics *m, const TrainConfig *c) {
  int64_t B = c->batch, rounds = c->batch / c->batch_gpu,
          pl = rounds * (c->batch_gpu / c->pl_batch_shrink);
  const struct {
    const char *name;
    const real *x;
    int64_t n;
    TrainPhase ph;
  } row[] = {{"Gmain.scores_fake", m->g_scores, B, PH_GMAIN},
             {"Gmain.g_loss", m->g_losses, B, PH_GMAIN},
             {"Greg.pl_penalty", m->pl_penalties, pl, PH_GREG},
             {"Greg.pl_mean", m->pl_means, rounds, PH_GREG},
             {"Dmain.scores_fake", m->d_scores_fake, B, PH_DMAIN},
             {"Dmain.scores_real", m->d_scores_real, B, PH_DMAIN},
             {"Dmain.d_loss", m->d_losses, B, PH_DMAIN},
             {"Dreg.r1_penalty", m->r1_penalties, B, PH_DREG}};
  for (int i = 0; i < COUNT_OF(row); i++) {
    const char *name = gold_name(g, "out.i%d.%s", it, row[i].name);
    if (gold_has(g, name) != m->ran[row[i].ph])
      gold_fail(g, "iteration %d: %s %s, the file says otherwise", it, row[i].name,
                m->ran[row[i].ph] ? "ran" : "did not run");
    else if (m->ran[row[i].ph])
      gold_compare(g, name, row[i].x, row[i].n);
  }
  gold_compare_f64(g, gold_name(g, "out.i%d.ema_beta", it), &m->ema_beta, 1);
}

void golden_train_step(Gold *g) {
  TrainConfig cfg = train_config(g);
  const char *noise = gold_str(g, "noise_mode");
  if ((noise && strcmp(noise, "const")) || gold_int(g, "augment", 0)) {
    gold_fail(g, "only noise_mode const without augmentation has given draws");
    return;
  }
  int64_t px = (int64_t)cfg.G.img_channels * cfg.G.img_resolution * cfg.G.img_resolution;
  TrainData data = {gold_scratch(g, px), gold_scratch(g, cfg.G.c_dim + 1), 1};
  Trainer *t;
  Error e = {0};
  if (!gold_ok(g, trainer_new(&cfg, &data, &t, &e), &e, "trainer_new")) return;
  Watch w = {g, 0, &trainer_G(t)->params};
  if (load(g, &trainer_G(t)->params, "init.G.") && load(g, &trainer_D(t)->params, "init.D.")) {
    trainer_copy_to_ema(t);
    trainer_on_gradient(t, on_gradient, &w);
    for (int it = 1; it <= gold_int(g, "iterations", 0); it++) {
      TrainDraws d;
      TrainMetrics m;
      w.iteration = it;
      load_draws(g, it, &d);
      if (!gold_ok(g, trainer_step_given(t, &d, &m, &e), &e, "trainer_step_given")) break;
      compare_metrics(g, it, &m, trainer_config(t));
      compare_params(g, &trainer_G(t)->params, gold_name(g, "out.i%d.G.", it));
      compare_params(g, &trainer_D(t)->params, gold_name(g, "out.i%d.D.", it));
      compare_params(g, &trainer_G_ema(t)->params, gold_name(g, "out.i%d.G_ema.", it));
    }
  }
  trainer_free(t);
}

void golden_ada(Gold *g) {
  const char *name;
  for (int k = 0; (name = gold_case(g, k)); k++) {
    const char *in = gold_name(g, "in.%s.sign_mean", name), *out = gold_name(g, "out.%s.p", name);
    const real *r = gold_load(g, in, NULL);
    if (!r) continue;
    AdaConfig c = {.adaptive = true,
                   .target = gold_cfg_num(g, name, "ada_target", 0.6),
                   .kimg = gold_cfg_num(g, name, "ada_kimg", 500),
                   .interval = gold_cfg_int(g, name, "ada_interval", 4),
                   .p_max = 1,
                   .unbounded = true};
    double p = gold_cfg_num(g, name, "p0", 0);
    int64_t n = gold_numel(g, in);
    real *got = gold_scratch(g, n);
    for (int64_t i = 0; i < n; i++)
      got[i] = (real)(p = ada_update(&c, p, r[i], gold_cfg_int(g, name, "batch_size", 0), NULL));
    gold_compare(g, out, got, n);
  }
}
