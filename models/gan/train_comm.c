/* train_comm.c: one training run by several processes (core/comm.h), each on its own machine, GPU
 * or share of the cores.
 *
 * Every process holds the whole state and draws the whole batch's random numbers, so that the run
 * does not depend on how many there are. The rounds of a batch (batch_gpu images; minibatch stddev
 * groups never leave one) are dealt out: process r computes rounds r, r + size, ... What the rounds
 * leave behind - gradients of every phase, losses, logits for the ADA controller, means of w - is
 * zero where another process computed, so that the sum over the processes completes it: exactly,
 * but for the gradients, which come in another order than one process would add them. After that
 * all processes do the same: Adam, averages, controller.
 *
 * The gradient is summed in buckets while the last backward pass of the phase still runs; the
 * rounds before it are added up here, and the engine adds the last one on its way. Results are
 * small and wait for the end of the phase, where all processes learn whether one failed. */
#include "models/gan/train_impl.h"

bool train_mine(const Trainer *t, int k) {
  return !comm_many(t->cfg.comm) || k % t->cfg.comm->size == t->cfg.comm->rank;
}

/* Results of a phase besides the gradient, one entry per round or sample. */
static int share_parts(const Trainer *t, TrainPhase ph, CommPart p[4]) {
  int64_t B = t->cfg.batch, rounds = train_rounds(&t->cfg), pl = rounds * train_pl_samples(&t->cfg);
  const CommPart w = {t->w_means, NULL, rounds * t->G.cfg.w_dim};
  switch (ph) {
    case PH_GMAIN:
      p[0] = w;
      p[1] = (CommPart){t->g_scores, NULL, B};
      p[2] = (CommPart){t->g_losses, NULL, B};
      return 3;
    case PH_GREG:
      p[0] = w;
      p[1] = (CommPart){t->pl, NULL, pl};
      p[2] = (CommPart){t->pl_means, NULL, rounds};
      return 3;
    case PH_DMAIN:
      p[0] = w;
      p[1] = (CommPart){t->d_fake, NULL, B};
      p[2] = (CommPart){t->d_real, NULL, B};
      p[3] = (CommPart){t->d_losses, NULL, B};
      return 4;
    default:
      p[0] = (CommPart){t->r1, NULL, B};
      p[1] = (CommPart){t->r1_logits, NULL, B};
      return 2;
  }
}

/* Host ranges, or their mirrors where the training runs on a backend. */
static Status share_sum(Trainer *t, CommPart *p, int n, Error *e) {
  Comm *c = t->cfg.comm;
  const bool on_device = t->backend && c->device_begin;
  for (int i = 0; on_device && i < n; i++) p[i].x = flat_at(t->backend, p[i].x);
  if (on_device) {
    c->device_begin(c, p, n);
    return c->device_wait(c, e);
  }
  for (int i = 0; i < n; i++) {
    const size_t bytes = (size_t)p[i].n * sizeof *p[i].x;
    if (t->backend) TRY(backend_pull(t->backend, p[i].x, bytes, e));
    TRY(c->sum(c, p[i].x, p[i].n, e));
    if (t->backend) TRY(backend_push(t->backend, p[i].x, bytes, e));
  }
  return ST_OK;
}

/* ---- sums beside the last run of a phase: train_bucket.c ---- */

static PhaseNet *bucket_net(Trainer *t, TrainPhase ph) {
  static const NetId net[PH_COUNT] = {
      [PH_GMAIN] = NET_GMAIN, [PH_GREG] = NET_GREG, [PH_DMAIN] = NET_DMAIN, [PH_DREG] = NET_DREG};
  return &t->net[net[ph]];
}

static int own_rounds(const Trainer *t) {
  int n = 0;
  for (int k = 0; k < train_rounds(&t->cfg); k++) n += train_mine(t, k);
  return n;
}

/* Collective: is the gradient of this phase summed beside it (bucket_net)? */
static Status train_bucket_open(Trainer *t, TrainPhase ph, Error *e) {
  Comm *c = t->cfg.comm;
  const int is_d = ph == PH_DMAIN || ph == PH_DREG;
  real *sum = flat_at(t->backend, t->grad_sum[is_d]),
       *round = flat_at(t->backend, t->grad_round[is_d]);
  t->bucket_net = NULL;
  if (!comm_many(c)) return ST_OK;
  if (!t->bucket_agreed) {
    t->bucket_bytes = t->cfg.bucket_bytes;
    TRY(c->broadcast(c, &t->bucket_bytes, sizeof t->bucket_bytes, 0, e));
    t->bucket_agreed = true;
  }
  if (t->bucket_bytes <= 0 || !(t->backend ? c->device_begin : c->sum_begin)) return ST_OK;
  PhaseNet *p = bucket_net(t, ph);
  t->bucket_net = p;
  t->bucket_begun = 0;
  t->runs_left = own_rounds(t) * (ph == PH_DMAIN ? 2 : 1);
  /* where no round is ours, `round` is the zeros it was made of */
  return p->nbucket == 0 ? bucket_layout(p, c, t->bucket_bytes, sum, round, e) : ST_OK;
}

static void bucket_begin(Trainer *t) {
  Comm *c = t->cfg.comm;
  const Bucket *b = &t->bucket_net->bucket[t->bucket_begun++];
  (t->backend ? c->device_begin : c->sum_begin)(c, b->part, b->n);
}

static void bucket_reached(void *ctx, int i) {
  Trainer *t = ctx;
  if (i == t->bucket_begun) bucket_begin(t);
}

void train_bucket_watch(Trainer *t, PhaseNet *p) {
  const bool last = p == t->bucket_net && t->runs_left == 1;
  plan_on_mark(p->plan, last ? bucket_reached : NULL, t);
}

void train_bucket_rest(Trainer *t) {
  while (t->bucket_net && t->bucket_begun < t->bucket_net->nbucket) bucket_begin(t);
}

/* After the rounds, however they went here: the sums are there. Returns the first failure. */
static Status train_bucket_end(Trainer *t, Status own, Error *e) {
  Comm *c = t->cfg.comm;
  Error why = {0};
  if (!t->bucket_net) return own;
  train_bucket_rest(t);
  const Status st = (t->backend ? c->device_wait : c->sum_wait)(c, &why);
  if (own != ST_OK || st == ST_OK) return own;
  return err_set(e, st, "%s", why.msg);
}

Status train_share_begin(Trainer *t, TrainPhase ph, Error *e) {
  CommPart p[4];
  const int n = comm_many(t->cfg.comm) ? share_parts(t, ph, p) : 0;
  TRY(train_bucket_open(t, ph, e));
  for (int i = 0; i < n; i++) TRY(flat_zero(t->backend, flat_at(t->backend, p[i].x), p[i].n, e));
  return ST_OK;
}

Status train_share_end(Trainer *t, TrainPhase ph, Status own, Error *e) {
  if (!comm_many(t->cfg.comm)) return own;
  int is_d = ph == PH_DMAIN || ph == PH_DREG, rounds = train_rounds(&t->cfg),
      w_dim = t->G.cfg.w_dim;
  CommPart p[4], gradient = {t->grad_sum[is_d], NULL, t->adam[is_d].n};
  TRY(comm_agree(t->cfg.comm, train_bucket_end(t, own, e), NULL, e));
  if (!t->bucket_net) TRY(share_sum(t, &gradient, 1, e));
  TRY(share_sum(t, p, share_parts(t, ph, p), e));
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
