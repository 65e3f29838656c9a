/* text.c: see text.h. */
#include "io/formats/text.h"
#include <stdlib.h>
#include "core/os.h"
#include "io/formats/file.h"

Status text_begin(TextFile *t, const char *what, Error *e) {
  *t = (TextFile){0};
  t->stream = os_stream_open(&t->text, &t->bytes);
  return t->stream ? ST_OK : err_set(e, ST_NOMEM, "%s: out of memory", what);
}

/* A stream that ran out of memory says so when written to, when flushed, or when closed. */
static Status text_end(TextFile *t, const char *what, Error *e) {
  const bool failed = ferror(t->stream) != 0;
  const bool closed = os_stream_close(t->stream, &t->text, &t->bytes) == 0;
  t->stream = NULL;
  if (!failed && closed && t->text) return ST_OK;
  text_abort(t);
  return err_set(e, ST_NOMEM, "%s: out of memory for the text; nothing written", what);
}

Status text_commit(TextFile *t, const char *path, Error *e) {
  TRY(text_end(t, path, e));
  const Status s = file_write_atomic(path, t->text, t->bytes, e);
  text_abort(t);
  return s;
}

Status text_take(TextFile *t, const char *what, char **text, size_t *bytes, Error *e) {
  *text = NULL;
  TRY(text_end(t, what, e));
  *text = t->text;
  if (bytes) *bytes = t->bytes;
  *t = (TextFile){0};
  return ST_OK;
}

void text_abort(TextFile *t) {
  if (t->stream) os_stream_close(t->stream, &t->text, &t->bytes);
  free(t->text);
  *t = (TextFile){0};
}
