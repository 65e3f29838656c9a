/* fuzz_options.c: the option parser: lines of the input are arguments. Values that are taken lie in
 * their range, and what opts_text says of them gives the same value again. Messages go to where
 * -close_fd_mask sends them (run.sh). */
#include <math.h>
#include "test/fuzz/fuzz.h"
#include "tools/cli/opts.h"

typedef struct Values {
  const char *out;
  int count;
  int64_t seed;
  double rate;
  bool mirror;
  int noise;
  int64_t memory;
  IntList seeds;
} Values;

/* The value as text and back; a list has no text. */
static void text_and_back(OptSpec *s, Opt *o) {
  char text[OPTS_TEXT], again[OPTS_TEXT];
  if (o->kind == OPTK_GROUP || !opts_text(o, text, sizeof text)) return;
  if (o->kind == OPTK_STR && (!*text || strlen(text) + 1 >= sizeof text)) return;
  FUZZ_HOLDS(opts_set(s, o->name, text) && opts_text(o, again, sizeof again));
  FUZZ_HOLDS(strcmp(text, again) == 0);
}

static void judge(OptSpec *s, const Values *v, int argc) {
  FUZZ_HOLDS(v->count >= 2 && v->count <= 64 && v->seed >= 0 && v->noise >= 0 && v->noise < 3);
  FUZZ_HOLDS(isfinite(v->rate) && v->rate >= -1 && v->rate <= 1 && v->memory >= 0);
  FUZZ_HOLDS(!v->out || *v->out);
  FUZZ_HOLDS(s->nargs >= 0 && s->nargs < argc && s->nargs <= 3);
  for (int i = 0; i < v->seeds.n; i++) FUZZ_HOLDS(v->seeds.v[i] >= 0 && v->seeds.v[i] < 1000);
  for (int i = 0; i < s->n; i++) text_and_back(s, &s->opt[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  enum { MOST = 32 };
  Values v = {0};
  Opt t[] = {
      OPT_GROUP("Output"),
      OPT_STR("out", &v.out, NULL, "FILE", "result"),
      OPT_INT("count", &v.count, "8", 2, 64, "how many"),
      OPT_I64("seed", &v.seed, "0", 0, 9e15, "seed"),
      OPT_REAL("rate", &v.rate, "0.5", -1, 1, "rate"),
      OPT_FLAG("mirror", &v.mirror, "no", "mirrored, too"),
      OPT_CHOICE("noise", &v.noise, "const", "const|none|random", "noise"),
      OPT_SIZE("memory", &v.memory, "0", "limit"),
      OPT_RANGE("seeds", &v.seeds, "0-3", 0, 999, "list"),
  };
  OptSpec s = {.cmd = "fuzz",
               .summary = "options",
               .opt = t,
               .n = COUNT_OF(t),
               .pos = "FILE...",
               .pos_max = 3};
  char *text = malloc(n + 1), name[] = "fuzz", *argv[MOST + 1] = {name};
  int argc = 1;
  memcpy(text, data, n);
  text[n] = 0;
  for (char *p = text; p && argc < MOST; argc++) {
    argv[argc] = p;
    p = strchr(p, '\n');
    if (p) *p++ = 0;
  }
  argv[argc] = NULL;
  const int rc = opts_parse(&s, argc, argv);
  FUZZ_HOLDS(rc == -1 || rc == 0 || rc == 2);
  if (rc < 0) {
    judge(&s, &v, argc);
    opts_free(&s);
  }
  char *none[] = {name, NULL};
  FUZZ_HOLDS(opts_parse(&s, 1, none) == -1); /* a former --help or list is forgotten */
  opts_free(&s);
  free(text);
  return 0;
}
