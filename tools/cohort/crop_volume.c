/* crop_volume.c: a whole volume with its channels, and the patch around one lesion. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/images/match.h"
#include "tools/cohort/crop.h"

void brain_free(Brain *b) {
  for (int c = 0; c < CH_COUNT; c++) {
    if (b->have[c]) nifti_free(&b->vol[c]);
    mem_free(b->hole[c]);
  }
  mem_free(b->label);
  mem_free(b->lesion);
  memset(b, 0, sizeof *b);
}

void patch_free(CropPatch *p) {
  for (int c = 0; c < CH_COUNT; c++) mem_free(p->vol[c]);
  mem_free(p->mask);
  memset(p, 0, sizeof *p);
}

void brain_note(Brain *b, const char *fmt, ...) {
  size_t n = strlen(b->warning);
  if (n && n + 2 < sizeof b->warning) n += (size_t)sprintf(b->warning + n, "; ");
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(b->warning + n, sizeof b->warning - n, fmt, ap);
  va_end(ap);
}

void brain_note_header(Brain *b, const char *what, const NiftiHeader *h) {
  if (h->warning[0]) brain_note(b, "%s: %s", what, h->warning);
}

Status brain_read_volume(const char *path, const char *where, Nifti *v, Error *e) {
  Error inner = {0};
  Status s = nifti_read(path, v, &inner);
  if (s != ST_OK) return err_set(e, s, "%s%.800s", where, inner.msg);
  s = volume_check(&v->head, where, path, e);
  if (s != ST_OK) nifti_free(v);
  return s;
}

/* NaN and infinity are filled; where they were is kept for the patches that meet them. */
static Status brain_fill_holes(Brain *b, int c, const CropRule *r, const char *where, Error *e) {
  Nifti *v = &b->vol[c];
  const int64_t bad = count_not_finite(v->data, v->nvox);
  if (!bad) return ST_OK;
  if (bad == v->nvox)
    return err_set(e, ST_NUMERIC, "%s%s: every voxel is NaN or infinite; expected an image", where,
                   v->path);
  if (!(b->hole[c] = mem_alloc((size_t)v->nvox * sizeof(float))))
    return err_set(e, ST_NOMEM, "%s%s: out of memory", where, v->path);
  return fill_not_finite(v->data, b->grid[c].dim, r->nan, b->hole[c], e);
}

/* Does v cover any of 5 x 5 x 5 points of the map? */
static bool grids_meet(const Grid *map, const Grid *v) {
  double inv[16], mm[3];
  if (affine_invert(v->affine, inv, NULL) != ST_OK) return false;
  for (int k = 0; k < 125; k++) {
    const double at[3] = {(double)(map->dim[0] - 1) * (k % 5) / 4,
                          (double)(map->dim[1] - 1) * (k / 5 % 5) / 4,
                          (double)(map->dim[2] - 1) * (k / 25) / 4};
    bool in = true;
    grid_mm(map, at, mm);
    for (int r = 0; r < 3; r++) {
      const double x =
          inv[4 * r] * mm[0] + inv[4 * r + 1] * mm[1] + inv[4 * r + 2] * mm[2] + inv[4 * r + 3];
      in &= x >= -0.5 && x <= (double)v->dim[r] - 0.5;
    }
    if (in) return true;
  }
  return false;
}

/* The grid by which channel c is resampled: the voxels of the map where it lies on them. */
static Status brain_place(Brain *b, int c, const char *where, Error *e) {
  const char *name = channel_name((Channel)c);
  char text[1200];
  Match m;
  snprintf(text, sizeof text, "%s%.800s", where, b->vol[c].path);
  TRY(volume_match(&b->vol[CH_CHI].head, &b->vol[c].head, name, text, &m, e));
  b->grid[c] = m.grid;
  if (!grids_meet(&b->grid[CH_CHI], &b->grid[c]))
    return err_set(e, ST_INVALID,
                   "%s: %s has no voxel in common with the Chimap, by their affines; expected the "
                   "same head in the same space; register it to the Chimap",
                   text, name);
  if (m.note[0]) brain_note(b, "%s", m.note);
  if (m.kind == MATCH_NONE)
    brain_note(b, "%s lies on another grid, resampled through its affine", name);
  return ST_OK;
}

/* One file cannot be two things, whatever its paths. */
static Status brain_check_files(const char *const path[CH_COUNT], const char *labels,
                                const char *where, Error *e) {
  OsInfo info[CH_COUNT + 1];
  const char *what[CH_COUNT + 1];
  int n = 0;
  for (int c = 0; c <= CH_COUNT; c++) {
    const char *p = c < CH_COUNT ? path[c] : labels;
    if (!p || os_info(p, &info[n]) != 0) continue; /* reading it says what is wrong */
    what[n] = c < CH_COUNT ? channel_name((Channel)c) : "label map";
    for (int k = 0; k < n; k++)
      if (info[k].device == info[n].device && info[k].number == info[n].number)
        return err_set(e, ST_INVALID,
                       "%s%s: is given as %s and as %s; expected a file for each; correct one of "
                       "them",
                       where, p, what[k], what[n]);
    n++;
  }
  return ST_OK;
}

static Status brain_check_units(const Brain *b, const CropRule *r, const char *where, Error *e) {
  char text[1200];
  const Nifti *v = &b->vol[CH_CHI];
  snprintf(text, sizeof text, "%s%.800s", where, v->path);
  TRY(chi_check_units(v->data, v->nvox, r->units, text, e));
  return chi_check_sidecar(v->path, r->units, e);
}

Status brain_read(Brain *b, const char *const path[CH_COUNT], const char *labels, const CropRule *r,
                  const char *where, Error *e) {
  memset(b, 0, sizeof *b);
  TRY(brain_check_files(path, labels, where, e));
  Status s = ST_OK;
  for (int c = 0; c < CH_COUNT; c++) {
    if (!path[c]) continue;
    s = brain_read_volume(path[c], where, &b->vol[c], e);
    if (s != ST_OK) goto done;
    b->have[c] = true;
    b->grid[c] = grid_of(&b->vol[c].head);
    brain_note_header(b, channel_name((Channel)c), &b->vol[c].head);
    s = c == CH_CHI ? brain_check_units(b, r, where, e) : brain_place(b, c, where, e);
    if (s != ST_OK) goto done;
    s = brain_fill_holes(b, c, r, where, e);
    if (s != ST_OK) goto done;
  }
  s = brain_read_labels(b, labels, r, where, e);
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

/* Lesions drawn on another grid than the patch's: at least half inside; one that is thinner than a
 * voxel of the patch stays where there is most of it. */
static Status patch_mask(const Brain *b, const CropLesion *l, CropPatch *p, Error *e) {
  const Grid *chi = &b->grid[CH_CHI];
  const size_t n = (size_t)grid_voxels(&p->grid);
  float *one = mem_alloc((size_t)grid_voxels(chi) * sizeof *one), most = 0;
  p->mask = mem_alloc(n * sizeof(float));
  Status s = ST_OK;
  if (!one || !p->mask) {
    s = err_set(e, ST_NOMEM, "out of memory for a patch");
    goto done;
  }
  for (int64_t i = 0; i < grid_voxels(chi); i++) one[i] = b->label[i] == (float)l->id;
  s = grid_resample(one, chi, p->mask, &p->grid, INTERP_LINEAR, 0, e);
  for (size_t i = 0; i < n; i++) most = PRLX_MAX(most, p->mask[i]);
  for (size_t i = 0; i < n; i++) p->mask[i] = p->mask[i] >= PRLX_MIN(most, 0.5f) && most > 0;
done:
  mem_free(one);
  return s;
}

/* Voxels of the patch that a NaN of channel c touched, by the same interpolation. */
static Status patch_holes(const Brain *b, const CropLesion *l, int c, const CropRule *r,
                          CropPatch *p, Error *e) {
  const size_t n = (size_t)grid_voxels(&p->grid);
  if (!b->hole[c]) return ST_OK;
  float *hit = mem_alloc(n * sizeof *hit);
  if (!hit) return err_set(e, ST_NOMEM, "out of memory for a patch");
  int64_t inside = 0, left = 0;
  Status s = grid_resample(b->hole[c], &b->grid[c], hit, &p->grid,
                           c == CH_RIM ? INTERP_LINEAR : INTERP_CUBIC, 0, e);
  if (s != ST_OK) goto done;
  for (size_t i = 0; i < n; i++) {
    const bool bad = fabsf(hit[i]) > 1e-6f;
    p->holes[c] += bad;
    inside += p->mask[i] > 0;
    left += p->mask[i] > 0 && !bad;
  }
  if (p->holes[c] && (r->nan == NAN_REFUSE || (c == CH_CHI && inside && !left)))
    s = err_set(e, ST_NUMERIC, "%s: %lld voxels of lesion %d's patch are NaN or infinite%s",
                b->vol[c].path, (long long)p->holes[c], l->id,
                r->nan == NAN_REFUSE
                    ? "; expected finite numbers; correct them, or say what stands in "
                      "for them with --nan zero or --nan neighbours"
                    : ", the whole lesion among them; expected susceptibility "
                      "inside it; remove the lesion or correct the map");
done:
  mem_free(hit);
  return s;
}

static Status patch_channel(const Brain *b, const CropLesion *l, int c, const CropRule *r,
                            CropPatch *p, Error *e) {
  const size_t n = (size_t)grid_voxels(&p->grid);
  if (!(p->vol[c] = mem_alloc(n * sizeof(float))))
    return err_set(e, ST_NOMEM, "out of memory for a patch");
  TRY(grid_resample(b->vol[c].data, &b->grid[c], p->vol[c], &p->grid,
                    c == CH_RIM ? INTERP_LINEAR : INTERP_CUBIC, 0, e));
  const Grid middle = {{1, 1, 1}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}};
  Grid at = middle;
  double mm[3];
  grid_mm(&b->grid[CH_CHI], l->centre, mm);
  for (int i = 0; i < 3; i++) at.affine[4 * i + 3] = mm[i];
  p->uncovered[c] = !grid_inside(&at, &b->grid[c]);
  return patch_holes(b, l, c, r, p, e);
}

Status brain_patch(const Brain *b, const CropLesion *l, const CropRule *r, CropPatch *p, Error *e) {
  const Grid *chi = &b->grid[CH_CHI];
  memset(p, 0, sizeof *p);
  TRY(grid_patch(chi, l->centre, r->dim, r->voxel, &p->grid, &p->exact, e));
  Status s = patch_mask(b, l, p, e);
  if (s != ST_OK) goto done;
  for (int c = 0; c < CH_COUNT; c++) {
    if (!b->have[c]) continue;
    s = patch_channel(b, l, c, r, p, e);
    if (s != ST_OK) goto done;
  }
  const size_t n = (size_t)grid_voxels(&p->grid);
  if (r->to_ppm != 1)
    for (size_t i = 0; i < n; i++) p->vol[CH_CHI][i] = (float)(p->vol[CH_CHI][i] * r->to_ppm);
  p->padded = !grid_inside(&p->grid, chi);
  grid_straighten(&p->grid);
done:
  if (s != ST_OK) patch_free(p);
  return s;
}
