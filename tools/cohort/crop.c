/* crop.c: `prlx crop`: whole volumes and lesion maps -> one patch per lesion and their rows in
 * lesions.tsv. Patches already written are removed when a later one fails, and the table is written
 * last: all or nothing. */
#include "tools/cohort/crop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"

typedef struct Args {
  const char *out;
  const char *flair;
  const char *rim;
  const char *subject;
  const char *readers;
  const char *size;
  const char *voxel;
  int map;
  int min_voxels;
  int units;
  double field;
  double te;
  int nan;
  bool regrid;
} Args;
typedef struct Job {
  Args a;
  CropRule rule;
  Table t;
  Tsv readers;
  char **file;
  /* written by this run */
  int nfiles;
  int cap;
  bool had_out;
  int done;
  int padded;
  int resampled;
  int unread;
  int dropped;
} Job;

/* ---- output ---- */
static Status crop_remember(Job *j, const char *file, const char *suffix, Error *e) {
  char path[PATH_LEN];
  if (j->nfiles == j->cap) {
    char **p = mem_grow(j->file, (size_t)j->cap * sizeof *p, (size_t)(j->cap + 256) * sizeof *p);
    if (!p) return err_set(e, ST_NOMEM, "out of memory");
    j->file = p;
    j->cap += 256;
  }
  TRY(path_format(path, e, "%s/%s%s", j->a.out, file, suffix));
  if (!(j->file[j->nfiles] = mem_strdup(path))) return err_set(e, ST_NOMEM, "out of memory");
  j->nfiles++;
  return ST_OK;
}

static void crop_forget(Job *j, bool remove) {
  for (int i = 0; i < j->nfiles; i++) {
    if (remove) {
      unlink(j->file[i]);
      /* anat, sub-..., the folder itself; those that hold something else stay */
      for (int up = 0; up < (j->had_out ? 2 : 3); up++) {
        char *slash = strrchr(j->file[i], '/');
        if (!slash) break;
        *slash = 0;
        rmdir(j->file[i]);
      }
    }
    mem_free(j->file[i]);
  }
  mem_free(j->file);
  j->file = NULL;
  j->nfiles = j->cap = 0;
}

static Status crop_write_volume(Job *j, const char *subject, const char *lesion, const char *what,
                                const char *col, const float *v, const Grid *g, const char *descrip,
                                const char *json, Error *e) {
  char name[300], path[340];
  patch_name(subject, lesion, what, name);
  TRY(crop_remember(j, name, ".nii.gz", e));
  if (json) TRY(crop_remember(j, name, ".json", e));
  TRY(patch_write(j->a.out, name, v, g, descrip, json, e));
  snprintf(path, sizeof path, "%s.nii.gz", name);
  return table_set(&j->t, col, path, e);
}

static void crop_quote_path(const char *path, char out[400]) { /* for JSON */
  size_t n = 0;
  for (; *path && n < 390; path++) {
    if (*path == '"' || *path == '\\') out[n++] = '\\';
    if ((unsigned char)*path >= 32) out[n++] = *path;
  }
  out[n] = 0;
}

/* What one patch met that its user should know. */
static void crop_say_patch(const Brain *b, const CropPatch *p, const CropRule *r,
                           const char *subject, const char *lesion) {
  for (int c = 0; c < CH_COUNT && !tool_quiet; c++) {
    if (p->holes[c])
      fprintf(stderr,
              "prlx crop: note: lesion %s of %s: %s: %lld voxels were NaN or infinite: %s\n",
              lesion, subject, b->vol[c].path, (long long)p->holes[c],
              r->nan == NAN_NEIGHBOURS ? "filled from their neighbours" : "taken as 0 (see --nan)");
    if (p->uncovered[c])
      fprintf(stderr, "prlx crop: note: lesion %s of %s: %s does not reach it: 0 there\n", lesion,
              subject, b->vol[c].path);
  }
}

/* Files and row of one lesion; the last row of the table is being filled. */
static Status crop_write_lesion(Job *j, const Brain *b, const CropLesion *l, const char *subject,
                                const char *lesion, Error *e) {
  CropPatch p;
  char json[1400], src[400];
  Status s = brain_patch(b, l, &j->rule, &p, e);
  if (s != ST_OK) return s;
  crop_say_patch(b, &p, &j->rule, subject, lesion);
  crop_quote_path(b->vol[CH_CHI].path, src);
  snprintf(json, sizeof json,
           "{\n  \"Units\": \"ppm\",\n  \"Sources\": [\"%s\"],\n  \"CropCentreVoxel\": [%.2f, "
           "%.2f, %.2f],\n  \"Resampled\": %s,\n  \"OutsideVolume\": \"%s\"\n}\n",
           src, l->centre[0], l->centre[1], l->centre[2], p.exact ? "false" : "true",
           p.padded ? "0 ppm" : "none");
  s = crop_write_volume(j, subject, lesion, "Chimap", "chi", p.vol[CH_CHI], &p.grid,
                        "prlx crop: susceptibility, ppm", json, e);
  if (s != ST_OK) goto done;
  if (p.vol[CH_FLAIR]) {
    s = crop_write_volume(j, subject, lesion, "FLAIR", "flair", p.vol[CH_FLAIR], &p.grid,
                          "prlx crop: T2-FLAIR", NULL, e);
    if (s != ST_OK) goto done;
  }
  if (p.vol[CH_RIM]) {
    s = crop_write_volume(j, subject, lesion, "label-rim_mask", "rim", p.vol[CH_RIM], &p.grid,
                          "prlx crop: rim", NULL, e);
    if (s != ST_OK) goto done;
  }
  s = crop_write_volume(j, subject, lesion, "label-lesion_mask", "mask", p.mask, &p.grid,
                        "prlx crop: lesion", NULL, e);
  if (s != ST_OK) goto done;
  j->done++;
  j->padded += p.padded;
  j->resampled += !p.exact;
done:
  patch_free(&p);
  return s;
}

/* ---- rows ---- */
static Status crop_start_row(Job *j, const char *subject, const char *lesion, const char *where,
                             Error *e) {
  for (int i = 0; i < j->t.nrow; i++)
    if (!strcmp(table_get(&j->t, i, "subject"), subject) &&
        !strcmp(table_get(&j->t, i, "lesion"), lesion))
      return err_set(e, ST_INVALID,
                     "%slesion %s of %s is already in %s/lesions.tsv (row %d); choose another "
                     "folder, or another --subject",
                     where, lesion, subject, j->a.out, i + 2);
  TRY(table_new_row(&j->t, e));
  TRY(table_set(&j->t, "subject", subject, e));
  return table_set(&j->t, "lesion", lesion, e);
}

static bool crop_same_lesion(const char *cell, const char *lesion, int id) {
  char *end;
  if (!strcmp(cell, lesion)) return true;
  const long v = strtol(cell, &end, 10);
  return end != cell && !*end && v == id;
}

/* reader1, reader2 from --readers: by subject (where the table has that column) and lesion name or
 * number. */
static Status crop_add_readers(Job *j, const char *subject, const char *lesion, int id, Error *e) {
  const Tsv *t = &j->readers;
  const int cs = tsv_column(t, "subject"), cl = tsv_column(t, "lesion"),
            c1 = tsv_column(t, "reader1"), c2 = tsv_column(t, "reader2");
  const char *v1 = "", *v2 = "";
  int hit = -1;
  for (int r = 0; r < t->nrow; r++) {
    if ((cs >= 0 && strcmp(tsv_get(t, r, cs), subject)) ||
        !crop_same_lesion(tsv_get(t, r, cl), lesion, id))
      continue;
    if (hit >= 0)
      return err_set(
          e, ST_FORMAT,
          "%s: rows %d and %d are both lesion %s of %s; expected every lesion once; remove one",
          t->path, hit + 2, r + 2, lesion, subject);
    hit = r;
    v1 = tsv_get(t, r, c1);
    v2 = tsv_get(t, r, c2);
    for (int k = 0; k < 2; k++) {
      const char *v = k ? v2 : v1;
      if (!tsv_missing(v) && strcmp(v, "0") && strcmp(v, "1"))
        return err_set(
            e, ST_FORMAT,
            "%s: row %d: reader%d is '%.40s'; expected 1 (rim), 0 (no rim) or n/a; correct it",
            t->path, r + 2, k + 1, v);
    }
    if (tsv_missing(v1) != tsv_missing(v2))
      return err_set(e, ST_FORMAT,
                     "%s: row %d: only one reader's label; expected both or n/a for both", t->path,
                     r + 2);
  }
  j->unread += hit < 0 || tsv_missing(v1);
  TRY(table_set(&j->t, "reader1", v1, e));
  return table_set(&j->t, "reader2", v2, e);
}

static void crop_say(const Brain *b, const char *where) {
  if (b->warning[0])
    fprintf(stderr, "prlx crop: note: %s%s: %s\n", where, b->vol[CH_CHI].path, b->warning);
  if (b->dropped)
    fprintf(stderr, "prlx crop: note: %s%d component%s smaller than --min-voxels left out\n", where,
            b->dropped, b->dropped == 1 ? "" : "s");
}

/* ---- one volume ---- */
static void crop_subject_of(const char *path, char out[100]) {
  const char *base = path_base(path);
  snprintf(out, 100, "%s%.*s", strncmp(base, "sub-", 4) ? "sub-" : "",
           (int)PRLX_MIN(strcspn(base, "_."), (size_t)60), base);
}

static Status crop_volume(Job *j, const char *chi, const char *labels, Error *e) {
  const char *const path[CH_COUNT] = {chi, j->a.rim, j->a.flair};
  Brain b;
  char own[100];
  Status s = brain_read(&b, path, labels, &j->rule, "", e);
  if (s != ST_OK) return s;
  crop_subject_of(chi, own);
  crop_say(&b, "");
  j->dropped += b.dropped;
  for (int i = 0; i < b.n && !tool_interrupted; i++) {
    char lesion[32];
    snprintf(lesion, sizeof lesion, "%02d", b.lesion[i].id);
    s = crop_start_row(j, j->a.subject ? j->a.subject : own, lesion, "", e);
    if (s != ST_OK) goto done;
    s = crop_write_lesion(j, &b, &b.lesion[i], j->a.subject ? j->a.subject : own, lesion, e);
    if (s != ST_OK) goto done;
    s = crop_add_readers(j, j->a.subject ? j->a.subject : own, lesion, b.lesion[i].id, e);
    if (s != ST_OK) goto done;
  }
done:
  brain_free(&b);
  return s;
}

/* ---- a table of volumes ---- */
static Status crop_carry_over(Job *j, const Tsv *t, int row, Error *e) {
  static const char *const own[] = {"subject", "lesion", "chi",    "flair",
                                    "rim",     "mask",   "labels", "label"};

  for (int c = 0; c < t->ncol; c++) {
    bool ours = false;
    for (int k = 0; k < COUNT_OF(own); k++) ours |= !strcmp(t->col[c], own[k]);
    if (!ours) TRY(table_set(&j->t, t->col[c], tsv_get(t, row, c), e));
  }
  return ST_OK;
}

static Status crop_row(Job *j, const Cohort *c, int i, Brain *b, char last[2][PATH_LEN], Error *e) {
  const Lesion *l = &c->lesion[i];
  const char *const path[CH_COUNT] = {l->chi, l->rim, l->flair};
  char where[400], labels[PATH_LEN];
  const char *cell = tsv_get(&c->table, l->row, tsv_column(&c->table, "labels")),
             *number = tsv_get(&c->table, l->row, tsv_column(&c->table, "label"));
  snprintf(where, sizeof where, "%.300s: row %d: ", c->table.path, l->row + 2);
  if (tsv_missing(cell))
    return err_set(e, ST_FORMAT,
                   "%sno file in column labels; expected the label map of the volume; fill it in",
                   where);
  char *end;
  const long id = strtol(tsv_missing(number) ? l->lesion : number, &end, 10);
  if (*end || id < 1)
    return err_set(e, ST_FORMAT,
                   "%slabel is '%.40s'; expected the number of the lesion in the label map", where,
                   tsv_missing(number) ? l->lesion : number);
  if (cell[0] == '/')
    TRY(path_format(labels, e, "%s", cell));
  else
    TRY(path_join(labels, c->dir, cell, e));
  if (strcmp(last[0], l->chi) || strcmp(last[1], labels)) {
    brain_free(b);
    TRY(brain_read(b, path, labels, &j->rule, where, e));
    TRY(path_format(last[0], e, "%s", l->chi));
    memcpy(last[1], labels, PATH_LEN);
    crop_say(b, where);
    j->dropped += b->dropped;
  }
  const CropLesion *k = brain_find(b, (int)id);
  if (!k)
    return err_set(e, ST_INVALID, "%slabel %ld is not in %.300s (%d lesions); correct column label",
                   where, id, labels, b->n);
  TRY(crop_start_row(j, l->subject, l->lesion, where, e));
  TRY(crop_write_lesion(j, b, k, l->subject, l->lesion, e));
  TRY(crop_carry_over(j, &c->table, l->row, e));
  j->unread += l->cls == CLASS_UNREAD;
  return ST_OK;
}

static Status crop_table(Job *j, const char *table, Error *e) {
  Cohort c;
  Brain b = {0};
  char(*last)[PATH_LEN] = mem_alloc(2 * PATH_LEN);
  if (!last) return err_set(e, ST_NOMEM, "out of memory");
  Status s = cohort_open(&c, table, e);
  if (s != ST_OK) goto done;
  if (tsv_column(&c.table, "labels") < 0) {
    s = err_set(e, ST_FORMAT,
                "%s: column 'labels' is missing; expected the label map of each volume (and "
                "'label', the lesion's number in it); or give CHIMAP and LABELS as two files",
                table);
    goto done;
  }
  Progress bar;
  progress_start(&bar, "crop", "lesion", c.n);
  for (int i = 0; i < c.n && !tool_interrupted; i++) {
    s = crop_row(j, &c, i, &b, last, e);
    if (s != ST_OK) break;
    progress_update(&bar, i + 1, NULL);
  }
  progress_end(&bar);
done:
  brain_free(&b);
  cohort_free(&c);
  mem_free(last);
  return s;
}

/* ---- command ---- */
static Status crop_describe_folder(const char *dir, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, dir, "dataset_description.json", e));
  static const char text[] = "{\n  \"Name\": \"Lesion patches (prlx crop)\",\n  \"BIDSVersion\": "
                             "\"1.9.0\",\n  \"DatasetType\": \"derivative\",\n  \"GeneratedBy\": "
                             "[{\"Name\": \"prlx crop\", \"Version\": \"" PRLX_VERSION "\"}]\n}\n";
  return file_exists(path) ? ST_OK : file_write_atomic(path, text, sizeof text - 1, e);
}

static Status crop_open_readers(Job *j, Error *e) {
  static const char *const need[] = {"lesion", "reader1", "reader2"};
  if (!j->a.readers) return ST_OK;
  TRY(tsv_read(j->a.readers, &j->readers, e));
  for (int k = 0; k < COUNT_OF(need); k++)
    if (tsv_column(&j->readers, need[k]) < 0)
      return err_set(
          e, ST_FORMAT,
          "%s: column '%s' is missing in row 1; expected lesion, reader1, reader2 and, for "
          "several subjects, subject; add it",
          j->a.readers, need[k]);
  return ST_OK;
}

static Status crop_lesions(Job *j, int n, char **arg, Error *e) {
  char table[PATH_LEN];
  TRY(path_join(table, j->a.out, "lesions.tsv", e));
  j->had_out = file_exists(j->a.out);
  TRY(crop_open_readers(j, e));
  if (file_exists(table)) TRY(table_add_tsv(&j->t, table, e));
  const int before = j->t.nrow;
  TRY(n == 1 ? crop_table(j, arg[0], e) : crop_volume(j, arg[0], arg[1], e));
  if (tool_interrupted) return err_set(e, ST_INTERRUPTED, "stopped; nothing written");
  TRY(crop_describe_folder(j->a.out, e));
  TRY(table_save(&j->t, table, e));
  printf("%d lesion%s -> %s (%d rows, %d new)\n", j->done, j->done == 1 ? "" : "s", table,
         j->t.nrow, j->t.nrow - before);
  if (j->resampled)
    printf("  %d resampled to %g x %g x %g mm\n", j->resampled, j->rule.voxel[0], j->rule.voxel[1],
           j->rule.voxel[2]);
  if (j->padded) printf("  %d at the border, filled up with 0 ppb\n", j->padded);
  if (j->unread)
    printf("  %d without readers' labels: n/a in reader1 and reader2; fill them in or give "
           "--readers\n",
           j->unread);
  printf("  next: prlx pack %s -o dataset.safetensors\n", table);
  return ST_OK;
}

/* What was written goes away again when a later lesion fails. */
static Status crop_into(Job *j, int n, char **arg, Error *e) {
  const Status s = crop_lesions(j, n, arg, e);
  crop_forget(j, s != ST_OK);
  return s;
}

int tool_crop(int argc, char **argv) {
  Job *j = mem_alloc(sizeof *j);
  if (!j) return EXIT_FAILED;
  Args *a = &j->a;
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("flair", &a->flair, NULL, "FILE",
              "T2-FLAIR of the same head; another grid is resampled through its affine"),
      OPT_STR("rim", &a->rim, NULL, "FILE", "rim mask, 0/1 or probability"),
      OPT_CHOICE("map", &a->map, "auto", "auto|labels|components",
                 "LABELS holds numbered lesions, or a mask whose 26-connected components are "
                 "the\nlesions; auto: components if it holds only 0 and 1"),
      OPT_INT("min-voxels", &a->min_voxels, "10", 1, 1000000, "smaller components are left out"),
      OPT_CHOICE(
          "units", &a->units, "ppm", "ppm|ppb|hz|rad|ratio",
          "of CHIMAP (BIDS: ppm); patches are in ppm. hz needs --field, rad --field\nand --te; "
          "ratio: pure numbers (1e-6 is 1 ppm)"),
      OPT_REAL("field", &a->field, "0", 0, 30, "tesla, for --units hz and rad"),
      OPT_REAL("te", &a->te, "0", 0, 1000, "echo spacing in ms that radians belong to"),
      OPT_CHOICE(
          "nan", &a->nan, "zero", "refuse|zero|neighbours",
          "what stands in for NaN and infinity inside a patch; outside of all they\ndo no harm"),
      OPT_FLAG("regrid", &a->regrid, "no",
               "take a label map on another grid than CHIMAP, by nearest voxel"),
      OPT_STR("subject", &a->subject, NULL, "NAME", "default: from the name of CHIMAP, sub-..."),
      OPT_STR("readers", &a->readers, NULL, "FILE",
              "table with lesion, reader1, reader2 (and subject)"),
      OPT_GROUP("Patch"),
      OPT_STR("size", &a->size, "64,64,24", "X,Y,Z", "voxels of a patch"),
      OPT_STR("voxel", &a->voxel, "0.4,0.4,1", "X,Y,Z",
              "mm; volumes with other voxels are resampled (Catmull-Rom, averaged where coarser)"),
      OPT_GROUP("Output"),
      OPT_STR("out", &a->out, "out/patches", "DIR",
              "folder of the patches; lesions.tsv there is made or appended to (also -o)"),
  };
  OptSpec spec = {.cmd = "crop",
                  .summary = "Cuts one patch per lesion out of whole volumes.",
                  .details =
                      "  prlx crop sub-01_Chimap.nii.gz sub-01_desc-lesions_dseg.nii.gz --flair "
                      "sub-01_FLAIR.nii.gz -o patches\n"
                      "  prlx crop whole-brain/lesions.tsv -o patches       (columns subject, "
                      "lesion, chi, labels, label, ...)\n\n"
                      "The patch is centred on the centroid of the lesion; its axes run right, "
                      "anterior, superior, along those of the volume. Its affine puts it\n"
                      "where it came from: open both in a viewer and they lie on each other. "
                      "Beyond the volume it is filled up with 0 ppb.",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "CHIMAP LABELS | TABLE.tsv",
                  .pos_min = 1,
                  .pos_max = 2};
  int rc = opts_parse(&spec, argc, argv);
  if (rc < 0) {
    Error e = {0};
    long long d[3];
    double *v = j->rule.voxel;
    char end;
    const bool table = str_ends_with(spec.args[0], ".tsv");
    j->rule = (CropRule){.map = (MapKind)a->map,
                         .min_voxels = a->min_voxels,
                         .units = (ChiUnits)a->units,
                         .to_ppm = chi_to_ppm((ChiUnits)a->units, a->field, a->te),
                         .nan = (NanRule)a->nan,
                         .regrid = a->regrid};
    if (sscanf(a->size, "%lld,%lld,%lld%c", &d[0], &d[1], &d[2], &end) != 3 || d[0] < 1 ||
        d[1] < 1 || d[2] < 1 || d[0] > 512 || d[1] > 512 || d[2] > 512)
      rc = tool_usage("crop",
                      "option --size: '%s' is not three numbers from 1 to 512, such as 64,64,24",
                      a->size);
    else if (sscanf(a->voxel, "%lf,%lf,%lf%c", &v[0], &v[1], &v[2], &end) != 3 ||
             !(v[0] > 0 && v[1] > 0 && v[2] > 0))
      rc = tool_usage("crop", "option --voxel: '%s' is not three lengths in mm, such as 0.4,0.4,1",
                      a->voxel);
    else if (a->units == UNITS_HZ && !(a->field > 0))
      rc = tool_usage("crop", "--units hz needs the field of the scanner: --field 3");
    else if (a->units == UNITS_RAD && !(a->field > 0 && a->te > 0))
      rc = tool_usage("crop", "--units rad needs the field in tesla and the echo spacing in ms: "
                              "--field 3 --te 4.6");
    else if (table != (spec.nargs == 1))
      rc = tool_usage("crop", "give one table (.tsv), or a Chimap and its label map");
    else if (table && (a->flair || a->rim || a->subject || a->readers))
      rc = tool_usage(
          "crop", "with a table, --flair, --rim, --subject and --readers come from its columns");
    else {
      for (int c = 0; c < 3; c++) j->rule.dim[c] = d[c];
      rc = crop_into(j, spec.nargs, spec.args, &e) == ST_OK ? EXIT_DONE : tool_fail("crop", &e);
    }
    opts_free(&spec);
  }
  table_free(&j->t);
  tsv_free(&j->readers);
  mem_free(j);
  return rc;
}
