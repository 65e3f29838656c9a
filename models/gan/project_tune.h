/* project_tune.h: pivotal tuning (Roich et al. 2021, arXiv 2106.05744, section 3.1): with w and the
 * noise maps held where a projection left them, the weights of the synthesis network are tuned to
 * the one image,
 *
 *   minimise over weights:  distance(target, G(w)) + pixel_weight * mean (target - G(w))^2,
 *
 * by Adam. It comes close to any image, lesion or not: what it gives is no denoised lesion. */
#ifndef PRLX_PROJECT_TUNE_H
#define PRLX_PROJECT_TUNE_H
#include "models/gan/projector.h"
typedef struct TuneOptions {
  int steps;           /* 0: no tuning */
  double lr;           /* 3e-4 */
  double pixel_weight; /* 1 */
} TuneOptions;
TuneOptions tune_defaults(void); /* no steps, the paper's other settings */

/* One image: target [C,R,R]; w [num_ws,w_dim], one per layer; noise: all maps one after the other,
 * NULL: the network's own; region [R,R] with o->regions, else NULL. G is not changed. image
 * [C,R,R] of the tuned network; distance: LPIPS over the patch, inside, outside (NAN without
 * regions); tuned: NULL, or the tuned network, freed by the caller. ST_NUMERIC: the loss is not
 * finite; ST_NOMEM; ST_INVALID. */
Status project_tune(const Generator *G, const Vgg *v, const ProjectOptions *o,
                    const TuneOptions *tune, const real *target, const real *w, const real *noise,
                    const float *region, real *image, double distance[3], Generator *tuned,
                    Error *e);
#endif
