/* conv_bf16_dw.c: conv2d_dw as matrix products of bf16 numbers over pixels, any kernel, stride and
 * padding.
 *
 *   dw[co][ci][t] = sum over pixels q of x[ci][q + shift(t)] dy[co][q]
 *
 * Both are rounded and laid out once (conv_bf16_impl.h): x with its channels as rows of A, which
 * may begin at any pixel, so that a tap is a shift again; dy as pairs of pixels for B, zero where q
 * is padding. A task owns some input and output channels and taps and sums over all pixels in
 * order. Many images are taken in fixed groups to bound the memory; sums then persist. */
#include <string.h>
#include "core/conv_bf16_impl.h"
#include "core/threads.h"

#ifndef PRLX_F64
enum {
  BDW_GROUP_BYTES = 48 << 20,
  BDW_GROUP_PIXELS = 1 << 15,
  BDW_CI = 2 * BF16_SIDE, /* input channels of a task */
  BDW_CO = 4 * BF16_SIDE, /* output channels of a task */
  BDW_ROW = BDW_CO + 16,  /* numbers between rows of its sums: not a power of two */
  BDW_TAPS = 9,           /* taps of a task, at most */
  BDW_DEPTH = 16,         /* steps at a time: x and dy of them fit the second-level cache */
  BDW_TASKS = 16
};

typedef struct BDw {
  const ConvGeom *g;
  const Bf16Kernels *k;
  ConvSub u;
  Bf16Map map;
  /* images per group, groups; pixels of a group, whole steps */
  int64_t nimg;
  int64_t groups;
  int64_t pixels;
  /* numbers of a plane of x, planes of a phase, panels of dy */
  int64_t plane;
  int64_t planes;
  int64_t panels;
  /* taps per task; tasks by taps, input channels, output channels */
  int64_t tc;
  int64_t nt;
  int64_t ni_tasks;
  int64_t no_tasks;
  /* group in work */
  int64_t n0;
  int64_t ni;
  const real *x;
  const real *dy;
  const real *sx;
  const real *sdy;
  real *dw;
  uint16_t *xs;
  uint32_t *ds;
  int64_t *a_step;
  int64_t *b_step;
  real *sums;
  size_t sum_bytes;
  char *slots;
  size_t slot_bytes;
} BDw;

static void bf16_dw_layout(BDw *d, const ConvGeom *g) {
  ConvGeom forward = *g;
  forward.kind = CONV_FWD;
  d->g = g;
  d->u = conv_sub(&forward, 0);
  d->map = bf16_map(&d->u);
  d->planes = round_up(g->ci, BF16_SIDE);
  d->panels = ceil_div(g->co, BF16_SIDE);
  const int64_t per_image = (d->map.phases * d->planes + d->panels * BF16_SIDE) * d->map.image * 2;
  d->nimg = PRLX_MIN(g->n, PRLX_MIN(BDW_GROUP_BYTES / per_image, BDW_GROUP_PIXELS / d->map.image));
  d->nimg = PRLX_MAX(1, d->nimg);
  d->groups = ceil_div(g->n, d->nimg);
  d->pixels = round_up(d->nimg * d->map.image, BF16_STEP);
  d->plane = bf16_plane(d->pixels + d->map.reach + d->map.cols, 32);
  d->ni_tasks = ceil_div(g->ci, BDW_CI);
  d->no_tasks = ceil_div(g->co, BDW_CO);
  d->tc = d->ni_tasks * d->no_tasks >= BDW_TASKS ? PRLX_MIN(d->u.taps, BDW_TAPS) : 1;
  d->nt = ceil_div(d->u.taps, d->tc);
  d->sum_bytes = (size_t)(d->tc * BDW_CI * BDW_ROW) * sizeof(real);
  const size_t rows = (size_t)(BF16_SIDE * d->pixels) * sizeof(uint16_t);
  d->slot_bytes = PRLX_MAX(rows, d->groups > 1 ? 0 : d->sum_bytes);
}

static size_t bf16_dw_memory(BDw *d, Bump *mem) {
  const int64_t steps = d->pixels / BF16_STEP;
  d->xs = bump(mem, (size_t)(d->map.phases * d->planes * d->plane), sizeof(uint16_t));
  d->ds = bump(mem, (size_t)(d->panels * steps), BF16_TILE_BYTES);
  d->a_step = bump(mem, (size_t)steps, sizeof(int64_t));
  d->b_step = bump(mem, (size_t)steps, sizeof(int64_t));
  d->sums =
      bump(mem, d->groups > 1 ? (size_t)(d->nt * d->ni_tasks * d->no_tasks) : 0, d->sum_bytes);
  d->slots = bump(mem, (size_t)conv_slots(d->slot_bytes), d->slot_bytes);
  return mem->used;
}

/* One channel of one phase of x, all images of the group. */
static void stage_x(const BDw *d, int64_t i) {
  const ConvSub *u = &d->u;
  const int64_t p = i / d->planes, c = i % d->planes;
  const Window y = bf16_rows(u, &d->map, p), x = bf16_cols(u, &d->map, p);
  uint16_t *plane = d->xs + i * d->plane;
  memset(plane, 0, (size_t)d->plane * sizeof *plane);
  for (int64_t n = d->n0; n < d->n0 + d->ni && c < u->in_c; n++) {
    const int64_t at = n * u->in_c + c;
    const real *from = d->x + at * u->sh * u->sw + x.lo * x.step + x.first;
    uint16_t *to = plane + (n - d->n0) * d->map.image + x.lo;
    for (int64_t r = y.lo; r < y.hi; r++)
      d->k->row(from + (r * y.step + y.first) * u->sw, d->sx ? d->sx[at] : 1, x.step, x.hi - x.lo,
                to + r * d->map.pitch);
  }
}

/* 16 channels of dy: rounded in rows, then turned. */
static void stage_dy(const BDw *d, int64_t i, uint16_t *rows) {
  const ConvGeom *g = d->g;
  const int64_t c0 = i * BF16_SIDE, lanes = PRLX_MIN(BF16_SIDE, g->co - c0);
  memset(rows, 0, (size_t)(BF16_SIDE * d->pixels) * sizeof *rows);
  for (int64_t n = d->n0; n < d->n0 + d->ni; n++)
    for (int64_t j = 0; j < lanes; j++) {
      const int64_t at = n * g->co + c0 + j;
      uint16_t *to = rows + j * d->pixels + (n - d->n0) * d->map.image;
      for (int64_t y = 0; y < g->oh; y++)
        d->k->row(d->dy + (at * g->oh + y) * g->ow, d->sdy ? d->sdy[at] : 1, 1, g->ow,
                  to + y * d->map.pitch);
    }
  d->k->turn(rows, d->pixels * 2, d->pixels, d->ds + i * d->pixels * BF16_SIDE / 2);
}

static void stage_task(void *ctx, int64_t i, int slot) {
  const BDw *d = ctx;
  if (i < d->panels)
    stage_dy(d, i, (uint16_t *)(void *)(d->slots + (size_t)slot * d->slot_bytes));
  else
    stage_x(d, i - d->panels);
}

/* Sums [tap][ci][co] to dw. */
static void write_dw(const BDw *d, const real *c, int64_t t0, int64_t nt, int64_t ci0,
                     int64_t co0) {
  const ConvGeom *g = d->g;
  const GemmKernels *k = ISA_PICK(gemm_kernels);
  const int64_t taps = d->u.taps, ni = PRLX_MIN(BDW_CI, g->ci - ci0),
                no = PRLX_MIN(BDW_CO, g->co - co0);
  if (taps == 1) {
    k->transpose(c, BDW_ROW, (int)ni, (int)ni, NULL, no, d->dw + co0 * g->ci + ci0, g->ci);
    return;
  }
  for (int64_t i = 0; i < ni; i++)
    k->transpose(c + i * BDW_ROW, BDW_CI * BDW_ROW, (int)nt, (int)nt, NULL, no,
                 d->dw + (co0 * g->ci + ci0 + i) * taps + t0, g->ci * taps);
}

static void product_task(void *ctx, int64_t task, int slot) {
  const BDw *d = ctx;
  const ConvGeom *g = d->g;
  char *sums = d->groups > 1 ? (char *)d->sums + (size_t)task * d->sum_bytes
                             : d->slots + (size_t)slot * d->slot_bytes;
  const int64_t t0 = task % d->nt * d->tc, nt = PRLX_MIN(d->tc, d->u.taps - t0),
                ci0 = task / d->nt % d->ni_tasks * BDW_CI,
                co0 = task / d->nt / d->ni_tasks * BDW_CO, steps = d->pixels / BF16_STEP;
  Bf16Product p = {.mt = (int)ceil_div(PRLX_MIN(BDW_CI, g->ci - ci0), BF16_SIDE),
                   .nt = (int)ceil_div(PRLX_MIN(BDW_CO, g->co - co0), BF16_SIDE),
                   .a_tile = BF16_SIDE * d->plane * 2,
                   .a_row = d->plane * 2,
                   .b_tile = steps * BF16_TILE_BYTES,
                   .b_row = 64,
                   .c_tile = BF16_SIDE * BDW_ROW * (int64_t)sizeof(real),
                   .c_row = BDW_ROW * (int64_t)sizeof(real)};
  for (int64_t s = 0; s < steps; s += BDW_DEPTH) {
    p.nk = (int)PRLX_MIN(BDW_DEPTH, steps - s);
    p.a_step = d->a_step + s;
    p.b_step = d->b_step + s;
    p.accumulate = s > 0 || d->n0 > 0;
    p.right = (const char *)d->ds + co0 / BF16_SIDE * p.b_tile;
    for (int64_t t = 0; t < nt; t++) {
      const int64_t plane = bf16_phase(&d->u, &d->map, t0 + t) * d->planes + ci0;
      p.left = (const char *)(d->xs + plane * d->plane + bf16_shift(&d->u, &d->map, t0 + t));
      p.sum = sums + t * BDW_CI * p.c_row;
      bf16_product(&p);
    }
  }
  if (d->n0 + d->ni == g->n) write_dw(d, (const real *)(void *)sums, t0, nt, ci0, co0);
}

size_t bf16_dw_scratch(const ConvGeom *g) {
  BDw d = {0};
  Bump mem = {NULL, 0};
  bf16_dw_layout(&d, g);
  return bf16_dw_memory(&d, &mem);
}

void bf16_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx, const real *sdy,
                 real *dw, void *scratch) {
  BDw d = {.k = ISA_PICK(bf16_kernels), .x = x, .dy = dy, .sx = sx, .sdy = sdy, .dw = dw};
  Bump mem = {scratch, 0};
  bf16_dw_layout(&d, g);
  bf16_dw_memory(&d, &mem);
  for (int64_t s = 0; s < d.pixels / BF16_STEP; s++) {
    d.a_step[s] = s * BF16_STEP * 2;
    d.b_step[s] = s * BF16_TILE_BYTES;
  }
  const int nslots = conv_slots(d.slot_bytes);
  for (d.n0 = 0; d.n0 < g->n; d.n0 += d.ni) {
    d.ni = PRLX_MIN(d.nimg, g->n - d.n0);
    par_tasks(d.panels + d.map.phases * d.planes, nslots, stage_task, &d);
    par_tasks(d.nt * d.ni_tasks * d.no_tasks, nslots, product_task, &d);
  }
}
#else
size_t bf16_dw_scratch(const ConvGeom *g) { return 0; }
void bf16_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx, const real *sdy,
                 real *dw, void *scratch) {}
#endif
