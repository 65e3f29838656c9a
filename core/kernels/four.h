/* four.h: four numbers at a time, whatever the vector length: copies and 4x4 transposition. For files of core/kernels/. */
#ifndef PRLX_FOUR_H
#define PRLX_FOUR_H
#include "simd.h"
typedef struct Four { real x[4]; } Four;
static inline void copy4(real *dst, const real *src) { Four f; memcpy(&f, src, sizeof f); memcpy(dst, &f, sizeof f); }

#ifndef PRLX_F64
typedef float v4 __attribute__((vector_size(16)));
typedef float v4_u __attribute__((vector_size(16), aligned(4), may_alias));
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUF4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#endif
#endif
#ifndef SHUF4
typedef int i4 __attribute__((vector_size(16)));
#define SHUF4(a, b, i, j, k, l) __builtin_shuffle(a, b, (i4){i, j, k, l})
#endif
/* dst + x*ldd (x = 0..3) gets (s0[x], s1[x], s2[x], s3[x]). */
static inline void transpose4(const real *s0, const real *s1, const real *s2, const real *s3, real *dst, int64_t ldd) {
  v4 a = *(const v4_u *)s0, b = *(const v4_u *)s1, c = *(const v4_u *)s2, d = *(const v4_u *)s3;
  v4 ab0 = SHUF4(a, b, 0, 4, 1, 5), ab1 = SHUF4(a, b, 2, 6, 3, 7), cd0 = SHUF4(c, d, 0, 4, 1, 5), cd1 = SHUF4(c, d, 2, 6, 3, 7);
  *(v4_u *)dst = SHUF4(ab0, cd0, 0, 1, 4, 5);
  *(v4_u *)(dst + ldd) = SHUF4(ab0, cd0, 2, 3, 6, 7);
  *(v4_u *)(dst + 2 * ldd) = SHUF4(ab1, cd1, 0, 1, 4, 5);
  *(v4_u *)(dst + 3 * ldd) = SHUF4(ab1, cd1, 2, 3, 6, 7);
}
#else
static inline void transpose4(const real *s0, const real *s1, const real *s2, const real *s3, real *dst, int64_t ldd) {
  for (int x = 0; x < 4; x++, dst += ldd) { dst[0] = s0[x]; dst[1] = s1[x]; dst[2] = s2[x]; dst[3] = s3[x]; }
}
#endif
#endif
