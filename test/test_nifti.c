/* test_nifti.c: NIfTI headers built here byte by byte with known values, real files from other
 * programs, writing, hostile headers, failing memory. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include "core/rng.h"
#include "io/formats/bytes.h"
#include "io/formats/checksum.h"
#include "io/formats/file.h"
#include "io/formats/gzip.h"
#include "io/formats/nifti.h"
#include "test/nifti_bytes.h"
#include "test/test.h"

static double stored(const Kind *k, double v) { return k->code == 16 ? (double)(float)v : v; }

static void test_types(void) {
  static const double scale[][2] = {{0, 5},     {NAN, 5},   {1, 0},
                                    {0.25, -3}, {0.1, 1e3}, {INFINITY, 1}};
  Nifti v;
  Error e;
  for (int version = 1; version <= 2; version++)
    for (int big = 0; big < 2; big++)
      for (int t = 0; t < COUNT_OF(kinds); t++)
        for (int c = 0; c < COUNT_OF(scale); c++)
          for (int how = 0; how < 3; how++) { /* single, gzip, pair */
            const Kind *k = &kinds[t];
            Made m, img;
            uint8_t *z = NULL;
            size_t nz = 0, bytes = 12 * (size_t)k->bits / 8;
            begin(&m, version, big, how == 2, k->code, k->bits);
            set(&m, SLOPE, 0, scale[c][0]);
            set(&m, INTER, 0, scale[c][1]);
            img = m;
            if (how < 2) {
              add_voxels(&m, k, m.n);
              m.n += bytes;
            } else
              add_voxels(&img, k, 0);
            if (how == 1) gzip_encode(m.b, m.n, &z, &nz, &e);
            bool ok = nifti_decode(z ? z : m.b, z ? nz : m.n, how == 2 ? img.b : NULL, bytes, "t",
                                   &v, &e) == ST_OK;
            mem_free(z);
            CHECK(ok, "NIfTI-%d %s %s: %s", version, big ? "big" : "little",
                  nifti_datatype_name(k->code), e.msg);
            if (!ok) continue;
            double slope = version == 1 ? (double)(float)scale[c][0] : scale[c][0],
                   inter = scale[c][1];
            int wrong = 0;
            for (int i = 0; i < 12; i++) {
              volatile double x = stored(k, value_of(k, i));
              /* volatile: rounded after each step */
              if (isfinite(slope) && slope != 0) {
                x = x * slope;
                x = x + inter;
              }
              float want = (float)x;
              wrong += memcmp(&want, &v.data[i], 4) != 0;
            }
            CHECK(wrong == 0, "NIfTI-%d %s %s, slope %g: %d voxels", version,
                  big ? "big" : "little", nifti_datatype_name(k->code), slope, wrong);
            CHECK(v.nvox == 12 && v.head.version == version &&
                      v.head.swapped == (big != HOST_BIG) && v.head.pair == (how == 2) &&
                      v.head.gzipped == (how == 1) && v.head.ndim == 3 && v.head.dim[2] == 3 &&
                      v.head.datatype == k->code && v.head.form == NIFTI_SFORM &&
                      v.head.affine[0] == 2 && v.head.affine[5] == 3 && v.head.affine[11] == -30 &&
                      v.head.affine[15] == 1 && !v.head.warning[0],
                  "header fields: %s", v.head.warning);
            nifti_free(&v);
          }
}

/* ---- real files: CRC-32 of the float32 voxels and affine, as nibabel 5.0.0 reads them ---- */
static void test_real(void) {
  static const struct {
    const char *name;
    const char *orient;
    uint32_t crc;
    int ndim;
    int64_t dim[4];
    double affine[12];
  } t[] = {
      {"standard.nii.gz", "RAS", 0x5c6e512b, 3, {4, 5, 7, 1}, {1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0}},
      {"resampled_anat_moved.nii",
       "LAS",
       0xc8592fdc,
       3,
       {17, 21, 3, 1},
       {-4, 0, 0, 32, 0, 4, 0, -40, 0, 0, 8, 0}},
      {"example_nifti2.nii.gz",
       "LAS",
       0x3ae172fc,
       4,
       {32, 20, 12, 2},
       {-2, 6.714715653593746e-19, 9.081024511081715e-18, 117.8551025390625, -6.714715653593746e-19,
        1.9737114906311035, -0.35552823543548584, -35.72294235229492, 8.25548088896093e-18,
        0.3232076168060303, 2.171081781387329, -7.248798370361328}},
      {"functional.nii",
       "LAS",
       0xcf56bdb5,
       4,
       {17, 21, 3, 20},
       {-4, 0, 0, 32, 0, 4, 0, -40, 0, 0, 8, 0}}};
  for (int i = 0; i < COUNT_OF(t); i++) {
    char path[80], o[4];
    Nifti v;
    Error e = {ST_OK, ""};
    double worst = 0;
    snprintf(path, sizeof path, "test/data/%s", t[i].name);
    bool ok = nifti_read(path, &v, &e) == ST_OK;
    CHECK(ok, "%s", e.msg);
    if (!ok) continue;
    nifti_orientation(&v.head, o);
    CHECK(v.head.ndim == t[i].ndim && !memcmp(v.head.dim + 1, t[i].dim, sizeof t[i].dim) &&
              !strcmp(o, t[i].orient),
          "%s: %d dimensions, %s", path, v.head.ndim, o);
    for (int k = 0; k < 12; k++) worst = fmax(worst, fabs(v.head.affine[k] - t[i].affine[k]));
    CHECK(worst < 1e-6, "%s: affine differs by %g", path, worst);
    uint32_t crc = crc32_numbers(0, v.data, (size_t)v.nvox, 4);
    CHECK(crc == t[i].crc, "%s: voxels 0x%08x", path, crc);
    nifti_free(&v);
  }
}

/* ---- orientation ---- */
static void test_orientation(void) {
  Made m;
  Nifti v;
  Error e;
  char o[4];
  double inv[16];
  const Kind *k = &kinds[2];
  for (int version = 1; version <= 2; version++) {
    /* qform: 90 degrees about z, qfac -1: i to anterior, j to left, k to inferior */
    begin(&m, version, false, false, 4, 16);
    add_voxels(&m, k, m.n);
    m.n += 24;
    set(&m, SCODE, 0, 0);
    set(&m, QCODE, 0, 1);
    set(&m, QUAT, 2, sqrt(0.5));
    set(&m, PIXDIM, 0, -1);
    for (int i = 0; i < 3; i++) set(&m, QOFF, i, 7 + i);
    CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK && v.head.form == NIFTI_QFORM,
          "qform: %s", e.msg);
    nifti_orientation(&v.head, o);
    static const double want[12] = {0, -3, 0, 7, 2, 0, 0, 8, 0, 0, -4, 9};
    double worst = 0;
    for (int i = 0; i < 12; i++) worst = fmax(worst, fabs(v.head.affine[i] - want[i]));
    CHECK(worst < 1e-6 && !strcmp(o, "ALI") && !v.head.warning[0], "qform, off by %g, %s %s", worst,
          o, v.head.warning);
    CHECK(affine_invert(v.head.affine, inv, &e) == ST_OK, "inverse");
    for (int i = 0; i < 16; i++) {
      double sum = 0;
      for (int j = 0; j < 4; j++) sum += v.head.affine[i / 4 * 4 + j] * inv[4 * j + i % 4];
      CHECK(fabs(sum - (i % 5 == 0)) < 1e-12, "A inverse(A) = 1 at %d", i);
    }
    nifti_free(&v);
    set(&m, SCODE, 0, 2); /* both, and they disagree: sform */
    CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK && v.head.form == NIFTI_SFORM &&
              strstr(v.head.warning, "disagree"),
          "both: %s", v.head.warning);
    nifti_free(&v);
    set(&m, SROW, 0, 0); /* singular sform: qform */
    CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK && v.head.form == NIFTI_QFORM &&
              strstr(v.head.warning, "not invertible"),
          "singular: %s", v.head.warning);
    nifti_free(&v);
    set(&m, QUAT, 0, NAN);
    CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK && v.head.form == NIFTI_NO_FORM &&
              v.head.affine[0] == 2 && v.head.affine[10] == 4 && v.head.affine[3] == 0,
          "neither: %s", v.head.warning);
    nifti_free(&v);
    set(&m, QCODE, 0, 0);
    set(&m, SROW, 0, 2);
    set(&m, SROW, 1, 0.5);
    CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK && v.head.form == NIFTI_SFORM &&
              strstr(v.head.warning, "right angles"),
          "shear: %s", v.head.warning);
    nifti_free(&v);
    set(&m, PIXDIM, 1, 0);
    set(&m, PIXDIM, 2, -3);
    set(&m, UNITS, 0, 3);
    set(&m, BITPIX, 0, 8);
    set(&m, SLOPE, 0, 2);
    set(&m, INTER, 0, NAN);
    CHECK(nifti_decode(m.b, m.n, NULL, 0, "t", &v, &e) == ST_OK && v.head.pixdim[1] == 0.001 &&
              v.head.pixdim[2] == 0.003 && v.head.unit_mm == 0.001 && v.data[2] == 36 &&
              strstr(v.head.warning, "pixdim[1]") && strstr(v.head.warning, "micrometres") &&
              strstr(v.head.warning, "bitpix") && strstr(v.head.warning, "scl_inter"),
          "oddities: %s", v.head.warning);
    nifti_free(&v);
  }
  double flat[16] = {1, 2, 0, 0, 2, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  CHECK(affine_invert(flat, inv, &e) == ST_NUMERIC && e.msg[0], "singular affine: %s", e.msg);
}

static void test_extensions(void) {
  Made m;
  Nifti v;
  Error e;
  begin(&m, 1, true, false, 2, 8);
  m.b[348] = 1;
  put(&m, 352, 32, 4);
  put(&m, 356, 6, 4);
  put(&m, 384, 16, 4);
  set(&m, OFFSET, 0, 416); /* two extensions, 48 bytes, then a gap */
  add_voxels(&m, &kinds[0], 416);
  CHECK(nifti_decode(m.b, 428, NULL, 0, "t", &v, &e) == ST_OK && v.head.extensions == 2 &&
            v.head.extension_bytes == 48 && v.data[1] == 255 &&
            strstr(v.head.warning, "extension 3"),
        "extensions: %s", v.head.warning);
  nifti_free(&v);
  static const uint32_t sizes[] = {0, 8, 15, 17, 1 << 30, 0x7ffffff0, 0x80000000u, 0xffffffffu};
  for (int i = 0; i < COUNT_OF(sizes); i++) {
    put(&m, 352, sizes[i], 4);
    CHECK(nifti_decode(m.b, 428, NULL, 0, "t", &v, &e) == ST_OK && v.head.extensions == 0 &&
              strstr(v.head.warning, "extension 1") && v.data[1] == 255,
          "size %u: %s", sizes[i], v.head.warning);
    nifti_free(&v);
  }
}

/* ---- writing ---- */
/* Masks and label maps as uint8 and uint16, .nii and .nii.gz; what does not fit is refused. */
static void integer_types(const double A[16]) {
  static const int64_t dim[4] = {5, 3, 2, 1};
  static const char *const name[] = {"u.nii", "u.nii.gz"};
  float v[30];
  for (int i = 0; i < 30; i++) v[i] = (float)(i % 7);
  v[3] = 255;
  for (int k = 0; k < 4; k++) {
    const NiftiType type = k < 2 ? NIFTI_UINT8 : NIFTI_UINT16;
    const char *p = in_dir(name[k % 2]);
    Nifti r;
    Error e = {0};
    if (type == NIFTI_UINT16) v[3] = 65535;
    CHECK(nifti_write_as(p, v, dim, A, type, "labels", &e) == ST_OK &&
              nifti_read(p, &r, &e) == ST_OK,
          "%s: %s", p, e.msg);
    if (e.code != ST_OK) continue;
    CHECK(r.head.datatype == (int)type && r.head.bitpix == (k < 2 ? 8 : 16), "type %d",
          r.head.datatype);
    CHECK(!memcmp(r.data, v, sizeof v), "values of %s", p);
    nifti_free(&r);
  }
  static const float bad[] = {0.5f, -1, 256, NAN};
  for (int k = 0; k < COUNT_OF(bad); k++) {
    Error e = {0};
    v[3] = bad[k];
    CHECK(nifti_write_as(in_dir("no.nii"), v, dim, A, NIFTI_UINT8, "", &e) == ST_INVALID &&
              !file_exists(in_dir("no.nii")) && good_message(&e, "no.nii"),
          "%g: %s", (double)bad[k], e.msg);
  }
}

static void test_write(void) {
  static const char *const names[] = {"a.nii", "a.nii.gz", "b.NII.GZ"};
  const int64_t dim[4] = {7, 5, 3, 2};
  float data[210];
  Error e = {ST_OK, ""};
  Nifti v, w;
  for (int i = 0; i < 210; i++) data[i] = (float)i * 0.1f - 7;
  data[3] = NAN;
  data[4] = -0.0f;
  const double c = cos(0.3), s = sin(0.3);
  double A[16] = {-0.4 * c, 0, 1 * s, 11.5, 0, 0.4, 0, -20.25, 0.4 * s, 0, 1 * c, 3, 0, 0, 0, 1};
  for (int n = 0; n < COUNT_OF(names); n++) {
    const char *p = in_dir(names[n]);
    CHECK(nifti_write(p, data, dim, A, "a phantom", &e) == ST_OK && nifti_read(p, &v, &e) == ST_OK,
          "%s", e.msg);
    double worst = 0;
    for (int i = 0; i < 16; i++) worst = fmax(worst, fabs(v.head.affine[i] - A[i]));
    CHECK(!memcmp(v.data, data, sizeof data) && worst < 1e-6 && v.head.gzipped == (n > 0) &&
              v.head.version == 1 && v.head.sform_code == 1 && v.head.qform_code == 1 &&
              v.head.xyzt_units == 10 && !strcmp(v.head.descrip, "a phantom") &&
              fabs(v.head.pixdim[1] - 0.4) < 1e-6 && !v.head.warning[0] && v.head.ndim == 4,
          "%s: voxels, affine (off by %g), %s", names[n], worst, v.head.warning);
    /* the qform alone says the same */
    uint8_t *b, *raw;
    size_t nb, nr;
    CHECK(file_read(p, &b, &nb, 1 << 20, &e) == ST_OK &&
              (n == 0 || gzip_decode(b, nb, 1 << 20, &raw, &nr, p, &e) == ST_OK),
          "%s", e.msg);
    if (n == 0) {
      raw = b;
      nr = nb;
    }
    raw[254] = 0;
    CHECK(nifti_decode(raw, nr, NULL, 0, "t", &w, &e) == ST_OK && w.head.form == NIFTI_QFORM, "%s",
          e.msg);
    for (int i = 0; i < 16; i++) worst = fmax(worst, fabs(w.head.affine[i] - A[i]));
    CHECK(worst < 1e-5, "qform off by %g", worst);
    nifti_free(&w);
    if (n) mem_free(raw);
    mem_free(b);
    /* and once more, as convert does it */
    const char *q = in_dir("like.nii.gz");
    CHECK(nifti_write_like(q, v.data, &v.head, &e) == ST_OK && nifti_read(q, &w, &e) == ST_OK &&
              !memcmp(w.data, data, sizeof data) &&
              !memcmp(w.head.affine, v.head.affine, sizeof A) &&
              !memcmp(w.head.pixdim, v.head.pixdim, sizeof v.head.pixdim) &&
              !memcmp(w.head.quatern, v.head.quatern, sizeof v.head.quatern),
          "like: %s", e.msg);
    nifti_free(&v);
    nifti_free(&w);
  }
  A[1] = 0.1; /* shear: in the sform; the qform turns about the same middle */
  CHECK(nifti_write(in_dir("shear.nii"), data, dim, A, NULL, &e) == ST_OK &&
            nifti_read(in_dir("shear.nii"), &v, &e) == ST_OK && v.head.qform_code == 1 &&
            v.head.sform_code == 1 && fabs(v.head.affine[1] - 0.1) < 1e-7 && v.head.shear > 0.1,
        "shear: %s", e.msg);
  double apart = 0, right = 0;
  for (int i = 0; i < 3; i++) {
    double d = v.head.sform[4 * i + 3] - v.head.qform[4 * i + 3];
    for (int j = 0; j < 3; j++)
      d += (v.head.sform[4 * i + j] - v.head.qform[4 * i + j]) * (double)(dim[j] - 1) / 2;
    apart = fmax(apart, fabs(d));
    right += v.head.qform[4 * i] * v.head.qform[4 * i + 1];
  }
  CHECK(apart < 1e-5 && fabs(right) < 1e-6, "nearest rotation: middle off by %g, %g", apart, right);
  nifti_free(&v);
  float *row = calloc(40000, sizeof *row);
  row[39999] = 5;
  CHECK(nifti_write(in_dir("long.nii.gz"), row, (int64_t[4]){40000, 1, 1, 1},
                    (double[16]){1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, "x",
                    &e) == ST_OK &&
            nifti_read(in_dir("long.nii.gz"), &v, &e) == ST_OK && v.head.version == 2 &&
            v.head.dim[1] == 40000 && v.data[39999] == 5,
        "a long row needs NIfTI-2: %s", e.msg);
  nifti_free(&v);
  free(row);
  static const double singular[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  CHECK(nifti_write(in_dir("x.nii"), data, dim, singular, "x", &e) == ST_INVALID &&
            !file_exists(in_dir("x.nii")),
        "singular: %s", e.msg);
  integer_types(A);
  A[0] = NAN;
  CHECK(nifti_write(in_dir("x.nii"), data, dim, A, "x", &e) == ST_INVALID, "NaN: %s", e.msg);
  A[0] = 1;
  CHECK(nifti_write(in_dir("x.img"), data, dim, A, "x", &e) == ST_INVALID &&
            good_message(&e, "x.img"),
        "name: %s", e.msg);
  CHECK(nifti_write(in_dir("x.nii"), data, (int64_t[4]){7, 0, 3, 1}, A, "x", &e) == ST_INVALID,
        "empty: %s", e.msg);
  CHECK(nifti_write("/no/such/folder/x.nii.gz", data, dim, A, "x", &e) == ST_IO &&
            good_message(&e, "/no/such"),
        "folder: %s", e.msg);
}

static void test_pairs(void) {
  Made m, img;
  Nifti v;
  NiftiHeader h;
  Error e = {ST_OK, ""};
  uint8_t *z;
  size_t nz;
  begin(&m, 1, true, true, 4, 16);
  img = m;
  add_voxels(&img, &kinds[2], 0);
  put_file(in_dir("p.hdr"), m.b, m.n);
  CHECK(nifti_read(in_dir("p.hdr"), &v, &e) == ST_IO && good_message(&e, "p.img"), "no image: %s",
        e.msg);
  put_file(in_dir("p.img"), img.b, 24);
  CHECK(nifti_read(in_dir("p.hdr"), &v, &e) == ST_OK && v.data[0] == -32768 && v.head.pair,
        "by header: %s", e.msg);
  nifti_free(&v);
  CHECK(nifti_read(in_dir("p.img"), &v, &e) == ST_OK && v.data[1] == 32767, "by image: %s", e.msg);
  nifti_free(&v);
  gzip_encode(img.b, 24, &z, &nz, &e);
  put_file(in_dir("q.img.gz"), z, nz);
  put_file(in_dir("q.hdr"), m.b, m.n);
  CHECK(nifti_read(in_dir("q.hdr"), &v, &e) == ST_OK && v.data[1] == 32767 && v.head.gzipped,
        "compressed image: %s", e.msg);
  nifti_free(&v);
  put_file(in_dir("R.IMG"), z, nz); /* told by its bytes */
  put_file(in_dir("R.HDR"), m.b, m.n);
  CHECK(nifti_read(in_dir("R.HDR"), &v, &e) == ST_OK && v.head.gzipped, "capitals: %s", e.msg);
  nifti_free(&v);
  mem_free(z);
  put_file(in_dir("odd.nii"), m.b, m.n);
  CHECK(nifti_read(in_dir("odd.nii"), &v, &e) == ST_FORMAT && good_message(&e, "odd.nii"),
        "header of a pair named .nii: %s", e.msg);
  put_file(in_dir("p.img"), img.b, 23);
  CHECK(nifti_read_header(in_dir("p.hdr"), &h, &e) == ST_FORMAT && good_message(&e, "p.img"),
        "short image: %s", e.msg);
  CHECK(nifti_read("test/data", &v, &e) == ST_IO && nifti_read("no.nii", &v, &e) == ST_IO &&
            nifti_read("", &v, &e) == ST_IO,
        "folder, nothing: %s", e.msg);
}

/* ---- hostile ---- */
static void refuse(const Made *m, const char *what, const char *says) {
  Nifti v;
  NiftiHeader h;
  Error e = {ST_OK, ""};
  uint8_t *z;
  size_t nz, live = mem_live_count();
  Status s = nifti_decode(m->b, m->n, NULL, 0, "bad.nii", &v, &e);
  CHECK((s == ST_FORMAT || s == ST_NOMEM) && good_message(&e, "bad.nii") && strstr(e.msg, says) &&
            !v.data && mem_live_count() == live,
        "%s: %s", what, e.msg);
  const char *p = in_dir("bad.nii"); /* the same from a file, plain and compressed */
  put_file(p, m->b, m->n);
  s = nifti_read(p, &v, &e);
  CHECK((s == ST_FORMAT || s == ST_NOMEM) && good_message(&e, "bad.nii") && strstr(e.msg, says),
        "%s, file: %s", what, e.msg);
  s = nifti_read_header(p, &h, &e);
  gzip_encode(m->b, m->n, &z, &nz, &e);
  p = in_dir("bad.nii.gz");
  put_file(p, z, nz);
  s = nifti_read(p, &v, &e);
  CHECK((s == ST_FORMAT || s == ST_NOMEM) && good_message(&e, "bad.nii.gz") &&
            mem_live_count() == live + 1,
        "%s, gzip: %s", what, e.msg);
  mem_free(z);
}

static void sample(Made *m, int version) {
  begin(m, version, version == 1, false, 4, 16);
  add_voxels(m, &kinds[2], m->n);
  m->n += 24;
}

static void test_hostile(void) {
  Made m;
  for (int version = 1; version <= 2; version++) {
#define CASE(what, says, ...) \
  do {                        \
    sample(&m, version);      \
    __VA_ARGS__;              \
    refuse(&m, what, says);   \
  } while (0)
    CASE("18 GB", "cut short", set_dims(&m, 4, (int[]){3000, 3000, 1000, 1}));
    CASE("huge", "", set_dims(&m, 7, (int[]){32767, 32767, 32767, 32767, 32767, 32767, 32767}));
    CASE("dim[0] = 200", "dim[0] = 200", set(&m, DIM, 0, 200));
    CASE("dim[0] = 0", "dim[0] = 0", set(&m, DIM, 0, 0));
    CASE("dim[0] = -1", "dim[0] = -1", set(&m, DIM, 0, -1));
    CASE("dim[2] = -3", "dim[2] = -3", set(&m, DIM, 2, -3));
    CASE("dim[3] = 0", "dim[3] = 0", set(&m, DIM, 3, 0));
    CASE("offset past the end", "cut short", set(&m, OFFSET, 0, 1e9));
    CASE("offset inside the header", "vox_offset", set(&m, OFFSET, 0, 100));
    CASE("negative offset", "vox_offset", set(&m, OFFSET, 0, -400));
    CASE("one byte short", "cut short", m.n--);
    CASE("header only", "cut short", m.n -= 24);
    CASE("half a header", "cut short", m.n = 200);
    CASE("complex", "complex64", set(&m, DATATYPE, 0, 32));
    CASE("RGB", "RGB24", set(&m, DATATYPE, 0, 128));
    CASE("RGBA", "RGBA32", set(&m, DATATYPE, 0, 2304));
    CASE("float128", "float128", set(&m, DATATYPE, 0, 1536));
    CASE("bits", "binary", set(&m, DATATYPE, 0, 1));
    CASE("type 77", "77", set(&m, DATATYPE, 0, 77));
    CASE("not NIfTI", "348", memcpy(m.b, "\1\2\3\4", 4));
    CASE("a zip archive", "zip archive", memcpy(m.b, "PK\3\4", 4));
    CASE("magic", "magic", m.b[version == 1 ? 345 : 5] = 'x');
    if (version == 1) {
      CASE("offset NaN", "vox_offset", set(&m, OFFSET, 0, NAN));
      CASE("offset infinite", "vox_offset", set(&m, OFFSET, 0, INFINITY));
      CASE("offset 352.5", "vox_offset", set(&m, OFFSET, 0, 352.5));
      CASE("ANALYZE", "ANALYZE", memset(m.b + 344, 0, 4));
    } else {
      CASE("copied as text", "text", m.b[8] = '\n');
      CASE("overflowing dimensions", "10^17", for (int i = 1; i < 4; i++) set(&m, DIM, i, 0x1p60));
      CASE("offset 2^62", "vox_offset", set(&m, OFFSET, 0, 0x1p62));
    }
  }
  sample(&m, 1); /* vox_offset 0: read as 352, with a warning; bytes behind the image too */
  Nifti v;
  Error e = {ST_OK, ""};
  set(&m, OFFSET, 0, 0);
  CHECK(nifti_decode(m.b, m.n + 7, NULL, 0, "t", &v, &e) == ST_OK && v.data[1] == 32767 &&
            strstr(v.head.warning, "vox_offset is 0") && strstr(v.head.warning, "7 bytes behind"),
        "%s %s", e.msg, v.head.warning);
  nifti_free(&v);
  /* a compressed volume that goes on for 3 MB behind its voxels; one cut at every byte */
  uint8_t *raw = calloc(1, 3 << 20), *z;
  size_t nz, live = mem_live_count();
  memcpy(raw, m.b, m.n);
  CHECK(gzip_encode(raw, 3 << 20, &z, &nz, &e) == ST_OK &&
            nifti_decode(z, nz, NULL, 0, "bomb.nii.gz", &v, &e) == ST_FORMAT &&
            good_message(&e, "bomb.nii.gz"),
        "bomb: %s", e.msg);
  mem_free(z);
  int wrong = 0;
  gzip_encode(m.b, m.n, &z, &nz, &e);
  for (size_t k = 0; k < nz; k++)
    wrong += nifti_decode(z, k, NULL, 0, "cut.nii.gz", &v, &e) != ST_FORMAT ||
             !good_message(&e, "cut.nii.gz");
  CHECK(wrong == 0 && mem_live_count() == live + 1, "cut at every byte (%d wrong)", wrong);
  mem_free(z);
  free(raw);
}

static void test_mutations(void) {
  Rng r = {9, 0, 0};
  Made m;
  int opened = 0, bad = 0;
  size_t live = mem_live_count();
  for (int k = 0; k < 6000; k++) {
    Nifti v;
    Error e = {ST_OK, ""};
    uint8_t *z = NULL;
    size_t nz = 0;
    sample(&m, 1 + k % 2);
    for (int j = (int)rng_below(&r, 4); j >= 0; j--)
      m.b[rng_below(&r, k % 3 ? m.n : 130)] =
          rng_below(&r, 3) ? (uint8_t)rng_u32(&r) : (uint8_t)(rng_below(&r, 2) ? 0 : 255);
    if (k % 7 == 0) m.n = (size_t)rng_below(&r, m.n);
    if (k % 5 == 0) {
      gzip_encode(m.b, m.n, &z, &nz, &e);
      if (k % 10 == 0) z[rng_below(&r, nz)] ^= (uint8_t)(1 << rng_below(&r, 8));
    }
    /* its own block, so that a sanitizer sees the end */
    uint8_t *exact = malloc(z ? nz : m.n ? m.n : 1);
    if (z)
      memcpy(exact, z, nz);
    else if (m.n)
      memcpy(exact, m.b, m.n);
    Status s = nifti_decode(exact, z ? nz : m.n, NULL, 0, "mutated", &v, &e);
    bool fine = s == ST_OK || good_message(&e, "mutated");
    if (s == ST_OK) {
      opened++;
      fine = v.nvox > 0 && v.data;
      for (int i = 0; i < 16; i++) fine = fine && isfinite(v.head.affine[i]);
      nifti_free(&v);
    }
    bad += !fine;
    free(exact);
    mem_free(z);
  }
  CHECK(bad == 0 && opened > 500 && opened < 5900, "6000 mutations: %d opened, %d badly handled",
        opened, bad);
  CHECK(mem_live_count() == live, "nothing leaked");
}

static char source[200], target[200];
static Status step(Error *e) {
  Nifti v;
  Status s = nifti_read(source, &v, e);
  if (s != ST_OK) return s;
  s = nifti_write_like(target, v.data, &v.head, e);
  nifti_free(&v);
  return s;
}

static void sweep(const char *from, const char *to) {
  int k = 0, wrong = 0;
  snprintf(source, sizeof source, "test/data/%s", from);
  snprintf(target, sizeof target, "%s/%s", dir, to);
  for (; k < 1000; k++) {
    Error e = {ST_OK, ""};
    size_t live = mem_live_count();
    mem_fail_after(k);
    Status s = step(&e);
    mem_fail_after(-1);
    wrong += mem_live_count() != live || (s != ST_OK && s != ST_NOMEM) ||
             (s != ST_OK && file_exists(target));
    if (s == ST_OK) break;
  }
  CHECK(k > 3 && k < 1000 && wrong == 0,
        "%s to %s: memory failing at each of %d allocations (%d wrong)", from, to, k, wrong);
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_nifti_%ld", (long)getpid());
  Error e;
  if (dir_make(dir, &e) != ST_OK) {
    printf("FAIL %s\n", e.msg);
    return 1;
  }
  test_types();
  test_real();
  test_orientation();
  test_extensions();
  test_write();
  test_pairs();
  test_hostile();
  test_mutations();
  sweep("standard.nii.gz", "swept.nii.gz");
  sweep("resampled_anat_moved.nii", "swept.nii");
  DIR *d = opendir(dir);
  int temporary = 0;
  for (struct dirent *x; (x = readdir(d));) {
    temporary += strstr(x->d_name, ".tmp") != NULL;
    if (x->d_name[0] != '.') unlink(in_dir(x->d_name));
  }
  closedir(d);
  CHECK(temporary == 0, "no temporary files are left");
  CHECK(rmdir(dir) == 0 && mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
