/* paper_engine.c: the steps of a recipe: their words, their stamps, which are done. paper_jobs.c
 * runs them. See paper_impl.h.
 *
 * A stamp is the SHA-256 of a step's command (with folders by name, without --threads, which
 * changes no result), of the stamps of the steps whose outputs it reads, and of the content of
 * other files it names. OUT/done/ID holds the stamp, the seconds taken and the command. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"
#include "io/formats/sha256.h"
#include "io/formats/text.h"
#include "models/store/datapath.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

/* ---- words ---- */

enum { OUT_ROOM = 240 }; /* bytes for what stands behind OUT */

Status recipe_check_out(const PaperRun *r, Error *e) {
  if (strlen(r->out) + OUT_ROOM < PATH_LEN) return ST_OK;
  return err_set(e, ST_INVALID, "%.200s...: --out is longer than %d characters; use a shorter one",
                 r->out, PATH_LEN - OUT_ROOM);
}

void paper_file(const PaperRun *r, char out[PATH_LEN], const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  const int n = snprintf(out, PATH_LEN, "%s/", r->out);
  if (n < PATH_LEN) vsnprintf(out + n, PATH_LEN - (size_t)n, fmt, ap);
  va_end(ap);
}

const char *paper_path(const PaperRun *r, const char *text) {
  static char buf[4][2 * PATH_LEN];
  static int turn;
  char *b = buf[turn++ & 3];
  const char *rest = !strncmp(text, "{o}", 3) || !strncmp(text, "{w}", 3) ? text + 3 : NULL;
  if (rest)
    snprintf(b, sizeof buf[0], "%s%s%s", r->out, text[1] == 'w' ? "/work" : "", rest);
  else if (!strncmp(text, "{c}", 3))
    snprintf(b, sizeof buf[0], "%s", r->cohort ? r->cohort : "");
  else if (!strncmp(text, "{p}", 3))
    snprintf(b, sizeof buf[0], "%s", r->published ? r->published : "");
  else if (!strncmp(text, "{recipe}", 8))
    snprintf(b, sizeof buf[0], "%s", r->recipe ? r->recipe : "");
  else if (!strncmp(text, "{scales}", 8))
    snprintf(b, sizeof buf[0], "%s", r->scales ? r->scales : "");
  else if (!strncmp(text, "{init}", 6)) {
    /* the bundled network and its discriminator */
    static const char *const file[2] = {"network_small.safetensors",
                                        "discriminator_small.safetensors"};
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
      char here[80];
      snprintf(here, sizeof here, "data/%s", file[i]);
      at += (size_t)snprintf(b + at, sizeof buf[0] - at, "%s%s", i ? "," : "",
                             os_can_read(here) ? here : data_path(file[i]));
    }
  } else if (!strncmp(text, "{data}", 6)) {
    static const char any[] = "network_small.safetensors";
    const char *found = os_can_read("data/network_small.safetensors") ? NULL : data_path(any);
    const size_t n = found ? strlen(found) - sizeof any : 4;
    snprintf(b, sizeof buf[0], "%.*s%s", (int)n, found ? found : "data", text + 6);
  } else
    snprintf(b, sizeof buf[0], "%s", text);
  return b;
}

/* What was written, to be mem_free'd; NULL: out of memory. */
static char *text_copy(TextFile *t) {
  char *text;
  if (text_take(t, "a step", &text, NULL, NULL) != ST_OK) return NULL;
  char *copy = mem_strdup(text);
  free(text);
  return copy;
}

/* {o} and {w} may stand anywhere in a word ("rim={w}/a", "{w}/a+{w}/b"). */
static char *fill_word(const PaperRun *r, const char *word, size_t len) {
  TextFile t;
  if (text_begin(&t, "a step", NULL) != ST_OK) return NULL;
  for (size_t i = 0; i < len;) {
    const char *end = word[i] == '{' ? memchr(word + i, '}', len - i) : NULL;
    char key[16];
    if (!end || end - (word + i) > 8) {
      fputc(word[i++], t.stream);
      continue;
    }
    snprintf(key, sizeof key, "%.*s", (int)(end - (word + i) + 1), word + i);
    fputs(paper_path(r, key), t.stream);
    i += strlen(key);
  }
  return text_copy(&t);
}

void step_words_free(char **word, int n) {
  for (int i = 0; i < n; i++) mem_free(word[i]);
}

Status step_words(const PaperRun *r, const char *text, bool symbolic, char **word, int *n,
                  Error *e) {
  *n = 0;
  for (const char *p = text; *p;) {
    p += strspn(p, " ");
    const size_t len = strcspn(p, " ");
    if (!len) break;
    char keep[1024];
    snprintf(keep, sizeof keep, "%.*s", (int)len, p);
    if (*n == STEP_ARGS - 4 || !(word[*n] = symbolic ? mem_strdup(keep) : fill_word(r, p, len))) {
      step_words_free(word, *n);
      return err_set(e, ST_INTERNAL, "a step has more than %d words, or memory is short: %.200s",
                     STEP_ARGS - 4, text);
    }
    ++*n;
    p += len;
  }
  return ST_OK;
}

static void put_quoted(FILE *f, const char *w) {
  if (*w &&
      !w[strspn(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=:,./@%")]) {
    fputs(w, f);
    return;
  }
  fputc('\'', f);
  for (; *w; w++) *w == '\'' ? fputs("'\\''", f) : fputc(*w, f);
  fputc('\'', f);
}

char *step_text(const PaperRun *r, const Step *s) {
  char *word[STEP_ARGS];
  int n;
  TextFile t;
  if (text_begin(&t, "a step", NULL) != ST_OK) return NULL;
  fputs("prlx", t.stream);
  if (step_words(r, s->cmd, false, word, &n, NULL) == ST_OK) {
    for (int i = 0; i < n; i++) {
      fputc(' ', t.stream);
      put_quoted(t.stream, word[i]);
    }
    step_words_free(word, n);
  }
  if (s->save) {
    fputs(" > ", t.stream);
    put_quoted(t.stream, paper_path(r, s->save));
  }
  return text_copy(&t);
}

/* ---- stamps ---- */

/* Does a word name something below `output`? "{w}/a.safetensors:rim" does for "{w}/a.safetensors";
 * so does a part after '+' or '='. */
static bool word_reads(const char *word, const char *output, size_t len) {
  for (const char *p = word; (p = strstr(p, "{")); p++)
    /* the end of the word counts: strchr finds the NUL */
    if (!strncmp(p, output, len) && strchr("/:+", p[len])) return true;
  return false;
}

bool step_reads(char *const *word, int n, const Step *from) {
  for (const char *p = from->outputs; p && *p;) {
    p += strspn(p, " ");
    const size_t len = strcspn(p, " ");
    for (int i = 0; i < n && len; i++)
      if (word_reads(word[i], p, len)) return true;
    p += len;
  }
  if (from->save)
    for (int i = 0; i < n; i++)
      if (word_reads(word[i], from->save, strlen(from->save))) return true;
  return false;
}

/* Nothing of a word that names no file. */
static Status hash_input(Sha256 *h, const PaperRun *r, const char *word, Error *e) {
  uint8_t *data = NULL;
  size_t n;
  OsInfo st;
  char *path = fill_word(r, word, strlen(word));
  if (!path) return err_set(e, ST_NOMEM, "%s: out of memory", word);
  const bool file = os_info(path, &st) == 0 && st.kind == OS_FILE;
  const Status s = file ? file_read(path, &data, &n, (size_t)1 << 40, e) : ST_OK;
  if (file && s == ST_OK) sha256_add(h, data, n);
  mem_free(data);
  mem_free(path);
  return s;
}

static Status step_stamp(PaperRun *r, int k, Error *e) {
  Step *s = &r->step[k];
  char *word[STEP_ARGS];
  int n;
  Sha256 h;
  TRY(step_words(r, s->cmd, true, word, &n, e));
  sha256_begin(&h);
  sha256_add(&h, s->cmd, strlen(s->cmd));
  if (opts_device() || opts_precision()) {
    const uint8_t choice[2] = {(uint8_t)opts_device(), (uint8_t)opts_precision()};
    sha256_add(&h, choice, sizeof choice);
  }
  for (int i = 0; i < k; i++)
    if (s->last || step_reads(word, n, &r->step[i])) sha256_add(&h, r->step[i].stamp, 64);
  Status st = ST_OK;
  for (int i = 1; i < n && st == ST_OK; i++) {
    bool made = *word[i] == '-' || !strncmp(word[i], "{w}", 3);
    for (int q = 0; q <= k && !made; q++) made = step_reads(&word[i], 1, &r->step[q]);
    if (!made) st = hash_input(&h, r, word[i], e);
  }
  sha256_end(&h, s->stamp);
  step_words_free(word, n);
  return st;
}

bool step_read_stamp(const PaperRun *r, const Step *s, const char *tail, char stamp[65],
                     double *took) {
  char path[PATH_LEN];
  uint8_t *data = NULL;
  size_t n;
  paper_file(r, path, "done/%s%s", s->id, tail);
  if (!file_exists(path) || file_read(path, &data, &n, 1 << 20, NULL) != ST_OK) return false;
  char text[160];
  snprintf(text, sizeof text, "%.*s", (int)PRLX_MIN(n, sizeof text - 1), (char *)data);
  mem_free(data);
  return sscanf(text, "%64s %lf", stamp, took) == 2;
}

Status step_write_stamp(const PaperRun *r, const Step *s, const char *tail, Error *e) {
  char path[PATH_LEN];
  TextFile t;
  paper_file(r, path, "done/%s%s", s->id, tail);
  char *cmd = step_text(r, s);
  if (!cmd) return err_set(e, ST_NOMEM, "%s: out of memory", path);
  Status st = text_begin(&t, path, e);
  if (st != ST_OK) goto done;
  fprintf(t.stream, "%s %.3f\n%s\n", s->stamp, s->took, cmd);
  st = text_commit(&t, path, e);
done:
  mem_free(cmd);
  return st;
}

static bool outputs_there(const PaperRun *r, const Step *s) {
  for (const char *p = s->outputs; p && *p;) {
    char one[512];
    p += strspn(p, " ");
    const size_t len = strcspn(p, " ");
    snprintf(one, sizeof one, "%.*s", (int)len, p);
    if (len && !file_exists(paper_path(r, one))) return false;
    p += len;
  }
  return !s->save || file_exists(paper_path(r, s->save));
}

Status recipe_plan(PaperRun *r, Error *e) {
  for (int k = 0; k < r->n; k++) {
    Step *s = &r->step[k];
    char was[65] = "";
    double took = 0;
    TRY(step_stamp(r, k, e));
    const bool known = step_read_stamp(r, s, "", was, &took);
    if (known && took > 0) s->seconds = took; /* better than an estimate */
    s->state = known && !strcmp(was, s->stamp) && outputs_there(r, s) ? STEP_DONE : STEP_TODO;
    if (s->state == STEP_DONE) s->took = took;
  }
  return ST_OK;
}

/* --redo: forgets the stamps of the steps meant and of all that depend on them. */
Status recipe_forget(PaperRun *r, Error *e) {
  int hits = 0;
  for (int k = 0; k < r->n; k++) {
    Step *s = &r->step[k];
    char *word[STEP_ARGS], path[PATH_LEN];
    int n;
    s->again = !strcmp(r->redo, s->id) || !strcmp(r->redo, s->section);
    hits += s->again;
    if (step_words(r, s->cmd, true, word, &n, e) != ST_OK) return e->code;
    for (int i = 0; i < k && !s->again; i++)
      s->again = r->step[i].again && (s->last || step_reads(word, n, &r->step[i]));
    step_words_free(word, n);
    if (!s->again) continue;
    for (int t = 0; t < 2; t++) {
      paper_file(r, path, "done/%s%s", s->id, t ? ".begun" : "");
      os_remove(path);
    }
  }
  return hits ? ST_OK
              : err_set(e, ST_INVALID, "--redo %s: no such step or section; see --list", r->redo);
}

bool step_wanted(const PaperRun *r, const Step *s) {
  return !r->only || !strcmp(r->only, s->section) || !strcmp(r->only, s->id);
}

/* ---- the commands as a script ---- */

Status paper_write_commands(const PaperRun *r, Error *e) {
  char path[PATH_LEN];
  const char *section = "";
  TextFile t;
  paper_file(r, path, "commands.sh");
  TRY(text_begin(&t, path, e));
  fprintf(t.stream,
          "#!/bin/sh\n# What `prlx paper run --scale %s` ran, in order. Run it from the folder "
          "where that was run, into an empty output folder.\nset -e\nprlx() { "
          "\"${PRLX:-build/prlx}\" \"$@\"; }\n"
          "mkdir -p",
          r->scale->name);
  fputc(' ', t.stream);
  put_quoted(t.stream, paper_path(r, "{w}"));
  fputc(' ', t.stream);
  put_quoted(t.stream, paper_path(r, "{o}/reader"));
  fputc('\n', t.stream);
  for (int k = 0; k < r->n; k++) {
    char *cmd = step_text(r, &r->step[k]);
    if (!cmd) {
      text_abort(&t);
      return err_set(e, ST_NOMEM, "%s: out of memory", path);
    }
    if (strcmp(section, r->step[k].section)) fprintf(t.stream, "\n# %s\n", r->step[k].section);
    section = r->step[k].section;
    fprintf(t.stream, "%s\n", cmd);
    mem_free(cmd);
  }
  return text_commit(&t, path, e);
}
