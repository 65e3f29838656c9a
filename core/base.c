/* base.c: errors, memory, shapes. */
#include "core/base.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"

Status err_set(Error *e, Status code, const char *fmt, ...) {
  if (e) {
    va_list ap;
    e->code = code;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
  }
  return code;
}

static int64_t fail_after = -1;
static size_t live;

void mem_fail_after(int64_t n) { fail_after = n; }
size_t mem_live_count(void) { return __atomic_load_n(&live, __ATOMIC_RELAXED); }

void *mem_alloc(size_t bytes) {
  if (fail_after >= 0 && fail_after-- == 0) return NULL;
  if (bytes > SIZE_MAX - 64) return NULL;
  size_t n = bytes ? (bytes + 63) & ~(size_t)63 : 64;
  /* Zeroed by writing: the pages are touched here, once, which keeps the first run of a plan from
   * paying for page faults. */
  void *p = os_aligned_alloc(n);
  if (!p) return NULL;
  memset(p, 0, n);
  __atomic_fetch_add(&live, 1, __ATOMIC_RELAXED);
  return p;
}

void mem_free(void *p) {
  if (!p) return;
  __atomic_fetch_sub(&live, 1, __ATOMIC_RELAXED);
  os_aligned_free(p);
}

void *mem_grow(void *p, size_t old_bytes, size_t bytes) {
  void *q = mem_alloc(bytes);
  if (!q) return NULL;
  if (p) memcpy(q, p, old_bytes < bytes ? old_bytes : bytes);
  mem_free(p);
  return q;
}

char *mem_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *p = mem_alloc(n);
  if (p) memcpy(p, s, n);
  return p;
}

/* In size_t: a 64-bit product of a 32-bit machine asks for a function of 128 bits, which
 * WebAssembly does not bring along. */
bool mul_ok(size_t a, uint64_t b, size_t *out) {
  const size_t narrow = (size_t)b;
  const bool over = __builtin_mul_overflow(a, narrow, out);
  return !over && (!a || narrow == b);
}

int64_t shape_numel(Shape s) {
  int64_t n = 1;
  for (int i = 0; i < s.rank; i++) n *= s.dim[i];
  return n;
}

bool shape_eq(Shape a, Shape b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.dim[i] != b.dim[i]) return false;
  return true;
}

const char *shape_str(Shape s, char buf[96]) {
  int n = snprintf(buf, 96, "[");
  for (int i = 0; i < s.rank && n < 90; i++)
    n += snprintf(buf + n, 96 - (size_t)n, "%s%lld", i ? "," : "", (long long)s.dim[i]);
  if (n < 95) snprintf(buf + n, 96 - (size_t)n, "]");
  return buf;
}
