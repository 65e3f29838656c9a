/* segment_judge.c: `prlx segment --judge`: does the mask of an image lie on a rim of the same
 * image? For generated images nobody knows where the rim should be, so the image itself is asked.
 *
 * Rule: the mask has k pixels; the k brightest susceptibility pixels of its neighbourhood (within 4
 * pixels of it) are what the right threshold would call the rim. The Dice of both says how far mask
 * and bright pixels are the same. The threshold follows from the mask's own area, so there is
 * nothing to tune, and an overall brighter or darker lesion does not matter. 4 pixels hold the core
 * of a usual lesion, both sides of the rim and some tissue around: a mask beside its rim finds the
 * rim in its neighbourhood and loses. A vein or a bright core in the neighbourhood costs real masks
 * too: that is why the same of real images stands beside it (--reference), and the same masks laid
 * on the next image (other): what remains of the agreement when mask and image have nothing to do
 * with each other. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "models/judge/evaluate.h"
#include "models/judge/masks.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/judge/segment.h"
#include "tools/view/sheet.h"

typedef enum { J_EMPTY, J_AREA, J_DICE, J_CHANCE, J_OTHER, J_CONTRAST, J_COUNT } Stat;
static const char *const stat_name[J_COUNT] = {"empty",  "area",       "dice",
                                               "chance", "dice_other", "contrast"};
static const char *const stat_text[J_COUNT] = {
    "share of empty masks", "area of the mask (pixels)", "Dice, mask and threshold",
    "  by chance",          "  mask on another image",   "contrast to 2 px around"};

typedef struct Set {
  /* images of the class */
  const char *path;
  Dataset d;
  int chi;
  int rim;
  int64_t n;
  int64_t *image;
  int64_t *group;
  int64_t groups;
  /* [n], NaN without meaning */
  double *v[J_COUNT];
  /* contrast in ppb; else network units */
  bool ppb;
} Set;

static void set_free(Set *s) {
  dataset_free(&s->d);
  mem_free(s->image);
  mem_free(s->group);
  mem_free(s->v[0]);
}

static int64_t class_of(const Dataset *d, int64_t i) {
  return d->src ? d->src->label[d->src->lesion[i]] : d->labels ? d->labels[i] : -1;
}

static Status set_open(Set *s, const char *path, int cls, Error *e) {
  int at[16], n;
  s->path = path;
  TRY(dataset_open(&s->d, path, e));
  TRY(channels_find(&s->d, "chi,rim", at, &n, e));
  s->chi = at[0];
  s->rim = at[1];
  const size_t m = (size_t)s->d.n;
  s->image = mem_alloc(m * sizeof *s->image);
  s->group = mem_alloc(m * sizeof *s->group);
  s->v[0] = mem_alloc(J_COUNT * m * sizeof *s->v[0]);
  if (!s->image || !s->group || !s->v[0])
    return err_set(e, ST_NOMEM, "%s: out of memory for %zu images", path, m);
  for (int64_t i = 0; i < s->d.n; i++) {
    const int64_t label = class_of(&s->d, i);
    if (cls >= 0 && label >= 0 && label != cls) continue;
    s->group[s->n] = s->d.src ? s->d.src->subject_of[s->d.src->lesion[i]] : s->n;
    s->groups = PRLX_MAX(s->groups, s->group[s->n] + 1);
    s->image[s->n++] = i;
  }
  for (int k = 1; k < J_COUNT; k++) s->v[k] = s->v[0] + (size_t)k * (size_t)s->n;
  return s->n ? ST_OK : err_set(e, ST_INVALID, "%s: no image of class %d", path, cls);
}

/* ppb per network unit of image i; 1 when unknown. */
static double unit_of(Set *s, int64_t i, const ImageMeaning *m) {
  if (s->d.src) {
    const double *w = s->d.src->window + (i * s->d.channels + s->chi) * 2;
    return (w[1] - w[0]) / 2;
  }
  return s->ppb ? (m->window[s->chi].hi - m->window[s->chi].lo) / 2 : 1;
}

static void mask_of(const Set *s, int64_t k, uint8_t *mask) {
  const int64_t hw = (int64_t)s->d.h * s->d.w;
  const float *r = s->d.images + (s->image[k] * s->d.channels + s->rim) * hw;
  for (int64_t i = 0; i < hw; i++) mask[i] = r[i] > 0;
}

/* Mask of image k on the susceptibility of image `on`. */
static Status fit_on(const Set *s, int64_t k, int64_t on, uint8_t *mask, MaskFit *f, Error *e) {
  mask_of(s, k, mask);
  return mask_fit(mask,
                  s->d.images + (s->image[on] * s->d.channels + s->chi) * (int64_t)s->d.h * s->d.w,
                  s->d.h, s->d.w, MASK_REACH, f, e);
}

/* Next image of another lesion: the neighbouring slice of the same lesion has nearly the same rim.
 */
static int64_t set_another(const Set *s, int64_t k) {
  for (int64_t step = 1; step < s->n; step++) {
    const int64_t o = (k + step) % s->n;
    if (!s->d.src || s->d.src->lesion[s->image[o]] != s->d.src->lesion[s->image[k]]) return o;
  }
  return -1;
}

static Status set_measure(Set *s, Error *e) {
  ImageMeaning m;
  meaning_read(&m, s->d.meta, s->d.nmeta, s->d.channels);
  s->ppb = s->d.src || (m.n && m.window[s->chi].mode != WINDOW_DISPLAY);
  Status st = ST_OK;
  uint8_t *mask = mem_alloc((size_t)s->d.h * (size_t)s->d.w);
  if (!mask) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t k = 0; k < s->n; k++) {
    MaskFit f, g = {.dice = NAN};
    const int64_t o = set_another(s, k);
    st = fit_on(s, k, k, mask, &f, e);
    if (st != ST_OK) goto done;
    if (o >= 0) {
      st = fit_on(s, k, o, mask, &g, e);
      if (st != ST_OK) goto done;
    }
    s->v[J_EMPTY][k] = f.area == 0;
    s->v[J_AREA][k] = f.area ? (double)f.area : NAN;
    s->v[J_DICE][k] = f.dice;
    s->v[J_CHANCE][k] = f.chance;
    s->v[J_OTHER][k] = g.dice;
    s->v[J_CONTRAST][k] = f.contrast * unit_of(s, s->image[k], &m);
  }
done:
  mem_free(mask);
  return st;
}

/* ---- results ---- */

typedef struct Line {
  double mean;
  double sd;
  double lo;
  double hi;
  int64_t n;
} Line;

static Status line_of(const Set *s, Stat q, const JudgeArgs *a, Line *l, Error *e) {
  double sum = 0, sq = 0;
  *l = (Line){.mean = NAN, .sd = NAN};
  for (int64_t k = 0; k < s->n; k++)
    if (isfinite(s->v[q][k])) {
      sum += s->v[q][k];
      l->n++;
    }
  if (l->n) l->mean = sum / (double)l->n;
  for (int64_t k = 0; k < s->n; k++)
    if (isfinite(s->v[q][k])) sq += pow(s->v[q][k] - l->mean, 2);
  if (l->n > 1) l->sd = sqrt(sq / (double)(l->n - 1));
  return eval_bootstrap_mean(s->n, s->v[q], s->group, s->groups, a->resamples, a->level, 0, &l->lo,
                             &l->hi, e);
}

static const char *number_short(char buf[24], double v) {
  if (isnan(v)) return "n/a";
  snprintf(buf, 24, "%.4g", v);
  return buf;
}

static Status write_summary(const Set *const *set, int sets, const JudgeArgs *a, Error *e) {
  char path[PATH_LEN], b[4][24];
  TsvWriter w = {0};
  TRY(path_join(path, a->out, "summary.tsv", e));
  static const char *const head[] = {"set", "statistic", "mean", "sd", "low", "high", "images"},
                           *const name[2] = {"judged", "reference"};
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  Status st = ST_OK;
  for (int k = 0; k < sets; k++)
    printf("%-10s %s: %lld images%s\n", name[k], set[k]->path, (long long)set[k]->n,
           set[k]->ppb ? "" : " (no scale: contrast in network units)");
  printf("%-28s", "");
  for (int k = 0; k < sets; k++) printf("  %-38s", name[k]);
  printf("\n%-28s", "");
  for (int k = 0; k < sets; k++)
    printf("  %8s %8s   %4.3g %% interval   ", "mean", "sd", 100 * a->level);
  printf("\n");
  for (int q = 0; q < J_COUNT; q++) {
    printf("%-28s", stat_text[q]);
    for (int k = 0; k < sets; k++) {
      Line l;
      st = line_of(set[k], (Stat)q, a, &l, e);
      if (st != ST_OK) goto failed;
      printf("  %8s %8s   %7s - %-10s", number_short(b[0], l.mean), number_short(b[1], l.sd),
             number_short(b[2], l.lo), number_short(b[3], l.hi));
      tsv_cell(&w, "%s", name[k]);
      tsv_cell(&w, "%s%s", stat_name[q],
               q != J_CONTRAST ? ""
               : set[k]->ppb   ? "_ppb"
                               : "_network_units");
      const double v[4] = {l.mean, l.sd, l.lo, l.hi};
      for (int i = 0; i < 4; i++) tsv_cell(&w, "%s", number_short(b[0], v[i]));
      tsv_cell(&w, "%lld", (long long)l.n);
      tsv_row_end(&w);
    }
    printf("%s\n", q == J_CONTRAST ? set[0]->ppb ? "  ppb" : "  network units" : "");
  }
  return tsv_commit(&w, path, e);
failed:
  mem_free(w.buf);
  return st;
}

static Status write_table(const Set *const *set, int sets, const JudgeArgs *a, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  static const char *const head[] = {"set", "image", "subject", "lesion", "class"};
  TRY(path_join(path, a->out, "judge.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  for (int q = 1; q < J_COUNT; q++) tsv_cell(&w, "%s", stat_name[q]);
  tsv_row_end(&w);
  for (int k = 0; k < sets; k++)
    for (int64_t i = 0; i < set[k]->n; i++) {
      const Dataset *d = &set[k]->d;
      const int64_t at = set[k]->image[i], l = d->src ? d->src->lesion[at] : 0, c = class_of(d, at);
      tsv_cell(&w, "%s", k ? "reference" : "judged");
      tsv_cell(&w, "%lld", (long long)at);
      tsv_cell(&w, "%s", d->src ? d->src->subject[d->src->subject_of[l]] : "");
      tsv_cell(&w, "%s", d->src ? d->src->name[l] : d->names ? d->names[at] : "");
      tsv_cell(&w, c < 0 ? "" : "%lld", (long long)c);
      for (int q = 1; q < J_COUNT; q++) {
        const double v = set[k]->v[q][i];
        tsv_cell(&w, isnan(v) ? "" : "%.6g", v);
      }
      tsv_row_end(&w);
    }
  return tsv_commit(&w, path, e);
}

/* Evenly spread over the judged images. */
static Status write_sheet(const Set *s, const JudgeArgs *a, Error *e) {
  const int n = (int)PRLX_MIN(s->n, a->show);
  const int64_t hw = (int64_t)s->d.h * s->d.w;
  static const char *const title[4] = {"susceptibility", "mask", "", "outline of the mask"};
  char path[PATH_LEN];
  TRY(path_join(path, a->out, "judge.png", e));
  SegRow *row = mem_alloc((size_t)n * sizeof *row);
  if (!row) return err_set(e, ST_NOMEM, "out of memory for the sheet");
  for (int k = 0; k < n; k++) {
    const int64_t i = k * s->n / n, at = s->image[i];
    row[k] = (SegRow){.img = s->d.images + (at * s->d.channels + s->chi) * hw,
                      .truth = s->d.images + (at * s->d.channels + s->rim) * hw};
    if (isnan(s->v[J_DICE][i]))
      snprintf(row[k].caption, sizeof row[k].caption, "image %lld: empty mask", (long long)at);
    else
      snprintf(row[k].caption, sizeof row[k].caption, "image %lld: Dice %.2f, contrast %.3g",
               (long long)at, s->v[J_DICE][i], s->v[J_CONTRAST][i]);
  }
  Status st = segment_sheet(path, row, n, s->d.h, s->d.w, 0.5, title, e);
  mem_free(row);
  return st;
}

Status segment_judge(const JudgeArgs *a, Error *e) {
  Set x[2] = {{0}, {0}};
  const Set *const set[2] = {&x[0], &x[1]};
  const int sets = a->reference ? 2 : 1;
  Status s = set_open(&x[0], a->data, a->cls, e);
  if (s != ST_OK) goto done;
  if (a->reference) {
    s = set_open(&x[1], a->reference, a->cls, e);
    if (s != ST_OK) goto done;
  }
  s = outputs_folder(a->out, "summary.tsv judge.tsv judge.png", e);
  if (s != ST_OK) goto done;
  for (int k = 0; k < sets; k++) {
    s = set_measure(&x[k], e);
    if (s != ST_OK) goto done;
  }
  s = write_summary(set, sets, a, e);
  if (s != ST_OK) goto done;
  s = write_table(set, sets, a, e);
  if (s != ST_OK) goto done;
  s = write_sheet(&x[0], a, e);
  if (s != ST_OK) goto done;
  printf("results in %s: summary.tsv, judge.tsv (per image), judge.png\n", a->out);
done:
  for (int k = 0; k < 2; k++) set_free(&x[k]);
  return s;
}
