/* classify.c: `prlx classify`: trains the rim classifier on slices (paper, section 3.3), judges it
 * on lesions, applies it to new ones.
 *
 *   TRAIN... -> one training per seed -> model<k>.safetensors -> slices of TEST -> mean per lesion
 *   -> metrics, intervals by subject, McNemar */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/judge/classify_impl.h"

static void job_free(Job *j) {
  slices_free(&j->train);
  slices_free(&j->test);
  classifiers_free(j->model, j->runs);
  mem_free(j->prob);
  mem_free(j->mean);
  classify_held_free(&j->held);
}

/* ---- training data ---- */

/* Ambiguous lesions go as asked; a lesion without a class cannot be learned from. */
static Status settle_labels(SliceSet *s, const char *files, int ambiguous, Error *e) {
  int64_t dropped = 0;
  Status st = ST_OK;
  bool *keep = mem_alloc((size_t)s->n * sizeof *keep);
  if (!keep) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < s->n; i++) {
    if (s->label[i] == 2 && ambiguous != AMB_DROP)
      s->label[i] = s->row[s->lesion[i]].label = ambiguous == AMB_RIM;
    if (s->label[i] < 0) {
      st = err_set(e, ST_INVALID,
                   "%s: lesion %s has no class; give its file a class: FILE:rim or FILE:non-rim",
                   files, s->row[s->lesion[i]].name);
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
  if (!s->n)
    st = err_set(e, ST_INVALID, "%s: only ambiguous lesions to train with; see --ambiguous", files);
done:
  mem_free(keep);
  return st;
}

/* Found before a folder is made and a network built. */
static Status both_classes(const SliceSet *s, const char *files, Error *e) {
  int64_t of[2] = {0};
  for (int64_t i = 0; i < s->n; i++) of[s->label[i]]++;
  if (of[0] && of[1]) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: no slice of class %d among %lld to train with, all are of %s; expected "
                 "lesions of both classes; add data that have them (FILE:%s gives a whole file "
                 "the class)",
                 files, of[1] ? 0 : 1, (long long)s->n, of[1] ? "rims" : "non-rims",
                 of[1] ? "non-rim" : "rim");
}

static Status load_train(Job *j, int n, char **arg, Error *e) {
  size_t len = 0;
  for (int i = 0; i < n; i++) {
    TRY(slices_add(&j->train, arg[i], j->channels, e));
    if (i < j->args.real) j->real_lesions = j->train.lesions;
    if (len < sizeof j->trained_on)
      len += (size_t)snprintf(j->trained_on + len, sizeof j->trained_on - len, "%s%s", i ? " " : "",
                              arg[i]);
  }
  TRY(settle_labels(&j->train, j->trained_on, j->args.ambiguous, e));
  return both_classes(&j->train, j->trained_on, e);
}

static void print_predictions(const Job *j) {
  printf("%-24s %-16s %6s %8s\n", "subject", "lesion", "slices", "P(rim)");
  int64_t shown = 0;
  for (int64_t l = 0; l < j->test.lesions && shown < 20; l++)
    if (j->test.row[l].slices)
      shown++, printf("%-24.24s %-16.16s %6lld %8.4f\n", j->test.row[l].subject,
                      j->test.row[l].name, (long long)j->test.row[l].slices, j->mean[l]);
  printf("all lesions: %s/predictions.tsv\n", j->args.out);
}

/* Images to judge are as large as those of the training. */
static Status check_target(const Job *j, const char *target, Error *e) {
  const SliceSet *a = &j->train, *b = &j->test;
  for (int r = 0; r < j->runs && j->args.model; r++)
    TRY(classifier_fits(&j->model[r], b->h, b->w, target, e));
  if (j->args.model) return ST_OK;
  if (a->h == b->h && a->w == b->w)
    return j->args.test ? slices_warn_shared("classify", a, b, e) : ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: %d x %d pixels; the training data have %d x %d; expected the same size; crop "
                 "or pack them alike",
                 target, b->w, b->h, a->w, a->h);
}

static Status classify_run(Job *j, const OptSpec *spec, Error *e) {
  const Args *a = &j->args;
  const char *target = a->test ? a->test : a->predict;
  snprintf(j->channels, sizeof j->channels, "%.63s", a->channels);
  TRY(tool_backend_fit("classify", &j->backend, e));
  if (a->model)
    TRY(classifiers_load(a->model, &j->model, &j->runs, j->channels, e));
  else
    TRY(load_train(j, spec->nargs, spec->args, e));
  for (int k = 0; k < j->runs && a->model; k++) j->model[k].backend = j->backend;
  if (j->runs > 64)
    return err_set(e, ST_INVALID, "%s: %d classifiers; at most 64", a->model, j->runs);
  /* a broken test set is found before the training */
  if (target) TRY(slices_add(&j->test, target, j->channels, e));
  if (target) TRY(check_target(j, target, e));
  if (a->test) TRY(classify_look(j, e));
  if (target)
    TRY(outputs_folder(a->out, "metrics.tsv predictions.tsv confusion.tsv difference.tsv", e));
  if (!a->model) TRY(classify_train_all(j, e));
  if (target) TRY(classify_predict_all(j, e));
  if (target) TRY(classify_write_predictions(j, e));
  if (a->predict) print_predictions(j);
  return a->test ? classify_evaluate(j, e) : ST_OK;
}

static int check_threshold(Args *a) {
  char *end;
  a->threshold = 0.5;
  if (!a->threshold_text) {
    Error e = {0};
    double v = NAN;
    if (a->model && classifier_threshold(a->model, &v, &e) != ST_OK)
      return tool_fail("classify", &e);
    if (isfinite(v)) a->threshold = v;
    return -1;
  }
  a->threshold = strtod(a->threshold_text, &end);
  if (end == a->threshold_text || *end || !(a->threshold >= 0 && a->threshold <= 1))
    return tool_usage("classify", "--threshold %.40s; expected a number from 0 to 1",
                      a->threshold_text);
  if (a->validate) return tool_usage("classify", "--threshold and --validate exclude each other");
  return -1;
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
  if (a->validate == 1)
    return tool_usage("classify", "--validate 1 would leave nobody to train on; expected 0 or 2 "
                                  "and more");
  if (a->average > a->epochs)
    return tool_usage("classify", "--average %d of %d epochs; expected at most all", a->average,
                      a->epochs);
  if (a->compare && !a->test) return tool_usage("classify", "--compare needs --test FILE");
  return opts_need(s, !a->model,
                   "runs seed epochs batch lr pools decay average real real-norm validate channels "
                   "ambiguous",
                   "training data TRAIN");
}

int tool_classify(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("classify");
  Args *a = &j->args;
  Opt t[] = {
      OPT_GROUP("What to do"),
      OPT_STR("test", &a->test, NULL, "FILE", "data set with classes: metrics with intervals"),
      OPT_STR("predict", &a->predict, NULL, "FILE",
              "data set without classes: probability of a rim for each lesion"),
      OPT_STR("model", &a->model, NULL, "FILE|DIR",
              "use these classifiers instead of training: one file, or the folder of a run"),
      OPT_STR("compare", &a->compare, NULL, "DIR",
              "another run on the same test lesions (its predictions.tsv): differences with "
              "intervals,\ndifference.tsv, McNemar's test, each at its own threshold; with "
              "--threshold both at that one"),
      OPT_GROUP("Training"),
      OPT_INT("runs", &a->runs, "5", 1, 64, "trainings, with the seeds seed, seed+1, ..."),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "first seed"),
      OPT_INT("epochs", &a->epochs, "25", 1, 100000, "passes over the slices"),
      OPT_INT("batch", &a->batch, "32", 2, 4096, "slices per step"),
      OPT_REAL("lr", &a->lr, "0.001", 1e-9, 10, "learning rate of Adam"),
      OPT_INT(
          "pools", &a->pools, "6", 0, CLS_UNITS,
          "units that end with 2x2 max pooling, as in the paper all; the maps of `prlx cam` are "
          "side/2^pools wide,\nso that a classifier for maps needs fewer, such as 3"),
      OPT_CHOICE("decay", &a->decay, "none", "none|cosine",
                 "of the learning rate, to 0; none: as printed in the paper"),
      OPT_INT("average", &a->average, "0", 0, 100000,
              "weights are the mean over the ends of so many last epochs; 0: the last step's"),
      OPT_INT("real", &a->real, "1", 1, 1000,
              "so many TRAIN files, the first ones, hold real lesions; the others what is added"),
      OPT_FLAG("real-norm", &a->real_norm, "no",
               "statistics of batch norm from the real slices alone, after the training"),
      OPT_INT(
          "validate", &a->validate, "0", 0, 64,
          "the threshold is chosen on held-out subjects: each run leaves one of so many parts of "
          "the real subjects\nout; balanced accuracy of all of them decides. 0: none"),
      OPT_STR("channels", &a->channels, "chi", "NAMES",
              "channels the classifier sees, such as chi,flair. The rim channel holds the answer"),
      OPT_CHOICE("ambiguous", &a->ambiguous, "drop", "drop|rim|non-rim",
                 "ambiguous lesions among the training data"),
      OPT_GROUP("Evaluation"),
      OPT_STR("threshold", &a->threshold_text, NULL, "0..1",
              "a lesion is called rim from this probability on (default: 0.5; with --validate the "
              "chosen one; with --model\nDIR the one of that run)"),
      OPT_INT("resamples", &a->resamples, "2000", 2, 10000000, "bootstrap resamples of subjects"),
      OPT_REAL("level", &a->level, "0.95", 0.01, 0.999, "of the intervals"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, "out/classify", "DIR",
              "model<k>.safetensors, predictions.tsv, metrics.tsv, confusion.tsv, validation.tsv,\n"
              "difference.tsv"),
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
                      "A lesion's probability is the mean over its slices. Intervals: over whole "
                      "subjects (bootstrap) and runs, crossed.",
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
  if (rc < 0) rc = check_threshold(a);
  if (rc < 0) rc = classify_run(j, &spec, &e) == ST_OK ? EXIT_DONE : tool_fail("classify", &e);
  opts_free(&spec);
  job_free(j);
  mem_free(j);
  return rc;
}
