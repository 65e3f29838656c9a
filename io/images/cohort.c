/* cohort.c: see cohort.h */
#include "io/images/cohort.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "core/os.h"
#include "io/formats/file.h"

const char *lesion_class_name(LesionClass c) {
  static const char *const names[] = {"non-rim", "rim", "ambiguous", "unread"};
  return (unsigned)c < COUNT_OF(names) ? names[c] : "unknown";
}

void cohort_free(Cohort *c) {
  for (int i = 0; i < c->n; i++) {
    mem_free(c->lesion[i].chi);
    mem_free(c->lesion[i].flair);
    mem_free(c->lesion[i].rim);
    mem_free(c->lesion[i].mask);
  }
  mem_free(c->lesion);
  mem_free(c->patient);
  mem_free(c->dir);
  tsv_free(&c->table);
  memset(c, 0, sizeof *c);
}

static char *folder_of(const char *path) {
  char *d = mem_strdup(path);
  char *slash = d ? strrchr(d, '/') : NULL;
  if (slash)
    slash[slash == d] = 0; /* "/lesions.tsv" lies in "/" */
  else if (d) {
    mem_free(d);
    d = mem_strdup(".");
  }
  return d;
}

/* The path in this cell, resolved and checked; NULL when it is missing or the column is absent. */
static Status path_resolve(const Cohort *c, int row, int col, char **out, Error *e) {
  const char *cell = tsv_get(&c->table, row, col);
  char full[OS_PATH];
  OsInfo st;
  *out = NULL;
  if (tsv_missing(cell)) return ST_OK;
  int n = os_path_absolute(cell) ? snprintf(full, sizeof full, "%s", cell)
                                 : snprintf(full, sizeof full, "%s/%s", c->dir, cell);
  if (n < 0 || n >= (int)sizeof full)
    return err_set(e, ST_FORMAT, "%s: row %d: the path in column '%s' is too long", c->table.path,
                   tsv_line(&c->table, row), c->table.col[col]);
  if (os_info(full, &st) != 0) {
    const int why = errno;
    return err_set(e, ST_IO,
                   "%s: row %d: %s file %.300s: %s%s; paths are relative to the folder of the "
                   "table; correct it or write n/a",
                   c->table.path, tsv_line(&c->table, row), c->table.col[col], full,
                   why == ENOENT ? "not there" : strerror(why), file_absent(full, why));
  }
  if (st.kind != OS_FILE)
    return err_set(e, ST_IO, "%s: row %d: %s file %.300s: is not a regular file; correct the path",
                   c->table.path, tsv_line(&c->table, row), c->table.col[col], full);
  if (!os_can_read(full))
    return err_set(e, ST_IO, "%s: row %d: %s file %.300s: %s", c->table.path,
                   tsv_line(&c->table, row), c->table.col[col], full, strerror(errno));
  *out = mem_strdup(full);
  return *out ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", c->table.path);
}

static Status reader_value(const Cohort *c, int row, int col, int *v, Error *e) {
  const char *cell = tsv_get(&c->table, row, col);
  *v = -1;
  if (tsv_missing(cell)) return ST_OK;
  *v = tsv_flag(cell);
  if (*v >= 0) return ST_OK;
  return err_set(
      e, ST_FORMAT,
      "%s: row %d: %s is '%.40s'; expected 1 (rim), 0 (no rim) or n/a (not read); correct it",
      c->table.path, tsv_line(&c->table, row), c->table.col[col], cell);
}

static bool begins_with(const char *text, const char *word) {
  for (; *word; text++, word++)
    if (tolower((unsigned char)*text) != *word) return false;
  return true;
}

static bool column_of_reader(const char *name) {
  static const char *const word[] = {"reader", "rater", "consensus", "adjudicat", "observer"};
  if (!strcmp(name, "reader1") || !strcmp(name, "reader2")) return false;
  for (int i = 0; i < COUNT_OF(word); i++)
    if (begins_with(name, word[i])) return true;
  return false;
}

int cohort_more_readers(const Tsv *t, char names[200]) {
  int n = 0;
  size_t at = 0;
  names[0] = 0;
  for (int c = 0; c < t->ncol; c++) {
    bool said = false;
    if (!column_of_reader(t->col[c])) continue;
    for (int r = 0; r < t->nrow && !said; r++) said = !tsv_missing(tsv_get(t, r, c));
    if (!said) continue;
    if (at < 199) at += (size_t)snprintf(names + at, 200 - at, "%s%.40s", n ? ", " : "", t->col[c]);
    n++;
  }
  return n;
}

typedef struct Columns {
  int subject;
  int lesion;
  int chi;
  int flair;
  int rim;
  int mask;
  int reader1;
  int reader2;
  int scan[ENT_COUNT]; /* -1: no such column */
} Columns;
Status cohort_check_columns(const Tsv *t, Error *e) {
  static const char *const known[] = {"subject", "lesion",     "chi",     "flair",   "rim",
                                      "mask",    "reader1",    "reader2", "session", "labels",
                                      "label",   "provenance", "acq",     "rec",     "run"};
  for (int k = 0; k < COUNT_OF(known); k++) {
    const int at = tsv_column(t, known[k]) < 0 ? tsv_column_like(t, known[k]) : -1;
    if (at >= 0)
      return err_set(
          e, ST_FORMAT,
          "%s: column %d is called '%.60s'; expected '%s', the name of that column here; "
          "rename it",
          t->path, at + 1, t->col[at], known[k]);
  }
  return ST_OK;
}

static Status find_columns(const Cohort *c, Columns *k, Error *e) {
  static const char *const name[] = {"subject", "lesion", "chi", "reader1", "reader2"};
  int *at[] = {&k->subject, &k->lesion, &k->chi, &k->reader1, &k->reader2};
  TRY(cohort_check_columns(&c->table, e));
  for (int i = 0; i < COUNT_OF(name); i++)
    if ((*at[i] = tsv_column(&c->table, name[i])) < 0)
      return err_set(e, ST_FORMAT,
                     "%s: column '%s' is missing in row 1; expected subject, lesion, chi, reader1, "
                     "reader2 (tab-separated); add it%s",
                     c->table.path, name[i], i >= 3 ? ", n/a where nobody read" : "");
  k->flair = tsv_column(&c->table, "flair");
  k->rim = tsv_column(&c->table, "rim");
  k->mask = tsv_column(&c->table, "mask");
  k->scan[ENT_SES] = tsv_column(&c->table, "session");
  for (int i = ENT_ACQ; i < ENT_COUNT; i++) k->scan[i] = tsv_column(&c->table, bids_entity[i]);
  return ST_OK;
}

/* Patient and scan, cut out of the table's text in place: what the columns say, or the subject
 * itself (sub-01_ses-02). */
static Status read_scan(Cohort *c, const Columns *k, int row, Lesion *l, Error *e) {
  const char *label[ENT_COUNT] = {0};
  char *subject = c->table.cell[(size_t)row * (size_t)c->table.ncol + (size_t)k->subject];
  BidsName name;
  Error inner = {0};
  size_t own_length;
  l->subject = subject;
  if (bids_split_subject(&name, subject, &own_length, &inner) != ST_OK)
    return err_set(e, ST_FORMAT, "%s: row %d: subject %.800s", c->table.path,
                   tsv_line(&c->table, row), inner.msg);
  for (int i = 0; i < ENT_COUNT; i++) {
    char own[BIDS_LABEL + 8];
    const char *cell = tsv_get(&c->table, row, k->scan[i]);
    label[i] = tsv_missing(cell) ? "" : cell;
    if (!name.scan[i][0]) continue;
    snprintf(own, sizeof own, "%s-%s", bids_entity[i], name.scan[i]);
    if (label[i][0] && strcmp(label[i], name.scan[i]) && strcmp(label[i], own))
      return err_set(e, ST_FORMAT,
                     "%s: row %d: subject '%.80s' says %s, column %s says '%.40s'; expected one "
                     "scan; correct one of them",
                     c->table.path, tsv_line(&c->table, row), subject, own,
                     c->table.col[k->scan[i]], label[i]);
    label[i] = name.scan[i];
  }
  if (bids_scan(label, l->scan, &inner) != ST_OK)
    return err_set(e, ST_FORMAT, "%s: row %d: %.800s", c->table.path, tsv_line(&c->table, row),
                   inner.msg);
  subject[own_length] = 0;
  bids_patient_key(subject, c->patient[row]);
  l->patient = c->patient[row];
  return ST_OK;
}

static Status read_lesion(Cohort *c, const Columns *k, int row, Lesion *l, Error *e) {
  l->row = row;
  l->line = tsv_line(&c->table, row);
  l->subject = tsv_get(&c->table, row, k->subject);
  l->lesion = tsv_get(&c->table, row, k->lesion);
  if (tsv_missing(l->subject) || tsv_missing(l->lesion))
    return err_set(e, ST_FORMAT, "%s: row %d: no %s; expected a name such as %s; fill it in",
                   c->table.path, tsv_line(&c->table, row),
                   tsv_missing(l->subject) ? "subject" : "lesion",
                   tsv_missing(l->subject) ? "sub-001" : "1");
  TRY(read_scan(c, k, row, l, e));
  TRY(reader_value(c, row, k->reader1, &l->reader1, e));
  TRY(reader_value(c, row, k->reader2, &l->reader2, e));
  if ((l->reader1 < 0) != (l->reader2 < 0))
    return err_set(e, ST_FORMAT,
                   "%s: row %d: only one reader's label; expected both or n/a for both; the class "
                   "of the lesion needs two readers",
                   c->table.path, tsv_line(&c->table, row));
  l->cls = l->reader1 < 0                 ? CLASS_UNREAD
           : l->reader1 + l->reader2 == 2 ? CLASS_RIM
           : l->reader1 + l->reader2 == 1 ? CLASS_AMBIGUOUS
                                          : CLASS_NONRIM;
  if (tsv_missing(tsv_get(&c->table, row, k->chi)))
    return err_set(e, ST_FORMAT,
                   "%s: row %d: no chi file; expected the path of a Chimap volume; fill it in or "
                   "remove the row",
                   c->table.path, tsv_line(&c->table, row));
  TRY(path_resolve(c, row, k->chi, &l->chi, e));
  TRY(path_resolve(c, row, k->flair, &l->flair, e));
  TRY(path_resolve(c, row, k->rim, &l->rim, e));
  return path_resolve(c, row, k->mask, &l->mask, e);
}

/* By patient's key, spelling, scan, lesion. */
static int lesion_order(const void *a, const void *b) {
  const Lesion *x = *(const Lesion *const *)a, *y = *(const Lesion *const *)b;
  int d = strcmp(x->patient, y->patient);
  if (!d) d = strcmp(x->subject, y->subject);
  if (!d) d = strcmp(x->scan, y->scan);
  if (!d) d = strcmp(x->lesion, y->lesion);
  return d ? d : (x->row > y->row) - (x->row < y->row);
}

/* Two rows that stand next to each other in lesion_order. */
static Status check_pair(const Cohort *c, const Lesion *a, const Lesion *b, bool distinct,
                         Error *e) {
  if (strcmp(a->patient, b->patient)) return ST_OK;
  if (strcmp(a->subject, b->subject)) {
    if (distinct) return ST_OK;
    return err_set(e, ST_FORMAT,
                   "%s: rows %d and %d: '%.60s' and '%.60s' are two spellings of one patient; "
                   "expected one; write it one way, or rename one of two patients (pack and "
                   "export-cohort take them as two with --distinct-ids)",
                   c->table.path, PRLX_MIN(a->line, b->line), PRLX_MAX(a->line, b->line),
                   a->row < b->row ? a->subject : b->subject,
                   a->row < b->row ? b->subject : a->subject);
  }
  if (strcmp(a->scan, b->scan) || strcmp(a->lesion, b->lesion)) return ST_OK;
  return err_set(e, ST_FORMAT,
                 "%s: rows %d and %d are both lesion '%.60s' of subject '%.60s'%s%s; expected "
                 "every lesion once; remove or renumber one",
                 c->table.path, a->line, b->line, b->lesion, b->subject, b->scan[0] ? ", " : "",
                 b->scan);
}

static Status check_duplicates(const Cohort *c, bool distinct, Error *e) {
  const Lesion **p = mem_alloc((size_t)c->n * sizeof *p);
  if (!p) return err_set(e, ST_NOMEM, "%s: out of memory", c->table.path);
  Status s = ST_OK;
  for (int i = 0; i < c->n; i++) p[i] = &c->lesion[i];
  qsort(p, (size_t)c->n, sizeof *p, lesion_order);
  for (int i = 1; i < c->n && s == ST_OK; i++) s = check_pair(c, p[i - 1], p[i], distinct, e);
  mem_free(p);
  return s;
}

static int spelling_order(const void *a, const void *b) {
  const Lesion *x = *(const Lesion *const *)a, *y = *(const Lesion *const *)b;
  const int d = strcmp(x->patient, y->patient);
  return d ? d : strcmp(x->subject, y->subject);
}

int cohort_twins(const Cohort *c, int n, char text[400]) {
  int rows = 0, at = 0, twins = 0;
  for (int t = 0; t < n; t++) rows += c[t].n;
  const Lesion **p = mem_alloc((size_t)rows * sizeof *p);
  if (!p) return 0;
  for (int t = 0; t < n; t++)
    for (int i = 0; i < c[t].n; i++) p[at++] = &c[t].lesion[i];
  qsort(p, (size_t)rows, sizeof *p, spelling_order);
  for (int i = 1; i < rows; i++) {
    if (strcmp(p[i]->patient, p[i - 1]->patient) || !strcmp(p[i]->subject, p[i - 1]->subject))
      continue;
    if (twins++) continue;
    snprintf(text, 400,
             "'%.60s' (row %d) and '%.60s' (row %d) are taken as two patients; they stay on one "
             "side of a split",
             p[i - 1]->subject, p[i - 1]->line, p[i]->subject, p[i]->line);
  }
  mem_free(p);
  return twins;
}

typedef struct LooseKey {
  char key[2 * BIDS_LABEL];
  const Cohort *c;
  const Lesion *l;
} LooseKey;

static int loose_order(const void *a, const void *b) {
  const LooseKey *x = a, *y = b;
  int d = strcmp(x->key, y->key);
  if (!d) d = (x->c > y->c) - (x->c < y->c);
  return d ? d : (x->l > y->l) - (x->l < y->l);
}

static Status check_loose(const LooseKey *a, const LooseKey *b, Error *e) {
  if (strcmp(a->key, b->key) || !strcmp(a->l->patient, b->l->patient)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: row %d: '%.60s', and '%.60s' (row %d of %.200s), differ in punctuation only "
                 "and may be one patient on both sides of the split; write one way, or say "
                 "--distinct-ids if they are two patients",
                 b->c->table.path, b->l->line, b->l->subject, a->l->subject, a->l->line,
                 a->c->table.path);
}

Status cohort_check_ids(const Cohort *c, int n, Error *e) {
  int rows = 0, at = 0;
  for (int t = 0; t < n; t++) rows += c[t].n;
  LooseKey *k = mem_alloc((size_t)rows * sizeof *k);
  if (!k) return err_set(e, ST_NOMEM, "out of memory for the names of %d rows", rows);
  for (int t = 0; t < n; t++)
    for (int i = 0; i < c[t].n; i++, at++) {
      k[at].c = &c[t];
      k[at].l = &c[t].lesion[i];
      bids_loose_key(k[at].l->subject, k[at].key);
    }
  qsort(k, (size_t)rows, sizeof *k, loose_order);
  Status s = ST_OK;
  for (int i = 1; i < rows && s == ST_OK; i++) s = check_loose(&k[i - 1], &k[i], e);
  mem_free(k);
  return s;
}

int cohort_find(const Cohort *c, const char *subject, const char *scan, const char *lesion) {
  for (int i = 0; i < c->n; i++)
    if (!strcmp(c->lesion[i].subject, subject) && !strcmp(c->lesion[i].lesion, lesion) &&
        !strcmp(c->lesion[i].scan, scan))
      return i;
  return -1;
}

bool cohort_made(const Cohort *c, int row) {
  const char *v = tsv_get(&c->table, row, c->table.path ? tsv_column(&c->table, "provenance") : -1);
  return !tsv_missing(v) && strcasecmp(v, "original") != 0;
}

int lesion_title(const Lesion *l, char *out, size_t n) {
  return snprintf(out, n, "%s%s%s_lesion-%s", l->subject, l->scan[0] ? "_" : "", l->scan,
                  l->lesion);
}

/* What it has read so far is in c, for cohort_free. */
static Status cohort_fill(Cohort *c, const char *path, bool distinct, Error *e) {
  Columns k;
  TRY(tsv_read(path, &c->table, e));
  TRY(find_columns(c, &k, e));
  if (c->table.nrow == 0)
    return err_set(e, ST_FORMAT,
                   "%s: has no lesions; expected one row for each below the column names", path);
  c->dir = folder_of(path);
  c->lesion = mem_alloc((size_t)c->table.nrow * sizeof *c->lesion);
  c->patient = mem_alloc((size_t)c->table.nrow * sizeof *c->patient);
  if (!c->dir || !c->lesion || !c->patient) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  for (int i = 0; i < c->table.nrow; i++) {
    c->n = i + 1;
    TRY(read_lesion(c, &k, i, &c->lesion[i], e));
  }
  return check_duplicates(c, distinct, e);
}

Status cohort_open_ids(Cohort *c, const char *path, bool distinct, Error *e) {
  memset(c, 0, sizeof *c);
  const Status s = cohort_fill(c, path, distinct, e);
  if (s != ST_OK) cohort_free(c);
  return s;
}

Status cohort_open(Cohort *c, const char *path, Error *e) {
  return cohort_open_ids(c, path, false, e);
}

double cohort_kappa(const Cohort *c, int64_t counts[4]) {
  int64_t k[4] = {0};
  for (int i = 0; i < c->n; i++) {
    const Lesion *l = &c->lesion[i];
    if (l->reader1 >= 0 && l->reader2 >= 0)
      k[l->reader1 ? (l->reader2 ? 0 : 1) : (l->reader2 ? 2 : 3)]++;
  }
  if (counts) memcpy(counts, k, sizeof k);
  double n = (double)(k[0] + k[1] + k[2] + k[3]);
  if (n == 0) return NAN;
  double p1 = (double)(k[0] + k[1]) / n, p2 = (double)(k[0] + k[2]) / n,
         po = (double)(k[0] + k[3]) / n, pe = p1 * p2 + (1 - p1) * (1 - p2);
  return pe < 1 ? (po - pe) / (1 - pe) : NAN;
}
