/* export_cohort.h: parts of `prlx export-cohort`: cases, their folds (export_cohort.c), and the
 * files that other packages read (export_formats.c). */
#ifndef PRLX_EXPORT_COHORT_H
#define PRLX_EXPORT_COHORT_H
#include "io/images/lesion.h"
#include "tools/cli/undo.h"

typedef enum { EXPORT_NNUNET, EXPORT_MONAI, EXPORT_TORCHIO } ExportFormat;
enum { EXPORT_FOLDS = 5 };

/* One lesion at one visit. */
typedef struct ExportCase {
  const Cohort *c;
  int row;        /* index into c->lesion */
  char name[100]; /* sub-01_ses-02_lesion-03, letters, digits, - and _ only */
  int patient;
  bool test;
  int fold;   /* of its patient, 0 to folds - 1 */
  bool extra; /* made by a network: training only, never validation or test */
} ExportCase;

typedef struct ExportJob {
  const char *out;
  ExportFormat format;
  const char *dataset; /* name without number: "Lesions" */
  int number;          /* nnU-Net: Dataset123_Lesions */
  Channel ch[CH_COUNT];
  int nch;
  bool rim;         /* label 2 */
  double threshold; /* of the rim probability */
  ChiUnits units;
  ExportCase *it;
  int n;
  int patients;
  int folds; /* EXPORT_FOLDS, or as many as there are patients to train with */
  MadeFiles made;
} ExportJob;

/* "" or the folder of the data below OUT ("Dataset123_Lesions"), and where volume k of a case goes,
 * relative to it: channels in the order of j->ch, then the label map (k = nch), then (torchio only)
 * nothing more. */
void export_root(const ExportJob *j, char out[120]);
void export_file(const ExportJob *j, const ExportCase *x, int k, char out[200]);

/* dataset.json, splits, table of cases, README. */
Status export_describe(ExportJob *j, Error *e);

/* The file of it that comes last, relative to OUT. */
void export_last(const ExportJob *j, char out[160]);
#endif
