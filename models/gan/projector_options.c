/* projector_options.c: the settings of a projection and the schedules that follow from them
 * (SEMANTICS 9.3). */
#include <math.h>
#include "models/gan/projector.h"

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
