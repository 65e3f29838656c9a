/* comm_nccl.cu: gradients of several processes added from GPU to GPU (`make NCCL=1`, which also
 * needs MPI: it starts the processes, tells them of one another, and carries what lives on the
 * host). Without PRLX_HAVE_NCCL the sums go through the host, by core/comm.h's `sum`.
 *
 * Order: an all-reduce of NCCL adds in an order of its own, which changes with the number of GPUs
 * and the way they are wired. Here, as through MPI, every process gets one part of the range from
 * all others (sends and receives, of one group), adds the parts in the order of the ranks, and the
 * parts are put together again (all-gather): the same bits on any wires and in buckets of any size.
 * Each GPU sends and receives 2 (size - 1) / size times the bytes, as a ring of all-reduces does.
 * It takes two buffers of NCCL_PIECE floats, whatever the network: a longer sum goes by pieces.
 *
 * Streams: the sums have one of their own, of the highest priority, so that they come between the
 * kernels of the backward pass. An event of the backend's stream tells them that a bucket is
 * there, one of theirs tells the backend's stream that the sums are. The host waits for neither. */
#include "cuda/device.h"
#include "cuda/device_impl.h"
#ifdef PRLX_HAVE_NCCL
#include <nccl.h>

/* floats of a piece; under the emulation small, so that several are tried */
#ifdef PRLX_CUDA_EMU
enum { NCCL_PIECE = 1000 };
#else
enum { NCCL_PIECE = 4 << 20 };
#endif
enum { PACK_MOST = 32, PACK_BLOCK = 256, PACK_EACH = 4 };

/* Ranges that are packed by one launch: numbers at.. of the buffer, up to the next one's. */
typedef struct PackPart {
  float *x;
  const float *more;
  int at;
} PackPart;
typedef struct PackParts {
  PackPart of[PACK_MOST];
  int parts;
  int n; /* floats of all */
} PackParts;

typedef struct Nccl {
  ncclComm_t comm;
  bool started;
  int rank;
  int size;
  Backend *backend;
  cudaStream_t stream; /* of the sums */
  cudaEvent_t ready;
  cudaEvent_t done;
  float *packed; /* one part for each process; in the end all sums */
  float *others; /* our part, from each process */
  Status failed; /* of what was begun since the last wait */
  Error why;
} Nccl;

static Status nccl_check(ncclResult_t r, const char *what, Error *e) {
  return r == ncclSuccess ? ST_OK
                          : err_set(e, ST_INTERNAL, "NCCL %s: %s", what, ncclGetErrorString(r));
}

/* ---- kernels ---- */

/* x + more, or x, into the buffer; back: the sums from there to x. */
template <bool BACK>
__global__ void __launch_bounds__(PACK_BLOCK) nccl_pack(const PackParts p, float *buffer) {
  const int first = blockIdx.x * PACK_BLOCK * PACK_EACH + threadIdx.x;
  int k = 0;
  for (int j = 0; j < PACK_EACH; j++) {
    const int i = first + j * PACK_BLOCK;
    if (i >= p.n) return;
    while (k + 1 < p.parts && i >= p.of[k + 1].at) k++;
    const PackPart q = p.of[k];
    if (BACK)
      q.x[i - q.at] = buffer[i];
    else
      buffer[i] = q.more ? __fadd_rn(q.x[i - q.at], q.more[i - q.at]) : q.x[i - q.at];
  }
}

/* own[i] <- sum over the ranks in their order; each rank's numbers lie `part` behind the last
 * one's, but those of this rank, which are in own. */
__global__ void __launch_bounds__(PACK_BLOCK)
    nccl_add(float *own, const float *others, int part, int rank, int size) {
  for (int i = blockIdx.x * PACK_BLOCK + threadIdx.x; i < part; i += gridDim.x * PACK_BLOCK) {
    float s = rank == 0 ? own[i] : others[i];
    for (int r = 1; r < size; r++)
      s = __fadd_rn(s, r == rank ? own[i] : others[(int64_t)r * part + i]);
    own[i] = s;
  }
}

/* ---- a piece: at most NCCL_PIECE numbers of at most PACK_MOST ranges ---- */

static Status nccl_exchange(Nccl *k, int part, Error *e) {
  TRY(nccl_check(ncclGroupStart(), "group", e));
  for (int r = 0; r < k->size; r++) {
    if (r == k->rank) continue;
    TRY(nccl_check(
        ncclSend(k->packed + (int64_t)r * part, (size_t)part, ncclFloat, r, k->comm, k->stream),
        "send", e));
    TRY(nccl_check(
        ncclRecv(k->others + (int64_t)r * part, (size_t)part, ncclFloat, r, k->comm, k->stream),
        "receive", e));
  }
  return nccl_check(ncclGroupEnd(), "exchange", e);
}

static Status nccl_piece(Nccl *k, const PackParts *p, Error *e) {
  const int part = ((p->n + k->size - 1) / k->size + 3) & ~3,
            blocks = (p->n + PACK_BLOCK * PACK_EACH - 1) / (PACK_BLOCK * PACK_EACH);
  float *own = k->packed + (int64_t)k->rank * part;
  void (*pack)(const PackParts, float *) = nccl_pack<false>;
  void (*unpack)(const PackParts, float *) = nccl_pack<true>;
  LAUNCH(pack, blocks, PACK_BLOCK, 0, k->stream, *p, k->packed);
  TRY(cuda_check("gradients to be sent", NULL, e));
  TRY(nccl_exchange(k, part, e));
  LAUNCH(nccl_add, PRLX_MIN((part + PACK_BLOCK - 1) / PACK_BLOCK, 1024), PACK_BLOCK, 0, k->stream,
         own, k->others, part, k->rank, k->size);
  TRY(cuda_check("sums of gradients", NULL, e));
  TRY(nccl_check(ncclAllGather(own, k->packed, (size_t)part, ncclFloat, k->comm, k->stream),
                 "gathering", e));
  LAUNCH(unpack, blocks, PACK_BLOCK, 0, k->stream, *p, k->packed);
  return cuda_check("sums that were received", NULL, e);
}

static Status nccl_sums(Nccl *k, const CommPart *part, int n, Error *e) {
  PackParts p = {};
  for (int i = 0; i < n; i++)
    for (int64_t at = 0, some; at < part[i].n; at += some) {
      const float *more = (const float *)part[i].more;
      some = PRLX_MIN(part[i].n - at, (int64_t)(NCCL_PIECE - p.n));
      p.of[p.parts++] = PackPart{(float *)part[i].x + at, more ? more + at : NULL, p.n};
      p.n += (int)some;
      if (p.n < NCCL_PIECE && p.parts < PACK_MOST) continue;
      TRY(nccl_piece(k, &p, e));
      p = PackParts();
    }
  return p.n ? nccl_piece(k, &p, e) : ST_OK;
}

/* ---- what core knows ---- */

static Status sums_begin(Nccl *k, const CommPart *part, int n, Error *e) {
  TRY(cuda_status(cudaEventRecord(k->ready, of(k->backend)->c.stream), "an event", e));
  TRY(cuda_status(cudaStreamWaitEvent(k->stream, k->ready, 0), "a wait", e));
  return nccl_sums(k, part, n, e);
}

static void device_begin(Comm *c, const CommPart *part, int n) {
  Nccl *k = (Nccl *)c->device;
  if (k->failed == ST_OK) k->failed = sums_begin(k, part, n, &k->why);
}

static Status device_wait(Comm *c, Error *e) {
  Nccl *k = (Nccl *)c->device;
  const Status st = k->failed;
  k->failed = ST_OK;
  if (st != ST_OK) return err_set(e, st, "%s", k->why.msg);
  TRY(cuda_status(cudaEventRecord(k->done, k->stream), "an event", e));
  return cuda_status(cudaStreamWaitEvent(of(k->backend)->c.stream, k->done, 0), "a wait", e);
}

static void stop_device(Comm *c) {
  Nccl *k = (Nccl *)c->device;
  if (k && k->started) ncclCommAbort(k->comm);
  if (k) k->started = false;
  c->device_begin = NULL;
  c->device_wait = NULL;
}

/* Also of one that was made in part. */
static void nccl_free(Nccl *k) {
  if (!k) return;
  if (k->stream) cudaStreamSynchronize(k->stream);
  if (k->started) ncclCommDestroy(k->comm);
  k->backend->release(k->backend, k->packed);
  k->backend->release(k->backend, k->others);
  if (k->ready) cudaEventDestroy(k->ready);
  if (k->done) cudaEventDestroy(k->done);
  if (k->stream) cudaStreamDestroy(k->stream);
  mem_free(k);
}

static void free_device(Comm *c) {
  nccl_free((Nccl *)c->device);
  c->device = NULL;
  c->device_begin = NULL;
  c->device_wait = NULL;
  c->stop_device = NULL;
}

/* All that one process needs for itself. */
static Status nccl_make(Nccl *k, Error *e) {
  const size_t bytes = (NCCL_PIECE + 4 * (size_t)k->size) * sizeof(float);
  int least = 0, most = 0;
  void *p = NULL;
  TRY(cuda_status(cudaSetDevice(of(k->backend)->device), "choosing the device", e));
  TRY(cuda_status(cudaDeviceGetStreamPriorityRange(&least, &most), "priorities", e));
  TRY(cuda_status(cudaStreamCreateWithPriority(&k->stream, cudaStreamNonBlocking, most), "a stream",
                  e));
  TRY(cuda_status(cudaEventCreateWithFlags(&k->ready, cudaEventDisableTiming), "an event", e));
  TRY(cuda_status(cudaEventCreateWithFlags(&k->done, cudaEventDisableTiming), "an event", e));
  TRY(k->backend->alloc(k->backend, bytes, &p, e));
  k->packed = (float *)p;
  TRY(k->backend->alloc(k->backend, bytes, &p, e));
  k->others = (float *)p;
  return ST_OK;
}

/* Collective. *none: it did not start somewhere, e.g. two processes on one GPU; `why` says it. */
static Status nccl_start(Comm *c, Nccl *k, int *none, Error *why, Error *e) {
  ncclUniqueId id = {};
  Status st = nccl_make(k, why);
  if (st == ST_OK && c->rank == 0) st = nccl_check(ncclGetUniqueId(&id), "identifier", why);
  *none = st != ST_OK;
  TRY(comm_agree(c, ST_OK, none, e));
  if (*none) return ST_OK;
  TRY(c->broadcast(c, &id, sizeof id, 0, e));
  k->started = nccl_check(ncclCommInitRank(&k->comm, c->size, id, c->rank), "start", why) == ST_OK;
  *none = !k->started;
  return comm_agree(c, ST_OK, none, e);
}

extern "C" Status cuda_comm_attach(Comm *c, Backend *b, Error *e) {
  Error why = {};
  int none = 0;
  Nccl *k = (Nccl *)mem_alloc(sizeof *k);
  TRY(comm_agree(c, k ? ST_OK : err_set(e, ST_NOMEM, "out of memory"), NULL, e));
  k->backend = b;
  k->rank = c->rank;
  k->size = c->size;
  const Status st = nccl_start(c, k, &none, &why, e);
  if (st != ST_OK || none) {
    nccl_free(k);
    if (st == ST_OK && e) *e = why; /* why not; the sums go through the host */
    return st;
  }
  c->device = k;
  c->device_begin = device_begin;
  c->device_wait = device_wait;
  c->stop_device = stop_device;
  c->free_device = free_device;
  return ST_OK;
}
#else
extern "C" Status cuda_comm_attach(Comm *, Backend *, Error *) { return ST_OK; }
#endif
