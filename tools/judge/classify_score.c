/* classify_score.c: what trained classifiers say about lesions, and how good that is. See
 * classify_impl.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "io/formats/tsv.h"
#include "tools/judge/classify_impl.h"

/* ---- prediction ---- */

Status classify_predict_all(Job *j, Error *e) {
  const SliceSet *t = &j->test;
  Slices d = slices_view(t);
  const int k = j->model[0].cfg.classes;
  double *p = mem_alloc((size_t)(t->n * k) * sizeof *p);
  j->prob = mem_alloc((size_t)(t->lesions * j->runs) * sizeof *j->prob);
  j->mean = mem_alloc((size_t)t->lesions * sizeof *j->mean);
  Status s = ST_OK;
  if (!p || !j->prob || !j->mean) {
    s = err_set(e, ST_NOMEM, "out of memory for %lld slices", (long long)t->n);
    goto done;
  }
  for (int r = 0; r < j->runs; r++) {
    s = classifier_predict(&j->model[r], &d, p, e);
    if (s != ST_OK) goto done;
    classifier_by_lesion(t->n, p, k, 1, t->lesion, t->lesions, j->prob + r * t->lesions);
  }
  for (int64_t l = 0; l < t->lesions; l++)
    for (int r = 0; r < j->runs; r++) j->mean[l] += j->prob[r * t->lesions + l] / j->runs;
done:
  mem_free(p);
  return s;
}

Status classify_write_predictions(const Job *j, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  const char *head[] = {"subject", "lesion", "class", "slices", "rim"};
  TRY(path_join(path, j->args.out, "predictions.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  for (int r = 0; r < j->runs; r++) tsv_cell(&w, "rim%d", r);
  tsv_row_end(&w);
  for (int64_t l = 0; l < j->test.lesions; l++) {
    const SliceLesion *x = &j->test.row[l];
    if (!x->slices) continue;
    tsv_cell(&w, "%s", x->subject);
    tsv_cell(&w, "%s", x->name);
    tsv_cell(&w, "%s", classify_class_text(x->label));
    tsv_cell(&w, "%lld", (long long)x->slices);
    tsv_cell(&w, "%.9g", j->mean[l]);
    for (int r = 0; r < j->runs; r++) tsv_cell(&w, "%.9g", j->prob[r * j->test.lesions + l]);
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

/* ---- evaluation ---- */

static void judged_free(Judged *q) {
  mem_free(q->truth);
  mem_free(q->score);
  mem_free(q->mean);
  mem_free(q->group);
  mem_free(q->row);
}

/* Scores stay 0 as long as nothing is predicted. */
static Status judge_lesions(const Job *j, Judged *q, Error *e) {
  const SliceSet *t = &j->test;
  const size_t m = (size_t)t->lesions, runs = (size_t)PRLX_MAX(j->runs, 1);
  *q = (Judged){.truth = mem_alloc(m * sizeof *q->truth),
                .score = mem_alloc(m * runs * sizeof *q->score),
                .mean = mem_alloc(m * sizeof *q->mean),
                .group = mem_alloc(m * sizeof *q->group),
                .row = mem_alloc(m * sizeof *q->row)};
  int64_t *seen = mem_alloc((size_t)t->subjects * sizeof *seen);
  if (!q->truth || !q->score || !q->mean || !q->group || !q->row || !seen) {
    mem_free(seen);
    return err_set(e, ST_NOMEM, "out of memory for %lld lesions", (long long)t->lesions);
  }
  for (int64_t l = 0; l < t->lesions; l++) {
    if (!t->row[l].slices || (t->row[l].label != 0 && t->row[l].label != 1)) continue;
    int64_t *id = &seen[t->row[l].subject_index];
    /* subjects without judged lesions do not count */
    if (!*id) *id = ++q->groups;
    q->group[q->n] = *id - 1;
    q->truth[q->n] = t->row[l].label;
    if (j->mean) q->mean[q->n] = j->mean[l];
    q->row[q->n++] = l;
  }
  for (int r = 0; r < j->runs && j->prob; r++)
    for (int64_t i = 0; i < q->n; i++) q->score[r * q->n + i] = j->prob[r * t->lesions + q->row[i]];
  mem_free(seen);
  return q->n ? ST_OK
              : err_set(e, ST_INVALID,
                        "%s: no lesion of class rim or non-rim; use --predict for lesions without "
                        "a class",
                        j->args.test);
}

typedef struct Numbers {
  Crossed c[M_COUNT];
  double ensemble[M_COUNT]; /* of the mean of the runs, which is another classifier */
} Numbers;

static Status numbers_of(const Job *j, const Judged *q, Numbers *x, Error *e) {
  const RowScores row = {j->runs, q->score, j->args.threshold};
  TRY(eval_metrics(q->n, q->truth, q->mean, j->args.threshold, x->ensemble, e));
  return eval_crossed(q->n, q->truth, &row, NULL, q->group, q->groups, j->args.resamples,
                      j->args.level, 0, x->c, e);
}

static Status write_metrics(const Job *j, const Numbers *x, Error *e) {
  char path[PATH_LEN], b[5][16];
  TextFile t;
  TRY(path_join(path, j->args.out, "metrics.tsv", e));
  TRY(text_begin(&t, path, e));
  fprintf(t.stream, "metric\tmean\tsd\tlow\thigh\tensemble\n");
  for (int k = 0; k < M_COUNT; k++) {
    const Crossed *c = &x->c[k];
    fprintf(t.stream, "%s\t%s\t%s\t%s\t%s\t%s\n", metric_name[k], classify_number(b[0], c->value),
            classify_number(b[1], c->sd), classify_number(b[2], c->lo),
            classify_number(b[3], c->hi), classify_number(b[4], x->ensemble[k]));
  }
  fprintf(t.stream, "threshold\t%.9g\tn/a\tn/a\tn/a\t%.9g\n", j->args.threshold, j->args.threshold);
  return text_commit(&t, path, e);
}

static Status write_confusion(const Job *j, const Judged *q, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  static const char *const head[] = {"run", "true_rim", "false_rim", "true_nonrim", "false_nonrim"};
  TRY(path_join(path, j->args.out, "confusion.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  for (int r = 0; r < j->runs; r++) {
    Confusion c = eval_confusion(q->n, q->truth, q->score + r * q->n, j->args.threshold);
    int64_t v[5] = {r, c.tp, c.fp, c.tn, c.fn};
    for (int i = 0; i < 5; i++) tsv_cell(&w, "%lld", (long long)v[i]);
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

static void print_metrics(const Job *j, const Judged *q, const Numbers *x) {
  char b[5][16];
  int64_t rims = 0;
  for (int64_t i = 0; i < q->n; i++) rims += q->truth[i];
  printf("%lld lesions (%lld rim, %lld non-rim) of %lld subjects; %d run%s, threshold %.4g\n",
         (long long)q->n, (long long)rims, (long long)(q->n - rims), (long long)q->groups, j->runs,
         j->runs == 1 ? "" : "s", j->args.threshold);
  printf("%-31s %8s %8s   %-19s %8s\n", "metric", "mean", "sd", "interval", "ensemble");
  for (int k = 0; k < M_COUNT; k++) {
    const Crossed *c = &x->c[k];
    printf("%-31s %8s %8s   %-8s - %-8s %8s\n", metric_name[k], classify_number(b[0], c->value),
           classify_number(b[1], c->sd), classify_number(b[2], c->lo), classify_number(b[3], c->hi),
           classify_number(b[4], x->ensemble[k]));
  }
  printf(
      "(interval: %g %%, over subjects%s; sd: over the runs; ensemble: the mean of the runs as one "
      "classifier)\n",
      100 * j->args.level, j->runs > 1 ? " and runs" : ", with one run not over runs");
  printf("%-18s %8s %8s %8s %8s\n", "confusion", "rim+", "rim-", "non-rim+", "non-rim-");
  for (int r = 0; r < j->runs; r++) {
    Confusion c = eval_confusion(q->n, q->truth, q->score + r * q->n, j->args.threshold);
    printf("  run %-12d %8lld %8lld %8lld %8lld\n", r, (long long)c.tp, (long long)c.fn,
           (long long)c.fp, (long long)c.tn);
  }
  printf("(+: called rim, -: called non-rim)\n");
  if (q->groups < 2) fprintf(stderr, "prlx classify: one subject only: no interval\n");
}

Status classify_look(const Job *j, Error *e) {
  Judged q;
  int64_t rims = 0;
  Status s = judge_lesions(j, &q, e);
  if (s != ST_OK) goto done;
  for (int64_t i = 0; i < q.n; i++) rims += q.truth[i];
  if (!rims || rims == q.n)
    fprintf(stderr,
            "prlx classify: note: %s: all %lld lesions of the test are %s; sensitivity, "
            "specificity and areas under curves need both classes, what needs them is n/a\n",
            j->args.test, (long long)q.n, rims ? "rims" : "no rims");
  if (j->args.compare) s = classify_compare_look(j, &q, e);
done:
  judged_free(&q);
  return s;
}

Status classify_evaluate(const Job *j, Error *e) {
  Judged q;
  Numbers x;
  Status s = judge_lesions(j, &q, e);
  if (s != ST_OK) goto done;
  s = numbers_of(j, &q, &x, e);
  if (s != ST_OK) goto done;
  s = write_metrics(j, &x, e);
  if (s != ST_OK) goto done;
  s = write_confusion(j, &q, e);
  if (s != ST_OK) goto done;
  print_metrics(j, &q, &x);
  if (j->args.compare) {
    s = classify_compare(j, &q, e);
    if (s != ST_OK) goto done;
  }
done:
  judged_free(&q);
  return s;
}
