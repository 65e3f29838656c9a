/* help.h: the overview printed by `prlx help`; `prlx help CMD` comes from the command's own option
 * table. */
#ifndef PRLX_HELP_H
#define PRLX_HELP_H
#include <stdio.h>
#include "tools/cli/tool.h"

/* Prints the list of commands: to standard output where it was asked for, to standard error where a
 * command is missing. Returns EXIT_DONE. */
int help_overview(FILE *to, const Tool *tools, int n);
#endif
