/* comm.h: several processes that train one network together, each with its share of every batch
 * (data parallel). core knows no engine: a tool hands one over (tools/cli/comm_mpi.c: MPI;
 * cuda/comm_nccl.cu adds sums between GPUs). NULL, or size 1: one process alone.
 *
 * Every call but stop is collective: all processes make the same calls in the same order, with
 * equal sizes. A process that fails therefore still comes to the next comm_agree, where all of them
 * learn it; one that cannot (a bug, a killed process) must take the others along: stop. */
#ifndef PRLX_COMM_H
#define PRLX_COMM_H
#include "core/base.h"

typedef struct Comm Comm;

/* One range of a sum: x <- the sum over the processes of x + more. */
typedef struct CommPart {
  real *x;          /* n numbers, of the host or of the device */
  const real *more; /* NULL: of x alone */
  int64_t n;
} CommPart;

struct Comm {
  int rank; /* 0..size-1 */
  int size;
  int local;   /* number among the processes of this machine */
  bool agreed; /* the last failure is known to all processes: each may end in the ordinary way */
  /* In place: x <- sum over the processes, added in the order of their ranks: the same bits in
   * every process and in every run. */
  Status (*sum)(Comm *c, real *x, int64_t n, Error *e);
  Status (*sum_double)(Comm *c, double *x, int64_t n, Error *e);
  /* Sums that run beside other work; NULL: not offered. begin: these ranges, all together one
   * collective call; the bits are those of sum, however the ranges are cut. Until the next wait
   * nobody else may read or write x and more, the list of parts stays where it is, and no other
   * collective call is made but more begins. It returns at once and cannot fail: whatever went
   * wrong with any of them is what wait returns. wait: all that began is there; without a begin
   * ST_OK. A process that fails in between still begins what the others begin, with any numbers,
   * waits, and comes to comm_agree. */
  void (*sum_begin)(Comm *c, const CommPart *part, int n);
  Status (*sum_wait)(Comm *c, Error *e);
  /* The same two on the device (floats there), in the order of its stream: begin takes what was
   * put there before, and what is put there after wait finds the sums; the host waits for nothing.
   * NULL: through the host, by sum. */
  void (*device_begin)(Comm *c, const CommPart *part, int n);
  Status (*device_wait)(Comm *c, Error *e);
  void *device; /* whatever those need (cuda/comm_nccl.cu) */
  void (*free_device)(Comm *c);
  /* After a failure that all know: a sum on a device whose partner is gone would wait for ever, and
   * with it all that frees memory. It is broken off; no more sums there. NULL: nothing to do. */
  void (*stop_device)(Comm *c);
  Status (*broadcast)(Comm *c, void *x, size_t bytes, int root, Error *e);
  void (*stop)(Comm *c, int code); /* ends all processes at once; does not return */
  void (*free)(Comm *c);           /* the ordinary end: all processes come here */
};

/* Is there more than this process? */
static inline bool comm_many(const Comm *c) { return c && c->size > 1; }

/* The one that writes and talks. */
static inline bool comm_lead(const Comm *c) { return !c || c->rank == 0; }

/* Has any process failed? `own` is this one's status with its message in *e. Returns ST_OK in all
 * processes, or in all the code and message of the first that failed ("process 2 of 3: ..."). *flag
 * (may be NULL): set to 1 in all when it was not 0 in one, e.g. Ctrl-C. One process: returns own.
 */
Status comm_agree(Comm *c, Status own, int *flag, Error *e);

/* ST_INVALID in all processes when the numbers of one differ from those of the first; `what` says
 * what they are. */
Status comm_same(Comm *c, const void *x, size_t bytes, const char *what, Error *e);
#endif
