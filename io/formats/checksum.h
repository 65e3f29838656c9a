/* checksum.h: the checksums of PNG, gzip, zip (CRC-32) and zlib (Adler-32). */
#ifndef PRLX_CHECKSUM_H
#define PRLX_CHECKSUM_H
#include "core/base.h"

/* CRC-32 of IEEE 802.3 (RFC 1952, section 8) of n bytes, going on from `crc`; start with 0. May be
 * called from several threads. */
uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n);

/* Of n numbers of `size` bytes as a little-endian file holds them: the same on every machine. */
uint32_t crc32_numbers(uint32_t crc, const void *p, size_t n, size_t size);

/* Adler-32 (RFC 1950, section 9) of n bytes. */
uint32_t adler32_of(const uint8_t *p, size_t n);
#endif
