/* comm_star.h: processes that are forked here and joined by sockets, as an engine of core/comm.h,
 * for tests. Its sums beside other work are as unkind as the contract allows: what they add is
 * taken the moment they begin, the ranges are ones until the wait, which looks whether somebody
 * wrote there, and the sums are made late, by a thread, in another order than they began. */
#ifndef PRLX_TEST_COMM_STAR_H
#define PRLX_TEST_COMM_STAR_H
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/comm.h"
#include "core/os.h"
#include "core/threads.h"
#include "test/test.h"

/* ---- processes around process 0, which adds in the order of the ranks ---- */
enum { MAX_PROC = 3, MAX_OPEN = 600 };
/* A sum that began: what it adds was taken at once, its ranges are ones until it is waited for. */
typedef struct OpenSum {
  const CommPart *part;
  int n;
  real *x;
  int64_t count;
} OpenSum;

/* fd: process 0: to each; others: fd[0] to process 0 */
typedef struct Star {
  Comm c;
  int fd[MAX_PROC];
  /* sums beside other work */
  OpenSum open[MAX_OPEN];
  int nopen;
  bool waits;
  bool untouched;
  OsThread thread;
  OsMutex lock;
  OsCond changed;
  Status failed;
  int64_t begun;    /* since the start */
  const int *clock; /* NULL, or something that grows while a phase runs, */
  int moment;       /* its last value at a begin, */
  int64_t moments;  /* and how many there were */
} Star;

static Status move(int fd, void *x, size_t n, bool out, Error *e) {
  for (size_t at = 0; at < n;) {
    ssize_t k = out ? write(fd, (char *)x + at, n - at) : read(fd, (char *)x + at, n - at);
    if (k <= 0) return err_set(e, ST_IO, "socket closed");
    at += (size_t)k;
  }
  return ST_OK;
}

static Status star_sum(Star *s, void *x, size_t bytes, void (*add)(void *, const void *, size_t),
                       Error *e) {
  if (s->c.rank) {
    Status st = move(s->fd[0], x, bytes, true, e);
    return st == ST_OK ? move(s->fd[0], x, bytes, false, e) : st;
  }
  char *in = mem_alloc(bytes);
  Status st = in ? ST_OK : ST_NOMEM;
  for (int r = 1; r < s->c.size && st == ST_OK; r++) {
    st = move(s->fd[r], in, bytes, false, e);
    if (st == ST_OK) add(x, in, bytes);
  }
  for (int r = 1; r < s->c.size && st == ST_OK; r++) st = move(s->fd[r], x, bytes, true, e);
  mem_free(in);
  return st;
}

static void add_real(void *a, const void *b, size_t bytes) {
  for (size_t i = 0; i < bytes / sizeof(real); i++) ((real *)a)[i] += ((const real *)b)[i];
}

static void add_double(void *a, const void *b, size_t bytes) {
  for (size_t i = 0; i < bytes / 8; i++) ((double *)a)[i] += ((const double *)b)[i];
}

/* A collective call while sums are under way: against the contract (core/comm.h), and the thread
 * reads the same sockets. */
static void star_is_free(const Star *s, const char *what) {
  if (!s->nopen) return;
  CHECK(false, "process %d: %s while %d sums are open", s->c.rank, what, s->nopen);
  fflush(stdout);
  _exit(1);
}

static Status sum_real(Comm *c, real *x, int64_t n, Error *e) {
  star_is_free((Star *)c, "a sum");
  return star_sum((Star *)c, x, (size_t)n * sizeof(real), add_real, e);
}

static Status sum_double(Comm *c, double *x, int64_t n, Error *e) {
  star_is_free((Star *)c, "a sum of doubles");
  return star_sum((Star *)c, x, (size_t)n * 8, add_double, e);
}

static Status broadcast(Comm *c, void *x, size_t bytes, int root, Error *e) {
  Star *s = (Star *)c;
  Status st = ST_OK;
  star_is_free(s, "a broadcast");
  if (c->rank) return move(s->fd[0], x, bytes, c->rank == root, e);
  if (root) st = move(s->fd[root], x, bytes, false, e);
  for (int r = 1; r < c->size && st == ST_OK; r++)
    if (r != root) st = move(s->fd[r], x, bytes, true, e);
  return st;
}

/* ---- sums beside other work: a thread that comes late and takes them out of order ---- */

static void star_delay(const Star *s, int k) {
  os_sleep((double)((k * 7 + s->c.rank * 5) % 4) * 1e-4);
}

/* The second before the first, the fourth before the third, ...: the same in all processes. A last
 * one without a partner when it is waited for. */
static void *star_thread(void *ctx) {
  Star *s = ctx;
  for (int k = 0;; k++) {
    os_mutex_lock(&s->lock);
    while (s->nopen < (k | 1) + 1 && !s->waits) os_cond_wait(&s->changed, &s->lock);
    const int n = s->nopen, take = (k ^ 1) < n ? k ^ 1 : k;
    OpenSum o = {0};
    if (k < n) o = s->open[take];
    os_mutex_unlock(&s->lock);
    if (k >= n) return NULL;
    star_delay(s, k);
    if (s->failed == ST_OK)
      s->failed = star_sum(s, o.x, (size_t)o.count * sizeof *o.x, add_real, NULL);
  }
}

static void star_begin(Comm *c, const CommPart *part, int n) {
  Star *s = (Star *)c;
  OpenSum o = {.part = part, .n = n};
  for (int i = 0; i < n; i++) o.count += part[i].n;
  o.x = mem_alloc((size_t)o.count * sizeof *o.x);
  real *to = o.x;
  for (int i = 0; i < n; i++)
    for (int64_t k = 0; k < part[i].n; k++) {
      *to++ = part[i].more ? part[i].x[k] + part[i].more[k] : part[i].x[k];
      part[i].x[k] = 1;
    }
  os_mutex_lock(&s->lock);
  const bool first = s->nopen == 0;
  s->begun++;
  s->moments += s->clock && *s->clock != s->moment;
  s->moment = s->clock ? *s->clock : 0;
  s->open[s->nopen++] = o;
  os_cond_wake_all(&s->changed);
  os_mutex_unlock(&s->lock);
  if (first && os_thread_start(&s->thread, star_thread, s)) exit(1);
}

static Status star_wait(Comm *c, Error *e) {
  Star *s = (Star *)c;
  if (s->nopen == 0) return ST_OK;
  os_mutex_lock(&s->lock);
  s->waits = true;
  os_cond_wake_all(&s->changed);
  os_mutex_unlock(&s->lock);
  os_thread_join(s->thread);
  s->waits = false;
  for (int i = 0; i < s->nopen; i++) {
    const real *from = s->open[i].x;
    for (int k = 0; k < s->open[i].n; k++) {
      const CommPart *p = &s->open[i].part[k];
      for (int64_t j = 0; j < p->n && s->untouched; j++) s->untouched = p->x[j] == 1;
      memcpy(p->x, from, (size_t)p->n * sizeof *from);
      from += p->n;
    }
    mem_free(s->open[i].x);
  }
  s->nopen = 0;
  CHECK(s->untouched, "process %d: a range was written while its sum was under way", s->c.rank);
  return s->failed == ST_OK ? ST_OK : err_set(e, s->failed, "a socket closed");
}

/* Forks; returns in every process. The children end in star_end. */
static void star_start(Star *s, int size) {
  int pair[MAX_PROC][2];
  *s = (Star){.c = {.size = size,
                    .sum = sum_real,
                    .sum_double = sum_double,
                    .sum_begin = star_begin,
                    .sum_wait = star_wait,
                    .broadcast = broadcast},
              .untouched = true,
              .lock = OS_MUTEX_INIT,
              .changed = OS_COND_INIT};
  for (int r = 1; r < size; r++)
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair[r])) {
      perror("socketpair");
      exit(1);
    }
  fflush(stdout);
  for (int r = 1; r < size; r++) {
    s->fd[r] = pair[r][0];
    pid_t pid = fork();
    if (pid < 0) {
      perror("fork");
      exit(1);
    }
    if (pid == 0) {
      s->c.rank = r;
      s->fd[0] = pair[r][1];
      alarm(300);
      return;
    }
  }
}

static void star_end(Star *s) {
  threads_stop();
  if (s->c.rank) _exit(test_failed != 0);
  for (int r = 1; r < s->c.size; r++) {
    int status = 1;
    wait(&status);
    CHECK(status == 0, "a process of %d failed", s->c.size);
    close(s->fd[r]);
  }
}
#endif
