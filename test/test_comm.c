/* test_comm.c: training by 2 and 3 processes (forked here, joined by sockets; the same interface
 * that MPI stands behind) equals training by one: gradients of all four phases, running means, ADA,
 * weights; all processes hold the same bits; resume from any number of processes; a failure reaches
 * all. Sums beside the backward pass, in buckets of any size, give the bits of one sum after it, on
 * an engine that is late and out of order (test/comm_star.h). The same through the program and MPI:
 * cli_mpi.sh. */
#include <sys/mman.h>
#include "models/gan/train.h"
#include "test/comm_star.h"
#include "test/host_backend.h"
#include "test/test.h"

/* ---- the run ---- */
enum { RES = 16, ITEMS = 11, STEPS = 4, BUF = 1 << 19 };
static real images[ITEMS * RES * RES], labels[ITEMS * 2];
static const TrainData data = {images, labels, ITEMS};

/* bytes of a bucket; images of a round: 4 rounds, or 2, which leave one of three without any */
static int64_t usual_bucket;
static int usual_round = 2;

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
  c.batch_gpu = usual_round;
  c.bucket_bytes = usual_bucket;
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
  int64_t begun; /* sums beside other work, and the moments at which they began (device 2) */
  int64_t moments;
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
static void train(Comm *comm, int device, const Seen *from, int n, Seen *out) {
  TrainConfig c = tiny(comm);
  HostBackend *h = device ? host_backend_new(PREC_STRICT) : NULL;
  if (h) c.backend = &h->b;
  if (device == 2) {
    comm->device_begin = star_begin;
    comm->device_wait = star_wait;
    ((Star *)comm)->clock = &h->runs;
  }
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
  out->begun = comm ? ((Star *)comm)->begun : 0;
  out->moments = comm ? ((Star *)comm)->moments : 0;
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
  if (test_failed && getenv("TEST_STOP")) exit(test_end());
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

/* The same run with buckets of several sizes: one per tensor, some, one; all begin beside the
 * backward pass but the last. */
static void test_buckets(int size, int device, const Seen *whole, Seen *out) {
  static const int64_t bytes[] = {1, 1500, (int64_t)1 << 40};
  int64_t begun = INT64_MAX;
  for (int i = 0; i < (size == 2 ? 3 : 2); i++) {
    usual_bucket = bytes[i];
    many(size, device, NULL, STEPS, out, NULL);
    CHECK(out->bytes == whole->bytes && !memcmp(out->state, whole->state, whole->bytes),
          "%d processes, device %d, buckets of %lld bytes: the bits of one sum", size, device,
          (long long)bytes[i]);
    const int64_t phases = 2 * STEPS + STEPS / 2 + (STEPS + 2) / 3;
    CHECK(device == 1 ? out->begun == 0 : out->begun < begun && out->begun >= phases,
          "%d processes, buckets of %lld bytes: %lld sums begun, before %lld", size,
          (long long)bytes[i], (long long)out->begun, (long long)begun);
    CHECK(device != 2 || i == 2 || out->moments > 3 * phases,
          "buckets of %lld bytes began at %lld moments only: not beside the runs",
          (long long)bytes[i], (long long)out->moments);
    begun = out->begun;
  }
  usual_bucket = 0;
}

/* A process whose device fails in the middle of a run, with sums under way: the run it fails in is
 * number `fails` of all segments. */
static int runs_left, stops_seen;
static Status (*run_before)(Backend *b, DevProgram *p, Error *e);
static Status run_or_fail(Backend *b, DevProgram *p, Error *e) {
  if (runs_left-- == 0) return err_set(e, ST_INTERNAL, "the device is gone");
  return run_before(b, p, e);
}

static void count_stop(Comm *c) { stops_seen++; }

static void test_device_failure(int size, int failing, int fails) {
  Star s;
  usual_bucket = 1;
  star_start(&s, size);
  Error e = {0};
  TrainConfig c = tiny(&s.c);
  HostBackend *h = host_backend_new(PREC_STRICT);
  c.backend = &h->b;
  run_before = h->b.run;
  runs_left = fails;
  stops_seen = 0;
  if (s.c.rank == failing) h->b.run = run_or_fail;
  s.c.device_begin = star_begin;
  s.c.device_wait = star_wait;
  s.c.stop_device = count_stop;
  Trainer *t = NULL;
  TrainMetrics m;
  char want[40];
  snprintf(want, sizeof want, "process %d of %d: the device", failing, size);
  Status st = trainer_new(&c, &data, &t, &e);
  for (int i = 0; i < STEPS && st == ST_OK; i++) st = trainer_step(t, &m, &e);
  CHECK(st == ST_INTERNAL && s.c.agreed && strstr(e.msg, want) && stops_seen == 1 && s.nopen == 0,
        "process %d of %d learns that %d failed in run %d: %d %s", s.c.rank, size, failing, fails,
        st, e.msg);
  trainer_free(t);
  host_backend_free(h);
  usual_bucket = 0;
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
  test_buckets(2, 0, two, half);
  test_buckets(3, 0, three, half);
  for (int device = 1; device < 3; device++) {
    many(2, device, NULL, STEPS, half, NULL);
    test_buckets(2, device, half, two);
  }
  test_buckets(3, 2, rest, half);
  usual_round = 4;
  many(3, 0, NULL, STEPS, half, NULL);
  test_buckets(3, 0, half, rest);
  usual_round = 2;
  test_failure();
  usual_bucket = 1;
  test_failure();
  usual_bucket = 0;
  for (int fails = 0; fails < 200; fails += 23) test_device_failure(2, fails % 2, fails);
  for (int fails = 5; fails < 200; fails += 60) test_device_failure(3, fails % 3, fails);
  return test_end();
}
