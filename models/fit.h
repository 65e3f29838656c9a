/* fit.h: what the small networks of the project (classifier, DeepSMOTE) share: batch normalisation composed of graph operations, with running
 * statistics on the host, and one planned training step: loss, gradients of every trainable tensor, Adam. */
#ifndef PRLX_FIT_H
#define PRLX_FIT_H
#include "core/ops.h"
#include "core/optim.h"
#include "core/params.h"
#include "core/plan.h"
#include "core/rng.h"

/* Batch normalisation, Ioffe and Szegedy 2015: y = (x - mean)/sqrt(var + 1e-5) * weight + bias over N, H, W per channel. In training mean and
 * (biased) variance are those of the batch; afterwards the running ones: r <- 0.9 r + 0.1 batch, the variance unbiased (x m/(m-1)). */
Status bn_add(Params *p, const char *prefix, int channels, Error *e);  /* prefix.weight, .bias; buffers .running_mean, .running_var */
void   bn_reset(Params *p, const char *prefix);                        /* 1, 0, 0, 1 */
typedef struct BnTap { Val mean, var; double unbias; real *running_mean, *running_var; int64_t channels; } BnTap;
#define BN_MAX 32
typedef struct BnTaps { BnTap t[BN_MAX]; int n; } BnTaps;
/* x [N,C,H,W]. taps: statistics of the batch (training) and a note of what to update; NULL: running statistics, everything frozen. */
Val g_batch_norm(Graph *g, const Params *p, const char *prefix, Val x, BnTaps *taps);

/* One training step. Zero-initialise; build the graph in f->g (fit_begin), then fit_plan; fill the inputs with plan_data(f->plan, v); fit_step. */
typedef struct Fit { Graph *g; Plan *plan; Params *p; real *grad; Adam adam; BnTaps bn; } Fit;
Status fit_begin(Fit *f, Params *p, Error *e);
/* Gradient of `loss` (rank 0) for all trainable tensors of f->p; extra: further outputs to read after a step. stop: values taken as constant. */
Status fit_plan(Fit *f, Val loss, int nextra, const Val *extra, int nstop, const Val *stop, double lr, double beta1, double beta2, Error *e);
Status fit_step(Fit *f, Error *e);               /* runs the plan, Adam, running statistics */
void   fit_free(Fit *f);

/* He et al. 2015: N(0, 2/fan_in) into the tensor `name`. */
void   fit_init_he(Params *p, const char *name, int64_t fan_in, Rng *r);
/* Fisher-Yates. */
void   fit_shuffle(int64_t *order, int64_t n, Rng *r);
#endif
