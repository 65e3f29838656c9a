/* image.h: PNG in and out, contact sheets. Values: read gives samples as stored (0..255 or 0..65535) plus the maximum. */
#ifndef PRLX_IMAGE_H
#define PRLX_IMAGE_H
#include "core/base.h"
typedef struct Image { int w, h, channels; int maxval; uint16_t *px; } Image; /* channels 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA; row-major interleaved; palette is expanded to RGB(A) */
Status png_read(const char *path, Image *img, Error *e);        /* any colour type and bit depth, Adam7 too; CRCs and sizes checked; at most 64 Mpixel */
Status png_decode(const uint8_t *data, size_t n, const char *name, Image *img, Error *e);
void   image_free(Image *img);
/* Grey level of an image: alpha ignored, RGB must be equal channels or it is averaged (Rec. 601) and *was_colour set. out [h*w], 0..1. */
void   image_grey(const Image *img, float *out, bool *was_colour);
Status png_write8(const char *path, int w, int h, int channels, const uint8_t *px, Error *e);   /* atomic: temporary file + rename */
Status png_encode8(int w, int h, int channels, const uint8_t *px, uint8_t **out, size_t *n, Error *e); /* for data: URIs; mem_free(*out) */
/* zlib and raw inflate, RFC 1950/1951: decodes at most cap bytes; never reads or writes out of bounds. *used = input consumed. */
Status zlib_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, const char *name, Error *e);
Status raw_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, size_t *used, const char *name, Error *e);
uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n);      /* start with 0 */

/* Grey/RGB canvas for sheets: 8-bit, with a small built-in bitmap font (printable ASCII). */
typedef struct Canvas { int w, h; uint8_t *rgb; } Canvas;
Status canvas_new(Canvas *c, int w, int h, uint8_t grey, Error *e);
void   canvas_free(Canvas *c);
void   canvas_text(Canvas *c, int x, int y, int scale, uint32_t rgb, const char *text);
int    text_width(int scale, const char *text);
/* Draws a float image [h,w]; lo..hi maps to 0..255 (window); integer zoom; nearest or smooth (bicubic) interpolation. */
void   canvas_image(Canvas *c, int x, int y, int zoom, bool smooth, const float *img, int w, int h, float lo, float hi);
void   canvas_image_diverging(Canvas *c, int x, int y, int zoom, const float *img, int w, int h, float limit); /* blue-white-red difference map */
void   canvas_rect(Canvas *c, int x, int y, int w, int h, uint32_t rgb, bool fill);
void   canvas_line(Canvas *c, double x0, double y0, double x1, double y1, uint32_t rgb);
Status canvas_write(const Canvas *c, const char *path, Error *e);
#endif
