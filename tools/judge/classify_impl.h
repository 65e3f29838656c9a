/* classify_impl.h: one call of `prlx classify`. Inside tools/judge only.
 *   classify.c         options, training data, what is done in which order
 *   classify_train.c   trainings, each with other subjects held out where asked for
 *   classify_score.c   predictions, metrics, intervals
 *   classify_compare.c difference to another run, McNemar
 *   classify_text.c    words and numbers of the tables */
#ifndef PRLX_CLASSIFY_IMPL_H
#define PRLX_CLASSIFY_IMPL_H
#include "models/judge/evaluate.h"
#include "models/store/classifierfile.h"
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
  const char *threshold_text;
  int decay;
  int average;
  int real;
  int validate;
  bool real_norm;
} Args;
enum { AMB_DROP, AMB_RIM, AMB_NONRIM };

/* Real training lesions that a run was not trained on, and what it says about them. */
typedef struct Held {
  int64_t count;
  int64_t *lesion; /* [count] of train */
  int *run;
  int *truth;
  double *score;
} Held;

typedef struct Job {
  Args args;
  SliceSet train;
  SliceSet test;
  Classifier *model;
  Backend *backend; /* NULL: the CPU */
  int runs;
  char channels[64];
  double *prob;         /* [runs][lesions of test] probability of rim */
  double *mean;         /* [lesions] over the runs */
  int64_t real_lesions; /* of train: those of the real files, which come first */
  Held held;
  char trained_on[800];
  Progress bar;
  int run;
} Job;

/* Trains a->runs classifiers into j->model and DIR/model<k>.safetensors; with --validate also
 * j->held, DIR/validation.tsv and j->a.threshold. */
Status classify_train_all(Job *j, Error *e);
void classify_held_free(Held *h);

/* j->prob, j->mean of j->test. */
Status classify_predict_all(Job *j, Error *e);
Status classify_write_predictions(const Job *j, Error *e); /* DIR/predictions.tsv */

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

/* v with four digits, or n/a. */
const char *classify_number(char buf[16], double v);

/* --compare: another run (its folder or predictions.tsv) on the same lesions. Differences, ours
 * minus theirs, with intervals over subjects and runs crossed (models/judge/evaluate.h), each run
 * at its own threshold: a table on stdout and DIR/difference.tsv. McNemar of the means over the
 * runs. ST_INVALID: other lesions or classes; ST_FORMAT: not a table of predictions. */
Status classify_compare(const Job *j, const Judged *q, Error *e);

/* The same, before any training: is that run there, with the same lesions? */
Status classify_compare_look(const Job *j, const Judged *q, Error *e);

/* What classify_evaluate would refuse, before any training; a note where the test has one class. */
Status classify_look(const Job *j, Error *e);

/* metrics.tsv, confusion.tsv, the table on stdout; with --compare what is said above. */
Status classify_evaluate(const Job *j, Error *e);
const char *classify_class_text(int label);
#endif
