/* project_run.h: any number of lesions through a projector, with either solver.
 *
 * REFERENCE: batches of equal length. FAST: every place of the batch holds a lesion that goes its
 * own way: pixel search from each start (project_pixel.h), the start that VGG finds closest, L-BFGS
 * on the loss of Eq. 1 until it stands still, one evaluation for the final image; then the next
 * lesion takes the place, and where none is left the batch shrinks. A lesion's result is the same,
 * bit for bit, whatever the batch, the threads, and the other lesions. */
#ifndef PRLX_PROJECT_RUN_H
#define PRLX_PROJECT_RUN_H
#include "models/gan/project_tune.h"

/* What happened to a lesion; everything is valid during the call only. */
typedef struct ProjectNews {
  const Projector *projector; /* lesion -1: it has just been built */
  int64_t lesion;
  int step; /* steps made; finished: the last one's */
  bool finished;
  double dist;               /* of the step; finished: of the final image */
  const real *image;         /* [C,R,R] every frames-th step and when finished, else NULL */
  const ProjectTrace *trace; /* of the step, with options.trace; else NULL */
} ProjectNews;

typedef struct ProjectTask {
  const Generator *G;
  const Vgg *vgg;
  const WStats *ws;
  ProjectOptions options;
  int batch; /* at most so many at a time */
  int64_t n;
  const real *targets;  /* [n,C,R,R] network units */
  const float *regions; /* [n,R,R] with o.regions, else NULL */
  const real *starts;   /* [n,nstarts,w_dim]; NULL: the mean. REFERENCE takes the first */
  int nstarts;
  const uint64_t *ids; /* [n] random streams; NULL: 0 for each, as if it were alone */
  TuneOptions tune;    /* steps > 0: the network is tuned to each lesion afterwards */
  /* What to do with the network tuned to lesion k; may be NULL. */
  Status (*keep)(void *context, int64_t k, const Generator *tuned, Error *e);
  bool optimised; /* rendered with the optimised maps, not the network's own */
  int frames;     /* 0; k: news brings the image of every k-th step */
  FILE *profile;  /* NULL; table of times of a step */
  bool (*tell)(void *context, const ProjectNews *news); /* false: stop. May be NULL */
  void *context;
} ProjectTask;

/* One row per lesion. */
typedef struct ProjectResults {
  int64_t n;
  int64_t per;        /* values of an image */
  int64_t w_size;     /* of w: w_dim, in W+ num_ws * w_dim */
  int64_t noise_size; /* of all maps together; 0: they were held */
  real *images;       /* [n,per] */
  real *w;            /* [n,w_size] */
  real *noise;        /* [n,noise_size] the optimised maps, one after the other */
  double *lpips;      /* [n] of the image, over the whole patch */
  double *inside;     /* [n] in the region and outside it; NAN without regions */
  double *outside;
  double *seconds; /* [n] its share of the time of each round */
  int *steps;      /* [n] steps (FAST: evaluations) until the result */
  bool *there;     /* [n] finished, or rendered as it stood at a stop */
} ProjectResults;

/* Runs the task. *out, to be freed with project_results_free, is there even on failure and then
 * holds what was finished (NULL: nothing could be allocated). ST_INTERRUPTED: tell said stop; what
 * was under way is rendered as it stood. ST_NUMERIC, ST_NOMEM, ST_INVALID as projector_new and
 * projector_step. */
Status project_run(const ProjectTask *t, ProjectResults **out, Error *e);
void project_results_free(ProjectResults *r);
#endif
