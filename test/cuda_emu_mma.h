/* cuda_emu_mma.h: tensor-core and asynchronous-copy wrappers of cuda/mma.cuh, emulated (included
 * there instead of PTX when PRLX_CUDA_EMU is set). Fragment layouts are those of the PTX ISA
 * (9.7.14, "Matrix fragments for mma.m16n8k8/.m16n8k16"; 9.7.14.5.15 ldmatrix), lane by lane:
 * groupID = lane / 4, t = lane % 4.
 *   m16n8k8 tf32   a0 (g, t) a1 (g+8, t) a2 (g, t+4) a3 (g+8, t+4); b0 (t, g) b1 (t+4, g)
 *   m16n8k16 16bit a0 (g, 2t..) a1 (g+8, 2t..) a2 (g, 2t+8..) a3 (g+8, 2t+8..); b0 (2t.., g) b1
 *   (2t+8.., g); lower half of a register = lower index
 *   d              d0 (g, 2t) d1 (g, 2t+1) d2 (g+8, 2t) d3 (g+8, 2t+1)
 * All 32 lanes must take part. Products are exact, sums are float in order of k: inside what
 * hardware may do. */
#ifndef PRLX_CUDA_EMU_MMA_H
#define PRLX_CUDA_EMU_MMA_H
/* 40 bytes */
struct EmuMma {
  float d[4];
  uint32_t a[4];
  uint32_t b[2];
};
static inline void emu_mma_lanes(const void *const in[32], EmuMma f[32], uint32_t live,
                                 const char *what) {
  if (live != 0xffffffffu) emu_fault("%s: lanes %08x take part; all 32 must", what, live);
  for (int l = 0; l < 32; l++) memcpy(&f[l], in[l], sizeof f[l]);
}

/* The tile of D and back; the sums are in cuda_emu.cpp. */
/* D [16][8] += A [16][K] B [K][8] */
void emu_mma_tile(int K, const float *A, const float *B, float *D);
static inline void emu_mma_sum(int K, const float *A, const float *B, const EmuMma f[32],
                               void *const out[32]) {
  float D[16 * 8];
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) D[(l / 4 + (i >> 1) * 8) * 8 + l % 4 * 2 + (i & 1)] = f[l].d[i];
  emu_mma_tile(K, A, B, D);
  for (int l = 0; l < 32; l++) {
    float d[4];
    for (int i = 0; i < 4; i++) d[i] = D[(l / 4 + (i >> 1) * 8) * 8 + l % 4 * 2 + (i & 1)];
    memcpy(out[l], d, sizeof d);
  }
}

/* cvt.rna.tf32.f32: 10 bits of mantissa, nearest, ties away from zero. */
static inline uint32_t to_tf32(float x) {
  uint32_t u = __float_as_uint(x);
  if ((u & 0x7f800000u) == 0x7f800000u) return u;
  return (u + 0x1000u) & ~0x1fffu;
}

/* the multiplier ignores the low 13 bits */
static inline float emu_tf32(uint32_t u) { return __uint_as_float(u & ~0x1fffu); }
static inline void emu_mma_tf32(const void *const in[32], void *const out[32], uint32_t live) {
  EmuMma f[32];
  float A[16 * 8], B[8 * 8];
  emu_mma_lanes(in, f, live, "mma_tf32");
  for (int l = 0; l < 32; l++) {
    int g = l / 4, t = l % 4;
    for (int i = 0; i < 4; i++) A[(g + (i & 1) * 8) * 8 + t + (i >> 1) * 4] = emu_tf32(f[l].a[i]);
    for (int i = 0; i < 2; i++) B[(t + i * 4) * 8 + g] = emu_tf32(f[l].b[i]);
  }
  emu_mma_sum(8, A, B, f, out);
}

template <float (*F)(unsigned short)>
static inline void emu_mma_16(const void *const in[32], void *const out[32], uint32_t live) {
  EmuMma f[32];
  float A[16 * 16], B[16 * 8];
  emu_mma_lanes(in, f, live, "mma of 16-bit numbers");
  for (int l = 0; l < 32; l++) {
    int g = l / 4, t = l % 4;
    for (int h = 0; h < 2; h++) {
      for (int i = 0; i < 4; i++)
        A[(g + (i & 1) * 8) * 16 + 2 * t + h + (i >> 1) * 8] =
            F((unsigned short)(f[l].a[i] >> 16 * h));
      for (int i = 0; i < 2; i++)
        B[(2 * t + h + i * 8) * 8 + g] = F((unsigned short)(f[l].b[i] >> 16 * h));
    }
  }
  emu_mma_sum(16, A, B, f, out);
}

static inline void emu_mma(const char *kind, int line, EmuWarpFn fn, float d[4],
                           const uint32_t a[4], const uint32_t b[2]) {
  EmuMma m;
  memcpy(m.d, d, sizeof m.d);
  memcpy(m.a, a, sizeof m.a);
  memcpy(m.b, b, sizeof m.b);
  emu_warp_collective(kind, line, &m, sizeof m, d, 16, fn);
}

/* d += a * b */
static inline void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2]) {
  emu_mma("mma_tf32", 0, emu_mma_tf32, d, a, b);
}

static inline void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
  emu_mma("mma_f16", 0, emu_mma_16<emu_half_to_float>, d, a, b);
}

static inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
  emu_mma("mma_bf16", 0, emu_mma_16<emu_bf16_to_float>, d, a, b);
}

/* ldmatrix: lanes 8i..8i+7 give the addresses of the 8 rows (16 bytes each) of matrix i; lane l
 * receives of each matrix the elements (l/4, 2*(l%4)..+1), transposed: (2*(l%4)..+1, l/4). */
template <int N, bool TRANS>
static inline void emu_ldmatrix_all(const void *const in[32], void *const out[32], uint32_t live) {
  if (live != 0xffffffffu) emu_fault("ldmatrix: lanes %08x take part; all 32 must", live);
  const unsigned short *row[32];
  for (int l = 0; l < 32; l++) memcpy((void *)&row[l], in[l], sizeof row[l]);
  for (int l = 0; l < 8 * N; l++)
    if ((uintptr_t)row[l] & 15)
      emu_fault("ldmatrix: lane %d gives the address %p; rows must be 16-byte aligned", l,
                (const void *)row[l]);
  for (int l = 0; l < 32; l++) {
    uint32_t r[4] = {0};
    for (int m = 0; m < N; m++)
      for (int h = 0; h < 2; h++) {
        int i = l / 4, j = 2 * (l % 4) + h;
        r[m] |= (uint32_t)(TRANS ? row[8 * m + j][i] : row[8 * m + i][j]) << 16 * h;
      }
    memcpy(out[l], r, 4 * N);
  }
}

template <int N, bool TRANS> static inline void emu_ldmatrix(uint32_t *r, const void *shared_row) {
  emu_warp_collective("ldmatrix", N * 2 + TRANS, &shared_row, sizeof shared_row, r, 4 * N,
                      emu_ldmatrix_all<N, TRANS>);
}

static inline void ldmatrix_x4(uint32_t r[4], const void *shared_row) {
  emu_ldmatrix<4, false>(r, shared_row);
}

static inline void ldmatrix_x2(uint32_t r[2], const void *shared_row) {
  emu_ldmatrix<2, false>(r, shared_row);
}

static inline void ldmatrix_x1(uint32_t r[1], const void *shared_row) {
  emu_ldmatrix<1, false>(r, shared_row);
}

static inline void ldmatrix_x4_trans(uint32_t r[4], const void *shared_row) {
  emu_ldmatrix<4, true>(r, shared_row);
}

static inline void ldmatrix_x2_trans(uint32_t r[2], const void *shared_row) {
  emu_ldmatrix<2, true>(r, shared_row);
}

static inline void ldmatrix_x1_trans(uint32_t r[1], const void *shared_row) {
  emu_ldmatrix<1, true>(r, shared_row);
}

/* cp.async: zeros when !valid (the source is then not read); done at the wait, or at once, by lot.
 */
static inline void cp_async16(void *shared, const void *global, bool valid) {
  emu_async_copy(shared, global, 16, valid);
}

static inline void cp_async8(void *shared, const void *global, bool valid) {
  emu_async_copy(shared, global, 8, valid);
}

static inline void cp_async4(void *shared, const void *global, bool valid) {
  emu_async_copy(shared, global, 4, valid);
}

static inline void cp_async_commit(void) { emu_async_commit(); }
template <int N> static inline void cp_async_wait(void) { emu_async_wait(N); }
static inline void cp_async_wait_all(void) { emu_async_wait_all(); }
#endif
