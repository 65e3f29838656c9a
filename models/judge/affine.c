/* affine.c: see affine.h */
#include "models/judge/affine.h"
#include <math.h>

AffineRange affine_defaults(void) {
  return (AffineRange){
      .rotate = 15, .scale_lo = 0.9, .scale_hi = 1.1, .shear = 5, .shift = 4, .flip = true};
}

Status affine_check(const AffineRange *r, Error *e) {
  if (!(r->rotate >= 0 && r->rotate <= 180))
    return err_set(e, ST_INVALID, "affine: rotation of %g degrees; expected 0 to 180", r->rotate);
  if (!(r->scale_lo > 0 && r->scale_lo <= r->scale_hi && r->scale_hi <= 10))
    return err_set(e, ST_INVALID, "affine: scale from %g to %g; expected 0 < from <= to <= 10",
                   r->scale_lo, r->scale_hi);
  if (!(r->shear >= 0 && r->shear < 80))
    return err_set(e, ST_INVALID, "affine: shear of %g degrees; expected 0 to below 80", r->shear);
  if (!(r->shift >= 0 && r->shift <= 1e4))
    return err_set(e, ST_INVALID, "affine: shift of %g pixels; expected 0 to 10000", r->shift);
  return ST_OK;
}

AffineMap affine_draw(const AffineRange *r, Rng *rng) {
  double u[7];
  for (int i = 0; i < 7; i++) u[i] = rng_uniform(rng);
  const double deg = M_PI / 180, angle = (2 * u[0] - 1) * r->rotate * deg,
               shear = tan((2 * u[1] - 1) * r->shear * deg);
  const double inv = 1 / (r->scale_lo + u[2] * (r->scale_hi - r->scale_lo)), co = cos(angle),
               si = sin(angle);
  const double fx = r->flip && u[5] < 0.5 ? -1 : 1, fy = r->flip && u[6] < 0.5 ? -1 : 1;
  AffineMap m = {.a = co * inv * fx,
                 .b = (co * shear - si) * inv * fy,
                 .c = si * inv * fx,
                 .d = (si * shear + co) * inv * fy};
  m.tx = (2 * u[3] - 1) * r->shift;
  m.ty = (2 * u[4] - 1) * r->shift;
  return m;
}

static double image_sample(const real *p, int h, int w, double x, double y) {
  x = PRLX_MIN(PRLX_MAX(x, 0.0), w - 1.0);
  y = PRLX_MIN(PRLX_MAX(y, 0.0), h - 1.0);
  const int x0 = (int)x, y0 = (int)y, x1 = PRLX_MIN(x0 + 1, w - 1), y1 = PRLX_MIN(y0 + 1, h - 1);
  const double fx = x - x0, fy = y - y0;
  const double top = (double)p[y0 * w + x0] * (1 - fx) + (double)p[y0 * w + x1] * fx,
               low = (double)p[y1 * w + x0] * (1 - fx) + (double)p[y1 * w + x1] * fx;
  return top * (1 - fy) + low * fy;
}

void affine_apply(const AffineMap *m, const real *in, int channels, int h, int w, real *out) {
  const double cx = (w - 1) / 2.0, cy = (h - 1) / 2.0;
  for (int c = 0; c < channels; c++)
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++) {
        const double dx = x - cx, dy = y - cy;
        out[(c * h + y) * w + x] =
            (real)image_sample(in + (int64_t)c * h * w, h, w, m->a * dx + m->b * dy + m->tx + cx,
                               m->c * dx + m->d * dy + m->ty + cy);
      }
}
