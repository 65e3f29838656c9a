/* nifti_bytes.h: NIfTI files built byte by byte with known values, for the tests of their reader:
 * header fields by name in either version, voxels of every type, a folder of temporary files. */
#ifndef PRLX_TEST_NIFTI_BYTES_H
#define PRLX_TEST_NIFTI_BYTES_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/base.h"

static char dir[64];
static inline const char *in_dir(const char *name) {
  static char b[4][400];
  static int k;
  k = (k + 1) % 4;
  snprintf(b[k], sizeof b[k], "%s/%s", dir, name);
  return b[k];
}

static inline void put_file(const char *path, const void *p, size_t n) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(p, 1, n, f) != n) {
    printf("FAIL cannot write %s\n", path);
    exit(1);
  }
  fclose(f);
}

static inline bool good_message(const Error *e, const char *name) {
  return strstr(e->msg, name) && !strchr(e->msg, '\n') && e->msg[0] && strlen(e->msg) < 900;
}

/* ---- a file built by hand ---- */
typedef struct Made {
  uint8_t b[4096];
  size_t n;
  int version;
  bool big;
} Made;
static inline void put(Made *m, size_t at, uint64_t v, int bytes) {
  for (int k = 0; k < bytes; k++)
    m->b[at + (size_t)(m->big ? bytes - 1 - k : k)] = (uint8_t)(v >> 8 * k);
}

static inline uint64_t f32(double v) {
  float f = (float)v;
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

static inline uint64_t f64(double v) {
  uint64_t u;
  memcpy(&u, &v, 8);
  return u;
}

/* One number by its position in either version; real numbers are 4 or 8 bytes. */
typedef enum {
  DIM,
  PIXDIM,
  DATATYPE,
  BITPIX,
  OFFSET,
  SLOPE,
  INTER,
  QCODE,
  SCODE,
  QUAT,
  QOFF,
  SROW,
  UNITS
} Field;
static inline void set(Made *m, Field f, int i, double v) {
  static const uint16_t at[][2] = {{40, 16},   {76, 104},  {70, 12},   {72, 14},   {108, 168},
                                   {112, 176}, {116, 184}, {252, 344}, {254, 348}, {256, 352},
                                   {268, 376}, {280, 400}, {123, 500}};
  size_t a = at[f][m->version - 1], k = (size_t)i;
  bool v2 = m->version == 2;
  switch (f) {
    case DIM: put(m, a + k * (v2 ? 8 : 2), (uint64_t)(int64_t)v, v2 ? 8 : 2); break;
    case DATATYPE:
    case BITPIX: put(m, a, (uint64_t)v, 2); break;
    case QCODE:
    case SCODE: put(m, a, (uint64_t)v, v2 ? 4 : 2); break;
    case UNITS: put(m, a, (uint64_t)v, v2 ? 4 : 1); break;
    case OFFSET: put(m, a, v2 ? (uint64_t)(int64_t)v : f32(v), v2 ? 8 : 4); break;
    default: put(m, a + k * (v2 ? 8 : 4), v2 ? f64(v) : f32(v), v2 ? 8 : 4); break;
  }
}

static inline void set_dims(Made *m, int n, const int *d) {
  set(m, DIM, 0, n);
  for (int i = 0; i < 7; i++) set(m, DIM, i + 1, i < n ? d[i] : 1);
}

/* Header of a 2 x 3 x 2 volume with voxels of 2 x 3 x 4 mm; sform: i to right, j to anterior, k to
 * superior, offset -10, -20, -30. */
static inline void begin(Made *m, int version, bool big, bool pair, int datatype, int bits) {
  static const char magic[2][2][9] = {{"n+1", "ni1"}, {"n+2\0\r\n\032\n", "ni2\0\r\n\032\n"}};
  static const int dims[3] = {2, 3, 2};
  memset(m, 0, sizeof *m);
  m->version = version;
  m->big = big;
  put(m, 0, version == 1 ? 348 : 540, 4);
  memcpy(m->b + (version == 1 ? 344 : 4), magic[version - 1][pair], version == 1 ? 4 : 8);
  set_dims(m, 3, dims);
  for (int i = 0; i < 8; i++) set(m, PIXDIM, i, i < 4 ? i + 1 : 0);
  set(m, DATATYPE, 0, datatype);
  set(m, BITPIX, 0, bits);
  set(m, OFFSET, 0, pair ? 0 : version == 1 ? 352 : 544);
  set(m, SCODE, 0, 1);
  for (int i = 0; i < 3; i++) {
    set(m, SROW, 4 * i + i, i + 2);
    set(m, SROW, 4 * i + 3, -10 * (i + 1));
  }
  set(m, UNITS, 0, 2 | 8);
  m->n = pair ? (version == 1 ? 348 : 540) : version == 1 ? 352 : 544;
}

typedef struct Kind {
  int code;
  int bits;
  bool is_float;
  double lo;
  double hi;
} Kind;
static const Kind kinds[] = {{2, 8, false, 0, 255},
                             {256, 8, false, -128, 127},
                             {4, 16, false, -32768, 32767},
                             {512, 16, false, 0, 65535},
                             {8, 32, false, -0x1p31, 0x1p31 - 1},
                             {768, 32, false, 0, 0x1p32 - 1},
                             {1024, 64, false, -0x1p63, 0x1p62},
                             {1280, 64, false, 0, 0x1p63},
                             {16, 32, true, -1e30, 3e-30},
                             {64, 64, true, -1e300, 1e-3}};
/* Twelve values; integers through int64 so that every type takes its own bytes. */
static inline double value_of(const Kind *k, int i) {
  return i == 0 ? k->lo : i == 1 ? k->hi : k->is_float ? i * 0.37 : i * 9;
}

static inline void put_value(Made *m, size_t at, const Kind *k, double v) {
  if (k->code == 16)
    put(m, at, f32(v), 4);
  else if (k->code == 64)
    put(m, at, f64(v), 8);
  else
    put(m, at, v < 0 ? (uint64_t)(int64_t)v : (uint64_t)v, k->bits / 8);
}

static inline void add_voxels(Made *m, const Kind *k, size_t at) {
  for (int i = 0; i < 12; i++)
    put_value(m, at + (size_t)i * (size_t)k->bits / 8, k, value_of(k, i));
}

/* ---- axes ---- */
/* How the axes of a stored volume run: axis[r] along right, anterior, superior and its sense. */
typedef struct Axes {
  const char *name; /* towards which i, j, k grow */
  int axis[3];
  int sign[3];
} Axes;
static const Axes axes[] = {
    {"RAS", {0, 1, 2}, {1, 1, 1}},   {"LAS", {0, 1, 2}, {-1, 1, 1}},
    {"LPS", {0, 1, 2}, {-1, -1, 1}}, {"LPI", {0, 1, 2}, {-1, -1, -1}},
    {"ASR", {2, 0, 1}, {1, 1, 1}},   {"PIR", {2, 0, 1}, {1, -1, -1}},
    {"SLP", {1, 2, 0}, {-1, -1, 1}}, {"IAR", {2, 1, 0}, {1, 1, -1}},
    {"RSA", {0, 2, 1}, {1, 1, 1}},   {"PLS", {1, 0, 2}, {-1, -1, 1}},
};

/* The affine of a volume with these axes, voxels of voxel[stored axis] mm, first voxel at `at` mm.
 * */
static inline void axes_affine(const Axes *a, const double voxel[3], const double at[3],
                               double A[16]) {
  memset(A, 0, 16 * sizeof *A);
  for (int r = 0; r < 3; r++) {
    A[4 * r + a->axis[r]] = a->sign[r] * voxel[a->axis[r]];
    A[4 * r + 3] = at[r];
  }
  A[15] = 1;
}
#endif
