/* undo.h: results that come as one (a cohort). Until its last file is there, the note in the folder
 * (folder.h) names each file that is new in it, so that whoever finds the note of a run that was
 * killed can remove them.
 *
 * A line: "made NUMBER BYTES SECONDS.NANOSECONDS NAME", before the file gets its name; "last ..."
 * the same for the one that makes the rest whole. The numbers are the file's own (OsInfo): a file
 * that somebody has put or changed there since is another one, and stays. */
#ifndef PRLX_TOOL_UNDO_H
#define PRLX_TOOL_UNDO_H
#include "core/base.h"
#include "core/os.h"

/* Appends the line of the file `name` (below the note's folder). ST_IO: the disk is full; then the
 * file must not get its name, since nobody would know later that it is of this run. */
Status undo_note(const char *note, const char *name, const OsInfo *info, bool last, Error *e);

/* Of the files that the note in `dir` names, how many are there and are no whole result? With
 * `remove` they are removed, and folders below `dir` that are empty then. 0: none, no note, or the
 * last file is there. */
int undo_made(const char *dir, const char *note, bool remove);

/* ---- what this run itself takes back when it fails ---- */
typedef struct MadeFiles {
  char **path;
  int n;
  int room;
} MadeFiles;

/* Before the file is written: remembers it, unless it is there already: then it is not ours to
 * remove. */
Status made_add(MadeFiles *m, const char *path, Error *e);

/* Forgets them. remove: they go, and with them the folders below `dir` that are empty then. */
void made_end(MadeFiles *m, const char *dir, bool remove);
#endif
