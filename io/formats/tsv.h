/* tsv.h: tab-separated tables with a header row (BIDS style, "n/a" for missing). Messages count
 * rows as a spreadsheet does: the header is row 1. */
#ifndef PRLX_TSV_H
#define PRLX_TSV_H
#include "core/base.h"
typedef struct Tsv {
  char *path;
  int ncol;
  int nrow;
  char **col;
  char **cell; /* [nrow*ncol] */
  void *text;
} Tsv;

/* Unequal columns, repeated or empty column names, zero bytes: error with the row number. UTF-8
 * BOM, CRLF and empty last lines accepted, spaces around a cell left out; 64 MiB at most. */
Status tsv_read(const char *path, Tsv *t, Error *e);

/* the same from memory (copied) */
Status tsv_parse(const uint8_t *text, size_t n, const char *name, Tsv *t, Error *e);
void tsv_free(Tsv *t);
int tsv_column(const Tsv *t, const char *name); /* -1 if absent */

/* row 0 is the first below the header; "" if col < 0 */
const char *tsv_get(const Tsv *t, int row, int col);
bool tsv_missing(const char *cell); /* "", "n/a", "NA", "nan" */

/* start with {0} */
typedef struct TsvWriter {
  char *buf;
  size_t len;
  size_t cap;
  bool failed;
  bool row_open;
} TsvWriter;

/* tabs and newlines are replaced by spaces; "" becomes n/a */
void tsv_cell(TsvWriter *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tsv_row_end(TsvWriter *w);
Status tsv_commit(TsvWriter *w, const char *path, Error *e); /* atomic; frees */
#endif
