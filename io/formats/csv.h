/* csv.h: comma-separated tables, RFC 4180: quotes, CRLF and a byte order mark are understood, and
 * semicolons or tabs in place of commas where the header has them. Empty lines do not count. At
 * most 64 columns and 16 MiB. */
#ifndef PRLX_CSV_H
#define PRLX_CSV_H
#include "core/base.h"

/* cell[row * ncol + col]; in messages the header is row 1. Zero-initialised is empty. */
typedef struct Csv {
  char *path;
  const char *wanted; /* what was expected, for messages */
  char *text;
  char separator; /* of the cells: that of the header */
  char **col;
  char **cell;
  int *line; /* [nrow] where the row stands in the file, empty lines counted: for messages */
  int ncol;
  int nrow;
} Csv;

/* `wanted` says in messages what the file should have been ("a file exported by ..."); it is kept
 * by
 * reference. ST_IO, ST_FORMAT with the row, ST_NOMEM; c is empty then. Free with csv_free. */
Status csv_read(const char *path, const char *wanted, Csv *c, Error *e);
void csv_free(Csv *c);

/* Number of a column; -1: absent. */
int csv_column(const Csv *c, const char *name);
#endif
