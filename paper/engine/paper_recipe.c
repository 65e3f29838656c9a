/* paper_recipe.c: reads the recipe of `prlx paper run` (paper/recipe.txt, or a file of one's own)
 * and makes its steps and augmentations for the scale and the cohort. The language is described at
 * the head of that file. See paper_impl.h. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"
#include "paper/engine/paper_expr.h"
#include "paper/engine/paper_impl.h"
#include "tools/view/assets.h"

/* A line with those that it goes on in; first: its number in the file. */
typedef struct RecipeLine {
  char *text;
  int first;
} RecipeLine;

/* What is under way. */
typedef struct Recipe {
  PaperRun *r;
  const char *path;
  RecipeLine *line;
  int nline;
  int cap;
  PaperVars vars;
  char section[SECTION_NAME];
  int at;         /* the line being read: its number in the file */
  Step *step;     /* whose attributes may follow, or NULL */
  PaperAug *aug;  /* the same */
  int step_line;  /* where it began */
  int64_t budget; /* lines still to be read, loops counted: a loop cannot hang */
  Error *e;
} Recipe;

enum { RECIPE_BYTES = 1 << 20, RECIPE_LINES = 1000000, RECIPE_DEPTH = 16, RECIPE_STEPS = 2000 };

static Status recipe_fail(Recipe *q, Status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static Status recipe_fail(Recipe *q, Status s, const char *fmt, ...) {
  char text[900];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return err_set(q->e, s, "%s: line %d: %s", q->path, q->at, text);
}

/* Puts file and line before the message of an expression. */
static Status recipe_at(Recipe *q, Status s) {
  if (s == ST_OK) return s;
  const Error inner = *q->e;
  return recipe_fail(q, s, "%.800s", inner.msg);
}

/* ---- lines ---- */

static Status add_line(Recipe *q, const char *text, size_t n, int first) {
  if (q->nline == q->cap) {
    const int cap = q->cap ? 2 * q->cap : 256;
    RecipeLine *grown =
        mem_grow(q->line, (size_t)q->cap * sizeof *grown, (size_t)cap * sizeof *grown);
    if (!grown) return err_set(q->e, ST_NOMEM, "%s: out of memory", q->path);
    q->line = grown;
    q->cap = cap;
  }
  char *copy = mem_alloc(n + 1);
  if (!copy) return err_set(q->e, ST_NOMEM, "%s: out of memory", q->path);
  memcpy(copy, text, n);
  q->line[q->nline++] = (RecipeLine){copy, first};
  return ST_OK;
}

static size_t trimmed_length(const char *p, size_t n) {
  while (n && isspace((unsigned char)p[n - 1])) n--;
  return n;
}

/* Joins lines that end in a backslash; drops comments and empty lines. joined: room for all of the
 * text. */
static Status join_lines(Recipe *q, const char *text, char *joined) {
  size_t len = 0;
  int number = 0, first = 0;
  for (const char *p = text; *p;) {
    size_t n = strcspn(p, "\n");
    const char *begin = p;
    p += n + (p[n] == '\n');
    number++;
    n = trimmed_length(begin, n);
    const size_t blanks = PRLX_MIN(strspn(begin, " \t"), n);
    if (!first && (blanks == n || begin[blanks] == '#')) continue;
    if (!first) first = number;
    const bool more = n && begin[n - 1] == '\\';
    memcpy(joined + len, begin + blanks, n - blanks - more);
    len += n - blanks - more;
    if (more && *p) continue;
    TRY(add_line(q, joined, trimmed_length(joined, len), first));
    len = 0;
    first = 0;
  }
  return ST_OK;
}

static Status read_lines(Recipe *q, const char *text, size_t n) {
  if (memchr(text, 0, n))
    return err_set(q->e, ST_FORMAT, "%s: holds zero bytes; expected text", q->path);
  char *joined = mem_alloc(n + 1);
  if (!joined) return err_set(q->e, ST_NOMEM, "%s: out of memory", q->path);
  const Status s = join_lines(q, text, joined);
  mem_free(joined);
  return s;
}

/* ---- words of a line ---- */

/* Takes the first word of *p into out. */
static Status take_word(Recipe *q, const char **p, char *out, size_t n, const char *expected) {
  *p += strspn(*p, " \t");
  const size_t len = strcspn(*p, " \t");
  if (len == 0) return recipe_fail(q, ST_FORMAT, "the line ends; expected %s", expected);
  if (len >= n)
    return recipe_fail(q, ST_FORMAT, "'%.60s...' is longer than %zu characters", *p, n - 1);
  memcpy(out, *p, len);
  out[len] = 0;
  *p += len;
  *p += strspn(*p, " \t");
  return ST_OK;
}

static Status line_text(Recipe *q, const char *rest, char **out) {
  return recipe_at(q, expr_text(&q->vars, rest, out, q->e));
}

static Status line_number(Recipe *q, const char *rest, double *out) {
  return recipe_at(q, expr_number(&q->vars, rest, out, q->e));
}

static Status line_int(Recipe *q, const char *rest, int *out) {
  double v;
  TRY(line_number(q, rest, &v));
  if (v < -1000000000. || v > 1000000000.)
    return recipe_fail(q, ST_FORMAT, "%g; expected a count", v);
  *out = (int)v;
  return ST_OK;
}

/* ---- steps ---- */

/* A name that can be that of a file and a link. */
static bool plain_name(const char *s) {
  return *s && *s != '.' &&
         !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")];
}

static Status check_step(Recipe *q, const char *id) {
  const PaperRun *r = q->r;
  if (!*q->section)
    return recipe_fail(q, ST_FORMAT,
                       "step %.60s has no section; expected a line 'section NAME' above", id);
  if (!plain_name(id) || strlen(id) >= sizeof r->step[0].id)
    return recipe_fail(q, ST_FORMAT,
                       "'%.60s' cannot be the name of a step; expected letters, digits, '.', '_', "
                       "'-', at most %zu",
                       id, sizeof r->step[0].id - 1);
  if (r->n == RECIPE_STEPS) return recipe_fail(q, ST_FORMAT, "more than %d steps", RECIPE_STEPS);
  for (int k = 0; k < r->n; k++)
    if (!strcmp(r->step[k].id, id))
      return recipe_fail(q, ST_FORMAT,
                         "there is a step %s already; every one needs a name of its own", id);
  return ST_OK;
}

static Status grow_steps(PaperRun *r, Error *e) {
  if (r->n < r->cap) return ST_OK;
  const int cap = r->cap ? 2 * r->cap : 64;
  Step *s = mem_grow(r->step, (size_t)r->cap * sizeof *s, (size_t)cap * sizeof *s);
  if (!s) return err_set(e, ST_NOMEM, "out of memory for the recipe");
  r->step = s;
  r->cap = cap;
  return ST_OK;
}

static Status begin_step(Recipe *q, const char *rest) {
  PaperRun *r = q->r;
  char *id = NULL;
  TRY(grow_steps(r, q->e));
  TRY(line_text(q, rest, &id));
  const Status s = check_step(q, id);
  if (s == ST_OK) {
    q->step = &r->step[r->n++];
    q->step_line = q->at;
    snprintf(q->step->id, sizeof q->step->id, "%s", id);
    snprintf(q->step->section, sizeof q->step->section, "%s", q->section);
  }
  mem_free(id);
  return s;
}

/* Every file of the list lies below {w} or {o}. */
static Status check_below(Recipe *q, const char *list) {
  for (const char *p = list; *p;) {
    p += strspn(p, " ");
    const size_t n = strcspn(p, " ");
    if (n > 160)
      return recipe_fail(q, ST_FORMAT, "'%.60s...': a name of %zu characters; expected at most 160",
                         p, n);
    if (n && ((strncmp(p, "{w}/", 4) && strncmp(p, "{o}/", 4)) || n == 4 || strstr(p, "..")))
      return recipe_fail(q, ST_FORMAT,
                         "'%.*s' is not below the output; expected {w}/... or {o}/...",
                         (int)PRLX_MIN(n, (size_t)80), p);
    p += n;
  }
  return ST_OK;
}

static Status set_text(Recipe *q, char **slot, const char *word, const char *rest) {
  if (*slot) return recipe_fail(q, ST_FORMAT, "a second '%s'; expected one", word);
  return line_text(q, rest, slot);
}

/* *hit: the word is an attribute of a step. */
static Status step_attribute(Recipe *q, const char *word, const char *rest, bool *hit) {
  Step *s = q->step;
  *hit = true;
  if (!strcmp(word, "time")) return line_number(q, rest, &s->seconds);
  if (!strcmp(word, "run")) return set_text(q, &s->cmd, word, rest);
  if (!strcmp(word, "makes")) {
    TRY(set_text(q, &s->outputs, word, rest));
    return check_below(q, s->outputs);
  }
  if (!strcmp(word, "save")) {
    TRY(set_text(q, &s->save, word, rest));
    return check_below(q, s->save);
  }
  if (!strcmp(word, "resumes"))
    s->resumes = true;
  else if (!strcmp(word, "last"))
    s->last = true;
  else
    *hit = false;
  return ST_OK;
}

/* ---- augmentations ---- */

static Status begin_aug(Recipe *q, const char *rest) {
  PaperRun *r = q->r;
  char id[sizeof r->aug[0].id];
  TRY(take_word(q, &rest, id, sizeof id, "the name of the augmentation"));
  if (!plain_name(id))
    return recipe_fail(q, ST_FORMAT, "'%s' cannot be a name; expected letters, digits, '_'", id);
  if (r->naug == PAPER_AUGS)
    return recipe_fail(q, ST_FORMAT, "more than %d augmentations", PAPER_AUGS);
  for (int k = 0; k < r->naug; k++)
    if (!strcmp(r->aug[k].id, id))
      return recipe_fail(q, ST_FORMAT, "there is an augmentation %s already", id);
  PaperAug *a = &r->aug[r->naug];
  *a = (PaperAug){.index = r->naug,
                  .possible = true,
                  .adds = r->add,
                  .features = r->add,
                  .table = -1,
                  .real = 1,
                  .runs = (int)paper_setting_number(r->scale, "runs")};
  memcpy(a->id, id, sizeof id);
  r->naug++;
  q->aug = a;
  q->step_line = q->at;
  return ST_OK;
}

/* "3", "4", "3,4" or "none", as bits. */
static Status aug_table(Recipe *q, const char *rest, int *table) {
  static const struct {
    const char *text;
    int bits;
  } known[] = {{"3", 1 << 3}, {"4", 1 << 4}, {"3,4", 1 << 3 | 1 << 4}, {"none", 0}};
  for (int i = 0; i < COUNT_OF(known); i++)
    if (!strcmp(rest, known[i].text)) {
      *table = known[i].bits;
      return ST_OK;
    }
  return recipe_fail(q, ST_FORMAT, "table '%.40s'; expected 3, 4, '3,4' or none", rest);
}

static Status aug_attribute(Recipe *q, const char *word, const char *rest, bool *hit) {
  PaperAug *a = q->aug;
  *hit = true;
  if (!strcmp(word, "name")) return set_text(q, &a->name, word, rest);
  if (!strcmp(word, "what")) return set_text(q, &a->what, word, rest);
  if (!strcmp(word, "data")) return set_text(q, &a->data, word, rest);
  if (!strcmp(word, "fid")) return set_text(q, &a->fid, word, rest);
  if (!strcmp(word, "adds")) return line_int(q, rest, &a->adds);
  if (!strcmp(word, "features")) return line_int(q, rest, &a->features);
  if (!strcmp(word, "needs")) return recipe_at(q, expr_true(&q->vars, rest, &a->possible, q->e));
  if (!strcmp(word, "paper")) return set_text(q, &a->paper, word, rest);
  if (!strcmp(word, "paper2")) return set_text(q, &a->paper2, word, rest);
  if (!strcmp(word, "real")) return line_int(q, rest, &a->real);
  if (!strcmp(word, "runs")) return line_int(q, rest, &a->runs);
  if (!strcmp(word, "group"))
    return take_word(q, &rest, a->group, sizeof a->group, "the kind of the augmentation");
  if (!strcmp(word, "table")) return aug_table(q, rest, &a->table);
  if (!strcmp(word, "replaces"))
    a->replaces = true;
  else
    *hit = false;
  return ST_OK;
}

/* Nothing is left out of the step or augmentation that ends here. */
static Status end_block(Recipe *q) {
  const int at = q->at;
  Step *s = q->step;
  PaperAug *a = q->aug;
  q->step = NULL;
  q->aug = NULL;
  q->at = q->step_line;
  if (s && !s->cmd)
    return recipe_fail(q, ST_FORMAT, "step %s has no command; expected a line 'run ...'", s->id);
  if (s && !s->outputs && !(s->outputs = mem_strdup("")))
    return err_set(q->e, ST_NOMEM, "out of memory for the recipe");
  if (a && (!a->name || !a->what || !a->data || a->table < 0))
    return recipe_fail(q, ST_FORMAT,
                       "augmentation %s is not complete; expected name, what, table and data",
                       a->id);
  q->at = at;
  return ST_OK;
}

/* ---- blocks ---- */

/* The line of the `end` (or, for an if, the `else`) that belongs to the block beginning at line k;
 * -1: there is none before `stop`. */
static int block_end(const Recipe *q, int k, int stop, bool or_else) {
  int depth = 0;
  for (; k < stop; k++) {
    const char *t = q->line[k].text;
    const size_t n = strcspn(t, " \t");
    if ((n == 2 && !strncmp(t, "if", 2)) || (n == 3 && !strncmp(t, "for", 3))) depth++;
    if (n == 3 && !strncmp(t, "end", 3) && --depth == 0) return k;
    if (or_else && depth == 1 && n == 4 && !strncmp(t, "else", 4)) return k;
  }
  return -1;
}

static Status read_block(Recipe *q, int from, int to, int depth);

static Status read_if(Recipe *q, const char *rest, int k, int end, int depth) {
  bool yes;
  TRY(recipe_at(q, expr_true(&q->vars, rest, &yes, q->e)));
  const int mid = block_end(q, k, end + 1, true);
  if (yes) return read_block(q, k + 1, mid, depth);
  return mid < end ? read_block(q, mid + 1, end, depth) : ST_OK;
}

static Status for_augs(Recipe *q, const char *name, int k, int end, int depth) {
  for (int i = 0; i < q->r->naug; i++) {
    const PaperAug *a = &q->r->aug[i];
    char field[VAR_NAME + 16];
    if (!a->possible) continue;
#define SET(how, what, value)                         \
  snprintf(field, sizeof field, "%.40s." what, name); \
  TRY(recipe_at(q, vars_set_##how(&q->vars, field, value, q->e)))
    SET(text, "id", a->id);
    SET(text, "name", a->name);
    SET(text, "data", a->data);
    SET(text, "fid", a->fid ? a->fid : "");
    SET(number, "replaces", a->replaces);
    SET(number, "index", a->index);
    SET(number, "features", a->features);
    SET(number, "real", a->real);
    SET(number, "runs", a->runs);
    SET(text, "group", a->group);
#undef SET
    TRY(read_block(q, k + 1, end, depth));
  }
  return ST_OK;
}

/* Numbers or words, separated by commas or blanks; list is cut up. */
static Status for_list(Recipe *q, const char *name, char *list, int k, int end, int depth) {
  char *save = NULL;
  for (char *w = strtok_r(list, ", \t", &save); w; w = strtok_r(NULL, ", \t", &save)) {
    TRY(recipe_at(q, vars_set_text(&q->vars, name, w, q->e)));
    TRY(read_block(q, k + 1, end, depth));
  }
  return ST_OK;
}

/* FROM to TO by STEP */
static Status for_range(Recipe *q, const char *name, const char *rest, int k, int end, int depth) {
  char part[200];
  double v[3];
  snprintf(part, sizeof part, "%s", rest);
  char *to = strstr(part, " to "), *by = to ? strstr(to, " by ") : NULL;
  if (strlen(rest) >= sizeof part || !by)
    return recipe_fail(q, ST_FORMAT, "'%.60s'; expected NUMBER to NUMBER by NUMBER", rest);
  *to = *by = 0;
  TRY(line_number(q, part, &v[0]));
  TRY(line_number(q, to + 4, &v[1]));
  TRY(line_number(q, by + 4, &v[2]));
  if (!(v[2] > 0)) return recipe_fail(q, ST_FORMAT, "steps of %g; expected more than 0", v[2]);
  for (double x = v[0]; x <= v[1] + 1e-9; x += v[2]) {
    TRY(recipe_at(q, vars_set_number(&q->vars, name, x, q->e)));
    TRY(read_block(q, k + 1, end, depth));
  }
  return ST_OK;
}

static Status read_for(Recipe *q, const char *rest, int k, int end, int depth) {
  char name[VAR_NAME], word[8], *list = NULL;
  TRY(take_word(q, &rest, name, sizeof name, "the name of the loop's variable"));
  TRY(take_word(q, &rest, word, sizeof word, "'in' or 'from'"));
  if (!strcmp(word, "from")) return for_range(q, name, rest, k, end, depth);
  if (strcmp(word, "in")) return recipe_fail(q, ST_FORMAT, "'%s'; expected 'in' or 'from'", word);
  if (!strcmp(rest, "augmentations")) return for_augs(q, name, k, end, depth);
  TRY(line_text(q, rest, &list));
  const Status s = for_list(q, name, list, k, end, depth);
  mem_free(list);
  return s;
}

/* ---- single lines ---- */

/* *text becomes what the variable was, a blank, and *text. */
static Status append_text(Recipe *q, const char *name, char **text) {
  const PaperVar *was = vars_find(&q->vars, name);
  if (!was || !was->text)
    return recipe_fail(q, ST_FORMAT, "there is no text '%s' to append to; expected 'text %s' above",
                       name, name);
  const size_t n = strlen(was->text), m = strlen(*text);
  char *both = mem_alloc(n + m + 2);
  if (!both) return err_set(q->e, ST_NOMEM, "out of memory for the recipe");
  memcpy(both, was->text, n);
  both[n] = ' ';
  memcpy(both + n + 1, *text, m);
  mem_free(*text);
  *text = both;
  return ST_OK;
}

static Status set_variable(Recipe *q, const char *word, const char *rest) {
  char name[VAR_NAME], *text = NULL;
  Status s = ST_OK;
  TRY(take_word(q, &rest, name, sizeof name, "a name"));
  if (!strcmp(word, "let")) {
    double v;
    TRY(line_number(q, rest, &v));
    return recipe_at(q, vars_set_number(&q->vars, name, v, q->e));
  }
  TRY(line_text(q, rest, &text));
  if (!strcmp(word, "append")) {
    s = append_text(q, name, &text);
    if (s != ST_OK) goto done;
  }
  s = recipe_at(q, vars_set_text(&q->vars, name, text, q->e));
done:
  mem_free(text);
  return s;
}

static Status read_section(Recipe *q, const char *rest) {
  TRY(take_word(q, &rest, q->section, sizeof q->section, "the name of the section"));
  if (plain_name(q->section)) return ST_OK;
  return recipe_fail(q, ST_FORMAT, "'%s' cannot be the name of a section; expected letters, digits",
                     q->section);
}

/* One line that is no block. */
static Status read_line(Recipe *q, const char *word, const char *rest) {
  bool hit = false;
  if (q->step) TRY(step_attribute(q, word, rest, &hit));
  if (q->aug && !hit) TRY(aug_attribute(q, word, rest, &hit));
  if (hit) return ST_OK;
  TRY(end_block(q));
  if (!strcmp(word, "step")) return begin_step(q, rest);
  if (!strcmp(word, "augmentation")) return begin_aug(q, rest);
  if (!strcmp(word, "section")) return read_section(q, rest);
  if (!strcmp(word, "let") || !strcmp(word, "text") || !strcmp(word, "append"))
    return set_variable(q, word, rest);
  return recipe_fail(q, ST_FORMAT,
                     "'%s'; expected section, let, text, append, if, for, step, augmentation, or "
                     "what belongs to one of the last two; see the head of paper/recipe.txt",
                     word);
}

/* Lines from .. to-1. */
static Status read_block(Recipe *q, int from, int to, int depth) {
  if (depth > RECIPE_DEPTH)
    return recipe_fail(q, ST_FORMAT, "more than %d blocks in one another", RECIPE_DEPTH);
  for (int k = from; k < to; k++) {
    const char *rest = q->line[k].text;
    char word[32];
    q->at = q->line[k].first;
    if (--q->budget < 0)
      return recipe_fail(q, ST_FORMAT, "loops of more than %d lines in all", RECIPE_LINES);
    TRY(take_word(q, &rest, word, sizeof word, "a word"));
    const bool is_if = !strcmp(word, "if");
    if (!is_if && strcmp(word, "for")) {
      TRY(read_line(q, word, rest));
      continue;
    }
    const int end = block_end(q, k, to, false);
    TRY(end_block(q));
    if (end < 0)
      return recipe_fail(q, ST_FORMAT, "this '%s' has no 'end'; expected one below", word);
    TRY(is_if ? read_if(q, rest, k, end, depth + 1) : read_for(q, rest, k, end, depth + 1));
    k = end;
  }
  return end_block(q);
}

/* ---- what the recipe can speak of ---- */

/* Answers of people: CSV files that someone put into OUT/reader. */
static Status find_people(const PaperRun *r, char *out, size_t n, Error *e) {
  char folder[PATH_LEN];
  FolderList l;
  size_t at = 0;
  *out = 0;
  TRY(path_join(folder, r->out, "reader", e));
  if (!file_exists(folder)) return ST_OK; /* not there yet */
  TRY(folder_read(folder, "*.csv", &l, e));
  for (int i = 0; i < l.n; i++)
    if (!strchr(l.name[i], ' ') && at + strlen(l.name[i]) + 16 < n)
      at += (size_t)snprintf(out + at, n - at, " {o}/reader/%s", l.name[i]);
  folder_free(&l);
  return ST_OK;
}

static Status set_settings(Recipe *q) {
  const PaperScale *s = q->r->scale;
  for (int i = 0; i < s->table.nrow; i++) {
    const char *name = tsv_get(&s->table, i, s->name_column);
    const Status st = vars_set_text(&q->vars, name, paper_setting(s, name), q->e);
    if (st == ST_OK) continue;
    const Error inner = *q->e;
    return err_set(q->e, st, "%s: row %d: %.800s", s->table.path, i + 2, inner.msg);
  }
  return ST_OK;
}

static Status set_counts(Recipe *q) {
  const PaperRun *r = q->r;
  char people[4096];
  const struct {
    const char *name;
    double value;
  } number[] = {{"rim", r->rim},
                {"nonrim", r->nonrim},
                {"ambiguous", r->ambiguous},
                {"train_rim", r->train_rim},
                {"train_nonrim", r->train_nonrim},
                {"test_rim", r->test_rim},
                {"add", r->add},
                {"contrasts", r->contrasts},
                {"masks", r->masks},
                {"scaled", r->scaled},
                {"cohort", r->cohort != NULL},
                {"published", r->published != NULL},
                {"recipe", r->recipe != NULL},
                {"scales", r->scales != NULL}};
  for (int i = 0; i < COUNT_OF(number); i++)
    TRY(vars_set_number(&q->vars, number[i].name, number[i].value, q->e));
  TRY(find_people(r, people, sizeof people, q->e));
  TRY(vars_set_text(&q->vars, "people", people, q->e));
  return vars_set_text(&q->vars, "scale", r->scale->name, q->e);
}

static Status read_recipe(Recipe *q, const char *text, size_t n) {
  TRY(read_lines(q, text, n));
  TRY(set_settings(q));
  TRY(set_counts(q));
  TRY(read_block(q, 0, q->nline, 0));
  if (q->r->n && q->r->naug) return ST_OK;
  return err_set(q->e, ST_FORMAT, "%s: no %s; expected at least one", q->path,
                 q->r->n ? "augmentation" : "step");
}

void paper_recipe_free(PaperRun *r) {
  for (int k = 0; k < r->n; k++) {
    mem_free(r->step[k].cmd);
    mem_free(r->step[k].outputs);
    mem_free(r->step[k].save);
  }
  for (int k = 0; k < r->naug; k++) {
    mem_free(r->aug[k].name);
    mem_free(r->aug[k].what);
    mem_free(r->aug[k].data);
    mem_free(r->aug[k].fid);
    mem_free(r->aug[k].paper);
    mem_free(r->aug[k].paper2);
  }
  mem_free(r->step);
  r->step = NULL;
  r->n = r->cap = r->naug = 0;
}

Status paper_recipe(PaperRun *r, Error *e) {
  Recipe q = {
      .r = r, .path = r->recipe ? r->recipe : "paper/recipe.txt", .budget = RECIPE_LINES, .e = e};
  uint8_t *own = NULL;
  size_t n = strlen(asset_recipe_txt);
  if (r->recipe) TRY(file_read(r->recipe, &own, &n, RECIPE_BYTES, e));
  const Status s = read_recipe(&q, own ? (const char *)own : asset_recipe_txt, n);
  for (int i = 0; i < q.nline; i++) mem_free(q.line[i].text);
  mem_free(q.line);
  mem_free(own);
  vars_free(&q.vars);
  return s;
}
