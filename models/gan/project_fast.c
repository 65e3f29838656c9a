/* project_fast.c: the fast solver: a queue of lesions over the places of one projector. Each place
 * evaluates the loss of Eq. 1 at a point that its own L-BFGS asks for; all state is per lesion, in
 * double, on the host, so that neither the batch nor the neighbours matter. */
#include <math.h>
#include <string.h>
#include "models/gan/project_pixel.h"
#include "models/gan/project_run_impl.h"
#include "models/math/lbfgs.h"

/* Steps that L-BFGS remembers; length of its first one from the pixel search's w, in units of w */
enum { FAST_MEMORY = 20 };
#define FAST_FIRST_STEP 0.1

/* What the next evaluation of a place is for. */
typedef enum { PLACE_EMPTY, PLACE_CHOOSE, PLACE_SEARCH, PLACE_RENDER } PlaceTask;
typedef struct Place {
  PlaceTask task;
  int64_t lesion;
  int candidate;   /* start under trial */
  int chosen;      /* the best one */
  int evaluations; /* so far */
  double loss;     /* of the best start */
  double seconds;
  double *point;    /* [nx] the start under trial */
  double *start;    /* [nx] best start and its gradient */
  double *gradient; /* [nx] */
  double *past;     /* [num_steps + nstarts + 1] best loss after so many evaluations */
  Lbfgs *walk;
} Place;

typedef struct FastRun {
  const ProjectTask *t;
  ProjectResults *r;
  Projector *p;
  PixelSearch *pixel;
  int64_t nx;    /* variables of a lesion */
  int batch;     /* places */
  int active;    /* places in use */
  Place *place;  /* [batch] */
  double *block; /* of all places */
  /* lesions first .. first + count - 1 are prepared: starts [nstarts,batch,w_dim] and the features
   * of their targets per tap; next is the first that has no place yet */
  int64_t first;
  int64_t count;
  int64_t next;
  double *starts;
  real *feature[VGG_TAPS];
  double prepared; /* seconds that it took, per lesion */
  double *slope;   /* [nx] scratch */
  int rounds;
  bool stopped;
  bool cut; /* a search was stopped */
} FastRun;

static int starts_given(const ProjectTask *t) { return t->starts ? t->nstarts : 1; }
static bool searches_pixels(const ProjectTask *t) {
  return t->options.pixel_steps && space_has_w(t->options.space);
}
/* How many VGG compares: of many starts those that the pixels leave. */
static int starts_each(const ProjectTask *t) {
  const int given = starts_given(t);
  return searches_pixels(t) ? PRLX_MIN(given, PIXEL_FINALISTS) : given;
}
static int64_t tap_numel(const FastRun *f, int k) {
  const int64_t res = f->t->G->cfg.img_resolution, side = PRLX_MIN(res, 256);
  return shape_numel(lpips_feature_shape(1, side, side, k));
}

static void fast_free(FastRun *f) {
  projector_free(f->p);
  pixel_search_free(f->pixel);
  for (int i = 0; i < f->batch && f->place; i++) lbfgs_free(f->place[i].walk);
  mem_free(f->place);
  mem_free(f->block);
  mem_free(f->starts);
  for (int k = 0; k < VGG_TAPS; k++) mem_free(f->feature[k]);
  mem_free(f->slope);
}

static Status fast_new(FastRun *f, Error *e) {
  const ProjectTask *t = f->t;
  const int batch = f->batch;
  const int64_t wd = t->G->cfg.w_dim;
  f->nx = space_has_w(t->options.space) ? f->r->w_size : 0;
  f->nx += f->r->noise_size;
  const int64_t each = 3 * f->nx + t->options.num_steps + starts_each(t) + 1;
  f->place = mem_alloc((size_t)batch * sizeof *f->place);
  f->block = mem_alloc((size_t)(batch * each) * sizeof *f->block);
  f->starts = mem_alloc((size_t)(batch * starts_given(t) * wd) * sizeof *f->starts);
  f->slope = mem_alloc((size_t)f->nx * sizeof *f->slope);
  bool ok = f->place && f->block && f->starts && f->slope;
  for (int k = 0; k < VGG_TAPS; k++)
    ok &= (f->feature[k] = mem_alloc((size_t)(batch * tap_numel(f, k)) * sizeof(real))) != NULL;
  if (!ok)
    return err_set(e, ST_NOMEM,
                   "projection: out of memory for %d lesions at a time; lower the batch", batch);
  for (int i = 0; i < batch; i++) {
    Place *q = &f->place[i];
    q->point = f->block + i * each;
    q->start = q->point + f->nx;
    q->gradient = q->start + f->nx;
    q->past = q->gradient + f->nx;
    TRY(lbfgs_new(f->nx, FAST_MEMORY, &q->walk, e));
  }
  return ST_OK;
}

/* ---- variables of a lesion: w, then the maps before their normalisation ---- */

/* Values of a map with zero mean and unit mean square; *spread: what they were divided by. */
static void map_normal(const double *u, int64_t n, real *out, double *spread) {
  double mean = 0, sq = 0;
  for (int64_t i = 0; i < n; i++) mean += u[i];
  mean /= (double)n;
  for (int64_t i = 0; i < n; i++) sq += (u[i] - mean) * (u[i] - mean);
  *spread = sqrt(sq / (double)n);
  for (int64_t i = 0; i < n; i++) out[i] = *spread > 0 ? (real)((u[i] - mean) / *spread) : 0;
}

/* Gradient with respect to u from the one with respect to the normalised map. */
static void map_slope(const real *map, const real *grad, int64_t n, double spread, double *out) {
  double mean = 0, along = 0;
  for (int64_t i = 0; i < n; i++) {
    mean += (double)grad[i] / (double)n;
    along += (double)grad[i] * (double)map[i] / (double)n;
  }
  for (int64_t i = 0; i < n; i++)
    out[i] = spread > 0 ? ((double)grad[i] - mean - (double)map[i] * along) / spread : 0;
}

/* x [nx] into the variables of place i. */
static void place_variables(FastRun *f, int i, const double *x) {
  Projector *p = f->p;
  for (int k = p->free_first; k < p->free_last; k++) {
    const int64_t n = p->seg[k].n;
    real *v = p->vars + p->seg[k].at + i * n;
    double spread;
    if (k)
      map_normal(x, n, v, &spread);
    else
      for (int64_t j = 0; j < n; j++) v[j] = (real)x[j];
    x += n;
  }
}

/* The gradient of place i at x, in the variables of x. */
static void place_slope(FastRun *f, int i, const double *x, double *out) {
  Projector *p = f->p;
  for (int k = p->free_first; k < p->free_last; k++) {
    const int64_t n = p->seg[k].n, at = p->seg[k].at + i * n;
    if (k) {
      double mean = 0, sq = 0;
      for (int64_t j = 0; j < n; j++) mean += x[j] / (double)n;
      for (int64_t j = 0; j < n; j++) sq += (x[j] - mean) * (x[j] - mean);
      map_slope(p->vars + at, p->grads + at, n, sqrt(sq / (double)n), out);
    } else
      for (int64_t j = 0; j < n; j++) out[j] = (double)p->grads[at + j];
    x += n;
    out += n;
  }
}

/* What is not searched: the network's own maps, or w at start `which`. */
static Status place_held(FastRun *f, int i, int which, Error *e) {
  const int64_t wd = f->t->G->cfg.w_dim;
  const int64_t at = which * (int64_t)f->batch + f->place[i].lesion - f->first;
  Projector *p = f->p;
  for (int k = 0; k < p->nseg; k++) {
    real *v = p->vars + p->seg[k].at + i * p->seg[k].n;
    if (k >= p->free_first && k < p->free_last) continue;
    if (!k) {
      for (int64_t j = 0; j < p->seg[0].n; j++) v[j] = (real)f->starts[at * wd + j % wd];
      continue;
    }
    const real *own = projector_noise_const(p, k - 1, e);
    if (!own) return ST_INTERNAL;
    memcpy(v, own, (size_t)p->seg[k].n * sizeof *v);
  }
  return ST_OK;
}

/* Start `which` as point: w for every layer, the maps as the network has them. */
static Status place_candidate(FastRun *f, int i, int which, Error *e) {
  const int64_t wd = f->t->G->cfg.w_dim;
  const int64_t at = which * (int64_t)f->batch + f->place[i].lesion - f->first;
  const Projector *p = f->p;
  double *x = f->place[i].point;
  for (int k = p->free_first; k < p->free_last; k++) {
    const real *own = k ? projector_noise_const(p, k - 1, e) : NULL;
    if (k && !own) return ST_INTERNAL;
    for (int64_t j = 0; j < p->seg[k].n; j++)
      *x++ = own ? (double)own[j] : f->starts[at * wd + j % wd];
  }
  return ST_OK;
}

/* ---- the queue ---- */

static Status fast_projector(FastRun *f, int batch, Error *e) {
  const ProjectTask *t = f->t;
  TRY(projector_new(t->G, t->vgg, t->ws, &t->options, batch, &f->p, e));
  memset(plan_data(f->p->plan, f->p->w_noise), 0,
         (size_t)batch * (size_t)t->G->cfg.w_dim * sizeof(real));
  return ST_OK;
}

/* Pixel search from every start, and the targets' features, of the next lesions. */
static Status prepare_lesions(FastRun *f, Error *e) {
  const ProjectTask *t = f->t;
  const int64_t wd = t->G->cfg.w_dim, res = t->G->cfg.img_resolution, c = t->G->cfg.img_channels;
  const int ns = starts_given(t);
  const double t0 = run_seconds();
  const int64_t first = f->first = f->next;
  f->count = PRLX_MIN((int64_t)f->batch, t->n - first);
  const real *targets = t->targets + first * f->r->per;
  TRY(lpips_image_features_on(t->options.backend, t->vgg, SHAPE4(f->count, c, res, res), targets,
                              t->options.vgg_channels, f->feature, e));
  if (searches_pixels(t) && !f->pixel)
    TRY(pixel_search_new(t->G, &t->options, f->batch, &f->pixel, e));
  for (int s = 0; s < ns; s++) {
    double *w = f->starts + (int64_t)s * f->batch * wd;
    for (int64_t i = 0; i < f->count * wd; i++)
      w[i] = t->starts ? (double)t->starts[((first + i / wd) * ns + s) * wd + i % wd]
                       : (double)t->ws->w_avg[i % wd];
  }
  if (searches_pixels(t))
    TRY(pixel_search_starts(f->pixel, (int)f->count, ns, f->batch, targets,
                            t->regions ? t->regions + first * res * res : NULL, f->starts, e));
  f->prepared = (run_seconds() - t0) / (double)f->count;
  return ST_OK;
}

/* Gives the next lesion place i. */
static Status place_begin(FastRun *f, int i, Error *e) {
  if (f->next >= f->first + f->count) TRY(prepare_lesions(f, e));
  const int64_t res = f->t->G->cfg.img_resolution, at = f->next - f->first;
  Place *q = &f->place[i];
  q->task = PLACE_CHOOSE;
  q->lesion = f->next++;
  q->candidate = q->chosen = q->evaluations = 0;
  q->loss = HUGE_VAL;
  q->seconds = f->prepared;
  for (int k = 0; k < VGG_TAPS; k++) {
    const int64_t n = tap_numel(f, k);
    memcpy(plan_data(f->p->plan, f->p->measure.target[k]) + i * n, f->feature[k] + at * n,
           (size_t)n * sizeof(real));
  }
  if (f->t->options.regions)
    measure_put_region(f->p->plan, &f->p->measure, (int)res, i,
                       f->t->regions + q->lesion * res * res);
  TRY(place_held(f, i, 0, e));
  return place_candidate(f, i, 0, e);
}

/* Inputs of place `from` of the old projector to place `to` of the new one. */
static void move_inputs(Projector *old, int from, Projector *now, int to) {
  const int parts = old->o.regions ? 3 : 1;
  for (int k = 0; k < VGG_TAPS; k++)
    for (int part = 0; part < parts; part++) {
      const Val a = part ? old->measure.region[part - 1][k] : old->measure.target[k];
      const Val b = part ? now->measure.region[part - 1][k] : now->measure.target[k];
      const int64_t n = shape_numel(graph_shape(old->g, a)) / old->batch;
      memcpy(plan_data(now->plan, b) + to * n, plan_data(old->plan, a) + from * n,
             (size_t)n * sizeof(real));
    }
  for (int k = 0; k < old->nseg; k++) {
    const int64_t n = old->seg[k].n;
    memcpy(now->vars + now->seg[k].at + to * n, old->vars + old->seg[k].at + from * n,
           (size_t)n * sizeof(real));
  }
}

/* No lesion waits and half of the places are empty: a smaller batch costs less per round. */
static Status shrink_batch(FastRun *f, Error *e) {
  Projector *old = f->p;
  if (f->next < f->t->n || f->active > old->batch / 2) return ST_OK;
  f->p = NULL;
  Status s = fast_projector(f, f->active, e);
  for (int i = 0, to = 0; i < old->batch && s == ST_OK; i++) {
    if (f->place[i].task == PLACE_EMPTY) continue;
    move_inputs(old, i, f->p, to);
    const Place empty = f->place[to];
    f->place[to] = f->place[i];
    if (to != i) f->place[i] = empty;
    to++;
  }
  projector_free(old);
  return s;
}

/* ---- one round ---- */

/* Puts the point of every place where it is evaluated. */
static Status set_points(FastRun *f, Error *e) {
  for (int i = 0; i < f->p->batch; i++) {
    Place *q = &f->place[i];
    if (q->task == PLACE_CHOOSE) place_variables(f, i, q->point);
    if (q->task == PLACE_SEARCH) place_variables(f, i, lbfgs_point(q->walk));
    if (q->task != PLACE_RENDER) continue;
    place_variables(f, i, lbfgs_best(q->walk));
    for (int k = 1; k < f->p->nseg && !f->t->optimised; k++) {
      const real *own = projector_noise_const(f->p, k - 1, e);
      if (!own) return ST_INTERNAL;
      const int64_t n = f->p->seg[k].n;
      memcpy(f->p->vars + f->p->seg[k].at + i * n, own, (size_t)n * sizeof *own);
    }
  }
  return ST_OK;
}

static Status evaluate_points(FastRun *f, Error *e) {
  Projector *p = f->p;
  TRY(set_points(f, e));
  TRY(projector_push(p, e));
  p->ahead = p->b != NULL;
  if (f->t->profile && f->rounds == 2) projector_profile(p, true);
  TRY(plan_run(p->plan, e));
  TRY(projector_fetch(p, e));
  f->rounds++;
  return projector_pull_losses(p, e);
}

/* The best start is known: the search goes on from it with the value and gradient it has. */
static Status begin_search(FastRun *f, int i, Error *e) {
  Place *q = &f->place[i];
  TRY(place_held(f, i, q->chosen, e));
  lbfgs_start(q->walk, q->start, FAST_FIRST_STEP);
  q->past[q->evaluations] = q->loss;
  const bool going = lbfgs_tell(q->walk, q->loss, q->gradient) && q->loss > f->t->options.enough;
  q->task = going ? PLACE_SEARCH : PLACE_RENDER;
  return ST_OK;
}

static Status after_choose(FastRun *f, int i, double loss, Error *e) {
  Place *q = &f->place[i];
  if (!isfinite(loss))
    return err_set(e, ST_NUMERIC,
                   "projection: lesion number %lld: the distance to the target is %g; check the "
                   "target for NaN",
                   (long long)q->lesion + 1, loss);
  if (loss < q->loss) {
    q->loss = loss;
    q->chosen = q->candidate;
    memcpy(q->start, q->point, (size_t)f->nx * sizeof *q->start);
    place_slope(f, i, q->point, q->gradient);
  }
  if (++q->candidate == starts_each(f->t)) return begin_search(f, i, e);
  TRY(place_held(f, i, q->candidate, e));
  return place_candidate(f, i, q->candidate, e);
}

static void after_search(FastRun *f, int i, double loss) {
  const ProjectOptions *o = &f->t->options;
  Place *q = &f->place[i];
  place_slope(f, i, lbfgs_point(q->walk), f->slope);
  const bool going = lbfgs_tell(q->walk, loss, f->slope);
  const double best = q->past[q->evaluations] = lbfgs_value(q->walk);
  const int since = q->evaluations - o->patience;
  const bool still =
      since >= starts_each(f->t) && q->past[since] - best < o->tolerance * q->past[since];
  if (!going || still || best <= o->enough || q->evaluations >= o->num_steps)
    q->task = PLACE_RENDER;
}

/* The image is there: store it and empty the place. */
static Status after_render(FastRun *f, int i, double dist, Error *e) {
  const int64_t k = f->place[i].lesion;
  ProjectResults *r = f->r;
  const real *image = NULL;
  TRY(plan_read(f->p->plan, f->p->img, &image, e));
  place_variables(f, i, lbfgs_best(f->place[i].walk));
  TRY(run_store(f->t, r, f->p, i, k, image + i * r->per, e));
  r->lpips[k] = dist;
  r->steps[k] = f->place[i].evaluations;
  r->seconds[k] = f->place[i].seconds;
  f->place[i].task = PLACE_EMPTY;
  f->active--;
  return run_finish(f->t, r, f->p, k, &f->stopped, e);
}

static Status tell_step(FastRun *f, int i, Error *e) {
  const ProjectTask *t = f->t;
  Place *q = &f->place[i];
  const real *image = NULL;
  ProjectTrace trace = {.step = q->evaluations};
  ProjectNews news = {
      .projector = f->p, .lesion = q->lesion, .step = ++q->evaluations, .dist = f->p->out_dist[i]};
  if (t->frames && (q->evaluations - 1) % t->frames == 0) {
    TRY(plan_read(f->p->plan, f->p->img, &image, e));
    news.image = image + i * f->r->per;
  }
  if (t->options.trace) {
    TRY(projector_trace_parts(f->p, i, &trace, e));
    trace.w_distance = projector_w_distance(f->p, f->p->vars + i * f->p->seg[0].n);
    news.trace = &trace;
  }
  if (!run_tell(t, &news)) f->stopped = true;
  return ST_OK;
}

/* After a stop each place renders the best it has. */
static Status wind_up(FastRun *f, Error *e) {
  for (int i = 0; i < f->p->batch; i++) {
    Place *q = &f->place[i];
    if (q->task == PLACE_CHOOSE) TRY(begin_search(f, i, e));
    if (q->task == PLACE_SEARCH) {
      q->task = PLACE_RENDER;
      f->cut = true;
    }
  }
  return ST_OK;
}

static Status run_round(FastRun *f, Error *e) {
  const double t0 = run_seconds();
  const int share = f->active;
  TRY(evaluate_points(f, e));
  const double seconds = (run_seconds() - t0) / share;
  for (int i = 0; i < f->p->batch; i++) {
    Place *q = &f->place[i];
    if (q->task == PLACE_EMPTY) continue;
    q->seconds += seconds;
    if (q->task == PLACE_RENDER) {
      TRY(after_render(f, i, f->p->out_dist[i], e));
      continue;
    }
    TRY(tell_step(f, i, e));
    if (q->task == PLACE_CHOOSE)
      TRY(after_choose(f, i, f->p->out_loss[i], e));
    else
      after_search(f, i, f->p->out_loss[i]);
  }
  return f->stopped ? wind_up(f, e) : ST_OK;
}

static Status run_queue(FastRun *f, Error *e) {
  TRY(fast_new(f, e));
  TRY(fast_projector(f, f->batch, e));
  f->stopped = !run_tell(f->t, &(ProjectNews){.projector = f->p, .lesion = -1});
  for (;;) {
    for (int i = 0; i < f->p->batch && f->next < f->t->n && !f->stopped; i++)
      if (f->place[i].task == PLACE_EMPTY) {
        TRY(place_begin(f, i, e));
        f->active++;
      }
    if (!f->active) break;
    TRY(shrink_batch(f, e));
    TRY(run_round(f, e));
  }
  if (f->t->profile) projector_report(f->p, f->t->profile);
  return f->cut || (f->stopped && f->next < f->t->n)
             ? err_set(e, ST_INTERRUPTED, "projection: stopped")
             : ST_OK;
}

Status run_fast(const ProjectTask *t, ProjectResults *r, Error *e) {
  FastRun f = {.t = t, .r = r, .batch = (int)PRLX_MIN((int64_t)t->batch, t->n)};
  const Status s = run_queue(&f, e);
  fast_free(&f);
  return s;
}
