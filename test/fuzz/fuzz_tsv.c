/* fuzz_tsv.c: arbitrary bytes as a table; its cells through the writer and back. */
#include "io/formats/tsv.h"
#include "test/fuzz/fuzz.h"

/* The table written from its cells has the same cells; "" is written n/a, a lone
 * carriage return is a space. Not for tables with
 * quotes, within which the reader keeps spaces that it takes away without. */
static void write_and_read(const Tsv *t) {
  TsvWriter w = {0};
  for (int c = 0; c < t->ncol; c++) tsv_cell(&w, "%s", t->col[c]);
  tsv_row_end(&w);
  for (int r = 0; r < t->nrow; r++) {
    for (int c = 0; c < t->ncol; c++) tsv_cell(&w, "%s", tsv_get(t, r, c));
    tsv_row_end(&w);
  }
  FUZZ_HOLDS(!w.failed);
  Tsv back;
  Error e;
  if (tsv_parse((uint8_t *)w.buf, w.len, "fuzz", &back, &e) == ST_OK) {
    FUZZ_HOLDS(back.ncol == t->ncol && back.nrow == t->nrow);
    for (int r = 0; r < t->nrow; r++)
      for (int c = 0; c < t->ncol; c++) {
        const char *a = tsv_get(t, r, c), *b = tsv_get(&back, r, c);
        FUZZ_HOLDS(strcmp(a, b) == 0 || strchr(a, '\r') || (tsv_missing(a) && tsv_missing(b)));
      }
    tsv_free(&back);
  }
  mem_free(w.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Tsv t;
  Error e = {ST_OK, ""};
  if (tsv_parse(data, n, "fuzz", &t, &e) != ST_OK) {
    FUZZ_HOLDS(e.msg[0] && !t.cell);
    return 0;
  }
  size_t bytes = 0;
  for (int r = 0; r < t.nrow; r++)
    for (int c = 0; c < t.ncol; c++) {
      const char *cell = tsv_get(&t, r, c);
      double x;
      FUZZ_HOLDS(!strpbrk(cell, "\t\n"));
      bytes += strlen(cell);
      (void)tsv_number(&t, r, c, &x, &e);
    }
  FUZZ_HOLDS(bytes <= n && tsv_column(&t, t.col[t.ncol - 1]) == t.ncol - 1);
  if (n % 4 == 0 && !memchr(data, '"', n)) write_and_read(&t);
  tsv_free(&t);
  return 0;
}
