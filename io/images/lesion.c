/* lesion.c: see lesion.h */
#include "io/images/lesion.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/nifti.h"
#include "io/formats/path.h"

enum { MAX_SIDE = 1024, ID_BYTES = 128 };

void lesion_free(LesionVolumes *v) {
  for (int c = 0; c < CH_COUNT; c++) mem_free(v->vol[c]);
  mem_free(v->mask);
  memset(v, 0, sizeof *v);
}

/* "TABLE: row 7: FILE", or the file alone when there is no table. */
static void lesion_where(const Cohort *c, const Lesion *l, const char *path, char out[600]) {
  if (c->table.path)
    snprintf(out, 600, "%.250s: row %d: %.300s", c->table.path, l->row + 2, path);
  else
    snprintf(out, 600, "%.550s", path);
}

static Status check_finite(const Nifti *v, const char *where, Error *e) {
  for (int64_t i = 0; i < v->nvox; i++)
    if (!isfinite(v->data[i]))
      return err_set(e, ST_NUMERIC,
                     "%s: %s at voxel (%lld, %lld, %lld); expected finite numbers; replace it, by "
                     "0 outside the head",
                     where, isnan(v->data[i]) ? "NaN" : "infinity", (long long)(i % v->head.dim[1]),
                     (long long)(i / v->head.dim[1] % v->head.dim[2]),
                     (long long)(i / v->head.dim[1] / v->head.dim[2]));
  return ST_OK;
}

/* A 3-D volume of bearable size on the grid of v (if it has one yet). */
static Status check_grid(const Nifti *n, const Grid *g, const LesionVolumes *v, const char *what,
                         const char *where, Error *e) {
  double size[3];
  grid_voxel_size(g, size);
  const double gap = v->grid.dim[0] ? grid_distance(g, &v->grid) : 0,
               small = fmin(size[0], fmin(size[1], size[2]));
  const int64_t *d = g->dim, *w = v->grid.dim;
  if (grid_voxels(g) != n->nvox)
    return err_set(e, ST_FORMAT,
                   "%s: %d dimensions, %lld volumes; expected one 3-D volume; extract it first",
                   where, n->head.ndim, (long long)(n->nvox / grid_voxels(g)));
  if (d[0] > MAX_SIDE || d[1] > MAX_SIDE || d[2] > MAX_SIDE)
    return err_set(e, ST_FORMAT, "%s: %lld x %lld x %lld voxels; expected at most %d each way",
                   where, (long long)d[0], (long long)d[1], (long long)d[2], MAX_SIDE);
  if (isinf(gap))
    return err_set(e, ST_FORMAT,
                   "%s: %s of %lld x %lld x %lld voxels, chi has %lld x %lld x %lld; expected the "
                   "same grid; resample it, or cut all from whole volumes with prlx crop",
                   where, what, (long long)d[0], (long long)d[1], (long long)d[2], (long long)w[0],
                   (long long)w[1], (long long)w[2]);
  if (gap > 0.05 * small)
    return err_set(e, ST_FORMAT,
                   "%s: %s lies up to %.3g mm away from chi (other affine); expected the same "
                   "grid; resample it, or cut all from whole volumes with prlx crop",
                   where, what, gap);
  return ST_OK;
}

/* One volume of the row, on the grid of the first one read; *out takes its voxels. */
static Status read_one(const Cohort *c, const Lesion *l, const char *path, const char *what,
                       LesionVolumes *v, float **out, char *warning, Error *e) {
  char where[600];
  Nifti n;
  Error inner = {0};
  lesion_where(c, l, path, where);
  Status s = nifti_read(path, &n, &inner);
  if (s != ST_OK) {
    if (c->table.path)
      return err_set(e, s, "%.250s: row %d: %.700s", c->table.path, l->row + 2, inner.msg);
    *e = inner;
    return s;
  }
  Grid g = {{n.head.dim[1], n.head.dim[2], n.head.dim[3]}, {0}};
  memcpy(g.affine, n.head.affine, sizeof g.affine);
  s = check_grid(&n, &g, v, what, where, e);
  if (s != ST_OK) goto done;
  s = check_finite(&n, where, e);
  if (s != ST_OK) goto done;
  if (!v->grid.dim[0]) {
    v->grid = g;
    if (n.head.form == NIFTI_NO_FORM)
      snprintf(warning, 256, "%.160s: no orientation in the header; taken as RAS", path);
  }
  *out = n.data;
  n.data = NULL;
done:
  nifti_free(&n);
  return s;
}

/* A brain in ppm has |chi| of 0.03 on average, in ppb of 30: a mistake of 1000 is beyond doubt. */
static Status check_units(const Cohort *c, const Lesion *l, const LesionVolumes *v, ChiUnits units,
                          Error *e) {
  double sum = 0;
  int64_t n = 0;
  char where[600];
  for (int64_t i = 0; i < grid_voxels(&v->grid); i++)
    if (v->vol[CH_CHI][i] != 0) {
      sum += fabs((double)v->vol[CH_CHI][i]);
      n++;
    }
  lesion_where(c, l, l->chi, where);
  if (units == UNITS_PPM && n && sum / (double)n > 2)
    return err_set(e, ST_INVALID,
                   "%s: mean susceptibility %.3g; expected ppm, as BIDS asks for Chimap; these "
                   "look like ppb: say so with --units ppb",
                   where, sum / (double)n);
  if (units == UNITS_PPB && n && sum / (double)n < 0.5)
    return err_set(e, ST_INVALID,
                   "%s: mean susceptibility %.3g; expected ppb (--units ppb); these look like ppm: "
                   "leave --units out",
                   where, sum / (double)n);
  return ST_OK;
}

/* The k-th smallest of p[0..n-1], which is reordered (Hoare 1961). */
static float select_kth(float *p, int64_t n, int64_t k) {
  for (int64_t lo = 0, hi = n - 1; lo < hi;) {
    const float pivot = p[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (p[i] < pivot) i++;
      while (p[j] > pivot) j--;
      if (i > j) break;
      const float t = p[i];
      p[i++] = p[j];
      p[j--] = t;
    }
    if (k <= j)
      hi = j;
    else if (k >= i)
      lo = i;
    else
      break;
  }
  return p[k];
}

static Status positive_median(const float *v, int64_t n, double *out, Error *e) {
  float *p = mem_alloc((size_t)n * sizeof *p);
  int64_t m = 0;
  if (!p) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < n; i++)
    if (v[i] > 0) p[m++] = v[i];
  *out = m ? 0.5 * ((double)select_kth(p, m, (m - 1) / 2) + select_kth(p, m, m / 2)) : 0;
  mem_free(p);
  return ST_OK;
}

static Status no_channel(const Cohort *c, const Lesion *l, const char *channel, Error *e) {
  if (c->table.path)
    return err_set(e, ST_FORMAT,
                   "%s: row %d: no %s file; the channels asked for need it; fill it in or leave "
                   "%s out of --channels",
                   c->table.path, l->row + 2, channel, channel);
  return err_set(
      e, ST_INVALID,
      "%s: channel %s needs a lesions.tsv that names its file; a single volume has only chi",
      l->chi, channel);
}

/* What it has read so far is in v, for lesion_free. */
static Status volumes_read(const Cohort *c, const Lesion *l, unsigned channels, ChiUnits units,
                           LesionVolumes *v, char *warning, Error *e) {
  const char *const path[CH_COUNT] = {l->chi, l->rim, l->flair};
  TRY(read_one(c, l, l->chi, "chi", v, &v->vol[CH_CHI], warning, e));
  for (int k = CH_RIM; k < CH_COUNT; k++) {
    if (!(channels >> k & 1)) continue;
    if (!path[k]) return no_channel(c, l, channel_name((Channel)k), e);
    TRY(read_one(c, l, path[k], channel_name((Channel)k), v, &v->vol[k], warning, e));
  }
  if (l->mask) TRY(read_one(c, l, l->mask, "the lesion mask", v, &v->mask, warning, e));
  TRY(check_units(c, l, v, units, e));
  for (int k = 0; k < CH_COUNT; k++) v->scale[k] = k == CH_CHI && units == UNITS_PPM ? 1000 : 1;
  if (!v->vol[CH_FLAIR]) return ST_OK;
  TRY(positive_median(v->vol[CH_FLAIR], grid_voxels(&v->grid), &v->flair_median, e));
  if (v->flair_median > 0) return ST_OK;
  char where[600];
  lesion_where(c, l, l->flair, where);
  return err_set(e, ST_FORMAT,
                 "%s: FLAIR without positive values; expected an image; correct the file", where);
}

Status lesion_read(const Cohort *c, int i, unsigned channels, ChiUnits units, LesionVolumes *v,
                   char *warning, Error *e) {
  memset(v, 0, sizeof *v);
  warning[0] = 0;
  const Status s = volumes_read(c, &c->lesion[i], channels, units, v, warning, e);
  if (s != ST_OK) lesion_free(v);
  return s;
}

/* ---- volumes given by name ---- */
/* Subject, scan and key of a volume from its name: sub-XX..., else the whole name. */
static Status volume_names(Lesion *l, const char *path, char subject[ID_BYTES], char *key,
                           Error *e) {
  BidsName name;
  const char *base = path_base(path), *label[ENT_COUNT];
  TRY(bids_parse(&name, path, e));
  if (name.sub[0])
    snprintf(subject, ID_BYTES, "sub-%s", name.sub);
  else
    snprintf(subject, ID_BYTES, "%.*s", (int)PRLX_MIN(strcspn(base, "."), (size_t)100), base);
  for (int k = 0; k < ENT_COUNT; k++) label[k] = name.scan[k];
  bids_patient_key(subject, key);
  l->subject = subject;
  l->patient = key;
  return bids_scan(label, l->scan, e);
}

static Status volumes_fill(Cohort *c, int n, char *const *paths, const char *mask, Error *e) {
  c->lesion = mem_alloc((size_t)n * sizeof *c->lesion);
  c->patient = mem_alloc((size_t)n * sizeof *c->patient);
  char *text = c->table.text = mem_alloc((size_t)n * 2 * ID_BYTES);
  if (!c->lesion || !c->patient || !text) return err_set(e, ST_NOMEM, "out of memory");
  for (int i = 0; i < n; i++) {
    char *subject = text + (size_t)i * 2 * ID_BYTES, *lesion = subject + ID_BYTES;
    snprintf(lesion, ID_BYTES, "%02d", i + 1);
    c->lesion[i] = (Lesion){.row = i,
                            .lesion = lesion,
                            .chi = mem_strdup(paths[i]),
                            .mask = mask ? mem_strdup(mask) : NULL,
                            .reader1 = -1,
                            .reader2 = -1,
                            .cls = CLASS_UNREAD};
    c->n = i + 1;
    if (!c->lesion[i].chi || (mask && !c->lesion[i].mask))
      return err_set(e, ST_NOMEM, "out of memory");
    TRY(volume_names(&c->lesion[i], paths[i], subject, c->patient[i], e));
  }
  return ST_OK;
}

Status cohort_from_volumes(Cohort *c, int n, char *const *paths, const char *mask, Error *e) {
  memset(c, 0, sizeof *c);
  const Status s = volumes_fill(c, n, paths, mask, e);
  if (s != ST_OK) cohort_free(c);
  return s;
}

/* ---- slices ---- */
int lesion_slices(const LesionVolumes *v, SliceRule rule, int *z) {
  const int64_t hw = v->grid.dim[0] * v->grid.dim[1];
  int n = 0, best = (int)v->grid.dim[2] / 2;
  int64_t most = 0;
  for (int k = 0; k < (int)v->grid.dim[2]; k++) {
    const float *chi = v->vol[CH_CHI] + k * hw, *mask = v->mask ? v->mask + k * hw : NULL;
    int64_t inside = 0;
    bool varies = false;
    for (int64_t i = 0; i < hw; i++) {
      inside += mask && mask[i] > 0;
      varies |= chi[i] != chi[0];
    }
    if (inside > most) {
      most = inside;
      best = k;
    }
    if (rule == SLICES_ALL ? varies : rule == SLICES_LESION && inside) z[n++] = k;
  }
  if (rule == SLICES_CENTRAL) z[n++] = best;
  return n;
}

void lesion_limits(const LesionVolumes *v, int z, const Channel *ch, int nch, const Window *w,
                   double *limits) {
  const int64_t hw = v->grid.dim[0] * v->grid.dim[1];
  for (int k = 0; k < nch; k++) {
    const Channel c = ch[k];
    double *lim = limits + 2 * k;
    lim[0] = w[c].lo;
    lim[1] = w[c].hi;
    if (w[c].mode == WINDOW_MEDIAN) {
      lim[0] = 0;
      lim[1] = 2.5 * v->flair_median;
    }
    if (w[c].mode != WINDOW_SLICE) continue;
    const float *p = v->vol[c] + z * hw;
    float lo = p[0], hi = p[0];
    for (int64_t i = 1; i < hw; i++) {
      lo = PRLX_MIN(lo, p[i]);
      hi = PRLX_MAX(hi, p[i]);
    }
    lim[0] = lo * v->scale[c];
    lim[1] = hi > lo ? hi * v->scale[c] : lim[0] + 1; /* a constant slice becomes -1 */
  }
}

void lesion_image(const LesionVolumes *v, int z, const Channel *ch, int nch, const double *limits,
                  float *out) {
  const int64_t hw = v->grid.dim[0] * v->grid.dim[1];
  for (int k = 0; k < nch; k++) {
    const float *p = v->vol[ch[k]] + z * hw;
    const double lo = limits[2 * k], hi = limits[2 * k + 1], scale = v->scale[ch[k]];
    for (int64_t i = 0; i < hw; i++) *out++ = (float)window_map(lo, hi, p[i] * scale);
  }
}

void image_to_volume(const float *img, int64_t n, Channel ch, const double limits[2], float *out) {
  const double scale = ch == CH_CHI ? 1e-3 : 1;
  for (int64_t i = 0; i < n; i++)
    out[i] = (float)(window_unmap(limits[0], limits[1], img[i]) * scale);
  /* A network may go beyond its range; a probability may not. */
  for (int64_t i = 0; i < n && ch == CH_RIM; i++) out[i] = PRLX_MIN(PRLX_MAX(out[i], 0.0f), 1.0f);
}

/* ---- files ---- */
Status path_relative(const char *dir, const char *file, char *out, size_t n, Error *e) {
  char a[PATH_MAX], b[PATH_MAX];
  if (!realpath(dir, a) || !realpath(file, b))
    return err_set(e, ST_IO, "%.300s: cannot be found from %.300s", file, dir);
  size_t same = 0, i = 0;
  while (a[i] && a[i] == b[i]) {
    i++;
    if (a[i - 1] == '/') same = i;
  }
  if (!a[i] && b[i] == '/') same = i + 1; /* file lies below dir */
  size_t at = 0;
  out[0] = 0;
  for (const char *p = a[i] || b[i] != '/' ? a + same : ""; *p && at + 4 < n;) {
    at += (size_t)snprintf(out + at, n - at, "../");
    p += strcspn(p, "/");
    p += *p == '/';
  }
  const int k = snprintf(out + at, n - at, "%s", b + same);
  if (k < 0 || at + (size_t)k >= n) return err_set(e, ST_INVALID, "%.300s: path too long", file);
  return ST_OK;
}
