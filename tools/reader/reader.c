/* reader.c: `prlx reader`: a blinded reader study as one HTML page, and its scoring. Section 3.2
 * and Table 1 of the paper. */
#include "tools/reader/reader.h"
#include <stdio.h>
#include <string.h>
#include "tools/cli/tool.h"

int tool_reader(int argc, char **argv) {
  char help[] = "--help", make[] = "make", score[] = "score";
  char *make_help[] = {make, help, NULL}, *score_help[] = {score, help, NULL};
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "make")) return reader_make(argc - 1, argv + 1);
  if (!strcmp(what, "score")) return reader_score(argc - 1, argv + 1);
  if (!strcmp(what, "--help") || !strcmp(what, "-h")) {
    reader_make(2, make_help);
    printf("\n");
    return reader_score(2, score_help);
  }
  return *what ? tool_usage("reader", "'%s' is neither make nor score", what)
               : tool_usage("reader", "make or score is missing");
}
