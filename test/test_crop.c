/* test_crop.c: whole volumes as people's programs write them, through `prlx crop` and `prlx pack`,
 * called as functions: units, frames, axes, label maps of every kind, NaN, other units of
 * susceptibility, and what is refused. The scene: a box of 4 x 4 x 4 voxels of 0.3 ppm in 0, as in
 * the shared cases. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "io/formats/file.h"
#include "io/formats/nifti.h"
#include "io/formats/tsv.h"
#include "io/images/dataset.h"
#include "test/nifti_bytes.h"
#include "test/test.h"
#include "tools/cli/folder.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

enum { NX = 96, NY = 96, NZ = 40, NVOX = NX * NY * NZ };
static const int64_t size[3] = {NX, NY, NZ};
static const double voxel[3] = {0.4, 0.4, 1}, origin[3] = {-19, -19, -19.5};

/* ---- scenes ---- */
typedef struct Scene {
  const Axes *axes;  /* NULL: RAS */
  double unit_scale; /* stored lengths per mm; 0: 1 */
  int unit;          /* xyzt_units; 0 as given */
  int scode;
  int qcode;
  double sshift; /* mm along x */
  double qshift;
  double shear; /* of the second axis into x */
  int type;     /* datatype code; 0: float32 */
  double slope;
  int steps; /* 4th dimension, 0: none */
  int keep;  /* slices written, 0: all */
} Scene;

static double chi[NVOX], lab[NVOX], flair[NVOX];
static bool in_box(int64_t i, int64_t j, int64_t k, int x, int y, int z) {
  return i >= x && i < x + 4 && j >= y && j < y + 4 && k >= z && k < z + 4;
}

static void scene_fill(void) {
  for (int64_t at = 0; at < NVOX; at++) {
    const int64_t i = at % NX, j = at / NX % NY, k = at / (NX * NY);
    lab[at] = in_box(i, j, k, 40, 36, 15);
    chi[at] = 0.3 * lab[at];
    flair[at] = 200 * lab[at];
  }
}

static int bytes_of(int type) { return nifti_datatype_bytes(type); }
static void put_number(uint8_t *p, int type, double v) {
  float f = (float)v;
  uint64_t u = v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v;
  if (type == 16) memcpy(p, &f, 4);
  if (type == 64) memcpy(p, &v, 8);
  for (int b = 0; type != 16 && type != 64 && b < bytes_of(type); b++) p[b] = (uint8_t)(u >> 8 * b);
}

/* Where voxel `at` of the stored volume lies in the RAS scene. */
static int64_t scene_index(const Axes *a, const int64_t dim[3], int64_t at) {
  const int64_t q[3] = {at % dim[0], at / dim[0] % dim[1], at / (dim[0] * dim[1])};
  int64_t r[3];
  for (int c = 0; c < 3; c++) r[c] = a->sign[c] > 0 ? q[a->axis[c]] : size[c] - 1 - q[a->axis[c]];
  return (r[2] * NY + r[1]) * NX + r[0];
}

static void scene_header(Made *m, const Scene *s, const int64_t dim[3]) {
  const Axes *a = s->axes ? s->axes : &axes[0];
  const double k = s->unit_scale ? s->unit_scale : 1;
  double A[16], at[3], stored[3];
  const int type = s->type ? s->type : 16;
  begin(m, 1, false, false, type, 8 * bytes_of(type));
  for (int r = 0; r < 3; r++) {
    at[r] = a->sign[r] > 0 ? origin[r] : origin[r] + voxel[r] * (double)(size[r] - 1);
    stored[a->axis[r]] = voxel[r];
  }
  axes_affine(a, stored, at, A);
  A[1] += s->shear * A[0];
  const int dims[4] = {(int)dim[0], (int)dim[1], (int)dim[2], s->steps};
  set_dims(m, s->steps ? 4 : 3, dims);
  for (int i = 0; i < 12; i++) set(m, SROW, i, (A[i] + (i == 3 ? s->sshift : 0)) * k);
  for (int i = 0; i < 3; i++) {
    set(m, PIXDIM, i + 1, stored[i] * k);
    set(m, QOFF, i, (A[4 * i + 3] + (i ? 0 : s->qshift)) * k);
  }
  set(m, PIXDIM, 0, 1);
  set(m, SCODE, 0, s->scode);
  set(m, QCODE, 0, s->qcode);
  set(m, UNITS, 0, s->unit);
  if (s->slope != 0) set(m, SLOPE, 0, s->slope);
}

/* Writes the values v of the RAS scene as s says; `name`: in the temporary folder. */
static void scene_write(const char *name, const Scene *s, const double *v) {
  const Axes *a = s->axes ? s->axes : &axes[0];
  const int type = s->type ? s->type : 16, steps = s->steps ? s->steps : 1;
  int64_t dim[3];
  Made m;
  for (int r = 0; r < 3; r++) dim[a->axis[r]] = size[r];
  if (s->keep) dim[2] = s->keep;
  const size_t n = (size_t)(dim[0] * dim[1] * dim[2]), one = (size_t)bytes_of(type);
  scene_header(&m, s, dim);
  uint8_t *file = calloc(352 + n * one * (size_t)steps, 1);
  memcpy(file, m.b, 352);
  for (size_t i = 0; i < n * (size_t)steps; i++) {
    const double x = v[scene_index(a, dim, (int64_t)(i % n))];
    put_number(file + 352 + i * one, type, s->slope != 0 && type != 16 ? rint(x / s->slope) : x);
  }
  put_file(in_dir(name), file, 352 + n * one * (size_t)steps);
  free(file);
}

static const Scene plain = {.unit = 2, .scode = 1, .qcode = 1},
                   mask8 = {.unit = 2, .scode = 1, .qcode = 1, .type = 2};

/* ---- running commands ---- */
static char out[4000], err[4000];
static void slurp(const char *name, char *to, size_t room) {
  FILE *f = fopen(in_dir(name), "rb");
  const size_t n = f ? fread(to, 1, room - 1, f) : 0;
  to[n] = 0;
  if (f) fclose(f);
}

/* Runs "crop ARGS" with paths "@NAME" in the temporary folder; what it printed is in out, err. */
static int run_tool(int (*tool)(int, char **), const char *line) {
  char text[1200], full[40][300], *argv[40], *save = NULL;
  int argc = 0;
  snprintf(text, sizeof text, "%s", line);
  for (char *w = strtok_r(text, " ", &save); w && argc < 40; w = strtok_r(NULL, " ", &save)) {
    snprintf(full[argc], sizeof full[argc], "%s%s%s", w[0] == '@' ? dir : "",
             w[0] == '@' ? "/" : "", w[0] == '@' ? w + 1 : w);
    argv[argc] = full[argc];
    argc++;
  }
  argv[argc] = NULL;
  fflush(stdout);
  fflush(stderr);
  const int keep1 = dup(1), keep2 = dup(2);
  const int o = open(in_dir("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600),
            x = open(in_dir("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(o, 1);
  dup2(x, 2);
  const int rc = tool(argc, argv);
  outputs_forget(); /* as main does */
  tool_folders_leave();
  fflush(stdout);
  fflush(stderr);
  dup2(keep1, 1);
  dup2(keep2, 2);
  close(keep1);
  close(keep2);
  close(o);
  close(x);
  slurp("out", out, sizeof out);
  slurp("err", err, sizeof err);
  return rc;
}

static void wipe(const char *name) {
  char c[400];
  snprintf(c, sizeof c, "rm -rf '%s/%s'", dir, name);
  if (system(c) != 0) printf("cannot remove %s\n", name);
}

/* The patch of row r that column col names, in the folder o of the last crop. */
static bool patch_read(int row, const char *col, Nifti *v) {
  Tsv t;
  Error e = {0};
  char path[700];
  memset(v, 0, sizeof *v);
  if (tsv_read(in_dir("o/lesions.tsv"), &t, &e) != ST_OK) return false;
  const char *cell = row < t.nrow ? tsv_get(&t, row, tsv_column(&t, col)) : "";
  snprintf(path, sizeof path, "%s/o/%s", dir, cell);
  tsv_free(&t);
  return nifti_read(path, v, &e) == ST_OK;
}

/* Voxels of the mask, mean of column col in it. */
static double mean_in_mask(int row, const char *col, int *voxels) {
  Nifti m, v;
  double sum = 0;
  *voxels = 0;
  if (patch_read(row, "mask", &m) && patch_read(row, col, &v)) {
    for (int64_t i = 0; i < m.nvox; i++)
      if (m.data[i] > 0) {
        sum += v.data[i];
        ++*voxels;
      }
    nifti_free(&v);
  }
  nifti_free(&m);
  return *voxels ? sum / *voxels : NAN;
}

static void expect_crop(const char *line, double want, double tol, const char *note,
                        const char *what) {
  int n;
  wipe("o");
  const int rc = run_tool(tool_crop, line);
  const double mean = rc == 0 ? mean_in_mask(0, "chi", &n) : NAN;
  CHECK(rc == 0 && n == 64 && fabs(mean - want) <= tol, "%s: exit %d, %d voxels, mean %g: %s", what,
        rc, rc ? 0 : n, mean, err);
  if (note && !note[0])
    CHECK(!strstr(err, "note:"), "%s: no note: %s", what, err);
  else if (note)
    CHECK(strstr(err, "note:") && strstr(err, note), "%s: note '%s': %s", what, note, err);
}

/* One line on stderr that names `word`, exit code 1, nothing written. */
static void refuse_crop(const char *line, const char *word, const char *what) {
  wipe("o");
  const int rc = run_tool(tool_crop, line);
  CHECK(rc == 1 && strstr(err, word) && strchr(err, '\n') == err + strlen(err) - 1 &&
            !file_exists(in_dir("o")),
        "%s: exit %d, '%s' expected: %s", what, rc, word, err);
}

#define CROP "crop @chi.nii @lab.nii -o @o"

/* ---- units and frames ---- */
static void test_units(void) {
  static const struct {
    int unit;
    double scale;
    const char *note;
  } k[] = {{2, 1, ""}, {0, 1, ""}, {3, 1000, "micrometres"}, {1, 1e-3, "metres"}, {2 | 8, 1, ""}};
  Nifti first, v;
  for (int i = 0; i < COUNT_OF(k); i++) {
    Scene a = plain, b = mask8;
    a.unit = b.unit = k[i].unit;
    a.unit_scale = b.unit_scale = k[i].scale;
    scene_write("chi.nii", &a, chi);
    scene_write("lab.nii", &b, lab);
    expect_crop(CROP, 0.3, 1e-7, k[i].note, "unit of length");
    CHECK(patch_read(0, "chi", &v), "patch");
    if (i == 0) first = v;
    double worst = 0;
    for (int q = 0; q < 16; q++) worst = fmax(worst, fabs(v.head.affine[q] - first.head.affine[q]));
    CHECK(worst < 1e-5 && !memcmp(v.data, first.data, (size_t)v.nvox * sizeof *v.data) &&
              (v.head.xyzt_units & 7) == 2,
          "unit %d: the same patch, in mm (%g off)", k[i].unit, worst);
    if (i) nifti_free(&v);
  }
  nifti_free(&first);
  Scene um = plain;
  um.unit = 3;
  um.unit_scale = 1000;
  int n;
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &mask8, lab);
  scene_write("flair.nii", &um, flair);
  expect_crop(CROP " --flair @flair.nii", 0.3, 1e-7, "flair: lengths are stored in micrometres",
              "FLAIR alone in micrometres");
  CHECK(mean_in_mask(0, "flair", &n) == 200, "FLAIR in micrometres: 200");
  um.unit = 2; /* a header that forgot to say so; one with an impossible code */
  scene_write("chi.nii", &um, chi);
  scene_write("lab.nii", &um, lab);
  refuse_crop(CROP, "voxels of 400 x 400 x 1000 mm", "millimetres that are micrometres");
  um.unit = 7;
  scene_write("chi.nii", &um, chi);
  refuse_crop(CROP, "chi.nii: spatial unit code 7", "unit code 7");
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &um, lab);
  refuse_crop(CROP, "lab.nii: spatial unit code 7", "unit code 7 in the labels");
}

static void test_frames(void) {
  Scene two = plain, q = mask8, third = mask8, bare = plain, thin = plain, steps = plain;
  int n;
  two.scode = 2;
  two.qshift = 3;
  q.sshift = q.qshift = 3;
  third.sshift = third.qshift = 6; /* whole voxels away */
  scene_write("chi.nii", &two, chi);
  scene_write("lab.nii", &q, lab);
  expect_crop(CROP, 0.3, 1e-7, "disagree by up to 3 mm", "labels on the qform of the map");
  CHECK(strstr(err, "fits the qform of the map"), "which form: %s", err);
  scene_write("lab.nii", &mask8, lab);
  expect_crop(CROP, 0.3, 1e-7, "disagree by up to 3 mm: sform is used", "labels on the sform");
  scene_write("lab.nii", &third, lab);
  refuse_crop(CROP, "lab.nii", "labels of a third grid");
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &mask8, lab);
  bare.scode = bare.qcode = 0;
  scene_write("flair.nii", &bare, flair);
  expect_crop(CROP " --flair @flair.nii", 0.3, 1e-7, "no orientation codes, the grid is the same",
              "FLAIR without codes");
  CHECK(mean_in_mask(0, "flair", &n) == 200, "FLAIR without codes: 200");
  bare.keep = 20;
  scene_write("flair.nii", &bare, flair);
  refuse_crop(CROP " --flair @flair.nii", "96 x 96 x 20", "FLAIR without codes on another grid");
  refuse_crop("crop @chi.nii @flair.nii -o @o --regrid", "96 x 96 x 20",
              "labels without codes on another grid, --regrid");
  thin.sshift = thin.qshift = 500;
  scene_write("flair.nii", &thin, flair);
  refuse_crop(CROP " --flair @flair.nii", "no voxel in common", "a FLAIR elsewhere");
  thin = plain;
  thin.keep = 12;
  scene_write("flair.nii", &thin, flair);
  expect_crop(CROP " --flair @flair.nii", 0.3, 1e-7, "does not reach it", "a FLAIR that is a slab");
  thin = mask8;
  thin.keep = 30;
  scene_write("lab.nii", &thin, lab);
  expect_crop(CROP, 0.3, 1e-7, "cover a part of the map", "labels without the empty slices");
  scene_write("lab.nii", &mask8, lab);
  steps.steps = 1;
  scene_write("chi.nii", &steps, chi);
  expect_crop(CROP, 0.3, 1e-7, "", "4-D with one volume");
  steps.steps = 2;
  scene_write("chi.nii", &steps, chi);
  refuse_crop(CROP, "2 volumes", "4-D with two");
}

static void test_shear(void) {
  Scene s = plain, m = mask8;
  s.shear = m.shear = 0.03;
  s.qcode = m.qcode = 0;
  Nifti v;
  scene_write("chi.nii", &s, chi);
  scene_write("lab.nii", &m, lab);
  expect_crop(CROP, 0.3, 2e-3, "right angles", "a sheared sform");
  CHECK(patch_read(0, "chi", &v), "patch");
  CHECK(v.head.shear < 1e-5 && v.head.qform_code == 1 && v.head.forms_apart < 1e-3 &&
            fabs(v.head.pixdim[1] - 0.4) < 1e-6 && fabs(v.head.pixdim[2] - 0.4) < 1e-6,
        "right angles, voxels of 0.4 mm: shear %g, %s", v.head.shear, v.head.warning);
  nifti_free(&v);
}

/* The map and its labels stored with axes in ten ways each, never the same: the same patch always.
 * */
static void test_axes(void) {
  Nifti first[2], v[2];
  for (int64_t i = 0; i < NVOX; i++) chi[i] = 0.3 * lab[i] + 1e-3 * (double)(i % 89 + i % 7);
  for (int a = 0; a < COUNT_OF(axes); a++) {
    Scene s = plain, m = mask8;
    s.qcode = m.qcode = 0;
    s.axes = &axes[a];
    m.axes = &axes[(3 * a + 1) % COUNT_OF(axes)];
    scene_write("chi.nii", &s, chi);
    scene_write("lab.nii", &m, lab);
    wipe("o");
    CHECK(run_tool(tool_crop, CROP) == 0 && !strstr(err, "note:"), "%s with labels in %s: %s",
          axes[a].name, m.axes->name, err);
    CHECK(patch_read(0, "chi", &v[0]) && patch_read(0, "mask", &v[1]), "%s: patch", axes[a].name);
    for (int k = 0; k < 2; k++) {
      if (a == 0) first[k] = v[k];
      double worst = 0;
      for (int q = 0; q < 16; q++)
        worst = fmax(worst, fabs(v[k].head.affine[q] - first[k].head.affine[q]));
      CHECK(worst < 1e-5 && v[k].nvox == first[k].nvox &&
                !memcmp(v[k].data, first[k].data, (size_t)v[k].nvox * sizeof *v[k].data),
            "%s: the same patch (%d), affine off by %g", axes[a].name, k, worst);
      if (a) nifti_free(&v[k]);
    }
  }
  nifti_free(&first[0]);
  nifti_free(&first[1]);
  scene_fill();
}

/* ---- values ---- */
static void test_not_finite(void) {
  int n;
  chi[0] = NAN;
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &mask8, lab);
  expect_crop(CROP, 0.3, 1e-7, "", "NaN outside every patch");
  const int64_t inside = (15 * NY + 36) * NX + 40;
  chi[inside] = NAN;
  scene_write("chi.nii", &plain, chi);
  expect_crop(CROP, 0.3 * 63 / 64, 1e-6, "1 voxels were NaN", "NaN in the lesion: 0");
  expect_crop(CROP " --nan neighbours", 0.3, 0.02, "filled from their neighbours", "neighbours");
  refuse_crop(CROP " --nan refuse", "--nan zero", "--nan refuse");
  for (int64_t i = 0; i < NVOX; i++)
    if (lab[i] > 0) chi[i] = INFINITY;
  scene_write("chi.nii", &plain, chi);
  refuse_crop(CROP, "the whole lesion", "a lesion of infinities");
  for (int64_t i = 0; i < NVOX; i++) chi[i] = NAN;
  scene_write("chi.nii", &plain, chi);
  refuse_crop(CROP, "every voxel is NaN", "a map of NaN");
  scene_fill();
  lab[0] = NAN;
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &plain, lab);
  expect_crop(CROP, 0.3, 1e-7, "labels: 1 voxels are NaN", "NaN in the labels");
  scene_fill();
  flair[inside] = NAN;
  scene_write("lab.nii", &mask8, lab);
  scene_write("flair.nii", &plain, flair);
  expect_crop(CROP " --flair @flair.nii", 0.3, 1e-7, "flair.nii: 1 voxels were NaN", "FLAIR");
  CHECK(fabs(mean_in_mask(0, "flair", &n) - 200 * 63 / 64.) < 1e-3, "FLAIR with a hole");
  scene_fill();
}

static void test_chi_units(void) {
  Scene slope = plain;
  static double v[NVOX];
  static const double tissue[4] = {-0.03, 0.02, 0.05, -0.04};
  for (int64_t i = 0; i < NVOX; i++) chi[i] = lab[i] > 0 ? 0.3 : tissue[i % 4];
  scene_write("lab.nii", &mask8, lab);
  slope.type = 4; /* integers with a slope */
  slope.slope = 1e-4;
  scene_write("chi.nii", &slope, chi);
  expect_crop(CROP, 0.3, 1e-6, "", "16-bit integers with a slope");
  for (int64_t i = 0; i < NVOX; i++) v[i] = 1000 * chi[i];
  scene_write("chi.nii", &plain, v);
  refuse_crop(CROP, "--units ppb", "ppb");
  expect_crop(CROP " --units ppb", 0.3, 1e-6, "", "ppb, said");
  for (int64_t i = 0; i < NVOX; i++) v[i] = 127.7324355554 * chi[i];
  scene_write("chi.nii", &plain, v);
  refuse_crop(CROP, "--units hz --field", "Hz");
  expect_crop(CROP " --units hz --field 3", 0.3, 1e-6, "", "Hz at 3 T, said");
  CHECK(run_tool(tool_crop, CROP " --units hz") == 2, "Hz without a field: wrong usage");
  for (int64_t i = 0; i < NVOX; i++) v[i] = 1e-6 * chi[i];
  scene_write("chi.nii", &plain, v);
  refuse_crop(CROP, "--units ratio", "pure numbers");
  expect_crop(CROP " --units ratio", 0.3, 1e-6, "", "pure numbers, said");
  for (int64_t i = 0; i < NVOX; i++) v[i] = 3.1415 * sin((double)i);
  scene_write("chi.nii", &plain, v);
  refuse_crop(CROP, "phase", "wrapped phase");
  scene_fill();
}

/* ---- label maps ---- */
/* Boxes with the values 7, 2 and 300 (in this order along x), or all `one`. */
static void three_boxes(double one) {
  for (int64_t at = 0; at < NVOX; at++) {
    const int64_t i = at % NX, j = at / NX % NY, k = at / (NX * NY);
    lab[at] = in_box(i, j, k, 20, 36, 15)   ? (one != 0 ? one : 7)
              : in_box(i, j, k, 40, 36, 15) ? (one != 0 ? one : 2)
              : in_box(i, j, k, 60, 40, 18) ? (one != 0 ? one : 300)
                                            : 0;
  }
}

static void expect_lesions(const Scene *s, const char *want, const char *note, const char *what) {
  char got[200] = "";
  Tsv t;
  Error e = {0};
  scene_write("lab.nii", s, lab);
  wipe("o");
  const int rc = run_tool(tool_crop, CROP);
  if (rc == 0 && tsv_read(in_dir("o/lesions.tsv"), &t, &e) == ST_OK) {
    for (int r = 0; r < t.nrow; r++)
      snprintf(got + strlen(got), sizeof got - strlen(got), "%s ",
               tsv_get(&t, r, tsv_column(&t, "lesion")));
    tsv_free(&t);
  }
  CHECK(rc == 0 && !strcmp(got, want), "%s: '%s' expected, got '%s': %s", what, want, got, err);
  if (note && !note[0])
    CHECK(!strstr(err, "labels:"), "%s: no note: %s", what, err);
  else if (note)
    CHECK(strstr(err, note), "%s: note '%s': %s", what, note, err);
}

static void test_labels(void) {
  static const int types[] = {4, 512, 8, 768, 1024, 1280, 16, 64};
  Scene s = plain;
  scene_write("chi.nii", &plain, chi);
  three_boxes(0);
  for (int i = 0; i < COUNT_OF(types); i++) {
    s.type = types[i];
    expect_lesions(&s, "02 07 300 ", "", nifti_datatype_name(types[i]));
  }
  s.type = 16;
  for (int64_t i = 0; i < NVOX; i++) lab[i] -= 1e-6 * lab[i];
  expect_lesions(&s, "02 07 300 ", "rounded", "rounding noise");
  three_boxes(0);
  for (int64_t i = 0; i < NVOX; i++) lab[i] = lab[i] == 300 ? 1 : lab[i];
  s.type = 64; /* 8 bits of 7/255, as float64: 0.988, 1.976, 7 */
  for (int64_t i = 0; i < NVOX; i++) lab[i] = rint(lab[i] * 255 / 7) * 7 / 255;
  s.type = 2;
  s.slope = 7 / 255.;
  expect_lesions(&s, "01 02 07 ", "rounded", "8 bits with a slope of 7/255");
  s = plain;
  s.type = 64;
  expect_lesions(&s, "01 02 07 ", "rounded", "the same as float64");
  three_boxes(0);
  for (int64_t i = 0; i < NVOX; i++) lab[i] = lab[i] == 300 ? 16777215 : lab[i];
  expect_lesions(&s, "02 07 16777215 ", "", "a label of 24 bits");
  three_boxes(255);
  s.type = 2;
  expect_lesions(&s, "01 02 03 ", "one value beside 0 (255)", "a mask of 0 and 255");
  three_boxes(1);
  expect_lesions(&s, "01 02 03 ", "", "a mask of 0 and 1");
  three_boxes(4);
  expect_lesions(&s, "01 02 03 ", "one value beside 0 (4)", "a mask of 0 and 4");
  for (int64_t i = 0; i < NVOX; i++)
    if (i % NX < 50) lab[i] = 0;
  expect_lesions(&s, "04 ", "", "one lesion with number 4");
  for (int64_t i = 0; i < NVOX; i++) lab[i] = i >= NVOX / 2;
  expect_lesions(&s, "01 ", "lesion 1 fills 50 % of the volume", "half a brain as a lesion");
}

static void test_bad_labels(void) {
  Scene s = plain;
  three_boxes(0);
  lab[0] = -1;
  scene_write("lab.nii", &s, lab);
  refuse_crop(CROP, "value -1", "a negative label");
  lab[0] = 2.5;
  scene_write("lab.nii", &s, lab);
  refuse_crop(CROP, "value 2.5", "half a label");
  lab[0] = 20000000;
  scene_write("lab.nii", &s, lab);
  refuse_crop(CROP, "renumber", "a label beyond 24 bits");
  for (int64_t i = 0; i < NVOX; i++) lab[i] = (double)(i % 100) / 100;
  scene_write("lab.nii", &s, lab);
  refuse_crop(CROP, "threshold a probability map", "probabilities");
  for (int64_t i = 0; i < NVOX; i++) lab[i] = 0;
  scene_write("lab.nii", &s, lab);
  refuse_crop(CROP, "label map is empty", "nothing drawn");
  scene_fill();
}

/* ---- pack ---- */
static void table_of(const char *chi_name, const char *mask_name) {
  char t[400];
  snprintf(t, sizeof t, "subject\tlesion\tchi\tmask\treader1\treader2\nsub-1\t1\t%s\t%s\t1\t1\n",
           chi_name, mask_name);
  put_file(in_dir("t.tsv"), t, strlen(t));
}

/* A patch of 96 x 96 x 40 stored in ten ways, its mask in another: the same images to the bit. */
static void test_pack_axes(void) {
  float *first = NULL;
  int64_t n = 0;
  for (int64_t i = 0; i < NVOX; i++) chi[i] = 0.3 * lab[i] - 1e-3 * (double)(i % 89 + i % 7);
  for (int a = 0; a < COUNT_OF(axes); a++) {
    Scene s = plain, m = mask8;
    Dataset d;
    Error e = {0};
    s.qcode = m.qcode = 0;
    s.axes = &axes[a];
    m.axes = &axes[(3 * a + 1) % COUNT_OF(axes)];
    scene_write("chi.nii", &s, chi);
    scene_write("lab.nii", &m, lab);
    table_of("chi.nii", "lab.nii");
    CHECK(run_tool(tool_pack, "pack @t.tsv -o @d.safetensors --size 96 --no-sheet") == 0 &&
              dataset_open(&d, in_dir("d.safetensors"), &e) == ST_OK,
          "%s: %s %s", axes[a].name, err, e.msg);
    const size_t bytes = (size_t)(d.n * d.h * d.w) * sizeof(float);
    float *img = malloc(bytes);
    memcpy(img, d.images, bytes);
    CHECK(d.n == 4 && (!first || (d.n == n && !memcmp(img, first, bytes))),
          "%s: the same %d images", axes[a].name, (int)d.n);
    n = d.n;
    if (first)
      free(img);
    else
      first = img;
    dataset_free(&d);
  }
  free(first);
  scene_fill();
}

static void test_pack_values(void) {
  Scene two = plain, q = mask8;
  two.scode = 2;
  two.qshift = 3;
  q.sshift = q.qshift = 3;
  static const char pack[] = "pack @t.tsv -o @d.safetensors --size 96 --no-sheet";
  for (int64_t i = 0; i < NVOX; i++) chi[i] = 0.3 * lab[i] - 1e-3;
  scene_write("chi.nii", &two, chi);
  scene_write("lab.nii", &q, lab);
  CHECK(run_tool(tool_pack, pack) == 0 && strstr(err, "disagree by up to 3 mm") &&
            strstr(err, "fits the qform"),
        "pack: a mask on the qform of the map: %s", err);
  chi[0] = NAN;
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &mask8, lab);
  CHECK(run_tool(tool_pack, pack) == 1 && strstr(err, "NaN at voxel (0, 0, 0)"), "NaN: %s", err);
  CHECK(run_tool(tool_pack, "pack @t.tsv -o @d.safetensors --size 96 --no-sheet --nan zero") == 0 &&
            strstr(err, "taken as 0"),
        "--nan zero: %s", err);
  scene_fill();
  for (int64_t i = 0; i < NVOX; i++) {
    chi[i] -= 1e-3;
    lab[i] = lab[i] > 0 ? 0.9 : i % 3 * 1e-5; /* resampled, with noise around 0 */
  }
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &plain, lab);
  CHECK(run_tool(tool_pack, pack) == 0 && strstr(out, "4 images") && strstr(err, "fractions"),
        "a mask of fractions: 4 slices: %s %s", out, err);
  scene_fill();
}

/* What no real lesion looks like is said: a map of one value, a lesion beyond its patch, one file
 * as two. */
static void test_doubts(void) {
  for (int64_t i = 0; i < NVOX; i++) chi[i] = 0.25;
  scene_write("chi.nii", &plain, chi);
  scene_write("lab.nii", &mask8, lab);
  expect_crop(CROP, 0.25, 1e-7, "is constant there (0.25 ppm)", "a map of one value");
  CHECK(run_tool(tool_pack, "pack @t.tsv -o @d.safetensors --size 96 --no-sheet --slices central "
                            "--clip-at 4") == 0 &&
            strstr(err, "is constant"),
        "pack of a map of one value: %s", err);
  scene_fill();
  scene_write("chi.nii", &plain, chi);
  for (int64_t i = 0; i < NVOX; i++) lab[i] = 1;
  scene_write("lab.nii", &mask8, lab);
  wipe("o");
  CHECK(run_tool(tool_crop, CROP) == 0 && strstr(err, "is larger than its patch"),
        "all is lesion: %s", err);
  refuse_crop("crop @chi.nii @chi.nii --subject s -o @p", "as chi and as label map", "one file");
  refuse_crop("crop @chi.nii @lab.nii --subject s\t1 -o @p", "control character", "a tab");
  scene_fill();
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_crop_%ld", (long)getpid());
  Error e;
  if (dir_make(dir, &e) != ST_OK) {
    printf("FAIL %s\n", e.msg);
    return 1;
  }
  scene_fill();
  test_units();
  const size_t live = mem_live_count(); /* the pool of threads stays */
  test_frames();
  test_shear();
  test_axes();
  test_not_finite();
  test_chi_units();
  test_labels();
  test_bad_labels();
  test_pack_axes();
  test_pack_values();
  test_doubts();
  CHECK(mem_live_count() == live, "%zu blocks leaked", mem_live_count() - live);
  snprintf(err, sizeof err, "rm -rf '%s'", dir);
  CHECK(system(err) == 0, "%s", err);
  return test_end();
}
