/* train_comm.c: one training run by several processes (core/comm.h), each on its own machine, GPU
 * or share of the cores.
 *
 * Every process holds the whole state and draws the whole batch's random numbers, so that the run
 * does not depend on how many there are. The rounds of a batch (batch_gpu images; minibatch stddev
 * groups never leave one) are dealt out: process r computes rounds r, r + size, ... What the rounds
 * leave behind - gradients of every phase, losses, logits for the ADA controller, means of w - is
 * zero where another process computed, so that the sum over the processes completes it: exactly,
 * but for the gradients, which come in another order than one process would add them. After that
 * all processes do the same: Adam, averages, controller. */
#include "models/gan/train_impl.h"

bool train_mine(const Trainer *t, int k) {
  return !comm_many(t->cfg.comm) || k % t->cfg.comm->size == t->cfg.comm->rank;
}

typedef struct Part {
  real *x;
  int64_t n;
} Part;

/* Results of a phase besides the gradient, one entry per round or sample. */
static int share_parts(const Trainer *t, TrainPhase ph, Part p[4]) {
  int64_t B = t->cfg.batch, rounds = train_rounds(&t->cfg), pl = rounds * train_pl_samples(&t->cfg);
  const Part w = {t->w_means, rounds * t->G.cfg.w_dim};
  switch (ph) {
    case PH_GMAIN:
      p[0] = w;
      p[1] = (Part){t->g_scores, B};
      p[2] = (Part){t->g_losses, B};
      return 3;
    case PH_GREG:
      p[0] = w;
      p[1] = (Part){t->pl, pl};
      p[2] = (Part){t->pl_means, rounds};
      return 3;
    case PH_DMAIN:
      p[0] = w;
      p[1] = (Part){t->d_fake, B};
      p[2] = (Part){t->d_real, B};
      p[3] = (Part){t->d_losses, B};
      return 4;
    default:
      p[0] = (Part){t->r1, B};
      p[1] = (Part){t->r1_logits, B};
      return 2;
  }
}

/* A host range, or its mirror where the training runs on a backend. */
static Status share_sum(Trainer *t, real *x, int64_t n, Error *e) {
  Comm *c = t->cfg.comm;
  if (!t->backend) return c->sum(c, x, n, e);
  if (c->sum_device) return c->sum_device(c, flat_at(t->backend, x), n, e);
  TRY(backend_pull(t->backend, x, (size_t)n * sizeof *x, e));
  TRY(c->sum(c, x, n, e));
  return backend_push(t->backend, x, (size_t)n * sizeof *x, e);
}

Status train_share_begin(Trainer *t, TrainPhase ph, Error *e) {
  Part p[4];
  const int n = comm_many(t->cfg.comm) ? share_parts(t, ph, p) : 0;
  for (int i = 0; i < n; i++) TRY(flat_zero(t->backend, flat_at(t->backend, p[i].x), p[i].n, e));
  return ST_OK;
}

Status train_share_end(Trainer *t, TrainPhase ph, Status own, Error *e) {
  if (!comm_many(t->cfg.comm)) return own;
  int is_d = ph == PH_DMAIN || ph == PH_DREG, rounds = train_rounds(&t->cfg),
      w_dim = t->G.cfg.w_dim;
  Part p[4];
  TRY(comm_agree(t->cfg.comm, own, NULL, e));
  TRY(share_sum(t, t->grad_sum[is_d], t->adam[is_d].n, e));
  for (int i = 0, n = share_parts(t, ph, p); i < n; i++) TRY(share_sum(t, p[i].x, p[i].n, e));
  real *w_avg = params_find(&t->G.params, "mapping.w_avg")->data;
  /* one after another, as one process would */
  for (int k = 0; k < rounds && ph != PH_DREG; k++)
    TRY(flat_ema(t->backend, flat_at(t->backend, w_avg),
                 flat_at(t->backend, t->w_means + (int64_t)k * w_dim), w_dim, t->cfg.w_avg_beta,
                 e));
  return ph == PH_GREG ? train_share_pl_mean(t, rounds, e) : ST_OK;
}

Status train_share_lengths(Trainer *t, Status own, Error *e) {
  Comm *c = t->cfg.comm;
  int rounds = train_rounds(&t->cfg);
  real d = (real)t->cfg.pl_decay, keep = (real)(1 - t->cfg.pl_decay), *m = t->pl_start;
  TRY(comm_agree(c, own, NULL, e));
  TRY(c->sum(c, m + 1, rounds, e));
  m[0] = (real)t->state.pl_mean;
  for (int k = 0; k < rounds; k++) m[k + 1] = keep * m[k] + d * m[k + 1];
  return ST_OK;
}

Status train_share_pl_mean(Trainer *t, int k, Error *e) {
  return flat_upload(t->backend, flat_at(t->backend, &t->res->pl_mean), t->pl_start + k, 1, e);
}

static Status broadcast_tensor(void *ctx, const TrainTensor *x, Error *e) {
  Comm *c = ctx;
  return c->broadcast(
      c, x->data, (size_t)shape_numel(x->shape) * (x->type == TT_REAL ? sizeof(real) : 8), 0, e);
}

Status trainer_broadcast(Trainer *t, Error *e) {
  return comm_many(t->cfg.comm) ? trainer_enumerate(t, broadcast_tensor, t->cfg.comm, e) : ST_OK;
}
