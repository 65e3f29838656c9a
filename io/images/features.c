/* features.c: see features.h. */
#include "io/images/features.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/sha256.h"

void features_key(const Dataset *d, const char *how, char key[65]) {
  Sha256 s;
  int64_t dims[4] = {d->n, d->channels, d->h, d->w};
  sha256_begin(&s);
  sha256_numbers(&s, dims, COUNT_OF(dims), sizeof *dims);
  sha256_numbers(&s, d->images, (size_t)(d->n * d->channels * d->h * d->w), sizeof(float));
  sha256_add(&s, how, strlen(how));
  sha256_end(&s, key);
}

void features_path(const char *dir, const char key[65], char *out, size_t n) {
  snprintf(out, n, "%s/features-%.16s.safetensors", dir, key);
}

void features_free(FeatureFile *f) {
  mem_free(f->x);
  memset(f, 0, sizeof *f);
}

static Status read_rows(FeatureFile *f, const StFile *st, Error *e) {
  const StTensor *t = st_find(st, "features");
  char b[96];
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: no tensor \"features\"; expected a file of features or a data set",
                   st->path);
  if (t->shape.rank != 2 || t->shape.dim[1] < 1)
    return err_set(e, ST_FORMAT, "%s: features are %s; expected [images, dimensions]", st->path,
                   shape_str(t->shape, b));
  int64_t n = shape_numel(t->shape);
  const char *net = st_meta(st, "network"), *conv = st_meta(st, "convention");
  snprintf(f->network, sizeof f->network, "%s", net ? net : "unnamed network");
  snprintf(f->convention, sizeof f->convention, "%s", conv ? conv : "unnamed convention");
  f->n = t->shape.dim[0];
  f->d = t->shape.dim[1];
  if (!(f->x = mem_alloc((size_t)n * sizeof(float))))
    return err_set(e, ST_NOMEM, "%s: out of memory for %lld features", st->path, (long long)n);
  st_to_f32(t, f->x);
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(f->x[i]))
      return err_set(e, ST_NUMERIC,
                     "%s: feature %lld of image %lld is not finite; compute the features again",
                     st->path, (long long)(i % f->d), (long long)(i / f->d));
  return ST_OK;
}

Status features_open(FeatureFile *f, const char *path, Error *e) {
  memset(f, 0, sizeof *f);
  StFile st;
  TRY(st_open(&st, path, e));
  const char *images = st_meta(&st, "images");
  Status s = read_rows(f, &st, e);
  if (s != ST_OK) goto done;
  if (images && atoll(images) > f->n)
    s = err_set(e, ST_FORMAT,
                "%s: features of %lld of %s images: the run that made it was interrupted; give the "
                "data set instead, the rest will be computed",
                path, (long long)f->n, images);
done:
  st_close(&st);
  if (s != ST_OK) features_free(f);
  return s;
}

Status features_cached(FeatureFile *f, const char *path, const char key[65], int64_t d,
                       int64_t images, Error *e) {
  memset(f, 0, sizeof *f);
  if (!file_exists(path)) return ST_OK;
  StFile st;
  Error ignored;
  /* a damaged cache costs time, nothing else */
  if (st_open(&st, path, &ignored) != ST_OK) return ST_OK;
  const char *k = st_meta(&st, "key");
  Status s = k && !strcmp(k, key) ? read_rows(f, &st, &ignored) : ST_FORMAT;
  st_close(&st);
  if (s == ST_NOMEM) return err_set(e, s, "%s", ignored.msg);
  if (s != ST_OK || f->d != d || f->n > images) features_free(f);
  return ST_OK;
}

static Status features_add(StWriter *w, const FeatureFile *f, const char key[65], int64_t images,
                           Error *e) {
  TRY(st_add_meta(w, "format", "prlx-features-1", e));
  TRY(st_add_meta(w, "key", key, e));
  TRY(st_add_metaf(w, e, "images", "%lld", (long long)images));
  TRY(st_add_meta(w, "network", f->network, e));
  TRY(st_add_meta(w, "convention", f->convention, e));
  return st_add(w, "features", DT_F32, SHAPE2(f->n, f->d), f->x, e);
}

Status features_save(const FeatureFile *f, const char *path, const char key[65], int64_t images,
                     Error *e) {
  StWriter *w = NULL;
  TRY(st_writer_new(&w, e));
  const Status s = features_add(w, f, key, images, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

bool features_is_file(const char *path) {
  StFile st;
  Error ignored;
  if (st_open(&st, path, &ignored) != ST_OK) return false;
  bool yes = st_find(&st, "features") != NULL;
  st_close(&st);
  return yes;
}
