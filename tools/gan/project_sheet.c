/* project_sheet.c: pictures of the results of `prlx project`. */
#include <math.h>
#include <stdio.h>
#include "io/formats/path.h"
#include "tools/gan/project_impl.h"
#include "tools/view/canvas.h"
#include "tools/view/sheet.h"

Status project_png(const char *dir, const char *name, const char *tail, int w, int h,
                   const float *img, Error *e) {
  char path[PATH_LEN];
  prlx_error pe;
  TRY(path_format(path, e, "%s/%s%s.png", dir, name, tail));
  return api_status(prlx_png_write(path, w, h, img, &pe), &pe, e);
}

enum { SHEET_ROWS = 60, GAP = 6, HEAD = 22, CAPTION = 12, FOOT = 50 };
/* Target, denoised, difference of lesion k, side by side for every channel. */
static Status draw_lesion(const ProjectJob *j, Canvas *c, int64_t k, int x, int y, int zoom,
                          float limit, Error *e) {
  const int r = (int)j->res, step = r * zoom + GAP;
  float *diff = mem_alloc((size_t)(r * r) * sizeof *diff);
  if (!diff) return err_set(e, ST_NOMEM, "sheet.png: out of memory");
  for (int ch = 0; ch < j->channels; ch++, x += 3 * step) {
    const float *t = j->in.images + k * j->per + ch * r * r,
                *d = project_results(j, k) + ch * r * r;
    for (int i = 0; i < r * r; i++) diff[i] = d[i] - t[i];
    canvas_image(c, x, y, zoom, false, t, r, r, -1, 1);
    canvas_image(c, x + step, y, zoom, false, d, r, r, -1, 1);
    canvas_image_diverging(c, x + 2 * step, y, zoom, diff, r, r, limit);
  }
  mem_free(diff);
  return ST_OK;
}

/* sheet.png: one row per image, in as many column groups as needed: target, denoised, difference.
 */
Status project_sheet(const ProjectJob *j, Error *e) {
  int zoom = j->res >= 128  ? 1
             : j->res >= 48 ? 2
                            : 4,
      cell = (int)j->res * zoom, n = (int)PRLX_MIN(j->done, SHEET_ROWS);
  int groups = n > 30 ? 4 : n > 12 ? 3 : n > 4 ? 2 : 1;
  if (j->channels > 1) groups = n > 12 ? 2 : 1;
  int rows = (n + groups - 1) / groups, gw = 3 * (int)j->channels * (cell + GAP) + 2 * GAP;
  Canvas c;
  char path[PATH_LEN];
  TRY(path_join(path, j->a.out, "sheet.png", e));
  TRY(canvas_new(&c, groups * gw + GAP, HEAD + rows * (cell + CAPTION + GAP) + FOOT, 24, e));
  Status s = ST_OK;
  double worst = 0.25;
  const float *img = project_results(j, 0);
  for (int64_t k = 0; k < j->done * j->per; k++)
    worst = PRLX_MAX(worst, fabs((double)img[k] - (double)j->in.images[k]));
  float limit = (float)PRLX_MIN(worst, 1.0);
  for (int g = 0; g < groups; g++) {
    static const char *const head[3] = {"target", "denoised", "difference"};
    for (int k = 0; k < 3 * j->channels; k++)
      canvas_text(&c, GAP + g * gw + k * (cell + GAP), 7, 1, 0xb0b0b0, head[k % 3]);
  }
  for (int k = 0; k < n; k++) {
    int x = GAP + (k / rows) * gw, y = HEAD + (k % rows) * (cell + CAPTION + GAP);
    s = draw_lesion(j, &c, k, x, y, zoom, limit, e);
    if (s != ST_OK) goto done;
    char text[160];
    snprintf(text, sizeof text, "%.24s  LPIPS %.4f  MSE %.5f", j->name[k],
             prlx_projection_lpips(j->r, k), j->mse[k]);
    canvas_text(&c, x, y + cell + 3, 1, 0xe0e0e0, text);
  }
  Sheet meaning = {0};
  sheet_describe(&meaning, j->in.meta, j->in.nmeta, (int)j->channels);
  sheet_bar(&c, &meaning, zoom, GAP, c.h - 44);
  canvas_text(&c, GAP, c.h - 33, 1, 0xe0e0e0, meaning.foot);
  char foot[200];
  snprintf(foot, sizeof foot, "LPIPS with %s", prlx_vgg_name(j->vgg));
  canvas_text(&c, GAP, c.h - 22, 1, 0x909090, foot);
  snprintf(foot, sizeof foot, "difference = denoised - target, blue -%.2f to red %.2f",
           (double)limit, (double)limit);
  canvas_text(&c, GAP, c.h - 11, 1, 0x909090, foot);
  s = canvas_write(&c, path, e);
done:
  canvas_free(&c);
  return s;
}
