/* naive.h: the oracle on the device, and the lowest rung: convolution in its three kinds, matrix
 * products, filters, the geometric warp, loops and sums as their definitions say it, a thread for
 * each number (a block for each sum), sums in double, no tiles, no shared operands. What a kernel
 * of this folder makes can be judged by it at any size on any card, and a kernel that is judged
 * wrong is replaced by it (CudaCtx.rung, cuda/selftest.cu). */
#ifndef PRLX_CUDA_NAIVE_H
#define PRLX_CUDA_NAIVE_H
#ifdef __cplusplus
extern "C" {
#endif
#include "core/backend.h"

/* How far a result may lie from the oracle's: rounding errors of operands and sums are independent,
 * so that their effect grows with the root of the sum of the squares of the terms, which the oracle
 * adds up beside each result. In units of that root: eight standard deviations of the operands'
 * rounding (0.6 units in the last place each time, two operands), and what float sums of up to
 * 65536 terms lose. */
enum { NAIVE_SIGMAS = 8 };
#define NAIVE_SUM 3e-5

typedef struct NaiveVerdict {
  int64_t bad;  /* results beyond their bound */
  double worst; /* largest distance in units of the bound; infinite: NaN or infinity */
  int64_t at;   /* the worst one; what it is and should be */
  float got;
  float want;
} NaiveVerdict;

/* Is there a definition here for this step? */
bool cuda_naive_has(const DevStep *s);

/* Compares what lies in s->out with the definition; waits. Allocates 8 bytes per result for the
 * time of the call. ST_NOMEM, ST_INVALID (no definition), ST_INTERNAL (the device's words). */
Status cuda_naive_judge(Backend *b, const DevStep *s, NaiveVerdict *v, Error *e);

/* Normals as numbers of type t to device memory `to` [n]; waits for nothing. */
Status cuda_naive_fill(Backend *b, DType t, int64_t n, Rng *r, void *to, Error *e);

/* Runs a step on random operands of its own as a program that is launched, captured and replayed,
 * and judges the last run. s: shapes, types, attributes, program; an operand is there where arg[k]
 * is not NULL (its address is not looked at). */
Status cuda_naive_probe(Backend *b, const DevStep *s, uint64_t seed, NaiveVerdict *v, Error *e);
#ifdef __cplusplus
}
#endif
#endif
