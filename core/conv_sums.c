/* conv_sums.c: sums of the weight gradient that several tasks made, put together in one order. */
#include <string.h>
#include "core/conv_impl.h"
#include "core/threads.h"

typedef struct Sums {
  real *total;
  const real *sums;
  int64_t numel;
  int64_t count;
  bool fresh;
} Sums;

enum { SUM_PART = 4096 };

static void sums_task(void *ctx, int64_t i, int worker) {
  const Sums *s = ctx;
  const int64_t at = i * SUM_PART, n = PRLX_MIN(SUM_PART, s->numel - at);
  real *restrict to = s->total + at;
  if (s->fresh) memcpy(to, s->sums + at, (size_t)n * sizeof(real));
  for (int64_t b = s->fresh; b < s->count; b++) {
    const real *restrict from = s->sums + b * s->numel + at;
    for (int64_t x = 0; x < n; x++) to[x] += from[x];
  }
}

void sums_add(real *total, const real *sums, int64_t numel, int64_t count, bool fresh) {
  Sums s = {total, sums, numel, count, fresh};
  par_for(ceil_div(numel, SUM_PART), sums_task, &s);
}
