/* project_start.c: see project_start.h. */
#include "models/gan/project_start.h"
#include <math.h>
#include <string.h>
#include "core/backend.h"

/* side of a look, images at a time */
enum { LOOK_SIDE = 16, LOOK_BATCH = 32, BANK_SEED = 123 };

/* [N,C,R,R] in network units -> [N,C',s,s], s = 16 or the side of a smaller image. */
static Val look_of(Graph *g, Val img, VggChannels pick) {
  Val x = g_axpb(g, g_vgg_input(g, img, pick), 1 / 127.5, -1);
  const int box = (int)(graph_dim(g, x, 3) / LOOK_SIDE);
  return box > 1 ? g_avgpool(g, x, box, box, 0) : x;
}

typedef struct LookPlan {
  Graph *g;
  Plan *plan;
  Val in; /* w [LOOK_BATCH,w_dim], or images */
  Val look;
  int64_t size; /* values of a look */
} LookPlan;

static void look_free(LookPlan *l) {
  plan_free(l->plan);
  graph_free(l->g);
}

/* G NULL: looks of images that are given. */
static Status look_new(LookPlan *l, Backend *on, const Generator *G, const GenConfig *c,
                       VggChannels pick, Error *e) {
  *l = (LookPlan){.g = graph_new()};
  if (!l->g) return err_set(e, ST_NOMEM, "starts: out of memory for the graph");
  graph_half_range(l->g, backend_is_half(on));
  const int64_t n = LOOK_BATCH, r = c->img_resolution;
  Val img;
  if (G) {
    const SynthOptions so = {.noise = NOISE_CONST, .frozen = true};
    l->in = g_input(l->g, "w", SHAPE2(n, c->w_dim));
    img = g_synthesis(l->g, G, g_broadcast_ws(l->g, G, l->in, 1.0, -1), &so, NULL);
  } else
    img = l->in = g_input(l->g, "image", SHAPE4(n, c->img_channels, r, r));
  l->look = look_of(l->g, img, pick);
  l->size = shape_numel(graph_shape(l->g, l->look)) / n;
  Status s = graph_status(l->g, e);
  if (s != ST_OK) goto done;
  s = plan_new(l->g, 1, &l->look, &(PlanOptions){.backend = on}, &l->plan, e);
done:
  if (s != ST_OK) look_free(l);
  return s;
}

/* in [n,each] -> look [n,size] */
static Status look_run(LookPlan *l, int64_t n, const real *in, real *look, Error *e) {
  const int64_t each = shape_numel(graph_shape(l->g, l->in)) / LOOK_BATCH;
  for (int64_t at = 0; at < n; at += LOOK_BATCH) {
    const int64_t m = PRLX_MIN(n - at, (int64_t)LOOK_BATCH);
    memcpy(plan_data(l->plan, l->in), in + at * each, (size_t)(m * each) * sizeof *in);
    TRY(plan_run(l->plan, e));
    const real *y;
    TRY(plan_read(l->plan, l->look, &y, e));
    memcpy(look + at * l->size, y, (size_t)(m * l->size) * sizeof *look);
  }
  return ST_OK;
}

void start_bank_free(StartBank *b) {
  mem_free(b->w);
  mem_free(b->look);
  *b = (StartBank){0};
}

Status start_bank_new(Backend *on, const Generator *G, const real *cond, int n, VggChannels pick,
                      StartBank *out, Error *e) {
  LookPlan l;
  *out = (StartBank){0};
  if (n < 1) return err_set(e, ST_INVALID, "starts: a bank of %d; expected at least 1", n);
  TRY(look_new(&l, on, G, &G->cfg, pick, e));
  StartBank b = {.n = n, .w_dim = G->cfg.w_dim, .look_size = (int)l.size};
  b.w = mem_alloc((size_t)n * (size_t)b.w_dim * sizeof *b.w);
  b.look = mem_alloc((size_t)n * (size_t)l.size * sizeof *b.look);
  Status s =
      b.w && b.look ? ST_OK : err_set(e, ST_NOMEM, "starts: out of memory for a bank of %d", n);
  if (s != ST_OK) goto done;
  s = project_w_samples(G, cond, n, BANK_SEED, b.w, e);
  if (s != ST_OK) goto done;
  s = look_run(&l, n, b.w, b.look, e);
done:
  look_free(&l);
  if (s == ST_OK)
    *out = b;
  else
    start_bank_free(&b);
  return s;
}

/* The k rows of the bank closest to a look, kept in order while going through it. */
static void find_nearest(const StartBank *b, const real *look, int k, double *best, int64_t *row) {
  int have = 0;
  for (int64_t i = 0; i < b->n; i++) {
    double d = 0;
    for (int q = 0; q < b->look_size; q++) {
      const double x = (double)b->look[i * b->look_size + q] - (double)look[q];
      d += x * x;
    }
    int at = have;
    for (; at > 0 && best[at - 1] > d; at--)
      if (at < k) {
        best[at] = best[at - 1];
        row[at] = row[at - 1];
      }
    if (at >= k) continue;
    best[at] = d;
    row[at] = i;
    have = PRLX_MIN(have + 1, k);
  }
}

Status start_nearest(Backend *on, const StartBank *b, const GenConfig *c, int64_t n,
                     const real *targets, VggChannels pick, int k, real *w, Error *e) {
  LookPlan l;
  if (k < 1 || k > b->n)
    return err_set(e, ST_INVALID, "starts: %d nearest of a bank of %lld; expected 1 to that", k,
                   (long long)b->n);
  TRY(look_new(&l, on, NULL, c, pick, e));
  real *look = mem_alloc((size_t)(n * l.size) * sizeof *look);
  double *best = mem_alloc((size_t)k * sizeof *best);
  int64_t *row = mem_alloc((size_t)k * sizeof *row);
  Status s = look && best && row ? ST_OK : err_set(e, ST_NOMEM, "starts: out of memory");
  if (s != ST_OK) goto done;
  if (l.size != b->look_size || c->w_dim != b->w_dim) {
    s = err_set(e, ST_INVALID,
                "starts: the bank has looks of %d values and w of %d; expected %lld and %d",
                b->look_size, b->w_dim, (long long)l.size, c->w_dim);
    goto done;
  }
  s = look_run(&l, n, targets, look, e);
  if (s != ST_OK) goto done;
  for (int64_t i = 0; i < n; i++) {
    find_nearest(b, look + i * l.size, k, best, row);
    for (int q = 0; q < k; q++)
      memcpy(w + (i * k + q) * b->w_dim, b->w + row[q] * b->w_dim, (size_t)b->w_dim * sizeof *w);
  }
done:
  mem_free(look);
  mem_free(best);
  mem_free(row);
  look_free(&l);
  return s;
}

Status start_random(const Generator *G, const real *cond, int64_t n, uint64_t seed, int k, real *w,
                    Error *e) {
  const size_t each = (size_t)k * (size_t)G->cfg.w_dim;
  TRY(project_w_samples(G, cond, k, (uint32_t)seed, w, e));
  for (int64_t i = 1; i < n; i++) memcpy(w + (size_t)i * each, w, each * sizeof *w);
  return ST_OK;
}
