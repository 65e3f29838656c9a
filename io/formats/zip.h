/* zip.h: reading ZIP archives in memory (PKWARE APPNOTE 6.3: stored and deflate, ZIP64), as
 * torch.save writes them. The central directory is checked whole before anything is used: entries
 * lie inside the file, do not overlap (so no byte is expanded twice), have distinct names, and
 * claim no more than deflate can give (1032:1). Nothing is ever extracted to disk. */
#ifndef PRLX_ZIP_H
#define PRLX_ZIP_H
#include "core/base.h"
typedef struct ZipEntry {
  char *name;
  uint64_t offset /* of the data */, packed, size;
  uint32_t crc;
  bool deflated;
} ZipEntry;

/* entries sorted by name */
typedef struct ZipFile {
  const uint8_t *data;
  size_t bytes;
  char *name;
  ZipEntry *entry;
  int count;
} ZipFile;
bool zip_is(const uint8_t *p, size_t n); /* told by its first bytes */

/* data must live as long as z. ST_FORMAT with one line that names the file and the entry. */
Status zip_open(ZipFile *z, const uint8_t *data, size_t n, const char *name, Error *e);
void zip_close(ZipFile *z);
const ZipEntry *zip_find(const ZipFile *z, const char *name); /* NULL if absent */

/* The content: *out points into the archive (stored; *own NULL) or to memory that the caller frees
 * (*own = *out). CRC checked. An entry larger than max bytes is refused before anything is
 * allocated. */
Status zip_read(const ZipFile *z, const ZipEntry *t, size_t max, const uint8_t **out, void **own,
                Error *e);
#endif
