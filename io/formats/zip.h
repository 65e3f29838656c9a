/* zip.h: reading ZIP archives in memory (PKWARE APPNOTE 6.3: stored and deflate, ZIP64), as
 * torch.save writes them. The central directory is checked whole before anything is used: entries
 * lie inside the file, do not overlap (so no byte is expanded twice), have distinct names, and
 * claim no more than deflate can give (1032:1). Nothing is ever extracted to disk. */
#ifndef PRLX_ZIP_H
#define PRLX_ZIP_H
#include "core/base.h"
typedef struct ZipEntry {
  char *name;
  uint64_t offset; /* of the data in the archive */
  uint64_t packed; /* bytes in the archive */
  uint64_t size;   /* bytes when expanded */
  uint32_t crc;    /* of the expanded data; stored and 0: not computed, as torch can be told to */
  bool deflated;   /* false: stored */
} ZipEntry;
typedef struct ZipFile {
  const uint8_t *data; /* the archive, not ours */
  size_t bytes;
  char *name;      /* of the archive, for messages */
  ZipEntry *entry; /* [count], sorted by name */
  int count;
} ZipFile;

/* Whether the n bytes begin like a zip archive. */
bool zip_is(const uint8_t *p, size_t n);

/* data must live as long as z. ST_FORMAT with one line that names the file and the entry.
 * zip_close(z); after an error z is empty. */
Status zip_open(ZipFile *z, const uint8_t *data, size_t n, const char *name, Error *e);

/* Also of an empty one. */
void zip_close(ZipFile *z);

/* The entry of this name, owned by z; NULL if absent. */
const ZipEntry *zip_find(const ZipFile *z, const char *name);

/* The content: *out points into the archive (stored; *own NULL) or to memory that the caller frees
 * (*own = *out, mem_free). CRC checked where there is one. ST_FORMAT: damaged, or larger than max
 * bytes, which is refused before anything is allocated; both pointers are NULL then. */
Status zip_read(const ZipFile *z, const ZipEntry *t, size_t max, const uint8_t **out, void **own,
                Error *e);
#endif
