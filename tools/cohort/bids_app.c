/* bids_app.c: `prlx bids`: called as BIDS Apps are, finds susceptibility maps, FLAIR, lesion maps
 * and rim masks in a BIDS tree and its derivatives, and cuts all lesions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"
#include "tools/cohort/bids_find.h"
#include "tools/cohort/crop_opts.h"

typedef struct Args {
  const char *labels;
  const char *labels_too; /* --participant_label */
  const char *sessions;
  const char *sessions_too;
  const char *lesions;
  const char *readers;
  CropOptions crop;
  bool dry_run;
} Args;

/* A lesion is smaller than this; tissue classes are larger. */
#define LARGEST_LESION_ML 200.0

/* ---- lists of labels ---- */
enum { MAX_LABELS = 4096 };
typedef struct LabelList {
  char *text; /* the labels, commas replaced by ends */
  const char *item[MAX_LABELS];
  int n;
} LabelList;

/* Adds the labels of "01,02 03". */
static Status labels_add(LabelList *l, char *text, Error *e) {
  for (char *p = strtok(text, ", "); p; p = strtok(NULL, ", ")) {
    if (l->n == MAX_LABELS) return err_set(e, ST_INVALID, "more than %d labels", MAX_LABELS);
    l->item[l->n++] = p;
  }
  return ST_OK;
}

/* option: what stood behind --participant-label; more: arguments that followed it. */
static Status labels_read(LabelList *l, const char *option, int nmore, char **more, Error *e) {
  size_t bytes = option ? strlen(option) + 2 : 2;
  for (int i = 0; i < nmore; i++) bytes += strlen(more[i]) + 1;
  l->n = 0;
  if (!(l->text = mem_alloc(bytes))) return err_set(e, ST_NOMEM, "out of memory");
  size_t at = (size_t)snprintf(l->text, bytes, "%s", option ? option : "");
  for (int i = 0; i < nmore; i++) at += (size_t)snprintf(l->text + at, bytes - at, ",%s", more[i]);
  return labels_add(l, l->text, e);
}

/* ---- one map ---- */
/* A dseg that does not say what of may be one of tissues. */
static Status check_tissue(const Brain *b, const char *path, Error *e) {
  double size[3];
  grid_voxel_size(&b->grid[CH_CHI], size);
  const double ml = size[0] * size[1] * size[2] * 1e-3;
  for (int i = 0; i < b->n; i++)
    if ((double)b->lesion[i].voxels * ml > LARGEST_LESION_ML)
      return err_set(e, ST_INVALID,
                     "%s: label %d takes %.0f ml; expected lesions, of at most %.0f ml: this looks "
                     "like a map of tissues; name the lesion map desc-lesions_dseg or "
                     "label-lesion_mask, or say which it is: --lesions NAME",
                     path, b->lesion[i].id, (double)b->lesion[i].voxels * ml, LARGEST_LESION_ML);
  return ST_OK;
}

static Status app_scan(const BidsFile *chi, char scan[BIDS_SCAN], Error *e) {
  const char *label[ENT_COUNT];
  for (int k = 0; k < ENT_COUNT; k++) label[k] = chi->name.scan[k];
  return bids_scan(label, scan, e);
}

/* plain: maps that do not say what of, so far. */
static Status app_crop(CropJob *j, const BidsMatch *m, int *plain, Error *e) {
  const char *const path[CH_COUNT] = {m->chi->path, m->rim ? m->rim->path : NULL,
                                      m->flair ? m->flair->path : NULL};
  char subject[BIDS_LABEL + 8], scan[BIDS_SCAN];
  const CropWho who = {subject, scan};
  snprintf(subject, sizeof subject, "sub-%s", m->chi->name.sub);
  TRY(app_scan(m->chi, scan, e));
  if (m->plain) {
    Brain b;
    TRY(brain_read(&b, path, m->lesions->path, &j->rule, "", e));
    const Status s = check_tissue(&b, m->lesions->path, e);
    brain_free(&b);
    TRY(s);
    if (++*plain == 1)
      fprintf(stderr,
              "prlx bids: note: %s: taken as the lesion map, as others like it; desc-lesions_dseg "
              "or label-lesion_mask would say so\n",
              m->lesions->path);
  }
  return crop_job_volume(j, path, m->lesions->path, &who, e);
}

static void app_list(const BidsMatch *m) {
  printf("%s\n  lesions  %s\n  flair    %s\n  rim      %s\n", m->chi->path,
         m->lesions ? m->lesions->path : "n/a (left out)", m->flair ? m->flair->path : "n/a",
         m->rim ? m->rim->path : "n/a");
}

/* ---- the run ---- */
/* Nothing is written before all of the tree makes sense. */
static Status app_check(const Args *a, const BidsTree *t, const char *input, Error *e) {
  int maps = 0, cropped = 0;
  for (int i = 0; i < t->n; i++) {
    BidsMatch m;
    if (strcmp(t->file[i].name.suffix, "Chimap")) continue;
    TRY(bids_match(t, &t->file[i], a->lesions, &m, e));
    maps++;
    cropped += m.lesions != NULL;
  }
  if (!maps)
    return err_set(
        e, ST_INVALID,
        "%s: no susceptibility map; expected sub-LABEL/[ses-LABEL/]anat/..._Chimap.nii.gz "
        "in it or in derivatives/",
        input);
  if (!cropped)
    return err_set(e, ST_INVALID,
                   "%s: no lesion map; expected ..._desc-lesions_dseg.nii.gz or "
                   "..._label-lesion_mask.nii.gz beside a Chimap, or in derivatives/%s",
                   input, a->lesions ? "; leave --lesions out" : "");
  return ST_OK;
}

static Status app_maps(CropJob *j, const Args *a, const BidsTree *t, Error *e) {
  int plain = 0;
  for (int i = 0; i < t->n && !tool_interrupted; i++) {
    BidsMatch m;
    if (strcmp(t->file[i].name.suffix, "Chimap")) continue;
    TRY(bids_match(t, &t->file[i], a->lesions, &m, e));
    if (a->dry_run)
      app_list(&m);
    else if (m.lesions)
      TRY(app_crop(j, &m, &plain, e));
    else
      fprintf(stderr, "prlx bids: note: %s: no lesion map of this scan; left out\n", m.chi->path);
  }
  return ST_OK;
}

/* Every label that was asked for is somebody's. */
static Status app_check_labels(const BidsTree *t, const LabelList *l, const char *input, Error *e) {
  for (int i = 0; i < l->n; i++) {
    const char *want = strncmp(l->item[i], "sub-", 4) ? l->item[i] : l->item[i] + 4;
    bool found = false;
    for (int k = 0; k < t->n && !found; k++) found = !strcmp(t->file[k].name.sub, want);
    if (!found)
      return err_set(e, ST_INVALID,
                     "%s: no volumes of sub-%s; expected a folder of that name with a Chimap; "
                     "correct --participant-label",
                     input, want);
  }
  return ST_OK;
}

static bool app_has_map(const BidsTree *t, const char *sub) {
  for (int i = 0; i < t->n; i++)
    if (!strcmp(t->file[i].name.sub, sub) && !strcmp(t->file[i].name.suffix, "Chimap")) return true;
  return false;
}

static bool app_wanted(const LabelList *l, const char *sub) {
  for (int i = 0; i < l->n; i++)
    if (!strcmp(strncmp(l->item[i], "sub-", 4) ? l->item[i] : l->item[i] + 4, sub)) return true;
  return l->n == 0;
}

/* Patients whose map has another name or format, or is not there, would be missed in silence. */
static Status app_note_missing(const BidsTree *t, const LabelList *l, const char *input, Error *e) {
  enum { SHOWN = 4 };
  FolderList f;
  int missing = 0;
  TRY(folder_read(input, NULL, &f, e));
  for (int i = 0; i < f.n; i++) {
    char path[PATH_LEN];
    const char *name = f.name[i];
    if (strncmp(name, "sub-", 4) || app_has_map(t, name + 4) || !app_wanted(l, name + 4)) continue;
    if (path_join(path, input, name, NULL) != ST_OK || !os_is_folder(path)) continue;
    if (missing++ < SHOWN) fprintf(stderr, "%s%s", missing == 1 ? "prlx bids: note: " : ", ", name);
  }
  folder_free(&f);
  if (missing > SHOWN) fprintf(stderr, " and %d more", missing - SHOWN);
  if (missing) fprintf(stderr, ": no susceptibility map (..._Chimap.nii.gz or .nii); left out\n");
  return ST_OK;
}

static Status app_tree(CropJob *j, const Args *a, const BidsTree *t, const char *input,
                       const char *output, const LabelList *labels, Error *e) {
  if (!t->subjects && !labels->n)
    return err_set(e, ST_INVALID, "%s: no folders sub-...; expected a BIDS dataset", input);
  TRY(app_check_labels(t, labels, input, e));
  TRY(app_check(a, t, input, e));
  TRY(app_note_missing(t, labels, input, e));
  if (a->dry_run) return app_maps(j, a, t, e);
  TRY(crop_job_begin(j, output, a->readers, e));
  TRY(app_maps(j, a, t, e));
  return crop_job_end(j, "prlx bids", e);
}

/* The folder without links, as far as it is there, and the rest of its name. */
static bool real_folder(const char *path, char out[OS_PATH]) {
  char head[PATH_LEN];
  if (path_format(head, NULL, "%s", path) != ST_OK) return false;
  while (!os_real_path(*head ? head : ".", out)) {
    char *slash = strrchr(head, '/');
    if (!*head || slash == head) return false;
    *(slash ? slash : head) = 0;
  }
  const char *rest = path + strlen(head);
  const size_t n = strlen(out);
  snprintf(out + n, OS_PATH - n, "%s%s", *rest && *rest != '/' ? "/" : "", rest);
  return true;
}

/* Patches among the scans that they are cut from would be taken for scans, or hide them. */
static Status app_check_output(const char *input, const char *output, Error *e) {
  char in[OS_PATH], out[OS_PATH];
  if (!real_folder(input, in) || !real_folder(output, out)) return ST_OK;
  const size_t n = strlen(in);
  if (strncmp(in, out, n) || (out[n] && out[n] != '/')) return ST_OK;
  const char *rest = out + n + strspn(out + n, "/");
  if (*rest && strncmp(rest, "sub-", 4)) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: OUTPUT is %s INPUT %s; patches would lie among the scans; choose another "
                 "folder, such as %s/derivatives/prlx",
                 output, *rest ? "the folder of a patient of" : "the folder of", input, input);
}

static Status app_run(CropJob *j, const Args *a, const char *input, const char *output,
                      const LabelList *labels, const LabelList *sessions, Error *e) {
  BidsTree t = {0};
  TRY(app_check_output(input, output, e));
  Status s = bids_tree_open(&t, input, labels->item, labels->n, sessions->item, sessions->n,
                            file_exists(output) ? output : NULL, e);
  if (s != ST_OK) goto done;
  s = app_tree(j, a, &t, input, output, labels, e);
done:
  bids_tree_free(&t);
  return s;
}

/* The label options in either spelling, and what follows them, as BIDS Apps are called. */
static int app_start(CropJob *j, const Args *a, const OptSpec *spec) {
  const char *labels = a->labels ? a->labels : a->labels_too,
             *sessions = a->sessions ? a->sessions : a->sessions_too;
  LabelList *l = mem_alloc(2 * sizeof *l);
  Error e = {0};
  Status s = l ? ST_OK : err_set(&e, ST_NOMEM, "out of memory");
  if (s != ST_OK) goto done;
  s = labels_read(&l[0], labels, spec->nargs - 3, spec->args + 3, &e);
  if (s != ST_OK) goto done;
  s = labels_read(&l[1], sessions, 0, NULL, &e);
  if (s != ST_OK) goto done;
  s = app_run(j, a, spec->args[0], spec->args[1], &l[0], &l[1], &e);
done:
  crop_job_free(j, s != ST_OK);
  for (int i = 0; l && i < 2; i++) mem_free(l[i].text);
  mem_free(l);
  return s == ST_OK ? EXIT_DONE : tool_fail("bids", &e);
}

int tool_bids(int argc, char **argv) {
  Args args = {0}, *a = &args;
  CropJob job = {0};
  Opt t[] = {
      OPT_GROUP("Which"),
      OPT_STR("participant-label", &a->labels, NULL, "LABEL...",
              "patients, 01 or sub-01, separated by commas or blanks; default: all"),
      OPT_STR("participant_label", &a->labels_too, NULL, "LABEL...", "the same"),
      OPT_STR("session-label", &a->sessions, NULL, "LABEL...", "visits; default: all"),
      OPT_STR("session_label", &a->sessions_too, NULL, "LABEL...", "the same"),
      OPT_STR("lesions", &a->lesions, NULL, "NAME",
              "desc or label of the lesion maps, where several would do"),
      OPT_FLAG("dry-run", &a->dry_run, "no", "only show what belongs together"),
      OPT_GROUP("Volumes"),
      CROP_OPT_INPUT(a->crop),
      OPT_STR("readers", &a->readers, NULL, "FILE",
              "table with subject, lesion, reader1, reader2 (and session)"),
      OPT_GROUP("Patch"),
      CROP_OPT_PATCH(a->crop),
  };
  OptSpec spec = {
      .cmd = "bids",
      .summary = "Cuts all lesions of a BIDS dataset, called as BIDS Apps are.",
      .details =
          "  prlx bids /data/study /data/study/derivatives/prlx participant\n"
          "  prlx bids study out participant --participant-label 01 02 --session-label 2\n\n"
          "For each ..._Chimap of the dataset and its derivatives: lesions from "
          "..._desc-lesions_dseg, ..._label-lesion_mask or label-L of\n"
          "the same patient and scan, FLAIR and rim mask (label-rim) where they are; a space "
          "entity must be the map's, or QSM or Chimap.\n"
          "OUTPUT gets lesions.tsv and a patch per lesion, a BIDS derivative dataset; sessions "
          "are a column. Next: prlx pack OUTPUT/lesions.tsv.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "INPUT OUTPUT participant",
      .pos_min = 3,
      .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  if (strcmp(spec.args[2], "participant"))
    rc = tool_usage("bids", "the third argument is '%.40s'; only the level participant is there",
                    spec.args[2]);
  else if (spec.nargs > 3 && !a->labels && !a->labels_too)
    rc = tool_usage("bids", "'%.40s' is one argument too many; give INPUT OUTPUT participant",
                    spec.args[3]);
  else {
    rc = crop_rule_read(&a->crop, "bids", &job.rule);
    if (rc == EXIT_DONE) rc = app_start(&job, a, &spec);
  }
  opts_free(&spec);
  return rc;
}
