/* os.h: what the operating system does, in one header; one implementation file per system
 * (os_posix.c, os_windows.c). Nothing else below tools/ and paper/ may include a header that is not
 * of ISO C: test/house/system.sh fails on one.
 *
 * Paths are UTF-8 with '/'; Windows also takes '\\'. Where a function fails it returns -1, NULL or
 * false and errno says why, on every system, for strerror(errno). Interrupted calls (EINTR) go on
 * by themselves. Any thread. */
#ifndef PRLX_OS_H
#define PRLX_OS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#if defined(_WIN32) || defined(__wasm__)
typedef struct OsMutex {
  void *state;
} OsMutex;
typedef struct OsCond {
  void *state;
} OsCond;
typedef void *OsThread;
#define OS_MUTEX_INIT \
  { 0 }
#define OS_COND_INIT \
  { 0 }
#else
#include <pthread.h>
typedef pthread_mutex_t OsMutex;
typedef pthread_cond_t OsCond;
typedef pthread_t OsThread;
#define OS_MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define OS_COND_INIT PTHREAD_COND_INITIALIZER
#endif

/* Bytes of the longest path, with its zero. */
enum { OS_PATH = 4096 };

/* ---- what is there ---- */
typedef enum OsKind { OS_FILE, OS_FOLDER, OS_OTHER } OsKind; /* OTHER: device, pipe, socket */
typedef struct OsInfo {
  OsKind kind;
  int64_t bytes;
  /* two paths are the same thing where both are equal, whatever links and spellings lie between */
  uint64_t device;
  uint64_t number;
  unsigned mode;   /* permission bits, for os_set_mode */
  int64_t changed; /* second in which the content was last written; 0: unknown */
  int changed_ns;  /* and nanoseconds, as fine as the file system knows them */
} OsInfo;

/* 0 or -1. Follows links; the second asks about a link itself (OS_OTHER), the third about an open
 * file. */
int os_info(const char *path, OsInfo *out);
int os_link_info(const char *path, OsInfo *out);
int os_file_info(int fd, OsInfo *out);

/* os_info says a folder. */
bool os_is_folder(const char *path);

/* This process may read the file; may make files in the folder. errno where not. */
bool os_can_read(const char *path);
bool os_can_write_folder(const char *path);

/* An absolute path without links, `.` and `..`; false where the file is not there. */
bool os_real_path(const char *path, char out[OS_PATH]);

/* "/x", and on Windows "C:/x", "C:\x", "\\server\x". */
bool os_path_absolute(const char *path);

/* ---- files by descriptor ---- */
typedef enum OsOpen {
  OS_READ,     /* opening a FIFO does not wait for its writer */
  OS_CREATE,   /* for writing; there must be none */
  OS_WRITE,    /* a device or pipe that is there */
  OS_TRUNCATE, /* for writing, made or emptied */
  OS_APPEND    /* for reading, and writing at the end; made where there is none */
} OsOpen;

/* Never handed to child processes. -1 */
int os_open(const char *path, OsOpen how);
int os_close(int fd);

/* One transfer of at most n bytes (and at most 64 MiB, so that Ctrl-C is heard): how many, 0 at the
 * end of the file, -1. The second does not move the place in the file. */
int64_t os_read(int fd, void *p, size_t n);
int64_t os_read_at(int fd, void *p, size_t n, int64_t at);
int64_t os_write(int fd, const void *p, size_t n);

/* To the disk. 0 or -1. */
int os_sync(int fd);

/* Folder entries to the disk, as far as the system can. */
void os_sync_folder(const char *dir);
int os_set_size(int fd, int64_t bytes);
void os_set_mode(int fd, unsigned mode); /* as far as this process may */

/* fopen, bytes as they are. */
FILE *os_fopen(const char *path, const char *mode);

/* A stream that ends up as a text in memory: os_stream_close gives it (a zero behind *bytes bytes,
 * for free()), or -1 where memory was short. */
FILE *os_stream_open(char **text, size_t *bytes);
int os_stream_close(FILE *f, char **text, size_t *bytes);

/* ---- folders and names; 0 or -1 ---- */
int os_replace(const char *from, const char *to); /* whole or not at all; `to` may be there */
int os_link(const char *from, const char *to);    /* a second name for the same file */
int os_remove(const char *path);                  /* a file */
int os_remove_folder(const char *path);           /* an empty one */
int os_make_folder(const char *path);             /* its parent must be there */
bool os_no_links(int error); /* os_link failed because this file system has no such thing */

typedef struct OsFolder OsFolder;

/* Names in a folder without "." and "..", in no order. NULL where it cannot be read. */
OsFolder *os_folder_open(const char *path);
const char *os_folder_next(OsFolder *f); /* until the next call; NULL: no more */
void os_folder_close(OsFolder *f);       /* what os_folder_open gave, not NULL */

/* Held until os_close of what comes back, or the end of the process. -1; errno is EWOULDBLOCK where
 * another process has it, anything else where the file system cannot lock. */
int os_folder_lock(const char *path);

/* Bytes that this process may still write on the disk where a folder or file lies; 0: unknown. */
uint64_t os_disk_free(const char *path);

/* ---- memory ---- */

/* `bytes` of a file from its beginning, read only; NULL: errno. Where a file cannot be mapped (some
 * network file systems; Windows, where a mapped file could not be replaced) it is read into memory
 * instead. EFBIG: more than the address space of this machine. */
const void *os_map(int fd, int64_t bytes);
void os_unmap(const void *p, int64_t bytes);

/* Aligned to 64 bytes, for os_aligned_free; NULL. */
void *os_aligned_alloc(size_t bytes);
void os_aligned_free(void *p);

/* Bytes of the machine, and of them what this process may still take (limits of the process
 * included); 0: unknown. */
uint64_t os_memory_total(void);
uint64_t os_memory_available(void);

/* ---- time, terminal, machine ---- */

/* Seconds since some moment; never runs backwards. */
double os_clock(void);
void os_sleep(double seconds);
bool os_is_terminal(int fd);

/* Cores that this process may use, at least 1. */
int os_cores(void);

/* Asks for the tile registers of AMX, for all threads of this process; false where the system does
 * not grant them. */
bool os_allow_tiles(void);

/* File of the running program, absolute; false where the system does not say. */
bool os_program(char out[OS_PATH]);

/* Name of the machine; "" where it has none. */
void os_host(char out[256]);

/* ---- threads ---- */

/* Bytes of stack that a thread has, whatever the limit of the process (ulimit -s) or the custom of
 * the system. */
enum { OS_STACK = 8 << 20 };

/* 0, or an error number. */
int os_thread_start(OsThread *t, void *(*fn)(void *), void *arg);
void os_thread_join(OsThread t);
void os_yield(void);
void os_mutex_lock(OsMutex *m);
bool os_mutex_try(OsMutex *m);
void os_mutex_unlock(OsMutex *m);
void os_cond_wait(OsCond *c, OsMutex *m);
void os_cond_wake_all(OsCond *c);

/* ---- processes ---- */

/* Of this one. */
int64_t os_process_id(void);

/* There is no such process on this machine any more. */
bool os_process_gone(int64_t id);

/* Once at the start of main(): paths and arguments as UTF-8 and with '/', standard streams as
 * bytes; standard streams that are closed become such that refuse every transfer. */
void os_main(int *argc, char ***argv);

/* fn(argc, argv), on half of OS_STACK bytes of stack at least: where this thread has fewer, on all
 * of another one that is waited for. */
int os_on_stack(int (*fn)(int argc, char **argv), int argc, char **argv);

/* Ctrl-C, the request to end and a terminal that closes (not after nohup), to `fn`; system calls go
 * on afterwards. A file that may not grow further (ulimit -f) and a pipe that nobody reads are from
 * then on errors of their writers (EFBIG, EPIPE), as a full disk is, and no signals. */
void os_on_stop(void (*fn)(int sig));

/* Calls fn once after so many seconds, wherever the program is by then: fn may do what the one of
 * os_on_stop may, and no more. For one call in the life of a process. */
void os_later(unsigned seconds, void (*fn)(void));

/* An open pipe whose reader is gone: `| head`. */
bool os_unread(int fd);

typedef struct OsChild {
  int64_t id;
  void *handle;
} OsChild;
typedef struct OsChildFiles {
  const char *program; /* another one's path, with a slash; NULL: this program */
  const char *out;
  const char *err;
  bool append_out;
  bool append_err;
} OsChildFiles;

/* Another process, with this program or another: argv as main gets it, no standard input, standard
 * output and error into files (append: at their end). It gets no Ctrl-C from the terminal; it is
 * asked to end when this process ends. 0 or -1. */
int os_child_start(OsChild *c, char *const argv[], const OsChildFiles *f);

/* 1: it has ended, with *code (128 + the signal that killed it; 126: it could not be started); 0:
 * not yet; -1. */
int os_child_ended(OsChild *c, int *code);
void os_child_interrupt(const OsChild *c);
#endif
