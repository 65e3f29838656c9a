/* png.h: PNG in and out. Values: read gives samples as stored (0..255 or 0..65535) plus the
 * maximum. */
#ifndef PRLX_PNG_H
#define PRLX_PNG_H
#include "core/base.h"
/* channels 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA; row-major interleaved; palette is expanded to
 * RGB(A) */
typedef struct Image {
  int w;
  int h;
  int channels;
  int maxval;
  uint16_t *px;
} Image;

/* any colour type and bit depth, Adam7 too; CRCs and sizes checked; at most 64 Mpixel */
Status png_read(const char *path, Image *img, Error *e);
Status png_decode(const uint8_t *data, size_t n, const char *name, Image *img, Error *e);
void image_free(Image *img);

/* Grey level of an image: alpha ignored, RGB must be equal channels or it is averaged (Rec. 601)
 * and *was_colour set. out [h*w], 0..1. */
void image_grey(const Image *img, float *out, bool *was_colour);

/* atomic: temporary file + rename */
Status png_write8(const char *path, int w, int h, int channels, const uint8_t *px, Error *e);

/* for data: URIs; mem_free(*out) */
Status png_encode8(int w, int h, int channels, const uint8_t *px, uint8_t **out, size_t *n,
                   Error *e);
#endif
