/* pickle_tree.c: text escapes of protocol 0, and looking into a tree of values: dicts, calls,
 * Python and numpy numbers. */
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/pickle.h"
#include "io/formats/pickle_impl.h"
#include "io/formats/safetensors.h"

/* ---- escapes ---- */
static int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* k hexadecimal digits at p; -1 if they are not there. */
static int64_t hex_number(const char *p, const char *end, int k) {
  int64_t v = 0;
  for (int i = 0; i < k; i++) {
    int d = p + i < end ? hex_digit(p[i]) : -1;
    if (d < 0) return -1;
    v = v * 16 + d;
  }
  return v;
}

static size_t put_utf8(char *o, int64_t c) {
  if (c < 0x80) {
    o[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    o[0] = (char)(0xc0 | c >> 6);
    o[1] = (char)(0x80 | (c & 63));
    return 2;
  }
  if (c < 0x10000) {
    o[0] = (char)(0xe0 | c >> 12);
    o[1] = (char)(0x80 | (c >> 6 & 63));
    o[2] = (char)(0x80 | (c & 63));
    return 3;
  }
  o[0] = (char)(0xf0 | c >> 18);
  o[1] = (char)(0x80 | (c >> 12 & 63));
  o[2] = (char)(0x80 | (c >> 6 & 63));
  o[3] = (char)(0x80 | (c & 63));
  return 4;
}

bool pk_unescape(PkMachine *m, PkText *t) {
  if (t->len < 2 || (t->start[0] != '\'' && t->start[0] != '"') ||
      t->start[t->len - 1] != t->start[0])
    return pk_bad(m, "a string without quotes");
  const char *p = t->start + 1, *end = t->start + t->len - 1;
  if (!memchr(p, '\\', (size_t)(end - p))) {
    *t = (PkText){p, (size_t)(end - p)};
    return true;
  }
  char *out = pk_alloc(m, t->len);
  size_t n = 0;
  while (out && p < end) {
    if (*p != '\\') {
      out[n++] = *p++;
      continue;
    }
    if (++p == end) return pk_bad(m, "a string that ends inside an escape");
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *hit = *p ? strchr(from, *p) : NULL;
    if (hit) {
      out[n++] = to[hit - from];
      p++;
    } else if (*p == 'x') {
      int64_t v = hex_number(p + 1, end, 2);
      if (v < 0) return pk_bad(m, "a bad escape in a string");
      out[n++] = (char)v;
      p += 3;
    } else if (*p >= '0' && *p <= '7') {
      int v = 0;
      for (int k = 0; k < 3 && p < end && *p >= '0' && *p <= '7'; k++) v = v * 8 + (*p++ - '0');
      out[n++] = (char)v;
    } else {
      out[n++] = '\\';
      out[n++] = *p++;
    }
  }
  *t = (PkText){out, n};
  return out != NULL;
}

bool pk_unescape_unicode(PkMachine *m, PkText *t) {
  const char *p = t->start, *end = p + t->len;
  bool plain = true;
  for (size_t i = 0; i < t->len && plain; i++) plain = (unsigned char)p[i] < 0x80 && p[i] != '\\';
  if (plain) return true;
  char *out = pk_alloc(m, 2 * t->len + 4); /* Latin-1 doubles at most; \uXXXX shrinks */
  size_t n = 0;
  while (out && p < end) {
    int digits = *p == '\\' && p + 1 < end ? (p[1] == 'u' ? 4 : p[1] == 'U' ? 8 : 0) : 0;
    int64_t c = digits ? hex_number(p + 2, end, digits) : (unsigned char)*p;
    if (c < 0 || c > 0x10ffff) return pk_bad(m, "a bad escape in a text");
    n += put_utf8(out + n, c);
    p += digits ? digits + 2 : 1;
  }
  *t = (PkText){out, n};
  return out != NULL;
}

/* ---- looking into a tree ---- */
bool pk_text_is(PkText t, const char *s) {
  return strlen(s) == t.len && (!t.len || !memcmp(t.start, s, t.len));
}

bool pk_is(const Pk *v, const char *s) { return v && v->kind == PK_STR && pk_text_is(v->text, s); }

Pk *pk_get(const Pk *d, const char *key) {
  if (!d || d->kind != PK_DICT) return NULL;
  for (size_t i = d->nitem; i >= 2; i -= 2)
    if (pk_is(d->item[i - 2], key)) return d->item[i - 1];
  return NULL;
}

bool pk_calls(const Pk *v, const char *module, const char *name) {
  return v && v->kind == PK_CALL && pk_text_is(v->item[0]->text, module) &&
         pk_text_is(v->item[0]->name, name);
}

Pk *pk_arg(const Pk *c, size_t k) {
  return c && c->kind == PK_CALL && k < c->item[1]->nitem ? c->item[1]->item[k] : NULL;
}

const char *pk_show(PkText t, char buf[80]) {
  size_t n = PRLX_MIN(t.len, (size_t)72);
  /* plain ASCII: a terminal may take other bytes for commands */
  for (size_t i = 0; i < n; i++)
    buf[i] = t.start[i] < 0x20 || t.start[i] >= 0x7f ? '?' : t.start[i];
  memcpy(buf + n, t.len > n ? "..." : "", t.len > n ? 4 : 1);
  return buf;
}

/* numpy.core.multiarray.scalar(dtype, bytes): dtype = numpy.dtype("f8", ...) with state (3, "<",
 * ...). */
typedef struct Scalar {
  char kind;
  int size;
  uint8_t b[8];
} Scalar;
static bool numpy_scalar(const Pk *v, Scalar *s) {
  if (!pk_calls(v, "numpy.core.multiarray", "scalar") &&
      !pk_calls(v, "numpy._core.multiarray", "scalar"))
    return false;
  const Pk *dt = pk_arg(v, 0), *raw = pk_arg(v, 1),
           *code = pk_calls(dt, "numpy", "dtype") ? pk_arg(dt, 0) : NULL;
  if (!code || code->kind != PK_STR || code->text.len != 2 || !raw ||
      (raw->kind != PK_BYTES && raw->kind != PK_STR))
    return false;
  const int size = code->text.start[1] - '0';
  if (size < 1 || size > 8 || raw->text.len != (size_t)size) return false;
  *s = (Scalar){.kind = code->text.start[0], .size = size};
  const Pk *order =
      dt->state && dt->state->kind == PK_TUPLE && dt->state->nitem > 1 ? dt->state->item[1] : NULL;
  memcpy(s->b, raw->text.start, (size_t)size);
  if (pk_is(order, ">")) bytes_turn(s->b, s->b, 1, (size_t)size);
  return true;
}

static bool scalar_int(const Scalar *s, int64_t *out) {
  if ((s->kind != 'i' && s->kind != 'u' && s->kind != 'b') || (s->size & (s->size - 1)))
    return false;
  uint64_t u = 0;
  for (int i = 0; i < s->size; i++) u |= (uint64_t)s->b[i] << (8 * i);
  if (s->kind == 'i' && s->size < 8 && s->b[s->size - 1] & 0x80) u |= ~(uint64_t)0 << (8 * s->size);
  if (s->kind != 'i' && u > INT64_MAX) return false;
  *out = (int64_t)u;
  return true;
}

bool pk_int(const Pk *v, int64_t *out) {
  Scalar s;
  if (v && v->kind == PK_INT) {
    *out = v->integer;
    return true;
  }
  return numpy_scalar(v, &s) && scalar_int(&s, out);
}

bool pk_number(const Pk *v, double *out) {
  Scalar s;
  int64_t i;
  if (!v) return false;
  if (v->kind == PK_INT || v->kind == PK_BOOL) {
    *out = (double)v->integer;
    return true;
  }
  if (v->kind == PK_FLOAT) {
    *out = v->number;
    return true;
  }
  if (!numpy_scalar(v, &s)) return false;
  if (scalar_int(&s, &i)) {
    *out = (double)i;
    return true;
  }
  float f;
  uint16_t h;
  if (s.kind == 'f') bytes_little(s.b, s.b, 1, (size_t)s.size);
  if (s.kind == 'f' && s.size == 8) {
    memcpy(out, s.b, 8);
    return true;
  }
  if (s.kind == 'f' && s.size == 4) {
    memcpy(&f, s.b, 4);
    *out = (double)f;
    return true;
  }
  if (s.kind == 'f' && s.size == 2) {
    memcpy(&h, s.b, 2);
    *out = half_to_float(h);
    return true;
  }
  return false;
}
