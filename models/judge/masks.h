/* masks.h: two masks beside each other, and a mask on its image. Masks are [h,w], nonzero inside;
 * distances in pixels. */
#ifndef PRLX_MASKS_H
#define PRLX_MASKS_H
#include "core/base.h"

/* All pixels within `radius` of the mask (Euclidean; radius 0: the mask). out may not be in. */
void mask_dilate(const uint8_t *mask, int h, int w, double radius, uint8_t *out);

/* Pixels of the mask, of n. */
int64_t mask_area(const uint8_t *mask, int64_t n);

typedef struct MaskScore {
  int64_t truth; /* pixels of each, and of their overlap */
  int64_t found;
  int64_t both;
  double dice; /* 2 |A and B| / (|A| + |B|) */
  /* a pixel also counts when the other mask is at most one pixel away (8 neighbours); thin rims are
   * judged hard otherwise */
  double dice_tolerant;
  /* larger of the two 95th percentiles of the distances of one border to the other; NaN: one of
   * them is empty */
  double hd95;
  /* NaN: nothing found; nothing there */
  double precision;
  double recall;
} MaskScore;

/* dice and dice_tolerant of two empty masks are NaN: nothing was asked. ST_NOMEM. */
Status mask_score(const uint8_t *truth, const uint8_t *found, int h, int w, MaskScore *s, Error *e);

enum { MASK_REACH = 4, MASK_SURROUND = 2 };

/* Does the mask lie on a bright rim of this image? The k = |mask| brightest pixels of the mask's
 * neighbourhood (everything within `reach` pixels of it) are what a threshold would call the rim if
 * it had to find as many pixels; dice is between them and the mask. A mask that ignores the image
 * gets k / |neighbourhood| on the average: chance. contrast: mean of the mask minus mean of what is
 * within 2 pixels around it, in units of img. Pixels of equal value count in the order of the
 * image. Empty mask: all NaN, area 0. */
typedef struct MaskFit {
  int64_t area;          /* pixels of the mask */
  int64_t neighbourhood; /* pixels within reach of it, itself included */
  double dice;
  double chance;
  double contrast;
} MaskFit;

/* mask, img [h,w]; reach in pixels (MASK_REACH). ST_NOMEM only. */
Status mask_fit(const uint8_t *mask, const float *img, int h, int w, double reach, MaskFit *f,
                Error *e);
#endif
