/* gzip.h: gzip files: multi-member reading with CRC and length checks (RFC 1952), and a compressing
 * writer (RFC 1951). */
#ifndef PRLX_GZIP_H
#define PRLX_GZIP_H
#include "core/base.h"

/* Whether the n bytes begin like a gzip file. */
bool gzip_is(const uint8_t *p, size_t n);

/* No gzip file of this many bytes decodes to more: deflate's limit is 1032:1. */
size_t gzip_max_size(size_t compressed);

/* Decodes all members, at most max bytes (a larger result is an error that names the limit: zip
 * bombs). Zeros after the last member are padding; anything else there is an error. *got bytes in
 * *out, to be freed with mem_free. ST_FORMAT: damaged, cut short, too large. `name` is for
 * messages. After an error *out is NULL. */
Status gzip_decode(const uint8_t *in, size_t n, size_t max, uint8_t **out, size_t *got,
                   const char *name, Error *e);

/* The same, but bytes after the last member that do not begin like another one are no error: *tail
 * says how many there are (an upload or a viewer added them; gzip itself ignores them, too). */
Status gzip_decode_tail(const uint8_t *in, size_t n, size_t max, uint8_t **out, size_t *got,
                        size_t *tail, const char *name, Error *e);

/* Only the first `want` bytes (headers) into out, without decoding the rest or checking the CRC. in
 * may be the beginning of a file: fewer bytes than wanted are no error. ST_FORMAT: damaged. */
Status gzip_peek(const uint8_t *in, size_t n, uint8_t *out, size_t want, size_t *got,
                 const char *name, Error *e);

/* One member, deflate with LZ77 hash chains and dynamic Huffman blocks, level 6 quality;
 * deterministic bytes (mtime 0). *got bytes in *out, mem_free. */
Status gzip_encode(const uint8_t *in, size_t n, uint8_t **out, size_t *got, Error *e);
#endif
