/* phantom_out.c: what `prlx phantom` writes: volumes and masks under BIDS derivative names, their
 * sidecars, contact sheets, and the slabs. Tables and descriptions: phantom_tables.c. */
#include "tools/cohort/phantom_out.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/nifti.h"
#include "io/formats/path.h"
#include "tools/cli/folder.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/view/canvas.h"

/* ---- folders ---- */

/* A new cohort, whole, whose taking the place of the old one was cut off: the tables of both are
 * out of their place, the files are of either. */
static Status finish_swap(const PhantomOut *o, bool *there, Error *e) {
  char path[PATH_LEN];
  bool whole;
  TRY(path_join(path, o->beside, "lesions.tsv", e));
  TRY(file_look(path, &whole, e));
  if (*there || !whole) return ST_OK;
  TRY(outputs_swap(o->beside, o->final, "lesions.tsv", e));
  *there = true;
  if (!tool_quiet)
    fprintf(stderr, "prlx: note: %s: the cohort of a run that was cut off is whole now\n",
            o->final);
  return ST_OK;
}

Status out_begin(PhantomOut *o, const char *dir, int first, int subjects, uint64_t seed,
                 const PhantomOptions *opt, int sessions, bool sheets, bool overwrite, Error *e) {
  char path[PATH_LEN];
  bool there;
  *o = (PhantomOut){.dir = dir,
                    .first = first,
                    .final = dir,
                    .subjects = subjects,
                    .sessions = sessions,
                    .seed = seed,
                    .opt = opt,
                    .sheets = sheets};
  TRY(tool_folder(dir, e));
  TRY(outputs_cohort(dir, e));
  TRY(path_join(path, dir, "lesions.tsv", e));
  TRY(path_join(o->beside, dir, ".new-cohort", e));
  TRY(file_look(path, &there, e));
  TRY(finish_swap(o, &there, e));
  if (!there) {
    o->beside[0] = 0;
    tool_folder_until(dir, "lesions.tsv");
    return ST_OK;
  }
  if (!overwrite)
    return err_set(e, ST_INVALID,
                   "%s: the folder already holds a cohort; choose another one, or give --overwrite",
                   path);
  /* beside the old one, which stays whole until the new one is */
  TRY(outputs_member(dir, "lesions.tsv", e));
  outputs_discard(o->beside);
  o->dir = o->beside;
  return dir_make(o->dir, e);
}

/* From the moment when the old table goes until the new one is there the folder is no cohort; who
 * is stopped between leaves the rest for finish_swap. */
static Status out_swap(const PhantomOut *o, Error *e) {
  char path[PATH_LEN];
  TRY(path_join(path, o->final, "lesions.tsv", e));
  const Status s = outputs_swap(o->beside, o->final, "lesions.tsv", e);
  if (s == ST_OK) return s;
  if (file_exists(path)) {
    outputs_discard(o->beside);
    return s;
  }
  char why[sizeof e->msg];
  snprintf(why, sizeof why, "%s", e->msg);
  return err_set(e, s, "%s; the same command finishes what is begun here", why);
}

Status out_end(PhantomOut *o, bool whole, Error *e) {
  mem_free(o->slices);
  o->slices = NULL;
  if (whole) tool_folder_whole(o->final);
  if (!o->beside[0]) return ST_OK;
  if (whole) return out_swap(o, e);
  outputs_discard(o->beside);
  return ST_OK;
}

Status out_choose_sheets(PhantomOut *o, PhantomRow *rows, int n, Error *e) {
  enum { PIXELS = PHANTOM_NX * PHANTOM_NY };
  int count[3] = {0}, k = 0;
  if (!o->sheets) return ST_OK;
  o->slices = mem_alloc(3 * SHEET_LESIONS * PIXELS * sizeof(float));
  if (!o->slices)
    return err_set(e, ST_NOMEM, "%s: out of memory for the sheets (--no-sheets: none)", o->dir);
  for (int i = 0; i < n; i++)
    if (rows[i].session <= 1 && count[rows[i].want]++ < SHEET_LESIONS)
      rows[i].slice = o->slices + (size_t)k++ * PIXELS;
  return ST_OK;
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

/* Sidecar of the susceptibility map; what all maps share is in Chimap.json of the folder. */
static void lesion_sidecar(const PhantomOut *o, const PhantomLesion *l, char *json, size_t n) {
  snprintf(json, n,
           "{\n  \"Units\": \"ppm\",\n  \"ZeroReference\": \"cerebrospinal fluid\",\n  "
           "\"Simulated\": true,\n  \"Seed\": %llu,\n  \"SimulatedSNR\": %g,\n"
           "  \"MagneticFieldStrength\": 3,\n  \"InversionWeight\": %.6g,\n"
           "  \"LesionDiameter\": %.4g,\n  \"RimCrest\": %.4g,\n  \"RimCoverage\": %.4g,\n"
           "  \"Location\": \"%s\"\n}\n",
           (unsigned long long)o->seed, o->opt->snr0, l->lambda, l->diameter_mm, l->rim_ppb * 1e-3,
           l->rim_coverage, l->kind);
}

Status out_lesion(const PhantomOut *o, PhantomRow *row, Error *e) {
  static const double middle[3] = {(PHANTOM_NX - 1) / 2., (PHANTOM_NY - 1) / 2.,
                                   (PHANTOM_NZ - 1) / 2.};
  static const char *const what[PATCH_KINDS] = {
      "prlx phantom (simulated): susceptibility, ppm", "prlx phantom (simulated): rim, probability",
      "prlx phantom (simulated): T2-FLAIR", "prlx phantom (simulated): lesion"};
  PhantomLesion *l = &row->l;
  const float *const volume[PATCH_KINDS] = {l->chi, l->rim, l->flair, l->mask};
  Grid g = {{PHANTOM_NX, PHANTOM_NY, PHANTOM_NZ}, {0}};
  char json[800], name[PATCH_NAME];
  affine_at(g.affine, middle, row->centre);
  if (row->slice)
    memcpy(row->slice, l->chi + PHANTOM_NZ / 2 * PHANTOM_NX * PHANTOM_NY,
           PHANTOM_NX * PHANTOM_NY * sizeof(float));
  out_quantise(l->chi, PHANTOM_VOXELS, 1e-3f, PPM_STEP);
  out_quantise(l->flair, PHANTOM_VOXELS, 1, FLAIR_STEP);
  out_quantise(l->rim, PHANTOM_VOXELS, 1, PROB_STEP);
  lesion_sidecar(o, l, json, sizeof json);
  for (int k = 0; k < PATCH_KINDS; k++) {
    out_name(row, (PatchKind)k, name);
    TRY(patch_write(o->dir, name, (PatchKind)k, volume[k], &g, what[k],
                    k == PATCH_CHI ? json : NULL, e));
  }
  return ST_OK;
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
    all += rows[i].want == want && rows[i].session <= 1;
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

Status out_sheets(const PhantomOut *o, const PhantomRow *rows, int n, Error *e) {
  static const char *const sheet[3] = {"sheet_nonrim.png", "sheet_rim.png", "sheet_ambiguous.png"};
  for (int c = 0; c < 3 && o->slices; c++) TRY(write_sheet(o, rows, n, c, sheet[c], e));
  return ST_OK;
}

/* ---- slabs ---- */
static Status slab_dir(const PhantomOut *o, char dir[PATH_LEN], Error *e) {
  return path_join(dir, o->dir, "whole-brain", e);
}

Status out_slab_begin(const PhantomOut *o, TsvWriter *table, Error *e) {
  char dir[PATH_LEN];
  TRY(slab_dir(o, dir, e));
  out_slab_header(table);
  return dir_make(dir, e);
}

Status out_slab(const PhantomOut *o, TsvWriter *table, int number, const PhantomSlab *s, Error *e) {
  static const int64_t dim[4] = {SLAB_NX, SLAB_NY, SLAB_NZ, 1};
  static const double middle[3] = {(SLAB_NX - 1) / 2., (SLAB_NY - 1) / 2., (SLAB_NZ - 1) / 2.},
                      mm[3] = {0, -12, 18};
  const size_t n = (size_t)SLAB_NX * SLAB_NY * SLAB_NZ;
  char root[PATH_LEN], path[PATH_LEN], sub[32], name[4][96];
  static const char *const what[4] = {"Chimap", "FLAIR", "label-rim_probseg", "desc-lesions_dseg"};
  float *const volume[4] = {s->chi, s->flair, s->rim, s->labels};
  double affine[16];
  snprintf(sub, sizeof sub, "sub-wb%02d", number);
  TRY(slab_dir(o, root, e));
  TRY(path_format(path, e, "%s/%s/anat", root, sub));
  TRY(dir_make(path, e));
  affine_at(affine, middle, mm);
  out_quantise(s->chi, n, 1e-3f, PPM_STEP);
  out_quantise(s->flair, n, 1, FLAIR_STEP);
  out_quantise(s->rim, n, 1, PROB_STEP);
  for (int i = 0; i < 4; i++) {
    snprintf(name[i], sizeof name[i], "%s/anat/%s_%s.nii.gz", sub, sub, what[i]);
    TRY(path_join(path, root, name[i], e));
    TRY(nifti_write_as(
        path, volume[i], dim, affine, i == 3 ? NIFTI_UINT8 : NIFTI_FLOAT32,
        i ? "prlx phantom (simulated)" : "prlx phantom (simulated): susceptibility, ppm", e));
  }
  for (int l = 0; l < s->n; l++) {
    tsv_cell(table, "%s", sub);
    tsv_cell(table, "%02d", l + 1);
    tsv_cell(table, "%d", l + 1);
    for (int i = 0; i < 4; i++) tsv_cell(table, "%s", name[i]);
    out_truth_cells(table, &s->lesion[l]);
    tsv_row_end(table);
  }
  return ST_OK;
}

Status out_slab_end(const PhantomOut *o, TsvWriter *table, Error *e) {
  char dir[PATH_LEN], path[PATH_LEN];
  TRY(slab_dir(o, dir, e));
  TRY(path_join(path, dir, "lesions.tsv", e));
  TRY(out_describe_slabs(o, dir, e));
  return tsv_commit(table, path, e);
}
