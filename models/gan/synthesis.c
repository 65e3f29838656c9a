/* synthesis.c: w -> image (Karras et al. 2019b, "Analyzing and Improving the Image Quality of
 * StyleGAN", fig. 2d and eq. 1-3).
 *
 *     s  = affine(w)                                    one factor per input channel and sample
 *     d  = 1 / sqrt( sum_{i,kh,kw} (W_oi s_i)^2 + 1e-8 )     "demodulation": output variance 1
 *       again
 *     y  = d * conv(s * x, W) + noise_strength * noise;  y <- clamp(sqrt(2) lrelu(y + b))
 *     image = upsample(image of the block below) + toRGB(y)
 *
 * Scaling activations before and after one shared convolution equals convolving with per-sample
 * weights W s d, and lets the planner fold s, d, noise, bias and activation into the convolution.
 * SEMANTICS 1.2, 1.4, 2.3, 2.4. */
#include <math.h>
#include <stdio.h>
#include "models/gan/networks.h"

/* ---- resampling with the [1,3,3,1] filter ---- */

/* The constant separable [1,3,3,1]/8: [4]. */
static Val resample_filter(Graph *g) {
  static const real taps[4] = {0.125, 0.375, 0.375, 0.125};
  return g_const(g, SHAPE1(4), taps);
}

static Val image_upfirdn(Graph *g, Val x, Val f, int up, int down, int p0, int p1, double gain) {
  UpFirDn p = {.upx = up,
               .upy = up,
               .downx = down,
               .downy = down,
               .padx0 = p0,
               .padx1 = p1,
               .pady0 = p0,
               .pady1 = p1,
               .flip = 0,
               .gain = gain};
  return g_upfirdn2d(g, x, f, &p);
}

Val g_upsample2d(Graph *g, Val x, Val f, int taps, int factor) {
  return image_upfirdn(g, x, f, factor, 1, (taps + factor - 1) / 2, (taps - factor) / 2,
                       (double)factor * factor);
}

Val g_downsample2d(Graph *g, Val x, Val f, int taps, int factor) {
  return image_upfirdn(g, x, f, 1, factor, (taps - factor + 1) / 2, (taps - factor) / 2, 1);
}

Val g_filter2d(Graph *g, Val x, Val f, int taps) {
  return image_upfirdn(g, x, f, 1, 1, taps / 2, (taps - 1) / 2, 1);
}

static Val swap_io(Graph *g, Val w) {
  static const int axes[4] = {1, 0, 2, 3};
  return g_permute(g, w, axes);
}

Val g_conv2d_resample(Graph *g, Val x, Val w, const ResampledConv *c) {
  const int T = 4; /* taps of the resampling filter */
  const int up = c->up, down = c->down;
  int k = (int)graph_dim(g, w, 2), p0 = c->padding, p1 = c->padding;
  if (up > 1) {
    p0 += (T + up - 1) / 2;
    p1 += (T - up) / 2;
  }
  if (down > 1) {
    p0 += (T - down + 1) / 2;
    p1 += (T - down) / 2;
  }
  const unsigned spatial_flip = 1u << 2 | 1u << 3;
  if (up == 1 && down == 1)
    return g_conv2d(g, x, c->flip_weight || k == 1 ? w : g_flip(g, w, spatial_flip), 1, c->padding);
  Val f = resample_filter(g);
  if (k == 1 && up == 1) return g_conv2d(g, image_upfirdn(g, x, f, 1, down, p0, p1, 1), w, 1, 0);
  if (k == 1 && down == 1)
    return image_upfirdn(g, g_conv2d(g, x, w, 1, 0), f, up, 1, p0, p1, (double)up * up);
  if (up == 1) {
    Val wc = c->flip_weight ? w : g_flip(g, w, spatial_flip);
    return g_conv2d(g, image_upfirdn(g, x, f, 1, 1, p0, p1, 1), wc, down, 0);
  }
  /* Up: a transposed convolution IS zero insertion followed by a true convolution, so the unflipped
   * kernel is the "not flipped weight" case. */
  p0 -= k - 1;
  p1 -= k - up;
  int pt = PRLX_MAX(PRLX_MIN(-p0, -p1), 0);
  Val wt = swap_io(g, c->flip_weight ? g_flip(g, w, spatial_flip) : w);
  int64_t h = (graph_dim(g, x, 2) - 1) * up + k - 2 * pt,
          wo = (graph_dim(g, x, 3) - 1) * up + k - 2 * pt;
  Val y = image_upfirdn(g, g_conv2d_dx(g, x, wt, up, pt, h, wo), f, 1, 1, p0 + pt, p1 + pt,
                        (double)up * up);
  return down > 1 ? image_upfirdn(g, y, f, 1, down, 0, 0, 1) : y;
}

/* ---- modulated convolution ---- */

static Val as_channels(Graph *g, Val v) { /* [N,C] -> [N,C,1,1] */
  return g_reshape(g, v, SHAPE4(graph_dim(g, v, 0), graph_dim(g, v, 1), 1, 1));
}

static Val as_bias(Graph *g, Val v) { /* [C] -> [1,C,1,1] */
  return g_reshape(g, v, SHAPE4(1, graph_dim(g, v, 0), 1, 1));
}

static Val as_noise(Graph *g, Val v) { /* [H,W] -> [1,1,H,W]; rank 4 stays */
  Shape s = graph_shape(g, v);
  return s.rank == 2 ? g_reshape(g, v, SHAPE4(1, 1, s.dim[0], s.dim[1])) : v;
}

/* sum_k W_oik^2 [Co,Ci], k over kernel positions: all that demodulation needs to know of W. */
static Val weight_energy(Graph *g, Val w) {
  const Shape d = graph_shape(g, w);
  return g_reshape(g, g_sum(g, g_square(g, w), 1u << 2 | 1u << 3), SHAPE2(d.dim[0], d.dim[1]));
}

/* d [N,Co] = 1 / sqrt( sum_i s_i^2 sum_k W_oik^2 + 1e-8 ). */
static Val style_demodulation(Graph *g, Val energy, Val s) {
  return g_rsqrt0(g, g_axpb(g, g_matmul(g, g_square(g, s), energy, false, true), 1, 1e-8));
}

/* For graph_half_range: v <- v / size, where size = sqrt(scale * square + 1e-12); d <- d * size.
 * square: sums of squares, [N,1] of styles or [Co,1] of weights. d conv(s x, W) is the same for any
 * sizes: they need no gradient. */
static void normalise_factor(Graph *g, Val *v, Val square, double scale, Val *d) {
  square = g_detach(g, square);
  const int64_t n = graph_dim(g, square, 0);
  const bool rows = graph_shape(g, *v).rank == 4; /* W: a size for each output channel */
  /* stretched first where that is small: the planner makes one loop of what has one shape */
  const Val of_v = rows ? g_reshape(g, square, SHAPE4(n, 1, 1, 1))
                        : g_broadcast(g, square, graph_shape(g, *v)),
            of_d = g_broadcast(g, g_reshape(g, square, rows ? SHAPE2(1, n) : SHAPE2(n, 1)),
                               graph_shape(g, *d));
  *v = g_mul(g, *v, g_rsqrt0(g, g_axpb(g, of_v, scale, 1e-12)));
  *d = g_mul(g, *d, g_sqrt0(g, g_axpb(g, of_d, scale, 1e-12)));
}

/* Undemodulated maps are 1/d times as large as their results: 33 to 71 in a small network, up to
 * 800 at 512 channels, which with activations up to the clamp of 256 is more than f16 holds. So
 * styles and weights come to unit size before the convolution, as the ADA paper does (Karras et al.
 * 2020, appendix on mixed precision): |y| <= max|x| sqrt(Ci k^2), at most 17378 for 512 channels,
 * whatever s and W are, and the gradient, multiplied by d on its way back, keeps its size, too. */
Val g_modulated_conv(Graph *g, Val x, Val w, Val s, Val noise, const ModulatedConv *c) {
  const ResampledConv conv = {c->conv.up, 1, c->conv.padding, c->conv.flip_weight};
  const Val energy = c->demodulate ? weight_energy(g, w) : 0;
  Val d = energy ? style_demodulation(g, energy, s) : 0;
  if (d && graph_is_half_range(g)) {
    const Val s2 = g_sum(g, g_square(g, s), 1u << 1);
    normalise_factor(g, &s, s2, 1.0 / (double)graph_dim(g, s, 1), &d);
    normalise_factor(g, &w, g_sum(g, energy, 1u << 1), 1, &d);
  }
  Val y = g_conv2d_resample(g, g_mul(g, x, as_channels(g, s)), w, &conv);
  if (d) y = g_mul(g, y, as_channels(g, d));
  return noise ? g_add(g, y, as_noise(g, noise)) : y;
}

/* ---- the network ---- */

typedef struct Syn {
  Graph *g;
  const Generator *G;
  const SynthOptions *o;
  Val ws;
  int noise_index;
} Syn;

static Val syn_leaf(const Syn *s, const char *pre, const char *name) {
  char full[96];
  snprintf(full, sizeof full, "%s.%s", pre, name);
  return params_leaf(s->g, &s->G->params, full, s->o->frozen);
}

/* Style of a layer: affine(ws[:, index]). */
static Val syn_style(const Syn *s, const char *pre, int index) {
  Val w = g_slice(s->g, s->ws, 1, index, 1, 1);
  w = g_reshape(s->g, w, SHAPE2(graph_dim(s->g, s->ws, 0), s->G->cfg.w_dim));
  return g_dense(s->g, w, syn_leaf(s, pre, "affine.weight"), syn_leaf(s, pre, "affine.bias"), 1,
                 false);
}

static Val layer_noise(Syn *s, const char *pre) {
  int k = s->noise_index++;
  if (s->o->noise == NOISE_NONE) return 0;
  Val n = s->o->noise == NOISE_CONST ? syn_leaf(s, pre, "noise_const") : s->o->noise_maps[k];
  return g_mul(s->g, as_noise(s->g, n), syn_leaf(s, pre, "noise_strength"));
}

static Val synthesis_layer(Syn *s, Val x, const char *pre, int ws_index, int up) {
  Graph *g = s->g;
  const ModulatedConv c = {{.up = up, .padding = 1, .flip_weight = up == 1}, .demodulate = true};
  Val y = g_modulated_conv(g, x, syn_leaf(s, pre, "weight"), syn_style(s, pre, ws_index),
                           layer_noise(s, pre), &c);
  return g_lrelu(g, g_add(g, y, as_bias(g, syn_leaf(s, pre, "bias"))), 0.2, sqrt(2),
                 s->G->cfg.conv_clamp);
}

/* No demodulation here; 1/sqrt(C_in) is on the style. */
static Val to_rgb(Syn *s, Val x, const char *pre, int ws_index) {
  Graph *g = s->g;
  Val st = g_axpb(g, syn_style(s, pre, ws_index), 1 / sqrt((double)graph_dim(g, x, 1)), 0);
  const ModulatedConv c = {{.up = 1, .flip_weight = true}, .demodulate = false};
  Val y = g_modulated_conv(g, x, syn_leaf(s, pre, "weight"), st, 0, &c);
  y = g_add(g, y, as_bias(g, syn_leaf(s, pre, "bias")));
  return s->G->cfg.conv_clamp >= 0 ? g_lrelu(g, y, 1, 1, s->G->cfg.conv_clamp) : y;
}

Val g_synthesis(Graph *g, const Generator *G, Val ws, const SynthOptions *o, SynthTaps *taps) {
  Shape sw = graph_shape(g, ws);
  if (ws && (sw.rank != 3 || sw.dim[1] != G->num_ws || sw.dim[2] != G->cfg.w_dim)) {
    char buf[96];
    return graph_fail(g, ST_INVALID, "synthesis: ws %s; expected [N,%d,%d]", shape_str(sw, buf),
                      G->num_ws, G->cfg.w_dim);
  }
  Syn s = {g, G, o, ws, 0};
  Val x = 0, img = 0;
  int wi = 0, nb = 0;
  if (taps) taps->n = 0;
  for (int res = 4; res <= G->cfg.img_resolution; res *= 2) {
    char pre[64];
    if (res == 4) {
      Val c = params_leaf(g, &G->params, "synthesis.b4.const", o->frozen);
      x = g_reshape(g, c, SHAPE4(1, graph_dim(g, c, 0), 4, 4));
    } else {
      snprintf(pre, sizeof pre, "synthesis.b%d.conv0", res);
      x = synthesis_layer(&s, x, pre, wi++, 2);
    }
    snprintf(pre, sizeof pre, "synthesis.b%d.conv1", res);
    x = synthesis_layer(&s, x, pre, wi++, 1);
    snprintf(pre, sizeof pre, "synthesis.b%d.torgb", res);
    /* the same w as the next block's first layer: wi does not advance */
    Val y = to_rgb(&s, x, pre, wi);
    img = img ? g_add(g, g_upsample2d(g, img, resample_filter(g), 4, 2), y) : y;
    if (taps) {
      taps->x[nb] = x;
      taps->img[nb] = img;
      taps->n = ++nb;
    }
  }
  return img;
}
