/* lesion.c: see lesion.h */
#include "io/images/lesion.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/nifti.h"
#include "io/formats/path.h"

enum { ID_BYTES = 128 };

void lesion_free(LesionVolumes *v) {
  for (int c = 0; c < CH_COUNT; c++) mem_free(v->vol[c]);
  mem_free(v->mask);
  memset(v, 0, sizeof *v);
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
/* Sum of the rim map, or voxels of the lesion mask, in slice k: what SLICES_RIM goes by. */
static double slice_weight(const float *map, bool probability, int64_t hw, int k) {
  double sum = 0;
  for (int64_t i = 0; i < hw; i++) {
    const float x = map[k * hw + i];
    sum += probability ? PRLX_MAX(x, 0) : x > 0;
  }
  return sum;
}

/* Slices with at least half the weight of the heaviest; none if nothing weighs anything. */
static int heavy_slices(const float *map, bool probability, const Grid *g, int *z) {
  const int64_t hw = g->dim[0] * g->dim[1];
  double most = 0;
  int n = 0;
  for (int k = 0; k < (int)g->dim[2]; k++) most = fmax(most, slice_weight(map, probability, hw, k));
  for (int k = 0; k < (int)g->dim[2] && most > 0; k++)
    if (slice_weight(map, probability, hw, k) >= most / 2) z[n++] = k;
  return n;
}

static int rim_slices(const LesionVolumes *v, int *z) {
  const int n = v->vol[CH_RIM] ? heavy_slices(v->vol[CH_RIM], true, &v->grid, z) : 0;
  return n || !v->mask ? n : heavy_slices(v->mask, false, &v->grid, z);
}

int lesion_slices(const LesionVolumes *v, SliceRule rule, int *z) {
  if (rule == SLICES_RIM) return rim_slices(v, z);
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
  char a[OS_PATH], b[OS_PATH];
  if (!os_real_path(dir, a) || !os_real_path(file, b))
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
