/* fuzz_torch.c: files of torch: the bytes as an archive as they are; or, with a first byte of 1 or
 * 2, so that checksums do not stop the fuzzer at the door, as the data.pkl of an archive that is
 * put together here (with and without the constants of a script). What is understood is written as
 * .safetensors and read again. */
#include "models/store/import.h"
#include "test/fuzz/fuzz.h"
#include "test/import_bytes.h"

/* Every tensor that was imported is in the file, the same bytes. */
static void round_trip(const Import *im) {
  const char *path = fuzz_path(".safetensors");
  Error e;
  StFile f;
  if (import_write(im, path, &e) != ST_OK) return;
  FUZZ_HOLDS(st_open(&f, path, &e) == ST_OK);
  FUZZ_HOLDS(f.ntensor == im->ntensor);
  for (int k = 0; k < im->ntensor; k++) {
    const StTensor *t = st_find(&f, im->tensor[k].name);
    FUZZ_HOLDS(t && t->dtype == im->tensor[k].dtype && shape_eq(t->shape, im->tensor[k].shape));
    FUZZ_HOLDS(!t->bytes || memcmp(t->data, im->tensor[k].data, t->bytes) == 0);
  }
  st_close(&f);
  unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static const float storage[16] = {1, 2, 3, 4, 5, 6, 7, 8};
  Bytes b = {0};
  Import im;
  Error e;
  if (n && data[0] > 0 && data[0] < 3) {
    ZipItem item[] = {stored("x/data.pkl", data + 1, n - 1), stored("x/data/0", storage, 64),
                      stored("x/data/1", storage, 16), stored("x/constants.pkl", "\x80\x02).", 4)};
    make_zip(&b, item, data[0] + 2);
    data = b.p;
    n = b.n;
  }
  if (import_memory(&im, data, n, "fuzz", &e) == ST_OK) {
    if (n % 8 == 0) round_trip(&im);
    import_close(&im);
  }
  bytes_free(&b);
  FUZZ_HOLDS(mem_live_count() == 0);
  return 0;
}
