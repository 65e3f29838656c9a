/* project_impl.h: parts of `prlx project`.
 *
 *   project.c          options, the run
 *   project_cohort.c   lesions.tsv in and out, NIfTI
 *   project_region.c   where the projection looks: disc or lesion masks
 *   project_history.c  what each step was: --trace, --frames
 *   project_out.c      files of the results
 *   project_sheet.c    pictures of the results */
#ifndef PRLX_PROJECT_IMPL_H
#define PRLX_PROJECT_IMPL_H
#include "io/formats/path.h"
#include "models/api/api.h"
#include "tools/cli/progress.h"
#include "tools/gan/project_cohort.h"

typedef enum { FOCUS_NONE, FOCUS_CENTRE, FOCUS_MASK } FocusKind;
typedef enum { RENDER_AUTO, RENDER_CONST, RENDER_OPTIMISED } RenderKind;
extern const char *const solver_name[]; /* by prlx_solver, prlx_space */
extern const char *const space_name[];
extern const char *const focus_name[]; /* by FocusKind */

typedef struct ProjectArgs {
  const char *network;
  const char *out;
  const char *vgg;
  const char *data;
  const char *exclude;
  const char *cohort; /* table with the masks of a data set's lesions */
  const char *bank;
  const char *trace;
  IntList range;
  int steps;
  int batch;
  int w_samples;
  int label;
  int vgg_channels;
  int frames;
  int slices;
  int units;
  int solver;
  int space; /* 0: the solver's own, else 1 + prlx_space */
  int start; /* 0: the solver's own, else 1 + prlx_start */
  int starts;
  int bank_size;
  int render;
  int focus;
  int betas;
  int pixel_steps;
  int patience;
  int tune;
  int64_t seed;
  int64_t memory;
  double lr;
  double w_noise;
  double noise_weight;
  double ramp_up;
  double ramp_down;
  double noise_ramp;
  double tolerance;
  double enough;
  double tune_lr;
  double focus_strength;
  double focus_radius; /* of the image's side */
  double focus_grow;   /* pixels */
  double edge;         /* of --in-place, pixels */
  bool in_place;
  bool profile;
  bool ambiguous;
  bool nifti;
  bool keep_tuned;
} ProjectArgs;

/* The steps of one lesion. */
typedef struct LesionHistory {
  prlx_project_trace *row; /* [rows]; without --trace only step and lpips */
  float *frame;            /* [frames,R*R] channel 0 */
  int *frame_step;         /* [frames] */
  int rows;
  int frames;
} LesionHistory;

typedef struct ProjectJob {
  ProjectArgs a;
  prlx_network *net;
  prlx_vgg *vgg;
  Dataset in;
  Backend *backend;
  prlx_projection *r;    /* NULL: nothing was finished */
  CohortTargets *cohort; /* NULL: targets are files */
  const char *table;     /* of the lesion masks, NULL: none */
  prlx_space space;
  prlx_start start;
  bool optimised; /* rendered with the optimised maps */
  float *region;  /* [n,R*R] NULL: none */
  float *weight;  /* [n,R*R] of the network's image in the result, with --in-place */
  float *placed;  /* [n,per] results of --in-place, NULL: the network's images are the results */
  int volumes;    /* lesions or NIfTI files written */
  /* images, side, channels, values per lesion */
  int64_t n;
  int64_t res;
  int64_t channels;
  int64_t per;
  int64_t done;      /* lesions finished (or stopped): the first so many */
  int64_t whole;     /* of them finished */
  bool cut;          /* an error ended the others before their last step */
  int64_t all_steps; /* of all lesions so far, for the progress */
  char (*name)[64];
  const char **names;    /* the same as pointers */
  char folder[PATH_LEN]; /* of tuned networks */
  double *mse;           /* [n] */
  double *dw;            /* [n] |w - mean| */
  LesionHistory *history;
  Progress bar;
  /* of a file that could not be written in a callback */
  Status failed;
  Error why;
} ProjectJob;

/* ---- project_region.c ---- */
/* Regions of all lesions into j->region, where there are any: the disc of --focus centre; the
 * lesion masks of the table, grown, for --focus mask, and for the numbers inside and outside also
 * without a focus, where every lesion has a usable mask. ST_INVALID: --focus mask or --in-place,
 * and a mask is missing, empty, or fills its patch. */
Status project_regions(ProjectJob *j, Error *e);

/* The result of lesion k of which the network drew `drawn`: that, or with --in-place what was
 * measured with the lesion redrawn. */
const float *project_result(ProjectJob *j, int64_t k, const float *drawn);

/* Results of the lesions from k on, [n - k,per], once the projection is done. */
const float *project_results(const ProjectJob *j, int64_t k);

/* ---- project_history.c ---- */
/* Notes a step, with its trace and picture where it has them. */
Status history_add(ProjectJob *j, const prlx_project_progress *p, Error *e);

/* NAME_steps.png (the kept pictures, bare) and NAME_strip.png (labelled, curves under them) of a
 * lesion that is finished; frees its pictures. */
Status history_pictures(ProjectJob *j, int64_t k, Error *e);
Status history_trace(const ProjectJob *j, Error *e); /* the file of --trace */
void history_free(ProjectJob *j);

/* ---- project_out.c ---- */
/* Everything but the pictures that are written as lesions finish. */
Status project_write(ProjectJob *j, Error *e);
void project_print(const ProjectJob *j); /* the table on standard output */

/* ---- project_sheet.c ---- */
/* DIR/NAME + TAIL.png, grey [h,w] of network values. */
Status project_png(const char *dir, const char *name, const char *tail, int w, int h,
                   const float *img, Error *e);
Status project_sheet(const ProjectJob *j, Error *e); /* sheet.png */
#endif
