/* project_history.c: what each step of a projection was: the table of --trace, the pictures of
 * --frames. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "tools/gan/project_impl.h"
#include "tools/view/canvas.h"

/* ---- collecting ---- */

/* Room for one more in arrays that double. */
static bool history_grow(void **p, int have, size_t unit) {
  if (have && (have & (have - 1))) return true; /* grows at powers of two */
  const size_t old = (size_t)have * unit, next = have ? 2 * old : unit;
  void *q = mem_grow(*p, old, next);
  if (q) *p = q;
  return q != NULL;
}

Status history_add(ProjectJob *j, const prlx_project_progress *p, Error *e) {
  LesionHistory *h = &j->history[p->image];
  const size_t pixels = (size_t)(j->res * j->res);
  const bool image = p->pixels && j->a.frames;
  bool ok = true;
  if (!j->a.frames && !j->a.trace) return ST_OK;
  if (!p->finished) {
    ok = history_grow((void **)&h->row, h->rows, sizeof *h->row);
    if (ok)
      h->row[h->rows++] =
          p->trace ? *p->trace : (prlx_project_trace){.step = p->step - 1, .lpips = p->lpips};
  }
  if (ok && image) {
    ok = history_grow((void **)&h->frame, h->frames, pixels * sizeof *h->frame) &&
         history_grow((void **)&h->frame_step, h->frames, sizeof *h->frame_step);
    if (ok) {
      memcpy(h->frame + (size_t)h->frames * pixels, p->pixels, pixels * sizeof *h->frame);
      h->frame_step[h->frames++] = p->finished ? p->step : p->step - 1;
    }
  }
  return ok ? ST_OK
            : err_set(e, ST_NOMEM,
                      "%s: out of memory for its steps; choose fewer lesions with --range, or a "
                      "larger --frames",
                      j->name[p->image]);
}

void history_free(ProjectJob *j) {
  for (int64_t k = 0; k < j->n && j->history; k++) {
    mem_free(j->history[k].row);
    mem_free(j->history[k].frame);
    mem_free(j->history[k].frame_step);
  }
  mem_free(j->history);
}

/* ---- pictures ---- */

enum { STRIP_COLUMNS = 20 };
/* All kept steps as one picture, 20 to a row, without a word. */
static Status write_strip(const ProjectJob *j, const LesionHistory *h, const char *name, Error *e) {
  int r = (int)j->res, cols = PRLX_MIN(h->frames, STRIP_COLUMNS),
      rows = (h->frames + cols - 1) / cols;
  float *big = mem_alloc((size_t)(cols * r) * (size_t)(rows * r) * sizeof *big);
  if (!big) return err_set(e, ST_NOMEM, "%s: out of memory for the picture of all steps", name);
  for (int k = 0; k < cols * r * rows * r; k++) big[k] = -1;
  for (int f = 0; f < h->frames; f++)
    for (int y = 0; y < r; y++)
      memcpy(big + ((f / cols) * r + y) * cols * r + (f % cols) * r,
             h->frame + ((int64_t)f * r + y) * r, (size_t)r * sizeof(float));
  Status s = project_png(j->a.out, name, "_steps", cols * r, rows * r, big, e);
  mem_free(big);
  return s;
}

typedef struct Curve {
  const char *name;
  uint32_t rgb;
  double (*value)(const prlx_project_trace *t);
} Curve;
static double curve_lpips(const prlx_project_trace *t) { return t->lpips; }
static double curve_inside(const prlx_project_trace *t) { return t->inside; }
static double curve_outside(const prlx_project_trace *t) { return t->outside; }
static double curve_w(const prlx_project_trace *t) { return t->w_distance; }
static double curve_lr(const prlx_project_trace *t) { return t->lr; }
static double curve_jitter(const prlx_project_trace *t) { return t->jitter; }
static double curve_grad(const prlx_project_trace *t) { return t->grad_w; }
static double curve_reg(const prlx_project_trace *t) {
  double s = 0;
  for (int k = 0; k < COUNT_OF(t->reg) && !isnan(t->reg[k]); k++) s += t->reg[k];
  return s;
}

/* Panels under the strip, those that hold anything; without --trace the first. */
typedef struct Panel {
  int curves;
  Curve curve[3];
} Panel;
static const Panel panels[] = {
    {3,
     {{"LPIPS", 0xffffff, curve_lpips},
      {"inside", 0xffb000, curve_inside},
      {"outside", 0x40a0ff, curve_outside}}},
    {1, {{"|w - mean| / w_std", 0x60d060, curve_w}}},
    {2, {{"learning rate", 0xff6080, curve_lr}, {"jitter", 0xc080ff, curve_jitter}}},
    {1, {{"gradient of w", 0x80d0d0, curve_grad}}},
    {1, {{"noise regulariser", 0xd0d080, curve_reg}}},
};
enum { PANEL_HEIGHT = 90, PANEL_MARGIN = 8, STRIP_GAP = 6, STRIP_LABEL = 12 };

static double panel_top(const Panel *q, const LesionHistory *h) {
  double top = 0;
  for (int c = 0; c < q->curves; c++)
    for (int i = 0; i < h->rows; i++) {
      const double v = q->curve[c].value(&h->row[i]);
      if (isfinite(v) && v > top) top = v;
    }
  return top;
}

/* One panel from 0 to the largest value, steps from left to right. */
static void draw_panel(Canvas *c, const Panel *q, const LesionHistory *h, int y, int width) {
  const double top = panel_top(q, h);
  const int x0 = 64, x1 = width - PANEL_MARGIN, y0 = y + PANEL_HEIGHT - 14, y1 = y + 14;
  char text[64];
  canvas_line(c, x0, y0, x1, y0, 0x606060);
  canvas_line(c, x0, y0, x0, y1, 0x606060);
  snprintf(text, sizeof text, "%.3g", top);
  canvas_text(c, 4, y1 - 3, 1, 0xa0a0a0, text);
  canvas_text(c, 4, y0 - 3, 1, 0xa0a0a0, "0");
  int x = x0 + 6;
  for (int k = 0; k < q->curves; k++) {
    double px = NAN, py = NAN;
    for (int i = 0; i < h->rows && top > 0; i++) {
      const double v = q->curve[k].value(&h->row[i]);
      const double cx = h->rows > 1 ? x0 + (double)(x1 - x0) * i / (h->rows - 1) : x0;
      const double cy = y0 - (y0 - y1) * v / top;
      if (isfinite(v) && isfinite(py)) canvas_line(c, px, py, cx, cy, q->curve[k].rgb);
      px = cx;
      py = isfinite(v) ? cy : NAN;
    }
    canvas_text(c, x, y + 2, 1, q->curve[k].rgb, q->curve[k].name);
    x += text_width(1, q->curve[k].name) + 12;
  }
  snprintf(text, sizeof text, "step %d", h->rows ? h->row[h->rows - 1].step : 0);
  canvas_text(c, x1 - text_width(1, text), y0 + 4, 1, 0xa0a0a0, text);
}

/* Kept steps with their numbers, and the curves under them. */
static Status write_labelled(const ProjectJob *j, const LesionHistory *h, const char *name,
                             Error *e) {
  const int r = (int)j->res, zoom = r >= 128 ? 1 : 2, cell = r * zoom + STRIP_GAP;
  const int fit = PRLX_MAX(1, 1280 / cell), cols = PRLX_MIN(PRLX_MAX(h->frames, 6), fit);
  const int rows = (h->frames + cols - 1) / cols;
  const int width = cols * cell + STRIP_GAP;
  int shown = 0;
  const int strip = rows * (cell + STRIP_LABEL) + STRIP_GAP;
  char path[PATH_LEN], text[128];
  Canvas c;
  for (int k = 0; k < COUNT_OF(panels); k++) shown += panel_top(&panels[k], h) > 0;
  TRY(path_format(path, e, "%s/%s_strip.png", j->a.out, name));
  TRY(canvas_new(&c, width, strip + 14 + shown * PANEL_HEIGHT, 24, e));
  for (int f = 0; f < h->frames; f++) {
    const int x = STRIP_GAP + f % cols * cell, y = STRIP_GAP + f / cols * (cell + STRIP_LABEL);
    const bool last = f == h->frames - 1;
    canvas_image(&c, x, y, zoom, false, h->frame + (int64_t)f * r * r, r, r, -1, 1);
    snprintf(text, sizeof text, last ? "%d, result" : "%d", h->frame_step[f]);
    canvas_text(&c, x, y + r * zoom + 2, 1, 0xe0e0e0, text);
  }
  snprintf(text, sizeof text, "%.40s: %s, space %s, focus %s", name, solver_name[j->a.solver],
           space_name[j->space], focus_name[j->a.focus]);
  canvas_text(&c, STRIP_GAP, strip, 1, 0xe0e0e0, text);
  for (int k = 0, y = strip + 14; k < COUNT_OF(panels); k++)
    if (panel_top(&panels[k], h) > 0) {
      draw_panel(&c, &panels[k], h, y, width);
      y += PANEL_HEIGHT;
    }
  const Status s = canvas_write(&c, path, e);
  canvas_free(&c);
  return s;
}

Status history_pictures(ProjectJob *j, int64_t k, Error *e) {
  LesionHistory *h = &j->history[k];
  if (!h->frames) return ST_OK;
  TRY(write_strip(j, h, j->name[k], e));
  TRY(write_labelled(j, h, j->name[k], e));
  mem_free(h->frame);
  mem_free(h->frame_step);
  h->frame = NULL;
  h->frame_step = NULL;
  h->frames = 0;
  return ST_OK;
}

/* ---- the table ---- */

static void put_number(FILE *f, double v) {
  if (isnan(v))
    fputs("\tn/a", f);
  else
    fprintf(f, "\t%.7g", v);
}

static void write_step(FILE *f, const char *name, const prlx_project_trace *t, int maps) {
  fprintf(f, "%s\t%d", name, t->step);
  put_number(f, t->lpips);
  for (int k = 0; k < COUNT_OF(t->tap); k++) put_number(f, t->tap[k]);
  put_number(f, t->inside);
  put_number(f, t->outside);
  put_number(f, t->lr);
  put_number(f, t->jitter);
  put_number(f, t->w_distance);
  put_number(f, t->grad_w);
  put_number(f, t->grad_noise);
  for (int k = 0; k < maps; k++) put_number(f, t->reg[k]);
  fputc('\n', f);
}

Status history_trace(const ProjectJob *j, Error *e) {
  const Generator *G = &j->net->net.G;
  TextFile t;
  if (!j->a.trace) return ST_OK;
  TRY(text_begin(&t, j->a.trace, e));
  fprintf(t.stream,
          "lesion\tstep\tlpips\trelu1_2\trelu2_2\trelu3_3\trelu4_3\trelu5_3\tinside\toutside\t"
          "lr\tjitter\tw_std\tgrad_w\tgrad_noise");
  for (int k = 0; k < G->num_noise; k++) {
    const int len = (int)strlen(G->noise_name[k]) - (int)strlen(".noise_const");
    fprintf(t.stream, "\treg_%.*s", len, G->noise_name[k]);
  }
  fputc('\n', t.stream);
  for (int64_t k = 0; k < j->n; k++)
    for (int i = 0; i < j->history[k].rows; i++)
      write_step(t.stream, j->name[k], &j->history[k].row[i], G->num_noise);
  return text_commit(&t, j->a.trace, e);
}
