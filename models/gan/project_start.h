/* project_start.h: where a projection starts other than at the mean of W: at random w, or at those
 * of a bank of many whose images look most like the target. */
#ifndef PRLX_PROJECT_START_H
#define PRLX_PROJECT_START_H
#include "models/gan/projector.h"
typedef enum { START_MEAN, START_RANDOM, START_NEAREST } ProjectStart;

/* w of many z and a small picture of the image of each, 16 x 16 box averages of what VGG sees. */
typedef struct StartBank {
  int64_t n;
  int w_dim;
  int look_size; /* values of a look: channels * side^2 */
  real *w;       /* [n,w_dim] */
  real *look;    /* [n,look_size] network units */
} StartBank;

/* n samples from RandomState(123), the ones that the statistics of W are made of, of class cond
 * ([c_dim], NULL: unconditional), with the network's own noise, their images made on a backend
 * (NULL: the CPU). Freed with start_bank_free. ST_NOMEM, ST_INVALID. */
Status start_bank_new(Backend *on, const Generator *G, const real *cond, int n, VggChannels pick,
                      StartBank *out, Error *e);

/* Also of an empty one. */
void start_bank_free(StartBank *b);

/* For each target [n,C,R,R], looked at on a backend (NULL: the CPU), the k w of the bank whose
 * looks are closest (mean square), nearest first, equals in the order of the bank: w [n,k,w_dim].
 * ST_INVALID: the bank has fewer than k or belongs to images of another kind. */
Status start_nearest(Backend *on, const StartBank *b, const GenConfig *c, int64_t n,
                     const real *targets, VggChannels pick, int k, real *w, Error *e);

/* k random w, RandomState(seed), the same for each of n lesions: w [n,k,w_dim]. */
Status start_random(const Generator *G, const real *cond, int64_t n, uint64_t seed, int k, real *w,
                    Error *e);
#endif
