/* flat.c: see flat.h */
#include "core/flat.h"
#include <math.h>
#include <string.h>

/* The device computes in float; plan_new refuses a backend where real is double. */
static float *flat_f32(const real *x) { return (float *)(uintptr_t)x; }

real *flat_at(const Backend *b, real *host) { return b ? backend_device(b, host) : host; }
real *flat_value(Backend *b, Plan *p, Val v) {
  return b ? plan_device_data(p, v) : plan_data(p, v);
}

Status flat_zero(Backend *b, real *x, int64_t n, Error *e) {
  if (b) return b->zero(b, x, (size_t)n * sizeof *x, e);
  memset(x, 0, (size_t)n * sizeof *x);
  return ST_OK;
}

Status flat_copy(Backend *b, real *dst, const real *src, int64_t n, Error *e) {
  if (b) return b->copy(b, dst, src, (size_t)n * sizeof *dst, e);
  memcpy(dst, src, (size_t)n * sizeof *dst);
  return ST_OK;
}

Status flat_upload(Backend *b, real *dst, const real *host, int64_t n, Error *e) {
  return b ? b->upload(b, dst, host, (size_t)n * sizeof *dst, e) : flat_copy(NULL, dst, host, n, e);
}

Status flat_add(Backend *b, real *acc, const real *x, int64_t n, Error *e) {
  if (b) return b->accumulate(b, flat_f32(acc), flat_f32(x), n, e);
  grad_accumulate(acc, x, n);
  return ST_OK;
}

Status flat_ema(Backend *b, real *ema, const real *x, int64_t n, double beta, Error *e) {
  if (b) return b->ema(b, flat_f32(ema), flat_f32(x), n, (float)beta, e);
  ema_update(ema, x, n, beta);
  return ST_OK;
}

Status flat_ema_size(Backend *b, real *ema, const real *x, const FlatPlaces *s, double beta,
                     Error *e) {
  if (!s->n) return ST_OK;
  if (b) return b->ema_size(b, flat_f32(ema), flat_f32(x), s, (float)beta, e);
  ema_size(ema, x, s, beta);
  return ST_OK;
}

Status flat_sanitize(Backend *b, real *g, int64_t n, int64_t *bad, Error *e) {
  if (b) return b->sanitize(b, flat_f32(g), n, 1, 1e5f, bad, e);
  for (int64_t i = 0; i < n; i++) *bad += !isfinite(g[i]);
  grad_sanitize(g, n);
  return ST_OK;
}

Status flat_unscale(Backend *b, real *g, int64_t n, double factor, int64_t *bad, Error *e) {
  return b->sanitize(b, flat_f32(g), n, (float)factor, 0, bad, e);
}

Status flat_adam(Backend *b, Adam *a, real *p, const real *g, real *ema, double beta, Error *e) {
  if (!b) {
    adam_step(a, p, g);
    if (ema) ema_update(ema, p, a->n, beta);
    return ST_OK;
  }
  a->t++;
  AdamCoef c = adam_coef(a);
  c.ema = flat_f32(ema);
  c.ema_beta = (float)beta;
  return b->adam(b, flat_f32(p), flat_f32(g), a->m ? backend_device(b, a->m) : NULL,
                 backend_device(b, a->v), a->n, &c, e);
}
