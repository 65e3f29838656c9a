/* comm.h: the processes of `mpirun -n N prlx train ...`. */
#ifndef PRLX_TOOLS_COMM_H
#define PRLX_TOOLS_COMM_H
#include "core/comm.h"
/* *out: the processes that were started together, or NULL when this one is alone. ST_INVALID when
 * they were started by mpirun and this build has no MPI: they would all do the same work. End with
 * comm_end. */
Status comm_start(Comm **out, Error *e);
void comm_end(Comm *c); /* NULL allowed */

/* The end of a command that failed: process 0 says why (all of them do when they could not tell
 * each other), and none is left waiting. Returns the exit code. Stops the other processes when they
 * do not know. */
int comm_fail(Comm *c, const char *cmd, const Error *e);
#endif
