/* zip.c: ZIP archives. Sizes and places come from the central directory only; the local header must
 * agree where it says something. */
#include "io/formats/zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/checksum.h"
#include "io/formats/inflate.h"
#include "io/formats/path.h"

enum {
  EOCD_BYTES = 22,
  CENTRAL_BYTES = 46,
  LOCAL_BYTES = 30,
  EOCD64_BYTES = 56,
  LOCATOR_BYTES = 20,
  MAX_NAME = 1024,
  MAX_ENTRIES = 1 << 17
};
#define SIG_LOCAL 0x04034b50u
#define SIG_CENTRAL 0x02014b50u
#define SIG_EOCD 0x06054b50u
#define SIG_EOCD64 0x06064b50u
#define SIG_LOCATOR 0x07064b50u

static uint32_t bytes_le16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t bytes_le32(const uint8_t *p) { return bytes_le16(p) | bytes_le16(p + 2) << 16; }
static uint64_t bytes_le64(const uint8_t *p) {
  return bytes_le32(p) | (uint64_t)bytes_le32(p + 4) << 32;
}

static Status zip_bad(const ZipFile *z, const char *what, Error *e) {
  return err_set(e, ST_FORMAT,
                 "%s: zip archive: %s; the file is damaged or cut short; download it again",
                 z->name, what);
}

static Status bad_entry(const ZipFile *z, const char *entry, const char *what, Error *e) {
  char b[80];
  return err_set(e, ST_FORMAT, "%s: zip entry \"%s\": %s; the file is damaged or was made by hand",
                 z->name, str_shown(entry, b), what);
}

bool zip_is(const uint8_t *p, size_t n) {
  return n >= 4 && (bytes_le32(p) == SIG_LOCAL || bytes_le32(p) == SIG_EOCD);
}

/* ---- central directory ---- */
typedef struct Directory {
  uint64_t at;
  uint64_t bytes;
  uint64_t count;
} Directory;

/* The end record is the last one whose comment reaches exactly to the end of the file. */
static Status find_directory(const ZipFile *z, Directory *d, Error *e) {
  if (z->bytes < EOCD_BYTES) return zip_bad(z, "no end record", e);
  size_t stop = z->bytes - EOCD_BYTES > 65535 ? z->bytes - EOCD_BYTES - 65535 : 0,
         at = z->bytes - EOCD_BYTES;
  while (bytes_le32(z->data + at) != SIG_EOCD ||
         at + EOCD_BYTES + bytes_le16(z->data + at + 20) != z->bytes) {
    if (at == stop) return zip_bad(z, "no end record", e);
    at--;
  }
  const uint8_t *p = z->data + at;
  uint32_t disks = bytes_le16(p + 4) | bytes_le16(p + 6);
  *d = (Directory){bytes_le32(p + 16), bytes_le32(p + 12), bytes_le16(p + 10)};
  bool wide = d->at == 0xffffffffu || d->bytes == 0xffffffffu || d->count == 0xffff;
  if (wide && at >= LOCATOR_BYTES && bytes_le32(p - LOCATOR_BYTES) == SIG_LOCATOR) {
    uint64_t q = bytes_le64(p - LOCATOR_BYTES + 8);
    if (q > at - LOCATOR_BYTES || at - LOCATOR_BYTES - q < EOCD64_BYTES ||
        bytes_le32(z->data + q) != SIG_EOCD64)
      return zip_bad(z, "no ZIP64 end record where its locator points", e);
    p = z->data + q;
    disks = bytes_le32(p + 16) | bytes_le32(p + 20);
    *d = (Directory){bytes_le64(p + 48), bytes_le64(p + 40), bytes_le64(p + 32)};
    at = q;
  }
  if (disks != 0 && disks != 0xffff) return zip_bad(z, "split over several files", e);
  if (d->at > at || d->bytes > at - d->at)
    return zip_bad(z, "its directory lies outside the file", e);
  if (d->count > d->bytes / CENTRAL_BYTES || d->count > MAX_ENTRIES)
    return zip_bad(z, "impossible number of entries", e);
  return ST_OK;
}

/* ZIP64 extra field (id 1): 8-byte values for exactly those of size, packed, offset that are
 * 0xffffffff, in this order. */
static bool read_zip64(const uint8_t *p, size_t n, uint64_t *v[3]) {
  while (n >= 4) {
    size_t len = bytes_le16(p + 2);
    if (len > n - 4) return false;
    if (bytes_le16(p) == 1) {
      const uint8_t *q = p + 4;
      for (int k = 0; k < 3; k++) {
        if (*v[k] != 0xffffffffu) continue;
        if (len < 8) return false;
        *v[k] = bytes_le64(q);
        q += 8;
        len -= 8;
      }
      return true;
    }
    p += 4 + len;
    n -= 4 + len;
  }
  return *v[0] != 0xffffffffu && *v[1] != 0xffffffffu && *v[2] != 0xffffffffu;
}

/* The local header repeats the name; its sizes may be 0 (then they follow the data) and are not
 * used. */
static Status check_local(const ZipFile *z, ZipEntry *t, uint64_t limit, uint32_t flags,
                          uint32_t method, Error *e) {
  if (t->offset > limit || limit - t->offset < LOCAL_BYTES ||
      bytes_le32(z->data + t->offset) != SIG_LOCAL)
    return bad_entry(z, t->name, "no local header where the directory says", e);
  const uint8_t *p = z->data + t->offset;
  size_t name = bytes_le16(p + 26), extra = bytes_le16(p + 28);
  if (limit - t->offset < LOCAL_BYTES + name + extra)
    return bad_entry(z, t->name, "its local header reaches beyond the data", e);
  if (name != strlen(t->name) || memcmp(p + LOCAL_BYTES, t->name, name) != 0 ||
      bytes_le16(p + 8) != method || (bytes_le16(p + 6) & 1) != (flags & 1))
    return bad_entry(z, t->name, "local header and directory disagree", e);
  t->offset += LOCAL_BYTES + name + extra;
  if (t->packed > limit - t->offset)
    return bad_entry(z, t->name, "its data reaches beyond the archive", e);
  return ST_OK;
}

static Status read_entry(ZipFile *z, const uint8_t **at, const uint8_t *end, uint64_t limit,
                         Error *e) {
  const uint8_t *p = *at;
  if (end - p < CENTRAL_BYTES || bytes_le32(p) != SIG_CENTRAL)
    return zip_bad(z, "damaged directory", e);
  size_t name = bytes_le16(p + 28), extra = bytes_le16(p + 30), comment = bytes_le16(p + 32);
  if ((size_t)(end - p) - CENTRAL_BYTES < name + extra + comment)
    return zip_bad(z, "damaged directory", e);
  if (name == 0 || name > MAX_NAME || memchr(p + CENTRAL_BYTES, 0, name))
    return zip_bad(z, "impossible entry name", e);
  ZipEntry *t = &z->entry[z->count];
  uint32_t flags = bytes_le16(p + 8), method = bytes_le16(p + 10);
  *t = (ZipEntry){mem_alloc(name + 1), bytes_le32(p + 42), bytes_le32(p + 20),
                  bytes_le32(p + 24),  bytes_le32(p + 16), method == 8};
  if (!t->name) return err_set(e, ST_NOMEM, "%s: out of memory for the directory", z->name);
  z->count++;
  memcpy(t->name, p + CENTRAL_BYTES, name);
  if (flags & 1) return bad_entry(z, t->name, "encrypted", e);
  if (method != 0 && method != 8)
    return bad_entry(z, t->name, "compressed by a method other than deflate", e);
  uint64_t *v[3] = {&t->size, &t->packed, &t->offset};
  if (!read_zip64(p + CENTRAL_BYTES + name, extra, v))
    return bad_entry(z, t->name, "damaged ZIP64 field", e);
  if (!t->deflated && t->size != t->packed)
    return bad_entry(z, t->name, "stored, but with two different sizes", e);
  if (t->deflated && t->size / 1032 > t->packed)
    return bad_entry(z, t->name, "claims to grow more than 1032 times, which deflate cannot", e);
  *at = p + CENTRAL_BYTES + name + extra + comment;
  return check_local(z, t, limit, flags, method, e);
}

static int by_offset(const void *a, const void *b) {
  uint64_t x = ((const ZipEntry *)a)->offset, y = ((const ZipEntry *)b)->offset;
  return x < y ? -1 : x > y;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const ZipEntry *)a)->name, ((const ZipEntry *)b)->name);
}

/* Distinct names, and no byte belongs to two entries: a few kilobytes could otherwise stand for
 * terabytes. */
static Status check_entries(ZipFile *z, Error *e) {
  qsort(z->entry, (size_t)z->count, sizeof *z->entry, by_offset);
  for (int i = 1; i < z->count; i++)
    if (z->entry[i].offset - z->entry[i - 1].offset <
        z->entry[i - 1].packed + LOCAL_BYTES + strlen(z->entry[i].name))
      return bad_entry(z, z->entry[i].name, "overlaps another entry", e);
  qsort(z->entry, (size_t)z->count, sizeof *z->entry, by_name);
  for (int i = 1; i < z->count; i++)
    if (!strcmp(z->entry[i].name, z->entry[i - 1].name))
      return bad_entry(z, z->entry[i].name, "appears twice", e);
  return ST_OK;
}

/* What it has read so far is in z, for zip_close. */
static Status read_directory(ZipFile *z, Error *e) {
  Directory d = {0};
  TRY(find_directory(z, &d, e));
  z->entry = mem_alloc((size_t)d.count * sizeof *z->entry);
  if (!z->entry) return err_set(e, ST_NOMEM, "%s: out of memory for the directory", z->name);
  const uint8_t *p = z->data + d.at, *end = p + d.bytes;
  for (uint64_t i = 0; i < d.count; i++) TRY(read_entry(z, &p, end, d.at, e));
  return check_entries(z, e);
}

Status zip_open(ZipFile *z, const uint8_t *data, size_t n, const char *name, Error *e) {
  *z = (ZipFile){data, n, mem_strdup(name), NULL, 0};
  if (!z->name) return err_set(e, ST_NOMEM, "%s: out of memory", name);
  const Status s = read_directory(z, e);
  if (s != ST_OK) zip_close(z);
  return s;
}

void zip_close(ZipFile *z) {
  for (int i = 0; i < z->count; i++) mem_free(z->entry[i].name);
  mem_free(z->entry);
  mem_free(z->name);
  memset(z, 0, sizeof *z);
}

const ZipEntry *zip_find(const ZipFile *z, const char *name) {
  int lo = 0, hi = z->count;
  while (lo < hi) {
    int mid = lo + (hi - lo) / 2, c = strcmp(name, z->entry[mid].name);
    if (c == 0) return &z->entry[mid];
    if (c < 0)
      hi = mid;
    else
      lo = mid + 1;
  }
  return NULL;
}

Status zip_read(const ZipFile *z, const ZipEntry *t, size_t max, const uint8_t **out, void **own,
                Error *e) {
  char b[80];
  *out = NULL;
  *own = NULL;
  if (t->size > max)
    return err_set(
        e, ST_FORMAT,
        "%s: zip entry \"%s\" has %llu bytes; at most %zu are read; not a file of weights", z->name,
        str_shown(t->name, b), (unsigned long long)t->size, max);
  if (!t->deflated)
    *out = z->data + t->offset;
  else {
    uint8_t *p = mem_alloc((size_t)t->size);
    if (!p)
      return err_set(e, ST_NOMEM, "%s: out of memory for zip entry \"%s\" (%llu bytes)", z->name,
                     str_shown(t->name, b), (unsigned long long)t->size);
    size_t got, used;
    Status s = raw_inflate(z->data + t->offset, (size_t)t->packed, p, (size_t)t->size, &got, &used,
                           z->name, e);
    if (s != ST_OK) {
      mem_free(p);
      return s;
    }
    if (got != t->size || used != t->packed) {
      mem_free(p);
      return bad_entry(z, t->name, "its size is not what the directory says", e);
    }
    *out = *own = p;
  }
  /* torch.serialization.set_crc32_options(False): stored, and a checksum of 0 stands for none */
  if ((t->crc == 0 && !t->deflated) || crc32_ieee(0, *out, (size_t)t->size) == t->crc) return ST_OK;
  mem_free(*own);
  *own = NULL;
  *out = NULL;
  return bad_entry(z, t->name, "wrong checksum", e);
}
