/* paper_pictures.c: Figures 2, 6, 7, 9, 10 and the way of one projection, into OUT/figures. A
 * figure whose step has not run is left out. Lesions are the first of each file, or chosen by a
 * rule that is written above them; susceptibility is shown in a window in which a rim is seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"
#include "paper/engine/paper_report.h"
#include "tools/cli/outputs.h"
#include "tools/view/sheet.h"

enum { SHOWN = 12, ZOOM = 3, SHOW_PPB = 75 };

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
  if (!file_exists(paper_path(q->r, folder))) return ST_OK;
  Status s = folder_read(paper_path(q->r, folder), pattern, &l, e);
  if (s != ST_OK) goto done;
  if (!l.n) goto done;
  s = path_join(from, paper_path(q->r, folder), l.name[0], e);
  if (s != ST_OK) goto done;
  s = copy_file(from, figure_path(q, name), e);
done:
  folder_free(&l);
  return s;
}

/* ---- what is shown ---- */

typedef struct Picture {
  const char *name;
  const char *head;
  const char *file[2];
  const char *title[2];
  bool pairs;           /* second set: the lesions of the first, by name */
  const char *evidence; /* pairs: table of `prlx evidence`; NULL: none */
} Picture;

typedef struct Cells {
  SheetCell cell[64];
  int n;
} Cells;

static int64_t find_name(const Dataset *d, const char *name) {
  for (int64_t i = 0; d->names && i < d->n; i++)
    if (!strcmp(d->names[i], name)) return i;
  return -1;
}

/* Values of the first channel in -SHOW_PPB..SHOW_PPB fill the grey scale, where the scale is known;
 * the foot says so. */
static void show_window(Dataset *d, Sheet *s) {
  ImageMeaning m;
  meaning_read(&m, d->meta, d->nmeta, d->channels);
  sheet_describe(s, d->meta, d->nmeta, d->channels);
  if (!m.n || m.ch[0] != CH_CHI || m.window[0].mode != WINDOW_FIXED) return;
  const double lo = m.window[0].lo, hi = m.window[0].hi;
  const int64_t hw = (int64_t)d->h * d->w;
  for (int64_t i = 0; i < d->n; i++)
    for (int64_t k = 0; k < hw; k++) {
      float *v = &d->images[i * d->channels * hw + k];
      const double x = (lo + (hi - lo) * ((double)*v + 1) / 2) / SHOW_PPB;
      *v = (float)PRLX_MAX(-1.0, PRLX_MIN(1.0, x));
    }
  char *rest = strchr(s->foot, ';'), keep[sizeof s->foot];
  snprintf(keep, sizeof keep, "%s", rest ? rest : "");
  snprintf(s->foot, sizeof s->foot, "black to white: chi %d to %d ppb%.120s", -SHOW_PPB, SHOW_PPB,
           keep);
}

/* Row of the table of `prlx evidence` for an image "sub-001_lesion-02_z12"; -1. */
static int evidence_row(const Tsv *t, const char *image) {
  const int cn = tsv_column(t, "lesion"), cs = tsv_column(t, "subject");
  for (int i = 0; i < t->nrow && cn >= 0 && cs >= 0; i++) {
    char full[160];
    snprintf(full, sizeof full, "%.60s_lesion-%.60s_", tsv_get(t, i, cs), tsv_get(t, i, cn));
    if (!strncmp(image, full, strlen(full))) return i;
  }
  return -1;
}

static double evidence_cell(const Tsv *t, int row, const char *column) {
  const int c = tsv_column(t, column);
  if (row < 0 || c < 0 || tsv_missing(tsv_get(t, row, c))) return NAN;
  return atof(tsv_get(t, row, c));
}

/* "P 0.31, edge 12 of 28 ppb": the rim score of the classifier without augmentation, the edge of
 * the lesion above its core, and the true crest (phantom). The name when there is no evidence. */
static void lesion_caption(SheetCell *c, const Tsv *t, const char *name, bool after) {
  const int row = evidence_row(t, name);
  const double p = evidence_cell(t, row, after ? "rim_score_after" : "rim_score_before"),
               edge = evidence_cell(t, row, after ? "edge_ppb_after" : "edge_ppb_before"),
               crest = evidence_cell(t, row, "truth_rim_ppb");
  if (isnan(p))
    snprintf(c->caption, sizeof c->caption, "%.40s", name);
  else if (after || isnan(crest))
    snprintf(c->caption, sizeof c->caption, "P %.2f, edge %.0f ppb", p, edge);
  else
    snprintf(c->caption, sizeof c->caption, "P %.2f, edge %.0f of %.0f ppb", p, edge, crest);
}

static void add_cell(Cells *c, const Dataset *d, int64_t at, int section, const Tsv *t,
                     bool after) {
  if (at < 0 || c->n == COUNT_OF(c->cell)) return;
  SheetCell *x = &c->cell[c->n++];
  x->img = d->images + at * d->channels * d->h * d->w;
  x->section = section;
  lesion_caption(x, t, d->names ? d->names[at] : "", after);
}

/* The first ones of both sets, the second below the first. */
static void first_cells(const Picture *p, const Dataset d[2], const Tsv *t, Cells *c) {
  const int64_t most = d[0].channels > 1 ? 4 : SHOWN / 2;
  for (int k = 0; k < 2; k++)
    for (int64_t i = 0; i < PRLX_MIN(d[0].n, most) && (p->pairs || i < d[k].n); i++)
      add_cell(c, &d[k], p->pairs && k ? find_name(&d[1], d[0].names ? d[0].names[i] : "") : i, k,
               t, k > 0);
}

static Status open_two(const PaperNumbers *q, const Picture *p, Dataset d[2], Tsv *t, bool *there,
                       Error *e) {
  *there = false;
  for (int k = 0; k < 2; k++)
    if (!file_exists(paper_path(q->r, p->file[k]))) return ST_OK;
  for (int k = 0; k < 2; k++) TRY(dataset_open(&d[k], paper_path(q->r, p->file[k]), e));
  if (p->evidence && file_exists(paper_path(q->r, p->evidence)))
    TRY(tsv_read(paper_path(q->r, p->evidence), t, e));
  *there = true;
  return ST_OK;
}

static Status draw_cells(const PaperNumbers *q, const char *name, const char *head,
                         const char *const *title, int sections, const Cells *c, Dataset d[2],
                         int columns, Error *e) {
  Sheet s = {.head = head,
             .title = title,
             .sections = sections,
             .cell = c->cell,
             .n = c->n,
             .h = d[0].h,
             .w = d[0].w,
             .columns = columns,
             .zoom = d[0].h <= 128 ? ZOOM : 0};
  if (d[1].images) show_window(&d[1], &s);
  show_window(&d[0], &s);
  return sheet_draw(&s, figure_path(q, name), e);
}

static Status draw_picture(const PaperNumbers *q, const Picture *p, Error *e) {
  Dataset d[2] = {{0}, {0}};
  Cells c = {0};
  Tsv t = {0};
  bool there;
  Status s = open_two(q, p, d, &t, &there, e);
  if (s != ST_OK || !there) goto done;
  first_cells(p, d, &t, &c);
  s = draw_cells(q, p->name, p->head, p->title, 2, &c, d, d[0].channels > 1 ? 2 : SHOWN / 4, e);
done:
  dataset_free(&d[0]);
  dataset_free(&d[1]);
  tsv_free(&t);
  return s;
}

/* ---- best, middle and worst ---- */

typedef struct Moved {
  double rise; /* of the edge above the core */
  int64_t at;
} Moved;
static int moved_order(const void *a, const void *b) {
  const Moved *x = a, *y = b;
  if (x->rise != y->rise) return x->rise > y->rise ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

static void ranked_cells(const Dataset d[2], const Tsv *t, Moved *m, Cells *c) {
  enum { EACH = 3 };
  int64_t n = 0;
  for (int64_t i = 0; i < d[0].n; i++) {
    const int row = d[0].names ? evidence_row(t, d[0].names[i]) : -1;
    const double rise =
        evidence_cell(t, row, "edge_ppb_after") - evidence_cell(t, row, "edge_ppb_before");
    if (isfinite(rise) && find_name(&d[1], d[0].names[i]) >= 0) m[n++] = (Moved){rise, i};
  }
  qsort(m, (size_t)n, sizeof *m, moved_order);
  if (n < 3 * EACH) return;
  const int64_t from[3] = {0, (n - EACH) / 2, n - EACH};
  for (int g = 0; g < 3; g++)
    for (int side = 0; side < 2; side++)
      for (int k = 0; k < EACH; k++) {
        const int64_t i = m[from[g] + k].at;
        add_cell(c, &d[side], side ? find_name(&d[1], d[0].names[i]) : i, 2 * g + side, t, side);
      }
}

static Status draw_ranked(const PaperNumbers *q, const Picture *p, Error *e) {
  static const char *const title[] = {"largest rise of the edge above the core: as measured",
                                      "the same, denoised",
                                      "middle: as measured",
                                      "the same, denoised",
                                      "largest fall: as measured",
                                      "the same, denoised"};
  Dataset d[2] = {{0}, {0}};
  Cells c = {0};
  Tsv t = {0};
  Moved *m = NULL;
  bool there;
  Status s = open_two(q, p, d, &t, &there, e);
  if (s != ST_OK || !there) goto done;
  m = mem_alloc((size_t)d[0].n * sizeof *m);
  if (!m) {
    s = err_set(e, ST_NOMEM, "out of memory");
    goto done;
  }
  ranked_cells(d, &t, m, &c);
  if (c.n)
    s = draw_cells(q, p->name, p->head, title, COUNT_OF(title), &c, d, 3, e);
  else {
    first_cells(p, d, &t, &c); /* too few lesions for a rule */
    s = draw_cells(q, p->name, p->head, p->title, 2, &c, d, SHOWN / 4, e);
  }
done:
  mem_free(m);
  dataset_free(&d[0]);
  dataset_free(&d[1]);
  tsv_free(&t);
  return s;
}

/* ---- Figure 2 ---- */

/* The first rim and the first non-rim of the test, all channels. */
static Status draw_kinds(const PaperNumbers *q, Error *e) {
  static const char *const title[] = {"rim (both readers): susceptibility, rim map, T2-FLAIR",
                                      "non-rim"};
  const char *path = paper_path(q->r, "{w}/multi_test.safetensors");
  Dataset d[2] = {{0}, {0}};
  Cells c = {0};
  const Tsv none = {0};
  if (!file_exists(path)) return ST_OK;
  TRY(dataset_open(&d[0], path, e));
  for (int cls = 1; cls >= 0; cls--) {
    int seen = 0;
    for (int64_t i = 0; i < d[0].n && d[0].labels && seen < 2; i++)
      if (d[0].labels[i] == cls) {
        add_cell(&c, &d[0], i, !cls, &none, false);
        seen++;
      }
  }
  const Status s = draw_cells(q, "figure2.png", "Figure 2: rim and non-rim lesions of the test",
                              title, 2, &c, d, 2, e);
  dataset_free(&d[0]);
  return s;
}

Status figures_pictures(const PaperNumbers *q, Error *e) {
  static const Picture ranked = {"figure7.png",
                                 "Ambiguous lesions before and after latent projection",
                                 {"{w}/ambiguous.safetensors", "{w}/ld/denoised.safetensors"},
                                 {"ambiguous, as measured", "denoised (ADA-GAN-LD), same order"},
                                 true,
                                 "{w}/evidence_ld/evidence.tsv"};
  static const Picture set[] = {
      {"figure6.png",
       "Figure 6: real and synthetic rim lesions, the first of each file",
       {"{w}/train_rim.safetensors", "{w}/gan.safetensors"},
       {"real (phantom or cohort)", "synthetic (ADA-GAN, seeds 0, 1, ...)"},
       false,
       NULL},
      {"figure7_first.png",
       "Figure 7: ambiguous lesions before and after latent projection, the first of the file",
       {"{w}/ambiguous.safetensors", "{w}/ld/denoised.safetensors"},
       {"ambiguous, as measured", "denoised (ADA-GAN-LD), same order"},
       true,
       "{w}/evidence_ld/evidence.tsv"},
      {"figure7_focus.png",
       "Ambiguous lesions before and after projection with the fast solver and the focus",
       {"{w}/ambiguous.safetensors", "{w}/focus/denoised.safetensors"},
       {"ambiguous, as measured", "denoised (fast, focus), same order"},
       true,
       "{w}/evidence_focus/evidence.tsv"},
      {"figure7_place.png",
       "Ambiguous lesions before and after they were redrawn in place",
       {"{w}/ambiguous.safetensors", "{w}/place/denoised.safetensors"},
       {"ambiguous, as measured", "only the lesion redrawn (in place), same order"},
       true,
       "{w}/evidence_place/evidence.tsv"},
      {"figure7_cgan.png",
       "Ambiguous lesions before and after projection into the conditional network, class rim",
       {"{w}/ambiguous.safetensors", "{w}/cld/denoised.safetensors"},
       {"ambiguous, as measured", "denoised (ADA-cGAN-LD), same order"},
       true,
       "{w}/evidence_cld/evidence.tsv"},
      {"ideal.png",
       "Ambiguous lesions and the same ones as the phantom draws them with a clear rim",
       {"{w}/ambiguous.safetensors", "{w}/clear.safetensors"},
       {"ambiguous, as measured", "drawn with a clear rim, same order: ideal denoising"},
       true,
       NULL},
      {"figure10.png",
       "Figure 10: three contrasts, real and synthetic: susceptibility, rim probability, T2-FLAIR",
       {"{w}/multi_rim.safetensors", "{w}/multi_synthetic/dataset.safetensors"},
       {"real", "synthetic (seeds 0, 1, ...)"},
       false,
       NULL},
  };
  char dir[PATH_LEN];
  paper_file(q->r, dir, "figures");
  TRY(outputs_own_folder(dir, e));
  for (int i = 0; i < COUNT_OF(set); i++) TRY(draw_picture(q, &set[i], e));
  TRY(draw_ranked(q, &ranked, e));
  TRY(draw_kinds(q, e));
  TRY(copy_first(q, "{w}/frames", "*_steps.png", "projection_steps.png", e));
  TRY(copy_first(q, "{w}/frames", "sheet.png", "projection.png", e));
  return copy_first(q, "{w}/cam", "sheet.png", "figure9.png", e);
}
