/* sweep.c: every command with every option at its edges. The options come from the program itself
 * (`prlx COMMAND --help-table`), the inputs from prepare.sh, what makes a command quick from
 * commands.txt. usage: sweep PROGRAM COMMANDS [STRIDE [OFFSET [NAME]]] in a folder that has in/.
 *
 * A case is a command with one option, or two of which the help of one names the other, at the
 * lowest and highest value, one beyond either, empty, huge, NaN, negative, no number, a folder, a
 * file of another kind; or with one of its inputs replaced. Right is: exit code 0, 1 or 2 (2 where
 * the table says that the value is impossible); a line on standard error unless 0; no signal;
 * within SWEEP_SECONDS, or within GRACE after Ctrl-C; the inputs byte for byte as before. Under
 * sanitizers their exit code is none of these. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "test/sweep/sweep_parts.h"

enum { GRACE = 60, SHOWN = 100 };

typedef struct Tally {
  long cases; /* numbered; of these every stride-th is run */
  long runs;
  long exits[3];
  long stopped; /* by Ctrl-C, because they were at work */
  long twice;   /* only by a second one */
  long failed;
  int options;
  int commands;
} Tally;

static Tally total;
static const char *program;
static long stride = 1, offset;
static double seconds = 4; /* SWEEP_SECONDS: then comes Ctrl-C */
static uint64_t inputs;    /* hash of in/ */
static uint64_t stamp;     /* of in/: inodes, sizes, times */
static bool wrong;         /* the present case */

/* ---- one run ---- */
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void child(const Argv *a) {
  const int in = open("/dev/null", O_RDONLY);
  const int out = open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0666);
  const int err = open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0666);
  struct rlimit size = {(rlim_t)1 << 31, (rlim_t)1 << 31}, core = {0, 0};
  setrlimit(RLIMIT_FSIZE, &size);
  setrlimit(RLIMIT_CORE, &core);
  if (in < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(100);
  execv(program, a->v);
  _exit(101);
}

/* Waits until the child ends or the seconds are over (false). */
static bool ended(pid_t pid, double limit, int *status) {
  const double end = now() + limit;
  const struct timespec nap = {0, 2000000};
  while (waitpid(pid, status, WNOHANG) == 0) {
    if (now() > end) return false;
    nanosleep(&nap, NULL);
  }
  return true;
}

/* Exit code, or -1 after a signal, -2 when it would not end, -3 ended by Ctrl-C itself: the second,
 * or the first where a command ends at once (its parent sees the signal, as the shell expects);
 * *stopped: Ctrl-C was needed. */
static int run(const Argv *a, bool *stopped) {
  int status = 0;
  const pid_t pid = fork();
  if (pid == 0) child(a);
  *stopped = false;
  if (!ended(pid, seconds, &status)) {
    *stopped = true;
    kill(pid, SIGINT);
    if (ended(pid, GRACE, &status)) {
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) return -3;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    /* one step of so large a network or batch: the second Ctrl-C is for it */
    kill(pid, SIGINT);
    if (ended(pid, GRACE, &status)) {
      total.twice++;
      return -3;
    } else {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return -2;
    }
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- judgement ---- */
static void complain(const Argv *a, const char *what) {
  char line[400] = "";
  wrong = true;
  if (total.failed >= SHOWN) return;
  printf("FAIL: %s:", what);
  for (int i = 1; a->v[i]; i++) printf(strlen(a->v[i]) < 80 ? " '%s'" : " '%.60s...'", a->v[i]);
  FILE *f = fopen("stderr", "r");
  printf("\n");
  for (int k = 0; f && k < 12 && fgets(line, sizeof line, f); k++)
    if (line[0] != '\n') printf("      %s", line);
  if (f) fclose(f);
  fflush(stdout);
}

static bool file_has_text(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && st.st_size > 0;
}

/* Everything but the inputs goes. */
static void clean(void) {
  DIR *d = opendir(".");
  for (struct dirent *f; d && (f = readdir(d));)
    if (strcmp(f->d_name, "in") && strcmp(f->d_name, "whole") && strcmp(f->d_name, ".") &&
        strcmp(f->d_name, ".."))
      tree_remove(f->d_name);
  if (d) closedir(d);
  if (mkdir("out", 0777)) exit(3);
}

/* New files may be among the inputs (--out in); those that were there are as they were. */
static void judge_inputs(const Argv *a) {
  if (tree_stamp("in") == stamp) return; /* nobody wrote there: no need to read all of it */
  if (tree_hash("in") != inputs) {
    if (inputs_changed("in", "whole")) complain(a, "an input has changed");
    tree_remove("in");
    if (system("cp -a whole in")) exit(3);
  }
  stamp = tree_stamp("in");
}

/* impossible: the table says so, exit code 2 must follow. */
static void judge(const Argv *a, bool impossible) {
  bool stopped;
  if (total.cases++ % stride != offset) return;
  const int rc = run(a, &stopped);
  total.runs++;
  total.stopped += stopped;
  wrong = false;
  if (rc == -1) complain(a, "a signal");
  if (rc == -2) complain(a, "did not end after Ctrl-C");
  if (rc > 2) complain(a, "impossible exit code (sanitizer?)");
  if ((rc == 1 || rc == 2) && !file_has_text("stderr")) complain(a, "failed without a word");
  if (impossible && (rc == 0 || rc == 1)) complain(a, "impossible value taken");
  if (rc >= 0 && rc <= 2) total.exits[rc]++;
  judge_inputs(a);
  total.failed += wrong;
  clean();
}

/* ---- cases ---- */
static void one_value(const Argv *base, const Row *r, const char *value, bool impossible) {
  Argv a = *base;
  char text[LONGEST + 80];
  snprintf(text, sizeof text, "--%s=%s", r->name, value);
  argv_add(&a, text);
  judge(&a, impossible);
  argv_cut(&a, base->n);
}

static void numbers(const Argv *base, const Row *r) {
  static const char *const never[] = {"",
                                      "nan",
                                      "inf",
                                      "-inf",
                                      "1e999",
                                      "abc",
                                      "1x",
                                      " 1",
                                      "1,000",
                                      "--",
                                      "99999999999999999999999"};
  char text[64];
  const bool whole = !strcmp(r->kind, "whole");
  const double step_low = whole ? 1 : fmax(fabs(r->lo), 1e-3) * 1e-3;
  const double step_high = whole ? 1 : fmax(fabs(r->hi), 1e-3) * 1e-3;
  const double at[] = {r->lo, r->hi, r->lo - step_low, r->hi + step_high, -1, 0};
  for (int i = 0; i < 6; i++) {
    bool again = false;
    for (int k = 0; k < i; k++) again |= at[k] == at[i];
    if (again) continue;
    snprintf(text, sizeof text, whole ? "%.0f" : "%.17g", at[i]);
    one_value(base, r, text, at[i] < r->lo || at[i] > r->hi);
  }
  for (size_t i = 0; i < sizeof never / sizeof *never; i++)
    if (strcmp(never[i], "99999999999999999999999") || r->hi < 1e20)
      one_value(base, r, never[i], true);
}

static void lists(const Argv *base, const Row *r) {
  static const char *const never[] = {"",
                                      "nan",
                                      "-1",
                                      "5-3",
                                      "0-",
                                      ",",
                                      "1,,2",
                                      "1e3",
                                      "abc",
                                      "0-99999999",
                                      "99999999999999999999999"};
  char text[64];
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) one_value(base, r, never[i], true);
  snprintf(text, sizeof text, "%.0f", r->hi + 1);
  one_value(base, r, text, true);
  snprintf(text, sizeof text, "%.0f", r->hi);
  one_value(base, r, text, false);
  one_value(base, r, "0,0,1", false);
  one_value(base, r, "0-999999", false);
}

static void texts(const Argv *base, const Row *r) {
  static char longest[LONGEST];
  static const char *const odd[] = {
      "out/none/x", "/dev/null/x", "in",       "/dev/null",     "nan",         "-1",       "1,2,3",
      "%s%n%d",     "a\tb\nc",     "\xff\xfe", "in/one.nii.gz", "in/lies.txt", "/dev/full"};
  one_value(base, r, "", true);
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) one_value(base, r, odd[i], false);
  memset(longest, 'x', sizeof longest - 1);
  one_value(base, r, longest, false);
}

static void choices(const Argv *base, const Row *r) {
  char list[400], *rest = NULL;
  snprintf(list, sizeof list, "%s", r->arg);
  for (char *p = strtok_r(list, "|", &rest); p; p = strtok_r(NULL, "|", &rest))
    one_value(base, r, p, false);
  one_value(base, r, "", true);
  one_value(base, r, "none of them", true);
  one_value(base, r, "0", strcmp(r->arg, "0") != 0);
}

static void sizes(const Argv *base, const Row *r) {
  static const char *const some[] = {"0", "1", "1K", "2M", "8G", "1e3", "8e18"};
  static const char *const never[] = {"", "nan", "-1", "1e30", "abc", "2X", "inf", "1 G"};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) one_value(base, r, some[i], false);
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) one_value(base, r, never[i], true);
}

static void flags(const Argv *base, const Row *r) {
  static const char *const some[] = {"yes", "no", "1", "off"};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) one_value(base, r, some[i], false);
  one_value(base, r, "", true);
  one_value(base, r, "maybe", true);
}

static void alone(const Argv *base, const Row *r) {
  if (!strcmp(r->kind, "whole") || !strcmp(r->kind, "real")) numbers(base, r);
  if (!strcmp(r->kind, "list")) lists(base, r);
  if (!strcmp(r->kind, "text")) texts(base, r);
  if (!strcmp(r->kind, "choice")) choices(base, r);
  if (!strcmp(r->kind, "size")) sizes(base, r);
  if (!strcmp(r->kind, "flag")) flags(base, r);
}

/* Two possible values, the farthest apart. */
static int ends(const Row *r, char value[2][400]) {
  const bool whole = !strcmp(r->kind, "whole");
  char *bar;
  snprintf(value[0], 400, "%s", "0");
  snprintf(value[1], 400, "%s", "1");
  if (whole || !strcmp(r->kind, "real")) {
    snprintf(value[0], 400, whole ? "%.0f" : "%.17g", r->lo);
    snprintf(value[1], 400, whole ? "%.0f" : "%.17g", r->hi);
  } else if (!strcmp(r->kind, "choice")) {
    snprintf(value[0], 400, "%.*s", (int)strcspn(r->arg, "|"), r->arg);
    bar = strrchr(r->arg, '|');
    snprintf(value[1], 400, "%s", bar ? bar + 1 : r->arg);
  } else if (!strcmp(r->kind, "text")) {
    snprintf(value[0], 400, "in/one.nii.gz");
    snprintf(value[1], 400, "out/none/x");
  }
  return 2;
}

static void pair(const Argv *base, const Row *r, const Row *other) {
  char x[2][400], y[2][400], text[LONGEST];
  ends(r, x);
  ends(other, y);
  for (int i = 0; i < 4; i++) {
    Argv a = *base;
    snprintf(text, sizeof text, "--%s=%s", r->name, x[i & 1]);
    argv_add(&a, text);
    snprintf(text, sizeof text, "--%s=%s", other->name, y[i >> 1]);
    argv_add(&a, text);
    judge(&a, false);
    argv_cut(&a, base->n);
  }
}

/* Every argument that is one of the inputs, replaced: nothing there, a pipe, folders, devices, an
 * empty file, a text, half of what it was. */
static void odd_inputs(const Argv *base) {
  static const char *const odd[] = {"in/odd/none",   "in/odd/fifo",           "in/odd/folder",
                                    "in/odd/empty",  "in/lies.txt",           "/dev/null",
                                    "/dev/zero",     "in/net.safetensors",    "in/set.safetensors",
                                    "in/one.nii.gz", "in/cohort/lesions.tsv", "out/half"};
  for (int i = 0; i < base->n; i++) {
    char *own = base->v[i], text[LONGEST], *at = strstr(own, "in/");
    if (!at || (at != own && at[-1] != '=')) continue;
    const size_t name = strcspn(at, ":");
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
      Argv a = *base;
      if (!strcmp(odd[k], "out/half") && !file_half(at, name, odd[k])) continue;
      snprintf(text, sizeof text, "%.*s%s%s", (int)(at - own), own, odd[k], at + name);
      a.v[i] = text;
      judge(&a, false);
    }
  }
}

/* ---- commands ---- */
/* A line "words | arguments": the table of the words, then every case. */
/* Of a line that is itself a usage error every case would be, and nothing would be tried. */
static void plain(const Argv *base) {
  bool stopped;
  total.runs++;
  wrong = false;
  if (run(base, &stopped) == 2) complain(base, "this line of the commands is a usage error");
  total.failed += wrong;
  clean();
}

static void command(char *line) {
  Argv words = {0}, base;
  Table t;
  char *bar = strchr(line, '|');
  if (!bar) return;
  *bar = 0;
  argv_add(&words, program);
  argv_split(&words, line);
  if (!table_read(&t, &words)) {
    complain(&words, "no table");
    return;
  }
  base = words;
  argv_split(&base, bar + 1);
  total.commands++;
  total.options += t.n;
  const long first = total.runs, failed = total.failed;
  const double start = now();
  plain(&base);
  judge(&base, false);
  odd_inputs(&base);
  for (int i = 0; i < t.n; i++) {
    alone(&base, &t.row[i]);
    for (int k = 0; k < t.n; k++)
      if (row_names(&t.row[i], t.row[k].name)) pair(&base, &t.row[i], &t.row[k]);
  }
  printf("%-16s %3d options, %4ld runs, %ld wrong, %.0f s\n", line, t.n, total.runs - first,
         total.failed - failed, now() - start);
  fflush(stdout);
  argv_cut(&base, 0);
}

int main(int argc, char **argv) {
  if (argc < 3)
    return fprintf(stderr, "usage: sweep PROGRAM COMMANDS [STRIDE [OFFSET [NAME]]]\n"), 2;
  program = argv[1];
  if (argc > 3) stride = atol(argv[3]);
  if (argc > 4) offset = atol(argv[4]);
  if (getenv("SWEEP_SECONDS")) seconds = atof(getenv("SWEEP_SECONDS"));
  char line[4000];
  FILE *f = fopen(argv[2], "r");
  if (!f || stride < 1) return 2;
  inputs = tree_hash("in");
  stamp = tree_stamp("in");
  if (system("rm -rf whole && cp -a in whole")) return 3;
  clean();
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    if (line[0] == '#' || !line[0]) continue;
    if (argc > 5 && strncmp(line, argv[5], strlen(argv[5]))) continue;
    command(line);
  }
  fclose(f);
  printf("%d commands, %d options; %ld runs of %ld cases: exit code 0 %ld, 1 %ld, 2 %ld; "
         "%ld at work after %g s and stopped, %ld of them by a second Ctrl-C\n",
         total.commands, total.options, total.runs, total.cases, total.exits[0], total.exits[1],
         total.exits[2], total.stopped, seconds, total.twice);
  printf("%ld passed, %ld failed\n", total.runs - total.failed, total.failed);
  return total.failed != 0;
}
