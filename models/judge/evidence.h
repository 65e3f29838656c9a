/* evidence.h: what denoising did to a lesion, in numbers: the ring against the true rim, neighbours
 * among training images, intervals by subject. Paper, sections 3.4 and 4.3 (denoised lesions judged
 * by eye and by LPIPS); the measures are ours. All in double. */
#ifndef PRLX_EVIDENCE_H
#define PRLX_EVIDENCE_H
#include "core/base.h"

/* ---- the ring ---- */
/* One slice. Depth counts pixels from the edge of the lesion mask. edge: mean of the lesion's outer
 * 3 pixels minus mean of its core (deeper than 4 pixels, or the deepest quarter): needs no rim map.
 * The others need a map of the true rim with a maximum of at least RIM_VISIBLE:
 *   core, surround: mean weighted by the map, minus the mean of the core off the rim / of the 2nd
 *   to 6th pixel outside, in the unit of img; dice: of the k brightest pixels in and up to 3 pixels
 *   around the lesion, k the area of the rim (map above half its maximum), the share that lies on
 *   the rim:
 *         overlap at equal area, free of any threshold on brightness; chance is k over the area
 *         searched;
 *   corr: Pearson's r of img and the map in the same region.
 * NAN: not defined here (no lesion pixels, no rim, no core). */
#define RIM_VISIBLE 0.1
typedef struct RimMatch {
  double edge;
  double core;
  double surround;
  double dice;
  double chance;
  double corr;
} RimMatch;

/* img [h,w]; rim [h,w] 0..1 or NULL; mask [h,w], > 0 inside. ST_NOMEM only. */
Status rim_match(int h, int w, const float *img, const float *rim, const float *mask, RimMatch *out,
                 Error *e);

/* ---- neighbours ---- */
/* Nearest candidate and the nearest of another group (a group: slices of one lesion). Start with
 * NEAREST_NONE; candidates in any order. Equal distances: the first one stays. */
typedef struct Nearest {
  int64_t id;           /* of the nearest candidate, -1: none yet */
  int64_t group;        /* its group */
  double distance;      /* to it */
  int64_t second_group; /* the nearest other group */
  double second;        /* distance to it */
} Nearest;
#define NEAREST_NONE ((Nearest){-1, -1, HUGE_VAL, -1, HUGE_VAL})

/* One more candidate at distance d. */
void nearest_add(Nearest *q, int64_t id, int64_t group, double d);

/* distance / second: near 0 for a copy, whatever the noise of the images; near 1 where no training
 * lesion stands out. NAN without a second. */
double nearest_gap(const Nearest *q);

/* sum (a-b)^2 over n values, summed in an order that depends on n alone. */
double square_distance(const float *a, const float *b, int64_t n);

/* How near training images are to each other: n distances and gaps of training images to their
 * nearest other lesion, sorted. */
typedef struct NearReference {
  int64_t n;
  double *distance; /* [n], rising; owned */
  double *gap;      /* [n], rising; lies behind distance */
  double median;    /* of the distances */
} NearReference;

/* From the neighbours q [n] of n training images. ST_INVALID: no neighbour at all. */
Status reference_new(NearReference *r, int64_t n, const Nearest *q, Error *e);

/* Also of an empty one. */
void reference_free(NearReference *r);
typedef enum { MEMORY_NONE, MEMORY_CLOSE, MEMORY_COPY } Memory;

/* "no", "close", "copy". */
extern const char *const memory_name[3];

/* CLOSE: closer to a training image than any training image of the reference is to another lesion.
 * COPY: moreover it stands out from the second nearest more than all but 5 % of the reference.
 * (Smooth images are near to everything; a copy is near to one.) */
Memory memory_of(const NearReference *r, const Nearest *q);

/* ---- intervals ---- */
typedef struct Spread {
  int64_t n; /* values that count */
  double mean;
  double mean_lo;
  double mean_hi;
  double median;
  double median_lo;
  double median_hi;
} Spread;

/* Mean and median of v [n] (NAN left out) with percentile bootstrap intervals that draw whole
 * groups, group [n] in 0..groups-1. Fewer than two groups with a value: intervals NAN. ST_INVALID:
 * a group, level or number of resamples out of range. */
Status spread_by_group(int64_t n, const double *v, const int64_t *group, int64_t groups,
                       int resamples, double level, uint64_t seed, Spread *out, Error *e);
#endif
