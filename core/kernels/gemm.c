/* gemm.c: micro-kernel of the matrix product, and the packing around it. Compiled once per
 * instruction set; see core/gemm.h. */
#include "core/gemm.h"
#include "core/kernels/four.h"
#include "core/kernels/simd.h"

/* Tile of MR x NV vectors held in registers: 12 accumulators of 16 (SSE, AVX2), 24 of 32 (AVX-512,
 * NEON). With intrinsics the numbers of A come four to a register, and a product takes the one it
 * needs from there. */
#if defined(__AVX512F__)
enum { MR = 12, NV = 2 };
#elif defined(__aarch64__)
enum { MR = 6, NV = 4 };
#else
enum { MR = 6, NV = 2 };
#endif
#define NR (NV * VLEN)
/* What is left of the rows takes a third or two of a tile. */
#define MR_THIRD (MR / 3)
/* A panels stream from the second-level cache or further: fetch them this many numbers ahead. The
 * next B panel is fetched to the second-level cache while the first tiles of the present one are
 * made, a line for every k. */
enum { A_AHEAD = 32 * GEMM_PANEL };

/* c (+)= sum over k of a[k*lda + i] * b[k*ldb + j], i < rows, j < nv vectors. The sum starts at
 * zero and the old c is added last: its lines, fetched at the start, have arrived by then, and
 * blocks of k are summed pairwise rather than in one chain. */
static inline __attribute__((always_inline)) void micro(int rows, int nv, int64_t kc,
                                                        const real *restrict a, int64_t lda,
                                                        const real *restrict b, int64_t ldb,
                                                        const real *next, int64_t next_step,
                                                        real *restrict c, int64_t c_row,
                                                        GemmInto into) {
  vreal s[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < rows; i++) {
    __builtin_prefetch(c + i * c_row, 1);
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++)
      s[i][j] = into == GEMM_GO_ON ? v_load(c + i * c_row + j * VLEN) : (vreal){0};
  }
  for (int64_t k = 0; k < kc; k++, a += lda, b += ldb) {
    vreal v[NV];
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++) v[j] = v_load(b + j * VLEN);
    __builtin_prefetch(a + A_AHEAD);
    if (next) __builtin_prefetch(next + k * next_step, 0, 2);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
      const vreal x = v_set1(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < nv; j++) s[i][j] += x * v[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++) {
      real *p = c + i * c_row + j * VLEN;
      v_store(p, into == GEMM_ADD ? v_load(p) + s[i][j] : s[i][j]);
    }
}

#if defined(PRLX_NEON) && !defined(PRLX_F64)
#include <arm_neon.h>
/* Row i of the tile: lane `lane` of a, times the four vectors of b. */
#define NEON_ROW(i, a, lane)                       \
  s[i][0] = vfmaq_laneq_f32(s[i][0], b0, a, lane); \
  s[i][1] = vfmaq_laneq_f32(s[i][1], b1, a, lane); \
  s[i][2] = vfmaq_laneq_f32(s[i][2], b2, a, lane); \
  s[i][3] = vfmaq_laneq_f32(s[i][3], b3, a, lane);

/* micro for a machine of 32 registers: 24 sums, two for six rows of A, four of B. The same sums in
 * the same order. */
static inline __attribute__((always_inline)) void micro_neon(int64_t kc, const real *restrict a,
                                                             int64_t lda, const real *restrict b,
                                                             int64_t ldb, const real *next,
                                                             int64_t next_step, real *restrict c,
                                                             int64_t c_row, GemmInto into) {
  float32x4_t s[MR][NV];
#pragma GCC unroll 6
  for (int i = 0; i < MR; i++) {
    __builtin_prefetch(c + i * c_row, 1);
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++)
      s[i][j] = into == GEMM_GO_ON ? vld1q_f32(c + i * c_row + 4 * j) : vdupq_n_f32(0);
  }
#pragma GCC unroll 4
  for (int64_t k = 0; k < kc; k++, a += lda, b += ldb) {
    const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4), b2 = vld1q_f32(b + 8),
                      b3 = vld1q_f32(b + 12), a0 = vld1q_f32(a),
                      a1 = vcombine_f32(vld1_f32(a + 4), vdup_n_f32(0));
    NEON_ROW(0, a0, 0)
    NEON_ROW(1, a0, 1)
    NEON_ROW(2, a0, 2)
    NEON_ROW(3, a0, 3)
    NEON_ROW(4, a1, 0)
    NEON_ROW(5, a1, 1)
  }
#pragma GCC unroll 6
  for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      float *p = c + i * c_row + 4 * j;
      vst1q_f32(p, into == GEMM_ADD ? vaddq_f32(vld1q_f32(p), s[i][j]) : s[i][j]);
    }
}
/* always the whole tile */
#define MICRO(rows, nv, ...) micro_neon(__VA_ARGS__)
#else
#define MICRO(...) micro(__VA_ARGS__)
#endif

static void micro_packed(int64_t kc, const real *a, const real *b, const real *next,
                         int64_t next_step, real *c, int64_t c_row, GemmInto into) {
  switch (into) {
    case GEMM_SET:
      MICRO(MR, NV, kc, a, GEMM_PANEL, b, NR, next, next_step, c, c_row, GEMM_SET);
      return;
    case GEMM_ADD:
      MICRO(MR, NV, kc, a, GEMM_PANEL, b, NR, next, next_step, c, c_row, GEMM_ADD);
      return;
    default: MICRO(MR, NV, kc, a, GEMM_PANEL, b, NR, next, next_step, c, c_row, GEMM_GO_ON);
  }
}

static void micro_strided(int64_t kc, const real *a, int64_t lda, const real *b, int64_t ldb,
                          real *c, int64_t c_row, GemmInto into) {
  MICRO(MR, NV, kc, a, lda, b, ldb, NULL, 0, c, c_row, into);
}

static void micro_rest(int64_t rows, int64_t kc, const real *a, int64_t lda, const real *b,
                       int64_t ldb, real *c, int64_t c_row, GemmInto into) {
  if (rows <= MR_THIRD)
    MICRO(MR_THIRD, NV, kc, a, lda, b, ldb, NULL, 0, c, c_row, into);
  else
    MICRO(2 * MR_THIRD, NV, kc, a, lda, b, ldb, NULL, 0, c, c_row, into);
}

/* At most half of the columns, rounded up to vectors. */
static void micro_narrow(int64_t rows, int64_t kc, const real *a, int64_t lda, const real *b,
                         int64_t ldb, real *c, int64_t c_row, GemmInto into) {
  if (rows <= MR_THIRD)
    MICRO(MR_THIRD, NV / 2, kc, a, lda, b, ldb, NULL, 0, c, c_row, into);
  else
    MICRO(MR, NV / 2, kc, a, lda, b, ldb, NULL, 0, c, c_row, into);
}

static void gemm_block(int64_t m, int64_t n, int64_t kc, const real *a, int64_t lda,
                       int64_t a_panel, const real *b, int64_t ldb, int64_t b_panel, real *c,
                       int64_t c_row, int64_t c_panel, GemmInto into) {
  enum { LINE = 64 / sizeof(real), LINES = NR > LINE ? NR / LINE : 1 };
  const bool packed = lda == GEMM_PANEL && ldb == NR;
  for (int64_t j = 0; j < n; j += NR, b += b_panel, c += c_panel)
    for (int64_t i = 0; i < m; i += MR) {
      const real *pa = a + i / GEMM_PANEL * a_panel + i % GEMM_PANEL;
      real *pc = c + i * c_row;
      if (n - j <= NR / 2)
        micro_narrow(m - i, kc, pa, lda, b, ldb, pc, c_row, into);
      else if (m - i <= 2 * MR_THIRD)
        micro_rest(m - i, kc, pa, lda, b, ldb, pc, c_row, into);
      else if (packed)
        micro_packed(kc, pa, b, i / MR < LINES ? b + b_panel + i / MR * LINE : b,
                     i / MR < LINES ? NR : 0, pc, c_row, into);
      else
        micro_strided(kc, pa, lda, b, ldb, pc, c_row, into);
    }
}

static inline void run_copy(const real *src, int n, real scale, real *dst) {
  const vreal vs = v_set1(scale);
  int j = 0;
  for (; j + VLEN <= n; j += VLEN) v_store(dst + j, vs * v_load(src + j));
  for (; j + 4 <= n; j += 4) *(v4_u *)(dst + j) = scale * *(const v4_u *)(src + j);
  for (; j < n; j++) dst[j] = scale * src[j];
}

/* The same where what lies behind the run may be read, and of the `room` lanes from dst on those
 * behind it are written later. */
static inline void run_over(const real *src, int n, int room, real scale, real *dst) {
  const vreal vs = v_set1(scale);
  int j = 0;
  for (; j < n && j + VLEN <= room; j += VLEN) v_store(dst + j, vs * v_load(src + j));
  if (j >= n) return;
  if (n == room && n >= VLEN)
    v_store(dst + n - VLEN, vs * v_load(src + n - VLEN));
  else
    run_copy(src + j, n - j, scale, dst + j);
}

static void pack_pixels(const real *plane, bool slack, const LaneRun *run, int runs,
                        const int32_t *tap, int ntap, real scale, real *dst) {
  const vreal vs = v_set1(scale);
  for (int t = 0; t < ntap; t++, dst += NR) {
    const real *p = plane + tap[t];
    if (runs == 1) {
      p += run[0].off;
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) v_store(dst + j * VLEN, vs * v_load(p + j * VLEN));
    } else if (slack) {
      for (int i = 0; i < runs; i++)
        run_over(p + run[i].off, run[i].n, NR - run[i].at, scale, dst + run[i].at);
    } else {
      for (int i = 0; i < runs; i++) run_copy(p + run[i].off, run[i].n, scale, dst + run[i].at);
    }
  }
}

static inline void run_spread(const real *src, int n, int64_t step, real *dst) {
  int j = 0;
  for (; step == 2 && j + 4 <= n; j += 4) {
    real *d = dst + 2 * j;
    d[0] = src[j];
    d[2] = src[j + 1];
    d[4] = src[j + 2];
    d[6] = src[j + 3];
  }
  for (; j < n; j++) dst[j * step] = src[j];
}

static void unpack_pixels(const real *src, int64_t rows, const LaneRun *run, int runs, int64_t step,
                          real *dst, int64_t drow) {
  for (int64_t r = 0; r < rows; r++, src += NR, dst += drow) {
    if (step == 1 && runs == 1 && run[0].n == NR) {
      real *d = dst + run[0].off;
#pragma GCC unroll 4
      for (int v = 0; v < NV; v++) v_store(d + v * VLEN, v_load(src + v * VLEN));
      continue;
    }
    for (int i = 0; i < runs; i++) {
      const real *s = src + run[i].at;
      real *d = dst + run[i].off;
      if (step == 1)
        run_copy(s, run[i].n, 1, d);
      else
        run_spread(s, run[i].n, step, d);
    }
  }
}

/* Every second number of a row; what follows the last one may not be ours: the second vector starts
 * one number early. */
static inline void halve_row(const real *src, int64_t n, real scale, real *dst) {
  int64_t x = 0;
#ifndef PRLX_F64
#if VBYTES == 64
#define HALVE(a, b) SHUF(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31)
#elif VBYTES == 32
#define HALVE(a, b) SHUF(a, b, 0, 2, 4, 6, 9, 11, 13, 15)
#else
#define HALVE(a, b) SHUF(a, b, 0, 2, 5, 7)
#endif
  const vreal vs = v_set1(scale);
  for (; x + VLEN <= n; x += VLEN) {
    const vreal a = v_load(src + 2 * x), b = v_load(src + 2 * x + VLEN - 1);
    v_store(dst + x, vs * HALVE(a, b));
  }
#endif
  for (; x < n; x++) dst[x] = scale * src[2 * x];
}

static void gemm_stage(const real *src, int64_t lds, int64_t step, int64_t rows, int64_t n,
                       real scale, real *dst, int64_t ldd) {
  const vreal vs = v_set1(scale);
  for (int64_t r = 0; r < rows; r++, src += lds, dst += ldd) {
    if (step == 2) {
      halve_row(src, n, scale, dst);
      continue;
    }
    int64_t x = 0;
    if (step == 1 && n >= VLEN) {
      for (; x + VLEN <= n; x += VLEN) v_store(dst + x, vs * v_load(src + x));
      if (x < n) v_store(dst + n - VLEN, vs * v_load(src + n - VLEN));
    } else if (step == 1 && n >= 4 && VLEN > 4) {
      for (; x + 4 <= n; x += 4) *(v4_u *)(dst + x) = scale * *(const v4_u *)(src + x);
      if (x < n) *(v4_u *)(dst + n - 4) = scale * *(const v4_u *)(src + n - 4);
    } else {
      for (; x < n; x++) dst[x] = scale * src[x * step];
    }
  }
}

static void gemm_transpose(const real *src, int64_t lds, int lanes, int width, const real *scale,
                           int64_t n, real *dst, int64_t ldd) {
  int j = 0;
  for (; j + 4 <= lanes; j += 4) {
    const real *s = src + j * lds;
    real *d = dst + j;
    int64_t x = 0;
    for (; x + 4 <= n; x += 4)
      transpose4(s + x, s + lds + x, s + 2 * lds + x, s + 3 * lds + x, d + x * ldd, ldd);
    for (; x < n; x++)
      for (int i = 0; i < 4; i++) d[x * ldd + i] = s[i * lds + x];
    if (scale)
      for (x = 0; x < n; x++)
        for (int i = 0; i < 4; i++) d[x * ldd + i] *= scale[j + i];
  }
  for (; j < lanes; j++)
    for (int64_t x = 0; x < n; x++) dst[x * ldd + j] = (scale ? scale[j] : 1) * src[j * lds + x];
  /* along the rows: a panel of one channel is nearly all zeros */
  for (int64_t x = 0; x < n && j < width; x++)
    for (int i = j; i < width; i++) dst[x * ldd + i] = 0;
}

static void gather_rows(const real *src, const int32_t *row, int64_t off, int64_t n, real *dst) {
  src += off * NR;
  for (int64_t k = 0; k < n; k++, dst += NR) {
    const real *s = src + (int64_t)row[k] * NR;
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) v_store(dst + j * VLEN, v_load(s + j * VLEN));
  }
}

/* Four source rows at a time, so that the sums are read and written a quarter as often. */
static void gemm_mix(const real *src, int64_t lds, int64_t c, int m, const real *w, int64_t wm,
                     int64_t wc, const real *scale, int64_t n, real *dst, int64_t ldd) {
  for (int64_t k = 0; k < c; k += 4) {
    const real *s[4];
    real f[4][4];
    for (int u = 0; u < 4; u++) {
      const bool in = k + u < c;
      s[u] = src + (in ? k + u : k) * lds;
      for (int i = 0; i < m; i++)
        f[i][u] = in ? w[i * wm + (k + u) * wc] * (scale ? scale[k + u] : 1) : 0;
    }
    for (int i = 0; i < m; i++) {
      const vreal f0 = v_set1(f[i][0]), f1 = v_set1(f[i][1]), f2 = v_set1(f[i][2]),
                  f3 = v_set1(f[i][3]);
      real *d = dst + i * ldd;
      int64_t x = 0;
      for (; x + VLEN <= n; x += VLEN) {
        const vreal t = (f0 * v_load(s[0] + x) + f1 * v_load(s[1] + x)) +
                        (f2 * v_load(s[2] + x) + f3 * v_load(s[3] + x));
        v_store(d + x, k ? v_load(d + x) + t : t);
      }
      for (; x < n; x++) {
        const real t =
            (f[i][0] * s[0][x] + f[i][1] * s[1][x]) + (f[i][2] * s[2][x] + f[i][3] * s[3][x]);
        d[x] = k ? d[x] + t : t;
      }
    }
  }
}

static inline real v_sum(vreal v) {
  real s = 0;
  for (int i = 0; i < VLEN; i++) s += v[i];
  return s;
}

static real gemm_dot(const real *a, const real *b, int64_t n) {
  vreal s[4] = {{0}, {0}, {0}, {0}};
  int64_t i = 0;
  for (; i + 4 * VLEN <= n; i += 4 * VLEN)
#pragma GCC unroll 4
    for (int u = 0; u < 4; u++) s[u] += v_load(a + i + u * VLEN) * v_load(b + i + u * VLEN);
  for (; i + VLEN <= n; i += VLEN) s[0] += v_load(a + i) * v_load(b + i);
  real r = v_sum((s[0] + s[1]) + (s[2] + s[3]));
  for (; i < n; i++) r += a[i] * b[i];
  return r;
}

static inline __attribute__((always_inline)) void dots_mn(int m, int n, int64_t k, const real *a,
                                                          int64_t lda, const real *b, int64_t ldb,
                                                          real *c, int64_t ldc) {
  vreal s[4][4] = {{{0}}};
  int64_t x = 0;
  for (; x + VLEN <= k; x += VLEN) {
    vreal v[4];
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) v[j] = v_load(b + j * ldb + x);
#pragma GCC unroll 4
    for (int i = 0; i < m; i++) {
      const vreal u = v_load(a + i * lda + x);
#pragma GCC unroll 4
      for (int j = 0; j < n; j++) s[i][j] += u * v[j];
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < m; i++)
#pragma GCC unroll 4
    for (int j = 0; j < n; j++) {
      real r = v_sum(s[i][j]);
      for (int64_t t = x; t < k; t++) r += a[i * lda + t] * b[j * ldb + t];
      c[i * ldc + j] = r;
    }
}

/* Twelve accumulators and four operands fit sixteen registers: 4 x 3 at a time. Every size adds in
 * the same order, so a row's result does not depend on how many rows there are. */
static void gemm_dots(int m, int n, int64_t k, const real *a, int64_t lda, const real *b,
                      int64_t ldb, real *c, int64_t ldc) {
  switch (n == 3 ? m : 0) {
    case 4: dots_mn(4, 3, k, a, lda, b, ldb, c, ldc); return;
    case 3: dots_mn(3, 3, k, a, lda, b, ldb, c, ldc); return;
    case 2: dots_mn(2, 3, k, a, lda, b, ldb, c, ldc); return;
    case 1: dots_mn(1, 3, k, a, lda, b, ldb, c, ldc); return;
    default: break;
  }
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++)
      dots_mn(1, 1, k, a + i * lda, lda, b + j * ldb, ldb, c + i * ldc + j, ldc);
}

const GemmKernels ISA_SYM(gemm_kernels) = {NR,         gemm_block,     pack_pixels, unpack_pixels,
                                           gemm_stage, gemm_transpose, gather_rows, gemm_mix,
                                           gemm_dot,   gemm_dots};
