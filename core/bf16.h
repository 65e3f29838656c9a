/* bf16.h: whether products of bf16 numbers can be had here, and whether graphs ask for them.
 *
 * Operands of the large products (conv2d, its two gradients, matmul) are rounded to bf16 (8 bits of
 * mantissa), sums and everything else stay float. Off unless a program says bf16_use(true): what is
 * computed in float has the same bits as before. Refused where the machine has no instructions for
 * it: emulated, it would only be slower and less exact. */
#ifndef PRLX_BF16_H
#define PRLX_BF16_H
#include "core/base.h"
#include "core/kernels/bf16.h"

/* Nothing; VDPBF16PS of AVX512_BF16 (pairs in vectors); the tiles of AMX-BF16 beside it. */
typedef enum { BF16_NONE = 0, BF16_VECTORS, BF16_TILES, BF16_WAYS } Bf16Way;

/* What this machine, its kernel, this build and PRLX_ISA allow: an instruction set other than
 * avx512 has none; PRLX_ISA=avx512 leaves both out, avx512bf16 the tiles. */
Bf16Way bf16_way(void);

/* The same, whatever PRLX_ISA says. */
Bf16Way bf16_machine_way(void);

/* For tests, while nothing runs: takes at most this one from now on; 1, or 0 where the machine does
 * not have it and nothing changes. */
int bf16_set_way(Bf16Way way);

/* "none", "avx512bf16", "amx": a constant text. */
const char *bf16_name(Bf16Way way);

/* Graphs that are built from now on, in all threads, have such products, or not. ST_INVALID where
 * bf16_way is BF16_NONE: the message says what was found and what to do. While no other thread
 * builds a graph. */
Status bf16_use(bool on, Error *e);
bool bf16_used(void);

/* C (+)= A B by the way in use, which is not BF16_NONE. */
void bf16_product(const Bf16Product *p);

/* The same over n steps, `depth` at a time so that their operands stay in the cache; a_step and
 * b_step: places of all of them. The order of sums depends on depth only. */
void bf16_products(Bf16Product *p, const int64_t *a_step, const int64_t *b_step, int64_t n,
                   int64_t depth);

/* Whether c [m,n] = op(a) [m,k] op(b) [k,n] is worth rounding; its scratch bytes; the product, in
 * which a row does not depend on m. ta, tb: a is [k,m], b is [n,k]. */
bool bf16_matmul_pays(int64_t m, int64_t n, int64_t k);
size_t bf16_matmul_scratch(bool tb, int64_t m, int64_t n, int64_t k);
void bf16_matmul(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const real *a, const real *b,
                 real *c, void *scratch);
#endif
