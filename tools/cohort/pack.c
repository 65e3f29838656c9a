/* pack.c: `prlx pack`: lesions.tsv -> dataset.safetensors, one for training, if asked one for the
 * test and one of ambiguous lesions to be denoised.
 *
 *   rows -> classes by the readers -> split by subject, leak check -> scan (everything is read and
 *   checked) -> streamed writing, sheet, summary
 *
 * Nothing is written before every file was read without complaint. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/path.h"
#include "models/judge/agreement.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/cohort/pack_impl.h"

typedef struct Args {
  const char *out;
  const char *test;
  const char *ambiguous;
  const char *channels;
  const char *window;
  const char *flair;
  const char *train_counts;
  const char *test_counts;
  const char *mask;
  int slices;
  int units;
  int nan;
  int counts;
  int split;
  int as;
  int classes;
  int ambiguous_count;
  int size;
  int64_t seed;
  bool check;
  bool clip;
  double clip_at;
  bool allow_leak;
  bool distinct;
  bool unread;
  bool sheet;
} Args;
enum { COUNTS_AUTO, COUNTS_PAPER, COUNTS_ALL };
enum { AS_NOTHING, AS_NONRIM, AS_RIM };
enum { CLASSES_BOTH, CLASSES_RIM, CLASSES_NONRIM };

typedef struct Job {
  Args a;
  Pack p;
  Cohort *table;
  int ntables;
  SplitRule rule;
  int64_t counts[4];
  StMeta meta[32];
  int nmeta;
  bool tables;
} Job;

/* ---- input ---- */
static Status pack_open_tables(Job *j, int n, char **arg, Error *e) {
  int tsv = 0, nii = 0, png = 0, twins;
  char note[400];
  for (int i = 0; i < n; i++) {
    tsv += str_ends_with(arg[i], ".tsv");
    nii += str_ends_with(arg[i], ".nii") || str_ends_with(arg[i], ".nii.gz") ||
           str_ends_with(arg[i], ".hdr");
    png += str_ends_with(arg[i], ".png");
  }
  if (tsv != n && nii != n && png != n)
    return err_set(
        e, ST_INVALID,
        "%s: give lesions.tsv tables, or NIfTI volumes, or PNG images, one kind at a time", arg[0]);
  j->tables = tsv == n;
  j->table = mem_alloc((size_t)n * sizeof *j->table);
  if (!j->table) return err_set(e, ST_NOMEM, "out of memory");
  if (!tsv) {
    j->ntables = 1;
    return cohort_from_volumes(j->table, n, arg, j->a.mask, e);
  }
  for (; j->ntables < n; j->ntables++)
    TRY(cohort_open_ids(&j->table[j->ntables], arg[j->ntables], j->a.distinct, e));
  for (int i = 0; i < n; i++) tool_note_readers("pack", &j->table[i].table);
  if (j->a.distinct && (twins = cohort_twins(j->table, n, note)))
    fprintf(stderr, "prlx pack: note: %s%s\n", note, twins > 1 ? "; and others" : "");
  return ST_OK;
}

/* Classes as asked for, and which labels there are. */
static Status pack_classes(Job *j, Error *e) {
  Pack *p = &j->p;
  int unread = 0;
  for (int i = 0; i < p->n; i++) {
    PackItem *it = &p->it[i];
    const Lesion *l = &it->c->lesion[it->row];
    unread += l->cls == CLASS_UNREAD;
    if (l->cls != CLASS_UNREAD && !it->extra)
      j->counts[l->reader1 ? (l->reader2 ? 0 : 1) : (l->reader2 ? 2 : 3)]++;
    if (it->cls == CLASS_AMBIGUOUS && j->a.as)
      it->cls = j->a.as == AS_RIM ? CLASS_RIM : CLASS_NONRIM;
  }
  p->labels = unread < p->n || !j->tables;
  if (unread == p->n && j->tables && !j->a.unread)
    return err_set(e, ST_INVALID,
                   "%s: no lesion has readers' labels; fill in reader1 and reader2, or pack "
                   "without labels: --unread",
                   j->table[0].table.path);
  if (unread && (j->a.unread || !j->tables)) p->labels = false;
  return ST_OK;
}

/* ---- split ---- */
static bool two_numbers(const char *t, int64_t v[2]) {
  long long a, b;
  char end;
  if (sscanf(t, "%lld,%lld%c", &a, &b, &end) != 2 || a < 0 || b < 0) return false;
  v[CLASS_RIM] = a;
  v[CLASS_NONRIM] = b;
  return true;
}

static bool pack_make_rule(Job *j) {
  const Args *a = &j->a;
  SplitRule *r = &j->rule;
  *r = (SplitRule){.train = {-1, -1},
                   .test = {-1, -1},
                   .ambiguous = a->ambiguous_count,
                   .with_test = a->test,
                   .with_ambiguous = a->ambiguous,
                   .by_lesion = a->split == 1,
                   .seed = (uint64_t)a->seed};
  if (a->counts == COUNTS_PAPER)
    *r = (SplitRule){{400, 200},        {120, 60},    100,    r->with_test,
                     r->with_ambiguous, r->by_lesion, r->seed};
  if (a->train_counts && !two_numbers(a->train_counts, r->train)) return false;
  return !a->test_counts || two_numbers(a->test_counts, r->test);
}

/* Whoever is in the test may appear nowhere else, and one reader's rim is neither class. */
static Status pack_check_leaks(const Job *j, const SplitItem *it, const Part *part, Error *e) {
  const Pack *p = &j->p;
  int first;
  const int leaks = split_leaks(it, p->n, p->nsubjects, part, &first, e);
  if (leaks < 0) return e->code;
  for (int i = 0; i < p->n; i++) {
    char where[400];
    if ((part[i] == PART_TRAIN || part[i] == PART_TEST) && it[i].cls == CLASS_AMBIGUOUS)
      return err_set(e, ST_INTERNAL, "%s: LEAK: ambiguous lesion in training or test",
                     pack_where(&p->it[i], where));
  }
  if (leaks && !j->a.allow_leak)
    return err_set(e, ST_INVALID,
                   "LEAK: %d subject%s (first %s) with lesions both in the test and in training; "
                   "nothing written; split by subject, or say --allow-leak",
                   leaks, leaks == 1 ? "" : "s", p->subject[first]);
  if (leaks)
    fprintf(stderr,
            "prlx pack: LEAK allowed: %d subjects are in the test and in training; scores on this "
            "test say little\n",
            leaks);
  return ST_OK;
}

/* A side without one of the classes, which nobody asked for. */
static void note_class(const Job *j, Part part, LesionClass c, const int in[2], int all) {
  const Pack *p = &j->p;
  const int64_t asked = part == PART_TEST ? j->rule.test[c] : j->rule.train[c];
  const char *file = part == PART_TEST ? j->a.test : j->a.out;
  if (in[c] || asked == 0 || !p->labels) return;
  fprintf(stderr, "prlx pack: note: %s: no %s lesion for %s: ", file, lesion_class_name(c),
          part == PART_TEST ? "the test" : "training");
  if (all)
    fprintf(stderr,
            "the cohort has %d, and whole subjects are on one side; give --train and "
            "--test-counts, another --seed, or more subjects\n",
            all);
  else
    fprintf(stderr, "the cohort has none; what compares the classes cannot be computed\n");
}

static void note_classes(const Job *j, const SplitItem *it, const Part *part) {
  int train[2] = {0}, test[2] = {0}, all[2] = {0};
  for (int i = 0; i < j->p.n; i++) {
    const LesionClass c = it[i].cls;
    if (c != CLASS_RIM && c != CLASS_NONRIM) continue;
    train[c] += part[i] == PART_TRAIN;
    test[c] += part[i] == PART_TEST;
    all[c]++;
  }
  for (int c = CLASS_NONRIM; c <= CLASS_RIM; c++) {
    const bool wanted =
        j->a.classes == CLASSES_BOTH || (j->a.classes == CLASSES_RIM) == (c == CLASS_RIM);
    if (wanted) note_class(j, PART_TRAIN, (LesionClass)c, train, all[c]);
    if (j->a.test) note_class(j, PART_TEST, (LesionClass)c, test, all[c]);
  }
}

/* --classes */
static void drop_class(const Job *j, const SplitItem *it, Part *part) {
  const LesionClass dropped = j->a.classes == CLASSES_RIM ? CLASS_NONRIM : CLASS_RIM;
  for (int i = 0; i < j->p.n && j->a.classes != CLASSES_BOTH; i++)
    if (part[i] == PART_TRAIN && it[i].cls == dropped) part[i] = PART_NONE;
}

static Status pack_split(Job *j, Error *e) {
  Pack *p = &j->p;
  SplitItem *it = mem_alloc((size_t)p->n * sizeof *it);
  Part *part = mem_alloc((size_t)p->n * sizeof *part);
  Status s = it && part ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
  if (s != ST_OK) goto done;
  for (int i = 0; i < p->n; i++)
    it[i] = (SplitItem){p->it[i].patient, p->it[i].cls, p->it[i].extra};
  if (j->a.counts == COUNTS_ALL)
    for (int c = 0; c < 2; c++) {
      if (j->rule.train[c] < 0) j->rule.train[c] = -2;
      if (j->rule.test[c] < 0) j->rule.test[c] = -2;
    }
  s = split_make(it, p->n, p->nsubjects, &j->rule, part, e);
  if (s != ST_OK) goto done;
  for (int i = 0; i < p->n; i++)
    if (p->it[i].cls == CLASS_UNREAD && !p->labels) part[i] = PART_TRAIN;
  s = pack_check_leaks(j, it, part, e);
  if (s != ST_OK) goto done;
  /* after the split, so that it is the split of both classes */
  drop_class(j, it, part);
  int seen[4][4][2] = {{{0}}}, test = 0, amb = 0, train = 0;
  for (int i = 0; i < p->n; i++) {
    PackItem *q = &p->it[i];
    q->part = part[i];
    train += part[i] == PART_TRAIN;
    test += part[i] == PART_TEST;
    amb += part[i] == PART_AMBIGUOUS;
    if (!j->a.sheet || part[i] == PART_NONE || seen[part[i]][q->cls][q->extra]++ >= PACK_SHEET)
      continue;
    q->thumb = mem_alloc((size_t)(p->nch * p->side * p->side) * sizeof *q->thumb);
    if (!q->thumb) {
      s = err_set(e, ST_NOMEM, "out of memory for the sheet; --no-sheet does without");
      goto done;
    }
  }
  if (!train) {
    s = err_set(e, ST_INVALID,
                "%s: no lesions left for training; of the classes asked for there are none",
                j->table[0].table.path ? j->table[0].table.path : "volumes");
    goto done;
  }
  if (j->a.test && !test) {
    s = err_set(e, ST_INVALID,
                "%s: no lesions for the test; too few rim and non-rim lesions; leave --test out",
                j->table[0].table.path);
    goto done;
  }
  if (j->tables) note_classes(j, it, part);
  if (j->a.ambiguous && !amb) {
    s = err_set(e, ST_INVALID, "%s: no ambiguous lesions outside the test; leave --ambiguous out",
                j->table[0].table.path);
    goto done;
  }
done:
  mem_free(it);
  mem_free(part);
  return s;
}

/* ---- metadata ---- */
static Status pack_add_meta(Job *j, Error *e, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static Status pack_add_meta(Job *j, Error *e, const char *key, const char *fmt, ...) {
  char text[1200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (j->nmeta == COUNT_OF(j->meta)) return err_set(e, ST_INTERNAL, "too much metadata");
  StMeta m = {mem_strdup(key), mem_strdup(text)};
  j->meta[j->nmeta++] = m;
  return m.key && m.value ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
}

/* counts of both, first only, second only, none; NAN: not defined */
static double kappa_of(const int64_t k[4]) {
  const int64_t table[4] = {k[3], k[2], k[1], k[0]};
  Kappa out;
  Error e;
  return kappa_cohen(table, 2, 0.95, &out, &e) == ST_OK ? out.kappa : NAN;
}

/* "Name" of the dataset_description.json beside a table; "" without such a file or name. One that
 * is there and cannot be read is an error: the data set would say less than it should. */
static Status dataset_name(const char *dir, char out[300], Error *e) {
  char path[PATH_LEN];
  uint8_t *text;
  size_t n;
  out[0] = 0;
  TRY(path_join(path, dir, "dataset_description.json", e));
  if (!file_exists(path)) return ST_OK;
  TRY(file_read(path, &text, &n, 1 << 20, e));
  char *name = NULL;
  const Status s = json_object_text((const char *)text, n, "Name", &name, e);
  if (name) snprintf(out, 300, "%.299s", name);
  mem_free(name);
  mem_free(text);
  return s;
}

static Status pack_describe(Job *j, Error *e) {
  static const char *const slices[] = {"lesion", "all", "central", "rim"};
  const Pack *p = &j->p;
  char text[80], list[32], name[300] = "";
  channels_text(p->ch, p->nch, list);
  TRY(pack_add_meta(j, e, "format", "prlx-dataset-1"));
  TRY(pack_add_meta(j, e, "channels", "%s", list));
  for (int k = 0; k < p->nch; k++) {
    char key[32];
    window_text(&p->window[p->ch[k]], text);
    snprintf(key, sizeof key, "window.%s", channel_name(p->ch[k]));
    TRY(pack_add_meta(j, e, key, "%s", text));
    snprintf(key, sizeof key, "unit.%s", channel_name(p->ch[k]));
    TRY(pack_add_meta(j, e, key, "%s", channel_unit(p->ch[k])));
  }
  TRY(pack_add_meta(j, e, "unit.voxel", "%.6g,%.6g,%.6g", p->voxel[0], p->voxel[1], p->voxel[2]));
  char clipped[60] = "";
  if (p->clip == 1)
    snprintf(clipped, sizeof clipped, ", clipped to the window");
  else if (p->clip > 0)
    snprintf(clipped, sizeof clipped, ", clipped to %g times the window", (double)p->clip);
  TRY(pack_add_meta(j, e, "slices", "%s%s", slices[p->slices], clipped));
  if (j->tables) {
    TRY(dataset_name(j->table[0].dir, name, e));
    TRY(pack_add_meta(j, e, "source", "%.300s%s%.500s%s", j->table[0].table.path,
                      name[0] ? ": " : "", name, j->ntables > 1 ? " and other tables" : ""));
    TRY(pack_add_meta(j, e, "split.by", "%s, seed %llu", j->rule.by_lesion ? "lesion" : "subject",
                      (unsigned long long)j->rule.seed));
    TRY(pack_add_meta(j, e, "readers",
                      "both %lld, first only %lld, second only %lld, none %lld, kappa %.4f",
                      (long long)j->counts[0], (long long)j->counts[1], (long long)j->counts[2],
                      (long long)j->counts[3], kappa_of(j->counts)));
    TRY(pack_add_meta(j, e, "labels.rule",
                      "1 rim = both readers, 2 ambiguous = exactly one%s, 0 non-rim = neither",
                      j->a.as == AS_RIM      ? " (packed as rim)"
                      : j->a.as == AS_NONRIM ? " (packed as non-rim)"
                                             : ""));
  }
  return ST_OK;
}

/* ---- output ---- */
static void print_part(const Pack *p, Part part, const char *what, const char *path) {
  int64_t n[4] = {0}, extra = 0, subjects = 0;
  uint8_t *seen = mem_alloc((size_t)p->nsubjects);
  for (int i = 0; i < p->n; i++) {
    if (p->it[i].part != part) continue;
    n[p->it[i].cls]++;
    extra += p->it[i].extra;
    if (seen && !seen[p->it[i].subject]++) subjects++;
  }
  mem_free(seen);
  printf("  %-10s %5lld subjects, lesions: %lld rim, %lld non-rim, %lld ambiguous, %lld not read",
         what, (long long)subjects, (long long)n[CLASS_RIM], (long long)n[CLASS_NONRIM],
         (long long)n[CLASS_AMBIGUOUS], (long long)n[CLASS_UNREAD]);
  if (extra) printf(" (%lld of them denoised or synthetic)", (long long)extra);
  printf("; %lld images -> %s\n", (long long)pack_images(p, part), path);
}

static void pack_summary(const Job *j, double seconds, const char *sheet) {
  const Pack *p = &j->p;
  int64_t unused = 0;
  char text[80];
  for (int i = 0; i < p->n; i++) unused += p->it[i].part == PART_NONE;
  const double kappa = kappa_of(j->counts);
  snprintf(text, sizeof text, isnan(kappa) ? "n/a" : "%.3f", kappa);
  if (j->tables)
    printf("%d lesions of %d subjects; readers: both rim %lld, one %lld, none %lld; kappa %s\n",
           p->n, p->nsubjects, (long long)j->counts[0], (long long)(j->counts[1] + j->counts[2]),
           (long long)j->counts[3], text);
  print_part(p, PART_TRAIN, "train", j->a.out);
  if (j->a.test) print_part(p, PART_TEST, "test", j->a.test);
  if (j->a.ambiguous) print_part(p, PART_AMBIGUOUS, "ambiguous", j->a.ambiguous);
  if (unused)
    printf("  %-10s %lld lesions%s\n", "unused", (long long)unused,
           j->a.counts == COUNTS_ALL ? ""
                                     : " (beyond the counts asked for, ambiguous, or not read; "
                                       "--counts all takes every rim and non-rim lesion)");
  if (j->tables && !j->a.test)
    printf("  nothing is held out: give --test FILE to split off a test set by subject\n");
  if (j->a.test && !j->a.allow_leak)
    printf("  leak check passed: no subject of the test is in another file\n");
  for (int k = 0; k < p->nch; k++) {
    window_text(&p->window[p->ch[k]], text);
    printf("  %-10s %s -> -1..1 (%s)\n", channel_name(p->ch[k]), text, channel_unit(p->ch[k]));
  }
  printf("  %.1f s%s%s\n", seconds, sheet ? "; sheet " : "", sheet ? sheet : "");
}

static Status pack_sheet_path(const char *out, char path[PATH_LEN], Error *e) {
  const size_t n = strlen(out), cut = str_ends_with(out, ".safetensors") ? 12 : 0;
  return path_format(path, e, "%.*s_sheet.png", (int)(n - cut), out);
}

/* All that will be written may be. */
static Status pack_outputs(const Args *a, char sheet[PATH_LEN], Error *e) {
  TRY(outputs_file(a->out, "prlx-dataset-", e));
  TRY(outputs_file(a->test, "prlx-dataset-", e));
  TRY(outputs_file(a->ambiguous, "prlx-dataset-", e));
  TRY(pack_sheet_path(a->out, sheet, e));
  return a->sheet ? outputs_beside(sheet, a->out, e) : ST_OK;
}

static Status pack_cohort(Job *j, int n, char **arg, Error *e) {
  Pack *p = &j->p;
  char sheet[PATH_LEN];
  const double t0 = time_now();
  TRY(pack_outputs(&j->a, sheet, e));
  TRY(pack_open_tables(j, n, arg, e));
  TRY(pack_make_items(p, j->table, j->ntables, j->a.distinct, e));
  if (j->a.test && !j->a.distinct) TRY(cohort_check_ids(j->table, j->ntables, e));
  TRY(pack_classes(j, e));
  TRY(pack_split(j, e));
  TRY(pack_scan(p, e));
  TRY(pack_check_classes(p, e));
  TRY(pack_check_images(p, j->a.test && !p->allow_leak, e));
  TRY(pack_typical_windows(p, e));
  TRY(pack_describe(j, e));
  TRY(pack_write(p, PART_TRAIN, j->a.out, j->meta, j->nmeta, e));
  if (j->a.test) TRY(pack_write(p, PART_TEST, j->a.test, j->meta, j->nmeta, e));
  if (j->a.ambiguous) TRY(pack_write(p, PART_AMBIGUOUS, j->a.ambiguous, j->meta, j->nmeta, e));
  if (j->a.sheet) {
    char head[300];
    snprintf(head, sizeof head,
             "%.200s: central slices, rows as stored; up to %d lesions of each kind", j->a.out,
             PACK_SHEET);
    TRY(pack_sheet(p, head, sheet, j->meta, j->nmeta, e));
  }
  pack_summary(j, time_now() - t0, j->a.sheet ? sheet : NULL);
  return ST_OK;
}

static Status pack_pngs(const Args *a, int n, char **arg, Error *e) {
  Dataset d;
  TRY(outputs_file(a->out, "prlx-dataset-", e));
  TRY(dataset_from_pngs(&d, n, (const char *const *)arg, a->size, e));
  Status s = dataset_save(&d, a->out, false, e);
  if (s != ST_OK) goto done;
  printf("%d images -> %s (susceptibility scale unknown: window \"display\")\n", n, a->out);
done:
  dataset_free(&d);
  return s;
}

/* Options of what is not made. Returns -1 to go on. */
static int pack_unused(const OptSpec *s, const Args *a, bool pngs) {
  static const char split[] =
      "test ambiguous counts train test-counts ambiguous-count ambiguous-as classes split seed "
      "distinct-ids allow-leak unread";
  static const char images[] = "channels window window-flair clip clip-at slices units nan mask";
  const bool tables = str_ends_with(s->args[0], ".tsv");
  int rc = opts_need(s, !a->check, "out size", "a data set to be made, not of --check");
  if (rc < 0) rc = opts_need(s, !a->check && !pngs, images, "volumes (a LESIONS.tsv or .nii.gz)");
  if (rc < 0) rc = opts_need(s, !a->check && tables, split, "a LESIONS.tsv");
  if (rc < 0) rc = opts_need(s, !tables, "mask", "volumes that are given directly");
  if (rc < 0) rc = opts_need(s, a->test, "test-counts", "--test FILE");
  if (rc < 0) rc = opts_need(s, a->ambiguous, "ambiguous-count", "--ambiguous FILE");
  if (rc < 0)
    rc = opts_need(s, strstr(a->channels, "flair"), "window-flair", "--channels chi,flair");
  return rc < 0 ? opts_need(s, !a->clip, "clip-at", "a run without --clip") : rc;
}

static int pack_run(Job *j, OptSpec *spec) {
  Args *a = &j->a;
  Pack *p = &j->p;
  Error e = {0};
  const bool pngs = str_ends_with(spec->args[0], ".png");
  const int rc = pack_unused(spec, a, pngs);
  if (rc >= 0) return rc;
  if (a->check) {
    if (leak_check_files(spec->nargs, spec->args, &e) != ST_OK) return tool_fail("pack", &e);
    return printf("leak check passed: %d files, no subject of a test set, no lesion and no image "
                  "in two of them\n",
                  spec->nargs) < 0;
  }
  if (!a->out) return tool_usage("pack", "no output; give -o FILE.safetensors");
  if (!pack_make_rule(j))
    return tool_usage("pack",
                      "--train and --test-counts take two numbers, rim,non-rim, such as 200,400");
  if (!(p->nch = channels_parse(a->channels, p->ch)) || p->ch[0] != CH_CHI)
    return tool_usage("pack",
                      "option --channels: '%s' is not understood; chi first, then rim, flair, such "
                      "as chi or chi,rim,flair",
                      a->channels);
  p->window[CH_RIM] = (Window){WINDOW_FIXED, 0, 1};
  if (!window_parse(a->window, &p->window[CH_CHI]) || p->window[CH_CHI].mode > WINDOW_SLICE)
    return tool_usage("pack", "option --window: '%s' is neither LO,HI in ppb (LO < HI) nor slice",
                      a->window);
  if (!window_parse(a->flair, &p->window[CH_FLAIR]) || p->window[CH_FLAIR].mode > WINDOW_MEDIAN)
    return tool_usage("pack", "option --window-flair: '%s' is none of LO,HI, median, slice",
                      a->flair);
  for (int k = 0; k < p->nch; k++) p->mask |= 1u << p->ch[k];
  p->slices = (SliceRule)a->slices;
  p->units = (ChiUnits)a->units;
  p->nan = (NanRule)a->nan;
  p->clip = a->clip ? 1 : (float)a->clip_at;
  p->allow_leak = a->allow_leak;
  p->side = a->size;
  if (!pngs && a->slices == SLICES_LESION && !opts_given(spec, "slices") &&
      !str_ends_with(spec->args[0], ".tsv") && !a->mask)
    p->slices = SLICES_ALL;
  const Status s = pngs ? pack_pngs(a, spec->nargs, spec->args, &e)
                        : pack_cohort(j, spec->nargs, spec->args, &e);
  return s == ST_OK ? EXIT_DONE : tool_fail("pack", &e);
}

int tool_pack(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return tool_no_memory("pack");
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, NULL, "FILE", "data set for training (also -o)"),
      OPT_STR("test", &a->test, NULL, "FILE", "also a test set: other subjects"),
      OPT_STR("ambiguous", &a->ambiguous, NULL, "FILE",
              "also the ambiguous lesions of subjects that are not in the test, for prlx project"),
      OPT_FLAG("sheet", &a->sheet, "yes", "contact sheet beside --out: NAME_sheet.png"),
      OPT_GROUP("Images"),
      OPT_STR("channels", &a->channels, "chi", "LIST", "chi, or with rim and flair: chi,rim,flair"),
      OPT_STR("window", &a->window, "-100,150", "LO,HI",
              "susceptibility in ppb that becomes -1 and 1, or slice: minimum and maximum of\neach "
              "slice, as in the published images (kept with every image, so it can be undone)"),
      OPT_STR("window-flair", &a->flair, "median", "LO,HI",
              "the same for FLAIR; median: 0 to 2.5 times the median of the patch (FLAIR has no "
              "scale)"),
      OPT_FLAG("clip", &a->clip, "no",
               "limit values to the window; else they go beyond -1 and 1, to at most 4"),
      OPT_REAL("clip-at", &a->clip_at, "0", 0, 4,
               "limit them to so many times the window (one bright vessel or calcification in a\n"
               "cohort); 0: a value beyond 4 times the window is an error"),
      OPT_CHOICE("slices", &a->slices, "lesion", "lesion|all|central|rim",
                 "those with lesion mask; all but padding; the one with most of the lesion;\nrim: "
                 "those with at least half the rim of the slice that has most of it (by the rim "
                 "map,\nwithout one by the mask)"),
      OPT_CHOICE("units", &a->units, "ppm", "ppm|ppb", "of the Chimap files (BIDS: ppm)"),
      OPT_CHOICE("nan", &a->nan, "refuse", "refuse|zero|neighbours",
                 "what stands in for NaN and infinity in a volume"),
      OPT_INT("size", &a->size, "64", 4, 1024,
              "pixels of a slice; other sizes are refused (prlx crop cuts patches)"),
      OPT_STR("mask", &a->mask, NULL, "FILE", "lesion mask of volumes that are given directly"),
      OPT_GROUP("Split"),
      OPT_CHOICE(
          "counts", &a->counts, "auto", "auto|paper|all",
          "auto: the paper's proportions, two non-rim lesions per rim lesion, 60/260 for the "
          "test;\npaper: 200,400 + 60,120 + 100 ambiguous; all: every rim and non-rim lesion"),
      OPT_STR("train", &a->train_counts, NULL, "R,N", "rim and non-rim lesions for training"),
      OPT_STR("test-counts", &a->test_counts, NULL, "R,N", "rim and non-rim lesions for the test"),
      OPT_INT("ambiguous-count", &a->ambiguous_count, "-1", -1, 1000000,
              "ambiguous lesions; -1: all of subjects outside the test"),
      OPT_CHOICE(
          "ambiguous-as", &a->as, "leave-out", "leave-out|nonrim|rim",
          "class of ambiguous lesions in training and test (one reading of the paper: nonrim)"),
      OPT_CHOICE("classes", &a->classes, "both", "both|rim|nonrim",
                 "of training; the split is the one of both classes (for a network of one class)"),
      OPT_CHOICE("split", &a->split, "subject", "subject|lesion",
                 "lesion: ignore who they belong to; the leak check then fails"),
      OPT_I64("seed", &a->seed, "0", 0, 9e15, "of the split"),
      OPT_FLAG(
          "distinct-ids", &a->distinct, "no",
          "subjects whose names differ in punctuation, case, blanks or leading zeros\nonly (1-11, "
          "11-1; sub-1, sub-01) are two patients; of the latter three,\nwhich are one name in "
          "data sets, both stay on one side of the split"),
      OPT_FLAG("allow-leak", &a->allow_leak, "no", "write even if the leak check fails"),
      OPT_FLAG("unread", &a->unread, "no",
               "also lesions that nobody read; the data set then has no labels"),
      OPT_FLAG("check", &a->check, "no",
               "only check existing data sets given as arguments for leaks between them"),
  };
  OptSpec spec = {
      .cmd = "pack",
      .summary = "Turns a cohort into data sets for training and test.",
      .details =
          "  prlx pack cohort/lesions.tsv -o d.safetensors\n"
          "  prlx pack cohort/lesions.tsv -o train.safetensors --test test.safetensors --ambiguous "
          "ambiguous.safetensors\n"
          "  prlx pack cohort/lesions.tsv denoised/lesions.tsv -o more.safetensors --test "
          "test.safetensors    (the same split, denoised lesions added)\n"
          "  prlx pack --check train.safetensors test.safetensors denoised/denoised.safetensors\n"
          "  prlx pack sub-01_Chimap.nii.gz --mask sub-01_label-lesion_mask.nii.gz -o "
          "one.safetensors\n\n"
          "Rim: both readers said so; ambiguous: exactly one; non-rim: neither. Of three readers "
          "reader1 and reader2 count, a note says so: where the\n"
          "majority or the third decides, write the decision into both columns (1 and 1, or 0 and "
          "0). Values stay float; "
          "window, lesion, subject, slice and affine are kept\n"
          "with every image. Rows with a column provenance that is not original (denoised, "
          "synthetic) go to training only, on top of the counts.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "LESIONS.tsv... | VOLUME.nii.gz... | IMAGE.png...",
      .pos_min = 1,
      .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc < 0) {
    rc = pack_run(j, &spec);
    opts_free(&spec);
  }
  pack_free(&j->p);
  for (int i = 0; i < j->ntables; i++) cohort_free(&j->table[i]);
  for (int i = 0; i < j->nmeta; i++) {
    mem_free(j->meta[i].key);
    mem_free(j->meta[i].value);
  }
  mem_free(j->table);
  mem_free(j);
  return rc;
}
