/* conv_impl.h: what the files of the convolution share. Not for other code. */
#ifndef PRLX_CONV_IMPL_H
#define PRLX_CONV_IMPL_H
#include "core/conv.h"
#include "core/gemm.h"

enum { CONV_SLOT_BUDGET = 24 << 20, CONV_SLOTS_MIN = 8, CONV_SLOTS_MAX = 64 };

/* Hands out 64-byte aligned pieces of a scratch block; with base NULL it only counts. */
typedef struct Bump {
  char *base;
  size_t used;
} Bump;

/* count x size bytes. */
static inline void *bump(Bump *b, size_t count, size_t size) {
  char *p = b->base ? b->base + b->used : NULL;
  b->used += (count * size + 63) & ~(size_t)63;
  return p;
}

/* How many tasks may have scratch of their own. */
static inline int conv_slots(size_t slot_bytes) {
  size_t n = slot_bytes ? CONV_SLOT_BUDGET / slot_bytes : CONV_SLOTS_MAX;
  return n < CONV_SLOTS_MIN ? CONV_SLOTS_MIN : n > CONV_SLOTS_MAX ? CONV_SLOTS_MAX : (int)n;
}

/* Part of a map seen through a step and an offset: window index i is map index i*step + first;
 * [lo,hi) of n are inside the map. */
typedef struct Window {
  int64_t step;
  int64_t first;
  int64_t lo;
  int64_t hi;
} Window;

/* The window of n indices on a map of `map`. */
static inline Window window(int64_t step, int64_t first, int64_t n, int64_t map) {
  Window w = {step, first, 0, 0};
  w.lo = first < 0 ? PRLX_MIN(n, ceil_div(-first, step)) : 0;
  w.hi = first < map ? PRLX_MIN(n, ceil_div(map - first, step)) : 0;
  if (w.hi < w.lo) w.hi = w.lo;
  return w;
}

/* Copies a window of a map of row length `width` to rows of ldd numbers; what lies outside the map
 * is not touched. */
static inline void stage_window(const GemmKernels *k, const real *map, int64_t width, Window y,
                                Window x, real scale, real *dst, int64_t ldd) {
  k->stage(map + (y.lo * y.step + y.first) * width + x.lo * x.step + x.first, y.step * width,
           x.step, y.hi - y.lo, x.hi - x.lo, scale, dst + y.lo * ldd + x.lo, ldd);
}

/* The same window of the plane that comes next: planes are far apart, hardware does not guess them.
 */
static inline void prefetch_window(const real *map, int64_t width, Window y, Window x) {
  const char *p = (const char *)(map + (y.lo * y.step + y.first) * width + x.lo * x.step + x.first);
  const int64_t bytes = ((y.hi - y.lo) * y.step * width) * (int64_t)sizeof(real);
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

/* What conv2d (one) and conv2d_dx (one per residue of the output modulo the stride) fall into:
 * a dense correlation
 *   out[m][q] = sum over c, t of w[m][c][t] source[c][q step + shift of t] */
typedef struct ConvSub {
  /* output and source channels */
  int64_t out_c;
  int64_t in_c;
  /* output pixels of one image */
  int64_t gh;
  int64_t gw;
  /* source map; source step per output pixel */
  int64_t sh;
  int64_t sw;
  int64_t step;
  /* source coordinates read by pixel 0 in the first staged row, column */
  int64_t base_y;
  int64_t base_x;
  /* taps */
  int64_t nty;
  int64_t ntx;
  /* tap (ty,tx) is weight (ky0 + ty kstep, kx0 + tx kstep) */
  int64_t ky0;
  int64_t kx0;
  int64_t kstep;
  bool flip; /* tap ty reads staged row nty-1-ty */
  /* output pixel (qy,qx) is (qy ostep + oy0, qx ostep + ox0) of the map */
  int64_t oy0;
  int64_t ox0;
  int64_t ostep;
  int64_t out_h;
  int64_t out_w;
  /* nty*ntx; out_c rounded up to panels; start of its weights in the prepared block */
  int64_t taps;
  int64_t mp;
  int64_t a_off;
} ConvSub;

/* How many there are, and sub r of a conv2d or conv2d_dx. */
int conv_subs(const ConvGeom *g);
ConvSub conv_sub(const ConvGeom *g, int r);

/* Sums over k that tasks made for themselves; so many are kept before they are added. */
enum { SUMS_ROUND = 16 };

/* total = sums[0] (fresh) or total + sums[0], + sums[1] ..., in this order; `numel` numbers each.
 */
void sums_add(real *total, const real *sums, int64_t numel, int64_t count, bool fresh);

/* Every algorithm has the same four functions: numbers in prepared weights (fwd, dx), preparing
 * them, scratch bytes (with_prep: they are given), and the run. */
size_t direct_prep_numel(const ConvGeom *g);
void direct_prep(const ConvGeom *g, const real *w, real *dst);
size_t direct_scratch(const ConvGeom *g, bool with_prep);
void direct_run(const ConvGeom *g, const real *src, const real *w, const real *prep,
                const real *scale, real *out, void *scratch);

/* Whether a run takes the weights as they are, so that there is nothing to prepare. */
bool direct_lean(const ConvGeom *g);
bool wino_lean(const ConvGeom *g, int side);

/* The weight gradient: sx, sdy scale the channels of x and dy (or NULL). */
size_t direct_dw_scratch(const ConvGeom *g);
void direct_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx,
                   const real *sdy, real *dw, void *scratch);

/* Operands rounded to bf16 (core/bf16.h): whether that pays for this geometry on this machine. */
bool bf16_pays(const ConvGeom *g);
size_t bf16_prep_numel(const ConvGeom *g);
void bf16_prep(const ConvGeom *g, const real *w, real *dst);
size_t bf16_scratch(const ConvGeom *g, bool with_prep);
void bf16_run(const ConvGeom *g, const real *src, const real *w, const real *prep,
              const real *scale, real *out, void *scratch);
size_t bf16_dw_scratch(const ConvGeom *g);
void bf16_dw_run(const ConvGeom *g, const real *x, const real *dy, const real *sx, const real *sdy,
                 real *dw, void *scratch);

/* 1x1, at most 4 channels on one side: no preparation, no scratch. */
bool thin_possible(const ConvGeom *g);
void thin_run(const ConvGeom *g, const real *src, const real *w, const real *scale, real *out);

/* Winograd: `side` 4 or 2 (output tile, stride 1) or 3 (stride 2); 3x3 kernels only. */
bool wino_possible(const ConvGeom *g);

/* The side expected to be fastest, 0 for the direct algorithm. */
int wino_auto(const ConvGeom *g);

/* The four functions, and two of the weight gradient. */
size_t wino_prep_numel(const ConvGeom *g, int side);
void wino_prep(const ConvGeom *g, int side, const real *w, real *dst);
size_t wino_scratch(const ConvGeom *g, int side, bool with_prep);
void wino_run(const ConvGeom *g, int side, const real *src, const real *w, const real *prep,
              const real *scale, real *out, void *scratch);
size_t wino_dw_scratch(const ConvGeom *g, int side);
void wino_dw_run(const ConvGeom *g, int side, const real *x, const real *dy, const real *sx,
                 const real *sdy, real *dw, void *scratch);

/* A convolution of stride 1 is one part; one of stride 2 is four, by residue of the kernel tap
 * (conv2d, conv2d_dw) or of the output pixel (conv2d_dx), each a dense correlation of stride 1 with
 * 2x2, 2x1, 1x2 or 1x1 taps. */
typedef struct WinoPart {
  int form; /* WinoForm */
  int my;   /* outputs of a tile, rows and columns */
  int mx;
  int ay; /* inputs of a tile */
  int ax;
  int taps;
  int32_t tap[9]; /* weight y*3 + x of each tap */
  /* row r, column c of the part's source is (r step + first_y, c step + first_x) of the map */
  int64_t step;
  int64_t first_y;
  int64_t first_x;
  /* its outputs, (q ostep + oy0, q ostep + ox0) of the map */
  int64_t gh;
  int64_t gw;
  int64_t ostep;
  int64_t oy0;
  int64_t ox0;
} WinoPart;

/* How many parts there are, and part i. */
int wino_parts(const ConvGeom *g);
WinoPart wino_part(const ConvGeom *g, int side, int i);
#endif
