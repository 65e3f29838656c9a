/* segment_score.c: found masks against true ones, lesion by lesion; see segment.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "models/judge/evaluate.h"
#include "models/judge/masks.h"
#include "tools/cli/tool.h"
#include "tools/judge/segment.h"

const char *const seg_name[SEG_COUNT] = {"dice",   "dice_1px", "hd95",      "precision",
                                         "recall", "missed",   "false_area"};

Status seg_scores_new(SegScores *s, const RimSlices *d, int runs, Error *e) {
  const size_t n = (size_t)d->x.lesions;
  *s = (SegScores){.lesions = d->x.lesions,
                   .runs = runs,
                   .value = mem_alloc((size_t)runs * SEG_COUNT * n * sizeof *s->value),
                   .mean = mem_alloc(SEG_COUNT * n * sizeof *s->mean),
                   .with = mem_alloc(n * sizeof *s->with),
                   .without = mem_alloc(n * sizeof *s->without)};
  return s->value && s->mean && s->with && s->without
             ? ST_OK
             : err_set(e, ST_NOMEM, "out of memory for the scores of %zu lesions", n);
}

void seg_scores_free(SegScores *s) {
  mem_free(s->value);
  mem_free(s->mean);
  mem_free(s->with);
  mem_free(s->without);
  memset(s, 0, sizeof *s);
}

typedef struct Sum {
  double v[SEG_COUNT];
  int64_t n[SEG_COUNT];
} Sum;
static void sum_add(Sum *s, SegMetric m, double v) {
  if (isfinite(v)) {
    s->v[m] += v;
    s->n[m]++;
  }
}

Status seg_scores_add(SegScores *s, int run, const RimSlices *d, const real *prob, double threshold,
                      Error *e) {
  const int64_t hw = (int64_t)d->x.h * d->x.w;
  Sum *sum = mem_alloc((size_t)s->lesions * sizeof *sum);
  uint8_t *truth = mem_alloc((size_t)hw), *found = mem_alloc((size_t)hw);
  Status st = ST_OK;
  if (!sum || !truth || !found) {
    st =
        err_set(e, ST_NOMEM, "out of memory for the scores of %lld lesions", (long long)s->lesions);
    goto done;
  }
  memset(s->with, 0, (size_t)s->lesions * sizeof *s->with);
  memset(s->without, 0, (size_t)s->lesions * sizeof *s->without);
  for (int64_t i = 0; i < d->x.n; i++) {
    MaskScore m;
    Sum *q = &sum[d->x.lesion[i]];
    for (int64_t k = 0; k < hw; k++) {
      truth[k] = d->rim.images[i * hw + k] > 0;
      found[k] = (double)prob[i * hw + k] >= threshold;
    }
    st = mask_score(truth, found, d->x.h, d->x.w, &m, e);
    if (st != ST_OK) goto done;
    if (!m.truth) {
      sum_add(q, SEG_FALSE_AREA, (double)m.found);
      s->without[d->x.lesion[i]]++;
      continue;
    }
    s->with[d->x.lesion[i]]++;
    sum_add(q, SEG_DICE, m.dice);
    sum_add(q, SEG_DICE_TOLERANT, m.dice_tolerant);
    sum_add(q, SEG_HD95, m.hd95 * (d->mm > 0 ? d->mm : 1));
    sum_add(q, SEG_PRECISION, m.precision);
    sum_add(q, SEG_RECALL, m.recall);
    sum_add(q, SEG_MISSED, m.found == 0);
  }
  for (int64_t l = 0; l < s->lesions; l++)
    for (int m = 0; m < SEG_COUNT; m++)
      s->value[((int64_t)run * SEG_COUNT + m) * s->lesions + l] =
          sum[l].n[m] ? sum[l].v[m] / (double)sum[l].n[m] : NAN;
done:
  mem_free(sum);
  mem_free(truth);
  mem_free(found);
  return st;
}

static double mean_finite(const double *v, int64_t n, int64_t step, int64_t *count) {
  double sum = 0;
  *count = 0;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(v[i * step])) {
      sum += v[i * step];
      (*count)++;
    }
  return *count ? sum / (double)*count : NAN;
}

void seg_scores_mean(SegScores *s) {
  int64_t n;
  for (int64_t k = 0; k < SEG_COUNT * s->lesions; k++)
    s->mean[k] = mean_finite(s->value + k, s->runs, SEG_COUNT * s->lesions, &n);
}

/* ---- tables ---- */

static const char *number_short(char buf[16], double v) {
  if (isnan(v)) return "n/a";
  snprintf(buf, 16, "%.4f", v);
  return buf;
}

static const char *class_text(int label) {
  return label == 0 ? "non-rim" : label == 1 ? "rim" : label == 2 ? "ambiguous" : "n/a";
}

static Status write_predictions(const SegScores *s, const RimSlices *d, const char *out, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  static const char *const head[] = {"subject", "lesion", "class", "slices_rim", "slices_none"};
  TRY(path_join(path, out, "predictions.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  for (int m = 0; m < SEG_COUNT; m++) tsv_cell(&w, "%s", seg_name[m]);
  for (int r = 0; r < s->runs; r++) tsv_cell(&w, "dice%d", r);
  tsv_row_end(&w);
  for (int64_t l = 0; l < s->lesions; l++) {
    const SliceLesion *x = &d->x.row[l];
    if (!x->slices) continue;
    tsv_cell(&w, "%s", x->subject);
    tsv_cell(&w, "%s", x->name);
    tsv_cell(&w, "%s", class_text(x->label));
    tsv_cell(&w, "%lld", (long long)s->with[l]);
    tsv_cell(&w, "%lld", (long long)s->without[l]);
    for (int m = 0; m < SEG_COUNT; m++) {
      const double v = s->mean[m * s->lesions + l];
      tsv_cell(&w, isnan(v) ? "" : "%.9g", v);
    }
    for (int r = 0; r < s->runs; r++) {
      const double v = s->value[((int64_t)r * SEG_COUNT + SEG_DICE) * s->lesions + l];
      tsv_cell(&w, isnan(v) ? "" : "%.9g", v);
    }
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

typedef struct Line {
  double mean;
  double sd;
  double lo;
  double hi;
  int64_t lesions;
} Line;

static Status line_of(const SegScores *s, const RimSlices *d, SegMetric m, const SegReport *r,
                      int64_t *group, Line *q, Error *e) {
  double run[64], sum = 0, sq = 0;
  int64_t n, runs = 0;
  q->mean = mean_finite(s->mean + m * s->lesions, s->lesions, 1, &q->lesions);
  for (int k = 0; k < s->runs; k++) {
    const double v =
        mean_finite(s->value + ((int64_t)k * SEG_COUNT + m) * s->lesions, s->lesions, 1, &n);
    if (isfinite(v)) sum += run[runs++] = v;
  }
  for (int64_t k = 0; k < runs; k++) sq += pow(run[k] - sum / (double)runs, 2);
  q->sd = runs > 1 ? sqrt(sq / (double)(runs - 1)) : NAN;
  for (int64_t l = 0; l < s->lesions; l++) group[l] = d->x.row[l].subject_index;
  return eval_bootstrap_mean(s->lesions, s->mean + m * s->lesions, group, d->x.subjects,
                             r->resamples, r->level, 0, &q->lo, &q->hi, e);
}

static const char *metric_text(SegMetric m, double mm) {
  static const char *const text[SEG_COUNT] = {"Dice",
                                              "Dice, 1 pixel tolerance",
                                              "HD95 (pixels)",
                                              "precision of pixels",
                                              "recall of pixels",
                                              "slices with nothing found",
                                              "false area (pixels)"};
  return m == SEG_HD95 && mm > 0 ? "HD95 (mm)" : text[m];
}

Status seg_report(const SegScores *s, const RimSlices *d, const SegReport *r, Error *e) {
  char path[PATH_LEN], b[4][16];
  TRY(path_join(path, r->out, "metrics.tsv", e));
  int64_t with = 0, without = 0, rims = 0, *group = mem_alloc((size_t)s->lesions * sizeof *group);
  TsvWriter w = {0};
  static const char *const head[] = {"metric", "mean", "sd", "low", "high", "lesions"};
  if (!group) return err_set(e, ST_NOMEM, "out of memory for %lld lesions", (long long)s->lesions);
  for (int64_t l = 0; l < s->lesions; l++) {
    with += s->with[l];
    without += s->without[l];
    rims += s->with[l] > 0;
  }
  printf("%lld slices with a true rim (of %lld lesions), %lld without; %lld subjects; %d run%s, "
         "threshold %g\n",
         (long long)with, (long long)rims, (long long)without, (long long)d->x.subjects, s->runs,
         s->runs == 1 ? "" : "s", r->threshold);
  printf("%-26s %8s %8s   %g %% interval by subject\n", "per lesion", "mean", "sd", 100 * r->level);
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  Status st = write_predictions(s, d, r->out, e);
  if (st != ST_OK) goto done;
  for (int m = 0; m < SEG_COUNT; m++) {
    Line q;
    st = line_of(s, d, (SegMetric)m, r, group, &q, e);
    if (st != ST_OK) goto done;
    printf("%-26s %8s %8s   %s - %s   %lld lesions\n", metric_text((SegMetric)m, d->mm),
           number_short(b[0], q.mean), number_short(b[1], q.sd), number_short(b[2], q.lo),
           number_short(b[3], q.hi), (long long)q.lesions);
    tsv_cell(&w, "%s", seg_name[m]);
    const double v[4] = {q.mean, q.sd, q.lo, q.hi};
    for (int i = 0; i < 4; i++) tsv_cell(&w, "%s", number_short(b[0], v[i]));
    tsv_cell(&w, "%lld", (long long)q.lesions);
    tsv_row_end(&w);
  }
  st = tsv_commit(&w, path, e);
done:
  mem_free(group);
  mem_free(w.buf);
  return st;
}

/* ---- against another run ---- */

static int find_row(const Tsv *t, int cs, int cl, const SliceLesion *x) {
  for (int r = 0; r < t->nrow; r++)
    if (!strcmp(tsv_get(t, r, cs), x->subject) && !strcmp(tsv_get(t, r, cl), x->name)) return r;
  return -1;
}

static void compare_path(char out[PATH_LEN], const char *other) {
  snprintf(out, PATH_LEN, "%s%s", other, strstr(other, ".tsv") ? "" : "/predictions.tsv");
}

static Status find_all(const Tsv *t, const RimSlices *d, const char *path, Error *e) {
  const int cs = tsv_column(t, "subject"), cl = tsv_column(t, "lesion");
  for (int m = 0; m < SEG_COUNT; m++)
    if (cs < 0 || cl < 0 || tsv_column(t, seg_name[m]) < 0)
      return err_set(
          e, ST_FORMAT,
          "%s: no column subject, lesion or %s; expected the predictions.tsv of `prlx segment`",
          path, seg_name[m]);
  for (int64_t l = 0; l < d->x.lesions; l++)
    if (d->x.row[l].slices && find_row(t, cs, cl, &d->x.row[l]) < 0)
      return err_set(e, ST_INVALID,
                     "%s: no lesion %s of %s; a paired difference needs the same test lesions",
                     path, d->x.row[l].name, d->x.row[l].subject);
  return ST_OK;
}

Status seg_compare_look(const RimSlices *d, const char *other, Error *e) {
  char path[PATH_LEN];
  Tsv t;
  compare_path(path, other);
  TRY(tsv_read(path, &t, e));
  const Status s = find_all(&t, d, path, e);
  tsv_free(&t);
  return s;
}

/* diff [lesions]: here minus there where both have a value. */
static Status paired_differences(const SegScores *s, const RimSlices *d, const Tsv *t, SegMetric m,
                                 double *diff, double *here, double *there, Error *e) {
  const int cs = tsv_column(t, "subject"), cl = tsv_column(t, "lesion"),
            cv = tsv_column(t, seg_name[m]);
  int64_t n = 0;
  *here = *there = 0;
  for (int64_t l = 0; l < s->lesions; l++) {
    const double mine = s->mean[m * s->lesions + l];
    diff[l] = NAN;
    if (!d->x.row[l].slices) continue;
    const int r = find_row(t, cs, cl, &d->x.row[l]);
    double other;
    TRY(tsv_number(t, r, cv, &other, e));
    if (isnan(mine) || isnan(other)) continue;
    diff[l] = mine - other;
    *here += mine;
    *there += other;
    n++;
  }
  *here = n ? *here / (double)n : NAN;
  *there = n ? *there / (double)n : NAN;
  return ST_OK;
}

Status seg_compare(const SegScores *s, const RimSlices *d, const SegReport *r, const char *other,
                   Error *e) {
  char path[PATH_LEN], out[PATH_LEN], b[5][16];
  Tsv t;
  TsvWriter w = {0};
  TRY(path_join(out, r->out, "comparison.tsv", e));
  compare_path(path, other);
  TRY(tsv_read(path, &t, e));
  Status st = ST_OK;
  double *diff = mem_alloc((size_t)s->lesions * sizeof *diff);
  int64_t *group = mem_alloc((size_t)s->lesions * sizeof *group);
  st = find_all(&t, d, path, e);
  if (st != ST_OK) goto done;
  if (!diff || !group) {
    st = err_set(e, ST_NOMEM, "out of memory for %lld lesions", (long long)s->lesions);
    goto done;
  }
  static const char *const head[] = {"metric", "here", "there",  "difference",
                                     "low",    "high", "lesions"};
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  printf("%-26s %8s %8s %10s   against %s, paired by lesion\n", "", "here", "there", "difference",
         path);
  for (int64_t l = 0; l < s->lesions; l++) group[l] = d->x.row[l].subject_index;
  for (int m = 0; m < SEG_COUNT; m++) {
    double here = NAN, there = NAN, lo = NAN, hi = NAN;
    int64_t n;
    st = paired_differences(s, d, &t, (SegMetric)m, diff, &here, &there, e);
    if (st != ST_OK) goto done;
    st = eval_bootstrap_mean(s->lesions, diff, group, d->x.subjects, r->resamples, r->level, 0, &lo,
                             &hi, e);
    if (st != ST_OK) goto done;
    const double v[5] = {here, there, mean_finite(diff, s->lesions, 1, &n), lo, hi};
    printf("%-26s %8s %8s %10s   %s - %s   %lld lesions\n", metric_text((SegMetric)m, d->mm),
           number_short(b[0], v[0]), number_short(b[1], v[1]), number_short(b[2], v[2]),
           number_short(b[3], v[3]), number_short(b[4], v[4]), (long long)n);
    tsv_cell(&w, "%s", seg_name[m]);
    for (int i = 0; i < 5; i++) tsv_cell(&w, "%s", number_short(b[0], v[i]));
    tsv_cell(&w, "%lld", (long long)n);
    tsv_row_end(&w);
  }
  st = tsv_commit(&w, out, e);
done:
  tsv_free(&t);
  mem_free(diff);
  mem_free(group);
  mem_free(w.buf);
  return st;
}
