/* loss.c: the training objectives as graph parts. SEMANTICS section 4.
 *
 *     generator      softplus(-D(G(z)))                     non-saturating logistic loss
 *       (Goodfellow et al. 2014)
 *     discriminator  softplus(D(G(z))) + softplus(-D(x))
 *     R1             gamma/2 * |d D(x) / dx|^2              Mescheder et al. 2018, lazily every 16
 *       iterations
 *     path length    (|J_w^T y| - a)^2, y ~ N(0, I)         Karras et al. 2019b, eq. 4, lazily
 *       every 4 iterations
 *
 * The last two contain a gradient, and training differentiates them once more: graph_grad adds
 * ordinary nodes, so that just works. */
#include <math.h>
#include "models/gan/train.h"

Val g_logistic_loss(Graph *g, Val logits, Val sign) {
  return g_softplus(g, g_mul(g, logits, sign));
}

/* One gradient with a sticky error, like g_grad1, but y weighted by dy. */
static Val weighted_grad(Graph *g, Val y, Val dy, Val wrt) {
  Val dx = 0;
  Error e = {0};
  if (!y || !wrt) return 0;
  if (graph_grad(g, 1, &y, &dy, 1, &wrt, &dx, 0, NULL, &e) != ST_OK)
    return graph_fail(g, e.code, "%s", e.msg);
  return dx;
}

Val g_r1_penalty(Graph *g, Val logits, Val img, Val *grad) {
  Val d = g_grad1(g, logits, img);
  if (grad) *grad = d;
  return g_reshape(g, g_sum(g, g_square(g, d), 1u << 1 | 1u << 2 | 1u << 3),
                   SHAPE1(graph_dim(g, img, 0)));
}

PathLength g_path_length(Graph *g, Val img, Val ws, Val noise, Val pl_mean, double decay) {
  PathLength p = {0};
  int64_t n = graph_dim(g, ws, 0);
  double pixels = (double)graph_dim(g, img, 2) * (double)graph_dim(g, img, 3);
  p.grads = weighted_grad(g, img, g_axpb(g, noise, 1 / sqrt(pixels), 0), ws);
  Val len2 = g_mean(g, g_sum(g, g_square(g, p.grads), 1u << 2), 1u << 1);
  p.lengths = g_reshape(g, g_sqrt0(g, len2), SHAPE1(n));
  /* a = pl_mean + decay (mean(len) - pl_mean): already updated, and part of the gradient. */
  p.mean =
      g_add(g, g_axpb(g, pl_mean, 1 - decay, 0), g_axpb(g, g_mean_all(g, p.lengths), decay, 0));
  p.penalty = g_square(g, g_sub(g, p.lengths, p.mean));
  return p;
}
