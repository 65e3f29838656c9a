/* classifierfile.c: see classifierfile.h */
#include "models/store/classifierfile.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "models/store/netfile.h"

#define CLASSIFIER_FORMAT "prlx-classifier-1"

static Status classifier_add(StWriter *w, const Classifier *c, const char *channels, uint64_t seed,
                             int epochs, const char *trained_on, Error *e) {
  const int *k = c->cfg.width;
  TRY(st_add_meta(w, "format", CLASSIFIER_FORMAT, e));
  TRY(st_add_metaf(w, e, "classifier.classes", "%d", c->cfg.classes));
  TRY(st_add_metaf(w, e, "classifier.pools", "%d", c->cfg.pools));
  TRY(st_add_metaf(w, e, "classifier.widths", "%d,%d,%d,%d,%d,%d", k[0], k[1], k[2], k[3], k[4],
                   k[5]));
  TRY(st_add_meta(w, "classifier.order",
                  c->cfg.norm_first ? "conv norm relu pool" : "conv pool norm relu", e));
  TRY(st_add_meta(w, "channels", channels, e));
  TRY(st_add_metaf(w, e, "seed", "%llu", (unsigned long long)seed));
  TRY(st_add_metaf(w, e, "epochs", "%d", epochs));
  TRY(st_add_meta(w, "trained_on", trained_on, e));
  if (c->seen_h) TRY(st_add_metaf(w, e, "classifier.slices", "%dx%d", c->seen_w, c->seen_h));
  return params_write(w, "", &c->params, false, e);
}

Status classifier_save(const Classifier *c, const char *path, const char *channels, uint64_t seed,
                       int epochs, const char *trained_on, Error *e) {
  StWriter *w = NULL;
  TRY(st_writer_new(&w, e));
  const Status s = classifier_add(w, c, channels, seed, epochs, trained_on, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

static int meta_int(const StFile *f, const char *key) {
  const char *t = st_meta(f, key);
  return t ? atoi(t) : 0;
}

/* Names between commas. */
static int count_names(const char *list) {
  int n = *list != 0;
  for (; *list; list++) n += *list == ',';
  return n;
}

/* What it has read so far is in c, for classifier_free. */
static Status classifier_read(Classifier *c, const StFile *f, char channels[64], Error *e) {
  const char *format = st_meta(f, "format"), *widths = st_meta(f, "classifier.widths"),
             *names = st_meta(f, "channels");
  ClassifierConfig cfg = {.classes = meta_int(f, "classifier.classes"),
                          .pools = meta_int(f, "classifier.pools")};
  int *k = cfg.width;
  if (!format || strcmp(format, CLASSIFIER_FORMAT))
    return err_set(e, ST_FORMAT,
                   "%s: metadata format is %.40s; expected %s (made by `prlx classify`)", f->path,
                   format ? format : "absent", CLASSIFIER_FORMAT);
  if (!widths || sscanf(widths, "%d,%d,%d,%d,%d,%d", k, k + 1, k + 2, k + 3, k + 4, k + 5) != 6 ||
      !names || strlen(names) > 63)
    return err_set(e, ST_FORMAT,
                   "%s: metadata classifier.widths or channels is missing or broken; train the "
                   "classifier again",
                   f->path);
  const char *order = st_meta(f, "classifier.order");
  cfg.norm_first = !order || !strncmp(order, "conv norm", 9);
  snprintf(channels, 64, "%s", names);
  cfg.channels = count_names(names);
  TRY(classifier_new(c, &cfg, e));
  const char *seen = st_meta(f, "classifier.slices");
  if (seen && sscanf(seen, "%dx%d", &c->seen_w, &c->seen_h) != 2) c->seen_w = c->seen_h = 0;
  return params_read(f, "", &c->params, e);
}

Status classifier_load(Classifier *c, const char *path, char channels[64], Error *e) {
  StFile f;
  *c = (Classifier){0};
  TRY(st_open(&f, path, e));
  const Status s = classifier_read(c, &f, channels, e);
  st_close(&f);
  if (s != ST_OK) classifier_free(c);
  return s;
}

void classifiers_free(Classifier *c, int n) {
  for (int i = 0; i < n; i++) classifier_free(&c[i]);
  mem_free(c);
}

Status classifiers_load(const char *path, Classifier **out, int *n, char channels[64], Error *e) {
  char file[PATH_LEN], names[64];
  const bool folder = os_is_folder(path);
  Status s = ST_OK;
  *out = NULL;
  *n = 0;
  for (int k = 0; s == ST_OK; k++) {
    s = folder ? path_format(file, e, "%s/model%d.safetensors", path, k)
               : path_format(file, e, "%s", path);
    if (s != ST_OK) break;
    if (k && (!folder || !file_exists(file))) return ST_OK;
    Classifier *more = mem_grow(*out, (size_t)k * sizeof *more, (size_t)(k + 1) * sizeof *more);
    if (!more) {
      s = err_set(e, ST_NOMEM, "out of memory for a classifier");
      break;
    }
    *out = more;
    s = classifier_load(&more[k], file, names, e);
    if (s != ST_OK) break;
    *n = k + 1;
    if (!k)
      memcpy(channels, names, 64);
    else if (strcmp(names, channels) || more[k].cfg.classes != more[0].cfg.classes)
      s = err_set(
          e, ST_INVALID,
          "%s: takes %s with %d classes, model0 takes %s with %d; use classifiers of one run", file,
          names, more[k].cfg.classes, channels, more[0].cfg.classes);
  }
  classifiers_free(*out, *n);
  *out = NULL;
  *n = 0;
  return s;
}

Status classifier_threshold(const char *run, double *at, Error *e) {
  char path[PATH_LEN];
  Tsv t;
  *at = NAN;
  TRY(path_join(path, run, "metrics.tsv", e));
  if (!file_exists(path)) return ST_OK;
  TRY(tsv_read(path, &t, e));
  const int cm = tsv_column(&t, "metric"), cv = tsv_column(&t, "mean");
  for (int i = 0; i < t.nrow && cm >= 0 && cv >= 0; i++) {
    double v;
    if (strcmp(tsv_get(&t, i, cm), "threshold")) continue;
    if (tsv_number(&t, i, cv, &v, NULL) == ST_OK && v >= 0 && v <= 1) *at = v;
  }
  tsv_free(&t);
  return ST_OK;
}
