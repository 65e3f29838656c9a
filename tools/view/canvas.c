/* canvas.c: 8-bit RGB drawing for contact sheets: text, images with an intensity window, difference
 * maps, lines. Everything is clipped. */
#include "tools/view/canvas.h"
#include <math.h>
#include <string.h>
#include "io/formats/png.h"

/* Space to tilde, 5 columns of 8 bits, bit 0 at the top, bit 7 below the line. A cell is 6 x 9. */
static const uint8_t font[95][5] = {
    {0x00, 0x00, 0x00, 0x00, 0x00}, {0x00, 0x00, 0x5f, 0x00, 0x00}, {0x00, 0x07, 0x00, 0x07, 0x00},
    {0x14, 0x7f, 0x14, 0x7f, 0x14}, {0x24, 0x2a, 0x7f, 0x2a, 0x12}, {0x23, 0x13, 0x08, 0x64, 0x62},
    {0x36, 0x49, 0x55, 0x22, 0x50}, {0x00, 0x05, 0x03, 0x00, 0x00}, {0x00, 0x1c, 0x22, 0x41, 0x00},
    {0x00, 0x41, 0x22, 0x1c, 0x00}, {0x08, 0x2a, 0x1c, 0x2a, 0x08}, {0x08, 0x08, 0x3e, 0x08, 0x08},
    {0x00, 0x50, 0x30, 0x00, 0x00}, {0x08, 0x08, 0x08, 0x08, 0x08}, {0x00, 0x60, 0x60, 0x00, 0x00},
    {0x20, 0x10, 0x08, 0x04, 0x02}, {0x3e, 0x51, 0x49, 0x45, 0x3e}, {0x00, 0x42, 0x7f, 0x40, 0x00},
    {0x42, 0x61, 0x51, 0x49, 0x46}, {0x21, 0x41, 0x45, 0x4b, 0x31}, {0x18, 0x14, 0x12, 0x7f, 0x10},
    {0x27, 0x45, 0x45, 0x45, 0x39}, {0x3c, 0x4a, 0x49, 0x49, 0x30}, {0x01, 0x71, 0x09, 0x05, 0x03},
    {0x36, 0x49, 0x49, 0x49, 0x36}, {0x06, 0x49, 0x49, 0x29, 0x1e}, {0x00, 0x36, 0x36, 0x00, 0x00},
    {0x00, 0x56, 0x36, 0x00, 0x00}, {0x00, 0x08, 0x14, 0x22, 0x41}, {0x14, 0x14, 0x14, 0x14, 0x14},
    {0x41, 0x22, 0x14, 0x08, 0x00}, {0x02, 0x01, 0x51, 0x09, 0x06}, {0x3e, 0x41, 0x5d, 0x55, 0x1e},
    {0x7e, 0x11, 0x11, 0x11, 0x7e}, {0x7f, 0x49, 0x49, 0x49, 0x36}, {0x3e, 0x41, 0x41, 0x41, 0x22},
    {0x7f, 0x41, 0x41, 0x22, 0x1c}, {0x7f, 0x49, 0x49, 0x49, 0x41}, {0x7f, 0x09, 0x09, 0x09, 0x01},
    {0x3e, 0x41, 0x49, 0x51, 0x32}, {0x7f, 0x08, 0x08, 0x08, 0x7f}, {0x00, 0x41, 0x7f, 0x41, 0x00},
    {0x20, 0x40, 0x41, 0x3f, 0x01}, {0x7f, 0x08, 0x14, 0x22, 0x41}, {0x7f, 0x40, 0x40, 0x40, 0x40},
    {0x7f, 0x02, 0x0c, 0x02, 0x7f}, {0x7f, 0x04, 0x08, 0x10, 0x7f}, {0x3e, 0x41, 0x41, 0x41, 0x3e},
    {0x7f, 0x09, 0x09, 0x09, 0x06}, {0x3e, 0x41, 0x51, 0x21, 0x5e}, {0x7f, 0x09, 0x19, 0x29, 0x46},
    {0x26, 0x49, 0x49, 0x49, 0x32}, {0x01, 0x01, 0x7f, 0x01, 0x01}, {0x3f, 0x40, 0x40, 0x40, 0x3f},
    {0x1f, 0x20, 0x40, 0x20, 0x1f}, {0x7f, 0x20, 0x18, 0x20, 0x7f}, {0x63, 0x14, 0x08, 0x14, 0x63},
    {0x03, 0x04, 0x78, 0x04, 0x03}, {0x61, 0x51, 0x49, 0x45, 0x43}, {0x00, 0x7f, 0x41, 0x41, 0x00},
    {0x02, 0x04, 0x08, 0x10, 0x20}, {0x00, 0x41, 0x41, 0x7f, 0x00}, {0x04, 0x02, 0x01, 0x02, 0x04},
    {0x40, 0x40, 0x40, 0x40, 0x40}, {0x00, 0x01, 0x02, 0x04, 0x00}, {0x20, 0x54, 0x54, 0x54, 0x78},
    {0x7f, 0x48, 0x44, 0x44, 0x38}, {0x38, 0x44, 0x44, 0x44, 0x20}, {0x38, 0x44, 0x44, 0x48, 0x7f},
    {0x38, 0x54, 0x54, 0x54, 0x18}, {0x08, 0x7e, 0x09, 0x01, 0x02}, {0x18, 0xa4, 0xa4, 0xa4, 0x7c},
    {0x7f, 0x08, 0x04, 0x04, 0x78}, {0x00, 0x44, 0x7d, 0x40, 0x00}, {0x40, 0x80, 0x84, 0x7d, 0x00},
    {0x00, 0x7f, 0x10, 0x28, 0x44}, {0x00, 0x41, 0x7f, 0x40, 0x00}, {0x7c, 0x04, 0x18, 0x04, 0x78},
    {0x7c, 0x08, 0x04, 0x04, 0x78}, {0x38, 0x44, 0x44, 0x44, 0x38}, {0xfc, 0x24, 0x24, 0x24, 0x18},
    {0x18, 0x24, 0x24, 0x24, 0xfc}, {0x7c, 0x08, 0x04, 0x04, 0x08}, {0x48, 0x54, 0x54, 0x54, 0x20},
    {0x04, 0x3f, 0x44, 0x40, 0x20}, {0x3c, 0x40, 0x40, 0x20, 0x7c}, {0x1c, 0x20, 0x40, 0x20, 0x1c},
    {0x3c, 0x40, 0x30, 0x40, 0x3c}, {0x44, 0x28, 0x10, 0x28, 0x44}, {0x1c, 0xa0, 0xa0, 0xa0, 0x7c},
    {0x44, 0x64, 0x54, 0x4c, 0x44}, {0x00, 0x08, 0x36, 0x41, 0x00}, {0x00, 0x00, 0x7f, 0x00, 0x00},
    {0x00, 0x41, 0x36, 0x08, 0x00}, {0x08, 0x04, 0x08, 0x10, 0x08},
};

Status canvas_new(Canvas *c, int w, int h, uint8_t grey, Error *e) {
  size_t n;
  *c = (Canvas){0, 0, NULL};
  if (w < 1 || h < 1 || w > 65536 || h > 65536)
    return err_set(e, ST_INVALID, "picture of %d x %d pixels; expected 1 to 65536 each way", w, h);
  if (!mul_ok((size_t)w * 3, (size_t)h, &n) || !(c->rgb = mem_alloc(n)))
    return err_set(e, ST_NOMEM, "out of memory for a picture of %d x %d pixels", w, h);
  memset(c->rgb, grey, n);
  c->w = w;
  c->h = h;
  return ST_OK;
}

void canvas_free(Canvas *c) {
  mem_free(c->rgb);
  *c = (Canvas){0, 0, NULL};
}

Status canvas_write(const Canvas *c, const char *path, Error *e) {
  return png_write8(path, c->w, c->h, 3, c->rgb, e);
}

static void canvas_pixel(Canvas *c, int x, int y, uint32_t rgb) {
  if (x < 0 || y < 0 || x >= c->w || y >= c->h) return;
  uint8_t *p = c->rgb + ((size_t)y * (size_t)c->w + (size_t)x) * 3;
  p[0] = (uint8_t)(rgb >> 16);
  p[1] = (uint8_t)(rgb >> 8);
  p[2] = (uint8_t)rgb;
}

/* Mixes rgb in with weight a. */
static void canvas_blend(Canvas *c, int x, int y, uint32_t rgb, double a) {
  if (x < 0 || y < 0 || x >= c->w || y >= c->h) return;
  uint8_t *p = c->rgb + ((size_t)y * (size_t)c->w + (size_t)x) * 3;
  for (int k = 0; k < 3; k++)
    p[k] = (uint8_t)(p[k] + a * ((double)(rgb >> (16 - 8 * k) & 255) - p[k]) + 0.5);
}

void canvas_rect(Canvas *c, int x, int y, int w, int h, uint32_t rgb, bool fill) {
  int64_t x1 = (int64_t)x + w, y1 = (int64_t)y + h;
  int ya = PRLX_MAX(y, 0), xa = PRLX_MAX(x, 0), yb = (int)PRLX_MIN(y1, c->h),
      xb = (int)PRLX_MIN(x1, c->w);
  for (int j = ya; j < yb; j++)
    for (int i = xa; i < xb; i++)
      if (fill || i == x || j == y || i == x1 - 1 || j == y1 - 1) canvas_pixel(c, i, j, rgb);
}

int text_width(int scale, const char *text) { return (int)strlen(text) * 6 * scale; }
/* (x, y) is the top left corner; a newline starts the next line; what is not printable ASCII
 * becomes a question mark. */
void canvas_text(Canvas *c, int x, int y, int scale, uint32_t rgb, const char *text) {
  int at = x;
  for (; *text; text++) {
    if (*text == '\n') {
      at = x;
      y += 9 * scale;
      continue;
    }
    const uint8_t *glyph = font[*text >= ' ' && *text <= '~' ? *text - ' ' : '?' - ' '];
    for (int i = 0; i < 5; i++)
      for (int j = 0; j < 8; j++)
        if (glyph[i] >> j & 1)
          canvas_rect(c, at + i * scale, y + j * scale, scale, scale, rgb, true);
    at += 6 * scale;
  }
}

/* Catmull-Rom cubic at offset t in [0,1) between p[1] and p[2]. */
static double bezier_cubic(const double p[4], double t) {
  return p[1] +
         0.5 * t *
             (p[2] - p[0] +
              t * (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3] + t * (3 * (p[1] - p[2]) + p[3] - p[0])));
}

static int int_clamp(int v, int lo, int hi) { return v < lo ? lo : v > hi ? hi : v; }
/* Image value under the centre of output pixel (i, j). */
static double value_at(const float *img, int w, int h, int zoom, bool smooth, int i, int j) {
  if (!smooth) return img[(size_t)(j / zoom) * (size_t)w + (size_t)(i / zoom)];
  double u = (i + 0.5) / zoom - 0.5, v = (j + 0.5) / zoom - 0.5, col[4], row[4];
  int x = (int)floor(u), y = (int)floor(v);
  for (int b = 0; b < 4; b++) {
    for (int a = 0; a < 4; a++)
      row[a] = img[(size_t)int_clamp(y + b - 1, 0, h - 1) * (size_t)w +
                   (size_t)int_clamp(x + a - 1, 0, w - 1)];
    col[b] = bezier_cubic(row, u - x);
  }
  return bezier_cubic(col, v - y);
}

static uint32_t grey_level(double t) {
  return t <= 0 ? 0 : t >= 1 ? 255 : (uint32_t)(t * 255 + 0.5);
}

/* A value that is no number is drawn magenta, so that nobody takes it for tissue. */
void canvas_image(Canvas *c, int x, int y, int zoom, bool smooth, const float *img, int w, int h,
                  float lo, float hi) {
  double scale = hi != lo ? 1.0 / ((double)hi - lo) : 0;
  for (int j = 0; j < h * zoom; j++)
    for (int i = 0; i < w * zoom; i++) {
      double v = value_at(img, w, h, zoom, smooth, i, j);
      canvas_pixel(c, x + i, y + j, isnan(v) ? 0xff00ff : grey_level((v - lo) * scale) * 0x010101u);
    }
}

/* -limit blue, 0 white, limit red. */
void canvas_image_diverging(Canvas *c, int x, int y, int zoom, const float *img, int w, int h,
                            float limit) {
  for (int j = 0; j < h * zoom; j++)
    for (int i = 0; i < w * zoom; i++) {
      double v = value_at(img, w, h, zoom, false, i, j) / (limit > 0 ? limit : 1);
      /* pure colour at the limit, white in the middle */
      uint32_t fade = grey_level(1 - fabs(v)), full = grey_level(2 - fabs(v) * 0.8);
      canvas_pixel(c, x + i, y + j,
                   isnan(v) ? 0x00ff00
                   : v >= 0 ? full << 16 | fade << 8 | fade
                            : fade << 16 | fade << 8 | full);
    }
}

/* Cuts the parameter range [t0,t1] of the segment to lo <= a + t d <= hi (Liang and Barsky). */
static bool line_clip(double a, double d, double lo, double hi, double *t0, double *t1) {
  if (d == 0) return a >= lo && a <= hi;
  double p = (lo - a) / d, q = (hi - a) / d;
  *t0 = fmax(*t0, fmin(p, q));
  *t1 = fmin(*t1, fmax(p, q));
  return *t0 <= *t1;
}

/* Antialiased, one pixel wide; pixel centres have whole coordinates. */
void canvas_line(Canvas *c, double x0, double y0, double x1, double y1, uint32_t rgb) {
  double dx = x1 - x0, dy = y1 - y0, t0 = 0, t1 = 1;
  if (!isfinite(dx) || !isfinite(dy) || !line_clip(x0, dx, -1, c->w, &t0, &t1) ||
      !line_clip(y0, dy, -1, c->h, &t0, &t1))
    return;
  double ax = x0 + t0 * dx, ay = y0 + t0 * dy, bx = x0 + t1 * dx, by = y0 + t1 * dy;
  bool steep = fabs(dy) > fabs(dx);
  double a = steep ? ay : ax, b = steep ? by : bx,
         slope = steep ? (dy != 0 ? dx / dy : 0) : (dx != 0 ? dy / dx : 0), from = steep ? ax : ay,
         at = a;
  if (a > b) {
    double s = a;
    a = b;
    b = s;
    from = steep ? bx : by;
    at = a;
  }
  for (int i = (int)lrint(a); i <= (int)lrint(b); i++) {
    double m = from + (i - at) * slope, f = m - floor(m);
    int k = (int)floor(m);
    if (steep) {
      canvas_blend(c, k, i, rgb, 1 - f);
      canvas_blend(c, k + 1, i, rgb, f);
    } else {
      canvas_blend(c, i, k, rgb, 1 - f);
      canvas_blend(c, i, k + 1, rgb, f);
    }
  }
}
