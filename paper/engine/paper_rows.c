/* paper_rows.c: the classifiers of a run: predictions on both tests, metrics and differences with
 * intervals over subjects and seeds, McNemar, Holm. See paper_report.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/classifierfile.h"
#include "paper/engine/paper_report.h"

enum { ROW_RESAMPLES = 600, ROW_RUNS = 64 };

static const Step *step_of(const PaperRun *r, const char *id) {
  for (int k = 0; k < r->n; k++)
    if (!strcmp(r->step[k].id, id)) return &r->step[k];
  return NULL;
}

const PaperRow *numbers_row(const PaperNumbers *q, const char *id) {
  for (int i = 0; i < q->rows; i++)
    if (!strcmp(q->row[i].id, id)) return q->row[i].missing ? NULL : &q->row[i];
  return NULL;
}

/* ---- predictions ---- */

typedef struct Columns {
  int subject;
  int cls;
  int rim;
  int run[ROW_RUNS];
  int runs;
} Columns;

static bool find_columns(const Tsv *t, Columns *c) {
  char name[32];
  c->subject = tsv_column(t, "subject");
  c->cls = tsv_column(t, "class");
  c->rim = tsv_column(t, "rim");
  for (c->runs = 0; c->runs < ROW_RUNS; c->runs++) {
    snprintf(name, sizeof name, "rim%d", c->runs);
    if ((c->run[c->runs] = tsv_column(t, name)) < 0) break;
  }
  return c->subject >= 0 && c->cls >= 0 && c->rim >= 0 && c->runs > 0;
}

/* Lesions of a known class, in the order of the file: the same for all rows, as the test file is.
 * */
static void take_lesions(const Tsv *t, const Columns *c, PaperTest *x, int *from) {
  for (int i = 0; i < t->nrow; i++) {
    const char *cls = tsv_get(t, i, c->cls), *subject = tsv_get(t, i, c->subject);
    const bool rim = !strcmp(cls, "rim");
    int64_t g = -1;
    if (!rim && strcmp(cls, "non-rim")) continue;
    for (int64_t k = x->n - 1; k >= 0 && g < 0; k--)
      if (!strcmp(tsv_get(t, from[k], c->subject), subject)) g = x->group[k];
    x->group[x->n] = g < 0 ? x->groups++ : g;
    x->truth[x->n] = rim;
    x->rims += rim;
    x->mean[x->n] = atof(tsv_get(t, i, c->rim));
    from[x->n++] = i;
  }
  for (int r = 0; r < c->runs; r++)
    for (int64_t i = 0; i < x->n; i++)
      x->score[r * x->n + i] = atof(tsv_get(t, from[i], c->run[r]));
}

static Status read_predictions(const char *path, PaperTest *x, int *runs, Error *e) {
  Tsv t;
  Columns c;
  TRY(tsv_read(path, &t, e));
  Status s = ST_OK;
  const size_t n = (size_t)PRLX_MAX(t.nrow, 1);
  int *from = mem_alloc(n * sizeof *from);
  if (!find_columns(&t, &c)) {
    s = err_set(e, ST_FORMAT, "%s: not a table of `prlx classify`", path);
    goto done;
  }
  x->group = mem_alloc(n * sizeof *x->group);
  x->truth = mem_alloc(n * sizeof *x->truth);
  x->mean = mem_alloc(n * sizeof *x->mean);
  x->score = mem_alloc(n * (size_t)c.runs * sizeof *x->score);
  if (!x->group || !x->truth || !x->mean || !x->score || !from) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  take_lesions(&t, &c, x, from);
  *runs = c.runs;
done:
  mem_free(from);
  tsv_free(&t);
  return s;
}

static Status read_row(PaperNumbers *q, PaperRow *x, Error *e) {
  static const char *const folder[PAPER_TESTS] = {"classify", "second"};
  char path[PATH_LEN];
  const Step *s = step_of(q->r, x->step);
  paper_file(q->r, path, "work/%s/predictions.tsv", x->id);
  if (!s)
    x->missing = "not with this cohort";
  else if (!file_exists(path))
    x->missing = "this step has not run";
  if (x->missing) return ST_OK;
  paper_file(q->r, path, "work/%s", x->id);
  TRY(classifier_threshold(path, &x->threshold, e)); /* chosen on held-out subjects */
  if (isnan(x->threshold)) x->threshold = 0.5;
  for (int k = 0; k < PAPER_TESTS; k++) {
    paper_file(q->r, path, "work/%s_%s/predictions.tsv", folder[k], strchr(x->id, '_') + 1);
    if (file_exists(path)) TRY(read_predictions(path, &x->test[k], &x->runs, e));
  }
  const PaperTest *t = &x->test[0];
  for (int r = 0; r < x->runs; r++) {
    const Confusion c = eval_confusion(t->n, t->truth, t->score + r * t->n, x->threshold);
    const int64_t v[4] = {c.tp, c.fp, c.tn, c.fn};
    for (int k = 0; k < 4; k++) x->count[k] += (double)v[k] / x->runs;
  }
  return ST_OK;
}

/* ---- intervals ---- */

static RowScores scores_of(const PaperRow *x, int test) {
  return (RowScores){x->runs, x->test[test].score, x->threshold};
}

static void no_numbers(Crossed c[M_COUNT]) {
  for (int k = 0; k < M_COUNT; k++) c[k] = (Crossed){NAN, NAN, NAN, NAN, NAN, NAN};
}

/* a - b on a test; nothing where one of them has not been tested. */
static Status row_difference(const PaperRow *a, const PaperRow *b, int test, Crossed out[M_COUNT],
                             Error *e) {
  no_numbers(out);
  if (!b || a == b) return ST_OK;
  const PaperTest *x = &a->test[test], *y = &b->test[test];
  if (!x->n || !y->n) return ST_OK;
  if (x->n != y->n || x->groups != y->groups ||
      memcmp(x->truth, y->truth, (size_t)x->n * sizeof *x->truth))
    return err_set(e, ST_INVALID, "%s and %s were tested on different lesions", a->id, b->id);
  const RowScores sa = scores_of(a, test), sb = scores_of(b, test);
  return eval_crossed(x->n, x->truth, &sa, &sb, x->group, x->groups, ROW_RESAMPLES, 0.95, 0, out,
                      e);
}

static Status row_levels(PaperRow *x, int test, Error *e) {
  PaperTest *t = &x->test[test];
  const RowScores s = scores_of(x, test);
  no_numbers(t->level);
  for (int k = 0; k < M_COUNT; k++) t->ensemble[k] = NAN;
  if (!t->n) return ST_OK;
  TRY(eval_metrics(t->n, t->truth, t->mean, x->threshold, t->ensemble, e));
  return eval_crossed(t->n, t->truth, &s, NULL, t->group, t->groups, ROW_RESAMPLES, 0.95, 0,
                      t->level, e);
}

static Status compare_row(PaperRow *x, const PaperRow *none, const PaperRow *amb, Error *e) {
  for (int k = 0; k < PAPER_TESTS; k++) {
    TRY(row_levels(x, k, e));
    TRY(row_difference(x, none, k, x->test[k].none, e));
    TRY(row_difference(x, amb, k, x->test[k].ambiguous, e));
  }
  return ST_OK;
}

/* McNemar of the ensembles on the paper's test, each at its own threshold: scores are moved so that
 * both thresholds are 0. */
static Status ensemble_test(PaperRow *x, const PaperRow *none, Error *e) {
  const PaperTest *a = &x->test[0], *b = &none->test[0];
  double *v = mem_alloc((size_t)(2 * a->n + 1) * sizeof *v);
  if (!v) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < a->n; i++) {
    v[i] = a->mean[i] - x->threshold;
    v[a->n + i] = b->mean[i] - none->threshold;
  }
  x->p = eval_mcnemar(a->n, a->truth, v, v + a->n, 0, &x->only_here, &x->only_none);
  mem_free(v);
  return ST_OK;
}

/* ---- all rows ---- */

static void list_rows(PaperNumbers *q) {
  const PaperRun *r = q->r;
  for (int i = 0; i < r->naug; i++) {
    const PaperAug *a = &r->aug[i];
    PaperRow *x = &q->row[q->rows++];
    snprintf(x->id, sizeof x->id, "classify_%s", a->id);
    snprintf(x->step, sizeof x->step, "classify.%s", a->id);
    snprintf(x->name, sizeof x->name, "%s", a->name);
    x->aug = a;
    x->added = a->replaces ? -1 : a->adds;
  }
  for (int i = 0; i < PAPER_SWEEP && r->scale->sweep[i]; i++) {
    PaperRow *x = &q->row[q->rows++];
    x->added = r->scale->sweep[i];
    snprintf(x->id, sizeof x->id, "classify_gan_%d", x->added);
    snprintf(x->step, sizeof x->step, "classify.gan_%d", x->added);
    snprintf(x->name, sizeof x->name, "ADA-GAN, %d lesions", x->added);
  }
}

/* Corrected over the paper's rows only: they are the family that was asked about. */
static Status correct_rows(PaperNumbers *q, Error *e) {
  double p[PAPER_ROWS];
  int at[PAPER_ROWS], n = 0;
  for (int i = 0; i < q->rows; i++) {
    q->row[i].p_holm = NAN;
    if (!row_in_group(&q->row[i], "paper")) continue;
    at[n] = i;
    p[n++] = q->row[i].p;
  }
  TRY(eval_holm(n, p, e));
  for (int i = 0; i < n; i++) q->row[at[i]].p_holm = p[i];
  return ST_OK;
}

bool row_in_group(const PaperRow *x, const char *group) {
  return !strcmp(x->aug ? x->aug->group : "sweep", group);
}

Status rows_gather(PaperNumbers *q, Error *e) {
  list_rows(q);
  for (int i = 0; i < q->rows; i++) TRY(read_row(q, &q->row[i], e));
  const PaperRow *none = numbers_row(q, "classify_none"),
                 *amb = numbers_row(q, "classify_ambiguous");
  for (int i = 0; i < q->rows; i++) {
    PaperRow *x = &q->row[i];
    x->p = NAN;
    if (x->missing) continue;
    TRY(compare_row(x, none, amb, e));
    if (none && x != none) TRY(ensemble_test(x, none, e));
  }
  return correct_rows(q, e);
}

void rows_free(PaperNumbers *q) {
  for (int i = 0; i < q->rows; i++)
    for (int k = 0; k < PAPER_TESTS; k++) {
      PaperTest *t = &q->row[i].test[k];
      mem_free(t->group);
      mem_free(t->truth);
      mem_free(t->score);
      mem_free(t->mean);
    }
}
