/* walk_point.c: points of W and lists as `prlx walk` takes them. See walk_impl.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/path.h"
#include "tools/gan/walk_impl.h"

/* The whole of `text` as a non-negative integer. */
static bool point_integer(const char *text, int64_t most, int64_t *v) {
  char *end;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  *v = strtoll(text, &end, 10);
  return !*end && !errno && *v <= most;
}

static void point_spread(const Generator *G, const real *w, real *ws) {
  for (int k = 0; k < G->num_ws; k++)
    memcpy(ws + (int64_t)k * G->cfg.w_dim, w, (size_t)G->cfg.w_dim * sizeof(real));
}

static Status point_of_seed(const Walk *k, int64_t seed, real *ws, Error *e) {
  real *w = mem_alloc((size_t)k->net.G.cfg.w_dim * sizeof *w);
  if (!w) return err_set(e, ST_NOMEM, "walk: out of memory");
  const Status s = latent_of_seeds(&k->net.G, k->cond, 1, &seed, w, e);
  if (s == ST_OK) point_spread(&k->net.G, w, ws);
  mem_free(w);
  return s;
}

/* Row `row` of the tensor "w" [n,w_dim] or "ws" [n,num_ws,w_dim]. */
static Status point_of_rows(const Walk *k, const StFile *f, int64_t row, real *ws, Error *e) {
  const Generator *G = &k->net.G;
  const StTensor *plus = st_find(f, "ws"), *t = plus ? plus : st_find(f, "w");
  const int64_t per = plus ? (int64_t)G->num_ws * G->cfg.w_dim : G->cfg.w_dim;
  char shape[96];
  if (!t)
    return err_set(e, ST_FORMAT,
                   "%s: no tensor w or ws; expected the w.safetensors of `prlx project`", f->path);
  const bool fits =
      plus ? t->shape.rank == 3 && t->shape.dim[1] == G->num_ws && t->shape.dim[2] == G->cfg.w_dim
           : t->shape.rank == 2 && t->shape.dim[1] == G->cfg.w_dim;
  if (!fits)
    return err_set(e, ST_INVALID,
                   "%s: %s is %s; this network has w of %d and %d layers: the file belongs to "
                   "another network",
                   f->path, t->name, shape_str(t->shape, shape), G->cfg.w_dim, G->num_ws);
  if (row >= t->shape.dim[0])
    return err_set(e, ST_INVALID, "%s: row %lld; the file has %lld, counted from 0", f->path,
                   (long long)row, (long long)t->shape.dim[0]);
  float *all = mem_alloc((size_t)shape_numel(t->shape) * sizeof *all);
  if (!all) return err_set(e, ST_NOMEM, "%s: out of memory", f->path);
  st_to_f32(t, all);
  Status s = ST_OK;
  for (int64_t i = 0; i < per && s == ST_OK; i++)
    if (!isfinite(all[row * per + i]))
      s = err_set(e, ST_NUMERIC, "%s: row %lld is not finite; project this lesion again", f->path,
                  (long long)row);
  if (s == ST_OK && plus) memcpy(ws, all + row * per, (size_t)per * sizeof(real));
  if (s == ST_OK && !plus) point_spread(G, all + row * per, ws);
  mem_free(all);
  return s;
}

static Status point_of_file(const Walk *k, const char *path, int64_t row, real *ws, Error *e) {
  StFile f;
  TRY(st_open(&f, path, e));
  const Status s = point_of_rows(k, &f, row, ws, e);
  st_close(&f);
  return s;
}

Status walk_point(const Walk *k, const char *text, real *ws, Error *e) {
  int64_t v = 0;
  char path[PATH_LEN];
  const char *colon = strrchr(text, ':');
  if (!strcmp(text, "mean")) {
    if (k->pca.mean) point_spread(&k->net.G, k->pca.mean, ws);
    return ST_OK;
  }
  if (point_integer(strncmp(text, "seed:", 5) ? text : text + 5, UINT32_MAX, &v))
    return point_of_seed(k, v, ws, e);
  if (!strncmp(text, "seed:", 5))
    return err_set(e, ST_INVALID, "'%s': expected seed:N with N from 0 to 4294967295", text);
  if (strlen(text) >= sizeof path)
    return err_set(e, ST_INVALID, "a point of %zu characters; expected seed:N, mean or FILE[:ROW]",
                   strlen(text));
  snprintf(path, sizeof path, "%s", text);
  if (colon && point_integer(colon + 1, INT64_MAX, &v))
    path[colon - text] = 0;
  else
    v = 0;
  if (!strstr(path, ".safetensors"))
    return err_set(e, ST_INVALID,
                   "'%s' is no point of W; expected seed:N, mean, or FILE.safetensors[:ROW]", text);
  return point_of_file(k, path, v, ws, e);
}

/* "seed:A-B" or "A-B": both ends, B >= A, at most 64 of them. */
static bool point_range(const char *text, int64_t *a, int64_t *b) {
  char first[32];
  const char *at = strncmp(text, "seed:", 5) ? text : text + 5, *dash = strchr(at, '-');
  if (!dash || dash - at >= (int)sizeof first) return false;
  snprintf(first, sizeof first, "%.*s", (int)(dash - at), at);
  return point_integer(first, UINT32_MAX, a) && point_integer(dash + 1, UINT32_MAX, b) &&
         *b >= *a && *b - *a < 64;
}

/* Adds one named point (or a range of seeds) at *out. */
static Status points_add(const Walk *k, const char *text, real *out, int most, int *n, Error *e) {
  const int64_t per = (int64_t)k->net.G.num_ws * k->net.G.cfg.w_dim;
  int64_t a = 0, b = 0;
  const bool range = point_range(text, &a, &b);
  char one[32];
  for (int64_t i = a; i <= b; i++) {
    if (*n == most)
      return err_set(e, ST_INVALID, "more than %d points in one list; give fewer", most);
    snprintf(one, sizeof one, "seed:%lld", (long long)i);
    TRY(walk_point(k, range ? one : text, out + *n * per, e));
    ++*n;
  }
  return ST_OK;
}

Status walk_points(const Walk *k, const char *text, real **out, int *n, Error *e) {
  enum { MOST = 64 };
  const size_t per = (size_t)k->net.G.num_ws * (size_t)k->net.G.cfg.w_dim;
  *n = 0;
  *out = mem_alloc(MOST * per * sizeof **out);
  char *list = mem_strdup(text), *save = NULL;
  Status s = *out && list ? ST_OK : err_set(e, ST_NOMEM, "walk: out of memory");
  for (char *p = s == ST_OK ? strtok_r(list, ",", &save) : NULL; p && s == ST_OK;
       p = strtok_r(NULL, ",", &save))
    s = points_add(k, p, *out, MOST, n, e);
  if (s == ST_OK && !*n) s = err_set(e, ST_INVALID, "'%s': no point in the list", text);
  mem_free(list);
  if (s != ST_OK) {
    mem_free(*out);
    *out = NULL;
  }
  return s;
}

Status walk_numbers(const char *what, const char *text, double lo, double hi, double *v, int most,
                    int *n, Error *e) {
  const char *at = text;
  for (*n = 0; *n < most; ++*n) {
    char *end;
    v[*n] = strtod(at, &end);
    if (end == at || (*end && *end != ',') || !(v[*n] >= lo && v[*n] <= hi))
      return err_set(e, ST_INVALID, "--%s '%s': expected numbers from %g to %g, separated by ','",
                     what, text, lo, hi);
    at = end + 1;
    if (!*end) {
      ++*n;
      return ST_OK;
    }
  }
  return err_set(e, ST_INVALID, "--%s: more than %d numbers", what, most);
}

/* Resolution of layer i of num_ws: 4, 8, 8, 16, 16, ... */
static int layer_resolution(int i) { return 4 << (i + 1) / 2; }

Status walk_layers(const Generator *G, const char *text, int *first, int *last, Error *e) {
  const int R = G->cfg.img_resolution;
  const struct {
    const char *name;
    int lo;
    int hi;
  } group[] = {{"coarse", 4, 8}, {"middle", 16, R / 2}, {"fine", R, R}, {"all", 4, R}};
  *first = *last = -1;
  for (int k = 0; k < COUNT_OF(group); k++)
    for (int i = 0; i < G->num_ws && !strcmp(text, group[k].name); i++) {
      const int r = PRLX_MIN(layer_resolution(i), R);
      if (r < group[k].lo || r > group[k].hi) continue;
      if (*first < 0) *first = i;
      *last = i;
    }
  int used = 0;
  if (*first < 0 && sscanf(text, "%d-%d%n", first, last, &used) == 2 && !text[used] &&
      *first >= 0 && *last >= *first && *last < G->num_ws)
    return ST_OK;
  if (*first >= 0 && !used) return ST_OK;
  return err_set(e, ST_INVALID,
                 "--layers '%s': expected coarse, middle, fine, all or FIRST-LAST within 0-%d",
                 text, G->num_ws - 1);
}
