/* opts.h: one table of options per subcommand gives both the parser and the help.
 *
 *   struct { const char *out; int batch; double lr; bool mirror; int mode; int64_t mem; IntList
 *   seeds; } a = {0}; Opt t[] = {
 *     OPT_GROUP("Output"),
 *     OPT_STR  ("out",    &a.out,    NULL, "FILE", "where the result goes (required)"),
 *     OPT_INT  ("batch",  &a.batch,  "8", 1, 4096, "images per step"),
 *     OPT_REAL ("lr",     &a.lr,     "0.0025", 0, 1, "learning rate of Adam"),
 *     OPT_FLAG ("mirror", &a.mirror, "no", "also show mirrored images"),
 *     OPT_CHOICE("noise", &a.mode,   "const", "const|none|random", "noise inputs"),    index into
 *       the list
 *     OPT_SIZE ("memory", &a.mem,    NULL, "limit, e.g. 512M or 2G"),                  bytes
 *     OPT_RANGE("seeds",  &a.seeds,  "0-63", 0, 4294967295., "such as 0-63,70"),
 *   };
 *   OptSpec s = {.cmd = "train", .summary = "...", .opt = t, .n = COUNT_OF(t)};
 *   int rc = opts_parse(&s, argc, argv);      argv[0] is the subcommand's name
 *   if (rc >= 0) return rc;                   help was printed (0) or the usage is wrong (2)
 *
 * Defaults are text: the help shows them and the parser applies them; NULL = leave the destination
 * as it is. Accepted: --key value, --key=value, --flag, --no-flag, -- (the rest are arguments). The
 * last one of a repeated option wins. Every command also has --threads, --quiet, --device,
 * --precision and --help. */
#ifndef PRLX_OPTS_H
#define PRLX_OPTS_H
#include "core/base.h"
typedef struct IntList {
  int64_t *v; /* [n] */
  int n;
} IntList;
typedef enum {
  OPTK_GROUP,
  OPTK_FLAG,
  OPTK_STR,
  OPTK_INT,
  OPTK_I64,
  OPTK_REAL,
  OPTK_CHOICE,
  OPTK_SIZE,
  OPTK_RANGE
} OptKind;
typedef struct Opt {
  OptKind kind;
  const char *name; /* without the two dashes; a group's title */
  /* bool, const char *, int, int64_t, double, int (index), int64_t, IntList */
  void *dst;
  const char *def; /* default as text, or NULL */
  /* INT, I64, REAL, RANGE: allowed range, ends included */
  double lo;
  double hi;
  const char *arg;  /* STR: what the value is called in the help; CHOICE: "a|b|c" */
  const char *help; /* one or more lines, '\n' between them */
  bool given;       /* set by opts_parse: it was on the command line */
} Opt;
#define OPT_GROUP(title) \
  { OPTK_GROUP, title, NULL, NULL, 0, 0, NULL, NULL, false }
#define OPT_FLAG(name, dst, def, help) \
  { OPTK_FLAG, name, dst, def, 0, 0, NULL, help, false }
#define OPT_STR(name, dst, def, arg, help) \
  { OPTK_STR, name, dst, def, 0, 0, arg, help, false }
#define OPT_INT(name, dst, def, lo, hi, help) \
  { OPTK_INT, name, dst, def, lo, hi, NULL, help, false }
#define OPT_I64(name, dst, def, lo, hi, help) \
  { OPTK_I64, name, dst, def, lo, hi, NULL, help, false }
#define OPT_REAL(name, dst, def, lo, hi, help) \
  { OPTK_REAL, name, dst, def, lo, hi, NULL, help, false }
#define OPT_CHOICE(name, dst, def, list, help) \
  { OPTK_CHOICE, name, dst, def, 0, 0, list, help, false }
#define OPT_SIZE(name, dst, def, help) \
  { OPTK_SIZE, name, dst, def, 0, 0, NULL, help, false }
#define OPT_RANGE(name, dst, def, lo, hi, help) \
  { OPTK_RANGE, name, dst, def, lo, hi, NULL, help, false }

typedef struct OptSpec {
  const char *cmd;     /* "train" */
  const char *summary; /* one line */
  const char *details; /* more text below the options (examples); may be NULL */
  Opt *opt;
  int n;
  const char *pos; /* arguments in the help, e.g. "FILE..."; NULL: the command takes none */
  /* how many; pos_max -1: any number */
  int pos_min;
  int pos_max;
  /* out: the arguments (array owned by opts_parse, valid until the next call) */
  char **args;
  int nargs;
} OptSpec;

/* Fills the destinations. Returns -1 to go on, 0 after --help, 2 after a usage error (one line on
 * stderr). Also sets the worker threads and the global `tool_quiet` from the common options. */
int opts_parse(OptSpec *s, int argc, char **argv);

/* Frees the lists of RANGE options; done already when opts_parse did not return -1. */
void opts_free(OptSpec *s);

enum { OPTS_TEXT = 8192 }; /* bytes for the text of any value: a path, or a list of them */

/* For --resume: the text of an option's value, and setting it as if it had been on the command
 * line. False: no such option, or bad text. */
bool opts_text(const Opt *o, char *buf, size_t n);
bool opts_set(OptSpec *s, const char *name, const char *text);

/* --device and --precision (index into auto|strict|tf32|f16|bf16) of the last opts_parse;
 * tools/cli/device.h acts on them. */
enum { DEVICE_AUTO, DEVICE_CPU, DEVICE_CUDA };

typedef bool OptsDevice(char *buf, size_t n, int *missing);

/* Who knows whether a device can be used (tool_device_text of tools/cli/device.h): asked when
 * --device cuda is given. Without, it is believed. main hands it over, so that options need no
 * devices. */
void opts_ask_device(OptsDevice *ask);

/* The two; opts_given: was this option on the command line? opts_help: the help text, to
 * standard output. */
int opts_device(void);
int opts_precision(void);
bool opts_given(const OptSpec *s, const char *name);
void opts_help(const OptSpec *s);

/* Options that say how something is done that is not done: -1 where `met`, or where none of
 * `names` ("edge focus-grow", without dashes) was on the command line; else EXIT_USAGE, after
 * "--edge is of --in-place; give both, or leave it out" with `with` as the second name. An option
 * that is passed over leaves its user with other results than he asked for. */
int opts_need(const OptSpec *s, bool met, const char *names, const char *with);

/* For programs that try every option (test/sweep/): `prlx COMMAND --help-table` prints a line for
 * each: name, kind, lowest, highest, default, argument, options that its help names. */
void opts_table(const OptSpec *s);

/* Edit distance (insert, delete, replace, swap of neighbours); used for "did you mean". */
int opts_distance(const char *a, const char *b);
#endif
