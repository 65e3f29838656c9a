/* isa.h: one kernel source, several instruction sets, picked at run time.
 * Every file core/kernels/X.c is compiled once per instruction set with -DISA=<name> and its flags;
 * it names its public table with ISA_SYM(x_kernels), i.e. x_kernels_avx2. A caller writes
 *     ISA_DECLARE(const GemmKernels, gemm_kernels);          (in the header)
 *     const GemmKernels *k = ISA_PICK(gemm_kernels);         (in the function)
 * Environment PRLX_ISA=portable|avx2|avx512|neon overrides the choice (the program refuses an
 * unsupported one, tools/cli/environment.h; the library falls back to the best); avx512bf16 and amx
 * are avx512 with that much of core/bf16.h. On aarch64
 * "portable" is compiled to NEON by the same vector types, too; "neon" has the inner loops that
 * intrinsics do better. */
#ifndef PRLX_ISA_H
#define PRLX_ISA_H
typedef enum { ISA_PORTABLE = 0, ISA_AVX2, ISA_AVX512, ISA_NEON, ISA_COUNT } IsaLevel;

/* The one in use, and the best that this machine can run and this build contains. */
IsaLevel isa_current(void);
IsaLevel isa_best(void);

/* Whether this machine can run it and this build contains it. */
int isa_has(IsaLevel level);

/* For tests: 1, or 0 where isa_has is 0 and nothing changes. While nothing runs. */
int isa_set(IsaLevel level);

/* "portable", "avx2", "avx512", "neon": a constant text. */
const char *isa_name(IsaLevel level);
#define ISA_CAT_(a, b) a##_##b
#define ISA_CAT(a, b) ISA_CAT_(a, b)
#define ISA_SYM(x) ISA_CAT(x, ISA)
#if defined(PRLX_HAVE_X86_ISAS)
#define ISA_DECLARE(type, x) extern type x##_portable, x##_avx2, x##_avx512
#define ISA_PICK(x)                          \
  (isa_current() == ISA_AVX512 ? &x##_avx512 \
   : isa_current() == ISA_AVX2 ? &x##_avx2   \
                               : &x##_portable)
#elif defined(PRLX_HAVE_NEON)
#define ISA_DECLARE(type, x) extern type x##_portable, x##_neon
#define ISA_PICK(x) (isa_current() == ISA_NEON ? &x##_neon : &x##_portable)
#else
#define ISA_DECLARE(type, x) extern type x##_portable
#define ISA_PICK(x) (&x##_portable)
#endif
#endif
