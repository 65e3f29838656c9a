/* jsonl.h: append-only JSON lines, for metrics and traces. */
#ifndef PRLX_JSONL_H
#define PRLX_JSONL_H
#include "core/base.h"
/* One record = one line, written with a single write(2) and flushed, so that a kill leaves whole
 * lines only (plus at most one torn last line, which jsonl_open cuts off on reopening). */
typedef struct Jsonl {
  int fd; /* -1: closed */
  char *path;
  char *buf; /* the record that has begun: len bytes of cap */
  size_t len;
  size_t cap;
  bool first;  /* no field yet */
  bool failed; /* no memory for this record: jsonl_end says so */
} Jsonl;

/* Opens for appending, creates where there is none. ST_IO: cannot be opened, read or cut. */
Status jsonl_open(Jsonl *j, const char *path, Error *e);

/* Keeps only the lines for which field `key` is a number <= limit (used by --resume so that
 * repeated ticks do not appear twice). No such file is no error; ST_IO, and the file is as it
 * was. */
Status jsonl_truncate_after(const char *path, const char *key, double limit, Error *e);

/* A record: begin, its fields in order, end. Numbers are written as %.9g, NaN and infinity as null;
 * texts are escaped. jsonl_end writes the line: ST_IO, ST_NOMEM. */
void jsonl_begin(Jsonl *j);
void jsonl_num(Jsonl *j, const char *key, double v);
void jsonl_int(Jsonl *j, const char *key, int64_t v);
void jsonl_str(Jsonl *j, const char *key, const char *v);
Status jsonl_end(Jsonl *j, Error *e);

/* Also of a closed one, or after a failed jsonl_open. */
void jsonl_close(Jsonl *j);
#endif
