/* winograd.c: see core/winograd.h. Compiled once per instruction set.
 *
 * F(4x4): interpolation points 0, +-P, +-Q, infinity. With P = 1, Q = 2 the textbook matrices come out, with rounding errors four
 * times those of the direct algorithm; 5/8 and 3/2 cost the same and bring that below two (measured; cf. Barabasz et al., "Error
 * analysis and improving the accuracy of Winograd convolution", ACM TOMS 2020). F(2x2): points 0, +-1, infinity. */
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

INLINE void weights1(int m, const vreal *g, int s, vreal *u, int st) {         /* G, 3 -> a */
  if (m == 2) {
    const vreal e = (real)0.5 * (g[0] + g[2 * s]), o = (real)0.5 * g[s];
    u[0] = g[0]; u[st] = e + o; u[2 * st] = e - o; u[3 * st] = g[2 * s];
    return;
  }
  const vreal ep = NORM_P * (g[0] + P * P * g[2 * s]), op = NORM_P * P * g[s], eq = NORM_Q * (g[0] + Q * Q * g[2 * s]), oq = NORM_Q * Q * g[s];
  u[0] = NORM_0 * g[0]; u[st] = ep + op; u[2 * st] = ep - op; u[3 * st] = eq + oq; u[4 * st] = eq - oq; u[5 * st] = g[2 * s];
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

/* Both axes: first down the columns of the n x n patch (element (r,c) at x[(r*n + c)*xs]), then along the rows; result r x r. */
#define TWO_AXES(name, one, n, r)                                                       \
  INLINE void name(int m, const vreal *x, vreal *y) {                                   \
    vreal t[36];                                                                        \
    _Pragma("GCC unroll 6") for (int c = 0; c < (n); c++) one(m, x + c, n, t + c, n);   \
    _Pragma("GCC unroll 6") for (int i = 0; i < (r); i++) one(m, t + i * (n), 1, y + i * (r), 1); \
  }
TWO_AXES(input2, input1, m + 2, m + 2)
TWO_AXES(output2, output1, m + 2, m)
TWO_AXES(dy2, dy1, m, m + 2)
TWO_AXES(weights2, weights1, 3, m + 2)
TWO_AXES(dweights2, dweights1, m + 2, 3)

/* Patches of `lanes` lanes (a multiple of 4) become rows of a table: x[(r*cols + c)*LANES_MAX + lane]. */
INLINE void gather(const real *src, const int32_t *off, int64_t ld, int rows, int cols, int lanes, real *x) {
  for (int j = 0; j < lanes; j += 4) {
    const real *a = src + off[j], *b = src + off[j + 1], *c = src + off[j + 2], *d = src + off[j + 3];
    for (int r = 0; r < rows; r++, a += ld, b += ld, c += ld, d += ld) {
      real *to = x + r * cols * LANES_MAX + j;
      if (cols == 2) {
        for (int k = 0; k < 2; k++) { real *t = to + k * LANES_MAX; t[0] = a[k]; t[1] = b[k]; t[2] = c[k]; t[3] = d[k]; }
        continue;
      }
      transpose4(a, b, c, d, to, LANES_MAX);
      if (cols == 6) {
        real last[16];
        transpose4(a + 4, b + 4, c + 4, d + 4, last, 4);
        copy4(to + 4 * LANES_MAX, last);
        copy4(to + 5 * LANES_MAX, last + 4);
      }
    }
  }
}

INLINE void input_m(int m, const real *src, const int32_t *off, int64_t ld, real *dst, int64_t df) {
  const int a = m + 2;
  real x[36 * LANES_MAX] __attribute__((aligned(64)));
  gather(src, off, ld, a, a, NR, x);
  for (int v = 0; v < NR; v += VLEN) {
    vreal in[36], out[36];
    for (int f = 0; f < a * a; f++) in[f] = v_load(x + f * LANES_MAX + v);
    input2(m, in, out);
    for (int f = 0; f < a * a; f++) v_store(dst + f * df + v, out[f]);
  }
}

INLINE void dy_m(int m, const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2, int64_t df) {
  const int a = m + 2;
  real x[16 * LANES_MAX] __attribute__((aligned(64))), y[36 * LANES_MAX] __attribute__((aligned(64)));
  gather(src, off, ld, m, m, WINO_DY_LANES, x);
  for (int v = 0; v < WINO_DY_LANES; v += VLEN) {
    vreal in[16], out[36];
    for (int f = 0; f < m * m; f++) in[f] = v_load(x + f * LANES_MAX + v);
    dy2(m, in, out);
    for (int f = 0; f < a * a; f++) v_store(y + f * LANES_MAX + v, out[f]);
  }
  for (int f = 0; f < a * a; f++)
    for (int j = 0; j < WINO_DY_LANES / 2; j += 4) {
      copy4(dst + f * df + j, y + f * LANES_MAX + j);
      copy4(dst2 + f * df + j, y + f * LANES_MAX + WINO_DY_LANES / 2 + j);
    }
}

INLINE void output_m(int m, const real *src, int n, const int32_t *off, const uint8_t *size, real *dst, int64_t ld) {
  const int a = m + 2;
  real y[16 * LANES_MAX] __attribute__((aligned(64)));
  for (int v = 0; v < NR && v < n; v += VLEN) {
    vreal in[36], out[16];
    for (int f = 0; f < a * a; f++) in[f] = v_load(src + f * NR + v);
    output2(m, in, out);
    for (int f = 0; f < m * m; f++) v_store(y + f * LANES_MAX + v, out[f]);
  }
  for (int j = 0; j < n; j += 4) {
    real t[4][16];                   /* [lane][row*m + column] */
    for (int r = 0; r < m * m; r += 4) transpose4(y + r * LANES_MAX + j, y + (r + 1) * LANES_MAX + j, y + (r + 2) * LANES_MAX + j, y + (r + 3) * LANES_MAX + j, &t[0][r], 16);
    for (int i = 0; i < 4 && j + i < n; i++) {
      real *d = dst + off[j + i];
      const int rows = size[j + i] / 8, cols = size[j + i] % 8;
      if (cols == m) for (int r = 0; r < rows; r++) { if (m == 4) copy4(d + r * ld, &t[i][r * 4]); else { d[r * ld] = t[i][r * 2]; d[r * ld + 1] = t[i][r * 2 + 1]; } }
      else for (int r = 0; r < rows; r++) for (int c = 0; c < cols; c++) d[r * ld + c] = t[i][r * m + c];
    }
  }
}

INLINE void weights_m(int m, const real *w, int64_t lw, int lanes, bool flip, real *dst, int64_t df) {
  const int a = m + 2;
  real x[9 * LANES_MAX] __attribute__((aligned(64))), y[36 * LANES_MAX] __attribute__((aligned(64)));
  memset(x, 0, sizeof x);
  for (int j = 0; j < lanes; j++) for (int t = 0; t < 9; t++) x[(flip ? 8 - t : t) * LANES_MAX + j] = w[j * lw + t];
  for (int v = 0; v < 12; v += VLEN) {
    vreal in[9], out[36];
    for (int t = 0; t < 9; t++) in[t] = v_load(x + t * LANES_MAX + v);
    weights2(m, in, out);
    for (int f = 0; f < a * a; f++) v_store(y + f * LANES_MAX + v, out[f]);
  }
  for (int f = 0; f < a * a; f++) for (int j = 0; j < 12; j += 4) copy4(dst + f * df + j, y + f * LANES_MAX + j);
}

INLINE void dweights_m(int m, const real *src, int lanes, real *dst) {
  const int a = m + 2;
  real y[12 * LANES_MAX] __attribute__((aligned(64)));
  for (int v = 0; v < NR && v < lanes; v += VLEN) {
    vreal in[36], out[9];
    for (int f = 0; f < a * a; f++) in[f] = v_load(src + f * NR + v);
    dweights2(m, in, out);
    for (int t = 0; t < 9; t++) v_store(y + t * LANES_MAX + v, out[t]);
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
