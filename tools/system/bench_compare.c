/* bench_compare.c: two builds of this program, measured in turn. A machine's speed drifts over
 * minutes (heat, neighbours): only what is measured in pairs may be divided. */
#include "tools/system/bench_compare.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/tool.h"

enum { COMPARE_ROWS = 128, COMPARE_PAIRS = 101, COMPARE_OPTIONS = 32, OTHER = 0, THIS = 1 };

typedef struct Row {
  char name[100]; /* section: row */
  double time[2][COMPARE_PAIRS];
  int seen[2];
} Row;
typedef struct Compare {
  const char *program[2]; /* [OTHER], [THIS]: NULL */
  const char *precision;  /* of this program, or NULL */
  char file[PATH_LEN];
  int n;
  Row row[COMPARE_ROWS];
} Compare;

static Row *compare_row(Compare *c, const char *name) {
  for (int k = 0; k < c->n; k++)
    if (!strcmp(c->row[k].name, name)) return &c->row[k];
  if (c->n == COMPARE_ROWS) return NULL;
  Row *r = &c->row[c->n++];
  snprintf(r->name, sizeof r->name, "%s", name);
  return r;
}

/* "training, paper" of "training, paper, batch 8, no augmentation"; "projection" of "projection,
 * paper configuration": what tells sections apart. */
static int section_length(const char *section) {
  const size_t first = strcspn(section, ",");
  if (!section[first]) return (int)first;
  const size_t second = first + 1 + strcspn(section + first + 1, ",");
  return (int)(section[second] ? second : first);
}

/* "  one step, batch 1      102.1   ..." below "projection, paper configuration      ms   ..." */
static void read_line(Compare *c, char *line, char section[60], int which, int pair) {
  char name[100], *gap = strstr(line + strspn(line, " "), "  ");
  if (!gap) return;
  const char *rest = gap + strspn(gap, " ");
  *gap = 0;
  if (*line != ' ') {
    snprintf(section, 60, "%s", strncmp(rest, "ms", 2) ? "" : line);
    return;
  }
  char *end;
  const double v = strtod(rest, &end);
  if (!*section || end == rest || !(v > 0) || strstr(end, "per lesion")) return;
  snprintf(name, sizeof name, "%.*s: %.60s", section_length(section), section,
           line + strspn(line, " "));
  Row *r = compare_row(c, name);
  if (!r) return;
  r->time[which][pair] = v;
  r->seen[which]++;
}

static Status read_rows(Compare *c, int which, int pair, Error *e) {
  uint8_t *text;
  size_t n;
  char section[60] = "", *save = NULL;
  TRY(file_read(c->file, &text, &n, 1 << 20, e));
  for (char *p = strtok_r((char *)text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
    read_line(c, p, section, which, pair);
  mem_free(text);
  return ST_OK;
}

/* One run of one build; its rows. */
static Status compare_run(Compare *c, int which, int pair, char *const argv[], Error *e) {
  const OsChildFiles files = {c->program[which], c->file, c->file, false, true};
  OsChild child;
  int code = 0, ended;
  bool told = false;
  const char *name = which == THIS ? "this program" : c->program[OTHER];
  char *own[COMPARE_OPTIONS + 3] = {NULL}, option[] = "--precision", value[16];
  int n = 0;
  for (; argv[n] && n < COMPARE_OPTIONS; n++) own[n] = argv[n];
  if (which == THIS && c->precision) {
    snprintf(value, sizeof value, "%s", c->precision);
    own[n] = option;
    own[n + 1] = value;
  }
  if (os_child_start(&child, own, &files) != 0)
    return err_set(e, ST_IO, "%s: cannot be started: %s", name, strerror(errno));
  while ((ended = os_child_ended(&child, &code)) == 0) {
    if (tool_interrupted && !told) os_child_interrupt(&child);
    told |= tool_interrupted != 0;
    os_sleep(0.05);
  }
  if (tool_interrupted) return err_set(e, ST_INTERRUPTED, "interrupted");
  if (ended < 0 || code != 0)
    return err_set(e, ST_IO, "%s bench: ended with exit code %d; expected 0; run it by hand", name,
                   code);
  return read_rows(c, which, pair, e);
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_of(const double *v, int n) {
  double t[COMPARE_PAIRS];
  memcpy(t, v, (size_t)n * sizeof *t);
  qsort(t, (size_t)n, sizeof *t, by_value);
  return n % 2 ? t[n / 2] : 0.5 * (t[n / 2 - 1] + t[n / 2]);
}

static Status compare_print(const Compare *c, int pairs, Error *e) {
  int shown = 0;
  printf("%-46s %10s %10s %8s   %s\n", "", "other", "this", "ratio", "smallest to largest");
  for (int k = 0; k < c->n; k++) {
    const Row *r = &c->row[k];
    double q[COMPARE_PAIRS];
    if (r->seen[OTHER] != pairs || r->seen[THIS] != pairs) continue;
    for (int i = 0; i < pairs; i++) q[i] = r->time[OTHER][i] / r->time[THIS][i];
    const double mid = median_of(q, pairs);
    qsort(q, (size_t)pairs, sizeof *q, by_value);
    printf("%-46s %10.3f %10.3f %8.3f   %.3f to %.3f\n", r->name, median_of(r->time[OTHER], pairs),
           median_of(r->time[THIS], pairs), mid, q[0], q[pairs - 1]);
    shown++;
  }
  printf("(ms; s/kimg: s; medians of %d pairs in turn; ratio: other / this, above 1 this is "
         "faster)\n",
         pairs);
  return shown ? ST_OK
               : err_set(e, ST_FORMAT, "%s: no row of `prlx bench` in common", c->program[OTHER]);
}

static Status compare_pairs(Compare *c, int pairs, char *const argv[], Error *e) {
  for (int i = 0; i < 2 * pairs; i++) {
    const int pair = i / 2, which = (pair + i) % 2;
    TRY(compare_run(c, which, pair, argv, e));
    if (!tool_quiet)
      fprintf(stderr, "pair %d of %d: %s\n", pair + 1, pairs, which ? "this" : "other");
  }
  return compare_print(c, pairs, e);
}

Status bench_compare(const char *other, int pairs, const char *precision, char *const argv[],
                     Error *e) {
  char path[OS_PATH], file[PATH_LEN];
  if (!os_real_path(other, path))
    return err_set(e, ST_IO, "%s: no such program; expected another build of prlx", other);
  TRY(path_format(file, e, "prlx-bench-%lld.txt", (long long)os_process_id()));
  Compare *c = mem_alloc(sizeof *c);
  if (!c) return err_set(e, ST_NOMEM, "out of memory");
  c->program[OTHER] = path;
  c->precision = precision;
  snprintf(c->file, sizeof c->file, "%s", file);
  const Status s = compare_pairs(c, pairs, argv, e);
  os_remove(c->file);
  mem_free(c);
  return s;
}
