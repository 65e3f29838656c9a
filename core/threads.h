/* threads.h: worker threads that stay alive between operations.
 * Determinism rule: split work by FIXED block sizes, never by the number of threads; a block's
 * result may not depend on which worker runs it. Then any thread count gives the same bits. */
#ifndef PRLX_THREADS_H
#define PRLX_THREADS_H
#include <stdint.h>
#define MAX_WORKERS 64
/* n = 0: environment PRLX_THREADS, else the number of usable cores. Callable at any time between
 * operations. */
void threads_set(int n);

/* How many there are, the caller included. */
int threads_count(void);

/* Joins the workers (before exit; leak checkers). */
void threads_stop(void);

/* Calls fn(ctx, i, worker) once for every i in [0,n); worker in [0,threads_count()) names a private
 * scratch slot only. Returns when all are done. Not reentrant: a block may not call par_for. May be
 * called by several threads: one has the workers, the others meanwhile run their blocks alone. */
void par_for(int64_t n, void (*fn)(void *ctx, int64_t i, int worker), void *ctx);
#endif
