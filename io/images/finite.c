/* finite.c: see finite.h */
#include "io/images/finite.h"
#include <math.h>
#include <string.h>

int64_t count_not_finite(const float *v, int64_t n) {
  int64_t bad = 0;
  for (int64_t i = 0; i < n; i++) bad += !isfinite(v[i]);
  return bad;
}

Status check_finite(const float *v, const int64_t dim[3], const char *where, const char *mend,
                    Error *e) {
  const int64_t n = dim[0] * dim[1] * dim[2], bad = count_not_finite(v, n);
  int64_t i = 0;
  if (!bad) return ST_OK;
  while (isfinite(v[i])) i++;
  return err_set(
      e, ST_NUMERIC, "%s: %s at voxel (%lld, %lld, %lld), %lld in all; expected finite numbers; %s",
      where, isnan(v[i]) ? "NaN" : "infinity", (long long)(i % dim[0]),
      (long long)(i / dim[0] % dim[1]), (long long)(i / dim[0] / dim[1]), (long long)bad, mend);
}

/* Mean of the finite neighbours of voxel at; NaN without any. */
static float neighbour_mean(const float *v, const int64_t d[3], int64_t at) {
  const int64_t x = at % d[0], y = at / d[0] % d[1], z = at / (d[0] * d[1]);
  double sum = 0;
  int n = 0;
  for (int64_t k = PRLX_MAX(z - 1, 0); k <= PRLX_MIN(z + 1, d[2] - 1); k++)
    for (int64_t j = PRLX_MAX(y - 1, 0); j <= PRLX_MIN(y + 1, d[1] - 1); j++)
      for (int64_t i = PRLX_MAX(x - 1, 0); i <= PRLX_MIN(x + 1, d[0] - 1); i++) {
        const float f = v[(k * d[1] + j) * d[0] + i];
        if (!isfinite(f)) continue;
        sum += f;
        n++;
      }
  return n ? (float)(sum / n) : NAN;
}

/* Layer by layer: list[0..n-1] are the holes; those without a finite neighbour wait for the next
 * layer. mean has room for n. */
static void fill_layers(float *v, const int64_t dim[3], int64_t *list, float *mean, int64_t n) {
  while (n) {
    int64_t left = 0, filled = 0;
    for (int64_t i = 0; i < n; i++) mean[i] = neighbour_mean(v, dim, list[i]);
    for (int64_t i = 0; i < n; i++) {
      if (isnan(mean[i]))
        list[left++] = list[i];
      else {
        v[list[i]] = mean[i];
        filled++;
      }
    }
    if (!filled) { /* nothing finite anywhere */
      for (int64_t i = 0; i < left; i++) v[list[i]] = 0;
      return;
    }
    n = left;
  }
}

Status fill_not_finite(float *v, const int64_t dim[3], NanRule rule, float *hole, Error *e) {
  const int64_t n = dim[0] * dim[1] * dim[2], bad = count_not_finite(v, n);
  if (hole)
    for (int64_t i = 0; i < n; i++) hole[i] = isfinite(v[i]) ? 0.0f : 1.0f;
  if (!bad) return ST_OK;
  if (rule != NAN_NEIGHBOURS) {
    for (int64_t i = 0; i < n; i++)
      if (!isfinite(v[i])) v[i] = 0;
    return ST_OK;
  }
  int64_t *list = mem_alloc((size_t)bad * sizeof *list), k = 0;
  float *mean = mem_alloc((size_t)bad * sizeof *mean);
  Status s = ST_OK;
  if (!list || !mean)
    s = err_set(e, ST_NOMEM, "out of memory for %lld voxels that are not finite", (long long)bad);
  for (int64_t i = 0; s == ST_OK && i < n; i++)
    if (!isfinite(v[i])) list[k++] = i;
  if (s == ST_OK) fill_layers(v, dim, list, mean, k);
  mem_free(list);
  mem_free(mean);
  return s;
}
