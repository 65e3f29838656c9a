/* cuda_emu_nccl.cpp: NCCL (test/nccl_emu/nccl.h) between forked processes that each have an
 * emulated card: memory that all of them map, where what is sent lies until it was received. Like
 * NCCL's, a call puts work into the stream, which is done when the stream comes to it. */
#include <nccl.h>
#include <sched.h>
#include <time.h>
#include <vector>
#include "test/cuda_comm.h"
#include "test/cuda_emu.h"

enum { RANKS = 3, MAIL = 1 << 18, PATIENCE = 120 }; /* bytes from one to another; seconds */
struct EmuWire {
  int came[2]; /* at a barrier, of which two take turns */
  unsigned char mail[RANKS][RANKS][MAIL];
};
static EmuWire *wire;
static int turn;

struct ncclComm {
  int rank;
  int size;
};

/* Sends and receives of one group, or one all-gather: from one barrier to the next. */
struct EmuMail {
  int peer;
  void *at;
  size_t bytes;
};
struct EmuExchange {
  ncclComm_t comm;
  std::vector<EmuMail> out;
  std::vector<EmuMail> in;
};
static EmuExchange *group;
static cudaStream_t group_stream;

extern "C" size_t emu_nccl_bytes(void) { return sizeof(EmuWire); }
extern "C" void emu_nccl_setup(void *shared, unsigned late) {
  wire = (EmuWire *)shared;
  turn = 0;
  emu_late(late);
}

/* All come, then all go on. */
static void barrier(int size) {
  int *came = &wire->came[turn];
  const time_t start = time(NULL);
  turn ^= 1;
  __atomic_add_fetch(came, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(came, __ATOMIC_SEQ_CST) % size != 0 && time(NULL) - start < PATIENCE)
    sched_yield();
  if (time(NULL) - start < PATIENCE) return;
  fprintf(stderr, "emulated NCCL: a process did not come within %d seconds\n", (int)PATIENCE);
  exit(1);
}

static void mail_check(size_t bytes) {
  if (bytes <= MAIL) return;
  fprintf(stderr, "emulated NCCL: more than %d bytes at once\n", (int)MAIL);
  exit(1);
}

static void exchange(void *ctx) {
  EmuExchange *x = (EmuExchange *)ctx;
  const ncclComm_t c = x->comm;
  size_t at[RANKS] = {0};
  for (const EmuMail &m : x->out) {
    mail_check(at[m.peer] + m.bytes);
    memcpy(wire->mail[c->rank][m.peer] + at[m.peer], m.at, m.bytes);
    at[m.peer] += m.bytes;
  }
  barrier(c->size);
  memset(at, 0, sizeof at);
  for (const EmuMail &m : x->in) {
    memcpy(m.at, wire->mail[m.peer][c->rank] + at[m.peer], m.bytes);
    at[m.peer] += m.bytes;
  }
  barrier(c->size);
  delete x;
}

static size_t bytes_of(const void *x, size_t n) {
  if (!emu_owns(x, n * 4)) {
    fprintf(stderr, "emulated NCCL: %zu floats that are not device memory\n", n);
    exit(1);
  }
  return n * 4;
}

extern "C" {
const char *ncclGetErrorString(ncclResult_t r) { return r == ncclSuccess ? "no error" : "error"; }
ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  memset(id, 7, sizeof *id);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *c, int size, ncclUniqueId id, int rank) {
  if (id.internal[0] != 7 || !wire || size > RANKS) return ncclInternalError;
  *c = new ncclComm{rank, size};
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t c) {
  delete c;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t c) { return ncclCommDestroy(c); }
ncclResult_t ncclGroupStart(void) {
  group = new EmuExchange();
  group_stream = NULL;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void) {
  EmuExchange *x = group;
  group = NULL;
  return x && cudaLaunchHostFunc(group_stream, exchange, x) == cudaSuccess ? ncclSuccess
                                                                           : ncclInternalError;
}

ncclResult_t ncclSend(const void *x, size_t n, ncclDataType_t, int peer, ncclComm_t c,
                      cudaStream_t s) {
  if (!group) return ncclInternalError;
  group->comm = c;
  group_stream = s;
  group->out.push_back(EmuMail{peer, (void *)x, bytes_of(x, n)});
  return ncclSuccess;
}

ncclResult_t ncclRecv(void *x, size_t n, ncclDataType_t, int peer, ncclComm_t c, cudaStream_t s) {
  if (!group) return ncclInternalError;
  group->comm = c;
  group_stream = s;
  group->in.push_back(EmuMail{peer, x, bytes_of(x, n)});
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void *x, void *all, size_t n, ncclDataType_t, ncclComm_t c,
                           cudaStream_t s) {
  EmuExchange *g = new EmuExchange();
  g->comm = c;
  const size_t bytes = bytes_of(x, n);
  bytes_of(all, n * (size_t)c->size);
  for (int r = 0; r < c->size; r++) {
    if (r == c->rank) continue; /* in place: our own are there */
    g->out.push_back(EmuMail{r, (void *)x, bytes});
    g->in.push_back(EmuMail{r, (char *)all + (size_t)r * bytes, bytes});
  }
  if ((const char *)x != (char *)all + (size_t)c->rank * bytes) return ncclInternalError;
  return cudaLaunchHostFunc(s, exchange, g) == cudaSuccess ? ncclSuccess : ncclInternalError;
}
}
