/* path.c: see path.h. */
#include "io/formats/path.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

Status path_format(char out[PATH_LEN], Error *e, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  const int n = vsnprintf(out, PATH_LEN, fmt, ap);
  va_end(ap);
  if (n >= 0 && n < PATH_LEN) return ST_OK;
  err_set(e, ST_INVALID, "%.200s...: a path of %d bytes; expected at most %d; use shorter names",
          n < 0 ? "" : out, n, PATH_LEN - 1);
  out[0] = 0;
  return ST_INVALID;
}

Status path_join(char out[PATH_LEN], const char *dir, const char *name, Error *e) {
  return path_format(out, e, "%s/%s", dir, name);
}

const char *path_base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

bool str_ends_with(const char *s, const char *tail) {
  const size_t n = strlen(s), m = strlen(tail);
  return n >= m && !strcmp(s + n - m, tail);
}

bool path_has_ending(const char *path, const char *ending) {
  const size_t n = strlen(path), m = strlen(ending);
  return n > m && !strcasecmp(path + n - m, ending);
}

/* Bytes of the UTF-8 character at s; 0: none that a terminal should see. Overlong forms and
 * surrogates begin with bytes that are refused or are harmless to print. */
static size_t utf8_length(const unsigned char *s) {
  if (*s < 0x80) return *s >= 0x20 && *s != 0x7f;
  const size_t n = *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;
  if (*s < 0xc2) return 0;
  for (size_t k = 1; k < n; k++)
    if ((s[k] & 0xc0) != 0x80) return 0;
  /* U+0080 to U+009F are control characters of old terminals */
  return *s == 0xc2 && s[1] < 0xa0 ? 0 : n;
}

const char *str_shown(const char *s, char buf[80]) {
  size_t at = 0;
  while (*s) {
    const size_t n = utf8_length((const unsigned char *)s), take = n ? n : 1;
    if (at + take > 76) {
      memcpy(buf + at, "...", 4);
      return buf;
    }
    if (n)
      memcpy(buf + at, s, n);
    else
      buf[at] = '?';
    at += take;
    s += take;
  }
  buf[at] = 0;
  return buf;
}

char *str_plain(char *s) {
  for (char *p = s; *p; p++) {
    const uint8_t c = (uint8_t)*p, next = (uint8_t)p[1];
    if (c < 32 || c == 127) *p = '?';
    if (c == 0xc2 && next >= 0x80 && next < 0xa0) p[0] = p[1] = '?'; /* the same beyond ASCII */
  }
  return s;
}
