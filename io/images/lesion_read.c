/* lesion_read.c: the volumes of one row of lesions.tsv, on one grid whose axes run right, anterior,
 * superior, whatever way they were stored. */
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/nifti.h"
#include "io/images/lesion.h"
#include "io/images/match.h"

enum { MAX_SIDE = 1024 };

/* What the volumes of a row have in common while they are read. */
typedef struct Reading {
  const Cohort *cohort;
  const Lesion *lesion;
  NanRule nan;
  NiftiHeader chi; /* as stored: the others are matched with it */
  LesionVolumes *out;
  char *warning; /* LESION_WARNING bytes */
} Reading;

/* "TABLE: row 7: FILE", or the file alone when there is no table. */
static void lesion_where(const Reading *r, const char *path, char out[600]) {
  if (r->cohort->table.path)
    snprintf(out, 600, "%.250s: row %d: %.300s", r->cohort->table.path, r->lesion->line, path);
  else
    snprintf(out, 600, "%.550s", path);
}

static void lesion_warn(Reading *r, const char *fmt, ...) {
  size_t n = strlen(r->warning);
  if (n && n + 3 < LESION_WARNING) n += (size_t)sprintf(r->warning + n, "; ");
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(r->warning + n, LESION_WARNING - n, fmt, ap);
  va_end(ap);
}

/* ---- one volume ---- */
static Status check_size(const NiftiHeader *h, const char *where, Error *e) {
  TRY(volume_check(h, "", where, e));
  const int64_t *d = h->dim + 1;
  if (d[0] <= MAX_SIDE && d[1] <= MAX_SIDE && d[2] <= MAX_SIDE) return ST_OK;
  return err_set(e, ST_FORMAT, "%s: %lld x %lld x %lld voxels; expected at most %d each way", where,
                 (long long)d[0], (long long)d[1], (long long)d[2], MAX_SIDE);
}

static Status other_grid(const Reading *r, const NiftiHeader *h, const char *what,
                         const char *where, Error *e) {
  const int64_t *d = h->dim + 1, *w = r->chi.dim + 1;
  const Grid a = grid_of(h), b = grid_of(&r->chi);
  const double gap = grid_distance(&a, &b);
  if (isinf(gap))
    return err_set(e, ST_FORMAT,
                   "%s: %s of %lld x %lld x %lld voxels, chi has %lld x %lld x %lld; expected the "
                   "same grid; resample it, or cut all from whole volumes with prlx crop",
                   where, what, (long long)d[0], (long long)d[1], (long long)d[2], (long long)w[0],
                   (long long)w[1], (long long)w[2]);
  return err_set(e, ST_FORMAT,
                 "%s: %s lies up to %.3g mm away from chi (other affine); expected the same grid; "
                 "resample it, or cut all from whole volumes with prlx crop",
                 where, what, gap);
}

/* The grid by which the volume is copied. */
static Status place_volume(Reading *r, const Nifti *n, const char *what, const char *where, Grid *g,
                           Error *e) {
  Match m;
  TRY(volume_match(&r->chi, &n->head, what, where, &m, e));
  if (m.kind == MATCH_NONE || m.kind == MATCH_PART) return other_grid(r, &n->head, what, where, e);
  if (m.note[0]) lesion_warn(r, "%s", m.note);
  *g = m.grid;
  return ST_OK;
}

/* Voxels of n, which lie on grid g, as voxels of out->grid: the same memory where nothing moves. */
static Status turn_volume(const Reading *r, Nifti *n, const Grid *g, float **out, Error *e) {
  const Grid *to = &r->out->grid;
  if (!memcmp(g->dim, to->dim, sizeof g->dim) && grid_distance(g, to) < 1e-6) {
    *out = n->data;
    n->data = NULL;
    return ST_OK;
  }
  if (!(*out = mem_alloc((size_t)grid_voxels(to) * sizeof **out)))
    return err_set(e, ST_NOMEM, "%s: out of memory", n->path);
  return grid_resample(n->data, g, *out, to, INTERP_NEAREST, 0, e);
}

static Status take_volume(Reading *r, Nifti *n, const char *what, const char *where, float **out,
                          Error *e) {
  LesionVolumes *v = r->out;
  Grid g;
  TRY(check_size(&n->head, where, e));
  if (out == &v->vol[CH_CHI]) {
    r->chi = n->head;
    g = grid_of(&n->head);
    v->grid = grid_canonical(&n->head);
  } else
    TRY(place_volume(r, n, what, where, &g, e));
  if (r->nan == NAN_REFUSE)
    TRY(check_finite(n->data, n->head.dim + 1, where, "replace it, by 0 outside the head", e));
  const int64_t bad = count_not_finite(n->data, n->nvox);
  if (bad) {
    lesion_warn(r, "%s: %lld voxels are NaN or infinite: %s", what, (long long)bad,
                r->nan == NAN_NEIGHBOURS ? "filled from their neighbours" : "taken as 0");
    TRY(fill_not_finite(n->data, n->head.dim + 1, r->nan, NULL, e));
  }
  if (n->head.warning[0]) lesion_warn(r, "%s: %s", what, n->head.warning);
  return turn_volume(r, n, &g, out, e);
}

static Status read_one(Reading *r, const char *path, const char *what, float **out, Error *e) {
  char where[600];
  Nifti n;
  Error inner = {0};
  lesion_where(r, path, where);
  Status s = nifti_read(path, &n, &inner);
  if (s != ST_OK) {
    if (r->cohort->table.path)
      return err_set(e, s, "%.250s: row %d: %.700s", r->cohort->table.path, r->lesion->line,
                     inner.msg);
    *e = inner;
    return s;
  }
  s = take_volume(r, &n, what, where, out, e);
  nifti_free(&n);
  return s;
}

/* A mask of fractions is a probability map: inside is where it has at least a half. Noise about
 * whole numbers is not. */
static void settle_mask(Reading *r) {
  float *m = r->out->mask;
  const int64_t n = grid_voxels(&r->out->grid);
  int64_t fractions = 0;
  for (int64_t i = 0; i < n; i++) fractions += fabsf(m[i] - rintf(m[i])) > 0.01f;
  for (int64_t i = 0; i < n; i++)
    if (m[i] != rintf(m[i])) m[i] = fractions ? m[i] >= 0.5f : rintf(m[i]);
  if (fractions)
    lesion_warn(r, "the lesion mask holds fractions in %lld voxels: inside is 0.5 and more",
                (long long)fractions);
}

/* The k-th smallest of p[0..n-1], which is reordered (Hoare 1961). */
static float select_kth(float *p, int64_t n, int64_t k) {
  for (int64_t lo = 0, hi = n - 1; lo < hi;) {
    const float pivot = p[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (p[i] < pivot) i++;
      while (p[j] > pivot) j--;
      if (i > j) break;
      const float t = p[i];
      p[i++] = p[j];
      p[j--] = t;
    }
    if (k <= j)
      hi = j;
    else if (k >= i)
      lo = i;
    else
      break;
  }
  return p[k];
}

static Status positive_median(const float *v, int64_t n, double *out, Error *e) {
  float *p = mem_alloc((size_t)n * sizeof *p);
  int64_t m = 0;
  if (!p) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < n; i++)
    if (v[i] > 0) p[m++] = v[i];
  *out = m ? 0.5 * ((double)select_kth(p, m, (m - 1) / 2) + select_kth(p, m, m / 2)) : 0;
  mem_free(p);
  return ST_OK;
}

static Status no_channel(const Reading *r, const char *channel, Error *e) {
  const Cohort *c = r->cohort;
  const Lesion *l = r->lesion;
  if (c->table.path)
    return err_set(e, ST_FORMAT,
                   "%s: row %d: no %s file; the channels asked for need it; fill it in or leave "
                   "%s out of --channels",
                   c->table.path, l->line, channel, channel);
  return err_set(
      e, ST_INVALID,
      "%s: channel %s needs a lesions.tsv that names its file; a single volume has only chi",
      l->chi, channel);
}

/* What it has read so far is in r->out, for lesion_free. */
static Status volumes_read(Reading *r, unsigned channels, ChiUnits units, Error *e) {
  const Lesion *l = r->lesion;
  LesionVolumes *v = r->out;
  const char *const path[CH_COUNT] = {l->chi, l->rim, l->flair};
  char where[600];
  TRY(read_one(r, l->chi, "chi", &v->vol[CH_CHI], e));
  for (int k = CH_RIM; k < CH_COUNT; k++) {
    if (!(channels >> k & 1)) continue;
    if (!path[k]) return no_channel(r, channel_name((Channel)k), e);
    TRY(read_one(r, path[k], channel_name((Channel)k), &v->vol[k], e));
  }
  if (l->mask) {
    TRY(read_one(r, l->mask, "the lesion mask", &v->mask, e));
    settle_mask(r);
  }
  lesion_where(r, l->chi, where);
  TRY(chi_check_units(v->vol[CH_CHI], grid_voxels(&v->grid), units, where, e));
  TRY(chi_check_sidecar(l->chi, units, e));
  for (int k = 0; k < CH_COUNT; k++) v->scale[k] = k == CH_CHI && units == UNITS_PPM ? 1000 : 1;
  if (!v->vol[CH_FLAIR]) return ST_OK;
  TRY(positive_median(v->vol[CH_FLAIR], grid_voxels(&v->grid), &v->flair_median, e));
  if (v->flair_median > 0) return ST_OK;
  lesion_where(r, l->flair, where);
  return err_set(e, ST_FORMAT,
                 "%s: FLAIR without positive values; expected an image; correct the file", where);
}

Status lesion_read(const Cohort *c, int i, unsigned channels, ChiUnits units, NanRule nan,
                   LesionVolumes *v, char *warning, Error *e) {
  Reading r = {.cohort = c, .lesion = &c->lesion[i], .nan = nan, .out = v, .warning = warning};
  memset(v, 0, sizeof *v);
  warning[0] = 0;
  const Status s = volumes_read(&r, channels, units, e);
  if (s != ST_OK) lesion_free(v);
  return s;
}
