/* log.c: JSON lines. */
#include "io/formats/jsonl.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/json.h"
#include "io/formats/number.h"

/* Length of the file up to and including its last newline; -1 on a read error. */
static int64_t whole_lines(int fd, int64_t size) {
  char b[4096];
  while (size > 0) {
    int64_t from = PRLX_MAX(0, size - (int64_t)sizeof b);
    const int64_t k = os_read_at(fd, b, (size_t)(size - from), from);
    if (k <= 0) return -1;
    for (int64_t i = k; i-- > 0;)
      if (b[i] == '\n') return from + i + 1;
    size = from;
  }
  return 0;
}

/* Cuts off a torn last line; what it allocates is in j, for jsonl_close. */
static Status jsonl_prepare(Jsonl *j, const char *path, Error *e) {
  OsInfo st;
  if (os_file_info(j->fd, &st) != 0)
    return err_set(e, ST_IO, "%s: cannot be examined: %s", path, strerror(errno));
  if (st.kind == OS_FILE) {
    const int64_t keep = whole_lines(j->fd, st.bytes);
    if (keep < 0) return err_set(e, ST_IO, "%s: reading failed: %s", path, strerror(errno));
    if (keep < st.bytes && os_set_size(j->fd, keep) != 0)
      return err_set(e, ST_IO, "%s: torn last line cannot be cut off: %s", path, strerror(errno));
  }
  j->path = mem_strdup(path);
  j->buf = mem_alloc(j->cap = 1024);
  return j->path && j->buf ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", path);
}

Status jsonl_open(Jsonl *j, const char *path, Error *e) {
  memset(j, 0, sizeof *j);
  j->fd = os_open(path, OS_APPEND);
  if (j->fd < 0)
    return err_set(e, ST_IO, "%s: cannot be opened for appending: %s", path, strerror(errno));
  const Status s = jsonl_prepare(j, path, e);
  if (s != ST_OK) jsonl_close(j);
  return s;
}

void jsonl_close(Jsonl *j) {
  if (j->fd >= 0) os_close(j->fd);
  mem_free(j->path);
  mem_free(j->buf);
  memset(j, 0, sizeof *j);
  j->fd = -1;
}

static void line_put(Jsonl *j, const char *s, size_t n) {
  if (j->failed) return;
  if (j->len + n > j->cap) {
    size_t cap = (j->len + n) * 2;
    char *p = mem_grow(j->buf, j->len, cap);
    if (!p) {
      j->failed = true;
      return;
    }
    j->buf = p;
    j->cap = cap;
  }
  memcpy(j->buf + j->len, s, n);
  j->len += n;
}

static void line_quoted(Jsonl *j, const char *s) {
  line_put(j, "\"", 1);
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    char b[8];
    if (c == '"' || c == '\\') {
      b[0] = '\\';
      b[1] = (char)c;
      line_put(j, b, 2);
    } else if (c < 0x20)
      line_put(j, b, (size_t)snprintf(b, sizeof b, "\\u%04x", c));
    else
      line_put(j, s, 1);
  }
  line_put(j, "\"", 1);
}

static void key_of(Jsonl *j, const char *key) {
  if (!j->first) line_put(j, ",", 1);
  j->first = false;
  line_quoted(j, key);
  line_put(j, ":", 1);
}

void jsonl_begin(Jsonl *j) {
  j->len = 0;
  j->first = true;
  j->failed = false;
  line_put(j, "{", 1);
}

void jsonl_num(Jsonl *j, const char *key, double v) {
  char b[NUMBER_TEXT];
  key_of(j, key);
  if (isfinite(v)) number_write(b, "%.9g", v);
  const char *text = isfinite(v) ? b : "null";
  line_put(j, text, strlen(text));
}

void jsonl_int(Jsonl *j, const char *key, int64_t v) {
  char b[32];
  key_of(j, key);
  line_put(j, b, (size_t)snprintf(b, sizeof b, "%lld", (long long)v));
}

void jsonl_str(Jsonl *j, const char *key, const char *v) {
  key_of(j, key);
  line_quoted(j, v);
}

Status jsonl_end(Jsonl *j, Error *e) {
  line_put(j, "}\n", 2);
  if (j->failed) return err_set(e, ST_NOMEM, "%s: out of memory for a log line", j->path);
  const int64_t k = os_write(j->fd, j->buf, j->len);
  if (k == (int64_t)j->len) return ST_OK;
  Status s = err_set(e, ST_IO, "%s: writing failed: %s; check free space", j->path,
                     k < 0 ? strerror(errno) : "line written in part only");
  OsInfo st;
  /* the next line must not join a torn one */
  if (k > 0 && os_file_info(j->fd, &st) == 0 && st.kind == OS_FILE)
    (void)!os_set_size(j->fd, st.bytes - k);
  return s;
}

Status jsonl_truncate_after(const char *path, const char *key, double limit, Error *e) {
  uint8_t *text;
  size_t n, out = 0;
  if (!file_exists(path)) return ST_OK;
  TRY(file_read(path, &text, &n, (size_t)1 << 30, e));
  for (size_t a = 0; a < n;) {
    uint8_t *nl = memchr(text + a, '\n', n - a);
    if (!nl) break; /* torn line */
    size_t len = (size_t)(nl - text) - a;
    double v;
    if (json_object_number((char *)text + a, len, key, &v) && v <= limit) {
      memmove(text + out, text + a, len + 1);
      out += len + 1;
    }
    a += len + 1;
  }
  const Status s = out != n ? file_write_atomic(path, text, out, e) : ST_OK;
  mem_free(text);
  return s;
}
