/* source.c: see source.h. A small lexer is enough: comments, strings, character constants. */
#include "test/house/source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *s, const char *tail) {
  const size_t n = strlen(s), m = strlen(tail);
  return n >= m && !strcmp(s + n - m, tail);
}

static Lang source_lang(const char *path) {
  static const char *const c[] = {".c", ".h", ".cu", ".cuh", ".cpp"};
  for (size_t i = 0; i < sizeof c / sizeof *c; i++)
    if (ends_with(path, c[i])) return LANG_C;
  return ends_with(path, "Makefile") || ends_with(path, ".mk") ? LANG_MAKE : LANG_SHELL;
}

static char *file_bytes(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  char *text = NULL;
  size_t n = 0, cap = 0;
  for (;;) {
    if (cap - n < 4096) {
      char *grown = realloc(text, cap = cap ? 2 * cap : 1 << 16);
      if (!grown) break;
      text = grown;
    }
    const size_t got = fread(text + n, 1, cap - n - 1, f);
    if (!got) break;
    n += got;
  }
  fclose(f);
  if (text) text[n] = 0;
  *len = n;
  return text;
}

/* One pass over the text: what is a comment, what is the inside of a string. */
static void source_lex(Source *s) {
  enum { CODE, BLOCK, LINE, STRING, CHAR } state = CODE;
  for (size_t i = 0; i < s->len; i++) {
    const char c = s->text[i], next = s->text[i + 1];
    if (state == CODE) {
      if (c == '/' && (next == '*' || next == '/')) {
        state = next == '*' ? BLOCK : LINE;
        s->comment[i] = s->comment[i + 1] = 1;
        s->code[i] = s->code[i + 1] = ' ';
        i++;
      } else if (c == '"') {
        state = STRING;
      } else if (c == '\'' && !(i && s->text[i - 1] >= '0' && s->text[i - 1] <= '9')) {
        state = CHAR;
      }
    } else if (state == BLOCK || state == LINE) {
      if (state == LINE && c == '\n') {
        state = CODE;
        continue;
      }
      if (c != '\n') {
        s->comment[i] = 1;
        s->code[i] = ' ';
      }
      if (state == BLOCK && c == '*' && next == '/') {
        s->comment[i + 1] = 1;
        s->code[++i] = ' ';
        state = CODE;
      }
    } else if (c == '\\' && next) {
      s->code[i++] = 's';
      if (s->text[i] != '\n') s->code[i] = 's';
    } else if (c == (state == STRING ? '"' : '\'') || c == '\n') {
      state = CODE;
    } else {
      s->code[i] = 's';
    }
  }
}

static bool source_split(Source *s) {
  int lines = 0;
  for (size_t i = 0; i < s->len; i++) lines += s->text[i] == '\n';
  s->ends_well = s->len && s->text[s->len - 1] == '\n';
  s->lines = lines + (s->len && !s->ends_well);
  s->line = calloc((size_t)s->lines + 1, sizeof *s->line);
  if (!s->line) return false;
  int n = 0;
  for (size_t i = 0, start = 0; i < s->len; i++)
    if (s->text[i] == '\n' || i + 1 == s->len) {
      s->line[n++] = start;
      start = i + 1;
    }
  s->line[s->lines] = s->len;
  for (size_t i = 0; i < s->len; i++)
    if (s->text[i] == '\n') s->text[i] = s->code[i] = 0;
  return true;
}

bool source_read(Source *s, const char *path) {
  *s = (Source){.path = path, .lang = source_lang(path)};
  s->text = file_bytes(path, &s->len);
  if (!s->text || strlen(s->text) != s->len) {
    fprintf(stderr, "%s: cannot be read as text\n", path);
    source_free(s);
    return false;
  }
  s->code = malloc(s->len + 1);
  s->comment = calloc(s->len + 2, 1);
  if (!s->code || !s->comment) goto full;
  memcpy(s->code, s->text, s->len + 1);
  if (s->lang == LANG_C) source_lex(s);
  if (!source_split(s)) goto full;
  return true;
full:
  fprintf(stderr, "%s: out of memory\n", path);
  source_free(s);
  return false;
}

void source_free(Source *s) {
  free(s->text);
  free(s->code);
  free(s->comment);
  free(s->line);
  *s = (Source){0};
}

const char *source_line(const Source *s, int n) { return s->text + s->line[n]; }
const char *source_code(const Source *s, int n) { return s->code + s->line[n]; }

bool source_is_blank(const Source *s, int n) {
  const char *l = source_line(s, n);
  return l[strspn(l, " \t\r")] == 0;
}

bool source_has_comment(const Source *s, int n) {
  return n >= 0 && n < s->lines &&
         memchr(s->comment + s->line[n], 1, s->line[n + 1] - s->line[n]) != NULL;
}

bool source_is_directive(const Source *s, int n) {
  while (n > 0 && ends_with(source_line(s, n - 1), "\\")) n--;
  const char *l = source_code(s, n);
  return l[strspn(l, " \t")] == '#';
}

int source_line_of(const Source *s, size_t at) {
  int lo = 0, hi = s->lines;
  while (hi - lo > 1) {
    const int mid = lo + (hi - lo) / 2;
    if (s->line[mid] <= at)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

int source_columns(const char *line) {
  int n = 0;
  for (; *line; line++) n += ((unsigned char)*line & 0xc0) != 0x80;
  return n;
}
