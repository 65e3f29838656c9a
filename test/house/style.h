/* style.h: the rules of the style checker, between style.c (rules about text, the exceptions, the
 * report) and style_c.c (rules about C). */
#ifndef PRLX_HOUSE_STYLE_H
#define PRLX_HOUSE_STYLE_H
#include "test/house/source.h"

typedef enum {
  RULE_WIDTH,
  RULE_TABS,
  RULE_BLANKS,
  RULE_MARKS,
  RULE_PATHS,
  RULE_STATEMENTS,
  RULE_STRUCT,
  RULE_MEMBERS,
  RULE_ONE_LETTER,
  RULE_INCLUDES,
  RULE_PRIVATE,
  RULE_NUMBERED,
  RULE_LADDER,
  RULE_COMMENT,
  RULE_ONE_WORD,
  RULE_FUNCTION,
  RULE_FILE,
  RULE_COUNT
} Rule;

/* Counts a finding of `rule` on line n (from 0), unless style.c lists it as an exception. */
void style_found(Rule rule, const Source *s, int n, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The rules that need to know C. */
void style_check_c(const Source *s);
#endif
