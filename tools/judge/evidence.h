/* evidence.h: parts of `prlx evidence`.
 *
 *   folder of prlx project ── evidence_load.c ──> images, targets, w, truth (Evidence)
 *   training data ─────────── evidence_near.c ──> nearest neighbours by pixel and by LPIPS features
 *   later visits ──────────── evidence_later.c ─> what became of lesions that were disputed
 *   numbers per lesion ────── evidence_table.c ─> evidence.tsv, summary.tsv
 *                             evidence_crest.c ─> truth.tsv: against the true crest (phantom)
 *                             evidence_words.c ─> words
 *                             evidence_page.c ──> histogram.svg, sheet.png, evidence.html */
#ifndef PRLX_EVIDENCE_TOOL_H
#define PRLX_EVIDENCE_TOOL_H
#include "core/backend.h"
#include "io/images/dataset.h"
#include "io/images/lesion.h"
#include "models/gan/lpips.h"
#include "models/judge/evidence.h"
#include "tools/cli/opts.h"

/* Numbers per lesion, in the order of evidence.tsv. NAN: not known. */
typedef enum {
  EV_LPIPS,
  EV_MSE,
  EV_W,
  EV_RIM0,
  EV_RIM1,
  EV_PX,
  EV_PX_PPB,
  EV_PX_RATIO,
  EV_PX_GAP,
  EV_LP,
  EV_LP_RATIO,
  EV_LP_GAP,
  EV_EDGE0,
  EV_EDGE1,
  EV_CORE0,
  EV_CORE1,
  EV_SURROUND0,
  EV_SURROUND1,
  EV_DICE0,
  EV_DICE1,
  EV_CORR0,
  EV_CORR1,
  EV_CHANCE,
  EV_INSIDE,
  EV_OUTSIDE,
  EV_COUNT
} EvNumber;
typedef struct EvColumn {
  const char *name;
  const char *words;
} EvColumn;
extern const EvColumn ev_column[EV_COUNT];

typedef struct EvArgs {
  const char *synthetic;
  const char *train;
  const char *model;
  const char *cohort;
  const char *targets;
  const char *out;
  const char *vgg;
  const char *data;
  int units;
  int resamples;
  int typical;
  int limit;
  int images;
  double threshold;
  double level;
  bool perceptual;
} EvArgs;

typedef struct EvLesion {
  char name[64];
  char subject[64];
  char scan[64]; /* "ses-02", "" where the cohort has no scans */
  int64_t group;
  int slices;
  int cls;       /* readers: 0, 1, 2 = ambiguous, -1 */
  int64_t first; /* its first image */
  double v[EV_COUNT];
  Memory px;
  Memory lp;
  /* its image nearest to a training image; -1 */
  int64_t px_image;
  int64_t lp_image;
  int truth;           /* truth_rim: 0, 1; -1 unknown */
  int visits;          /* later ones of this lesion in the cohort */
  int later;           /* what both readers say at the first one at which they agree: 0, 1; -1 */
  char later_scan[64]; /* that visit */
  /* truth_* of the cohort, NAN unknown */
  double conspicuity;
  double rim_ppb;
} EvLesion;

/* Neighbours of n images among the training images: by pixel (RMS of the first channel, network
 * units), by LPIPS. q: [n] or NULL. */
typedef struct EvNear {
  Nearest *px;
  Nearest *lp;
  NearReference ref_px;
  NearReference ref_lp;
  int64_t own /* images whose lesion is itself among the training data */;
  int reference;
} EvNear;

typedef struct Evidence {
  EvArgs a;
  Backend *on; /* where the networks run and neighbours are looked for; NULL: the CPU */
  /* denoised (or synthetic) images; targets.images [n] or NULL; training data, train.images NULL:
   * none */
  Dataset d;
  Dataset target;
  Dataset train;
  int64_t n;
  int64_t *lesion; /* images; index into row */
  EvLesion *row;
  int64_t lesions;
  int64_t groups;
  double (*v)[EV_COUNT]; /* [n] per image */
  float *rim;            /* [n][h*w] true rim of the slice, NULL: none anywhere */
  bool has_map;
  bool has_truth;
  bool has_scans;  /* the images say which visit they are of */
  bool has_visits; /* the cohort knows later ones */
  bool in_ppb;
  int runs; /* classifiers */
  char target_from[600];
  char perceptual[96];
  char near_by[96];
  int64_t unfinished;
  /* projection stopped early */
  int steps;
  int asked;
  EvNear near;
} Evidence;

/* ---- evidence_load.c ---- */
/* Denoised images, w, distances, targets, table of lesions. */
Status evidence_open(Evidence *ev, const char *dir, Error *e);

/* --synthetic: a data set, limit > 0: so many of it, evenly spaced. */
Status evidence_open_images(Evidence *ev, const char *path, int limit, Error *e);

/* --cohort: masks, true rim, truth_* columns. */
Status evidence_truth(Evidence *ev, Error *e);

/* --model: rim scores by every classifier of the path. */
Status evidence_scores(Evidence *ev, Error *e);

/* The same without the scores: are they there, and do they take the images? */
Status evidence_scores_look(Evidence *ev, Error *e);

/* Values of the first channel at -1 and 1 in ppb; false: unknown scale. */
bool image_ppb(const Dataset *d, int64_t i, double limits[2]);

/* ---- evidence_later.c ---- */
/* r->visits, later, later_scan from the rows of the same patient and lesion at scans that come
 * after that of `own`, the lesion's row (bids_scan_order). */
void evidence_later_visits(Evidence *ev, const Cohort *c, const Lesion *own, EvLesion *r);

/* ---- evidence_near.c ---- */
/* Opens --train; what evidence_near needs is there and fits. */
Status evidence_near_look(Evidence *ev, Error *e);

/* Finds the neighbours of ev->d; ST_INTERRUPTED after Ctrl-C. */
Status evidence_near(Evidence *ev, Error *e);

/* Also of a zeroed one. */
void near_free(EvNear *near);

/* ---- evidence_table.c ---- */

/* Per image -> per lesion. */
Status evidence_gather(Evidence *ev, Error *e);

/* Writes evidence.tsv and summary.tsv. */
Status evidence_tables(const Evidence *ev, Error *e);

/* Number k of a lesion as the summary sees it: EvNumber, then changes, calls and flags; NAN: it has
 * none. */
double summary_value(const Evidence *ev, const EvLesion *r, int k);

/* ---- evidence_crest.c ---- */
/* Writes truth.tsv; for lesions whose true crest is known. */
Status evidence_crest(const Evidence *ev, Error *e);

/* subject_lesion_zNN or the name of a training image, in out. */
const char *ev_train_name(const Evidence *ev, int64_t image, char out[160]);

/* ---- evidence_words.c ---- */
/* What it says in words, line by line, into text (cut at n). */
Status evidence_words(const Evidence *ev, char *text, size_t n, Error *e);

/* ---- evidence_page.c ---- */

/* DIR/report.html. */
Status evidence_pages(const Evidence *ev, const char *words, Error *e);
#endif
