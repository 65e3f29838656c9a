/* paper_expr.c: see paper_expr.h. A parser by recursive descent; what it cannot read it refuses. */
#include "paper/engine/paper_expr.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/text.h"

/* ---- variables ---- */

void vars_free(PaperVars *v) {
  for (int i = 0; i < v->n; i++) mem_free(v->var[i].text);
  mem_free(v->var);
  *v = (PaperVars){0};
}

const PaperVar *vars_find(const PaperVars *v, const char *name) {
  for (int i = 0; i < v->n; i++)
    if (!strcmp(v->var[i].name, name)) return &v->var[i];
  return NULL;
}

static size_t name_length(const char *p) {
  size_t n = 0;
  if (!isalpha((unsigned char)*p)) return 0;
  while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '.') n++;
  return n;
}

/* The variable of this name, a new one with the number 0 if there was none. */
static Status vars_slot(PaperVars *v, const char *name, PaperVar **out, Error *e) {
  const size_t n = strlen(name);
  if (n == 0 || n >= VAR_NAME || name_length(name) != n)
    return err_set(e, ST_INVALID,
                   "'%.60s' cannot be a name; expected letters, digits, '_' and '.', at most %d",
                   name, VAR_NAME - 1);
  *out = (PaperVar *)vars_find(v, name);
  if (*out) return ST_OK;
  if (v->n == v->cap) {
    const int cap = v->cap ? 2 * v->cap : 64;
    PaperVar *grown = mem_grow(v->var, (size_t)v->cap * sizeof *grown, (size_t)cap * sizeof *grown);
    if (!grown) return err_set(e, ST_NOMEM, "out of memory for the variables");
    v->var = grown;
    v->cap = cap;
  }
  *out = &v->var[v->n++];
  **out = (PaperVar){0};
  memcpy((*out)->name, name, n + 1);
  return ST_OK;
}

Status vars_set_text(PaperVars *v, const char *name, const char *text, Error *e) {
  PaperVar *x;
  char *copy = mem_strdup(text);
  if (!copy) return err_set(e, ST_NOMEM, "out of memory for the variables");
  const Status s = vars_slot(v, name, &x, e);
  if (s != ST_OK) {
    mem_free(copy);
    return s;
  }
  mem_free(x->text);
  x->text = copy;
  return ST_OK;
}

Status vars_set_number(PaperVars *v, const char *name, double number, Error *e) {
  PaperVar *x;
  TRY(vars_slot(v, name, &x, e));
  mem_free(x->text);
  x->text = NULL;
  x->number = number;
  return ST_OK;
}

/* ---- expressions ---- */

/* A value under way: a text counts as a number when it is one, and as true when it is not "". */
typedef struct Value {
  double number;
  bool is_number;
  bool truth;
  const char *name; /* of the text, for messages */
} Value;

typedef struct Parser {
  const PaperVars *v;
  const char *text; /* all of it, for messages */
  const char *p;
  int depth;
  Error *e;
} Parser;

enum { EXPR_DEPTH = 64 }; /* brackets within brackets */

static Value number_value(double x) {
  return (Value){.number = x, .is_number = true, .truth = x != 0};
}

static Status parse_fail(const Parser *q, const char *expected) {
  return err_set(q->e, ST_FORMAT, "'%.200s': found '%.20s', expected %s", q->text,
                 *q->p ? q->p : "the end", expected);
}

static Status need_number(const Parser *q, const Value *x) {
  if (x->is_number) return ST_OK;
  return err_set(q->e, ST_FORMAT, "'%.200s': %s is no number; expected one", q->text, x->name);
}

static void skip_blanks(Parser *q) { q->p += strspn(q->p, " \t"); }

/* Takes a word or sign if it is next. */
static bool take_token(Parser *q, const char *token) {
  const size_t n = strlen(token);
  skip_blanks(q);
  if (strncmp(q->p, token, n) != 0) return false;
  if (isalpha((unsigned char)*token) && name_length(q->p) != n) return false;
  q->p += n;
  return true;
}

static Status parse_or(Parser *q, Value *out);

/* min(a, b), max(a, b) */
static Status parse_pair(Parser *q, bool least, Value *out) {
  Value a, b;
  if (!take_token(q, "(")) return parse_fail(q, "( after min or max");
  TRY(parse_or(q, &a));
  if (!take_token(q, ",")) return parse_fail(q, "a comma and a second number");
  TRY(parse_or(q, &b));
  if (!take_token(q, ")")) return parse_fail(q, ")");
  TRY(need_number(q, &a));
  TRY(need_number(q, &b));
  *out = number_value(least ? PRLX_MIN(a.number, b.number) : PRLX_MAX(a.number, b.number));
  return ST_OK;
}

static Status parse_name(Parser *q, Value *out) {
  char name[VAR_NAME];
  const size_t n = name_length(q->p);
  if (n == 0 || n >= sizeof name) return parse_fail(q, "a number or a name");
  memcpy(name, q->p, n);
  name[n] = 0;
  const PaperVar *x = vars_find(q->v, name);
  if (!x)
    return err_set(q->e, ST_FORMAT,
                   "'%.200s': there is no '%s'; expected a setting of the scale, a count of the "
                   "cohort, or something set above",
                   q->text, name);
  q->p += n;
  if (!x->text) {
    *out = number_value(x->number);
    return ST_OK;
  }
  char *end;
  const double number = strtod(x->text, &end);
  *out = (Value){.number = number,
                 .is_number = *x->text && !*end && isfinite(number),
                 .truth = *x->text != 0,
                 .name = x->name};
  if (out->is_number) out->truth = number != 0;
  return ST_OK;
}

static Status parse_floor(Parser *q, Value *out) {
  if (!take_token(q, "(")) return parse_fail(q, "( after floor");
  TRY(parse_or(q, out));
  if (!take_token(q, ")")) return parse_fail(q, ")");
  TRY(need_number(q, out));
  *out = number_value(floor(out->number));
  return ST_OK;
}

static Status parse_primary(Parser *q, Value *out) {
  skip_blanks(q);
  if (take_token(q, "floor")) return parse_floor(q, out);
  if (take_token(q, "min")) return parse_pair(q, true, out);
  if (take_token(q, "max")) return parse_pair(q, false, out);
  if (take_token(q, "(")) {
    TRY(parse_or(q, out));
    return take_token(q, ")") ? ST_OK : parse_fail(q, ")");
  }
  if (isdigit((unsigned char)*q->p)) {
    char *end;
    *out = number_value(strtod(q->p, &end));
    q->p = end;
    return ST_OK;
  }
  return parse_name(q, out);
}

static Status parse_product(Parser *q, Value *out) {
  TRY(parse_primary(q, out));
  for (;;) {
    const bool times = take_token(q, "*");
    Value b;
    if (!times && !take_token(q, "/")) return ST_OK;
    TRY(parse_primary(q, &b));
    TRY(need_number(q, out));
    TRY(need_number(q, &b));
    if (!times && b.number == 0)
      return err_set(q->e, ST_FORMAT, "'%.200s': a division by 0", q->text);
    *out = number_value(times ? out->number * b.number : out->number / b.number);
  }
}

static Status parse_sum(Parser *q, Value *out) {
  TRY(parse_product(q, out));
  for (;;) {
    const bool plus = take_token(q, "+");
    Value b;
    if (!plus && !take_token(q, "-")) return ST_OK;
    TRY(parse_product(q, &b));
    TRY(need_number(q, out));
    TRY(need_number(q, &b));
    *out = number_value(plus ? out->number + b.number : out->number - b.number);
  }
}

static Status parse_comparison(Parser *q, Value *out) {
  static const char *const sign[] = {"<=", ">=", "!=", "<", ">", "="};
  TRY(parse_sum(q, out));
  for (int i = 0; i < COUNT_OF(sign); i++) {
    if (!take_token(q, sign[i])) continue;
    Value b;
    TRY(parse_sum(q, &b));
    TRY(need_number(q, out));
    TRY(need_number(q, &b));
    const double x = out->number, y = b.number;
    const bool is[] = {x <= y, x >= y, x != y, x<y, x> y, x == y};
    *out = number_value(is[i]);
    return ST_OK;
  }
  return ST_OK;
}

static Status parse_not(Parser *q, Value *out) {
  bool turned = false;
  while (take_token(q, "not")) turned = !turned;
  TRY(parse_comparison(q, out));
  if (turned) *out = number_value(!out->truth);
  return ST_OK;
}

static Status parse_and(Parser *q, Value *out) {
  TRY(parse_not(q, out));
  while (take_token(q, "and")) {
    Value b;
    TRY(parse_not(q, &b));
    *out = number_value(out->truth && b.truth);
  }
  return ST_OK;
}

static Status parse_or(Parser *q, Value *out) {
  if (++q->depth > EXPR_DEPTH) return parse_fail(q, "fewer brackets within brackets");
  TRY(parse_and(q, out));
  while (take_token(q, "or")) {
    Value b;
    TRY(parse_and(q, &b));
    *out = number_value(out->truth || b.truth);
  }
  q->depth--;
  return ST_OK;
}

static Status parse_all(const PaperVars *v, const char *text, Value *out, Error *e) {
  Parser q = {.v = v, .text = text, .p = text, .e = e};
  TRY(parse_or(&q, out));
  skip_blanks(&q);
  return *q.p ? parse_fail(&q, "an operator or the end") : ST_OK;
}

Status expr_number(const PaperVars *v, const char *text, double *out, Error *e) {
  const Parser q = {.v = v, .text = text, .p = text, .e = e};
  Value x;
  TRY(parse_all(v, text, &x, e));
  TRY(need_number(&q, &x));
  *out = x.number;
  return ST_OK;
}

Status expr_true(const PaperVars *v, const char *text, bool *out, Error *e) {
  Value x;
  TRY(parse_all(v, text, &x, e));
  *out = x.truth;
  return ST_OK;
}

/* ---- texts ---- */

/* The end of the bracket that begins at p, or NULL; `at`: where the sign `stop` stands in it, at
 * its own depth. */
static const char *bracket_end(const char *p, char open, char close, char stop, const char **at) {
  int depth = 0;
  if (at) *at = NULL;
  for (; *p; p++) {
    if (*p == open) depth++;
    if (*p == close && --depth == 0) return p;
    if (at && !*at && *p == stop && depth == 1) *at = p;
  }
  return NULL;
}

static bool is_place(const char *name) {
  static const char *const place[] = {"w", "o", "c", "p", "init", "recipe", "scales", "data"};
  for (int i = 0; i < COUNT_OF(place); i++)
    if (!strcmp(name, place[i])) return true;
  return false;
}

static void put_number(FILE *f, double x, const char *format) {
  if (format)
    fprintf(f, !strcmp(format, "%06g") ? "%06g" : !strcmp(format, "%02g") ? "%02g" : "%g", x);
  else if (x == rint(x) && fabs(x) < 1e15)
    fprintf(f, "%.0f", x);
  else
    fprintf(f, "%g", x);
}

/* {what} */
static Status put_braces(const PaperVars *v, char *what, FILE *f, Error *e) {
  char *format = strstr(what, ":%");
  if (is_place(what)) {
    fprintf(f, "{%s}", what);
    return ST_OK;
  }
  if (format) {
    *format++ = 0;
    if (strcmp(format, "%06g") && strcmp(format, "%02g") && strcmp(format, "%g"))
      return err_set(e, ST_FORMAT, "{%.60s:%.20s}: unknown format; expected %%g, %%02g or %%06g",
                     what, format);
  }
  const PaperVar *x = vars_find(v, what);
  if (x && x->text && !format) {
    fputs(x->text, f);
    return ST_OK;
  }
  double number;
  TRY(expr_number(v, what, &number, e));
  put_number(f, number, format);
  return ST_OK;
}

static Status put_text(const PaperVars *v, const char *text, size_t n, int depth, FILE *f,
                       Error *e);

/* [condition?yes|no], from its '[' to its ']'. */
static Status put_choice(const PaperVars *v, const char *p, const char *end, int depth, FILE *f,
                         Error *e) {
  const char *mark, *bar;
  bool yes;
  bracket_end(p, '[', ']', '?', &mark);
  if (!mark || mark > end)
    return err_set(e, ST_FORMAT,
                   "'%.*s': no '?'; expected [condition?text] or [condition?text|"
                   "other text]",
                   (int)PRLX_MIN(end - p + 1, (ptrdiff_t)60), p);
  bracket_end(p, '[', ']', '|', &bar);
  char *condition = mem_alloc((size_t)(mark - p));
  if (!condition) return err_set(e, ST_NOMEM, "out of memory");
  memcpy(condition, p + 1, (size_t)(mark - p - 1));
  const Status s = expr_true(v, condition, &yes, e);
  mem_free(condition);
  TRY(s);
  const char *stop = bar && bar < end ? bar : end;
  if (yes) return put_text(v, mark + 1, (size_t)(stop - mark - 1), depth, f, e);
  return stop < end ? put_text(v, stop + 1, (size_t)(end - stop - 1), depth, f, e) : ST_OK;
}

static Status put_text(const PaperVars *v, const char *text, size_t n, int depth, FILE *f,
                       Error *e) {
  const char *const stop = text + n;
  if (depth > EXPR_DEPTH) return err_set(e, ST_FORMAT, "too many brackets within brackets");
  for (const char *p = text; p < stop; p++) {
    if (*p != '{' && *p != '[') {
      fputc(*p, f);
      continue;
    }
    const char close = *p == '{' ? '}' : ']';
    const char *end = bracket_end(p, *p, close, 0, NULL);
    if (!end || end >= stop) return err_set(e, ST_FORMAT, "'%.60s': a '%c' is missing", p, close);
    if (*p == '[') {
      TRY(put_choice(v, p, end, depth + 1, f, e));
    } else {
      char what[200];
      if (end - p > (ptrdiff_t)sizeof what)
        return err_set(e, ST_FORMAT, "'%.60s...': longer than %zu characters", p, sizeof what);
      snprintf(what, sizeof what, "%.*s", (int)(end - p - 1), p + 1);
      TRY(put_braces(v, what, f, e));
    }
    p = end;
  }
  return ST_OK;
}

Status expr_text(const PaperVars *v, const char *text, char **out, Error *e) {
  TextFile t;
  char *made;
  TRY(text_begin(&t, "recipe", e));
  const Status s = put_text(v, text, strlen(text), 0, t.stream, e);
  if (s != ST_OK) {
    text_abort(&t);
    return s;
  }
  TRY(text_take(&t, "recipe", &made, NULL, e));
  char *copy = mem_strdup(made);
  free(made);
  if (!copy) return err_set(e, ST_NOMEM, "out of memory");
  *out = copy;
  return ST_OK;
}
