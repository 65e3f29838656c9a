/* paper_expr.h: variables of a recipe (paper/recipe.txt), expressions and texts made of them.
 *
 *   numbers     200, 0.5, NAME, + - * /, min(a, b), max(a, b), floor(a), ( ), < <= > >= = !=,
 *               and or not; a comparison is 1 or 0
 *   conditions  the same; a NAME alone is true for a number that is not 0 and a text that is not ""
 *   texts       {NAME} the text or number; {EXPRESSION}; {EXPRESSION:%06g} in a format of printf;
 *               [CONDITION?yes|no] or [CONDITION?yes], nested as one likes. {w}, {o}, {c}, {p},
 *               {init}, {recipe} and {scales} stay: the engine fills them in when a step runs
 *
 * Messages say what was found and expected; whoever knows file and line puts them before. */
#ifndef PRLX_PAPER_EXPR_H
#define PRLX_PAPER_EXPR_H
#include "core/base.h"

enum { VAR_NAME = 48 };
typedef struct PaperVar {
  char name[VAR_NAME];
  char *text; /* NULL: a number */
  double number;
} PaperVar;

/* Zero-initialised is empty. */
typedef struct PaperVars {
  PaperVar *var;
  int n;
  int cap;
} PaperVars;

/* Also of an empty one; it is empty afterwards. */
void vars_free(PaperVars *v);

/* A new variable, or a new value of an old one (text is copied). ST_INVALID: no name for a
 * variable (letters, digits, '_', '.'; a letter first); ST_NOMEM. */
Status vars_set_text(PaperVars *v, const char *name, const char *text, Error *e);
Status vars_set_number(PaperVars *v, const char *name, double number, Error *e);

/* NULL: there is none of this name. */
const PaperVar *vars_find(const PaperVars *v, const char *name);

/* ST_FORMAT: unknown name, a text where a number is needed, broken syntax, division by 0. */
Status expr_number(const PaperVars *v, const char *text, double *out, Error *e);
Status expr_true(const PaperVars *v, const char *text, bool *out, Error *e);

/* *out: mem_free; untouched after an error. */
Status expr_text(const PaperVars *v, const char *text, char **out, Error *e);
#endif
