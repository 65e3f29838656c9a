/* test_pack.c: from volumes to data sets and back: resampling, components, windows, slices, splits,
 * leak check, streamed writing. All files are made here. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "core/rng.h"
#include "io/formats/file.h"
#include "io/formats/nifti.h"
#include "io/images/dataset.h"
#include "io/images/lesion.h"
#include "io/images/leak.h"
#include "io/images/split.h"
#include "test/test.h"

static char dir[64], pathbuf[4][200];
static int turn;
static const char *in_dir(const char *name) {
  char *p = pathbuf[turn++ & 3];
  snprintf(p, sizeof pathbuf[0], "%s/%s", dir, name);
  return p;
}

/* ---- grids ---- */
static Grid grid(int64_t x, int64_t y, int64_t z, double hx, double hy, double hz) {
  return (Grid){{x, y, z}, {hx, 0, 0, -3, 0, hy, 0, 2, 0, 0, hz, 5, 0, 0, 0, 1}};
}

static double quadratic(const double p[3]) {
  return 2 * p[0] - 3 * p[1] + 0.5 * p[2] + 0.1 * p[0] * p[1] + 0.02 * p[2] * p[2] + 1;
}

static void paint(const Grid *g, float *v, double (*f)(const double *)) {
  for (int64_t k = 0; k < g->dim[2]; k++)
    for (int64_t j = 0; j < g->dim[1]; j++)
      for (int64_t i = 0; i < g->dim[0]; i++) {
        double at[3] = {(double)i, (double)j, (double)k}, mm[3];
        grid_mm(g, at, mm);
        *v++ = (float)f(mm);
      }
}

static void test_resample(void) {
  Grid a = grid(20, 18, 16, 0.8, 0.9, 1.1), b = a;
  float *v = mem_alloc(20 * 18 * 16 * 4), *w = mem_alloc(64 * 64 * 24 * 4);
  Error e;
  paint(&a, v, quadratic);
  CHECK(grid_resample(v, &a, w, &a, INTERP_CUBIC, 7, &e) == ST_OK &&
            !memcmp(v, w, 20 * 18 * 16 * 4),
        "the same grid is copied to the bit");
  b.affine[3] += 3 * 0.8;
  b.affine[11] -= 2 * 1.1;
  CHECK(grid_resample(v, &a, w, &b, INTERP_CUBIC, 7, &e) == ST_OK, "shifted by whole voxels");
  int wrong = 0;
  for (int k = 0; k < 16; k++)
    for (int j = 0; j < 18; j++)
      for (int i = 0; i < 20; i++)
        wrong += w[(k * 18 + j) * 20 + i] !=
                 (i + 3 < 20 && k >= 2 ? v[((k - 2) * 18 + j) * 20 + i + 3] : 7);
  CHECK(!wrong, "whole voxels are copied, the rest is padded: %d wrong", wrong);
  /* a rotated grid inside: Catmull-Rom reproduces polynomials of second order, also through
   * averaging up to a constant */
  const double c = cos(0.4), s = sin(0.4);
  Grid r = {{6, 6, 5},
            {0.4 * c, -0.4 * s, 0, 3, 0.4 * s, 0.4 * c, 0, 7, 0, 0, 0.7, 10, 0, 0, 0, 1}};
  CHECK(grid_resample(v, &a, w, &r, INTERP_CUBIC, 0, &e) == ST_OK, "rotated");
  double worst = 0;
  for (int k = 0; k < 5; k++)
    for (int j = 0; j < 6; j++)
      for (int i = 0; i < 6; i++) {
        double at[3] = {i, j, k}, mm[3];
        grid_mm(&r, at, mm);
        worst = fmax(worst, fabs(w[(k * 6 + j) * 6 + i] - quadratic(mm)));
      }
  CHECK(worst < 1e-4, "rotated cubic interpolation of a quadratic: error %g", worst);
  Grid coarse = {{4, 4, 3},
                 {3.2, 0, 0, -3 + 1.2, 0, 3.6, 0, 2 + 1.35, 0, 0, 4.4, 5 + 1.65, 0, 0, 0, 1}};
  for (int i = 0; i < 20 * 18 * 16; i++) v[i] = i % 2 ? 1.0f : -1.0f;
  CHECK(grid_resample(v, &a, w, &coarse, INTERP_LINEAR, 0, &e) == ST_OK && fabsf(w[21]) < 0.2f,
        "a finer pattern is averaged, not folded over: %g", (double)w[21]);
  b.affine[0] = 0;
  CHECK(grid_resample(v, &b, w, &a, INTERP_LINEAR, 0, &e) != ST_OK, "singular affine is refused");
  mem_free(v);
  mem_free(w);
}

/* Patches of volumes stored in any order of axes show the same tissue, axes towards right,
 * anterior, superior. */
static void test_patch(void) {
  static const int perm[3][3] = {{0, 1, 2}, {1, 2, 0}, {2, 0, 1}};
  Error e;
  float *out = mem_alloc(12 * 12 * 6 * 4);
  for (int t = 0; t < 24; t++) {
    const double step[3] = {t % 2 ? 0.5 : 0.4, t % 2 ? 0.5 : 0.4, t % 2 ? 2 : 1};
    Grid g = {{40, 40, 40}, {0}};
    g.affine[15] = 1;
    /* column perm[r] runs along axis r of the head */
    for (int r = 0; r < 3; r++) {
      const double sign = t >> (r + 1) & 1 ? -1 : 1, h = step[r];
      g.affine[4 * r + perm[t / 8][r]] = sign * h;
      g.affine[4 * r + 3] = -sign * h * 20 + 0.3 * r;
    }
    float *v = mem_alloc(40 * 40 * 40 * 4);
    paint(&g, v, quadratic);
    double centre[3] = {21.3, 18.7, 19.6}, mm[3], pm[3], mid[3] = {5.5, 5.5, 2.5}, size[3],
           worst = 0;
    const int64_t dim[3] = {12, 12, 6};
    const double voxel[3] = {0.4, 0.4, 1};
    Grid p;
    bool exact;
    CHECK(grid_patch(&g, centre, dim, voxel, &p, &exact, &e) == ST_OK && exact == !(t % 2),
          "patch %d", t);
    grid_mm(&g, centre, mm);
    grid_mm(&p, mid, pm);
    grid_voxel_size(&p, size);
    for (int r = 0; r < 3; r++) {
      worst = fmax(worst, fabs(mm[r] - pm[r]) / voxel[r]);
      CHECK(p.affine[5 * r] > 0 && fabs(size[r] - voxel[r]) < 1e-9, "patch %d: axis %d", t, r);
    }
    CHECK(worst <= (exact ? 0.5 + 1e-9 : 1e-9), "patch %d: centre off by %g voxels", t, worst);
    CHECK(grid_resample(v, &g, out, &p, INTERP_CUBIC, 0, &e) == ST_OK, "resample");
    worst = 0;
    for (int k = 0; k < 6; k++)
      for (int i = 0; i < 12 * 12; i++) {
        double at[3] = {i % 12, i / 12, k};
        grid_mm(&p, at, mm);
        worst = fmax(worst, fabs(out[k * 144 + i] - quadratic(mm)));
      }
    CHECK(worst < 2e-4, "patch %d: world positions keep their values: %g", t, worst);
    mem_free(v);
  }
  mem_free(out);
}

static void test_components(void) {
  const int64_t d[3] = {5, 4, 3};
  float v[60] = {0};
  int32_t l[60], n;
  Error e;
  v[0] = v[1 * 20 + 1 * 5 + 1] = v[2 * 20 + 2 * 5 + 2] = 1; /* a diagonal */
  v[4] = 1;
  v[2 * 20 + 3 * 5 + 4] = 1;
  CHECK(grid_components(v, d, l, &n, &e) == ST_OK && n == 3, "26-connected: %d components", n);
  CHECK(l[0] == 1 && l[26] == 1 && l[52] == 1 && l[4] == 2 && l[59] == 3 && l[1] == 0,
        "numbered by the first voxel");
}

/* ---- windows ---- */
static void test_window(void) {
  Window w;
  char t[80];
  CHECK(window_parse("-100,150", &w) && w.mode == WINDOW_FIXED && w.lo == -100 && w.hi == 150,
        "lo,hi");
  CHECK(window_parse("slice -80.5,57", &w) && w.mode == WINDOW_SLICE && w.lo == -80.5, "slice");
  window_text(&w, t);
  CHECK(!strcmp(t, "slice -80.5,57"), "text %s", t);
  CHECK(window_parse("median", &w) && w.mode == WINDOW_MEDIAN && window_parse("display", &w) &&
            w.mode == WINDOW_DISPLAY,
        "median, display");
  CHECK(!window_parse("150,-100", &w) && !window_parse("1,nan", &w) && !window_parse("1", &w) &&
            !window_parse("slices", &w) && !window_parse("1,2,3", &w),
        "bad windows");
  Channel ch[CH_COUNT];
  CHECK(channels_parse("chi,rim,flair", ch) == 3 && ch[2] == CH_FLAIR &&
            channels_parse("flair", ch) == 1,
        "channels");
  CHECK(!channels_parse("chi,chi", ch) && !channels_parse("chi,", ch) && !channels_parse("", ch) &&
            !channels_parse("t1", ch),
        "bad channels");
}

/* ---- a small cohort ---- */
enum { W = 8, H = 8, D = 5, N = W * H * D };
static const double affine[16] = {0.4, 0, 0, -1.4, 0, 0.4, 0, -1.4, 0, 0, 1, 7, 0, 0, 0, 1};
static const char head[] = "subject\tlesion\tchi\tflair\trim\tmask\treader1\treader2\n";
static void volume(const char *name, float (*f)(int i, Rng *r), uint64_t seed) {
  float v[N];
  Error e = {0};
  Rng r = {.seed = seed};
  const int64_t dim[4] = {W, H, D, 1};
  for (int i = 0; i < N; i++) v[i] = f(i, &r);
  CHECK(nifti_write(in_dir(name), v, dim, affine, "test", &e) == ST_OK, "%s", e.msg);
}

static float chi_value(int i, Rng *r) { return (float)(rng_normal(r) * 0.03); }
static float ppb_value(int i, Rng *r) { return (float)(rng_normal(r) * 30); }
static float flair_value(int i, Rng *r) { return (float)(100 + 20 * rng_uniform(r)); }
static float rim_value(int i, Rng *r) { return i % 7 == 0; }
static float mask_value(int i, Rng *r) {
  return i / (W * H) == 2 || (i / (W * H) == 3 && i % (W * H) == 9);
}

static float zero_value(int i, Rng *r) { return 0; }
static float nan_value(int i, Rng *r) { return i == 70 ? NAN : 0.01f; }
static void text(const char *name, const char *t) {
  Error e;
  CHECK(file_write_atomic(in_dir(name), t, strlen(t), &e) == ST_OK, "write %s", name);
}

static void make_cohort(void) {
  volume("chi.nii.gz", chi_value, 1);
  volume("ppb.nii.gz", ppb_value, 2);
  volume("flair.nii.gz", flair_value, 3);
  volume("rim.nii.gz", rim_value, 4);
  volume("mask.nii.gz", mask_value, 5);
  volume("zero.nii.gz", zero_value, 6);
  volume("nan.nii.gz", nan_value, 7);
  float v[2 * N] = {0};
  Error e;
  const int64_t smaller[4] = {W, H, D - 1, 1}, four[4] = {W, H, D, 2}, same[4] = {W, H, D, 1};
  double moved[16];
  memcpy(moved, affine, sizeof moved);
  moved[3] += 0.2;
  CHECK(nifti_write(in_dir("small.nii.gz"), v, smaller, affine, "", &e) == ST_OK &&
            nifti_write(in_dir("four.nii.gz"), v, four, affine, "", &e) == ST_OK &&
            nifti_write(in_dir("moved.nii.gz"), v, same, moved, "", &e) == ST_OK,
        "volumes");
}

/* lesion_read of a row with these files must fail with ST `code` and name the row and `word`. */
static void refuse(const char *chi, const char *flair, const char *rim, const char *mask,
                   unsigned channels, ChiUnits units, const char *word) {
  char t[700], warning[LESION_WARNING];
  Cohort c;
  Error e = {0};
  LesionVolumes v;
  snprintf(t, sizeof t, "%ssub-1\t1\t%s\t%s\t%s\t%s\t1\t0\n", head, chi, flair, rim, mask);
  text("lesions.tsv", t);
  CHECK(cohort_open(&c, in_dir("lesions.tsv"), &e) == ST_OK, "%s", e.msg);
  CHECK(lesion_read(&c, 0, channels, units, NAN_REFUSE, &v, warning, &e) != ST_OK &&
            strstr(e.msg, "lesions.tsv: row 2: ") && strstr(e.msg, word) && !strchr(e.msg, '\n'),
        "%s: %s", word, e.msg);
  cohort_free(&c);
}

/* Slices with at least half the rim of the one that has most; the mask where the map is empty. */
static void test_rim_slices(const LesionVolumes *v) {
  const int64_t hw = v->grid.dim[0] * v->grid.dim[1];
  float *map = mem_alloc((size_t)(D * hw) * sizeof *map), *mask = mem_alloc((size_t)(D * hw) * 4);
  LesionVolumes u = *v;
  int z[D];
  u.vol[CH_RIM] = map;
  u.mask = mask;
  for (int i = 0; i < 5; i++) mask[1 * hw + i] = 1;
  for (int i = 0; i < 2; i++) mask[2 * hw + i] = 1;
  CHECK(lesion_slices(&u, SLICES_RIM, z) == 1 && z[0] == 1, "an empty map: the mask, 2 of 5 fall");
  map[0] = 0.5f;
  map[hw] = 0.9f;
  map[2 * hw] = 0.4f;
  map[2 * hw + 1] = -7;
  CHECK(lesion_slices(&u, SLICES_RIM, z) == 2 && z[0] == 0 && z[1] == 1, "0.5 and 0.9 of 0.9");
  u.vol[CH_RIM] = NULL;
  u.mask = NULL;
  CHECK(lesion_slices(&u, SLICES_RIM, z) == 0, "neither map nor mask: no slice");
  mem_free(map);
  mem_free(mask);
}

static void test_lesion(void) {
  char t[900], warning[LESION_WARNING];
  Cohort c;
  Error e = {0};
  LesionVolumes v;
  snprintf(t, sizeof t,
           "%ssub-1\t1\tchi.nii.gz\tflair.nii.gz\trim.nii.gz\tmask.nii.gz\t1\t0\nsub-1\t2\tppb.nii."
           "gz\tn/a\tn/a\tn/a\tn/a\tn/a\n",
           head);
  text("lesions.tsv", t);
  CHECK(cohort_open(&c, in_dir("lesions.tsv"), &e) == ST_OK && c.n == 2 &&
            c.lesion[0].cls == CLASS_AMBIGUOUS && c.lesion[1].cls == CLASS_UNREAD,
        "%s", e.msg);
  CHECK(lesion_read(&c, 0, 7, UNITS_PPM, NAN_REFUSE, &v, warning, &e) == ST_OK && !warning[0],
        "read: %s %s", e.msg, warning);
  int z[D];
  CHECK(lesion_slices(&v, SLICES_LESION, z) == 2 && z[0] == 2 && z[1] == 3,
        "lesion-bearing slices");
  CHECK(lesion_slices(&v, SLICES_CENTRAL, z) == 1 && z[0] == 2,
        "central slice: most of the lesion");
  CHECK(lesion_slices(&v, SLICES_ALL, z) == D, "all slices");
  test_rim_slices(&v);
  /* voxels -> network -> voxels, with every kind of window */
  static const Channel ch[3] = {CH_CHI, CH_RIM, CH_FLAIR};
  for (int kind = 0; kind < 2; kind++) {
    Window w[CH_COUNT] = {[CH_CHI] = {kind ? WINDOW_SLICE : WINDOW_FIXED, -100, 150},
                          [CH_RIM] = {WINDOW_FIXED, 0, 1},
                          [CH_FLAIR] = {kind ? WINDOW_SLICE : WINDOW_MEDIAN, 0, 0}};
    double lim[6], worst = 0, top = 0;
    float img[3 * W * H], back[W * H];
    lesion_limits(&v, 3, ch, 3, w, lim);
    lesion_image(&v, 3, ch, 3, lim, img);
    for (int k = 0; k < 3; k++) {
      image_to_volume(img + k * W * H, W * H, ch[k], lim + 2 * k, back);
      const double scale = ch[k] == CH_CHI ? 250e-3 : ch[k] == CH_RIM ? 1 : 250;
      for (int i = 0; i < W * H; i++)
        worst = fmax(worst, fabs(back[i] - v.vol[ch[k]][3 * W * H + i]) / scale);
    }
    for (int i = 0; i < W * H; i++) top = fmax(top, fabs(img[i]));
    CHECK(worst < 1.2e-7, "round trip to float rounding: %g of the window", worst);
    if (kind)
      CHECK(top == 1, "slice window reaches -1 and 1: %g", top);
    else
      CHECK(lim[4] == 0 && fabs(lim[5] - 2.5 * v.flair_median) < 1e-9, "FLAIR window");
  }
  lesion_free(&v);
  CHECK(lesion_read(&c, 1, 1, UNITS_PPB, NAN_REFUSE, &v, warning, &e) == ST_OK &&
            v.scale[CH_CHI] == 1 && !v.mask,
        "ppb volume: %s", e.msg);
  lesion_free(&v);
  cohort_free(&c);
  refuse("ppb.nii.gz", "n/a", "n/a", "n/a", 1, UNITS_PPM, "--units ppb");
  refuse("chi.nii.gz", "n/a", "n/a", "n/a", 1, UNITS_PPB, "look like ppm");
  refuse("chi.nii.gz", "n/a", "n/a", "n/a", 1 | 1 << CH_FLAIR, UNITS_PPM, "no flair file");
  refuse("chi.nii.gz", "zero.nii.gz", "n/a", "n/a", 1 | 1 << CH_FLAIR, UNITS_PPM,
         "without positive values");
  refuse("nan.nii.gz", "n/a", "n/a", "n/a", 1, UNITS_PPM, "NaN at voxel (6, 0, 1)");
  refuse("four.nii.gz", "n/a", "n/a", "n/a", 1, UNITS_PPM, "one 3-D volume");
  refuse("chi.nii.gz", "n/a", "n/a", "small.nii.gz", 1, UNITS_PPM, "mask of 8 x 8 x 4");
  refuse("chi.nii.gz", "n/a", "moved.nii.gz", "n/a", 1 | 1 << CH_RIM, UNITS_PPM, "0.2 mm away");
  refuse("lesions.tsv", "n/a", "n/a", "n/a", 1, UNITS_PPM, "lesions.tsv");
  char name[PATCH_NAME], rel[300];
  patch_name("sub-01", "", "lesion-3", PATCH_CHI, name);
  CHECK(!strcmp(name, "sub-01/anat/sub-01_desc-lesion3_Chimap"), "%s", name);
  patch_name("01", "ses-02_run-1", "03", PATCH_MASK, name);
  CHECK(!strcmp(name, "sub-01/ses-02/anat/sub-01_ses-02_run-1_label-lesion_desc-lesion03_mask"),
        "%s", name);
  patch_name("A/../b", "", "x y", PATCH_FLAIR, name);
  CHECK(!strcmp(name, "sub-Ab/anat/sub-Ab_desc-lesionxy_FLAIR"), "%s", name);
  char sub[200], sibling[200];
  snprintf(sub, sizeof sub, "%s/out", dir);
  snprintf(sibling, sizeof sibling, "%s/outer", dir);
  CHECK(dir_make(sub, &e) == ST_OK && dir_make(sibling, &e) == ST_OK &&
            path_relative(sub, in_dir("chi.nii.gz"), rel, sizeof rel, &e) == ST_OK &&
            !strcmp(rel, "../chi.nii.gz"),
        "relative: %s", rel);
  CHECK(path_relative(dir, in_dir("chi.nii.gz"), rel, sizeof rel, &e) == ST_OK &&
            !strcmp(rel, "chi.nii.gz"),
        "relative: %s", rel);
  CHECK(path_relative(sub, sibling, rel, sizeof rel, &e) == ST_OK && !strcmp(rel, "../outer"),
        "relative: %s", rel);
}

/* ---- split ---- */
enum { SUBJECTS = 256, LESIONS = 8000 };
/* As in the paper: 260 rim lesions, 35 patients with one, 18 with two, 39 with more; 177 ambiguous;
 * the others spread over all. */
static void many(SplitItem *it, uint64_t seed) {
  Rng r = {.seed = seed};
  for (int i = 0; i < LESIONS; i++) {
    const int sub = (int)rng_below(&r, SUBJECTS), who = i < 35   ? i
                                                        : i < 71 ? 35 + (i - 35) / 2
                                                                 : 53 + (i - 71) % 39;
    it[i] = i < 260 ? (SplitItem){who * 2, CLASS_RIM, false}
                    : (SplitItem){sub, i < 437 ? CLASS_AMBIGUOUS : CLASS_NONRIM, false};
  }
}

static void test_split(void) {
  SplitItem *it = mem_alloc((LESIONS + 4) * sizeof *it);
  Part *a = mem_alloc((LESIONS + 4) * sizeof *a), *b = mem_alloc((LESIONS + 4) * sizeof *b);
  Error e = {0};
  for (uint64_t seed = 0; seed < 4; seed++) {
    many(it, seed);
    SplitRule r = {{400, 200}, {120, 60}, 100, true, true, false, seed};
    int64_t n[4][4] = {{0}};
    int first;
    CHECK(split_make(it, LESIONS, SUBJECTS, &r, a, &e) == ST_OK, "paper counts: %s", e.msg);
    for (int i = 0; i < LESIONS; i++) n[a[i]][it[i].cls]++;
    CHECK(n[PART_TRAIN][CLASS_RIM] == 200 && n[PART_TRAIN][CLASS_NONRIM] == 400 &&
              n[PART_TEST][CLASS_RIM] == 60 && n[PART_TEST][CLASS_NONRIM] == 120 &&
              n[PART_AMBIGUOUS][CLASS_AMBIGUOUS] == 100,
          "counts as asked");
    CHECK(n[PART_TRAIN][CLASS_AMBIGUOUS] == 0 && n[PART_TEST][CLASS_AMBIGUOUS] == 0 &&
              n[PART_AMBIGUOUS][CLASS_RIM] == 0,
          "ambiguous lesions stay out");
    CHECK(split_leaks(it, LESIONS, SUBJECTS, a, &first, &e) == 0 && first == -1,
          "no subject on both sides");
    CHECK(split_make(it, LESIONS, SUBJECTS, &r, b, &e) == ST_OK &&
              !memcmp(a, b, LESIONS * sizeof *a),
          "the same seed, the same split");
    /* denoised lesions of everyone come on top, in training only, and move nobody */
    int in_test = -1, outside = -1;
    for (int i = 0; i < LESIONS; i++)
      if (a[i] == PART_TEST) in_test = it[i].subject;
    for (int i = 0; i < LESIONS; i++)
      if (a[i] == PART_TRAIN) outside = it[i].subject;
    it[LESIONS] = (SplitItem){in_test, CLASS_RIM, true};
    it[LESIONS + 1] = (SplitItem){outside, CLASS_RIM, true};
    CHECK(split_make(it, LESIONS + 2, SUBJECTS, &r, b, &e) == ST_OK &&
              !memcmp(a, b, LESIONS * sizeof *a) && b[LESIONS] == PART_NONE &&
              b[LESIONS + 1] == PART_TRAIN,
          "denoised lesions");
    r.seed += 100;
    CHECK(split_make(it, LESIONS, SUBJECTS, &r, b, &e) == ST_OK &&
              memcmp(a, b, LESIONS * sizeof *a),
          "another seed, another split");
    r.by_lesion = true;
    CHECK(split_make(it, LESIONS, SUBJECTS, &r, b, &e) == ST_OK &&
              split_leaks(it, LESIONS, SUBJECTS, b, &first, &e) > 0 && first >= 0,
          "split by lesion leaks, and is caught");
    r = (SplitRule){{-1, -1}, {-1, -1}, -1, true, true, false, seed};
    CHECK(split_make(it, LESIONS, SUBJECTS, &r, b, &e) == ST_OK &&
              split_leaks(it, LESIONS, SUBJECTS, b, &first, &e) == 0,
          "counts by proportion: %s", e.msg);
    r.test[CLASS_RIM] = 5000;
    CHECK(split_make(it, LESIONS, SUBJECTS, &r, b, &e) == ST_INVALID &&
              strstr(e.msg, "5000 rim lesions asked for the test") && strstr(e.msg, "found"),
          "too many: %s", e.msg);
  }
  mem_free(it);
  mem_free(a);
  mem_free(b);
}

/* ---- data sets ---- */
enum { IMG = 4, PER = 2 * 4 * 4 };
typedef struct Feed {
  int next;
  float buf[PER * 3];
  bool fail;
} Feed;
/* images that are not each other's brighter copies */
static float pixel(int image, int i) {
  return (float)(0.4 * sin(0.001 * (image + 3) * i * i) + i * 1e-4 - 0.2);
}
static Status feed(void *ctx, const void **piece, size_t *bytes, Error *e) {
  Feed *f = ctx;
  if (f->fail && f->next > 2) return err_set(e, ST_IO, "feed failed");
  const int n = f->next % 5 == 2 ? 3 : 2;
  for (int k = 0; k < n; k++)
    for (int i = 0; i < PER; i++) f->buf[k * PER + i] = pixel(f->next + k, i);
  f->next += n;
  *piece = f->buf;
  *bytes = (size_t)n * PER * sizeof(float);
  return ST_OK;
}

static Dataset dataset(const char *subject, const char *part, int images) {
  Dataset d = {.n = images, .channels = 2, .h = IMG, .w = IMG, .path = mem_strdup("test")};
  Error e;
  d.src = lesions_new(2, 2, images, 2);
  d.labels = mem_alloc((size_t)images * 8);
  d.names = mem_alloc((size_t)images * 64);
  for (int i = 0; i < images; i++) {
    d.src->lesion[i] = i % 2;
    d.src->slice[i] = i % 3;
    for (int k = 0; k < 4; k++) d.src->window[4 * i + k] = k % 2 ? 150 + i : -100;
    snprintf(d.names[i], 64, "image%d", i);
  }
  for (int l = 0; l < 2; l++) {
    snprintf(d.src->name[l], 64, "%d", l);
    snprintf(d.src->subject[l], 64, "%s%d", subject, l);
    d.src->subject_of[l] = l;
    for (int k = 0; k < 3; k++) d.src->dim[3 * l + k] = 4;
    d.src->affine[16 * l] = 0.4;
  }
  CHECK(dataset_set_meta(&d, "split", part, &e) == ST_OK, "meta");
  return d;
}

static void test_dataset(void) {
  Error e = {0};
  Feed f = {0};
  Dataset d = dataset("sub-", "train", 10), r;
  CHECK(dataset_save_stream(&d, in_dir("a.safetensors"), feed, &f, &e) == ST_OK,
        "streamed writing: %s", e.msg);
  CHECK(dataset_open(&r, in_dir("a.safetensors"), &e) == ST_OK && r.src && r.src->n == 2 &&
            r.src->nsubjects == 2,
        "read back: %s", e.msg);
  int wrong = 0;
  for (int i = 0; i < 10 * PER; i++) wrong += r.images[i] != pixel(i / PER, i % PER);
  CHECK(!wrong && r.src->slice[4] == 1 && r.src->window[4 * 7 + 1] == 157 &&
            !strcmp(r.src->subject[1], "sub-1") && r.src->affine[16] == 0.4,
        "all of it is there: %d", wrong);
  const int64_t pick[3] = {7, 2, 2};
  CHECK(dataset_select(&r, pick, 3, &e) == ST_OK && r.n == 3 && r.images[0] == pixel(7, 0) &&
            r.src->lesion[0] == 1 && r.src->slice[1] == 2 && !strcmp(r.names[2], "image2"),
        "a part of it");
  dataset_free(&r);
  f = (Feed){.fail = true};
  CHECK(dataset_save_stream(&d, in_dir("b.safetensors"), feed, &f, &e) == ST_IO &&
            !file_exists(in_dir("b.safetensors")),
        "a failing stream leaves no file");
  f = (Feed){0};
  /* pieces of 2 and 3 do not add up to 8: a fault of the caller, not a broken file */
  d.n = 8;
  CHECK(dataset_save_stream(&d, in_dir("b.safetensors"), feed, &f, &e) == ST_INTERNAL &&
            !file_exists(in_dir("b.safetensors")),
        "too long a stream: %s", e.msg);
  d.n = 10;
  d.src->lesion[3] = 2;
  f = (Feed){0};
  CHECK(dataset_save_stream(&d, in_dir("b.safetensors"), feed, &f, &e) != ST_OK ||
            dataset_open(&r, in_dir("b.safetensors"), &e) == ST_FORMAT,
        "indices out of range are refused: %s", e.msg);
  dataset_free(&d);
}

static Status save(const char *name, const char *subject, const char *part, int first) {
  Error e;
  Dataset d = dataset(subject, part, 6);
  d.images = mem_alloc(6 * PER * sizeof(float));
  for (int i = 0; i < 6 * PER; i++) d.images[i] = pixel(first + i / PER, i % PER);
  const Status s = dataset_save(&d, in_dir(name), false, &e);
  dataset_free(&d);
  return s;
}

static void test_leaks(void) {
  Error e = {0};
  char p[5][200];
  static const char *const name[] = {"l0.safetensors", "l1.safetensors", "l2.safetensors",
                                     "l3.safetensors", "l4.safetensors"};
  for (int k = 0; k < 5; k++) snprintf(p[k], sizeof p[k], "%s/%s", dir, name[k]);
  CHECK(save(name[0], "sub-a", "train", 0) == ST_OK &&
            save(name[1], "sub-b", "test", 10) == ST_OK &&
            save(name[2], "sub-a", "test", 20) == ST_OK &&
            save(name[3], "sub-c", "train", 12) == ST_OK &&
            save(name[4], "sub-a", "ambiguous", 30) == ST_OK,
        "files");
  char *const good[] = {p[0], p[1]}, *const shared[] = {p[0], p[2]}, *const image[] = {p[1], p[3]},
              *const lesion[] = {p[0], p[4]};
  CHECK(leak_check_files(2, good, &e) == ST_OK, "no leak: %s", e.msg);
  CHECK(leak_check_files(2, shared, &e) == ST_INVALID && strstr(e.msg, "LEAK: subject sub-a0"),
        "subject in the test and in training: %s", e.msg);
  CHECK(leak_check_files(2, image, &e) == ST_INVALID && strstr(e.msg, "to the bit"),
        "the same image under another name: %s", e.msg);
  CHECK(leak_check_files(2, lesion, &e) == ST_INVALID && strstr(e.msg, "LEAK: lesion"),
        "the same lesion: %s", e.msg);
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_pack_XXXXXX");
  if (!mkdtemp(dir)) return 1;
  const size_t live = mem_live_count();
  test_resample();
  test_patch();
  test_components();
  test_window();
  make_cohort();
  test_lesion();
  test_split();
  test_dataset();
  test_leaks();
  CHECK(mem_live_count() == live, "no memory lost: %zu blocks", mem_live_count() - live);
  char cmd[100];
  snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
  if (system(cmd)) return 1;
  return test_end();
}
