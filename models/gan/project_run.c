/* project_run.c: see project_run.h: results, and the batches of the reference solver. */
#include "models/gan/project_run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "models/gan/project_run_impl.h"

double run_seconds(void) { return os_clock(); }

bool run_tell(const ProjectTask *t, const ProjectNews *news) {
  return !t->tell || t->tell(t->context, news);
}

void project_results_free(ProjectResults *r) {
  if (!r) return;
  mem_free(r->images);
  mem_free(r->w);
  mem_free(r->noise);
  mem_free(r->lpips);
  mem_free(r->steps);
  mem_free(r->there);
  mem_free(r);
}

static Status results_new(const ProjectTask *t, ProjectResults **out, Error *e) {
  const GenConfig *c = &t->G->cfg;
  const size_t n = (size_t)t->n;
  ProjectResults *r = *out = mem_alloc(sizeof *r);
  if (!r) return err_set(e, ST_NOMEM, "projection: out of memory; free memory and try again");
  r->n = t->n;
  r->per = (int64_t)c->img_channels * c->img_resolution * c->img_resolution;
  r->w_size = (space_is_wplus(t->options.space) ? t->G->num_ws : 1) * (int64_t)c->w_dim;
  for (int k = 0; k < t->G->num_noise && space_has_noise(t->options.space); k++)
    r->noise_size += (int64_t)t->G->noise_res[k] * t->G->noise_res[k];
  r->images = mem_alloc(n * (size_t)r->per * sizeof *r->images);
  r->w = mem_alloc(n * (size_t)r->w_size * sizeof *r->w);
  r->noise = mem_alloc(n * (size_t)r->noise_size * sizeof *r->noise);
  r->lpips = mem_alloc(4 * n * sizeof *r->lpips);
  r->steps = mem_alloc(n * sizeof *r->steps);
  r->there = mem_alloc(n * sizeof *r->there);
  if (!r->images || !r->w || !r->noise || !r->lpips || !r->steps || !r->there)
    return err_set(e, ST_NOMEM,
                   "projection: out of memory for the results of %lld lesions; project fewer at a "
                   "time",
                   (long long)t->n);
  r->inside = r->lpips + n;
  r->outside = r->inside + n;
  r->seconds = r->outside + n;
  for (size_t k = 0; k < n; k++) r->inside[k] = r->outside[k] = NAN;
  return ST_OK;
}

Status run_store(const ProjectTask *t, ProjectResults *r, Projector *p, int i, int64_t k,
                 const real *image, Error *e) {
  memcpy(r->images + k * r->per, image, (size_t)r->per * sizeof *image);
  for (int part = 0; part < 2 && t->options.regions; part++) {
    const real *x = NULL;
    TRY(plan_read(p->plan, p->measure.part[part], &x, e));
    (part ? r->outside : r->inside)[k] = (double)x[i];
  }
  memcpy(r->w + k * r->w_size, p->vars + i * p->seg[0].n, (size_t)r->w_size * sizeof(real));
  real *map = r->noise + k * r->noise_size;
  for (int q = 1; q < p->nseg && r->noise_size; map += p->seg[q++].n)
    memcpy(map, p->vars + p->seg[q].at + i * p->seg[q].n, (size_t)p->seg[q].n * sizeof(real));
  return ST_OK;
}

static Status tune_lesion(const ProjectTask *t, ProjectResults *r, int64_t k, Error *e) {
  const int64_t wd = t->G->cfg.w_dim, res = t->G->cfg.img_resolution;
  const size_t size = (size_t)t->G->num_ws * (size_t)wd;
  double distance[3];
  Generator tuned = {0};
  real *ws = mem_alloc(size * sizeof *ws);
  if (!ws) return err_set(e, ST_NOMEM, "tuning: out of memory");
  for (size_t i = 0; i < size; i++) ws[i] = r->w[k * r->w_size + (int64_t)i % r->w_size];
  Status s = project_tune(t->G, t->vgg, &t->options, &t->tune, t->targets + k * r->per, ws,
                          t->optimised ? r->noise + k * r->noise_size : NULL,
                          t->options.regions ? t->regions + k * res * res : NULL,
                          r->images + k * r->per, distance, t->keep ? &tuned : NULL, e);
  mem_free(ws);
  if (s != ST_OK) return s;
  r->lpips[k] = distance[0];
  r->inside[k] = distance[1];
  r->outside[k] = distance[2];
  if (t->keep) s = t->keep(t->context, k, &tuned, e);
  generator_free(&tuned);
  return s;
}

Status run_finish(const ProjectTask *t, ProjectResults *r, const Projector *p, int64_t k,
                  bool *stop, Error *e) {
  const double t0 = run_seconds();
  if (t->tune.steps && !*stop) TRY(tune_lesion(t, r, k, e));
  r->seconds[k] += run_seconds() - t0;
  r->there[k] = true;
  const ProjectNews news = {.projector = p,
                            .lesion = k,
                            .step = r->steps[k],
                            .finished = true,
                            .dist = r->lpips[k],
                            .image = r->images + k * r->per};
  if (!run_tell(t, &news)) *stop = true;
  return ST_OK;
}

/* ---- the reference solver: batches ---- */

typedef struct BatchRun {
  const ProjectTask *t;
  ProjectResults *r;
  Projector *p;
  real *image;         /* [batch,per] */
  real *start;         /* [batch,w_dim] */
  uint64_t *ids;       /* [batch] */
  ProjectTrace *trace; /* [batch] */
  bool stopped;
} BatchRun;

static Status batch_projector(BatchRun *b, int count, Error *e) {
  const ProjectTask *t = b->t;
  if (b->p && projector_batch(b->p) == count) return ST_OK;
  projector_free(b->p);
  b->p = NULL;
  TRY(projector_new(t->G, t->vgg, t->ws, &t->options, count, &b->p, e));
  b->stopped = !run_tell(t, &(ProjectNews){.projector = b->p, .lesion = -1});
  return ST_OK;
}

static Status batch_start(BatchRun *b, int64_t first, int count, Error *e) {
  const ProjectTask *t = b->t;
  const int64_t wd = t->G->cfg.w_dim, res = t->G->cfg.img_resolution;
  for (int i = 0; i < count; i++) b->ids[i] = t->ids ? t->ids[first + i] : 0;
  TRY(projector_start(b->p, t->targets + first * b->r->per, b->ids, e));
  for (int i = 0; i < count && t->starts; i++)
    memcpy(b->start + i * wd, t->starts + (first + i) * t->nstarts * wd, (size_t)wd * sizeof(real));
  if (t->starts) TRY(projector_start_at(b->p, b->start, e));
  return t->options.regions ? projector_regions(b->p, t->regions + first * res * res, e) : ST_OK;
}

static Status batch_step(BatchRun *b, int64_t first, int count, Error *e) {
  const ProjectTask *t = b->t;
  ProjectStep s;
  const int k = projector_steps_done(b->p);
  const bool frame = t->frames && k % t->frames == 0;
  if (t->profile && k == t->options.num_steps - 1) projector_profile(b->p, true);
  TRY(projector_step(b->p, &s, e));
  for (int i = 0; i < count && t->options.trace; i++)
    TRY(projector_trace(b->p, i, &b->trace[i], e));
  if (frame) TRY(projector_render(b->p, t->optimised, b->image, NULL, e));
  for (int i = 0; i < count; i++) {
    const ProjectNews news = {.projector = b->p,
                              .lesion = first + i,
                              .step = k + 1,
                              .dist = s.dist[i],
                              .image = frame ? b->image + i * b->r->per : NULL,
                              .trace = t->options.trace ? &b->trace[i] : NULL};
    if (!run_tell(t, &news)) b->stopped = true;
  }
  return ST_OK;
}

static Status batch_finish(BatchRun *b, int64_t first, int count, double seconds, Error *e) {
  const ProjectTask *t = b->t;
  ProjectResults *r = b->r;
  const int steps = projector_steps_done(b->p);
  if (t->profile) projector_report(b->p, t->profile);
  TRY(projector_render(b->p, t->optimised, b->image, r->lpips + first, e));
  TRY(projector_fetch(b->p, e));
  for (int i = 0; i < count; i++) {
    TRY(run_store(t, r, b->p, i, first + i, b->image + i * r->per, e));
    r->steps[first + i] = steps;
    r->seconds[first + i] = seconds / count;
    TRY(run_finish(t, r, b->p, first + i, &b->stopped, e));
  }
  return ST_OK;
}

static Status run_batch(BatchRun *b, int64_t first, int count, Error *e) {
  TRY(batch_projector(b, count, e));
  TRY(batch_start(b, first, count, e));
  const double t0 = run_seconds();
  while (projector_steps_done(b->p) < b->t->options.num_steps && !b->stopped)
    TRY(batch_step(b, first, count, e));
  if (!projector_steps_done(b->p)) return ST_OK;
  return batch_finish(b, first, count, run_seconds() - t0, e);
}

static Status run_batches(const ProjectTask *t, ProjectResults *r, Error *e) {
  const int64_t batch = PRLX_MIN((int64_t)t->batch, t->n);
  BatchRun b = {.t = t, .r = r};
  b.image = mem_alloc((size_t)(batch * r->per) * sizeof *b.image);
  b.start = mem_alloc((size_t)(batch * t->G->cfg.w_dim) * sizeof *b.start);
  b.ids = mem_alloc((size_t)batch * sizeof *b.ids);
  b.trace = mem_alloc((size_t)batch * sizeof *b.trace);
  Status s = b.image && b.start && b.ids && b.trace
                 ? ST_OK
                 : err_set(e, ST_NOMEM, "projection: out of memory for a batch of %lld; lower it",
                           (long long)batch);
  for (int64_t k = 0; k < t->n && s == ST_OK && !b.stopped; k += batch)
    s = run_batch(&b, k, (int)PRLX_MIN(batch, t->n - k), e);
  if (s == ST_OK && b.stopped && projector_steps_done(b.p) < t->options.num_steps)
    s = err_set(e, ST_INTERRUPTED, "projection: stopped");
  projector_free(b.p);
  mem_free(b.image);
  mem_free(b.start);
  mem_free(b.ids);
  mem_free(b.trace);
  return s;
}

static Status check_task(const ProjectTask *t, Error *e) {
  TRY(project_options_check(&t->options, e));
  if (t->n < 1 || t->batch < 1 || t->frames < 0 || (t->starts && t->nstarts < 1))
    return err_set(e, ST_INVALID,
                   "projection: %lld lesions, batch %d, frames %d, %d starts; expected at least 1, "
                   "1, 0, 1",
                   (long long)t->n, t->batch, t->frames, t->nstarts);
  if (t->options.regions && !t->regions)
    return err_set(e, ST_INVALID, "projection: options.regions is set and no regions were given");
  return ST_OK;
}

Status project_run(const ProjectTask *t, ProjectResults **out, Error *e) {
  *out = NULL;
  TRY(check_task(t, e));
  Status s = results_new(t, out, e);
  if (s != ST_OK) {
    project_results_free(*out);
    *out = NULL;
    return s;
  }
  Error why = {0};
  s = (t->options.solver == PROJECT_FAST ? run_fast : run_batches)(t, *out, &why);
  int64_t done = 0;
  for (int64_t k = 0; k < t->n; k++) done += (*out)->there[k];
  if (s != ST_OK)
    return done ? err_set(e, s, "%.900s (%lld of %lld lesions are done)", why.msg, (long long)done,
                          (long long)t->n)
                : err_set(e, s, "%s", why.msg);
  return done == t->n
             ? ST_OK
             : err_set(e, ST_INTERRUPTED, "projection: stopped; %lld of %lld lesions are there",
                       (long long)done, (long long)t->n);
}
