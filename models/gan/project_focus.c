/* project_focus.c: see project_focus.h. */
#include "models/gan/project_focus.h"
#include <math.h>

void focus_disc(int side, double radius, double soft, float *region) {
  const double mid = 0.5 * (side - 1);
  for (int y = 0; y < side; y++)
    for (int x = 0; x < side; x++) {
      const double r = hypot(x - mid, y - mid);
      const double t = soft > 0 ? (r - radius) / soft : r > radius;
      region[y * side + x] = (float)(t <= 0 ? 1 : t >= 1 ? 0 : 0.5 + 0.5 * cos(M_PI * t));
    }
}

/* Distance, pixels, from (x, y) to the nearest pixel above `least`; more than `reach` where
 * there is none so near. */
static double distance_to(int side, const float *mask, float least, int reach, int x, int y) {
  double nearest = reach + 1.0;
  for (int v = PRLX_MAX(0, y - reach); v <= PRLX_MIN(side - 1, y + reach); v++)
    for (int u = PRLX_MAX(0, x - reach); u <= PRLX_MIN(side - 1, x + reach); u++)
      if (mask[v * side + u] > least) nearest = PRLX_MIN(nearest, hypot(u - x, v - y));
  return nearest;
}

Status focus_mask(int side, const float *mask, double grow, const char *name, float *region,
                  Error *e) {
  int64_t inside = 0, lesion = 0;
  const int64_t all = (int64_t)side * side;
  for (int64_t i = 0; i < all; i++) lesion += mask[i] > 0;
  if (!lesion)
    return err_set(e, ST_INVALID,
                   "%s: the lesion mask is empty on this slice; choose slices with the lesion, or "
                   "--focus centre",
                   name);
  for (int y = 0; y < side; y++)
    for (int x = 0; x < side; x++) {
      const bool in = distance_to(side, mask, 0, (int)grow, x, y) <= grow;
      region[y * side + x] = in;
      inside += in;
    }
  if (inside < all) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: the lesion mask, grown by %g pixels, fills the patch; expected something "
                 "outside it: choose a smaller --focus-grow, or --focus none",
                 name, grow);
}

void focus_soften(int side, const float *region, double edge, float *weight) {
  const int reach = (int)ceil(PRLX_MIN(edge, 2.0 * side));
  for (int y = 0; y < side; y++)
    for (int x = 0; x < side; x++) {
      const double d = distance_to(side, region, nextafterf(1, 0), reach, x, y);
      const double fall = d <= 0 ? 1 : d >= edge ? 0 : 0.5 + 0.5 * cos(M_PI * d / edge);
      weight[y * side + x] = PRLX_MAX(region[y * side + x], (float)fall);
    }
}

void focus_place(int channels, int side, const float *weight, const float *target,
                 const float *drawn, float *out) {
  const int pixels = side * side;
  for (int i = 0; i < channels * pixels; i++) {
    const float w = weight[i % pixels];
    out[i] = w >= 1 ? drawn[i] : w <= 0 ? target[i] : target[i] + w * (drawn[i] - target[i]);
  }
}

/* Scales to mean 1. */
static void scale_to_mean(real *x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)x[i];
  for (int64_t i = 0; i < n; i++) x[i] = sum > 0 ? (real)((double)x[i] * (double)n / sum) : 0;
}

void focus_tap(int side, const float *region, int tap, real *inside, real *outside) {
  const int box = side / tap;
  for (int y = 0; y < tap; y++)
    for (int x = 0; x < tap; x++) {
      double sum = 0;
      for (int v = 0; v < box; v++)
        for (int u = 0; u < box; u++) sum += (double)region[(y * box + v) * side + x * box + u];
      inside[y * tap + x] = (real)(sum / (box * box));
      outside[y * tap + x] = (real)(1 - sum / (box * box));
    }
  scale_to_mean(inside, (int64_t)tap * tap);
  scale_to_mean(outside, (int64_t)tap * tap);
}
