/* strings.h for the page. */
#ifndef LAB_STRINGS_H
#define LAB_STRINGS_H
#include <stddef.h>

/* Compared without regard to case (ASCII). */
int strcasecmp(const char *a, const char *b);
int strncasecmp(const char *a, const char *b, size_t n);
#endif
