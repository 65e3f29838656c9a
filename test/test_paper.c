/* test_paper.c: the recipe of the paper run: expressions, texts, settings, and what is wrong in a
 * file and where. */
#include <unistd.h>
#include "io/formats/file.h"
#include "paper/engine/paper_expr.h"
#include "paper/engine/paper_impl.h"
#include "test/test.h"

static char dir[64];
static const char *put(const char *name, const char *text) {
  static char path[PATH_LEN];
  Error e;
  path_join(path, dir, name, NULL);
  CHECK(file_write_atomic(path, text, strlen(text), &e) == ST_OK, "writing %s", path);
  return path;
}

static void test_numbers(void) {
  static const struct {
    const char *text;
    double value;
  } good[] = {{"2 + 3 * 4 - 1", 13},
              {"(2 + 3) * 4 / 8", 2.5},
              {"min(n, 7) + max(1, 2)", 7},
              {"floor(n / 2)", 2},
              {"n < 6 and not (n = 5 or 1 > 2)", 0},
              {"n >= 5", 1},
              {"setting * 2", 5},
              {"a.b", 4}};
  static const char *const bad[] = {"",       "2 +",      "nothing", "2 2",         "(2",
                                    "min(1)", "word + 1", "1 / 0",   "floor 2",     "n <",
                                    "2 ** 3", "empty",    "-1",      "min(1, 2, 3)"};
  PaperVars v = {0};
  Error e = {0};
  CHECK(vars_set_number(&v, "n", 5, &e) == ST_OK &&
            vars_set_text(&v, "setting", "2.5", &e) == ST_OK,
        "set: %s", e.msg);
  vars_set_text(&v, "word", "abc", &e);
  vars_set_text(&v, "empty", "", &e);
  vars_set_number(&v, "a.b", 4, &e);
  for (int i = 0; i < COUNT_OF(good); i++) {
    double x = NAN;
    CHECK(expr_number(&v, good[i].text, &x, &e) == ST_OK && x == good[i].value, "%s = %g: %s",
          good[i].text, x, e.msg);
  }
  for (int i = 0; i < COUNT_OF(bad); i++) {
    double x;
    e = (Error){0};
    CHECK(expr_number(&v, bad[i], &x, &e) == ST_FORMAT && e.msg[0], "'%s' is refused: %s", bad[i],
          e.msg);
  }
  bool yes = false;
  CHECK(expr_true(&v, "word and not empty", &yes, &e) == ST_OK && yes, "texts as conditions");
  CHECK(vars_set_number(&v, "2x", 1, &e) == ST_INVALID &&
            vars_set_number(&v, "", 1, &e) == ST_INVALID,
        "names");
  char deep[400];
  memset(deep, '(', 300);
  strcpy(deep + 300, "1");
  double x;
  CHECK(expr_number(&v, deep, &x, &e) == ST_FORMAT, "300 brackets: %s", e.msg);
  vars_free(&v);
}

static void test_texts(void) {
  static const struct {
    const char *text;
    const char *made;
  } good[] = {{"plain", "plain"},
              {"{w}/a {o} {init}", "{w}/a {o} {init}"},
              {"--n {n} {word}", "--n 5 abc"},
              {"{n - 1}|{n / 2}", "4|2.5"},
              {"{n:%06g}", "000005"},
              {"a[n > 4? b]c", "a bc"},
              {"[n > 9?x|y{n}]", "y5"},
              {"[n?[word?both|one]|none]", "both"},
              {"[empty?x]", ""}};
  static const char *const bad[] = {"{n", "[n?x", "{nothing}", "[n]", "{n:%s}", "{}", "[?x]", "{w"};
  PaperVars v = {0};
  Error e = {0};
  vars_set_number(&v, "n", 5, &e);
  vars_set_text(&v, "word", "abc", &e);
  vars_set_text(&v, "empty", "", &e);
  for (int i = 0; i < COUNT_OF(good); i++) {
    char *made = NULL;
    CHECK(expr_text(&v, good[i].text, &made, &e) == ST_OK && !strcmp(made, good[i].made),
          "'%s' -> '%s': %s", good[i].text, made ? made : "", e.msg);
    mem_free(made);
  }
  for (int i = 0; i < COUNT_OF(bad); i++) {
    char *made = NULL;
    CHECK(expr_text(&v, bad[i], &made, &e) == ST_FORMAT && !made, "'%s' is refused", bad[i]);
  }
  vars_free(&v);
}

#define HEAD "augmentation a\n name A\n what b\n table 3\n data {w}/a\nsection s\n"
static void test_recipes(void) {
  static const struct {
    const char *text;
    const char *message;
  } bad[] = {
      {HEAD "stp x\n", "line 7: 'stp'; expected section"},
      {HEAD "step x\n  time 1\nstep y\n  run a\n", "line 7: step x has no command"},
      {HEAD "step x\n  run a\nstep x\n  run b\n", "line 9: there is a step x already"},
      {HEAD "step x y\n  run a\n", "line 7: 'x y' cannot be the name of a step"},
      {"step x\n  run a\n", "line 1: step x has no section"},
      {HEAD "step x\n  makes /etc\n  run a\n", "line 8: '/etc' is not below the output"},
      {HEAD "step x\n  makes {w}/../x\n  run a\n", "not below the output"},
      {HEAD "step x\n  run a {nothing}\n", "line 8: 'nothing': there is no 'nothing'"},
      {HEAD "step x\n  run a \\\n      {nothing}\n", "line 8: "},
      {HEAD "if n\nstep x\n  run a\n", "line 7: this 'if' has no 'end'"},
      {HEAD "for n in 1,2\n step x\n  run a\nend\n", "line 8: there is a step x already"},
      {HEAD "for n from 1 to 9 by 0\nend\n", "line 7: steps of 0; expected more than 0"},
      {HEAD "for n from 1 to 1000000000 by 1\nlet m n\nend\n", "loops of more than"},
      {HEAD "for n at 3\nend\n", "line 7: 'at'; expected 'in' or 'from'"},
      {HEAD "let\n", "line 7: the line ends; expected a name"},
      {HEAD "append t x\n", "line 7: there is no text 't'"},
      {HEAD "step x\n  run a\n  run b\n", "line 9: a second 'run'"},
      {HEAD "end\n", "line 7: 'end'"},
      {"augmentation a\n name A\nsection s\nstep x\n run a\n", "line 1: augmentation a is not"},
      {"section s\nstep x\n  run a\n", "no augmentation; expected at least one"},
      {"# nothing\n", "no step; expected at least one"},
      {"", "no step; expected at least one"}};
  PaperScale scale;
  Error e = {0};
  CHECK(paper_scale_load(&scale, NULL, "tiny", &e) == ST_OK, "scale: %s", e.msg);
  for (int i = 0; i < COUNT_OF(bad); i++) {
    PaperRun r = {.scale = &scale, .out = dir, .recipe = put("r.txt", bad[i].text), .add = 4};
    e = (Error){0};
    CHECK(paper_recipe(&r, &e) == ST_FORMAT && strstr(e.msg, bad[i].message) &&
              strstr(e.msg, "r.txt") && !strchr(e.msg, '\n'),
          "recipe %d: '%s' in: %s", i, bad[i].message, e.msg);
    paper_recipe_free(&r);
  }
  PaperRun r = {.scale = &scale, .out = dir, .add = 4};
  r.recipe = put("r.txt", HEAD "# a comment\nfor n in {sweep}\n  if n > 2\n    step x.{n}\n"
                               "      run a \\\n          {n}\n  else\n    step y\n      run b\n"
                               "      resumes\n  end\nend\n");
  CHECK(paper_recipe(&r, &e) == ST_OK && r.n == 2 && r.naug == 1, "a small one: %s", e.msg);
  CHECK(r.n == 2 && !strcmp(r.step[0].id, "y") && r.step[0].resumes &&
            !strcmp(r.step[1].cmd, "a 8") && !strcmp(r.step[1].section, "s"),
        "its steps");
  paper_recipe_free(&r);
  paper_scale_free(&scale);
  unlink(put("r.txt", ""));
}

static void test_scales(void) {
  PaperScale s;
  Error e = {0};
  CHECK(paper_scale_load(&s, NULL, "huge", &e) == ST_INVALID &&
            strstr(e.msg, "there are small, paper, tiny"),
        "unknown scale: %s", e.msg);
  CHECK(paper_scale_load(&s, NULL, "what", &e) == ST_INVALID, "a column that is no scale");
  CHECK(paper_scale_load(&s, put("s.tsv", "name\tx\na\tb\n"), "x", &e) == ST_FORMAT &&
            strstr(e.msg, "no column 'setting'"),
        "no settings: %s", e.msg);
  CHECK(paper_scale_load(&s, put("s.tsv", "setting\tx\nabout\tb\nsubjects\tmany\n"), "x", &e) ==
                ST_FORMAT &&
            strstr(e.msg, "row 3: subjects is 'many'; expected a whole number"),
        "no number: %s", e.msg);
  CHECK(paper_scale_load(&s, put("s.tsv", "setting\tx\nabout\tb\n"), "x", &e) == ST_FORMAT &&
            strstr(e.msg, "no setting 'subjects'"),
        "a missing setting: %s", e.msg);
  e = (Error){0};
  CHECK(paper_scale_load(&s, NULL, "small", &e) == ST_OK && s.add == 100 && s.sweep[1] == 200 &&
            s.train[1] == 400 && !strcmp(paper_setting(&s, "affine"), "") &&
            paper_setting_number(&s, "cgan_kimg") == 205 && !paper_setting(&s, "nothing"),
        "small: other settings than paper/scales.tsv has %s", e.msg);
  paper_scale_free(&s);
  unlink(put("s.tsv", ""));
}

/* Memory that fails anywhere: an error, nothing left. */
static void test_memory(void) {
  PaperScale s;
  Error e = {0};
  const size_t live = mem_live_count();
  int k = 0, wrong = 0;
  for (; k < 20000; k += 1 + k / 40) {
    PaperRun r = {.scale = &s, .out = dir, .rim = 13, .nonrim = 19, .ambiguous = 5};
    r.train_rim = 7;
    r.test_rim = 4;
    r.add = 4;
    r.contrasts = true;
    mem_fail_after(k);
    Status st = paper_scale_load(&s, NULL, "tiny", &e);
    if (st == ST_OK) st = paper_recipe(&r, &e);
    mem_fail_after(-1);
    paper_recipe_free(&r);
    paper_scale_free(&s);
    wrong += mem_live_count() != live || (st != ST_OK && st != ST_NOMEM);
    if (st == ST_OK) break;
  }
  CHECK(k > 100 && k < 20000 && wrong == 0, "memory failing at allocation %d (%d wrong)", k, wrong);
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/prlx_paper_%ld", (long)getpid());
  Error e;
  if (dir_make(dir, &e) != ST_OK) return 1;
  test_numbers();
  test_texts();
  test_recipes();
  test_scales();
  test_memory();
  rmdir(dir);
  CHECK(mem_live_count() == 0, "%zu blocks leaked", mem_live_count());
  return test_end();
}
