/* crop.h: the stages of `prlx crop` and `prlx bids`. */
#ifndef PRLX_CROP_H
#define PRLX_CROP_H
#include "io/formats/nifti.h"
#include "io/images/bids.h"
#include "io/images/finite.h"
#include "io/images/lesion.h"
#include "tools/cli/undo.h"

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

/* Also of an empty one. */
void brain_free(Brain *b);

/* The lesion of this label, or NULL. */
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

/* The patch of lesion l; patch_free(p), also of an empty one. */
Status brain_patch(const Brain *b, const CropLesion *l, const CropRule *r, CropPatch *p, Error *e);
void patch_free(CropPatch *p);

/* ---- lesions.tsv with free columns (crop_table.c) ---- */

/* cell[row * MAX_COLUMNS + col], NULL = n/a. */
typedef struct Table {
  char **col;
  int ncol;
  char **cell;
  int nrow;
} Table;
enum { MAX_COLUMNS = 96 };

/* Adds the rows of a .tsv file, with its columns. */
Status table_add_tsv(Table *t, const char *path, Error *e);

/* One more row of n/a. */
Status table_new_row(Table *t, Error *e);

/* A cell of the last row; a new column where there is none of this name. */
Status table_set(Table *t, const char *col, const char *value, Error *e);

/* A cell, owned by t; "" where it is n/a. */
const char *table_get(const Table *t, int row, const char *col);

/* Writes it whole or not at all. */
Status table_save(const Table *t, const char *path, Error *e);

/* Also of an empty one. */
void table_free(Table *t);

/* ---- patches and rows of one run (crop_rows.c) ---- */
typedef struct CropWho {
  const char *subject;
  const char *scan; /* "ses-02_run-1" or "" */
} CropWho;
typedef struct CropJob {
  const char *out;
  CropRule rule;
  Table t;
  Tsv readers;
  MadeFiles made;
  int before; /* rows that were there */
  int done;
  int padded;
  int resampled;
  int unread;
  int unmatched;           /* lesions without a row in the readers' table */
  char unmatched_who[200]; /* the first of them */
  int dropped;
} CropJob;

/* Start with {.rule = ...}. Reads the readers' table (NULL: none) and the rows of OUT/lesions.tsv
 * that are there. */
Status crop_job_begin(CropJob *j, const char *out, const char *readers, Error *e);

/* The number of a lesion in a cell: "2", "02", "lesion-2", and "2.0" of a spreadsheet; false:
 * none. */
bool crop_number(const char *cell, long *number);

/* Files and row of one lesion. ST_INVALID: it is there already, its patient is there in another
 * spelling, or its files would replace those of another lesion. */
Status crop_job_lesion(CropJob *j, const Brain *b, const CropLesion *l, const CropWho *who,
                       const char *lesion, const char *where, Error *e);

/* All lesions of one volume, with their readers. */
Status crop_job_volume(CropJob *j, const char *const path[CH_COUNT], const char *labels,
                       const CropWho *who, Error *e);

/* Notes about a volume, to standard error. */
void crop_job_say(CropJob *j, const Brain *b, const char *where);

/* Descriptions, table, summary; tool: "prlx crop". */
Status crop_job_end(CropJob *j, const char *tool, Error *e);

/* remove: takes back what the run has written, and the folders that it made. */
void crop_job_free(CropJob *j, bool remove);
#endif
