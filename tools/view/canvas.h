/* canvas.h: a grey or RGB canvas for sheets: 8-bit, with a small built-in bitmap font
 * (printable ASCII). */
#ifndef PRLX_CANVAS_H
#define PRLX_CANVAS_H
#include "core/base.h"
typedef struct Canvas {
  int w;
  int h;
  uint8_t *rgb;
} Canvas;

/* An image of w x h pixels, all of one grey; canvas_free also of an empty one. */
Status canvas_new(Canvas *c, int w, int h, uint8_t grey, Error *e);
void canvas_free(Canvas *c);

/* Text from (x, y), its upper left corner, in 0xRRGGBB, letters enlarged by `scale`; text_width:
 * the pixels that it takes. */
void canvas_text(Canvas *c, int x, int y, int scale, uint32_t rgb, const char *text);
int text_width(int scale, const char *text);

/* Draws a float image [h,w]; lo..hi maps to 0..255 (window); integer zoom; nearest or smooth
 * (bicubic) interpolation. */
void canvas_image(Canvas *c, int x, int y, int zoom, bool smooth, const float *img, int w, int h,
                  float lo, float hi);

/* The same as a blue-white-red difference map: -limit..limit. */
void canvas_image_diverging(Canvas *c, int x, int y, int zoom, const float *img, int w, int h,
                            float limit);

/* Frame or filled rectangle; a line with soft edges. */
void canvas_rect(Canvas *c, int x, int y, int w, int h, uint32_t rgb, bool fill);
void canvas_line(Canvas *c, double x0, double y0, double x1, double y1, uint32_t rgb);

/* As PNG, whole or not at all. */
Status canvas_write(const Canvas *c, const char *path, Error *e);
#endif
