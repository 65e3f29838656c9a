/* fuzz.h: what the fuzz targets share: a file in memory for readers that map files, a place for
 * writers that rename, and a judge. */
#ifndef PRLX_FUZZ_H
#define PRLX_FUZZ_H
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What must hold, whatever the input is. */
#define FUZZ_HOLDS(x)                                                        \
  do {                                                                       \
    if (!(x)) {                                                              \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
      abort();                                                               \
    }                                                                        \
  } while (0)

/* Where this process may write FILE.ending: in a folder in memory where there is one. */
static inline const char *fuzz_path(const char *ending) {
  static char path[128];
  const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  snprintf(path, sizeof path, "%s/prlx-fuzz-%ld%s", dir, (long)getpid(), ending);
  return path;
}

/* A file of these bytes that has no name but this one; the same every time. */
static inline const char *fuzz_file(const uint8_t *data, size_t n) {
  static int fd = -1;
  static char path[64];
  if (fd < 0) {
    fd = open(fuzz_path(""), O_RDWR | O_CREAT | O_TRUNC, 0600);
    FUZZ_HOLDS(fd >= 0 && unlink(fuzz_path("")) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  }
  FUZZ_HOLDS(ftruncate(fd, 0) == 0 && pwrite(fd, data, n, 0) == (ssize_t)n);
  return path;
}
#endif
