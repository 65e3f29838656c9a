/* dataset.c: image patches in one .safetensors file. */
#include "io/images/dataset.h"
#include <math.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/png.h"

#define DATASET_FORMAT "prlx-dataset-1"

void dataset_free(Dataset *d) {
  for (int i = 0; i < d->nmeta; i++) {
    mem_free(d->meta[i].key);
    mem_free(d->meta[i].value);
  }
  mem_free(d->meta);
  mem_free(d->images);
  mem_free(d->labels);
  mem_free(d->names);
  lesions_free(d->src);
  mem_free(d->path);
  memset(d, 0, sizeof *d);
}

const char *dataset_meta(const Dataset *d, const char *key) {
  for (int i = 0; i < d->nmeta; i++)
    if (strcmp(d->meta[i].key, key) == 0) return d->meta[i].value;
  return NULL;
}

Status dataset_set_meta(Dataset *d, const char *key, const char *value, Error *e) {
  int i = 0;
  while (i < d->nmeta && strcmp(d->meta[i].key, key) != 0) i++;
  StMeta m = {mem_strdup(key), mem_strdup(value)};
  StMeta *list = m.key && m.value ? i < d->nmeta ? d->meta
                                                 : mem_grow(d->meta, (size_t)d->nmeta * sizeof m,
                                                            (size_t)(d->nmeta + 1) * sizeof m)
                                  : NULL;
  if (!list) {
    mem_free(m.key);
    mem_free(m.value);
    return err_set(e, ST_NOMEM, "%s: out of memory", d->path ? d->path : "dataset");
  }
  d->meta = list;
  if (i < d->nmeta) {
    mem_free(d->meta[i].key);
    mem_free(d->meta[i].value);
  } else
    d->nmeta++;
  d->meta[i] = m;
  return ST_OK;
}

static Status dataset_alloc(Dataset *d, bool labels, bool names, Error *e) {
  const size_t per = (size_t)d->channels * (size_t)d->h * (size_t)d->w, n = (size_t)d->n;
  size_t bytes;
  const double all = (double)n * ((double)per * sizeof *d->images + (names ? 64 : 0) + 8),
               most = (double)os_memory_available();
  if (most > 0 && all > most)
    return err_set(e, ST_NOMEM,
                   "%s: its %lld images need %.1f GB of memory; this machine has %.1f; split it or "
                   "use a larger machine",
                   d->path, (long long)d->n, all / 1e9, most / 1e9);
  /* bytes in the file are floats here: four times as many, which 32 bits may not hold */
  if (mul_ok(per * sizeof *d->images, (uint64_t)d->n, &bytes)) d->images = mem_alloc(bytes);
  if (labels) d->labels = mem_alloc(n * sizeof *d->labels);
  if (names) d->names = mem_alloc(n * sizeof *d->names);
  if (d->images && (!labels || d->labels) && (!names || d->names)) return ST_OK;
  return err_set(e, ST_NOMEM, "%s: out of memory for %lld images", d->path, (long long)d->n);
}

/* The limit catches data in ppb or 0..255 that was never mapped. What a network painted is in its
 * units by construction, however wild. */
static Status check_values(const Dataset *d, Error *e) {
  int64_t per = (int64_t)d->channels * d->h * d->w;
  float limit =
      dataset_meta(d, "synthetic.network") || dataset_meta(d, "denoised.network") ? 1e4f : 4;
  for (int64_t i = 0; i < d->n * per; i++)
    if (!(fabsf(d->images[i]) <= limit)) /* also true for NaN */
      return err_set(e, ST_NUMERIC,
                     "%s: image %lld holds %g; expected values within -%g .. %g (window mapped to "
                     "-1 .. 1); pack the data again",
                     d->path, (long long)(i / per), (double)d->images[i], (double)limit,
                     (double)limit);
  return ST_OK;
}

static Status dataset_load(Dataset *d, const StFile *f, Error *e) {
  char b[96];
  const char *format = st_meta(f, "format");
  const StTensor *t = st_find(f, "images"), *l = st_find(f, "labels"), *m = st_find(f, "names");
  if (!format || strcmp(format, DATASET_FORMAT) != 0)
    return err_set(e, ST_FORMAT, "%s: metadata format is %.40s; expected %s (made by `prlx pack`)",
                   d->path, format ? format : "absent", DATASET_FORMAT);
  if (!t || t->shape.rank != 4 || (t->dtype != DT_F32 && t->dtype != DT_U8))
    return err_set(e, ST_FORMAT, "%s: tensor images is %s%s%s; expected [n,C,H,W] of F32 or U8%s",
                   d->path, t ? dtype_name(t->dtype) : "", t ? " " : "",
                   t ? shape_str(t->shape, b) : "missing",
                   t ? "; store it so, values of the window mapped to -1 .. 1" : "");
  d->n = t->shape.dim[0];
  if (d->n < 1 || t->shape.dim[1] < 1 || t->shape.dim[1] > 16 || t->shape.dim[2] < 1 ||
      t->shape.dim[3] < 1 || t->shape.dim[2] > 4096 || t->shape.dim[3] > 4096)
    return err_set(
        e, ST_FORMAT,
        "%s: images of shape %s; expected at least one image, 1 to 16 channels, sides up to 4096",
        d->path, shape_str(t->shape, b));
  d->channels = (int)t->shape.dim[1];
  d->h = (int)t->shape.dim[2];
  d->w = (int)t->shape.dim[3];
  if (l && (l->shape.rank != 1 || l->shape.dim[0] != d->n || l->dtype != DT_I64))
    return err_set(e, ST_FORMAT, "%s: labels of shape %s, type %s; expected I64, one per image",
                   d->path, shape_str(l->shape, b), dtype_name(l->dtype));
  if (m &&
      (m->shape.rank != 2 || m->shape.dim[0] != d->n || m->shape.dim[1] != 64 || m->dtype != DT_U8))
    return err_set(e, ST_FORMAT, "%s: names of shape %s, type %s; expected U8 [n,64]", d->path,
                   shape_str(m->shape, b), dtype_name(m->dtype));
  TRY(dataset_alloc(d, l != NULL, m != NULL, e));
  st_to_f32(t, d->images);
  if (t->dtype == DT_U8)
    for (size_t i = 0; i < t->bytes; i++) d->images[i] = (float)(d->images[i] / 127.5 - 1);
  if (l) memcpy(d->labels, l->data, l->bytes);
  if (m) memcpy(d->names, m->data, m->bytes);
  for (int64_t i = 0; m && i < d->n; i++) d->names[i][63] = 0;
  for (int i = 0; i < f->nmeta; i++) TRY(dataset_set_meta(d, f->meta[i].key, f->meta[i].value, e));
  TRY(lesions_load(f, d->n, d->channels, &d->src, e));
  return check_values(d, e);
}

Status dataset_open(Dataset *d, const char *path, Error *e) {
  StFile f;
  memset(d, 0, sizeof *d);
  TRY(st_open(&f, path, e));
  d->path = mem_strdup(path);
  const Status s =
      d->path ? dataset_load(d, &f, e) : err_set(e, ST_NOMEM, "%s: out of memory", path);
  st_close(&f);
  if (s != ST_OK) dataset_free(d);
  return s;
}

static void name_from_path(char name[64], const char *path) {
  const char *base = strrchr(path, '/');
  base = base ? base + 1 : path;
  size_t n = strlen(base);
  memcpy(name, base, PRLX_MIN(n, (size_t)63)); /* the rest is zero */
}

/* One file into px [h*w]. */
static Status dataset_read_png(const Dataset *d, const char *path, float *px, bool *colour,
                               Error *e) {
  Image img;
  TRY(png_read(path, &img, e));
  if (img.w != d->w || img.h != d->h) {
    err_set(e, ST_FORMAT, "%s: %d x %d pixels; expected %d x %d; crop or resample it first", path,
            img.w, img.h, d->w, d->h);
    image_free(&img);
    return ST_FORMAT;
  }
  const Status s = image_is_grey(&img, path, e);
  if (s == ST_OK) image_grey(&img, px, colour);
  image_free(&img);
  if (s != ST_OK) return s;
  /* grey levels of 8-bit files come out exact, as from a U8 data set */
  for (int64_t k = 0; k < (int64_t)d->h * d->w; k++) {
    double v = px[k] * 255.0, r = rint(v);
    px[k] = (float)((fabs(v - r) < 1e-4 ? r : v) / 127.5 - 1);
  }
  return ST_OK;
}

static Status dataset_read_pngs(Dataset *d, const char *const *paths, Error *e) {
  bool any_colour = false;
  if (!d->path) return err_set(e, ST_NOMEM, "out of memory");
  TRY(dataset_alloc(d, false, true, e));
  for (int64_t i = 0; i < d->n; i++) {
    bool colour;
    TRY(dataset_read_png(d, paths[i], d->images + i * d->h * d->w, &colour, e));
    any_colour |= colour;
    name_from_path(d->names[i], paths[i]);
  }
  TRY(dataset_set_meta(d, "format", DATASET_FORMAT, e));
  TRY(dataset_set_meta(d, "channels", "chi", e));
  TRY(dataset_set_meta(d, "window.chi", "display", e));
  if (!any_colour) return ST_OK;
  return dataset_set_meta(d, "conversion", "colour averaged to grey (Rec. 601 luma)", e);
}

Status dataset_from_pngs(Dataset *d, int n, const char *const *paths, int resolution, Error *e) {
  memset(d, 0, sizeof *d);
  if (n < 1 || resolution < 1 || resolution > 4096)
    return err_set(e, ST_INVALID, "%d images of side %d; expected at least one, side 1 to 4096", n,
                   resolution);
  *d = (Dataset){.n = n,
                 .channels = 1,
                 .h = resolution,
                 .w = resolution,
                 .path = mem_strdup("dataset from PNG files")};
  const Status s = dataset_read_pngs(d, paths, e);
  if (s != ST_OK) dataset_free(d);
  return s;
}

/* U8 is for data that came from 8 bits: a value that is no whole level is refused rather than
 * rounded in silence. */
static Status dataset_quantise(const Dataset *d, uint8_t *q, const char *path, Error *e) {
  int64_t per = (int64_t)d->channels * d->h * d->w;
  for (int64_t i = 0; i < d->n * per; i++) {
    double v = ((double)d->images[i] + 1) * 127.5, r = rint(v);
    if (!(r >= 0 && r <= 255 && fabs(v - r) < 1e-3))
      return err_set(e, ST_INVALID,
                     "%s: image %lld holds %g, which 8 bits cannot hold exactly; save it as F32",
                     path, (long long)(i / per), (double)d->images[i]);
    q[i] = (uint8_t)r;
  }
  return ST_OK;
}

/* What a writer needs until its commit. */
typedef struct SaveBuffers {
  uint8_t *levels;  /* [n,C,H,W], for U8 only */
  int64_t *subject; /* [n], see lesions_add */
} SaveBuffers;
static Status dataset_add(StWriter *w, const Dataset *d, const char *path, bool as_u8, StFill fill,
                          void *ctx, SaveBuffers *b, Error *e) {
  const Shape shape = SHAPE4(d->n, d->channels, d->h, d->w);
  if (!dataset_meta(d, "format")) TRY(st_add_meta(w, "format", DATASET_FORMAT, e));
  for (int i = 0; i < d->nmeta; i++) TRY(st_add_meta(w, d->meta[i].key, d->meta[i].value, e));
  if (fill)
    TRY(st_add_stream(w, "images", DT_F32, shape, fill, ctx, e));
  else if (as_u8) {
    b->levels = mem_alloc((size_t)shape_numel(shape));
    if (!b->levels) return err_set(e, ST_NOMEM, "%s: out of memory", path);
    TRY(dataset_quantise(d, b->levels, path, e));
    TRY(st_add(w, "images", DT_U8, shape, b->levels, e));
  } else
    TRY(st_add(w, "images", DT_F32, shape, d->images, e));
  if (d->labels) TRY(st_add(w, "labels", DT_I64, SHAPE1(d->n), d->labels, e));
  if (d->names) TRY(st_add(w, "names", DT_U8, SHAPE2(d->n, 64), d->names, e));
  return d->src ? lesions_add(w, d->src, d->n, d->channels, &b->subject, e) : ST_OK;
}

static Status dataset_write(const Dataset *d, const char *path, bool as_u8, StFill fill, void *ctx,
                            Error *e) {
  StWriter *w = NULL;
  SaveBuffers b = {NULL, NULL};
  TRY(st_writer_new(&w, e));
  Status s = dataset_add(w, d, path, as_u8, fill, ctx, &b, e);
  if (s == ST_OK)
    s = st_commit(w, path, e);
  else
    st_writer_free(w);
  mem_free(b.levels);
  mem_free(b.subject);
  return s;
}

Status dataset_save(const Dataset *d, const char *path, bool as_u8, Error *e) {
  return dataset_write(d, path, as_u8, NULL, NULL, e);
}

Status dataset_save_stream(const Dataset *d, const char *path, StFill fill, void *ctx, Error *e) {
  return dataset_write(d, path, false, fill, ctx, e);
}
