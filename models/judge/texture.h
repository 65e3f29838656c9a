/* texture.h: two numbers of an image that give a generated one away without any network: how much
 * of the finest detail there is, and whether the outermost pixel is like its neighbours. A
 * classifier to which synthetic images are added for one class only can learn them in place of the
 * class. */
#ifndef PRLX_TEXTURE_H
#define PRLX_TEXTURE_H
#include "core/base.h"

/* detail: log of the mean power at 0.35 to 0.5 cycles per pixel over that at 0.06 to 0.2, after a
 * Hann window (radial frequency). border: log of the mean step of the grey value between the
 * outermost pixel and the next over that between the third and the fifth from the edge, all four
 * sides. Both are free of the scale and offset of the image; NaN where it is constant. */
typedef struct Texture {
  double detail;
  double border;
} Texture;

enum { TEXTURE_LEAST = 12 }; /* pixels on each side */

/* x [n,channels,h,w], the first channel of each -> out [n]. ST_INVALID: fewer than TEXTURE_LEAST
 * pixels on a side. */
Status texture_of(int64_t n, int channels, int h, int w, const real *x, Texture *out, Error *e);

/* How well a set is told from the reference: areas under the ROC curve, 0.5 not at all, 1 always;
 * detail and border at least 0.5 whichever side is larger. both: the linear discriminant of the two
 * numbers (Fisher 1936), fitted on these same images, so that small sets lie a little above 0.5. */
typedef struct TextureGap {
  double detail;
  double border;
  double both;
} TextureGap;

/* Images whose numbers are not finite are left out. NaN with fewer than three images on a side. */
Status texture_gap(int64_t na, const Texture *a, int64_t nb, const Texture *b, TextureGap *out,
                   Error *e);
#endif
