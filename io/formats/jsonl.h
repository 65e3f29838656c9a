/* jsonl.h: append-only JSON lines, for metrics and traces. */
#ifndef PRLX_JSONL_H
#define PRLX_JSONL_H
#include "core/base.h"
/* One record = one line, written with a single write(2) and flushed, so that a kill leaves whole
 * lines only (plus at most one torn last line, which jsonl_open cuts off on reopening). */
typedef struct Jsonl {
  int fd;
  char *path;
  char *buf;
  size_t len;
  size_t cap;
  bool first;
  bool failed;
} Jsonl;
Status jsonl_open(Jsonl *j, const char *path, Error *e);

/* Keeps only the lines for which field `key` is a number <= limit (used by --resume so that
 * repeated ticks do not appear twice). */
Status jsonl_truncate_after(const char *path, const char *key, double limit, Error *e);
void jsonl_begin(Jsonl *j);
void jsonl_num(Jsonl *j, const char *key, double v); /* %.9g; NaN and inf become null */
void jsonl_int(Jsonl *j, const char *key, int64_t v);
void jsonl_str(Jsonl *j, const char *key, const char *v);
Status jsonl_end(Jsonl *j, Error *e);
void jsonl_close(Jsonl *j);
#endif
