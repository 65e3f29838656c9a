/* ada.c: the controller of adaptive discriminator augmentation (Karras et al. 2020, section 3), the
 * EMA schedule, and the order of the reals. */
#include <math.h>
#include "models/gan/train.h"

/* r = mean sign(D(real)) near 1: the discriminator recognises the training images, i.e. overfits,
 * so augment more. */
double ada_update(const AdaConfig *c, double p, double r, int batch, bool *hit) {
  double sign = (r > c->target) - (r < c->target);
  float step = (float)(sign * ((double)batch * c->interval) / (c->kimg * 1000));
  float q = (float)p + step;
  if (q < 0) q = 0;
  bool over = step > 0 && q > c->p_max;
  /* Why a bound: when nearly every image that the discriminator sees is augmented, it cannot tell
   * augmented lesions from plain ones any more, and the generator begins to make rotated and
   * recoloured ones (Karras 2020, section 2.2). A start above it stays, but does not
   * grow. */
  if (over && !c->unbounded) q = (float)PRLX_MAX(p, c->p_max);
  if (hit) *hit = over;
  return q;
}

double train_ema_beta(const TrainConfig *c, int64_t cur_nimg) {
  if (c->ema_beta >= 0) return c->ema_beta;
  double half = c->ema_kimg * 1000;
  if (c->ema_rampup >= 0) half = PRLX_MIN(half, (double)cur_nimg * c->ema_rampup);
  return pow(0.5, c->batch / PRLX_MAX(half, 1e-8));
}

static void order_swap(int64_t *a, int64_t *b) {
  int64_t t = *a;
  *a = *b;
  *b = t;
}

void sampler_init(int64_t *order, int64_t n, Rng *r) {
  for (int64_t i = 0; i < n; i++) order[i] = i;
  for (int64_t i = n - 1; i > 0; i--) order_swap(&order[i], &order[rng_below(r, i + 1)]);
}

int64_t sampler_next(int64_t *order, int64_t n, int64_t *pos, Rng *r) {
  int64_t i = *pos % n, item = order[i], window = (n + 1) / 2;
  if (window >= 2) order_swap(&order[i], &order[((i - rng_below(r, window)) % n + n) % n]);
  ++*pos;
  return item;
}
