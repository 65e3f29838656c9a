/* smote.c: see smote.h */
#include "models/judge/smote.h"
#include <math.h>
#include <stdlib.h>
#include "core/threads.h"
#include "models/judge/fit.h"

typedef struct Near {
  double d;
  int64_t at;
} Near;
typedef struct Search {
  const real *x;
  int64_t n;
  int64_t dim;
  const int64_t *group;
  int k;
  Near *near;
} Search;

/* The k nearest of sample i, ascending; equal distances by index; at = -1 where there are fewer. */
static void nearest_of(void *ctx, int64_t i, int worker) {
  const Search *s = ctx;
  Near *best = s->near + i * s->k;
  for (int q = 0; q < s->k; q++) best[q] = (Near){INFINITY, -1};
  for (int64_t j = 0; j < s->n; j++) {
    if (j == i || (s->group && s->group[j] == s->group[i])) continue;
    double d = 0;
    for (int64_t p = 0; p < s->dim && d < best[s->k - 1].d; p++) {
      double t = (double)s->x[i * s->dim + p] - (double)s->x[j * s->dim + p];
      d += t * t;
    }
    if (!(d < best[s->k - 1].d)) continue;
    int q = s->k - 1;
    for (; q > 0 && d < best[q - 1].d; q--) best[q] = best[q - 1];
    best[q] = (Near){d, j};
  }
}

Status smote_pick(const real *x, int64_t n, int64_t dim, const int64_t *group, int k, int64_t want,
                  Rng *r, SmotePick *out, Error *e) {
  if (n < 2 || k < 1 || dim < 1 || want < 0)
    return err_set(e, ST_INVALID,
                   "SMOTE: %lld samples, %d neighbours, %lld wanted; expected at least 2 samples "
                   "of the class and 1 neighbour",
                   (long long)n, k, (long long)want);
  size_t bytes;
  if (!mul_ok((size_t)k, (uint64_t)n, &bytes) || !mul_ok(bytes, sizeof(Near), &bytes))
    return err_set(e, ST_INVALID, "SMOTE: %d neighbours of %lld samples are too many", k,
                   (long long)n);
  Near *near = mem_alloc(bytes);
  int64_t *order = mem_alloc((size_t)n * sizeof *order);
  Status s = near && order
                 ? ST_OK
                 : err_set(e, ST_NOMEM, "SMOTE: out of memory for %lld samples", (long long)n);
  if (s != ST_OK) goto done;
  par_for(n, nearest_of, &(Search){x, n, dim, group, k, near});
  for (int64_t i = 0; i < n; i++) {
    order[i] = i;
    if (near[i * k].at >= 0) continue;
    s = err_set(e, ST_INVALID,
                "SMOTE: sample %lld has no neighbour in another lesion; the class needs at least "
                "2 lesions of finite values",
                (long long)i);
    goto done;
  }
  for (int64_t i = 0; i < want; i++) {
    if (i % n == 0) fit_shuffle(order, n, r);
    int have = 0;
    while (have < k && near[order[i % n] * k + have].at >= 0) have++;
    out[i].base = order[i % n];
    out[i].neighbour = near[out[i].base * k + rng_below(r, have)].at;
    out[i].gap = rng_uniform(r);
  }
done:
  mem_free(near);
  mem_free(order);
  return s;
}

void smote_blend(const real *x, int64_t dim, const SmotePick *pick, int64_t want, real *out) {
  for (int64_t i = 0; i < want; i++)
    for (int64_t p = 0; p < dim; p++) {
      double a = (double)x[pick[i].base * dim + p], b = (double)x[pick[i].neighbour * dim + p];
      out[i * dim + p] = (real)(a + pick[i].gap * (b - a));
    }
}
