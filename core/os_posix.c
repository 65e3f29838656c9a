/* os_posix.c: os.h for Linux, macOS and other systems of the POSIX family. */
#define _GNU_SOURCE /* sched_getaffinity */
#if !defined(_WIN32) && !defined(__wasm__)
#include "core/os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

/* Linux transfers at most 0x7ffff000 bytes per call; smaller pieces also keep Ctrl-C responsive. */
#define OS_PIECE ((size_t)1 << 26)
#define OS_SHORTER(n) ((n) < OS_PIECE ? (n) : OS_PIECE)

/* ---- what is there ---- */

static int info_of(int result, const struct stat *st, OsInfo *out) {
  if (result != 0) return -1;
  *out = (OsInfo){.kind = S_ISREG(st->st_mode)   ? OS_FILE
                          : S_ISDIR(st->st_mode) ? OS_FOLDER
                                                 : OS_OTHER,
                  .bytes = st->st_size,
                  .device = (uint64_t)st->st_dev,
                  .number = (uint64_t)st->st_ino,
                  .mode = st->st_mode & 07777,
#ifdef __APPLE__
                  .changed_ns = (int)st->st_mtimespec.tv_nsec,
#else
                  .changed_ns = (int)st->st_mtim.tv_nsec,
#endif
                  .changed = (int64_t)st->st_mtime};
  return 0;
}

int os_info(const char *path, OsInfo *out) {
  struct stat st;
  return info_of(stat(path, &st), &st, out);
}

int os_link_info(const char *path, OsInfo *out) {
  struct stat st;
  return info_of(lstat(path, &st), &st, out);
}

int os_file_info(int fd, OsInfo *out) {
  struct stat st;
  return info_of(fstat(fd, &st), &st, out);
}

bool os_is_folder(const char *path) {
  OsInfo st;
  return os_info(path, &st) == 0 && st.kind == OS_FOLDER;
}

bool os_can_read(const char *path) { return access(path, R_OK) == 0; }
bool os_can_write_folder(const char *path) { return access(path, W_OK | X_OK) == 0; }

bool os_real_path(const char *path, char out[OS_PATH]) {
  char *p = realpath(path, NULL);
  const size_t n = p ? strlen(p) : 0;
  if (p && n < OS_PATH) memcpy(out, p, n + 1);
  free(p);
  if (p && n >= OS_PATH) errno = ENAMETOOLONG;
  return p && n < OS_PATH;
}

bool os_path_absolute(const char *path) { return path[0] == '/'; }

/* ---- files by descriptor ---- */

int os_open(const char *path, OsOpen how) {
  static const int flags[] = {[OS_READ] = O_RDONLY | O_NONBLOCK,
                              [OS_CREATE] = O_WRONLY | O_CREAT | O_EXCL,
                              [OS_WRITE] = O_WRONLY,
                              [OS_TRUNCATE] = O_WRONLY | O_CREAT | O_TRUNC,
                              [OS_APPEND] = O_RDWR | O_CREAT | O_APPEND};
  int fd;
  do fd = open(path, flags[how] | O_CLOEXEC, 0666);
  while (fd < 0 && errno == EINTR);
  return fd;
}

int os_close(int fd) { return close(fd); }

int64_t os_read(int fd, void *p, size_t n) {
  ssize_t k;
  do k = read(fd, p, OS_SHORTER(n));
  while (k < 0 && errno == EINTR);
  return k;
}

int64_t os_read_at(int fd, void *p, size_t n, int64_t at) {
  ssize_t k;
  do k = pread(fd, p, OS_SHORTER(n), (off_t)at);
  while (k < 0 && errno == EINTR);
  return k;
}

int64_t os_write(int fd, const void *p, size_t n) {
  ssize_t k;
  do k = write(fd, p, OS_SHORTER(n));
  while (k < 0 && errno == EINTR);
  return k;
}

/* A file system that has nothing to flush to says so; then there is nothing to wait for. */
int os_sync(int fd) {
  if (fsync(fd) == 0) return 0;
  return errno == EINVAL || errno == ENOSYS || errno == ENOTSUP ? 0 : -1;
}

void os_sync_folder(const char *dir) {
  const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

int os_set_size(int fd, int64_t bytes) { return ftruncate(fd, (off_t)bytes); }
void os_set_mode(int fd, unsigned mode) { (void)!fchmod(fd, (mode_t)mode); }
FILE *os_fopen(const char *path, const char *mode) { return fopen(path, mode); }
FILE *os_stream_open(char **text, size_t *bytes) { return open_memstream(text, bytes); }
int os_stream_close(FILE *f, char **text, size_t *bytes) { return fclose(f) == 0 ? 0 : -1; }

/* ---- folders and names ---- */

int os_replace(const char *from, const char *to) { return rename(from, to); }
int os_link(const char *from, const char *to) { return link(from, to); }
int os_remove(const char *path) { return unlink(path); }
int os_remove_folder(const char *path) { return rmdir(path); }
int os_make_folder(const char *path) { return mkdir(path, 0777); }
bool os_no_links(int error) { return error == EPERM || error == ENOTSUP || error == ENOSYS; }

OsFolder *os_folder_open(const char *path) { return (OsFolder *)opendir(path); }

const char *os_folder_next(OsFolder *f) {
  for (struct dirent *x; (x = readdir((DIR *)f));)
    if (strcmp(x->d_name, ".") && strcmp(x->d_name, "..")) return x->d_name;
  return NULL;
}

void os_folder_close(OsFolder *f) { closedir((DIR *)f); }

int os_folder_lock(const char *path) {
  const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int why = errno;
  close(fd);
  errno = why;
  return -1;
}

/* ---- memory ---- */

/* In place of a mapping: pages of our own, filled by reading. */
static const void *map_by_reading(int fd, int64_t bytes) {
  uint8_t *p =
      mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  for (int64_t at = 0; at < bytes;) {
    const int64_t k = os_read_at(fd, p + at, (size_t)(bytes - at), at);
    if (k <= 0) {
      const int why = k < 0 ? errno : EIO;
      munmap(p, (size_t)bytes);
      errno = why;
      return NULL;
    }
    at += k;
  }
  return p;
}

const void *os_map(int fd, int64_t bytes) {
  if (bytes <= 0 || (uint64_t)bytes > SIZE_MAX / 2) {
    errno = bytes <= 0 ? EINVAL : EFBIG;
    return NULL;
  }
  const void *p = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p != MAP_FAILED) return p;
  return errno == ENODEV || errno == EINVAL || errno == EACCES ? map_by_reading(fd, bytes) : NULL;
}

void os_unmap(const void *p, int64_t bytes) { munmap((void *)(uintptr_t)p, (size_t)bytes); }

/* Arenas, scratch, weights: with pages of 2 MiB, where the system gives them on request, maps whose
 * planes lie far apart cost no walk through the page tables for each. */
enum { OS_HUGE = 2 << 20, OS_HUGE_FROM = 8 << 20 };

void *os_aligned_alloc(size_t bytes) {
  void *p = NULL;
#ifdef MADV_HUGEPAGE
  if (bytes >= OS_HUGE_FROM) {
    if (posix_memalign(&p, OS_HUGE, bytes) != 0) return NULL;
    madvise(p, bytes, MADV_HUGEPAGE);
    return p;
  }
#endif
  return posix_memalign(&p, 64, bytes) == 0 ? p : NULL;
}

void os_aligned_free(void *p) { free(p); }

uint64_t os_disk_free(const char *path) {
  struct statvfs s;
  if (statvfs(path, &s) != 0) return 0;
  return (uint64_t)s.f_bavail * (uint64_t)(s.f_frsize ? s.f_frsize : s.f_bsize);
}

uint64_t os_memory_total(void) {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

/* The first number of a line of a file of the kernel that begins with `key`; 0: none. */
static uint64_t kernel_number(const char *path, const char *key) {
  FILE *f = fopen(path, "r");
  char line[256];
  unsigned long long x = 0;
  const size_t n = strlen(key);
  while (f && fgets(line, sizeof line, f))
    if (!strncmp(line, key, n) && sscanf(line + n, "%llu", &x) == 1) break;
  if (f) fclose(f);
  return x;
}

/* What is left below the limit of the address space (ulimit -v). */
static uint64_t address_space_left(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
  const uint64_t used = kernel_number("/proc/self/statm", "") * (uint64_t)sysconf(_SC_PAGESIZE);
  return (uint64_t)limit.rlim_cur > used ? (uint64_t)limit.rlim_cur - used : 1;
}

uint64_t os_memory_available(void) {
  uint64_t free_now = kernel_number("/proc/meminfo", "MemAvailable:") * 1024;
  if (!free_now) free_now = os_memory_total();
  const uint64_t left = address_space_left();
  return left < free_now || (!free_now && left != UINT64_MAX) ? left : free_now;
}

/* ---- time, terminal, machine ---- */

double os_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void os_sleep(double seconds) {
  const time_t whole = (time_t)seconds;
  nanosleep(&(struct timespec){whole, (long)((seconds - (double)whole) * 1e9)}, NULL);
}

bool os_is_terminal(int fd) { return isatty(fd) != 0; }

int os_cores(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

/* Linux, Documentation/arch/x86/xstate.rst: ARCH_REQ_XCOMP_PERM (0x1023) of XTILEDATA (18). */
bool os_allow_tiles(void) {
#if defined(__linux__) && defined(__x86_64__) && defined(SYS_arch_prctl)
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}

#ifdef __APPLE__
extern int _NSGetExecutablePath(char *out, uint32_t *bytes);
bool os_program(char out[OS_PATH]) {
  char path[OS_PATH];
  uint32_t n = sizeof path;
  return _NSGetExecutablePath(path, &n) == 0 && os_real_path(path, out);
}
#else
bool os_program(char out[OS_PATH]) {
  const ssize_t n = readlink("/proc/self/exe", out, OS_PATH - 1);
  out[n > 0 ? n : 0] = 0;
  return n > 0;
}
#endif

void os_host(char out[256]) {
  memset(out, 0, 256);
  if (gethostname(out, 255)) out[0] = 0;
}

/* ---- threads ---- */

int os_thread_start(OsThread *t, void *(*fn)(void *), void *arg) {
  pthread_attr_t a;
  int failed = pthread_attr_init(&a);
  if (failed) return failed;
  pthread_attr_setstacksize(&a, OS_STACK);
  failed = pthread_create(t, &a, fn, arg);
  pthread_attr_destroy(&a);
  return failed;
}
void os_thread_join(OsThread t) { pthread_join(t, NULL); }
void os_yield(void) { sched_yield(); }
void os_mutex_lock(OsMutex *m) { pthread_mutex_lock(m); }
bool os_mutex_try(OsMutex *m) { return pthread_mutex_trylock(m) == 0; }
void os_mutex_unlock(OsMutex *m) { pthread_mutex_unlock(m); }
void os_cond_wait(OsCond *c, OsMutex *m) { pthread_cond_wait(c, m); }
void os_cond_wake_all(OsCond *c) { pthread_cond_broadcast(c); }

/* ---- processes ---- */

int64_t os_process_id(void) { return getpid(); }
bool os_process_gone(int64_t id) { return kill((pid_t)id, 0) != 0 && errno == ESRCH; }

/* Started with a standard stream closed (>&-): the next file to be opened would take its number,
 * and messages would go into results. What stands in its place refuses every transfer. */
void os_main(int *argc, char ***argv) {
  for (int fd = 0; fd < 3; fd++)
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

typedef struct StackCall {
  int (*fn)(int argc, char **argv);
  int argc;
  char **argv;
  int result;
} StackCall;

static void *stack_call(void *arg) {
  StackCall *c = arg;
  c->result = c->fn(c->argc, c->argv);
  return NULL;
}

int os_on_stack(int (*fn)(int argc, char **argv), int argc, char **argv) {
  struct rlimit limit;
  StackCall c = {fn, argc, argv, 0};
  OsThread t;
  if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < OS_STACK / 2 &&
      os_thread_start(&t, stack_call, &c) == 0) {
    os_thread_join(t);
    return c.result;
  }
  return fn(argc, argv);
}

void os_on_stop(void (*fn)(int sig)) {
  struct sigaction sa = {.sa_handler = fn, .sa_flags = SA_RESTART}, was;
  sigemptyset(&sa.sa_mask);
  sigaction(SIGINT, &sa, NULL);
  sigaction(SIGTERM, &sa, NULL);
  if (sigaction(SIGHUP, NULL, &was) == 0 && was.sa_handler != SIG_IGN) sigaction(SIGHUP, &sa, NULL);
#ifdef SIGXFSZ
  signal(SIGXFSZ, SIG_IGN);
#endif
  signal(SIGPIPE, SIG_IGN);
}

static void (*later_fn)(void);
static void on_alarm(int sig) { later_fn(); }

void os_later(unsigned seconds, void (*fn)(void)) {
  struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  sigemptyset(&sa.sa_mask);
  later_fn = fn;
  sigaction(SIGALRM, &sa, NULL);
  alarm(seconds);
}

bool os_unread(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

static int child_file(const char *path, bool append) {
  return open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
}

/* In the child; never returns. */
static void child_run(char *const argv[], const OsChildFiles *f) {
  char program[OS_PATH];
  /* Ctrl-C reaches the parent, which passes it on once */
  setpgid(0, 0);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
  const int in = open("/dev/null", O_RDONLY), err = child_file(f->err, f->append_err);
  const int out = child_file(f->out, f->append_out);
  if (in < 0 || out < 0 || err < 0) _exit(126);
  dup2(in, 0);
  dup2(out, 1);
  dup2(err, 2);
  if (f->program) {
    execv(f->program, argv);
    fprintf(stderr, "%s: cannot be started: %s\n", f->program, strerror(errno));
    _exit(126);
  }
#ifdef __linux__
  execv("/proc/self/exe", argv); /* this very file, even where its name is another's by now */
#endif
  if (os_program(program)) execv(program, argv);
  fprintf(stderr, "the program cannot be started again: %s\n", strerror(errno));
  _exit(126);
}

int os_child_start(OsChild *c, char *const argv[], const OsChildFiles *f) {
  fflush(NULL);
  const pid_t pid = fork();
  if (pid == 0) child_run(argv, f);
  *c = (OsChild){pid, NULL};
  return pid < 0 ? -1 : 0;
}

int os_child_ended(OsChild *c, int *code) {
  int status;
  const pid_t got = waitpid((pid_t)c->id, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return 0;
  if (got < 0) return -1;
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return 1;
}

void os_child_interrupt(const OsChild *c) { kill((pid_t)c->id, SIGINT); }
#endif
