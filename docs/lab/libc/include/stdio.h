/* stdio.h for the page: text goes to the console of the browser, line by line; there are no other
 * streams. docs/lab/libc/print.c. */
#ifndef LAB_STDIO_H
#define LAB_STDIO_H
#include <stdarg.h>
#include <stddef.h>
typedef struct LabStream FILE;
extern FILE *const stdout, *const stderr;
#define EOF (-1)
#define SEEK_SET 0
#define SEEK_CUR 1
#define SEEK_END 2
#define BUFSIZ 1024

/* %d %i %u %x %c %s %p %f %e %g %% with flags, width, precision and lengths. */
int vsnprintf(char *to, size_t n, const char *format, va_list args);
int snprintf(char *to, size_t n, const char *format, ...) __attribute__((format(printf, 3, 4)));
int sprintf(char *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* To the console. */
int vfprintf(FILE *f, const char *format, va_list args);
int fprintf(FILE *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int fputs(const char *text, FILE *f);
int puts(const char *text);
int fputc(int c, FILE *f);
int putchar(int c);
size_t fwrite(const void *p, size_t size, size_t n, FILE *f);

/* NULL, an error, the end: there are no files behind streams. */
FILE *fopen(const char *path, const char *mode);
int fclose(FILE *f);
int fflush(FILE *f);
int ferror(FILE *f);
int feof(FILE *f);
size_t fread(void *p, size_t size, size_t n, FILE *f);
char *fgets(char *to, int n, FILE *f);
int fseek(FILE *f, long at, int from);
long ftell(FILE *f);
int remove(const char *path);
int sscanf(const char *text, const char *format, ...);
#endif
