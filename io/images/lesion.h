/* lesion.h: the volumes of one row of lesions.tsv, the slices that become images, and images back
 * into volumes. */
#ifndef PRLX_LESION_H
#define PRLX_LESION_H
#include "io/images/chi_units.h"
#include "io/images/cohort.h"
#include "io/images/resample.h"
#include "io/images/window.h"
typedef enum { SLICES_LESION, SLICES_ALL, SLICES_CENTRAL } SliceRule;
typedef struct LesionVolumes {
  Grid grid;
  float *vol[CH_COUNT];   /* as on disk (exactly); NULL when not asked for */
  double scale[CH_COUNT]; /* times this: chi in ppb, others 1 */
  float *mask;            /* > 0 inside the lesion; NULL: the table has none */
  double flair_median;    /* of its positive voxels; 0 without FLAIR */
} LesionVolumes;

/* Reads the volumes of row i for channels (bit mask 1 << Channel) and the lesion mask. The error
 * names table, row and file: a channel the row does not have, 4-D or other grids among them, NaN,
 * chi in another unit than said (BIDS: ppm). warning: 256 bytes, "" or what is odd. */
Status lesion_read(const Cohort *c, int i, unsigned channels, ChiUnits units, LesionVolumes *v,
                   char *warning, Error *e);
void lesion_free(LesionVolumes *v);

/* Rows from volumes instead of a table: subject and lesion from the names (sub-XX..., else the
 * whole name), mask: one for all, or NULL. Nobody has read them. */
Status cohort_from_volumes(Cohort *c, int n, char *const *paths, const char *mask, Error *e);

/* Which slices: LESION those with mask voxels; ALL all where susceptibility varies (the padding of
 * a patch does not); CENTRAL the one with most mask voxels, without a mask the middle. z has room
 * for grid.dim[2]. Returns how many. */
int lesion_slices(const LesionVolumes *v, SliceRule rule, int *z);

/* Slice z as network input [nch][h][w], with the limits used in window[nch][2]. */
void lesion_limits(const LesionVolumes *v, int z, const Channel *ch, int nch, const Window *w,
                   double *limits);
void lesion_image(const LesionVolumes *v, int z, const Channel *ch, int nch, const double *limits,
                  float *out);

/* The way back: n network values to what the file holds: chi in ppm, rim a probability within 0 and
 * 1, others as they were. */
void image_to_volume(const float *img, int64_t n, Channel ch, const double limits[2], float *out);

/* Path of file as seen from folder dir (both existing or absolute); falls back to the absolute
 * path. */
Status path_relative(const char *dir, const char *file, char *out, size_t n, Error *e);
#endif
