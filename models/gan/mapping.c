/* mapping.c: the mapping network f: z -> w (Karras et al. 2019, fig. 1b), the copies of w for every
 * layer, truncation and style mixing.
 *
 *     x = z / sqrt(mean z^2)            with labels: x = [norm(z), norm(embed(c))]
 *     x <- sqrt(2) lrelu(x (g W)^T + 0.01 b)   for every layer, the last one too;  g = 0.01 /
 *       sqrt(fan_in)
 *
 * SEMANTICS 1.5, 1.6, 2.2. */
#include <math.h>
#include <stdio.h>
#include "models/gan/networks.h"

Val g_dense(Graph *g, Val x, Val weight, Val bias, double lr_mul, bool lrelu) {
  double fan_in = (double)graph_dim(g, weight, 1);
  /* The gain goes onto the product, not onto W: [N,out] is smaller than [out,in]. */
  Val y = g_axpb(g, g_matmul(g, x, weight, false, true), lr_mul / sqrt(fan_in), 0);
  if (bias) {
    int64_t out = graph_dim(g, weight, 0);
    Val b = g_reshape(g, bias, SHAPE2(1, out));
    y = g_add(g, y, lr_mul == 1 ? b : g_axpb(g, b, lr_mul, 0));
  }
  return lrelu ? g_lrelu(g, y, 0.2, sqrt(2), -1) : y;
}

Val g_normalize_2nd_moment(Graph *g, Val x) {
  return g_mul(g, x, g_rsqrt0(g, g_axpb(g, g_mean(g, g_square(g, x), 1u << 1), 1, 1e-8)));
}

Val net_embed(Graph *g, const Params *p, Val c, bool frozen) {
  return g_normalize_2nd_moment(g,
                                g_dense(g, c, params_leaf(g, p, "mapping.embed.weight", frozen),
                                        params_leaf(g, p, "mapping.embed.bias", frozen), 1, false));
}

Val net_mapping_layers(Graph *g, const Params *p, Val x, int layers, bool frozen) {
  for (int i = 0; i < layers; i++) {
    char w[64], b[64];
    snprintf(w, sizeof w, "mapping.fc%d.weight", i);
    snprintf(b, sizeof b, "mapping.fc%d.bias", i);
    x = g_dense(g, x, params_leaf(g, p, w, frozen), params_leaf(g, p, b, frozen), 0.01, true);
  }
  return x;
}

Val g_mapping(Graph *g, const Generator *G, Val z, Val c, bool frozen) {
  if ((G->cfg.c_dim > 0) != (c != 0))
    return graph_fail(g, ST_INVALID, "mapping: labels %s; this network has %d label entries",
                      c ? "given" : "missing", G->cfg.c_dim);
  Val x = g_normalize_2nd_moment(g, z);
  if (c) x = g_concat(g, x, net_embed(g, &G->params, c, frozen), 1);
  return net_mapping_layers(g, &G->params, x, G->cfg.mapping_layers, frozen);
}

Val g_broadcast_ws(Graph *g, const Generator *G, Val w, double psi, int cutoff) {
  int64_t n = graph_dim(g, w, 0), dim = graph_dim(g, w, 1);
  Val all = g_broadcast(g, g_reshape(g, w, SHAPE3(n, 1, dim)), SHAPE3(n, G->num_ws, dim));
  if (psi == 1 || cutoff == 0) return all;
  Val avg = g_reshape(g, params_leaf(g, &G->params, "mapping.w_avg", false), SHAPE2(1, dim));
  Val t = g_add(g, avg, g_axpb(g, g_sub(g, w, avg), psi, 0));
  t = g_broadcast(g, g_reshape(g, t, SHAPE3(n, 1, dim)), SHAPE3(n, G->num_ws, dim));
  if (cutoff < 0 || cutoff >= G->num_ws) return t;
  return g_concat(g, g_slice(g, t, 1, 0, cutoff, 1),
                  g_slice(g, all, 1, cutoff, G->num_ws - cutoff, 1), 1);
}

Val g_style_mix(Graph *g, Val ws1, Val ws2, Val mask) {
  int64_t k = graph_dim(g, ws1, 1);
  Val m = g_reshape(g, mask, SHAPE3(1, k, 1));
  return g_add(g, g_mul(g, ws1, g_axpb(g, m, -1, 1)), g_mul(g, ws2, m));
}
