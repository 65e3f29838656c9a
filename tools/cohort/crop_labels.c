/* crop_labels.c: the label map of a whole volume: read from whatever program drew it, brought onto
 * the voxels of the susceptibility map, its lesions counted. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "io/images/finite.h"
#include "io/images/match.h"
#include "tools/cohort/crop.h"

enum { MAX_LABEL = (1 << 24) - 1 }; /* float32 holds every whole number up to there */

/* ---- values ---- */
/* How far from a whole number a label may lie: rounding noise of a resampling, or the step of a
 * writer that stored it as scaled integers. */
static double label_tolerance(const NiftiHeader *h) {
  const bool whole = h->datatype != 16 && h->datatype != 64;
  const double step = fabs(h->scl_slope);
  const bool scaled = whole && isfinite(step) && step != 0 && step != rint(step);
  return scaled ? fmax(0.01, fmin(1.01 * step, 0.25)) : 0.01;
}

/* The step of a map whose values were 8 bits once, scaled so that 255 was the largest label, and
 * are floats now: 7/255 for 0.988, 1.976, 7. 0: they were not. */
static double label_step(const Nifti *m) {
  float max = 0;
  for (int64_t i = 0; i < m->nvox; i++)
    if (isfinite(m->data[i])) max = fmaxf(max, m->data[i]);
  if (max < 2 || max > 60 || fabs(max - rint(max)) > 1e-3) return 0;
  for (int64_t i = 0; i < m->nvox; i++) {
    const double k = m->data[i] * 255.0 / max;
    if (isfinite(k) && fabs(k - rint(k)) > 1e-3) return 0;
  }
  return max / 255;
}

static Status label_error(const Nifti *m, float v, const char *where, Error *e) {
  float max = 0;
  for (int64_t i = 0; i < m->nvox; i++) max = fmaxf(max, m->data[i]);
  return err_set(
      e, ST_FORMAT,
      "%s%s: value %.9g; expected a mask (one value beside 0) or labels 0, 1, 2, ... up to "
      "%d; %s",
      where, m->path, (double)v, MAX_LABEL,
      v < 0 || v > MAX_LABEL ? "renumber the lesions"
      : max <= 1             ? "threshold a probability map first"
                             : "labels that were resampled or scaled: give the original map");
}

/* Makes the values whole: rounds what nearly is, NaN becomes 0; both are noted. */
static Status label_round(Brain *b, Nifti *m, const char *where, Error *e) {
  const double tol = fmax(label_tolerance(&m->head), 1.01 * label_step(m));
  double worst = 0;
  int64_t bad = 0, rounded = 0;
  for (int64_t i = 0; i < m->nvox; i++) {
    const float v = m->data[i];
    if (!isfinite(v)) {
      m->data[i] = 0;
      bad++;
      continue;
    }
    const double off = fabs((double)v - rint(v));
    if (off > tol || rint(v) < 0 || v > MAX_LABEL) return label_error(m, v, where, e);
    worst = fmax(worst, off);
    rounded += off > 0;
    m->data[i] = (float)rint(v) + 0.0f; /* no -0 */
  }
  if (bad) brain_note(b, "labels: %lld voxels are NaN or infinite: taken as 0", (long long)bad);
  if (rounded)
    brain_note(b, "labels: %lld voxels were up to %.2g off whole numbers: rounded",
               (long long)rounded, worst);
  return ST_OK;
}

/* Numbers every value above 0 in ascending order: index[value] = 1, 2, ...; *n of them. */
static Status label_values(const float *v, int64_t nvox, int **index, int *max, int *n, Error *e) {
  *max = *n = 0;
  for (int64_t i = 0; i < nvox; i++) *max = PRLX_MAX(*max, (int)v[i]);
  if (!(*index = mem_alloc((size_t)(*max + 1) * sizeof **index)))
    return err_set(e, ST_NOMEM, "out of memory for labels up to %d", *max);
  for (int64_t i = 0; i < nvox; i++) (*index)[(int)v[i]] = 1;
  (*index)[0] = 0;
  for (int k = 1; k <= *max; k++)
    if ((*index)[k]) (*index)[k] = ++*n;
  return ST_OK;
}

/* ---- lesions ---- */
static Status label_components(Brain *b, int32_t *n, Error *e) {
  const Grid *g = &b->grid[CH_CHI];
  int32_t *id = mem_alloc((size_t)grid_voxels(g) * sizeof *id);
  if (!id) return err_set(e, ST_NOMEM, "out of memory for the components of the label map");
  const Status s = grid_components(b->label, g->dim, id, n, e);
  for (int64_t i = 0; s == ST_OK && i < grid_voxels(g); i++) b->label[i] = (float)id[i];
  mem_free(id);
  return s;
}

/* Voxel count and sum of indices of each of n lesions, by index[label]. */
static void lesion_sums(const Brain *b, const int *index, CropLesion *l) {
  const Grid *g = &b->grid[CH_CHI];
  for (int64_t k = 0, at = 0; k < g->dim[2]; k++)
    for (int64_t j = 0; j < g->dim[1]; j++)
      for (int64_t i = 0; i < g->dim[0]; i++, at++) {
        const int of = index[(int)b->label[at]];
        if (!of) continue;
        l[of - 1].id = (int)b->label[at];
        l[of - 1].voxels++;
        l[of - 1].centre[0] += (double)i;
        l[of - 1].centre[1] += (double)j;
        l[of - 1].centre[2] += (double)k;
      }
}

/* Lists the lesions of b->label in ascending order; components that are too small go away, and the
 * others keep numbers 1, 2, ... */
static Status list_lesions(Brain *b, int min_voxels, Error *e) {
  const int64_t nvox = grid_voxels(&b->grid[CH_CHI]);
  int *index, max, n;
  TRY(label_values(b->label, nvox, &index, &max, &n, e));
  Status s = ST_OK;
  if (!(b->lesion = mem_alloc((size_t)PRLX_MAX(n, 1) * sizeof *b->lesion))) {
    s = err_set(e, ST_NOMEM, "out of memory for %d lesions", n);
    goto done;
  }
  lesion_sums(b, index, b->lesion);
  memset(index, 0, (size_t)(max + 1) * sizeof *index); /* now label -> final number */
  for (int i = 0; i < n; i++) {
    CropLesion l = b->lesion[i];
    if (b->components && l.voxels < min_voxels) {
      b->dropped++;
      continue;
    }
    for (int c = 0; c < 3; c++) l.centre[c] /= (double)l.voxels;
    const int label = l.id;
    l.id = b->components ? b->n + 1 : l.id;
    index[label] = l.id;
    b->lesion[b->n++] = l;
  }
  for (int64_t i = 0; i < nvox; i++) b->label[i] = (float)index[(int)b->label[i]];
done:
  mem_free(index);
  return s;
}

/* Is the map a mask whose components are the lesions? One value beside 0 is: 1 and 255 always,
 * another one if it forms several pieces (one piece: a map with one numbered lesion). */
static Status find_components(Brain *b, MapKind kind, int values, int max, Error *e) {
  int32_t n;
  b->components = kind == MAP_COMPONENTS || (kind == MAP_AUTO && values == 1);
  if (!b->components) return ST_OK;
  const bool sure = kind == MAP_COMPONENTS || max == 1 || max == 255;
  TRY(label_components(b, &n, e));
  if (!sure && n == 1) {
    b->components = false;
    for (int64_t i = 0; i < grid_voxels(&b->grid[CH_CHI]); i++)
      if (b->label[i] > 0) b->label[i] = (float)max;
  } else if (max != 1)
    brain_note(b, "labels: one value beside 0 (%d): a mask of %d components (else --map labels)",
               max, n);
  return ST_OK;
}

/* ---- onto the map ---- */
static Status labels_on_map(Brain *b, const Nifti *m, const CropRule *r, int values,
                            const char *where, Error *e) {
  const Grid *chi = &b->grid[CH_CHI];
  char text[1200];
  Match match;
  snprintf(text, sizeof text, "%s%.800s", where, m->path);
  TRY(volume_match(&b->vol[CH_CHI].head, &m->head, "labels", text, &match, e));
  if (match.kind == MATCH_NONE && !r->regrid)
    return err_set(
        e, ST_INVALID,
        "%s: %lld x %lld x %lld voxels or another affine than the Chimap (%lld x %lld x %lld); "
        "expected the same grid; if both affines are right, --regrid takes the nearest label",
        text, (long long)match.grid.dim[0], (long long)match.grid.dim[1],
        (long long)match.grid.dim[2], (long long)chi->dim[0], (long long)chi->dim[1],
        (long long)chi->dim[2]);
  if (match.note[0]) brain_note(b, "%s", match.note);
  if (match.kind == MATCH_NONE)
    brain_note(b, "labels: another grid, taken by nearest voxel (--regrid)");
  if (!(b->label = mem_alloc((size_t)grid_voxels(chi) * sizeof *b->label)))
    return err_set(e, ST_NOMEM, "%s: out of memory", text);
  TRY(grid_resample(m->data, &match.grid, b->label, chi, INTERP_NEAREST, 0, e));
  int *index, max, left;
  TRY(label_values(b->label, grid_voxels(chi), &index, &max, &left, e));
  mem_free(index);
  if (left < values)
    brain_note(b, "labels: %d of %d values lie outside the Chimap or between its voxels",
               values - left, values);
  return ST_OK;
}

/* No lesion is a quarter of a brain: a brain mask, or a map turned inside out. */
static void note_huge(Brain *b) {
  const double all = (double)grid_voxels(&b->grid[CH_CHI]);
  for (int k = 0; k < b->n; k++)
    if ((double)b->lesion[k].voxels > all / 4) {
      brain_note(b, "labels: lesion %d fills %.0f %% of the volume; is this a map of lesions?",
                 b->lesion[k].id, 100 * (double)b->lesion[k].voxels / all);
      return;
    }
}

Status brain_read_labels(Brain *b, const char *path, const CropRule *r, const char *where,
                         Error *e) {
  Nifti m;
  int *index, max = 0, values = 0;
  TRY(brain_read_volume(path, where, &m, e));
  Status s = label_round(b, &m, where, e);
  if (s != ST_OK) goto done;
  s = label_values(m.data, m.nvox, &index, &max, &values, e);
  if (s != ST_OK) goto done;
  mem_free(index);
  if (!values) {
    s = err_set(e, ST_INVALID,
                "%s%s: the label map is empty; expected at least one lesion; give the map of this "
                "volume",
                where, path);
    goto done;
  }
  brain_note_header(b, "labels", &m.head);
  s = labels_on_map(b, &m, r, values, where, e);
  if (s != ST_OK) goto done;
  s = find_components(b, r->map, values, max, e);
  if (s != ST_OK) goto done;
  s = list_lesions(b, r->min_voxels, e);
  if (s != ST_OK) goto done;
  note_huge(b);
  if (!b->n)
    s = err_set(e, ST_INVALID, "%s%s: %s; lower --min-voxels or correct the map", where, path,
                b->dropped ? "every component is smaller than --min-voxels"
                           : "no lesion lies inside the Chimap");
done:
  nifti_free(&m);
  return s;
}
