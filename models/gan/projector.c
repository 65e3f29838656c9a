/* projector.c: the projection loop. The graph computes, per lesion, distance, noise regulariser and
 * their gradients; the variables of all lesions (w, then the noise maps) lie in one flat block that
 * the plan reads in place, so one Adam serves them all. */
#include "models/gan/projector.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/flat.h"
#include "core/rng.h"

ProjectOptions project_defaults(void) {
  return (ProjectOptions){.num_steps = 1000,
                          .initial_lr = 0.1,
                          .initial_noise_factor = 0.05,
                          .lr_rampdown = 0.25,
                          .lr_rampup = 0.05,
                          .noise_ramp = 0.75,
                          .regularize_noise_weight = 1e5,
                          .w_avg_samples = 10000,
                          .seed = 0,
                          .adam_beta1 = 0.9,
                          .adam_beta2 = 0.999,
                          .adam_eps = 1e-8,
                          .vgg_channels = VGG_CHANNELS_AUTO,
                          .max_bytes = 0};
}

Status project_options_check(const ProjectOptions *o, Error *e) {
  if (o->num_steps < 1)
    return err_set(e, ST_INVALID, "projection: %d steps; expected at least 1", o->num_steps);
  if (!(o->initial_lr > 0))
    return err_set(e, ST_INVALID, "projection: learning rate %g; expected > 0 (0.1 is usual)",
                   o->initial_lr);
  if (!(o->initial_noise_factor >= 0) || !(o->regularize_noise_weight >= 0))
    return err_set(e, ST_INVALID,
                   "projection: noise factor %g, noise weight %g; expected both >= 0",
                   o->initial_noise_factor, o->regularize_noise_weight);
  if (!(o->lr_rampdown >= 0 && o->lr_rampdown <= 1 && o->lr_rampup >= 0 && o->lr_rampup <= 1 &&
        o->noise_ramp >= 0 && o->noise_ramp <= 1))
    return err_set(e, ST_INVALID,
                   "projection: ramps %g, %g, %g are fractions of the run; expected 0..1",
                   o->lr_rampdown, o->lr_rampup, o->noise_ramp);
  if (!(o->adam_beta1 >= 0 && o->adam_beta1 < 1 && o->adam_beta2 >= 0 && o->adam_beta2 < 1 &&
        o->adam_eps > 0))
    return err_set(e, ST_INVALID,
                   "projection: Adam betas %g, %g, eps %g; expected betas in [0,1), eps > 0",
                   o->adam_beta1, o->adam_beta2, o->adam_eps);
  return ST_OK;
}

/* SEMANTICS 9.3; a ramp of length 0 is a jump. */
double project_lr(const ProjectOptions *o, int step) {
  double t = (double)step / o->num_steps;
  double down = o->lr_rampdown > 0 ? PRLX_MIN(1.0, (1.0 - t) / o->lr_rampdown) : 1.0;
  double up = o->lr_rampup > 0 ? PRLX_MIN(1.0, t / o->lr_rampup) : 1.0;
  return o->initial_lr * (0.5 - 0.5 * cos(M_PI * down)) * up;
}

double project_w_noise(const ProjectOptions *o, int step) {
  double t = (double)step / o->num_steps;
  double r = o->noise_ramp > 0 ? PRLX_MAX(0.0, 1.0 - t / o->noise_ramp) : 0.0;
  return o->initial_noise_factor * r * r;
}

/* ---- statistics of W ---- */

/* mapping batch; the result does not depend on it beyond rounding */
enum { WSTAT_ROWS = 500 };
static double *w_samples_z(int samples, int z_dim, uint32_t seed, Error *e) {
  size_t n;
  double *z =
      mul_ok((size_t)samples, (size_t)z_dim, &n) && mul_ok(n, sizeof *z, &n) ? mem_alloc(n) : NULL;
  if (!z) {
    err_set(e, ST_NOMEM,
            "w statistics: out of memory for %d x %d normals; lower the number of samples", samples,
            z_dim);
    return NULL;
  }
  if (numpy_randn(seed, z, (int64_t)samples * z_dim, e) != ST_OK) {
    mem_free(z);
    return NULL;
  }
  return z;
}

/* Runs the mapping on all samples; w [samples,w_dim]. */
static Status map_samples(const Generator *G, const real *cond, int samples, const double *z,
                          real *w, Error *e) {
  const int zd = G->cfg.z_dim, wd = G->cfg.w_dim, cd = G->cfg.c_dim,
            rows = PRLX_MIN(samples, WSTAT_ROWS);
  Graph *g = graph_new();
  Plan *plan = NULL;
  if (!g)
    return err_set(e, ST_NOMEM,
                   "w statistics: out of memory for the graph; free memory and try again");
  Val vz = g_input(g, "z", SHAPE2(rows, zd)), vc = cd ? g_input(g, "c", SHAPE2(rows, cd)) : 0,
      vw = g_mapping(g, G, vz, vc, true);
  Status s = graph_status(g, e);
  if (s != ST_OK) goto done;
  s = plan_new(g, 1, &vw, NULL, &plan, e);
  if (s != ST_OK) goto done;
  for (int i = 0; i < rows && cd; i++)
    memcpy(plan_data(plan, vc) + (int64_t)i * cd, cond, (size_t)cd * sizeof(real));
  for (int at = 0; at < samples; at += rows) {
    int m = PRLX_MIN(rows, samples - at);
    real *pz = plan_data(plan, vz);
    for (int64_t i = 0; i < (int64_t)m * zd; i++) pz[i] = (real)z[(int64_t)at * zd + i];
    s = plan_run(plan, e);
    if (s != ST_OK) goto done;
    memcpy(w + (int64_t)at * wd, plan_data(plan, vw), (size_t)m * (size_t)wd * sizeof(real));
  }
done:
  plan_free(plan);
  graph_free(g);
  return s;
}

/* Mean and scatter of w [samples,wd]; mean [wd] is scratch. */
static Status w_moments(const real *w, int samples, int wd, double *mean, WStats *out, Error *e) {
  for (int i = 0; i < samples; i++)
    for (int j = 0; j < wd; j++) mean[j] += (double)w[(int64_t)i * wd + j];
  for (int j = 0; j < wd; j++) out->w_avg[j] = (real)(mean[j] /= samples);
  double ss = 0;
  for (int i = 0; i < samples; i++)
    for (int j = 0; j < wd; j++) {
      double d = (double)w[(int64_t)i * wd + j] - mean[j];
      ss += d * d;
    }
  out->w_std = sqrt(ss / samples); /* not divided by w_dim */
  if (isfinite(out->w_std)) return ST_OK;
  return err_set(e, ST_NUMERIC,
                 "w statistics: not finite; the network's mapping weights are broken");
}

Status project_w_stats(const Generator *G, const real *cond, int samples, uint32_t seed,
                       WStats *out, Error *e) {
  const int wd = G->cfg.w_dim;
  *out = (WStats){0};
  if (samples < 1)
    return err_set(e, ST_INVALID, "w statistics: %d samples; expected at least 1 (10000 is usual)",
                   samples);
  if (G->cfg.c_dim && !cond)
    return err_set(e, ST_INVALID,
                   "w statistics: the network is conditional (%d classes) and no class was given; "
                   "choose a class",
                   G->cfg.c_dim);
  Status s = ST_OK;
  double *z = w_samples_z(samples, G->cfg.z_dim, seed, e);
  real *w = mem_alloc((size_t)samples * (size_t)wd * sizeof(real));
  double *mean = mem_alloc((size_t)wd * sizeof(double));
  out->w_avg = mem_alloc((size_t)wd * sizeof(real));
  if (!z)
    s = e ? e->code : ST_NOMEM;
  else if (!w || !mean || !out->w_avg)
    s = err_set(e, ST_NOMEM, "w statistics: out of memory for %d samples; lower their number",
                samples);
  if (s != ST_OK) goto done;
  s = map_samples(G, cond, samples, z, w, e);
  if (s != ST_OK) goto done;
  s = w_moments(w, samples, wd, mean, out, e);
done:
  mem_free(z);
  mem_free(w);
  mem_free(mean);
  if (s != ST_OK) {
    mem_free(out->w_avg);
    out->w_avg = NULL;
  }
  return s;
}

/* ---- noise regulariser and normalisation ---- */

Val g_noise_regularizer(Graph *g, Val noise) {
  Shape s = graph_shape(g, noise);
  if (s.rank != 4 || s.d[1] != 1 || s.d[2] != s.d[3])
    return graph_fail(g, ST_INVALID, "noise regulariser: rank %d map; expected [N,1,r,r]", s.rank);
  const int64_t n = s.d[0];
  Val total = 0;
  for (int64_t r = s.d[2];; r /= 2) {
    for (int axis = 3; axis >= 2; axis--) {
      Val corr = g_mean(g, g_mul(g, noise, g_roll(g, noise, axis, 1)), 1u << 2 | 1u << 3);
      Val sq = g_square(g, corr);
      total = total ? g_add(g, total, sq) : sq;
    }
    if (r <= 8) break;
    noise = g_mean(g, g_reshape(g, noise, SHAPE5(n, r / 2, 2, r / 2, 2)), 1u << 2 | 1u << 4);
    noise = g_reshape(g, noise, SHAPE4(n, 1, r / 2, r / 2));
  }
  return g_reshape(g, total, SHAPE1(n));
}

void noise_normalize(real *map, int64_t n) {
  double mean = 0, sq = 0;
  for (int64_t i = 0; i < n; i++) mean += (double)map[i];
  mean /= (double)n;
  for (int64_t i = 0; i < n; i++) {
    double d = (double)map[i] - mean;
    sq += d * d;
  }
  double k = sq > 0 ? 1.0 / sqrt(sq / (double)n) : 0.0;
  for (int64_t i = 0; i < n; i++) map[i] = (real)(((double)map[i] - mean) * k);
}

/* ---- the projector ---- */

/* part of the flat variables; n = elements per lesion */
typedef struct Segment {
  int64_t at;
  int64_t n;
} Segment;
struct Projector {
  const Generator *G;
  const Vgg *vgg;
  ProjectOptions o;
  int batch;
  Graph *g;
  Plan *plan;
  Val w_noise;
  Val target[VGG_TAPS];
  Val img;
  Val dist;
  Val reg;
  Val loss;
  Val var[1 + MAX_NOISE];
  Val grad[1 + MAX_NOISE];
  Segment seg[1 + MAX_NOISE];
  int nseg; /* segment 0 is w, segment 1+k is noise map k */
  int64_t nvars;
  /* [nvars] each */
  real *vars;
  real *grads;
  real *saved;
  /* NULL: CPU. Else the four ranges and losses have mirrors there */
  Backend *b;
  /* backend: noise_normalize of all maps in place */
  Graph *norm_g;
  Plan *norm;
  /* backend: variables and gradients are newer there */
  bool ahead;
  /* distance, regulariser, loss: [batch] each, apart by loss_at */
  real *losses;
  int64_t nlosses;
  real *w_avg;
  double w_std;
  Adam adam;
  Rng *rng; /* [batch] */
  const real *given_w_noise;
  /* [batch] */
  double *out_dist;
  double *out_reg;
  double *out_loss;
  int step;
  int shared;
  bool started;
};

/* ---- on a backend ---- */

typedef struct Range {
  void *p;
  size_t bytes;
} Range;
enum { RANGES = 8 };
static void projector_ranges(const Projector *p, Range r[RANGES]) {
  size_t n = (size_t)p->nvars * sizeof(real);
  Range all[RANGES] = {{p->vars, n},
                       {p->grads, n},
                       {p->saved, n},
                       {p->adam.m, p->adam.m ? n : 0},
                       {p->adam.v, n},
                       {p->losses, (size_t)p->nlosses * sizeof(real)},
                       {p->G->p.data, (size_t)p->G->p.ntotal * sizeof(real)},
                       {p->vgg->p.data, (size_t)p->vgg->p.ntotal * sizeof(real)}};
  memcpy(r, all, sizeof all);
}

static Status ranges_share(Projector *p, Error *e) {
  Range r[RANGES];
  projector_ranges(p, r);
  for (; p->b && p->shared < RANGES; p->shared++)
    if (r[p->shared].bytes) TRY(backend_share(p->b, r[p->shared].p, r[p->shared].bytes, e));
  return ST_OK;
}

static void ranges_unshare(Projector *p) {
  Range r[RANGES];
  projector_ranges(p, r);
  for (int i = 0; i < p->shared; i++)
    if (r[i].bytes) backend_unshare(p->b, r[i].p);
}

/* The noise maps with zero mean and unit mean square, written where they were read: every map is
 * read completely before its one loop writes. */
static Status build_norm(Projector *p, Error *e) {
  Val x[MAX_NOISE], y[MAX_NOISE];
  int n = p->nseg - 1;
  Graph *g = p->norm_g = graph_new();
  if (!g) return err_set(e, ST_NOMEM, "projection: out of memory for a graph");
  for (int k = 0; k < n; k++) {
    int64_t r = p->G->noise_res[k];
    x[k] = g_input(g, p->G->noise_name[k], SHAPE4(p->batch, 1, r, r));
    Val d = g_sub(g, x[k], g_mean(g, x[k], 12));
    y[k] = g_mul(g, d, g_rsqrt0(g, g_mean(g, g_square(g, d), 12)));
  }
  TRY(graph_status(g, e));
  TRY(plan_new(g, n, y, &(PlanOptions){.backend = p->b}, &p->norm, e));
  for (int k = 0; k < n; k++) {
    TRY(plan_bind(p->norm, x[k], p->vars + p->seg[k + 1].at, e));
    TRY(plan_bind(p->norm, y[k], p->vars + p->seg[k + 1].at, e));
  }
  return ST_OK;
}

/* Host variables were changed: send them. */
static Status push_variables(Projector *p, Error *e) {
  p->ahead = false;
  return p->b ? backend_push(p->b, p->vars, (size_t)p->nvars * sizeof(real), e) : ST_OK;
}

/* The host's copies are a cache of the device's; where a read-back fails they stay out of date,
 * and the accessors give nothing rather than old numbers. */
Status projector_fetch(Projector *p, Error *e) {
  if (!p->ahead) return ST_OK;
  size_t n = (size_t)p->nvars * sizeof(real);
  TRY(backend_pull(p->b, p->vars, n, e));
  TRY(backend_pull(p->b, p->grads, n, e));
  p->ahead = false;
  return ST_OK;
}

void projector_free(Projector *p) {
  if (!p) return;
  plan_free(p->plan);
  plan_free(p->norm);
  graph_free(p->g);
  graph_free(p->norm_g);
  ranges_unshare(p);
  adam_free(&p->adam);
  mem_free(p->losses);
  mem_free(p->vars);
  mem_free(p->grads);
  mem_free(p->saved);
  mem_free(p->w_avg);
  mem_free(p->rng);
  mem_free(p->out_dist);
  mem_free(p);
}

static void lay_out_variables(Projector *p) {
  p->nseg = 1 + p->G->num_noise;
  for (int k = 0; k < p->nseg; k++) {
    int64_t r = k ? p->G->noise_res[k - 1] : 0;
    p->seg[k] = (Segment){.at = p->nvars, .n = k ? r * r : p->G->cfg.w_dim};
    p->nvars += (p->batch * p->seg[k].n + 15) / 16 * 16; /* plan_bind wants 64-byte alignment */
  }
}

static Status build_graph(Projector *p, Error *e) {
  Graph *g = p->g;
  const int64_t n = p->batch, wd = p->G->cfg.w_dim, res = p->G->cfg.img_resolution;
  p->w_noise = g_input(g, "w_noise", SHAPE2(n, wd));
  p->var[0] = g_input(g, "w", SHAPE2(n, wd));
  for (int k = 1; k < p->nseg; k++) {
    int64_t r = p->G->noise_res[k - 1];
    p->var[k] = g_input(g, p->G->noise_name[k - 1], SHAPE4(n, 1, r, r));
  }
  SynthOptions so = {.noise = NOISE_GIVEN, .noise_maps = p->var + 1, .frozen = true};
  Val ws = g_broadcast_ws(g, p->G, g_add(g, p->var[0], p->w_noise), 1.0, -1);
  p->img = g_synthesis(g, p->G, ws, &so, NULL);
  VggTaps taps;
  Val feat[VGG_TAPS];
  g_vgg(g, p->vgg, g_vgg_input(g, p->img, p->o.vgg_channels), &taps);
  g_lpips_features(g, p->vgg, &taps, feat);
  int64_t side = res > 256 ? 256 : res;
  for (int k = 0; k < VGG_TAPS; k++) {
    static const char *const name[VGG_TAPS] = {"target.relu1_2", "target.relu2_2", "target.relu3_3",
                                               "target.relu4_3", "target.relu5_3"};
    p->target[k] = g_input(g, name[k], lpips_feature_shape(n, side, side, k));
  }
  p->dist = g_lpips_layers(g, p->target, feat, NULL);
  for (int k = 1; k < p->nseg; k++) {
    Val r = g_noise_regularizer(g, p->var[k]);
    p->reg = k == 1 ? r : g_add(g, p->reg, r);
  }
  /* Lesions do not interact, so the gradient of the sum of losses is each lesion's own gradient. */
  p->loss = g_add(g, p->dist, g_axpb(g, p->reg, p->o.regularize_noise_weight, 0.0));
  TRY(graph_status(g, e));
  return graph_grad(g, 1, &p->loss, NULL, p->nseg, p->var, p->grad, 0, NULL, e);
}

static Status build_plan(Projector *p, Error *e) {
  Val outs[4 + 1 + MAX_NOISE] = {p->img, p->dist, p->reg, p->loss};
  memcpy(outs + 4, p->grad, (size_t)p->nseg * sizeof(Val));
  PlanNeed need = {0};
  PlanOptions po = {.max_bytes = p->o.max_bytes, .backend = p->b, .memory = &need};
  Status s = plan_new(p->g, 4 + p->nseg, outs, &po, &p->plan, e);
  int fit = s == ST_NOMEM ? plan_batch_that_fits(&need, p->batch) : 0;
  if (fit > 0 && e)
    snprintf(e->msg + strlen(e->msg), sizeof e->msg - strlen(e->msg),
             "; %d of the %d lesions at once would fit", fit, p->batch);
  if (s != ST_OK) return s;
  Val lv[3] = {p->dist, p->reg, p->loss};
  for (int k = 0; k < 3; k++) TRY(plan_bind(p->plan, lv[k], p->losses + k * (p->nlosses / 3), e));
  for (int k = 0; k < p->nseg; k++) {
    TRY(plan_bind(p->plan, p->var[k], p->vars + p->seg[k].at, e));
    TRY(plan_bind(p->plan, p->grad[k], p->grads + p->seg[k].at, e));
  }
  return ST_OK;
}

static Status check_setup(const Generator *G, const WStats *ws, const ProjectOptions *o, int batch,
                          Error *e) {
  TRY(project_options_check(o, e));
  if (batch < 1) return err_set(e, ST_INVALID, "projection: batch %d; expected at least 1", batch);
  if (!ws->w_avg)
    return err_set(e, ST_INVALID, "projection: no statistics of w; call project_w_stats first");
  if (G->cfg.img_resolution < VGG_MIN_SIDE)
    return err_set(e, ST_INVALID, "projection: network of %d x %d pixels; VGG16 needs at least %d",
                   G->cfg.img_resolution, G->cfg.img_resolution, VGG_MIN_SIDE);
  return ST_OK;
}

static Status alloc_variables(Projector *p, Error *e) {
  const size_t bytes = (size_t)p->nvars * sizeof(real), batch = (size_t)p->batch;
  p->vars = mem_alloc(bytes);
  p->grads = mem_alloc(bytes);
  p->saved = mem_alloc(bytes);
  p->w_avg = mem_alloc((size_t)p->G->cfg.w_dim * sizeof(real));
  p->rng = mem_alloc(batch * sizeof(Rng));
  p->out_dist = mem_alloc(3 * batch * sizeof(double));
  p->nlosses = 3 * (((int64_t)p->batch + 63) / 64 * 64);
  p->losses = mem_alloc((size_t)p->nlosses * sizeof(real));
  p->g = graph_new();
  if (!p->vars || !p->grads || !p->saved || !p->w_avg || !p->rng || !p->out_dist || !p->losses ||
      !p->g)
    return err_set(e, ST_NOMEM,
                   "projection: out of memory for the variables of %d lesions; lower the batch",
                   p->batch);
  p->out_reg = p->out_dist + batch;
  p->out_loss = p->out_reg + batch;
  return ST_OK;
}

static Status projector_build(Projector *p, const WStats *ws, Error *e) {
  const ProjectOptions *o = &p->o;
  lay_out_variables(p);
  TRY(alloc_variables(p, e));
  graph_batch_invariant(p->g, true);
  memcpy(p->w_avg, ws->w_avg, (size_t)p->G->cfg.w_dim * sizeof(real));
  TRY(adam_init(&p->adam, p->nvars, o->initial_lr, o->adam_beta1, o->adam_beta2, o->adam_eps, e));
  TRY(ranges_share(p, e));
  TRY(build_graph(p, e));
  TRY(build_plan(p, e));
  return p->b ? build_norm(p, e) : ST_OK;
}

Status projector_new(const Generator *G, const Vgg *v, const WStats *ws, const ProjectOptions *o,
                     int batch, Projector **out, Error *e) {
  *out = NULL;
  TRY(check_setup(G, ws, o, batch, e));
  Projector *p = mem_alloc(sizeof *p);
  if (!p) return err_set(e, ST_NOMEM, "projection: out of memory; free memory and try again");
  p->G = G;
  p->vgg = v;
  p->o = *o;
  p->batch = batch;
  p->w_std = ws->w_std;
  p->b = o->backend;
  const Status s = projector_build(p, ws, e);
  if (s != ST_OK) {
    projector_free(p);
    return s;
  }
  *out = p;
  return ST_OK;
}

PlanStats projector_stats(const Projector *p) { return plan_stats(p->plan); }
size_t projector_bytes(const Projector *p) {
  PlanStats s = plan_stats(p->plan);
  return s.arena_bytes + s.folded_bytes + s.io_bytes + s.scratch_bytes +
         5 * (size_t)p->nvars * sizeof(real);
}

int projector_steps_done(const Projector *p) { return p->step; }
int projector_batch(const Projector *p) { return p->batch; }
const real *projector_w(const Projector *p) { return p->ahead ? NULL : p->vars; }
const real *projector_noise(const Projector *p, int k) {
  return p->ahead ? NULL : p->vars + p->seg[1 + k].at;
}

const real *projector_grad_w(const Projector *p) { return p->ahead ? NULL : p->grads; }
const real *projector_grad_noise(const Projector *p, int k) {
  return p->ahead ? NULL : p->grads + p->seg[1 + k].at;
}

void projector_profile(Projector *p, bool on) { plan_profile(p->plan, on); }
void projector_report(const Projector *p, FILE *f) { plan_report(p->plan, f); }

Status projector_start(Projector *p, const real *targets, const uint64_t *id, Error *e) {
  const int64_t c = p->G->cfg.img_channels, r = p->G->cfg.img_resolution;
  real *feat[VGG_TAPS];
  for (int k = 0; k < VGG_TAPS; k++) feat[k] = plan_data(p->plan, p->target[k]);
  p->started = false;
  TRY(lpips_image_features_on(p->b, p->vgg, SHAPE4(p->batch, c, r, r), targets, p->o.vgg_channels,
                              feat, e));
  p->adam.t = 0;
  if (p->adam.m) TRY(flat_zero(p->b, flat_at(p->b, p->adam.m), p->nvars, e));
  TRY(flat_zero(p->b, flat_at(p->b, p->adam.v), p->nvars, e));
  memset(p->vars, 0, (size_t)p->nvars * sizeof(real));
  for (int i = 0; i < p->batch; i++) {
    p->rng[i] = (Rng){.seed = p->o.seed, .subsequence = id ? id[i] : (uint64_t)i};
    memcpy(p->vars + i * p->seg[0].n, p->w_avg, (size_t)p->seg[0].n * sizeof(real));
    for (int k = 1; k < p->nseg; k++)
      rng_fill_normal(&p->rng[i], p->vars + p->seg[k].at + i * p->seg[k].n, p->seg[k].n);
  }
  p->given_w_noise = NULL;
  p->step = 0;
  p->started = true;
  return push_variables(p, e);
}

Status projector_inject(Projector *p, const real *const *noise_maps, const real *w_noise,
                        Error *e) {
  TRY(projector_fetch(p, e));
  p->given_w_noise = w_noise;
  for (int k = 1; noise_maps && k < p->nseg; k++) {
    if (!noise_maps[k - 1]) continue;
    for (int i = 0; i < p->batch; i++)
      memcpy(p->vars + p->seg[k].at + i * p->seg[k].n, noise_maps[k - 1],
             (size_t)p->seg[k].n * sizeof(real));
  }
  return push_variables(p, e);
}

/* 9.4: one [w] vector of added noise per lesion; drawn even when the scale is 0, so that the stream
 * position depends on the step alone. */
static void draw_w_noise(Projector *p, double scale) {
  const int64_t wd = p->seg[0].n;
  real *dst = plan_data(p->plan, p->w_noise);
  for (int i = 0; i < p->batch; i++, dst += wd) {
    rng_fill_normal(&p->rng[i], dst, wd);
    if (p->given_w_noise) memcpy(dst, p->given_w_noise + p->step * wd, (size_t)wd * sizeof(real));
    for (int64_t j = 0; j < wd; j++) dst[j] = (real)((double)dst[j] * scale);
  }
}

static Status read_losses(Projector *p, Error *e) {
  const real *d = p->losses, *r = d + p->nlosses / 3, *l = r + p->nlosses / 3;
  if (p->b) TRY(backend_pull(p->b, p->losses, (size_t)p->nlosses * sizeof(real), e));
  for (int i = 0; i < p->batch; i++) {
    p->out_dist[i] = (double)d[i];
    p->out_reg[i] = (double)r[i];
    p->out_loss[i] = (double)l[i];
    if (!isfinite(p->out_loss[i]))
      return err_set(e, ST_NUMERIC,
                     "projection: lesion %d of the batch, step %d: loss is %g; check the target "
                     "for NaN, or lower the learning rate",
                     i + 1, p->step, p->out_loss[i]);
  }
  return ST_OK;
}

static Status host_step(Projector *p, Error *e) {
  TRY(plan_run(p->plan, e));
  TRY(read_losses(p, e));
  adam_step(&p->adam, p->vars, p->grads);
  for (int k = 1; k < p->nseg; k++)
    for (int i = 0; i < p->batch; i++)
      noise_normalize(p->vars + p->seg[k].at + i * p->seg[k].n, p->seg[k].n);
  return ST_OK;
}

/* Everything of the step is under way before the losses are waited for. */
static Status device_step(Projector *p, Error *e) {
  p->ahead = true;
  TRY(plan_run(p->plan, e));
  TRY(flat_adam(p->b, &p->adam, flat_at(p->b, p->vars), flat_at(p->b, p->grads), NULL, 0, e));
  TRY(plan_run(p->norm, e));
  return read_losses(p, e);
}

Status projector_step(Projector *p, ProjectStep *info, Error *e) {
  if (!p->started || p->step >= p->o.num_steps)
    return err_set(e, ST_INVALID, "projection: %s; call projector_start",
                   p->started ? "all steps are done" : "no target was given");
  double lr = project_lr(&p->o, p->step), scale = p->w_std * project_w_noise(&p->o, p->step);
  draw_w_noise(p, scale);
  /* 0 at step 0: nothing moves, but the moments are updated */
  p->adam.lr = lr;
  TRY(p->b ? device_step(p, e) : host_step(p, e));
  if (info) *info = (ProjectStep){p->step, lr, scale, p->out_dist, p->out_reg, p->out_loss};
  p->step++;
  return ST_OK;
}

/* The network's own noise instead of the optimised maps. */
static Status put_noise_const(Projector *p, Error *e) {
  for (int k = 1; k < p->nseg; k++) {
    const ParamEntry *c = params_find(&p->G->p, p->G->noise_name[k - 1]);
    if (!c)
      return err_set(e, ST_INTERNAL, "projection: the network has no %s", p->G->noise_name[k - 1]);
    for (int i = 0; i < p->batch; i++)
      TRY(flat_upload(p->b, flat_at(p->b, p->vars + p->seg[k].at + i * p->seg[k].n), c->data,
                      p->seg[k].n, e));
  }
  return ST_OK;
}

/* Leaves the plan's variables changed where optimised_noise is false. */
static Status run_without_w_noise(Projector *p, bool optimised_noise, real *img, double *lpips,
                                  Error *e) {
  const real *rendered = NULL;
  memset(plan_data(p->plan, p->w_noise), 0, (size_t)(p->batch * p->seg[0].n) * sizeof(real));
  if (!optimised_noise) TRY(put_noise_const(p, e));
  TRY(plan_run(p->plan, e));
  if (p->b) TRY(backend_pull(p->b, p->losses, (size_t)p->nlosses * sizeof(real), e));
  TRY(plan_read(p->plan, p->img, &rendered, e));
  memcpy(img, rendered, (size_t)shape_numel(graph_shape(p->g, p->img)) * sizeof(real));
  for (int i = 0; i < p->batch && lpips; i++) lpips[i] = (double)p->losses[i];
  return ST_OK;
}

Status projector_render(Projector *p, bool optimised_noise, real *img, double *lpips, Error *e) {
  if (!p->started)
    return err_set(e, ST_INVALID, "projection: nothing to render; call projector_start");
  real *vars = flat_at(p->b, p->vars), *saved = flat_at(p->b, p->saved);
  TRY(flat_copy(p->b, saved, vars, p->nvars, e));
  const Status s = run_without_w_noise(p, optimised_noise, img, lpips, e);
  const Status back = flat_copy(p->b, vars, saved, p->nvars, e);
  p->ahead = p->b != NULL;
  return s == ST_OK ? back : s;
}
