/* evidence_page.c: histograms, the sheet of lesions before and after, and the page of `prlx
 * evidence`. See evidence.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "tools/judge/evidence.h"
#include "tools/view/canvas.h"
#include "tools/view/chart.h"
#include "tools/view/sheet.h"

enum { SHEET_ROWS = 60, PAIRS = 5, GAP = 6, HEAD = 34, CAPTION = 24, FOOT = 40, CELLS = 4 };

/* ---- histograms ---- */
static ChartSet page_column(const Evidence *ev, const char *name, int k, double *v) {
  for (int64_t i = 0; i < ev->lesions; i++) v[i] = summary_value(ev, &ev->row[i], k);
  return (ChartSet){name, v, ev->lesions};
}

static bool page_has(const Evidence *ev, int k) {
  for (int64_t i = 0; i < ev->lesions; i++)
    if (isfinite(ev->row[i].v[k])) return true;
  return false;
}

static void page_chart(Chart *c, const Evidence *ev, const char *title, const char *label, int k,
                       double *v) {
  const ChartSet s = page_column(ev, "denoised lesions", k, v);
  if (page_has(ev, k)) chart_histogram(c, title, label, 1, &s, NAN, NULL);
}

static void before_after(Chart *c, const Evidence *ev, const char *title, const char *label,
                         int before, double *v, double ref, const char *ref_text) {
  const ChartSet s[2] = {page_column(ev, "before", before, v),
                         page_column(ev, "after", before + 1, v + ev->lesions)};
  if (page_has(ev, before + 1)) chart_histogram(c, title, label, 2, s, ref, ref_text);
}

/* Neighbour distances beside those between training lesions, both over the median of the latter. */
static void page_neighbours(Chart *c, const Evidence *ev, const char *title,
                            const NearReference *ref, int k, double *v) {
  double *scaled = v + ev->lesions;
  if (!ref->n || !page_has(ev, k)) return;
  for (int64_t i = 0; i < ref->n; i++) scaled[i] = ref->distance[i] / ref->median;
  const ChartSet s[2] = {
      page_column(ev, ev->a.synthetic ? "synthetic images" : "denoised lesions", k, v),
      {"training lesions among themselves", scaled, ref->n}};
  chart_histogram(c, title, "distance over the median between training lesions", 2, s,
                  ref->distance[0] / ref->median, "closest two");
}

static Status draw_charts(Chart *c, const Evidence *ev, Error *e) {
  double *v = mem_alloc((size_t)(2 * ev->lesions + ev->near.reference) * sizeof *v);
  if (!v) return err_set(e, ST_NOMEM, "out of memory");
  chart_begin(c, 2);
  page_chart(c, ev, "LPIPS to the target", "LPIPS", EV_LPIPS, v);
  page_chart(c, ev, "MSE to the target", "mean squared error, network units", EV_MSE, v);
  page_chart(c, ev, "Distance of w to the mean of W", "standard deviations of W", EV_W, v);
  before_after(c, ev, "Rim score of the classifier", "probability of rim", EV_RIM0, v,
               ev->a.threshold, "called rim");
  before_after(c, ev, "Overlap of the brightest pixels with the true rim", "share on the rim",
               EV_DICE0, v, NAN, NULL);
  before_after(c, ev, "True rim above core", "ppb", EV_CORE0, v, 0, "no contrast");
  before_after(c, ev, "Edge of the lesion above its core", "ppb", EV_EDGE0, v, 0, "no contrast");
  page_neighbours(c, ev, "Nearest training lesion, by pixel", &ev->near.ref_px, EV_PX_RATIO, v);
  page_neighbours(c, ev, "Nearest training lesion, by LPIPS", &ev->near.ref_lp, EV_LP_RATIO, v);
  mem_free(v);
  return ST_OK;
}

/* ---- sheets ---- */
typedef struct Cell {
  const float *img;
  float lo;
  float hi;
  const char *head;
} Cell;
typedef struct SheetPlan {
  int zoom;
  int cell;
  int cells;
  int groups;
  int rows;
  int w;
  int h;
} SheetPlan;

/* Target, denoised, true rim, nearest training image: those there are. */
static int cells_of(const Evidence *ev, int64_t image, int64_t train, Cell c[CELLS]) {
  const int64_t hw = (int64_t)ev->d.h * ev->d.w, per = hw * ev->d.channels;
  int n = 0;
  if (ev->target.images) c[n++] = (Cell){ev->target.images + image * per, -1, 1, "target"};
  c[n++] = (Cell){ev->d.images + image * per, -1, 1, ev->a.synthetic ? "synthetic" : "denoised"};
  if (ev->rim) c[n++] = (Cell){ev->rim + image * hw, 0, 0.6f, "true rim"};
  if (ev->near.px)
    c[n++] = (Cell){train < 0 ? NULL : ev->train.images + train * per, -1, 1, "nearest training"};
  return n;
}

static Status sheet_new(const Evidence *ev, Canvas *c, SheetPlan *p, int64_t n, const char *head,
                        Error *e) {
  Cell cell[CELLS];
  const int r = PRLX_MAX(ev->d.w, ev->d.h);
  p->zoom = r >= 128 ? 1 : r >= 48 ? 2 : 4;
  p->cell = r * p->zoom;
  p->cells = cells_of(ev, 0, -1, cell);
  p->groups = n > 30 ? 3 : n > 8 ? 2 : 1;
  p->rows = (int)((n + p->groups - 1) / p->groups);
  p->w = PRLX_MAX(p->cells * (p->cell + GAP), 330) + 2 * GAP;
  TRY(canvas_new(c, PRLX_MAX(p->groups * p->w + GAP, 6 * (int)strlen(head) + 2 * GAP),
                 HEAD + p->rows * (p->cell + CAPTION + GAP) + FOOT, 24, e));
  canvas_text(c, GAP, 6, 1, 0xffffff, head);
  for (int g = 0; g < p->groups; g++)
    for (int k = 0; k < p->cells; k++)
      canvas_text(c, GAP + g * p->w + k * (p->cell + GAP), 21, 1, 0xb0b0b0, cell[k].head);
  return ST_OK;
}

/* Row k of the sheet: image against training image `train`, two lines of text below. */
static void sheet_row(const Evidence *ev, Canvas *c, const SheetPlan *p, int64_t k, int64_t image,
                      int64_t train, const char *line1, const char *line2) {
  Cell cell[CELLS];
  const int n = cells_of(ev, image, train, cell), x = GAP + (int)(k / p->rows) * p->w,
            y = HEAD + (int)(k % p->rows) * (p->cell + CAPTION + GAP);
  for (int q = 0; q < n; q++)
    if (cell[q].img)
      canvas_image(c, x + q * (p->cell + GAP), y, p->zoom, false, cell[q].img, ev->d.w, ev->d.h,
                   cell[q].lo, cell[q].hi);
  canvas_text(c, x, y + p->cell + 3, 1, 0xe0e0e0, line1);
  canvas_text(c, x, y + p->cell + 13, 1, 0x909090, line2);
}

static Status sheet_end(const Evidence *ev, Canvas *c, const SheetPlan *p, const char *path,
                        Error *e) {
  Sheet meaning = {0};
  sheet_describe(&meaning, ev->d.meta, ev->d.nmeta, ev->d.channels);
  sheet_bar(c, &meaning, p->zoom, GAP, c->h - 30);
  canvas_text(c, GAP, c->h - 18, 1, 0xe0e0e0, meaning.foot);
  const Status s = canvas_write(c, path, e);
  canvas_free(c);
  return s;
}

static Status before_after_sheet(const Evidence *ev, const char *path, Error *e) {
  Canvas c;
  SheetPlan p;
  const int64_t n = PRLX_MIN(ev->lesions, (int64_t)SHEET_ROWS);
  char head[200], a[200], b[200], name[160];
  snprintf(head, sizeof head,
           "%lld of %lld denoised lesions; P(rim) before > after; d: nearest training image over "
           "the median between training lesions",
           (long long)n, (long long)ev->lesions);
  TRY(sheet_new(ev, &c, &p, n, head, e));
  for (int64_t i = 0; i < n; i++) {
    const EvLesion *r = &ev->row[i];
    const int64_t image = r->px_image >= 0 ? r->px_image : r->first,
                  train = r->px_image >= 0 ? ev->near.px[image].id : -1;
    size_t at = (size_t)snprintf(a, sizeof a, "%.14s %.14s LPIPS %.3f",
                                 r->subject[0] == '(' ? "" : r->subject, r->name, r->v[EV_LPIPS]);
    if (isfinite(r->v[EV_RIM1]))
      at += (size_t)snprintf(a + at, sizeof a - at, " P(rim) %.2f > %.2f", r->v[EV_RIM0],
                             r->v[EV_RIM1]);
    if (r->truth >= 0) snprintf(a + at, sizeof a - at, " truth %s", r->truth ? "rim" : "none");
    b[0] = 0;
    if (train >= 0)
      snprintf(b, sizeof b, "%.32s d %.2f%s%s", ev_train_name(ev, train, name), r->v[EV_PX_RATIO],
               r->px ? " " : "", r->px ? memory_name[r->px] : "");
    sheet_row(ev, &c, &p, i, image, train, a, b);
  }
  return sheet_end(ev, &c, &p, path, e);
}

typedef struct Ranked {
  double d;
  int64_t row;
} Ranked;
static int by_distance(const void *a, const void *b) {
  const Ranked *x = a, *y = b;
  if (x->d != y->d) return x->d > y->d ? 1 : -1;
  return x->row > y->row ? 1 : x->row < y->row ? -1 : 0;
}

/* The closest pairs by pixel, then by LPIPS. */
static Status pair_sheet(const Evidence *ev, const char *path, Error *e) {
  Canvas c;
  SheetPlan p;
  char a[200], b[200], name[160];
  const int64_t shown = PRLX_MIN(ev->lesions, (int64_t)PAIRS);
  const int kinds = ev->near.lp ? 2 : 1;
  Ranked *rank = mem_alloc((size_t)ev->lesions * sizeof *rank);
  Status s =
      rank ? sheet_new(
                 ev, &c, &p, shown * kinds,
                 "closest pairs of a synthetic and a training image: by pixel (RMS), then by LPIPS",
                 e)
           : err_set(e, ST_NOMEM, "out of memory");
  if (s != ST_OK) {
    mem_free(rank);
    return s;
  }
  for (int kind = 0; kind < kinds; kind++) {
    for (int64_t i = 0; i < ev->lesions; i++)
      rank[i] = (Ranked){ev->row[i].v[kind ? EV_LP : EV_PX], i};
    qsort(rank, (size_t)ev->lesions, sizeof *rank, by_distance);
    for (int64_t k = 0; k < shown; k++) {
      const EvLesion *r = &ev->row[rank[k].row];
      const int64_t image = kind ? r->lp_image : r->px_image, train = image < 0 ? -1
                                                                      : kind
                                                                          ? ev->near.lp[image].id
                                                                          : ev->near.px[image].id;
      const Memory m = kind ? r->lp : r->px;
      snprintf(a, sizeof a, "%.20s  %s %.4f = %.2f of the median%s%s", r->name,
               kind ? "LPIPS" : "RMS", rank[k].d, r->v[kind ? EV_LP_RATIO : EV_PX_RATIO],
               m ? ": " : "", m ? memory_name[m] : "");
      snprintf(b, sizeof b, "%.40s", ev_train_name(ev, train, name));
      sheet_row(ev, &c, &p, kind * shown + k, image < 0 ? 0 : image, train, a, b);
    }
  }
  mem_free(rank);
  return sheet_end(ev, &c, &p, path, e);
}

/* ---- page ---- */
static void words_to_page(Report *r, const char *words) {
  char line[2000];
  while (*words) {
    const size_t n = strcspn(words, "\n");
    snprintf(line, sizeof line, "%.*s", (int)PRLX_MIN(n, sizeof line - 1), words);
    if (!strncmp(line, "Left out", 8))
      report_note(r, "%s", line);
    else if (*line)
      report_text(r, "%s", line);
    words += n + (words[n] == '\n');
  }
}

static Status evidence_page(const Evidence *ev, const Chart *c, const char *words,
                            const char *sheet, Error *e) {
  char path[PATH_LEN];
  Report r;
  const bool syn = ev->a.synthetic != NULL;
  TRY(path_join(path, ev->a.out, "evidence.html", e));
  report_begin(&r, syn ? "Synthetic lesions: memorisation" : "What denoising did", ev->d.path);
  words_to_page(&r, words);
  report_heading(&r, "Distributions");
  chart_report(c, &r,
               syn ? "Dotted: medians. Left of the dashed line an image is closer to a training "
                     "image than any two training lesions of the reference are."
                   : "Dotted: medians. Neighbour distances left of the dashed line: closer than "
                     "any two training lesions of the reference.");
  report_heading(&r, syn ? "The closest pairs" : "Lesions");
  report_png(&r, sheet, 0,
             syn ? "Each synthetic image beside its nearest training image."
                 : "Each lesion before and after, and its nearest training image by pixel. A "
                   "denoised image is a proposal of a network, not a measurement.");
  return report_write(&r, path, e);
}

Status evidence_pages(const Evidence *ev, const char *words, Error *e) {
  char path[PATH_LEN], sheet[PATH_LEN];
  Chart c = {0};
  const bool syn = ev->a.synthetic != NULL;
  TRY(path_join(path, ev->a.out, "histogram.svg", e));
  TRY(path_join(sheet, ev->a.out, syn ? "closest.png" : "sheet.png", e));
  Status s = draw_charts(&c, ev, e);
  if (s != ST_OK) goto done;
  s = chart_write(&c, path, e);
  if (s != ST_OK) goto done;
  s = syn ? pair_sheet(ev, sheet, e) : before_after_sheet(ev, sheet, e);
  if (s != ST_OK) goto done;
  s = evidence_page(ev, &c, words, sheet, e);
done:
  chart_free(&c);
  return s;
}
