/* project_cohort.h: lesions.tsv in and out of `prlx project`. */
#ifndef PRLX_PROJECT_COHORT_H
#define PRLX_PROJECT_COHORT_H
#include "io/images/dataset.h"
#include "io/images/lesion.h"
#include "models/store/netfile.h"
#include "tools/cli/opts.h"

typedef struct CohortTargets CohortTargets;
typedef struct TargetRule {
  bool ambiguous;
  SliceRule slices;
  ChiUnits units;
  const char *exclude; /* data set whose subjects stay out, or NULL */
  const IntList *range;
} TargetRule;

/* Slices of the lesions of a table as the data set that the network expects: its channels, its
 * windows (a network of images without scale: each slice from its minimum to its maximum). *d then
 * owns images, names, labels, src, meta. range: lesions, counted from 0 among those that qualify.
 */
Status targets_load(CohortTargets **out, const char *table, const TargetRule *r, const Network *net,
                    Dataset *d, Error *e);
void targets_free(CohortTargets *t);

/* What became of them: volumes with the denoised slices in place (the other slices as they were), a
 * lesion mask of the denoised slices only, so that packing by lesion mask takes these and no
 * others, and DIR/lesions.tsv with provenance denoised. Lesions whose slices are not all among the
 * first `done` are left out. Returns in *written how many lesions there are. */
typedef struct DenoiseInfo {
  const char *network;
  const char *perceptual;
  const double *lpips;
  int steps;
} DenoiseInfo;

/* Files go below DIR. ST_IO: cannot be written. */
Status targets_write(const CohortTargets *t, const Dataset *in, const float *img, int64_t done,
                     const char *dir, const DenoiseInfo *info, int *written, Error *e);
#endif
