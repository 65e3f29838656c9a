/* mma.cuh: the PTX behind matrix products: tensor-core multiply-add, ldmatrix, asynchronous copies
 * to shared memory. The emulated comparison has the same functions, lane by lane, in
 * test/cuda_emu_mma.h.
 *
 * Fragments (PTX ISA, "Matrix fragments for mma.m16n8k8 / .m16n8k16"), g = lane / 4, t = lane % 4:
 *   tf32   a0 (g, t) a1 (g+8, t) a2 (g, t+4) a3 (g+8, t+4); b0 (t, g) b1 (t+4, g)
 *   16 bit a0 (g, 2t..) a1 (g+8, 2t..) a2 (g, 2t+8..) a3 (g+8, 2t+8..); b0 (2t.., g) b1 (2t+8.., g)
 *   d      d0 (g, 2t) d1 (g, 2t+1) d2 (g+8, 2t) d3 (g+8, 2t+1)
 * sm_75 has f16 as m16n8k8 only, and neither tf32, bf16 nor cp.async: f16 is done in two halves,
 * copies go through registers, and the host asks for plain float arithmetic where the other two
 * would be needed (they trap here). */
#ifndef PRLX_MMA_CUH
#define PRLX_MMA_CUH
#ifdef PRLX_CUDA_EMU
#include "test/cuda_emu_mma.h"
#else
#include <stdint.h>
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define PRLX_SM75 1
#else
#define PRLX_SM75 0
#endif

/* An address of shared memory as PTX wants it. */
static __device__ __forceinline__ uint32_t shared_address(const void *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

/* 10 bits of mantissa, nearest, ties away from zero. */
static __device__ __forceinline__ uint32_t to_tf32(float x) {
#if PRLX_SM75
  return __float_as_uint(x);
#else
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
  return r;
#endif
}

/* d += a * b */
static __device__ __forceinline__ void mma_tf32(float d[4], const uint32_t a[4],
                                                const uint32_t b[2]) {
#if PRLX_SM75
  __trap();
#else
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
               "{%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* The same with halves: m16n8k16. */
static __device__ __forceinline__ void mma_f16(float d[4], const uint32_t a[4],
                                               const uint32_t b[2]) {
#if PRLX_SM75
  for (int h = 0; h < 2; h++)
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[2 * h]), "r"(a[2 * h + 1]), "r"(b[h]));
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
               "{%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* The same with bfloat16: m16n8k16. */
static __device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4],
                                                const uint32_t b[2]) {
#if PRLX_SM75
  __trap();
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
               "{%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* ldmatrix: lanes 8i..8i+7 give the addresses of the 8 rows (16 bytes each, 16-byte aligned) of
 * matrix i; lane l receives of each matrix the elements (l/4, 2*(l%4)..+1), transposed:
 * (2*(l%4)..+1, l/4). */
#define PRLX_LDMATRIX(name, ptx, n, ...)                                               \
  static __device__ __forceinline__ void name(uint32_t r[n], const void *shared_row) { \
    asm volatile("ldmatrix.sync.aligned.m8n8." ptx:__VA_ARGS__                         \
                 : "r"(shared_address(shared_row))                                     \
                 : "memory");                                                          \
  }
PRLX_LDMATRIX(ldmatrix_x4, "x4.shared.b16 {%0,%1,%2,%3}, [%4];", 4, "=r"(r[0]), "=r"(r[1]),
              "=r"(r[2]), "=r"(r[3]))
PRLX_LDMATRIX(ldmatrix_x2, "x2.shared.b16 {%0,%1}, [%2];", 2, "=r"(r[0]), "=r"(r[1]))
PRLX_LDMATRIX(ldmatrix_x4_trans, "x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];", 4, "=r"(r[0]),
              "=r"(r[1]), "=r"(r[2]), "=r"(r[3]))
PRLX_LDMATRIX(ldmatrix_x2_trans, "x2.trans.shared.b16 {%0,%1}, [%2];", 2, "=r"(r[0]), "=r"(r[1]))

/* Copies to shared memory; zeros when !valid (global is then not read, but must be a pointer). Done
 * after a wait and a barrier. */
static __device__ __forceinline__ void cp_async16(void *shared, const void *global, bool valid) {
#if PRLX_SM75
  *(uint4 *)shared = valid ? *(const uint4 *)global : make_uint4(0, 0, 0, 0);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
#endif
}

/* The same with 4 bytes. */
static __device__ __forceinline__ void cp_async4(void *shared, const void *global, bool valid) {
#if PRLX_SM75
  *(uint32_t *)shared = valid ? *(const uint32_t *)global : 0u;
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 4 : 0)
               : "memory");
#endif
}

/* Ends a group of copies. */
static __device__ __forceinline__ void cp_async_commit(void) {
#if !PRLX_SM75
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Until at most N committed groups are unfinished. */
template <int N> static __device__ __forceinline__ void cp_async_wait(void) {
#if !PRLX_SM75
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
#endif
#endif
