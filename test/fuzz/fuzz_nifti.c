/* fuzz_nifti.c: headers and voxels from arbitrary bytes, plain, gzip and as both halves of a pair;
 * what opens is written and read again. */
#include <math.h>
#include "io/formats/nifti.h"
#include "test/fuzz/fuzz.h"

/* Written as it came and read again: the same voxels bit for bit (NaN is NaN), the same place. */
static void write_and_read(const Nifti *v) {
  const char *path = fuzz_path(".nii");
  Nifti back;
  Error e;
  if (nifti_write_like(path, v->data, &v->head, &e) != ST_OK) return;
  FUZZ_HOLDS(nifti_read(path, &back, &e) == ST_OK);
  FUZZ_HOLDS(back.nvox == v->nvox);
  for (int64_t i = 0; i < v->nvox; i++)
    FUZZ_HOLDS(back.data[i] == v->data[i] || (isnan(back.data[i]) && isnan(v->data[i])));
  for (int i = 0; i < 16; i++) FUZZ_HOLDS(isfinite(back.head.affine[i]));
  nifti_free(&back);
  unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  Nifti v;
  Error e = {ST_OK, ""};
  double inv[16];
  char o[4];
  (void)nifti_is(data, n);
  if (nifti_decode(data, n, data, n, "fuzz", &v, &e) != ST_OK) {
    FUZZ_HOLDS(e.msg[0] && !v.data);
    return 0;
  }
  FUZZ_HOLDS(v.nvox >= 1 && v.nvox == v.head.nvox);
  for (int i = 0; i < 16; i++) FUZZ_HOLDS(isfinite(v.head.affine[i]));
  nifti_orientation(&v.head, o);
  (void)affine_invert(v.head.affine, inv, &e);
  if (n % 8 == 0) write_and_read(&v);
  nifti_free(&v);
  return 0;
}
