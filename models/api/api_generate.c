/* api_generate.c: prlx_generate: z -> w -> image for a list of seeds (models/gan/mapping.c,
 * models/gan/synthesis.c). */
#include <string.h>
#include "core/plan.h"
#include "core/rng.h"
#include "models/api/api.h"

void prlx_generate_defaults(prlx_generate_options *o, size_t size) {
  const prlx_generate_options all = {.size = size, .psi = 1, .cutoff = -1, .label = -1, .batch = 8};
  if (!o) return;
  memset(o, 0, size);
  memcpy(o, &all, PRLX_MIN(size, sizeof all));
}

/* The graph of one batch. */
typedef struct Sampler {
  const Generator *G;
  const prlx_generate_options *o;
  Graph *g;
  Plan *plan;
  Val z;
  Val c;
  Val img;
  Val noise[MAX_NOISE];
  int batch;
  double *zbuf; /* [z_dim] */
} Sampler;

static void sampler_free(Sampler *s) {
  plan_free(s->plan);
  graph_free(s->g);
  mem_free(s->zbuf);
}

static Status sampler_new(Sampler *s, const Generator *G, const prlx_generate_options *o, int batch,
                          Error *e) {
  const int64_t n = batch;
  const bool given = o->noise == PRLX_NOISE_RANDOM;
  *s = (Sampler){.G = G, .o = o, .g = graph_new(), .batch = batch};
  s->zbuf = mem_alloc((size_t)G->cfg.z_dim * sizeof *s->zbuf);
  if (!s->g || !s->zbuf) return err_set(e, ST_NOMEM, "out of memory for the graph");
  graph_batch_invariant(s->g, true);
  graph_half_range(s->g, backend_is_half(api_backend(o->device)));
  s->z = g_input(s->g, "z", SHAPE2(n, G->cfg.z_dim));
  s->c = G->cfg.c_dim ? g_input(s->g, "c", SHAPE2(n, G->cfg.c_dim)) : 0;
  for (int k = 0; k < G->num_noise && given; k++)
    s->noise[k] = g_input(s->g, G->noise_name[k], SHAPE4(n, 1, G->noise_res[k], G->noise_res[k]));
  const SynthOptions so = {.noise = given                         ? NOISE_GIVEN
                                    : o->noise == PRLX_NOISE_NONE ? NOISE_NONE
                                                                  : NOISE_CONST,
                           .noise_maps = s->noise,
                           .frozen = true};
  Val ws = g_broadcast_ws(s->g, G, g_mapping(s->g, G, s->z, s->c, true), o->psi, o->cutoff);
  s->img = g_synthesis(s->g, G, ws, &so, NULL);
  TRY(graph_status(s->g, e));
  return plan_new(s->g, 1, &s->img, &(PlanOptions){.backend = api_backend(o->device)}, &s->plan, e);
}

/* An input that the images do not depend on, as z with truncation 0, is no part of the plan and has
 * no memory: nothing is to be filled in. */
static real *sampler_input(const Sampler *s, Val v) { return v ? plan_data(s->plan, v) : NULL; }

/* z, class and noise of the images seeds[0..n-1]; each depends on its own seed only, not on its
 * neighbours. */
static Status sampler_fill(const Sampler *s, const uint32_t *seeds, int n, Error *e) {
  const int zd = s->G->cfg.z_dim, cd = s->G->cfg.c_dim;
  for (int i = 0; i < n; i++) {
    TRY(numpy_randn(seeds[i], s->zbuf, zd, e));
    real *z = sampler_input(s, s->z), *c = sampler_input(s, s->c);
    for (int k = 0; k < zd && z; k++) z[(int64_t)i * zd + k] = (real)s->zbuf[k];
    for (int k = 0; k < cd && c; k++) c[(int64_t)i * cd + k] = k == s->o->label;
    Rng r = {.seed = s->o->noise_seed, .subsequence = seeds[i]};
    for (int k = 0; k < s->G->num_noise && s->o->noise == PRLX_NOISE_RANDOM; k++) {
      int64_t m = (int64_t)s->G->noise_res[k] * s->G->noise_res[k];
      real *map = sampler_input(s, s->noise[k]);
      if (map) rng_fill_normal(&r, map + i * m, m);
    }
  }
  return ST_OK;
}

static Status sample_all(Sampler *s, int64_t n, const uint32_t *seeds, float *images, int64_t *done,
                         Error *e) {
  const prlx_generate_options *o = s->o;
  const int64_t r = s->G->cfg.img_resolution, per = s->G->cfg.img_channels * r * r;
  while (*done < n) {
    const int count = (int)PRLX_MIN((int64_t)s->batch, n - *done);
    TRY(sampler_fill(s, seeds + *done, count, e));
    TRY(plan_run(s->plan, e));
    const real *img;
    TRY(plan_read(s->plan, s->img, &img, e));
    memcpy(images + *done * per, img, (size_t)(count * per) * sizeof *images);
    *done += count;
    if (o->progress && !o->progress(o->context, *done, n) && *done < n)
      return err_set(e, ST_INTERRUPTED, "stopped after %lld of %lld images", (long long)*done,
                     (long long)n);
  }
  return ST_OK;
}

static Status options_check(const Network *net, int64_t n, const prlx_generate_options *o,
                            Error *e) {
  if (n < 1 || o->batch < 1)
    return err_set(e, ST_INVALID, "%lld images, batch %d; expected at least 1 of each",
                   (long long)n, o->batch);
  if (!(o->psi > -1e6 && o->psi < 1e6))
    return err_set(e, ST_INVALID, "truncation psi %g; expected a number such as 1 or 0.7", o->psi);
  if ((unsigned)o->noise > PRLX_NOISE_NONE)
    return err_set(e, ST_INVALID, "noise %d; expected one of prlx_noise", (int)o->noise);
  return api_label(net, o->label, e);
}

static Status generate_run(const prlx_network *net, int64_t n, const uint32_t *seeds,
                           const prlx_generate_options *given, float *images, int64_t *done,
                           Sampler *s, Error *e) {
  prlx_generate_options o;
  prlx_generate_defaults(&o, sizeof o);
  if (given) TRY(api_options(&o, sizeof o, given, given->size, "prlx_generate", e));
  TRY(options_check(&net->net, n, &o, e));
  TRY(sampler_new(s, &net->net.G, &o, (int)PRLX_MIN((int64_t)o.batch, n), e));
  return sample_all(s, n, seeds, images, done, e);
}

prlx_status prlx_generate(const prlx_network *net, int64_t n, const uint32_t *seeds,
                          const prlx_generate_options *o, float *images, int64_t *done,
                          prlx_error *e) {
  API_NEED(net, e);
  API_NEED(seeds, e);
  API_NEED(images, e);
  Error in;
  Sampler s = {0};
  int64_t count = 0;
  const Status st = generate_run(net, n, seeds, o, images, &count, &s, &in);
  sampler_free(&s);
  if (done) *done = count;
  return api_return(st, &in, e);
}
