/* faults.c: linked into build/faults/prlx with -Wl,--wrap: the k-th call of one kind fails, as
 * SQLite's tests do it. PRLX_FAULT=KIND:K chooses (K counts from 1, in each process);
 * PRLX_FAULT_LOG names a file that every process appends "KIND calls fired" to when it ends, so
 * that the driver knows how far K has to go. Without PRLX_FAULT nothing fails.
 *
 * A command of a hundred thousand allocations makes them in a few hundred places. A place is the
 * stack of return addresses inside the program, as a hash: PRLX_FAULT_PLACES names a file that
 * every process appends "KIND PLACE calls" to for each of its places, PRLX_FAULT=KIND@PLACE:K makes
 * the K-th call in this place fail, whatever the other threads do meanwhile. With PRLX_FAULT_SHOW=1
 * the stack goes to standard error.
 *
 * Kinds and what fails: alloc (every host allocation and memory stream: ENOMEM), read (read, pread:
 * EIO), write (ENOSPC; all files are written through write(2)), short (write accepts one byte, then
 * ENOSPC), fsync (EIO), rename (EIO), link (EIO), mmap (ENOMEM), open (open, fopen, opendir:
 * EMFILE), stat (stat, lstat, fstat, realpath: EIO), lock (flock: EIO), mkdir (EACCES), truncate
 * (EIO), thread (pthread_create: EAGAIN), fork (EAGAIN); kill: SIGKILL before the k-th call that
 * changes what is on the disk. Several kinds of call share one counter, so that one sweep of K
 * covers them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum Kind {
  ALLOC,
  READ,
  WRITE,
  SHORT,
  FSYNC,
  RENAME,
  LINK,
  MMAP,
  OPEN,
  STAT,
  LOCK,
  MKDIR,
  TRUNCATE,
  THREAD,
  FORK,
  KILL,
  KINDS
};
static const char *const kind_name[KINDS] = {
    [ALLOC] = "alloc",       [READ] = "read",     [WRITE] = "write", [SHORT] = "short",
    [FSYNC] = "fsync",       [RENAME] = "rename", [LINK] = "link",   [MMAP] = "mmap",
    [OPEN] = "open",         [STAT] = "stat",     [LOCK] = "lock",   [MKDIR] = "mkdir",
    [TRUNCATE] = "truncate", [THREAD] = "thread", [FORK] = "fork",   [KILL] = "kill",
};
static long calls[KINDS];
static long fail_at;
static int fail_kind = -1;
static uint64_t fail_place; /* 0: any */
static int fired;

/* With 64-bit offsets glibc gives these functions another name. */
#ifdef __GLIBC__
#define REAL(f) __real_##f##64
#define WRAP(f) __wrap_##f##64
#else
#define REAL(f) __real_##f
#define WRAP(f) __wrap_##f
#endif
ssize_t __real_write(int fd, const void *p, size_t n);
int REAL(open)(const char *path, int flags, ...);

/* ---- places ---- */
enum { DEEPEST = 48, MOST_PLACES = 1 << 16 };
typedef struct Place {
  uint64_t hash; /* 0: free */
  enum Kind kind;
  long calls;
} Place;
static Place places[MOST_PLACES]; /* open addressing */
static int listing;               /* PRLX_FAULT_PLACES is set */
static char places_lock;
extern const char __executable_start[], etext[];

/* Of this kind of call and the return addresses in the program itself: libraries lie elsewhere in
 * each process. */
static uint64_t place_hash(enum Kind kind) {
  void *frame[DEEPEST];
  const int n = backtrace(frame, DEEPEST);
  uint64_t h = 1469598103934665603u + (uint64_t)kind;
  for (int i = 0; i < n; i++) {
    const char *p = frame[i];
    if (p < __executable_start || p >= etext) continue;
    h = (h ^ (uint64_t)(p - __executable_start)) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  }
  return h | 1;
}

/* Counts a call in its place, and returns which one it is, from 1. */
static long place_count(uint64_t hash, enum Kind kind) {
  while (__atomic_test_and_set(&places_lock, __ATOMIC_ACQUIRE)) {}
  size_t i = hash % MOST_PLACES;
  for (int tries = 0; places[i].hash && places[i].hash != hash; i = (i + 1) % MOST_PLACES)
    if (++tries == MOST_PLACES) abort();
  places[i].hash = hash;
  places[i].kind = kind;
  const long n = ++places[i].calls;
  __atomic_clear(&places_lock, __ATOMIC_RELEASE);
  return n;
}

/* ---- setting up and reporting ---- */
static void append_line(const char *path, const char *line, int n) {
  const int fd = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (fd < 0) return;
  if (__real_write(fd, line, (size_t)n) != n) abort();
  close(fd);
}

static void fault_log(void) {
  const char *path = getenv("PRLX_FAULT_LOG");
  if (!path || fail_kind < 0) return;
  char line[80];
  const int n =
      snprintf(line, sizeof line, "%s %ld %d\n", kind_name[fail_kind], calls[fail_kind], fired);
  append_line(path, line, n);
}

static void list_places(void) {
  char line[80];
  for (size_t i = 0; i < MOST_PLACES; i++) {
    if (!places[i].hash) continue;
    const int n = snprintf(line, sizeof line, "%s %016llx %ld\n", kind_name[places[i].kind],
                           (unsigned long long)places[i].hash, places[i].calls);
    append_line(getenv("PRLX_FAULT_PLACES"), line, n);
  }
}

/* KIND:K or KIND@PLACE:K */
static void choose(const char *text) {
  const char *end = strchr(text, ':');
  const size_t n = strcspn(text, "@:");
  for (int k = 0; end && k < KINDS; k++)
    if (strlen(kind_name[k]) == n && !strncmp(kind_name[k], text, n)) fail_kind = k;
  if (fail_kind < 0) {
    fprintf(stderr, "PRLX_FAULT=%s: not KIND:K or KIND@PLACE:K\n", text);
    _exit(3);
  }
  if (text[n] == '@') fail_place = strtoull(text + n + 1, NULL, 16);
  fail_at = atol(end + 1);
  atexit(fault_log);
}

__attribute__((constructor)) static void fault_setup(void) {
  void *first[2];
  backtrace(first, 2); /* loads what it needs now rather than in a thread */
  if (getenv("PRLX_FAULT")) choose(getenv("PRLX_FAULT"));
  listing = getenv("PRLX_FAULT_PLACES") != NULL;
  if (listing) atexit(list_places);
}

/* PRLX_FAULT_SHOW: where it is, for addr2line. Always 1. */
static int fire(void) {
  void *frame[DEEPEST];
  fired = 1;
  if (getenv("PRLX_FAULT_SHOW")) backtrace_symbols_fd(frame, backtrace(frame, DEEPEST), 2);
  return 1;
}

/* Counts one call; true when it is the one that has to fail. */
static int fault(enum Kind kind) {
  const long n = __atomic_add_fetch(&calls[kind], 1, __ATOMIC_RELAXED);
  const int mine = (int)kind == fail_kind;
  if (!listing && !(mine && fail_place)) return mine && n == fail_at && fire();
  const uint64_t place = place_hash(kind);
  const long in_place = place_count(place, kind);
  if (!mine || (fail_place && fail_place != place)) return 0;
  return (fail_place ? in_place : n) == fail_at && fire();
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

/* Before anything on the disk changes: here a killed process would end. */
static void may_be_killed(void) {
  if (!fault(KILL)) return;
  fault_log();
  kill(getpid(), SIGKILL);
}

/* ---- memory and threads ---- */
int __real_posix_memalign(void **p, size_t align, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n) {
  return fault(ALLOC) ? ENOMEM : __real_posix_memalign(p, align, n);
}

FILE *__real_open_memstream(char **p, size_t *n);
FILE *__wrap_open_memstream(char **p, size_t *n) {
  FAIL(ALLOC, ENOMEM, NULL);
  return __real_open_memstream(p, n);
}

void *REAL(mmap)(void *p, size_t n, int prot, int flags, int fd, off_t at);
void *WRAP(mmap)(void *p, size_t n, int prot, int flags, int fd, off_t at) {
  FAIL(MMAP, ENOMEM, MAP_FAILED);
  return REAL(mmap)(p, n, prot, flags, fd, at);
}

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg) {
  return fault(THREAD) ? EAGAIN : __real_pthread_create(t, a, fn, arg);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void) {
  FAIL(FORK, EAGAIN, -1);
  return __real_fork();
}

/* ---- what is in files ---- */
ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n) {
  FAIL(READ, EIO, -1);
  return __real_read(fd, p, n);
}

ssize_t REAL(pread)(int fd, void *p, size_t n, off_t at);
ssize_t WRAP(pread)(int fd, void *p, size_t n, off_t at) {
  FAIL(READ, EIO, -1);
  return REAL(pread)(fd, p, n, at);
}

/* Standard output and error are not the disk. */
ssize_t __wrap_write(int fd, const void *p, size_t n) {
  if (fd <= 2) return __real_write(fd, p, n);
  may_be_killed();
  if (disk_full(WRITE) || (fail_kind == SHORT && fired)) {
    errno = ENOSPC;
    return -1;
  }
  if (n > 1 && fault(SHORT)) return __real_write(fd, p, 1);
  return __real_write(fd, p, n);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd) {
  may_be_killed();
  FAIL(FSYNC, EIO, -1);
  return __real_fsync(fd);
}

int REAL(ftruncate)(int fd, off_t n);
int WRAP(ftruncate)(int fd, off_t n) {
  may_be_killed();
  FAIL(TRUNCATE, EIO, -1);
  return REAL(ftruncate)(fd, n);
}

/* ---- names ---- */
int WRAP(open)(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  const mode_t mode = flags & O_CREAT ? (mode_t)va_arg(ap, int) : 0;
  va_end(ap);
  if (flags & O_CREAT) may_be_killed();
  FAIL(OPEN, EMFILE, -1);
  return REAL(open)(path, flags, mode);
}

FILE *REAL(fopen)(const char *path, const char *mode);
FILE *WRAP(fopen)(const char *path, const char *mode) {
  FAIL(OPEN, EMFILE, NULL);
  return REAL(fopen)(path, mode);
}

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path) {
  FAIL(OPEN, EMFILE, NULL);
  return __real_opendir(path);
}

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how) {
  FAIL(LOCK, EIO, -1);
  return __real_flock(fd, how);
}

int __real_rename(const char *a, const char *b);
int __wrap_rename(const char *a, const char *b) {
  may_be_killed();
  FAIL(RENAME, EIO, -1);
  return __real_rename(a, b);
}

int __real_link(const char *a, const char *b);
int __wrap_link(const char *a, const char *b) {
  may_be_killed();
  FAIL(LINK, EIO, -1);
  return __real_link(a, b);
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path) {
  may_be_killed();
  return __real_unlink(path);
}

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode) {
  may_be_killed();
  FAIL(MKDIR, EACCES, -1);
  return __real_mkdir(path, mode);
}

/* Not "no such file": what is there cannot be told. */
int REAL(stat)(const char *path, struct stat *st);
int WRAP(stat)(const char *path, struct stat *st) {
  FAIL(STAT, EIO, -1);
  return REAL(stat)(path, st);
}

int REAL(lstat)(const char *path, struct stat *st);
int WRAP(lstat)(const char *path, struct stat *st) {
  FAIL(STAT, EIO, -1);
  return REAL(lstat)(path, st);
}

int REAL(fstat)(int fd, struct stat *st);
int WRAP(fstat)(int fd, struct stat *st) {
  FAIL(STAT, EIO, -1);
  return REAL(fstat)(fd, st);
}

char *__real_realpath(const char *path, char *out);
char *__wrap_realpath(const char *path, char *out) {
  FAIL(STAT, EIO, NULL);
  return __real_realpath(path, out);
}
