/* number.c: numbers in texts, for the page. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "docs/lab/libc/twofold.h"

/* What the compiler calls for a product of 128 bits, as in a check of one of 64 for overflow. */
__int128 __multi3(__int128 a, __int128 b);
__int128 __multi3(__int128 a, __int128 b) {
  const uint64_t x = (uint64_t)a, y = (uint64_t)b, half = 0xffffffff;
  const uint64_t low = (x & half) * (y & half), one = (x >> 32) * (y & half) + (low >> 32),
                 two = (x & half) * (y >> 32) + (one & half);
  const uint64_t high = (x >> 32) * (y >> 32) + (one >> 32) + (two >> 32) +
                        (uint64_t)(a >> 64) * y + x * (uint64_t)(b >> 64);
  return (__int128)((unsigned __int128)high << 64 | x * y);
}

struct lconv *localeconv(void) {
  static char point[] = ".";
  static struct lconv only = {point};
  return &only;
}

static unsigned long long digits_of(const char *s, const char **end, int base, bool *over) {
  unsigned long long v = 0;
  for (*over = false;; s++) {
    const int c = tolower((unsigned char)*s), d = isdigit(c)   ? c - '0'
                                                  : isalpha(c) ? c - 'a' + 10
                                                               : 99;
    if (d >= base) break;
    if (v > (ULLONG_MAX - (unsigned)d) / (unsigned)base) *over = true;
    v = v * (unsigned)base + (unsigned)d;
  }
  *end = s;
  return v;
}

/* Magnitude and sign; *end is `text` where there is no number. */
static unsigned long long whole_number(const char *text, char **end, int base, bool *minus,
                                       bool *over) {
  const char *s = text, *stop;
  while (isspace((unsigned char)*s)) s++;
  *minus = *s == '-';
  if (*s == '-' || *s == '+') s++;
  if ((base == 0 || base == 16) && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
      isxdigit((unsigned char)s[2])) {
    s += 2;
    base = 16;
  }
  if (base == 0) base = *s == '0' ? 8 : 10;
  const unsigned long long v = digits_of(s, &stop, base, over);
  if (end) *end = (char *)(stop == s ? text : stop);
  return v;
}

unsigned long long strtoull(const char *text, char **end, int base) {
  bool minus, over;
  const unsigned long long v = whole_number(text, end, base, &minus, &over);
  if (over) errno = ERANGE;
  return over ? ULLONG_MAX : minus ? -v : v;
}

long long strtoll(const char *text, char **end, int base) {
  bool minus, over;
  const unsigned long long v = whole_number(text, end, base, &minus, &over),
                           most = (unsigned long long)LLONG_MAX + minus;
  if (over || v > most) {
    errno = ERANGE;
    return minus ? LLONG_MIN : LLONG_MAX;
  }
  return minus ? (long long)(0 - v) : (long long)v;
}

long strtol(const char *text, char **end, int base) {
  const long long v = strtoll(text, end, base);
  if (v >= LONG_MIN && v <= LONG_MAX) return (long)v;
  errno = ERANGE;
  return v < 0 ? LONG_MIN : LONG_MAX;
}

unsigned long strtoul(const char *text, char **end, int base) {
  const unsigned long long v = strtoull(text, end, base);
  if (v <= ULONG_MAX) return (unsigned long)v;
  errno = ERANGE;
  return ULONG_MAX;
}

int atoi(const char *text) { return (int)strtol(text, NULL, 10); }
long long atoll(const char *text) { return strtoll(text, NULL, 10); }
double atof(const char *text) { return strtod(text, NULL); }
int abs(int x) { return x < 0 ? -x : x; }

/* m * 10^e, rounded once; powers in twice the digits of a double. */
static double scaled(uint64_t m, int e) {
  Two v = two_sum((double)(m >> 32) * 4294967296.0, (double)(m & 0xffffffffu));
  if (e > 330) return m ? HUGE_VAL : 0;
  if (e < -360) return 0;
  Two ten = {10, 0}, p = {1, 0};
  for (int k = e < 0 ? -e : e; k; k >>= 1, ten = two_mul(ten, ten))
    if (k & 1) p = two_mul(p, ten);
  v = e < 0 ? two_div(v, p) : two_mul(v, p);
  return v.hi + v.lo;
}

static const char *read_decimal(const char *s, uint64_t *m, int *e) {
  int places = 0;
  bool any = false, point = false;
  for (*m = 0, *e = 0; isdigit((unsigned char)*s) || (*s == '.' && !point); s++) {
    if (*s == '.') {
      point = true;
      continue;
    }
    any = true;
    if (*m < 1000000000000000000u) {
      *m = *m * 10 + (uint64_t)(*s - '0');
      places += point;
    } else {
      places -= !point;
    }
  }
  if (!any) return NULL;
  if (*s == 'e' || *s == 'E') {
    const char *x = s + 1 + (s[1] == '-' || s[1] == '+');
    if (isdigit((unsigned char)*x)) {
      *e = (int)strtol(s + 1, (char **)&x, 10);
      s = x;
    }
  }
  *e = *e > 9999 ? 9999 : *e < -9999 ? -9999 : *e;
  *e -= places;
  return s;
}

double strtod(const char *text, char **end) {
  const char *s = text;
  uint64_t m;
  int e;
  while (isspace((unsigned char)*s)) s++;
  const bool minus = *s == '-';
  if (*s == '-' || *s == '+') s++;
  double v = 0;
  const char *stop = NULL;
  if (!strncasecmp(s, "nan", 3)) {
    v = NAN;
    stop = s + 3;
  } else if (!strncasecmp(s, "inf", 3)) {
    v = HUGE_VAL;
    stop = s + (strncasecmp(s, "infinity", 8) ? 3 : 8);
  } else if ((stop = read_decimal(s, &m, &e)) != NULL) {
    v = scaled(m, e);
    if (isinf(v)) errno = ERANGE;
  }
  if (end) *end = (char *)(stop ? stop : text);
  return minus ? -v : v;
}

float strtof(const char *text, char **end) { return (float)strtod(text, end); }
