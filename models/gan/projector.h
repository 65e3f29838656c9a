/* projector.h: latent projection denoising, Eq. 1 of the paper: the W-space projector of StyleGAN2
 * (Karras et al. 2019, appendix D), batched over lesions so that each lesion's result equals, bit
 * for bit, the one it gets alone. SEMANTICS section 9.
 *
 *   minimise over w and noise maps n_k:  LPIPS(target, G(w, n)) + 1e5 * sum_k sum_levels
 *   autocorrelation(n_k)^2
 *
 *     WStats ws; project_w_stats(&G, o.w_avg_samples, 123, &ws, &e);
 *     Projector *p; projector_new(&G, &vgg, &ws, &o, batch, &p, &e);      graph, plan, memory
 *     projector_start(p, targets, ids, &e);                               any number of times
 *     while (projector_steps_done(p) < o.num_steps) projector_step(p, &info, &e);
 *     projector_render(p, false, img, &e);                                the denoised image */
#ifndef PRLX_PROJECTOR_H
#define PRLX_PROJECTOR_H
#include "core/plan.h"
#include "models/gan/lpips.h"
#include "models/gan/networks.h"
typedef struct ProjectOptions {
  int num_steps;
  double initial_lr, initial_noise_factor, lr_rampdown, lr_rampup, noise_ramp,
      regularize_noise_weight;
  int w_avg_samples;
  uint64_t seed;
  double adam_beta1;
  double adam_beta2;
  double adam_eps;
  /* what VGG sees of a multi-channel image */
  VggChannels vgg_channels;
  size_t max_bytes; /* as PlanOptions.max_bytes */
  /* where to compute; NULL: CPU. Must outlive the projector */
  Backend *backend;
} ProjectOptions;

/* SEMANTICS 9: 1000 steps, lr 0.1, ... */
ProjectOptions project_defaults(void);
Status project_options_check(const ProjectOptions *o, Error *e); /* ST_INVALID says which field */

/* w_avg [w_dim], caller frees w_avg with mem_free */
typedef struct WStats {
  real *w_avg;
  double w_std;
} WStats;

/* SEMANTICS 9.1: `samples` z from numpy's RandomState(seed) (the reference uses 10000 and 123)
 * through the mapping network. cond: [c_dim] label of a conditional generator, NULL for an
 * unconditional one. w_std is one scalar: sqrt(mean_samples |w - w_avg|^2). */
Status project_w_stats(const Generator *G, const real *cond, int samples, uint32_t seed,
                       WStats *out, Error *e);
double project_lr(const ProjectOptions *o, int step);      /* 9.3; 0 at step 0 */
double project_w_noise(const ProjectOptions *o, int step); /* times w_std */

typedef struct Projector Projector;

/* Builds the graph and plan for `batch` lesions. G, v, ws must outlive the projector (ws is
 * copied). ST_NOMEM says need and limit. */
Status projector_new(const Generator *G, const Vgg *v, const WStats *ws, const ProjectOptions *o,
                     int batch, Projector **out, Error *e);
void projector_free(Projector *p);
PlanStats projector_stats(const Projector *p);

/* all memory: plan, variables, Adam state */
size_t projector_bytes(const Projector *p);

/* Starts over: targets [batch,C,R,R] in network units (nominally [-1,1]; mapped to 0..255 like the
 * image), w = w_avg, noise maps from N(0,1), fresh Adam. Lesion k draws from random stream (seed,
 * id[k]), so its draws do not depend on its batch. id NULL: 0,1,... */
Status projector_start(Projector *p, const real *targets, const uint64_t *id, Error *e);

/* Golden runs, after projector_start: replaces the initial maps (each [res,res], shared by the
 * batch) and the w-noise draws ([num_steps,w], kept by reference). NULL = leave. Fails where a
 * device cannot be read or written. */
Status projector_inject(Projector *p, const real *const *noise_maps, const real *w_noise, Error *e);

/* batch values each, owned by the projector */
typedef struct ProjectStep {
  int step;
  double lr;
  double w_noise_scale;
  const double *dist;
  const double *reg;
  const double *loss;
} ProjectStep;

/* One step; ST_NUMERIC names lesion and step when the loss is not finite; ST_INVALID after the last
 * step. info may be NULL. */
Status projector_step(Projector *p, ProjectStep *info, Error *e);
int projector_steps_done(const Projector *p);
int projector_batch(const Projector *p);

/* Brings the variables and gradients that the four functions below give up to date. On a device
 * each step and rendering leaves the host's copies behind, and until this has succeeded those
 * functions give NULL, never old numbers; on the CPU there is nothing to fetch. */
Status projector_fetch(Projector *p, Error *e);

/* [batch,w_dim], after the last Adam step */
const real *projector_w(const Projector *p);
const real *projector_noise(const Projector *p, int k); /* noise map k: [batch,res,res] */

/* of the last step or rendering */
const real *projector_grad_w(const Projector *p);
const real *projector_grad_noise(const Projector *p, int k);

/* img [batch,C,R,R] for the current w without added noise, with the network's own noise_const (what
 * the reference tool saves) or the optimised maps. lpips: [batch] distance of these images to the
 * targets, or NULL. Runs the plan once; the projection state is unchanged. */
Status projector_render(Projector *p, bool optimised_noise, real *img, double *lpips, Error *e);

/* Noise regulariser of one map value [N,1,r,r] -> [N] (sum over the pyramid). SEMANTICS 9.6. Used
 * by the golden runner too. */
Val g_noise_regularizer(Graph *g, Val noise);

/* 9.7: zero mean, unit mean square */
void noise_normalize(real *map, int64_t n);

/* plan_profile, plan_report of the step */
void projector_profile(Projector *p, bool on);
void projector_report(const Projector *p, FILE *f);
#endif
