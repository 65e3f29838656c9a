/* png.h: PNG in and out. Values: read gives samples as stored (0..255 or 0..65535) plus the
 * maximum. */
#ifndef PRLX_PNG_H
#define PRLX_PNG_H
#include "core/base.h"
/* A palette is expanded to RGB(A). */
typedef struct Image {
  int w;
  int h;
  int channels; /* 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA */
  int maxval;   /* of the stored samples: 2^depth - 1, 255 for a palette */
  uint16_t *px; /* [h,w,channels], owned (image_free) */
} Image;

/* Any colour type and bit depth, Adam7 too; CRCs and sizes checked; at most 64 Mpixel. ST_IO:
 * cannot be read; ST_FORMAT: no PNG, damaged, too large. image_free(img); after an error img is
 * empty. png_decode reads the n bytes of a file in memory, `name` is for messages. */
Status png_read(const char *path, Image *img, Error *e);
Status png_decode(const uint8_t *data, size_t n, const char *name, Image *img, Error *e);

/* Also of an empty one. */
void image_free(Image *img);

/* Grey level of an image: alpha ignored, RGB must be equal channels or it is averaged (Rec. 601)
 * and *was_colour (or NULL) set. out [h,w], 0..1. */
void image_grey(const Image *img, float *out, bool *was_colour);

/* Whether img is a grey picture all of which is seen, so that image_grey loses nothing that
 * matters: channels that differ by 2 % of the range at most (what rounding does), every pixel
 * opaque. ST_INVALID says which pixel is not, and what to do; path is for the message. */
Status image_is_grey(const Image *img, const char *path, Error *e);

/* Writes px [h,w,channels], 8 bits, 1 to 4 channels, whole or not at all. ST_INVALID: impossible
 * size; ST_IO: cannot be written. */
Status png_write8(const char *path, int w, int h, int channels, const uint8_t *px, Error *e);

/* The same into memory, for data: URIs; *n bytes in *out, mem_free. */
Status png_encode8(int w, int h, int channels, const uint8_t *px, uint8_t **out, size_t *n,
                   Error *e);
#endif
