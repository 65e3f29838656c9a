/* kernels.c: the same work for one kernel in one instruction set, for counting instructions under
 * qemu (test/cross/insn.sh). usage: kernels gemm|input|output|up|down|lrelu ISA TIMES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/gemm.h"
#include "core/kernels/upfirdn.h"
#include "core/pointwise.h"
#include "core/winograd.h"

enum { SIDE = 64, LANES = 64, ROOM = 1 << 16 };
static real A[ROOM], B[ROOM], C[ROOM];

/* 96 x 256 times 256 x 64 */
static void work_gemm(void) {
  const GemmKernels *k = ISA_PICK(gemm_kernels);
  k->block(96, LANES, 256, A, GEMM_PANEL, GEMM_PANEL * 256, B, k->nr, k->nr * 256, C, k->nr,
           96 * k->nr, GEMM_SET);
}

/* F(4,3)^2, 64 tiles of a plane of 32 x 32, in and out */
static void work_wino(bool in) {
  const GemmKernels *g = ISA_PICK(gemm_kernels);
  const WinoKernels *k = ISA_PICK(wino_kernels);
  int32_t off[LANES];
  uint8_t size[LANES];
  for (int j = 0; j < LANES; j++) {
    off[j] = j / 8 * 4 * 40 + j % 8 * 4;
    size[j] = 36;
  }
  for (int j = 0; j < LANES; j += g->nr)
    if (in)
      k->input[WF_44](A, g->nr, off + j, 40, B, g->nr);
    else
      k->output[WF_44](B, g->nr, off + j, size + j, C, 40, 1, false);
}

/* [1,3,3,1] along both axes, by 2 up or down */
static void work_fir(bool up) {
  static const real g[4] = {0.125, 0.375, 0.375, 0.125};
  UpfirdnPlane p = {SIDE, SIDE, up ? 2 * SIDE : SIDE / 2, up ? 2 * SIDE : SIDE / 2,
                    1,    1,    1,                        1,
                    1,    1,    4,                        4,
                    8,    96};
  if (up)
    p.upx = p.upy = p.padx0 = p.pady0 = 2;
  else
    p.downx = p.downy = 2;
  const UpfirdnKernels *k = ISA_PICK(upfirdn_kernels);
  k->separable(&p, g, g, A, C, B);
}

static void work_lrelu(void) {
  PwOp op = {.op = OP_lrelu};
  op.param.lrelu = (PwLrelu){(real)0.2, (real)1.414, 256};
  ISA_PICK(pw_kernels)->apply(&op, C, A, A, 4096, 0);
}

int main(int argc, char **argv) {
  if (argc < 4 || setenv("PRLX_ISA", argv[2], 1) != 0 || strcmp(isa_name(isa_current()), argv[2]))
    return 2;
  for (int i = 0; i < ROOM; i++) A[i] = B[i] = (real)(i % 17 - 8);
  for (int i = 0; i < atoi(argv[3]); i++) {
    if (!strcmp(argv[1], "gemm")) work_gemm();
    if (!strcmp(argv[1], "input") || !strcmp(argv[1], "output")) work_wino(argv[1][0] == 'i');
    if (!strcmp(argv[1], "up") || !strcmp(argv[1], "down")) work_fir(argv[1][0] == 'u');
    if (!strcmp(argv[1], "lrelu")) work_lrelu();
  }
  double sum = 0;
  for (int i = 0; i < 4096; i++) sum += (double)C[i];
  printf("%.9g\n", sum);
  return 0;
}
