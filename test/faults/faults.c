/* faults.c: linked into build/faults/prlx with -Wl,--wrap: the k-th call of one kind fails, as
 * SQLite's tests do it. PRLX_FAULT=KIND:K chooses (K counts from 1, in each process);
 * PRLX_FAULT_LOG names a file that every process appends "KIND calls fired" to when it ends, so
 * that the driver knows how far K has to go. Without PRLX_FAULT nothing fails.
 *
 * Kinds and what fails: alloc (every host allocation and memory stream: ENOMEM), read (read, pread:
 * EIO), write (ENOSPC; all files are written through write(2)), short (write accepts one byte, then
 * ENOSPC), fsync (EIO), rename (EIO), mmap (ENOMEM), open (open, fopen, opendir: EMFILE), mkdir
 * (EACCES), thread (pthread_create: EAGAIN), truncate (EIO). Several kinds of call share one
 * counter, so that one sweep of K covers them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum Kind { ALLOC, READ, WRITE, SHORT, FSYNC, RENAME, MMAP, OPEN, MKDIR, THREAD, TRUNCATE, KINDS };
static const char *const kind_name[KINDS] = {"alloc", "read",   "write",   "short",
                                             "fsync", "rename", "mmap",    "open",
                                             "mkdir", "thread", "truncate"};
static long calls[KINDS];
static long fail_at;
static int fail_kind = -1;
static int fired;

ssize_t __real_write(int fd, const void *p, size_t n);
int __real_open(const char *path, int flags, ...);

static void fault_log(void) {
  const char *path = getenv("PRLX_FAULT_LOG");
  if (!path || fail_kind < 0) return;
  char line[80];
  const int n =
      snprintf(line, sizeof line, "%s %ld %d\n", kind_name[fail_kind], calls[fail_kind], fired);
  const int fd = __real_open(path, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (fd < 0) return;
  if (__real_write(fd, line, (size_t)n) != n) abort();
  close(fd);
}

__attribute__((constructor)) static void fault_setup(void) {
  const char *text = getenv("PRLX_FAULT");
  const char *colon = text ? strchr(text, ':') : NULL;
  for (int k = 0; colon && k < KINDS; k++)
    if (strlen(kind_name[k]) == (size_t)(colon - text) &&
        !strncmp(kind_name[k], text, (size_t)(colon - text)))
      fail_kind = k;
  if (fail_kind < 0) return;
  fail_at = atol(colon + 1);
  atexit(fault_log);
}

/* Counts one call; true when it is the one that has to fail. */
static int fault(enum Kind kind) {
  const long n = __atomic_add_fetch(&calls[kind], 1, __ATOMIC_RELAXED);
  if ((int)kind != fail_kind || n != fail_at) return 0;
  fired = 1;
  return 1;
}

#define FAIL(kind, error, value) \
  do {                           \
    if (fault(kind)) {           \
      errno = (error);           \
      return (value);            \
    }                            \
  } while (0)

/* A full disk stays full: once a write has failed, those after it fail, too. */
static int disk_full(enum Kind kind) { return fault(kind) || (fail_kind == (int)kind && fired); }

int __real_posix_memalign(void **p, size_t align, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n) {
  return fault(ALLOC) ? ENOMEM : __real_posix_memalign(p, align, n);
}

FILE *__real_open_memstream(char **p, size_t *n);
FILE *__wrap_open_memstream(char **p, size_t *n) {
  FAIL(ALLOC, ENOMEM, NULL);
  return __real_open_memstream(p, n);
}

ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n) {
  FAIL(READ, EIO, -1);
  return __real_read(fd, p, n);
}

ssize_t __real_pread(int fd, void *p, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *p, size_t n, off_t at) {
  FAIL(READ, EIO, -1);
  return __real_pread(fd, p, n, at);
}

/* Standard output and error are not the disk. */
ssize_t __wrap_write(int fd, const void *p, size_t n) {
  if (fd > 2 && disk_full(WRITE)) {
    errno = ENOSPC;
    return -1;
  }
  if (fd > 2 && fail_kind == SHORT && fired) {
    errno = ENOSPC;
    return -1;
  }
  if (fd > 2 && n > 1 && fault(SHORT)) return __real_write(fd, p, 1);
  return __real_write(fd, p, n);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd) {
  FAIL(FSYNC, EIO, -1);
  return __real_fsync(fd);
}

int __real_rename(const char *a, const char *b);
int __wrap_rename(const char *a, const char *b) {
  FAIL(RENAME, EIO, -1);
  return __real_rename(a, b);
}

void *__real_mmap(void *p, size_t n, int prot, int flags, int fd, off_t at);
void *__wrap_mmap(void *p, size_t n, int prot, int flags, int fd, off_t at) {
  FAIL(MMAP, ENOMEM, MAP_FAILED);
  return __real_mmap(p, n, prot, flags, fd, at);
}

int __wrap_open(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  const mode_t mode = flags & O_CREAT ? (mode_t)va_arg(ap, int) : 0;
  va_end(ap);
  FAIL(OPEN, EMFILE, -1);
  return __real_open(path, flags, mode);
}

FILE *__real_fopen(const char *path, const char *mode);
FILE *__wrap_fopen(const char *path, const char *mode) {
  FAIL(OPEN, EMFILE, NULL);
  return __real_fopen(path, mode);
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path) {
  FAIL(OPEN, EMFILE, NULL);
  return __real_opendir(path);
}

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode) {
  FAIL(MKDIR, EACCES, -1);
  return __real_mkdir(path, mode);
}

int __real_ftruncate(int fd, off_t n);
int __wrap_ftruncate(int fd, off_t n) {
  FAIL(TRUNCATE, EIO, -1);
  return __real_ftruncate(fd, n);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg) {
  return fault(THREAD) ? EAGAIN : __real_pthread_create(t, a, fn, arg);
}
