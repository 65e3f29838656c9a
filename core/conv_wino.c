/* conv_wino.c: conv2d and conv2d_dx with 3x3 kernels and stride 1 by Winograd's minimal filtering (see core/winograd.h).
 *
 * With a = m + 2 and f = 0 .. a*a-1 the frequency:
 *   U[f] = weights in panels [m/12][c][12], blocked by c (prepared),  V[f] = input patches [panel][c][nr],  M[panel][m][f][nr] = U[f] V[f]
 * conv2d_dx is the same with channels exchanged, kernels rotated, and padding 2 - pad.
 * Tiles are taken in blocks. Small layers: one task carries a block through all three steps in its cache. Large ones: each
 * step of a block is spread over the threads, so that the large U is read once per block, not once per task. */
#include "core/conv_impl.h"
#include "core/threads.h"
#include "core/winograd.h"
#include <string.h>

typedef struct Wino {
  const GemmKernels *k; const WinoKernels *wk;
  int side, alpha2, nr, ix;          /* m, a*a, lanes, index of the kernels */
  int64_t n, m, c, mp;               /* images, output and source channels, m in panels */
  int64_t sh, sw, oh, ow, pad;       /* source and output maps */
  int64_t ty, tx, tiles, panels;
  int64_t np, blocks;                /* panels per block */
  bool alone;                        /* a task per block */
  int64_t vf, uf;                    /* strides of V and U between frequencies */
  int64_t images, rows, cols;        /* staged planes of a block, at most */
  const real *src, *scale, *u; real *out;
  real *v, *mm;                      /* shared V and M */
  char *slots; size_t slot_bytes;
  int64_t blk;                       /* block in work when shared */
} Wino;

typedef struct WSlot { real *v, *mm, *stage; int32_t *off; uint8_t *size; } WSlot;

bool wino_possible(const ConvGeom *g) { return g->kh == 3 && g->kw == 3 && g->stride == 1; }

static void layout(Wino *w, const ConvGeom *g, int side, int nr) {
  const bool fwd = g->kind == CONV_FWD;
  w->side = side; w->alpha2 = (side + 2) * (side + 2); w->nr = nr; w->ix = side == 4;
  w->n = g->n; w->m = fwd ? g->co : g->ci; w->c = fwd ? g->ci : g->co; w->mp = round_up(w->m, GEMM_PANEL);
  w->sh = fwd ? g->h : g->oh; w->sw = fwd ? g->w : g->ow; w->oh = fwd ? g->oh : g->h; w->ow = fwd ? g->ow : g->w;
  w->pad = fwd ? g->pad : 2 - g->pad;
  w->ty = ceil_div(w->oh, side); w->tx = ceil_div(w->ow, side); w->tiles = w->n * w->ty * w->tx;
  w->panels = ceil_div(w->tiles, nr);
  const int64_t panel_bytes = w->alpha2 * (w->c + w->mp) * nr * (int64_t)sizeof(real);
  w->alone = w->mp * w->c <= 20000 && panel_bytes <= 1 << 20 && w->panels >= 8;
  w->np = w->alone ? PRLX_MAX(1, PRLX_MIN(w->panels / 8, (384 << 10) / panel_bytes)) : PRLX_MIN(w->panels, PRLX_MAX(1, 128 / nr));
  w->blocks = ceil_div(w->panels, w->np);
  w->vf = w->np * w->c * nr + 80;    /* not a power of two: frequencies must not compete for one cache set */
  w->uf = w->mp * w->c + 80;
  w->images = PRLX_MIN(w->n, ceil_div(w->np * nr - 1, w->ty * w->tx) + 1);
  w->rows = (w->images > 1 ? w->ty : PRLX_MIN(w->ty, ceil_div(w->np * nr - 1, w->tx) + 1)) * side + 2;
  w->cols = w->tx * side + 4;
}

static WSlot make_slot(const Wino *w, Bump *mem) {
  WSlot s;
  const size_t lanes = (size_t)(w->np * w->nr);
  s.v = bump(mem, w->alone ? (size_t)(w->alpha2 * w->vf) : 0, sizeof(real));
  s.mm = bump(mem, w->alone ? (size_t)(w->mp * w->alpha2) * lanes : 0, sizeof(real));
  s.stage = bump(mem, (size_t)(w->images * w->rows * w->cols + 8), sizeof(real));
  s.off = bump(mem, lanes, sizeof(int32_t));
  s.size = bump(mem, lanes, 1);
  return s;
}

static size_t memory(Wino *w, Bump *mem) {
  w->v = bump(mem, w->alone ? 0 : (size_t)(w->alpha2 * w->vf), sizeof(real));
  w->mm = bump(mem, w->alone ? 0 : (size_t)(w->mp * w->alpha2 * w->np * w->nr), sizeof(real));
  Bump slot = {NULL, 0};
  make_slot(w, &slot);
  w->slot_bytes = slot.used;
  w->slots = bump(mem, (size_t)conv_slots(slot.used), slot.used);
  return mem->used;
}

/* ---- prepared weights: U[f][block of c][m/12][c][12] ---- */
size_t wino_prep_numel(const ConvGeom *g, int side) {
  Wino w = {0};
  layout(&w, g, side, 8);
  return (size_t)(w.alpha2 * w.uf);
}

typedef struct WPrep { const ConvGeom *g; Wino w; const real *weights; real *dst; } WPrep;

static void prep_task(void *ctx, int64_t i, int worker) {
  const WPrep *p = ctx;
  const bool fwd = p->g->kind == CONV_FWD;
  const int64_t m0 = i * GEMM_PANEL;
  for (int64_t c = 0; c < p->w.c; c++) {
    const int64_t k0 = c / GEMM_KC * GEMM_KC, kc = PRLX_MIN(GEMM_KC, p->w.c - k0);
    p->w.wk->weights[p->w.ix](p->weights + (fwd ? m0 * p->w.c + c : c * p->w.m + m0) * 9, fwd ? p->w.c * 9 : 9, (int)PRLX_MIN(GEMM_PANEL, p->w.m - m0), !fwd,
                              p->dst + p->w.mp * k0 + m0 * kc + (c - k0) * GEMM_PANEL, p->w.uf);
  }
}

void wino_prep(const ConvGeom *g, int side, const real *weights, real *dst) {
  WPrep p = {.g = g, .weights = weights, .dst = dst};
  layout(&p.w, g, side, 8);
  p.w.wk = ISA_PICK(wino_kernels);
  par_for(p.w.mp / GEMM_PANEL, prep_task, &p);
}

/* ---- one block of tiles ---- */
typedef struct WSpan { int64_t p0, np, t0, nt, n0, nimg, row0, rows; } WSpan;

static WSpan span_of(const Wino *w, int64_t blk) {
  const int64_t per = w->ty * w->tx;
  WSpan s = {.p0 = blk * w->np};
  s.np = PRLX_MIN(w->np, w->panels - s.p0);
  s.t0 = s.p0 * w->nr;
  s.nt = PRLX_MIN(s.np * w->nr, w->tiles - s.t0);
  s.n0 = s.t0 / per;
  s.nimg = (s.t0 + s.nt - 1) / per - s.n0 + 1;
  s.row0 = s.nimg > 1 ? 0 : s.t0 % per / w->tx;
  s.rows = ((s.nimg > 1 ? w->ty : (s.t0 + s.nt - 1) % per / w->tx + 1) - s.row0) * w->side + 2;
  return s;
}

/* Source channels [c0,c1) of a block, transformed into V. */
static void input_step(const Wino *w, const WSpan *s, const WSlot *slot, int64_t c0, int64_t c1, real *v) {
  const int64_t per = w->ty * w->tx, plane = w->sh * w->sw;
  for (int64_t j = 0; j < s->np * w->nr; j++) {
    const int64_t t = s->t0 + PRLX_MIN(j, s->nt - 1), n = t / per - s->n0, y = t % per / w->tx - s->row0, x = t % w->tx;
    slot->off[j] = (int32_t)((n * s->rows + y * w->side) * w->cols + x * w->side);
  }
  for (int64_t c = c0; c < c1; c++) {
    real *to = slot->stage;
    for (int64_t i = 0; i < s->nimg; i++) {
      const real *in = w->src + ((s->n0 + i) * w->c + c) * plane, f = w->scale ? w->scale[(s->n0 + i) * w->c + c] : 1;
      for (int64_t r = 0; r < s->rows; r++, to += w->cols) {
        const int64_t y = s->row0 * w->side + r - w->pad;
        if (y < 0 || y >= w->sh) memset(to, 0, (size_t)w->cols * sizeof(real));
        else w->k->stage_row(in + y * w->sw, w->sw, 1, -w->pad, f, to, w->cols);
      }
    }
    for (int64_t p = 0; p < s->np; p++) w->wk->input[w->ix](slot->stage, slot->off + p * w->nr, w->cols, v + (p * w->c + c) * w->nr, w->vf);
  }
}

/* Output channels [m0,m0+m) of M at frequency f. */
static void product_step(const Wino *w, const WSpan *s, int64_t f, int64_t m0, int64_t m, const real *v, real *mm) {
  const int64_t c_row = w->alpha2 * w->nr;
  for (int64_t k0 = 0; k0 < w->c; k0 += GEMM_KC) {
    const int64_t kc = PRLX_MIN(GEMM_KC, w->c - k0);
    w->k->block(m, s->np, kc, w->u + f * w->uf + w->mp * k0 + m0 * kc, GEMM_PANEL, kc * GEMM_PANEL, v + f * w->vf + k0 * w->nr, w->nr, w->c * w->nr,
                mm + m0 * c_row + f * w->nr, c_row, w->mp * c_row, k0 > 0);
  }
}

static void output_step(const Wino *w, const WSpan *s, const WSlot *slot, int64_t m0, int64_t m1, const real *mm) {
  const int64_t per = w->ty * w->tx, plane = w->oh * w->ow;
  for (int64_t j = 0; j < s->nt; j++) {
    const int64_t t = s->t0 + j, n = t / per - s->n0, y = t % per / w->tx * w->side, x = t % w->tx * w->side;
    slot->off[j] = (int32_t)(n * w->m * plane + y * w->ow + x);
    slot->size[j] = (uint8_t)(PRLX_MIN(w->side, w->oh - y) * 8 + PRLX_MIN(w->side, w->ow - x));
  }
  for (int64_t p = 0; p < s->np; p++)
    for (int64_t m = m0; m < m1; m++)
      w->wk->output[w->ix](mm + (p * w->mp + m) * w->alpha2 * w->nr, (int)PRLX_MIN(w->nr, s->nt - p * w->nr), slot->off + p * w->nr, slot->size + p * w->nr,
                           w->out + (s->n0 * w->m + m) * plane, w->ow);
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

enum { IN_CHUNK = 8, OUT_CHUNK = 12, MC = 96 };

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
  const int64_t chunks = ceil_div(w->m, MC), m0 = i % chunks * MC;
  product_step(w, &b, i / chunks, m0, PRLX_MIN(MC, w->m - m0), w->v, w->mm);
}
static void output_task(void *ctx, int64_t i, int slot) {
  const Wino *w = ctx;
  Bump mem = {w->slots + (size_t)slot * w->slot_bytes, 0};
  const WSlot s = make_slot(w, &mem);
  const WSpan b = span_of(w, w->blk);
  output_step(w, &b, &s, i * OUT_CHUNK, PRLX_MIN(w->m, (i + 1) * OUT_CHUNK), w->mm);
}

size_t wino_scratch(const ConvGeom *g, int side, bool with_prep) {
  size_t most = 0;
  for (int nr = 4; nr <= GEMM_NR_MAX; nr *= 2) {
    Wino w = {0};
    Bump mem = {NULL, 0};
    layout(&w, g, side, nr);
    const size_t bytes = memory(&w, &mem);
    most = PRLX_MAX(most, bytes);
  }
  Bump mem = {NULL, most};
  bump(&mem, with_prep ? 0 : wino_prep_numel(g, side), sizeof(real));
  return mem.used;
}

void wino_run(const ConvGeom *g, int side, const real *src, const real *weights, const real *prep, const real *scale, real *out, void *scratch) {
  Wino w = {.k = ISA_PICK(gemm_kernels), .wk = ISA_PICK(wino_kernels), .src = src, .scale = scale, .u = prep, .out = out};
  Bump mem = {scratch, 0};
  if (!prep) {
    real *own = bump(&mem, wino_prep_numel(g, side), sizeof(real));
    wino_prep(g, side, weights, own);
    w.u = own;
  }
  layout(&w, g, side, w.k->nr);
  memory(&w, &mem);
  const int nslots = conv_slots(w.slot_bytes);
  if (w.alone) { par_tasks(w.blocks, nslots, alone_task, &w); return; }
  for (w.blk = 0; w.blk < w.blocks; w.blk++) {
    par_tasks(ceil_div(w.c, IN_CHUNK), nslots, input_task, &w);
    par_tasks(w.alpha2 * ceil_div(w.m, MC), nslots, product_task, &w);
    par_tasks(ceil_div(w.m, OUT_CHUNK), nslots, output_task, &w);
  }
}

/* ---- choice ----
 * Expected time in units of one multiply-add at full speed: products (a tile of 16 lanes is computed whole), about 500 per tile,
 * channel and transform for F(4x4) and 150 for F(2x2), and 12 for every prepared weight that has to come from memory. */
int wino_auto(const ConvGeom *g) {
  if (g->kind == CONV_DW) {
    const double pix = (double)(g->n * g->oh * g->ow);
    return g->ci >= 8 && g->co >= 8 && pix >= 64 ? 4 : 0;
  }
  /* g->n is left out on purpose: an image's bits may not depend on the size of its batch (projection, SEMANTICS 9; test_projector). */
  const bool fwd = g->kind == CONV_FWD;
  const int64_t m = fwd ? g->co : g->ci, c = fwd ? g->ci : g->co, oh = fwd ? g->oh : g->h, ow = fwd ? g->ow : g->w;
  const double mr = (double)round_up(m, 6), mc = mr * (double)c;
  double best = mc * 9 * ((double)round_up(oh * ow, 16) + 12);
  int side = 0;
  for (int s = 2; s <= 4; s += 2) {
    const int64_t tiles = ceil_div(oh, s) * ceil_div(ow, s);
    const double a2 = (s + 2) * (s + 2), t = mc * a2 * ((double)round_up(tiles, 16) + 12) + (s == 4 ? 500.0 : 150.0) * (double)((m + c) * tiles);
    if (t < best) { best = t; side = s; }
  }
  return side;
}
