/* op_sample.c: affine grids, bilinear sampling at a grid, bilinear resizing. All with half-pixel
 * centres (align_corners = false): sample j of n has its centre at (2j+1)/n - 1 in normalised
 * coordinates. Sampling is linear in the image. grid_sample(x, grid) and grid_sample_dx(dy, grid)
 * are adjoint in their first operand, so for a grid that is not differentiated they may be
 * differentiated to any order. Both give a first-order gradient for the grid through
 * grid_sample_dgrid, which itself has no gradient. */
#include <math.h>
#include "core/graph.h"
#include "core/ops.h"
#include "core/threads.h"

/* ---- affine_grid: theta [N,2,3] -> [N,h,w,2], grid = theta (x, y, 1)^T ---- */
static double sample_centre(int64_t j, int64_t n) { return (double)(2 * j + 1) / (double)n - 1; }

static void affine_grid_shape(Graph *g, const Shape *in, Node *n) {
  char s[96];
  if (in[0].rank != 3 || in[0].dim[1] != 2 || in[0].dim[2] != 3 || n->attr.size.height < 1 ||
      n->attr.size.width < 1) {
    graph_fail(g, ST_INVALID,
               "affine_grid: theta %s, output %dx%d; expected [N,2,3] and a positive size",
               shape_str(in[0], s), n->attr.size.height, n->attr.size.width);
    return;
  }
  n->shape = SHAPE4(in[0].dim[0], n->attr.size.height, n->attr.size.width, 2);
}

static void affine_grid_row(void *ctx, int64_t i, int worker) {
  const Exec *e = ctx;
  int64_t h = e->node->shape.dim[1], w = e->node->shape.dim[2];
  const real *t = e->in[0] + i / h * 6;
  real *out = e->out + i * w * 2;
  double v = sample_centre(i % h, h);
  for (int64_t x = 0; x < w; x++) {
    double u = sample_centre(x, w);
    out[2 * x] = (real)(t[0] * u + t[1] * v + t[2]);
    out[2 * x + 1] = (real)(t[3] * u + t[4] * v + t[5]);
  }
}

static void affine_grid_cpu(const Exec *e) {
  par_for(e->node->shape.dim[0] * e->node->shape.dim[1], affine_grid_row, (void *)e);
}

/* dtheta[n,k,:] = sum over pixels of dgrid[n,pixel,k] * (x, y, 1): a matrix product with a
 * constant. */
static void affine_grid_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  int64_t b = n->shape.dim[0], h = n->shape.dim[1], w = n->shape.dim[2];
  real *base = mem_alloc((size_t)(h * w * 3) * sizeof(real));
  if (!base) {
    graph_fail(g, ST_NOMEM, "affine_grid: out of memory for a %lldx%lld grid", (long long)h,
               (long long)w);
    return;
  }
  for (int64_t i = 0; i < h * w; i++) {
    base[3 * i] = (real)sample_centre(i % w, w);
    base[3 * i + 1] = (real)sample_centre(i / w, h);
    base[3 * i + 2] = 1;
  }
  Val c = g_const(g, SHAPE2(h * w, 3), base);
  mem_free(base);
  Val d = g_reshape(g, g_permute(g, dy, (int[]){0, 3, 1, 2}), SHAPE2(b * 2, h * w));
  dx[0] = g_reshape(g, g_matmul(g, d, c, false, false), SHAPE3(b, 2, 3));
}

const OpRow op_affine_grid = {.name = "affine_grid",
                              .order = ORDER_ANY,
                              .attr_bytes = sizeof(SizeAttr),
                              .shape = affine_grid_shape,
                              .grad = affine_grid_grad,
                              .cpu = affine_grid_cpu};

Val g_affine_grid(Graph *g, Val theta, int64_t h, int64_t w) {
  Attr a = {.size = {(int32_t)h, (int32_t)w}};
  return g_op(g, OP_affine_grid, 1, &theta, &a);
}

/* ---- grid_sample family ---- */
/* corners (y0,x0) (y0,x1) (y1,x0) (y1,x1); at < 0: outside */
typedef struct Tap {
  int64_t at[4];
  real wt[4];
  real fx;
  real fy;
} Tap;

static Tap tap_at(const real *g, int64_t h, int64_t w) {
  Tap t;
  real gx = ((g[0] + 1) * (real)w - 1) / 2, gy = ((g[1] + 1) * (real)h - 1) / 2;
  /* Far outside (or NaN) must not overflow the conversion to integer. */
  if (!(gx > -2)) gx = -2;
  if (!(gy > -2)) gy = -2;
  if (gx > w + 1) gx = (real)(w + 1);
  if (gy > h + 1) gy = (real)(h + 1);
  real x0 = (real)floor(gx), y0 = (real)floor(gy);
  t.fx = gx - x0;
  t.fy = gy - y0;
  for (int k = 0; k < 4; k++) {
    int64_t x = (int64_t)x0 + (k & 1), y = (int64_t)y0 + (k >> 1);
    t.at[k] = x < 0 || y < 0 || x >= w || y >= h ? -1 : y * w + x;
    t.wt[k] = ((k & 1) ? t.fx : 1 - t.fx) * ((k >> 1) ? t.fy : 1 - t.fy);
  }
  return t;
}

static bool grid_ok(Graph *g, const char *op, Shape x, Shape grid) {
  char xs[96], gs[96];
  if (x.rank == 4 && grid.rank == 4 && grid.dim[3] == 2 && x.dim[0] == grid.dim[0]) return true;
  graph_fail(g, ST_INVALID, "%s: image %s, grid %s; expected [N,C,H,W] and [N,h,w,2]", op,
             shape_str(x, xs), shape_str(grid, gs));
  return false;
}

static void grid_sample_shape(Graph *g, const Shape *in, Node *n) {
  if (grid_ok(g, "grid_sample", in[0], in[1]))
    n->shape = SHAPE4(in[0].dim[0], in[0].dim[1], in[1].dim[1], in[1].dim[2]);
}

static void grid_sample_plane(void *ctx, int64_t i, int worker) {
  const Exec *e = ctx;
  int64_t c = e->ins[0].dim[1], h = e->ins[0].dim[2], w = e->ins[0].dim[3],
          m = e->ins[1].dim[1] * e->ins[1].dim[2];
  const real *x = e->in[0] + i * h * w, *grid = e->in[1] + i / c * m * 2;
  for (int64_t p = 0; p < m; p++) {
    Tap t = tap_at(grid + 2 * p, h, w);
    real s = 0;
    for (int k = 0; k < 4; k++)
      if (t.at[k] >= 0) s += t.wt[k] * x[t.at[k]];
    e->out[i * m + p] = s;
  }
}

static void grid_sample_cpu(const Exec *e) {
  par_for(e->ins[0].dim[0] * e->ins[0].dim[1], grid_sample_plane, (void *)e);
}

static Val grid_sample_dx(Graph *g, Val dy, Val grid, int64_t h, int64_t w) {
  Attr a = {.size = {(int32_t)h, (int32_t)w}};
  return g_op(g, OP_grid_sample_dx, 2, (Val[]){dy, grid}, &a);
}

static Val grid_sample_dgrid(Graph *g, Val x, Val grid, Val dy) {
  return g_op(g, OP_grid_sample_dgrid, 3, (Val[]){x, grid, dy}, NULL);
}

static void grid_sample_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  Shape x = graph_shape(g, n->in[0]);
  if (need & 1) dx[0] = grid_sample_dx(g, dy, n->in[1], x.dim[2], x.dim[3]);
  if (need & 2) dx[1] = grid_sample_dgrid(g, n->in[0], n->in[1], dy);
}

const OpRow op_grid_sample = {.name = "grid_sample",
                              .order = ORDER_ANY,
                              .shape = grid_sample_shape,
                              .grad = grid_sample_grad,
                              .cpu = grid_sample_cpu};
Val g_grid_sample(Graph *g, Val x, Val grid) {
  return g_op(g, OP_grid_sample, 2, (Val[]){x, grid}, NULL);
}

/* dy [N,C,h,w], grid -> [N,C,H,W], attributes H, W. */
static void grid_sample_dx_shape(Graph *g, const Shape *in, Node *n) {
  char ds[96], gs[96];
  if (!grid_ok(g, "grid_sample_dx", in[0], in[1])) return;
  if (in[0].dim[2] != in[1].dim[1] || in[0].dim[3] != in[1].dim[2] || n->attr.size.height < 1 ||
      n->attr.size.width < 1) {
    graph_fail(g, ST_INVALID,
               "grid_sample_dx: dy %s, grid %s; expected equal h,w and a positive image size",
               shape_str(in[0], ds), shape_str(in[1], gs));
    return;
  }
  n->shape = SHAPE4(in[0].dim[0], in[0].dim[1], n->attr.size.height, n->attr.size.width);
}

static void grid_sample_dx_plane(void *ctx, int64_t i, int worker) {
  const Exec *e = ctx;
  int64_t c = e->ins[0].dim[1], h = e->node->shape.dim[2], w = e->node->shape.dim[3],
          m = e->ins[1].dim[1] * e->ins[1].dim[2];
  const real *dy = e->in[0] + i * m, *grid = e->in[1] + i / c * m * 2;
  real *out = e->out + i * h * w;
  for (int64_t p = 0; p < h * w; p++) out[p] = 0;
  for (int64_t p = 0; p < m; p++) {
    Tap t = tap_at(grid + 2 * p, h, w);
    for (int k = 0; k < 4; k++)
      if (t.at[k] >= 0) out[t.at[k]] += t.wt[k] * dy[p];
  }
}

static void grid_sample_dx_cpu(const Exec *e) {
  par_for(e->ins[0].dim[0] * e->ins[0].dim[1], grid_sample_dx_plane, (void *)e);
}

/* With v the incoming gradient: <v, dx(dy, grid)> = <grid_sample(v, grid), dy>, hence both
 * gradients. */
static void grid_sample_dx_grad(Graph *g, const Node *n, Val y, Val v, unsigned need, Val *dx) {
  if (need & 1) dx[0] = g_grid_sample(g, v, n->in[1]);
  if (need & 2) dx[1] = grid_sample_dgrid(g, v, n->in[1], n->in[0]);
}

const OpRow op_grid_sample_dx = {.name = "grid_sample_dx",
                                 .order = ORDER_ANY,
                                 .attr_bytes = sizeof(SizeAttr),
                                 .shape = grid_sample_dx_shape,
                                 .grad = grid_sample_dx_grad,
                                 .cpu = grid_sample_dx_cpu};

/* x [N,C,H,W], grid [N,h,w,2], dy [N,C,h,w] -> gradient for the grid. */
static void grid_sample_dgrid_shape(Graph *g, const Shape *in, Node *n) {
  if (!grid_ok(g, "grid_sample_dgrid", in[0], in[1])) return;
  if (!shape_eq(in[2], SHAPE4(in[0].dim[0], in[0].dim[1], in[1].dim[1], in[1].dim[2]))) {
    graph_fail(g, ST_INVALID,
               "grid_sample_dgrid: dy does not have the shape [N,C,h,w] of image and grid");
    return;
  }
  n->shape = in[1];
}

static void grid_sample_dgrid_row(void *ctx, int64_t i, int worker) {
  const Exec *e = ctx;
  int64_t c = e->ins[0].dim[1], h = e->ins[0].dim[2], w = e->ins[0].dim[3], oh = e->ins[1].dim[1],
          ow = e->ins[1].dim[2], n = i / oh;
  for (int64_t p = 0; p < ow; p++) {
    Tap t = tap_at(e->in[1] + (i * ow + p) * 2, h, w);
    real gx = 0, gy = 0;
    for (int64_t k = 0; k < c; k++) {
      const real *x = e->in[0] + (n * c + k) * h * w;
      real d = e->in[2][((n * c + k) * oh + i % oh) * ow + p], v[4];
      for (int j = 0; j < 4; j++) v[j] = t.at[j] >= 0 ? x[t.at[j]] : 0;
      gx += d * ((1 - t.fy) * (v[1] - v[0]) + t.fy * (v[3] - v[2]));
      gy += d * ((1 - t.fx) * (v[2] - v[0]) + t.fx * (v[3] - v[1]));
    }
    e->out[(i * ow + p) * 2] = gx * (real)w / 2;
    e->out[(i * ow + p) * 2 + 1] = gy * (real)h / 2;
  }
}

static void grid_sample_dgrid_cpu(const Exec *e) {
  par_for(e->ins[1].dim[0] * e->ins[1].dim[1], grid_sample_dgrid_row, (void *)e);
}

const OpRow op_grid_sample_dgrid = {.name = "grid_sample_dgrid",
                                    .order = 0,
                                    .shape = grid_sample_dgrid_shape,
                                    .cpu = grid_sample_dgrid_cpu};

/* ---- resize: [N,C,H,W] -> [N,C,h,w]; source coordinate max((o+1/2) in/out - 1/2, 0), clamped at
 * the far edge ---- */
typedef struct Lerp {
  int32_t i0;
  int32_t i1;
  real w1;
} Lerp;
static void lerp_table(Lerp *t, int64_t in, int64_t out) {
  for (int64_t o = 0; o < out; o++) {
    double s = ((double)o + 0.5) * (double)in / (double)out - 0.5;
    if (s < 0) s = 0;
    int64_t i = PRLX_MIN((int64_t)s, in - 1);
    t[o] = (Lerp){(int32_t)i, (int32_t)PRLX_MIN(i + 1, in - 1), (real)(s - (double)i)};
  }
}

static void resize_shape(Graph *g, const Shape *in, Node *n) {
  char s[96];
  if (in[0].rank != 4 || shape_numel(in[0]) < 1 || n->attr.size.height < 1 ||
      n->attr.size.width < 1) {
    graph_fail(g, ST_INVALID, "resize: image %s to %dx%d; expected [N,C,H,W] and a positive size",
               shape_str(in[0], s), n->attr.size.height, n->attr.size.width);
    return;
  }
  n->shape = SHAPE4(in[0].dim[0], in[0].dim[1], n->attr.size.height, n->attr.size.width);
}

/* h,w: the interpolated image */
typedef struct Resize {
  const Lerp *x;
  const Lerp *y;
  const real *in;
  real *out;
  real *rows;
  int64_t h;
  int64_t w;
  int64_t oh;
  int64_t ow;
  int64_t blocks;
} Resize;
enum { RESIZE_ROWS = 16 };
static size_t lerp_bytes(int64_t n) { return (size_t)(n + 15) / 16 * 16 * sizeof(Lerp); }
static int64_t row_len(int64_t w) { return (w + 15) / 16 * 16; }

/* A block of output rows: between two rows first, then along the one that results. */
static void resize_rows(void *ctx, int64_t i, int worker) {
  const Resize *r = ctx;
  real *restrict mid = r->rows + worker * row_len(r->w);
  int64_t plane = i / r->blocks, first = i % r->blocks * RESIZE_ROWS;
  for (int64_t y = first; y < PRLX_MIN(first + RESIZE_ROWS, r->oh); y++) {
    const real *a = r->in + (plane * r->h + r->y[y].i0) * r->w,
               *b = r->in + (plane * r->h + r->y[y].i1) * r->w;
    real fy = r->y[y].w1, *restrict out = r->out + (plane * r->oh + y) * r->ow;
    for (int64_t x = 0; x < r->w; x++) mid[x] = a[x] + fy * (b[x] - a[x]);
    for (int64_t x = 0; x < r->ow; x++) {
      Lerp t = r->x[x];
      out[x] = mid[t.i0] + t.w1 * (mid[t.i1] - mid[t.i0]);
    }
  }
}

static void resize_cpu(const Exec *e) {
  Lerp *t = e->scratch;
  Resize r = {.y = t,
              .in = e->in[0],
              .out = e->out,
              .h = e->ins[0].dim[2],
              .w = e->ins[0].dim[3],
              .oh = e->node->shape.dim[2],
              .ow = e->node->shape.dim[3]};
  r.x = t + lerp_bytes(r.oh) / sizeof(Lerp);
  r.rows = (real *)((char *)r.x + lerp_bytes(r.ow));
  r.blocks = (r.oh + RESIZE_ROWS - 1) / RESIZE_ROWS;
  lerp_table(t, r.h, r.oh);
  lerp_table((Lerp *)r.x, r.w, r.ow);
  par_for(e->ins[0].dim[0] * e->ins[0].dim[1] * r.blocks, resize_rows, &r);
}

static size_t resize_scratch(const Node *n, const Shape *in) {
  return lerp_bytes(n->shape.dim[2]) + lerp_bytes(n->shape.dim[3]) +
         MAX_WORKERS * (size_t)row_len(in[0].dim[3]) * sizeof(real);
}

static void resize_grad(Graph *g, const Node *n, Val y, Val dy, unsigned need, Val *dx) {
  Shape x = graph_shape(g, n->in[0]);
  Attr a = {.size = {(int32_t)x.dim[2], (int32_t)x.dim[3]}};
  dx[0] = g_op(g, OP_resize_t, 1, &dy, &a);
}

const OpRow op_resize = {.name = "resize",
                         .order = ORDER_ANY,
                         .attr_bytes = sizeof(SizeAttr),
                         .shape = resize_shape,
                         .grad = resize_grad,
                         .scratch = resize_scratch,
                         .cpu = resize_cpu};
Val g_resize(Graph *g, Val x, int64_t h, int64_t w) {
  Attr a = {.size = {(int32_t)h, (int32_t)w}};
  return g_op(g, OP_resize, 1, &x, &a);
}

/* Adjoint: dy [N,C,h,w] -> [N,C,H,W], attributes H, W (the size before resizing). */
static void resize_t_plane(void *ctx, int64_t i, int worker) {
  const Resize *r = ctx;
  real *out = r->out + i * r->h * r->w;
  for (int64_t p = 0; p < r->h * r->w; p++) out[p] = 0;
  for (int64_t y = 0; y < r->oh; y++) {
    real *a = out + r->y[y].i0 * r->w, *b = out + r->y[y].i1 * r->w, fy = r->y[y].w1;
    const real *dy = r->in + (i * r->oh + y) * r->ow;
    for (int64_t x = 0; x < r->ow; x++) {
      Lerp t = r->x[x];
      real m = t.w1 * dy[x], l = dy[x] - m;
      a[t.i0] += l - fy * l;
      b[t.i0] += fy * l;
      a[t.i1] += m - fy * m;
      b[t.i1] += fy * m;
    }
  }
}

static void resize_t_cpu(const Exec *e) {
  Lerp *t = e->scratch;
  Resize r = {.y = t,
              .in = e->in[0],
              .out = e->out,
              .h = e->node->shape.dim[2],
              .w = e->node->shape.dim[3],
              .oh = e->ins[0].dim[2],
              .ow = e->ins[0].dim[3]};
  r.x = t + lerp_bytes(r.oh) / sizeof(Lerp);
  lerp_table(t, r.h, r.oh);
  lerp_table((Lerp *)r.x, r.w, r.ow);
  par_for(e->ins[0].dim[0] * e->ins[0].dim[1], resize_t_plane, &r);
}

static size_t resize_t_scratch(const Node *n, const Shape *in) {
  return lerp_bytes(in[0].dim[2]) + lerp_bytes(in[0].dim[3]);
}

static void resize_t_grad(Graph *g, const Node *n, Val y, Val v, unsigned need, Val *dx) {
  Shape dy = graph_shape(g, n->in[0]);
  dx[0] = g_resize(g, v, dy.dim[2], dy.dim[3]);
}

const OpRow op_resize_t = {.name = "resize_t",
                           .order = ORDER_ANY,
                           .attr_bytes = sizeof(SizeAttr),
                           .shape = resize_shape,
                           .grad = resize_t_grad,
                           .scratch = resize_t_scratch,
                           .cpu = resize_t_cpu};
