/* cuda_selftest.c: the self-test of the backend (cuda/selftest.cu) as `prlx check` runs it, in tf32
 * and f16 (TEST_LONG=1: in every precision): all kernels agree with their definitions. With an
 * argument REFUSED the sources have a planted fault (test/cuda_mutants.sh): the self-test must
 * refuse kernels of these kinds only, say so, and a training on what takes their place must still
 * be right.
 * usage: cuda_selftest [REFUSED]      e.g. cuda_selftest "convolution, input gradient" */
#include "core/threads.h"
#include "cuda/device.h"
#include "test/backend_run.h"

static void selftest(Precision p, const char *refused) {
  CudaTested t[CUDA_TESTED_MAX];
  Backend *b = NULL;
  Error e = {0};
  int n = 0, found = 0;
  CHECK(cuda_backend_new(0, p, &b, &e) == ST_OK, "backend: %s", e.msg);
  if (!b) return;
  /* the last of them: channels last, of 16-bit maps */
  const int kinds = CUDA_TESTED_MAX - (p == PREC_STRICT || p == PREC_TF32);
  CHECK(cuda_selftest(b, t, &n, &e) == ST_OK && n == kinds, "%s: %s", precision_name(p), e.msg);
  for (int k = 0; k < n; k++) {
    const bool faulty = refused && strstr(refused, t[k].kind) != NULL;
    found += t[k].rung > 0;
    CHECK(t[k].cases > 0 && t[k].worst <= 1, "%s, %s: %d cases, worst %g of the bound",
          precision_name(p), t[k].kind, t[k].cases, t[k].worst);
    if (!faulty)
      CHECK(t[k].rung == 0, "%s, %s: rung %d: %s", precision_name(p), t[k].kind, t[k].rung,
            t[k].text);
    if (t[k].rung > 0)
      printf("%s, %s: refused (%s), rung %d\n", precision_name(p), t[k].kind, t[k].text, t[k].rung);
  }
  if (refused && p == PREC_F16) {
    CHECK(found > 0, "the planted fault in %s was not found", refused);
    compare_training(b, 2, 3e-2);
    compare_projection(b, 1, 0.3, 0.15);
  }
  cuda_backend_free(b);
}

int main(int argc, char **argv) {
  threads_set(1);
  for (int p = 0; p < 4; p++) {
    const bool quick = p == PREC_F16 || (p == PREC_TF32 && argc < 2);
    if (quick || (argc < 2 && getenv("TEST_LONG")))
      selftest((Precision)p, argc > 1 ? argv[1] : NULL);
  }
  threads_stop();
  return test_end();
}
