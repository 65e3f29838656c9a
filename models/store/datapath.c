/* datapath.c: see datapath.h. */
#include "models/store/datapath.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *data_path(const char *name) {
  static char path[4200];
  const char *dir = getenv("PRLX_DATA");
  if (dir && *dir) {
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
  }
  char exe[4000];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n > 0) {
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash) {
      *slash = 0;
      snprintf(path, sizeof path, "%s/../data/%s", exe, name);
      if (access(path, R_OK) == 0) return path;
    }
  }
  snprintf(path, sizeof path, "data/%s", name);
  return path;
}
