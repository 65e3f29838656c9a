/* main.c: `prlx COMMAND ...`: finds the subcommand in the table, handles Ctrl-C and the exit code.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/isa.h"
#include "core/os.h"
#include "core/threads.h"
#include "io/formats/file.h"
#include "tools/cli/device.h"
#include "tools/cli/environment.h"
#include "tools/cli/folder.h"
#include "tools/cli/help.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

#define TOOL_ROW(name, summary) {#name, summary, tool_##name},
static Tool tools[] = {TOOL_LIST(TOOL_ROW)};

/* Commands as they are typed: export_cohort is export-cohort. */
static void spell_tools(void) {
  static char spelled[COUNT_OF(tools)][24];
  for (int i = 0; i < COUNT_OF(tools); i++) {
    snprintf(spelled[i], sizeof spelled[i], "%s", tools[i].name);
    for (char *p = spelled[i]; (p = strchr(p, '_'));) *p = '-';
    tools[i].name = spelled[i];
  }
}

/* How long a command may go on when it is asked to end: those that only read and write some files
 * not at all; those whose steps last as long as their inputs are large three seconds. The rest end
 * after a step, and save what they have. */
static const struct {
  const char *name;
  int seconds;
} patience[] = {{"info", 0}, {"convert", 0}, {"import", 0}, {"export", 0},       {"check", 0},
                {"dump", 0}, {"affine", 0},  {"cam", 0},    {"reader", 0},       {"walk", 0},
                {"crop", 3}, {"bids", 3},    {"pack", 3},   {"export-cohort", 3}};
static int grace = -1; /* of the command that runs; -1: until its step is done */
static volatile sig_atomic_t stop_signal;

static void set_grace(const char *cmd) {
  for (int i = 0; i < COUNT_OF(patience); i++)
    if (!strcmp(patience[i].name, cmd)) grace = patience[i].seconds;
}

/* Half-written files and the notes in folders go; what is whole stays. Runs inside a signal. */
static void end_at_once(void) {
  const int sig = stop_signal;
  file_remove_unfinished();
  tool_folders_drop();
  signal(sig, SIG_DFL);
  raise(sig);
}

static void on_signal(int sig) {
  bool again = tool_interrupted;
#ifdef SIGHUP
  again &= sig != SIGHUP; /* a terminal that closes may say so twice */
#endif
  stop_signal = sig;
  if (again || grace == 0) {
    end_at_once(); /* when this returns: raise() waits for it */
    return;
  }
  if (grace > 0) os_later((unsigned)grace, end_at_once);
  tool_interrupted = 1;
  static const char msg[] = "\nprlx: stopping after this step (again to stop at once)\n";
  if (!tool_quiet && os_write(2, msg, sizeof msg - 1) < 0) return;
}

static const Tool *find_tool(const char *name) {
  for (int i = 0; i < COUNT_OF(tools); i++)
    if (!strcmp(tools[i].name, name)) return &tools[i];
  return NULL;
}

static int unknown_command(const char *name) {
  int best = 4;
  const char *hit = NULL;
  for (int i = 0; i < COUNT_OF(tools); i++) {
    const int d = opts_distance(name, tools[i].name);
    if (d < best && d < (int)strlen(tools[i].name)) best = d, hit = tools[i].name;
  }
  if (hit)
    fprintf(stderr, "prlx: unknown command '%s'; did you mean '%s'? see 'prlx help'\n", name, hit);
  else
    fprintf(stderr, "prlx: unknown command '%s'; see 'prlx help'\n", name);
  return EXIT_USAGE;
}

static int run_help(int argc, char **argv) {
  if (argc < 2) return help_overview(stdout, tools, COUNT_OF(tools));
  char words[200], help[] = "--help", *args[5];
  int n = 0;
  /* parts of a command as they are typed, or as messages name it: help paper run, "paper run" */
  snprintf(words, sizeof words, "%s %s", argv[1], argc > 2 ? argv[2] : "");
  for (char *p = strtok(words, " "); p && n < 3; p = strtok(NULL, " ")) args[n++] = p;
  const Tool *t = n ? find_tool(args[0]) : NULL;
  if (!t) return unknown_command(argv[1]);
  args[n++] = help;
  args[n] = NULL;
  return t->run(n, args);
}

static int run_tool(int argc, char **argv) {
  const char *cmd = argc > 1 ? argv[1] : "help";
  if (argc < 2) {
    help_overview(stderr, tools, COUNT_OF(tools));
    return EXIT_USAGE;
  }
  if (!strcmp(cmd, "help") || !strcmp(cmd, "--help") || !strcmp(cmd, "-h"))
    return run_help(argc - 1, argv + 1);
  if (!strcmp(cmd, "--version") || !strcmp(cmd, "version"))
    return printf("prlx %s (%s; %s)\n", PRLX_VERSION, tool_device_built(),
                  isa_name(isa_current())) < 0;
  const Tool *t = find_tool(cmd);
  if (!t) return unknown_command(cmd);
  const int rc = environment_check();
  set_grace(cmd);
  return rc >= 0 ? rc : t->run(argc - 1, argv + 1);
}

/* `prlx info x > /dev/full` must not look like success; `prlx info x | head` may. */
static int end_output(int rc) {
  if (!fflush(stdout) && !ferror(stdout)) return rc;
  const int why = errno;
  if (os_unread(1)) return rc;
  fprintf(stderr, "prlx: standard output could not be written: %s\n", strerror(why));
  return rc == EXIT_DONE ? EXIT_FAILED : rc;
}

static int run_all(int argc, char **argv) {
  opts_ask_device(tool_device_text);
  outputs_watch();
  spell_tools();
  int rc = run_tool(argc, argv);
  outputs_forget();
  tool_folders_leave();
  tool_backend_free();
  threads_stop();
  return end_output(rc);
}

int main(int argc, char **argv) {
  os_main(&argc, &argv);
  os_on_stop(on_signal);
  return os_on_stack(run_all, argc, argv);
}
