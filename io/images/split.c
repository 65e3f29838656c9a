/* split.c: see split.h */
#include "io/images/split.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/rng.h"
#include "io/formats/checksum.h"
#include "io/images/dataset.h"

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

/* ---- between files ---- */
/* Sorted by name; `file` tells where from. */
typedef struct Entry {
  const char *a;
  const char *b;
  uint64_t key;
  int file;
} Entry;
static int by_entry(const void *x, const void *y) {
  const Entry *p = x, *q = y;
  int d = p->a ? strcmp(p->a, q->a) : (p->key > q->key) - (p->key < q->key);
  if (!d && p->b) d = strcmp(p->b, q->b);
  return d ? d : (p->file > q->file) - (p->file < q->file);
}

static const Entry *first_pair(Entry *t, int64_t n,
                               bool (*bad)(const Entry *, const Entry *, const void *),
                               const void *ctx) {
  qsort(t, (size_t)n, sizeof *t, by_entry);
  for (int64_t i = 1; i < n; i++) {
    const bool same = t[i].a
                          ? !strcmp(t[i].a, t[i - 1].a) && (!t[i].b || !strcmp(t[i].b, t[i - 1].b))
                          : t[i].key == t[i - 1].key;
    if (same && t[i].file != t[i - 1].file && bad(&t[i - 1], &t[i], ctx)) return &t[i - 1];
  }
  return NULL;
}

typedef struct File {
  Dataset d;
  bool test;
  bool ambiguous;
} File;
/* Training and the ambiguous set may share subjects; a test set shares them with nobody, a file of
 * unknown kind neither. */
static bool bad_subject(const Entry *a, const Entry *b, const void *ctx) {
  const File *f = ctx;
  return f[a->file].test || f[b->file].test;
}

static bool bad_any(const Entry *a, const Entry *b, const void *ctx) { return true; }

static uint64_t image_key(const float *img, size_t bytes) {
  const uint32_t c = crc32_ieee(0, img, bytes), d = crc32_ieee(0x9e3779b9u, img, bytes / 2);
  return (uint64_t)c << 32 | d;
}

static Status files_compare(const File *f, int n, char *const *paths, Error *e) {
  int64_t subjects = 0, lesions = 0, images = 0, ns = 0, nl = 0, ni = 0;
  for (int k = 0; k < n; k++) {
    subjects += f[k].d.src->nsubjects;
    lesions += f[k].d.src->n;
    images += f[k].d.n;
  }
  Entry *t = mem_alloc((size_t)(subjects + lesions + images) * sizeof *t);
  if (!t) return err_set(e, ST_NOMEM, "out of memory for the leak check");
  Entry *tl = t + subjects, *ti = tl + lesions;
  for (int k = 0; k < n; k++) {
    const Dataset *d = &f[k].d;
    const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w;
    for (int64_t i = 0; i < d->src->nsubjects; i++)
      t[ns++] = (Entry){d->src->subject[i], NULL, 0, k};
    for (int64_t i = 0; i < d->src->n; i++)
      tl[nl++] = (Entry){d->src->subject[d->src->subject_of[i]], d->src->name[i], 0, k};
    for (int64_t i = 0; i < d->n; i++)
      ti[ni++] =
          (Entry){NULL, NULL, image_key(d->images + (size_t)i * per, per * sizeof(float)), k};
  }
  Status s = ST_OK;
  const Entry *p;
  if ((p = first_pair(t, ns, bad_subject, f)))
    s = err_set(e, ST_INVALID,
                "LEAK: subject %s is in %s and in %s; a subject may be on one side only; pack both "
                "in one run of prlx pack",
                p->a, paths[p[0].file], paths[p[1].file]);
  else if ((p = first_pair(tl, nl, bad_any, f)))
    s = err_set(
        e, ST_INVALID,
        "LEAK: lesion %s of subject %s is in %s and in %s; pack both in one run of prlx pack", p->b,
        p->a, paths[p[0].file], paths[p[1].file]);
  else if ((p = first_pair(ti, ni, bad_any, f)))
    s = err_set(e, ST_INVALID,
                "LEAK: an image is in %s and, to the bit, in %s; pack both in one run of prlx pack",
                paths[p[0].file], paths[p[1].file]);
  mem_free(t);
  return s;
}

static Status file_open(File *f, const char *path, Error *e) {
  TRY(dataset_open(&f->d, path, e));
  const char *part = dataset_meta(&f->d, "split");
  f->ambiguous = part && !strcmp(part, "ambiguous");
  f->test = !part || !(f->ambiguous || !strcmp(part, "train"));
  if (f->d.src) return ST_OK;
  return err_set(
      e, ST_INVALID,
      "%s: does not say which subjects its images come from; pack it again from lesions.tsv", path);
}

Status leak_check_files(int n, char *const *paths, Error *e) {
  File *f = mem_alloc((size_t)n * sizeof *f);
  if (!f) return err_set(e, ST_NOMEM, "out of memory");
  Status s = ST_OK;
  for (int k = 0; k < n; k++) {
    s = file_open(&f[k], paths[k], e);
    if (s != ST_OK) goto done;
  }
  s = files_compare(f, n, paths, e);
done:
  for (int k = 0; k < n; k++) dataset_free(&f[k].d);
  mem_free(f);
  return s;
}
