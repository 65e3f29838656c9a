/* train_impl.h: what the files of the training engine share; not for users of train.h. */
#ifndef PRLX_TRAIN_IMPL_H
#define PRLX_TRAIN_IMPL_H
#include "core/plan.h"
#include "models/gan/train.h"

/* A gradient that no run computes: zeros (v = 0) or a constant. It is put into the flat range after
 * each run, since phases share the range. */
typedef struct GradCopy {
  Val value;
  int64_t offset; /* in the flat range, elements */
  int64_t numel;
} GradCopy;

/* Where the gradient of a tensor lies, in which bucket it is summed over the processes, and after
 * how many steps of the plan it is there (plan_done). */
typedef struct GradPart {
  int64_t offset; /* in the flat range, elements */
  int64_t n;
  int bucket;
  int done;
} GradPart;

/* Ranges that are summed together. */
typedef struct Bucket {
  const CommPart *part; /* [n] */
  int n;
} Bucket;

/* One graph with its plan, for one round of n samples. Unused values are 0. */
typedef struct PhaseNet {
  Graph *graph;
  Plan *plan;
  int n;
  /* inputs */
  Val z;
  Val c;
  Val z_mix;
  Val mask;
  Val noise[MAX_NOISE];
  Val img;
  Val sign;
  Val scale; /* of the loss: train_scales */
  Val pl_noise;
  Val pl_mean;
  AugNodes aug;
  bool has_aug;
  /* outputs; loss is per sample */
  Val logits;
  Val loss;
  Val w_mean;
  Val pl_new_mean;
  Val image;
  GradCopy *copy; /* [ncopy] */
  int ncopy;
  /* Greg by several processes: mean path length of the round alone */
  Plan *lengths;
  Val pl_len;
  size_t bound; /* bytes of outputs that live in the gradient range, counted there */
  /* train_bucket.c: [ngrad] each; order and the two after it are of the layout */
  GradPart *grad;
  GradPart **grad_order;
  int64_t *grad_number;
  int *grad_after;
  CommPart *part; /* of all buckets */
  Bucket *bucket;
  int ngrad;
  int nbucket; /* 0 before the first phase of several processes */
} PhaseNet;

/* One per phase, plus the generator forward pass that makes Dmain's fakes. Dmain's net runs twice
 * per round: fakes, reals. */
typedef enum { NET_GMAIN, NET_GREG, NET_DMAIN, NET_DREG, NET_FAKES, NET_COUNT } NetId;

/* Head of the block of results, 64 bytes; the arrays follow. */
typedef struct TrainResults {
  int64_t bad; /* gradient elements that were not finite */
  real pl_mean;
  real pad[13];
} TrainResults;

/* Gradients of the runs of a phase: the only one stays where it is, the next is the first of the
 * sum, the next is added. */
typedef enum { SUM_ADDS, SUM_NONE, SUM_BEGINS } SumKind;

/* Draws made before their iteration: the streams before and after them. */
typedef struct AheadDraws {
  bool there;
  int64_t batch_idx;
  Rng from[TRNG_COUNT];
  Rng to[TRNG_COUNT];
} AheadDraws;

struct Trainer {
  TrainConfig cfg;
  TrainData data;
  TrainerState state;
  Generator G;
  Generator G_ema;
  Discriminator D;
  FlatPlaces noises;   /* of G's noise strengths; none without cfg.noise_size */
  Adam adam[2];        /* 0: G, 1: D; so are the two gradients */
  double lr[2];        /* theirs before train_lr_factor, lazy regularisation seen to */
  real *grad_round[2]; /* flat gradient range of one run */
  real *grad_sum[2];   /* of the phase so far */
  SumKind sum_is;
  PhaseNet net[NET_COUNT];
  PlanArena arena;   /* shared by all plans */
  Backend *backend;  /* NULL: CPU */
  bool ahead;        /* backend: the mirrors are newer than the host's state */
  bool host_touched; /* backend: the host's state may be newer than the mirrors */
  int64_t *order;    /* sampler */
  AugParams *aug;    /* [round] */
  real *round_img;   /* [round,C,R,R]: Dmain's fakes, then reals */
  /* draws of one iteration */
  real *images;
  real *labels;
  real *z[PH_COUNT];
  real *c[PH_COUNT];
  real *z_mix[PH_COUNT];
  real *pl_noise;
  int64_t *cutoff[PH_COUNT];
  AheadDraws drawn; /* on a backend */
  /* results of one iteration: one block, on a backend fetched once at the end of the iteration */
  TrainResults *res;
  size_t res_bytes;
  real *g_scores;
  real *g_losses;
  real *d_fake;
  real *d_real;
  real *d_losses;
  real *r1;
  real *r1_logits;
  real *pl;
  real *pl_means;
  real *w_means; /* several processes: [rounds,w_dim] of the phase */
  /* several processes: [rounds+1] pl_mean that a round starts from; last: after all */
  real *pl_start;
  /* train_comm.c: bytes of a bucket, as process 0 has them; the net whose gradients are summed
   * beside this phase (NULL: after it), how many of its buckets have begun, and runs with a
   * gradient that the phase still has here */
  int64_t bucket_bytes;
  bool bucket_agreed;
  PhaseNet *bucket_net;
  int bucket_begun;
  int runs_left;
  TrainMetrics metrics;
  /* train_keep.c */
  void *kept; /* all of the state from before the iteration, if has_kept */
  bool has_kept;
  bool broken;
  double last_seconds; /* of the last iteration */
  void (*on_gradient)(void *ctx, TrainPhase ph, const Params *net, const real *grad);
  void *on_gradient_ctx;
};

/* ---- train_nets.c ---- */

/* All graphs and plans that the configuration needs. After an error, too: nets_free. */
Status nets_build(Trainer *t, Error *e);
void nets_free(Trainer *t);

/* After a step of an optimiser, and where weights came from the host: plan_weights_changed. */
void nets_weights_changed(Trainer *t);

/* Gradients stored in f16 (smallest normal number 6e-5) vanish where a mean over many images makes
 * them small: there the loss is multiplied by state.loss_scale before its gradient is taken. */
bool train_scales(const Trainer *t);

/* Rounds of an iteration; samples of one Greg round. */
int train_rounds(const TrainConfig *c);
int train_pl_samples(const TrainConfig *c);

/* ---- train_device.c: the state on a backend; without one these do nothing ---- */

/* Mirrors for all ranges, before the plans run; away with them after the plans are freed. */
Status train_dev_share(Trainer *t, Error *e);
void train_dev_unshare(Trainer *t);

/* Host state -> mirrors, if it may have changed; mirrors -> host state, if they are ahead. */
Status train_dev_push(Trainer *t, Error *e);
Status train_dev_pull(Trainer *t, Error *e);

/* Begin and end of an iteration. After the end results are on the host; ST_NUMERIC when a loss is
 * not finite. */
Status train_dev_begin(Trainer *t, Error *e);
Status train_dev_settle(Trainer *t, Error *e);

/* ---- train_keep.c ---- */

/* Iterations of this trainer may be broken off. */
static inline bool train_may_stop(const Trainer *t) {
  return t->cfg.stop && !t->backend && !comm_many(t->cfg.comm);
}

/* Before an iteration: keeps the state where the last one was long. After one that was broken off:
 * back to it. */
void train_keep(Trainer *t);
void train_go_back(Trainer *t);

/* ---- train_comm.c: rounds dealt to several processes; with one these do nothing, and all rounds
 * are its own ---- */

/* Does this process compute round k? */
bool train_mine(const Trainer *t, int k);

/* train_bucket_open, and zeroes what the other processes will fill. */
Status train_share_begin(Trainer *t, TrainPhase ph, Error *e);

/* `own`: how the rounds went here. Completes gradient and results. All processes return the same
 * kind of status. */
Status train_share_end(Trainer *t, TrainPhase ph, Status own, Error *e);

/* pl_start[k+1] holds the mean length of an own round k, else 0 -> pl_mean before each round. */
Status train_share_lengths(Trainer *t, Status own, Error *e);

/* pl_start[k] to where Greg's graph reads it. */
Status train_share_pl_mean(Trainer *t, int k, Error *e);

/* Before a run of the net: buckets begin within it if it is the last of the phase. */
void train_bucket_watch(Trainer *t, PhaseNet *p);

/* The buckets that did not begin within the run. */
void train_bucket_rest(Trainer *t);

/* ---- train_bucket.c ---- */

/* Building a net: room for the gradients of n tensors, then each of them. */
Status bucket_room(PhaseNet *p, int n, Error *e);
void bucket_add(PhaseNet *p, const ParamEntry *x, int done);
void bucket_free(PhaseNet *p);

/* Collective: the buckets, of at least so many bytes, of the flat ranges sum and round, and the
 * marks of the plan. */
Status bucket_layout(PhaseNet *p, Comm *c, int64_t bytes, real *sum, const real *round, Error *e);

/* A line for each bucket of the net: tensors, MB, steps of the run after it, shares of the run's
 * FLOP and operand bytes that come after it. */
void bucket_counts(PhaseNet *p, const char *name, int64_t bytes, FILE *f);

/* ---- train_phase.c ---- */

/* One phase of one iteration: all rounds, the optimiser step. */
Status phase_run(Trainer *t, TrainPhase ph, const TrainDraws *d, Error *e);

/* Whether the phase runs in this iteration (SEMANTICS section 5). */
bool train_phase_due(const TrainConfig *c, TrainPhase ph, int64_t batch_idx);
#endif
