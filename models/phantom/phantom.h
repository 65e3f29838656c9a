/* phantom.h: a physically motivated lesion phantom: susceptibility shapes, dipole field, noise,
 * TV-regularised inversion, T2-FLAIR and rim mask of one lesion patch; latent rim conspicuity and
 * two readers. Values and distributions: models/phantom/phantom_anatomy.c and phantom_lesion.c name
 * them. Simulated: nothing here comes from a patient. No files here. */
#ifndef PRLX_PHANTOM_H
#define PRLX_PHANTOM_H
#include "core/base.h"
#include "core/rng.h"

/* Voxels of a patch, x fastest. */
enum {
  PHANTOM_NX = 64,
  PHANTOM_NY = 64,
  PHANTOM_NZ = 24,
  PHANTOM_VOXELS = PHANTOM_NX * PHANTOM_NY * PHANTOM_NZ
};
#define PHANTOM_HX 0.4 /* voxel, mm */
#define PHANTOM_HY 0.4
#define PHANTOM_HZ 1.0

/* Called a rim by no reader, by both, by exactly one; ANY: as it comes. */
enum { PHANTOM_ANY = -1, PHANTOM_NONRIM = 0, PHANTOM_RIM = 1, PHANTOM_AMBIGUOUS = 2 };

typedef struct PhantomOptions {
  double snr0; /* signal to noise of the first echo; 30 */
  double tau;  /* reader j says rim iff s + sigma e_j > tau, e_j ~ N(0,1) */
  double sigma;
  double lambda;       /* weight of total variation; 0: drawn from U(.05,.11) per lesion */
  int iterations;      /* ADMM steps of the inversion; 10 */
  bool fast_inversion; /* closed form (quadratic smoothness) instead of total variation */
  /* above 0: a lesion that exactly one reader calls rim is painted with this conspicuity instead of
   * its own, without what mimics a rim; shape, surroundings and noise stay. What ideal denoising
   * would give: 2.3 is a rim that both readers see */
  double clear;
} PhantomOptions;

/* tau, sigma: solution for 260 both, 177 one, N = 7980 lesions (the 177 are among the 7720 not
 * called rim by both): 1.7501, 0.2191. */
PhantomOptions phantom_defaults(void);

typedef struct PhantomLesion {
  double conspicuity; /* latent s ~ N(0,1), or as conditioned on the readers */
  int reader1;        /* 1: says rim */
  int reader2;
  int truth_rim;       /* 1: s > tau, i.e. a noise-free reader would say rim */
  double diameter_mm;  /* equivalent in-plane diameter */
  double rim_coverage; /* part of the circumference that carries the rim, 0..1 */
  double rim_ppb;      /* crest above core; 0: nothing to see */
  double rim_fwhm_mm;  /* width of the rim */
  double core_ppb;     /* core above surrounding white matter */
  double lambda;       /* inversion weight used */
  char kind[16];       /* "periventricular", "juxtacortical", "both", "deep" */
  char mimic[16];      /* what looks like a rim: "none", "hollow", "arc", "vessel", "hypo" */
  /* [NZ][NY][NX] each, one allocation, owned by chi */
  float *chi;   /* ppb */
  float *flair; /* arbitrary units */
  float *rim;   /* probability 0..1 */
  float *mask;  /* 0 or 1 */
  float *truth; /* blurred true susceptibility, ppb */
} PhantomLesion;

/* Its arrays; also of an empty one. */
void phantom_lesion_free(PhantomLesion *l);

/* The two-reader model alone: s and both readings, conditioned on `want` by rejection (about 31
 * draws for a rim). */
void phantom_read(const PhantomOptions *o, Rng *r, int want, double *s, int *reader1, int *reader2);

typedef struct PhantomWork PhantomWork;

/* Plans and scratch of one thread (about 40 MB). *out NULL after an error; freeing NULL is
 * allowed. */
Status phantom_work_new(PhantomWork **out, Error *e);
void phantom_work_free(PhantomWork *w);

/* One lesion: a pure function of (options, seed, index, want). Its random stream is the Philox
 * subsequence `index`. Serial: run several lesions in parallel with one PhantomWork each; the bytes
 * do not depend on how many. ST_NOMEM only. */
Status phantom_lesion(PhantomWork *w, const PhantomOptions *o, uint64_t seed, uint64_t index,
                      int want, PhantomLesion *out, Error *e);

#define PHANTOM_DRIFT 0.30
#define PHANTOM_DRIFT_SD 0.15

/* The same lesion at a later visit, 1, 2, ... (0: phantom_lesion itself, for which `want` holds).
 * The anatomy and the lesion stay; noise, bias field and inversion weight are drawn anew, and both
 * readers read anew. Conspicuity moves by PHANTOM_DRIFT times the visit, up where there is a rim,
 * down where there is none, give or take PHANTOM_DRIFT_SD: rims persist and become clearer while
 * other lesions fade. An assumption, not a measured course. */
Status phantom_lesion_visit(PhantomWork *w, const PhantomOptions *o, uint64_t seed, uint64_t index,
                            int want, int visit, PhantomLesion *out, Error *e);

/* A slab of head, 256 x 256 x 40 voxels, tiled by 3 x 3 anatomies of which the first `lesions` in a
 * random order carry a lesion; one field and one inversion for the whole. labels: 0, or 1..n for
 * the lesion's voxels. Zero outside the head. Some lesions lie so near to the top or bottom that a
 * patch around them leaves the slab. */
enum { SLAB_NX = 256, SLAB_NY = 256, SLAB_NZ = 40, SLAB_MAX_LESIONS = 9 };
typedef struct PhantomSlab {
  int n; /* lesions */
  /* [SLAB_NZ][SLAB_NY][SLAB_NX] each, one allocation, owned by chi; units as in PhantomLesion */
  float *chi;
  float *flair;
  float *rim;
  float *labels;                          /* 0, or i + 1 inside lesion i */
  PhantomLesion lesion[SLAB_MAX_LESIONS]; /* without arrays */
  double centre[SLAB_MAX_LESIONS][3];     /* voxel index of the lesion centre */
} PhantomSlab;

/* want[i]: class of lesion i. Serial; the anatomy's stream is the Philox subsequence `index`.
 * ST_INVALID: more than SLAB_MAX_LESIONS lesions. */
Status phantom_slab(PhantomWork *w, const PhantomOptions *o, uint64_t seed, uint64_t index,
                    int lesions, const int *want, PhantomSlab *out, Error *e);

/* Also of an empty one. */
void phantom_slab_free(PhantomSlab *s);
#endif
