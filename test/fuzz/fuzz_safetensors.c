/* fuzz_safetensors.c: arbitrary bytes as a .safetensors file. st_open maps a file, so the bytes go
 * into an anonymous one in memory. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "io/images/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static int fd = -1;
  static char path[64];
  if (fd < 0) {
    fd = memfd_create("fuzz", 0);
    if (fd < 0) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  }
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, n, 0) != (ssize_t)n) abort();
  StFile f;
  Error e = {ST_OK, ""};
  if (st_open(&f, path, &e) == ST_OK) {
    for (int i = 0; i < f.ntensor; i++) {
      int64_t k = shape_numel(f.tensor[i].shape);
      if (k < 0 || (size_t)k * dtype_size(f.tensor[i].dtype) != f.tensor[i].bytes ||
          f.tensor[i].bytes > n)
        abort();
      float *x = malloc(sizeof *x * (size_t)k + 1);
      double *y = malloc(sizeof *y * (size_t)k + 1);
      st_to_f32(&f.tensor[i], x);
      st_to_f64(&f.tensor[i], y);
      free(x);
      free(y);
      if (!st_find(&f, f.tensor[i].name)) abort();
    }
    st_close(&f);
  } else if (!e.msg[0])
    abort();
  Dataset d;
  if (dataset_open(&d, path, &e) == ST_OK) dataset_free(&d);
  return 0;
}
