/* fuzz_inflate.c: arbitrary bytes through the raw, zlib and gzip decoders; the same bytes through
 * the compressor and back. */
#include <stdlib.h>
#include <string.h>
#include "io/formats/gzip.h"
#include "io/formats/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  enum { CAP = 1 << 16 };
  Error e;
  /* ends of the output at any place */
  size_t got, used, cap = n > 1 ? (size_t)(data[0] | data[1] << 8) : CAP;
  uint8_t *out = malloc(cap ? cap : 1), *z, *back;
  (void)raw_inflate(data, n, out, cap, &got, &used, "fuzz", &e);
  if (got > cap || used > n) abort();
  if (n > 2 && raw_inflate(data + 2, n - 2, out, cap, &got, &used, "fuzz", &e) == ST_OK &&
      used > n - 2)
    abort();
  (void)zlib_inflate(data, n, out, cap, &got, "fuzz", &e);
  if (gzip_peek(data, n, out, cap, &got, "fuzz", &e) == ST_OK && got > cap) abort();
  free(out);
  if (gzip_decode(data, n, 1 << 20, &back, &got, "fuzz", &e) == ST_OK) mem_free(back);
  if (n > 2 && data[2] & 7) return 0; /* the compressor takes longer: one input in eight */
  if (gzip_encode(data, n, &z, &used, &e) != ST_OK ||
      gzip_decode(z, used, n, &back, &got, "fuzz", &e) != ST_OK)
    abort();
  if (got != n || (n && memcmp(back, data, n) != 0) || used > n + 64) abort();
  mem_free(z);
  mem_free(back);
  return 0;
}
