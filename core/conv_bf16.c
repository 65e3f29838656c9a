/* conv_bf16.c: conv2d and conv2d_dx as implicit matrix products of bf16 numbers, any kernel, stride
 * and padding.
 *
 *   out[m][q] = sum over steps (32 channels, tap) of W[m][step] S[step][q + shift of the tap]
 *
 * The source is rounded and laid out once (conv_bf16_impl.h), two channels to a word: S is then
 * read where it lies, for every tap at its shift, and is never copied again. W is prepared in tiles
 * of 16 rows and 32 channels. An output is one sum in the order of the steps, whatever the block
 * and the batch it was computed in. Products in the Winograd domain would lose the accuracy that
 * bf16 has left; with tiles the plain ones cost less than the transforms. */
#include <string.h>
#include "core/conv_bf16_impl.h"
#include "core/threads.h"

Bf16Map bf16_map(const ConvSub *u) {
  Bf16Map m = {.rows = u->gh + (u->nty - 1) / u->step,
               .cols = u->gw + (u->ntx - 1) / u->step,
               .px = PRLX_MIN(u->step, u->ntx),
               .phases = PRLX_MIN(u->step, u->nty) * PRLX_MIN(u->step, u->ntx)};
  int64_t top = m.rows, bottom = m.rows, left = m.cols, right = m.cols;
  for (int64_t p = 0; p < m.phases; p++) {
    const Window y = bf16_rows(u, &m, p), x = bf16_cols(u, &m, p);
    top = PRLX_MIN(top, y.lo);
    bottom = PRLX_MIN(bottom, m.rows - y.hi);
    left = PRLX_MIN(left, x.lo);
    right = PRLX_MIN(right, m.cols - x.hi);
  }
  m.pitch = PRLX_MAX(u->gw, m.cols - PRLX_MIN(left, right));
  m.image = PRLX_MAX(u->gh, m.rows - PRLX_MIN(top, bottom)) * m.pitch;
  m.reach = (u->nty - 1) / u->step * m.pitch + (u->ntx - 1) / u->step;
  return m;
}

Window bf16_rows(const ConvSub *u, const Bf16Map *m, int64_t p) {
  return window(u->step, u->base_y + p / m->px, m->rows, u->sh);
}

Window bf16_cols(const ConvSub *u, const Bf16Map *m, int64_t p) {
  return window(u->step, u->base_x + p % m->px, m->cols, u->sw);
}

/* Tap t reads staged row ty, column tx. */
static void bf16_tap(const ConvSub *u, int64_t t, int64_t *ty, int64_t *tx) {
  *ty = u->flip ? u->nty - 1 - t / u->ntx : t / u->ntx;
  *tx = u->flip ? u->ntx - 1 - t % u->ntx : t % u->ntx;
}

int64_t bf16_phase(const ConvSub *u, const Bf16Map *m, int64_t t) {
  int64_t ty, tx;
  bf16_tap(u, t, &ty, &tx);
  return ty % u->step * m->px + tx % u->step;
}

int64_t bf16_shift(const ConvSub *u, const Bf16Map *m, int64_t t) {
  int64_t ty, tx;
  bf16_tap(u, t, &ty, &tx);
  return ty / u->step * m->pitch + tx / u->step;
}

#ifndef PRLX_F64
/* Tiles are filled with zeros where channels end: a product of few channels is left to float. Where
 * vectors are all there is, so is what float does by Winograd's transforms: they save more. */
bool bf16_pays(const ConvGeom *g) {
  const Bf16Way way = bf16_way();
  if (!g->bf16 || way == BF16_NONE) return false;
  const int64_t c = g->kind == CONV_DX ? g->co : g->ci, m = g->kind == CONV_DX ? g->ci : g->co,
                most = way == BF16_TILES ? 8 : 1;
  if (PRLX_MIN(c, m) <= 4 && (g->kind == CONV_DW || g->kh * g->kw == 1)) return false;
  if (way != BF16_TILES && wino_possible(g) && wino_auto(g)) return false;
  return round_up(c, BF16_STEP) * round_up(m, BF16_SIDE) <= most * c * m;
}

/* ---- prepared weights: [m/16][channels/32][tap][16][32] ---- */
static int64_t weights_bytes(const ConvSub *u) {
  return round_up(u->out_c, BF16_SIDE) * round_up(u->in_c, BF16_STEP) * u->taps * 2;
}

size_t bf16_prep_numel(const ConvGeom *g) {
  int64_t bytes = 0;
  for (int r = 0; r < conv_subs(g); r++) {
    const ConvSub u = conv_sub(g, r);
    bytes += weights_bytes(&u);
  }
  return PRLX_MAX((size_t)bytes / sizeof(real), 1);
}

typedef struct BPrep {
  const ConvGeom *g;
  const Bf16Kernels *k;
  const real *w;
  char *dst;
  ConvSub u;
} BPrep;

/* 16 output channels of one sub-convolution. */
static void prep_task(void *ctx, int64_t i, int worker) {
  const BPrep *p = ctx;
  const ConvSub *u = &p->u;
  const bool fwd = p->g->kind == CONV_FWD;
  const int64_t kk = p->g->kh * p->g->kw, m_step = fwd ? u->in_c * kk : kk,
                c_step = fwd ? kk : u->out_c * kk;
  const int lanes = (int)PRLX_MIN(BF16_SIDE, u->out_c - i * BF16_SIDE);
  const real *w = p->w + i * BF16_SIDE * m_step;
  uint16_t *dst =
      (uint16_t *)(void *)(p->dst + weights_bytes(u) / ceil_div(u->out_c, BF16_SIDE) * i);
  for (int64_t c = 0; c < u->in_c; c += BF16_STEP, dst += u->taps * BF16_SIDE * BF16_STEP) {
    const int n = (int)PRLX_MIN(BF16_STEP, u->in_c - c);
    for (int j = 0; j < BF16_SIDE; j++)
      for (int64_t t = 0; t < u->taps; t++) {
        const int64_t ky = u->ky0 + t / u->ntx * u->kstep, kx = u->kx0 + t % u->ntx * u->kstep;
        p->k->gather(j < lanes ? w + j * m_step + c * c_step + ky * p->g->kw + kx : p->w, c_step,
                     j < lanes ? n : 0, dst + (t * BF16_SIDE + j) * BF16_STEP);
      }
  }
}

void bf16_prep(const ConvGeom *g, const real *w, real *dst) {
  BPrep p = {.g = g, .k = ISA_PICK(bf16_kernels), .w = w, .dst = (char *)dst};
  for (int r = 0; r < conv_subs(g); r++) {
    p.u = conv_sub(g, r);
    if (p.u.taps) par_for(ceil_div(p.u.out_c, BF16_SIDE), prep_task, &p);
    p.dst += weights_bytes(&p.u);
  }
}

/* ---- one sub-convolution of a group of images ---- */
enum { BF16_GROUP_BYTES = 32 << 20, BF16_PIXELS = 512, BF16_DEPTH = 18 };

typedef struct Bf16Conv {
  const ConvGeom *g;
  const Bf16Kernels *k;
  ConvSub u;
  Bf16Map map;
  /* images per group; pixels of a group, in tiles, and of a block; blocks; rows per block */
  int64_t nimg;
  int64_t pixels;
  int64_t block;
  int64_t blocks;
  int64_t mc;
  /* words of a plane, planes of a phase; steps */
  int64_t plane;
  int64_t planes;
  int64_t steps;
  /* group in work */
  int64_t n0;
  int64_t ni;
  const real *src;
  const real *scale;
  const char *w;
  real *out;
  uint32_t *stage;
  int64_t *a_step;
  int64_t *b_step;
  char *slots;
  size_t slot_bytes;
  int64_t c_row; /* numbers between rows of a task's sums */
} Bf16Conv;

static void bf16_layout(Bf16Conv *d, const ConvGeom *g, int r) {
  d->g = g;
  d->u = conv_sub(g, r);
  d->map = bf16_map(&d->u);
  d->planes = round_up(d->u.in_c, BF16_STEP) / 2;
  d->steps = d->planes / BF16_SIDE * d->u.taps;
  const int64_t per_image = d->map.phases * d->planes * d->map.image * 4;
  d->nimg = PRLX_MAX(1, PRLX_MIN(g->n, BF16_GROUP_BYTES / PRLX_MAX(per_image, 1)));
  d->pixels = round_up(d->nimg * d->map.image, BF16_SIDE);
  d->plane = bf16_plane(d->pixels + d->map.reach + d->map.cols + BF16_SIDE, 16);
  d->blocks = ceil_div(d->pixels, BF16_PIXELS);
  d->block = round_up(ceil_div(d->pixels, d->blocks), 2 * BF16_SIDE);
  d->blocks = ceil_div(d->pixels, d->block);
  d->mc = d->blocks > 1 ? 4 * BF16_SIDE : 2 * BF16_SIDE;
  d->c_row = d->block + BF16_SIDE;
  d->slot_bytes = (size_t)(d->mc * d->c_row) * sizeof(real);
}

static size_t bf16_memory(Bf16Conv *d, Bump *mem) {
  d->stage = bump(mem, (size_t)(d->map.phases * d->planes * d->plane), sizeof(uint32_t));
  d->a_step = bump(mem, (size_t)d->steps, sizeof(int64_t));
  d->b_step = bump(mem, (size_t)d->steps, sizeof(int64_t));
  d->slots = bump(mem, (size_t)conv_slots(d->slot_bytes), d->slot_bytes);
  return mem->used;
}

/* Two channels of one phase, all images of the group. */
static void stage_task(void *ctx, int64_t i, int worker) {
  const Bf16Conv *d = ctx;
  const ConvSub *u = &d->u;
  const int64_t p = i / d->planes, c = i % d->planes * 2;
  const Window y = bf16_rows(u, &d->map, p), x = bf16_cols(u, &d->map, p);
  uint32_t *plane = d->stage + i * d->plane;
  memset(plane, 0, (size_t)d->plane * sizeof *plane);
  for (int64_t n = d->n0; n < d->n0 + d->ni && c < u->in_c; n++) {
    const int64_t at = n * u->in_c + c, size = u->sh * u->sw;
    const real *from = d->src + at * size + x.lo * x.step + x.first;
    uint32_t *to = plane + (n - d->n0) * d->map.image + x.lo;
    for (int64_t r = y.lo; r < y.hi; r++) {
      const real *row = from + (r * y.step + y.first) * u->sw;
      d->k->pairs(row, c + 1 < u->in_c ? row + size : NULL, d->scale ? d->scale[at] : 1,
                  d->scale && c + 1 < u->in_c ? d->scale[at + 1] : 1, x.step, x.hi - x.lo,
                  to + r * d->map.pitch);
    }
  }
}

/* The pixels of a block that are inside the map, to the output. */
static void write_rows(const Bf16Conv *d, int64_t q0, int64_t q1, int64_t m0, int64_t m1,
                       const real *c) {
  const ConvSub *u = &d->u;
  const int64_t plane = u->out_h * u->out_w;
  q1 = PRLX_MIN(q1, d->ni * d->map.image);
  for (int64_t q = q0; q < q1;) {
    const int64_t img = q / d->map.image, y = q % d->map.image / d->map.pitch, x = q % d->map.pitch,
                  next = PRLX_MIN(q1, q - x + d->map.pitch), n = PRLX_MIN(next, q - x + u->gw) - q;
    real *out = d->out + ((d->n0 + img) * u->out_c + m0) * plane +
                (y * u->ostep + u->oy0) * u->out_w + x * u->ostep + u->ox0;
    const real *from = c + q - q0;
    q = next;
    if (y >= u->gh || n <= 0) continue;
    for (int64_t m = m0; m < m1; m++, out += plane, from += d->c_row) {
      if (u->ostep == 1) {
        memcpy(out, from, (size_t)n * sizeof *out);
        continue;
      }
      for (int64_t j = 0; j < n; j++) out[j * u->ostep] = from[j];
    }
  }
}

/* Some output channels of a block of pixels. Few steps at a time: their part of W stays in the
 * first-level cache while the pixels pass. */
static void product_task(void *ctx, int64_t i, int slot) {
  const Bf16Conv *d = ctx;
  const ConvSub *u = &d->u;
  const int64_t chunks = ceil_div(u->out_c, d->mc), m0 = i % chunks * d->mc,
                m1 = PRLX_MIN(u->out_c, m0 + d->mc), q0 = i / chunks * d->block,
                q1 = PRLX_MIN(d->pixels, q0 + d->block),
                depth = PRLX_MAX(1, BF16_DEPTH / u->taps) * u->taps;
  real *c = (real *)(void *)(d->slots + (size_t)slot * d->slot_bytes);
  Bf16Product p = {.mt = (int)ceil_div(m1 - m0, BF16_SIDE),
                   .nt = (int)ceil_div(q1 - q0, BF16_SIDE),
                   .left = d->w + m0 / BF16_SIDE * d->steps * BF16_TILE_BYTES,
                   .right = (const char *)(d->stage + q0),
                   .sum = (char *)c,
                   .a_tile = d->steps * BF16_TILE_BYTES,
                   .a_row = 2 * BF16_STEP,
                   .b_tile = BF16_SIDE * 4,
                   .b_row = d->plane * 4,
                   .c_tile = BF16_SIDE * d->c_row * (int64_t)sizeof(real),
                   .c_row = d->c_row * (int64_t)sizeof(real)};
  bf16_products(&p, d->a_step, d->b_step, d->steps, depth);
  write_rows(d, q0, q1, m0, m1, c);
}

static void zero_task(void *ctx, int64_t i, int worker) {
  const Bf16Conv *d = ctx;
  const ConvSub *u = &d->u;
  for (int64_t y = u->oy0; y < u->out_h; y += u->ostep)
    for (int64_t x = u->ox0; x < u->out_w; x += u->ostep)
      d->out[(i * u->out_h + y) * u->out_w + x] = 0;
}

/* ---- the run ---- */
size_t bf16_scratch(const ConvGeom *g, bool with_prep) {
  size_t most = 0;
  for (int r = 0; r < conv_subs(g); r++) {
    Bf16Conv d = {0};
    Bump mem = {NULL, 0};
    bf16_layout(&d, g, r);
    if (!d.u.taps || d.u.gh * d.u.gw == 0) continue;
    const size_t bytes = bf16_memory(&d, &mem);
    most = PRLX_MAX(most, bytes);
  }
  Bump mem = {NULL, most};
  bump(&mem, with_prep ? 0 : bf16_prep_numel(g), sizeof(real));
  return mem.used;
}

static void run_sub(Bf16Conv *d) {
  for (int64_t s = 0; s < d->steps; s++) {
    const int64_t block = s / d->u.taps, t = s % d->u.taps,
                  plane = bf16_phase(&d->u, &d->map, t) * d->planes + block * BF16_SIDE;
    d->a_step[s] = s * BF16_TILE_BYTES;
    d->b_step[s] = (plane * d->plane + bf16_shift(&d->u, &d->map, t)) * 4;
  }
  for (d->n0 = 0; d->n0 < d->g->n; d->n0 += d->ni) {
    d->ni = PRLX_MIN(d->nimg, d->g->n - d->n0);
    par_for(d->map.phases * d->planes, stage_task, d);
    par_tasks(d->blocks * ceil_div(d->u.out_c, d->mc), conv_slots(d->slot_bytes), product_task, d);
  }
}

void bf16_run(const ConvGeom *g, const real *src, const real *w, const real *prep,
              const real *scale, real *out, void *scratch) {
  Bump mem = {scratch, 0};
  if (!prep) {
    real *own = bump(&mem, bf16_prep_numel(g), sizeof(real));
    bf16_prep(g, w, own);
    prep = own;
  }
  Bf16Conv d = {
      .k = ISA_PICK(bf16_kernels), .src = src, .scale = scale, .out = out, .w = (const char *)prep};
  for (int r = 0; r < conv_subs(g); r++) {
    bf16_layout(&d, g, r);
    Bump part = mem;
    if (d.u.gh * d.u.gw != 0 && d.u.taps) {
      bf16_memory(&d, &part);
      run_sub(&d);
    } else if (d.u.gh * d.u.gw != 0) {
      par_for(g->n * d.u.out_c, zero_task, &d);
    }
    d.w += weights_bytes(&d.u);
  }
}
#else
bool bf16_pays(const ConvGeom *g) { return false; }
size_t bf16_prep_numel(const ConvGeom *g) { return 1; }
void bf16_prep(const ConvGeom *g, const real *w, real *dst) {}
size_t bf16_scratch(const ConvGeom *g, bool with_prep) { return 0; }
void bf16_run(const ConvGeom *g, const real *src, const real *w, const real *prep,
              const real *scale, real *out, void *scratch) {}
#endif
