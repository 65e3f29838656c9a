/* bids_find.c: see bids_find.h */
#include "tools/cohort/bids_find.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"

/* ---- folders ---- */

/* The same folder, whatever the path. */
static bool same_folder(const char *a, const char *b) {
  OsInfo x, y;
  return a && b && os_info(a, &x) == 0 && os_info(b, &y) == 0 && x.device == y.device &&
         x.number == y.number;
}

/* ---- the tree ---- */
typedef struct TreeWalk {
  BidsTree *t;
  const char *const *labels;
  int nlabels;
  const char *const *sessions;
  int nsessions;
  const char *skip;
  int root;
} TreeWalk;

static bool label_wanted(const char *const *list, int n, const char *key, const char *label) {
  for (int i = 0; i < n; i++) {
    const size_t k = strlen(key);
    const char *want = strncmp(list[i], key, k) ? list[i] : list[i] + k;
    if (!strcmp(want, label)) return true;
  }
  return n == 0;
}

static bool volume_wanted(const BidsName *n, const char *path) {
  static const char *const suffix[] = {"Chimap", "FLAIR", "dseg", "mask", "probseg"};
  bool known = false;
  if (!path_has_ending(path, ".nii.gz") && !path_has_ending(path, ".nii")) return false;
  for (int i = 0; i < COUNT_OF(suffix); i++) known |= !strcmp(n->suffix, suffix[i]);
  const bool patch = !strncmp(n->desc, "lesion", 6) && isdigit((unsigned char)n->desc[6]);
  return known && !patch;
}

static Status tree_add(TreeWalk *w, const char *path, const char *folder, Error *e) {
  BidsTree *t = w->t;
  BidsName name;
  if (!path_has_ending(path, ".nii.gz") && !path_has_ending(path, ".nii")) return ST_OK;
  TRY(bids_parse(&name, path, e));
  if (!volume_wanted(&name, path)) return ST_OK;
  if (strcmp(name.sub, folder + 4))
    return err_set(e, ST_FORMAT,
                   "%s: lies in the folder of %s, but its name says sub-%s; expected the same; "
                   "move or rename the file",
                   path, folder, name.sub);
  if (!label_wanted(w->sessions, w->nsessions, "ses-", name.scan[ENT_SES])) return ST_OK;
  if (t->n == t->cap) {
    BidsFile *p = mem_grow(t->file, (size_t)t->cap * sizeof *p, (size_t)(t->cap + 256) * sizeof *p);
    if (!p) return err_set(e, ST_NOMEM, "out of memory for the list of files");
    t->file = p;
    t->cap += 256;
  }
  BidsFile *f = &t->file[t->n];
  *f = (BidsFile){mem_strdup(path), name, w->root};
  if (!f->path) return err_set(e, ST_NOMEM, "out of memory for the list of files");
  t->n++;
  return ST_OK;
}

/* A name in a folder; *is: it is a folder itself. */
static Status tree_child(const char *dir, const char *name, char path[PATH_LEN], bool *is,
                         Error *e) {
  TRY(path_join(path, dir, name, e));
  return file_is_folder(path, is, e);
}

/* sub-01/ses-02/anat: three folders deep at most. */
static Status tree_walk(TreeWalk *w, const char *dir, const char *folder, int depth, Error *e) {
  FolderList l;
  TRY(folder_read(dir, NULL, &l, e));
  Status s = ST_OK;
  for (int i = 0; i < l.n && s == ST_OK; i++) {
    char path[PATH_LEN];
    bool is;
    s = tree_child(dir, l.name[i], path, &is, e);
    if (s != ST_OK) break;
    if (!is)
      s = tree_add(w, path, folder, e);
    else if (depth < 2 && !same_folder(path, w->skip))
      s = tree_walk(w, path, folder, depth + 1, e);
  }
  folder_free(&l);
  return s;
}

static Status tree_root(TreeWalk *w, const char *dir, Error *e) {
  FolderList l;
  if (same_folder(dir, w->skip)) return ST_OK;
  TRY(folder_read(dir, NULL, &l, e));
  Status s = ST_OK;
  for (int i = 0; i < l.n && s == ST_OK; i++) {
    char path[PATH_LEN];
    if (strncmp(l.name[i], "sub-", 4)) continue;
    bool is;
    s = tree_child(dir, l.name[i], path, &is, e);
    if (s != ST_OK || !is) continue;
    if (!label_wanted(w->labels, w->nlabels, "sub-", l.name[i] + 4)) continue;
    w->t->subjects++;
    s = tree_walk(w, path, l.name[i], 0, e);
  }
  folder_free(&l);
  w->root++;
  return s;
}

Status bids_tree_open(BidsTree *t, const char *dir, const char *const *labels, int nlabels,
                      const char *const *sessions, int nsessions, const char *skip, Error *e) {
  TreeWalk w = {t, labels, nlabels, sessions, nsessions, skip, 0};
  char derivatives[PATH_LEN], path[PATH_LEN];
  FolderList l = {0};
  memset(t, 0, sizeof *t);
  TRY(tree_root(&w, dir, e));
  TRY(path_join(derivatives, dir, "derivatives", e));
  bool is;
  TRY(file_is_folder(derivatives, &is, e));
  if (!is) return ST_OK;
  TRY(folder_read(derivatives, NULL, &l, e));
  Status s = ST_OK;
  for (int i = 0; i < l.n && s == ST_OK; i++) {
    s = tree_child(derivatives, l.name[i], path, &is, e);
    if (s == ST_OK && is) s = tree_root(&w, path, e);
  }
  folder_free(&l);
  t->roots = w.root;
  return s;
}

void bids_tree_free(BidsTree *t) {
  for (int i = 0; i < t->n; i++) mem_free(t->file[i].path);
  mem_free(t->file);
  memset(t, 0, sizeof *t);
}

/* ---- what belongs to a map ---- */
static bool has_word(const char *s, const char *word) {
  const size_t n = strlen(word);
  for (; *s; s++)
    if (!strncasecmp(s, word, n)) return true;
  return false;
}

static bool says_lesion(const char *label) {
  return has_word(label, "lesion") || !strcmp(label, "L") || !strcasecmp(label, "WML");
}

static bool says_rim(const char *label) {
  return has_word(label, "rim") || !strcasecmp(label, "PRL");
}

/* A space that means: registered to the susceptibility map, or never moved. */
static bool space_of_map(const char *space) {
  static const char *const own[] = {"QSM", "Chimap", "native", "orig", "scanner", "individual"};
  for (int i = 0; i < COUNT_OF(own); i++)
    if (!strcasecmp(space, own[i])) return true;
  return false;
}

/* How well f goes with chi as far as patient, scan and space say; -1: not at all. A file in the
 * space of the map is worth more than one that has yet to be resampled. */
static int score_place(const BidsFile *chi, const BidsFile *f) {
  const BidsName *a = &chi->name, *b = &f->name;
  int score = 10 + (chi->root == f->root);
  if (strcmp(a->sub, b->sub) || strcmp(a->scan[ENT_SES], b->scan[ENT_SES])) return -1;
  if (!strcmp(a->space, b->space))
    score += a->space[0] ? 6 : 0;
  else if (!a->space[0] && space_of_map(b->space))
    score += 6;
  else
    return -1;
  for (int k = ENT_ACQ; k < ENT_COUNT; k++) {
    if (!strcmp(a->scan[k], b->scan[k]))
      score++;
    else if (a->scan[k][0] && b->scan[k][0])
      score--;
  }
  return score;
}

static int score_flair(const BidsFile *chi, const BidsFile *f) {
  const int place = score_place(chi, f);
  if (place < 0 || strcmp(f->name.suffix, "FLAIR")) return -1;
  return place - (f->name.desc[0] != 0);
}

/* Another run or acquisition has another lesion map. */
static bool other_scan(const BidsFile *chi, const BidsFile *f) {
  for (int k = ENT_ACQ; k < ENT_COUNT; k++)
    if (chi->name.scan[k][0] && f->name.scan[k][0] && strcmp(chi->name.scan[k], f->name.scan[k]))
      return true;
  return false;
}

static int score_lesions(const BidsFile *chi, const BidsFile *f, const char *as) {
  const BidsName *n = &f->name;
  const int place = score_place(chi, f);
  const bool dseg = !strcmp(n->suffix, "dseg");
  if (place < 0 || other_scan(chi, f) || (!dseg && strcmp(n->suffix, "mask"))) return -1;
  if (as) return !strcmp(n->desc, as) || !strcmp(n->label, as) ? place + dseg : -1;
  if (says_rim(n->label) || says_rim(n->desc)) return -1;
  if (says_lesion(n->label) || says_lesion(n->desc)) return place + 100 + dseg;
  return dseg && !n->desc[0] && !n->label[0] ? place : -1;
}

static int score_rim(const BidsFile *chi, const BidsFile *f) {
  const BidsName *n = &f->name;
  const int place = score_place(chi, f);
  if (place < 0 || other_scan(chi, f) || !(says_rim(n->label) || says_rim(n->desc))) return -1;
  if (!strcmp(n->suffix, "probseg")) return place + 1;
  return !strcmp(n->suffix, "mask") ? place : -1;
}

typedef struct BidsBest {
  const BidsFile *file;
  const BidsFile *rival; /* as good */
  int score;
} BidsBest;

static void best_take(BidsBest *b, const BidsFile *f, int score) {
  if (score < 0 || score < b->score) return;
  b->rival = b->file && score == b->score ? f : NULL;
  if (!b->rival) b->file = f;
  b->score = score;
}

static Status best_check(const BidsBest *b, const char *what, const BidsFile *chi, const char *mend,
                         Error *e) {
  if (!b->rival) return ST_OK;
  return err_set(e, ST_INVALID, "%s: two files fit as its %s: %s and %s; expected one; %s",
                 chi->path, what, b->file->path, b->rival->path, mend);
}

Status bids_match(const BidsTree *t, const BidsFile *chi, const char *lesions_as, BidsMatch *out,
                  Error *e) {
  BidsBest flair = {NULL, NULL, 0}, lesions = flair, rim = flair;
  for (int i = 0; i < t->n; i++) {
    const BidsFile *f = &t->file[i];
    best_take(&flair, f, score_flair(chi, f));
    best_take(&lesions, f, score_lesions(chi, f, lesions_as));
    best_take(&rim, f, score_rim(chi, f));
  }
  *out = (BidsMatch){.chi = chi, .flair = flair.file, .lesions = lesions.file, .rim = rim.file};
  out->plain = lesions.file && !lesions_as && lesions.score < 100;
  TRY(best_check(&lesions, "lesion map", chi, "choose one by its desc or label: --lesions NAME",
                 e));
  TRY(best_check(&flair, "FLAIR", chi, "move one out of the tree, or use prlx crop", e));
  return best_check(&rim, "rim mask", chi, "move one out of the tree, or use prlx crop", e);
}
