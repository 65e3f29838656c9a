/* project_region.c: where the projection looks: see project_impl.h. */
#include <stdio.h>
#include <string.h>
#include "models/gan/project_focus.h"
#include "tools/cli/tool.h"
#include "tools/gan/project_impl.h"

static Status disc_regions(ProjectJob *j, Error *e) {
  const int64_t pixels = j->res * j->res;
  j->region = mem_alloc((size_t)(j->n * pixels) * sizeof *j->region);
  if (!j->region) return err_set(e, ST_NOMEM, "out of memory for the regions");
  const double radius = j->a.focus_radius * (double)j->res;
  focus_disc((int)j->res, radius, 0.4 * radius, j->region);
  for (int64_t k = 1; k < j->n; k++)
    memcpy(j->region + k * pixels, j->region, (size_t)pixels * sizeof *j->region);
  return ST_OK;
}

static const char *who_needs(const ProjectJob *j) {
  return j->a.focus == FOCUS_MASK ? "--focus mask" : "--in-place";
}

/* Region of image k from the mask of its lesion. */
static Status mask_region(ProjectJob *j, const Cohort *c, int64_t k, Error *e) {
  const DatasetLesions *src = j->in.src;
  const int64_t l = src->lesion[k], pixels = j->res * j->res;
  const char *subject = src->subject[src->subject_of[l]];
  const int row = cohort_find(c, subject, src->scan ? src->scan[l] : "", src->name[l]);
  LesionVolumes v;
  char warning[LESION_WARNING];
  if (row < 0)
    return err_set(e, ST_INVALID,
                   "%s: no lesion %s of %s; expected the table that the targets come from",
                   c->table.path, src->name[l], subject);
  TRY(lesion_read(c, row, 0, (ChiUnits)j->a.units, NAN_REFUSE, &v, warning, e));
  Status s = ST_OK;
  if (!v.mask)
    s = err_set(e, ST_INVALID,
                "%s: row %d has no lesion mask; %s needs one: give the table a column mask, or "
                "choose --focus centre",
                c->table.path, c->lesion[row].line, who_needs(j));
  else if (v.grid.dim[0] != j->res || v.grid.dim[1] != j->res || src->slice[k] >= v.grid.dim[2])
    s = err_set(e, ST_INVALID,
                "%s: row %d: other size than the targets; expected the table they come from",
                c->table.path, c->lesion[row].line);
  else
    s = focus_mask((int)j->res, v.mask + src->slice[k] * pixels, j->a.focus_grow, j->name[k],
                   j->region + k * pixels, e);
  lesion_free(&v);
  return s;
}

static Status mask_regions(ProjectJob *j, Error *e) {
  Cohort c;
  if (!j->in.src)
    return err_set(e, ST_INVALID,
                   "%s: does not say which lesions its images are, so that their masks cannot be "
                   "found; give a lesions.tsv or a data set made by prlx pack, or --focus centre",
                   j->in.path ? j->in.path : "targets");
  j->region = mem_alloc((size_t)(j->n * j->res * j->res) * sizeof *j->region);
  if (!j->region) return err_set(e, ST_NOMEM, "out of memory for the regions");
  TRY(cohort_open(&c, j->table, e));
  Status s = ST_OK;
  for (int64_t k = 0; k < j->n && s == ST_OK; k++) s = mask_region(j, &c, k, e);
  cohort_free(&c);
  return s;
}

static Status find_regions(ProjectJob *j, Error *e) {
  const bool needed = j->a.focus == FOCUS_MASK || j->a.in_place;
  if (j->a.focus == FOCUS_CENTRE) return disc_regions(j, e);
  if (!j->table) {
    if (!needed) return ST_OK;
    return err_set(e, ST_INVALID,
                   "%s: %s needs lesion masks; give a lesions.tsv as target, or its name with "
                   "--cohort%s",
                   j->in.path ? j->in.path : "targets", who_needs(j),
                   j->a.focus == FOCUS_MASK ? "" : ", or choose --focus centre");
  }
  Error why = {0};
  const Status s = mask_regions(j, &why);
  if (s == ST_OK) return s;
  if (needed || s == ST_NOMEM || s == ST_IO || j->a.cohort) return err_set(e, s, "%s", why.msg);
  mem_free(j->region); /* without a focus the numbers inside and outside are left out */
  j->region = NULL;
  return ST_OK;
}

/* ---- --in-place ---- */

Status project_regions(ProjectJob *j, Error *e) {
  TRY(find_regions(j, e));
  if (!j->a.in_place) return ST_OK;
  const int64_t pixels = j->res * j->res;
  j->placed = mem_alloc((size_t)(j->n * j->per) * sizeof *j->placed);
  j->weight = mem_alloc((size_t)(j->n * pixels) * sizeof *j->weight);
  if (!j->placed || !j->weight) return err_set(e, ST_NOMEM, "out of memory for --in-place");
  for (int64_t k = 0; k < j->n; k++)
    focus_soften((int)j->res, j->region + k * pixels, j->a.edge, j->weight + k * pixels);
  return ST_OK;
}

const float *project_result(ProjectJob *j, int64_t k, const float *drawn) {
  if (!j->placed) return drawn;
  float *to = j->placed + k * j->per;
  focus_place((int)j->channels, (int)j->res, j->weight + k * j->res * j->res,
              j->in.images + k * j->per, drawn, to);
  return to;
}

const float *project_results(const ProjectJob *j, int64_t k) {
  return j->placed ? j->placed + k * j->per : prlx_projection_image(j->r, k);
}
