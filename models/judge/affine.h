/* affine.h: the affine baseline of the paper (section 3.5): random rotation, scale, shear, shift
 * and flips of a patch. The paper gives no ranges; ours are the defaults below. Bilinear
 * interpolation, the nearest edge pixel outside the patch. */
#ifndef PRLX_AFFINE_H
#define PRLX_AFFINE_H
#include "core/base.h"
#include "core/rng.h"

/* Drawn uniformly. */
typedef struct AffineRange {
  double rotate;   /* angle in +-rotate degrees */
  double scale_lo; /* factor of both axes in scale_lo..scale_hi */
  double scale_hi;
  double shear; /* +-shear degrees */
  double shift; /* +-shift pixels per axis */
  bool flip;    /* each axis with probability 1/2 */
} AffineRange;

/* 15 degrees, 0.9 .. 1.1, 5 degrees, 4 pixels, flips. */
AffineRange affine_defaults(void);

/* ST_INVALID says which field. */
Status affine_check(const AffineRange *r, Error *e);

/* Output pixel (x,y), relative to the centre of the patch -> input pixel: x' = a x + b y + tx, y' =
 * c x + d y + ty (pixels). */
typedef struct AffineMap {
  double a;
  double b;
  double tx;
  double c;
  double d;
  double ty;
} AffineMap;

/* Always takes the same number of random words. */
AffineMap affine_draw(const AffineRange *r, Rng *rng);

/* in, out [channels,h,w], not overlapping. The identity copies exactly. */
void affine_apply(const AffineMap *m, const real *in, int channels, int h, int w, real *out);
#endif
