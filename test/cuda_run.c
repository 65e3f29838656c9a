/* cuda_run.c: training iterations and a projection through cuda/ against the CPU, in one precision
 * per call: strict (default), tf32, f16, bf16. Linked with the emulated sources (make
 * test-cuda-emu) or with those for a card (make test-gpu). */
#include "cuda/device.h"
#include "test/backend_run.h"

int main(int argc, char **argv) {
  static const char *const name[] = {"strict", "tf32", "f16", "bf16"};
  static const double tol[] = {1e-4, 3e-3, 3e-2, 3e-2};
  /* Gradients of a projection step, of the largest. Measured, emulated, three steps: tf32 up to
   * 0.037, f16 0.085, bf16 0.078. */
  static const double grad[] = {2e-3, 0.06, 0.15, 0.15};
  int pr = 0, iterations = getenv("TEST_LONG") ? 4 : 2, st = getenv("TEST_LONG") ? 3 : 1;
  for (int i = 0; i < 4; i++)
    if (argc > 1 && !strcmp(argv[1], name[i])) pr = i;
  const char *missing[64];
  int n = cuda_missing(missing, 64);
  CHECK(n == 0, "%d operations without a kernel: %s ...", n, n ? missing[0] : "");
  Backend *b = NULL;
  Error e = {0};
  if (cuda_backend_new(0, (Precision)pr, &b, &e) != ST_OK) {
    printf("%s\n", e.msg);
    return 1;
  }
  char text[300];
  cuda_describe(0, text, sizeof text);
  printf("%s, %s\n", text, name[pr]);
  if (argc < 3 || strstr(argv[2], "train")) compare_training(b, iterations, tol[pr]);
  if (argc < 3 || strstr(argv[2], "project")) compare_projection(b, st, 10 * tol[pr], grad[pr]);
  cuda_backend_free(b);
  threads_stop();
  return test_end();
}
