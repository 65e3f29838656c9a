/* crop_volume.c: a whole volume, its label map, and the patch around one lesion. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "tools/cohort/crop.h"

void brain_free(Brain *b) {
  for (int c = 0; c < CH_COUNT; c++)
    if (b->have[c]) nifti_free(&b->vol[c]);
  mem_free(b->label);
  mem_free(b->lesion);
  memset(b, 0, sizeof *b);
}

void patch_free(CropPatch *p) {
  for (int c = 0; c < CH_COUNT; c++) mem_free(p->vol[c]);
  mem_free(p->mask);
  memset(p, 0, sizeof *p);
}

static Status brain_read_volume(const char *path, const char *where, Nifti *v, Grid *g, Error *e) {
  Error inner = {0};
  Status s = nifti_read(path, v, &inner);
  if (s != ST_OK) return err_set(e, s, "%s%.800s", where, inner.msg);
  *g = (Grid){{v->head.dim[1], v->head.dim[2], v->head.dim[3]}, {0}};
  memcpy(g->affine, v->head.affine, sizeof g->affine);
  if (grid_voxels(g) != v->nvox) {
    s = err_set(e, ST_FORMAT, "%s%s: %lld volumes; expected one 3-D volume; extract it first",
                where, path, (long long)(v->nvox / grid_voxels(g)));
    goto done;
  }
  for (int64_t i = 0; i < v->nvox; i++)
    if (!isfinite(v->data[i])) {
      s = err_set(e, ST_NUMERIC,
                  "%s%s: %s at voxel (%lld, %lld, %lld); expected finite numbers; replace it, by 0 "
                  "outside the head",
                  where, path, isnan(v->data[i]) ? "NaN" : "infinity", (long long)(i % g->dim[0]),
                  (long long)(i / g->dim[0] % g->dim[1]), (long long)(i / g->dim[0] / g->dim[1]));
      goto done;
    }
done:
  if (s != ST_OK) nifti_free(v);
  return s;
}

static Status brain_check_units(const Brain *b, const CropRule *r, const char *where, Error *e) {
  double sum = 0;
  int64_t n = 0;
  const Nifti *v = &b->vol[CH_CHI];
  for (int64_t i = 0; i < v->nvox; i++)
    if (v->data[i] != 0) {
      sum += fabs((double)v->data[i]);
      n++;
    }
  if (n && (r->units == UNITS_PPM ? sum / (double)n > 2 : sum / (double)n < 0.5))
    return err_set(e, ST_INVALID, "%s%s: mean susceptibility %.3g; expected %s; %s", where, v->path,
                   sum / (double)n,
                   r->units == UNITS_PPM ? "ppm, as BIDS asks for Chimap" : "ppb (--units ppb)",
                   r->units == UNITS_PPM ? "these look like ppb: say so with --units ppb"
                                         : "these look like ppm: leave --units out");
  return ST_OK;
}

/* ---- lesions of the map ---- */
enum { MAX_LABEL = 100000 };
static Status brain_check_labels(const Nifti *m, const char *where, float *max, Error *e) {
  *max = 0;
  for (int64_t i = 0; i < m->nvox; i++) {
    const float v = m->data[i];
    if (v < 0 || v != rintf(v) || v > MAX_LABEL)
      return err_set(e, ST_FORMAT,
                     "%s%s: value %g; expected a mask of 0 and 1 or labels 0, 1, 2, ... up to %d; "
                     "threshold a probability map first",
                     where, m->path, (double)v, MAX_LABEL);
    *max = PRLX_MAX(*max, v);
  }
  return *max > 0 ? ST_OK
                  : err_set(e, ST_INVALID,
                            "%s%s: the label map is empty; expected at least one lesion; give the "
                            "map of this volume",
                            where, m->path);
}

static Status brain_components(Brain *b, const Nifti *m, Error *e) {
  int32_t *id = mem_alloc((size_t)m->nvox * sizeof *id), n;
  if (!id) return err_set(e, ST_NOMEM, "%s: out of memory", m->path);
  Status s = components26(m->data, b->grid[CH_CHI].dim, id, &n, e);
  if (s != ST_OK) goto done;
  for (int64_t i = 0; i < m->nvox; i++) b->label[i] = (float)id[i];
done:
  mem_free(id);
  return s;
}

/* Voxel count and centroid of every label; components that are too small go away, and the others
 * keep their numbers 1, 2, ... */
static Status brain_list_lesions(Brain *b, int max, int min_voxels, Error *e) {
  const Grid *g = &b->grid[CH_CHI];
  CropLesion *all = mem_alloc((size_t)(max + 1) * sizeof *all);
  int *renumber = mem_alloc((size_t)(max + 1) * sizeof *renumber);
  b->lesion = mem_alloc((size_t)(max + 1) * sizeof *b->lesion);
  if (!all || !renumber || !b->lesion) {
    mem_free(all);
    mem_free(renumber);
    return err_set(e, ST_NOMEM, "out of memory for %d lesions", max);
  }
  for (int64_t k = 0, at = 0; k < g->dim[2]; k++)
    for (int64_t j = 0; j < g->dim[1]; j++)
      for (int64_t i = 0; i < g->dim[0]; i++, at++) {
        CropLesion *l = &all[(int)b->label[at]];
        l->voxels++;
        l->centre[0] += (double)i;
        l->centre[1] += (double)j;
        l->centre[2] += (double)k;
      }
  for (int id = 1; id <= max; id++) {
    if (!all[id].voxels) continue;
    if (b->components && all[id].voxels < min_voxels) {
      b->dropped++;
      continue;
    }
    CropLesion *l = &b->lesion[b->n++];
    *l = all[id];
    for (int c = 0; c < 3; c++) l->centre[c] /= (double)l->voxels;
    l->id = renumber[id] = b->components ? b->n : id;
  }
  for (int64_t i = 0; i < grid_voxels(g); i++) b->label[i] = (float)renumber[(int)b->label[i]];
  mem_free(all);
  mem_free(renumber);
  return ST_OK;
}

static Status brain_read_labels(Brain *b, const char *path, const CropRule *r, const char *where,
                                Error *e) {
  Nifti m;
  Grid g;
  const Grid *chi = &b->grid[CH_CHI];
  double size[3];
  float max;
  Status s = brain_read_volume(path, where, &m, &g, e);
  if (s != ST_OK) return s;
  grid_voxel_size(chi, size);
  const bool other = grid_distance(&g, chi) > 0.05 * fmin(size[0], fmin(size[1], size[2]));
  s = brain_check_labels(&m, where, &max, e);
  if (s != ST_OK) goto done;
  if (other && !r->regrid) {
    s = err_set(
        e, ST_INVALID,
        "%s%s: %lld x %lld x %lld voxels or another affine than the Chimap (%lld x %lld x %lld); "
        "expected the same grid; if both affines are right, --regrid takes the nearest label",
        where, path, (long long)g.dim[0], (long long)g.dim[1], (long long)g.dim[2],
        (long long)chi->dim[0], (long long)chi->dim[1], (long long)chi->dim[2]);
    goto done;
  }
  if (!(b->label = mem_alloc((size_t)grid_voxels(chi) * sizeof *b->label))) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  s = resample(m.data, &g, b->label, chi, INTERP_NEAREST, 0, e);
  if (s != ST_OK) goto done;
  b->components = r->map == MAP_COMPONENTS || (r->map == MAP_AUTO && max == 1);
  if (b->components) {
    Nifti on_chi = {.data = b->label, .nvox = grid_voxels(chi), .path = m.path};
    s = brain_components(b, &on_chi, e);
    if (s != ST_OK) goto done;
    max = 0;
    for (int64_t i = 0; i < on_chi.nvox; i++) max = PRLX_MAX(max, b->label[i]);
  }
  s = brain_list_lesions(b, (int)max, r->min_voxels, e);
  if (s != ST_OK) goto done;
  if (!b->n) {
    s = err_set(e, ST_INVALID, "%s%s: %s; lower --min-voxels or correct the map", where, path,
                b->dropped ? "every component is smaller than --min-voxels"
                           : "no lesion lies inside the Chimap");
    goto done;
  }
done:
  nifti_free(&m);
  return s;
}

Status brain_read(Brain *b, const char *const path[CH_COUNT], const char *labels, const CropRule *r,
                  const char *where, Error *e) {
  memset(b, 0, sizeof *b);
  Status s = ST_OK;
  for (int c = 0; c < CH_COUNT; c++) {
    if (!path[c]) continue;
    s = brain_read_volume(path[c], where, &b->vol[c], &b->grid[c], e);
    if (s != ST_OK) goto done;
    b->have[c] = true;
  }
  s = brain_check_units(b, r, where, e);
  if (s != ST_OK) goto done;
  s = brain_read_labels(b, labels, r, where, e);
  if (s != ST_OK) goto done;
  size_t at = 0;
  for (int c = 0; c < CH_COUNT; c++) {
    if (!b->have[c]) continue;
    if (b->vol[c].head.form == NIFTI_NO_FORM)
      at += (size_t)snprintf(b->warning + at, sizeof b->warning - at,
                             "%s%s has no orientation, taken as RAS", at ? "; " : "",
                             channel_name((Channel)c));
    if (c && at < sizeof b->warning && grid_distance(&b->grid[c], &b->grid[CH_CHI]) > 1e-3)
      at += (size_t)snprintf(b->warning + at, sizeof b->warning - at,
                             "%s%s lies on another grid, resampled through its affine",
                             at ? "; " : "", channel_name((Channel)c));
    at = PRLX_MIN(at, sizeof b->warning - 1);
  }
done:
  if (s != ST_OK) brain_free(b);
  return s;
}

const CropLesion *brain_find(const Brain *b, int id) {
  for (int i = 0; i < b->n; i++)
    if (b->lesion[i].id == id) return &b->lesion[i];
  return NULL;
}

/* ---- patch ---- */
static bool grid_inside(const Grid *patch, const Grid *vol) {
  double inv[16], mm[3];
  Error e;
  if (affine_invert(vol->affine, inv, &e) != ST_OK) return false;
  for (int k = 0; k < 8; k++) {
    double at[3];
    for (int c = 0; c < 3; c++) at[c] = k >> c & 1 ? (double)(patch->dim[c] - 1) : 0;
    grid_mm(patch, at, mm);
    for (int r = 0; r < 3; r++) {
      const double x =
          inv[4 * r] * mm[0] + inv[4 * r + 1] * mm[1] + inv[4 * r + 2] * mm[2] + inv[4 * r + 3];
      if (x < -0.51 || x > (double)vol->dim[r] - 0.49) return false;
    }
  }
  return true;
}

Status brain_patch(const Brain *b, const CropLesion *l, const CropRule *r, CropPatch *p, Error *e) {
  const Grid *chi = &b->grid[CH_CHI];
  memset(p, 0, sizeof *p);
  TRY(grid_patch(chi, l->centre, r->dim, r->voxel, &p->grid, &p->exact, e));
  const size_t n = (size_t)grid_voxels(&p->grid);
  float *one = mem_alloc((size_t)grid_voxels(chi) * sizeof *one);
  if (!one) return err_set(e, ST_NOMEM, "out of memory");
  Status s = ST_OK;
  for (int c = 0; c < CH_COUNT; c++) {
    if (!b->have[c]) continue;
    if (!(p->vol[c] = mem_alloc(n * sizeof(float)))) {
      s = err_set(e, ST_NOMEM, "out of memory for a patch");
      goto done;
    }
    s = resample(b->vol[c].data, &b->grid[c], p->vol[c], &p->grid,
                 c == CH_RIM ? INTERP_LINEAR : INTERP_CUBIC, 0, e);
    if (s != ST_OK) goto done;
  }
  if (!(p->mask = mem_alloc(n * sizeof(float)))) {
    s = err_set(e, ST_NOMEM, "out of memory for a patch");
    goto done;
  }
  for (int64_t i = 0; i < grid_voxels(chi); i++) one[i] = b->label[i] == (float)l->id;
  s = resample(one, chi, p->mask, &p->grid, INTERP_LINEAR, 0, e);
  if (s != ST_OK) goto done;
  /* a lesion thinner than a voxel of the patch stays where there is most of it */
  float most = 0;
  for (size_t i = 0; i < n; i++) most = PRLX_MAX(most, p->mask[i]);
  for (size_t i = 0; i < n; i++) p->mask[i] = p->mask[i] >= PRLX_MIN(most, 0.5f) && most > 0;
  for (size_t i = 0; i < n && r->units == UNITS_PPB; i++) p->vol[CH_CHI][i] *= 1e-3f;
  p->padded = !grid_inside(&p->grid, chi);
done:
  mem_free(one);
  if (s != ST_OK) patch_free(p);
  return s;
}
