/* fuzz_zip.c: ZIP archives: the directory, every entry, and the archive as a torch file; and, so
 * that checksums do not stop the fuzzer at the door, the bytes as the data.pkl of an archive that
 * is put together here. */
#include "models/store/import.h"
#include "test/import_bytes.h"

static void as_pickle(const uint8_t *data, size_t n) {
  static const float storage[16] = {1, 2, 3, 4, 5, 6, 7, 8};
  ZipItem item[] = {stored("x/data.pkl", data, n), stored("x/data/0", storage, 64),
                    stored("x/data/1", storage, 16), stored("x/constants.pkl", "\x80\x02).", 4)};
  Bytes b = {0};
  Import im;
  Error e;
  make_zip(&b, item, n & 1 ? 4 : 3);
  if (import_memory(&im, b.p, b.n, "fuzz", &e) == ST_OK) import_close(&im);
  bytes_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Error e;
  ZipFile z;
  as_pickle(data, n);
  if (zip_open(&z, data, n, "fuzz", &e) != ST_OK) return 0;
  for (int k = 0; k < z.count; k++) {
    const uint8_t *p;
    void *own;
    volatile uint8_t sum = 0;
    if (zip_read(&z, &z.entry[k], 1 << 20, &p, &own, &e) != ST_OK) continue;
    for (uint64_t i = 0; i < z.entry[k].size; i++) sum = (uint8_t)(sum + p[i]);
    mem_free(own);
  }
  zip_close(&z);
  Import im;
  if (import_memory(&im, data, n, "fuzz", &e) == ST_OK) import_close(&im);
  if (mem_live_count() != 0) __builtin_trap();
  return 0;
}
