/* paper_figures.c: Figure 8 and charts of the tables, into OUT/figures. What has not run is left
 * out. Pictures: paper_pictures.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "paper/engine/paper_report.h"
#include "tools/view/chart.h"

static const char *figure_path(const PaperNumbers *q, const char *name) {
  static char path[PATH_LEN];
  paper_file(q->r, path, "figures/%s", name);
  return path;
}

/* ---- Figure 8 ---- */

static int fid_curve_of(const PaperNumbers *q, const char *net, double x[PAPER_POINTS],
                        double v[6][PAPER_POINTS]) {
  int n = 0;
  for (int i = 0; i < q->kimg.sets; i++) {
    const PaperFid *f = &q->kimg.set[i];
    char key[32];
    snprintf(key, sizeof key, "/%s_at_", net);
    const char *at = strstr(f->set, key);
    if (!at) continue;
    x[n] = atof(at + strlen(key));
    const double w[6] = {f->fid,
                         f->lo,
                         f->hi,
                         1000 * f->kid,
                         1000 * (f->kid - 1.96 * f->kid_se),
                         1000 * (f->kid + 1.96 * f->kid_se)};
    for (int k = 0; k < 6; k++) v[k][n] = w[k];
    n++;
  }
  return n;
}

static Status figure_eight(const PaperNumbers *q, Chart *c, Error *e) {
  static const char *const net[2] = {"gan", "cgan"}, *const name[2] = {"ADA-GAN",
                                                                       "ADA-cGAN, class rim"};
  static double x[2][PAPER_POINTS], v[2][6][PAPER_POINTS];
  ChartLine fid[2], kid[2];
  int n = 0;
  chart_begin(c, 2);
  for (int k = 0; k < 2; k++) {
    const int m = fid_curve_of(q, net[k], x[k], v[k]);
    if (!m) continue;
    fid[n] = (ChartLine){name[k], x[k], v[k][0], v[k][1], v[k][2], m};
    kid[n++] = (ChartLine){name[k], x[k], v[k][3], v[k][4], v[k][5], m};
  }
  if (!n) return ST_OK;
  chart_lines(c, "FID to the training rims", "thousand images shown", "FID", n, fid, CHART_POINTS);
  chart_lines(c, "KID to the training rims", "thousand images shown", "KID x 1000", n, kid,
              CHART_POINTS);
  return chart_write(c, figure_path(q, "figure8.svg"), e);
}

/* ---- charts of the tables ---- */

/* The larger test where there is one. */
static int best_test(const PaperNumbers *q) {
  const PaperRow *none = numbers_row(q, "classify_none");
  return none && none->test[1].n ? 1 : 0;
}

static Status draw_forest(const PaperNumbers *q, Chart *c, Error *e) {
  static const Metric show[] = {M_ACCURACY, M_PRECISION, M_SENSITIVITY, M_ROC_AUC};
  ChartRow row[PAPER_ROWS];
  chart_begin(c, 2);
  int any = 0;
  for (int m = 0; m < COUNT_OF(show); m++) {
    int n = 0;
    for (int i = 0; i < q->rows; i++) {
      const PaperRow *x = &q->row[i];
      if (x->missing || !row_in_group(x, "paper")) continue;
      const Crossed *v = &x->test[0].level[show[m]];
      row[n++] = (ChartRow){
          x->name, published_metric(q, x, show[m], NULL), NAN, NAN, v->value, v->lo, v->hi};
    }
    const PaperRow *none = numbers_row(q, "classify_none");
    if (n)
      chart_forest(c, metric_name[show[m]], "", n, row,
                   none ? none->test[0].level[show[m]].value : NAN, "None, ours");
    any += n;
  }
  return any ? chart_write(c, figure_path(q, "classifiers.svg"), e) : ST_OK;
}

/* Difference to None of every row: does it help? */
static Status draw_helps(const PaperNumbers *q, Chart *c, Error *e) {
  static const Metric show[] = {M_ROC_AUC, M_SENS90};
  ChartRow row[PAPER_ROWS];
  const int test = best_test(q);
  chart_begin(c, 2);
  int any = 0;
  for (int m = 0; m < COUNT_OF(show); m++) {
    int n = 0;
    for (int i = 0; i < q->rows; i++) {
      const PaperRow *x = &q->row[i];
      const Crossed *d = &x->test[test].none[show[m]];
      if (!x->aug || x->missing || isnan(d->value) || !strcmp(x->id, "classify_none")) continue;
      row[n++] = (ChartRow){x->name, NAN, NAN, NAN, d->value, d->lo, d->hi};
    }
    char title[80];
    snprintf(title, sizeof title, "%s: difference to None", metric_name[show[m]]);
    if (n) chart_forest(c, title, "", n, row, 0, "no difference");
    any += n;
  }
  return any ? chart_write(c, figure_path(q, "differences.svg"), e) : ST_OK;
}

static Status draw_sweep(const PaperNumbers *q, Chart *c, Error *e) {
  static const Metric show[] = {M_SENS90, M_ROC_AUC};
  const PaperRow *row[PAPER_ROWS];
  const int test = best_test(q);
  int n = 0;
  for (int i = 0; i < q->rows; i++) {
    const PaperRow *x = &q->row[i];
    if (!x->missing &&
        (!x->aug || !strcmp(x->id, "classify_none") || !strcmp(x->id, "classify_gan")))
      row[n++] = x;
  }
  for (int i = 0; i < n; i++)
    for (int k = i + 1; k < n; k++)
      if (row[k]->added < row[i]->added) {
        const PaperRow *t = row[i];
        row[i] = row[k];
        row[k] = t;
      }
  chart_begin(c, 2);
  if (n < 3) return ST_OK;
  for (int m = 0; m < COUNT_OF(show); m++) {
    double x[PAPER_ROWS], y[PAPER_ROWS], lo[PAPER_ROWS], hi[PAPER_ROWS];
    for (int i = 0; i < n; i++) {
      const Crossed *v = &row[i]->test[test].level[show[m]];
      x[i] = row[i]->added;
      y[i] = v->value;
      lo[i] = v->lo;
      hi[i] = v->hi;
    }
    const ChartLine l = {metric_name[show[m]], x, y, lo, hi, n};
    chart_lines(c, metric_name[show[m]], "synthetic lesions of ADA-GAN added", "", 1, &l,
                CHART_POINTS);
  }
  return chart_write(c, figure_path(q, "sweep.svg"), e);
}

Status figures_charts(const PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e) {
  TRY(draw_forest(q, &c[CHART_FOREST], e));
  TRY(draw_helps(q, &c[CHART_HELPS], e));
  TRY(draw_sweep(q, &c[CHART_SWEEP], e));
  return figure_eight(q, &c[CHART_FIGURE8], e);
}
