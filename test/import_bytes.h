/* import_bytes.h: makers of pickles, torch streams and zip archives for the tests of the importers,
 * good ones and hostile ones. */
#ifndef PRLX_IMPORT_BYTES_H
#define PRLX_IMPORT_BYTES_H
#include <stdarg.h>
#include <stdio.h>
#include "io/formats/bytes.h"
#include "io/formats/checksum.h"
#include "test/test.h"

typedef struct Bytes {
  uint8_t *p;
  size_t n;
  size_t cap;
} Bytes;
static inline void put(Bytes *b, const void *p, size_t n) {
  if (b->n + n > b->cap) {
    b->cap = (b->n + n) * 2 + 256;
    b->p = realloc(b->p, b->cap);
    if (!b->p) exit(3);
  }
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
}

static inline void put_str(Bytes *b, const char *s) { put(b, s, strlen(s)); }
static inline void put_u(Bytes *b, uint64_t v, int bytes) {
  uint8_t t[8];
  for (int i = 0; i < bytes; i++) t[i] = (uint8_t)(v >> (8 * i));
  put(b, t, (size_t)bytes);
}

static inline void put_many(Bytes *b, const char *s, size_t n, size_t times) {
  while (times--) put(b, s, n);
}

static inline void bytes_free(Bytes *b) {
  free(b->p);
  memset(b, 0, sizeof *b);
}

/* ---- pickles ---- */
static inline void pk_str(Bytes *b, const char *s) {
  put_str(b, "X");
  put_u(b, strlen(s), 4);
  put_str(b, s);
}

static inline void pk_str_py2(Bytes *b, const char *s) {
  put_str(b, "U");
  put_u(b, strlen(s), 1);
  put_str(b, s);
}

static inline void pk_long(Bytes *b, int64_t v) {
  put_str(b, "\x8a\x08");
  put_u(b, (uint64_t)v, 8);
}

/* torch._utils._rebuild_tensor_v2 of storage `key` with numel elements of `type` ("FloatStorage").
 */
static inline void pk_tensor(Bytes *b, const char *type, const char *key, int64_t numel,
                             int64_t offset, int rank, const int64_t *size, const int64_t *stride,
                             bool py2) {
  void (*str)(Bytes *, const char *) = py2 ? pk_str_py2 : pk_str;
  put_str(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
  str(b, "storage");
  put_str(b, "ctorch\n");
  put_str(b, type);
  put_str(b, "\n");
  str(b, key);
  str(b, "cpu");
  pk_long(b, numel);
  put_str(b, "NtQ");
  pk_long(b, offset);
  put_str(b, "(");
  for (int k = 0; k < rank; k++) pk_long(b, size[k]);
  put_str(b, "t(");
  for (int k = 0; k < rank; k++) pk_long(b, stride[k]);
  put_str(b, "t\x89"
             "ccollections\nOrderedDict\n)RtR");
}

static inline void pk_contiguous(Bytes *b, const char *key, int64_t numel, int64_t offset, int rank,
                                 const int64_t *size, bool py2) {
  int64_t stride[8], run = 1;
  for (int k = rank - 1; k >= 0; k--) {
    stride[k] = run;
    run *= size[k];
  }
  pk_tensor(b, "FloatStorage", key, numel, offset, rank, size, stride, py2);
}

/* ---- legacy stream: head, then the object's pickle by the caller, then legacy_tail ---- */
static inline void legacy_head(Bytes *b) {
  put(b, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}(",
      25);
  pk_str(b, "little_endian");
  put(b, "\x88u.", 3);
}

/* List of keys "0".."n-1" and their data: floats i, i+1, ... as value(key, i). */
static inline void legacy_tail(Bytes *b, int n, const int64_t *numel,
                               float (*value)(int key, int64_t i)) {
  put(b, "\x80\x02](", 4);
  for (int k = 0; k < n; k++) {
    char t[16];
    snprintf(t, sizeof t, "%d", k);
    pk_str_py2(b, t);
  }
  put_str(b, "e.");
  for (int k = 0; k < n; k++) {
    put_u(b, (uint64_t)numel[k], 8);
    for (int64_t i = 0; i < numel[k]; i++) {
      float f = value(k, i);
      bytes_little(&f, &f, 1, sizeof f);
      put(b, &f, 4);
    }
  }
}

/* ---- zip ---- */
/* offset -1: its own */
typedef struct ZipItem {
  const char *name;
  const uint8_t *data;
  size_t n;
  size_t size;
  int method;
  int flags;
  uint32_t crc;
  int64_t offset;
} ZipItem;
static inline void make_zip(Bytes *b, const ZipItem *it, int n) {
  size_t at[32], dir;
  for (int k = 0; k < n; k++) {
    at[k] = b->n;
    put_u(b, 0x04034b50, 4);
    put_u(b, 20, 2);
    put_u(b, (uint64_t)it[k].flags, 2);
    put_u(b, (uint64_t)it[k].method, 2);
    put_u(b, 0, 4);
    put_u(b, it[k].crc, 4);
    put_u(b, it[k].n, 4);
    put_u(b, it[k].size, 4);
    put_u(b, strlen(it[k].name), 2);
    put_u(b, 0, 2);
    put_str(b, it[k].name);
    put(b, it[k].data, it[k].n);
  }
  dir = b->n;
  for (int k = 0; k < n; k++) {
    put_u(b, 0x02014b50, 4);
    put_u(b, 20, 2);
    put_u(b, 20, 2);
    put_u(b, (uint64_t)it[k].flags, 2);
    put_u(b, (uint64_t)it[k].method, 2);
    put_u(b, 0, 4);
    put_u(b, it[k].crc, 4);
    put_u(b, it[k].n, 4);
    put_u(b, it[k].size, 4);
    put_u(b, strlen(it[k].name), 2);
    put_u(b, 0, 8);
    put_u(b, 0, 4);
    put_u(b, it[k].offset >= 0 ? (uint64_t)it[k].offset : at[k], 4);
    put_str(b, it[k].name);
  }
  size_t bytes = b->n - dir;
  put_u(b, 0x06054b50, 4);
  put_u(b, 0, 4);
  put_u(b, (uint64_t)n, 2);
  put_u(b, (uint64_t)n, 2);
  put_u(b, bytes, 4);
  put_u(b, dir, 4);
  put_u(b, 0, 2);
}

static inline ZipItem stored(const char *name, const void *p, size_t n) {
  return (ZipItem){name, p, n, n, 0, 0, crc32_ieee(0, p, n), -1};
}
#endif
