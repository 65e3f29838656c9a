/* ladder_cuda.c: the rungs on a GPU and what changed from one to the next. */
#include <stdio.h>
#include "cuda/device.h"
#include "docs/learn/ladder/ladder.h"

/* The CUDA backend, in float throughout; NULL, and a line on standard error, where it does not
 * start. Lives as long as the program. */
static Backend *card_backend(void) {
  static Backend *b;
  Error e = {0};
  if (!b && cuda_backend_new(0, PREC_STRICT, &b, &e) != ST_OK)
    fprintf(stderr, "ladder: %s\n", e.msg);
  return b;
}

#define RUN(f)                                                                \
  static void run_##f(const void *size, const float *const *in, float *out) { \
    cuda_##f(size, in[0], in[1], out);                                        \
  }
#define RUN_MODCONV(f)                                                        \
  static void run_##f(const void *size, const float *const *in, float *out) { \
    cuda_##f(size, in[0], in[1], in[2], out);                                 \
  }
#define RUN_TODAY(name, kind)                                                      \
  static void today_##name(const void *size, const float *const *in, float *out) { \
    Backend *b = card_backend();                                                   \
    if (b) ladder_today(kind, size, in, out, b);                                   \
  }
RUN(matmul_0_naive)
RUN(matmul_1_tiles)
RUN(matmul_2_registers)
RUN(conv_0_naive)
RUN(conv_1_shared)
RUN(conv_2_registers)
RUN_MODCONV(modconv_0_naive)
RUN_MODCONV(modconv_1_shared)
RUN(upfirdn_0_naive)
RUN(upfirdn_1_no_zeros)
RUN(upfirdn_2_shared)
RUN_TODAY(matmul, LADDER_MATMUL)
RUN_TODAY(conv, LADDER_CONV)
RUN_TODAY(modconv, LADDER_MODCONV)
RUN_TODAY(upfirdn, LADDER_UPFIRDN)

#define RUNG(f, what) \
  { .name = "cuda " #f, .changed = what, .run = run_##f }
#define TODAY(f, file, what) \
  { .name = file, .changed = what, .host = true, .run = today_##f }
const Rung ladder_cuda[LADDER_COUNT][MAX_RUNGS] = {
    [LADDER_MATMUL] = {RUNG(matmul_0_naive, "float; a thread for each number"),
                       RUNG(matmul_1_tiles, "tiles in shared memory"),
                       RUNG(matmul_2_registers, "4 x 4 numbers per thread, in registers"),
                       TODAY(matmul, "cuda/matmul.cu",
                             "128-bit loads, next tile under way, k cut")},
    [LADDER_CONV] = {RUNG(conv_0_naive, "float; a thread for each pixel"),
                     RUNG(conv_1_shared, "the image through shared memory"),
                     RUNG(conv_2_registers, "eight channels per thread"),
                     TODAY(conv, "cuda/conv.cu", "a matrix product, 64 channels by 64 pixels")},
    [LADDER_MODCONV] = {RUNG(modconv_0_naive, "float; weights of each sample"),
                        RUNG(modconv_1_shared, "style at the load, length at the store"),
                        TODAY(modconv, "cuda/conv.cu", "the same in the matrix product")},
    [LADDER_UPFIRDN] = {RUNG(upfirdn_0_naive, "float; a thread for each pixel"),
                        RUNG(upfirdn_1_no_zeros, "only the taps that meet a pixel"),
                        RUNG(upfirdn_2_shared, "one axis at a time"),
                        TODAY(upfirdn, "cuda/upfirdn.cu", "tiles, both axes in one block")}};
