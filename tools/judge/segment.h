/* segment.h: the parts of `prlx segment`: training and test of the U-Net (segment.c), scores per
 * lesion (segment_score.c), generated masks judged (segment_judge.c), pictures (segment_sheet.c).
 */
#ifndef PRLX_SEGMENT_H
#define PRLX_SEGMENT_H
#include "models/store/unetfile.h"
#include "tools/judge/slices.h"

/* Slices with their rim channel beside them. */
typedef struct RimSlices {
  SliceSet x;
  SliceSet rim;
  double mm; /* per pixel; 0: unknown */
} RimSlices;

/* ---- scores ---- */
typedef enum {
  SEG_DICE,
  SEG_DICE_TOLERANT,
  SEG_HD95,
  SEG_PRECISION,
  SEG_RECALL,
  SEG_MISSED,
  SEG_FALSE_AREA,
  SEG_COUNT
} SegMetric;
extern const char *const seg_name[SEG_COUNT];
/* Per lesion, NaN where it has no meaning: mean over the slices with a true rim (the first five;
 * missed: share of them on which nothing is found), and over those without (false area: pixels
 * found). HD95 in mm where the pixel size is known. */
typedef struct SegScores {
  int64_t lesions;
  int runs;
  double *value; /* [runs][SEG_COUNT][lesions] */
  /* [SEG_COUNT][lesions] over the runs in which it has a meaning */
  double *mean;
  /* [lesions] slices with and without a true rim */
  int64_t *with;
  int64_t *without;
} SegScores;

/* Room for the lesions of d in so many runs; freeing an empty one is allowed. */
Status seg_scores_new(SegScores *s, const RimSlices *d, int runs, Error *e);
void seg_scores_free(SegScores *s);

/* prob [n,h,w] of one run. */
Status seg_scores_add(SegScores *s, int run, const RimSlices *d, const real *prob, double threshold,
                      Error *e);

/* Means over the runs, after the last seg_scores_add. */
void seg_scores_mean(SegScores *s);

/* DIR/predictions.tsv (lesions), DIR/metrics.tsv, table on stdout. sd: over the runs; interval:
 * bootstrap by subject. */
typedef struct SegReport {
  const char *out;
  int resamples;
  double level;
  double threshold;
} SegReport;

/* Writes the two tables and prints the summary. */
Status seg_report(const SegScores *s, const RimSlices *d, const SegReport *r, Error *e);

/* Paired difference to another run's predictions.tsv on the same lesions: DIR/comparison.tsv and
 * stdout. */
Status seg_compare(const SegScores *s, const RimSlices *d, const SegReport *r, const char *other,
                   Error *e);

/* Before any training: is that run there, with the lesions of the test? */
Status seg_compare_look(const RimSlices *d, const char *other, Error *e);

/* ---- judge ---- */
typedef struct JudgeArgs {
  const char *data;
  const char *reference;
  const char *out;
  int cls;
  int resamples;
  int show;
  double level;
} JudgeArgs;

/* Do generated masks lie on generated rims? Prints and writes what `prlx segment --judge` says. */
Status segment_judge(const JudgeArgs *a, Error *e);

/* ---- pictures ---- */
typedef struct SegRow {
  /* network units */
  const real *img;
  const real *truth;
  const real *found; /* 0..1, or NULL */
  char caption[96];
} SegRow;

/* Image, true mask, found probability, outlines on the image (green true, red found, yellow both).
 */
Status segment_sheet(const char *path, const SegRow *row, int n, int h, int w, double threshold,
                     const char *const title[4], Error *e);
#endif
