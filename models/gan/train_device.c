/* train_device.c: training on a backend: which ranges have mirrors there, and when the two sides
 * meet. During an iteration nothing waits for the device: losses, logits and the counter of bad
 * gradients gather in one block that is fetched at the end. */
#include <math.h>
#include "models/gan/train_impl.h"

/* state: part of what a snapshot holds */
typedef struct Range {
  void *p;
  size_t bytes;
  bool state;
} Range;
enum { MAX_RANGES = 16, LOSS_SCALE_STEPS = 500, LOSS_SCALE_MAX = 65536 };

static int device_ranges(Trainer *t, Range *r) {
  int n = 0;
  size_t R = sizeof(real), px = (size_t)t->cfg.G.img_channels * (size_t)t->cfg.G.img_resolution *
                                (size_t)t->cfg.G.img_resolution;
  r[n++] = (Range){t->G.params.data, (size_t)t->G.params.ntotal * R, true};
  r[n++] = (Range){t->G_ema.params.data, (size_t)t->G_ema.params.ntotal * R, true};
  r[n++] = (Range){t->D.params.data, (size_t)t->D.params.ntotal * R, true};
  for (int k = 0; k < 2; k++) {
    size_t bytes = (size_t)t->adam[k].n * R;
    r[n++] = (Range){t->adam[k].v, bytes, true};
    if (t->adam[k].m) r[n++] = (Range){t->adam[k].m, bytes, true};
    r[n++] = (Range){t->grad_round[k], bytes, false};
    r[n++] = (Range){t->grad_sum[k], bytes, false};
  }
  r[n++] = (Range){t->round_img, (size_t)(t->cfg.batch / train_rounds(&t->cfg)) * px * R, false};
  r[n++] = (Range){t->res, t->res_bytes, false};
  return n;
}

Status train_dev_share(Trainer *t, Error *e) {
  Range r[MAX_RANGES];
  for (int i = 0, n = t->backend ? device_ranges(t, r) : 0; i < n; i++)
    TRY(backend_share(t->backend, r[i].p, r[i].bytes, e));
  return ST_OK;
}

void train_dev_unshare(Trainer *t) {
  Range r[MAX_RANGES];
  for (int i = 0, n = t->backend ? device_ranges(t, r) : 0; i < n; i++)
    backend_unshare(t->backend, r[i].p);
}

Status train_dev_push(Trainer *t, Error *e) {
  Range r[MAX_RANGES];
  for (int i = 0, n = t->backend && t->host_touched ? device_ranges(t, r) : 0; i < n; i++)
    if (r[i].state) TRY(backend_push(t->backend, r[i].p, r[i].bytes, e));
  if (t->host_touched) nets_weights_changed(t);
  t->host_touched = false;
  return ST_OK;
}

Status train_dev_pull(Trainer *t, Error *e) {
  Range r[MAX_RANGES];
  t->host_touched = true;
  for (int i = 0, n = t->backend && t->ahead ? device_ranges(t, r) : 0; i < n; i++)
    if (r[i].state) TRY(backend_pull(t->backend, r[i].p, r[i].bytes, e));
  t->ahead = false;
  return ST_OK;
}

Status train_dev_begin(Trainer *t, Error *e) {
  *t->res = (TrainResults){.pl_mean = (real)t->state.pl_mean};
  if (!t->backend) return ST_OK;
  t->ahead = true;
  TRY(train_dev_push(t, e));
  return backend_push(t->backend, t->res, sizeof *t->res, e);
}

static Status check_losses(const Trainer *t, const real *x, int64_t n, TrainPhase ph, Error *e) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(x[i]))
      return err_set(e, ST_NUMERIC,
                     "training: the %s loss of sample %lld is %g in iteration %lld; resume from "
                     "the last snapshot with a smaller learning "
                     "rate or a larger r1_gamma",
                     train_phase_name[ph], (long long)i, (double)x[i],
                     (long long)t->state.batch_idx);
  return ST_OK;
}

/* Half as much after an iteration with overflows; twice as much after many without. All processes
 * see the same sums, so they agree. */
static void scale_update(Trainer *t) {
  double *s = t->state.loss_scale;
  if (!train_scales(t)) return;
  s[1]++;
  if (t->res->bad > 0 || (s[1] >= LOSS_SCALE_STEPS && s[0] < LOSS_SCALE_MAX)) {
    s[0] = t->res->bad > 0 ? PRLX_MAX(s[0] / 2, 1) : s[0] * 2;
    s[1] = 0;
  }
}

Status train_dev_settle(Trainer *t, Error *e) {
  if (t->backend) TRY(backend_pull(t->backend, t->res, t->res_bytes, e));
  int B = t->cfg.batch;
  t->metrics.bad_gradients = t->res->bad;
  scale_update(t);
  if (t->metrics.ran[PH_GREG]) t->state.pl_mean = (double)t->res->pl_mean;
  if (!t->backend) return ST_OK; /* losses were checked when they were made */
  const real *loss[PH_COUNT] = {
      [PH_GMAIN] = t->g_losses, [PH_GREG] = t->pl, [PH_DMAIN] = t->d_losses, [PH_DREG] = t->r1};
  for (int ph = 0; ph < PH_COUNT; ph++) {
    if (!t->metrics.ran[ph]) continue;
    const int n = ph == PH_GREG ? train_rounds(&t->cfg) * train_pl_samples(&t->cfg) : B;
    TRY(check_losses(t, loss[ph], n, (TrainPhase)ph, e));
  }
  return ST_OK;
}
