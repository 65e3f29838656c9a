/* checksum.c: CRC-32 (RFC 1952, PNG) eight bytes at a time, Adler-32 (RFC 1950). */
#include "io/formats/checksum.h"
#include <string.h>
#include "io/formats/bytes.h"
#include "io/formats/inflate.h"

/* table[k][b]: CRC of byte b followed by k zero bytes, so that eight look-ups advance eight bytes
 * ("slicing by 8", Kounavis and Berry 2005). */
static uint32_t table[8][256];
static void make_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    __atomic_store_n(&table[0][i], c, __ATOMIC_RELAXED);
  }
  for (int k = 1; k < 8; k++)
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = table[k - 1][i];
      __atomic_store_n(&table[k][i], c >> 8 ^ table[0][c & 255], __ATOMIC_RELAXED);
    }
}

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n) {
  static int ready;
  /* two threads may both fill it, with the same numbers */
  if (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE)) {
    make_table();
    __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
  }
  const uint8_t *b = p;
  crc = ~crc;
  for (; n >= 8; n -= 8, b += 8) {
    const uint32_t lo = load_le32(b) ^ crc, hi = load_le32(b + 4);
    crc = table[7][lo & 255] ^ table[6][lo >> 8 & 255] ^ table[5][lo >> 16 & 255] ^
          table[4][lo >> 24] ^ table[3][hi & 255] ^ table[2][hi >> 8 & 255] ^
          table[1][hi >> 16 & 255] ^ table[0][hi >> 24];
  }
  while (n--) crc = crc >> 8 ^ table[0][(crc ^ *b++) & 255];
  return ~crc;
}

uint32_t crc32_numbers(uint32_t crc, const void *p, size_t n, size_t size) {
  unsigned char piece[4096];
  if (!HOST_BIG || size == 1) return crc32_ieee(crc, p, n * size);
  const unsigned char *s = p;
  for (size_t at = 0; at < n;) {
    const size_t k = PRLX_MIN(n - at, sizeof piece / size);
    bytes_turn(piece, s + at * size, k, size);
    crc = crc32_ieee(crc, piece, k * size);
    at += k;
  }
  return crc;
}

uint32_t adler32_of(const uint8_t *p, size_t n) {
  uint32_t a = 1, b = 0;
  while (n) {
    size_t k = PRLX_MIN(n, (size_t)5552); /* most bytes for which b stays below 2^32 */
    n -= k;
    while (k--) {
      a += *p++;
      b += a;
    }
    a %= 65521;
    b %= 65521;
  }
  return b << 16 | a;
}
