/* reader_score.c: `prlx reader score`: key and answers -> Table 1 of the paper with intervals and
 * tests, and agreement between readers. Every file is checked against the key before anything is
 * counted: another study, an unknown item or an item answered twice is an error. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/csv.h"
#include "io/formats/path.h"
#include "io/formats/tsv.h"
#include "models/judge/agreement.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"
#include "tools/reader/reader.h"

enum { EXP_SOURCE, EXP_RIM, EXPS };
static const char *const exp_id[EXPS] = {"source", "rim"}, *const exp_name[EXPS] = {
                                                               "real or synthetic",
                                                               "rim or non-rim"};
static const char *const yes_word[EXPS] = {"real", "rim"}, *const no_word[EXPS] = {"synthetic",
                                                                                   "non-rim"};
#define MAX_READERS 32
#define LEVEL 0.95

/* label: 1 rim, 0 non-rim, -1 other or unknown */
typedef struct Item {
  const char *code;
  int exp;
  int synthetic;
  int label;
} Item;
/* per item: 1 yes (real, rim), 0 no, -1 open */
typedef struct Reader {
  char name[64];
  const char *path;
  int8_t *answer;
} Reader;
typedef struct Score {
  Tsv key;
  Item *item;
  int n;
  int nreaders;
  const char *study;
  Reader reader[MAX_READERS];
  TsvWriter w;
} Score;

/* ---- reading ---- */
static int exp_of(const char *text) {
  for (int x = 0; x < EXPS; x++)
    if (!strcmp(text, exp_id[x])) return x;
  return -1;
}

/* A key is of one study, each slice of it asked for once: two keys in one file, or a row pasted
 * twice, would only show as slices that nobody answered. */
static Status key_row_fits(const Score *s, int row, const char *study, const char *path, Error *e) {
  const char *code = s->item[row].code;
  if (strcmp(study, s->study) != 0)
    return err_set(e, ST_FORMAT,
                   "%s: row %d is of study %.40s, row 2 of study %.40s; expected the key of one "
                   "study; take its rows only",
                   path, row + 2, study, s->study);
  for (int i = 0; i < row; i++)
    if (!strcmp(s->item[i].code, code))
      return err_set(e, ST_FORMAT,
                     "%s: row %d: item %.40s is in row %d, too; expected each once; give the key "
                     "written by `prlx reader make`",
                     path, row + 2, code, i + 2);
  return ST_OK;
}

static Status read_key(Score *s, const char *path, Error *e) {
  TRY(tsv_read(path, &s->key, e));
  const Tsv *t = &s->key;
  const int cs = tsv_column(t, "study"), cx = tsv_column(t, "experiment"),
            ci = tsv_column(t, "item"), co = tsv_column(t, "source"), cl = tsv_column(t, "label");
  if (cs < 0 || cx < 0 || ci < 0 || co < 0 || cl < 0 || t->nrow < 1)
    return err_set(e, ST_FORMAT,
                   "%s: expected the columns study, experiment, item, source, label and at least "
                   "one row; give the key written by `prlx reader make`",
                   path);
  if (!(s->item = mem_alloc((size_t)t->nrow * sizeof *s->item)))
    return err_set(e, ST_NOMEM, "%s: out of memory", path);
  s->n = t->nrow;
  s->study = tsv_get(t, 0, cs);
  for (int i = 0; i < s->n; i++) {
    const char *label = tsv_get(t, i, cl), *source = tsv_get(t, i, co);
    s->item[i] = (Item){tsv_get(t, i, ci), exp_of(tsv_get(t, i, cx)), !strcmp(source, "synthetic"),
                        !strcmp(label, "rim")       ? 1
                        : !strcmp(label, "non-rim") ? 0
                                                    : -1};
    if (s->item[i].exp < 0 || (!s->item[i].synthetic && strcmp(source, "real") != 0))
      return err_set(
          e, ST_FORMAT,
          "%s: row %d: experiment %.40s, source %.40s; expected source or rim, real or synthetic",
          path, i + 2, tsv_get(t, i, cx), source);
    TRY(key_row_fits(s, i, tsv_get(t, i, cs), path, e));
  }
  return ST_OK;
}

static int find_item(const Score *s, const char *code) {
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->item[i].code, code)) return i;
  return -1;
}

/* One letter of a name after p that is no blank, small; 0: the end. */
static int next_letter(const char **p) {
  while (**p == ' ') (*p)++;
  return **p ? tolower((unsigned char)*(*p)++) : 0;
}

/* R1, r1 and "R1 " are one person who wrote the code twice, not two readers that agree. */
static Status name_apart(const Score *s, const char *name, const char *path, Error *e) {
  for (int i = 0; i < s->nreaders; i++) {
    const char *a = name, *b = s->reader[i].name;
    int x, y;
    do {
      x = next_letter(&a);
      y = next_letter(&b);
    } while (x && x == y);
    if (x == y)
      return err_set(e, ST_INVALID,
                     "%s: reader '%s' and reader '%s' of %s differ in blanks or capitals only; "
                     "write one code the same way, or give two people other codes",
                     path, name, s->reader[i].name, s->reader[i].path);
  }
  return ST_OK;
}

/* Readers are told apart by the column reader; a file without it is one reader, named as the file.
 */
static Status reader_of(Score *s, const Csv *c, int row, int column, const char *path, Reader **out,
                        Error *e) {
  char name[64];
  const char *cell = column >= 0 ? c->cell[row * c->ncol + column] : "";
  snprintf(name, sizeof name, "%.63s", *cell ? cell : path_base(path));
  for (char *p = name; *p; p++)
    if ((unsigned char)*p < 32) *p = ' ';
  for (int i = 0; i < s->nreaders; i++)
    if (!strcmp(s->reader[i].name, name)) {
      if (s->reader[i].path != path)
        return err_set(e, ST_INVALID,
                       "%s: reader %s is also in %s; give one file per reader, or other codes if "
                       "they are two people",
                       path, name, s->reader[i].path);
      *out = &s->reader[i];
      return ST_OK;
    }
  TRY(name_apart(s, name, path, e));
  if (s->nreaders == MAX_READERS)
    return err_set(e, ST_INVALID, "%s: more than %d readers", path, MAX_READERS);
  Reader *r = &s->reader[s->nreaders];
  memcpy(r->name, name, sizeof name);
  r->path = path;
  if (!(r->answer = mem_alloc((size_t)s->n)))
    return err_set(e, ST_NOMEM, "%s: out of memory", path);
  memset(r->answer, -1, (size_t)s->n);
  s->nreaders++;
  *out = r;
  return ST_OK;
}

static Status take_row(Score *s, const Csv *c, int row, const int col[4], const char *path,
                       Error *e) {
  char **cell = c->cell + row * c->ncol;
  Reader *r = NULL;
  if (col[0] >= 0 && strcmp(cell[col[0]], s->study) != 0)
    return err_set(e, ST_INVALID, "%s: row %d is of study %.40s; the key is of study %s", path,
                   c->line[row], cell[col[0]], s->study);
  const int i = find_item(s, cell[col[1]]);
  if (i < 0)
    return err_set(e, ST_INVALID, "%s: row %d: item %.40s is not in the key of study %s", path,
                   c->line[row], cell[col[1]], s->study);
  const int x = s->item[i].exp;
  const int a = !strcmp(cell[col[2]], yes_word[x]) ? 1 : !strcmp(cell[col[2]], no_word[x]) ? 0 : -1;
  if (a < 0)
    return err_set(e, ST_FORMAT, "%s: row %d: answer %.40s; expected %s or %s", path, c->line[row],
                   cell[col[2]], yes_word[x], no_word[x]);
  TRY(reader_of(s, c, row, col[3], path, &r, e));
  if (r->answer[i] >= 0)
    return err_set(e, ST_FORMAT, "%s: row %d: item %s is answered twice by reader %s", path,
                   c->line[row], s->item[i].code, r->name);
  r->answer[i] = (int8_t)a;
  return ST_OK;
}

static Status read_answers(Score *s, const char *path, Error *e) {
  Csv c;
  TRY(csv_read(path, "a file exported by the page of the study", &c, e));
  Status st = ST_OK;
  const int col[4] = {csv_column(&c, "study"), csv_column(&c, "item"), csv_column(&c, "answer"),
                      csv_column(&c, "reader")};
  if (col[1] < 0 || col[2] < 0 || c.nrow < 1) {
    st = err_set(e, ST_FORMAT,
                 "%s: expected the columns item and answer and at least one row; give a file "
                 "exported by the page",
                 path);
    goto done;
  }
  for (int i = 0; i < c.nrow; i++) {
    st = take_row(s, &c, i, col, path, e);
    if (st != ST_OK) goto done;
  }
done:
  csv_free(&c);
  return st;
}

/* ---- counting and printing ---- */
/* Of the answered items of an experiment with source (and label, -1: any) as given: how many, and
 * how many were answered yes. */
static void count_answers(const Score *s, const Reader *r, int x, int synthetic, int label,
                          int64_t *yes, int64_t *n) {
  *yes = *n = 0;
  for (int i = 0; i < s->n; i++) {
    const Item *t = &s->item[i];
    if (t->exp != x || r->answer[i] < 0 || (synthetic >= 0 && t->synthetic != synthetic) ||
        (label >= 0 && t->label != label))
      continue;
    ++*n;
    *yes += r->answer[i];
  }
}

static void score_cell(Score *s, double v) {
  if (isnan(v))
    tsv_cell(&s->w, "n/a");
  else
    tsv_cell(&s->w, "%.6f", v);
}

/* One line of the table, also as a row of the file: quantity, k, n, value, interval, p. */
static void score_line(Score *s, const char *reader, int x, const char *what, int64_t k, int64_t n,
                       double value, Interval ci, double p) {
  tsv_cell(&s->w, "%s", reader);
  tsv_cell(&s->w, "%s", exp_id[x]);
  tsv_cell(&s->w, "%s", what);
  if (k >= 0)
    tsv_cell(&s->w, "%lld", (long long)k);
  else
    tsv_cell(&s->w, "n/a");
  tsv_cell(&s->w, "%lld", (long long)n);
  score_cell(s, value);
  score_cell(s, isnan(value) ? NAN : ci.lo);
  score_cell(s, isnan(value) ? NAN : ci.hi);
  if (isnan(p))
    tsv_cell(&s->w, "n/a");
  else
    tsv_cell(&s->w, "%.6g", p);
  tsv_row_end(&s->w);
}

static void score_proportion(Score *s, const Reader *r, int x, const char *what, int64_t k,
                             int64_t n, double p, const char *note) {
  const Interval ci = wilson_interval(k, n, LEVEL);
  const double value = n ? (double)k / (double)n : NAN;
  score_line(s, r->name, x, what, k, n, value, ci, p);
  if (n)
    printf("    %-30s %4lld of %-4lld  %.2f  [%.2f, %.2f]%s\n", what, (long long)k, (long long)n,
           value, ci.lo, ci.hi, note);
}

static void one_experiment(Score *s, const Reader *r, int x) {
  int64_t yes[2], n[2], all = 0, k;
  char what[64], note[96];
  for (int i = 0; i < s->n; i++) all += s->item[i].exp == x;
  for (int g = 0; g < 2; g++) count_answers(s, r, x, g, -1, &yes[g], &n[g]);
  if (!all) return;
  printf("  %s: %lld of %lld slices answered%s\n", exp_name[x], (long long)(n[0] + n[1]),
         (long long)all, n[0] + n[1] < all ? "; the open ones are left out" : "");
  if (n[0] + n[1] == 0) return;
  for (int g = 0; g < 2; g++) {
    snprintf(what, sizeof what, "%s called %s", g ? "synthetic" : "real", yes_word[x]);
    score_proportion(s, r, x, what, yes[g], n[g], NAN, "");
  }
  const double p = fisher_exact(yes[0], n[0] - yes[0], yes[1], n[1] - yes[1]);
  printf("    difference, Fisher's exact test                    p = %.3g\n", p);
  snprintf(what, sizeof what, "called %s, real against synthetic", yes_word[x]);
  score_line(s, r->name, x, what, -1, n[0] + n[1], NAN, (Interval){NAN, NAN}, p);
  if (x == EXP_SOURCE) {
    k = yes[0] + n[1] - yes[1];
    const double b = binomial_half(k, n[0] + n[1]);
    snprintf(note, sizeof note, "  against guessing p = %.3g; d' %.2f", b,
             d_prime(yes[0], n[0], yes[1], n[1]));
    score_proportion(s, r, x, "accuracy", k, n[0] + n[1], b, note);
    return;
  }
  int64_t hit, rims, alarm, others;
  count_answers(s, r, x, -1, 1, &hit, &rims);
  count_answers(s, r, x, -1, 0, &alarm, &others);
  if (rims && others) {
    score_proportion(s, r, x, "labelled rim, called rim", hit, rims, NAN, "");
    score_proportion(s, r, x, "labelled non-rim, called rim", alarm, others,
                     fisher_exact(hit, rims - hit, alarm, others - alarm), "");
    score_proportion(s, r, x, "agreement with the labels", hit + others - alarm, rims + others, NAN,
                     "");
  }
}

static Status reader_agreement(Score *s, const Reader *a, const Reader *b, Error *e) {
  for (int x = 0; x < EXPS; x++) {
    int64_t t[4] = {0};
    char what[160], who[160];
    Kappa k;
    for (int i = 0; i < s->n; i++)
      if (s->item[i].exp == x && a->answer[i] >= 0 && b->answer[i] >= 0)
        t[(1 - a->answer[i]) * 2 + 1 - b->answer[i]]++;
    if (t[0] + t[1] + t[2] + t[3] == 0) continue;
    TRY(kappa_cohen(t, 2, LEVEL, &k, e));
    snprintf(who, sizeof who, "%s, %s", a->name, b->name);
    printf("  %-30s %s: both %s %lld, only first %lld, only second %lld, both %s %lld\n", who,
           exp_name[x], yes_word[x], (long long)t[0], (long long)t[1], (long long)t[2], no_word[x],
           (long long)t[3]);
    if (isnan(k.kappa))
      printf("  %-30s kappa undefined: both used one answer only\n", "");
    else
      printf("  %-30s kappa %.2f [%.2f, %.2f], observed agreement %.2f, by chance %.2f\n", "",
             k.kappa, k.ci.lo, k.ci.hi, k.observed, k.expected);
    snprintf(what, sizeof what, "kappa");
    score_line(s, who, x, what, -1, k.n, k.kappa, k.ci, NAN);
  }
  return ST_OK;
}

/* Fractions as in Table 1: one row per question, columns real and synthetic. */
static void table_one(const Score *s) {
  printf("\nTable 1 (one reader, 55 + 55 slices)     real   synthetic\n  published, called rim     "
         "             0.31   0.40\n  published, called real                 0.55   0.29\n");
  for (int i = 0; i < s->nreaders; i++)
    for (int x = EXPS - 1; x >= 0; x--) {
      int64_t yes[2], n[2];
      for (int g = 0; g < 2; g++) count_answers(s, &s->reader[i], x, g, -1, &yes[g], &n[g]);
      if (n[0] && n[1])
        printf("  %-24.24s called %-5s   %.2f   %.2f\n", s->reader[i].name, yes_word[x],
               (double)yes[0] / (double)n[0], (double)yes[1] / (double)n[1]);
    }
}

static Status score_answers(Score *s, const OptSpec *spec, const char *out, Error *e) {
  static const char *const head[] = {"reader", "experiment", "quantity", "k", "n",
                                     "value",  "lower",      "upper",    "p"};
  TRY(outputs_file(out, "reader\texperiment\tquantity", e));
  TRY(read_key(s, spec->args[0], e));
  for (int i = 1; i < spec->nargs; i++) TRY(read_answers(s, spec->args[i], e));
  for (int i = 0; i < COUNT_OF(head); i++) tsv_cell(&s->w, "%s", head[i]);
  tsv_row_end(&s->w);
  printf("study %s: %d reader%s; intervals: Wilson, 95 %%\n", s->study, s->nreaders,
         s->nreaders == 1 ? "" : "s");
  for (int i = 0; i < s->nreaders; i++) {
    printf("\nreader %s\n", s->reader[i].name);
    for (int x = 0; x < EXPS; x++) one_experiment(s, &s->reader[i], x);
  }
  if (s->nreaders > 1) printf("\nagreement between readers (Cohen's kappa, 95 %%)\n");
  for (int i = 0; i < s->nreaders; i++)
    for (int j = i + 1; j < s->nreaders; j++)
      TRY(reader_agreement(s, &s->reader[i], &s->reader[j], e));
  table_one(s);
  if (!out) return ST_OK;
  TRY(tsv_commit(&s->w, out, e));
  printf("\n-> %s\n", out);
  return ST_OK;
}

int reader_score(int argc, char **argv) {
  Score *s = mem_alloc(sizeof *s);
  const char *out = NULL;
  Error e = {0};
  if (!s) return tool_no_memory("reader");
  Opt t[] = {OPT_STR("out", &out, NULL, "FILE", "also as a table, e.g. scores.tsv (also -o)")};
  OptSpec spec = {.cmd = "reader score",
                  .summary = "Scores the answers of a reader study against its key.",
                  .details =
                      "  prlx reader score study.key.tsv answers_R1.csv answers_R2.csv\n\n"
                      "Fractions as in Table 1 of the paper with Wilson intervals, Fisher's exact "
                      "test, accuracy against guessing, d', and kappa between readers.",
                  .opt = t,
                  .n = COUNT_OF(t),
                  .pos = "KEY.tsv ANSWERS.csv...",
                  .pos_min = 2,
                  .pos_max = -1};
  int rc = opts_parse(&spec, argc, argv);
  if (rc < 0) {
    rc = score_answers(s, &spec, out, &e) == ST_OK ? EXIT_DONE : tool_fail("reader score", &e);
    opts_free(&spec);
  }
  for (int i = 0; i < s->nreaders; i++) mem_free(s->reader[i].answer);
  mem_free(s->item);
  mem_free(s->w.buf);
  tsv_free(&s->key);
  mem_free(s);
  return rc;
}
