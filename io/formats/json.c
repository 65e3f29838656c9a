/* json.c: the reader of json.h. */
#include "io/formats/json.h"
#include <stdlib.h>
#include <string.h>
#include "io/formats/number.h"

void json_init(Json *j, const char *text, size_t n) {
  *j = (Json){text, text, text + n, NULL, false};
}

bool json_fail(Json *j, const char *why) {
  if (!j->why) j->why = why;
  return false;
}

char json_peek(Json *j) {
  if (j->why) return 0;
  while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
    j->at++;
  return j->at < j->end ? *j->at : 0;
}

bool json_try(Json *j, char c) {
  if (json_peek(j) != c || j->at >= j->end) return false;
  j->at++;
  return true;
}

bool json_take(Json *j, char c) {
  if (json_try(j, c)) return true;
  if (j->at >= j->end) return json_fail(j, "text ends too early");
  return json_fail(j, c == '{'   ? "expected {"
                      : c == '[' ? "expected ["
                      : c == ':' ? "expected :"
                      : c == '"' ? "expected a string"
                                 : "unexpected character");
}

/* Length 1-4 of the UTF-8 sequence at p (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF); 0 if bad. */
static int utf8_len(const unsigned char *p, const unsigned char *end) {
  if (p[0] < 0x80) return 1;
  int n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
          : (p[0] & 0xf0) == 0xe0        ? 3
          : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                         : 0;
  if (!n || end - p < n) return 0;
  for (int i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
      (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
    return 0;
  return n;
}

bool json_utf8(const char *s) {
  const unsigned char *p = (const unsigned char *)s, *end = p + strlen(s);
  while (p < end) {
    const int n = utf8_len(p, end);
    if (!n) return false;
    p += n;
  }
  return true;
}

static int hex_digits(const char *p, const char *end) {
  if (end - p < 4) return -1;
  int v = 0;
  for (int i = 0; i < 4; i++) {
    int c = p[i], d = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

static char *utf8_put(char *o, uint32_t c) {
  if (c < 0x80)
    *o++ = (char)c;
  else if (c < 0x800)
    *o++ = (char)(0xc0 | c >> 6), *o++ = (char)(0x80 | (c & 63));
  else if (c < 0x10000)
    *o++ = (char)(0xe0 | c >> 12), *o++ = (char)(0x80 | (c >> 6 & 63)),
    *o++ = (char)(0x80 | (c & 63));
  else
    *o++ = (char)(0xf0 | c >> 18), *o++ = (char)(0x80 | (c >> 12 & 63)),
    *o++ = (char)(0x80 | (c >> 6 & 63)), *o++ = (char)(0x80 | (c & 63));
  return o;
}

/* The escape after a backslash at j->at. Writes at *o (if not NULL), at most as many bytes as it
 * consumes. */
static bool string_escape(Json *j, char **o) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (j->at >= j->end) return json_fail(j, "unfinished string");
  char c = *j->at++;
  const char *k = c ? strchr(from, c) : NULL;
  uint32_t u;
  if (k) {
    u = (unsigned char)to[k - from];
  } else {
    int h = c == 'u' ? hex_digits(j->at, j->end) : -1;
    if (h < 0) return json_fail(j, "bad escape in a string");
    j->at += 4;
    u = (uint32_t)h;
    if (h >= 0xd800 && h <= 0xdfff) {
      int l = h <= 0xdbff && j->end - j->at >= 6 && j->at[0] == '\\' && j->at[1] == 'u'
                  ? hex_digits(j->at + 2, j->end)
                  : -1;
      if (l < 0xdc00 || l > 0xdfff) return json_fail(j, "lone surrogate in a string");
      j->at += 6;
      u = 0x10000 + (((uint32_t)h & 0x3ff) << 10) + ((uint32_t)l & 0x3ff);
    }
    if (!u) return json_fail(j, "zero character in a string");
  }
  if (*o) *o = utf8_put(*o, u);
  return true;
}

/* Scans one string after its opening quote; with o not NULL also writes it there. Returns the end
 * of what was written. */
static bool string_scan(Json *j, char **o) {
  while (j->at < j->end) {
    unsigned char c = (unsigned char)*j->at;
    if (c == '"') {
      j->at++;
      return true;
    }
    if (c < 0x20) return json_fail(j, "control character in a string");
    if (c == '\\') {
      j->at++;
      if (!string_escape(j, o)) return false;
      continue;
    }
    int n = utf8_len((const unsigned char *)j->at, (const unsigned char *)j->end);
    if (!n) return json_fail(j, "string is not valid UTF-8");
    if (*o) {
      memcpy(*o, j->at, (size_t)n);
      *o += n;
    }
    j->at += n;
  }
  return json_fail(j, "unfinished string");
}

bool json_string(Json *j, char **out) {
  char *nowhere = NULL, *o;
  *out = NULL;
  if (json_peek(j) != '"') return json_fail(j, "expected a string");
  const char *first = ++j->at;
  if (!string_scan(j, &nowhere)) return false;
  /* raw length counts the closing quote: room for the final zero */
  char *s = mem_alloc((size_t)(j->at - first));
  if (!s) {
    j->nomem = true;
    return json_fail(j, "out of memory");
  }
  j->at = first;
  o = s;
  string_scan(j, &o);
  *o = 0;
  *out = s;
  return true;
}

static bool number_digits(Json *j) {
  const char *a = j->at;
  while (j->at < j->end && *j->at >= '0' && *j->at <= '9') j->at++;
  return j->at > a;
}

bool json_number(Json *j, double *out) {
  json_peek(j);
  if (j->why) return false;
  const char *a = j->at;
  if (j->at < j->end && *j->at == '-') j->at++;
  const char *i = j->at;
  if (!number_digits(j) || (*i == '0' && j->at - i > 1)) return json_fail(j, "bad number");
  if (j->at < j->end && *j->at == '.') {
    j->at++;
    if (!number_digits(j)) return json_fail(j, "bad number");
  }
  if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
    j->at++;
    if (j->at < j->end && (*j->at == '+' || *j->at == '-')) j->at++;
    if (!number_digits(j)) return json_fail(j, "bad number");
  }
  char text[64];
  size_t n = (size_t)(j->at - a);
  if (n >= sizeof text) return json_fail(j, "number with more than 63 characters");
  memcpy(text, a, n);
  text[n] = 0;
  *out = number_read(text, NULL);
  return true;
}

bool json_uint(Json *j, uint64_t *out) {
  json_peek(j);
  if (j->why) return false;
  const char *a = j->at;
  if (!number_digits(j) || (*a == '0' && j->at - a > 1))
    return json_fail(j, "expected a whole number >= 0");
  if (j->at < j->end && (*j->at == '.' || *j->at == 'e' || *j->at == 'E'))
    return json_fail(j, "expected a whole number >= 0");
  uint64_t v = 0;
  for (const char *q = a; q < j->at; q++) {
    if (v > (INT64_MAX - (uint64_t)(*q - '0')) / 10) return json_fail(j, "number too large");
    v = v * 10 + (uint64_t)(*q - '0');
  }
  *out = v;
  return true;
}

static bool json_literal(Json *j, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
    return json_fail(j, "unexpected character");
  j->at += n;
  return true;
}

static bool skip_string(Json *j) {
  char *nowhere = NULL;
  if (json_peek(j) != '"') return json_fail(j, "expected a string");
  j->at++;
  return string_scan(j, &nowhere);
}

bool json_skip(Json *j) {
  char close[JSON_MAX_DEPTH];
  int depth = 0;
  double ignored;
  do {
    char c = json_peek(j);
    bool opened = false;
    if (j->why) return false;
    if (c == '{' || c == '[') {
      if (depth == JSON_MAX_DEPTH) return json_fail(j, "nested too deeply");
      close[depth++] = c == '{' ? '}' : ']';
      j->at++;
      opened = !json_try(j, close[depth - 1]);
      if (!opened) depth--;
    } else if (c == '"') {
      if (!skip_string(j)) return false;
    } else if (c == 't') {
      if (!json_literal(j, "true")) return false;
    } else if (c == 'f') {
      if (!json_literal(j, "false")) return false;
    } else if (c == 'n') {
      if (!json_literal(j, "null")) return false;
    } else if (!json_number(j, &ignored))
      return false;
    if (!opened) { /* a value has ended: close what closes, then a comma must follow */
      while (depth && json_try(j, close[depth - 1])) depth--;
      if (depth && !json_take(j, ',')) return false;
    }
    if (depth && close[depth - 1] == '}' && (!skip_string(j) || !json_take(j, ':'))) return false;
  } while (depth);
  return true;
}

bool json_done(Json *j) {
  json_peek(j);
  if (j->why) return false;
  return j->at == j->end ? true : json_fail(j, "text after the end");
}

/* Reads what stands after a key of the object, or passes over it: false stops. */
typedef bool ReadField(Json *j, void *out, bool *found);

static bool read_number(Json *j, void *out, bool *found) {
  const char c = json_peek(j);
  if (c != '-' && (c < '0' || c > '9')) return json_skip(j);
  return *found = json_number(j, out);
}

/* A second value under the same key takes the place of the first. */
static bool read_text(Json *j, void *out, bool *found) {
  char **text = out;
  if (json_peek(j) != '"') return json_skip(j);
  mem_free(*text);
  *text = NULL;
  return *found = json_string(j, text);
}

static bool object_field(Json *j, const char *key, ReadField *read, void *out) {
  bool found = false;
  if (!json_take(j, '{')) return false;
  if (!json_try(j, '}')) {
    do {
      char *name;
      if (!json_string(j, &name)) return false;
      const bool match = strcmp(name, key) == 0;
      mem_free(name);
      if (!json_take(j, ':')) return false;
      if (match ? !read(j, out, &found) : !json_skip(j)) return false;
    } while (json_try(j, ','));
    if (!json_take(j, '}')) return false;
  }
  return json_done(j) && found;
}

bool json_object_number(const char *text, size_t n, const char *key, double *out) {
  Json j;
  json_init(&j, text, n);
  return object_field(&j, key, read_number, out);
}

Status json_object_text(const char *text, size_t n, const char *key, char **out, Error *e) {
  Json j;
  *out = NULL;
  if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
    text += 3;
    n -= 3;
  }
  json_init(&j, text, n);
  if (object_field(&j, key, read_text, out)) return ST_OK;
  mem_free(*out);
  *out = NULL;
  return j.nomem ? err_set(e, ST_NOMEM, "out of memory") : ST_OK;
}
