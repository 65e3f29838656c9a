/* projector_impl.h: what the parts of the projector share.
 *
 *   projector_options.c   settings, schedules
 *   projector_stats.c     mean and deviation of W
 *   projector_graph.c     variables, graph, plan, backend
 *   projector.c           start, step, render
 *   projector_trace.c     parts of a step */
#ifndef PRLX_PROJECTOR_IMPL_H
#define PRLX_PROJECTOR_IMPL_H
#include "core/flat.h"
#include "core/optim.h"
#include "core/rng.h"
#include "models/gan/projector.h"

/* Part of the flat variables; n = elements per lesion. */
typedef struct Segment {
  int64_t at;
  int64_t n;
} Segment;
/* The distance of an image [N,C,R,R] to a target, as values of a graph. */
typedef struct ProjectMeasure {
  Val target[VGG_TAPS];    /* inputs: scaled features of the target */
  Val region[2][VGG_TAPS]; /* inputs [N,1,h,w]: weights inside and outside; with regions only */
  Val dist;                /* [N] LPIPS */
  Val tap[VGG_TAPS];       /* [N] its part per tap */
  Val part[2];             /* [N] LPIPS inside and outside; with regions only */
} ProjectMeasure;

/* The distance of img [N,C,R,R] to targets that are inputs of the plan, as LPIPS (o.focus: also
 * inside and outside a region), into *m; sticky error in g. */
void g_project_measure(Graph *g, const Vgg *v, Val img, const ProjectOptions *o, ProjectMeasure *m);

/* Distance that is minimised: dist, or its mixture with the part inside (o.focus). */
Val g_project_focus(Graph *g, const ProjectOptions *o, const ProjectMeasure *m);

/* Region [res,res] as weights of place i of the plan's inputs. */
void measure_put_region(Plan *p, const ProjectMeasure *m, int res, int i, const float *region);

struct Projector {
  const Generator *G;
  const Vgg *vgg;
  ProjectOptions o;
  int batch;
  Graph *g;
  Plan *plan;
  Val w_noise;
  ProjectMeasure measure;
  Val img;
  Val reg;
  Val loss;
  Val var[1 + MAX_NOISE];
  Val grad[1 + MAX_NOISE];
  Segment seg[1 + MAX_NOISE];
  int nseg;       /* segment 0 is w, segment 1+k is noise map k */
  int free_first; /* segments that are searched; the others stay as they are */
  int free_last;
  int layers;             /* of w: 1, or num_ws in W+ */
  Val map_reg[MAX_NOISE]; /* [N] regulariser per map */
  int64_t nvars;
  /* [nvars] each */
  real *vars;
  real *grads;
  real *saved;
  /* NULL: CPU. Else the four ranges and losses have mirrors there */
  Backend *b;
  /* backend: noise_normalize of all maps in place */
  Graph *norm_g;
  Plan *norm;
  /* backend: variables and gradients are newer there */
  bool ahead;
  /* distance, regulariser, loss: [batch] each, apart by loss_at */
  real *losses;
  int64_t nlosses;
  real *w_avg;
  double w_std;
  Adam adam;
  Rng *rng; /* [batch] */
  /* normals of the step to come [batch,w_dim], if drawn; rng is behind them then */
  real *w_draw;
  bool drawn;
  const real *given_w_noise;
  /* [batch] */
  double *out_dist;
  double *out_reg;
  double *out_loss;
  int step;
  int shared;
  bool started;
};

/* Variables, graph, plan and memory of a projector whose options and batch are set; on failure
 * projector_free takes what there is. */
Status projector_build(Projector *p, const WStats *ws, Error *e);
void projector_unshare(Projector *p);

/* The network's own noise map k [res,res]; NULL: it has none (e says so). */
const real *projector_noise_const(const Projector *p, int k, Error *e);

/* w [w_dim] of lesion i, for every layer; the host's copy only. */
void projector_put_w(Projector *p, int i, const real *w);

/* Sends the host's variables to the device, where there is one. */
Status projector_push(Projector *p, Error *e);

/* Distances, regularisers and losses of a run into out_*. */
Status projector_pull_losses(Projector *p, Error *e);

/* |w - mean| / w_std of one lesion's w. */
double projector_w_distance(const Projector *p, const real *w);

/* The parts of a trace that the last run of the plan gives. */
Status projector_trace_parts(Projector *p, int i, ProjectTrace *t, Error *e);
#endif
