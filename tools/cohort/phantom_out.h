/* phantom_out.h: files of `prlx phantom`: BIDS derivatives, tables, contact sheets. */
#ifndef PRLX_PHANTOM_OUT_H
#define PRLX_PHANTOM_OUT_H
#include "io/formats/tsv.h"
#include "io/images/bids.h"
#include "io/formats/path.h"
#include "models/phantom/phantom.h"
enum { SHEET_LESIONS = 48 }; /* per class */

/* One lesion of the cohort: l keeps its scalars after the volumes are written; slice: central slice
 * for the sheets, or NULL. */
typedef struct PhantomRow {
  uint64_t index; /* of the lesion: its random stream */
  int subject;
  int number;
  int session; /* 1, 2, ...; 0: the cohort has one visit, and names say nothing of it */
  int want;    /* of the first visit */
  double centre[3];
  PhantomLesion l;
  float *slice;
} PhantomRow;
typedef struct PhantomOut {
  const char *dir;       /* where files are written */
  const char *final;     /* the folder of the cohort */
  char beside[PATH_LEN]; /* where a new one is made beside an old one, or "" */
  int first;             /* number of the first subject */
  int subjects;
  int sessions;
  uint64_t seed;
  const PhantomOptions *opt;
  bool sheets;
  float *slices;
} PhantomOut;

/* Makes the folder. Over a cohort that is there (refused without `overwrite`) the new one is made
 * beside it and takes its place in out_end. lesions.tsv is written last, so that a folder with one
 * is complete; a folder whose cohort was being replaced when that run was killed is finished
 * first. */
Status out_begin(PhantomOut *o, const char *dir, int first, int subjects, uint64_t seed,
                 const PhantomOptions *opt, int sessions, bool sheets, bool overwrite, Error *e);

/* Which rows keep a slice for the sheets; ST_NOMEM. */
Status out_choose_sheets(PhantomOut *o, PhantomRow *rows, int n, Error *e);

/* Volumes (ppm on disk) and sidecar of one lesion; any thread. */
Status out_lesion(const PhantomOut *o, PhantomRow *row, Error *e);

/* Pictures of some lesions of each class: DIR/sheet_*.png. */
Status out_sheets(const PhantomOut *o, const PhantomRow *rows, int n, Error *e);

/* ---- phantom_tables.c ---- */
/* Name of one file of a lesion, without folder and ending. */
void out_name(const PhantomRow *row, PatchKind kind, char out[PATCH_NAME]);

/* dataset_description.json, README, participants.tsv, lesions.tsv with their descriptions; the
 * table of lesions comes last. */
Status out_tables(const PhantomOut *o, const PhantomRow *rows, int n, Error *e);

/* Frees what out_begin took. */
Status out_end(PhantomOut *o, bool whole, Error *e);

/* Cells of the columns of truth, and the row of column names of the slabs' table. */
void out_truth_cells(TsvWriter *t, const PhantomLesion *l);
void out_slab_header(TsvWriter *t);

/* The descriptions that a data set in dir needs: dataset_description.json, sidecars of tables. */
Status out_describe_slabs(const PhantomOut *o, const char *dir, Error *e);

/* ---- slabs ---- */
/* Under DIR/whole-brain, a data set of its own. */
Status out_slab_begin(const PhantomOut *o, TsvWriter *table, Error *e);
Status out_slab(const PhantomOut *o, TsvWriter *table, int number, const PhantomSlab *s, Error *e);
Status out_slab_end(const PhantomOut *o, TsvWriter *table, Error *e);

/* Cohen's kappa of the two readers. */
double out_kappa(const PhantomRow *rows, int n);
#endif
