/* project_tune.c: see project_tune.h. */
#include "models/gan/project_tune.h"
#include <math.h>
#include <string.h>
#include "models/gan/projector_impl.h"

enum { TUNE_PARAMS = 256 };
typedef struct Tuning {
  Generator G; /* the copy that is tuned */
  Graph *g;
  Plan *plan;
  ProjectMeasure measure;
  Val target; /* [1,C,R,R] pixels */
  Val img;
  Val loss;
  int weights; /* tensors that are tuned */
  Val weight[TUNE_PARAMS];
  Val grad[TUNE_PARAMS];
  const ParamEntry *entry[TUNE_PARAMS];
  real *grads; /* [nparam] where the weights lie in G.params */
  Adam adam;
} Tuning;

TuneOptions tune_defaults(void) { return (TuneOptions){.steps = 0, .lr = 3e-4, .pixel_weight = 1}; }

static void tuning_free(Tuning *t) {
  plan_free(t->plan);
  graph_free(t->g);
  adam_free(&t->adam);
  mem_free(t->grads);
  generator_free(&t->G);
}

/* The image as a value: w and maps are constants of the graph. */
static Status tuning_image(Tuning *t, const real *w, const real *noise, Error *e) {
  Generator *G = &t->G;
  Graph *g = t->g;
  Val maps[MAX_NOISE];
  for (int k = 0; k < G->num_noise; k++) {
    const int64_t r = G->noise_res[k];
    const ParamEntry *own = params_find(&G->params, G->noise_name[k]);
    if (!noise && !own)
      return err_set(e, ST_INTERNAL, "tuning: the network has no %s", G->noise_name[k]);
    maps[k] = g_const(g, SHAPE2(r, r), noise ? noise : own->data);
    if (noise) noise += r * r;
  }
  const SynthOptions so = {.noise = NOISE_GIVEN, .noise_maps = maps, .frozen = false};
  t->img = g_synthesis(g, G, g_const(g, SHAPE3(1, G->num_ws, G->cfg.w_dim), w), &so, NULL);
  return graph_status(g, e);
}

/* Trained tensors of the synthesis network. */
static Status tuning_weights(Tuning *t, Error *e) {
  const Params *p = &t->G.params;
  for (int k = 0; k < p->n; k++) {
    const ParamEntry *q = &p->entry[k];
    if (q->buffer || strncmp(q->name, "synthesis.", 10)) continue;
    if (t->weights == TUNE_PARAMS)
      return err_set(e, ST_INTERNAL, "tuning: more than %d tensors", TUNE_PARAMS);
    t->entry[t->weights] = q;
    t->weight[t->weights++] = params_leaf(t->g, p, q->name, false);
  }
  return graph_status(t->g, e);
}

static Status tuning_build(Tuning *t, const Vgg *v, const ProjectOptions *o,
                           const TuneOptions *tune, const real *w, const real *noise, Error *e) {
  Graph *g = t->g;
  const GenConfig *c = &t->G.cfg;
  TRY(tuning_image(t, w, noise, e));
  g_project_measure(g, v, t->img, o, &t->measure);
  t->target =
      g_input(g, "target", SHAPE4(1, c->img_channels, c->img_resolution, c->img_resolution));
  Val pixels = g_reshape(g, g_mean_all(g, g_square(g, g_sub(g, t->img, t->target))), SHAPE1(1));
  t->loss = g_add(g, g_project_focus(g, o, &t->measure), g_axpb(g, pixels, tune->pixel_weight, 0));
  TRY(tuning_weights(t, e));
  TRY(graph_grad(g, 1, &t->loss, NULL, t->weights, t->weight, t->grad, 0, NULL, e));
  Val outs[TUNE_PARAMS + 5] = {t->img, t->loss, t->measure.dist};
  int n = 3;
  for (int k = 0; k < 2 && o->regions; k++) outs[n++] = t->measure.part[k];
  memcpy(outs + n, t->grad, (size_t)t->weights * sizeof(Val));
  TRY(plan_new(g, n + t->weights, outs,
               &(PlanOptions){.max_bytes = o->max_bytes, .backend = o->backend}, &t->plan, e));
  for (int k = 0; k < t->weights; k++)
    TRY(plan_bind(t->plan, t->grad[k], t->grads + t->entry[k]->offset, e));
  return ST_OK;
}

static Status tuning_new(Tuning *t, const Generator *G, const TuneOptions *tune, Error *e) {
  *t = (Tuning){.G = *G};
  t->G.params = (Params){0};
  TRY(params_clone(&G->params, &t->G.params, e));
  const int64_t n = t->G.params.nparam;
  t->g = graph_new();
  t->grads = mem_alloc((size_t)n * sizeof *t->grads);
  if (!t->g || !t->grads)
    return err_set(e, ST_NOMEM, "tuning: out of memory; free memory and try again");
  graph_batch_invariant(t->g, true);
  return adam_init(&t->adam, n, tune->lr, 0.9, 0.999, 1e-8, e);
}

static Status tuning_target(Tuning *t, const Vgg *v, const ProjectOptions *o, const real *target,
                            const float *region, Error *e) {
  const GenConfig *c = &t->G.cfg;
  const int r = c->img_resolution;
  const int64_t n = (int64_t)c->img_channels * r * r;
  real *feat[VGG_TAPS];
  for (int k = 0; k < VGG_TAPS; k++) feat[k] = plan_data(t->plan, t->measure.target[k]);
  memcpy(plan_data(t->plan, t->target), target, (size_t)n * sizeof *target);
  if (o->regions) measure_put_region(t->plan, &t->measure, r, 0, region);
  return lpips_image_features_on(o->backend, v, SHAPE4(1, c->img_channels, r, r), target,
                                 o->vgg_channels, feat, e);
}

/* One evaluation; the loss must be finite. */
static Status tuning_run(Tuning *t, int step, Error *e) {
  const real *loss = NULL, *grad = NULL;
  TRY(plan_run(t->plan, e));
  TRY(plan_read(t->plan, t->loss, &loss, e));
  for (int k = 0; k < t->weights; k++) TRY(plan_read(t->plan, t->grad[k], &grad, e));
  if (isfinite(*loss)) return ST_OK;
  return err_set(e, ST_NUMERIC,
                 "tuning, step %d: loss is %g; lower the rate (--tune-lr), or check the target for "
                 "NaN",
                 step, (double)*loss);
}

static Status tuning_result(Tuning *t, const ProjectOptions *o, real *image, double distance[3],
                            Error *e) {
  const Val from[3] = {t->measure.dist, t->measure.part[0], t->measure.part[1]};
  const GenConfig *c = &t->G.cfg;
  const real *x = NULL;
  for (int k = 0; k < 3; k++) {
    distance[k] = NAN;
    if (k && !o->regions) continue;
    TRY(plan_read(t->plan, from[k], &x, e));
    distance[k] = (double)*x;
  }
  TRY(plan_read(t->plan, t->img, &x, e));
  memcpy(image, x,
         (size_t)c->img_channels * (size_t)c->img_resolution * (size_t)c->img_resolution *
             sizeof *image);
  return ST_OK;
}

Status project_tune(const Generator *G, const Vgg *v, const ProjectOptions *o,
                    const TuneOptions *tune, const real *target, const real *w, const real *noise,
                    const float *region, real *image, double distance[3], Generator *tuned,
                    Error *e) {
  Tuning t = {0};
  if (tune->steps < 1 || !(tune->lr > 0) || !(tune->pixel_weight >= 0))
    return err_set(e, ST_INVALID,
                   "tuning: %d steps, rate %g, pixel weight %g; expected at least 1, > 0, >= 0",
                   tune->steps, tune->lr, tune->pixel_weight);
  Status s = tuning_new(&t, G, tune, e);
  if (s != ST_OK) goto done;
  s = tuning_build(&t, v, o, tune, w, noise, e);
  if (s != ST_OK) goto done;
  s = tuning_target(&t, v, o, target, region, e);
  if (s != ST_OK) goto done;
  for (int k = 0; k < tune->steps; k++) {
    s = tuning_run(&t, k, e);
    if (s != ST_OK) goto done;
    adam_step(&t.adam, t.G.params.data, t.grads);
  }
  s = tuning_run(&t, tune->steps, e);
  if (s != ST_OK) goto done;
  s = tuning_result(&t, o, image, distance, e);
  if (s == ST_OK && tuned) {
    *tuned = t.G;
    t.G.params = (Params){0};
  }
done:
  tuning_free(&t);
  return s;
}
