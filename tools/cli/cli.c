/* cli.c: what every command uses to end: messages, usage, the flag that Ctrl-C sets, bundled files.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "io/formats/path.h"
#include "io/images/cohort.h"
#include "tools/cli/tool.h"

volatile sig_atomic_t tool_interrupted;
bool tool_quiet;

int tool_fail(const char *cmd, const Error *e) {
  Error line = *e;
  if (!line.msg[0]) snprintf(line.msg, sizeof line.msg, "failed without a message");
  fprintf(stderr, "prlx %s: %s\n", cmd, str_plain(line.msg));
  return EXIT_FAILED;
}

int tool_no_memory(const char *cmd) {
  fprintf(stderr, "prlx %s: out of memory; free memory and try again\n", cmd);
  return EXIT_FAILED;
}

void tool_note_readers(const char *cmd, const Tsv *t) {
  char names[200];
  const int n = cohort_more_readers(t, names);
  if (n)
    fprintf(stderr,
            "prlx %s: note: %s: %s %s not used: rim, ambiguous and non-rim are what reader1 and "
            "reader2 say; where the majority or a third reader decides, write that decision into "
            "both columns\n",
            cmd, t->path, names, n == 1 ? "is" : "are");
}

int tool_usage(const char *cmd, const char *fmt, ...) {
  char text[1200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  const size_t n = strlen(str_plain(text));
  fprintf(stderr, "prlx %s: %s%s see 'prlx help %s'\n", cmd, text,
          n && text[n - 1] == '?' ? "" : ";", cmd);
  return EXIT_USAGE;
}
