/* isa.c: which instruction set runs. */
#include "core/isa.h"
#include <stdlib.h>
#include <string.h>

static const char *const names[ISA_COUNT] = {"portable", "avx2", "avx512", "neon"};
static int current = -1;

const char *isa_name(IsaLevel level) { return (unsigned)level < ISA_COUNT ? names[level] : "?"; }

IsaLevel isa_best(void) {
#if defined(PRLX_HAVE_X86_ISAS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return ISA_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return ISA_AVX2;
#elif defined(PRLX_HAVE_NEON)
  return ISA_NEON; /* part of every aarch64 */
#endif
  return ISA_PORTABLE;
}

int isa_has(IsaLevel level) {
  const IsaLevel best = isa_best();
  if (level == ISA_PORTABLE || level == best) return 1;
  return level == ISA_AVX2 && best == ISA_AVX512;
}

int isa_set(IsaLevel level) {
  if ((unsigned)level >= ISA_COUNT || !isa_has(level)) return 0;
  __atomic_store_n(&current, (int)level, __ATOMIC_RELAXED);
  return 1;
}

IsaLevel isa_current(void) {
  const int now = __atomic_load_n(&current, __ATOMIC_RELAXED);
  if (now >= 0) return (IsaLevel)now;
  const char *env = getenv("PRLX_ISA");
  IsaLevel want = isa_best();
  for (int i = 0; env && i < ISA_COUNT; i++)
    if (strcmp(env, names[i]) == 0) want = (IsaLevel)i;
  if (!isa_set(want)) isa_set(want = isa_best());
  return want;
}
