/* device.h: where a command computes: --device auto|cpu|cuda and --precision (common options,
 * tools/cli/opts.c). Only this pair of files knows which devices the program was built for. */
#ifndef PRLX_TOOL_DEVICE_H
#define PRLX_TOOL_DEVICE_H
#include "core/backend.h"
#include "core/comm.h"
/* The backend that the options ask for; *out NULL: the CPU. auto: CUDA if it is in the program and
 * a device answers, else the CPU. cuda without a device is ST_INVALID and says why. `usual` is
 * taken for --precision auto. One backend per process: made at the first call, the same one later.
 */
Status tool_backend(Precision usual, Backend **out, Error *e);
void tool_backend_free(void);

/* For the small networks (models/judge/fit.h), tf32 unless asked otherwise. ST_INVALID for f16:
 * they do not scale their loss; `cmd` says who. */
Status tool_backend_fit(const char *cmd, Backend **out, Error *e);

/* Several processes on one machine take one GPU after another: process n of them gets device n
 * modulo their number. Before tool_backend. */
void tool_device_choose(int n);

/* Several processes, after tool_backend (collective): sums go from GPU to GPU where that is
 * possible (make NCCL=1; every process has a GPU of its own), else through the host. */
Status tool_device_comm(Comm *c, Backend *b, Error *e);

/* A GPU would be used (not --device cpu). */
bool tool_device_present(void);

/* For `prlx check`: what there is, in words; false when nothing can be used. *missing: operations
 * without a kernel (0 in a complete build). */
bool tool_device_text(char *buf, size_t n, int *missing);

/* What the self-test found of one kind of kernels; rung > 0: not as they should be (text), a slower
 * kernel takes their place. */
typedef struct DeviceTested {
  const char *kind;
  int cases;
  double worst; /* in units of what rounding allows */
  int rung;
  char text[200];
} DeviceTested;
enum { DEVICE_TESTED_MAX = 12 };

/* For `prlx check`: the self-test in one precision. Number of kinds; 0: no device is used; -1: the
 * device failed (e). */
int tool_device_selftest(Precision p, DeviceTested t[DEVICE_TESTED_MAX], Error *e);

/* "the float kernel", "the plainest kernel", "mma.sync", "storage in planes", "the CPU": what a
 * rung takes in place of a refused kernel. */
const char *tool_device_rung(int rung);

/* "CPU", or "cuda (tf32)": for logs and reports. */
const char *tool_device_name(const Backend *b, char buf[64]);

/* What the program was built for: "CPU" or "CPU and CUDA". */
const char *tool_device_built(void);
#endif
