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

/* How Eq. 1 is minimised.
 * REFERENCE: the schedule of the public projector: Adam, added noise, ramps; every lesion the same
 * number of steps (projector_step).
 * FAST: first the pixels, then the features, each by L-BFGS, until it stands still; every lesion as
 * many steps as it needs (models/gan/project_run.h). */
typedef enum { PROJECT_REFERENCE, PROJECT_FAST } ProjectSolver;

/* What is searched. The more there is, the closer any image can be reached, also one that is no
 * lesion, and the less is left of denoising.
 * W: one w for all layers and the noise maps (Eq. 1). W_ONLY: the maps are held at the network's
 * own. WPLUS, WPLUS_ONLY: a w for every layer, with and without the maps. NOISE: the maps alone,
 * w stays at the start. */
typedef enum { SPACE_W, SPACE_W_ONLY, SPACE_WPLUS, SPACE_WPLUS_ONLY, SPACE_NOISE } ProjectSpace;

/* Whether w is searched, the noise maps are, and every layer has a w of its own. */
bool space_has_w(ProjectSpace s);
bool space_has_noise(ProjectSpace s);
bool space_is_wplus(ProjectSpace s);

typedef struct ProjectOptions {
  ProjectSolver solver;
  ProjectSpace space;
  int num_steps; /* FAST: the most evaluations per lesion */
  double initial_lr;
  double initial_noise_factor; /* of the noise added to w, in w_std */
  double lr_rampdown;          /* ramps: fractions of the run */
  double lr_rampup;
  double noise_ramp;
  double regularize_noise_weight;
  int w_avg_samples;
  uint64_t seed;
  double adam_beta1;
  double adam_beta2;
  double adam_eps;
  /* FAST: evaluations of the pixel search, 0: none; a lesion is done when its last `patience`
   * evaluations lowered the loss by less than the share `tolerance`. */
  int pixel_steps;
  int patience;
  double tolerance;
  double enough; /* ... or at this loss */
  /* Every lesion has a region (projector_regions), which then gets the share `focus`, 0..1, of the
   * distance for itself (models/gan/project_focus.h). */
  bool regions;
  double focus;
  /* Distance per tap, inside and outside the region, and regulariser per map of every step
   * (projector_trace). */
  bool trace;
  /* what VGG sees of a multi-channel image */
  VggChannels vgg_channels;
  size_t max_bytes; /* as PlanOptions.max_bytes */
  /* where to compute; NULL: CPU. Must outlive the projector */
  Backend *backend;
} ProjectOptions;

/* SEMANTICS 9: reference, space W, 1000 steps, lr 0.1, ... */
ProjectOptions project_defaults(void);

/* Fast, W_ONLY, at most 200 evaluations. */
ProjectOptions project_defaults_fast(void);

/* ST_INVALID says which field. */
Status project_options_check(const ProjectOptions *o, Error *e);

typedef struct WStats {
  real *w_avg;  /* [w_dim], freed by the caller with mem_free */
  double w_std; /* sqrt(mean |w - w_avg|^2) */
} WStats;

/* SEMANTICS 9.1: `samples` z from numpy's RandomState(seed) (the reference uses 10000 and 123)
 * through the mapping network. cond: [c_dim] label of a conditional generator, NULL for an
 * unconditional one. w_std is one scalar: sqrt(mean_samples |w - w_avg|^2). */
Status project_w_stats(const Generator *G, const real *cond, int samples, uint32_t seed,
                       WStats *out, Error *e);

/* w [samples,w_dim] of `samples` z from numpy's RandomState(seed). */
Status project_w_samples(const Generator *G, const real *cond, int samples, uint32_t seed, real *w,
                         Error *e);

/* Learning rate of a step (9.3; 0 at step 0), and the deviation of the noise added to w, in
 * w_std. */
double project_lr(const ProjectOptions *o, int step);
double project_w_noise(const ProjectOptions *o, int step);

typedef struct Projector Projector;

/* Builds the graph and plan for `batch` lesions. G, v, ws must outlive the projector (ws is
 * copied). ST_NOMEM says need and limit. */
Status projector_new(const Generator *G, const Vgg *v, const WStats *ws, const ProjectOptions *o,
                     int batch, Projector **out, Error *e);

/* NULL allowed. */
void projector_free(Projector *p);

/* Of its plan; and the bytes of everything: plan, variables, Adam state. */
PlanStats projector_stats(const Projector *p);
size_t projector_bytes(const Projector *p);

/* Starts over: targets [batch,C,R,R] in network units (nominally [-1,1]; mapped to 0..255 like the
 * image), w = w_avg, noise maps from N(0,1), fresh Adam. Lesion k draws from random stream (seed,
 * id[k]), so its draws do not depend on its batch. id NULL: 0,1,... */
Status projector_start(Projector *p, const real *targets, const uint64_t *id, Error *e);

/* After projector_start: w [batch,w_dim] in place of the mean (for every layer in W+). */
Status projector_start_at(Projector *p, const real *w, Error *e);

/* Regions [batch,R,R], 0..1, of the lesions (options.regions; before the first step). */
Status projector_regions(Projector *p, const float *regions, Error *e);

/* Golden runs, after projector_start: replaces the initial maps (each [res,res], shared by the
 * batch) and the w-noise draws ([num_steps,w], kept by reference). NULL = leave. Fails where a
 * device cannot be read or written. */
Status projector_inject(Projector *p, const real *const *noise_maps, const real *w_noise, Error *e);

typedef struct ProjectStep {
  int step; /* from 0 */
  double lr;
  double w_noise_scale;
  /* [batch] each, owned by the projector, valid until the next step */
  const double *dist; /* LPIPS */
  const double *reg;  /* of the noise maps, without its weight */
  const double *loss;
} ProjectStep;

/* One step; ST_NUMERIC names lesion and step when the loss is not finite; ST_INVALID after the last
 * step. info may be NULL. */
Status projector_step(Projector *p, ProjectStep *info, Error *e);

/* Since projector_start; and lesions at a time. */
int projector_steps_done(const Projector *p);
int projector_batch(const Projector *p);

/* Values of w per lesion: w_dim, in W+ num_ws * w_dim. */
int64_t projector_w_size(const Projector *p);

/* What a step of lesion i of the batch was, in parts (options.trace; after projector_step). Terms
 * that are not there are NAN: inside and outside without regions, maps without noise maps. */
typedef struct ProjectTrace {
  int step;
  double lr;
  double jitter; /* deviation of the noise added to w */
  double dist;
  double tap[VGG_TAPS];
  double inside;
  double outside;
  double reg[MAX_NOISE]; /* per map, without the weight */
  double w_distance;     /* |w - mean| in w_std, after the step; W+: root mean square of layers */
  double grad_w;         /* length of the gradient */
  double grad_noise;     /* of all maps together */
} ProjectTrace;

/* ST_INVALID: no trace was asked for, or no step made. */
Status projector_trace(Projector *p, int i, ProjectTrace *t, Error *e);

/* Brings the variables and gradients that the four functions below give up to date. On a device
 * each step and rendering leaves the host's copies behind, and until this has succeeded those
 * functions give NULL, never old numbers; on the CPU there is nothing to fetch. */
Status projector_fetch(Projector *p, Error *e);

/* w [batch,w_dim], in W+ [batch,num_ws,w_dim], and noise map k [batch,res,res] after the last Adam
 * step. */
const real *projector_w(const Projector *p);
const real *projector_noise(const Projector *p, int k);

/* Gradients of the last step or rendering, in the same shapes. */
const real *projector_grad_w(const Projector *p);
const real *projector_grad_noise(const Projector *p, int k);

/* img [batch,C,R,R] for the current w without added noise, with the network's own noise_const (what
 * the reference tool saves) or the optimised maps. lpips: [batch] distance of these images to the
 * targets, or NULL. Runs the plan once; the projection state is unchanged. */
Status projector_render(Projector *p, bool optimised_noise, real *img, double *lpips, Error *e);

/* Noise regulariser of one map value [N,1,r,r] -> [N] (sum over the pyramid). SEMANTICS 9.6. Used
 * by the golden runner too. */
Val g_noise_regularizer(Graph *g, Val noise);

/* 9.7: zero mean, unit mean square of map [n], in place. */
void noise_normalize(real *map, int64_t n);

/* plan_profile, plan_report, plan_roofline of the step. */
void projector_profile(Projector *p, bool on);
void projector_report(const Projector *p, FILE *f);
void projector_roofline(const Projector *p, double gflops, double gbytes, FILE *f);
#endif
