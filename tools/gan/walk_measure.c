/* walk_measure.c: room for the images of a walk, and what can be measured on them. See walk_impl.h.
 * */
#include <math.h>
#include "tools/gan/walk_impl.h"

Status walk_reserve(Walk *k, int64_t n, int sections, int columns, Error *e) {
  const GenConfig *c = &k->net.G.cfg;
  const size_t ws = (size_t)k->net.G.num_ws * (size_t)c->w_dim,
               px = (size_t)c->img_channels * (size_t)c->img_resolution * (size_t)c->img_resolution;
  k->n = n;
  k->sections = sections;
  k->columns = columns;
  k->ws = mem_alloc((size_t)n * ws * sizeof *k->ws);
  k->img = mem_alloc((size_t)n * px * sizeof *k->img);
  k->cell = mem_alloc((size_t)(n + 1) * sizeof *k->cell);
  k->name = mem_alloc((size_t)n * sizeof *k->name);
  k->section = mem_alloc((size_t)PRLX_MAX(sections, 1) * sizeof *k->section);
  return k->ws && k->img && k->cell && k->name && k->section
             ? ST_OK
             : err_set(e, ST_NOMEM, "walk: out of memory for %lld images", (long long)n);
}

double walk_distance(const Walk *k, int64_t i) {
  const int d = k->net.G.cfg.w_dim, layers = k->net.G.num_ws;
  double sum = 0;
  for (int l = 0; l < layers; l++)
    for (int j = 0; j < d; j++) {
      const double x = (double)k->ws[((int64_t)i * layers + l) * d + j] - (double)k->pca.mean[j];
      sum += x * x;
    }
  return k->pca.w_std > 0 ? sqrt(sum / layers) / k->pca.w_std : 0;
}

enum { CREST_RADII = 16, CREST_FROM = 2 };

double walk_crest(const float *img, int h, int w, double *radius) {
  double sum[CREST_RADII] = {0}, profile[CREST_RADII];
  int count[CREST_RADII] = {0}, best = -1;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      const int r = (int)(hypot(y - 0.5 * (h - 1), x - 0.5 * (w - 1)) + 0.5);
      if (r >= CREST_RADII) continue;
      sum[r] += (double)img[(int64_t)y * w + x];
      count[r]++;
    }
  /* the middle of an even image lies between pixels: circles 0 and 1 are one */
  sum[1] += sum[0];
  count[1] += count[0];
  double darkest = count[1] ? sum[1] / count[1] : 0, crest = 0;
  for (int r = 1; r < CREST_RADII && count[r]; r++) {
    profile[r] = sum[r] / count[r];
    if (r >= CREST_FROM && profile[r] - darkest > crest) {
      crest = profile[r] - darkest;
      best = r;
    }
    darkest = PRLX_MIN(darkest, profile[r]);
  }
  *radius = best < 0 ? 0 : best;
  return crest;
}

void walk_free(Walk *k) {
  latent_directions_free(&k->pca);
  network_free(&k->net);
  mem_free(k->cond);
  mem_free(k->ws);
  mem_free(k->img);
  mem_free(k->cell);
  mem_free(k->name);
  mem_free(k->section);
}
