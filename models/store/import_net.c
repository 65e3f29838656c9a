/* import_net.c: StyleGAN2-ADA networks: state-dict names with "G.", "D.", "G_ema.", and the
 * configuration as metadata (models/store/netfile.h). In a checkpoint every module carries its
 * attributes; what our networks cannot compute (other architectures, filters, activations) is
 * refused here, so that a wrong image never comes out silently. Karras et al. 2020; SEMANTICS
 * sections 2 and 3. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/number.h"
#include "io/formats/path.h"
#include "models/store/import.h"

/* ---- attributes ---- */
/* G: attributes of a module */
typedef struct Net {
  Import *im;
  const Pk *G;
  const char *prefix;
  Error *e;
} Net;

static Status net_odd(const Net *n, const char *where, const char *what) {
  return err_set(n->e, ST_FORMAT,
                 "%s: %s%s: %s; only StyleGAN2-ADA with its usual settings is computed here",
                 n->im->path, n->prefix, where, what);
}

static const Pk *module_child(const Pk *module, const char *name) {
  return module ? torch_module(pk_get(pk_get(module, "_modules"), name), NULL) : NULL;
}

/* Attribute `name` of the module, else of its constructor arguments, else of `where` among these.
 */
static const Pk *module_attribute(const Pk *m, const char *where, const char *name) {
  const Pk *kw = pk_get(m, "_init_kwargs"), *v = pk_get(m, name);
  if (!v) v = pk_get(kw, name);
  return v ? v : where ? pk_get(pk_get(kw, where), name) : NULL;
}

static bool attr_int(const Pk *m, const char *where, const char *name, int64_t *out) {
  int64_t v;
  if (!pk_int(module_attribute(m, where, name), &v) || v < 0 || v > 1 << 24) return false;
  *out = v;
  return true;
}

/* A clamp: number or None (-1). False if it is neither. */
static bool attr_clamp(const Pk *m, const char *where, double *out) {
  const Pk *v = module_attribute(m, where, "conv_clamp");
  *out = -1;
  return !v || v->kind == PK_NONE || (pk_number(v, out) && isfinite(*out) && *out > 0);
}

/* Every part's attributes are searched: without this a made-up file could keep us busy for hours.
 */
static bool too_many(const Pk *modules) { return modules && modules->nitem > 2 * 128; }
static bool is_class(const Pk *holder, const char *key, const char *want) {
  PkText name;
  const Pk *v = key ? pk_get(pk_get(holder, "_modules"), key) : holder;
  return torch_module(v, &name) && pk_text_is(name, want);
}

static Status put_int(Net *n, const char *key, int64_t v) {
  char full[64], text[32];
  snprintf(full, sizeof full, "%s", key);
  snprintf(text, sizeof text, "%lld", (long long)v);
  return import_set_meta(n->im, full, text, n->e);
}

static Status put_real(Net *n, const char *key, double v) {
  char text[NUMBER_TEXT];
  number_write(text, "%.9g", v);
  return import_set_meta(n->im, key, text, n->e);
}

/* ---- generator ---- */
/* One convolution or toRGB of a block: clamp equal everywhere, leaky ReLU, noise. */
static Status check_layer(Net *n, const Pk *block, const char *res, const char *name, double *clamp,
                          bool *first) {
  const Pk *m = module_child(block, name), *act = pk_get(m, "activation"),
           *noise = pk_get(m, "use_noise");
  char where[160];
  snprintf(where, sizeof where, "synthesis.%s.%s", res, name);
  double c;
  if (!m) return ST_OK;
  if (!attr_clamp(m, NULL, &c)) return net_odd(n, where, "conv_clamp is no number");
  if (!*first && c != *clamp) return net_odd(n, where, "conv_clamp differs between layers");
  *clamp = c;
  *first = false;
  if (act && !pk_is(act, "lrelu")) return net_odd(n, where, "activation other than lrelu");
  if (noise && !(noise->kind == PK_BOOL && noise->integer))
    return net_odd(n, where, "no noise input");
  return ST_OK;
}

static Status check_blocks(Net *n, const Pk *synthesis, double *clamp) {
  const Pk *blocks = pk_get(synthesis, "_modules");
  bool first = true;
  if (too_many(blocks)) return net_odd(n, "synthesis", "more than 128 parts");
  for (size_t i = 0; blocks && blocks->kind == PK_DICT && i + 1 < blocks->nitem; i += 2) {
    const Pk *b = torch_module(blocks->item[i + 1], NULL),
             *arch = b ? module_attribute(b, NULL, "architecture") : NULL;
    char name[80];
    if (!b || blocks->item[i]->kind != PK_STR) continue;
    pk_show(blocks->item[i]->text, name);
    if (arch && !pk_is(arch, "skip")) return net_odd(n, name, "architecture other than skip");
    static const char *const layer[] = {"conv0", "conv1", "torgb"};
    for (int k = 0; k < 3; k++) TRY(check_layer(n, b, name, layer[k], clamp, &first));
  }
  return ST_OK;
}

static Status check_mapping(Net *n, const Pk *mapping) {
  const Pk *m = pk_get(mapping, "_modules");
  if (too_many(m)) return net_odd(n, "mapping", "more than 128 parts");
  for (size_t i = 0; m && m->kind == PK_DICT && i + 1 < m->nitem; i += 2) {
    const Pk *fc = torch_module(m->item[i + 1], NULL);
    double gain;
    if (!fc || m->item[i]->kind != PK_STR || m->item[i]->text.len < 2 ||
        memcmp(m->item[i]->text.start, "fc", 2) != 0)
      continue;
    if (pk_get(fc, "activation") && !pk_is(pk_get(fc, "activation"), "lrelu"))
      return net_odd(n, "mapping", "activation other than lrelu");
    if (pk_number(pk_get(fc, "bias_gain"), &gain) && fabs(gain - 0.01) > 1e-9)
      return net_odd(n, "mapping", "learning-rate multiplier other than 0.01");
  }
  return ST_OK;
}

/* channel_base and channel_max are written only when they give the widths that are there; otherwise
 * they are told by the tensors. */
static Status put_channels(Net *n, const Pk *m, const char *where, const char *key, const char *fmt,
                           int64_t res) {
  int64_t base = 32768, max = 512;
  attr_int(m, where, "channel_base", &base);
  attr_int(m, where, "channel_max", &max);
  for (int64_t r = 4; r <= res; r *= 2) {
    char name[96];
    snprintf(name, sizeof name, fmt, n->prefix, (int)r);
    const ImportTensor *t = import_find(n->im, name);
    if (t && t->shape.rank == 4 && t->shape.dim[1] != PRLX_MIN(base / r, max)) return ST_OK;
  }
  char full[64];
  snprintf(full, sizeof full, "%s.channel_base", key);
  TRY(put_int(n, full, base));
  snprintf(full, sizeof full, "%s.channel_max", key);
  return put_int(n, full, max);
}

static Status generator_config(Net *n) {
  static const char *const key[] = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"};
  const Pk *syn = module_child(n->G, "synthesis"), *map = module_child(n->G, "mapping");
  if (!syn || !map) return net_odd(n, "", "no synthesis and mapping inside");
  int64_t v = 0, layers = 8;
  for (int k = 0; k < COUNT_OF(key); k++) {
    char full[32];
    snprintf(full, sizeof full, "G.%s", key[k]);
    if (!attr_int(n->G, NULL, key[k], &v)) return net_odd(n, key[k], "is missing or no number");
    TRY(put_int(n, full, v));
    if (k == 3)
      TRY(put_channels(n, n->G, "synthesis_kwargs", "G", "%ssynthesis.b%d.conv1.weight",
                       PRLX_MIN(v, 4096)));
  }
  double clamp = -1;
  TRY(check_blocks(n, syn, &clamp));
  TRY(check_mapping(n, map));
  attr_int(map, NULL, "num_layers", &layers);
  TRY(put_int(n, "G.mapping_layers", layers));
  if (attr_int(n->G, NULL, "num_ws", &v)) TRY(put_int(n, "G.num_ws", v));
  return put_real(n, "G.conv_clamp", clamp);
}

/* ---- discriminator ---- */
static Status discriminator_config(Net *n) {
  static const char *const key[] = {"c_dim", "img_resolution", "img_channels"};
  int64_t v = 0, layers = 0;
  double clamp;
  for (int k = 0; k < COUNT_OF(key); k++) {
    char full[32];
    snprintf(full, sizeof full, "D.%s", key[k]);
    if (!attr_int(n->G, NULL, key[k], &v)) return net_odd(n, key[k], "is missing or no number");
    TRY(put_int(n, full, v));
    if (k == 1) TRY(put_channels(n, n->G, NULL, "D", "%sb%d.conv0.weight", PRLX_MIN(v, 4096)));
  }
  const Pk *blocks = pk_get(n->G, "_modules"),
           *mbstd = module_child(module_child(n->G, "b4"), "mbstd");
  if (too_many(blocks)) return net_odd(n, "", "more than 128 parts");
  for (size_t i = 0; blocks && blocks->kind == PK_DICT && i + 1 < blocks->nitem; i += 2) {
    const Pk *arch =
        module_attribute(torch_module(blocks->item[i + 1], NULL), NULL, "architecture");
    if (arch && !pk_is(arch, "resnet")) return net_odd(n, "", "architecture other than resnet");
  }
  char name[64];
  while (layers < 64 &&
         (snprintf(name, sizeof name, "%smapping.fc%d.weight", n->prefix, (int)layers),
          import_find(n->im, name)))
    layers++;
  if (!attr_clamp(n->G, NULL, &clamp)) return net_odd(n, "", "conv_clamp is no number");
  TRY(put_real(n, "D.conv_clamp", clamp));
  if (attr_int(mbstd, NULL, "group_size", &v)) TRY(put_int(n, "D.mbstd_group_size", v));
  if (attr_int(mbstd, NULL, "num_channels", &v)) TRY(put_int(n, "D.mbstd_num_channels", v));
  return put_int(n, "D.mapping_layers", layers);
}

/* ---- tensors ---- */
/* Every resample_filter must be outer([1,3,3,1])/64, the only one our networks have. */
static Status check_filters(const Import *im, Error *e) {
  static const double tap[4] = {1, 3, 3, 1};
  for (int k = 0; k < im->ntensor; k++) {
    const ImportTensor *t = &im->tensor[k];
    size_t len = strlen(t->name);
    if (len < 15 || strcmp(t->name + len - 15, "resample_filter") != 0) continue;
    if (t->type || !dtype_readable(t->dtype) || t->dtype == DT_BOOL ||
        (t->dtype >= DT_I64 && t->dtype <= DT_U16))
      continue; /* refused later, by its type */
    bool ok = shape_eq(t->shape, SHAPE2(4, 4));
    for (int i = 0; i < 16 && ok; i++) {
      double v;
      ok = import_number(im, t, i, &v) && fabs(v - tap[i / 4] * tap[i % 4] / 64) < 1e-6;
    }
    if (!ok)
      return err_set(e, ST_FORMAT,
                     "%s: %s is not the filter [1,3,3,1]; only this one is computed here", im->path,
                     t->name);
  }
  return ST_OK;
}

static const char *generator_prefix(const Import *im) {
  static const char *const prefix[] = {"G_ema.", "G.", ""};
  for (int k = 0; k < 3; k++) {
    char name[64];
    snprintf(name, sizeof name, "%ssynthesis.b4.const", prefix[k]);
    const ImportTensor *t = import_find(im, name);
    if (t && t->shape.rank == 3) return prefix[k];
  }
  return NULL;
}

bool import_net_needs(const char *name) {
  static const char *const last[] = {"weight",         "bias",  "const",          "noise_const",
                                     "noise_strength", "w_avg", "resample_filter"};
  const char *part = strchr(name, '.'), *dot = strrchr(name, '.');
  if (!part || (strncmp(part + 1, "synthesis.", 10) != 0 && strncmp(part + 1, "mapping.", 8) != 0 &&
                strncmp(name, "D.b", 3) != 0))
    return false;
  for (int k = 0; k < COUNT_OF(last); k++)
    if (!strcmp(dot + 1, last[k])) return true;
  return false;
}

bool import_is_count(const char *name) {
  return str_ends_with(name, ".total_ops") || str_ends_with(name, ".total_params");
}

static bool is_net_tensor(const char *name) {
  if (import_is_count(name)) return false;
  return !strncmp(name, "G_ema.", 6) || !strncmp(name, "G.", 2) || !strncmp(name, "D.", 2);
}

/* Bare names of a single network get the prefix that the rest of this project uses. */
static Status add_prefix(Import *im, Error *e) {
  for (int k = 0; k < im->ntensor; k++) {
    char name[220];
    snprintf(name, sizeof name, "G_ema.%s", im->tensor[k].name);
    TRY(import_rename(&im->tensor[k], name, e));
  }
  return ST_OK;
}

/* The checkpoint's module for a prefix: an entry of the dict, or the root itself. */
static const Pk *module_of(const Import *im, const char *key, const char *class_name) {
  const Pk *root = im->is_safetensors ? NULL : im->torch.tree.root,
           *v = root && root->kind == PK_DICT ? pk_get(root, key) : root;
  return v && is_class(v, NULL, class_name) ? torch_module(v, NULL) : NULL;
}

Status import_map_network(Import *im, bool *hit, Error *e) {
  if (import_find(im, "G_ema.synthesis.input.freqs") ||
      import_find(im, "G.synthesis.input.freqs") || import_find(im, "synthesis.input.freqs"))
    return err_set(e, ST_FORMAT, "%s: a StyleGAN3 network; only StyleGAN2-ADA is computed here",
                   im->path);
  const char *found = generator_prefix(im);
  *hit = found != NULL;
  if (!found) return ST_OK;
  bool bare = !*found;
  if (bare) TRY(add_prefix(im, e));
  const ImportTensor *p = import_find(im, "augment_pipe.p");
  double v;
  char text[NUMBER_TEXT];
  if (p && import_number(im, p, 0, &v)) {
    number_write(text, "%.9g", v);
    TRY(import_set_meta(im, "augment.p", text, e));
  }
  for (int k = im->ntensor - 1; k >= 0; k--)
    if (!is_net_tensor(im->tensor[k].name)) import_drop(im, k);
  if (im->dropped && !im->dropped_what[0])
    snprintf(im->dropped_what, sizeof im->dropped_what,
             "augmentation pipe and what else belongs to no network");
  const char *prefix = bare ? "G_ema." : found;
  Net n = {im, module_of(im, bare || !strcmp(found, "G_ema.") ? "G_ema" : "G", "Generator"), prefix,
           e};
  Net d = {im, module_of(im, "D", "Discriminator"), "D.", e};
  TRY(check_filters(im, e));
  if (n.G) TRY(generator_config(&n));
  if (d.G) TRY(discriminator_config(&d));
  im->kind = IMPORT_NETWORK;
  bool G = import_find(im, "G.synthesis.b4.const"), E = import_find(im, "G_ema.synthesis.b4.const"),
       D = import_find(im, "D.b4.out.weight");
  snprintf(im->title, sizeof im->title, "StyleGAN2-ADA %s:%s%s%s%s",
           n.G ? "checkpoint" : "state dict", E ? " G_ema" : "", G ? " G" : "", D ? " D" : "",
           n.G ? "" : "; conv_clamp is not in a state dict, 256 is assumed");
  return import_set_meta(im, "format", "prlx-network-1", e);
}
