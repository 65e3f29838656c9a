/* classify.c: `prlx classify`: trains the rim classifier on slices (paper, section 3.6), judges it
 * on lesions, applies it to new ones.
 *
 *   TRAIN... -> one training per seed -> model<k>.safetensors -> slices of TEST -> mean per lesion
 *   -> metrics, intervals by subject, McNemar */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "io/formats/tsv.h"
#include "models/judge/evaluate.h"
#include "models/store/classifierfile.h"
#include "tools/cli/folder.h"
#include "tools/cli/tool.h"
#include "tools/judge/slices.h"

typedef struct Args {
  const char *test;
  const char *predict;
  const char *model;
  const char *out;
  const char *channels;
  const char *compare;
  int runs;
  int epochs;
  int batch;
  int pools;
  int ambiguous;
  int resamples;
  int64_t seed;
  double lr;
  double threshold;
  double level;
} Args;
enum { AMB_DROP, AMB_RIM, AMB_NONRIM };

typedef struct Job {
  Args a;
  SliceSet train;
  SliceSet test;
  Classifier *model;
  int runs;
  char channels[64];
  double *prob; /* [runs][lesions of test] probability of rim */
  double *mean; /* [lesions] over the runs */
  char trained_on[800];
  Progress bar;
  int run;
} Job;

static void job_free(Job *j) {
  slices_free(&j->train);
  slices_free(&j->test);
  classifiers_free(j->model, j->runs);
  mem_free(j->prob);
  mem_free(j->mean);
}

/* ---- training ---- */

/* Ambiguous lesions go as asked; a lesion without a class cannot be learned from. */
static Status settle_labels(SliceSet *s, int ambiguous, Error *e) {
  int64_t dropped = 0;
  Status st = ST_OK;
  bool *keep = mem_alloc((size_t)s->n * sizeof *keep);
  if (!keep) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < s->n; i++) {
    if (s->label[i] == 2 && ambiguous != AMB_DROP)
      s->label[i] = s->row[s->lesion[i]].label = ambiguous == AMB_RIM;
    if (s->label[i] < 0) {
      st = err_set(e, ST_INVALID,
                   "lesion %s has no class; give its file a class: FILE:rim or FILE:non-rim",
                   s->row[s->lesion[i]].name);
      goto done;
    }
    keep[i] = s->label[i] != 2;
    dropped += !keep[i];
  }
  if (dropped) {
    slices_filter(s, keep);
    if (!tool_quiet)
      fprintf(stderr,
              "%lld slices of ambiguous lesions are left out of training (see --ambiguous)\n",
              (long long)dropped);
  }
  if (!s->n) st = err_set(e, ST_INVALID, "only ambiguous lesions to train with; see --ambiguous");
done:
  mem_free(keep);
  return st;
}

static Status load_train(Job *j, int n, char **arg, Error *e) {
  size_t len = 0;
  for (int i = 0; i < n; i++) {
    TRY(slices_add(&j->train, arg[i], j->channels, e));
    if (len < sizeof j->trained_on)
      len += (size_t)snprintf(j->trained_on + len, sizeof j->trained_on - len, "%s%s", i ? " " : "",
                              arg[i]);
  }
  return settle_labels(&j->train, j->a.ambiguous, e);
}

static bool on_epoch(void *ctx, int epoch, double loss, double acc) {
  Job *j = ctx;
  progress_update(&j->bar, (double)j->run * j->a.epochs + epoch,
                  "run %d of %d, loss %.4f, slices right %.3f", j->run + 1, j->runs, loss, acc);
  return !tool_interrupted;
}

static void count_lesions(const SliceSet *s, int64_t of[3]) {
  of[0] = of[1] = of[2] = 0;
  for (int64_t k = 0; k < s->lesions; k++)
    if (s->row[k].slices && s->row[k].label >= 0) of[s->row[k].label]++;
}

static Status train_all(Job *j, Error *e) {
  const Args *a = &j->a;
  int64_t of[3];
  count_lesions(&j->train, of);
  ClassifierConfig cfg = classifier_defaults(j->train.channels);
  cfg.pools = a->pools;
  ClassifierTrain o = classifier_train_defaults();
  o.epochs = a->epochs;
  o.batch = a->batch;
  o.lr = a->lr;
  o.tick = on_epoch;
  o.ctx = j;
  Slices d = slices_view(&j->train);
  j->model = mem_alloc((size_t)a->runs * sizeof *j->model);
  if (!j->model) return err_set(e, ST_NOMEM, "out of memory for %d classifiers", a->runs);
  j->runs = a->runs;
  if (!tool_quiet)
    fprintf(stderr,
            "training: %lld rim and %lld non-rim lesions, %lld slices of %d x %d (%s); %d epochs, "
            "%d run%s\n",
            (long long)of[1], (long long)of[0], (long long)d.n, d.w, d.h, j->channels, a->epochs,
            a->runs, a->runs == 1 ? "" : "s");
  TRY(tool_folder(a->out, e));
  Status s = ST_OK;
  progress_start(&j->bar, "classify", "epoch", (double)a->runs * a->epochs);
  for (j->run = 0; j->run < a->runs; j->run++) {
    char path[PATH_LEN];
    o.seed = (uint64_t)a->seed + (uint64_t)j->run;
    s = path_format(path, e, "%s/model%d.safetensors", a->out, j->run);
    if (s != ST_OK) goto done;
    s = classifier_new(&j->model[j->run], &cfg, e);
    if (s != ST_OK) goto done;
    s = classifier_train(&j->model[j->run], &o, &d, e);
    if (s != ST_OK) goto done;
    s = classifier_save(&j->model[j->run], path, j->channels, o.seed, a->epochs, j->trained_on, e);
    if (s != ST_OK) goto done;
  }
done:
  progress_end(&j->bar);
  return s;
}

/* ---- prediction ---- */

static Status predict_all(Job *j, Error *e) {
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

static const char *class_text(int label) {
  return label == 0 ? "non-rim" : label == 1 ? "rim" : label == 2 ? "ambiguous" : "n/a";
}

static Status write_predictions(const Job *j, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  const char *head[] = {"subject", "lesion", "class", "slices", "rim"};
  TRY(path_join(path, j->a.out, "predictions.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  for (int r = 0; r < j->runs; r++) tsv_cell(&w, "rim%d", r);
  tsv_row_end(&w);
  for (int64_t l = 0; l < j->test.lesions; l++) {
    const SliceLesion *x = &j->test.row[l];
    if (!x->slices) continue;
    tsv_cell(&w, "%s", x->subject);
    tsv_cell(&w, "%s", x->name);
    tsv_cell(&w, "%s", class_text(x->label));
    tsv_cell(&w, "%lld", (long long)x->slices);
    tsv_cell(&w, "%.9g", j->mean[l]);
    for (int r = 0; r < j->runs; r++) tsv_cell(&w, "%.9g", j->prob[r * j->test.lesions + l]);
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

/* ---- evaluation ---- */

/* Lesions of a known class (rim or not), packed; score [runs][n], then the mean over the runs. */
typedef struct Judged {
  int64_t n;
  int64_t groups;
  int *truth;
  double *score;
  double *mean;
  int64_t *group;
  int64_t *row;
} Judged;

static void judged_free(Judged *q) {
  mem_free(q->truth);
  mem_free(q->score);
  mem_free(q->mean);
  mem_free(q->group);
  mem_free(q->row);
}

static Status judge_lesions(const Job *j, Judged *q, Error *e) {
  const SliceSet *t = &j->test;
  const size_t m = (size_t)t->lesions;
  *q = (Judged){.truth = mem_alloc(m * sizeof *q->truth),
                .score = mem_alloc(m * (size_t)j->runs * sizeof *q->score),
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
    q->mean[q->n] = j->mean[l];
    q->row[q->n++] = l;
  }
  for (int r = 0; r < j->runs; r++)
    for (int64_t i = 0; i < q->n; i++) q->score[r * q->n + i] = j->prob[r * t->lesions + q->row[i]];
  mem_free(seen);
  return q->n ? ST_OK
              : err_set(e, ST_INVALID,
                        "%s: no lesion of class rim or non-rim; use --predict for lesions without "
                        "a class",
                        j->a.test);
}

typedef struct Numbers {
  double m[M_COUNT];
  double sd[M_COUNT];
  double lo[M_COUNT];
  double hi[M_COUNT];
} Numbers;

static Status numbers_of(const Job *j, const Judged *q, Numbers *x, Error *e) {
  double all[64][M_COUNT];
  memset(x, 0, sizeof *x);
  for (int r = 0; r < j->runs; r++) {
    TRY(eval_metrics(q->n, q->truth, q->score + r * q->n, j->a.threshold, all[r], e));
    for (int k = 0; k < M_COUNT; k++) x->m[k] += all[r][k] / j->runs;
  }
  for (int k = 0; k < M_COUNT; k++) {
    for (int r = 0; r < j->runs; r++) x->sd[k] += pow(all[r][k] - x->m[k], 2);
    x->sd[k] = j->runs > 1 ? sqrt(x->sd[k] / (j->runs - 1)) : NAN;
    x->lo[k] = x->hi[k] = NAN;
  }
  if (q->groups <= 1) return ST_OK;
  return eval_bootstrap(q->n, q->truth, j->runs, q->score, q->group, q->groups, j->a.threshold,
                        j->a.resamples, j->a.level, 0, x->lo, x->hi, e);
}

static const char *number_short(char buf[16], double v) {
  if (isnan(v)) return "n/a";
  snprintf(buf, 16, "%.4f", v);
  return buf;
}

static Status write_metrics(const Job *j, const Numbers *x, Error *e) {
  char path[PATH_LEN], b[4][16];
  TextFile t;
  TRY(path_join(path, j->a.out, "metrics.tsv", e));
  TRY(text_begin(&t, path, e));
  fprintf(t.stream, "metric\tmean\tsd\tlow\thigh\n");
  for (int k = 0; k < M_COUNT; k++)
    fprintf(t.stream, "%s\t%s\t%s\t%s\t%s\n", metric_name[k], number_short(b[0], x->m[k]),
            number_short(b[1], x->sd[k]), number_short(b[2], x->lo[k]),
            number_short(b[3], x->hi[k]));
  return text_commit(&t, path, e);
}

static Status write_confusion(const Job *j, const Judged *q, Error *e) {
  char path[PATH_LEN];
  TsvWriter w = {0};
  static const char *const head[] = {"run", "true_rim", "false_rim", "true_nonrim", "false_nonrim"};
  TRY(path_join(path, j->a.out, "confusion.tsv", e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&w, "%s", head[i]);
  tsv_row_end(&w);
  for (int r = 0; r < j->runs; r++) {
    Confusion c = eval_confusion(q->n, q->truth, q->score + r * q->n, j->a.threshold);
    int64_t v[5] = {r, c.tp, c.fp, c.tn, c.fn};
    for (int i = 0; i < 5; i++) tsv_cell(&w, "%lld", (long long)v[i]);
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

static void print_metrics(const Job *j, const Judged *q, const Numbers *x) {
  char b[4][16];
  int64_t rims = 0;
  for (int64_t i = 0; i < q->n; i++) rims += q->truth[i];
  printf("%lld lesions (%lld rim, %lld non-rim) of %lld subjects; %d run%s, threshold %g\n",
         (long long)q->n, (long long)rims, (long long)(q->n - rims), (long long)q->groups, j->runs,
         j->runs == 1 ? "" : "s", j->a.threshold);
  printf("%-18s %8s %8s   %g %% interval by subject\n", "metric", "mean", "sd", 100 * j->a.level);
  for (int k = 0; k < M_COUNT; k++)
    printf("%-18s %8s %8s   %s - %s\n", metric_name[k], number_short(b[0], x->m[k]),
           number_short(b[1], x->sd[k]), number_short(b[2], x->lo[k]),
           number_short(b[3], x->hi[k]));
  printf("%-18s %8s %8s %8s %8s\n", "confusion", "rim+", "rim-", "non-rim+", "non-rim-");
  for (int r = 0; r < j->runs; r++) {
    Confusion c = eval_confusion(q->n, q->truth, q->score + r * q->n, j->a.threshold);
    printf("  run %-12d %8lld %8lld %8lld %8lld\n", r, (long long)c.tp, (long long)c.fn,
           (long long)c.fp, (long long)c.tn);
  }
  printf("(+: called rim, -: called non-rim)\n");
  if (q->groups < 2) fprintf(stderr, "prlx classify: one subject only: no interval\n");
}

/* McNemar against the predictions.tsv of another run on the same lesions, each with its mean over
 * the runs. */
static Status classify_compare(const Job *j, const Judged *q, Error *e) {
  char path[PATH_LEN];
  Tsv t;
  TRY(path_format(path, e, "%s%s", j->a.compare,
                  strstr(j->a.compare, ".tsv") ? "" : "/predictions.tsv"));
  TRY(tsv_read(path, &t, e));
  Status s = ST_OK;
  int cs = tsv_column(&t, "subject"), cl = tsv_column(&t, "lesion"), cp = tsv_column(&t, "rim");
  double *other = mem_alloc((size_t)q->n * sizeof *other);
  if (!other) {
    s = err_set(e, ST_NOMEM, "out of memory");
    goto done;
  }
  if (cs < 0 || cl < 0 || cp < 0) {
    s = err_set(
        e, ST_FORMAT,
        "%s: no column subject, lesion or rim; expected the predictions.tsv of `prlx classify`",
        path);
    goto done;
  }
  for (int64_t i = 0; i < q->n; i++) {
    const SliceLesion *x = &j->test.row[q->row[i]];
    int r = 0;
    while (r < t.nrow &&
           (strcmp(tsv_get(&t, r, cs), x->subject) || strcmp(tsv_get(&t, r, cl), x->name)))
      r++;
    if (r == t.nrow) {
      s = err_set(e, ST_INVALID, "%s: no lesion %s of %s; McNemar needs the same test lesions",
                  path, x->name, x->subject);
      goto done;
    }
    s = tsv_number(&t, r, cp, &other[i], e);
    if (s != ST_OK) goto done;
    if (!(other[i] >= 0 && other[i] <= 1)) {
      s = err_set(e, ST_FORMAT, "%s: row %d: probability %.40s; expected 0 to 1", path, r + 2,
                  tsv_get(&t, r, cp));
      goto done;
    }
  }
  int64_t a, b;
  double p = eval_mcnemar(q->n, q->truth, q->mean, other, j->a.threshold, &a, &b);
  printf("McNemar against %s: right only here %lld, only there %lld, p = %.4g (exact, two-sided; "
         "mean over the runs)\n",
         path, (long long)a, (long long)b, p);
done:
  mem_free(other);
  tsv_free(&t);
  return s;
}

static Status classify_evaluate(const Job *j, Error *e) {
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
  if (j->a.compare) {
    s = classify_compare(j, &q, e);
    if (s != ST_OK) goto done;
  }
done:
  judged_free(&q);
  return s;
}

static void print_predictions(const Job *j) {
  printf("%-24s %-16s %6s %8s\n", "subject", "lesion", "slices", "P(rim)");
  int64_t shown = 0;
  for (int64_t l = 0; l < j->test.lesions && shown < 20; l++)
    if (j->test.row[l].slices)
      shown++, printf("%-24.24s %-16.16s %6lld %8.4f\n", j->test.row[l].subject,
                      j->test.row[l].name, (long long)j->test.row[l].slices, j->mean[l]);
  printf("all lesions: %s/predictions.tsv\n", j->a.out);
}

static Status classify_run(Job *j, const OptSpec *spec, Error *e) {
  const Args *a = &j->a;
  const char *target = a->test ? a->test : a->predict;
  snprintf(j->channels, sizeof j->channels, "%.63s", a->channels);
  if (a->model)
    TRY(classifiers_load(a->model, &j->model, &j->runs, j->channels, e));
  else
    TRY(load_train(j, spec->nargs, spec->args, e));
  if (j->runs > 64)
    return err_set(e, ST_INVALID, "%s: %d classifiers; at most 64", a->model, j->runs);
  /* a broken test set is found before the training */
  if (target) TRY(slices_add(&j->test, target, j->channels, e));
  if (!a->model) TRY(train_all(j, e));
  if (target) TRY(tool_folder(a->out, e));
  if (target) TRY(predict_all(j, e));
  if (target) TRY(write_predictions(j, e));
  if (a->predict) print_predictions(j);
  return a->test ? classify_evaluate(j, e) : ST_OK;
}

static int check_usage(const Args *a, const OptSpec *s) {
  if (a->model && s->nargs)
    return tool_usage("classify", "--model uses trained classifiers; training data %s is too much",
                      s->args[0]);
  if (!a->model && !s->nargs)
    return tool_usage("classify", "no training data; give TRAIN files, or --model");
  if (a->test && a->predict)
    return tool_usage("classify", "--test and --predict exclude each other");
  if (a->model && !a->test && !a->predict)
    return tool_usage("classify", "--model needs --test FILE or --predict FILE");
  if (a->compare && !a->test) return tool_usage("classify", "--compare needs --test FILE");
  return -1;
}

int tool_classify(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("classify");
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("What to do"),
      OPT_STR("test", &a->test, NULL, "FILE", "data set with classes: metrics with intervals"),
      OPT_STR("predict", &a->predict, NULL, "FILE",
              "data set without classes: probability of a rim for each lesion"),
      OPT_STR("model", &a->model, NULL, "FILE|DIR",
              "use these classifiers instead of training: one file, or the folder of a run"),
      OPT_STR("compare", &a->compare, NULL, "DIR",
              "another run on the same test lesions (its predictions.tsv): McNemar's test"),
      OPT_GROUP("Training"),
      OPT_INT("runs", &a->runs, "5", 1, 64, "trainings, with the seeds seed, seed+1, ..."),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "first seed"),
      OPT_INT("epochs", &a->epochs, "25", 1, 100000, "passes over the slices"),
      OPT_INT("batch", &a->batch, "32", 2, 4096, "slices per step"),
      OPT_REAL("lr", &a->lr, "0.001", 1e-9, 10, "learning rate of Adam"),
      OPT_INT("pools", &a->pools, "3", 0, CLS_UNITS - 1,
              "units that end with 2x2 max pooling; the maps of `prlx cam` are side/2^pools wide"),
      OPT_STR("channels", &a->channels, "chi", "NAMES",
              "channels the classifier sees, such as chi,flair. The rim channel holds the answer"),
      OPT_CHOICE("ambiguous", &a->ambiguous, "drop", "drop|rim|non-rim",
                 "ambiguous lesions among the training data"),
      OPT_GROUP("Evaluation"),
      OPT_REAL("threshold", &a->threshold, "0.5", 0, 1,
               "a lesion is called rim from this probability on"),
      OPT_INT("resamples", &a->resamples, "2000", 2, 10000000, "bootstrap resamples of subjects"),
      OPT_REAL("level", &a->level, "0.95", 0.01, 0.999, "of the intervals"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, "out/classify", "DIR",
              "model<k>.safetensors, predictions.tsv, metrics.tsv, confusion.tsv"),
  };
  OptSpec spec = {.cmd = "classify",
                  .summary = "Trains, evaluates and applies the rim classifier: learns from "
                             "slices, decides on lesions.",
                  .details =
                      "TRAIN: data sets of `prlx pack`, `generate`, `project`, `smote`, `affine`; "
                      "FILE:rim and FILE:non-rim give a whole file one class.\n"
                      "  prlx classify train.safetensors --test test.safetensors --out run/none\n"
                      "  prlx classify train.safetensors denoised.safetensors:rim --test "
                      "test.safetensors --out run/ld --compare run/none\n"
                      "  prlx classify --model run/none --predict new.safetensors\n"
                      "A lesion's probability is the mean over its slices. Intervals: bootstrap of "
                      "whole subjects, of the mean over the runs.",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "TRAIN...",
                  .pos_min = 0,
                  .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) {
    mem_free(j);
    return rc;
  }
  Error e = {0};
  rc = check_usage(a, &spec);
  if (rc < 0) rc = classify_run(j, &spec, &e) == ST_OK ? EXIT_DONE : tool_fail("classify", &e);
  opts_free(&spec);
  job_free(j);
  mem_free(j);
  return rc;
}
