/* marks.h: the hidden file in every folder of results, which says what commands made them: each may
 * replace its own, and none those of another. A mark that names no command is an open one: what
 * `prlx paper run` adopts, with all below it, and what builds before this rule made.
 *
 * A mark comes when the first result is whole and before it gets its name: a command that fails
 * before leaves nothing, and one that is killed leaves no result in a folder that the next does not
 * know as its own. */
#ifndef PRLX_MARKS_H
#define PRLX_MARKS_H
#include "core/base.h"

#define MARKS_NAME ".prlx"

typedef enum MarkKind {
  MARK_NONE,
  MARK_OPEN,  /* names no command */
  MARK_OURS,  /* names this one, maybe among others */
  MARK_OTHERS /* names others only */
} MarkKind;

enum { MARKS_LEN = 2048 }; /* bytes of a mark that are looked at; a longer one is refused */

/* The mark of a folder, as `command` sees it; an empty one is none. ST_IO: the disk does not say
 * whether there is one, or it cannot be read; ST_FORMAT: longer than MARKS_LEN. */
Status marks_look(const char *dir, const char *command, MarkKind *kind, Error *e);

/* Who made what is in the folder: "prlx project and prlx cam"; "" where no mark says so. */
const char *marks_makers(const char *dir, char buf[MARKS_LEN]);

/* Is one of the two folders above it open, so that everything in them is one run's? */
bool marks_open_parent(const char *dir);

/* The folder's mark is to name `command` (NULL: to be open) as soon as there is a result. At most 8
 * folders at a time; more stay as they are. ST_IO, ST_FORMAT: as marks_look. */
Status marks_want(const char *dir, const char *command, Error *e);

/* Writes those that are wanted. */
Status marks_write(Error *e);

/* Is one of them being written now? Its writer asks as all others do. */
bool marks_writing(void);

/* A result has its name: the marks stay. Or the command ends: what got none is as it was before. */
void marks_keep(void);
void marks_take_back(void);
#endif
