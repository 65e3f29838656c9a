/* reader.h: the parts of `prlx reader`. make: data sets -> page and key; score: key and answers ->
 * tables. Inside tools/reader*.c only. */
#ifndef PRLX_READER_H
#define PRLX_READER_H
#include "core/base.h"
extern const char reader_page[], reader_script[];
int reader_make(int argc, char **argv);  /* argv[0] = "make"; exit code */
int reader_score(int argc, char **argv); /* argv[0] = "score" */

/* Comma-separated table, RFC 4180: quotes, CRLF and a byte order mark are understood. cell[row*ncol
 * + col]; the header is row 1 in messages. */
typedef struct Csv {
  char *path;
  char *text;
  char **col;
  char **cell;
  int ncol;
  int nrow;
} Csv;
Status csv_read(const char *path, Csv *c, Error *e);
void csv_free(Csv *c);
int csv_column(const Csv *c, const char *name); /* -1: absent */
#endif
