/* paper_jobs.c: runs the steps of a recipe as child processes, as many at a time as there are
 * threads for: a step starts when all that it reads is made. Logs, stamps, time left. See
 * paper_impl.h.
 *
 * Most steps are small: two of them with a thread each end sooner than one after the other with
 * two. Results do not depend on threads, so not on this. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/os.h"
#include "io/formats/file.h"
#include "io/formats/folder.h"
#include "io/formats/path.h"
#include "paper/engine/paper_impl.h"
#include "tools/cli/device.h"
#include "tools/cli/outputs.h"
#include "tools/cli/tool.h"

typedef struct Job {
  int step; /* -1: none */
  int threads;
  double began;
  OsChild child;
} Job;

typedef struct Jobs {
  PaperRun *r;
  bool *reads; /* [n,n]: step k reads what step i makes */
  int most;    /* at a time */
  int running;
  int free;      /* threads */
  bool stopping; /* nothing is started any more: a step failed */
  bool told;     /* Ctrl-C was passed on */
  double began;
  double shown;
  Status failed; /* of the runner itself */
  Error why;
  Job job[PAPER_JOBS];
} Jobs;

/* ---- one step ---- */

/* Makes the parent folders; for a new start removes what an earlier run left. Outputs lie below
 * OUT, nothing else is ever removed. */
static Status clear_output(const PaperRun *r, const Step *s, const char *text, bool keep,
                           Error *e) {
  char path[PATH_LEN];
  if (strncmp(text, "{w}/", 4) && strncmp(text, "{o}/", 4))
    return err_set(e, ST_INTERNAL, "step %s: output %s is not below the output folder", s->id,
                   text);
  TRY(path_format(path, e, "%s", paper_path(r, text)));
  if (!keep) TRY(folder_remove(path, e));
  *strrchr(path, '/') = 0;
  return outputs_own_folder(path, e);
}

static Status clear_outputs(const PaperRun *r, const Step *s, bool keep, Error *e) {
  char list[2048], *save;
  const int n = snprintf(list, sizeof list, "%s %s", s->outputs, s->save ? s->save : "");
  if (n >= (int)sizeof list)
    return err_set(e, ST_INVALID, "step %s makes too many files; expected a list below %zu bytes",
                   s->id, sizeof list);
  for (char *p = strtok_r(list, " ", &save); p; p = strtok_r(NULL, " ", &save))
    TRY(clear_output(r, s, p, keep, e));
  return ST_OK;
}

static Status start_child(const PaperRun *r, const Step *s, char **argv, bool append,
                          OsChild *child, Error *e) {
  char out[PATH_LEN], err[PATH_LEN];
  paper_file(r, err, "log/%s.err.txt", s->id);
  if (s->save)
    TRY(path_format(out, e, "%s.tmp", paper_path(r, s->save)));
  else
    paper_file(r, out, "log/%s.txt", s->id);
  const OsChildFiles files = {NULL, out, err, append && !s->save, append};
  if (os_child_start(child, argv, &files) == 0) return ST_OK;
  return err_set(e, ST_IO, "step %s: no child process: %s", s->id, strerror(errno));
}

/* Starts the command; argv has room for seven words more. */
static Status start_command(const PaperRun *r, Job *j, char **argv, int n, bool again, Error *e) {
  static const char *const device[] = {NULL, "cpu", "cuda"};
  static const char *const precision[] = {NULL, "strict", "tf32", "f16", "bf16"};
  const char *d = device[opts_device()], *p = precision[opts_precision()];
  char threads[16];
  argv[0] = (char *)"prlx";
  snprintf(threads, sizeof threads, "%d", j->threads);
  argv[++n] = (char *)"--threads";
  argv[++n] = threads;
  if (d) {
    argv[++n] = (char *)"--device";
    argv[++n] = (char *)d;
  }
  if (p) {
    argv[++n] = (char *)"--precision";
    argv[++n] = (char *)p;
  }
  argv[n + 1] = NULL;
  j->began = time_now();
  return start_child(r, &r->step[j->step], argv, again, &j->child, e);
}

static Status start_step(const PaperRun *r, Job *j, Error *e) {
  Step *s = &r->step[j->step];
  char *argv[STEP_ARGS + 8], begun[65] = "";
  int n;
  double ignored;
  const bool again =
      s->resumes && step_read_stamp(r, s, ".begun", begun, &ignored) && !strcmp(begun, s->stamp);
  TRY(clear_outputs(r, s, again, e));
  s->took = 0;
  TRY(step_write_stamp(r, s, ".begun", e));
  TRY(step_words(r, s->cmd, false, argv + 1, &n, e));
  const Status st = start_command(r, j, argv, n, again, e);
  step_words_free(argv + 1, n);
  return st;
}

/* What it printed gets its name when it has ended well. */
static Status keep_printed(const PaperRun *r, const Step *s, bool well, Error *e) {
  char from[PATH_LEN], to[PATH_LEN];
  if (!s->save) return ST_OK;
  TRY(path_format(to, e, "%s", paper_path(r, s->save)));
  TRY(path_format(from, e, "%s.tmp", to));
  if (!well) {
    os_remove(from);
    return ST_OK;
  }
  if (os_replace(from, to) == 0) return ST_OK;
  const Status st = err_set(e, ST_IO, "%s: cannot be renamed: %s", from, strerror(errno));
  os_remove(from);
  return st;
}

/* A step has ended well. */
static Status finish_step(const PaperRun *r, Job *j, Error *e) {
  Step *s = &r->step[j->step];
  char path[PATH_LEN];
  TRY(keep_printed(r, s, true, e));
  s->took = (time_now() - j->began) * j->threads / r->threads;
  paper_file(r, path, "done/%s.begun", s->id);
  os_remove(path);
  return step_write_stamp(r, s, "", e);
}

/* ---- what is told ---- */

/* Last line of a file, without control characters (a progress bar rewrites its line). */
static void last_line(const char *path, char *out, size_t n) {
  char buf[600] = "";
  *out = 0;
  OsInfo st = {0};
  const int fd = os_open(path, OS_READ);
  if (fd < 0) return;
  const int64_t room = (int64_t)sizeof buf - 1,
                end = os_file_info(fd, &st) == 0 && st.bytes > room ? st.bytes : room,
                got = os_read_at(fd, buf, (size_t)room, end - room);
  os_close(fd);
  if (got <= 0) return;
  buf[got] = 0;
  for (char *p = buf + got - 1; p >= buf && (*p == '\n' || *p == '\r' || *p == ' '); p--) *p = 0;
  char *line = buf;
  for (char *p = buf; *p; p++)
    if (*p == '\n' || *p == '\r') line = p + 1;
  snprintf(out, n, "%s", line);
}

/* Of the whole machine. */
static double seconds_left(const PaperRun *r, bool *unknown) {
  double t = 0;
  *unknown = false;
  for (int k = 0; k < r->n; k++) {
    if (r->step[k].state != STEP_TODO && r->step[k].state != STEP_RUNS) continue;
    t += r->step[k].seconds;
    *unknown |= r->step[k].seconds == 0;
  }
  return t;
}

/* One line: how many steps are done, what is running, the last word of the one that began first. */
static void show_line(const Jobs *q, bool tty) {
  const PaperRun *r = q->r;
  const double now = time_now();
  double spent = 0; /* of the steps that run */
  char names[200] = "", path[PATH_LEN], line[400] = "";
  size_t at = 0;
  int done = 0, first = -1;
  bool unknown;
  for (int k = 0; k < r->n; k++)
    done += r->step[k].state == STEP_DONE || r->step[k].state == STEP_RAN;
  for (int i = 0; i < q->most; i++) {
    const Job *j = &q->job[i];
    if (j->step < 0) continue;
    spent += PRLX_MIN((now - j->began) * j->threads / r->threads, r->step[j->step].seconds);
    if (first < 0 || j->began < q->job[first].began) first = i;
    if (at < sizeof names - 60)
      at += (size_t)snprintf(names + at, sizeof names - at, "%s%s %s", at ? ", " : "",
                             r->step[j->step].id, human_time(now - j->began));
  }
  if (first >= 0) {
    paper_file(r, path, "log/%s.err.txt", r->step[q->job[first].step].id);
    last_line(path, line, sizeof line);
  }
  const double left = PRLX_MAX(seconds_left(r, &unknown) - spent, 0);
  fprintf(stderr, "%s%d/%d done: %s; all %s, left about %s%s: %.*s%s", tty ? "\r\033[K" : "", done,
          r->n, names, human_time(now - q->began), human_time(left), unknown ? "+" : "",
          tty ? 50 : 100, line, tty ? "" : "\n");
}

/* Now and then. */
static void show_progress(Jobs *q) {
  const bool tty = os_is_terminal(2);
  if (tool_quiet || time_now() - q->shown < (tty ? 1 : 60)) return;
  show_line(q, tty);
  q->shown = time_now();
}

static void clear_line(void) {
  if (os_is_terminal(2) && !tool_quiet) fputs("\r\033[K", stderr);
}

static void tell_failure(const PaperRun *r, const Step *s, int rc) {
  char path[PATH_LEN], line[400], *cmd = step_text(r, s);
  paper_file(r, path, "log/%s.err.txt", s->id);
  last_line(path, line, sizeof line);
  if (rc == 126 || rc >= 128)
    fprintf(stderr, "prlx paper: step %s %s: %s\n  %s\n  log: %s\n", s->id,
            rc == 126 ? "could not start" : "was killed", line, cmd ? cmd : "", path);
  else
    fprintf(stderr, "prlx paper: step %s failed: %s\n  %s\n  log: %s\n", s->id, line,
            cmd ? cmd : "", path);
  mem_free(cmd);
}

static int run_finish(const Jobs *q) {
  const PaperRun *r = q->r;
  int count[STEP_LEFT + 1] = {0};
  for (int k = 0; k < r->n; k++) count[r->step[k].state]++;
  if (tool_interrupted) {
    fprintf(stderr,
            "prlx paper: stopped; %d of %d steps are done; the same command goes on from here\n",
            count[STEP_DONE] + count[STEP_RAN], r->n);
    return EXIT_FAILED;
  }
  if (!tool_quiet)
    fprintf(stderr, "%d steps run in %s, %d were done before\n", count[STEP_RAN],
            human_time(time_now() - q->began), count[STEP_DONE]);
  if (!count[STEP_FAILED] && !count[STEP_BLOCKED]) return EXIT_DONE;
  fprintf(
      stderr,
      "prlx paper: %d step%s failed, %d could not run without %s; the same command tries again\n",
      count[STEP_FAILED], count[STEP_FAILED] == 1 ? "" : "s", count[STEP_BLOCKED],
      count[STEP_FAILED] == 1 ? "it" : "them");
  return EXIT_FAILED;
}

/* ---- which step next ---- */

static Status find_reads(Jobs *q, Error *e) {
  const PaperRun *r = q->r;
  const size_t n = (size_t)r->n;
  q->reads = mem_alloc(n * n * sizeof *q->reads);
  if (!q->reads) return err_set(e, ST_NOMEM, "paper run: out of memory");
  for (int k = 0; k < r->n; k++) {
    char *word[STEP_ARGS];
    int words;
    TRY(step_words(r, r->step[k].cmd, true, word, &words, e));
    for (int i = 0; i < k; i++)
      q->reads[(size_t)k * n + (size_t)i] = r->step[k].last || step_reads(word, words, &r->step[i]);
    step_words_free(word, words);
  }
  return ST_OK;
}

/* May step k start? It cannot at all where something that it reads is not going to be made; the
 * last steps look at what there is. */
static bool step_ready(const Jobs *q, int k) {
  PaperRun *r = q->r;
  Step *s = &r->step[k];
  bool ready = true;
  for (int i = 0; i < k; i++) {
    if (!q->reads[(size_t)k * (size_t)r->n + (size_t)i]) continue;
    const StepState made = r->step[i].state;
    if (made == STEP_TODO || made == STEP_RUNS) ready = false;
    if (!s->last && (made == STEP_FAILED || made == STEP_BLOCKED || made == STEP_LEFT)) {
      s->state = STEP_BLOCKED;
      return false;
    }
  }
  return ready;
}

/* Steps that may start, and the first of them in *next. */
static int count_ready(const Jobs *q, int *next) {
  int n = 0;
  for (int k = 0; k < q->r->n; k++) {
    if (q->r->step[k].state != STEP_TODO || !step_ready(q, k)) continue;
    if (!n++) *next = k;
  }
  return n;
}

static Job *free_job(Jobs *q) {
  for (int i = 0; i < q->most; i++)
    if (q->job[i].step < 0) return &q->job[i];
  return NULL;
}

/* Starts what may start. Free threads are shared between the steps that could run now. */
static Status start_ready(Jobs *q, Error *e) {
  PaperRun *r = q->r;
  for (int k = 0; !q->stopping && q->free && q->running < q->most;) {
    const int ready = count_ready(q, &k);
    if (!ready) return ST_OK;
    Job *j = free_job(q);
    j->step = k;
    j->threads = PRLX_MAX(q->free / PRLX_MIN(ready, q->most - q->running), 1);
    clear_line();
    if (!tool_quiet) fprintf(stderr, "[%d/%d] %s\n", k + 1, r->n, r->step[k].id);
    const Status s = start_step(r, j, e);
    if (s != ST_OK) {
      j->step = -1;
      return s;
    }
    r->step[k].state = STEP_RUNS;
    q->free -= j->threads;
    q->running++;
  }
  return ST_OK;
}

/* The first error stands. */
static void note_error(Jobs *q, Status s, const Error *why) {
  if (s == ST_OK || q->failed != ST_OK) return;
  q->failed = s;
  q->why = *why;
}

static void job_ended(Jobs *q, Job *j, int rc) {
  PaperRun *r = q->r;
  Step *s = &r->step[j->step];
  Error e = {0};
  clear_line();
  s->state = tool_interrupted ? STEP_TODO : rc ? STEP_FAILED : STEP_RAN;
  if (s->state == STEP_RAN) note_error(q, finish_step(r, j, &e), &e);
  if (s->state != STEP_RAN) (void)keep_printed(r, s, false, NULL);
  if (s->state == STEP_FAILED) {
    tell_failure(r, s, rc);
    q->stopping |= !r->keep_going && !s->last;
  }
  q->free += j->threads;
  q->running--;
  j->step = -1;
}

/* Looks at every job once; how many were done. */
static int look_at_jobs(Jobs *q) {
  /* asked once: Ctrl-C may come in the middle of the loop, and is for all of them */
  const bool stop = tool_interrupted && !q->told;
  int ended = 0;
  for (int i = 0; i < q->most; i++) {
    Job *j = &q->job[i];
    int rc = 0;
    if (j->step < 0) continue;
    if (stop) os_child_interrupt(&j->child);
    const int over = os_child_ended(&j->child, &rc);
    if (!over) continue;
    ended++;
    job_ended(q, j, over < 0 ? 126 : rc);
  }
  q->told |= stop;
  return ended;
}

/* Until nothing runs and nothing can start. After an error what runs is waited for. */
static void run_jobs(Jobs *q) {
  double pause = 0.005;
  for (;;) {
    Error e = {0};
    if (!tool_interrupted && q->failed == ST_OK) note_error(q, start_ready(q, &e), &e);
    if (!q->running) return;
    const int ended = look_at_jobs(q);
    show_progress(q);
    pause = ended ? 0.005 : PRLX_MIN(pause * 1.1, 0.1);
    if (!ended) os_sleep(pause);
  }
}

int recipe_run(PaperRun *r) {
  Error e = {0};
  Jobs *q = mem_alloc(sizeof *q);
  if (!q) return tool_no_memory("paper");
  q->r = r;
  q->began = q->shown = time_now();
  q->most = r->jobs ? r->jobs : tool_device_present() ? 1 : PRLX_MIN(r->threads, 8);
  q->free = PRLX_MAX(r->threads, q->most);
  for (int i = 0; i < PAPER_JOBS; i++) q->job[i].step = -1;
  for (int k = 0; k < r->n; k++)
    if (r->step[k].state == STEP_TODO && !step_wanted(r, &r->step[k])) r->step[k].state = STEP_LEFT;
  note_error(q, find_reads(q, &e), &e);
  run_jobs(q);
  const int rc = q->failed == ST_OK ? run_finish(q) : tool_fail("paper", &q->why);
  mem_free(q->reads);
  mem_free(q);
  return rc;
}
