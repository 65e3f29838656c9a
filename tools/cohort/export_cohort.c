/* export_cohort.c: `prlx export-cohort`: a cohort in the folders and lists that nnU-Net, MONAI and
 * TorchIO train from, with folds by patient. */
#include "tools/cohort/export_cohort.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "core/rng.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/folder.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

#define STREAM_EXPORT ((uint64_t)7)

typedef struct Args {
  const char *out;
  const char *channels;
  const char *name;
  int format;
  int number;
  int rim;
  int units;
  double threshold;
  double test;
  int64_t seed;
  bool distinct;
} Args;
enum { RIM_AUTO, RIM_YES, RIM_NO };

/* ---- cases ---- */
/* Letters, digits, - and _ only: nnU-Net takes what stands before _0000 as the case. */
static void case_name(const Lesion *l, char out[100]) {
  char title[256];
  size_t n = 0;
  lesion_title(l, title, sizeof title);
  for (const char *p = title; *p && n < 99; p++)
    if (isalnum((unsigned char)*p) || *p == '-' || *p == '_') out[n++] = *p;
  out[n] = 0;
}

static int case_order(const void *a, const void *b) {
  const ExportCase *p = *(ExportCase *const *)a, *q = *(ExportCase *const *)b;
  const int d = strcmp(p->name, q->name);
  return d ? d : (p > q) - (p < q);
}

static int patient_order(const void *a, const void *b) {
  const ExportCase *p = *(ExportCase *const *)a, *q = *(ExportCase *const *)b;
  const int d = strcmp(p->c->lesion[p->row].patient, q->c->lesion[q->row].patient);
  return d ? d : (p > q) - (p < q);
}

/* Numbers of patients in the order of their first rows; names that two cases share are refused. */
static Status number_cases(ExportJob *j, Error *e) {
  ExportCase **v = mem_alloc((size_t)j->n * sizeof *v);
  int *first = mem_alloc((size_t)j->n * sizeof *first);
  Status s = v && first ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
  if (s != ST_OK) goto done;
  for (int i = 0; i < j->n; i++) v[i] = &j->it[i];
  qsort(v, (size_t)j->n, sizeof *v, case_order);
  for (int i = 1; i < j->n; i++)
    if (!strcmp(v[i]->name, v[i - 1]->name)) {
      const Lesion *a = &v[i - 1]->c->lesion[v[i - 1]->row], *b = &v[i]->c->lesion[v[i]->row];
      s = err_set(e, ST_INVALID,
                  "%s: row %d and row %d of %s are both case %s; expected every lesion once; leave "
                  "one out or rename it",
                  v[i - 1]->c->table.path, a->line, b->line, v[i]->c->table.path, v[i]->name);
      goto done;
    }
  qsort(v, (size_t)j->n, sizeof *v, patient_order);
  for (int i = 0, head = 0; i < j->n; i++) {
    const char *a = v[i]->c->lesion[v[i]->row].patient,
               *b = v[head]->c->lesion[v[head]->row].patient;
    if (strcmp(a, b)) head = i;
    first[v[i] - j->it] = (int)(v[head] - j->it);
  }
  for (int i = 0; i < j->n; i++)
    j->it[i].patient = first[i] == i ? j->patients++ : j->it[first[i]].patient;
done:
  mem_free(v);
  mem_free(first);
  return s;
}

static Status make_cases(ExportJob *j, const Cohort *c, int ntables, Error *e) {
  int n = 0;
  for (int t = 0; t < ntables; t++) n += c[t].n;
  if (!(j->it = mem_alloc((size_t)n * sizeof *j->it)))
    return err_set(e, ST_NOMEM, "out of memory for %d lesions", n);
  for (int t = 0; t < ntables; t++)
    for (int i = 0; i < c[t].n; i++) {
      const Lesion *l = &c[t].lesion[i];
      ExportCase *x = &j->it[j->n++];
      *x = (ExportCase){.c = &c[t], .row = i, .extra = cohort_made(&c[t], l->row)};
      case_name(l, x->name);
      if (!l->mask)
        return err_set(e, ST_INVALID,
                       "%s: row %d: no lesion mask; expected one for the label map; fill in column "
                       "mask or remove the row",
                       c[t].table.path, l->line);
    }
  return number_cases(j, e);
}

/* ---- folds and test, by patient ---- */
typedef struct ExportPatient {
  int rims; /* lesions that both readers call so */
  int order;
  int number;
} ExportPatient;
static int deal_order(const void *a, const void *b) {
  const ExportPatient *p = a, *q = b;
  const int x = p->rims > 0, y = q->rims > 0;
  return x != y ? y - x : p->order - q->order;
}

/* Patients with rims first, each group in shuffled order, dealt in turn: a share to the test, the
 * others to the folds, so that every part has its share of rims. */
static Status deal_patients(ExportJob *j, double share, uint64_t seed, Error *e) {
  ExportPatient *p = mem_alloc((size_t)j->patients * sizeof *p);
  int *slot = mem_alloc((size_t)j->patients * sizeof *slot);
  Rng r = {.seed = seed, .subsequence = STREAM_EXPORT};
  if (!p || !slot) {
    mem_free(p);
    mem_free(slot);
    return err_set(e, ST_NOMEM, "out of memory");
  }
  for (int i = 0; i < j->patients; i++) p[i] = (ExportPatient){.order = i, .number = i};
  for (int i = j->patients - 1; i > 0; i--) {
    const int k = (int)rng_below(&r, i + 1), t = p[i].order;
    p[i].order = p[k].order;
    p[k].order = t;
  }
  for (int i = 0; i < j->n; i++)
    p[j->it[i].patient].rims +=
        !j->it[i].extra && j->it[i].c->lesion[j->it[i].row].cls == CLASS_RIM;
  qsort(p, (size_t)j->patients, sizeof *p, deal_order);
  const int held =
      share > 0 ? PRLX_MIN(PRLX_MAX((int)lround(share * j->patients), 1), j->patients - 1) : 0;
  j->folds = PRLX_MIN(EXPORT_FOLDS, j->patients - held);
  for (int i = 0, fold = 0; i < j->patients; i++) {
    const bool test = (i + 1) * held / j->patients > i * held / j->patients;
    slot[p[i].number] = test ? -1 : fold++ % j->folds;
  }
  for (int i = 0; i < j->n; i++) {
    const int k = slot[j->it[i].patient];
    j->it[i].test = k < 0;
    j->it[i].fold = k < 0 ? 0 : k;
  }
  mem_free(p);
  mem_free(slot);
  return ST_OK;
}

/* A patient of the test may not come back as a network's image of one of their lesions. */
static void drop_made_of_test(ExportJob *j) {
  int n = 0;
  for (int i = 0; i < j->n; i++)
    if (!j->it[i].extra || !j->it[i].test) j->it[n++] = j->it[i];
  j->n = n;
}

/* ---- volumes ---- */
static Status write_case_volume(ExportJob *j, const ExportCase *x, int k, const float *v,
                                const Grid *g, NiftiType type, Error *e) {
  const int64_t dim[4] = {g->dim[0], g->dim[1], g->dim[2], 1};
  char root[120], name[200], path[PATH_LEN];
  export_root(j, root);
  export_file(j, x, k, name);
  TRY(path_format(path, e, "%s/%s%s%s", j->out, root, root[0] ? "/" : "", name));
  *strrchr(path, '/') = 0;
  TRY(dir_make(path, e));
  path[strlen(path)] = '/';
  TRY(made_add(&j->made, path, e));
  return nifti_write_as(path, v, dim, g->affine, type,
                        k == 0 ? "prlx export-cohort: susceptibility, ppm" : "prlx export-cohort",
                        e);
}

/* 0 background, 1 lesion, 2 rim. */
static Status write_label(ExportJob *j, const ExportCase *x, const LesionVolumes *v, Error *e) {
  const int64_t n = grid_voxels(&v->grid);
  float *label = mem_alloc((size_t)n * sizeof *label);
  if (!label) return err_set(e, ST_NOMEM, "out of memory");
  for (int64_t i = 0; i < n; i++) {
    label[i] = v->mask[i] > 0;
    if (j->rim && v->vol[CH_RIM][i] >= (float)j->threshold) label[i] = 2;
  }
  const Status s = write_case_volume(j, x, j->nch, label, &v->grid, NIFTI_UINT8, e);
  mem_free(label);
  return s;
}

static Status write_case(ExportJob *j, const ExportCase *x, Error *e) {
  LesionVolumes v;
  unsigned mask = j->rim ? 1u << CH_RIM : 0;
  char warning[256];
  for (int k = 0; k < j->nch; k++) mask |= 1u << j->ch[k];
  TRY(lesion_read(x->c, x->row, mask, j->units, NAN_REFUSE, &v, warning, e));
  if (warning[0]) fprintf(stderr, "prlx export-cohort: note: %s: %s\n", x->name, warning);
  const int64_t n = grid_voxels(&v.grid);
  for (int64_t i = 0; i < n; i++)
    v.vol[CH_CHI][i] = (float)(v.vol[CH_CHI][i] * v.scale[CH_CHI] * 1e-3);
  Status s = ST_OK;
  for (int k = 0; k < j->nch; k++) {
    s = write_case_volume(j, x, k, v.vol[j->ch[k]], &v.grid, NIFTI_FLOAT32, e);
    if (s != ST_OK) goto done;
  }
  s = write_label(j, x, &v, e);
done:
  lesion_free(&v);
  return s;
}

static Status write_cases(ExportJob *j, Error *e) {
  Progress bar;
  Status s = ST_OK;
  progress_start(&bar, "export", "lesion", j->n);
  for (int i = 0; i < j->n && s == ST_OK && !tool_interrupted; i++) {
    s = write_case(j, &j->it[i], e);
    progress_update(&bar, i + 1, NULL);
  }
  progress_end(&bar);
  return s == ST_OK && tool_interrupted ? err_set(e, ST_INTERRUPTED, "stopped; nothing written")
                                        : s;
}

/* ---- what there is ---- */
/* Has every lesion this file? */
static bool all_have(const ExportJob *j, Channel ch) {
  for (int i = 0; i < j->n; i++) {
    const Lesion *l = &j->it[i].c->lesion[j->it[i].row];
    if (!(ch == CH_FLAIR ? l->flair : l->rim)) return false;
  }
  return true;
}

static void choose_channels(ExportJob *j, const Args *a) {
  if (!a->channels) {
    j->ch[0] = CH_CHI;
    j->ch[1] = CH_FLAIR;
    j->nch = all_have(j, CH_FLAIR) ? 2 : 1;
  }
  j->rim = a->rim == RIM_YES || (a->rim == RIM_AUTO && all_have(j, CH_RIM));
}

static Status check_folder(const ExportJob *j, Error *e) {
  static const char *const beside[] = {"README.txt", "cases.tsv", "splits_final.json"};
  char last[160], path[PATH_LEN];
  export_last(j, last);
  TRY(path_join(path, j->out, last, e));
  if (file_exists(path))
    return err_set(e, ST_INVALID,
                   "%s: the folder already holds a data set; choose another one, or remove it",
                   path);
  /* a README of somebody else is found before the volumes are written, not after */
  *strrchr(path, '/') = 0;
  for (int i = 0; i < COUNT_OF(beside); i++) TRY(outputs_member(path, beside[i], e));
  tool_folder_until(j->out, last);
  return ST_OK;
}

static void export_forget(ExportJob *j, bool remove) {
  made_end(&j->made, j->out, remove);
  mem_free(j->it);
}

static void export_summary(const ExportJob *j) {
  static const char *const what[] = {"nnU-Net", "MONAI", "TorchIO"};
  int test = 0, extra = 0;
  char root[120], list[32];
  export_root(j, root);
  channels_text(j->ch, j->nch, list);
  for (int i = 0; i < j->n; i++) {
    test += j->it[i].test;
    extra += j->it[i].extra;
  }
  printf("%d lesions of %d patients for %s in %s%s%s\n", j->n, j->patients, what[j->format], j->out,
         root[0] ? "/" : "", root);
  printf(
      "  %d to train with (%d folds by patient), %d for the test; channels %s; labels lesion%s\n",
      j->n - test, j->folds, test, list, j->rim ? ", rim" : "");
  if (j->folds == 1) printf("  one patient: nobody is left to validate with\n");
  if (extra) printf("  %d made by a network: in training parts only\n", extra);
}

static Status export_tables(ExportJob *j, const Args *a, const Cohort *c, int ntables, Error *e) {
  if (!a->distinct) TRY(cohort_check_ids(c, ntables, e));
  TRY(make_cases(j, c, ntables, e));
  TRY(deal_patients(j, a->test, (uint64_t)a->seed, e));
  drop_made_of_test(j);
  choose_channels(j, a);
  TRY(check_folder(j, e));
  TRY(write_cases(j, e));
  TRY(export_describe(j, e));
  tool_folder_whole(j->out);
  export_summary(j);
  return ST_OK;
}

static Status export_run(ExportJob *j, const Args *a, int n, char **arg, Error *e) {
  Cohort *c = mem_alloc((size_t)n * sizeof *c);
  int open = 0, twins;
  char note[400];
  Status s = c ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
  if (s != ST_OK) goto done;
  for (; open < n; open++) {
    s = cohort_open_ids(&c[open], arg[open], a->distinct, e);
    if (s != ST_OK) goto done;
  }
  for (int i = 0; i < n; i++) tool_note_readers("export-cohort", &c[i].table);
  if (a->distinct && (twins = cohort_twins(c, n, note)))
    fprintf(stderr, "prlx export-cohort: note: %s%s\n", note, twins > 1 ? "; and others" : "");
  s = outputs_foreign(j->out, e);
  if (s != ST_OK) goto done;
  s = tool_folder(j->out, e);
  if (s != ST_OK) goto done;
  s = export_tables(j, a, c, n, e);
done:
  export_forget(j, s != ST_OK);
  for (int i = 0; i < open; i++) cohort_free(&c[i]);
  mem_free(c);
  return s;
}

/* ---- command ---- */
int tool_export_cohort(int argc, char **argv) {
  Args a = {0};
  Opt t[] = {
      OPT_GROUP("Output"),
      OPT_STR("out", &a.out, NULL, "DIR", "folder of the data set (also -o)"),
      OPT_CHOICE("format", &a.format, "nnunet", "nnunet|monai|torchio",
                 "nnunet: DatasetNNN_NAME with imagesTr, labelsTr, dataset.json, _0000 names;\n"
                 "monai: a decathlon list, dataset.json; torchio: subjects.json"),
      OPT_STR("name", &a.name, "Lesions", "NAME", "of the data set"),
      OPT_INT("number", &a.number, "700", 1, 999, "nnU-Net's number of the data set"),
      OPT_GROUP("What"),
      OPT_STR("channels", &a.channels, NULL, "LIST",
              "chi, or chi,flair; default: FLAIR, too, if every lesion has it"),
      OPT_CHOICE("rim", &a.rim, "auto", "auto|yes|no",
                 "label 2 for the rim; auto: if every lesion has a rim mask"),
      OPT_REAL("rim-threshold", &a.threshold, "0.5", 0.001, 1, "of the rim probability"),
      OPT_CHOICE("units", &a.units, "ppm", "ppm|ppb", "of the Chimap files (BIDS: ppm)"),
      OPT_GROUP("Split"),
      OPT_REAL("test", &a.test, "0.2", 0, 0.9, "share of the patients held out for the test"),
      OPT_I64("seed", &a.seed, "0", 0, 9e15, "of test and folds"),
      OPT_FLAG(
          "distinct-ids", &a.distinct, "no",
          "subjects whose names differ in punctuation, case, blanks or leading zeros\nonly (1-11, "
          "11-1; sub-1, sub-01) are two patients; of the latter three,\nwhich are one name in "
          "data sets, both stay on one side of the split"),
  };
  OptSpec spec = {
      .cmd = "export-cohort",
      .summary = "A cohort for training with nnU-Net, MONAI or TorchIO.",
      .details =
          "  prlx export-cohort patches/lesions.tsv --format nnunet -o nnUNet_raw\n"
          "  prlx export-cohort cohort/lesions.tsv denoised/lesions.tsv --format monai -o m\n\n"
          "One case per lesion and visit: channels as float32 (susceptibility in ppm), one label "
          "map: 1 lesion, 2 rim. Test and folds are dealt by\n"
          "patient, never by lesion or session; for nnU-Net they are in splits_final.json, which "
          "belongs into its folder of preprocessed data.",
      .opt = t,
      .n = COUNT_OF(t),
      .pos = "LESIONS.tsv...",
      .pos_min = 1,
      .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc < 0) rc = opts_need(&spec, a.format == EXPORT_NNUNET, "number", "--format nnunet");
  if (rc < 0) rc = opts_need(&spec, a.rim != RIM_NO, "rim-threshold", "--rim auto or yes");
  if (rc >= 0) return rc;
  Error e = {0};
  ExportJob j = {.out = a.out,
                 .format = (ExportFormat)a.format,
                 .dataset = a.name,
                 .number = a.number,
                 .threshold = a.threshold,
                 .units = (ChiUnits)a.units};
  if (!a.out)
    rc = tool_usage("export-cohort", "no output; give -o DIR");
  else if (a.channels && (!(j.nch = channels_parse(a.channels, j.ch)) || j.ch[0] != CH_CHI ||
                          (j.nch > 1 && (j.nch > 2 || j.ch[1] != CH_FLAIR))))
    rc = tool_usage("export-cohort", "option --channels: '%s' is neither chi nor chi,flair",
                    a.channels);
  else if (!a.name[0] ||
           strspn(a.name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                          "0123456789") != strlen(a.name) ||
           strlen(a.name) > 60)
    rc = tool_usage("export-cohort", "option --name: '%.70s' is not 1 to 60 letters and digits",
                    a.name);
  else
    rc = export_run(&j, &a, spec.nargs, spec.args, &e) == ST_OK ? EXIT_DONE
                                                                : tool_fail("export-cohort", &e);
  opts_free(&spec);
  return rc;
}
