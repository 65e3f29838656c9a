/* os_wasm.c: os.h inside a web page (docs/lab/): files lie in memory, there is one thread, no
 * folder but the one, no other process. A file is made by os_open(OS_CREATE) and os_write like
 * everywhere, or handed over whole by the page (os_wasm_file). */
#if defined(__wasm__)
#include "core/os.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OS_FILES = 64, OS_NAME = 256, OS_FD = 100 };
typedef struct MemoryFile {
  char name[OS_NAME]; /* empty: free */
  unsigned char *data;
  size_t bytes;
  size_t room;
} MemoryFile;
static MemoryFile files[OS_FILES];
static struct {
  int file; /* -1: closed */
  size_t at;
} opened[OS_FILES];
static int opened_ready;

static int file_named(const char *path) {
  while (path[0] == '.' && path[1] == '/') path += 2;
  for (int i = 0; i < OS_FILES; i++)
    if (*path && !strcmp(files[i].name, path)) return i;
  return -1;
}

static int file_new(const char *path) {
  while (path[0] == '.' && path[1] == '/') path += 2;
  if (strlen(path) >= OS_NAME) {
    errno = ENAMETOOLONG;
    return -1;
  }
  for (int i = 0; i < OS_FILES; i++)
    if (!files[i].name[0]) {
      memset(&files[i], 0, sizeof files[i]);
      strcpy(files[i].name, path);
      return i;
    }
  errno = ENOSPC;
  return -1;
}

static void file_drop(int i) {
  free(files[i].data);
  memset(&files[i], 0, sizeof files[i]);
}

static int file_room(MemoryFile *f, size_t bytes) {
  if (bytes <= f->room) return 0;
  const size_t room = bytes > f->room * 2 ? bytes : f->room * 2;
  unsigned char *p = realloc(f->data, room);
  if (!p) {
    errno = ENOSPC;
    return -1;
  }
  f->data = p;
  f->room = room;
  return 0;
}

/* The page: a file of n bytes in place of what there was; the page fills what comes back. NULL: no
 * room. And a file's bytes. */
unsigned char *os_wasm_file(const char *name, size_t n);
const unsigned char *os_wasm_bytes(const char *name, size_t *n);

unsigned char *os_wasm_file(const char *name, size_t n) {
  int i = file_named(name);
  if (i < 0) i = file_new(name);
  if (i < 0 || file_room(&files[i], n ? n : 1) != 0) return NULL;
  files[i].bytes = n;
  return files[i].data;
}

const unsigned char *os_wasm_bytes(const char *name, size_t *n) {
  const int i = file_named(name);
  *n = i < 0 ? 0 : files[i].bytes;
  return i < 0 ? NULL : files[i].data;
}

/* ---- what is there ---- */
int os_info(const char *path, OsInfo *out) {
  const int i = file_named(path);
  if (i < 0 && (!*path || !strcmp(path, ".") || !strcmp(path, "/"))) {
    *out = (OsInfo){.kind = OS_FOLDER, .number = OS_FILES};
    return 0;
  }
  if (i < 0) {
    errno = ENOENT;
    return -1;
  }
  *out = (OsInfo){.kind = OS_FILE, .bytes = (int64_t)files[i].bytes, .number = (uint64_t)i};
  return 0;
}

int os_link_info(const char *path, OsInfo *out) { return os_info(path, out); }

static MemoryFile *file_of(int fd) {
  const int i = fd - OS_FD;
  if (i < 0 || i >= OS_FILES || !opened_ready || opened[i].file < 0) {
    errno = EBADF;
    return NULL;
  }
  return &files[opened[i].file];
}

int os_file_info(int fd, OsInfo *out) {
  const MemoryFile *f = file_of(fd);
  return f ? os_info(f->name, out) : -1;
}

bool os_is_folder(const char *path) {
  OsInfo st;
  return os_info(path, &st) == 0 && st.kind == OS_FOLDER;
}

bool os_can_read(const char *path) {
  OsInfo st;
  return os_info(path, &st) == 0;
}

bool os_can_write_folder(const char *path) { return os_is_folder(path); }

bool os_real_path(const char *path, char out[OS_PATH]) {
  if (strlen(path) >= OS_PATH) return false;
  strcpy(out, path);
  return os_can_read(path);
}

bool os_path_absolute(const char *path) { return path[0] == '/'; }

/* ---- files ---- */
int os_open(const char *path, OsOpen how) {
  int i = file_named(path), k = 0;
  if (!opened_ready)
    for (int j = 0; j < OS_FILES; j++) opened[j].file = -1;
  opened_ready = 1;
  if (i >= 0 && how == OS_CREATE) {
    errno = EEXIST;
    return -1;
  }
  if (i < 0 && (how == OS_READ || how == OS_WRITE)) {
    errno = ENOENT;
    return -1;
  }
  if (i < 0) i = file_new(path);
  if (i < 0) return -1;
  while (k < OS_FILES && opened[k].file >= 0) k++;
  if (k == OS_FILES) {
    errno = ENOMEM;
    return -1;
  }
  if (how == OS_TRUNCATE) files[i].bytes = 0;
  opened[k].file = i;
  opened[k].at = how == OS_APPEND ? files[i].bytes : 0;
  return OS_FD + k;
}

int os_close(int fd) {
  if (!file_of(fd)) return -1;
  opened[fd - OS_FD].file = -1;
  return 0;
}

int64_t os_read_at(int fd, void *p, size_t n, int64_t at) {
  const MemoryFile *f = file_of(fd);
  if (!f) return -1;
  if (at < 0 || (uint64_t)at >= f->bytes) return 0;
  const size_t left = f->bytes - (size_t)at;
  if (n > left) n = left;
  memcpy(p, f->data + at, n);
  return (int64_t)n;
}

int64_t os_read(int fd, void *p, size_t n) {
  if (!file_of(fd)) return -1;
  const int64_t k = os_read_at(fd, p, n, (int64_t)opened[fd - OS_FD].at);
  if (k > 0) opened[fd - OS_FD].at += (size_t)k;
  return k;
}

int64_t os_write(int fd, const void *p, size_t n) {
  MemoryFile *f = file_of(fd);
  if (!f) return -1;
  const size_t at = opened[fd - OS_FD].at;
  if (file_room(f, at + n) != 0) return -1;
  memcpy(f->data + at, p, n);
  opened[fd - OS_FD].at = at + n;
  if (f->bytes < at + n) f->bytes = at + n;
  return (int64_t)n;
}

int os_sync(int fd) { return file_of(fd) ? 0 : -1; }
void os_sync_folder(const char *dir) {}

int os_set_size(int fd, int64_t bytes) {
  MemoryFile *f = file_of(fd);
  if (!f || file_room(f, (size_t)bytes) != 0) return -1;
  if ((size_t)bytes > f->bytes) memset(f->data + f->bytes, 0, (size_t)bytes - f->bytes);
  f->bytes = (size_t)bytes;
  return 0;
}

void os_set_mode(int fd, unsigned mode) {}

FILE *os_fopen(const char *path, const char *mode) {
  errno = ENOSYS;
  return NULL;
}

FILE *os_stream_open(char **text, size_t *bytes) {
  errno = ENOSYS;
  return NULL;
}

int os_stream_close(FILE *f, char **text, size_t *bytes) {
  errno = ENOSYS;
  return -1;
}

/* ---- folders and names ---- */
int os_replace(const char *from, const char *to) {
  const int i = file_named(from), old = file_named(to);
  if (i < 0) {
    errno = ENOENT;
    return -1;
  }
  if (old >= 0 && old != i) file_drop(old);
  while (to[0] == '.' && to[1] == '/') to += 2;
  strcpy(files[i].name, to);
  return 0;
}

static int not_here(void) {
  errno = ENOSYS;
  return -1;
}

int os_link(const char *from, const char *to) { return not_here(); }
bool os_no_links(int error) { return error == ENOSYS; }

int os_remove(const char *path) {
  const int i = file_named(path);
  if (i < 0) {
    errno = ENOENT;
    return -1;
  }
  file_drop(i);
  return 0;
}

int os_remove_folder(const char *path) { return not_here(); }
int os_make_folder(const char *path) { return os_is_folder(path) ? 0 : not_here(); }

OsFolder *os_folder_open(const char *path) {
  not_here();
  return NULL;
}

const char *os_folder_next(OsFolder *f) { return NULL; }
void os_folder_close(OsFolder *f) {}
int os_folder_lock(const char *path) { return not_here(); }

/* ---- memory ---- */
const void *os_map(int fd, int64_t bytes) {
  const MemoryFile *f = file_of(fd);
  if (!f) return NULL;
  if (bytes < 0 || (uint64_t)bytes > f->bytes) {
    errno = EINVAL;
    return NULL;
  }
  return f->data;
}

void os_unmap(const void *p, int64_t bytes) {}
void *os_aligned_alloc(size_t bytes) { return malloc(bytes); } /* aligned to 64 bytes there */
void os_aligned_free(void *p) { free(p); }

/* A page has 4 GiB of addresses; how much the browser gives is known when it refuses. */
uint64_t os_disk_free(const char *path) { return 0; }
uint64_t os_memory_total(void) { return (uint64_t)1 << 32; }
uint64_t os_memory_available(void) { return (uint64_t)3 << 30; }

/* ---- time, machine, threads ---- */
__attribute__((import_module("lab"), import_name("clock"))) double os_wasm_clock(void);

double os_clock(void) { return os_wasm_clock(); }
void os_sleep(double seconds) {}
bool os_is_terminal(int fd) { return false; }
int os_cores(void) { return 1; }
bool os_allow_tiles(void) { return false; }
bool os_program(char out[OS_PATH]) { return false; }
void os_host(char out[256]) { strcpy(out, "page"); }
int os_thread_start(OsThread *t, void *(*fn)(void *), void *arg) { return ENOSYS; }
void os_thread_join(OsThread t) {}
void os_yield(void) {}
void os_mutex_lock(OsMutex *m) {}
bool os_mutex_try(OsMutex *m) { return true; }
void os_mutex_unlock(OsMutex *m) {}
void os_cond_wait(OsCond *c, OsMutex *m) {}
void os_cond_wake_all(OsCond *c) {}
int64_t os_process_id(void) { return 1; }
bool os_process_gone(int64_t id) { return id != 1; }
void os_main(int *argc, char ***argv) {}
int os_on_stack(int (*fn)(int, char **), int argc, char **argv) { return fn(argc, argv); }
void os_on_stop(void (*fn)(int sig)) {}
void os_later(unsigned seconds, void (*fn)(void)) {}
bool os_unread(int fd) { return false; }
int os_child_start(OsChild *c, char *const argv[], const OsChildFiles *f) { return not_here(); }
int os_child_ended(OsChild *c, int *code) { return not_here(); }
void os_child_interrupt(const OsChild *c) {}
#endif
