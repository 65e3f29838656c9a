/* bench_card.h: what a card can do at most, for bench_gpu.c. */
#ifndef PRLX_TEST_BENCH_CARD_H
#define PRLX_TEST_BENCH_CARD_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
/* Copy of `bytes` on the device, GB/s read plus written, best of `repeat`; < 0: no memory. */
double card_copy(size_t bytes, int repeat);

/* Rate of mma.sync from registers on all multiprocessors, TFLOP/s (2 x multiply-adds), best of
 * `repeat`; type 0 f16, 1 bf16, 2 tf32, 3 float FMA. This is the rate of the instruction the
 * kernels use; sm_90's wgmma is about 1.6 times faster in 16 bits. */
double card_rate(int type, long loops, int repeat);
#ifdef __cplusplus
}
#endif
#endif
