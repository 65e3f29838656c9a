/* preload.c: file systems that lack something, for LD_PRELOAD: PRLX_LACKS=mmap: files cannot be
 * mapped (some network and user-space file systems); rename: no name can be given to a file that is
 * there (EXDEV, as between two mounts); link: no hard links; sync: fsync is refused (EINVAL);
 * lock: no locks (ENOLCK). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static int lacks(const char *what) {
  const char *list = getenv("PRLX_LACKS");
  return list && strstr(list, what);
}

static void *next(const char *name) {
  void *p = dlsym(RTLD_NEXT, name);
  if (!p) abort();
  return p;
}

void *mmap(void *p, size_t n, int prot, int flags, int fd, off_t at) {
  void *(*real)(void *, size_t, int, int, int, off_t) = next("mmap");
  if (fd < 0 || !lacks("mmap")) return real(p, n, prot, flags, fd, at);
  errno = ENODEV;
  return MAP_FAILED;
}
void *mmap64(void *p, size_t n, int prot, int flags, int fd, off_t at) {
  return mmap(p, n, prot, flags, fd, at);
}

int rename(const char *from, const char *to) {
  int (*real)(const char *, const char *) = next("rename");
  if (!lacks("rename")) return real(from, to);
  errno = EXDEV;
  return -1;
}

int link(const char *from, const char *to) {
  int (*real)(const char *, const char *) = next("link");
  if (!lacks("link")) return real(from, to);
  errno = EPERM;
  return -1;
}

int fsync(int fd) {
  int (*real)(int) = next("fsync");
  if (!lacks("sync")) return real(fd);
  errno = EINVAL;
  return -1;
}

int flock(int fd, int how) {
  int (*real)(int, int) = next("flock");
  if (!lacks("lock")) return real(fd, how);
  errno = ENOLCK;
  return -1;
}
