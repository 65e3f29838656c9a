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
  const uint8_t *next; /* input not yet in hold, up to end */
  const uint8_t *end;
  uint64_t hold; /* the next nbits bits of the input, the first one lowest */
  int nbits;
  uint8_t *out; /* at bytes written of cap */
  size_t at;
  size_t cap;
  size_t base; /* where this stream began in out: distances end there */
  size_t max;  /* with grow: at most this many bytes */
  bool grow;   /* out is enlarged with mem_grow; otherwise cap is the limit */
  bool peek;   /* stop without complaint when cap bytes are there */
  uint32_t lit[LIT_TABLE];
  uint32_t dist[DIST_TABLE];
} Inflate;

/* Reasons that callers tell apart, by address. */
extern const char INFLATE_EARLY[], INFLATE_MORE[], INFLATE_NOMEM[], INFLATE_FULL[];

/* One stream from z->next, appended to z->out; afterwards z->next is the first byte behind it.
 * NULL, or why it stopped: nothing in the input can make it read or write outside the two buffers,
 * and every step consumes input or produces output, so it ends. */
const char *inflate_stream(Inflate *z);

/* zlib and raw inflate, RFC 1950/1951: decode in[0..n) into out, at most cap bytes, and say how
 * many (*got, *used of the input); never read or write out of bounds. ST_FORMAT: damaged, cut short
 * (the checksum is checked with zlib), or more than cap bytes. `name` is for messages. */
Status zlib_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got,
                    const char *name, Error *e);
Status raw_inflate(const uint8_t *in, size_t n, uint8_t *out, size_t cap, size_t *got, size_t *used,
                   const char *name, Error *e);
#endif
