/* train_folder.c: the folder of a run: an old run in it, and what becomes of that with --force: it
 * stands aside until the first snapshot of the new run is whole, and comes back when there is none.
 * See train_run.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/path.h"
#include "tools/cli/folder.h"
#include "tools/cli/outputs.h"
#include "tools/gan/train_run.h"

/* Where the old run waits. */
#define OLD_RUN ".old-run"

/* The same on its way there or back: a part of it is still (or again) in the run folder, and
 * nothing of a new run is. A process that is killed then loses no file: what is here goes back. */
#define OLD_RUN_MOVES ".old-run-moves"

static bool written_by_train(const char *name) {
  static const char *const own[] = {"state.safetensors", TRAIN_PREVIOUS, "network.safetensors",
                                    "metrics.jsonl",     "ranges.tsv",   "report.html",
                                    "reals.png"};
  for (int i = 0; i < COUNT_OF(own); i++)
    if (!strcmp(name, own[i])) return true;
  size_t n = strlen(name);
  if (!strncmp(name, "network-", 8) && n > 20 && str_ends_with(name, ".safetensors") &&
      strspn(name + 8, "0123456789.") >= n - 20)
    return true;
  return !strncmp(name, "fakes", 5) && n > 9 && str_ends_with(name, ".png") &&
         strspn(name + 5, "0123456789.") == n - 5 - 3;
}

typedef struct Names {
  char **name; /* [n] */
  int n;
} Names;

static void names_free(Names *l) {
  for (int i = 0; i < l->n; i++) mem_free(l->name[i]);
  mem_free(l->name);
  *l = (Names){0};
}

/* Files of a run in this folder. */
static Status names_read(const char *dir, Names *l, Error *e) {
  *l = (Names){0};
  Status s = ST_OK;
  OsFolder *d = os_folder_open(dir);
  if (!d) return err_set(e, ST_IO, "%s: the folder cannot be read: %s", dir, strerror(errno));
  for (const char *name; s == ST_OK && (name = os_folder_next(d));) {
    if (!written_by_train(name)) continue;
    char **more = mem_grow(l->name, (size_t)l->n * sizeof *more, (size_t)(l->n + 1) * sizeof *more);
    if (more) l->name = more;
    char *copy = more ? mem_strdup(name) : NULL;
    if (copy)
      l->name[l->n++] = copy;
    else
      s = err_set(e, ST_NOMEM, "%s: out of memory", dir);
  }
  os_folder_close(d);
  if (s != ST_OK) names_free(l);
  return s;
}

/* Every file of a run from one folder into the other; to NULL: removed. */
static Status move_all(const char *from, const char *to, Error *e) {
  char a[PATH_LEN], b[PATH_LEN];
  Names l;
  TRY(names_read(from, &l, e));
  Status s = ST_OK;
  for (int i = 0; i < l.n && s == ST_OK; i++) {
    s = path_join(a, from, l.name[i], e);
    if (s == ST_OK && to) s = path_join(b, to, l.name[i], e);
    if (s == ST_OK && (to ? os_replace(a, b) : os_remove(a)) != 0)
      s = err_set(e, ST_IO, "%s: cannot be %s: %s", a, to ? "put aside" : "removed",
                  strerror(errno));
  }
  names_free(&l);
  return s;
}

static bool has_state(const char *dir) {
  char path[PATH_LEN];
  return path_join(path, dir, "state.safetensors", NULL) == ST_OK && file_exists(path);
}

/* The old run comes back, whatever the new one has written goes. */
static Status put_back(const char *dir, Error *e) {
  char aside[PATH_LEN], moves[PATH_LEN];
  TRY(path_join(aside, dir, OLD_RUN, e));
  TRY(path_join(moves, dir, OLD_RUN_MOVES, e));
  if (!os_is_folder(moves)) {
    TRY(move_all(dir, NULL, e));
    if (os_replace(aside, moves) != 0)
      return err_set(e, ST_IO, "%s: cannot be renamed: %s", aside, strerror(errno));
  }
  TRY(move_all(moves, dir, e));
  os_remove_folder(moves);
  return ST_OK;
}

/* A process that was killed leaves the old run aside: it goes if the new one has a snapshot, else
 * it comes back. */
static Status settle_old_run(const char *dir, Error *e) {
  char aside[PATH_LEN], moves[PATH_LEN];
  TRY(path_join(aside, dir, OLD_RUN, e));
  TRY(path_join(moves, dir, OLD_RUN_MOVES, e));
  if (os_is_folder(moves)) return put_back(dir, e);
  if (!os_is_folder(aside)) return ST_OK;
  if (!has_state(dir)) return put_back(dir, e);
  TRY(move_all(aside, NULL, e));
  os_remove_folder(aside);
  return ST_OK;
}

/* A log without a line, and no snapshot: that run never began, and its log goes. */
static Status drop_empty_log(const char *dir, Error *e) {
  char log[PATH_LEN];
  OsInfo info;
  TRY(path_join(log, dir, "metrics.jsonl", e));
  if (os_info(log, &info) == 0 && info.kind == OS_FILE && info.bytes == 0 && !has_state(dir))
    (void)os_remove(log);
  return ST_OK;
}

Status run_folder_look(TrainRun *r, bool resume, bool force, Error *e) {
  char log[PATH_LEN];
  if (!file_exists(r->dir)) return ST_OK;
  if (!os_is_folder(r->dir)) return dir_make(r->dir, e); /* says that a file is there */
  TRY(tool_folder(r->dir, e));
  TRY(settle_old_run(r->dir, e));
  TRY(drop_empty_log(r->dir, e));
  TRY(path_join(log, r->dir, "metrics.jsonl", e));
  r->old_run = has_state(r->dir) || file_exists(log);
  if (resume || force || !r->old_run) return ST_OK;
  return err_set(e, ST_INVALID,
                 "%s: there is a run in this folder; --resume goes on with it, --force replaces it "
                 "by a new one",
                 r->dir);
}

Status run_folder_take(TrainRun *r, bool resume, Error *e) {
  TRY(r->old_run ? outputs_own_folder(r->dir, e)
                 : outputs_folder(r->dir,
                                  "state.safetensors network.safetensors metrics.jsonl report.html "
                                  "reals.png",
                                  e));
  if (resume || !r->old_run) return ST_OK;
  char aside[PATH_LEN], moves[PATH_LEN];
  TRY(path_join(aside, r->dir, OLD_RUN, e));
  TRY(path_join(moves, r->dir, OLD_RUN_MOVES, e));
  TRY(dir_make(moves, e));
  r->aside = true;
  TRY(move_all(r->dir, moves, e));
  if (os_replace(moves, aside) == 0) return ST_OK;
  return err_set(e, ST_IO, "%s: cannot be renamed to %s: %s; remove what is in the latter", moves,
                 OLD_RUN, strerror(errno));
}

void run_folder_done(TrainRun *r) {
  char aside[PATH_LEN];
  if (!r->aside || path_join(aside, r->dir, OLD_RUN, NULL) != ST_OK) return;
  r->aside = false;
  if (move_all(aside, NULL, NULL) == ST_OK) os_remove_folder(aside);
}

void run_folder_undo(TrainRun *r) {
  Error e = {0};
  if (!r->aside) {
    if (r->log.fd >= 0) (void)drop_empty_log(r->dir, NULL);
    return;
  }
  r->aside = false;
  if (put_back(r->dir, &e) == ST_OK) return;
  fprintf(stderr, "prlx train: %s; the next prlx train in this folder tries again\n", e.msg);
}
