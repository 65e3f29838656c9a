/* paper_run.c: `prlx paper run`: options, the cohort's counts, the plan, and the run. See
 * paper_impl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/threads.h"
#include "io/formats/file.h"
#include "io/images/cohort.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/folder.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

/* ---- what there is to work on ---- */

static Status count_table(PaperRun *r, Error *e) {
  Cohort c;
  TRY(cohort_open(&c, r->cohort, e));
  tool_note_readers("paper run", &c.table);
  r->contrasts = r->masks = true;
  for (int i = 0; i < c.n; i++) {
    const Lesion *l = &c.lesion[i];
    r->rim += l->cls == CLASS_RIM;
    r->nonrim += l->cls == CLASS_NONRIM;
    r->ambiguous += l->cls == CLASS_AMBIGUOUS;
    r->contrasts = r->contrasts && l->flair && l->rim;
    r->masks = r->masks && l->mask;
  }
  cohort_free(&c);
  if (r->rim && r->nonrim) return ST_OK;
  return err_set(
      e, ST_INVALID,
      "%s: %d rim and %d non-rim lesions; the experiments need both classes, read by two readers",
      r->cohort, r->rim, r->nonrim);
}

Status paper_count(PaperRun *r, Error *e) {
  const PaperScale *p = r->scale;
  r->rim = r->nonrim = r->ambiguous = 0;
  if (r->cohort) {
    TRY(count_table(r, e));
  } else {
    r->rim = p->rim;
    r->nonrim = p->nonrim;
    r->ambiguous = p->ambiguous;
    r->contrasts = r->masks = true;
  }
  r->scaled = r->rim < p->train[0] + p->test[0] || r->nonrim < p->train[1] + p->test[1];
  r->train_rim = p->train[0];
  r->train_nonrim = p->train[1];
  r->test_rim = p->test[0];
  r->add = p->add;
  if (!r->scaled) return ST_OK;
  /* as `prlx pack --counts auto` */
  const int rim = PRLX_MIN(r->rim, r->nonrim / 2);
  r->test_rim = rim * 60 / 260;
  r->train_rim = rim - r->test_rim;
  r->train_nonrim = 2 * r->train_rim;
  r->add = PRLX_MAX(PRLX_MIN(p->add, r->train_rim / 2), 1);
  return r->test_rim >= 2 && r->train_rim >= 4
             ? ST_OK
             : err_set(e, ST_INVALID,
                       "%s: %d rim and %d non-rim lesions are too few to train and test with; "
                       "expected at least 10 and 20",
                       r->cohort, r->rim, r->nonrim);
}

/* ---- one output folder belongs to one scale and one cohort ---- */

/* What a run is of, as it stands in OUT/done/.of. */
static void run_kind(const PaperRun *r, char *out, size_t n) {
  snprintf(out, n, "scale %s, cohort %s%s%s%s%s\n", r->scale->name,
           r->cohort ? r->cohort : "phantom", r->recipe ? ", recipe " : "",
           r->recipe ? r->recipe : "", r->scales ? ", scales " : "", r->scales ? r->scales : "");
}

static Status check_claim(const PaperRun *r, const char *path, const char *want, Error *e) {
  uint8_t *data = NULL;
  size_t n = 0;
  TRY(file_read(path, &data, &n, 1 << 16, e));
  Status s = ST_OK;
  if (n != strlen(want) || memcmp(data, want, n))
    s = err_set(e, ST_INVALID,
                "%s: holds a run of another kind (%.*s); this one is %.*s; choose another --out, "
                "or delete that folder",
                r->out, (int)n - 1, (char *)data, (int)strlen(want) - 1, want);
  mem_free(data);
  return s;
}

static Status claim_folder(const PaperRun *r, bool write, Error *e) {
  static const char *const sub[] = {"done", "log", "work", "reader"};
  char path[PATH_LEN], want[4 * PATH_LEN];
  TRY(path_join(path, r->out, "done/.of", e));
  run_kind(r, want, sizeof want);
  if (file_exists(path)) return check_claim(r, path, want, e);
  if (!write) return ST_OK;
  for (int i = 0; i < COUNT_OF(sub); i++) {
    char dir[PATH_LEN];
    TRY(path_join(dir, r->out, sub[i], e));
    TRY(outputs_own_folder(dir, e));
  }
  return file_write_atomic(path, want, strlen(want), e);
}

/* ---- showing the plan ---- */

static void list_steps(const PaperRun *r, bool commands) {
  static const char *const state[] = {"", "", "done", "done", "failed", "", ""};
  double todo = 0;
  bool unknown = false;
  for (int k = 0; k < r->n; k++) {
    const Step *s = &r->step[k];
    const bool run = s->state == STEP_TODO && step_wanted(r, s);
    if (!step_wanted(r, s)) continue;
    if (commands) {
      char *cmd = step_text(r, s);
      printf("# %s%s%s, %s\n%s\n", s->id, *state[s->state] ? ": " : "", state[s->state],
             s->seconds > 0 ? human_time(s->seconds) : "time unknown", cmd ? cmd : "");
      mem_free(cmd);
    } else
      printf("%-28s %-11s %-10s %s\n", s->id, s->section,
             s->seconds > 0 ? human_time(s->seconds) : "?", state[s->state]);
    if (run) todo += s->seconds;
    unknown |= run && s->seconds == 0;
  }
  printf("%s%d steps; to do: about %s%s on two cores\n", commands ? "# " : "", r->n,
         human_time(todo), unknown ? " and what is unknown" : "");
}

static void run_announce(const PaperRun *r) {
  double todo = 0;
  int n = 0;
  for (int k = 0; k < r->n; k++)
    if (r->step[k].state == STEP_TODO && step_wanted(r, &r->step[k]))
      todo += r->step[k].seconds, n++;
  fprintf(stderr, "prlx paper run, scale %s (%s), %s: %d rim, %d ambiguous, %d non-rim lesions\n",
          r->scale->name, r->scale->about, r->cohort ? r->cohort : "phantom", r->rim, r->ambiguous,
          r->nonrim);
  if (r->scaled)
    fprintf(stderr,
            "fewer lesions than the paper's %s + %s: counts are scaled, about %d rims for "
            "training, %d for the test, %d lesions added\n",
            paper_setting(r->scale, "train_counts"), paper_setting(r->scale, "test_counts"),
            r->train_rim, r->test_rim, r->add);
  if (!r->ambiguous)
    fprintf(stderr, "no ambiguous lesions: everything about denoising is left out\n");
  if (!r->contrasts)
    fprintf(stderr,
            "not every lesion has FLAIR and rim masks: the multi-contrast part is left out\n");
  fprintf(stderr,
          "%d of %d steps to do, about %s on two cores; Ctrl-C stops, the same command goes on\n",
          n, r->n, human_time(todo));
}

/* ---- the command ---- */

/* The table that only the last step reads: a long run must not end with its being no such table. */
static Status look_at_published(const PaperRun *r, Error *e) {
  Tsv t;
  bool there;
  const Status s = published_open(r, &t, &there, e);
  if (there) tsv_free(&t);
  return s;
}

/* Everything up to the first step. */
static Status run_plan(PaperRun *r, Error *e) {
  TRY(recipe_check_out(r, e));
  TRY(paper_count(r, e));
  TRY(claim_folder(r, false, e));
  TRY(paper_recipe(r, e));
  TRY(look_at_published(r, e));
  if (r->redo && !r->dry_run && !r->list) TRY(recipe_forget(r, e));
  TRY(recipe_plan(r, e));
  for (int k = 0; k < r->n; k++)
    if (step_wanted(r, &r->step[k])) return ST_OK;
  return err_set(e, ST_INVALID, "--only %s: no such step or section; see --list", r->only);
}

static Status run_begin(const PaperRun *r, Error *e) {
  TRY(tool_folder(r->out, e));
  TRY(outputs_adopt(r->out, e));
  TRY(claim_folder(r, true, e));
  return paper_write_commands(r, e);
}

static int run_steps(PaperRun *r) {
  Error e = {0};
  char page[PATH_LEN];
  if (run_plan(r, &e) != ST_OK) return tool_fail("paper run", &e);
  if (r->list || r->dry_run) {
    list_steps(r, r->dry_run);
    return EXIT_DONE;
  }
  if (path_join(page, r->out, "report.html", &e) != ST_OK || run_begin(r, &e) != ST_OK)
    return tool_fail("paper run", &e);
  if (!tool_quiet) run_announce(r);
  const int rc = recipe_run(r);
  if (rc == EXIT_DONE && file_exists(page)) printf("%s\n", page);
  return rc;
}

int paper_run(int argc, char **argv) {
  PaperRun r = {0};
  PaperScale scale = {0};
  const char *name = NULL;
  Error e = {0};
  Opt t[] = {
      OPT_GROUP("What to run"),
      OPT_STR("scale", &name, "small", "NAME",
              "small: an hour or so on two cores; paper: the published setting, for a GPU; "
              "tiny: self-test"),
      OPT_STR("cohort", &r.cohort, NULL, "TSV",
              "your own lesions.tsv (see prlx pack) in place of the phantom"),
      OPT_STR("recipe", &r.recipe, NULL, "FILE",
              "steps and augmentations, instead of paper/recipe.txt, whose head describes them"),
      OPT_STR("scales", &r.scales, NULL, "TSV",
              "settings of the scales, instead of paper/scales.tsv"),
      OPT_STR("only", &r.only, NULL, "NAME",
              "only the steps of this section, or this one step (see --list)"),
      OPT_STR("redo", &r.redo, NULL, "NAME",
              "this section or step again, and all that depends on it"),
      OPT_INT("jobs", &r.jobs, "0", 0, PAPER_JOBS,
              "steps at the same time, each with its share of the threads; 0: as many as there are "
              "threads,\nat most 8, and one where a GPU is used. Results do not depend on it; "
              "memory adds up"),
      OPT_FLAG("keep-going", &r.keep_going, "no",
               "after a failed step go on with those that do not need it"),
      OPT_FLAG("dry-run", &r.dry_run, "no", "print the commands with estimated times, run nothing"),
      OPT_FLAG("list", &r.list, "no", "list the steps: section, time, what is done"),
      OPT_GROUP("Output"),
      OPT_STR("out", &r.out, "paper/out", "DIR",
              "report.html, tables/, figures/, commands.sh, reader/; large files in work/"),
      OPT_STR("published", &r.published, NULL, "TSV",
              "published numbers, instead of paper/published.tsv: columns source, row, column, "
              "value, note"),
  };
  OptSpec spec = {
      .cmd = "paper run",
      .summary = "Reruns the experiments of the paper: every table and figure beside the published "
                 "numbers, with intervals.",
      .details =
          "  prlx paper run                                     on the phantom, about an hour on "
          "two cores: open paper/out/report.html\n"
          "  prlx paper run --dry-run\n"
          "  prlx paper run --scale paper --cohort my/lesions.tsv -o my/paper\n"
          "  prlx paper run --redo figures                      after a change in the program\n\n"
          "Each step is a prlx command that can be run by hand; commands.sh has them all, log/ "
          "what each one printed. Stop it at any time;\n"
          "the same command goes on. Put the answers of your readers (CSV of reader/study.html) "
          "into reader/ and run it again: they are scored.",
      .opt = t,
      .n = COUNT_OF(t)};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  const Status s = paper_scale_load(&scale, r.scales, name, &e);
  if (s == ST_INVALID) return tool_usage("paper run", "option --scale: %s", e.msg);
  if (s != ST_OK) return tool_fail("paper run", &e);
  r.scale = &scale;
  /* results do not depend on it: not part of a stamp */
  r.threads = threads_count();
  rc = run_steps(&r);
  paper_recipe_free(&r);
  paper_scale_free(&scale);
  opts_free(&spec);
  return rc;
}
