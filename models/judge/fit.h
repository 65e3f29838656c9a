/* fit.h: what the small networks of the project (classifier, U-Net, DeepSMOTE) share: batch
 * normalisation composed of graph operations, with running statistics on the host; one planned
 * training step: loss, gradients of every trainable tensor, Adam; epochs over shuffled items;
 * inference in batches. */
#ifndef PRLX_FIT_H
#define PRLX_FIT_H
#include "core/backend.h"
#include "core/ops.h"
#include "core/optim.h"
#include "core/params.h"
#include "core/plan.h"
#include "core/rng.h"

/* Batch normalisation, Ioffe and Szegedy 2015: y = (x - mean)/sqrt(var + 1e-5) * weight + bias over
 * N, H, W per channel. In training mean and (biased) variance are those of the batch; afterwards
 * the running ones: r <- 0.9 r + 0.1 batch, the variance unbiased (x m/(m-1)). bn_add lays out
 * prefix.weight, prefix.bias and the buffers prefix.running_mean, prefix.running_var, [channels]
 * each; bn_reset makes them 1, 0, 0, 1. */
Status bn_add(Params *p, const char *prefix, int channels, Error *e);
void bn_reset(Params *p, const char *prefix);

/* What a training step has to update. */
typedef struct BnTap {
  Val mean; /* of the batch */
  Val var;
  double unbias; /* m/(m-1) */
  real *running_mean;
  real *running_var;
  int64_t channels;
} BnTap;
#define BN_MAX 32
typedef struct BnTaps {
  BnTap tap[BN_MAX];
  int n;
} BnTaps;

/* x [N,C,H,W]. taps: statistics of the batch (training) and a note of what to update; NULL: running
 * statistics, everything frozen. */
Val g_batch_norm(Graph *g, const Params *p, const char *prefix, Val x, BnTaps *taps);

/* One training step. Zero-initialise; fit_begin; build the graph in f->graph; fit_plan; fill the
 * inputs with plan_data(f->plan, v); fit_step. */
typedef struct Fit {
  Graph *graph;
  Plan *plan;
  Backend *backend; /* borrowed; NULL: the CPU */
  int shared;       /* ranges of this that have a mirror there */
  Params *params;   /* borrowed */
  real *grad;       /* flat, [params->nparam] */
  Adam adam;
  BnTaps bn;
} Fit;

/* An empty graph for the parameters p, which must outlive f; it will run on b (NULL: the CPU).
 * fit_free after an error, too. */
Status fit_begin(Fit *f, Params *p, Backend *b, Error *e);

/* Gradient of `loss` (rank 0) for all trainable tensors of f->params; extra: further outputs to
 * read after a step. stop: values taken as constant. Errors of graph and plan. */
Status fit_plan(Fit *f, Val loss, int nextra, const Val *extra, int nstop, const Val *stop,
                double lr, double beta1, double beta2, Error *e);

/* Runs the plan, Adam, the running statistics. On a backend the trained parameters are ahead of the
 * host's until fit_fetch; the running statistics are the host's in any case. */
Status fit_step(Fit *f, Error *e);
Status fit_fetch(Fit *f, Error *e);

/* Also of an empty one. */
void fit_free(Fit *f);

/* Single slices, borrowed. */
typedef struct Slices {
  const real *images;    /* [n,channels,h,w] in network units */
  const int64_t *labels; /* [n]; NULL where no class is needed */
  int64_t n;
  int channels;
  int h;
  int w;
} Slices;

/* At least one slice, `channels` channels, finite values; messages begin with `who`. ST_INVALID,
 * ST_NUMERIC. */
Status fit_check_slices(const char *who, const Slices *d, int channels, Error *e);

/* n items in batches, over and over. */
typedef struct FitLoop {
  const char *who; /* messages begin with it */
  int64_t n;
  int epochs;
  int batch;
  uint64_t seed;
  /* puts an item into a row of the inputs */
  void (*load)(void *ctx, int row, int64_t item);
  /* after a step on items[0..batch-1], to look at the outputs; may be NULL */
  void (*after)(void *ctx, const int64_t *items);
  /* after each epoch (1, 2, ...): mean loss; false stops; may be NULL */
  bool (*tick)(void *ctx, int epoch, double loss);
  void *ctx;
} FitLoop;

/* Epochs of fit_step: the order is shuffled each epoch (stream 1 of the seed); the last n mod batch
 * items of an epoch are left out, others each time. ST_NUMERIC: the loss is not finite;
 * ST_INTERRUPTED: tick said so. */
Status fit_epochs(Fit *f, Val loss, const FitLoop *l, Error *e);

enum { FIT_PREDICT_BATCH = 16 };

/* One run of a plan, and its output y, which the plan owns. */
Status fit_result(Plan *p, Val y, const real **out, Error *e);

/* Runs y of x [FIT_PREDICT_BATCH,...] over all slices, on b (NULL: the CPU); take sees the m
 * results from slice `first` on. */
Status fit_predict(Graph *g, Val x, Val y, Backend *b, const Slices *d,
                   void (*take)(void *ctx, int64_t first, int64_t m, const real *y), void *ctx,
                   Error *e);

/* He et al. 2015: N(0, 2/fan_in) into the tensor `name`. */
void fit_init_he(Params *p, const char *name, int64_t fan_in, Rng *r);

/* Fisher-Yates: order [n], all permutations equally likely. */
void fit_shuffle(int64_t *order, int64_t n, Rng *r);
#endif
