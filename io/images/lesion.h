/* lesion.h: the volumes of one row of lesions.tsv, the slices that become images, and images back
 * into volumes. */
#ifndef PRLX_LESION_H
#define PRLX_LESION_H
#include "io/images/chi_units.h"
#include "io/images/cohort.h"
#include "io/images/finite.h"
#include "io/images/resample.h"
#include "io/images/window.h"
typedef enum { SLICES_LESION, SLICES_ALL, SLICES_CENTRAL, SLICES_RIM } SliceRule;

/* Volumes are [nz][ny][nx] on one grid, i fastest, and belong to the struct (lesion_free). */
typedef struct LesionVolumes {
  Grid grid;              /* axes nearest to right, anterior, superior */
  float *vol[CH_COUNT];   /* the values on disk (exactly); NULL when not asked for */
  double scale[CH_COUNT]; /* times this: chi in ppb, others 1 */
  float *mask;            /* > 0 inside the lesion; NULL: the table has none */
  double flair_median;    /* of its positive voxels; 0 without FLAIR */
} LesionVolumes;

/* Bytes of a warning of lesion_read. */
enum { LESION_WARNING = 600 };

/* Reads the volumes of row i for channels (bit mask 1 << Channel; chi always) and the lesion mask,
 * all turned so that their axes run nearest to right, anterior, superior. They must lie on the
 * voxels of chi, by sform or qform of either, or without codes by size. ST_IO, ST_FORMAT: a file
 * that cannot be read, a channel the row does not have, 4-D or other grids among them; ST_NUMERIC:
 * NaN or infinity where they are refused; ST_INVALID: chi in another unit than said (BIDS: ppm), a
 * volume without codes on another grid. The message names table, row and file. warning:
 * LESION_WARNING bytes, "" or what is odd. After an error v is empty. */
Status lesion_read(const Cohort *c, int i, unsigned channels, ChiUnits units, NanRule nan,
                   LesionVolumes *v, char *warning, Error *e);

/* Also of empty volumes. */
void lesion_free(LesionVolumes *v);

/* Rows from volumes instead of a table: subject and lesion from the names (sub-XX..., else the
 * whole name), mask: one for all, or NULL. Nobody has read them. Free with cohort_free. */
Status cohort_from_volumes(Cohort *c, int n, char *const *paths, const char *mask, Error *e);

/* Which slices: LESION those with mask voxels; ALL all where susceptibility varies (the padding of
 * a patch does not); CENTRAL the one with most mask voxels, without a mask the middle; RIM those
 * with at least half the rim (sum of the rim map, if it was read and is not empty, else voxels of
 * the mask) of the slice that has most of it: the caps of a lesion show no rim. z has room for
 * grid.dim[2] and gets their k, rising. Returns how many. */
int lesion_slices(const LesionVolumes *v, SliceRule rule, int *z);

/* What becomes -1 and 1 in slice z: limits [nch,2], in ppb for chi, from the windows w [CH_COUNT]
 * of the channels ch [nch]; these must have been read. */
void lesion_limits(const LesionVolumes *v, int z, const Channel *ch, int nch, const Window *w,
                   double *limits);

/* Slice z as network input: out [nch,ny,nx], limits as lesion_limits gave them. Not clipped. */
void lesion_image(const LesionVolumes *v, int z, const Channel *ch, int nch, const double *limits,
                  float *out);

/* The way back: n network values to what the file holds: chi in ppm, rim a probability within 0 and
 * 1, others as they were. limits: of this channel. img and out may be the same. */
void image_to_volume(const float *img, int64_t n, Channel ch, const double limits[2], float *out);

/* out (n bytes) = path of file as seen from folder dir; both must exist, else ST_IO. ST_INVALID: it
 * does not fit. */
Status path_relative(const char *dir, const char *file, char *out, size_t n, Error *e);
#endif
