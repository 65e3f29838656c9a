/* bytes.h: the order of the bytes of a number, in files and in memory. Every format here stores
 * numbers in an order of its own, whatever the machine; on most machines it is theirs, too, and
 * nothing has to be done. */
#ifndef PRLX_IO_BYTES_H
#define PRLX_IO_BYTES_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 1 on machines that keep the highest byte first (s390x). */
#define HOST_BIG (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

/* n numbers of `size` bytes (1, 2, 4, 8) with their bytes turned round; dst may be src. */
static inline void bytes_turn(void *dst, const void *src, size_t n, size_t size) {
  const unsigned char *s = src;
  unsigned char *d = dst;
  for (size_t i = 0; i < n * size; i += size)
    for (size_t k = 0; k < (size + 1) / 2; k++) {
      const unsigned char low = s[i + k], high = s[i + size - 1 - k];
      d[i + k] = high;
      d[i + size - 1 - k] = low;
    }
}

/* The same only where the machine's order is not little-endian: from memory to a file whose numbers
 * are, and back. */
static inline void bytes_little(void *dst, const void *src, size_t n, size_t size) {
  if (HOST_BIG)
    bytes_turn(dst, src, n, size);
  else if (dst != src)
    memcpy(dst, src, n * size);
}

/* Four bytes, unaligned, as a little-endian number. */
static inline uint32_t load_le32(const void *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return HOST_BIG ? __builtin_bswap32(v) : v;
}

/* Eight bytes, unaligned, as a little-endian number. */
static inline uint64_t load_le64(const void *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return HOST_BIG ? __builtin_bswap64(v) : v;
}
#endif
