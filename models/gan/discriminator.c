/* discriminator.c: image -> logit; residual discriminator with minibatch standard deviation and
 * label projection (Karras et al. 2019b fig. 7c; Karras et al. 2018 section 3; Miyato & Koyama 2018
 * for the projection).
 *
 *     x = fromRGB(img);  per block:  x <- (down(conv1x1(x)) + down(conv3x3(conv3x3(x)))) *
 *     sqrt(1/2)
 *     4x4: x = conv3x3([x, stddev over the group]); logit = out(fc(x));   with labels: sum_j out_j
 *       cmap_j / sqrt(dim)
 *
 * SEMANTICS section 3. */
#include <math.h>
#include <stdio.h>
#include "models/gan/networks.h"

/* Groups are strided: viewed as [G,n,F,C/F,HW], sample j belongs to group j mod n. */
Val g_minibatch_stddev(Graph *g, Val x, int group_size, int num_channels) {
  Shape s = graph_shape(g, x);
  if (!x || s.rank != 4)
    return x ? graph_fail(g, ST_INVALID, "minibatch stddev: rank %d; expected [N,C,H,W]", s.rank)
             : 0;
  int64_t N = s.dim[0], G = PRLX_MIN(group_size, N), F = num_channels;
  if (G < 1 || N % G || F < 1 || s.dim[1] % F)
    return graph_fail(g, ST_INVALID,
                      "minibatch stddev: batch %lld in groups of %lld, %lld channels in %lld "
                      "parts; both must divide evenly",
                      (long long)N, (long long)G, (long long)s.dim[1], (long long)F);
  int64_t n = N / G, hw = s.dim[2] * s.dim[3];
  Val v = g_reshape(g, x, SHAPE5(G, n, F, s.dim[1] / F, hw));
  v = g_sub(g, v, g_mean(g, v, 1u << 0));
  v = g_mean(g, g_square(g, v), 1u << 0);
  v = g_mean(g, g_sqrt0(g, g_axpb(g, v, 1, 1e-8)), 1u << 3 | 1u << 4); /* [1,n,F,1,1] */
  v = g_broadcast(g, g_reshape(g, v, SHAPE4(1, n, F, 1)), SHAPE4(G, n, F, hw));
  return g_concat(g, x, g_reshape(g, v, SHAPE4(N, F, s.dim[2], s.dim[3])), 1);
}

typedef struct Dis {
  Graph *g;
  const Discriminator *D;
  bool frozen;
} Dis;

static Val dis_leaf(const Dis *s, int res, const char *name) {
  char full[96];
  snprintf(full, sizeof full, "b%d.%s", res, name);
  return params_leaf(s->g, &s->D->params, full, s->frozen);
}

/* w * gain / sqrt(fan_in): equalised learning rate (Karras et al. 2018, section 4.1). On the
 * weight, which is smaller than the activations. */
static Val dis_scaled(const Dis *s, int res, const char *name, double gain) {
  Val w = dis_leaf(s, res, name);
  Shape d = graph_shape(s->g, w);
  return g_axpb(s->g, w, gain / sqrt((double)(d.dim[1] * d.dim[2] * d.dim[3])), 0);
}

/* act_gain multiplies both the activation's gain and the clamp. */
static Val bias_act(const Dis *s, Val y, int res, const char *bias, double act_gain) {
  double clamp = s->D->cfg.conv_clamp;
  Val b = dis_leaf(s, res, bias);
  b = g_reshape(s->g, b, SHAPE4(1, graph_dim(s->g, b, 0), 1, 1));
  return g_lrelu(s->g, g_add(s->g, y, b), 0.2, act_gain == 1 ? sqrt(2) : sqrt(2) * act_gain,
                 clamp >= 0 ? clamp * act_gain : -1);
}

static Val dis_block(const Dis *s, Val x, int res) {
  Graph *g = s->g;
  const double half = sqrt(0.5);
  const ResampledConv skip = {.up = 1, .down = 2, .padding = 0, .flip_weight = true},
                      same = {.up = 1, .down = 1, .padding = 1, .flip_weight = true},
                      smaller = {.up = 1, .down = 2, .padding = 1, .flip_weight = true};
  Val y = g_conv2d_resample(g, x, dis_scaled(s, res, "skip.weight", half), &skip);
  x = bias_act(s, g_conv2d_resample(g, x, dis_scaled(s, res, "conv0.weight", 1), &same), res,
               "conv0.bias", 1);
  x = bias_act(s, g_conv2d_resample(g, x, dis_scaled(s, res, "conv1.weight", 1), &smaller), res,
               "conv1.bias", half);
  return g_add(g, y, x);
}

static Val dis_epilogue(const Dis *s, Val x) {
  Graph *g = s->g;
  const DisConfig *c = &s->D->cfg;
  if (c->mbstd_num_channels > 0)
    x = g_minibatch_stddev(g, x, c->mbstd_group_size, c->mbstd_num_channels);
  x = bias_act(s, g_conv2d(g, x, dis_scaled(s, 4, "conv.weight", 1), 1, 1), 4, "conv.bias", 1);
  Shape d = graph_shape(g, x);
  x = g_reshape(g, x, SHAPE2(d.dim[0], d.dim[1] * d.dim[2] * d.dim[3]));
  x = g_dense(g, x, dis_leaf(s, 4, "fc.weight"), dis_leaf(s, 4, "fc.bias"), 1, true);
  return g_dense(g, x, dis_leaf(s, 4, "out.weight"), dis_leaf(s, 4, "out.bias"), 1, false);
}

Val g_discriminator(Graph *g, const Discriminator *D, Val img, Val c, bool frozen, DisTaps *taps) {
  Dis s = {g, D, frozen};
  const DisConfig *cfg = &D->cfg;
  Shape d = graph_shape(g, img);
  if (taps) {
    taps->n = 0;
    taps->cmap = 0;
  }
  if ((cfg->c_dim > 0) != (c != 0))
    return graph_fail(g, ST_INVALID, "discriminator: labels %s; this network has %d label entries",
                      c ? "given" : "missing", cfg->c_dim);
  if (img && (d.rank != 4 || d.dim[1] != cfg->img_channels || d.dim[2] != cfg->img_resolution ||
              d.dim[3] != cfg->img_resolution)) {
    char buf[96];
    return graph_fail(g, ST_INVALID, "discriminator: images %s; expected [N,%d,%d,%d]",
                      shape_str(d, buf), cfg->img_channels, cfg->img_resolution,
                      cfg->img_resolution);
  }
  int R = cfg->img_resolution;
  Val x = bias_act(&s, g_conv2d(g, img, dis_scaled(&s, R, "fromrgb.weight", 1), 1, 0), R,
                   "fromrgb.bias", 1);
  for (int res = R; res >= 8; res /= 2) {
    x = dis_block(&s, x, res);
    if (taps) taps->x[taps->n++] = x;
  }
  Val out = dis_epilogue(&s, x);
  if (!c) return out;
  Val cmap = net_mapping_layers(g, &D->params, net_embed(g, &D->params, c, frozen),
                                cfg->mapping_layers, frozen);
  if (taps) taps->cmap = cmap;
  return g_axpb(g, g_sum(g, g_mul(g, out, cmap), 1u << 1), 1 / sqrt((double)graph_dim(g, cmap, 1)),
                0);
}
