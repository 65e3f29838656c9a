/* cam.h: where a classifier looks. Class activation map, Zhou et al. 2016 (arXiv 1512.04150), Eq.
 * 2: M_c(x,y) = sum_k w_ck f_k(x,y), f the last unit's output before global average pooling, w the
 * linear layer. Grad-CAM, Selvaraju et al. 2017 (arXiv 1610.02391), Eqs. 1 and 2: weights are the
 * mean gradient d y_c / d f_k, then ReLU. For pooling + linear layer that gradient is w_ck/(h w)
 * everywhere, so Grad-CAM = ReLU(CAM)/(h w) (test_classifier.c). With more than CLS_MAP_UNITS
 * poolings the last unit has too few positions for a map (one, where all six pool): both kinds are
 * then taken from the unit with the CLS_MAP_UNITS-th pooling, with the mean gradient as weight,
 * CAM_ZHOU without the ReLU. */
#ifndef PRLX_CAM_H
#define PRLX_CAM_H
#include "models/judge/classifier.h"
typedef enum { CAM_ZHOU, CAM_GRAD } CamKind;

/* Height and width of the maps for patches of h x w pixels. */
void cam_size(const Classifier *c, int h, int w, int *mh, int *mw);

/* maps [n,mh,mw] of class cls for the logit (CAM_ZHOU: signed; CAM_GRAD: >= 0). ST_INVALID: slices
 * that the classifier does not take, a class that is not there; ST_NUMERIC: NaN. */
Status cam_maps(const Classifier *c, const Slices *d, int cls, CamKind kind, real *maps, Error *e);

/* Bilinear, half-pixel centres, edges held: [mh,mw] -> [h,w]. */
void cam_enlarge(const real *map, int mh, int mw, int h, int w, real *out);

/* Share of the map's positive mass on the mask [h,w], which is first widened by `widen` pixels
 * (Euclidean): 0 .. 1; NaN when the map has no positive mass or the mask is empty. area (may be
 * NULL): share of the patch that the widened mask covers, which is what a flat map would score. hit
 * (may be NULL): the map's maximum lies on it. ST_INVALID: widen below 0 or above 1000. */
Status cam_share(const real *map, const uint8_t *mask, int h, int w, double widen, double *share,
                 double *area, bool *hit, Error *e);

/* Colour for v in 0..1: dark violet over teal to yellow, CIELAB lightness 15 to 90 in equal steps,
 * so that equal steps of v look equal, in print too. */
void cam_colour(double v, uint8_t rgb[3]);
#endif
