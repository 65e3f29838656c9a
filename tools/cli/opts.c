/* opts.c: parser and help from one table; see opts.h */
#include "tools/cli/opts.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/threads.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

enum { MAX_LIST = 1000000 };

/* ---- distance, for "did you mean" ---- */
int opts_distance(const char *a, const char *b) {
  int na = (int)strlen(a), nb = (int)strlen(b), d[3][64];
  if (na > 60 || nb > 60) return 99;
  for (int j = 0; j <= nb; j++) d[0][j] = j;
  for (int i = 1; i <= na; i++) {
    int *cur = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
    cur[0] = i;
    for (int j = 1; j <= nb; j++) {
      int v = up[j - 1] + (a[i - 1] != b[j - 1]);
      v = PRLX_MIN(v, PRLX_MIN(up[j], cur[j - 1]) + 1);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        v = PRLX_MIN(v, up2[j - 2] + 1);
      cur[j] = v;
    }
  }
  return d[na % 3][nb];
}

/* ---- the options that every command has ---- */
static int common_threads, common_device, common_precision;
static OptsDevice *device_text; /* says whether --device cuda can be had */
static bool common_help, common_table;
static Opt common[] = {
    OPT_GROUP("Common"),
    OPT_INT("threads", &common_threads, "0", 0, MAX_WORKERS,
            "worker threads; 0: PRLX_THREADS, else all usable cores.\nResults do not depend on it"),
    OPT_CHOICE("device", &common_device, "auto", "auto|cpu|cuda",
               "where to compute; auto: a GPU if this build and this machine\nhave one. Used by "
               "train, generate, project, walk, fid, evidence, classify, cam, segment,\nsmote; the "
               "rest runs on the CPU"),
    OPT_CHOICE("precision", &common_precision, "auto", "auto|strict|tf32|f16|bf16",
               "on a GPU. strict: 32-bit arithmetic as on the CPU; tf32: 10-bit\noperands of "
               "products; f16, bf16: feature maps in 16 bits, too. auto: f16 for train\nwith a "
               "clamp up to 256, else tf32. bf16 on a CPU with AVX512_BF16 or AMX:\nbf16 operands "
               "of products"),
    OPT_FLAG("force", &outputs_force, "no",
             "replace files that are there and are not this command's own; never its\ninputs"),
    OPT_FLAG("quiet", &tool_quiet, "no", "results and errors only"),
    OPT_FLAG("help", &common_help, "no", "show this text"),
};

static Opt *table_at(const OptSpec *s, int i) {
  return i < s->n ? &s->opt[i] : i - s->n < COUNT_OF(common) ? &common[i - s->n] : NULL;
}

static Opt *find_option(const OptSpec *s, const char *name) {
  Opt *o;
  for (int i = 0; (o = table_at(s, i)); i++)
    if (o->kind != OPTK_GROUP && !strcmp(o->name, name)) return o;
  return NULL;
}

static const char *nearest_option(const OptSpec *s, const char *name) {
  if (strlen(name) < 2) return NULL;
  int best = PRLX_MAX(2, (int)strlen(name) / 3) + 1;
  const char *hit = NULL;
  Opt *o;
  for (int i = 0; (o = table_at(s, i)); i++) {
    if (o->kind == OPTK_GROUP) continue;
    int d = opts_distance(name, o->name);
    if (!strncmp(o->name, name, strlen(name))) d = PRLX_MIN(d, 1);
    if (d < best) best = d, hit = o->name;
  }
  return hit;
}

/* ---- values ---- */
static bool parse_i64(const char *t, int64_t *v) {
  char *end;
  errno = 0;
  long long x = strtoll(t, &end, 10);
  *v = x;
  return end != t && *end == 0 && errno == 0 && !isspace((unsigned char)*t);
}

static bool parse_real(const char *t, double *v) {
  char *end;
  *v = strtod(t, &end);
  return end != t && *end == 0 && isfinite(*v) && !isspace((unsigned char)*t);
}

static bool parse_size(const char *t, int64_t *v) {
  char *end;
  double x = strtod(t, &end);
  if (end == t || !isfinite(x) || x < 0) return false;
  double unit = 1;
  switch (toupper((unsigned char)*end)) {
    case 'K':
      unit = 1024.;
      end++;
      break;
    case 'M':
      unit = 1048576.;
      end++;
      break;
    case 'G':
      unit = 1073741824.;
      end++;
      break;
    case 'T':
      unit = 1099511627776.;
      end++;
      break;
    default: break;
  }
  if (unit > 1 && end[0] == 'i') end++;
  if (toupper((unsigned char)*end) == 'B') end++;
  if (*end || x * unit >= 9e18) return false;
  *v = (int64_t)(x * unit);
  return true;
}

/* "0-63,70" -> 0,1,...,63,70. False for bad text, a falling range or more than MAX_LIST numbers
 * (errno EINVAL), and where memory is short (ENOMEM). */
static bool parse_list(const char *t, double lo, double hi, IntList *out) {
  IntList l = {0};
  errno = 0;
  for (const char *p = t;;) {
    char *end;
    if (!isdigit((unsigned char)*p)) goto bad;
    errno = 0;
    long long a = strtoll(p, &end, 10), b = a;
    if (*end == '-') {
      p = end + 1;
      if (!isdigit((unsigned char)*p)) goto bad;
      b = strtoll(p, &end, 10);
    }
    if (errno || b < a || (double)a < lo || (double)b > hi || b - a >= MAX_LIST ||
        l.n + (b - a) >= MAX_LIST)
      goto bad;
    int64_t *grown =
        mem_grow(l.v, (size_t)l.n * sizeof *l.v, (size_t)(l.n + (b - a) + 1) * sizeof *l.v);
    if (!grown) {
      errno = ENOMEM;
      goto bad;
    }
    l.v = grown;
    for (long long x = a; x <= b; x++) l.v[l.n++] = x;
    if (*end == 0) break;
    if (*end != ',') goto bad;
    p = end + 1;
  }
  mem_free(out->v);
  *out = l;
  return true;
bad:
  if (errno != ENOMEM) errno = EINVAL;
  mem_free(l.v);
  return false;
}

static int choice_index(const char *list, const char *t) {
  size_t n = strlen(t);
  int k = 0;
  for (const char *p = list; *p; k++) {
    size_t len = strcspn(p, "|");
    if (len == n && !strncmp(p, t, n)) return k;
    p += len + (p[len] == '|');
  }
  return -1;
}

static void print_number(char *buf, size_t n, double v) {
  snprintf(buf, n, fabs(v) < 1e15 ? "%.15g" : "%.3g", v);
}

/* What the option allows, for error messages: "a whole number from 1 to 64". */
static void allowed_text(const Opt *o, char *buf, size_t n) {
  char lo[32], hi[32];
  print_number(lo, sizeof lo, o->lo);
  print_number(hi, sizeof hi, o->hi);
  switch (o->kind) {
    case OPTK_FLAG: snprintf(buf, n, "yes or no"); break;
    case OPTK_INT:
    case OPTK_I64: snprintf(buf, n, "a whole number from %s to %s", lo, hi); break;
    case OPTK_REAL: snprintf(buf, n, "a number from %s to %s", lo, hi); break;
    case OPTK_CHOICE: snprintf(buf, n, "one of %s", o->arg); break;
    case OPTK_SIZE: snprintf(buf, n, "a size such as 512M or 2G"); break;
    case OPTK_RANGE:
      snprintf(buf, n, "a list such as 0-63,70 with numbers from %s to %s, at most %d of them", lo,
               hi, MAX_LIST);
      break;
    default: snprintf(buf, n, "text that is not empty"); break;
  }
}

static bool set_value(Opt *o, const char *t) {
  int64_t i;
  double d;
  switch (o->kind) {
    case OPTK_FLAG:
      if (!strcmp(t, "yes") || !strcmp(t, "true") || !strcmp(t, "1") || !strcmp(t, "on"))
        return *(bool *)o->dst = true, true;
      if (!strcmp(t, "no") || !strcmp(t, "false") || !strcmp(t, "0") || !strcmp(t, "off"))
        return *(bool *)o->dst = false, true;
      return false;
    case OPTK_STR: return *t ? (*(const char **)o->dst = t, true) : false;
    case OPTK_INT:
      if (!parse_i64(t, &i) || (double)i < o->lo || (double)i > o->hi) return false;
      return *(int *)o->dst = (int)i, true;
    case OPTK_I64:
      if (!parse_i64(t, &i) || (double)i < o->lo || (double)i > o->hi) return false;
      return *(int64_t *)o->dst = i, true;
    case OPTK_REAL:
      if (!parse_real(t, &d) || d < o->lo || d > o->hi) return false;
      return *(double *)o->dst = d, true;
    case OPTK_CHOICE: {
      int k = choice_index(o->arg, t);
      return k >= 0 ? (*(int *)o->dst = k, true) : false;
    }
    case OPTK_SIZE: return parse_size(t, (int64_t *)o->dst);
    case OPTK_RANGE: return parse_list(t, o->lo, o->hi, (IntList *)o->dst);
    default: return false;
  }
}

/* ---- parsing ---- */
static int bad_value(const OptSpec *s, const Opt *o, const char *t) {
  char want[256];
  if (o->kind == OPTK_RANGE && errno == ENOMEM) return tool_no_memory(s->cmd);
  allowed_text(o, want, sizeof want);
  return tool_usage(s->cmd, "option --%s: '%s' is not %s", o->name, t, want);
}

static int number_order(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* What a number stands for would be there twice, under one name. */
static int refuse_twice(const OptSpec *s, const Opt *o) {
  const IntList *l = o->dst;
  int64_t i = 1;
  while (i < l->n && l->v[i - 1] < l->v[i]) i++;
  if (i >= l->n) return -1; /* in order */
  int64_t *v = mem_alloc((size_t)l->n * sizeof *v);
  if (!v) return tool_no_memory(s->cmd);
  memcpy(v, l->v, (size_t)l->n * sizeof *v);
  qsort(v, (size_t)l->n, sizeof *v, number_order);
  for (i = 1; i < l->n && v[i - 1] < v[i]; i++) {}
  const int rc = i < l->n ? tool_usage(s->cmd, "option --%s names %lld twice; expected each once",
                                       o->name, (long long)v[i])
                          : -1;
  mem_free(v);
  return rc;
}

static int unknown_option(const OptSpec *s, const char *text, const char *name) {
  const char *near = nearest_option(s, name);
  if (near) return tool_usage(s->cmd, "unknown option %s; did you mean --%s?", text, near);
  return tool_usage(s->cmd, "unknown option %s", text);
}

static int one_option(const OptSpec *s, int argc, char **argv, int *i) {
  const char *text = argv[*i] + 2, *eq = strchr(text, '=');
  char name[64];
  size_t len = eq ? (size_t)(eq - text) : strlen(text);
  snprintf(name, sizeof name, "%.*s", (int)PRLX_MIN(len, sizeof name - 1), text);
  Opt *o = find_option(s, name);
  if (!o && !strncmp(name, "no-", 3) && !eq && (o = find_option(s, name + 3)) &&
      o->kind == OPTK_FLAG) {
    *(bool *)o->dst = false;
    o->given = true;
    return -1;
  }
  if (!o || len >= sizeof name || o->kind == OPTK_GROUP) {
    char shown[72];
    snprintf(shown, sizeof shown, "--%s", name);
    return unknown_option(s, shown, name);
  }
  const char *value = eq ? eq + 1 : o->kind == OPTK_FLAG ? "yes" : NULL;
  if (!value) {
    if (*i + 1 >= argc || !strncmp(argv[*i + 1], "--", 2)) {
      char want[256];
      allowed_text(o, want, sizeof want);
      return tool_usage(s->cmd, "option --%s needs a value: %s", o->name,
                        o->kind == OPTK_STR && o->arg ? o->arg : want);
    }
    value = argv[++*i];
  }
  if (!set_value(o, value)) return bad_value(s, o, value);
  o->given = true;
  return o->kind == OPTK_RANGE ? refuse_twice(s, o) : -1;
}

static int collect_args(OptSpec *s, int argc, char **argv) {
  /* one command runs per process, except in `prlx demo`: reused */
  static char **args;
  mem_free(args);
  s->nargs = 0;
  s->args = args = mem_alloc((size_t)(argc + 1) * sizeof *args);
  if (!args) return tool_no_memory(s->cmd);
  bool options = true;
  for (int i = 1; i < argc; i++) {
    const char *a = argv[i];
    if (options && !strcmp(a, "--")) {
      options = false;
      continue;
    }
    if (options && !strcmp(a, "--help-table")) {
      common_help = common_table = true;
      continue;
    }
    if (options && !strcmp(a, "-h")) {
      common_help = true;
      continue;
    }
    if (options && !strcmp(a, "-o") && find_option(s, "out")) {
      static char out[] = "--out";
      a = argv[i] = out;
    }
    if (options && !strncmp(a, "--", 2)) {
      int rc = one_option(s, argc, argv, &i);
      if (rc >= 0) return rc;
      continue;
    }
    if (options && a[0] == '-' && a[1]) {
      const char *near = nearest_option(s, a + 1);
      if (near) return tool_usage(s->cmd, "unknown option %s; did you mean --%s?", a, near);
      return tool_usage(s->cmd, "unknown option %s", a);
    }
    args[s->nargs++] = argv[i];
  }
  return -1;
}

static int check_arguments(const OptSpec *s) {
  if (!s->pos && s->nargs > 0) return tool_usage(s->cmd, "unexpected argument '%s'", s->args[0]);
  if (s->nargs < s->pos_min) return tool_usage(s->cmd, "missing argument: %s", s->pos);
  char text[600];
  int missing;
  if (common_device == DEVICE_CUDA && device_text && !device_text(text, sizeof text, &missing))
    return tool_usage(s->cmd, "option --device cuda: CUDA is %s", text);
  if (s->pos && s->pos_max >= 0 && s->nargs > s->pos_max)
    return tool_usage(s->cmd, "too many arguments: '%s' is one too many", s->args[s->pos_max]);
  return -1;
}

int opts_parse(OptSpec *s, int argc, char **argv) {
  Opt *o;
  common_table = false;
  for (int i = 0; (o = table_at(s, i)); i++) {
    o->given = false;
    if (o->kind != OPTK_GROUP && o->def && !set_value(o, o->def)) return bad_value(s, o, o->def);
  }
  int rc = collect_args(s, argc, argv);
  if (common_help) {
    if (common_table)
      opts_table(s);
    else
      opts_help(s);
    rc = EXIT_DONE;
  }
  if (rc < 0) rc = check_arguments(s);
  if (rc >= 0)
    opts_free(s);
  else {
    outputs_arguments(s);
    threads_set(common_threads);
  }
  return rc;
}

void opts_free(OptSpec *s) {
  for (int i = 0; i < s->n; i++) {
    if (s->opt[i].kind != OPTK_RANGE) continue;
    IntList *l = s->opt[i].dst;
    mem_free(l->v);
    *l = (IntList){0};
  }
}

bool opts_text(const Opt *o, char *buf, size_t n) {
  const char *p = o->arg;
  switch (o->kind) {
    case OPTK_FLAG: return snprintf(buf, n, "%s", *(bool *)o->dst ? "yes" : "no"), true;
    case OPTK_STR:
      return *(const char **)o->dst ? (snprintf(buf, n, "%s", *(const char **)o->dst), true)
                                    : false;
    case OPTK_INT: return snprintf(buf, n, "%d", *(int *)o->dst), true;
    case OPTK_I64:
    case OPTK_SIZE: return snprintf(buf, n, "%lld", (long long)*(int64_t *)o->dst), true;
    case OPTK_REAL: { /* shortest text that gives the same number back */
      int digits = 6;
      do snprintf(buf, n, "%.*g", digits, *(double *)o->dst);
      while (strtod(buf, NULL) != *(double *)o->dst && ++digits <= 17);
      return true;
    }
    case OPTK_CHOICE:
      for (int k = *(int *)o->dst; k > 0; k--) p += strcspn(p, "|") + 1;
      return snprintf(buf, n, "%.*s", (int)strcspn(p, "|"), p), true;
    default: return false;
  }
}

bool opts_set(OptSpec *s, const char *name, const char *text) {
  Opt *o = find_option(s, name);
  if (!o || o->kind == OPTK_GROUP || !set_value(o, text)) return false;
  return o->given = true;
}

int opts_device(void) { return common_device; }
void opts_ask_device(OptsDevice *ask) { device_text = ask; }
int opts_precision(void) { return common_precision; }

bool opts_given(const OptSpec *s, const char *name) {
  const Opt *o = find_option(s, name);
  return o && o->given;
}

int opts_need(const OptSpec *s, bool met, const char *names, const char *with) {
  for (const char *p = names; *p && !met;) {
    char name[48];
    const size_t n = strcspn(p, " ");
    snprintf(name, sizeof name, "%.*s", (int)n, p);
    if (opts_given(s, name))
      return tool_usage(s->cmd, "--%s is of %s; give both, or leave it out", name, with);
    p += n + (p[n] == ' ');
  }
  return -1;
}

/* ---- help ---- */
static void help_option(const Opt *o) {
  char left[96], lo[32], hi[32];
  const char *arg = o->kind == OPTK_STR      ? o->arg
                    : o->kind == OPTK_CHOICE ? o->arg
                    : o->kind == OPTK_SIZE   ? "SIZE"
                    : o->kind == OPTK_RANGE  ? "LIST"
                    : o->kind == OPTK_REAL   ? "X"
                    : o->kind == OPTK_FLAG   ? NULL
                                             : "N";
  snprintf(left, sizeof left, "  --%s%s%s", o->name, arg ? " " : "", arg ? arg : "");
  printf("%-26s", left);
  if (strlen(left) > 25) printf("\n%-26s", "");
  for (const char *p = o->help; *p; p++) {
    putchar(*p);
    if (*p == '\n') printf("%-26s", "");
  }
  bool range = o->kind == OPTK_INT || o->kind == OPTK_I64 || o->kind == OPTK_REAL;
  bool def = o->def && !(o->kind == OPTK_FLAG && !strcmp(o->def, "no"));
  print_number(lo, sizeof lo, o->lo);
  print_number(hi, sizeof hi, o->hi);
  if (range || def) printf(" (");
  if (range) printf("%s to %s%s", lo, hi, def ? "; " : "");
  if (def) printf("default %s", o->def);
  printf(range || def ? ")\n" : "\n");
}

void opts_help(const OptSpec *s) {
  Opt *o;
  printf("prlx %s - %s\n\nusage: prlx %s [options]%s%s\n", s->cmd, s->summary, s->cmd,
         s->pos ? " " : "", s->pos ? s->pos : "");
  if (s->n > 0 && s->opt[0].kind != OPTK_GROUP) printf("\nOptions:\n");
  for (int i = 0; (o = table_at(s, i)); i++)
    if (o->kind == OPTK_GROUP)
      printf("\n%s:\n", o->name);
    else
      help_option(o);
  if (s->details) printf("\n%s\n", s->details);
}

/* ---- the table for programs ---- */
/* Options that the help of o names, each with a comma in front. */
static void table_named(const OptSpec *s, const Opt *o) {
  char name[64];
  for (const char *p = o->help; (p = strstr(p, "--"));) {
    p += 2;
    const size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-");
    snprintf(name, sizeof name, "%.*s", (int)n, p);
    const Opt *other = find_option(s, name);
    if (other && other != o) printf(",%s", name);
  }
}

void opts_table(const OptSpec *s) {
  static const char *const kinds[] = {
      [OPTK_FLAG] = "flag", [OPTK_STR] = "text",      [OPTK_INT] = "whole", [OPTK_I64] = "whole",
      [OPTK_REAL] = "real", [OPTK_CHOICE] = "choice", [OPTK_SIZE] = "size", [OPTK_RANGE] = "list"};
  Opt *o;
  for (int i = 0; (o = table_at(s, i)); i++) {
    if (o->kind == OPTK_GROUP) continue;
    printf("%s\t%s\t%.17g\t%.17g\t%s\t%s\t", o->name, kinds[o->kind], o->lo, o->hi,
           o->def ? o->def : "", o->arg ? o->arg : "");
    table_named(s, o);
    printf("\n");
  }
}
