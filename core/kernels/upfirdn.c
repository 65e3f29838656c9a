/* upfirdn.c: upsample, FIR filter, downsample one plane. Every output row is made in two steps: the
 * source rows that its vertical taps hit are summed into one row buffer (L1), then the horizontal
 * taps run over that buffer. So no plane-sized temporary exists, each step does the least work for
 * its factor, and all inner loops run along contiguous memory. */
#include "core/kernels/upfirdn.h"
#include "core/kernels/simd.h"

#if defined(PRLX_NEON) && !defined(PRLX_F64)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))
typedef real v16b __attribute__((vector_size(16)));
typedef real v16b_u __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
enum { L16 = 16 / sizeof(real) };

/* o[i] (+)= sum_k c[k] r[k][i]; n <= 8 is a compile-time constant after inlining. Pointers and taps
 * are copied to locals because the vector type may alias anything: otherwise each store would force
 * them to be loaded again. */
INLINE void vsum_n(int n, const real *const *rows, const real *taps, real *o, int w, bool acc) {
  const real *r[8];
  real c[8];
  for (int k = 0; k < n; k++) {
    r[k] = rows[k];
    c[k] = taps[k];
  }
  int i = 0;
  for (; i + VLEN <= w; i += VLEN) {
    vreal s = acc ? v_load(o + i) + c[0] * v_load(r[0] + i) : c[0] * v_load(r[0] + i);
    for (int k = 1; k < n; k++) s += c[k] * v_load(r[k] + i);
    v_store(o + i, s);
  }
  for (; i + L16 <= w; i += L16) {
    v16b s = c[0] * *(const v16b_u *)(r[0] + i);
    if (acc) s += *(const v16b_u *)(o + i);
    for (int k = 1; k < n; k++) s += c[k] * *(const v16b_u *)(r[k] + i);
    *(v16b_u *)(o + i) = s;
  }
  for (; i < w; i++) {
    real s = acc ? o[i] + c[0] * r[0][i] : c[0] * r[0][i];
    for (int k = 1; k < n; k++) s += c[k] * r[k][i];
    o[i] = s;
  }
}

static void fir_vsum(int n, const real *const *r, const real *c, real *o, int w) {
  switch (n) {
    case 0: memset(o, 0, sizeof(real) * (size_t)w); return;
    case 1: vsum_n(1, r, c, o, w, false); return;
    case 2: vsum_n(2, r, c, o, w, false); return;
    case 3: vsum_n(3, r, c, o, w, false); return;
    case 4: vsum_n(4, r, c, o, w, false); return;
    case 6: vsum_n(6, r, c, o, w, false); return;
    default: break;
  }
  vsum_n(4, r, c, o, w, false);
  int k = 4;
  for (; k + 4 <= n; k += 4) vsum_n(4, r + k, c + k, o, w, true);
  for (; k < n; k++) vsum_n(1, r + k, c + k, o, w, true);
}

/* Horizontal pass, no resampling: y[o] = sum_t g[t] s[o + t]. */
INLINE void hrow_same(const real *s, const real *g, real *y, int ow, int taps) {
  int o = 0;
  for (; o + VLEN <= ow; o += VLEN) {
    vreal a = g[0] * v_load(s + o);
    for (int t = 1; t < taps; t++) a += g[t] * v_load(s + o + t);
    v_store(y + o, a);
  }
  for (; o + L16 <= ow; o += L16) {
    v16b a = g[0] * *(const v16b_u *)(s + o);
    for (int t = 1; t < taps; t++) a += g[t] * *(const v16b_u *)(s + o + t);
    *(v16b_u *)(y + o) = a;
  }
  for (; o < ow; o++) {
    real a = g[0] * s[o];
    for (int t = 1; t < taps; t++) a += g[t] * s[o + t];
    y[o] = a;
  }
}

/* Downsampling by 2: y[o] = sum_t g[t] s[2o + t]. */
INLINE void hrow_down2(const real *restrict s, const real *g, real *restrict y, int ow, int taps) {
  for (int o = 0; o < ow; o++) {
    real a = 0;
    for (int t = 0; t < taps; t++) a += g[t] * s[2 * o + t];
    y[o] = a;
  }
}

/* Upsampling by 2: even and odd outputs each see every second tap. */
INLINE void hrow_up2(const real *restrict s0, const real *g0, int n0, const real *restrict s1,
                     const real *g1, int n1, real *restrict y, int ow) {
  int m = 0;
#if defined(PRLX_NEON) && !defined(PRLX_F64)
  /* a store that puts even and odd numbers together is one instruction */
  for (; n0 == 2 && n1 == 2 && m + 4 <= ow / 2; m += 4) {
    float32x4x2_t o;
    o.val[0] = vfmaq_n_f32(vmulq_n_f32(vld1q_f32(s0 + m), g0[0]), vld1q_f32(s0 + m + 1), g0[1]);
    o.val[1] = vfmaq_n_f32(vmulq_n_f32(vld1q_f32(s1 + m), g1[0]), vld1q_f32(s1 + m + 1), g1[1]);
    vst2q_f32(y + 2 * m, o);
  }
#endif
  for (; m < ow / 2; m++) {
    real a = 0, b = 0;
    for (int k = 0; k < n0; k++) a += g0[k] * s0[m + k];
    for (int k = 0; k < n1; k++) b += g1[k] * s1[m + k];
    y[2 * m] = a;
    y[2 * m + 1] = b;
  }
  if (ow & 1) {
    real a = 0;
    for (int k = 0; k < n0; k++) a += g0[k] * s0[ow / 2 + k];
    y[ow - 1] = a;
  }
}

/* Any factors. s points at column 0 (negative columns exist as far as the padding reaches). */
static void hrow_any(const UpfirdnPlane *p, const real *g, const real *s, real *y, bool acc) {
  for (int o = 0; o < p->ow; o++) {
    int q = o * p->downx - p->padx0, t = (p->upx - ((q % p->upx) + p->upx) % p->upx) % p->upx;
    real a = acc ? y[o] : 0;
    for (; t < p->tx; t += p->upx) a += g[t] * s[(q + t) / p->upx]; /* the division is exact */
    y[o] = a;
  }
}

/* First tap that meets a sample (not an inserted zero) at phase r of the output, for up = 2. */
static int first_tap(int r, int pad0) { return ((pad0 - r) % 2 + 2) % 2; }

static void fir_hrow(const UpfirdnPlane *p, const real *g, const real *s, real *y) {
  if (p->upx == 1 && p->downx == 1) {
    const real *b = s - p->padx0;
    if (p->tx == 4)
      hrow_same(b, (const real[4]){g[0], g[1], g[2], g[3]}, y, p->ow, 4);
    else
      hrow_same(b, g, y, p->ow, p->tx);
  } else if (p->upx == 1 && p->downx == 2) {
    const real *b = s - p->padx0;
    if (p->tx == 4)
      hrow_down2(b, (const real[4]){g[0], g[1], g[2], g[3]}, y, p->ow, 4);
    else
      hrow_down2(b, g, y, p->ow, p->tx);
  } else if (p->upx == 2 && p->downx == 1) {
    int t0 = first_tap(0, p->padx0), t1 = first_tap(1, p->padx0);
    const real *s0 = s + (t0 - p->padx0) / 2, *s1 = s + (1 + t1 - p->padx0) / 2; /* exact */
    if (p->tx == 4) {
      hrow_up2(s0, (const real[2]){g[t0], g[t0 + 2]}, 2, s1, (const real[2]){g[t1], g[t1 + 2]}, 2,
               y, p->ow);
    } else {
      real g0[UPFIRDN_MAX_TAPS / 2 + 1], g1[UPFIRDN_MAX_TAPS / 2 + 1];
      int n0 = 0, n1 = 0;
      for (int t = t0; t < p->tx; t += 2) g0[n0++] = g[t];
      for (int t = t1; t < p->tx; t += 2) g1[n1++] = g[t];
      hrow_up2(s0, g0, n0, s1, g1, n1, y, p->ow);
    }
  } else {
    hrow_any(p, g, s, y, false);
  }
}

/* Source rows met by output row oy: pointers and tap numbers. Called once per row, so integer
 * division is kept out of the usual cases. */
static int source_rows(const UpfirdnPlane *p, int oy, const real *x, const real **rows, int *tap) {
  int up = p->upy, q = oy * p->downy - p->pady0, n = 0;
  /* first tap on a sample, not on an inserted zero */
  int t = up == 1 ? 0 : up == 2 ? q & 1 : (up - ((q % up) + up) % up) % up;
  int iy = up == 1 ? q : up == 2 ? (q + t) >> 1 : (q + t) / up; /* exact */
  for (; t < p->ty && iy < p->h; t += up, iy++) {
    if (iy < 0) continue;
    rows[n] = x + (int64_t)iy * p->w;
    tap[n++] = t;
  }
  return n;
}

static void clear_margins(const UpfirdnPlane *p, real *tmp) {
  for (int r = 0; r < UPFIRDN_ROWS; r++, tmp += p->row) {
    memset(tmp, 0, sizeof(real) * (size_t)p->left);
    memset(tmp + p->left + p->w, 0, sizeof(real) * (size_t)(p->row - p->left - p->w));
  }
}

/* Several rows at a time: the horizontal taps read across vectors that the vertical step stored,
 * which stalls when the stores are fresh. */
static void fir_separable(const UpfirdnPlane *p, const real *gx, const real *gy, const real *x,
                          real *y, real *tmp) {
  const real *rows[UPFIRDN_MAX_TAPS];
  real c[UPFIRDN_MAX_TAPS];
  int tap[UPFIRDN_MAX_TAPS];
  clear_margins(p, tmp);
  for (int y0 = 0; y0 < p->oh; y0 += UPFIRDN_ROWS) {
    int m = PRLX_MIN(p->oh - y0, UPFIRDN_ROWS);
    for (int r = 0; r < m; r++) {
      int n = source_rows(p, y0 + r, x, rows, tap);
      for (int k = 0; k < n; k++) c[k] = gy[tap[k]];
      fir_vsum(n, rows, c, tmp + r * p->row + p->left, p->w);
    }
    for (int r = 0; r < m; r++)
      fir_hrow(p, gx, tmp + r * p->row + p->left, y + (int64_t)(y0 + r) * p->ow);
  }
}

static void fir_full(const UpfirdnPlane *p, const real *g, const real *x, real *y, real *tmp) {
  const real *rows[UPFIRDN_MAX_TAPS];
  int tap[UPFIRDN_MAX_TAPS];
  clear_margins(p, tmp);
  for (int oy = 0; oy < p->oh; oy++) {
    real *row = y + (int64_t)oy * p->ow;
    int n = source_rows(p, oy, x, rows, tap);
    memset(row, 0, sizeof(real) * (size_t)p->ow);
    for (int k = 0; k < n; k++) {
      memcpy(tmp + p->left, rows[k], sizeof(real) * (size_t)p->w);
      hrow_any(p, g + tap[k] * p->tx, tmp + p->left, row, true);
    }
  }
}

const UpfirdnKernels ISA_SYM(upfirdn_kernels) = {fir_separable, fir_full};
