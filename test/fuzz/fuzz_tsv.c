/* fuzz_tsv.c: arbitrary bytes as a table. */
#include <stdlib.h>
#include <string.h>
#include "io/formats/tsv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Tsv t;
  Error e = {ST_OK, ""};
  if (tsv_parse(data, n, "fuzz", &t, &e) != ST_OK) {
    if (!e.msg[0] || t.cell) abort();
    return 0;
  }
  size_t bytes = 0;
  for (int r = 0; r < t.nrow; r++)
    for (int c = 0; c < t.ncol; c++) {
      const char *cell = tsv_get(&t, r, c);
      if (strpbrk(cell, "\t\n")) abort();
      bytes += strlen(cell);
    }
  if (bytes > n || tsv_column(&t, t.col[t.ncol - 1]) != t.ncol - 1) abort();
  tsv_free(&t);
  return 0;
}
