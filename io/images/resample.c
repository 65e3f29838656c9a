/* resample.c: see resample.h */
#include "io/images/resample.h"
#include <math.h>
#include <string.h>
#include "io/formats/nifti.h"

int64_t grid_voxels(const Grid *g) { return g->dim[0] * g->dim[1] * g->dim[2]; }
static void affine_apply(const double a[16], const double x[3], double y[3]) {
  for (int r = 0; r < 3; r++)
    y[r] = a[4 * r] * x[0] + a[4 * r + 1] * x[1] + a[4 * r + 2] * x[2] + a[4 * r + 3];
}

void grid_mm(const Grid *g, const double ijk[3], double mm[3]) { affine_apply(g->affine, ijk, mm); }
static double column_length(const double a[16], int c) {
  return sqrt(a[c] * a[c] + a[4 + c] * a[4 + c] + a[8 + c] * a[8 + c]);
}

void grid_voxel_size(const Grid *g, double mm[3]) {
  for (int c = 0; c < 3; c++) mm[c] = column_length(g->affine, c);
}

double grid_distance(const Grid *a, const Grid *b) {
  double worst = 0;
  for (int c = 0; c < 3; c++)
    if (a->dim[c] != b->dim[c]) return INFINITY;
  for (int k = 0; k < 8; k++) {
    double at[3], p[3], q[3];
    for (int c = 0; c < 3; c++) at[c] = k >> c & 1 ? (double)(a->dim[c] - 1) : 0;
    grid_mm(a, at, p);
    grid_mm(b, at, q);
    worst = fmax(worst, sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) +
                             (p[2] - q[2]) * (p[2] - q[2])));
  }
  return worst;
}

/* ---- patch ---- */
void grid_nearest_axes(const Grid *g, int axis[3], int sign[3]) {
  const double *a = g->affine;
  static const int perm[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  double best = -1;
  for (int p = 0; p < 6; p++) {
    double sum = 0;
    for (int r = 0; r < 3; r++) sum += fabs(a[4 * r + perm[p][r]]) / column_length(a, perm[p][r]);
    if (sum > best + 1e-9) {
      best = sum;
      memcpy(axis, perm[p], sizeof perm[p]);
    }
  }
  for (int r = 0; r < 3; r++) sign[r] = a[4 * r + axis[r]] < 0 ? -1 : 1;
}

/* How far, in voxels, a corner of a patch of dim voxels moves when its axes are made orthogonal. */
static double shear_moves(const Grid *src, const double straight[16], const int axis[3],
                          const int64_t dim[3]) {
  double worst = 0, size[3];
  grid_voxel_size(src, size);
  for (int i = 0; i < 3; i++) {
    double d = 0;
    for (int r = 0; r < 3; r++) {
      const int c = axis[r];
      d += fabs(src->affine[4 * i + c] - straight[4 * i + c] * size[c]) * (double)(dim[r] - 1) / 2;
    }
    worst = fmax(worst, d);
  }
  return worst / fmin(size[0], fmin(size[1], size[2]));
}

void grid_straighten(Grid *g) {
  double R[16];
  if (!(affine_rotation(g->affine, R) > NIFTI_SHEAR)) return;
  double size[3];
  grid_voxel_size(g, size);
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) {
      const double now = R[4 * i + j] * size[j];
      g->affine[4 * i + 3] += (g->affine[4 * i + j] - now) * (double)(g->dim[j] - 1) / 2;
      g->affine[4 * i + j] = now;
    }
}

Status grid_patch(const Grid *src, const double centre[3], const int64_t dim[3],
                  const double voxel[3], Grid *patch, bool *exact, Error *e) {
  int axis[3], sign[3];
  double inv[16], origin[3], mm[3], straight[16];
  TRY(affine_invert(src->affine, inv, e));
  grid_nearest_axes(src, axis, sign);
  *patch = (Grid){{dim[0], dim[1], dim[2]}, {0}};
  patch->affine[15] = 1;
  *exact = true;
  for (int r = 0; r < 3; r++)
    *exact = *exact && fabs(column_length(src->affine, axis[r]) / voxel[r] - 1) < 0.005;
  const bool sheared = affine_rotation(src->affine, straight) > NIFTI_SHEAR;
  if (sheared && *exact) *exact = shear_moves(src, straight, axis, dim) < 0.1;
  const double *from = sheared && !*exact ? straight : src->affine;
  for (int r = 0; r < 3; r++) {
    const double len = *exact ? 1 : column_length(from, axis[r]) / voxel[r];
    for (int i = 0; i < 3; i++) patch->affine[4 * i + r] = sign[r] * from[4 * i + axis[r]] / len;
  }
  /* first voxel of the patch, as index of the source */
  if (*exact) {
    for (int r = 0; r < 3; r++)
      origin[axis[r]] = sign[r] * ceil(sign[r] * centre[axis[r]] - (double)(dim[r] - 1) / 2 - 0.5);
    grid_mm(src, origin, mm);
  } else {
    grid_mm(src, centre, mm);
    for (int i = 0; i < 3; i++)
      for (int r = 0; r < 3; r++) mm[i] -= patch->affine[4 * i + r] * (double)(dim[r] - 1) / 2;
  }
  for (int i = 0; i < 3; i++) patch->affine[4 * i + 3] = mm[i];
  return ST_OK;
}

/* ---- resampling ---- */
typedef struct Source {
  const float *v;
  const int64_t *n;
  Interp how;
  float pad;
} Source;
static int64_t index_clamp(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

/* Weights of the taps around x along one axis; the first tap is *at, the count is returned. */
static int kernel_taps(Interp how, double x, int64_t *at, double w[4]) {
  if (how == INTERP_NEAREST) {
    *at = (int64_t)floor(x + 0.5);
    w[0] = 1;
    return 1;
  }
  const double f = floor(x), t = x - f;
  if (how == INTERP_LINEAR) {
    *at = (int64_t)f;
    w[0] = 1 - t;
    w[1] = t;
    return 2;
  }
  *at = (int64_t)f - 1; /* Catmull-Rom: Keys 1981, a = -1/2 */
  w[0] = t * (-0.5 + t * (1 - 0.5 * t));
  w[1] = 1 + t * t * (-2.5 + 1.5 * t);
  w[2] = t * (0.5 + t * (2 - 1.5 * t));
  w[3] = t * t * (-0.5 + 0.5 * t);
  return 4;
}

static double source_sample(const Source *s, const double x[3]) {
  int64_t at[3];
  double w[3][4], sum = 0;
  int m[3];
  for (int c = 0; c < 3; c++) {
    if (!(x[c] >= -0.5 - 1e-6 && x[c] <= (double)s->n[c] - 0.5 + 1e-6)) return s->pad;
    m[c] = kernel_taps(s->how, x[c], &at[c], w[c]);
  }
  for (int k = 0; k < m[2]; k++)
    for (int j = 0; j < m[1]; j++) {
      const float *row =
          s->v +
          (index_clamp(at[2] + k, s->n[2]) * s->n[1] + index_clamp(at[1] + j, s->n[1])) * s->n[0];
      double line = 0;
      for (int i = 0; i < m[0]; i++) line += w[0][i] * row[index_clamp(at[0] + i, s->n[0])];
      sum += w[2][k] * w[1][j] * line;
    }
  return sum;
}

/* Rounds m to whole numbers where it is one up to what two float32 headers can differ by. */
static bool affine_round(double m[16]) {
  double r[16];
  for (int i = 0; i < 16; i++) {
    r[i] = rint(m[i]);
    if (fabs(m[i] - r[i]) > (i % 4 == 3 ? 1e-2 : 1e-4)) return false;
  }
  memcpy(m, r, sizeof r);
  return true;
}

Status grid_resample(const float *src, const Grid *sg, float *dst, const Grid *dg, Interp how,
                     float pad, Error *e) {
  double inv[16], m[16] = {0};
  int sub[3];
  TRY(affine_invert(sg->affine, inv, e));
  for (int r = 0; r < 4; r++)
    for (int c = 0; c < 4; c++)
      for (int k = 0; k < 4; k++) m[4 * r + c] += inv[4 * r + k] * dg->affine[4 * k + c];
  const bool whole = affine_round(m);
  const Source s = {src, sg->dim, whole ? INTERP_NEAREST : how, pad};
  for (int c = 0; c < 3; c++)
    sub[c] = whole ? 1 : (int)fmin(16, fmax(1, floor(column_length(m, c) + 0.25)));
  const double share = 1.0 / (sub[0] * sub[1] * sub[2]);
  for (int64_t k = 0; k < dg->dim[2]; k++)
    for (int64_t j = 0; j < dg->dim[1]; j++)
      for (int64_t i = 0; i < dg->dim[0]; i++) {
        double sum = 0, x[3];
        for (int q = 0; q < sub[0] * sub[1] * sub[2]; q++) {
          const int a = q % sub[0], b = q / sub[0] % sub[1], c = q / (sub[0] * sub[1]);
          const double p[3] = {(double)i + (a + 0.5) / sub[0] - 0.5,
                               (double)j + (b + 0.5) / sub[1] - 0.5,
                               (double)k + (c + 0.5) / sub[2] - 0.5};
          affine_apply(m, p, x);
          sum += source_sample(&s, x);
        }
        *dst++ = (float)(sum * share);
      }
  return ST_OK;
}

/* ---- components ---- */
/* Gives every voxel that hangs together with `seed` the label `id`. stack has room for every voxel:
 * each is pushed once. */
static void component_flood(const float *v, const int64_t d[3], int32_t *label, int64_t seed,
                            int32_t id, int64_t *stack) {
  int64_t n = 0;
  label[seed] = id;
  stack[n++] = seed;
  while (n) {
    const int64_t at = stack[--n], x = at % d[0], y = at / d[0] % d[1], z = at / (d[0] * d[1]);
    for (int64_t k = PRLX_MAX(z - 1, 0); k <= PRLX_MIN(z + 1, d[2] - 1); k++)
      for (int64_t j = PRLX_MAX(y - 1, 0); j <= PRLX_MIN(y + 1, d[1] - 1); j++)
        for (int64_t i = PRLX_MAX(x - 1, 0); i <= PRLX_MIN(x + 1, d[0] - 1); i++) {
          const int64_t q = (k * d[1] + j) * d[0] + i;
          if (label[q] || !(v[q] > 0)) continue;
          label[q] = id;
          stack[n++] = q;
        }
  }
}

Status grid_components(const float *v, const int64_t dim[3], int32_t *label, int32_t *n, Error *e) {
  const int64_t all = dim[0] * dim[1] * dim[2];
  int64_t inside = 0;
  *n = 0;
  memset(label, 0, (size_t)all * sizeof *label);
  for (int64_t i = 0; i < all; i++) inside += v[i] > 0;
  int64_t *stack = mem_alloc((size_t)inside * sizeof *stack);
  if (!stack)
    return err_set(e, ST_NOMEM, "out of memory for the components of %lld voxels",
                   (long long)inside);
  for (int64_t i = 0; i < all; i++)
    if (v[i] > 0 && !label[i]) component_flood(v, dim, label, i, ++*n, stack);
  mem_free(stack);
  return ST_OK;
}
