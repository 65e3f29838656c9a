/* classify_compare.c: `prlx classify --compare`: this run against another one on the same lesions.
 * See classify_impl.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "io/formats/tsv.h"
#include "tools/judge/classify_impl.h"

enum { OTHER_RUNS = 64 };

/* What the other run says about the lesions of q, in their order: score [runs][n], mean [n]. */
typedef struct Other {
  char path[PATH_LEN];
  int runs;
  double threshold;
  double *score;
  double *mean;
} Other;

/* Columns of a predictions.tsv. */
typedef struct Columns {
  int subject;
  int lesion;
  int cls;
  int rim;
  int run[OTHER_RUNS];
} Columns;

static Status find_columns(const Tsv *t, Other *o, Columns *c, Error *e) {
  char name[32];
  c->subject = tsv_column(t, "subject");
  c->lesion = tsv_column(t, "lesion");
  c->cls = tsv_column(t, "class");
  c->rim = tsv_column(t, "rim");
  for (o->runs = 0; o->runs < OTHER_RUNS; o->runs++) {
    snprintf(name, sizeof name, "rim%d", o->runs);
    if ((c->run[o->runs] = tsv_column(t, name)) < 0) break;
  }
  if (c->subject >= 0 && c->lesion >= 0 && c->cls >= 0 && c->rim >= 0 && o->runs) return ST_OK;
  return err_set(e, ST_FORMAT,
                 "%s: no column subject, lesion, class, rim or rim0; expected the predictions.tsv "
                 "of `prlx classify`",
                 o->path);
}

/* The row of a lesion of ours. */
static Status find_row(const Tsv *t, const Other *o, const Columns *c, const SliceLesion *x,
                       int *row, Error *e) {
  for (int r = 0; r < t->nrow; r++) {
    if (strcmp(tsv_get(t, r, c->subject), x->subject) || strcmp(tsv_get(t, r, c->lesion), x->name))
      continue;
    *row = r;
    if (!strcmp(tsv_get(t, r, c->cls), classify_class_text(x->label))) return ST_OK;
    return err_set(e, ST_INVALID,
                   "%s: lesion %s of %s is %.40s there and %s here; expected one test", o->path,
                   x->name, x->subject, tsv_get(t, r, c->cls), classify_class_text(x->label));
  }
  return err_set(e, ST_INVALID, "%s: no lesion %s of %s; a comparison needs the same test lesions",
                 o->path, x->name, x->subject);
}

static Status read_probability(const Tsv *t, const Other *o, int row, int column, double *v,
                               Error *e) {
  TRY(tsv_number(t, row, column, v, e));
  if (*v >= 0 && *v <= 1) return ST_OK;
  return err_set(e, ST_FORMAT, "%s: row %d: probability %.40s; expected 0 to 1", o->path, row + 2,
                 tsv_get(t, row, column));
}

static Status take_lesions(const Job *j, const Judged *q, const Tsv *t, Other *o, Error *e) {
  Columns c;
  TRY(find_columns(t, o, &c, e));
  o->mean = mem_alloc((size_t)q->n * sizeof *o->mean);
  o->score = mem_alloc((size_t)(q->n * o->runs) * sizeof *o->score);
  if (!o->mean || !o->score)
    return err_set(e, ST_NOMEM, "out of memory for %lld lesions", (long long)q->n);
  for (int64_t i = 0; i < q->n; i++) {
    int row = 0;
    TRY(find_row(t, o, &c, &j->test.row[q->row[i]], &row, e));
    TRY(read_probability(t, o, row, c.rim, &o->mean[i], e));
    for (int r = 0; r < o->runs; r++)
      TRY(read_probability(t, o, row, c.run[r], &o->score[r * q->n + i], e));
  }
  return ST_OK;
}

static Status other_load(const Job *j, const Judged *q, Other *o, Error *e) {
  const Args *a = &j->args;
  char run[PATH_LEN];
  Tsv t;
  TRY(path_format(o->path, e, "%s%s", a->compare,
                  strstr(a->compare, ".tsv") ? "" : "/predictions.tsv"));
  snprintf(run, sizeof run, "%s", o->path);
  size_t folder = (size_t)(path_base(run) - run);
  if (folder > 1) folder--; /* its slash, but that of / */
  run[folder] = 0;
  /* ours where it has none or --threshold was given */
  double v = NAN;
  if (!a->threshold_text) TRY(classifier_threshold(*run ? run : ".", &v, e));
  o->threshold = isfinite(v) ? v : a->threshold;
  TRY(tsv_read(o->path, &t, e));
  const Status s = take_lesions(j, q, &t, o, e);
  tsv_free(&t);
  return s;
}

static Status write_difference(const Job *j, const Other *o, const Crossed c[M_COUNT], Error *e) {
  char path[PATH_LEN], b[5][16];
  TextFile t;
  TRY(path_join(path, j->args.out, "difference.tsv", e));
  TRY(text_begin(&t, path, e));
  fprintf(t.stream, "metric\there_minus_there\tsd\tlow\thigh\tdetectable\n");
  printf("%-31s %8s %8s   %-19s %s\n", "here minus there", "mean", "sd", "interval",
         "would be found");
  for (int k = 0; k < M_COUNT; k++) {
    const double v[5] = {c[k].value, c[k].sd, c[k].lo, c[k].hi, c[k].detectable};
    for (int i = 0; i < 5; i++) classify_number(b[i], v[i]);
    fprintf(t.stream, "%s\t%s\t%s\t%s\t%s\t%s\n", metric_name[k], b[0], b[1], b[2], b[3], b[4]);
    printf("%-31s %8s %8s   %-8s - %-8s %8s\n", metric_name[k], b[0], b[1], b[2], b[3], b[4]);
  }
  printf(
      "(%d runs here, %d there; interval: %g %%, over subjects and runs crossed; would be found: "
      "the true difference that would be told from 0 in four of five cases)\n",
      j->runs, o->runs, 100 * j->args.level);
  return text_commit(&t, path, e);
}

static void print_mcnemar(const Job *j, const Judged *q, Other *o) {
  int64_t a, b;
  /* what the other calls rim at its own threshold, so that one threshold serves both */
  for (int64_t i = 0; i < q->n; i++) o->mean[i] = o->mean[i] >= o->threshold ? INFINITY : -INFINITY;
  const double p = eval_mcnemar(q->n, q->truth, q->mean, o->mean, j->args.threshold, &a, &b);
  printf("McNemar against %s: right only here %lld, only there %lld, p = %.4g (exact, two-sided; "
         "mean over the runs; thresholds %.4g here, %.4g there)\n",
         o->path, (long long)a, (long long)b, p, j->args.threshold, o->threshold);
}

static Status print_difference(const Job *j, const Judged *q, const Other *o, Error *e) {
  const RowScores here = {j->runs, q->score, j->args.threshold},
                  there = {o->runs, o->score, o->threshold};
  Crossed c[M_COUNT];
  TRY(eval_crossed(q->n, q->truth, &here, &there, q->group, q->groups, j->args.resamples,
                   j->args.level, 0, c, e));
  return write_difference(j, o, c, e);
}

Status classify_compare_look(const Job *j, const Judged *q, Error *e) {
  Other o = {.score = NULL};
  const Status s = other_load(j, q, &o, e);
  mem_free(o.score);
  mem_free(o.mean);
  return s;
}

Status classify_compare(const Job *j, const Judged *q, Error *e) {
  Other o = {.score = NULL};
  Status s = other_load(j, q, &o, e);
  if (s != ST_OK) goto done;
  s = print_difference(j, q, &o, e);
  if (s != ST_OK) goto done;
  print_mcnemar(j, q, &o);
done:
  mem_free(o.score);
  mem_free(o.mean);
  return s;
}
