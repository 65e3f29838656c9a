/* print.c: formatted text for the page. Messages and the headers of files: integers exactly,
 * floating-point numbers to 17 digits. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "docs/lab/libc/twofold.h"

struct LabStream {
  int number;
};
static FILE streams[2] = {{1}, {2}};
FILE *const stdout = &streams[0], *const stderr = &streams[1];

/* docs/lab/page/worker.js: to the console. */
__attribute__((import_module("lab"), import_name("log"))) void lab_log(const char *text, size_t n);

typedef struct Out {
  char *to;
  size_t n;
  size_t at;
} Out;
typedef struct Spec {
  bool left;
  bool plus;
  bool blank;
  bool zero;
  bool sharp;
  int width;
  int precision; /* -1: none */
  int length;    /* bytes of the argument */
} Spec;

static void out_put(Out *o, char c) {
  if (o->at + 1 < o->n) o->to[o->at] = c;
  o->at++;
}

static void out_text(Out *o, const Spec *s, const char *sign, const char *text, size_t n) {
  const int pad = s->width - (int)(strlen(sign) + n);
  for (int i = 0; i < pad && !s->left && !s->zero; i++) out_put(o, ' ');
  while (*sign) out_put(o, *sign++);
  for (int i = 0; i < pad && !s->left && s->zero; i++) out_put(o, '0');
  for (size_t i = 0; i < n; i++) out_put(o, text[i]);
  for (int i = 0; i < pad && s->left; i++) out_put(o, ' ');
}

static void out_integer(Out *o, Spec *s, uint64_t v, bool minus, unsigned base, bool upper) {
  char text[70];
  size_t n = sizeof text;
  const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  for (int k = 0; v || k < (s->precision < 0 ? 1 : s->precision); k++, v /= base)
    text[--n] = digits[v % base];
  if (s->precision >= 0) s->zero = false;
  out_text(o, s, minus ? "-" : s->plus ? "+" : s->blank ? " " : "", text + n, sizeof text - n);
}

/* x > 0 as digits d.ddd * 10^e, `count` of them (at most 40), rounded. */
static void decimal_digits(double x, int count, char *digits, int *e) {
  *e = (int)floor(log10(x));
  for (int again = 0; again < 2; again++) {
    Two p = {1, 0}, ten = {10, 0}, v = {x, 0};
    int shift = count - 1 - *e;
    if (shift > 300) { /* in two pieces: no overflow */
      v = two_times(v, 1e280);
      v = two_times(v, 1e20);
      shift -= 300;
    }
    for (int k = shift < 0 ? -shift : shift; k; k >>= 1, ten = two_mul(ten, ten))
      if (k & 1) p = two_mul(p, ten);
    v = shift < 0 ? two_div(v, p) : two_mul(v, p);
    uint64_t m = 0;
    double whole = floor(v.hi);
    const double part = (v.hi - whole) + v.lo;
    m = (uint64_t)whole;
    if (part < 0)
      m -= part < -0.5;
    else
      m += part > 0.5 || (part == 0.5 && (m & 1));
    uint64_t limit = 1;
    for (int i = 0; i < count; i++) limit *= 10;
    if (m >= limit) {
      ++*e;
      continue;
    }
    if (m < limit / 10) {
      --*e;
      continue;
    }
    for (int i = count; i-- > 0; m /= 10) digits[i] = (char)('0' + m % 10);
    return;
  }
  memset(digits, '0', (size_t)count);
  digits[0] = '1';
}

static size_t put_fixed(char *text, const char *digits, int count, int e, int places) {
  size_t n = 0;
  for (int i = e < 0 ? e : 0; i <= e || i <= 0; i++)
    if (i >= 0) text[n++] = i <= e && i < count && e >= 0 ? digits[i] : '0';
  if (places > 0) text[n++] = '.';
  for (int i = 1; i <= places; i++) {
    const int at = e + i;
    text[n++] = at >= 0 && at < count ? digits[at] : '0';
  }
  return n;
}

static size_t put_scientific(char *text, const char *digits, int count, int e, int places) {
  size_t n = 0;
  text[n++] = digits[0];
  if (places > 0) text[n++] = '.';
  for (int i = 1; i <= places; i++) text[n++] = i < count ? digits[i] : '0';
  text[n++] = 'e';
  text[n++] = e < 0 ? '-' : '+';
  const int m = e < 0 ? -e : e;
  if (m > 99) text[n++] = (char)('0' + m / 100);
  text[n++] = (char)('0' + m / 10 % 10);
  text[n++] = (char)('0' + m % 10);
  return n;
}

static size_t strip_zeros(char *text, size_t n) {
  char *e = memchr(text, 'e', n);
  size_t head = e ? (size_t)(e - text) : n, end = head;
  if (!memchr(text, '.', head)) return n;
  while (text[end - 1] == '0') end--;
  if (text[end - 1] == '.') end--;
  memmove(text + end, text + head, n - head);
  return n - (head - end);
}

static void out_real(Out *o, Spec *s, double x, char kind) {
  char text[400], digits[40];
  const char *sign = signbit(x) ? "-" : s->plus ? "+" : s->blank ? " " : "";
  int precision = s->precision < 0 ? 6 : s->precision, e = 0, count;
  size_t n;
  x = fabs(x);
  if (isnan(x) || isinf(x)) {
    s->zero = false;
    out_text(o, s, sign, isnan(x) ? "nan" : "inf", 3);
    return;
  }
  if (kind == 'g' && !precision) precision = 1;
  if (precision > 60) precision = 60;
  memset(digits, '0', sizeof digits);
  if (kind == 'f') {
    if (x != 0) decimal_digits(x, 1, digits, &e);
    count = x == 0 ? 1 : e + 1 + precision;
    count = count < 0 ? 0 : count > 18 ? 18 : count;
    if (x != 0 && count) decimal_digits(x, count, digits, &e);
    if (x != 0 && !count) { /* below half a unit of the last place, or just above */
      count = 1;
      e = -precision;
      digits[0] = x > 0.5 * pow(10, -precision) ? '1' : '0';
    }
    n = e > 300 ? 0 : put_fixed(text, digits, count, e, precision);
  } else {
    count = kind == 'g' ? precision : precision + 1;
    if (count > 18) count = 18;
    if (x != 0) decimal_digits(x, count, digits, &e);
    if (kind == 'e')
      n = put_scientific(text, digits, count, e, precision);
    else if (e < -4 || e >= precision)
      n = strip_zeros(text, put_scientific(text, digits, count, e, precision - 1));
    else
      n = strip_zeros(text, put_fixed(text, digits, count, e, precision - 1 - e));
  }
  out_text(o, s, sign, text, n);
}

static const char *spec_read(const char *f, Spec *s, va_list *args) {
  *s = (Spec){.precision = -1, .length = 4};
  for (;; f++) {
    if (*f == '-')
      s->left = true;
    else if (*f == '+')
      s->plus = true;
    else if (*f == ' ')
      s->blank = true;
    else if (*f == '0')
      s->zero = true;
    else if (*f == '#')
      s->sharp = true;
    else
      break;
  }
  if (*f == '*') {
    s->width = va_arg(*args, int);
    f++;
  }
  while (isdigit((unsigned char)*f)) s->width = s->width * 10 + (*f++ - '0');
  if (s->width < 0) {
    s->left = true;
    s->width = -s->width;
  }
  if (*f == '.') {
    s->precision = 0;
    if (*++f == '*') {
      s->precision = va_arg(*args, int);
      f++;
    }
    while (isdigit((unsigned char)*f)) s->precision = s->precision * 10 + (*f++ - '0');
  }
  for (;; f++) {
    if (*f == 'l')
      s->length = f[1] == 'l' ? 8 : s->length;
    else if (*f == 'j')
      s->length = 8;
    else if (*f != 'h' && *f != 'z' && *f != 't')
      return f;
  }
}

static void out_argument(Out *o, Spec *s, char kind, va_list *args) {
  if (kind == 'd' || kind == 'i') {
    const int64_t v = s->length == 8 ? va_arg(*args, long long) : va_arg(*args, int);
    out_integer(o, s, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
  } else if (strchr("uxXo", kind)) {
    const uint64_t v = s->length == 8 ? va_arg(*args, unsigned long long) : va_arg(*args, unsigned);
    s->plus = s->blank = false;
    out_integer(o, s, v, false, kind == 'u' ? 10 : kind == 'o' ? 8 : 16, kind == 'X');
  } else if (kind == 'p') {
    out_integer(o, s, (uintptr_t)va_arg(*args, void *), false, 16, false);
  } else if (kind == 'c') {
    const char c = (char)va_arg(*args, int);
    s->zero = false;
    out_text(o, s, "", &c, 1);
  } else if (kind == 's') {
    const char *t = va_arg(*args, const char *);
    s->zero = false;
    if (!t) t = "(null)";
    out_text(o, s, "", t, s->precision < 0 ? strlen(t) : strnlen(t, (size_t)s->precision));
  } else if (strchr("feg", tolower((unsigned char)kind))) {
    out_real(o, s, va_arg(*args, double), (char)tolower((unsigned char)kind));
  } else {
    out_put(o, kind);
  }
}

int vsnprintf(char *to, size_t n, const char *format, va_list args) {
  Out o = {to, n, 0};
  va_list own;
  va_copy(own, args);
  for (const char *f = format; *f; f++) {
    Spec s;
    if (*f != '%') {
      out_put(&o, *f);
      continue;
    }
    f = spec_read(f + 1, &s, &own);
    if (!*f) break;
    out_argument(&o, &s, *f, &own);
  }
  va_end(own);
  if (n) to[o.at < n ? o.at : n - 1] = 0;
  return (int)o.at;
}

int snprintf(char *to, size_t n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int k = vsnprintf(to, n, format, args);
  va_end(args);
  return k;
}

int sprintf(char *to, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int k = vsnprintf(to, SIZE_MAX, format, args);
  va_end(args);
  return k;
}

int vfprintf(FILE *f, const char *format, va_list args) {
  static char line[4096];
  const int n = vsnprintf(line, sizeof line, format, args);
  lab_log(line, strlen(line));
  return n;
}

int fprintf(FILE *f, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int k = vfprintf(f, format, args);
  va_end(args);
  return k;
}

int printf(const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int k = vfprintf(stdout, format, args);
  va_end(args);
  return k;
}

int fputs(const char *text, FILE *f) {
  lab_log(text, strlen(text));
  return 0;
}

int puts(const char *text) { return fputs(text, stdout); }

int fputc(int c, FILE *f) {
  const char one = (char)c;
  lab_log(&one, 1);
  return c;
}

int putchar(int c) { return fputc(c, stdout); }

size_t fwrite(const void *p, size_t size, size_t n, FILE *f) {
  lab_log(p, size * n);
  return n;
}

FILE *fopen(const char *path, const char *mode) {
  errno = ENOSYS;
  return NULL;
}

int fclose(FILE *f) { return 0; }
int fflush(FILE *f) { return 0; }
int ferror(FILE *f) { return 0; }
int feof(FILE *f) { return 1; }
size_t fread(void *p, size_t size, size_t n, FILE *f) { return 0; }
char *fgets(char *to, int n, FILE *f) { return NULL; }
int fseek(FILE *f, long at, int from) { return -1; }
long ftell(FILE *f) { return -1; }

/* Blanks, letters as they stand, %lf, %d, %n: what models/store asks for. */
int sscanf(const char *text, const char *format, ...) {
  const char *at = text;
  int found = 0;
  va_list args;
  va_start(args, format);
  for (const char *f = format; *f; f++) {
    char *end = NULL;
    if (isspace((unsigned char)*f)) {
      while (isspace((unsigned char)*at)) at++;
    } else if (*f != '%') {
      if (*at++ != *f) break;
    } else if (f[1] == 'n') {
      *va_arg(args, int *) = (int)(at - text);
      f++;
    } else if (f[1] == 'l' && f[2] == 'f') {
      const double v = strtod(at, &end);
      if (end == at) break;
      *va_arg(args, double *) = v;
      found++;
      f += 2;
    } else if (f[1] == 'd') {
      const long v = strtol(at, &end, 10);
      if (end == at) break;
      *va_arg(args, int *) = (int)v;
      found++;
      f++;
    } else {
      break;
    }
    if (end) at = end;
  }
  va_end(args);
  return found;
}
