/* memory.c: memory and texts for the page, without a libc. Blocks come from one list ordered by
 * address; neighbours that are free become one. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int errno;

/* ---- blocks ---- */
enum { PAGE = 65536, HEAD = 64 };
typedef struct Block {
  struct Block *next; /* by address */
  struct Block *before;
  size_t bytes; /* after the head */
  int used;
} Block;
extern unsigned char __heap_base;
static Block *first, *last;

/* More memory at the end, at least n bytes in one block. */
static Block *block_grow(size_t n) {
  const size_t pages = (n + HEAD + PAGE - 1) / PAGE;
  size_t at = __builtin_wasm_memory_size(0) * (size_t)PAGE;
  if (n > SIZE_MAX - 2 * PAGE || __builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return NULL;
  if (last && !last->used && (size_t)last + HEAD + last->bytes == at) {
    last->bytes += pages * PAGE;
    return last;
  }
  Block *b = (Block *)at;
  *b = (Block){.before = last, .bytes = pages * PAGE - HEAD};
  if (last)
    last->next = b;
  else
    first = b;
  return last = b;
}

/* What is left behind n bytes becomes a block of its own. */
static void block_split(Block *b, size_t n) {
  if (b->bytes < n + 2 * HEAD) return;
  Block *rest = (Block *)((char *)b + HEAD + n);
  *rest = (Block){.next = b->next, .before = b, .bytes = b->bytes - n - HEAD};
  if (rest->next)
    rest->next->before = rest;
  else
    last = rest;
  b->next = rest;
  b->bytes = n;
}

void *malloc(size_t n) {
  static Block *from; /* where the last search ended */
  if (n > SIZE_MAX - 4 * PAGE) return NULL;
  n = n ? (n + 63) & ~(size_t)63 : 64;
  Block *b = n < 4096 && from ? from : first;
  while (b && (b->used || b->bytes < n)) b = b->next;
  if (!b)
    for (b = first; b && (b->used || b->bytes < n);) b = b->next;
  if (!b) b = block_grow(n);
  if (!b) return NULL;
  block_split(b, n);
  b->used = 1;
  from = NULL;
  return (char *)b + HEAD;
}

static void block_join(Block *a, Block *b) {
  if (!a || !b || a->used || b->used || (char *)a + HEAD + a->bytes != (char *)b) return;
  a->bytes += HEAD + b->bytes;
  a->next = b->next;
  if (b->next)
    b->next->before = a;
  else
    last = a;
}

void free(void *p) {
  if (!p) return;
  Block *b = (Block *)((char *)p - HEAD);
  b->used = 0;
  block_join(b, b->next);
  block_join(b->before, b);
}

void *calloc(size_t n, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(n, size, &bytes)) return NULL;
  void *p = malloc(bytes);
  if (p) memset(p, 0, bytes);
  return p;
}

void *realloc(void *p, size_t n) {
  void *q = malloc(n);
  if (q && p) {
    const size_t old = ((Block *)((char *)p - HEAD))->bytes;
    memcpy(q, p, old < n ? old : n);
    free(p);
  }
  return q;
}

/* ---- memory; the large ones are single instructions ---- */
void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  unsigned char *d = to;
  const unsigned char *s = from;
  typedef long long pair __attribute__((vector_size(16), aligned(1), may_alias));
  for (; n >= 16; n -= 16, d += 16, s += 16) *(pair *)d = *(const pair *)s;
  while (n--) *d++ = *s++;
  return to;
}

void *memmove(void *to, const void *from, size_t n) {
  unsigned char *d = to;
  const unsigned char *s = from;
  if (d <= s || d >= s + n) {
    while (n--) *d++ = *s++;
  } else {
    while (n--) d[n] = s[n];
  }
  return to;
}

void *memset(void *to, int c, size_t n) {
  typedef unsigned char bytes __attribute__((vector_size(16), aligned(1), may_alias));
  unsigned char *d = to;
  const bytes v = (unsigned char)c - (bytes){0};
  for (; n >= 16; n -= 16, d += 16) *(bytes *)d = v;
  while (n--) *d++ = (unsigned char)c;
  return to;
}

int memcmp(const void *a, const void *b, size_t n) {
  const unsigned char *p = a, *q = b;
  for (; n; n--, p++, q++)
    if (*p != *q) return *p - *q;
  return 0;
}

void *memchr(const void *p, int c, size_t n) {
  const unsigned char *s = p;
  for (; n; n--, s++)
    if (*s == (unsigned char)c) return (void *)s;
  return NULL;
}

/* ---- texts ---- */
size_t strlen(const char *s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}

size_t strnlen(const char *s, size_t most) {
  size_t n = 0;
  while (n < most && s[n]) n++;
  return n;
}

int strcmp(const char *a, const char *b) {
  while (*a && *a == *b) {
    a++;
    b++;
  }
  return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n) {
  while (n && *a && *a == *b) {
    a++;
    b++;
    n--;
  }
  return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

static int text_lower(int c) { return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c; }

int strncasecmp(const char *a, const char *b, size_t n) {
  while (n && *a && text_lower(*a) == text_lower(*b)) {
    a++;
    b++;
    n--;
  }
  return n ? text_lower((unsigned char)*a) - text_lower((unsigned char)*b) : 0;
}

int strcasecmp(const char *a, const char *b) { return strncasecmp(a, b, SIZE_MAX); }

char *strchr(const char *s, int c) {
  for (;; s++) {
    if (*s == (char)c) return (char *)s;
    if (!*s) return NULL;
  }
}

char *strrchr(const char *s, int c) {
  const char *found = NULL;
  for (;; s++) {
    if (*s == (char)c) found = s;
    if (!*s) return (char *)found;
  }
}

char *strstr(const char *s, const char *what) {
  const size_t n = strlen(what);
  for (; *s || !n; s++) {
    if (!strncmp(s, what, n)) return (char *)s;
    if (!*s) break;
  }
  return NULL;
}

char *strcpy(char *to, const char *from) {
  memcpy(to, from, strlen(from) + 1);
  return to;
}

char *strncpy(char *to, const char *from, size_t n) {
  size_t k = strnlen(from, n);
  memcpy(to, from, k);
  memset(to + k, 0, n - k);
  return to;
}

char *strcat(char *to, const char *from) {
  strcpy(to + strlen(to), from);
  return to;
}

size_t strspn(const char *s, const char *of) {
  size_t n = 0;
  while (s[n] && strchr(of, s[n])) n++;
  return n;
}

size_t strcspn(const char *s, const char *of) {
  size_t n = 0;
  while (s[n] && !strchr(of, s[n])) n++;
  return n;
}

char *strpbrk(const char *s, const char *of) {
  s += strcspn(s, of);
  return *s ? (char *)s : NULL;
}

char *strtok_r(char *s, const char *of, char **save) {
  if (!s) s = *save;
  s += strspn(s, of);
  if (!*s) return NULL;
  char *end = s + strcspn(s, of);
  *save = *end ? end + 1 : end;
  *end = 0;
  return s;
}

char *strerror(int number) {
  switch (number) {
    case 0: return "Success";
    case ENOENT: return "No such file";
    case ENOMEM: return "Out of memory";
    case EEXIST: return "File exists";
    case EFBIG: return "File too large";
    case EINVAL: return "Invalid argument";
    case ENOSYS: return "Not in a browser";
    default: return "Input/output error";
  }
}

/* ---- the rest of stdlib.h that is no number ---- */
static void swap_elements(char *a, char *b, size_t size) {
  while (size--) {
    const char c = *a;
    *a++ = *b;
    *b++ = c;
  }
}

static void sift_down(char *base, size_t from, size_t n, size_t size,
                      int (*compare)(const void *, const void *)) {
  for (size_t child = 2 * from + 1; child < n; from = child, child = 2 * from + 1) {
    if (child + 1 < n && compare(base + child * size, base + (child + 1) * size) < 0) child++;
    if (compare(base + from * size, base + child * size) >= 0) return;
    swap_elements(base + from * size, base + child * size, size);
  }
}

void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *)) {
  for (size_t i = n / 2; i-- > 0;) sift_down(base, i, n, size, compare);
  for (size_t i = n; i-- > 1;) {
    swap_elements(base, (char *)base + i * size, size);
    sift_down(base, 0, i, size, compare);
  }
}

void *bsearch(const void *key, const void *base, size_t n, size_t size,
              int (*compare)(const void *, const void *)) {
  const char *p = base;
  while (n) {
    const char *middle = p + n / 2 * size;
    const int c = compare(key, middle);
    if (!c) return (void *)middle;
    if (c > 0) {
      p = middle + size;
      n -= n / 2 + 1;
    } else {
      n /= 2;
    }
  }
  return NULL;
}

char *getenv(const char *name) { return strcmp(name, "PRLX_THREADS") ? NULL : "1"; }
void abort(void) { __builtin_trap(); }
void exit(int code) { __builtin_trap(); }
