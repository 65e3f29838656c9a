/* segment_sheet.c: see segment.h */
#include <stdio.h>
#include <string.h>
#include "tools/judge/segment.h"
#include "tools/view/canvas.h"

enum { GAP = 4, HEAD = 20, CAPTION = 14 };

static bool mask_inside(const real *m, double limit, int h, int w, int y, int x) {
  return y >= 0 && x >= 0 && y < h && x < w && (double)m[y * w + x] >= limit;
}

static bool on_border(const real *m, double limit, int h, int w, int y, int x) {
  return mask_inside(m, limit, h, w, y, x) &&
         !(mask_inside(m, limit, h, w, y - 1, x) && mask_inside(m, limit, h, w, y + 1, x) &&
           mask_inside(m, limit, h, w, y, x - 1) && mask_inside(m, limit, h, w, y, x + 1));
}

/* A small square in the middle of each border pixel, so that the image stays visible. */
static void draw_outlines(Canvas *c, int x0, int y0, int zoom, const SegRow *r, int h, int w,
                          double threshold) {
  const int size = zoom > 2 ? zoom / 2 : 1;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      const bool a = on_border(r->truth, 1e-12, h, w, y, x),
                 b = r->found && on_border(r->found, threshold, h, w, y, x);
      if (a || b)
        canvas_rect(c, x0 + x * zoom + (zoom - size) / 2, y0 + y * zoom + (zoom - size) / 2, size,
                    size,
                    a && b ? 0xffff40
                    : a    ? 0x40ff40
                           : 0xff4040,
                    true);
    }
}

Status segment_sheet(const char *path, const SegRow *row, int n, int h, int w, double threshold,
                     const char *const title[4], Error *e) {
  const int zoom = w >= 128  ? 1
                   : w >= 48 ? 2
                             : 4,
            cols = n && row[0].found ? 4 : 3, cw = w * zoom + GAP, ch = h * zoom + CAPTION + GAP;
  const int groups = n > 12  ? 3
                     : n > 4 ? 2
                             : 1,
            rows = (n + groups - 1) / groups, gw = cols * cw + 2 * GAP;
  Canvas c;
  TRY(canvas_new(&c, groups * gw + GAP, HEAD + PRLX_MAX(rows, 1) * ch + GAP, 24, e));
  Status s = ST_OK;
  for (int k = 0; k < n; k++) {
    int x = GAP + k / rows * gw, y = HEAD + k % rows * ch, col = 0;
    const SegRow *r = &row[k];
    canvas_text(&c, x, y + h * zoom + 3, 1, 0xe0e0e0, r->caption);
    for (int t = 0; t < 4; t++) {
      if (t == 2 && !r->found) continue;
      if (k % rows == 0) canvas_text(&c, x, 6, 1, 0xb0b0b0, title[t]);
      if (t == 1)
        canvas_image(&c, x, y, zoom, false, r->truth, w, h, -1, 1);
      else if (t == 2)
        canvas_image(&c, x, y, zoom, false, r->found, w, h, 0, 1);
      else
        canvas_image(&c, x, y, zoom, false, r->img, w, h, -1, 1);
      if (t == 3) draw_outlines(&c, x, y, zoom, r, h, w, threshold);
      x = GAP + k / rows * gw + ++col * cw;
    }
  }
  s = canvas_write(&c, path, e);
  canvas_free(&c);
  return s;
}
