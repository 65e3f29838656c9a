/* test_comm.c: training by 2 and 3 processes (forked here, joined by sockets; the same interface
 * that MPI stands behind) equals training by one: gradients of all four phases, running means, ADA,
 * weights; all processes hold the same bits; resume from any number of processes; a failure reaches
 * all. The same through the program and MPI: cli_mpi.sh. */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/threads.h"
#include "models/gan/train.h"
#include "test/host_backend.h"
#include "test/test.h"

/* ---- processes around process 0, which adds in the order of the ranks ---- */
enum { MAX_PROC = 3 };
/* process 0: to each; others: fd[0] to process 0 */
typedef struct Star {
  Comm c;
  int fd[MAX_PROC];
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

static Status sum_real(Comm *c, real *x, int64_t n, Error *e) {
  return star_sum((Star *)c, x, (size_t)n * sizeof(real), add_real, e);
}

static Status sum_double(Comm *c, double *x, int64_t n, Error *e) {
  return star_sum((Star *)c, x, (size_t)n * 8, add_double, e);
}

static Status broadcast(Comm *c, void *x, size_t bytes, int root, Error *e) {
  Star *s = (Star *)c;
  Status st = ST_OK;
  if (c->rank) return move(s->fd[0], x, bytes, c->rank == root, e);
  if (root) st = move(s->fd[root], x, bytes, false, e);
  for (int r = 1; r < c->size && st == ST_OK; r++)
    if (r != root) st = move(s->fd[r], x, bytes, true, e);
  return st;
}

/* Forks; returns in every process. The children end in star_end. */
static void star_start(Star *s, int size) {
  int pair[MAX_PROC][2];
  *s = (Star){
      .c = {.size = size, .sum = sum_real, .sum_double = sum_double, .broadcast = broadcast}};
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

/* ---- the run ---- */
enum { RES = 16, ITEMS = 11, STEPS = 4, BUF = 1 << 19 };
static real images[ITEMS * RES * RES], labels[ITEMS * 2];
static const TrainData data = {images, labels, ITEMS};

static TrainConfig tiny(Comm *comm) {
  TrainConfig c;
  Error e;
  if (train_preset(&c, "small", RES, 1, 2, &e) != ST_OK) {
    printf("%s\n", e.msg);
    exit(1);
  }
  c.G.z_dim = c.G.w_dim = 8;
  c.G.channel_base = c.D.channel_base = 128;
  c.G.channel_max = c.D.channel_max = 8;
  c.D.mbstd_group_size = 2;
  c.batch = 8;
  c.batch_gpu = 2; /* four rounds */
  c.g_reg_interval = 2;
  c.d_reg_interval = 3;
  c.ada.kimg = 0.1;
  c.ada.p_init = 0.3;
  c.ada.interval = 2;
  c.ema_kimg = 0.02;
  /* a large share of the lengths of the rounds before */
  c.pl_decay = 0.3;
  /* a gradient of rounding noise alone must not move a weight by a full step */
  c.eps = 1e-3;
  c.mirror = true;
  c.seed = 5;
  c.comm = comm;
  return c;
}

/* What a process leaves for the first one to look at, in shared memory. */
typedef struct Seen {
  /* of the first iteration: norm; leading values */
  double grad[PH_COUNT][2];
  double grad_v[PH_COUNT][4096];
  int64_t grad_n[PH_COUNT];
  char state[BUF];
  size_t bytes;
  TrainMetrics m;
  TrainerState s;
  real samples[7][16];
  Status st;
  char msg[1024];
} Seen;

static void keep_gradient(void *ctx, TrainPhase ph, const Params *net, const real *g) {
  Seen *s = ctx;
  if (s->grad_n[ph]) return;
  s->grad_n[ph] = net->nparam;
  for (int64_t i = 0; i < net->nparam; i++) {
    s->grad[ph][0] += (double)g[i] * g[i];
    if (i % (net->nparam / 4096 + 1) == 0) s->grad_v[ph][i / (net->nparam / 4096 + 1)] = g[i];
  }
}

static Status keep(void *ctx, const TrainTensor *x, Error *e) {
  Seen *s = ctx;
  size_t n = (size_t)shape_numel(x->shape) * (x->type == TT_REAL ? sizeof(real) : 8);
  if (s->bytes + n > BUF) return err_set(e, ST_INTERNAL, "state larger than the buffer");
  memcpy(s->state + s->bytes, x->data, n);
  s->bytes += n;
  return ST_OK;
}

typedef struct From {
  const Seen *s;
  size_t at;
} From;
static Status put_back(void *ctx, const TrainTensor *x, Error *e) {
  From *f = ctx;
  size_t n = (size_t)shape_numel(x->shape) * (x->type == TT_REAL ? sizeof(real) : 8);
  memcpy(x->data, f->s->state + f->at, n);
  f->at += n;
  return ST_OK;
}

/* device: on a backend with memory of its own, where sums go through the host or, as 2, are made
 * there. */
static Status sum_device(Comm *c, void *x, int64_t n, Error *e) { return sum_real(c, x, n, e); }

static void train(Comm *comm, int device, const Seen *from, int n, Seen *out) {
  TrainConfig c = tiny(comm);
  HostBackend *h = device ? host_backend_new(PREC_STRICT) : NULL;
  if (h) c.backend = &h->b;
  if (device == 2) comm->sum_device = sum_device;
  Trainer *t = NULL;
  Error e = {0};
  CHECK(trainer_new(&c, &data, &t, &e) == ST_OK, "trainer_new: %s", e.msg);
  if (!t) return;
  /* the others get it from process 0 */
  if (from && comm_lead(comm))
    CHECK(trainer_enumerate(t, put_back, &(From){from, 0}, &e) == ST_OK, "state");
  CHECK(trainer_broadcast(t, &e) == ST_OK, "broadcast: %s", e.msg);
  trainer_refresh(t);
  trainer_on_gradient(t, keep_gradient, out);
  for (int i = 0; i < n && out->st == ST_OK; i++) out->st = trainer_step(t, &out->m, &e);
  CHECK(out->st == ST_OK, "step: %s", e.msg);
  const real *arrays[] = {out->m.g_scores,      out->m.g_losses, out->m.d_scores_fake,
                          out->m.d_scores_real, out->m.d_losses, out->m.r1_penalties,
                          out->m.pl_means};
  for (int i = 0; i < 7 && out->st == ST_OK; i++)
    memcpy(out->samples[i], arrays[i], (i == 6 ? 4 : 8) * sizeof(real));
  CHECK(trainer_enumerate(t, keep, out, &e) == ST_OK, "state: %s", e.msg);
  out->s = *trainer_state(t);
  trainer_free(t);
  if (h) host_backend_free(h);
}

/* ---- comparing ---- */
static double distance(const double *a, const double *b, int n) {
  double d = 0, s = 0;
  for (int i = 0; i < n; i++) {
    d += (a[i] - b[i]) * (a[i] - b[i]);
    s += b[i] * b[i];
  }
  return sqrt(d / (s > 0 ? s : 1));
}

static void same_run(const Seen *a, const Seen *b, int size) {
  for (int ph = 0; ph < PH_COUNT; ph++) {
    double d = distance(a->grad_v[ph], b->grad_v[ph], 4096);
    CHECK(b->grad[ph][0] > 0 && d < 1e-5, "%d processes: gradient of %s differs by %.2g", size,
          train_phase_name[ph], d);
  }
  double ds = 0;
  for (int i = 0; i < 7; i++)
    for (int k = 0; k < 8; k++)
      ds = fmax(ds, fabs(a->samples[i][k] - b->samples[i][k]) / (1 + fabs(b->samples[i][k])));
  CHECK(ds < 1e-3, "%d processes: results per sample differ by %.2g", size, ds);
  CHECK(fabs(a->s.pl_mean - b->s.pl_mean) < 1e-4 * fabs(b->s.pl_mean) && b->s.pl_mean != 0,
        "%d processes: pl_mean %g and %g", size, a->s.pl_mean, b->s.pl_mean);
  CHECK(a->s.p == b->s.p && a->s.r_t == b->s.r_t && a->s.sign_count == b->s.sign_count &&
            a->s.sign_sum == b->s.sign_sum,
        "%d processes: ADA p %g and %g, r_t %g and %g", size, a->s.p, b->s.p, a->s.r_t, b->s.r_t);
  CHECK(!memcmp(a->s.rng, b->s.rng, sizeof a->s.rng),
        "%d processes: the streams stand where those of one process stand", size);
  /* weights, averages, w_avg: the first half of the state */
  double d = 0;
  const real *x = (const real *)a->state, *y = (const real *)b->state;
  for (size_t i = 0; i < a->bytes / sizeof(real) / 2; i++)
    d = fmax(d, fabs((double)x[i] - y[i]) / (1 + fabs(y[i])));
  CHECK(a->bytes == b->bytes && d < 1e-4, "%d processes: weights differ by %.2g", size, d);
}

static Seen *shared; /* [1 + MAX_PROC ...] */

static void many(int size, int device, const Seen *from, int n, Seen *out, const Seen *one) {
  Star s;
  memset(out, 0, sizeof *out * (size_t)size);
  star_start(&s, size);
  train(size > 1 ? &s.c : NULL, device, from, n, out + s.c.rank);
  star_end(&s);
  for (int r = 1; r < size; r++)
    CHECK(out[r].bytes == out->bytes && !memcmp(out[r].state, out->state, out->bytes),
          "process %d of %d holds the same bits as process 0", r, size);
  if (one) same_run(out, one, size);
}

static void test_failure(void) {
  Star s;
  star_start(&s, 3);
  Error e = {0};
  TrainConfig c = tiny(&s.c);
  Trainer *t = NULL;
  Status st = trainer_new(&c, &data, &t, &e);
  if (st == ST_OK && s.c.rank == 1) trainer_D(t)->params.data[3] = (real)NAN;
  TrainMetrics m;
  if (st == ST_OK) st = trainer_step(t, &m, &e);
  CHECK(st == ST_NUMERIC && s.c.agreed && strstr(e.msg, "process 1 of 3"),
        "process %d learns of the failure of 1: %d %s", s.c.rank, st, e.msg);
  trainer_free(t);
  int flag = s.c.rank == 2;
  CHECK(comm_agree(&s.c, ST_OK, &flag, &e) == ST_OK && flag == 1, "a flag of one is a flag of all");
  CHECK(comm_same(&s.c, "abc", 4, "text", &e) == ST_OK, "equal");
  CHECK(comm_same(&s.c, s.c.rank == 2 ? "abd" : "abc", 4, "text", &e) == ST_INVALID &&
            strstr(e.msg, "process 2") && strstr(e.msg, "text"),
        "different: %s", e.msg);
  star_end(&s);
}

int main(void) {
  setenv("PRLX_THREADS", "1", 1);
  Rng r = {7, 99, 0};
  rng_fill_normal(&r, images, ITEMS * RES * RES);
  for (int i = 0; i < ITEMS; i++) {
    labels[i * 2 + i % 2] = 1;
    for (int k = 0; k < RES * RES; k++)
      images[i * RES * RES + k] = (real)tanh(0.3 * images[i * RES * RES + k] + 0.1 * i - 0.5);
  }
  threads_stop(); /* no worker may live across a fork */
  shared =
      mmap(NULL, 12 * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  Seen *one = shared, *two = shared + 1, *three = shared + 3, *half = shared + 6,
       *rest = shared + 9;
  many(1, 0, NULL, STEPS, one, NULL);
  many(2, 0, NULL, STEPS, two, one);
  many(3, 0, NULL, STEPS, three, one);
  many(2, 0, NULL, STEPS, half, two);
  CHECK(!memcmp(half->state, two->state, two->bytes), "two runs of two processes: the same bits");
  many(2, 0, NULL, 2, half, NULL); /* 2 processes, then 3 */
  many(3, 0, half, STEPS - 2, rest, NULL);
  for (int ph = 0; ph < PH_COUNT; ph++) {
    memcpy(rest->grad_v[ph], one->grad_v[ph], sizeof one->grad_v[ph]);
    rest->grad[ph][0] = one->grad[ph][0];
  }
  same_run(rest, one, 23);
  many(2, 1, NULL, STEPS, half, one);
  many(3, 2, NULL, STEPS, rest, one);
  test_failure();
  return test_end();
}
