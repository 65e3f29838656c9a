/* test_unet.c: the U-Net of the rim mask: loss and gradient, learning, threads, files, bad input;
 * mask metrics against hand-made cases. */
#include <unistd.h>
#include "core/threads.h"
#include "models/judge/evaluate.h"
#include "models/judge/masks.h"
#include "models/store/netfile.h"
#include "models/store/unetfile.h"
#include "test/test.h"

enum { SIDE = 16, COUNT = 24 };
static real image[COUNT * SIDE * SIDE], rim[COUNT * SIDE * SIDE];

/* Bright rings of changing place and size on noise; every fourth slice has a bright disc instead,
 * which is no rim. */
static void make_rings(uint64_t seed) {
  Rng r = {.seed = seed};
  for (int i = 0; i < COUNT; i++) {
    const double cx = 6 + 4 * rng_uniform(&r), cy = 6 + 4 * rng_uniform(&r),
                 a = 3 + 1.5 * rng_uniform(&r);
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++) {
        const double d = hypot(x - cx, y - cy), at = i % 4 == 3 ? d < 2 : fabs(d - a) < 0.8;
        const int k = (i * SIDE + y) * SIDE + x;
        image[k] = (real)(-0.5 + at + 0.15 * rng_normal(&r));
        rim[k] = at != 0 && i % 4 != 3 ? 1 : -1;
      }
  }
}

static Slices rings(void) { return (Slices){image, NULL, COUNT, 1, SIDE, SIDE}; }
static UnetConfig tiny = {1, 2, 4};

/* ---- masks ---- */

static void draw(uint8_t *m, const char *rows[], int h) {
  for (int y = 0; y < h; y++)
    for (int x = 0; x < 8; x++) m[y * 8 + x] = rows[y][x] == '#';
}

static void test_masks(void) {
  static const char *a[] = {"........", "..####..", "........", "........"},
                    *b[] = {"........", "........", "..####..", "........"},
                    *c[] = {"........", "....####", "........", "........"},
                    *none[] = {"........", "........", "........", "........"};
  uint8_t A[32], B[32], C[32], N[32], D[32];
  Error e = {0};
  MaskScore s;
  draw(A, a, 4);
  draw(B, b, 4);
  draw(C, c, 4);
  draw(N, none, 4);
  CHECK(mask_score(A, A, 4, 8, &s, &e) == ST_OK && s.dice == 1 && s.dice_tolerant == 1 &&
            s.hd95 == 0 && s.precision == 1 && s.recall == 1,
        "a mask and itself");
  mask_score(A, B, 4, 8, &s, &e);
  CHECK(s.dice == 0 && s.dice_tolerant == 1 && s.hd95 == 1,
        "one row beside: Dice %g, tolerant %g, HD95 %g", s.dice, s.dice_tolerant, s.hd95);
  /* Shifted by two: 2 of 4 pixels shared; distances 2 1 0 0 both ways: 95th percentile of {0,0,1,2}
   * is 1 + 0.85. With one pixel: 3 of 4 on each side. */
  mask_score(A, C, 4, 8, &s, &e);
  CHECK(s.dice == 0.5 && s.precision == 0.5 && s.recall == 0.5 && s.dice_tolerant == 0.75 &&
            fabs(s.hd95 - 1.85) < 1e-12,
        "two columns beside: %g %g %g", s.dice, s.dice_tolerant, s.hd95);
  mask_score(A, N, 4, 8, &s, &e);
  CHECK(s.dice == 0 && isnan(s.hd95) && isnan(s.precision) && s.recall == 0, "nothing found");
  mask_score(N, A, 4, 8, &s, &e);
  CHECK(s.dice == 0 && isnan(s.recall) && s.precision == 0 && s.found == 4, "nothing there");
  mask_score(N, N, 4, 8, &s, &e);
  CHECK(isnan(s.dice) && isnan(s.dice_tolerant), "two empty masks: nothing was asked");
  mask_dilate(A, 4, 8, 1, D);
  CHECK(mask_area(D, 32) == 14, "widened by one: %lld", (long long)mask_area(D, 32));
}

static void test_mask_fit(void) {
  enum { N = 32 };
  float img[N * N], flat[N * N] = {0}, tilted[N * N];
  uint8_t m[N * N], off[N * N], none[N * N] = {0};
  for (int y = 0; y < N; y++)
    for (int x = 0; x < N; x++) {
      const double d = hypot(x - 15.5, y - 15.5);
      m[y * N + x] = fabs(d - 7) < 1;
      off[y * N + x] = fabs(hypot(x - 19.5, y - 15.5) - 7) < 1;
      img[y * N + x] = m[y * N + x] ? 1 : 0.1f;
      tilted[y * N + x] = (float)x;
    }
  MaskFit f;
  Error e = {0};
  CHECK(mask_fit(m, img, N, N, MASK_REACH, &f, &e) == ST_OK && f.dice == 1 &&
            fabs(f.contrast - 0.9) < 1e-6,
        "mask on its rim: %g %g", f.dice, f.contrast);
  CHECK(f.area == mask_area(m, N * N) &&
            fabs(f.chance - (double)f.area / (double)f.neighbourhood) < 1e-15 && f.chance < 0.4,
        "chance %g", f.chance);
  mask_fit(off, img, N, N, MASK_REACH, &f, &e);
  CHECK(f.dice < 0.45, "mask four pixels beside its rim: %g", f.dice);
  mask_fit(m, tilted, N, N, MASK_REACH, &f, &e);
  CHECK(fabs(f.dice - f.chance) < 0.2 && fabs(f.contrast) < 1e-6,
        "a slope is no rim: %g, chance %g", f.dice, f.chance);
  mask_fit(none, flat, N, N, MASK_REACH, &f, &e);
  CHECK(f.area == 0 && isnan(f.dice) && isnan(f.contrast), "empty mask");
}

static void test_bootstrap_mean(void) {
  static const double v[6] = {1, 1, NAN, 3, 3, 3};
  static const int64_t g[6] = {0, 0, 1, 2, 2, 3};
  double lo, hi, lo2, hi2;
  Error e = {0};
  CHECK(eval_bootstrap_mean(6, v, g, 4, 2000, 0.95, 1, &lo, &hi, &e) == ST_OK && lo == 1 && hi == 3,
        "interval of a mean: %g %g", lo, hi);
  eval_bootstrap_mean(6, v, g, 4, 2000, 0.95, 1, &lo2, &hi2, &e);
  CHECK(lo == lo2 && hi == hi2, "the same again");
  static const double flat[3] = {2, 2, 2};
  eval_bootstrap_mean(3, flat, g, 1, 100, 0.95, 1, &lo, &hi, &e);
  CHECK(isnan(lo) && isnan(hi), "one subject has no interval");
  eval_bootstrap_mean(3, v, g, 4, 100, 0.95, 1, &lo, &hi, &e);
  CHECK(isnan(lo), "one subject with values has no interval");
  CHECK(eval_bootstrap_mean(6, v, g, 3, 100, 0.95, 1, &lo, &hi, &e) == ST_INVALID &&
            eval_bootstrap_mean(6, v, g, 4, 1, 0.95, 1, &lo, &hi, &e) == ST_INVALID,
        "bad arguments");
}

/* ---- loss ---- */

static void test_loss(void) {
  enum { N = 6 };
  static const real z[N] = {-2, -0.5, 0, 0.7, 3, 30}, y[N] = {0, 0.25, 1, 0.5, 1, 1};
  double ce = 0, both = 0, all = 0;
  for (int i = 0; i < N; i++) {
    const double p = 1 / (1 + exp(-(double)z[i]));
    ce += ((double)z[i] > 0 ? log1p(exp(-(double)z[i])) + (1 - (double)y[i]) * (double)z[i]
                            : log1p(exp((double)z[i])) - (double)y[i] * (double)z[i]) /
          N;
    both += p * (double)y[i];
    all += p * p + (double)y[i] * (double)y[i];
  }
  const double dice = (2 * both + 1) / (all + 1);
  Graph *g = graph_new();
  const Shape s = SHAPE4(1, 1, 2, 3);
  Val vz = g_input(g, "z", s), vy = g_input(g, "y", s);
  SegmentationLoss l = g_segmentation_loss(g, vz, vy);
  Val out[3] = {l.loss, l.dice, g_grad1(g, l.loss, vz)};
  Plan *p = NULL;
  Error e = {0};
  CHECK(plan_new(g, 3, out, NULL, &p, &e) == ST_OK, "plan: %s", e.msg);
  memcpy(plan_data(p, vz), z, sizeof z);
  memcpy(plan_data(p, vy), y, sizeof y);
  CHECK(plan_run(p, &e) == ST_OK && fabs((double)*plan_data(p, l.dice) - dice) < 1e-5 &&
            fabs((double)*plan_data(p, l.loss) - (ce + 1 - dice)) < 1e-5,
        "loss %g, by hand %g", (double)*plan_data(p, l.loss), ce + 1 - dice);
  real grad[N];
  memcpy(grad, plan_data(p, out[2]), sizeof grad);
  for (int i = 0; i < N; i++) {
    double v[2];
    for (int k = 0; k < 2; k++) {
      memcpy(plan_data(p, vz), z, sizeof z);
      plan_data(p, vz)[i] += (real)(k ? 0.05 : -0.05);
      plan_run(p, &e);
      v[k] = (double)*plan_data(p, l.loss);
    }
    CHECK(fabs((v[1] - v[0]) / 0.1 - (double)grad[i]) < 1e-3,
          "gradient %d: %g, difference quotient %g", i, (double)grad[i], (v[1] - v[0]) / 0.1);
  }
  plan_free(p);
  graph_free(g);
}

/* ---- network ---- */

static double dice_of(const real *prob) {
  double both = 0, all = 0;
  for (int i = 0; i < COUNT * SIDE * SIDE; i++) {
    const int a = prob[i] >= 0.5f, b = rim[i] > 0;
    both += a && b;
    all += a + b;
  }
  return 2 * both / all;
}

static double last_loss, first_loss;
static bool on_epoch(void *ctx, int k, double loss, double dice) {
  if (k == 1) first_loss = loss;
  last_loss = loss;
  return ctx == NULL || k < 2;
}

static void test_learning(void) {
  static real p1[COUNT * SIDE * SIDE], p2[COUNT * SIDE * SIDE];
  Unet a, b;
  Error e = {0};
  UnetTrain o = unet_train_defaults();
  o.epochs = 40;
  o.batch = 8;
  o.seed = 3;
  o.lr = 0.01;
  o.tick = on_epoch;
  make_rings(1);
  Slices d = rings();
  CHECK(unet_new(&a, &tiny, &e) == ST_OK && unet_new(&b, &tiny, &e) == ST_OK, "%s", e.msg);
  threads_set(1);
  CHECK(unet_train(&a, &o, &d, rim, &e) == ST_OK, "%s", e.msg);
  CHECK(last_loss < 0.4 * first_loss, "the loss falls: %g to %g", first_loss, last_loss);
  make_rings(2); /* others than those learned from */
  CHECK(unet_predict(&a, &d, p1, &e) == ST_OK && dice_of(p1) > 0.8, "rings are found, Dice %g",
        dice_of(p1));
  make_rings(1);
  threads_set(3);
  CHECK(unet_train(&b, &o, &d, rim, &e) == ST_OK &&
            !memcmp(a.params.data, b.params.data, (size_t)a.params.ntotal * sizeof(real)),
        "same bits with one thread and three");
  unet_predict(&a, &d, p1, &e);
  Slices some = {image + 5 * SIDE * SIDE, NULL, 3, 1, SIDE, SIDE};
  CHECK(unet_predict(&b, &some, p2, &e) == ST_OK &&
            !memcmp(p2, p1 + 5 * SIDE * SIDE, 3 * SIDE * SIDE * sizeof(real)),
        "a slice's map does not depend on the others");
  o.ctx = &o;
  CHECK(unet_train(&b, &o, &d, rim, &e) == ST_INTERRUPTED, "stopped: %s", e.msg);
  char path[] = "/tmp/prlx_unet_XXXXXX", names[64];
  const int fd = mkstemp(path);
  Unet c;
  CHECK(fd >= 0 && unet_save(&a, path, "chi", 3, 40, "rings", &e) == ST_OK, "save: %s", e.msg);
  CHECK(unet_load(&c, path, names, &e) == ST_OK && !strcmp(names, "chi") && c.cfg.levels == 2 &&
            c.cfg.width == 4 && c.cfg.channels == 1 &&
            !memcmp(a.params.data, c.params.data, (size_t)a.params.ntotal * sizeof(real)),
        "load: %s", e.msg);
  unet_free(&c);
  CHECK(unet_load(&c, "data/network_small.safetensors", names, &e) == ST_FORMAT &&
            strstr(e.msg, "prlx-unet-1"),
        "another file: %s", e.msg);
  CHECK(truncate(path, 3000) == 0 && unet_load(&c, path, names, &e) != ST_OK, "half a file: %s",
        e.msg);
  if (fd >= 0) {
    close(fd);
    unlink(path);
  }
  unet_free(&a);
  unet_free(&b);
}

static void test_bad(void) {
  Unet u;
  Error e = {0};
  real p[SIDE * SIDE];
  UnetTrain o = unet_train_defaults();
  CHECK(unet_new(&u, &(UnetConfig){0, 2, 4}, &e) == ST_INVALID &&
            unet_new(&u, &(UnetConfig){1, 9, 4}, &e) == ST_INVALID &&
            unet_new(&u, &(UnetConfig){1, 2, 0}, &e) == ST_INVALID,
        "impossible sizes");
  UnetConfig three = {1, 3, 2};
  CHECK(unet_new(&u, &three, &e) == ST_OK, "%s", e.msg);
  o.epochs = 1;
  make_rings(1);
  Slices d = rings();
  d.h = 14;
  CHECK(unet_predict(&u, &d, p, &e) == ST_INVALID && strstr(e.msg, "multiples of 4"),
        "odd size: %s", e.msg);
  d = rings();
  d.channels = 2;
  d.n = 2;
  CHECK(unet_train(&u, &o, &d, rim, &e) == ST_INVALID, "channels: %s", e.msg);
  d = rings();
  d.n = 0;
  CHECK(unet_train(&u, &o, &d, rim, &e) == ST_INVALID, "no slices: %s", e.msg);
  d = rings();
  image[7] = NAN;
  CHECK(unet_train(&u, &o, &d, rim, &e) == ST_NUMERIC && strstr(e.msg, "slice 0"), "NaN: %s",
        e.msg);
  make_rings(1);
  rim[SIDE * SIDE + 1] = INFINITY;
  CHECK(unet_train(&u, &o, &d, rim, &e) == ST_NUMERIC && strstr(e.msg, "slice 1"), "mask: %s",
        e.msg);
  for (int i = 0; i < COUNT * SIDE * SIDE; i++) rim[i] = -1;
  CHECK(unet_train(&u, &o, &d, rim, &e) == ST_INVALID && strstr(e.msg, "no rim"), "no mask: %s",
        e.msg);
  o.batch = 0;
  CHECK(unet_train(&u, &o, &d, rim, &e) == ST_INVALID, "batch: %s", e.msg);
  unet_free(&u);
}

int main(void) {
  test_masks();
  test_mask_fit();
  test_bootstrap_mean();
  test_loss();
  test_learning();
  test_bad();
  CHECK(mem_live_count() == 0, "%zu blocks left", mem_live_count());
  threads_stop();
  return test_end();
}
