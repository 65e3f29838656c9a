/* style_c.c: rules about C. One walk over a file follows braces and statements; what it finds
 * (a prototype, a struct member, the end of a function) goes to the rules below. It is no parser:
 * it relies on sources in the shape that .clang-format gives them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "test/house/style.h"

enum { MAX_FUNCTION_LINES = 60, MAX_TEST_LINES = 100, MAX_DEPTH = 64 };

typedef enum {
  SCOPE_FUNCTION,
  SCOPE_RECORD, /* struct or union */
  SCOPE_ENUM,
  SCOPE_LINKAGE, /* extern "C", namespace */
  SCOPE_TABLE,   /* an initialiser */
  SCOPE_BLOCK    /* statements in braces */
} Scope;

typedef struct Walk {
  const Source *s;
  bool header;
  bool test;
  Scope scope[MAX_DEPTH]; /* what each open brace opened */
  size_t opened[MAX_DEPTH];
  int depth;
  int parens;
  size_t from; /* where the statement under way starts */
  int commas;  /* of the statement under way, outside of parentheses */
  int table;   /* lines of tables in the function under way: options and the like are data */
} Walk;

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

static bool ends_with(const char *s, const char *tail) {
  const size_t n = strlen(s), m = strlen(tail);
  return n >= m && !strcmp(s + n - m, tail);
}

static bool starts_with(const char *s, const char *head) { return !strncmp(s, head, strlen(head)); }

/* The first occurrence of `word` as a whole word in code[from, to). */
static size_t find_word(const Source *s, size_t from, size_t to, const char *word) {
  const size_t n = strlen(word);
  for (size_t i = from; i + n <= to; i++)
    if (!memcmp(s->code + i, word, n) && !(i && is_word(s->code[i - 1])) &&
        !is_word(s->code[i + n]))
      return i;
  return to;
}

static bool is_macro(const char *name) {
  return !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")];
}

static bool has_word(const Source *s, size_t from, size_t to, const char *word) {
  return find_word(s, from, to, word) < to;
}

static size_t skip_space(const Source *s, size_t at, size_t to) {
  while (at < to && (s->code[at] == 0 || isspace((unsigned char)s->code[at]))) at++;
  return at;
}

/* The word that ends before `at` (blanks skipped); empty if there is none. */
static void word_before(const Source *s, size_t from, size_t at, char name[64]) {
  while (at > from && !is_word(s->code[at - 1])) at--;
  size_t start = at;
  while (start > from && is_word(s->code[start - 1])) start--;
  snprintf(name, 64, "%.*s", (int)(at - start), s->code + start);
}

/* The name of the function whose declarator lies in code[from, to): the word before the first
 * parenthesis that does not belong to an attribute. */
static bool function_name(const Source *s, size_t from, size_t to, char name[64]) {
  for (size_t i = from; i < to; i++) {
    if (s->code[i] != '(') continue;
    word_before(s, from, i, name);
    if (starts_with(name, "__")) { /* __attribute__, __launch_bounds__, __align__ */
      int open = 0;
      for (; i < to; i++) {
        open += (s->code[i] == '(') - (s->code[i] == ')');
        if (!open) break;
      }
      continue;
    }
    return *name != 0;
  }
  return false;
}

/* ---- functions ---- */
static void check_function_start(const Walk *w, size_t to) {
  char name[64];
  if (!has_word(w->s, w->from, to, "static") || w->header || w->test) return;
  if (function_name(w->s, w->from, to, name) && !strchr(name, '_'))
    style_found(RULE_ONE_WORD, w->s, source_line_of(w->s, skip_space(w->s, w->from, to)), "%s()",
                name);
}

static void check_function_end(const Walk *w, size_t from, size_t to) {
  const int first = source_line_of(w->s, from), last = source_line_of(w->s, to);
  const int most = w->test ? MAX_TEST_LINES : MAX_FUNCTION_LINES;
  const int lines = last - first + 1 - w->table;
  if (lines > most)
    style_found(RULE_FUNCTION, w->s, first, "%d lines without tables, at most %d", lines, most);
}

/* A line that ends a comment just above counts, but for a heading like "---- memory ----". */
static bool is_comment_line(const Source *s, int n) {
  if (n < 0 || source_is_blank(s, n)) return false;
  const char *code = source_code(s, n);
  if (code[strspn(code, " ")] || !source_has_comment(s, n)) return false;
  const char *l = source_line(s, n);
  return !(starts_with(l, "/* ----") && ends_with(l, "---- */") && !strchr(l, ':'));
}

/* A prototype is commented by a comment on its own lines, or above it or above the unbroken group
 * (no empty line, nothing but prototypes) in which it stands. */
static void check_prototype(const Walk *w, size_t from, size_t to) {
  char name[64];
  const Source *s = w->s;
  from = skip_space(s, from, to);
  if (!function_name(s, from, to, name) || is_macro(name)) return;
  if (has_word(s, from, to, "typedef")) return;
  const int first = source_line_of(s, from), last = source_line_of(s, to);
  for (int n = first; n <= last; n++)
    if (source_has_comment(s, n)) return;
  for (int n = first - 1; n >= 0; n--) {
    if (is_comment_line(s, n)) return;
    const char *code = source_code(s, n);
    const bool ends = strchr(code, '}') || strchr(code, '{') || starts_with(code, "typedef");
    if (source_is_blank(s, n) || source_is_directive(s, n) || ends) break;
    if (source_has_comment(s, n) && !code[strspn(code, " ")]) break;
  }
  style_found(RULE_COMMENT, s, first, "%s()", name);
}

/* ---- structs ---- */
static void check_member(const Walk *w, size_t from, size_t to) {
  const Source *s = w->s;
  from = skip_space(s, from, to);
  const int line = source_line_of(s, from);
  const char *angle = memchr(s->code + from, '<', to - from); /* arguments of a template */
  if (w->commas && !angle)
    style_found(RULE_MEMBERS, s, line, "%d members in one declaration", w->commas + 1);
  if (!w->header || memchr(s->code + from, '(', to - from)) return;
  size_t end = from;
  while (end < to && s->code[end] != '[' && s->code[end] != ':') end++;
  char name[64];
  word_before(s, from, end, name);
  if (strlen(name) == 1 && !strchr("nchwdxyz", *name))
    style_found(RULE_ONE_LETTER, s, line, "member '%s'", name);
}

static void check_record_end(const Walk *w, size_t from, size_t to) {
  if (source_line_of(w->s, from) != source_line_of(w->s, to)) return;
  int members = 0;
  for (size_t i = from; i < to; i++) members += w->s->code[i] == ';' || w->s->code[i] == ',';
  if (members > 1)
    style_found(RULE_STRUCT, w->s, source_line_of(w->s, from), "%d members", members);
}

/* ---- the walk ---- */
static Scope scope_of(const Walk *w, size_t to) {
  const Source *s = w->s;
  const bool top = w->depth == 0 || w->scope[w->depth - 1] == SCOPE_LINKAGE;
  size_t last = to;
  while (last > w->from && (s->code[last - 1] == 0 || isspace((unsigned char)s->code[last - 1])))
    last--;
  const char end = last > w->from ? s->code[last - 1] : 0;
  if (end == '=') return SCOPE_TABLE;
  if (memchr(s->code + w->from, '=', to - w->from) || w->parens) return SCOPE_BLOCK;
  if (top && end == ')') return SCOPE_FUNCTION;
  if (has_word(s, w->from, to, "enum")) return SCOPE_ENUM;
  if (end != ')' && (has_word(s, w->from, to, "struct") || has_word(s, w->from, to, "union")))
    return SCOPE_RECORD;
  if (top && (end == '"' || has_word(s, w->from, to, "namespace"))) return SCOPE_LINKAGE;
  return top && memchr(s->code + w->from, '(', to - w->from) ? SCOPE_FUNCTION : SCOPE_BLOCK;
}

static void walk_open(Walk *w, size_t at) {
  const Scope scope = scope_of(w, at);
  if (scope == SCOPE_FUNCTION) {
    check_function_start(w, at);
    if (w->header) check_prototype(w, w->from, at);
  }
  if (w->depth < MAX_DEPTH) {
    w->scope[w->depth] = scope;
    w->opened[w->depth] = scope == SCOPE_FUNCTION ? skip_space(w->s, w->from, at) : at;
  }
  w->depth++;
}

static bool in_table(const Walk *w) {
  for (int d = 0; d < w->depth && d < MAX_DEPTH; d++)
    if (w->scope[d] == SCOPE_TABLE) return true;
  return false;
}

static void walk_close(Walk *w, size_t at) {
  if (w->depth == 0) return; /* an #else repeated a brace */
  w->depth--;
  if (w->depth >= MAX_DEPTH) return;
  const Scope scope = w->scope[w->depth];
  if (scope == SCOPE_FUNCTION) {
    check_function_end(w, w->opened[w->depth], at);
    w->table = 0;
  }
  if (scope == SCOPE_TABLE && !in_table(w))
    w->table += source_line_of(w->s, at) - source_line_of(w->s, w->opened[w->depth]);
  if (scope == SCOPE_RECORD) check_record_end(w, w->opened[w->depth], at);
}

/* Two statements on a line: something follows the semicolon. `case X: call(); break;` may. */
static void check_rest_of_line(const Walk *w, size_t at) {
  const Source *s = w->s;
  const size_t rest = at + 1 + strspn(s->code + at + 1, " \t");
  if (s->code[rest] == 0 || s->code[rest] == '}' || s->code[rest] == '\\') return;
  const int line = source_line_of(s, at);
  const char *l = source_code(s, line);
  l += strspn(l, " \t");
  const char *next = s->code + rest;
  if ((starts_with(l, "case ") || starts_with(l, "default:")) &&
      (starts_with(next, "break;") || starts_with(next, "continue;") ||
       starts_with(next, "return;")))
    return;
  style_found(RULE_STATEMENTS, s, line, "two statements");
}

static void walk_semicolon(Walk *w, size_t at) {
  if (w->parens) return; /* for (;;) */
  const Scope scope = w->depth && w->depth <= MAX_DEPTH ? w->scope[w->depth - 1] : SCOPE_LINKAGE;
  if (scope == SCOPE_LINKAGE && w->header) check_prototype(w, w->from, at);
  if (scope == SCOPE_RECORD) check_member(w, w->from, at);
  check_rest_of_line(w, at);
}

static void style_walk(Walk *w) {
  const Source *s = w->s;
  for (int n = 0; n < s->lines; n++) {
    if (source_is_directive(s, n)) {
      if (!w->depth) w->from = s->line[n + 1];
      continue;
    }
    for (size_t i = s->line[n]; i < s->line[n + 1]; i++) {
      const char c = s->code[i];
      w->parens += (c == '(' || c == '[') - (c == ')' || c == ']');
      if (w->parens < 0) w->parens = 0;
      w->commas += c == ',' && !w->parens;
      if (c == '{') walk_open(w, i);
      if (c == '}') walk_close(w, i);
      if (c == ';') walk_semicolon(w, i);
      if (c == '{' || c == '}' || (c == ';' && !w->parens)) {
        w->from = i + 1;
        w->commas = 0;
      }
    }
  }
}

/* ---- includes ---- */
static bool is_own_header(const char *path, const char *name) {
  const char *dot = strrchr(path, '.'), *header = strrchr(name, '.');
  return dot && header && dot - path == header - name && !strncmp(path, name, (size_t)(dot - path));
}

static void check_private(const Source *s, int n, const char *name) {
  if (strstr(name, "_internal.") || strstr(name, "_private.") || strstr(name, "_priv."))
    style_found(RULE_PRIVATE, s, n, "%s: a private header is called X_impl.h", name);
  if (!ends_with(name, "_impl.h") || starts_with(s->path, "test/")) return;
  const char *slash = strrchr(name, '/');
  if (slash && strncmp(s->path, name, (size_t)(slash - name + 1)) != 0)
    style_found(RULE_PRIVATE, s, n, "%s belongs to its own folder", name);
}

/* Order of kinds: 0 the file's own header, 1 system, 2 ours, each from the root of the tree. What
 * stands under a condition may come later. */
static void check_includes(const Source *s) {
  int last = 0, conditions = 0;
  for (int n = 0; n < s->lines; n++) {
    const char *l = source_code(s, n);
    if (!source_is_directive(s, n)) continue;
    if (starts_with(l, "#if")) conditions += !ends_with(l, "_H"); /* but for the guard */
    if (starts_with(l, "#endif") && conditions) conditions--;
    if (!starts_with(l, "#include ") || conditions) continue;
    const char *text = source_line(s, n) + 9;
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text + 1, "\">"), text + 1);
    const int kind = *text == '<' ? 1 : is_own_header(s->path, name) ? 0 : 2;
    if (kind < last) style_found(RULE_INCLUDES, s, n, "%s comes too late", name);
    last = kind;
    if (kind == 1) continue;
    if (!strchr(name, '/') && strcmp(name, "prlx.h") != 0)
      style_found(RULE_INCLUDES, s, n, "%s: name it from the root of the tree", name);
    check_private(s, n, name);
  }
}

/* ---- words of code ---- */
static bool is_test(const char *path) {
  return starts_with(path, "test/") || starts_with(path, "docs/");
}

static void check_numbered(const Source *s, int n, const char *code) {
  for (const char *p = strstr(code, "a.i["); p; p = strstr(p + 1, "a.i["))
    style_found(RULE_NUMBERED, s, n, "%.12s", p);
  for (const char *p = strstr(code, "a.f["); p; p = strstr(p + 1, "a.f["))
    style_found(RULE_NUMBERED, s, n, "%.12s", p);
}

static void check_ladder(const Source *s, int n, const char *code) {
  for (const char *p = strstr(code, "== ST_OK) "); p; p = strstr(p + 1, "== ST_OK) ")) {
    const char *q = p + strlen("== ST_OK) ");
    const size_t word = strspn(q, "abcdefghijklmnopqrstuvwxyz_0123456789");
    if (word && starts_with(q + word, " = ")) style_found(RULE_LADDER, s, n, "a ladder");
  }
}

void style_check_c(const Source *s) {
  Walk w = {.s = s, .test = is_test(s->path)};
  w.header = !w.test && (ends_with(s->path, ".h") || ends_with(s->path, ".cuh"));
  style_walk(&w);
  check_includes(s);
  for (int n = 0; n < s->lines && !w.test; n++) {
    const char *code = source_code(s, n);
    check_ladder(s, n, code);
    if (starts_with(s->path, "core/") || starts_with(s->path, "cuda/")) check_numbered(s, n, code);
  }
}
