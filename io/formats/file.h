/* file.h: writing a file so that a crash, a full disk or Ctrl-C leaves either the old file or the
 * new one. Reading whole files, folders. */
#ifndef PRLX_IO_FILE_H
#define PRLX_IO_FILE_H
#include "core/base.h"
typedef struct AtomicFile {
  int fd;
  /* NULL: writing straight into a device or pipe */
  char *path;
  char *tmp;
} AtomicFile;

/* Creates PATH.tmp<pid>.<k> beside the target (a symbolic link is followed, so the link stays). A
 * target that is a device or a pipe (/dev/stdout, /dev/full) cannot be replaced and is written
 * directly; a folder is refused. */
Status atomic_begin(AtomicFile *f, const char *path, Error *e);

/* whole buffer or error; on error call atomic_abort */
Status atomic_write(AtomicFile *f, const void *data, size_t n, Error *e);

/* fsync, close, rename, fsync of the folder; removes the temporary file on failure */
Status atomic_commit(AtomicFile *f, Error *e);

/* closes and removes the temporary file; safe after commit */
void atomic_abort(AtomicFile *f);
Status file_read(const char *path, uint8_t **data, size_t *n, size_t max, Error *e);

/* temporary, fsync, rename */
Status file_write_atomic(const char *path, const void *data, size_t n, Error *e);

/* mkdir -p; checks that it can be written */
Status dir_make(const char *path, Error *e);
bool file_exists(const char *path);

/* What stands in place of a large file that was not fetched: says so and what to do, from the first
 * n bytes (160 are looked at); NULL for anything else. */
const char *file_pointer(const uint8_t *p, size_t n);
#endif
