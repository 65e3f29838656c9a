/* paper_report.h: what `prlx paper report` gathers from the outputs of a run. Inside tools/paper*.c only. */
#ifndef PRLX_PAPER_REPORT_H
#define PRLX_PAPER_REPORT_H
#include <math.h>
#include "io/formats/tsv.h"
#include "models/judge/evaluate.h"
#include "paper/engine/paper_impl.h"
#include "tools/view/chart.h"

/* One classifier. Differences are paired: same test lesions, same resamples of subjects. NAN: not known. */
typedef struct Delta { double v, lo, hi; } Delta;
typedef struct PaperRow {
  char id[40], name[64], step[48];
  const PaperAug *aug;                   /* NULL: a row of the sweep */
  int table, added;                      /* 3, 4; lesions added, -1: replaced */
  const char *missing;                   /* why there are no numbers; NULL: there are */
  int runs;
  double m[M_COUNT], sd[M_COUNT], lo[M_COUNT], hi[M_COUNT], count[4] /* tp, fp, tn, fn, mean over the runs */;
  Delta none[M_COUNT], ambiguous[M_COUNT];  /* this minus that row */
  int64_t only_here, only_none; double p, p_holm;   /* McNemar against None, mean over the runs */
  /* predictions */
  int64_t n, groups, *group; int *truth; double *score /* [runs][n] */, *mean;
} PaperRow;
enum { PAPER_ROWS = 32, PAPER_SETS = 40, PAPER_POINTS = 120 };

typedef struct PaperFid { char set[400], name[80]; int64_t n; double fid, lo, hi, inf, kid, kid_se, precision, recall, nearest, within, between; } PaperFid;
typedef struct FidFile { char network[200], convention[200], reference[400]; int64_t n; PaperFid set[PAPER_POINTS]; int sets; } FidFile;

typedef struct PaperNumbers {
  PaperRun *r;
  Tsv published; bool has_published;
  PaperRow row[PAPER_ROWS]; int rows;
  FidFile fid, kimg;
  Tsv reader; bool has_reader;           /* scores of `prlx reader score` */
  double cam_share[2][3], cam_area, cam_lesions;   /* before, after: mean, lower, upper */
} PaperNumbers;

Status numbers_gather(PaperNumbers *q, Error *e);       /* missing outputs are no error: their numbers are marked so */
void   numbers_free(PaperNumbers *q);
const PaperRow *numbers_row(const PaperNumbers *q, const char *id);    /* NULL: not there */
/* Published value as text and where it is from; "n/a" when it is not in our notes. */
const char *published(const PaperNumbers *q, const char *table, const char *row, const char *column, const char **from);
double published_number(const PaperNumbers *q, const char *table, const char *row, const char *column);   /* NAN: not known */
const Step *step_of(const PaperRun *r, const char *id);

Status tables_write(const PaperNumbers *q, Error *e);                  /* OUT/tables/table1.tsv ... */
const PaperFid *numbers_fid(const PaperNumbers *q, const PaperAug *a, bool with_real);   /* NULL: none */
/* Charts, also as SVG in OUT/figures; one without data has no panels. Free each. */
enum { CHART_FOREST, CHART_HELPS, CHART_SWEEP, CHART_FIGURE8, PAPER_CHARTS };
Status figures_charts(const PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e);
Status figures_pictures(const PaperNumbers *q, Error *e);              /* Figures 2, 6, 7, 9, 10 as PNG */
Status report_make(const PaperNumbers *q, Chart c[PAPER_CHARTS], Error *e);   /* OUT/report.html */

/* "0.812 (0.743 to 0.881)" and such, into b. */
const char *with_interval(char b[80], double v, double lo, double hi, int digits);
#endif
