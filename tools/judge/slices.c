/* slices.c: see slices.h */
#include "tools/judge/slices.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/images/leak.h"

void slices_free(SliceSet *s) {
  mem_free(s->images);
  mem_free(s->label);
  mem_free(s->lesion);
  mem_free(s->row);
  memset(s, 0, sizeof *s);
}

Slices slices_view(const SliceSet *s) {
  return (Slices){s->images, s->label, s->n, s->channels, s->h, s->w};
}

/* The k-th name of a list with commas; false: there is none. */
static bool list_item(const char *list, int k, char out[32]) {
  for (; k > 0; k--) {
    list = strchr(list, ',');
    if (!list) return false;
    list++;
  }
  snprintf(out, 32, "%.*s", (int)PRLX_MIN(strcspn(list, ","), 31), list);
  return *out != 0;
}

Status channels_find(const Dataset *d, const char *channels, int *at, int *n, Error *e) {
  const char *have = dataset_meta(d, "channels");
  char want[32], name[32];
  if (!have || !strcmp(have, "unknown")) have = "chi";
  for (*n = 0; list_item(channels, *n, want); (*n)++) {
    int k = 0;
    while (k < d->channels && list_item(have, k, name) && strcmp(name, want)) k++;
    if (*n == 16 || k == d->channels || !list_item(have, k, name) || strcmp(name, want))
      return err_set(e, ST_INVALID,
                     "%s: no channel %s; it has %s (%d channel%s); expected %s, as --channels or "
                     "the model says; pack the data with them (prlx pack --channels)",
                     d->path, want, have, d->channels, d->channels == 1 ? "" : "s", channels);
    at[*n] = k;
  }
  return *n ? ST_OK
            : err_set(e, ST_INVALID,
                      "no channel in \"%s\"; expected names such as chi or chi,flair", channels);
}

/* ---- adding a data set ---- */

enum { CLASS_OF_FILE = -2 };
static Status split_arg(const char *arg, char *path, size_t n, int *cls, Error *e) {
  const char *colon = strrchr(arg, ':');
  *cls = CLASS_OF_FILE;
  if (colon && !strcmp(colon, ":rim"))
    *cls = 1;
  else if (colon && (!strcmp(colon, ":non-rim") || !strcmp(colon, ":nonrim")))
    *cls = 0;
  size_t len = *cls == CLASS_OF_FILE ? strlen(arg) : (size_t)(colon - arg);
  if (len >= n)
    return err_set(e, ST_INVALID, "path of %zu characters; expected fewer than %zu", len, n);
  memcpy(path, arg, len);
  path[len] = 0;
  return ST_OK;
}

static Status slices_grow(SliceSet *s, int64_t n, int64_t lesions, Error *e) {
  const size_t per = (size_t)s->channels * (size_t)s->h * (size_t)s->w * sizeof *s->images,
               a = (size_t)s->n, b = (size_t)(s->n + n);
  real *img = mem_grow(s->images, a * per, b * per);
  if (img) s->images = img;
  int64_t *label = mem_grow(s->label, a * sizeof *label, b * sizeof *label);
  if (label) s->label = label;
  int64_t *lesion = mem_grow(s->lesion, a * sizeof *lesion, b * sizeof *lesion);
  if (lesion) s->lesion = lesion;
  SliceLesion *row = mem_grow(s->row, (size_t)s->lesions * sizeof *row,
                              (size_t)(s->lesions + lesions) * sizeof *row);
  if (row) s->row = row;
  return img && label && lesion && row
             ? ST_OK
             : err_set(e, ST_NOMEM, "out of memory for %lld slices", (long long)(s->n + n));
}

static int64_t subject_index(SliceSet *s, int64_t rows, const char *subject) {
  for (int64_t i = 0; i < rows; i++)
    if (!strcmp(s->row[i].subject, subject)) return s->row[i].subject_index;
  return s->subjects++;
}

/* Unique within the subject, also where it was scanned several times: "ses-02_lesion-03". Data sets
 * keep names of images short enough for it to fit. */
static void slice_lesion_name(const DatasetLesions *src, int64_t i, char out[64]) {
  char text[160];
  snprintf(text, sizeof text, "%s%s%s", src->scan[i], src->scan[i][0] ? "_lesion-" : "",
           src->name[i]);
  snprintf(out, 64, "%.63s", text);
}

static void add_lesions(SliceSet *s, const Dataset *d, int cls) {
  const int64_t n = d->src ? d->src->n : d->n;
  for (int64_t k = 0; k < n; k++) {
    SliceLesion *r = &s->row[s->lesions + k];
    if (d->src) {
      slice_lesion_name(d->src, k, r->name);
      memcpy(r->subject, d->src->subject[d->src->subject_of[k]], 64);
      r->label = (int)d->src->label[k];
    } else {
      if (d->names && d->names[k][0])
        snprintf(r->name, sizeof r->name, "%.63s", d->names[k]);
      else
        snprintf(r->name, sizeof r->name, "image%lld", (long long)k);
      snprintf(r->subject, sizeof r->subject, "(file %lld image %lld)", (long long)s->lesions,
               (long long)k);
      r->label = d->labels ? (int)d->labels[k] : -1;
    }
    if (cls != CLASS_OF_FILE) r->label = cls;
    if (r->label < 0 || r->label > 2) r->label = -1;
    r->subject_index = subject_index(s, s->lesions + k, r->subject);
  }
}

Status slices_add(SliceSet *s, const char *arg, const char *channels, Error *e) {
  char path[PATH_LEN];
  int cls, at[16], nc;
  Dataset d;
  TRY(split_arg(arg, path, sizeof path, &cls, e));
  TRY(dataset_open(&d, path, e));
  Status st = channels_find(&d, channels, at, &nc, e);
  if (st != ST_OK) goto done;
  if (s->n && (d.h != s->h || d.w != s->w)) {
    st = err_set(e, ST_INVALID,
                 "%s: %d x %d pixels; the other data sets have %d x %d; crop them alike", path, d.w,
                 d.h, s->w, s->h);
    goto done;
  }
  s->channels = nc;
  s->h = d.h;
  s->w = d.w;
  st = slices_grow(s, d.n, d.src ? d.src->n : d.n, e);
  if (st != ST_OK) goto done;
  const int64_t hw = (int64_t)d.h * d.w;
  add_lesions(s, &d, cls);
  for (int64_t i = 0; i < d.n; i++) {
    int64_t l = s->lesions + (d.src ? d.src->lesion[i] : i);
    for (int c = 0; c < nc; c++)
      for (int64_t k = 0; k < hw; k++)
        s->images[((s->n + i) * nc + c) * hw + k] =
            (real)d.images[(i * d.channels + at[c]) * hw + k];
    s->lesion[s->n + i] = l;
    s->label[s->n + i] = s->row[l].label;
    s->row[l].slices++;
  }
  s->n += d.n;
  s->lesions += d.src ? d.src->n : d.n;
done:
  dataset_free(&d);
  return st;
}

void slices_filter(SliceSet *s, const bool *keep) {
  const size_t per = (size_t)s->channels * (size_t)s->h * (size_t)s->w;
  int64_t m = 0;
  for (int64_t i = 0; i < s->n; i++) {
    if (!keep[i]) {
      s->row[s->lesion[i]].slices--;
      continue;
    }
    memmove(s->images + (size_t)m * per, s->images + (size_t)i * per, per * sizeof *s->images);
    s->label[m] = s->label[i];
    s->lesion[m++] = s->lesion[i];
  }
  s->n = m;
}

/* ---- the same images on both sides ---- */
static const float *first_channel(const SliceSet *s, int64_t i) {
  return s->images + i * s->channels * s->h * s->w;
}

typedef struct SliceMark {
  ImageMark m;
  ImageThumb thumb;
} SliceMark;

static SliceMark *marks_of(const SliceSet *s) {
  SliceMark *m = mem_alloc((size_t)s->n * sizeof *m);
  for (int64_t i = 0; m && i < s->n; i++) {
    image_mark(first_channel(s, i), s->h, s->w, &m[i].m);
    image_thumb(first_channel(s, i), s->h, s->w, &m[i].thumb);
  }
  return m;
}

/* A tolerance of 0.02 is wide enough for an image that went through 8 bits (a PNG); the images then
 * decide. */
static bool slice_in(const SliceSet *s, const SliceMark *m, const float *img, const SliceMark *x) {
  for (int64_t i = 0; i < s->n; i++) {
    const float *own = first_channel(s, i);
    if (x->m.bits == m[i].m.bits) return true;
    if (!x->m.rich) continue;
    if (marks_near(&m[i].m, &x->m, 0.02) && image_same(own, img, s->h, s->w)) return true;
    if (thumbs_near(&m[i].thumb, &x->thumb, s->h == s->w) && image_same_cut(own, img, s->h, s->w))
      return true;
  }
  return false;
}

Status slices_warn_shared(const char *cmd, const SliceSet *train, const SliceSet *test, Error *e) {
  if (train->h != test->h || train->w != test->w) return ST_OK;
  SliceMark *a = marks_of(train), *b = marks_of(test);
  int64_t shared = 0;
  for (int64_t i = 0; a && b && i < test->n; i++)
    shared += slice_in(train, a, first_channel(test, i), &b[i]);
  const Status s = a && b ? ST_OK : err_set(e, ST_NOMEM, "out of memory to compare the sets");
  if (shared)
    fprintf(stderr,
            "prlx %s: note: %lld of %lld test images are training images, too (as they are, "
            "mirrored, turned, in 8 bits or in another window): the numbers below are of memory, "
            "not of new "
            "patients; split by subject (prlx pack --test)\n",
            cmd, (long long)shared, (long long)test->n);
  mem_free(a);
  mem_free(b);
  return s;
}
