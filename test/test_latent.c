/* test_latent.c: points of W: the mapping in any batch, seeds, principal directions, images; the
 * eigenvectors of small matrices. */
#include "core/threads.h"
#include "models/gan/latent.h"
#include "models/gan/projector.h"
#include "models/math/eigen.h"
#include "test/test.h"

enum { N = 12 };

static void test_eigen(void) {
  /* A = Q diag(l) Q^T with a Householder reflection Q = I - 2 u u^T */
  double u[N], q[N][N], a[N * N] = {0}, keep[N * N], l[N], values[N], vectors[N * N], norm = 0;
  Error e = {0};
  for (int i = 0; i < N; i++) {
    u[i] = sin(1.0 + i);
    norm += u[i] * u[i];
  }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) q[i][j] = (i == j) - 2 * u[i] * u[j] / norm;
  for (int i = 0; i < N; i++) l[i] = (i * 7) % N - 3.5;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      for (int k = 0; k < N; k++) a[i * N + j] += q[i][k] * l[k] * q[j][k];
  memcpy(keep, a, sizeof keep);
  CHECK(symmetric_eigen(N, a, values, vectors, &e) == ST_OK, "eigenvectors: %s", e.msg);
  double worst = 0, order = 0;
  for (int k = 0; k < N; k++) {
    order = fmax(order, fabs(values[k] - (N - 1 - 3.5 - k)));
    for (int i = 0; i < N; i++) {
      double y = 0;
      for (int j = 0; j < N; j++) y += keep[i * N + j] * vectors[k * N + j];
      worst = fmax(worst, fabs(y - values[k] * vectors[k * N + i]));
    }
  }
  CHECK(order < 1e-12, "eigenvalues, largest first: off by %g", order);
  CHECK(worst < 1e-12, "A v = l v: off by %g", worst);
  double zero[4] = {0}, v2[2], w2[4], bad[1] = {NAN};
  CHECK(symmetric_eigen(2, zero, v2, w2, &e) == ST_OK && w2[0] == 1 && w2[3] == 1,
        "the zero matrix has the axes");
  CHECK(symmetric_eigen(1, bad, v2, w2, &e) == ST_NUMERIC, "NaN is refused");
  CHECK(symmetric_eigen(0, zero, v2, w2, &e) == ST_INVALID, "size 0 is refused");
}

static void network(Generator *G) {
  GenConfig c = gen_config_small();
  c.img_resolution = 16;
  c.z_dim = c.w_dim = 24;
  Error e = {0};
  CHECK(generator_new(G, &c, &e) == ST_OK, "generator: %s", e.msg);
  generator_formula(G, "G.");
}

static void test_map(const Generator *G) {
  enum { ROWS = 130 };
  const int d = G->cfg.w_dim;
  int64_t seed[ROWS];
  real *w = mem_alloc(ROWS * (size_t)d * sizeof *w), one[64];
  Error e = {0};
  for (int i = 0; i < ROWS; i++) seed[i] = 3 * i;
  CHECK(latent_of_seeds(G, NULL, ROWS, seed, w, &e) == ST_OK, "seeds: %s", e.msg);
  int differ = 0;
  for (int i = 0; i < ROWS; i++) {
    latent_of_seeds(G, NULL, 1, seed + i, one, &e);
    differ += memcmp(one, w + (int64_t)i * d, (size_t)d * sizeof *w) != 0;
  }
  CHECK(!differ, "%d of %d latents depend on their batch", differ, ROWS);
  mem_free(w);
}

static void test_directions(const Generator *G) {
  LatentDirections p;
  WStats ws;
  Error e = {0};
  const int d = G->cfg.w_dim;
  CHECK(latent_directions(G, NULL, 400, 123, d, &p, &e) == ST_OK, "directions: %s", e.msg);
  CHECK(project_w_stats(G, NULL, 400, 123, &ws, &e) == ST_OK, "statistics of W: %s", e.msg);
  double off = 0, share = 0, ortho = 0;
  for (int i = 0; i < d; i++) off = fmax(off, fabs((double)(p.mean[i] - ws.w_avg[i])));
  CHECK(off < 1e-5 && fabs(p.w_std - ws.w_std) < 1e-4 * ws.w_std,
        "mean and spread are those of the projector: %g, %g against %g", off, p.w_std, ws.w_std);
  for (int k = 0; k < d; k++) share += p.share[k];
  CHECK(fabs(share - 1) < 1e-9, "the shares of all directions are everything: %g", share);
  for (int a = 0; a < d; a++)
    for (int b = 0; b < d; b++) {
      double dot = 0;
      for (int i = 0; i < d; i++) dot += (double)p.dir[a * d + i] * (double)p.dir[b * d + i];
      ortho = fmax(ortho, fabs(dot - (a == b)));
    }
  CHECK(ortho < 1e-5, "directions are orthonormal: off by %g", ortho);
  bool sorted = true;
  for (int k = 1; k < d; k++) sorted = sorted && p.sd[k] <= p.sd[k - 1];
  CHECK(sorted, "largest first");
  latent_directions_free(&p);
  CHECK(latent_directions(G, NULL, 1, 123, 1, &p, &e) == ST_INVALID, "one sample is refused");
  latent_directions_free(&p);
  CHECK(latent_directions(G, NULL, 10, 123, d + 1, &p, &e) == ST_INVALID, "more than W has");
  latent_directions_free(&p);
  mem_free(ws.w_avg);
}

static void test_render(const Generator *G) {
  enum { IMAGES = 9 };
  const int64_t per = (int64_t)G->num_ws * G->cfg.w_dim, px = 16 * 16;
  real *ws = mem_alloc((size_t)(IMAGES * per) * sizeof *ws),
       *a = mem_alloc((size_t)(IMAGES * px) * sizeof *a),
       *b = mem_alloc((size_t)(IMAGES * px) * sizeof *b);
  Error e = {0};
  for (int64_t i = 0; i < IMAGES * per; i++) ws[i] = (real)sin(0.37 * (double)i);
  LatentRender *one, *four;
  CHECK(latent_render_new(G, 1, NULL, &one, &e) == ST_OK, "batch 1: %s", e.msg);
  CHECK(latent_render_new(G, 4, NULL, &four, &e) == ST_OK, "batch 4: %s", e.msg);
  CHECK(latent_render(one, IMAGES, ws, a, &e) == ST_OK, "render: %s", e.msg);
  CHECK(latent_render(four, IMAGES, ws, b, &e) == ST_OK, "render: %s", e.msg);
  CHECK(!memcmp(a, b, (size_t)(IMAGES * px) * sizeof *a), "images do not depend on the batch");
  latent_render_free(one);
  latent_render_free(four);
  CHECK(latent_render_new(G, 0, NULL, &one, &e) == ST_INVALID && !one, "batch 0 is refused");
  mem_free(ws);
  mem_free(a);
  mem_free(b);
}

int main(void) {
  Generator G;
  test_eigen();
  network(&G);
  test_map(&G);
  test_directions(&G);
  test_render(&G);
  generator_free(&G);
  threads_stop();
  CHECK(mem_live_count() == 0, "%zu blocks not freed", mem_live_count());
  return test_end();
}
