/* conv_wino.c: conv2d and conv2d_dx with 3x3 kernels and stride 1 or 2 by Winograd's minimal
 * filtering (see core/winograd.h).
 *
 * For every part (conv_impl.h) and frequency f:
 *   U[f] = weights in panels [m/12][c][12], blocked by c (prepared),  V[f] = input patches
 *     [panel][c][nr],
 *   M[panel][m][f][nr] = U[f] V[f]
 * conv2d_dx is the same with channels exchanged and kernels rotated.
 * Tiles are taken in blocks. Small layers: one task carries a block through all three steps in its
 * cache. Large ones: each step of a block is spread over the threads, so that the large U is read
 * once per block, not once per task. The largest over few tiles (lean): U is not prepared at all;
 * every task transforms the rows it is about to multiply. That costs less than fetching a U that is
 * four times its weights. The same numbers, summed in the same order. */
#include <string.h>
#include "core/conv_impl.h"
#include "core/threads.h"
#include "core/winograd.h"

bool wino_possible(const ConvGeom *g) { return g->kh == 3 && g->kw == 3 && g->stride <= 2; }
int wino_parts(const ConvGeom *g) { return g->stride * g->stride; }

/* One axis of a part: number of taps, first weight and step to the next, first source index. */
typedef struct Axis {
  int64_t taps;
  int64_t k0;
  int64_t dk;
  int64_t first;
  int64_t count;
  int64_t o0;
} Axis;

static Axis axis_of(const ConvGeom *g, int64_t r, int64_t out, int64_t map) {
  const int64_t s = g->stride, pad = g->pad;
  /* r: residue of the tap */
  if (g->kind != CONV_DX) return (Axis){(2 - r) / s + 1, r, s, r - pad, out, 0};
  /* r: residue of the output pixel */
  const int64_t p = (r + pad) % s, taps = (2 - p) / s + 1;
  return (Axis){taps,
                p + s * (taps - 1),
                -s,
                (r + pad - p) / s - (taps - 1),
                r < map ? ceil_div(map - r, s) : 0,
                r};
}

WinoPart wino_part(const ConvGeom *g, int side, int i) {
  /* by outputs of a tile */
  static const uint8_t form[4][4] = {
      [1] = {[1] = WF_11, [3] = WF_13}, [3] = {[1] = WF_31, [3] = WF_33}};
  const bool dx = g->kind == CONV_DX;
  const Axis y = axis_of(g, i / g->stride, g->oh, g->h), x = axis_of(g, i % g->stride, g->ow, g->w);
  WinoPart p = {.taps = (int)(y.taps * x.taps),
                .step = dx ? 1 : g->stride,
                .first_y = y.first,
                .first_x = x.first,
                .gh = y.count,
                .gw = x.count,
                .ostep = dx ? g->stride : 1,
                .oy0 = y.o0,
                .ox0 = x.o0};
  p.my = y.taps == 3 ? side : y.taps == 2 ? 3 : 1;
  p.mx = x.taps == 3 ? side : x.taps == 2 ? 3 : 1;
  p.form = side == 4 ? WF_44 : side == 2 ? WF_22 : form[p.my][p.mx];
  p.ay = p.my + (int)y.taps - 1;
  p.ax = p.mx + (int)x.taps - 1;
  for (int t = 0; t < p.taps; t++)
    p.tap[t] = (int32_t)((y.k0 + t / x.taps * y.dk) * 3 + x.k0 + t % x.taps * x.dk);
  return p;
}

typedef struct Wino {
  const GemmKernels *k;
  const WinoKernels *wk;
  WinoPart q;
  /* frequencies, lanes */
  int alpha2;
  int nr;
  /* images, output and source channels, m in panels */
  int64_t n;
  int64_t m;
  int64_t c;
  int64_t mp;
  /* source and output maps */
  int64_t sh;
  int64_t sw;
  int64_t oh;
  int64_t ow;
  int64_t ty;
  int64_t tx;
  int64_t tiles;
  int64_t panels;
  /* panels per block; output channels per product task */
  int64_t np;
  int64_t blocks;
  int64_t mc;
  /* a task per block; U made when it is needed; add to what earlier parts have written */
  bool alone;
  bool lean;
  bool add;
  /* strides of V and U between frequencies */
  int64_t vf;
  int64_t uf;
  /* staged planes of a block, at most */
  int64_t images;
  int64_t rows;
  int64_t cols;
  const real *src;
  const real *scale;
  const real *u;
  const real *weights; /* lean */
  bool fwd;
  real *out;
  /* shared V and M */
  real *v;
  real *mm;
  char *slots;
  size_t slot_bytes;
  int64_t blk; /* block in work when shared */
} Wino;

typedef struct WSlot {
  real *v;
  real *mm;
  real *stage;
  real *u; /* lean */
  int32_t *off;
  uint8_t *size;
} WSlot;

enum {
  WINO_LANES_MIN = 128,
  WINO_LANES_MAX = 2048,
  WINO_BLOCK_BYTES = 8 << 20,
  WINO_ALONE_BYTES = 384 << 10,
  WINO_ALONE_WEIGHTS = 20000,
  LEAN_BYTES = 16 << 20, /* of prepared weights, at least */
  LEAN_TILES = 128,      /* at most */
  LEAN_FEW = 32,         /* of F(4x4): so few do not repay 36 numbers for each kernel */
  LEAN_ROWS = 4 * GEMM_PANEL
};

bool wino_lean(const ConvGeom *g, int side) {
  if (side != 4 && side != 2) return false;
  const bool fwd = g->kind == CONV_FWD;
  const int64_t tiles =
      g->n * ceil_div(fwd ? g->oh : g->h, side) * ceil_div(fwd ? g->ow : g->w, side);
  return g->stride == 1 && tiles <= LEAN_TILES && (side == 2 || tiles > LEAN_FEW) &&
         wino_prep_numel(g, side) * sizeof(real) >= LEAN_BYTES;
}

/* Between frequencies of a task's own U. */
static int64_t lean_step(int64_t kc) { return LEAN_ROWS * kc + 80; }

static void wino_layout(Wino *w, const ConvGeom *g, int side, int part, int nr) {
  const bool fwd = g->kind == CONV_FWD;
  const WinoPart *q = &w->q;
  w->q = wino_part(g, side, part);
  w->alpha2 = q->ay * q->ax;
  w->nr = nr;
  w->add = fwd && part > 0;
  w->fwd = fwd;
  w->n = g->n;
  w->m = fwd ? g->co : g->ci;
  w->c = fwd ? g->ci : g->co;
  w->mp = round_up(w->m, GEMM_PANEL);
  w->sh = fwd ? g->h : g->oh;
  w->sw = fwd ? g->w : g->ow;
  w->oh = fwd ? g->oh : g->h;
  w->ow = fwd ? g->ow : g->w;
  w->ty = ceil_div(q->gh, q->my);
  w->tx = ceil_div(q->gw, q->mx);
  w->tiles = w->n * w->ty * w->tx;
  /* not a power of two: frequencies must not compete for one cache set */
  w->uf = w->mp * w->c + 80;
  if (!w->tiles) return;
  w->panels = ceil_div(w->tiles, nr);
  const int64_t lane_bytes = w->alpha2 * (w->c + w->mp) * (int64_t)sizeof(real),
                panel_bytes = lane_bytes * nr;
  w->alone = w->mp * w->c <= WINO_ALONE_WEIGHTS && panel_bytes <= 1 << 20 && w->panels >= 8;
  w->np = w->alone ? PRLX_MIN(w->panels / 8, WINO_ALONE_BYTES / panel_bytes)
                   : PRLX_MIN(w->panels,
                              PRLX_MAX(WINO_LANES_MIN,
                                       PRLX_MIN(WINO_LANES_MAX, WINO_BLOCK_BYTES / lane_bytes)) /
                                  nr);
  if (w->np < 1) w->np = 1;
  w->blocks = ceil_div(w->panels, w->np);
  w->np = ceil_div(w->panels, w->blocks);
  /* V comes from beyond the second-level cache, once for so many rows */
  w->mc = w->alpha2 > 1 ? 8 * GEMM_PANEL : 4 * GEMM_PANEL;
  w->vf = w->np * w->c * nr + 80;
  w->images = PRLX_MIN(w->n, ceil_div(w->np * nr - 1, w->ty * w->tx) + 1);
  w->rows = (w->images > 1 ? w->ty : PRLX_MIN(w->ty, ceil_div(w->np * nr - 1, w->tx) + 1)) * q->my +
            q->ay - q->my;
  w->cols = w->tx * q->mx + 4;
}

static WSlot make_slot(const Wino *w, Bump *mem) {
  WSlot s;
  const size_t lanes = (size_t)(w->np * w->nr);
  s.v = bump(mem, w->alone ? (size_t)(w->alpha2 * w->vf) : 0, sizeof(real));
  s.mm = bump(mem, w->alone ? (size_t)(w->mp * w->alpha2) * lanes : 0, sizeof(real));
  s.stage = bump(mem, (size_t)(w->images * w->rows * w->cols + GEMM_NR_MAX + 8), sizeof(real));
  s.u = bump(mem, w->lean ? (size_t)(w->alpha2 * lean_step(PRLX_MIN(w->c, GEMM_KC))) : 0,
             sizeof(real));
  s.off = bump(mem, lanes, sizeof(int32_t));
  s.size = bump(mem, lanes, 1);
  return s;
}

static size_t wino_memory(Wino *w, Bump *mem) {
  w->v = bump(mem, w->alone ? 0 : (size_t)(w->alpha2 * w->vf), sizeof(real));
  w->mm = bump(mem, w->alone ? 0 : (size_t)(w->mp * w->alpha2 * w->np * w->nr), sizeof(real));
  Bump slot = {NULL, 0};
  make_slot(w, &slot);
  w->slot_bytes = slot.used;
  w->slots = bump(mem, (size_t)conv_slots(slot.used), slot.used);
  return mem->used;
}

/* ---- prepared weights: for every part U[f][block of c][m/12][c][12] ---- */
size_t wino_prep_numel(const ConvGeom *g, int side) {
  size_t n = 0;
  for (int i = 0; i < wino_parts(g); i++) {
    Wino w = {0};
    wino_layout(&w, g, side, i, 8);
    n += (size_t)(w.alpha2 * w.uf);
  }
  return n;
}

typedef struct WPrep {
  Wino w;
  real *dst;
} WPrep;

/* Rows m0.. (one panel) and channels [c0,c1) of U: dst[f][c - c0][12], frequencies df apart. Of
 * conv2d_dx the kernels of a channel are far from those of the next: they are fetched ahead. */
static void weights_step(const Wino *w, int64_t m0, int64_t c0, int64_t c1, real *dst, int64_t df) {
  enum { AHEAD = 4, LINE = 64 / sizeof(real) };
  const int64_t lanes = PRLX_MIN(GEMM_PANEL, w->m - m0);
  for (int64_t c = c0; c < c1; c++, dst += GEMM_PANEL) {
    for (int64_t i = 0; !w->fwd && c + AHEAD < c1 && i < lanes * 9; i += LINE)
      __builtin_prefetch(w->weights + ((c + AHEAD) * w->m + m0) * 9 + i);
    w->wk->weights[w->q.form](w->weights + (w->fwd ? m0 * w->c + c : c * w->m + m0) * 9,
                              w->fwd ? w->c * 9 : 9, (int)lanes, w->q.tap, dst, df);
  }
}

static void prep_task(void *ctx, int64_t i, int worker) {
  const WPrep *p = ctx;
  const Wino *w = &p->w;
  const int64_t m0 = i * GEMM_PANEL;
  for (int64_t k0 = 0; k0 < w->c; k0 += GEMM_KC) {
    const int64_t kc = PRLX_MIN(GEMM_KC, w->c - k0);
    weights_step(w, m0, k0, k0 + kc, p->dst + w->mp * k0 + m0 * kc, w->uf);
  }
}

void wino_prep(const ConvGeom *g, int side, const real *weights, real *dst) {
  WPrep p = {.dst = dst};
  p.w.wk = ISA_PICK(wino_kernels);
  p.w.weights = weights;
  for (int i = 0; i < wino_parts(g); i++) {
    wino_layout(&p.w, g, side, i, 8);
    par_for(p.w.mp / GEMM_PANEL, prep_task, &p);
    p.dst += p.w.alpha2 * p.w.uf;
  }
}

/* ---- one block of tiles ---- */
typedef struct WSpan {
  int64_t t0;
  int64_t nt;
  int64_t np;
  int64_t n0;
  int64_t nimg;
  int64_t row0;
  int64_t rows;
} WSpan;

static WSpan span_of(const Wino *w, int64_t blk) {
  const int64_t per = w->ty * w->tx, p0 = blk * w->np;
  WSpan s = {.t0 = p0 * w->nr, .np = PRLX_MIN(w->np, w->panels - p0)};
  s.nt = PRLX_MIN(s.np * w->nr, w->tiles - s.t0);
  s.n0 = s.t0 / per;
  s.nimg = (s.t0 + s.nt - 1) / per - s.n0 + 1;
  s.row0 = s.nimg > 1 ? 0 : s.t0 % per / w->tx;
  s.rows = ((s.nimg > 1 ? w->ty : (s.t0 + s.nt - 1) % per / w->tx + 1) - s.row0) * w->q.my +
           w->q.ay - w->q.my;
  return s;
}

/* Walks through tiles in order: image (of the block), row and column of tiles. */
typedef struct Walk {
  int64_t n;
  int64_t y;
  int64_t x;
} Walk;
static inline Walk walk_from(const Wino *w, const WSpan *s) {
  return (Walk){0, s->t0 % (w->ty * w->tx) / w->tx, s->t0 % w->tx};
}

static inline void walk_next(const Wino *w, Walk *k) {
  if (++k->x < w->tx) return;
  k->x = 0;
  if (++k->y < w->ty) return;
  k->y = 0;
  k->n++;
}

/* Source channels [c0,c1) of a block, transformed into V. */
static void input_step(const Wino *w, const WSpan *s, const WSlot *slot, int64_t c0, int64_t c1,
                       real *v) {
  const WinoPart *q = &w->q;
  const int64_t plane = w->sh * w->sw;
  int32_t *off = slot->off;
  Walk k = walk_from(w, s);
  for (int64_t j = 0; j < s->nt; j++, walk_next(w, &k))
    off[j] = (int32_t)((k.n * s->rows + (k.y - s->row0) * q->my) * w->cols + k.x * q->mx);
  /* lanes past the end read the slack of the stage */
  for (int64_t j = s->nt; j < s->np * w->nr; j++) off[j] = off[j - 1] + 1;
  const Window wy = window(q->step, s->row0 * q->my * q->step + q->first_y, s->rows, w->sh),
               wx = window(q->step, q->first_x, w->cols, w->sw);
  memset(slot->stage, 0, (size_t)(s->nimg * s->rows * w->cols + GEMM_NR_MAX + 8) * sizeof(real));
  for (int64_t c = c0; c < c1; c++) {
    for (int64_t i = 0; i < s->nimg; i++) {
      if (c + 1 < w->c)
        prefetch_window(w->src + ((s->n0 + i) * w->c + c + 1) * plane, w->sw, wy, wx);
      stage_window(w->k, w->src + ((s->n0 + i) * w->c + c) * plane, w->sw, wy, wx,
                   w->scale ? w->scale[(s->n0 + i) * w->c + c] : 1,
                   slot->stage + i * s->rows * w->cols, w->cols);
    }
    for (int64_t p = 0; p < s->np; p++)
      w->wk->input[q->form](slot->stage, (int)PRLX_MIN(w->nr, s->nt - p * w->nr), off + p * w->nr,
                            w->cols, v + (p * w->c + c) * w->nr, w->vf);
  }
}

/* Output channels [m0,m0+m) of M at frequency f. */
static void product_step(const Wino *w, const WSpan *s, int64_t f, int64_t m0, int64_t m,
                         const real *v, real *mm) {
  const int64_t c_row = w->alpha2 * w->nr;
  for (int64_t k0 = 0; k0 < w->c; k0 += GEMM_KC) {
    const int64_t kc = PRLX_MIN(GEMM_KC, w->c - k0);
    w->k->block(m, s->nt, kc, w->u + f * w->uf + w->mp * k0 + m0 * kc, GEMM_PANEL, kc * GEMM_PANEL,
                v + f * w->vf + k0 * w->nr, w->nr, w->c * w->nr, mm + m0 * c_row + f * w->nr, c_row,
                w->mp * c_row, k0 > 0 ? GEMM_ADD : GEMM_SET);
  }
}

static void output_step(const Wino *w, const WSpan *s, const WSlot *slot, int64_t m0, int64_t m1,
                        const real *mm) {
  const WinoPart *q = &w->q;
  const int64_t plane = w->oh * w->ow;
  Walk k = walk_from(w, s);
  for (int64_t j = 0; j < s->nt; j++, walk_next(w, &k)) {
    const int64_t y = k.y * q->my, x = k.x * q->mx;
    slot->off[j] =
        (int32_t)(k.n * w->m * plane + (y * q->ostep + q->oy0) * w->ow + x * q->ostep + q->ox0);
    slot->size[j] = (uint8_t)(PRLX_MIN(q->my, q->gh - y) * 8 + PRLX_MIN(q->mx, q->gw - x));
  }
  for (int64_t p = 0; p < s->np; p++)
    for (int64_t m = m0; m < m1; m++)
      w->wk->output[q->form](mm + (p * w->mp + m) * w->alpha2 * w->nr,
                             (int)PRLX_MIN(w->nr, s->nt - p * w->nr), slot->off + p * w->nr,
                             slot->size + p * w->nr, w->out + (s->n0 * w->m + m) * plane,
                             q->ostep * w->ow, q->ostep, w->add);
}

static void alone_task(void *ctx, int64_t blk, int slot) {
  const Wino *w = ctx;
  Bump mem = {w->slots + (size_t)slot * w->slot_bytes, 0};
  const WSlot s = make_slot(w, &mem);
  const WSpan b = span_of(w, blk);
  input_step(w, &b, &s, 0, w->c, s.v);
  for (int64_t f = 0; f < w->alpha2; f++) product_step(w, &b, f, 0, w->m, s.v, s.mm);
  output_step(w, &b, &s, 0, w->m, s.mm);
}

enum { IN_CHUNK = 8, OUT_CHUNK = 12 };

static void input_task(void *ctx, int64_t i, int slot) {
  const Wino *w = ctx;
  Bump mem = {w->slots + (size_t)slot * w->slot_bytes, 0};
  const WSlot s = make_slot(w, &mem);
  const WSpan b = span_of(w, w->blk);
  input_step(w, &b, &s, i * IN_CHUNK, PRLX_MIN(w->c, (i + 1) * IN_CHUNK), w->v);
}

static void product_task(void *ctx, int64_t i, int slot) {
  const Wino *w = ctx;
  const WSpan b = span_of(w, w->blk);
  const int64_t chunks = ceil_div(w->m, w->mc), m0 = i % chunks * w->mc;
  product_step(w, &b, i / chunks, m0, PRLX_MIN(w->mc, w->m - m0), w->v, w->mm);
}

/* LEAN_ROWS output channels at all frequencies, their weights first. */
static void lean_task(void *ctx, int64_t i, int slot) {
  const Wino *w = ctx;
  Bump mem = {w->slots + (size_t)slot * w->slot_bytes, 0};
  const WSlot s = make_slot(w, &mem);
  const WSpan b = span_of(w, w->blk);
  const int64_t m0 = i * LEAN_ROWS, m = PRLX_MIN(LEAN_ROWS, w->m - m0), c_row = w->alpha2 * w->nr;
  for (int64_t k0 = 0; k0 < w->c; k0 += GEMM_KC) {
    const int64_t kc = PRLX_MIN(GEMM_KC, w->c - k0), uf = lean_step(kc);
    for (int64_t r = 0; r < m; r += GEMM_PANEL)
      weights_step(w, m0 + r, k0, k0 + kc, s.u + r * kc, uf);
    for (int64_t f = 0; f < w->alpha2; f++)
      w->k->block(m, b.nt, kc, s.u + f * uf, GEMM_PANEL, kc * GEMM_PANEL,
                  w->v + f * w->vf + k0 * w->nr, w->nr, w->c * w->nr,
                  w->mm + m0 * c_row + f * w->nr, c_row, w->mp * c_row,
                  k0 > 0 ? GEMM_ADD : GEMM_SET);
  }
}

static void output_task(void *ctx, int64_t i, int slot) {
  const Wino *w = ctx;
  Bump mem = {w->slots + (size_t)slot * w->slot_bytes, 0};
  const WSlot s = make_slot(w, &mem);
  const WSpan b = span_of(w, w->blk);
  output_step(w, &b, &s, i * OUT_CHUNK, PRLX_MIN(w->m, (i + 1) * OUT_CHUNK), w->mm);
}

/* ---- the run ---- */
size_t wino_scratch(const ConvGeom *g, int side, bool with_prep) {
  size_t most = 0;
  for (int i = 0; i < wino_parts(g); i++)
    for (int nr = 4; nr <= GEMM_NR_MAX; nr *= 2) { /* whichever instruction set runs */
      Wino w = {.lean = wino_lean(g, side)};
      Bump mem = {NULL, 0};
      wino_layout(&w, g, side, i, nr);
      const size_t bytes = w.tiles ? wino_memory(&w, &mem) : 0;
      most = PRLX_MAX(most, bytes);
    }
  Bump mem = {NULL, most};
  bump(&mem, with_prep || wino_lean(g, side) ? 0 : wino_prep_numel(g, side), sizeof(real));
  return mem.used;
}

static void run_part(Wino *w) {
  const int nslots = conv_slots(w->slot_bytes);
  if (w->alone) {
    par_tasks(w->blocks, nslots, alone_task, w);
    return;
  }
  for (w->blk = 0; w->blk < w->blocks; w->blk++) {
    par_tasks(ceil_div(w->c, IN_CHUNK), nslots, input_task, w);
    if (w->lean)
      par_tasks(ceil_div(w->m, LEAN_ROWS), nslots, lean_task, w);
    else
      par_tasks(w->alpha2 * ceil_div(w->m, w->mc), nslots, product_task, w);
    par_tasks(ceil_div(w->m, OUT_CHUNK), nslots, output_task, w);
  }
}

void wino_run(const ConvGeom *g, int side, const real *src, const real *weights, const real *prep,
              const real *scale, real *out, void *scratch) {
  Wino w = {.k = ISA_PICK(gemm_kernels),
            .wk = ISA_PICK(wino_kernels),
            .src = src,
            .scale = scale,
            .weights = weights,
            .lean = wino_lean(g, side),
            .out = out};
  Bump mem = {scratch, 0};
  if (!prep && !w.lean) {
    real *own = bump(&mem, wino_prep_numel(g, side), sizeof(real));
    wino_prep(g, side, weights, own);
    prep = own;
  }
  for (int i = 0; i < wino_parts(g); i++) {
    wino_layout(&w, g, side, i, w.k->nr);
    w.u = prep;
    if (!w.lean) prep += w.alpha2 * w.uf;
    if (!w.tiles) continue;
    Bump part = mem;
    wino_memory(&w, &part);
    run_part(&w);
  }
}

/* ---- choice ----
 * Expected time in units of one multiply-add at full speed: products (a panel of 16 lanes is
 * computed whole), some for every tile and channel for its transforms, and 12 for every prepared
 * weight that has to come from memory. */
static double part_cost(const ConvGeom *g, int side, int i, double m, double c) {
  const WinoPart q = wino_part(g, side, i);
  const int64_t tiles = g->plan_n * ceil_div(q.gh, q.my) * ceil_div(q.gw, q.mx);
  return m * c * q.ay * q.ax * ((double)round_up(tiles, 16) + 12) +
         14.0 * q.ay * q.ax * (m + c) * (double)tiles;
}

static double direct_cost(const ConvGeom *g, double m, double c) {
  double t = 0;
  for (int i = 0; i < wino_parts(g); i++) {
    const WinoPart q = wino_part(g, 3, i);
    if (g->kind == CONV_DX)
      t += m * c * q.taps * ((double)round_up(g->plan_n * q.gh * q.gw, 16) + 12);
    else if (i == 0)
      t += m * c * 9 * ((double)round_up(g->plan_n * q.gh * q.gw, 16) + 12);
  }
  return t;
}

int wino_auto(const ConvGeom *g) {
  const bool fwd = g->kind == CONV_FWD;
  if (g->kind == CONV_DW)
    return g->stride == 1 && g->ci >= 8 && g->co >= 8 && g->plan_n * g->oh * g->ow >= 64 ? 4 : 0;
  if (fwd && g->stride == 2 && PRLX_MIN(g->ci, g->co) < 192) return 0;
  const double m = (double)round_up(fwd ? g->co : g->ci, 6), c = (double)(fwd ? g->ci : g->co);
  double best = direct_cost(g, m, c);
  int choice = 0;
  for (int side = g->stride == 1 ? 2 : 3; side <= (g->stride == 1 ? 4 : 3); side += 2) {
    double t = 0;
    for (int i = 0; i < wino_parts(g); i++) t += part_cost(g, side, i, m, c);
    if (t < best) {
      best = t;
      choice = side;
    }
  }
  return choice;
}
