/* paper_report.h: what `prlx paper report` gathers from the outputs of a run. Inside tools/paper*.c
 * only. */
#ifndef PRLX_PAPER_REPORT_H
#define PRLX_PAPER_REPORT_H
#include <math.h>
#include "io/formats/tsv.h"
#include "models/judge/evaluate.h"
#include "paper/engine/paper_impl.h"
#include "tools/view/chart.h"

/* One classifier. Differences are paired: same test lesions, same resamples of subjects. NAN: not
 * known. */
typedef struct Delta {
  double v;
  double lo;
  double hi;
} Delta;
typedef struct PaperRow {
  char id[40];
  char name[64];
  char step[48];
  const PaperAug *aug; /* NULL: a row of the sweep */
  /* 3, 4; lesions added, -1: replaced */
  int table;
  int added;
  const char *missing; /* why there are no numbers; NULL: there are */
  int runs;
  double m[M_COUNT];
  double sd[M_COUNT];
  double lo[M_COUNT];
  double hi[M_COUNT];
  double count[4]; /* tp, fp, tn, fn, mean over the runs */
  /* this minus that row */
  Delta none[M_COUNT];
  Delta ambiguous[M_COUNT];
  int64_t only_here;
  int64_t only_none;
  /* McNemar against None, mean over the runs */
  double p;
  double p_holm;
  /* predictions */
  int64_t n;
  int64_t groups;
  int64_t *group;
  int *truth;
  double *score; /* [runs][n] */
  double *mean;
} PaperRow;
enum { PAPER_ROWS = 32, PAPER_SETS = 40, PAPER_POINTS = 120 };

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

/* Published value as text and where it is from; "n/a" when it is not in our notes. */
const char *published(const PaperNumbers *q, const char *table, const char *row, const char *column,
                      const char **from);

/* NAN: not known */
double published_number(const PaperNumbers *q, const char *table, const char *row,
                        const char *column);
/* OUT/tables/table1.tsv ... */
Status tables_write(const PaperNumbers *q, Error *e);

/* NULL: none */
const PaperFid *numbers_fid(const PaperNumbers *q, const PaperAug *a, bool with_real);

/* Charts, also as SVG in OUT/figures; one without data has no panels. Free each. */
enum { CHART_FOREST, CHART_HELPS, CHART_SWEEP, CHART_FIGURE8, PAPER_CHARTS };

/* Fills all of them, with a chart for each kind. */
Status figures_charts(const PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e);

/* Figures 2, 6, 7, 9, 10 as PNG */
Status figures_pictures(const PaperNumbers *q, Error *e);
/* "0.812 (0.743 to 0.881)" and such, into b. */
const char *with_interval(char b[80], double v, double lo, double hi, int digits);
#endif
