/* style.c: `make check-style`: the shape of the sources, judged line by line without a compiler.
 *
 *   build/check_style [-a] [-r RULE] FILE...
 *
 * Prints what breaks a rule and, at the end, a count per rule; -a also lists findings that a rule
 * still tolerates (its ceiling below), -r shows one rule only. Exit code 1 if a rule has more
 * findings than its ceiling. CONTRIBUTING.md says why the rules are as they are. */
#include "test/house/style.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COLUMNS = 100, MAX_FILE_LINES = 800, MAX_TEST_FILE_LINES = 1000 };

/* The ceiling of a rule is 0, but where a sweep is under way: it may fall, never rise. */
static const struct {
  const char *name;
  int ceiling;
  const char *says;
} rules[RULE_COUNT] = {
    [RULE_WIDTH] = {"width", 0, "lines over 100 columns"},
    [RULE_TABS] = {"tabs", 0, "tabs (recipes of make apart), carriage returns"},
    [RULE_BLANKS] = {"blanks", 0, "trailing blanks, two empty lines, a last line without an end"},
    [RULE_MARKS] = {"marks", 0, "marks of unfinished work"},
    [RULE_PATHS] = {"paths", 0, "paths of one machine"},
    [RULE_STATEMENTS] = {"statements", 0, "lines with two statements"},
    [RULE_STRUCT] = {"struct-line", 0, "structs of several members on one line"},
    [RULE_MEMBERS] = {"members", 0, "declarations of several struct members at once"},
    [RULE_ONE_LETTER] = {"one-letter", 48, "one-letter struct members in headers"},
    [RULE_INCLUDES] = {"includes", 0, "includes out of order: own header, system, ours"},
    [RULE_PRIVATE] = {"private", 0, "private headers not called X_impl.h, or used elsewhere"},
    [RULE_NUMBERED] = {"numbered", 0, "numbered attributes of operations"},
    [RULE_LADDER] = {"ladder", 0, "if (s == ST_OK) s = ... instead of TRY or goto done"},
    [RULE_COMMENT] = {"comment", 0, "functions in a header without a comment"},
    [RULE_ONE_WORD] = {"one-word", 11, "static functions of one word (noun of the file first)"},
    [RULE_FUNCTION] = {"function", 0, "functions over 60 lines without tables (tests: 100)"},
    [RULE_FILE] = {"file", 0, "files over 800 lines (tests: 1000)"},
};

/* The one list of exceptions: file (or folder, ending in a slash), rule, a text that the line has
 * (NULL: any line), and why. One that excuses nothing is an error: the list stays honest. */
static struct {
  const char *path;
  Rule rule;
  const char *text;
  const char *why;
  int used;
} exceptions[] = {
    {"test/house/style", RULE_MARKS, NULL, "names the marks that it looks for", 0},
    {"test/house/style", RULE_PATHS, NULL, "names the paths that it looks for", 0},
    {"cuda/program.cu", RULE_LADDER, "st = ", "a capture that was begun is ended", 0},
    {"cuda/matmul.cu", RULE_FUNCTION, "TC_THREADS",
     "fragments in registers: no call may break it up", 0},
};

static int counts[RULE_COUNT];
static bool list_all;
static int only = -1; /* the rule of -r, or -1 */

static bool style_excepted(Rule rule, const Source *s, int n) {
  for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++) {
    if (exceptions[i].rule != rule) continue;
    if (strncmp(s->path, exceptions[i].path, strlen(exceptions[i].path)) != 0) continue;
    if (exceptions[i].text && !strstr(source_line(s, n), exceptions[i].text)) continue;
    exceptions[i].used++;
    return true;
  }
  return false;
}

void style_found(Rule rule, const Source *s, int n, const char *fmt, ...) {
  if (style_excepted(rule, s, n)) return;
  counts[rule]++;
  if (only >= 0 ? (int)rule != only : rules[rule].ceiling > 0 && !list_all) return;
  printf("%s:%d: %s: ", s->path, n + 1, rules[rule].name);
  va_list ap;
  va_start(ap, fmt);
  vprintf(fmt, ap);
  va_end(ap);
  putchar('\n');
}

static void check_tabs(const Source *s, int n) {
  const char *l = source_line(s, n);
  if (s->lang == LANG_MAKE && *l == '\t') l++;
  if (strchr(l, '\t')) style_found(RULE_TABS, s, n, "a tab");
  if (strchr(l, '\r')) style_found(RULE_TABS, s, n, "a carriage return");
}

static void check_blanks(const Source *s, int n) {
  const char *l = source_line(s, n);
  const size_t len = strlen(l);
  if (len && (l[len - 1] == ' ' || l[len - 1] == '\t'))
    style_found(RULE_BLANKS, s, n, "blanks at the end");
  if (!len && (n == 0 || !*source_line(s, n - 1) || n == s->lines - 1))
    style_found(RULE_BLANKS, s, n, "an empty line too many");
  if (n == s->lines - 1 && !s->ends_well)
    style_found(RULE_BLANKS, s, n, "the last line has no end");
}

static void check_words(const Source *s, int n) {
  static const char *const marks[] = {"TODO:", "TODO(", "FIXME", "XXX:"};
  static const char *const paths[] = {"/home/", "/root/", "/work/", "/tmp/wt", "/tmp/bg"};
  const char *l = source_line(s, n);
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    const char *at = strstr(l, marks[i]);
    if (at) style_found(RULE_MARKS, s, n, "%s finish it or file it", marks[i]);
  }
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    const char *at = strstr(l, paths[i]);
    const bool absolute = at && (at == l || strchr(" \t\"'`(=:", at[-1]));
    if (absolute) style_found(RULE_PATHS, s, n, "%s is on one machine only", paths[i]);
  }
}

static void check_text(const Source *s) {
  for (int n = 0; n < s->lines; n++) {
    const int columns = source_columns(source_line(s, n));
    if (columns > MAX_COLUMNS)
      style_found(RULE_WIDTH, s, n, "%d columns, at most %d", columns, MAX_COLUMNS);
    check_tabs(s, n);
    check_blanks(s, n);
    check_words(s, n);
  }
  const bool test = !strncmp(s->path, "test/", 5);
  const int most = test ? MAX_TEST_FILE_LINES : MAX_FILE_LINES;
  if (s->lines > most)
    style_found(RULE_FILE, s, 0, "%d lines, at most %d: two subjects?", s->lines, most);
}

static int rule_named(const char *name) {
  for (int r = 0; r < RULE_COUNT; r++)
    if (!strcmp(rules[r].name, name)) return r;
  fprintf(stderr, "check_style: no rule '%s'; rules:", name);
  for (int r = 0; r < RULE_COUNT; r++) fprintf(stderr, " %s", rules[r].name);
  fputc('\n', stderr);
  exit(2);
}

static int style_summary(int files) {
  int bad = 0;
  for (int r = 0; r < RULE_COUNT; r++) {
    if (only >= 0 && r != only) continue;
    const bool over = counts[r] > rules[r].ceiling;
    bad += over;
    if (counts[r] || only >= 0)
      printf("%s: %d %s%s\n", rules[r].name, counts[r], rules[r].says,
             over ? "" : " (tolerated for now)");
    if (counts[r] < rules[r].ceiling)
      printf("%s: the ceiling of %d in style.c can fall to %d\n", rules[r].name, rules[r].ceiling,
             counts[r]);
  }
  for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions && only < 0; i++)
    if (!exceptions[i].used && files > 1) {
      printf("style.c: the exception of %s from %s excuses nothing: take it out\n",
             exceptions[i].path, rules[exceptions[i].rule].name);
      bad++;
    }
  printf("check-style: %d files, %s\n", files, bad ? "FAILED" : "in order");
  return bad ? 1 : 0;
}

int main(int argc, char **argv) {
  int first = 1;
  for (; first < argc && argv[first][0] == '-'; first++) {
    if (!strcmp(argv[first], "-a")) {
      list_all = true;
    } else if (!strcmp(argv[first], "-r") && first + 1 < argc) {
      only = rule_named(argv[++first]);
    } else {
      fprintf(stderr, "usage: check_style [-a] [-r RULE] FILE...\n");
      return 2;
    }
  }
  for (int i = first; i < argc; i++) {
    Source s;
    if (!source_read(&s, argv[i])) return 1;
    check_text(&s);
    if (s.lang == LANG_C) style_check_c(&s);
    source_free(&s);
  }
  return style_summary(argc - first);
}
