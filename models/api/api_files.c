/* api_files.c: data sets, pictures and volumes of prlx.h. */
#include <string.h>
#include "io/formats/png.h"
#include "models/api/api.h"

/* ---- data sets ---- */

/* Hands over a data set that was opened or made with status s. */
static prlx_status dataset_give(prlx_dataset *d, Status s, Error *in, prlx_dataset **out,
                                prlx_error *e) {
  if (s != ST_OK) {
    mem_free(d);
    d = NULL;
  }
  *out = d;
  return api_return(s, in, e);
}

static prlx_dataset *dataset_room(prlx_dataset **out, prlx_error *e) {
  prlx_dataset *d = mem_alloc(sizeof *d);
  *out = NULL;
  if (!d) api_return(ST_NOMEM, &(Error){ST_NOMEM, "data set: out of memory"}, e);
  return d;
}

static Status dataset_zero(Dataset *d, int64_t n, int channels, int height, int width, bool labels,
                           Error *e) {
  size_t count, bytes;
  if (n < 1 || channels < 1 || channels > 16 || height < 1 || width < 1 || height > 4096 ||
      width > 4096)
    return err_set(e, ST_INVALID,
                   "data set of %lld images, %d channels, %d x %d; expected at least one image, 1 "
                   "to 16 channels, sides up to 4096",
                   (long long)n, channels, width, height);
  const size_t per = (size_t)channels * (size_t)height * (size_t)width;
  *d = (Dataset){.n = n, .channels = channels, .h = height, .w = width};
  if (mul_ok(per, (uint64_t)n, &count) && mul_ok(count, sizeof *d->images, &bytes)) {
    d->images = mem_alloc(bytes);
    d->labels = labels ? mem_alloc((size_t)n * sizeof *d->labels) : NULL;
  }
  if (d->images && (!labels || d->labels)) return ST_OK;
  dataset_free(d);
  return err_set(e, ST_NOMEM, "data set: out of memory for %lld images", (long long)n);
}

prlx_status prlx_dataset_new(int64_t n, int channels, int height, int width, bool labels,
                             prlx_dataset **out, prlx_error *e) {
  API_NEED(out, e);
  Error in;
  prlx_dataset *d = dataset_room(out, e);
  if (!d) return PRLX_NOMEM;
  const Status s = dataset_zero(&d->set, n, channels, height, width, labels, &in);
  return dataset_give(d, s, &in, out, e);
}

prlx_status prlx_dataset_open(const char *path, prlx_dataset **out, prlx_error *e) {
  API_NEED(path, e);
  API_NEED(out, e);
  Error in;
  prlx_dataset *d = dataset_room(out, e);
  if (!d) return PRLX_NOMEM;
  return dataset_give(d, dataset_open(&d->set, path, &in), &in, out, e);
}

prlx_status prlx_dataset_from_png(int n, const char *const *paths, int side, prlx_dataset **out,
                                  prlx_error *e) {
  API_NEED(paths, e);
  API_NEED(out, e);
  Error in;
  *out = NULL;
  for (int k = 0; k < n; k++) API_NEED(paths[k], e);
  prlx_dataset *d = dataset_room(out, e);
  if (!d) return PRLX_NOMEM;
  return dataset_give(d, dataset_from_pngs(&d->set, n, paths, side, &in), &in, out, e);
}

prlx_status prlx_dataset_save(const prlx_dataset *d, const char *path, prlx_error *e) {
  API_NEED(d, e);
  API_NEED(path, e);
  Error in;
  return api_return(dataset_save(&d->set, path, false, &in), &in, e);
}

void prlx_dataset_free(prlx_dataset *d) {
  if (!d) return;
  dataset_free(&d->set);
  mem_free(d);
}

int64_t prlx_dataset_count(const prlx_dataset *d) { return d ? d->set.n : 0; }
int prlx_dataset_channels(const prlx_dataset *d) { return d ? d->set.channels : 0; }
int prlx_dataset_height(const prlx_dataset *d) { return d ? d->set.h : 0; }
int prlx_dataset_width(const prlx_dataset *d) { return d ? d->set.w : 0; }
float *prlx_dataset_images(prlx_dataset *d) { return d ? d->set.images : NULL; }
int64_t *prlx_dataset_labels(prlx_dataset *d) { return d ? d->set.labels : NULL; }
const char *prlx_dataset_name(const prlx_dataset *d, int64_t i) {
  return d && d->set.names && i >= 0 && i < d->set.n ? d->set.names[i] : "";
}

const char *prlx_dataset_meta(const prlx_dataset *d, const char *key) {
  return d && key ? dataset_meta(&d->set, key) : NULL;
}

prlx_status prlx_dataset_set_meta(prlx_dataset *d, const char *key, const char *value,
                                  prlx_error *e) {
  API_NEED(d, e);
  API_NEED(key, e);
  API_NEED(value, e);
  Error in;
  return api_return(dataset_set_meta(&d->set, key, value, &in), &in, e);
}

/* ---- pictures ---- */

prlx_status prlx_png_write(const char *path, int width, int height, const float *image,
                           prlx_error *e) {
  API_NEED(path, e);
  API_NEED(image, e);
  Error in;
  if (width < 1 || height < 1 || width > 65535 || height > 65535)
    return api_return(
        err_set(&in, ST_INVALID, "%s: %d x %d pixels; expected 1 to 65535", path, width, height),
        &in, e);
  const size_t n = (size_t)width * (size_t)height;
  uint8_t *px = mem_alloc(n);
  if (!px) return api_return(err_set(&in, ST_NOMEM, "%s: out of memory", path), &in, e);
  for (size_t k = 0; k < n; k++) { /* the projector's mapping, SEMANTICS 8: truncated */
    const double x = ((double)image[k] + 1) * 127.5;
    px[k] = x >= 255 ? 255 : x > 0 ? (uint8_t)x : 0;
  }
  const Status s = png_write8(path, width, height, 1, px, &in);
  mem_free(px);
  return api_return(s, &in, e);
}

/* ---- volumes ---- */

prlx_status prlx_volume_read(const char *path, prlx_volume **out, prlx_error *e) {
  API_NEED(path, e);
  API_NEED(out, e);
  Error in;
  prlx_volume *v = mem_alloc(sizeof *v);
  *out = NULL;
  if (!v) return api_return(err_set(&in, ST_NOMEM, "%s: out of memory", path), &in, e);
  const Status s = nifti_read(path, &v->nifti, &in);
  if (s == ST_OK)
    *out = v;
  else
    mem_free(v);
  return api_return(s, &in, e);
}

void prlx_volume_free(prlx_volume *v) {
  if (!v) return;
  nifti_free(&v->nifti);
  mem_free(v);
}

const float *prlx_volume_data(const prlx_volume *v) { return v ? v->nifti.data : NULL; }
const int64_t *prlx_volume_dim(const prlx_volume *v) { return v ? v->nifti.head.dim + 1 : NULL; }
const double *prlx_volume_affine(const prlx_volume *v) { return v ? v->nifti.head.affine : NULL; }
const char *prlx_volume_warning(const prlx_volume *v) { return v ? v->nifti.head.warning : ""; }

prlx_status prlx_volume_write(const char *path, const float *data, const int64_t dim[4],
                              const double affine[16], const char *description, prlx_error *e) {
  API_NEED(path, e);
  API_NEED(data, e);
  API_NEED(dim, e);
  API_NEED(affine, e);
  Error in;
  return api_return(nifti_write(path, data, dim, affine, description ? description : "", &in), &in,
                    e);
}
