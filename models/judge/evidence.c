/* evidence.c: see evidence.h */
#include "models/judge/evidence.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "models/judge/agreement.h"

/* ---- the ring ---- */
enum { REACH = 8, OUTER = 3, CORE = 4, AROUND = 3, RING_FROM = 2, RING_TO = 6, FEW = 8 };

/* Distance to the nearest pixel of the other kind, negative outside; at most REACH (+1). */
static float depth_at(int h, int w, const float *mask, int y, int x) {
  const bool in = mask[y * w + x] > 0;
  int best = (REACH + 1) * (REACH + 1);
  for (int v = PRLX_MAX(0, y - REACH); v <= PRLX_MIN(h - 1, y + REACH); v++)
    for (int u = PRLX_MAX(0, x - REACH); u <= PRLX_MIN(w - 1, x + REACH); u++) {
      const int q = (u - x) * (u - x) + (v - y) * (v - y);
      if (q < best && (mask[v * w + u] > 0) != in) best = q;
    }
  const float d = sqrtf((float)best);
  return in ? d : -d;
}

typedef struct Mean {
  double sum;
  double weight;
  int64_t n;
} Mean;
static void mean_add(Mean *m, double v, double weight) {
  m->sum += weight * v;
  m->weight += weight;
  m->n++;
}

static double mean_of(const Mean *m) {
  return m->n >= FEW && m->weight > 0 ? m->sum / m->weight : NAN;
}

static int double_order(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Depth from which a pixel counts as core. */
static double core_from(int64_t n, const float *depth, double *scratch) {
  int64_t m = 0, deep = 0;
  for (int64_t i = 0; i < n; i++)
    if (depth[i] > 0) {
      scratch[m++] = depth[i];
      deep += depth[i] > CORE;
    }
  if (deep >= FEW || m < 4) return CORE;
  qsort(scratch, (size_t)m, sizeof *scratch, double_order);
  return scratch[m - 1 - m / 4] - 1e-6;
}

static double rim_correlation(int64_t n, const float *a, const float *b, const float *depth) {
  double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, k = 0;
  for (int64_t i = 0; i < n; i++)
    if (depth[i] >= -AROUND) {
      sa += (double)a[i];
      sb += (double)b[i];
      k++;
    }
  for (int64_t i = 0; i < n; i++) {
    if (depth[i] < -AROUND) continue;
    const double x = (double)a[i] - sa / k, y = (double)b[i] - sb / k;
    saa += x * x;
    sbb += y * y;
    sab += x * y;
  }
  return saa > 0 && sbb > 0 ? sab / sqrt(saa * sbb) : NAN;
}

typedef struct Bright {
  float v;
  bool rim;
} Bright;
static int bright_order(const void *a, const void *b) {
  const Bright *x = a, *y = b;
  if (x->v != y->v) return x->v > y->v ? -1 : 1;
  /* ties against the rim: never in our favour */
  return (int)x->rim - (int)y->rim;
}

static void rim_overlap(int64_t n, const float *img, const float *rim, const float *depth,
                        float top, Bright *b, RimMatch *out) {
  int64_t m = 0, k = 0, hit = 0;
  for (int64_t i = 0; i < n; i++)
    if (depth[i] >= -AROUND) {
      b[m] = (Bright){img[i], rim[i] > top / 2};
      k += b[m++].rim;
    }
  if (k < FEW) return;
  qsort(b, (size_t)m, sizeof *b, bright_order);
  for (int64_t i = 0; i < k; i++) hit += b[i].rim;
  out->dice = (double)hit / (double)k;
  out->chance = (double)k / (double)m;
}

static void rim_against_map(int64_t n, const float *img, const float *rim, const float *depth,
                            double deep, Bright *b, RimMatch *out) {
  Mean on = {0}, core = {0}, ring = {0};
  float top = 0;
  for (int64_t i = 0; i < n; i++)
    if (depth[i] >= -AROUND) top = PRLX_MAX(top, rim[i]);
  if (top < RIM_VISIBLE) return;
  for (int64_t i = 0; i < n; i++) {
    if (depth[i] >= -AROUND && rim[i] > 0) mean_add(&on, (double)img[i], (double)rim[i]);
    if (rim[i] > 0.05f) continue;
    if (depth[i] > deep) mean_add(&core, (double)img[i], 1);
    if (depth[i] <= -RING_FROM && depth[i] >= -RING_TO) mean_add(&ring, (double)img[i], 1);
  }
  out->core = mean_of(&on) - mean_of(&core);
  out->surround = mean_of(&on) - mean_of(&ring);
  out->corr = rim_correlation(n, img, rim, depth);
  rim_overlap(n, img, rim, depth, top, b, out);
}

Status rim_match(int h, int w, const float *img, const float *rim, const float *mask, RimMatch *out,
                 Error *e) {
  const int64_t n = (int64_t)h * w;
  *out = (RimMatch){NAN, NAN, NAN, NAN, NAN, NAN};
  float *depth = mem_alloc((size_t)n * sizeof *depth);
  double *scratch = mem_alloc((size_t)n * sizeof *scratch);
  Bright *b = mem_alloc((size_t)n * sizeof *b);
  int64_t inside = 0;
  Status s = ST_OK;
  if (!depth || !scratch || !b) {
    s = err_set(e, ST_NOMEM, "rim match: out of memory for %d x %d pixels", w, h);
    goto done;
  }
  for (int64_t i = 0; i < n; i++) {
    depth[i] = depth_at(h, w, mask, (int)(i / w), (int)(i % w));
    inside += mask[i] > 0;
  }
  Mean outer = {0}, core = {0};
  const double deep = core_from(n, depth, scratch);
  for (int64_t i = 0; i < n; i++) {
    if (depth[i] > deep)
      mean_add(&core, (double)img[i], 1);
    else if (depth[i] > 0 && depth[i] <= OUTER)
      mean_add(&outer, (double)img[i], 1);
  }
  out->edge = mean_of(&outer) - mean_of(&core);
  if (rim && inside) rim_against_map(n, img, rim, depth, deep, b, out);
done:
  mem_free(depth);
  mem_free(scratch);
  mem_free(b);
  return s;
}

/* ---- neighbours ---- */
void nearest_add(Nearest *q, int64_t id, int64_t group, double d) {
  if (d < q->distance) {
    if (q->id >= 0 && group != q->group) {
      q->second = q->distance;
      q->second_group = q->group;
    }
    q->id = id;
    q->group = group;
    q->distance = d;
  } else if (group != q->group && d < q->second) {
    q->second = d;
    q->second_group = group;
  }
}

double nearest_gap(const Nearest *q) {
  return isfinite(q->second) && q->second > 0 ? q->distance / q->second : NAN;
}

/* Blocks short enough for float sums, added up in double. */
double square_distance(const float *a, const float *b, int64_t n) {
  enum { LANES = 8, BLOCK = 1024 };
  double sum = 0;
  for (int64_t i = 0; i < n; i += BLOCK) {
    const int64_t m = PRLX_MIN(n - i, (int64_t)BLOCK), whole = m / LANES * LANES;
    float part[LANES] = {0};
    for (int64_t k = 0; k < whole; k += LANES)
      for (int l = 0; l < LANES; l++) {
        const float d = a[i + k + l] - b[i + k + l];
        part[l] += d * d;
      }
    for (int64_t k = whole; k < m; k++) {
      const float d = a[i + k] - b[i + k];
      part[k - whole] += d * d;
    }
    for (int l = 0; l < LANES; l++) sum += (double)part[l];
  }
  return sum;
}

const char *const memory_name[3] = {"no", "close", "copy"};

Status reference_new(NearReference *r, int64_t n, const Nearest *q, Error *e) {
  int64_t m = 0, g = 0;
  *r = (NearReference){.distance = mem_alloc(2 * (size_t)PRLX_MAX(n, 1) * sizeof *r->distance)};
  if (!r->distance)
    return err_set(e, ST_NOMEM, "neighbours: out of memory for %lld images", (long long)n);
  r->gap = r->distance + n;
  for (int64_t i = 0; i < n; i++) {
    if (q[i].id < 0) continue;
    r->distance[m++] = q[i].distance;
    if (isfinite(nearest_gap(&q[i]))) r->gap[g++] = nearest_gap(&q[i]);
  }
  if (!m) {
    reference_free(r);
    return err_set(e, ST_INVALID,
                   "neighbours: training images of one lesion only; expected at least two lesions "
                   "to compare with");
  }
  qsort(r->distance, (size_t)m, sizeof *r->distance, double_order);
  qsort(r->gap, (size_t)g, sizeof *r->gap, double_order);
  /* no second lesion: nothing can stand out */
  for (; g < m; g++) r->gap[g] = HUGE_VAL;
  r->n = m;
  r->median = quantile_sorted(r->distance, m, 0.5);
  return ST_OK;
}

void reference_free(NearReference *r) {
  mem_free(r->distance);
  *r = (NearReference){0};
}

Memory memory_of(const NearReference *r, const Nearest *q) {
  if (!r->n || q->id < 0 || q->distance >= r->distance[0]) return MEMORY_NONE;
  const double gap = nearest_gap(q), low = quantile_sorted(r->gap, r->n, 0.05);
  return isfinite(gap) && isfinite(low) && gap < low ? MEMORY_COPY : MEMORY_CLOSE;
}

/* ---- intervals ---- */
typedef struct Item {
  double v;
  int64_t group;
} Item;
static int item_order(const void *a, const void *b) {
  const Item *x = a, *y = b;
  if (x->v != y->v) return x->v > y->v ? 1 : -1;
  return x->group > y->group ? 1 : x->group < y->group ? -1 : 0;
}

/* Mean and median of items sorted by value, each counted count[group] times. */
static bool items_weighted(int64_t n, const Item *it, const int64_t *count, double *mean,
                           double *median) {
  int64_t total = 0, seen = 0;
  double sum = 0, low = NAN;
  for (int64_t i = 0; i < n; i++) {
    total += count[it[i].group];
    sum += (double)count[it[i].group] * it[i].v;
  }
  if (!total) return false;
  *mean = sum / (double)total;
  for (int64_t i = 0; i < n; i++) {
    seen += count[it[i].group];
    if (isnan(low) && seen > (total - 1) / 2) low = it[i].v;
    if (seen > total / 2) {
      *median = 0.5 * (low + it[i].v);
      break;
    }
  }
  return true;
}

static void spread_bootstrap(Spread *out, int64_t n, const Item *it, int64_t *count, int64_t groups,
                             int resamples, double level, uint64_t seed, double *mean,
                             double *median) {
  Rng rng = {.seed = seed, .subsequence = 0x65766964};
  int64_t m = 0;
  for (int k = 0; k < resamples; k++) {
    memset(count, 0, (size_t)groups * sizeof *count);
    for (int64_t g = 0; g < groups; g++) count[rng_below(&rng, groups)]++;
    m += items_weighted(n, it, count, &mean[m], &median[m]);
  }
  if (2 * m <= resamples) return;
  qsort(mean, (size_t)m, sizeof *mean, double_order);
  qsort(median, (size_t)m, sizeof *median, double_order);
  out->mean_lo = quantile_sorted(mean, m, (1 - level) / 2);
  out->mean_hi = quantile_sorted(mean, m, (1 + level) / 2);
  out->median_lo = quantile_sorted(median, m, (1 - level) / 2);
  out->median_hi = quantile_sorted(median, m, (1 + level) / 2);
}

Status spread_by_group(int64_t n, const double *v, const int64_t *group, int64_t groups,
                       int resamples, double level, uint64_t seed, Spread *out, Error *e) {
  *out = (Spread){0, NAN, NAN, NAN, NAN, NAN, NAN};
  if (groups < 1 || resamples < 2 || !(level > 0 && level < 1))
    return err_set(e, ST_INVALID,
                   "intervals: %lld groups, %d resamples, level %g; expected at least 1, at least "
                   "2, between 0 and 1",
                   (long long)groups, resamples, level);
  Item *it = mem_alloc((size_t)PRLX_MAX(n, 1) * sizeof *it);
  int64_t *count = mem_alloc((size_t)groups * sizeof *count), used = 0;
  double *mean = mem_alloc(2 * (size_t)resamples * sizeof *mean);
  Status s = ST_OK;
  if (!it || !count || !mean) {
    s = err_set(e, ST_NOMEM, "intervals: out of memory for %lld values", (long long)n);
    goto done;
  }
  for (int64_t i = 0; i < n; i++) {
    if (group[i] < 0 || group[i] >= groups) {
      s = err_set(e, ST_INVALID, "intervals: value %lld is of group %lld; expected 0 to %lld",
                  (long long)i, (long long)group[i], (long long)groups - 1);
      goto done;
    }
    if (!isfinite(v[i])) continue;
    it[out->n++] = (Item){v[i], group[i]};
    used += !count[group[i]];
    count[group[i]] = 1;
  }
  if (!out->n) goto done;
  qsort(it, (size_t)out->n, sizeof *it, item_order);
  for (int64_t g = 0; g < groups; g++) count[g] = 1;
  items_weighted(out->n, it, count, &out->mean, &out->median);
  if (used > 1)
    spread_bootstrap(out, out->n, it, count, groups, resamples, level, seed, mean,
                     mean + resamples);
done:
  mem_free(it);
  mem_free(count);
  mem_free(mean);
  return s;
}
