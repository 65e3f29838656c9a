/* device.h: the CUDA backend as C programs see it (tools/, test/). Present when the program was
 * built with nvcc (PRLX_HAVE_CUDA), or under the emulation header in tests. */
#ifndef PRLX_CUDA_DEVICE_H
#define PRLX_CUDA_DEVICE_H
#ifdef __cplusplus
extern "C" {
#endif
#include "core/backend.h"
#include "core/comm.h"
/* Number of usable devices; 0 also when there is no driver (`why`, of n bytes, then says what the
 * runtime answered; may be NULL). */
int cuda_device_count(char *why, size_t n);

/* A backend on device `device`. ST_INVALID: no such device; ST_INTERNAL: the runtime's own words.
 * Free after all plans and shared ranges that use it. */
Status cuda_backend_new(int device, Precision p, Backend **out, Error *e);
void cuda_backend_free(Backend *b);

/* One line: "NVIDIA H200, sm_90, 132 multiprocessors, 139.8 GiB (138.1 free), driver 13.0, runtime
 * 13.0". */
void cuda_describe(int device, char *buf, size_t n);

/* Operations of the table without a kernel, though they need one: names, at most max; returns their
 * number (0 in a complete build). */
int cuda_missing(const char **names, int max);

/* What a short self-test found of one kind of kernels: compared with their definitions on this
 * card, in this precision (cuda/selftest.cu). rung: 0 the kernels as designed, 1 the same tiles in
 * float, 2 the definitions themselves, 3 mma.sync in place of wgmma, 4 (maps with their channels
 * last, 16-bit precisions only) those for planes, 5 the host (doubles); text: why not 0. */
typedef struct CudaTested {
  const char *kind;
  int cases;
  double worst; /* of the rung taken: distance in units of what rounding allows */
  int rung;
  char text[200];
} CudaTested;
enum { CUDA_TESTED_MAX = 12 };

/* Compares every kind with its definition, both tiles and split sums of the convolutions, launched
 * and as captured graphs. Kernels that do not agree are refused: b uses the next rung from now on.
 * Before any plan of b. ST_INTERNAL: the device failed, or not even the definitions agree with
 * themselves: do not use it. Some tenths of a second on a card. With PRLX_CUDA_WGMMA=1 in the
 * environment, on a card of compute capability 9.0 and in 16 bits: convolutions by wgmma as one
 * kind more, which b uses from then on if they agree. */
Status cuda_selftest(Backend *b, CudaTested tested[CUDA_TESTED_MAX], int *n, Error *e);

/* Every kind on this rung (as in CudaTested), for tests and measurements. Before any plan. */
void cuda_use_rung(Backend *b, int rung);

/* Convolutions by wgmma on a card that has it: 0 none, 1 where they are worth it, 2 wherever they
 * can be, for tests and measurements. Before any plan. How many there were so far, of all
 * backends. */
void cuda_use_wgmma(Backend *b, int use);
long cuda_wgmma_launches(void);

/* Loops over so many numbers or more may have several results (PwProgram.more): below it one more
 * loop is cheaper than the wider pass. What a new backend has; estimated, no card has run it. */
enum { CUDA_SEVERAL_FROM = 1 << 17 };

/* The same, of this backend, for tests and measurements; INT64_MAX: none. Before any plan. */
void cuda_use_several(Backend *b, int64_t least);

/* Sums of device memory between the GPUs of several processes (collective; all have a backend):
 * sets c->device_begin and its like when the build has NCCL and it starts; else ST_OK with the
 * reason in e->msg (empty: no NCCL in this build), and sums go through the host. free_device before
 * the backend is freed. */
Status cuda_comm_attach(Comm *c, Backend *b, Error *e);
#ifdef __cplusplus
}
#endif
#endif
