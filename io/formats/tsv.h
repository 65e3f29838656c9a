/* tsv.h: tab-separated tables with a header row (BIDS style, "n/a" for missing). Messages count
 * rows as a spreadsheet does: the header is row 1. */
#ifndef PRLX_TSV_H
#define PRLX_TSV_H
#include "core/base.h"
typedef struct Tsv {
  char *path;
  int ncol;
  int nrow;    /* below the header */
  char **col;  /* [ncol] names */
  char **cell; /* [nrow,ncol] */
  int *line;   /* [nrow] where the row stands in the file; see tsv_line */
  void *text;  /* what names and cells point into */
} Tsv;

/* UTF-8 BOM, CRLF, CR alone and empty lines anywhere accepted, blanks (also those that do not
 * break or have no width) and double quotes around a cell left out; 64 MiB at most. ST_IO:
 * cannot be read; ST_FORMAT with the row's number: unequal columns, repeated or empty column
 * names, another separator, zero bytes, other text than UTF-8. tsv_free(t); after an error t is
 * empty. */
Status tsv_read(const char *path, Tsv *t, Error *e);

/* The same from memory (copied); `name` is for messages. */
Status tsv_parse(const uint8_t *text, size_t n, const char *name, Tsv *t, Error *e);

/* Also of an empty one. */
void tsv_free(Tsv *t);

/* Index of the column, -1 if absent. */
int tsv_column(const Tsv *t, const char *name);

/* The first column of this name but for case, blanks, - and _; -1: none. */
int tsv_column_like(const Tsv *t, const char *name);

/* The cell, owned by t; row 0 is the first below the header. "" outside the table (col -1). */
const char *tsv_get(const Tsv *t, int row, int col);

/* The row's number in the file, the header being row 1 and empty lines counted, as a spreadsheet
 * counts: for messages. 0 outside the table. */
int tsv_line(const Tsv *t, int row);

/* Whether a cell says that there is nothing: "", "n/a", "NA", "nan", "None", "NULL". */
bool tsv_missing(const char *cell);

/* 1 or 0 where the cell says so, also as spreadsheets do (1.0, 0.00); -1: something else. */
int tsv_flag(const char *cell);

/* The number in a cell; NaN where nothing stands (tsv_missing). ST_FORMAT with file, row and column
 * when something else than a number stands there, infinity among it. */
Status tsv_number(const Tsv *t, int row, int col, double *out, Error *e);

/* Start with {0}. Out of memory is remembered and told by tsv_commit. */
typedef struct TsvWriter {
  char *buf; /* the text so far: len bytes of cap */
  size_t len;
  size_t cap;
  bool failed;
  bool row_open; /* the row has a cell */
} TsvWriter;

/* The next cell of the row, as printf makes it: tabs and newlines are replaced by spaces; ""
 * becomes n/a. tsv_row_end ends the row. */
void tsv_cell(TsvWriter *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tsv_row_end(TsvWriter *w);

/* Writes the file whole or not at all (ST_IO, ST_NOMEM) and frees w in any case. */
Status tsv_commit(TsvWriter *w, const char *path, Error *e);
#endif
