/* fuzz_inflate.c: arbitrary bytes through one of the decoders; the first byte says which: raw,
 * zlib, gzip whole, gzip's beginning. The next two say where the output ends. */
#include "io/formats/gzip.h"
#include "io/formats/inflate.h"
#include "test/fuzz/fuzz.h"

enum { CAP = 1 << 14 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static uint8_t room[CAP];
  Error e;
  size_t got, used;
  if (n < 3) return 0;
  const int way = data[0] & 3;
  const size_t cap = (data[1] | (size_t)data[2] << 8) % (CAP + 1);
  uint8_t *out = room + CAP - cap; /* ends where the array ends: one byte more is found */
  data += 3;
  n -= 3;
  if (way == 0) {
    (void)raw_inflate(data, n, out, cap, &got, &used, "fuzz", &e);
    FUZZ_HOLDS(got <= cap && used <= n);
  } else if (way == 1) {
    (void)zlib_inflate(data, n, out, cap, &got, "fuzz", &e);
    FUZZ_HOLDS(got <= cap);
  } else if (way == 2) {
    uint8_t *whole;
    if (gzip_decode(data, n, cap, &whole, &got, "fuzz", &e) != ST_OK) return 0;
    FUZZ_HOLDS(got <= cap);
    mem_free(whole);
  } else if (gzip_peek(data, n, out, cap, &got, "fuzz", &e) == ST_OK)
    FUZZ_HOLDS(got <= cap);
  return 0;
}
