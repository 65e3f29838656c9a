/* layers.c: see layers.h */
#include "tools/view/layers.h"
#include <string.h>

typedef struct Total {
  int64_t params;
  double mac;
} Total;

/* Trainable numbers of all tensors whose name starts with `prefix` and a dot, or is `prefix`. */
static int64_t count_params(const Params *p, const char *prefix) {
  size_t n = strlen(prefix);
  int64_t sum = 0;
  for (int i = 0; i < p->n; i++)
    if (!p->entry[i].buffer && !strncmp(p->entry[i].name, prefix, n) &&
        (p->entry[i].name[n] == 0 || p->entry[i].name[n] == '.'))
      sum += p->entry[i].numel;
  return sum;
}

static void layers_row(FILE *f, Total *t, const Params *p, const char *name, const char *params_of,
                       int c, int res, double mac) {
  char shape[32];
  int64_t n = count_params(p, params_of);
  if (res > 0)
    snprintf(shape, sizeof shape, "[%d,%d,%d]", c, res, res);
  else
    snprintf(shape, sizeof shape, "[%d]", c);
  fprintf(f, "  %-24s %-14s %11lld %10.2f\n", name, shape, (long long)n, mac / 1e6);
  t->params += n;
  t->mac += mac;
}

static void layers_head(FILE *f, const char *title) {
  fprintf(f, "%-26s %-14s %11s %10s\n", title, "output", "parameters", "M mult-add");
}

static void layers_foot(FILE *f, const Total *t) {
  fprintf(f, "  %-24s %-14s %11lld %10.2f\n", "total", "", (long long)t->params, t->mac / 1e6);
}

static void print_mapping(FILE *f, Total *t, const Params *p, int layers, int in, int embed_in,
                          int out) {
  char name[64];
  if (embed_in > 0)
    layers_row(f, t, p, "mapping.embed", "mapping.embed", out, 0, (double)embed_in * out);
  for (int i = 0; i < layers; i++) {
    snprintf(name, sizeof name, "mapping.fc%d", i);
    layers_row(f, t, p, name, name, out, 0, (double)(i == 0 ? in : out) * out);
  }
}

static void print_generator(FILE *f, const Generator *G) {
  const GenConfig *c = &G->cfg;
  Total t = {0, 0};
  char name[64], full[80];
  layers_head(f, "generator");
  /* a label is embedded to z_dim numbers and joined to z; the first layer then sees both */
  if (c->c_dim > 0)
    layers_row(f, &t, &G->params, "mapping.embed", "mapping.embed", c->w_dim, 0,
               (double)c->c_dim * c->w_dim);
  print_mapping(f, &t, &G->params, c->mapping_layers, c->z_dim + (c->c_dim > 0 ? c->w_dim : 0), 0,
                c->w_dim);
  for (int res = 4; res <= c->img_resolution; res *= 2) {
    int co = net_channels(res, c->channel_base, c->channel_max),
        ci = res > 4 ? net_channels(res / 2, c->channel_base, c->channel_max) : co;
    double px = (double)res * res;
    if (res == 4) layers_row(f, &t, &G->params, "b4.const", "synthesis.b4.const", co, 4, 0);
    if (res > 4) {
      snprintf(name, sizeof name, "b%d.conv0 3x3 up 2", res);
      snprintf(full, sizeof full, "synthesis.b%d.conv0", res);
      layers_row(f, &t, &G->params, name, full, co, res,
                 px / 4 * 9 * ci * co + (double)c->w_dim * ci);
    }
    snprintf(name, sizeof name, "b%d.conv1 3x3", res);
    snprintf(full, sizeof full, "synthesis.b%d.conv1", res);
    layers_row(f, &t, &G->params, name, full, co, res, px * 9 * co * co + (double)c->w_dim * co);
    snprintf(name, sizeof name, "b%d.torgb 1x1", res);
    snprintf(full, sizeof full, "synthesis.b%d.torgb", res);
    layers_row(f, &t, &G->params, name, full, c->img_channels, res,
               px * co * c->img_channels + (double)c->w_dim * co);
  }
  layers_foot(f, &t);
}

static void print_discriminator(FILE *f, const Discriminator *D) {
  const DisConfig *c = &D->cfg;
  Total t = {0, 0};
  char name[64], full[80];
  int c4 = net_channels(4, c->channel_base, c->channel_max), out = c->c_dim > 0 ? c4 : 1;
  layers_head(f, "discriminator");
  for (int res = c->img_resolution; res > 4; res /= 2) {
    int ci = net_channels(res, c->channel_base, c->channel_max),
        co = net_channels(res / 2, c->channel_base, c->channel_max);
    double px = (double)res * res;
    if (res == c->img_resolution) {
      snprintf(name, sizeof name, "b%d.fromrgb 1x1", res);
      snprintf(full, sizeof full, "b%d.fromrgb", res);
      layers_row(f, &t, &D->params, name, full, ci, res, px * c->img_channels * ci);
    }
    snprintf(name, sizeof name, "b%d.conv0 3x3", res);
    snprintf(full, sizeof full, "b%d.conv0", res);
    layers_row(f, &t, &D->params, name, full, ci, res, px * 9 * ci * ci);
    snprintf(name, sizeof name, "b%d.conv1 3x3 down 2", res);
    snprintf(full, sizeof full, "b%d.conv1", res);
    layers_row(f, &t, &D->params, name, full, co, res / 2, px / 4 * 9 * ci * co);
    snprintf(name, sizeof name, "b%d.skip 1x1 down 2", res);
    snprintf(full, sizeof full, "b%d.skip", res);
    layers_row(f, &t, &D->params, name, full, co, res / 2, px / 4 * ci * co);
  }
  print_mapping(f, &t, &D->params, c->c_dim > 0 ? c->mapping_layers : 0, c4, c->c_dim, c4);
  layers_row(f, &t, &D->params, "b4.conv 3x3", "b4.conv", c4, 4,
             16.0 * 9 * (c4 + c->mbstd_num_channels) * c4);
  layers_row(f, &t, &D->params, "b4.fc", "b4.fc", c4, 0, 16.0 * c4 * c4);
  layers_row(f, &t, &D->params, "b4.out", "b4.out", out, 0, (double)c4 * out);
  layers_foot(f, &t);
}

void layers_print(FILE *f, const Generator *G, const Discriminator *D) {
  print_generator(f, G);
  if (D) print_discriminator(f, D);
}
