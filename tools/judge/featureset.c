/* featureset.c: see featureset.h. */
#include "tools/judge/featureset.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/bf16.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "io/formats/sha256.h"
#include "models/store/inceptionfile.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

/* ---- features of a data set ---- */

void feature_net_free(FeatureNet *net) {
  inception_run_free(&net->run);
  inception_free(&net->v);
}

void feature_set_free(FeatureSet *s) {
  features_free(&s->f);
  mem_free(s->group);
  mem_free(s->path);
  mem_free(s->texture);
  memset(s, 0, sizeof *s);
}

/* Images of one subject belong together where the data set says which are. */
static Status group_by_subject(FeatureSet *s, const Dataset *d, Error *e) {
  if (!d->src || d->src->nsubjects < 2) return ST_OK;
  if (!(s->group = mem_alloc((size_t)d->n * sizeof *s->group)))
    return err_set(e, ST_NOMEM, "%s: out of memory", s->path);
  for (int64_t i = 0; i < d->n; i++) s->group[i] = d->src->subject_of[d->src->lesion[i]];
  s->ngroups = d->src->nsubjects;
  s->by_subject = true;
  return ST_OK;
}

/* The numbers of groups without an image left out, so that resampling never draws an empty one. */
static Status renumber_groups(FeatureSet *s, Error *e) {
  if (!s->group) return ST_OK;
  int64_t *to = mem_alloc((size_t)s->ngroups * sizeof *to), used = 0;
  if (!to) return err_set(e, ST_NOMEM, "%s: out of memory", s->path);
  for (int64_t i = 0; i < s->f.n; i++) {
    if (!to[s->group[i]]) to[s->group[i]] = ++used;
    s->group[i] = to[s->group[i]] - 1;
  }
  s->ngroups = used;
  mem_free(to);
  return ST_OK;
}

static Status load_inception(FeatureNet *net, Error *e) {
  if (net->loaded) return ST_OK;
  inception_free(&net->v);
  TRY(inception_load(&net->v, net->o.weights, net->o.data, e));
  TRY(inception_run_new_on(net->o.on, &net->run, &net->v, net->o.batch, e));
  net->loaded = true;
  return ST_OK;
}

/* Features of the images that s has none of yet; now and then what there is goes into the cache. */
static Status compute_rest(FeatureSet *s, FeatureNet *net, const Dataset *d, const char *file,
                           const char key[65], Error *e) {
  Progress bar;
  Status st = ST_OK;
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  double saved = time_now();
  progress_start(&bar, "features", "image", (double)d->n);
  progress_skip(&bar, (double)s->f.n);
  while (s->f.n < d->n && !tool_interrupted) {
    const int64_t m = PRLX_MIN(net->o.batch, d->n - s->f.n);
    st = inception_run(&net->run, &net->o.input, m, d->channels, d->h, d->w,
                       d->images + s->f.n * per, s->f.x + s->f.n * s->f.d, e);
    if (st != ST_OK) goto done;
    s->f.n += m;
    progress_update(&bar, (double)s->f.n, "%s", path_base(s->path));
    if (net->o.cache && time_now() - saved > 60 && s->f.n < d->n) {
      st = features_save(&s->f, file, key, d->n, e);
      if (st != ST_OK) goto done;
      saved = time_now();
    }
  }
done:
  progress_end(&bar);
  return st;
}

static Status compute_features(FeatureSet *s, FeatureNet *net, const Dataset *d, const char *file,
                               const char key[65], Error *e) {
  const int64_t first = s->f.n;
  TRY(load_inception(net, e));
  TRY(compute_rest(s, net, d, file, key, e));
  if (net->o.cache && s->f.n > first) TRY(features_save(&s->f, file, key, d->n, e));
  if (s->f.n < d->n)
    return err_set(e, ST_INTERRUPTED, "%s: stopped after %lld of %lld images%s", s->path,
                   (long long)s->f.n, (long long)d->n,
                   net->o.cache ? "; the same command goes on from there" : "");
  return ST_OK;
}

/* Those of one class, and of these at most `limit`, evenly spaced, so that sets sorted by subject
 * stay balanced. */
static Status choose_images(Dataset *d, const FeatureOptions *o, Error *e) {
  if (o->label < 0 && (!o->limit || d->n <= o->limit)) return ST_OK;
  if (o->label >= 0 && !d->labels)
    return err_set(e, ST_INVALID, "%s: the data set has no labels; leave --label out", d->path);
  int64_t *at = mem_alloc((size_t)d->n * sizeof *at), n = 0;
  if (!at) return err_set(e, ST_NOMEM, "%s: out of memory", d->path);
  for (int64_t i = 0; i < d->n; i++)
    if (o->label < 0 || d->labels[i] == o->label) at[n++] = i;
  int64_t keep = o->limit ? PRLX_MIN(n, o->limit) : n;
  for (int64_t i = 0; i < keep; i++) at[i] = at[i * n / keep];
  Status s = ST_OK;
  if (n >= 2 && keep < 2)
    s = err_set(e, ST_INVALID,
                "%s: --limit %lld keeps %lld image; a distance between sets needs at least two in "
                "each; raise --limit",
                d->path, (long long)o->limit, (long long)keep);
  else if (keep < 2 && o->label < 0)
    s = err_set(e, ST_INVALID, "%s: %lld image; a distance between sets needs at least two in each",
                d->path, (long long)keep);
  else if (keep < 2)
    s = err_set(e, ST_INVALID,
                "%s: %lld images of class %d; expected at least two; `prlx info` shows the classes",
                d->path, (long long)keep, o->label);
  else
    s = dataset_select(d, at, keep, e);
  mem_free(at);
  return s;
}

/* Arithmetic other than float on the CPU: what is kept of one is not gone on with in another. */
static const char *feature_arithmetic(const FeatureNet *net) {
  return net->o.on ? precision_name(net->o.on->precision) : bf16_used() ? "bf16" : "";
}

/* Where the features of these images are kept, and those that are there already. */
static Status find_cached(FeatureSet *s, FeatureNet *net, const Dataset *d, char key[65],
                          char *file, size_t n, Error *e) {
  char how[512];
  const FidInput *in = &net->o.input;
  if (!net->v.key[0]) TRY(inception_identify(&net->v, net->o.weights, net->o.data, e));
  const char *other = feature_arithmetic(net);
  snprintf(how, sizeof how, "features-2 %s pool7c %d %s channels %d bits8 %d%s%s%s", net->v.key,
           (int)net->v.pool7c, fid_convention_name[in->convention], (int)in->channels, in->bits8,
           other[0] ? " in " : "", other, net->o.on ? " on a device" : "");
  features_key(d, how, key);
  if (!net->o.cache) return ST_OK;
  TRY(outputs_own_folder(net->o.cache, e));
  features_path(net->o.cache, key, file, n);
  return features_cached(&s->f, file, key, INCEPTION_DIM, d->n, e);
}

/* Of what the features are that this network gives. */
static void name_network(FeatureSet *s, const FeatureNet *net) {
  const FidInput *in = &net->o.input;
  s->f.d = INCEPTION_DIM;
  snprintf(s->f.network, sizeof s->f.network, "%s", net->v.name);
  snprintf(s->f.convention, sizeof s->f.convention, "%s (%s), %s",
           fid_convention_name[in->convention], fid_convention_text[in->convention],
           in->bits8 ? "8-bit images" : "float images");
}

/* s->f: from the cache as far as it goes, the rest from the network. */
static Status network_features(FeatureSet *s, FeatureNet *net, const Dataset *d, Error *e) {
  char key[65], file[1100] = "";
  TRY(find_cached(s, net, d, key, file, sizeof file, e));
  const int64_t have = s->f.n;
  float *x = mem_grow(s->f.x, (size_t)(have * INCEPTION_DIM) * sizeof *x,
                      (size_t)(d->n * INCEPTION_DIM) * sizeof *x);
  if (!x)
    return err_set(e, ST_NOMEM, "%s: out of memory for the features of %lld images", s->path,
                   (long long)d->n);
  s->f.x = x;
  name_network(s, net);
  s->cached = have == d->n;
  return have < d->n ? compute_features(s, net, d, file, key, e) : ST_OK;
}

/* Fine detail and border; images too small for them have none, which is no error. */
static Status image_textures(FeatureSet *s, const Dataset *d, Error *e) {
  if (d->h < TEXTURE_LEAST || d->w < TEXTURE_LEAST) return ST_OK;
  if (!(s->texture = mem_alloc((size_t)d->n * sizeof *s->texture)))
    return err_set(e, ST_NOMEM, "%s: out of memory", s->path);
  return texture_of(d->n, d->channels, d->h, d->w, d->images, s->texture, e);
}

static Status from_images(FeatureSet *s, FeatureNet *net, Error *e) {
  Dataset d;
  TRY(dataset_open(&d, s->path, e));
  Status st = choose_images(&d, &net->o, e);
  if (st != ST_OK) goto done;
  st = image_textures(s, &d, e);
  if (st != ST_OK) goto done;
  s->h = d.h;
  s->w = d.w;
  if (net->o.texture_only)
    s->f.n = d.n;
  else
    st = network_features(s, net, &d, e);
  if (st != ST_OK) goto done;
  st = group_by_subject(s, &d, e);
done:
  dataset_free(&d);
  return st;
}

/* A file of features, or of images, which `images` takes. */
static Status take_file(FeatureSet *s, FeatureNet *net, const char *path,
                        Status (*images)(FeatureSet *, FeatureNet *, Error *), Error *e) {
  memset(s, 0, sizeof *s);
  s->path = mem_strdup(path);
  if (!s->path) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  const Status st = features_is_file(path) ? features_open(&s->f, path, e) : images(s, net, e);
  if (st != ST_OK) feature_set_free(s);
  return st;
}

static Status open_one(FeatureSet *s, FeatureNet *net, const char *path, Error *e) {
  TRY(take_file(s, net, path, from_images, e));
  const Status st = renumber_groups(s, e);
  if (st != ST_OK) feature_set_free(s);
  return st;
}

/* Groups of a set without any: every image is one. */
static int64_t group_of(const FeatureSet *s, int64_t i) { return s->group ? s->group[i] : i; }

/* Of both, or of neither. */
static Status append_texture(FeatureSet *s, const FeatureSet *b, Error *e) {
  const size_t n = (size_t)s->f.n, m = (size_t)b->f.n, each = sizeof *s->texture;
  Texture *t = s->texture && b->texture ? mem_grow(s->texture, n * each, (n + m) * each) : NULL;
  if (t) {
    memcpy(t + n, b->texture, m * each);
    s->texture = t;
    return ST_OK;
  }
  if (s->texture && b->texture) return err_set(e, ST_NOMEM, "%s: out of memory", b->path);
  mem_free(s->texture);
  s->texture = NULL;
  return ST_OK;
}

Status feature_sets_seen_alike(const FeatureSet *a, const FeatureSet *b, Error *e) {
  if (!a->seen || !b->seen || a->seen == b->seen) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s has %d channel%s, %s %d: of three the network sees all as one picture, of any "
                 "other number the first; expected sets alike; give --channels first",
                 b->path, b->channels, b->channels == 1 ? "" : "s", a->path, a->channels);
}

static Status check_one_kind(const FeatureSet *s, const FeatureSet *b, Error *e) {
  TRY(feature_sets_seen_alike(s, b, e));
  if (b->f.d == s->f.d && !strcmp(b->f.network, s->f.network) &&
      !strcmp(b->f.convention, s->f.convention))
    return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s and %s: features of different networks or conventions cannot be one set",
                 s->path, b->path);
}

/* s becomes both, subjects of the two apart. */
static Status append_set(FeatureSet *s, const FeatureSet *b, Error *e) {
  const int64_t n = s->f.n, m = b->f.n, d = s->f.d;
  TRY(check_one_kind(s, b, e));
  TRY(append_texture(s, b, e));
  const bool grouped = s->group || b->group;
  const int64_t first = s->group ? s->ngroups : n;
  float *x =
      d ? mem_grow(s->f.x, (size_t)(n * d) * sizeof *x, (size_t)((n + m) * d) * sizeof *x) : NULL;
  if (x) s->f.x = x;
  int64_t *g = grouped ? mem_alloc((size_t)(n + m) * sizeof *g) : NULL;
  if ((d && !x) || (grouped && !g)) {
    mem_free(g);
    return err_set(e, ST_NOMEM, "%s: out of memory", b->path);
  }
  if (d) memcpy(x + n * d, b->f.x, (size_t)(m * d) * sizeof *x);
  for (int64_t i = 0; i < n + m && grouped; i++)
    g[i] = i < n ? group_of(s, i) : first + group_of(b, i - n);
  if (grouped) {
    mem_free(s->group);
    s->group = g;
    s->ngroups = first + (b->group ? b->ngroups : m);
  }
  s->by_subject |= b->by_subject;
  if (s->h != b->h || s->w != b->w) s->h = s->w = s->h && b->h ? -1 : 0;
  s->f.n = n + m;
  return ST_OK;
}

/* One file more of a list, into s, which is empty before the first one. */
static Status open_next(FeatureSet *s, FeatureNet *net, const char *path, Error *e) {
  FeatureSet one;
  if (!s->path) return open_one(s, net, path, e);
  TRY(open_one(&one, net, path, e));
  const Status st = append_set(s, &one, e);
  feature_set_free(&one);
  return st;
}

/* The list itself is named as the set. */
static Status name_set(FeatureSet *s, const char *path, Error *e) {
  if (!s->path) return err_set(e, ST_INVALID, "%s: no file name", path);
  char *name = mem_strdup(path);
  if (!name) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  mem_free(s->path);
  s->path = name;
  if (s->f.n >= 2) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: %lld image; a distance between sets needs at least two in each", path,
                 (long long)s->f.n);
}

/* What a set has to be, without its features. */
static Status look_at_images(FeatureSet *s, FeatureNet *net, Error *e) {
  Dataset d;
  TRY(dataset_open(&d, s->path, e));
  Status st = choose_images(&d, &net->o, e);
  s->f.n = d.n;
  s->channels = d.channels;
  if (!net->o.texture_only)
    s->seen = net->o.input.channels == FID_CHANNELS_AUTO && d.channels == 3 ? 3 : 1;
  if (st == ST_OK && !net->o.texture_only) {
    if (!net->v.key[0]) st = inception_identify(&net->v, net->o.weights, net->o.data, e);
    name_network(s, net);
  }
  dataset_free(&d);
  return st;
}

static Status look_next(FeatureSet *s, FeatureNet *net, const char *path, Error *e) {
  FeatureSet one;
  if (!s->path) return take_file(s, net, path, look_at_images, e);
  TRY(take_file(&one, net, path, look_at_images, e));
  const Status st = check_one_kind(s, &one, e);
  s->f.n += one.f.n;
  feature_set_free(&one);
  return st;
}

/* The files of "A+B", or of one that is called so. */
static Status each_file(FeatureSet *s, FeatureNet *net, const char *path,
                        Status (*add)(FeatureSet *, FeatureNet *, const char *, Error *),
                        Error *e) {
  const bool whole = !strchr(path, '+') || file_exists(path);
  char *save = NULL;
  Status st = ST_OK;
  memset(s, 0, sizeof *s);
  char *list = mem_strdup(path);
  if (!list) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  for (char *p = whole ? list : strtok_r(list, "+", &save); p;
       p = whole ? NULL : strtok_r(NULL, "+", &save)) {
    st = add(s, net, p, e);
    if (st != ST_OK) goto done;
  }
  st = name_set(s, path, e);
done:
  mem_free(list);
  if (st != ST_OK) feature_set_free(s);
  return st;
}

Status feature_set_open(FeatureSet *s, FeatureNet *net, const char *path, Error *e) {
  return each_file(s, net, path, open_next, e);
}

Status feature_set_look(FeatureSet *s, FeatureNet *net, const char *path, Error *e) {
  return each_file(s, net, path, look_next, e);
}
