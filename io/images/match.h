/* match.h: does one volume lie on the voxels of another? By sform or qform of either, with axes
 * in another order or turned, or as a part of it: then it is used voxel by voxel, without
 * resampling. */
#ifndef PRLX_MATCH_H
#define PRLX_MATCH_H
#include "io/formats/nifti.h"
#include "io/images/resample.h"

typedef enum MatchKind {
  MATCH_NONE,       /* another grid: only resampling helps */
  MATCH_SAME,       /* the same voxels; axes may be reordered and turned */
  MATCH_OTHER_FORM, /* the same voxels by the sform of one and the qform of the other */
  MATCH_NO_CODES,   /* one of them has no orientation codes; equal dims and voxel sizes */
  MATCH_PART        /* whole voxels of a box inside the map, or around it */
} MatchKind;

typedef struct Match {
  MatchKind kind;
  Grid
      grid; /* of the volume, in the frame of the map: grid_resample() then copies whole voxels; for
              * MATCH_NONE by the volume's own affine, mm */
  char note[240]; /* "" or what to tell: which form was used, which part is covered */
} Match;

/* How volume v lies on the voxels of map, whose grid is taken from map->affine. Up to 0.05 voxels
 * at any corner count as the same place. what: the volume's name in notes ("FLAIR", "labels").
 * ST_INVALID, with where before the message, if one of the two has no codes and they differ in
 * size: there is no way to tell where it lies. */
Status volume_match(const NiftiHeader *map, const NiftiHeader *v, const char *what,
                    const char *where, Match *m, Error *e);

/* Grid of the first three dimensions with the header's affine. */
Grid grid_of(const NiftiHeader *h);

/* The same voxels with axes reordered and turned so that they run nearest to right, anterior,
 * superior; a volume without codes stays as it is. grid_resample() from g copies whole voxels. */
Grid grid_canonical(const NiftiHeader *h);

/* One 3-D volume (4-D with one step is) with voxels of 0.02 to 20 mm, or ST_FORMAT: a voxel of 400
 * mm is a header with a wrong unit. where: "" or text before the message, which names path. */
Status volume_check(const NiftiHeader *h, const char *where, const char *path, Error *e);
#endif
