/* tsv.h: tab-separated tables with a header row (BIDS style, "n/a" for missing). */
#ifndef PRLX_TSV_H
#define PRLX_TSV_H
#include "core/base.h"
typedef struct Tsv { char *path; int ncol, nrow; char **col; char **cell; /* [nrow*ncol] */ void *text; } Tsv;
Status tsv_read(const char *path, Tsv *t, Error *e);           /* unequal columns: error with the row number; UTF-8 BOM and CRLF accepted; 64 MiB at most */
void   tsv_free(Tsv *t);
int    tsv_column(const Tsv *t, const char *name);             /* -1 if absent */
const char *tsv_get(const Tsv *t, int row, int col);           /* "" if col < 0 */
bool   tsv_missing(const char *cell);                          /* "", "n/a", "NA", "nan" */
typedef struct TsvWriter { char *buf; size_t len, cap; bool failed, row_open; } TsvWriter;
void   tsv_cell(TsvWriter *w, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* tabs and newlines are replaced by spaces */
void   tsv_row_end(TsvWriter *w);
Status tsv_commit(TsvWriter *w, const char *path, Error *e);   /* atomic; frees */
#endif
