/* inceptionfile.c: see inceptionfile.h. */
#include "models/store/inceptionfile.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/sha256.h"
#include "models/store/netfile.h"

/* ---- weights ---- */

/* One number: X.scale or X.min. */
static Status read_scalar(const StFile *f, const char *name, const char *tail, double *v,
                          Error *e) {
  char full[160];
  snprintf(full, sizeof full, "%s.%s", name, tail);
  const StTensor *t = st_find(f, full);
  if (!t || shape_numel(t->shape) != 1)
    return err_set(e, ST_FORMAT, "%s: %s is stored in 8 bits but %s is %s; expected one number",
                   f->path, name, full, t ? "not a scalar" : "missing");
  st_to_f64(t, v);
  return isfinite(*v)
             ? ST_OK
             : err_set(e, ST_NUMERIC, "%s: %s is not finite; restore the file", f->path, full);
}

static Status read_param(const StFile *f, ParamEntry *p, Error *e) {
  const StTensor *t = st_find(f, p->name);
  char a[96], b[96];
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: tensor %s is missing; expected an Inception-v3 under pytorch-fid's names "
                   "(`prlx import` makes one)",
                   f->path, p->name);
  if (!shape_eq(t->shape, p->shape))
    return err_set(e, ST_FORMAT, "%s: tensor %s is %s; expected %s", f->path, p->name,
                   shape_str(t->shape, a), shape_str(p->shape, b));
  st_to_f32(t, p->data);
  double scale = 1, min = 0;
  if (t->dtype == DT_U8) {
    TRY(read_scalar(f, p->name, "scale", &scale, e));
    TRY(read_scalar(f, p->name, "min", &min, e));
  }
  for (int64_t i = 0; i < p->numel; i++) {
    if (t->dtype == DT_U8) p->data[i] = (float)((double)p->data[i] * scale + min);
    if (!isfinite(p->data[i]))
      return err_set(e, ST_NUMERIC, "%s: tensor %s is not finite at element %lld; restore the file",
                     f->path, p->name, (long long)i);
  }
  return ST_OK;
}

static void inception_describe(Inception *v, const StFile *f, bool bundled) {
  const char *name = st_meta(f, "name"), *pool = st_meta(f, "pool7c"),
             *source = st_meta(f, "source"), *slash = strrchr(f->path, '/');
  bool nsfwjs = bundled || (source && strstr(source, "nsfwjs"));
  if (nsfwjs)
    snprintf(v->name, sizeof v->name,
             "Inception-v3 of nsfwjs 4.4.0 (bundled, 8-bit; NOT the FID network)");
  else if (name)
    snprintf(v->name, sizeof v->name, "%s", name);
  else
    snprintf(v->name, sizeof v->name, "unnamed Inception-v3 in %.100s",
             slash ? slash + 1 : f->path);
  v->pool7c = pool ? (!strcmp(pool, "avg") ? POOL7C_AVG : POOL7C_MAX)
              : nsfwjs || (name && strstr(name, "not the FID")) ? POOL7C_AVG
                                                                : POOL7C_MAX;
}

static Status read_weights(Inception *v, const StFile *f, Error *e) {
  TRY(inception_new(v, e));
  for (int k = 0; k < v->params.n; k++) TRY(read_param(f, &v->params.entry[k], e));
  return inception_fold(v, e);
}

/* Name and key only; the weights when `all`. */
static Status inception_read(Inception *v, const char *path, const char *data_dir, bool all,
                             Error *e) {
  char bundled[1024];
  StFile f;
  memset(v, 0, sizeof *v);
  if (!path)
    TRY(data_find("inception_v3_nsfwjs.safetensors", data_dir, bundled, sizeof bundled, e));
  TRY(st_open(&f, path ? path : bundled, e));
  const Status s = all ? read_weights(v, &f, e) : ST_OK;
  if (s == ST_OK) {
    inception_describe(v, &f, !path);
    sha256_hex(f.map, f.map_bytes, v->key);
  }
  st_close(&f);
  if (s != ST_OK) inception_free(v);
  return s;
}

Status inception_load(Inception *v, const char *path, const char *data_dir, Error *e) {
  return inception_read(v, path, data_dir, true, e);
}

Status inception_identify(Inception *v, const char *path, const char *data_dir, Error *e) {
  return inception_read(v, path, data_dir, false, e);
}
