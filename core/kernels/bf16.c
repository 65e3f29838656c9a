/* bf16.c: see core/kernels/bf16.h. Compiled once per instruction set; empty but for avx512. */
#include "core/kernels/bf16.h"
#include "core/kernels/simd.h"
/* prlx.h has no way to ask for bf16: the one-file library is without */
#if defined(__AVX512F__) && defined(__x86_64__) && !defined(PRLX_F64) && \
    !defined(PRLX_ONE_PASS) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#include <immintrin.h>
#define VECTORS __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")))
#define TILES __attribute__((target("amx-tile,amx-bf16")))

/* ---- products ---- */
/* One tile of C: its 16 rows in registers. */
VECTORS static void bf16_tile(const Bf16Product *p, const char *a, const char *b, char *c) {
  __m512 s[BF16_SIDE];
#pragma GCC unroll 16
  for (int r = 0; r < BF16_SIDE; r++)
    s[r] = p->accumulate ? _mm512_loadu_ps(c + r * p->c_row) : _mm512_setzero_ps();
  for (int k = 0; k < p->nk; k++) {
    const char *ak = a + p->a_step[k], *bk = b + p->b_step[k];
    for (int h = 0; h < BF16_STEP / 2; h++) {
      const __m512i v = _mm512_loadu_si512(bk + h * p->b_row);
#pragma GCC unroll 16
      for (int r = 0; r < BF16_SIDE; r++) {
        int32_t x;
        memcpy(&x, ak + r * p->a_row + 4 * h, sizeof x);
        s[r] = _mm512_dpbf16_ps(s[r], (__m512bh)_mm512_set1_epi32(x), (__m512bh)v);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < BF16_SIDE; r++) _mm512_storeu_ps(c + r * p->c_row, s[r]);
}

VECTORS static void bf16_vectors(const Bf16Product *p) {
  for (int i = 0; i < p->mt; i++)
    for (int j = 0; j < p->nt; j++)
      bf16_tile(p, p->left + i * p->a_tile, p->right + j * p->b_tile,
                p->sum + i * p->c_tile + j * 64);
}

/* What ldtilecfg reads: palette 1, and rows and bytes of a row of each tile. */
typedef struct __attribute__((packed)) TileConfig {
  uint8_t palette;
  uint8_t start;
  uint8_t zero[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} TileConfig;

/* Two by two tiles of C: four products for four loads. */
TILES static void bf16_four(const Bf16Product *p, const char *a, const char *b, char *c) {
  const char *a1 = a + p->a_tile, *b1 = b + p->b_tile;
  char *c1 = c + p->c_tile;
  if (p->accumulate) {
    _tile_loadd(0, c, p->c_row);
    _tile_loadd(1, c + 64, p->c_row);
    _tile_loadd(2, c1, p->c_row);
    _tile_loadd(3, c1 + 64, p->c_row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int k = 0; k < p->nk; k++) {
    _tile_loadd(4, a + p->a_step[k], p->a_row);
    _tile_loadd(6, b + p->b_step[k], p->b_row);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b1 + p->b_step[k], p->b_row);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a1 + p->a_step[k], p->a_row);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, p->c_row);
  _tile_stored(1, c + 64, p->c_row);
  _tile_stored(2, c1, p->c_row);
  _tile_stored(3, c1 + 64, p->c_row);
}

/* What is left at an edge. */
TILES static void bf16_one(const Bf16Product *p, const char *a, const char *b, char *c) {
  if (p->accumulate)
    _tile_loadd(0, c, p->c_row);
  else
    _tile_zero(0);
  for (int k = 0; k < p->nk; k++) {
    _tile_loadd(4, a + p->a_step[k], p->a_row);
    _tile_loadd(6, b + p->b_step[k], p->b_row);
    _tile_dpbf16ps(0, 4, 6);
  }
  _tile_stored(0, c, p->c_row);
}

/* The configuration is this thread's, for the time of this call. */
TILES static void bf16_tiles(const Bf16Product *p) {
  TileConfig cfg;
  memset(&cfg, 0, sizeof cfg);
  cfg.palette = 1;
  for (int t = 0; t < 8; t++) {
    cfg.bytes[t] = 64;
    cfg.rows[t] = BF16_SIDE;
  }
  /* GCC's intrinsic names eight bytes of it only */
  __asm__ volatile("" : : "r"(&cfg) : "memory");
  _tile_loadconfig(&cfg);
  for (int i = 0; i < p->mt; i += 2)
    for (int j = 0; j < p->nt; j += 2) {
      const int two_rows = i + 1 < p->mt, two_columns = j + 1 < p->nt;
      const char *a = p->left + i * p->a_tile, *b = p->right + j * p->b_tile;
      char *c = p->sum + i * p->c_tile + j * 64;
      if (two_rows && two_columns) {
        bf16_four(p, a, b, c);
        continue;
      }
      bf16_one(p, a, b, c);
      if (two_rows) bf16_one(p, a + p->a_tile, b, c + p->c_tile);
      if (two_columns) bf16_one(p, a, b + p->b_tile, c + 64);
    }
  _tile_release();
}

/* ---- operands ---- */
/* 16 numbers, step apart, those of mask m. */
VECTORS static inline __m512 bf16_load(const float *p, int64_t step, __mmask16 m) {
  if (step == 1) return _mm512_maskz_loadu_ps(m, p);
  const __m512i at =
      _mm512_mullo_epi32(_mm512_set1_epi32((int)step),
                         _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, at, p, 4);
}

VECTORS static inline __m256i bf16_round(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

static inline unsigned bf16_mask(int64_t left) {
  return left >= 16 ? 0xffffu : (1u << (left > 0 ? left : 0)) - 1;
}

VECTORS static void bf16_pairs(const float *a, const float *b, float sa, float sb, int64_t step,
                               int64_t n, uint32_t *dst) {
  const __m512 va = _mm512_set1_ps(sa), vb = _mm512_set1_ps(sb);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 m = (__mmask16)bf16_mask(n - i);
    __m512i w =
        _mm512_cvtepu16_epi32(bf16_round(_mm512_mul_ps(va, bf16_load(a + i * step, step, m))));
    if (b)
      w = _mm512_or_si512(w, _mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16_round(_mm512_mul_ps(
                                                   vb, bf16_load(b + i * step, step, m)))),
                                               16));
    _mm512_mask_storeu_epi32(dst + i, m, w);
  }
}

VECTORS static void bf16_row(const float *src, float scale, int64_t step, int64_t n,
                             uint16_t *dst) {
  const __m512 v = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 m = (__mmask16)bf16_mask(n - i);
    _mm256_mask_storeu_epi16(dst + i, m,
                             bf16_round(_mm512_mul_ps(v, bf16_load(src + i * step, step, m))));
  }
}

VECTORS static void bf16_gather(const float *src, int64_t step, int n, uint16_t *dst) {
  for (int i = 0; i < BF16_STEP; i += 16) {
    const __mmask16 m = (__mmask16)bf16_mask(n - i);
    _mm256_storeu_si256((__m256i *)(void *)(dst + i),
                        bf16_round(bf16_load(m ? src + i * step : src, step, m)));
  }
}

/* 16 x 16 words, transposed: neighbours, pairs, fours, eights. */
VECTORS static inline void bf16_transpose(__m512i v[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

VECTORS static void bf16_turn(const uint16_t *src, int64_t lds, int64_t n, uint32_t *dst) {
  for (int64_t k = 0; k < n; k += BF16_STEP, dst += BF16_SIDE * BF16_STEP / 2) {
    __m512i v[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++) v[r] = _mm512_loadu_si512((const char *)(src + k) + r * lds);
    bf16_transpose(v);
#pragma GCC unroll 16
    for (int r = 0; r < 16; r++) _mm512_storeu_si512(dst + r * 16, v[r]);
  }
}

const Bf16Kernels ISA_SYM(bf16_kernels) = {bf16_vectors, bf16_tiles,  bf16_pairs,
                                           bf16_row,     bf16_gather, bf16_turn};
#else
const Bf16Kernels ISA_SYM(bf16_kernels) = {NULL, NULL, NULL, NULL, NULL, NULL};
#endif
