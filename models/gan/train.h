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
/* "Gmain", "Greg", "Dmain", "Dreg". */
extern const char *const train_phase_name[PH_COUNT];

typedef struct AdaConfig {
  bool adaptive; /* false: p stays at p_init */
  double p_init;
  double target; /* of mean sign(D(real)) */
  double kimg;   /* thousands of images for p to move by 1 */
  int interval;  /* iterations between updates */
  /* bound of p (0.85): beyond it augmentations leak into the generated images (Karras 2020, sec.
   * 2.2) */
  double p_max;
  bool unbounded; /* reference behaviour: p may grow past p_max and past 1 */
} AdaConfig;

/* G is the generator, D the discriminator, as everywhere in the literature. */
typedef struct TrainConfig {
  GenConfig G;
  DisConfig D;
  int batch;     /* images per iteration */
  int batch_gpu; /* per round (divides batch; 0 = batch); rounds are summed, SEMANTICS 5.3 */
  /* Adam, before the lazy-regularisation correction, which trainer_new applies */
  double g_lr;
  double d_lr;
  double beta1;
  double beta2;
  double eps;
  /* thousand images from which on both rates fall by half a cosine, and at which they are lr_end of
   * themselves and stay there; equal: never (train_lr_factor) */
  double lr_from;
  double lr_to;
  double lr_end;
  double r1_gamma;     /* < 0: 0.0002 R^2 / batch */
  double pl_weight;    /* 0: no path length phase */
  double pl_decay;     /* of the running mean path length */
  int pl_batch_shrink; /* Greg uses the first 1/shrink of a round */
  double style_mixing; /* probability per round */
  int g_reg_interval;  /* iterations from one Greg to the next; 0: never (and no correction) */
  int d_reg_interval;
  double ema_kimg;   /* half-life of G_ema in thousands of images */
  double ema_rampup; /* < 0: none */
  double ema_beta;   /* >= 0: this fixed beta instead (tests); normally -1 */
  /* G_ema follows the size of G's noise strengths. Their sign means nothing (noise is symmetric)
   * and changes while they are small, so that their plain average, SEMANTICS 5.6, ends near zero
   * and the finest detail with it */
  bool noise_size;
  double w_avg_beta; /* of the running mean of w */
  bool noise_const;  /* tests: noise_const buffers instead of fresh noise */
  bool augment;
  AugConfig aug;
  AdaConfig ada;
  int freeze_d; /* Freeze-D: this many first discriminator layers stay as they are */
  /* G's noise strengths stay as they are: a step of Adam is as long as the rate whatever the
   * gradient, a thousand images can carry a strength through its whole range, and near zero, where
   * its gradient changes sign, nothing calls it back */
  bool freeze_noise;
  bool mirror; /* data set doubled by horizontally flipped copies */
  uint64_t seed;
  /* refuse above this many bytes (0: the available memory of the machine, or of the backend) */
  size_t max_bytes;
  /* where to compute; NULL: CPU. Must outlive the trainer. Then weights, gradients, Adam state live
   * there; per-phase seconds are times of enqueueing, seconds_other has the waiting */
  Backend *backend;
  /* the processes that share every batch (train_comm.c); NULL: this one alone. Must outlive the
   * trainer */
  Comm *comm;
  /* several processes: the gradient is summed over them in parts of so many bytes, each as soon as
   * it is there, beside the rest of the backward pass (train_bucket.c); 0: as a whole after the
   * phase. The same bits; process 0's is taken */
  int64_t bucket_bytes;
  /* asked between the steps of an iteration; true: trainer_step breaks it off. NULL: never. Only on
   * the CPU and in one process; elsewhere iterations end */
  bool (*stop)(void *ctx);
  void *stop_ctx;
  /* the state from before an iteration is kept where the last one took as many seconds (the
   * presets: 1), in as much memory as weights and optimiser take, if the machine has it */
  double keep_seconds;
} TrainConfig;

/* bucket_bytes of the presets. */
enum { TRAIN_BUCKET = 8 << 20 };

/* "paper": golden/SEMANTICS.md section 7 row "auto" at 8 devices (batch 64 in one round); "small":
 * two CPU cores. Sets every field for images [channels,res,res] with c_dim labels (0 = none).
 * ST_INVALID lists the presets. */
Status train_preset(TrainConfig *c, const char *name, int res, int channels, int c_dim, Error *e);

/* ST_INVALID says which field, what is allowed. */
Status train_config_check(const TrainConfig *c, Error *e);

/* r1_gamma after the default rule. */
double train_r1_gamma(const TrainConfig *c);

/* Factor of both learning rates for the iteration that begins at cur_nimg images: 1 before lr_from,
 * then 1 to lr_end by half a cosine (Loshchilov & Hutter 2017, Eq. 5), lr_end from lr_to on. Not in
 * StyleGAN2-ADA, whose rates are constant; paper/generator says what it is for. */
double train_lr_factor(const TrainConfig *c, int64_t cur_nimg);

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
  int64_t cur_nimg;  /* images done */
  int64_t batch_idx; /* iterations done */
  double pl_mean;    /* running mean path length */
  double p;          /* augmentation probability (a float32 value) */
  double r_t;        /* last controller input: mean sign(D(real)) over its interval */
  double sign_sum;   /* sum and count of signs since the last controller update */
  int64_t sign_count;
  /* times the controller wanted p above p_max (bounded), or moved it above (unbounded): warn when
   * it grows */
  int64_t p_bounded;
  int64_t sampler_pos; /* images served */
  Rng rng[TRNG_COUNT];
  /* f16 on a device: the factor of every loss whose gradient is taken (a power of two), and
   * iterations since it changed; part of a snapshot there only */
  double loss_scale[2];
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
  double p; /* augmentation probability; 0 without augmentation */
  double ema_beta;
  bool ran[PH_COUNT];
  double seconds[PH_COUNT]; /* wall time per phase of this iteration */
  double seconds_other;     /* EMA, sampling, results of a backend */
  int64_t bad_gradients;    /* NaN or infinite gradient elements replaced before Adam */
  /* per sample, owned by the trainer, valid until the next step: [batch] */
  const real *g_scores;
  const real *g_losses;
  const real *d_scores_fake;
  const real *d_scores_real;
  const real *d_losses;
  const real *r1_penalties;
  const real *pl_penalties; /* [rounds*(round/shrink)] */
  const real *pl_means;     /* [rounds] */
} TrainMetrics;

typedef struct Trainer Trainer;

/* Builds and plans all phases and allocates everything: no allocation in a step. ST_NOMEM says need
 * and limit. *out NULL on failure. Networks start from generator_reset/discriminator_reset with
 * cfg->seed; G_ema is a copy of G. */
Status trainer_new(const TrainConfig *cfg, const TrainData *data, Trainer **out, Error *e);

/* NULL allowed. */
void trainer_free(Trainer *t);

/* Several processes: all take over the state of process 0 (after restoring; collective). Call
 * trainer_refresh afterwards. */
Status trainer_broadcast(Trainer *t, Error *e);

/* One iteration: all phases due, EMA, controller. ST_NUMERIC when a loss is not finite (the state
 * is then not worth saving). ST_INTERRUPTED: broken off (TrainConfig.stop); the state is that of
 * before it where trainer_whole. */
Status trainer_step(Trainer *t, TrainMetrics *m, Error *e);

/* False: an iteration was broken off whose beginning was not kept; the state is worth nothing, the
 * last snapshot is. */
bool trainer_whole(const Trainer *t);

/* After G, D were changed from outside (transfer): nothing cached survives; G_ema is left alone. */
void trainer_refresh(Trainer *t);

/* Brings the host's copy of the networks up to date on a backend, and says where that failed: for
 * what is written or reported of them. On the CPU there is nothing to fetch. */
Status trainer_fetch(Trainer *t, Error *e);

/* These try trainer_fetch first, but cannot report it; trainer_enumerate does. What they give may
 * be changed: the next step sends it back. */
Generator *trainer_G(Trainer *t);
Generator *trainer_G_ema(Trainer *t);
Discriminator *trainer_D(Trainer *t);
TrainerState *trainer_state(Trainer *t);
const TrainConfig *trainer_config(const Trainer *t);

/* G_ema becomes a copy of G; with cfg.noise_size, of the size of its noise strengths. */
void trainer_copy_to_ema(Trainer *t);

/* Bytes. */
typedef struct TrainMemory {
  size_t weights;
  size_t optimizer;
  size_t activations;
  size_t total;
} TrainMemory;

/* What the trainer has taken. */
TrainMemory trainer_memory(const Trainer *t);

/* Multiply-adds x 2 of one average iteration (reg phases by their interval). */
double trainer_flop(const Trainer *t);

/* plan_profile of all phases; plan_report of all phases of the last step. */
void trainer_profile(Trainer *t, bool on);
void trainer_report(const Trainer *t, FILE *f);

/* plan_roofline of all phases. */
void trainer_roofline(const Trainer *t, double gflops, double gbytes, FILE *f);

/* A line for each phase and one for an average iteration: steps, launches, GFLOP, MB of operands,
 * MB of scratch (plan_stats), separated by tabs. The host waits once an iteration. */
void trainer_counts(const Trainer *t, FILE *f);

/* A line for each bucket of each phase (bucket_bytes), were there several processes: tensors, MB,
 * and how much of the run comes after its last gradient: steps, percent of the GFLOP and of the MB
 * of operands. The sum of a bucket may run beside that. */
void trainer_buckets(Trainer *t, FILE *f);

/* plan_ranges of all phases; plan_ranges_report of all phases, with a line of headings. */
Status trainer_ranges(Trainer *t, bool on, Error *e);
void trainer_ranges_report(const Trainer *t, FILE *f);

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

/* Stops at the first error of fn and returns it. */
Status trainer_enumerate(Trainer *t, Status (*fn)(void *ctx, const TrainTensor *x, Error *e),
                         void *ctx, Error *e);

/* ---- entry for tests: the draws are given instead of drawn (noise and augmentation still come
 * from the streams) ---- */
typedef struct PhaseDraws {
  const real *z; /* latents [batch,z_dim] */
  const real *c; /* classes [batch,c_dim], or NULL */
  /* [rounds,samples,z_dim]; samples = round size (Greg: round/pl_batch_shrink). NULL: no mixing */
  const real *z_mix;
  const int64_t *cutoff; /* [rounds]; num_ws = no mixing */
  const real *pl_noise;  /* [rounds,samples,C,R,R] raw normals (Greg) */
} PhaseDraws;
typedef struct TrainDraws {
  PhaseDraws phase[PH_COUNT];
  const real *images; /* [batch,C,R,R] */
  const real *labels; /* [batch,c_dim] */
} TrainDraws;

/* trainer_step with these. */
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

/* Factor of the old G_ema in the next one: SEMANTICS 5.6. */
double train_ema_beta(const TrainConfig *c, int64_t cur_nimg);

/* Graph parts. logits [N,1] -> per-sample softplus(sign*logits) [N,1]. */
Val g_logistic_loss(Graph *g, Val logits, Val sign);

/* R1 (Mescheder et al. 2018): d sum(logits)/d img -> penalty per sample [N]; *grad (or NULL): that
 * derivative [N,C,R,R]. */
Val g_r1_penalty(Graph *g, Val logits, Val img, Val *grad);

/* Path length regularisation, Karras et al. 2019b, section 3.2. */
typedef struct PathLength {
  Val grads;   /* d (img . noise) / d ws [n,num_ws,w] */
  Val lengths; /* [n] */
  Val mean;    /* the new running mean, rank 0 */
  Val penalty; /* [n] */
} PathLength;

/* img [n,C,R,R] made from ws [n,num_ws,w]; noise [n,C,R,R] raw normals; pl_mean rank 0. */
PathLength g_path_length(Graph *g, Val img, Val ws, Val noise, Val pl_mean, double decay);
#endif
