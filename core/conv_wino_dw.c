/* conv_wino_dw.c: conv2d_dw with 3x3 kernels and stride 1 or 2 in the Winograd domain: the adjoint
 * in the weights.
 *
 *   dw = G^T [ sum over tiles (A dY A^T) . (B^T d B) ] G,   for every part (conv_impl.h) its own
 *     taps of dw
 * For every frequency f a matrix product over tiles: dU[f][co][ci] = sum_t E[f][co][t] V[f][t][ci],
 * with E = A dY A^T packed [co/12][tile][12] and V [ci/nr][tile][nr]: here a lane of the transforms
 * is a channel. A task owns a block of dU for all frequencies and transforms it back at the end.
 * Tiles come in fixed groups to bound the memory; dU then persists between them. */
#include <string.h>
#include "core/conv_impl.h"
#include "core/threads.h"
#include "core/winograd.h"

enum { WDW_GROUP_BYTES = 80 << 20, WDW_MC = 96, WDW_NC = 64 };

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
  const int64_t per_strip = d->alpha2 * (d->cp * nr + d->mp) * d->tx * (int64_t)sizeof(real);
  d->per_group = PRLX_MAX(1, PRLX_MIN(d->strips, WDW_GROUP_BYTES / per_strip));
  d->groups = ceil_div(d->strips, d->per_group);
  d->per_group = ceil_div(d->strips, d->groups);
  d->np = PRLX_MAX(1, WDW_NC / nr);
  d->nc = ceil_div(d->cp, d->np);
  d->nm = ceil_div(g->co, WDW_MC);
  d->vf = d->cp * d->per_group * d->tx * nr + 80;
  d->ef = d->mp * d->per_group * d->tx + 80;
  d->cols = d->tx * q->mx + 4;
  d->chunk = PRLX_MAX(1, 16 / d->tx);
  d->sum_bytes = (size_t)(d->np * PRLX_MIN(WDW_MC, d->mp) * d->alpha2 * nr) * sizeof(real);
}

typedef struct WDSlot {
  real *stage;
  real *c;
} WDSlot;

static WDSlot make_slot(const WDw *d, Bump *mem) {
  WDSlot s;
  s.stage =
      bump(mem, (size_t)(PRLX_MAX(d->nr, WINO_DY_LANES) * d->q.ay * d->cols + 8), sizeof(real));
  s.c = bump(mem, d->groups > 1 ? 0 : d->sum_bytes, 1);
  return s;
}

static size_t wino_dw_memory(WDw *d, Bump *mem) {
  d->v = bump(mem, (size_t)(d->alpha2 * d->vf), sizeof(real));
  d->e = bump(mem, (size_t)(d->alpha2 * d->ef), sizeof(real));
  d->sums = bump(mem, d->groups > 1 ? (size_t)(d->nc * d->nm) : 0, d->sum_bytes);
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

static void transform_task(void *ctx, int64_t task, int slot) {
  const WDw *d = ctx;
  const ConvGeom *g = d->g;
  const WinoPart *q = &d->q;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  const WDSlot s = make_slot(d, &mem);
  const int64_t epan = d->mp / WINO_DY_LANES, pan = task % (epan + d->cp);
  const bool is_dy = pan < epan;
  const int64_t width = is_dy ? WINO_DY_LANES : d->nr, c0 = (is_dy ? pan : pan - epan) * width,
                rows = is_dy ? q->my : q->ay;
  const int64_t lanes = PRLX_MIN(width, (is_dy ? g->co : g->ci) - c0);
  int32_t off[GEMM_NR_MAX + WINO_DY_LANES];
  for (int64_t i = task / (epan + d->cp) * d->chunk, end = PRLX_MIN(d->ns, i + d->chunk); i < end;
       i++) {
    const int64_t n = (d->s0 + i) / d->ty, y = (d->s0 + i) % d->ty * q->my;
    const View view = is_dy ? (View){d->dy + (n * g->co + c0) * g->oh * g->ow,
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
    stage_strip(d, &view, lanes, y, rows, s.stage);
    for (int64_t t = 0; t < d->tx; t++) {
      for (int64_t j = 0; j < width; j++)
        off[j] = (int32_t)(PRLX_MIN(j, lanes - 1) * rows * d->cols + t * q->mx);
      const int64_t tile = i * d->tx + t;
      if (is_dy)
        d->wk->dy[q->form](s.stage, off, d->cols, d->e + (c0 * d->tiles + tile * GEMM_PANEL),
                           d->e + ((c0 + GEMM_PANEL) * d->tiles + tile * GEMM_PANEL), d->ef);
      else
        d->wk->input[q->form](s.stage, off, d->cols, d->v + (c0 * d->tiles + tile * d->nr), d->vf);
    }
  }
}

static void product_task(void *ctx, int64_t task, int slot) {
  const WDw *d = ctx;
  const ConvGeom *g = d->g;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  WDSlot s = make_slot(d, &mem);
  if (d->groups > 1) s.c = (real *)(void *)((char *)d->sums + (size_t)task * d->sum_bytes);
  const int64_t m0 = task % d->nm * WDW_MC, m = PRLX_MIN(WDW_MC, g->co - m0),
                p0 = task / d->nm * d->np, np = PRLX_MIN(d->np, d->cp - p0);
  const int64_t rows = PRLX_MIN(WDW_MC, d->mp), c_row = d->alpha2 * d->nr, c_panel = rows * c_row,
                a_panel = d->tiles * GEMM_PANEL, b_panel = d->tiles * d->nr;
  for (int64_t f = 0; f < d->alpha2; f++)
    for (int64_t k0 = 0; k0 < d->tiles; k0 += GEMM_KC)
      d->k->block(m, np, PRLX_MIN(GEMM_KC, d->tiles - k0),
                  d->e + f * d->ef + m0 * d->tiles + k0 * GEMM_PANEL, GEMM_PANEL, a_panel,
                  d->v + f * d->vf + p0 * b_panel + k0 * d->nr, d->nr, b_panel, s.c + f * d->nr,
                  c_row, c_panel, k0 > 0 || d->s0 > 0);
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
    const int nslots = conv_slots(d.slot_bytes);
    for (d.s0 = 0; d.s0 < d.strips; d.s0 += d.ns) {
      d.ns = PRLX_MIN(d.per_group, d.strips - d.s0);
      d.tiles = d.ns * d.tx;
      par_tasks(ceil_div(d.ns, d.chunk) * (d.mp / WINO_DY_LANES + d.cp), nslots, transform_task,
                &d);
      par_tasks(d.nc * d.nm, nslots, product_task, &d);
    }
  }
}
