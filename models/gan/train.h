/* train.h: training of the generator and discriminator with adaptive augmentation, as a library.
 * SEMANTICS sections 4, 5, 7. Karras et al. 2020, "Training Generative Adversarial Networks with
 * Limited Data" (ADA); Karras et al. 2019, "Analyzing and Improving the Image Quality of StyleGAN"
 * (lazy regularisation, path length).
 *
 *     TrainConfig cfg; train_preset(&cfg, "small", 64, 1, 0, &e);  ... change fields ...
 *     Trainer *t; trainer_new(&cfg, &data, &t, &e);                 builds nets, graphs, plans;
 *       trainer_memory() says what it took
 *     for (;;) { trainer_step(t, &m, &e); ... trainer_state(t)->cur_nimg ... }   one iteration =
 *       cfg.batch images
 *     trainer_enumerate(t, save_one, ctx);                          every tensor and scalar of the
 *       state: snapshot / resume
 *     trainer_free(t); */
#ifndef PRLX_TRAIN_H
#define PRLX_TRAIN_H
#include <stdio.h>
#include "core/comm.h"
#include "core/flat.h"
#include "core/optim.h"
#include "models/gan/augment.h"
#include "models/gan/networks.h"

typedef enum { PH_GMAIN, PH_GREG, PH_DMAIN, PH_DREG, PH_COUNT } TrainPhase;
extern const char *const train_phase_name[PH_COUNT]; /* "Gmain", "Greg", "Dmain", "Dreg" */

typedef struct AdaConfig {
  bool adaptive; /* false: p stays at p_init */
  /* start; target of mean sign(D(real)); images (thousands) for p to move by 1 */
  double p_init;
  double target;
  double kimg;
  int interval; /* iterations between updates */
  /* bound of p (0.85): beyond it augmentations leak into the generated images (Karras 2020, sec.
   * 2.2) */
  double p_max;
  bool unbounded; /* reference behaviour: p may grow past p_max and past 1 */
} AdaConfig;

typedef struct TrainConfig {
  GenConfig G;
  DisConfig D;
  /* images per iteration; per round (divides batch; 0 = batch). Rounds are summed, SEMANTICS 5.3 */
  int batch;
  int batch_gpu;
  /* before the lazy-regularisation correction, which trainer_new applies */
  double g_lr;
  double d_lr;
  double beta1;
  double beta2;
  double eps;
  double r1_gamma; /* < 0: 0.0002 R^2 / batch */
  /* weight 0: no path length phase */
  double pl_weight;
  double pl_decay;
  int pl_batch_shrink; /* Greg uses the first 1/shrink of a round */
  double style_mixing; /* probability per round */
  /* 0 = no such phase (and no correction) */
  int g_reg_interval;
  int d_reg_interval;
  /* half-life in thousands of images; rampup < 0 = none */
  double ema_kimg;
  double ema_rampup;
  double ema_beta; /* >= 0: this fixed beta instead (tests); normally -1 */
  double w_avg_beta;
  bool noise_const; /* tests: noise_const buffers instead of fresh noise */
  bool augment;
  AugConfig aug;
  AdaConfig ada;
  /* Freeze-D: this many first discriminator layers stay as they are */
  int freeze_d;
  bool mirror; /* data set doubled by horizontally flipped copies */
  uint64_t seed;
  /* refuse above this (0 = the available memory of the machine, or of the backend) */
  size_t max_bytes;
  /* where to compute; NULL: CPU. Must outlive the trainer. Then weights, gradients, Adam state live
   * there; per-phase seconds are times of enqueueing, seconds_other has the waiting */
  Backend *backend;
  /* the processes that share every batch (train_comm.c); NULL: this one alone. Must outlive the
   * trainer */
  Comm *comm;
} TrainConfig;

/* "paper": golden/SEMANTICS.md section 7 row "auto" at 8 devices (batch 64 in one round); "small":
 * two CPU cores. Sets every field for images [channels,res,res] with c_dim labels (0 = none).
 * ST_INVALID lists the presets. */
Status train_preset(TrainConfig *c, const char *name, int res, int channels, int c_dim, Error *e);

/* ST_INVALID says which field, what is allowed */
Status train_config_check(const TrainConfig *c, Error *e);
double train_r1_gamma(const TrainConfig *c); /* after the default rule */

/* The data set: borrowed, must outlive the trainer. images [n,C,R,R] nominally in [-1,1]; labels
 * [n,c_dim] or NULL. */
typedef struct TrainData {
  const real *images;
  const real *labels;
  int64_t n;
} TrainData;

/* Random streams: one Philox subsequence per purpose, so that e.g. another augmentation does not
 * change z. */
typedef enum {
  TRNG_INIT_G,
  TRNG_INIT_D,
  TRNG_Z,
  TRNG_LABEL,
  TRNG_MIX,
  TRNG_NOISE,
  TRNG_PL,
  TRNG_AUG,
  TRNG_DATA,
  TRNG_COUNT
} TrainRng;
typedef struct TrainerState {
  /* images and iterations done */
  int64_t cur_nimg;
  int64_t batch_idx;
  double pl_mean; /* running mean path length */
  double p;       /* augmentation probability (a float32 value) */
  double r_t;     /* last controller input: mean sign(D(real)) over its interval */
  double sign_sum;
  int64_t sign_count; /* accumulators since the last controller update */
  /* times the controller wanted p above p_max (bounded), or moved it above (unbounded): warn when
   * it grows */
  int64_t p_bounded;
  int64_t sampler_pos;
  Rng rng[TRNG_COUNT];
} TrainerState;

/* Of one iteration. Means over the batch unless said otherwise; fields of a phase that did not run
 * keep their last value. */
typedef struct TrainMetrics {
  double g_loss;
  double d_loss_fake;
  double d_loss_real;
  double r1_penalty;
  double pl_penalty;
  double pl_mean;
  /* raw logits: fakes in Gmain, fakes and reals in Dmain */
  double score_g;
  double score_fake;
  double score_real;
  /* mean sign(D(real)) of this iteration (overfitting measure r_t of ADA) */
  double sign_real;
  double p;
  double ema_beta;
  bool ran[PH_COUNT];
  /* wall time per phase of this iteration; EMA and sampling */
  double seconds[PH_COUNT];
  double seconds_other;
  /* NaN or infinite gradient elements replaced before Adam in this iteration */
  int64_t bad_gradients;
  /* Per sample, owned by the trainer, valid until the next step: [batch], pl_*
   * [rounds*(round/shrink)] and [rounds]. */
  const real *g_scores, *g_losses, *d_scores_fake, *d_scores_real, *d_losses, *r1_penalties,
      *pl_penalties, *pl_means;
} TrainMetrics;

typedef struct Trainer Trainer;

/* Builds and plans all phases and allocates everything: no allocation in a step. ST_NOMEM says need
 * and limit. *out NULL on failure. Networks start from generator_reset/discriminator_reset with
 * cfg->seed; G_ema is a copy of G. */
Status trainer_new(const TrainConfig *cfg, const TrainData *data, Trainer **out, Error *e);
void trainer_free(Trainer *t);

/* Several processes: all take over the state of process 0 (after restoring; collective). Call
 * trainer_refresh afterwards. */
Status trainer_broadcast(Trainer *t, Error *e);

/* One iteration: all phases due, EMA, controller. ST_NUMERIC when a loss is not finite (the state
 * is then not worth saving). */
Status trainer_step(Trainer *t, TrainMetrics *m, Error *e);

/* after G, D were changed from outside (transfer): nothing cached survives; G_ema is left alone */
void trainer_refresh(Trainer *t);

/* On a backend these and trainer_enumerate first bring the host's copy up to date, and what they
 * give may be changed: the next step sends it back. */
Generator *trainer_G(Trainer *t);
Generator *trainer_G_ema(Trainer *t);
Discriminator *trainer_D(Trainer *t);
TrainerState *trainer_state(Trainer *t);
const TrainConfig *trainer_config(const Trainer *t);
void trainer_copy_to_ema(Trainer *t); /* G_ema <- G */

typedef struct TrainMemory {
  size_t weights;
  size_t optimizer;
  size_t activations;
  size_t total;
} TrainMemory;
TrainMemory trainer_memory(const Trainer *t);

/* multiply-adds x 2 of one average iteration (reg phases by their interval) */
double trainer_flop(const Trainer *t);
void trainer_profile(Trainer *t, bool on); /* plan_profile of all phases */
void trainer_report(const Trainer *t, FILE *f); /* plan_report of all phases of the last step */

/* Snapshot: calls fn once per piece of state. The same order and names each time for one
 * configuration. Writing the same bytes back through `data` into a new trainer of the same
 * configuration and data set resumes bit-exactly (call trainer_refresh afterwards). Names:
 * "G.<name>", "D.<name>", "G_ema.<name>" (the network tensors), "adam.G.v", ..., "state.<scalar>",
 * "sampler.order". */
typedef enum { TT_REAL, TT_F64, TT_I64 } TrainType;
typedef struct TrainTensor {
  const char *name;
  TrainType type;
  Shape shape;
  void *data;
} TrainTensor;
Status trainer_enumerate(Trainer *t, Status (*fn)(void *ctx, const TrainTensor *x, Error *e),
                         void *ctx, Error *e);

/* ---- entry for tests: the draws are given instead of drawn (noise and augmentation still come
 * from the streams) ---- */
typedef struct PhaseDraws {
  /* [batch,z_dim], [batch,c_dim] or NULL */
  const real *z;
  const real *c;
  /* [rounds,samples,z_dim]; samples = round size (Greg: round/pl_batch_shrink). NULL: no mixing */
  const real *z_mix;
  const int64_t *cutoff; /* [rounds]; num_ws = no mixing */
  const real *pl_noise;  /* [rounds,samples,C,R,R] raw normals (Greg) */
} PhaseDraws;
typedef struct TrainDraws {
  PhaseDraws phase[PH_COUNT];
  /* [batch,C,R,R], [batch,c_dim] */
  const real *images;
  const real *labels;
} TrainDraws;
Status trainer_step_given(Trainer *t, const TrainDraws *d, TrainMetrics *m, Error *e);

/* Called after each phase with the accumulated gradient of G's or D's flat parameter range, as
 * given to Adam. NULL removes it. */
void trainer_on_gradient(Trainer *t,
                         void (*fn)(void *ctx, TrainPhase ph, const Params *net, const real *grad),
                         void *ctx);

/* ---- pieces (ada.c, loss.c) ---- */
/* The controller: p' = p + sign(r - target) * batch * interval / (kimg * 1000), float32 state, at
 * least 0; at most p_max unless unbounded. *hit (may be NULL) is set when the bound was wanted or
 * passed. */
double ada_update(const AdaConfig *c, double p, double r, int batch, bool *hit);

/* Endless shuffled order with a window of half an epoch (SEMANTICS 7 end): each served item changes
 * places with one served up to n/2 earlier. */
void sampler_init(int64_t *order, int64_t n, Rng *r);
int64_t sampler_next(int64_t *order, int64_t n, int64_t *pos, Rng *r);
double train_ema_beta(const TrainConfig *c, int64_t cur_nimg); /* SEMANTICS 5.6 */

/* Graph parts. logits [N,1] -> per-sample softplus(sign*logits) [N,1]. */
Val g_logistic_loss(Graph *g, Val logits, Val sign);

/* R1: d sum(logits)/d img -> penalty per sample [N]. */
Val g_r1_penalty(Graph *g, Val logits, Val img, Val *grad);

/* Path length: img [n,C,R,R] made from ws [n,num_ws,w]; noise raw normals; pl_mean rank 0 ->
 * penalty [n]. */
typedef struct PathLength {
  Val grads;
  Val lengths;
  Val mean;
  Val penalty;
} PathLength;
PathLength g_path_length(Graph *g, Val img, Val ws, Val noise, Val pl_mean, double decay);
#endif
