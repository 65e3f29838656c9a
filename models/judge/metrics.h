/* metrics.h: distances between two sets of features. FID (Heusel et al. 2017, arXiv 1706.08500),
 * KID (Binkowski et al. 2018, arXiv 1801.01401), improved precision and recall (Kynkaanniemi et al.
 * 2019, arXiv 1904.06991), FID against the number of samples (Chong & Forsyth 2020, arXiv
 * 1911.07023). Everything in double. SEMANTICS section 10.
 *
 * FID = |mu_a - mu_b|^2 + tr(C_a) + tr(C_b) - 2 tr((C_a C_b)^(1/2)). With factors F_a^T F_a = C_a,
 * F_b^T F_b = C_b of any size,
 *   tr((C_a C_b)^(1/2)) = |F_a F_b^T|_*     (sum of singular values),
 * because C_a C_b and (F_a F_b^T)(F_a F_b^T)^T have the same non-zero eigenvalues. The centred
 * features themselves are such factors (n x d, over sqrt(n-1)), so few images need an n x n matrix
 * and no d x d one; for many images the factors are those of the covariance. */
#ifndef PRLX_METRICS_H
#define PRLX_METRICS_H
#include "core/base.h"
struct Backend;

/* n points in d dimensions, one a row: the statistician's letters. Borrowed. */
typedef struct Features {
  int64_t n;
  int64_t d;
  const float *x; /* [n,d] */
} Features;

/* fid = mean + trace_a + trace_b - 2 trace_sqrt, at least 0. */
typedef struct Fid {
  double fid;
  double mean; /* |mu_a - mu_b|^2 */
  double trace_a;
  double trace_b;
  double trace_sqrt;
} Fid;

/* Covariance over n-1 (pytorch-fid, clean-fid), over n (StyleGAN2-ADA). */
enum { COV_UNBIASED, COV_BIASED };

/* Any sizes; d x d covariances for the set with n > d, the small-matrix form for the other
 * (metrics_fid.c). ST_INVALID: fewer than two images, different d; ST_NUMERIC: NaN or infinity. */
Status fid_features(Features a, Features b, int cov, Fid *out, Error *e);

/* The same on a backend that has matrices of doubles (core/dense.h; another, or NULL: the CPU): the
 * same numbers within rounding (1e-10 of the traces, see test/cuda_dense.c). */
Status fid_features_on(struct Backend *on, Features a, Features b, int cov, Fid *out, Error *e);

/* ---- few images: every statistic from inner products alone ---- */
/* Inner products of features from which the mean of both sets together was taken (FID and distances
 * do not change, rounding becomes less): aa [na,na], bb [nb,nb], ab [na,nb]. */
typedef struct Gram {
  int64_t na; /* images of a and of b */
  int64_t nb;
  int64_t d; /* dimensions */
  /* where singular values are found, those of several resamples at once; NULL: here */
  struct Backend *on;
  double *aa;
  double *bb;
  double *ab;
} Gram;

/* Errors as fid_features; after one g is empty. */
Status gram_new(Gram *g, Features a, Features b, Error *e);

/* Inner products and all that is made of them on a backend, as fid_features_on. */
Status gram_new_on(struct Backend *on, Gram *g, Features a, Features b, Error *e);

/* Also of an empty one. */
void gram_free(Gram *g);

/* FID of multisets: image i of a counts wa[i] times (0, 1, 2 ...; NULL: once), image j of b wb[j]
 * times. Exact, through one singular value problem of the size of the distinct images. ST_INVALID:
 * fewer than two images in a set. */
Status fid_gram(const Gram *g, const double *wa, const double *wb, int cov, Fid *out, Error *e);

/* Which images belong together (one subject). */
typedef struct Groups {
  const int64_t *of; /* [images], each in 0..n-1; NULL: every image is its own group */
  int64_t n;         /* groups */
} Groups;
typedef struct Interval {
  double lo;
  double hi;
  double se;    /* standard error */
  int64_t reps; /* resamples that count */
} Interval;

/* Told how many are done; false stops (ST_INTERRUPTED). May be NULL. */
typedef bool (*MetricTick)(void *ctx, int64_t done);

/* 95 % bootstrap interval of FID, resampling groups with replacement in both sets. Resampling
 * shifts FID upwards (a resample has fewer distinct images), so the quantiles are taken around the
 * resamples' mean and moved to `fid`; lo is not below 0. tick: after every resample. ST_INVALID:
 * fewer than 2 resamples. */
Status fid_bootstrap(const Gram *g, Groups ga, Groups gb, double fid, int cov, int64_t reps,
                     uint64_t seed, Interval *out, MetricTick tick, void *ctx, Error *e);

enum { FID_SIZES = 6 };
typedef struct FidCurve {
  double fraction[FID_SIZES]; /* of the images */
  double fid[FID_SIZES];
  int64_t na[FID_SIZES];
  int64_t nb[FID_SIZES];
  double inf;   /* the line's value for infinitely many images */
  double slope; /* over 1 / fraction */
  double r2;    /* share of the variance explained by the line */
} FidCurve;

/* FID against the number of samples: for fractions 1/2 .. 1 of both sets (random subsets without
 * replacement, `reps` per size, the full sets once), and the least-squares line fid = inf + slope /
 * fraction. Below about d images FID is not linear in 1/n, and `inf` is only a rough correction:
 * its caller says so. ST_INVALID: fewer than 4 images in a set. */
Status fid_curve(const Gram *g, int cov, int64_t reps, uint64_t seed, FidCurve *out,
                 MetricTick tick, void *ctx, Error *e);

typedef struct FidFloor {
  double within;
  double between;
  int64_t n; /* images of a half */
} FidFloor;

/* The floor: mean FID between random disjoint halves of set a, and beside it halves of a against
 * equally many of b. What the first shows is bias alone. ST_INVALID: fewer than 4 images. */
Status fid_floor(const Gram *g, int cov, int64_t reps, uint64_t seed, FidFloor *out, Error *e);

/* ---- kernel distance (metrics_kid.c) ---- */

typedef struct Kid {
  double kid;
  double se;
} Kid;

/* Unbiased squared MMD with kernel (x.y/d + 1)^3 over all images (no subsets; may be negative), and
 * its standard error by the jackknife over groups of both sets. ST_INVALID: fewer than two images
 * in a set, different d; ST_NUMERIC: not finite. */
Status kid_features(Features a, Features b, Groups ga, Groups gb, Kid *out, Error *e);

/* The same on a backend, as fid_features_on. */
Status kid_features_on(struct Backend *on, Features a, Features b, Groups ga, Groups gb, Kid *out,
                       Error *e);

typedef struct PrecisionRecall {
  double precision;
  double recall;
  /* median distance of b's images to their nearest of a, over the median distance of a's images to
   * their nearest other: far below 1 means copies */
  double nearest_a;
} PrecisionRecall;

/* Improved precision and recall: the manifold of a set is the union of balls around its images up
 * to their k-th neighbour. precision: share of b (generated) inside the manifold of a (real);
 * recall: the converse. ST_INVALID: k < 1, or not more than k images in each set. */
Status precision_recall(const Gram *g, int k, PrecisionRecall *out, Error *e);
#endif
