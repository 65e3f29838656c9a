/* Numbers of models/judge/evidence.h: ring measures on painted lesions, neighbours, memory,
 * bootstrap by group. */
#include "core/base.h"
#include "core/rng.h"
#include "models/judge/agreement.h"
#include "models/judge/evidence.h"
#include "test/test.h"

enum { N = 64 };
static double dist(int x, int y) { return hypot(x - 31.5, y - 31.5); }

/* Disc of radius 14, core value c, ring of value r between radius 10 and 13, surround s. */
static void paint(float *img, float *rim, float *mask, float c, float r, float s) {
  for (int y = 0; y < N; y++)
    for (int x = 0; x < N; x++) {
      const double d = dist(x, y);
      const bool ring = d >= 10 && d < 13;
      const int i = y * N + x;
      mask[i] = d < 14;
      if (rim) rim[i] = ring ? 0.8f : 0;
      img[i] = d >= 14 ? s : ring ? r : c;
    }
}

static void rings(void) {
  static float img[N * N], rim[N * N], mask[N * N], flat[N * N];
  RimMatch m;
  Error e;
  paint(img, rim, mask, 10, 40, 0);
  CHECK(rim_match(N, N, img, rim, mask, &m, &e) == ST_OK, "bright ring");
  CHECK(fabs(m.core - 30) < 1e-4 && fabs(m.surround - 40) < 1e-4,
        "ring is 30 above core, 40 above surround: %g, %g", m.core, m.surround);
  CHECK(m.dice == 1 && m.chance > 0.1 && m.chance < 0.5,
        "the brightest pixels are the ring: %g, chance %g", m.dice, m.chance);
  CHECK(m.corr > 0.9 && m.corr <= 1, "correlation %g", m.corr);
  CHECK(m.edge > 15 && m.edge < 30, "edge above core, ring and one pixel of core value: %g",
        m.edge);
  paint(img, rim, mask, 40, 10, 0);
  CHECK(rim_match(N, N, img, rim, mask, &m, &e) == ST_OK && m.dice == 0 &&
            fabs(m.core + 30) < 1e-4 && m.edge < 0 && m.corr < 0,
        "dark ring: overlap %g, contrast %g", m.dice, m.core);
  CHECK(rim_match(N, N, img, NULL, mask, &m, &e) == ST_OK && m.edge < 0 && isnan(m.core) &&
            isnan(m.dice) && isnan(m.corr),
        "no map: only the edge");
  for (int i = 0; i < N * N; i++) flat[i] = 7;
  CHECK(rim_match(N, N, flat, rim, mask, &m, &e) == ST_OK && m.core == 0 && isnan(m.corr) &&
            m.dice == 0,
        "flat image: ties count against the rim: %g", m.dice);
  for (int i = 0; i < N * N; i++) rim[i] *= 0.1f;
  CHECK(rim_match(N, N, img, rim, mask, &m, &e) == ST_OK && isnan(m.dice) && isnan(m.core),
        "a rim that nobody could see is no rim");
  memset(mask, 0, sizeof mask);
  CHECK(rim_match(N, N, img, rim, mask, &m, &e) == ST_OK && isnan(m.edge) && isnan(m.dice),
        "no lesion");
  mem_fail_after(1);
  CHECK(rim_match(N, N, img, rim, mask, &m, &e) == ST_NOMEM, "out of memory");
  mem_fail_after(-1);
}

static void neighbours(void) {
  enum { K = 200 };
  Rng r = {.seed = 4};
  for (int trial = 0; trial < 20; trial++) {
    Nearest q = NEAREST_NONE;
    double d[K], best = HUGE_VAL, second = HUGE_VAL;
    int64_t g[K], at = -1;
    for (int i = 0; i < K; i++) {
      d[i] = rng_uniform(&r);
      g[i] = rng_below(&r, 30);
      nearest_add(&q, i, g[i], d[i]);
    }
    for (int i = 0; i < K; i++)
      if (d[i] < best) {
        best = d[i];
        at = i;
      }
    for (int i = 0; i < K; i++)
      if (g[i] != g[at] && d[i] < second) second = d[i];
    CHECK(q.id == at && q.distance == best && q.second == second,
          "nearest and nearest of another lesion: %g %g, expected %g %g", q.distance, q.second,
          best, second);
    CHECK(fabs(nearest_gap(&q) - best / second) < 1e-15, "gap");
  }
  Nearest one = NEAREST_NONE;
  nearest_add(&one, 0, 5, 1);
  nearest_add(&one, 1, 5, 0.5);
  CHECK(one.id == 1 && isnan(nearest_gap(&one)), "slices of one lesion: no second");
  float a[1500], b[1500];
  double want = 0;
  for (int i = 0; i < 1500; i++) {
    a[i] = (float)i;
    b[i] = (float)(i % 7);
    want += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
  }
  CHECK(fabs(square_distance(a, b, 1500) / want - 1) < 1e-6 && square_distance(a, b, 5) == 0,
        "square distance");
}

static void memory(void) {
  enum { K = 40 };
  Nearest q[K];
  NearReference ref;
  Error e;
  /* gaps of 0.8 */
  for (int i = 0; i < K; i++) q[i] = (Nearest){i, i, 1 + 0.01 * i, i + 1, 1.25 + 0.0125 * i};
  CHECK(reference_new(&ref, K, q, &e) == ST_OK && ref.n == K && fabs(ref.median - 1.195) < 1e-9,
        "reference: median %g", ref.median);
  CHECK(memory_of(&ref, &(Nearest){0, 0, 1.5, 1, 1.9}) == MEMORY_NONE, "as far as others");
  CHECK(memory_of(&ref, &(Nearest){0, 0, 0.9, 1, 1.0}) == MEMORY_CLOSE,
        "closer than any, to several");
  CHECK(memory_of(&ref, &(Nearest){0, 0, 0.1, 1, 1.0}) == MEMORY_COPY, "closer than any, to one");
  CHECK(memory_of(&ref, &(Nearest){0, 0, 0.1, -1, HUGE_VAL}) == MEMORY_CLOSE,
        "no second lesion: cannot stand out");
  reference_free(&ref);
  q[0] = NEAREST_NONE;
  CHECK(reference_new(&ref, 1, q, &e) == ST_INVALID && mem_live_count() == 0, "no neighbours: %s",
        e.msg);
}

static void intervals(void) {
  double v[30];
  int64_t group[30];
  Spread x, y;
  Error e;
  for (int i = 0; i < 30; i++) {
    v[i] = i;
    group[i] = i / 3;
  }
  CHECK(spread_by_group(30, v, group, 10, 500, 0.95, 1, &x, &e) == ST_OK && x.n == 30 &&
            x.mean == 14.5 && x.median == 14.5,
        "mean %g, median %g", x.mean, x.median);
  /* Ten group means 1, 4, ..., 28: standard error sqrt(74.25 / 10) = 2.72; 95 % about 14.5 -+ 5.3.
   */
  CHECK(x.mean_lo > 8 && x.mean_lo < 10.5 && x.mean_hi > 18.5 && x.mean_hi < 21,
        "interval by subject %g to %g", x.mean_lo, x.mean_hi);
  CHECK(x.median_lo <= x.median && x.median_hi >= x.median, "median's interval %g to %g",
        x.median_lo, x.median_hi);
  CHECK(spread_by_group(30, v, group, 10, 500, 0.95, 1, &y, &e) == ST_OK &&
            x.mean_lo == y.mean_lo && x.median_hi == y.median_hi,
        "same seed, same interval");
  for (int i = 0; i < 30; i++)
    if (i != 4 && i != 5) v[i] = NAN;
  CHECK(spread_by_group(30, v, group, 10, 50, 0.95, 1, &x, &e) == ST_OK && x.n == 2 &&
            x.mean == 4.5 && isnan(x.mean_lo),
        "one subject with values: no interval");
  v[4] = v[5] = NAN;
  CHECK(spread_by_group(30, v, group, 10, 50, 0.95, 1, &x, &e) == ST_OK && x.n == 0 &&
            isnan(x.mean),
        "no values");
  CHECK(spread_by_group(30, v, group, 9, 50, 0.95, 1, &x, &e) == ST_INVALID,
        "group out of range: %s", e.msg);
  const double s[4] = {1, 2, 4, 8};
  CHECK(quantile_sorted(s, 4, 0) == 1 && quantile_sorted(s, 4, 0.5) == 3 &&
            quantile_sorted(s, 4, 1) == 8 && isnan(quantile_sorted(s, 0, 0.5)),
        "quantiles");
}

int main(void) {
  rings();
  neighbours();
  memory();
  intervals();
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
