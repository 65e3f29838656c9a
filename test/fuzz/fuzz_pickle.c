/* fuzz_pickle.c: pickles as such (the first byte says whether TorchScript names are allowed) and as
 * legacy torch streams and StyleGAN2-ADA checkpoints. */
#include "models/store/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Error e;
  Pickle k;
  Import im;
  if (pickle_read(&k, data, n, n & 1, "fuzz", &e) == ST_OK) {
    int64_t i;
    double v;
    pk_number(k.root, &v);
    pk_int(pk_get(k.root, "a"), &i);
    pickle_free(&k);
  }
  if (import_memory(&im, data, n, "fuzz", &e) == ST_OK) {
    volatile uint8_t sum = 0; /* every byte of every tensor is really there */
    for (int t = 0; t < im.ntensor; t++) {
      size_t bytes = (size_t)shape_numel(im.tensor[t].shape) * dtype_size(im.tensor[t].dtype);
      for (size_t b = 0; b < bytes && b < 100000; b++)
        sum = (uint8_t)(sum + ((const uint8_t *)im.tensor[t].data)[b]);
    }
    import_close(&im);
  }
  if (mem_live_count() != 0) __builtin_trap();
  return 0;
}
