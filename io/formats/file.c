/* file.c: whole-file reading, atomic writing, folders. */
#include "io/formats/file.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/checksum.h"

static const FileWatch *watcher;

void file_watch(const FileWatch *w) { watcher = w; }

static Status write_all(int fd, const char *path, const void *data, size_t n, Error *e) {
  const char *p = data;
  while (n) {
    const int64_t k = os_write(fd, p, n);
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
  char host[256];
  os_host(host);
  return crc32_ieee(0, host, strlen(host));
}

bool file_is_stale(const char *name) {
  const char *tmp = NULL;
  for (const char *p = name; (p = strstr(p, ".tmp")); p += 4) tmp = p;
  unsigned host = 0;
  long long pid = 0;
  int k = 0, used = 0;
  if (!tmp || sscanf(tmp, ".tmp%8x-%lld.%d%n", &host, &pid, &k, &used) != 3 || tmp[used] ||
      pid <= 0 || host != host_number())
    return false;
  return os_process_gone(pid);
}

/* A process that was killed leaves its temporary file; the next one that writes into the same
 * folder removes it. Once per folder and thread: looking through a large folder for each of its
 * files would take the square of their number. */
static void remove_stale(const char *path) {
  static _Thread_local uint32_t last;
  char dir[OS_PATH], file[OS_PATH + 300];
  const char *slash = strrchr(path, '/');
  const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
  if (n >= sizeof dir) return;
  snprintf(dir, sizeof dir, "%.*s", (int)n, path);
  const uint32_t key = crc32_ieee(1, dir, n);
  if (key == last) return;
  last = key;
  OsFolder *d = os_folder_open(n ? dir : ".");
  if (!d) return;
  for (const char *name; (name = os_folder_next(d));) {
    if (!file_is_stale(name)) continue;
    snprintf(file, sizeof file, "%s%s", dir, name);
    (void)!os_remove(file);
  }
  os_folder_close(d);
}

/* ---- what to remove when the process must end ---- */

/* Names, each in the place of one file; the first byte 0: free. A signal handler reads them at any
 * moment, so that a name is there when its first byte is. */
static char unfinished[16][OS_PATH + 80];
static OsMutex unfinished_lock = OS_MUTEX_INIT;

/* Where there is no place left the file is one more for remove_stale. */
static void unfinished_add(const char *tmp) {
  const size_t n = strlen(tmp) + 1;
  os_mutex_lock(&unfinished_lock);
  for (int i = 0; i < COUNT_OF(unfinished) && n <= sizeof unfinished[0]; i++) {
    if (unfinished[i][0]) continue;
    memcpy(unfinished[i] + 1, tmp + 1, n - 1);
    __atomic_store_n(&unfinished[i][0], tmp[0], __ATOMIC_RELEASE);
    break;
  }
  os_mutex_unlock(&unfinished_lock);
}

void file_beside_done(const char *tmp) {
  os_mutex_lock(&unfinished_lock);
  for (int i = 0; i < COUNT_OF(unfinished); i++)
    if (!strcmp(unfinished[i], tmp)) __atomic_store_n(&unfinished[i][0], 0, __ATOMIC_RELEASE);
  os_mutex_unlock(&unfinished_lock);
}

void file_remove_unfinished(void) {
  for (int i = 0; i < COUNT_OF(unfinished); i++)
    if (__atomic_load_n(&unfinished[i][0], __ATOMIC_ACQUIRE)) (void)!os_remove(unfinished[i]);
}

static void name_beside(char *tmp, size_t room, const char *path) {
  static int serial;
  snprintf(tmp, room, "%s.tmp%08x-%lld.%d", path, host_number(), (long long)os_process_id(),
           __atomic_fetch_add(&serial, 1, __ATOMIC_RELAXED));
  unfinished_add(tmp);
}

Status file_beside(char *tmp, size_t room, const char *path, Error *e) {
  if (strlen(path) + 60 > room) return err_set(e, ST_INVALID, "%.200s: too long a name", path);
  remove_stale(path);
  name_beside(tmp, room, path);
  return ST_OK;
}

Status file_room(const char *path, uint64_t bytes, Error *e) {
  char dir[OS_PATH];
  const char *slash = strrchr(path, '/');
  const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
  if (n >= sizeof dir) return ST_OK;
  snprintf(dir, sizeof dir, "%.*s", (int)n, path);
  const uint64_t room = os_disk_free(n ? dir : ".");
  if (!room || bytes <= room) return ST_OK;
  return err_set(e, ST_IO,
                 "%s: needs %.1f MB, and %.1f MB are free there (No space left on device); make "
                 "room or choose another place",
                 path, (double)bytes / 1e6, (double)room / 1e6);
}

/* os_info failed: not because nothing is there, or because the name is none, but it could not find
 * out. */
static bool cannot_tell(int error) { return error == EIO || error == ENOMEM; }

Status atomic_begin(AtomicFile *f, const char *path, Error *e) {
  OsInfo st;
  char real_path[OS_PATH];
  *f = (AtomicFile){-1, NULL, NULL};
  const bool exists = os_info(path, &st) == 0;
  if (!exists && cannot_tell(errno))
    return err_set(e, ST_IO, "%s: cannot be looked at: %s", path, strerror(errno));
  const bool astray = !exists && os_link_info(path, &st) == 0;
  if (exists && st.kind == OS_FOLDER)
    return err_set(e, ST_IO, "%s: is a folder; expected a file name", path);
  if (!path[0]) return err_set(e, ST_INVALID, "empty file name; expected the file to write");
  if ((astray || (exists && st.kind == OS_FILE)) && watcher) TRY(watcher->replace(&st, path, e));
  if (exists && os_real_path(path, real_path))
    path = real_path;
  else if (exists && st.kind == OS_FILE && cannot_tell(errno))
    return err_set(e, ST_IO, "%s: cannot be found out where it leads: %s", path, strerror(errno));
  size_t len = strlen(path) + 60;
  f->path = mem_strdup(path);
  if (f->path && (!exists || st.kind == OS_FILE)) f->tmp = mem_alloc(len);
  if (!f->path || (!f->tmp && (!exists || st.kind == OS_FILE))) {
    atomic_abort(f);
    return err_set(e, ST_NOMEM, "%s: out of memory", path);
  }
  if (!f->tmp) {
    f->fd = os_open(f->path, OS_WRITE);
  } else {
    remove_stale(f->path);
    name_beside(f->tmp, len, f->path);
    f->fd = os_open(f->tmp, OS_CREATE);
    /* a replaced file keeps its permissions if we may set them */
    if (f->fd >= 0 && exists) os_set_mode(f->fd, st.mode);
  }
  if (f->fd < 0) {
    Status s =
        err_set(e, ST_IO, "%s: cannot be created: %s; choose a folder that exists and is writable",
                path, strerror(errno));
    if (f->tmp) {
      file_beside_done(f->tmp);
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
  char dir[OS_PATH];
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) : 0;
  if (n >= sizeof dir) return;
  memcpy(dir, path, n);
  dir[n] = 0;
  os_sync_folder(slash ? (n ? dir : "/") : ".");
}

static Status replace_failed(const AtomicFile *f, Error *e) {
  /* a file that is a mount point of its own (a container's), or a file system without rename */
  const bool other = errno == EXDEV || errno == EBUSY;
  return err_set(e, ST_IO, "%s: cannot be replaced: %s; %s", f->path, strerror(errno),
                 other ? "the file is mounted there, or its file system cannot rename; choose "
                         "another folder"
                       : "check the permissions of its folder");
}

static Status atomic_finish(AtomicFile *f, Error *e) {
  OsInfo info;
  if (f->tmp && os_sync(f->fd) != 0)
    return err_set(e, ST_IO, "%s: could not be flushed to disk: %s; check free space", f->path,
                   strerror(errno));
  const int fd = f->fd;
  const bool known = watcher && f->tmp && os_file_info(fd, &info) == 0;
  f->fd = -1;
  if (os_close(fd) != 0)
    return err_set(e, ST_IO, "%s: closing failed: %s; check free space", f->path, strerror(errno));
  if (!f->tmp) return ST_OK;
  if (watcher) TRY(watcher->naming(f->path, known ? &info : NULL, e));
  if (os_replace(f->tmp, f->path) != 0) return replace_failed(f, e);
  if (known) watcher->written(&info);
  file_beside_done(f->tmp);
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
  if (f->fd >= 0) os_close(f->fd);
  if (f->tmp) {
    os_remove(f->tmp);
    file_beside_done(f->tmp);
  }
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

static Status check_regular(int fd, const char *path, OsInfo *st, Error *e) {
  if (os_file_info(fd, st) != 0)
    return err_set(e, ST_IO, "%s: cannot be looked at: %s", path, strerror(errno));
  if (st->kind == OS_FILE) return ST_OK;
  return err_set(e, ST_IO, "%s: is a %s; expected a regular file", path,
                 st->kind == OS_FOLDER ? "folder" : "pipe or device");
}

/* At most size bytes. A file that is shorter than it was a moment ago is no error: what is there is
 * what the caller gets to judge. */
static Status read_all(int fd, const char *path, uint8_t *p, size_t size, size_t *got, Error *e) {
  *got = 0;
  while (*got < size) {
    const int64_t k = os_read(fd, p + *got, size - *got);
    if (k < 0) return err_set(e, ST_IO, "%s: reading failed: %s", path, strerror(errno));
    if (k == 0) break;
    *got += (size_t)k;
  }
  return ST_OK;
}

const char *file_absent(const char *path, int error) {
  OsInfo st;
  if (error != ENOENT && error != ENOTDIR) return "";
  if (os_link_info(path, &st) == 0 && st.kind == OS_OTHER)
    return " (a symbolic link to a file that is not there; of git-annex or DataLad: datalad get)";
  if (strstr(path, "://")) return " (an address; download the file and give its path)";
  if (path[0] == '~' || strstr(path, "/~/"))
    return " (~ is replaced by the shell only; write the whole path)";
  return strchr(path, '\\') ? " (folders are separated by / here, not by \\)" : "";
}

Status file_open(const char *path, int *fd, int64_t *bytes, Error *e) {
  OsInfo st;
  *bytes = 0;
  *fd = os_open(path, OS_READ);
  if (*fd < 0) {
    const int why = errno;
    return err_set(e, ST_IO, "%s: cannot be opened: %s%s", path, strerror(why),
                   file_absent(path, why));
  }
  const Status s = check_regular(*fd, path, &st, e);
  if (s == ST_OK) {
    *bytes = st.bytes;
    if (watcher) watcher->opened(&st);
    return ST_OK;
  }
  os_close(*fd);
  *fd = -1;
  return s;
}

Status file_head(const char *path, uint8_t *head, size_t room, size_t *n, Error *e) {
  int fd;
  int64_t bytes;
  *n = 0;
  TRY(file_open(path, &fd, &bytes, e));
  const Status s = read_all(fd, path, head, room, n, e);
  os_close(fd);
  return s;
}

Status file_read(const char *path, uint8_t **data, size_t *n, size_t max, Error *e) {
  int fd;
  int64_t bytes;
  *data = NULL;
  *n = 0;
  TRY(file_open(path, &fd, &bytes, e));
  Status s = ST_OK;
  if ((uint64_t)bytes > max) {
    s = err_set(e, ST_FORMAT, "%s: %lld bytes; expected at most %zu; is it the right file?", path,
                (long long)bytes, max);
    goto done;
  }
  /* one byte more than n, zero: text can be used as a string */
  *data = mem_alloc((size_t)bytes + 1);
  if (!*data) {
    s = err_set(e, ST_NOMEM, "%s: out of memory for %lld bytes", path, (long long)bytes);
    goto done;
  }
  s = read_all(fd, path, *data, (size_t)bytes, n, e);
done:
  os_close(fd);
  if (s == ST_OK) return ST_OK;
  mem_free(*data);
  *data = NULL;
  *n = 0;
  return s;
}

Status dir_make(const char *path, Error *e) {
  char part[OS_PATH];
  size_t n = strlen(path);
  if (n == 0 || n >= sizeof part)
    return err_set(e, ST_INVALID, "%.200s: %s folder name", path, n ? "too long a" : "empty");
  for (size_t i = 1; i <= n; i++) {
    if (path[i] != '/' && path[i] != 0) continue;
    memcpy(part, path, i);
    part[i] = 0;
    if (os_make_folder(part) == 0) continue;
    const int why = errno; /* a look at what is there may set another */
    if (os_is_folder(part)) continue;
    OsInfo there;
    return err_set(e, ST_IO, "%s: folder %s cannot be made: %s; choose another place", path, part,
                   why != EEXIST                ? strerror(why)
                   : os_info(part, &there) == 0 ? "a file of this name is there"
                                                : "a symbolic link to a folder that is not there");
  }
  if (!os_can_write_folder(path))
    return err_set(e, ST_IO, "%s: folder cannot be written to: %s", path, strerror(errno));
  return ST_OK;
}

bool file_exists(const char *path) {
  OsInfo st;
  return os_info(path, &st) == 0 || cannot_tell(errno);
}

Status file_look(const char *path, bool *there, Error *e) {
  OsInfo st;
  *there = os_info(path, &st) == 0;
  if (*there || !cannot_tell(errno)) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be looked at: %s", path, strerror(errno));
}

Status file_is_folder(const char *path, bool *is, Error *e) {
  OsInfo st;
  *is = os_info(path, &st) == 0;
  if (!*is && cannot_tell(errno))
    return err_set(e, ST_IO, "%s: cannot be looked at: %s", path, strerror(errno));
  *is = *is && st.kind == OS_FOLDER;
  return ST_OK;
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
