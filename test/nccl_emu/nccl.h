/* nccl.h: the part of NCCL that cuda/comm_nccl.cu uses, declared as its documentation has it: for
 * tests under the emulation (test/cuda_emu_nccl.cpp) and to compile where there is no NCCL. */
#ifndef PRLX_TEST_NCCL_H
#define PRLX_TEST_NCCL_H
#include <cuda_runtime.h>
typedef struct ncclComm *ncclComm_t;
typedef struct ncclUniqueId {
  char internal[128];
} ncclUniqueId;
typedef enum { ncclSuccess = 0, ncclUnhandledCudaError = 1, ncclInternalError = 3 } ncclResult_t;
typedef enum { ncclFloat = 7 } ncclDataType_t;
extern "C" {
const char *ncclGetErrorString(ncclResult_t r);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
ncclResult_t ncclCommInitRank(ncclComm_t *c, int size, ncclUniqueId id, int rank);
ncclResult_t ncclCommDestroy(ncclComm_t c);
ncclResult_t ncclCommAbort(ncclComm_t c);
ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);
ncclResult_t ncclSend(const void *x, size_t n, ncclDataType_t t, int peer, ncclComm_t c,
                      cudaStream_t s);
ncclResult_t ncclRecv(void *x, size_t n, ncclDataType_t t, int peer, ncclComm_t c, cudaStream_t s);
ncclResult_t ncclAllGather(const void *x, void *all, size_t n, ncclDataType_t t, ncclComm_t c,
                           cudaStream_t s);
}
#endif
