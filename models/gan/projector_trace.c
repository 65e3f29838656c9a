/* projector_trace.c: what a step of the projection was made of, for `prlx project --trace`. */
#include <math.h>
#include "models/gan/projector_impl.h"

static double square_sum(const real *x, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
  return s;
}

/* Value i of an output [batch]. */
static Status read_part(Projector *p, Val v, int i, double *out, Error *e) {
  const real *x = NULL;
  TRY(plan_read(p->plan, v, &x, e));
  *out = (double)x[i];
  return ST_OK;
}

double projector_w_distance(const Projector *p, const real *w) {
  const int64_t wd = p->G->cfg.w_dim;
  double s = 0;
  for (int64_t k = 0; k < p->layers * wd; k++) {
    const double d = (double)w[k] - (double)p->w_avg[k % wd];
    s += d * d;
  }
  return sqrt(s / p->layers) / p->w_std;
}

Status projector_trace_parts(Projector *p, int i, ProjectTrace *t, Error *e) {
  t->inside = t->outside = NAN;
  for (int k = 0; k < MAX_NOISE; k++) t->reg[k] = NAN;
  t->dist = p->out_dist[i];
  for (int k = 0; k < VGG_TAPS; k++) TRY(read_part(p, p->measure.tap[k], i, &t->tap[k], e));
  if (p->o.regions) {
    TRY(read_part(p, p->measure.part[0], i, &t->inside, e));
    TRY(read_part(p, p->measure.part[1], i, &t->outside, e));
  }
  for (int k = 0; k < p->free_last - 1; k++) TRY(read_part(p, p->map_reg[k], i, &t->reg[k], e));
  TRY(projector_fetch(p, e));
  const bool has_w = p->free_first == 0;
  t->grad_w = has_w ? sqrt(square_sum(p->grads + i * p->seg[0].n, p->seg[0].n)) : 0;
  double noise = 0;
  for (int k = 1; k < p->free_last; k++)
    noise += square_sum(p->grads + p->seg[k].at + i * p->seg[k].n, p->seg[k].n);
  t->grad_noise = sqrt(noise);
  return ST_OK;
}

Status projector_trace(Projector *p, int i, ProjectTrace *t, Error *e) {
  *t = (ProjectTrace){0};
  if (!p->o.trace || !p->step)
    return err_set(e, ST_INVALID, "projection: no trace; set ProjectOptions.trace and make a step");
  TRY(projector_trace_parts(p, i, t, e));
  t->step = p->step - 1;
  t->lr = project_lr(&p->o, t->step);
  t->jitter = p->w_std * project_w_noise(&p->o, t->step);
  t->w_distance = projector_w_distance(p, p->vars + i * p->seg[0].n);
  return ST_OK;
}
