/* gzip.c: the gzip file format (RFC 1952) around inflate.c; the compressor is deflate.c. */
#include "io/formats/gzip.h"
#include <string.h>
#include "io/formats/checksum.h"
#include "io/formats/inflate.h"

#define DEFLATE_RATIO 1032 /* no deflate stream expands further: 258 bytes per 2 bits */
static uint32_t bytes_le32(const uint8_t *p) {
  return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool gzip_is(const uint8_t *p, size_t n) {
  return n >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

size_t gzip_max_size(size_t compressed) {
  return compressed > SIZE_MAX / DEFLATE_RATIO ? SIZE_MAX : compressed * DEFLATE_RATIO;
}

/* Length of the member header at p, or 0 with a reason. */
static size_t member_header(const uint8_t *p, size_t n, const char **why) {
  static const uint8_t magic[3] = {0x1f, 0x8b, 8};
  *why = "bytes that are no gzip member";
  if (n == 0 || memcmp(p, magic, PRLX_MIN(n, sizeof magic)) != 0) return 0;
  *why = "data ends within the header";
  if (n < 10) return 0;
  int flags = p[3];
  if (flags & 0xe0) return *why = "unknown flags in the header", 0;
  size_t at = 10;
  if (flags & 4) { /* FEXTRA */
    if (n - at < 2) return 0;
    size_t len = p[at] | (size_t)p[at + 1] << 8;
    if (n - at - 2 < len) return 0;
    at += 2 + len;
  }
  for (int k = 0; k < 2; k++) { /* FNAME, FCOMMENT: zero-terminated */
    if (!(flags & (k ? 16 : 8))) continue;
    const uint8_t *zero = memchr(p + at, 0, n - at);
    if (!zero) return 0;
    at = (size_t)(zero - p) + 1;
  }
  if (flags & 2) { /* FHCRC */
    if (n - at < 2) return 0;
    if ((crc32_ieee(0, p, at) & 0xffff) != (p[at] | (uint32_t)p[at + 1] << 8))
      return *why = "wrong checksum of the header", 0;
    at += 2;
  }
  return at;
}

static Status gzip_damaged(Error *e, const char *name, const char *why, size_t at) {
  return err_set(e, ST_FORMAT,
                 "%s: gzip: %s (after %zu decoded bytes); the file is damaged or cut short: copy "
                 "it again from its source",
                 name, why, at);
}

/* Does another member begin here, whole or cut short? */
static bool more_members(const uint8_t *p, const uint8_t *end) {
  static const uint8_t magic[2] = {0x1f, 0x8b};
  return p < end && memcmp(p, magic, PRLX_MIN((size_t)(end - p), sizeof magic)) == 0;
}

/* All members, appended to z->out; what follows the last one is left at z->next. */
static Status decode_members(Inflate *z, const uint8_t *in, size_t n, const char *name, Error *e) {
  z->next = in;
  z->end = in + n;
  do {
    const char *why;
    size_t head = member_header(z->next, (size_t)(z->end - z->next), &why), start = z->at;
    if (!head) return gzip_damaged(e, name, why, z->at);
    z->next += head;
    why = inflate_stream(z);
    if (why == INFLATE_NOMEM)
      return err_set(e, ST_NOMEM, "%s: out of memory for the decompressed data (%zu bytes so far)",
                     name, z->at);
    if (why == INFLATE_MORE)
      return err_set(e, ST_FORMAT,
                     "%s: gzip: more than %zu bytes when decompressed; expected at most that; the "
                     "file is damaged or not what its name says",
                     name, z->max);
    if (why) return gzip_damaged(e, name, why, z->at);
    if (z->end - z->next < 8) return gzip_damaged(e, name, "checksum is missing", z->at);
    if (bytes_le32(z->next) != crc32_ieee(0, z->out + start, z->at - start))
      return gzip_damaged(e, name, "wrong checksum (CRC)", z->at);
    if (bytes_le32(z->next + 4) != (uint32_t)(z->at - start))
      return gzip_damaged(e, name, "wrong length", z->at);
    z->next += 8;
    if (z->next < z->end && *z->next == 0) /* zeros may pad the last member to whole tape blocks */
      while (z->next < z->end && *z->next == 0) z->next++;
  } while (more_members(z->next, z->end));
  return ST_OK;
}

Status gzip_decode(const uint8_t *in, size_t n, size_t max, uint8_t **out, size_t *got,
                   const char *name, Error *e) {
  size_t tail;
  TRY(gzip_decode_tail(in, n, max, out, got, &tail, name, e));
  if (tail == 0) return ST_OK;
  mem_free(*out);
  *out = NULL;
  return gzip_damaged(e, name, "bytes that are no gzip member", *got);
}

Status gzip_decode_tail(const uint8_t *in, size_t n, size_t max, uint8_t **out, size_t *got,
                        size_t *tail, const char *name, Error *e) {
  *tail = 0;
  *out = NULL;
  *got = 0;
  if (!gzip_is(in, n)) return err_set(e, ST_FORMAT, "%s: not a gzip file", name);
  Inflate *z = mem_alloc(sizeof *z);
  if (!z) return err_set(e, ST_NOMEM, "%s: out of memory for decompression", name);
  /* The last four bytes are the length of the last member: usually all there is. A wrong one costs
   * time or memory in proportion to the input. */
  size_t guess = n >= 18 ? bytes_le32(in + n - 4) : 0;
  guess = PRLX_MIN(PRLX_MIN(guess, gzip_max_size(n)), max);
  z->grow = true;
  z->max = max;
  z->cap = guess;
  z->out = mem_alloc(guess);
  const Status s =
      z->out ? decode_members(z, in, n, name, e)
             : err_set(e, ST_NOMEM, "%s: out of memory for %zu decompressed bytes", name, guess);
  if (s == ST_OK) {
    *out = z->out;
    *got = z->at;
    *tail = (size_t)(z->end - z->next);
  } else
    mem_free(z->out);
  mem_free(z);
  return s;
}

Status gzip_peek(const uint8_t *in, size_t n, uint8_t *out, size_t want, size_t *got,
                 const char *name, Error *e) {
  *got = 0;
  Inflate *z = mem_alloc(sizeof *z);
  if (!z) return err_set(e, ST_NOMEM, "%s: out of memory for decompression", name);
  z->next = in;
  z->end = in + n;
  z->out = out;
  z->cap = want;
  z->peek = true;
  const char *why = NULL;
  Status s = ST_OK;
  do { /* usually one member; block-gzipped files have many */
    size_t head = member_header(z->next, (size_t)(z->end - z->next), &why);
    if (!head) {
      s = gzip_damaged(e, name, why, z->at);
      break;
    }
    z->next += head;
    why = inflate_stream(z);
    /* early: the caller may have read the beginning only */
    if (why && why != INFLATE_FULL && why != INFLATE_EARLY) s = gzip_damaged(e, name, why, z->at);
    z->next += PRLX_MIN(8, z->end - z->next);
  } while (!why && z->at < want && z->end - z->next >= 18 && more_members(z->next, z->end));
  *got = z->at;
  mem_free(z);
  return s;
}
