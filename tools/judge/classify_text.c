/* classify_text.c: words and numbers of the tables of `prlx classify`. See classify_impl.h. */
#include <math.h>
#include <stdio.h>
#include "tools/judge/classify_impl.h"

const char *classify_class_text(int label) {
  return label == 0 ? "non-rim" : label == 1 ? "rim" : label == 2 ? "ambiguous" : "n/a";
}

const char *classify_number(char buf[16], double v) {
  if (isnan(v)) return "n/a";
  snprintf(buf, 16, "%.4f", v);
  return buf;
}
