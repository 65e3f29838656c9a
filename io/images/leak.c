/* leak.c: see leak.h */
#include "io/images/leak.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/checksum.h"
#include "io/images/bids.h"

/* ---- images ---- */
enum { MARK_RICH = 16 };

static bool image_rich(const float *img, int64_t n) {
  float seen[MARK_RICH];
  int k = 0;
  for (int64_t i = 0; i < n && k < MARK_RICH; i++) {
    int q = 0;
    while (q < k && seen[q] != img[i]) q++;
    if (q == k) seen[k++] = img[i];
  }
  return k == MARK_RICH;
}

uint64_t image_place(const int64_t *dim, const double *affine, int64_t slice) {
  const uint32_t a = crc32_ieee(0, affine, 16 * sizeof *affine),
                 b = crc32_ieee(a, dim, 3 * sizeof *dim);
  return (uint64_t)a << 32 | (crc32_ieee(b, &slice, sizeof slice) | 1);
}

void image_mark(const float *img, int h, int w, ImageMark *m) {
  const int64_t n = (int64_t)h * w;
  const size_t bytes = (size_t)n * sizeof *img;
  double mean = 0, var = 0, third = 0, fourth = 0, fifth = 0, rough = 0;
  *m = (ImageMark){.rich = image_rich(img, n)};
  m->bits = (uint64_t)crc32_ieee(0, img, bytes) << 32 | crc32_ieee(0x9e3779b9u, img, bytes / 2);
  for (int64_t i = 0; i < n; i++) mean += img[i];
  mean /= (double)n;
  for (int64_t i = 0; i < n; i++) var += (img[i] - mean) * (img[i] - mean);
  var /= (double)n;
  if (!(var > 0)) return;
  const double sd = sqrt(var);
  for (int64_t i = 0; i < n; i++) {
    const double z = (img[i] - mean) / sd, z2 = z * z;
    third += z2 * z;
    fourth += z2 * z2;
    fifth += z2 * z2 * z;
  }
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      const double v = img[y * w + x];
      if (x + 1 < w) rough += (img[y * w + x + 1] - v) * (img[y * w + x + 1] - v);
      if (y + 1 < h) rough += (img[(y + 1) * w + x] - v) * (img[(y + 1) * w + x] - v);
    }
  m->number[0] = fabs(third) / (double)n;
  m->number[1] = fourth / (double)n;
  m->number[2] = fabs(fifth) / (double)n;
  m->number[3] = rough / (double)n / var;
}

/* Index of pixel (x, y) of an image h x w in position k: bits 0 and 1 mirror, bit 2 transposes. */
static int64_t turned_index(int x, int y, int h, int w, int k) {
  if (k & 1) x = w - 1 - x;
  if (k & 2) y = h - 1 - y;
  return k & 4 ? (int64_t)x * w + y : (int64_t)y * w + x;
}

bool image_same(const float *a, const float *b, int h, int w) {
  const int64_t n = (int64_t)h * w;
  double ma = 0, mb = 0, va = 0, vb = 0;
  for (int64_t i = 0; i < n; i++) {
    ma += a[i];
    mb += b[i];
  }
  ma /= (double)n;
  mb /= (double)n;
  for (int64_t i = 0; i < n; i++) {
    va += (a[i] - ma) * (a[i] - ma);
    vb += (b[i] - mb) * (b[i] - mb);
  }
  for (int k = 0; k < (h == w ? 8 : 4); k++) {
    double ab = 0;
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++) ab += (a[y * w + x] - ma) * (b[turned_index(x, y, h, w, k)] - mb);
    if (ab * ab >= 0.999 * 0.999 * va * vb) return true;
  }
  return false;
}

/* ---- through a window that cuts off ---- */
void image_thumb(const float *img, int h, int w, ImageThumb *t) {
  enum { SIDE = THUMB_SIDE };
  double sum = 0, square = 0;
  for (int k = 0; k < SIDE * SIDE; k++) {
    const int y0 = k / SIDE * h / SIDE, x0 = k % SIDE * w / SIDE;
    const int y1 = PRLX_MAX(y0 + 1, (k / SIDE + 1) * h / SIDE),
              x1 = PRLX_MAX(x0 + 1, (k % SIDE + 1) * w / SIDE);
    double v = 0;
    for (int y = y0; y < y1; y++)
      for (int x = x0; x < x1; x++) v += img[(int64_t)y * w + x];
    t->mean[k] = (float)(v / ((y1 - y0) * (x1 - x0)));
    sum += t->mean[k];
  }
  for (int k = 0; k < SIDE * SIDE; k++) {
    t->mean[k] -= (float)(sum / (SIDE * SIDE));
    square += t->mean[k] * t->mean[k];
  }
  const float over = square > 0 ? (float)(1 / sqrt(square)) : 0;
  for (int k = 0; k < SIDE * SIDE; k++) t->mean[k] *= over;
}

bool thumbs_near(const ImageThumb *a, const ImageThumb *b, bool square) {
  enum { SIDE = THUMB_SIDE };
  for (int k = 0; k < (square ? 8 : 4); k++) {
    float ab = 0;
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++)
        ab += a->mean[y * SIDE + x] * b->mean[turned_index(x, y, SIDE, SIDE, k)];
    if (fabsf(ab) >= 0.9f) return true;
  }
  return false;
}

/* Darkest and brightest value. */
static void image_ends(const float *img, int64_t n, float end[2]) {
  end[0] = end[1] = img[0];
  for (int64_t i = 1; i < n; i++) {
    end[0] = fminf(end[0], img[i]);
    end[1] = fmaxf(end[1], img[i]);
  }
}

static bool pixel_inside(float x, const float end[2]) { return x > end[0] && x < end[1]; }

bool image_same_cut(const float *a, const float *b, int h, int w) {
  const int64_t n = (int64_t)h * w;
  float ea[2], eb[2];
  image_ends(a, n, ea);
  image_ends(b, n, eb);
  for (int k = 0; k < (h == w ? 8 : 4); k++) {
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0, m = 0;
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++) {
        const float p = a[(int64_t)y * w + x], q = b[turned_index(x, y, h, w, k)];
        if (!pixel_inside(p, ea) || !pixel_inside(q, eb)) continue;
        const double u = p, v = q;
        sa += u;
        sb += v;
        aa += u * u;
        bb += v * v;
        ab += u * v;
        m++;
      }
    if (m < 0.5 * (double)n) return false;
    const double c = ab - sa * sb / m, va = aa - sa * sa / m, vb = bb - sb * sb / m;
    if (va > 0 && vb > 0 && c * c >= 0.999 * 0.999 * va * vb) return true;
  }
  return false;
}

bool marks_near(const ImageMark *a, const ImageMark *b, double tolerance) {
  if (!a->rich || !b->rich) return false;
  for (int k = 0; k < MARK_NUMBERS; k++)
    if (fabs(a->number[k] - b->number[k]) > tolerance * (1 + fabs(a->number[k]))) return false;
  return true;
}

/* The same values, as far as marks tell. */
static bool marks_alike(const ImageMark *a, const ImageMark *b, double tolerance) {
  return marks_near(a, b, tolerance) || (a->bits == b->bits && a->place && a->place == b->place);
}

/* An image in a list that is sorted by its first number. */
typedef struct Marked {
  ImageMark m;
  int64_t at;
  int owner;
} Marked;
static int marked_order(const void *a, const void *b) {
  const Marked *p = a, *q = b;
  const double x = p->m.number[0], y = q->m.number[0];
  return x != y ? (x > y) - (x < y) : (p->at > q->at) - (p->at < q->at);
}

Status marks_find_pair(const ImageMark *m, const int *owner, int64_t n, int64_t pair[2], Error *e) {
  const double tolerance = 1e-5;
  Marked *t = mem_alloc((size_t)n * sizeof *t);
  pair[0] = pair[1] = -1;
  if (!t) return err_set(e, ST_NOMEM, "out of memory for the leak check");
  for (int64_t i = 0; i < n; i++) t[i] = (Marked){m[i], i, owner[i]};
  qsort(t, (size_t)n, sizeof *t, marked_order);
  for (int64_t i = 0; i < n && pair[0] < 0; i++)
    for (int64_t k = i + 1; k < n && pair[0] < 0; k++) {
      if (t[k].m.number[0] - t[i].m.number[0] > tolerance * (1 + t[i].m.number[0])) break;
      if (t[k].owner == t[i].owner || !marks_alike(&t[i].m, &t[k].m, tolerance)) continue;
      pair[0] = PRLX_MIN(t[i].at, t[k].at);
      pair[1] = PRLX_MAX(t[i].at, t[k].at);
    }
  mem_free(t);
  return ST_OK;
}

/* ---- between files ---- */
typedef struct LeakFile {
  Dataset d;
  const char *path;
  bool test;
  bool ambiguous;
} LeakFile;

static Status leak_file_open(LeakFile *f, const char *path, Error *e) {
  f->path = path;
  TRY(dataset_open(&f->d, path, e));
  const char *part = dataset_meta(&f->d, "split");
  f->ambiguous = part && !strcmp(part, "ambiguous");
  f->test = !part || !(f->ambiguous || !strcmp(part, "train"));
  if (f->d.src) return ST_OK;
  return err_set(
      e, ST_INVALID,
      "%s: does not say which subjects its images come from; pack it again from lesions.tsv", path);
}

/* One subject, lesion or image. text: what two of them share when they are the same. */
typedef struct LeakEntry {
  const char *text;
  const char *more;
  const char *scan;
  ImageMark mark;
  int64_t at;
  int file;
} LeakEntry;

static int entry_compare(const LeakEntry *p, const LeakEntry *q) {
  int d = strcmp(p->text, q->text);
  if (!d && p->more) d = strcmp(p->more, q->more);
  if (!d && p->scan) d = strcmp(p->scan, q->scan);
  return d;
}

static int entry_order(const void *x, const void *y) {
  const LeakEntry *p = x, *q = y;
  const int d = entry_compare(p, q);
  return d ? d : (p->file > q->file) - (p->file < q->file);
}

typedef struct LeakCheck {
  LeakFile *f;
  int n;
  bool no_test; /* no file is one */
} LeakCheck;

/* Training and the ambiguous set may share subjects; a test set shares them with nobody. */
static bool subjects_clash(const LeakCheck *c, const LeakFile *a, const LeakFile *b) {
  return a->test || b->test || (c->no_test && !a->ambiguous && !b->ambiguous);
}

static const char *subject_at(const LeakFile *f, int64_t i) { return f->d.src->subject[i]; }

static Status check_subjects(const LeakCheck *c, Error *e) {
  int64_t n = 0, k = 0;
  for (int i = 0; i < c->n; i++) n += c->f[i].d.src->nsubjects;
  LeakEntry *t = mem_alloc((size_t)n * sizeof *t);
  char(*key)[2 * BIDS_LABEL] = mem_alloc((size_t)n * sizeof *key);
  Status s = t && key ? ST_OK : err_set(e, ST_NOMEM, "out of memory for the leak check");
  if (s != ST_OK) goto done;
  for (int i = 0; i < c->n; i++)
    for (int64_t q = 0; q < c->f[i].d.src->nsubjects; q++, k++) {
      bids_patient_key(subject_at(&c->f[i], q), key[k]);
      t[k] = (LeakEntry){.text = key[k], .at = q, .file = i};
    }
  qsort(t, (size_t)n, sizeof *t, entry_order);
  for (int64_t i = 0; i < n && s == ST_OK; i++)
    for (k = i + 1; k < n && !strcmp(t[k].text, t[i].text) && s == ST_OK; k++) {
      const LeakFile *a = &c->f[t[i].file], *b = &c->f[t[k].file];
      const char *x = subject_at(a, t[i].at), *y = subject_at(b, t[k].at);
      char as[100] = "";
      if (t[i].file == t[k].file || !subjects_clash(c, a, b)) continue;
      if (strcmp(x, y)) snprintf(as, sizeof as, ", as %.80s,", y);
      s = err_set(e, ST_INVALID,
                  "LEAK: subject %s is in %s and%s in %s%s; a subject may be on one side only; "
                  "pack both in one run of prlx pack",
                  x, a->path, as, b->path,
                  c->no_test ? ", and neither says that it is the test" : "");
    }
done:
  mem_free(t);
  mem_free(key);
  return s;
}

static Status check_lesions(const LeakCheck *c, Error *e) {
  int64_t n = 0, k = 0;
  for (int i = 0; i < c->n; i++) n += c->f[i].d.src->n;
  LeakEntry *t = mem_alloc((size_t)n * sizeof *t);
  char(*key)[2 * BIDS_LABEL] = mem_alloc((size_t)n * sizeof *key);
  Status s = t && key ? ST_OK : err_set(e, ST_NOMEM, "out of memory for the leak check");
  if (s != ST_OK) goto done;
  for (int i = 0; i < c->n; i++) {
    const DatasetLesions *d = c->f[i].d.src;
    for (int64_t q = 0; q < d->n; q++, k++) {
      bids_patient_key(d->subject[d->subject_of[q]], key[k]);
      t[k] =
          (LeakEntry){.text = key[k], .more = d->name[q], .scan = d->scan[q], .at = q, .file = i};
    }
  }
  qsort(t, (size_t)n, sizeof *t, entry_order);
  for (int64_t i = 1; i < n && s == ST_OK; i++) {
    const LeakFile *a = &c->f[t[i - 1].file], *b = &c->f[t[i].file];
    if (a == b || entry_compare(&t[i - 1], &t[i])) continue;
    s = err_set(e, ST_INVALID,
                "LEAK: lesion %s of subject %s%s%s is in %s and in %s; pack both in one run of "
                "prlx pack",
                t[i].more, subject_at(a, a->d.src->subject_of[t[i - 1].at]),
                t[i].scan[0] ? ", " : "", t[i].scan, a->path, b->path);
  }
done:
  mem_free(t);
  mem_free(key);
  return s;
}

/* ---- images of files ---- */
static const float *leak_image(const LeakFile *f, int64_t i) {
  return f->d.images + i * f->d.channels * f->d.h * f->d.w;
}

static const char *leak_name(const LeakFile *f, int64_t i) {
  return f->d.names && f->d.names[i][0] ? f->d.names[i] : "an image";
}

/* 0: different, 1: to the bit, 2: but for scale or orientation */
static int images_alike(const LeakFile *a, const LeakEntry *p, const LeakFile *b,
                        const LeakEntry *q) {
  const float *x = leak_image(a, p->at), *y = leak_image(b, q->at);
  const size_t bytes = (size_t)a->d.h * (size_t)a->d.w * sizeof *x;
  if (a->d.h != b->d.h || a->d.w != b->d.w) return 0;
  if (p->mark.bits == q->mark.bits && !memcmp(x, y, bytes))
    return p->mark.rich || p->mark.place == q->mark.place ? 1 : 0;
  return marks_near(&p->mark, &q->mark, 0.02) && image_same(x, y, a->d.h, a->d.w) ? 2 : 0;
}

static int image_order(const void *x, const void *y) {
  const LeakEntry *p = x, *q = y;
  const double a = p->mark.number[0], b = q->mark.number[0];
  if (a != b) return (a > b) - (a < b);
  return p->file != q->file ? (p->file > q->file) - (p->file < q->file)
                            : (p->at > q->at) - (p->at < q->at);
}

static Status check_images(const LeakCheck *c, Error *e) {
  int64_t n = 0, k = 0;
  for (int i = 0; i < c->n; i++) n += c->f[i].d.n;
  LeakEntry *t = mem_alloc((size_t)n * sizeof *t);
  if (!t) return err_set(e, ST_NOMEM, "out of memory for the leak check");
  for (int i = 0; i < c->n; i++)
    for (int64_t q = 0; q < c->f[i].d.n; q++, k++) {
      const DatasetLesions *d = c->f[i].d.src;
      const int64_t l = d->lesion[q];
      t[k] = (LeakEntry){.at = q, .file = i};
      image_mark(leak_image(&c->f[i], q), c->f[i].d.h, c->f[i].d.w, &t[k].mark);
      t[k].mark.place = image_place(d->dim + 3 * l, d->affine + 16 * l, d->slice[q]);
    }
  qsort(t, (size_t)n, sizeof *t, image_order);
  Status s = ST_OK;
  for (int64_t i = 0; i < n && s == ST_OK; i++)
    for (k = i + 1; k < n && s == ST_OK; k++) {
      const double near = 0.02 * (1 + t[i].mark.number[0]);
      if (t[k].mark.number[0] - t[i].mark.number[0] > near) break;
      if (t[k].file == t[i].file) continue;
      const LeakFile *a = &c->f[t[i].file], *b = &c->f[t[k].file];
      const int alike = images_alike(a, &t[i], b, &t[k]);
      if (alike)
        s = err_set(e, ST_INVALID,
                    "LEAK: %s of %s is in %s, too, %s (%s); pack both in one run of prlx pack",
                    leak_name(a, t[i].at), a->path, b->path,
                    alike == 1 ? "to the bit" : "but for scale or orientation",
                    leak_name(b, t[k].at));
    }
  mem_free(t);
  return s;
}

static Status check_files(LeakCheck *c, char *const *paths, Error *e) {
  for (int k = 0; k < c->n; k++) {
    TRY(leak_file_open(&c->f[k], paths[k], e));
    c->no_test = c->no_test && !c->f[k].test;
  }
  TRY(check_subjects(c, e));
  TRY(check_lesions(c, e));
  return check_images(c, e);
}

Status leak_check_files(int n, char *const *paths, Error *e) {
  LeakCheck c = {.f = mem_alloc((size_t)n * sizeof *c.f), .n = n, .no_test = true};
  if (!c.f) return err_set(e, ST_NOMEM, "out of memory");
  const Status s = check_files(&c, paths, e);
  for (int k = 0; k < n; k++) dataset_free(&c.f[k].d);
  mem_free(c.f);
  return s;
}
