/* help.h: the overview printed by `prlx help`; `prlx help CMD` comes from the command's own option
 * table. */
#ifndef PRLX_HELP_H
#define PRLX_HELP_H
#include "tools/cli/tool.h"

/* Prints the list of commands to standard output. Returns the exit code. */
int help_overview(const Tool *tools, int n);
#endif
