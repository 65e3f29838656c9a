/* conv_wino_dw.c: conv2d_dw with 3x3 kernels and stride 1 or 2 in the Winograd domain: the adjoint
 * in the weights.
 *
 *   dw = G^T [ sum over tiles (A dY A^T) . (B^T d B) ] G,   for every part (conv_impl.h) its own
 *     taps of dw
 * For every frequency f a matrix product over tiles: dU[f][co][ci] = sum_t E[f][co][t] V[f][t][ci],
 * with E = A dY A^T packed [co/12][tile][12] and V [ci/nr][tile][nr]: here a lane of the transforms
 * is a channel. A task owns a block of dU for all frequencies and transforms it back at the end.
 * Tiles come in fixed groups to bound the memory; dU then persists between them.
 *
 * Few channels under many tiles: V and E would be written to memory and read again for little
 * work, and one task would own all of dU. There a task transforms and multiplies GEMM_KC tiles, a
 * chunk at a time in its cache, into a sum of its own; those are added in the order of the tiles.
 * The same numbers in the same order. */
#include <string.h>
#include "core/conv_impl.h"
#include "core/threads.h"
#include "core/winograd.h"

enum { WDW_GROUP_BYTES = 80 << 20, WDW_MC = 96, WDW_NC = 64, WDW_CHUNK_BYTES = 512 << 10 };

typedef struct WDw {
  const ConvGeom *g;
  const GemmKernels *k;
  const WinoKernels *wk;
  WinoPart q;
  int alpha2;
  int nr;
  /* panels of ci, co rounded up to 24 */
  int64_t cp;
  int64_t mp;
  /* a strip is one row of tiles of one image */
  int64_t ty;
  int64_t tx;
  int64_t strips;
  int64_t per_group;
  int64_t groups;
  /* group in work: first strip, strips, tiles */
  int64_t s0;
  int64_t ns;
  int64_t tiles;
  /* ci panels per task, task counts; strides between frequencies */
  int64_t np;
  int64_t nc;
  int64_t nm;
  int64_t ef;
  int64_t vf;
  /* staged row; strips per transform task */
  int64_t cols;
  int64_t chunk;
  /* blocks: tasks own GEMM_KC tiles, transformed so many at a time; tasks in all, in a group, first
   * of the round */
  bool blocks;
  int64_t block_tiles;
  int64_t nb;
  int64_t per_group_nb;
  int64_t b0;
  const real *x;
  const real *dy;
  const real *sx;
  const real *sdy;
  real *dw;
  real *e;
  real *v;
  real *sums;
  size_t sum_bytes;
  char *slots;
  size_t slot_bytes;
} WDw;

static void wino_dw_layout(WDw *d, const ConvGeom *g, int side, int part, int nr) {
  const WinoPart *q = &d->q;
  d->q = wino_part(g, side, part);
  d->g = g;
  d->alpha2 = q->ay * q->ax;
  d->nr = nr;
  d->cp = ceil_div(g->ci, nr);
  d->mp = round_up(g->co, WINO_DY_LANES);
  d->ty = ceil_div(g->oh, q->my);
  d->tx = ceil_div(g->ow, q->mx);
  d->strips = g->n * d->ty;
  const int64_t per_tile = d->alpha2 * (d->cp * nr + d->mp) * (int64_t)sizeof(real),
                per_strip = per_tile * d->tx;
  d->per_group = PRLX_MAX(1, PRLX_MIN(d->strips, WDW_GROUP_BYTES / per_strip));
  d->groups = ceil_div(d->strips, d->per_group);
  d->per_group = ceil_div(d->strips, d->groups);
  d->np = PRLX_MAX(1, WDW_NC / nr);
  d->nc = ceil_div(d->cp, d->np);
  d->nm = ceil_div(g->co, WDW_MC);
  d->per_group_nb = ceil_div(d->per_group * d->tx, GEMM_KC);
  d->nb = (d->groups - 1) * d->per_group_nb +
          ceil_div((d->strips - (d->groups - 1) * d->per_group) * d->tx, GEMM_KC);
  d->blocks = d->nc == 1 && d->nm == 1 && d->nb > 1;
  d->block_tiles = PRLX_MAX(16, PRLX_MIN(GEMM_KC, WDW_CHUNK_BYTES / per_tile));
  const int64_t tiles = d->blocks ? d->block_tiles : d->per_group * d->tx;
  d->vf = d->cp * tiles * nr + 80;
  d->ef = d->mp * tiles + 80;
  d->cols = d->tx * q->mx + 4;
  d->chunk = PRLX_MAX(1, 16 / d->tx);
  d->sum_bytes = (size_t)(d->np * PRLX_MIN(WDW_MC, d->mp) * d->alpha2 * nr) * sizeof(real);
}

typedef struct WDSlot {
  real *stage;
  real *c;
  /* blocks */
  real *v;
  real *e;
} WDSlot;

static WDSlot make_slot(const WDw *d, Bump *mem) {
  WDSlot s;
  s.stage =
      bump(mem, (size_t)(PRLX_MAX(d->nr, WINO_DY_LANES) * d->q.ay * d->cols + 8), sizeof(real));
  s.c = bump(mem, d->groups > 1 || d->blocks ? 0 : d->sum_bytes, 1);
  s.v = bump(mem, d->blocks ? (size_t)(d->alpha2 * d->vf) : 0, sizeof(real));
  s.e = bump(mem, d->blocks ? (size_t)(d->alpha2 * d->ef) : 0, sizeof(real));
  return s;
}

static size_t wino_dw_memory(WDw *d, Bump *mem) {
  const int64_t kept = d->blocks       ? 1 + PRLX_MIN(d->nb, SUMS_ROUND)
                       : d->groups > 1 ? d->nc * d->nm
                                       : 0;
  d->v = bump(mem, d->blocks ? 0 : (size_t)(d->alpha2 * d->vf), sizeof(real));
  d->e = bump(mem, d->blocks ? 0 : (size_t)(d->alpha2 * d->ef), sizeof(real));
  d->sums = bump(mem, (size_t)kept, d->sum_bytes);
  Bump slot = {NULL, 0};
  make_slot(d, &slot);
  d->slot_bytes = slot.used;
  d->slots = bump(mem, (size_t)conv_slots(slot.used), slot.used);
  return mem->used;
}

/* stage[lane][row][cols]: rows of a map seen through a part, for `lanes` channels; zero outside the
 * map. */
typedef struct View {
  const real *src;
  const real *scale;
  int64_t h;
  int64_t w;
  int64_t step;
  int64_t first_y;
  int64_t first_x;
} View;

static void stage_strip(const WDw *d, const View *v, int64_t lanes, int64_t y0, int64_t rows,
                        real *to) {
  const Window wy = window(v->step, y0 * v->step + v->first_y, rows, v->h),
               wx = window(v->step, v->first_x, d->cols, v->w);
  for (int64_t c = 0; c < lanes; c++, to += rows * d->cols) {
    for (int64_t r = 0; r < rows; r++) {
      const bool inside = r >= wy.lo && r < wy.hi;
      for (int64_t x = 0; x < (inside ? wx.lo : d->cols); x++) to[r * d->cols + x] = 0;
      for (int64_t x = inside ? wx.hi : d->cols; x < d->cols; x++) to[r * d->cols + x] = 0;
    }
    if (c + 2 < lanes) prefetch_window(v->src + (c + 2) * v->h * v->w, v->w, wy, wx);
    stage_window(d->k, v->src + c * v->h * v->w, v->w, wy, wx, v->scale ? v->scale[c] : 1, to,
                 d->cols);
  }
}

/* A panel of channels of dy (the first mp / 24 of them) or of x. */
typedef struct Panel {
  bool is_dy;
  int64_t c0;
  int64_t width;
  int64_t lanes;
} Panel;

static int64_t panel_count(const WDw *d) { return d->mp / WINO_DY_LANES + d->cp; }

static Panel panel_of(const WDw *d, int64_t i) {
  const int64_t epan = d->mp / WINO_DY_LANES;
  Panel p = {.is_dy = i < epan, .width = i < epan ? WINO_DY_LANES : d->nr};
  p.c0 = (p.is_dy ? i : i - epan) * p.width;
  p.lanes = PRLX_MIN(p.width, (p.is_dy ? d->g->co : d->g->ci) - p.c0);
  return p;
}

/* Tiles x0..x1-1 of a strip to places `at` and on of V or E, which hold `tiles` each. */
static void transform_strip(const WDw *d, const WDSlot *s, const Panel *p, int64_t strip,
                            int64_t x0, int64_t x1, real *v, real *e, int64_t tiles, int64_t at) {
  const ConvGeom *g = d->g;
  const WinoPart *q = &d->q;
  const int64_t n = strip / d->ty, y = strip % d->ty * q->my, c0 = p->c0,
                rows = p->is_dy ? q->my : q->ay;
  int32_t off[GEMM_NR_MAX + WINO_DY_LANES];
  const View view = p->is_dy ? (View){d->dy + (n * g->co + c0) * g->oh * g->ow,
                                      d->sdy ? d->sdy + n * g->co + c0 : NULL,
                                      g->oh,
                                      g->ow,
                                      1,
                                      0,
                                      0}
                             : (View){d->x + (n * g->ci + c0) * g->h * g->w,
                                      d->sx ? d->sx + n * g->ci + c0 : NULL,
                                      g->h,
                                      g->w,
                                      q->step,
                                      q->first_y,
                                      q->first_x};
  stage_strip(d, &view, p->lanes, y, rows, s->stage);
  for (int64_t j = 0; j < p->width; j++)
    off[j] = (int32_t)(PRLX_MIN(j, p->lanes - 1) * rows * d->cols);
  for (int64_t x = x0; x < x1; x++) {
    const real *from = s->stage + x * q->mx;
    const int64_t tile = at + x - x0;
    if (p->is_dy)
      d->wk->dy[q->form](from, off, d->cols, e + (c0 * tiles + tile * GEMM_PANEL),
                         e + ((c0 + GEMM_PANEL) * tiles + tile * GEMM_PANEL), d->ef);
    else
      d->wk->input[q->form](from, (int)p->lanes, off, d->cols, v + (c0 * tiles + tile * d->nr),
                            d->vf);
  }
}

static void transform_task(void *ctx, int64_t task, int slot) {
  const WDw *d = ctx;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  const WDSlot s = make_slot(d, &mem);
  const Panel p = panel_of(d, task % panel_count(d));
  for (int64_t i = task / panel_count(d) * d->chunk, end = PRLX_MIN(d->ns, i + d->chunk); i < end;
       i++)
    transform_strip(d, &s, &p, d->s0 + i, 0, d->tx, d->v, d->e, d->tiles, i * d->tx);
}

/* Rows of a sum: c[panel of ci][co][frequency][nr]. */
static int64_t sum_rows(const WDw *d) { return PRLX_MIN(WDW_MC, d->mp); }

/* ---- blocks ---- */
/* Tiles t..t+n-1 of all strips, every panel of them, to the slot's V and E. */
static void chunk_transform(const WDw *d, const WDSlot *s, int64_t t, int64_t n) {
  for (int64_t i = 0; i < panel_count(d); i++) {
    const Panel p = panel_of(d, i);
    for (int64_t at = 0; at < n;) {
      const int64_t x0 = (t + at) % d->tx, x1 = PRLX_MIN(d->tx, x0 + n - at);
      transform_strip(d, s, &p, (t + at) / d->tx, x0, x1, s->v, s->e, n, at);
      at += x1 - x0;
    }
  }
}

static void block_task(void *ctx, int64_t i, int slot) {
  const WDw *d = ctx;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  const WDSlot s = make_slot(d, &mem);
  const int64_t group = (d->b0 + i) / d->per_group_nb, in_group = (d->b0 + i) % d->per_group_nb;
  const int64_t first = group * d->per_group * d->tx + in_group * GEMM_KC,
                last = PRLX_MIN((group + 1) * d->per_group, d->strips) * d->tx,
                end = PRLX_MIN(first + GEMM_KC, last), c_row = d->alpha2 * d->nr;
  real *c = (real *)(void *)((char *)d->sums + (size_t)(1 + i) * d->sum_bytes);
  for (int64_t t = first; t < end; t += d->block_tiles) {
    const int64_t n = PRLX_MIN(d->block_tiles, end - t);
    chunk_transform(d, &s, t, n);
    for (int64_t f = 0; f < d->alpha2; f++)
      d->k->block(d->g->co, d->g->ci, n, s.e + f * d->ef, GEMM_PANEL, n * GEMM_PANEL,
                  s.v + f * d->vf, d->nr, n * d->nr, c + f * d->nr, c_row, sum_rows(d) * c_row,
                  t > first ? GEMM_GO_ON : GEMM_SET);
  }
}

static void block_out_task(void *ctx, int64_t co, int worker) {
  const WDw *d = ctx;
  const int64_t c_row = d->alpha2 * d->nr, c_panel = sum_rows(d) * c_row, ci = d->g->ci;
  for (int64_t p = 0; p < d->cp; p++)
    d->wk->dweights[d->q.form](d->sums + p * c_panel + co * c_row,
                               (int)PRLX_MIN(d->nr, ci - p * d->nr), d->q.tap,
                               d->dw + (co * ci + p * d->nr) * 9, 9);
}

static void run_blocks(WDw *d) {
  const int64_t numel = (int64_t)(d->sum_bytes / sizeof(real));
  for (d->b0 = 0; d->b0 < d->nb; d->b0 += SUMS_ROUND) {
    const int64_t count = PRLX_MIN(SUMS_ROUND, d->nb - d->b0);
    par_tasks(count, conv_slots(d->slot_bytes), block_task, d);
    sums_add(d->sums, d->sums + numel, numel, count, d->b0 == 0);
  }
  par_for(d->g->co, block_out_task, d);
}

/* ---- V and E of a group, then its products ---- */
static void product_task(void *ctx, int64_t task, int slot) {
  const WDw *d = ctx;
  const ConvGeom *g = d->g;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  WDSlot s = make_slot(d, &mem);
  if (d->groups > 1) s.c = (real *)(void *)((char *)d->sums + (size_t)task * d->sum_bytes);
  const int64_t m0 = task % d->nm * WDW_MC, m = PRLX_MIN(WDW_MC, g->co - m0),
                p0 = task / d->nm * d->np, np = PRLX_MIN(d->np, d->cp - p0);
  const int64_t c_row = d->alpha2 * d->nr, c_panel = sum_rows(d) * c_row,
                a_panel = d->tiles * GEMM_PANEL, b_panel = d->tiles * d->nr;
  for (int64_t f = 0; f < d->alpha2; f++)
    for (int64_t k0 = 0; k0 < d->tiles; k0 += GEMM_KC)
      d->k->block(m, PRLX_MIN(np * d->nr, g->ci - p0 * d->nr), PRLX_MIN(GEMM_KC, d->tiles - k0),
                  d->e + f * d->ef + m0 * d->tiles + k0 * GEMM_PANEL, GEMM_PANEL, a_panel,
                  d->v + f * d->vf + p0 * b_panel + k0 * d->nr, d->nr, b_panel, s.c + f * d->nr,
                  c_row, c_panel, k0 > 0 || d->s0 > 0 ? GEMM_ADD : GEMM_SET);
  if (d->s0 + d->ns < d->strips) return;
  for (int64_t p = 0; p < np; p++)
    for (int64_t i = 0; i < m; i++)
      d->wk->dweights[d->q.form](s.c + p * c_panel + i * c_row,
                                 (int)PRLX_MIN(d->nr, g->ci - (p0 + p) * d->nr), d->q.tap,
                                 d->dw + ((m0 + i) * g->ci + (p0 + p) * d->nr) * 9, 9);
}

size_t wino_dw_scratch(const ConvGeom *g, int side) {
  size_t most = 0;
  for (int i = 0; i < wino_parts(g); i++)
    for (int nr = 4; nr <= GEMM_NR_MAX; nr *= 2) { /* whichever instruction set runs */
      WDw d = {0};
      Bump mem = {NULL, 0};
      wino_dw_layout(&d, g, side, i, nr);
      const size_t bytes = wino_dw_memory(&d, &mem);
      most = PRLX_MAX(most, bytes);
    }
  return most;
}

void wino_dw_run(const ConvGeom *g, int side, const real *x, const real *dy, const real *sx,
                 const real *sdy, real *dw, void *scratch) {
  WDw d = {.k = ISA_PICK(gemm_kernels),
           .wk = ISA_PICK(wino_kernels),
           .x = x,
           .dy = dy,
           .sx = sx,
           .sdy = sdy,
           .dw = dw};
  for (int i = 0; i < wino_parts(g); i++) {
    Bump mem = {scratch, 0};
    wino_dw_layout(&d, g, side, i, d.k->nr);
    wino_dw_memory(&d, &mem);
    if (d.blocks) {
      run_blocks(&d);
      continue;
    }
    const int nslots = conv_slots(d.slot_bytes);
    for (d.s0 = 0; d.s0 < d.strips; d.s0 += d.ns) {
      d.ns = PRLX_MIN(d.per_group, d.strips - d.s0);
      d.tiles = d.ns * d.tx;
      par_tasks(ceil_div(d.ns, d.chunk) * panel_count(&d), nslots, transform_task, &d);
      par_tasks(d.nc * d.nm, nslots, product_task, &d);
    }
  }
}
