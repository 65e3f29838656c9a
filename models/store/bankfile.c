/* bankfile.c: see bankfile.h. */
#include "models/store/bankfile.h"
#include <stdio.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/number.h"
#include "io/formats/safetensors.h"
#include "io/formats/sha256.h"

/* What a bank depends on. */
static void bank_key(const Generator *G, const real *cond, VggChannels pick, char hex[65]) {
  Sha256 s;
  char text[200], clamp[NUMBER_TEXT];
  const GenConfig *c = &G->cfg;
  snprintf(text, sizeof text, "%d %d %d %d %d %d %d %d %s %d", c->z_dim, c->c_dim, c->w_dim,
           c->img_resolution, c->img_channels, c->mapping_layers, c->channel_base, c->channel_max,
           number_write(clamp, "%.17g", c->conv_clamp), (int)pick);
  sha256_begin(&s);
  sha256_add(&s, text, strlen(text));
  sha256_numbers(&s, G->params.data, (size_t)G->params.ntotal, sizeof(real));
  if (cond) sha256_numbers(&s, cond, (size_t)G->cfg.c_dim, sizeof(real));
  sha256_end(&s, hex);
}

static Status bank_add(StWriter *w, const StartBank *b, const char *key, Error *e) {
  TRY(st_add_meta(w, "format", "prlx-starts-1", e));
  TRY(st_add_meta(w, "network", key, e));
  TRY(st_add(w, "w", DT_F32, SHAPE2(b->n, b->w_dim), b->w, e));
  return st_add(w, "look", DT_F32, SHAPE2(b->n, b->look_size), b->look, e);
}

static Status bank_write(const char *path, const StartBank *b, const char *key, Error *e) {
  StWriter *w = NULL;
  TRY(st_writer_new(&w, e));
  const Status s = bank_add(w, b, key, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

static Status bank_check(const StFile *f, const char *path, const char *key, int n, Error *e) {
  const char *format = st_meta(f, "format"), *network = st_meta(f, "network");
  const StTensor *w = st_find(f, "w"), *look = st_find(f, "look");
  if (!format || strcmp(format, "prlx-starts-1") || !network || !w || !look || w->shape.rank != 2 ||
      look->shape.rank != 2)
    return err_set(
        e, ST_FORMAT,
        "%s: not a bank of starts (format prlx-starts-1 with w and look); choose another "
        "name, or remove it and it is made anew",
        path);
  if (strcmp(network, key))
    return err_set(e, ST_FORMAT,
                   "%s: made for another network, class or --vgg-channels (%.12s...; this one is "
                   "%.12s...); choose another name, or remove it and it is made anew",
                   path, network, key);
  if (w->shape.dim[0] != n || look->shape.dim[0] != n)
    return err_set(e, ST_FORMAT, "%s: holds %lld starts; expected %d; give --bank-size %lld", path,
                   (long long)w->shape.dim[0], n, (long long)w->shape.dim[0]);
  return ST_OK;
}

/* What it has read so far is in b, for start_bank_free. */
static Status bank_read(const StFile *f, StartBank *b, Error *e) {
  const Shape w = st_find(f, "w")->shape, look = st_find(f, "look")->shape;
  *b = (StartBank){.n = w.dim[0], .w_dim = (int)w.dim[1], .look_size = (int)look.dim[1]};
  b->w = mem_alloc((size_t)shape_numel(w) * sizeof *b->w);
  b->look = mem_alloc((size_t)shape_numel(look) * sizeof *b->look);
  if (!b->w || !b->look) return err_set(e, ST_NOMEM, "starts: out of memory for the bank");
  TRY(st_read(f, "w", w, b->w, e));
  return st_read(f, "look", look, b->look, e);
}

static Status bank_load(const char *path, const char *key, int n, StartBank *b, Error *e) {
  StFile f;
  TRY(st_open(&f, path, e));
  Status s = bank_check(&f, path, key, n, e);
  if (s != ST_OK) goto done;
  s = bank_read(&f, b, e);
done:
  st_close(&f);
  return s;
}

Status start_bank_open(const char *path, Backend *on, const Generator *G, const real *cond, int n,
                       VggChannels pick, StartBank *out, Error *e) {
  char key[65];
  *out = (StartBank){0};
  bank_key(G, cond, pick, key);
  const bool there = path && file_exists(path);
  Status s = there ? bank_load(path, key, n, out, e) : start_bank_new(on, G, cond, n, pick, out, e);
  if (s != ST_OK) goto done;
  if (path && !there) s = bank_write(path, out, key, e);
done:
  if (s != ST_OK) start_bank_free(out);
  return s;
}
