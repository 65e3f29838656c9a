/* split.h: dealing lesions to training, test and the set to be denoised, whole subjects at a time,
 * and the check that nobody is on both sides. Paper, section 3: 200 rim and 400 non-rim lesions for
 * training, 60 and 120 for the test, 100 ambiguous. */
#ifndef PRLX_SPLIT_H
#define PRLX_SPLIT_H
#include "io/images/cohort.h"
typedef enum { PART_NONE, PART_TRAIN, PART_TEST, PART_AMBIGUOUS } Part;
typedef struct SplitItem {
  int subject; /* index */
  LesionClass cls;
  /* denoised or synthetic: on top of the counts, in training only */
  bool extra;
} SplitItem;
typedef struct SplitRule {
  /* [CLASS_NONRIM], [CLASS_RIM]; -1: as many as the paper would take of this cohort (below); -2:
   * all */
  int64_t train[2];
  int64_t test[2];
  int64_t ambiguous;
  /* without a test set nothing is held out */
  bool with_test;
  bool with_ambiguous;
  /* ignores subjects: the leak check then fails, as it should */
  bool by_lesion;
  uint64_t seed;
} SplitRule;

/* Counts of -1: the test gets 60/260 of the rim lesions, training the others; two non-rim lesions
 * per rim lesion on both sides, as far as there are any; of the ambiguous lesions all that do not
 * belong to a test subject. Numbers that are asked for and cannot be met are an error that says how
 * many there are. part[n] is a function of the items and the seed only. */
Status split_make(const SplitItem *it, int n, int subjects, const SplitRule *r, Part *part,
                  Error *e);

/* Subjects with lesions in the test and also in training or among the ambiguous (these are denoised
 * to train with). *first: the lowest, or -1. */
int split_leaks(const SplitItem *it, int n, int subjects, const Part *part, int *first, Error *e);
#endif
