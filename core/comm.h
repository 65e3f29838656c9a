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
struct Comm {
  int rank; /* 0..size-1 */
  int size;
  int local;   /* number among the processes of this machine */
  bool agreed; /* the last failure is known to all processes: each may end in the ordinary way */
  /* In place: x <- sum over the processes, added in the order of their ranks: the same bits in
   * every process and in every run. */
  Status (*sum)(Comm *c, real *x, int64_t n, Error *e);
  Status (*sum_double)(Comm *c, double *x, int64_t n, Error *e);
  /* n floats on the device, in the order of its stream; NULL: through the host */
  Status (*sum_device)(Comm *c, void *x, int64_t n, Error *e);
  void *device; /* whatever sum_device needs (cuda/comm_nccl.cu) */
  void (*free_device)(Comm *c);
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
