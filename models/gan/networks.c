/* networks.c: which tensors the generator and the discriminator consist of: names, shapes, initial
 * values. The equations are in mapping.c (z -> w), synthesis.c (w -> image) and discriminator.c
 * (image -> logit).
 *
 *     z [512] --mapping--> w [512] --copied to every layer--> synthesis 4x4, 8x8, ... R x R -->
 *     image --discriminator--> logit
 *
 * Names are the usual StyleGAN2-ADA state-dict names, so weights move between implementations
 * without a converter. */
#include "models/gan/networks.h"
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"

GenConfig gen_config_paper(void) {
  return (GenConfig){.z_dim = 512,
                     .c_dim = 0,
                     .w_dim = 512,
                     .img_resolution = 64,
                     .img_channels = 1,
                     .mapping_layers = 2,
                     .channel_base = 16384,
                     .channel_max = 512,
                     .conv_clamp = 256};
}

GenConfig gen_config_small(void) {
  GenConfig c = gen_config_paper();
  c.z_dim = c.w_dim = 128;
  c.channel_base = 1024;
  c.channel_max = 128;
  return c;
}

DisConfig dis_config_for(const GenConfig *g) {
  return (DisConfig){.c_dim = g->c_dim,
                     .img_resolution = g->img_resolution,
                     .img_channels = g->img_channels,
                     .channel_base = g->channel_base,
                     .channel_max = g->channel_max,
                     .mbstd_group_size = 4,
                     .mbstd_num_channels = 1,
                     .mapping_layers = g->c_dim > 0 ? 8 : 0,
                     .conv_clamp = g->conv_clamp};
}

int net_channels(int res, int base, int max) { return PRLX_MIN(base / res, max); }

/* ---- layout ---- */

/* Appends tensors under printf-built names; the first error sticks. */
typedef struct Layout {
  Params *p;
  Error *e;
  Status st;
} Layout;

static void layout_add(Layout *l, Shape s, bool buffer, const char *prefix, const char *name) {
  if (l->st != ST_OK) return;
  char full[96];
  snprintf(full, sizeof full, "%s%s", prefix, name);
  l->st = params_add(l->p, full, s, buffer, l->e);
}

static Status check_sizes(const char *net, int res, int channels, int base, int max, int layers,
                          Error *e) {
  if (res < 4 || res > 1024 || (res & (res - 1)))
    return err_set(e, ST_INVALID, "%s: resolution %d; expected a power of two from 4 to 1024", net,
                   res);
  if (channels < 1 || channels > 4096)
    return err_set(e, ST_INVALID, "%s: %d image channels; expected 1 to 4096", net, channels);
  if (max < 1 || max > 65536 || base < res)
    return err_set(e, ST_INVALID,
                   "%s: channel_base %d, channel_max %d; expected channel_base at least the "
                   "resolution %d and channel_max from 1 to "
                   "65536",
                   net, base, max, res);
  if (layers < 0 || layers > 64)
    return err_set(e, ST_INVALID, "%s: %d mapping layers; expected 0 to 64", net, layers);
  return ST_OK;
}

/* A modulated 3x3 layer: SEMANTICS 2.1. */
static void add_synthesis_layer(Layout *l, const char *pre, int ci, int co, int w_dim, int res) {
  layout_add(l, SHAPE4(co, ci, 3, 3), false, pre, ".weight");
  layout_add(l, SHAPE0(), false, pre, ".noise_strength");
  layout_add(l, SHAPE1(co), false, pre, ".bias");
  layout_add(l, SHAPE2(ci, w_dim), false, pre, ".affine.weight");
  layout_add(l, SHAPE1(ci), false, pre, ".affine.bias");
  layout_add(l, SHAPE2(res, res), true, pre, ".noise_const");
}

static void add_mapping(Layout *l, int in, int c_dim, int w_dim, int layers) {
  char pre[64];
  if (c_dim > 0) {
    layout_add(l, SHAPE2(w_dim, c_dim), false, "mapping.embed", ".weight");
    layout_add(l, SHAPE1(w_dim), false, "mapping.embed", ".bias");
  }
  for (int i = 0; i < layers; i++) {
    snprintf(pre, sizeof pre, "mapping.fc%d", i);
    layout_add(l, SHAPE2(w_dim, i ? w_dim : in), false, pre, ".weight");
    layout_add(l, SHAPE1(w_dim), false, pre, ".bias");
  }
}

static void note_noise(Generator *G, const char *pre, int res) {
  snprintf(G->noise_name[G->num_noise], sizeof G->noise_name[0], "%.44s.noise_const", pre);
  G->noise_res[G->num_noise++] = res;
}

Status generator_new(Generator *G, const GenConfig *cfg, Error *e) {
  memset(G, 0, sizeof *G);
  TRY(check_sizes("generator", cfg->img_resolution, cfg->img_channels, cfg->channel_base,
                  cfg->channel_max, cfg->mapping_layers, e));
  if (cfg->z_dim < 1 || cfg->w_dim < 1 || cfg->c_dim < 0 || cfg->z_dim > 65536 ||
      cfg->w_dim > 65536 || cfg->c_dim > 65536)
    return err_set(e, ST_INVALID,
                   "generator: z_dim %d, w_dim %d, c_dim %d; expected z_dim and w_dim from 1, "
                   "c_dim from 0, all up to 65536",
                   cfg->z_dim, cfg->w_dim, cfg->c_dim);
  if (cfg->mapping_layers == 0 && (cfg->c_dim > 0 || cfg->z_dim != cfg->w_dim))
    return err_set(e, ST_INVALID,
                   "generator: no mapping layers with z_dim %d, w_dim %d, c_dim %d; without layers "
                   "z is used as w, so the sizes "
                   "must agree and labels are impossible",
                   cfg->z_dim, cfg->w_dim, cfg->c_dim);
  G->cfg = *cfg;
  Layout l = {&G->params, e, ST_OK};
  int before = 0;
  for (int res = 4; res <= cfg->img_resolution; res *= 2) {
    int c = net_channels(res, cfg->channel_base, cfg->channel_max);
    char pre[64];
    if (res == 4) {
      layout_add(&l, SHAPE3(c, 4, 4), false, "synthesis.b4", ".const");
    } else {
      snprintf(pre, sizeof pre, "synthesis.b%d.conv0", res);
      add_synthesis_layer(&l, pre, before, c, cfg->w_dim, res);
      note_noise(G, pre, res);
    }
    snprintf(pre, sizeof pre, "synthesis.b%d.conv1", res);
    add_synthesis_layer(&l, pre, c, c, cfg->w_dim, res);
    note_noise(G, pre, res);
    snprintf(pre, sizeof pre, "synthesis.b%d.torgb", res);
    layout_add(&l, SHAPE4(cfg->img_channels, c, 1, 1), false, pre, ".weight");
    layout_add(&l, SHAPE1(cfg->img_channels), false, pre, ".bias");
    layout_add(&l, SHAPE2(c, cfg->w_dim), false, pre, ".affine.weight");
    layout_add(&l, SHAPE1(c), false, pre, ".affine.bias");
    before = c;
  }
  G->num_ws = G->num_noise + 1;
  add_mapping(&l, cfg->z_dim + (cfg->c_dim > 0 ? cfg->w_dim : 0), cfg->c_dim, cfg->w_dim,
              cfg->mapping_layers);
  layout_add(&l, SHAPE1(cfg->w_dim), true, "mapping.w_avg", "");
  const Status st = l.st != ST_OK ? l.st : params_seal(&G->params, e);
  if (st != ST_OK) generator_free(G);
  return st;
}

Status discriminator_new(Discriminator *D, const DisConfig *cfg, Error *e) {
  memset(D, 0, sizeof *D);
  TRY(check_sizes("discriminator", cfg->img_resolution, cfg->img_channels, cfg->channel_base,
                  cfg->channel_max, cfg->mapping_layers, e));
  int c4 = net_channels(4, cfg->channel_base, cfg->channel_max), F = cfg->mbstd_num_channels;
  if (F < 0 || (F > 0 && (cfg->mbstd_group_size < 1 || c4 % F)))
    return err_set(e, ST_INVALID,
                   "discriminator: minibatch stddev with %d channels, groups of %d; expected a "
                   "number of channels that divides %d and "
                   "groups of at least 1",
                   F, cfg->mbstd_group_size, c4);
  if (cfg->c_dim < 0 || cfg->c_dim > 65536)
    return err_set(e, ST_INVALID, "discriminator: c_dim %d; expected 0 to 65536", cfg->c_dim);
  D->cfg = *cfg;
  Layout l = {&D->params, e, ST_OK};
  char pre[64];
  for (int res = cfg->img_resolution; res >= 8; res /= 2) {
    int c = net_channels(res, cfg->channel_base, cfg->channel_max),
        next = net_channels(res / 2, cfg->channel_base, cfg->channel_max);
    snprintf(pre, sizeof pre, "b%d", res);
    if (res == cfg->img_resolution) {
      layout_add(&l, SHAPE4(c, cfg->img_channels, 1, 1), false, pre, ".fromrgb.weight");
      layout_add(&l, SHAPE1(c), false, pre, ".fromrgb.bias");
    }
    layout_add(&l, SHAPE4(c, c, 3, 3), false, pre, ".conv0.weight");
    layout_add(&l, SHAPE1(c), false, pre, ".conv0.bias");
    layout_add(&l, SHAPE4(next, c, 3, 3), false, pre, ".conv1.weight");
    layout_add(&l, SHAPE1(next), false, pre, ".conv1.bias");
    layout_add(&l, SHAPE4(next, c, 1, 1), false, pre, ".skip.weight");
  }
  if (cfg->img_resolution == 4) {
    layout_add(&l, SHAPE4(c4, cfg->img_channels, 1, 1), false, "b4", ".fromrgb.weight");
    layout_add(&l, SHAPE1(c4), false, "b4", ".fromrgb.bias");
  }
  if (cfg->c_dim > 0) add_mapping(&l, c4, cfg->c_dim, c4, cfg->mapping_layers);
  layout_add(&l, SHAPE4(c4, c4 + F, 3, 3), false, "b4", ".conv.weight");
  layout_add(&l, SHAPE1(c4), false, "b4", ".conv.bias");
  layout_add(&l, SHAPE2(c4, c4 * 16), false, "b4", ".fc.weight");
  layout_add(&l, SHAPE1(c4), false, "b4", ".fc.bias");
  int out = cfg->c_dim > 0 ? c4 : 1;
  layout_add(&l, SHAPE2(out, c4), false, "b4", ".out.weight");
  layout_add(&l, SHAPE1(out), false, "b4", ".out.bias");
  const Status st = l.st != ST_OK ? l.st : params_seal(&D->params, e);
  if (st != ST_OK) discriminator_free(D);
  return st;
}

void generator_free(Generator *G) {
  params_free(&G->params);
  memset(G, 0, sizeof *G);
}

void discriminator_free(Discriminator *D) {
  params_free(&D->params);
  memset(D, 0, sizeof *D);
}

/* ---- initial and formula values ---- */

typedef enum {
  KIND_NORMAL,
  KIND_MAPPING_WEIGHT,
  KIND_MAPPING_BIAS,
  KIND_AFFINE_BIAS,
  KIND_SMALL
} TensorKind;

/* What a tensor is, from its name: decides initial value and formula row. */
static TensorKind kind_of(const char *name) {
  bool fc = !strncmp(name, "mapping.fc", 10);
  if (str_ends_with(name, ".weight")) return fc ? KIND_MAPPING_WEIGHT : KIND_NORMAL;
  if (str_ends_with(name, ".const") || str_ends_with(name, ".noise_const")) return KIND_NORMAL;
  if (str_ends_with(name, "affine.bias")) return KIND_AFFINE_BIAS;
  return fc ? KIND_MAPPING_BIAS : KIND_SMALL;
}

/* Weights start as N(0,1); the mapping's learning-rate multiplier 0.01 sits in its parametrisation,
 * hence N(0,1)/0.01. */
static void params_reset(Params *p, Rng *r) {
  for (int i = 0; i < p->n; i++) {
    ParamEntry *t = &p->entry[i];
    TensorKind k = kind_of(t->name);
    if (k == KIND_NORMAL || k == KIND_MAPPING_WEIGHT) {
      rng_fill_normal(r, t->data, t->numel);
      if (k == KIND_MAPPING_WEIGHT)
        for (int64_t j = 0; j < t->numel; j++) t->data[j] *= 100;
    } else {
      for (int64_t j = 0; j < t->numel; j++) t->data[j] = k == KIND_AFFINE_BIAS ? 1 : 0;
    }
  }
}

void generator_reset(Generator *G, Rng *r) { params_reset(&G->params, r); }
void discriminator_reset(Discriminator *D, Rng *r) { params_reset(&D->params, r); }

static void params_formula(Params *p, const char *prefix) {
  static const struct {
    double scale;
    double offset;
  } row[] = {[KIND_NORMAL] = {1.7320508075688772, 0},
             [KIND_MAPPING_WEIGHT] = {173.20508075688772, 0},
             [KIND_MAPPING_BIAS] = {10, 0},
             [KIND_AFFINE_BIAS] = {0.1, 1},
             [KIND_SMALL] = {0.1, 0}};
  for (int i = 0; i < p->n; i++) {
    char full[128];
    TensorKind k = kind_of(p->entry[i].name);
    snprintf(full, sizeof full, "%s%s", prefix, p->entry[i].name);
    formula_fill(p->entry[i].data, p->entry[i].numel, full, row[k].scale, row[k].offset);
  }
}

void generator_formula(Generator *G, const char *prefix) { params_formula(&G->params, prefix); }
void discriminator_formula(Discriminator *D, const char *prefix) {
  params_formula(&D->params, prefix);
}
