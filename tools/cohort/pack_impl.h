/* pack.h: the stages of `prlx pack`: rows of tables -> split -> scan (slices, windows; everything
 * is read and checked) -> files, streamed. Only indices and windows of the slices stay in memory
 * (150 bytes per slice), never the images of the cohort. */
#ifndef PRLX_PACK_H
#define PRLX_PACK_H
#include "io/images/dataset.h"
#include "io/images/leak.h"
#include "io/images/lesion.h"
#include "io/images/split.h"
#include "tools/view/sheet.h"

enum { PACK_BATCH = 16, PACK_SHEET = 24 /* lesions per class and file on the sheet */ };
typedef struct PackItem {
  const Cohort *c;
  int row;     /* index into c->l */
  int subject; /* the patient, whatever the session; index into Pack.subject */
  int patient; /* the same, or with --distinct-ids the twin by name, from whom no split parts it */
  LesionClass cls;
  bool extra; /* see SplitItem */
  Part part;
  Grid grid;
  int64_t first;
  int nz; /* its slices in Pack.z */
  float *thumb;
  int thumb_z; /* central image for the sheet, or NULL */
} PackItem;
typedef struct Pack {
  Channel ch[CH_COUNT];
  int nch;
  Window window[CH_COUNT] /* by Channel */;
  unsigned mask;
  SliceRule slices;
  ChiUnits units;
  NanRule nan;
  bool allow_leak;
  float clip; /* values are limited to so many times the window; 0: not */
  bool labels; /* classes are known */
  int side;    /* pixels of an image */
  PackItem *it;
  int n;
  Name64 *subject;
  int nsubjects;
  int *z;
  double *limits /* [nslices][nch][2] */;
  ImageMark *mark; /* [nslices], of the susceptibility */
  int64_t nslices;
  int64_t cap;
  double voxel[3]; /* of the first lesion, mm */
  int warnings;
} Pack;

/* it, subject from the rows of the tables. ST_INVALID: one patient in two spellings (but for
 * distinct), a lesion twice, one map under two patients. */
Status pack_make_items(Pack *p, const Cohort *table, int ntables, bool distinct, Error *e);

/* No two lesions of the same files with different classes: ST_INVALID names both rows. */
Status pack_check_classes(const Pack *p, Error *e);

/* After pack_scan: no image under two patients; refuse false: only a note. */
Status pack_check_images(const Pack *p, bool refuse, Error *e);

/* Fills nz, first, grid, z, limits of every item that has a part. */
Status pack_scan(Pack *p, Error *e);

/* Writes the data set of one part; meta: nmeta entries that go into it. */
Status pack_write(const Pack *p, Part part, const char *path, const StMeta *meta, int nmeta,
                  Error *e);

/* Median limits over the slices of a part, into window[].lo, hi of those that have none of their
 * own. */
Status pack_typical_windows(Pack *p, Error *e);
Status pack_sheet(const Pack *p, const char *head, const char *path, const StMeta *meta, int nmeta,
                  Error *e);
int64_t pack_images(const Pack *p, Part part);
void pack_free(Pack *p);

/* "TABLE: row 7: lesion 02 of sub-001" */
const char *pack_where(const PackItem *it, char out[400]);
#endif
