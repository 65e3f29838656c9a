/* api_project.c: prlx_project: latent projection of any number of images in batches
 * (models/gan/projector.c), and its result. */
#include <string.h>
#include "models/api/api.h"

struct prlx_projection {
  int64_t done; /* images finished, of n */
  int64_t n;
  int64_t per; /* values of an image */
  int w_dim;
  float *images; /* [n,per] */
  float *w;      /* [n,w_dim] */
  double *lpips; /* [n] */
  int *steps;    /* [n] */
  WStats stats;
};

void prlx_projection_free(prlx_projection *r) {
  if (!r) return;
  mem_free(r->images);
  mem_free(r->w);
  mem_free(r->lpips);
  mem_free(r->steps);
  mem_free(r->stats.w_avg);
  mem_free(r);
}

int64_t prlx_projection_done(const prlx_projection *r) { return r->done; }
const float *prlx_projection_image(const prlx_projection *r, int64_t i) {
  return r->images + i * r->per;
}

const float *prlx_projection_w(const prlx_projection *r, int64_t i) { return r->w + i * r->w_dim; }
double prlx_projection_lpips(const prlx_projection *r, int64_t i) { return r->lpips[i]; }
int prlx_projection_steps(const prlx_projection *r, int64_t i) { return r->steps[i]; }
const float *prlx_projection_w_avg(const prlx_projection *r) { return r->stats.w_avg; }
double prlx_projection_w_std(const prlx_projection *r) { return r->stats.w_std; }
const double *api_lpips(const prlx_projection *r) { return r->lpips; }

void prlx_project_defaults(prlx_project_options *o, size_t size) {
  const ProjectOptions d = project_defaults();
  const prlx_project_options all = {.size = size,
                                    .steps = d.num_steps,
                                    .learning_rate = d.initial_lr,
                                    .w_noise = d.initial_noise_factor,
                                    .noise_weight = d.regularize_noise_weight,
                                    .w_samples = d.w_avg_samples,
                                    .seed = d.seed,
                                    .label = -1};
  memset(o, 0, size);
  memcpy(o, &all, PRLX_MIN(size, sizeof all));
}

/* One call of prlx_project. */
typedef struct ProjectJob {
  const Generator *G;
  const Vgg *vgg;
  const prlx_project_options *o;
  ProjectOptions inner;
  const float *targets;
  prlx_projection *r;
  Projector *p;
  prlx_project_progress tick;
  real *frame;  /* [batch,per] */
  uint64_t *id; /* [batch] zero: every image has the same stream, as if it were alone */
  bool stopped;
} ProjectJob;

static ProjectOptions inner_options(const prlx_project_options *o) {
  ProjectOptions p = project_defaults();
  p.num_steps = o->steps;
  p.initial_lr = o->learning_rate;
  p.initial_noise_factor = o->w_noise;
  p.regularize_noise_weight = o->noise_weight;
  p.w_avg_samples = o->w_samples;
  p.seed = o->seed;
  p.max_bytes = o->max_bytes;
  p.vgg_channels = (VggChannels)o->vgg;
  p.backend = api_backend(o->device);
  return p;
}

static Status options_check(const Network *net, int64_t n, const prlx_project_options *o,
                            Error *e) {
  if (n < 1 || o->batch < 0 || o->frames < 0 || o->w_samples < 1)
    return err_set(e, ST_INVALID,
                   "projection: %lld images, batch %d, frames %d, %d samples of w; expected at "
                   "least 1 image and 1 sample, and nothing negative",
                   (long long)n, o->batch, o->frames, o->w_samples);
  if ((unsigned)o->vgg > PRLX_VGG_MEAN)
    return err_set(e, ST_INVALID, "projection: vgg %d; expected one of prlx_vgg_channels",
                   (int)o->vgg);
  return api_label(net, o->label, e);
}

static Status result_new(prlx_projection **out, const Generator *G, int64_t n, Error *e) {
  const int64_t side = G->cfg.img_resolution;
  prlx_projection *r = *out = mem_alloc(sizeof *r);
  if (!r) return err_set(e, ST_NOMEM, "projection: out of memory; free memory and try again");
  r->n = n;
  r->per = G->cfg.img_channels * side * side;
  r->w_dim = G->cfg.w_dim;
  r->images = mem_alloc((size_t)(n * r->per) * sizeof *r->images);
  r->w = mem_alloc((size_t)n * (size_t)r->w_dim * sizeof *r->w);
  r->lpips = mem_alloc((size_t)n * sizeof *r->lpips);
  r->steps = mem_alloc((size_t)n * sizeof *r->steps);
  if (!r->images || !r->w || !r->lpips || !r->steps)
    return err_set(e, ST_NOMEM,
                   "projection: out of memory for the results of %lld lesions; project fewer at a "
                   "time",
                   (long long)n);
  return ST_OK;
}

/* Where all projections start: mean and deviation of W, of the class if there are classes. */
static Status job_statistics(ProjectJob *j, Error *e) {
  const int classes = j->G->cfg.c_dim;
  real *cond = NULL;
  if (classes) {
    cond = mem_alloc((size_t)classes * sizeof *cond);
    if (!cond) return err_set(e, ST_NOMEM, "projection: out of memory");
    cond[j->o->label] = 1;
  }
  Status s = project_w_stats(j->G, cond, j->o->w_samples, 123, &j->r->stats, e);
  mem_free(cond);
  return s;
}

static Status job_projector(ProjectJob *j, int batch, Error *e) {
  if (j->p && projector_batch(j->p) == batch) return ST_OK;
  projector_free(j->p);
  j->p = NULL;
  TRY(projector_new(j->G, j->vgg, &j->r->stats, &j->inner, batch, &j->p, e));
  const PlanStats s = projector_stats(j->p);
  j->tick.bytes = projector_bytes(j->p);
  j->tick.activation_bytes = s.arena_bytes;
  j->tick.weight_bytes = s.folded_bytes;
  j->tick.flop = s.flop;
  return ST_OK;
}

/* Tells the caller; `images` as they are, NULL when not asked for. */
static void job_tick(ProjectJob *j, int step, const double *lpips, const float *images) {
  j->tick.step = step;
  j->tick.lpips = lpips;
  j->tick.images = images;
  if (j->o->progress && !j->o->progress(j->o->context, &j->tick)) j->stopped = true;
}

/* One step; every frames-th comes with its images. */
static Status job_step(ProjectJob *j, int k, Error *e) {
  ProjectStep info;
  const bool frame = j->o->frames && k % j->o->frames == 0;
  if (j->o->profile && k == j->o->steps - 1) projector_profile(j->p, true);
  TRY(projector_step(j->p, &info, e));
  if (frame) TRY(projector_render(j->p, false, j->frame, NULL, e));
  job_tick(j, k + 1, info.dist, frame ? j->frame : NULL);
  return ST_OK;
}

/* Final images and distances of the batch. */
static Status job_finish(ProjectJob *j, Error *e) {
  prlx_projection *r = j->r;
  const int64_t first = j->tick.first;
  const int count = j->tick.count, steps = projector_steps_done(j->p);
  if (j->o->profile) projector_report(j->p, j->o->profile);
  TRY(projector_render(j->p, false, r->images + first * r->per, r->lpips + first, e));
  TRY(projector_fetch(j->p, e));
  memcpy(r->w + first * r->w_dim, projector_w(j->p), (size_t)(count * r->w_dim) * sizeof *r->w);
  for (int i = 0; i < count; i++) r->steps[first + i] = steps;
  r->done = first + count;
  j->tick.finished = true;
  job_tick(j, steps, r->lpips + first, r->images + first * r->per);
  return ST_OK;
}

static Status job_batch(ProjectJob *j, int64_t first, int count, Error *e) {
  TRY(job_projector(j, count, e));
  TRY(projector_start(j->p, j->targets + first * j->r->per, j->id, e));
  j->tick.first = first;
  j->tick.count = count;
  j->tick.finished = false;
  job_tick(j, 0, NULL, NULL);
  for (int k = 0; k < j->o->steps && !j->stopped; k++) TRY(job_step(j, k, e));
  return projector_steps_done(j->p) ? job_finish(j, e) : ST_OK;
}

static Status job_run(ProjectJob *j, int batch, Error *e) {
  const int64_t n = j->r->n;
  j->frame = mem_alloc((size_t)(batch * j->r->per) * sizeof *j->frame);
  j->id = mem_alloc((size_t)batch * sizeof *j->id);
  if (!j->frame || !j->id)
    return err_set(e, ST_NOMEM, "projection: out of memory for a batch of %d; lower the batch",
                   batch);
  TRY(job_statistics(j, e));
  for (int64_t k = 0; k < n && !j->stopped; k += batch) {
    Error why;
    const Status s = job_batch(j, k, (int)PRLX_MIN((int64_t)batch, n - k), &why);
    if (s != ST_OK && k)
      return err_set(e, s, "%.900s (lesions from number %lld on are not done)", why.msg,
                     (long long)k + 1);
    if (s != ST_OK) return err_set(e, s, "%s", why.msg);
  }
  if (j->r->done == n && (!j->stopped || j->r->steps[n - 1] == j->o->steps)) return ST_OK;
  return err_set(e, ST_INTERRUPTED, "projection: stopped; %lld of %lld lesions are there",
                 (long long)j->r->done, (long long)n);
}

/* All of a call but its end: what the job and its result own is freed by the caller. */
static Status project_call(ProjectJob *j, prlx_project_options *o, const prlx_network *net,
                           const prlx_project_options *given, Error *e) {
  const int64_t n = j->tick.n;
  prlx_project_defaults(o, sizeof *o);
  if (given) TRY(api_options(o, sizeof *o, given, given->size, "prlx_project", e));
  TRY(options_check(&net->net, n, o, e));
  TRY(result_new(&j->r, j->G, n, e));
  j->inner = inner_options(o);
  j->tick.steps = o->steps;
  j->tick.result = j->r;
  return job_run(j, (int)PRLX_MIN(n, (int64_t)(o->batch ? o->batch : o->device ? 128 : 4)), e);
}

prlx_status prlx_project(const prlx_network *net, const prlx_vgg *vgg, int64_t n,
                         const float *targets, const prlx_project_options *given,
                         prlx_projection **out, prlx_error *e) {
  Error in;
  prlx_project_options o;
  ProjectJob j = {
      .G = &net->net.G, .vgg = &vgg->vgg, .o = &o, .targets = targets, .tick = {.n = n}};
  const Status s = project_call(&j, &o, net, given, &in);
  projector_free(j.p);
  mem_free(j.frame);
  mem_free(j.id);
  *out = NULL;
  if (s == ST_OK || (j.r && j.r->done))
    *out = j.r;
  else
    prlx_projection_free(j.r);
  return api_return(s, &in, e);
}
