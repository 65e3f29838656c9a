/* bf16.c: see bf16.h. */
#include "core/bf16.h"
#include <stdlib.h>
#include <string.h>
#include "core/os.h"

static const char *const bf16_names[BF16_WAYS] = {"none", "avx512bf16", "amx"};
static int bf16_found = -1, bf16_most = -1, bf16_on;

const char *bf16_name(Bf16Way way) { return (unsigned)way < BF16_WAYS ? bf16_names[way] : "?"; }

#if defined(PRLX_HAVE_X86_ISAS) && !defined(PRLX_F64)
/* Intel SDM, CPUID and XGETBV. AVX512_BF16: leaf 7.1, EAX bit 5; AMX-BF16 and AMX-TILE: leaf 7.0,
 * EDX bits 22 and 24; XCR0 bits 17 and 18: the system saves the tiles. */
static void bf16_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4]) {
  __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

static Bf16Way bf16_ask(void) {
  uint32_t most[4], has[4], more[4], xcr, high;
  if (!isa_has(ISA_AVX512) || !bf16_kernels_avx512.vectors) return BF16_NONE;
  bf16_cpuid(0, 0, most);
  if (most[0] < 7) return BF16_NONE;
  bf16_cpuid(7, 0, has);
  if (has[0] < 1) return BF16_NONE;
  bf16_cpuid(7, 1, more);
  if (!(more[0] >> 5 & 1)) return BF16_NONE;
  if (!(has[3] >> 22 & 1) || !(has[3] >> 24 & 1)) return BF16_VECTORS;
  __asm__ volatile("xgetbv" : "=a"(xcr), "=d"(high) : "c"(0));
  return (xcr >> 17 & 3) == 3 && os_allow_tiles() ? BF16_TILES : BF16_VECTORS;
}
#else
static Bf16Way bf16_ask(void) { return BF16_NONE; }
#endif

Bf16Way bf16_machine_way(void) {
  int now = __atomic_load_n(&bf16_found, __ATOMIC_RELAXED);
  if (now < 0) {
    now = (int)bf16_ask();
    __atomic_store_n(&bf16_found, now, __ATOMIC_RELAXED);
  }
  return (Bf16Way)now;
}

Bf16Way bf16_way(void) {
  if (isa_current() != ISA_AVX512) return BF16_NONE;
  int most = __atomic_load_n(&bf16_most, __ATOMIC_RELAXED);
  if (most < 0) {
    const char *env = getenv("PRLX_ISA");
    most = env && !strcmp(env, isa_name(ISA_AVX512))       ? BF16_NONE
           : env && !strcmp(env, bf16_names[BF16_VECTORS]) ? BF16_VECTORS
                                                           : BF16_TILES;
    __atomic_store_n(&bf16_most, most, __ATOMIC_RELAXED);
  }
  return PRLX_MIN((Bf16Way)most, bf16_machine_way());
}

int bf16_set_way(Bf16Way way) {
  if ((unsigned)way >= BF16_WAYS || way > bf16_machine_way()) return 0;
  __atomic_store_n(&bf16_most, (int)way, __ATOMIC_RELAXED);
  return 1;
}

Status bf16_use(bool on, Error *e) {
  if (on && bf16_way() == BF16_NONE) {
    const char *env = getenv("PRLX_ISA");
    const bool barred = bf16_machine_way() != BF16_NONE;
    return err_set(e, ST_INVALID,
                   "bf16 on the CPU: the instruction set in use, %s%s, has no products of bf16 "
                   "numbers; expected AVX512_BF16 or AMX-BF16 of an x86-64 CPU; %s",
                   isa_name(isa_current()), env && *env ? " (PRLX_ISA)" : "",
                   barred ? "unset PRLX_ISA: this machine has them"
                          : "compute in float (--precision strict), or on a GPU");
  }
  __atomic_store_n(&bf16_on, on, __ATOMIC_RELAXED);
  return ST_OK;
}

bool bf16_used(void) { return __atomic_load_n(&bf16_on, __ATOMIC_RELAXED); }

void bf16_product(const Bf16Product *p) {
  const Bf16Kernels *k = ISA_PICK(bf16_kernels);
  (bf16_way() == BF16_TILES ? k->tiles : k->vectors)(p);
}

void bf16_products(Bf16Product *p, const int64_t *a_step, const int64_t *b_step, int64_t n,
                   int64_t depth) {
  for (int64_t s = 0; s < n; s += depth) {
    p->nk = (int)PRLX_MIN(depth, n - s);
    p->a_step = a_step + s;
    p->b_step = b_step + s;
    p->accumulate = s > 0;
    bf16_product(p);
  }
}
