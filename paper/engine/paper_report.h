/* paper_report.h: what `prlx paper report` gathers from the outputs of a run. Inside tools/paper*.c
 * only. */
#ifndef PRLX_PAPER_REPORT_H
#define PRLX_PAPER_REPORT_H
#include <math.h>
#include "io/formats/tsv.h"
#include "models/judge/evaluate.h"
#include "paper/engine/paper_impl.h"
#include "tools/view/chart.h"

enum { PAPER_TESTS = 2 }; /* the paper's 60 + 120, and the second one */

/* What a row of classifiers says about the lesions of a test, and how good that is. NAN: not
 * known. */
typedef struct PaperTest {
  int64_t n; /* lesions; 0: not tested on these */
  int64_t rims;
  int64_t groups;
  int64_t *group;
  int *truth;
  double *score; /* [runs][n] */
  double *mean;  /* [n] the ensemble */
  Crossed level[M_COUNT];
  Crossed none[M_COUNT]; /* this row minus that one, seeds and subjects paired */
  Crossed ambiguous[M_COUNT];
  double ensemble[M_COUNT];
} PaperTest;

typedef struct PaperRow {
  char id[40];
  char name[64];
  char step[48];
  const PaperAug *aug; /* NULL: a row of the sweep */
  int added;           /* lesions; -1: replaced */
  const char *missing; /* why there are no numbers; NULL: there are */
  int runs;
  double threshold;
  double count[4]; /* first test: tp, fp, tn, fn, mean over the runs */
  PaperTest test[PAPER_TESTS];
  int64_t only_here; /* right only in this row's ensemble, only in None's; first test */
  int64_t only_none;
  double p; /* McNemar of the two */
  double p_holm;
} PaperRow;
enum { PAPER_ROWS = PAPER_AUGS + PAPER_SWEEP, PAPER_POINTS = 160 };

typedef struct PaperFid {
  char set[400];
  char name[80];
  int64_t n;
  double fid;
  double lo;
  double hi;
  double inf;
  double kid;
  double kid_se;
  double precision;
  double recall;
  double nearest;
  double within;
  double between;
  double detail; /* told from the reference by texture, see models/judge/texture.h */
  double border;
  double both;
} PaperFid;
typedef struct FidFile {
  char network[200];
  char convention[200];
  char reference[400];
  int64_t n;
  PaperFid set[PAPER_POINTS];
  int sets;
} FidFile;

typedef struct PaperNumbers {
  PaperRun *r;
  Tsv published;
  bool has_published;
  PaperRow row[PAPER_ROWS];
  int rows;
  FidFile fid;
  FidFile kimg;
  Tsv reader;
  bool has_reader; /* scores of `prlx reader score` */
  /* before, after: mean, lower, upper */
  double cam_share[2][3];
  double cam_area;
  double cam_lesions;
} PaperNumbers;

/* missing outputs are no error: their numbers are marked so */
Status numbers_gather(PaperNumbers *q, Error *e);
void numbers_free(PaperNumbers *q);
const PaperRow *numbers_row(const PaperNumbers *q, const char *id); /* NULL: not there */

/* paper_rows.c: q->row, with predictions and differences. */
Status rows_gather(PaperNumbers *q, Error *e);
void rows_free(PaperNumbers *q);
bool row_in_group(const PaperRow *x, const char *group); /* that of the recipe, or "sweep" */

/* Published value as text and its note; "-" and "not in the paper". source: "Table 3" and such. */
const char *published(const PaperNumbers *q, const char *source, const char *row,
                      const char *column, const char **note);

/* NAN: not printed */
double published_number(const PaperNumbers *q, const char *source, const char *row,
                        const char *column);

/* Of a row of Table 3 or 4; text may be NULL. */
double published_metric(const PaperNumbers *q, const PaperRow *x, Metric m, const char **text);
/* Of Table 1: "real called rim" and such. */
const char *published_reading(const PaperNumbers *q, const char *what, const char **note);

/* OUT/tables/table1.tsv ... */
Status tables_write(const PaperNumbers *q, Error *e);

/* NULL: none */
const PaperFid *numbers_fid(const PaperNumbers *q, const PaperAug *a, bool with_real);

/* The training non-rims against the test rims: the positive control of Table 2; NULL: not there. */
const PaperFid *numbers_nonrim(const PaperNumbers *q);

/* Charts, also as SVG in OUT/figures; one without data has no panels. Free each. */
enum { CHART_FOREST, CHART_HELPS, CHART_SWEEP, CHART_FIGURE8, PAPER_CHARTS };

/* Fills all of them, with a chart for each kind. */
Status figures_charts(const PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e);

/* Figures 2, 6, 7, 9, 10 as PNG */
Status figures_pictures(const PaperNumbers *q, Error *e);
/* "0.812 (0.743 to 0.881)" and such, into b. */
const char *with_interval(char b[80], double v, double lo, double hi, int digits);
#endif
