/* matmul_bf16.c: matrix products of bf16 numbers (core/bf16.h). Both operands are rounded and laid
 * out once: op(a) in rows of k; op(b) as pairs of neighbours in k, from its rows where it is not
 * transposed, else turned. */
#include <string.h>
#include "core/bf16.h"
#include "core/conv_bf16_impl.h"
#include "core/threads.h"

#ifndef PRLX_F64
enum { MMB_SIDE = 8 * BF16_SIDE, MMB_DEPTH = 16, MMB_LEAST = 16 };

typedef struct Matmul {
  bool ta;
  bool tb;
  int64_t m;
  int64_t n;
  int64_t k;
  const real *a;
  const real *b;
  real *c;
} Matmul;

typedef struct MatmulBf16 {
  const Bf16Kernels *k;
  const Matmul *q;
  /* sides in whole tiles, steps of k; words of a plane of pairs */
  int64_t mt;
  int64_t nt;
  int64_t steps;
  int64_t plane;
  uint16_t *a;
  uint32_t *b;
  int64_t *a_step;
  int64_t *b_step;
  char *slots;
  size_t slot_bytes;
} MatmulBf16;

bool bf16_matmul_pays(int64_t m, int64_t n, int64_t k) {
  return bf16_way() != BF16_NONE && PRLX_MIN(m, n) >= MMB_LEAST && k >= BF16_STEP;
}

static size_t matmul_memory(MatmulBf16 *d, const Matmul *q, Bump *mem) {
  d->q = q;
  d->mt = ceil_div(q->m, BF16_SIDE);
  d->nt = ceil_div(q->n, BF16_SIDE);
  d->steps = ceil_div(q->k, BF16_STEP);
  d->plane = bf16_plane(d->nt * BF16_SIDE, 16);
  d->a = bump(mem, (size_t)(d->mt * d->steps), BF16_TILE_BYTES);
  d->b = bump(mem, (size_t)(d->plane * d->steps * BF16_SIDE), sizeof(uint32_t));
  d->a_step = bump(mem, (size_t)d->steps, sizeof(int64_t));
  d->b_step = bump(mem, (size_t)d->steps, sizeof(int64_t));
  /* sums of a task, or 16 rounded rows */
  d->slot_bytes = (size_t)PRLX_MAX(MMB_SIDE * (MMB_SIDE + BF16_SIDE) * (int64_t)sizeof(real),
                                   BF16_SIDE * d->steps * BF16_STEP * 2);
  d->slots = bump(mem, (size_t)conv_slots(d->slot_bytes), d->slot_bytes);
  return mem->used;
}

/* 16 rows of k numbers, step apart, each lead after the one before; zeros behind n rows. */
static void round_rows(const MatmulBf16 *d, const real *src, int64_t n, int64_t lead, int64_t step,
                       uint16_t *dst) {
  const int64_t length = d->steps * BF16_STEP;
  memset(dst, 0, (size_t)(BF16_SIDE * length) * sizeof *dst);
  for (int64_t j = 0; j < n; j++) d->k->row(src + j * lead, 1, step, d->q->k, dst + j * length);
}

static void pack_a(const MatmulBf16 *d, int64_t i) {
  const Matmul *q = d->q;
  const int64_t m0 = i * BF16_SIDE;
  round_rows(d, q->a + (q->ta ? m0 : m0 * q->k), PRLX_MIN(BF16_SIDE, q->m - m0), q->ta ? 1 : q->k,
             q->ta ? q->m : 1, d->a + m0 * d->steps * BF16_STEP);
}

/* Transposed: 16 columns of op(b) are 16 rows. */
static void turn_b(const MatmulBf16 *d, int64_t i, uint16_t *rows) {
  const Matmul *q = d->q;
  const int64_t n0 = i * BF16_SIDE, length = d->steps * BF16_STEP;
  round_rows(d, q->b + n0 * q->k, PRLX_MIN(BF16_SIDE, q->n - n0), q->k, 1, rows);
  d->k->turn(rows, length * 2, length, d->b + n0 * length / 2);
}

/* Two rows of b. */
static void pair_b(const MatmulBf16 *d, int64_t i) {
  const Matmul *q = d->q;
  const real *row = q->b + 2 * i * q->n;
  uint32_t *to = d->b + i * d->plane;
  memset(to, 0, (size_t)d->plane * sizeof *to);
  if (2 * i < q->k) d->k->pairs(row, 2 * i + 1 < q->k ? row + q->n : NULL, 1, 1, 1, q->n, to);
}

static void pack_task(void *ctx, int64_t i, int slot) {
  const MatmulBf16 *d = ctx;
  if (i < d->mt)
    pack_a(d, i);
  else if (d->q->tb)
    turn_b(d, i - d->mt, (uint16_t *)(void *)(d->slots + (size_t)slot * d->slot_bytes));
  else
    pair_b(d, i - d->mt);
}

static void product_task(void *ctx, int64_t i, int slot) {
  const MatmulBf16 *d = ctx;
  const Matmul *q = d->q;
  const int64_t wide = ceil_div(q->n, MMB_SIDE), m0 = i / wide * MMB_SIDE, n0 = i % wide * MMB_SIDE,
                m = PRLX_MIN(MMB_SIDE, q->m - m0), n = PRLX_MIN(MMB_SIDE, q->n - n0),
                c_row = MMB_SIDE + BF16_SIDE, length = d->steps * BF16_STEP;
  real *c = (real *)(void *)(d->slots + (size_t)slot * d->slot_bytes);
  Bf16Product p = {.mt = (int)ceil_div(m, BF16_SIDE),
                   .nt = (int)ceil_div(n, BF16_SIDE),
                   .left = (const char *)(d->a + m0 * length),
                   .right = (const char *)(q->tb ? d->b + n0 * length / 2 : d->b + n0),
                   .sum = (char *)c,
                   .a_tile = BF16_SIDE * length * 2,
                   .a_row = length * 2,
                   .b_tile = q->tb ? d->steps * BF16_TILE_BYTES : 64,
                   .b_row = q->tb ? 64 : d->plane * 4,
                   .c_tile = BF16_SIDE * c_row * (int64_t)sizeof(real),
                   .c_row = c_row * (int64_t)sizeof(real)};
  bf16_products(&p, d->a_step, d->b_step, d->steps, MMB_DEPTH);
  for (int64_t r = 0; r < m; r++)
    memcpy(q->c + (m0 + r) * q->n + n0, c + r * c_row, (size_t)n * sizeof *c);
}

size_t bf16_matmul_scratch(bool tb, int64_t m, int64_t n, int64_t k) {
  const Matmul q = {.tb = tb, .m = m, .n = n, .k = k};
  MatmulBf16 d = {0};
  Bump mem = {NULL, 0};
  return matmul_memory(&d, &q, &mem);
}

void bf16_matmul(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                 real *c, void *scratch) {
  const Matmul product = {ta, tb, m, n, k, a, b, c}, *q = &product;
  MatmulBf16 d = {.k = ISA_PICK(bf16_kernels)};
  Bump mem = {scratch, 0};
  matmul_memory(&d, q, &mem);
  for (int64_t s = 0; s < d.steps; s++) {
    d.a_step[s] = s * BF16_STEP * 2;
    d.b_step[s] = q->tb ? s * BF16_TILE_BYTES : s * BF16_SIDE * d.plane * 4;
  }
  const int nslots = conv_slots(d.slot_bytes);
  par_tasks(d.mt + (q->tb ? d.nt : d.steps * BF16_SIDE), nslots, pack_task, &d);
  par_tasks(ceil_div(q->m, MMB_SIDE) * ceil_div(q->n, MMB_SIDE), nslots, product_task, &d);
}
#else
bool bf16_matmul_pays(int64_t m, int64_t n, int64_t k) { return false; }
size_t bf16_matmul_scratch(bool tb, int64_t m, int64_t n, int64_t k) { return 0; }
void bf16_matmul(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                 real *c, void *scratch) {}
#endif
