/* paper.c: `prlx paper`: its parts, and `prlx paper audit`: do the numbers of the paper fit one
 * another? Every claim with its computation; see paper/AUDIT.md. */
#include "paper/engine/paper.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/formats/tsv.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/tool.h"

static const char *const verdict_name[VERDICTS] = {"consistent", "does not fit",
                                                   "cannot be decided"};

static bool read_fraction(const char *text, double *out) {
  char *end;
  *out = strtod(text, &end);
  return *text && !*end && *out >= 0;
}

/* Rows of Tables 3 and 4 from a table name, accuracy, precision, sensitivity [, positives,
 * negatives]: which test sets could give them? */
static Status audit_rows(const char *path, Error *e) {
  static const char *const name[] = {"name", "accuracy", "precision", "sensitivity"};
  Tsv t;
  int col[4];
  TRY(tsv_read(path, &t, e));
  Status s = ST_OK;
  for (int i = 0; i < 4; i++)
    if ((col[i] = tsv_column(&t, name[i])) < 0) {
      s = err_set(e, ST_FORMAT, "%s: no column %s; expected name, accuracy, precision, sensitivity",
                  path, name[i]);
      goto done;
    }
  const int cp = tsv_column(&t, "positives"), cn = tsv_column(&t, "negatives");
  for (int r = 0; r < t.nrow; r++) {
    Triple x = {0, 0, 0, 0.005};
    double pos = 60, neg = 120, acc[2], share[2];
    int ex[2] = {0};
    if (!read_fraction(tsv_get(&t, r, col[1]), &x.accuracy) ||
        !read_fraction(tsv_get(&t, r, col[2]), &x.precision) ||
        !read_fraction(tsv_get(&t, r, col[3]), &x.sensitivity) || x.accuracy > 1 ||
        x.precision > 1 || x.sensitivity > 1 ||
        (cp >= 0 && !read_fraction(tsv_get(&t, r, cp), &pos)) ||
        (cn >= 0 && !read_fraction(tsv_get(&t, r, cn), &neg)) || pos < 1 || neg < 1 ||
        pos > 20000 || neg > 20000) {
      s = err_set(e, ST_FORMAT,
                  "%s: row %d: expected fractions from 0 to 1, and counts from 1 to 20000", path,
                  r + 2);
      goto done;
    }
    const int n = confusion_fits(&x, (int)pos, (int)neg, ex, acc);
    implied_prevalence(&x, share);
    printf("%-16.40s accuracy %.2f precision %.2f sensitivity %.2f on %d + %d: ",
           tsv_get(&t, r, col[0]), x.accuracy, x.precision, x.sensitivity, (int)pos, (int)neg);
    if (n)
      printf("%d matrices fit, such as %d found and %d false alarms", n, ex[0], ex[1]);
    else if (acc[0] <= acc[1])
      printf("none fits; precision and sensitivity allow accuracy %.3f to %.3f", acc[0], acc[1]);
    else
      printf("none fits; not even precision and sensitivity together");
    printf("; any set: %.1f to %.1f %% positives\n", 100 * share[0], 100 * share[1]);
  }
done:
  tsv_free(&t);
  return s;
}

static int audit_claims(const char *only) {
  int n[VERDICTS] = {0}, shown = 0;
  for (int i = 0; i < paper_claim_count; i++) {
    const Claim *c = &paper_claims[i];
    if (only && strcmp(only, c->id) != 0) continue;
    printf("%s%d  %s (%s)\n    published: %s\n", shown++ ? "\n" : "", i + 1, c->where, c->id,
           c->published);
    const Verdict v = c->check();
    if (v == NOT_CHECKED) return EXIT_FAILED;
    n[v]++;
    printf("    -> %s\n", verdict_name[v]);
  }
  if (only && !shown) return tool_usage("paper audit", "no claim '%s'", only);
  if (!only)
    printf(
        "\n%d claims: %d consistent, %d do not fit, %d cannot be decided from what is published\n",
        shown, n[FITS], n[DOES_NOT_FIT], n[UNDECIDED]);
  return EXIT_DONE;
}

static int paper_audit(int argc, char **argv) {
  const char *claim = NULL, *rows = NULL;
  Error e = {0};
  Opt t[] = {
      OPT_STR("claim", &claim, NULL, "ID", "only this one (the word in brackets), e.g. kappa"),
      OPT_STR("rows", &rows, NULL, "FILE.tsv",
              "instead: check rows of Tables 3 and 4, or of any paper: columns name, accuracy, "
              "precision,\nsensitivity and, if not 60 and 120, positives and negatives"),
  };
  OptSpec spec = {.cmd = "paper audit",
                  .summary = "Do the paper's numbers fit one another? Prints each claim, the "
                             "computation and the result.",
                  .details = "  prlx paper audit\n  prlx paper audit --claim told-apart\n\nThe "
                             "same list in words, and what the paper leaves open: paper/AUDIT.md.",
                  .opt = t,
                  .n = COUNT_OF(t)};
  int rc = opts_parse(&spec, argc, argv);
  if (rc >= 0) return rc;
  if (rows)
    rc = audit_rows(rows, &e) == ST_OK ? EXIT_DONE : tool_fail("paper audit", &e);
  else
    rc = audit_claims(claim);
  opts_free(&spec);
  return rc;
}

static int help_all(void) {
  char run_name[] = "run", audit_name[] = "audit", help[] = "--help", *a[] = {run_name, help, NULL},
       *b[] = {audit_name, help, NULL};
  printf("prlx paper - The tables and figures of the paper.\n\n"
         "  prlx paper run      rerun the experiments, every number beside the published one "
         "(also: prlx paper --scale small)\n"
         "  prlx paper audit    do the published numbers fit one another?\n"
         "  prlx paper take, stamp, answers, report: pieces of a run, each with --help\n\n");
  paper_run(2, a);
  printf("\n");
  return paper_audit(2, b);
}

int tool_paper(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int, char **);
  } part[] = {{"run", paper_run},     {"audit", paper_audit},     {"take", paper_take},
              {"stamp", paper_stamp}, {"answers", paper_answers}, {"report", paper_report}};
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "--help") || !strcmp(what, "-h")) return help_all();
  for (int i = 0; i < COUNT_OF(part); i++)
    if (!strcmp(what, part[i].name)) return part[i].run(argc - 1, argv + 1);
  if (*what == '-') return paper_run(argc, argv); /* prlx paper --scale small */
  return *what ? tool_usage("paper",
                            "'%s' is not a part of it; there are run, audit, take, stamp, answers "
                            "and report",
                            what)
               : tool_usage("paper", "which part? there are run and audit");
}
