/* folder.h: the folder of a command's results, for one process at a time: two runs in one folder
 * would mix their files, or lose rows of each other's tables. */
#ifndef PRLX_TOOL_FOLDER_H
#define PRLX_TOOL_FOLDER_H
#include "core/base.h"
#include "core/os.h"

/* --force of the command at hand. */
extern bool outputs_force;

/* Makes the folder (and its parents) and holds it until tool_folders_leave; a folder that this
 * process holds already is fine. The lock is one of the system on the folder itself, so that it
 * ends with the process however that dies; a file in it (FOLDER_NOTE) says who has it, for the
 * message to the second, and, where a file system knows no locks, for the decision: the note of a
 * process of this machine that is gone does not count. What such a process had made there of a
 * result that has to be whole (tool_folder_until) is removed, and a line on standard error says so.
 * ST_INVALID: another process has it, or one on another machine left a part of such a result,
 * which may still be at work where locks do not reach from machine to machine: --force removes
 * that; errors of dir_make. Before anything is read that the command will write again. */
Status tool_folder(const char *dir, Error *e);
#define FOLDER_NOTE ".prlx-running"

/* Files that are new in this folder, which this process holds, are of no use until the file `last`
 * (a name in it, at most 199 bytes) is there, which comes after them: they are removed where the
 * command ends before, or, where it is killed, by the next that takes the folder. Never a file that
 * was there before, or that anybody has changed since. */
void tool_folder_until(const char *dir, const char *last);

/* It is there: what is new stays. */
void tool_folder_whole(const char *dir);

/* For the watch over writers: a new file is about to get its name, which it must not when this
 * fails. Any thread. */
Status tool_folder_naming(const char *path, const OsInfo *info, Error *e);

/* Lets all of them go; those that tool_folder made and nothing was written into are removed. */
void tool_folders_leave(void);

/* The same in a signal handler that ends the process: what is not whole is left to the next. */
void tool_folders_drop(void);
#endif
