/* pack_scan.c: the reading and writing passes of `prlx pack`. Both read PACK_BATCH lesions at a
 * time, in parallel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/threads.h"
#include "tools/cli/tool.h"
#include "tools/cohort/pack_impl.h"

void pack_free(Pack *p) {
  for (int i = 0; i < p->n; i++) mem_free(p->it[i].thumb);
  mem_free(p->it);
  mem_free(p->subject);
  mem_free(p->z);
  mem_free(p->limits);
  mem_free(p->mark);
  memset(p, 0, sizeof *p);
}

const char *pack_where(const PackItem *it, char out[400]) {
  const Lesion *l = &it->c->lesion[it->row];
  if (it->c->table.path)
    snprintf(out, 400, "%.200s: row %d: lesion %.40s of %.60s", it->c->table.path, l->line,
             l->lesion, l->subject);
  else
    snprintf(out, 400, "%.300s", l->chi);
  return out;
}

int64_t pack_images(const Pack *p, Part part) {
  int64_t n = 0;
  for (int i = 0; i < p->n; i++)
    if (p->it[i].part == part) n += p->it[i].nz;
  return n;
}

/* ---- first pass ---- */
typedef struct Slot {
  PackItem *it;
  int *z;
  double *limits;
  ImageMark *mark;
  int nz;
  char warning[LESION_WARNING];
  Error err;
} Slot;
typedef struct Scan {
  Pack *p;
  Slot slot[PACK_BATCH];
} Scan;

static void slot_clear(Slot *s) {
  mem_free(s->z);
  mem_free(s->limits);
  mem_free(s->mark);
  memset(s, 0, sizeof *s);
}

/* Values of an image: finite by now; far outside the window means another unit or another kind of
 * volume. */
static Status check_range(const Pack *p, const PackItem *it, int z, const double *limits,
                          const float *img, Error *e) {
  const int64_t hw = (int64_t)p->side * p->side;
  char where[400];
  for (int64_t i = 0; i < hw * p->nch && p->clip == 0; i++) {
    if (fabsf(img[i]) <= 4) continue;
    const int k = (int)(i / hw);
    return err_set(e, ST_INVALID,
                   "%s: %s is %.4g in slice %d; expected values within 4 times the window %.4g to "
                   "%.4g; widen it with --window%s, or --clip or --clip-at 4",
                   pack_where(it, where), channel_name(p->ch[k]),
                   window_unmap(limits[2 * k], limits[2 * k + 1], img[i]), z, limits[2 * k],
                   limits[2 * k + 1], p->ch[k] == CH_FLAIR ? "-flair" : "");
  }
  return ST_OK;
}

static void clip_image(float *img, int64_t n, float at) {
  for (int64_t i = 0; i < n; i++) img[i] = img[i] < -at ? -at : img[i] > at ? at : img[i];
}

/* Slices of one lesion, their limits and its thumbnail; img: room for one image. */
static Status scan_slices(const Pack *p, Slot *s, const LesionVolumes *v, float *img, Error *e) {
  PackItem *it = s->it;
  char where[400];
  s->nz = lesion_slices(v, p->slices, s->z);
  if (!s->nz)
    return err_set(e, ST_INVALID,
                   "%s: %s; expected at least one slice; correct the file or remove the row",
                   pack_where(it, where),
                   p->slices == SLICES_ALL   ? "the susceptibility map is constant"
                   : p->slices == SLICES_RIM ? "no rim map, or an empty one, and no lesion mask"
                                             : "the lesion mask is empty");
  for (int k = 0; k < s->nz; k++) {
    double *lim = s->limits + (size_t)k * (size_t)p->nch * 2;
    lesion_limits(v, s->z[k], p->ch, p->nch, p->window, lim);
    lesion_image(v, s->z[k], p->ch, p->nch, lim, img);
    TRY(check_range(p, it, s->z[k], lim, img, e));
    image_mark(img, p->side, p->side, &s->mark[k]);
    if (!(s->mark[k].number[1] > 0) && !s->warning[0])
      snprintf(s->warning, sizeof s->warning, "the susceptibility of slice %d is constant",
               s->z[k]);
    s->mark[k].place = image_place(v->grid.dim, v->grid.affine, s->z[k]);
  }
  if (it->thumb) {
    double lim[2 * CH_COUNT];
    lesion_slices(v, SLICES_CENTRAL, &it->thumb_z);
    lesion_limits(v, it->thumb_z, p->ch, p->nch, p->window, lim);
    lesion_image(v, it->thumb_z, p->ch, p->nch, lim, it->thumb);
  }
  it->grid = v->grid;
  return ST_OK;
}

static Status scan_volumes(const Pack *p, Slot *s, const LesionVolumes *v, Error *e) {
  char where[400];
  const int64_t hw = (int64_t)p->side * p->side;
  if (v->grid.dim[0] != p->side || v->grid.dim[1] != p->side)
    return err_set(e, ST_INVALID,
                   "%s: slices of %lld x %lld voxels; expected %d x %d; cut patches around the "
                   "lesions with prlx crop%s",
                   pack_where(s->it, where), (long long)v->grid.dim[0], (long long)v->grid.dim[1],
                   p->side, p->side, v->grid.dim[0] == v->grid.dim[1] ? ", or give --size" : "");
  if (p->slices == SLICES_LESION && !v->mask)
    return err_set(e, ST_INVALID,
                   "%s: no lesion mask, which says what slices bear the lesion; fill in column "
                   "mask, or take --slices central or all",
                   pack_where(s->it, where));
  s->z = mem_alloc((size_t)v->grid.dim[2] * sizeof *s->z);
  s->limits = mem_alloc((size_t)(v->grid.dim[2] * p->nch * 2) * sizeof *s->limits);
  s->mark = mem_alloc((size_t)v->grid.dim[2] * sizeof *s->mark);
  float *img = mem_alloc((size_t)(hw * p->nch) * sizeof *img);
  const Status st = s->z && s->limits && s->mark && img ? scan_slices(p, s, v, img, e)
                                                        : err_set(e, ST_NOMEM, "out of memory");
  mem_free(img);
  return st;
}

static void scan_one(void *ctx, int64_t i, int worker) {
  Scan *s = ctx;
  Slot *slot = &s->slot[i];
  LesionVolumes v;
  unsigned channels = s->p->mask;
  if (s->p->slices == SLICES_RIM && slot->it->c->lesion[slot->it->row].rim)
    channels |= 1u << CH_RIM;
  if (lesion_read(slot->it->c, slot->it->row, channels, s->p->units, s->p->nan, &v, slot->warning,
                  &slot->err) != ST_OK)
    return;
  scan_volumes(s->p, slot, &v, &slot->err);
  lesion_free(&v);
}

static void scan_warn(Pack *p, const PackItem *it, const char *text) {
  char where[400];
  if (p->warnings++ < 5)
    fprintf(stderr, "prlx pack: note: %s: %s\n", pack_where(it, where), text);
  else if (p->warnings == 6)
    fprintf(stderr, "prlx pack: note: more of this kind is not shown\n");
}

/* Takes over what one slot found. */
static Status scan_append(Pack *p, const Slot *s, Error *e) {
  PackItem *it = s->it;
  double size[3];
  if (p->nslices + s->nz > p->cap) {
    const int64_t cap = PRLX_MAX(2 * p->cap, p->nslices + s->nz + 4096), per = p->nch * 2;
    int *z = mem_grow(p->z, (size_t)p->nslices * sizeof *z, (size_t)cap * sizeof *z);
    if (z) p->z = z;
    double *lim = mem_grow(p->limits, (size_t)(p->nslices * per) * sizeof *lim,
                           (size_t)(cap * per) * sizeof *lim);
    if (lim) p->limits = lim;
    ImageMark *mark =
        mem_grow(p->mark, (size_t)p->nslices * sizeof *mark, (size_t)cap * sizeof *mark);
    if (mark) p->mark = mark;
    if (!z || !lim || !mark)
      return err_set(e, ST_NOMEM, "out of memory for the list of %lld slices", (long long)cap);
    p->cap = cap;
  }
  memcpy(p->z + p->nslices, s->z, (size_t)s->nz * sizeof *s->z);
  memcpy(p->limits + p->nslices * p->nch * 2, s->limits,
         (size_t)(s->nz * p->nch * 2) * sizeof *s->limits);
  memcpy(p->mark + p->nslices, s->mark, (size_t)s->nz * sizeof *s->mark);
  it->first = p->nslices;
  it->nz = s->nz;
  p->nslices += s->nz;
  if (s->warning[0]) scan_warn(p, it, s->warning);
  grid_voxel_size(&it->grid, size);
  if (p->voxel[0] == 0) memcpy(p->voxel, size, sizeof size);
  for (int k = 0; k < 3; k++)
    if (fabs(size[k] / p->voxel[k] - 1) > 0.01) {
      char text[200];
      snprintf(text, sizeof text,
               "voxels of %.3g x %.3g x %.3g mm, those before have %.3g x %.3g x %.3g", size[0],
               size[1], size[2], p->voxel[0], p->voxel[1], p->voxel[2]);
      scan_warn(p, it, text);
      break;
    }
  return ST_OK;
}

/* Takes over what the first m slots found, in their order, and empties them all. */
static Status scan_take(Pack *p, Scan *s, int m, Progress *bar, Error *e) {
  Status st = ST_OK;
  for (int k = 0; k < m; k++) {
    if (s->slot[k].err.code != ST_OK) {
      *e = s->slot[k].err;
      st = e->code;
      goto done;
    }
    progress_clear(bar);
    st = scan_append(p, &s->slot[k], e);
    if (st != ST_OK) goto done;
  }
done:
  for (int k = 0; k < m; k++) slot_clear(&s->slot[k]);
  return st;
}

Status pack_scan(Pack *p, Error *e) {
  Scan *s = mem_alloc(sizeof *s);
  if (!s) return err_set(e, ST_NOMEM, "out of memory");
  s->p = p;
  int total = 0, done = 0, next = 0;
  for (int i = 0; i < p->n; i++) total += p->it[i].part != PART_NONE;
  Progress bar;
  Status st = ST_OK;
  progress_start(&bar, "read", "lesion", total);
  while (done < total && !tool_interrupted) {
    int m = 0;
    for (; next < p->n && m < PACK_BATCH; next++)
      if (p->it[next].part != PART_NONE) s->slot[m++].it = &p->it[next];
    par_for(m, scan_one, s);
    st = scan_take(p, s, m, &bar, e);
    if (st != ST_OK) goto done;
    done += m;
    progress_update(&bar, done, NULL);
  }
  if (tool_interrupted) st = err_set(e, ST_INTERRUPTED, "stopped; nothing written");
done:
  progress_end(&bar);
  mem_free(s);
  return st;
}

/* ---- second pass ---- */
typedef struct Stream {
  const Pack *p;
  Part part;
  int next;
  float *buf;
  size_t cap;
  const PackItem *it[PACK_BATCH];
  size_t at[PACK_BATCH];
  Error err[PACK_BATCH];
  Progress bar;
  int64_t done;
} Stream;

static void fill_one(void *ctx, int64_t i, int worker) {
  Stream *s = ctx;
  const Pack *p = s->p;
  const PackItem *it = s->it[i];
  const size_t per = (size_t)p->nch * (size_t)p->side * (size_t)p->side;
  LesionVolumes v;
  char warning[LESION_WARNING], where[400];
  if (lesion_read(it->c, it->row, p->mask, p->units, p->nan, &v, warning, &s->err[i]) != ST_OK)
    return;
  if (memcmp(v.grid.dim, it->grid.dim, sizeof v.grid.dim))
    err_set(&s->err[i], ST_IO, "%s: the file changed while it was packed", pack_where(it, where));
  else
    for (int k = 0; k < it->nz; k++) {
      float *img = s->buf + s->at[i] + (size_t)k * per;
      lesion_image(&v, p->z[it->first + k], p->ch, p->nch, p->limits + (it->first + k) * p->nch * 2,
                   img);
      if (p->clip > 0) clip_image(img, (int64_t)per, p->clip);
    }
  lesion_free(&v);
}

/* StFill: the images of the next PACK_BATCH lesions. */
static Status pack_fill(void *ctx, const void **piece, size_t *bytes, Error *e) {
  Stream *s = ctx;
  const Pack *p = s->p;
  const size_t per = (size_t)p->nch * (size_t)p->side * (size_t)p->side;
  size_t n = 0;
  int m = 0;
  if (tool_interrupted) return err_set(e, ST_INTERRUPTED, "stopped; this file is not written");
  for (; s->next < p->n && m < PACK_BATCH; s->next++) {
    const PackItem *it = &p->it[s->next];
    if (it->part != s->part) continue;
    s->it[m] = it;
    s->at[m++] = n;
    n += (size_t)it->nz * per;
  }
  if (n > s->cap) {
    mem_free(s->buf);
    s->cap = n;
    if (!(s->buf = mem_alloc(n * sizeof *s->buf))) {
      s->cap = 0;
      return err_set(e, ST_NOMEM, "out of memory for %d lesions", m);
    }
  }
  memset(s->err, 0, sizeof s->err);
  par_for(m, fill_one, s);
  for (int i = 0; i < m; i++)
    if (s->err[i].code != ST_OK) {
      *e = s->err[i];
      return e->code;
    }
  s->done += m;
  progress_update(&s->bar, (double)s->done, NULL);
  *piece = s->buf;
  *bytes = n * sizeof *s->buf;
  return ST_OK;
}

static Status pack_describe_part(const Pack *p, Part part, Dataset *d, Error *e) {
  int64_t lesion = 0, image = 0;
  for (int i = 0; i < p->n; i++) {
    const PackItem *it = &p->it[i];
    if (it->part != part) continue;
    const Lesion *l = &it->c->lesion[it->row];
    DatasetLesions *s = d->src;
    char where[400], title[256];
    int len = snprintf(s->name[lesion], 64, "%s", l->lesion);
    snprintf(s->scan[lesion], 64, "%s", l->scan);
    lesion_title(l, title, sizeof title);
    for (int k = 0; k < it->nz; k++, image++) {
      if (len < 64) len = snprintf(d->names[image], 64, "%s_z%02d", title, p->z[it->first + k]);
      if (len >= 64)
        return err_set(e, ST_INVALID,
                       "%s: names of subject, scan and lesion are longer than 50 characters "
                       "together; shorten them",
                       pack_where(it, where));
      if (d->labels) d->labels[image] = it->cls;
      s->lesion[image] = lesion;
      s->slice[image] = p->z[it->first + k];
      memcpy(s->window + image * p->nch * 2, p->limits + (it->first + k) * p->nch * 2,
             (size_t)(p->nch * 2) * sizeof *s->window);
    }
    s->subject_of[lesion] = it->subject;
    s->label[lesion] = it->cls;
    memcpy(s->dim + 3 * lesion, it->grid.dim, sizeof it->grid.dim);
    memcpy(s->affine + 16 * lesion++, it->grid.affine, sizeof it->grid.affine);
  }
  return ST_OK;
}

/* Subjects of this part only, renumbered. */
static Status own_subjects(const Pack *p, Part part, DatasetLesions *s, Error *e) {
  int *map = mem_alloc((size_t)p->nsubjects * sizeof *map), n = 0;
  if (!map) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < s->n; i++) map[s->subject_of[i]] = 1;
  for (int k = 0; k < p->nsubjects; k++)
    if (map[k]) {
      memcpy(s->subject[n], p->subject[k], 64);
      map[k] = n++;
    }
  for (int64_t i = 0; i < s->n; i++) s->subject_of[i] = map[s->subject_of[i]];
  s->nsubjects = n;
  mem_free(map);
  return ST_OK;
}

Status pack_write(const Pack *p, Part part, const char *path, const StMeta *meta, int nmeta,
                  Error *e) {
  int64_t lesions = 0;
  for (int i = 0; i < p->n; i++) lesions += p->it[i].part == part;
  Dataset d = {.n = pack_images(p, part),
               .channels = p->nch,
               .h = p->side,
               .w = p->side,
               .path = mem_strdup(path)};
  d.names = mem_alloc((size_t)d.n * sizeof *d.names);
  d.labels = p->labels ? mem_alloc((size_t)d.n * sizeof *d.labels) : NULL;
  d.src = lesions_new(lesions, p->nsubjects, d.n, p->nch);
  Stream *s = mem_alloc(sizeof *s);
  Status st = d.path && d.names && d.src && s && (!p->labels || d.labels)
                  ? ST_OK
                  : err_set(e, ST_NOMEM, "%s: out of memory for the list of %lld images", path,
                            (long long)d.n);
  if (st != ST_OK) goto done;
  st = pack_describe_part(p, part, &d, e);
  if (st != ST_OK) goto done;
  st = own_subjects(p, part, d.src, e);
  if (st != ST_OK) goto done;
  for (int i = 0; i < nmeta; i++) {
    st = dataset_set_meta(&d, meta[i].key, meta[i].value, e);
    if (st != ST_OK) goto done;
  }
  st = dataset_set_meta(&d, "split",
                        part == PART_TRAIN  ? "train"
                        : part == PART_TEST ? "test"
                                            : "ambiguous",
                        e);
  if (st != ST_OK) goto done;
  *s = (Stream){.p = p, .part = part};
  progress_start(&s->bar, "write", "lesion", (double)lesions);
  st = dataset_save_stream(&d, path, pack_fill, s, e);
  progress_end(&s->bar);
  mem_free(s->buf);
done:
  mem_free(s);
  dataset_free(&d);
  return st;
}

/* ---- windows and sheet ---- */
static int by_value(const void *a, const void *b) {
  return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

Status pack_typical_windows(Pack *p, Error *e) {
  double *v = mem_alloc((size_t)p->nslices * sizeof *v);
  if (!v) return err_set(e, ST_NOMEM, "out of memory");
  const Part from = pack_images(p, PART_TRAIN)       ? PART_TRAIN
                    : pack_images(p, PART_AMBIGUOUS) ? PART_AMBIGUOUS
                                                     : PART_TEST;
  for (int k = 0; k < 2 * p->nch; k++) {
    Window *w = &p->window[p->ch[k / 2]];
    if (w->mode == WINDOW_FIXED) continue;
    int64_t n = 0;
    for (int i = 0; i < p->n; i++)
      for (int q = 0; p->it[i].part == from && q < p->it[i].nz; q++)
        v[n++] = p->limits[(p->it[i].first + q) * p->nch * 2 + k];
    qsort(v, (size_t)n, sizeof *v, by_value);
    *(k % 2 ? &w->hi : &w->lo) = n ? v[n / 2] : k % 2;
  }
  mem_free(v);
  return ST_OK;
}

Status pack_sheet(const Pack *p, const char *head, const char *path, const StMeta *meta, int nmeta,
                  Error *e) {
  static const char *const title[] = {"train: rim (both readers)",
                                      "train: rim, denoised or synthetic",
                                      "train: non-rim",
                                      "test: rim",
                                      "test: non-rim",
                                      "ambiguous (one reader)",
                                      "not read",
                                      "other"};
  SheetCell *cell = mem_alloc((size_t)PRLX_MAX(p->n, 1) * sizeof *cell);
  if (!cell) return err_set(e, ST_NOMEM, "out of memory");
  Sheet s = {.head = head,
             .title = title,
             .sections = COUNT_OF(title),
             .cell = cell,
             .h = p->side,
             .w = p->side,
             .columns = p->nch == 1 ? 12 : 5};
  for (int sec = 0; sec < COUNT_OF(title); sec++)
    for (int i = 0; i < p->n; i++) {
      const PackItem *it = &p->it[i];
      if (!it->thumb || it->part == PART_NONE) continue;
      const int own = it->cls == CLASS_UNREAD      ? 6
                      : it->part == PART_AMBIGUOUS ? 5
                      : it->part == PART_TEST      ? (it->cls == CLASS_RIM      ? 3
                                                      : it->cls == CLASS_NONRIM ? 4
                                                                                : 7)
                      : it->cls == CLASS_RIM       ? it->extra
                      : it->cls == CLASS_NONRIM    ? 2
                                                   : 7;
      if (own != sec) continue;
      SheetCell *c = &cell[s.n++];
      const Lesion *l = &it->c->lesion[it->row];
      *c = (SheetCell){.img = it->thumb, .section = sec};
      snprintf(c->caption, sizeof c->caption, "%.20s %.16s z%d",
               strncmp(l->subject, "sub-", 4) ? l->subject : l->subject + 4, l->lesion,
               it->thumb_z);
    }
  sheet_describe(&s, meta, nmeta, p->nch);
  Status st = sheet_draw(&s, path, e);
  mem_free(cell);
  return st;
}
