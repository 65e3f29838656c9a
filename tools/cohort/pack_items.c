/* pack_items.c: rows of tables become the lesions that `prlx pack` deals: one index per patient,
 * however many sessions, and nothing twice: no lesion, no file and no image under two names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "tools/cohort/pack_impl.h"

static const Lesion *item_lesion(const PackItem *it) { return &it->c->lesion[it->row]; }

static const char *item_table(const PackItem *it) {
  return it->c->table.path ? it->c->table.path : "another volume";
}

/* ---- patients ---- */
static int item_patient_order(const void *a, const void *b) {
  const PackItem *p = *(const PackItem *const *)a, *q = *(const PackItem *const *)b;
  int d = strcmp(item_lesion(p)->patient, item_lesion(q)->patient);
  if (!d) d = strcmp(item_lesion(p)->subject, item_lesion(q)->subject);
  return d ? d : (p > q) - (p < q);
}

static Status refuse_spellings(const PackItem *a, const PackItem *b, Error *e) {
  char where[400];
  const PackItem *f = a < b ? a : b, *l = a < b ? b : a;
  return err_set(
      e, ST_INVALID,
      "%s: '%.60s' is '%.60s' in row %d of %.200s: two spellings of one patient; "
      "write it one way, or rename one of two patients; --distinct-ids takes them as two",
      pack_where(l, where), item_lesion(l)->subject, item_lesion(f)->subject, item_lesion(f)->line,
      item_table(f));
}

/* For every item the index of the first item of its subject and of its patient: sorted has the
 * items of one patient together, and in it those of one spelling, the first row first. */
static Status pack_group(Pack *p, const PackItem **sorted, bool distinct, Error *e) {
  for (int i = 0; i < p->n; i++) sorted[i] = &p->it[i];
  qsort(sorted, (size_t)p->n, sizeof *sorted, item_patient_order);
  for (int i = 0, first = 0, own = 0; i < p->n; i++) {
    const Lesion *l = item_lesion(sorted[i]);
    const bool other = strcmp(l->patient, item_lesion(sorted[first])->patient) != 0;
    if (other) first = i;
    if (other || strcmp(l->subject, item_lesion(sorted[own])->subject)) own = i;
    if (own != first && !distinct) return refuse_spellings(sorted[first], sorted[own], e);
    p->it[sorted[i] - p->it].subject = (int)(sorted[own] - p->it);
    p->it[sorted[i] - p->it].patient = (int)(sorted[first] - p->it);
  }
  return ST_OK;
}

/* Names of patients in the order of the rows. */
static Status pack_number_patients(Pack *p, const PackItem **sorted, bool distinct, Error *e) {
  char where[400];
  TRY(pack_group(p, sorted, distinct, e));
  for (int i = 0; i < p->n; i++) {
    PackItem *it = &p->it[i];
    if (it->subject < i) {
      it->subject = p->it[it->subject].subject;
      continue;
    }
    if (strlen(item_lesion(it)->subject) > 63)
      return err_set(e, ST_INVALID, "%s: subject of more than 63 characters; shorten it",
                     pack_where(it, where));
    snprintf(p->subject[p->nsubjects], 64, "%.63s", item_lesion(it)->subject);
    it->subject = p->nsubjects++;
  }
  for (int i = 0; i < p->n; i++) p->it[i].patient = p->it[p->it[i].patient].subject;
  return ST_OK;
}

/* ---- nothing twice ---- */
static int item_id_order(const void *a, const void *b) {
  const PackItem *p = *(const PackItem *const *)a, *q = *(const PackItem *const *)b;
  const Lesion *x = item_lesion(p), *y = item_lesion(q);
  if (p->subject != q->subject) return (p->subject > q->subject) - (p->subject < q->subject);
  int d = strcmp(x->scan, y->scan);
  if (!d) d = strcmp(x->lesion, y->lesion);
  return d ? d : (p > q) - (p < q);
}

static Status pack_check_lesions(const Pack *p, const PackItem **sorted, Error *e) {
  char where[400];
  for (int i = 0; i < p->n; i++) sorted[i] = &p->it[i];
  qsort(sorted, (size_t)p->n, sizeof *sorted, item_id_order);
  for (int i = 1; i < p->n; i++) {
    const Lesion *l = item_lesion(sorted[i]), *k = item_lesion(sorted[i - 1]);
    if (sorted[i]->subject != sorted[i - 1]->subject || strcmp(l->scan, k->scan) ||
        strcmp(l->lesion, k->lesion))
      continue;
    return err_set(e, ST_INVALID,
                   "%s: the same lesion is in row %d of %.200s; leave one of them out",
                   pack_where(sorted[i], where), k->line, item_table(sorted[i - 1]));
  }
  return ST_OK;
}

/* A file as the system knows it, whatever its path. */
typedef struct PackFile {
  uint64_t device;
  uint64_t inode;
  const PackItem *it;
} PackFile;
static int file_order(const void *a, const void *b) {
  const PackFile *p = a, *q = b;
  if (p->device != q->device) return (p->device > q->device) - (p->device < q->device);
  if (p->inode != q->inode) return (p->inode > q->inode) - (p->inode < q->inode);
  return (p->it > q->it) - (p->it < q->it);
}

/* A measured map is no mask and no other map; a rim drawn as lesion mask, too, may be meant. */
static Status pack_check_columns(const PackItem *it, Error *e) {
  const Lesion *l = item_lesion(it);
  const char *file[] = {l->chi, l->flair, l->rim, l->mask};
  static const char *const name[] = {"chi", "flair", "rim", "mask"};
  char where[400];
  for (int i = 0; i < 2; i++)
    for (int k = i + 1; k < COUNT_OF(file); k++)
      if (file[i] && file[k] && !strcmp(file[i], file[k]))
        return err_set(e, ST_INVALID,
                       "%s: %s and %s are one file, %.300s; expected a file for each; correct one "
                       "of them",
                       pack_where(it, where), name[i], name[k], file[i]);
  return ST_OK;
}

static bool same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

/* Two lesions of one map that nothing tells apart, one called a rim and the other not. */
static Status classes_agree(const PackItem *a, const PackItem *b, Error *e) {
  const Lesion *x = item_lesion(a), *y = item_lesion(b);
  char where[400];
  if (a->cls == b->cls || !same_text(x->mask, y->mask) || !same_text(x->rim, y->rim)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: its files are those of lesion %.40s in row %d of %.200s, and it is %s there, "
                 "%s here; expected a patch for each lesion; correct the paths or the readers",
                 pack_where(b, where), x->lesion, x->line, item_table(a), lesion_class_name(a->cls),
                 lesion_class_name(b->cls));
}

/* Items by their maps, those of one map together; NULL: no memory. */
static PackFile *files_sorted(const Pack *p) {
  PackFile *f = mem_alloc((size_t)p->n * sizeof *f);
  for (int i = 0; f && i < p->n; i++) {
    OsInfo st = {0};
    f[i].it = &p->it[i];
    if (os_info(item_lesion(f[i].it)->chi, &st) != 0) continue; /* reading it says what is wrong */
    f[i].device = st.device;
    f[i].inode = st.number;
  }
  if (f) qsort(f, (size_t)p->n, sizeof *f, file_order);
  return f;
}

static bool file_same(const PackFile *a, const PackFile *b) {
  return a->inode && a->inode == b->inode && a->device == b->device;
}

/* One susceptibility map belongs to one patient. */
static Status pack_check_files(const Pack *p, Error *e) {
  char where[400];
  for (int i = 0; i < p->n; i++) TRY(pack_check_columns(&p->it[i], e));
  PackFile *f = files_sorted(p);
  if (!f) return err_set(e, ST_NOMEM, "out of memory");
  Status s = ST_OK;
  for (int i = 1; i < p->n && s == ST_OK; i++)
    if (file_same(&f[i], &f[i - 1]) && f[i].it->subject != f[i - 1].it->subject)
      s = err_set(e, ST_INVALID,
                  "LEAK: %s: its map is that of %.60s in row %d of %.200s; one scan, two names: "
                  "leave one row out, or give both the same subject",
                  pack_where(f[i].it, where), item_lesion(f[i - 1].it)->subject,
                  item_lesion(f[i - 1].it)->line, item_table(f[i - 1].it));
  mem_free(f);
  return s;
}

Status pack_check_classes(const Pack *p, Error *e) {
  PackFile *f = files_sorted(p);
  if (!f) return err_set(e, ST_NOMEM, "out of memory");
  Status s = ST_OK;
  for (int i = 1; i < p->n && s == ST_OK; i++)
    if (file_same(&f[i], &f[i - 1])) s = classes_agree(f[i - 1].it, f[i].it, e);
  mem_free(f);
  return s;
}

Status pack_make_items(Pack *p, const Cohort *table, int ntables, bool distinct, Error *e) {
  int n = 0;
  for (int t = 0; t < ntables; t++) n += table[t].n;
  p->it = mem_alloc((size_t)n * sizeof *p->it);
  p->subject = mem_alloc((size_t)n * sizeof *p->subject);
  const PackItem **sorted = mem_alloc((size_t)n * sizeof *sorted);
  Status s = p->it && p->subject && sorted
                 ? ST_OK
                 : err_set(e, ST_NOMEM, "out of memory for %d lesions", n);
  if (s != ST_OK) goto done;
  for (int t = 0; t < ntables; t++)
    for (int i = 0; i < table[t].n; i++)
      p->it[p->n++] = (PackItem){.c = &table[t],
                                 .row = i,
                                 .cls = table[t].lesion[i].cls,
                                 .extra = cohort_made(&table[t], table[t].lesion[i].row)};
  s = pack_number_patients(p, sorted, distinct, e);
  if (s != ST_OK) goto done;
  s = pack_check_lesions(p, sorted, e);
done:
  mem_free(sorted);
  return s == ST_OK && !p->allow_leak ? pack_check_files(p, e) : s;
}

/* ---- images ---- */
static const PackItem *slice_item(const Pack *p, int64_t slice) {
  for (int i = 0; i < p->n; i++) {
    const PackItem *it = &p->it[i];
    if (it->part != PART_NONE && slice >= it->first && slice < it->first + it->nz) return it;
  }
  return NULL;
}

Status pack_check_images(const Pack *p, bool refuse, Error *e) {
  int64_t pair[2];
  int *owner = mem_alloc((size_t)p->nslices * sizeof *owner);
  char a[400], b[400];
  if (!owner) return err_set(e, ST_NOMEM, "out of memory for the leak check");
  for (int i = 0; i < p->n; i++)
    for (int k = 0; k < p->it[i].nz && p->it[i].part != PART_NONE; k++)
      owner[p->it[i].first + k] = p->it[i].subject;
  const Status s = marks_find_pair(p->mark, owner, p->nslices, pair, e);
  mem_free(owner);
  if (s != ST_OK || pair[0] < 0) return s;
  const PackItem *x = slice_item(p, pair[0]), *y = slice_item(p, pair[1]);
  if (refuse)
    return err_set(e, ST_INVALID,
                   "LEAK: %s, slice %d, and %s, slice %d, are one image; two names for one scan: "
                   "leave one row out, or give both the same subject",
                   pack_where(x, a), p->z[pair[0]], pack_where(y, b), p->z[pair[1]]);
  fprintf(stderr, "prlx pack: note: %s, slice %d, and %s, slice %d, are one image\n",
          pack_where(x, a), p->z[pair[0]], pack_where(y, b), p->z[pair[1]]);
  return ST_OK;
}
