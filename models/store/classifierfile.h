/* classifierfile.h: rim classifiers between files and memory.
 * A file holds the tensors of models/judge/classifier.h under their names and in its metadata:
 * format "prlx-classifier-1", classifier.classes, classifier.pools, classifier.widths,
 * classifier.order (absent in version 0.1: norm and ReLU before the pooling), channels
 * (names, in order), seed, epochs, trained_on. */
#ifndef PRLX_CLASSIFIERFILE_H
#define PRLX_CLASSIFIERFILE_H
#include "models/judge/classifier.h"

/* channels: names such as "chi,flair"; trained_on: said in the file. Atomic. */
Status classifier_save(const Classifier *c, const char *path, const char *channels, uint64_t seed,
                       int epochs, const char *trained_on, Error *e);

/* channels receives the names. ST_IO: no such file; ST_FORMAT: no classifier, or a broken one;
 * ST_NUMERIC: weights that are not finite. After an error c is empty. */
Status classifier_load(Classifier *c, const char *path, char channels[64], Error *e);

/* A file, or a folder with model0.safetensors, model1.safetensors, ... : *out [*n]; free with
 * classifiers_free. All must take the same channels (ST_INVALID). */
Status classifiers_load(const char *path, Classifier **out, int *n, char channels[64], Error *e);

/* The threshold that a run of `prlx classify` chose: in metrics.tsv of its folder. *at NAN: there
 * is no such file, or no threshold in it. ST_IO, ST_FORMAT, ST_NOMEM: it is there and cannot be
 * read; another threshold would be another result. */
Status classifier_threshold(const char *run, double *at, Error *e);

/* NULL allowed. */
void classifiers_free(Classifier *c, int n);
#endif
