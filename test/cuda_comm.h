/* cuda_comm.h: what test/cuda_comm.c (C) asks of test/cuda_emu_nccl.cpp. */
#ifndef PRLX_TEST_CUDA_COMM_H
#define PRLX_TEST_CUDA_COMM_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
size_t emu_nccl_bytes(void); /* of the memory, zeroed, that all processes map */

/* In each process, before its backend is made: the memory, and emu_late (test/cuda_emu.h). */
void emu_nccl_setup(void *shared, unsigned late);
#ifdef __cplusplus
}
#endif
#endif
