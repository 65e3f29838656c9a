/* crop_rows.c: what a run of `prlx crop` or `prlx bids` writes: patches and their rows in
 * lesions.tsv. Patches already written are removed when a later one fails, and the table is written
 * last: all or nothing. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/folder.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/cohort/crop.h"

/* ---- files ---- */
static Status crop_remember(CropJob *j, const char *file, const char *suffix, Error *e) {
  char path[PATH_LEN];
  TRY(path_format(path, e, "%s/%s%s", j->out, file, suffix));
  return made_add(&j->made, path, e);
}

void crop_job_free(CropJob *j, bool remove) {
  made_end(&j->made, j->out, remove);
  table_free(&j->t);
  tsv_free(&j->readers);
  memset(j, 0, sizeof *j);
}

static Status crop_write_volume(CropJob *j, const CropWho *who, const char *lesion, PatchKind kind,
                                const float *v, const Grid *g, const char *json, Error *e) {
  static const char *const col[PATCH_KINDS] = {"chi", "rim", "flair", "mask"},
                           *const descrip[PATCH_KINDS] = {"prlx crop: susceptibility, ppm",
                                                          "prlx crop: rim", "prlx crop: T2-FLAIR",
                                                          "prlx crop: lesion"};
  char name[PATCH_NAME], path[PATCH_NAME + 8];
  patch_name(who->subject, who->scan, lesion, kind, name);
  snprintf(path, sizeof path, "%s.nii.gz", name);
  /* lesions 1.1 and 11 of one patient */
  for (int i = 0; i + 1 < j->t.nrow; i++)
    if (!strcmp(table_get(&j->t, i, col[kind]), path))
      return err_set(e, ST_INVALID,
                     "lesion %s of %s would be written over %s/%s, which is lesion %s of %s (row "
                     "%d): their names differ only in what file names leave out; rename one "
                     "(--subject)",
                     lesion, who->subject, j->out, path, table_get(&j->t, i, "lesion"),
                     table_get(&j->t, i, "subject"), i + 2);
  TRY(crop_remember(j, name, ".nii.gz", e));
  if (json) TRY(crop_remember(j, name, ".json", e));
  TRY(patch_write(j->out, name, kind, v, g, descrip[kind], json, e));
  return table_set(&j->t, col[kind], path, e);
}

/* Sidecar of one susceptibility patch. */
static Status crop_sidecar(const Brain *b, const CropLesion *l, const CropPatch *p, char *json,
                           size_t n, Error *e) {
  const char *path = b->vol[CH_CHI].path;
  int stripped;
  char src[800];
  TRY(bids_sidecar_flag(path, "SkullStripped", &stripped, e));
  bids_json_text(path, src, sizeof src);
  snprintf(json, n,
           "{\n  \"Units\": \"ppm\",\n  \"SkullStripped\": %s,\n  \"Sources\": [\"%s\"],\n  "
           "\"CropCentreVoxel\": [%.2f, %.2f, %.2f],\n  \"Resampled\": %s,\n  "
           "\"OutsideVolume\": \"%s\"\n}\n",
           stripped == 1 ? "true" : "false", src, l->centre[0], l->centre[1], l->centre[2],
           p->exact ? "false" : "true", p->padded ? "0 ppm" : "none");
  return ST_OK;
}

/* What one patch met that its user should know. */
static void crop_say_patch(const Brain *b, const CropPatch *p, const CropRule *r,
                           const CropWho *who, const char *lesion) {
  for (int c = 0; c < CH_COUNT && !tool_quiet; c++) {
    if (p->holes[c])
      fprintf(stderr,
              "prlx crop: note: lesion %s of %s: %s: %lld voxels were NaN or infinite: %s\n",
              lesion, who->subject, b->vol[c].path, (long long)p->holes[c],
              r->nan == NAN_NEIGHBOURS ? "filled from their neighbours" : "taken as 0 (see --nan)");
    if (p->uncovered[c])
      fprintf(stderr, "prlx crop: note: lesion %s of %s: %s does not reach it: 0 there\n", lesion,
              who->subject, b->vol[c].path);
  }
}

static double voxel_volume(const double *affine) {
  const double *a = affine;
  return fabs(a[0] * (a[5] * a[10] - a[6] * a[9]) - a[1] * (a[4] * a[10] - a[6] * a[8]) +
              a[2] * (a[4] * a[9] - a[5] * a[8]));
}

/* What no real lesion looks like: nothing to see in the map, a lesion that its patch cuts. */
static void crop_doubt_patch(const Brain *b, const CropLesion *l, const CropPatch *p,
                             const CropWho *who, const char *lesion) {
  const int64_t n = grid_voxels(&p->grid);
  const float *v = p->vol[CH_CHI];
  int64_t same = 1, drawn = 0;
  if (tool_quiet) return;
  for (int64_t i = 0; i < n; i++) drawn += p->mask[i] > 0;
  while (same < n && v[same] == v[0]) same++;
  if (same == n)
    fprintf(stderr, "prlx crop: note: lesion %s of %s: %s is constant there (%g ppm)\n", lesion,
            who->subject, b->vol[CH_CHI].path, (double)v[0]);
  const double whole = (double)l->voxels * voxel_volume(b->grid[CH_CHI].affine),
               part = (double)drawn * voxel_volume(p->grid.affine);
  if (part < 0.6 * whole)
    fprintf(stderr,
            "prlx crop: note: lesion %s of %s is larger than its patch: %.0f of %.0f mm3 are in "
            "it; is it one lesion?\n",
            lesion, who->subject, part, whole);
}

/* Files of one lesion; the last row of the table is being filled. */
static Status crop_write_lesion(CropJob *j, const Brain *b, const CropLesion *l, const CropWho *who,
                                const char *lesion, Error *e) {
  static const PatchKind order[] = {PATCH_CHI, PATCH_FLAIR, PATCH_RIM, PATCH_MASK};
  CropPatch p;
  char json[1400];
  TRY(brain_patch(b, l, &j->rule, &p, e));
  crop_say_patch(b, &p, &j->rule, who, lesion);
  crop_doubt_patch(b, l, &p, who, lesion);
  Status s = crop_sidecar(b, l, &p, json, sizeof json, e);
  for (int k = 0; k < COUNT_OF(order) && s == ST_OK; k++) {
    const float *v = order[k] == PATCH_MASK ? p.mask : p.vol[order[k]];
    if (v)
      s = crop_write_volume(j, who, lesion, order[k], v, &p.grid,
                            order[k] == PATCH_CHI ? json : NULL, e);
  }
  if (s == ST_OK) {
    j->done++;
    j->padded += p.padded;
    j->resampled += !p.exact;
  }
  patch_free(&p);
  return s;
}

/* ---- rows ---- */
/* Label of a scan's entity in the table; the column of ses is called session. */
static const char *scan_column(int entity) {
  return entity == ENT_SES ? "session" : bids_entity[entity];
}

static bool row_same_scan(const CropJob *j, int row, const char *scan) {
  const char *label[ENT_COUNT];
  char text[BIDS_SCAN];
  for (int k = 0; k < ENT_COUNT; k++) label[k] = table_get(&j->t, row, scan_column(k));
  return bids_scan(label, text, NULL) == ST_OK && !strcmp(text, scan);
}

/* Do two patients share the names of their files? "1-11" and "11-1" do. */
static bool same_file_name(const char *a, const char *b) {
  char x[PATCH_NAME], y[PATCH_NAME];
  patch_name(a, "", "0", PATCH_CHI, x);
  patch_name(b, "", "0", PATCH_CHI, y);
  return !strcasecmp(x, y);
}

/* Neither this lesion nor another spelling of its patient is in the table. */
static Status crop_check_row(const CropJob *j, const CropWho *who, const char *lesion,
                             const char *where, Error *e) {
  char key[2 * BIDS_LABEL], other[2 * BIDS_LABEL];
  if (strlen(who->subject) > 63)
    return err_set(e, ST_INVALID,
                   "%ssubject '%.80s...' has more than 63 characters; shorten it (--subject)",
                   where, who->subject);
  bids_patient_key(who->subject, key);
  for (int i = 0; i < j->t.nrow; i++) {
    const char *subject = table_get(&j->t, i, "subject");
    bids_patient_key(subject, other);
    if (strcmp(key, other) && same_file_name(subject, who->subject))
      return err_set(e, ST_INVALID,
                     "%sfiles of %s would have the names of those of %s (row %d of "
                     "%s/lesions.tsv): the two differ only in what file names leave out; rename "
                     "one (--subject)",
                     where, who->subject, subject, i + 2, j->out);
    if (strcmp(key, other)) continue;
    if (strcmp(subject, who->subject))
      return err_set(e, ST_INVALID,
                     "%s%s and %s (row %d of %s/lesions.tsv) are two spellings of one patient; "
                     "write it one way (--subject)",
                     where, who->subject, subject, i + 2, j->out);
    if (!strcmp(table_get(&j->t, i, "lesion"), lesion) && row_same_scan(j, i, who->scan))
      return err_set(e, ST_INVALID,
                     "%slesion %s of %s%s%s is already in %s/lesions.tsv (row %d); choose another "
                     "folder, or another --subject or --session",
                     where, lesion, who->subject, who->scan[0] ? ", " : "", who->scan, j->out,
                     i + 2);
  }
  return ST_OK;
}

Status crop_job_lesion(CropJob *j, const Brain *b, const CropLesion *l, const CropWho *who,
                       const char *lesion, const char *where, Error *e) {
  char label[BIDS_LABEL];
  TRY(crop_check_row(j, who, lesion, where, e));
  TRY(table_new_row(&j->t, e));
  TRY(table_set(&j->t, "subject", who->subject, e));
  TRY(table_set(&j->t, "lesion", lesion, e));
  for (int k = 0; k < ENT_COUNT; k++) {
    bids_scan_label(who->scan, (ScanEntity)k, label);
    if (label[0]) TRY(table_set(&j->t, scan_column(k), label, e));
  }
  return crop_write_lesion(j, b, l, who, lesion, e);
}

/* ---- readers ---- */
bool crop_number(const char *cell, long *number) {
  char *end;
  if (!strncasecmp(cell, "lesion", 6)) cell += 6 + (cell[6] == '-');
  if (!isdigit((unsigned char)*cell)) return false;
  *number = strtol(cell, &end, 10);
  if (*end == '.') end += 1 + strspn(end + 1, "0");
  return !*end;
}

static bool crop_same_lesion(const char *cell, const char *lesion, int id) {
  long v;
  return !strcmp(cell, lesion) || (crop_number(cell, &v) && v == id);
}

/* Is this row of the readers' table about this scan? Columns that it lacks do not matter. */
static bool readers_row(const Tsv *t, int row, const CropWho *who) {
  const int subject = tsv_column(t, "subject");
  if (subject >= 0) {
    char a[2 * BIDS_LABEL], b[2 * BIDS_LABEL];
    bids_patient_key(tsv_get(t, row, subject), a);
    bids_patient_key(who->subject, b);
    if (strcmp(a, b)) return false;
  }
  for (int k = 0; k < ENT_COUNT; k++) {
    const int col = tsv_column(t, scan_column(k));
    const char *cell = tsv_get(t, row, col);
    char label[BIDS_LABEL], key[8];
    if (col < 0) continue;
    bids_scan_label(who->scan, (ScanEntity)k, label);
    snprintf(key, sizeof key, "%s-", bids_entity[k]);
    if (!strncmp(cell, key, strlen(key))) cell += strlen(key);
    if (strcmp(tsv_missing(cell) ? "" : cell, label)) return false;
  }
  return true;
}

/* 0, 1, n/a, also as spreadsheets write them; NULL: something else. */
static const char *reader_cell(const char *cell) {
  if (tsv_missing(cell)) return "";
  const int v = tsv_flag(cell);
  return v < 0 ? NULL : v ? "1" : "0";
}

static Status readers_check(const Tsv *t, int row, const char *v[2], Error *e) {
  for (int k = 0; k < 2; k++) {
    const char *cell = tsv_get(t, row, tsv_column(t, k ? "reader2" : "reader1"));
    v[k] = reader_cell(cell);
    if (!v[k])
      return err_set(
          e, ST_FORMAT,
          "%s: row %d: reader%d is '%.40s'; expected 1 (rim), 0 (no rim) or n/a; correct it",
          t->path, tsv_line(t, row), k + 1, cell);
  }
  if (!v[0][0] != !v[1][0])
    return err_set(e, ST_FORMAT,
                   "%s: row %d: only one reader's label; expected both or n/a for both", t->path,
                   tsv_line(t, row));
  return ST_OK;
}

/* reader1, reader2 from --readers: by subject and session (where the table has these columns) and
 * lesion name or number. */
static Status crop_add_readers(CropJob *j, const CropWho *who, const char *lesion, int id,
                               Error *e) {
  const Tsv *t = &j->readers;
  const int cl = tsv_column(t, "lesion");
  const char *v[2] = {"", ""};
  int hit = -1;
  for (int r = 0; r < t->nrow; r++) {
    if (!readers_row(t, r, who) || !crop_same_lesion(tsv_get(t, r, cl), lesion, id)) continue;
    if (hit >= 0)
      return err_set(
          e, ST_FORMAT,
          "%s: rows %d and %d are both lesion %s of %s%s%s; expected every lesion once; remove one",
          t->path, tsv_line(t, hit), tsv_line(t, r), lesion, who->subject, who->scan[0] ? ", " : "",
          who->scan);
    hit = r;
    TRY(readers_check(t, r, v, e));
  }
  j->unread += !v[0][0];
  if (t->path && hit < 0 && !j->unmatched++)
    snprintf(j->unmatched_who, sizeof j->unmatched_who, "lesion %s of %.80s%s%s", lesion,
             who->subject, who->scan[0] ? ", " : "", who->scan);
  TRY(table_set(&j->t, "reader1", v[0], e));
  return table_set(&j->t, "reader2", v[1], e);
}

static Status crop_open_readers(CropJob *j, const char *path, Error *e) {
  static const char *const need[] = {"lesion", "reader1", "reader2"};
  TRY(tsv_read(path, &j->readers, e));
  TRY(cohort_check_columns(&j->readers, e));
  tool_note_readers("crop", &j->readers);
  for (int k = 0; k < COUNT_OF(need); k++)
    if (tsv_column(&j->readers, need[k]) < 0)
      return err_set(
          e, ST_FORMAT,
          "%s: column '%s' is missing in row 1; expected lesion, reader1, reader2 and, for "
          "several subjects and visits, subject and session; add it",
          path, need[k]);
  return ST_OK;
}

/* ---- a run ---- */
Status crop_job_begin(CropJob *j, const char *out, const char *readers, Error *e) {
  char table[PATH_LEN];
  j->out = out;
  TRY(path_join(table, out, "lesions.tsv", e));
  if (readers) TRY(crop_open_readers(j, readers, e));
  TRY(tool_folder(out, e));
  TRY(outputs_cohort(out, e));
  outputs_renew(table);
  TRY(outputs_member(out, "lesions.tsv", e));
  if (file_exists(table)) TRY(table_add_tsv(&j->t, table, e));
  j->before = j->t.nrow;
  tool_folder_until(out, "lesions.tsv");
  return ST_OK;
}

void crop_job_say(CropJob *j, const Brain *b, const char *where) {
  if (b->warning[0])
    fprintf(stderr, "prlx crop: note: %s%s: %s\n", where, b->vol[CH_CHI].path, b->warning);
  if (b->dropped)
    fprintf(stderr, "prlx crop: note: %s%d component%s smaller than --min-voxels left out\n", where,
            b->dropped, b->dropped == 1 ? "" : "s");
  j->dropped += b->dropped;
}

Status crop_job_volume(CropJob *j, const char *const path[CH_COUNT], const char *labels,
                       const CropWho *who, Error *e) {
  Brain b;
  TRY(brain_read(&b, path, labels, &j->rule, "", e));
  Status s = ST_OK;
  crop_job_say(j, &b, "");
  for (int i = 0; i < b.n && s == ST_OK && !tool_interrupted; i++) {
    char lesion[32];
    snprintf(lesion, sizeof lesion, "%02d", b.lesion[i].id);
    s = crop_job_lesion(j, &b, &b.lesion[i], who, lesion, "", e);
    if (s != ST_OK) break;
    s = crop_add_readers(j, who, lesion, b.lesion[i].id, e);
  }
  brain_free(&b);
  return s;
}

/* Kinds of files in the table. */
static unsigned table_kinds(const Table *t) {
  static const char *const col[PATCH_KINDS] = {"chi", "rim", "flair", "mask"};
  unsigned kinds = 0;
  for (int k = 0; k < PATCH_KINDS; k++)
    for (int i = 0; i < t->nrow; i++) kinds |= (unsigned)(table_get(t, i, col[k])[0] != 0) << k;
  return kinds;
}

Status crop_job_end(CropJob *j, const char *tool, Error *e) {
  char table[PATH_LEN];
  const BidsDataset d = {
      .name = "Lesion patches",
      .tool = tool,
      .version = PRLX_VERSION,
      .readme = "Patches around lesions, cut out of whole volumes by prlx crop or prlx bids.\n\n"
                "lesions.tsv: one lesion per row and scan, with the paths of its files and what "
                "the readers said (1: rim). Chimap in ppm; label-rim_probseg is a\n"
                "probability 0..1, label-lesion_mask is 0 or 1. Axes run right, anterior, "
                "superior; the affine puts a patch where it came from.\n",
      .ignore = "/*.tsv\n!/participants.tsv\n/lesions.json\n",
      .kinds = table_kinds(&j->t),
      .chi_more = ""};
  if (tool_interrupted) return err_set(e, ST_INTERRUPTED, "stopped; nothing written");
  TRY(path_join(table, j->out, "lesions.tsv", e));
  TRY(bids_describe(j->out, &d, true, e));
  TRY(table_save(&j->t, table, e));
  tool_folder_whole(j->out);
  printf("%d lesion%s -> %s (%d rows, %d new)\n", j->done, j->done == 1 ? "" : "s", table,
         j->t.nrow, j->t.nrow - j->before);
  if (j->resampled)
    printf("  %d resampled to %g x %g x %g mm\n", j->resampled, j->rule.voxel[0], j->rule.voxel[1],
           j->rule.voxel[2]);
  if (j->padded) printf("  %d at the border, filled up with 0 ppb\n", j->padded);
  if (j->unread)
    printf("  %d without readers' labels: n/a in reader1 and reader2; fill them in%s\n", j->unread,
           j->readers.path ? "" : " or give --readers");
  if (j->unmatched)
    fprintf(stderr,
            "%s: note: %s: no row for %d of the lesions, such as %s; its first row is lesion %.40s"
            "%s%.80s\n",
            tool, j->readers.path, j->unmatched, j->unmatched_who,
            tsv_get(&j->readers, 0, tsv_column(&j->readers, "lesion")),
            tsv_column(&j->readers, "subject") < 0 ? "" : " of ",
            tsv_get(&j->readers, 0, tsv_column(&j->readers, "subject")));
  printf("  next: prlx pack %s -o dataset.safetensors\n", table);
  return ST_OK;
}
