/* bf16.h: products of bf16 numbers with float sums (core/bf16.h), compiled once per instruction
 * set; only the table of avx512 has functions, and those need AVX512_BF16 beyond it (the tiles:
 * AMX-BF16).
 *
 * A bf16 is the upper half of a float, rounded to nearest even. Both ways to multiply take pairs of
 * neighbours in k in one 32-bit word: a row of A holds them in order, a row of B holds the pair of
 * one k for 16 columns. Intel, "Architecture Instruction Set Extensions Programming Reference",
 * chapters on AMX and AVX512_BF16. */
#ifndef PRLX_KERNEL_BF16_H
#define PRLX_KERNEL_BF16_H
#include "core/base.h"
#include "core/isa.h"

/* Sides of a tile: 16 rows of A, 16 columns of B, 32 k per step. */
enum { BF16_SIDE = 16, BF16_STEP = 32, BF16_TILE_BYTES = 1024 };

/* C (+)= A B (sum, left, right): mt x nt tiles of 16 x 16 floats, nk steps of 32 k. All strides in
 * bytes. Tile (i,k) of A: 16 rows a_row apart from left + i a_tile + a_step[k]; tile (k,j) of B: 16
 * rows of 64 bytes b_row apart from right + j b_tile + b_step[k]; tile (i,j) of C: rows c_row apart
 * from sum + i c_tile + 64 j. An element is one sum over k in order, whatever the tiles around it.
 */
typedef struct Bf16Product {
  int mt;
  int nt;
  int nk;
  bool accumulate;
  const char *left;
  const char *right;
  char *sum;
  const int64_t *a_step;
  const int64_t *b_step;
  int64_t a_tile;
  int64_t a_row;
  int64_t b_tile;
  int64_t b_row;
  int64_t c_tile;
  int64_t c_row;
} Bf16Product;

typedef struct Bf16Kernels {
  /* The same product with AVX512_BF16 and with tiles. */
  void (*vectors)(const Bf16Product *p);
  void (*tiles)(const Bf16Product *p);
  /* dst[i] = bf16(sa a[i step]) and, in the upper half, bf16(sb b[i step]) (b NULL: 0) for i < n.
   */
  void (*pairs)(const float *a, const float *b, float sa, float sb, int64_t step, int64_t n,
                uint32_t *dst);
  /* dst[i] = bf16(scale src[i step]), i < n. */
  void (*row)(const float *src, float scale, int64_t step, int64_t n, uint16_t *dst);
  /* dst[i] = bf16(src[i step]) for i < n, 0 for n <= i < 32. */
  void (*gather)(const float *src, int64_t step, int n, uint16_t *dst);
  /* 16 rows of bf16, lds bytes apart, n numbers each (n a multiple of 32, and as many may be read)
   * to rows of B: dst[k/2][row] = (src[row][k], src[row][k + 1]). */
  void (*turn)(const uint16_t *src, int64_t lds, int64_t n, uint32_t *dst);
} Bf16Kernels;
ISA_DECLARE(const Bf16Kernels, bf16_kernels);
#endif
