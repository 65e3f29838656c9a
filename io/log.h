/* log.h: append-only JSON lines, small file helpers, a JSON reader for headers and metrics. */
#ifndef PRLX_LOG_H
#define PRLX_LOG_H
#include <stdio.h>
#include "core/base.h"
/* One record = one line, written with a single write(2) and flushed, so that a kill leaves whole lines only (plus at most one torn last line,
 * which jsonl_open cuts off on reopening). */
typedef struct Jsonl { int fd; char *path; char *buf; size_t len, cap; bool first, failed; } Jsonl;
Status jsonl_open(Jsonl *j, const char *path, Error *e);
/* Keeps only the lines for which field `key` is a number <= limit (used by --resume so that repeated ticks do not appear twice). */
Status jsonl_truncate_after(const char *path, const char *key, double limit, Error *e);
void   jsonl_begin(Jsonl *j);
void   jsonl_num(Jsonl *j, const char *key, double v);    /* %.9g; NaN and inf become null */
void   jsonl_int(Jsonl *j, const char *key, int64_t v);
void   jsonl_str(Jsonl *j, const char *key, const char *v);
Status jsonl_end(Jsonl *j, Error *e);
void   jsonl_close(Jsonl *j);
Status file_read(const char *path, uint8_t **data, size_t *n, size_t max, Error *e);
Status file_write_atomic(const char *path, const void *data, size_t n, Error *e); /* temporary, fsync, rename */
Status dir_make(const char *path, Error *e);               /* mkdir -p; checks that it can be written */
bool   file_exists(const char *path);
#endif
