/* gemm.h: the matrix-product kernels below conv2d and matmul (core/kernels/gemm.c), and how tasks
 * share scratch memory.
 *
 * Loop structure after Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
 * (ACM TOMS 2008):
 *   C[m][n] += A[m][k] B[k][n]
 *   A is packed in panels of 12 rows, [m/12][k][12] (12 suits tiles of 6 and of 12 rows, so packed
 *   weights do not depend on the instruction set); B in panels of nr columns, [n/nr][k][nr]; C in
 *   tiles' columns, [n/nr][m][nr].
 * One B panel (k <= GEMM_KC) stays in the first-level cache while A panels stream past it. */
#ifndef PRLX_GEMM_H
#define PRLX_GEMM_H
#include "core/base.h"
#include "core/isa.h"

enum { GEMM_PANEL = 12, GEMM_KC = 256, GEMM_NR_MAX = 32, GEMM_MC = 96 };

/* Lanes at .. at+n-1 of a panel are the numbers off, off + step, ... of a plane. */
typedef struct LaneRun {
  int32_t at;
  int32_t n;
  int32_t off;
} LaneRun;

/* Where a sum over k goes: in place of C; added to C; or it goes on from C, as if C's k and these
 * were one sum. */
typedef enum { GEMM_SET = 0, GEMM_ADD, GEMM_GO_ON } GemmInto;

typedef struct GemmKernels {
  int nr; /* columns of a B panel: a multiple of the vector length */
  /* C (n columns in panels c_panel apart, rows c_row apart) = A (rows m, panels of 12 rows a_panel
   * apart, column step lda) times B (panels b_panel apart, row step ldb). Rows up to the next
   * multiple of 12 and columns up to the next multiple of nr must exist: what of them is written to
   * C is the kernel's choice, the same for one m and n. */
  void (*block)(int64_t m, int64_t n, int64_t kc, const real *a, int64_t lda, int64_t a_panel,
                const real *b, int64_t ldb, int64_t b_panel, real *c, int64_t c_row,
                int64_t c_panel, GemmInto into);
  /* dst[t*nr + j] = scale * plane[lane j + tap[t]] for t < ntap and the lanes of the runs (step 1),
   * which are in order. slack: nr numbers behind each run may be read. */
  void (*pack_pixels)(const real *plane, bool slack, const LaneRun *run, int runs,
                      const int32_t *tap, int ntap, real scale, real *dst);
  /* dst[lane j] = src[j] for the lanes of the runs, for `rows` rows (src nr apart, dst drow apart).
   */
  void (*unpack_pixels)(const real *src, int64_t rows, const LaneRun *run, int runs, int64_t step,
                        real *dst, int64_t drow);
  /* dst[r*ldd + x] = scale * src[r*lds + x*step] for r < rows, x < n. */
  void (*stage)(const real *src, int64_t lds, int64_t step, int64_t rows, int64_t n, real scale,
                real *dst, int64_t ldd);
  /* Transposition: dst[x*ldd + j] = scale[j] * src[j*lds + x] for x < n, j < lanes (scale NULL: 1);
   * zero for lanes <= j < width. */
  void (*transpose)(const real *src, int64_t lds, int lanes, int width, const real *scale,
                    int64_t n, real *dst, int64_t ldd);
  /* dst[k*nr ..] = src[(row[k] + off)*nr ..], k < n: rows of nr numbers. */
  void (*gather_rows)(const real *src, const int32_t *row, int64_t off, int64_t n, real *dst);
  /* dst[i*ldd + x] = sum over k < c of w[i*wm + k*wc] * scale[k] * src[k*lds + x] for i < m <= 4, x
   * < n (scale may be NULL). */
  void (*mix)(const real *src, int64_t lds, int64_t c, int m, const real *w, int64_t wm, int64_t wc,
              const real *scale, int64_t n, real *dst, int64_t ldd);
  real (*dot)(const real *a, const real *b, int64_t n);
  /* c[i*ldc + j] = <a_i, b_j> for i < m <= 4, j < n <= 4; rows of a and b contiguous, k long. */
  void (*dots)(int m, int n, int64_t k, const real *a, int64_t lda, const real *b, int64_t ldb,
               real *c, int64_t ldc);
} GemmKernels;
ISA_DECLARE(const GemmKernels, gemm_kernels);

/* a / b rounded up, a >= 0, b > 0. */
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* a rounded up to a multiple of b. */
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/* Runs fn for tasks 0..n-1 with a private scratch slot < nslots, whatever the number of threads
 * (nslots >= 1). */
void par_tasks(int64_t n, int nslots, void (*fn)(void *ctx, int64_t task, int slot), void *ctx);
#endif
