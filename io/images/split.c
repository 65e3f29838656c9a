/* split.c: see split.h */
#include "io/images/split.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"

#define STREAM_SUBJECTS ((uint64_t)1)
#define STREAM_LESIONS ((uint64_t)2)

static void split_shuffle(uint64_t seed, uint64_t stream, int n, int *order) {
  Rng r = {.seed = seed, .subsequence = stream};
  for (int i = n - 1; i > 0; i--) {
    const int j = (int)rng_below(&r, i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}

/* lesions by class */
typedef struct Tally {
  int64_t n[3];
} Tally;
static bool item_counts(const SplitItem *it) { return !it->extra && it->cls <= CLASS_AMBIGUOUS; }

static void split_targets(const SplitRule *r, const Tally *all, int64_t train[2], int64_t test[2]) {
  const int64_t rim = all->n[CLASS_RIM], non = all->n[CLASS_NONRIM];
  test[CLASS_RIM] = !r->with_test ? 0
                    : r->test[CLASS_RIM] >= 0
                        ? r->test[CLASS_RIM]
                        : PRLX_MIN(rim, (rim * 60 + 130) / 260 + (rim > 1 && rim < 3));
  test[CLASS_NONRIM] = !r->with_test                ? 0
                       : r->test[CLASS_NONRIM] >= 0 ? r->test[CLASS_NONRIM]
                       : rim && r->test[CLASS_NONRIM] != -2
                           ? PRLX_MIN(2 * test[CLASS_RIM], (non * 60 + 130) / 260)
                           : (non * 60 + 130) / 260;
  train[CLASS_RIM] =
      r->train[CLASS_RIM] >= 0 ? r->train[CLASS_RIM] : PRLX_MAX(rim - test[CLASS_RIM], 0);
  train[CLASS_NONRIM] = r->train[CLASS_NONRIM] >= 0            ? r->train[CLASS_NONRIM]
                        : r->train[CLASS_NONRIM] == -2 || !rim ? non
                                                               : 2 * train[CLASS_RIM];
}

/* Subjects for the test: first those with rim lesions while they fit, then others for the non-rim
 * ones. per[s]: lesions of a subject by class. */
static void choose_subjects(const int64_t test[2], const Tally *per, int subjects, const int *order,
                            bool *in_test) {
  int64_t have[2] = {0, 0};
  for (int pass = 0; pass < 2; pass++) {
    const int c = pass ? CLASS_NONRIM : CLASS_RIM;
    for (int k = 0; k < subjects && have[c] < test[c]; k++) {
      const Tally *t = &per[order[k]];
      if (in_test[order[k]] || !t->n[c] || have[CLASS_RIM] + t->n[CLASS_RIM] > test[CLASS_RIM])
        continue;
      in_test[order[k]] = true;
      have[CLASS_RIM] += t->n[CLASS_RIM];
      have[CLASS_NONRIM] += t->n[CLASS_NONRIM];
    }
    /* only subjects with too many are left: the smallest of them, some of its lesions stay unused
     */
    while (pass == 0 && have[CLASS_RIM] < test[CLASS_RIM]) {
      int best = -1;
      for (int k = 0; k < subjects; k++)
        if (!in_test[order[k]] && per[order[k]].n[CLASS_RIM] &&
            (best < 0 || per[order[k]].n[CLASS_RIM] < per[best].n[CLASS_RIM]))
          best = order[k];
      if (best < 0) break;
      in_test[best] = true;
      have[CLASS_RIM] += per[best].n[CLASS_RIM];
      have[CLASS_NONRIM] += per[best].n[CLASS_NONRIM];
    }
  }
}

/* Takes up to `want` lesions of a class from one side, in shuffled order. */
static int64_t split_take(const SplitItem *it, int n, const int *order, const bool *in_test,
                          bool side, LesionClass c, int64_t want, Part p, Part *part) {
  int64_t got = 0;
  for (int k = 0; k < n && got < want; k++) {
    const int i = order[k];
    if (!item_counts(&it[i]) || it[i].cls != c || in_test[it[i].subject] != side ||
        part[i] != PART_NONE)
      continue;
    part[i] = p;
    got++;
  }
  return got;
}

static Status short_of(const char *what, LesionClass c, int64_t want, int64_t got, const Tally *all,
                       Error *e) {
  return err_set(e, ST_INVALID,
                 "split: %lld %s lesions asked for %s, %lld found; the cohort has %lld, and whole "
                 "subjects are either in the test or not; ask for fewer, or leave the counts out",
                 (long long)want, lesion_class_name(c), what, (long long)got, (long long)all->n[c]);
}

static Status split_deal(const SplitItem *it, int n, int nles, const SplitRule *r, const Tally *all,
                         const int64_t train[2], const int64_t test[2], const int *order,
                         const bool *in_test, Part *part, Error *e) {
  for (int c = CLASS_NONRIM; c <= CLASS_RIM; c++) {
    int64_t got =
        split_take(it, nles, order, in_test, true, (LesionClass)c, test[c], PART_TEST, part);
    if (r->with_test && r->test[c] > got)
      return short_of("the test", (LesionClass)c, r->test[c], got, all, e);
    got = split_take(it, nles, order, in_test, false, (LesionClass)c, train[c], PART_TRAIN, part);
    if (r->train[c] > got) return short_of("training", (LesionClass)c, r->train[c], got, all, e);
  }
  const int64_t got = r->with_ambiguous
                          ? split_take(it, nles, order, in_test, false, CLASS_AMBIGUOUS,
                                       r->ambiguous >= 0 ? r->ambiguous : n, PART_AMBIGUOUS, part)
                          : 0;
  if (r->with_ambiguous && r->ambiguous > got)
    return short_of("denoising", CLASS_AMBIGUOUS, r->ambiguous, got, all, e);
  for (int i = 0; i < n; i++)
    if (it[i].extra && it[i].cls <= CLASS_RIM && !in_test[it[i].subject]) part[i] = PART_TRAIN;
  return ST_OK;
}

Status split_make(const SplitItem *items, int n, int subjects, const SplitRule *r, Part *part,
                  Error *e) {
  const int groups = r->by_lesion ? n : subjects;
  SplitItem *it = mem_alloc((size_t)n * sizeof *it);
  Tally *per = mem_alloc((size_t)groups * sizeof *per), all = {{0}};
  int *sub = mem_alloc((size_t)groups * sizeof *sub), *les = mem_alloc((size_t)n * sizeof *les);
  bool *in_test = mem_alloc((size_t)groups * sizeof *in_test);
  int64_t train[2], test[2];
  int nsub = 0, nles = 0;
  Status s = it && per && sub && les && in_test
                 ? ST_OK
                 : err_set(e, ST_NOMEM, "out of memory for the split of %d lesions", n);
  if (s != ST_OK) goto done;
  for (int i = 0; i < n; i++) {
    it[i] = items[i];
    if (r->by_lesion) it[i].subject = i;
    part[i] = PART_NONE;
    if (!item_counts(&it[i])) continue;
    les[nles++] = i;
    per[it[i].subject].n[it[i].cls]++;
    all.n[it[i].cls]++;
  }
  /* Only what counts is shuffled: denoised lesions and their tables do not change who is in the
   * test. */
  for (int k = 0; k < groups; k++)
    if (per[k].n[0] + per[k].n[1] + per[k].n[2]) sub[nsub++] = k;
  split_shuffle(r->seed, STREAM_SUBJECTS, nsub, sub);
  split_shuffle(r->seed, STREAM_LESIONS, nles, les);
  split_targets(r, &all, train, test);
  choose_subjects(test, per, nsub, sub, in_test);
  s = split_deal(it, n, nles, r, &all, train, test, les, in_test, part, e);
done:
  mem_free(it);
  mem_free(per);
  mem_free(sub);
  mem_free(les);
  mem_free(in_test);
  return s;
}

int split_leaks(const SplitItem *it, int n, int subjects, const Part *part, int *first, Error *e) {
  uint8_t *seen = mem_alloc((size_t)subjects);
  int leaks = 0;
  *first = -1;
  if (!seen) return err_set(e, ST_NOMEM, "out of memory for the leak check"), -1;
  for (int i = 0; i < n; i++)
    if (part[i] != PART_NONE) seen[it[i].subject] |= part[i] == PART_TEST ? 2 : 1;
  for (int s = subjects - 1; s >= 0; s--)
    if (seen[s] == 3) {
      leaks++;
      *first = s;
    }
  mem_free(seen);
  return leaks;
}
