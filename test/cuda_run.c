/* cuda_run.c: training iterations and a projection through cuda/ against the CPU, in one precision
 * per call: strict (default), tf32, f16, bf16. Linked with the emulated sources (make
 * test-cuda-emu) or with those for a card (make test-gpu).
 *
 * cuda_run PRECISION|cpu losses ITERATIONS SEED: trains a tiny network on noise with a slope and
 * prints the means of every 20 iterations, for test/README.md's comparison of precisions.
 * environment: TEST_WGMMA=1|2 convolutions in 16 bits by wgmma (cuda_use_wgmma) */
#include "cuda/device.h"
#include "test/backend_run.h"
#include "test/fit_run.h"

/* Means of losses and scores over `every` iterations, a line each. */
static void print_losses(Backend *b, int iterations, int seed) {
  enum { EVERY = 20 };
  Error e = {0};
  Rng r = {7, 99, 0};
  rng_fill_normal(&r, train_images, ITEMS * RES * RES);
  for (int i = 0; i < ITEMS * RES * RES; i++)
    train_images[i] = (real)(0.1 * train_images[i] + i % RES / 8.0 - 1);
  for (int i = 0; i < ITEMS; i++) train_labels[i * 2 + i % 2] = 1;
  const TrainData data = {train_images, train_labels, ITEMS};
  TrainConfig c = tiny(b);
  c.seed = (uint64_t)seed;
  c.g_lr = c.d_lr = 2e-3;
  c.augment = false; /* warps take the emulation longest */
  c.batch_gpu = c.batch = 4;
  c.g_reg_interval = 4;
  c.d_reg_interval = 16;
  Trainer *t = NULL;
  CHECK(!trainer_new(&c, &data, &t, &e), "trainer: %s", e.msg);
  double sum[6] = {0};
  int64_t bad = 0;
  for (int i = 1; t && i <= iterations; i++) {
    TrainMetrics m;
    if (trainer_step(t, &m, &e) != ST_OK) {
      CHECK(false, "iteration %d: %s", i, e.msg);
      break;
    }
    const double now[6] = {m.g_loss,     m.d_loss_fake, m.d_loss_real,
                           m.score_real, m.score_fake,  m.pl_mean};
    for (int k = 0; k < 6; k++) sum[k] += now[k] / EVERY;
    bad += m.bad_gradients;
    if (i % EVERY) continue;
    printf("%d", i);
    for (int k = 0; k < 6; k++) printf("\t%.4f", sum[k]);
    printf("\t%lld\t%g\n", (long long)bad, trainer_state(t)->loss_scale[0]);
    fflush(stdout);
    memset(sum, 0, sizeof sum);
  }
  trainer_free(t);
}

int main(int argc, char **argv) {
  static const char *const name[] = {"strict", "tf32", "f16", "bf16"};
  static const double tol[] = {1e-4, 3e-3, 3e-2, 3e-2};
  /* Gradients of a projection step, of the largest. Measured, emulated, three steps: tf32 up to
   * 0.037, f16 0.085, bf16 0.078. */
  static const double grad[] = {2e-3, 0.06, 0.15, 0.15};
  int pr = 0, iterations = getenv("TEST_LONG") ? 4 : 2, st = getenv("TEST_LONG") ? 3 : 1;
  for (int i = 0; i < 4; i++)
    if (argc > 1 && !strcmp(argv[1], name[i])) pr = i;
  const bool losses = argc == 5 && !strcmp(argv[2], "losses");
  if (losses && !strcmp(argv[1], "cpu")) {
    print_losses(NULL, atoi(argv[3]), atoi(argv[4]));
    return test_end();
  }
  const char *missing[64];
  int n = cuda_missing(missing, 64);
  CHECK(n == 0, "%d operations without a kernel: %s ...", n, n ? missing[0] : "");
  Backend *b = NULL;
  Error e = {0};
  if (cuda_backend_new(0, (Precision)pr, &b, &e) != ST_OK) {
    printf("%s\n", e.msg);
    return 1;
  }
  if (getenv("TEST_WGMMA")) cuda_use_wgmma(b, atoi(getenv("TEST_WGMMA")));
  /* in two of the precisions, small as everything is */
  if (pr == PREC_STRICT || pr == PREC_F16) cuda_use_several(b, 1);
  char text[300];
  cuda_describe(0, text, sizeof text);
  printf("%s, %s\n", text, name[pr]);
  /* f16 is refused there (tool_backend_fit) */
  if (pr != PREC_F16 && (argc < 3 || strstr(argv[2], "fit"))) compare_fits(b, 10 * tol[pr]);
  if (losses) print_losses(b, atoi(argv[3]), atoi(argv[4]));
  if (argc < 3 || strstr(argv[2], "train")) compare_training(b, iterations, tol[pr]);
  if (argc < 3 || strstr(argv[2], "project")) compare_projection(b, st, 10 * tol[pr], grad[pr]);
  cuda_backend_free(b);
  threads_stop();
  return test_end();
}
