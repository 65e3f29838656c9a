/* crop.c: `prlx crop`: whole volumes and lesion maps -> one patch per lesion and their rows in
 * lesions.tsv. What it writes: crop_rows.c. */
#include "tools/cohort/crop.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "io/formats/path.h"
#include "tools/cli/tool.h"
#include "tools/cohort/crop_opts.h"

typedef struct Args {
  const char *out;
  const char *flair;
  const char *rim;
  const char *subject;
  const char *session;
  const char *readers;
  CropOptions crop;
} Args;
/* ---- one volume ---- */
/* Volumes of two patients in two folders, or QSM_1.nii and QSM_2.nii, would be one patient. */
static Status crop_guess(const CropJob *j, const char *chi, const char *subject, Error *e) {
  for (int i = 0; i < j->t.nrow; i++)
    if (!strcasecmp(table_get(&j->t, i, "subject"), subject))
      return err_set(e, ST_INVALID,
                     "%s: says no patient (sub-...), and %s, made of its name, is in "
                     "%s/lesions.tsv (row %d); say whose it is with --subject",
                     chi, subject, j->out, i + 2);
  return ST_OK;
}

/* Patient and scan: what was said, else what the name of the map says. */
static Status crop_who(const CropJob *j, const Args *a, const char *chi, char subject[100],
                       char scan[BIDS_SCAN], Error *e) {
  BidsName name = {0}, said = {0};
  const char *label[ENT_COUNT], *base = path_base(chi);
  size_t length;
  /* a name that says nonsense does not matter where all of it is given */
  if (!a->subject || !a->session) TRY(bids_parse(&name, chi, e));
  for (const char *p = a->subject; p && *p; p++)
    if ((unsigned char)*p < 32 || *p == 127)
      return err_set(e, ST_INVALID,
                     "--subject holds a control character (byte %d); expected a name for a table",
                     (unsigned char)*p);
  if (a->subject) {
    TRY(bids_split_subject(&said, a->subject, &length, e));
    snprintf(subject, 100, "%.*s", (int)PRLX_MIN(length, (size_t)99), a->subject);
  } else if (name.sub[0])
    snprintf(subject, 100, "sub-%s", name.sub);
  else {
    snprintf(subject, 100, "sub-%.*s", (int)PRLX_MIN(strcspn(base, "_."), (size_t)60), base);
    TRY(crop_guess(j, chi, subject, e));
  }
  for (int k = 0; k < ENT_COUNT; k++) label[k] = said.scan[k][0] ? said.scan[k] : name.scan[k];
  if (a->session) label[ENT_SES] = a->session;
  return bids_scan(label, scan, e);
}

static Status crop_volume(CropJob *j, const Args *a, const char *chi, const char *labels,
                          Error *e) {
  const char *const path[CH_COUNT] = {chi, a->rim, a->flair};
  char subject[100], scan[BIDS_SCAN];
  const CropWho who = {subject, scan};
  BidsName name;
  TRY(crop_who(j, a, chi, subject, scan, e));
  TRY(crop_job_volume(j, path, labels, &who, e));
  if (!a->subject && bids_parse(&name, chi, e) == ST_OK && !name.sub[0])
    printf("%s says no patient (sub-...): called %s; --subject names another\n", chi, subject);
  return ST_OK;
}

/* ---- a table of volumes ---- */
static Status crop_carry_over(CropJob *j, const Tsv *t, int row, Error *e) {
  static const char *const own[] = {"subject", "lesion", "session", "acq",  "rec",    "run",
                                    "chi",     "flair",  "rim",     "mask", "labels", "label"};
  for (int c = 0; c < t->ncol; c++) {
    bool ours = false;
    for (int k = 0; k < COUNT_OF(own); k++) ours |= !strcmp(t->col[c], own[k]);
    if (!ours) TRY(table_set(&j->t, t->col[c], tsv_get(t, row, c), e));
  }
  return ST_OK;
}

static Status crop_row(CropJob *j, const Cohort *c, int i, Brain *b, char last[2][PATH_LEN],
                       Error *e) {
  const Lesion *l = &c->lesion[i];
  const char *const path[CH_COUNT] = {l->chi, l->rim, l->flair};
  char where[400], labels[PATH_LEN];
  const char *cell = tsv_get(&c->table, l->row, tsv_column(&c->table, "labels")),
             *number = tsv_get(&c->table, l->row, tsv_column(&c->table, "label"));
  snprintf(where, sizeof where, "%.300s: row %d: ", c->table.path, l->line);
  if (tsv_missing(cell))
    return err_set(e, ST_FORMAT,
                   "%sno file in column labels; expected the label map of the volume; fill it in",
                   where);
  long id = 0;
  if (!crop_number(tsv_missing(number) ? l->lesion : number, &id) || id < 1)
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
    crop_job_say(j, b, where);
  }
  const CropLesion *k = brain_find(b, (int)id);
  if (!k)
    return err_set(e, ST_INVALID, "%slabel %ld is not in %.300s (%d %s); correct column label%s",
                   where, id, labels, b->n, b->components ? "pieces of a mask" : "lesions",
                   b->components ? ", or give --map labels" : "");
  const CropWho who = {l->subject, l->scan};
  TRY(crop_job_lesion(j, b, k, &who, l->lesion, where, e));
  TRY(crop_carry_over(j, &c->table, l->row, e));
  j->unread += l->cls == CLASS_UNREAD;
  return ST_OK;
}

static Status crop_table(CropJob *j, const char *table, Error *e) {
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
static Status crop_into(CropJob *j, const Args *a, int n, char **arg, Error *e) {
  TRY(crop_job_begin(j, a->out, a->readers, e));
  TRY(n == 1 ? crop_table(j, arg[0], e) : crop_volume(j, a, arg[0], arg[1], e));
  return crop_job_end(j, "prlx crop", e);
}

int tool_crop(int argc, char **argv) {
  Args args = {0}, *a = &args;
  CropJob job = {0}, *j = &job;
  Opt t[] = {
      OPT_GROUP("Input"),
      OPT_STR("flair", &a->flair, NULL, "FILE",
              "T2-FLAIR of the same head; another grid is resampled through its affine"),
      OPT_STR("rim", &a->rim, NULL, "FILE", "rim mask, 0/1 or probability"),
      CROP_OPT_INPUT(a->crop),
      OPT_STR("subject", &a->subject, NULL, "NAME", "default: from the name of CHIMAP, sub-..."),
      OPT_STR("session", &a->session, NULL, "NAME",
              "visit; default: from the name or folder of CHIMAP, ses-..."),
      OPT_STR("readers", &a->readers, NULL, "FILE",
              "table with lesion, reader1, reader2 (and subject, session)"),
      OPT_GROUP("Patch"),
      CROP_OPT_PATCH(a->crop),
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
                      "lesion, session, chi, labels, label, ...)\n\n"
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
  if (rc >= 0) return rc;
  Error e = {0};
  const bool table = str_ends_with(spec.args[0], ".tsv");
  rc = crop_rule_read(&a->crop, "crop", &j->rule);
  if (rc != EXIT_DONE)
    ;
  else if (table != (spec.nargs == 1))
    rc = tool_usage("crop", "give one table (.tsv), or a Chimap and its label map");
  else if (table && (a->flair || a->rim || a->subject || a->session || a->readers))
    rc = tool_usage("crop", "with a table, --flair, --rim, --subject, --session and --readers "
                            "come from its columns");
  else {
    const Status s = crop_into(j, a, spec.nargs, spec.args, &e);
    crop_job_free(j, s != ST_OK);
    rc = s == ST_OK ? EXIT_DONE : tool_fail("crop", &e);
  }
  opts_free(&spec);
  return rc;
}
