/* conv_direct.c: conv2d and conv2d_dx as implicit matrix products, any kernel, stride and padding.
 *
 *   out[m][pixel] = sum_k A[m][k] B[k][pixel],  k = (channel, tap),  B[(c,t)][q] = source channel c
 *     at pixel q shifted by tap t
 *
 * B (im2col) never exists as a whole: panels of it are packed per task, from zero-padded copies of
 * a few source rows. conv2d_dx with stride s falls apart by output residue mod s into s*s dense
 * stride-1 products with the taps of one residue each ("sub-convolutions"), so nothing is
 * multiplied by zero. conv2d is one product. */
#include <string.h>
#include "core/conv_impl.h"
#include "core/threads.h"

ConvSub conv_sub(const ConvGeom *g, int r) {
  const int64_t s = g->stride;
  ConvSub u = {.step = 1, .ostep = 1, .kstep = 1};
  if (g->kind == CONV_FWD) {
    u.out_c = g->co;
    u.in_c = g->ci;
    u.gh = g->oh;
    u.gw = g->ow;
    u.sh = g->h;
    u.sw = g->w;
    u.step = s;
    u.base_y = u.base_x = -g->pad;
    u.nty = g->kh;
    u.ntx = g->kw;
    u.out_h = g->oh;
    u.out_w = g->ow;
  } else {
    const int64_t ry = r / s, rx = r % s, py = (ry + g->pad) % s, px = (rx + g->pad) % s;
    u.out_c = g->ci;
    u.in_c = g->co;
    u.sh = g->oh;
    u.sw = g->ow;
    u.flip = true;
    u.ostep = s;
    u.oy0 = ry;
    u.ox0 = rx;
    u.kstep = s;
    u.gh = ry < g->h ? ceil_div(g->h - ry, s) : 0;
    u.gw = rx < g->w ? ceil_div(g->w - rx, s) : 0;
    u.nty = py < g->kh ? (g->kh - 1 - py) / s + 1 : 0;
    u.ntx = px < g->kw ? (g->kw - 1 - px) / s + 1 : 0;
    u.ky0 = py;
    u.kx0 = px;
    u.out_h = g->h;
    u.out_w = g->w;
    u.base_y = (ry + g->pad - py) / s - (u.nty - 1);
    u.base_x = (rx + g->pad - px) / s - (u.ntx - 1);
  }
  u.taps = u.nty * u.ntx;
  u.mp = round_up(u.out_c, GEMM_PANEL);
  return u;
}

int conv_subs(const ConvGeom *g) { return g->kind == CONV_FWD ? 1 : g->stride * g->stride; }

/* Source channels per block of k: a block's panel of B fits the first-level cache. */
static int64_t channel_block(const ConvSub *u) {
  return PRLX_MIN(u->in_c, PRLX_MAX(1, GEMM_KC / u->taps));
}

/* ---- prepared weights: A of every sub-convolution, [block of k][m/12][k][12]: a block is read
 * from front to back ---- */
size_t direct_prep_numel(const ConvGeom *g) {
  size_t n = 0;
  for (int r = 0; r < conv_subs(g); r++) {
    ConvSub u = conv_sub(g, r);
    n += (size_t)(u.mp * u.in_c * u.taps);
  }
  return n ? n : 1;
}

typedef struct Prep {
  const ConvGeom *g;
  const GemmKernels *k;
  const real *w;
  real *dst;
  ConvSub u;
} Prep;

/* Rows m0.. (one panel) and channels [c0,c1): dst[(c - c0) taps + t][12]. */
static void weights_panel(const ConvGeom *g, const ConvSub *u, const GemmKernels *k,
                          const real *weights, int64_t m0, int64_t c0, int64_t c1, real *dst) {
  const int64_t kk = g->kh * g->kw, K = u->in_c * u->taps;
  const int lanes = (int)PRLX_MIN(GEMM_PANEL, u->out_c - m0);
  if (g->kind == CONV_FWD) {
    k->transpose(weights + m0 * K + c0 * kk, K, lanes, GEMM_PANEL, NULL, (c1 - c0) * kk, dst,
                 GEMM_PANEL);
    return;
  }
  enum { AHEAD = 4, LINE = 64 / sizeof(real) }; /* kernels of the next channel are far away */
  for (int64_t c = c0; c < c1; c++) {
    const real *w = weights + (c * g->ci + m0) * kk;
    for (int64_t i = 0; c + AHEAD < c1 && i < lanes * kk; i += LINE)
      __builtin_prefetch(w + AHEAD * g->ci * kk + i);
    if (u->taps == kk) {
      k->transpose(w, kk, lanes, GEMM_PANEL, NULL, kk, dst, GEMM_PANEL);
      dst += kk * GEMM_PANEL;
      continue;
    }
    for (int64_t ty = 0; ty < u->nty; ty++)
      for (int64_t tx = 0; tx < u->ntx; tx++, dst += GEMM_PANEL) {
        const real *v = w + (u->ky0 + ty * u->kstep) * g->kw + u->kx0 + tx * u->kstep;
        for (int j = 0; j < GEMM_PANEL; j++) dst[j] = j < lanes ? v[j * kk] : 0;
      }
  }
}

static void prep_panel(void *ctx, int64_t p, int worker) {
  const Prep *q = ctx;
  const ConvSub *u = &q->u;
  const int64_t m0 = p * GEMM_PANEL, cb = channel_block(u);
  for (int64_t c0 = 0; c0 < u->in_c; c0 += cb) {
    const int64_t c1 = PRLX_MIN(u->in_c, c0 + cb);
    weights_panel(q->g, u, q->k, q->w, m0, c0, c1,
                  q->dst + u->a_off + u->mp * c0 * u->taps + m0 * (c1 - c0) * u->taps);
  }
}

void direct_prep(const ConvGeom *g, const real *w, real *dst) {
  Prep q = {.g = g, .k = ISA_PICK(gemm_kernels), .w = w, .dst = dst};
  int64_t off = 0;
  for (int r = 0; r < conv_subs(g); r++) {
    q.u = conv_sub(g, r);
    q.u.a_off = off;
    off += q.u.mp * q.u.in_c * q.u.taps;
    if (q.u.taps) par_for(q.u.mp / GEMM_PANEL, prep_panel, &q);
  }
}

/* Few pixels under much weight: each weight is multiplied soon after it was fetched, and a task
 * packs the rows it needs. Prepared ones would take as much memory again. */
enum { LEAN_BYTES = 4 << 20, LEAN_PIXELS = 128 };

bool direct_lean(const ConvGeom *g) {
  if (direct_prep_numel(g) * sizeof(real) < LEAN_BYTES) return false;
  for (int r = 0; r < conv_subs(g); r++) {
    const ConvSub u = conv_sub(g, r);
    if (g->n * u.gh * u.gw > LEAN_PIXELS) return false;
  }
  return g->kind == CONV_FWD || g->stride == 1;
}

/* ---- blocking of one sub-convolution ---- */
typedef struct Blocks {
  /* images per pixel space (all of a small map, one of a large), number of such groups */
  int64_t gimg;
  int64_t groups;
  /* panels of nr pixels in a group, panels per block, blocks per group */
  int64_t panels;
  int64_t np;
  int64_t per_group;
  /* source channels per block of k, number of such blocks */
  int64_t cb;
  int64_t ncb;
  /* few pixels: B is packed once for all, tasks split the output channels */
  bool shared;
  int64_t mc; /* shared: output channels per task */
  /* staged copy: s*s phases of rows x cols at most, images at most */
  int64_t phases;
  int64_t rows;
  int64_t cols;
  int64_t images;
} Blocks;

static Blocks make_blocks(const ConvGeom *g, const ConvSub *u, int nr) {
  Blocks b = {0};
  const int64_t area = u->gh * u->gw;
  b.gimg = area >= 512 ? 1 : g->n; /* small maps: one row of pixels through the whole batch */
  b.groups = g->n / b.gimg;
  b.panels = ceil_div(b.gimg * area, nr);
  b.shared = b.groups * b.panels * nr <= 256;
  b.np = b.shared ? b.panels : PRLX_MAX(2, PRLX_MIN(128 / nr, b.groups * b.panels / 16));
  b.per_group = ceil_div(b.panels, b.np);
  b.cb = channel_block(u);
  b.ncb = ceil_div(u->in_c, b.cb);
  b.mc = 2 * GEMM_PANEL;
  const int64_t py = PRLX_MIN(u->step, u->nty), px = PRLX_MIN(u->step, u->ntx);
  b.phases = py * px;
  b.images = PRLX_MIN(b.gimg, ceil_div(b.np * nr - 1, area) + 1);
  b.rows = (b.images > 1 ? u->gh : PRLX_MIN(u->gh, ceil_div(b.np * nr - 1, u->gw) + 1)) +
           (u->nty - 1) / u->step;
  b.cols = u->gw + (u->ntx - 1) / u->step;
  return b;
}

/* Private memory of a task. */
typedef struct Slot {
  real *b;
  real *c;
  real *stage;
  real *w; /* lean: weights of a task's rows */
  int32_t *tap;
  /* where the lanes of each panel lie in the stage and in the output, nr runs apart; how many */
  LaneRun *in;
  LaneRun *out;
  uint8_t *nin;
  uint8_t *nout;
} Slot;

static Slot make_slot(const ConvSub *u, const Blocks *b, int nr, bool lean, Bump *mem) {
  Slot s;
  const size_t kc = (size_t)(b->cb * u->taps), lanes = (size_t)(b->np * nr);
  s.b = bump(mem, b->shared ? 0 : kc * lanes, sizeof(real));
  s.c = bump(mem, lanes * (size_t)(b->shared ? b->mc : u->mp), sizeof(real));
  s.stage = bump(mem, (size_t)(b->images * b->phases * b->rows * b->cols + nr), sizeof(real));
  s.w = bump(mem, lean ? kc * (size_t)b->mc : 0, sizeof(real));
  s.in = bump(mem, lanes, sizeof(LaneRun));
  s.out = bump(mem, lanes, sizeof(LaneRun));
  s.tap = bump(mem, (size_t)u->taps, sizeof(int32_t));
  s.nin = bump(mem, (size_t)b->np, 1);
  s.nout = bump(mem, (size_t)b->np, 1);
  return s;
}

typedef struct Direct {
  const ConvGeom *g;
  const GemmKernels *k;
  ConvSub u;
  Blocks b;
  const real *src;
  const real *scale;
  const real *a;
  const real *weights; /* lean: as they are */
  bool lean;
  real *out;
  real *shared_b;
  char *slots;
  size_t slot_bytes;
} Direct;

/* The block of pixels a task works on. */
typedef struct Span {
  int64_t n0;
  int64_t nimg;
  int64_t q0;
  int64_t npix;
  int64_t np;
  int64_t row0;
  int64_t rows;
  bool raw;
} Span;

/* n lanes more, from lane `at` on; they may go on where the last run ends. */
static void add_run(LaneRun *run, uint8_t *runs, int64_t at, int64_t n, int64_t off, int64_t step) {
  LaneRun *last = run + *runs - 1;
  if (*runs && last->off + last->n * step == off)
    last->n += (int32_t)n;
  else
    run[(*runs)++] = (LaneRun){(int32_t)at, (int32_t)n, (int32_t)off};
}

/* The lanes of one panel: pixels from `first` on of image `img` of the block, at (qy,qx), of which
 * `left` are there. */
static void lay_panel(const Direct *d, const Span *t, const Slot *s, int64_t p, int64_t img,
                      int64_t qy, int64_t qx, int64_t left) {
  const ConvSub *u = &d->u;
  const int nr = d->k->nr;
  LaneRun *in = s->in + p * nr, *out = s->out + p * nr;
  s->nin[p] = s->nout[p] = 0;
  for (int64_t j = 0, n; j < PRLX_MIN(nr, left); j += n) {
    const int64_t from =
        t->raw ? qy * u->gw + qx : (img * d->b.phases * t->rows + qy - t->row0) * d->b.cols + qx;
    n = PRLX_MIN(PRLX_MIN(nr, left) - j, u->gw - qx);
    add_run(in, s->nin + p, j, n, from, 1);
    add_run(out, s->nout + p, j, n,
            (img * u->out_c * u->out_h + qy * u->ostep + u->oy0) * u->out_w + qx * u->ostep +
                u->ox0,
            u->ostep);
    if ((qx += n) == u->gw) qx = 0, qy++;
    if (qy == u->gh) qy = 0, img++;
  }
  /* lanes past the end: a run goes on inside the slack of the stage; else the last pixel again */
  LaneRun *last = in + s->nin[p] - 1;
  if (!t->raw) last->n += (int32_t)PRLX_MAX(0, nr - left);
  for (int64_t j = left; t->raw && j < nr; j++)
    in[s->nin[p]++] = (LaneRun){(int32_t)j, 1, last->off + last->n - 1};
}

/* Where each pixel of block `blk` lies in the staged source and in the output (relative to channel
 * 0 of image n0). */
static Span lay_out(const Direct *d, int64_t blk, const Slot *s) {
  const ConvSub *u = &d->u;
  const Blocks *b = &d->b;
  const int nr = d->k->nr;
  const int64_t area = u->gh * u->gw, group = blk / b->per_group, p0 = blk % b->per_group * b->np;
  Span t = {.np = PRLX_MIN(b->np, b->panels - p0)};
  const int64_t first = p0 * nr, last = PRLX_MIN(first + t.np * nr, b->gimg * area) - 1;
  t.npix = last - first + 1;
  t.n0 = group * b->gimg + first / area;
  t.nimg = last / area - first / area + 1;
  t.q0 = first % area;
  t.row0 = t.nimg > 1 ? 0 : t.q0 / u->gw;
  t.rows = (t.nimg > 1 ? u->gh : last % area / u->gw + 1 - t.row0) + (u->nty - 1) / u->step;
  t.raw = t.nimg == 1 && u->taps == 1 && u->step == 1 && u->base_y == 0 && u->base_x == 0 &&
          u->gw == u->sw && u->gh <= u->sh;
  for (int64_t p = 0; p < t.np; p++) {
    const int64_t q = t.q0 + p * nr;
    lay_panel(d, &t, s, p, q / area, q % area / u->gw, q % u->gw, t.npix - p * nr);
  }
  const int64_t px = PRLX_MIN(u->step, u->ntx);
  for (int64_t y = 0; y < u->nty; y++)
    for (int64_t x = 0; x < u->ntx; x++) {
      const int64_t ty = u->flip ? u->nty - 1 - y : y, tx = u->flip ? u->ntx - 1 - x : x;
      const int64_t phase = ty % u->step * px + tx % u->step;
      s->tap[y * u->ntx + x] =
          (int32_t)(t.raw ? 0 : (phase * t.rows + ty / u->step) * b->cols + tx / u->step);
    }
  return t;
}

/* Packs channels [c0,c1) of the block: dst[panel][(c-c0)*taps + t][nr], panels kc apart rows. */
static void pack_channels(const Direct *d, const Span *t, const Slot *s, int64_t c0, int64_t c1,
                          real *dst) {
  const ConvSub *u = &d->u;
  const int nr = d->k->nr;
  const int64_t px = PRLX_MIN(u->step, u->ntx), panel = (c1 - c0) * u->taps * nr,
                plane = u->sh * u->sw, cols = d->b.cols, phases = d->b.phases;
  /* the padding stays zero for all channels */
  if (!t->raw) memset(s->stage, 0, (size_t)(t->nimg * phases * t->rows * cols + nr) * sizeof(real));
  for (int64_t c = c0; c < c1; c++) {
    real scale = 1;
    const real *from = s->stage;
    if (t->raw) {
      from = d->src + (t->n0 * u->in_c + c) * plane;
      if (d->scale) scale = d->scale[t->n0 * u->in_c + c];
      if (c + 2 < u->in_c)
        prefetch_window(from + 2 * plane + t->q0, t->npix, (Window){1, 0, 0, 1},
                        (Window){1, 0, 0, 0});
    }
    for (int64_t i = 0; i < (t->raw ? 0 : t->nimg * phases); i++) {
      const int64_t n = t->n0 + i / phases, ph = i % phases;
      if (ph == 0 && c + 1 < u->in_c)
        prefetch_window(d->src + (n * u->in_c + c + 1) * plane, u->sw,
                        window(u->step, t->row0 * u->step + u->base_y, t->rows, u->sh),
                        window(u->step, u->base_x, cols, u->sw));
      stage_window(d->k, d->src + (n * u->in_c + c) * plane, u->sw,
                   window(u->step, t->row0 * u->step + u->base_y + ph / px, t->rows, u->sh),
                   window(u->step, u->base_x + ph % px, cols, u->sw),
                   d->scale ? d->scale[n * u->in_c + c] : 1, s->stage + i * t->rows * cols, cols);
    }
    for (int64_t p = 0; p < t->np; p++)
      d->k->pack_pixels(from, !t->raw, s->in + p * nr, s->nin[p], s->tap, (int)u->taps, scale,
                        dst + p * panel + (c - c0) * u->taps * nr);
  }
}

static void write_out(const Direct *d, const Span *t, const Slot *s, int64_t m0, int64_t m,
                      const real *c, int64_t c_panel) {
  const ConvSub *u = &d->u;
  const int nr = d->k->nr;
  real *out = d->out + (t->n0 * u->out_c + m0) * u->out_h * u->out_w;
  for (int64_t p = 0; p < t->np; p++)
    d->k->unpack_pixels(c + p * c_panel, m, s->out + p * nr, s->nout[p], u->ostep, out,
                        u->out_h * u->out_w);
}

static void pixel_block(const Direct *d, int64_t blk, int slot) {
  const ConvSub *u = &d->u;
  const Blocks *b = &d->b;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  Slot s = make_slot(u, b, d->k->nr, d->lean, &mem);
  Span t = lay_out(d, blk, &s);
  const int64_t c_panel = u->mp * d->k->nr;
  for (int64_t i = 0; i < b->ncb; i++) {
    const int64_t c0 = i * b->cb, c1 = PRLX_MIN(u->in_c, c0 + b->cb), kc = (c1 - c0) * u->taps;
    pack_channels(d, &t, &s, c0, c1, s.b);
    for (int64_t m0 = 0; m0 < u->out_c; m0 += GEMM_MC)
      d->k->block(PRLX_MIN(GEMM_MC, u->out_c - m0), t.npix, kc,
                  d->a + u->mp * c0 * u->taps + m0 * kc, GEMM_PANEL, kc * GEMM_PANEL, s.b, d->k->nr,
                  kc * d->k->nr, s.c + m0 * d->k->nr, d->k->nr, c_panel,
                  i > 0 ? GEMM_ADD : GEMM_SET);
  }
  write_out(d, &t, &s, 0, u->out_c, s.c, c_panel);
}

static void pixel_task(void *ctx, int64_t blk, int slot) { pixel_block(ctx, blk, slot); }

/* Few pixels, much weight: pack all of B first (tasks: channel blocks), then every task streams its
 * share of the weights. */
static void shared_pack_task(void *ctx, int64_t i, int slot) {
  const Direct *d = ctx;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  Slot s = make_slot(&d->u, &d->b, d->k->nr, d->lean, &mem);
  Span t = lay_out(d, 0, &s);
  const int64_t c0 = i * d->b.cb;
  pack_channels(d, &t, &s, c0, PRLX_MIN(d->u.in_c, c0 + d->b.cb),
                d->shared_b + c0 * d->u.taps * d->b.np * d->k->nr);
}

static void shared_rows_task(void *ctx, int64_t i, int slot) {
  const Direct *d = ctx;
  const ConvSub *u = &d->u;
  const int nr = d->k->nr;
  Bump mem = {d->slots + (size_t)slot * d->slot_bytes, 0};
  Slot s = make_slot(u, &d->b, nr, d->lean, &mem);
  Span t = lay_out(d, 0, &s);
  const int64_t m0 = i * d->b.mc, m = PRLX_MIN(d->b.mc, u->out_c - m0), c_panel = d->b.mc * nr;
  for (int64_t j = 0; j < d->b.ncb; j++) {
    const int64_t c0 = j * d->b.cb, c1 = PRLX_MIN(u->in_c, c0 + d->b.cb), kc = (c1 - c0) * u->taps;
    for (int64_t r = 0; d->lean && r < m; r += GEMM_PANEL)
      weights_panel(d->g, u, d->k, d->weights, m0 + r, c0, c1, s.w + r * kc);
    d->k->block(m, t.npix, kc, d->lean ? s.w : d->a + u->mp * c0 * u->taps + m0 * kc, GEMM_PANEL,
                kc * GEMM_PANEL, d->shared_b + c0 * u->taps * d->b.np * nr, nr, kc * nr, s.c, nr,
                c_panel, j > 0 ? GEMM_ADD : GEMM_SET);
  }
  write_out(d, &t, &s, m0, m, s.c, c_panel);
}

static void zero_task(void *ctx, int64_t i, int worker) {
  const Direct *d = ctx;
  const ConvSub *u = &d->u;
  for (int64_t y = u->oy0; y < u->out_h; y += u->ostep)
    for (int64_t x = u->ox0; x < u->out_w; x += u->ostep)
      d->out[(i * u->out_h + y) * u->out_w + x] = 0;
}

/* Stride 2 into large maps: residue by residue, every line of the output would be fetched and
 * written four times. Where there are images enough a task makes all residues of one. */
enum { WHOLE_SUBS = 4, WHOLE_IMAGES = 8 };

typedef struct Whole {
  Direct sub[WHOLE_SUBS];
} Whole;

static void whole_task(void *ctx, int64_t image, int slot) {
  const Whole *w = ctx;
  for (int r = 0; r < WHOLE_SUBS; r++)
    for (int64_t i = 0; i < w->sub[r].b.per_group; i++)
      pixel_block(&w->sub[r], image * w->sub[r].b.per_group + i, slot);
}

/* ---- the run ---- */
static size_t sub_scratch(const ConvGeom *g, const ConvSub *u, int nr, size_t *slot_bytes,
                          int *nslots) {
  Blocks b = make_blocks(g, u, nr);
  Bump slot = {NULL, 0};
  make_slot(u, &b, nr, direct_lean(g), &slot);
  *slot_bytes = slot.used;
  *nslots = conv_slots(slot.used);
  Bump mem = {NULL, 0};
  bump(&mem, b.shared ? (size_t)(u->in_c * u->taps * b.np * nr) : 0, sizeof(real));
  return mem.used + (size_t)*nslots * slot.used;
}

size_t direct_scratch(const ConvGeom *g, bool with_prep) {
  size_t most = 0, slot;
  int nslots;
  for (int r = 0; r < conv_subs(g); r++) {
    ConvSub u = conv_sub(g, r);
    if (!u.taps || u.gh * u.gw == 0) continue;
    for (int nr = 4; nr <= GEMM_NR_MAX; nr *= 2) { /* whichever instruction set runs */
      const size_t bytes = sub_scratch(g, &u, nr, &slot, &nslots);
      most = PRLX_MAX(most, bytes);
    }
  }
  Bump mem = {NULL, most};
  bump(&mem, with_prep || direct_lean(g) ? 0 : direct_prep_numel(g), sizeof(real));
  return mem.used;
}

/* Runs d's convolution so, if it is one for that. */
static bool run_whole(const Direct *d, Bump mem) {
  const ConvGeom *g = d->g;
  Whole w;
  int64_t a_off = 0;
  size_t most = 0;
  if (g->kind != CONV_DX || g->stride != 2 || g->n < WHOLE_IMAGES) return false;
  for (int r = 0; r < WHOLE_SUBS; r++) {
    Direct *s = &w.sub[r];
    int nslots;
    *s = *d;
    s->u = conv_sub(g, r);
    s->a = d->a + a_off;
    a_off += s->u.mp * s->u.in_c * s->u.taps;
    if (!s->u.taps || s->u.gh * s->u.gw == 0) return false;
    s->b = make_blocks(g, &s->u, d->k->nr);
    if (s->b.shared || s->b.gimg != 1) return false;
    sub_scratch(g, &s->u, d->k->nr, &s->slot_bytes, &nslots);
    most = PRLX_MAX(most, s->slot_bytes);
  }
  for (int r = 0; r < WHOLE_SUBS; r++) {
    w.sub[r].slots = mem.base + mem.used;
    w.sub[r].slot_bytes = most;
  }
  par_tasks(g->n, conv_slots(most), whole_task, &w);
  return true;
}

void direct_run(const ConvGeom *g, const real *src, const real *w, const real *prep,
                const real *scale, real *out, void *scratch) {
  Bump mem = {scratch, 0};
  const bool lean = direct_lean(g);
  if (!prep && !lean) {
    real *own = bump(&mem, direct_prep_numel(g), sizeof(real));
    direct_prep(g, w, own);
    prep = own;
  }
  Direct d = {.g = g,
              .k = ISA_PICK(gemm_kernels),
              .src = src,
              .scale = scale,
              .weights = w,
              .lean = lean,
              .out = out};
  d.a = prep;
  if (!lean && run_whole(&d, mem)) return;
  int64_t a_off = 0;
  for (int r = 0; r < conv_subs(g); r++) {
    d.u = conv_sub(g, r);
    d.a = lean ? NULL : prep + a_off;
    a_off += d.u.mp * d.u.in_c * d.u.taps;
    if (d.u.gh * d.u.gw == 0) continue;
    if (!d.u.taps) {
      par_for(g->n * d.u.out_c, zero_task, &d);
      continue;
    }
    d.b = make_blocks(g, &d.u, d.k->nr);
    int nslots;
    sub_scratch(g, &d.u, d.k->nr, &d.slot_bytes, &nslots);
    Bump part = mem;
    d.shared_b = bump(&part, d.b.shared ? (size_t)(d.u.in_c * d.u.taps * d.b.np * d.k->nr) : 0,
                      sizeof(real));
    d.slots = bump(&part, (size_t)nslots, d.slot_bytes);
    if (d.b.shared) {
      par_tasks(d.b.ncb, nslots, shared_pack_task, &d);
      par_tasks(ceil_div(d.u.out_c, d.b.mc), nslots, shared_rows_task, &d);
    } else {
      par_tasks(d.b.groups * d.b.per_group, nslots, pixel_task, &d);
    }
  }
}
