/* resample.h: volumes on voxel grids: which way the axes run, resampling through two affines,
 * connected components. A volume is [nz][ny][nx], i fastest, as in io/formats/nifti.h; an affine
 * takes voxel indices (i,j,k) to mm. */
#ifndef PRLX_RESAMPLE_H
#define PRLX_RESAMPLE_H
#include "core/base.h"
typedef struct Grid {
  int64_t dim[3];    /* voxels along i, j, k; at least 1 each */
  double affine[16]; /* voxel index -> mm (RAS), row-major 4x4, last row 0 0 0 1 */
} Grid;
typedef enum { INTERP_NEAREST, INTERP_LINEAR, INTERP_CUBIC /* Catmull-Rom, Keys 1981 */ } Interp;

/* Product of the three sizes. */
int64_t grid_voxels(const Grid *g);

/* mm = affine (i,j,k); indices may be fractional. */
void grid_mm(const Grid *g, const double ijk[3], double mm[3]);

/* Length of a step along i, j, k, in mm. */
void grid_voxel_size(const Grid *g, double mm[3]);

/* Largest distance in mm between the corners of two grids; infinity when their sizes differ. */
double grid_distance(const Grid *a, const Grid *b);

/* axis[r]: the axis of g that runs nearest to right, anterior, superior (r = 0, 1, 2), sign[r] its
 * sense, -1 or 1. The assignment with the largest sum of cosines. */
void grid_nearest_axes(const Grid *g, int axis[3], int sign[3]);

/* Makes sheared axes orthogonal with the least change, the middle of the grid stays. An orthogonal
 * grid (up to 1e-5) keeps its bits. */
void grid_straighten(Grid *g);

/* Patch of dim voxels around the point centre (indices into src, may be fractional). Its axes
 * are those of src, reordered and turned so that they run nearest to right, anterior, superior;
 * oblique directions stay as they are. Where the voxel sizes of src are within 0.5 % of voxel[3]
 * (mm, along right, anterior, superior), the patch takes whole voxels of src and *exact is true;
 * otherwise its voxels are exactly voxel[3] and its middle is the centre. Sheared axes: whole
 * voxels where no corner is off right angles by more than a tenth of a voxel (grid_straighten
 * the patch after copying), otherwise the patch has orthogonal axes and is resampled.
 * ST_NUMERIC: singular affine. */
Status grid_patch(const Grid *src, const double centre[3], const int64_t dim[3],
                  const double voxel[3], Grid *patch, bool *exact, Error *e);

/* dst on grid dg from src on grid sg. Outside src (beyond the outer faces of its voxels): pad.
 * Voxels of dg that are larger than those of src are averages over several points, so that nothing
 * folds over. Grids that coincide up to whole voxels are copied bit for bit. ST_NUMERIC: sg's
 * affine is singular. */
Status grid_resample(const float *src, const Grid *sg, float *dst, const Grid *dg, Interp how,
                     float pad, Error *e);

/* 26-connected components of v > 0, v [dim[2]][dim[1]][dim[0]]: label[i] = 0 or 1..*n, numbered by
 * their first voxel. */
Status grid_components(const float *v, const int64_t dim[3], int32_t *label, int32_t *n, Error *e);
#endif
