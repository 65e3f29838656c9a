/* conv_direct_dw.c: conv2d_dw, the weight gradient, as a matrix product over pixels, any kernel,
 * stride and padding.
 *
 *   dw[co][(ci,tap)] = sum over pixels p of dy[co][p] * x[ci][p shifted by tap]
 *
 * Both operands are transposed once to channels-last panels: dy to [co/12][pixel][12], the
 * zero-padded x to [ci/nr][padded pixel][nr]. A task owns some output channels x (nr input channels
 * x some taps) and sums over all pixels in a fixed order. Many images are taken in fixed groups to
 * bound the memory; sums then persist between groups.
 *
 * Of few input channels a panel would be nearly empty, once per tap. There (thin) the columns of
 * a panel are the pairs (ci, tap): x is spread to [(ci,tap)/nr][pixel][nr], a 1x1 problem of
 * ci * taps channels in which nothing is gathered. A weight is the same sum in the same order.
 *
 * A small dw over many pixels (blocks): a task transposes and multiplies GEMM_KC pixels in its
 * cache into a sum of its own, and those are added in the order of the pixels: the same sum again.
 */
#include <string.h>
#include "core/conv_impl.h"
#include "core/threads.h"

enum { DW_GROUP_BYTES = 48 << 20, DW_BLOCK_SUM = 384 << 10, DW_BLOCKS_MIN = 8 };

typedef struct Dw {
  const ConvGeom *g;
  const GemmKernels *k;
  const real *x;
  const real *dy;
  const real *sx;
  const real *sdy;
  real *dw;
  bool thin;
  /* padded map; input channels (thin: pairs) and in panels (of nr), output in panels (of 12) */
  int64_t ph;
  int64_t pw;
  int64_t ci;
  int64_t cp;
  int64_t mp;
  int64_t taps; /* thin: 1 */
  /* images per group */
  int64_t nimg;
  int64_t groups;
  /* output channels, taps, panels of input channels per task, and their counts */
  int64_t mc;
  int64_t tc;
  int64_t pc;
  int64_t nm;
  int64_t nt;
  int64_t np;
  /* blocks of GEMM_KC pixels, each a task's: in all, in a group, first of the round; padded rows of
   * a block */
  bool blocks;
  int64_t nb;
  int64_t per_group_nb;
  int64_t b0;
  int64_t block_rows;
  /* group being worked on */
  int64_t n0;
  int64_t ni;
  real *at;
  real *xt;
  real *sums;
  int32_t *row;
  char *slots;
  size_t slot_bytes;
  size_t sum_bytes;
} Dw;

typedef struct DwSlot {
  real *b;
  real *c;
  /* blocks */
  real *at;
  real *xt;
  int32_t *row;
} DwSlot;

static void dw_layout(Dw *d, const ConvGeom *g, int nr) {
  const int64_t taps = g->kh * g->kw;
  d->g = g;
  d->thin = 2 * round_up(g->ci * taps, nr) <= round_up(g->ci, nr) * taps;
  d->taps = d->thin ? 1 : taps;
  d->ph = d->thin ? g->oh : (g->oh - 1) * g->stride + g->kh;
  d->pw = d->thin ? g->ow : (g->ow - 1) * g->stride + g->kw;
  d->ci = d->thin ? g->ci * taps : g->ci;
  d->cp = ceil_div(d->ci, nr);
  d->mp = round_up(g->co, GEMM_PANEL);
  const int64_t per_image =
      (d->cp * nr * d->ph * d->pw + d->mp * g->oh * g->ow) * (int64_t)sizeof(real);
  d->nimg = PRLX_MAX(1, PRLX_MIN(g->n, DW_GROUP_BYTES / per_image));
  d->groups = ceil_div(g->n, d->nimg);
  /* At least 16 tasks: first split the taps (packing is not repeated), then the output channels. */
  d->tc = d->thin || d->cp >= 16 ? d->taps : g->kw;
  d->nt = ceil_div(d->taps, d->tc);
  /* one tap: more panels, or dy would be streamed too often */
  d->pc = d->taps == 1 ? PRLX_MIN(d->cp, 4) : 1;
  d->np = ceil_div(d->cp, d->pc);
  const int64_t want = ceil_div(16, d->np * d->nt);
  const int64_t least = (d->thin ? 1 : 4) * GEMM_PANEL;
  d->mc = PRLX_MIN(d->mp, round_up(PRLX_MAX(least, ceil_div(d->mp, want)), GEMM_PANEL));
  d->nm = ceil_div(g->co, d->mc);
  d->sum_bytes = (size_t)(d->pc * d->tc * d->mc * nr) * sizeof(real);
  const int64_t opix = g->oh * g->ow, whole = d->cp * d->taps * d->mp * nr * (int64_t)sizeof(real);
  d->per_group_nb = ceil_div(d->nimg * opix, GEMM_KC);
  d->nb = (d->groups - 1) * d->per_group_nb +
          ceil_div((g->n - (d->groups - 1) * d->nimg) * opix, GEMM_KC);
  d->block_rows = (GEMM_KC / g->ow + 2) * g->stride + (GEMM_KC / opix + 2) * g->kh;
  d->blocks = whole <= DW_BLOCK_SUM && d->nb >= DW_BLOCKS_MIN;
  if (!d->blocks) return;
  d->mc = d->mp;
  d->sum_bytes = (size_t)whole;
}

static DwSlot dw_slot(const Dw *d, int nr, Bump *mem) {
  DwSlot s;
  const bool own = d->blocks;
  const int64_t rows = d->thin ? GEMM_KC : d->block_rows * d->pw;
  s.b = bump(mem, (size_t)(GEMM_KC * (own ? 1 : d->pc * d->tc) * nr), sizeof(real));
  s.c = bump(mem, d->groups > 1 || own ? 0 : d->sum_bytes, 1);
  s.at = bump(mem, own ? (size_t)(d->mp * GEMM_KC) : 0, sizeof(real));
  s.xt = bump(mem, own ? (size_t)(d->cp * nr * rows) : 0, sizeof(real));
  s.row = bump(mem, own ? GEMM_KC : 0, sizeof(int32_t));
  return s;
}

static size_t dw_memory(Dw *d, int nr, Bump *mem) {
  const ConvGeom *g = d->g;
  const int64_t shared = d->blocks ? 0 : d->nimg;
  int64_t kept = d->groups > 1 ? d->np * d->nt * d->nm : 0;
  if (d->blocks) kept = 1 + PRLX_MIN(d->nb, SUMS_ROUND);
  d->at = bump(mem, (size_t)(d->mp * shared * g->oh * g->ow), sizeof(real));
  d->xt = bump(mem, (size_t)(d->cp * nr * shared * d->ph * d->pw), sizeof(real));
  d->row = bump(mem, (size_t)(shared * g->oh * g->ow), sizeof(int32_t));
  d->sums = bump(mem, (size_t)kept, d->sum_bytes);
  Bump slot = {NULL, 0};
  dw_slot(d, nr, &slot);
  d->slot_bytes = slot.used;
  d->slots = bump(mem, (size_t)conv_slots(slot.used), slot.used);
  return mem->used;
}

/* Outputs x0..x1-1 of a row, of one pair: what its tap sees of image n; to[0], to[nr], ... */
static void dw_spread_row(const Dw *d, int64_t n, int64_t pair, int64_t oy, int64_t x0, int64_t x1,
                          real *to) {
  const ConvGeom *g = d->g;
  const int nr = d->k->nr;
  const int64_t ci = pair / (g->kh * g->kw), t = pair % (g->kh * g->kw),
                y = oy * g->stride + t / g->kw - g->pad, dx = t % g->kw - g->pad;
  if (y < 0 || y >= g->h) return;
  const real *from = d->x + ((n * g->ci + ci) * g->h + y) * g->w;
  const real scale = d->sx ? d->sx[n * g->ci + ci] : 1;
  const int64_t lo = PRLX_MAX(x0, dx < 0 ? ceil_div(-dx, g->stride) : 0),
                hi = PRLX_MIN(x1, dx < g->w ? ceil_div(g->w - dx, g->stride) : 0);
  for (int64_t x = lo; x < hi; x++) to[(x - x0) * nr] = scale * from[x * g->stride + dx];
}

/* Thin: panel p of the pairs, image img of the group. */
static void dw_spread(const Dw *d, int64_t img, int64_t p) {
  const ConvGeom *g = d->g;
  const int nr = d->k->nr;
  const int64_t lanes = PRLX_MIN(nr, d->ci - p * nr);
  real *to = d->xt + (p * d->ni + img) * g->oh * g->ow * nr;
  for (int64_t oy = 0; oy < g->oh; oy++, to += g->ow * nr) {
    memset(to, 0, (size_t)(g->ow * nr) * sizeof(real));
    for (int64_t j = 0; j < lanes; j++)
      dw_spread_row(d, d->n0 + img, p * nr + j, oy, 0, g->ow, to + j);
  }
}

/* `rows` padded rows of panel p of image n, from row r0 on. */
static void dw_pad_rows(const Dw *d, int64_t n, int64_t p, int64_t r0, int64_t rows, real *to) {
  const ConvGeom *g = d->g;
  const int nr = d->k->nr;
  const int64_t c0 = p * nr, lo = PRLX_MIN(g->pad, d->pw),
                hi = PRLX_MAX(lo, PRLX_MIN(g->pad + g->w, d->pw));
  const int lanes = (int)PRLX_MIN(nr, g->ci - c0);
  for (int64_t r = r0; r < r0 + rows; r++, to += d->pw * nr) {
    const int64_t y = r - g->pad;
    if (y < 0 || y >= g->h) {
      memset(to, 0, (size_t)(d->pw * nr) * sizeof(real));
      continue;
    }
    memset(to, 0, (size_t)(lo * nr) * sizeof(real));
    d->k->transpose(d->x + ((n * g->ci + c0) * g->h + y) * g->w, g->h * g->w, lanes, nr,
                    d->sx ? d->sx + n * g->ci + c0 : NULL, hi - lo, to + lo * nr, nr);
    memset(to + hi * nr, 0, (size_t)((d->pw - hi) * nr) * sizeof(real));
  }
}

/* Task i: image i / (panels of dy + panels of x) of the group. */
static void dw_transpose_task(void *ctx, int64_t i, int worker) {
  const Dw *d = ctx;
  const ConvGeom *g = d->g;
  const int nr = d->k->nr;
  const int64_t mpan = d->mp / GEMM_PANEL, img = i / (mpan + d->cp), n = d->n0 + img,
                opix = g->oh * g->ow;
  int64_t p = i % (mpan + d->cp);
  if (p < mpan) {
    const int64_t c0 = p * GEMM_PANEL;
    d->k->transpose(d->dy + (n * g->co + c0) * opix, opix, (int)PRLX_MIN(GEMM_PANEL, g->co - c0),
                    GEMM_PANEL, d->sdy ? d->sdy + n * g->co + c0 : NULL, opix,
                    d->at + (p * d->ni + img) * opix * GEMM_PANEL, GEMM_PANEL);
    return;
  }
  p -= mpan;
  if (d->thin) {
    dw_spread(d, img, p);
    return;
  }
  dw_pad_rows(d, n, p, 0, d->ph, d->xt + (p * d->ni + img) * d->ph * d->pw * nr);
}

static void dw_rows(const Dw *d) {
  int32_t *row = d->row;
  for (int64_t i = 0; i < d->ni; i++)
    for (int64_t y = 0; y < d->g->oh; y++)
      for (int64_t x = 0; x < d->g->ow; x++)
        *row++ = (int32_t)((i * d->ph + y * d->g->stride) * d->pw + x * d->g->stride);
}

static void dw_write(const Dw *d, const real *c, int64_t c0, int64_t m0, int64_t m, int64_t t0,
                     int64_t nt) {
  const int nr = d->k->nr;
  const int64_t lanes = PRLX_MIN(nr, d->ci - c0);
  for (int64_t i = 0; i < m; i++)
    d->k->transpose(c + i * nr, d->mc * nr, (int)nt, (int)nt, NULL, lanes,
                    d->dw + ((m0 + i) * d->ci + c0) * d->taps + t0, d->taps);
}

/* B for the pixels k0 to k0 + kc, one panel per input panel and tap. */
static void dw_gather(const Dw *d, int64_t p0, int64_t np, int64_t t0, int64_t nt, int64_t k0,
                      int64_t kc, real *b) {
  const int64_t x_panel = d->ni * d->ph * d->pw * d->k->nr, kw = d->g->kw;
  for (int64_t j = 0; j < np * nt; j++) {
    const int64_t t = t0 + j % nt;
    d->k->gather_rows(d->xt + (p0 + j / nt) * x_panel, d->row + k0, t / kw * d->pw + t % kw, kc,
                      b + j * kc * d->k->nr);
  }
}

static void dw_task(void *ctx, int64_t task, int slot) {
  const Dw *d = ctx;
  const ConvGeom *g = d->g;
  const int nr = d->k->nr;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  DwSlot s = dw_slot(d, nr, &mem);
  if (d->groups > 1) s.c = (real *)(void *)((char *)d->sums + (size_t)task * d->sum_bytes);
  const int64_t im = task % d->nm, it = task / d->nm % d->nt, p0 = task / d->nm / d->nt * d->pc,
                np = PRLX_MIN(d->pc, d->cp - p0);
  const int64_t m0 = im * d->mc, m = PRLX_MIN(d->mc, g->co - m0), t0 = it * d->tc,
                nt = PRLX_MIN(d->tc, d->taps - t0);
  const int64_t K = d->ni * g->oh * g->ow, a_panel = K * GEMM_PANEL, c_panel = d->mc * nr;
  const real *at = d->at + m0 / GEMM_PANEL * a_panel;
  for (int64_t k0 = 0; k0 < K; k0 += GEMM_KC) {
    const int64_t kc = PRLX_MIN(GEMM_KC, K - k0);
    if (!d->thin) dw_gather(d, p0, np, t0, nt, k0, kc, s.b);
    const real *b = d->thin ? d->xt + (p0 * K + k0) * nr : s.b;
    const int64_t b_panel = (d->thin ? K : kc) * nr;
    for (int64_t i = 0; i < m; i += GEMM_MC)
      d->k->block(PRLX_MIN(GEMM_MC, m - i), np * nt * nr, kc,
                  at + i / GEMM_PANEL * a_panel + k0 * GEMM_PANEL, GEMM_PANEL, a_panel, b, nr,
                  b_panel, s.c + i * nr, nr, c_panel, k0 > 0 || d->n0 > 0 ? GEMM_ADD : GEMM_SET);
  }
  if (d->n0 + d->ni == g->n)
    for (int64_t j = 0; j < np; j++)
      dw_write(d, s.c + j * nt * c_panel, (p0 + j) * nr, m0, m, t0, nt);
}

/* ---- blocks ---- */
/* Pixels q..q+count-1 of image n, the block's from `at` on; its padded rows so far: `base`. */
typedef struct DwPart {
  int64_t n;
  int64_t q;
  int64_t count;
  int64_t at;
  int64_t base;
} DwPart;

static int64_t part_rows(const Dw *d, const DwPart *t) {
  const int64_t ow = d->g->ow;
  return ((t->q + t->count - 1) / ow - t->q / ow) * d->g->stride + d->g->kh;
}

/* The part's rows of x, and where each pixel's first tap is in them. */
static void part_pad(const Dw *d, const DwSlot *s, const DwPart *t) {
  const int64_t ow = d->g->ow, y0 = t->q / ow, stride = d->g->stride;
  for (int64_t p = 0; p < d->cp; p++)
    dw_pad_rows(d, t->n, p, y0 * stride, part_rows(d, t),
                s->xt + (p * d->block_rows + t->base) * d->pw * d->k->nr);
  for (int64_t i = 0; i < t->count; i++) {
    const int64_t y = (t->q + i) / ow, x = (t->q + i) % ow;
    s->row[t->at + i] = (int32_t)((t->base + (y - y0) * stride) * d->pw + x * stride);
  }
}

/* Thin: the part's pairs, kc pixels to a panel. */
static void part_spread(const Dw *d, const DwSlot *s, const DwPart *t, int64_t kc) {
  const int nr = d->k->nr;
  for (int64_t p = 0; p < d->cp; p++) {
    real *to = s->xt + (p * kc + t->at) * nr;
    memset(to, 0, (size_t)(t->count * nr) * sizeof(real));
    for (int64_t i = 0, n; i < t->count; i += n, to += n * nr) {
      const int64_t y = (t->q + i) / d->g->ow, x = (t->q + i) % d->g->ow;
      n = PRLX_MIN(t->count - i, d->g->ow - x);
      for (int64_t j = 0; j < PRLX_MIN(nr, d->ci - p * nr); j++)
        dw_spread_row(d, t->n, p * nr + j, y, x, x + n, to + j);
    }
  }
}

/* Both operands of the pixels first..first+kc-1 of all. */
static void block_lay(const Dw *d, const DwSlot *s, int64_t first, int64_t kc) {
  const ConvGeom *g = d->g;
  const int64_t opix = g->oh * g->ow;
  DwPart t = {0};
  for (; t.at < kc; t.at += t.count) {
    t.n = (first + t.at) / opix;
    t.q = (first + t.at) % opix;
    t.count = PRLX_MIN(kc - t.at, opix - t.q);
    for (int64_t c0 = 0; c0 < g->co; c0 += GEMM_PANEL)
      d->k->transpose(d->dy + (t.n * g->co + c0) * opix + t.q, opix,
                      (int)PRLX_MIN(GEMM_PANEL, g->co - c0), GEMM_PANEL,
                      d->sdy ? d->sdy + t.n * g->co + c0 : NULL, t.count,
                      s->at + c0 * kc + t.at * GEMM_PANEL, GEMM_PANEL);
    if (d->thin)
      part_spread(d, s, &t, kc);
    else
      part_pad(d, s, &t);
    t.base += part_rows(d, &t);
  }
}

static void block_task(void *ctx, int64_t i, int slot) {
  const Dw *d = ctx;
  const ConvGeom *g = d->g;
  const int nr = d->k->nr;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  const DwSlot s = dw_slot(d, nr, &mem);
  const int64_t group = (d->b0 + i) / d->per_group_nb, in_group = (d->b0 + i) % d->per_group_nb;
  const int64_t opix = g->oh * g->ow, first = group * d->nimg * opix + in_group * GEMM_KC,
                last = PRLX_MIN((group + 1) * d->nimg, g->n) * opix,
                kc = PRLX_MIN(GEMM_KC, last - first), c_panel = d->mp * nr;
  real *c = (real *)(void *)((char *)d->sums + (size_t)(1 + i) * d->sum_bytes);
  block_lay(d, &s, first, kc);
  for (int64_t j = 0; j < d->cp * d->taps; j++) {
    const int64_t p = j / d->taps, t = j % d->taps;
    if (!d->thin)
      d->k->gather_rows(s.xt + p * d->block_rows * d->pw * nr, s.row, t / g->kw * d->pw + t % g->kw,
                        kc, s.b);
    d->k->block(g->co, PRLX_MIN(nr, d->ci - p * nr), kc, s.at, GEMM_PANEL, kc * GEMM_PANEL,
                d->thin ? s.xt + p * kc * nr : s.b, nr, kc * nr, c + j * c_panel, nr, c_panel,
                GEMM_SET);
  }
}

static void block_out_task(void *ctx, int64_t i, int worker) {
  const Dw *d = ctx;
  const int64_t m0 = i * GEMM_PANEL, m = PRLX_MIN(GEMM_PANEL, d->g->co - m0);
  const int nr = d->k->nr;
  for (int64_t p = 0; p < d->cp; p++)
    dw_write(d, d->sums + p * d->taps * d->mp * nr + m0 * nr, p * nr, m0, m, 0, d->taps);
}

static void run_blocks(Dw *d) {
  const int64_t numel = (int64_t)(d->sum_bytes / sizeof(real));
  for (d->b0 = 0; d->b0 < d->nb; d->b0 += SUMS_ROUND) {
    const int64_t count = PRLX_MIN(SUMS_ROUND, d->nb - d->b0);
    par_tasks(count, conv_slots(d->slot_bytes), block_task, d);
    sums_add(d->sums, d->sums + numel, numel, count, d->b0 == 0);
  }
  par_for(d->mp / GEMM_PANEL, block_out_task, d);
}

/* ---- few channels on one side and a 1x1 kernel: plain inner products, nothing is moved ---- */
static bool dw_is_dots(const ConvGeom *g) {
  return g->kh == 1 && g->kw == 1 && g->stride == 1 && g->pad == 0 && PRLX_MIN(g->ci, g->co) <= 4;
}

static void dw_dots_task(void *ctx, int64_t i, int worker) {
  const Dw *d = ctx;
  const ConvGeom *g = d->g;
  const int64_t pix = g->h * g->w;
  const bool rows = g->ci <= g->co; /* tasks follow the longer side */
  for (int64_t j = 0; j < (rows ? g->ci : g->co); j++) {
    const int64_t co = rows ? i : j, ci = rows ? j : i;
    real sum = 0;
    for (int64_t n = 0; n < g->n; n++) {
      const real scale =
          (d->sx ? d->sx[n * g->ci + ci] : 1) * (d->sdy ? d->sdy[n * g->co + co] : 1);
      sum += scale * d->k->dot(d->dy + (n * g->co + co) * pix, d->x + (n * g->ci + ci) * pix, pix);
    }
    d->dw[co * g->ci + ci] = sum;
  }
}

size_t direct_dw_scratch(const ConvGeom *g) {
  if (dw_is_dots(g)) return 0;
  size_t most = 0;
  for (int nr = 4; nr <= GEMM_NR_MAX; nr *= 2) {
    Dw d = {0};
    Bump mem = {NULL, 0};
    dw_layout(&d, g, nr);
    const size_t bytes = dw_memory(&d, nr, &mem);
    most = PRLX_MAX(most, bytes);
  }
  return most;
}

void direct_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx,
                   const real *sdy, real *dw, void *scratch) {
  Dw d = {.g = g, .k = ISA_PICK(gemm_kernels), .x = x, .dy = dy, .sx = sx, .sdy = sdy, .dw = dw};
  if (dw_is_dots(g)) {
    par_for(PRLX_MAX(g->ci, g->co), dw_dots_task, &d);
    return;
  }
  Bump mem = {scratch, 0};
  dw_layout(&d, g, d.k->nr);
  dw_memory(&d, d.k->nr, &mem);
  if (d.blocks) {
    run_blocks(&d);
    return;
  }
  for (d.n0 = 0; d.n0 < g->n; d.n0 += d.ni) {
    d.ni = PRLX_MIN(d.nimg, g->n - d.n0);
    if (!d.thin) dw_rows(&d);
    par_for(d.ni * (d.mp / GEMM_PANEL + d.cp), dw_transpose_task, &d);
    par_tasks(d.np * d.nt * d.nm, conv_slots(d.slot_bytes), dw_task, &d);
  }
}
