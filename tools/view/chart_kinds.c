/* chart_kinds.c: histograms, bars, lines, forest plots; see chart.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/view/chart_impl.h"

static void chart_nothing(Panel *p) {
  panel_text(p, PAD_L, p->h / 2., "ch-l", 0, "no finite values");
}

/* ---- histogram ---- */
enum { BINS = 64, BODY_H = 190 };
static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_of(Chart *c, const ChartSet *s, int64_t *count) {
  double *v = mem_alloc((size_t)(s->n + 1) * sizeof *v), m = NAN;
  *count = 0;
  if (!v && c->body.status == ST_OK) c->body.status = ST_NOMEM;
  for (int64_t i = 0; v && i < s->n; i++)
    if (isfinite(s->v[i])) v[(*count)++] = s->v[i];
  if (v) qsort(v, (size_t)*count, sizeof *v, by_value);
  if (v && *count) m = 0.5 * (v[(*count - 1) / 2] + v[*count / 2]);
  mem_free(v);
  return m;
}

typedef struct Bins {
  double lo;
  double step;
  int n;
  double count[CHART_SETS][BINS];
  double top;
} Bins;
/* Rice's rule, 2 n^(1/3) bins, on round numbers. */
static void fill_bins(Bins *b, int sets, const ChartSet *s, const int64_t *count, const Axis *x,
                      bool per_cent) {
  int64_t most = 1;
  for (int k = 0; k < sets; k++) most = PRLX_MAX(most, count[k]);
  b->step =
      nice_step(x->hi - x->lo, (int)PRLX_MIN(30., PRLX_MAX(6., ceil(2 * cbrt((double)most)))));
  b->lo = floor(x->lo / b->step) * b->step;
  b->n = (int)PRLX_MIN((double)BINS, floor((x->hi - b->lo) / b->step) + 1);
  for (int k = 0; k < sets; k++)
    for (int64_t i = 0; i < s[k].n; i++) {
      if (!isfinite(s[k].v[i])) continue;
      const int at = (int)PRLX_MAX(0., PRLX_MIN(b->n - 1., floor((s[k].v[i] - b->lo) / b->step)));
      b->count[k][at] += per_cent ? 100. / (double)count[k] : 1;
      b->top = PRLX_MAX(b->top, b->count[k][at]);
    }
}

static void draw_steps(Panel *p, const Bins *b, int k, const Axis *x, const Axis *y) {
  const double base = axis_at(y, 0);
  report_putf(p->r,
              "<path class=\"ch-f%d ch-s%d\" fill-opacity=\".28\" stroke-width=\"1.7\" "
              "stroke-linejoin=\"round\"%s d=\"M%.1f %.1f",
              k, k, k % 2 ? " stroke-dasharray=\"4 2\"" : "", axis_at(x, b->lo), base);
  for (int i = 0; i < b->n; i++)
    report_putf(p->r, "V%.1fH%.1f", axis_at(y, b->count[k][i]),
                axis_at(x, b->lo + (i + 1) * b->step));
  report_putf(p->r, "V%.1fZ\"/>\n", base);
}

void chart_histogram(Chart *c, const char *title, const char *x_label, int sets, const ChartSet *s,
                     double ref, const char *ref_text) {
  sets = PRLX_MIN(sets, CHART_SETS);
  double median[CHART_SETS];
  int64_t count[CHART_SETS];
  char key[CHART_SETS][96];
  const char *entry[CHART_SETS] = {0};
  Axis x = {0}, y = {0};
  bool per_cent = false;
  for (int k = 0; k < sets; k++) {
    median[k] = median_of(c, &s[k], &count[k]);
    if (count[k])
      snprintf(key[k], sizeof key[k], "%.50s (n %lld, median %.3g)", s[k].name, (long long)count[k],
               median[k]);
    else
      snprintf(key[k], sizeof key[k], "%.50s (none)", s[k].name);
    entry[k] = key[k];
    per_cent |= count[k] != count[0];
    for (int64_t i = 0; i < s[k].n; i++) axis_add(&x, s[k].v[i]);
  }
  const int rows = legend_rows(sets, entry, CHART_W), top = TITLE_H + LEGEND_ROW * rows + 4,
            bottom = top + BODY_H;
  Panel p;
  panel_begin(c, &p, CHART_W, bottom + AXIS_H, title);
  if (x.any) {
    Bins b = {0};
    axis_finish(&x, 0, true);
    fill_bins(&b, sets, s, count, &x, per_cent);
    x = (Axis){.lo = b.lo, .hi = b.lo + b.n * b.step, .p0 = PAD_L, .p1 = CHART_W - PAD_R};
    /* a threshold near by belongs on the axis */
    if (isfinite(ref) && ref > x.hi && ref < x.hi + 0.6 * (x.hi - x.lo)) x.hi = ref + b.step;
    if (isfinite(ref) && ref < x.lo && ref > x.lo - 0.6 * (x.hi - x.lo)) x.lo = ref - b.step;
    y = (Axis){.lo = 0, .hi = PRLX_MAX(1.06 * b.top, 1e-9), .p0 = bottom, .p1 = top};
    axis_y(&p, &y, PAD_L, CHART_W - PAD_R, per_cent ? "per cent" : "count");
    axis_x(&p, &x, bottom, bottom + 3, x_label);
    for (int k = 0; k < sets; k++) draw_steps(&p, &b, k, &x, &y);
    for (int k = 0; k < sets; k++)
      if (axis_shows(&x, median[k]))
        report_putf(p.r,
                    "<line class=\"ch-s%d\" stroke-width=\"1.6\" stroke-dasharray=\"2 3\" "
                    "x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n",
                    k, axis_at(&x, median[k]), axis_at(&x, median[k]), top, bottom);
    ref_line(&p, &x, top, bottom, ref, ref_text);
  } else
    chart_nothing(&p);
  legend_draw(&p, sets, entry, TITLE_H + 12);
  panel_end(&p);
}

/* ---- what bars and forest plots share ---- */
static void draw_whisker(Panel *p, const Axis *x, double lo, double hi, double y, const char *cls) {
  if (!isfinite(lo) || !isfinite(hi)) return;
  const double a = axis_at(x, PRLX_MAX(lo, x->lo)), b = axis_at(x, PRLX_MIN(hi, x->hi));
  report_putf(p->r,
              "<path class=\"%s ch-n\" stroke-width=\"1.6\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv7M%.1f "
              "%.1fv7\"/>\n",
              cls, a, y, b, a, y - 3.5, b, y - 3.5);
}

static double label_width(int n, const char *const *text, size_t stride) {
  double w = 60;
  for (int i = 0; i < n; i++) {
    const char *t = *(const char *const *)(const void *)((const char *)text + (size_t)i * stride);
    w = PRLX_MAX(w, text_pixels(t) * 1.12);
  }
  return PRLX_MIN(w + 14, 320);
}

static void value_text(double v, double lo, double hi, double step, char out[112]) {
  char a[32], b[32], d[32];
  if (!isfinite(v)) {
    snprintf(out, 112, "n/a");
    return;
  }
  number_text(v, step, a);
  if (!isfinite(lo) || !isfinite(hi)) {
    snprintf(out, 112, "%s", a);
    return;
  }
  number_text(lo, step, b);
  number_text(hi, step, d);
  snprintf(out, 112, "%s [%s, %s]", a, b, d);
}

/* ---- lines ---- */
static bool line_point(const ChartLine *l, int i, const double *v, const Axis *x, const Axis *y,
                       double at[2]) {
  if (i >= l->n || !v || !isfinite(v[i]) || !isfinite(l->x[i]) || (x->log && l->x[i] <= 0) ||
      (y->log && v[i] <= 0))
    return false;
  at[0] = axis_at(x, l->x[i]);
  at[1] = axis_at(y, v[i]);
  return true;
}

/* The band as one closed path per stretch without gaps: along hi, back along lo. */
static void draw_band(Panel *p, const ChartLine *l, int k, const Axis *x, const Axis *y) {
  double a[2], b[2];
  for (int i = 0; i < l->n;) {
    int j = i;
    while (line_point(l, j, l->lo, x, y, a) && line_point(l, j, l->hi, x, y, b)) j++;
    if (j > i + 1) {
      report_putf(p->r, "<path class=\"ch-f%d\" fill-opacity=\".18\" d=\"", k);
      for (int q = i; q < j; q++) {
        line_point(l, q, l->hi, x, y, b);
        report_putf(p->r, "%s%.1f %.1f", q == i ? "M" : "L", b[0], b[1]);
      }
      for (int q = j - 1; q >= i; q--) {
        line_point(l, q, l->lo, x, y, a);
        report_putf(p->r, "L%.1f %.1f", a[0], a[1]);
      }
      report_put(p->r, "Z\"/>\n");
    } else if (j == i + 1 && line_point(l, i, l->lo, x, y, a) && line_point(l, i, l->hi, x, y, b))
      report_putf(p->r, "<path class=\"ch-s%d ch-n\" d=\"M%.1f %.1fV%.1f\"/>\n", k, a[0], a[1],
                  b[1]);
    i = PRLX_MAX(j, i + 1);
  }
}

static void draw_line(Panel *p, const ChartLine *l, int k, const Axis *x, const Axis *y,
                      bool dots) {
  double at[2];
  for (int i = 0; i < l->n;) {
    int j = i;
    while (line_point(l, j, l->y, x, y, at)) j++;
    if (j > i) {
      report_putf(
          p->r, "<path class=\"ch-s%d ch-n\" stroke-width=\"1.9\" stroke-linejoin=\"round\"%s d=\"",
          k, k % 2 ? " stroke-dasharray=\"6 3\"" : "");
      for (int q = i; q < j; q++) {
        line_point(l, q, l->y, x, y, at);
        report_putf(p->r, "%s%.1f %.1f", q == i ? "M" : "L", at[0], at[1]);
      }
      report_put(p->r, "\"/>\n");
    }
    for (int q = i; q < j && (dots || j == i + 1); q++) {
      line_point(l, q, l->y, x, y, at);
      report_putf(p->r, "<circle class=\"ch-f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", k, at[0],
                  at[1]);
    }
    i = PRLX_MAX(j, i + 1);
  }
}

void chart_lines(Chart *c, const char *title, const char *x_label, const char *y_label, int n,
                 const ChartLine *l, int flags) {
  n = PRLX_MIN(n, CHART_SETS);
  const char *name[CHART_SETS] = {0};
  Axis x = {.log = flags & CHART_LOG_X}, y = {.log = flags & CHART_LOG_Y};
  for (int k = 0; k < n; k++) {
    name[k] = l[k].name;
    for (int i = 0; i < l[k].n; i++) {
      if (!isfinite(l[k].y[i])) continue;
      axis_add(&x, l[k].x[i]);
      axis_add(&y, l[k].y[i]);
      if (l[k].lo && l[k].hi) {
        axis_add(&y, l[k].lo[i]);
        axis_add(&y, l[k].hi[i]);
      }
    }
  }
  const int rows = n > 1 ? legend_rows(n, name, CHART_W) : 0, top = TITLE_H + rows * LEGEND_ROW + 4,
            bottom = top + BODY_H;
  Panel p;
  panel_begin(c, &p, CHART_W, bottom + AXIS_H, title);
  if (x.any && y.any) {
    const bool zero = (flags & CHART_ZERO) && !y.log && y.lo >= 0;
    if (zero) y.lo = 0;
    axis_finish(&x, 0.02, false);
    axis_finish(&y, 0.06, zero);
    x.p0 = PAD_L;
    x.p1 = CHART_W - PAD_R;
    y.p0 = bottom;
    y.p1 = top;
    axis_y(&p, &y, PAD_L, CHART_W - PAD_R, y_label);
    axis_x(&p, &x, bottom, bottom + 3, x_label);
    for (int k = 0; k < n; k++) draw_band(&p, &l[k], k, &x, &y);
    for (int k = 0; k < n; k++) draw_line(&p, &l[k], k, &x, &y, flags & CHART_POINTS);
  } else
    chart_nothing(&p);
  if (rows) legend_draw(&p, n, name, TITLE_H + 12);
  panel_end(&p);
}

/* ---- forest ---- */
void chart_forest(Chart *c, const char *title, const char *x_label, int n, const ChartRow *r,
                  double ref, const char *ref_text) {
  enum { ROW = 26, BODY = 280, TEXT = 290 };
  const double left = label_width(n, &r->label, sizeof *r);
  const int w = (int)left + BODY + TEXT, top = TITLE_H + 24, bottom = top + n * ROW + 4;
  Axis x = {.p0 = left, .p1 = left + BODY};
  for (int i = 0; i < n; i++) {
    const double v[6] = {r[i].published, r[i].published_lo, r[i].published_hi,
                         r[i].ours,      r[i].lo,           r[i].hi};
    for (int k = 0; k < 6; k++) axis_add(&x, v[k]);
  }
  Panel p;
  panel_begin(c, &p, w, bottom + AXIS_H, title);
  if (x.any) {
    if (isfinite(ref)) axis_add(&x, ref);
    axis_finish(&x, 0.05, false);
    axis_x(&p, &x, top, bottom, x_label);
    for (int i = 0; i < n; i++) {
      const double y = top + i * ROW + ROW / 2.;
      const bool heading = !isfinite(r[i].published) && !isfinite(r[i].ours);
      char a[112], b[112], t[232];
      panel_text(&p, heading ? 8 : left - 10, y + 4, heading ? "ch-t" : "ch-k", heading ? 0 : 2,
                 r[i].label);
      if (heading) continue;
      draw_whisker(&p, &x, r[i].published_lo, r[i].published_hi, y - 4.5, "ch-s1");
      draw_whisker(&p, &x, r[i].lo, r[i].hi, y + 4.5, "ch-s0");
      if (isfinite(r[i].published))
        report_putf(
            p.r,
            "<path class=\"ch-s1 ch-b\" stroke-width=\"1.8\" d=\"M%.1f %.1fl5 5l-5 5l-5 -5Z\"/>\n",
            axis_at(&x, r[i].published), y - 9.5);
      if (isfinite(r[i].ours))
        report_putf(p.r, "<circle class=\"ch-f0\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
                    axis_at(&x, r[i].ours), y + 4.5);
      value_text(r[i].published, r[i].published_lo, r[i].published_hi, (x.hi - x.lo) / 300, a);
      value_text(r[i].ours, r[i].lo, r[i].hi, (x.hi - x.lo) / 300, b);
      snprintf(t, sizeof t, "%s | %s", isfinite(r[i].published) ? a : "-", b);
      panel_text(&p, left + BODY + 10, y + 4, "ch-k", 0, t);
    }
    ref_line(&p, &x, top, bottom, ref, ref_text);
  } else
    chart_nothing(&p);
  report_putf(p.r,
              "<path class=\"ch-s1 ch-n\" stroke-width=\"1.8\" d=\"M%.1f %dl5 5l-5 5l-5 -5Z\"/>\n",
              left + 6., TITLE_H + 2);
  panel_text(&p, left + 16, TITLE_H + 11, "ch-k", 0, "published");
  report_putf(p.r, "<circle class=\"ch-f0\" cx=\"%.1f\" cy=\"%d\" r=\"4\"/>\n", left + 96.,
              TITLE_H + 7);
  panel_text(&p, left + 106, TITLE_H + 11, "ch-k", 0, "ours, with interval");
  panel_text(&p, left + BODY + 10, TITLE_H + 11, "ch-l", 0, "published | ours [interval]");
  panel_end(&p);
}
