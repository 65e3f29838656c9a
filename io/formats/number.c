/* number.c: see number.h */
#include "io/formats/number.h"
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *point_of_locale(void) {
  const struct lconv *l = localeconv();
  return l && l->decimal_point && l->decimal_point[0] ? l->decimal_point : ".";
}

double number_read(const char *text, char **end) {
  const char *point = point_of_locale();
  const size_t wide = strlen(point);
  char copy[128 + 16], *stop;
  size_t n = 0, at = 0, dot = SIZE_MAX;
  if (!strcmp(point, ".") || wide > 16) return strtod(text, end);
  /* the first point becomes that of the locale; where that one stands, a number ends */
  while (at < 127 && text[at] && strncmp(text + at, point, wide) != 0) {
    if (text[at] != '.') {
      copy[n++] = text[at++];
      continue;
    }
    if (dot != SIZE_MAX) break;
    dot = at++;
    memcpy(copy + n, point, wide);
    n += wide;
  }
  copy[n] = 0;
  const double v = strtod(copy, &stop);
  size_t used = (size_t)(stop - copy);
  if (used > dot) used -= wide - 1;
  if (end) *end = (char *)(uintptr_t)(text + used);
  return v;
}

char *number_write(char out[NUMBER_TEXT], const char *format, double v) {
  const char *point = point_of_locale();
  const size_t wide = strlen(point);
  char *at;
  snprintf(out, NUMBER_TEXT, format, v);
  if (strcmp(point, ".") != 0 && (at = strstr(out, point))) {
    *at = '.';
    memmove(at + 1, at + wide, strlen(at + wide) + 1);
  }
  return out;
}
