/* comm_nccl.cu: gradients of several processes added from GPU to GPU (`make NCCL=1`, which also
 * needs MPI: it starts the processes, tells them of one another, and carries what lives on the
 * host). Without PRLX_HAVE_NCCL the sums go through the host, by core/comm.h's `sum`.
 *
 * The order of a sum is NCCL's: the same in every process of a run, and from run to run on the same
 * machines, but not the order of the ranks. What can be added: 30 M parameters are 120 MB; at 300
 * GB/s each way some 0.5 ms per phase, beside some 10 ms of computing. */
#include "cuda/device.h"
#include "cuda/device_impl.h"
#ifdef PRLX_HAVE_NCCL
#include <nccl.h>

typedef struct Nccl {
  ncclComm_t comm;
  cudaStream_t stream;
} Nccl;

static Status nccl_check(ncclResult_t r, const char *what, Error *e) {
  return r == ncclSuccess ? ST_OK
                          : err_set(e, ST_INTERNAL, "NCCL %s: %s", what, ncclGetErrorString(r));
}

/* On the backend's stream, like everything else: nothing waits. */
static Status sum_device(Comm *c, void *x, int64_t n, Error *e) {
  Nccl *k = (Nccl *)c->device;
  return nccl_check(ncclAllReduce(x, x, (size_t)n, ncclFloat, ncclSum, k->comm, k->stream), "sum",
                    e);
}

static void free_device(Comm *c) {
  Nccl *k = (Nccl *)c->device;
  if (k) ncclCommDestroy(k->comm);
  mem_free(k);
  c->device = NULL;
  c->sum_device = NULL;
}

extern "C" Status cuda_comm_attach(Comm *c, Backend *b, Error *e) {
  ncclUniqueId id = {};
  Error why = {};
  Nccl *k = (Nccl *)mem_alloc(sizeof *k);
  Status st = k ? ST_OK : err_set(e, ST_NOMEM, "out of memory");
  if (st == ST_OK && c->rank == 0) st = nccl_check(ncclGetUniqueId(&id), "identifier", e);
  st = comm_agree(c, st, NULL, e);
  if (st == ST_OK) st = c->broadcast(c, &id, sizeof id, 0, e);
  if (st != ST_OK) {
    mem_free(k);
    return st;
  }
  cudaSetDevice(of(b)->device);
  k->stream = of(b)->c.stream;
  /* e.g. two processes on one GPU */
  int failed = nccl_check(ncclCommInitRank(&k->comm, c->size, id, c->rank), "start", &why) != ST_OK,
      none = failed;
  st = comm_agree(c, ST_OK, &none, e);
  if (st != ST_OK || none) {
    if (!failed) ncclCommDestroy(k->comm);
    mem_free(k);
    if (st == ST_OK && e) *e = why; /* why not; the sums go through the host */
    return st;
  }
  c->device = k;
  c->sum_device = sum_device;
  c->free_device = free_device;
  return ST_OK;
}
#else
extern "C" Status cuda_comm_attach(Comm *, Backend *, Error *) { return ST_OK; }
#endif
