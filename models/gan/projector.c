/* projector.c: the projection loop: start, step, render. */
#include "models/gan/projector.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "models/gan/projector_impl.h"

/* Host variables were changed: send them. */
Status projector_push(Projector *p, Error *e) {
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
  projector_unshare(p);
  adam_free(&p->adam);
  mem_free(p->losses);
  mem_free(p->vars);
  mem_free(p->grads);
  mem_free(p->saved);
  mem_free(p->w_avg);
  mem_free(p->rng);
  mem_free(p->w_draw);
  mem_free(p->out_dist);
  mem_free(p);
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
int64_t projector_w_size(const Projector *p) { return p->seg[0].n; }
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
void projector_roofline(const Projector *p, double gflops, double gbytes, FILE *f) {
  plan_roofline(p->plan, gflops, gbytes, f);
}

const real *projector_noise_const(const Projector *p, int k, Error *e) {
  const ParamEntry *c = params_find(&p->G->params, p->G->noise_name[k]);
  if (!c) err_set(e, ST_INTERNAL, "projection: the network has no %s", p->G->noise_name[k]);
  return c ? c->data : NULL;
}

void projector_put_w(Projector *p, int i, const real *w) {
  const int64_t wd = p->G->cfg.w_dim;
  for (int l = 0; l < p->layers; l++)
    memcpy(p->vars + i * p->seg[0].n + l * wd, w, (size_t)wd * sizeof(real));
}

/* w at the mean; maps from N(0,1) where they are searched, else the network's own. The draws are
 * made in any case: a stream's position then depends on the step alone. */
static Status start_variables(Projector *p, const uint64_t *id, Error *e) {
  const bool drawn = space_has_noise(p->o.space);
  memset(p->vars, 0, (size_t)p->nvars * sizeof(real));
  for (int i = 0; i < p->batch; i++) {
    p->rng[i] = (Rng){.seed = p->o.seed, .subsequence = id ? id[i] : (uint64_t)i};
    projector_put_w(p, i, p->w_avg);
    for (int k = 1; k < p->nseg; k++) {
      const size_t bytes = (size_t)p->seg[k].n * sizeof(real);
      real *map = p->vars + p->seg[k].at + i * p->seg[k].n;
      const real *own = drawn ? NULL : projector_noise_const(p, k - 1, e);
      if (!drawn && !own) return ST_INTERNAL;
      rng_fill_normal(&p->rng[i], map, p->seg[k].n);
      if (own) memcpy(map, own, bytes);
    }
  }
  return ST_OK;
}

Status projector_start_at(Projector *p, const real *w, Error *e) {
  TRY(projector_fetch(p, e));
  for (int i = 0; i < p->batch; i++) projector_put_w(p, i, w + i * p->G->cfg.w_dim);
  return projector_push(p, e);
}

Status projector_regions(Projector *p, const float *regions, Error *e) {
  const int64_t res = p->G->cfg.img_resolution;
  if (!p->o.regions)
    return err_set(e, ST_INVALID, "projection: regions, but ProjectOptions.regions is not set");
  for (int i = 0; i < p->batch; i++)
    measure_put_region(p->plan, &p->measure, (int)res, i, regions + i * res * res);
  return ST_OK;
}

Status projector_start(Projector *p, const real *targets, const uint64_t *id, Error *e) {
  const int64_t c = p->G->cfg.img_channels, r = p->G->cfg.img_resolution;
  real *feat[VGG_TAPS];
  for (int k = 0; k < VGG_TAPS; k++) feat[k] = plan_data(p->plan, p->measure.target[k]);
  p->started = false;
  TRY(lpips_image_features_on(p->b, p->vgg, SHAPE4(p->batch, c, r, r), targets, p->o.vgg_channels,
                              feat, e));
  p->adam.t = 0;
  if (p->adam.m) TRY(flat_zero(p->b, flat_at(p->b, p->adam.m), p->nvars, e));
  TRY(flat_zero(p->b, flat_at(p->b, p->adam.v), p->nvars, e));
  TRY(start_variables(p, id, e));
  p->given_w_noise = NULL;
  p->step = 0;
  p->drawn = false;
  p->started = true;
  return projector_push(p, e);
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
  return projector_push(p, e);
}

/* 9.4: one [w] vector of added noise per lesion; drawn even when the scale is 0, so that the stream
 * position depends on the step alone. */
static void draw_w_noise(Projector *p) {
  const int64_t wd = p->G->cfg.w_dim;
  for (int i = 0; i < p->batch && !p->drawn; i++)
    rng_fill_normal(&p->rng[i], p->w_draw + i * wd, wd);
  p->drawn = true;
}

static void put_w_noise(Projector *p, double scale) {
  const int64_t wd = p->G->cfg.w_dim;
  real *dst = plan_data(p->plan, p->w_noise);
  draw_w_noise(p);
  for (int i = 0; i < p->batch; i++, dst += wd) {
    const real *src = p->given_w_noise ? p->given_w_noise + p->step * wd : p->w_draw + i * wd;
    for (int64_t j = 0; j < wd; j++) dst[j] = (real)((double)src[j] * scale);
  }
  p->drawn = false;
}

Status projector_pull_losses(Projector *p, Error *e) {
  const int64_t apart = p->nlosses / 3;
  const real *d = p->losses, *r = d + apart, *l = p->loss == p->measure.dist ? d : r + apart;
  if (p->b) TRY(backend_pull(p->b, p->losses, (size_t)p->nlosses * sizeof(real), e));
  for (int i = 0; i < p->batch; i++) {
    p->out_dist[i] = (double)d[i];
    p->out_reg[i] = p->reg ? (double)r[i] : 0;
    p->out_loss[i] = (double)l[i];
  }
  return ST_OK;
}

static Status read_losses(Projector *p, Error *e) {
  TRY(projector_pull_losses(p, e));
  for (int i = 0; i < p->batch; i++)
    if (!isfinite(p->out_loss[i]))
      return err_set(e, ST_NUMERIC,
                     "projection: lesion %d of the batch, step %d: loss is %g; check the target "
                     "for NaN, or lower the learning rate",
                     i + 1, p->step, p->out_loss[i]);
  return ST_OK;
}

static Status host_step(Projector *p, Error *e) {
  TRY(plan_run(p->plan, e));
  TRY(read_losses(p, e));
  adam_step(&p->adam, p->vars, p->grads);
  for (int k = 1; k < p->free_last; k++)
    for (int i = 0; i < p->batch; i++)
      noise_normalize(p->vars + p->seg[k].at + i * p->seg[k].n, p->seg[k].n);
  return ST_OK;
}

/* Everything of the step is under way, and the noise of the next one drawn, before the losses are
 * waited for. */
static Status device_step(Projector *p, Error *e) {
  p->ahead = true;
  TRY(plan_run(p->plan, e));
  TRY(flat_adam(p->b, &p->adam, flat_at(p->b, p->vars), flat_at(p->b, p->grads), NULL, 0, e));
  if (p->norm) TRY(plan_run(p->norm, e));
  if (p->step + 1 < p->o.num_steps) draw_w_noise(p);
  return read_losses(p, e);
}

Status projector_step(Projector *p, ProjectStep *info, Error *e) {
  if (!p->started || p->step >= p->o.num_steps)
    return err_set(e, ST_INVALID, "projection: %s; call projector_start",
                   p->started ? "all steps are done" : "no target was given");
  double lr = project_lr(&p->o, p->step), scale = p->w_std * project_w_noise(&p->o, p->step);
  put_w_noise(p, scale);
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
    const real *own = projector_noise_const(p, k - 1, e);
    if (!own) return ST_INTERNAL;
    for (int i = 0; i < p->batch; i++)
      TRY(flat_upload(p->b, flat_at(p->b, p->vars + p->seg[k].at + i * p->seg[k].n), own,
                      p->seg[k].n, e));
  }
  return ST_OK;
}

/* Leaves the plan's variables changed where optimised_noise is false. */
static Status run_without_w_noise(Projector *p, bool optimised_noise, real *img, double *lpips,
                                  Error *e) {
  const real *rendered = NULL;
  memset(plan_data(p->plan, p->w_noise), 0,
         (size_t)p->batch * (size_t)p->G->cfg.w_dim * sizeof(real));
  if (!optimised_noise) TRY(put_noise_const(p, e));
  TRY(plan_run(p->plan, e));
  if (p->b) TRY(backend_pull(p->b, p->losses, (size_t)p->nlosses * sizeof(real), e));
  TRY(plan_read(p->plan, p->img, &rendered, e));
  memcpy(img, rendered, (size_t)shape_numel(graph_shape(p->g, p->img)) * sizeof(real));
  for (int i = 0; i < p->batch && lpips; i++) lpips[i] = (double)p->losses[i];
  return ST_OK;
}

/* Why the network's own noise by default: what the maps learned is what w could not say about this
 * one image, its grain; with them the result would be closer to the noisy lesion and denoised less.
 */
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
