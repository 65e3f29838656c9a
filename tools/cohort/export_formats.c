/* export_formats.c: the lists that nnU-Net, MONAI and TorchIO read.
 * nnU-Net: documentation/dataset_format.md of version 2 (channel_names, labels, numTraining,
 * file_ending; CASE_0000.nii.gz) and splits_final.json; MONAI: the decathlon list that
 * monai.data.load_decathlon_datalist reads; TorchIO has no list of its own: subjects.json holds the
 * arguments of torchio.Subject. */
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/formats/text.h"
#include "io/formats/tsv.h"
#include "tools/cli/tool.h"
#include "tools/cohort/export_cohort.h"

void export_root(const ExportJob *j, char out[120]) {
  out[0] = 0;
  if (j->format == EXPORT_NNUNET)
    snprintf(out, 120, "Dataset%03d_%.60s", j->number % 1000, j->dataset);
}

void export_file(const ExportJob *j, const ExportCase *x, int k, char out[200]) {
  const bool label = k == j->nch;
  const char *what = label ? "label" : channel_name(j->ch[k]);
  if (j->format == EXPORT_NNUNET && label)
    snprintf(out, 200, "labels%s/%s.nii.gz", x->test ? "Ts" : "Tr", x->name);
  else if (j->format == EXPORT_NNUNET)
    snprintf(out, 200, "images%s/%s_%04d.nii.gz", x->test ? "Ts" : "Tr", x->name, k);
  else
    snprintf(out, 200, "%s/%s_%s.nii.gz", label ? "labels" : "images", x->name, what);
}

/* ---- pieces ---- */
static const char *channel_title(Channel c) { return c == CH_FLAIR ? "FLAIR" : "Chimap"; }

static int case_class(const ExportCase *x) {
  const LesionClass c = x->c->lesion[x->row].cls;
  return c == CLASS_UNREAD ? -1 : (int)c;
}

/* Writes what `put` says to NAME in the folder of the data. */
static Status export_text(ExportJob *j, const char *name, void (*put)(const ExportJob *j, FILE *f),
                          Error *e) {
  TextFile t = {0};
  char root[120], path[PATH_LEN];
  export_root(j, root);
  TRY(path_format(path, e, "%s/%s%s%s", j->out, root, root[0] ? "/" : "", name));
  TRY(made_add(&j->made, path, e));
  TRY(text_begin(&t, path, e));
  put(j, t.stream);
  return text_commit(&t, path, e);
}

static int count_parts(const ExportJob *j, bool test) {
  int n = 0;
  for (int i = 0; i < j->n; i++) n += j->it[i].test == test;
  return n;
}

static void put_labels(const ExportJob *j, FILE *f, bool by_name) {
  if (by_name)
    fprintf(f, "{\"background\": 0, \"lesion\": 1%s}", j->rim ? ", \"rim\": 2" : "");
  else
    fprintf(f, "{\"0\": \"background\", \"1\": \"lesion\"%s}", j->rim ? ", \"2\": \"rim\"" : "");
}

/* ---- nnU-Net ---- */
static void put_nnunet(const ExportJob *j, FILE *f) {
  fprintf(f, "{\n  \"channel_names\": {");
  for (int k = 0; k < j->nch; k++)
    fprintf(f, "%s\"%d\": \"%s\"", k ? ", " : "", k, channel_title(j->ch[k]));
  fprintf(f, "},\n  \"labels\": ");
  put_labels(j, f, true);
  fprintf(f,
          ",\n  \"numTraining\": %d,\n  \"numTest\": %d,\n  \"file_ending\": \".nii.gz\",\n"
          "  \"name\": \"%s\",\n  \"description\": \"lesion patches, susceptibility in ppm\",\n"
          "  \"converted_by\": \"prlx export-cohort %s\"\n}\n",
          count_parts(j, false), count_parts(j, true), j->dataset, PRLX_VERSION);
}

/* Cases of one list of a fold, with commas. What a network made is never validated with. */
static void put_fold(const ExportJob *j, FILE *f, int fold, bool validation) {
  bool comma = false;
  for (int i = 0; i < j->n; i++) {
    const ExportCase *x = &j->it[i];
    if (x->test || (x->fold == fold) != validation || (validation && x->extra)) continue;
    fprintf(f, "%s\"%s\"", comma ? ", " : "", x->name);
    comma = true;
  }
}

static void put_splits(const ExportJob *j, FILE *f) {
  fprintf(f, "[");
  for (int k = 0; k < j->folds; k++) {
    fprintf(f, "%s\n  {\"train\": [", k ? "," : "");
    put_fold(j, f, k, false);
    fprintf(f, "],\n   \"val\": [");
    put_fold(j, f, k, true);
    fprintf(f, "]}");
  }
  fprintf(f, "\n]\n");
}

/* ---- MONAI, TorchIO ---- */
static void put_case_facts(const ExportCase *x, FILE *f) {
  const Lesion *l = &x->c->lesion[x->row];
  char subject[200], lesion[200];
  bids_json_text(l->subject, subject, sizeof subject);
  bids_json_text(l->lesion, lesion, sizeof lesion);
  fprintf(f, "\"subject\": \"%s\", \"scan\": \"%s\", \"lesion\": \"%s\", \"rim\": %d", subject,
          l->scan, lesion, case_class(x));
}

static void put_monai_case(const ExportJob *j, const ExportCase *x, FILE *f) {
  char name[200];
  fprintf(f, "{\"image\": [");
  for (int k = 0; k < j->nch; k++) {
    export_file(j, x, k, name);
    fprintf(f, "%s\"%s\"", k ? ", " : "", name);
  }
  export_file(j, x, j->nch, name);
  fprintf(f, "], \"label\": \"%s\", \"fold\": %d, ", name, x->fold);
  put_case_facts(x, f);
  fprintf(f, "}");
}

/* Validation is the last fold, as "fold" says of the others. */
static void put_monai_list(const ExportJob *j, FILE *f, const char *key, bool test,
                           bool validation) {
  bool comma = false;
  fprintf(f, "  \"%s\": [", key);
  for (int i = 0; i < j->n; i++) {
    const ExportCase *x = &j->it[i];
    const bool held = j->folds > 1 && x->fold == j->folds - 1;
    if (x->test != test || (!test && held != validation) || (validation && x->extra)) continue;
    fprintf(f, "%s\n    ", comma ? "," : "");
    put_monai_case(j, x, f);
    comma = true;
  }
  fprintf(f, "\n  ]");
}

static void put_monai(const ExportJob *j, FILE *f) {
  fprintf(
      f,
      "{\n  \"name\": \"%s\",\n  \"description\": \"lesion patches, susceptibility in ppm; rim: "
      "1 both readers, 2 one, 0 none, -1 not read\",\n"
      "  \"tensorImageSize\": \"3D\",\n  \"modality\": {",
      j->dataset);
  for (int k = 0; k < j->nch; k++)
    fprintf(f, "%s\"%d\": \"%s\"", k ? ", " : "", k, channel_title(j->ch[k]));
  fprintf(f, "},\n  \"labels\": ");
  put_labels(j, f, false);
  fprintf(f, ",\n");
  put_monai_list(j, f, "training", false, false);
  fprintf(f, ",\n");
  put_monai_list(j, f, "validation", false, true);
  fprintf(f, ",\n");
  put_monai_list(j, f, "test", true, false);
  fprintf(f, "\n}\n");
}

static void put_torchio(const ExportJob *j, FILE *f) {
  fprintf(f, "[");
  for (int i = 0; i < j->n; i++) {
    const ExportCase *x = &j->it[i];
    char name[200];
    fprintf(f, "%s\n  {\"name\": \"%s\", \"part\": \"%s\", \"fold\": %d, ", i ? "," : "", x->name,
            x->test ? "test" : "train", x->test ? -1 : x->fold);
    for (int k = 0; k < j->nch; k++) {
      export_file(j, x, k, name);
      fprintf(f, "\"%s\": \"%s\", ", channel_name(j->ch[k]), name);
    }
    export_file(j, x, j->nch, name);
    fprintf(f, "\"label\": \"%s\", ", name);
    put_case_facts(x, f);
    fprintf(f, ", \"made\": %s}", x->extra ? "true" : "false");
  }
  fprintf(f, "\n]\n");
}

/* ---- README, table ---- */
static void put_readme(const ExportJob *j, FILE *f) {
  fprintf(f,
          "Lesion patches exported by prlx export-cohort %s: susceptibility in ppm%s; label map: 0 "
          "background, 1 lesion%s.\n"
          "Test and folds are dealt by patient. cases.tsv says which case is which lesion of whom; "
          "rim: 1 both readers, 2 one, 0 none, -1 not read.\n\n",
          PRLX_VERSION, j->nch > 1 ? ", T2-FLAIR" : "", j->rim ? ", 2 rim" : "");
  if (j->format == EXPORT_NNUNET)
    fprintf(f,
            "nnU-Net: this folder lies in nnUNet_raw. After nnUNetv2_plan_and_preprocess copy "
            "splits_final.json into nnUNet_preprocessed/Dataset%03d_%s:\n"
            "nnU-Net would otherwise deal lesions of one patient to both sides.\n",
            j->number % 1000, j->dataset);
  else if (j->format == EXPORT_MONAI)
    fprintf(f, "MONAI: monai.data.load_decathlon_datalist(\"dataset.json\", True, \"training\"), "
               "then LoadImaged([\"image\", \"label\"]); also validation, test.\n");
  else
    fprintf(f,
            "TorchIO:\n  import json, torchio as tio\n"
            "  subjects = [tio.Subject(label=tio.LabelMap(s[\"label\"]), **{k: "
            "tio.ScalarImage(s[k]) for k in (\"chi\",%s)}, **{k: s[k] for k in (\"name\", "
            "\"subject\", \"rim\")})\n"
            "              for s in json.load(open(\"subjects.json\")) if s[\"part\"] == "
            "\"train\"]\n  dataset = tio.SubjectsDataset(subjects)\n",
            j->nch > 1 ? " \"flair\"" : "");
}

static Status export_table(ExportJob *j, Error *e) {
  static const char *const col[] = {"case", "subject", "scan", "lesion",
                                    "rim",  "part",    "fold", "made"};
  TsvWriter w = {0};
  char root[120], path[PATH_LEN];
  export_root(j, root);
  TRY(path_format(path, e, "%s/%s%scases.tsv", j->out, root, root[0] ? "/" : ""));
  TRY(made_add(&j->made, path, e));
  for (int k = 0; k < COUNT_OF(col); k++) tsv_cell(&w, "%s", col[k]);
  tsv_row_end(&w);
  for (int i = 0; i < j->n; i++) {
    const ExportCase *x = &j->it[i];
    const Lesion *l = &x->c->lesion[x->row];
    tsv_cell(&w, "%s", x->name);
    tsv_cell(&w, "%s", l->subject);
    tsv_cell(&w, "%s", l->scan);
    tsv_cell(&w, "%s", l->lesion);
    tsv_cell(&w, "%d", case_class(x));
    tsv_cell(&w, "%s", x->test ? "test" : "train");
    tsv_cell(&w, x->test ? "n/a" : "%d", x->fold);
    tsv_cell(&w, "%s", x->extra ? "yes" : "no");
    tsv_row_end(&w);
  }
  return tsv_commit(&w, path, e);
}

void export_last(const ExportJob *j, char out[160]) {
  char root[120];
  export_root(j, root);
  snprintf(out, 160, "%s%s%s", root, root[0] ? "/" : "",
           j->format == EXPORT_TORCHIO ? "subjects.json" : "dataset.json");
}

Status export_describe(ExportJob *j, Error *e) {
  TRY(export_text(j, "README.txt", put_readme, e));
  TRY(export_table(j, e));
  if (j->format == EXPORT_NNUNET) {
    TRY(export_text(j, "splits_final.json", put_splits, e));
    return export_text(j, "dataset.json", put_nnunet, e);
  }
  return j->format == EXPORT_MONAI ? export_text(j, "dataset.json", put_monai, e)
                                   : export_text(j, "subjects.json", put_torchio, e);
}
