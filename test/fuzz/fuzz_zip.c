/* fuzz_zip.c: ZIP archives: the directory and every entry. What torch makes of them: fuzz_torch.c.
 */
#include "io/formats/zip.h"
#include "test/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Error e;
  ZipFile z;
  if (zip_open(&z, data, n, "fuzz", &e) != ST_OK) return 0;
  for (int k = 0; k < z.count; k++) {
    const uint8_t *p;
    void *own;
    volatile uint8_t sum = 0;
    if (zip_read(&z, &z.entry[k], 1 << 16, &p, &own, &e) != ST_OK) continue;
    for (uint64_t i = 0; i < z.entry[k].size; i++) sum = (uint8_t)(sum + p[i]);
    mem_free(own);
  }
  zip_close(&z);
  FUZZ_HOLDS(mem_live_count() == 0);
  return 0;
}
