/* report.c: see report.h */
#include "tools/view/report.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "tools/view/assets.h"

/* ---- text buffer ---- */
static void put_n(Report *r, const char *s, size_t n) {
  if (r->status) return;
  if (r->len + n + 1 > r->cap) {
    size_t cap = PRLX_MAX(r->cap * 2, r->len + n + 4096);
    char *t = mem_grow(r->s, r->cap, cap);
    if (!t) {
      r->status = ST_NOMEM;
      return;
    }
    r->s = t;
    r->cap = cap;
  }
  memcpy(r->s + r->len, s, n);
  r->len += n;
  r->s[r->len] = 0;
}

void report_put(Report *r, const char *s) { put_n(r, s, strlen(s)); }

void report_putf(Report *r, const char *fmt, ...) {
  char t[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(t, sizeof t, fmt, ap);
  va_end(ap);
  report_put(r, t);
}

void report_put_escaped(Report *r, const char *s) {
  for (; *s; s++)
    if (*s == '<')
      report_put(r, "&lt;");
    else if (*s == '>')
      report_put(r, "&gt;");
    else if (*s == '&')
      report_put(r, "&amp;");
    else if (*s == '"')
      report_put(r, "&quot;");
    else
      put_n(r, s, 1);
}

void report_put_base64(Report *r, const uint8_t *p, size_t n) {
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                 (i + 2 < n ? p[i + 2] : 0);
    char q[4] = {digit[v >> 18], digit[v >> 12 & 63], i + 1 < n ? digit[v >> 6 & 63] : '=',
                 i + 2 < n ? digit[v & 63] : '='};
    put_n(r, q, 4);
  }
}

/* ---- page ---- */
const char *report_put_until(Report *r, const char *html, char name[32]) {
  for (const char *at = html; (at = strchr(at, '@')); at++) {
    const size_t n = strspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (n == 0 || n > 31 || at[n + 1] != '@') continue;
    put_n(r, html, (size_t)(at - html));
    memcpy(name, at + 1, n);
    name[n] = 0;
    return at + n + 2;
  }
  report_put(r, html);
  return NULL;
}

void report_put_joined(Report *r, const char *text) {
  while (*text) {
    text += strspn(text, " \n");
    const size_t n = strcspn(text, "\n");
    put_n(r, text, n);
    text += n;
  }
}

void report_begin(Report *r, const char *title, const char *subtitle) {
  char name[32];
  *r = (Report){0};
  for (const char *at = asset_report_html; (at = report_put_until(r, at, name));) {
    if (!strcmp(name, "TITLE")) report_put_escaped(r, title);
    if (!strcmp(name, "SUBTITLE")) report_put_escaped(r, subtitle);
    if (!strcmp(name, "STYLE")) report_put_joined(r, asset_report_css);
    if (strcmp(name, "BODY")) continue;
    r->rest = at;
    return;
  }
}

void report_heading(Report *r, const char *text) {
  report_put(r, "<h2>");
  report_put_escaped(r, text);
  report_put(r, "</h2>\n");
}

static void put_paragraph(Report *r, const char *open, const char *fmt, va_list ap) {
  char t[4096];
  vsnprintf(t, sizeof t, fmt, ap);
  report_put(r, open);
  report_put_escaped(r, t);
  report_put(r, "</p>\n");
}

void report_text(Report *r, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  put_paragraph(r, "<p>", fmt, ap);
  va_end(ap);
}

void report_note(Report *r, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  put_paragraph(r, "<p class=\"note\">", fmt, ap);
  va_end(ap);
}

void report_pre(Report *r, const char *text) {
  report_put(r, "<pre>");
  report_put_escaped(r, text);
  report_put(r, "</pre>\n");
}

void report_table(Report *r, int rows, int cols, const char *const *cell) {
  report_put(r, "<table>\n");
  for (int i = 0; i < rows; i++) {
    report_put(r, "<tr>");
    for (int j = 0; j < cols; j++) {
      const char *c = cell[i * cols + j], *tag = i == 0 ? "th" : "td";
      report_putf(r, "<%s>", tag);
      if (c) report_put_escaped(r, c);
      report_putf(r, "</%s>", tag);
    }
    report_put(r, "</tr>\n");
  }
  report_put(r, "</table>\n");
}

void report_figures_begin(Report *r) { report_put(r, "<div class=\"figs\">\n"); }
void report_figures_end(Report *r) { report_put(r, "</div>\n"); }

void report_png(Report *r, const char *path, int width, const char *caption) {
  uint8_t *data = NULL;
  size_t n = 0;
  Error e;
  /* the caption wraps under the picture */
  if (width > 0)
    report_putf(r, "<figure style=\"width:%dpx\">", width);
  else
    report_put(r, "<figure>");
  if (file_read(path, &data, &n, (size_t)64 << 20, &e) == ST_OK) {
    report_put(r, "<img alt=\"");
    report_put_escaped(r, caption);
    report_put(r, "\" ");
    if (width > 0) report_putf(r, "style=\"width:%dpx\" ", width);
    report_put(r, "src=\"data:image/png;base64,");
    report_put_base64(r, data, n);
    report_put(r, "\">");
    mem_free(data);
  } else {
    report_put(r, "<p class=\"note\">picture missing: ");
    report_put_escaped(r, e.msg);
    report_put(r, "</p>");
  }
  report_put(r, "<figcaption>");
  report_put_escaped(r, caption);
  report_put(r, "</figcaption></figure>\n");
}

Status report_write(Report *r, const char *path, Error *e) {
  report_put(r, r->rest);
  Status s = r->status ? err_set(e, r->status, "%s: out of memory while the page was made", path)
                       : file_write_atomic(path, r->s, r->len, e);
  report_free(r);
  return s;
}

void report_free(Report *r) {
  mem_free(r->s);
  *r = (Report){0};
}

/* ---- plots ---- */
double nice_step(double span, int n) {
  double raw = span / n, mag = pow(10, floor(log10(raw))), f = raw / mag;
  return mag * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

/* data ranges; y in log10 when log_y */
typedef struct Frame {
  double x0;
  double x1;
  double y0;
  double y1;
  bool log_y;
} Frame;
enum { PLOT_W = 500, PLOT_H = 260, PAD_L = 62, PAD_R = 12, PAD_T = 46, PAD_B = 36 };
static double map_x(const Frame *f, double x) {
  return PAD_L + (x - f->x0) / (f->x1 - f->x0) * (PLOT_W - PAD_L - PAD_R);
}

static double map_y(const Frame *f, double y) {
  return PLOT_H - PAD_B - (y - f->y0) / (f->y1 - f->y0) * (PLOT_H - PAD_T - PAD_B);
}

static double y_of(const Frame *f, double y) { return f->log_y ? (y > 0 ? log10(y) : NAN) : y; }

static bool plot_frame(Frame *f, int n, const Curve *c) {
  f->x0 = f->y0 = INFINITY;
  f->x1 = f->y1 = -INFINITY;
  for (int k = 0; k < n; k++)
    for (int i = 0; i < c[k].n; i++) {
      double y = y_of(f, c[k].y[i]);
      if (!isfinite(y) || !isfinite(c[k].x[i])) continue;
      f->x0 = fmin(f->x0, c[k].x[i]);
      f->x1 = fmax(f->x1, c[k].x[i]);
      f->y0 = fmin(f->y0, y);
      f->y1 = fmax(f->y1, y);
    }
  if (!(f->x1 >= f->x0)) return false;
  if (f->x1 == f->x0) f->x0 = 0.9 * f->x1 - 1e-9, f->x1 = 1.1 * f->x1 + 1e-9;
  double pad = f->y1 > f->y0 ? 0.06 * (f->y1 - f->y0) : fmax(fabs(f->y0) * 0.1, 1e-3);
  f->y0 -= pad;
  f->y1 += pad;
  return true;
}

static void plot_axes(Report *r, const Frame *f, const char *x_label) {
  double sy = nice_step(f->y1 - f->y0, 4), sx = nice_step(f->x1 - f->x0, 5);
  if (f->log_y) sy = fmax(1, ceil((f->y1 - f->y0) / 5));
  bool fine_log = f->log_y && f->y1 - f->y0 < 2; /* few decades: label 1, 2, 5 instead */
  if (fine_log) sy = 1;
  for (double v = ceil(f->y0 / sy - (fine_log ? 1 : 0)) * sy; v <= f->y1 + 1e-9; v += sy)
    for (int k = 0; k < (fine_log ? 3 : 1); k++) {
      double t = v + (k == 1 ? log10(2) : k == 2 ? log10(5) : 0), y = map_y(f, t);
      if (t < f->y0 || t > f->y1) continue;
      report_putf(r,
                  "<line class=\"ax\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" "
                  "y=\"%.1f\" text-anchor=\"end\">%.4g</text>",
                  PAD_L, PLOT_W - PAD_R, y, y, PAD_L - 6, y + 4,
                  f->log_y              ? pow(10, t)
                  : fabs(t) < sy * 1e-6 ? 0
                                        : t);
    }
  for (double v = ceil(f->x0 / sx - 1e-9) * sx; v <= f->x1 + sx * 1e-6; v += sx)
    report_putf(r, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>", map_x(f, v),
                PLOT_H - PAD_B + 15, fabs(v) < sx * 1e-6 ? 0 : v);
  report_putf(r, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", PLOT_W - PAD_R, PLOT_H - 4);
  report_put_escaped(r, x_label);
  report_put(r, "</text>");
}

void report_plot(Report *r, const char *title, const char *x_label, int n, const Curve *c,
                 bool log_y) {
  Frame f = {.log_y = log_y};
  n = PRLX_MIN(n, 6);
  report_put(r, "<figure>");
  report_putf(r, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", PLOT_W, PLOT_H);
  report_put_escaped(r, title);
  report_putf(r, "\"><text class=\"t\" x=\"%d\" y=\"14\">", PAD_L);
  report_put_escaped(r, title);
  report_put(r, "</text>");
  if (!plot_frame(&f, n, c)) {
    report_putf(r, "<text x=\"%d\" y=\"%d\">no finite values</text></svg></figure>\n", PAD_L,
                PLOT_H / 2);
    return;
  }
  plot_axes(r, &f, x_label);
  double lx = PAD_L;
  for (int k = 0; k < n && n > 1; k++) {
    report_putf(r,
                "<line x1=\"%.0f\" x2=\"%.0f\" y1=\"30\" y2=\"30\" "
                "style=\"stroke:var(--c%d);stroke-width:2.5\"/><text x=\"%.0f\" y=\"34\">",
                lx, lx + 14, k, lx + 18);
    report_put_escaped(r, c[k].name);
    report_put(r, "</text>");
    lx += 30 + 6.4 * (double)strlen(c[k].name);
  }
  for (int k = 0; k < n; k++) {
    bool open = false;
    int points = 0;
    double px = 0, py = 0;
    for (int i = 0; i <= c[k].n; i++) {
      double y = i < c[k].n ? y_of(&f, c[k].y[i]) : NAN;
      if (!isfinite(y)) {
        if (open) report_put(r, "\"/>");
        if (open && points == 1)
          report_putf(r, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" style=\"fill:var(--c%d)\"/>",
                      px, py, k);
        open = false;
        continue;
      }
      if (!open) report_putf(r, "<polyline style=\"stroke:var(--c%d)\" points=\"", k), points = 0;
      px = map_x(&f, c[k].x[i]);
      py = map_y(&f, y);
      report_putf(r, "%.1f,%.1f ", px, py);
      points++;
      open = true;
    }
  }
  report_put(r, "</svg></figure>\n");
}
