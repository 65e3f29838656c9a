/* file.h: writing a file so that a crash, a full disk or Ctrl-C leaves either the old file or the
 * new one. Reading whole files, folders. */
#ifndef PRLX_IO_FILE_H
#define PRLX_IO_FILE_H
#include "core/base.h"
#include "core/os.h"
typedef struct AtomicFile {
  int fd;     /* -1: closed */
  char *path; /* the file that will be there */
  char *tmp;  /* what is written until then; NULL: writing straight into a device or pipe */
} AtomicFile;

/* For a program that wants to know: called when file_open has opened a file, before atomic_begin
 * replaces one that is there or (OS_OTHER) a symbolic link to nothing (anything but ST_OK forbids
 * it), when a new file is whole and about to get its name (info: of the new file, NULL where the
 * system does not say; anything but ST_OK forbids that, too), and when it has it. The first and the
 * third may come from several threads. None unless file_watch was called, as in the library. */
typedef struct FileWatch {
  void (*opened)(const OsInfo *info);
  Status (*replace)(const OsInfo *info, const char *path, Error *e);
  Status (*naming)(const char *path, const OsInfo *info, Error *e);
  void (*written)(const OsInfo *info);
} FileWatch;

/* Before any file is opened; w is kept by reference. NULL: none. */
void file_watch(const FileWatch *w);

/* Is `name`, without its folder, that of a temporary file of a process of this machine that is gone
 * (PATH.tmp<host>-<pid>.<k>)? */
bool file_is_stale(const char *name);

/* Creates PATH.tmp<host>-<pid>.<k> beside the target (a symbolic link is followed, so the link
 * stays); such files of killed processes of this machine are removed from the folder. A
 * target that is a device or a pipe (/dev/stdout, /dev/full) cannot be replaced and is written
 * directly; a folder is refused. ST_IO: cannot be created; ST_INVALID: no name. After an error
 * nothing is open. */
Status atomic_begin(AtomicFile *f, const char *path, Error *e);

/* Writes all n bytes or returns ST_IO; then call atomic_abort. */
Status atomic_write(AtomicFile *f, const void *data, size_t n, Error *e);

/* fsync, close, rename, fsync of the folder. ST_IO: one of them failed; the temporary file is gone
 * and the old file, if there was one, is as it was. f is closed in any case. */
Status atomic_commit(AtomicFile *f, Error *e);

/* Closes and removes the temporary file; safe after commit. */
void atomic_abort(AtomicFile *f);

/* A name beside path, in `room` bytes, for a file that becomes path by os_replace when it has been
 * looked at; then, or when it was removed, call file_beside_done. Where the process ends before,
 * it goes as the temporary files of atomic_begin do. ST_INVALID: the name is too long. */
Status file_beside(char *tmp, size_t room, const char *path, Error *e);
void file_beside_done(const char *tmp);

/* Removes all temporary files that this process has open. For a signal handler that ends it. */
void file_remove_unfinished(void);

/* ST_IO where the disk of this (new) file has less room than so many bytes, as far as is known. */
Status file_room(const char *path, uint64_t bytes, Error *e);

/* Why a path may lead nowhere, for the end of a message: " (...)", a link to nothing, an address of
 * the web, ~, backslashes; else "". error: the errno of the attempt. */
const char *file_absent(const char *path, int error);

/* Opens a regular file for reading: *fd and its size. Anything else is refused at once, by its
 * kind: a FIFO cannot hang it. ST_IO; *fd is -1 then. The way by which every reader goes. */
Status file_open(const char *path, int *fd, int64_t *bytes, Error *e);

/* The first bytes of a regular file, *n of them, at most room. */
Status file_head(const char *path, uint8_t *head, size_t room, size_t *n, Error *e);

/* The whole file, at most max bytes, and a zero behind them (*n does not count it), so that a text
 * can be used as a string; mem_free(*data). Only regular files: a FIFO cannot hang it. ST_IO:
 * cannot be read; ST_FORMAT: more than max bytes. After an error *data is NULL. */
Status file_read(const char *path, uint8_t **data, size_t *n, size_t max, Error *e);

/* atomic_begin, atomic_write, atomic_commit. */
Status file_write_atomic(const char *path, const void *data, size_t n, Error *e);

/* mkdir -p. ST_IO: cannot be made, or is there and cannot be written to; ST_INVALID: the name is
 * empty or too long. */
Status dir_make(const char *path, Error *e);

/* Whether something of this name is there, be it a folder; true, too, where the disk does not say:
 * opening it will. */
bool file_exists(const char *path);

/* The same for those who write only what is not there: *there, or ST_IO where the disk does not say
 * (neither writing nor leaving it out would be right). */
Status file_look(const char *path, bool *there, Error *e);

/* The same of a folder: nothing, or something else, of this name is no error. */
Status file_is_folder(const char *path, bool *is, Error *e);

/* What stands in place of a large file that was not fetched: says so and what to do, from the first
 * n bytes (160 are looked at); NULL for anything else. A constant text. */
const char *file_pointer(const uint8_t *p, size_t n);
#endif
