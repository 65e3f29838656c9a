/* train_nets.c: the graphs of the training phases, each planned once for one round of images.
 *
 *     Gmain   z,c --G--> img --aug--> D --> mean softplus(-logit)                    gradient of
 *       G's parameters
 *     Greg    z,c --G--> img, path length penalty of d(img . y)/d ws                 gradient of
 *       G's parameters
 *     Fakes   z,c --G--> img                                                         no gradient
 *     Dmain   img --aug--> D --> mean softplus(+-logit)      run on fakes and reals  gradient of
 *       D's parameters
 *     Dreg    real --aug--> D, R1 penalty d logit / d real                           gradient of
 *       D's parameters */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "models/gan/train_impl.h"

bool train_scales(const Trainer *t) { return backend_is_half(t->backend); }

int train_rounds(const TrainConfig *c) { return c->batch_gpu ? c->batch / c->batch_gpu : 1; }
static int round_size(const TrainConfig *c) { return c->batch_gpu ? c->batch_gpu : c->batch; }
int train_pl_samples(const TrainConfig *c) {
  return c->pl_batch_shrink > 0 ? round_size(c) / c->pl_batch_shrink : 0;
}

static Val image_in(const Trainer *t, PhaseNet *p, const char *name) {
  return g_input(
      p->graph, name,
      SHAPE4(p->n, t->cfg.G.img_channels, t->cfg.G.img_resolution, t->cfg.G.img_resolution));
}

static Val labels_in(const Trainer *t, PhaseNet *p) {
  return t->cfg.G.c_dim > 0 ? g_input(p->graph, "c", SHAPE2(p->n, t->cfg.G.c_dim)) : 0;
}

/* z, labels, mixing, noise -> ws; w_mean is what the running average of w needs (first mapping call
 * only). */
static Val mapping_part(Trainer *t, PhaseNet *p) {
  const Generator *G = &t->G;
  Graph *g = p->graph;
  p->z = g_input(g, "z", SHAPE2(p->n, G->cfg.z_dim));
  p->c = labels_in(t, p);
  Val w = g_mapping(g, G, p->z, p->c, false), ws = g_broadcast_ws(g, G, w, 1, -1);
  p->w_mean = g_mean(g, w, 1u << 0);
  if (t->cfg.style_mixing <= 0) return ws;
  p->z_mix = g_input(g, "z_mix", SHAPE2(p->n, G->cfg.z_dim));
  p->mask = g_input(g, "mix_mask", SHAPE1(G->num_ws));
  return g_style_mix(g, ws, g_broadcast_ws(g, G, g_mapping(g, G, p->z_mix, p->c, false), 1, -1),
                     p->mask);
}

static Val synthesis_part(Trainer *t, PhaseNet *p, Val ws) {
  SynthOptions o = {.noise = t->cfg.noise_const ? NOISE_CONST : NOISE_GIVEN,
                    .noise_maps = p->noise,
                    .frozen = false};
  for (int k = 0; !t->cfg.noise_const && k < t->G.num_noise; k++) {
    char name[32];
    snprintf(name, sizeof name, "noise%d", k);
    p->noise[k] = g_input(p->graph, name, SHAPE4(p->n, 1, t->G.noise_res[k], t->G.noise_res[k]));
  }
  return g_synthesis(p->graph, &t->G, ws, &o, NULL);
}

static Val discriminator_part(Trainer *t, PhaseNet *p, Val img) {
  p->has_aug = t->cfg.augment;
  if (p->has_aug) img = aug_build(p->graph, &t->cfg.aug, img, &p->aug);
  return g_discriminator(p->graph, &t->D, img, p->c, false, NULL);
}

/* ---- gradients: every parameter gets one ---- */

/* Freeze-D: the first layers in the order fromrgb, conv0, conv1, skip, conv0, ... never change; the
 * 4x4 epilogue always trains. Of the generator, its noise strengths. */
static bool param_frozen(const Trainer *t, bool is_d, const char *name) {
  if (!is_d) return t->cfg.freeze_noise && strstr(name, ".noise_strength");
  if (t->cfg.freeze_d <= 0) return false;
  int layer = 0;
  for (int res = t->cfg.D.img_resolution; res >= 8; res /= 2)
    for (int k = res == t->cfg.D.img_resolution ? 0 : 1; k < 4; k++) {
      static const char *const kind[4] = {"fromrgb", "conv0", "conv1", "skip"};
      char pre[32];
      int len = snprintf(pre, sizeof pre, "b%d.%s.", res, kind[k]);
      if (layer++ < t->cfg.freeze_d && !strncmp(name, pre, (size_t)len)) return true;
    }
  return false;
}

static bool is_zero(Graph *g, Val v) {
  const Node *n = graph_node(g, v);
  while (n->op == OP_broadcast || n->op == OP_reshape) n = graph_node(g, n->in[0]);
  return n->op == OP_constant && shape_numel(n->shape) == 1 && n->data[0] == 0;
}

/* A constant is computed once and would be overwritten by the next phase; everything else is
 * written straight into the flat range. */
static bool is_computed(Graph *g, Val v) {
  const Node *n = graph_node(g, v);
  while (n->op == OP_broadcast || n->op == OP_reshape) n = graph_node(g, n->in[0]);
  return n->op != OP_constant && n->op != OP_param && n->op != OP_input;
}

typedef struct GradList {
  Val wrt[512];
  Val dx[512];
  const ParamEntry *e[512];
  int n;
} GradList;

/* Adds d L / d parameter for all trainable tensors of the net. */
static Status add_gradients(Trainer *t, PhaseNet *p, Val L, bool is_d, GradList *l, Error *e) {
  const Params *ps = is_d ? &t->D.params : &t->G.params;
  if (train_scales(t)) {
    p->scale = g_input(p->graph, "loss_scale", SHAPE0());
    L = g_mul(p->graph, L, p->scale);
  }
  TRY(graph_status(p->graph, e));
  l->n = 0;
  p->copy = mem_alloc((size_t)ps->n * sizeof *p->copy);
  if (!p->copy)
    return err_set(e, ST_NOMEM, "training: out of memory for a list of %d tensors", ps->n);
  for (int i = 0; i < ps->n; i++) {
    const ParamEntry *x = &ps->entry[i];
    if (x->buffer) continue;
    if (param_frozen(t, is_d, x->name)) {
      p->copy[p->ncopy++] = (GradCopy){0, x->offset, x->numel};
      continue;
    }
    if (l->n == COUNT_OF(l->wrt))
      return err_set(e, ST_INVALID, "training: more than %d tensors in a network",
                     COUNT_OF(l->wrt));
    l->wrt[l->n] = params_leaf(p->graph, ps, x->name, false);
    l->e[l->n++] = x;
  }
  return graph_grad(p->graph, 1, &L, NULL, l->n, l->wrt, l->dx, 0, NULL, e);
}

static bool seen_before(const GradList *l, int i) {
  for (int j = 0; j < i; j++)
    if (l->dx[j] == l->dx[i]) return true;
  return false;
}

static Status limit_left(Trainer *t, PlanOptions *o, Error *e) {
  /* the plans run one after another and share the arena */
  size_t used = trainer_memory(t).total - t->arena.need;
  *o = (PlanOptions){.arena = &t->arena, .backend = t->backend};
  /* weights and optimiser are there already; earlier plans will take theirs at their first run */
  if (t->backend && t->cfg.max_bytes == 0) {
    size_t left = t->backend->available(t->backend),
           taken = trainer_memory(t).activations - t->arena.need;
    o->max_bytes = left > taken ? left - taken : 1;
    return ST_OK;
  }
  if (t->cfg.max_bytes == 0) return ST_OK;
  if (used >= t->cfg.max_bytes)
    return err_set(e, ST_NOMEM,
                   "training needs more than %.6g MiB and the limit is %.6g MiB; raise the limit, "
                   "or use smaller rounds (batch_gpu) or a smaller network",
                   (double)used / 1048576, (double)t->cfg.max_bytes / 1048576);
  o->max_bytes = t->cfg.max_bytes - used;
  return ST_OK;
}

/* Adds to the message which rounds would fit. */
static void say_what_fits(const Trainer *t, const PlanNeed *need, Error *e) {
  int fit = plan_batch_that_fits(need, round_size(&t->cfg));
  while (fit > 0 && t->cfg.batch % fit) fit--;
  size_t at = e ? strlen(e->msg) : 0;
  if (e && fit > 0)
    snprintf(e->msg + at, sizeof e->msg - at,
             "; rounds of %d of the %d images (batch_gpu) would fit", fit, t->cfg.batch);
}

/* Where the gradients go, and when they are there. */
static Status bind_gradients(Trainer *t, PhaseNet *p, const GradList *l, bool is_d, Error *e) {
  const Params *ps = is_d ? &t->D.params : &t->G.params;
  TRY(bucket_room(p, ps->n, e));
  for (int i = 0; i < ps->n; i++)
    if (!ps->entry[i].buffer && param_frozen(t, is_d, ps->entry[i].name))
      bucket_add(p, &ps->entry[i], INT_MAX);
  for (int i = 0; i < l->n; i++) {
    const ParamEntry *x = l->e[i];
    int done = INT_MAX; /* put there after the run */
    if (is_zero(p->graph, l->dx[i]))
      p->copy[p->ncopy++] = (GradCopy){0, x->offset, x->numel};
    else if (!is_computed(p->graph, l->dx[i]))
      p->copy[p->ncopy++] = (GradCopy){l->dx[i], x->offset, x->numel};
    else {
      real *to = t->grad_round[is_d] + x->offset;
      TRY(plan_bind(p->plan, l->dx[i], to, e));
      done = plan_done(p->plan, l->dx[i], to);
      if (!seen_before(l, i)) p->bound += (size_t)x->numel * sizeof(real);
    }
    bucket_add(p, x, done);
  }
  return ST_OK;
}

/* Plans the given outputs and the gradients, the latter into the flat range of the net. l = NULL:
 * no gradients. */
static Status make_plan(Trainer *t, PhaseNet *p, int n, const Val *extra, const GradList *l,
                        bool is_d, Error *e) {
  Val outs[600];
  int k = 0;
  for (int i = 0; i < n; i++)
    if (extra[i]) outs[k++] = extra[i];
  for (int i = 0; l && i < l->n; i++)
    if (!is_zero(p->graph, l->dx[i])) outs[k++] = l->dx[i];
  PlanOptions o;
  PlanNeed need = {0};
  TRY(graph_status(p->graph, e));
  TRY(limit_left(t, &o, e));
  /* D of Dmain sees fakes and reals with the same weights, and every net all rounds of a batch;
   * where a plan runs once, weights of all layers are still packed by a few launches */
  o.keep_weights = true;
  o.memory = &need;
  const Status st = plan_new(p->graph, k, outs, &o, &p->plan, e);
  if (st == ST_NOMEM && need.limit) say_what_fits(t, &need, e);
  if (st != ST_OK) return st;
  if (train_may_stop(t)) plan_on_stop(p->plan, t->cfg.stop, t->cfg.stop_ctx);
  return l ? bind_gradients(t, p, l, is_d, e) : ST_OK;
}

/* ---- the five nets ---- */

static Status build_gmain(Trainer *t, PhaseNet *p, GradList *l, Error *e) {
  Val img = synthesis_part(t, p, mapping_part(t, p));
  p->logits = discriminator_part(t, p, img);
  p->loss = g_logistic_loss(p->graph, p->logits, g_scalar(p->graph, -1));
  TRY(add_gradients(t, p, g_mean_all(p->graph, p->loss), false, l, e));
  return make_plan(t, p, 3, (Val[]){p->logits, p->loss, p->w_mean}, l, false, e);
}

static Status build_greg(Trainer *t, PhaseNet *p, GradList *l, Error *e) {
  Val ws = mapping_part(t, p), img = synthesis_part(t, p, ws);
  p->pl_noise = image_in(t, p, "pl_noise");
  p->pl_mean = g_input(p->graph, "pl_mean", SHAPE0());
  PathLength pl = g_path_length(p->graph, img, ws, p->pl_noise, p->pl_mean, t->cfg.pl_decay);
  p->loss = pl.penalty;
  p->pl_new_mean = pl.mean;
  p->pl_len = comm_many(t->cfg.comm) ? g_mean_all(p->graph, pl.lengths) : 0;
  Val L = g_axpb(p->graph, g_mean_all(p->graph, pl.penalty),
                 t->cfg.pl_weight * t->cfg.g_reg_interval, 0);
  TRY(add_gradients(t, p, L, false, l, e));
  TRY(make_plan(t, p, 3, (Val[]){p->loss, p->pl_new_mean, p->w_mean}, l, false, e));
  /* the same graph without penalty and gradients of parameters */
  if (p->pl_len) {
    PlanOptions o;
    TRY(limit_left(t, &o, e));
    TRY(plan_new(p->graph, 1, &p->pl_len, &o, &p->lengths, e));
  }
  if (!plan_data(p->plan, p->pl_mean)) return ST_OK;
  return plan_bind(p->plan, p->pl_mean, &t->res->pl_mean, e);
}

static Status build_fakes(Trainer *t, PhaseNet *p, GradList *l, Error *e) {
  p->image = synthesis_part(t, p, mapping_part(t, p));
  TRY(make_plan(t, p, 2, (Val[]){p->image, p->w_mean}, NULL, false, e));
  return plan_bind(p->plan, p->image, t->round_img, e);
}

static Status build_dmain(Trainer *t, PhaseNet *p, GradList *l, Error *e) {
  p->img = image_in(t, p, "img");
  p->c = labels_in(t, p);
  p->sign = g_input(p->graph, "sign", SHAPE0());
  p->logits = discriminator_part(t, p, p->img);
  p->loss = g_logistic_loss(p->graph, p->logits, p->sign);
  TRY(add_gradients(t, p, g_mean_all(p->graph, p->loss), true, l, e));
  TRY(make_plan(t, p, 2, (Val[]){p->logits, p->loss}, l, true, e));
  return plan_bind(p->plan, p->img, t->round_img, e);
}

static Status build_dreg(Trainer *t, PhaseNet *p, GradList *l, Error *e) {
  p->img = image_in(t, p, "real");
  p->c = labels_in(t, p);
  p->logits = discriminator_part(t, p, p->img);
  p->loss = g_r1_penalty(p->graph, p->logits, p->img, NULL);
  Val L = g_axpb(p->graph, g_mean_all(p->graph, p->loss),
                 train_r1_gamma(&t->cfg) / 2 * t->cfg.d_reg_interval, 0);
  TRY(add_gradients(t, p, L, true, l, e));
  return make_plan(t, p, 2, (Val[]){p->logits, p->loss}, l, true, e);
}

Status nets_build(Trainer *t, Error *e) {
  static Status (*const build[NET_COUNT])(Trainer *, PhaseNet *, GradList *,
                                          Error *) = {[NET_GMAIN] = build_gmain,
                                                      [NET_GREG] = build_greg,
                                                      [NET_DMAIN] = build_dmain,
                                                      [NET_DREG] = build_dreg,
                                                      [NET_FAKES] = build_fakes};
  GradList *l = mem_alloc(sizeof *l);
  if (!l) return err_set(e, ST_NOMEM, "training: out of memory");
  Status st = ST_OK;
  for (int i = 0; i < NET_COUNT; i++) {
    bool reg_g = t->cfg.pl_weight > 0 && t->cfg.g_reg_interval > 0,
         reg_d = t->cfg.d_reg_interval > 0;
    if ((i == NET_GREG && !reg_g) || (i == NET_DREG && !reg_d)) continue;
    PhaseNet *p = &t->net[i];
    p->n = i == NET_GREG ? train_pl_samples(&t->cfg) : round_size(&t->cfg);
    p->graph = graph_new();
    st = p->graph ? ST_OK : err_set(e, ST_NOMEM, "training: out of memory for a graph");
    if (st != ST_OK) goto done;
    graph_half_range(p->graph, backend_is_half(t->backend));
    if ((st = build[i](t, p, l, e)) != ST_OK) goto done;
  }
done:
  mem_free(l);
  return st;
}

void nets_weights_changed(Trainer *t) {
  for (int i = 0; i < NET_COUNT; i++) plan_weights_changed(t->net[i].plan);
}

void nets_free(Trainer *t) {
  for (int i = 0; i < NET_COUNT; i++) {
    plan_free(t->net[i].plan);
    plan_free(t->net[i].lengths);
    graph_free(t->net[i].graph);
    mem_free(t->net[i].copy);
    bucket_free(&t->net[i]);
    t->net[i] = (PhaseNet){0};
  }
  plan_arena_free(&t->arena);
}

/* ---- what the plans say ---- */

TrainMemory trainer_memory(const Trainer *t) {
  TrainMemory m = {0};
  m.weights = (size_t)(2 * t->G.params.ntotal + t->D.params.ntotal) * sizeof(real);
  /* v (and m), two gradient ranges */
  for (int k = 0; k < 2; k++)
    m.optimizer += (size_t)t->adam[k].n * sizeof(real) * (t->adam[k].m ? 4 : 3);
  m.activations = t->arena.need;
  for (int i = 0; i < NET_COUNT; i++) {
    if (!t->net[i].plan) continue;
    PlanStats s = plan_stats(t->net[i].plan);
    m.activations += s.folded_bytes + s.io_bytes - PRLX_MIN(s.io_bytes, t->net[i].bound);
  }
  m.total = m.weights + m.optimizer + m.activations;
  return m;
}

static const char *const net_name[NET_COUNT] = {"Gmain", "Greg", "Dmain", "Dreg", "fakes"};

/* How often the weights of a phase are new in an average iteration, and how often it runs. */
static double net_changes(const Trainer *t, int i) {
  const double per = i == NET_GREG   ? t->cfg.g_reg_interval
                     : i == NET_DREG ? t->cfg.d_reg_interval
                                     : 1;
  return 1 / per;
}

static double net_runs(const Trainer *t, int i) {
  return train_rounds(&t->cfg) * (i == NET_DMAIN ? 2 : 1) * net_changes(t, i);
}

void trainer_roofline(const Trainer *t, double gflops, double gbytes, FILE *f) {
  for (int i = 0; i < NET_COUNT; i++) {
    if (!t->net[i].plan) continue;
    fprintf(f, "%s:\n", net_name[i]);
    plan_roofline(t->net[i].plan, gflops, gbytes, f);
  }
}

double trainer_flop(const Trainer *t) {
  double f = 0;
  for (int i = 0; i < NET_COUNT; i++) {
    if (!t->net[i].plan) continue;
    f += plan_stats(t->net[i].plan).flop * net_runs(t, i);
  }
  return f;
}

enum { COUNTS = 5 };

/* A line of the table, added to the sums of an iteration. */
static void counts_line(FILE *f, const char *what, int images, double runs,
                        const double now[COUNTS], double all[COUNTS]) {
  fprintf(f, "%s\t%d\t%g", what, images, runs);
  for (int k = 0; k < COUNTS; k++) {
    fprintf(f, "\t%.5g", now[k]);
    all[k] += runs * now[k];
  }
  fprintf(f, "\n");
}

void trainer_counts(const Trainer *t, FILE *f) {
  double all[COUNTS] = {0}, rest[COUNTS] = {0};
  char kept[32];
  fprintf(f, "# phase\timages\truns\tsteps\tlaunches\tGFLOP\tMB operands\tMB scratch\n");
  for (int i = 0; i < NET_COUNT; i++) {
    if (!t->net[i].plan) continue;
    const PlanStats s = plan_stats(t->net[i].plan);
    counts_line(f, net_name[i], t->net[i].n, net_runs(t, i),
                (double[]){s.steps - s.kept_steps, (double)s.launches, s.flop / 1e9, s.bytes / 1e6,
                           s.scratch / 1e6},
                all);
    if (!s.kept_steps) continue;
    snprintf(kept, sizeof kept, "%s, weights", net_name[i]);
    counts_line(f, kept, t->net[i].n, net_changes(t, i),
                (double[]){s.kept_steps, (double)s.kept_launches, 0, s.kept_bytes / 1e6, 0}, all);
  }
  counts_line(f, "iteration", t->cfg.batch, 1, all, rest);
}

void trainer_buckets(Trainer *t, FILE *f) {
  fprintf(f, "# phase\tbucket\ttensors\tMB\tsteps after it\tGFLOP after it %%\t");
  fprintf(f, "operands after it %%\n");
  for (int i = 0; i < NET_COUNT; i++)
    bucket_counts(&t->net[i], net_name[i], t->cfg.bucket_bytes, f);
}

void trainer_profile(Trainer *t, bool on) {
  for (int i = 0; i < NET_COUNT; i++)
    if (t->net[i].plan) plan_profile(t->net[i].plan, on);
}

Status trainer_ranges(Trainer *t, bool on, Error *e) {
  for (int i = 0; i < NET_COUNT; i++)
    if (t->net[i].plan) TRY(plan_ranges(t->net[i].plan, on, e));
  return ST_OK;
}

void trainer_ranges_report(const Trainer *t, FILE *f) {
  fprintf(f, "phase\tstep\tlayer\twhat\tstored as\tzero %%\tsubnormal %%\tinfinite %%\tlargest\n");
  for (int i = 0; i < NET_COUNT; i++)
    if (t->net[i].plan) plan_ranges_report(t->net[i].plan, net_name[i], f);
}

void trainer_report(const Trainer *t, FILE *f) {
  static const char *const name[NET_COUNT] = {"Gmain", "Greg", "Dmain (one of two passes)", "Dreg",
                                              "Dmain: generator forward"};
  for (int i = 0; i < NET_COUNT; i++) {
    if (!t->net[i].plan) continue;
    fprintf(f, "\n%s, %d images\n", name[i], t->net[i].n);
    plan_report(t->net[i].plan, f);
  }
}
