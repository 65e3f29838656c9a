/* sha256.h: SHA-256 (FIPS 180-4), to tell which published file one has and whether it arrived
 * whole. */
#ifndef PRLX_SHA256_H
#define PRLX_SHA256_H
#include "core/base.h"
typedef struct Sha256 {
  uint32_t hash[8];
  uint8_t block[64]; /* the last bytes % 64 of the input */
  uint64_t bytes;    /* of the input so far */
} Sha256;

/* begin, add any number of times, end: hex gets 64 lower-case digits and a NUL. Nothing to free. */
void sha256_begin(Sha256 *s);
void sha256_add(Sha256 *s, const void *p, size_t n);
void sha256_end(Sha256 *s, char hex[65]);

/* Adds n numbers of `size` bytes as a little-endian file holds them: the same on every machine. */
void sha256_numbers(Sha256 *s, const void *p, size_t n, size_t size);

/* The three of them for n bytes. */
void sha256_hex(const void *p, size_t n, char hex[65]);
#endif
