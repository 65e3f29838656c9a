/* projector_graph.c: the graph of Eq. 1 for a batch of lesions, its plan, and where its variables
 * live: the variables of all lesions (w, then the noise maps) lie in one flat block that the plan
 * reads in place, so one Adam serves them all. */
#include <stdio.h>
#include <string.h>
#include <math.h>
#include "models/gan/project_focus.h"
#include "models/gan/projector_impl.h"

/* ---- noise regulariser and normalisation ---- */

/* Why a pyramid: a shift by one pixel sees only neighbours, so an image in coarse structure, faint
 * at full size, would pass the first level; every halving brings structure of twice the size down
 * to neighbours, where it counts (docs/learn/3_terms.md shows it in numbers). */
Val g_noise_regularizer(Graph *g, Val noise) {
  Shape s = graph_shape(g, noise);
  if (s.rank != 4 || s.dim[1] != 1 || s.dim[2] != s.dim[3])
    return graph_fail(g, ST_INVALID, "noise regulariser: rank %d map; expected [N,1,r,r]", s.rank);
  const int64_t n = s.dim[0];
  Val total = 0;
  for (int64_t r = s.dim[2];; r /= 2) {
    for (int axis = 3; axis >= 2; axis--) {
      Val corr = g_mean(g, g_mul(g, noise, g_roll(g, noise, axis, 1)), 1u << 2 | 1u << 3);
      Val sq = g_square(g, corr);
      total = total ? g_add(g, total, sq) : sq;
    }
    if (r <= 8) break;
    noise = g_mean(g, g_reshape(g, noise, SHAPE5(n, r / 2, 2, r / 2, 2)), 1u << 2 | 1u << 4);
    noise = g_reshape(g, noise, SHAPE4(n, 1, r / 2, r / 2));
  }
  return g_reshape(g, total, SHAPE1(n));
}

/* Why after every step: the regulariser is a square of products of the map, so that a map shrunk to
 * nothing satisfies it, and one that grew would drown w; fixed mean and mean square leave it
 * nothing but its pattern. */
void noise_normalize(real *map, int64_t n) {
  double mean = 0, sq = 0;
  for (int64_t i = 0; i < n; i++) mean += (double)map[i];
  mean /= (double)n;
  for (int64_t i = 0; i < n; i++) {
    double d = (double)map[i] - mean;
    sq += d * d;
  }
  double k = sq > 0 ? 1.0 / sqrt(sq / (double)n) : 0.0;
  for (int64_t i = 0; i < n; i++) map[i] = (real)(((double)map[i] - mean) * k);
}

/* ---- on a backend ---- */

typedef struct Range {
  void *p;
  size_t bytes;
} Range;
enum { RANGES = 8 };
static void projector_ranges(const Projector *p, Range r[RANGES]) {
  size_t n = (size_t)p->nvars * sizeof(real);
  Range all[RANGES] = {{p->vars, n},
                       {p->grads, n},
                       {p->saved, n},
                       {p->adam.m, p->adam.m ? n : 0},
                       {p->adam.v, n},
                       {p->losses, (size_t)p->nlosses * sizeof(real)},
                       {p->G->params.data, (size_t)p->G->params.ntotal * sizeof(real)},
                       {p->vgg->params.data, (size_t)p->vgg->params.ntotal * sizeof(real)}};
  memcpy(r, all, sizeof all);
}

static Status ranges_share(Projector *p, Error *e) {
  Range r[RANGES];
  projector_ranges(p, r);
  for (; p->b && p->shared < RANGES; p->shared++)
    if (r[p->shared].bytes) TRY(backend_share(p->b, r[p->shared].p, r[p->shared].bytes, e));
  return ST_OK;
}

void projector_unshare(Projector *p) {
  Range r[RANGES];
  projector_ranges(p, r);
  for (int i = 0; i < p->shared; i++)
    if (r[i].bytes) backend_unshare(p->b, r[i].p);
}

/* The noise maps with zero mean and unit mean square, written where they were read: every map is
 * read completely before its one loop writes. */
static Status build_norm(Projector *p, Error *e) {
  Val x[MAX_NOISE], y[MAX_NOISE];
  int n = p->nseg - 1;
  Graph *g = p->norm_g = graph_new();
  if (!g) return err_set(e, ST_NOMEM, "projection: out of memory for a graph");
  for (int k = 0; k < n; k++) {
    int64_t r = p->G->noise_res[k];
    x[k] = g_input(g, p->G->noise_name[k], SHAPE4(p->batch, 1, r, r));
    Val d = g_sub(g, x[k], g_mean(g, x[k], 12));
    y[k] = g_mul(g, d, g_rsqrt0(g, g_mean(g, g_square(g, d), 12)));
  }
  TRY(graph_status(g, e));
  TRY(plan_new(g, n, y, &(PlanOptions){.backend = p->b}, &p->norm, e));
  for (int k = 0; k < n; k++) {
    TRY(plan_bind(p->norm, x[k], p->vars + p->seg[k + 1].at, e));
    TRY(plan_bind(p->norm, y[k], p->vars + p->seg[k + 1].at, e));
  }
  return ST_OK;
}

static void lay_out_variables(Projector *p) {
  const ProjectSpace space = p->o.space;
  p->nseg = 1 + p->G->num_noise;
  p->layers = space_is_wplus(space) ? p->G->num_ws : 1;
  for (int k = 0; k < p->nseg; k++) {
    int64_t r = k ? p->G->noise_res[k - 1] : 0;
    p->seg[k] = (Segment){.at = p->nvars, .n = k ? r * r : p->layers * p->G->cfg.w_dim};
    p->nvars += (p->batch * p->seg[k].n + 15) / 16 * 16; /* plan_bind wants 64-byte alignment */
  }
  p->free_first = space_has_w(space) ? 0 : 1;
  p->free_last = space_has_noise(space) ? p->nseg : 1;
}

/* The image for the variables. The maps are inputs even where they are held: what a lesion is
 * rendered with is then a matter of content. */
static void build_image(Projector *p) {
  Graph *g = p->g;
  const int64_t n = p->batch, wd = p->G->cfg.w_dim;
  const bool plus = space_is_wplus(p->o.space);
  p->w_noise = g_input(g, "w_noise", SHAPE2(n, wd));
  p->var[0] = g_input(g, "w", plus ? SHAPE3(n, p->layers, wd) : SHAPE2(n, wd));
  for (int k = 1; k < p->nseg; k++) {
    int64_t r = p->G->noise_res[k - 1];
    p->var[k] = g_input(g, p->G->noise_name[k - 1], SHAPE4(n, 1, r, r));
  }
  SynthOptions so = {.noise = NOISE_GIVEN, .noise_maps = p->var + 1, .frozen = true};
  Val ws = plus ? g_add(g, p->var[0], g_reshape(g, p->w_noise, SHAPE3(n, 1, wd)))
                : g_broadcast_ws(g, p->G, g_add(g, p->var[0], p->w_noise), 1.0, -1);
  p->img = g_synthesis(g, p->G, ws, &so, NULL);
}

/* [N] mean over the positions of a tap, weighted by w [N,1,h,w] of mean 1, added to `total`. */
static Val add_weighted(Graph *g, Val total, Val square, Val weight) {
  Val d = g_sum(g, g_mul(g, square, weight), 1u << 2 | 1u << 3);
  d = g_reshape(g, d, SHAPE1(graph_dim(g, d, 0)));
  return total ? g_add(g, total, d) : d;
}

void g_project_measure(Graph *g, const Vgg *v, Val img, const ProjectOptions *o,
                       ProjectMeasure *m) {
  const int64_t n = graph_dim(g, img, 0), res = graph_dim(g, img, 2), side = PRLX_MIN(res, 256);
  VggTaps taps;
  Val feat[VGG_TAPS];
  *m = (ProjectMeasure){0};
  g_vgg(g, v, g_vgg_input(g, img, o->vgg_channels), &taps);
  g_lpips_features(g, v, &taps, feat);
  for (int k = 0; k < VGG_TAPS; k++) {
    static const char *const name[VGG_TAPS] = {"target.relu1_2", "target.relu2_2", "target.relu3_3",
                                               "target.relu4_3", "target.relu5_3"};
    m->target[k] = g_input(g, name[k], lpips_feature_shape(n, side, side, k));
  }
  m->dist = g_lpips_layers(g, m->target, feat, m->tap);
  for (int k = 0; k < VGG_TAPS && o->regions; k++) {
    char in[32], out[32];
    const int64_t s = side >> k;
    snprintf(in, sizeof in, "region.inside%d", k);
    snprintf(out, sizeof out, "region.outside%d", k);
    m->region[0][k] = g_input(g, in, SHAPE4(n, 1, s, s));
    m->region[1][k] = g_input(g, out, SHAPE4(n, 1, s, s));
    Val sq = g_sum(g, g_square(g, g_sub(g, m->target[k], feat[k])), 1u << 1);
    for (int q = 0; q < 2; q++) m->part[q] = add_weighted(g, m->part[q], sq, m->region[q][k]);
  }
}

Val g_project_focus(Graph *g, const ProjectOptions *o, const ProjectMeasure *m) {
  if (!(o->focus > 0)) return m->dist;
  return g_add(g, g_axpb(g, m->dist, 1 - o->focus, 0), g_axpb(g, m->part[0], o->focus, 0));
}

void measure_put_region(Plan *p, const ProjectMeasure *m, int res, int i, const float *region) {
  const int side = PRLX_MIN(res, 256);
  for (int k = 0; k < VGG_TAPS; k++) {
    const int64_t s = side >> k;
    focus_tap(res, region, (int)s, plan_data(p, m->region[0][k]) + i * s * s,
              plan_data(p, m->region[1][k]) + i * s * s);
  }
}

static Status build_graph(Projector *p, Error *e) {
  Graph *g = p->g;
  build_image(p);
  g_project_measure(g, p->vgg, p->img, &p->o, &p->measure);
  for (int k = 1; k < p->free_last; k++) {
    Val r = p->map_reg[k - 1] = g_noise_regularizer(g, p->var[k]);
    p->reg = k == 1 ? r : g_add(g, p->reg, r);
  }
  p->loss = g_project_focus(g, &p->o, &p->measure);
  /* Lesions do not interact, so the gradient of the sum of losses is each lesion's own gradient. */
  if (p->reg) p->loss = g_add(g, p->loss, g_axpb(g, p->reg, p->o.regularize_noise_weight, 0.0));
  TRY(graph_status(g, e));
  const int first = p->free_first, count = p->free_last - first;
  return graph_grad(g, 1, &p->loss, NULL, count, p->var + first, p->grad + first, 0, NULL, e);
}

/* What a step gives: image, losses, gradients of what is free, and for a trace the parts. */
static int list_outputs(const Projector *p, Val *outs) {
  int n = 0;
  outs[n++] = p->img;
  outs[n++] = p->measure.dist;
  if (p->reg) outs[n++] = p->reg;
  if (p->loss != p->measure.dist) outs[n++] = p->loss;
  for (int k = p->free_first; k < p->free_last; k++) outs[n++] = p->grad[k];
  for (int k = 0; k < 2 && p->o.regions; k++) outs[n++] = p->measure.part[k];
  if (!p->o.trace) return n;
  for (int k = 0; k < VGG_TAPS; k++) outs[n++] = p->measure.tap[k];
  for (int k = 0; k < p->free_last - 1; k++) outs[n++] = p->map_reg[k];
  return n;
}

static Status build_plan(Projector *p, Error *e) {
  Val outs[5 + VGG_TAPS + 2 + 2 * MAX_NOISE];
  const int nouts = list_outputs(p, outs);
  PlanNeed need = {0};
  PlanOptions po = {.max_bytes = p->o.max_bytes, .backend = p->b, .memory = &need};
  Status s = plan_new(p->g, nouts, outs, &po, &p->plan, e);
  int fit = s == ST_NOMEM ? plan_batch_that_fits(&need, p->batch) : 0;
  if (fit > 0 && e)
    snprintf(e->msg + strlen(e->msg), sizeof e->msg - strlen(e->msg),
             "; %d of the %d lesions at once would fit", fit, p->batch);
  if (s != ST_OK) return s;
  Val lv[3] = {p->measure.dist, p->reg, p->loss};
  for (int k = 0; k < 3; k++)
    if (lv[k] && (k < 2 || p->loss != p->measure.dist))
      TRY(plan_bind(p->plan, lv[k], p->losses + k * (p->nlosses / 3), e));
  for (int k = 0; k < p->nseg; k++) TRY(plan_bind(p->plan, p->var[k], p->vars + p->seg[k].at, e));
  for (int k = p->free_first; k < p->free_last; k++)
    TRY(plan_bind(p->plan, p->grad[k], p->grads + p->seg[k].at, e));
  return ST_OK;
}

static Status alloc_variables(Projector *p, Error *e) {
  const size_t bytes = (size_t)p->nvars * sizeof(real), batch = (size_t)p->batch;
  p->vars = mem_alloc(bytes);
  p->grads = mem_alloc(bytes);
  p->saved = mem_alloc(bytes);
  p->w_avg = mem_alloc((size_t)p->G->cfg.w_dim * sizeof(real));
  p->rng = mem_alloc(batch * sizeof(Rng));
  p->w_draw = mem_alloc(batch * (size_t)p->G->cfg.w_dim * sizeof(real));
  p->out_dist = mem_alloc(3 * batch * sizeof(double));
  p->nlosses = 3 * (((int64_t)p->batch + 63) / 64 * 64);
  p->losses = mem_alloc((size_t)p->nlosses * sizeof(real));
  p->g = graph_new();
  if (!p->vars || !p->grads || !p->saved || !p->w_avg || !p->rng || !p->w_draw || !p->out_dist ||
      !p->losses || !p->g)
    return err_set(e, ST_NOMEM,
                   "projection: out of memory for the variables of %d lesions; lower the batch",
                   p->batch);
  p->out_reg = p->out_dist + batch;
  p->out_loss = p->out_reg + batch;
  return ST_OK;
}

Status projector_build(Projector *p, const WStats *ws, Error *e) {
  const ProjectOptions *o = &p->o;
  lay_out_variables(p);
  TRY(alloc_variables(p, e));
  graph_batch_invariant(p->g, true);
  graph_half_range(p->g, backend_is_half(p->b));
  memcpy(p->w_avg, ws->w_avg, (size_t)p->G->cfg.w_dim * sizeof(real));
  TRY(adam_init(&p->adam, p->nvars, o->initial_lr, o->adam_beta1, o->adam_beta2, o->adam_eps, e));
  TRY(ranges_share(p, e));
  TRY(build_graph(p, e));
  TRY(build_plan(p, e));
  return p->b && space_has_noise(p->o.space) ? build_norm(p, e) : ST_OK;
}
