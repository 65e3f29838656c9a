/* slices.h: data sets as the classifier and the baselines see them: slices that belong to lesions
 * that belong to subjects. */
#ifndef PRLX_SLICES_H
#define PRLX_SLICES_H
#include "io/images/dataset.h"
#include "models/judge/classifier.h"

typedef struct SliceLesion {
  char name[64];
  char subject[64];
  int64_t slices;
  int64_t subject_index;
  int label; /* 0, 1, 2 = ambiguous, -1 = unknown */
} SliceLesion;
typedef struct SliceSet {
  int64_t n;
  int channels;
  int h;
  int w;
  real *images; /* [n,channels,h,w], the chosen channels only */
  /* [n] as SliceLesion.label; index into row */
  int64_t *label;
  int64_t *lesion;
  SliceLesion *row;
  int64_t lesions;
  int64_t subjects;
} SliceSet;

/* Adds the data set `arg`: "FILE", or "FILE:rim", "FILE:non-rim" to give all its slices that class
 * (synthetic or denoised lesions). channels: names such as "chi" or "chi,flair"; a data set without
 * channel names has its first channel called chi. Images whose origin the file does not know count
 * as a lesion and a subject each. */
Status slices_add(SliceSet *s, const char *arg, const char *channels, Error *e);
void slices_free(SliceSet *s);

/* Where the named channels are in a data set; ST_INVALID lists what it has. At most 16. */
Status channels_find(const Dataset *d, const char *channels, int *at, int *n, Error *e);

/* Says on standard error, as command `cmd`, how many slices of `test` are in `train`, too: by their
 * first channel, also negated, with other brightness or contrast, mirrored or turned by quarters.
 * Scores of such a test are of memory. Silent where there are none. */
Status slices_warn_shared(const char *cmd, const SliceSet *train, const SliceSet *test, Error *e);

/* Keeps the slices with keep[i]; lesions stay numbered as they are. */
void slices_filter(SliceSet *s, const bool *keep);
Slices slices_view(const SliceSet *s);
#endif
