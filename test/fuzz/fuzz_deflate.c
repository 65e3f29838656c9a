/* fuzz_deflate.c: the compressor and back. The first byte stretches the rest (repeats it, with a
 * byte changed in each turn), so that distances and blocks get long. Slow beside the others: the
 * compressor clears half a megabyte of tables. */
#include "io/formats/gzip.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Error e;
  if (n < 1) return 0;
  const size_t turns = 1 + (data[0] & 15), part = n - 1, size = part * turns;
  uint8_t *in = malloc(size ? size : 1), *z, *back;
  size_t packed, got;
  for (size_t t = 0; t < turns && part; t++) {
    memcpy(in + t * part, data + 1, part);
    in[t * part + t * 7 % part] ^= (uint8_t)(data[0] >> 4);
  }
  FUZZ_HOLDS(gzip_encode(in, size, &z, &packed, &e) == ST_OK);
  FUZZ_HOLDS(packed <= size + 64);
  FUZZ_HOLDS(gzip_decode(z, packed, size, &back, &got, "fuzz", &e) == ST_OK);
  FUZZ_HOLDS(got == size && (!size || memcmp(back, in, size) == 0));
  mem_free(z);
  mem_free(back);
  free(in);
  return 0;
}
