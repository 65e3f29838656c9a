/* text.h: a text made with fprintf in memory and then written whole: a table, a page, a list. What
 * could not be held in memory is noticed and never written in part. */
#ifndef PRLX_TEXT_H
#define PRLX_TEXT_H
#include <stdio.h>
#include "core/base.h"

/* Write to stream; the rest is text.c's. Zero-initialised means nothing begun. */
typedef struct TextFile {
  FILE *stream;
  char *text;
  size_t bytes;
} TextFile;

/* ST_NOMEM names `what`, e.g. the file that it is to become. */
Status text_begin(TextFile *t, const char *what, Error *e);

/* Ends the text and writes it to path as a whole or not at all; t is empty afterwards, also after
 * an error (ST_NOMEM: the text did not fit into memory; ST_IO). */
Status text_commit(TextFile *t, const char *path, Error *e);

/* Ends the text and hands it over: *text ends with a zero byte that `bytes` (may be NULL) does not
 * count; the caller frees it with free(). */
Status text_take(TextFile *t, const char *what, char **text, size_t *bytes, Error *e);

/* Drops it; does nothing after text_commit or text_take. */
void text_abort(TextFile *t);
#endif
