/* test_batch.c: the same bits in any batch and for any number of threads, on the CPU, for every way
 * to convolve. */
#include "core/conv.h"
#include "core/isa.h"
#include "test/batch_run.h"

int main(void) {
  static const int threads[] = {1, 2, 5};
  char what[80];
  for (int i = 0; i < COUNT_OF(threads); i++) {
    threads_set(threads[i]);
    snprintf(what, sizeof what, "CPU (%s), %d threads", isa_name(isa_current()), threads[i]);
    compare_batches(NULL, what);
  }
  threads_stop();
  CHECK(mem_live_count() == 0, "%zu blocks not freed", mem_live_count());
  return test_end();
}
