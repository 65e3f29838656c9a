/* fft.c: real 3-D FFT. Every 1-D transform works on a tile of 16 columns side by side, so that each
 * butterfly is a loop over contiguous floats. The z axis goes first and takes two real tiles as the
 * real and imaginary part of one complex one; x is transposed on the way in. */
#include "models/math/fft.h"
#include <math.h>
#include <string.h>

enum { TILE = 16, MAX_LEN = 4096, MAX_PASSES = 13 };
typedef float vf __attribute__((vector_size(16)));
enum { TV = TILE / 4 }; /* vectors per tile row */

/* One 1-D length: radices in order, and for every pass the twiddles w^j_p = exp(-2 pi i j p / n),
 * [p][j-1] as (re, im). */
typedef struct Axis {
  int n;
  int passes;
  int radix[MAX_PASSES];
  float *tw[MAX_PASSES];
} Axis;
struct Fft3 {
  int nx;
  int ny;
  int nz;
  Axis ax[3];
};

static Status axis_new(Axis *a, int n, Error *e) {
  static const int radices[] = {4, 2, 3, 5};
  int rest = n, found[MAX_PASSES], k = 0;
  if (n < 1 || n > MAX_LEN)
    return err_set(e, ST_INVALID, "FFT of length %d; expected 1 to %d; choose another box", n,
                   MAX_LEN);
  for (int i = 0; i < COUNT_OF(radices); i++)
    while (rest % radices[i] == 0 && k < MAX_PASSES) {
      found[k++] = radices[i];
      rest /= radices[i];
    }
  if (rest != 1)
    return err_set(e, ST_INVALID,
                   "FFT of length %d; expected a product of 2, 3 and 5; choose another box", n);
  a->n = n;
  for (int i = 0, len = n; i < k; len /= found[i++]) {
    const int r = found[i], m = len / r;
    a->radix[i] = r;
    a->tw[i] = mem_alloc(sizeof(float) * 2 * (size_t)(r - 1) * (size_t)m);
    if (!a->tw[i]) return err_set(e, ST_NOMEM, "out of memory for an FFT plan");
    a->passes = i + 1;
    for (int p = 0; p < m; p++)
      for (int j = 1; j < r; j++) {
        const double t = -2 * M_PI * p * j / len;
        a->tw[i][2 * (p * (r - 1) + j - 1)] = (float)cos(t);
        a->tw[i][2 * (p * (r - 1) + j - 1) + 1] = (float)sin(t);
      }
  }
  return ST_OK;
}

Status fft3_new(int nx, int ny, int nz, Fft3 **out, Error *e) {
  Fft3 *f = mem_alloc(sizeof *f);
  *out = NULL;
  if (!f) return err_set(e, ST_NOMEM, "out of memory for an FFT plan");
  *f = (Fft3){.nx = nx, .ny = ny, .nz = nz};
  const int len[3] = {nx, ny, nz};
  for (int i = 0; i < 3; i++) {
    Status st = axis_new(&f->ax[i], len[i], e);
    if (st != ST_OK) {
      fft3_free(f);
      return st;
    }
  }
  *out = f;
  return ST_OK;
}

void fft3_free(Fft3 *f) {
  if (!f) return;
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < f->ax[i].passes; k++) mem_free(f->ax[i].tw[k]);
  mem_free(f);
}

size_t fft3_count(const Fft3 *f) { return (size_t)(f->nz / 2 + 1) * (size_t)f->ny * (size_t)f->nx; }
size_t fft3_scratch(const Fft3 *f) {
  return (size_t)4 * TILE * (size_t)PRLX_MAX(f->nx, PRLX_MAX(f->ny, f->nz));
}

/* ---- butterflies: x[q + s(p + j m)], j < r, to y[q + s(r p + j)], times the twiddle of j. s
 * counts vectors. ---- */
typedef struct Cv {
  vf r;
  vf i;
} Cv;
static inline vf vf_splat(float a) { return (vf){a, a, a, a}; }
static inline Cv c_add(Cv a, Cv b) { return (Cv){a.r + b.r, a.i + b.i}; }
static inline Cv c_sub(Cv a, Cv b) { return (Cv){a.r - b.r, a.i - b.i}; }
static inline Cv c_rotn(Cv a) { return (Cv){a.i, -a.r}; } /* times -i */
static inline Cv c_scale(Cv a, float k) {
  vf v = vf_splat(k);
  return (Cv){a.r * v, a.i * v};
}

static inline Cv c_tw(Cv a, const float *w) {
  vf c = vf_splat(w[0]), s = vf_splat(w[1]);
  return (Cv){a.r * c - a.i * s, a.r * s + a.i * c};
}

static inline void dft_of_2(const Cv a[5], Cv b[5]) {
  b[0] = c_add(a[0], a[1]);
  b[1] = c_sub(a[0], a[1]);
}

static inline void dft_of_3(const Cv a[5], Cv b[5]) {
  Cv t = c_add(a[1], a[2]), u = c_sub(a[0], c_scale(t, .5f)),
     v = c_scale(c_rotn(c_sub(a[1], a[2])), .866025403784f);
  b[0] = c_add(a[0], t);
  b[1] = c_add(u, v);
  b[2] = c_sub(u, v);
}

static inline void dft_of_4(const Cv a[5], Cv b[5]) {
  Cv t0 = c_add(a[0], a[2]), t1 = c_sub(a[0], a[2]), t2 = c_add(a[1], a[3]),
     t3 = c_rotn(c_sub(a[1], a[3]));
  b[0] = c_add(t0, t2);
  b[1] = c_add(t1, t3);
  b[2] = c_sub(t0, t2);
  b[3] = c_sub(t1, t3);
}

static inline void dft_of_5(const Cv a[5], Cv b[5]) {
  const float c1 = .309016994375f, c2 = -.809016994375f, s1 = .951056516295f, s2 = .587785252292f;
  Cv p1 = c_add(a[1], a[4]), m1 = c_rotn(c_sub(a[1], a[4])), p2 = c_add(a[2], a[3]),
     m2 = c_rotn(c_sub(a[2], a[3]));
  Cv u1 = c_add(a[0], c_add(c_scale(p1, c1), c_scale(p2, c2))),
     u2 = c_add(a[0], c_add(c_scale(p1, c2), c_scale(p2, c1)));
  Cv v1 = c_add(c_scale(m1, s1), c_scale(m2, s2)), v2 = c_sub(c_scale(m1, s2), c_scale(m2, s1));
  b[0] = c_add(a[0], c_add(p1, p2));
  b[1] = c_add(u1, v1);
  b[2] = c_add(u2, v2);
  b[3] = c_sub(u2, v2);
  b[4] = c_sub(u1, v1);
}

#define DEFINE_PASS(R)                                                                             \
  static void pass##R(int m, int s, const float *tw, const vf *xr, const vf *xi, vf *restrict yr,  \
                      vf *restrict yi) {                                                           \
    for (int p = 0; p < m; p++, tw += 2 * (R - 1))                                                 \
      for (int q = 0; q < s; q++) {                                                                \
        Cv a[5], b[5];                                                                             \
        for (int j = 0; j < R; j++) a[j] = (Cv){xr[q + s * (p + j * m)], xi[q + s * (p + j * m)]}; \
        dft_of_##R(a, b);                                                                          \
        yr[q + s * R * p] = b[0].r;                                                                \
        yi[q + s * R * p] = b[0].i;                                                                \
        for (int j = 1; j < R; j++) {                                                              \
          Cv c = c_tw(b[j], tw + 2 * (j - 1));                                                     \
          yr[q + s * (R * p + j)] = c.r;                                                           \
          yi[q + s * (R * p + j)] = c.i;                                                           \
        }                                                                                          \
      }                                                                                            \
  }
DEFINE_PASS(2)
DEFINE_PASS(3)
DEFINE_PASS(4)
DEFINE_PASS(5)

/* A tile [n][TILE] of complex columns; t->r, t->i hold the input, and after the call the output
 * (the buffers may have swapped). */
typedef struct Tile {
  float *r;
  float *i;
  float *r2;
  float *i2;
} Tile;
static Tile tile_of(float *scratch, int n) {
  const size_t k = (size_t)n * TILE;
  return (Tile){scratch, scratch + k, scratch + 2 * k, scratch + 3 * k};
}

static void fft_tile(const Axis *a, Tile *t) {
  for (int k = 0, len = a->n, s = TV; k < a->passes; k++) {
    const int r = a->radix[k], m = len / r;
    void (*pass)(int, int, const float *, const vf *, const vf *, vf *restrict, vf *restrict) =
        r == 4   ? pass4
        : r == 2 ? pass2
        : r == 3 ? pass3
                 : pass5;
    pass(m, s, a->tw[k], (const vf *)t->r, (const vf *)t->i, (vf *)t->r2, (vf *)t->i2);
    Tile next = {t->r2, t->i2, t->r, t->i};
    *t = next;
    len = m;
    s *= r;
  }
}

/* unscaled: conj(FFT(conj x)) is the FFT with both parts swapped */
static void fft_tile_inverse(const Axis *a, Tile *t) {
  Tile s = {t->i, t->r, t->i2, t->r2};
  fft_tile(a, &s);
  *t = (Tile){s.i, s.r, s.i2, s.r2};
}

/* Rows of w <= TILE floats, `stride` apart, into or out of a tile. */
static inline void put_row(float *dst, const float *src, int w) {
  if (w == TILE)
    memcpy(dst, src, TILE * sizeof *dst);
  else {
    memset(dst, 0, TILE * sizeof *dst);
    if (w > 0) memcpy(dst, src, (size_t)w * sizeof *dst);
  }
}

static inline void get_row(float *dst, const float *src, int w) {
  if (w == TILE)
    memcpy(dst, src, TILE * sizeof *dst);
  else if (w > 0)
    memcpy(dst, src, (size_t)w * sizeof *dst);
}

static void along_y(const Fft3 *f, float *re, float *im, float *scratch, bool inverse) {
  const int ny = f->ny, nx = f->nx;
  for (int c = 0; c < nx; c += TILE) {
    const int w = PRLX_MIN(TILE, nx - c);
    Tile t = tile_of(scratch, ny);
    for (int y = 0; y < ny; y++) {
      put_row(t.r + y * TILE, re + (size_t)y * (size_t)nx + c, w);
      put_row(t.i + y * TILE, im + (size_t)y * (size_t)nx + c, w);
    }
    if (inverse)
      fft_tile_inverse(&f->ax[1], &t);
    else
      fft_tile(&f->ax[1], &t);
    for (int y = 0; y < ny; y++) {
      get_row(re + (size_t)y * (size_t)nx + c, t.r + y * TILE, w);
      get_row(im + (size_t)y * (size_t)nx + c, t.i + y * TILE, w);
    }
  }
}

static void transpose_in(float *dst, const float *src, int nx, int rows) {
  for (int k = 0; k < TILE; k++)
    for (int x = 0; x < nx; x++) dst[x * TILE + k] = k < rows ? src[(int64_t)k * nx + x] : 0;
}

static void transpose_out(float *dst, const float *src, int nx, int rows) {
  for (int k = 0; k < rows; k++)
    for (int x = 0; x < nx; x++) dst[(int64_t)k * nx + x] = src[x * TILE + k];
}

static void along_x(const Fft3 *f, float *re, float *im, float *scratch, bool inverse) {
  const int ny = f->ny, nx = f->nx;
  for (int c = 0; c < ny; c += TILE) {
    const int rows = PRLX_MIN(TILE, ny - c);
    float *r = re + (size_t)c * (size_t)nx, *i = im + (size_t)c * (size_t)nx;
    Tile t = tile_of(scratch, nx);
    transpose_in(t.r, r, nx, rows);
    transpose_in(t.i, i, nx, rows);
    if (inverse)
      fft_tile_inverse(&f->ax[0], &t);
    else
      fft_tile(&f->ax[0], &t);
    transpose_out(r, t.r, nx, rows);
    transpose_out(i, t.i, nx, rows);
  }
}

/* Two tiles of real columns a, b as one complex a + ib: A(k) = (Z(k) + conj Z(-k))/2, B(k) = (Z(k)
 * - conj Z(-k))/2i. */
static void split_pair(const Tile *t, int nz, size_t plane, float *re, float *im, int wa, int wb) {
  for (int k = 0; k <= nz / 2; k++) {
    const float *zr = t->r + k * TILE, *zi = t->i + k * TILE, *nr = t->r + (nz - k) % nz * TILE,
                *ni = t->i + (nz - k) % nz * TILE;
    float ar[TILE], ai[TILE], br[TILE], bi[TILE];
    for (int c = 0; c < TILE; c++) {
      ar[c] = .5f * (zr[c] + nr[c]);
      ai[c] = .5f * (zi[c] - ni[c]);
      br[c] = .5f * (zi[c] + ni[c]);
      bi[c] = .5f * (nr[c] - zr[c]);
    }
    get_row(re + (size_t)k * plane, ar, wa);
    get_row(im + (size_t)k * plane, ai, wa);
    get_row(re + (size_t)k * plane + TILE, br, wb);
    get_row(im + (size_t)k * plane + TILE, bi, wb);
  }
}

static void join_pair(Tile *t, int nz, size_t plane, const float *re, const float *im, int wa,
                      int wb) {
  for (int k = 0; k <= nz / 2; k++) {
    float ar[TILE], ai[TILE], br[TILE], bi[TILE];
    put_row(ar, re + (size_t)k * plane, wa);
    put_row(ai, im + (size_t)k * plane, wa);
    put_row(br, re + (size_t)k * plane + TILE, wb);
    put_row(bi, im + (size_t)k * plane + TILE, wb);
    float *nr = t->r + (nz - k) % nz * TILE, *ni = t->i + (nz - k) % nz * TILE,
          *zr = t->r + k * TILE, *zi = t->i + k * TILE;
    for (int c = 0; c < TILE; c++) {
      nr[c] = ar[c] + bi[c];
      ni[c] = br[c] - ai[c];
      /* last: k = 0 and k = nz/2 are their own mirror and carry no imaginary part */
      zr[c] = ar[c] - bi[c];
      zi[c] = ai[c] + br[c];
    }
  }
}

void fft3_forward(const Fft3 *f, const float *x, float *re, float *im, float *scratch) {
  const size_t plane = (size_t)f->nx * (size_t)f->ny;
  const int nz = f->nz;
  for (size_t c = 0; c < plane; c += 2 * TILE) {
    const int wa = (int)PRLX_MIN((size_t)TILE, plane - c),
              wb = plane - c > TILE ? (int)PRLX_MIN((size_t)TILE, plane - c - TILE) : 0;
    Tile t = tile_of(scratch, nz);
    for (int z = 0; z < nz; z++) {
      put_row(t.r + z * TILE, x + (size_t)z * plane + c, wa);
      put_row(t.i + z * TILE, x + (size_t)z * plane + c + (wb ? TILE : 0), wb);
    }
    fft_tile(&f->ax[2], &t);
    split_pair(&t, nz, plane, re + c, im + c, wa, wb);
  }
  for (int k = 0; k <= nz / 2; k++) {
    along_y(f, re + (size_t)k * plane, im + (size_t)k * plane, scratch, false);
    along_x(f, re + (size_t)k * plane, im + (size_t)k * plane, scratch, false);
  }
}

void fft3_inverse(const Fft3 *f, float *re, float *im, float *x, float *scratch) {
  const size_t plane = (size_t)f->nx * (size_t)f->ny;
  const int nz = f->nz;
  const float scale = (float)(1. / ((double)plane * nz));
  for (int k = 0; k <= nz / 2; k++) {
    along_x(f, re + (size_t)k * plane, im + (size_t)k * plane, scratch, true);
    along_y(f, re + (size_t)k * plane, im + (size_t)k * plane, scratch, true);
  }
  for (size_t c = 0; c < plane; c += 2 * TILE) {
    const int wa = (int)PRLX_MIN((size_t)TILE, plane - c),
              wb = plane - c > TILE ? (int)PRLX_MIN((size_t)TILE, plane - c - TILE) : 0;
    Tile t = tile_of(scratch, nz);
    join_pair(&t, nz, plane, re + c, im + c, wa, wb);
    fft_tile_inverse(&f->ax[2], &t);
    for (int k = 0; k < nz * TILE; k++) {
      t.r[k] *= scale;
      t.i[k] *= scale;
    }
    for (int z = 0; z < nz; z++) {
      get_row(x + (size_t)z * plane + c, t.r + z * TILE, wa);
      get_row(x + (size_t)z * plane + c + (wb ? TILE : 0), t.i + z * TILE, wb);
    }
  }
}
