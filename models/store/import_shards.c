/* import_shards.c: weights dealt out to several .safetensors files: the index (model.safetensors.
 * index.json) says which tensor lies in which file beside it. */
#include <stdio.h>
#include <string.h>
#include "io/formats/json.h"
#include "io/formats/path.h"
#include "models/store/import.h"

enum { MAX_SHARDS = 1024, MAX_INDEX = 1 << 26 };

bool import_is_index(const uint8_t *p, size_t n) {
  static const char key[] = "\"weight_map\"";
  size_t i = 0;
  n = PRLX_MIN(n, (size_t)MAX_INDEX);
  while (i < n && strchr(" \t\r\n", p[i]) && p[i]) i++;
  if (i == n || p[i] != '{') return false;
  for (; i + sizeof key - 1 <= n; i++)
    if (!memcmp(p + i, key, sizeof key - 1)) return true;
  return false;
}

const char *import_shard_hint(const char *path) {
  static const char sample[] = "-00001-of-00002.safetensors";
  const size_t n = strlen(path), k = sizeof sample - 1;
  for (size_t i = 0; i < k && n > k; i++) {
    const bool digit = sample[i] >= '0' && sample[i] <= '9';
    const char c = path[n - k + i];
    if (digit ? c < '0' || c > '9' : c != sample[i]) return "";
  }
  if (n <= k) return "";
  return "; it is one of several files that hold the network: `prlx import` their index, "
         "NAME.safetensors.index.json";
}

static Status index_bad(const Import *im, const Json *j, const char *what, Error *e) {
  return err_set(e, j->nomem ? ST_NOMEM : ST_FORMAT,
                 "%s: not a valid index of .safetensors files: %s (byte %lld); expected "
                 "{\"weight_map\": {TENSOR: FILE, ...}}",
                 im->path, j->why ? j->why : what, (long long)(j->at - j->start));
}

/* The open shard of this name, opened if it is new. Only files beside the index are read. */
static Status shard_of(Import *im, const char *file, StFile **out, Error *e) {
  char path[PATH_LEN], shown[80];
  const char *slash = strrchr(im->path, '/');
  if (!file[0] || strchr(file, '/') || !str_ends_with(file, ".safetensors"))
    return err_set(e, ST_FORMAT,
                   "%s: weight_map names '%s'; expected a .safetensors file beside the index",
                   im->path, str_shown(file, shown));
  TRY(path_format(path, e, "%.*s%s", slash ? (int)(slash - im->path + 1) : 0, im->path, file));
  for (int k = 0; k < im->nshards; k++)
    if (!strcmp(im->shard[k].path, path)) {
      *out = &im->shard[k];
      return ST_OK;
    }
  if (im->nshards == MAX_SHARDS)
    return err_set(e, ST_FORMAT, "%s: more than %d files; not an index of weights", im->path,
                   MAX_SHARDS);
  StFile *p =
      mem_grow(im->shard, (size_t)im->nshards * sizeof *p, (size_t)(im->nshards + 1) * sizeof *p);
  if (!p) return err_set(e, ST_NOMEM, "%s: out of memory", im->path);
  im->shard = p;
  TRY(st_open_any(&im->shard[im->nshards], path, e));
  *out = &im->shard[im->nshards++];
  return ST_OK;
}

static Status index_entry(Import *im, const char *name, const char *file, int *room, Error *e) {
  char a[80];
  StFile *f;
  TRY(shard_of(im, file, &f, e));
  const StTensor *t = st_find(f, name);
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: tensor \"%s\" is not in %s, where the index says; download the "
                   "files again, all of one version",
                   im->path, str_shown(name, a), f->path);
  if (im->ntensor == *room) {
    const int next = *room ? 2 * *room : 256;
    ImportTensor *p =
        mem_grow(im->tensor, (size_t)im->ntensor * sizeof *p, (size_t)next * sizeof *p);
    if (!p) return err_set(e, ST_NOMEM, "%s: out of memory for the list of tensors", im->path);
    im->tensor = p;
    *room = next;
  }
  return import_list(im, t->name, t->dtype, t->shape, t->data, e);
}

static Status index_map(Import *im, Json *j, Error *e) {
  int room = 0;
  if (!json_take(j, '{')) return index_bad(im, j, "weight_map is no object", e);
  if (json_try(j, '}')) return ST_OK;
  do {
    char *name = NULL, *file = NULL;
    Status s = ST_OK;
    if (!json_string(j, &name) || !json_take(j, ':') || !json_string(j, &file))
      s = index_bad(im, j, "weight_map", e);
    else if (import_find(im, name))
      s = index_bad(im, j, "a tensor appears twice", e);
    else
      s = index_entry(im, name, file, &room, e);
    mem_free(name);
    mem_free(file);
    if (s != ST_OK) return s;
  } while (json_try(j, ','));
  return json_take(j, '}') ? ST_OK : index_bad(im, j, "weight_map", e);
}

Status import_read_index(Import *im, Error *e) {
  Json j;
  bool seen = false;
  json_init(&j, (const char *)im->map, im->bytes);
  if (!json_take(&j, '{')) return index_bad(im, &j, NULL, e);
  do {
    char *key;
    if (!json_string(&j, &key)) return index_bad(im, &j, NULL, e);
    const bool map = !strcmp(key, "weight_map");
    mem_free(key);
    if (!json_take(&j, ':')) return index_bad(im, &j, NULL, e);
    if (!map) {
      if (!json_skip(&j)) return index_bad(im, &j, NULL, e);
    } else if (seen) {
      return index_bad(im, &j, "weight_map appears twice", e);
    } else {
      seen = true;
      TRY(index_map(im, &j, e));
    }
  } while (json_try(&j, ','));
  if (!json_take(&j, '}') || !json_done(&j)) return index_bad(im, &j, NULL, e);
  snprintf(im->container, sizeof im->container, "%d safetensors file%s by an index", im->nshards,
           im->nshards == 1 ? "" : "s");
  return ST_OK;
}
