/* crop.h: the stages of `prlx crop`. */
#ifndef PRLX_CROP_H
#define PRLX_CROP_H
#include "io/formats/nifti.h"
#include "io/images/finite.h"
#include "io/images/lesion.h"

/* ---- one whole volume with its lesions (crop_volume.c) ---- */
typedef enum { MAP_AUTO, MAP_LABELS, MAP_COMPONENTS } MapKind;
typedef struct CropRule {
  int64_t dim[3];
  double voxel[3];
  MapKind map;
  int min_voxels;
  ChiUnits units;
  double to_ppm; /* what a stored value is times to be ppm */
  NanRule nan;
  bool regrid;
} CropRule;
typedef struct CropLesion {
  int id;
  int64_t voxels;
  double centre[3]; /* centroid, voxel index */
} CropLesion;
typedef struct Brain {
  Nifti vol[CH_COUNT];
  Grid grid[CH_COUNT];
  bool have[CH_COUNT];
  float *hole[CH_COUNT]; /* on the grid of the channel: 1 where it was NaN; NULL: nowhere */
  float *label;          /* on the grid of chi */
  CropLesion *lesion;
  int n;
  int dropped;
  bool components;
  char warning[2000]; /* what to tell, separated by "; " */
} Brain;

/* where: "" or "TABLE: row 7: ", put before messages. paths by Channel, NULL where absent. */
Status brain_read(Brain *b, const char *const path[CH_COUNT], const char *labels, const CropRule *r,
                  const char *where, Error *e);
void brain_free(Brain *b);
const CropLesion *brain_find(const Brain *b, int id);

/* Adds to what to tell: printf; and what a header's reader warned of. */
void brain_note(Brain *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void brain_note_header(Brain *b, const char *what, const NiftiHeader *h);

/* One 3-D volume of plausible voxels; NaN are left in. */
Status brain_read_volume(const char *path, const char *where, Nifti *v, Error *e);

/* b->label, b->lesion from the label map (crop_labels.c): masks and labels of any type, on the grid
 * of the map by sform or qform of either, with axes in any order, a part of it, or resampled. */
Status brain_read_labels(Brain *b, const char *path, const CropRule *r, const char *where,
                         Error *e);

/* Patches of one lesion: out[c] for the channels there are, mask; each dim voxels, caller frees
 * with mem_free. *padded: it leaves the volume. */
typedef struct CropPatch {
  Grid grid;
  float *vol[CH_COUNT];
  float *mask;
  bool exact;
  bool padded;
  int64_t holes[CH_COUNT];  /* voxels that NaN touched */
  bool uncovered[CH_COUNT]; /* the channel does not reach the middle of the lesion */
} CropPatch;
Status brain_patch(const Brain *b, const CropLesion *l, const CropRule *r, CropPatch *p, Error *e);
void patch_free(CropPatch *p);

/* ---- lesions.tsv with free columns (crop_table.c) ---- */
/* cell[row * MAX_COLUMNS + col], NULL = n/a */
typedef struct Table {
  char **col;
  int ncol;
  char **cell;
  int nrow;
} Table;
enum { MAX_COLUMNS = 96 };
Status table_add_tsv(Table *t, const char *path, Error *e);
Status table_new_row(Table *t, Error *e);

/* in the last row */
Status table_set(Table *t, const char *col, const char *value, Error *e);
const char *table_get(const Table *t, int row, const char *col); /* "" */
Status table_save(const Table *t, const char *path, Error *e);
void table_free(Table *t);
#endif
