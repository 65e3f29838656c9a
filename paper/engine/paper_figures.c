/* paper_figures.c: Figures 2, 6, 7, 8, 9, 10 and two charts of the tables, into OUT/figures. A
 * figure whose step has not run is left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"
#include "paper/engine/paper_report.h"
#include "tools/view/chart.h"
#include "tools/view/sheet.h"

static const char *figure_path(const PaperNumbers *q, const char *name) {
  static char path[2][PATH_LEN];
  static int turn;
  char *p = path[turn++ & 1];
  paper_file(q->r, p, "figures/%s", name);
  return p;
}

static Status copy_file(const char *from, const char *to, Error *e) {
  uint8_t *data = NULL;
  size_t n;
  TRY(file_read(from, &data, &n, (size_t)64 << 20, e));
  const Status s = file_write_atomic(to, data, n, e);
  mem_free(data);
  return s;
}

/* The first file in a folder below the work folder that fits a pattern; none is no error. */
static Status copy_first(const PaperNumbers *q, const char *folder, const char *pattern,
                         const char *name, Error *e) {
  FolderList l;
  char from[PATH_LEN];
  if (folder_read(paper_path(q->r, folder), pattern, &l, NULL) != ST_OK) return ST_OK;
  Status s = ST_OK;
  if (!l.n) goto done;
  s = path_join(from, paper_path(q->r, folder), l.name[0], e);
  if (s != ST_OK) goto done;
  s = copy_file(from, figure_path(q, name), e);
done:
  folder_free(&l);
  return s;
}

/* ---- sheets of two sets, one above the other: no choice of lesions, the first ones of each file
 * ---- */

enum { SHEET_LESIONS = 12 };
typedef struct TwoSets {
  const char *name;
  const char *head;
  const char *file[2];
  const char *title[2];
  bool pairs /* second set: the lesions of the first, by name */;
  const char
      *evidence /* pairs: table with rim scores before and after, and the truth; NULL: none */;
} TwoSets;

static int64_t find_name(const Dataset *d, const char *name) {
  for (int64_t i = 0; d->names && i < d->n; i++)
    if (!strcmp(d->names[i], name)) return i;
  return -1;
}

/* "P(rim) 0.31, has a rim": the score of the classifier without augmentation, and the truth of a
 * phantom. The name when there is no evidence. */
static void lesion_caption(SheetCell *c, const Tsv *t, const char *name, bool after) {
  const int cn = tsv_column(t, "lesion"), cs = tsv_column(t, "subject"),
            cr = tsv_column(t, after ? "rim_score_after" : "rim_score_before"),
            ct = tsv_column(t, "truth_rim");
  snprintf(c->caption, sizeof c->caption, "%.40s", name);
  for (int i = 0; i < t->nrow && cn >= 0 && cs >= 0 && cr >= 0; i++) {
    const char *subject = tsv_get(t, i, cs), *lesion = tsv_get(t, i, cn),
               *truth = tsv_get(t, i, ct);
    char full[160];
    snprintf(full, sizeof full, "%.60s_lesion-%.60s_", subject, lesion);
    if (strncmp(name, full, strlen(full)) || tsv_missing(tsv_get(t, i, cr))) continue;
    snprintf(c->caption, sizeof c->caption, "P(rim) %.2f%s", atof(tsv_get(t, i, cr)),
             after || tsv_missing(truth) ? ""
             : atoi(truth)               ? ", true rim"
                                         : ", no rim");
    return;
  }
}

static void fill_cells(const TwoSets *t, const Dataset d[2], const Tsv *evidence, SheetCell *cell,
                       int *n) {
  *n = 0;
  for (int k = 0; k < 2; k++)
    for (int64_t i = 0; i < PRLX_MIN(d[0].n, SHEET_LESIONS) && (t->pairs || i < d[k].n); i++) {
      int64_t at = i;
      if (t->pairs && k && (at = find_name(&d[1], d[0].names ? d[0].names[i] : "")) < 0) continue;
      SheetCell *c = &cell[(*n)++];
      c->img = d[k].images + at * d[k].channels * d[k].h * d[k].w;
      c->section = k;
      lesion_caption(c, evidence, d[k].names ? d[k].names[at] : "", k > 0);
    }
}

static Status two_sets(const PaperNumbers *q, const TwoSets *t, Error *e) {
  Dataset d[2] = {{0}, {0}};
  SheetCell cell[2 * SHEET_LESIONS];
  Tsv table = {0};
  int n;
  for (int k = 0; k < 2; k++)
    if (!file_exists(paper_path(q->r, t->file[k]))) return ST_OK;
  Status s = dataset_open(&d[0], paper_path(q->r, t->file[0]), e);
  if (s != ST_OK) goto done;
  s = dataset_open(&d[1], paper_path(q->r, t->file[1]), e);
  if (s != ST_OK) goto done;
  if (t->evidence && file_exists(paper_path(q->r, t->evidence))) {
    s = tsv_read(paper_path(q->r, t->evidence), &table, e);
    if (s != ST_OK) goto done;
  }
  memset(cell, 0, sizeof cell);
  fill_cells(t, d, &table, cell, &n);
  Sheet sheet = {.head = t->head,
                 .title = t->title,
                 .sections = 2,
                 .cell = cell,
                 .n = n,
                 .h = d[0].h,
                 .w = d[0].w,
                 .columns = d[0].channels > 1 ? 4 : 6};
  sheet_describe(&sheet, d[0].meta, d[0].nmeta, d[0].channels);
  s = sheet_draw(&sheet, figure_path(q, t->name), e);
done:
  dataset_free(&d[0]);
  dataset_free(&d[1]);
  tsv_free(&table);
  return s;
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

static Status draw_forest(const PaperNumbers *q, Chart *c, Error *e) {
  static const Metric show[] = {M_ACCURACY,    M_PRECISION, M_SENSITIVITY,
                                M_SPECIFICITY, M_BALANCED,  M_ROC_AUC};
  ChartRow row[PAPER_ROWS];
  chart_begin(c, 2);
  int any = 0;
  for (int m = 0; m < COUNT_OF(show); m++) {
    int n = 0;
    for (int i = 0; i < q->rows; i++) {
      const PaperRow *x = &q->row[i];
      if (!x->aug || x->missing) continue;
      if (isnan(x->m[show[m]]) && isnan(published_number(q, "3", x->name, metric_name[show[m]])))
        continue;
      row[n++] = (ChartRow){x->name,       published_number(q, "3", x->name, metric_name[show[m]]),
                            NAN,           NAN,
                            x->m[show[m]], x->lo[show[m]],
                            x->hi[show[m]]};
    }
    const PaperRow *none = numbers_row(q, "classify_none");
    if (n)
      chart_forest(c, metric_name[show[m]], "", n, row, none ? none->m[show[m]] : NAN,
                   "None, ours");
    any += n;
  }
  return any ? chart_write(c, figure_path(q, "classifiers.svg"), e) : ST_OK;
}

/* Difference to None of every row: does it help? */
static Status draw_helps(const PaperNumbers *q, Chart *c, Error *e) {
  static const Metric show[] = {M_SENSITIVITY, M_SPECIFICITY, M_BALANCED, M_ROC_AUC};
  ChartRow row[PAPER_ROWS];
  chart_begin(c, 2);
  int any = 0;
  for (int m = 0; m < COUNT_OF(show); m++) {
    int n = 0;
    for (int i = 0; i < q->rows; i++) {
      const PaperRow *x = &q->row[i];
      const Delta *d = &x->none[show[m]];
      if (!x->aug || x->missing || isnan(d->v) || !strcmp(x->id, "classify_none")) continue;
      const double pub = published_number(q, "3", x->name, metric_name[show[m]]) -
                         published_number(q, "3", "None", metric_name[show[m]]);
      row[n++] = (ChartRow){x->name, pub, NAN, NAN, d->v, d->lo, d->hi};
    }
    char title[80];
    snprintf(title, sizeof title, "%s: difference to None", metric_name[show[m]]);
    if (n) chart_forest(c, title, "", n, row, 0, "no difference");
    any += n;
  }
  return any ? chart_write(c, figure_path(q, "differences.svg"), e) : ST_OK;
}

static Status draw_sweep(const PaperNumbers *q, Chart *c, Error *e) {
  static const Metric show[] = {M_SENSITIVITY, M_SPECIFICITY, M_BALANCED, M_ROC_AUC};
  const PaperRow *row[PAPER_ROWS];
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
    for (int i = 0; i < n; i++)
      x[i] = row[i]->added, y[i] = row[i]->m[show[m]], lo[i] = row[i]->lo[show[m]],
      hi[i] = row[i]->hi[show[m]];
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

Status figures_pictures(const PaperNumbers *q, Error *e) {
  static const TwoSets set[] = {
      {"figure6.png",
       "Figure 6: real and synthetic rim lesions, the first of each file",
       {"{w}/train_rim.safetensors", "{w}/gan.safetensors"},
       {"real (phantom or cohort)", "synthetic (ADA-GAN, seeds 0, 1, ...)"},
       false,
       NULL},
      {"figure7.png",
       "Figure 7: ambiguous lesions before and after latent projection, the first of the file",
       {"{w}/ambiguous.safetensors", "{w}/ld/denoised.safetensors"},
       {"ambiguous, as measured", "denoised (ADA-GAN-LD), same order"},
       true,
       "{w}/evidence_ld/evidence.tsv"},
      {"figure7_cgan.png",
       "Ambiguous lesions before and after projection into the conditional network, class rim",
       {"{w}/ambiguous.safetensors", "{w}/cld/denoised.safetensors"},
       {"ambiguous, as measured", "denoised (ADA-cGAN-LD), same order"},
       true,
       "{w}/evidence_cld/evidence.tsv"},
      {"figure10.png",
       "Figure 10 (nearest): three contrasts, real and synthetic: susceptibility, rim probability, "
       "T2-FLAIR",
       {"{w}/multi_rim.safetensors", "{w}/multi_synthetic/dataset.safetensors"},
       {"real", "synthetic (seeds 0, 1, ...)"},
       false,
       NULL},
  };
  char dir[PATH_LEN];
  paper_file(q->r, dir, "figures");
  TRY(dir_make(dir, e));
  for (int i = 0; i < COUNT_OF(set); i++) TRY(two_sets(q, &set[i], e));
  TRY(copy_first(q, "{w}/frames", "*_steps.png", "figure2_steps.png", e));
  TRY(copy_first(q, "{w}/frames", "sheet.png", "figure2.png", e));
  return copy_first(q, "{w}/cam", "sheet.png", "figure9.png", e);
}
