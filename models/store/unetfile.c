/* unetfile.c: see unetfile.h */
#include "models/store/unetfile.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/netfile.h"

#define UNET_FORMAT "prlx-unet-1"

static Status unet_add(StWriter *w, const Unet *u, const char *channels, uint64_t seed, int epochs,
                       const char *trained_on, Error *e) {
  TRY(st_add_meta(w, "format", UNET_FORMAT, e));
  TRY(st_add_metaf(w, e, "unet.levels", "%d", u->cfg.levels));
  TRY(st_add_metaf(w, e, "unet.width", "%d", u->cfg.width));
  TRY(st_add_meta(w, "channels", channels, e));
  TRY(st_add_metaf(w, e, "seed", "%llu", (unsigned long long)seed));
  TRY(st_add_metaf(w, e, "epochs", "%d", epochs));
  TRY(st_add_meta(w, "trained_on", trained_on, e));
  return params_write(w, "", &u->params, false, e);
}

Status unet_save(const Unet *u, const char *path, const char *channels, uint64_t seed, int epochs,
                 const char *trained_on, Error *e) {
  StWriter *w = NULL;
  TRY(st_writer_new(&w, e));
  const Status s = unet_add(w, u, channels, seed, epochs, trained_on, e);
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

/* What it has read so far is in u, for unet_free. */
static Status unet_read(Unet *u, const StFile *f, char channels[64], Error *e) {
  const char *format = st_meta(f, "format"), *names = st_meta(f, "channels");
  if (!format || strcmp(format, UNET_FORMAT))
    return err_set(e, ST_FORMAT,
                   "%s: metadata format is %.40s; expected %s (made by `prlx segment`)", f->path,
                   format ? format : "absent", UNET_FORMAT);
  if (!names || strlen(names) > 63)
    return err_set(e, ST_FORMAT,
                   "%s: metadata channels is missing or broken; train the U-Net again", f->path);
  const UnetConfig cfg = {count_names(names), meta_int(f, "unet.levels"),
                          meta_int(f, "unet.width")};
  Error inner = {0};
  snprintf(channels, 64, "%s", names);
  const Status s = unet_new(u, &cfg, &inner);
  if (s != ST_OK) return err_set(e, s, "%s: %s", f->path, inner.msg);
  return params_read(f, "", &u->params, e);
}

Status unet_load(Unet *u, const char *path, char channels[64], Error *e) {
  StFile f;
  *u = (Unet){0};
  TRY(st_open(&f, path, e));
  const Status s = unet_read(u, &f, channels, e);
  st_close(&f);
  if (s != ST_OK) unet_free(u);
  return s;
}

void unets_free(Unet *u, int n) {
  for (int i = 0; i < n; i++) unet_free(&u[i]);
  mem_free(u);
}

Status unets_load(const char *path, Unet **out, int *n, char channels[64], Error *e) {
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
    Unet *more = mem_grow(*out, (size_t)k * sizeof *more, (size_t)(k + 1) * sizeof *more);
    if (!more) {
      s = err_set(e, ST_NOMEM, "out of memory for a U-Net");
      break;
    }
    *out = more;
    s = unet_load(&more[k], file, names, e);
    if (s != ST_OK) break;
    *n = k + 1;
    if (!k)
      memcpy(channels, names, 64);
    else if (strcmp(names, channels))
      s = err_set(e, ST_INVALID, "%s: takes %s, model0 takes %s; use the U-Nets of one run", file,
                  names, channels);
  }
  unets_free(*out, *n);
  *out = NULL;
  *n = 0;
  return s;
}
