/* environment.h: the environment variables that the program listens to (PRLX_...), checked before a
 * command begins: nonsense is an error, not ignored. */
#ifndef PRLX_ENVIRONMENT_H
#define PRLX_ENVIRONMENT_H

/* -1: all is well; otherwise one line on standard error has named the variable, what it holds and
 * what was expected, and the exit code is returned. An empty variable counts as not set. Names that
 * look like a misspelt one of ours are wrong, too. */
int environment_check(void);
#endif
