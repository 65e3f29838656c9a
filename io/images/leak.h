/* leak.h: does something of the test stand on the other side, too? By patient (however the name is
 * spelled and whatever the session), by lesion, and by image: to the bit, or but for brightness,
 * contrast, sign, mirroring and quarter turns. */
#ifndef PRLX_LEAK_H
#define PRLX_LEAK_H
#include "io/images/dataset.h"

enum { MARK_NUMBERS = 4 };
/* What images that show the same have in common: size of skewness, kurtosis, size of the fifth
 * standardised moment, and squared differences of neighbours over the variance. None changes when
 * an image is scaled, shifted in brightness, negated, mirrored or turned by quarters. */
typedef struct ImageMark {
  double number[MARK_NUMBERS];
  uint64_t bits;  /* of the values as they are */
  uint64_t place; /* of grid and slice, for the caller to set; 0: unknown */
  bool rich;      /* 16 values or more: a drawing of fewer proves nothing by itself */
} ImageMark;

/* Hash of a slice's place: dim [3], affine [16], slice. Never 0. */
uint64_t image_place(const int64_t *dim, const double *affine, int64_t slice);

/* img: [h][w], finite. A constant image has numbers of 0 and is not rich. */
void image_mark(const float *img, int h, int w, ImageMark *m);

/* Both rich, and every number of b within tolerance * (1 + |a|) of a's. */
bool marks_near(const ImageMark *a, const ImageMark *b, double tolerance);

/* Correlation of at least 0.999, up to sign, in one of the eight positions of a square (of the four
 * of a rectangle). */
bool image_same(const float *a, const float *b, int h, int w);

/* What outlasts a window that cuts bright and dark off: means of 8 x 8 blocks, less their mean,
 * over their length; zeros for a constant image. */
enum { THUMB_SIDE = 8 };
typedef struct ImageThumb {
  float mean[THUMB_SIDE * THUMB_SIDE];
} ImageThumb;

/* img: [h][w], finite. */
void image_thumb(const float *img, int h, int w, ImageThumb *t);

/* Might be the same, in one of the positions of a square or a rectangle: correlation of at least
 * 0.9, up to sign. */
bool thumbs_near(const ImageThumb *a, const ImageThumb *b, bool square);

/* As image_same, without the pixels that have the darkest or brightest value of either image: those
 * may be cut off. False where less than half remain. */
bool image_same_cut(const float *a, const float *b, int h, int w);

/* A pair of images of different owners from the same values: marks that agree within 1e-5, or,
 * where the values are few, the same bits at the same place. owner: [n]. pair: the two indices, or
 * -1 when there is none; first < second. */
Status marks_find_pair(const ImageMark *m, const int *owner, int64_t n, int64_t pair[2], Error *e);

/* Between data sets made at different times: no patient of a test set in any other file, no lesion
 * and no image in two. A file that does not say split = train or ambiguous counts as a test; where
 * none is a test, two training files must not share a patient either, since one of them would be
 * the test. ST_INVALID tells who is where; ST_FORMAT: a file without subjects. */
Status leak_check_files(int n, char *const *paths, Error *e);
#endif
