/* compare.c: two .safetensors that two machines wrote: the same tensors, integers equal, real
 * numbers apart by at most TOLERANCE of the largest of their tensor.
 * usage: compare TOLERANCE A B [TENSOR...] (without names: all) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/safetensors.h"

static bool is_real(DType t) { return t == DT_F32 || t == DT_F64 || t == DT_F16 || t == DT_BF16; }

/* The largest difference, relative to the largest value; infinity where they cannot be compared. */
static double tensor_apart(const StTensor *a, const StTensor *b) {
  const int64_t n = shape_numel(a->shape);
  if (a->dtype != b->dtype || !shape_eq(a->shape, b->shape)) return INFINITY;
  if (!is_real(a->dtype)) return memcmp(a->data, b->data, a->bytes) ? INFINITY : 0;
  double *x = mem_alloc((size_t)n * sizeof *x), *y = mem_alloc((size_t)n * sizeof *y);
  double most = 0, apart = 0;
  if (!x || !y) return INFINITY;
  st_to_f64(a, x);
  st_to_f64(b, y);
  for (int64_t i = 0; i < n; i++) {
    most = fmax(most, fabs(x[i]));
    apart = fmax(apart, isnan(x[i] - y[i]) ? INFINITY : fabs(x[i] - y[i]));
  }
  mem_free(x);
  mem_free(y);
  return apart ? apart / most : 0;
}

static bool is_wanted(const char *name, int n, char **names) {
  for (int i = 0; i < n; i++)
    if (!strcmp(names[i], name)) return true;
  return !n;
}

int main(int argc, char **argv) {
  StFile a, b;
  Error e;
  if (argc < 4 || st_open(&a, argv[2], &e) != ST_OK || st_open(&b, argv[3], &e) != ST_OK) {
    fprintf(stderr, "compare: %s\n", argc < 4 ? "compare TOLERANCE A B [TENSOR...]" : e.msg);
    return 2;
  }
  double worst = a.ntensor == b.ntensor ? 0 : INFINITY;
  const char *where = "number of tensors";
  for (int i = 0; i < a.ntensor; i++) {
    const StTensor *x = &a.tensor[i], *y = st_find(&b, x->name);
    if (!is_wanted(x->name, argc - 4, argv + 4)) continue;
    const double d = y ? tensor_apart(x, y) : INFINITY;
    if (d <= worst) continue;
    worst = d;
    where = x->name;
  }
  const bool good = worst <= atof(argv[1]);
  if (!good)
    printf("%s and %s: %s: apart by %.2g of the largest\n", argv[2], argv[3], where, worst);
  st_close(&a);
  st_close(&b);
  return !good;
}
