/* four.h: transposition within vectors, seen as chunks of four numbers. For files of core/kernels/.
 *
 * Small maps and tiles come in runs of four columns, so a vector of VLEN lanes is handled as VLEN/4
 * chunks: chunk h of vector i belongs to lane 4h + i. turn4 makes, of the four columns of every
 * lane, four vectors over lanes; and back. */
#ifndef PRLX_FOUR_H
#define PRLX_FOUR_H
#include "core/kernels/simd.h"
typedef real v4 __attribute__((vector_size(4 * sizeof(real))));
typedef real v4_u __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));

/* Four numbers, unaligned. */
static inline void copy4(real *dst, const real *src) { *(v4_u *)dst = *(const v4_u *)src; }

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUF(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define CONCAT(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef SHUF /* GCC before 12: places as integers of the numbers' size */
#ifdef PRLX_F64
typedef int64_t shuf_place;
#else
typedef int32_t shuf_place;
#endif
#define SHUF(a, b, ...) \
  __builtin_shuffle(a, b, (shuf_place __attribute__((vector_size(sizeof(a))))){__VA_ARGS__})
#endif

/* dst + x*ldd (x = 0..3) gets (s0[x], s1[x], s2[x], s3[x]). */
static inline void transpose4(const real *s0, const real *s1, const real *s2, const real *s3,
                              real *dst, int64_t ldd) {
#ifndef PRLX_F64
  v4 a = *(const v4_u *)s0, b = *(const v4_u *)s1, c = *(const v4_u *)s2, d = *(const v4_u *)s3;
  v4 ab0 = SHUF(a, b, 0, 4, 1, 5), ab1 = SHUF(a, b, 2, 6, 3, 7), cd0 = SHUF(c, d, 0, 4, 1, 5),
     cd1 = SHUF(c, d, 2, 6, 3, 7);
  *(v4_u *)dst = SHUF(ab0, cd0, 0, 1, 4, 5);
  *(v4_u *)(dst + ldd) = SHUF(ab0, cd0, 2, 3, 6, 7);
  *(v4_u *)(dst + 2 * ldd) = SHUF(ab1, cd1, 0, 1, 4, 5);
  *(v4_u *)(dst + 3 * ldd) = SHUF(ab1, cd1, 2, 3, 6, 7);
#else
  for (int x = 0; x < 4; x++, dst += ldd) {
    dst[0] = s0[x];
    dst[1] = s1[x];
    dst[2] = s2[x];
    dst[3] = s3[x];
  }
#endif
}

/* Four lanes of v from lane j (or all, when a vector is shorter). j is known when compiled. */
static inline __attribute__((always_inline)) void store_chunk(real *dst, vreal v, int j) {
#if defined(CONCAT) && !defined(PRLX_F64) && VBYTES == 32
  *(v4_u *)dst = j == 0 ? CONCAT(v, v, 0, 1, 2, 3) : CONCAT(v, v, 4, 5, 6, 7);
#elif defined(CONCAT) && !defined(PRLX_F64) && VBYTES == 64
  *(v4_u *)dst = j == 0   ? CONCAT(v, v, 0, 1, 2, 3)
                 : j == 4 ? CONCAT(v, v, 4, 5, 6, 7)
                 : j == 8 ? CONCAT(v, v, 8, 9, 10, 11)
                          : CONCAT(v, v, 12, 13, 14, 15);
#else
  real z[VLEN];
  v_store(z, v);
  memcpy(dst, z + j, (VLEN < 4 ? VLEN : 4) * sizeof(real));
#endif
}

#ifndef PRLX_F64
#define FOUR_CHUNKS (VLEN / 4)
#if VBYTES == 64
#define LO2(a, b) SHUF(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HI2(a, b) SHUF(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LO4(a, b) SHUF(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HI4(a, b) SHUF(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#elif VBYTES == 32
#define LO2(a, b) SHUF(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HI2(a, b) SHUF(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LO4(a, b) SHUF(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HI4(a, b) SHUF(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LO2(a, b) SHUF(a, b, 0, 4, 1, 5)
#define HI2(a, b) SHUF(a, b, 2, 6, 3, 7)
#define LO4(a, b) SHUF(a, b, 0, 1, 4, 5)
#define HI4(a, b) SHUF(a, b, 2, 3, 6, 7)
#endif
/* Chunk h of the result is the four numbers at p[4h]. */
static inline vreal chunks_load(const real *const *p) {
#if VBYTES == 16
  return *(const v4_u *)p[0];
#elif !defined(CONCAT)
  vreal v;
  for (int h = 0; h < FOUR_CHUNKS; h++) memcpy((real *)&v + 4 * h, p[4 * h], 4 * sizeof(real));
  return v;
#elif VBYTES == 32
  v4 a = *(const v4_u *)p[0], b = *(const v4_u *)p[4];
  return CONCAT(a, b, 0, 1, 2, 3, 4, 5, 6, 7);
#else
  typedef float v8 __attribute__((vector_size(32)));
  v4 a = *(const v4_u *)p[0], b = *(const v4_u *)p[4], c = *(const v4_u *)p[8],
     d = *(const v4_u *)p[12];
  v8 ab = CONCAT(a, b, 0, 1, 2, 3, 4, 5, 6, 7), cd = CONCAT(c, d, 0, 1, 2, 3, 4, 5, 6, 7);
  return CONCAT(ab, cd, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

/* Chunk by chunk, the 4x4 transposition of q. */
static inline void turn4(vreal q[4]) {
  vreal ab0 = LO2(q[0], q[1]), ab1 = HI2(q[0], q[1]), cd0 = LO2(q[2], q[3]), cd1 = HI2(q[2], q[3]);
  q[0] = LO4(ab0, cd0);
  q[1] = HI4(ab0, cd0);
  q[2] = LO4(ab1, cd1);
  q[3] = HI4(ab1, cd1);
}
#endif
#endif
