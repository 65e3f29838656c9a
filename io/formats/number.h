/* number.h: real numbers as text in files: with a point, whatever locale the program around the
 * library has chosen (in a German one strtod stops at the point, and printf writes a comma). */
#ifndef PRLX_NUMBER_H
#define PRLX_NUMBER_H
#include "core/base.h"

/* Bytes of the longest text that number_write makes, with its zero. */
enum { NUMBER_TEXT = 40 };

/* strtod as the C locale has it; `end`, which may be NULL, gets the first byte that is no part of
 * the number (`text` where there is none). Of a number only its first 127 bytes are read. */
double number_read(const char *text, char **end);

/* snprintf of one number as the C locale has it. format: one conversion of a double with at most 17
 * digits ("%.9g"). Returns out. */
char *number_write(char out[NUMBER_TEXT], const char *format, double v)
    __attribute__((format(printf, 2, 0)));
#endif
