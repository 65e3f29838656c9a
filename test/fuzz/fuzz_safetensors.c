/* fuzz_safetensors.c: arbitrary bytes as a .safetensors file; what opens is written and read
 * again. */
#include "io/formats/safetensors.h"
#include "io/images/dataset.h"
#include "test/fuzz/fuzz.h"

static void write_and_read(const StFile *f) {
  const char *path = fuzz_path(".any.safetensors");
  StWriter *w;
  StFile back;
  Error e;
  FUZZ_HOLDS(st_writer_new(&w, &e) == ST_OK);
  for (int i = 0; i < f->ntensor; i++) {
    const StTensor *t = &f->tensor[i];
    FUZZ_HOLDS(st_add(w, t->name, t->dtype, t->shape, t->data, &e) == ST_OK);
  }
  for (int i = 0; i < f->nmeta; i++)
    FUZZ_HOLDS(st_add_meta(w, f->meta[i].key, f->meta[i].value, &e) == ST_OK);
  bool found;
  FUZZ_HOLDS(st_add_checksums(w, &e) == ST_OK && st_commit(w, path, &e) == ST_OK);
  FUZZ_HOLDS(st_open(&back, path, &e) == ST_OK);
  FUZZ_HOLDS(st_verify(&back, &found, &e) == ST_OK && found && back.ntensor == f->ntensor);
  for (int i = 0; i < f->ntensor; i++) {
    const StTensor *t = &f->tensor[i], *b = st_find(&back, t->name);
    FUZZ_HOLDS(b && b->dtype == t->dtype && shape_eq(b->shape, t->shape));
    FUZZ_HOLDS(!t->bytes || memcmp(b->data, t->data, t->bytes) == 0);
  }
  st_close(&back);
  unlink(path);
}

static void read_tensor(const StFile *f, const StTensor *t, size_t n) {
  const int64_t k = shape_numel(t->shape);
  FUZZ_HOLDS(k >= 0 && (size_t)k * dtype_size(t->dtype) == t->bytes && t->bytes <= n);
  float *x = malloc(sizeof *x * (size_t)k + 1);
  double *y = malloc(sizeof *y * (size_t)k + 1);
  st_to_f32(t, x);
  st_to_f64(t, y);
  free(x);
  free(y);
  FUZZ_HOLDS(st_find(f, t->name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  const char *path = fuzz_file(data, n);
  StFile f;
  Error e = {ST_OK, ""};
  if (st_open(&f, path, &e) == ST_OK) {
    for (int i = 0; i < f.ntensor; i++) read_tensor(&f, &f.tensor[i], n);
    (void)st_verify(&f, NULL, &e);
    if (n % 16 == 0) write_and_read(&f);
    st_close(&f);
  } else
    FUZZ_HOLDS(e.msg[0]);
  Dataset d;
  if (dataset_open(&d, path, &e) == ST_OK) dataset_free(&d);
  return 0;
}
