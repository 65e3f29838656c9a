/* split.h: dealing lesions to training, test and the set to be denoised, whole subjects at a time,
 * and the check that nobody is on both sides. Paper, section 3: 200 rim and 400 non-rim lesions for
 * training, 60 and 120 for the test, 100 ambiguous. */
#ifndef PRLX_SPLIT_H
#define PRLX_SPLIT_H
#include "io/images/cohort.h"
typedef enum { PART_NONE, PART_TRAIN, PART_TEST, PART_AMBIGUOUS } Part;

/* One lesion. */
typedef struct SplitItem {
  int subject; /* index, 0..subjects-1 */
  LesionClass cls;
  bool extra; /* denoised or synthetic: on top of the counts, in training only */
} SplitItem;

/* How many lesions go where: -1 as many as the paper would take of this cohort (split_make), -2
 * all. */
typedef struct SplitRule {
  int64_t train[2]; /* [CLASS_NONRIM], [CLASS_RIM] */
  int64_t test[2];  /* [CLASS_NONRIM], [CLASS_RIM] */
  int64_t ambiguous;
  bool with_test; /* false: nothing is held out */
  bool with_ambiguous;
  bool by_lesion; /* ignores subjects: the leak check then fails, as it should */
  uint64_t seed;
} SplitRule;

/* Deals n lesions of `subjects` subjects: part [n]. Counts of -1: the test gets 60/260 of the rim
 * lesions, training the others; two non-rim lesions per rim lesion on both sides, as far as there
 * are any; of the ambiguous lesions all that do not belong to a test subject. ST_INVALID: numbers
 * that were asked for cannot be met (it says how many there are). part is a function of the items
 * and the seed only. */
Status split_make(const SplitItem *it, int n, int subjects, const SplitRule *r, Part *part,
                  Error *e);

/* Number of subjects with lesions in the test and also in training or among the ambiguous (these
 * are denoised to train with). *first: the lowest, or -1. Returns -1 with ST_NOMEM in e. */
int split_leaks(const SplitItem *it, int n, int subjects, const Part *part, int *first, Error *e);
#endif
