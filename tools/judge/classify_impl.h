/* classify_impl.h: one call of `prlx classify`. Inside tools/judge only.
 *   classify.c         options, training data, what is done in which order
 *   classify_train.c   trainings, each with other subjects held out where asked for
 *   classify_score.c   predictions, metrics, intervals, McNemar */
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

/* metrics.tsv, confusion.tsv, the table on stdout; McNemar with --compare. */
Status classify_evaluate(const Job *j, Error *e);
const char *classify_class_text(int label);
#endif
