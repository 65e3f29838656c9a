/* chart_impl.h: what chart.c and chart_kinds.c share: panels, axes, legends. Lengths in pixels of
 * the SVG, y downwards. */
#ifndef PRLX_CHART_IMPL_H
#define PRLX_CHART_IMPL_H
#include "tools/view/chart.h"
enum {
  CHART_W = 500,
  PAD_L = 62,
  PAD_R = 16,
  TITLE_H = 28,
  LEGEND_ROW = 18,
  AXIS_H = 42,
  CHART_TICKS = 32
};

/* A drawing of w x h pixels that goes into r. */
typedef struct Panel {
  Report *r;
  int w;
  int h;
} Panel;

/* Opens it at the next place of the chart, with its title; closes it. */
void panel_begin(Chart *c, Panel *p, int w, int h, const char *title);
void panel_end(Panel *p);

/* cls: ch-l label, ch-k key, ch-t title. anchor: 0 left, 1 middle, 2 right. text NULL: nothing. */
void panel_text(Panel *p, double x, double y, const char *cls, int anchor, const char *text);

/* v with as many digits as the step between ticks needs; width of a text in pixels, about. */
void number_text(double v, double step, char out[32]);
double text_pixels(const char *t);

/* Values lo..hi (of log10 when log) lie at pixels p0..p1. Fill with axis_add, then axis_finish. */
typedef struct Axis {
  double lo;
  double hi;
  double p0;
  double p1;
  bool log;
  bool any; /* it has a value */
} Axis;

/* Pixel of a value; whether it can be shown (finite, and positive when log). */
double axis_at(const Axis *a, double v);
bool axis_shows(const Axis *a, double v);

/* One more value; then a margin of the share `room` on both sides (not below, with fixed_lo). */
void axis_add(Axis *a, double v);
void axis_finish(Axis *a, double room, bool fixed_lo);

/* Draws ticks, grid and label of a horizontal and of a vertical axis, and a vertical line at `ref`
 * with its text (NAN: none). */
void axis_x(Panel *p, const Axis *a, double top, double bottom, const char *label);
void axis_y(Panel *p, const Axis *a, double left, double right, const char *label);
void ref_line(Panel *p, const Axis *x, double top, double bottom, double ref, const char *text);

/* Rows that a legend of n texts takes at width w; draws it. */
int legend_rows(int n, const char *const *text, int w);
void legend_draw(Panel *p, int n, const char *const *text, double top);
#endif
