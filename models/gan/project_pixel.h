/* project_pixel.h: the first half of the fast projection: w for which the image is like the target
 * pixel by pixel, with the network's own noise maps:
 *
 *   minimise over w:  mean over pixels of weight (G(w) - target)^2
 *
 * by L-BFGS from the given w. Without VGG an evaluation costs a small part of one of Eq. 1, and it
 * leaves flat regions behind in which the perceptual search would stand still. Each lesion is a
 * search of its own: its result is the same, bit for bit, in any batch. */
#ifndef PRLX_PROJECT_PIXEL_H
#define PRLX_PROJECT_PIXEL_H
#include "models/gan/projector.h"
typedef struct PixelSearch PixelSearch;

/* For up to `batch` lesions at a time; o as for projector_new (vgg_channels: what counts of several
 * channels; regions and focus: pixels weigh (1 - focus) + focus * region, scaled to mean 1). G must
 * outlive it. ST_NOMEM. The caller frees it with pixel_search_free (NULL allowed). */
Status pixel_search_new(const Generator *G, const ProjectOptions *o, int batch, PixelSearch **out,
                        Error *e);
void pixel_search_free(PixelSearch *s);

/* n <= batch lesions: targets [n,C,R,R] in network units, regions [n,R,R] or NULL, w [n,w_dim]: the
 * start, replaced by the result of at most `steps` evaluations; error [n]: the mean square there,
 * or NULL. ST_NUMERIC: not finite at the start (names the lesion of the batch). */
Status pixel_search_run(PixelSearch *s, int n, int steps, const real *targets, const float *regions,
                        double *w, double *error, Error *e);

/* Starts that go to the end: two, for VGG to compare. */
enum { PIXEL_FINALISTS = 2 };

/* Several starts per lesion: w [starts,stride,w_dim], start k of lesion i at w + (k * stride + i) *
 * w_dim, stride >= n. All go a part of o->pixel_steps, the better half of each lesion goes twice as
 * far, and so on; the last PIXEL_FINALISTS (all, of fewer) go all of it. They end in front, the
 * best first; what stands behind them is of no use. */
Status pixel_search_starts(PixelSearch *s, int n, int starts, int stride, const real *targets,
                           const float *regions, double *w, Error *e);
#endif
