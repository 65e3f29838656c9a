/* chart.c: see chart.h. The frame: buffer, panels, axes, legends. The kinds of charts are in
 * chart_kinds.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "tools/view/assets.h"
#include "tools/view/chart_impl.h"

void chart_begin(Chart *c, int columns) { *c = (Chart){.columns = PRLX_MAX(columns, 1)}; }
void chart_free(Chart *c) {
  report_free(&c->body);
  *c = (Chart){0};
}

/* ---- panels ---- */
void panel_begin(Chart *c, Panel *p, int w, int h, const char *title) {
  *p = (Panel){.r = &c->body, .w = w, .h = h};
  if (c->panels && c->panels % c->columns == 0) {
    c->y += c->row_height;
    c->x = c->row_height = 0;
  }
  report_putf(p->r, "<g transform=\"translate(%d %d)\">\n", c->x, c->y);
  c->panels++;
  c->x += w;
  c->width = PRLX_MAX(c->width, c->x);
  c->row_height = PRLX_MAX(c->row_height, h);
  panel_text(p, PAD_L, 18, "ch-t", 0, title);
}

void panel_end(Panel *p) { report_put(p->r, "</g>\n"); }

void panel_text(Panel *p, double x, double y, const char *cls, int anchor, const char *text) {
  static const char *const where[3] = {"start", "middle", "end"};
  if (!text) return;
  report_putf(p->r, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", cls, x, y,
              where[anchor]);
  report_put_escaped(p->r, text);
  report_put(p->r, "</text>\n");
}

/* Digits of a label, never "-0". */
void number_text(double v, double step, char out[32]) {
  if (fabs(v) < step * 1e-6) v = 0;
  const int digits = (int)PRLX_MAX(0., PRLX_MIN(12., -floor(log10(step) + 1e-9)));
  if (v && (fabs(v) >= 1e5 || fabs(v) < 1e-4))
    snprintf(out, 32, "%.3g", v);
  else
    snprintf(out, 32, "%.*f", digits, v);
}

/* Width of a text of the usual size, in pixels, roughly: no font metrics here. */
double text_pixels(const char *t) { return 6.5 * (double)(t ? strlen(t) : 0); }

/* ---- axes ---- */
double axis_at(const Axis *a, double v) {
  const double t = a->log ? log10(v) : v;
  return a->p0 + (t - a->lo) / (a->hi - a->lo) * (a->p1 - a->p0);
}

bool axis_shows(const Axis *a, double v) {
  if (!isfinite(v) || (a->log && v <= 0)) return false;
  const double t = a->log ? log10(v) : v, slack = 1e-9 * (a->hi - a->lo);
  return t >= a->lo - slack && t <= a->hi + slack;
}

void axis_add(Axis *a, double v) {
  if (!isfinite(v) || (a->log && v <= 0)) return;
  const double t = a->log ? log10(v) : v;
  if (!a->any) a->lo = a->hi = t;
  a->any = true;
  a->lo = PRLX_MIN(a->lo, t);
  a->hi = PRLX_MAX(a->hi, t);
}

/* Room around the values; `fixed` ends (an axis from 0) stay. */
void axis_finish(Axis *a, double room, bool fixed_lo) {
  if (a->hi <= a->lo) {
    const double d = PRLX_MAX(fabs(a->lo) * 0.1, 1e-3);
    if (!fixed_lo) a->lo -= d;
    a->hi += d;
  }
  const double d = room * (a->hi - a->lo);
  if (!fixed_lo) a->lo -= d;
  a->hi += d;
}

/* Calls mark for each tick: whole decades (with 2 and 5 where there are few) or round numbers. */
static int axis_ticks(const Axis *a, int want, double *v, double *step) {
  int n = 0;
  if (a->log) {
    const double span = a->hi - a->lo;
    const int every = (int)PRLX_MAX(1., ceil(span / want));
    for (int d = (int)floor(a->lo); d <= (int)ceil(a->hi) && n < CHART_TICKS - 3; d++)
      for (int k = 0; k < (span < 2.5 ? 3 : 1); k++) {
        const double t = d + (k == 1 ? log10(2) : k == 2 ? log10(5) : 0);
        if (t >= a->lo && t <= a->hi && d % every == 0) v[n++] = pow(10, t);
      }
    *step = 0;
    return n;
  }
  *step = nice_step(a->hi - a->lo, want);
  for (double t = ceil(a->lo / *step - 1e-9) * *step; t <= a->hi + 1e-9 * *step && n < CHART_TICKS;
       t += *step)
    v[n++] = t;
  return n;
}

static void tick_text(double v, double step, char out[32]) {
  if (step > 0)
    number_text(v, step, out);
  else
    snprintf(out, 32, "%.6g", v);
}

void axis_x(Panel *p, const Axis *a, double top, double bottom, const char *label) {
  double v[CHART_TICKS], step;
  char t[32];
  const int n = axis_ticks(a, 5, v, &step);
  for (int i = 0; i < n; i++) {
    const double x = axis_at(a, v[i]);
    report_putf(p->r, "<line class=\"ch-g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", x,
                x, top, bottom);
    tick_text(v[i], step, t);
    panel_text(p, x, bottom + 15, "ch-l", 1, t);
  }
  panel_text(p, (a->p0 + a->p1) / 2, bottom + 32, "ch-l", 1, label);
}

void axis_y(Panel *p, const Axis *a, double left, double right, const char *label) {
  double v[CHART_TICKS], step;
  char t[32];
  const int n = axis_ticks(a, 4, v, &step);
  for (int i = 0; i < n; i++) {
    const double y = axis_at(a, v[i]);
    report_putf(p->r, "<line class=\"ch-g\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                left, right, y, y);
    tick_text(v[i], step, t);
    panel_text(p, left - 6, y + 4, "ch-l", 2, t);
  }
  if (!label) return;
  report_putf(
      p->r,
      "<text class=\"ch-l\" text-anchor=\"middle\" transform=\"translate(14 %.1f) rotate(-90)\">",
      (a->p0 + a->p1) / 2);
  report_put_escaped(p->r, label);
  report_put(p->r, "</text>\n");
}

/* A dashed line at ref with its text beside it, inside the frame. */
void ref_line(Panel *p, const Axis *x, double top, double bottom, double ref, const char *text) {
  if (!axis_shows(x, ref)) return;
  const double at = axis_at(x, ref);
  const bool left = text && at + 6 + text_pixels(text) > p->w;
  report_putf(p->r, "<line class=\"ch-r\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", at,
              at, top, bottom);
  panel_text(p, left ? at - 4 : at + 4, top + 10, "ch-k", left ? 2 : 0, text);
}

/* ---- legends ---- */
/* Entries from left to right, in as many lines as they need; returns the height. */
int legend_rows(int n, const char *const *text, int w) {
  double x = 0;
  int rows = n > 0;
  for (int i = 0; i < n; i++) {
    const double need = 34 + text_pixels(text[i]);
    if (x > 0 && x + need > w - PAD_L) {
      rows++;
      x = 0;
    }
    x += need;
  }
  return rows;
}

void legend_draw(Panel *p, int n, const char *const *text, double top) {
  double x = 0;
  for (int i = 0; i < n; i++) {
    const double need = 34 + text_pixels(text[i]);
    if (x > 0 && x + need > p->w - PAD_L) {
      top += LEGEND_ROW;
      x = 0;
    }
    report_putf(p->r,
                "<rect class=\"ch-f%d ch-s%d\" x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"9\" "
                "fill-opacity=\".35\" stroke-width=\"1.6\"%s/>\n",
                i % CHART_SETS, i % CHART_SETS, PAD_L + x, top - 9,
                i % 2 ? " stroke-dasharray=\"3 2\"" : "");
    panel_text(p, PAD_L + x + 20, top, "ch-k", 0, text[i]);
    x += need;
  }
}

/* ---- out ---- */
static void write_svg(const Chart *c, Report *r, bool page) {
  const int w = PRLX_MAX(c->width, 1), h = PRLX_MAX(c->y + c->row_height, 1);
  report_putf(r, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" ", w,
              h);
  if (page)
    report_putf(r, "style=\"width:%dpx;max-width:100%%;height:auto\">\n<style>", w);
  else
    report_putf(
        r, "width=\"%d\" height=\"%d\" style=\"width:%dpx;max-width:100%%;height:auto\">\n<style>",
        w, h, w);
  report_put_joined(r, asset_chart_css);
  if (page) report_put_joined(r, asset_chart_dark_css);
  report_put(r, "</style>\n");
  if (!page) report_put(r, "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  report_put(r, c->body.s ? c->body.s : "");
  report_put(r, "</svg>\n");
}

Status chart_write(const Chart *c, const char *path, Error *e) {
  Report r = {0};
  write_svg(c, &r, false);
  const Status s = c->body.status || r.status
                       ? err_set(e, ST_NOMEM, "%s: out of memory while the chart was made", path)
                       : file_write_atomic(path, r.s, r.len, e);
  report_free(&r);
  return s;
}

static void close_figure(Report *r, const char *caption) {
  if (caption) {
    report_put(r, "<figcaption>");
    report_put_escaped(r, caption);
    report_put(r, "</figcaption>");
  }
  report_put(r, "</figure>\n");
}

void chart_report(const Chart *c, Report *r, const char *caption) {
  if (c->body.status) r->status = c->body.status;
  report_put(r, "<figure>");
  write_svg(c, r, true);
  close_figure(r, caption);
}

void chart_report_file(Report *r, const char *path, const char *caption) {
  uint8_t *svg = NULL;
  size_t n = 0;
  Error e;
  report_put(r, "<figure>");
  if (file_read(path, &svg, &n, (size_t)16 << 20, &e) == ST_OK && n > 4 &&
      !memcmp(svg, "<svg", 4)) {
    /* as an image: its styles stay its own */
    report_put(r, "<img style=\"image-rendering:auto\" src=\"data:image/svg+xml;base64,");
    report_put_base64(r, svg, n);
    report_put(r, "\">");
  } else {
    report_put(r, "<p class=\"note\">chart missing: ");
    report_put_escaped(r, path);
    report_put(r, "</p>");
  }
  mem_free(svg);
  close_figure(r, caption);
}
