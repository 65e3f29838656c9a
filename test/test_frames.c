/* test_frames.c: where voxels lie: units of length, sform and qform, twenty combinations of codes
 * and axes against closed forms, whether one volume lies on another, sheared axes, NaN, and the
 * unit of susceptibility. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "io/formats/file.h"
#include "io/formats/gzip.h"
#include "io/formats/nifti.h"
#include "io/images/chi_units.h"
#include "io/images/finite.h"
#include "io/images/match.h"
#include "test/nifti_bytes.h"
#include "test/test.h"

/* The same volume with lengths in every unit: the same affine in mm, from sform and from qform; a
 * code that means nothing is refused, and its header can still be looked at. */
static void test_units(void) {
  static const double per_mm[8] = {1, 1e-3, 1, 1e3};
  Made m;
  Nifti v, w;
  NiftiHeader h;
  Error e = {0};
  for (int version = 1; version <= 2; version++)
    for (int unit = 0; unit < 8; unit++)
      for (int form = 0; form < 3; form++) {
        begin(&m, version, false, false, 4, 16);
        add_voxels(&m, &kinds[2], m.n);
        m.n += 24;
        set(&m, UNITS, 0, unit | 8);
        set(&m, SCODE, 0, form == 1);
        set(&m, QCODE, 0, form == 2);
        const double k = unit < 4 ? per_mm[unit] : 1, voxel[3] = {2, 3, 4};
        for (int i = 0; i < 3; i++) {
          set(&m, PIXDIM, i + 1, voxel[i] * k);
          set(&m, QOFF, i, (7 + i) * k);
          for (int j = 0; j < 4; j++)
            set(&m, SROW, 4 * i + j, j == 3 ? (7 + i) * k : i == j ? voxel[i] * k : 0);
        }
        const Status s = nifti_decode(m.b, m.n, NULL, 0, "unit.nii", &v, &e);
        if (unit > 3) {
          put_file(in_dir("unit.nii"), m.b, m.n);
          CHECK(s == ST_FORMAT && good_message(&e, "unit.nii") && strstr(e.msg, "xyzt_units") &&
                    nifti_read_header(in_dir("unit.nii"), &h, &e) == ST_OK &&
                    strstr(h.warning, "unit code"),
                "unit %d: %s", unit, e.msg);
          continue;
        }
        CHECK(s == ST_OK, "unit %d: %s", unit, e.msg);
        double worst = 0;
        for (int i = 0; i < 3; i++) {
          worst = fmax(worst, fabs(v.head.affine[5 * i] - voxel[i]));
          worst = fmax(worst, fabs(v.head.pixdim[i + 1] - voxel[i]));
          worst = fmax(worst, fabs(v.head.affine[4 * i + 3] - (form ? 7 + i : 0)));
        }
        CHECK(worst < 1e-6 &&
                  !!strstr(v.head.warning, "converted to mm") == (unit == 1 || unit == 3),
              "unit %d, form %d: off by %g mm: %s", unit, form, worst, v.head.warning);
        CHECK(nifti_write_like(in_dir("mm.nii"), v.data, &v.head, &e) == ST_OK &&
                  nifti_read(in_dir("mm.nii"), &w, &e) == ST_OK && w.head.xyzt_units == 10,
              "written in mm: %s", e.msg);
        for (int i = 0; i < 16; i++) worst = fmax(worst, fabs(v.head.affine[i] - w.head.affine[i]));
        CHECK(worst < 1e-6, "unit %d, form %d: written %g mm off", unit, form, worst);
        nifti_free(&v);
        nifti_free(&w);
      }
}

/* A quaternion that is too long, voxel sizes that contradict the sform, bytes after the last gzip
 * member, pointers in place of files: each is said. */
static void test_odd_files(void) {
  Made m;
  Nifti v;
  Error e = {0};
  uint8_t *z;
  size_t nz;
  begin(&m, 1, false, false, 4, 16);
  add_voxels(&m, &kinds[2], m.n);
  m.n += 24;
  set(&m, PIXDIM, 1, 2.5);
  CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK &&
            strstr(v.head.warning, "by pixdim"),
        "pixdim against sform: %s", v.head.warning);
  nifti_free(&v);
  set(&m, SCODE, 0, 0);
  set(&m, QCODE, 0, 1);
  for (int i = 0; i < 3; i++) set(&m, QUAT, i, i == 0 ? 0.9 : i == 1 ? 0.7 : 0.3);
  CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK &&
            strstr(v.head.warning, "quaternion") && strstr(v.head.warning, "1.179"),
        "length of the quaternion: %s", v.head.warning);
  nifti_free(&v);
  CHECK(gzip_encode(m.b, m.n, &z, &nz, &e) == ST_OK, "%s", e.msg);
  uint8_t *more = malloc(nz + 40);
  memcpy(more, z, nz);
  static const char *const tails[] = {"export by viewer\n", "\r\n", "x", "\0\0\0tail"};
  for (int k = 0; k < COUNT_OF(tails); k++) {
    const size_t n = k == 3 ? 7 : strlen(tails[k]);
    memcpy(more + nz, tails[k], n);
    CHECK(nifti_decode(more, nz + n, NULL, 0, "t.nii.gz", &v, &e) == ST_OK &&
              strstr(v.head.warning, "after the compressed data"),
          "tail %d: %s %s", k, e.msg, v.head.warning);
    nifti_free(&v);
  }
  memcpy(more + nz, z, 12); /* a second member, cut short */
  CHECK(nifti_decode(more, nz + 12, NULL, 0, "t.nii.gz", &v, &e) == ST_FORMAT, "cut: %s", e.msg);
  mem_free(z);
  free(more);
  static const char annex[] = "/annex/objects/MD5E-s123456--0123456789abcdef.nii.gz\n",
                    lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n";
  CHECK(nifti_decode((const uint8_t *)annex, sizeof annex - 1, NULL, 0, "a.nii.gz", &v, &e) ==
                ST_FORMAT &&
            strstr(e.msg, "git-annex"),
        "%s", e.msg);
  CHECK(nifti_decode((const uint8_t *)lfs, sizeof lfs - 1, NULL, 0, "a.nii.gz", &v, &e) ==
                ST_FORMAT &&
            strstr(e.msg, "git-lfs"),
        "%s", e.msg);
}

/* ---- codes and axes ---- */
/* sform code, qform code, which one counts: 's', 'q' or nothing */
static const struct Codes {
  int s;
  int q;
  char counts;
} codes[] = {{1, 0, 's'}, {0, 1, 'q'}, {2, 1, 's'}, {1, 1, 's'}, {0, 4, 'q'}, {0, 0, 0}};

/* Quaternion of a rotation whose entries are 0, 1 and -1 (row-major): Shepperd's formula in its
 * simplest cases. */
static void signed_quaternion(const double R[9], double bcd[3]) {
  const double t = R[0] + R[4] + R[8];
  if (t > -0.5) {
    const double a = sqrt(1 + t) / 2;
    bcd[0] = (R[7] - R[5]) / (4 * a);
    bcd[1] = (R[2] - R[6]) / (4 * a);
    bcd[2] = (R[3] - R[1]) / (4 * a);
    return;
  }
  /* half a turn: b, c, d by the diagonal, signs by the sums, the first one positive */
  for (int i = 0; i < 3; i++) bcd[i] = sqrt(fmax(0, 1 + R[4 * i])) / sqrt(2);
  if (bcd[0] > 0) {
    if (R[1] + R[3] < 0) bcd[1] = -bcd[1];
    if (R[2] + R[6] < 0) bcd[2] = -bcd[2];
  } else if (R[5] + R[7] < 0)
    bcd[2] = -bcd[2];
}

static void set_forms(Made *m, const Axes *a, const struct Codes *k, double shift) {
  static const double voxel[3] = {0.5, 0.75, 2};
  const double s[3] = {-7.5, 20.25, 3}, q[3] = {-7.5 + shift, 20.25, 3};
  double A[16], R[9], bcd[3];
  axes_affine(a, voxel, s, A);
  for (int i = 0; i < 12; i++) set(m, SROW, i, A[i]);
  for (int i = 0; i < 9; i++) R[i] = A[4 * (i / 3) + i % 3] / voxel[i % 3];
  const double det = R[0] * (R[4] * R[8] - R[5] * R[7]) - R[1] * (R[3] * R[8] - R[5] * R[6]) +
                     R[2] * (R[3] * R[7] - R[4] * R[6]);
  for (int i = 0; i < 3; i++) R[3 * i + 2] *= det;
  signed_quaternion(R, bcd);
  set(m, PIXDIM, 0, det);
  for (int i = 0; i < 3; i++) {
    set(m, PIXDIM, i + 1, voxel[i]);
    set(m, QUAT, i, bcd[i]);
    set(m, QOFF, i, q[i]);
  }
  set(m, SCODE, 0, k->s);
  set(m, QCODE, 0, k->q);
}

/* Ten ways for axes to run, six pairs of codes, two versions: the affine, its letters, the
 * canonical grid and the voxels on it are what the closed form says. */
static void test_codes_and_axes(void) {
  static const double voxel[3] = {0.5, 0.75, 2};
  Made m;
  Nifti v;
  Error e = {0};
  char letters[4];
  for (int version = 1; version <= 2; version++)
    for (int a = 0; a < COUNT_OF(axes); a++)
      for (int c = 0; c < COUNT_OF(codes); c++) {
        const struct Codes *k = &codes[c];
        begin(&m, version, false, false, 4, 16);
        add_voxels(&m, &kinds[2], m.n);
        m.n += 24;
        set_forms(&m, &axes[a], k, k->s == 2 ? 3 : 0);
        CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK, "%s: %s", axes[a].name, e.msg);
        double want[16], worst = 0;
        const double at[3] = {-7.5, 20.25, 3}, none[3] = {0, 0, 0};
        axes_affine(k->counts ? &axes[a] : &axes[0], voxel, k->counts ? at : none, want);
        for (int i = 0; i < 16; i++) worst = fmax(worst, fabs(v.head.affine[i] - want[i]));
        nifti_orientation(&v.head, letters);
        CHECK(worst < 1e-6 && !strcmp(letters, k->counts ? axes[a].name : "RAS"),
              "%s, codes %d %d: affine off by %g, %s", axes[a].name, k->s, k->q, worst, letters);
        CHECK(!!strstr(v.head.warning, "disagree by up to 3 mm") == (k->s == 2) &&
                  !!strstr(v.head.warning, "no orientation") == !k->counts,
              "%s, codes %d %d: %s", axes[a].name, k->s, k->q, v.head.warning);
        const Grid own = grid_of(&v.head), ras = grid_canonical(&v.head);
        float turned[12];
        CHECK(grid_resample(v.data, &own, turned, &ras, INTERP_CUBIC, -1, &e) == ST_OK, "%s",
              e.msg);
        int wrong = 0;
        for (int64_t at3 = 0; at3 < 12; at3++) { /* every voxel is where it was */
          const double ijk[3] = {(double)(at3 % 2), (double)(at3 / 2 % 3), (double)(at3 / 6)};
          double mm[3], inv[16];
          grid_mm(&own, ijk, mm);
          affine_invert(ras.affine, inv, &e);
          int64_t q[3];
          for (int r = 0; r < 3; r++)
            q[r] = (int64_t)rint(inv[4 * r] * mm[0] + inv[4 * r + 1] * mm[1] +
                                 inv[4 * r + 2] * mm[2] + inv[4 * r + 3]);
          wrong += turned[(q[2] * ras.dim[1] + q[1]) * ras.dim[0] + q[0]] != v.data[at3];
        }
        for (int r = 0; r < 3; r++) wrong += !(ras.affine[5 * r] > 0);
        CHECK(wrong == 0, "%s, codes %d %d: canonical grid, %d wrong", axes[a].name, k->s, k->q,
              wrong);
        nifti_free(&v);
      }
}

/* ---- one volume on another ---- */
static NiftiHeader header_like(const Axes *a, const int64_t dim[3], const double voxel[3],
                               const double at[3]) {
  NiftiHeader h = {
      .version = 1, .ndim = 3, .form = NIFTI_SFORM, .sform_code = 1, .has_sform = true};
  for (int i = 0; i < 7; i++) h.dim[i + 1] = i < 3 ? dim[i] : 1;
  for (int i = 0; i < 3; i++) h.pixdim[i + 1] = voxel[i];
  h.nvox = dim[0] * dim[1] * dim[2];
  axes_affine(a, voxel, at, h.affine);
  memcpy(h.sform, h.affine, sizeof h.sform);
  return h;
}

static void check_match(const NiftiHeader *map, const NiftiHeader *v, int want, const char *what) {
  Match m;
  Error e = {0};
  const Status s = volume_match(map, v, "labels", "x.nii", &m, &e);
  if (want < 0)
    CHECK(s == ST_INVALID && good_message(&e, "x.nii"), "%s: refused: %s", what, e.msg);
  else
    CHECK(s == ST_OK && (int)m.kind == want, "%s: kind %d, expected %d: %s %s", what, m.kind, want,
          m.note, e.msg);
}

static void test_match(void) {
  static const int64_t dim[3] = {20, 24, 10}, half[3] = {20, 24, 5}, turned[3] = {24, 10, 20},
                       more[3] = {30, 24, 10};
  static const double voxel[3] = {0.4, 0.4, 1}, other[3] = {0.4, 0.4, 1.1},
                      cyclic[3] = {0.4, 1, 0.4}, at[3] = {-3, 5, 7}, far[3] = {-3 + 4 * 0.4, 5, 7},
                      off[3] = {-3 + 0.2, 5, 7}, back[3] = {-3 - 0.14, 5, 7},
                      apart[3] = {-3 + 0.14, 5 - 0.14, 7}, near[3] = {-3.01, 5, 7},
                      up[3] = {-3, 5, 9}, flipped[3] = {-3 + 19 * 0.4, 5 + 23 * 0.4, 7};
  const NiftiHeader map = header_like(&axes[0], dim, voxel, at);
  NiftiHeader v = map, both;
  check_match(&map, &v, MATCH_SAME, "itself");
  v = header_like(&axes[2], dim, voxel, flipped);
  check_match(&map, &v, MATCH_SAME, "the same voxels stored LPS");
  v = header_like(&axes[4], turned, cyclic, at);
  check_match(&map, &v, MATCH_SAME, "the same voxels stored ASR");
  v = header_like(&axes[0], dim, voxel, near);
  check_match(&map, &v, MATCH_SAME, "0.025 voxels off");
  v = header_like(&axes[0], dim, voxel, off);
  check_match(&map, &v, MATCH_NONE, "half a voxel off");
  v = header_like(&axes[0], dim, voxel, back);
  check_match(&map, &v, MATCH_NONE, "a third of a voxel off, the other way");
  v = header_like(&axes[0], dim, voxel, apart);
  check_match(&map, &v, MATCH_NONE, "a third of a voxel off, two ways that add up to nothing");
  v = map;
  for (int i = 0; i < 3; i++) {
    v.affine[i] = v.sform[i] = map.affine[i] - 0.052 * map.affine[i + 4];
    v.affine[i + 4] = v.sform[i + 4] = map.affine[i + 4] + 0.052 * map.affine[i];
  }
  check_match(&map, &v, MATCH_NONE, "turned by three degrees");
  v = header_like(&axes[0], dim, voxel, far);
  check_match(&map, &v, MATCH_NONE, "the same size four voxels away");
  v = header_like(&axes[0], half, voxel, up);
  check_match(&map, &v, MATCH_PART, "a slab");
  v = header_like(&axes[0], more, voxel, at);
  check_match(&map, &v, MATCH_PART, "a larger box");
  v = header_like(&axes[0], more, voxel, far);
  check_match(&map, &v, MATCH_NONE, "a larger box that leaves some out");
  v = header_like(&axes[0], dim, other, at);
  check_match(&map, &v, MATCH_NONE, "other voxels");
  /* the qform of the map, 4 mm from its sform; either header may have two */
  both = map;
  both.has_qform = true;
  both.qform_code = 1;
  both.sform_code = 2;
  both.forms_apart = 4;
  memcpy(both.qform, both.sform, sizeof both.qform);
  both.qform[3] += 4;
  v = map;
  v.affine[3] = v.sform[3] += 4;
  check_match(&both, &v, MATCH_OTHER_FORM, "a mask on the qform of the map");
  check_match(&v, &both, MATCH_OTHER_FORM, "a map on the qform of the mask");
  v.affine[3] = v.sform[3] += 4;
  check_match(&both, &v, MATCH_NONE, "a third place");
  /* without codes */
  NiftiHeader bare = map;
  bare.form = NIFTI_NO_FORM;
  bare.has_sform = false;
  axes_affine(&axes[0], voxel, (double[3]){0, 0, 0}, bare.affine);
  check_match(&map, &bare, MATCH_NO_CODES, "no codes, the same grid");
  check_match(&bare, &map, MATCH_NO_CODES, "a map without codes");
  check_match(&bare, &bare, MATCH_NO_CODES, "neither has codes");
  v = bare;
  for (int i = 1; i <= 3; i++) v.pixdim[i] = 1;
  check_match(&map, &v, MATCH_NO_CODES, "no codes, no voxel sizes");
  v.pixdim[1] = 0.8;
  check_match(&map, &v, -1, "no codes, other voxel sizes");
  v = bare;
  v.dim[3] = 5;
  check_match(&map, &v, -1, "no codes, another size");
  check_match(&v, &map, -1, "a map without codes, labels of another size");
}

static void test_plausible(void) {
  static const int64_t dim[3] = {4, 4, 4};
  static const double at[3] = {0, 0, 0}, head[3] = {0.4, 0.4, 1}, metres[3] = {400, 400, 1000},
                      tiny[3] = {4e-4, 4e-4, 1e-3};
  Error e = {0};
  NiftiHeader h = header_like(&axes[0], dim, head, at);
  CHECK(volume_check(&h, "", "v.nii", &e) == ST_OK, "%s", e.msg);
  h.nvox *= 2;
  CHECK(volume_check(&h, "", "v.nii", &e) == ST_FORMAT && good_message(&e, "v.nii"), "%s", e.msg);
  h = header_like(&axes[0], dim, metres, at);
  h.unit_mm = 1000;
  CHECK(volume_check(&h, "", "v.nii", &e) == ST_FORMAT && strstr(e.msg, "metres"), "%s", e.msg);
  h = header_like(&axes[0], dim, tiny, at);
  CHECK(volume_check(&h, "", "v.nii", &e) == ST_FORMAT && strstr(e.msg, "not said"), "%s", e.msg);
}

/* ---- shear ---- */
static void test_shear(void) {
  const int64_t dim[3] = {64, 64, 24};
  const double voxel[3] = {0.4, 0.4, 1}, centre[3] = {40, 40, 20};
  static const struct {
    double shear;
    bool exact;
  } k[] = {{0, true}, {1e-4, true}, {0.03, false}, {0.3, false}};
  for (int i = 0; i < COUNT_OF(k); i++) {
    Grid src = {{96, 96, 40},
                {0.4, 0.4 * k[i].shear, 0, -19, 0, 0.4, 0, -19, 0, 0, 1, -20, 0, 0, 0, 1}};
    Grid p;
    bool exact;
    Error e = {0};
    double middle[3] = {31.5, 31.5, 11.5}, a[3], b[3], size[3], dot = 0;
    CHECK(grid_patch(&src, centre, dim, voxel, &p, &exact, &e) == ST_OK && exact == k[i].exact,
          "shear %g: %s", k[i].shear, e.msg);
    grid_mm(&p, middle, a);
    const Grid before = p;
    grid_straighten(&p);
    CHECK(k[i].shear || !memcmp(&before, &p, sizeof p), "an orthogonal grid keeps its bits");
    grid_mm(&p, middle, b);
    grid_voxel_size(&p, size);
    for (int c = 0; c < 3; c++) dot = fmax(dot, fabs(p.affine[c * 4] * p.affine[c * 4 + 1]));
    double d01 = 0, d02 = 0, d12 = 0;
    for (int c = 0; c < 3; c++) {
      d01 += p.affine[4 * c] * p.affine[4 * c + 1];
      d02 += p.affine[4 * c] * p.affine[4 * c + 2];
      d12 += p.affine[4 * c + 1] * p.affine[4 * c + 2];
    }
    CHECK(fabs(d01) + fabs(d02) + fabs(d12) < 1e-9, "shear %g: right angles", k[i].shear);
    CHECK(fabs(a[0] - b[0]) + fabs(a[1] - b[1]) + fabs(a[2] - b[2]) < 1e-9,
          "shear %g: the middle stays", k[i].shear);
    CHECK(fabs(size[0] - 0.4) < 1e-6 && fabs(size[1] - 0.4) < 1e-6 && fabs(size[2] - 1) < 1e-6,
          "shear %g: voxels of %g x %g x %g mm", k[i].shear, size[0], size[1], size[2]);
  }
}

/* ---- values ---- */
static void test_finite(void) {
  const int64_t dim[3] = {4, 3, 2};
  float v[24], hole[24];
  Error e = {0};
  for (int i = 0; i < 24; i++) v[i] = (float)i;
  CHECK(check_finite(v, dim, "f.nii", "x", &e) == ST_OK, "all finite");
  v[5] = NAN;
  v[23] = INFINITY;
  CHECK(count_not_finite(v, 24) == 2 &&
            check_finite(v, dim, "f.nii", "mend it", &e) == ST_NUMERIC &&
            strstr(e.msg, "f.nii: NaN at voxel (1, 1, 0), 2 in all") && strstr(e.msg, "mend it"),
        "%s", e.msg);
  CHECK(fill_not_finite(v, dim, NAN_NEIGHBOURS, hole, &e) == ST_OK, "%s", e.msg);
  double sum = 0; /* by hand: the 17 neighbours of voxel (1, 1, 0) */
  for (int k = 0; k < 2; k++)
    for (int j = 0; j < 3; j++)
      for (int i = 0; i < 3; i++)
        if (i != 1 || j != 1 || k) sum += (k * 3 + j) * 4 + i;
  CHECK(fabs(v[5] - sum / 17) < 1e-5 && fabs(v[23] - (22 + 19 + 18 + 11 + 10 + 7 + 6) / 7.0) < 1e-5,
        "neighbours: %g, %g", (double)v[5], (double)v[23]);
  float holes = 0;
  for (int i = 0; i < 24; i++) holes += hole[i];
  CHECK(holes == 2 && hole[5] == 1 && hole[23] == 1, "holes are kept");
  v[0] = -INFINITY;
  CHECK(fill_not_finite(v, dim, NAN_ZERO, NULL, &e) == ST_OK && v[0] == 0, "zero");
  for (int i = 0; i < 24; i++) v[i] = i == 7 ? 3 : NAN; /* a hole of several layers */
  CHECK(fill_not_finite(v, dim, NAN_NEIGHBOURS, NULL, &e) == ST_OK && v[0] == 3 && v[20] == 3,
        "layers: %g %g", (double)v[0], (double)v[20]);
  for (int i = 0; i < 24; i++) v[i] = NAN;
  CHECK(fill_not_finite(v, dim, NAN_NEIGHBOURS, NULL, &e) == ST_OK && v[0] == 0, "nothing finite");
}

/* A made-up head: background 0, tissue of both signs, in five units; phase; raw numbers. */
static void test_chi_units(void) {
  float ppm[400], v[400];
  Error e = {0};
  for (int i = 0; i < 400; i++)
    ppm[i] = i < 200 ? 0 : 0.09f * (float)sin(i) + 0.02f * (float)cos(3 * i);
  static const ChiUnits unit[] = {UNITS_PPM, UNITS_PPB, UNITS_HZ, UNITS_RAD, UNITS_RATIO};
  for (int k = 0; k < COUNT_OF(unit); k++) {
    const double per = 1 / chi_to_ppm(unit[k], 3, 4.6);
    for (int i = 0; i < 400; i++) v[i] = (float)(ppm[i] * per);
    CHECK(chi_check_units(v, 400, unit[k], "c.nii", &e) == ST_OK, "unit %d: %s", k, e.msg);
    const bool bad = chi_check_units(v, 400, UNITS_PPM, "c.nii", &e) == ST_INVALID;
    CHECK(k == 0 || k == 3 ? !bad : bad && good_message(&e, "c.nii"), "unit %d as ppm: %s", k,
          e.msg);
  }
  CHECK(fabs(chi_to_ppm(UNITS_HZ, 3, 0) * 127.7324 - 1) < 1e-5 &&
            fabs(chi_to_ppm(UNITS_RAD, 3, 4.6) * 3.69178 - 1) < 1e-4,
        "1 ppm at 3 T is 127.73 Hz, in 4.6 ms 3.69 rad");
  for (int i = 0; i < 400; i++) v[i] = (float)(3.14159 * sin(i * 0.7));
  CHECK(chi_check_units(v, 400, UNITS_PPM, "c.nii", &e) == ST_INVALID && strstr(e.msg, "phase"),
        "wrapped phase: %s", e.msg);
  for (int i = 0; i < 400; i++) v[i] = (float)(i % 7 - 3) * 1000;
  CHECK(chi_check_units(v, 400, UNITS_PPM, "c.nii", &e) == ST_INVALID && strstr(e.msg, "raw"),
        "raw numbers: %s", e.msg);
  for (int i = 0; i < 400; i++) v[i] = i < 390 ? 0 : 1.5f;
  CHECK(chi_check_units(v, 400, UNITS_PPM, "c.nii", &e) == ST_OK, "a test object: %s", e.msg);
  v[0] = NAN;
  CHECK(chi_check_units(v, 400, UNITS_PPM, "c.nii", &e) == ST_OK, "NaN do not count");
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_frames_%ld", (long)getpid());
  Error e;
  if (dir_make(dir, &e) != ST_OK) {
    printf("FAIL %s\n", e.msg);
    return 1;
  }
  test_units();
  test_odd_files();
  test_codes_and_axes();
  test_match();
  test_plausible();
  test_shear();
  test_finite();
  test_chi_units();
  DIR *d = opendir(dir);
  for (struct dirent *x; (x = readdir(d));)
    if (x->d_name[0] != '.') unlink(in_dir(x->d_name));
  closedir(d);
  CHECK(rmdir(dir) == 0 && mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
