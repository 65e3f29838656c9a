/* cli.c: what every command uses to end: messages, usage, the flag that Ctrl-C sets, bundled files. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools/cli/tool.h"

volatile sig_atomic_t tool_interrupted;
bool tool_quiet;

int tool_fail(const char *cmd, const Error *e) {
  fprintf(stderr, "prlx %s: %s\n", cmd, e->msg[0] ? e->msg : "failed without a message");
  return EXIT_FAILED;
}

int tool_usage(const char *cmd, const char *fmt, ...) {
  char text[1200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  size_t n = strlen(text);
  fprintf(stderr, "prlx %s: %s%s see 'prlx help %s'\n", cmd, text, n && text[n - 1] == '?' ? "" : ";", cmd);
  return EXIT_USAGE;
}

const char *tool_data_path(const char *name) {
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
