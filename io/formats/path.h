/* path.h: names of files: putting them together without silent truncation, their endings, and names
 * from elsewhere made fit for a message. */
#ifndef PRLX_PATH_H
#define PRLX_PATH_H
#include "core/base.h"

/* Bytes of a buffer for one path, the end included: what Linux opens at most. */
enum { PATH_LEN = 4096 };

/* out = DIR/NAME. Either may be long: what does not fit is ST_INVALID and leaves out empty, so that
 * no other file than the one meant is ever touched. */
Status path_join(char out[PATH_LEN], const char *dir, const char *name, Error *e);

/* The same for what printf makes of fmt: "%s/%s_%04d.png". */
Status path_format(char out[PATH_LEN], Error *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What stands after the last slash; never NULL. */
const char *path_base(const char *path);

/* s ends with tail, letter by letter (s may be tail itself). */
bool str_ends_with(const char *s, const char *tail);

/* A file name with this ending (".nii.gz"), in small or capital letters, something before it. */
bool path_has_ending(const char *path, const char *ending);

/* A name out of a file, made fit for one line of a message: at most 76 bytes and then "...",
 * anything but printable UTF-8 becomes '?'. Returns buf. */
const char *str_shown(const char *s, char buf[80]);

/* The same in place for texts of any length, whose bytes beyond ASCII stay: control characters
 * (new lines, those that colour or move what a terminal shows) become '?'. Returns s. */
char *str_plain(char *s);
#endif
