/* string.h for the page. docs/lab/libc/memory.c. */
#ifndef LAB_STRING_H
#define LAB_STRING_H
#include <stddef.h>

/* Memory and texts as ISO C has them. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *p, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *what);
char *strcpy(char *to, const char *from);
char *strncpy(char *to, const char *from, size_t n);
char *strcat(char *to, const char *from);
size_t strspn(const char *s, const char *of);
size_t strcspn(const char *s, const char *of);
char *strpbrk(const char *s, const char *of);
char *strtok_r(char *s, const char *of, char **save);
char *strerror(int number);
#endif
