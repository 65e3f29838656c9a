/* masks.c: see masks.h */
#include "models/judge/masks.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t mask_area(const uint8_t *m, int64_t n) {
  int64_t k = 0;
  for (int64_t i = 0; i < n; i++) k += m[i] != 0;
  return k;
}

void mask_dilate(const uint8_t *mask, int h, int w, double radius, uint8_t *out) {
  const int r = (int)floor(radius);
  memset(out, 0, (size_t)h * (size_t)w);
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      if (!mask[y * w + x]) continue;
      for (int v = PRLX_MAX(y - r, 0); v <= PRLX_MIN(y + r, h - 1); v++)
        for (int u = PRLX_MAX(x - r, 0); u <= PRLX_MIN(x + r, w - 1); u++)
          if ((v - y) * (v - y) + (u - x) * (u - x) <= radius * radius) out[v * w + u] = 1;
    }
}

/* ---- distance between borders ---- */

/* Pixels of the mask with a neighbour (of four) outside it or outside the image: x, y pairs. */
static int mask_border(const uint8_t *m, int h, int w, int *xy) {
  int n = 0;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      if (!m[y * w + x]) continue;
      if (x && y && x < w - 1 && y < h - 1 && m[y * w + x - 1] && m[y * w + x + 1] &&
          m[(y - 1) * w + x] && m[(y + 1) * w + x])
        continue;
      xy[2 * n] = x;
      xy[2 * n + 1] = y;
      n++;
    }
  return n;
}

static int by_int(const void *a, const void *b) {
  const int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

/* 95th percentile of the distances from a to b, linear between order statistics. d2 has room for
 * na. */
static double directed_hausdorff95(const int *a, int na, const int *b, int nb, int *d2) {
  for (int i = 0; i < na; i++) {
    int best = INT32_MAX;
    for (int k = 0; k < nb; k++) {
      const int dx = a[2 * i] - b[2 * k], dy = a[2 * i + 1] - b[2 * k + 1], d = dx * dx + dy * dy;
      best = PRLX_MIN(best, d);
    }
    d2[i] = best;
  }
  qsort(d2, (size_t)na, sizeof *d2, by_int);
  const double at = 0.95 * (na - 1);
  const int k = (int)floor(at);
  const double lo = sqrt(d2[k]), hi = k + 1 < na ? sqrt(d2[k + 1]) : lo;
  return lo + (at - k) * (hi - lo);
}

Status mask_score(const uint8_t *truth, const uint8_t *found, int h, int w, MaskScore *s,
                  Error *e) {
  const int64_t n = (int64_t)h * w;
  *s = (MaskScore){.truth = mask_area(truth, n),
                   .found = mask_area(found, n),
                   .dice = NAN,
                   .dice_tolerant = NAN,
                   .hd95 = NAN,
                   .precision = NAN,
                   .recall = NAN};
  uint8_t *near = mem_alloc((size_t)n);
  int *xy = mem_alloc((size_t)n * 5 * sizeof *xy);
  if (!near || !xy) {
    mem_free(near);
    mem_free(xy);
    return err_set(e, ST_NOMEM, "masks: out of memory for %d x %d pixels", w, h);
  }
  int64_t met = 0;
  mask_dilate(truth, h, w, 1.5, near); /* 1.5: the eight neighbours */
  for (int64_t i = 0; i < n; i++) {
    s->both += truth[i] && found[i];
    met += found[i] && near[i];
  }
  mask_dilate(found, h, w, 1.5, near);
  for (int64_t i = 0; i < n; i++) met += truth[i] && near[i];
  if (s->truth + s->found) {
    s->dice = 2.0 * (double)s->both / (double)(s->truth + s->found);
    s->dice_tolerant = (double)met / (double)(s->truth + s->found);
  }
  if (s->found) s->precision = (double)s->both / (double)s->found;
  if (s->truth) s->recall = (double)s->both / (double)s->truth;
  if (s->truth && s->found) {
    int *a = xy, *b = xy + 2 * n, *d2 = xy + 4 * n;
    const int na = mask_border(truth, h, w, a), nb = mask_border(found, h, w, b);
    const double ab = directed_hausdorff95(a, na, b, nb, d2),
                 ba = directed_hausdorff95(b, nb, a, na, d2);
    s->hd95 = PRLX_MAX(ab, ba);
  }
  mem_free(near);
  mem_free(xy);
  return ST_OK;
}

/* ---- a mask on its image ---- */

typedef struct Bright {
  float v;
  int at;
} Bright;
static int by_brightness(const void *a, const void *b) {
  const Bright *x = a, *y = b;
  if (x->v != y->v) return x->v > y->v ? -1 : 1;
  return x->at - y->at;
}

Status mask_fit(const uint8_t *mask, const float *img, int h, int w, double reach, MaskFit *f,
                Error *e) {
  const int n = h * w;
  *f = (MaskFit){.area = mask_area(mask, n), .dice = NAN, .chance = NAN, .contrast = NAN};
  if (!f->area) return ST_OK;
  uint8_t *near = mem_alloc((size_t)n);
  Bright *v = mem_alloc((size_t)n * sizeof *v);
  if (!near || !v) {
    mem_free(near);
    mem_free(v);
    return err_set(e, ST_NOMEM, "masks: out of memory for %d x %d pixels", w, h);
  }
  double in = 0, out = 0;
  int64_t around = 0, met = 0;
  mask_dilate(mask, h, w, MASK_SURROUND, near);
  for (int i = 0; i < n; i++) {
    if (mask[i])
      in += img[i];
    else if (near[i]) {
      out += img[i];
      around++;
    }
  }
  if (around) f->contrast = in / (double)f->area - out / (double)around;
  mask_dilate(mask, h, w, reach, near);
  for (int i = 0; i < n; i++)
    if (near[i]) v[f->neighbourhood++] = (Bright){img[i], i};
  qsort(v, (size_t)f->neighbourhood, sizeof *v, by_brightness);
  for (int64_t k = 0; k < f->area; k++) met += mask[v[k].at] != 0;
  f->dice = (double)met / (double)f->area; /* both have k pixels: 2 met / (k + k) */
  f->chance = (double)f->area / (double)f->neighbourhood;
  mem_free(near);
  mem_free(v);
  return ST_OK;
}
