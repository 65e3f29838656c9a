/* netfile.c: networks and VGG16 between files and models. */
#include "models/store/netfile.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/number.h"
#include "io/formats/path.h"
#include "models/store/datapath.h"
#include "models/store/import.h"
_Static_assert(sizeof(real) == sizeof(float), "the tools are built with float tensors");

/* ---- tensors ---- */

static bool is_integer(DType t) {
  return t == DT_U8 || t == DT_I8 || t == DT_U16 || t == DT_I16 || t == DT_U32 || t == DT_I32 ||
         t == DT_U64 || t == DT_I64 || t == DT_BOOL;
}

static Status tensor_missing(const StFile *f, const char *name, const char *shape, Error *e) {
  return err_set(e, ST_FORMAT,
                 "%s: tensor %s is missing; expected %s; export the whole state dict "
                 "again%s",
                 f->path, name, shape, import_shard_hint(f->path));
}

/* A shape that is not the one wanted: turned round (a layer as TensorFlow has it), or another's. */
static Status odd_shape(const StFile *f, const StTensor *t, const char *want, bool turned,
                        Error *e) {
  char got[96];
  return err_set(e, ST_FORMAT, "%s: tensor %s is %s; expected %s; %s", f->path, t->name,
                 shape_str(t->shape, got), want,
                 turned ? "its axes are the other way round; transpose it"
                 : st_meta(f, "G.w_dim")
                     ? "the file's metadata and tensors belong to different networks"
                     : "it belongs to another network than the tensors beside it");
}

static bool is_turned(Shape file, Shape want) {
  bool turned = file.rank == want.rank && file.rank > 1;
  for (int i = 0; i < file.rank && turned; i++) turned = file.dim[i] == want.dim[file.rank - 1 - i];
  return turned;
}

static bool same_shape(Shape file, Shape want) {
  if (shape_eq(file, want)) return true;
  return shape_numel(want) == 1 && shape_numel(file) == 1 && file.rank <= 1 && want.rank <= 1;
}

/* One tensor with shape and finiteness checked. */
static Status read_tensor(const StFile *f, const char *name, Shape want, real *dst, Error *e) {
  const StTensor *t = st_find(f, name);
  char b[96];
  if (!t) return tensor_missing(f, name, shape_str(want, b), e);
  if (!same_shape(t->shape, want))
    return odd_shape(f, t, shape_str(want, b), is_turned(t->shape, want), e);
  if (is_integer(t->dtype))
    return err_set(e, ST_FORMAT,
                   "%s: tensor %s holds whole numbers (%s), as quantised weights do; expected "
                   "floating point; save the network as it was before",
                   f->path, name, dtype_name(t->dtype));
  st_to_f32(t, dst);
  int64_t n = shape_numel(want);
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(dst[i]))
      return err_set(e, ST_NUMERIC,
                     "%s: tensor %s holds %s at element %lld; use an earlier snapshot", f->path,
                     name, isnan(dst[i]) ? "NaN" : "infinity", (long long)i);
  return ST_OK;
}

Status params_read(const StFile *f, const char *prefix, const Params *p, Error *e) {
  for (int k = 0; k < p->n; k++) {
    char name[160];
    snprintf(name, sizeof name, "%s%s", prefix, p->entry[k].name);
    TRY(read_tensor(f, name, p->entry[k].shape, p->entry[k].data, e));
  }
  return ST_OK;
}

Status params_write(StWriter *w, const char *prefix, const Params *p, bool f16, Error *e) {
  for (int k = 0; k < p->n; k++) {
    const ParamEntry *t = &p->entry[k];
    char name[160];
    snprintf(name, sizeof name, "%s%s", prefix, t->name);
    if (!f16 || t->numel < F16_MIN_NUMEL) {
      TRY(st_add(w, name, DT_F32, t->shape, t->data, e));
      continue;
    }
    for (int64_t i = 0; i < t->numel; i++)
      if (fabsf(t->data[i]) > 65504.0f)
        return err_set(e, ST_NUMERIC, "tensor %s holds %g; F16 goes to 65504; save as F32", name,
                       (double)t->data[i]);
    TRY(st_add_f32_as_f16(w, name, t->shape, t->data, e));
  }
  return ST_OK;
}

/* ---- configuration ---- */

Status gen_config_write(StWriter *w, const GenConfig *c, Error *e) {
  char clamp[NUMBER_TEXT];
  const struct {
    const char *key;
    int v;
  } k[] = {{"G.z_dim", c->z_dim},
           {"G.c_dim", c->c_dim},
           {"G.w_dim", c->w_dim},
           {"G.img_resolution", c->img_resolution},
           {"G.img_channels", c->img_channels},
           {"G.mapping_layers", c->mapping_layers},
           {"G.channel_base", c->channel_base},
           {"G.channel_max", c->channel_max}};
  for (int i = 0; i < COUNT_OF(k); i++) TRY(st_add_metaf(w, e, k[i].key, "%d", k[i].v));
  return st_add_metaf(w, e, "G.conv_clamp", "%s", number_write(clamp, "%.9g", c->conv_clamp));
}

/* Tensor prefix+fmt; NULL if absent or not of this rank. */
static const StTensor *find_rank(const StFile *f, const char *prefix, int rank, const char *fmt,
                                 int k) {
  char tail[96], name[160];
  snprintf(tail, sizeof tail, fmt, k);
  snprintf(name, sizeof name, "%s%s", prefix, tail);
  const StTensor *t = st_find(f, name);
  return t && t->shape.rank == rank ? t : NULL;
}

/* The largest k of which there is a tensor prefix+fmt... ("synthesis.b%d."), at most 4096, or -1: a
 * tensor that is missing below it is missing, not the end of the network. */
static int largest_index(const StFile *f, const char *prefix, const char *head) {
  char start[96];
  const int n = snprintf(start, sizeof start, "%s%s", prefix, head);
  int most = -1;
  for (int i = 0; i < f->ntensor; i++) {
    if (strncmp(f->tensor[i].name, start, (size_t)n)) continue;
    char *end;
    const long k = strtol(f->tensor[i].name + n, &end, 10);
    if (end > f->tensor[i].name + n && *end == '.' && k <= 4096) most = PRLX_MAX(most, (int)k);
  }
  return most;
}

static Status check_present(const StFile *f, const char *prefix, const char *name, int rank,
                            const char *shape, Error *e) {
  char full[160];
  snprintf(full, sizeof full, "%s%s", prefix, name);
  const StTensor *t = st_find(f, full);
  if (!t) return tensor_missing(f, full, shape, e);
  const int64_t *d = t->shape.dim;
  const bool kernel = str_ends_with(shape, "3,3]");
  if (t->shape.rank == rank && (!kernel || (d[2] == 3 && d[3] == 3))) return ST_OK;
  const bool turned = kernel && t->shape.rank == 4 && d[0] == 3 && d[1] == 3;
  return odd_shape(f, t, shape, turned, e);
}

/* Of the blocks and layers that are there in part, the tensors that the sizes are read from. */
static Status check_layers(const StFile *f, const char *prefix, Error *e) {
  char name[64];
  const int last = largest_index(f, prefix, "synthesis.b"),
            layers = largest_index(f, prefix, "mapping.fc");
  for (int r = 4; r <= PRLX_MIN(last, 1024); r *= 2) {
    snprintf(name, sizeof name, "synthesis.b%d.conv1.weight", r);
    TRY(check_present(f, prefix, name, 4, "[C,C,3,3]", e));
  }
  for (int k = 0; k <= PRLX_MIN(layers, 63); k++) {
    snprintf(name, sizeof name, "mapping.fc%d.weight", k);
    TRY(check_present(f, prefix, name, 2, "[outputs,inputs]", e));
  }
  if (last < 0) return ST_OK;
  TRY(check_present(f, prefix, "synthesis.b4.torgb.weight", 4, "[channels,C,1,1]", e));
  return check_present(f, prefix, "synthesis.b4.conv1.affine.weight", 2, "[C,w_dim]", e);
}

/* What the tensors themselves say. Sizes found here are bounded by the file, so a lying header
 * cannot ask for memory. */
static Status config_from_tensors(const StFile *f, const char *prefix, GenConfig *c, Error *e) {
  *c = (GenConfig){.conv_clamp = 256};
  const StTensor *t;
  TRY(check_layers(f, prefix, e));
  for (int r = 4; r <= 1024 && (t = find_rank(f, prefix, 4, "synthesis.b%d.conv1.weight", r));
       r *= 2) {
    if (t->shape.dim[0] != t->shape.dim[1] || t->shape.dim[0] < 1 || t->shape.dim[0] > 65536) break;
    c->img_resolution = r;
    c->channel_max = PRLX_MAX(c->channel_max, (int)t->shape.dim[0]);
    c->channel_base = (int)t->shape.dim[0] * r;
  }
  const StTensor *rgb = find_rank(f, prefix, 4, "synthesis.b%d.torgb.weight", 4),
                 *aff = find_rank(f, prefix, 2, "synthesis.b%d.conv1.affine.weight", 4);
  if (!c->img_resolution || !rgb || !aff)
    return err_set(e, ST_FORMAT,
                   "%s: no generator (%ssynthesis.b4.conv1.weight and its neighbours); expected a "
                   "network file as `prlx train` writes it",
                   f->path, prefix);
  c->img_channels = (int)rgb->shape.dim[0];
  c->w_dim = c->z_dim = (int)aff->shape.dim[1];
  if ((t = find_rank(f, prefix, 2, "mapping.embed.weight", 0))) c->c_dim = (int)t->shape.dim[1];
  while (c->mapping_layers < 64 &&
         find_rank(f, prefix, 2, "mapping.fc%d.weight", c->mapping_layers))
    c->mapping_layers++;
  if ((t = find_rank(f, prefix, 2, "mapping.fc%d.weight", 0)))
    c->z_dim = (int)t->shape.dim[1] - (c->c_dim ? c->w_dim : 0);
  return ST_OK;
}

static Status meta_number(const StFile *f, const char *key, double *v, Error *e) {
  const char *s = st_meta(f, key);
  if (!s) return ST_OK;
  char *end;
  double d = number_read(s, &end);
  if (end == s || *end || !isfinite(d))
    return err_set(e, ST_FORMAT, "%s: metadata %s is \"%s\"; expected a number", f->path, key, s);
  *v = d;
  return ST_OK;
}

/* From metadata where present, else from the tensors under `prefix`; both are compared, and bounded
 * by what the file really holds. ST_FORMAT: no generator, or metadata that does not fit it. */
static Status gen_config_read(const StFile *f, const char *prefix, GenConfig *c, Error *e) {
  GenConfig t;
  TRY(config_from_tensors(f, prefix, &t, e));
  *c = t;
  struct {
    const char *key;
    int *v;
    bool free;
  } k[] = {{"G.z_dim", &c->z_dim, false},
           {"G.c_dim", &c->c_dim, false},
           {"G.w_dim", &c->w_dim, false},
           {"G.img_resolution", &c->img_resolution, false},
           {"G.img_channels", &c->img_channels, false},
           {"G.mapping_layers", &c->mapping_layers, false},
           {"G.channel_base", &c->channel_base, true},
           {"G.channel_max", &c->channel_max, true}};
  for (int i = 0; i < COUNT_OF(k); i++) {
    double v = *k[i].v;
    TRY(meta_number(f, k[i].key, &v, e));
    if (v != (int)v || (!k[i].free && (int)v != *k[i].v))
      return err_set(
          e, ST_FORMAT,
          "%s: metadata %s is %g; the tensors say %d; correct the metadata or leave it out",
          f->path, k[i].key, v, *k[i].v);
    *k[i].v = (int)v;
  }
  TRY(meta_number(f, "G.conv_clamp", &c->conv_clamp, e));
  /* channel_base and channel_max are free only as far as they give the widths that are there. */
  for (int r = 4; r <= c->img_resolution; r *= 2) {
    int64_t have = find_rank(f, prefix, 4, "synthesis.b%d.conv1.weight", r)->shape.dim[0];
    if (net_channels(r, c->channel_base, c->channel_max) != have)
      return err_set(e, ST_FORMAT,
                     "%s: %lld channels at %d x %d; channel_base %d and channel_max %d give %d; "
                     "correct the metadata",
                     f->path, (long long)have, r, r, c->channel_base, c->channel_max,
                     net_channels(r, c->channel_base, c->channel_max));
  }
  return ST_OK;
}

/* ---- networks ---- */

/* The one filter that is computed here, outer([1,3,3,1])/64. */
static Status check_filter(const StFile *f, const StTensor *t, Error *e) {
  static const float tap[4] = {1, 3, 3, 1};
  float v[16];
  bool ok = shape_eq(t->shape, SHAPE2(4, 4));
  if (ok) st_to_f32(t, v);
  for (int i = 0; i < 16 && ok; i++) ok = fabsf(v[i] - tap[i / 4] * tap[i % 4] / 64) < 1e-6f;
  return ok ? ST_OK
            : err_set(e, ST_FORMAT,
                      "%s: %s is not the filter [1,3,3,1]; only this one is computed here", f->path,
                      t->name);
}

/* A tensor we do not know means another architecture: computing without it would give silently
 * wrong images. */
static Status check_unknown(const StFile *f, const char *prefix, const Params *p, Error *e) {
  size_t n = strlen(prefix);
  for (int k = 0; k < f->ntensor; k++) {
    const char *name = f->tensor[k].name;
    if (strncmp(name, prefix, n) != 0) continue;
    const char *bare = name + n;
    if (strncmp(bare, "synthesis.", 10) != 0 && strncmp(bare, "mapping.", 8) != 0) continue;
    if (is_integer(f->tensor[k].dtype)) continue; /* refused with the weights */
    if (str_ends_with(bare, "resample_filter")) {
      TRY(check_filter(f, &f->tensor[k], e));
    } else if (!import_is_count(bare) && !params_find(p, bare))
      return err_set(e, ST_FORMAT,
                     "%s: tensor %s does not belong to a StyleGAN2-ADA generator of this size; "
                     "expected skip synthesis with 3x3 layers",
                     f->path, name);
  }
  return ST_OK;
}

static Status meta_copy(const StMeta *m, int n, StMeta **out, int *nout,
                        bool (*want)(const char *key), Error *e) {
  *nout = 0;
  *out = mem_alloc((size_t)n * sizeof **out);
  bool ok = *out != NULL;
  for (int k = 0; k < n && ok; k++) {
    if (want && !want(m[k].key)) continue;
    StMeta *d = &(*out)[(*nout)++];
    d->key = mem_strdup(m[k].key);
    d->value = mem_strdup(m[k].value);
    ok = d->key && d->value;
  }
  if (ok) return ST_OK;
  meta_free(*out, *nout);
  *out = NULL;
  *nout = 0;
  return err_set(e, ST_NOMEM, "out of memory for metadata; free memory and try again");
}

void meta_free(StMeta *m, int n) {
  for (int k = 0; m && k < n; k++) {
    mem_free(m[k].key);
    mem_free(m[k].value);
  }
  mem_free(m);
}

static bool describes_images(const char *key) {
  return !strcmp(key, "channels") || !strncmp(key, "window", 6) || !strncmp(key, "unit", 4) ||
         !strcmp(key, "source") || !strcmp(key, "licence");
}

Status meta_of_images(const StMeta *m, int n, StMeta **out, int *nout, Error *e) {
  return meta_copy(m, n, out, nout, describes_images, e);
}

void network_free(Network *net) {
  generator_free(&net->G);
  meta_free(net->meta, net->nmeta);
  mem_free(net->path);
  memset(net, 0, sizeof *net);
}

const char *network_meta(const Network *net, const char *key) {
  for (int k = 0; k < net->nmeta; k++)
    if (!strcmp(net->meta[k].key, key)) return net->meta[k].value;
  return NULL;
}

static Status load_generator(Network *net, const StFile *f, Error *e) {
  static const char *const prefix[] = {"G_ema.", "G.", ""};
  for (int k = 0; k < COUNT_OF(prefix); k++) {
    snprintf(net->prefix, sizeof net->prefix, "%s", prefix[k]);
    if (largest_index(f, prefix[k], "synthesis.b") >= 0) break;
  }
  GenConfig c;
  Error inner = {0};
  TRY(gen_config_read(f, net->prefix, &c, e));
  const Status s = generator_new(&net->G, &c, &inner);
  if (s != ST_OK) return err_set(e, s, "%s: %s", f->path, inner.msg);
  TRY(check_unknown(f, net->prefix, &net->G.params, e));
  return params_read(f, net->prefix, &net->G.params, e);
}

/* What it has read so far is in net, for network_free. */
static Status load_network(Network *net, const StFile *f, Error *e) {
  TRY(load_generator(net, f, e));
  TRY(meta_copy(f->meta, f->nmeta, &net->meta, &net->nmeta, NULL, e));
  net->path = mem_strdup(f->path);
  if (net->path) return ST_OK;
  return err_set(e, ST_NOMEM, "%s: out of memory; free memory and try again", f->path);
}

Status network_load(Network *net, const char *path, Error *e) {
  memset(net, 0, sizeof *net);
  StFile f;
  char inside[PATH_LEN];
  if (os_is_folder(path)) { /* the folder of a run */
    TRY(path_join(inside, path, "network.safetensors", e));
    path = inside;
  }
  TRY(st_open(&f, path, e));
  const Status s = load_network(net, &f, e);
  st_close(&f);
  if (s != ST_OK) network_free(net);
  return s;
}

/* outer([1,3,3,1])/64: a constant, stored only because Python's strict loading wants it. */
static Status write_filters(StWriter *w, const Generator *G, Error *e) {
  static const float f[16] = {1 / 64.f, 3 / 64.f, 3 / 64.f, 1 / 64.f, 3 / 64.f, 9 / 64.f,
                              9 / 64.f, 3 / 64.f, 3 / 64.f, 9 / 64.f, 9 / 64.f, 3 / 64.f,
                              1 / 64.f, 3 / 64.f, 3 / 64.f, 1 / 64.f};
  for (int r = 4; r <= G->cfg.img_resolution; r *= 2) {
    static const char *const where[] = {"", ".conv0", ".conv1"};
    for (int k = 0; k < COUNT_OF(where); k++) {
      char name[96];
      if (r == 4 && k == 1) continue;
      snprintf(name, sizeof name, "G_ema.synthesis.b%d%s.resample_filter", r, where[k]);
      TRY(st_add(w, name, DT_F32, SHAPE2(4, 4), f, e));
    }
  }
  return ST_OK;
}

static Status network_add(StWriter *w, const Generator *G, const StMeta *meta, int nmeta, bool f16,
                          Error *e) {
  TRY(st_add_meta(w, "format", "prlx-network-1", e));
  TRY(gen_config_write(w, &G->cfg, e));
  for (int k = 0; k < nmeta; k++)
    if (strcmp(meta[k].key, "format") != 0 && strncmp(meta[k].key, "G.", 2) != 0)
      TRY(st_add_meta(w, meta[k].key, meta[k].value, e));
  TRY(params_write(w, "G_ema.", &G->params, f16, e));
  TRY(write_filters(w, G, e));
  return st_add_checksums(w, e);
}

Status network_save(const char *path, const Generator *G, const StMeta *meta, int nmeta, bool f16,
                    Error *e) {
  StWriter *w = NULL;
  TRY(st_writer_new(&w, e));
  const Status s = network_add(w, G, meta, nmeta, f16, e);
  if (s == ST_OK) return st_commit(w, path, e);
  st_writer_free(w);
  return s;
}

Status network_save_trained(const char *path, const Generator *G, const StMeta *data, int ndata,
                            int64_t images, uint64_t seed, const char *config, Error *e) {
  char kimg[NUMBER_TEXT], seed_text[32];
  StMeta *kept = NULL, *all = NULL;
  char *digest = NULL;
  int n = 0, more = 2;
  for (int k = 0; k < ndata; k++)
    if (!strcmp(data[k].key, NETWORK_DATA)) digest = data[k].value;
  number_write(kimg, "%.3f", (double)images / 1000);
  snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
  TRY(meta_of_images(data, ndata, &kept, &n, e));
  Status s = ST_OK;
  all = mem_alloc((size_t)(n + 4) * sizeof *all);
  if (!all) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  if (n) memcpy(all, kept, (size_t)n * sizeof *all);
  all[n] = (StMeta){(char *)"train.kimg", kimg};
  all[n + 1] = (StMeta){(char *)"train.seed", seed_text};
  if (config) all[n + more++] = (StMeta){(char *)"train.config", (char *)config};
  if (digest) all[n + more++] = (StMeta){(char *)"train.data", digest};
  s = network_save(path, G, all, n + more, false, e);
done:
  mem_free(all);
  meta_free(kept, n);
  return s;
}

/* ---- VGG16 ---- */

/* Metadata "[123.68, 116.779, 103.939]" or "a,b,c", times k. False if absent. */
static Status meta_list3(const StFile *f, const char *key, double k, double dst[3], bool *found,
                         Error *e) {
  const char *s = st_meta(f, key);
  double v[3];
  *found = s != NULL;
  if (!s) return ST_OK;
  const char *p = s;
  for (int i = 0; i < 3; i++) {
    while (*p == '[' || *p == ',' || *p == ' ') p++;
    char *end;
    v[i] = number_read(p, &end);
    if (end == p || !isfinite(v[i]))
      return err_set(e, ST_FORMAT, "%s: metadata %s is \"%s\"; expected three numbers", f->path,
                     key, s);
    p = end;
  }
  for (int i = 0; i < 3; i++) dst[i] = v[i] * k;
  return ST_OK;
}

/* "[0, 255]" or "0,255"; what stands behind is not read. */
static bool two_numbers(const char *text, double *a, double *b) {
  char *end;
  text += strspn(text, " ");
  if (*text == '[') text++;
  *a = number_read(text, &end);
  if (end == text || *end != ',') return false;
  text = end + 1;
  *b = number_read(text, &end);
  return end != text;
}

static Status read_input_scale(Vgg *v, const StFile *f, bool *given, Error *e) {
  const char *range = st_meta(f, "range"), *order = st_meta(f, "order");
  bool m = false, d = false;
  double lo = 0, hi = 255;
  if (range && !two_numbers(range, &lo, &hi)) hi = -1;
  if (lo != 0 || (hi != 255 && hi != 1))
    return err_set(e, ST_FORMAT, "%s: metadata range is \"%s\"; expected [0, 255] or [0, 1]",
                   f->path, range);
  if (order && strcmp(order, "RGB") != 0)
    return err_set(
        e, ST_FORMAT,
        "%s: metadata order is \"%s\"; expected RGB; swap the first layer's input channels",
        f->path, order);
  TRY(meta_list3(f, "mean", 255 / hi, v->mean, &m, e));
  TRY(meta_list3(f, "std", 255 / hi, v->std, &d, e));
  for (int k = 0; k < 3; k++)
    if (!(v->std[k] > 0))
      return err_set(e, ST_FORMAT, "%s: metadata std is %g; expected > 0", f->path, v->std[k]);
  if (m != d)
    return err_set(e, ST_FORMAT, "%s: metadata has only one of mean and std; give both or none",
                   f->path);
  *given = m;
  return ST_OK;
}

/* lin0..lin4, or the names of the LPIPS package. *found says whether the file has heads at all. */
static Status read_heads(Vgg *v, const StFile *f, bool *found, Error *e) {
  *found = st_find(f, "lin0") || st_find(f, "lin0.model.1.weight");
  for (int k = 0; k < VGG_TAPS && *found; k++) {
    char name[32], theirs[48];
    snprintf(name, sizeof name, "lin%d", k);
    snprintf(theirs, sizeof theirs, "lin%d.model.1.weight", k);
    const ParamEntry *t = params_find(&v->params, name);
    const StTensor *other = st_find(f, theirs);
    if (other && other->shape.rank == 4)
      TRY(read_tensor(f, theirs, SHAPE4(1, t->numel, 1, 1), t->data, e));
    else
      TRY(read_tensor(f, name, t->shape, t->data, e));
    for (int64_t i = 0; i < t->numel; i++)
      if (t->data[i] < 0)
        return err_set(e, ST_FORMAT,
                       "%s: head %s has the negative weight %g; LPIPS heads are not negative",
                       f->path, name, (double)t->data[i]);
  }
  return ST_OK;
}

static Status read_bundled_heads(Vgg *v, const char *data_dir, Error *e) {
  char p[1024];
  bool found;
  StFile h;
  TRY(data_find("lpips_vgg_v0.1.safetensors", data_dir, p, sizeof p, e));
  TRY(st_open(&h, p, e));
  const Status s = read_heads(v, &h, &found, e);
  st_close(&h);
  if (s != ST_OK || found) return s;
  return err_set(e, ST_FORMAT, "%s: no heads lin0..lin4; restore the bundled file", p);
}

static Status read_vgg(Vgg *v, const StFile *f, const char *path, const char *data_dir, Error *e) {
  bool scale_given = false, heads = false;
  for (int k = 0; k < v->params.n; k++)
    if (!strncmp(v->params.entry[k].name, "features.", 9))
      TRY(read_tensor(f, v->params.entry[k].name, v->params.entry[k].shape, v->params.entry[k].data,
                      e));
  TRY(read_input_scale(v, f, &scale_given, e));
  TRY(read_heads(v, f, &heads, e));
  if (!heads) TRY(read_bundled_heads(v, data_dir, e));
  const char *name = st_meta(f, "name"), *slash = path ? strrchr(path, '/') : NULL;
  if (!path)
    snprintf(v->name, sizeof v->name, "VGG16-Caffe, mean heads");
  else if (name)
    snprintf(v->name, sizeof v->name, "%s", name);
  else
    snprintf(v->name, sizeof v->name, "%s %.50s, %s", scale_given ? "VGG16" : "torchvision VGG16",
             slash ? slash + 1 : path, heads ? "own heads" : "LPIPS v0.1 heads");
  return ST_OK;
}

Status vgg_load(Vgg *v, const char *path, const char *data_dir, Error *e) {
  char bundled[1024];
  StFile f;
  memset(v, 0, sizeof *v);
  if (!path) TRY(data_find("vgg16_caffe.safetensors", data_dir, bundled, sizeof bundled, e));
  TRY(st_open(&f, path ? path : bundled, e));
  Status s = vgg_new(v, e);
  if (s != ST_OK) goto done;
  s = read_vgg(v, &f, path, data_dir, e);
done:
  st_close(&f);
  if (s != ST_OK) vgg_free(v);
  return s;
}
