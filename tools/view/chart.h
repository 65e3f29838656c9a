/* chart.h: charts as SVG: histograms, bars with intervals, lines with bands, forest plots of
 * published numbers beside ours. Standalone files for papers, or inline in a page of
 * tools/view/report.h. No scripts; Okabe & Ito's colours, which stay apart for every kind of colour
 * blindness, and a second mark (dash, filled or open) beside the colour; intervals are drawn, never
 * implied.
 *
 *     Chart c;
 *     chart_begin(&c, 2);                                two panels to a row
 *     chart_histogram(&c, "LPIPS", "distance to the target", 1, &set, NAN, NULL);
 *     chart_forest(&c, ...);
 *     chart_write(&c, "figure.svg", &e);  and / or  chart_report(&c, &report, "caption");
 *     chart_free(&c);
 *
 * Texts are escaped. Values that are not finite are left out; a panel without any value says so. */
#ifndef PRLX_CHART_H
#define PRLX_CHART_H
#include "tools/view/report.h"
typedef struct Chart {
  Report body;
  int columns;
  int panels;
  int x;
  int y;
  int row_height;
  int width;
} Chart;

/* Colours; a panel shows at most so many sets. */
enum { CHART_SETS = 6 };

/* Panels in so many columns; free with chart_free, also after an error. */
void chart_begin(Chart *c, int columns);
void chart_free(Chart *c);

/* As an SVG file with a white background, whole or not at all. */
Status chart_write(const Chart *c, const char *path, Error *e);

/* As a figure; colours follow the page, light or dark. caption may be NULL. */
void chart_report(const Chart *c, Report *r, const char *caption);

/* A chart_write file of another command as a figure; a missing file leaves a note in its place. */
void chart_report_file(Report *r, const char *path, const char *caption);

/* Overlaid histograms on common bins, with the median of each set as a dashed line. Sets of one
 * size are counted, of different sizes shown in per cent of themselves. ref: a vertical line with
 * its text (a threshold); NAN: none. */
typedef struct ChartSet {
  const char *name;
  const double *v;
  int64_t n;
} ChartSet;

/* One panel. Errors are sticky until chart_write. */
void chart_histogram(Chart *c, const char *title, const char *x_label, int sets, const ChartSet *s,
                     double ref, const char *ref_text);

/* Lines over x with bands lo..hi (both NULL: none). NaN in y is a gap. */
typedef struct ChartLine {
  const char *name;
  const double *x;
  const double *y;
  const double *lo;
  const double *hi;
  int n;
} ChartLine;
enum {
  CHART_LOG_X = 1,
  CHART_LOG_Y = 2,
  CHART_POINTS = 4 /* a dot at every value */,
  CHART_ZERO = 8 /* y axis from 0 */
};

/* One panel of n lines; flags: CHART_*. */
void chart_lines(Chart *c, const char *title, const char *x_label, const char *y_label, int n,
                 const ChartLine *l, int flags);

/* One row per number: published (open diamond, with its interval where it has one) above ours
 * (filled circle with interval), and both as text on the right. published, ours NAN: not known. A
 * row with neither is a heading. ref as above. */
typedef struct ChartRow {
  const char *label;
  double published;
  double published_lo;
  double published_hi;
  double ours;
  double lo;
  double hi;
} ChartRow;
#define CHART_HEADING(text) \
  { text, NAN, NAN, NAN, NAN, NAN, NAN }

/* One panel of n rows. */
void chart_forest(Chart *c, const char *title, const char *x_label, int n, const ChartRow *r,
                  double ref, const char *ref_text);
#endif
