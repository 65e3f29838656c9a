/* project_cohort.c: see project_cohort.h */
#include "tools/gan/project_cohort.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/nifti.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"
#include "tools/gan/image_volumes.h"
#include "tools/view/sheet.h"

struct CohortTargets {
  Cohort c;
  int *row;
  int n; /* lesions taken, index into c.l */
  ChiUnits units;
  Channel ch[CH_COUNT];
  int nch;
  unsigned mask;
};

void targets_free(CohortTargets *t) {
  if (!t) return;
  cohort_free(&t->c);
  mem_free(t->row);
  mem_free(t);
}

/* ---- table -> images ---- */
/* Keeps the rows named by --range, in the given order. */
static Status choose_range(CohortTargets *t, const TargetRule *r, Error *e) {
  for (int i = 0; i < r->range->n; i++)
    if (r->range->v[i] >= t->n)
      return err_set(
          e, ST_INVALID, "%s: --range asks for lesion %lld; there are %d%s, counted from 0",
          t->c.table.path, (long long)r->range->v[i], t->n, r->ambiguous ? " ambiguous ones" : "");
  int *row = mem_alloc((size_t)r->range->n * sizeof *row);
  if (!row) return err_set(e, ST_NOMEM, "out of memory");
  for (int i = 0; i < r->range->n; i++) row[i] = t->row[r->range->v[i]];
  mem_free(t->row);
  t->row = row;
  t->n = r->range->n;
  return ST_OK;
}

/* Rows of the class asked for; out: subjects that stay out, or NULL. Returns how many that were. */
static int keep_rows(CohortTargets *t, bool ambiguous, const DatasetLesions *out) {
  int held = 0;
  t->n = 0;
  for (int i = 0; i < t->c.n; i++) {
    bool excluded = false;
    if (ambiguous && t->c.lesion[i].cls != CLASS_AMBIGUOUS) continue;
    for (int64_t k = 0; out && k < out->nsubjects; k++)
      excluded |= !strcmp(out->subject[k], t->c.lesion[i].subject);
    held += excluded;
    if (!excluded) t->row[t->n++] = i;
  }
  return held;
}

static Status exclude_rows(CohortTargets *t, const TargetRule *r, Error *e) {
  Dataset out = {0};
  Status s = ST_OK;
  TRY(dataset_open(&out, r->exclude, e));
  if (!out.src) {
    s = err_set(e, ST_INVALID,
                "%s: does not say which subjects its images come from; pack it from lesions.tsv",
                r->exclude);
    goto done;
  }
  const int held = keep_rows(t, r->ambiguous, out.src);
  if (held)
    fprintf(stderr, "prlx project: %d lesions of subjects in %s left out\n", held, r->exclude);
done:
  dataset_free(&out);
  return s;
}

static Status choose_rows(CohortTargets *t, const TargetRule *r, Error *e) {
  if (!(t->row = mem_alloc((size_t)t->c.n * sizeof *t->row)))
    return err_set(e, ST_NOMEM, "out of memory");
  if (r->exclude)
    TRY(exclude_rows(t, r, e));
  else
    keep_rows(t, r->ambiguous, NULL);
  if (!t->n)
    return err_set(
        e, ST_INVALID, "%s: no %slesion; expected at least one row%s", t->c.table.path,
        r->ambiguous ? "ambiguous " : "",
        r->ambiguous ? " with reader1 and reader2 different; leave --ambiguous out for all lesions"
                     : "");
  return r->range->n ? choose_range(t, r, e) : ST_OK;
}

/* Channels and windows of the network's training images. */
static Status windows_of(CohortTargets *t, const Network *net, Window w[CH_COUNT], Error *e) {
  const char *list = network_meta(net, "channels");
  const int n = net->G.cfg.img_channels;
  if (list)
    t->nch = channels_parse(list, t->ch);
  else if (n == 1) {
    t->nch = 1;
    t->ch[0] = CH_CHI;
  }
  if (t->nch != n || t->ch[0] != CH_CHI)
    return err_set(e, ST_INVALID,
                   "%s: channels are '%.60s' (%d images); expected chi, or chi with rim and flair; "
                   "train on a data set made by prlx pack",
                   net->path, list ? list : "unknown", n);
  for (int k = 0; k < n; k++) {
    char key[32];
    snprintf(key, sizeof key, "window.%s", channel_name(t->ch[k]));
    const char *text = network_meta(net, key);
    Window *v = &w[t->ch[k]];
    t->mask |= 1u << t->ch[k];
    if (t->ch[k] == CH_RIM)
      *v = (Window){WINDOW_FIXED, 0, 1};
    else if (!text || !window_parse(text, v) || v->mode == WINDOW_DISPLAY) {
      *v = (Window){.mode = WINDOW_SLICE};
      fprintf(stderr,
              "prlx project: note: the network does not say what window its %s images had; each "
              "slice is taken from its minimum to its maximum\n",
              channel_name(t->ch[k]));
    }
  }
  return ST_OK;
}

static Status targets_grow(Dataset *d, int64_t *cap, int64_t need, Error *e) {
  if (d->n + need <= *cap) return ST_OK;
  const int64_t next = PRLX_MAX(2 * *cap, d->n + need + 64),
                per = (int64_t)d->channels * d->h * d->w, wper = 2 * d->channels;
  bool ok = true;
#define GROW(p, unit)                                                                              \
  do {                                                                                             \
    void *q_ =                                                                                     \
        mem_grow(p, (size_t)(d->n * (unit)) * sizeof *(p), (size_t)(next * (unit)) * sizeof *(p)); \
    if (q_)                                                                                        \
      p = q_;                                                                                      \
    else                                                                                           \
      ok = false;                                                                                  \
  } while (0)
  GROW(d->images, per);
  GROW(d->names, 1);
  GROW(d->labels, 1);
  GROW(d->src->lesion, 1);
  GROW(d->src->slice, 1);
  GROW(d->src->window, wper);
#undef GROW
  if (!ok)
    return err_set(e, ST_NOMEM, "out of memory for %lld slices; choose fewer with --range",
                   (long long)next);
  *cap = next;
  return ST_OK;
}

static Status check_slices(const CohortTargets *t, const TargetRule *r, const Lesion *l,
                           const LesionVolumes *v, const Dataset *d, Error *e) {
  if (v->grid.dim[0] != d->w || v->grid.dim[1] != d->h)
    return err_set(e, ST_INVALID,
                   "%s: row %d: slices of %lld x %lld voxels; the network makes %d x %d; cut "
                   "patches with prlx crop",
                   t->c.table.path, l->line, (long long)v->grid.dim[0], (long long)v->grid.dim[1],
                   d->w, d->h);
  if (r->slices == SLICES_LESION && !v->mask)
    return err_set(e, ST_INVALID,
                   "%s: row %d: no lesion mask; fill in column mask, or take --slices central",
                   t->c.table.path, l->line);
  return ST_OK;
}

/* Images of the slices z [nz] of lesion `index`. */
static Status add_slices(const CohortTargets *t, int64_t index, const Lesion *l,
                         const LesionVolumes *v, const int *z, int nz, const Window *w, Dataset *d,
                         Error *e) {
  DatasetLesions *src = d->src;
  for (int k = 0; k < nz; k++) {
    const int64_t i = d->n, per = (int64_t)d->channels * d->h * d->w;
    double *lim = src->window + i * 2 * d->channels;
    lesion_limits(v, z[k], t->ch, t->nch, w, lim);
    lesion_image(v, z[k], t->ch, t->nch, lim, d->images + i * per);
    char title[256];
    lesion_title(l, title, sizeof title);
    if (snprintf(d->names[i], 64, "%s_z%02d", title, z[k]) >= 64)
      return err_set(e, ST_INVALID,
                     "%s: row %d: names of subject, scan and lesion are longer than 50 characters "
                     "together; shorten them",
                     t->c.table.path, l->line);
    d->labels[i] = l->cls;
    src->lesion[i] = index;
    src->slice[i] = z[k];
    d->n++;
  }
  return ST_OK;
}

static void add_source(DatasetLesions *src, int64_t index, const Lesion *l, const Grid *g) {
  int64_t sub = 0;
  snprintf(src->name[index], 64, "%.63s", l->lesion);
  snprintf(src->scan[index], 64, "%.63s", l->scan);
  src->label[index] = l->cls;
  memcpy(src->dim + 3 * index, g->dim, sizeof g->dim);
  memcpy(src->affine + 16 * index, g->affine, sizeof g->affine);
  while (sub < src->nsubjects && strcmp(src->subject[sub], l->subject)) sub++;
  if (sub == src->nsubjects) snprintf(src->subject[src->nsubjects++], 64, "%.63s", l->subject);
  src->subject_of[index] = sub;
}

static Status add_lesion(CohortTargets *t, int64_t index, const TargetRule *r, const Window *w,
                         Dataset *d, int64_t *cap, Error *e) {
  const Lesion *l = &t->c.lesion[t->row[index]];
  LesionVolumes v;
  char warning[LESION_WARNING];
  int *z = NULL, nz;
  TRY(lesion_read(&t->c, t->row[index], t->mask, t->units, NAN_REFUSE, &v, warning, e));
  if (warning[0]) fprintf(stderr, "prlx project: note: %s\n", warning);
  Status s = check_slices(t, r, l, &v, d, e);
  if (s != ST_OK) goto done;
  z = mem_alloc((size_t)v.grid.dim[2] * sizeof *z);
  if (!z) {
    s = err_set(e, ST_NOMEM, "out of memory");
    goto done;
  }
  nz = lesion_slices(&v, r->slices, z);
  if (!nz) {
    s = err_set(e, ST_INVALID,
                "%s: row %d: the lesion mask is empty or the map constant; correct the file or "
                "remove the row",
                t->c.table.path, l->line);
    goto done;
  }
  s = targets_grow(d, cap, nz, e);
  if (s != ST_OK) goto done;
  s = add_slices(t, index, l, &v, z, nz, w, d, e);
  if (s != ST_OK) goto done;
  add_source(d->src, index, l, &v.grid);
done:
  mem_free(z);
  lesion_free(&v);
  return s;
}

static Status targets_describe(const CohortTargets *t, const Window *w, const Network *net,
                               Dataset *d, Error *e) {
  char text[80], key[32];
  TRY(meta_of_images(net->meta, net->nmeta, &d->meta, &d->nmeta, e));
  TRY(dataset_set_meta(d, "format", "prlx-dataset-1", e));
  channels_text(t->ch, t->nch, text);
  TRY(dataset_set_meta(d, "channels", text, e));
  for (int k = 0; k < t->nch; k++) {
    const Channel c = t->ch[k];
    if (w[c].hi <= w[c].lo)
      snprintf(text, sizeof text, "slice"); /* no typical window known */
    else
      window_text(&w[c], text);
    snprintf(key, sizeof key, "window.%s", channel_name(c));
    TRY(dataset_set_meta(d, key, text, e));
    snprintf(key, sizeof key, "unit.%s", channel_name(c));
    TRY(dataset_set_meta(d, key, channel_unit(c), e));
  }
  const double *a = d->src->affine;
  snprintf(text, sizeof text, "%.6g,%.6g,%.6g", sqrt(a[0] * a[0] + a[4] * a[4] + a[8] * a[8]),
           sqrt(a[1] * a[1] + a[5] * a[5] + a[9] * a[9]),
           sqrt(a[2] * a[2] + a[6] * a[6] + a[10] * a[10]));
  TRY(dataset_set_meta(d, "unit.voxel", text, e));
  TRY(dataset_set_meta(d, "source", t->c.table.path, e));
  return dataset_set_meta(d, "split", "ambiguous", e);
}

/* Files of two lesions never have one name: known before anything is computed. */
static Status check_names(const CohortTargets *t, Error *e) {
  PatchId *id = mem_alloc((size_t)t->n * sizeof *id);
  Error inner = {0};
  if (!id) return err_set(e, ST_NOMEM, "out of memory");
  for (int i = 0; i < t->n; i++) {
    const Lesion *l = &t->c.lesion[t->row[i]];
    id[i] = (PatchId){l->subject, l->scan, l->lesion};
  }
  const Status s = patch_names_check(id, t->n, &inner);
  mem_free(id);
  return s == ST_OK ? ST_OK : err_set(e, s, "%s: %.900s", t->c.table.path, inner.msg);
}

Status targets_load(CohortTargets **out, const char *table, const TargetRule *r, const Network *net,
                    Dataset *d, Error *e) {
  CohortTargets *t = *out = mem_alloc(sizeof *t);
  Window w[CH_COUNT] = {{0}};
  int64_t cap = 0;
  *d = (Dataset){.channels = net->G.cfg.img_channels,
                 .h = net->G.cfg.img_resolution,
                 .w = net->G.cfg.img_resolution,
                 .path = mem_strdup(table)};
  if (!t || !d->path) return err_set(e, ST_NOMEM, "out of memory");
  t->units = r->units;
  TRY(cohort_open(&t->c, table, e));
  tool_note_readers("project", &t->c.table);
  TRY(windows_of(t, net, w, e));
  TRY(choose_rows(t, r, e));
  if (!(d->src = lesions_new(t->n, t->n, 0, d->channels)))
    return err_set(e, ST_NOMEM, "out of memory");
  if (d->src) d->src->nsubjects = 0;
  for (int i = 0; i < t->n && !tool_interrupted; i++) TRY(add_lesion(t, i, r, w, d, &cap, e));
  if (tool_interrupted) return err_set(e, ST_INTERRUPTED, "stopped; nothing written");
  TRY(check_names(t, e));
  return targets_describe(t, w, net, d, e);
}

/* ---- images -> table ---- */
/* Slices first .. first+nz-1 of the data set go into v; the others keep their values, all in the
 * units of the file. */
static void replace_slices(const CohortTargets *t, const Dataset *in, const float *img,
                           int64_t first, int nz, LesionVolumes *v) {
  const int64_t hw = (int64_t)in->h * in->w, all = grid_voxels(&v->grid);
  if (t->units == UNITS_PPB)
    for (int64_t i = 0; i < all; i++) v->vol[CH_CHI][i] = (float)(v->vol[CH_CHI][i] * 1e-3);
  for (int k = 0; k < nz; k++)
    for (int c = 0; c < t->nch; c++)
      image_to_volume(img + ((first + k) * t->nch + c) * hw, hw, t->ch[c],
                      in->src->window + ((first + k) * t->nch + c) * 2,
                      v->vol[t->ch[c]] + in->src->slice[first + k] * hw);
}

/* The lesion mask of the denoised slices; a square around the middle where there is no mask. */
static Status slice_mask(const Dataset *in, int64_t first, int nz, const LesionVolumes *v,
                         float **out, Error *e) {
  const int64_t w = v->grid.dim[0], h = v->grid.dim[1], hw = w * h;
  float *m = *out = mem_alloc((size_t)grid_voxels(&v->grid) * sizeof *m);
  if (!m) return err_set(e, ST_NOMEM, "out of memory");
  for (int k = 0; k < nz; k++) {
    const int64_t z = in->src->slice[first + k];
    int64_t inside = 0;
    for (int64_t i = 0; i < hw; i++)
      inside += (m[z * hw + i] = v->mask && v->mask[z * hw + i] > 0) != 0;
    for (int64_t y = h / 4; y < h - h / 4 && !inside; y++)
      for (int64_t x = w / 4; x < w - w / 4; x++) m[z * hw + y * w + x] = 1;
  }
  return ST_OK;
}

static Status write_volumes(const CohortTargets *t, const Lesion *l, const char *id,
                            const LesionVolumes *v, const float *mask, const char *dir,
                            const char *json, char path[PATCH_KINDS][PATCH_NAME + 8], Error *e) {
  const char *const original[CH_COUNT] = {l->chi, l->rim, l->flair};
  char name[PATCH_NAME], desc[80];
  for (int c = 0; c < CH_COUNT; c++) {
    path[c][0] = 0;
    if (!(t->mask >> c & 1)) { /* not the network's business: the file it had */
      if (original[c]) TRY(path_relative(dir, original[c], path[c], sizeof path[c], e));
      continue;
    }
    patch_name(l->subject, l->scan, id, (PatchKind)c, name);
    snprintf(desc, sizeof desc, "prlx project: denoised %s",
             c == CH_CHI   ? "susceptibility, ppm"
             : c == CH_RIM ? "rim"
                           : "T2-FLAIR");
    TRY(patch_write(dir, name, (PatchKind)c, v->vol[c], &v->grid, desc, c == CH_CHI ? json : NULL,
                    e));
    snprintf(path[c], sizeof path[c], "%s.nii.gz", name);
  }
  patch_name(l->subject, l->scan, id, PATCH_MASK, name);
  snprintf(path[PATCH_MASK], sizeof path[PATCH_MASK], "%s.nii.gz", name);
  return patch_write(dir, name, PATCH_MASK, mask, &v->grid,
                     "prlx project: lesion in denoised slices", NULL, e);
}

static void denoised_row(TsvWriter *w, const Lesion *l, const char *id,
                         char path[PATCH_KINDS][PATCH_NAME + 8], const Dataset *in, int64_t first,
                         int nz, const DenoiseInfo *info, bool scans) {
  const int rim = l->cls == CLASS_AMBIGUOUS || l->cls == CLASS_RIM;
  double lpips = 0;
  char slices[400];
  size_t at = 0;
  for (int k = 0; k < nz; k++) {
    lpips += info->lpips[first + k] / nz;
    if (at < sizeof slices - 8)
      at += (size_t)snprintf(slices + at, sizeof slices - at, "%s%lld", k ? "," : "",
                             (long long)in->src->slice[first + k]);
  }
  tsv_cell(w, "%s", l->subject);
  tsv_cell(w, "%s", id);
  for (int c = 0; c < 4; c++) {
    static const PatchKind order[4] = {PATCH_CHI, PATCH_FLAIR, PATCH_RIM, PATCH_MASK};
    tsv_cell(w, "%s", path[order[c]]);
  }
  for (int k = 0; k < 2; k++) {
    if (l->cls == CLASS_UNREAD)
      tsv_cell(w, "n/a");
    else
      tsv_cell(w, "%d", rim);
  }
  tsv_cell(w, "denoised");
  tsv_cell(w, "%s", l->lesion);
  for (int k = 0; k < 2; k++) {
    const int v = k ? l->reader2 : l->reader1;
    if (v < 0)
      tsv_cell(w, "n/a");
    else
      tsv_cell(w, "%d", v);
  }
  tsv_cell(w, "%s", slices);
  tsv_cell(w, "%.6f", lpips);
  tsv_cell(w, "%s", info->perceptual);
  tsv_cell(w, "%s", info->network);
  tsv_cell(w, "%d", info->steps);
  for (int k = 0; k < ENT_COUNT && scans; k++) {
    char label[BIDS_LABEL];
    bids_scan_label(l->scan, (ScanEntity)k, label);
    tsv_cell(w, "%s", label);
  }
  tsv_row_end(w);
}

static bool has_scans(const CohortTargets *t) {
  for (int i = 0; i < t->c.n; i++)
    if (t->c.lesion[i].scan[0]) return true;
  return false;
}

static Status write_lesion(const CohortTargets *t, int64_t index, const Dataset *in,
                           const float *img, int64_t first, int nz, const char *dir,
                           const DenoiseInfo *info, TsvWriter *w, Error *e) {
  const Lesion *l = &t->c.lesion[t->row[index]];
  LesionVolumes v;
  float *mask = NULL;
  char warning[LESION_WARNING], id[80], path[PATCH_KINDS][PATCH_NAME + 8], json[2400], src[600],
      net[600];
  int stripped;
  TRY(bids_sidecar_flag(l->chi, "SkullStripped", &stripped, e));
  TRY(lesion_read(&t->c, t->row[index], t->mask, t->units, NAN_REFUSE, &v, warning, e));
  snprintf(id, sizeof id, "%.60sdenoised", l->lesion);
  bids_json_text(l->chi, src, sizeof src);
  bids_json_text(info->network, net, sizeof net);
  snprintf(json, sizeof json,
           "{\n  \"Units\": \"ppm\",\n  \"SkullStripped\": %s,\n  \"Sources\": [\"%s\"],\n  "
           "\"Description\": \"slices "
           "replaced by their latent projection (prlx project); %d of %lld slices\",\n"
           "  \"Network\": \"%s\",\n  \"Steps\": %d\n}\n",
           stripped == 0 ? "false" : "true", src, nz,
           (long long)v.grid.dim[2], net, info->steps);
  replace_slices(t, in, img, first, nz, &v);
  Status s = slice_mask(in, first, nz, &v, &mask, e);
  if (s != ST_OK) goto done;
  s = write_volumes(t, l, id, &v, mask, dir, json, path, e);
  if (s != ST_OK) goto done;
  denoised_row(w, l, id, path, in, first, nz, info, has_scans(t));
done:
  mem_free(mask);
  lesion_free(&v);
  return s;
}

Status targets_write(const CohortTargets *t, const Dataset *in, const float *img, int64_t done,
                     const char *dir, const DenoiseInfo *info, int *written, Error *e) {
  static const char *const col[] = {
      "subject",        "lesion",         "chi",     "flair",      "rim",
      "mask",           "reader1",        "reader2", "provenance", "source_lesion",
      "source_reader1", "source_reader2", "slices",  "lpips",      "perceptual",
      "network",        "steps"};
  TsvWriter w = {0};
  char path[PATH_LEN];
  Status s = ST_OK;
  *written = 0;
  TRY(path_join(path, dir, "lesions.tsv", e));
  for (int k = 0; k < COUNT_OF(col); k++) tsv_cell(&w, "%s", col[k]);
  for (int k = 0; k < ENT_COUNT && has_scans(t); k++)
    tsv_cell(&w, "%s", k == ENT_SES ? "session" : bids_entity[k]);
  tsv_row_end(&w);
  /* the slices of a lesion stand together */
  for (int64_t i = 0; i < in->n;) {
    int64_t end = i + 1;
    while (end < in->n && in->src->lesion[end] == in->src->lesion[i]) end++;
    if (end <= done) {
      s = write_lesion(t, in->src->lesion[i], in, img, i, (int)(end - i), dir, info, &w, e);
      if (s != ST_OK) goto done;
      ++*written;
    }
    i = end;
  }
  if (!*written) goto done;
  s = denoised_describe(dir, t->mask | 1u << PATCH_MASK, e);
  if (s != ST_OK) goto done;
  return tsv_commit(&w, path, e);
done:
  mem_free(w.buf);
  return s;
}
