/* folder.h: the folder of a command's results, for one process at a time: two runs in one folder
 * would mix their files, or lose rows of each other's tables. */
#ifndef PRLX_TOOL_FOLDER_H
#define PRLX_TOOL_FOLDER_H
#include "core/base.h"

/* Makes the folder (and its parents) and holds it until tool_folders_leave; a folder that this
 * process holds already is fine. The lock is one of the system on the folder itself, so that it
 * ends with the process however that dies; a file in it (FOLDER_NOTE) says who has it, for the
 * message to the second, and, where a file system knows no locks, for the decision: the note of a
 * process of this machine that is gone does not count. ST_INVALID: another process has it; errors
 * of dir_make. Before anything is read that the command will write again. */
Status tool_folder(const char *dir, Error *e);
#define FOLDER_NOTE ".prlx-running"

/* Lets all of them go; those that tool_folder made and nothing was written into are removed. */
void tool_folders_leave(void);
#endif
