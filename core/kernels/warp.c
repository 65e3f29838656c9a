/* warp.c: the geometric part of the augmentation pipe on one plane (SEMANTICS 6.1), as one fused
 * linear map and its adjoint:
 *   reflect pad -> 2x upsampling by f -> bilinear sampling at an affine grid -> 2x downsampling by
 *   f.
 * The padded, oversampled image is only computed inside the bounding box of the points that are
 * sampled, and the rows that reflection repeats are filtered once. In both directions all arrays
 * belong to the plane, so the adjoint scatters without races.
 *
 * Coordinates. U is the oversampled padded image, [2(h+y0+y1), 2(w+x0+x1)]. S is the sampled grid,
 * [2h+12, 2w+12], of which the last filter reads columns and rows 1 .. 2n+10. Pixel (j,i) of S lies
 * in U at
 *   px = G00 (j-w-5) + G01 (i-h-5) + 2 G02 + 2 x0 + w - 1,    py = G10 (j-w-5) + G11 (i-h-5) + 2
 *     G12 + 2 y0 + h - 1. */
#include "core/kernels/warp.h"
#include "core/kernels/simd.h"

#define INLINE static inline __attribute__((always_inline))
/* EXTRA: S has 2n + EXTRA used columns */
enum { K = WARP_TAPS / 2, MARGIN = K / 2, FRAME = 2, EXTRA = WARP_TAPS - 2 };

/* Numbers in `rows` rows of this width: sizes and offsets of buffers, never negative. */
INLINE size_t cells(int rows, int width) { return (size_t)rows * (size_t)width; }

/* out[2m+b] = sum_k c[b][k] in_b[m + k]: both phases of a 2x upsampling. */
INLINE void up2(const real *restrict in0, const real *restrict in1, int n, const real c[2][K],
                real *restrict out) {
  for (int m = 0; m < n; m++) {
    real a = 0, b = 0;
    for (int k = 0; k < K; k++) {
      a += c[0][k] * in0[m + k];
      b += c[1][k] * in1[m + k];
    }
    out[2 * m] = a;
    out[2 * m + 1] = b;
  }
}

/* out[o] = sum_t c[t] in[2o + t]. */
INLINE void down2(const real *restrict in, int n, const real c[WARP_TAPS], real *restrict out) {
  for (int o = 0; o < n; o++) {
    real a = 0;
    for (int t = 0; t < WARP_TAPS; t++) a += c[t] * in[2 * o + t];
    out[o] = a;
  }
}

/* o[i] = (acc ? o[i] : 0) + sum_k c[k] r[k][i] */
INLINE void rows_sum(int n, const real *const *r, const real *c, real *o, int w, bool acc) {
  int i = 0;
  for (; i + VLEN <= w; i += VLEN) {
    vreal s = acc ? v_load(o + i) : v_set1(0);
    for (int k = 0; k < n; k++) s += c[k] * v_load(r[k] + i);
    v_store(o + i, s);
  }
  for (; i < w; i++) {
    real s = acc ? o[i] : 0;
    for (int k = 0; k < n; k++) s += c[k] * r[k][i];
    o[i] = s;
  }
}

/* Where everything is. Box: columns 2*mx .. 2*mx + bw - 1 of U, bw even; rows likewise. The stored
 * box has a frame of two zeros. */
typedef struct Warp {
  /* padded size */
  int h;
  int w;
  int x0;
  int y0;
  int pw;
  int ph;
  int mx;
  int my;
  int bw;
  int bh;
  int stride;
  /* (j,i) of S -> framed box coordinates */
  double a;
  double b;
  double c;
  double d;
  double tx;
  double ty;
  real up[2][K]; /* phases of the upsampling filter */
  /* U box; rows filtered along x [h][bw]; decimated rows [2h+EXTRA][w]; lines */
  real *u;
  real *half;
  real *s;
  real *line;
} Warp;

/* NaN -> lo */
static int to_int(double v, int lo, int hi) { return !(v > lo) ? lo : v < hi ? (int)v : hi; }

/* Range [*m, *m + *n/2) of sample pairs of U (length 2*len) that positions lo..hi touch. */
static void box_range(double lo, double hi, int len, int *m, int *n) {
  int first = to_int(lo, 0, 2 * len - 1), last = to_int(hi + 1, 0, 2 * len - 1);
  *m = first / 2;
  *n = 2 * (last / 2 - first / 2 + 1);
}

static void warp_setup(Warp *p, int h, int w, const real *geo, const real *f, real *tmp) {
  int x0 = to_int(geo[6], 0, w - 1), x1 = to_int(geo[7], 0, w - 1), y0 = to_int(geo[8], 0, h - 1),
      y1 = to_int(geo[9], 0, h - 1);
  p->h = h;
  p->w = w;
  p->x0 = x0;
  p->y0 = y0;
  p->pw = w + x0 + x1;
  p->ph = h + y0 + y1;
  p->a = geo[0];
  p->b = geo[1];
  p->c = geo[3];
  p->d = geo[4];
  /* position of S pixel (0,0) of the used part (j = i = 1) */
  p->tx = p->a * (-w - K + 2) + p->b * (-h - K + 2) + 2.0 * geo[2] + 2 * x0 + w - 1;
  p->ty = p->c * (-w - K + 2) + p->d * (-h - K + 2) + 2.0 * geo[5] + 2 * y0 + h - 1;
  /* box: the four corners of an affine image */
  double ex = 2 * w + EXTRA - 1, ey = 2 * h + EXTRA - 1;
  double ax = p->a * ex, bx = p->b * ey, cy = p->c * ex, dy = p->d * ey;
  box_range(p->tx + PRLX_MIN(ax, 0) + PRLX_MIN(bx, 0), p->tx + PRLX_MAX(ax, 0) + PRLX_MAX(bx, 0),
            p->pw, &p->mx, &p->bw);
  box_range(p->ty + PRLX_MIN(cy, 0) + PRLX_MIN(dy, 0), p->ty + PRLX_MAX(cy, 0) + PRLX_MAX(dy, 0),
            p->ph, &p->my, &p->bh);
  p->tx += FRAME - 2 * p->mx;
  p->ty += FRAME - 2 * p->my;
  p->stride = p->bw + 2 * FRAME;
  /* True convolution, gain 2 per axis: U[2m+b] = sum_k 2 f[T-1-(2k+b)] P[m + k - MARGIN + b], P the
   * padded image. */
  for (int k = 0; k < K; k++)
    for (int b = 0; b < 2; b++) p->up[b][k] = 2 * f[WARP_TAPS - 1 - (2 * k + b)];
  p->u = tmp;
  p->half = p->u + cells(p->bh + 2 * FRAME, p->stride);
  p->s = p->half + cells(h, p->bw);
  p->line = p->s + cells(2 * h + EXTRA, w);
}

static int warp_reflect(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

/* The 2 x 6 source rows of row pair m of U (their row in the image, or -1 in the zeros around the
 * padded image). */
static int row_taps(const Warp *p, int m, int b, int *row, real *coef) {
  int n = 0;
  for (int k = 0; k < K; k++) {
    int q = m + k - MARGIN + b;
    if (q < 0 || q >= p->ph) continue;
    row[n] = warp_reflect(q - p->y0, p->h);
    coef[n++] = p->up[b][k];
  }
  return n;
}

/* Offsets into the framed box and weights of one row of S. Positions are clamped into the frame,
 * whose values are zero. */
static void warp_positions(const Warp *p, int i, int n, int32_t *restrict at, real *restrict fx,
                           real *restrict fy) {
  double bx = p->tx + p->b * i, by = p->ty + p->d * i, mx = p->bw + FRAME, my = p->bh + FRAME,
         a = p->a, c = p->c;
  int stride = p->stride;
  for (int j = 0; j < n; j++) {
    double x = bx + a * j, y = by + c * j;
    x = x > 0 ? x : 0;
    y = y > 0 ? y : 0;
    x = x < mx ? x : mx;
    y = y < my ? y : my;
    int32_t ix = (int32_t)x, iy = (int32_t)y;
    fx[j] = (real)(x - ix);
    fy[j] = (real)(y - iy);
    at[j] = iy * stride + ix;
  }
}

static void clear_frame(Warp *p) {
  const size_t border = cells(FRAME, p->stride) * sizeof(real);
  memset(p->u, 0, border);
  memset(p->u + cells(FRAME + p->bh, p->stride), 0, border);
  for (int r = FRAME; r < FRAME + p->bh; r++) {
    real *row = p->u + cells(r, p->stride);
    for (int k = 0; k < FRAME; k++) row[k] = row[FRAME + p->bw + k] = 0;
  }
}

/* Marks the image rows that the box needs. half rows of others stay unset. */
static void needed_rows(const Warp *p, unsigned char *need) {
  memset(need, 0, (size_t)p->h);
  for (int q = p->my - MARGIN; q <= p->my + p->bh / 2 - 1 + MARGIN; q++)
    if (q >= 0 && q < p->ph) need[warp_reflect(q - p->y0, p->h)] = 1;
}

static void warp_forward(int h, int w, const real *geo, const real *f, const real *x, real *y,
                         real *tmp) {
  Warp p;
  warp_setup(&p, h, w, geo, f, tmp);
  int nb = p.bw / 2, n = 2 * w + EXTRA;
  real *line = p.line;
  unsigned char *need = (unsigned char *)(line + nb + 2 * MARGIN);
  needed_rows(&p, need);
  for (int r = 0; r < h; r++) { /* along x: each image row once */
    if (!need[r]) continue;
    for (int k = 0; k < nb + 2 * MARGIN; k++) {
      int q = p.mx - MARGIN + k;
      line[k] = q < 0 || q >= p.pw ? 0 : x[(int64_t)r * w + warp_reflect(q - p.x0, w)];
    }
    up2(line, line + 1, nb, p.up, p.half + cells(r, p.bw));
  }
  clear_frame(&p);
  for (int r = 0; r < p.bh; r++) { /* along y */
    const real *rows[K];
    real coef[K], *out = p.u + cells(FRAME + r, p.stride) + FRAME;
    int row[K], m = row_taps(&p, p.my + r / 2, r & 1, row, coef);
    for (int k = 0; k < m; k++) rows[k] = p.half + cells(row[k], p.bw);
    if (m == K)
      rows_sum(K, rows, coef, out, p.bw, false);
    else
      rows_sum(m, rows, coef, out, p.bw, false);
  }
  real *fx = line, *fy = fx + n, *s = fy + n;
  int32_t *at = (int32_t *)(s + n);
  for (int i = 0; i < 2 * h + EXTRA; i++) { /* sample, and decimate along x */
    warp_positions(&p, i, n, at, fx, fy);
    const real *u0 = p.u, *u1 = p.u + p.stride;
    for (int j = 0; j < n; j++) {
      real a = u0[at[j]], b = u0[at[j] + 1], c = u1[at[j]], d = u1[at[j] + 1];
      a += fx[j] * (b - a);
      c += fx[j] * (d - c);
      s[j] = a + fy[j] * (c - a);
    }
    down2(s, w, f, p.s + cells(i, w));
  }
  for (int o = 0; o < h; o++) { /* decimate along y */
    const real *rows[WARP_TAPS];
    for (int t = 0; t < WARP_TAPS; t++) rows[t] = p.s + cells(2 * o + t, w);
    rows_sum(WARP_TAPS, rows, f, y + cells(o, w), w, false);
  }
}

/* Decimation along x, transposed: ds[2m+b] = sum_k f[2k+b] row[m-k], with row [w] zero outside.
 * c[b][k] = f[2(K-1-k)+b]. */
static void spread_row(const real *row, int w, const real c[2][K], real *pad, real *ds) {
  memset(pad, 0, (K - 1) * sizeof(real));
  memcpy(pad + K - 1, row, (size_t)w * sizeof(real));
  memset(pad + K - 1 + w, 0, (K - 1) * sizeof(real));
  up2(pad, pad, w + K - 1, c, ds);
}

static void warp_scatter(const Warp *p, int i, int n, const real *ds, int32_t *at, real *fx,
                         real *fy) {
  warp_positions(p, i, n, at, fx, fy);
  real *u0 = p->u, *u1 = p->u + p->stride;
  for (int j = 0; j < n; j++) {
    real low = ds[j] - fy[j] * ds[j], high = fy[j] * ds[j], lr = fx[j] * low, hr = fx[j] * high;
    u0[at[j]] += low - lr;
    u0[at[j] + 1] += lr;
    u1[at[j]] += high - hr;
    u1[at[j] + 1] += hr;
  }
}

static void warp_adjoint(int h, int w, const real *geo, const real *f, const real *dy, real *dx,
                         real *tmp) {
  Warp p;
  warp_setup(&p, h, w, geo, f, tmp);
  int nb = p.bw / 2, n = 2 * w + EXTRA;
  memset(p.u, 0, cells(p.bh + 2 * FRAME, p.stride) * sizeof(real));
  memset(p.half, 0, cells(h, p.bw) * sizeof(real));
  real *fx = p.line, *fy = fx + n, *ds = fy + n, *row = ds + n, *pad = row + w, c[2][K];
  int32_t *at = (int32_t *)(pad + w + 2 * K);
  for (int k = 0; k < K; k++)
    for (int b = 0; b < 2; b++) c[b][k] = f[2 * (K - 1 - k) + b];
  for (int i = 0; i < 2 * h + EXTRA; i++) {
    const real *rows[K];
    real coef[K];
    int m = 0;
    /* decimation along y, transposed: rows 2o + t = i */
    for (int t = i & 1; t < WARP_TAPS; t += 2)
      if (i - t >= 0 && (i - t) / 2 < h) {
        rows[m] = dy + cells((i - t) / 2, w);
        coef[m++] = f[t];
      }
    rows_sum(m, rows, coef, row, w, false);
    spread_row(row, w, c, pad, ds);
    warp_scatter(&p, i, n, ds, at, fx, fy);
  }
  /* along y, transposed and folded */
  for (int r = 0; r < p.bh; r++) {
    const real *src = p.u + cells(FRAME + r, p.stride) + FRAME;
    real coef[K];
    int to[K], m = row_taps(&p, p.my + r / 2, r & 1, to, coef);
    for (int k = 0; k < m; k++)
      rows_sum(1, &src, coef + k, p.half + cells(to[k], p.bw), p.bw, true);
  }
  /* Along x, transposed and folded: P[mx-MARGIN+q] met U[2q - (2k+b)] with up[b][k], so dP = sum_t
   * g[t] half[2q - 11 + t]. */
  real g[WARP_TAPS], *wide = p.line, *dline = wide + p.bw + 4 * K;
  for (int k = 0; k < K; k++)
    for (int b = 0; b < 2; b++) g[2 * (K - 1 - k) + (1 - b)] = p.up[b][k];
  memset(wide, 0, (size_t)(p.bw + 4 * K) * sizeof(real));
  for (int r = 0; r < h; r++) {
    real *out = dx + cells(r, w);
    memcpy(wide + 2 * K, p.half + cells(r, p.bw), (size_t)p.bw * sizeof(real));
    down2(wide + 1, nb + 2 * MARGIN, g, dline);
    memset(out, 0, (size_t)w * sizeof(real));
    for (int k = 0; k < nb + 2 * MARGIN; k++) {
      int q = p.mx - MARGIN + k;
      if (q >= 0 && q < p.pw) out[warp_reflect(q - p.x0, w)] += dline[k];
    }
  }
}

const WarpKernels ISA_SYM(warp_kernels) = {warp_forward, warp_adjoint};
