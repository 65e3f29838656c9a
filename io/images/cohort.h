/* cohort.h: lesions.tsv, the table that ties lesions to volumes and readers' labels. One row per
 * lesion. Columns: subject, lesion (unique within the subject), chi (path of the Chimap patch or
 * volume, relative to the table), flair, rim (optional paths), mask (lesion mask, optional),
 * reader1, reader2 (0/1, n/a allowed only together), and, from the phantom only, truth_* columns.
 * Paper, section 3.1: rim = both readers, ambiguous = exactly one, non-rim = none. */
#ifndef PRLX_COHORT_H
#define PRLX_COHORT_H
#include "io/formats/tsv.h"
typedef enum { CLASS_NONRIM = 0, CLASS_RIM = 1, CLASS_AMBIGUOUS = 2, CLASS_UNREAD = 3 } LesionClass;
typedef struct Lesion {
  int row; /* for tsv_get; messages say row + 2 */
  const char *subject;
  const char *lesion;
  /* resolved paths or NULL */
  char *chi;
  char *flair;
  char *rim;
  char *mask;
  /* 0, 1; -1 for n/a */
  int reader1;
  int reader2;
  LesionClass cls;
} Lesion;
typedef struct Cohort {
  Tsv table;
  Lesion *lesion;
  int n;
  char *dir; /* of the table, without a slash at the end; "." for none */
} Cohort;

/* Checks columns, readers' values, duplicates, and that every file exists: the error names file,
 * row, mend. */
Status cohort_open(Cohort *c, const char *path, Error *e);
void cohort_free(Cohort *c);

/* Cohen's kappa of the two readers over rows with both labels, with counts a = both, b = only
 * reader 1, c = only reader 2, d = none. (p_o - p_e) / (1 - p_e), Cohen 1960; NaN when there is no
 * such row or the readers could not have disagreed (p_e = 1). */
double cohort_kappa(const Cohort *c, int64_t counts[4]);
const char *lesion_class_name(LesionClass c); /* "non-rim", "rim", "ambiguous", "unread" */
#endif
