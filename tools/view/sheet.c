/* sheet.c: see sheet.h */
#include "tools/view/sheet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/view/canvas.h"

enum { GAP = 4, HEAD = 20, TITLE = 14, CAPTION = 11, FOOT = 30, BAR_MM = 5 };

static const char *meta_find(const StMeta *m, int n, const char *key) {
  for (int i = 0; i < n; i++)
    if (!strcmp(m[i].key, key)) return m[i].value;
  return NULL;
}

void meaning_read(ImageMeaning *m, const StMeta *meta, int nmeta, int channels) {
  const char *list = meta_find(meta, nmeta, "channels"),
             *voxel = meta_find(meta, nmeta, "unit.voxel");
  *m = (ImageMeaning){.known = true};
  m->n = list ? channels_parse(list, m->ch) : 0;
  if (m->n != channels) {
    m->known = false;
    m->n = 0;
  }
  for (int k = 0; k < m->n; k++) {
    char key[32];
    snprintf(key, sizeof key, "window.%s", channel_name(m->ch[k]));
    const char *text = meta_find(meta, nmeta, key);
    if (!text || !window_parse(text, &m->window[k]) || m->window[k].mode == WINDOW_DISPLAY ||
        m->window[k].hi <= m->window[k].lo) {
      m->known = false;
      m->window[k] = (Window){.mode = WINDOW_DISPLAY};
    }
  }
  if (!voxel || sscanf(voxel, "%lf,%lf,%lf", &m->voxel[0], &m->voxel[1], &m->voxel[2]) != 3 ||
      !(m->voxel[0] > 0 && m->voxel[1] > 0 && m->voxel[2] > 0))
    m->voxel[0] = m->voxel[1] = m->voxel[2] = 0;
}

void sheet_describe(Sheet *s, const StMeta *meta, int nmeta, int channels) {
  ImageMeaning m;
  meaning_read(&m, meta, nmeta, channels);
  s->channels = channels;
  s->mm = m.voxel[0];
  size_t at = (size_t)snprintf(s->foot, sizeof s->foot, "black to white:");
  for (int k = 0; k < m.n && at < sizeof s->foot; k++) {
    const Window *w = &m.window[k];
    const char *name = channel_name(m.ch[k]), *unit = channel_unit(m.ch[k]);
    if (w->mode == WINDOW_DISPLAY)
      at += (size_t)snprintf(s->foot + at, sizeof s->foot - at, "%s %s unknown scale", k ? ";" : "",
                             name);
    else if (w->mode == WINDOW_SLICE)
      at += (size_t)snprintf(s->foot + at, sizeof s->foot - at, "%s %s each slice min to max (%s)",
                             k ? ";" : "", name, unit);
    else if (w->mode == WINDOW_MEDIAN)
      at += (size_t)snprintf(s->foot + at, sizeof s->foot - at, "%s %s 0 to 2.5 medians",
                             k ? ";" : "", name);
    else
      at += (size_t)snprintf(s->foot + at, sizeof s->foot - at, "%s %s %.4g to %.4g%s%s",
                             k ? ";" : "", name, w->lo, w->hi, m.ch[k] == CH_CHI ? " " : "",
                             m.ch[k] == CH_CHI ? unit : "");
  }
  if (!m.n) snprintf(s->foot, sizeof s->foot, "black to white: network units -1 to 1");
}

void sheet_bar(Canvas *c, const Sheet *s, int zoom, int x, int y) {
  char text[64];
  if (!(s->mm > 0)) return;
  const int px = (int)lround(BAR_MM / s->mm * zoom);
  canvas_rect(c, x, y, px, 3, 0xffffff, true);
  canvas_rect(c, x, y - 2, 1, 7, 0xffffff, true);
  canvas_rect(c, x + px - 1, y - 2, 1, 7, 0xffffff, true);
  snprintf(text, sizeof text, "%d mm", BAR_MM);
  canvas_text(c, x + px + 5, y - 3, 1, 0xe0e0e0, text);
}

static int fitting_columns(const Sheet *s, int cell) {
  int cols = 1;
  while (cols * cols < s->n * 2 && cols * cell < 1500) cols++;
  return PRLX_MAX(1, PRLX_MIN(cols, s->n));
}

Status sheet_draw(const Sheet *s, const char *path, Error *e) {
  const int zoom = s->zoom       ? s->zoom
                   : s->w >= 128 ? 1
                   : s->w >= 48  ? 2
                                 : 4,
            cw = s->channels * s->w * zoom + (s->channels - 1) + GAP,
            ch = s->h * zoom + CAPTION + GAP;
  const int cols = PRLX_MIN(s->columns ? s->columns : fitting_columns(s, cw), PRLX_MAX(s->n, 1));
  int y = HEAD, x = 0, col = 0, section = -1, height = HEAD + FOOT;
  /* the same walk as below, for the height */
  for (int i = 0, c = cols, sec = -1; i < s->n; i++, c++) {
    if (s->sections && s->cell[i].section != sec) {
      sec = s->cell[i].section;
      height += TITLE;
      c = cols;
    }
    if (c == cols) {
      c = 0;
      height += ch;
    }
  }
  Canvas c;
  TRY(canvas_new(
      &c, PRLX_MAX(cols * cw + GAP, 6 * (int)PRLX_MAX(strlen(s->head), strlen(s->foot)) + 2 * GAP),
      height, 24, e));
  canvas_text(&c, GAP, 6, 1, 0xffffff, s->head);
  y -= ch;
  col = cols;
  for (int i = 0; i < s->n; i++, col++) {
    const SheetCell *p = &s->cell[i];
    if (s->sections && p->section != section) {
      section = p->section;
      y += ch;
      canvas_text(&c, GAP, y + 3, 1, 0xffd070, s->title[section]);
      y += TITLE - ch;
      col = cols;
    }
    if (col == cols) {
      col = 0;
      y += ch;
    }
    x = GAP + col * cw;
    for (int k = 0; k < s->channels && p->img; k++)
      canvas_image(&c, x + k * (s->w * zoom + 1), y, zoom, false,
                   p->img + (size_t)k * (size_t)(s->h * s->w), s->w, s->h, -1, 1);
    char text[64];
    snprintf(text, sizeof text, "%.*s", PRLX_MAX(1, (cw - GAP) / 6), p->caption);
    canvas_text(&c, x, y + s->h * zoom + 2, 1, 0xb0b0b0, text);
  }
  canvas_text(&c, GAP, height - 12, 1, 0xe0e0e0, s->foot);
  sheet_bar(&c, s, zoom, GAP, height - 23);
  const Status st = canvas_write(&c, path, e);
  canvas_free(&c);
  return st;
}
