/* paper_run.c: `prlx paper run`: options, the cohort's counts, the plan, and the run. See
 * paper_run.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/threads.h"
#include "io/formats/file.h"
#include "io/images/cohort.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

const PaperScale *paper_scale(int choice) {
  static const char *const name[] = {"small", "paper", "tiny"};
  for (int i = 0; i < paper_scale_count; i++)
    if (!strcmp(paper_scales[i].name, name[choice])) return &paper_scales[i];
  return paper_scales;
}

/* ---- what there is to work on ---- */

static Status count_table(PaperRun *r, Error *e) {
  Cohort c;
  Status s = cohort_open(&c, r->cohort, e);
  if (s != ST_OK) return s;
  r->contrasts = true;
  for (int i = 0; i < c.n; i++) {
    const Lesion *l = &c.lesion[i];
    r->rim += l->cls == CLASS_RIM;
    r->nonrim += l->cls == CLASS_NONRIM;
    r->ambiguous += l->cls == CLASS_AMBIGUOUS;
    r->contrasts = r->contrasts && l->flair && l->rim;
  }
  cohort_free(&c);
  if (!r->rim || !r->nonrim)
    s = err_set(
        e, ST_INVALID,
        "%s: %d rim and %d non-rim lesions; the experiments need both classes, read by two readers",
        r->cohort, r->rim, r->nonrim);
  return s;
}

Status paper_count(PaperRun *r, Error *e) {
  const PaperScale *p = r->scale;
  int train[2] = {0}, test[2] = {0};
  r->rim = r->nonrim = r->ambiguous = 0;
  if (r->cohort) {
    const Status s = count_table(r, e);
    if (s != ST_OK) return s;
  } else
    r->rim = p->rim, r->nonrim = p->nonrim, r->ambiguous = p->ambiguous, r->contrasts = true;
  if (sscanf(p->train_counts, "%d,%d", &train[0], &train[1]) != 2 ||
      sscanf(p->test_counts, "%d,%d", &test[0], &test[1]) != 2)
    return err_set(e, ST_INTERNAL, "scale %s: counts", p->name);
  r->scaled = r->rim < train[0] + test[0] || r->nonrim < train[1] + test[1];
  r->train_rim = train[0];
  r->test_rim = test[0];
  r->add = p->add;
  if (!r->scaled) return ST_OK;
  /* as `prlx pack --counts auto` */
  const int rim = PRLX_MIN(r->rim, r->nonrim / 2);
  r->test_rim = rim * 60 / 260;
  r->train_rim = rim - r->test_rim;
  r->add = PRLX_MAX(PRLX_MIN(p->add, r->train_rim / 2), 1);
  return r->test_rim >= 2 && r->train_rim >= 4
             ? ST_OK
             : err_set(e, ST_INVALID,
                       "%s: %d rim and %d non-rim lesions are too few to train and test with; "
                       "expected at least 10 and 20",
                       r->cohort, r->rim, r->nonrim);
}

/* ---- one output folder belongs to one scale and one cohort ---- */

static Status claim_folder(const PaperRun *r, bool write, Error *e) {
  char path[4400], want[4600];
  uint8_t *data = NULL;
  size_t n = 0;
  snprintf(path, sizeof path, "%s/done/.of", r->out);
  snprintf(want, sizeof want, "scale %s, cohort %s\n", r->scale->name,
           r->cohort ? r->cohort : "phantom");
  if (file_exists(path)) {
    Status s = file_read(path, &data, &n, 1 << 16, e);
    if (s != ST_OK) return s;
    if (n != strlen(want) || memcmp(data, want, n))
      s = err_set(e, ST_INVALID,
                  "%s: holds a run of another kind (%.*s); this one is %.*s; choose another --out, "
                  "or delete that folder",
                  r->out, (int)n - 1, (char *)data, (int)strlen(want) - 1, want);
    mem_free(data);
    return s;
  }
  static const char *const sub[] = {"done", "log", "work", "reader"};
  Status s = ST_OK;
  for (int i = 0; i < COUNT_OF(sub) && write && s == ST_OK; i++) {
    char dir[4400];
    snprintf(dir, sizeof dir, "%s/%s", r->out, sub[i]);
    s = dir_make(dir, e);
  }
  return write && s == ST_OK ? file_write_atomic(path, want, strlen(want), e) : s;
}

/* ---- showing the plan ---- */

static void list_steps(const PaperRun *r, bool commands) {
  static const char *const state[] = {"", "done", "done", "failed", "", ""};
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

static void announce(const PaperRun *r) {
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
            r->scale->train_counts, r->scale->test_counts, r->train_rim, r->test_rim, r->add);
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

static int run(PaperRun *r) {
  Error e = {0};
  Status s = paper_count(r, &e);
  if (s == ST_OK) s = claim_folder(r, false, &e);
  if (s == ST_OK) s = paper_recipe(r, &e);
  if (s == ST_OK && r->redo && !r->dry_run && !r->list) s = recipe_forget(r, &e);
  if (s == ST_OK) s = recipe_plan(r, &e);
  bool any = false;
  for (int k = 0; k < r->n; k++) any |= step_wanted(r, &r->step[k]);
  if (s == ST_OK && !any)
    s = err_set(&e, ST_INVALID, "--only %s: no such step or section; see --list", r->only);
  if (s != ST_OK) return tool_fail("paper run", &e);
  if (r->list || r->dry_run) {
    list_steps(r, r->dry_run);
    return EXIT_DONE;
  }
  s = claim_folder(r, true, &e);
  if (s == ST_OK) s = paper_write_commands(r, &e);
  if (s != ST_OK) return tool_fail("paper run", &e);
  if (!tool_quiet) announce(r);
  const int rc = recipe_run(r);
  char page[4400];
  snprintf(page, sizeof page, "%s/report.html", r->out);
  if (rc == EXIT_DONE && file_exists(page)) printf("%s\n", page);
  return rc;
}

int paper_run(int argc, char **argv) {
  PaperRun r = {0};
  int scale = 0;
  Opt t[] = {
      OPT_GROUP("What to run"),
      OPT_CHOICE("scale", &scale, "small", "small|paper|tiny",
                 "small: under an hour on two cores; paper: the published setting, for a GPU; "
                 "tiny: self-test"),
      OPT_STR("cohort", &r.cohort, NULL, "TSV",
              "your own lesions.tsv (see prlx pack) in place of the phantom"),
      OPT_STR("only", &r.only, NULL, "NAME",
              "only the steps of this section, or this one step (see --list)"),
      OPT_STR("redo", &r.redo, NULL, "NAME",
              "this section or step again, and all that depends on it"),
      OPT_FLAG("keep-going", &r.keep_going, "no",
               "after a failed step go on with those that do not need it"),
      OPT_FLAG("dry-run", &r.dry_run, "no", "print the commands with estimated times, run nothing"),
      OPT_FLAG("list", &r.list, "no", "list the steps: section, time, what is done"),
      OPT_GROUP("Output"),
      OPT_STR("out", &r.out, "paper/out", "DIR",
              "report.html, tables/, figures/, commands.sh, reader/; large files in work/"),
      OPT_STR(
          "published", &r.published, NULL, "TSV",
          "published numbers, instead of paper/published.tsv (to fill in those we do not have)"),
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
  r.scale = paper_scale(scale);
  /* results do not depend on it: not part of a stamp */
  r.threads = threads_count();
  rc = run(&r);
  paper_recipe_free(&r);
  opts_free(&spec);
  return rc;
}
