/* projector.h: latent projection denoising, Eq. 1 of the paper: the W-space projector of StyleGAN2 (Karras et al. 2019, appendix D), batched over
 * lesions so that each lesion's result equals the one it gets alone. SEMANTICS section 9. */
#ifndef PRLX_PROJECTOR_H
#define PRLX_PROJECTOR_H
#include "models/lpips.h"
#include "models/networks.h"
#include "core/plan.h"
typedef struct ProjectOptions {
  int num_steps; double initial_lr, initial_noise_factor, lr_rampdown, lr_rampup, noise_ramp, regularize_noise_weight;
  int w_avg_samples; uint64_t seed; double adam_beta1, adam_beta2, adam_eps; size_t max_bytes;
} ProjectOptions;
ProjectOptions project_defaults(void);
typedef struct WStats { real *w_avg; double w_std; } WStats;   /* w_avg [w_dim], caller frees w_avg with mem_free */
Status project_w_stats(const Generator *G, int samples, uint32_t seed, WStats *out, Error *e);  /* SEMANTICS 9.1, numpy seed 123 */
double project_lr(const ProjectOptions *o, int step);          /* 9.3 */
double project_w_noise(const ProjectOptions *o, int step);     /* times w_std */

typedef struct Projector Projector;
/* Builds the graph and plan for `batch` lesions. targets [batch,C,R,R] are in network units (nominally [-1,1]; the projector maps them to
 * 0..255 like the image). The generator must be unconditional (c_dim 0), or cond [c_dim] given. Images with C != 1,3: `vgg_channels` picks. */
Status projector_new(const Generator *G, const Vgg *v, const WStats *ws, const ProjectOptions *o, int batch, Projector **out, Error *e);
void   projector_free(Projector *p);
PlanStats projector_stats(const Projector *p);
void   projector_set_targets(Projector *p, const real *targets);  /* also re-initialises w, noise, Adam for lesion ids */
/* Lesion k of the batch uses random stream subsequence id[k] (so a lesion's draws do not depend on its batch). Default id: 0,1,... */
Status projector_start(Projector *p, const real *targets, const uint64_t *id, Error *e);
/* Golden runs: replaces the random initial maps (each [res,res], shared by the batch) and the w-noise draws ([num_steps,w]). NULL = leave. */
void   projector_inject(Projector *p, const real *const *noise_maps, const real *w_noise);
typedef struct ProjectStep { double lr, w_noise_scale; double *dist, *reg, *loss; } ProjectStep; /* arrays of batch values, owned by the projector */
Status projector_step(Projector *p, ProjectStep *info, Error *e); /* one step; ST_NUMERIC names lesion and step on NaN */
int    projector_steps_done(const Projector *p);
const real *projector_w(const Projector *p);                      /* [batch,w_dim], after the last Adam step */
const real *projector_noise(const Projector *p, int k);           /* noise map k: [batch,res,res] */
const real *projector_grad_w(const Projector *p);                 /* of the last step */
const real *projector_grad_noise(const Projector *p, int k);
/* img [batch,C,R,R] for the current w: original noise_const (what the tool saves) or the optimised maps. */
Status projector_render(Projector *p, bool optimised_noise, real *img, Error *e);
/* Final distances of the rendered image to the target: lpips[batch], mse[batch] (network units). */
Status projector_distance(Projector *p, const real *img, double *lpips, double *mse, Error *e);
/* Noise regulariser of one map value [N,1,r,r] -> [N] (sum over the pyramid). Used by the golden runner too. */
Val g_noise_regularizer(Graph *g, Val noise);
void noise_normalize(real *map, int64_t n);                        /* 9.7 */
#endif
