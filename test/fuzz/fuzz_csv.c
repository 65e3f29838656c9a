/* fuzz_csv.c: arbitrary bytes as the answers of a reader. */
#include "io/formats/csv.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Csv c;
  Error e = {ST_OK, ""};
  if (csv_read(fuzz_file(data, n), "answers", &c, &e) != ST_OK) {
    FUZZ_HOLDS(e.msg[0]);
    return 0;
  }
  size_t bytes = 0;
  for (int i = 0; i < c.nrow * c.ncol; i++) bytes += strlen(c.cell[i]);
  FUZZ_HOLDS(bytes <= n && c.ncol >= 1 && csv_column(&c, c.col[0]) == 0);
  csv_free(&c);
  return 0;
}
