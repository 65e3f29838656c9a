/* ladder.h: the rungs of docs/learn/ladder/, from the plain loop to today's kernel.
 *
 * Rung 0 of each ladder is the definition, in double, ten lines long. It is the oracle: ladder.c
 * judges every other rung by it, and so do the tests of the real kernels (test/test_conv.c,
 * test/test_oracle.c). The others compute in float. Arrays are row-major; y is written whole. */
#ifndef PRLX_LADDER_H
#define PRLX_LADDER_H
#include "core/backend.h"
#include "core/conv.h"
#include "core/gemm.h"
#ifdef __cplusplus
extern "C" {
#endif

/* ---- matrix product: c [m,n] = a [m,k] b [k,n] ---- */
typedef struct MatmulSize {
  int64_t m;
  int64_t n;
  int64_t k;
} MatmulSize;

/* The definition. */
void matmul_0_naive(const MatmulSize *s, const double *a, const double *b, double *c);

/* Loops in another order, blocks that stay in the cache, tiles that stay in registers. */
void matmul_1_order(const MatmulSize *s, const float *a, const float *b, float *c);
void matmul_2_blocks(const MatmulSize *s, const float *a, const float *b, float *c);
void matmul_3_registers(const MatmulSize *s, const float *a, const float *b, float *c);

/* ---- convolution: y [n,co,oh,ow] of x [n,ci,h,w] and w [co,ci,kh,kw], zero padding ---- */

/* The definition, and its two adjoints: dx of dy and w, dw of x and dy. */
void conv_0_naive(const ConvGeom *g, const double *x, const double *w, double *y);
void conv_0_naive_dx(const ConvGeom *g, const double *dy, const double *w, double *dx);
void conv_0_naive_dw(const ConvGeom *g, const double *x, const double *dy, double *dw);

/* Rows of the image innermost; four outputs from each number read; as one matrix product; fewer
 * multiplications. The last three: stride 1, the last one 3x3 with padding 1 and even sides. */
void conv_1_rows(const ConvGeom *g, const float *x, const float *w, float *y);
void conv_2_four(const ConvGeom *g, const float *x, const float *w, float *y);
void conv_3_unfold(const ConvGeom *g, const float *x, const float *w, float *y);
void conv_4_winograd(const ConvGeom *g, const float *x, const float *w, float *y);

/* ---- modulated convolution: weights w [co,ci,kh,kw] times s [n,ci], made of unit length per
 * output channel; geometry as above ---- */
void modconv_0_naive(const ConvGeom *g, const double *x, const double *w, const double *s,
                     double *y);

/* One convolution for all samples; lengths from sums of squares that are made once. */
void modconv_1_shared(const ConvGeom *g, const float *x, const float *w, const float *s, float *y);
void modconv_2_squares(const ConvGeom *g, const float *x, const float *w, const float *s, float *y);

/* ---- upfirdn2d: zero insertion, padding, filter, decimation of `planes` images [h,w] ---- */
typedef struct FirSize {
  int64_t planes;
  int64_t h;
  int64_t w;
  int64_t up; /* both axes the same */
  int64_t down;
  int64_t pad0; /* before and after, both axes; negative: cropping */
  int64_t pad1;
  int64_t taps; /* f [taps], the filter is f f^T */
  double gain;
} FirSize;

/* Side of the output of a side of length n. */
static inline int64_t fir_side(const FirSize *s, int64_t n) {
  return (n * s->up + s->pad0 + s->pad1 - s->taps) / s->down + 1;
}

/* The definition, with the zeros in it; without them; one axis at a time; rows at a time. */
void upfirdn_0_naive(const FirSize *s, const double *x, const double *f, double *y);
void upfirdn_1_no_zeros(const FirSize *s, const float *x, const float *f, float *y);
void upfirdn_2_separable(const FirSize *s, const float *x, const float *f, float *y);
void upfirdn_3_rows(const FirSize *s, const float *x, const float *f, float *y);

/* ---- the same four on a GPU; every pointer is device memory (ladder_card.cu) ---- */
void cuda_matmul_0_naive(const MatmulSize *s, const float *a, const float *b, float *c);
void cuda_matmul_1_tiles(const MatmulSize *s, const float *a, const float *b, float *c);
void cuda_matmul_2_registers(const MatmulSize *s, const float *a, const float *b, float *c);
void cuda_conv_0_naive(const ConvGeom *g, const float *x, const float *w, float *y);
void cuda_conv_1_shared(const ConvGeom *g, const float *x, const float *w, float *y);
void cuda_conv_2_registers(const ConvGeom *g, const float *x, const float *w, float *y);
void cuda_modconv_0_naive(const ConvGeom *g, const float *x, const float *w, const float *s,
                          float *y);
void cuda_modconv_1_shared(const ConvGeom *g, const float *x, const float *w, const float *s,
                           float *y);
void cuda_upfirdn_0_naive(const FirSize *s, const float *x, const float *f, float *y);
void cuda_upfirdn_1_no_zeros(const FirSize *s, const float *x, const float *f, float *y);
void cuda_upfirdn_2_shared(const FirSize *s, const float *x, const float *f, float *y);

/* Device memory of n floats (NULL: full), copies, and waiting: NULL when all went well, else the
 * runtime's words. emulated: no GPU, so no rates either. */
float *card_new(int64_t n);
void card_free(float *p);
void card_put(float *dst, const float *src, int64_t n);
void card_get(float *dst, const float *src, int64_t n);
const char *card_wait(void);
bool card_emulated(void);

/* ---- for the programs over the rungs (ladder_run.c) ---- */
typedef enum {
  LADDER_MATMUL,
  LADDER_CONV,
  LADDER_MODCONV,
  LADDER_UPFIRDN,
  LADDER_COUNT
} LadderKind;
typedef struct Rung {
  const char *name;
  const char *changed; /* against the rung before */
  /* host: memory of the host even on a card (today's kernel brings its own device memory) */
  bool host;
  void (*run)(const void *size, const float *const *in, float *out);
} Rung;
enum { MAX_RUNGS = 8 };

/* Rungs of each ladder without the oracle, in order; an end has no name. */
extern const Rung ladder_cpu[LADDER_COUNT][MAX_RUNGS];
extern const Rung ladder_cuda[LADDER_COUNT][MAX_RUNGS];

/* One problem of a ladder: what the rungs are given and what the oracle makes of it. */
typedef struct Problem {
  LadderKind kind;
  const void *size; /* MatmulSize, ConvGeom or FirSize */
  float *in[3];
  int64_t len[3];
  int inputs;
  double *want; /* [out] */
  int64_t out;
  double flop;    /* of the definition, 2 x multiply-adds */
  double seconds; /* of the oracle */
  char text[96];
} Problem;

/* Numbers of a fixed seed in -1..1 and the oracle's answer. False: out of memory; free with
 * problem_free in any case. */
bool problem_new(LadderKind kind, const void *size, uint64_t seed, Problem *p);
void problem_free(Problem *p);

/* Largest difference of a rung from the oracle, over the oracle's largest value; NAN: the card
 * failed. card: inputs go to the device first. seconds (may be NULL): the quickest of `repeat`. */
double ladder_error(const Rung *r, const Problem *p, bool card, int repeat, double *seconds);

/* False: this rung is not made for this problem (Winograd by hand: 3x3, even sides). */
bool ladder_fits(const Rung *r, const Problem *p);

/* core's operation of this kind through a plan (its weights prepared, as in a projection), on
 * `where` or the CPU (NULL); ladder_today_end frees what it keeps between calls. */
void ladder_today(LadderKind kind, const void *size, const float *const *in, float *out,
                  Backend *where);
void ladder_today_end(void);

/* Geometry of a convolution, stride and padding the same on both axes. */
ConvGeom ladder_conv(int64_t n, int64_t ci, int64_t side, int64_t co, int64_t k, int64_t stride,
                     int64_t pad);
#ifdef __cplusplus
}
#endif
#endif
