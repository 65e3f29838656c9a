/* cuda_batch.c: the same bits in any batch through cuda/, in every precision. Linked with the
 * emulated sources (make test-cuda-emu) or with those for a card (make test-gpu).
 * environment: TEST_WGMMA=1|2 convolutions in 16 bits by wgmma (cuda_use_wgmma) */
#include "cuda/device.h"
#include "test/batch_run.h"

int main(int argc, char **argv) {
  const char *missing[64];
  const int n = cuda_missing(missing, 64);
  CHECK(n == 0, "%d operations without a kernel: %s ...", n, n ? missing[0] : "");
  for (Precision p = PREC_STRICT; p <= PREC_BF16; p++) {
    if (argc > 1 && strcmp(argv[1], precision_name(p)) != 0) continue;
    Backend *b = NULL;
    Error e = {0};
    if (cuda_backend_new(0, p, &b, &e) != ST_OK) {
      printf("%s\n", e.msg);
      return 1;
    }
    if (getenv("TEST_WGMMA")) cuda_use_wgmma(b, atoi(getenv("TEST_WGMMA")));
    cuda_use_several(b, 1);
    compare_batches(b, precision_name(p));
    cuda_backend_free(b);
  }
  threads_stop();
  return test_end();
}
