/* affine.h: the affine baseline of the paper (section 3.5): random rotation, scale, shear, shift
 * and flips of a patch. The paper gives no ranges; ours are the defaults below. Bilinear
 * interpolation, the nearest edge pixel outside the patch. */
#ifndef PRLX_AFFINE_H
#define PRLX_AFFINE_H
#include "core/base.h"
#include "core/rng.h"
/* Drawn uniformly: angle in +-rotate degrees, scale (both axes) in scale_lo..scale_hi, shear in
 * +-shear degrees, shift in +-shift pixels per axis, each flip with probability 1/2. */
typedef struct AffineRange {
  double rotate;
  double scale_lo;
  double scale_hi;
  double shear;
  double shift;
  bool flip;
} AffineRange;

/* 15 degrees, 0.9 .. 1.1, 5 degrees, 4 pixels, flips */
AffineRange affine_defaults(void);
Status affine_check(const AffineRange *r, Error *e); /* ST_INVALID says which field */

/* Output pixel (x,y), relative to the centre of the patch -> input pixel: x' = a x + b y + tx, y' =
 * c x + d y + ty. */
typedef struct AffineMap {
  double a;
  double b;
  double tx;
  double c;
  double d;
  double ty;
} AffineMap;

/* always takes the same number of random words */
AffineMap affine_draw(const AffineRange *r, Rng *rng);

/* in, out [channels,h,w], not overlapping. The identity copies exactly. */
void affine_apply(const AffineMap *m, const real *in, int channels, int h, int w, real *out);
#endif
