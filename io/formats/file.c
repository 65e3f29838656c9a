/* file.c: whole-file reading, atomic writing, folders. */
#include "io/formats/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "io/formats/checksum.h"

/* Linux transfers at most 0x7ffff000 bytes per call; smaller pieces also keep Ctrl-C responsive. */
#define IO_PIECE ((size_t)1 << 26)

static Status write_all(int fd, const char *path, const void *data, size_t n, Error *e) {
  const char *p = data;
  while (n) {
    ssize_t k = write(fd, p, PRLX_MIN(n, IO_PIECE));
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0)
      return err_set(e, ST_IO, "%s: writing failed: %s; check free space and quota", path,
                     k ? strerror(errno) : "nothing accepted");
    p += k;
    n -= (size_t)k;
  }
  return ST_OK;
}

/* Names of temporary files say which machine and process made them: PATH.tmp<host>-<pid>.<k>. */
static uint32_t host_number(void) {
  char host[256] = "";
  if (gethostname(host, sizeof host - 1)) host[0] = 0;
  return crc32_ieee(0, host, strlen(host));
}

/* Is `name` a temporary file of this machine whose process is gone? */
static bool is_stale(const char *name) {
  const char *tmp = NULL;
  for (const char *p = name; (p = strstr(p, ".tmp")); p += 4) tmp = p;
  unsigned host = 0;
  long pid = 0;
  int k = 0, used = 0;
  if (!tmp || sscanf(tmp, ".tmp%8x-%ld.%d%n", &host, &pid, &k, &used) != 3 || tmp[used] ||
      pid <= 0 || host != host_number())
    return false;
  return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* A process that was killed leaves its temporary file; the next one that writes into the same
 * folder removes it. Once per folder and thread: looking through a large folder for each of its
 * files would take the square of their number. */
static void remove_stale(const char *path) {
  static _Thread_local uint32_t last;
  char dir[PATH_MAX], file[PATH_MAX + 300];
  const char *slash = strrchr(path, '/');
  const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
  if (n >= sizeof dir) return;
  snprintf(dir, sizeof dir, "%.*s", (int)n, path);
  const uint32_t key = crc32_ieee(1, dir, n);
  if (key == last) return;
  last = key;
  DIR *d = opendir(n ? dir : ".");
  if (!d) return;
  for (struct dirent *x; (x = readdir(d));) {
    if (!is_stale(x->d_name)) continue;
    snprintf(file, sizeof file, "%s%s", dir, x->d_name);
    (void)!unlink(file);
  }
  closedir(d);
}

Status atomic_begin(AtomicFile *f, const char *path, Error *e) {
  static int serial;
  struct stat st;
  char real_path[PATH_MAX];
  *f = (AtomicFile){-1, NULL, NULL};
  bool exists = stat(path, &st) == 0;
  if (exists && S_ISDIR(st.st_mode))
    return err_set(e, ST_IO, "%s: is a folder; expected a file name", path);
  if (!path[0]) return err_set(e, ST_INVALID, "empty file name; expected the file to write");
  if (exists && realpath(path, real_path)) path = real_path;
  size_t len = strlen(path) + 60;
  f->path = mem_strdup(path);
  if (f->path && (!exists || S_ISREG(st.st_mode))) f->tmp = mem_alloc(len);
  if (!f->path || (!f->tmp && (!exists || S_ISREG(st.st_mode)))) {
    atomic_abort(f);
    return err_set(e, ST_NOMEM, "%s: out of memory", path);
  }
  if (!f->tmp) {
    f->fd = open(f->path, O_WRONLY | O_CLOEXEC);
  } else {
    int k = __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED);
    remove_stale(f->path);
    snprintf(f->tmp, len, "%s.tmp%08x-%ld.%d", f->path, host_number(), (long)getpid(), k);
    f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    /* a replaced file keeps its permissions if we may set them */
    if (f->fd >= 0 && exists) (void)!fchmod(f->fd, st.st_mode & 07777);
  }
  if (f->fd < 0) {
    Status s =
        err_set(e, ST_IO, "%s: cannot be created: %s; choose a folder that exists and is writable",
                path, strerror(errno));
    if (f->tmp) {
      mem_free(f->tmp);
      f->tmp = NULL;
    } /* not ours to unlink */
    atomic_abort(f);
    return s;
  }
  return ST_OK;
}

Status atomic_write(AtomicFile *f, const void *data, size_t n, Error *e) {
  return write_all(f->fd, f->path, data, n, e);
}

/* After the rename the folder entry itself must reach the disk; not every file system allows it, so
 * failure is no error. */
static void sync_folder(const char *path) {
  char dir[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) : 0;
  if (n >= sizeof dir) return;
  memcpy(dir, path, n);
  dir[n] = 0;
  int fd = open(slash ? (n ? dir : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

static Status atomic_finish(AtomicFile *f, Error *e) {
  if (f->tmp && fsync(f->fd) != 0)
    return err_set(e, ST_IO, "%s: could not be flushed to disk: %s; check free space", f->path,
                   strerror(errno));
  const int fd = f->fd;
  f->fd = -1;
  if (close(fd) != 0)
    return err_set(e, ST_IO, "%s: closing failed: %s; check free space", f->path, strerror(errno));
  if (!f->tmp) return ST_OK;
  if (rename(f->tmp, f->path) != 0)
    return err_set(e, ST_IO, "%s: cannot be replaced: %s; check the permissions of its folder",
                   f->path, strerror(errno));
  mem_free(f->tmp);
  f->tmp = NULL;
  sync_folder(f->path);
  return ST_OK;
}

Status atomic_commit(AtomicFile *f, Error *e) {
  const Status s = atomic_finish(f, e);
  atomic_abort(f);
  return s;
}

void atomic_abort(AtomicFile *f) {
  if (f->fd >= 0) close(f->fd);
  if (f->tmp) unlink(f->tmp);
  mem_free(f->tmp);
  mem_free(f->path);
  *f = (AtomicFile){-1, NULL, NULL};
}

Status file_write_atomic(const char *path, const void *data, size_t n, Error *e) {
  AtomicFile f;
  TRY(atomic_begin(&f, path, e));
  const Status s = atomic_write(&f, data, n, e);
  if (s == ST_OK) return atomic_commit(&f, e);
  atomic_abort(&f);
  return s;
}

static Status check_readable(int fd, const char *path, size_t max, struct stat *st, Error *e) {
  if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))
    return err_set(e, ST_IO, "%s: is not a regular file", path);
  if ((uint64_t)st->st_size > max)
    return err_set(e, ST_FORMAT, "%s: %lld bytes; expected at most %zu", path,
                   (long long)st->st_size, max);
  return ST_OK;
}

/* At most size bytes. A file that is shorter than it was a moment ago is no error: what is there is
 * what the caller gets to judge. */
static Status read_all(int fd, const char *path, uint8_t *p, size_t size, size_t *got, Error *e) {
  *got = 0;
  while (*got < size) {
    ssize_t k = read(fd, p + *got, PRLX_MIN(size - *got, IO_PIECE));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return err_set(e, ST_IO, "%s: reading failed: %s", path, strerror(errno));
    if (k == 0) break;
    *got += (size_t)k;
  }
  return ST_OK;
}

Status file_read(const char *path, uint8_t **data, size_t *n, size_t max, Error *e) {
  struct stat st;
  *data = NULL;
  *n = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
  if (fd < 0) return err_set(e, ST_IO, "%s: cannot be opened: %s", path, strerror(errno));
  Status s = check_readable(fd, path, max, &st, e);
  if (s != ST_OK) goto done;
  /* one byte more than n, zero: text can be used as a string */
  *data = mem_alloc((size_t)st.st_size + 1);
  if (!*data) {
    s = err_set(e, ST_NOMEM, "%s: out of memory for %lld bytes", path, (long long)st.st_size);
    goto done;
  }
  s = read_all(fd, path, *data, (size_t)st.st_size, n, e);
done:
  close(fd);
  if (s == ST_OK) return ST_OK;
  mem_free(*data);
  *data = NULL;
  *n = 0;
  return s;
}

Status dir_make(const char *path, Error *e) {
  char part[PATH_MAX];
  size_t n = strlen(path);
  if (n == 0 || n >= sizeof part)
    return err_set(e, ST_INVALID, "%.200s: %s folder name", path, n ? "too long a" : "empty");
  for (size_t i = 1; i <= n; i++) {
    if (path[i] != '/' && path[i] != 0) continue;
    memcpy(part, path, i);
    part[i] = 0;
    struct stat st;
    if (mkdir(part, 0777) == 0 || (stat(part, &st) == 0 && S_ISDIR(st.st_mode))) continue;
    return err_set(e, ST_IO, "%s: folder %s cannot be made: %s; choose another place", path, part,
                   errno == EEXIST ? "a file of this name is there" : strerror(errno));
  }
  if (access(path, W_OK | X_OK) != 0)
    return err_set(e, ST_IO, "%s: folder cannot be written to: %s", path, strerror(errno));
  return ST_OK;
}

bool file_exists(const char *path) {
  struct stat st;
  return stat(path, &st) == 0;
}

const char *file_pointer(const uint8_t *p, size_t n) {
  char text[160];
  const size_t m = PRLX_MIN(n, sizeof text - 1);
  memcpy(text, p, m);
  text[m] = 0;
  if (strstr(text, "annex/objects/"))
    return "a pointer of git-annex, not the file itself; fetch the content (datalad get)";
  if (!strncmp(text, "version https://git-lfs", 23))
    return "a pointer of git-lfs, not the file itself; fetch the content (git lfs pull)";
  return NULL;
}
