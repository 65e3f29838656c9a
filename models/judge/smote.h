/* smote.h: synthetic minority oversampling, Chawla et al. 2002 (JAIR 16): a new sample lies on the
 * line between a sample and one of its k nearest neighbours of the same class. On pixels it is the
 * plain baseline; on the codes of an autoencoder it is the second half of DeepSMOTE. */
#ifndef PRLX_SMOTE_H
#define PRLX_SMOTE_H
#include "core/base.h"
#include "core/rng.h"

/* x = x_base + gap (x_neighbour - x_base). */
typedef struct SmotePick {
  int64_t base;
  int64_t neighbour;
  double gap; /* 0..1 */
} SmotePick;

/* Draws `want` picks. x [n,dim] of one class; distance is Euclidean. group [n] or NULL: neighbours
 * come from another group (lesion), since the next slice of the same lesion is nearly the same
 * image. Bases are dealt evenly: every sample once before any twice, in random order. ST_INVALID:
 * fewer than 2 samples, k < 1, or no sample in another group; fewer than k candidates are used as
 * they are. */
Status smote_pick(const real *x, int64_t n, int64_t dim, const int64_t *group, int k, int64_t want,
                  Rng *r, SmotePick *out, Error *e);

/* The samples of `want` picks: out [want,dim]. */
void smote_blend(const real *x, int64_t dim, const SmotePick *pick, int64_t want, real *out);
#endif
