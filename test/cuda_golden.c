/* cuda_golden.c: linked into the golden runner, it makes every golden case run on the CUDA backend
 * (emulated or on a card), in strict float arithmetic: the tolerances stay those of the files. */
#include <stdio.h>
#include <stdlib.h>
#include "cuda/device.h"
#include "test/golden.h"

static Backend *device; /* made at the first question, freed by main */
Backend *golden_backend(void) {
  Error e = {0};
  if (!device && cuda_backend_new(0, PREC_STRICT, &device, &e) != ST_OK) {
    fprintf(stderr, "golden: %s\n", e.msg);
    exit(1);
  }
  cuda_use_several(device, 1);
  return device;
}

void golden_backend_free(void) {
  cuda_backend_free(device);
  device = NULL;
}
