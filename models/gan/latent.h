/* latent.h: points of W, how they are made and combined, and the images that they stand for. Karras
 * et al. 2019 (style mixing, truncation), Harkonen et al. 2020, "GANSpace" (principal directions).
 *
 * w is [w_dim]; ws [num_ws,w_dim] gives every layer a w of its own (W+); equal rows are a w. */
#ifndef PRLX_LATENT_H
#define PRLX_LATENT_H
#include "core/backend.h"
#include "models/gan/networks.h"

/* w [n,w_dim] of z [n,z_dim] through the mapping network; the same bits for any n. cond: [c_dim]
 * label of a conditional generator, else NULL. ST_NOMEM, ST_INVALID. */
Status latent_map(const Generator *G, const real *cond, int64_t n, const real *z, real *w,
                  Error *e);

/* w [n,w_dim] of numpy's RandomState(seed[i]).randn(z_dim), as `prlx generate` numbers its
 * lesions. */
Status latent_of_seeds(const Generator *G, const real *cond, int64_t n, const int64_t *seed,
                       real *w, Error *e);

/* Mean and principal directions of W: `samples` w of seed `seed` (as project_w_stats draws them),
 * their covariance, its `count` largest eigenvectors. */
typedef struct LatentDirections {
  int count;
  int w_dim;
  real *mean;    /* [w_dim] */
  double w_std;  /* sqrt(mean |w - mean|^2), as in WStats */
  double *sd;    /* [count] standard deviation of W along each direction, largest first */
  double *share; /* [count] share of the total variance, 0..1 */
  real *dir;     /* [count,w_dim], of length 1, largest component positive */
} LatentDirections;

/* Free with latent_directions_free, also after a failure. ST_INVALID: fewer than 2 samples, count
 * outside 1..w_dim, a conditional network without cond. */
Status latent_directions(const Generator *G, const real *cond, int samples, uint32_t seed,
                         int count, LatentDirections *out, Error *e);
void latent_directions_free(LatentDirections *d);

/* ws -> images with the network's own constant noise. Not thread safe; one plan, used again. */
typedef struct LatentRender LatentRender;

/* G must outlive it; backend NULL: the CPU. */
Status latent_render_new(const Generator *G, int batch, Backend *backend, LatentRender **out,
                         Error *e);
/* img [n,C,R,R] in network units of ws [n,num_ws,w_dim]; any n; the same bits for any batch. */
Status latent_render(LatentRender *r, int64_t n, const real *ws, real *img, Error *e);
void latent_render_free(LatentRender *r);
#endif
