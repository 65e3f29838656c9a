/* phantom_tables.c: tables of `prlx phantom` and what describes them: lesions.tsv,
 * participants.tsv, their sidecars, dataset_description.json, README. */
#include <stdarg.h>
#include <stdio.h>
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"
#include "tools/cohort/phantom_out.h"

static Status write_text(const char *dir, const char *name, Error *e, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static Status write_text(const char *dir, const char *name, Error *e, const char *fmt, ...) {
  char path[PATH_LEN], text[6000];
  va_list ap;
  TRY(path_join(path, dir, name, e));
  va_start(ap, fmt);
  const int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (n < 0 || n >= (int)sizeof text)
    return err_set(e, ST_INTERNAL, "%s: text longer than %zu bytes", path, sizeof text);
  return file_write_atomic(path, text, (size_t)n, e);
}

/* ---- lesions ---- */
void out_name(const PhantomRow *r, PatchKind kind, char out[PATCH_NAME]) {
  char subject[32], scan[32] = "", lesion[32];
  snprintf(subject, sizeof subject, "sub-%03d", r->subject);
  snprintf(lesion, sizeof lesion, "%02d", r->number);
  if (r->session) snprintf(scan, sizeof scan, "ses-%02d", r->session);
  patch_name(subject, scan, lesion, kind, out);
}

double out_kappa(const PhantomRow *rows, int n) {
  double a = 0, b = 0, c = 0, d = 0;
  for (int i = 0; i < n; i++) {
    if (rows[i].session > 1) continue;
    const int x = rows[i].l.reader1, y = rows[i].l.reader2;
    a += x && y;
    b += x && !y;
    c += !x && y;
    d += !x && !y;
  }
  const double m = a + b + c + d, po = (a + d) / m, p1 = (a + b) / m, p2 = (a + c) / m,
               pe = p1 * p2 + (1 - p1) * (1 - p2);
  return pe < 1 ? (po - pe) / (1 - pe) : 0;
}

static const char *const truth_column[] = {
    "reader1",           "reader2",           "truth_rim",
    "truth_conspicuity", "truth_diameter_mm", "truth_rim_coverage",
    "truth_rim_ppb",     "truth_rim_fwhm_mm", "truth_core_ppb",
    "truth_location",    "truth_mimic"};

/* These columns, then those of readers and truth. */
static void out_header(TsvWriter *t, const char *const *col) {
  for (; *col; col++) tsv_cell(t, "%s", *col);
  for (int k = 0; k < COUNT_OF(truth_column); k++) tsv_cell(t, "%s", truth_column[k]);
  tsv_row_end(t);
}

void out_slab_header(TsvWriter *t) {
  static const char *const col[] = {"subject", "lesion", "label",  "chi",
                                    "flair",   "rim",    "labels", NULL};
  out_header(t, col);
}

void out_truth_cells(TsvWriter *t, const PhantomLesion *l) {
  tsv_cell(t, "%d", l->reader1);
  tsv_cell(t, "%d", l->reader2);
  tsv_cell(t, "%d", l->truth_rim);
  tsv_cell(t, "%.4f", l->conspicuity);
  tsv_cell(t, "%.2f", l->diameter_mm);
  tsv_cell(t, "%.3f", l->rim_coverage);
  tsv_cell(t, "%.2f", l->rim_ppb);
  tsv_cell(t, "%.3f", l->rim_fwhm_mm);
  tsv_cell(t, "%.2f", l->core_ppb);
  tsv_cell(t, "%s", l->kind);
  tsv_cell(t, "%s", l->mimic);
}

/* A cohort of one visit has no column session. */
static Status write_lesions(const PhantomOut *o, const PhantomRow *rows, int n, Error *e) {
  static const char *const visits[] = {"subject", "lesion", "session", "chi",
                                       "flair",   "rim",    "mask",    NULL},
                           *const single[] = {"subject", "lesion", "chi", "flair",
                                              "rim",     "mask",   NULL};
  static const PatchKind order[] = {PATCH_CHI, PATCH_FLAIR, PATCH_RIM, PATCH_MASK};
  TsvWriter t = {0};
  char path[PATH_LEN], name[PATCH_NAME];
  TRY(path_join(path, o->dir, "lesions.tsv", e));
  out_header(&t, o->sessions > 1 ? visits : single);
  for (int i = 0; i < n; i++) {
    tsv_cell(&t, "sub-%03d", rows[i].subject);
    tsv_cell(&t, "%02d", rows[i].number);
    if (o->sessions > 1) tsv_cell(&t, "%02d", rows[i].session);
    for (int k = 0; k < COUNT_OF(order); k++) {
      out_name(&rows[i], order[k], name);
      tsv_cell(&t, "%s.nii.gz", name);
    }
    out_truth_cells(&t, &rows[i].l);
    tsv_row_end(&t);
  }
  return tsv_commit(&t, path, e);
}

static Status describe_lesions(const char *dir, bool patches, bool sessions, Error *e) {
  return write_text(
      dir, "lesions.json", e,
      "{\n  \"subject\": {\"Description\": \"participant_id\"},\n  \"lesion\": {\"Description\": "
      "\"lesion, unique within the visit; the same name at another visit is the same lesion\"},\n"
      "%s%s"
      "  \"chi\": {\"Description\": \"susceptibility map, relative path\", \"Units\": \"ppm\"},\n"
      "  \"flair\": {\"Description\": \"T2-FLAIR, relative path\", \"Units\": \"arbitrary\"},\n"
      "  \"rim\": {\"Description\": \"probabilistic rim mask 0..1, relative path\"},\n"
      "%s"
      "  \"reader1\": {\"Description\": \"first reader\", \"Levels\": {\"0\": \"no rim\", \"1\": "
      "\"rim\"}},\n"
      "  \"reader2\": {\"Description\": \"second reader\", \"Levels\": {\"0\": \"no rim\", \"1\": "
      "\"rim\"}},\n"
      "  \"truth_rim\": {\"Description\": \"1 if a reader without noise would say rim (conspicuity "
      "above tau)\"},\n"
      "  \"truth_conspicuity\": {\"Description\": \"hidden conspicuity s of the rim, N(0,1) over "
      "all lesions\"},\n"
      "  \"truth_diameter_mm\": {\"Description\": \"equivalent in-plane diameter\", \"Units\": "
      "\"mm\"},\n"
      "  \"truth_rim_coverage\": {\"Description\": \"part of the circumference with a rim\"},\n"
      "  \"truth_rim_ppb\": {\"Description\": \"rim crest above core\", \"Units\": \"ppb\"},\n"
      "  \"truth_rim_fwhm_mm\": {\"Description\": \"width of the rim at half height\", \"Units\": "
      "\"mm\"},\n"
      "  \"truth_core_ppb\": {\"Description\": \"core above white matter\", \"Units\": \"ppb\"},\n"
      "  \"truth_location\": {\"Description\": \"surroundings: periventricular, juxtacortical, "
      "both, deep\"},\n"
      "  \"truth_mimic\": {\"Description\": \"what could be mistaken for a rim: none, hollow core, "
      "short arc, vessel at the edge, dark rim\"}\n}\n",
      sessions ? "  \"session\": {\"Description\": \"visit, session_id without ses-\"},\n" : "",
      patches ? "" : "  \"label\": {\"Description\": \"value of this lesion in the label map\"},\n",
      patches ? "  \"mask\": {\"Description\": \"lesion mask 0/1, relative path\"},\n"
              : "  \"labels\": {\"Description\": \"label map of all lesions of the volume, "
                "relative path\"},\n");
}

/* ---- participants ---- */
static Status write_participants(const PhantomOut *o, Error *e) {
  TsvWriter t = {0};
  static const char *const col[] = {"participant_id", "age", "sex", NULL};
  char path[PATH_LEN];
  Rng r = {.seed = o->seed, .subsequence = (uint64_t)3 << 40};
  TRY(path_join(path, o->dir, "participants.tsv", e));
  for (const char *const *c = col; *c; c++) tsv_cell(&t, "%s", *c);
  tsv_row_end(&t);
  for (int s = 0; s < o->subjects; s++) {
    tsv_cell(&t, "sub-%03d", o->first + s);
    tsv_cell(&t, "%d", (int)(22 + 26 * rng_uniform(&r) + 20 * rng_uniform(&r)));
    tsv_cell(&t, "%s", rng_uniform(&r) < .72 ? "F" : "M");
    tsv_row_end(&t);
  }
  TRY(tsv_commit(&t, path, e));
  return write_text(
      o->dir, "participants.json", e,
      "{\n  \"age\": {\"Description\": \"made up\", \"Units\": \"year\"},\n  \"sex\": "
      "{\"Description\": \"made up\", \"Levels\": {\"F\": \"female\", \"M\": \"male\"}}\n}\n");
}

/* ---- dataset ---- */
static Status write_description(const PhantomOut *o, const char *dir, const char *ignore,
                                unsigned kinds, Error *e) {
  const PhantomOptions *p = o->opt;
  char how[300], readme[2400];
  snprintf(how, sizeof how, "seed %llu, SNR %g, %s, reader model tau %.4f sigma %.4f, %d visit%s",
           (unsigned long long)o->seed, p->snr0,
           p->fast_inversion ? "closed-form inversion" : "total-variation inversion", p->tau,
           p->sigma, o->sessions, o->sessions == 1 ? "" : "s");
  snprintf(readme, sizeof readme,
           "Simulated data: no volume comes from a patient.\n\n"
           "Made with `prlx phantom`, seed %llu. Tissue susceptibility is painted, turned into the "
           "field of dipoles along z, given phase noise, and inverted by\n"
           "total variation; T2-FLAIR and masks belong to the same anatomy. Voxels of 0.4 x 0.4 x "
           "1 mm. Chimap in ppm, zero at cerebrospinal fluid; window for\n"
           "display -0.1 to 0.15 ppm. label-rim_probseg is a probability 0..1, label-lesion_mask "
           "is 0 or 1.\n"
           "lesions.tsv: one lesion per row and visit; reader1 and reader2 say 1 for a rim; rim "
           "lesion = both, ambiguous = exactly one. truth_ columns exist only here.\n%s"
           "Not modelled: residues of background-field removal, anisotropy, motion, scanner "
           "differences, similarity of lesions within a patient.\n",
           (unsigned long long)o->seed,
           o->sessions > 1
               ? "Visits: the same anatomy and lesion, noise and inversion weight drawn anew. "
                 "Rims become clearer from visit to visit and what is none fades (conspicuity\n"
                 "+0.3 or -0.3, give or take 0.15: an assumption); both readers read each visit "
                 "anew.\n"
               : "");
  const BidsDataset d = {
      .name = "Simulated lesions of multiple sclerosis on quantitative susceptibility maps (prlx "
              "phantom)",
      .tool = "prlx phantom",
      .version = PRLX_VERSION,
      .how = how,
      .readme = readme,
      .ignore = ignore,
      .chi_more = ",\n  \"ZeroReference\": \"cerebrospinal fluid\"",
      .kinds = kinds,
      .skull_stripped = true,
      .simulated = true};
  return bids_describe(dir, &d, false, e);
}

Status out_tables(const PhantomOut *o, const PhantomRow *rows, int n, Error *e) {
  TRY(write_description(o, o->dir, "lesions.tsv\nlesions.json\nsheet_*.png\nwhole-brain\n",
                        (1u << PATCH_KINDS) - 1, e));
  TRY(write_participants(o, e));
  TRY(describe_lesions(o->dir, true, o->sessions > 1, e));
  return write_lesions(o, rows, n, e);
}

Status out_describe_slabs(const PhantomOut *o, const char *dir, Error *e) {
  TRY(write_description(o, dir, "lesions.tsv\nlesions.json\n", (1u << CH_COUNT) - 1, e));
  TRY(write_text(dir, "desc-lesions_dseg.json", e,
                 "{\n  \"Description\": \"0: no lesion; 1..n: lesions of this volume, column "
                 "label of lesions.tsv\",\n  \"Simulated\": true\n}\n"));
  return describe_lesions(dir, false, false, e);
}
