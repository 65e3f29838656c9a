/* match.c: see match.h */
#include "io/images/match.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* of a voxel at any corner: what float32 headers and programs' rounding leave */
#define SAME_PLACE 0.05

Grid grid_of(const NiftiHeader *h) {
  Grid g = {{h->dim[1], h->dim[2], h->dim[3]}, {0}};
  memcpy(g.affine, h->affine, sizeof g.affine);
  return g;
}

static void affine_product(const double a[16], const double b[16], double out[16]) {
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      out[4 * i + j] = 0;
      for (int k = 0; k < 4; k++) out[4 * i + j] += a[4 * i + k] * b[4 * k + j];
    }
}

/* ---- lattices ---- */
/* Whole-voxel step from indices of v to indices of map: a permutation with signs and an offset. */
typedef struct Step {
  double m[16];
  bool equal;    /* the same box */
  bool inside;   /* v is a part of the map ... */
  bool around;   /* ... or the map of v */
  bool reorders; /* axes run another way */
} Step;

/* Lowest and highest index of v's box in the map, per axis. */
static void step_box(const Step *s, const int64_t dim[3], double lo[3], double hi[3]) {
  for (int i = 0; i < 3; i++) {
    lo[i] = hi[i] = s->m[4 * i + 3];
    for (int j = 0; j < 3; j++) {
      const double d = s->m[4 * i + j] * (double)(dim[j] - 1);
      lo[i] += fmin(d, 0);
      hi[i] += fmax(d, 0);
    }
  }
}

static bool step_find(const double map[16], const int64_t mdim[3], const double vol[16],
                      const int64_t vdim[3], Step *s) {
  double inv[16], m[16], lo[3], hi[3];
  if (affine_invert(map, inv, NULL) != ST_OK) return false;
  affine_product(inv, vol, m);
  *s = (Step){{0}, true, true, true, false};
  for (int i = 0; i < 16; i++) s->m[i] = rint(m[i]);
  for (int i = 0; i < 3; i++) {
    double row = 0, col = 0;
    for (int j = 0; j < 3; j++) {
      row += fabs(s->m[4 * i + j]);
      col += fabs(s->m[4 * j + i]);
    }
    if (row != 1 || col != 1) return false;
    s->reorders |= s->m[5 * i] != 1;
  }
  for (int c = 0; c < 8; c++)
    for (int i = 0; i < 3; i++) {
      double d = m[4 * i + 3] - s->m[4 * i + 3];
      for (int j = 0; j < 3; j++)
        d += (m[4 * i + j] - s->m[4 * i + j]) * (double)(c >> j & 1 ? vdim[j] - 1 : 0);
      if (!(fabs(d) <= SAME_PLACE)) return false;
    }
  step_box(s, vdim, lo, hi);
  for (int i = 0; i < 3; i++) {
    const double last = (double)(mdim[i] - 1);
    s->equal &= lo[i] == 0 && hi[i] == last;
    s->inside &= lo[i] >= 0 && hi[i] <= last;
    s->around &= lo[i] <= 0 && hi[i] >= last;
  }
  return true;
}

/* ---- matching ---- */
static const char *form_text(const NiftiHeader *h, bool other) {
  const bool sform = (h->form == NIFTI_SFORM) != other;
  return sform ? "sform" : "qform";
}

static const double *form_affine(const NiftiHeader *h, bool other) {
  return !other ? h->affine : h->form == NIFTI_SFORM ? h->qform : h->sform;
}

static void match_take(Match *m, MatchKind kind, const NiftiHeader *map, const NiftiHeader *v,
                       const Step *s) {
  m->kind = kind;
  m->grid = (Grid){{v->dim[1], v->dim[2], v->dim[3]}, {0}};
  affine_product(map->affine, s->m, m->grid.affine);
}

static Status match_without_codes(const NiftiHeader *map, const NiftiHeader *v, const char *what,
                                  const char *where, Match *m, Error *e) {
  const bool no_map = map->form == NIFTI_NO_FORM, no_v = v->form == NIFTI_NO_FORM;
  const char *who = no_map && no_v ? "neither it nor the map has" : no_v ? "it has" : "the map has";
  const char *no = no_map && no_v ? "" : "no ";
  bool dims = true, unset = true, sizes = true;
  for (int i = 1; i <= 3; i++) {
    dims &= map->dim[i] == v->dim[i];
    unset &= (no_v ? v : map)->pixdim[i] == 1;
    sizes &= fabs(v->pixdim[i] / map->pixdim[i] - 1) < 0.02;
  }
  if (!dims || !(sizes || unset))
    return err_set(
        e, ST_INVALID,
        "%s: %s of %lld x %lld x %lld voxels of %.3g x %.3g x %.3g mm, the map has %lld x "
        "%lld x %lld of %.3g x %.3g x %.3g mm, and %s %sorientation codes, so where it "
        "lies is unknown; expected the same grid; save it with its orientation",
        where, what, (long long)v->dim[1], (long long)v->dim[2], (long long)v->dim[3], v->pixdim[1],
        v->pixdim[2], v->pixdim[3], (long long)map->dim[1], (long long)map->dim[2],
        (long long)map->dim[3], map->pixdim[1], map->pixdim[2], map->pixdim[3], who, no);
  m->kind = MATCH_NO_CODES;
  m->grid = grid_of(map);
  if (no_map != no_v)
    snprintf(m->note, sizeof m->note,
             "%s: %s no orientation codes, the grid is the same: taken voxel by voxel", what, who);
  return ST_OK;
}

Status volume_match(const NiftiHeader *map, const NiftiHeader *v, const char *what,
                    const char *where, Match *m, Error *e) {
  *m = (Match){.kind = MATCH_NONE, .grid = grid_of(v)};
  if (map->form == NIFTI_NO_FORM || v->form == NIFTI_NO_FORM)
    return match_without_codes(map, v, what, where, m, e);
  const bool map_two = map->has_sform && map->has_qform, v_two = v->has_sform && v->has_qform;
  Step s, part = {{0}, false, false, false, false};
  bool have_part = false;
  for (int k = 0; k < 4; k++) {
    const bool other_map = k & 1, other_v = k >> 1;
    if ((other_map && !map_two) || (other_v && !v_two)) continue;
    if (!step_find(form_affine(map, other_map), map->dim + 1, form_affine(v, other_v), v->dim + 1,
                   &s))
      continue;
    if (!s.equal) { /* a part: only by the affines in use */
      have_part |= k == 0 && (s.inside || s.around);
      if (k == 0) part = s;
      continue;
    }
    match_take(m, k ? MATCH_OTHER_FORM : MATCH_SAME, map, v, &s);
    if (k)
      snprintf(m->note, sizeof m->note,
               "%s: its %s fits the %s of the map, %.3g mm away from its %s: used voxel by voxel",
               what, form_text(v, other_v), form_text(map, other_map),
               other_map ? map->forms_apart : v->forms_apart,
               other_map ? form_text(map, false) : form_text(v, false));
    return ST_OK;
  }
  /* the same size shifted by whole voxels is no part but a mistake */
  if (!have_part) return ST_OK;
  match_take(m, MATCH_PART, map, v, &part);
  snprintf(m->note, sizeof m->note,
           part.inside ? "%s: %lld x %lld x %lld voxels cover a part of the map: 0 elsewhere"
                       : "%s: %lld x %lld x %lld voxels reach beyond the map",
           what, (long long)v->dim[1], (long long)v->dim[2], (long long)v->dim[3]);
  return ST_OK;
}

/* ---- one volume ---- */
Grid grid_canonical(const NiftiHeader *h) {
  const Grid g = grid_of(h);
  Grid out = {{0}, {0}};
  int axis[3], sign[3];
  if (h->form == NIFTI_NO_FORM) return g;
  grid_nearest_axes(&g, axis, sign);
  out.affine[15] = 1;
  for (int i = 0; i < 3; i++) out.affine[4 * i + 3] = g.affine[4 * i + 3];
  for (int r = 0; r < 3; r++) {
    const double last = sign[r] < 0 ? (double)(g.dim[axis[r]] - 1) : 0;
    out.dim[r] = g.dim[axis[r]];
    for (int i = 0; i < 3; i++) {
      out.affine[4 * i + r] = sign[r] * g.affine[4 * i + axis[r]];
      out.affine[4 * i + 3] += g.affine[4 * i + axis[r]] * last;
    }
  }
  return out;
}

Status volume_check(const NiftiHeader *h, const char *where, const char *path, Error *e) {
  const Grid g = grid_of(h);
  double size[3];
  if (grid_voxels(&g) != h->nvox)
    return err_set(e, ST_FORMAT,
                   "%s%s: %d dimensions, %lld volumes; expected one 3-D volume; extract it first",
                   where, path, h->ndim, (long long)(h->nvox / grid_voxels(&g)));
  grid_voxel_size(&g, size);
  for (int c = 0; c < 3; c++)
    if (!(size[c] >= 0.02 && size[c] <= 20))
      return err_set(
          e, ST_FORMAT,
          "%s%s: voxels of %.4g x %.4g x %.4g mm, by a header whose unit is %s; expected "
          "0.02 to 20 mm; correct the voxel sizes or the spatial unit (xyzt_units)",
          where, path, size[0], size[1], size[2],
          h->unit_mm == 1000    ? "metres"
          : h->unit_mm == 0.001 ? "micrometres"
          : h->xyzt_units & 7   ? "mm"
                                : "not said (mm assumed)");
  return ST_OK;
}
