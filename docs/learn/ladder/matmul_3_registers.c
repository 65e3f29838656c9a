/* Matrix product, rung 3: a tile of c stays in registers.
 *
 * Rungs 1 and 2 load and store a number of c for each multiplication. A tile of 6 rows and 8
 * columns, held in 12 vectors of four, is never loaded and stored once: per step of k it takes two
 * vectors of b and six numbers of a, and makes 48 multiply-adds. (12 of the 16 registers of every
 * x86-64: with fewer tiles the additions wait for each other, with more they go to memory.) Eight
 * columns of b are copied to a panel [k][8] first: a column of the matrix would touch a new line,
 * and soon a new page, at every step. core/kernels/gemm.c is this with a packed, too, k in blocks,
 * and longer vectors where the machine has them. */
#include "docs/learn/ladder/ladder.h"

enum { ROWS = 6, WIDE = 4, COLUMNS = 2 * WIDE };
typedef float vec __attribute__((vector_size(WIDE * sizeof(float)), aligned(4), may_alias));

/* a: six rows, k apart; panel [k][8]; c: six rows, n apart. */
static void tile(const MatmulSize *s, const float *a, const float *panel, float *c) {
  vec sum[ROWS][2] = {{{0}}};
  for (int64_t t = 0; t < s->k; t++, panel += COLUMNS) {
    const vec b0 = *(const vec *)panel, b1 = *(const vec *)(panel + WIDE);
#pragma GCC unroll 6
    for (int i = 0; i < ROWS; i++) {
      const vec f = a[i * s->k + t] - (vec){0};
      sum[i][0] += f * b0;
      sum[i][1] += f * b1;
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < ROWS; i++) {
    *(vec *)(c + i * s->n) = sum[i][0];
    *(vec *)(c + i * s->n + WIDE) = sum[i][1];
  }
}

/* What no tile fits over: the definition. */
static void edge(const MatmulSize *s, const float *a, const float *b, float *c, int64_t i,
                 int64_t j) {
  float sum = 0;
  for (int64_t t = 0; t < s->k; t++) sum += a[i * s->k + t] * b[t * s->n + j];
  c[i * s->n + j] = sum;
}

void matmul_3_registers(const MatmulSize *s, const float *a, const float *b, float *c) {
  const int64_t m = s->m - s->m % ROWS, n = s->n - s->n % COLUMNS;
  float *panel = mem_alloc((size_t)(s->k * COLUMNS) * sizeof *panel);
  for (int64_t j = 0; j < n && panel; j += COLUMNS) {
    for (int64_t t = 0; t < s->k; t++)
      for (int64_t i = 0; i < COLUMNS; i++) panel[t * COLUMNS + i] = b[t * s->n + j + i];
    for (int64_t i = 0; i < m; i += ROWS) tile(s, a + i * s->k, panel, c + i * s->n + j);
  }
  for (int64_t i = 0; i < s->m; i++)
    for (int64_t j = i < m ? n : 0; j < s->n; j++) edge(s, a, b, c, i, j);
  mem_free(panel);
}
