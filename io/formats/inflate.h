/* inflate.h: the DEFLATE decoder (RFC 1951) behind zlib_inflate, raw_inflate and gzip_decode.
 * Inside io/ only. The output buffer is also the window, so a back reference is a plain copy. */
#ifndef PRLX_IO_INFLATE_H
#define PRLX_IO_INFLATE_H
#include "core/base.h"
/* First-level index bits. A complete code has at least two codes below every second-level table,
 * and those tables have at most 2^(15 - index bits) entries: 288/2 * 16 and 32/2 * 128 bound the
 * sizes below. */
#define LIT_BITS 11
#define DIST_BITS 8
#define LIT_TABLE ((1 << LIT_BITS) + 144 * 16)
#define DIST_TABLE ((1 << DIST_BITS) + 16 * 128)
typedef struct Inflate {
  /* input not yet in hold */
  const uint8_t *next;
  const uint8_t *end;
  uint64_t hold;
  int nbits; /* how many bits are in hold, the next one lowest */
  /* at bytes written of cap; base: where this stream began (distances end there) */
  uint8_t *out;
  size_t at;
  size_t cap;
  size_t base;
  /* grow: out is enlarged with mem_grow up to max bytes; otherwise cap is the limit */
  size_t max;
  /* peek: stop without complaint when cap bytes are there */
  bool grow;
  bool peek;
  uint32_t lit[LIT_TABLE];
  uint32_t dist[DIST_TABLE];
} Inflate;

/* reasons that callers tell apart, by address */
extern const char INFLATE_EARLY[], INFLATE_MORE[], INFLATE_NOMEM[], INFLATE_FULL[];
/* One stream from z->p, appended to z->out; afterwards z->p is the first byte behind it. NULL, or
 * why it stopped: nothing in the input can make it read or write outside the two buffers, and every
 * step consumes input or produces output, so it ends. */
const char *inflate_stream(Inflate *z);

/* zlib and raw inflate, RFC 1950/1951: decodes at most cap bytes; never reads or writes out of
 * bounds. *used = input consumed. */
Status zlib_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got,
                    const char *name, Error *e);
Status raw_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, size_t *used,
                   const char *name, Error *e);
#endif
