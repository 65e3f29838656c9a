/* device_impl.h: what device.cu, memory.cu and table.cu share. */
#ifndef PRLX_CUDA_DEVICE_IMPL_H
#define PRLX_CUDA_DEVICE_IMPL_H
#include "cuda/cuda.h"

const CudaRow *cuda_row(const DevStep *s); /* NULL: the operation has no kernel */

enum { RING_SLOTS = 4, RING_SLOT_BYTES = 8 << 20 };

/* Pinned memory for uploads: filled piece by piece; a slot is used again when its copies are done.
 */
typedef struct Ring {
  char *mem;
  int slot;
  size_t used;
  cudaEvent_t done[RING_SLOTS];
} Ring;

typedef struct CudaBackend {
  Backend b; /* first: a Backend * is a CudaBackend * */
  CudaCtx c;
  int device;
  Ring ring;
  /* pinned memory for downloads, RING_SLOT_BYTES */
  char *down;
  /* working memory of cuda/dense.cu */
  void *dense_room;
  size_t dense_bytes;
  char name[64];
} CudaBackend;

/* The backend behind the pointer that core knows. */
static inline CudaBackend *of(Backend *b) { return (CudaBackend *)b; }

/* Turns a failed call of the runtime into an Error: ST_OK, ST_NOMEM or ST_INTERNAL. */
Status cuda_status(cudaError_t r, const char *what, Error *e);

/* What a user can do about it: the end of a message. */
const char *cuda_mend(cudaError_t r);
void cuda_memory_functions(Backend *b); /* memory.cu */
Status cuda_memory_init(CudaBackend *b, Error *e);
void cuda_memory_free(CudaBackend *b);
void cuda_program_functions(Backend *b); /* program.cu */
void cuda_dense_functions(Backend *b);   /* dense.cu */
void cuda_dense_free(Backend *b);

/* Its part of the self-test (dense_test.cu); where it does not agree b->dense is NULL then. */
struct CudaTested;
Status cuda_dense_test(Backend *b, struct CudaTested *out, Error *e);
#endif
