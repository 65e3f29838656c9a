/* stdlib.h for the page. docs/lab/libc/memory.c, number.c. */
#ifndef LAB_STDLIB_H
#define LAB_STDLIB_H
#include <stddef.h>
#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1

/* Blocks of memory, aligned to 64 bytes. */
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void free(void *p);

/* Numbers in texts. strtod rounds to nearest (up to 19 digits exactly). */
double strtod(const char *text, char **end);
float strtof(const char *text, char **end);
long strtol(const char *text, char **end, int base);
long long strtoll(const char *text, char **end, int base);
unsigned long strtoul(const char *text, char **end, int base);
unsigned long long strtoull(const char *text, char **end, int base);
int atoi(const char *text);
long long atoll(const char *text);
double atof(const char *text);
int abs(int x);

/* Heap sort: equal elements in no particular order. */
void qsort(void *base, size_t n, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t n, size_t size,
              int (*compare)(const void *, const void *));

/* NULL, but for PRLX_THREADS: 1. */
char *getenv(const char *name);

/* The program ends; the page says so. */
_Noreturn void abort(void);
_Noreturn void exit(int code);
#endif
