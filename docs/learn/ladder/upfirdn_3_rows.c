/* upfirdn2d, rung 3: rows at a time.
 *
 * Along y whole rows are added, so the innermost loop is row += tap * row: vectors. Along x an
 * output column needs taps of its own phase; a row with a border of zeros saves asking where the
 * image ends, and all columns of one phase are one loop. core/kernels/upfirdn.c does the phases of
 * up = 2 together and interleaves them. */
#include <string.h>
#include "docs/learn/ladder/ladder.h"

static void rows_along_y(const FirSize *s, const float *f, const float *x, int64_t oy, float *to) {
  const int64_t q = oy * s->down - s->pad0, t = ((-q) % s->up + s->up) % s->up;
  int64_t i = (q + t) / s->up;
  memset(to, 0, (size_t)s->w * sizeof *to);
  for (int64_t a = t; a < s->taps; a += s->up, i++) {
    if (i < 0 || i >= s->h) continue;
    const float c = (float)s->gain * f[s->taps - 1 - a], *row = x + i * s->w;
    for (int64_t u = 0; u < s->w; u++) to[u] += c * row[u];
  }
}

/* x: a row with zeros on both sides. Outputs of one phase are `up` apart and their samples `down`
 * apart. */
static void columns_along_x(const FirSize *s, const float *f, const float *restrict x, int64_t ow,
                            float *restrict y) {
  for (int64_t phase = 0; phase < PRLX_MIN(s->up, ow); phase++) {
    const int64_t q = phase * s->down - s->pad0, t = ((-q) % s->up + s->up) % s->up;
    const float *from = x + (q + t) / s->up;
    for (int64_t o = phase, i = 0; o < ow; o += s->up, i += s->down) {
      float sum = 0;
      for (int64_t a = t, k = i; a < s->taps; a += s->up, k++) sum += f[s->taps - 1 - a] * from[k];
      y[o] = sum;
    }
  }
}

void upfirdn_3_rows(const FirSize *s, const float *x, const float *f, float *y) {
  const int64_t oh = fir_side(s, s->h), ow = fir_side(s, s->w),
                border = s->taps + PRLX_MAX(PRLX_MAX(s->pad0, s->pad1), 0);
  float *row = mem_alloc((size_t)(s->w + 2 * border) * sizeof *row); /* zeros */
  for (int64_t p = 0; p < s->planes && row; p++, x += s->h * s->w)
    for (int64_t v = 0; v < oh; v++, y += ow) {
      rows_along_y(s, f, x, v, row + border);
      columns_along_x(s, f, row + border, ow, y);
    }
  mem_free(row);
}
