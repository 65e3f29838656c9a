/* Convolution, rung 4: fewer multiplications (Winograd; Lavin and Gray 2016, F(2x2, 3x3)).
 *
 * Four neighbouring outputs of a 3x3 filter need 36 multiplications by the definition. Seen as a
 * product of polynomials, which is known once it is known at enough points, 16 are enough: with d
 * the 4x4 patch and g the filter, y = A^T [(G g G^T) * (B^T d B)] A. The star is elementwise, so
 * over all channels it is 16 matrix products, [co, ci] by [ci, tiles]. The transforms are
 * additions. (core/kernels/winograd.c goes on to F(4x4, 3x3): 36 in place of 144, and never writes
 * the transformed image down as a whole.) For 3x3, stride 1, padding 1, even sides. */
#include "docs/learn/ladder/ladder.h"

/* B^T d B of one patch: d [4][4] in place. */
static void patch_transform(float d[4][4]) {
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < 4; i++) {
      float *p = pass ? d[i] : &d[0][i];
      const int step = pass ? 1 : 4;
      const float a = p[0], b = p[step], c = p[2 * step], e = p[3 * step];
      p[0] = a - c;
      p[step] = b + c;
      p[2 * step] = c - b;
      p[3 * step] = b - e;
    }
}

/* G g G^T: 3x3 to 4x4. */
static void filter_transform(const float *g, float u[4][4]) {
  float t[4][3];
  for (int i = 0; i < 3; i++) {
    t[0][i] = g[i];
    t[1][i] = 0.5f * (g[i] + g[3 + i] + g[6 + i]);
    t[2][i] = 0.5f * (g[i] - g[3 + i] + g[6 + i]);
    t[3][i] = g[6 + i];
  }
  for (int r = 0; r < 4; r++) {
    u[r][0] = t[r][0];
    u[r][1] = 0.5f * (t[r][0] + t[r][1] + t[r][2]);
    u[r][2] = 0.5f * (t[r][0] - t[r][1] + t[r][2]);
    u[r][3] = t[r][2];
  }
}

/* A^T m A: 4x4 to the 2x2 outputs. m: numbers `next` apart. */
static void output_transform(const float *m, int64_t next, float *y, int64_t row) {
  float t[2][4];
  for (int c = 0; c < 4; c++) {
    const float a = m[c * next], b = m[(4 + c) * next], d = m[(8 + c) * next],
                e = m[(12 + c) * next];
    t[0][c] = a + b + d;
    t[1][c] = b - d - e;
  }
  for (int r = 0; r < 2; r++) {
    y[r * row] = t[r][0] + t[r][1] + t[r][2];
    y[r * row + 1] = t[r][1] - t[r][2] - t[r][3];
  }
}

static void transform_weights(const ConvGeom *g, const float *w, float *u) {
  for (int64_t i = 0; i < g->co * g->ci; i++) {
    float f[4][4];
    filter_transform(w + 9 * i, f);
    for (int k = 0; k < 16; k++) u[k * g->co * g->ci + i] = f[k / 4][k % 4];
  }
}

static void transform_image(const ConvGeom *g, const float *x, float *v) {
  const int64_t wide = g->w / 2, tiles = g->h / 2 * wide;
  for (int64_t ci = 0; ci < g->ci; ci++)
    for (int64_t t = 0; t < tiles; t++) {
      float d[4][4];
      for (int k = 0; k < 16; k++) {
        const int64_t iy = 2 * (t / wide) + k / 4 - 1, ix = 2 * (t % wide) + k % 4 - 1;
        const bool inside = iy >= 0 && iy < g->h && ix >= 0 && ix < g->w;
        d[k / 4][k % 4] = inside ? x[(ci * g->h + iy) * g->w + ix] : 0;
      }
      patch_transform(d);
      for (int k = 0; k < 16; k++) v[(k * g->ci + ci) * tiles + t] = d[k / 4][k % 4];
    }
}

void conv_4_winograd(const ConvGeom *g, const float *x, const float *w, float *y) {
  const int64_t wide = g->w / 2, tiles = g->h / 2 * wide;
  const MatmulSize s = {g->co, tiles, g->ci};
  float *u = mem_alloc((size_t)(16 * g->co * g->ci) * sizeof *u),
        *v = mem_alloc((size_t)(16 * g->ci * tiles) * sizeof *v),
        *m = mem_alloc((size_t)(16 * g->co * tiles) * sizeof *m);
  if (u) transform_weights(g, w, u);
  for (int64_t n = 0; n < g->n && u && v && m; n++) {
    transform_image(g, x + n * g->ci * g->h * g->w, v);
    for (int k = 0; k < 16; k++)
      matmul_3_registers(&s, u + k * s.m * s.k, v + k * s.k * s.n, m + k * s.m * s.n);
    for (int64_t i = 0; i < g->co * tiles; i++)
      output_transform(m + i, g->co * tiles,
                       y + (n * g->co + i / tiles) * g->h * g->w +
                           2 * (i % tiles / wide * g->w + i % tiles % wide),
                       g->w);
  }
  mem_free(u);
  mem_free(v);
  mem_free(m);
}
