/* outputs.h: what a command may write over. Never a file that it reads, whatever links and
 * spellings lie between; never a file that was there before and is not its own, unless --force. One
 * rule for every command, kept by watching the readers and writers of io/formats/file.h.
 *
 * Its own are: what this process wrote; files in a folder of results that was new, empty or made by
 * this command before (as its mark says, marks.h; or a cohort of ours); a named output of the kind
 * that the command writes. */
#ifndef PRLX_OUTPUTS_H
#define PRLX_OUTPUTS_H
#include "io/formats/path.h"
#include "tools/cli/folder.h"
#include "tools/cli/opts.h"

/* From main, once: from now on readers and writers are watched. */
void outputs_watch(void);

/* At the end of main, before tool_folders_leave: forgets everything, frees its memory, and removes
 * the marks of folders that got no result. */
void outputs_forget(void);

/* From opts_parse: files that the command line names are inputs, unless they are declared below.
 * Forgets what an earlier command of this process declared. */
void outputs_arguments(const OptSpec *s);

/* A folder of results, made where there is none; names (or NULL): the files that will be written
 * into it, separated by blanks, as far as they are known. Before anything is computed. ST_IO: it
 * cannot be made or written to; ST_INVALID: one of them is an input, or there and not ours. */
Status outputs_folder(const char *dir, const char *names, Error *e);

/* A folder whose files are this command's own by their nature, whatever is in it (a cache, the
 * report of the paper). As above, without a mark. */
Status outputs_own_folder(const char *dir, Error *e);

/* The same, and everything below it, for this command and those that it starts: gets an open mark.
 * ST_INVALID: its mark names other commands (unless --force). */
Status outputs_adopt(const char *dir, Error *e);

/* A file that the command line names as output (path: the very text): may it be written? kind: text
 * in the beginning of files that this command writes ("prlx-dataset-"), one of which may be
 * replaced; NULL: none may. Before anything is computed. path NULL: no file. ST_INVALID: it is an
 * input, or there and not ours, or named twice; ST_IO: its folder is not there or cannot be written
 * to. */
Status outputs_file(const char *path, const char *kind, Error *e);

/* DIR/NAME, which will be written into such a folder: the same question. */
Status outputs_member(const char *dir, const char *name, Error *e);

/* The folder of a cohort (crop, bids, phantom), if it is there already: its files are ours when it
 * is empty or when they made it; no mark, it is a BIDS dataset. Nothing is made. */
Status outputs_cohort(const char *dir, Error *e);

/* ST_INVALID: the folder is a BIDS dataset of somebody else, unless --force. */
Status outputs_foreign(const char *dir, Error *e);

/* A file that goes with a named output: replaced where that one may be. */
Status outputs_beside(const char *path, const char *main_output, Error *e);

/* Every file under `from`, made beside the old ones, takes its place under `to` (the same file
 * system); `from` is gone then. Files called `last`, one of them in `from` itself, make the rest
 * whole: those under `to` are removed first and come last, so that nobody takes a mixture of old
 * and new for a result, and where from/last is there and to/last is not, a swap has been cut off,
 * which the same call finishes. ST_INVALID: a folder stands where a file has to be or the other way
 * round, and nothing has changed; ST_IO: some did not. */
Status outputs_swap(const char *from, const char *to, const char *last, Error *e);

/* Removes `dir` and everything in it: what was made beside and is not wanted. */
void outputs_discard(const char *dir);

/* A file that is read and written anew by design (the table that crop adds to). */
void outputs_renew(const char *path);
#endif
