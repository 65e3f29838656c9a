/* api_project.c: prlx_project: latent projection of any number of images
 * (models/gan/project_run.h), and its result. */
#include <math.h>
#include <string.h>
#include "io/formats/path.h"
#include "models/api/api.h"
#include "models/gan/project_run.h"
#include "models/store/bankfile.h"

struct prlx_projection {
  int64_t done; /* images finished, of n: the first so many */
  int w_dim;
  ProjectResults *rows;
  WStats stats;
};

void prlx_projection_free(prlx_projection *r) {
  if (!r) return;
  project_results_free(r->rows);
  mem_free(r->stats.w_avg);
  mem_free(r);
}

/* Image i is one of those that are finished. */
static bool has_image(const prlx_projection *r, int64_t i) { return r && i >= 0 && i < r->done; }

int64_t prlx_projection_done(const prlx_projection *r) { return r ? r->done : 0; }
const float *prlx_projection_image(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->images + i * r->rows->per : NULL;
}

const float *prlx_projection_w(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->w + i * r->rows->w_size : NULL;
}

const float *prlx_projection_noise(const prlx_projection *r, int64_t i) {
  return has_image(r, i) && r->rows->noise_size ? r->rows->noise + i * r->rows->noise_size : NULL;
}

int prlx_projection_w_size(const prlx_projection *r) { return r ? (int)r->rows->w_size : 0; }
int64_t prlx_projection_noise_size(const prlx_projection *r) { return r ? r->rows->noise_size : 0; }
double prlx_projection_lpips(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->lpips[i] : NAN;
}

double prlx_projection_inside(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->inside[i] : NAN;
}

double prlx_projection_outside(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->outside[i] : NAN;
}

int prlx_projection_steps(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->steps[i] : 0;
}

double prlx_projection_seconds(const prlx_projection *r, int64_t i) {
  return has_image(r, i) ? r->rows->seconds[i] : NAN;
}

const float *prlx_projection_w_avg(const prlx_projection *r) { return r ? r->stats.w_avg : NULL; }
double prlx_projection_w_std(const prlx_projection *r) { return r ? r->stats.w_std : NAN; }
const double *api_lpips(const prlx_projection *r) { return r->rows->lpips; }

double prlx_projection_w_distance(const prlx_projection *r, int64_t i) {
  if (!has_image(r, i)) return NAN;
  const float *w = prlx_projection_w(r, i);
  const int64_t layers = r->rows->w_size / r->w_dim;
  double sum = 0;
  for (int64_t k = 0; k < r->rows->w_size; k++)
    sum += pow((double)w[k] - (double)r->stats.w_avg[k % r->w_dim], 2);
  return sqrt(sum / (double)layers) / r->stats.w_std;
}

/* ---- options ---- */

void prlx_project_defaults_for(prlx_solver solver, prlx_project_options *o, size_t size) {
  const bool fast = solver == PRLX_SOLVER_FAST;
  const ProjectOptions d = fast ? project_defaults_fast() : project_defaults();
  const prlx_project_options all = {.size = size,
                                    .steps = d.num_steps,
                                    .learning_rate = d.initial_lr,
                                    .w_noise = d.initial_noise_factor,
                                    .noise_weight = d.regularize_noise_weight,
                                    .w_samples = d.w_avg_samples,
                                    .seed = d.seed,
                                    .label = -1,
                                    .solver = solver,
                                    .space = (prlx_space)d.space,
                                    .beta1 = d.adam_beta1,
                                    .beta2 = d.adam_beta2,
                                    .ramp_up = d.lr_rampup,
                                    .ramp_down = d.lr_rampdown,
                                    .noise_ramp = d.noise_ramp,
                                    .pixel_steps = d.pixel_steps,
                                    .patience = d.patience,
                                    .tolerance = d.tolerance,
                                    .enough = d.enough,
                                    .start = fast ? PRLX_START_NEAREST : PRLX_START_MEAN,
                                    .starts = fast ? 8 : 1,
                                    .tune_rate = tune_defaults().lr,
                                    .bank_size = 4096};
  if (!o) return;
  memset(o, 0, size);
  memcpy(o, &all, PRLX_MIN(size, sizeof all));
}

void prlx_project_defaults(prlx_project_options *o, size_t size) {
  prlx_project_defaults_for(PRLX_SOLVER_REFERENCE, o, size);
}

static ProjectOptions inner_options(const prlx_project_options *o) {
  ProjectOptions p = project_defaults();
  p.solver = (ProjectSolver)o->solver;
  p.space = (ProjectSpace)o->space;
  p.num_steps = o->steps;
  p.initial_lr = o->learning_rate;
  p.initial_noise_factor = o->w_noise;
  p.lr_rampup = o->ramp_up;
  p.lr_rampdown = o->ramp_down;
  p.noise_ramp = o->noise_ramp;
  p.regularize_noise_weight = o->noise_weight;
  p.w_avg_samples = o->w_samples;
  p.seed = o->seed;
  p.adam_beta1 = o->beta1;
  p.adam_beta2 = o->beta2;
  p.pixel_steps = o->pixel_steps;
  p.patience = o->patience;
  p.tolerance = o->tolerance;
  p.enough = o->enough;
  p.regions = o->regions != NULL;
  p.focus = o->focus;
  p.trace = o->trace;
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
  if ((unsigned)o->start > PRLX_START_NEAREST || o->starts < 1)
    return err_set(e, ST_INVALID,
                   "projection: start %d, %d of them; expected one of prlx_start, at least 1",
                   (int)o->start, o->starts);
  if (o->tune_steps < 0 || (o->tune_steps && !(o->tune_rate > 0)))
    return err_set(e, ST_INVALID, "projection: %d steps of tuning at rate %g; expected >= 0, > 0",
                   o->tune_steps, o->tune_rate);
  return api_label(net, o->label, e);
}

/* ---- a call ---- */

typedef struct ProjectJob {
  const prlx_network *net;
  const prlx_project_options *o;
  prlx_projection *r;
  real *cond;   /* [c_dim], NULL: no classes */
  real *starts; /* NULL: the mean */
  ProjectTask task;
  prlx_project_progress tick;
} ProjectJob;

static Status job_class(ProjectJob *j, Error *e) {
  const int classes = j->net->net.G.cfg.c_dim;
  if (!classes) return ST_OK;
  j->cond = mem_alloc((size_t)classes * sizeof *j->cond);
  if (!j->cond) return err_set(e, ST_NOMEM, "projection: out of memory");
  j->cond[j->o->label] = 1;
  return ST_OK;
}

static Status job_starts(ProjectJob *j, Error *e) {
  const prlx_project_options *o = j->o;
  const Generator *G = &j->net->net.G;
  const VggChannels pick = (VggChannels)o->vgg;
  Backend *const on = api_backend(o->device);
  StartBank bank;
  if (o->start == PRLX_START_MEAN) return ST_OK;
  j->starts =
      mem_alloc((size_t)j->task.n * (size_t)o->starts * (size_t)G->cfg.w_dim * sizeof *j->starts);
  if (!j->starts) return err_set(e, ST_NOMEM, "projection: out of memory for the starts");
  j->task.starts = j->starts;
  j->task.nstarts = o->starts;
  if (o->start == PRLX_START_RANDOM)
    return start_random(G, j->cond, j->task.n, o->seed, o->starts, j->starts, e);
  TRY(start_bank_open(o->bank_file, on, G, j->cond, o->bank_size, pick, &bank, e));
  const Status s =
      start_nearest(on, &bank, &G->cfg, j->task.n, j->task.targets, pick, o->starts, j->starts, e);
  start_bank_free(&bank);
  return s;
}

static prlx_project_trace public_trace(const ProjectTrace *t) {
  prlx_project_trace p = {.step = t->step,
                          .lr = t->lr,
                          .jitter = t->jitter,
                          .lpips = t->dist,
                          .inside = t->inside,
                          .outside = t->outside,
                          .w_distance = t->w_distance,
                          .grad_w = t->grad_w,
                          .grad_noise = t->grad_noise};
  memcpy(p.tap, t->tap, sizeof p.tap);
  memcpy(p.reg, t->reg, sizeof p.reg);
  return p;
}

/* News of the inside as progress of the outside. */
static bool job_tell(void *context, const ProjectNews *news) {
  ProjectJob *j = context;
  prlx_project_progress *p = &j->tick;
  prlx_project_trace trace;
  p->image = news->lesion;
  p->step = news->step;
  p->finished = news->finished;
  p->lpips = news->dist;
  p->pixels = news->image;
  p->trace = NULL;
  if (news->trace) {
    trace = public_trace(news->trace);
    p->trace = &trace;
  }
  const PlanStats s = projector_stats(news->projector);
  p->batch = projector_batch(news->projector);
  p->bytes = projector_bytes(news->projector);
  p->activation_bytes = s.arena_bytes;
  p->weight_bytes = s.folded_bytes;
  p->flop = s.flop;
  return j->o->progress(j->o->context, p);
}

/* A network tuned to image k, into the folder of the options. */
static Status job_keep(void *context, int64_t k, const Generator *tuned, Error *e) {
  const ProjectJob *j = context;
  const Network *net = &j->net->net;
  char path[PATH_LEN];
  if (j->o->tune_names)
    TRY(path_format(path, e, "%s/%s.safetensors", j->o->tune_folder, j->o->tune_names[k]));
  else
    TRY(path_format(path, e, "%s/%06lld.safetensors", j->o->tune_folder, (long long)k));
  return network_save(path, tuned, net->meta, net->nmeta, false, e);
}

/* Both callbacks of a task have the job as context. */
static void job_tuning(ProjectJob *j) {
  const prlx_project_options *o = j->o;
  j->task.tune = tune_defaults();
  j->task.tune.steps = o->tune_steps;
  j->task.tune.lr = o->tune_rate;
  if (o->tune_folder) j->task.keep = job_keep;
}

static Status job_run(ProjectJob *j, Error *e) {
  const prlx_project_options *o = j->o;
  prlx_projection *r = j->r = mem_alloc(sizeof *j->r);
  if (!r) return err_set(e, ST_NOMEM, "projection: out of memory; free memory and try again");
  r->w_dim = j->net->net.G.cfg.w_dim;
  TRY(job_class(j, e));
  TRY(project_w_stats(j->task.G, j->cond, o->w_samples, 123, &r->stats, e));
  j->task.ws = &r->stats;
  TRY(job_starts(j, e));
  const Status s = project_run(&j->task, &r->rows, e);
  while (r->rows && r->done < j->task.n && r->rows->there[r->done]) r->done++;
  return s;
}

/* All of a call but its end: what the job and its result own is freed by the caller. */
static Status project_call(ProjectJob *j, prlx_project_options *o, const prlx_vgg *vgg,
                           const prlx_project_options *given, Error *e) {
  prlx_project_defaults(o, sizeof *o);
  if (given) TRY(api_options(o, sizeof *o, given, given->size, "prlx_project", e));
  TRY(options_check(&j->net->net, j->task.n, o, e));
  j->tick.steps = o->steps;
  j->task.G = &j->net->net.G;
  j->task.vgg = &vgg->vgg;
  j->task.options = inner_options(o);
  j->task.batch = o->batch ? o->batch : o->device ? 128 : 4;
  j->task.regions = o->regions;
  j->task.optimised = o->optimised_noise;
  j->task.frames = o->frames;
  j->task.profile = o->profile;
  j->task.tell = o->progress ? job_tell : NULL;
  j->task.context = j;
  job_tuning(j);
  return job_run(j, e);
}

prlx_status prlx_project(const prlx_network *net, const prlx_vgg *vgg, int64_t n,
                         const float *targets, const prlx_project_options *given,
                         prlx_projection **out, prlx_error *e) {
  API_NEED(net, e);
  API_NEED(vgg, e);
  API_NEED(targets, e);
  API_NEED(out, e);
  Error in;
  prlx_project_options o;
  ProjectJob j = {
      .net = net, .o = &o, .task = {.n = n, .targets = targets}, .tick = {.n = n, .image = -1}};
  const Status s = project_call(&j, &o, vgg, given, &in);
  mem_free(j.cond);
  mem_free(j.starts);
  *out = NULL;
  if (s == ST_OK || (j.r && j.r->done))
    *out = j.r;
  else
    prlx_projection_free(j.r);
  return api_return(s, &in, e);
}
