/* winograd.c: see core/winograd.h. Compiled once per instruction set.
 *
 * F(4,3): interpolation points 0, +-P, +-Q, infinity. With P = 1, Q = 2 the textbook matrices come
 * out, with rounding errors four times those of the direct algorithm; 5/8 and 3/2 cost the same and
 * bring that below two (measured; cf. Barabasz et al., "Error analysis and improving the accuracy
 * of Winograd convolution", ACM TOMS 2020). F(2,3) and F(3,2): points 0, +-1, infinity, so that
 * they share B. */
#include "core/gemm.h"
#include "core/winograd.h"
#include "core/kernels/four.h"
#include "core/kernels/simd.h"

#if defined(__aarch64__)
enum { NV = 4 };
#else
enum { NV = 2 };
#endif
#define NR (NV * VLEN)
#define INLINE static inline __attribute__((always_inline))
#define WINO_P 0.625
#define WINO_Q 1.5
#define P ((real)WINO_P)
#define Q ((real)WINO_Q)
#define NORM_0 ((real)(1 / (WINO_P * WINO_P * WINO_Q * WINO_Q)))
#define NORM_P ((real)(1 / (2 * WINO_P * WINO_P * (WINO_P * WINO_P - WINO_Q * WINO_Q))))
#define NORM_Q ((real)(1 / (2 * WINO_Q * WINO_Q * (WINO_Q * WINO_Q - WINO_P * WINO_P))))
#define HALF ((real)0.5)

/* An axis is known by its m: 1, 2, 3 or 4. Patch side and number of taps: */
#define SIDE(m) ((m) == 1 ? 1 : (m) == 4 ? 6 : 4)
#define TAPS(m) ((m) == 1 ? 1 : (m) == 3 ? 2 : 3)

/* ---- one-dimensional transforms of vectors, elements s apart ---- */
INLINE void input1(int m, const vreal *d, int s, vreal *t, int st) { /* B^T, a -> a */
  if (m == 1) {
    t[0] = d[0];
    return;
  }
  if (m != 4) {
    t[0] = d[0] - d[2 * s];
    t[st] = d[s] + d[2 * s];
    t[2 * st] = d[2 * s] - d[s];
    t[3 * st] = d[s] - d[3 * s];
    return;
  }
  const vreal d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
  const vreal ep = d4 - Q * Q * d2, op = P * (d3 - Q * Q * d1), eq = d4 - P * P * d2,
              oq = Q * (d3 - P * P * d1);
  t[0] = P * P * Q * Q * d0 - ((P * P + Q * Q) * d2 - d4);
  t[st] = ep + op;
  t[2 * st] = ep - op;
  t[3 * st] = eq + oq;
  t[4 * st] = eq - oq;
  t[5 * st] = P * P * Q * Q * d1 - ((P * P + Q * Q) * d3 - d5);
}

INLINE void output1(int m, const vreal *x, int s, vreal *y, int st) { /* A^T, a -> m */
  if (m == 1) {
    y[0] = x[0];
    return;
  }
  if (m == 2) {
    y[0] = x[0] + x[s] + x[2 * s];
    y[st] = x[s] - x[2 * s] - x[3 * s];
    return;
  }
  if (m == 3) {
    const vreal sum = x[s] + x[2 * s];
    y[0] = x[0] + sum;
    y[st] = x[s] - x[2 * s];
    y[2 * st] = sum - x[3 * s];
    return;
  }
  const vreal sp = x[s] + x[2 * s], dp = x[s] - x[2 * s], sq = x[3 * s] + x[4 * s],
              dq = x[3 * s] - x[4 * s];
  y[0] = x[0] + sp + sq;
  y[st] = P * dp + Q * dq;
  y[2 * st] = P * P * sp + Q * Q * sq;
  y[3 * st] = P * P * P * dp + Q * Q * Q * dq + x[5 * s];
}

INLINE void dy1(int m, const vreal *y, int s, vreal *x, int st) { /* A, m -> a */
  if (m == 1) {
    x[0] = y[0];
    return;
  }
  if (m == 2) {
    x[0] = y[0];
    x[st] = y[0] + y[s];
    x[2 * st] = y[0] - y[s];
    x[3 * st] = -y[s];
    return;
  }
  if (m == 3) {
    const vreal sum = y[0] + y[2 * s];
    x[0] = y[0];
    x[st] = sum + y[s];
    x[2 * st] = sum - y[s];
    x[3 * st] = -y[2 * s];
    return;
  }
  const vreal ep = y[0] + P * P * y[2 * s], op = P * (y[s] + P * P * y[3 * s]),
              eq = y[0] + Q * Q * y[2 * s], oq = Q * (y[s] + Q * Q * y[3 * s]);
  x[0] = y[0];
  x[st] = ep + op;
  x[2 * st] = ep - op;
  x[3 * st] = eq + oq;
  x[4 * st] = eq - oq;
  x[5 * st] = y[3 * s];
}

INLINE void weights1(int m, const vreal *g, int s, vreal *u, int st) { /* G, r -> a */
  if (m == 1) {
    u[0] = g[0];
    return;
  }
  if (m == 3) {
    u[0] = g[0];
    u[st] = HALF * (g[0] + g[s]);
    u[2 * st] = HALF * (g[0] - g[s]);
    u[3 * st] = g[s];
    return;
  }
  if (m == 2) {
    const vreal e = HALF * (g[0] + g[2 * s]), o = HALF * g[s];
    u[0] = g[0];
    u[st] = e + o;
    u[2 * st] = e - o;
    u[3 * st] = g[2 * s];
    return;
  }
  const vreal ep = NORM_P * (g[0] + P * P * g[2 * s]), op = NORM_P * P * g[s],
              eq = NORM_Q * (g[0] + Q * Q * g[2 * s]), oq = NORM_Q * Q * g[s];
  u[0] = NORM_0 * g[0];
  u[st] = ep + op;
  u[2 * st] = ep - op;
  u[3 * st] = eq + oq;
  u[4 * st] = eq - oq;
  u[5 * st] = g[2 * s];
}

INLINE void dweights1(int m, const vreal *u, int s, vreal *g, int st) { /* G^T, a -> r */
  if (m == 1) {
    g[0] = u[0];
    return;
  }
  const vreal d = u[s] - u[2 * s], e = u[s] + u[2 * s];
  if (m == 3) {
    g[0] = u[0] + HALF * e;
    g[st] = HALF * d + u[3 * s];
    return;
  }
  if (m == 2) {
    g[0] = u[0] + HALF * e;
    g[st] = HALF * d;
    g[2 * st] = HALF * e + u[3 * s];
    return;
  }
  const vreal sp = NORM_P * e, dp = NORM_P * d, sq = NORM_Q * (u[3 * s] + u[4 * s]),
              dq = NORM_Q * (u[3 * s] - u[4 * s]);
  g[0] = NORM_0 * u[0] + sp + sq;
  g[st] = P * dp + Q * dq;
  g[2 * st] = P * P * sp + Q * Q * sq + u[5 * s];
}

/* ---- patches in and out ---- */
static inline bool is_run(const int32_t *off) {
  return off[VLEN - 1] - off[0] == VLEN - 1 && off[1] - off[0] == 1;
}

/* x[c] = column c of one row of VLEN patches, a vector over lanes. Reads a multiple of four
 * columns. */
INLINE void columns(const real *src, const int32_t *off, int cols, vreal *x) {
  if (cols == 1 && is_run(off)) {
    x[0] = v_load(src + off[0]);
    return;
  }
#ifndef PRLX_F64
  if (cols > 1) {
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
    return;
  }
#endif
  for (int c = 0; c < cols; c++) {
    real z[VLEN];
    for (int j = 0; j < VLEN; j++) z[j] = src[off[j] + c];
    x[c] = v_load(z);
  }
}

INLINE void input_m(int my, int mx, const real *src, int n, const int32_t *off, int64_t ld,
                    real *dst, int64_t df) {
  const int ay = SIDE(my), ax = SIDE(mx);
  for (int v = 0; v < PRLX_MIN(n, NR); v += VLEN) {
    vreal t[36], x[6], y[6];
    for (int r = 0; r < ay; r++) {
      columns(src + r * ld, off + v, ax, x);
      input1(mx, x, 1, t + r * ax, 1);
    }
#pragma GCC unroll 6
    for (int c = 0; c < ax; c++) {
      input1(my, t + c, ax, y, 1);
#pragma GCC unroll 6
      for (int r = 0; r < ay; r++) v_store(dst + (r * ax + c) * df + v, y[r]);
    }
  }
}

INLINE void dy_m(int my, int mx, const real *src, const int32_t *off, int64_t ld, real *dst,
                 real *dst2, int64_t df) {
  const int ay = SIDE(my), ax = SIDE(mx);
#pragma GCC unroll 12
  for (int v = 0; v < WINO_DY_LANES; v += VLEN) {
    vreal t[24], x[4], y[6];
    int32_t o[VLEN];
    for (int j = 0; j < VLEN; j++) o[j] = off[PRLX_MIN(v + j, WINO_DY_LANES - 1)];
    for (int r = 0; r < my; r++) {
      columns(src + r * ld, o, mx, x);
      dy1(mx, x, 1, t + r * ax, 1);
    }
#pragma GCC unroll 6
    for (int c = 0; c < ax; c++) {
      dy1(my, t + c, ax, y, 1);
#pragma GCC unroll 6
      for (int r = 0; r < ay; r++) {
#pragma GCC unroll 8
        for (int j = 0; j < VLEN; j += PRLX_MIN(4, VLEN))
          if (v + j < WINO_DY_LANES)
            store_chunk((v + j < GEMM_PANEL ? dst : dst2 - GEMM_PANEL) + (r * ax + c) * df + v + j,
                        y[r], j);
      }
    }
  }
}

/* One row of VLEN tiles (a vector over lanes per column) to memory: lanes before n whose tile has
 * row r. */
INLINE void row_out(int m, const vreal *y, int r, int n, const int32_t *off, const uint8_t *size,
                    real *dst, int64_t step, bool add) {
  /* neighbours in one row of the map: all have row r or none has */
  if (m == 1 && step == 1 && n >= VLEN && is_run(off)) {
    real *d = dst + off[0];
    if (r < size[0] / 8) v_store(d, add ? v_load(d) + y[0] : y[0]);
    return;
  }
  real z[4 * VLEN] __attribute__((aligned(64))); /* [column][lane] */
#pragma GCC unroll 4
  for (int c = 0; c < m; c++) v_store(z + c * VLEN, y[c]);
  for (int j = 0; j < PRLX_MIN(n, VLEN); j++) {
    if (r >= size[j] / 8) continue;
    real *d = dst + off[j];
    for (int c = 0; c < PRLX_MIN(m, size[j] % 8); c++)
      d[c * step] = add ? d[c * step] + z[c * VLEN + j] : z[c * VLEN + j];
  }
}

#ifndef PRLX_F64
/* F(4,3)^2, every tile whole, contiguous output. */
INLINE void rows_whole(const vreal *t, const int32_t *off, real *dst, int64_t ld) {
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
}
#endif

INLINE void output_m(int my, int mx, const real *src, int n, const int32_t *off,
                     const uint8_t *size, real *dst, int64_t ld, int64_t step, bool add) {
  const int ay = SIDE(my), ax = SIDE(mx);
  bool whole = n == NR && my == 4 && mx == 4 && sizeof(real) == 4 && step == 1 && !add;
  for (int j = 0; j < NR && whole; j++) whole = size[j] == 36;
  for (int v = 0; v < n; v += VLEN) {
    vreal x[6], t[24], y[4];
#pragma GCC unroll 6
    for (int c = 0; c < ax; c++) {
#pragma GCC unroll 6
      for (int r = 0; r < ay; r++) x[r] = v_load(src + (r * ax + c) * NR + v);
      output1(my, x, 1, t + c, ax);
    }
#ifndef PRLX_F64
    if (whole) {
      rows_whole(t, off + v, dst, ld);
      continue;
    }
#endif
    for (int r = 0; r < my; r++) {
      output1(mx, t + r * ax, 1, y, 1);
      row_out(mx, y, r, n - v, off + v, size + v, dst + r * ld, step, add);
    }
  }
}

/* ---- weights ---- */
/* x[t] = tap t of the channels j.. of a panel. Of a whole panel by shuffles: a vector loaded from
 * what shorter stores wrote would wait for all stores before them. */
INLINE void taps_load(const real *w, int64_t lw, int lanes, int j, vreal *x) {
#ifndef PRLX_F64
  if (lanes == GEMM_PANEL) {
#pragma GCC unroll 3
    for (int b = 0; b < 3; b++) { /* taps 0 to 3, 4 to 7, 5 to 8 */
      vreal q[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const real *p[13];
#pragma GCC unroll 4
        for (int h = 0; h < FOUR_CHUNKS; h++)
          p[4 * h] = w + PRLX_MIN(j + 4 * h + i, GEMM_PANEL - 1) * lw + (b == 2 ? 5 : 4 * b);
        q[i] = chunks_load(p);
      }
      turn4(q);
      if (b == 2) x[8] = q[3];
#pragma GCC unroll 4
      for (int i = 0; i < 4 && b < 2; i++) x[4 * b + i] = q[i];
    }
    return;
  }
#endif
  real z[9 * VLEN] __attribute__((aligned(64)));
  for (int i = 0; i < VLEN; i++)
    for (int t = 0; t < 9; t++) z[t * VLEN + i] = j + i < lanes ? w[(j + i) * lw + t] : 0;
  for (int t = 0; t < 9; t++) x[t] = v_load(z + t * VLEN);
}

/* Lanes j.. of a panel. j is known when compiled. */
INLINE void store_lanes(real *dst, vreal v, int j) {
#if defined(CONCAT) && !defined(PRLX_F64) && VBYTES == 64
  typedef real v8_u __attribute__((vector_size(32), aligned(sizeof(real)), may_alias));
  *(v8_u *)dst = CONCAT(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
  store_chunk(dst + 8, v, 8);
#else
  if (j + VLEN <= GEMM_PANEL) {
    v_store(dst + j, v);
    return;
  }
#pragma GCC unroll 4
  for (int i = 0; j + i < GEMM_PANEL; i += PRLX_MIN(4, VLEN)) store_chunk(dst + j + i, v, i);
#endif
}

INLINE void weights_m(int my, int mx, const real *w, int64_t lw, int lanes, const int32_t *tap,
                      real *dst, int64_t df) {
  const int ay = SIDE(my), ax = SIDE(mx), ry = TAPS(my), rx = TAPS(mx), taps = ry * rx;
#pragma GCC unroll 3
  for (int j = 0; j < GEMM_PANEL; j += VLEN) {
    vreal x[9], g[9], t[18], u[6];
    taps_load(w, lw, lanes, j, x);
#pragma GCC unroll 9
    for (int k = 0; k < taps; k++) g[k] = x[tap[k]];
#pragma GCC unroll 3
    for (int c = 0; c < rx; c++) weights1(my, g + c, rx, t + c, rx);
#pragma GCC unroll 6
    for (int r = 0; r < ay; r++) {
      weights1(mx, t + r * rx, 1, u, 1);
#pragma GCC unroll 6
      for (int c = 0; c < ax; c++) store_lanes(dst + (r * ax + c) * df, u[c], j);
    }
  }
}

INLINE void dweights_m(int my, int mx, const real *src, int lanes, const int32_t *tap, real *dst,
                       int64_t ldd) {
  const int ay = SIDE(my), ax = SIDE(mx), ry = TAPS(my), rx = TAPS(mx);
  for (int v = 0; v < NR && v < lanes; v += VLEN) {
    vreal x[6], t[18], g[3];
    real y[9 * VLEN] __attribute__((aligned(64)));
#pragma GCC unroll 6
    for (int c = 0; c < ax; c++) {
#pragma GCC unroll 6
      for (int r = 0; r < ay; r++) x[r] = v_load(src + (r * ax + c) * NR + v);
      dweights1(my, x, 1, t + c, ax);
    }
#pragma GCC unroll 3
    for (int r = 0; r < ry; r++) {
      dweights1(mx, t + r * ax, 1, g, 1);
#pragma GCC unroll 3
      for (int c = 0; c < rx; c++) v_store(y + (r * rx + c) * VLEN, g[c]);
    }
    int j = 0;
    if (ry * rx == 9) /* all taps, in order: a transposition */
      for (; j + 4 <= PRLX_MIN(VLEN, lanes - v); j += 4) {
        real *to = dst + (v + j) * ldd;
        transpose4(y + j, y + VLEN + j, y + 2 * VLEN + j, y + 3 * VLEN + j, to, ldd);
        transpose4(y + 4 * VLEN + j, y + 5 * VLEN + j, y + 6 * VLEN + j, y + 7 * VLEN + j, to + 4,
                   ldd);
        for (int i = 0; i < 4; i++) to[i * ldd + 8] = y[8 * VLEN + j + i];
      }
    for (; j < PRLX_MIN(VLEN, lanes - v); j++)
#pragma GCC unroll 9
      for (int k = 0; k < ry * rx; k++) dst[(v + j) * ldd + tap[k]] = y[k * VLEN + j];
  }
}

#define FORM(name, my, mx)                                                                        \
  static void input_##name(const real *src, int n, const int32_t *off, int64_t ld, real *dst,     \
                           int64_t df) {                                                          \
    input_m(my, mx, src, n, off, ld, dst, df);                                                    \
  }                                                                                               \
  static void dy_##name(const real *src, const int32_t *off, int64_t ld, real *dst, real *dst2,   \
                        int64_t df) {                                                             \
    dy_m(my, mx, src, off, ld, dst, dst2, df);                                                    \
  }                                                                                               \
  static void output_##name(const real *src, int n, const int32_t *off, const uint8_t *size,      \
                            real *dst, int64_t ld, int64_t step, bool add) {                      \
    output_m(my, mx, src, n, off, size, dst, ld, step, add);                                      \
  }                                                                                               \
  static void weights_##name(const real *w, int64_t lw, int lanes, const int32_t *tap, real *dst, \
                             int64_t df) {                                                        \
    weights_m(my, mx, w, lw, lanes, tap, dst, df);                                                \
  }                                                                                               \
  static void dweights_##name(const real *src, int lanes, const int32_t *tap, real *dst,          \
                              int64_t ldd) {                                                      \
    dweights_m(my, mx, src, lanes, tap, dst, ldd);                                                \
  }
FORM(22, 2, 2)
FORM(44, 4, 4)
FORM(33, 3, 3)
FORM(31, 3, 1)
FORM(13, 1, 3)
FORM(11, 1, 1)
#define FORMS(kernel) \
  { kernel##_22, kernel##_44, kernel##_33, kernel##_31, kernel##_13, kernel##_11 }
const WinoKernels ISA_SYM(wino_kernels) = {FORMS(input), FORMS(dy), FORMS(output), FORMS(weights),
                                           FORMS(dweights)};
