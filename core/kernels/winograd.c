/* winograd.c: see core/winograd.h. Compiled once per instruction set.
 *
 * F(4x4): interpolation points 0, +-P, +-Q, infinity. With P = 1, Q = 2 the textbook matrices come out, with rounding errors four
 * times those of the direct algorithm; 5/8 and 3/2 cost the same and bring that below two (measured; cf. Barabasz et al., "Error
 * analysis and improving the accuracy of Winograd convolution", ACM TOMS 2020). F(2x2): points 0, +-1, infinity. */
#include "../gemm.h"
#include "../winograd.h"
#include "four.h"
#include "simd.h"

#if defined(__AVX512F__)
enum { NV = 2 };
#elif defined(__aarch64__)
enum { NV = 4 };
#else
enum { NV = 2 };
#endif
enum { LANES_MAX = 32 };
#define NR (NV * VLEN)
#define INLINE static inline __attribute__((always_inline))
#define P ((real)WINO_P)
#define Q ((real)WINO_Q)
#ifndef WINO_P
#define WINO_P 0.625
#define WINO_Q 1.5
#endif
#define NORM_0 ((real)(1 / (WINO_P * WINO_P * WINO_Q * WINO_Q)))
#define NORM_P ((real)(1 / (2 * WINO_P * WINO_P * (WINO_P * WINO_P - WINO_Q * WINO_Q))))
#define NORM_Q ((real)(1 / (2 * WINO_Q * WINO_Q * (WINO_Q * WINO_Q - WINO_P * WINO_P))))

/* ---- one-dimensional transforms of vectors, elements s apart ---- */
INLINE void input1(int m, const vreal *d, int s, vreal *t, int st) {           /* B^T, a -> a */
  if (m == 2) {
    t[0] = d[0] - d[2 * s]; t[st] = d[s] + d[2 * s]; t[2 * st] = d[2 * s] - d[s]; t[3 * st] = d[s] - d[3 * s];
    return;
  }
  const vreal d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
  const vreal ep = d4 - Q * Q * d2, op = P * (d3 - Q * Q * d1), eq = d4 - P * P * d2, oq = Q * (d3 - P * P * d1);
  t[0] = P * P * Q * Q * d0 - ((P * P + Q * Q) * d2 - d4);
  t[st] = ep + op; t[2 * st] = ep - op; t[3 * st] = eq + oq; t[4 * st] = eq - oq;
  t[5 * st] = P * P * Q * Q * d1 - ((P * P + Q * Q) * d3 - d5);
}

INLINE void output1(int m, const vreal *x, int s, vreal *y, int st) {          /* A^T, a -> m */
  if (m == 2) { y[0] = x[0] + x[s] + x[2 * s]; y[st] = x[s] - x[2 * s] - x[3 * s]; return; }
  const vreal sp = x[s] + x[2 * s], dp = x[s] - x[2 * s], sq = x[3 * s] + x[4 * s], dq = x[3 * s] - x[4 * s];
  y[0] = x[0] + sp + sq; y[st] = P * dp + Q * dq; y[2 * st] = P * P * sp + Q * Q * sq; y[3 * st] = P * P * P * dp + Q * Q * Q * dq + x[5 * s];
}

INLINE void dy1(int m, const vreal *y, int s, vreal *x, int st) {              /* A, m -> a */
  if (m == 2) { x[0] = y[0]; x[st] = y[0] + y[s]; x[2 * st] = y[0] - y[s]; x[3 * st] = -y[s]; return; }
  const vreal ep = y[0] + P * P * y[2 * s], op = P * (y[s] + P * P * y[3 * s]), eq = y[0] + Q * Q * y[2 * s], oq = Q * (y[s] + Q * Q * y[3 * s]);
  x[0] = y[0]; x[st] = ep + op; x[2 * st] = ep - op; x[3 * st] = eq + oq; x[4 * st] = eq - oq; x[5 * st] = y[3 * s];
}

INLINE void dweights1(int m, const vreal *u, int s, vreal *g, int st) {        /* G^T, a -> 3 */
  if (m == 2) {
    const vreal e = (real)0.5 * (u[s] + u[2 * s]);
    g[0] = u[0] + e; g[st] = (real)0.5 * (u[s] - u[2 * s]); g[2 * st] = e + u[3 * s];
    return;
  }
  const vreal sp = NORM_P * (u[s] + u[2 * s]), dp = NORM_P * (u[s] - u[2 * s]), sq = NORM_Q * (u[3 * s] + u[4 * s]), dq = NORM_Q * (u[3 * s] - u[4 * s]);
  g[0] = NORM_0 * u[0] + sp + sq; g[st] = P * dp + Q * dq; g[2 * st] = P * P * sp + Q * Q * sq + u[5 * s];
}

/* The same for four lanes, whatever the vector length: twelve output channels are three of these. */
INLINE void weights1_four(int m, const v4 *g, int s, v4 *u, int st) {
  if (m == 2) {
    const v4 e = (real)0.5 * (g[0] + g[2 * s]), o = (real)0.5 * g[s];
    u[0] = g[0]; u[st] = e + o; u[2 * st] = e - o; u[3 * st] = g[2 * s];
    return;
  }
  const v4 ep = NORM_P * (g[0] + P * P * g[2 * s]), op = NORM_P * P * g[s], eq = NORM_Q * (g[0] + Q * Q * g[2 * s]), oq = NORM_Q * Q * g[s];
  u[0] = NORM_0 * g[0]; u[st] = ep + op; u[2 * st] = ep - op; u[3 * st] = eq + oq; u[4 * st] = eq - oq; u[5 * st] = g[2 * s];
}

/* x[c] = column c of one row of VLEN patches, a vector over lanes. Reads a multiple of four columns. */
INLINE void columns(const real *src, const int32_t *off, int cols, vreal *x) {
#ifndef PRLX_F64
  vreal q[8];
#pragma GCC unroll 2
  for (int c = 0; c < cols; c += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const real *p[13];
#pragma GCC unroll 4
      for (int h = 0; h < FOUR_CHUNKS; h++) p[4 * h] = src + off[4 * h + i] + c;
      q[c + i] = chunks_load(p);
    }
    turn4(q + c);
  }
#pragma GCC unroll 6
  for (int c = 0; c < cols; c++) x[c] = q[c];
#else
  for (int c = 0; c < cols; c++) {
    real z[VLEN];
    for (int j = 0; j < VLEN; j++) z[j] = src[off[j] + c];
    x[c] = v_load(z);
  }
#endif
}

INLINE void input_m(int m, const real *src, const int32_t *off, int64_t ld, real *dst, int64_t df) {
  const int a = m + 2;
  for (int v = 0; v < NR; v += VLEN) {
    vreal t[36], x[6], y[6];
    for (int r = 0; r < a; r++) {
      columns(src + r * ld, off + v, a, x);
      input1(m, x, 1, t + r * a, 1);
    }
#pragma GCC unroll 6
    for (int c = 0; c < a; c++) {
      input1(m, t + c, a, y, 1);
#pragma GCC unroll 6
      for (int r = 0; r < a; r++) v_store(dst + (r * a + c) * df + v, y[r]);
    }
  }
}

INLINE void dy_m(int m, const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2, int64_t df) {
  const int a = m + 2;
  for (int v = 0; v < WINO_DY_LANES; v += VLEN) {
    vreal t[24], x[4], y[6];
    int32_t o[VLEN];
    for (int j = 0; j < VLEN; j++) o[j] = off[PRLX_MIN(v + j, WINO_DY_LANES - 1)];
    for (int r = 0; r < m; r++) {
      columns(src + r * ld, o, m, x);
      dy1(m, x, 1, t + r * a, 1);
    }
#pragma GCC unroll 6
    for (int c = 0; c < a; c++) {
      dy1(m, t + c, a, y, 1);
#pragma GCC unroll 6
      for (int r = 0; r < a; r++) {
        real z[VLEN < 4 ? 4 : VLEN] __attribute__((aligned(64)));
        v_store(z, y[r]);
        for (int j = 0; j < VLEN && v + j < WINO_DY_LANES; j += PRLX_MIN(4, VLEN)) {
          const int lane = v + j;
          memcpy((lane < GEMM_PANEL ? dst : dst2 - GEMM_PANEL) + (r * a + c) * df + lane, z + j, PRLX_MIN(4, VLEN) * sizeof(real));
        }
      }
    }
  }
}

/* One row of VLEN tiles (a vector over lanes per column) to memory: all m columns of the lanes before n whose tile has that row. */
INLINE void row_out(int m, const vreal *y, int r, int n, const int32_t *off, const uint8_t *size, real *dst) {
  real z[4 * VLEN] __attribute__((aligned(64)));     /* [lane][column] */
#ifndef PRLX_F64
  if (m == 4) {
    vreal q[4] = {y[0], y[1], y[2], y[3]};
    turn4(q);                                        /* chunk h of q[i] is lane 4h + i */
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) v_store(z + i * VLEN, q[i]);
#pragma GCC unroll 4
    for (int h = 0; h < FOUR_CHUNKS; h++)
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const int j = 4 * h + i;
        if (j < n && size[j] == 36) copy4(dst + off[j], z + i * VLEN + 4 * h);
        else if (j < n && r < size[j] / 8) for (int c = 0; c < size[j] % 8; c++) dst[off[j] + c] = z[i * VLEN + 4 * h + c];
      }
    return;
  }
#endif
  for (int c = 0; c < m; c++) v_store(z + c * VLEN, y[c]);   /* here [column][lane] */
  for (int j = 0; j < PRLX_MIN(n, VLEN); j++)
    if (r < size[j] / 8) for (int c = 0; c < PRLX_MIN(m, size[j] % 8); c++) dst[off[j] + c] = z[c * VLEN + j];
}

/* F(4x4), every tile whole. */
INLINE void rows_whole(const vreal *t, const int32_t *off, real *dst, int64_t ld) {
#ifndef PRLX_F64
  for (int r = 0; r < 4; r++) {
    vreal q[4];
    output1(4, t + r * 6, 1, q, 1);
    turn4(q);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      real z[VLEN] __attribute__((aligned(64)));
      v_store(z, q[i]);
#pragma GCC unroll 4
      for (int h = 0; h < FOUR_CHUNKS; h++) copy4(dst + off[4 * h + i] + r * ld, z + 4 * h);
    }
  }
#else
  (void)t; (void)off; (void)dst; (void)ld;
#endif
}

INLINE void output_m(int m, const real *src, int n, const int32_t *off, const uint8_t *size, real *dst, int64_t ld) {
  const int a = m + 2;
  bool whole = n == NR && m == 4 && sizeof(real) == 4;
  for (int j = 0; j < NR && whole; j++) whole = size[j] == 36;
  for (int v = 0; v < n; v += VLEN) {
    vreal x[6], t[24], y[4];
#pragma GCC unroll 6
    for (int c = 0; c < a; c++) {
#pragma GCC unroll 6
      for (int r = 0; r < a; r++) x[r] = v_load(src + (r * a + c) * NR + v);
      output1(m, x, 1, t + c, a);
    }
    if (whole) { rows_whole(t, off + v, dst, ld); continue; }
    for (int r = 0; r < m; r++) {
      output1(m, t + r * a, 1, y, 1);
      row_out(m, y, r, n - v, off + v, size + v, dst + r * ld);
    }
  }
}

INLINE void weights_m(int m, const real *w, int64_t lw, int lanes, bool flip, real *dst, int64_t df) {
  const int a = m + 2;
  real x[9 * GEMM_PANEL];
  for (int j = 0; j < GEMM_PANEL; j += 4) {
    if (j + 4 <= lanes) {
      const real *p = w + j * lw;
      transpose4(p, p + lw, p + 2 * lw, p + 3 * lw, x + j, GEMM_PANEL);
      transpose4(p + 4, p + lw + 4, p + 2 * lw + 4, p + 3 * lw + 4, x + 4 * GEMM_PANEL + j, GEMM_PANEL);
      for (int i = 0; i < 4; i++) x[8 * GEMM_PANEL + j + i] = p[i * lw + 8];
    } else {
      for (int i = j; i < j + 4; i++) for (int t = 0; t < 9; t++) x[t * GEMM_PANEL + i] = i < lanes ? w[i * lw + t] : 0;
    }
    v4 g[9], t[18], u[6];
#pragma GCC unroll 9
    for (int k = 0; k < 9; k++) g[flip ? 8 - k : k] = *(const v4_u *)(x + k * GEMM_PANEL + j);
#pragma GCC unroll 3
    for (int c = 0; c < 3; c++) weights1_four(m, g + c, 3, t + c, 3);
#pragma GCC unroll 6
    for (int r = 0; r < a; r++) {
      weights1_four(m, t + r * 3, 1, u, 1);
#pragma GCC unroll 6
      for (int c = 0; c < a; c++) *(v4_u *)(dst + (r * a + c) * df + j) = u[c];
    }
  }
}

INLINE void dweights_m(int m, const real *src, int lanes, real *dst) {
  const int a = m + 2;
  real y[12 * LANES_MAX] __attribute__((aligned(64)));
  for (int v = 0; v < NR && v < lanes; v += VLEN) {
    vreal x[6], t[18], g[3];
#pragma GCC unroll 6
    for (int c = 0; c < a; c++) {
#pragma GCC unroll 6
      for (int r = 0; r < a; r++) x[r] = v_load(src + (r * a + c) * NR + v);
      dweights1(m, x, 1, t + c, a);
    }
#pragma GCC unroll 3
    for (int r = 0; r < 3; r++) {
      dweights1(m, t + r * a, 1, g, 1);
#pragma GCC unroll 3
      for (int c = 0; c < 3; c++) v_store(y + (r * 3 + c) * LANES_MAX + v, g[c]);
    }
  }
  int j = 0;
  for (; j + 4 <= lanes; j += 4) {
    transpose4(y + j, y + LANES_MAX + j, y + 2 * LANES_MAX + j, y + 3 * LANES_MAX + j, dst + j * 9, 9);
    transpose4(y + 4 * LANES_MAX + j, y + 5 * LANES_MAX + j, y + 6 * LANES_MAX + j, y + 7 * LANES_MAX + j, dst + j * 9 + 4, 9);
    for (int i = 0; i < 4; i++) dst[(j + i) * 9 + 8] = y[8 * LANES_MAX + j + i];
  }
  for (; j < lanes; j++) for (int t = 0; t < 9; t++) dst[j * 9 + t] = y[t * LANES_MAX + j];
}

static void input_2(const real *src, const int32_t *off, int64_t ld, real *dst, int64_t df) { input_m(2, src, off, ld, dst, df); }
static void input_4(const real *src, const int32_t *off, int64_t ld, real *dst, int64_t df) { input_m(4, src, off, ld, dst, df); }
static void dy_2(const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2, int64_t df) { dy_m(2, src, off, ld, dst, dst2, df); }
static void dy_4(const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2, int64_t df) { dy_m(4, src, off, ld, dst, dst2, df); }
static void output_2(const real *src, int n, const int32_t *off, const uint8_t *size, real *dst, int64_t ld) { output_m(2, src, n, off, size, dst, ld); }
static void output_4(const real *src, int n, const int32_t *off, const uint8_t *size, real *dst, int64_t ld) { output_m(4, src, n, off, size, dst, ld); }
static void weights_2(const real *w, int64_t lw, int lanes, bool flip, real *dst, int64_t df) { weights_m(2, w, lw, lanes, flip, dst, df); }
static void weights_4(const real *w, int64_t lw, int lanes, bool flip, real *dst, int64_t df) { weights_m(4, w, lw, lanes, flip, dst, df); }
static void dweights_2(const real *src, int lanes, real *dst) { dweights_m(2, src, lanes, dst); }
static void dweights_4(const real *src, int lanes, real *dst) { dweights_m(4, src, lanes, dst); }

const WinoKernels ISA_SYM(wino_kernels) = {
    {input_2, input_4}, {dy_2, dy_4}, {output_2, output_4}, {weights_2, weights_4}, {dweights_2, dweights_4}};
