/* cuda_comm.c: training by several processes with an emulated card each, sums by cuda/comm_nccl.cu
 * over an emulated NCCL: the bits of sums through the host, in buckets of any size, also with one
 * of the two streams as late as its events allow (emu_late): a wait that is missing shows.
 *
 * cuda_comm [one]: three processes only, one bucket per tensor and one in all
 * (test/comm_mutants.sh). */
#include "test/cuda_comm.h"
#include <sys/mman.h>
#include "cuda/device.h"
#include "models/gan/train.h"
#include "test/comm_star.h"
#include "test/test.h"

enum { RES = 16, ITEMS = 5, STEPS = 2, BUF = 1 << 19 };
static real images[ITEMS * RES * RES];
static const TrainData data = {images, NULL, ITEMS};

/* Everything late or at once: 0; the backend's stream late: 1; the stream of the sums: 2. */
typedef enum { LATE_NONE, LATE_COMPUTE, LATE_SUMS } Late;

typedef struct Seen {
  char state[BUF];
  size_t bytes;
} Seen;

static TrainConfig tiny(Comm *comm, Backend *b, int64_t bucket) {
  TrainConfig c;
  Error e;
  if (train_preset(&c, "small", RES, 1, 0, &e) != ST_OK) exit(1);
  c.G.z_dim = c.G.w_dim = 8;
  c.G.channel_base = c.D.channel_base = 64;
  c.G.channel_max = c.D.channel_max = 4;
  c.D.mbstd_group_size = 1;
  c.batch = 4;
  c.batch_gpu = 1; /* four rounds: two or one for each of three */
  c.g_reg_interval = c.d_reg_interval = 2;
  c.pl_batch_shrink = 1;
  c.augment = false; /* warps take the emulation longest */
  c.bucket_bytes = bucket;
  c.seed = 5;
  c.comm = comm;
  c.backend = b;
  return c;
}

static Status keep(void *ctx, const TrainTensor *x, Error *e) {
  Seen *s = ctx;
  size_t n = (size_t)shape_numel(x->shape) * (x->type == TT_REAL ? sizeof(real) : 8);
  if (s->bytes + n > BUF) return err_set(e, ST_INTERNAL, "state larger than the buffer");
  memcpy(s->state + s->bytes, x->data, n);
  s->bytes += n;
  return ST_OK;
}

static void train(Comm *comm, Backend *b, int64_t bucket, Seen *out) {
  TrainConfig c = tiny(comm, b, bucket);
  Trainer *t = NULL;
  Error e = {0};
  TrainMetrics m;
  Status st = trainer_new(&c, &data, &t, &e);
  for (int i = 0; i < STEPS && st == ST_OK; i++) st = trainer_step(t, &m, &e);
  CHECK(st == ST_OK, "process %d: %s", comm->rank, e.msg);
  if (st == ST_OK) CHECK(trainer_enumerate(t, keep, out, &e) == ST_OK, "state: %s", e.msg);
  trainer_free(t);
}

/* `wire` NULL: sums through the host. */
static void many(int size, void *wire, Late late, int64_t bucket, Seen *out) {
  Star s;
  Backend *b = NULL;
  Error e = {0};
  memset(out, 0, sizeof *out * (size_t)size);
  star_start(&s, size);
  if (wire) emu_nccl_setup(wire, late);
  CHECK(cuda_backend_new(0, PREC_STRICT, &b, &e) == ST_OK, "backend: %s", e.msg);
  if (wire) CHECK(cuda_comm_attach(&s.c, b, &e) == ST_OK && s.c.device_begin, "attach: %s", e.msg);
  if (b) train(&s.c, b, bucket, out + s.c.rank);
  if (s.c.free_device) s.c.free_device(&s.c);
  cuda_backend_free(b);
  star_end(&s);
}

static void *shared_memory(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) return p;
  perror("mmap");
  exit(1);
}

static void compare(int size, Late late, int64_t bucket, const Seen *want) {
  void *wire = shared_memory(emu_nccl_bytes());
  Seen *out = shared_memory(sizeof *out * (size_t)size);
  static const char *const name[] = {"at once", "the backend's late", "that of the sums late"};
  many(size, wire, late, bucket, out);
  for (int r = 0; r < size; r++)
    CHECK(out[r].bytes == want->bytes && !memcmp(out[r].state, want->state, want->bytes),
          "process %d of %d, buckets of %lld bytes, streams %s: the bits of sums through the host",
          r, size, (long long)bucket, name[late]);
  munmap(wire, emu_nccl_bytes());
  munmap(out, sizeof *out * (size_t)size);
}

int main(int argc, char **argv) {
  setenv("PRLX_THREADS", "1", 1);
  const bool one = argc > 1 && !strcmp(argv[1], "one");
  Rng r = {7, 99, 0};
  rng_fill_normal(&r, images, ITEMS * RES * RES);
  threads_stop();
  Seen *want = shared_memory(sizeof *want * MAX_PROC);
  many(3, NULL, LATE_NONE, 0, want);
  compare(3, LATE_COMPUTE, 1, want);
  compare(3, LATE_SUMS, TRAIN_BUCKET, want);
  if (one) return test_end();
  many(2, NULL, LATE_NONE, 0, want);
  compare(2, LATE_NONE, 3000, want);
  compare(2, LATE_COMPUTE, 0, want);
  compare(2, LATE_SUMS, 1, want);
  return test_end();
}
