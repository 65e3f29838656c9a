/* projector_options.c: the settings of a projection and the schedules that follow from them
 * (SEMANTICS 9.3). */
#include <math.h>
#include "models/gan/projector.h"

ProjectOptions project_defaults(void) {
  return (ProjectOptions){.solver = PROJECT_REFERENCE,
                          .space = SPACE_W,
                          .num_steps = 1000,
                          .initial_lr = 0.1,
                          .initial_noise_factor = 0.05,
                          .lr_rampdown = 0.25,
                          .lr_rampup = 0.05,
                          .noise_ramp = 0.75,
                          .regularize_noise_weight = 1e5,
                          .w_avg_samples = 10000,
                          .adam_beta1 = 0.9,
                          .adam_beta2 = 0.999,
                          .adam_eps = 1e-8,
                          .pixel_steps = 120,
                          .patience = 20,
                          .tolerance = 0.02,
                          .enough = 1e-3,
                          .vgg_channels = VGG_CHANNELS_AUTO};
}

ProjectOptions project_defaults_fast(void) {
  ProjectOptions o = project_defaults();
  o.solver = PROJECT_FAST;
  o.space = SPACE_W_ONLY;
  o.num_steps = 200;
  return o;
}

bool space_has_w(ProjectSpace s) { return s != SPACE_NOISE; }
bool space_has_noise(ProjectSpace s) { return s != SPACE_W_ONLY && s != SPACE_WPLUS_ONLY; }
bool space_is_wplus(ProjectSpace s) { return s == SPACE_WPLUS || s == SPACE_WPLUS_ONLY; }

static Status check_search(const ProjectOptions *o, Error *e) {
  if (o->solver != PROJECT_REFERENCE && o->solver != PROJECT_FAST)
    return err_set(e, ST_INVALID, "projection: solver %d; expected reference or fast",
                   (int)o->solver);
  if ((int)o->space < 0 || o->space > SPACE_NOISE)
    return err_set(e, ST_INVALID, "projection: space %d; expected one of ProjectSpace",
                   (int)o->space);
  if (o->pixel_steps < 0 || o->patience < 1 || !(o->tolerance >= 0 && o->tolerance < 1))
    return err_set(e, ST_INVALID,
                   "projection: %d pixel steps, patience %d, tolerance %g; expected >= 0, >= 1, "
                   "0..1",
                   o->pixel_steps, o->patience, o->tolerance);
  if (!(o->enough >= 0))
    return err_set(e, ST_INVALID, "projection: enough at a loss of %g; expected >= 0", o->enough);
  if (!(o->focus >= 0 && o->focus <= 1))
    return err_set(e, ST_INVALID, "projection: focus %g; expected 0 (none) to 1 (nothing else)",
                   o->focus);
  if (o->focus > 0 && !o->regions)
    return err_set(e, ST_INVALID, "projection: a focus without regions; give each lesion one");
  return ST_OK;
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
  return check_search(o, e);
}

/* SEMANTICS 9.3; a ramp of length 0 is a jump. Why ramps: Adam's first steps have length lr
 * whatever the gradient, because its averages hold one sample, so they start small; and the last
 * quarter shrinks to settle where the first three explored. Why exactly 0 at step 0: up = 0 /
 * steps; that step moves nothing and only fills the averages. */
double project_lr(const ProjectOptions *o, int step) {
  double t = (double)step / o->num_steps;
  double down = o->lr_rampdown > 0 ? PRLX_MIN(1.0, (1.0 - t) / o->lr_rampdown) : 1.0;
  double up = o->lr_rampup > 0 ? PRLX_MIN(1.0, t / o->lr_rampup) : 1.0;
  return o->initial_lr * (0.5 - 0.5 * cos(M_PI * down)) * up;
}

/* Why noise on w: a gradient knows only the slope where w is, and the w of real samples are dense
 * near the mean; blurring w at first follows the slope of a neighbourhood and crosses small dips.
 * It has died away before the result is taken. */
double project_w_noise(const ProjectOptions *o, int step) {
  double t = (double)step / o->num_steps;
  double r = o->noise_ramp > 0 ? PRLX_MAX(0.0, 1.0 - t / o->noise_ramp) : 0.0;
  return o->initial_noise_factor * r * r;
}
