/* evidence_load.c: what `prlx evidence` reads: the folder of a projection, its targets, the
 * cohort's truth, classifiers. See evidence.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "models/store/classifierfile.h"
#include "tools/cli/tool.h"
#include "tools/judge/evidence.h"
#include "tools/judge/slices.h"
#include "tools/view/sheet.h"

bool image_ppb(const Dataset *d, int64_t i, double limits[2]) {
  ImageMeaning m;
  meaning_read(&m, d->meta, d->nmeta, d->channels);
  const bool chi = m.n && m.ch[0] == CH_CHI;
  limits[0] = chi ? m.window[0].lo : 0;
  limits[1] = chi ? m.window[0].hi : 0;
  if (chi && d->src) { /* cut from volumes: every image has its own */
    const double *own = d->src->window + i * 2 * d->channels;
    if (own[1] > own[0]) {
      limits[0] = own[0];
      limits[1] = own[1];
    }
  }
  return limits[1] > limits[0];
}

/* ---- lesions ---- */
static int64_t find_group(const Evidence *ev, int64_t rows, const char *subject) {
  for (int64_t i = 0; i < rows; i++)
    if (!strcmp(ev->row[i].subject, subject)) return ev->row[i].group;
  return -1;
}

/* Lesions that have images, in the order of the file; without their names in the file every image
 * is a lesion and a subject. */
static Status list_lesions(Evidence *ev, Error *e) {
  const Dataset *d = &ev->d;
  const DatasetLesions *src = d->src;
  int64_t *at = mem_alloc((size_t)(src ? src->n : 1) * sizeof *at);
  ev->n = d->n;
  ev->lesion = mem_alloc((size_t)d->n * sizeof *ev->lesion);
  ev->row = mem_alloc((size_t)d->n * sizeof *ev->row);
  ev->v = mem_alloc((size_t)d->n * sizeof *ev->v);
  const bool ok = at && ev->lesion && ev->row && ev->v;
  for (int64_t i = 0; i < d->n && ok; i++) {
    const int64_t l = src ? src->lesion[i] : i;
    if (src && at[l]) {
      ev->lesion[i] = at[l] - 1;
      ev->row[at[l] - 1].slices++;
      continue;
    }
    EvLesion *r = &ev->row[ev->lesions];
    *r = (EvLesion){.slices = 1,
                    .first = i,
                    .px_image = -1,
                    .lp_image = -1,
                    .cls = src         ? (int)src->label[l]
                           : d->labels ? (int)d->labels[i]
                                       : -1,
                    .truth = -1,
                    .later = -1,
                    .conspicuity = NAN,
                    .rim_ppb = NAN};
    if (src) {
      snprintf(r->name, sizeof r->name, "%.63s", src->name[l]);
      snprintf(r->scan, sizeof r->scan, "%.63s", src->scan[l]);
      ev->has_scans |= r->scan[0] != 0;
      snprintf(r->subject, sizeof r->subject, "%.63s", src->subject[src->subject_of[l]]);
      at[l] = ev->lesions + 1;
    } else {
      snprintf(r->name, sizeof r->name, "%.63s", d->names && d->names[i][0] ? d->names[i] : "");
      if (!r->name[0]) snprintf(r->name, sizeof r->name, "image%lld", (long long)i);
      snprintf(r->subject, sizeof r->subject, "(image %lld)", (long long)i);
    }
    if (r->cls < 0 || r->cls > 2) r->cls = -1;
    r->group = find_group(ev, ev->lesions, r->subject);
    if (r->group < 0) r->group = ev->groups++;
    ev->lesion[i] = ev->lesions++;
  }
  for (int64_t i = 0; i < d->n && ok; i++)
    for (int k = 0; k < EV_COUNT; k++) ev->v[i][k] = NAN;
  mem_free(at);
  return ok ? ST_OK
            : err_set(e, ST_NOMEM, "%s: out of memory for %lld images", d->path, (long long)d->n);
}

/* ---- the folder ---- */
/* A distance in part of the patch; NAN: no column, or n/a. */
static double part_number(const Tsv *t, int row, int column) {
  double v;
  char rest;
  return column >= 0 && sscanf(tsv_get(t, row, column), "%lf%c", &v, &rest) == 1 ? v : NAN;
}

static Status read_table(Evidence *ev, const char *dir, Error *e) {
  char path[PATH_LEN];
  Tsv t;
  TRY(path_join(path, dir, "table.tsv", e));
  TRY(tsv_read(path, &t, e));
  Status s = ST_OK;
  const int name = tsv_column(&t, "lesion"), lpips = tsv_column(&t, "lpips"),
            mse = tsv_column(&t, "mse"), steps = tsv_column(&t, "steps"),
            by = tsv_column(&t, "perceptual"), inside = tsv_column(&t, "inside"),
            outside = tsv_column(&t, "outside");
  const char *asked = dataset_meta(&ev->d, "denoised.steps"),
             *solver = dataset_meta(&ev->d, "denoised.solver");
  /* the fast solver makes as many steps as a lesion needs */
  const bool fast = solver && !strcmp(solver, "fast");
  if (name < 0 || lpips < 0 || mse < 0) {
    s = err_set(e, ST_FORMAT,
                "%s: no column lesion, lpips or mse; expected the table.tsv of `prlx project`",
                path);
    goto done;
  }
  if (t.nrow != ev->n) {
    s = err_set(e, ST_INVALID,
                "%s: %d rows, but denoised.safetensors has %lld images; the files are of two runs; "
                "project again",
                path, t.nrow, (long long)ev->n);
    goto done;
  }
  for (int i = 0; i < t.nrow; i++) {
    if (ev->d.names && strcmp(tsv_get(&t, i, name), ev->d.names[i])) {
      s = err_set(e, ST_INVALID,
                  "%s: row %d is %.64s, image %d of denoised.safetensors is %.64s; the files are "
                  "of two runs; project again",
                  path, i + 2, tsv_get(&t, i, name), i, ev->d.names[i]);
      goto done;
    }
    s = tsv_number(&t, i, lpips, &ev->v[i][EV_LPIPS], e);
    if (s != ST_OK) goto done;
    s = tsv_number(&t, i, mse, &ev->v[i][EV_MSE], e);
    if (s != ST_OK) goto done;
    if (!isfinite(ev->v[i][EV_LPIPS]) || !isfinite(ev->v[i][EV_MSE])) {
      s = err_set(e, ST_NUMERIC,
                  "%s: row %d: lpips or mse is not a finite number; project this lesion again",
                  path, i + 2);
      goto done;
    }
    const int done = steps < 0 ? 0 : atoi(tsv_get(&t, i, steps));
    if (asked && !fast && done < atoi(asked)) ev->unfinished++;
    ev->v[i][EV_INSIDE] = part_number(&t, i, inside);
    ev->v[i][EV_OUTSIDE] = part_number(&t, i, outside);
    ev->steps = PRLX_MAX(ev->steps, done);
  }
  ev->asked = asked && !fast ? atoi(asked) : ev->steps;
  snprintf(ev->perceptual, sizeof ev->perceptual, "%.95s",
           by < 0 ? "unknown weights" : tsv_get(&t, 0, by));
done:
  tsv_free(&t);
  return s;
}

/* |w - mean of W| over the standard deviation of W: 1 is as far as a random image. */
static Status read_w(Evidence *ev, const char *dir, Error *e) {
  char path[PATH_LEN];
  StFile f;
  double *x = NULL;
  TRY(path_join(path, dir, "w.safetensors", e));
  TRY(st_open(&f, path, e));
  Status s = ST_OK;
  const StTensor *w = st_find(&f, "w"), *avg = st_find(&f, "w_avg");
  const char *text = st_meta(&f, "w_std");
  const double sd = text ? atof(text) : 0;
  const int64_t dim = avg && avg->shape.rank == 1 ? avg->shape.dim[0] : 0;
  const int rank = w ? w->shape.rank : 0;
  const int64_t layers = rank == 3 ? w->shape.dim[1] : 1; /* of W+ */
  if (!dim || rank < 2 || rank > 3 || w->shape.dim[rank - 1] != dim || layers < 1 || !(sd > 0)) {
    s = err_set(e, ST_FORMAT,
                "%s: no w [n,dim] or [n,layers,dim], w_avg [dim] or w_std; expected the "
                "w.safetensors of `prlx project`",
                path);
    goto done;
  }
  if (w->shape.dim[0] != ev->n) {
    s = err_set(e, ST_INVALID,
                "%s: %lld latents, but denoised.safetensors has %lld images; the files are of two "
                "runs; project again",
                path, (long long)w->shape.dim[0], (long long)ev->n);
    goto done;
  }
  const int64_t size = layers * dim;
  x = mem_alloc((size_t)(ev->n * size + dim) * sizeof *x);
  if (!x) {
    s = err_set(e, ST_NOMEM, "%s: out of memory", path);
    goto done;
  }
  double *mean = x + ev->n * size;
  st_to_f64(w, x);
  st_to_f64(avg, mean);
  for (int64_t i = 0; i < ev->n; i++) {
    double sum = 0;
    for (int64_t k = 0; k < size; k++) sum += pow(x[i * size + k] - mean[k % dim], 2);
    ev->v[i][EV_W] = sqrt(sum / (double)layers) / sd;
    if (!isfinite(ev->v[i][EV_W])) {
      s = err_set(e, ST_NUMERIC, "%s: latent %lld is not finite; project this lesion again", path,
                  (long long)i);
      goto done;
    }
  }
done:
  mem_free(x);
  st_close(&f);
  return s;
}

/* ---- targets ---- */
static bool same_image(const Dataset *a, int64_t i, const Dataset *b, int64_t k) {
  if (a->src && b->src) {
    const DatasetLesions *x = a->src, *y = b->src;
    return x->slice[i] == y->slice[k] && !strcmp(x->name[x->lesion[i]], y->name[y->lesion[k]]) &&
           !strcmp(x->scan[x->lesion[i]], y->scan[y->lesion[k]]) &&
           !strcmp(x->subject[x->subject_of[x->lesion[i]]],
                   y->subject[y->subject_of[y->lesion[k]]]);
  }
  return a->names && b->names && a->names[i][0] && !strcmp(a->names[i], b->names[k]);
}

/* Index in t of each of our images, into at [n]. */
static Status match_targets(const Evidence *ev, const char *path, int64_t *at, Error *e) {
  const Dataset *t = &ev->target, *d = &ev->d;
  for (int64_t i = 0; i < d->n; i++) {
    int64_t k = i < t->n && same_image(d, i, t, i) ? i : 0; /* usually in the same place */
    while (k < t->n && !same_image(d, i, t, k)) k++;
    if (k == t->n)
      return err_set(e, ST_INVALID, "%s: no image %.64s; expected the targets of this projection",
                     path, d->names ? d->names[i] : "of this lesion");
    at[i] = k;
  }
  return ST_OK;
}

static Status targets_from(Evidence *ev, const char *path, Error *e) {
  Dataset *t = &ev->target;
  const Dataset *d = &ev->d;
  TRY(dataset_open(t, path, e));
  if (t->h != d->h || t->w != d->w || t->channels != d->channels)
    return err_set(
        e, ST_INVALID,
        "%s: images of %d x %d, %d channels; the denoised ones have %d x %d, %d channels: "
        "another network's size; give the data set that was projected",
        path, t->w, t->h, t->channels, d->w, d->h, d->channels);
  int64_t *at = mem_alloc((size_t)d->n * sizeof *at);
  if (!at) return err_set(e, ST_NOMEM, "out of memory");
  Status s = match_targets(ev, path, at, e);
  if (s != ST_OK) goto done;
  s = dataset_select(t, at, d->n, e);
  if (s != ST_OK) goto done;
  snprintf(ev->target_from, sizeof ev->target_from, "%.590s", path);
done:
  mem_free(at);
  return s;
}

/* The MSE that the projection noted must come out again: else these are other images. */
static Status check_targets(Evidence *ev, Error *e) {
  const int64_t per = (int64_t)ev->d.channels * ev->d.h * ev->d.w;
  for (int64_t i = 0; i < ev->n; i++) {
    const double mse = square_distance(ev->d.images + i * per, ev->target.images + i * per, per) /
                       (double)per,
                 noted = ev->v[i][EV_MSE];
    if (fabs(mse - noted) > 1e-3 * fabs(noted) + 1e-9)
      return err_set(e, ST_INVALID,
                     "%s: image %lld differs from its denoised image by MSE %.6g, table.tsv says "
                     "%.6g; these are not the targets of this projection",
                     ev->target_from, (long long)i, mse, noted);
  }
  return ST_OK;
}

Status evidence_open(Evidence *ev, const char *dir, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, dir, "denoised.safetensors", e));
  if (!file_exists(path))
    return err_set(e, ST_IO,
                   "%.3000s: no denoised.safetensors; expected the folder of `prlx project` "
                   "(--synthetic FILE for synthetic images)",
                   dir);
  TRY(dataset_open(&ev->d, path, e));
  TRY(list_lesions(ev, e));
  TRY(read_table(ev, dir, e));
  TRY(read_w(ev, dir, e));
  TRY(path_join(path, dir, "targets.safetensors", e));
  if (ev->a.targets)
    TRY(targets_from(ev, ev->a.targets, e));
  else if (file_exists(path))
    TRY(targets_from(ev, path, e));
  return ev->target.images ? check_targets(ev, e) : ST_OK;
}

/* m of the images, evenly spaced. */
static Status spread_images(Dataset *d, int64_t m, Error *e) {
  int64_t *at = mem_alloc((size_t)m * sizeof *at);
  if (!at) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < m; i++) at[i] = i * d->n / m;
  const Status s = dataset_select(d, at, m, e);
  mem_free(at);
  return s;
}

Status evidence_open_images(Evidence *ev, const char *path, int limit, Error *e) {
  TRY(dataset_open(&ev->d, path, e));
  if (limit > 0 && limit < ev->d.n) TRY(spread_images(&ev->d, limit, e));
  return list_lesions(ev, e);
}

/* ---- truth ---- */
static Status truth_number(const Cohort *c, const Lesion *l, const char *column, double *out,
                           Error *e) {
  return tsv_number(&c->table, l->row, tsv_column(&c->table, column), out, e);
}

/* Depth and map of one slice: numbers before and after in ppb. */
static Status match_slice(Evidence *ev, int64_t i, const LesionVolumes *v, Error *e) {
  const Dataset *d = &ev->d;
  const int64_t hw = (int64_t)d->h * d->w, per = hw * d->channels, z = d->src->slice[i];
  double lim[2];
  RimMatch m[2];
  if (!image_ppb(d, i, lim)) return ST_OK;
  const float *img[2] = {ev->target.images ? ev->target.images + i * per : NULL,
                         d->images + i * per};
  float *ppb = mem_alloc((size_t)hw * sizeof *ppb), *map = ev->rim ? ev->rim + i * hw : NULL;
  if (!ppb) return err_set(e, ST_NOMEM, "out of memory");
  Status s = ST_OK;
  if (map && v->vol[CH_RIM]) memcpy(map, v->vol[CH_RIM] + z * hw, (size_t)hw * sizeof *map);
  for (int k = 0; k < 2 && v->mask; k++) {
    if (!img[k]) continue;
    for (int64_t q = 0; q < hw; q++)
      ppb[q] = (float)window_unmap(lim[0], lim[1], (double)img[k][q]);
    s = rim_match(d->h, d->w, ppb, v->vol[CH_RIM] ? map : NULL, v->mask + z * hw, &m[k], e);
    if (s != ST_OK) goto done;
    const double value[5] = {m[k].edge, m[k].core, m[k].surround, m[k].dice, m[k].corr};
    static const EvNumber at[5] = {EV_EDGE0, EV_CORE0, EV_SURROUND0, EV_DICE0, EV_CORR0};
    for (int q = 0; q < 5; q++) ev->v[i][(int)at[q] + k] = value[q];
    ev->v[i][EV_CHANCE] = m[k].chance;
  }
done:
  mem_free(ppb);
  return s;
}

static Status truth_of(Evidence *ev, const Cohort *c, int64_t r, Error *e) {
  EvLesion *row = &ev->row[r];
  const int i = cohort_find(c, row->subject, row->scan, row->name);
  if (i < 0)
    return err_set(e, ST_INVALID, "%s: no lesion %s of %s; expected the cohort that was projected",
                   c->table.path, row->name, row->subject);
  const Lesion *l = &c->lesion[i];
  double truth;
  TRY(truth_number(c, l, "truth_rim", &truth, e));
  row->cls = l->cls == CLASS_UNREAD ? -1 : (int)l->cls;
  evidence_later_visits(ev, c, l, row);
  row->truth = isnan(truth) ? -1 : truth > 0.5;
  TRY(truth_number(c, l, "truth_conspicuity", &row->conspicuity, e));
  TRY(truth_number(c, l, "truth_rim_ppb", &row->rim_ppb, e));
  ev->has_truth |= row->truth >= 0;
  LesionVolumes v;
  char warning[LESION_WARNING];
  Status s = ST_OK;
  TRY(lesion_read(c, i, l->rim ? 1u << CH_RIM : 0, (ChiUnits)ev->a.units, NAN_REFUSE, &v, warning,
                  e));
  if (v.grid.dim[0] != ev->d.w || v.grid.dim[1] != ev->d.h) {
    s = err_set(e, ST_INVALID,
                "%s: row %d: slices of %lld x %lld voxels, denoised images of %d x %d; expected "
                "the cohort that was projected",
                c->table.path, l->line, (long long)v.grid.dim[0], (long long)v.grid.dim[1], ev->d.w,
                ev->d.h);
    goto done;
  }
  ev->has_map |= v.vol[CH_RIM] != NULL;
  for (int64_t k = row->first; k < ev->n; k++) {
    if (ev->lesion[k] != r) continue;
    if (ev->d.src->slice[k] >= v.grid.dim[2]) {
      s = err_set(
          e, ST_INVALID,
          "%s: row %d: %lld slices, denoised is slice %lld; expected the cohort that was projected",
          c->table.path, l->line, (long long)v.grid.dim[2], (long long)ev->d.src->slice[k]);
      goto done;
    }
    s = match_slice(ev, k, &v, e);
    if (s != ST_OK) goto done;
  }
done:
  lesion_free(&v);
  return s;
}

/* Image i as its lesion in the cohort has it, in the channels ch: for folders of projections
 * older than targets.safetensors, through the window noted with the image. */
static Status target_from_cohort(Evidence *ev, const Cohort *c, int64_t i, const Channel *ch,
                                 int nch, Error *e) {
  const Dataset *d = &ev->d;
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  const EvLesion *row = &ev->row[ev->lesion[i]];
  LesionVolumes v;
  char warning[LESION_WARNING];
  Status s = ST_OK;
  unsigned mask = 0;
  const int k = cohort_find(c, row->subject, row->scan, row->name);
  for (int q = 0; q < nch; q++) mask |= 1u << ch[q];
  if (k < 0)
    return err_set(e, ST_INVALID, "%s: no lesion %s of %s; expected the cohort that was projected",
                   c->table.path, row->name, row->subject);
  TRY(lesion_read(c, k, mask, (ChiUnits)ev->a.units, NAN_REFUSE, &v, warning, e));
  if (v.grid.dim[0] != d->w || v.grid.dim[1] != d->h || d->src->slice[i] >= v.grid.dim[2]) {
    s = err_set(
        e, ST_INVALID,
        "%s: row %d: other size than the denoised images; expected the cohort that was projected",
        c->table.path, c->lesion[k].line);
    goto done;
  }
  lesion_image(&v, (int)d->src->slice[i], ch, nch, d->src->window + i * 2 * nch,
               ev->target.images + i * per);
done:
  lesion_free(&v);
  return s;
}

static Status targets_from_cohort(Evidence *ev, const Cohort *c, Error *e) {
  const Dataset *d = &ev->d;
  const int64_t per = (int64_t)d->channels * d->h * d->w;
  const char *list = dataset_meta(d, "channels");
  Channel ch[CH_COUNT];
  const int nch = list ? channels_parse(list, ch) : 0;
  if (nch != d->channels)
    return err_set(
        e, ST_INVALID,
        "%s: does not say which channels its images have; give the projected images with --targets",
        d->path);
  ev->target.images = mem_alloc((size_t)(d->n * per) * sizeof *ev->target.images);
  if (!ev->target.images) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < d->n; i++) TRY(target_from_cohort(ev, c, i, ch, nch, e));
  ev->target.n = d->n;
  snprintf(ev->target_from, sizeof ev->target_from, "%.590s", c->table.path);
  return check_targets(ev, e);
}

Status evidence_truth(Evidence *ev, Error *e) {
  Cohort c;
  if (!ev->d.src)
    return err_set(e, ST_INVALID,
                   "%s: does not say which lesions its images come from; --cohort needs a "
                   "projection of a lesions.tsv or of a packed data set",
                   ev->d.path);
  TRY(cohort_open(&c, ev->a.cohort, e));
  tool_note_readers("evidence", &c.table);
  Status s = ST_OK;
  ev->rim = mem_alloc((size_t)(ev->n * ev->d.h * ev->d.w) * sizeof *ev->rim);
  if (!ev->rim) {
    s = err_set(e, ST_NOMEM, "out of memory for %lld rim maps", (long long)ev->n);
    goto done;
  }
  if (!ev->target.images) {
    s = targets_from_cohort(ev, &c, e);
    if (s != ST_OK) goto done;
  }
  for (int64_t r = 0; r < ev->lesions; r++) {
    s = truth_of(ev, &c, r, e);
    if (s != ST_OK) goto done;
  }
  if (!ev->has_map) {
    mem_free(ev->rim);
    ev->rim = NULL;
  }
  double lim[2];
  ev->in_ppb = image_ppb(&ev->d, 0, lim);
done:
  cohort_free(&c);
  return s;
}

/* ---- classifiers ---- */
/* Mean rim probability of the `runs` classifiers for every image, into number `number`. */
static Status score_images(const Evidence *ev, const float *images, const Classifier *c, int runs,
                           const int *at, int nc, int number, Error *e) {
  const Dataset *d = &ev->d;
  const int64_t hw = (int64_t)d->h * d->w;
  Status s = ST_OK;
  real *x = mem_alloc((size_t)(d->n * nc * hw) * sizeof *x);
  double *p = mem_alloc((size_t)(d->n * c[0].cfg.classes) * sizeof *p);
  if (!x || !p) {
    s = err_set(e, ST_NOMEM, "out of memory for %lld images", (long long)d->n);
    goto done;
  }
  for (int64_t i = 0; i < d->n; i++) {
    ev->v[i][number] = 0;
    for (int k = 0; k < nc; k++)
      for (int64_t q = 0; q < hw; q++)
        x[(i * nc + k) * hw + q] = (real)images[(i * d->channels + at[k]) * hw + q];
  }
  for (int r = 0; r < runs; r++) {
    const Slices in = {x, NULL, d->n, nc, d->h, d->w};
    s = classifier_predict(&c[r], &in, p, e);
    if (s != ST_OK) goto done;
    for (int64_t i = 0; i < d->n; i++) ev->v[i][number] += p[i * c[r].cfg.classes + 1] / runs;
  }
done:
  mem_free(x);
  mem_free(p);
  return s;
}

/* Loaded, and fit for the images; freed by the caller, after an error, too. */
static Status load_model(Evidence *ev, Classifier **c, int at[16], int *nc, Error *e) {
  char channels[64];
  TRY(classifiers_load(ev->a.model, c, &ev->runs, channels, e));
  TRY(channels_find(&ev->d, channels, at, nc, e));
  return classifier_fits(&(*c)[0], ev->d.h, ev->d.w, ev->d.path, e);
}

Status evidence_scores_look(Evidence *ev, Error *e) {
  Classifier *c = NULL;
  int at[16], nc;
  const Status s = load_model(ev, &c, at, &nc, e);
  classifiers_free(c, ev->runs);
  return s;
}

Status evidence_scores(Evidence *ev, Error *e) {
  Classifier *c = NULL;
  int at[16], nc = 0;
  Status s = load_model(ev, &c, at, &nc, e);
  if (s != ST_OK) goto done;
  for (int r = 0; r < ev->runs; r++) c[r].backend = ev->on;
  s = score_images(ev, ev->d.images, c, ev->runs, at, nc, EV_RIM1, e);
  if (s != ST_OK) goto done;
  if (ev->target.images) {
    s = score_images(ev, ev->target.images, c, ev->runs, at, nc, EV_RIM0, e);
    if (s != ST_OK) goto done;
  }
done:
  classifiers_free(c, ev->runs);
  return s;
}
