/* ladder_cpu.c: the rungs on the CPU and what changed from one to the next. */
#include "docs/learn/ladder/ladder.h"

#define RUN_MATMUL(f)                                                         \
  static void run_##f(const void *size, const float *const *in, float *out) { \
    f(size, in[0], in[1], out);                                               \
  }
#define RUN_MODCONV(f)                                                        \
  static void run_##f(const void *size, const float *const *in, float *out) { \
    f(size, in[0], in[1], in[2], out);                                        \
  }
#define RUN_TODAY(name, kind)                                                      \
  static void today_##name(const void *size, const float *const *in, float *out) { \
    ladder_today(kind, size, in, out, NULL);                                       \
  }
RUN_MATMUL(matmul_1_order)
RUN_MATMUL(matmul_2_blocks)
RUN_MATMUL(matmul_3_registers)
RUN_MATMUL(conv_1_rows)
RUN_MATMUL(conv_2_four)
RUN_MATMUL(conv_3_unfold)
RUN_MATMUL(conv_4_winograd)
RUN_MODCONV(modconv_1_shared)
RUN_MODCONV(modconv_2_squares)
RUN_MATMUL(upfirdn_1_no_zeros)
RUN_MATMUL(upfirdn_2_separable)
RUN_MATMUL(upfirdn_3_rows)
RUN_TODAY(matmul, LADDER_MATMUL)
RUN_TODAY(conv, LADDER_CONV)
RUN_TODAY(modconv, LADDER_MODCONV)
RUN_TODAY(upfirdn, LADDER_UPFIRDN)

#define RUNG(f, what) \
  { .name = #f, .changed = what, .run = run_##f }
#define TODAY(f, file, what) \
  { .name = file, .changed = what, .host = true, .run = today_##f }
const Rung ladder_cpu[LADDER_COUNT][MAX_RUNGS] = {
    [LADDER_MATMUL] = {RUNG(matmul_1_order, "float; columns innermost: rows are read, vectors"),
                       RUNG(matmul_2_blocks, "blocks of b that stay in the cache"),
                       RUNG(matmul_3_registers, "tiles of c that stay in registers"),
                       TODAY(matmul, "core/op_matmul.c", "packed operands, every core")},
    [LADDER_CONV] = {RUNG(conv_1_rows, "float; rows innermost, no question inside"),
                     RUNG(conv_2_four, "four outputs from each number read"),
                     RUNG(conv_3_unfold, "one matrix product, sums in registers"),
                     RUNG(conv_4_winograd, "16 multiplications in place of 36"),
                     TODAY(conv, "core/op_conv.c", "F(4,3), panels, prepared weights, every core")},
    [LADDER_MODCONV] = {RUNG(modconv_1_shared, "float; one convolution for all samples"),
                        RUNG(modconv_2_squares, "lengths from sums of squares; Winograd"),
                        TODAY(modconv, "models/gan/synthesis.c",
                              "scalings inside the convolution, every core")},
    [LADDER_UPFIRDN] = {
        RUNG(upfirdn_1_no_zeros, "float; inserted zeros are not multiplied"),
        RUNG(upfirdn_2_separable, "one axis at a time"),
        RUNG(upfirdn_3_rows, "rows at a time: vectors"),
        TODAY(upfirdn, "core/op_upfirdn.c", "both phases of a row together, every core")}};
