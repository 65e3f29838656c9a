/* phantom.h: the physically motivated lesion phantom of domain.md: susceptibility shapes, dipole field, noise, TV-regularised inversion,
 * T2-FLAIR and rim mask of one lesion patch; latent rim conspicuity and two readers. No files here. */
#ifndef PRLX_PHANTOM_H
#define PRLX_PHANTOM_H
#include "core/base.h"
#include "core/rng.h"
enum { PHANTOM_NX = 64, PHANTOM_NY = 64, PHANTOM_NZ = 24 };    /* exported patch, voxels of 0.4 x 0.4 x 1 mm, i fastest */
typedef struct PhantomLesion {
  double conspicuity;          /* latent s ~ N(0,1), or as asked */
  int reader1, reader2;        /* 1: says rim */
  int truth_rim;               /* 1: a rim was painted (s above the phantom's truth threshold; documented) */
  double diameter_mm, rim_coverage, rim_ppb, core_ppb; char kind[16], mimic[24];
  float *chi, *flair, *rim, *mask; /* [NZ][NY][NX]: ppb, arbitrary units, probability 0..1, 0/1 */
} PhantomLesion;
typedef struct PhantomOptions { double snr0; double tau, sigma; bool fast_inversion; } PhantomOptions;
PhantomOptions phantom_defaults(void);
/* One lesion, a pure function of (seed, index, want): want -1 any, else rejection-sample s so that the readers give class 0 non-rim, 1 rim,
 * 2 ambiguous. Threads: call from one; it uses par_for inside. */
Status phantom_lesion(const PhantomOptions *o, uint64_t seed, uint64_t index, int want, PhantomLesion *out, Error *e);
void   phantom_lesion_free(PhantomLesion *l);
/* A whole slab with several lesions (for crop): dims nx,ny,nz voxels of 0.4x0.4x1 mm; labels 1..n. */
typedef struct PhantomSlab { int64_t nx, ny, nz; int n; float *chi, *flair, *rim, *labels; PhantomLesion *lesion; double (*centre)[3]; } PhantomSlab;
Status phantom_slab(const PhantomOptions *o, uint64_t seed, uint64_t index, int nlesions, PhantomSlab *out, Error *e);
void   phantom_slab_free(PhantomSlab *s);
#endif
