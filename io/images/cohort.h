/* cohort.h: lesions.tsv, the table that ties lesions to volumes and readers' labels. One row per
 * lesion and visit. Columns: subject, lesion (unique within the scan; the same name at another
 * visit is the same lesion), session, acq, rec, run (optional: the scan, as in BIDS names), chi
 * (path of the Chimap patch or volume, relative to the table), flair, rim (optional paths), mask
 * (lesion mask, optional), reader1, reader2 (0/1, n/a allowed only together), and, from the
 * phantom only, truth_* columns. Further readers (reader3, rater_b, consensus) are not looked at:
 * cohort_more_readers. A subject such as sub-01_ses-02 is the patient sub-01 at session
 * 02. Paper, section 3.1: rim = both readers, ambiguous = exactly one, non-rim = none. */
#ifndef PRLX_COHORT_H
#define PRLX_COHORT_H
#include "io/formats/tsv.h"
#include "io/images/bids.h"
typedef enum { CLASS_NONRIM = 0, CLASS_RIM = 1, CLASS_AMBIGUOUS = 2, CLASS_UNREAD = 3 } LesionClass;
typedef struct Lesion {
  int row;  /* of the table, for tsv_get */
  int line; /* the same for messages: as a spreadsheet counts, see tsv_line */
  /* names, in the table's text */
  const char *subject; /* the patient, without entities of the scan */
  const char *lesion;
  const char *patient;  /* key that the spellings of one patient share, see bids_patient_key */
  char scan[BIDS_SCAN]; /* "ses-02_run-1"; "" for the only one */
  /* files, resolved against the folder of the table and there when it was read; NULL: n/a or no
   * such column. Owned by the cohort */
  char *chi; /* never NULL */
  char *flair;
  char *rim;
  char *mask;
  /* 1 rim, 0 no rim, -1 n/a */
  int reader1;
  int reader2;
  LesionClass cls;
} Lesion;
typedef struct Cohort {
  Tsv table;
  Lesion *lesion; /* [n], in the order of the rows */
  int n;
  char (*patient)[2 * BIDS_LABEL]; /* keys of the rows */
  char *dir;                       /* of the table, without a slash at the end; "." for none */
} Cohort;

/* Reads the table and checks columns, readers' values, duplicates (subject, scan, lesion), that a
 * patient is written in one way only, and that every file exists.
 * ST_IO: the table or a file of it cannot be read; ST_FORMAT: anything else. The message names
 * table, row and mend. Free with cohort_free; after an error c is empty. */
Status cohort_open(Cohort *c, const char *path, Error *e);

/* The same; distinct: two spellings of one patient are taken as two (the option --distinct-ids).
 * They still share Lesion.patient, by which data sets know a patient: no split may part them. */
Status cohort_open_ids(Cohort *c, const char *path, bool distinct, Error *e);

/* Columns of readers beside reader1 and reader2 in which somebody wrote something: reader3,
 * rater_b, consensus, adjudicated. How many, and their names, "reader3, consensus"; 0: none. The
 * class of a lesion does not know of them, which whoever has three readers must be told. */
int cohort_more_readers(const Tsv *t, char names[200]);

/* How many spellings more than patients there are in n tables; a sentence about the first two for a
 * note to the user. 0 where memory is short. */
int cohort_twins(const Cohort *c, int n, char text[400]);

/* Also of an empty cohort. */
void cohort_free(Cohort *c);

/* Cohen's kappa of the two readers over rows with both labels: (p_o - p_e) / (1 - p_e), Cohen
 * 1960; NaN when there is no such row or the readers could not have disagreed (p_e = 1). counts
 * (or NULL): rows called a rim by both, by reader 1 only, by reader 2 only, by none. */
double cohort_kappa(const Cohort *c, int64_t counts[4]);

/* "non-rim", "rim", "ambiguous", "unread"; "unknown" for any other value. Never NULL. */
const char *lesion_class_name(LesionClass c);

/* No two patients of n cohorts have names that differ in punctuation only ("P-01" and "P01"; "1-11"
 * and "11-1"): they may be one, and stand on both sides of a split. ST_INVALID names both rows, and
 * the option --distinct-ids of the commands that split. */
Status cohort_check_ids(const Cohort *c, int n, Error *e);

/* No column is a known one but for case, blanks, - and _ ("Provenance", "reader_1"): it would be
 * taken for one of the user's own and left out without a word. ST_FORMAT names it. */
Status cohort_check_columns(const Tsv *t, Error *e);

/* The row of this lesion, or -1. scan: "" where the cohort has no scans. */
int cohort_find(const Cohort *c, const char *subject, const char *scan, const char *lesion);

/* The row's lesion was made by a network: the column provenance says other than original. */
bool cohort_made(const Cohort *c, int row);

/* "sub-01_ses-02_lesion-03": unique in the cohort. Returns the length as snprintf does. */
int lesion_title(const Lesion *l, char *out, size_t n);
#endif
