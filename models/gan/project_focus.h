/* project_focus.h: where a projection looks: a region of the patch, 1 inside and 0 outside, soft at
 * the edge, that gets a share of the distance for itself:
 *
 *   distance = (1 - strength) LPIPS + strength LPIPS inside,
 *   LPIPS inside = sum over taps of the mean, weighted by the region, of the squared difference of
 *   the scaled features (the LPIPS head included).
 *
 * Features of the deeper taps see far beyond their position: inside is where they are, not all that
 * they see. */
#ifndef PRLX_PROJECT_FOCUS_H
#define PRLX_PROJECT_FOCUS_H
#include "core/base.h"

/* region [side,side]: 1 up to `radius` from the middle of the patch, falling to 0 at `radius +
 * soft` by half a cosine; both in pixels. */
void focus_disc(int side, double radius, double soft, float *region);

/* region [side,side]: the lesion mask [side,side] (> 0 inside) grown by `grow` pixels, Euclidean.
 * ST_INVALID: the mask is empty, or the region fills the patch, so that there is nothing to turn
 * away from. `name` begins the message. */
Status focus_mask(int side, const float *mask, double grow, const char *name, float *region,
                  Error *e);

/* Weights [side,side] with which a redrawn lesion takes the place of what was measured: region
 * [side,side], and outside of where it is 1 at least a fall to 0 over `edge` pixels by half a
 * cosine. */
void focus_soften(int side, const float *region, double edge, float *weight);

/* out [channels,side,side] = target + weight (drawn - target), weight [side,side] from 0 to 1;
 * where it is 0 the target's very bits. out may be drawn. */
void focus_place(int channels, int side, const float *weight, const float *target,
                 const float *drawn, float *out);

/* Weights of the positions of one tap, each of mean 1 (all 0 where there is nothing inside or
 * outside): inside, outside [tap,tap] from region [side,side] by box averages; side is a multiple
 * of tap. */
void focus_tap(int side, const float *region, int tap, real *inside, real *outside);
#endif
