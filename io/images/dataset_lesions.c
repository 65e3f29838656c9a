/* dataset_lesions.c: where the images of a data set come from: lesion, subject, slice, window,
 * affine (tensors: see dataset.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/images/dataset.h"

void lesions_free(DatasetLesions *l) {
  if (!l) return;
  mem_free(l->name);
  mem_free(l->scan);
  mem_free(l->subject);
  mem_free(l->subject_of);
  mem_free(l->label);
  mem_free(l->dim);
  mem_free(l->affine);
  mem_free(l->lesion);
  mem_free(l->slice);
  mem_free(l->window);
  mem_free(l);
}

DatasetLesions *lesions_new(int64_t lesions, int64_t subjects, int64_t images, int channels) {
  DatasetLesions *l = mem_alloc(sizeof *l);
  if (!l) return NULL;
  const size_t n = (size_t)lesions, m = (size_t)images;
  l->n = lesions;
  l->nsubjects = subjects;
  l->name = mem_alloc(n * sizeof *l->name);
  l->scan = mem_alloc(n * sizeof *l->scan);
  l->subject = mem_alloc((size_t)subjects * sizeof *l->subject);
  l->subject_of = mem_alloc(n * sizeof *l->subject_of);
  l->label = mem_alloc(n * sizeof *l->label);
  l->dim = mem_alloc(n * 3 * sizeof *l->dim);
  l->affine = mem_alloc(n * 16 * sizeof *l->affine);
  l->lesion = mem_alloc(m * sizeof *l->lesion);
  l->slice = mem_alloc(m * sizeof *l->slice);
  l->window = mem_alloc(m * (size_t)channels * 2 * sizeof *l->window);
  if (l->name && l->scan && l->subject && l->subject_of && l->label && l->dim && l->affine &&
      l->lesion && l->slice && l->window)
    return l;
  lesions_free(l);
  return NULL;
}

static bool has_scans(const DatasetLesions *l) {
  for (int64_t i = 0; i < l->n; i++)
    if (l->scan[i][0]) return true;
  return false;
}

int64_t lesions_find(const DatasetLesions *l, const char *subject, const char *scan,
                     const char *name) {
  for (int64_t i = 0; i < l->n; i++)
    if (!strcmp(l->name[i], name) && !strcmp(l->scan[i], scan) &&
        !strcmp(l->subject[l->subject_of[i]], subject))
      return i;
  return -1;
}

int lesions_title(const DatasetLesions *l, int64_t i, char *out, size_t n) {
  return snprintf(out, n, "%s%s%s_lesion-%s", l->subject[l->subject_of[i]],
                  l->scan[i][0] ? "_" : "", l->scan[i], l->name[i]);
}

Status lesions_add(StWriter *w, const DatasetLesions *l, int64_t images, int channels,
                   int64_t **subject, Error *e) {
  *subject = mem_alloc((size_t)images * sizeof **subject);
  if (!*subject)
    return err_set(e, ST_NOMEM, "out of memory for the subjects of %lld images", (long long)images);
  for (int64_t i = 0; i < images; i++) (*subject)[i] = l->subject_of[l->lesion[i]];
  TRY(st_add(w, "lesion", DT_I64, SHAPE1(images), l->lesion, e));
  TRY(st_add(w, "subject", DT_I64, SHAPE1(images), *subject, e));
  TRY(st_add(w, "slice", DT_I64, SHAPE1(images), l->slice, e));
  TRY(st_add(w, "window", DT_F64, SHAPE3(images, channels, 2), l->window, e));
  TRY(st_add(w, "lesions.names", DT_U8, SHAPE2(l->n, 64), l->name, e));
  if (has_scans(l)) TRY(st_add(w, "lesions.scans", DT_U8, SHAPE2(l->n, 64), l->scan, e));
  TRY(st_add(w, "lesions.subject", DT_I64, SHAPE1(l->n), l->subject_of, e));
  TRY(st_add(w, "lesions.labels", DT_I64, SHAPE1(l->n), l->label, e));
  TRY(st_add(w, "lesions.dim", DT_I64, SHAPE2(l->n, 3), l->dim, e));
  TRY(st_add(w, "lesions.affine", DT_F64, SHAPE3(l->n, 4, 4), l->affine, e));
  return st_add(w, "subjects.names", DT_U8, SHAPE2(l->nsubjects, 64), l->subject, e);
}

/* ---- reading ---- */
static Status tensor_fetch(const StFile *f, const char *name, DType type, Shape want, void *dst,
                           Error *e) {
  char a[96], b[96];
  const StTensor *t = st_find(f, name);
  if (!t || t->dtype != type || !shape_eq(t->shape, want))
    return err_set(e, ST_FORMAT, "%s: tensor %s is %s %s; expected %s %s; pack the data again",
                   f->path, name, t ? dtype_name(t->dtype) : "missing",
                   t ? shape_str(t->shape, a) : "", dtype_name(type), shape_str(want, b));
  memcpy(dst, t->data, t->bytes);
  return ST_OK;
}

static Status lesions_check(const StFile *f, const DatasetLesions *l, int64_t images, int channels,
                            Error *e) {
  bool good = true;
  for (int64_t i = 0; i < l->n; i++) {
    l->name[i][63] = 0;
    l->scan[i][63] = 0;
    good = good && l->subject_of[i] >= 0 && l->subject_of[i] < l->nsubjects;
    for (int k = 0; k < 3; k++) good = good && l->dim[3 * i + k] >= 1 && l->dim[3 * i + k] <= 32767;
    for (int k = 0; k < 16; k++) good = good && isfinite(l->affine[16 * i + k]);
  }
  for (int64_t i = 0; i < l->nsubjects; i++) l->subject[i][63] = 0;
  for (int64_t i = 0; i < images && good; i++) {
    good = l->lesion[i] >= 0 && l->lesion[i] < l->n && l->slice[i] >= 0 &&
           l->slice[i] < l->dim[3 * l->lesion[i] + 2];
    for (int k = 0; k < 2 * channels; k++) good = good && isfinite(l->window[2 * channels * i + k]);
  }
  return good ? ST_OK
              : err_set(e, ST_FORMAT,
                        "%s: the tensors lesion, slice, lesions.* and window do not fit together; "
                        "pack the data again",
                        f->path);
}

static Status lesions_fill(const StFile *f, DatasetLesions *l, int64_t images, int channels,
                           Error *e) {
  const int64_t n = l->n;
  TRY(tensor_fetch(f, "lesion", DT_I64, SHAPE1(images), l->lesion, e));
  TRY(tensor_fetch(f, "slice", DT_I64, SHAPE1(images), l->slice, e));
  TRY(tensor_fetch(f, "window", DT_F64, SHAPE3(images, channels, 2), l->window, e));
  TRY(tensor_fetch(f, "lesions.names", DT_U8, SHAPE2(n, 64), l->name, e));
  if (st_find(f, "lesions.scans"))
    TRY(tensor_fetch(f, "lesions.scans", DT_U8, SHAPE2(n, 64), l->scan, e));
  TRY(tensor_fetch(f, "lesions.subject", DT_I64, SHAPE1(n), l->subject_of, e));
  TRY(tensor_fetch(f, "lesions.labels", DT_I64, SHAPE1(n), l->label, e));
  TRY(tensor_fetch(f, "lesions.dim", DT_I64, SHAPE2(n, 3), l->dim, e));
  TRY(tensor_fetch(f, "lesions.affine", DT_F64, SHAPE3(n, 4, 4), l->affine, e));
  TRY(tensor_fetch(f, "subjects.names", DT_U8, SHAPE2(l->nsubjects, 64), l->subject, e));
  return lesions_check(f, l, images, channels, e);
}

Status lesions_load(const StFile *f, int64_t images, int channels, DatasetLesions **out, Error *e) {
  const StTensor *names = st_find(f, "lesions.names"), *subjects = st_find(f, "subjects.names");
  *out = NULL;
  if (!st_find(f, "lesion") || !names || !subjects) return ST_OK;
  if (names->shape.rank != 2 || subjects->shape.rank != 2 || names->shape.dim[0] < 1 ||
      subjects->shape.dim[0] < 1)
    return err_set(e, ST_FORMAT,
                   "%s: tensors lesions.names and subjects.names have no rows; pack the data again",
                   f->path);
  DatasetLesions *l = lesions_new(names->shape.dim[0], subjects->shape.dim[0], images, channels);
  if (!l) return err_set(e, ST_NOMEM, "%s: out of memory", f->path);
  const Status s = lesions_fill(f, l, images, channels, e);
  if (s != ST_OK)
    lesions_free(l);
  else
    *out = l;
  return s;
}

/* ---- a part of a data set ---- */
Status dataset_select(Dataset *d, const int64_t *index, int64_t n, Error *e) {
  const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w,
               wper = (size_t)d->channels * 2;
  float *img = mem_alloc((size_t)n * per * sizeof *img);
  int64_t *labels = d->labels ? mem_alloc((size_t)n * sizeof *labels) : NULL;
  Name64 *names = mem_alloc((size_t)n * sizeof *names);
  DatasetLesions *src = d->src ? lesions_new(1, 1, n, d->channels) : NULL;
  if (!img || !names || (d->labels && !labels) || (d->src && !src)) {
    mem_free(img);
    mem_free(labels);
    mem_free(names);
    lesions_free(src);
    return err_set(e, ST_NOMEM, "%s: out of memory for %lld images; choose fewer", d->path,
                   (long long)n);
  }
  for (int64_t i = 0; i < n; i++) {
    const int64_t k = index[i];
    memcpy(img + (size_t)i * per, d->images + (size_t)k * per, per * sizeof *img);
    if (labels) labels[i] = d->labels[k];
    if (d->names && d->names[k][0])
      memcpy(names[i], d->names[k], 64);
    else
      snprintf(names[i], 64, "lesion%04lld", (long long)k);
    if (!src) continue;
    src->lesion[i] = d->src->lesion[k];
    src->slice[i] = d->src->slice[k];
    memcpy(src->window + (size_t)i * wper, d->src->window + (size_t)k * wper,
           wper * sizeof *src->window);
  }
  /* the lesions stay, the list of images is exchanged */
  if (src) {
    int64_t *t = d->src->lesion;
    d->src->lesion = src->lesion;
    src->lesion = t;
    t = d->src->slice;
    d->src->slice = src->slice;
    src->slice = t;
    double *u = d->src->window;
    d->src->window = src->window;
    src->window = u;
    lesions_free(src);
  }
  mem_free(d->images);
  mem_free(d->labels);
  mem_free(d->names);
  d->images = img;
  d->labels = labels;
  d->names = names;
  d->n = n;
  return ST_OK;
}
