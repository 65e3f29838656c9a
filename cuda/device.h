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

/* Sums of device memory between the GPUs of several processes (collective; all have a backend):
 * sets c->sum_device when the build has NCCL and it starts; else ST_OK with the reason in e->msg
 * (empty: no NCCL in this build), and sums go through the host. free_device before the backend is
 * freed. */
Status cuda_comm_attach(Comm *c, Backend *b, Error *e);
#ifdef __cplusplus
}
#endif
#endif
