/* phantom_out.c: what `prlx phantom` writes: volumes and masks under BIDS-style derivative names,
 * sidecars, tables, contact sheets. */
#include "tools/cohort/phantom_out.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "io/formats/file.h"
#include "io/formats/nifti.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"
#include "tools/view/canvas.h"

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

/* ---- folders ---- */
Status out_begin(PhantomOut *o, const char *dir, int subjects, uint64_t seed,
                 const PhantomOptions *opt, bool sheets, bool overwrite, Error *e) {
  char path[PATH_LEN];
  *o = (PhantomOut){.dir = dir, .subjects = subjects, .seed = seed, .opt = opt, .sheets = sheets};
  TRY(path_join(path, dir, "lesions.tsv", e));
  if (file_exists(path)) {
    if (!overwrite)
      return err_set(
          e, ST_INVALID,
          "%s: the folder already holds a cohort; choose another one, or give --overwrite", path);
    if (unlink(path) != 0)
      return err_set(e, ST_IO, "%s: could not be removed: %s", path, strerror(errno));
  }
  TRY(dir_make(dir, e));
  for (int s = 1; s <= subjects; s++) {
    TRY(path_format(path, e, "%s/sub-%03d/anat", dir, s));
    TRY(dir_make(path, e));
  }
  return ST_OK;
}

void out_end(PhantomOut *o) {
  mem_free(o->slices);
  o->slices = NULL;
}

void out_choose_sheets(PhantomOut *o, PhantomRow *rows, int n) {
  enum { PIXELS = PHANTOM_NX * PHANTOM_NY };
  int count[3] = {0}, k = 0;
  /* no memory: no sheets */
  if (!o->sheets || !(o->slices = mem_alloc(3 * SHEET_LESIONS * PIXELS * sizeof(float)))) return;
  for (int i = 0; i < n; i++)
    if (count[rows[i].want]++ < SHEET_LESIONS) rows[i].slice = o->slices + (size_t)k++ * PIXELS;
}

/* ---- one lesion ---- */
/* Axes along right, anterior, superior; voxel centre (i,j,k) = (cx,cy,cz) lies at mm. */
static void affine_at(double a[16], const double index[3], const double mm[3]) {
  const double h[3] = {PHANTOM_HX, PHANTOM_HY, PHANTOM_HZ};
  memset(a, 0, 16 * sizeof *a);
  for (int r = 0; r < 3; r++) {
    a[5 * r] = h[r];
    a[4 * r + 3] = mm[r] - h[r] * index[r];
  }
  a[15] = 1;
}

/* Rounds to multiples of `step` (a power of two, far below the noise), so that the volumes
 * compress; scale first. */
static void out_quantise(float *v, size_t n, float scale, float step) {
  for (size_t i = 0; i < n; i++) v[i] = rintf(v[i] * scale / step) * step;
}
#define PPM_STEP 0x1p-18f /* 0.004 ppb */
#define FLAIR_STEP 0x1p-3f
#define PROB_STEP 0x1p-10f

static const char *const class_name[3] = {"no rim", "rim", "ambiguous"};

/* Names relative to the cohort's folder. */
typedef struct Names {
  char chi[96];
  char flair[96];
  char rim[96];
  char mask[96];
  char json[96];
} Names;
static Names names_of(const PhantomRow *r) {
  Names n;
  char stem[64];
  snprintf(stem, sizeof stem, "sub-%03d/anat/sub-%03d_lesion-%02d", r->subject % 10000,
           r->subject % 10000, r->number);
  snprintf(n.chi, sizeof n.chi, "%s_Chimap.nii.gz", stem);
  snprintf(n.flair, sizeof n.flair, "%s_FLAIR.nii.gz", stem);
  snprintf(n.rim, sizeof n.rim, "%s_label-rim_mask.nii.gz", stem);
  snprintf(n.mask, sizeof n.mask, "%s_label-lesion_mask.nii.gz", stem);
  snprintf(n.json, sizeof n.json, "%s_Chimap.json", stem);
  return n;
}

static Status write_volume(const char *dir, const char *name, const float *v, const int64_t dim[4],
                           const double affine[16], const char *what, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, dir, name, e));
  return nifti_write(path, v, dim, affine, what, e);
}

Status out_lesion(const PhantomOut *o, PhantomRow *row, Error *e) {
  static const int64_t dim[4] = {PHANTOM_NX, PHANTOM_NY, PHANTOM_NZ, 1};
  static const double middle[3] = {(PHANTOM_NX - 1) / 2., (PHANTOM_NY - 1) / 2.,
                                   (PHANTOM_NZ - 1) / 2.};
  PhantomLesion *l = &row->l;
  const Names n = names_of(row);
  double affine[16];
  affine_at(affine, middle, row->centre);
  if (row->slice)
    memcpy(row->slice, l->chi + PHANTOM_NZ / 2 * PHANTOM_NX * PHANTOM_NY,
           PHANTOM_NX * PHANTOM_NY * sizeof(float));
  out_quantise(l->chi, PHANTOM_VOXELS, 1e-3f, PPM_STEP);
  out_quantise(l->flair, PHANTOM_VOXELS, 1, FLAIR_STEP);
  out_quantise(l->rim, PHANTOM_VOXELS, 1, PROB_STEP);
  TRY(write_volume(o->dir, n.chi, l->chi, dim, affine,
                   "prlx phantom (simulated): susceptibility, ppm", e));
  TRY(write_volume(o->dir, n.flair, l->flair, dim, affine, "prlx phantom (simulated): T2-FLAIR",
                   e));
  TRY(write_volume(o->dir, n.rim, l->rim, dim, affine, "prlx phantom (simulated): rim, probability",
                   e));
  TRY(write_volume(o->dir, n.mask, l->mask, dim, affine, "prlx phantom (simulated): lesion", e));

  return write_text(
      o->dir, n.json, e,
      "{\n  \"Units\": \"ppm\",\n  \"ZeroReference\": \"cerebrospinal fluid\",\n  \"Simulated\": "
      "true,\n  \"Seed\": %llu,\n  \"SimulatedSNR\": %g,\n"
      "  \"MagneticFieldStrength\": 3,\n  \"InversionWeight\": %.6g,\n  \"LesionDiameter\": "
      "%.4g,\n  \"RimCrest\": %.4g,\n  \"RimCoverage\": %.4g,\n  \"Location\": \"%s\"\n}\n",
      (unsigned long long)o->seed, o->opt->snr0, l->lambda, l->diameter_mm, l->rim_ppb * 1e-3,
      l->rim_coverage, l->kind);
}

/* ---- tables ---- */
double out_kappa(const PhantomRow *rows, int n) {
  double a = 0, b = 0, c = 0, d = 0;
  for (int i = 0; i < n; i++) {
    const int x = rows[i].l.reader1, y = rows[i].l.reader2;
    a += x && y;
    b += x && !y;
    c += !x && y;
    d += !x && !y;
  }
  const double po = (a + d) / n, p1 = (a + b) / n, p2 = (a + c) / n,
               pe = p1 * p2 + (1 - p1) * (1 - p2);
  return pe < 1 ? (po - pe) / (1 - pe) : 0;
}

static void out_header(TsvWriter *t, const char *const *col) {
  for (; *col; col++) tsv_cell(t, "%s", *col);
  tsv_row_end(t);
}

static void truth_cells(TsvWriter *t, const PhantomLesion *l) {
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
#define TRUTH_COLUMNS                                                               \
  "reader1", "reader2", "truth_rim", "truth_conspicuity", "truth_diameter_mm",      \
      "truth_rim_coverage", "truth_rim_ppb", "truth_rim_fwhm_mm", "truth_core_ppb", \
      "truth_location", "truth_mimic"

static Status write_lesions(const PhantomOut *o, const PhantomRow *rows, int n, Error *e) {
  static const char *const col[] = {"subject", "lesion", "chi",         "flair",
                                    "rim",     "mask",   TRUTH_COLUMNS, NULL};
  TsvWriter t = {0};
  char path[PATH_LEN];
  TRY(path_join(path, o->dir, "lesions.tsv", e));
  out_header(&t, col);
  for (int i = 0; i < n; i++) {
    const Names f = names_of(&rows[i]);
    tsv_cell(&t, "sub-%03d", rows[i].subject);
    tsv_cell(&t, "%02d", rows[i].number);
    tsv_cell(&t, "%s", f.chi);
    tsv_cell(&t, "%s", f.flair);
    tsv_cell(&t, "%s", f.rim);
    tsv_cell(&t, "%s", f.mask);
    truth_cells(&t, &rows[i].l);
    tsv_row_end(&t);
  }
  return tsv_commit(&t, path, e);
}

static Status describe_lesions(const char *dir, bool patches, Error *e) {
  return write_text(
      dir, "lesions.json", e,
      "{\n  \"subject\": {\"Description\": \"participant_id\"},\n  \"lesion\": {\"Description\": "
      "\"lesion, unique within the subject\"},\n%s"
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
      patches ? "" : "  \"label\": {\"Description\": \"value of this lesion in the label map\"},\n",
      patches ? "  \"mask\": {\"Description\": \"lesion mask 0/1, relative path\"},\n"
              : "  \"labels\": {\"Description\": \"label map of all lesions of the volume, "
                "relative path\"},\n");
}

static Status write_participants(const PhantomOut *o, Error *e) {
  TsvWriter t = {0};
  static const char *const col[] = {"participant_id", "age", "sex", NULL};
  char path[PATH_LEN];
  Rng r = {.seed = o->seed, .subsequence = (uint64_t)3 << 40};
  TRY(path_join(path, o->dir, "participants.tsv", e));
  out_header(&t, col);
  for (int s = 1; s <= o->subjects; s++) {
    tsv_cell(&t, "sub-%03d", s);
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

static Status write_description(const PhantomOut *o, const char *dir, Error *e) {
  const PhantomOptions *p = o->opt;
  TRY(write_text(
      dir, "dataset_description.json", e,
      "{\n  \"Name\": \"Simulated lesions of multiple sclerosis on quantitative susceptibility "
      "maps (prlx phantom)\",\n  \"BIDSVersion\": \"1.9.0\",\n  \"DatasetType\": \"derivative\",\n"
      "  \"GeneratedBy\": [{\"Name\": \"prlx phantom\", \"Version\": \"%s\", \"Description\": "
      "\"seed %llu, SNR %g, %s, reader model tau %.4f sigma %.4f\"}]\n}\n",
      PRLX_VERSION, (unsigned long long)o->seed, p->snr0,
      p->fast_inversion ? "closed-form inversion" : "total-variation inversion", p->tau, p->sigma));
  TRY(write_text(dir, "README", e,
                 "Simulated data: no volume comes from a patient.\n\n"
                 "Made with `prlx phantom`, seed %llu. Tissue susceptibility is painted, turned "
                 "into the field of dipoles along z, given phase noise, and inverted by\n"
                 "total variation; T2-FLAIR and masks belong to the same anatomy. Voxels of 0.4 "
                 "x 0.4 x 1 mm. Chimap in ppm, zero at cerebrospinal fluid; window for\n"
                 "display -0.1 to 0.15 ppm. label-rim_mask is a probability 0..1, "
                 "label-lesion_mask and desc-lesions_dseg are integers stored as float32.\n"
                 "lesions.tsv: one lesion per row; reader1 and reader2 say 1 for a rim; rim "
                 "lesion = both, ambiguous = exactly one. truth_ columns exist only here.\n"
                 "Not modelled: residues of background-field removal, anisotropy, motion, "
                 "scanner differences, similarity of lesions within a patient.\n",
                 (unsigned long long)o->seed));
  TRY(write_text(dir, "Chimap.json", e,
                 "{\n  \"Units\": \"ppm\",\n  \"ZeroReference\": \"cerebrospinal fluid\",\n  "
                 "\"Simulated\": true\n}\n"));
  TRY(write_text(dir, "FLAIR.json", e,
                 "{\n  \"Units\": \"arbitrary\",\n  \"Simulated\": true\n}\n"));
  return write_text(
      dir, "label-rim_mask.json", e,
      "{\n  \"Type\": \"Lesion\",\n  \"Description\": \"probability that the voxel belongs to "
      "the paramagnetic rim\",\n  \"Units\": \"arbitrary\",\n  \"Simulated\": true\n}\n");
}

/* ---- sheets ---- */
static Status write_sheet(const PhantomOut *o, const PhantomRow *rows, int n, int want,
                          const char *file, Error *e) {
  enum {
    COLS = 12,
    ZOOM = 2,
    CELL_W = PHANTOM_NX * ZOOM + 4,
    CELL_H = PHANTOM_NY * ZOOM + 16,
    TOP = 24
  };
  Canvas c;
  char text[200], path[PATH_LEN];
  int count = 0, all = 0, k = 0;
  for (int i = 0; i < n; i++) {
    all += rows[i].want == want;
    count += rows[i].want == want && rows[i].slice;
  }
  if (!count) return ST_OK;
  TRY(path_join(path, o->dir, file, e));
  TRY(canvas_new(&c, COLS * CELL_W, TOP + (count + COLS - 1) / COLS * CELL_H, 40, e));
  snprintf(text, sizeof text,
           "%s: %d of %d simulated lesions, susceptibility, central axial slice, each from its own "
           "minimum to maximum",
           class_name[want], count, all);
  canvas_text(&c, 6, 6, 1, 0xffffff, text);
  for (int i = 0; i < n; i++) {
    if (rows[i].want != want || !rows[i].slice) continue;
    const float *v = rows[i].slice;
    float lo = v[0], hi = v[0];
    for (int q = 0; q < PHANTOM_NX * PHANTOM_NY; q++) {
      lo = PRLX_MIN(lo, v[q]);
      hi = PRLX_MAX(hi, v[q]);
    }
    const int x = k % COLS * CELL_W + 2, y = TOP + k / COLS * CELL_H;
    canvas_image(&c, x, y, ZOOM, true, v, PHANTOM_NX, PHANTOM_NY, lo, hi);
    snprintf(text, sizeof text, "%03d-%02d %.0f..%.0f", rows[i].subject, rows[i].number, lo, hi);
    canvas_text(&c, x, y + PHANTOM_NY * ZOOM + 3, 1, 0xb0b0b0, text);
    k++;
  }
  const Status st = canvas_write(&c, path, e);
  canvas_free(&c);
  return st;
}

Status out_tables(const PhantomOut *o, const PhantomRow *rows, int n, Error *e) {
  static const char *const sheet[3] = {"sheet_nonrim.png", "sheet_rim.png", "sheet_ambiguous.png"};
  TRY(write_description(o, o->dir, e));
  TRY(write_text(o->dir, "label-lesion_mask.json", e,
                 "{\n  \"Type\": \"Lesion\",\n  \"Description\": \"white-matter voxels inside "
                 "the lesion's edge\",\n  \"Simulated\": true\n}\n"));
  TRY(write_participants(o, e));
  for (int c = 0; c < 3 && o->slices; c++) TRY(write_sheet(o, rows, n, c, sheet[c], e));
  TRY(describe_lesions(o->dir, true, e));
  return write_lesions(o, rows, n, e);
}

/* ---- slabs ---- */
static Status slab_dir(const PhantomOut *o, char dir[PATH_LEN], Error *e) {
  return path_join(dir, o->dir, "whole-brain", e);
}

Status out_slab_begin(const PhantomOut *o, TsvWriter *table, Error *e) {
  static const char *const col[] = {"subject", "lesion", "label",       "chi", "flair",
                                    "rim",     "labels", TRUTH_COLUMNS, NULL};
  char dir[PATH_LEN];
  TRY(slab_dir(o, dir, e));
  out_header(table, col);
  return dir_make(dir, e);
}

Status out_slab(const PhantomOut *o, TsvWriter *table, int number, const PhantomSlab *s, Error *e) {
  static const int64_t dim[4] = {SLAB_NX, SLAB_NY, SLAB_NZ, 1};
  static const double middle[3] = {(SLAB_NX - 1) / 2., (SLAB_NY - 1) / 2., (SLAB_NZ - 1) / 2.},
                      mm[3] = {0, -12, 18};
  const size_t n = (size_t)SLAB_NX * SLAB_NY * SLAB_NZ;
  char root[PATH_LEN], dir[PATH_LEN], sub[32], name[4][96];
  static const char *const what[4] = {"Chimap", "FLAIR", "label-rim_mask", "desc-lesions_dseg"};
  float *const volume[4] = {s->chi, s->flair, s->rim, s->labels};
  double affine[16];
  snprintf(sub, sizeof sub, "sub-wb%02d", number);
  TRY(slab_dir(o, root, e));
  TRY(path_format(dir, e, "%s/%s/anat", root, sub));
  TRY(dir_make(dir, e));
  affine_at(affine, middle, mm);
  out_quantise(s->chi, n, 1e-3f, PPM_STEP);
  out_quantise(s->flair, n, 1, FLAIR_STEP);
  out_quantise(s->rim, n, 1, PROB_STEP);
  for (int i = 0; i < 4; i++) {
    snprintf(name[i], sizeof name[i], "%s/anat/%s_%s.nii.gz", sub, sub, what[i]);
    TRY(write_volume(
        root, name[i], volume[i], dim, affine,
        i ? "prlx phantom (simulated)" : "prlx phantom (simulated): susceptibility, ppm", e));
  }
  for (int l = 0; l < s->n; l++) {
    tsv_cell(table, "%s", sub);
    tsv_cell(table, "%02d", l + 1);
    tsv_cell(table, "%d", l + 1);
    for (int i = 0; i < 4; i++) tsv_cell(table, "%s", name[i]);
    truth_cells(table, &s->lesion[l]);
    tsv_row_end(table);
  }
  return ST_OK;
}

Status out_slab_end(const PhantomOut *o, TsvWriter *table, Error *e) {
  char dir[PATH_LEN], path[PATH_LEN];
  TRY(slab_dir(o, dir, e));
  TRY(path_join(path, dir, "lesions.tsv", e));
  TRY(write_description(o, dir, e));
  TRY(write_text(dir, "desc-lesions_dseg.json", e,
                 "{\n  \"Description\": \"0: no lesion; 1..n: lesions of this volume, column "
                 "label of lesions.tsv\",\n  \"Simulated\": true\n}\n"));
  TRY(describe_lesions(dir, false, e));
  return tsv_commit(table, path, e);
}
